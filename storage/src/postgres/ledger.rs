//! The host's own tables: state, load history, fencing numbers.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;

use super::claim;
use super::connection::Session;
use super::identifier::{quote, without_nul};
use super::params::Target;
use super::trouble::Trouble;
use crate::history::Progress;
use crate::{RunInfo, StateChanges, StorageError};

/// The version of the tables below; a newer one is refused.
const VERSION: i64 = 1;

/// The host's tables; `{}` is the schema.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS {}._ow_version (version bigint NOT NULL);
    CREATE TABLE IF NOT EXISTS {}._ow_claims (
        data_mart_id text NOT NULL PRIMARY KEY,
        fence bigint NOT NULL,
        run_id text NOT NULL,
        claimed_at timestamptz NOT NULL
    );
    CREATE TABLE IF NOT EXISTS {}._ow_state (
        data_mart_id text NOT NULL,
        key text NOT NULL,
        value text NOT NULL,
        run_id text NOT NULL,
        updated_at timestamptz NOT NULL,
        PRIMARY KEY (data_mart_id, key)
    );
    CREATE TABLE IF NOT EXISTS {}._ow_runs (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        run_id text NOT NULL,
        data_mart_id text NOT NULL,
        connector text NOT NULL,
        run_type text NOT NULL,
        status text NOT NULL,
        started_at timestamptz NOT NULL,
        finished_at timestamptz,
        rows json NOT NULL,
        schema json NOT NULL,
        commits bigint NOT NULL,
        error text
    );
    INSERT INTO {}._ow_version SELECT 1 WHERE NOT EXISTS (SELECT FROM {}._ow_version);
    CREATE INDEX IF NOT EXISTS _ow_runs_of_data_mart ON {}._ow_runs (data_mart_id, status);
    CREATE TABLE IF NOT EXISTS {}._ow_columns (
        table_name text NOT NULL,
        column_name text NOT NULL,
        data_type text NOT NULL,
        PRIMARY KEY (table_name, column_name)
    );
";
/// How many tables there are above.
const COUNT: i64 = 5;

/// A run's place in the ledger.
pub(super) struct Entry {
    /// The number that a later run of the data mart raises.
    fence: i64,
    /// The run's row in `_ow_runs`.
    row: i64,
    run: RunInfo,
}

/// Makes the schema and the host's tables where they are not there. Asks first:
/// `IF NOT EXISTS` wants the privilege to create even where there is nothing to
/// do.
async fn create(session: &Session, target: &Target) -> Result<(), Trouble> {
    let there = session
        .row(
            "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1),
             (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')
              AND c.relname IN ('_ow_version', '_ow_claims', '_ow_state', '_ow_runs', '_ow_columns'))",
            &[(&target.schema, Type::TEXT)],
        )
        .await?;
    let schema = quote(&target.schema);
    let (has_schema, tables) = (there.try_get::<_, bool>(0)?, there.try_get::<_, i64>(1)?);
    if !has_schema || tables < COUNT {
        lock_table(session, target, "").await?;
        if !has_schema {
            session.batch(&format!("CREATE SCHEMA IF NOT EXISTS {schema}")).await?;
        }
        session.batch(&TABLES.replace("{}", &schema)).await?;
    }
    check_version(session, target).await
}

async fn check_version(session: &Session, target: &Target) -> Result<(), Trouble> {
    let table = target.table("_ow_version");
    let row = session.optional(&format!("SELECT version FROM {table}"), &[]).await?;
    match row.map(|row| row.try_get::<_, i64>(0)).transpose()? {
        Some(version) if version > VERSION => Err(Trouble::Storage(StorageError::Config {
            message: format!(
                "schema `{}` was written by a newer ow-host (its tables have version {version}, this one knows {VERSION}); use that one",
                target.schema
            ),
            parameter: Some("Schema".to_owned()),
        })),
        _ => Ok(()),
    }
}

/// Lets one session at a time change a table of the schema, until the end of the
/// transaction; the one without a name stands for the host's own.
pub(super) async fn lock_table(session: &Session, target: &Target, table: &str) -> Result<(), Trouble> {
    let number = claim::lock(&["table", &target.schema, table]);
    session.rows("SELECT pg_advisory_xact_lock($1)", &[(&number, Type::INT8)]).await.map(|_| ())
}

impl Entry {
    /// Enters a run, with the claim held.
    pub(super) async fn open(session: &Session, target: &Target, run: &RunInfo) -> Result<Self, Trouble> {
        session.batch("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        create(session, target).await?;
        let (claims, runs) = (target.table("_ow_claims"), target.table("_ow_runs"));
        session
            .execute(
                &format!(
                    "UPDATE {runs} SET status = 'crashed' WHERE data_mart_id = $1 AND status = 'running'"
                ),
                &[(&run.data_mart_id, Type::TEXT)],
            )
            .await?;
        let fence = session
            .row(
                &format!(
                    "INSERT INTO {claims} AS c (data_mart_id, fence, run_id, claimed_at) VALUES ($1, 1, $2, now())
                     ON CONFLICT (data_mart_id) DO UPDATE
                     SET fence = c.fence + 1, run_id = excluded.run_id, claimed_at = excluded.claimed_at
                     RETURNING fence"
                ),
                &[(&run.data_mart_id, Type::TEXT), (&run.run_id, Type::TEXT)],
            )
            .await?;
        let row = session
            .row(
                &format!(
                    "INSERT INTO {runs} (run_id, data_mart_id, connector, run_type, status, started_at, rows, schema, commits)
                     VALUES ($1, $2, $3, $4, 'running', now(), '{{}}', '{{}}', 0) RETURNING id"
                ),
                &[
                    (&run.run_id, Type::TEXT),
                    (&run.data_mart_id, Type::TEXT),
                    (&run.connector, Type::TEXT),
                    (&run.run_type, Type::TEXT),
                ],
            )
            .await?;
        session.batch("COMMIT").await?;
        Ok(Self { fence: fence.try_get(0)?, row: row.try_get(0)?, run: run.clone() })
    }

    /// Whether the run still has the data mart. The answer holds until the end
    /// of the transaction: a later run waits for it.
    pub(super) async fn holds(&self, session: &Session, target: &Target) -> Result<bool, Trouble> {
        let claims = target.table("_ow_claims");
        let row = session
            .optional(
                &format!("SELECT fence FROM {claims} WHERE data_mart_id = $1 FOR UPDATE"),
                &[(&self.run.data_mart_id, Type::TEXT)],
            )
            .await?;
        let fence: Option<i64> = row.map(|row| row.try_get(0)).transpose()?;
        Ok(fence == Some(self.fence))
    }

    /// Fails unless the run still has the data mart.
    pub(super) async fn check(&self, session: &Session, target: &Target) -> Result<(), Trouble> {
        if self.holds(session, target).await? {
            return Ok(());
        }
        Err(Trouble::Storage(StorageError::Failed {
            message: format!(
                "run `{}` lost data mart `{}` to a later run, and what it had not committed is dropped; let one run at a time write a data mart",
                self.run.run_id, self.run.data_mart_id
            ),
            retryable: true,
        }))
    }

    /// Sets and removes state.
    pub(super) async fn change_state(
        &self,
        session: &Session,
        target: &Target,
        changes: &StateChanges,
    ) -> Result<(), Trouble> {
        let table = target.table("_ow_state");
        let id = &self.run.data_mart_id;
        let (set, removed): (Vec<_>, Vec<_>) = changes.iter().partition(|(_, value)| value.is_some());
        let keys: Vec<_> = set.iter().map(|(key, _)| key.as_str()).collect();
        let values: Vec<_> = set.iter().filter_map(|(_, value)| value.as_deref()).collect();
        let gone: Vec<_> = removed.iter().map(|(key, _)| key.as_str()).collect();
        if let Some(key) = changes.keys().find(|key| key.contains('\0')) {
            return Err(Trouble::refused(format!(
                "state key `{}` has a NUL character in it, which PostgreSQL cannot hold",
                key.escape_debug()
            )));
        }
        if !keys.is_empty() {
            session
                .execute(
                    &format!(
                        "INSERT INTO {table} (data_mart_id, key, value, run_id, updated_at)
                         SELECT $1, key, value, $2, now() FROM unnest($3::text[], $4::text[]) AS new (key, value)
                         ON CONFLICT (data_mart_id, key) DO UPDATE
                         SET value = excluded.value, run_id = excluded.run_id, updated_at = excluded.updated_at"
                    ),
                    &[
                        (id, Type::TEXT),
                        (&self.run.run_id, Type::TEXT),
                        (&keys, Type::TEXT_ARRAY),
                        (&values, Type::TEXT_ARRAY),
                    ],
                )
                .await?;
        }
        if !gone.is_empty() {
            session
                .execute(
                    &format!("DELETE FROM {table} WHERE data_mart_id = $1 AND key = ANY ($2)"),
                    &[(id, Type::TEXT), (&gone, Type::TEXT_ARRAY)],
                )
                .await?;
        }
        Ok(())
    }

    /// Removes all state of the data mart.
    pub(super) async fn clear_state(&self, session: &Session, target: &Target) -> Result<(), Trouble> {
        let table = target.table("_ow_state");
        session
            .execute(
                &format!("DELETE FROM {table} WHERE data_mart_id = $1"),
                &[(&self.run.data_mart_id, Type::TEXT)],
            )
            .await
            .map(|_| ())
    }

    /// Writes how far the run is.
    pub(super) async fn record(
        &self,
        session: &Session,
        target: &Target,
        progress: &Progress,
    ) -> Result<(), Trouble> {
        let table = target.table("_ow_runs");
        let commits = i64::try_from(progress.commits).unwrap_or(i64::MAX);
        session
            .execute(
                &format!(
                    "UPDATE {table} SET rows = $2::text::json, schema = $3::text::json, commits = $4 WHERE id = $1"
                ),
                &[
                    (&self.row, Type::INT8),
                    (&progress.rows, Type::TEXT),
                    (&progress.schema, Type::TEXT),
                    (&commits, Type::INT8),
                ],
            )
            .await
            .map(|_| ())
    }

    /// How many commits of the run the server has. Waits until a transaction
    /// that is about to commit or to roll back has done so: it holds the row.
    pub(super) async fn commits(&self, session: &Session, target: &Target) -> Result<i64, Trouble> {
        let table = target.table("_ow_runs");
        let row = session
            .optional(
                &format!("SELECT commits FROM {table} WHERE id = $1 FOR UPDATE"),
                &[(&self.row, Type::INT8)],
            )
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
    }

    /// Writes how the run ended.
    pub(super) async fn close(
        &self,
        session: &Session,
        target: &Target,
        status: &str,
        error: Option<&str>,
    ) -> Result<(), Trouble> {
        let table = target.table("_ow_runs");
        let error = error.map(without_nul);
        session
            .execute(
                &format!("UPDATE {table} SET status = $2, finished_at = now(), error = $3 WHERE id = $1"),
                &[(&self.row, Type::INT8), (&status, Type::TEXT), (&error, Type::TEXT)],
            )
            .await
            .map(|_| ())
    }
}

/// The state of a data mart; empty where there is none.
pub(super) async fn state(
    session: &Session,
    target: &Target,
    data_mart_id: &str,
) -> Result<BTreeMap<String, String>, Trouble> {
    let ours = session
        .row(
            "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relname = '_ow_state')",
            &[(&target.schema, Type::TEXT)],
        )
        .await?;
    if !ours.try_get::<_, bool>(0)? {
        return Ok(BTreeMap::new());
    }
    let table = target.table("_ow_state");
    let rows = session
        .rows(
            &format!("SELECT key, value FROM {table} WHERE data_mart_id = $1"),
            &[(&data_mart_id, Type::TEXT)],
        )
        .await?;
    let mut state = BTreeMap::new();
    for row in rows {
        state.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(state)
}
