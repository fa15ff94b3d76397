//! A real server, written by the storage and read by `psql`.

mod claims;
mod connections;
mod evolution;
mod failures;
mod modes;
mod proxy;
mod server;
mod speed;
mod values;

use std::collections::BTreeMap;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use serde_json::json;

use super::*;
use crate::{DataType, Field, Outcome, StateChanges, TableId, TableSchema, WriteMode};
use server::Server;

/// A database of its own on a server.
struct Place<'a> {
    server: &'a Server,
    database: String,
    params: Params,
}

impl Place<'static> {
    /// On the server that tests share; none where PostgreSQL is not installed.
    fn new() -> Option<Self> {
        server::shared().map(Self::on)
    }
}

impl<'a> Place<'a> {
    fn on(server: &'a Server) -> Self {
        Self::on_existing(server, &server.database())
    }

    fn on_existing(server: &'a Server, database: &str) -> Self {
        let params = json!({
            "Host": server.folder, "Port": server.port, "Database": database, "User": "loader",
        });
        Self { server, database: database.to_owned(), params: params.as_object().unwrap().clone() }
    }

    fn with(&self, name: &str, value: impl Into<Value>) -> Params {
        let mut params = self.params.clone();
        params.insert(name.to_owned(), value.into());
        params
    }

    /// The parameters for a connection by TCP.
    fn tcp(&self, host: &str, port: u16) -> Params {
        let mut params = self.with("Host", host);
        params.insert("Port".to_owned(), port.into());
        params.insert("Password".to_owned(), "secret-9".into());
        params
    }

    fn open(&self) -> PostgresStorage {
        self.open_as(&run("r1"))
    }

    fn open_as(&self, run: &RunInfo) -> PostgresStorage {
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
        let result = load(&mut storage, schema, mode, batches);
        if let Err(error) = &result {
            // Refused where the run has ended: then the failure was that of its end.
            let _ = storage.finish(Outcome::Failed, &none(), Some(&error.to_string()));
        }
        result
    }

    /// The rows of a query, read by `psql` as the superuser.
    fn query(&self, sql: &str) -> Vec<String> {
        self.server.sql(&self.database, sql)
    }

    fn execute(&self, sql: &str) {
        self.query(sql);
    }

    fn state(&self) -> BTreeMap<String, String> {
        Postgres.read_state(self.params.clone(), Path::new("/"), "dm").unwrap()
    }
}

fn open(params: &Params, run: &RunInfo) -> Result<PostgresStorage, StorageError> {
    PostgresStorage::open(target(params.clone(), Path::new("/")).unwrap(), run)
}

fn load(
    storage: &mut PostgresStorage,
    schema: &TableSchema,
    mode: WriteMode,
    batches: &[RecordBatch],
) -> Result<(), StorageError> {
    let table = storage.open_table(schema, mode)?;
    for batch in batches {
        storage.write(table, batch)?;
    }
    storage.commit(&none())?;
    storage.finish(Outcome::Succeeded, &none(), None)
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

/// A batch of one column of texts.
fn texts(name: &str, values: Vec<&str>) -> RecordBatch {
    let schema = stream("t", &[(name, DataType::Text)], 0);
    batch(&schema, vec![Arc::new(StringArray::from(values))])
}

/// A batch of one column of integers.
fn ids(name: &str, values: Vec<i64>) -> RecordBatch {
    let schema = stream("t", &[(name, DataType::Int64)], 0);
    batch(&schema, vec![Arc::new(Int64Array::from(values))])
}

fn changes(changes: &[(&str, Option<&str>)]) -> StateChanges {
    changes.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect()
}

fn none() -> StateChanges {
    StateChanges::new()
}

fn state(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Opens a table and writes one batch.
fn put(storage: &mut PostgresStorage, schema: &TableSchema, mode: WriteMode, rows: &RecordBatch) -> TableId {
    let table = storage.open_table(schema, mode).unwrap();
    storage.write(table, rows).unwrap();
    table
}
