//! The host side of the contract's imports: a guest's batches become Arrow
//! record batches on their way to the storage, its state and its reports go
//! where they belong. Nothing that comes from a guest is trusted here.

use std::collections::HashMap;
use std::sync::Arc;

pub mod bindings;
pub(crate) mod columns;
pub(crate) mod imports;
pub(crate) mod instance;
pub(crate) mod json_lines;
mod redact;
mod refusal;
pub mod schema;
pub(crate) mod state;
mod value;

use self::bindings::ow::connector::storage::Batch;
use self::bindings::ow::connector::types::{self, Error, ErrorKind};
use self::redact::Redaction;
use self::refusal::{cancelled, error, invalid, limit};
use self::state::RunState;
use crate::cancel::Cancel;
use crate::report::Event;
use crate::report::log::RunLog;
use crate::report::stats::Stats;
use crate::sandbox::Limits;
use crate::storage::worker::StorageHandle;
use crate::storage::{StorageError, TableId, TableSchema, WriteMode};

/// Bytes of the names and descriptions of all tables of a run: the host and the
/// storage keep them, and each commit writes them.
const SCHEMA_BYTES: usize = 4 * 1024 * 1024;

/// What lies behind the contract's imports in one run.
pub struct Bridge {
    /// None while the guest only describes or checks itself.
    storage: Option<StorageHandle>,
    pub(crate) state: RunState,
    /// The open tables, by the numbers of their writers.
    open: Vec<Open>,
    numbers: HashMap<String, u32>,
    stats: Arc<Stats>,
    redaction: Redaction,
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
            open: Vec::new(),
            numbers: HashMap::new(),
            stats,
            redaction: Redaction::new(Arc::clone(&log)),
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
            if !self.numbers.contains_key(&table.name) {
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

    /// Opens a table for a stream, and returns the number of its writer.
    pub(crate) async fn open(&mut self, stream: types::Stream, mode: WriteMode) -> Result<u32, Error> {
        self.storage()?;
        let table = schema::table(stream, &self.limits)?;
        if mode == WriteMode::Merge && table.primary_key.is_empty() {
            return Err(invalid(format!(
                "the stream '{}' has no primary key, which merge needs",
                table.name
            )));
        }
        if let Some((number, open)) = self.known(&table.name) {
            if *open.table != table || open.mode != mode {
                return Err(invalid(format!(
                    "the stream '{}' is open with other fields or another mode",
                    table.name
                )));
            }
            return Ok(number);
        }
        self.open_table(table, mode).await
    }

    fn known(&self, table: &str) -> Option<(u32, &Open)> {
        let number = *self.numbers.get(table)?;
        Some((number, self.open.get(usize::try_from(number).ok()?)?))
    }

    async fn open_table(&mut self, table: TableSchema, mode: WriteMode) -> Result<u32, Error> {
        let storage = self.storage()?;
        let tables = usize::try_from(self.limits.tables).unwrap_or(usize::MAX);
        if self.open.len() >= tables {
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
        let number = u32::try_from(self.open.len()).unwrap_or(u32::MAX);
        self.numbers.insert(table.name.clone(), number);
        self.open.push(Open { id, table: Arc::new(table), mode });
        Ok(number)
    }

    /// Writes a batch to the table of a writer.
    pub(crate) async fn write(&mut self, writer: u32, rows: Batch) -> Result<(), Error> {
        let storage = self.storage()?;
        let open = usize::try_from(writer).ok().and_then(|number| self.open.get(number)).cloned();
        let open = open.ok_or_else(|| invalid("there is no such writer"))?;
        let max = self.limits.batch_rows;
        let batches = match rows {
            Batch::Columns((rows, _)) if rows > max => Err(limit(
                "batch_rows",
                format!("a batch of the stream '{}' has {rows} rows; the limit is {max}", open.table.name),
            )),
            Batch::Columns((rows, columns)) => {
                columns::record_batch(&open.table, rows, columns).map(|batch| vec![batch])
            }
            Batch::JsonLines(lines) => json_lines::record_batches(&open.table, open.mode, &lines, max),
        };
        let batches = batches.inspect_err(|refused| {
            let message = self.log.clean(&refused.message);
            self.refused.get_or_insert((0, message)).0 += 1;
        })?;
        for batch in batches.into_iter().filter(|batch| batch.num_rows() > 0) {
            let batch = self.redaction.batch(&open.table, batch)?;
            let rows = u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
            let bytes = u64::try_from(batch.get_array_memory_size()).unwrap_or(u64::MAX);
            storage.write(open.id, batch).await.map_err(|failure| self.fail(failure))?;
            self.stats.wrote(&open.table.name, rows, bytes);
        }
        Ok(())
    }

    /// Sets a value of the state.
    pub(crate) fn set(&mut self, key: String, value: String) -> Result<(), Error> {
        self.storage()?;
        let value = self.redaction.state(&key, value)?;
        self.state.set(key, value, &self.limits)
    }

    /// Makes the rows and the state durable.
    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
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
