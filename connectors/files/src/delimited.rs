//! CSV files.

use std::io::{BufRead, BufReader, Read};

use csv::{ByteRecord, StringRecord};
use ow_connector::prelude::*;

use crate::catalog::File;
use crate::infer::Kind;
use crate::input::{broken, open};
use crate::plan::{Plan, Sink};
use crate::quotes::Quotes;
use crate::settings::StreamSettings;
use crate::value::{Value, emptied};

/// Bytes read at once.
const CHUNK: usize = 256 * 1024;
/// What may stand between values if nobody says what does.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Columns and their kinds, from the first rows.
pub(crate) fn columns(file: &File, settings: &StreamSettings, rows: u32) -> Result<Vec<(String, Kind)>> {
    let Some(mut reader) = Rows::open(file, settings)? else { return Ok(Vec::new()) };
    let mut kinds = vec![Kind::Nothing; reader.names.len()];
    let mut record = StringRecord::new();
    for _ in 0..rows {
        if !reader.read(file, &mut record)? {
            break;
        }
        for (kind, text) in kinds.iter_mut().zip(&record) {
            if !is_null(settings, text) {
                *kind = kind.widened(Kind::of(&Value::Untyped(text)), false);
            }
        }
    }
    Ok(reader.names.into_iter().zip(kinds).collect())
}

/// Hands all rows of the file to the sink.
pub(crate) fn read(file: &File, plan: &Plan, sink: &mut Sink<'_>) -> Result<()> {
    let Some(mut reader) = Rows::open(file, &plan.settings)? else { return Ok(()) };
    let places = places(file, plan, &reader.names)?;
    let mut record = StringRecord::new();
    let looks_only = sink.table.is_none();
    let mut spare = Vec::with_capacity(plan.columns.len());
    while reader.read(file, &mut record)? {
        let mut values = emptied(spare);
        for (column, place) in plan.columns.iter().zip(&places) {
            if looks_only && column.data_type == DataType::Text && column.nullable {
                // Every text fits.
                values.push(Value::Null);
                continue;
            }
            let text =
                place.and_then(|place| record.get(place)).filter(|text| !is_null(&plan.settings, text));
            let value = text.map_or(Value::Null, Value::Untyped);
            values.push(plan.value(column, value, || line(file, &record))?);
        }
        sink.row(&values)?;
        spare = emptied(values);
    }
    Ok(())
}

/// Where in a row each column of the plan stands; nowhere if this file does not
/// have it.
fn places(file: &File, plan: &Plan, names: &[String]) -> Result<Vec<Option<usize>>> {
    let by_position = plan.declared && !plan.settings.header;
    let mut places = Vec::new();
    for (index, column) in plan.columns.iter().enumerate() {
        let place = match by_position {
            true => Some(index).filter(|index| *index < names.len()),
            false => names.iter().position(|name| *name == column.from),
        };
        if place.is_none() && plan.declared {
            return Err(plan.missing(file, &column.from, names.iter().map(String::as_str)));
        }
        places.push(place);
    }
    let is_known = |name: &&String| plan.columns.iter().any(|column| column.from == **name);
    match names.iter().find(|name| !is_known(name)) {
        Some(name) if !plan.declared => Err(plan.unknown(name).context(&file.name)),
        _ => Ok(places),
    }
}

#[inline]
fn is_null(settings: &StreamSettings, text: &str) -> bool {
    settings.null_values.iter().any(|null| null == text)
}

fn line(file: &File, record: &StringRecord) -> String {
    let line = record.position().map_or(0, csv::Position::line);
    format!("{}: line {line}", file.name)
}

/// The rows of a file below its header.
struct Rows {
    reader: csv::Reader<Quotes<BufReader<Box<dyn Read>>>>,
    names: Vec<String>,
    /// The first row of a file without a header, which was read to count its
    /// columns.
    first: Option<StringRecord>,
}

impl Rows {
    /// None if the file is empty.
    fn open(file: &File, settings: &StreamSettings) -> Result<Option<Self>> {
        let mut input = BufReader::with_capacity(CHUNK, open(file)?);
        let start = input.fill_buf().map_err(|error| broken(file, &error))?;
        let is_tsv = file.name.to_ascii_lowercase().contains(".tsv");
        let delimiter = match settings.delimiter()? {
            Some(delimiter) => delimiter,
            None if is_tsv => b'\t',
            None => likely(start),
        };
        let trim = if settings.trim { csv::Trim::All } else { csv::Trim::None };
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(delimiter)
            .trim(trim)
            .buffer_capacity(CHUNK)
            .from_reader(Quotes::new(input, delimiter));
        let mut rows = Self { reader, names: Vec::new(), first: None };
        let mut record = StringRecord::new();
        if !rows.read(file, &mut record)? {
            return Ok(None);
        }
        if settings.header {
            rows.names = header(file, &record)?;
        } else {
            rows.names = (1..=record.len()).map(|number| format!("column_{number}")).collect();
            rows.first = Some(record);
        }
        Ok(Some(rows))
    }

    /// Reads the next row; whether there was one.
    fn read(&mut self, file: &File, record: &mut StringRecord) -> Result<bool> {
        if let Some(first) = self.first.take() {
            *record = first;
            return Ok(true);
        }
        let read = self.reader.read_record(record);
        if self.reader.get_ref().are_open_at_the_end() {
            let position = read.as_ref().map_or_else(csv::Error::position, |_| record.position());
            return Err(self.not_closed(file, position.map_or(0, csv::Position::line)));
        }
        read.map_err(|error| wrong(file, &error))
    }

    /// The last row is the one whose quote takes in the rest of the file: the one
    /// in this line, or one behind it.
    fn not_closed(&mut self, file: &File, mut line: u64) -> Error {
        let mut record = ByteRecord::new();
        loop {
            let read = self.reader.read_byte_record(&mut record);
            let position = match &read {
                Ok(false) => break,
                Ok(true) => record.position(),
                Err(error) => error.position(),
            };
            match position {
                Some(position) => line = position.line(),
                None => break,
            }
        }
        Error::invalid_data(format!(
            "{}: line {line}: a quote opens in this row and is never closed; close it, or write quotes that belong to a value twice, in a value in quotes",
            file.name
        ))
    }
}

/// The delimiter that stands most often in the first line, outside of quotes.
fn likely(start: &[u8]) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in start {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            byte if !quoted => {
                for (count, delimiter) in counts.iter_mut().zip(DELIMITERS) {
                    *count += usize::from(delimiter == *byte);
                }
            }
            _ => {}
        }
    }
    // Of several the first: `max_by_key` takes the last.
    let most = DELIMITERS.iter().zip(counts).rev().max_by_key(|(_, count)| *count);
    most.map_or(b',', |(delimiter, _)| *delimiter)
}

/// The names of the columns.
fn header(file: &File, record: &StringRecord) -> Result<Vec<String>> {
    let names: Vec<String> = record.iter().map(|name| name.trim().to_owned()).collect();
    for (index, name) in names.iter().enumerate() {
        let what = if name.is_empty() {
            format!("column {} has no name", index + 1)
        } else if names.iter().take(index).any(|other| other == name) {
            format!("two columns have the name `{name}`")
        } else {
            continue;
        };
        return Err(Error::invalid_data(format!(
            "{}: line 1: {what}; correct the file, or set `Header` of the stream to false and declare `Fields`",
            file.name
        )));
    }
    Ok(names)
}

/// What is wrong with a row.
fn wrong(file: &File, error: &csv::Error) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    let name = &file.name;
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => Error::invalid_data(format!(
            "{name}: line {line}: the row has {len} values, but the first line has {expected_len}"
        )),
        csv::ErrorKind::Utf8 { err, .. } => Error::invalid_data(format!(
            "{name}: line {line}: value {} is not UTF-8; convert the file to UTF-8",
            err.field() + 1
        )),
        csv::ErrorKind::Io(error) => broken(file, error),
        _ => Error::invalid_data(format!("{name}: line {line}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_tells_the_delimiter() {
        for (start, expected) in [
            ("a,b,c\n1;2;3;4;5", b','),
            ("a;b;c\n", b';'),
            ("a\tb", b'\t'),
            ("a|b|c", b'|'),
            ("\"a;b;c\",d\n", b','),
            ("a", b','),
            ("", b','),
            ("a,b;c", b','),
        ] {
            assert_eq!(likely(start.as_bytes()), expected, "{start}");
        }
    }
}
