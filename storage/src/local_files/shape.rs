//! The shape of a table: its columns, its format and its partitions; and the way
//! from the table that stands to what a stream needs.

use std::sync::Arc;

use arrow_array::types::{Date32Type, TimestampMicrosecondType};
use arrow_array::{Array, PrimitiveArray, RecordBatch};
use arrow_schema::{Field as ArrowField, Schema, SchemaRef};

use super::format::Format;
use super::name;
use super::trouble::Trouble;
use crate::sqlite::evolve::{Column, fresh};
use crate::{DataType, Field, TableSchema, text};

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// How every file of a table looks.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) columns: Vec<Column>,
    /// The same for Arrow. Only columns of the key may not be null.
    pub(super) arrow: SchemaRef,
    pub(super) format: Format,
    /// The field whose day is the partition.
    pub(super) partition: Option<String>,
}

impl Shape {
    pub(super) fn new(columns: Vec<Column>, format: Format, partition: Option<String>) -> Self {
        let fields: Vec<_> = columns
            .iter()
            .map(|column| ArrowField::new(&column.name, column.data_type.arrow(), column.key.is_none()))
            .collect();
        Self { columns, arrow: Arc::new(Schema::new(fields)), format, partition }
    }

    /// The shape of a table that is made for a stream.
    pub(super) fn fresh(schema: &TableSchema, format: Format, partition: Option<String>) -> Self {
        Self::new(fresh(schema), format, partition)
    }

    /// Where a column is.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Where the columns of the key are.
    pub(super) fn key(&self) -> Vec<usize> {
        let columns = self.columns.iter().enumerate();
        columns.filter(|(_, column)| column.key.is_some()).map(|(index, _)| index).collect()
    }

    /// Whether files of this shape are the same as files of another.
    pub(super) fn same_files(&self, other: &Self) -> bool {
        let of = |shape: &Self| -> Vec<_> {
            shape.columns.iter().map(|column| (column.name.clone(), column.data_type)).collect()
        };
        of(self) == of(other)
    }

    /// The columns as a stream's fields.
    pub(super) fn fields(self) -> Vec<Field> {
        let field = |column: Column| Field {
            name: column.name,
            data_type: column.data_type,
            nullable: column.key.is_none(),
            description: column.description,
        };
        self.columns.into_iter().map(field).collect()
    }

    /// The day of each row; none for a table without partitions.
    pub(super) fn days(&self, rows: &RecordBatch) -> Option<Vec<Option<i32>>> {
        let field = self.partition.as_deref()?;
        days(rows.column_by_name(field)?.as_ref())
    }

    /// The folder of a day, empty for a table without partitions.
    pub(super) fn folder(&self, day: Option<i32>) -> String {
        let Some(field) = self.partition.as_deref() else { return String::new() };
        let day = day.and_then(text::date);
        let day = day.as_ref().map(|day| String::from_utf8_lossy(day.as_bytes()).into_owned());
        name::partition(field, day.as_deref())
    }
}

/// The days of dates or timestamps; none for other arrays.
pub(super) fn days(array: &dyn Array) -> Option<Vec<Option<i32>>> {
    if let Some(dates) = array.as_any().downcast_ref::<PrimitiveArray<Date32Type>>() {
        return Some(dates.iter().collect());
    }
    let times = array.as_any().downcast_ref::<PrimitiveArray<TimestampMicrosecondType>>()?;
    // Microseconds hold 292,000 years: their days fit.
    Some(times.iter().map(|time| i32::try_from(time?.div_euclid(DAY)).ok()).collect())
}

/// By which field of a stream its table is partitioned. `wanted` is the
/// parameter `PartitionBy`; the stream's own wish counts where there is none.
pub(super) fn partition(schema: &TableSchema, wanted: Option<&str>) -> Result<Option<String>, Trouble> {
    let find = |name: &str| schema.fields.iter().find(|field| field.name == name);
    let has_days = |field: &Field| matches!(field.data_type, DataType::Date | DataType::Timestamp);
    let field = match wanted {
        Some("") => None,
        Some(name) if find(name).is_some_and(|field| !has_days(field)) => {
            return Err(Trouble::refused(format!(
                "column `{name}` of table `{}` is no date and no timestamp, so that the table cannot be partitioned by it; set `PartitionBy` to another field, or to nothing",
                schema.name
            )));
        }
        Some(name) if find(name).is_some() => Some(name),
        _ => schema.partition_field.as_deref().filter(|name| find(name).is_some_and(has_days)),
    };
    if let Some(field) = field {
        name::check_partition(schema, field)?;
    }
    Ok(field.map(str::to_owned))
}

/// The shape that a table has to get so that a stream's rows fit.
pub(super) fn plan(
    table: &str,
    standing: &Shape,
    schema: &TableSchema,
    format: Format,
    wanted_partition: Option<&str>,
) -> Result<Shape, Trouble> {
    if standing.format != format {
        return Err(Trouble::refused(format!(
            "table `{table}` has files in the format `{}`, and `Format` is `{}`; set `Format` back, or run a full refresh, which writes the table anew",
            standing.format.name(),
            format.name()
        )));
    }
    check_partition(table, standing, schema, wanted_partition)?;
    check_key(table, standing, schema)?;
    let mut columns = standing.columns.clone();
    for wanted in fresh(schema) {
        match columns.iter_mut().find(|column| name::same(&column.name, &wanted.name)) {
            Some(column) => widen(table, column, wanted)?,
            None => columns.push(wanted),
        }
    }
    Ok(Shape::new(columns, format, standing.partition.clone()))
}

/// The table keeps the partitions that it has; only the operator may ask for
/// others, and is told what that takes.
fn check_partition(
    table: &str,
    standing: &Shape,
    schema: &TableSchema,
    wanted: Option<&str>,
) -> Result<(), Trouble> {
    let asked = partition(schema, wanted)?;
    let explicit = wanted.is_some_and(|wanted| wanted.is_empty() || asked.as_deref() == Some(wanted));
    if explicit && asked != standing.partition {
        let say = |field: Option<&str>| {
            field.map_or("not partitioned".to_owned(), |f| format!("partitioned by `{f}`"))
        };
        return Err(Trouble::refused(format!(
            "table `{table}` is {}, and by `PartitionBy` it is to be {}; change `PartitionBy` back, or run a full refresh, which writes the table anew",
            say(standing.partition.as_deref()),
            say(asked.as_deref()),
        )));
    }
    match &standing.partition {
        Some(field) => Ok(name::check_partition(schema, field)?),
        None => Ok(()),
    }
}

fn check_key(table: &str, standing: &Shape, schema: &TableSchema) -> Result<(), Trouble> {
    let mut keys: Vec<_> = standing.columns.iter().filter(|column| column.key.is_some()).collect();
    keys.sort_by_key(|column| column.key);
    let stands = |name: &String| keys.iter().any(|column| column.name == *name);
    if keys.len() == schema.primary_key.len() && schema.primary_key.iter().all(stands) {
        return Ok(());
    }
    let say = |names: Vec<&str>| {
        if names.is_empty() {
            "no primary key".to_owned()
        } else {
            format!("primary key (`{}`)", names.join("`, `"))
        }
    };
    Err(Trouble::refused(format!(
        "table `{table}` has {}, the stream has {}; run a full refresh, which writes the table anew",
        say(keys.iter().map(|column| column.name.as_str()).collect()),
        say(schema.primary_key.iter().map(String::as_str).collect()),
    )))
}

fn widen(table: &str, column: &mut Column, wanted: Column) -> Result<(), Trouble> {
    if column.name != wanted.name {
        return Err(Trouble::refused(format!(
            "column `{}` of table `{table}` differs from field `{}` in case only, and many readers cannot tell them apart; rename the field, or run a full refresh",
            column.name, wanted.name
        )));
    }
    column.data_type = crate::types::widest(column.data_type, wanted.data_type).ok_or_else(|| {
        Trouble::refused(format!(
            "column `{}` of table `{table}` is {} and the stream has {}, and no type holds both without a loss; run a full refresh, which writes the table anew, or give the field a new name",
            column.name, column.data_type, wanted.data_type
        ))
    })?;
    column.description = wanted.description;
    Ok(())
}
