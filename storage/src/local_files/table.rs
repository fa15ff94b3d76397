//! A table that a run has open: rows that wait, and its files in the making.

use std::collections::BTreeSet;

use arrow_array::RecordBatch;

use super::convert;
use super::incoming::{Part, Target};
use super::merge;
use super::output::{Output, Staging};
use super::place::Place;
use super::shape::Shape;
use super::trouble::Trouble;
use crate::sqlite::claim::Claim;
use crate::{TableSchema, WriteMode};

/// Memory that a waiting batch takes beside its values.
const BATCH_OVERHEAD: usize = 1024;
/// How many sets of columns the rows of one step may have.
const COLUMN_SETS: usize = 16;

/// A table that the run has open.
pub(super) struct Table {
    pub(super) schema: TableSchema,
    pub(super) mode: WriteMode,
    /// It takes the place of the table at the end.
    pub(super) replaces: bool,
    pub(super) output: Output,
    /// The shape of the files that stand; none: they have the table's.
    before: Option<Shape>,
    /// The ledger does not know the table as it is now.
    changed: bool,
    /// The version that the ledger has.
    pub(super) version: i64,
    /// Files of the ledger that somebody removed.
    pub(super) lost: Vec<String>,
    waiting: Vec<Part>,
    waiting_bytes: usize,
    column_sets: BTreeSet<Vec<bool>>,
    /// Rows that were taken.
    pub(super) taken: u64,
    /// Rows of these that are durable and that readers see.
    pub(super) committed: u64,
    /// None for the table that all data marts share.
    claim: Option<Claim>,
}

impl Table {
    pub(super) fn new(
        schema: TableSchema,
        mode: WriteMode,
        replaces: bool,
        output: Output,
        version: i64,
        claim: Option<Claim>,
    ) -> Self {
        Self {
            schema,
            mode,
            replaces,
            output,
            before: None,
            changed: true,
            version,
            lost: Vec::new(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            column_sets: BTreeSet::new(),
            taken: 0,
            committed: 0,
            claim,
        }
    }

    /// It stands already, in a shape of its own, but for files that are gone.
    pub(super) fn stands(&mut self, before: Shape, lost: Vec<String>) {
        self.changed = before.columns != self.output.shape.columns;
        self.before = Some(before);
        self.lost = lost;
    }

    /// Whether runs of other data marts may write to it meanwhile.
    pub(super) fn is_shared(&self) -> bool {
        self.claim.is_none()
    }

    /// Whether the last row of a key counts.
    fn is_keyed(&self) -> bool {
        self.mode != WriteMode::Append && !self.schema.primary_key.is_empty()
    }

    /// Takes rows. Rows that have to be found by their key or sorted into
    /// partitions wait; others go to a file at once.
    pub(super) fn write(&mut self, staging: &mut Staging, rows: &RecordBatch) -> Result<(), Trouble> {
        let target = Target { schema: &self.schema, shape: &self.output.shape, rows_before: self.taken };
        let part = target.take(rows)?;
        self.taken += u64::try_from(part.rows).unwrap_or(u64::MAX);
        if part.rows == 0 {
            return Ok(());
        }
        if !self.is_keyed() && self.output.shape.partition.is_none() {
            self.prepare(staging)?;
            let rows = part.full(&self.output.shape)?;
            return self.output.append(staging, &rows, true);
        }
        let columns: Vec<_> = part.columns.iter().map(Option::is_some).collect();
        if self.column_sets.len() >= COLUMN_SETS && !self.column_sets.contains(&columns) {
            self.drain(staging)?;
        }
        self.column_sets.insert(columns);
        let arrays = part.columns.iter().flatten();
        self.waiting_bytes +=
            arrays.map(|array| array.get_array_memory_size()).sum::<usize>() + BATCH_OVERHEAD;
        self.waiting.push(part);
        Ok(())
    }

    /// Memory of the rows that wait.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Brings the rows that wait into files.
    pub(super) fn drain(&mut self, staging: &mut Staging) -> Result<(), Trouble> {
        self.prepare(staging)?;
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.column_sets.clear();
        if waiting.is_empty() {
            return Ok(());
        }
        if self.is_keyed() {
            return merge::merge(&mut self.output, staging, waiting);
        }
        let shape = &self.output.shape;
        let rows = waiting.iter().map(|part| part.full(shape)).collect::<Result<Vec<_>, _>>()?;
        drop(waiting);
        let together = arrow_select::concat::concat_batches(&shape.arrow, &rows).map_err(Trouble::arrow)?;
        drop(rows);
        self.output.append(staging, &together, true)
    }

    /// Writes the files that stand in the table's new shape, unless that is
    /// done: every file of a table has the same columns.
    fn prepare(&mut self, staging: &mut Staging) -> Result<(), Trouble> {
        let Some(before) = self.before.take() else { return Ok(()) };
        if before.same_files(&self.output.shape) {
            return Ok(());
        }
        let name = self.schema.name.clone();
        for number in 0..self.output.entries.len() {
            self.output.rewrite(staging, number, &before, |output, _, old| {
                reshape(&name, &before, &output.shape, &old)
            })?;
        }
        Ok(())
    }

    /// Brings everything into files that are on the disk.
    pub(super) fn finish_files(&mut self, staging: &mut Staging) -> Result<(), Trouble> {
        self.drain(staging)?;
        self.output.close()?;
        if self.changed {
            self.output.ensure_file(staging)?;
        }
        Ok(())
    }

    /// Whether the next commit has something of this table.
    pub(super) fn has_changes(&self) -> bool {
        self.changed
            || !self.lost.is_empty()
            || self.output.entries.iter().any(|entry| entry.staged.is_some())
    }

    /// Lets go of what is not committed.
    pub(super) fn abandon(&mut self) {
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.output.abandon();
    }

    /// What was staged is in place.
    pub(super) fn settle(&mut self) {
        self.committed = self.taken;
        self.changed = false;
        self.lost.clear();
        self.version += 1;
        for entry in &mut self.output.entries {
            entry.staged = None;
            entry.known = true;
            entry.grown = false;
        }
    }
}

/// Rows of a file in the shape that the table gets.
fn reshape(table: &str, from: &Shape, to: &Shape, rows: &RecordBatch) -> Result<RecordBatch, Trouble> {
    let columns = to.columns.iter().map(|column| {
        let place = from.position(&column.name);
        let (Some(array), Some(stood)) = (
            place.and_then(|place| rows.columns().get(place)),
            place.and_then(|place| from.columns.get(place)),
        ) else {
            return Ok(None);
        };
        let fault = |(_, what): convert::Fault| {
            Trouble::refused(format!(
                "a stored value of column `{}` of table `{table}` {what}, so that the column cannot become {}; run a full refresh, or give the field a new name",
                column.name, column.data_type
            ))
        };
        convert::check(array.as_ref(), stood.data_type, to.format).map_err(fault)?;
        convert::widen(array, stood.data_type, column.data_type).map(Some).map_err(fault)
    });
    Part { columns: columns.collect::<Result<_, Trouble>>()?, rows: rows.num_rows() }.full(to)
}

/// The files in a table's folder that a reader sees, by their paths in it.
pub(super) fn visible_files(place: &Place, folder: &str) -> Result<Vec<String>, Trouble> {
    let mut files = Vec::new();
    if !place.check(folder)? {
        return Ok(files);
    }
    let is_seen = |name: &String| !name.starts_with(['.', '_']);
    for name in place.list(folder)?.into_iter().filter(is_seen) {
        let path = format!("{folder}/{name}");
        if place.look(&path)?.is_some_and(|found| found.is_dir()) {
            let inside = place.list(&path)?.into_iter().filter(is_seen);
            for inner in inside {
                place.look(&format!("{path}/{inner}"))?;
                files.push(format!("{name}/{inner}"));
            }
        } else {
            files.push(name);
        }
    }
    Ok(files)
}
