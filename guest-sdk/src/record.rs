//! Rows as Rust values: the [`Record`] that an author derives, the types a
//! field may have, and the [`Cell`]s in which their values travel.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::columns::Row;
use crate::stream::{DataType, Stream};
use crate::time::{Date, Timestamp};

/// A struct whose values are rows of one stream: derive it.
pub trait Record {
    /// The name of the stream.
    const STREAM: &'static str;

    /// The stream, with its columns in the order of [`Record::encode`].
    fn stream() -> Stream;

    /// Puts the values into a row: one a field, in the order of the stream's.
    /// It may be called twice for a row that starts a new batch.
    fn encode(&self, row: &mut Row<'_>);
}

/// One value of a row, borrowed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// A `boolean` column's value.
    Bool(bool),
    /// An `int64` column's value.
    Int(i64),
    /// A `float64` column's value.
    Float(f64),
    /// The text of a `text`, `decimal` or `json` column's value.
    Text(&'a str),
    /// A `bytes` column's value.
    Bytes(&'a [u8]),
    /// A `date` column's value.
    Date(Date),
    /// A `timestamp` column's value.
    Timestamp(Timestamp),
    /// A `json` column's value that is written out when it is encoded.
    Json(&'a serde_json::Value),
}

impl Cell<'_> {
    /// What it is, for messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "no value",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Date(_) => "a date",
            Self::Timestamp(_) => "a timestamp",
            Self::Json(_) => "a JSON value",
        }
    }
}

/// A type that a field of a record may have.
pub trait Value {
    /// The column's type.
    const DATA_TYPE: DataType;
    /// Whether the value may be missing.
    const NULLABLE: bool = false;
    /// The value, borrowed.
    fn cell(&self) -> Cell<'_>;
}

macro_rules! value {
    ($($type:ty => $data_type:expr, $self:ident => $cell:expr;)*) => {$(
        impl Value for $type {
            const DATA_TYPE: DataType = $data_type;
            #[inline]
            fn cell(&$self) -> Cell<'_> {
                $cell
            }
        }
    )*};
}

value! {
    bool => DataType::Boolean, self => Cell::Bool(*self);
    i8 => DataType::Int64, self => Cell::Int(i64::from(*self));
    i16 => DataType::Int64, self => Cell::Int(i64::from(*self));
    i32 => DataType::Int64, self => Cell::Int(i64::from(*self));
    i64 => DataType::Int64, self => Cell::Int(*self);
    u8 => DataType::Int64, self => Cell::Int(i64::from(*self));
    u16 => DataType::Int64, self => Cell::Int(i64::from(*self));
    u32 => DataType::Int64, self => Cell::Int(i64::from(*self));
    f32 => DataType::Float64, self => Cell::Float(f64::from(*self));
    f64 => DataType::Float64, self => Cell::Float(*self);
    str => DataType::Text, self => Cell::Text(self);
    String => DataType::Text, self => Cell::Text(self);
    Cow<'_, str> => DataType::Text, self => Cell::Text(self);
    Box<str> => DataType::Text, self => Cell::Text(self);
    Bytes => DataType::Bytes, self => Cell::Bytes(&self.0);
    Date => DataType::Date, self => Cell::Date(*self);
    Timestamp => DataType::Timestamp, self => Cell::Timestamp(*self);
    Json => DataType::Json, self => Cell::Text(self.as_str());
    RawValue => DataType::Json, self => Cell::Text(self.get());
    Box<RawValue> => DataType::Json, self => Cell::Text(self.get());
    serde_json::Value => DataType::Json, self => Cell::Json(self);
}

impl<T: Value + ?Sized> Value for &T {
    const DATA_TYPE: DataType = T::DATA_TYPE;
    const NULLABLE: bool = T::NULLABLE;
    #[inline]
    fn cell(&self) -> Cell<'_> {
        (**self).cell()
    }
}

impl<T: Value> Value for Option<T> {
    const DATA_TYPE: DataType = T::DATA_TYPE;
    const NULLABLE: bool = true;
    #[inline]
    fn cell(&self) -> Cell<'_> {
        self.as_ref().map_or(Cell::Null, T::cell)
    }
}

impl<const P: u8, const S: u8> Value for Decimal<P, S> {
    const DATA_TYPE: DataType = {
        assert!(
            P >= 1 && P <= 38 && S <= P,
            "a decimal has 1 to 38 digits, and no more of them after the point"
        );
        DataType::Decimal { precision: P, scale: S }
    };
    #[inline]
    fn cell(&self) -> Cell<'_> {
        Cell::Text(&self.0)
    }
}

/// Bytes, for columns of binary data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Bytes(pub Vec<u8>);

impl<T: Into<Vec<u8>>> From<T> for Bytes {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}

/// Any JSON value, kept as the text in which it came.
///
/// ```
/// use ow_connector::prelude::*;
///
/// let json: Json = serde_json::from_str(r#"{"a":  1.10}"#)?;
/// assert_eq!(json.as_str(), r#"{"a":  1.10}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// The JSON of a value.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> crate::Result<Self> {
        Ok(Self(serde_json::value::to_raw_value(value)?))
    }

    /// JSON text, checked and kept as it is.
    pub fn parse(text: impl Into<String>) -> crate::Result<Self> {
        Ok(Self(RawValue::from_string(text.into())?))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

/// An exact decimal number of `P` digits, `S` of them after the point, kept as
/// its text. Deserialized from text or from a number; a JSON number beyond 15
/// digits is exact only as text.
///
/// ```
/// use ow_connector::prelude::*;
///
/// let rate: Decimal<18, 6> = "1.3625".parse()?;
/// assert_eq!(rate.as_str(), "1.3625");
/// assert!("1.3625.7".parse::<Decimal<18, 6>>().is_err());
/// assert!("0.0000001".parse::<Decimal<18, 6>>().is_err());
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal<const P: u8 = 38, const S: u8 = 9>(String);

impl<const P: u8, const S: u8> Decimal<P, S> {
    /// The number's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text is a plain decimal number that fits: no exponent, no more
/// digits than the type has. Zeros that say nothing don't count.
pub(crate) fn fits_decimal(text: &str, precision: u8, scale: u8) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    !(whole.is_empty() && fraction.is_empty())
        && all_digits(whole)
        && all_digits(fraction)
        && whole.trim_start_matches('0').len() <= usize::from(precision.saturating_sub(scale))
        && fraction.trim_end_matches('0').len() <= usize::from(scale)
}

impl<const P: u8, const S: u8> std::str::FromStr for Decimal<P, S> {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if fits_decimal(text, P, S) {
            Ok(Self(text.to_owned()))
        } else {
            Err(crate::Error::invalid_data(format!("`{text}` is not a decimal({P}, {S})")))
        }
    }
}

impl<const P: u8, const S: u8> fmt::Display for Decimal<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de, const P: u8, const S: u8> Deserialize<'de> for Decimal<P, S> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const P: u8, const S: u8>;

        impl<const P: u8, const S: u8> serde::de::Visitor<'_> for Visitor<P, S> {
            type Value = Decimal<P, S>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a decimal({P}, {S}) as text or number")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
                self.visit_str(&number.to_string())
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_come_as_text_or_number() {
        let read =
            |json: &str| serde_json::from_str::<Decimal<10, 2>>(json).map(|decimal| decimal.to_string());
        assert_eq!(read("\" 12.50 \"").unwrap(), "12.50");
        assert_eq!(read("-3").unwrap(), "-3");
        assert_eq!(read("0.1").unwrap(), "0.1");
        assert_eq!(read("\"12345678.90\"").unwrap(), "12345678.90");
        assert_eq!(read("\"12.5000\"").unwrap(), "12.5000");
        for bad in ["\"\"", "\".\"", "\"-\"", "\"1e3\"", "\"0x1\"", "\"123456789.0\"", "\"NaN\"", "1.005"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn options_are_nullable() {
        let nullable = [<Option<&str> as Value>::NULLABLE, <&str as Value>::NULLABLE];
        assert_eq!(nullable, [true, false]);
        assert!(matches!(None::<i64>.cell(), Cell::Null));
        assert!(matches!(Some("x").cell(), Cell::Text("x")));
    }
}
