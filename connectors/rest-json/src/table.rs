//! A stream's table: opened when its columns are known, which may need a look
//! at the first records.

use std::collections::BTreeMap;

use ow_connector::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::learn::{Entries, Learned};
use crate::plan::{Source, escaped};
use crate::settings::{Counts, RecordsAre, Settings};

/// What is known of a table.
pub(crate) enum State {
    /// Its columns are still to be found out.
    Learning(Box<Learned>),
    /// Rows can be written.
    Open { table: Table, columns: Vec<(String, DataType)> },
    /// The operator did not choose it.
    Unwanted,
}

/// A value that all records of a request share: a field of the parent's record.
pub(crate) struct Given {
    pub(crate) column: String,
    pub(crate) value: Value,
}

/// The key of the state under which a stream's columns are kept.
pub(crate) fn columns_key(source: &Source) -> String {
    format!("columns:{}", source.name())
}

/// The stream with its columns, declared ones and those found out.
pub(crate) fn stream(
    source: &Source,
    parent: Option<&Source>,
    learned: &Learned,
    given: &[Given],
) -> Result<Stream> {
    let settings = &source.settings;
    let mut stream = Stream::new(source.name()).primary_key(settings.primary_key.clone());
    if let Some(description) = &settings.description {
        stream = stream.describe(description);
    }
    let key = |name: &str| settings.primary_key.iter().any(|key| key == name);
    let field = |name: &str, data_type: DataType| match key(name) {
        true => Field::new(name, data_type),
        false => Field::new(name, data_type).nullable(),
    };
    for (name, of) in settings.parent.iter().flat_map(|parent| &parent.columns) {
        if settings.schema.contains_key(name) {
            continue;
        }
        let known = learned.columns().find(|(known, _)| known == name).map(|(_, found)| found);
        let declared = parent.and_then(|parent| column_at(parent, &crate::template::pointer(of)));
        let value = given.iter().find(|given| given.column == *name).map(|given| &given.value);
        let found = known.or(declared).unwrap_or_else(|| match value {
            Some(Value::Number(number)) if number.is_i64() => DataType::Int64,
            Some(Value::Bool(_)) => DataType::Boolean,
            _ => DataType::Text,
        });
        stream = stream.field(field(name, found));
    }
    for (name, column) in source.declared() {
        let column = column.in_full();
        let mut field = field(name, column.type_name.0);
        field.nullable &= !column.required;
        field.description.clone_from(&column.description);
        stream = stream.field(field);
    }
    if source.is_learned() {
        for (name, found) in learned.columns() {
            if !stream.fields.iter().any(|known| known.name == name) {
                stream = stream.field(field(name, found));
            }
        }
    }
    let names =
        || stream.fields.iter().map(|field| format!("`{}`", field.name)).collect::<Vec<_>>().join(", ");
    if let Some(missing) =
        settings.primary_key.iter().find(|key| !stream.fields.iter().any(|f| f.name == **key))
    {
        let message = format!("no record has `{missing}` of the primary key; there is {}", names());
        return Err(Error::config(message).parameter("Streams"));
    }
    let cursor = settings.incremental.as_ref().map(|incremental| incremental.field.clone());
    Ok(match cursor.filter(|name| stream.fields.iter().any(|field| field.name == *name)) {
        Some(cursor) => stream.cursor(cursor),
        None => stream,
    })
}

/// The declared type of what stands at a place in a stream's records.
fn column_at(source: &Source, place: &str) -> Option<DataType> {
    let found = source.declared().find(|(name, column)| match &column.in_full().from {
        Some(from) => from == place,
        None => format!("/{}", escaped(name)) == place,
    });
    found.map(|(_, column)| column.in_full().type_name.0)
}

/// Opens the table of a stream.
pub(crate) fn open(ctx: &mut Context<Settings>, source: &Source, stream: Stream) -> Result<State> {
    let columns = stream.fields.iter().map(|field| (field.name.clone(), field.data_type)).collect();
    let mut options = Open::default().null_texts(source.settings.null_texts.clone());
    for (name, column) in source.declared() {
        if let Some(from) = column.in_full().from.clone().filter(|_| !source.of_parent(name)) {
            options = options.place(name, from);
        }
    }
    if source.is_learned() {
        options = options.tell_extras();
    }
    options = match source.settings.epoch {
        Some(Counts::Seconds) => options.epoch(Epoch::Seconds),
        Some(Counts::Milliseconds) => options.epoch(Epoch::Millis),
        Some(Counts::Microseconds) => options.epoch(Epoch::Micros),
        None => options,
    };
    if let Some(chosen) = source.chosen.as_ref().filter(|chosen| !chosen.is_empty()) {
        let text: Vec<String> = chosen.iter().map(|field| format!("{} {field}", source.name())).collect();
        let selection = select_fields(&text.join(","), "Fields", [(source.name(), stream.clone())])?;
        options = options.fields(selection.into_iter().flat_map(|selection| selection.fields));
    }
    let table = ctx.open_stream(stream, options)?;
    Ok(State::Open { table, columns })
}

/// Keeps the columns that were found out for the next runs.
pub(crate) fn keep(
    ctx: &mut Context<Settings>,
    source: &Source,
    columns: &[(String, DataType)],
) -> Result<()> {
    let names: BTreeMap<&str, String> =
        columns.iter().map(|(name, data_type)| (name.as_str(), data_type.to_string())).collect();
    ctx.set_state(&columns_key(source), &names)
}

/// Looks at the records of a page to find out columns.
pub(crate) fn learn(source: &Source, page: &http::Page, learned: &mut Learned) -> Result<()> {
    let place = &source.settings.records;
    match source.settings.records_are {
        RecordsAre::Object => {
            if let Some(record) = page.value_at::<Entries<'_>>(place)? {
                learned.see(&record);
            }
        }
        RecordsAre::List => {
            for record in page.records::<Entries<'_>>(place)? {
                learned.see(&record?);
            }
        }
        RecordsAre::OptionalList => {
            for record in page.optional_records::<Entries<'_>>(place)? {
                learned.see(&record?);
            }
        }
    }
    Ok(())
}

/// Whether a page has no list where it need not have one.
fn is_empty(source: &Source, page: &http::Page) -> Result<bool> {
    let there = || page.value_at::<serde::de::IgnoredAny>(&source.settings.records);
    Ok(source.is_optional() && there()?.is_none())
}

/// Writes the records of a page; answers how many they were.
pub(crate) fn write(
    ctx: &mut Context<Settings>,
    source: &Source,
    state: &State,
    page: &http::Page,
    given: &[Given],
) -> Result<u64> {
    let State::Open { table, columns } = state else { return Ok(0) };
    let place = &source.settings.records;
    let cells = given.iter().map(|given| Owned::new(given, columns)).collect::<Result<Vec<_>>>()?;
    let cells: Vec<(&str, Cell<'_>)> = cells.iter().map(|owned| (owned.column, owned.cell())).collect();
    if source.settings.records_are == RecordsAre::Object {
        let missing = || Error::invalid_data(format!("there is no object at `{place}`"));
        let record = page.value_at::<&RawValue>(place)?.ok_or_else(missing)?;
        return ctx.write_object_with(*table, record.get(), &cells).map(|()| 1);
    }
    if is_empty(source, page)? {
        return Ok(0);
    }
    ctx.write_page(*table, page, place, &cells)
}

/// Hands out places of all records of a page.
pub(crate) fn pick(
    source: &Source,
    page: &http::Page,
    places: &[&str],
    mut work: impl FnMut(&[Option<&str>]) -> Result<()>,
) -> Result<u64> {
    let place = &source.settings.records;
    if source.settings.records_are == RecordsAre::Object {
        let record = page.value_at::<Value>(place)?.unwrap_or_default();
        let texts: Vec<Option<String>> =
            places.iter().map(|place| record.pointer(place).map(ToString::to_string)).collect();
        let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
        return work(&texts).map(|()| 1);
    }
    if is_empty(source, page)? {
        return Ok(0);
    }
    page.pick(place, places, work)
}

/// A given value as its column holds it.
struct Owned<'a> {
    column: &'a str,
    value: Held,
}

enum Held {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Date(Date),
    Timestamp(Timestamp),
}

impl<'a> Owned<'a> {
    fn new(given: &'a Given, columns: &[(String, DataType)]) -> Result<Self> {
        let (column, value) = (given.column.as_str(), &given.value);
        let data_type = columns.iter().find(|(name, _)| name == column).map(|(_, data_type)| *data_type);
        let data_type = data_type.ok_or_else(|| Error::internal(format!("there is no column `{column}`")))?;
        let text = value.as_str();
        let held = match data_type {
            _ if value.is_null() => Some(Held::Null),
            DataType::Json => Some(Held::Text(value.to_string())),
            DataType::Text => Some(Held::Text(text.map_or_else(|| value.to_string(), str::to_owned))),
            DataType::Decimal { .. } => {
                Some(Held::Text(text.map_or_else(|| value.to_string(), str::to_owned)))
            }
            DataType::Boolean => value.as_bool().map(Held::Bool),
            DataType::Int64 => value.as_i64().or_else(|| text?.parse().ok()).map(Held::Int),
            DataType::Float64 => value.as_f64().map(Held::Float),
            DataType::Date => text.and_then(|text| text.parse().ok()).map(Held::Date),
            DataType::Timestamp => text.and_then(|text| text.parse().ok()).map(Held::Timestamp),
            _ => None,
        };
        let wrong = || {
            let hint = "declare it in `Schema` with another type";
            Error::invalid_data(format!(
                "column `{column}` ({data_type}) cannot hold the parent's {value}; {hint}"
            ))
        };
        Ok(Self { column, value: held.ok_or_else(wrong)? })
    }

    fn cell(&self) -> Cell<'_> {
        match &self.value {
            Held::Null => Cell::Null,
            Held::Bool(value) => Cell::Bool(*value),
            Held::Int(value) => Cell::Int(*value),
            Held::Float(value) => Cell::Float(*value),
            Held::Text(value) => Cell::Text(value),
            Held::Date(value) => Cell::Date(*value),
            Held::Timestamp(value) => Cell::Timestamp(*value),
        }
    }
}
