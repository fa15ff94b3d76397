//! The statements that bring staged rows into a table.
//!
//! Each is one `MERGE`, so one snapshot of the table, and each carries a guard:
//! it fails (`ow-host-stale-…`) unless the table is at the snapshot that it was
//! made for. Iceberg refuses a `MERGE` whose table got other rows meanwhile, so
//! guard and commit together are a compare-and-swap: of two statements that
//! were made for one snapshot, one at most has an effect.

use serde::{Deserialize, Serialize};

use super::identifier::{hive, literal, trino};
use super::query::STALE;
use super::table::{Base, type_text};
use crate::{DataType, StorageError, WriteMode};

/// The longest statement that Athena takes.
const MAX_STATEMENT: usize = 262_144;

/// A column as it is staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Staged {
    /// The column of the table.
    pub(super) name: String,
    /// The type of the stream's values.
    #[serde(with = "type_text")]
    pub(super) given: DataType,
    /// The type of the table's column.
    #[serde(with = "type_text")]
    pub(super) stored: DataType,
    pub(super) key: bool,
}

/// Staged rows of a table, and where they go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Batch {
    pub(super) table: String,
    pub(super) mode: WriteMode,
    /// The external table over the staged files; none where there are no rows.
    pub(super) stage: Option<String>,
    pub(super) columns: Vec<Staged>,
    /// The first and the last commit of the run whose rows are meant.
    pub(super) commits: (u64, u64),
    /// For each set of columns that rows came with: the places of the columns.
    pub(super) sets: Vec<Vec<usize>>,
}

/// The type of a column of the external table.
fn stage_type(column: &Staged) -> String {
    match column.given {
        // Hive's timestamps have milliseconds only.
        DataType::Timestamp => "string".to_owned(),
        DataType::Boolean if column.stored == DataType::Text => "string".to_owned(),
        given => super::table::sql_type(given),
    }
}

/// The statement that makes the external table over staged files.
pub(super) fn create_stage(database: &str, stage: &str, location: &str, columns: &[Staged]) -> String {
    let columns: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(place, column)| format!("`c{place}` {}", stage_type(column)))
        .collect();
    format!(
        "CREATE EXTERNAL TABLE IF NOT EXISTS {}.{} (`ow_commit` bigint, `ow_row` bigint, `ow_set` bigint, {}) STORED AS PARQUET LOCATION {}",
        hive(database),
        hive(stage),
        columns.join(", "),
        literal(location)
    )
}

/// The statement that removes a table from the catalog.
pub(super) fn drop_table(database: &str, table: &str) -> String {
    format!("DROP TABLE IF EXISTS {}.{}", hive(database), hive(table))
}

/// The type of a value in a query.
fn trino_type(ty: DataType) -> String {
    match ty {
        DataType::Text | DataType::Json => "varchar".to_owned(),
        DataType::Bytes => "varbinary".to_owned(),
        DataType::Timestamp => "timestamp(6)".to_owned(),
        ty => super::table::sql_type(ty),
    }
}

/// The staged value of a column in the type of the table.
fn value(place: usize, column: &Staged) -> String {
    let staged = format!("\"c{place}\"");
    let cast = |to: DataType| format!("CAST({staged} AS {})", trino_type(to));
    match (column.given, column.stored) {
        (DataType::Timestamp | DataType::Boolean, DataType::Text) => staged,
        (DataType::Timestamp, _) => cast(DataType::Timestamp),
        (DataType::Text | DataType::Json, _) => staged,
        (given, stored) if given != stored => cast(stored),
        _ => staged,
    }
}

impl Batch {
    /// Whether the last row of a key wins.
    fn is_keyed(&self) -> bool {
        self.mode != WriteMode::Append && self.columns.iter().any(|column| column.key)
    }

    /// The numbers of the sets that lack a column, if any does.
    fn lacking(&self, place: usize) -> Option<Vec<usize>> {
        let lacks = |(number, set): (usize, &Vec<usize>)| (!set.contains(&place)).then_some(number);
        let numbers: Vec<_> = self.sets.iter().enumerate().filter_map(lacks).collect();
        (!numbers.is_empty()).then_some(numbers)
    }

    /// The staged rows: `ow_row`, a value `v…` for each column and, where the
    /// last row of a key wins, `ow_last` and a flag `a…` that is 1 where no row
    /// of the key has the column. None where there are no rows.
    fn rows(&self, database: &str) -> Option<String> {
        let stage = self.stage.as_ref()?;
        let keyed = self.is_keyed();
        let keys: Vec<_> = (0..)
            .zip(&self.columns)
            .filter_map(|(place, column): (usize, _)| column.key.then(|| format!("\"c{place}\"")))
            .collect();
        let partition = format!("PARTITION BY {}", keys.join(", "));
        let mut values = vec!["\"ow_row\"".to_owned()];
        for (place, column) in self.columns.iter().enumerate() {
            let value = value(place, column);
            match self.lacking(place).filter(|_| keyed) {
                Some(sets) => {
                    let sets: Vec<_> = sets.iter().map(usize::to_string).collect();
                    let lacks = format!("CASE WHEN \"ow_set\" IN ({}) THEN 1 ELSE 0 END", sets.join(", "));
                    values.push(format!(
                        "first_value({value}) OVER ({partition} ORDER BY {lacks}, \"ow_row\" DESC) AS \"v{place}\""
                    ));
                    values.push(format!("min({lacks}) OVER ({partition}) AS \"a{place}\""));
                }
                None => values.push(format!("{value} AS \"v{place}\"")),
            }
        }
        if keyed {
            values.push(format!("row_number() OVER ({partition} ORDER BY \"ow_row\" DESC) AS \"ow_last\""));
        }
        let (first, last) = self.commits;
        Some(format!(
            "SELECT {} FROM {}.{} WHERE \"ow_commit\" BETWEEN {first} AND {last}",
            values.join(", "),
            trino(database),
            trino(stage)
        ))
    }

    /// The rows that stay when the last row of a key has won.
    fn last_rows(&self, database: &str, columns: &str) -> Option<String> {
        let last = if self.is_keyed() { " WHERE r.\"ow_last\" = 1" } else { "" };
        self.rows(database).map(|rows| format!("SELECT {columns} FROM ({rows}) r{last}"))
    }

    fn guard(&self, database: &str, base: &Base) -> String {
        let refs = trino(&format!("{}$refs", self.table));
        format!(
            "IF((SELECT coalesce(max(h.\"snapshot_id\"), 0) FROM {}.{refs} h WHERE h.\"name\" = 'main') = {}, 1, CAST(concat('{STALE}', CAST(x.\"ow_row\" AS varchar)) AS bigint)) = 1",
            trino(database),
            base.snapshot.unwrap_or_default()
        )
    }

    fn names(&self) -> String {
        self.columns.iter().map(|column| trino(&column.name)).collect::<Vec<_>>().join(", ")
    }

    fn values(&self, of: &str) -> String {
        (0..self.columns.len()).map(|place| format!("{of}.\"v{place}\"")).collect::<Vec<_>>().join(", ")
    }

    /// The statement that brings the rows into the table; none where there is
    /// nothing to do.
    pub(super) fn statement(&self, database: &str, base: &Base) -> Option<String> {
        let (source, action) = match self.mode {
            WriteMode::Append => (self.last_rows(database, "r.*")?, "ON FALSE".to_owned()),
            WriteMode::Merge => (self.last_rows(database, "r.*")?, self.matched()),
            WriteMode::Replace => (self.all_and_marker(database), self.replacing()),
        };
        let new = if self.mode == WriteMode::Replace { " AND s.\"ow_row\" > 0" } else { "" };
        Some(format!(
            "MERGE INTO {}.{} t USING (SELECT * FROM ({source}) x WHERE {}) s {action} WHEN NOT MATCHED{new} THEN INSERT ({}) VALUES ({})",
            trino(database),
            trino(&self.table),
            self.guard(database, base),
            self.names(),
            self.values("s")
        ))
    }

    /// Rows by their key; a column that no row of the key has keeps its value.
    fn matched(&self) -> String {
        let (mut on, mut set) = (Vec::new(), Vec::new());
        for (place, column) in self.columns.iter().enumerate() {
            let name = trino(&column.name);
            if column.key {
                on.push(format!("t.{name} = s.\"v{place}\""));
            } else if self.lacking(place).is_some() {
                set.push(format!(
                    "{name} = CASE WHEN s.\"a{place}\" = 0 THEN s.\"v{place}\" ELSE t.{name} END"
                ));
            } else {
                set.push(format!("{name} = s.\"v{place}\""));
            }
        }
        let update = if set.is_empty() {
            String::new()
        } else {
            format!(" WHEN MATCHED THEN UPDATE SET {}", set.join(", "))
        };
        format!("ON {}{update}", on.join(" AND "))
    }

    /// The new rows, and one row with the number 0 that matches every old one.
    fn all_and_marker(&self, database: &str) -> String {
        let nulls: Vec<_> = self
            .columns
            .iter()
            .enumerate()
            .map(|(place, column)| format!("CAST(NULL AS {}) AS \"v{place}\"", trino_type(column.stored)))
            .collect();
        let marker = format!("SELECT CAST(0 AS bigint) AS \"ow_row\", {}", nulls.join(", "));
        let columns = format!("r.\"ow_row\", {}", self.values("r"));
        self.last_rows(database, &columns)
            .map_or_else(|| marker.clone(), |rows| format!("{rows} UNION ALL {marker}"))
    }

    /// Every old row matches the marker and goes. The right side is always 0,
    /// and reads a column so that the engine joins by hash and does not compare
    /// each row with each.
    fn replacing(&self) -> String {
        let readable = self.columns.iter().find(|column| column.stored != DataType::Bytes);
        let zero = match (readable, self.columns.first()) {
            (Some(column), _) => {
                format!("coalesce(length(substr(CAST(t.{} AS varchar), 1, 0)), 0)", trino(&column.name))
            }
            (None, Some(column)) => format!("IF(t.{} IS NULL, 0, 0)", trino(&column.name)),
            (None, None) => "0".to_owned(),
        };
        format!("ON s.\"ow_row\" = {zero} WHEN MATCHED THEN DELETE")
    }

    /// The statement that makes the table anew with the rows.
    pub(super) fn create_as(&self, database: &str, location: &str) -> String {
        let columns: Vec<_> = self
            .columns
            .iter()
            .enumerate()
            .map(|(place, column)| format!("r.\"v{place}\" AS {}", trino(&column.name)))
            .collect();
        let rows = self.last_rows(database, &columns.join(", ")).unwrap_or_else(|| {
            let nulls: Vec<_> = self
                .columns
                .iter()
                .map(|column| {
                    format!("CAST(NULL AS {}) AS {}", trino_type(column.stored), trino(&column.name))
                })
                .collect();
            format!("SELECT {} WHERE FALSE", nulls.join(", "))
        });
        format!(
            "CREATE TABLE {}.{} WITH (table_type = 'ICEBERG', is_external = false, location = {}, format = 'PARQUET', write_compression = 'ZSTD') AS {rows}",
            trino(database),
            trino(&self.table),
            literal(&format!("{location}/"))
        )
    }

    /// Checks, before anything is durable, that the statement is not too long.
    pub(super) fn check_length(&self, database: &str, base: &Base) -> Result<(), StorageError> {
        let length = self.statement(database, base).map_or(0, |sql| sql.len());
        if length <= MAX_STATEMENT {
            return Ok(());
        }
        Err(StorageError::Refused {
            message: format!(
                "table `{}` has {} columns, and the rows came with {} different sets of them: its statement would have {length} bytes, and Athena takes {MAX_STATEMENT}; write fewer columns, or all of them in each batch",
                self.table,
                self.columns.len(),
                self.sets.len()
            ),
        })
    }
}
