//! Types from values: what a column holds as far as its first rows tell.

use ow_connector::prelude::*;

use crate::value::{EXACT, Value};

/// Significant digits that a float surely keeps.
const FLOAT_DIGITS: usize = 15;

/// What the values of a column were so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Nothing but nulls.
    #[default]
    Nothing,
    Boolean,
    Int,
    /// Integers of which some would lose digits as floats.
    LargeInt,
    Float,
    Decimal(u8, u8),
    Date,
    Timestamp,
    Text,
    Json,
    Bytes,
}

impl Kind {
    /// The kind of one value.
    pub(crate) fn of(value: &Value<'_>) -> Self {
        match value {
            Value::Absent | Value::Null => Self::Nothing,
            Value::Untyped(text) => of_text(text),
            Value::Text(text) => of_time(text).unwrap_or(Self::Text),
            Value::Bool(_) => Self::Boolean,
            Value::Int(value) => of_int(*value),
            Value::Float(_) => Self::Float,
            Value::Number(text) => of_number(text).unwrap_or(Self::Json),
            Value::Json(_) => Self::Json,
            Value::Bytes(_) => Self::Bytes,
            Value::Date(_) => Self::Date,
            Value::Timestamp(_) => Self::Timestamp,
        }
    }

    /// The kind that holds the values of both. What has no other is text, or
    /// JSON where the values are JSON's.
    pub(crate) fn widened(self, other: Self, json: bool) -> Self {
        use Kind::{Date, Decimal, Float, Int, LargeInt, Nothing, Text, Timestamp};
        let any = if json { Self::Json } else { Text };
        match (self, other) {
            (a, b) if a == b => a,
            (Nothing, kind) | (kind, Nothing) => kind,
            (Int, LargeInt) | (LargeInt, Int) => LargeInt,
            (Int, Float) | (Float, Int) => Float,
            (Decimal(p1, s1), Decimal(p2, s2)) => decimal((p1 - s1).max(p2 - s2), s1.max(s2)).unwrap_or(any),
            (Int | LargeInt, Decimal(p, s)) | (Decimal(p, s), Int | LargeInt) => {
                decimal((p - s).max(19), s).unwrap_or(any)
            }
            (Date, Timestamp) | (Timestamp, Date) => Timestamp,
            // All of them are texts in JSON too.
            (Text, Date | Timestamp) | (Date | Timestamp, Text) => Text,
            _ => any,
        }
    }

    /// The type of the column.
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int | Self::LargeInt => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Decimal(precision, scale) => DataType::Decimal { precision, scale },
            Self::Date => DataType::Date,
            Self::Timestamp => DataType::Timestamp,
            Self::Nothing | Self::Text => DataType::Text,
            Self::Json => DataType::Json,
            Self::Bytes => DataType::Bytes,
        }
    }
}

fn decimal(whole: u8, scale: u8) -> Option<Kind> {
    let precision = whole.checked_add(scale)?;
    (precision <= 38).then_some(Kind::Decimal(precision, scale))
}

fn of_int(value: i64) -> Kind {
    if value.unsigned_abs() <= EXACT.unsigned_abs() { Kind::Int } else { Kind::LargeInt }
}

/// A text that may be anything.
fn of_text(text: &str) -> Kind {
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        return Kind::Boolean;
    }
    of_number(text).or_else(|| of_time(text)).unwrap_or(Kind::Text)
}

/// A number as JSON writes it: what begins with a zero or a plus is more likely
/// a code. One with more digits than its type keeps is none.
fn of_number(text: &str) -> Option<Kind> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let whole = digits.bytes().take_while(u8::is_ascii_digit).count();
    let rest = digits.get(whole..)?;
    if whole == 0 || (whole > 1 && digits.starts_with('0')) {
        return None;
    }
    if rest.is_empty() {
        return text.parse().ok().map(of_int);
    }
    let mantissa = digits.split(['e', 'E']).next()?;
    let significant = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let parts = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    let value: f64 = text.parse().ok()?;
    let is_number = value.is_finite() && rest.bytes().all(parts) && !mantissa.ends_with('.');
    (is_number && (significant <= FLOAT_DIGITS || value.to_string() == text)).then_some(Kind::Float)
}

/// A day or a point in time, as ISO 8601 writes it.
fn of_time(text: &str) -> Option<Kind> {
    match text.len() {
        10 => text.parse::<Date>().ok().map(|_| Kind::Date),
        20.. => text.parse::<Timestamp>().ok().map(|_| Kind::Timestamp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Kind {
        let kinds = texts.iter().map(|text| Kind::of(&Value::Untyped(text)));
        kinds.fold(Kind::Nothing, |sum, kind| sum.widened(kind, false))
    }

    #[test]
    fn texts_are_what_all_of_them_are() {
        for (texts, expected) in [
            (&["1", "-20"][..], Kind::Int),
            (&["1", "2.5", "1e-3"], Kind::Float),
            (&["9007199254740993"], Kind::LargeInt),
            (&["9007199254740993", "0.5"], Kind::Text),
            (&["9223372036854775808"], Kind::Text),
            (&["01234"], Kind::Text),
            (&["+1"], Kind::Text),
            (&["1."], Kind::Text),
            (&["-89.23450472"], Kind::Float),
            (&["0.30000000000000004"], Kind::Float),
            (&["3.14159265358979323846"], Kind::Text),
            (&["inf"], Kind::Text),
            (&["true", "FALSE"], Kind::Boolean),
            (&["true", "1"], Kind::Text),
            (&["2024-02-29"], Kind::Date),
            (&["2024-02-29", "2024-02-29T00:00:00Z"], Kind::Timestamp),
            (&["2024-02-29T00:00:00"], Kind::Text),
            (&["2023-02-29"], Kind::Text),
            (&["2012/01/01"], Kind::Text),
            (&[], Kind::Nothing),
        ] {
            assert_eq!(of(texts), expected, "{texts:?}");
        }
    }

    #[test]
    fn what_has_no_other_type_in_json_is_json() {
        let number = Kind::of(&Value::Number("1".into()));
        let text = Kind::of(&Value::Text("x".into()));
        let day = Kind::of(&Value::Text("2024-02-29".into()));
        assert_eq!(number.widened(text, true), Kind::Json);
        assert_eq!(day.widened(text, true), Kind::Text);
        assert_eq!(day.widened(number, true), Kind::Json);
        assert_eq!(Kind::of(&Value::Number("1e400".into())), Kind::Json);
    }

    #[test]
    fn decimals_widen_as_long_as_there_are_digits() {
        assert_eq!(Kind::Decimal(5, 2).widened(Kind::Decimal(6, 4), true), Kind::Decimal(7, 4));
        assert_eq!(Kind::Decimal(5, 2).widened(Kind::Int, true), Kind::Decimal(21, 2));
        assert_eq!(Kind::Decimal(38, 38).widened(Kind::Int, false), Kind::Text);
    }
}
