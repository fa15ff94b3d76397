//! A row as JSON, in the form that JSON lines have: what is refused can be sent
//! again. Absent columns are left out; numbers that JSON does not know are texts.

use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, BinaryArray, BooleanArray, PrimitiveArray, RecordBatch, StringArray};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;

use crate::text::{self, Text};
use crate::{DataType, TableSchema};

/// The JSON object of a row; whether its texts were cut to `cut` bytes each,
/// because it would have been longer than `most`.
pub(crate) fn row(
    schema: &TableSchema,
    rows: &RecordBatch,
    row: usize,
    most: usize,
    cut: usize,
) -> (String, bool) {
    let whole = Writer { out: Vec::new(), most, cut: None }.object(schema, rows, row);
    let (bytes, was_cut) = match whole {
        Some(bytes) => (bytes, false),
        None => {
            let short = Writer { out: Vec::new(), most: usize::MAX, cut: Some(cut) };
            (short.object(schema, rows, row).unwrap_or_default(), true)
        }
    };
    (String::from_utf8(bytes).unwrap_or_default(), was_cut)
}

struct Writer {
    out: Vec<u8>,
    /// Bytes after which nothing more is written.
    most: usize,
    /// Bytes after which a text is cut.
    cut: Option<usize>,
}

impl Writer {
    /// The object; none if it is too long.
    fn object(mut self, schema: &TableSchema, rows: &RecordBatch, row: usize) -> Option<Vec<u8>> {
        let columns = schema.fields.iter().filter_map(|field| {
            let array = rows.column_by_name(&field.name)?;
            Some((field, array))
        });
        for (field, array) in columns {
            self.out.push(if self.out.is_empty() { b'{' } else { b',' });
            self.string(&field.name);
            self.out.push(b':');
            if array.is_null(row) {
                self.out.extend_from_slice(b"null");
            } else {
                self.value(array.as_ref(), field.data_type, row)?;
            }
            if self.out.len() > self.most {
                return None;
            }
        }
        if self.out.is_empty() {
            self.out.push(b'{');
        }
        self.out.push(b'}');
        Some(self.out)
    }

    /// A value; none if the row gets too long by it.
    fn value(&mut self, array: &dyn Array, data_type: DataType, row: usize) -> Option<()> {
        let any = array.as_any();
        match data_type {
            DataType::Boolean => {
                let value = any.downcast_ref::<BooleanArray>()?.value(row);
                self.out.extend_from_slice(text::boolean(value));
            }
            DataType::Int64 => self.plain(at::<Int64Type>(array, row)?),
            DataType::Float64 => self.float(at::<Float64Type>(array, row)?),
            DataType::Decimal(precision, scale) => {
                let value = at::<Decimal128Type>(array, row)?;
                self.number(text::decimal(value, precision, scale, 0), format_args!("{value}e-{scale}"));
            }
            DataType::Date => {
                let day = at::<Date32Type>(array, row)?;
                self.number(text::date(day), format_args!("day {day}"));
            }
            DataType::Timestamp => {
                let micros = at::<TimestampMicrosecondType>(array, row)?;
                self.number(text::timestamp(micros), format_args!("microsecond {micros}"));
            }
            DataType::Text => self.text(any.downcast_ref::<StringArray>()?.value(row))?,
            DataType::Json => self.json(any.downcast_ref::<StringArray>()?.value(row))?,
            DataType::Bytes => self.bytes(any.downcast_ref::<BinaryArray>()?.value(row))?,
        }
        Some(())
    }

    fn plain(&mut self, value: impl std::fmt::Display) {
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    fn float(&mut self, value: f64) {
        match serde_json::Number::from_f64(value) {
            Some(number) => self.plain(number),
            None => self.string(&value.to_string()),
        }
    }

    /// A number or a time as a text, whatever it is.
    fn number(&mut self, value: Option<Text>, else_this: std::fmt::Arguments<'_>) {
        match value {
            Some(value) => self.string(&String::from_utf8_lossy(value.as_bytes())),
            None => self.string(&else_this.to_string()),
        }
    }

    fn string(&mut self, text: &str) {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut self.out, text);
    }

    fn text(&mut self, text: &str) -> Option<()> {
        match self.cut.filter(|cut| text.len() > *cut) {
            Some(cut) => self.string(&format!("{}…", start(text, cut))),
            None if text.len() > self.most => return None,
            None => self.string(text),
        }
        Some(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        let most = self.cut.unwrap_or(self.most).min(bytes.len());
        if most < bytes.len() && self.cut.is_none() {
            return None;
        }
        let more = if most < bytes.len() { "…" } else { "" };
        let text = STANDARD.encode(bytes.get(..most).unwrap_or_default());
        self.string(&format!("{text}{more}"));
        Some(())
    }

    /// JSON as it is; as a text where it is none or has to be cut.
    fn json(&mut self, json: &str) -> Option<()> {
        let fits = json.len() <= self.cut.unwrap_or(self.most);
        if fits && serde_json::from_str::<IgnoredAny>(json).is_ok() {
            // A line end can only stand between tokens; here it would end the row.
            let one_line = json.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte });
            self.out.extend(one_line);
            return Some(());
        }
        self.text(json)
    }
}

fn at<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> Option<T::Native> {
    array.as_any().downcast_ref::<PrimitiveArray<T>>()?.values().get(row).copied()
}

/// The start of a text, at most so many bytes.
fn start(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}
