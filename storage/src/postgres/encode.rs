//! Arrow batches as rows of PostgreSQL's binary COPY format, without a copy of
//! any value in between.

use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrowPrimitiveType, BinaryArray, BooleanArray, PrimitiveArray, RecordBatch, StringArray,
};
use arrow_buffer::NullBuffer;
use bytes::{BufMut, BytesMut};

use super::trouble::Trouble;
use crate::{DataType, Field, TableSchema};

/// What a COPY starts with: signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
const TRAILER: i16 = -1;
/// The length of a null.
const NULL: i32 = -1;
/// 2000-01-01, in days since 1970-01-01: PostgreSQL counts from there.
const EPOCH: i32 = 10_957;
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// 0001-01-01 and 9999-12-31, in days since 1970-01-01.
const FIRST_DAY: i32 = -719_162;
const LAST_DAY: i32 = 2_932_896;
/// The most bytes of a value: the server takes a row of 1 GiB at most.
const MAX_VALUE: usize = 1_000_000_000;

/// Begins the rows of a COPY.
pub(super) fn begin(buffer: &mut BytesMut) {
    buffer.put_slice(HEADER);
}

/// Ends the rows of a COPY.
pub(super) fn end(buffer: &mut BytesMut) {
    buffer.put_i16(TRAILER);
}

/// The values of a column of a batch.
enum Values<'a> {
    Boolean(&'a BooleanArray),
    Int64(&'a [i64]),
    Float64(&'a [f64]),
    Decimal {
        values: &'a [i128],
        limit: u128,
        scale: u8,
    },
    /// Text, and whether a NUL is somewhere in it.
    Text(&'a StringArray, bool),
    Json(&'a StringArray),
    Bytes(&'a BinaryArray),
    Date(&'a [i32]),
    Timestamp(&'a [i64]),
}

struct Source<'a> {
    name: &'a str,
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

/// A batch, ready to be written: the stream's columns in their order, and none
/// for those that the batch lacks.
pub(super) struct Rows<'a> {
    sources: Vec<Option<Source<'a>>>,
    width: i16,
    table: &'a str,
    /// Rows that the run wrote to the table before this batch.
    before: u64,
}

impl<'a> Rows<'a> {
    /// Finds the batch's columns in the stream, and checks what can be checked
    /// for all rows at once.
    pub(super) fn new(
        table: &'a str,
        schema: &TableSchema,
        before: u64,
        batch: &'a RecordBatch,
    ) -> Result<Self, Trouble> {
        let mut rows = Self { sources: Vec::new(), width: 0, table, before };
        rows.sources.resize_with(schema.fields.len(), || None);
        rows.width = i16::try_from(schema.fields.len() + 1)
            .map_err(|_| Trouble::internal(format!("table `{table}` has too many columns")))?;
        let arrow = batch.schema_ref();
        let missing = schema.primary_key.iter().find(|key| arrow.column_with_name(key).is_none());
        if let (Some(key), true) = (missing, batch.num_rows() > 0) {
            return Err(rows.refused(0, &format!("lacks `{key}`, which is part of the primary key")));
        }
        for (declared, array) in arrow.fields().iter().zip(batch.columns()) {
            rows.add(schema, declared.name(), array.as_ref())?;
        }
        Ok(rows)
    }

    fn add(&mut self, schema: &TableSchema, name: &'a str, array: &'a dyn Array) -> Result<(), Trouble> {
        let found = schema.fields.iter().zip(&mut self.sources).find(|(field, _)| field.name == name);
        let Some((field, slot)) = found else {
            return Err(Trouble::internal(format!(
                "table `{}` has no column `{name}`, which a batch has",
                self.table
            )));
        };
        let Some(values) = values(array, field) else {
            return Err(Trouble::internal(format!(
                "column `{name}` of table `{}` is {} and comes as {}",
                self.table,
                field.data_type,
                array.data_type()
            )));
        };
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        *slot = Some(Source { name, nulls, values });
        if let (Some(nulls), false) = (nulls, field.nullable) {
            let row = (0..nulls.len()).find(|row| nulls.is_null(*row)).unwrap_or_default();
            return Err(self.refused(row, &format!("has no value for `{name}`, which may not be null")));
        }
        Ok(())
    }

    /// Which of the stream's columns the batch has.
    pub(super) fn present(&self) -> Vec<bool> {
        self.sources.iter().map(Option::is_some).collect()
    }

    /// Writes a row, with its place among all rows first.
    pub(super) fn put(&self, buffer: &mut BytesMut, row: usize, place: i64) -> Result<(), Trouble> {
        buffer.put_i16(self.width);
        buffer.put_i32(8);
        buffer.put_i64(place);
        for source in &self.sources {
            match source {
                Some(source) if source.nulls.is_none_or(|nulls| nulls.is_valid(row)) => {
                    source.values.put(buffer, row).map_err(|what| {
                        Trouble::refused(format!(
                            "the value of `{}` in row {} of table `{}` {what}",
                            source.name,
                            self.number(row),
                            self.table
                        ))
                    })?;
                }
                _ => buffer.put_i32(NULL),
            }
        }
        Ok(())
    }

    fn refused(&self, row: usize, what: &str) -> Trouble {
        Trouble::refused(format!("row {} of table `{}` {what}", self.number(row), self.table))
    }

    /// The number of a row among all that the run wrote to the table.
    fn number(&self, row: usize) -> u64 {
        self.before.saturating_add(u64::try_from(row).unwrap_or(u64::MAX)).saturating_add(1)
    }
}

fn slice<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<&[T::Native]> {
    array.as_any().downcast_ref::<PrimitiveArray<T>>().map(|array| array.values().as_ref())
}

/// The values of an array; none if it does not carry the field's type.
fn values<'a>(array: &'a dyn Array, field: &Field) -> Option<Values<'a>> {
    let any = array.as_any();
    Some(match field.data_type {
        DataType::Boolean => Values::Boolean(any.downcast_ref()?),
        DataType::Int64 => Values::Int64(slice::<Int64Type>(array)?),
        DataType::Float64 => Values::Float64(slice::<Float64Type>(array)?),
        DataType::Decimal(precision, scale) => {
            if *array.data_type() != field.data_type.arrow() {
                return None;
            }
            let limit = 10_u128.checked_pow(u32::from(precision))?;
            Values::Decimal { values: slice::<Decimal128Type>(array)?, limit, scale }
        }
        DataType::Text => {
            let texts: &StringArray = any.downcast_ref()?;
            Values::Text(texts, texts.value_data().contains(&0))
        }
        DataType::Json => Values::Json(any.downcast_ref()?),
        DataType::Bytes => Values::Bytes(any.downcast_ref()?),
        DataType::Date => Values::Date(slice::<Date32Type>(array)?),
        DataType::Timestamp => Values::Timestamp(slice::<TimestampMicrosecondType>(array)?),
    })
}

const OUT_OF_YEARS: &str = "is not in the years 1 to 9999";
const TOO_LARGE: &str = "is larger than 1,000,000,000 bytes, the most that PostgreSQL holds";

impl Values<'_> {
    /// Writes a value: its length and its bytes. An error is what is wrong.
    fn put(&self, buffer: &mut BytesMut, row: usize) -> Result<(), &'static str> {
        match self {
            Self::Boolean(array) => {
                buffer.put_i32(1);
                buffer.put_u8(u8::from(array.value(row)));
            }
            Self::Int64(values) => put_i64(buffer, at(values, row)),
            Self::Float64(values) => {
                buffer.put_i32(8);
                buffer.put_f64(at(values, row));
            }
            Self::Decimal { values, limit, scale } => {
                let value = at(values, row);
                if value.unsigned_abs() >= *limit {
                    return Err("has more digits than its type allows");
                }
                put_decimal(buffer, value, *scale);
            }
            Self::Text(array, has_nul) => {
                let value = array.value(row).as_bytes();
                if *has_nul && value.contains(&0) {
                    return Err(
                        "has a NUL character in it, which PostgreSQL cannot hold; remove it, or declare the field as bytes",
                    );
                }
                return put_bytes(buffer, value);
            }
            Self::Json(array) => {
                let value = array.value(row).as_bytes();
                buffer.put_i32(length(value.len().saturating_add(1))?);
                // The version of the format.
                buffer.put_u8(1);
                buffer.put_slice(value);
            }
            Self::Bytes(array) => return put_bytes(buffer, array.value(row)),
            Self::Date(values) => {
                let day = at(values, row);
                if !(FIRST_DAY..=LAST_DAY).contains(&day) {
                    return Err(OUT_OF_YEARS);
                }
                buffer.put_i32(4);
                buffer.put_i32(day - EPOCH);
            }
            Self::Timestamp(values) => {
                let micros = at(values, row);
                if !(i64::from(FIRST_DAY)..=i64::from(LAST_DAY)).contains(&micros.div_euclid(DAY)) {
                    return Err(OUT_OF_YEARS);
                }
                put_i64(buffer, micros - i64::from(EPOCH) * DAY);
            }
        }
        Ok(())
    }
}

fn at<T: Copy + Default>(values: &[T], row: usize) -> T {
    values.get(row).copied().unwrap_or_default()
}

fn put_i64(buffer: &mut BytesMut, value: i64) {
    buffer.put_i32(8);
    buffer.put_i64(value);
}

fn length(bytes: usize) -> Result<i32, &'static str> {
    if bytes > MAX_VALUE {
        return Err(TOO_LARGE);
    }
    i32::try_from(bytes).map_err(|_| TOO_LARGE)
}

fn put_bytes(buffer: &mut BytesMut, value: &[u8]) -> Result<(), &'static str> {
    buffer.put_i32(length(value.len())?);
    buffer.put_slice(value);
    Ok(())
}

/// Digits of base 10,000 on the stack, filled from the last one: 38 digits need
/// 10 of them on either side of the point.
struct Groups {
    groups: [u16; 24],
    start: usize,
}

impl Groups {
    fn push(&mut self, group: u128) {
        self.start = self.start.saturating_sub(1);
        if let Some(slot) = self.groups.get_mut(self.start) {
            *slot = u16::try_from(group).unwrap_or_default();
        }
    }

    fn len(&self) -> usize {
        self.groups.len() - self.start
    }
}

/// Writes a decimal as `numeric`: the number of digits of base 10,000, the
/// weight of the first one, the sign, the scale, the digits.
fn put_decimal(buffer: &mut BytesMut, value: i128, scale: u8) {
    let mut groups = Groups { groups: [0; 24], start: 24 };
    let unit = 10_u128.checked_pow(u32::from(scale)).unwrap_or(u128::MAX);
    let (whole, fraction) = divide(value.unsigned_abs(), unit);
    push_fraction(&mut groups, fraction, scale);
    let fractions = groups.len();
    let mut rest = whole;
    while rest > 0 {
        let (more, group) = divide(rest, 10_000);
        groups.push(group);
        rest = more;
    }
    let mut weight = i16::try_from(groups.len() - fractions).unwrap_or_default() - 1;
    let mut digits = groups.groups.get(groups.start..).unwrap_or_default();
    while let [0, more @ ..] = digits {
        digits = more;
        weight -= 1;
    }
    while let [more @ .., 0] = digits {
        digits = more;
    }
    if digits.is_empty() {
        weight = 0;
    }
    let count = i16::try_from(digits.len()).unwrap_or_default();
    buffer.put_i32(8 + 2 * i32::from(count));
    buffer.put_i16(count);
    buffer.put_i16(weight);
    buffer.put_u16(if value < 0 { 0x4000 } else { 0 });
    buffer.put_i16(i16::from(scale));
    digits.iter().for_each(|digit| buffer.put_u16(*digit));
}

/// The digits after the point: the last group is filled up with zeros.
fn push_fraction(groups: &mut Groups, mut fraction: u128, scale: u8) {
    let odd = u32::from(scale % 4);
    if odd > 0 {
        let (rest, low) = divide(fraction, 10_u128.pow(odd));
        groups.push(low * 10_u128.pow(4 - odd));
        fraction = rest;
    }
    for _ in 0..scale / 4 {
        let (rest, group) = divide(fraction, 10_000);
        groups.push(group);
        fraction = rest;
    }
}

/// Quotient and remainder; 64 bits divide much faster, and most decimals are
/// small.
fn divide(value: u128, by: u128) -> (u128, u128) {
    match (u64::try_from(value), u64::try_from(by)) {
        (Ok(value), Ok(by)) if by > 0 => (u128::from(value / by), u128::from(value % by)),
        _ => (value / by.max(1), value % by.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of a written `numeric`.
    fn numeric(value: i128, scale: u8) -> (i16, u16, i16, Vec<u16>) {
        let mut buffer = BytesMut::new();
        put_decimal(&mut buffer, value, scale);
        let words: Vec<u16> =
            buffer[4..].chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        assert_eq!(usize::from(words[0]), words.len() - 4);
        (words[1].cast_signed(), words[2], words[3].cast_signed(), words[4..].to_vec())
    }

    #[test]
    fn decimals_are_written_in_base_10000() {
        assert_eq!(numeric(0, 2), (0, 0, 2, vec![]));
        assert_eq!(numeric(-1250, 2), (0, 0x4000, 2, vec![12, 5000]));
        assert_eq!(numeric(1_0000_0000, 0), (2, 0, 0, vec![1]));
        assert_eq!(numeric(5, 6), (-2, 0, 6, vec![500]));
        let nines = 10_i128.pow(38) - 1;
        let (weight, sign, scale, digits) = numeric(-nines, 38);
        assert_eq!((weight, sign, scale, digits.len(), digits[9]), (-1, 0x4000, 38, 10, 9900));
        let (weight, _, _, digits) = numeric(nines, 0);
        assert_eq!((weight, digits.len(), digits[0]), (9, 10, 99));
        let (weight, _, _, digits) = numeric(nines, 19);
        assert_eq!((weight, digits.len(), digits[0], digits[9]), (4, 10, 999, 9990));
    }
}
