//! CSV and JSON lines, read back as [`super::text`] wrote them.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::shape::Shape;
use super::super::trouble::Trouble;
use super::{Format, READ_BYTES, READ_ROWS};
use crate::DataType;

/// How much of a file is read at once.
const BUFFER: usize = 256 * 1024;

/// A text file that is being read.
struct Reader {
    path: PathBuf,
    input: BufReader<File>,
    format: Format,
    /// The columns of the file, and where each goes.
    names: Vec<String>,
    places: Vec<Option<usize>>,
    types: Vec<DataType>,
    arrow: SchemaRef,
    line: Vec<u8>,
}

/// Reads columns of a file back.
pub(super) fn read(
    path: &Path,
    shape: &Shape,
    columns: &[usize],
) -> Result<Box<dyn Iterator<Item = Result<RecordBatch, Trouble>>>, Trouble> {
    let file = File::open(path).map_err(|error| Trouble::Disk(path.to_owned(), error))?;
    let mut reader = Reader {
        path: path.to_owned(),
        input: BufReader::with_capacity(BUFFER, file),
        format: shape.format,
        names: shape.columns.iter().map(|column| column.name.clone()).collect(),
        places: (0..shape.columns.len())
            .map(|index| columns.iter().position(|column| *column == index))
            .collect(),
        types: columns
            .iter()
            .filter_map(|index| shape.columns.get(*index))
            .map(|column| column.data_type)
            .collect(),
        arrow: Arc::new(shape.arrow.project(columns).map_err(Trouble::arrow)?),
        line: Vec::new(),
    };
    if shape.format == Format::Csv {
        reader.check_header()?;
    }
    Ok(Box::new(std::iter::from_fn(move || reader.next().transpose())))
}

impl Reader {
    /// Reads one record, with the line ends that are in its values; `false` at
    /// the end.
    fn record(&mut self) -> io::Result<bool> {
        self.line.clear();
        let mut quotes = 0;
        loop {
            let start = self.line.len();
            if self.input.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(start > 0);
            }
            // Inside of quotes a line end belongs to the value.
            quotes += self.line.iter().skip(start).filter(|byte| **byte == b'"').count();
            if self.format != Format::Csv || quotes % 2 == 0 {
                return Ok(true);
            }
        }
    }

    fn damaged(&self, what: &str) -> Trouble {
        Trouble::damaged(&self.path, what)
    }

    fn disk(&self, error: io::Error) -> Trouble {
        Trouble::Disk(self.path.clone(), error)
    }

    fn check_header(&mut self) -> Result<(), Trouble> {
        self.record().map_err(|error| self.disk(error))?;
        let line = std::str::from_utf8(&self.line).map_err(|_| self.damaged("it is not UTF-8"))?;
        let mut fields = Fields { rest: Some(line.trim_end_matches(['\r', '\n'])) };
        let same = self.names.iter().all(|name| fields.next().flatten().is_some_and(|found| found == *name));
        if same && fields.next().is_none() {
            return Ok(());
        }
        Err(self.damaged("its columns are not those that ow-host wrote"))
    }

    fn next(&mut self) -> Result<Option<RecordBatch>, Trouble> {
        let mut builders: Vec<_> = self.types.iter().map(|data_type| Builder::new(*data_type)).collect();
        let (mut rows, mut bytes) = (0, 0);
        while rows < READ_ROWS && bytes < READ_BYTES {
            if !self.record().map_err(|error| self.disk(error))? {
                break;
            }
            bytes += self.line.len();
            rows += 1;
            self.take(&mut builders)?;
        }
        if rows == 0 {
            return Ok(None);
        }
        let arrays = builders.into_iter().map(Builder::finish).collect::<Option<Vec<_>>>();
        let arrays = arrays.ok_or_else(|| self.damaged("a number has too many digits"))?;
        RecordBatch::try_new(Arc::clone(&self.arrow), arrays)
            .map(Some)
            .map_err(|error| self.damaged(&error.to_string()))
    }

    /// Takes the record apart.
    fn take(&self, builders: &mut [Builder]) -> Result<(), Trouble> {
        let line = std::str::from_utf8(&self.line).map_err(|_| self.damaged("it is not UTF-8"))?;
        let line = line.trim_end_matches(['\r', '\n']);
        match self.format {
            Format::Jsonl => self.take_json(line, builders),
            _ => self.take_csv(line, builders),
        }
    }

    fn take_csv(&self, line: &str, builders: &mut [Builder]) -> Result<(), Trouble> {
        let mut fields = Fields { rest: Some(line) };
        for place in &self.places {
            let field = fields.next().ok_or_else(|| self.damaged("a row lacks values"))?;
            let Some(builder) = place.and_then(|place| builders.get_mut(place)) else { continue };
            builder.push(field.as_deref()).ok_or_else(|| self.damaged("a value is not of its type"))?;
        }
        match fields.next() {
            None => Ok(()),
            Some(_) => Err(self.damaged("a row has too many values")),
        }
    }

    fn take_json(&self, line: &str, builders: &mut [Builder]) -> Result<(), Trouble> {
        let pairs = serde_json::Deserializer::from_str(line).deserialize_map(Pairs);
        let pairs = pairs.map_err(|_| self.damaged("a line is no JSON object"))?;
        if pairs.len() != self.names.len() {
            return Err(self.damaged("a line has other fields than the table"));
        }
        for (((name, value), expected), place) in pairs.iter().zip(&self.names).zip(&self.places) {
            if name != expected {
                return Err(self.damaged("a line has other fields than the table"));
            }
            let Some(builder) = place.and_then(|place| builders.get_mut(place)) else { continue };
            let raw = value.get();
            let text: Option<Cow<'_, str>> = match raw {
                "null" => None,
                raw if raw.starts_with('"') && !matches!(builder, Builder::Json(_)) => {
                    let text = serde_json::from_str::<String>(raw);
                    Some(Cow::Owned(text.map_err(|_| self.damaged("a text is damaged"))?))
                }
                raw => Some(Cow::Borrowed(raw)),
            };
            builder.push(text.as_deref()).ok_or_else(|| self.damaged("a value is not of its type"))?;
        }
        Ok(())
    }
}

/// The values of a CSV record; a null is none.
struct Fields<'a> {
    rest: Option<&'a str>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<Cow<'a, str>>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, rest) =
                rest.split_once(',').map_or((rest, None), |(field, rest)| (field, Some(rest)));
            self.rest = rest;
            return Some((!field.is_empty()).then_some(Cow::Borrowed(field)));
        };
        let mut text = String::new();
        let mut rest = quoted;
        loop {
            let (part, after) = rest.split_once('"')?;
            text.push_str(part);
            let Some(more) = after.strip_prefix('"') else {
                self.rest = after.strip_prefix(',');
                return Some(Some(Cow::Owned(text)));
            };
            text.push('"');
            rest = more;
        }
    }
}

/// The fields of a JSON object in their order.
struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            pairs.push((Cow::Owned(name), map.next_value()?));
        }
        Ok(pairs)
    }
}

/// A column that is being read.
enum Builder {
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, u8, u8),
    Text(StringBuilder),
    Json(StringBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
}

impl Builder {
    fn new(data_type: DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Int64 => Self::Int64(Int64Builder::new()),
            DataType::Float64 => Self::Float64(Float64Builder::new()),
            DataType::Decimal(precision, scale) => Self::Decimal(Decimal128Builder::new(), precision, scale),
            DataType::Text => Self::Text(StringBuilder::new()),
            DataType::Json => Self::Json(StringBuilder::new()),
            DataType::Bytes => Self::Bytes(BinaryBuilder::new()),
            DataType::Date => Self::Date(Date32Builder::new()),
            DataType::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::new()),
        }
    }

    /// Adds a value; none if it is not of the type.
    fn push(&mut self, value: Option<&str>) -> Option<()> {
        let Some(value) = value else {
            self.push_null();
            return Some(());
        };
        match self {
            Self::Boolean(builder) => builder.append_value(value.parse().ok()?),
            Self::Int64(builder) => builder.append_value(value.parse().ok()?),
            // Rust reads `NaN` and `Infinity` in any case.
            Self::Float64(builder) => builder.append_value(value.parse().ok()?),
            Self::Decimal(builder, _, scale) => builder.append_value(decimal(value, *scale)?),
            Self::Text(builder) | Self::Json(builder) => builder.append_value(value),
            Self::Bytes(builder) => builder.append_value(STANDARD.decode(value).ok()?),
            Self::Date(builder) => builder.append_value(date(value)?),
            Self::Timestamp(builder) => builder.append_value(timestamp(value)?),
        }
        Some(())
    }

    fn push_null(&mut self) {
        match self {
            Self::Boolean(builder) => builder.append_null(),
            Self::Int64(builder) => builder.append_null(),
            Self::Float64(builder) => builder.append_null(),
            Self::Decimal(builder, ..) => builder.append_null(),
            Self::Text(builder) | Self::Json(builder) => builder.append_null(),
            Self::Bytes(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::Timestamp(builder) => builder.append_null(),
        }
    }

    fn finish(self) -> Option<ArrayRef> {
        Some(match self {
            Self::Boolean(mut builder) => Arc::new(builder.finish()),
            Self::Int64(mut builder) => Arc::new(builder.finish()),
            Self::Float64(mut builder) => Arc::new(builder.finish()),
            Self::Decimal(mut builder, precision, scale) => {
                let array = builder.finish().with_precision_and_scale(precision, i8::try_from(scale).ok()?);
                Arc::new(array.ok()?)
            }
            Self::Text(mut builder) | Self::Json(mut builder) => Arc::new(builder.finish()),
            Self::Bytes(mut builder) => Arc::new(builder.finish()),
            Self::Date(mut builder) => Arc::new(builder.finish()),
            Self::Timestamp(mut builder) => Arc::new(builder.finish().with_timezone("UTC")),
        })
    }
}

/// A number with exactly so many digits after the point.
fn decimal(text: &str, scale: u8) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() != usize::from(scale) {
        return None;
    }
    format!("{whole}{fraction}").parse().ok()
}

/// `YYYY-MM-DD` as days since 1970-01-01. The year starts in March here, so that
/// the leap day is its last day.
fn date(text: &str) -> Option<i32> {
    let mut parts = text.split('-').map(|part| part.parse::<i32>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if text.len() != 10 || parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + year * 365 + year / 4 - year / 100 + day_of_year - 719_468)
}

/// `YYYY-MM-DDTHH:MM:SS.ffffffZ` as microseconds since 1970-01-01.
fn timestamp(text: &str) -> Option<i64> {
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.')?;
    let mut parts = time.split(':').map(|part| part.parse::<i64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    if fraction.len() != 6 || parts.next().is_some() {
        return None;
    }
    let seconds = i64::from(date(day)?) * 86_400 + hours * 3_600 + minutes * 60 + seconds;
    Some(seconds * 1_000_000 + fraction.parse::<i64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_written() {
        for day in (-719_162..=2_932_896).step_by(97).chain([-719_162, -1, 0, 19_782, 2_932_896]) {
            let written = crate::text::date(day).unwrap();
            assert_eq!(date(std::str::from_utf8(written.as_bytes()).unwrap()), Some(day));
        }
        for micros in [-62_135_596_800_000_000, -1, 0, 1, 253_402_300_799_999_999] {
            let written = crate::text::timestamp(micros).unwrap();
            assert_eq!(timestamp(std::str::from_utf8(written.as_bytes()).unwrap()), Some(micros));
        }
        assert_eq!(date("2024-13-01"), None);
        assert_eq!(timestamp("2024-01-01T00:00:00Z"), None);
    }

    #[test]
    fn csv_tells_nulls_from_empty_texts() {
        let fields: Vec<_> = Fields { rest: Some(r#"a,,"","b ""c"", d",e"#) }.collect();
        let fields: Vec<_> = fields.iter().map(Option::as_deref).collect();
        assert_eq!(fields, [Some("a"), None, Some(""), Some(r#"b "c", d"#), Some("e")]);
        assert_eq!(Fields { rest: Some("") }.count(), 1);
        assert_eq!(Fields { rest: Some("a,") }.count(), 2);
        assert_eq!(Fields { rest: Some(r#""a","#) }.count(), 2);
    }
}
