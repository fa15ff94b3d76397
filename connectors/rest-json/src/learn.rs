//! What the columns of a stream are: declared, or found out from its first
//! records.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use ow_connector::prelude::*;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The keys of a record, in their order, and the texts of their values.
pub(crate) struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record, which is an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    entries.push((key.0, map.next_value()?));
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_map(Keys).map(Self)
    }
}

/// A key, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Columns by what the first records hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Learned {
    columns: Vec<(String, Option<DataType>)>,
    index: HashMap<String, usize>,
    /// Columns from here on may still become wider; those before are kept from earlier runs.
    fixed: usize,
    pub(crate) records: u64,
}

impl Learned {
    /// Begins with columns that are known from an earlier run.
    pub(crate) fn from(known: &BTreeMap<String, String>) -> Self {
        let mut learned = Self::default();
        for (name, data_type) in known {
            if let Some(data_type) = crate::settings::TypeName::parse(data_type) {
                learned.push(name, Some(data_type.0));
            }
        }
        learned.fixed = learned.columns.len();
        learned
    }

    fn push(&mut self, name: &str, data_type: Option<DataType>) {
        self.index.insert(name.to_owned(), self.columns.len());
        self.columns.push((name.to_owned(), data_type));
    }

    /// Takes a record into account.
    pub(crate) fn see(&mut self, record: &Entries<'_>) {
        self.records += 1;
        for (name, value) in &record.0 {
            let found = type_of(value.get());
            match self.index.get(&**name).copied() {
                None => self.push(name, found),
                Some(index) if index < self.fixed => {}
                Some(index) => {
                    if let Some((_, known)) = self.columns.get_mut(index) {
                        *known = wider(*known, found);
                    }
                }
            }
        }
    }

    /// The columns: those that were `null` in every record are texts, which hold
    /// anything.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (&str, DataType)> {
        self.columns.iter().map(|(name, found)| (name.as_str(), found.unwrap_or(DataType::Text)))
    }
}

/// The narrowest type that holds a value; none for `null`.
fn type_of(json: &str) -> Option<DataType> {
    Some(match json.as_bytes().first() {
        Some(b't' | b'f') => DataType::Boolean,
        Some(b'{' | b'[') => DataType::Json,
        Some(b'"') => match json.get(1..json.len() - 1).unwrap_or_default() {
            text if text.len() == 10 && text.parse::<Date>().is_ok() => DataType::Date,
            text if text.len() > 10 && text.parse::<Timestamp>().is_ok() => DataType::Timestamp,
            _ => DataType::Text,
        },
        Some(b'-' | b'0'..=b'9') => match json.parse::<i64>() {
            Ok(_) => DataType::Int64,
            Err(_) if json.contains(['.', 'e', 'E']) => DataType::Float64,
            Err(_) => DataType::Text,
        },
        _ => return None,
    })
}

/// The narrowest type that holds what both hold.
fn wider(one: Option<DataType>, two: Option<DataType>) -> Option<DataType> {
    use DataType::{Date, Float64, Int64, Json, Text, Timestamp};
    let (Some(first), Some(second)) = (one, two) else { return one.or(two) };
    Some(match (first, second) {
        _ if first == second => first,
        (Int64, Float64) | (Float64, Int64) => Float64,
        (Date, Timestamp) | (Timestamp, Date) => Timestamp,
        (Json, _) | (_, Json) => Json,
        _ => Text,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "what fails here fails the test")]
mod tests {
    use super::*;

    fn learned(records: &[&str]) -> String {
        let mut learned = Learned::default();
        for record in records {
            learned.see(&serde_json::from_str(record).unwrap());
        }
        learned.columns().map(|(name, found)| format!("{name} {found}")).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn columns_come_in_their_order_and_become_wider() {
        assert_eq!(
            learned(&[r#"{"z": 1, "a": null, "d": "2024-02-29", "t\u0065": "x", "n": null}"#]),
            "z int64, a text, d date, te text, n text"
        );
        assert_eq!(
            learned(&[
                r#"{"a": 1, "b": true, "c": "2024-01-01", "d": 1, "e": null, "f": 1, "g": "2024-01-01"}"#,
                r#"{"a": 1.5, "b": 0, "c": "2024-01-01T00:00:00Z", "d": {}, "e": [1], "f": "x", "g": "2024-02-30", "h": 99999999999999999999}"#,
            ]),
            "a float64, b text, c timestamp, d json, e json, f text, g text, h text"
        );
        assert!(serde_json::from_str::<Entries<'_>>("[1]").is_err());
    }

    #[test]
    fn what_earlier_runs_found_out_stays() {
        let known = BTreeMap::from([
            ("a".to_owned(), "text".to_owned()),
            ("b".to_owned(), "decimal(10, 2)".to_owned()),
        ]);
        let mut learned = Learned::from(&known);
        learned.see(&serde_json::from_str(r#"{"a": 1, "b": 2.5, "c": 3}"#).unwrap());
        let columns: Vec<String> = learned.columns().map(|(name, found)| format!("{name} {found}")).collect();
        assert_eq!(columns, ["a text", "b decimal(10, 2)", "c int64"]);
    }
}
