//! A real client against the fake BigQuery, over the wire.

mod claims;
mod credentials;
mod evolution;
mod fake;
mod faults;
mod modes;
mod parameters;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use serde_json::json;

use self::fake::Fake;
use super::client::Pace;
use super::*;
use crate::{DataType, Field, Outcome, StateChanges, TableId, TableSchema, WriteMode};

/// A fake, and how it is reached.
struct Place {
    fake: Fake,
    settings: Settings,
}

/// Tests do not wait long.
const QUICK: Pace = Pace {
    first: Duration::from_millis(5),
    longest: Duration::from_millis(40),
    attempts: 6,
    answer: Duration::from_secs(180),
};

impl Place {
    fn new() -> Option<Self> {
        Self::with(&[])
    }

    fn with(arguments: &[&str]) -> Option<Self> {
        let fake = fake::start(arguments)?;
        let settings = Settings {
            endpoint: fake.url.clone(),
            credentials: Credentials::Anonymous,
            project: "p".into(),
            dataset_project: "p".into(),
            dataset: "d".into(),
            location: None,
            prefix: String::new(),
            lease: Duration::from_secs(600),
            pace: QUICK,
            part: encode::PART,
        };
        Some(Self { fake, settings })
    }

    fn try_open(&self, run: &RunInfo) -> Result<BigQueryStorage, StorageError> {
        BigQueryStorage::open(self.settings.clone(), run)
    }

    fn open_as(&self, run: &RunInfo) -> BigQueryStorage {
        self.try_open(run).unwrap()
    }

    fn open(&self) -> BigQueryStorage {
        self.open_as(&run("r1"))
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
        let mut storage = self.try_open(run)?;
        let result = (|| {
            let table = storage.open_table(schema, mode)?;
            batches.iter().try_for_each(|batch| storage.write(table, batch))
        })();
        match result {
            Ok(()) => storage.finish(Outcome::Succeeded, &none(), None),
            Err(error) => {
                storage.finish(Outcome::Failed, &none(), Some(&error.to_string())).unwrap();
                Err(error)
            }
        }
    }

    fn query(&self, sql: &str) -> Vec<String> {
        self.fake.query(sql)
    }

    fn state(&self) -> BTreeMap<String, String> {
        read_state(&self.settings, "dm").unwrap()
    }
}

/// Starts a fake, or ends the test.
macro_rules! place {
    () => {
        match Place::new() {
            Some(place) => place,
            None => return,
        }
    };
    ($arguments:expr) => {
        match Place::with($arguments) {
            Some(place) => place,
            None => return,
        }
    };
}
use place;

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
fn put(storage: &mut BigQueryStorage, schema: &TableSchema, mode: WriteMode, rows: &RecordBatch) -> TableId {
    let table = storage.open_table(schema, mode).unwrap();
    storage.write(table, rows).unwrap();
    table
}

fn state(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A number's text without the zeros that say nothing: BigQuery writes none.
fn plain(text: &str) -> &str {
    let text = text.strip_prefix("0.").map_or(text, |_| text.trim_start_matches('0'));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}
