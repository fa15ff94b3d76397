//! Values as files have them, and what they are in a column.

use std::borrow::Cow;

use ow_connector::prelude::*;

/// Integers up to here are floats without a loss.
pub(crate) const EXACT: i64 = 1 << 53;

/// An empty list for the values of the next row, in the memory of this one:
/// collecting what comes out of a list reuses it.
pub(crate) fn emptied<'next>(mut values: Vec<Value<'_>>) -> Vec<Value<'next>> {
    values.clear();
    values.into_iter().map_while(|_| None).collect()
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    /// Nothing was said of it.
    Absent,
    /// There is none.
    Null,
    /// The text of a format that knows no types.
    Untyped(&'a str),
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A number as its text: of JSON, or a decimal.
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
    /// JSON as its text.
    Json(Cow<'a, str>),
    Bytes(&'a [u8]),
    Date(Date),
    Timestamp(Timestamp),
}

impl<'a> Value<'a> {
    /// The value as the SDK takes it.
    pub(crate) fn cell(&self) -> Cell<'_> {
        match self {
            Self::Absent | Self::Null => Cell::Null,
            Self::Untyped(text) => Cell::Text(text),
            Self::Number(text) | Self::Text(text) | Self::Json(text) => Cell::Text(text),
            Self::Bool(value) => Cell::Bool(*value),
            Self::Int(value) => Cell::Int(*value),
            Self::Float(value) => Cell::Float(*value),
            Self::Bytes(value) => Cell::Bytes(value),
            Self::Date(value) => Cell::Date(*value),
            Self::Timestamp(value) => Cell::Timestamp(*value),
        }
    }

    /// The value in a column of this type; itself if it does not fit there
    /// without a loss.
    #[inline]
    pub(crate) fn into_type(self, data_type: DataType) -> Result<Self, Self> {
        let fits = match (data_type, &self) {
            (_, Self::Absent | Self::Null) => Some(Self::Null),
            (DataType::Boolean, _) => self.boolean().map(Self::Bool),
            (DataType::Int64, _) => self.int().map(Self::Int),
            (DataType::Float64, _) => self.float().map(Self::Float),
            (DataType::Decimal { precision, scale }, _) => self.decimal(precision, scale).map(Self::Number),
            (DataType::Date, _) => self.date().map(Self::Date),
            (DataType::Timestamp, _) => self.timestamp().map(Self::Timestamp),
            (DataType::Text, _) => return self.text(),
            (DataType::Json, _) => return self.json(),
            (DataType::Bytes, Self::Bytes(_)) => return Ok(self),
            _ => None,
        };
        fits.ok_or(self)
    }

    /// The text of a value that may stand for another.
    fn as_text(&self) -> Option<&str> {
        match self {
            Self::Untyped(text) => Some(text),
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn boolean(&self) -> Option<bool> {
        match (self, self.as_text()) {
            (Self::Bool(value), _) => Some(*value),
            (_, Some(text)) => boolean(text),
            _ => None,
        }
    }

    fn int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Number(text) => text.parse().ok().or_else(|| whole(text)),
            Self::Untyped(text) => text.parse().ok(),
            Self::Text(text) => text.parse().ok(),
            Self::Float(value) => {
                (value.fract() == 0.0 && value.abs() <= EXACT as f64).then_some(*value as i64)
            }
            _ => None,
        }
    }

    fn float(&self) -> Option<f64> {
        let value = match self {
            Self::Float(value) => return Some(*value),
            Self::Int(value) => return (value.abs() <= EXACT).then_some(*value as f64),
            Self::Number(text) | Self::Text(text) => text.parse().ok(),
            Self::Untyped(text) => text.parse().ok(),
            _ => None,
        };
        value.filter(|value: &f64| value.is_finite())
    }

    fn decimal(&self, precision: u8, scale: u8) -> Option<Cow<'a, str>> {
        let text: Cow<'a, str> = match self {
            Self::Number(text) | Self::Text(text) => text.clone(),
            Self::Untyped(text) => Cow::Borrowed(text),
            Self::Int(value) => Cow::Owned(value.to_string()),
            Self::Float(value) => Cow::Owned(value.to_string()),
            _ => return None,
        };
        is_decimal(&text, precision, scale).then_some(text)
    }

    fn date(&self) -> Option<Date> {
        match (self, self.as_text()) {
            (Self::Date(date), _) => Some(*date),
            (Self::Timestamp(time), _) => (time.date().midnight() == *time).then(|| time.date()),
            (_, Some(text)) => text.parse().ok(),
            _ => None,
        }
    }

    fn timestamp(&self) -> Option<Timestamp> {
        match (self, self.as_text()) {
            (Self::Timestamp(time), _) => Some(*time),
            (Self::Date(date), _) => Some(date.midnight()),
            (_, Some(text)) => timestamp(text),
            _ => None,
        }
    }

    fn text(self) -> Result<Self, Self> {
        Ok(Self::Text(match self {
            Self::Untyped(text) => Cow::Borrowed(text),
            Self::Number(text) | Self::Text(text) | Self::Json(text) => text,
            Self::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
            Self::Int(value) => Cow::Owned(value.to_string()),
            Self::Float(value) => Cow::Owned(value.to_string()),
            Self::Date(value) => Cow::Owned(value.to_string()),
            Self::Timestamp(value) => Cow::Owned(value.to_string()),
            Self::Absent | Self::Null | Self::Bytes(_) => return Err(self),
        }))
    }

    fn json(self) -> Result<Self, Self> {
        let quoted = |text: &str| serde_json::to_string(text).map(Cow::Owned);
        let json = match &self {
            Self::Json(_) => return Ok(self),
            Self::Untyped(text) => {
                let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
                return if is_json { Ok(Self::Json(Cow::Borrowed(text))) } else { Err(self) };
            }
            Self::Number(text) => Ok(text.clone()),
            Self::Text(text) => quoted(text),
            Self::Bool(value) => Ok(Cow::Owned(value.to_string())),
            Self::Int(value) => Ok(Cow::Owned(value.to_string())),
            Self::Float(value) => serde_json::to_string(value).map(Cow::Owned),
            Self::Date(value) => quoted(&value.to_string()),
            Self::Timestamp(value) => quoted(&value.to_string()),
            Self::Absent | Self::Null | Self::Bytes(_) => return Err(self),
        };
        json.map(Self::Json).map_err(|_| self)
    }

    /// What it is, for a message: short, and in one line.
    pub(crate) fn shown(&self) -> String {
        let text: Cow<'_, str> = match self {
            Self::Absent | Self::Null => return "no value".to_owned(),
            Self::Bytes(bytes) => return format!("{} bytes", bytes.len()),
            Self::Untyped(text) => Cow::Borrowed(text),
            Self::Number(text) | Self::Text(text) | Self::Json(text) => Cow::Borrowed(text),
            Self::Bool(value) => Cow::Owned(value.to_string()),
            Self::Int(value) => Cow::Owned(value.to_string()),
            Self::Float(value) => Cow::Owned(value.to_string()),
            Self::Date(value) => Cow::Owned(value.to_string()),
            Self::Timestamp(value) => Cow::Owned(value.to_string()),
        };
        let mut shown: String = text.chars().take(60).collect::<String>().escape_debug().collect();
        if text.chars().nth(60).is_some() {
            shown.push('…');
        }
        format!("`{shown}`")
    }
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// A whole number that is written with a point, such as `7.00`.
fn whole(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.')?;
    fraction.bytes().all(|byte| byte == b'0').then(|| whole.parse().ok())?
}

/// A time; one without a zone is taken for UTC.
fn timestamp(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    if text.len() == 10 {
        return text.parse::<Date>().ok().map(Date::midnight);
    }
    let with_seconds = if text.len() == 16 { format!("{text}:00Z") } else { format!("{text}Z") };
    with_seconds.parse().ok()
}

/// Whether a text is a plain decimal number with no more digits than these.
pub(crate) fn is_decimal(text: &str, precision: u8, scale: u8) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    !(whole.is_empty() && fraction.is_empty())
        && all_digits(whole)
        && all_digits(fraction)
        && whole.trim_start_matches('0').len() <= usize::from(precision.saturating_sub(scale))
        && fraction.trim_end_matches('0').len() <= usize::from(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONEY: DataType = DataType::Decimal { precision: 5, scale: 2 };

    fn shown(value: Value<'_>, data_type: DataType) -> Option<String> {
        value.into_type(data_type).ok().map(|value| format!("{:?}", value.cell()))
    }

    #[test]
    fn texts_become_what_their_column_holds() {
        for (text, data_type, expected) in [
            ("TRUE", DataType::Boolean, Some("Bool(true)")),
            ("1", DataType::Boolean, None),
            ("-12", DataType::Int64, Some("Int(-12)")),
            ("1.0", DataType::Int64, None),
            ("9223372036854775808", DataType::Int64, None),
            ("1e3", DataType::Float64, Some("Float(1000.0)")),
            ("NaN", DataType::Float64, None),
            ("1e999", DataType::Float64, None),
            ("12.50", MONEY, Some("Text(\"12.50\")")),
            ("1234.5", MONEY, None),
            ("0.005", MONEY, None),
            ("2024-02-29", DataType::Date, Some("Date(Date(19782))")),
            ("2023-02-29", DataType::Date, None),
            ("29.02.2024", DataType::Date, None),
            ("1970-01-01T00:00:01+00:00", DataType::Timestamp, Some("Timestamp(Timestamp(1000000))")),
            ("1970-01-01 00:00:01", DataType::Timestamp, Some("Timestamp(Timestamp(1000000))")),
            ("1970-01-01T00:01", DataType::Timestamp, Some("Timestamp(Timestamp(60000000))")),
            ("1970-01-02", DataType::Timestamp, Some("Timestamp(Timestamp(86400000000))")),
            ("yesterday", DataType::Timestamp, None),
            ("[1, 2]", DataType::Json, Some("Text(\"[1, 2]\")")),
            ("[1, 2", DataType::Json, None),
            ("abc", DataType::Bytes, None),
        ] {
            let found = shown(Value::Untyped(text), data_type);
            assert_eq!(found.as_deref(), expected, "{text} as {data_type:?}");
        }
    }

    #[test]
    fn values_with_a_type_change_it_without_a_loss_only() {
        let number = |text: &'static str| Value::Number(text.into());
        for (value, data_type, expected) in [
            (number("7.00"), DataType::Int64, Some("Int(7)")),
            (number("7.5"), DataType::Int64, None),
            (Value::Int(EXACT), DataType::Float64, Some("Float(9007199254740992.0)")),
            (Value::Int(EXACT + 1), DataType::Float64, None),
            (number("12.5"), MONEY, Some("Text(\"12.5\")")),
            (number("1e2"), MONEY, None),
            (Value::Float(0.1), MONEY, Some("Text(\"0.1\")")),
            (Value::Float(2.0), DataType::Int64, Some("Int(2)")),
            (Value::Float(2.5), DataType::Int64, None),
            (Value::Text("x".into()), DataType::Json, Some("Text(\"\\\"x\\\"\")")),
            (Value::Bool(true), DataType::Text, Some("Text(\"true\")")),
            (Value::Json("{}".into()), DataType::Text, Some("Text(\"{}\")")),
            (Value::Bytes(b"x"), DataType::Text, None),
            (Value::Null, DataType::Int64, Some("Null")),
        ] {
            let described = format!("{value:?} as {data_type:?}");
            assert_eq!(shown(value, data_type).as_deref(), expected, "{described}");
        }
    }
}
