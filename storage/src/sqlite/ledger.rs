//! The host's own tables: state, load history, fencing numbers.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::claim;
use super::identifier::quote;
use super::trouble::Trouble;
use crate::history::Progress;
use crate::text::now;
use crate::{RunInfo, StateChanges, StorageError};

/// The version of the tables below; a newer one is refused.
const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS _ow_version (version INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS _ow_claims (
        data_mart_id TEXT NOT NULL PRIMARY KEY,
        fence INTEGER NOT NULL,
        run_id TEXT NOT NULL,
        pid INTEGER NOT NULL,
        claimed_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS _ow_state (
        data_mart_id TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        run_id TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        PRIMARY KEY (data_mart_id, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS _ow_runs (
        id INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL,
        data_mart_id TEXT NOT NULL,
        connector TEXT NOT NULL,
        run_type TEXT NOT NULL,
        status TEXT NOT NULL,
        started_at TEXT NOT NULL,
        finished_at TEXT,
        \"rows\" TEXT NOT NULL,
        schema TEXT NOT NULL,
        commits INTEGER NOT NULL,
        error TEXT
    ) STRICT;
    CREATE INDEX IF NOT EXISTS _ow_runs_of_data_mart ON _ow_runs (data_mart_id, status);
    CREATE TABLE IF NOT EXISTS _ow_columns (
        table_name TEXT NOT NULL,
        column_name TEXT NOT NULL,
        position INTEGER NOT NULL,
        data_type TEXT NOT NULL,
        key_position INTEGER,
        description TEXT,
        PRIMARY KEY (table_name, column_name)
    ) STRICT, WITHOUT ROWID;
";

/// A run's place in the ledger.
pub(crate) struct Entry {
    /// The number that a later run of the data mart raises.
    fence: i64,
    /// The run's row in `_ow_runs`.
    row: i64,
    /// What the run's shadow tables are called.
    shadow_prefix: String,
    run: RunInfo,
}

impl Entry {
    /// Enters a run: inside a transaction, with the claim held.
    pub(crate) fn open(connection: &Connection, run: &RunInfo) -> Result<Self, Trouble> {
        connection.execute_batch(TABLES)?;
        check_version(connection)?;
        let prefix = format!("_ow_new_{}_", claim::tag(&run.data_mart_id));
        drop_tables(connection, &prefix)?;
        connection.execute(
            "UPDATE _ow_runs SET status = 'crashed' WHERE data_mart_id = ?1 AND status = 'running'",
            [&run.data_mart_id],
        )?;
        let fence = connection.query_row(
            "INSERT INTO _ow_claims VALUES (?1, 1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET
             fence = fence + 1, run_id = excluded.run_id, pid = excluded.pid, claimed_at = excluded.claimed_at
             RETURNING fence",
            params![run.data_mart_id, run.run_id, std::process::id(), now()],
            |row| row.get(0),
        )?;
        let row = connection.query_row(
            "INSERT INTO _ow_runs (run_id, data_mart_id, connector, run_type, status, started_at, \"rows\", schema, commits)
             VALUES (?1, ?2, ?3, ?4, 'running', ?5, '{}', '{}', 0) RETURNING id",
            params![run.run_id, run.data_mart_id, run.connector, run.run_type, now()],
            |row| row.get(0),
        )?;
        Ok(Self { fence, row, shadow_prefix: format!("{prefix}{fence}_"), run: run.clone() })
    }

    /// The number that a later run of the data mart raises.
    pub(crate) fn fence(&self) -> i64 {
        self.fence
    }

    /// The name of the run's shadow table of this number.
    pub(crate) fn shadow(&self, number: impl std::fmt::Display) -> String {
        format!("{}{number}", self.shadow_prefix)
    }

    /// Whether the run still has the data mart. Inside a write transaction the
    /// answer holds until its end.
    pub(crate) fn holds(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let mut query = connection.prepare_cached("SELECT fence FROM _ow_claims WHERE data_mart_id = ?1")?;
        let fence: Option<i64> = query.query_row([&self.run.data_mart_id], |row| row.get(0)).optional()?;
        Ok(fence == Some(self.fence))
    }

    /// Fails unless the run still has the data mart.
    pub(crate) fn check(&self, connection: &Connection) -> Result<(), Trouble> {
        if self.holds(connection)? {
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

    /// Drops the shadow tables of this run.
    pub(crate) fn drop_shadows(&self, connection: &Connection) -> Result<(), Trouble> {
        drop_tables(connection, &self.shadow_prefix)
    }

    /// Sets and removes state.
    pub(crate) fn change_state(
        &self,
        connection: &Connection,
        changes: &StateChanges,
    ) -> Result<(), Trouble> {
        let id = &self.run.data_mart_id;
        let updated_at = now();
        for (key, value) in changes {
            match value {
                Some(value) => connection
                    .prepare_cached(
                        "INSERT INTO _ow_state VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
                         value = excluded.value, run_id = excluded.run_id, updated_at = excluded.updated_at",
                    )?
                    .execute(params![id, key, value, self.run.run_id, updated_at])?,
                None => connection
                    .prepare_cached("DELETE FROM _ow_state WHERE data_mart_id = ?1 AND key = ?2")?
                    .execute(params![id, key])?,
            };
        }
        Ok(())
    }

    /// Removes all state of the data mart.
    pub(crate) fn clear_state(&self, connection: &Connection) -> Result<(), Trouble> {
        connection.execute("DELETE FROM _ow_state WHERE data_mart_id = ?1", [&self.run.data_mart_id])?;
        Ok(())
    }

    /// Writes how far the run is.
    pub(crate) fn record(&self, connection: &Connection, progress: &Progress) -> Result<(), Trouble> {
        connection
            .prepare_cached("UPDATE _ow_runs SET \"rows\" = ?2, schema = ?3, commits = ?4 WHERE id = ?1")?
            .execute(params![
                self.row,
                progress.rows,
                progress.schema,
                i64::try_from(progress.commits).unwrap_or(i64::MAX)
            ])?;
        Ok(())
    }

    /// Writes how the run ended.
    pub(crate) fn close(
        &self,
        connection: &Connection,
        status: &str,
        error: Option<&str>,
    ) -> Result<(), Trouble> {
        connection.execute(
            "UPDATE _ow_runs SET status = ?2, finished_at = ?3, error = ?4 WHERE id = ?1",
            params![self.row, status, now(), error],
        )?;
        Ok(())
    }
}

fn check_version(connection: &Connection) -> Result<(), Trouble> {
    let version =
        connection.query_row("SELECT version FROM _ow_version", [], |row| row.get::<_, i64>(0)).optional()?;
    match version {
        None => {
            connection.execute("INSERT INTO _ow_version VALUES (?1)", [VERSION])?;
            Ok(())
        }
        Some(version) if version <= VERSION => Ok(()),
        Some(version) => Err(Trouble::Storage(StorageError::Config {
            message: format!(
                "the database was written by a newer ow-host (its tables have version {version}, this one knows {VERSION}); use that one"
            ),
            parameter: Some("Path".to_owned()),
        })),
    }
}

/// Drops the tables whose names start so.
fn drop_tables(connection: &Connection, prefix: &str) -> Result<(), Trouble> {
    let mut query = connection.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, length(?1)) = ?1",
    )?;
    let names = query.query_map([prefix], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    for name in names {
        connection.execute_batch(&format!("DROP TABLE {}", quote(&name)))?;
    }
    Ok(())
}

/// The state of a data mart; empty in a database that has none.
pub(crate) fn state(
    connection: &Connection,
    data_mart_id: &str,
) -> Result<BTreeMap<String, String>, Trouble> {
    let ours = connection
        .query_row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_ow_state'", [], |_| Ok(()))
        .optional()?;
    if ours.is_none() {
        return Ok(BTreeMap::new());
    }
    let mut query = connection.prepare("SELECT key, value FROM _ow_state WHERE data_mart_id = ?1")?;
    let rows = query.query_map([data_mart_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
