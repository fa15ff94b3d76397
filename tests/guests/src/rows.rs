//! Rows and state, written as the contract wants it.

use crate::Outcome;
use crate::bindings::ow::connector::report::{self, Level};
use crate::bindings::ow::connector::state;
use crate::bindings::ow::connector::storage::{
    self, Batch, Column, ColumnValues, VarValues, WriteMode, Writer,
};
use crate::bindings::ow::connector::types::{DataType, Field, Stream};
use crate::parameters::Parameters;

pub(crate) fn field(name: &str, data_type: DataType, nullable: bool) -> Field {
    Field { name: name.into(), data_type, nullable, description: None }
}

pub(crate) fn stream(name: &str, fields: Vec<Field>, key: &[&str]) -> Stream {
    Stream {
        name: name.into(),
        description: None,
        fields,
        primary_key: key.iter().map(|name| (*name).into()).collect(),
        cursor_field: None,
        partition_field: None,
    }
}

/// What the guest found out: a name and a value.
pub(crate) fn seen() -> Stream {
    stream("seen", vec![field("name", DataType::Text, false), field("value", DataType::Text, true)], &[])
}

/// Writes a row into the stream `seen`.
pub(crate) fn saw(name: &str, value: &str) -> Outcome {
    saw_all(std::iter::once((name.to_owned(), value.to_owned())))
}

/// Writes rows into the stream `seen`.
pub(crate) fn saw_all(rows: impl Iterator<Item = (String, String)>) -> Outcome {
    let (names, values): (Vec<String>, Vec<String>) = rows.unzip();
    let count = u32::try_from(names.len()).unwrap();
    storage::open(&seen(), WriteMode::Append)?
        .write(&Batch::Columns((count, vec![texts(&names), texts(&values)])))
}

pub(crate) fn column(values: ColumnValues) -> Column {
    Column { validity: None, values }
}

pub(crate) fn texts<T: AsRef<[u8]>>(values: &[T]) -> Column {
    column(ColumnValues::Texts(var(values)))
}

pub(crate) fn var<T: AsRef<[u8]>>(values: &[T]) -> VarValues {
    let mut offsets = vec![0];
    let mut data = Vec::new();
    for value in values {
        data.extend_from_slice(value.as_ref());
        offsets.push(u32::try_from(data.len()).unwrap());
    }
    VarValues { offsets, data }
}

/// A number, its square and a text.
pub(crate) fn numbers(name: &str, key: bool) -> Stream {
    let fields = vec![
        field("id", DataType::Int64, false),
        field("square", DataType::Int64, true),
        field("text", DataType::Text, true),
    ];
    stream(name, fields, if key { &["id"] } else { &[] })
}

fn write_numbers(writer: &Writer, first: i64, rows: u64, text: &str) -> Outcome {
    let ids: Vec<i64> = (0..i64::try_from(rows).unwrap()).map(|row| first + row).collect();
    let squares = ids.iter().map(|id| id.wrapping_mul(*id)).collect();
    let names: Vec<&str> = ids.iter().map(|_| text).collect();
    let columns =
        vec![column(ColumnValues::Int64s(ids)), column(ColumnValues::Int64s(squares)), texts(&names)];
    writer.write(&Batch::Columns((u32::try_from(rows).unwrap(), columns)))
}

fn name_of(p: &Parameters) -> String {
    Some(p.text("Stream")).filter(|name| !name.is_empty()).unwrap_or_else(|| "numbers".to_owned())
}

/// Writes `Rows` numbers from `First` on into `Stream`, `Batches` times.
pub(crate) fn write(p: &Parameters) -> Outcome {
    let mode = crate::mode(&p.text("Mode"));
    let key = p.flag("Key") || mode == WriteMode::Merge;
    let writer = storage::open(&numbers(&name_of(p), key), mode)?;
    let (rows, mut first) = (p.number("Rows", 1), p.number("First", 1));
    for _ in 0..p.number("Batches", 1) {
        write_numbers(&writer, i64::try_from(first).unwrap(), rows, &p.text("Text"))?;
        first += rows;
    }
    Ok(())
}

/// Counts on from the state up to `Until`; commits every `Rows` numbers, and
/// sleeps `Ms` after each commit.
pub(crate) fn count(p: &Parameters) -> Outcome {
    let name = name_of(p);
    let writer = storage::open(&numbers(&name, false), crate::mode(&p.text("Mode")))?;
    let mut next: u64 = state::get(&name).map_or(0, |text| text.parse().expect("the state is no number"));
    let (rows, until) = (p.number("Rows", 10).max(1), p.number("Until", 100));
    report::log(Level::Info, &format!("counting from {next}"), &[]);
    while next < until {
        if report::cancelled() {
            return Err(crate::plain(crate::ErrorKind::Cancelled, "stopped as asked"));
        }
        let rows = rows.min(until - next);
        write_numbers(&writer, i64::try_from(next).unwrap(), rows, &p.text("Text"))?;
        next += rows;
        state::set(&name, &next.to_string())?;
        state::commit()?;
        crate::sleep(p.number("Ms", 0))?;
    }
    Ok(())
}

/// Writes `Lines` into a stream with the fields `Fields` (`name type`, with a
/// `?` behind the type of what may be null) and the primary key `Key`.
pub(crate) fn json_lines(p: &Parameters) -> Outcome {
    let fields = p.texts("Fields").into_iter().map(|text| {
        let (name, rest) = text.split_once(' ').expect("a field is `name type`");
        let data_type = rest.trim_end_matches('?');
        field(name, of_type(data_type), rest.ends_with('?'))
    });
    let key = p.texts("Key");
    let key: Vec<&str> = key.iter().map(String::as_str).collect();
    let table = stream(&name_of(p), fields.collect(), &key);
    let writer = storage::open(&table, crate::mode(&p.text("Mode")))?;
    writer.write(&Batch::JsonLines(p.text("Lines").into_bytes()))
}

fn of_type(name: &str) -> DataType {
    match name {
        "boolean" => DataType::Boolean,
        "int64" => DataType::Int64,
        "float64" => DataType::Float64,
        "text" => DataType::Text,
        "bytes" => DataType::Bytes,
        "date" => DataType::Date,
        "timestamp" => DataType::Timestamp,
        "json" => DataType::Json,
        "money" => DataType::Decimal((12, 2)),
        other => panic!("there is no type {other}"),
    }
}
