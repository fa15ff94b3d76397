//! The table of what contracts refuse, and the rows on their way to it.

use std::sync::Arc;

use arrow_array::builder::{StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};

use super::json;
use super::sort::{Refusal, Sorted};
use crate::{DataType, Field, RunInfo, Storage, StorageError, TableId, TableSchema};

/// The table's name. Streams cannot have it: it starts with `_ow_`.
pub const NAME: &str = "_ow_quarantine";

/// Bytes of refused rows that wait in memory before the storage gets them: a
/// batch that is worth a write, and little beside what storages keep themselves.
pub const BUFFER: usize = 1024 * 1024;

/// The longest JSON of a row that is kept whole. Rows of an API are a few
/// kilobytes; every storage holds a text of this length.
pub const ROW_BYTES: usize = 1024 * 1024;

/// What is left of each text of a row that is longer.
const CUT_BYTES: usize = 1024;

/// Bytes of a refused row beside its JSON: the other columns.
const OVERHEAD: usize = 512;

/// The table's shape. Rows are added, never changed.
#[must_use]
pub fn table() -> TableSchema {
    let field = |name: &str, data_type, nullable, description: &str| Field {
        name: name.to_owned(),
        data_type,
        nullable,
        description: Some(description.to_owned()),
    };
    TableSchema {
        name: NAME.to_owned(),
        description: Some("What contracts refused.".to_owned()),
        fields: vec![
            field("refused_at", DataType::Timestamp, false, "When."),
            field("data_mart_id", DataType::Text, false, "The data mart."),
            field("run_id", DataType::Text, false, "The run."),
            field("stream", DataType::Text, false, "The stream."),
            field("refused", DataType::Text, false, "`row` if the row was left out, `value` if values were."),
            field("column_names", DataType::Json, true, "The columns at fault; null: the table."),
            field("reason", DataType::Text, false, "Why."),
            field("raw_row", DataType::Json, false, "The row as it came."),
        ],
        primary_key: Vec::new(),
        cursor_field: None,
        partition_field: None,
    }
}

/// Refused rows of a run on their way to the table.
pub(super) struct Quarantine {
    table: Option<TableId>,
    schema: TableSchema,
    data_mart_id: String,
    run_id: String,
    waiting: Waiting,
}

/// Rows that wait, column by column.
#[derive(Default)]
struct Waiting {
    refused_at: Vec<i64>,
    streams: StringBuilder,
    refused: StringBuilder,
    column_names: StringBuilder,
    reasons: StringBuilder,
    raw_rows: StringBuilder,
    bytes: usize,
}

impl Quarantine {
    pub(super) fn new(run: &RunInfo) -> Self {
        Self {
            table: None,
            schema: table(),
            data_mart_id: run.data_mart_id.clone(),
            run_id: run.run_id.clone(),
            waiting: Waiting::default(),
        }
    }

    /// Opens the table: a storage that keeps none says so before rows come.
    pub(super) fn open(&mut self, storage: &mut dyn Storage) -> Result<TableId, StorageError> {
        match self.table {
            Some(table) => Ok(table),
            None => Ok(*self.table.insert(storage.open_quarantine(&self.schema)?)),
        }
    }

    /// Takes what was refused of a batch.
    pub(super) fn take(
        &mut self,
        storage: &mut dyn Storage,
        schema: &TableSchema,
        rows: &RecordBatch,
        sorted: &Sorted<'_>,
    ) -> Result<(), StorageError> {
        let now = crate::text::now_micros();
        for refusal in sorted.refusals() {
            self.waiting.push(now, schema, rows, &refusal);
            if self.waiting.bytes >= BUFFER {
                self.flush(storage)?;
            }
        }
        Ok(())
    }

    /// Hands what waits to the storage.
    pub(super) fn flush(&mut self, storage: &mut dyn Storage) -> Result<(), StorageError> {
        if self.waiting.refused_at.is_empty() {
            return Ok(());
        }
        let table = self.open(storage)?;
        let waiting = std::mem::take(&mut self.waiting);
        let columns = waiting.columns(&self.data_mart_id, &self.run_id);
        let batch =
            RecordBatch::try_new(self.schema.arrow(), columns).map_err(|error| StorageError::Failed {
                message: format!("refused rows cannot be written to `{NAME}`: {error}"),
                retryable: false,
            })?;
        storage.write(table, &batch)
    }
}

impl Waiting {
    fn push(&mut self, now: i64, schema: &TableSchema, rows: &RecordBatch, refusal: &Refusal<'_>) {
        let (raw_row, cut) = json::row(schema, rows, refusal.row, ROW_BYTES, CUT_BYTES);
        let mut reason = refusal.reasons.join("; ");
        if cut {
            reason += &format!(
                "; the row is longer than {ROW_BYTES} bytes, so that its texts are kept up to {CUT_BYTES} bytes each"
            );
        }
        let names = (!refusal.columns.is_empty())
            .then(|| serde_json::to_string(&refusal.columns).unwrap_or_default());
        self.bytes += OVERHEAD + raw_row.len() + reason.len() + names.as_ref().map_or(0, String::len);
        self.refused_at.push(now);
        self.streams.append_value(&schema.name);
        self.refused.append_value(if refusal.whole { "row" } else { "value" });
        self.column_names.append_option(names);
        self.reasons.append_value(reason);
        self.raw_rows.append_value(raw_row);
    }

    /// The columns of [`table`].
    fn columns(mut self, data_mart_id: &str, run_id: &str) -> Vec<ArrayRef> {
        let rows = self.refused_at.len();
        let same = |text: &str| -> ArrayRef {
            let mut builder = StringBuilder::new();
            (0..rows).for_each(|_| builder.append_value(text));
            Arc::new(builder.finish())
        };
        let mut refused_at = TimestampMicrosecondBuilder::new().with_timezone("UTC");
        refused_at.append_slice(&self.refused_at);
        vec![
            Arc::new(refused_at.finish()),
            same(data_mart_id),
            same(run_id),
            Arc::new(self.streams.finish()),
            Arc::new(self.refused.finish()),
            Arc::new(self.column_names.finish()),
            Arc::new(self.reasons.finish()),
            Arc::new(self.raw_rows.finish()),
        ]
    }
}
