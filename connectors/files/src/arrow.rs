//! Values out of Arrow arrays.

use std::borrow::Cow;
use std::fmt::Write as _;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, PrimitiveArray};
use arrow_schema::{DataType as Arrow, TimeUnit};
use base64::Engine as _;
use ow_connector::prelude::*;

use crate::infer::Kind;
use crate::value::Value;

/// What a column of this type holds; none where no column can.
pub(crate) fn kind(data_type: &Arrow) -> Option<Kind> {
    Some(match data_type {
        Arrow::Null => Kind::Nothing,
        Arrow::Boolean => Kind::Boolean,
        Arrow::Int8 | Arrow::Int16 | Arrow::Int32 | Arrow::UInt8 | Arrow::UInt16 | Arrow::UInt32 => Kind::Int,
        Arrow::Int64 => Kind::LargeInt,
        Arrow::UInt64 => Kind::Decimal(20, 0),
        Arrow::Float16 | Arrow::Float32 | Arrow::Float64 => Kind::Float,
        Arrow::Decimal32(precision, scale)
        | Arrow::Decimal64(precision, scale)
        | Arrow::Decimal128(precision, scale)
        | Arrow::Decimal256(precision, scale) => match u8::try_from(*scale) {
            Ok(scale) if *precision <= 38 && scale <= *precision => Kind::Decimal(*precision, scale),
            _ => Kind::Text,
        },
        Arrow::Utf8 => Kind::Text,
        Arrow::Binary | Arrow::FixedSizeBinary(_) => Kind::Bytes,
        Arrow::Date32 => Kind::Date,
        Arrow::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond | TimeUnit::Nanosecond, _) => {
            Kind::Timestamp
        }
        Arrow::Time32(TimeUnit::Millisecond) | Arrow::Time64(_) => Kind::Text,
        Arrow::List(field) => kind(field.data_type()).map(|_| Kind::Json)?,
        Arrow::Struct(fields) => {
            fields.iter().try_for_each(|field| kind(field.data_type()).map(drop))?;
            Kind::Json
        }
        Arrow::Map(field, _) => kind(field.data_type()).map(|_| Kind::Json)?,
        _ => return None,
    })
}

/// Reads values of an array by their row.
pub(crate) type Reader<'a> = Box<dyn Fn(usize) -> Value<'a> + 'a>;

/// The reader of an array of a type that [`kind`] knows; others are all null.
pub(crate) fn reader<'a>(array: &'a dyn Array) -> Reader<'a> {
    let values = values(array);
    match array.null_count() {
        0 => values,
        _ => Box::new(move |row| if array.is_null(row) { Value::Null } else { values(row) }),
    }
}

/// The values where there are any.
fn values<'a>(array: &'a dyn Array) -> Reader<'a> {
    macro_rules! read {
        ($type:ty, $value:ident => $as:expr) => {{
            let array: &'a PrimitiveArray<$type> = array.as_primitive();
            Box::new(move |row| {
                let $value = array.value(row);
                $as
            })
        }};
        (text $type:ty) => {{
            let array: &'a PrimitiveArray<$type> = array.as_primitive();
            Box::new(move |row| Value::Number(Cow::Owned(array.value_as_string(row))))
        }};
    }
    match array.data_type() {
        Arrow::Boolean => {
            let array = array.as_boolean();
            Box::new(move |row| Value::Bool(array.value(row)))
        }
        Arrow::Int8 => read!(Int8Type, value => Value::Int(value.into())),
        Arrow::Int16 => read!(Int16Type, value => Value::Int(value.into())),
        Arrow::Int32 => read!(Int32Type, value => Value::Int(value.into())),
        Arrow::Int64 => read!(Int64Type, value => Value::Int(value)),
        Arrow::UInt8 => read!(UInt8Type, value => Value::Int(value.into())),
        Arrow::UInt16 => read!(UInt16Type, value => Value::Int(value.into())),
        Arrow::UInt32 => read!(UInt32Type, value => Value::Int(value.into())),
        Arrow::UInt64 => read!(UInt64Type, value => Value::Number(Cow::Owned(value.to_string()))),
        Arrow::Float16 => read!(Float16Type, value => Value::Float(value.to_f64())),
        Arrow::Float32 => read!(Float32Type, value => Value::Float(value.into())),
        Arrow::Float64 => read!(Float64Type, value => Value::Float(value)),
        Arrow::Decimal32(..) => read!(text Decimal32Type),
        Arrow::Decimal64(..) => read!(text Decimal64Type),
        Arrow::Decimal128(..) => read!(text Decimal128Type),
        Arrow::Decimal256(..) => read!(text Decimal256Type),
        Arrow::Utf8 => {
            let array = array.as_string::<i32>();
            Box::new(move |row| Value::Text(Cow::Borrowed(array.value(row))))
        }
        Arrow::Binary => {
            let array = array.as_binary::<i32>();
            Box::new(move |row| Value::Bytes(array.value(row)))
        }
        Arrow::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            Box::new(move |row| Value::Bytes(array.value(row)))
        }
        Arrow::Date32 => read!(Date32Type, value => date(value)),
        Arrow::Timestamp(TimeUnit::Millisecond, _) => {
            read!(TimestampMillisecondType, value => time(value.checked_mul(1000)))
        }
        Arrow::Timestamp(TimeUnit::Microsecond, _) => {
            read!(TimestampMicrosecondType, value => time(Some(value)))
        }
        Arrow::Timestamp(TimeUnit::Nanosecond, _) => {
            read!(TimestampNanosecondType, value => time(Some(value.div_euclid(1000))))
        }
        Arrow::Time32(_) => read!(Time32MillisecondType, value => of_day(i64::from(value) * 1_000_000)),
        Arrow::Time64(TimeUnit::Microsecond) => {
            read!(Time64MicrosecondType, value => of_day(value.saturating_mul(1000)))
        }
        Arrow::Time64(_) => read!(Time64NanosecondType, value => of_day(value)),
        Arrow::List(_) | Arrow::Struct(_) | Arrow::Map(..) => Box::new(move |row| {
            let mut json = String::new();
            write_json(&mut json, array, row);
            Value::Json(Cow::Owned(json))
        }),
        _ => Box::new(|_| Value::Null),
    }
}

/// A day; one beyond the years 1 to 9999 is a text that fits no date.
fn date(days: i32) -> Value<'static> {
    match Date::from_days(days) {
        date if date.days() == days => Value::Date(date),
        _ => Value::Text(Cow::Owned(format!("day {days} since 1970"))),
    }
}

/// A time, likewise.
fn time(micros: Option<i64>) -> Value<'static> {
    let known = micros.map(|micros| (micros, Timestamp::from_micros(micros)));
    match known {
        Some((micros, time)) if time.micros() == micros => Value::Timestamp(time),
        _ => Value::Text(Cow::Borrowed("a time beyond the years 1 to 9999")),
    }
}

/// A time of day as `HH:MM:SS`, with the digits that it has behind it.
fn of_day(nanos: i64) -> Value<'static> {
    let (seconds, fraction) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction != 0 {
        let _ = write!(text, ".{}", format!("{fraction:09}").trim_end_matches('0'));
    }
    Value::Text(Cow::Owned(text))
}

/// A value as JSON.
fn write_json(out: &mut String, array: &dyn Array, row: usize) {
    if array.is_null(row) {
        return out.push_str("null");
    }
    match array.data_type() {
        Arrow::List(_) => write_list(out, array.as_list::<i32>().value(row).as_ref()),
        Arrow::Struct(fields) => {
            let members = fields.iter().zip(array.as_struct().columns());
            write_object(out, members.map(|(field, column)| (field.name().as_str(), column.as_ref(), row)));
        }
        Arrow::Map(..) => write_map(out, &array.as_map().value(row)),
        _ => write_scalar(out, &values(array)(row)),
    }
}

fn write_list(out: &mut String, items: &dyn Array) {
    out.push('[');
    for item in 0..items.len() {
        out.push_str(if item == 0 { "" } else { "," });
        write_json(out, items, item);
    }
    out.push(']');
}

fn write_object<'n>(out: &mut String, members: impl Iterator<Item = (&'n str, &'n dyn Array, usize)>) {
    out.push('{');
    for (index, (name, array, row)) in members.enumerate() {
        out.push_str(if index == 0 { "" } else { "," });
        write_text(out, name);
        out.push(':');
        write_json(out, array, row);
    }
    out.push('}');
}

/// A map with text keys is an object; with others, a list of pairs.
fn write_map(out: &mut String, entries: &arrow_array::StructArray) {
    let [keys, values] = entries.columns() else { return out.push_str("null") };
    match keys.as_string_opt::<i32>() {
        Some(keys) => {
            let members =
                keys.iter().enumerate().map(|(row, key)| (key.unwrap_or_default(), values.as_ref(), row));
            write_object(out, members);
        }
        None => {
            out.push('[');
            for row in 0..entries.len() {
                out.push_str(if row == 0 { "[" } else { ",[" });
                write_json(out, keys.as_ref(), row);
                out.push(',');
                write_json(out, values.as_ref(), row);
                out.push(']');
            }
            out.push(']');
        }
    }
}

fn write_scalar(out: &mut String, value: &Value<'_>) {
    match value {
        Value::Absent | Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => drop(write!(out, "{value}")),
        Value::Float(value) if value.is_finite() => drop(write!(out, "{value}")),
        Value::Float(value) => write_text(out, &value.to_string()),
        Value::Number(text) | Value::Json(text) => out.push_str(text),
        Value::Text(text) => write_text(out, text),
        Value::Untyped(text) => write_text(out, text),
        Value::Bytes(bytes) => write_text(out, &base64::engine::general_purpose::STANDARD.encode(bytes)),
        Value::Date(date) => write_text(out, &date.to_string()),
        Value::Timestamp(time) => write_text(out, &time.to_string()),
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}
