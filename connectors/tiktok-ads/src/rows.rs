//! From the API's records to rows of a table.

use std::borrow::Cow;
use std::fmt;

use ow_connector::prelude::*;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::fields::{self, Origin};
use crate::plan::Import;
use crate::values::{Converted, convert};

/// The members of an object, their values not yet looked at.
#[derive(Debug)]
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(map.size_hint().unwrap_or(48));
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(members)
            }
        }

        /// A name, borrowed unless it is escaped.
        #[derive(Deserialize)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

        deserializer.deserialize_map(All).map(Self)
    }
}

/// A record of a report.
#[derive(Debug, Deserialize)]
struct Figures<'a> {
    #[serde(borrow)]
    dimensions: Members<'a>,
    #[serde(borrow)]
    metrics: Members<'a>,
}

/// Turns the records of one node into rows.
pub(crate) struct Reader<'i> {
    import: &'i Import,
    /// Where each column's value stood in the last record, which is where it
    /// mostly stands in the next.
    places: Vec<usize>,
    /// Whether any record had each column.
    seen: Vec<bool>,
    /// Whether the API does not have each column.
    unknown: Vec<bool>,
    records: u64,
}

/// What rows are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) advertiser: &'a str,
    /// Of reports.
    pub(crate) day: Option<Date>,
}

impl<'i> Reader<'i> {
    pub(crate) fn new(import: &'i Import) -> Self {
        let columns = import.columns.len();
        Self { import, places: vec![0; columns], seen: vec![false; columns], unknown: vec![false; columns], records: 0 }
    }

    /// Takes the columns for null that the API has none of these names for.
    pub(crate) fn expect_only(&mut self, names: &[&str]) {
        for (column, unknown) in self.import.columns.iter().zip(&mut self.unknown) {
            let name = column.api_name().filter(|_| !self.import.is_key(column.name));
            *unknown = name.is_some_and(|name| !names.contains(&name));
        }
    }

    /// How many records there were.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// A record as the values of a row, in the order of the columns.
    pub(crate) fn row<'a>(&mut self, record: &'a RawValue, asked: Asked<'a>) -> Result<Vec<Converted<'a>>> {
        let node = self.import.node;
        let members = members(record, node.is_report())
            .with_context(|| format!("a record of `{}`", node.name))?;
        let mut row = Vec::with_capacity(self.import.columns.len());
        for (index, column) in self.import.columns.iter().enumerate() {
            let value = self
                .value(index, column, &members, asked)
                .with_context(|| format!("`{}` of `{}`", column.name, node.name))?;
            row.push(value);
        }
        self.records += 1;
        Ok(row)
    }

    fn value<'a>(
        &mut self,
        index: usize,
        column: &fields::Field,
        members: &[(Cow<'a, str>, &'a RawValue)],
        asked: Asked<'a>,
    ) -> Result<Converted<'a>> {
        let name = match column.origin {
            Origin::Advertiser => return Ok(Converted::Text(Cow::Borrowed(asked.advertiser))),
            Origin::Day => return Ok(asked.day.map_or(Converted::Null, Converted::Date)),
            Origin::Api(name) | Origin::OnDemand(name) => name,
        };
        if self.unknown.get(index) == Some(&true) {
            return Ok(Converted::Null);
        }
        let of_report = self.import.node.is_report();
        let value = match self.find(index, name, members) {
            Some(value) => convert(column.kind, of_report, value)?,
            None if of_report => {
                return Err(Error::invalid_data(format!("it was asked for as `{name}`, but the answer lacks it")));
            }
            None => Converted::Null,
        };
        let is_missing = matches!(&value, Converted::Null)
            || matches!(&value, Converted::Text(text) if text.is_empty());
        if is_missing && self.import.is_key(column.name) {
            return Err(Error::invalid_data("it tells the rows apart, but the answer has a record without it"));
        }
        Ok(value)
    }

    /// The member of a name.
    fn find<'a>(
        &mut self,
        index: usize,
        name: &str,
        members: &[(Cow<'a, str>, &'a RawValue)],
    ) -> Option<&'a RawValue> {
        let place = self.places.get_mut(index)?;
        let there = members.get(*place).filter(|(known, _)| known == name);
        let value = match there {
            Some((_, value)) => value,
            None => {
                *place = members.iter().position(|(known, _)| known == name)?;
                members.get(*place).map(|(_, value)| value)?
            }
        };
        if let Some(seen) = self.seen.get_mut(index) {
            *seen = true;
        }
        Some(value)
    }

    /// The columns that the API was asked for and that no record had.
    pub(crate) fn never_seen(&self) -> Vec<&'static str> {
        let columns = self.import.columns.iter().zip(self.seen.iter().zip(&self.unknown));
        let missing = columns
            .filter(|(column, (seen, unknown))| !**seen && !**unknown && column.api_name().is_some())
            .map(|(column, _)| column.name);
        if self.records == 0 { Vec::new() } else { missing.collect() }
    }
}

/// The members of a record; of a report's its dimensions, then its metrics.
fn members(record: &RawValue, of_report: bool) -> Result<Vec<(Cow<'_, str>, &RawValue)>> {
    if !of_report {
        let Members(members) = serde_json::from_str(record.get())?;
        return Ok(members);
    }
    let Figures { dimensions: Members(mut members), metrics: Members(metrics) } =
        serde_json::from_str(record.get())?;
    members.extend(metrics);
    Ok(members)
}
