//! Days and points in time, all in UTC, and the ranges of days that an import
//! asks its source for. Small on purpose: no time zones, no locale.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Error;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// A calendar day, from year 1 to year 9999.
///
/// ```
/// use ow_connector::prelude::*;
///
/// let day: Date = "2024-02-28".parse()?;
/// assert_eq!((day + 2).to_string(), "2024-03-01");
/// assert_eq!(day.first_of_previous_month().to_string(), "2024-01-01");
/// assert!("2023-02-29".parse::<Date>().is_err());
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i32);

impl Date {
    /// The first day there is: 0001-01-01.
    pub const MIN: Self = Self(-719_162);
    /// The last day there is: 9999-12-31.
    pub const MAX: Self = Self(2_932_896);

    /// A day of the calendar, if there is one.
    pub fn new(year: i32, month: u32, day: u32) -> Option<Self> {
        let known = (1..=9999).contains(&year) && (1..=12).contains(&month) && day >= 1;
        (known && day <= days_in_month(year, month)).then(|| Self(days_from_civil(year, month, day)))
    }

    /// The day this many days after 1970-01-01; kept within [`Date::MIN`] and
    /// [`Date::MAX`].
    pub fn from_days(days: i32) -> Self {
        Self(days.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Days since 1970-01-01.
    pub fn days(self) -> i32 {
        self.0
    }

    /// Year, month and day.
    pub fn civil(self) -> (i32, u32, u32) {
        civil_from_days(self.0)
    }

    /// The first day of the month before this day's.
    #[must_use]
    pub fn first_of_previous_month(self) -> Self {
        let (year, month, _) = self.civil();
        let (year, month) = if month == 1 { (year - 1, 12) } else { (year, month - 1) };
        Self::new(year, month, 1).unwrap_or(Self::MIN)
    }

    /// The day's first moment.
    pub fn midnight(self) -> Timestamp {
        Timestamp(i64::from(self.0) * MICROS_PER_DAY)
    }
}

/// The day so many days later; never after [`Date::MAX`].
impl Add<i32> for Date {
    type Output = Self;

    fn add(self, days: i32) -> Self {
        Self::from_days(self.0.saturating_add(days))
    }
}

/// The day so many days earlier; never before [`Date::MIN`].
impl Sub<i32> for Date {
    type Output = Self;

    fn sub(self, days: i32) -> Self {
        Self::from_days(self.0.saturating_sub(days))
    }
}

/// How many days lie between.
impl Sub for Date {
    type Output = i32;

    fn sub(self, other: Self) -> i32 {
        self.0 - other.0
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Date {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse_date(text.as_bytes())
            .ok_or_else(|| Error::invalid_data(format!("`{text}` is not a date (YYYY-MM-DD)")))
    }
}

/// A point in time, in microseconds, from year 1 to year 9999.
///
/// ```
/// use ow_connector::prelude::*;
///
/// let time: Timestamp = "2019-05-15T16:00:00.5+02:00".parse()?;
/// assert_eq!(time.to_string(), "2019-05-15T14:00:00.5Z");
/// assert_eq!(time.date().to_string(), "2019-05-15");
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The first moment there is.
    pub const MIN: Self = Self(Date::MIN.0 as i64 * MICROS_PER_DAY);
    /// The last moment there is.
    pub const MAX: Self = Self((Date::MAX.0 as i64 + 1) * MICROS_PER_DAY - 1);

    /// A moment as APIs write it: RFC 3339, a zone without its colon or without
    /// minutes, and UTC where there is no zone, no second or no time at all.
    pub(crate) fn lenient(text: &str) -> Option<Self> {
        match text.len() {
            10 => parse_date(text.as_bytes()).map(Date::midnight),
            _ => parse_moment(text.as_bytes(), true),
        }
    }

    /// So many microseconds after 1970-01-01T00:00:00Z; kept within
    /// [`Timestamp::MIN`] and [`Timestamp::MAX`].
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// So many seconds after 1970-01-01T00:00:00Z.
    pub fn from_seconds(seconds: i64) -> Self {
        Self::from_micros(seconds.saturating_mul(MICROS_PER_SECOND))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// The day in UTC.
    pub fn date(self) -> Date {
        Date(i32::try_from(self.0.div_euclid(MICROS_PER_DAY)).unwrap_or(i32::MAX))
    }
}

impl From<std::time::SystemTime> for Timestamp {
    fn from(time: std::time::SystemTime) -> Self {
        let micros = |duration: std::time::Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => Self::from_micros(micros(since)),
            Err(before) => Self::from_micros(-micros(before.duration())),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_day = self.0.rem_euclid(MICROS_PER_DAY);
        let (seconds, micros) = (of_day / MICROS_PER_SECOND, of_day % MICROS_PER_SECOND);
        write!(f, "{}T{:02}:{:02}:{:02}", self.date(), seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        if micros != 0 {
            let fraction = format!("{micros:06}");
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse_timestamp(text.as_bytes())
            .ok_or_else(|| Error::invalid_data(format!("`{text}` is not a time (RFC 3339, with a zone)")))
    }
}

/// Both types are their text in JSON.
macro_rules! as_text {
    ($type:ty, $format:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;

                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("a ", $format, " as text"))
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Visitor)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "format": $format})
            }
        }
    };
}

as_text!(Date, "date");
as_text!(Timestamp, "date-time");

/// A range of days, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateRange {
    /// The first day.
    pub start: Date,
    /// The last day, `start` or later.
    pub end: Date,
}

impl DateRange {
    /// How many days it has.
    pub fn len(&self) -> i32 {
        self.end - self.start + 1
    }

    /// Whether it has no day.
    pub fn is_empty(&self) -> bool {
        self.end < self.start
    }

    /// Cuts it into ranges of at most so many days, the earliest first: for
    /// sources that bound what one request may ask for.
    pub fn chunks(self, days: i32) -> impl Iterator<Item = DateRange> {
        let step = days.max(1);
        let mut next = Some(self.start).filter(|start| *start <= self.end);
        std::iter::from_fn(move || {
            let start = next?;
            let end = (start + (step - 1)).min(self.end);
            next = (end < self.end).then(|| end + 1);
            Some(DateRange { start, end })
        })
    }

    /// Its days, one after another.
    pub fn days(self) -> impl Iterator<Item = Date> {
        (self.start.0..=self.end.0).map(Date)
    }
}

impl fmt::Display for DateRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.start, self.end)
    }
}

/// Days since 1970-01-01, by the proleptic Gregorian calendar. Years are counted
/// from March, so that the leap day is the last of its year.
fn days_from_civil(year: i32, month: u32, day: u32) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month as i32 + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day as i32 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i32) -> (i32, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i32::from(month <= 2);
    (year, month as u32, day as u32)
}

fn days_in_month(year: i32, month: u32) -> u32 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Reads a number of exactly `digits` digits off the front.
fn number(text: &mut &[u8], digits: usize) -> Option<u32> {
    let (head, rest) = text.split_at_checked(digits)?;
    *text = rest;
    head.iter().try_fold(0u32, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
}

/// Takes one byte off the front if it is one of `wanted`.
fn byte(text: &mut &[u8], wanted: &[u8]) -> Option<u8> {
    let (first, rest) = text.split_first()?;
    wanted.contains(first).then(|| {
        *text = rest;
        *first
    })
}

fn take_date(text: &mut &[u8]) -> Option<Date> {
    let year = number(text, 4)?;
    byte(text, b"-")?;
    let month = number(text, 2)?;
    byte(text, b"-")?;
    Date::new(i32::try_from(year).ok()?, month, number(text, 2)?)
}

fn parse_date(mut text: &[u8]) -> Option<Date> {
    let date = take_date(&mut text)?;
    text.is_empty().then_some(date)
}

/// RFC 3339, with `T`, `t` or a space between day and time. A leap second counts
/// as the second before it; digits beyond the microsecond are cut off.
fn parse_timestamp(text: &[u8]) -> Option<Timestamp> {
    parse_moment(text, false)
}

fn parse_moment(mut text: &[u8], lenient: bool) -> Option<Timestamp> {
    let text = &mut text;
    let date = take_date(text)?;
    byte(text, b"Tt ")?;
    let hour = number(text, 2).filter(|hour| *hour < 24)?;
    byte(text, b":")?;
    let minute = number(text, 2).filter(|minute| *minute < 60)?;
    let second = match byte(text, b":") {
        Some(_) => number(text, 2).filter(|second| *second <= 60)?.min(59),
        None if lenient => 0,
        None => return None,
    };
    let mut micros = 0;
    if byte(text, b".").is_some() {
        let mut unit = 100_000;
        number(&mut &**text, 1)?;
        while let Some(digit) = byte(text, b"0123456789") {
            micros += i64::from(digit - b'0') * unit;
            unit /= 10;
        }
    }
    let offset = match byte(text, b"Zz+-") {
        None if lenient => 0,
        None => return None,
        Some(b'Z' | b'z') => 0,
        Some(sign) => {
            let hours = number(text, 2).filter(|hours| *hours < 24)?;
            let colon = byte(text, b":").is_some();
            let minutes = match (lenient, colon) {
                (true, false) if text.is_empty() => 0,
                (false, false) => return None,
                _ => number(text, 2).filter(|minutes| *minutes < 60)?,
            };
            let seconds = i64::from(hours * 3600 + minutes * 60);
            if sign == b'-' { -seconds } else { seconds }
        }
    };
    let seconds = i64::from(hour * 3600 + minute * 60 + second) - offset;
    let micros = i64::from(date.0) * MICROS_PER_DAY + seconds * MICROS_PER_SECOND + micros;
    let known = (Timestamp::MIN.0..=Timestamp::MAX.0).contains(&micros);
    (text.is_empty() && known).then_some(Timestamp(micros))
}

/// The date of an HTTP header, in the three forms that RFC 9110 names:
/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` and
/// `Sun Nov  6 08:49:37 1994`. A year of two digits is the one nearest to `now`.
pub(crate) fn parse_http_date(text: &str, now: Timestamp) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split([' ', ',', '-']).filter(|word| !word.is_empty()).collect();
    let (day, month, year, time) = match *words.as_slice() {
        [_, day, month, year, time, "GMT"] => (day, month, year, time),
        [_, month, day, time, year] => (day, month, year, time),
        _ => return None,
    };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let year = match (year.len(), year.parse::<i32>().ok()?) {
        (2, year) => {
            let (this_year, ..) = now.date().civil();
            let near = this_year - this_year.rem_euclid(100) + year;
            if near > this_year + 50 { near - 100 } else { near }
        }
        (_, year) => year,
    };
    let date = Date::new(year, u32::try_from(month).ok()?, day.parse().ok()?)?;
    format!("{date}T{time}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_there_is_counts_one_up() {
        let (mut year, mut month, mut day) = (1, 1, 1);
        for days in Date::MIN.0..=Date::MAX.0 {
            assert_eq!(civil_from_days(days), (year, month, day));
            assert_eq!(days_from_civil(year, month, day), days);
            day += 1;
            if day > days_in_month(year, month) {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
        assert_eq!((year, month, day), (10_000, 1, 1));
    }

    #[test]
    fn dates_round_trip_and_nonsense_is_refused() {
        for text in ["0001-01-01", "1969-12-31", "1970-01-01", "2000-02-29", "9999-12-31"] {
            assert_eq!(text.parse::<Date>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "2023-02-29",
            "2023-13-01",
            "0000-01-01",
            "2023-1-01",
            "2023-01-01 ",
            "20230101",
            "+2023-01-1",
        ] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }

    #[test]
    fn dates_stay_within_the_calendar() {
        assert_eq!(Date::MAX + 5, Date::MAX);
        assert_eq!(Date::MIN - i32::MAX, Date::MIN);
        assert_eq!(Date::MIN.first_of_previous_month(), Date::MIN);
    }

    #[test]
    fn timestamps_read_rfc_3339() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
            ("2019-05-15t14:00:00.000z", "2019-05-15T14:00:00Z"),
            ("2019-05-15 14:00:00.1234567+14:00", "2019-05-15T00:00:00.123456Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
            ("2020-01-01T00:00:00-23:59", "2020-01-01T23:59:00Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), want);
        }
        for text in [
            "2019-05-15",
            "2019-05-15T14:00Z",
            "2019-05-15T14:00:00",
            "2019-05-15T24:00:00Z",
            "2019-05-15T14:00:00.Z",
            "2019-05-15T14:00:00+0200",
            "9999-12-31T23:59:59-01:00",
            "0001-01-01T00:00:00+01:00",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_are_cut_without_gaps() {
        let range = DateRange { start: Date::from_days(0), end: Date::from_days(9) };
        let chunks: Vec<(i32, i32)> =
            range.chunks(4).map(|chunk| (chunk.start.days(), chunk.end.days())).collect();
        assert_eq!(chunks, [(0, 3), (4, 7), (8, 9)]);
        assert_eq!(range.chunks(10).count(), 1);
        assert_eq!(range.chunks(0).count(), 10);
        let last = DateRange { start: Date::MAX, end: Date::MAX };
        assert_eq!((last.chunks(5).count(), last.days().count(), last.len()), (1, 1, 1));
    }

    #[test]
    fn http_dates_in_their_three_forms() {
        let now = "2024-01-01T00:00:00Z".parse().unwrap();
        let want = "1994-11-06T08:49:37Z".parse().ok();
        assert_eq!(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT", now), want);
        assert_eq!(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT", now), want);
        assert_eq!(parse_http_date("Sun Nov  6 08:49:37 1994", now), want);
        assert_eq!(parse_http_date("Sun, 06 Nov 1994 08:49:37 CET", now), None);
        assert_eq!(parse_http_date("120", now), None);
    }
}
