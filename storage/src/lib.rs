//! Where rows go: the trait that every storage implements, and one folder a
//! storage. Knows nothing of WebAssembly.
//!
//! A storage takes Arrow record batches and a commit. It is blocking and runs
//! on a thread of its own; [`worker`] gives asynchronous callers a handle with
//! back-pressure.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow_array::RecordBatch;

#[cfg(feature = "athena")]
pub mod athena;
#[cfg(feature = "bigquery")]
mod bigquery;
pub mod contract;
pub mod discard;
mod driver;
pub mod error;
mod history;
#[cfg(feature = "local-files")]
pub mod local_files;
#[cfg(feature = "postgres")]
mod postgres;
pub mod registry;
pub mod sample;
pub mod schema;
pub mod sqlite;
mod text;
mod types;
pub mod worker;

pub use driver::{Params, Problem};
pub use error::StorageError;
pub use schema::{DataType, Field, TableSchema, WriteMode};

/// What a storage needs to know of the run that opens it.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// What the rows and the state belong to. One run at a time.
    pub data_mart_id: String,
    /// This run.
    pub run_id: String,
    /// `INCREMENTAL`, `MANUAL_BACKFILL`, `FULL_REFRESH` or `CUSTOM`.
    pub run_type: String,
    /// Name and version of the connector.
    pub connector: String,
    /// A full refresh: every table is written as a replacement, nothing of it
    /// and no state is visible before [`Storage::finish`].
    pub full_refresh: bool,
    /// A backfill: the stored state stays as it is whatever is set.
    pub keep_state: bool,
}

/// A table that the run has open; handed out by [`Storage::open_table`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u32);

/// Rows of one stream, for the load history and the summary.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct StreamCount {
    /// Rows that the connector wrote.
    pub rows: u64,
    /// Their bytes in Arrow's layout.
    pub bytes: u64,
}

/// How a run ended, for the load history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded: what is not committed yet is committed now.
    Succeeded,
    /// It failed: what is not committed yet is dropped.
    Failed,
    /// It was cancelled: what is not committed yet is dropped.
    Interrupted,
}

/// State keys to set (`Some`) or to remove (`None`), as JSON text.
pub type StateChanges = BTreeMap<String, Option<String>>;

/// A storage that one run has open and claimed for its data mart.
///
/// Every method that fails leaves the storage as it was at the last commit.
/// After a failure only [`Storage::finish`] is called.
pub trait Storage: Send {
    /// The state that the data mart's last commit left.
    fn state(&mut self) -> Result<BTreeMap<String, String>, StorageError>;

    /// Opens a stream's table: creates it or adds the columns that it lacks.
    /// Becomes visible with the next commit.
    fn open_table(&mut self, table: &TableSchema, mode: WriteMode) -> Result<TableId, StorageError>;

    /// Opens the host's own table of refused rows ([`contract::quarantine`]),
    /// which [`Storage::open_table`] must refuse to streams even while it is
    /// open. It is opened like a stream's in
    /// [`WriteMode::Append`], but its name stands as it is, without the
    /// storage's prefix; and in a full refresh too rows are added to it, and
    /// become durable with each commit. All data marts share it where the storage
    /// can write a table for several runs at once; see [`Storage::quarantine_name`].
    ///
    /// A storage that cannot keep it refuses: then nothing can be left out.
    fn open_quarantine(&mut self, table: &TableSchema) -> Result<TableId, StorageError> {
        Err(StorageError::Refused {
            message: format!(
                "this storage keeps no table `{}`, so that contracts cannot leave out values or rows; use `evolve` or `freeze`",
                table.name
            ),
        })
    }

    /// What the table of refused rows is called in the storage.
    fn quarantine_name(&self) -> String {
        contract::quarantine::NAME.to_owned()
    }

    /// Takes rows. The columns are a subset of the table's, found by name, with
    /// the Arrow types of [`DataType::arrow`]. A column of the table that the
    /// batch lacks is null in new rows; under [`WriteMode::Merge`] it keeps its
    /// value in rows that exist.
    fn write(&mut self, table: TableId, rows: &RecordBatch) -> Result<(), StorageError>;

    /// Makes the rows since the last commit and these state changes durable,
    /// together.
    fn commit(&mut self, changes: &StateChanges) -> Result<(), StorageError>;

    /// The columns of a stream's table as it stands now, named like the stream's
    /// fields (but for their case), in the types that this storage keeps for
    /// them; none where there is no table. What the run itself
    /// has not committed yet may be missing.
    fn columns(&mut self, stream: &str) -> Result<Option<Vec<Field>>, StorageError>;

    /// How long the run has waited for a service so far; nothing for a storage
    /// that works on this machine.
    fn waited(&self) -> Duration {
        Duration::ZERO
    }

    /// Ends the run: commits what is left or drops it, swaps replaced tables
    /// in, writes the load-history row and releases the claim.
    fn finish(
        &mut self,
        outcome: Outcome,
        changes: &StateChanges,
        error: Option<&str>,
    ) -> Result<(), StorageError>;
}
