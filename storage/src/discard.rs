//! Rows to nowhere: counts them and keeps no state. For measuring a connector
//! and for dry runs.

use std::collections::BTreeMap;
use std::path::Path;

use arrow_array::RecordBatch;
use schemars::{JsonSchema, schema_for};
use serde_json::Value;

use super::driver::{Driver, Params};
use super::{
    Field, Outcome, RunInfo, StateChanges, Storage, StorageError, StreamCount, TableId, TableSchema,
    WriteMode,
};

/// Takes rows and keeps nothing: for measuring a connector and for dry runs.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Parameters {}

/// The storage `Discard`.
pub(crate) struct DiscardDriver;

impl Driver for DiscardDriver {
    fn name(&self) -> &'static str {
        "Discard"
    }

    fn alias(&self) -> &'static str {
        "DISCARD"
    }

    fn schema(&self) -> Value {
        schema_for!(Parameters).to_value()
    }

    fn open(&self, _: Params, _: &Path, _: &RunInfo) -> Result<(Box<dyn Storage>, String), StorageError> {
        Ok((Box::new(Discard::default()), self.name().to_owned()))
    }

    fn read_state(&self, _: Params, _: &Path, _: &str) -> Result<BTreeMap<String, String>, StorageError> {
        Ok(BTreeMap::new())
    }

    fn reach(&self, _: Params, _: &Path) -> Result<String, StorageError> {
        Ok("nothing is kept".to_owned())
    }
}

/// A storage that takes everything and keeps nothing.
#[derive(Debug, Default)]
pub struct Discard {
    tables: Vec<(String, StreamCount)>,
}

impl Discard {
    /// What was taken so far, a stream.
    pub fn counts(&self) -> impl Iterator<Item = (&str, &StreamCount)> {
        self.tables.iter().map(|(name, count)| (name.as_str(), count))
    }
}

impl Storage for Discard {
    fn state(&mut self) -> Result<BTreeMap<String, String>, StorageError> {
        Ok(BTreeMap::new())
    }

    fn open_table(&mut self, table: &TableSchema, _: WriteMode) -> Result<TableId, StorageError> {
        let open = self.tables.iter().position(|(name, _)| *name == table.name);
        let number = open.unwrap_or_else(|| {
            self.tables.push((table.name.clone(), StreamCount::default()));
            self.tables.len() - 1
        });
        Ok(TableId(u32::try_from(number).unwrap_or(u32::MAX)))
    }

    fn open_quarantine(&mut self, table: &TableSchema) -> Result<TableId, StorageError> {
        self.open_table(table, WriteMode::Append)
    }

    fn write(&mut self, table: TableId, rows: &RecordBatch) -> Result<(), StorageError> {
        let number = usize::try_from(table.0).unwrap_or(usize::MAX);
        if let Some((_, count)) = self.tables.get_mut(number) {
            count.rows += u64::try_from(rows.num_rows()).unwrap_or_default();
            count.bytes += u64::try_from(rows.get_array_memory_size()).unwrap_or_default();
        }
        Ok(())
    }

    fn commit(&mut self, _: &StateChanges) -> Result<(), StorageError> {
        Ok(())
    }

    fn columns(&mut self, _: &str) -> Result<Option<Vec<Field>>, StorageError> {
        Ok(None)
    }

    fn finish(&mut self, _: Outcome, _: &StateChanges, _: Option<&str>) -> Result<(), StorageError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::Int64Array;

    use super::*;
    use crate::{DataType, Field};

    #[test]
    fn counts_rows_and_keeps_no_state() {
        let schema = TableSchema {
            name: "t".into(),
            description: None,
            fields: vec![Field {
                name: "a".into(),
                data_type: DataType::Int64,
                nullable: false,
                description: None,
            }],
            primary_key: vec![],
            cursor_field: None,
            partition_field: None,
        };
        let mut storage = Discard::default();
        let table = storage.open_table(&schema, WriteMode::Append).unwrap();
        assert_eq!(storage.open_table(&schema, WriteMode::Append).unwrap(), table);
        let rows =
            RecordBatch::try_new(schema.arrow(), vec![Arc::new(Int64Array::from(vec![1, 2]))]).unwrap();
        storage.write(table, &rows).unwrap();
        storage.commit(&BTreeMap::from([("k".into(), Some("1".into()))])).unwrap();
        storage.finish(Outcome::Succeeded, &BTreeMap::new(), None).unwrap();
        assert_eq!(storage.state().unwrap(), BTreeMap::new());
        let counts: Vec<_> = storage.counts().map(|(name, count)| (name, count.rows)).collect();
        assert_eq!(counts, [("t", 2)]);
    }
}
