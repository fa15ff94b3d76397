//! The files of a table in the making: what stands, what is staged in its place,
//! and the files that are open.
//!
//! Rows are added to a small file of their partition by writing that file anew
//! with them, so that small commits do not leave a file each.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;

use super::format::{self, Compression, Writer};
use super::ledger::File;
use super::place::{self, Place};
use super::shape::Shape;
use super::trouble::Trouble;

/// A file below this is written anew when rows come for its partition.
const SMALL: u64 = 4 * 1024 * 1024;
/// Files of a table that are open at once; each is a partition.
const MAX_OPEN: usize = 16;
/// Partitions of a table: some thirty years of days. More are a mistake, and would
/// fill the disk with folders.
const MAX_PARTITIONS: usize = 10_000;
/// Memory of a table's open files; the largest is written when it is more.
const MEMORY: usize = 64 * 1024 * 1024;

/// Where a run's files are before they take their place.
pub(super) struct Staging {
    pub(super) place: Place,
    /// The folder, below the storage's folder.
    pub(super) folder: String,
    /// What the names of the run's files start with.
    pub(super) prefix: String,
    pub(super) compression: Compression,
    /// About the size at which a file is ended and another one begun.
    pub(super) max_file: u64,
    next_staged: u64,
    next_name: u64,
}

impl Staging {
    pub(super) fn new(
        place: Place,
        folder: String,
        prefix: String,
        compression: Compression,
        max_file: u64,
    ) -> Self {
        Self { place, folder, prefix, compression, max_file, next_staged: 0, next_name: 0 }
    }

    /// A place for a file or a folder that is not there yet. No reader's pattern
    /// meets it.
    pub(super) fn place_for(&mut self, kind: &str) -> Result<String, Trouble> {
        self.place.folder(&self.folder)?;
        self.next_staged += 1;
        Ok(format!("{}/{}.{kind}", self.folder, self.next_staged))
    }

    fn writer(&mut self, shape: &Shape) -> Result<(Writer, String), Trouble> {
        let staged = self.place_for("staged")?;
        let file = self.place.create(&staged)?;
        let writer = Writer::new(file, self.place.path(&staged), shape, self.compression)?;
        Ok((writer, staged))
    }

    /// The name of a new file: of the data mart, the run and a number.
    fn name(&mut self, shape: &Shape) -> String {
        self.next_name += 1;
        format!("{}-{:06}.{}", self.prefix, self.next_name, shape.format.name())
    }
}

/// A file of the table.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) file: File,
    /// Where its new content waits; none: it stands as it is.
    pub(super) staged: Option<String>,
    /// Readers know it already.
    pub(super) known: bool,
    /// Rows were added to it since the last commit.
    pub(super) grown: bool,
}

/// A file that is open.
struct Open {
    path: String,
    staged: String,
    known: bool,
    writer: Writer,
}

/// The files of a table.
pub(super) struct Output {
    pub(super) shape: Shape,
    /// The table's folder.
    pub(super) folder: String,
    pub(super) entries: Vec<Entry>,
    /// Those used last are last.
    open: Vec<Open>,
    /// The folders of its partitions.
    partitions: BTreeSet<String>,
}

impl Output {
    pub(super) fn new(shape: Shape, folder: String, files: Vec<File>) -> Self {
        let partitions = files.iter().map(|file| place::parent(&file.path).to_owned()).collect();
        let entry = |file| Entry { file, staged: None, known: true, grown: false };
        let entries = files.into_iter().map(entry).collect();
        Self { shape, folder, entries, open: Vec::new(), partitions }
    }

    /// Where the content of a file is.
    fn source(&self, staging: &Staging, entry: &Entry) -> Result<std::path::PathBuf, Trouble> {
        let standing = format!("{}/{}", self.folder, entry.file.path);
        let source = entry.staged.as_deref().unwrap_or(&standing);
        staging.place.check(place::parent(source))?;
        staging.place.look(source)?;
        Ok(staging.place.path(source))
    }

    /// Reads some columns of a file.
    pub(super) fn read(
        &self,
        staging: &Staging,
        entry: &Entry,
        columns: &[usize],
    ) -> Result<Box<dyn Iterator<Item = Result<RecordBatch, Trouble>>>, Trouble> {
        format::read(&self.source(staging, entry)?, &self.shape, columns)
    }

    /// Adds rows that have all columns. `fold`: small files may be written anew.
    pub(super) fn append(
        &mut self,
        staging: &mut Staging,
        rows: &RecordBatch,
        fold: bool,
    ) -> Result<(), Trouble> {
        let Some(days) = self.shape.days(rows) else { return self.append_to(staging, "", rows, fold) };
        for (day, rows) in by_day(rows, &days)? {
            let folder = self.shape.folder(day);
            self.append_to(staging, &folder, &rows, fold)?;
        }
        Ok(())
    }

    fn append_to(
        &mut self,
        staging: &mut Staging,
        folder: &str,
        rows: &RecordBatch,
        fold: bool,
    ) -> Result<(), Trouble> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let mut open = match self.open.iter().position(|open| place::parent(&open.path) == folder) {
            Some(index) => self.open.remove(index),
            None => self.open_file(staging, folder, rows.num_rows(), fold)?,
        };
        let result = open.writer.write(rows);
        let is_full = open.writer.size() >= staging.max_file;
        self.open.push(open);
        result?;
        if is_full {
            self.close_at(self.open.len().saturating_sub(1))?;
        }
        while self.open.len() > MAX_OPEN {
            self.close_first()?;
        }
        while self.memory() > MEMORY {
            self.shrink()?;
        }
        Ok(())
    }

    /// Writes the largest part of what waits in memory.
    pub(super) fn shrink(&mut self) -> Result<(), Trouble> {
        let largest = self.open.iter().enumerate().max_by_key(|(_, open)| open.writer.memory());
        let Some(index) = largest.map(|(index, _)| index) else { return Ok(()) };
        if let Some(open) = self.open.get_mut(index) {
            let before = open.writer.memory();
            open.writer.flush()?;
            if open.writer.memory() < before / 2 {
                return Ok(());
            }
        }
        self.close_at(index)
    }

    /// Ends the file that has waited longest for rows.
    pub(super) fn close_first(&mut self) -> Result<(), Trouble> {
        self.close_at(0)
    }

    /// Memory of the open files.
    pub(super) fn memory(&self) -> usize {
        self.open.iter().map(|open| open.writer.memory()).sum()
    }

    /// How many files are open.
    pub(super) fn open_files(&self) -> usize {
        self.open.len()
    }

    /// Opens a file of a partition: a small one that is written anew, or a new
    /// one.
    fn open_file(
        &mut self,
        staging: &mut Staging,
        folder: &str,
        rows: usize,
        fold: bool,
    ) -> Result<Open, Trouble> {
        let incoming = u64::try_from(rows).unwrap_or(u64::MAX);
        // What grew in this commit already is only written once more by as many
        // rows again, so that the work stays in proportion.
        let is_small = |entry: &Entry| {
            place::parent(&entry.file.path) == folder
                && entry.file.bytes <= SMALL.min(staging.max_file / 2)
                && (!entry.grown || entry.file.rows <= incoming)
        };
        let small = self.entries.iter().position(is_small).filter(|_| fold);
        self.add_partition(folder)?;
        let (mut writer, staged) = staging.writer(&self.shape)?;
        let Some(index) = small else {
            let name = staging.name(&self.shape);
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            return Ok(Open { path, staged, known: false, writer });
        };
        let entry = self.entries.remove(index);
        for batch in self.read(staging, &entry, &self.every())? {
            writer.write(&batch?)?;
        }
        if let Some(earlier) = &entry.staged {
            staging.place.remove_file(earlier)?;
        }
        Ok(Open { path: entry.file.path, staged, known: entry.known, writer })
    }

    fn add_partition(&mut self, folder: &str) -> Result<(), Trouble> {
        if self.partitions.contains(folder) {
            return Ok(());
        }
        if self.partitions.len() >= MAX_PARTITIONS {
            return Err(Trouble::refused(format!(
                "table `{}` would have more than {MAX_PARTITIONS} partitions by the day of `{}`; set `PartitionBy` to another field, or to nothing, and run a full refresh",
                self.folder,
                self.shape.partition.as_deref().unwrap_or_default()
            )));
        }
        self.partitions.insert(folder.to_owned());
        Ok(())
    }

    /// The numbers of all columns.
    pub(super) fn every(&self) -> Vec<usize> {
        (0..self.shape.columns.len()).collect()
    }

    fn close_at(&mut self, index: usize) -> Result<(), Trouble> {
        if index >= self.open.len() {
            return Ok(());
        }
        let open = self.open.remove(index);
        let rows = open.writer.rows();
        let bytes = open.writer.finish()?;
        self.entries.push(Entry {
            file: File { path: open.path, rows, bytes },
            staged: Some(open.staged),
            known: open.known,
            grown: true,
        });
        Ok(())
    }

    /// Ends every open file and puts it on the disk.
    pub(super) fn close(&mut self) -> Result<(), Trouble> {
        while !self.open.is_empty() {
            self.close_at(0)?;
        }
        Ok(())
    }

    /// Lets go of what is not committed.
    pub(super) fn abandon(&mut self) {
        self.open.clear();
    }

    /// Writes a file anew: `rewrite` makes the new rows of each batch. The file
    /// keeps its name, so that readers see the old or the new one.
    pub(super) fn rewrite(
        &mut self,
        staging: &mut Staging,
        index: usize,
        from: &Shape,
        mut rewrite: impl FnMut(&mut Self, &mut Staging, RecordBatch) -> Result<RecordBatch, Trouble>,
    ) -> Result<(), Trouble> {
        let Some(entry) = self.entries.get(index).cloned() else { return Ok(()) };
        let source = self.source(staging, &entry)?;
        let columns: Vec<_> = (0..from.columns.len()).collect();
        let (mut writer, staged) = staging.writer(&self.shape)?;
        for batch in format::read(&source, from, &columns)? {
            let batch = rewrite(self, staging, batch?)?;
            if batch.num_rows() > 0 {
                writer.write(&batch)?;
            }
        }
        let rows = writer.rows();
        let bytes = writer.finish()?;
        if let Some(earlier) = &entry.staged {
            staging.place.remove_file(earlier)?;
        }
        if let Some(entry) = self.entries.get_mut(index) {
            entry.file.rows = rows;
            entry.file.bytes = bytes;
            entry.staged = Some(staged);
        }
        Ok(())
    }

    /// A table without files gets one without rows, so that readers find its
    /// columns.
    pub(super) fn ensure_file(&mut self, staging: &mut Staging) -> Result<(), Trouble> {
        if !self.entries.is_empty() || !self.open.is_empty() {
            return Ok(());
        }
        // Any day will do.
        let folder = self.shape.folder(Some(0));
        let open = self.open_file(staging, &folder, 0, false)?;
        self.open.push(open);
        self.close()
    }
}

/// Rows by day, in the order of days, and in their own order in each.
fn by_day(rows: &RecordBatch, days: &[Option<i32>]) -> Result<Vec<(Option<i32>, RecordBatch)>, Trouble> {
    let at = |row: u32| days.get(usize::try_from(row).unwrap_or(usize::MAX)).copied().flatten();
    let Some(first) = days.first() else { return Ok(Vec::new()) };
    if days.iter().all(|day| day == first) {
        return Ok(vec![(*first, rows.clone())]);
    }
    let mut order: Vec<u32> = (0..u32::try_from(days.len()).unwrap_or(u32::MAX)).collect();
    order.sort_by_key(|row| at(*row));
    let ordered: ArrayRef = Arc::new(UInt32Array::from(order.clone()));
    let sorted = take_record_batch(rows, &ordered).map_err(Trouble::arrow)?;
    let mut start = 0;
    let mut parts = Vec::new();
    for run in order.chunk_by(|a, b| at(*a) == at(*b)) {
        let day = run.first().and_then(|row| at(*row));
        parts.push((day, sorted.slice(start, run.len())));
        start += run.len();
    }
    Ok(parts)
}
