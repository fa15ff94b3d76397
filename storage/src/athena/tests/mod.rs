//! Real statements against a fake AWS, whose tables are real Iceberg tables.

mod claims;
mod cloud;
mod evolution;
mod failures;
mod modes;
mod parameters;
mod values;

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};

use super::*;
use crate::{DataType, Field, Outcome, RunInfo, StateChanges, Storage, TableId, TableSchema, WriteMode};
use cloud::{Cloud, Place};

/// A place in the shared fake, or the end of the test where there is no fake.
macro_rules! place {
    () => {
        match Cloud::shared() {
            Some(cloud) => Place::new(cloud),
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
        description: Some("it's; \\ described".into()),
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
fn put(storage: &mut AthenaStorage, schema: &TableSchema, mode: WriteMode, rows: &RecordBatch) -> TableId {
    let table = storage.open_table(schema, mode).unwrap();
    storage.write(table, rows).unwrap();
    table
}
