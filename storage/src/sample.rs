//! The first rows of each stream, to be looked at: keeps them as JSON, nothing
//! else, and says when there are enough.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;

use super::contract::json;
use super::{Outcome, StateChanges, Storage, StorageError, TableId, TableSchema, WriteMode};

/// A row that is longer as JSON is kept with its texts cut.
const ROW_BYTES: usize = 1024 * 1024;
/// What is then left of each text.
const CUT_BYTES: usize = 1024;
/// What is kept in all. Beyond it there is enough, whatever is missing.
const SAMPLE_BYTES: usize = 256 * 1024 * 1024;

/// The first rows of one stream.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The stream as the connector opened it.
    pub table: TableSchema,
    /// Its first rows, a JSON object each, in the form that JSON lines have. A
    /// column that a row lacks is left out.
    pub rows: Vec<String>,
    /// There were more.
    pub more: bool,
}

/// What was kept, in the order in which the streams were opened.
pub type Samples = Arc<Mutex<Vec<Sample>>>;

/// A storage that keeps the first rows of the streams and no state.
pub struct Sampler {
    samples: Samples,
    limit: usize,
    /// The streams that are waited for; others are kept beside them if `only`
    /// does not forbid it.
    wanted: Vec<String>,
    only: bool,
    bytes: usize,
    enough: Box<dyn FnMut() + Send>,
}

impl std::fmt::Debug for Sampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sampler").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl Sampler {
    /// Keeps `limit` rows of each stream, and calls `enough` as soon as each of
    /// the `wanted` ones has as many. With `only`, nothing is kept of others.
    pub fn new(
        limit: usize,
        wanted: Vec<String>,
        only: bool,
        enough: impl FnMut() + Send + 'static,
    ) -> (Self, Samples) {
        let samples = Samples::default();
        let sampler =
            Self { samples: Arc::clone(&samples), limit, wanted, only, bytes: 0, enough: Box::new(enough) };
        (sampler, samples)
    }
}

/// Whether every stream that is waited for has its rows.
fn is_complete(samples: &[Sample], wanted: &[String], limit: usize) -> bool {
    let has_all =
        |name: &String| samples.iter().any(|sample| sample.table.name == *name && sample.rows.len() >= limit);
    !wanted.is_empty() && wanted.iter().all(has_all)
}

impl Storage for Sampler {
    fn state(&mut self) -> Result<BTreeMap<String, String>, StorageError> {
        Ok(BTreeMap::new())
    }

    fn open_table(&mut self, table: &TableSchema, _: WriteMode) -> Result<TableId, StorageError> {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let open = samples.iter().position(|sample| sample.table.name == table.name);
        let number = open.unwrap_or_else(|| {
            samples.push(Sample { table: table.clone(), rows: Vec::new(), more: false });
            samples.len() - 1
        });
        Ok(TableId(u32::try_from(number).unwrap_or(u32::MAX)))
    }

    fn write(&mut self, table: TableId, rows: &RecordBatch) -> Result<(), StorageError> {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let number = usize::try_from(table.0).unwrap_or(usize::MAX);
        let Some(sample) = samples.get_mut(number) else { return Ok(()) };
        if self.only && !self.wanted.contains(&sample.table.name) {
            return Ok(());
        }
        for row in 0..rows.num_rows() {
            if sample.rows.len() >= self.limit || self.bytes > SAMPLE_BYTES {
                sample.more = true;
                break;
            }
            let (text, _) = json::row(&sample.table, rows, row, ROW_BYTES, CUT_BYTES);
            self.bytes += text.len();
            sample.rows.push(text);
        }
        if self.bytes > SAMPLE_BYTES || is_complete(&samples, &self.wanted, self.limit) {
            (self.enough)();
        }
        Ok(())
    }

    fn commit(&mut self, _: &StateChanges) -> Result<(), StorageError> {
        Ok(())
    }

    fn columns(&mut self, _: &str) -> Result<Option<Vec<super::Field>>, StorageError> {
        Ok(None)
    }

    fn finish(&mut self, _: Outcome, _: &StateChanges, _: Option<&str>) -> Result<(), StorageError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use arrow_array::{Int64Array, StringArray};

    use super::*;
    use crate::{DataType, Field};

    fn table(name: &str) -> TableSchema {
        let field =
            |name: &str, data_type| Field { name: name.into(), data_type, nullable: true, description: None };
        TableSchema {
            name: name.into(),
            description: None,
            fields: vec![field("a", DataType::Int64), field("b", DataType::Text)],
            primary_key: vec![],
            cursor_field: None,
            partition_field: None,
        }
    }

    /// A sampler that counts how often it said that there is enough.
    fn sampler(wanted: &[&str], only: bool) -> (Sampler, Samples, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let wanted = wanted.iter().map(|name| (*name).to_owned()).collect();
        let (sampler, samples) = Sampler::new(2, wanted, only, move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        (sampler, samples, calls)
    }

    fn write(sampler: &mut Sampler, stream: &str, values: &[i64]) {
        let table = table(stream);
        let id = sampler.open_table(&table, WriteMode::Append).unwrap();
        let texts: Vec<_> = values.iter().map(|_| None::<&str>).collect();
        let rows = RecordBatch::try_new(
            table.arrow(),
            vec![Arc::new(Int64Array::from(values.to_vec())), Arc::new(StringArray::from(texts))],
        );
        sampler.write(id, &rows.unwrap()).unwrap();
    }

    fn kept(samples: &Samples) -> Vec<(String, Vec<String>, bool)> {
        let samples = samples.lock().unwrap();
        samples.iter().map(|sample| (sample.table.name.clone(), sample.rows.clone(), sample.more)).collect()
    }

    #[test]
    fn it_is_enough_when_every_wanted_stream_has_its_rows() {
        let (mut sampler, samples, calls) = sampler(&["x", "y"], false);
        write(&mut sampler, "x", &[1, 2, 3]);
        write(&mut sampler, "other", &[7]);
        write(&mut sampler, "y", &[1]);
        assert_eq!(calls.load(Ordering::Relaxed), 0);
        write(&mut sampler, "y", &[2]);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        let row = |n: i64| format!(r#"{{"a":{n},"b":null}}"#);
        assert_eq!(
            kept(&samples),
            [
                ("x".to_owned(), vec![row(1), row(2)], true),
                ("other".to_owned(), vec![row(7)], false),
                ("y".to_owned(), vec![row(1), row(2)], false),
            ]
        );
    }

    #[test]
    fn nothing_is_kept_of_streams_that_nobody_asked_for() {
        let (mut sampler, samples, calls) = sampler(&["y"], true);
        write(&mut sampler, "x", &[1, 2, 3]);
        assert_eq!(calls.load(Ordering::Relaxed), 0);
        assert_eq!(kept(&samples), [("x".to_owned(), vec![], false)]);
        write(&mut sampler, "y", &[1, 2]);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
