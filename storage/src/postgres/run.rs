//! A run's view of the database: open tables, rows that wait, commits, the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use tokio_postgres::types::Type;

use super::connection::{Server, Session};
use super::encode::Rows;
use super::evolve::{self, Purpose};
use super::ledger::{self, Entry};
use super::params::Target;
use super::stage::{CHUNK, Copying, Stage, Staged};
use super::trouble::Trouble;
use super::{claim, identifier};
use crate::history::{self, Progress};
use crate::{Field, Outcome, RunInfo, StateChanges, Storage, StorageError, TableId, TableSchema, WriteMode};

/// How many bytes of rows wait in memory, of all streams together.
const BUFFER: usize = 4 * CHUNK;
/// How often a commit that met another one is tried.
const ATTEMPTS: u32 = 5;
/// How long the server is asked what became of a commit: a restart takes less.
const SETTLE: Duration = Duration::from_secs(90);
/// How often it is asked.
const PAUSE: Duration = Duration::from_millis(500);

/// A database that one run has open.
pub(super) struct PostgresStorage {
    server: Server,
    session: Session,
    run: RunInfo,
    entry: Entry,
    tables: Vec<Table>,
    /// Rows on their way; nothing else is asked meanwhile.
    copying: Option<Copying>,
    /// State that waits for the end of the run.
    held: StateChanges,
    commits: u64,
    ended: bool,
    broken: Option<StorageError>,
}

/// A table that the run has open.
struct Table {
    schema: TableSchema,
    mode: WriteMode,
    /// The table that readers know.
    name: String,
    /// The same, as SQL takes it.
    quoted: String,
    purpose: Purpose,
    /// Whether a commit has made it ready.
    prepared: bool,
    stage: Stage,
    /// Rows that are durable and that readers see.
    committed: u64,
}

impl Table {
    fn staged(&self, index: usize) -> Staged<'_> {
        Staged { index, quoted: &self.quoted, schema: &self.schema, mode: self.mode }
    }

    fn waits(&self) -> bool {
        self.purpose == Purpose::Replace
    }

    /// Whether a commit has something to do here; `last` is the one that ends
    /// the run.
    fn takes_part(&self, last: bool) -> bool {
        match self.purpose {
            Purpose::Replace => last,
            Purpose::Add => !self.prepared || !self.stage.is_empty(),
        }
    }
}

/// What one transaction makes durable.
struct Commit<'a> {
    target: &'a Target,
    entry: &'a Entry,
    tables: &'a [Table],
    progress: Progress,
    state: &'a StateChanges,
    clear_state: bool,
    /// Whether it ends the run.
    last: bool,
}

impl Commit<'_> {
    /// Everything but `COMMIT`. May be run again: what is staged stays as it is
    /// if the transaction is rolled back.
    async fn run(&self, session: &Session) -> Result<(), Trouble> {
        let Self { target, entry, .. } = self;
        session.batch("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        entry.check(session, target).await?;
        for (index, table) in self.tables.iter().enumerate() {
            if table.takes_part(self.last) {
                self.apply(session, index, table).await?;
            }
        }
        if self.clear_state {
            entry.clear_state(session, target).await?;
        }
        entry.change_state(session, target, self.state).await?;
        entry.record(session, target, &self.progress).await?;
        if self.last {
            entry.close(session, target, "succeeded", None).await?;
        }
        Ok(())
    }

    async fn apply(&self, session: &Session, index: usize, table: &Table) -> Result<(), Trouble> {
        let ready = evolve::prepare(session, self.target, &table.name, &table.schema, table.purpose)
            .await
            .map_err(|trouble| name_table(trouble, table))?;
        if table.stage.is_empty() {
            return Ok(());
        }
        for statement in table.stage.statements(&table.staged(index), &ready) {
            session.batch(&statement).await.map_err(|trouble| name_table(trouble, table))?;
        }
        Ok(())
    }
}

/// Says which table the server speaks of, and the way out where there is one.
fn name_table(trouble: Trouble, table: &Table) -> Trouble {
    let Some(db) = trouble.db() else { return trouble };
    let (code, said) = (db.code().code(), super::trouble::say(db));
    let name = &table.name;
    let message = match code {
        "23505" if table.mode == WriteMode::Append => format!(
            "a row of table `{name}` has a key that the table already holds: {said}; write the stream with mode `merge`, or declare no primary key"
        ),
        "0A000" | "2BP01" => format!(
            "table `{name}` cannot be changed: {said}; drop what depends on the column and create it again after the run"
        ),
        _ if ["22", "23", "54"].iter().any(|class| code.starts_with(class)) => {
            format!("rows of table `{name}` do not fit it: {said}")
        }
        _ => return trouble,
    };
    Trouble::refused(message)
}

impl PostgresStorage {
    pub(super) fn open(target: Target, run: &RunInfo) -> Result<Self, StorageError> {
        let mut server = Server::new(target)?;
        let session = server.connect(&application_name(run))?;
        let target = Arc::clone(&server.target);
        let entry = server
            .wait(async {
                claim::take(&session, &target, &run.data_mart_id).await?;
                Entry::open(&session, &target, run).await
            })
            .map_err(|trouble| trouble.explain(&target, "open the storage"))?;
        Ok(Self {
            server,
            session,
            run: run.clone(),
            entry,
            tables: Vec::new(),
            copying: None,
            held: StateChanges::new(),
            commits: 0,
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
            return Err(has_ended());
        }
        step(self).map_err(|trouble| {
            let error = trouble.explain(&self.server.target, doing);
            self.roll_back();
            self.broken = Some(error.clone());
            error
        })
    }

    fn roll_back(&mut self) {
        // What failed first is what is told.
        let _ = self.arrive();
        self.tables.iter_mut().for_each(|table| table.stage.forget());
        let Self { server, session, .. } = self;
        let _ = server.wait(async {
            session.roll_back().await;
            Ok(())
        });
    }

    /// Waits for the rows that are on their way.
    fn arrive(&mut self) -> Result<(), Trouble> {
        let Some(copying) = self.copying.take() else { return Ok(()) };
        let Some(table) = self.tables.get(copying.table) else { return Err(no_table()) };
        copying.wait(&mut self.server, &table.name, &table.schema)
    }

    /// Starts to copy a stream's rows to its staging table.
    fn copy(&mut self, index: usize) -> Result<(), Trouble> {
        self.arrive()?;
        let Self { tables, server, session, copying, .. } = self;
        let Some(Table { schema, mode, quoted, stage, .. }) = tables.get_mut(index) else {
            return Err(no_table());
        };
        let staged = Staged { index, quoted, schema, mode: *mode };
        *copying = stage.copy(server, session, &staged)?;
        Ok(())
    }

    fn write_rows(&mut self, index: usize, batch: &RecordBatch) -> Result<(), Trouble> {
        let mut row = 0;
        loop {
            let Some(table) = self.tables.get_mut(index) else { return Err(no_table()) };
            if batch.num_rows() == 0 {
                return Rows::new(&table.name, &table.schema, table.stage.rows, batch).map(|_| ());
            }
            row = table.stage.take(&table.name, &table.schema, table.mode, batch, row)?;
            if table.stage.bytes() >= CHUNK {
                self.copy(index)?;
            }
            if row >= batch.num_rows() {
                break;
            }
        }
        while self.tables.iter().map(|table| table.stage.bytes()).sum::<usize>() >= BUFFER {
            let fullest = self.tables.iter().enumerate().max_by_key(|(_, table)| table.stage.bytes());
            let Some((fullest, _)) = fullest else { break };
            self.copy(fullest)?;
        }
        Ok(())
    }

    /// Copies everything that takes part in a commit to the staging tables: the
    /// transaction then works with what cannot get lost by rolling back.
    fn stage(&mut self, last: bool) -> Result<(), Trouble> {
        for index in 0..self.tables.len() {
            if self.tables.get(index).is_some_and(|table| table.takes_part(last)) {
                self.copy(index)?;
            }
        }
        self.arrive()
    }

    fn commit_all(&mut self, changes: &StateChanges) -> Result<(), Trouble> {
        if changes.is_empty() && !self.tables.iter().any(|table| table.takes_part(false)) {
            self.commits += 1;
            return Ok(());
        }
        self.stage(false)?;
        let now = self.split_state(changes);
        self.transact(&now, false)
    }

    /// The last commit of a run that succeeded: everything becomes visible.
    fn succeed(&mut self, changes: &StateChanges) -> Result<(), Trouble> {
        self.stage(true)?;
        let mut now = self.split_state(changes);
        let held = std::mem::take(&mut self.held);
        now.extend(held);
        self.transact(&now, true)
    }

    /// One transaction, tried again where it met another one.
    fn transact(&mut self, state: &StateChanges, last: bool) -> Result<(), Trouble> {
        let target = Arc::clone(&self.server.target);
        let progress = self.progress(last);
        let Self { server, session, entry, tables, run, .. } = self;
        let clear_state = last && run.full_refresh && !run.keep_state;
        let commit = Commit { target: &target, entry, tables: &*tables, progress, state, clear_state, last };
        let mut attempt = 0;
        let lost = loop {
            attempt += 1;
            let ran = server.wait(commit.run(session));
            // Only of the answer to `COMMIT` it matters how it was lost.
            let asked = ran.is_ok();
            match ran.and_then(|()| server.wait(session.batch("COMMIT"))) {
                Ok(()) => break None,
                Err(trouble) if trouble.is_conflict() && attempt < ATTEMPTS => {
                    server.wait(async {
                        session.roll_back().await;
                        tokio::time::sleep(PAUSE * attempt).await;
                        Ok(())
                    })?;
                }
                Err(trouble) if asked && trouble.is_lost() => break Some(trouble),
                Err(trouble) => return Err(trouble),
            }
        };
        match lost {
            Some(why) => self.settle(why, last),
            None => {
                self.committed(last);
                Ok(())
            }
        }
    }

    /// Finds out what became of a commit whose answer was lost, and goes on in a
    /// new session if it was made.
    fn settle(&mut self, why: Trouble, last: bool) -> Result<(), Trouble> {
        let target = Arc::clone(&self.server.target);
        let old = self.session.process.clone();
        self.session = self.reconnect(SETTLE).map_err(|error| {
            Trouble::Storage(StorageError::Failed {
                message: format!(
                    "the answer to a commit was lost, and whether it was made cannot be asked: {error}; the next run goes on from what is there"
                ),
                retryable: true,
            })
        })?;
        let Self { server, session, entry, run, .. } = self;
        let before = number(self.commits);
        let made = server.wait(async {
            end_process(session, &old).await?;
            let made = entry.commits(session, &target).await? > before;
            if !(made && last) {
                // More is to come, or at least the end of the run.
                claim::take(session, &target, &run.data_mart_id).await?;
                entry.check(session, &target).await?;
            }
            Ok(made)
        })?;
        if !made {
            return Err(why);
        }
        // What was staged is gone with the session. Of the tables of this commit
        // nothing is missed; rows that wait for the end of the run are.
        let missed = self.tables.iter().find(|table| !last && table.waits() && table.stage.rows > 0);
        let missed = missed.map(|table| table.name.clone());
        self.committed(last);
        self.tables.iter_mut().for_each(|table| table.stage.forget());
        match missed {
            None => Ok(()),
            Some(table) => Err(Trouble::Lost(format!(
                "the last commit was made, but the rows that were to replace table `{table}` went with the connection"
            ))),
        }
    }

    /// Opens a session in the place of one that was lost.
    fn reconnect(&mut self, patience: Duration) -> Result<Session, StorageError> {
        let start = Instant::now();
        loop {
            match self.server.connect(&application_name(&self.run)) {
                Err(StorageError::Failed { retryable: true, .. }) if start.elapsed() < patience => {
                    let _ = self.server.wait(async {
                        tokio::time::sleep(PAUSE).await;
                        Ok(())
                    });
                }
                result => return result,
            }
        }
    }

    /// Keeps back the state that waits for the end of the run, and answers the
    /// rest.
    fn split_state(&mut self, changes: &StateChanges) -> StateChanges {
        let replaced = self.tables.iter().filter(|table| table.waits()).map(|table| &table.schema);
        history::split_state(changes, &self.run, replaced, &mut self.held)
    }

    /// What the history tells once this commit is made.
    fn progress(&self, last: bool) -> Progress {
        let tables = self.tables.iter().map(|table| {
            let rows = if last || !table.waits() { table.stage.rows } else { table.committed };
            (&table.schema, table.mode, rows)
        });
        Progress::new(tables, self.commits + 1)
    }

    fn committed(&mut self, last: bool) {
        self.commits += 1;
        for table in self.tables.iter_mut().filter(|table| table.takes_part(last)) {
            table.prepared = true;
            table.committed = table.stage.rows;
            table.stage.applied();
        }
    }

    /// The end of a run that did not succeed.
    fn fail(&mut self, status: &str, error: Option<&str>) -> Result<(), StorageError> {
        self.roll_back();
        let old = self.session.is_lost().then(|| self.session.process.clone());
        if old.is_some() {
            self.session = self.reconnect(Duration::ZERO)?;
        }
        let target = Arc::clone(&self.server.target);
        let Self { server, session, entry, .. } = self;
        let fail = async {
            if let Some(old) = &old {
                end_process(session, old).await?;
            }
            session.batch("BEGIN").await?;
            // A later run that took the data mart has marked this one already.
            if entry.holds(session, &target).await? {
                entry.close(session, &target, status, error).await?;
            }
            session.batch("COMMIT").await
        };
        server.wait(fail).map_err(|trouble| {
            let error = trouble.explain(&target, "record the end of the run");
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

    /// The table that the run has open under this name, if it is the same one.
    fn find(&self, schema: &TableSchema, mode: WriteMode, name: &str) -> Result<Option<TableId>, Trouble> {
        let Some(index) = self.tables.iter().position(|table| table.name == name) else { return Ok(None) };
        let open = self.tables.get(index).filter(|table| table.schema == *schema && table.mode == mode);
        if open.is_none() {
            return Err(Trouble::refused(format!(
                "table `{name}` is open already in this run, with other fields or another mode"
            )));
        }
        Ok(Some(table_id(index)))
    }

    fn add_table(&mut self, schema: &TableSchema, mode: WriteMode, name: String) -> Result<TableId, Trouble> {
        identifier::check(&name, schema)?;
        if let Some(id) = self.find(schema, mode, &name)? {
            return Ok(id);
        }
        if mode == WriteMode::Merge && schema.primary_key.is_empty() {
            return Err(Trouble::refused(format!(
                "table `{name}` cannot be merged into without a primary key; declare one, or use `append` or `replace`"
            )));
        }
        let replaces = mode == WriteMode::Replace || self.run.full_refresh;
        self.add(schema, mode, name, if replaces { Purpose::Replace } else { Purpose::Add })
    }

    fn add(
        &mut self,
        schema: &TableSchema,
        mode: WriteMode,
        name: String,
        purpose: Purpose,
    ) -> Result<TableId, Trouble> {
        // Problems of the table are told now, not at the first commit.
        self.arrive()?;
        let target = Arc::clone(&self.server.target);
        let Self { server, session, .. } = self;
        server.wait(evolve::check(session, &target, &name, schema, purpose))?;
        let index = self.tables.len();
        self.tables.push(Table {
            quoted: target.table(&name),
            schema: schema.clone(),
            mode,
            name,
            purpose,
            prepared: false,
            stage: Stage::new(index),
            committed: 0,
        });
        Ok(table_id(index))
    }
}

/// Ends the server's process of a session that was lost, so that its
/// transaction is over one way or the other.
async fn end_process(session: &Session, (process, started): &(i32, String)) -> Result<(), Trouble> {
    session
        .rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start::text = $2",
            &[(process, Type::INT4), (started, Type::TEXT)],
        )
        .await
        .map(|_| ())
}

/// What the session is called in `pg_stat_activity`.
fn application_name(run: &RunInfo) -> String {
    let name = format!("ow-host {}", run.run_id);
    name.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(identifier::MAX_BYTES).collect()
}

fn table_id(index: usize) -> TableId {
    TableId(u32::try_from(index).unwrap_or(u32::MAX))
}

fn number(commits: u64) -> i64 {
    i64::try_from(commits).unwrap_or(i64::MAX)
}

fn no_table() -> Trouble {
    Trouble::internal("the table is not open")
}

fn has_ended() -> StorageError {
    StorageError::Failed { message: "the run has ended already".into(), retryable: false }
}

impl Storage for PostgresStorage {
    fn state(&mut self) -> Result<BTreeMap<String, String>, StorageError> {
        self.step("read the state", |this| {
            let target = Arc::clone(&this.server.target);
            let Self { server, session, run, .. } = this;
            server.wait(ledger::state(session, &target, &run.data_mart_id))
        })
    }

    fn open_table(&mut self, schema: &TableSchema, mode: WriteMode) -> Result<TableId, StorageError> {
        let name = format!("{}{}", self.server.target.prefix, schema.name);
        self.step(&format!("open table `{}`", name.escape_debug()), |this| this.add_table(schema, mode, name))
    }

    fn open_quarantine(&mut self, schema: &TableSchema) -> Result<TableId, StorageError> {
        let name = schema.name.clone();
        self.step(&format!("open table `{name}`"), |this| {
            match this.find(schema, WriteMode::Append, &name)? {
                Some(id) => Ok(id),
                None => this.add(schema, WriteMode::Append, name, Purpose::Add),
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
        let name = format!("{}{stream}", self.server.target.prefix);
        self.step(&format!("look at table `{}`", name.escape_debug()), |this| {
            this.arrive()?;
            let target = Arc::clone(&this.server.target);
            let Self { server, session, .. } = this;
            server.wait(evolve::columns(session, &target, &name))
        })
    }

    fn waited(&self) -> Duration {
        self.server.waited()
    }

    fn finish(
        &mut self,
        outcome: Outcome,
        changes: &StateChanges,
        error: Option<&str>,
    ) -> Result<(), StorageError> {
        if self.ended {
            return Err(has_ended());
        }
        let result = self.end(outcome, changes, error);
        self.ended = true;
        let Self { server, session, .. } = self;
        // A session that is gone has no claim.
        let _ = server.wait(claim::release(session));
        result
    }
}

#[cfg(test)]
impl PostgresStorage {
    /// Releases the lock without the storage knowing.
    pub(super) fn claim_lost_for_test(&mut self) {
        let Self { server, session, .. } = self;
        server.wait(claim::release(session)).unwrap();
    }

    /// Bytes of rows that wait in memory.
    pub(super) fn bytes_for_test(&self) -> usize {
        self.tables.iter().map(|table| table.stage.bytes()).sum()
    }
}
