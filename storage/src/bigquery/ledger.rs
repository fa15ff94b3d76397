//! The host's own tables: state, claim and load history.
//!
//! `_ow_state_TAG` has one row: the state of one data mart, the claim of the run
//! that writes it, and the number of that run's next commit. A table a data mart,
//! because BigQuery lets only one transaction at a time change the rows of a
//! table. `_ow_run_log` only ever gets rows, which conflicts with nothing; the
//! view `_ow_runs` shows the last word on each run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::jobs::{self, Param};
use super::names::text;
use super::trouble::Trouble;
use super::warehouse::Warehouse;
use crate::history::Progress;
use crate::text::now;
use crate::{RunInfo, StorageError};

/// The version of the tables below; a newer one is refused.
const VERSION: u64 = 1;
/// The load history, as it is written.
const LOG: &str = "_ow_run_log";
/// The load history, as it is read.
const RUNS: &str = "_ow_runs";
/// What the error of a claim that is lost says.
const LOST: &str = "ow-host: the claim is lost";
/// The number of the log's row that ends a run: after every commit.
const LAST: u64 = 1_000_000_000;
/// The columns of the log, in their order.
const LOG_COLUMNS: &str = "token, sequence, data_mart_id, run_id, connector, run_type, status, started_at, finished_at, `rows`, `schema`, commits, error";

/// A short name for a data mart, fit for names of tables.
pub(super) fn tag(data_mart_id: &str) -> String {
    let digest = Sha256::digest(data_mart_id.as_bytes());
    digest.iter().take(8).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn state_table(data_mart_id: &str) -> String {
    format!("_ow_state_{}", tag(data_mart_id))
}

/// The row of a data mart.
#[derive(Default)]
struct Row {
    token: String,
    run_id: String,
    holder: String,
    /// The token of the run before, whose staging tables may still be there.
    previous: String,
    sequence: u64,
    stamp: String,
    /// Microseconds since 1970.
    expires_at: u64,
    state: BTreeMap<String, String>,
    pending: Option<Pending>,
}

/// Tables that a commit promised to put in the place of others: BigQuery does
/// that in no transaction.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Pending {
    /// The run that promised it.
    pub(super) token: String,
    pub(super) swaps: Vec<Swap>,
}

/// One table that is to be made anew.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Swap {
    pub(super) table: String,
    /// Where its rows are.
    pub(super) stage: String,
    /// What makes it; doing it again gives the same table.
    pub(super) sql: String,
}

/// A commit: what becomes durable together.
pub(super) struct Commit<'a> {
    pub(super) statements: Vec<String>,
    pub(super) state: &'a BTreeMap<String, String>,
    pub(super) progress: &'a Progress,
    pub(super) pending: &'a Pending,
    /// Whether it ends the run.
    pub(super) ends: bool,
}

/// A run's place in the ledger.
pub(super) struct Ledger {
    pub(super) warehouse: Arc<Warehouse>,
    table: String,
    run: RunInfo,
    /// Names the claim, and everything that the run makes.
    pub(super) token: String,
    /// The token of the run before this one; empty for the first.
    previous: String,
    started_at: String,
    lease: Duration,
    /// The number of the next commit. Held while a job changes the row, so that
    /// jobs of one run never meet.
    sequence: Mutex<u64>,
    lost: AtomicBool,
    beats: AtomicU64,
}

fn seconds(lease: Duration) -> String {
    format!("TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL {} SECOND)", lease.as_secs().max(1))
}

/// Who is about to hold a claim.
fn holder() -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(|c| !c.is_control()).take(64).collect();
    let process = format!("process {}", std::process::id());
    if host.is_empty() { process } else { format!("{process} on {host}") }
}

impl Ledger {
    /// Claims a data mart for a run, and answers its state. What a run that died
    /// had promised is done first.
    pub(super) async fn open(
        warehouse: Arc<Warehouse>,
        run: &RunInfo,
        lease: Duration,
    ) -> Result<(Self, BTreeMap<String, String>), Trouble> {
        let mut ledger = Self {
            warehouse,
            table: state_table(&run.data_mart_id),
            run: run.clone(),
            token: uuid::Uuid::new_v4().simple().to_string(),
            previous: String::new(),
            started_at: now(),
            lease,
            sequence: Mutex::new(0),
            lost: AtomicBool::new(false),
            beats: AtomicU64::new(0),
        };
        match ledger.row().await? {
            None => ledger.create().await?,
            Some(row) => ledger.let_finish(&row).await?,
        }
        ledger.claim().await?;
        let row = ledger.row().await?.unwrap_or_default();
        if row.token != ledger.token {
            return Err(ledger.busy(&row));
        }
        *ledger.sequence.lock().await = row.sequence;
        if let Some(pending) = row.pending.filter(|pending| !pending.swaps.is_empty()) {
            ledger.keep_promise(&pending).await?;
        }
        ledger.previous = row.previous;
        Ok((ledger, row.state))
    }

    /// Makes the tables. The one with the claim is last, and comes with its row,
    /// so that there is one row however many runs make it.
    async fn create(&self) -> Result<(), Trouble> {
        self.warehouse.create_table(LOG, log_schema()).await?;
        let view = format!(
            "SELECT * EXCEPT (sequence) FROM {} WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY token ORDER BY sequence DESC) = 1",
            self.warehouse.sql(LOG)
        );
        self.warehouse
            .create_table(RUNS, json!({ "view": { "query": view, "useLegacySql": false } }))
            .await?;
        let (table, log) = (self.warehouse.sql(&self.table), self.warehouse.sql(LOG));
        // Where the dataset's tables expire by default, these two must not.
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {table} OPTIONS (description = 'State and claim of one data mart. Written by ow-host only.') AS SELECT {} AS data_mart_id, CAST(0 AS INT64) AS fence, '' AS token, '' AS run_id, '' AS holder, '' AS previous, CAST(0 AS INT64) AS sequence, '' AS stamp, CURRENT_TIMESTAMP() AS claimed_at, CURRENT_TIMESTAMP() AS expires_at, '{{}}' AS state, '' AS pending, CAST({VERSION} AS INT64) AS version; ALTER TABLE {table} SET OPTIONS (expiration_timestamp = NULL); ALTER TABLE {log} SET OPTIONS (expiration_timestamp = NULL);",
            text(&self.run.data_mart_id)
        );
        match self.warehouse.run(&format!("ow_{}_t", self.token), &sql, &[]).await {
            // Another run made it at the same moment.
            Err(trouble) if trouble.says("Already Exists") => Ok(()),
            result => result.map(|_| ()),
        }
    }

    /// Lets a commit end that a run that died had sent. Only so that its work is
    /// not lost: after the claim it could not take effect any more. The clock
    /// here decides whether to wait, nothing else.
    async fn let_finish(&self, row: &Row) -> Result<(), Trouble> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        if row.token.is_empty() || u128::from(row.expires_at) > now {
            return Ok(());
        }
        self.warehouse.settle(&commit_job(&row.token, row.sequence)).await
    }

    async fn claim(&self) -> Result<(), Trouble> {
        let (table, log) = (self.warehouse.sql(&self.table), self.warehouse.sql(LOG));
        let sql = format!(
            "BEGIN TRANSACTION; \
             UPDATE {table} SET fence = IF(token = @token, fence, fence + 1), previous = IF(token IN ('', @token), previous, token), sequence = IF(token = @token, sequence, 0), token = @token, run_id = @run_id, holder = @holder, claimed_at = CURRENT_TIMESTAMP(), expires_at = {lease} WHERE token = '' OR token = @token OR expires_at < CURRENT_TIMESTAMP(); \
             INSERT INTO {log} ({LOG_COLUMNS}) SELECT token, {LAST}, data_mart_id, run_id, connector, run_type, 'crashed', started_at, finished_at, `rows`, `schema`, commits, error FROM (SELECT * FROM {log} WHERE token <> '' AND token = (SELECT previous FROM {table} WHERE token = @token) QUALIFY ROW_NUMBER() OVER (ORDER BY sequence DESC) = 1) WHERE status = 'running'; \
             INSERT INTO {log} ({LOG_COLUMNS}) SELECT @token, 0, @data_mart_id, @run_id, @connector, @run_type, 'running', CAST(@started_at AS TIMESTAMP), CAST(NULL AS TIMESTAMP), '{{}}', '{{}}', 0, CAST(NULL AS STRING) FROM {table} WHERE token = @token; \
             COMMIT TRANSACTION;",
            lease = seconds(self.lease)
        );
        let mut params = self.run_params();
        params.push(Param::text("holder", holder()));
        self.warehouse.run(&format!("ow_{}_open", self.token), &sql, &params).await.map(|_| ())
    }

    fn run_params(&self) -> Vec<Param> {
        vec![
            Param::text("token", &self.token),
            Param::text("data_mart_id", &self.run.data_mart_id),
            Param::text("run_id", &self.run.run_id),
            Param::text("connector", &self.run.connector),
            Param::text("run_type", &self.run.run_type),
            Param::text("started_at", &self.started_at),
        ]
    }

    fn busy(&self, row: &Row) -> Trouble {
        Trouble::Storage(StorageError::Busy {
            message: format!(
                "data mart `{}` is being written by run `{}` ({}); wait until that run ends, or stop it (a run that died blocks it for {} seconds at most)",
                self.run.data_mart_id,
                row.run_id,
                row.holder,
                self.lease.as_secs()
            ),
        })
    }

    async fn row(&self) -> Result<Option<Row>, Trouble> {
        row(&self.warehouse, &self.run.data_mart_id).await
    }

    /// Does what an earlier run had promised with its last commit.
    async fn keep_promise(&self, pending: &Pending) -> Result<(), Trouble> {
        self.swap(pending).await?;
        for swap in &pending.swaps {
            self.warehouse.drop_table(&swap.stage).await?;
        }
        self.clear_promise(false).await
    }

    /// Puts tables in their places. Whoever does it, the jobs have the same ids:
    /// what an earlier run had begun is waited for, and what it had done is not
    /// done again.
    pub(super) async fn swap(&self, pending: &Pending) -> Result<(), Trouble> {
        for (index, swap) in pending.swaps.iter().enumerate() {
            let name = format!("ow_{}_s{index}", pending.token);
            let done = self.warehouse.run_shared(&name, &swap.sql).await;
            done.map_err(|trouble| match trouble {
                Trouble::Api(error) if error.reason == "notFound" => {
                    Trouble::Storage(StorageError::Failed {
                        message: format!(
                            "the new rows of table `{}` are lost: an earlier run was to replace it, and its staging table `{}` is gone; set `pending` in `{}` to '' and run a full refresh",
                            swap.table, swap.stage, self.table
                        ),
                        retryable: false,
                    })
                }
                trouble => trouble,
            })?;
        }
        Ok(())
    }

    /// What this run promises with its last commit.
    pub(super) fn promise(&self, swaps: Vec<Swap>) -> Pending {
        Pending { token: self.token.clone(), swaps }
    }

    /// Takes note that the promises of the last commit are kept.
    /// `release` ends the claim too.
    pub(super) async fn clear_promise(&self, release: bool) -> Result<(), Trouble> {
        let _alone = self.sequence.lock().await;
        let release = if release { ", token = '', previous = token" } else { "" };
        let sql = format!(
            "UPDATE {} SET pending = ''{release} WHERE token = @token",
            self.warehouse.sql(&self.table)
        );
        let name = format!("ow_{}_p{}", self.token, release.len());
        self.warehouse.run(&name, &sql, &[Param::text("token", &self.token)]).await.map(|_| ())
    }

    /// Makes rows, state and history durable together, once.
    pub(super) async fn commit(&self, commit: Commit<'_>) -> Result<(), Trouble> {
        let mut sequence = self.sequence.lock().await;
        let next = sequence.saturating_add(1);
        let stamp = format!("{}_{next}", self.token);
        let (table, log) = (self.warehouse.sql(&self.table), self.warehouse.sql(LOG));
        let (status, finished) = if commit.ends {
            ("succeeded", "CURRENT_TIMESTAMP()")
        } else {
            ("running", "CAST(NULL AS TIMESTAMP)")
        };
        let releases = commit.ends && commit.pending.swaps.is_empty();
        let release = if releases { ", token = '', previous = token" } else { "" };
        let mut sql = format!(
            "BEGIN TRANSACTION; \
             INSERT INTO {log} ({LOG_COLUMNS}) SELECT IF((SELECT COUNT(*) FROM {table} WHERE token = @token AND sequence = @sequence) = 1, @token, ERROR('{LOST}')), @next, @data_mart_id, @run_id, @connector, @run_type, '{status}', CAST(@started_at AS TIMESTAMP), {finished}, @row_counts, @streams, @commits, CAST(NULL AS STRING); \
             UPDATE {table} SET sequence = @next, stamp = @stamp, expires_at = {lease}, state = @state, pending = @pending{release} WHERE token = @token AND sequence = @sequence; ",
            lease = seconds(self.lease)
        );
        for statement in &commit.statements {
            sql.push_str(statement);
            sql.push_str("; ");
        }
        sql.push_str("COMMIT TRANSACTION;");
        let pending = match commit.pending.swaps.is_empty() {
            true => String::new(),
            false => json(commit.pending),
        };
        let mut params = self.run_params();
        params.extend([
            Param::int("sequence", *sequence),
            Param::int("next", next),
            Param::text("stamp", &stamp),
            Param::text("state", json(commit.state)),
            Param::text("pending", pending),
            Param::text("row_counts", &commit.progress.rows),
            Param::text("streams", &commit.progress.schema),
            Param::int("commits", commit.progress.commits),
        ]);
        let name = commit_job(&self.token, *sequence);
        let done = async || Ok(self.row().await?.is_some_and(|row| row.stamp == stamp));
        let result = self.warehouse.run_once(&name, &sql, &params, done).await;
        result.map_err(|trouble| if trouble.says(LOST) { self.lost_claim() } else { trouble })?;
        *sequence = next;
        Ok(())
    }

    /// Writes how a run ended that did not succeed, and releases the claim: what
    /// it has sent before can take effect no more. Where its last commit took
    /// effect although no answer came, the history keeps that.
    pub(super) async fn close(
        &self,
        status: &str,
        error: Option<&str>,
        progress: &Progress,
    ) -> Result<(), Trouble> {
        let _alone = self.sequence.lock().await;
        let (table, log) = (self.warehouse.sql(&self.table), self.warehouse.sql(LOG));
        let sql = format!(
            "BEGIN TRANSACTION; \
             INSERT INTO {log} ({LOG_COLUMNS}) SELECT @token, {LAST}, @data_mart_id, @run_id, @connector, @run_type, @status, CAST(@started_at AS TIMESTAMP), CURRENT_TIMESTAMP(), @row_counts, @streams, @commits, @error FROM {table} WHERE token = @token AND pending = ''; \
             UPDATE {table} SET token = '', previous = token WHERE token = @token; \
             COMMIT TRANSACTION;"
        );
        let mut params = self.run_params();
        params.extend([
            Param::text("status", status),
            Param::maybe("error", error),
            Param::text("row_counts", &progress.rows),
            Param::text("streams", &progress.schema),
            Param::int("commits", progress.commits),
        ]);
        self.warehouse.run(&format!("ow_{}_end", self.token), &sql, &params).await.map(|_| ())
    }

    /// Releases the claim and leaves everything else as it is.
    pub(super) async fn release(&self) -> Result<(), Trouble> {
        let _alone = self.sequence.lock().await;
        let sql = format!(
            "UPDATE {} SET token = '', previous = token WHERE token = @token",
            self.warehouse.sql(&self.table)
        );
        let params = [Param::text("token", &self.token)];
        self.warehouse.run(&format!("ow_{}_r", self.token), &sql, &params).await.map(|_| ())
    }

    /// Renews the claim while the run lasts.
    pub(super) async fn beat(self: Arc<Self>) {
        let sql = format!(
            "UPDATE {} SET expires_at = {} WHERE token = @token",
            self.warehouse.sql(&self.table),
            seconds(self.lease)
        );
        loop {
            tokio::time::sleep(self.lease / 3).await;
            let _alone = self.sequence.lock().await;
            let name = format!("ow_{}_b{}", self.token, self.beats.fetch_add(1, Ordering::Relaxed));
            match self.warehouse.run(&name, &sql, &[Param::text("token", &self.token)]).await {
                Ok(job) if jobs::affected(&job) == Some(0) => {
                    self.lost.store(true, Ordering::Relaxed);
                    return;
                }
                Ok(_) => {}
                // The next one may do; the commit will tell otherwise.
                Err(trouble) => tracing::debug!(?trouble, "the claim was not renewed"),
            }
        }
    }

    /// Drops the staging tables that the run before left, which may have died
    /// after its last commit: what is not dropped expires.
    pub(super) async fn clear_up(self: Arc<Self>) {
        if self.previous.is_empty() {
            return;
        }
        let Ok(tables) = self.warehouse.names("_ow_").await else { return };
        let kinds = ["stage", "new"].map(|kind| format!("_ow_{kind}_{}_", self.previous));
        for table in tables.iter().filter(|table| kinds.iter().any(|kind| table.starts_with(kind))) {
            let _ = self.warehouse.drop_table(table).await;
        }
    }

    /// Fails if the claim is known to be lost.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        if self.lost.load(Ordering::Relaxed) { Err(self.lost_claim()) } else { Ok(()) }
    }

    /// Whether another run has the data mart now.
    pub(super) async fn is_lost(&self) -> bool {
        let row = self.row().await;
        row.is_ok_and(|row| row.is_some_and(|row| row.token != self.token))
    }

    pub(super) fn lost_claim(&self) -> Trouble {
        Trouble::Storage(StorageError::Failed {
            message: format!(
                "run `{}` lost data mart `{}` to a later run, and what it had not committed is dropped; let one run at a time write a data mart",
                self.run.run_id, self.run.data_mart_id
            ),
            retryable: true,
        })
    }
}

fn commit_job(token: &str, sequence: u64) -> String {
    format!("ow_{token}_c{sequence}")
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn log_schema() -> Value {
    let column = |(name, kind): &(&str, &str)| json!({ "name": name, "type": kind, "mode": "NULLABLE" });
    let columns = [
        ("token", "STRING"),
        ("sequence", "INTEGER"),
        ("data_mart_id", "STRING"),
        ("run_id", "STRING"),
        ("connector", "STRING"),
        ("run_type", "STRING"),
        ("status", "STRING"),
        ("started_at", "TIMESTAMP"),
        ("finished_at", "TIMESTAMP"),
        ("rows", "STRING"),
        ("schema", "STRING"),
        ("commits", "INTEGER"),
        ("error", "STRING"),
    ];
    json!({
        "description": "What the runs of ow-host did; read the view _ow_runs. Written by ow-host only.",
        "schema": { "fields": columns.iter().map(column).collect::<Vec<_>>() },
        "clustering": { "fields": ["token"] },
    })
}

/// The row of a data mart; none where there is no table.
async fn row(warehouse: &Warehouse, data_mart_id: &str) -> Result<Option<Row>, Trouble> {
    let table = state_table(data_mart_id);
    let Some(rows) = warehouse.rows(&table).await? else { return Ok(None) };
    let [cells] = rows.as_slice() else {
        return Err(Trouble::internal(format!(
            "table `{table}` has {} rows and should have one; restore it as it was before somebody else changed it",
            rows.len()
        )));
    };
    let cell = |index: usize| cells.get(index).cloned().flatten().unwrap_or_default();
    let number = |index: usize| cell(index).parse().unwrap_or(0_u64);
    if cell(0) != data_mart_id {
        return Err(Trouble::internal(format!(
            "table `{table}` belongs to data mart `{}` and not to `{data_mart_id}`; choose another id",
            cell(0)
        )));
    }
    if number(12) > VERSION {
        return Err(Trouble::Storage(StorageError::Config {
            message: format!(
                "the dataset was written by a newer ow-host (table `{table}` has version {}, this one knows {VERSION}); use that one",
                number(12)
            ),
            parameter: Some("DestinationDatasetID".to_owned()),
        }));
    }
    let state = serde_json::from_str(&cell(10)).map_err(|error| {
        Trouble::internal(format!("the state in table `{table}` cannot be read: {error}"))
    })?;
    let pending = match cell(11) {
        text if text.is_empty() => None,
        text => Some(serde_json::from_str(&text).map_err(|error| {
            Trouble::internal(format!("column `pending` of table `{table}` cannot be read: {error}"))
        })?),
    };
    Ok(Some(Row {
        token: cell(2),
        run_id: cell(3),
        holder: cell(4),
        previous: cell(5),
        sequence: number(6),
        stamp: cell(7),
        expires_at: number(9),
        state,
        pending,
    }))
}

/// The state of a data mart; empty in a dataset that has none.
pub(super) async fn state(
    warehouse: &Warehouse,
    data_mart_id: &str,
) -> Result<BTreeMap<String, String>, Trouble> {
    Ok(row(warehouse, data_mart_id).await?.unwrap_or_default().state)
}
