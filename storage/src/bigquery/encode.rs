//! Rows to Parquet files of a bounded size, checked and converted on the way.
//!
//! A staged file has the columns `c0`, `c1`, … of the stream's fields, whatever
//! these are called, `_ow_seq`, which counts the rows in the order in which they
//! came, and `_ow_set`, which says which columns the row's batch had.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray, new_null_array};
use arrow_schema as arrow;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::trouble::Trouble;
use crate::{DataType, Field, text};

/// Compressed bytes of a file: the memory of an upload, and what is sent again
/// when one fails. BigQuery takes five loads in ten seconds into one table; files
/// much smaller than this would wait for that.
pub(super) const PART: usize = 32 * 1024 * 1024;
/// Bytes that wait for the end of their row group.
const ROW_GROUP: usize = 8 * 1024 * 1024;
/// Bytes of a batch that are converted at a time.
const SLICE: usize = 4 * 1024 * 1024;
/// Rows that are converted at a time at least: a batch may be a part of a larger
/// one, whose memory it counts as its own.
const FEW: usize = 256;
/// The most bytes of a value; BigQuery's rows have 100 MB at most.
const MAX_VALUE: usize = 100_000_000;
/// Midnight, in microseconds a day.
const DAY: i64 = 86_400_000_000;
/// Names of the two columns of our own.
pub(super) const SEQ: &str = "_ow_seq";
pub(super) const SET: &str = "_ow_set";

/// A field on its way to a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) field: Field,
    /// The type that its values have in the file.
    pub(super) staged: DataType,
    pub(super) key: bool,
}

/// The staged name of a column.
pub(super) fn staged_name(index: usize) -> String {
    format!("c{index}")
}

/// Writes the rows of one table since its last commit.
pub(super) struct Encoder {
    table: String,
    columns: Vec<Column>,
    schema: arrow::SchemaRef,
    writer: Option<ArrowWriter<Vec<u8>>>,
    part: usize,
    /// Rows since the last commit.
    rows: i64,
    /// Which columns batches had: each different answer once.
    sets: Vec<Vec<bool>>,
}

impl Encoder {
    pub(super) fn new(table: &str, columns: Vec<Column>, part: usize) -> Self {
        let mut fields: Vec<_> = columns
            .iter()
            .enumerate()
            .map(|(index, column)| arrow::Field::new(staged_name(index), column.staged.arrow(), true))
            .collect();
        fields.push(arrow::Field::new(SEQ, arrow::DataType::Int64, true));
        fields.push(arrow::Field::new(SET, arrow::DataType::Int64, true));
        Self {
            table: table.to_owned(),
            columns,
            schema: Arc::new(arrow::Schema::new(fields)),
            writer: None,
            part,
            rows: 0,
            sets: Vec::new(),
        }
    }

    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub(super) fn sets(&self) -> &[Vec<bool>] {
        &self.sets
    }

    /// Bytes that wait in memory.
    pub(super) fn buffered(&self) -> usize {
        self.writer.as_ref().map_or(0, |writer| writer.bytes_written() + writer.memory_size())
    }

    /// Rows since the last commit.
    pub(super) fn rows(&self) -> i64 {
        self.rows
    }

    /// Starts anew after a commit.
    pub(super) fn reset(&mut self) {
        self.writer = None;
        self.rows = 0;
        self.sets.clear();
    }

    /// Takes a batch; answers the files that are full. `before` is how many rows
    /// the run wrote to the table before it.
    pub(super) fn write(&mut self, batch: &RecordBatch, before: u64) -> Result<Vec<Bytes>, Trouble> {
        let mut files = Vec::new();
        if batch.num_rows() == 0 {
            return Ok(files);
        }
        let set = self.set_of(batch, before)?;
        let rows = batch.num_rows();
        let bytes = batch.get_array_memory_size().max(1);
        let step = rows.saturating_mul(SLICE).checked_div(bytes).unwrap_or(rows).clamp(rows.min(FEW), rows);
        let mut offset = 0;
        while offset < rows {
            let slice = batch.slice(offset, step.min(rows - offset));
            let row = before.saturating_add(u64::try_from(offset).unwrap_or(u64::MAX));
            self.write_slice(&slice, set, row)?;
            offset += slice.num_rows();
            files.extend(self.full()?);
        }
        Ok(files)
    }

    /// The last file, if there are rows in it.
    pub(super) fn finish(&mut self) -> Result<Option<Bytes>, Trouble> {
        self.writer.take().map(close).transpose()
    }

    /// Which columns a batch has, as a number.
    fn set_of(&mut self, batch: &RecordBatch, before: u64) -> Result<i64, Trouble> {
        let schema = batch.schema_ref();
        let has = |column: &Column| schema.column_with_name(&column.field.name).is_some();
        if let Some(key) = self.columns.iter().find(|column| column.key && !has(column)) {
            return Err(Trouble::refused(format!(
                "row {} of table `{}` lacks `{}`, which is part of the primary key",
                before.saturating_add(1),
                self.table,
                key.field.name
            )));
        }
        let known = |name: &str| self.columns.iter().any(|column| column.field.name == name);
        if let Some(field) = schema.fields().iter().find(|field| !known(field.name())) {
            return Err(Trouble::internal(format!(
                "table `{}` has no column `{}`, which a batch has",
                self.table,
                field.name()
            )));
        }
        let set: Vec<_> = self.columns.iter().map(has).collect();
        let at = self.sets.iter().position(|known| *known == set).unwrap_or_else(|| {
            self.sets.push(set);
            self.sets.len() - 1
        });
        Ok(i64::try_from(at).unwrap_or(i64::MAX))
    }

    fn write_slice(&mut self, batch: &RecordBatch, set: i64, before: u64) -> Result<(), Trouble> {
        let rows = batch.num_rows();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len() + 2);
        for column in &self.columns {
            let array = match batch.column_by_name(&column.field.name) {
                None => new_null_array(&column.staged.arrow(), rows),
                Some(array) => convert(column, array).map_err(|fault| self.explain(column, fault, before))?,
            };
            arrays.push(array);
        }
        let count = i64::try_from(rows).unwrap_or(i64::MAX);
        arrays.push(Arc::new(Int64Array::from_iter_values(self.rows..self.rows.saturating_add(count))));
        arrays.push(Arc::new(Int64Array::from_value(set, rows)));
        self.rows = self.rows.saturating_add(count);
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays)
            .map_err(|error| Trouble::internal(format!("rows of table `{}`: {error}", self.table)))?;
        if self.writer.is_none() {
            self.writer = Some(writer(&self.schema)?);
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.write(&batch).map_err(not_encoded)?;
        if writer.in_progress_size() >= ROW_GROUP {
            writer.flush().map_err(not_encoded)?;
        }
        Ok(())
    }

    /// The file, once it is as large as it may be.
    fn full(&mut self) -> Result<Option<Bytes>, Trouble> {
        let large = self
            .writer
            .as_ref()
            .is_some_and(|writer| writer.bytes_written() + writer.in_progress_size() >= self.part);
        if large { self.finish() } else { Ok(None) }
    }

    fn explain(&self, column: &Column, fault: Fault, before: u64) -> Trouble {
        let name = &column.field.name;
        match fault {
            Fault::Type(given) => Trouble::internal(format!(
                "column `{name}` of table `{}` is {} and comes as {given}",
                self.table, column.field.data_type
            )),
            Fault::Null(row) => Trouble::refused(format!(
                "row {} of table `{}` has no value for `{name}`, which may not be null",
                number(before, row),
                self.table
            )),
            Fault::Value(row, what) => Trouble::refused(format!(
                "the value of `{name}` in row {} of table `{}` {what}",
                number(before, row),
                self.table
            )),
        }
    }
}

/// The number of a row among all that the run wrote to the table.
fn number(before: u64, row: usize) -> u64 {
    before.saturating_add(u64::try_from(row).unwrap_or(u64::MAX)).saturating_add(1)
}

fn writer(schema: &arrow::SchemaRef) -> Result<ArrowWriter<Vec<u8>>, Trouble> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()))
        .build();
    ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties)).map_err(not_encoded)
}

fn close(writer: ArrowWriter<Vec<u8>>) -> Result<Bytes, Trouble> {
    writer.into_inner().map(Bytes::from).map_err(not_encoded)
}

fn not_encoded(error: parquet::errors::ParquetError) -> Trouble {
    Trouble::internal(format!("rows cannot be written as Parquet: {error}"))
}

/// Why a value was not taken.
enum Fault {
    /// The array carries another type.
    Type(arrow::DataType),
    /// The row that has no value.
    Null(usize),
    /// The row, and what is wrong with its value.
    Value(usize, &'static str),
}

const OUT_OF_YEARS: &str = "is not in the years 1 to 9999";
const TOO_LONG: &str = "is larger than 100,000,000 bytes, the most that BigQuery holds";
const DIGITS: &str = "has more digits than its type allows";
const IS_NAN: &str = "is NaN, and a part of the primary key has to equal itself";

/// A column of a batch in the type of the file.
fn convert(column: &Column, array: &ArrayRef) -> Result<ArrayRef, Fault> {
    if *array.data_type() != column.field.data_type.arrow() {
        return Err(Fault::Type(array.data_type().clone()));
    }
    if let (Some(nulls), false) =
        (array.nulls().filter(|nulls| nulls.null_count() > 0), column.field.nullable)
    {
        let row = (0..nulls.len()).find(|row| nulls.is_null(*row)).unwrap_or_default();
        return Err(Fault::Null(row));
    }
    check(column, array)?;
    let type_fault = || Fault::Type(array.data_type().clone());
    match (column.field.data_type, column.staged) {
        (from, to) if from == to => Ok(Arc::clone(array)),
        (DataType::Json, DataType::Text) => Ok(Arc::clone(array)),
        (DataType::Date, DataType::Timestamp) => {
            let days = array.as_primitive_opt::<Date32Type>().ok_or_else(type_fault)?;
            let midnight: TimestampMicrosecondArray =
                days.iter().map(|day| day.and_then(|day| i64::from(day).checked_mul(DAY))).collect();
            Ok(Arc::new(midnight.with_timezone("UTC")))
        }
        (_, DataType::Text) => texts(column.field.data_type, array),
        _ => Err(type_fault()),
    }
}

/// Checks the values that BigQuery would not hold.
fn check(column: &Column, array: &ArrayRef) -> Result<(), Fault> {
    let type_fault = || Fault::Type(array.data_type().clone());
    let bad = |row: Option<usize>, what| row.map_or(Ok(()), |row| Err(Fault::Value(row, what)));
    let valid = |row: &usize| array.is_valid(*row);
    match column.field.data_type {
        DataType::Boolean | DataType::Int64 => Ok(()),
        DataType::Float64 => {
            let values = array.as_primitive_opt::<Float64Type>().ok_or_else(type_fault)?.values();
            let nan = |row: &usize| values.get(*row).is_some_and(|value| value.is_nan());
            if column.key { bad((0..values.len()).filter(valid).find(nan), IS_NAN) } else { Ok(()) }
        }
        DataType::Decimal(precision, _) => {
            let values = array.as_primitive_opt::<Decimal128Type>().ok_or_else(type_fault)?.values();
            let most = 10_u128.checked_pow(u32::from(precision)).unwrap_or(u128::MAX);
            let wide = |row: &usize| values.get(*row).is_some_and(|value| value.unsigned_abs() >= most);
            bad((0..values.len()).filter(valid).find(wide), DIGITS)
        }
        DataType::Text | DataType::Json => {
            let values = array.as_string_opt::<i32>().ok_or_else(type_fault)?;
            if values.values().len() <= MAX_VALUE {
                return Ok(());
            }
            bad((0..values.len()).find(|row| values.value(*row).len() > MAX_VALUE), TOO_LONG)
        }
        DataType::Bytes => {
            let values = array.as_binary_opt::<i32>().ok_or_else(type_fault)?;
            if values.values().len() <= MAX_VALUE {
                return Ok(());
            }
            bad((0..values.len()).find(|row| values.value(*row).len() > MAX_VALUE), TOO_LONG)
        }
        DataType::Date => {
            let values = array.as_primitive_opt::<Date32Type>().ok_or_else(type_fault)?.values();
            let out = |row: &usize| values.get(*row).is_some_and(|day| text::date(*day).is_none());
            bad((0..values.len()).filter(valid).find(out), OUT_OF_YEARS)
        }
        DataType::Timestamp => {
            let values =
                array.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(type_fault)?.values();
            let out = |row: &usize| values.get(*row).is_some_and(|micros| text::timestamp(*micros).is_none());
            bad((0..values.len()).filter(valid).find(out), OUT_OF_YEARS)
        }
    }
}

/// Values as text, for a column that is text.
fn texts(from: DataType, array: &ArrayRef) -> Result<ArrayRef, Fault> {
    let type_fault = || Fault::Type(array.data_type().clone());
    let mut out = StringBuilder::with_capacity(array.len(), array.len() * 12);
    let mut push = |row: usize, text: Option<text::Text>, fault: &'static str| match text {
        _ if array.is_null(row) => {
            out.append_null();
            Ok(())
        }
        Some(text) => {
            out.append_value(String::from_utf8_lossy(text.as_bytes()));
            Ok(())
        }
        None => Err(Fault::Value(row, fault)),
    };
    match from {
        DataType::Boolean => {
            let values = array.as_boolean_opt().ok_or_else(type_fault)?;
            let text = |value: bool| String::from_utf8_lossy(text::boolean(value));
            let texts: arrow_array::StringArray = values.iter().map(|value| value.map(text)).collect();
            return Ok(Arc::new(texts));
        }
        DataType::Int64 => {
            let values = array.as_primitive_opt::<Int64Type>().ok_or_else(type_fault)?.values();
            for (row, value) in values.iter().enumerate() {
                push(row, text::integer(*value, 0), DIGITS)?;
            }
        }
        DataType::Decimal(precision, scale) => {
            let values = array.as_primitive_opt::<Decimal128Type>().ok_or_else(type_fault)?.values();
            for (row, value) in values.iter().enumerate() {
                push(row, text::decimal(*value, precision, scale, 0), DIGITS)?;
            }
        }
        DataType::Date => {
            let values = array.as_primitive_opt::<Date32Type>().ok_or_else(type_fault)?.values();
            for (row, value) in values.iter().enumerate() {
                push(row, text::date(*value), OUT_OF_YEARS)?;
            }
        }
        DataType::Timestamp => {
            let values =
                array.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(type_fault)?.values();
            for (row, value) in values.iter().enumerate() {
                push(row, text::timestamp(*value), OUT_OF_YEARS)?;
            }
        }
        _ => return Err(type_fault()),
    }
    Ok(Arc::new(out.finish()))
}
