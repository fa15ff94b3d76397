//! Rows into tables: the statement of a batch, and the values of its columns.

use std::ops::Range;

use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrowPrimitiveType, BinaryArray, BooleanArray, PrimitiveArray, RecordBatch, StringArray,
};
use arrow_buffer::NullBuffer;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, Statement};

use super::evolve::Column;
use super::identifier::{quote, quote_all};
use super::trouble::Trouble;
use crate::text;
use crate::{DataType, Field, StorageError, TableSchema, WriteMode};

/// Values that one statement takes, of as many rows as that makes. Measured with
/// rows of 10: 160 to 320 take 11 % less time than a row a statement; 80 take as
/// long as that, and so do 1,280.
const VALUES_A_STATEMENT: usize = 256;

/// Bytes from which on rows are written one by one: SQLite copies the values of a
/// statement.
const LARGE_ROW: usize = 4096;

/// A table that rows go to.
pub(super) struct Target<'a> {
    /// The name that the user knows, for messages.
    pub(super) name: &'a str,
    /// The table that is written.
    pub(super) written: &'a str,
    pub(super) schema: &'a TableSchema,
    pub(super) mode: WriteMode,
    /// The columns as they stand.
    pub(super) columns: &'a [Column],
    /// Rows that the run wrote to it before this batch.
    pub(super) rows_before: u64,
}

/// Where the values of a column of a batch are, and how they are stored.
enum Values<'a> {
    Boolean(&'a BooleanArray),
    BooleanText(&'a BooleanArray),
    Int64(&'a [i64]),
    /// As a number's text, with so many zeros after the point.
    Int64Text(&'a [i64], u8),
    Float64(&'a [f64]),
    Decimal {
        values: &'a [i128],
        precision: u8,
        scale: u8,
        zeros: u8,
    },
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Date(&'a [i32]),
    Midnight(&'a [i32]),
    Timestamp(&'a [i64]),
}

/// A column of a batch, ready to be written.
struct Source<'a> {
    name: &'a str,
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

/// Why a value was not taken.
enum Fault {
    Sqlite(rusqlite::Error),
    Value(&'static str),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Writes a batch, inside a write transaction.
pub(super) fn insert(
    connection: &Connection,
    target: &Target<'_>,
    rows: &RecordBatch,
) -> Result<(), Trouble> {
    let sources = sources(target, rows)?;
    let end = rows.num_rows();
    let at_once = match rows.get_array_memory_size().checked_div(end) {
        Some(bytes) if bytes < LARGE_ROW => VALUES_A_STATEMENT.checked_div(sources.len()).unwrap_or(1).max(1),
        _ => 1,
    };
    let rest = end - end % at_once;
    insert_rows(connection, target, &sources, 0..rest, at_once)?;
    insert_rows(connection, target, &sources, rest..end, 1)
}

/// Writes rows, so many with each statement; their number is a multiple of that.
fn insert_rows(
    connection: &Connection,
    target: &Target<'_>,
    sources: &[Source<'_>],
    rows: Range<usize>,
    at_once: usize,
) -> Result<(), Trouble> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = statement(target, sources, at_once)?;
    let mut statement = connection.prepare_cached(&sql)?;
    for first in rows.step_by(at_once) {
        let rows = first..first + at_once;
        let places = rows.clone().flat_map(|row| sources.iter().map(move |source| (row, source)));
        for (place, (row, source)) in (1..).zip(places) {
            if let Err(fault) = source.bind(&mut statement, place, row) {
                return Err(target.fault(fault, Some(source.name), row));
            }
        }
        if let Err(error) = statement.raw_execute() {
            if at_once == 1 {
                return Err(target.fault(Fault::Sqlite(error), None, first));
            }
            // One after another they tell which is at fault, unless SQLite ended
            // the transaction, whose end it is in any case.
            if !connection.is_autocommit() {
                insert_rows(connection, target, sources, rows, 1)?;
            }
            return Err(Trouble::Sqlite(error));
        }
    }
    Ok(())
}

/// Finds the batch's columns in the table, and checks what can be checked for
/// all rows at once.
fn sources<'a>(target: &Target<'_>, rows: &'a RecordBatch) -> Result<Vec<Source<'a>>, Trouble> {
    let schema = rows.schema_ref();
    let missing = target.schema.primary_key.iter().find(|key| schema.column_with_name(key).is_none());
    if let (Some(key), true) = (missing, rows.num_rows() > 0) {
        return Err(target.refused(0, &format!("lacks `{key}`, which is part of the primary key")));
    }
    let mut sources = Vec::with_capacity(rows.num_columns());
    for (declared, array) in schema.fields().iter().zip(rows.columns()) {
        let name = declared.name();
        let field = target.schema.fields.iter().find(|field| field.name == *name);
        let column = target.columns.iter().find(|column| column.name == *name);
        let (Some(field), Some(column)) = (field, column) else {
            return Err(internal(format!(
                "table `{}` has no column `{name}`, which a batch has",
                target.name
            )));
        };
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        if let (Some(nulls), false) = (nulls, field.nullable) {
            let row = (0..nulls.len()).find(|row| nulls.is_null(*row)).unwrap_or_default();
            return Err(target.refused(row, &format!("has no value for `{name}`, which may not be null")));
        }
        let Some(values) = values(array.as_ref(), field, column.data_type) else {
            return Err(internal(format!(
                "column `{name}` of table `{}` is {} and comes as {}",
                target.name,
                field.data_type,
                array.data_type()
            )));
        };
        sources.push(Source { name, nulls, values });
    }
    Ok(sources)
}

/// The SQL that writes so many rows of these columns.
fn statement(target: &Target<'_>, sources: &[Source<'_>], rows: usize) -> Result<String, Trouble> {
    let table = quote(target.written);
    if sources.is_empty() {
        return Ok(format!("INSERT INTO {table} DEFAULT VALUES"));
    }
    let keys = &target.schema.primary_key;
    let names = quote_all(sources.iter().map(|source| source.name));
    let places = format!("({})", vec!["?"; sources.len()].join(", "));
    let insert = format!("INSERT INTO {table} ({names}) VALUES {}", vec![places.as_str(); rows].join(", "));
    if target.mode == WriteMode::Append || keys.is_empty() {
        return Ok(insert);
    }
    let updates: Vec<_> = sources
        .iter()
        .filter(|source| !keys.iter().any(|key| key == source.name))
        .map(|source| format!("{0} = excluded.{0}", quote(source.name)))
        .collect();
    let action =
        if updates.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", updates.join(", ")) };
    Ok(format!("{insert} ON CONFLICT ({}) DO {action}", quote_all(keys.iter().map(String::as_str))))
}

fn slice<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<&[T::Native]> {
    array.as_any().downcast_ref::<PrimitiveArray<T>>().map(|array| array.values().as_ref())
}

/// How values of a field are stored in a column that is as wide or wider; none
/// if the array does not carry the field's type.
fn values<'a>(array: &'a dyn Array, field: &Field, stored: DataType) -> Option<Values<'a>> {
    let any = array.as_any();
    Some(match (field.data_type, stored) {
        (DataType::Boolean, DataType::Text) => Values::BooleanText(any.downcast_ref()?),
        (DataType::Boolean, _) => Values::Boolean(any.downcast_ref()?),
        (DataType::Int64, DataType::Text) => Values::Int64Text(slice::<Int64Type>(array)?, 0),
        (DataType::Int64, DataType::Decimal(_, scale)) => {
            Values::Int64Text(slice::<Int64Type>(array)?, scale)
        }
        (DataType::Int64, _) => Values::Int64(slice::<Int64Type>(array)?),
        (DataType::Float64, _) => Values::Float64(slice::<Float64Type>(array)?),
        (DataType::Decimal(precision, scale), stored) => {
            let zeros = match stored {
                DataType::Decimal(_, stored) => stored.saturating_sub(scale),
                _ => 0,
            };
            if *array.data_type() != field.data_type.arrow() {
                return None;
            }
            Values::Decimal { values: slice::<Decimal128Type>(array)?, precision, scale, zeros }
        }
        (DataType::Text | DataType::Json, _) => Values::Text(any.downcast_ref()?),
        (DataType::Bytes, _) => Values::Bytes(any.downcast_ref()?),
        (DataType::Date, DataType::Timestamp) => Values::Midnight(slice::<Date32Type>(array)?),
        (DataType::Date, _) => Values::Date(slice::<Date32Type>(array)?),
        (DataType::Timestamp, _) => Values::Timestamp(slice::<TimestampMicrosecondType>(array)?),
    })
}

impl Source<'_> {
    /// Hands one value to SQLite.
    fn bind(&self, statement: &mut Statement<'_>, place: usize, row: usize) -> Result<(), Fault> {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return put(statement, place, ValueRef::Null);
        }
        match &self.values {
            Values::Boolean(array) => put(statement, place, ValueRef::Integer(i64::from(array.value(row)))),
            Values::BooleanText(array) => {
                put(statement, place, ValueRef::Text(text::boolean(array.value(row))))
            }
            Values::Int64(values) => put(statement, place, ValueRef::Integer(at(values, row))),
            Values::Int64Text(values, zeros) => {
                put_text(statement, place, text::integer(at(values, row), *zeros), "is out of range")
            }
            Values::Float64(values) => {
                let value = at(values, row);
                if value.is_nan() {
                    return Err(Fault::Value(
                        "is NaN, which SQLite cannot hold; make it null or leave the row out",
                    ));
                }
                put(statement, place, ValueRef::Real(value))
            }
            Values::Decimal { values, precision, scale, zeros } => {
                let value = text::decimal(at(values, row), *precision, *scale, *zeros);
                put_text(statement, place, value, "has more digits than its type allows")
            }
            Values::Text(array) => put(statement, place, ValueRef::Text(array.value(row).as_bytes())),
            Values::Bytes(array) => put(statement, place, ValueRef::Blob(array.value(row))),
            Values::Date(values) => put_text(statement, place, text::date(at(values, row)), OUT_OF_YEARS),
            Values::Midnight(values) => {
                put_text(statement, place, text::midnight(at(values, row)), OUT_OF_YEARS)
            }
            Values::Timestamp(values) => {
                put_text(statement, place, text::timestamp(at(values, row)), OUT_OF_YEARS)
            }
        }
    }
}

const OUT_OF_YEARS: &str = "is not in the years 1 to 9999";

fn at<T: Copy + Default>(values: &[T], row: usize) -> T {
    values.get(row).copied().unwrap_or_default()
}

fn put(statement: &mut Statement<'_>, place: usize, value: ValueRef<'_>) -> Result<(), Fault> {
    Ok(statement.raw_bind_parameter(place, ToSqlOutput::Borrowed(value))?)
}

fn put_text(
    statement: &mut Statement<'_>,
    place: usize,
    value: Option<text::Text>,
    fault: &'static str,
) -> Result<(), Fault> {
    match value {
        Some(value) => put(statement, place, ValueRef::Text(value.as_bytes())),
        None => Err(Fault::Value(fault)),
    }
}

impl Target<'_> {
    fn refused(&self, row: usize, what: &str) -> Trouble {
        Trouble::refused(format!("row {} of table `{}` {what}", self.number(row), self.name))
    }

    /// The number of a row among all that the run wrote to the table.
    fn number(&self, row: usize) -> u64 {
        self.rows_before.saturating_add(u64::try_from(row).unwrap_or(u64::MAX)).saturating_add(1)
    }

    fn fault(&self, fault: Fault, column: Option<&str>, row: usize) -> Trouble {
        match fault {
            Fault::Value(what) => {
                let column = column.unwrap_or_default();
                Trouble::refused(format!(
                    "the value of `{column}` in row {} of table `{}` {what}",
                    self.number(row),
                    self.name
                ))
            }
            Fault::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::ConstraintViolation) if self.mode == WriteMode::Append && is_duplicate(&error) => {
                    self.refused(row, &format!(
                        "has a key that the table already holds ({error}); write the stream with mode `merge`, or declare no primary key"
                    ))
                }
                Some(ErrorCode::ConstraintViolation) => {
                    self.refused(row, &format!("does not fit a constraint of the table: {error}"))
                }
                Some(ErrorCode::TooBig) => {
                    self.refused(row, "is larger than 1,000,000,000 bytes, the most that SQLite holds")
                }
                _ => Trouble::Sqlite(error),
            },
        }
    }
}

fn is_duplicate(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID, SQLITE_CONSTRAINT_UNIQUE};
    let code = error.sqlite_extended_error_code();
    [SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID, SQLITE_CONSTRAINT_UNIQUE]
        .into_iter()
        .any(|duplicate| code == Some(duplicate))
}

fn internal(message: String) -> Trouble {
    Trouble::Storage(StorageError::Failed { message, retryable: false })
}
