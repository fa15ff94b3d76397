//! JSON lines from a guest, decoded straight into Arrow columns: one pass, no
//! tree, one error with its line.
//!
//! Under `merge` a key that an object does not have keeps its value in the
//! table. A record batch says that by lacking the column, so that consecutive
//! objects with the same keys make a batch.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use base64::Engine as _;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::bindings::ow::connector::types::Error;
use super::refusal::{invalid, limit};
use super::value::{MICROS, parse_date, parse_decimal, parse_timestamp};
use crate::report::text::{cut, plain};
use crate::storage::{DataType, TableSchema, WriteMode};

/// What a batch's columns may take in the host: absent keys take a place too, so
/// that a few bytes of JSON could become gigabytes.
const MAX_BYTES: usize = 256 * 1024 * 1024;
/// What a value takes at least, and what a column of a new record batch takes.
const VALUE_BYTES: usize = 16;
const COLUMN_BYTES: usize = 256;

/// The record batches of a guest's JSON lines.
pub(crate) fn record_batches(
    table: &TableSchema,
    mode: WriteMode,
    lines: &[u8],
    max_rows: u32,
) -> Result<Vec<RecordBatch>, Error> {
    let mut decoder = Decoder::new(table, mode);
    let mut rows = 0_u32;
    let mut rest = lines;
    for index in 0_usize.. {
        if rest.is_empty() {
            break;
        }
        let (line, after) = match memchr::memchr(b'\n', rest) {
            Some(end) => (rest.get(..end).unwrap_or(rest), rest.get(end + 1..).unwrap_or_default()),
            None => (rest, Default::default()),
        };
        rest = after;
        if line.trim_ascii().is_empty() {
            continue;
        }
        rows = rows.saturating_add(1);
        if rows > max_rows {
            return Err(limit(
                "batch_rows",
                format!("a batch of the stream '{}' has more than {max_rows} rows", table.name),
            ));
        }
        if decoder.bytes > MAX_BYTES {
            return Err(invalid(format!(
                "a batch of JSON lines for the stream '{}' takes more than {} MiB in columns; write smaller batches",
                table.name,
                MAX_BYTES / (1024 * 1024)
            )));
        }
        decoder.line(line).map_err(|why| {
            invalid(format!(
                "line {} of a batch of JSON lines for the stream '{}': {why}",
                index + 1,
                table.name
            ))
        })?;
    }
    decoder.finish().map_err(|error| invalid(format!("JSON lines for the stream '{}': {error}", table.name)))
}

/// Columns under construction.
struct Decoder<'t> {
    table: &'t TableSchema,
    merge: bool,
    columns: Vec<Builder>,
    /// Which fields the current object has.
    present: Vec<bool>,
    /// Which fields the objects of the current group have.
    group: Vec<bool>,
    rows: usize,
    /// What the columns take in all, at least.
    bytes: usize,
    /// Fields by name.
    names: HashMap<&'t str, usize>,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl<'t> Decoder<'t> {
    fn new(table: &'t TableSchema, mode: WriteMode) -> Self {
        Self {
            table,
            merge: mode == WriteMode::Merge,
            columns: table.fields.iter().map(|field| Builder::new(field.data_type)).collect(),
            present: vec![false; table.fields.len()],
            group: vec![true; table.fields.len()],
            rows: 0,
            bytes: 0,
            names: table
                .fields
                .iter()
                .enumerate()
                .map(|(index, field)| (field.name.as_str(), index))
                .collect(),
            schema: table.arrow(),
            batches: Vec::new(),
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        // serde_json would check each string for itself; once is faster, and it
        // says where.
        let line = std::str::from_utf8(line)
            .map_err(|error| format!("the bytes from position {} are not UTF-8", error.valid_up_to()))?;
        self.present.fill(false);
        let mut deserializer = serde_json::Deserializer::from_str(line);
        let (table, names) = (self.table, &self.names);
        Row { table, names, columns: &mut self.columns, present: &mut self.present }
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end())
            .map_err(|error| plain_error(&error))?;
        for (field, present) in self.table.fields.iter().zip(&self.present) {
            if !present && !field.nullable {
                return Err(format!("the field '{}' is missing, but it is not nullable", field.name));
            }
        }
        if self.merge && self.rows == 0 {
            self.group.clone_from(&self.present);
        } else if self.merge && self.group != self.present {
            self.split().map_err(|error| error.to_string())?;
        }
        for (column, present) in self.columns.iter_mut().zip(&self.present) {
            if !present {
                column.append_null();
            }
        }
        self.rows += 1;
        self.bytes = self.bytes.saturating_add(self.columns.len() * VALUE_BYTES + line.len());
        Ok(())
    }

    /// Ends the group before the current object, whose values are the last of
    /// the columns that it has.
    fn split(&mut self) -> Result<(), arrow_schema::ArrowError> {
        self.bytes = self.bytes.saturating_add(self.columns.len() * COLUMN_BYTES);
        let arrays: Vec<ArrayRef> = self.columns.iter_mut().map(Builder::finish).collect();
        let group = std::mem::replace(&mut self.group, self.present.clone());
        let earlier = arrays.iter().map(|array| array.slice(0, self.rows)).collect();
        self.push(earlier, &group)?;
        for ((column, array), present) in self.columns.iter_mut().zip(&arrays).zip(&self.present) {
            if *present {
                column.append_from(array, self.rows);
            }
        }
        self.rows = 0;
        Ok(())
    }

    fn push(&mut self, arrays: Vec<ArrayRef>, group: &[bool]) -> Result<(), arrow_schema::ArrowError> {
        let rows = self.rows;
        let fields = self.schema.fields().iter().zip(group).filter(|(_, present)| **present);
        let schema = Arc::new(Schema::new(fields.map(|(field, _)| Arc::clone(field)).collect::<Vec<_>>()));
        let arrays =
            arrays.into_iter().zip(group).filter(|(_, present)| **present).map(|(array, _)| array).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        self.batches.push(RecordBatch::try_new_with_options(schema, arrays, &options)?);
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<RecordBatch>, arrow_schema::ArrowError> {
        if self.rows > 0 {
            let arrays = self.columns.iter_mut().map(Builder::finish).collect();
            let group = std::mem::take(&mut self.group);
            self.push(arrays, &group)?;
        }
        Ok(self.batches)
    }
}

/// An error of the parser without "at line 1": the caller knows the line.
fn plain_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    let text = plain(cut(text, 500));
    if error.column() == 0 { text.into_owned() } else { format!("{text} (column {})", error.column()) }
}

/// One object.
struct Row<'a> {
    table: &'a TableSchema,
    names: &'a HashMap<&'a str, usize>,
    columns: &'a mut [Builder],
    present: &'a mut [bool],
}

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // Objects of one stream mostly have their keys in the same order.
        let mut expected = 0;
        while let Some(index) = map.next_key_seed(Key { table: self.table, names: self.names, expected })? {
            expected = index + 1;
            let (Some(field), Some(column), Some(present)) =
                (self.table.fields.get(index), self.columns.get_mut(index), self.present.get_mut(index))
            else {
                continue;
            };
            if std::mem::replace(present, true) {
                return Err(de::Error::custom(format!("the key '{}' stands twice", field.name)));
            }
            map.next_value_seed(Value {
                name: &field.name,
                ty: field.data_type,
                nullable: field.nullable,
                column,
            })?;
        }
        Ok(())
    }
}

/// A key, as the index of its field.
struct Key<'a> {
    table: &'a TableSchema,
    names: &'a HashMap<&'a str, usize>,
    expected: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<usize, E> {
        let fields = &self.table.fields;
        if fields.get(self.expected).is_some_and(|field| field.name == key) {
            return Ok(self.expected);
        }
        self.names
            .get(key)
            .copied()
            .ok_or_else(|| E::custom(format!("the key '{}' is no field of the stream", plain(cut(key, 100)))))
    }
}

/// The value of one field.
struct Value<'a> {
    name: &'a str,
    ty: DataType,
    nullable: bool,
    column: &'a mut Builder,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.ty {
            // The text itself is wanted, digit by digit.
            DataType::Json | DataType::Decimal(..) => {
                let raw: &RawValue = de::Deserialize::deserialize(deserializer)?;
                self.raw(raw.get())
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl Value<'_> {
    fn refuse<E: de::Error>(&self, found: impl fmt::Display) -> E {
        E::custom(format!("the field '{}' is {}, but the value is {found}", self.name, self.ty))
    }

    fn raw<E: de::Error>(self, text: &str) -> Result<(), E> {
        if text == "null" {
            return self.visit_unit();
        }
        match self.column {
            Builder::Text(builder) => builder.append_value(text),
            Builder::Decimal(builder, precision, scale) => {
                let number: Cow<'_, str> = match serde_json::from_str(text) {
                    Ok(text) => Cow::Owned(text),
                    Err(_) => Cow::Borrowed(text),
                };
                match parse_decimal(&number, *precision, *scale) {
                    Some(value) => builder.append_value(value),
                    None => return Err(self.refuse(format_args!("'{}'", plain(cut(text, 60))))),
                }
            }
            _ => return Err(self.refuse("raw JSON")),
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in the field '{}'", self.ty, self.name)
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        if !self.nullable {
            return Err(E::custom(format!("the field '{}' is null, but it is not nullable", self.name)));
        }
        self.column.append_null();
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        match self.column {
            Builder::Boolean(builder) => builder.append_value(value),
            _ => return Err(self.refuse(value)),
        }
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        match self.column {
            Builder::Int64(builder) => builder.append_value(value),
            Builder::Float64(builder) => match exact_float(value) {
                Some(float) => builder.append_value(float),
                None => return Err(self.refuse(format_args!("{value}, which a float64 cannot hold exactly"))),
            },
            Builder::Timestamp(builder) if MICROS.contains(&value) => builder.append_value(value),
            _ => return Err(self.refuse(format_args!("the number {value}"))),
        }
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => Err(self.refuse(format_args!("the number {value}"))),
        }
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        match self.column {
            Builder::Float64(builder) => builder.append_value(value),
            _ => return Err(self.refuse(format_args!("the number {value}"))),
        }
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        let found = || format!("'{}'", plain(cut(text, 60)));
        match self.column {
            Builder::Text(builder) => builder.append_value(text),
            Builder::Date(builder) => match parse_date(text) {
                Some(day) => builder.append_value(day),
                None => return Err(self.refuse(format_args!("{} (write YYYY-MM-DD)", found()))),
            },
            Builder::Timestamp(builder) => match parse_timestamp(text) {
                Some(micros) => builder.append_value(micros),
                None => {
                    let form = "write RFC 3339 with a zone, such as 2024-01-31T12:00:00Z";
                    return Err(self.refuse(format_args!("{} ({form})", found())));
                }
            },
            Builder::Bytes(builder) => match base64::engine::general_purpose::STANDARD.decode(text) {
                Ok(bytes) => builder.append_value(bytes),
                Err(_) => return Err(self.refuse(format_args!("{} (write base64)", found()))),
            },
            _ => return Err(self.refuse(format_args!("the text {}", found()))),
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.refuse("an object"))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.refuse("an array"))
    }
}

/// The floating-point number that is exactly this integer.
fn exact_float(value: i64) -> Option<f64> {
    const EXACT: u64 = 1 << f64::MANTISSA_DIGITS;
    #[expect(clippy::cast_precision_loss, reason = "only integers without loss pass")]
    let float = value as f64;
    let trailing = value.unsigned_abs().trailing_zeros();
    (value.unsigned_abs() >> trailing.min(63) <= EXACT).then_some(float)
}

/// A column under construction.
enum Builder {
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, u8, u8),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
}

/// The same for each kind of builder.
macro_rules! each {
    ($builder:expr, $b:ident => $body:expr) => {
        match $builder {
            Builder::Boolean($b) => $body,
            Builder::Int64($b) => $body,
            Builder::Float64($b) => $body,
            Builder::Decimal($b, _, _) => $body,
            Builder::Text($b) => $body,
            Builder::Bytes($b) => $body,
            Builder::Date($b) => $body,
            Builder::Timestamp($b) => $body,
        }
    };
}

impl Builder {
    fn new(ty: DataType) -> Self {
        match ty {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Int64 => Self::Int64(Int64Builder::new()),
            DataType::Float64 => Self::Float64(Float64Builder::new()),
            DataType::Decimal(precision, scale) => {
                let builder = Decimal128Builder::new().with_data_type(ty.arrow());
                Self::Decimal(builder, precision, scale)
            }
            DataType::Text | DataType::Json => Self::Text(StringBuilder::new()),
            DataType::Bytes => Self::Bytes(BinaryBuilder::new()),
            DataType::Date => Self::Date(Date32Builder::new()),
            DataType::Timestamp => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(ty.arrow()))
            }
        }
    }

    fn append_null(&mut self) {
        each!(self, builder => builder.append_null());
    }

    fn finish(&mut self) -> ArrayRef {
        each!(self, builder => Arc::new(builder.finish()))
    }

    /// Appends one value of an array that this builder made.
    fn append_from(&mut self, array: &ArrayRef, row: usize) {
        use arrow_array::cast::AsArray;
        use arrow_array::types as ty;
        if array.is_null(row) {
            return self.append_null();
        }
        match self {
            Self::Boolean(builder) => builder.append_value(array.as_boolean().value(row)),
            Self::Int64(builder) => builder.append_value(array.as_primitive::<ty::Int64Type>().value(row)),
            Self::Float64(builder) => {
                builder.append_value(array.as_primitive::<ty::Float64Type>().value(row))
            }
            Self::Decimal(builder, _, _) => {
                builder.append_value(array.as_primitive::<ty::Decimal128Type>().value(row));
            }
            Self::Text(builder) => builder.append_value(array.as_string::<i32>().value(row)),
            Self::Bytes(builder) => builder.append_value(array.as_binary::<i32>().value(row)),
            Self::Date(builder) => builder.append_value(array.as_primitive::<ty::Date32Type>().value(row)),
            Self::Timestamp(builder) => {
                builder.append_value(array.as_primitive::<ty::TimestampMicrosecondType>().value(row));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Field;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int64Type};

    fn table(fields: &[(&str, DataType, bool)]) -> TableSchema {
        TableSchema {
            name: "s".into(),
            description: None,
            fields: fields
                .iter()
                .map(|(name, data_type, nullable)| Field {
                    name: (*name).into(),
                    data_type: *data_type,
                    nullable: *nullable,
                    description: None,
                })
                .collect(),
            primary_key: vec!["id".into()],
            cursor_field: None,
            partition_field: None,
        }
    }

    fn all_types() -> TableSchema {
        table(&[
            ("id", DataType::Int64, false),
            ("on", DataType::Boolean, true),
            ("f", DataType::Float64, true),
            ("m", DataType::Decimal(5, 2), true),
            ("t", DataType::Text, true),
            ("b", DataType::Bytes, true),
            ("d", DataType::Date, true),
            ("at", DataType::Timestamp, true),
            ("j", DataType::Json, true),
        ])
    }

    fn decode(mode: WriteMode, lines: &str) -> Result<Vec<RecordBatch>, String> {
        record_batches(&all_types(), mode, lines.as_bytes(), 10_000).map_err(|error| error.message)
    }

    #[test]
    fn every_type_is_decoded() {
        let line = r#"{"id":1,"on":true,"f":2,"m":12.50,"t":"a\u00fc","b":"AQI=","d":"2024-02-29","at":"2024-02-29T00:00:00Z","j":{"a": [1, 2]}}"#;
        let lines = format!("{line}\n\n  {{\"id\": 2, \"m\": \"-1.5\", \"on\": null}}  \r\n");
        let batches = decode(WriteMode::Append, &lines).unwrap();
        assert_eq!(batches.len(), 1);
        let rows = &batches[0];
        assert_eq!(rows.num_rows(), 2);
        assert_eq!(rows.column(2).as_primitive::<Float64Type>().value(0), 2.0);
        assert_eq!(rows.column(3).as_primitive::<arrow_array::types::Decimal128Type>().value(0), 1250);
        assert_eq!(rows.column(3).as_primitive::<arrow_array::types::Decimal128Type>().value(1), -150);
        assert_eq!(rows.column(4).as_string::<i32>().value(0), "aü");
        assert_eq!(rows.column(5).as_binary::<i32>().value(0), [1, 2]);
        assert_eq!(rows.column(8).as_string::<i32>().value(0), r#"{"a": [1, 2]}"#);
        assert!(rows.column(1).is_null(1));
    }

    #[test]
    fn under_merge_absent_keys_are_absent_columns() {
        let lines = "{\"id\":1,\"t\":\"a\"}\n{\"id\":2,\"t\":null}\n{\"id\":3}\n{\"id\":4,\"f\":0.5}\n";
        let batches = decode(WriteMode::Merge, lines).unwrap();
        let shape: Vec<(usize, Vec<String>)> = batches
            .iter()
            .map(|rows| (rows.num_rows(), rows.schema().fields().iter().map(|f| f.name().clone()).collect()))
            .collect();
        let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(shape, [(2, columns(&["id", "t"])), (1, columns(&["id"])), (1, columns(&["id", "f"]))]);
        let ids: Vec<i64> = batches
            .iter()
            .flat_map(|rows| rows.column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect();
        assert_eq!(ids, [1, 2, 3, 4]);
        assert_eq!(decode(WriteMode::Append, lines).unwrap().len(), 1);
    }

    #[test]
    fn errors_name_the_line_and_the_field() {
        let say = |line: &str| {
            let lines = format!("{}{line}\n", "{\"id\":1}\n".repeat(2_999));
            decode(WriteMode::Append, &lines).unwrap_err()
        };
        insta::assert_snapshot!(say("{\"id\":"), @"line 3000 of a batch of JSON lines for the stream 's': EOF while parsing a value (column 6)");
        insta::assert_snapshot!(say("[1]"), @"line 3000 of a batch of JSON lines for the stream 's': invalid type: sequence, expected a JSON object");
        insta::assert_snapshot!(say("{\"id\":1} x"), @"line 3000 of a batch of JSON lines for the stream 's': trailing characters (column 10)");
        insta::assert_snapshot!(say("{\"id\":1,\"id\":2}"), @"line 3000 of a batch of JSON lines for the stream 's': the key 'id' stands twice (column 12)");
        insta::assert_snapshot!(say("{\"id\":1,\"nope\":2}"), @"line 3000 of a batch of JSON lines for the stream 's': the key 'nope' is no field of the stream (column 14)");
        insta::assert_snapshot!(say("{\"t\":\"x\"}"), @"line 3000 of a batch of JSON lines for the stream 's': the field 'id' is missing, but it is not nullable");
        insta::assert_snapshot!(say("{\"id\":null}"), @"line 3000 of a batch of JSON lines for the stream 's': the field 'id' is null, but it is not nullable (column 10)");
        insta::assert_snapshot!(say("{\"id\":1.5}"), @"line 3000 of a batch of JSON lines for the stream 's': the field 'id' is int64, but the value is the number 1.5 (column 9)");
        insta::assert_snapshot!(say("{\"id\":18446744073709551615}"), @"line 3000 of a batch of JSON lines for the stream 's': the field 'id' is int64, but the value is the number 18446744073709551615 (column 26)");
        insta::assert_snapshot!(say("{\"id\":1,\"d\":\"30.1.2024\"}"), @"line 3000 of a batch of JSON lines for the stream 's': the field 'd' is date, but the value is '30.1.2024' (write YYYY-MM-DD) (column 23)");
        insta::assert_snapshot!(say("{\"id\":1,\"m\":1e2}"), @"line 3000 of a batch of JSON lines for the stream 's': the field 'm' is decimal(5, 2), but the value is '1e2' (column 16)");
        insta::assert_snapshot!(say("{\"id\":1,\"f\":9007199254740993}"), @"line 3000 of a batch of JSON lines for the stream 's': the field 'f' is float64, but the value is 9007199254740993, which a float64 cannot hold exactly (column 28)");
        insta::assert_snapshot!(say("{\"id\":1,\"t\":{\"a\":1}}"), @"line 3000 of a batch of JSON lines for the stream 's': the field 't' is text, but the value is an object (column 13)");
        let bad =
            record_batches(&all_types(), WriteMode::Append, b"{\"id\":1,\"t\":\"\xff\"}", 10).unwrap_err();
        insta::assert_snapshot!(bad.message, @"line 1 of a batch of JSON lines for the stream 's': the bytes from position 13 are not UTF-8");
        let many = record_batches(&all_types(), WriteMode::Append, b"{\"id\":1}\n{\"id\":1}", 1).unwrap_err();
        insta::assert_snapshot!(many.message, @"a batch of the stream 's' has more than 1 rows (raise it with --batch-rows)");
    }

    #[test]
    fn only_exact_integers_become_floats() {
        assert_eq!(exact_float(0), Some(0.0));
        assert_eq!(exact_float(-5), Some(-5.0));
        assert_eq!(exact_float(1 << 60), Some((1_i64 << 60) as f64));
        assert_eq!(exact_float(i64::MIN), Some(i64::MIN as f64));
        assert_eq!(exact_float((1 << 53) + 1), None);
        assert_eq!(exact_float(i64::MAX), None);
    }
}
