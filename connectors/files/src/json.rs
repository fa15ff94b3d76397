//! JSON files: objects into rows.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::Read;

use ow_connector::prelude::*;
use serde::de::{self, DeserializeSeed, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::catalog::File;
use crate::elements::{Element, Elements, Fault};
use crate::infer::Kind;
use crate::input::{broken, open};
use crate::plan::{Column, Plan, Sink};
use crate::value::{Value, emptied, is_decimal};

/// Columns and their kinds, from the first objects.
pub(crate) fn columns(file: &File, rows: u32) -> Result<Vec<(String, Kind)>> {
    let mut elements = Elements::new(open(file)?);
    let mut found: Vec<(String, Kind)> = Vec::new();
    for _ in 0..rows {
        let Some(element) = next(file, &mut elements)? else { break };
        let place = |error: serde_json::Error| within(file, &element, &error);
        let text = text(file, &element)?;
        let mut reader = serde_json::Deserializer::from_str(text);
        let members = serde::Deserializer::deserialize_map(&mut reader, Members).map_err(place)?;
        for (name, raw) in members {
            let kind = Kind::of(&value(raw).map_err(place)?);
            match found.iter_mut().find(|(known, _)| *known == *name) {
                Some((_, known)) => *known = known.widened(kind, true),
                None => found.push((name.into_owned(), kind)),
            }
        }
    }
    Ok(found)
}

/// Hands all rows of the file to the sink. Answers whether the file's lines are
/// rows as the host takes them, without any change.
pub(crate) fn read(file: &File, plan: &Plan, sink: &mut Sink<'_>) -> Result<bool> {
    let names =
        plan.columns.iter().enumerate().map(|(index, column)| (column.from.as_str(), index)).collect();
    let mut elements = Elements::new(open(file)?);
    let (mut is_plain, mut spare) = (passes(plan), Vec::new());
    while let Some(element) = next(file, &mut elements)? {
        let text = text(file, &element)?;
        let mut row =
            Row { plan, names: &names, values: emptied(spare), misfit: None, is_plain: true, seen: 0 };
        row.values.resize(plan.columns.len(), Value::Absent);
        let mut reader = serde_json::Deserializer::from_str(text);
        (&mut row).deserialize(&mut reader).map_err(|error| match row.misfit.take() {
            Some(error) => error.context(place(file, &element)),
            None => within(file, &element, &error),
        })?;
        is_plain &= row.is_plain && memchr::memchr(b'\n', element.bytes).is_none();
        let mut values = row.values;
        for (value, column) in values.iter_mut().zip(&plan.columns) {
            if *value == Value::Absent {
                *value = plan.value(column, Value::Null, || place(file, &element))?;
            }
        }
        sink.row(&values)?;
        spare = emptied(values);
    }
    Ok(is_plain && elements.is_sequence())
}

/// Whether the host could take a file's lines as they are, by what the plan does
/// to them.
fn passes(plan: &Plan) -> bool {
    plan.settings.file_field.is_none()
        && plan.settings.row_field.is_none()
        && plan.columns.iter().all(|column| column.name == column.from)
}

fn next<'e, R: Read>(file: &File, elements: &'e mut Elements<R>) -> Result<Option<Element<'e>>> {
    elements.next().map_err(|fault| match fault {
        Fault::Io(error) => broken(file, &error),
        Fault::Form(line, what) => Error::invalid_data(format!("{}: line {line}: {what}", file.name)),
    })
}

fn text<'e>(file: &File, element: &Element<'e>) -> Result<&'e str> {
    std::str::from_utf8(element.bytes).map_err(|error| {
        let before = element.bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = element.line + memchr::memchr_iter(b'\n', before).count() as u64;
        Error::invalid_data(format!("{}: line {line}: it is not UTF-8; convert the file to UTF-8", file.name))
    })
}

fn place(file: &File, element: &Element<'_>) -> String {
    format!("{}: line {}", file.name, element.line)
}

/// An error of the parser in one object, at its place in the whole file.
fn within(file: &File, element: &Element<'_>, error: &serde_json::Error) -> Error {
    let line = element.line + (error.line() as u64).saturating_sub(1);
    let message = error.to_string();
    let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
    Error::invalid_data(format!(
        "{}: line {line}: {what} (character {} of the line or object)",
        file.name,
        error.column()
    ))
}

/// A value from its text.
fn value(raw: &RawValue) -> serde_json::Result<Value<'_>> {
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'"') => Value::Text(string(raw)?),
        Some(b'n') => Value::Null,
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'{' | b'[') => Value::Json(Cow::Borrowed(text)),
        _ => Value::Number(Cow::Borrowed(text)),
    })
}

fn string(raw: &RawValue) -> serde_json::Result<Cow<'_, str>> {
    let text = raw.get();
    match text.get(1..text.len().saturating_sub(1)) {
        Some(inside) if !inside.contains('\\') => Ok(Cow::Borrowed(inside)),
        _ => serde_json::from_str(text).map(Cow::Owned),
    }
}

/// Whether the host makes the same of a value's text as this connector.
fn is_plain(column: &Column, value: &Value<'_>) -> bool {
    match (column.data_type, value) {
        (_, Value::Null) => column.nullable,
        (DataType::Boolean, Value::Bool(_)) | (DataType::Text | DataType::Date, Value::Text(_)) => true,
        (DataType::Int64, Value::Number(text)) => text.parse::<i64>().is_ok(),
        (DataType::Float64, Value::Number(_)) => true,
        (DataType::Decimal { precision, scale }, Value::Number(text)) => is_decimal(text, precision, scale),
        // Digits beyond the microsecond are cut off here, and refused there.
        (DataType::Timestamp, Value::Text(text)) => {
            text.ends_with('Z') && text.len() <= 27 && text.len() >= 20
        }
        (DataType::Json, _) => true,
        _ => false,
    }
}

/// One object on its way to values.
struct Row<'p, 'de> {
    plan: &'p Plan,
    names: &'p HashMap<&'p str, usize>,
    values: Vec<Value<'de>>,
    /// What is wrong with a value; the parser's own errors have no room for it.
    misfit: Option<Error>,
    is_plain: bool,
    /// Columns that it has.
    seen: usize,
}

impl Row<'_, '_> {
    /// The column of a key. Objects of one file mostly have their keys in the same
    /// order, so that it is the next one.
    fn find(&self, name: &str) -> Option<usize> {
        let is_next = self.plan.columns.get(self.seen).is_some_and(|column| column.from == name);
        if is_next { Some(self.seen) } else { self.names.get(name).copied() }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Row<'_, 'de> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Row<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            let raw: &'de RawValue = map.next_value()?;
            let Some(index) = self.find(&name) else {
                if !self.plan.declared {
                    self.misfit = Some(self.plan.unknown(&name));
                    return Err(de::Error::custom("an unknown key"));
                }
                self.is_plain = false;
                continue;
            };
            let (Some(column), Some(slot)) = (self.plan.columns.get(index), self.values.get_mut(index))
            else {
                continue;
            };
            if *slot != Value::Absent {
                return Err(de::Error::custom(format!("the key `{name}` stands twice")));
            }
            let value = value(raw).map_err(de::Error::custom)?;
            self.is_plain &= is_plain(column, &value);
            self.seen += 1;
            match self.plan.value(column, value, String::new) {
                Ok(value) => *slot = value,
                Err(error) => {
                    self.misfit = Some(error);
                    return Err(de::Error::custom("a value that does not fit"));
                }
            }
        }
        // Under merge the host keeps what stands in a column that an object lacks.
        self.is_plain &= self.seen == self.values.len() || self.plan.stream.primary_key.is_empty();
        Ok(())
    }
}

/// A key, borrowed where it has no escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> std::result::Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The members of an object in their order.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            members.push((name, map.next_value()?));
        }
        Ok(members)
    }
}
