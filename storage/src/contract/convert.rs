//! Values into a type that does not hold every value of theirs: those that stay
//! the same are converted, the others become null.
//!
//! | from | to | stays the same |
//! |---|---|---|
//! | `int64` | `decimal` | what it has room for |
//! | `decimal` | `int64`, `decimal` | what loses no digit |
//! | `int64` | `float64` | up to 2^53 either way |
//! | `float64` | `int64` | whole numbers in its range, but -0 |
//! | `timestamp` | `date` | midnight |
//!
//! Nothing else does: the text `12` is not the number 12.

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray, new_null_array};

use crate::DataType;

/// Up to here every whole number is a `float64`.
const FLOAT_WHOLE: u64 = 1 << 53;
/// 2^63: the first whole number beyond `int64`.
const INT64_END: f64 = 9_223_372_036_854_775_808.0;
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// The values in another type; null where one would not be the same.
pub(super) fn convert(array: &ArrayRef, from: DataType, to: DataType) -> ArrayRef {
    let converted = match (from, to) {
        (DataType::Int64, DataType::Decimal(precision, scale)) => {
            each::<Int64Type, Decimal128Type>(array, to, |value| rescale(value.into(), 0, precision, scale))
        }
        (DataType::Decimal(_, scale), DataType::Int64) => {
            each::<Decimal128Type, Int64Type>(array, to, |value| {
                rescale(value, scale, 38, 0).and_then(|value| i64::try_from(value).ok())
            })
        }
        (DataType::Decimal(_, before), DataType::Decimal(precision, scale)) => {
            each::<Decimal128Type, Decimal128Type>(array, to, |value| {
                rescale(value, before, precision, scale)
            })
        }
        (DataType::Int64, DataType::Float64) => each::<Int64Type, Float64Type>(array, to, to_float),
        (DataType::Float64, DataType::Int64) => each::<Float64Type, Int64Type>(array, to, to_whole),
        (DataType::Timestamp, DataType::Date) => {
            each::<TimestampMicrosecondType, Date32Type>(array, to, to_day)
        }
        _ => None,
    };
    converted.unwrap_or_else(|| new_null_array(&to.arrow(), array.len()))
}

/// Converts value by value; none if the array does not carry the type.
fn each<From: ArrowPrimitiveType, To: ArrowPrimitiveType>(
    array: &ArrayRef,
    to: DataType,
    convert: impl Fn(From::Native) -> Option<To::Native>,
) -> Option<ArrayRef> {
    let array = array.as_any().downcast_ref::<PrimitiveArray<From>>()?;
    let converted: PrimitiveArray<To> = array.iter().map(|value| value.and_then(&convert)).collect();
    Some(Arc::new(converted.with_data_type(to.arrow())))
}

/// A decimal with another scale; none if that loses digits or has too many.
fn rescale(value: i128, from: u8, precision: u8, to: u8) -> Option<i128> {
    let factor = 10_i128.checked_pow(u32::from(from.abs_diff(to)))?;
    let scaled = if to >= from {
        value.checked_mul(factor)?
    } else {
        Some(value / factor).filter(|_| value % factor == 0)?
    };
    let limit = 10_u128.checked_pow(u32::from(precision))?;
    (scaled.unsigned_abs() < limit).then_some(scaled)
}

fn to_float(value: i64) -> Option<f64> {
    (value.unsigned_abs() <= FLOAT_WHOLE).then_some(value as f64)
}

fn to_whole(value: f64) -> Option<i64> {
    let fits = value.fract() == 0.0 && (-INT64_END..INT64_END).contains(&value);
    (fits && !(value == 0.0 && value.is_sign_negative())).then_some(value as i64)
}

fn to_day(micros: i64) -> Option<i32> {
    if micros % DAY != 0 {
        return None;
    }
    i32::try_from(micros / DAY).ok()
}
