//! How far an incremental stream got: the highest value seen, and how the next
//! run asks for what is beyond it.

use std::cmp::Ordering;

use ow_connector::prelude::*;
use serde_json::Value;

use crate::format::Format;

/// Microseconds of a day: what a source's clock may be ahead of ours.
const DAY: i64 = 86_400_000_000;

/// A value of the field that grows with every change.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(from = "Value", into = "Value")]
pub(crate) struct Mark {
    /// As the source writes it.
    raw: Value,
    order: Order,
}

#[derive(Debug, Clone, PartialEq)]
enum Order {
    Number(i64),
    Time(Timestamp),
    Text(String),
    /// Nothing that has an order.
    None,
}

/// What the state keeps of an incremental stream.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Reached {
    pub(crate) cursor: Mark,
}

impl From<Value> for Mark {
    fn from(raw: Value) -> Self {
        let order = match &raw {
            Value::Number(number) => number.as_i64().map_or(Order::None, Order::Number),
            Value::String(text) => moment(text).map_or_else(|| Order::Text(text.clone()), Order::Time),
            _ => Order::None,
        };
        Self { raw, order }
    }
}

impl From<Mark> for Value {
    fn from(mark: Mark) -> Self {
        mark.raw
    }
}

/// A time as sources write it; UTC where there is no zone.
fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(date) = text.parse::<Date>() {
        return Some(date.midnight());
    }
    let text = text.replacen(' ', "T", 1);
    text.parse().or_else(|_| format!("{text}Z").parse()).ok()
}

impl Mark {
    /// The value of a record, from its JSON text; nothing for `null`.
    pub(crate) fn read(json: &str) -> Result<Option<Self>> {
        let raw: Value = serde_json::from_str(json)?;
        if raw.is_null() {
            return Ok(None);
        }
        let mark = Self::from(raw);
        if mark.order == Order::None {
            let wrong = "is neither a whole number nor a text: an incremental field must have an order";
            return Err(Error::invalid_data(format!("`{}` {wrong}", mark.raw)));
        }
        Ok(Some(mark))
    }

    /// What the configuration says: a number if it is one.
    pub(crate) fn configured(text: &str) -> Self {
        let number = text.parse::<i64>().map(Value::from);
        Self::from(number.unwrap_or_else(|_| Value::from(text)))
    }

    pub(crate) fn day(date: Date) -> Self {
        Self { raw: Value::from(date.to_string()), order: Order::Time(date.midnight()) }
    }

    /// How it stands to another value of the same field.
    pub(crate) fn compare(&self, other: &Self) -> Result<Ordering> {
        match (&self.order, &other.order) {
            (Order::Number(one), Order::Number(two)) => Ok(one.cmp(two)),
            (Order::Time(one), Order::Time(two)) => Ok(one.cmp(two)),
            (Order::Text(one), Order::Text(two)) => Ok(one.cmp(two)),
            _ => Err(Error::invalid_data(format!("`{}` and `{}` cannot be compared", self.raw, other.raw))),
        }
    }

    /// Whether it lies so far ahead that it must be wrong: a state there would
    /// pass what comes until then.
    pub(crate) fn is_future(&self, now: Timestamp) -> bool {
        matches!(self.order, Order::Time(time) if time.micros() - DAY > now.micros())
    }

    /// The value that a request asks from.
    pub(crate) fn asked(&self, lookback: u32, format: Option<&Format>) -> Result<String> {
        let plain = || match &self.raw {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match &self.order {
            Order::Number(number) => Ok(number.saturating_sub(i64::from(lookback)).to_string()),
            Order::Time(time) => {
                let earlier = Timestamp::from_micros(time.micros() - i64::from(lookback) * 1_000_000);
                let is_day = plain().len() == 10 && earlier == earlier.date().midnight();
                Ok(match format {
                    Some(format) => format.write(earlier),
                    None if lookback == 0 => plain(),
                    None if is_day => earlier.date().to_string(),
                    None => earlier.to_string(),
                })
            }
            _ if lookback > 0 => {
                Err(Error::config(format!("`Lookback` needs times or numbers, but `{}` is neither", plain())))
            }
            _ => Ok(plain()),
        }
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.raw.fmt(f)
    }
}

/// The values seen on the way through a stream.
#[derive(Debug, Default)]
pub(crate) struct Highest {
    /// The highest so far.
    pub(crate) mark: Option<Mark>,
    /// The highest that is less than that: all records up to it are there, if
    /// they come in order.
    pub(crate) before: Option<Mark>,
    /// The one that came last.
    last: Option<Mark>,
    missing: u64,
    ahead: u64,
}

impl Highest {
    pub(crate) fn from(mark: Option<Mark>) -> Self {
        Self { mark, ..Self::default() }
    }

    /// Takes the value of a record.
    pub(crate) fn see(&mut self, json: Option<&str>, ascending: bool, now: Timestamp) -> Result<()> {
        let Some(mark) = json.map(Mark::read).transpose()?.flatten() else {
            self.missing += 1;
            return Ok(());
        };
        if mark.is_future(now) {
            self.ahead += 1;
            return Ok(());
        }
        if ascending {
            if let Some(last) = &self.last
                && mark.compare(last)? == Ordering::Less
            {
                return Err(Error::invalid_data(format!(
                    "`{mark}` comes after `{last}`: the API does not sort by this field, so remove `Ascending`"
                )));
            }
            self.last = Some(mark.clone());
        }
        let higher = match &self.mark {
            Some(known) => mark.compare(known)? == Ordering::Greater,
            None => true,
        };
        if higher {
            self.before = self.mark.replace(mark);
        }
        Ok(())
    }

    /// Says what was strange.
    pub(crate) fn tell(&self, stream: &str, field: &str) {
        if self.missing > 0 {
            warn!("stream `{stream}`: {} records have no `{field}`", self.missing);
        }
        if self.ahead > 0 {
            warn!(
                "stream `{stream}`: {} records have a `{field}` in the future, which is not kept",
                self.ahead
            );
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "what fails here fails the test")]
mod tests {
    use super::*;

    fn mark(json: &str) -> Mark {
        Mark::read(json).unwrap().unwrap()
    }

    #[test]
    fn values_have_their_order() {
        let order = |one: &str, two: &str| mark(one).compare(&mark(two));
        assert_eq!(order("9", "10").unwrap(), Ordering::Less);
        assert_eq!(
            order("\"2024-01-01T00:00:00+02:00\"", "\"2023-12-31T22:00:00Z\"").unwrap(),
            Ordering::Equal
        );
        assert_eq!(order("\"2024-01-01 10:00:00\"", "\"2024-01-01\"").unwrap(), Ordering::Greater);
        assert_eq!(order("\"b\"", "\"a\"").unwrap(), Ordering::Greater);
        assert!(order("1", "\"a\"").is_err());
        assert!(Mark::read("1.5").is_err() && Mark::read("{}").is_err() && Mark::read("true").is_err());
        assert_eq!(Mark::read("null").unwrap(), None);
    }

    #[test]
    fn requests_ask_from_a_little_before() {
        let asked = |json: &str, lookback, format: Option<&str>| {
            mark(json).asked(lookback, format.map(|f| Format::parse(f).unwrap()).as_ref())
        };
        assert_eq!(
            asked("\"2024-01-01T00:00:00.123+02:00\"", 0, None).unwrap(),
            "2024-01-01T00:00:00.123+02:00"
        );
        assert_eq!(asked("\"2024-01-01T00:00:00Z\"", 60, None).unwrap(), "2023-12-31T23:59:00Z");
        assert_eq!(asked("\"2024-01-01\"", 86_400, None).unwrap(), "2023-12-31");
        assert_eq!(asked("\"2024-01-01\"", 3600, Some("unix")).unwrap(), "1704063600");
        assert_eq!(asked("100", 7, None).unwrap(), "93");
        assert!(asked("\"abc\"", 1, None).is_err());
        assert_eq!(asked("\"abc\"", 0, None).unwrap(), "abc");
    }
}
