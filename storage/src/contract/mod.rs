//! What happens when a stream brings something new: contracts between a stream
//! and its table, and the quarantine of what they refuse.
//!
//! [`enforce`] puts the contracts in front of any storage and is a storage
//! itself. When a stream is opened, it compares the stream with the table as it
//! stands ([`Storage::columns`]):
//!
//! | new is | `evolve` | `freeze` | `drop-value` | `drop-row` |
//! |---|---|---|---|---|
//! | the table | it is made | the run fails | there is no such choice | every row is refused |
//! | a column | it is added | the run fails | its values are refused | rows with a value for it are refused |
//! | a type | the storage widens the column or refuses | the run fails | values that do not fit are refused | rows with a value that does not fit are refused |
//!
//! A type is new if the table's type does not hold every value of the stream's
//! (`types::widest`). Of such a column a value fits if it is the same in the
//! table's type (`convert`). A refused value is null in its row; the other
//! values are written. Columns that may not be null cannot have values refused,
//! and a new column of the primary key is nothing that can be left out: both are
//! told when the stream is opened.
//!
//! # Quarantine
//!
//! What is refused goes to the table `_ow_quarantine` with the row as it came
//! and the reason, in the commit that the other rows of its batch belong to. It
//! goes through [`Storage::open_quarantine`], is added to whatever the mode of
//! the run, and is never replaced. Refused rows wait in memory up to
//! [`quarantine::BUFFER`] bytes. A row whose JSON is longer than
//! [`quarantine::ROW_BYTES`] is kept with its texts cut, and its reason says so.

mod convert;
pub(crate) mod json;
mod plan;
pub mod quarantine;
mod sort;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow_array::RecordBatch;

use self::plan::Plan;
use self::quarantine::Quarantine;
use super::{Field, Outcome, RunInfo, StateChanges, Storage, StorageError, TableId, TableSchema, WriteMode};

/// What is done with something new.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The table takes it in, if nothing is lost.
    #[default]
    Evolve,
    /// The run fails.
    Freeze,
    /// The value is left out, the rest of its row is written.
    DropValue,
    /// The row is left out.
    DropRow,
}

impl Rule {
    /// Every rule, the default first.
    pub const ALL: [Self; 4] = [Self::Evolve, Self::Freeze, Self::DropValue, Self::DropRow];

    /// How it is written in configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Evolve => "evolve",
            Self::Freeze => "freeze",
            Self::DropValue => "drop-value",
            Self::DropRow => "drop-row",
        }
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The rules of one stream. By default everything evolves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contract {
    /// For a table that is not there yet. A new table has no values that could
    /// be left out of rows: [`Rule::DropValue`] means [`Rule::DropRow`] here.
    pub table: Rule,
    /// For a column that the table does not have.
    pub column: Rule,
    /// For a column whose type in the table does not hold every value of the
    /// stream's.
    pub data_type: Rule,
}

/// The contracts of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contracts {
    /// Of the streams that are not named.
    pub every: Contract,
    /// By the stream's name.
    pub streams: BTreeMap<String, Contract>,
}

impl Contracts {
    /// The contract of a stream.
    #[must_use]
    pub fn of(&self, stream: &str) -> Contract {
        self.streams.get(stream).copied().unwrap_or(self.every)
    }

    /// Whether everything evolves, whatever the stream.
    fn is_open(&self) -> bool {
        let open = |contract: &Contract| *contract == Contract::default();
        open(&self.every) && self.streams.values().all(open)
    }
}

/// What was refused of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Refused {
    /// Rows that were left out.
    pub rows: u64,
    /// Values that were left out of rows that were written.
    pub values: u64,
}

/// What was refused in a run so far, by stream; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    streams: BTreeMap<String, Refused>,
    /// The table that has them.
    table: Option<String>,
}

impl Refusals {
    /// What was refused of a stream.
    #[must_use]
    pub fn of(&self, stream: &str) -> Refused {
        self.lock().streams.get(stream).copied().unwrap_or_default()
    }

    /// The table that what was refused is in; none if nothing was.
    #[must_use]
    pub fn table(&self) -> Option<String> {
        self.lock().table.clone()
    }

    fn add(&self, stream: &str, more: Refused, table: impl FnOnce() -> String) {
        if more != Refused::default() {
            let mut counts = self.lock();
            counts.table.get_or_insert_with(table);
            let refused = counts.streams.entry(stream.to_owned()).or_default();
            refused.rows += more.rows;
            refused.values += more.values;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts contracts in front of a storage that the run has open. What they refuse
/// is counted in `refusals`.
#[must_use]
pub fn enforce(
    storage: Box<dyn Storage>,
    contracts: Contracts,
    run: &RunInfo,
    refusals: Refusals,
) -> Box<dyn Storage> {
    if contracts.is_open() {
        return storage;
    }
    let quarantine = Quarantine::new(run);
    Box::new(Enforced { storage, contracts, refusals, streams: Vec::new(), quarantine })
}

/// A storage with contracts in front of it.
struct Enforced {
    storage: Box<dyn Storage>,
    contracts: Contracts,
    refusals: Refusals,
    streams: Vec<Stream>,
    quarantine: Quarantine,
}

/// A stream that the run has open.
struct Stream {
    schema: TableSchema,
    mode: WriteMode,
    plan: Plan,
    /// The storage's table; none if it refuses every row.
    table: Option<TableId>,
}

impl Enforced {
    /// The stream that is open under this name, if it is the same one.
    fn find(&self, schema: &TableSchema, mode: WriteMode) -> Result<Option<TableId>, StorageError> {
        let Some(number) = self.streams.iter().position(|stream| stream.schema.name == schema.name) else {
            return Ok(None);
        };
        match self.streams.get(number) {
            Some(open) if open.schema == *schema && open.mode == mode => Ok(Some(id(number))),
            _ => Err(StorageError::Refused {
                message: format!(
                    "stream `{}` is open already in this run, with other fields or another mode",
                    schema.name
                ),
            }),
        }
    }

    /// Hands the refused rows that wait to the storage.
    fn flush(&mut self) -> Result<(), StorageError> {
        self.quarantine.flush(self.storage.as_mut())
    }
}

fn id(number: usize) -> TableId {
    TableId(u32::try_from(number).unwrap_or(u32::MAX))
}

impl Storage for Enforced {
    fn state(&mut self) -> Result<BTreeMap<String, String>, StorageError> {
        self.storage.state()
    }

    fn open_table(&mut self, schema: &TableSchema, mode: WriteMode) -> Result<TableId, StorageError> {
        if let Some(id) = self.find(schema, mode)? {
            return Ok(id);
        }
        let contract = self.contracts.of(&schema.name);
        let plan = if contract == Contract::default() {
            Plan::open(schema)
        } else {
            let standing = self.storage.columns(&schema.name)?;
            Plan::new(schema, standing.as_deref(), contract)?
        };
        if plan.refuses() {
            self.quarantine.open(self.storage.as_mut())?;
        }
        let table = match &plan.table {
            Some(table) => Some(self.storage.open_table(table, mode)?),
            None => None,
        };
        self.streams.push(Stream { schema: schema.clone(), mode, plan, table });
        Ok(id(self.streams.len() - 1))
    }

    fn open_quarantine(&mut self, table: &TableSchema) -> Result<TableId, StorageError> {
        self.storage.open_quarantine(table)
    }

    fn quarantine_name(&self) -> String {
        self.storage.quarantine_name()
    }

    fn write(&mut self, table: TableId, rows: &RecordBatch) -> Result<(), StorageError> {
        let number = usize::try_from(table.0).unwrap_or(usize::MAX);
        let Some(stream) = self.streams.get(number) else {
            return Err(StorageError::Failed { message: "the table is not open".into(), retryable: false });
        };
        if let (Some(table), false) = (stream.table, stream.plan.refuses()) {
            return self.storage.write(table, rows);
        }
        let sorted = sort::sort(&stream.schema, &stream.plan, rows)?;
        if let (Some(table), Some(kept)) = (stream.table, &sorted.kept) {
            self.storage.write(table, kept)?;
        }
        self.refusals.add(&stream.schema.name, sorted.count, || self.storage.quarantine_name());
        self.quarantine.take(self.storage.as_mut(), &stream.schema, rows, &sorted)
    }

    fn commit(&mut self, changes: &StateChanges) -> Result<(), StorageError> {
        self.flush()?;
        self.storage.commit(changes)
    }

    fn columns(&mut self, stream: &str) -> Result<Option<Vec<Field>>, StorageError> {
        self.storage.columns(stream)
    }

    fn waited(&self) -> Duration {
        self.storage.waited()
    }

    fn finish(
        &mut self,
        outcome: Outcome,
        changes: &StateChanges,
        error: Option<&str>,
    ) -> Result<(), StorageError> {
        if outcome != Outcome::Succeeded {
            return self.storage.finish(outcome, changes, error);
        }
        if let Err(error) = self.flush() {
            // The first failure is the one to tell.
            let _ = self.storage.finish(Outcome::Failed, &StateChanges::new(), Some(&error.to_string()));
            return Err(error);
        }
        self.storage.finish(outcome, changes, error)
    }
}
