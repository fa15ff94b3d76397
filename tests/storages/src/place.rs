//! A place of a test's own in a storage: a folder, a schema, a data set, a
//! prefix.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ow_storage::{
    DataType, Outcome, Params, RunInfo, StateChanges, Storage, StorageError, TableSchema, WriteMode, registry,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::Kind;
use crate::kind::SHORT_CLAIM;
use crate::known::Load;
use crate::reader::{self, Table};
use crate::values::{Cells, Row, batch};
use test_servers::{Control, wait_until};
use test_servers::{Missing, Server};

/// The data mart of most cases.
pub const DATA_MART: &str = "dm";

/// What the `writer` is to do.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Job {
    /// The storage's name.
    pub storage: String,
    /// Its parameters.
    pub params: Params,
    /// Where relative paths start.
    pub folder: String,
    /// Which attempt this is.
    pub attempt: u32,
    /// What to load.
    pub load: Load,
    /// After which of its lines it stops for ever.
    pub pause: Option<String>,
}

/// A place in a storage.
#[derive(Debug)]
pub struct Place {
    /// What it is a place in.
    pub kind: Kind,
    /// The parameters that lead to it.
    pub params: Params,
    /// How `read_table.py` finds it.
    pub reader: Value,
    server: Option<Arc<Server>>,
    folder: TempDir,
}

impl Place {
    /// A new place, on a server that it shares with others.
    pub fn new(kind: Kind) -> Result<Self, Missing> {
        reader::any_python()?;
        Ok(Self::on(kind, kind.server()?))
    }

    fn on(kind: Kind, server: Option<Arc<Server>>) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let folder = tempfile::tempdir().unwrap();
        let name = format!("place_{}", COUNT.fetch_add(1, Ordering::SeqCst));
        let address = server.as_ref().map_or("", |server| server.address.as_str());
        let (params, reader) = kind.place(folder.path(), &name, address);
        Self { kind, params: params.as_object().unwrap().clone(), reader, server, folder }
    }

    /// Another place on the same server.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::on(self.kind, self.server.clone())
    }

    /// Another place on a server that nobody else uses.
    #[must_use]
    pub fn with_a_server_of_its_own(&self) -> Self {
        Self::on(self.kind, self.kind.start_server().expect("what started before"))
    }

    /// The control plane of the fake that serves it.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(&self.server_address())
    }

    /// Where its server listens.
    #[must_use]
    pub fn server_address(&self) -> String {
        self.server.as_ref().expect("a storage with a server").address.clone()
    }

    /// The same place of a PostgreSQL server, by another port.
    #[must_use]
    pub fn through(&self, port: u16) -> Self {
        let mut there = Self::on(self.kind, self.server.clone());
        there.params = self.params.clone();
        there.params.insert("Port".to_owned(), port.into());
        there.reader = self.reader.clone();
        there
    }

    /// The folder that relative paths start at.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Opens the storage as the host does.
    pub fn open(&self, run: &RunInfo) -> Result<Box<dyn Storage>, StorageError> {
        registry::open(self.kind.storage(), &self.params, self.folder(), run).map(|(storage, _)| storage)
    }

    /// The same, as soon as a run that died is known to be dead.
    #[must_use]
    pub fn open_when_free(&self, run: &RunInfo) -> Box<dyn Storage> {
        let mut opened = self.open(run);
        wait_until(|| {
            if matches!(opened, Err(StorageError::Busy { .. })) {
                std::thread::sleep(Duration::from_millis(100));
                opened = self.open(run);
            }
            !matches!(opened, Err(StorageError::Busy { .. }))
        });
        opened.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same place for runs that die: the next run waits a short time only.
    #[must_use]
    pub fn in_a_hurry(mut self) -> Self {
        if let Some(seconds) = self.params.get_mut("ClaimSeconds") {
            *seconds = SHORT_CLAIM.into();
        }
        self
    }

    /// A run that writes batches to one table and ends well.
    pub fn try_load(
        &self,
        schema: &TableSchema,
        mode: WriteMode,
        batches: &[&[Row]],
    ) -> Result<(), StorageError> {
        self.try_load_as(&a_run("r"), schema, mode, batches)
    }

    /// The same as this run.
    pub fn try_load_as(
        &self,
        run: &RunInfo,
        schema: &TableSchema,
        mode: WriteMode,
        batches: &[&[Row]],
    ) -> Result<(), StorageError> {
        let mut storage = self.open(run)?;
        let result = write_all(storage.as_mut(), schema, mode, batches);
        let outcome = if result.is_ok() { Outcome::Succeeded } else { Outcome::Failed };
        let finished = storage.finish(outcome, &StateChanges::new(), None);
        result.and(finished)
    }

    /// A run that has to succeed.
    pub fn load(&self, schema: &TableSchema, mode: WriteMode, batches: &[&[Row]]) {
        self.try_load(schema, mode, batches).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The rows of a stream's table, sorted, with the columns of the stream.
    #[must_use]
    pub fn read(&self, schema: &TableSchema) -> Vec<Cells> {
        self.table(schema).unwrap_or_else(|| panic!("there is no table `{}`", schema.name)).rows
    }

    /// A stream's table; none where there is none.
    #[must_use]
    pub fn table(&self, schema: &TableSchema) -> Option<Table> {
        let columns: Vec<(String, DataType)> =
            schema.fields.iter().map(|field| (self.kind.column(&field.name), field.data_type)).collect();
        reader::table(&self.reader, &self.kind.table(&schema.name), &columns)
    }

    /// Checks a stream's table against the rows that it has to hold, each once,
    /// in any order.
    #[track_caller]
    pub fn expect(&self, schema: &TableSchema, rows: &[Cells]) {
        let mut expected = rows.to_vec();
        expected.sort();
        let found = self.read(schema);
        assert!(found == expected, "table `{}`\nholds    {found:?}\nand not  {expected:?}", schema.name);
    }

    /// The names of everything that is in the place.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        reader::names(&self.reader)
    }

    /// Tables and files that a run left behind and that no reader should find.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        self.names().into_iter().filter(|name| self.kind.is_leftover(name)).collect()
    }

    /// The state of the data mart, each value parsed.
    #[must_use]
    pub fn state(&self) -> BTreeMap<String, Value> {
        self.state_of(DATA_MART)
    }

    /// The state of a data mart.
    #[must_use]
    pub fn state_of(&self, data_mart: &str) -> BTreeMap<String, Value> {
        let state = registry::read_state(self.kind.storage(), &self.params, self.folder(), data_mart);
        parsed(state.unwrap_or_else(|error| panic!("{error}")))
    }
}

/// State with its values parsed: a storage may write JSON its own way.
#[must_use]
pub fn parsed(state: BTreeMap<String, String>) -> BTreeMap<String, Value> {
    state.into_iter().map(|(key, value)| (key, serde_json::from_str(&value).unwrap())).collect()
}

/// Opens a table and writes batches to it.
pub fn write_all(
    storage: &mut dyn Storage,
    schema: &TableSchema,
    mode: WriteMode,
    batches: &[&[Row]],
) -> Result<(), StorageError> {
    let table = storage.open_table(schema, mode)?;
    batches.iter().try_for_each(|rows| storage.write(table, &batch(schema, rows)))
}

/// A plain run of the data mart `dm`.
#[must_use]
pub fn a_run(run_id: &str) -> RunInfo {
    run_of(DATA_MART, run_id)
}

/// A plain run of a data mart.
#[must_use]
pub fn run_of(data_mart: &str, run_id: &str) -> RunInfo {
    RunInfo {
        data_mart_id: data_mart.to_owned(),
        run_id: run_id.to_owned(),
        run_type: "INCREMENTAL".to_owned(),
        connector: "probe 1.0.0".to_owned(),
        full_refresh: false,
        keep_state: false,
    }
}

/// A full refresh.
#[must_use]
pub fn a_refresh(run_id: &str) -> RunInfo {
    RunInfo { run_type: "FULL_REFRESH".to_owned(), full_refresh: true, ..a_run(run_id) }
}

/// A backfill.
#[must_use]
pub fn a_backfill(run_id: &str) -> RunInfo {
    RunInfo { run_type: "MANUAL_BACKFILL".to_owned(), keep_state: true, ..a_run(run_id) }
}

/// State changes in a few words; none removes.
#[must_use]
pub fn changes(changes: &[(&str, Option<&str>)]) -> StateChanges {
    changes.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect()
}
