//! A run's view of the database: open tables, rows that wait, commits, the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use rusqlite::Connection;

use super::SqliteParams;
use super::claim::Claim;
use super::ledger::Entry;
use super::trouble::Trouble;
use super::{connection, evolve, identifier, ledger, rows};
use crate::history::{self, Progress};
use crate::{Field, Outcome, RunInfo, StateChanges, Storage, StorageError, TableId, TableSchema, WriteMode};

/// How many bytes of rows wait in memory before the write lock is taken.
const BUFFER: usize = 16 * 1024 * 1024;
/// Memory that a waiting batch takes beside its values.
const BATCH_OVERHEAD: usize = 1024;

/// A database that one run has open.
pub struct SqliteStorage {
    // Closed before the claim is released.
    connection: Connection,
    claim: Option<Claim>,
    path: PathBuf,
    prefix: String,
    run: RunInfo,
    entry: Entry,
    tables: Vec<Table>,
    waiting: Waiting,
    /// State that waits for the end of the run.
    held: StateChanges,
    commits: u64,
    /// Whether the file is to get a log after a commit: it was new, and without a
    /// log its first load is written once and not twice; or somebody was reading
    /// when it should have got one.
    lacks_log: bool,
    /// SQLite's number of the schema for which the tables were prepared.
    schema_version: Option<i64>,
    broken: Option<StorageError>,
}

/// Rows that wait for the write lock.
#[derive(Default)]
struct Waiting {
    batches: Vec<(usize, RecordBatch)>,
    bytes: usize,
}

/// A table that the run has open.
struct Table {
    schema: TableSchema,
    mode: WriteMode,
    /// The table that readers know.
    name: String,
    /// The table that takes its place at the end.
    shadow: Option<String>,
    /// The columns of the table that is written; none before it is prepared.
    columns: Option<Vec<evolve::Column>>,
    /// Rows that are in a transaction or committed.
    stored: u64,
    /// Rows of these that are durable and that readers see.
    committed: u64,
}

impl Table {
    fn target(&self) -> &str {
        self.shadow.as_deref().unwrap_or(&self.name)
    }
}

impl SqliteStorage {
    pub(super) fn open(params: &SqliteParams, run: &RunInfo) -> Result<Self, StorageError> {
        let explain = |trouble: Trouble| trouble.explain(&params.path, "open the database");
        connection::check_place(&params.path).map_err(explain)?;
        let claim = Claim::take(&params.path, run)?;
        let (connection, lacks_log, entry) = connect(&params.path, run).map_err(explain)?;
        Ok(Self {
            connection,
            claim: Some(claim),
            path: params.path.clone(),
            prefix: params.table_prefix.clone(),
            run: run.clone(),
            entry,
            tables: Vec::new(),
            waiting: Waiting::default(),
            held: StateChanges::new(),
            commits: 0,
            lacks_log,
            schema_version: None,
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
        if self.claim.is_none() {
            return Err(StorageError::Failed {
                message: "the run has ended already".into(),
                retryable: false,
            });
        }
        step(self).map_err(|trouble| {
            let error = trouble.explain(&self.path, doing);
            self.roll_back();
            self.broken = Some(error.clone());
            error
        })
    }

    fn roll_back(&mut self) {
        self.waiting = Waiting::default();
        if !self.connection.is_autocommit() {
            // Fails where SQLite has rolled back by itself.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    /// Takes the write lock, unless that is done, and makes the tables ready
    /// that are needed.
    fn begin(&mut self, needed: impl Fn(&Table) -> bool) -> Result<(), Trouble> {
        if self.connection.is_autocommit() {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            self.entry.check(&self.connection)?;
            if Some(self.read_schema_version()?) != self.schema_version {
                // Somebody changed a table, maybe one of ours.
                self.tables
                    .iter_mut()
                    .filter(|table| table.shadow.is_none())
                    .for_each(|table| table.columns = None);
            }
        }
        let Self { tables, connection, entry, .. } = self;
        let mut prepared = false;
        for (number, table) in tables.iter_mut().enumerate() {
            if table.columns.is_none() && needed(table) {
                prepare(connection, entry, number, table)?;
                prepared = true;
            }
        }
        if prepared || self.schema_version.is_none() {
            self.schema_version = Some(self.read_schema_version()?);
        }
        Ok(())
    }

    fn read_schema_version(&self) -> rusqlite::Result<i64> {
        self.connection.prepare_cached("PRAGMA schema_version")?.query_row([], |row| row.get(0))
    }

    /// Writes a batch, inside a transaction.
    fn insert(&mut self, table: usize, batch: &RecordBatch) -> Result<(), Trouble> {
        let Some(table) = self.tables.get_mut(table) else { return Err(no_table()) };
        let target = rows::Target {
            name: &table.name,
            written: table.target(),
            schema: &table.schema,
            mode: table.mode,
            columns: table.columns.as_deref().unwrap_or_default(),
            rows_before: table.stored,
        };
        rows::insert(&self.connection, &target, batch)?;
        table.stored += count(batch);
        Ok(())
    }

    /// Writes the rows that wait, inside a transaction.
    fn flush(&mut self) -> Result<(), Trouble> {
        for (table, batch) in std::mem::take(&mut self.waiting).batches {
            self.insert(table, &batch)?;
        }
        Ok(())
    }

    /// Makes room: writes what waits. Rows of shadow tables are out of sight,
    /// so they need not keep the lock until the commit.
    fn make_room(&mut self) -> Result<(), Trouble> {
        let is_shadow = |(table, _): &(usize, RecordBatch)| {
            self.tables.get(*table).is_some_and(|table| table.shadow.is_some())
        };
        let only_shadows = self.waiting.batches.iter().all(is_shadow);
        self.begin(|table| table.shadow.is_some() || !only_shadows)?;
        self.flush()?;
        if only_shadows {
            self.connection.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    fn write_rows(&mut self, table: usize, batch: &RecordBatch) -> Result<(), Trouble> {
        if table >= self.tables.len() {
            return Err(no_table());
        }
        if !self.connection.is_autocommit() {
            self.begin(|_| true)?;
            return self.insert(table, batch);
        }
        self.waiting.bytes += batch.get_array_memory_size() + BATCH_OVERHEAD;
        self.waiting.batches.push((table, batch.clone()));
        if self.waiting.bytes >= BUFFER { self.make_room() } else { Ok(()) }
    }

    fn commit_all(&mut self, changes: &StateChanges) -> Result<(), Trouble> {
        let unprepared = self.tables.iter().any(|table| table.columns.is_none());
        let nothing = self.waiting.batches.is_empty() && self.connection.is_autocommit();
        if nothing && changes.is_empty() && !unprepared {
            self.commits += 1;
            return Ok(());
        }
        self.begin(|_| true)?;
        self.flush()?;
        let now = self.split_state(changes);
        self.entry.change_state(&self.connection, &now)?;
        self.record(|table| table.shadow.is_none())?;
        self.connection.execute_batch("COMMIT")?;
        self.committed(|table| table.shadow.is_none());
        if self.lacks_log {
            self.lacks_log = !connection::try_to_use_log(&self.connection)?;
        }
        Ok(())
    }

    /// Keeps back the state that waits for the end of the run, and answers the
    /// rest.
    fn split_state(&mut self, changes: &StateChanges) -> StateChanges {
        let replaced = self.tables.iter().filter(|table| table.shadow.is_some()).map(|table| &table.schema);
        history::split_state(changes, &self.run, replaced, &mut self.held)
    }

    /// Writes to the history what this commit makes durable.
    fn record(&self, counts: impl Fn(&Table) -> bool) -> Result<(), Trouble> {
        let tables = self.tables.iter().map(|table| {
            let rows = if counts(table) { table.stored } else { table.committed };
            (&table.schema, table.mode, rows)
        });
        self.entry.record(&self.connection, &Progress::new(tables, self.commits + 1))
    }

    fn committed(&mut self, counts: impl Fn(&Table) -> bool) {
        self.commits += 1;
        for table in self.tables.iter_mut().filter(|table| counts(table)) {
            table.committed = table.stored;
        }
    }

    /// The last commit of a run that succeeded: everything becomes visible.
    fn succeed(&mut self, changes: &StateChanges) -> Result<(), Trouble> {
        self.begin(|_| true)?;
        self.flush()?;
        let now = self.split_state(changes);
        if self.run.full_refresh && !self.run.keep_state {
            self.entry.clear_state(&self.connection)?;
        }
        self.entry.change_state(&self.connection, &now)?;
        self.entry.change_state(&self.connection, &self.held)?;
        for table in &self.tables {
            if let (Some(shadow), Some(columns)) = (&table.shadow, &table.columns) {
                evolve::check_replaceable(&self.connection, &table.name, &table.schema)?;
                evolve::swap(&self.connection, &table.name, shadow)?;
                evolve::remember(&self.connection, &table.name, columns)?;
            }
        }
        self.record(|_| true)?;
        self.entry.close(&self.connection, "succeeded", None)?;
        self.connection.execute_batch("COMMIT")?;
        self.committed(|_| true);
        Ok(())
    }

    /// The end of a run that did not succeed.
    fn fail(&mut self, status: &str, error: Option<&str>) -> Result<(), StorageError> {
        self.roll_back();
        let fail = |connection: &Connection, entry: &Entry| -> Result<(), Trouble> {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            // A later run that took the data mart has marked this one already.
            if entry.holds(connection)? {
                entry.drop_shadows(connection)?;
                entry.close(connection, status, error)?;
            }
            connection.execute_batch("COMMIT")?;
            Ok(())
        };
        fail(&self.connection, &self.entry).map_err(|trouble| {
            let error = trouble.explain(&self.path, "record the end of the run");
            self.roll_back();
            error
        })
    }

    fn end(
        &mut self,
        outcome: Outcome,
        changes: &StateChanges,
        error: Option<&str>,
    ) -> Result<(), StorageError> {
        let status = match outcome {
            Outcome::Succeeded => {
                let result = self.step("end the run", |this| this.succeed(changes));
                if let Err(error) = &result {
                    // The first failure is the one to tell.
                    let _ = self.fail("failed", Some(&error.to_string()));
                }
                return result;
            }
            Outcome::Failed => "failed",
            Outcome::Interrupted => "interrupted",
        };
        self.fail(status, error)
    }
}

/// Opens the database and enters the run in its ledger; whether it lacks a log.
fn connect(path: &Path, run: &RunInfo) -> Result<(Connection, bool, Entry), Trouble> {
    let mut connection = connection::open(path)?;
    let lacks_log = connection::is_empty(&connection)? || !connection::try_to_use_log(&connection)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let entry = Entry::open(&transaction, run)?;
    transaction.commit()?;
    Ok((connection, lacks_log, entry))
}

/// Makes a table ready for rows, inside a write transaction.
fn prepare(connection: &Connection, entry: &Entry, number: usize, table: &mut Table) -> Result<(), Trouble> {
    let columns = match &table.shadow {
        Some(shadow) => {
            let columns = evolve::fresh(&table.schema);
            evolve::create(connection, shadow, &columns)?;
            columns
        }
        None => {
            let plan = evolve::plan(connection, &table.name, &table.schema)?;
            plan.apply(connection, &table.name, &entry.shadow(format_args!("rebuilt_{number}")))?;
            plan.columns
        }
    };
    table.columns = Some(columns);
    Ok(())
}

fn no_table() -> Trouble {
    Trouble::Storage(StorageError::Failed { message: "the table is not open".to_owned(), retryable: false })
}

fn count(batch: &RecordBatch) -> u64 {
    u64::try_from(batch.num_rows()).unwrap_or(u64::MAX)
}

impl Storage for SqliteStorage {
    fn state(&mut self) -> Result<BTreeMap<String, String>, StorageError> {
        self.step("read the state", |this| ledger::state(&this.connection, &this.run.data_mart_id))
    }

    fn open_table(&mut self, schema: &TableSchema, mode: WriteMode) -> Result<TableId, StorageError> {
        let name = format!("{}{}", self.prefix, schema.name);
        self.step(&format!("open table `{name}`"), |this| {
            // First of all: the quarantine may be open, and no stream may have it.
            identifier::check(&name, schema)?;
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
        let name = format!("{}{stream}", self.prefix);
        self.step(&format!("look at table `{name}`"), |this| evolve::columns(&this.connection, &name))
    }

    fn finish(
        &mut self,
        outcome: Outcome,
        changes: &StateChanges,
        error: Option<&str>,
    ) -> Result<(), StorageError> {
        if self.claim.is_none() {
            return Err(StorageError::Failed {
                message: "the run has ended already".into(),
                retryable: false,
            });
        }
        let result = self.end(outcome, changes, error);
        self.claim = None;
        result
    }
}

impl SqliteStorage {
    /// Adds a table to those that the run has open. Problems of it are told now,
    /// not at the first commit.
    fn add(
        &mut self,
        schema: &TableSchema,
        mode: WriteMode,
        name: &str,
        replaces: bool,
    ) -> Result<TableId, Trouble> {
        if replaces {
            evolve::check_replaceable(&self.connection, name, schema)?;
        } else {
            evolve::plan(&self.connection, name, schema)?;
        }
        let number = self.tables.len();
        self.tables.push(Table {
            schema: schema.clone(),
            mode,
            name: name.to_owned(),
            shadow: replaces.then(|| self.entry.shadow(number)),
            columns: None,
            stored: 0,
            committed: 0,
        });
        Ok(TableId(u32::try_from(number).unwrap_or(u32::MAX)))
    }

    /// The table that the run has open under this name, if it is the same one.
    fn find(&self, schema: &TableSchema, mode: WriteMode, name: &str) -> Result<Option<TableId>, Trouble> {
        let same = |table: &Table| identifier::same(&table.name, name);
        let Some(number) = self.tables.iter().position(same) else { return Ok(None) };
        let open = self.tables.get(number).filter(|table| table.schema == *schema && table.mode == mode);
        if open.is_none() {
            return Err(Trouble::refused(format!(
                "table `{name}` is open already in this run, with another name in SQLite's eyes, other fields or another mode"
            )));
        }
        Ok(Some(TableId(u32::try_from(number).unwrap_or(u32::MAX))))
    }
}

#[cfg(test)]
impl SqliteStorage {
    /// Releases the lock without the storage knowing: as where locks do not hold.
    pub(super) fn claim_lost_for_test(&mut self) {
        self.claim.as_mut().unwrap().release_for_test();
    }

    /// Lets the file have so many pages at most.
    pub(super) fn limit_pages_for_test(&mut self, pages: u32) {
        self.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    }
}
