//! Rows, state and load history in one SQLite file: the embedded default.
//!
//! # Guarantee
//!
//! Rows, state and the history of a run are committed in one transaction that
//! is on the disk before it is acknowledged (`synchronous`, see [`connection`]).
//! Whatever ends the process or the machine, either all of a commit is there or
//! nothing of it. One run a data mart: a lock file that the kernel releases
//! ([`claim`]), and a number in the database that every run raises and every
//! write transaction checks, for copies and network drives that do not lock.
//!
//! # Types
//!
//! | type | column | written as | out of range |
//! |---|---|---|---|
//! | `boolean` | `INTEGER` | 0 or 1 | |
//! | `int64` | `INTEGER` | itself | |
//! | `float64` | `REAL` | itself, infinities too | NaN is refused: SQLite would store a null |
//! | `decimal(p, s)` | `TEXT` | `-12.50`, always `s` digits after the point | more than `p` digits: refused |
//! | `text` | `TEXT` | itself; empty text is not null. A NUL is kept, but SQLite's own functions stop at it | over 10⁹ bytes: refused |
//! | `bytes` | `BLOB` | itself | over 10⁹ bytes: refused |
//! | `date` | `TEXT` | `2024-01-01` | years but 1 to 9999: refused |
//! | `timestamp` | `TEXT` | `2024-01-01T00:00:00.000000Z`, one width, so that it sorts | years but 1 to 9999: refused |
//! | `json` | `TEXT` | its text | |
//!
//! Decimals sort and compare as text; `CAST(c AS REAL)` makes them numbers.
//!
//! # Tables
//!
//! A stream's table is `TablePrefix` and the stream's name. Tables are `STRICT`;
//! what the columns mean is in `_ow_columns`. A table that is not in there was
//! made by somebody else: it is refused, never guessed at. Names that start
//! with `sqlite_` or `_ow_`, hold a NUL, or differ in case only are refused.
//!
//! A primary key holds in every mode: `merge` and `replace` keep the last row of
//! a key, `append` refuses a key that is there. Only key columns are `NOT NULL`,
//! so that a field may become optional; nulls in other fields that may not be
//! null are refused as rows come.
//!
//! | the stream | the table |
//! |---|---|
//! | has a new field | gets the column; older rows have null |
//! | lacks a field | keeps the column; new rows have null |
//! | `int64` and `decimal`, or decimals of two sizes | becomes the decimal that holds both, if 38 digits do |
//! | `date` and `timestamp` | becomes `timestamp`, dates are midnight |
//! | anything but `float64` and `bytes`, and `text` | becomes `text`, written as in the table above, booleans as `true` and `false` |
//! | any other two types, or another primary key | refused |
//!
//! Widening goes both ways: a table that is wider already stays as it is, and
//! rows are written in its type. Where stored values are written differently in
//! the wider type, the table is rebuilt in the transaction of the commit.
//! A full refresh makes the table anew in whatever shape the stream has.
//!
//! # Replacing
//!
//! `replace`, and every mode in a full refresh, writes to a table named
//! `_ow_new_…`, which takes the place of the stream's table in the transaction
//! that ends the run, with all its rows, whichever data mart wrote them. Readers
//! see the old rows until then. What a run that died
//! left of it is dropped when the data mart is opened next. Indexes and triggers
//! that the user made are made again, except those that name columns that are
//! gone.
//!
//! # Locks and memory
//!
//! Many data marts may share a file. Rows wait in memory (16 MiB) so that a
//! commit takes the write lock only while it writes; a larger commit holds it
//! from its first 16 MiB on. Rows that replace a table take it for each flush
//! only.
//!
//! The file has a write-ahead log, so that readers wait for nobody. Until the
//! first commit of its first run there is nothing to read, and each page of
//! that load would be written twice: a new file keeps a rollback journal until
//! then. Who opens it meanwhile may have to wait for that commit.

pub(crate) mod claim;
pub(crate) mod connection;
pub(crate) mod evolve;
mod identifier;
pub(crate) mod ledger;
mod rows;
mod run;
pub(crate) mod trouble;
mod types;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, schema_for};
use serde::Deserialize;
use serde_json::Value;

pub use run::SqliteStorage;

use crate::driver::{self, Driver, Params, Problem};
use crate::{RunInfo, Storage, StorageError};

/// A file of rows and state beside each other. The default storage.
#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[serde(rename_all = "PascalCase")]
struct Parameters {
    /// The database file, such as `ow.db`. It is created where it is not there.
    /// A relative path starts at the folder of the configuration file.
    path: String,
    /// What the name of every table starts with, such as `ads_`.
    #[serde(default)]
    table_prefix: String,
}

/// The storage `Sqlite`.
pub(crate) struct Sqlite;

impl Driver for Sqlite {
    fn name(&self) -> &'static str {
        "Sqlite"
    }

    fn alias(&self) -> &'static str {
        "SQLITE"
    }

    fn schema(&self) -> Value {
        schema_for!(Parameters).to_value()
    }

    fn check(&self, params: &Params) -> Vec<Problem> {
        let text = |name| params.get(name).and_then(Value::as_str);
        let mut problems = Vec::new();
        match text("Path") {
            Some("") => problems
                .push((Some("Path".to_owned()), "`Path` is empty; write a file, such as `ow.db`".to_owned())),
            Some(path) if path.contains('\0') => {
                problems.push((Some("Path".to_owned()), "`Path` has a NUL character in it".to_owned()));
            }
            _ => {}
        }
        if let Some(reason) = text("TablePrefix").and_then(identifier::reserved) {
            problems.push((
                Some("TablePrefix".to_owned()),
                format!("`TablePrefix` {reason}; choose another one"),
            ));
        }
        problems
    }

    fn open(
        &self,
        params: Params,
        base_dir: &Path,
        run: &RunInfo,
    ) -> Result<(Box<dyn Storage>, String), StorageError> {
        let params: Parameters = driver::parse(params)?;
        let description = format!("Sqlite ({})", params.path);
        Ok((Box::new(SqliteStorage::open(&params.at(base_dir), run)?), description))
    }

    fn read_state(
        &self,
        params: Params,
        base_dir: &Path,
        data_mart_id: &str,
    ) -> Result<BTreeMap<String, String>, StorageError> {
        read_state(&driver::parse::<Parameters>(params)?.at(base_dir), data_mart_id)
    }

    fn reach(&self, params: Params, base_dir: &Path) -> Result<String, StorageError> {
        let params = driver::parse::<Parameters>(params)?.at(base_dir);
        let reach = || {
            let exists = connection::probe(&params.path)?;
            Ok(format!(
                "{} {}",
                params.path.display(),
                if exists { "is a database" } else { "will be created" }
            ))
        };
        reach().map_err(|trouble: trouble::Trouble| trouble.explain(&params.path, "open the database"))
    }
}

impl Parameters {
    fn at(self, base_dir: &Path) -> SqliteParams {
        SqliteParams { path: base_dir.join(self.path), table_prefix: self.table_prefix }
    }
}

/// Where the database is, and how its tables are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteParams {
    /// The database file. It is created, its folder is not.
    pub path: PathBuf,
    /// What the name of every stream's table starts with.
    pub table_prefix: String,
}

/// Opens the database for a run: claims the data mart, and clears away what a
/// run that died left.
pub fn open(params: &SqliteParams, run: &RunInfo) -> Result<SqliteStorage, StorageError> {
    SqliteStorage::open(params, run)
}

/// The state of a data mart, without a claim; empty where there is no database
/// or no such data mart. Creates and changes nothing.
pub fn read_state(
    params: &SqliteParams,
    data_mart_id: &str,
) -> Result<BTreeMap<String, String>, StorageError> {
    let read = || match connection::open_read_only(&params.path)? {
        Some(connection) => ledger::state(&connection, data_mart_id),
        None => Ok(BTreeMap::new()),
    };
    read().map_err(|trouble| trouble.explain(&params.path, "read the state"))
}
