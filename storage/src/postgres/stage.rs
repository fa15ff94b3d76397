//! Where a stream's rows wait for the commit: a buffer of rows in COPY's format,
//! and behind it a temporary table of the session, which is gone with it.
//!
//! Rows are copied as they come, in short transactions of their own, so that
//! nothing of the target is locked and nothing keeps vacuum back while a source
//! is slow.

use arrow_array::RecordBatch;
use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use tokio::task::JoinHandle;

use super::connection::{Server, Session};
use super::encode::{self, Rows};
use super::evolve::Ready;
use super::identifier::{quote, quote_all};
use super::trouble::{Trouble, say};
use super::types;
use crate::{DataType, StorageError, TableSchema, WriteMode};

/// How many bytes of a stream's rows are copied at once.
pub(super) const CHUNK: usize = 4 * 1024 * 1024;
/// How many bytes are handed to the connection at once.
const PIECE: usize = 64 * 1024;
/// From how many segments on finding them by an index is worth making one.
const INDEXED: usize = 8;

/// How often the columns of a stream may change in one commit: each time costs
/// memory here and a statement there.
const MAX_SEGMENTS: usize = 10_000;

/// Rows that follow each other and have the same columns.
struct Segment {
    /// Which of the stream's columns the rows have.
    present: Vec<bool>,
    /// The place of the first row, and of the one after the last.
    from: i64,
    until: i64,
}

/// The rows of a stream that are not in its table yet.
pub(super) struct Stage {
    /// The temporary table.
    name: String,
    created: bool,
    buffer: BytesMut,
    /// Rows that the run wrote before those of the buffer.
    copied: u64,
    /// Rows that the run wrote.
    pub(super) rows: u64,
    segments: Vec<Segment>,
}

impl Stage {
    pub(super) fn new(number: usize) -> Self {
        Self {
            name: format!("_ow_stage_{number}"),
            created: false,
            buffer: BytesMut::new(),
            copied: 0,
            rows: 0,
            segments: Vec::new(),
        }
    }

    /// Bytes that wait in memory.
    pub(super) fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Whether there are rows that are not in the stream's table.
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Forgets what the session had, which is gone.
    pub(super) fn forget(&mut self) {
        self.created = false;
        self.buffer.clear();
        self.segments.clear();
        self.copied = self.rows;
    }

    /// The rows are in the stream's table, and the staging table is dropped: the
    /// next rows make a new one.
    pub(super) fn applied(&mut self) {
        if !self.segments.is_empty() {
            self.segments.clear();
            self.created = false;
        }
    }

    /// Takes the rows of a batch from `start` on until a chunk is full; answers
    /// the first one that was not taken.
    pub(super) fn take(
        &mut self,
        table: &str,
        schema: &TableSchema,
        mode: WriteMode,
        batch: &RecordBatch,
        start: usize,
    ) -> Result<usize, Trouble> {
        let before = self.rows.saturating_sub(u64::try_from(start).unwrap_or_default());
        let rows = Rows::new(table, schema, before, batch)?;
        if self.buffer.is_empty() {
            encode::begin(&mut self.buffer);
        }
        let from = place(self.rows);
        let mut row = start;
        while row < batch.num_rows() && self.buffer.len() < CHUNK {
            rows.put(&mut self.buffer, row, place(self.rows))?;
            self.rows += 1;
            row += 1;
        }
        // Without a merge it is the same what a row lacks and what is null in it.
        let merges = mode != WriteMode::Append && !schema.primary_key.is_empty();
        self.extend(if merges { rows.present() } else { Vec::new() }, from);
        if self.segments.len() > MAX_SEGMENTS {
            return Err(Trouble::refused(format!(
                "the batches of table `{table}` change their columns more than {MAX_SEGMENTS} times in one commit; write every column, or commit more often"
            )));
        }
        Ok(row)
    }

    fn extend(&mut self, present: Vec<bool>, from: i64) {
        let until = place(self.rows);
        match self.segments.last_mut() {
            Some(last) if last.present == present => last.until = until,
            _ => self.segments.push(Segment { present, from, until }),
        }
    }

    /// Starts to copy what waits in memory; none if nothing does.
    pub(super) fn copy(
        &mut self,
        server: &mut Server,
        session: &Session,
        target: &Staged<'_>,
    ) -> Result<Option<Copying>, Trouble> {
        if self.buffer.is_empty() {
            return Ok(None);
        }
        if !self.created {
            server.wait(session.batch(&self.definition(target.schema)))?;
            self.created = true;
        }
        encode::end(&mut self.buffer);
        let rows = std::mem::take(&mut self.buffer).freeze();
        let sql = format!("COPY pg_temp.{} FROM STDIN (FORMAT binary)", quote(&self.name));
        let task = server.start(copy(session.clone(), sql, rows));
        let task = task.ok_or_else(|| Trouble::Lost("it was closed".to_owned()))?;
        let first = std::mem::replace(&mut self.copied, self.rows);
        Ok(Some(Copying { task, table: target.index, first }))
    }

    /// The statement that makes the staging table. Its columns are numbered, so
    /// that no name of a stream meets one of ours.
    fn definition(&self, schema: &TableSchema) -> String {
        let columns: Vec<_> = schema
            .fields
            .iter()
            .enumerate()
            .map(|(index, field)| format!(", c{index} {}", types::sql(field.data_type)))
            .collect();
        format!("CREATE TEMPORARY TABLE {} (n bigint{})", quote(&self.name), columns.concat())
    }

    /// The statements that bring the rows into the table, in their order, and
    /// drop the staging table.
    pub(super) fn statements<'a>(
        &'a self,
        target: &'a Staged<'a>,
        ready: &'a Ready,
    ) -> impl Iterator<Item = String> + 'a {
        let table = format!("pg_temp.{}", quote(&self.name));
        let stored = ready.stored.as_slice();
        let upsert = target.mode != WriteMode::Append && !target.schema.primary_key.is_empty();
        let indexed = upsert && self.segments.len() >= INDEXED;
        let index = indexed.then(|| format!("CREATE INDEX ON {table} (n)"));
        let whole = (!upsert).then(|| {
            // What a row lacks is null, whatever the rows beside it have.
            let all = vec![true; target.schema.fields.len()];
            target.insert(&table, stored, &all)
        });
        // Not `TRUNCATE`: so an index goes as well.
        let drop = format!("DROP TABLE {table}");
        let one = self.segments.len() == 1;
        let segments = self.segments.iter().filter(move |_| upsert).map(move |segment| {
            let part = format!(" WHERE n >= {} AND n < {}", segment.from, segment.until);
            let part = if one { String::new() } else { part };
            let free = one && ready.empty;
            let action = if free { String::new() } else { target.action(&segment.present) };
            target.upsert(&table, stored, &segment.present, &part, &action)
        });
        index.into_iter().chain(whole).chain(segments).chain([drop])
    }
}

fn place(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// A stream's table, as the staged rows see it.
pub(super) struct Staged<'a> {
    pub(super) index: usize,
    /// The table, as SQL takes it.
    pub(super) quoted: &'a str,
    pub(super) schema: &'a TableSchema,
    pub(super) mode: WriteMode,
}

impl Staged<'_> {
    /// The names of the columns that are there, and their values as the table
    /// stores them.
    fn columns(&self, stored: &[DataType], present: &[bool]) -> (String, String) {
        let mut names = Vec::new();
        let mut values = Vec::new();
        let columns = self.schema.fields.iter().zip(stored).zip(present).enumerate();
        for (index, ((field, to), _)) in columns.filter(|(_, (_, present))| **present) {
            names.push(quote(&field.name));
            values.push(types::conversion(&format!("c{index}"), field.data_type, *to));
        }
        (names.join(", "), values.join(", "))
    }

    fn insert(&self, from: &str, stored: &[DataType], present: &[bool]) -> String {
        let (names, values) = self.columns(stored, present);
        format!("INSERT INTO {} ({names}) SELECT {values} FROM {from}", self.quoted)
    }

    /// Inserts the last row of each key. The order of the keys makes two loads
    /// take locks in the same order.
    fn upsert(&self, from: &str, stored: &[DataType], present: &[bool], part: &str, action: &str) -> String {
        let (names, values) = self.columns(stored, present);
        let keys = self.schema.fields.iter().zip(stored).enumerate().filter_map(|(index, (field, to))| {
            let value = types::conversion(&format!("c{index}"), field.data_type, *to);
            // By bytes, which is faster than by the rules of a language.
            let value = if *to == DataType::Text { format!("{value} COLLATE \"C\"") } else { value };
            self.schema.primary_key.contains(&field.name).then_some(value)
        });
        let keys = keys.collect::<Vec<_>>().join(", ");
        format!(
            "INSERT INTO {} ({names}) SELECT DISTINCT ON ({keys}) {values} FROM {from}{part} ORDER BY {keys}, n DESC{action}",
            self.quoted
        )
    }

    /// What is done with a row whose key is there: the columns that the new row
    /// has are set. An empty table is spared the check, which was measured to
    /// take two fifths of the time.
    fn action(&self, present: &[bool]) -> String {
        let keys = &self.schema.primary_key;
        let updates: Vec<_> = self
            .schema
            .fields
            .iter()
            .zip(present)
            .filter(|(field, present)| **present && !keys.contains(&field.name))
            .map(|(field, _)| format!("{0} = excluded.{0}", quote(&field.name)))
            .collect();
        let keys = quote_all(keys.iter().map(String::as_str));
        if updates.is_empty() {
            return format!(" ON CONFLICT ({keys}) DO NOTHING");
        }
        format!(" ON CONFLICT ({keys}) DO UPDATE SET {}", updates.join(", "))
    }
}

/// Rows on their way to a staging table.
pub(super) struct Copying {
    task: JoinHandle<Result<(), Trouble>>,
    /// The table they are of.
    pub(super) table: usize,
    /// Rows of that table before them.
    first: u64,
}

impl Copying {
    /// Waits until the rows are there. `name` is the table that the user knows.
    pub(super) fn wait(self, server: &mut Server, name: &str, schema: &TableSchema) -> Result<(), Trouble> {
        let Self { task, first, .. } = self;
        let ended = server.wait(async { Ok(task.await) })?;
        let result = ended.unwrap_or_else(|_| Err(Trouble::Lost("its thread ended".to_owned())));
        result.map_err(|trouble| locate(trouble, name, schema, first))
    }
}

/// Sends the rows of one COPY.
async fn copy(session: Session, sql: String, mut rows: Bytes) -> Result<(), Trouble> {
    let request = async {
        let sink = session.client.copy_in::<_, Bytes>(&sql).await?;
        tokio::pin!(sink);
        while !rows.is_empty() {
            let piece = rows.split_to(PIECE.min(rows.len()));
            if sink.send(piece).await.is_err() {
                // The server has refused a row: it says why at the end.
                break;
            }
        }
        sink.finish().await
    };
    session.within(request).await.map(|_| ())
}

/// Names the row and the column of a value that the server refused.
fn locate(trouble: Trouble, table: &str, schema: &TableSchema, first: u64) -> Trouble {
    let Some(db) = trouble.db() else { return trouble };
    let data = ["22", "54", "23"].iter().any(|class| db.code().code().starts_with(class));
    let Some((row, column)) = db.where_().filter(|_| data).and_then(position) else { return trouble };
    let row = first.saturating_add(row);
    let field = column.and_then(|column| schema.fields.get(column));
    let subject = match field {
        Some(field) => format!("the value of `{}` in row {row} of table `{table}`", field.name),
        None => format!("row {row} of table `{table}`"),
    };
    Trouble::Storage(StorageError::Refused {
        message: format!("{subject} is not what PostgreSQL takes: {}", say(db)),
    })
}

/// The line and the number of the column in the context of an error of COPY,
/// such as `COPY _ow_stage_0, line 7, column c3`.
fn position(context: &str) -> Option<(u64, Option<usize>)> {
    let (_, after) = context.rsplit_once(", line ")?;
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    let column = after.get(digits.len()..).and_then(|rest| rest.strip_prefix(", column c"));
    let column = column.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
    Some((digits.parse().ok()?, column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_value_is_read_from_the_context() {
        assert_eq!(position("COPY _ow_stage_0, line 7, column c3"), Some((7, Some(3))));
        let nested = "JSON data, line 1: {\"a\": \\u0000...\nCOPY _ow_stage_0, line 12, column c0";
        assert_eq!(position(nested), Some((12, Some(0))));
        assert_eq!(position("COPY _ow_stage_0, line 7"), Some((7, None)));
        assert_eq!(position("SQL function \"f\""), None);
    }
}
