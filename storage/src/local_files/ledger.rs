//! What the ledger of a folder knows beside runs and state: tables, their files,
//! and what is recorded but not in place yet.

use rusqlite::{Connection, OptionalExtension, params};

use super::format::Format;
use super::shape::Shape;
use super::trouble::Trouble;
use crate::sqlite::evolve::{self, Column};

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS _ow_tables (
        name TEXT NOT NULL PRIMARY KEY,
        folder TEXT NOT NULL UNIQUE COLLATE NOCASE,
        format TEXT NOT NULL,
        partition_field TEXT,
        version INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS _ow_files (
        table_name TEXT NOT NULL,
        path TEXT NOT NULL,
        \"rows\" INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        run_id TEXT NOT NULL,
        PRIMARY KEY (table_name, path)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS _ow_pending (
        id INTEGER PRIMARY KEY,
        data_mart_id TEXT NOT NULL,
        table_name TEXT NOT NULL,
        kind TEXT NOT NULL,
        staged TEXT NOT NULL,
        target TEXT NOT NULL
    ) STRICT;
";

/// A table as the ledger has it.
pub(super) struct Standing {
    pub(super) shape: Shape,
    /// Raised by every commit that touches the table.
    pub(super) version: i64,
    pub(super) files: Vec<File>,
}

/// A file of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// Below the table's folder.
    pub(super) path: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// Something that is recorded and still to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) kind: Kind,
    /// Below the storage's folder.
    pub(super) staged: String,
    pub(super) target: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file takes its place.
    Move,
    /// A folder takes the place of a table's folder.
    Swap,
}

/// Makes the tables, inside a transaction.
pub(super) fn prepare(connection: &Connection) -> Result<(), Trouble> {
    Ok(connection.execute_batch(TABLES)?)
}

/// The table of this name; none if there is none.
pub(super) fn load(connection: &Connection, table: &str) -> Result<Option<Standing>, Trouble> {
    let found = connection
        .prepare_cached("SELECT format, partition_field, version FROM _ow_tables WHERE name = ?1")?
        .query_row([table], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((format, partition, version)) = found else { return Ok(None) };
    let format = Format::parse(&format).ok_or_else(|| {
        Trouble::refused(format!(
            "table `{table}` has files in the format `{format}`, which this version does not know"
        ))
    })?;
    let columns: Vec<Column> = evolve::catalog(connection, table)?;
    let mut query = connection
        .prepare_cached("SELECT path, \"rows\", bytes FROM _ow_files WHERE table_name = ?1 ORDER BY path")?;
    let files = query.query_map([table], |row| {
        Ok(File { path: row.get(0)?, rows: unsigned(row.get(1)?), bytes: unsigned(row.get(2)?) })
    })?;
    let files = files.collect::<Result<_, _>>()?;
    Ok(Some(Standing { shape: Shape::new(columns, format, partition), version, files }))
}

/// The table that has a folder, whatever its case.
pub(super) fn owner(connection: &Connection, folder: &str) -> Result<Option<String>, Trouble> {
    let mut query = connection.prepare_cached("SELECT name FROM _ow_tables WHERE folder = ?1")?;
    Ok(query.query_row([folder], |row| row.get(0)).optional()?)
}

/// The version of a table, zero where there is none.
pub(super) fn version(connection: &Connection, table: &str) -> Result<i64, Trouble> {
    let mut query = connection.prepare_cached("SELECT version FROM _ow_tables WHERE name = ?1")?;
    Ok(query.query_row([table], |row| row.get(0)).optional()?.unwrap_or_default())
}

/// Writes what a table is from now on, with a new version.
pub(super) fn save(
    connection: &Connection,
    table: &str,
    folder: &str,
    shape: &Shape,
    version: i64,
) -> Result<(), Trouble> {
    connection
        .prepare_cached(
            "INSERT INTO _ow_tables VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (name) DO UPDATE SET
             format = excluded.format, partition_field = excluded.partition_field, version = excluded.version",
        )?
        .execute(params![table, folder, shape.format.name(), shape.partition, version])?;
    Ok(evolve::remember(connection, table, &shape.columns)?)
}

/// Forgets all files of a table.
pub(super) fn forget_all(connection: &Connection, table: &str) -> Result<(), Trouble> {
    connection.prepare_cached("DELETE FROM _ow_files WHERE table_name = ?1")?.execute([table])?;
    Ok(())
}

/// Forgets a file of a table.
pub(super) fn forget(connection: &Connection, table: &str, path: &str) -> Result<(), Trouble> {
    connection
        .prepare_cached("DELETE FROM _ow_files WHERE table_name = ?1 AND path = ?2")?
        .execute([table, path])?;
    Ok(())
}

/// Remembers a file of a table.
pub(super) fn remember(
    connection: &Connection,
    table: &str,
    file: &File,
    run_id: &str,
) -> Result<(), Trouble> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO _ow_files VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![table, file.path, signed(file.rows), signed(file.bytes), run_id])?;
    Ok(())
}

/// Records what is to be done.
pub(super) fn intend(
    connection: &Connection,
    data_mart: &str,
    table: &str,
    pending: &Pending,
) -> Result<(), Trouble> {
    let kind = match pending.kind {
        Kind::Move => "move",
        Kind::Swap => "swap",
    };
    connection
        .prepare_cached(
            "INSERT INTO _ow_pending (data_mart_id, table_name, kind, staged, target) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute([data_mart, table, kind, &pending.staged, &pending.target])?;
    Ok(())
}

/// What is recorded and still to be done, for a data mart or for a table.
pub(super) fn pending(
    connection: &Connection,
    data_mart: Option<&str>,
    table: Option<&str>,
) -> Result<Vec<(i64, Pending)>, Trouble> {
    let mut query = connection.prepare_cached(
        "SELECT id, kind, staged, target FROM _ow_pending
         WHERE data_mart_id = ?1 OR table_name = ?2 ORDER BY id",
    )?;
    let rows = query.query_map(params![data_mart, table], |row| {
        let kind = if row.get::<_, String>(1)? == "swap" { Kind::Swap } else { Kind::Move };
        Ok((row.get(0)?, Pending { kind, staged: row.get(2)?, target: row.get(3)? }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Marks something as done.
pub(super) fn done(connection: &Connection, id: i64) -> Result<(), Trouble> {
    connection.prepare_cached("DELETE FROM _ow_pending WHERE id = ?1")?.execute([id])?;
    Ok(())
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
