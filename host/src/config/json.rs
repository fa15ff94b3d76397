//! Reading a JSON file: bounded, duplicate keys found, errors that say where.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::exposure;
use super::problem::{Place, Problem, clip};

/// The largest file: generous for ten thousands of account numbers, and an end
/// for `/dev/zero`.
pub(crate) const MAX_BYTES: u64 = 64 << 20;

/// The text of a file, and whether others than its owner can get at it.
pub(crate) fn read(path: &Path) -> Result<(Zeroizing<String>, bool), Problem> {
    let unreadable = |error: std::io::Error| Problem::new("", format!("cannot be read: {}", reason(&error)));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let exposed = exposure::is_exposed(&file);
    Ok((read_open(file)?, exposed))
}

/// The text of a file that is open.
pub(crate) fn read_open(file: std::fs::File) -> Result<Zeroizing<String>, Problem> {
    let unreadable = |error: std::io::Error| Problem::new("", format!("cannot be read: {}", reason(&error)));
    // As large as the file at once: what the bytes moved from would not be wiped.
    let size = file.metadata().map_or(0, |metadata| metadata.len().min(MAX_BYTES));
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1)));
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Problem::new("", format!("is larger than {} MiB", MAX_BYTES >> 20)));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Problem::new("", "is UTF-16 text").hint("save it as UTF-8"));
    }
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            let valid_up_to = error.utf8_error().valid_up_to();
            let bytes = Zeroizing::new(error.into_bytes());
            let valid = bytes.get(..valid_up_to).unwrap_or_default();
            let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
            let problem = Problem::new(format!("line {line}"), "is no UTF-8 text");
            Err(problem.hint("save the file as UTF-8"))
        }
    }
}

/// What the system said, without its number.
pub(crate) fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string().to_lowercase(),
    }
}

/// The value of a JSON text. A byte order mark is accepted; keys that stand
/// twice in an object are all reported.
pub(crate) fn parse(text: &str) -> Result<Value, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(vec![Problem::new("", "is empty").hint("write a JSON object: { … }")]);
    }
    let mut tracker = Tracker::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Node(&mut tracker)
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| vec![syntax_problem(text, &error)])?;
    if tracker.duplicates.is_empty() { Ok(value) } else { Err(tracker.duplicates) }
}

/// Where the reader is, and the keys that it has met twice.
#[derive(Default)]
struct Tracker {
    path: Vec<Step>,
    duplicates: Vec<Problem>,
}

enum Step {
    Key(String),
    Index(usize),
}

impl Tracker {
    fn place(&self) -> Place {
        self.path.iter().fold(Place::default(), |place, step| match step {
            Step::Key(key) => place.key(key),
            Step::Index(index) => place.index(*index),
        })
    }
}

/// Reads one value.
struct Node<'a>(&'a mut Tracker);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        self.0.path.push(Step::Index(0));
        while let Some(item) = items.next_element_seed(Node(self.0))? {
            list.push(item);
            if let Some(Step::Index(index)) = self.0.path.last_mut() {
                *index += 1;
            }
        }
        self.0.path.pop();
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            self.0.path.push(Step::Key(key.clone()));
            if object.contains_key(&key) {
                let place = self.0.place();
                self.0.duplicates.push(Problem::new(place, "this key stands twice").hint("keep one of them"));
            }
            let value = entries.next_value_seed(Node(self.0))?;
            self.0.path.pop();
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// A syntax error in the operator's words. The text around it is not shown: it
/// may be a secret.
fn syntax_problem(text: &str, error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    let full = error.to_string();
    let what = match full.split(" at line ").next().unwrap_or(&full) {
        "key must be a string" => "a key must be a text",
        "expected ident" => "expected true, false or null",
        "expected value" => "expected a value",
        what => what,
    };
    let next = text.lines().nth(line.saturating_sub(1)).and_then(|text| {
        // The column counts bytes, from one.
        text.as_bytes().get(column.saturating_sub(1)).map(|byte| char::from(*byte))
    });
    let (message, hint) = match (what, next) {
        ("recursion limit exceeded", _) => {
            ("is nested too deeply".to_owned(), Some("128 levels are the most"))
        }
        ("trailing comma", _) => ("a comma with nothing after it".to_owned(), Some("remove the comma")),
        ("trailing characters", _) => {
            ("something stands after the end of the JSON value".to_owned(), Some("a file holds one object"))
        }
        (what, Some('/' | '#')) => (lower(what), Some("JSON has no comments: remove it")),
        (what, Some('\'')) => (lower(what), Some("texts stand in double quotes")),
        ("a key must be a text", _) => (what.to_owned(), Some("keys stand in double quotes")),
        (what, _) if what.starts_with("control character") => (
            "a line break or another control character in a text".to_owned(),
            Some("write \\n or close the text"),
        ),
        (what, _) if what.starts_with("EOF while parsing") => {
            let inside = what.trim_start_matches("EOF while parsing");
            (
                format!("the file ends inside{inside}"),
                Some("something is not closed, or the file was cut off"),
            )
        }
        (what, _) => (lower(what), None),
    };
    let problem = Problem::new(format!("line {line}, column {column}"), message);
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| clip(&(first.to_lowercase().to_string() + chars.as_str()))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        let problems = parse(text).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn syntax_errors_say_where_and_what() {
        let texts = [
            "",
            "{",
            "{\"a\": 1,}",
            "{\"a\" 1}",
            "{\n  // why\n}",
            "{'a': 1}",
            "{a: 1}",
            "{\"a\": 'x'}",
            "{\"a\": \"x\ny\"}",
            "{\"a\": 01}",
            "{\"a\": tru}",
            "{} {}",
            "[1 2]",
            "{\"a\": \"x",
            "{\"a\": 1e999}",
        ];
        let all: Vec<String> = texts.iter().map(|text| format!("{text:?} → {}", problems(text))).collect();
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn every_duplicate_is_reported_with_its_place() {
        insta::assert_snapshot!(problems(r#"{"a": [{"b": 1, "b": 2}], "c": 1, "c": {"d": 1, "d": 2}}"#));
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        assert!(problems(&"[".repeat(1_000_000)).contains("nested too deeply"));
    }

    #[test]
    fn a_byte_order_mark_is_accepted_and_values_are_kept() {
        let text = "\u{feff}{\"a\": [1, -2, 3.5, \"x\", true, null, {}, 18446744073709551615]}";
        assert_eq!(
            parse(text).unwrap(),
            serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')).unwrap()
        );
    }
}
