//! Columns in Arrow's layout, from a guest: every length, offset and value is
//! checked, and the bytes become Arrow arrays without another copy.

use std::sync::Arc;

use arrow_array::builder::Decimal128Builder;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use super::bindings::ow::connector::storage::{Column, ColumnValues, VarValues};
use super::bindings::ow::connector::types::Error;
use super::refusal::invalid;
use super::value::{DAYS, MICROS, parse_decimal};
use crate::report::text::{cut, plain};
use crate::storage::{DataType, Field, TableSchema};

/// The record batch of a guest's columns.
pub(crate) fn record_batch(
    table: &TableSchema,
    rows: u32,
    columns: Vec<Column>,
) -> Result<RecordBatch, Error> {
    if columns.len() != table.fields.len() {
        return Err(invalid(format!(
            "a batch of the stream '{}' has {} columns, but the stream has {} fields",
            table.name,
            columns.len(),
            table.fields.len()
        )));
    }
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    let arrays = table.fields.iter().zip(columns).map(|(field, column)| {
        array(field, rows, column).map_err(|why| {
            invalid(format!("the column '{}' of the stream '{}' {why}", field.name, table.name))
        })
    });
    let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(table.arrow(), arrays, &options)
        .map_err(|error| invalid(format!("a batch of the stream '{}' cannot be used: {error}", table.name)))
}

/// The array of a column, or what is wrong with it.
fn array(field: &Field, rows: usize, column: Column) -> Result<ArrayRef, String> {
    let nulls = column.validity.map(|bits| bitmap("validity", bits, rows)).transpose()?.map(NullBuffer::new);
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    if let Some(nulls) = nulls.as_ref().filter(|_| !field.nullable) {
        let row = (0..rows).find(|row| nulls.is_null(*row)).unwrap_or_default();
        return Err(format!("is null in row {row}, but the field is not nullable"));
    }
    let mismatch = |found: &str| Err(format!("holds {found}, but the field is {}", field.data_type));
    match (column.values, field.data_type) {
        (ColumnValues::Booleans(bits), DataType::Boolean) => {
            Ok(Arc::new(BooleanArray::new(bitmap("values", bits, rows)?, nulls)))
        }
        (ColumnValues::Int64s(values), DataType::Int64) => {
            Ok(Arc::new(Int64Array::new(exactly(values, rows)?, nulls)))
        }
        (ColumnValues::Float64s(values), DataType::Float64) => {
            Ok(Arc::new(Float64Array::new(exactly(values, rows)?, nulls)))
        }
        (ColumnValues::Dates(values), DataType::Date) => {
            let values = exactly(values, rows)?;
            in_range(&values, nulls.as_ref(), &DAYS, "day")?;
            Ok(Arc::new(Date32Array::new(values, nulls)))
        }
        (ColumnValues::Timestamps(values), DataType::Timestamp) => {
            let values = exactly(values, rows)?;
            in_range(&values, nulls.as_ref(), &MICROS, "microsecond")?;
            Ok(Arc::new(TimestampMicrosecondArray::new(values, nulls).with_timezone("UTC")))
        }
        (ColumnValues::Binaries(values), DataType::Bytes) => {
            let (offsets, data) = offsets(values, rows)?;
            BinaryArray::try_new(offsets, data, nulls)
                .map(|array| Arc::new(array) as ArrayRef)
                .map_err(|e| e.to_string())
        }
        (ColumnValues::Texts(values), DataType::Text) => Ok(Arc::new(texts(values, rows, nulls)?)),
        (ColumnValues::Texts(values), DataType::Json) => {
            let texts = texts(values, rows, nulls)?;
            for (row, text) in texts.iter().enumerate() {
                if let Some(Err(error)) = text.map(serde_json::from_str::<serde::de::IgnoredAny>) {
                    return Err(format!("holds no JSON in row {row}: {error}"));
                }
            }
            Ok(Arc::new(texts))
        }
        (ColumnValues::Texts(values), DataType::Decimal(precision, scale)) => {
            let texts = texts(values, rows, nulls)?;
            decimals(&texts, precision, scale)
        }
        (ColumnValues::Booleans(_), _) => mismatch("booleans"),
        (ColumnValues::Int64s(_), _) => mismatch("64-bit integers"),
        (ColumnValues::Float64s(_), _) => mismatch("64-bit floating-point numbers"),
        (ColumnValues::Texts(_), _) => mismatch("texts"),
        (ColumnValues::Binaries(_), _) => mismatch("bytes"),
        (ColumnValues::Dates(_), _) => mismatch("dates"),
        (ColumnValues::Timestamps(_), _) => mismatch("timestamps"),
    }
}

/// A bitmap of exactly so many bits.
fn bitmap(what: &str, bits: Vec<u8>, rows: usize) -> Result<BooleanBuffer, String> {
    let bytes = rows.div_ceil(8);
    if bits.len() != bytes {
        return Err(format!("has {} bytes of {what}, but {rows} rows need {bytes}", bits.len()));
    }
    Ok(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows))
}

/// Exactly so many values.
fn exactly<T: arrow_buffer::ArrowNativeType>(values: Vec<T>, rows: usize) -> Result<ScalarBuffer<T>, String> {
    if values.len() != rows {
        return Err(format!("has {} values, but the batch has {rows} rows", values.len()));
    }
    Ok(ScalarBuffer::from(values))
}

fn in_range<T: PartialOrd + Copy + std::fmt::Display>(
    values: &[T],
    nulls: Option<&NullBuffer>,
    range: &std::ops::RangeInclusive<T>,
    unit: &str,
) -> Result<(), String> {
    let outside = |(row, value): &(usize, &T)| {
        !range.contains(*value) && nulls.is_none_or(|nulls| nulls.is_valid(*row))
    };
    match values.iter().enumerate().find(outside) {
        Some((row, value)) => {
            Err(format!("holds the {unit} {value} in row {row}, which is outside the years 1 to 9999"))
        }
        None => Ok(()),
    }
}

/// Offsets that ascend from 0 to the length of the data.
fn offsets(values: VarValues, rows: usize) -> Result<(OffsetBuffer<i32>, Buffer), String> {
    let VarValues { offsets, data } = values;
    if offsets.len() != rows + 1 {
        return Err(format!("has {} offsets, but {rows} rows need {}", offsets.len(), rows + 1));
    }
    if offsets.first() != Some(&0) {
        return Err("has offsets that do not start at 0".to_owned());
    }
    if let Some(row) = offsets.windows(2).position(|pair| matches!(pair, [start, end] if start > end)) {
        return Err(format!("has offsets that go back after row {row}"));
    }
    let end = offsets.last().copied().unwrap_or_default();
    if usize::try_from(end) != Ok(data.len()) {
        return Err(format!("has offsets that end at {end}, but {} bytes of data", data.len()));
    }
    // Ascending and at most this: none of them is negative as a signed number.
    if i32::try_from(end).is_err() {
        return Err(format!("has {end} bytes of data, which is more than a batch can hold"));
    }
    let offsets = ScalarBuffer::<i32>::from(Buffer::from_vec(offsets));
    Ok((OffsetBuffer::new(offsets), Buffer::from_vec(data)))
}

fn texts(values: VarValues, rows: usize, nulls: Option<NullBuffer>) -> Result<StringArray, String> {
    let (offsets, data) = offsets(values, rows)?;
    StringArray::try_new(offsets.clone(), data.clone(), nulls).map_err(|error| {
        let bad = offsets.windows(2).position(|pair| {
            let value = match pair {
                [start, end] => {
                    data.get(usize::try_from(*start).unwrap_or(0)..usize::try_from(*end).unwrap_or(0))
                }
                _ => None,
            };
            value.is_none_or(|value| std::str::from_utf8(value).is_err())
        });
        match bad {
            Some(row) => format!("holds text that is not UTF-8 in row {row}"),
            None => error.to_string(),
        }
    })
}

fn decimals(texts: &StringArray, precision: u8, scale: u8) -> Result<ArrayRef, String> {
    let mut builder = Decimal128Builder::with_capacity(texts.len());
    for (row, text) in texts.iter().enumerate() {
        let value = text.map(|text| {
            parse_decimal(text, precision, scale).ok_or_else(|| {
                format!(
                    "holds '{}' in row {row}, which is no decimal({precision}, {scale})",
                    plain(cut(text, 60))
                )
            })
        });
        builder.append_option(value.transpose()?);
    }
    let scale = i8::try_from(scale).unwrap_or(i8::MAX);
    let array =
        builder.finish().with_precision_and_scale(precision, scale).map_err(|error| error.to_string())?;
    Ok(Arc::new(array))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::DataType;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Decimal128Type;

    fn table(data_type: DataType, nullable: bool) -> TableSchema {
        TableSchema {
            name: "s".into(),
            description: None,
            fields: vec![Field { name: "c".into(), data_type, nullable, description: None }],
            primary_key: vec![],
            cursor_field: None,
            partition_field: None,
        }
    }

    fn batch(
        ty: DataType,
        rows: u32,
        validity: Option<Vec<u8>>,
        values: ColumnValues,
    ) -> Result<RecordBatch, String> {
        record_batch(&table(ty, true), rows, vec![Column { validity, values }]).map_err(|error| error.message)
    }

    fn var(values: &[&[u8]]) -> VarValues {
        let mut offsets = vec![0];
        let data = values.concat();
        for value in values {
            offsets.push(offsets.last().unwrap() + u32::try_from(value.len()).unwrap());
        }
        VarValues { offsets, data }
    }

    #[test]
    fn sound_columns_become_arrays() {
        let rows =
            batch(DataType::Int64, 2, Some(vec![0b10]), ColumnValues::Int64s(vec![7, i64::MAX])).unwrap();
        let column = rows.column(0).as_primitive::<arrow_array::types::Int64Type>();
        assert!(column.is_null(0));
        assert_eq!(column.value(1), i64::MAX);

        let rows =
            batch(DataType::Text, 3, None, ColumnValues::Texts(var(&[b"", "\u{1f600}".as_bytes(), b"x"])))
                .unwrap();
        assert_eq!(rows.column(0).as_string::<i32>().value(1), "\u{1f600}");

        let rows = batch(DataType::Decimal(5, 2), 1, None, ColumnValues::Texts(var(&[b"-12.5"]))).unwrap();
        assert_eq!(rows.column(0).as_primitive::<Decimal128Type>().value(0), -1250);

        let none = batch(DataType::Boolean, 0, None, ColumnValues::Booleans(vec![])).unwrap();
        assert_eq!(none.num_rows(), 0);
    }

    #[test]
    fn what_stands_in_a_null_does_not_matter() {
        let text = ColumnValues::Texts(var(&[b"not a number", b"1"]));
        let rows = batch(DataType::Decimal(5, 2), 2, Some(vec![0b10]), text).unwrap();
        assert!(rows.column(0).is_null(0));
        assert!(batch(DataType::Date, 1, Some(vec![0]), ColumnValues::Dates(vec![i32::MIN])).is_ok());
    }

    #[test]
    fn unsound_columns_are_refused_with_their_place() {
        let say = |result: Result<RecordBatch, String>| result.unwrap_err();
        insta::assert_snapshot!(say(batch(DataType::Int64, 3, None, ColumnValues::Int64s(vec![1, 2]))), @"the column 'c' of the stream 's' has 2 values, but the batch has 3 rows");
        insta::assert_snapshot!(say(batch(DataType::Int64, 1, None, ColumnValues::Float64s(vec![1.0]))), @"the column 'c' of the stream 's' holds 64-bit floating-point numbers, but the field is int64");
        insta::assert_snapshot!(say(batch(DataType::Boolean, 9, None, ColumnValues::Booleans(vec![1]))), @"the column 'c' of the stream 's' has 1 bytes of values, but 9 rows need 2");
        insta::assert_snapshot!(say(batch(DataType::Int64, 1, Some(vec![]), ColumnValues::Int64s(vec![1]))), @"the column 'c' of the stream 's' has 0 bytes of validity, but 1 rows need 1");
        insta::assert_snapshot!(say(batch(DataType::Date, 2, None, ColumnValues::Dates(vec![0, i32::MAX]))), @"the column 'c' of the stream 's' holds the day 2147483647 in row 1, which is outside the years 1 to 9999");
        insta::assert_snapshot!(say(batch(DataType::Text, 2, None, ColumnValues::Texts(var(&[b"ok", b"\xff"])))), @"the column 'c' of the stream 's' holds text that is not UTF-8 in row 1");
        insta::assert_snapshot!(say(batch(DataType::Json, 2, None, ColumnValues::Texts(var(&[b"{}", b"{"])))), @"the column 'c' of the stream 's' holds no JSON in row 1: EOF while parsing an object at line 1 column 1");
        insta::assert_snapshot!(say(batch(DataType::Decimal(3, 1), 1, None, ColumnValues::Texts(var(&[b"1.25"])))), @"the column 'c' of the stream 's' holds '1.25' in row 0, which is no decimal(3, 1)");
        let required = record_batch(
            &table(DataType::Int64, false),
            2,
            vec![Column { validity: Some(vec![0b01]), values: ColumnValues::Int64s(vec![1, 2]) }],
        );
        insta::assert_snapshot!(required.unwrap_err().message, @"the column 'c' of the stream 's' is null in row 1, but the field is not nullable");
        insta::assert_snapshot!(record_batch(&table(DataType::Int64, true), 0, vec![]).unwrap_err().message, @"a batch of the stream 's' has 0 columns, but the stream has 1 fields");
    }

    #[test]
    fn hostile_offsets_are_refused() {
        let say = |offsets: Vec<u32>, data: &[u8]| {
            let rows = u32::try_from(offsets.len().max(1) - 1).unwrap();
            batch(DataType::Text, rows, None, ColumnValues::Texts(VarValues { offsets, data: data.to_vec() }))
                .unwrap_err()
        };
        insta::assert_snapshot!(say(vec![], b""), @"the column 'c' of the stream 's' has 0 offsets, but 0 rows need 1");
        insta::assert_snapshot!(say(vec![1, 1], b"a"), @"the column 'c' of the stream 's' has offsets that do not start at 0");
        insta::assert_snapshot!(say(vec![0, 5, 2, 3], b"abc"), @"the column 'c' of the stream 's' has offsets that go back after row 1");
        insta::assert_snapshot!(say(vec![0, 4], b"abc"), @"the column 'c' of the stream 's' has offsets that end at 4, but 3 bytes of data");
        insta::assert_snapshot!(say(vec![0, u32::MAX], b"abc"), @"the column 'c' of the stream 's' has offsets that end at 4294967295, but 3 bytes of data");
        // A boundary inside a character.
        insta::assert_snapshot!(say(vec![0, 1, 2], "ü".as_bytes()), @"the column 'c' of the stream 's' holds text that is not UTF-8 in row 0");
    }
}
