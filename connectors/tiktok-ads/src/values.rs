//! From the API's values to a column's. What a value becomes is told by this
//! table; whatever is not in it is an error that names the field and the value,
//! never a null.
//!
//! | column | the API's value | becomes |
//! |---|---|---|
//! | any | `null`, or no value | null |
//! | any but text | an empty text, or `-` | null: "not available" |
//! | text of a report | `-` | null: "not available" |
//! | text | text | itself, whole |
//! | text | a number, a boolean, a list, an object | its JSON |
//! | number | a number, or the text of one | the nearest 64-bit number |
//! | integer | a whole number, or the text of one; `3.0` is one | itself |
//! | boolean | `true`, `false`, 1, 0, or the text of one of these | true or false |
//! | date | `2024-05-15`, or its midnight as `2024-05-15 00:00:00` | the day |
//! | time | `2024-05-15 08:30:00`, which is UTC; RFC 3339; seconds since 1970 | the time |
//! | JSON | anything | itself |

use std::borrow::Cow;

use ow_connector::prelude::*;
use serde_json::value::RawValue;

use crate::fields::Kind;

/// What the API writes where a figure is not available.
const NOT_AVAILABLE: &str = "-";

/// Characters of a value that a message quotes.
const QUOTED: usize = 80;

/// A value on its way into a column.
#[derive(Debug, PartialEq)]
pub(crate) enum Converted<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Date(Date),
    Time(Timestamp),
    /// Of a text or a JSON column.
    Text(Cow<'a, str>),
}

impl Converted<'_> {
    pub(crate) fn cell(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Bool(value) => Cell::Bool(*value),
            Self::Int(value) => Cell::Int(*value),
            Self::Float(value) => Cell::Float(*value),
            Self::Date(value) => Cell::Date(*value),
            Self::Time(value) => Cell::Timestamp(*value),
            Self::Text(value) => Cell::Text(value),
        }
    }
}

/// The type of the columns of a kind.
pub(crate) fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text => DataType::Text,
        Kind::Number => DataType::Float64,
        Kind::Integer => DataType::Int64,
        Kind::Boolean => DataType::Boolean,
        Kind::Date => DataType::Date,
        Kind::Time => DataType::Timestamp,
        Kind::Json => DataType::Json,
    }
}

/// Converts a value, or says why it cannot be: what was expected, and what came.
pub(crate) fn convert(kind: Kind, of_report: bool, value: &RawValue) -> Result<Converted<'_>> {
    let json = value.get();
    if json == "null" {
        return Ok(Converted::Null);
    }
    if kind == Kind::Json {
        return Ok(Converted::Text(Cow::Borrowed(json)));
    }
    let text = if json.starts_with('"') { unquote(json)? } else { Cow::Borrowed(json) };
    if kind == Kind::Text {
        let absent = of_report && text == NOT_AVAILABLE;
        return Ok(if absent { Converted::Null } else { Converted::Text(text) });
    }
    if json.starts_with('"') && (text.is_empty() || text == NOT_AVAILABLE) {
        return Ok(Converted::Null);
    }
    scalar(kind, &text).ok_or_else(|| {
        let expected = match kind {
            Kind::Number => "a number",
            Kind::Integer => "a whole number of 64 bits",
            Kind::Boolean => "true or false",
            Kind::Date => "a day, as YYYY-MM-DD",
            Kind::Time => "a time, as YYYY-MM-DD HH:MM:SS",
            Kind::Text | Kind::Json => "text",
        };
        Error::invalid_data(format!("expected {expected}, but the API answered {}", quote(json)))
    })
}

/// A value of a column that is neither text nor JSON.
fn scalar(kind: Kind, text: &str) -> Option<Converted<'static>> {
    match kind {
        Kind::Number => decimal(text).map(Converted::Float),
        Kind::Integer => whole(text).map(Converted::Int),
        Kind::Boolean => match text {
            "1" => Some(true),
            "0" => Some(false),
            word if word.eq_ignore_ascii_case("true") => Some(true),
            word if word.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
        .map(Converted::Bool),
        Kind::Date => {
            let day = text.strip_suffix("00:00:00").map_or(text, |day| day.trim_end_matches([' ', 'T']));
            day.parse().ok().map(Converted::Date)
        }
        Kind::Time => time(text).map(Converted::Time),
        Kind::Text | Kind::Json => None,
    }
}

/// A number as JSON and TikTok write it: no `NaN`, no `inf`, no `0x10`.
fn decimal(text: &str) -> Option<f64> {
    let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E');
    if !text.bytes().all(plain) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A whole number, also as `3.0`.
fn whole(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let zeros = !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0');
    whole.parse().ok().filter(|_| zeros)
}

/// A time: RFC 3339, the same without a zone in UTC, or seconds since 1970.
fn time(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<i64>() {
        let time = Timestamp::from_seconds(seconds);
        return Some(time).filter(|time| time.seconds() == seconds);
    }
    text.parse().or_else(|_| format!("{text}Z").parse()).ok()
}

/// The text of a JSON string.
fn unquote(json: &str) -> Result<Cow<'_, str>> {
    let inside = json.get(1..json.len().saturating_sub(1)).filter(|inside| !inside.contains('\\'));
    match inside {
        Some(inside) => Ok(Cow::Borrowed(inside)),
        None => Ok(Cow::Owned(serde_json::from_str(json)?)),
    }
}

/// A value as a message shows it.
fn quote(json: &str) -> String {
    match json.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", json.get(..end).unwrap_or_default()),
        None => json.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, json: &str) -> String {
        let value = serde_json::from_str::<&RawValue>(json).unwrap();
        match convert(kind, false, value) {
            Ok(Converted::Date(day)) => day.to_string(),
            Ok(Converted::Time(time)) => time.to_string(),
            Ok(value) => format!("{value:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn numbers_come_as_numbers_or_text() {
        let number = |json| read(Kind::Number, json);
        assert_eq!(
            ["12.5", "\"12.50\"", "0", "\"-3\"", "1e3"].map(number),
            ["Float(12.5)", "Float(12.5)", "Float(0.0)", "Float(-3.0)", "Float(1000.0)"]
        );
        assert_eq!(["null", "\"-\"", "\"\""].map(number), ["Null"; 3]);
        for wrong in ["\"NaN\"", "\"inf\"", "\"1,5\"", "\"1.5%\"", "true", "[1]", "{}", "\" 1\"", "\"1e999\"", "\"--\""] {
            assert_eq!(number(wrong), format!("expected a number, but the API answered {wrong}"));
        }
    }

    #[test]
    fn whole_numbers_stay_whole() {
        let integer = |json| read(Kind::Integer, json);
        assert_eq!(
            ["7", "\"7\"", "7.0", "\"7.00\"", "9223372036854775807", "\"-\""].map(integer),
            ["Int(7)", "Int(7)", "Int(7)", "Int(7)", "Int(9223372036854775807)", "Null"]
        );
        for wrong in ["7.5", "\"7.\"", "9223372036854775808", "\"many\"", "\".0\"", "false", "[]"] {
            let told = integer(wrong);
            assert_eq!(told, format!("expected a whole number of 64 bits, but the API answered {wrong}"));
        }
    }

    #[test]
    fn false_is_false() {
        let boolean = |json| read(Kind::Boolean, json);
        for json in ["false", "\"false\"", "\"False\"", "0", "\"0\""] {
            assert_eq!(boolean(json), "Bool(false)");
        }
        assert_eq!(boolean("\"TRUE\""), "Bool(true)");
        assert_eq!(boolean("\"-\""), "Null");
        assert_eq!(boolean("\"ON\""), "expected true or false, but the API answered \"ON\"");
    }

    #[test]
    fn days_and_times_are_utc() {
        let day = |json| read(Kind::Date, json);
        assert_eq!(
            ["\"2024-02-29\"", "\"2024-02-29 00:00:00\"", "\"2024-02-29T00:00:00\""].map(day),
            ["2024-02-29"; 3]
        );
        for wrong in ["\"2023-02-29\"", "\"2024-02-29 01:00:00\"", "20240229"] {
            assert_eq!(day(wrong), format!("expected a day, as YYYY-MM-DD, but the API answered {wrong}"));
        }
        let time = |json| read(Kind::Time, json);
        assert_eq!(time("\"2024-03-31 02:30:00\""), "2024-03-31T02:30:00Z");
        assert_eq!(time("\"2024-03-31T02:30:00+02:00\""), "2024-03-31T00:30:00Z");
        assert_eq!(["1711852200", "\"1711852200\""].map(time), ["2024-03-31T02:30:00Z"; 2]);
        assert_eq!(["\"\"", "\"-\"", "null"].map(time), ["Null"; 3]);
        for wrong in ["\"soon\"", "\"2024-03-31\"", "99999999999999", "1.5"] {
            assert!(time(wrong).starts_with("expected a time, as YYYY-MM-DD HH:MM:SS, but the API answered "));
        }
    }

    #[test]
    fn texts_are_kept_whole() {
        let text = |json| read(Kind::Text, json);
        assert_eq!(text(r#""a \"b\" \u00e9\n""#), r#"Text("a \"b\" é\n")"#);
        assert_eq!(["7300000000000000001", "true", "[\"HOUSING\"]", "\"-\"", "\"\""].map(text), [
            "Text(\"7300000000000000001\")",
            "Text(\"true\")",
            "Text(\"[\\\"HOUSING\\\"]\")",
            "Text(\"-\")",
            "Text(\"\")"
        ]);
        let dash = serde_json::from_str::<&RawValue>("\"-\"").unwrap();
        assert_eq!(convert(Kind::Text, true, dash).unwrap(), Converted::Null);
        let long = format!("\"{}\"", "x".repeat(100_000));
        assert_eq!(text(&long).len(), "Text(\"\")".len() + 100_000);
        assert_eq!(read(Kind::Json, "[1.50, {\"a\": null}]"), "Text(\"[1.50, {\\\"a\\\": null}]\")");
    }

    #[test]
    fn long_values_are_cut_in_messages() {
        let told = read(Kind::Number, &format!("\"{}\"", "é".repeat(200)));
        assert!(told.ends_with("é…"), "{told}");
        assert!(told.chars().count() < 140, "{told}");
    }
}
