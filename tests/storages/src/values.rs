//! Values, streams and batches in a few words, and the text that
//! `read_table.py` prints for each value.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow_schema::Schema;
use ow_storage::{DataType, Field, TableSchema};

/// A value of a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// An `int64`, a decimal without its point, days of a date or microseconds
    /// of a timestamp.
    Number(i128),
    /// A `float64`.
    Float(f64),
    /// Text or JSON.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// A row: its values in the order of the columns.
pub type Row = Vec<Value>;
/// A row as it is read back: canonical text, or nothing for a null.
pub type Cells = Vec<Option<String>>;

impl From<()> for Value {
    fn from((): ()) -> Self {
        Self::Null
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i128> for Value {
    fn from(value: i128) -> Self {
        Self::Number(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Number(value.into())
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Number(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_owned())
    }
}

/// A row of anything that is a [`Value`]; `()` is null.
#[macro_export]
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$($crate::values::Value::from($value)),*] };
}

/// A row as it is read back; `()` is null.
#[macro_export]
macro_rules! cells {
    ($($value:expr),* $(,)?) => { vec![$($crate::values::cell($crate::values::Value::from($value))),*] };
}

/// What [`cells!`](crate::cells) makes of a value: text as it is, numbers in
/// digits.
#[must_use]
pub fn cell(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::Float(value) => Some(format!("{value:?}")),
        Value::Text(value) => Some(value),
        Value::Bytes(value) => Some(hex(&value)),
    }
}

/// A stream. Fields whose name starts with `*` are its primary key.
#[must_use]
pub fn stream(name: &str, fields: &[(&str, DataType)]) -> TableSchema {
    let field = |(name, data_type): &(&str, DataType)| Field {
        name: name.trim_start_matches('*').to_owned(),
        data_type: *data_type,
        nullable: !name.starts_with('*'),
        description: None,
    };
    let keys = fields.iter().filter_map(|(name, _)| name.strip_prefix('*'));
    TableSchema {
        name: name.to_owned(),
        description: None,
        fields: fields.iter().map(field).collect(),
        primary_key: keys.map(str::to_owned).collect(),
        cursor_field: None,
        partition_field: None,
    }
}

/// `name(id int64, name text)`, keyed by `id`.
#[must_use]
pub fn people(name: &str) -> TableSchema {
    stream(name, &[("*id", DataType::Int64), ("name", DataType::Text)])
}

/// `name(id int64, name text)` without a key.
#[must_use]
pub fn log(name: &str) -> TableSchema {
    stream(name, &[("id", DataType::Int64), ("name", DataType::Text)])
}

/// Rows with a value for every column of a stream.
#[must_use]
pub fn batch(schema: &TableSchema, rows: &[Row]) -> RecordBatch {
    let names: Vec<_> = schema.fields.iter().map(|field| field.name.as_str()).collect();
    batch_of(schema, &names, rows)
}

/// Rows with values for some columns of a stream.
#[must_use]
pub fn batch_of(schema: &TableSchema, columns: &[&str], rows: &[Row]) -> RecordBatch {
    let fields: Vec<_> = columns
        .iter()
        .map(|name| schema.fields.iter().find(|field| field.name == *name).expect("a field of the stream"))
        .collect();
    let arrays: Vec<_> = fields
        .iter()
        .enumerate()
        .map(|(at, field)| array(field.data_type, &rows.iter().map(|row| &row[at]).collect::<Vec<_>>()))
        .collect();
    // Nulls in columns that may have none are for the storage to find.
    let fields =
        fields.iter().map(|field| arrow_schema::Field::new(&field.name, field.data_type.arrow(), true));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), arrays).unwrap()
}

fn array(data_type: DataType, values: &[&Value]) -> ArrayRef {
    let number = |value: &&Value| match value {
        Value::Null => None,
        Value::Number(number) => Some(*number),
        other => panic!("{other:?} is no number"),
    };
    let narrow = |value: &&Value| number(value).map(|number| i64::try_from(number).unwrap());
    let text = |value: &&Value| match value {
        Value::Null => None,
        Value::Text(text) => Some(text.clone()),
        other => panic!("{other:?} is no text"),
    };
    match data_type {
        DataType::Boolean => Arc::new(BooleanArray::from_iter(values.iter().map(|value| match value {
            Value::Null => None,
            Value::Bool(value) => Some(*value),
            other => panic!("{other:?} is no truth value"),
        }))),
        DataType::Int64 => Arc::new(Int64Array::from_iter(values.iter().map(narrow))),
        DataType::Float64 => Arc::new(Float64Array::from_iter(values.iter().map(|value| match value {
            Value::Null => None,
            Value::Float(value) => Some(*value),
            other => panic!("{other:?} is no float"),
        }))),
        DataType::Decimal(precision, scale) => Arc::new(
            Decimal128Array::from_iter(values.iter().map(number))
                .with_precision_and_scale(precision, i8::try_from(scale).unwrap())
                .unwrap(),
        ),
        DataType::Text | DataType::Json => Arc::new(StringArray::from_iter(values.iter().map(text))),
        DataType::Bytes => Arc::new(BinaryArray::from_iter(values.iter().map(|value| match value {
            Value::Null => None,
            Value::Bytes(value) => Some(value.clone()),
            other => panic!("{other:?} is no bytes"),
        }))),
        DataType::Date => Arc::new(Date32Array::from_iter(
            values.iter().map(|value| number(value).map(|day| i32::try_from(day).unwrap())),
        )),
        DataType::Timestamp => {
            Arc::new(TimestampMicrosecondArray::from_iter(values.iter().map(narrow)).with_timezone("UTC"))
        }
    }
}

/// Bytes as `read_table.py` prints them.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 0001-01-01 in days since 1970.
pub const FIRST_DAY: i32 = -719_162;
/// 9999-12-31 in days since 1970.
pub const LAST_DAY: i32 = 2_932_896;
/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;
/// The first microsecond of year 1.
pub const FIRST_MOMENT: i64 = FIRST_DAY as i64 * DAY;
/// The last microsecond of year 9999.
pub const LAST_MOMENT: i64 = LAST_DAY as i64 * DAY + DAY - 1;
