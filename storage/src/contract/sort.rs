//! The rows of a batch into those that are written and those that are refused.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_buffer::BooleanBufferBuilder;
use arrow_schema::{ArrowError, Field, Schema};
use arrow_select::filter::filter_record_batch;

use super::Refused;
use super::convert::convert;
use super::plan::{Change, Plan};
use crate::{StorageError, TableSchema};

/// A batch after its contract.
pub(super) struct Sorted<'a> {
    /// What is written; none if that is nothing.
    pub(super) kept: Option<RecordBatch>,
    /// How much is refused.
    pub(super) count: Refused,
    plan: &'a Plan,
    columns: Vec<Column<'a>>,
    rows: usize,
}

/// A row of which something is refused.
pub(super) struct Refusal<'a> {
    /// Its place in the batch.
    pub(super) row: usize,
    /// Whether the row is left out, rather than values of it.
    pub(super) whole: bool,
    /// The columns at fault; none: the table.
    pub(super) columns: Vec<&'a str>,
    /// Why.
    pub(super) reasons: Vec<&'a str>,
}

/// A column of the batch of which something may be refused.
struct Column<'a> {
    change: &'a Change,
    values: ArrayRef,
    /// The values in the table's type; none if the table has no such column.
    converted: Option<ArrayRef>,
}

impl Column<'_> {
    fn refuses(&self, row: usize) -> bool {
        self.values.is_valid(row) && self.converted.as_ref().is_none_or(|converted| converted.is_null(row))
    }
}

/// Applies a plan to rows of its stream.
pub(super) fn sort<'a>(
    schema: &TableSchema,
    plan: &'a Plan,
    rows: &RecordBatch,
) -> Result<Sorted<'a>, StorageError> {
    let columns = plan.changes.iter().filter_map(|change| column(change, rows)).collect();
    let mut sorted = Sorted { kept: None, count: Refused::default(), plan, columns, rows: rows.num_rows() };
    let stays = sorted.judge();
    if plan.table.is_some() {
        let kept = sorted.keep(rows, stays).map_err(|error| StorageError::Failed {
            message: format!("a batch of stream `{}` cannot be sorted: {error}", schema.name),
            retryable: false,
        })?;
        sorted.kept = Some(kept).filter(|kept| kept.num_rows() > 0);
    }
    Ok(sorted)
}

fn column<'a>(change: &'a Change, rows: &RecordBatch) -> Option<Column<'a>> {
    let values = rows.column_by_name(&change.field.name)?;
    let converted = change.stored.map(|stored| convert(values, change.field.data_type, stored));
    Some(Column { change, values: Arc::clone(values), converted })
}

impl<'a> Sorted<'a> {
    /// The rows of which something is refused, one after the other: there may be
    /// many.
    pub(super) fn refusals(&self) -> impl Iterator<Item = Refusal<'a>> {
        (0..self.rows).filter_map(|row| self.refusal(row))
    }

    fn refusal(&self, row: usize) -> Option<Refusal<'a>> {
        if self.plan.table.is_none() {
            let reasons = vec![self.plan.no_table.as_str()];
            return Some(Refusal { row, whole: true, columns: Vec::new(), reasons });
        }
        let mut refusal = Refusal { row, whole: false, columns: Vec::new(), reasons: Vec::new() };
        for column in self.columns.iter().filter(|column| column.refuses(row)) {
            refusal.columns.push(&column.change.field.name);
            refusal.reasons.push(&column.change.reason);
            refusal.whole |= column.change.with_row;
        }
        (!refusal.columns.is_empty()).then_some(refusal)
    }

    /// Counts what is refused, and says which rows stay.
    fn judge(&mut self) -> BooleanArray {
        let mut stays = BooleanBufferBuilder::new(self.rows);
        for row in 0..self.rows {
            let (mut whole, mut values) = (self.plan.table.is_none(), 0);
            for column in self.columns.iter().filter(|column| column.refuses(row)) {
                whole |= column.change.with_row;
                values += 1;
            }
            stays.append(!whole);
            if whole {
                self.count.rows += 1;
            } else {
                self.count.values += values;
            }
        }
        BooleanArray::new(stays.finish(), None)
    }

    /// The rows that stay, without the columns that the table does not have and
    /// with the others in the table's types.
    fn keep(&self, rows: &RecordBatch, stays: BooleanArray) -> Result<RecordBatch, ArrowError> {
        let (mut fields, mut arrays) = (Vec::new(), Vec::new());
        for (field, array) in rows.schema_ref().fields().iter().zip(rows.columns()) {
            match self.columns.iter().find(|column| column.change.field.name == *field.name()) {
                None => {
                    fields.push(Arc::clone(field));
                    arrays.push(Arc::clone(array));
                }
                Some(Column { converted: Some(converted), .. }) => {
                    fields.push(Arc::new(Field::new(field.name(), converted.data_type().clone(), true)));
                    arrays.push(Arc::clone(converted));
                }
                Some(_) => {}
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?;
        if self.count.rows == 0 { Ok(batch) } else { filter_record_batch(&batch, &stays) }
    }
}
