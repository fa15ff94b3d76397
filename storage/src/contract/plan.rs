//! A stream against the table that stands: what is written as it comes, what is
//! converted, and what is refused.

use super::{Contract, Rule};
use crate::types::widest;
use crate::{DataType, Field, StorageError, TableSchema};

/// What a stream may write.
pub(super) struct Plan {
    /// The table that the storage is asked for; none if the stream gets none.
    pub(super) table: Option<TableSchema>,
    /// The fields of which something may be refused.
    pub(super) changes: Vec<Change>,
    /// Why every row is refused, if there is no table.
    pub(super) no_table: String,
}

/// A field of the stream that the table does not take as it is.
pub(super) struct Change {
    pub(super) field: Field,
    /// The table's type; none if the table has no such column.
    pub(super) stored: Option<DataType>,
    /// A value that does not fit takes its row with it.
    pub(super) with_row: bool,
    /// Why a value is refused.
    pub(super) reason: String,
}

impl Plan {
    /// Everything evolves.
    pub(super) fn open(schema: &TableSchema) -> Self {
        Self { table: Some(schema.clone()), changes: Vec::new(), no_table: String::new() }
    }

    /// Compares a stream with its table as it stands, if there is one.
    pub(super) fn new(
        schema: &TableSchema,
        standing: Option<&[Field]>,
        contract: Contract,
    ) -> Result<Self, StorageError> {
        let Some(standing) = standing else { return new_table(schema, contract.table) };
        let mut changes = Vec::new();
        for field in &schema.fields {
            changes.extend(match find(standing, &field.name) {
                None => new_column(schema, field, contract.column)?,
                Some(column) => another_type(schema, field, column.data_type, contract.data_type)?,
            });
        }
        Ok(Self { table: Some(writable(schema, &changes)?), changes, no_table: String::new() })
    }

    /// Whether anything may be refused.
    pub(super) fn refuses(&self) -> bool {
        self.table.is_none() || !self.changes.is_empty()
    }
}

/// The column of this name. A storage may have changed its case.
fn find<'a>(standing: &'a [Field], name: &str) -> Option<&'a Field> {
    let exact = standing.iter().find(|column| column.name == name);
    exact.or_else(|| {
        let name = name.to_lowercase();
        standing.iter().find(|column| column.name.to_lowercase() == name)
    })
}

fn new_table(schema: &TableSchema, rule: Rule) -> Result<Plan, StorageError> {
    match rule {
        Rule::Evolve => Ok(Plan::open(schema)),
        Rule::Freeze => Err(refused(format!(
            "there is no table for stream `{}`, and its contract has `table` at `freeze`; set `table` to `evolve` in `storage.contracts` for the run that is to create it",
            schema.name
        ))),
        Rule::DropValue | Rule::DropRow => Ok(Plan {
            table: None,
            changes: Vec::new(),
            no_table: "there is no table, and `table` is `drop-row`".to_owned(),
        }),
    }
}

fn new_column(schema: &TableSchema, field: &Field, rule: Rule) -> Result<Option<Change>, StorageError> {
    let (stream, name) = (&schema.name, &field.name);
    match rule {
        Rule::Evolve => Ok(None),
        Rule::Freeze => Err(refused(format!(
            "table `{stream}` has no column `{name}`, and the contract has `column` at `freeze`; set `column` to `evolve`, `drop-value` or `drop-row` in `storage.contracts`, or keep the field out of the stream"
        ))),
        Rule::DropValue | Rule::DropRow if schema.primary_key.contains(name) => Err(refused(format!(
            "table `{stream}` has no column `{name}`, which is part of the stream's primary key and cannot be left out; set `column` to `freeze` or `evolve` in `storage.contracts`, and run a full refresh for another primary key"
        ))),
        Rule::DropValue | Rule::DropRow => Ok(Some(Change {
            field: field.clone(),
            stored: None,
            with_row: rule == Rule::DropRow,
            reason: format!("the table has no column `{name}`, and `column` is `{rule}`"),
        })),
    }
}

fn another_type(
    schema: &TableSchema,
    field: &Field,
    stored: DataType,
    rule: Rule,
) -> Result<Option<Change>, StorageError> {
    let (stream, name, comes) = (&schema.name, &field.name, field.data_type);
    if widest(stored, comes) == Some(stored) {
        // The table takes every value of it as it is.
        return Ok(None);
    }
    match rule {
        Rule::Evolve => Ok(None),
        Rule::Freeze => Err(refused(format!(
            "column `{name}` of table `{stream}` is {stored} and the stream has {comes}, and the contract has `type` at `freeze`; set `type` to `evolve`, `drop-value` or `drop-row` in `storage.contracts`, or give the field a new name"
        ))),
        Rule::DropValue if !field.nullable => Err(refused(format!(
            "column `{name}` of table `{stream}` is {stored} and the stream has {comes}, and `drop-value` cannot leave out values of a column that may not be null; set `type` to `drop-row` or `freeze` in `storage.contracts`"
        ))),
        Rule::DropValue | Rule::DropRow => Ok(Some(Change {
            field: field.clone(),
            stored: Some(stored),
            with_row: rule == Rule::DropRow,
            reason: format!(
                "column `{name}` is {stored} in the table, the value is {comes} and is not the same in {stored}, and `type` is `{rule}`"
            ),
        })),
    }
}

/// The table that is left to write to.
fn writable(schema: &TableSchema, changes: &[Change]) -> Result<TableSchema, StorageError> {
    let mut table = schema.clone();
    let change = |name: &str| changes.iter().find(|change| change.field.name == name);
    table.fields.retain(|field| change(&field.name).is_none_or(|change| change.stored.is_some()));
    for field in &mut table.fields {
        if let Some(stored) = change(&field.name).and_then(|change| change.stored) {
            field.data_type = stored;
        }
    }
    if table.fields.is_empty() {
        return Err(refused(format!(
            "table `{}` has none of the stream's columns, and `column` is `drop-value` or `drop-row`; set it to `evolve` in `storage.contracts`, or give the stream another name",
            schema.name
        )));
    }
    let stays = |name: &String| table.fields.iter().any(|field| field.name == *name);
    table.cursor_field = schema.cursor_field.clone().filter(stays);
    table.partition_field = schema.partition_field.clone().filter(stays);
    Ok(table)
}

fn refused(message: String) -> StorageError {
    StorageError::Refused { message }
}
