//! A run's view of the dataset: open tables, rows on their way, commits, the end.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;

use super::Settings;
use super::encode::Column;
use super::evolve::{self, Shape, Standing};
use super::ledger::{Commit, Ledger, Pending, Swap};
use super::names;
use super::sql::{self, Load, staged_type};
use super::stage::{Flights, Stage};
use super::trouble::Trouble;
use super::types::Kind;
use super::warehouse::Warehouse;
use crate::history::{self, Progress};
use crate::{
    DataType, Field, Outcome, RunInfo, StateChanges, Storage, StorageError, TableId, TableSchema, WriteMode,
};

/// How often a table is planned anew that somebody else changes meanwhile.
const PLANS: u32 = 8;
/// How long the end of a run waits until the staging tables of the run before are
/// dropped.
const CLEARING: Duration = Duration::from_secs(10);

/// A dataset that one run has open.
pub(super) struct BigQueryStorage {
    engine: Engine,
    ledger: Arc<Ledger>,
    heartbeat: JoinHandle<()>,
    clearing: Option<JoinHandle<()>>,
    settings: Arc<Settings>,
    run: RunInfo,
    /// The state that the last commit left.
    state: BTreeMap<String, String>,
    /// State that waits for the end of the run.
    held: StateChanges,
    tables: Vec<Table>,
    flights: Flights,
    commits: u64,
    /// Whether a commit may have promised to put tables in their places.
    promised: bool,
    ended: bool,
    broken: Option<StorageError>,
}

/// A table that the run has open.
struct Table {
    schema: TableSchema,
    mode: WriteMode,
    name: String,
    /// Whether its rows take the place of those that are there.
    replaces: bool,
    /// What its columns hold.
    targets: Vec<Kind>,
    /// Whether it stands as it is needed.
    prepared: bool,
    stage: Stage,
    /// Rows that the run wrote.
    stored: u64,
    /// Rows of these that are durable and that readers see.
    committed: u64,
}

/// The runtime on which the storage waits.
pub(super) struct Engine {
    runtime: Option<Runtime>,
    handle: Handle,
    waited: Duration,
}

impl Engine {
    pub(super) fn start() -> Result<Self, StorageError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("ow-bigquery")
            .enable_all()
            .build()
            .map_err(|error| StorageError::Failed {
                message: format!("the storage's threads could not be started: {error}"),
                retryable: true,
            })?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime), waited: Duration::ZERO })
    }

    /// Waits for BigQuery.
    pub(super) fn wait<T>(&mut self, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let done = self.handle.block_on(work);
        self.waited += began.elapsed();
        done
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits for nothing: what is under way is dropped.
            runtime.shutdown_background();
        }
    }
}

impl Table {
    /// The way of its staged rows into it.
    fn load<'a>(&'a self, table: &'a str, stage: &'a str) -> Load<'a> {
        Load {
            table,
            stage,
            columns: self.stage.encoder.columns(),
            targets: &self.targets,
            sets: self.stage.encoder.sets(),
            mode: self.mode,
            doubtful: self.stage.doubtful,
        }
    }

    fn has_rows(&self) -> bool {
        self.stage.encoder.rows() > 0
    }
}

/// The fields of a stream on their way to columns that hold this.
fn columns(schema: &TableSchema, targets: &[Kind]) -> Vec<Column> {
    let column = |(field, target): (&Field, &Kind)| Column {
        field: field.clone(),
        staged: match target {
            Kind::Known(to @ (DataType::Text | DataType::Timestamp)) => staged_type(*to),
            _ => staged_type(field.data_type),
        },
        key: schema.primary_key.contains(&field.name),
    };
    schema.fields.iter().zip(targets).map(column).collect()
}

impl BigQueryStorage {
    pub(super) fn open(settings: Settings, run: &RunInfo) -> Result<Self, StorageError> {
        let mut engine = Engine::start()?;
        let settings = Arc::new(settings);
        let opened = engine.wait(async {
            let warehouse = Arc::new(settings.warehouse(true).await?);
            Ledger::open(warehouse, run, settings.lease).await
        });
        let (ledger, state) = opened.map_err(|trouble| settings.explain(trouble, "open the dataset"))?;
        let ledger = Arc::new(ledger);
        let heartbeat = engine.handle.spawn(Arc::clone(&ledger).beat());
        let clearing = Some(engine.handle.spawn(Arc::clone(&ledger).clear_up()));
        Ok(Self {
            engine,
            ledger,
            heartbeat,
            clearing,
            settings,
            run: run.clone(),
            state,
            held: StateChanges::new(),
            tables: Vec::new(),
            flights: Flights::default(),
            commits: 0,
            promised: false,
            ended: false,
            broken: None,
        })
    }

    /// Runs a step; a failure drops what is not committed and is the answer to
    /// every later step.
    fn step<T>(
        &mut self,
        doing: &str,
        step: impl FnOnce(&mut Self) -> Result<T, Trouble>,
    ) -> Result<T, StorageError> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        if self.ended {
            return Err(ended());
        }
        let result = self.ledger.check().and_then(|()| step(self));
        result.map_err(|trouble| {
            let trouble = self.without_claim(trouble);
            let error = self.explain(trouble, doing);
            self.flights.abort();
            self.broken = Some(error.clone());
            error
        })
    }

    /// What is behind a table that is gone: a later run that took the data mart
    /// over drops the staging tables of this one.
    fn without_claim(&mut self, trouble: Trouble) -> Trouble {
        let ledger = Arc::clone(&self.ledger);
        match trouble.says("Not found") && self.engine.wait(ledger.is_lost()) {
            true => ledger.lost_claim(),
            false => trouble,
        }
    }

    fn explain(&self, trouble: Trouble, doing: &str) -> StorageError {
        if trouble.says(sql::DUPLICATE) {
            let keyed = self.tables.iter().filter(|table| !table.schema.primary_key.is_empty());
            let of = |table: &&Table| trouble.says(&format!("in {}", self.warehouse().sql(&table.name)));
            let name = keyed.clone().find(of).map_or("?", |table| table.name.as_str());
            return StorageError::Refused {
                message: format!(
                    "a row of table `{name}` has a key that the table already holds, or that another row has; write the stream with mode `merge`, or declare no primary key"
                ),
            };
        }
        self.settings.explain(trouble, doing)
    }

    fn warehouse(&self) -> &Arc<Warehouse> {
        &self.ledger.warehouse
    }

    /// Plans a table's way to what its stream needs.
    fn plan(&mut self, schema: &TableSchema, name: &str, replaces: bool) -> Result<Vec<Kind>, Trouble> {
        let warehouse = Arc::clone(self.warehouse());
        let standing = self.engine.wait(evolve::load(&warehouse, name))?;
        let standing = standing.filter(|standing| !replaces || !standing.is_ours());
        Ok(evolve::plan(name, standing.as_ref(), schema)?.targets)
    }

    fn write_rows(&mut self, number: usize, batch: &RecordBatch) -> Result<(), Trouble> {
        let Some(table) = self.tables.get_mut(number) else { return Err(no_table()) };
        let files = table.stage.encoder.write(batch, table.stored)?;
        table.stored += u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
        for file in files {
            self.send(number, file)?;
        }
        self.make_room()
    }

    /// Sends files before they are full, where many tables are written at once.
    fn make_room(&mut self) -> Result<(), Trouble> {
        loop {
            let sizes = self.tables.iter().map(|table| table.stage.encoder.buffered());
            let total = sizes.clone().fold(0, usize::saturating_add);
            let Some((largest, _)) = sizes.enumerate().max_by_key(|(_, size)| *size) else { return Ok(()) };
            if total <= self.settings.part.saturating_mul(2) {
                return Ok(());
            }
            let Some(table) = self.tables.get_mut(largest) else { return Ok(()) };
            let Some(file) = table.stage.encoder.finish()? else { return Ok(()) };
            self.send(largest, file)?;
        }
    }

    /// Sends a file of a table on its way.
    fn send(&mut self, number: usize, file: bytes::Bytes) -> Result<(), Trouble> {
        let Self { tables, engine, flights, ledger, .. } = self;
        let Some(table) = tables.get_mut(number) else { return Err(no_table()) };
        let sent = table.stage.send(number, file, &ledger.warehouse, &ledger.token, flights);
        let landed = engine.wait(sent)?;
        self.doubt(&landed);
        Ok(())
    }

    fn doubt(&mut self, landed: &[usize]) {
        for number in landed {
            if let Some(table) = self.tables.get_mut(*number) {
                table.stage.doubtful = true;
            }
        }
    }

    /// Sends the last files of these tables, and makes the tables ready meanwhile.
    fn send_all(&mut self, of: impl Fn(&Table) -> bool) -> Result<(), Trouble> {
        for number in 0..self.tables.len() {
            let Some(table) = self.tables.get_mut(number).filter(|table| of(table)) else { continue };
            if let Some(file) = table.stage.encoder.finish()? {
                self.send(number, file)?;
            }
        }
        Ok(())
    }

    fn land_all(&mut self) -> Result<(), Trouble> {
        let landed = self.engine.wait(self.flights.land_all())?;
        self.doubt(&landed);
        Ok(())
    }

    /// Makes a table ready for its rows.
    fn prepare(&mut self, number: usize) -> Result<(), Trouble> {
        let (warehouse, token) = (Arc::clone(self.warehouse()), self.ledger.token.clone());
        let (engine, part) = (&mut self.engine, self.settings.part);
        let Some(table) = self.tables.get_mut(number) else { return Err(no_table()) };
        for attempt in 0..PLANS {
            let standing = engine.wait(evolve::load(&warehouse, &table.name))?;
            let plan = evolve::plan(&table.name, standing.as_ref(), &table.schema)?;
            let job = format!("ow_{token}_e{number}_{attempt}");
            if !plan.is_done() && !engine.wait(plan.apply(&warehouse, &table.name, &job))? {
                continue;
            }
            let columns = columns(&table.schema, &plan.targets);
            if columns != table.stage.encoder.columns() {
                if table.has_rows() {
                    break;
                }
                table.stage = Stage::new(&table.name, columns, part, table.replaces);
            }
            table.targets = plan.targets;
            table.prepared = true;
            return Ok(());
        }
        Err(Trouble::Storage(StorageError::Failed {
            message: format!("table `{}` was changed while the run wrote to it; run again", table.name),
            retryable: true,
        }))
    }

    fn commit_all(&mut self, changes: &StateChanges) -> Result<(), Trouble> {
        let now = self.split_state(changes);
        let waits = |table: &Table| !table.replaces && (table.has_rows() || !table.prepared);
        if now.is_empty() && !self.tables.iter().any(waits) {
            self.commits += 1;
            return Ok(());
        }
        let statements = self.load_tables()?;
        let mut state = self.state.clone();
        history::change_state(&mut state, &now);
        let progress = self.progress(|table| !table.replaces);
        let ledger = Arc::clone(&self.ledger);
        let commit = Commit {
            statements,
            state: &state,
            progress: &progress,
            pending: &Pending::default(),
            ends: false,
        };
        self.engine.wait(ledger.commit(commit))?;
        self.state = state;
        self.committed(|table| !table.replaces);
        Ok(())
    }

    /// Brings the rows of the tables that are not replaced to their staging
    /// tables; the SQL that brings them from there to their places.
    fn load_tables(&mut self) -> Result<Vec<String>, Trouble> {
        self.send_all(|table| !table.replaces)?;
        for number in 0..self.tables.len() {
            if self.tables.get(number).is_some_and(|table| !table.replaces && !table.prepared) {
                self.prepare(number)?;
            }
        }
        self.land_all()?;
        let mut statements = Vec::new();
        for table in self.tables.iter().filter(|table| !table.replaces) {
            let Some(stage) = &table.stage.table else { continue };
            let (name, stage) = (self.warehouse().sql(&table.name), self.warehouse().sql(stage));
            let load = table.load(&name, &stage);
            match table.mode {
                WriteMode::Append => statements.extend(load.append()),
                _ => statements.push(load.merge()),
            }
        }
        Ok(statements)
    }

    /// Keeps back the state that waits for the end of the run, and answers the
    /// rest.
    fn split_state(&mut self, changes: &StateChanges) -> StateChanges {
        let replaced = self.tables.iter().filter(|table| table.replaces).map(|table| &table.schema);
        history::split_state(changes, &self.run, replaced, &mut self.held)
    }

    /// What the history is to say of a commit.
    fn progress(&self, counts: impl Fn(&Table) -> bool) -> Progress {
        let tables = self.tables.iter().map(|table| {
            let rows = if counts(table) { table.stored } else { table.committed };
            (&table.schema, table.mode, rows)
        });
        Progress::new(tables, self.commits + 1)
    }

    /// Takes note of a commit, and drops the staging tables that are done with.
    fn committed(&mut self, counts: impl Fn(&Table) -> bool) {
        self.commits += 1;
        let mut done = Vec::new();
        for table in self.tables.iter_mut().filter(|table| counts(table)) {
            table.committed = table.stored;
            done.extend(table.stage.reset());
        }
        let warehouse = Arc::clone(self.warehouse());
        self.engine.handle.spawn(async move {
            for table in done {
                // BigQuery drops it in a few days otherwise.
                let _ = warehouse.drop_table(&table).await;
            }
        });
    }

    /// The last commit of a run that succeeded: everything becomes visible.
    fn succeed(&mut self, changes: &StateChanges) -> Result<Pending, Trouble> {
        self.send_all(|table| table.replaces)?;
        let mut statements = self.load_tables()?;
        let mut swaps = Vec::new();
        for number in 0..self.tables.len() {
            if self.tables.get(number).is_some_and(|table| table.replaces) {
                self.replace(number, &mut statements, &mut swaps)?;
            }
        }
        let now = self.split_state(changes);
        let fresh = self.run.full_refresh && !self.run.keep_state;
        let mut state = if fresh { BTreeMap::new() } else { self.state.clone() };
        history::change_state(&mut state, &now);
        history::change_state(&mut state, &self.held);
        let progress = self.progress(|_| true);
        let ledger = Arc::clone(&self.ledger);
        let pending = ledger.promise(swaps);
        self.promised = !pending.swaps.is_empty();
        let commit = Commit { statements, state: &state, progress: &progress, pending: &pending, ends: true };
        self.engine.wait(ledger.commit(commit))?;
        Ok(pending)
    }

    /// How staged rows take the place of a table's: in the transaction where the
    /// table is as it is to be, by a new table after it otherwise.
    fn replace(
        &mut self,
        number: usize,
        statements: &mut Vec<String>,
        swaps: &mut Vec<Swap>,
    ) -> Result<(), Trouble> {
        let (warehouse, ledger) = (Arc::clone(self.warehouse()), Arc::clone(&self.ledger));
        let Self { tables, engine, flights, .. } = self;
        let Some(table) = tables.get_mut(number) else { return Err(no_table()) };
        let stage = engine.wait(table.stage.ensure(&warehouse, &ledger.token, flights))?;
        let standing = engine.wait(evolve::load(&warehouse, &table.name))?;
        let anew =
            standing.as_ref().filter(|standing| standing.is_ours() && !standing.is_like(&table.schema));
        if let Some(standing) = anew {
            let swap = recreate(table, &warehouse, &stage, standing);
            let (name, staged) = (warehouse.sql(&table.name), warehouse.sql(&stage));
            statements.extend(table.load(&name, &staged).check_keys());
            swaps.push(swap);
            return Ok(());
        }
        self.prepare(number)?;
        let Some(table) = self.tables.get(number) else { return Err(no_table()) };
        let (name, staged) = (warehouse.sql(&table.name), warehouse.sql(&stage));
        statements.extend(table.load(&name, &staged).replace());
        Ok(())
    }

    /// Ends a run that succeeded.
    fn end_well(&mut self, changes: &StateChanges) -> Result<(), StorageError> {
        let pending = match self.step("end the run", |this| this.succeed(changes)) {
            Ok(pending) => pending,
            Err(error) => {
                // The first failure is the one to tell.
                let _ = self.fail("failed", Some(&error.to_string()));
                return Err(error);
            }
        };
        if !pending.swaps.is_empty() {
            let ledger = Arc::clone(&self.ledger);
            if let Err(trouble) = self.engine.wait(ledger.swap(&pending)) {
                let error = self.explain(
                    trouble,
                    "put the new table in its place (the run is committed, and the next run does it)",
                );
                let _ = self.engine.wait(ledger.release());
                return Err(error);
            }
            let cleared = self.engine.wait(ledger.clear_promise(true));
            cleared.map_err(|trouble| self.explain(trouble, "record the end of the run"))?;
            self.promised = false;
        }
        self.drop_stages();
        Ok(())
    }

    /// Drops what the run staged, unless another run may need it, and lets the end
    /// of the process not cut off what drops that of the run before.
    fn drop_stages(&mut self) {
        let keeps = self.promised;
        let tables = self.tables.iter_mut().filter(|table| !(keeps && table.replaces));
        let stages: Vec<_> = tables.filter_map(|table| table.stage.reset()).collect();
        let (warehouse, clearing) = (Arc::clone(self.warehouse()), self.clearing.take());
        self.engine.wait(async {
            for stage in stages {
                // BigQuery drops it in a few days otherwise.
                let _ = warehouse.drop_table(&stage).await;
            }
            if let Some(clearing) = clearing {
                let _ = tokio::time::timeout(CLEARING, clearing).await;
            }
        });
    }

    /// The end of a run that did not succeed.
    fn fail(&mut self, status: &str, error: Option<&str>) -> Result<(), StorageError> {
        self.flights.abort();
        let mut progress = self.progress(|_| false);
        progress.commits = self.commits;
        let ledger = Arc::clone(&self.ledger);
        let closed = self.engine.wait(ledger.close(status, error, &progress));
        self.drop_stages();
        closed.map_err(|trouble| self.explain(trouble, "record the end of the run"))
    }

    /// Adds a table to those that the run has open. Problems of it are told now,
    /// not at the first commit.
    fn add(
        &mut self,
        schema: &TableSchema,
        mode: WriteMode,
        name: &str,
        replaces: bool,
    ) -> Result<TableId, Trouble> {
        let targets = self.plan(schema, name, replaces)?;
        let stage = Stage::new(name, columns(schema, &targets), self.settings.part, replaces);
        let number = u32::try_from(self.tables.len()).unwrap_or(u32::MAX);
        self.tables.push(Table {
            schema: schema.clone(),
            mode,
            name: name.to_owned(),
            replaces,
            targets,
            prepared: false,
            stage,
            stored: 0,
            committed: 0,
        });
        Ok(TableId(number))
    }

    /// The table that the run has open under this name, if it is the same one.
    fn find(&self, schema: &TableSchema, mode: WriteMode, name: &str) -> Result<Option<TableId>, Trouble> {
        let Some(number) = self.tables.iter().position(|table| table.name == name) else { return Ok(None) };
        let open = self.tables.get(number).filter(|table| table.schema == *schema && table.mode == mode);
        if open.is_none() {
            return Err(Trouble::refused(format!(
                "table `{name}` is open already in this run, with other fields or another mode"
            )));
        }
        Ok(Some(TableId(u32::try_from(number).unwrap_or(u32::MAX))))
    }
}

/// What makes a table anew of its staged rows.
fn recreate(table: &mut Table, warehouse: &Warehouse, stage: &str, standing: &Standing) -> Swap {
    table.targets = table.schema.fields.iter().map(|field| Kind::Known(field.data_type)).collect();
    let shape = Shape::of(&table.schema);
    let (name, staged) = (warehouse.sql(&table.name), warehouse.sql(stage));
    let sql = table.load(&name, &staged).recreate(&shape, !standing.is_laid_out_like(&shape));
    Swap { table: table.name.clone(), stage: stage.to_owned(), sql }
}

fn no_table() -> Trouble {
    Trouble::internal("the table is not open")
}

fn ended() -> StorageError {
    StorageError::Failed { message: "the run has ended already".into(), retryable: false }
}

impl Storage for BigQueryStorage {
    fn state(&mut self) -> Result<BTreeMap<String, String>, StorageError> {
        self.step("read the state", |this| Ok(this.state.clone()))
    }

    fn open_table(&mut self, schema: &TableSchema, mode: WriteMode) -> Result<TableId, StorageError> {
        let name = format!("{}{}", self.settings.prefix, schema.name);
        self.step(&format!("open table `{name}`"), |this| {
            // First of all: the quarantine may be open, and no stream may have it.
            names::check(&name, schema).map_err(Trouble::from)?;
            if let Some(id) = this.find(schema, mode, &name)? {
                return Ok(id);
            }
            if mode == WriteMode::Merge && schema.primary_key.is_empty() {
                return Err(Trouble::refused(format!(
                    "table `{name}` cannot be merged into without a primary key; declare one, or use `append` or `replace`"
                )));
            }
            let replaces = mode == WriteMode::Replace || this.run.full_refresh;
            this.add(schema, mode, &name, replaces)
        })
    }

    fn open_quarantine(&mut self, schema: &TableSchema) -> Result<TableId, StorageError> {
        let name = &schema.name;
        self.step(&format!("open table `{name}`"), |this| {
            match this.find(schema, WriteMode::Append, name)? {
                Some(id) => Ok(id),
                None => this.add(schema, WriteMode::Append, name, false),
            }
        })
    }

    fn write(&mut self, table: TableId, rows: &RecordBatch) -> Result<(), StorageError> {
        let index = usize::try_from(table.0).unwrap_or(usize::MAX);
        self.step("write rows", |this| this.write_rows(index, rows))
    }

    fn commit(&mut self, changes: &StateChanges) -> Result<(), StorageError> {
        self.step("commit", |this| this.commit_all(changes))
    }

    fn columns(&mut self, stream: &str) -> Result<Option<Vec<Field>>, StorageError> {
        let name = format!("{}{stream}", self.settings.prefix);
        self.step(&format!("look at table `{name}`"), |this| {
            if names::bad_table(&name).is_some() {
                return Ok(None);
            }
            let warehouse = Arc::clone(this.warehouse());
            let standing = this.engine.wait(evolve::load(&warehouse, &name))?;
            Ok(standing.map(|standing| standing.columns()))
        })
    }

    fn waited(&self) -> Duration {
        self.engine.waited
    }

    fn finish(
        &mut self,
        outcome: Outcome,
        changes: &StateChanges,
        error: Option<&str>,
    ) -> Result<(), StorageError> {
        if self.ended {
            return Err(ended());
        }
        let result = match outcome {
            Outcome::Succeeded => self.end_well(changes),
            Outcome::Failed => self.fail("failed", error),
            Outcome::Interrupted => self.fail("interrupted", error),
        };
        self.ended = true;
        self.heartbeat.abort();
        result
    }
}
