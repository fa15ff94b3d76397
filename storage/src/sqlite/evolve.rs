//! Tables and how they change: what stands, what a stream needs, and the way
//! from one to the other.

use rusqlite::{Connection, OptionalExtension, params};

use super::identifier::{quote, quote_all, same};
use super::trouble::Trouble;
use super::types;
use crate::{DataType, Field, TableSchema};

/// The most columns of a table that SQLite is built for.
const MAX_COLUMNS: usize = 2000;

/// A column as it stands, or is to stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    /// Its place in the primary key.
    pub(crate) key: Option<u32>,
    pub(crate) description: Option<String>,
}

/// A table as it stands.
struct Standing {
    columns: Vec<Column>,
    /// Columns that somebody else added.
    foreign: Vec<String>,
}

/// The way from a table to what a stream needs.
pub(super) struct Plan {
    /// The columns of the host that the table then has.
    pub(super) columns: Vec<Column>,
    /// The columns that stand already, before any change; none: no table.
    before: Option<Vec<Column>>,
}

/// The columns of a table that is made for a stream.
pub(crate) fn fresh(schema: &TableSchema) -> Vec<Column> {
    let columns = schema.fields.iter().map(|field| Column {
        name: field.name.clone(),
        data_type: field.data_type,
        key: schema
            .primary_key
            .iter()
            .position(|key| *key == field.name)
            .and_then(|at| u32::try_from(at).ok()),
        description: field.description.clone(),
    });
    columns.collect()
}

/// Finds the way from the table that stands to what a stream needs; an error if
/// there is none.
pub(super) fn plan(connection: &Connection, table: &str, schema: &TableSchema) -> Result<Plan, Trouble> {
    let Some(standing) = load(connection, table)? else {
        check_width(table, schema.fields.len())?;
        return Ok(Plan { columns: fresh(schema), before: None });
    };
    check_key(table, &standing, schema)?;
    let mut columns = standing.columns.clone();
    for wanted in fresh(schema) {
        match columns.iter_mut().find(|column| same(&column.name, &wanted.name)) {
            Some(column) => widen(table, column, wanted)?,
            None => {
                check_free(table, &standing, &wanted.name)?;
                columns.push(wanted);
            }
        }
    }
    check_width(table, columns.len() + standing.foreign.len())?;
    let plan = Plan { columns, before: Some(standing.columns) };
    if plan.rebuilds() && !standing.foreign.is_empty() {
        return Err(Trouble::refused(format!(
            "table `{table}` has to be rebuilt for a wider column type, and that would drop columns that ow-host did not create ({}); drop them, or run a full refresh",
            quote_all(standing.foreign.iter().map(String::as_str))
        )));
    }
    Ok(plan)
}

/// The columns of a table as it stands; none if there is none.
pub(super) fn columns(connection: &Connection, table: &str) -> Result<Option<Vec<Field>>, Trouble> {
    let field = |column: Column| Field {
        name: column.name,
        data_type: column.data_type,
        nullable: column.key.is_none(),
        description: column.description,
    };
    Ok(load(connection, table)?.map(|standing| standing.columns.into_iter().map(field).collect()))
}

/// Checks that a table may be replaced: it is ours or is not there.
pub(super) fn check_replaceable(
    connection: &Connection,
    table: &str,
    schema: &TableSchema,
) -> Result<(), Trouble> {
    check_width(table, schema.fields.len())?;
    load(connection, table).map(|_| ())
}

/// The table as it stands; none if there is none.
fn load(connection: &Connection, table: &str) -> Result<Option<Standing>, Trouble> {
    let there = connection
        .prepare_cached("SELECT name, type FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE")?
        .query_row([table], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
        .optional()?;
    let Some((name, kind)) = there else { return Ok(None) };
    if kind != "table" {
        return Err(Trouble::refused(format!(
            "the database has {} {kind} named `{name}` where table `{table}` is to be; rename it, or set `TablePrefix`",
            if kind == "index" { "an" } else { "a" }
        )));
    }
    if name != table {
        return Err(Trouble::refused(format!(
            "table `{name}` is there already and differs from `{table}` in case only, which SQLite cannot tell apart; rename the stream, or set `TablePrefix`"
        )));
    }
    let known = catalog(connection, table)?;
    if known.is_empty() {
        return Err(Trouble::refused(format!(
            "table `{table}` was not created by ow-host, so what its columns mean is not known; rename that table, or set `TablePrefix`"
        )));
    }
    // The statement: a table called like the function would stand in its way.
    let mut actual: Vec<String> = Vec::new();
    connection.pragma(None, "table_xinfo", table, |row| {
        actual.push(row.get("name")?);
        Ok(())
    })?;
    let is_known = |name: &String| known.iter().any(|column| column.name == *name);
    Ok(Some(Standing {
        foreign: actual.iter().filter(|name| !is_known(name)).cloned().collect(),
        columns: known.iter().filter(|column| actual.contains(&column.name)).cloned().collect(),
    }))
}

/// What the catalog knows of a table's columns, in their order.
pub(crate) fn catalog(connection: &Connection, table: &str) -> Result<Vec<Column>, Trouble> {
    let mut query = connection.prepare_cached(
        "SELECT column_name, data_type, key_position, description FROM _ow_columns WHERE table_name = ?1 ORDER BY position",
    )?;
    let mut rows = query.query([table])?;
    let mut columns = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, text): (String, String) = (row.get(0)?, row.get(1)?);
        let data_type = crate::types::parse(&text).ok_or_else(|| {
            Trouble::refused(format!(
                "column `{name}` of table `{table}` has type `{text}`, which this version does not know"
            ))
        })?;
        columns.push(Column { name, data_type, key: row.get(2)?, description: row.get(3)? });
    }
    Ok(columns)
}

fn check_width(table: &str, columns: usize) -> Result<(), Trouble> {
    if columns <= MAX_COLUMNS {
        return Ok(());
    }
    Err(Trouble::refused(format!(
        "table `{table}` has {columns} columns, and SQLite holds {MAX_COLUMNS} at most"
    )))
}

fn check_key(table: &str, standing: &Standing, schema: &TableSchema) -> Result<(), Trouble> {
    let mut keys: Vec<_> = standing.columns.iter().filter(|column| column.key.is_some()).collect();
    keys.sort_by_key(|column| column.key);
    let stands = |name: &String| keys.iter().any(|column| column.name == *name);
    if keys.len() == schema.primary_key.len() && schema.primary_key.iter().all(stands) {
        return Ok(());
    }
    let say = |names: String| {
        if names.is_empty() { "no primary key".to_owned() } else { format!("primary key ({names})") }
    };
    Err(Trouble::refused(format!(
        "table `{table}` has {}, the stream has {}; run a full refresh, which builds the table anew",
        say(quote_all(keys.iter().map(|column| column.name.as_str()))),
        say(quote_all(schema.primary_key.iter().map(String::as_str))),
    )))
}

fn check_free(table: &str, standing: &Standing, name: &str) -> Result<(), Trouble> {
    match standing.foreign.iter().find(|foreign| same(foreign, name)) {
        None => Ok(()),
        Some(foreign) => Err(Trouble::refused(format!(
            "column `{foreign}` of table `{table}` was not created by ow-host, and the stream has a field `{name}`; rename that column"
        ))),
    }
}

fn widen(table: &str, column: &mut Column, wanted: Column) -> Result<(), Trouble> {
    if column.name != wanted.name {
        return Err(Trouble::refused(format!(
            "column `{}` of table `{table}` differs from field `{}` in case only, and SQLite cannot tell them apart; rename the field, or run a full refresh",
            column.name, wanted.name
        )));
    }
    column.data_type = crate::types::widest(column.data_type, wanted.data_type).ok_or_else(|| {
        Trouble::refused(format!(
            "column `{}` of table `{table}` is {} and the stream has {}, and no type holds both without a loss; run a full refresh, which builds the table anew, or give the field a new name",
            column.name, column.data_type, wanted.data_type
        ))
    })?;
    column.description = wanted.description;
    Ok(())
}

impl Plan {
    /// Whether values that are stored have to be written anew.
    fn rebuilds(&self) -> bool {
        let before = self.before.iter().flatten();
        before
            .zip(&self.columns)
            .any(|(old, new)| types::conversion("", old.data_type, new.data_type).is_some())
    }

    /// Makes the changes, inside a write transaction; `scratch` is a table name
    /// that is free.
    pub(super) fn apply(&self, connection: &Connection, table: &str, scratch: &str) -> Result<(), Trouble> {
        match &self.before {
            None => create(connection, table, &self.columns)?,
            Some(before) if self.rebuilds() => rebuild(connection, table, scratch, before, &self.columns)?,
            Some(before) => {
                for column in self.columns.iter().skip(before.len()) {
                    connection.execute_batch(&format!(
                        "ALTER TABLE {} ADD COLUMN {} {}",
                        quote(table),
                        quote(&column.name),
                        types::sql(column.data_type)
                    ))?;
                }
            }
        }
        if self.before.as_ref() != Some(&self.columns) {
            remember(connection, table, &self.columns)?;
        }
        Ok(())
    }
}

/// Creates a table. A key of one integer is the table's `INTEGER PRIMARY KEY`.
/// Other keys have an index of their own: `WITHOUT ROWID` was measured 20 %
/// faster on ascending keys and 2.5 times slower on random ones, once the table
/// is larger than the cache.
pub(super) fn create(connection: &Connection, table: &str, columns: &[Column]) -> Result<(), Trouble> {
    let mut keys: Vec<_> = columns.iter().filter(|column| column.key.is_some()).collect();
    keys.sort_by_key(|column| column.key);
    let mut parts: Vec<_> = columns
        .iter()
        .map(|column| {
            let not_null = if column.key.is_some() { " NOT NULL" } else { "" };
            format!("{} {}{not_null}", quote(&column.name), types::sql(column.data_type))
        })
        .collect();
    if !keys.is_empty() {
        parts.push(format!("PRIMARY KEY ({})", quote_all(keys.iter().map(|column| column.name.as_str()))));
    }
    connection.execute_batch(&format!("CREATE TABLE {} ({}) STRICT", quote(table), parts.join(", ")))?;
    Ok(())
}

/// Writes the whole table anew, with the values in their new types.
fn rebuild(
    connection: &Connection,
    table: &str,
    scratch: &str,
    before: &[Column],
    columns: &[Column],
) -> Result<(), Trouble> {
    create(connection, scratch, columns)?;
    let values = before.iter().zip(columns).map(|(old, new)| {
        let name = quote(&old.name);
        types::conversion(&name, old.data_type, new.data_type).unwrap_or(name)
    });
    connection.execute_batch(&format!(
        "INSERT INTO {} ({}) SELECT {} FROM {}",
        quote(scratch),
        quote_all(before.iter().map(|column| column.name.as_str())),
        values.collect::<Vec<_>>().join(", "),
        quote(table),
    ))?;
    swap(connection, table, scratch)
}

/// Puts one table in the place of another, or where there was none. Indexes and
/// triggers of the user stay, except those that name columns that are gone.
pub(super) fn swap(connection: &Connection, table: &str, with: &str) -> Result<(), Trouble> {
    let mut query = connection.prepare(
        "SELECT name, sql FROM sqlite_schema WHERE tbl_name = ?1 AND type IN ('index', 'trigger') AND sql IS NOT NULL",
    )?;
    let attached = query.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let attached = attached.collect::<Result<Vec<(String, String)>, _>>()?;
    drop(query);
    connection.execute_batch(&format!("DROP TABLE IF EXISTS {}", quote(table)))?;
    connection.execute_batch(&format!("ALTER TABLE {} RENAME TO {}", quote(with), quote(table)))?;
    for (name, sql) in attached {
        match connection.execute_batch(&sql) {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                return Err(Trouble::refused(format!(
                    "the new rows of table `{table}` do not fit index `{name}`, which ow-host did not create: {error}; drop that index"
                )));
            }
            // A column that it names is gone.
            Err(rusqlite::Error::SqlInputError { .. }) => {}
            result => result?,
        }
    }
    Ok(())
}

/// Writes a table's columns to the catalog.
pub(crate) fn remember(connection: &Connection, table: &str, columns: &[Column]) -> Result<(), Trouble> {
    connection.execute("DELETE FROM _ow_columns WHERE table_name = ?1", [table])?;
    let mut insert = connection.prepare_cached("INSERT INTO _ow_columns VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for (position, column) in columns.iter().enumerate() {
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        let data_type = column.data_type.to_string();
        insert.execute(params![table, column.name, position, data_type, column.key, column.description])?;
    }
    Ok(())
}
