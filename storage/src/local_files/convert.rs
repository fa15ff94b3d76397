//! Values of one type as those of a wider one, and what a format cannot hold.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, Decimal128Array, PrimitiveArray, StringArray,
    TimestampMicrosecondArray,
};

use super::format::Format;
use super::shape;
use crate::{DataType, text};

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
const OUT_OF_YEARS: &str = "is not in the years 1 to 9999";
const TOO_WIDE: &str = "has more digits than its type allows";

/// A row that cannot be taken, and why.
pub(super) type Fault = (usize, &'static str);

/// The values of an array of numbers.
pub(super) fn slice<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<&[T::Native]> {
    array.as_any().downcast_ref::<PrimitiveArray<T>>().map(|array| array.values().as_ref())
}

pub(super) fn at<T: Copy + Default>(values: &[T], row: usize) -> T {
    values.get(row).copied().unwrap_or_default()
}

/// The array in a type that is as wide or wider.
pub(super) fn widen(array: &ArrayRef, from: DataType, to: DataType) -> Result<ArrayRef, Fault> {
    use DataType::{Date, Decimal, Int64, Text, Timestamp};
    match (from, to) {
        (Int64, Decimal(precision, scale)) => {
            let values = slice::<Int64Type>(array).unwrap_or_default().iter().map(|v| i128::from(*v));
            decimals(array, values, precision, scale, scale)
        }
        (Decimal(_, old), Decimal(precision, scale)) if from != to => {
            let values = slice::<Decimal128Type>(array).unwrap_or_default().iter().copied();
            decimals(array, values, precision, scale, scale.saturating_sub(old))
        }
        (Date, Timestamp) => {
            let values = slice::<Date32Type>(array).unwrap_or_default();
            let values = values.iter().map(|day| i64::from(*day).saturating_mul(DAY)).collect::<Vec<_>>();
            let times = TimestampMicrosecondArray::new(values.into(), array.nulls().cloned());
            Ok(Arc::new(times.with_timezone("UTC")))
        }
        (from, Text) if !matches!(from, Text | DataType::Json) => texts(array, from),
        _ => Ok(Arc::clone(array)),
    }
}

fn decimals(
    array: &ArrayRef,
    values: impl Iterator<Item = i128>,
    precision: u8,
    scale: u8,
    zeros: u8,
) -> Result<ArrayRef, Fault> {
    let unit = 10_i128.checked_pow(u32::from(zeros)).unwrap_or(1);
    let mut wide = Vec::with_capacity(array.len());
    for (row, value) in values.enumerate() {
        match value.checked_mul(unit) {
            Some(value) => wide.push(value),
            None if array.is_null(row) => wide.push(0),
            None => return Err((row, TOO_WIDE)),
        }
    }
    let wide = Decimal128Array::new(wide.into(), array.nulls().cloned());
    let wide = wide.with_precision_and_scale(precision, i8::try_from(scale).unwrap_or(i8::MAX));
    wide.map(|wide| Arc::new(wide) as ArrayRef).map_err(|_| (0, TOO_WIDE))
}

fn texts(array: &ArrayRef, from: DataType) -> Result<ArrayRef, Fault> {
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 16);
    let booleans = array.as_any().downcast_ref::<BooleanArray>();
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
            continue;
        }
        let written = match from {
            DataType::Boolean => {
                let value = booleans.is_some_and(|values| values.value(row));
                builder.append_value(if value { "true" } else { "false" });
                continue;
            }
            DataType::Int64 => text::integer(at(slice::<Int64Type>(array).unwrap_or_default(), row), 0),
            DataType::Decimal(precision, scale) => text::decimal(
                at(slice::<Decimal128Type>(array).unwrap_or_default(), row),
                precision,
                scale,
                0,
            ),
            DataType::Date => text::date(at(slice::<Date32Type>(array).unwrap_or_default(), row)),
            DataType::Timestamp => {
                text::timestamp(at(slice::<TimestampMicrosecondType>(array).unwrap_or_default(), row))
            }
            _ => None,
        };
        let written = written.ok_or((row, OUT_OF_YEARS))?;
        builder.append_value(std::str::from_utf8(written.as_bytes()).map_err(|_| (row, OUT_OF_YEARS))?);
    }
    Ok(Arc::new(builder.finish()))
}

/// The first value of a column that a file of the format cannot hold.
pub(super) fn check(array: &dyn Array, data_type: DataType, format: Format) -> Result<(), Fault> {
    let first = |bad: &dyn Fn(usize) -> bool| (0..array.len()).find(|row| array.is_valid(*row) && bad(*row));
    match (data_type, format) {
        (DataType::Decimal(precision, _), _) => {
            let limit = 10_u128.checked_pow(u32::from(precision)).unwrap_or(u128::MAX);
            let values = slice::<Decimal128Type>(array).unwrap_or_default();
            fault(first(&|row| at(values, row).unsigned_abs() >= limit), TOO_WIDE)
        }
        (DataType::Float64, Format::Jsonl) => {
            let values = slice::<Float64Type>(array).unwrap_or_default();
            fault(
                first(&|row| !at(values, row).is_finite()),
                "is NaN or infinite, which JSON cannot hold; make it null, or set `Format` to `parquet`",
            )
        }
        (DataType::Date | DataType::Timestamp, Format::Csv | Format::Jsonl) => check_years(array),
        (DataType::Json, Format::Jsonl) => {
            let Some(values) = array.as_any().downcast_ref::<StringArray>() else { return Ok(()) };
            let bad = |row| serde_json::from_str::<serde::de::IgnoredAny>(values.value(row)).is_err();
            fault(first(&bad), "is no JSON; correct the connector, or set `Format` to `parquet`")
        }
        _ => Ok(()),
    }
}

/// The first date or timestamp that has no four digits for its year.
pub(super) fn check_years(array: &dyn Array) -> Result<(), Fault> {
    let days = shape::days(array).unwrap_or_default();
    let bad = |row: &usize| {
        let day = days.get(*row).copied().flatten();
        array.is_valid(*row) && day.and_then(text::date).is_none()
    };
    fault((0..array.len()).find(bad), OUT_OF_YEARS)
}

fn fault(row: Option<usize>, what: &'static str) -> Result<(), Fault> {
    row.map_or(Ok(()), |row| Err((row, what)))
}
