//! A run's view of the folder: open tables, commits, the end.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow_array::RecordBatch;
use rusqlite::Connection;

use super::apply::{self, apply, step};
use super::format::Format;
use super::ledger::{self, Kind, Pending};
use super::name;
use super::output::{Entry, Output, Staging};
use super::place::{self, Place};
use super::shape::{self, Shape};
use super::table::{self, Table};
use super::trouble::Trouble;
use super::{LEDGER, LocalFilesParams, STAGING};
use crate::history::{self, Progress};
use crate::sqlite::claim::{self, Claim};
use crate::sqlite::connection;
use crate::sqlite::ledger::{Entry as RunEntry, state};
use crate::{Field, Outcome, RunInfo, StateChanges, Storage, StorageError, TableId, TableSchema, WriteMode};

/// How many bytes of rows wait in memory, of all tables together.
const BUFFER: usize = 32 * 1024 * 1024;
/// Memory of open files, of all tables together.
const MEMORY: usize = 64 * 1024 * 1024;
/// Open files of all tables.
const OPEN_FILES: usize = 64;

/// A folder that one run has open.
pub struct LocalFilesStorage {
    // Closed before the claims are released.
    connection: Connection,
    entry: RunEntry,
    run: RunInfo,
    ledger: PathBuf,
    place: Place,
    format: Format,
    partition_by: Option<String>,
    staging: Staging,
    tables: Vec<Table>,
    /// State that waits for the end of the run.
    held: StateChanges,
    commits: u64,
    broken: Option<StorageError>,
    /// The ledger has the end of the run.
    ended: bool,
    claim: Option<Claim>,
}

impl LocalFilesStorage {
    pub(super) fn open(params: &LocalFilesParams, run: &RunInfo) -> Result<Self, StorageError> {
        let ledger = params.path.join(LEDGER);
        Self::open_folder(params, run).map_err(|trouble| trouble.explain(&ledger, "open the folder"))
    }

    fn open_folder(params: &LocalFilesParams, run: &RunInfo) -> Result<Self, Trouble> {
        let place = Place::open(&params.path)?;
        place.folder(name::OURS)?;
        for found in place.list(name::OURS)? {
            place.look(&format!("{}/{found}", name::OURS))?;
        }
        let ledger = place.path(LEDGER);
        let claim = Claim::take(&ledger, run)?;
        let connection = connection::open(&ledger)?;
        connection::use_log(&connection)?;
        let entry = enter(&connection, run)?;
        apply(&place, &connection, Some(&run.data_mart_id), None)?;
        let tag = claim::tag(&run.data_mart_id);
        place.check(STAGING)?;
        place.remove_folder(&format!("{STAGING}/{tag}"))?;
        let fence = entry.fence();
        let prefix = format!("{tag}-{fence:06}");
        let folder = format!("{STAGING}/{tag}/{fence}");
        Ok(Self {
            staging: Staging::new(place.clone(), folder, prefix, params.compression, params.max_file_bytes),
            connection,
            entry,
            run: run.clone(),
            ledger,
            place,
            format: params.format,
            partition_by: params.partition_by.clone(),
            tables: Vec::new(),
            held: StateChanges::new(),
            commits: 0,
            broken: None,
            ended: false,
            claim: Some(claim),
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
            let error = trouble.explain(&self.ledger, doing);
            self.roll_back();
            self.broken = Some(error.clone());
            error
        })
    }

    fn roll_back(&mut self) {
        self.tables.iter_mut().for_each(Table::abandon);
        if !self.connection.is_autocommit() {
            // Fails where SQLite has rolled back by itself.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    /// Opens a table that the run does not have open yet.
    fn open_new(&mut self, schema: &TableSchema, mode: WriteMode) -> Result<Table, Trouble> {
        let name = &schema.name;
        if mode == WriteMode::Merge && schema.primary_key.is_empty() {
            return Err(Trouble::refused(format!(
                "table `{name}` cannot be merged into without a primary key; declare one, or use `append` or `replace`"
            )));
        }
        let folder = name::encode(name);
        if let Some(other) = ledger::owner(&self.connection, &folder)?.filter(|owner| owner != name) {
            return Err(Trouble::refused(format!(
                "table `{other}` is there already and differs from `{name}` in case only, which not every file system can tell apart; rename the stream, or set `Path` to another folder"
            )));
        }
        let lock = format!("{}/table-{}.lock", name::OURS, claim::tag(&folder.to_ascii_lowercase()));
        let claim = Claim::take_at(self.place.path(&lock), &format!("table `{name}`"), &self.run)?;
        // A run of another data mart may have died over it.
        apply(&self.place, &self.connection, None, Some(name))?;
        let standing = ledger::load(&self.connection, name)?;
        let visible = table::visible_files(&self.place, &folder)?;
        self.check_foreign(name, standing.as_ref(), &visible)?;
        let replaces = mode == WriteMode::Replace || self.run.full_refresh;
        let wanted = self.partition_by.as_deref();
        let version = standing.as_ref().map_or(0, |standing| standing.version);
        let Some(standing) = standing.filter(|_| !replaces) else {
            let shape = Shape::fresh(schema, self.format, shape::partition(schema, wanted)?);
            let output = Output::new(shape, folder, Vec::new());
            return Ok(Table::new(schema.clone(), mode, replaces, output, version, Some(claim)));
        };
        let shape = shape::plan(name, &standing.shape, schema, self.format, wanted)?;
        let (files, lost): (Vec<_>, _) =
            standing.files.into_iter().partition(|file| visible.contains(&file.path));
        let output = Output::new(shape, folder, files);
        let mut table = Table::new(schema.clone(), mode, replaces, output, version, Some(claim));
        table.stands(standing.shape, lost.into_iter().map(|file| file.path).collect());
        Ok(table)
    }

    /// Opens the table of refused rows. All data marts share it: a run adds files
    /// of its own and leaves those of other data marts alone, so that it needs no
    /// claim on the table.
    fn open_shared(&mut self, schema: &TableSchema) -> Result<Table, Trouble> {
        let name = &schema.name;
        let folder = name.clone();
        let fresh = Shape::fresh(schema, self.format, None);
        let (shape, version, before, files) = match ledger::load(&self.connection, name)? {
            None => (fresh, 0, None, Vec::new()),
            Some(standing) => {
                let shape = shape::plan(name, &standing.shape, schema, self.format, Some(""))?;
                if !shape.same_files(&standing.shape) {
                    return Err(Trouble::refused(format!(
                        "table `{name}` has other columns than this ow-host writes; set `Path` to another folder"
                    )));
                }
                (shape, standing.version, Some(standing.shape), standing.files)
            }
        };
        let tag = claim::tag(&self.run.data_mart_id);
        let mut own = Vec::new();
        for file in files {
            if file.path.starts_with(&tag) && self.place.look(&format!("{folder}/{}", file.path))?.is_some() {
                own.push(file);
            }
        }
        let output = Output::new(shape, folder, own);
        let mut table = Table::new(schema.clone(), WriteMode::Append, false, output, version, None);
        if let Some(before) = before {
            table.stands(before, Vec::new());
        }
        Ok(table)
    }

    fn add(&mut self, table: Table) -> TableId {
        self.tables.push(table);
        table_id(self.tables.len() - 1)
    }

    /// Files that somebody else put into a table are not guessed at.
    fn check_foreign(
        &self,
        table: &str,
        standing: Option<&ledger::Standing>,
        visible: &[String],
    ) -> Result<(), Trouble> {
        let is_ours = |path: &String| {
            standing.is_some_and(|standing| standing.files.iter().any(|file| file.path == *path))
        };
        let Some(foreign) = visible.iter().find(|path| !is_ours(path)) else { return Ok(()) };
        let path = self.place.path(&name::encode(table)).join(foreign);
        Err(Trouble::refused(format!(
            "`{}`, in the folder of table `{table}`, was not written by ow-host; move it away, or set `Path` to another folder",
            path.display()
        )))
    }

    /// Keeps memory and open files in bounds.
    fn make_room(&mut self) -> Result<(), Trouble> {
        let Self { tables, staging, .. } = self;
        while tables.iter().map(Table::waiting_bytes).sum::<usize>() > BUFFER {
            let Some(largest) = tables.iter_mut().max_by_key(|table| table.waiting_bytes()) else { break };
            largest.drain(staging)?;
        }
        while tables.iter().map(|table| table.output.memory()).sum::<usize>() > MEMORY {
            let Some(largest) = tables.iter_mut().max_by_key(|table| table.output.memory()) else { break };
            largest.output.shrink()?;
        }
        while tables.iter().map(|table| table.output.open_files()).sum::<usize>() > OPEN_FILES {
            let Some(most) = tables.iter_mut().max_by_key(|table| table.output.open_files()) else { break };
            most.output.close_first()?;
        }
        Ok(())
    }

    fn commit_all(&mut self, changes: &StateChanges) -> Result<(), Trouble> {
        self.write_files(|table| !table.replaces)?;
        let is_due = |table: &Table| !table.replaces && table.has_changes();
        if changes.is_empty() && !self.tables.iter().any(is_due) {
            self.commits += 1;
            return Ok(());
        }
        self.ready_folders()?;
        let now = self.split_state(changes);
        self.begin()?;
        for table in self.tables.iter().filter(|table| is_due(table)) {
            self.record_table(table)?;
        }
        self.entry.change_state(&self.connection, &now)?;
        self.record_progress(|table| !table.replaces)?;
        self.end_transaction()?;
        self.settle(|table| !table.replaces);
        self.put_in_place()
    }

    /// Does the renames of a commit that is recorded.
    fn put_in_place(&self) -> Result<(), Trouble> {
        let doing = "put committed files in their places (they are safe, and the next run does it)";
        apply(&self.place, &self.connection, Some(&self.run.data_mart_id), None)
            .map_err(|trouble| Trouble::Storage(trouble.explain(&self.ledger, doing)))
    }

    /// The last commit of a run that succeeded: everything becomes visible.
    fn succeed(&mut self, changes: &StateChanges) -> Result<(), Trouble> {
        self.write_files(|_| true)?;
        self.ready_folders()?;
        let swaps = self.ready_swaps()?;
        let now = self.split_state(changes);
        self.begin()?;
        for (number, table) in self.tables.iter().enumerate() {
            match swaps.get(&number) {
                Some(staged) => self.record_swap(table, staged)?,
                None if table.has_changes() => self.record_table(table)?,
                None => {}
            }
        }
        if self.run.full_refresh && !self.run.keep_state {
            self.entry.clear_state(&self.connection)?;
        }
        self.entry.change_state(&self.connection, &now)?;
        self.entry.change_state(&self.connection, &self.held)?;
        self.record_progress(|_| true)?;
        self.entry.close(&self.connection, "succeeded", None)?;
        self.end_transaction()?;
        self.ended = true;
        self.settle(|_| true);
        self.put_in_place()?;
        // What is left is empty; the next run removes it if this cannot.
        let _ = self.place.remove_folder(&self.staging.folder);
        Ok(())
    }

    /// Puts the rows of some tables into files that are on the disk.
    fn write_files(&mut self, which: impl Fn(&Table) -> bool) -> Result<(), Trouble> {
        let Self { tables, staging, .. } = self;
        for table in tables.iter_mut().filter(|table| which(table)) {
            table.finish_files(staging)?;
        }
        if self.place.check(&self.staging.folder)? {
            self.place.sync(&self.staging.folder)?;
        }
        Ok(())
    }

    /// Makes the folders that staged files go to: an empty folder does no harm,
    /// and a commit that is recorded must not fail for it.
    fn ready_folders(&self) -> Result<(), Trouble> {
        for table in self.tables.iter().filter(|table| !table.replaces) {
            for entry in table.output.entries.iter().filter(|entry| entry.staged.is_some()) {
                self.place.folder(place::parent(&target(table, entry)))?;
            }
        }
        Ok(())
    }

    /// Puts the files of replaced tables into folders that are to take their
    /// places; answers them by the numbers of the tables.
    fn ready_swaps(&mut self) -> Result<BTreeMap<usize, String>, Trouble> {
        let Self { tables, staging, place, .. } = self;
        let mut swaps = BTreeMap::new();
        for (number, table) in tables.iter().enumerate().filter(|(_, table)| table.replaces) {
            let folder = staging.place_for("swap")?;
            place.folder(&folder)?;
            for entry in &table.output.entries {
                let to = format!("{folder}/{}", entry.file.path);
                place.folder(place::parent(&to))?;
                place.rename(entry.staged.as_deref().unwrap_or_default(), &to)?;
            }
            for entry in &table.output.entries {
                place.sync(place::parent(&format!("{folder}/{}", entry.file.path)))?;
            }
            place.create(&format!("{folder}/{}", apply::marker(&folder)))?;
            place.sync(&folder)?;
            swaps.insert(number, folder);
        }
        Ok(swaps)
    }

    fn begin(&self) -> Result<(), Trouble> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        self.entry.check(&self.connection)?;
        Ok(())
    }

    fn end_transaction(&self) -> Result<(), Trouble> {
        step()?;
        self.connection.execute_batch("COMMIT")?;
        step()
    }

    /// Fails if another run has committed to the table since it was opened: the
    /// lock did not hold.
    fn check_version(&self, table: &Table) -> Result<(), Trouble> {
        if table.is_shared() || ledger::version(&self.connection, &table.schema.name)? == table.version {
            return Ok(());
        }
        Err(Trouble::Storage(StorageError::Failed {
            message: format!(
                "table `{}` was changed by another run meanwhile, and what this run had not committed is dropped; let one run at a time write a table, and keep the folder on a disk whose locks work",
                table.schema.name
            ),
            retryable: true,
        }))
    }

    /// Records a table's new files: names that readers do not know come first,
    /// so that a row that moves is never missing.
    fn record_table(&self, table: &Table) -> Result<(), Trouble> {
        let name = &table.schema.name;
        self.check_version(table)?;
        for path in &table.lost {
            ledger::forget(&self.connection, name, path)?;
        }
        let staged = || table.output.entries.iter().filter(|entry| entry.staged.is_some());
        let new = staged().filter(|entry| !entry.known);
        for entry in new.chain(staged().filter(|entry| entry.known)) {
            ledger::remember(&self.connection, name, &entry.file, &self.run.run_id)?;
            let staged = entry.staged.clone().unwrap_or_default();
            let pending = Pending { kind: Kind::Move, staged, target: target(table, entry) };
            ledger::intend(&self.connection, &self.run.data_mart_id, name, &pending)?;
        }
        self.save(table)
    }

    /// Records that a folder takes the place of a table.
    fn record_swap(&self, table: &Table, staged: &str) -> Result<(), Trouble> {
        let name = &table.schema.name;
        self.check_version(table)?;
        ledger::forget_all(&self.connection, name)?;
        for entry in &table.output.entries {
            ledger::remember(&self.connection, name, &entry.file, &self.run.run_id)?;
        }
        let pending =
            Pending { kind: Kind::Swap, staged: staged.to_owned(), target: table.output.folder.clone() };
        ledger::intend(&self.connection, &self.run.data_mart_id, name, &pending)?;
        self.save(table)
    }

    fn save(&self, table: &Table) -> Result<(), Trouble> {
        let Output { shape, folder, .. } = &table.output;
        let name = &table.schema.name;
        let version = ledger::version(&self.connection, name)?;
        ledger::save(&self.connection, name, folder, shape, version + 1)
    }

    /// Keeps back the state that waits for the end of the run, and answers the
    /// rest.
    fn split_state(&mut self, changes: &StateChanges) -> StateChanges {
        let replaced = self.tables.iter().filter(|table| table.replaces).map(|table| &table.schema);
        history::split_state(changes, &self.run, replaced, &mut self.held)
    }

    /// Writes to the history what this commit makes durable.
    fn record_progress(&self, counts: impl Fn(&Table) -> bool) -> Result<(), Trouble> {
        let tables = self.tables.iter().map(|table| {
            let rows = if counts(table) { table.taken } else { table.committed };
            (&table.schema, table.mode, rows)
        });
        Ok(self.entry.record(&self.connection, &Progress::new(tables, self.commits + 1))?)
    }

    fn settle(&mut self, which: impl Fn(&Table) -> bool) {
        self.commits += 1;
        for table in self.tables.iter_mut().filter(|table| which(table)) {
            if table.has_changes() {
                table.settle();
            }
            table.committed = table.taken;
        }
    }

    /// The end of a run that did not succeed.
    fn fail(&mut self, status: &str, error: Option<&str>) -> Result<(), StorageError> {
        self.roll_back();
        let fail = |this: &Self| -> Result<(), Trouble> {
            let data_mart = &this.run.data_mart_id;
            // What is recorded is completed, now or by the next run.
            apply(&this.place, &this.connection, Some(data_mart), None)?;
            this.place.remove_folder(&this.staging.folder)?;
            this.connection.execute_batch("BEGIN IMMEDIATE")?;
            // A later run that took the data mart has marked this one already.
            if !this.ended && this.entry.holds(&this.connection)? {
                this.entry.close(&this.connection, status, error)?;
            }
            this.connection.execute_batch("COMMIT")?;
            Ok(())
        };
        fail(self).map_err(|trouble| {
            let error = trouble.explain(&self.ledger, "record the end of the run");
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
    fn find(&self, schema: &TableSchema, mode: WriteMode) -> Result<Option<TableId>, Trouble> {
        let same = |table: &Table| name::same(&table.schema.name, &schema.name);
        let Some(number) = self.tables.iter().position(same) else { return Ok(None) };
        let open = self.tables.get(number).filter(|table| table.schema == *schema && table.mode == mode);
        if open.is_none() {
            return Err(Trouble::refused(format!(
                "table `{}` is open already in this run, with a name that differs in case, other fields or another mode",
                schema.name
            )));
        }
        Ok(Some(table_id(number)))
    }
}

/// Where a file of a table belongs, below the storage's folder.
fn target(table: &Table, entry: &Entry) -> String {
    format!("{}/{}", table.output.folder, entry.file.path)
}

fn table_id(number: usize) -> TableId {
    TableId(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Enters the run in the ledger.
fn enter(connection: &Connection, run: &RunInfo) -> Result<RunEntry, Trouble> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let entry = RunEntry::open(connection, run)?;
    ledger::prepare(connection)?;
    step()?;
    connection.execute_batch("COMMIT")?;
    Ok(entry)
}

impl Storage for LocalFilesStorage {
    fn state(&mut self) -> Result<BTreeMap<String, String>, StorageError> {
        self.step("read the state", |this| Ok(state(&this.connection, &this.run.data_mart_id)?))
    }

    fn open_table(&mut self, schema: &TableSchema, mode: WriteMode) -> Result<TableId, StorageError> {
        self.step(&format!("open table `{}`", schema.name), |this| {
            // First of all: the quarantine may be open, and no stream may have it.
            name::check(schema)?;
            if let Some(id) = this.find(schema, mode)? {
                return Ok(id);
            }
            let table = this.open_new(schema, mode)?;
            Ok(this.add(table))
        })
    }

    fn open_quarantine(&mut self, schema: &TableSchema) -> Result<TableId, StorageError> {
        self.step(&format!("open table `{}`", schema.name), |this| {
            if let Some(id) = this.find(schema, WriteMode::Append)? {
                return Ok(id);
            }
            let table = this.open_shared(schema)?;
            Ok(this.add(table))
        })
    }

    fn write(&mut self, table: TableId, rows: &RecordBatch) -> Result<(), StorageError> {
        let index = usize::try_from(table.0).unwrap_or(usize::MAX);
        self.step("write rows", |this| {
            let Some(table) = this.tables.get_mut(index) else {
                return Err(Trouble::failed("the table is not open"));
            };
            table.write(&mut this.staging, rows)?;
            this.make_room()
        })
    }

    fn commit(&mut self, changes: &StateChanges) -> Result<(), StorageError> {
        self.step("commit", |this| this.commit_all(changes))
    }

    fn columns(&mut self, stream: &str) -> Result<Option<Vec<Field>>, StorageError> {
        self.step(&format!("look at table `{stream}`"), |this| {
            Ok(ledger::load(&this.connection, stream)?.map(|standing| standing.shape.fields()))
        })
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
        self.tables.clear();
        self.claim = None;
        result
    }
}

#[cfg(test)]
impl LocalFilesStorage {
    /// Releases the lock without the storage knowing: as where locks do not hold.
    pub(super) fn claim_lost_for_test(&mut self) {
        self.claim.as_mut().unwrap().release_for_test();
        self.tables.clear();
    }
}
