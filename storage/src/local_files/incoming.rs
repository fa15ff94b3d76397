//! Rows as they come: checked, and in the types of the table.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};

use super::convert::{self, Fault};
use super::format::Format;
use super::shape::Shape;
use super::trouble::Trouble;
use crate::TableSchema;

/// Rows with some of the table's columns.
pub(super) struct Part {
    /// By the columns of the table; none: the rows say nothing about it.
    pub(super) columns: Vec<Option<ArrayRef>>,
    pub(super) rows: usize,
}

impl Part {
    /// The rows with all columns; null where they say nothing.
    pub(super) fn full(&self, shape: &Shape) -> Result<RecordBatch, Trouble> {
        let arrays = self.columns.iter().zip(&shape.columns).map(|(array, column)| match array {
            Some(array) => Arc::clone(array),
            None => new_null_array(&column.data_type.arrow(), self.rows),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(Arc::clone(&shape.arrow), arrays.collect(), &options)
            .map_err(Trouble::arrow)
    }
}

/// Where rows go, for the checks and their messages.
pub(super) struct Target<'a> {
    pub(super) schema: &'a TableSchema,
    pub(super) shape: &'a Shape,
    /// Rows that the run wrote to the table before these.
    pub(super) rows_before: u64,
}

impl Target<'_> {
    /// Checks rows and brings them into the table's types.
    pub(super) fn take(&self, rows: &RecordBatch) -> Result<Part, Trouble> {
        let schema = rows.schema_ref();
        let missing = self.schema.primary_key.iter().find(|key| schema.column_with_name(key).is_none());
        if let (Some(key), true) = (missing, rows.num_rows() > 0) {
            return Err(self.refused(0, &format!("lacks `{key}`, which is part of the primary key")));
        }
        let mut columns = vec![None; self.shape.columns.len()];
        for (declared, array) in schema.fields().iter().zip(rows.columns()) {
            let name = declared.name();
            let place = self.shape.position(name).and_then(|index| columns.get_mut(index));
            let Some(place) = place else {
                return Err(Trouble::failed(format!(
                    "table `{}` has no column `{name}`, which a batch has",
                    self.schema.name
                )));
            };
            *place = Some(self.column(name, array)?);
        }
        if let (Format::Csv, [column]) = (self.shape.format, columns.as_slice()) {
            self.check_empty_lines(column.as_ref(), rows.num_rows())?;
        }
        Ok(Part { columns, rows: rows.num_rows() })
    }

    fn column(&self, name: &str, array: &ArrayRef) -> Result<ArrayRef, Trouble> {
        let field = self.schema.fields.iter().find(|field| field.name == name);
        let stored = self.shape.columns.iter().find(|column| column.name == name);
        let (Some(field), Some(stored)) = (field, stored) else {
            return Err(Trouble::failed(format!("stream `{}` has no field `{name}`", self.schema.name)));
        };
        if *array.data_type() != field.data_type.arrow() {
            return Err(Trouble::failed(format!(
                "column `{name}` of table `{}` is {} and comes as {}",
                self.schema.name,
                field.data_type,
                array.data_type()
            )));
        }
        if let (Some(nulls), false) = (array.nulls().filter(|nulls| nulls.null_count() > 0), field.nullable) {
            let row = (0..nulls.len()).find(|row| nulls.is_null(*row)).unwrap_or_default();
            return Err(self.refused(row, &format!("has no value for `{name}`, which may not be null")));
        }
        let fault = |fault| self.fault(name, fault);
        convert::check(array.as_ref(), field.data_type, self.shape.format).map_err(fault)?;
        if self.shape.partition.as_deref() == Some(name) {
            convert::check_years(array.as_ref()).map_err(fault)?;
        }
        convert::widen(array, field.data_type, stored.data_type).map_err(fault)
    }

    /// A null alone in a line of CSV is an empty line, which readers skip.
    fn check_empty_lines(&self, column: Option<&ArrayRef>, rows: usize) -> Result<(), Trouble> {
        let null = match column {
            Some(array) => (0..array.len()).find(|row| array.is_null(*row)),
            None => (rows > 0).then_some(0),
        };
        null.map_or(Ok(()), |row| {
            Err(self.refused(
                row,
                "is a null alone, which CSV cannot tell from an empty line; set `Format` to `parquet` or `jsonl`",
            ))
        })
    }

    fn refused(&self, row: usize, what: &str) -> Trouble {
        Trouble::refused(format!("row {} of table `{}` {what}", self.number(row), self.schema.name))
    }

    fn fault(&self, column: &str, (row, what): Fault) -> Trouble {
        Trouble::refused(format!(
            "the value of `{column}` in row {} of table `{}` {what}",
            self.number(row),
            self.schema.name
        ))
    }

    /// The number of a row among all that the run wrote to the table.
    fn number(&self, row: usize) -> u64 {
        self.rows_before.saturating_add(u64::try_from(row).unwrap_or(u64::MAX)).saturating_add(1)
    }
}
