//! The host side of the contract's imports: a guest's batches become Arrow
//! record batches on their way to the storage, its state and its reports go
//! where they belong. Nothing that comes from a guest is trusted here.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

pub mod bindings;
pub(crate) mod columns;
pub(crate) mod json_lines;
mod refusal;
pub mod schema;
pub(crate) mod state;
mod value;

use self::bindings::ow::connector::types::{self, Error, ErrorKind};
use self::bindings::ow::connector::{report as wit_report, state as wit_state, storage as wit_storage};
use self::refusal::{cancelled, error, invalid, limit};
use self::state::RunState;
use crate::cancel::Cancel;
use crate::failure::{Failure, FailureClass};
use crate::report::log::RunLog;
use crate::report::stats::Stats;
use crate::report::text::{cut, plain};
use crate::report::{Event, Level, LogSource};
use crate::sandbox::guest::GuestState;
use crate::sandbox::{Limits, engine, guest};
use crate::storage::worker::StorageHandle;
use crate::storage::{StorageError, TableId, TableSchema, WriteMode};

/// Bytes of the names and descriptions of all tables of a run: the host and the
/// storage keep them, and each commit writes them.
const SCHEMA_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of the unit that a connector counts in.
const UNIT_BYTES: usize = 32;

/// What lies behind the contract's imports in one run.
pub struct Bridge {
    /// None while the guest only describes or checks itself.
    storage: Option<StorageHandle>,
    pub(crate) state: RunState,
    tables: HashMap<String, Open>,
    stats: Arc<Stats>,
    log: Arc<RunLog>,
    limits: Limits,
    cancel: Cancel,
    failed: Option<StorageError>,
    /// Batches that were refused, and why the first was.
    refused: Option<(u64, String)>,
    /// Bytes of the open tables' names and descriptions.
    schema_bytes: usize,
    /// Nothing is durable before the run succeeds.
    full_refresh: bool,
}

/// A stream that the guest has opened.
#[derive(Clone)]
struct Open {
    id: TableId,
    table: Arc<TableSchema>,
    mode: WriteMode,
}

/// The guest's handle to an open table.
pub struct Writer(Open);

/// What a [`Bridge`] is made of.
pub(crate) struct BridgeOptions {
    pub(crate) storage: Option<StorageHandle>,
    pub(crate) state: RunState,
    pub(crate) stats: Arc<Stats>,
    pub(crate) log: Arc<RunLog>,
    pub(crate) limits: Limits,
    pub(crate) cancel: Cancel,
    pub(crate) full_refresh: bool,
}

impl Bridge {
    pub(crate) fn new(options: BridgeOptions) -> Self {
        let BridgeOptions { storage, state, stats, log, limits, cancel, full_refresh } = options;
        Self {
            storage,
            state,
            tables: HashMap::new(),
            stats,
            log,
            limits,
            cancel,
            failed: None,
            refused: None,
            schema_bytes: 0,
            full_refresh,
        }
    }

    /// The failure of the storage, if it failed: whatever the guest made of it,
    /// the run did not succeed.
    pub(crate) fn failed(&self) -> Option<&StorageError> {
        self.failed.as_ref()
    }

    /// Batches that were refused, and why the first was.
    pub(crate) fn refused(&self) -> Option<&(u64, String)> {
        self.refused.as_ref()
    }

    /// Opens the tables that are not open yet, so that a full refresh empties
    /// them.
    pub(crate) async fn open_missing(&mut self, tables: Vec<TableSchema>) -> Result<(), Error> {
        for table in tables {
            if !self.tables.contains_key(&table.name) {
                let mode = if table.primary_key.is_empty() { WriteMode::Append } else { WriteMode::Merge };
                self.open_table(table, mode).await?;
            }
        }
        Ok(())
    }

    fn storage(&self) -> Result<StorageHandle, Error> {
        if self.cancel.is_cancelled() {
            return Err(cancelled());
        }
        self.storage
            .clone()
            .ok_or_else(|| error(ErrorKind::Denied, "rows and state cannot be written outside a run"))
    }

    /// Remembers a failure of the storage: it dropped what was not committed, so
    /// that the run cannot succeed any more.
    fn fail(&mut self, failure: StorageError) -> Error {
        let answer = refusal::storage(&failure);
        self.failed.get_or_insert(failure);
        answer
    }

    async fn open(&mut self, stream: types::Stream, mode: WriteMode) -> Result<Open, Error> {
        self.storage()?;
        let table = schema::table(stream, &self.limits)?;
        if mode == WriteMode::Merge && table.primary_key.is_empty() {
            return Err(invalid(format!(
                "the stream '{}' has no primary key, which merge needs",
                table.name
            )));
        }
        if let Some(open) = self.tables.get(&table.name) {
            if *open.table != table || open.mode != mode {
                return Err(invalid(format!(
                    "the stream '{}' is open with other fields or another mode",
                    table.name
                )));
            }
            return Ok(open.clone());
        }
        self.open_table(table, mode).await
    }

    async fn open_table(&mut self, table: TableSchema, mode: WriteMode) -> Result<Open, Error> {
        let storage = self.storage()?;
        let tables = usize::try_from(self.limits.tables).unwrap_or(usize::MAX);
        if self.tables.len() >= tables {
            return Err(limit("tables", format!("the run has {tables} tables open, as many as it may")));
        }
        self.schema_bytes = self.schema_bytes.saturating_add(schema::size(&table));
        if self.schema_bytes > SCHEMA_BYTES {
            return Err(error(
                ErrorKind::LimitExceeded,
                format!(
                    "the names and descriptions of the run's tables are larger than {SCHEMA_BYTES} bytes"
                ),
            ));
        }
        let id = storage.open_table(table.clone(), mode).await.map_err(|failure| self.fail(failure))?;
        self.stats.opened(&table.name, mode);
        let open = Open { id, table: Arc::new(table), mode };
        self.tables.insert(open.table.name.clone(), open.clone());
        Ok(open)
    }

    async fn write(&mut self, open: &Open, rows: wit_storage::Batch) -> Result<(), Error> {
        let storage = self.storage()?;
        let max = self.limits.batch_rows;
        let batches = match rows {
            wit_storage::Batch::Columns((rows, _)) if rows > max => {
                return Err(limit(
                    "batch_rows",
                    format!(
                        "a batch of the stream '{}' has {rows} rows; the limit is {max}",
                        open.table.name
                    ),
                ));
            }
            wit_storage::Batch::Columns((rows, columns)) => {
                columns::record_batch(&open.table, rows, columns).map(|batch| vec![batch])
            }
            wit_storage::Batch::JsonLines(lines) => {
                json_lines::record_batches(&open.table, open.mode, &lines, max)
            }
        };
        let batches = batches.inspect_err(|refused| {
            let message = self.log.clean(&refused.message);
            self.refused.get_or_insert((0, message)).0 += 1;
        })?;
        for batch in batches.into_iter().filter(|batch| batch.num_rows() > 0) {
            let rows = u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
            let bytes = u64::try_from(batch.get_array_memory_size()).unwrap_or(u64::MAX);
            storage.write(open.id, batch).await.map_err(|failure| self.fail(failure))?;
            self.stats.wrote(&open.table.name, rows, bytes);
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Error> {
        let storage = self.storage()?;
        storage.commit(self.state.changes().clone()).await.map_err(|failure| self.fail(failure))?;
        self.state.committed();
        if !self.full_refresh {
            let (commits, rows) = self.stats.committed(false);
            self.log.emit(&Event::Committed { commits, rows });
        }
        Ok(())
    }
}

/// What the generated functions work on: the bridge and the table of resources.
pub struct BridgeView<'a> {
    bridge: &'a mut Bridge,
    table: &'a mut ResourceTable,
}

struct HasBridge;

impl HasData for HasBridge {
    type Data<'a> = BridgeView<'a>;
}

/// The linker of every run.
///
/// # Errors
///
/// If this machine cannot run compiled WebAssembly.
pub(crate) fn linker() -> Result<&'static Linker<GuestState<Bridge>>, Failure> {
    static LINKER: OnceLock<Linker<GuestState<Bridge>>> = OnceLock::new();
    if let Some(linker) = LINKER.get() {
        return Ok(linker);
    }
    let build = || -> wasmtime::Result<_> {
        let mut linker = Linker::new(engine::shared()?);
        guest::add_to_linker(&mut linker)?;
        fn view(state: &mut GuestState<Bridge>) -> BridgeView<'_> {
            BridgeView { bridge: &mut state.bridge, table: &mut state.table }
        }
        types::add_to_linker::<_, HasBridge>(&mut linker, view)?;
        wit_storage::add_to_linker::<_, HasBridge>(&mut linker, view)?;
        wit_state::add_to_linker::<_, HasBridge>(&mut linker, view)?;
        wit_report::add_to_linker::<_, HasBridge>(&mut linker, view)?;
        Ok(linker)
    };
    let linker = build().map_err(|error| Failure::new(FailureClass::Internal, format!("{error:#}")))?;
    Ok(LINKER.get_or_init(|| linker))
}

impl types::Host for BridgeView<'_> {}

impl wit_storage::Host for BridgeView<'_> {
    async fn open(
        &mut self,
        stream: types::Stream,
        mode: wit_storage::WriteMode,
    ) -> wasmtime::Result<Result<Resource<Writer>, Error>> {
        let mode = match mode {
            wit_storage::WriteMode::Append => WriteMode::Append,
            wit_storage::WriteMode::Merge => WriteMode::Merge,
            wit_storage::WriteMode::Replace => WriteMode::Replace,
        };
        match self.bridge.open(stream, mode).await {
            Ok(open) => Ok(Ok(self.table.push(Writer(open))?)),
            Err(refused) => Ok(Err(refused)),
        }
    }
}

impl wit_storage::HostWriter for BridgeView<'_> {
    async fn write(
        &mut self,
        writer: Resource<Writer>,
        rows: wit_storage::Batch,
    ) -> wasmtime::Result<Result<(), Error>> {
        let Writer(open) = self.table.get(&writer)?;
        let open = open.clone();
        Ok(self.bridge.write(&open, rows).await)
    }

    fn drop(&mut self, writer: Resource<Writer>) -> wasmtime::Result<()> {
        self.table.delete(writer)?;
        Ok(())
    }
}

impl wit_state::Host for BridgeView<'_> {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        Ok(self.bridge.state.get(&key).cloned())
    }

    fn set(&mut self, key: String, value: String) -> wasmtime::Result<Result<(), Error>> {
        if let Err(refused) = self.bridge.storage() {
            return Ok(Err(refused));
        }
        Ok(self.bridge.state.set(key, value, &self.bridge.limits))
    }

    async fn commit(&mut self) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.bridge.commit().await)
    }
}

impl wit_report::Host for BridgeView<'_> {
    fn log(
        &mut self,
        level: wit_report::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let level = match level {
            wit_report::Level::Trace => Level::Trace,
            wit_report::Level::Debug => Level::Debug,
            wit_report::Level::Info => Level::Info,
            wit_report::Level::Warn => Level::Warn,
            wit_report::Level::Error => Level::Error,
        };
        self.bridge.log.guest_line(level, LogSource::Connector, &message, &fields);
        Ok(())
    }

    fn progress(&mut self, done: u64, total: Option<u64>, unit: String) -> wasmtime::Result<()> {
        let unit = plain(cut(&unit, UNIT_BYTES)).into_owned();
        self.bridge.stats.said(done, total, unit);
        Ok(())
    }

    fn cancelled(&mut self) -> wasmtime::Result<bool> {
        Ok(self.bridge.cancel.is_cancelled())
    }
}
