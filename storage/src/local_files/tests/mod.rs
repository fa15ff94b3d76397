//! Real folders, written by the storage and read by other code.

mod claims;
mod crash;
mod evolution;
mod failures;
mod modes;
mod partitions;
mod speed;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::file::reader::{FileReader, SerializedFileReader};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::{DataType, Field, Outcome, StateChanges, Storage, TableId, TableSchema, WriteMode};

/// A storage in a folder of its own.
struct Folder {
    folder: TempDir,
    params: LocalFilesParams,
}

impl Folder {
    fn new() -> Self {
        Self::of(Format::Parquet)
    }

    fn of(format: Format) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let params = LocalFilesParams {
            path: folder.path().join("lake"),
            format,
            partition_by: None,
            compression: Compression::Zstd,
            max_file_bytes: 256 * MIB,
        };
        Self { folder, params }
    }

    fn path(&self) -> &Path {
        &self.params.path
    }

    fn try_open(&self, run: &RunInfo) -> Result<LocalFilesStorage, StorageError> {
        LocalFilesStorage::open(&self.params, run)
    }

    fn open(&self) -> LocalFilesStorage {
        self.open_as(&run("r1"))
    }

    fn open_as(&self, run: &RunInfo) -> LocalFilesStorage {
        self.try_open(run).unwrap()
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
        storage.finish(Outcome::Succeeded, &none(), None)
    }

    /// The files that a reader of a table sees, by their paths in its folder.
    fn files(&self, folder: &str) -> Vec<String> {
        let mut files = Vec::new();
        walk(&self.path().join(folder), "", &mut files);
        files.sort();
        files
    }

    /// The rows of a table of Parquet files, as Parquet's own reader shows them.
    fn rows(&self, folder: &str) -> Vec<String> {
        let mut rows: Vec<_> = self
            .files(folder)
            .iter()
            .filter(|file| !file.starts_with('.'))
            .flat_map(|file| parquet_rows(&self.path().join(folder).join(file)))
            .collect();
        rows.sort();
        rows
    }

    /// The text of a table's only file.
    fn text(&self, folder: &str) -> String {
        let files = self.files(folder);
        assert_eq!(files.len(), 1, "{files:?}");
        std::fs::read_to_string(self.path().join(folder).join(&files[0])).unwrap()
    }

    fn state(&self) -> BTreeMap<String, String> {
        read_state(&self.params, "dm").unwrap()
    }

    fn ledger(&self) -> Connection {
        Connection::open(self.path().join(LEDGER)).unwrap()
    }

    /// The first column of a query to the ledger.
    fn query(&self, sql: &str) -> Vec<String> {
        let ledger = self.ledger();
        let mut statement = ledger.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), &format!("{name}/"), files);
        } else {
            files.push(name);
        }
    }
}

fn parquet_rows(path: &PathBuf) -> Vec<String> {
    let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect()
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
fn put(
    storage: &mut LocalFilesStorage,
    schema: &TableSchema,
    mode: WriteMode,
    rows: &RecordBatch,
) -> TableId {
    let table = storage.open_table(schema, mode).unwrap();
    storage.write(table, rows).unwrap();
    table
}
