//! What becomes of a JSON value in a column of another type: exact, or refused.

use base64::Engine as _;

use crate::json::Token;
use crate::record::{Cell, fits_decimal};
use crate::stream::DataType;
use crate::time::{Date, Timestamp};

/// Digits that every `float64` holds exactly.
const FLOAT_DIGITS: usize = 15;

/// Digits of the largest `int64`.
const INT_DIGITS: i64 = 19;

/// Digits of the largest decimal.
const DECIMAL_DIGITS: i64 = 38;

/// What a number in a `timestamp` column counts, from 1970-01-01T00:00:00Z on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epoch {
    /// Seconds; a fraction is kept.
    Seconds,
    /// Thousandths of a second.
    Millis,
    /// Millionths of a second.
    Micros,
}

impl Epoch {
    /// How many decimal places a number moves to become microseconds.
    fn shift(self) -> i64 {
        match self {
            Self::Seconds => 6,
            Self::Millis => 3,
            Self::Micros => 0,
        }
    }
}

/// Room for what has to be decoded, kept from value to value.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    text: String,
    plain: String,
    bytes: Vec<u8>,
}

impl Scratch {
    /// The value of a column. `None`: the column cannot hold it.
    #[inline]
    pub(crate) fn cell<'a>(
        &'a mut self,
        data_type: DataType,
        token: Token<'a>,
        epoch: Option<Epoch>,
    ) -> Option<Cell<'a>> {
        let (value, quoted, whole) = match token {
            Token::Null => return Some(Cell::Null),
            Token::Nested => return None,
            Token::Bool(value) => return boolean(data_type, value),
            Token::Number(number, whole) => (number, false, whole),
            Token::Text(text) => (text.decode(&mut self.text)?, true, false),
        };
        let number = if quoted { value.trim_ascii() } else { value };
        match data_type {
            DataType::Text => Some(Cell::Text(value)),
            DataType::Int64 => integer(number).map(Cell::Int),
            DataType::Float64 => float(number, whole).map(Cell::Float),
            DataType::Boolean => truth(number).map(Cell::Bool),
            DataType::Decimal { precision, scale } => {
                decimal(number, precision, scale, &mut self.plain).map(Cell::Text)
            }
            DataType::Date if quoted => date(number).map(Cell::Date),
            DataType::Timestamp if quoted => Timestamp::lenient(number).map(Cell::Timestamp),
            DataType::Timestamp => moment(number, epoch?).map(Cell::Timestamp),
            DataType::Bytes if quoted => {
                self.bytes.clear();
                base64::prelude::BASE64_STANDARD.decode_vec(value, &mut self.bytes).ok()?;
                Some(Cell::Bytes(&self.bytes))
            }
            DataType::Date | DataType::Bytes | DataType::Json => None,
        }
    }
}

fn boolean(data_type: DataType, value: bool) -> Option<Cell<'static>> {
    match data_type {
        DataType::Boolean => Some(Cell::Bool(value)),
        DataType::Text => Some(Cell::Text(if value { "true" } else { "false" })),
        _ => None,
    }
}

fn truth(text: &str) -> Option<bool> {
    if text == "1" || text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text == "0" || text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

#[inline]
pub(crate) fn integer(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| Exact::parse(text)?.integer(0))
}

/// The nearest there is, as everywhere; but an integer that is not there exactly
/// may be somebody's key.
#[inline]
fn float(text: &str, whole: bool) -> Option<f64> {
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    if text.len() > FLOAT_DIGITS {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if whole || digits.bytes().all(|byte| byte.is_ascii_digit()) {
            // A float beyond 2^128 becomes the largest integer, which no float is.
            return (digits.parse::<u128>().ok()? == number.abs() as u128).then_some(number);
        }
        // What `inf` and `nan` write out has no digits.
    }
    Some(number)
}

fn decimal<'a>(text: &'a str, precision: u8, scale: u8, plain: &'a mut String) -> Option<&'a str> {
    if fits_decimal(text, precision, scale) {
        return Some(text);
    }
    Exact::parse(text)?.write(plain)?;
    fits_decimal(plain, precision, scale).then_some(plain)
}

/// `YYYY-MM-DD`, or a moment of which only the day is left: midnight in UTC.
fn date(text: &str) -> Option<Date> {
    if text.len() == 10 {
        return text.parse().ok();
    }
    let moment = Timestamp::lenient(text)?;
    (moment == moment.date().midnight()).then(|| moment.date())
}

fn moment(number: &str, epoch: Epoch) -> Option<Timestamp> {
    let micros = Exact::parse(number)?.integer(epoch.shift())?;
    let moment = Timestamp::from_micros(micros);
    (moment.micros() == micros).then_some(moment)
}

/// A number as its digits: `digits * 10^exponent`, without zeros at either end.
struct Exact {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Exact {
    fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let negative = mantissa.starts_with('-');
        let mantissa = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = [whole, fraction].concat();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let all = digits.len();
        digits.truncate(digits.trim_end_matches('0').len());
        let zeros = i64::try_from(all - digits.len()).ok()?;
        let exponent = i64::from(exponent) - i64::try_from(fraction.len()).ok()? + zeros;
        let start = digits.len() - digits.trim_start_matches('0').len();
        digits.drain(..start);
        Some(Self { negative, digits, exponent })
    }

    /// The number times `10^shift`, if that is an integer.
    fn integer(&self, shift: i64) -> Option<i64> {
        if self.digits.is_empty() {
            return Some(0);
        }
        let exponent = self.exponent + shift;
        if exponent < 0 || exponent + i64::try_from(self.digits.len()).ok()? > INT_DIGITS {
            return None;
        }
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{}{}", self.digits, zeros(exponent)).parse().ok()
    }

    /// Writes it without an exponent; `None` if it is longer than any decimal.
    fn write(&self, into: &mut String) -> Option<()> {
        into.clear();
        if self.digits.is_empty() {
            into.push('0');
            return Some(());
        }
        let length = i64::try_from(self.digits.len()).ok()?;
        if self.exponent < -DECIMAL_DIGITS || self.exponent + length > DECIMAL_DIGITS {
            return None;
        }
        if self.negative {
            into.push('-');
        }
        if self.exponent >= 0 {
            into.push_str(&self.digits);
            into.push_str(&zeros(self.exponent));
        } else {
            let padded = format!("{}{}", zeros(-self.exponent - length), self.digits);
            let point = padded.len().checked_sub(usize::try_from(-self.exponent).ok()?)?;
            let (whole, fraction) = padded.split_at_checked(point)?;
            into.push_str(if whole.is_empty() { "0" } else { whole });
            into.push('.');
            into.push_str(fraction);
        }
        Some(())
    }
}

fn zeros(count: i64) -> String {
    "0".repeat(usize::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Scanner;

    /// What a column makes of a JSON value, as text.
    fn convert(data_type: DataType, json: &str) -> Option<String> {
        convert_epoch(data_type, json, None)
    }

    fn convert_epoch(data_type: DataType, json: &str, epoch: Option<Epoch>) -> Option<String> {
        let mut scratch = Scratch::default();
        let cell = scratch.cell(data_type, Scanner::new(json).token().unwrap(), epoch)?;
        Some(match cell {
            Cell::Null => "null".to_owned(),
            Cell::Bool(value) => value.to_string(),
            Cell::Int(value) => value.to_string(),
            Cell::Float(value) => format!("{value:?}"),
            Cell::Text(text) => text.to_owned(),
            Cell::Bytes(bytes) => format!("{bytes:?}"),
            Cell::Date(date) => date.to_string(),
            Cell::Timestamp(time) => time.to_string(),
            Cell::Json(value) => value.to_string(),
        })
    }

    fn check(data_type: DataType, good: &[(&str, &str)], bad: &[&str]) {
        for (json, want) in good {
            assert_eq!(convert(data_type, json).as_deref(), Some(*want), "{json} as {data_type:?}");
        }
        for json in bad {
            assert_eq!(convert(data_type, json), None, "{json} as {data_type:?}");
        }
    }

    #[test]
    fn integers() {
        check(
            DataType::Int64,
            &[
                ("7", "7"),
                ("-0", "0"),
                ("\" 42 \"", "42"),
                ("\"+42\"", "42"),
                ("5.0", "5"),
                ("1e3", "1000"),
                ("1.50e1", "15"),
                ("\"12.00\"", "12"),
                ("9223372036854775807", "9223372036854775807"),
                ("-9223372036854775808", "-9223372036854775808"),
                ("9.223372036854775807e18", "9223372036854775807"),
                ("0e999999999", "0"),
                ("120e-1", "12"),
            ],
            &[
                "9223372036854775808",
                "-9223372036854775809",
                "1e19",
                "5.5",
                "1e-1",
                "\"\"",
                "\"-\"",
                "\"12a\"",
                "\"1,000\"",
                "true",
                "\"0x10\"",
                "1e999999999",
                "\"1e99999999999\"",
                "\"NaN\"",
                "\"1 2\"",
                "\"\\u00b2\"",
            ],
        );
    }

    #[test]
    fn floats() {
        check(
            DataType::Float64,
            &[
                ("0.1", "0.1"),
                ("3", "3.0"),
                ("\"1e5\"", "100000.0"),
                ("-0.0", "-0.0"),
                ("\" 2.5 \"", "2.5"),
                ("9007199254740992", "9007199254740992.0"),
                ("100000000000000000000", "1e20"),
                ("1.7976931348623157e308", "1.7976931348623157e308"),
                ("0.1000000000000000055511151231257827", "0.1"),
                ("-9007199254740994", "-9007199254740994.0"),
            ],
            &[
                "9007199254740993",
                "-9007199254740993",
                "\"9007199254740993\"",
                "1e400",
                "\"inf\"",
                "\"NaN\"",
                "\"infinity\"",
                "\"\"",
                "true",
                "\"1,5\"",
                "1000000000000000000000000000000000000001",
                "\"0x1p3\"",
            ],
        );
    }

    #[test]
    fn booleans() {
        check(
            DataType::Boolean,
            &[
                ("true", "true"),
                ("false", "false"),
                ("\"TRUE\"", "true"),
                ("\"False\"", "false"),
                ("1", "true"),
                ("0", "false"),
                ("\"1\"", "true"),
            ],
            &["2", "1.0", "\"yes\"", "\"\"", "\"t\"", "-0"],
        );
    }

    #[test]
    fn decimals() {
        check(
            DataType::Decimal { precision: 10, scale: 2 },
            &[
                ("12.5", "12.5"),
                ("\"12.50\"", "12.50"),
                ("-3", "-3"),
                ("1.25e2", "125"),
                ("125e-2", "1.25"),
                ("5e-2", "0.05"),
                ("-5E-1", "-0.5"),
                ("1e7", "10000000"),
                ("12.500", "12.500"),
                ("0.0e-50", "0"),
            ],
            &["1.005", "123456789.0", "1e8", "1e-3", "1e999999999", "\"\"", "\"abc\"", "true", "\"1.2.3\""],
        );
        check(
            DataType::Decimal { precision: 38, scale: 0 },
            &[("99999999999999999999999999999999999999", "99999999999999999999999999999999999999")],
            &["100000000000000000000000000000000000000", "1e38"],
        );
    }

    #[test]
    fn texts_keep_every_digit() {
        check(
            DataType::Text,
            &[
                ("\"a\\u00e9\\n\"", "aé\n"),
                ("12345678901234567890", "12345678901234567890"),
                ("1.10", "1.10"),
                ("true", "true"),
                ("\"\"", ""),
                ("null", "null"),
            ],
            &["\"\\ud83d\""],
        );
    }

    #[test]
    fn days_and_moments() {
        check(
            DataType::Date,
            &[
                ("\"2024-02-29\"", "2024-02-29"),
                ("\"2024-02-29 00:00:00\"", "2024-02-29"),
                ("\"2024-02-29T00:00:00.000Z\"", "2024-02-29"),
                ("\"2024-03-01T02:00:00+02:00\"", "2024-03-01"),
            ],
            &[
                "\"2023-02-29\"",
                "\"2024-02-29T00:00:01Z\"",
                "\"2024-03-01T00:00:00+02:00\"",
                "\"\"",
                "\"01.02.2024\"",
                "20240229",
                "\"2024-2-9\"",
            ],
        );
        check(
            DataType::Timestamp,
            &[
                ("\"2024-02-29T12:00:00Z\"", "2024-02-29T12:00:00Z"),
                ("\"2024-02-29 12:00:00\"", "2024-02-29T12:00:00Z"),
                ("\"2024-02-29\"", "2024-02-29T00:00:00Z"),
                ("\"2024-02-29T12:00:00+0200\"", "2024-02-29T10:00:00Z"),
                ("\"2024-02-29T12:00:00.5-01\"", "2024-02-29T13:00:00.5Z"),
                ("\"2024-02-29T12:00\"", "2024-02-29T12:00:00Z"),
            ],
            &[
                "1700000000",
                "\"\"",
                "\"12:00\"",
                "\"2024-02-29T25:00:00Z\"",
                "\"2024-02-29T12:00:00 Europe\"",
                "\"1700000000\"",
                "true",
            ],
        );
    }

    #[test]
    fn numbers_are_moments_once_their_unit_is_known() {
        let at = |json, epoch| convert_epoch(DataType::Timestamp, json, Some(epoch));
        assert_eq!(at("1700000000", Epoch::Seconds).as_deref(), Some("2023-11-14T22:13:20Z"));
        assert_eq!(at("1700000000.25", Epoch::Seconds).as_deref(), Some("2023-11-14T22:13:20.25Z"));
        assert_eq!(at("1.7e12", Epoch::Millis).as_deref(), Some("2023-11-14T22:13:20Z"));
        assert_eq!(at("-1", Epoch::Micros).as_deref(), Some("1969-12-31T23:59:59.999999Z"));
        assert_eq!(at("1700000000000", Epoch::Seconds), None);
        assert_eq!(at("0.5", Epoch::Micros), None);
    }

    #[test]
    fn bytes_are_base64() {
        check(
            DataType::Bytes,
            &[("\"eHl6\"", "[120, 121, 122]"), ("\"\"", "[]")],
            &["\"eHl\"", "\"*\"", "7"],
        );
    }
}
