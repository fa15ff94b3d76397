//! CSV and JSON lines, written.
//!
//! CSV is RFC 4180: comma, CRLF, quotes where they are needed, names in the first
//! line. A null is nothing at all, an empty text is `""`.

use std::fs::File;
use std::io::{self, Write};

use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, BinaryArray, BooleanArray, RecordBatch, StringArray};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::convert::{at, slice};
use super::super::shape::Shape;
use super::Format;
use crate::{DataType, text};

/// How much text waits before it is written.
const BUFFER: usize = 256 * 1024;

/// A text file that is being written.
pub(super) struct Writer {
    file: File,
    buffer: Vec<u8>,
    written: u64,
    format: Format,
    types: Vec<DataType>,
    /// The names of the columns, as they stand in each line of JSON.
    names: Vec<Vec<u8>>,
}

impl Writer {
    pub(super) fn new(file: File, shape: &Shape) -> Self {
        let mut buffer = Vec::with_capacity(BUFFER);
        if shape.format == Format::Csv {
            for (index, column) in shape.columns.iter().enumerate() {
                if index > 0 {
                    buffer.push(b',');
                }
                csv_text(&mut buffer, &column.name);
            }
            buffer.extend_from_slice(b"\r\n");
        }
        let names = shape.columns.iter().map(|column| {
            let mut name = Vec::new();
            json_text(&mut name, &column.name);
            name.push(b':');
            name
        });
        let names = names.collect();
        let types = shape.columns.iter().map(|column| column.data_type).collect();
        Self { file, buffer, written: 0, format: shape.format, types, names }
    }

    pub(super) fn write(&mut self, rows: &RecordBatch) -> io::Result<()> {
        let columns: Vec<_> = rows
            .columns()
            .iter()
            .zip(&self.types)
            .map(|(array, ty)| Cells::new(array.as_ref(), *ty))
            .collect();
        for row in 0..rows.num_rows() {
            match self.format {
                Format::Jsonl => json_row(&mut self.buffer, &columns, &self.names, row),
                _ => csv_row(&mut self.buffer, &columns, row),
            }
            if self.buffer.len() >= BUFFER {
                self.flush()?;
            }
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.written += u64::try_from(self.buffer.len()).unwrap_or_default();
        self.buffer.clear();
        // One large value must not keep its memory.
        self.buffer.shrink_to(BUFFER * 2);
        Ok(())
    }

    pub(super) fn size(&self) -> u64 {
        self.written + u64::try_from(self.buffer.len()).unwrap_or_default()
    }

    pub(super) fn memory(&self) -> usize {
        self.buffer.capacity()
    }

    pub(super) fn into_inner(mut self) -> io::Result<File> {
        self.flush()?;
        Ok(self.file)
    }
}

/// A column of a batch.
struct Cells<'a> {
    array: &'a dyn Array,
    values: Values<'a>,
}

enum Values<'a> {
    Boolean(&'a BooleanArray),
    Int64(&'a [i64]),
    Float64(&'a [f64]),
    Decimal(&'a [i128], u8, u8),
    Text(&'a StringArray),
    Json(&'a StringArray),
    Bytes(&'a BinaryArray),
    Date(&'a [i32]),
    Timestamp(&'a [i64]),
    /// Not what the table has; cannot be, the columns have been checked.
    Nothing,
}

impl<'a> Cells<'a> {
    fn new(array: &'a dyn Array, data_type: DataType) -> Self {
        let any = array.as_any();
        let values = match data_type {
            DataType::Boolean => any.downcast_ref().map(Values::Boolean),
            DataType::Int64 => slice::<Int64Type>(array).map(Values::Int64),
            DataType::Float64 => slice::<Float64Type>(array).map(Values::Float64),
            DataType::Decimal(precision, scale) => {
                slice::<Decimal128Type>(array).map(|values| Values::Decimal(values, precision, scale))
            }
            DataType::Text => any.downcast_ref().map(Values::Text),
            DataType::Json => any.downcast_ref().map(Values::Json),
            DataType::Bytes => any.downcast_ref().map(Values::Bytes),
            DataType::Date => slice::<Date32Type>(array).map(Values::Date),
            DataType::Timestamp => slice::<TimestampMicrosecondType>(array).map(Values::Timestamp),
        };
        Self { array, values: values.unwrap_or(Values::Nothing) }
    }

    /// A date, a timestamp or a decimal as text; they have been checked.
    fn short(&self, row: usize) -> Option<text::Text> {
        match &self.values {
            Values::Int64(values) => text::integer(at(values, row), 0),
            Values::Decimal(values, precision, scale) => {
                text::decimal(at(values, row), *precision, *scale, 0)
            }
            Values::Date(values) => text::date(at(values, row)),
            Values::Timestamp(values) => text::timestamp(at(values, row)),
            _ => None,
        }
    }
}

fn csv_row(out: &mut Vec<u8>, columns: &[Cells<'_>], row: usize) {
    for (index, cells) in columns.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if cells.array.is_null(row) {
            continue;
        }
        match &cells.values {
            Values::Boolean(values) => out.extend_from_slice(text::boolean(values.value(row))),
            Values::Float64(values) => float(out, at(values, row)),
            Values::Text(values) | Values::Json(values) => csv_text(out, values.value(row)),
            Values::Bytes(values) => csv_text(out, &STANDARD.encode(values.value(row))),
            _ => out.extend(cells.short(row).iter().flat_map(text::Text::as_bytes)),
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn csv_text(out: &mut Vec<u8>, value: &str) {
    let quoted = value.is_empty() || value.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n'));
    if !quoted {
        return out.extend_from_slice(value.as_bytes());
    }
    out.push(b'"');
    for (index, part) in value.split('"').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part.as_bytes());
    }
    out.push(b'"');
}

fn json_row(out: &mut Vec<u8>, columns: &[Cells<'_>], names: &[Vec<u8>], row: usize) {
    for (index, (cells, name)) in columns.iter().zip(names).enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        out.extend_from_slice(name);
        if cells.array.is_null(row) {
            out.extend_from_slice(b"null");
            continue;
        }
        match &cells.values {
            Values::Boolean(values) => out.extend_from_slice(text::boolean(values.value(row))),
            Values::Int64(_) => out.extend(cells.short(row).iter().flat_map(text::Text::as_bytes)),
            Values::Float64(values) => float(out, at(values, row)),
            Values::Text(values) => json_text(out, values.value(row)),
            Values::Json(values) => json_value(out, values.value(row)),
            Values::Bytes(values) => {
                out.push(b'"');
                out.extend_from_slice(STANDARD.encode(values.value(row)).as_bytes());
                out.push(b'"');
            }
            _ => {
                out.push(b'"');
                out.extend(cells.short(row).iter().flat_map(text::Text::as_bytes));
                out.push(b'"');
            }
        }
    }
    out.extend_from_slice(b"}\n");
}

fn json_text(out: &mut Vec<u8>, value: &str) {
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(out, value);
}

/// JSON in JSON. A line end can only be between its parts, where a space is the
/// same.
fn json_value(out: &mut Vec<u8>, value: &str) {
    out.extend(value.trim().bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
}

/// The shortest text that is read back as the same number.
fn float(out: &mut Vec<u8>, value: f64) {
    let special = match value {
        value if value.is_nan() => "NaN",
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => {
            let _ = write!(out, "{value:?}");
            return;
        }
    };
    out.extend_from_slice(special.as_bytes());
}
