//! The SQL that brings staged rows to their table.
//!
//! Names of columns are in here only quoted; values never are.

use super::encode::{Column, SEQ, SET, staged_name};
use super::evolve::Shape;
use super::names::{quote, quote_all, text};
use super::types::{self, Kind};
use crate::{DataType, WriteMode};

/// What the error of a key that is there already starts with.
pub(super) const DUPLICATE: &str = "ow-host: duplicate key";

/// Staged rows on their way to a table.
pub(super) struct Load<'a> {
    /// The table, quoted.
    pub(super) table: &'a str,
    /// The staging table, quoted.
    pub(super) stage: &'a str,
    pub(super) columns: &'a [Column],
    /// What the columns of the table hold, one a column.
    pub(super) targets: &'a [Kind],
    /// Which columns the batches had.
    pub(super) sets: &'a [Vec<bool>],
    pub(super) mode: WriteMode,
    /// Rows may be there twice.
    pub(super) doubtful: bool,
}

/// In how many of the batches a column is.
#[derive(Clone, Copy, PartialEq)]
enum Presence {
    All,
    Some,
    None,
}

impl Load<'_> {
    fn is_keyed(&self) -> bool {
        self.columns.iter().any(|column| column.key)
    }

    fn presence(&self, index: usize) -> Presence {
        let has = self.sets.iter().filter(|set| set.get(index).copied().unwrap_or(false)).count();
        match has {
            0 => Presence::None,
            has if has == self.sets.len() => Presence::All,
            _ => Presence::Some,
        }
    }

    fn name(&self, index: usize) -> String {
        self.columns.get(index).map_or(String::new(), |column| quote(&column.field.name))
    }

    /// A staged value in the type of its column.
    fn value(&self, index: usize, staged: &str) -> String {
        match self.targets.get(index) {
            Some(Kind::Known(DataType::Json)) => format!("PARSE_JSON({staged})"),
            _ => staged.to_owned(),
        }
    }

    fn indexes(&self) -> std::ops::Range<usize> {
        0..self.columns.len()
    }

    /// The staged rows, each once.
    fn rows(&self) -> String {
        if self.doubtful {
            format!(
                "(SELECT * FROM {} WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY {SEQ}) = 1)",
                self.stage
            )
        } else {
            self.stage.to_owned()
        }
    }

    /// What rows of one key have in common. BigQuery partitions by no `FLOAT64`.
    fn partition(&self) -> String {
        let part = |(index, column): (usize, &Column)| {
            let name = staged_name(index);
            column.key.then(|| match column.staged {
                DataType::Float64 => format!("IF({name} = 0, '0', CAST({name} AS STRING))"),
                _ => name,
            })
        };
        self.columns.iter().enumerate().filter_map(part).collect::<Vec<_>>().join(", ")
    }

    /// The last row of each key. A column that some batches lack has the value
    /// of the last row whose batch had it, in a struct, or is null where no row's
    /// batch had it.
    fn latest(&self) -> String {
        let partition = self.partition();
        let columns = self.indexes().filter_map(|index| {
            let name = staged_name(index);
            match self.presence(index) {
                Presence::None => None,
                Presence::All => Some(name),
                Presence::Some => {
                    let sets: Vec<_> = (0..self.sets.len())
                        .filter(|set| self.sets.get(*set).and_then(|set| set.get(index)) == Some(&true))
                        .map(|set| set.to_string())
                        .collect();
                    Some(format!(
                        "LAST_VALUE(IF({SET} IN ({}), STRUCT({name} AS v), NULL) IGNORE NULLS) OVER (PARTITION BY {partition} ORDER BY {SEQ} ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS {name}",
                        sets.join(", ")
                    ))
                }
            }
        });
        format!(
            "SELECT {} FROM {} WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY {partition} ORDER BY {SEQ} DESC) = 1",
            columns.collect::<Vec<_>>().join(", "),
            self.stage
        )
    }

    /// A column's value in a row `s` of [`Self::latest`].
    fn latest_value(&self, index: usize) -> Option<String> {
        let name = staged_name(index);
        match self.presence(index) {
            Presence::None => None,
            Presence::All => Some(self.value(index, &format!("s.{name}"))),
            Presence::Some => Some(self.value(index, &format!("s.{name}.v"))),
        }
    }

    /// Adds the rows.
    fn insert(&self) -> String {
        let names = self.columns.iter().map(|column| column.field.name.as_str());
        format!("INSERT INTO {} ({}) {}", self.table, quote_all(names), self.all())
    }

    /// All rows, in the order of the columns.
    fn all(&self) -> String {
        if self.is_keyed() && self.mode != WriteMode::Append && !self.sets.is_empty() {
            let values = self.indexes().map(|index| {
                self.latest_value(index).unwrap_or_else(|| {
                    // No row has a value; the type is that of the column.
                    self.value(index, &format!("CAST(NULL AS {})", self.staged_sql(index)))
                })
            });
            let values: Vec<_> =
                values.enumerate().map(|(index, value)| format!("{value} AS {}", self.name(index))).collect();
            return format!("SELECT {} FROM ({}) AS s", values.join(", "), self.latest());
        }
        let values = self
            .indexes()
            .map(|index| format!("{} AS {}", self.value(index, &staged_name(index)), self.name(index)));
        format!("SELECT {} FROM {} AS s", values.collect::<Vec<_>>().join(", "), self.rows())
    }

    fn staged_sql(&self, index: usize) -> String {
        self.columns.get(index).map_or(String::new(), |column| types::sql(staged_type(column.staged)))
    }

    /// Fails if two of the rows have the same key, where that matters.
    pub(super) fn check_keys(&self) -> Option<String> {
        (self.is_keyed() && self.mode == WriteMode::Append).then(|| {
            format!(
                "SELECT IF(EXISTS(SELECT 1 FROM {} AS s GROUP BY {} HAVING COUNT(*) > 1), ERROR({}), 0) AS twice",
                self.rows(),
                self.partition(),
                self.duplicate()
            )
        })
    }

    /// Adds rows; where there is a key, fails if one of them is there.
    pub(super) fn append(&self) -> Vec<String> {
        let there = self.is_keyed().then(|| {
            format!(
                "SELECT IF(EXISTS(SELECT 1 FROM {} AS s JOIN {} AS t ON {}), ERROR({}), 0) AS there",
                self.stage,
                self.table,
                self.on(),
                self.duplicate()
            )
        });
        self.check_keys().into_iter().chain(there).chain([self.insert()]).collect()
    }

    fn duplicate(&self) -> String {
        text(&format!("{DUPLICATE} in {}", self.table))
    }

    fn on(&self) -> String {
        let keys = self.columns.iter().enumerate().filter(|(_, column)| column.key);
        keys.map(|(index, _)| format!("t.{} = s.{}", self.name(index), staged_name(index)))
            .collect::<Vec<_>>()
            .join(" AND ")
    }

    /// Adds rows with new keys, and changes those whose keys are there.
    pub(super) fn merge(&self) -> String {
        let changes: Vec<_> = self
            .indexes()
            .filter(|index| self.columns.get(*index).is_some_and(|column| !column.key))
            .filter_map(|index| {
                let (name, value) = (self.name(index), self.latest_value(index)?);
                Some(match self.presence(index) {
                    Presence::Some => {
                        format!("{name} = IF(s.{} IS NULL, t.{name}, {value})", staged_name(index))
                    }
                    _ => format!("{name} = {value}"),
                })
            })
            .collect();
        let present = self.indexes().filter_map(|index| Some((self.name(index), self.latest_value(index)?)));
        let (names, values): (Vec<_>, Vec<_>) = present.unzip();
        let update = if changes.is_empty() {
            String::new()
        } else {
            format!(" WHEN MATCHED THEN UPDATE SET {}", changes.join(", "))
        };
        format!(
            "MERGE INTO {} AS t USING ({}) AS s ON {}{update} WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})",
            self.table,
            self.latest(),
            self.on(),
            names.join(", "),
            values.join(", ")
        )
    }

    /// Puts the rows in the place of all that are there.
    pub(super) fn replace(&self) -> Vec<String> {
        let truncate = format!("TRUNCATE TABLE {}", self.table);
        self.check_keys().into_iter().chain([truncate, self.insert()]).collect()
    }

    /// Makes the table anew of the rows. Repeating it gives the same table.
    pub(super) fn recreate(&self, shape: &Shape, drop_first: bool) -> String {
        let drop = if drop_first { format!("DROP TABLE IF EXISTS {}; ", self.table) } else { String::new() };
        format!("{drop}CREATE OR REPLACE TABLE {} {} AS {}", self.table, shape.sql(), self.all())
    }
}

/// JSON is text in the file: BigQuery loads no JSON columns from Parquet.
pub(super) fn staged_type(data_type: DataType) -> DataType {
    if data_type == DataType::Json { DataType::Text } else { data_type }
}
