//! A run's view: open tables, rows on their way, commits, the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::identifier::{check, fold, hive};
use super::log::{History, Next, Part, What};
use super::mart::{self, Mart};
use super::service::{Condition, Put, Service, failed, to_json};
use super::sql::{Batch, Staged};
use super::stage::{File, IN_FLIGHT};
use super::table::{self, Base, Column, Standing};
use super::trouble::fault;
use super::{Parameters, ledger, values};
use crate::contract::quarantine;
use crate::history::{self, Progress};
use crate::text::now;
use crate::{Field, Outcome, RunInfo, StateChanges, Storage, StorageError, TableId, TableSchema, WriteMode};

/// Encoded rows that wait in memory, of all tables together.
const MEMORY: usize = 64 * 1024 * 1024;
/// How long a dropped storage tries to give its claim up.
const GOODBYE: Duration = Duration::from_secs(5);

/// A place in Athena that one run has open.
pub struct AthenaStorage {
    // None once it is dropped.
    runtime: Option<Runtime>,
    service: Arc<Service>,
    permits: Arc<Semaphore>,
    /// None once the run has ended.
    mart: Option<Mart>,
    prefix: String,
    run: RunInfo,
    history: History,
    tables: Vec<Table>,
    /// State that waits for the end of the run.
    held: StateChanges,
    commits: u64,
    /// How long commits may wait to be brought into the tables together.
    interval: Duration,
    settled: Option<Instant>,
    waited: Duration,
    /// Of the current step: time that was not spent waiting.
    worked: Duration,
    broken: Option<StorageError>,
}

/// A table that the run has open.
struct Table {
    schema: TableSchema,
    mode: WriteMode,
    name: String,
    /// Its content is replaced when the run succeeds.
    replaces: bool,
    /// The columns that it has after the next commit.
    columns: Vec<Column>,
    staged: Vec<Staged>,
    sets: Vec<Vec<usize>>,
    file: Option<File>,
    /// Staged files that no commit names yet.
    files: Vec<String>,
    /// Files that were begun.
    begun: u64,
    /// Rows that were staged, of these those that no commit names yet, and those
    /// that are committed.
    stored: u64,
    waiting: u64,
    committed: u64,
    /// The first commit whose rows wait.
    since: u64,
    /// Whether a commit has named it.
    stands: bool,
}

impl AthenaStorage {
    pub(super) fn open(params: &Parameters, run: &RunInfo) -> Result<Self, StorageError> {
        let runtime = runtime()?;
        let began = Instant::now();
        let history = History {
            run_id: run.run_id.clone(),
            data_mart_id: run.data_mart_id.clone(),
            connector: run.connector.clone(),
            run_type: run.run_type.clone(),
            status: "running".to_owned(),
            started_at: now(),
            finished_at: None,
            rows: "{}".to_owned(),
            schema: "{}".to_owned(),
            commits: 0,
            error: None,
        };
        let (service, mart) = runtime.block_on(async {
            let service = Arc::new(Service::connect(params).await);
            stand_database(&service).await?;
            let mart = Mart::open(&service, &run.data_mart_id, run, history.clone()).await?;
            ledger::record(&service, &mart.id, mart.log.fence(), &history).await?;
            Ok::<_, StorageError>((service, mart))
        })?;
        Ok(Self {
            runtime: Some(runtime),
            service,
            permits: Arc::new(Semaphore::new(IN_FLIGHT)),
            mart: Some(mart),
            prefix: params.table_prefix.clone(),
            run: run.clone(),
            history,
            tables: Vec::new(),
            held: StateChanges::new(),
            commits: 0,
            interval: Duration::from_secs(params.apply_interval),
            settled: None,
            waited: began.elapsed(),
            worked: Duration::ZERO,
            broken: None,
        })
    }

    /// Runs a step; a failure drops what is not committed and is the answer to
    /// every later step.
    fn step<T>(
        &mut self,
        step: impl AsyncFnOnce(&mut Self) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        self.attempt(step).inspect_err(|error| {
            self.tables.clear();
            self.broken = Some(error.clone());
        })
    }

    fn attempt<T>(
        &mut self,
        step: impl AsyncFnOnce(&mut Self) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if self.mart.is_none() {
            return Err(failed("the run has ended already", false));
        }
        let Some(runtime) = self.runtime.take() else { return Err(failed("the storage is closed", false)) };
        let began = Instant::now();
        let result = runtime.block_on(step(self));
        self.runtime = Some(runtime);
        self.waited += began.elapsed().saturating_sub(std::mem::take(&mut self.worked));
        result
    }

    fn mart(&mut self) -> Result<&mut Mart, StorageError> {
        self.mart.as_mut().ok_or_else(|| failed("the run has ended already", false))
    }

    /// Makes a table of the database ours to write, if no run of another data
    /// mart writes it; what that data mart committed goes there first.
    async fn own(&mut self, name: &str) -> Result<(), StorageError> {
        let (service, id) = (Arc::clone(&self.service), self.run.data_mart_id.clone());
        let key = mart::owner_key(&service, name);
        for _ in 0..3 {
            let put = match service.get_json::<String>(&key).await? {
                Some((owner, _)) if owner == id => return Ok(()),
                Some((owner, object)) => {
                    let mut other = Mart::open(&service, &owner, &self.run, self.history.clone()).await?;
                    let put = service.put(&key, to_json(&id)?, Condition::Unchanged(&object.tag)).await;
                    let fence = other.log.fence();
                    let history = History {
                        status: "handed over".to_owned(),
                        finished_at: Some(now()),
                        ..self.history.clone()
                    };
                    let state = other.log.state().clone();
                    let ended = other.append(Next { what: What::End, state, history: history.clone() }).await;
                    let _ = ledger::record(&service, &owner, fence, &history).await;
                    other.release().await?;
                    ended?;
                    put?
                }
                None => service.put(&key, to_json(&id)?, Condition::Absent).await?,
            };
            if let Put::Done(_) = put {
                return Ok(());
            }
        }
        Err(StorageError::Busy {
            message: format!(
                "table `{name}` is being taken by runs of other data marts; give each data mart a `TablePrefix` of its own"
            ),
        })
    }

    async fn open_one(&mut self, schema: &TableSchema, mode: WriteMode) -> Result<TableId, StorageError> {
        let name = fold(&format!("{}{}", self.prefix, schema.name));
        // Before anything that is open is looked at: the quarantine may be.
        check(&name, schema)?;
        if let Some(open) = self.find(schema, mode, &name)? {
            return Ok(open);
        }
        if mode == WriteMode::Merge && schema.primary_key.is_empty() {
            return Err(StorageError::Refused {
                message: format!(
                    "table `{name}` cannot be merged into without a primary key; declare one, or use `append` or `replace`"
                ),
            });
        }
        let replaces = mode == WriteMode::Replace || self.run.full_refresh;
        self.add(schema, mode, name, replaces).await
    }

    /// Opens the quarantine of this data mart: since a table has one writer at a
    /// time, each data mart has its own.
    async fn open_own_quarantine(&mut self, schema: &TableSchema) -> Result<TableId, StorageError> {
        let name = self.quarantine_name();
        match self.find(schema, WriteMode::Append, &name)? {
            Some(open) => Ok(open),
            None => self.add(schema, WriteMode::Append, name, false).await,
        }
    }

    /// The table that the run has open under this name, if it is the same one.
    fn find(
        &self,
        schema: &TableSchema,
        mode: WriteMode,
        name: &str,
    ) -> Result<Option<TableId>, StorageError> {
        let Some(number) = self.tables.iter().position(|table| table.name == name) else { return Ok(None) };
        let open = self.tables.get(number).filter(|table| table.schema == *schema && table.mode == mode);
        open.map(|_| Some(id(number))).ok_or_else(|| StorageError::Refused {
            message: format!(
                "table `{name}` is open already in this run, for stream `{}` or with other fields or another mode; names that differ in case or signs only are one table in Athena",
                schema.name.escape_debug()
            ),
        })
    }

    /// Opens a table that is not open yet.
    async fn add(
        &mut self,
        schema: &TableSchema,
        mode: WriteMode,
        name: String,
        replaces: bool,
    ) -> Result<TableId, StorageError> {
        self.own(&name).await?;
        let columns = self.plan(&name, schema, replaces).await?;
        let staged = values::staged(schema, &columns, mode);
        let number = self.tables.len();
        self.tables.push(Table {
            schema: schema.clone(),
            mode,
            name,
            replaces,
            columns,
            staged,
            sets: Vec::new(),
            file: None,
            files: Vec::new(),
            begun: 0,
            stored: 0,
            waiting: 0,
            committed: 0,
            since: self.commits + 1,
            stands: false,
        });
        Ok(id(number))
    }

    async fn plan(
        &self,
        name: &str,
        schema: &TableSchema,
        replaces: bool,
    ) -> Result<Vec<Column>, StorageError> {
        let Some(standing) = Standing::load(&self.service, name).await? else {
            return Ok(table::fresh(schema));
        };
        if !replaces {
            let catalog = mart::catalog(&self.service, name).await?;
            return table::plan(name, &standing, catalog.as_ref(), schema);
        }
        let fresh = table::fresh(schema);
        let cannot = |column: &&Column| standing.step(column) == Some(table::Step::Never);
        let is_ours = standing.location.starts_with(&self.service.uri(&self.service.place.prefix));
        if let (Some(column), false) = (fresh.iter().find(cannot), is_ours) {
            return Err(StorageError::Refused {
                message: format!(
                    "column `{}` of table `{name}` would have to be {}, and the table is not in `S3Prefix`, so ow-host does not build it anew; drop that table, or set `TablePrefix`",
                    column.name, column.data_type
                ),
            });
        }
        Ok(fresh)
    }

    async fn write_rows(&mut self, number: usize, rows: &RecordBatch) -> Result<(), StorageError> {
        let began = Instant::now();
        let (commit, permits) = (self.commits + 1, Arc::clone(&self.permits));
        let mart = self.mart.as_ref().ok_or_else(no_table)?;
        let table = self.tables.get_mut(number).ok_or_else(no_table)?;
        let target = values::Target {
            table: &table.name,
            schema: &table.schema,
            columns: &table.staged,
            rows_before: table.stored,
        };
        let set = values::set(&target, rows)?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let known = table.sets.iter().position(|known| *known == set).unwrap_or(table.sets.len());
        let batch = values::stage(&target, rows, commit, known)?;
        if known == table.sets.len() {
            table.sets.push(set);
        }
        if table.file.is_none() {
            let key = format!("{}{commit:08}-{:06}.parquet", mart.stage_folder(number), table.begun);
            table.begun += 1;
            table.file = Some(File::new(&self.service, key, values::stage_schema(&table.staged))?);
        }
        let full = match &mut table.file {
            Some(file) => {
                file.write(&batch)?;
                self.worked = began.elapsed();
                file.flush_full(&permits).await?
            }
            None => false,
        };
        if full {
            table.close(&permits).await?;
        }
        let count = u64::try_from(rows.num_rows()).unwrap_or(u64::MAX);
        table.stored += count;
        table.waiting += count;
        self.make_room().await
    }

    /// Keeps the rows that wait in memory in bounds, however many tables.
    async fn make_room(&mut self) -> Result<(), StorageError> {
        let memory = |table: &Table| table.file.as_ref().map_or(0, File::memory);
        if self.tables.iter().map(memory).sum::<usize>() < MEMORY {
            return Ok(());
        }
        let permits = Arc::clone(&self.permits);
        if let Some(table) = self.tables.iter_mut().max_by_key(|table| memory(table))
            && let Some(file) = &mut table.file
        {
            file.flush(&permits).await?;
        }
        // Many tables with a little each: none has a part to send.
        if self.tables.iter().map(memory).sum::<usize>() >= MEMORY
            && let Some(table) = self.tables.iter_mut().max_by_key(|table| memory(table))
        {
            table.close(&permits).await?;
        }
        Ok(())
    }

    /// Everything that was written is in S3 when this returns.
    async fn flush(&mut self) -> Result<(), StorageError> {
        let permits = Arc::clone(&self.permits);
        for table in &mut self.tables {
            table.close(&permits).await?;
        }
        Ok(())
    }

    /// What a commit names: tables with rows, and those that no commit has named.
    fn parts(&self, last: bool) -> Result<Vec<Part>, StorageError> {
        let mart = self.mart.as_ref().ok_or_else(no_table)?;
        let mut parts = Vec::new();
        for (number, table) in self.tables.iter().enumerate() {
            let is_new = table.waiting > 0 || !table.stands;
            if table.replaces && !last || !is_new {
                continue;
            }
            let stage = (table.waiting > 0).then(|| mart.stage_table(mart.log.fence(), number));
            let mode = match (table.replaces, table.mode) {
                (true, _) => WriteMode::Replace,
                // The keys are what counts.
                (false, mode) => mode,
            };
            let batch = Batch {
                table: table.name.clone(),
                mode,
                stage,
                columns: table.staged.clone(),
                commits: (table.since, self.commits + 1),
                sets: table.sets.clone(),
            };
            batch.check_length(&self.service.place.database, &Base::default())?;
            parts.push(Part {
                number,
                stream: table.schema.name.clone(),
                columns: table.columns.clone(),
                batch,
                rows: table.waiting,
                files: table.files.clone(),
            });
        }
        Ok(parts)
    }

    async fn commit_all(&mut self, changes: &StateChanges) -> Result<(), StorageError> {
        self.flush().await?;
        let parts = self.parts(false)?;
        if parts.is_empty() && changes.is_empty() {
            self.commits += 1;
            self.tables
                .iter_mut()
                .filter(|table| !table.replaces)
                .for_each(|table| table.since = self.commits + 1);
            return Ok(());
        }
        let now = self.split_state(changes);
        let mut state = self.mart()?.log.state().clone();
        history::change_state(&mut state, &now);
        self.add_commit(parts, state, false).await?;
        if self.settled.is_none_or(|settled| settled.elapsed() >= self.interval) {
            self.settle().await?;
        }
        Ok(())
    }

    /// The commit itself: one conditional write.
    async fn add_commit(
        &mut self,
        parts: Vec<Part>,
        state: BTreeMap<String, String>,
        last: bool,
    ) -> Result<(), StorageError> {
        self.commits += 1;
        for table in self.tables.iter_mut().filter(|table| last || !table.replaces) {
            table.committed += std::mem::take(&mut table.waiting);
            table.files.clear();
            table.since = self.commits + 1;
            table.stands = true;
        }
        self.tell();
        let history = self.history.clone();
        self.mart()?.append(Next { what: What::Commit(parts), state, history }).await
    }

    /// Brings what is committed into the tables, then tells users of it.
    async fn settle(&mut self) -> Result<(), StorageError> {
        let service = Arc::clone(&self.service);
        self.mart()?.settle().await?;
        let mart = self.mart.as_ref().ok_or_else(no_table)?;
        ledger::record_state(&service, &mart.id, &self.run.run_id, mart.log.state()).await?;
        ledger::record(&service, &mart.id, mart.log.fence(), &self.history).await?;
        if self.settled.is_none() {
            ledger::stand(&service).await?;
        }
        self.settled = Some(Instant::now());
        Ok(())
    }

    /// Brings the history to what this commit makes durable.
    fn tell(&mut self) {
        let tables = self.tables.iter().map(|table| (&table.schema, table.mode, table.committed));
        let progress = Progress::new(tables, self.commits);
        self.history.rows = progress.rows;
        self.history.schema = progress.schema;
        self.history.commits = progress.commits;
    }

    /// Keeps back the state that waits for the end of the run, and answers the
    /// rest.
    fn split_state(&mut self, changes: &StateChanges) -> StateChanges {
        let replaced = self.tables.iter().filter(|table| table.replaces).map(|table| &table.schema);
        history::split_state(changes, &self.run, replaced, &mut self.held)
    }

    /// The last commit of a run that succeeded.
    async fn succeed(&mut self, changes: &StateChanges) -> Result<(), StorageError> {
        self.flush().await?;
        let now_changes = self.split_state(changes);
        let mut state = self.mart()?.log.state().clone();
        if self.run.full_refresh && !self.run.keep_state {
            state.clear();
        }
        history::change_state(&mut state, &now_changes);
        history::change_state(&mut state, &std::mem::take(&mut self.held));
        let parts = self.parts(true)?;
        self.history.status = "succeeded".to_owned();
        self.history.finished_at = Some(now());
        self.add_commit(parts, state, true).await?;
        self.settle().await
    }

    /// The end of a run that did not succeed; what it committed is brought into
    /// the tables.
    async fn fail(&mut self, status: &str, error: Option<&str>) -> Result<(), StorageError> {
        self.tables.clear();
        // Done already: the last commit is in the log, and only the tables wait.
        let committed = self.mart()?.log.tail().is_some_and(|tail| tail.history.status == "succeeded");
        if committed {
            return Ok(());
        }
        self.history.status = status.to_owned();
        self.history.finished_at = Some(now());
        self.history.error = error.map(str::to_owned);
        let history = self.history.clone();
        let mart = self.mart()?;
        let state = mart.log.state().clone();
        mart.append(Next { what: What::End, state, history: history.clone() }).await?;
        let (id, fence) = (mart.id.clone(), mart.log.fence());
        ledger::record(&self.service, &id, fence, &history).await?;
        if self.mart()?.log.pending().is_empty() {
            return Ok(());
        }
        self.settle().await
    }

    async fn clean(&mut self) -> Result<(), StorageError> {
        let mart = self.mart()?;
        if mart.log.pending().is_empty() {
            mart.clear(|fence, own| fence == own).await?;
        }
        Ok(())
    }

    async fn end(
        &mut self,
        outcome: Outcome,
        changes: &StateChanges,
        error: Option<&str>,
    ) -> Result<(), StorageError> {
        let result = match (outcome, &self.broken) {
            (Outcome::Succeeded, Some(broken)) => Err(broken.clone()),
            (Outcome::Succeeded, None) => self.succeed(changes).await,
            (Outcome::Failed, _) => self.fail("failed", error).await,
            (Outcome::Interrupted, _) => self.fail("interrupted", error).await,
        };
        if let (Outcome::Succeeded, Err(error)) = (outcome, &result) {
            // The first failure is the one to tell.
            let _ = self.fail("failed", Some(&error.to_string())).await;
        }
        // What stays behind is cleared away by the next run.
        let _ = self.clean().await;
        if let Some(mart) = &mut self.mart {
            let _ = mart.release().await;
        }
        result
    }
}

impl Table {
    async fn close(&mut self, permits: &Arc<Semaphore>) -> Result<(), StorageError> {
        if let Some(file) = self.file.take() {
            self.files.push(file.close(permits).await?);
        }
        Ok(())
    }
}

fn id(number: usize) -> TableId {
    TableId(u32::try_from(number).unwrap_or(u32::MAX))
}

fn no_table() -> StorageError {
    failed("the table is not open", false)
}

/// The threads that speak to the services.
pub(super) fn runtime() -> Result<Runtime, StorageError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("ow-athena")
        .enable_all()
        .build()
        .map_err(|error| failed(format!("the threads of the storage could not be started: {error}"), true))
}

/// Whether the database is there.
pub(super) async fn has_database(service: &Service) -> Result<bool, StorageError> {
    let request = service.athena.get_database().catalog_name("AwsDataCatalog");
    match request.database_name(&service.place.database).send().await {
        Ok(_) => Ok(true),
        Err(error) => {
            let fault = fault(error);
            if fault.is_absent() {
                return Ok(false);
            }
            Err(service.explain(fault, &format!("look at database `{}`", service.place.database)))
        }
    }
}

async fn stand_database(service: &Service) -> Result<(), StorageError> {
    if has_database(service).await? {
        return Ok(());
    }
    service.define(&format!("CREATE DATABASE IF NOT EXISTS {}", hive(&service.place.database))).await
}

impl Storage for AthenaStorage {
    fn state(&mut self) -> Result<BTreeMap<String, String>, StorageError> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        Ok(self.mart()?.log.state().clone())
    }

    fn open_table(&mut self, table: &TableSchema, mode: WriteMode) -> Result<TableId, StorageError> {
        self.step(async |this| this.open_one(table, mode).await)
    }

    fn open_quarantine(&mut self, table: &TableSchema) -> Result<TableId, StorageError> {
        self.step(async |this| this.open_own_quarantine(table).await)
    }

    fn quarantine_name(&self) -> String {
        format!("{}_{}", quarantine::NAME, mart::tag(&self.run.data_mart_id))
    }

    fn write(&mut self, table: TableId, rows: &RecordBatch) -> Result<(), StorageError> {
        let number = usize::try_from(table.0).unwrap_or(usize::MAX);
        self.step(async |this| this.write_rows(number, rows).await)
    }

    fn commit(&mut self, changes: &StateChanges) -> Result<(), StorageError> {
        self.step(async |this| this.commit_all(changes).await)
    }

    fn columns(&mut self, stream: &str) -> Result<Option<Vec<Field>>, StorageError> {
        let name = fold(&format!("{}{stream}", self.prefix));
        self.step(async |this| {
            let Some(standing) = Standing::load(&this.service, &name).await? else { return Ok(None) };
            let catalog = mart::catalog(&this.service, &name).await?;
            let field = |column: Column| Field {
                name: column.field,
                data_type: column.data_type,
                nullable: !column.key,
                description: column.description,
            };
            Ok(Some(standing.columns(catalog.as_ref()).into_iter().map(field).collect()))
        })
    }

    fn waited(&self) -> Duration {
        self.waited
    }

    fn finish(
        &mut self,
        outcome: Outcome,
        changes: &StateChanges,
        error: Option<&str>,
    ) -> Result<(), StorageError> {
        let result = self.attempt(async |this| this.end(outcome, changes, error).await);
        self.mart = None;
        result
    }
}

impl Drop for AthenaStorage {
    fn drop(&mut self) {
        self.tables.clear();
        let Some(runtime) = self.runtime.take() else { return };
        if let Some(mut mart) = self.mart.take() {
            // Not by waiting in the runtime: this may be a thread of another one.
            let (said, heard) = mpsc::channel();
            runtime.spawn(async move {
                let _ = mart.release().await;
                let _ = said.send(());
            });
            let _ = heard.recv_timeout(GOODBYE);
        }
        runtime.shutdown_background();
    }
}
