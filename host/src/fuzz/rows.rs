//! Tables, and rows of them as plain values: what batches of both kinds are
//! compared with.

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};

use super::input::Input;
use crate::storage::{DataType, Field, TableSchema};

/// Days from 0001-01-01 and to 9999-12-31.
pub(super) const DAYS: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;
pub(super) const MICROS_A_DAY: i64 = 86_400_000_000;

/// A value that is not null.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Boolean(bool),
    Int64(i64),
    /// The bits of it: NaN is equal to itself.
    Float64(u64),
    /// Scaled by the field's scale.
    Decimal(i128),
    /// Of `text` and `json`.
    Text(String),
    Bytes(Vec<u8>),
    Date(i32),
    Timestamp(i64),
}

/// A table of one to six columns of any types.
pub(super) fn table(input: &mut Input<'_>) -> TableSchema {
    let fields = (0..=input.below(6)).map(|index| {
        let data_type = match input.below(9) {
            0 => DataType::Boolean,
            1 => DataType::Int64,
            2 => DataType::Float64,
            3 => {
                let precision = 1 + u8::try_from(input.below(38)).unwrap();
                DataType::Decimal(precision, u8::try_from(input.below(usize::from(precision) + 1)).unwrap())
            }
            4 => DataType::Text,
            5 => DataType::Bytes,
            6 => DataType::Date,
            7 => DataType::Timestamp,
            _ => DataType::Json,
        };
        let nullable = input.flag();
        Field { name: format!("f{index}"), data_type, nullable, description: None }
    });
    TableSchema {
        name: "s".to_owned(),
        description: None,
        fields: fields.collect(),
        primary_key: Vec::new(),
        cursor_field: None,
        partition_field: None,
    }
}

/// A value that the field may have; None is null.
pub(super) fn cell(input: &mut Input<'_>, field: &Field) -> Option<Cell> {
    if field.nullable && input.below(4) == 0 {
        return None;
    }
    Some(match field.data_type {
        DataType::Boolean => Cell::Boolean(input.flag()),
        DataType::Int64 => Cell::Int64(i64::from_le_bytes(input.array())),
        DataType::Float64 => Cell::Float64(u64::from_le_bytes(input.array())),
        DataType::Decimal(precision, _) => {
            let limit = 10_i128.pow(u32::from(precision));
            Cell::Decimal(i128::from_le_bytes(input.array()) % limit)
        }
        DataType::Text => Cell::Text(input.text(12)),
        DataType::Json => Cell::Text(json(input)),
        DataType::Bytes => Cell::Bytes(input.bytes(12).to_vec()),
        DataType::Date => {
            let days = i64::from(*DAYS.end()) - i64::from(*DAYS.start()) + 1;
            let day = i64::from(u32::from_le_bytes(input.array())) % days + i64::from(*DAYS.start());
            Cell::Date(i32::try_from(day).unwrap())
        }
        DataType::Timestamp => {
            let first = i64::from(*DAYS.start()) * MICROS_A_DAY;
            let span = (i64::from(*DAYS.end()) + 1) * MICROS_A_DAY - first;
            Cell::Timestamp(first + (i64::from_le_bytes(input.array()) & i64::MAX) % span)
        }
    })
}

fn json(input: &mut Input<'_>) -> String {
    match input.below(4) {
        0 => serde_json::Value::from(input.text(10)).to_string(),
        1 => format!("{{\"a\": [{}, true]}}", input.byte()),
        2 => i64::from_le_bytes(input.array()).to_string(),
        _ => "[]".to_owned(),
    }
}

/// The text of a decimal number.
pub(super) fn decimal_text(value: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// What stands in a batch; a column that it lacks is null.
pub(super) fn read(batch: &RecordBatch, field: &Field, row: usize) -> Option<Cell> {
    let array = batch.column_by_name(&field.name)?;
    if array.is_null(row) {
        return None;
    }
    Some(match field.data_type {
        DataType::Boolean => Cell::Boolean(array.as_boolean().value(row)),
        DataType::Int64 => Cell::Int64(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Cell::Float64(array.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Decimal(..) => Cell::Decimal(array.as_primitive::<Decimal128Type>().value(row)),
        DataType::Text | DataType::Json => Cell::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::Bytes => Cell::Bytes(array.as_binary::<i32>().value(row).to_owned()),
        DataType::Date => Cell::Date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp => Cell::Timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row)),
    })
}

/// Panics unless a batch is what a storage may rely on: columns and types of the
/// table, as many rows as each says, nothing null that may not be, values within
/// their types.
pub(super) fn assert_sound(table: &TableSchema, batch: &RecordBatch) {
    let schema = table.arrow();
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        assert_eq!(Some(field.as_ref()), schema.field_with_name(field.name()).ok());
        assert_eq!(array.len(), batch.num_rows());
        array.to_data().validate_full().expect("a valid array");
        assert!(field.is_nullable() || array.null_count() == 0);
    }
    for field in &table.fields {
        for row in 0..batch.num_rows() {
            match (read(batch, field, row), field.data_type) {
                (Some(Cell::Date(day)), _) => assert!(DAYS.contains(&day), "day {day}"),
                (Some(Cell::Timestamp(micros)), _) => {
                    let day = i32::try_from(micros.div_euclid(MICROS_A_DAY)).expect("a day");
                    assert!(DAYS.contains(&day), "microsecond {micros}");
                }
                (Some(Cell::Decimal(value)), DataType::Decimal(precision, _)) => {
                    assert!(value.unsigned_abs() < 10_u128.pow(u32::from(precision)), "{value}");
                }
                (Some(Cell::Text(text)), DataType::Json) => {
                    serde_json::from_str::<serde::de::IgnoredAny>(&text).expect("JSON");
                }
                _ => {}
            }
        }
    }
}
