//! The tables that a run writes to: rows and lines wait here until a batch is
//! worth a call.

use std::io::Read;

use crate::columns::{Columns, Row};
use crate::convert::Epoch;
use crate::error::{Error, Result};
use crate::host;
use crate::json::Scanner;
use crate::objects::{Objects, Reading};
use crate::record::Cell;
use crate::stream::{Stream, WriteMode};

/// Rows in a batch, at most.
const BATCH_ROWS: usize = 65_536;

/// Bytes from which on a batch is handed over. Far below what the host takes in
/// one call, and large enough for a call to cost nothing.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Bytes from which on a row is a batch of its own, so that it has all of what
/// the host takes in one call.
const LARGE_ROW: usize = 1024 * 1024;

/// Bytes read at once from a stream of JSON lines.
const CHUNK: usize = 256 * 1024;

/// An open table of this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table(usize);

/// How a stream is opened, where the default does not fit.
#[derive(Debug, Clone, Default)]
pub struct Open {
    name: Option<String>,
    mode: Option<WriteMode>,
    fields: Option<Vec<String>>,
    reading: Reading,
}

impl Open {
    /// Under this name in place of the stream's own.
    pub(crate) fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// With this mode.
    #[must_use]
    pub fn mode(mut self, mode: WriteMode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// With these of the stream's columns; the others are not written.
    #[must_use]
    pub fn fields<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.fields = Some(fields.into_iter().map(Into::into).collect());
        self
    }

    /// Takes a field of [`Context::write_object`](crate::Context::write_object)
    /// from this place in the object instead of from the key of its name:
    /// `.place("owner_login", "/owner/login")`. Several fields may take one place.
    #[must_use]
    pub fn place(mut self, field: impl Into<String>, pointer: impl Into<String>) -> Self {
        self.reading.places.push((field.into(), pointer.into()));
        self
    }

    /// Lets these texts stand for no value, for sources that write `""` or `"-"`
    /// where a number is missing. They become NULL in columns that could not
    /// hold them otherwise; in a `text` or `json` column they stay texts.
    #[must_use]
    pub fn null_texts<S: Into<String>>(mut self, texts: impl IntoIterator<Item = S>) -> Self {
        self.reading.null_texts = texts.into_iter().map(Into::into).collect();
        self
    }

    /// Tells in the log which keys of the objects have no column, for tables whose
    /// columns were learned from the first objects.
    #[must_use]
    pub fn tell_extras(mut self) -> Self {
        self.reading.tell_extras = true;
        self
    }

    /// Says what numbers in `timestamp` columns count. Without it they are
    /// refused: 1700000000 may be a day in 2023 or a minute in 1970.
    #[must_use]
    pub fn epoch(mut self, epoch: Epoch) -> Self {
        self.reading.epoch = Some(epoch);
        self
    }
}

/// All open tables of a run.
pub(crate) struct Tables {
    buffers: Vec<Buffer>,
    /// Rows from which on a batch is handed over.
    batch_rows: usize,
}

struct Buffer {
    batch_rows: usize,
    name: String,
    /// The stream of the records that it was opened for, which may have another
    /// name.
    record: Option<&'static str>,
    writer: host::Writer,
    columns: Columns,
    /// How objects are read, and by what once there was one.
    reading: Reading,
    objects: Option<Box<Objects>>,
    lines: Vec<u8>,
}

impl Tables {
    /// No tables. In a preview somebody waits for the first rows: batches are as
    /// small as what is wanted.
    pub(crate) fn new(preview_rows: Option<usize>) -> Self {
        Self { buffers: Vec::new(), batch_rows: preview_rows.unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS) }
    }

    /// The table that was opened for records of this stream.
    #[inline]
    pub(crate) fn of_record(&self, stream: &'static str) -> Option<Table> {
        self.buffers.iter().position(|buffer| buffer.record == Some(stream)).map(Table)
    }

    /// Opens a stream's table. A table that is open already is flushed and
    /// opened anew.
    pub(crate) fn open(
        &mut self,
        mut stream: Stream,
        record: Option<&'static str>,
        options: Open,
    ) -> Result<Table> {
        stream.name = options.name.unwrap_or(stream.name);
        let all = stream.fields.clone();
        let stream = choose(stream, options.fields)?;
        let mode = options.mode.unwrap_or_else(|| stream.default_mode());
        let table = self.buffers.iter().position(|buffer| buffer.name == stream.name).map(Table);
        if let Some(buffer) = table.and_then(|Table(index)| self.buffers.get_mut(index)) {
            buffer.flush()?;
            buffer.tell_absent();
        }
        let writer = host::open(&stream, mode)?;
        let columns = Columns::new(&all, |field| stream.fields.contains(field));
        let (batch_rows, reading) = (self.batch_rows, options.reading);
        let buffer = Buffer {
            batch_rows,
            name: stream.name,
            record,
            writer,
            columns,
            reading,
            objects: None,
            lines: Vec::new(),
        };
        match table {
            Some(Table(index)) => {
                if let Some(old) = self.buffers.get_mut(index) {
                    *old = buffer;
                }
                Ok(Table(index))
            }
            None => {
                self.buffers.push(buffer);
                Ok(Table(self.buffers.len() - 1))
            }
        }
    }

    #[inline]
    fn get(&mut self, table: Table) -> Result<&mut Buffer> {
        self.buffers.get_mut(table.0).ok_or_else(|| Error::internal("the table belongs to another run"))
    }

    #[inline]
    pub(crate) fn write(&mut self, table: Table, encode: impl Fn(&mut Row<'_>)) -> Result<()> {
        self.get(table)?.write(encode)
    }

    pub(crate) fn write_json(&mut self, table: Table, lines: &[u8]) -> Result<()> {
        self.get(table)?.write_json(lines)
    }

    pub(crate) fn copy_json(&mut self, table: Table, reader: impl Read) -> Result<u64> {
        self.get(table)?.copy_json(reader)
    }

    pub(crate) fn write_object(
        &mut self,
        table: Table,
        scanner: &mut Scanner<'_>,
        given: &[(&str, Cell<'_>)],
        alone: bool,
    ) -> Result<()> {
        self.get(table)?.write_object(scanner, given, alone)
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        self.buffers.iter_mut().try_for_each(Buffer::flush)
    }

    /// Says which columns stayed empty because no object had them.
    pub(crate) fn tell_absent(&self) {
        self.buffers.iter().for_each(Buffer::tell_absent);
    }
}

/// Keeps the chosen columns of a stream, in its order.
fn choose(mut stream: Stream, fields: Option<Vec<String>>) -> Result<Stream> {
    let Some(fields) = fields else { return Ok(stream) };
    let chosen = |name: &str| fields.iter().any(|field| field == name);
    for name in fields.iter().chain(&stream.primary_key) {
        if !stream.fields.iter().any(|field| field.name == *name) {
            return Err(Error::internal(format!("stream `{}` has no field `{name}`", stream.name)));
        }
        if !chosen(name) {
            return Err(Error::internal(format!("field `{name}` of the primary key must be written")));
        }
    }
    stream.fields.retain(|field| chosen(&field.name));
    stream.cursor_field = stream.cursor_field.filter(|name| chosen(name));
    stream.partition_field = stream.partition_field.filter(|name| chosen(name));
    Ok(stream)
}

impl Buffer {
    #[inline]
    fn write(&mut self, encode: impl Fn(&mut Row<'_>)) -> Result<()> {
        self.push(|columns| columns.push(&encode))
    }

    /// Takes the object that begins here; behind one that is `alone` nothing else
    /// may stand.
    fn write_object(
        &mut self,
        scanner: &mut Scanner<'_>,
        given: &[(&str, Cell<'_>)],
        alone: bool,
    ) -> Result<()> {
        let mut objects = match self.objects.take() {
            Some(objects) => objects,
            None => Box::new(
                Objects::new(self.columns.fields(), &self.reading).map_err(|error| self.in_stream(error))?,
            ),
        };
        let start = *scanner;
        let written = self.push(|columns| {
            *scanner = start;
            columns.push_slots(|slots| {
                objects.read(slots, scanner, given)?;
                if alone { Ok(scanner.end()?) } else { Ok(()) }
            })
        });
        self.objects = Some(objects);
        written
    }

    /// Appends a row, which may have to be appended again to start a new batch.
    #[inline]
    fn push(&mut self, mut append: impl FnMut(&mut Columns) -> Result<usize>) -> Result<()> {
        if !self.lines.is_empty() {
            self.flush()?;
        }
        let mut bytes = append(&mut self.columns).map_err(|error| self.in_stream(error))?;
        if bytes >= LARGE_ROW && self.columns.rows() > 1 {
            self.columns.pop(bytes);
            self.flush()?;
            bytes = append(&mut self.columns).map_err(|error| self.in_stream(error))?;
        }
        let full = self.columns.rows() >= self.batch_rows
            || self.columns.bytes() >= BATCH_BYTES
            || bytes >= LARGE_ROW;
        if full { self.flush() } else { Ok(()) }
    }

    /// A field that the source dropped must not become NULL in silence, and one
    /// that it added not be skipped in silence where columns were learned.
    fn tell_absent(&self) {
        let extras = self.objects.iter().flat_map(|objects| objects.extras());
        let extras: Vec<String> = extras.map(|name| format!("`{name}`")).collect();
        if !extras.is_empty() {
            log::warn!("stream `{}`: the table has no column for {}", self.name, extras.join(", "));
        }
        let absent = self.objects.iter().flat_map(|objects| objects.never_seen());
        let names: Vec<&str> = absent
            .filter_map(|column| self.columns.written(column))
            .map(|field| field.name.as_str())
            .collect();
        if !names.is_empty() {
            log::warn!(
                "stream `{}`: no object of the source had {}: there are only NULLs",
                self.name,
                names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            );
        }
    }

    /// Takes whole lines; the last one needs no line end.
    fn write_json(&mut self, mut lines: &[u8]) -> Result<()> {
        if self.columns.rows() > 0 {
            self.flush()?;
        }
        if self.lines.is_empty() {
            // What fills batches of its own is not copied together first.
            while lines.len() >= BATCH_BYTES {
                let (batch, rest) = lines.split_at(batch_end(lines));
                self.writer.write_json_lines(batch).map_err(|error| self.in_stream(error))?;
                lines = rest;
            }
        } else if self.lines.len() + lines.len() > BATCH_BYTES {
            self.flush()?;
            return self.write_json(lines);
        }
        self.lines.extend_from_slice(lines);
        if self.lines.last().is_some_and(|byte| *byte != b'\n') {
            self.lines.push(b'\n');
        }
        if self.batch_rows < BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    /// Takes lines from a reader until its end.
    fn copy_json(&mut self, mut reader: impl Read) -> Result<u64> {
        let mut chunk = Vec::with_capacity(2 * CHUNK);
        let mut total = 0;
        loop {
            let read = (&mut reader).take(CHUNK as u64).read_to_end(&mut chunk)?;
            total += read as u64;
            let whole = match read {
                0 => chunk.len(),
                _ => chunk.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1),
            };
            if let Some(lines) = chunk.get(..whole).filter(|lines| !lines.is_empty()) {
                self.write_json(lines)?;
            }
            if read == 0 {
                return Ok(total);
            }
            chunk.drain(..whole);
        }
    }

    fn flush(&mut self) -> Result<()> {
        if self.columns.rows() > 0 {
            let written = self.writer.write_columns(self.columns.rows(), &self.columns.views());
            self.columns.clear();
            written.map_err(|error| self.in_stream(error))?;
        }
        if !self.lines.is_empty() {
            let written = self.writer.write_json_lines(&self.lines);
            self.lines.clear();
            written.map_err(|error| self.in_stream(error))?;
        }
        Ok(())
    }

    #[cold]
    fn in_stream(&self, error: Error) -> Error {
        error.context(format_args!("stream `{}`", self.name))
    }
}

/// Where to cut lines so that a batch is full but not too full: after the last
/// line that fits, else after the first.
fn batch_end(lines: &[u8]) -> usize {
    let line_end = |byte: &u8| *byte == b'\n';
    let full = lines.get(..BATCH_BYTES).unwrap_or(lines);
    match full.iter().rposition(line_end) {
        Some(end) => end + 1,
        None => lines.iter().position(line_end).map_or(lines.len(), |end| end + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_their_ends() {
        assert_eq!(batch_end(b"a\nb"), 2);
        let mut long = vec![b'x'; BATCH_BYTES];
        assert_eq!(batch_end(&long), BATCH_BYTES);
        long.extend(b"y\nz");
        assert_eq!(batch_end(&long), BATCH_BYTES + 2);
        long[9] = b'\n';
        assert_eq!(batch_end(&long), 10);
    }
}
