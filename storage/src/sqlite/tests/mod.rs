//! Real database files, written by the storage and read by a second connection.

mod claims;
mod evolution;
mod failures;
mod modes;
mod values;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::{DataType, Field, Outcome, StateChanges, Storage, TableId, TableSchema, WriteMode};

/// A database in a folder of its own.
struct Place {
    folder: TempDir,
    params: SqliteParams,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let params = SqliteParams { path: folder.path().join("ow.db"), table_prefix: String::new() };
        Self { folder, params }
    }

    fn path(&self) -> &Path {
        &self.params.path
    }

    /// The database, or a file that SQLite keeps beside it.
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path().as_os_str().to_owned();
        path.push(suffix);
        path.into()
    }

    /// Opens the database for a plain run.
    fn open(&self) -> SqliteStorage {
        self.open_as(&run("r1"))
    }

    fn open_as(&self, run: &RunInfo) -> SqliteStorage {
        open(&self.params, run).unwrap()
    }

    /// A run that writes batches to one table and ends well.
    fn load(
        &self,
        schema: &TableSchema,
        mode: WriteMode,
        batches: &[RecordBatch],
    ) -> Result<(), StorageError> {
        self.load_as(&run("r"), schema, mode, batches)
    }

    fn load_as(
        &self,
        run: &RunInfo,
        schema: &TableSchema,
        mode: WriteMode,
        batches: &[RecordBatch],
    ) -> Result<(), StorageError> {
        let mut storage = self.open_as(run);
        let table = storage.open_table(schema, mode)?;
        for batch in batches {
            storage.write(table, batch)?;
        }
        storage.finish(Outcome::Succeeded, &StateChanges::new(), None)
    }

    fn reader(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    /// The rows of a query, as SQLite quotes their values.
    fn query(&self, sql: &str) -> Vec<String> {
        query(&self.reader(), sql)
    }

    fn state(&self) -> BTreeMap<String, String> {
        read_state(&self.params, "dm").unwrap()
    }

    fn execute(&self, sql: &str) {
        self.reader().execute_batch(sql).unwrap();
    }
}

fn query(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let values = (0..columns).map(|index| match row.get_ref(index).unwrap() {
            rusqlite::types::ValueRef::Null => "null".to_owned(),
            rusqlite::types::ValueRef::Integer(value) => value.to_string(),
            rusqlite::types::ValueRef::Real(value) => format!("{value:?}"),
            rusqlite::types::ValueRef::Text(value) => format!("'{}'", String::from_utf8_lossy(value)),
            rusqlite::types::ValueRef::Blob(value) => format!("{value:?}"),
        });
        Ok(values.collect::<Vec<_>>().join(" "))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

fn run(run_id: &str) -> RunInfo {
    RunInfo {
        data_mart_id: "dm".into(),
        run_id: run_id.into(),
        run_type: "INCREMENTAL".into(),
        connector: "probe 1.0.0".into(),
        full_refresh: false,
        keep_state: false,
    }
}

fn refresh(run_id: &str) -> RunInfo {
    RunInfo { run_type: "FULL_REFRESH".into(), full_refresh: true, ..run(run_id) }
}

/// A stream whose first fields are its key.
fn stream(name: &str, fields: &[(&str, DataType)], keys: usize) -> TableSchema {
    let field = |(index, (name, data_type)): (usize, &(&str, DataType))| Field {
        name: (*name).into(),
        data_type: *data_type,
        nullable: index >= keys,
        description: None,
    };
    TableSchema {
        name: name.into(),
        description: None,
        fields: fields.iter().enumerate().map(field).collect(),
        primary_key: fields.iter().take(keys).map(|(name, _)| (*name).into()).collect(),
        cursor_field: None,
        partition_field: None,
    }
}

/// `t(id int64, name text)`, keyed by `id` if there is one key.
fn people(keys: usize) -> TableSchema {
    stream("t", &[("id", DataType::Int64), ("name", DataType::Text)], keys)
}

fn batch(schema: &TableSchema, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(schema.arrow(), columns).unwrap()
}

/// Rows of [`people`].
fn rows(rows: &[(i64, Option<&str>)]) -> RecordBatch {
    let ids: Int64Array = rows.iter().map(|(id, _)| Some(*id)).collect();
    let names: StringArray = rows.iter().map(|(_, name)| *name).collect();
    batch(&people(0), vec![Arc::new(ids), Arc::new(names)])
}

fn changes(changes: &[(&str, Option<&str>)]) -> StateChanges {
    changes.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect()
}

fn none() -> StateChanges {
    StateChanges::new()
}

/// Opens a table and writes one batch.
fn put(storage: &mut SqliteStorage, schema: &TableSchema, mode: WriteMode, rows: &RecordBatch) -> TableId {
    let table = storage.open_table(schema, mode).unwrap();
    storage.write(table, rows).unwrap();
    table
}
