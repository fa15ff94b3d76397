//! A data mart that a run holds: its lease, its log, and the way of committed
//! rows into the tables. The module [`super`] proves that no row is lost and
//! none doubled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::lease::Lease;
use super::log::{Append, Entry, History, Log, Next, Part, Unit, What};
use super::query::{Ended, token};
use super::service::{Condition, Service, failed, to_json};
use super::table::{self, Catalog, Column, Landed, Standing, Step};
use super::trouble::fault;
use super::{ledger, sql};
use crate::{RunInfo, StorageError, WriteMode};

/// How often rows are brought into the tables before the run gives up; they stay
/// committed, and the next run goes on.
const ATTEMPTS: u32 = 12;
/// The pause after the first of these; each is longer by as much.
const PAUSE: Duration = Duration::from_millis(500);

/// A data mart that a run holds.
pub(super) struct Mart {
    pub(super) service: Arc<Service>,
    pub(super) id: String,
    pub(super) log: Log,
    lease: Option<Lease>,
    /// External tables that stand for certain.
    stages: Vec<String>,
}

/// A short name for a data mart, fit for keys and table names.
pub(super) fn tag(data_mart_id: &str) -> String {
    let digest = Sha256::digest(data_mart_id.as_bytes());
    digest.iter().take(8).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The folder of everything that is ours.
pub(super) fn root(service: &Service) -> String {
    format!("{}ow-host/", service.place.prefix)
}

/// The folder of a data mart.
pub(super) fn folder(service: &Service, data_mart_id: &str) -> String {
    format!("{}marts/{}/", root(service), tag(data_mart_id))
}

/// Where what a table's columns mean is kept.
fn catalog_key(service: &Service, table: &str) -> String {
    format!("{}tables/{}/{table}.json", root(service), service.place.database)
}

/// Where the data mart that writes a table is kept.
pub(super) fn owner_key(service: &Service, table: &str) -> String {
    format!("{}tables/{}/{table}.owner.json", root(service), service.place.database)
}

/// What is known of a table's columns.
pub(super) async fn catalog(service: &Service, table: &str) -> Result<Option<Catalog>, StorageError> {
    Ok(service.get_json(&catalog_key(service, table)).await?.map(|(catalog, _)| catalog))
}

/// The rows of one table that are pending, of all commits together.
struct Group {
    part: Part,
    files: Vec<String>,
}

/// What became of an attempt to bring rows into a table.
enum Applied {
    Yes,
    /// Not, and another attempt may: with what went wrong.
    Again(String),
}

impl Mart {
    /// Claims a data mart, enters the run in its log, and brings into the tables
    /// what an earlier run committed.
    pub(super) async fn open(
        service: &Arc<Service>,
        id: &str,
        run: &RunInfo,
        history: History,
    ) -> Result<Self, StorageError> {
        let folder = folder(service, id);
        let lease = Lease::take(service, format!("{folder}lease.json"), id, run).await?;
        match Self::enter(service, id, &folder, history).await {
            Ok((log, crashed)) => {
                let mut mart = Self {
                    service: Arc::clone(service),
                    id: id.to_owned(),
                    log,
                    lease: Some(lease),
                    stages: Vec::new(),
                };
                if let Err(error) = mart.recover(crashed).await {
                    let _ = mart.release().await;
                    return Err(error);
                }
                Ok(mart)
            }
            Err(error) => {
                let _ = lease.release().await;
                Err(error)
            }
        }
    }

    async fn enter(
        service: &Arc<Service>,
        id: &str,
        folder: &str,
        history: History,
    ) -> Result<(Log, bool), StorageError> {
        let mut log = Log::open(service, folder, id).await?;
        let crashed = log.tail().filter(|last| last.history.finished_at.is_none());
        let died = crashed.is_some();
        if let Some(last) = crashed {
            let crashed = History { status: "crashed".to_owned(), ..last.history.clone() };
            ledger::record(service, id, last.fence, &crashed).await?;
        }
        log.enter(history).await?;
        Ok((log, died))
    }

    async fn recover(&mut self, crashed: bool) -> Result<(), StorageError> {
        self.settle().await?;
        if crashed {
            self.find_stages().await?;
            self.service.abort_uploads(&self.staged()).await?;
        }
        self.clear(|fence, own| fence != own).await?;
        self.log.trim().await
    }

    /// Finds the external tables that a run which died left.
    async fn find_stages(&mut self) -> Result<(), StorageError> {
        let start = format!("_ow_stage_{}_", tag(&self.id));
        let mut token = None;
        loop {
            let request = self.service.athena.list_table_metadata().catalog_name("AwsDataCatalog");
            let request =
                request.database_name(&self.service.place.database).expression(format!("{start}.*"));
            let answer = request
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| self.service.explain(fault(error), "list the tables of the database"))?;
            let found = answer.table_metadata_list.unwrap_or_default();
            self.stages
                .extend(found.into_iter().map(|table| table.name).filter(|name| name.starts_with(&start)));
            token = answer.next_token;
            if token.is_none() {
                return Ok(());
            }
        }
    }

    /// Gives the data mart up.
    pub(super) async fn release(&mut self) -> Result<(), StorageError> {
        match self.lease.take() {
            Some(lease) => lease.release().await,
            None => Ok(()),
        }
    }

    /// Adds to the log, or says that another run has the data mart.
    pub(super) async fn append(&mut self, next: Next) -> Result<(), StorageError> {
        let lost = |id: &str, run: &str| StorageError::Failed {
            message: format!(
                "run `{run}` lost data mart `{id}` to a later run, and what it had not committed is dropped; let one run at a time write a data mart"
            ),
            retryable: true,
        };
        let run = next.history.run_id.clone();
        if self.lease.as_ref().is_some_and(Lease::is_lost) {
            return Err(lost(&self.id, &run));
        }
        self.log.append(next).await.map_err(|why| match why {
            Append::Lost => lost(&self.id, &run),
            Append::Failed(error) => error,
        })
    }

    /// Adds a step that changes neither state nor history.
    async fn mark(&mut self, what: What) -> Result<(), StorageError> {
        let Some(tail) = self.log.tail() else { return Ok(()) };
        let next = Next { what, state: tail.state.clone(), history: tail.history.clone() };
        self.append(next).await
    }

    /// Where staged files of a run are; with a slash at its end.
    fn staged(&self) -> String {
        format!("{}staged/", folder(&self.service, &self.id))
    }

    /// Where the staged files of a table of this run are.
    pub(super) fn stage_folder(&self, number: usize) -> String {
        format!("{}{:020}/{number}/", self.staged(), self.log.fence())
    }

    /// The external table over them.
    pub(super) fn stage_table(&self, fence: u64, number: usize) -> String {
        format!("_ow_stage_{}_{fence}_{number}", tag(&self.id))
    }

    /// Removes staged files and the tables over them: of the runs with a fence
    /// that is meant. Nothing of theirs is pending.
    pub(super) async fn clear(&mut self, meant: impl Fn(u64, u64) -> bool) -> Result<(), StorageError> {
        let (prefix, own) = (self.staged(), self.log.fence());
        let mut last = None;
        loop {
            let (keys, more) = self.service.list(&prefix, last.as_deref()).await?;
            for stage in keys.iter().filter_map(|key| stage_of(&prefix, key)) {
                let table = self.stage_table(stage.0, stage.1);
                if meant(stage.0, own) && !self.stages.contains(&table) {
                    self.stages.push(table);
                }
            }
            let doomed = |key: &String| stage_of(&prefix, key).is_some_and(|stage| meant(stage.0, own));
            last = keys.last().cloned();
            // Tables first: a table is found by its files.
            for table in std::mem::take(&mut self.stages) {
                self.service.define(&sql::drop_table(&self.service.place.database, &table)).await?;
            }
            let doomed: Vec<_> = keys.into_iter().filter(doomed).collect();
            self.service.delete(&doomed).await?;
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// Brings the rows of every pending commit into the tables.
    pub(super) async fn settle(&mut self) -> Result<(), StorageError> {
        let mut units = last_intent(self.log.pending());
        // An attempt of a run that died: whatever its end, another may follow.
        let mut inherited = units.is_some();
        let mut groups = self.groups();
        if groups.is_empty() {
            return Ok(());
        }
        let mut said = String::new();
        for attempt in 0..ATTEMPTS {
            tokio::time::sleep(PAUSE * attempt).await;
            let current = match units.take() {
                Some(units) => units,
                None => {
                    let units = self.prepare(&mut groups).await?;
                    self.mark(What::Apply(units.clone())).await?;
                    units
                }
            };
            let Some(intent) = intent_ordinal(self.log.pending()) else { break };
            let mut left = Vec::new();
            for unit in &current {
                let Some(group) = groups.remove(&unit.number) else { continue };
                match self.apply(intent, unit, &group, inherited).await? {
                    Applied::Yes => {}
                    Applied::Again(why) => {
                        said = why;
                        left.push((unit.number, group));
                    }
                }
            }
            inherited = false;
            if left.is_empty() {
                return self.settled().await;
            }
            // What the attempt did not name was in before it.
            groups = left.into_iter().collect();
        }
        Err(failed(
            format!("rows are committed and not in the tables yet: {said}; the next run brings them there"),
            true,
        ))
    }

    async fn settled(&mut self) -> Result<(), StorageError> {
        let files: Vec<_> = parts(self.log.pending()).flat_map(|part| part.files.clone()).collect();
        self.mark(What::Applied).await?;
        self.service.delete(&files).await
    }

    /// What is pending, by table.
    fn groups(&self) -> BTreeMap<usize, Group> {
        let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
        for part in parts(self.log.pending()) {
            match groups.get_mut(&part.number) {
                None => {
                    groups.insert(part.number, Group { part: part.clone(), files: part.files.clone() });
                }
                Some(group) => {
                    let first = group.part.batch.commits.0;
                    let rows = group.part.rows + part.rows;
                    let stage = group.part.batch.stage.take();
                    group.part = part.clone();
                    group.part.rows = rows;
                    group.part.batch.commits.0 = first;
                    group.part.batch.stage = group.part.batch.stage.take().or(stage);
                    group.files.extend(part.files.iter().cloned());
                }
            }
        }
        groups
    }

    /// Makes the tables ready, and says what the statements are made for.
    async fn prepare(&mut self, groups: &mut BTreeMap<usize, Group>) -> Result<Vec<Unit>, StorageError> {
        let mut units = Vec::with_capacity(groups.len());
        for (number, group) in groups.iter() {
            if let (Some(stage), Some(file)) = (&group.part.batch.stage, group.files.first()) {
                self.stand_stage(stage, file, &group.part).await?;
            }
            units.push(self.bring(*number, &group.part).await?);
        }
        Ok(units)
    }

    async fn stand_stage(&mut self, stage: &str, file: &str, part: &Part) -> Result<(), StorageError> {
        if self.stages.iter().any(|known| known == stage) {
            return Ok(());
        }
        let folder = file.rsplit_once('/').map_or(file, |(folder, _)| folder);
        let location = self.service.uri(&format!("{folder}/"));
        let database = &self.service.place.database;
        self.service.define(&sql::create_stage(database, stage, &location, &part.batch.columns)).await?;
        self.stages.push(stage.to_owned());
        Ok(())
    }

    /// Creates a table or gives it the columns that it needs.
    async fn bring(&self, number: usize, part: &Part) -> Result<Unit, StorageError> {
        let (service, table) = (&self.service, &part.batch.table);
        let database = &service.place.database;
        let catalog = Catalog { stream: part.stream.clone(), columns: part.columns.clone() };
        let remember = || async {
            let known = self::catalog(service, table).await?;
            if known.as_ref() != Some(&catalog) {
                service.put(&catalog_key(service, table), to_json(&catalog)?, Condition::Always).await?;
            }
            Ok::<_, StorageError>(())
        };
        let Some(standing) = Standing::load(service, table).await? else {
            remember().await?;
            let location = self.new_location(table);
            service.define(&table::create(database, table, &service.uri(&location), &part.columns)).await?;
            return self.based(number, table, None).await;
        };
        let replaces = part.batch.mode == WriteMode::Replace;
        let is_ours = standing.location.starts_with(&service.uri(&service.place.prefix));
        let mut missing: Vec<&Column> = Vec::new();
        let mut wider = Vec::new();
        for column in &part.columns {
            match standing.step(column) {
                None => missing.push(column),
                Some(Step::Same) => {}
                Some(Step::Change) => wider.push(column),
                Some(Step::Never) if replaces && is_ours => {
                    let location = service.uri(&self.new_location(table));
                    return self.based(number, table, Some(location)).await;
                }
                Some(Step::Never) => return Err(no_way(table, column)),
            }
        }
        remember().await?;
        if !missing.is_empty() {
            let added = service.define(&table::add(database, table, &missing)).await;
            // An earlier attempt whose answer was lost has added them.
            let now = Standing::load(service, table).await?;
            let stand = |column: &&Column| now.as_ref().is_some_and(|now| now.step(column).is_some());
            if !missing.iter().all(stand) {
                added?;
            }
        }
        for column in wider {
            service.define(&table::change(database, table, column)).await?;
        }
        self.based(number, table, None).await
    }

    fn new_location(&self, table: &str) -> String {
        format!("{}{table}/{}", self.service.place.prefix, uuid::Uuid::new_v4().simple())
    }

    async fn based(&self, number: usize, table: &str, rebuild: Option<String>) -> Result<Unit, StorageError> {
        let standing = Standing::load(&self.service, table).await?.ok_or_else(|| {
            failed(format!("table `{table}` was created and is not there; run again"), true)
        })?;
        Ok(Unit { number, base: standing.base(), rebuild })
    }

    /// Brings one table's rows in.
    async fn apply(
        &self,
        intent: u64,
        unit: &Unit,
        group: &Group,
        inherited: bool,
    ) -> Result<Applied, StorageError> {
        let batch = &group.part.batch;
        if let Some(location) = &unit.rebuild {
            return self.rebuild(intent, location, group).await;
        }
        let Some(statement) = batch.statement(&self.service.place.database, &unit.base) else {
            return Ok(Applied::Yes);
        };
        let token = token(&format!("{}/{intent}/{}", tag(&self.id), unit.number));
        let why = match self.service.query(&statement, &token).await {
            Ok(()) => return self.finish(group).await,
            Err(Ended::Unknown(error)) => return Err(error),
            Err(Ended::Stale) => "the tables were changed by somebody else meanwhile".to_owned(),
            Err(Ended::Failed { message, transient }) if transient || inherited => message,
            Err(ended) => {
                // It may have done its work all the same.
                if self.landed(unit, group).await? == Landed::Yes {
                    return self.finish(group).await;
                }
                return Err(explain(ended, &batch.table));
            }
        };
        match self.landed(unit, group).await? {
            Landed::Yes => self.finish(group).await,
            Landed::No => Ok(Applied::Again(why)),
            Landed::Lost => Err(failed(
                format!(
                    "whether {} rows are in table `{}` cannot be told, because the snapshots of that time have been removed (VACUUM); look there for the rows of data mart `{}`, then remove `{}` if they are in",
                    group.part.rows,
                    batch.table,
                    self.id,
                    self.service.uri(&folder(&self.service, &self.id)),
                ),
                false,
            )),
        }
    }

    /// Whether a statement that ended badly added its rows all the same. Rows
    /// with a key, and replaced ones, may simply be brought in once more.
    async fn landed(&self, unit: &Unit, group: &Group) -> Result<Landed, StorageError> {
        if group.part.batch.mode != WriteMode::Append {
            return Ok(Landed::No);
        }
        let standing = Standing::load(&self.service, &group.part.batch.table).await?;
        Ok(standing.map_or(Landed::No, |standing| standing.landed(&unit.base, group.part.rows)))
    }

    /// A replaced table loses the columns that the stream does not have.
    async fn finish(&self, group: &Group) -> Result<Applied, StorageError> {
        let batch = &group.part.batch;
        if batch.mode != WriteMode::Replace {
            return Ok(Applied::Yes);
        }
        let Some(standing) = Standing::load(&self.service, &batch.table).await? else {
            return Ok(Applied::Yes);
        };
        for column in standing.others(&group.part.columns) {
            let sql = table::drop_column(&self.service.place.database, &batch.table, column);
            self.service.define(&sql).await?;
        }
        Ok(Applied::Yes)
    }

    /// Builds a table anew at another place: for columns that cannot be changed.
    async fn rebuild(&self, intent: u64, location: &str, group: &Group) -> Result<Applied, StorageError> {
        let (service, batch) = (&self.service, &group.part.batch);
        let (database, step) =
            (&service.place.database, format!("{}/{intent}/{}", tag(&self.id), batch.table));
        let stands = || async {
            let standing = Standing::load(service, &batch.table).await?;
            Ok::<_, StorageError>(standing.map(|standing| standing.location))
        };
        let mut why = None;
        match stands().await? {
            Some(there) if there == location => {}
            there => {
                if there.is_some() {
                    if self.lease.as_ref().is_some_and(Lease::is_lost) {
                        return Err(failed("the data mart was lost to a later run", true));
                    }
                    let drop = sql::drop_table(database, &batch.table);
                    let dropped = service.query(&drop, &token(&format!("{step}/drop"))).await;
                    if let Err(ended) = dropped {
                        return again(ended);
                    }
                }
                let create = batch.create_as(database, location);
                why = service.query(&create, &token(&format!("{step}/create"))).await.err();
            }
        }
        if stands().await?.as_deref() != Some(location) {
            return why.map_or_else(|| Ok(Applied::Again("the table is not there".to_owned())), again);
        }
        let catalog = Catalog { stream: group.part.stream.clone(), columns: group.part.columns.clone() };
        service.put(&catalog_key(service, &batch.table), to_json(&catalog)?, Condition::Always).await?;
        Ok(Applied::Yes)
    }
}

fn again(ended: Ended) -> Result<Applied, StorageError> {
    match ended {
        Ended::Unknown(error) => Err(error),
        Ended::Stale => Ok(Applied::Again("the table changed".to_owned())),
        Ended::Failed { message, .. } => Ok(Applied::Again(message)),
    }
}

fn explain(ended: Ended, table: &str) -> StorageError {
    match ended {
        Ended::Failed { message, transient } => failed(
            format!(
                "rows are committed and cannot be brought into table `{table}`: {message}; the next run tries it again"
            ),
            transient,
        ),
        ended => ended.into(),
    }
}

fn no_way(table: &str, column: &Column) -> StorageError {
    StorageError::Refused {
        message: format!(
            "column `{}` of table `{table}` was changed by somebody else and cannot be made {}; rename it, and run again",
            column.name, column.data_type
        ),
    }
}

/// The fence and the number of the table that a staged file belongs to.
fn stage_of(prefix: &str, key: &str) -> Option<(u64, usize)> {
    let mut path = key.strip_prefix(prefix)?.split('/');
    Some((path.next()?.parse().ok()?, path.next()?.parse().ok()?))
}

fn parts(entries: &[Entry]) -> impl Iterator<Item = &Part> {
    entries.iter().flat_map(|entry| match &entry.what {
        What::Commit(parts) => parts.as_slice(),
        _ => &[],
    })
}

/// The attempt that was made last, if every pending commit is older than it.
fn last_intent(entries: &[Entry]) -> Option<Vec<Unit>> {
    entries.iter().rev().find_map(|entry| match &entry.what {
        What::Apply(units) => Some(units.clone()),
        _ => None,
    })
}

fn intent_ordinal(entries: &[Entry]) -> Option<u64> {
    let intent = |entry: &&Entry| matches!(entry.what, What::Apply(_));
    entries.iter().rev().find(intent).map(|entry| entry.ordinal)
}
