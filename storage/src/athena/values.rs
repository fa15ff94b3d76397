//! Values of a batch as they are staged: checked one by one, so that nothing
//! which Athena would read differently gets there.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, Int64Array, PrimitiveArray, RecordBatch,
    new_null_array,
};
use arrow_schema as arrow;

use super::identifier::fold;
use super::service::failed;
use super::sql::Staged;
use crate::{DataType, Field, StorageError, TableSchema, WriteMode, text};

const OUT_OF_YEARS: &str = "is not in the years 1 to 9999";

/// A table that rows are staged for.
pub(super) struct Target<'a> {
    pub(super) table: &'a str,
    pub(super) schema: &'a TableSchema,
    pub(super) columns: &'a [Staged],
    /// Rows that the run wrote to it before this batch.
    pub(super) rows_before: u64,
}

/// The Arrow schema of staged files.
pub(super) fn stage_schema(columns: &[Staged]) -> arrow::SchemaRef {
    let ours = ["ow_commit", "ow_row", "ow_set"]
        .into_iter()
        .map(|name| arrow::Field::new(name, arrow::DataType::Int64, false));
    let theirs = columns
        .iter()
        .enumerate()
        .map(|(place, column)| arrow::Field::new(format!("c{place}"), stage_type(column), true));
    Arc::new(arrow::Schema::new(ours.chain(theirs).collect::<Vec<_>>()))
}

fn stage_type(column: &Staged) -> arrow::DataType {
    match column.given {
        DataType::Timestamp => arrow::DataType::Utf8,
        DataType::Boolean if column.stored == DataType::Text => arrow::DataType::Utf8,
        given => given.arrow(),
    }
}

/// The places of the columns that a batch has.
pub(super) fn set(target: &Target<'_>, rows: &RecordBatch) -> Result<Vec<usize>, StorageError> {
    let mut places = Vec::with_capacity(rows.num_columns());
    for declared in rows.schema_ref().fields() {
        let is_it = |field: &Field| field.name == *declared.name();
        let place = target.schema.fields.iter().position(is_it).ok_or_else(|| {
            failed(
                format!("table `{}` has no column `{}`, which a batch has", target.table, declared.name()),
                false,
            )
        })?;
        places.push(place);
    }
    let missing = target.schema.primary_key.iter().find(|key| rows.column_by_name(key).is_none());
    if let (Some(key), true) = (missing, rows.num_rows() > 0) {
        return Err(target.refused(0, &format!("lacks `{key}`, which is part of the primary key")));
    }
    places.sort_unstable();
    Ok(places)
}

/// A batch as it is staged, as part of a commit and with the number of its set.
pub(super) fn stage(
    target: &Target<'_>,
    rows: &RecordBatch,
    commit: u64,
    set: usize,
) -> Result<RecordBatch, StorageError> {
    let count = rows.num_rows();
    let same = |value: i64| Arc::new(Int64Array::from(vec![value; count])) as ArrayRef;
    let first = i64::try_from(target.rows_before).unwrap_or(i64::MAX - 1) + 1;
    let numbers = Int64Array::from_iter_values((first..).take(count));
    let mut arrays = vec![
        same(i64::try_from(commit).unwrap_or(i64::MAX)),
        Arc::new(numbers) as ArrayRef,
        same(i64::try_from(set).unwrap_or(i64::MAX)),
    ];
    for (field, column) in target.schema.fields.iter().zip(target.columns) {
        arrays.push(match rows.column_by_name(&field.name) {
            Some(array) => target.stage(field, column, array)?,
            None => new_null_array(&stage_type(column), count),
        });
    }
    RecordBatch::try_new(stage_schema(target.columns), arrays)
        .map_err(|error| failed(format!("rows of table `{}` cannot be staged: {error}", target.table), false))
}

fn slice<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<&PrimitiveArray<T>> {
    array.as_any().downcast_ref()
}

impl Target<'_> {
    fn stage(&self, field: &Field, column: &Staged, array: &ArrayRef) -> Result<ArrayRef, StorageError> {
        if *array.data_type() != field.data_type.arrow() {
            return Err(failed(
                format!(
                    "column `{}` of table `{}` is {} and comes as {}",
                    field.name,
                    self.table,
                    field.data_type,
                    array.data_type()
                ),
                false,
            ));
        }
        if let (Some(nulls), false) = (array.nulls(), field.nullable)
            && let Some(row) = (0..nulls.len()).find(|row| nulls.is_null(*row))
        {
            return Err(
                self.refused(row, &format!("has no value for `{}`, which may not be null", field.name))
            );
        }
        match field.data_type {
            DataType::Timestamp => self.timestamps(field, column, array),
            DataType::Boolean if column.stored == DataType::Text => Ok(booleans(array)),
            DataType::Date => {
                self.check::<Date32Type>(field, array, OUT_OF_YEARS, |day| text::date(day).is_some())?;
                Ok(Arc::clone(array))
            }
            DataType::Decimal(precision, _) => {
                let limit = 10_u128.saturating_pow(u32::from(precision));
                let fits = |value: i128| value.unsigned_abs() < limit;
                self.check::<Decimal128Type>(field, array, "has more digits than its type allows", fits)?;
                Ok(Arc::clone(array))
            }
            DataType::Float64 if column.key => {
                let what = "is NaN, which is equal to nothing and so cannot be part of a key";
                self.check::<Float64Type>(field, array, what, |value| !value.is_nan())?;
                Ok(Arc::clone(array))
            }
            DataType::Int64 => {
                // A table's decimal may have fewer digits than an integer.
                let limit = match column.stored {
                    DataType::Decimal(precision, scale) => {
                        10_u128.saturating_pow(u32::from(precision.saturating_sub(scale)))
                    }
                    _ => u128::MAX,
                };
                let fits = |value: i64| u128::from(value.unsigned_abs()) < limit;
                self.check::<Int64Type>(field, array, "has more digits than the column holds", fits)?;
                Ok(Arc::clone(array))
            }
            _ => Ok(Arc::clone(array)),
        }
    }

    /// Checks every value of a column that is not null.
    fn check<T: ArrowPrimitiveType>(
        &self,
        field: &Field,
        array: &ArrayRef,
        what: &str,
        fits: impl Fn(T::Native) -> bool,
    ) -> Result<(), StorageError> {
        let Some(array) = slice::<T>(array.as_ref()) else { return Ok(()) };
        for (row, value) in array.iter().enumerate() {
            if value.is_some_and(|value| !fits(value)) {
                return Err(self.value_refused(field, row, what));
            }
        }
        Ok(())
    }

    /// Timestamps as text that keeps the microseconds: for a column of
    /// timestamps as Athena casts it, for one of text as it is to be read.
    fn timestamps(&self, field: &Field, column: &Staged, array: &ArrayRef) -> Result<ArrayRef, StorageError> {
        let mut out = StringBuilder::with_capacity(array.len(), array.len() * 27);
        let Some(array) = slice::<TimestampMicrosecondType>(array.as_ref()) else {
            return Err(failed("a timestamp comes as something else", false));
        };
        for (row, value) in array.iter().enumerate() {
            let Some(micros) = value else {
                out.append_null();
                continue;
            };
            let written = text::timestamp(micros);
            let bytes = written.as_ref().map(text::Text::as_bytes).unwrap_or_default();
            let said = std::str::from_utf8(bytes).unwrap_or_default();
            match said.trim_end_matches('Z').split_once('T') {
                None => return Err(self.value_refused(field, row, OUT_OF_YEARS)),
                Some(_) if column.stored == DataType::Text => out.append_value(said),
                Some((day, time)) => {
                    use std::fmt::Write;
                    let _ = write!(out, "{day} {time}");
                    out.append_value("");
                }
            }
        }
        Ok(Arc::new(out.finish()))
    }

    fn refused(&self, row: usize, what: &str) -> StorageError {
        StorageError::Refused {
            message: format!("row {} of table `{}` {what}", self.number(row), self.table),
        }
    }

    fn value_refused(&self, field: &Field, row: usize, what: &str) -> StorageError {
        StorageError::Refused {
            message: format!(
                "the value of `{}` in row {} of table `{}` {what}",
                field.name,
                self.number(row),
                self.table
            ),
        }
    }

    /// The number of a row among all that the run wrote to the table.
    fn number(&self, row: usize) -> u64 {
        self.rows_before.saturating_add(u64::try_from(row).unwrap_or(u64::MAX)).saturating_add(1)
    }
}

fn booleans(array: &ArrayRef) -> ArrayRef {
    let mut out = StringBuilder::with_capacity(array.len(), array.len() * 5);
    if let Some(array) = array.as_any().downcast_ref::<BooleanArray>() {
        for value in array {
            out.append_option(value.map(|value| if value { "true" } else { "false" }));
        }
    }
    Arc::new(out.finish())
}

/// How a table's columns are staged, and the column of each field.
pub(super) fn staged(schema: &TableSchema, columns: &[super::table::Column], mode: WriteMode) -> Vec<Staged> {
    let staged = |field: &Field| {
        let name = fold(&field.name);
        let stored = columns.iter().find(|column| column.name == name);
        Staged {
            stored: stored.map_or(field.data_type, |column| column.data_type),
            given: field.data_type,
            // Appended rows are kept, whatever their key.
            key: mode != WriteMode::Append && schema.primary_key.contains(&field.name),
            name,
        }
    };
    schema.fields.iter().map(staged).collect()
}
