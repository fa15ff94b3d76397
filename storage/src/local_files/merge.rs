//! Rows into a table by their key: the files that hold their keys are written
//! anew, one at a time and as a stream; other rows are added.
//!
//! Only the rows of one step are in memory, see [`super::table`]. Each key lies in
//! one file, and a file is replaced at once, so that no reader ever sees a key
//! twice or not at all; except for a row whose partition changes: it moves to
//! another file, which is in place before it leaves its old one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow_select::concat::concat;
use arrow_select::filter::filter_record_batch;
use arrow_select::interleave::interleave;

use super::incoming::Part;
use super::key::{Index, Keys};
use super::output::{Output, Staging};
use super::place;
use super::shape::{self, Shape};
use super::trouble::Trouble;

/// Rows that are put together at once from new keys.
const ROWS: usize = 8192;

/// Parts that have the same columns.
struct Group {
    /// All their rows, by the columns of the table.
    columns: Vec<Option<ArrayRef>>,
    /// By key: the last row that has it, and of which part it is; zero for none.
    latest: Vec<u64>,
}

/// The rows of one step, by their keys.
struct Step {
    groups: Vec<Group>,
    index: Index,
    key_columns: Vec<usize>,
}

/// Brings rows into the files of a table.
pub(super) fn merge(output: &mut Output, staging: &mut Staging, parts: Vec<Part>) -> Result<(), Trouble> {
    output.close()?;
    let step = Step::new(&output.shape, parts)?;
    let folders = step.folders(&output.shape);
    let mut seen = vec![false; step.index.len()];
    for number in 0..output.entries.len() {
        let Some(entry) = output.entries.get(number) else { break };
        let folder = place::parent(&entry.file.path);
        if entry.file.rows == 0 || folders.as_ref().is_some_and(|folders| !folders.contains(folder)) {
            continue;
        }
        if step.is_in(output, staging, number)? {
            let (folder, shape) = (folder.to_owned(), output.shape.clone());
            output.rewrite(staging, number, &shape, |output, staging, old| {
                let new = step.update(&output.shape, old, &mut seen)?;
                stay(output, staging, &folder, new)
            })?;
        }
    }
    step.insert(output, staging, &seen)
}

/// The rows that belong to the file's partition; the others move to their own.
/// They go to new files, because small ones may be still to be looked at.
fn stay(
    output: &mut Output,
    staging: &mut Staging,
    folder: &str,
    rows: RecordBatch,
) -> Result<RecordBatch, Trouble> {
    let Some(days) = output.shape.days(&rows) else { return Ok(rows) };
    let mut known = BTreeMap::new();
    let stays: Vec<bool> = days
        .iter()
        .map(|day| *known.entry(*day).or_insert_with(|| output.shape.folder(*day) == folder))
        .collect();
    if stays.iter().all(|stays| *stays) {
        return Ok(rows);
    }
    let moves: BooleanArray = stays.iter().map(|stays| Some(!stays)).collect();
    let moved = filter_record_batch(&rows, &moves).map_err(Trouble::arrow)?;
    output.append(staging, &moved, false)?;
    filter_record_batch(&rows, &BooleanArray::from(stays)).map_err(Trouble::arrow)
}

impl Step {
    fn new(shape: &Shape, parts: Vec<Part>) -> Result<Self, Trouble> {
        let key_columns = shape.key();
        let mut step = Self { groups: Vec::new(), index: Index::default(), key_columns };
        let mut by_columns: BTreeMap<Vec<bool>, Vec<(u64, Part)>> = BTreeMap::new();
        for (number, part) in (1..).zip(parts) {
            let present = part.columns.iter().map(Option::is_some).collect();
            by_columns.entry(present).or_default().push((number, part));
        }
        for parts in by_columns.into_values() {
            step.add(parts)?;
        }
        for group in &mut step.groups {
            group.latest.resize(step.index.len(), 0);
        }
        Ok(step)
    }

    /// Adds a group of parts with their numbers.
    fn add(&mut self, parts: Vec<(u64, Part)>) -> Result<(), Trouble> {
        let mut latest = Vec::new();
        let (mut before, mut key) = (0_u64, Vec::new());
        for (number, part) in &parts {
            let columns: Vec<_> = self
                .key_columns
                .iter()
                .filter_map(|index| part.columns.get(*index).and_then(Option::as_ref))
                .collect();
            let keys = keys_of(&columns)?;
            for row in 0..part.rows {
                keys.write(row, &mut key);
                let slot = usize::try_from(self.index.insert(&key)).unwrap_or(usize::MAX);
                if slot >= latest.len() {
                    latest.resize(slot + 1, 0);
                }
                if let Some(place) = latest.get_mut(slot) {
                    *place = number << 32 | before;
                }
                before += 1;
            }
        }
        let width = parts.first().map_or(0, |(_, part)| part.columns.len());
        let columns = (0..width).map(|index| {
            let arrays: Vec<_> = parts
                .iter()
                .filter_map(|(_, part)| part.columns.get(index).and_then(Option::as_deref))
                .collect();
            (!arrays.is_empty()).then(|| concat(&arrays)).transpose()
        });
        let columns = columns.collect::<Result<_, _>>().map_err(Trouble::arrow)?;
        self.groups.push(Group { columns, latest });
        Ok(())
    }

    /// The partitions that hold the keys, where that can be told from the rows:
    /// where the partition is part of the key.
    fn folders(&self, shape: &Shape) -> Option<BTreeSet<String>> {
        let field = shape.position(shape.partition.as_deref()?)?;
        if !self.key_columns.contains(&field) {
            return None;
        }
        let mut every = BTreeSet::new();
        for group in &self.groups {
            every.extend(shape::days(group.columns.get(field)?.as_ref()?.as_ref())?);
        }
        Some(every.into_iter().map(|day| shape.folder(day)).collect())
    }

    /// Whether a file holds one of the keys.
    fn is_in(&self, output: &Output, staging: &Staging, number: usize) -> Result<bool, Trouble> {
        let Some(entry) = output.entries.get(number) else { return Ok(false) };
        let mut key = Vec::new();
        for batch in output.read(staging, entry, &self.key_columns)? {
            let batch = batch?;
            let keys = keys_of(&batch.columns().iter().collect::<Vec<_>>())?;
            for row in 0..batch.num_rows() {
                keys.write(row, &mut key);
                if self.index.find(&key).is_some() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Rows of a file with what the step says of them.
    fn update(&self, shape: &Shape, old: RecordBatch, seen: &mut [bool]) -> Result<RecordBatch, Trouble> {
        let columns: Vec<_> = self.key_columns.iter().filter_map(|index| old.columns().get(*index)).collect();
        let keys = keys_of(&columns)?;
        let (mut key, mut any) = (Vec::new(), false);
        let slots: Vec<_> = (0..old.num_rows())
            .map(|row| {
                keys.write(row, &mut key);
                let slot = self.index.find(&key).and_then(|slot| usize::try_from(slot).ok());
                if let Some(seen) = slot.and_then(|slot| seen.get_mut(slot)) {
                    *seen = true;
                    any = true;
                }
                slot
            })
            .collect();
        if !any {
            return Ok(old);
        }
        self.put_together(shape, &slots, Some(&old))
    }

    /// Adds the rows whose keys no file had.
    fn insert(&self, output: &mut Output, staging: &mut Staging, seen: &[bool]) -> Result<(), Trouble> {
        let new: Vec<_> = (0..seen.len()).filter(|slot| seen.get(*slot) == Some(&false)).map(Some).collect();
        for slots in new.chunks(ROWS) {
            let rows = self.put_together(&output.shape, slots, None)?;
            output.append(staging, &rows, true)?;
        }
        Ok(())
    }

    /// Rows by their keys: what the step says last of each column, else what
    /// stands, else null.
    fn put_together(
        &self,
        shape: &Shape,
        slots: &[Option<usize>],
        old: Option<&RecordBatch>,
    ) -> Result<RecordBatch, Trouble> {
        let columns = shape.columns.iter().enumerate().map(|(column, meant)| {
            let standing = match old {
                Some(old) => old.columns().get(column).map(Arc::clone),
                None => Some(new_null_array(&meant.data_type.arrow(), 1)),
            };
            let standing = standing.ok_or_else(|| Trouble::failed("a file lacks a column"))?;
            let groups: Vec<_> = self
                .groups
                .iter()
                .filter_map(|group| Some((group, group.columns.get(column)?.as_ref()?)))
                .collect();
            let sources: Vec<&dyn Array> = std::iter::once(standing.as_ref())
                .chain(groups.iter().map(|(_, array)| array.as_ref()))
                .collect();
            let from = |(row, slot): (usize, &Option<usize>)| {
                let latest = |(number, (group, _)): (usize, &(&Group, &ArrayRef))| {
                    let latest = slot.and_then(|slot| group.latest.get(slot)).copied().unwrap_or_default();
                    (latest, number + 1)
                };
                match groups.iter().enumerate().map(latest).max() {
                    Some((latest, number)) if latest > 0 => {
                        (number, usize::try_from(latest & u64::from(u32::MAX)).unwrap_or_default())
                    }
                    _ => (0, if old.is_some() { row } else { 0 }),
                }
            };
            let places: Vec<_> = slots.iter().enumerate().map(from).collect();
            interleave(&sources, &places).map_err(Trouble::arrow)
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(Arc::clone(&shape.arrow), columns).map_err(Trouble::arrow)
    }
}

fn keys_of<'a>(columns: &[&'a ArrayRef]) -> Result<Keys<'a>, Trouble> {
    Keys::new(columns).ok_or_else(|| Trouble::failed("a column of the primary key has no known type"))
}
