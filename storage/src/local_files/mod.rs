//! Rows in a folder of Parquet, CSV or JSON lines, which other programs read as
//! it is.
//!
//! # The folder
//!
//! ```text
//! <Path>/
//!   <stream>/                               a table
//!     3f2a9c1b5d7e4a06-000012-000003.parquet  a file, without partitions
//!     <field>_day=2024-01-31/…              or in the folder of its partition
//!   _ow_quarantine/                         what contracts refused
//!   _ow/                                    ours; Spark, Hive and pandas skip it
//!     ledger.db                             state, runs, tables, files: SQLite
//!     ledger.db.<tag>.lock                  a data mart's claim
//!     table-<tag>.lock                      a table's claim
//!     staging/<tag>/<fence>/…               what a run has not committed
//! ```
//!
//! A file is named after the data mart (the tag), the run (its fencing number)
//! and a number in the run. A stream's folder is its name; every byte that is
//! not an ASCII letter, a digit, `_`, `-` or `.` is written `%XX` ([`name`]).
//! Names that differ in case only are refused; so are links inside the folder
//! ([`place`]).
//!
//! **Every file of a table has the same columns, in the same order and types.** So
//! readers need no option such as `union_by_name` or `mergeSchema`.
//!
//! # Guarantee
//!
//! Rows, state and the history of a run become durable together. A commit goes
//! so:
//!
//! 1. *Write.* Rows go to files below `_ow/staging`, whose names end in `.staged`.
//!    At the commit each is ended and put on the disk (`fsync`), and so is the
//!    folder that has its name. The folders of new partitions are made.
//! 2. *Record.* One transaction of the ledger, on the disk before it returns,
//!    checks the fencing number of the data mart and the version of each table,
//!    and writes: the state, the history, the table's columns and files, and in
//!    `_ow_pending` each rename that is due.
//! 3. *Place.* Under the ledger's write lock each rename is done, the folders are
//!    put on the disk, and then the entries of `_ow_pending` are removed ([`mod@apply`]).
//!
//! Why nothing is lost or doubled, wherever it stops:
//!
//! - *In 1, or in 2 before its commit:* the ledger and the tables are as they
//!   were; readers have seen nothing. The next run of the data mart removes its
//!   staging folder. The state has not moved, so the rows come again.
//! - *After 2, before or in 3:* the commit counts. The files are whole and on the
//!   disk, and the ledger tells where they belong. The next open of the data mart,
//!   or of a table that is concerned, repeats 3 before it does anything else. A
//!   rename whose source is gone and whose target is there has been done; a
//!   rename is atomic, so there is no third case. Staging is only cleared after
//!   this.
//! - *In 3, after the renames and before the entries are removed:* the same; every
//!   rename is found done.
//! - *After 3:* nothing is left to do.
//!
//! What a reader sees meanwhile: a file appears whole, or a file is replaced by
//! one that has all its rows and more ([`output`]) or the same keys with newer values
//! ([`merge`]). So at no moment is a row that was committed before missing, nor is
//! one there twice. The files of one commit appear one after the other, within
//! milliseconds, or with the next open if the process died there. One exception:
//! a merged row that changes its partition is in both for that moment.
//!
//! *Replacing* (`replace`, and every mode in a full refresh) builds a folder in
//! staging. The last transaction records that it takes the table's place; the two
//! folders then change names at once (`renameat2` on Linux, its like on macOS; two
//! renames elsewhere). A marker file, named after the staged folder, tells whether
//! that is done: while it is found in staging, the exchange is still due; else
//! what is in staging is the old table, and is removed.
//!
//! One run a data mart, and one run a table, by locks that the kernel releases.
//! The quarantine is the exception: all data marts share it, and each adds to files
//! of its own. Where locks do not hold, the numbers that step 2 checks keep a run from
//! committing that was believed dead, and step 3 finds that its entries are gone.
//!
//! # Merging
//!
//! Rows with a key wait in memory, up to 32 MiB, and are then merged in one step:
//! the key columns of the table's files are read as a stream (only those of the
//! partitions concerned, where the partition's field is part of the key), and each
//! file that holds one of the keys is written anew in staging. Memory is that of
//! the waiting rows and one batch of a file, whatever the size of the table.
//! A commit of many more rows than that merges in several steps.
//!
//! A primary key holds for `merge` and `replace`; `append` does not look for rows
//! that are there.
//!
//! # Types
//!
//! | type | Parquet | CSV | JSON lines |
//! |---|---|---|---|
//! | `boolean` | `BOOLEAN` | `true`, `false` | `true`, `false` |
//! | `int64` | `INT64` | itself | number |
//! | `float64` | `DOUBLE`, NaN too | shortest text; `NaN`, `Infinity`, `-Infinity` | number; NaN and infinities are refused |
//! | `decimal(p, s)` | `DECIMAL(p, s)` | `-12.50` | text, `"-12.50"`: numbers would be rounded |
//! | `text` | `STRING` | itself; empty text is `""` | text |
//! | `bytes` | `BYTE_ARRAY` | base64 | text, base64 |
//! | `date` | `DATE` | `2024-01-31` | text, `"2024-01-31"` |
//! | `timestamp` | `TIMESTAMP(MICROS, UTC)` | `2024-01-31T00:00:00.000000Z` | the same as text |
//! | `json` | `BYTE_ARRAY`, annotated `JSON` | its text | itself; what is no JSON is refused |
//! | null | null | nothing between the commas | `null` |
//!
//! More digits than `p` are refused everywhere, years but 1 to 9999 in CSV, in
//! JSON and in the field of a partition. A table of one column has no nulls in
//! CSV: that would be an empty line. A JSON value `null` and no value look the
//! same in JSON lines.
//!
//! # Evolution
//!
//! New columns and wider types (as in SQLite, both ways) are brought into every
//! file: all files of the table are written anew, in staging, with the next
//! commit. What would lose data, another key or another format is refused.

mod apply;
mod convert;
mod format;
mod incoming;
mod key;
mod ledger;
mod merge;
mod name;
mod output;
mod place;
mod run;
mod shape;
mod table;
mod trouble;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, schema_for};
use serde::Deserialize;
use serde_json::Value;

pub use run::LocalFilesStorage;

use crate::driver::{self, Driver, Params, Problem};
use crate::sqlite::connection;
use crate::{RunInfo, Storage, StorageError};
use format::{Compression, Format};
use place::Place;
use trouble::Trouble;

/// The ledger, below the folder.
const LEDGER: &str = "_ow/ledger.db";
/// What is not committed, below the folder.
const STAGING: &str = "_ow/staging";
/// The size of files in MiB where no other is given: what query engines like,
/// and small enough to be written anew by a merge.
const MAX_FILE_SIZE: u32 = 256;
/// Bytes of a MiB.
const MIB: u64 = 1024 * 1024;

/// A folder of Parquet, CSV or JSON lines, a sub-folder a stream, for DuckDB,
/// pandas, Spark and whatever else reads files.
#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[serde(rename_all = "PascalCase")]
struct Parameters {
    /// The folder, such as `warehouse`. It is created where it is not there. A
    /// relative path starts at the folder of the configuration file.
    path: String,
    /// The format of the files.
    #[serde(default)]
    format: Format,
    /// The date or timestamp field by whose day the tables that have it are
    /// partitioned. Where it is not given, the field that the stream names; empty
    /// for no partitions.
    #[serde(default)]
    partition_by: Option<String>,
    /// How Parquet files are compressed. CSV and JSON lines are not.
    #[serde(default)]
    compression: Compression,
    /// About the size in MiB at which a file is ended and another one begun.
    #[serde(default = "max_file_size")]
    #[schemars(range(min = 1))]
    max_file_size: u32,
}

fn max_file_size() -> u32 {
    MAX_FILE_SIZE
}

/// The storage `LocalFiles`.
pub(crate) struct LocalFiles;

impl Driver for LocalFiles {
    fn name(&self) -> &'static str {
        "LocalFiles"
    }

    fn alias(&self) -> &'static str {
        "LOCAL_FILES"
    }

    fn schema(&self) -> Value {
        schema_for!(Parameters).to_value()
    }

    fn check(&self, params: &Params) -> Vec<Problem> {
        let text = |name| params.get(name).and_then(Value::as_str);
        let mut problems = Vec::new();
        let mut wrong = |name: &str, message: &str| {
            problems.push((Some(name.to_owned()), message.to_owned()));
        };
        match text("Path") {
            Some("") => wrong("Path", "`Path` is empty; write a folder, such as `warehouse`"),
            Some(path) if path.contains('\0') => wrong("Path", "`Path` has a NUL character in it"),
            _ => {}
        }
        let is_parquet = text("Format").is_none_or(|format| format == "parquet");
        if !is_parquet && text("Compression").is_some_and(|compression| compression != "none") {
            wrong(
                "Compression",
                "`Compression` is for Parquet only; leave it out, or set `Format` to `parquet`",
            );
        }
        if let Some(size) = params.get("MaxFileSize")
            && !size.as_u64().is_some_and(|size| size >= 1 && u32::try_from(size).is_ok())
        {
            wrong("MaxFileSize", "`MaxFileSize` has to be 1 or more, in MiB");
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
        let description = format!("LocalFiles ({}, {})", params.path, params.format.name());
        Ok((Box::new(LocalFilesStorage::open(&params.at(base_dir), run)?), description))
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
        reach(&params.path).map_err(|trouble| trouble.explain(&params.path.join(LEDGER), "open the folder"))
    }
}

impl Parameters {
    fn at(self, base_dir: &Path) -> LocalFilesParams {
        LocalFilesParams {
            path: base_dir.join(self.path),
            format: self.format,
            partition_by: self.partition_by,
            compression: self.compression,
            max_file_bytes: u64::from(self.max_file_size) * MIB,
        }
    }
}

/// Where the folder is, and how its files are written.
#[derive(Debug, Clone)]
struct LocalFilesParams {
    path: PathBuf,
    format: Format,
    partition_by: Option<String>,
    compression: Compression,
    max_file_bytes: u64,
}

/// The state of a data mart, without a claim; empty where there is no folder or
/// no such data mart. Creates and changes nothing.
fn read_state(
    params: &LocalFilesParams,
    data_mart_id: &str,
) -> Result<BTreeMap<String, String>, StorageError> {
    let ledger = params.path.join(LEDGER);
    let read = || -> Result<_, Trouble> {
        if !place::exists(&ledger)? {
            return Ok(BTreeMap::new());
        }
        Ok(match connection::open_read_only(&ledger)? {
            Some(connection) => crate::sqlite::ledger::state(&connection, data_mart_id)?,
            None => BTreeMap::new(),
        })
    };
    read().map_err(|trouble: Trouble| trouble.explain(&ledger, "read the state"))
}

/// Whether the folder is there or can be made, and can be written to.
fn reach(path: &Path) -> Result<String, Trouble> {
    if place::exists(path)? {
        Place::existing(path)?;
        check_writable(path)?;
        return Ok(format!("{} is a folder that can be written", path.display()));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !place::exists(parent)? {
        return Err(Trouble::place(format!(
            "folder `{}` does not exist and neither does the folder above it; create it, or set `Path` to another place",
            path.display()
        )));
    }
    Place::existing(parent)?;
    check_writable(parent)?;
    Ok(format!("{} will be created", path.display()))
}

#[cfg(unix)]
fn check_writable(path: &Path) -> Result<(), Trouble> {
    use rustix::fs::{Access, access};
    access(path, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| Trouble::Disk(path.to_owned(), error.into()))
}

#[cfg(not(unix))]
fn check_writable(_: &Path) -> Result<(), Trouble> {
    Ok(())
}
