//! Tables as they stand: read from Iceberg's own metadata, which says more than
//! the catalog and costs no statement. And the way from there to what a stream
//! needs.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::identifier::{comment, fold, hive, literal};
use super::service::{Service, failed};
use super::trouble::fault;
use crate::{DataType, Field, StorageError, TableSchema};

/// A column of a table of ours, as it stands or is to stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Column {
    /// The name in Athena.
    pub(super) name: String,
    /// The stream's name of it.
    pub(super) field: String,
    #[serde(with = "type_text")]
    pub(super) data_type: DataType,
    /// Part of the primary key.
    pub(super) key: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
}

/// Types as text, as in the other storages' catalogs.
pub(super) mod type_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::DataType;

    pub(in crate::athena) fn serialize<S: Serializer>(ty: &DataType, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(ty)
    }

    pub(in crate::athena) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<DataType, D::Error> {
        let text = String::deserialize(from)?;
        crate::types::parse(&text).ok_or_else(|| D::Error::custom(format!("type `{text}` is not known")))
    }
}

/// What the columns of a table mean: an object beside the data, since Athena
/// has no place for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Catalog {
    pub(super) stream: String,
    pub(super) columns: Vec<Column>,
}

/// A table as Iceberg's metadata has it.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) location: String,
    columns: Vec<Physical>,
    pub(super) snapshot: Option<i64>,
    snapshots: Vec<Snapshot>,
}

#[derive(Debug, Clone)]
struct Physical {
    name: String,
    /// Iceberg's type; none where it is a nested one.
    ty: Option<String>,
    required: bool,
}

#[derive(Debug, Clone)]
struct Snapshot {
    id: i64,
    /// When it was made, in milliseconds.
    at: i64,
    /// Records in all data files.
    records: u64,
}

/// How a column becomes as wide as it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is.
    Same,
    /// `CHANGE COLUMN` makes it so.
    Change,
    /// Athena cannot.
    Never,
}

/// A snapshot that a statement is made for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Base {
    /// None in a table without any.
    pub(super) snapshot: Option<i64>,
    /// Records that the table had.
    records: u64,
    /// When the base was made, in milliseconds.
    at: i64,
}

/// Whether rows are in a table.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Landed {
    Yes,
    No,
    /// The snapshots that would tell have been removed.
    Lost,
}

/// The columns of a table that is made for a stream.
pub(super) fn fresh(schema: &TableSchema) -> Vec<Column> {
    let column = |field: &Field| Column {
        name: fold(&field.name),
        field: field.name.clone(),
        data_type: field.data_type,
        key: schema.primary_key.contains(&field.name),
        description: field.description.clone(),
    };
    schema.fields.iter().map(column).collect()
}

/// The type of a column in a definition of an Iceberg table.
pub(super) fn sql_type(ty: DataType) -> String {
    match ty {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Text | DataType::Json => "string".to_owned(),
        DataType::Bytes => "binary".to_owned(),
        DataType::Date => "date".to_owned(),
        DataType::Timestamp => "timestamp".to_owned(),
    }
}

/// The type whose values an Iceberg column holds; none where we have none.
fn logical(iceberg: &str) -> Option<DataType> {
    Some(match iceberg {
        "boolean" => DataType::Boolean,
        "int" | "long" => DataType::Int64,
        "float" | "double" => DataType::Float64,
        "string" => DataType::Text,
        "binary" => DataType::Bytes,
        "date" => DataType::Date,
        "timestamp" => DataType::Timestamp,
        decimal => crate::types::parse(decimal)?,
    })
}

/// How a column of an Iceberg type becomes one of ours.
fn step(iceberg: &str, to: DataType) -> Step {
    let Some(from) = logical(iceberg) else { return Step::Never };
    match (from, to) {
        _ if iceberg == "int" && to == DataType::Int64 => Step::Change,
        _ if iceberg == "float" && to == DataType::Float64 => Step::Change,
        (from, to) if sql_type(from) == sql_type(to) => Step::Same,
        (DataType::Decimal(p, s), DataType::Decimal(wider, same)) if s == same && wider > p => Step::Change,
        _ => Step::Never,
    }
}

fn refused(message: String) -> StorageError {
    StorageError::Refused { message }
}

impl Standing {
    /// The table of this name; none where there is none.
    pub(super) async fn load(service: &Service, table: &str) -> Result<Option<Self>, StorageError> {
        let request = service.athena.get_table_metadata().catalog_name("AwsDataCatalog");
        let answer = request.database_name(&service.place.database).table_name(table).send().await;
        let found = match answer {
            Ok(answer) => answer.table_metadata,
            Err(error) => {
                let fault = fault(error);
                if fault.code == "MetadataException" && fault.message.contains("EntityNotFound") {
                    return Ok(None);
                }
                return Err(service.explain(fault, &format!("look at table `{table}`")));
            }
        };
        let parameters = found.and_then(|found| found.parameters).unwrap_or_default();
        let is_iceberg =
            parameters.get("table_type").is_some_and(|kind| kind.eq_ignore_ascii_case("iceberg"));
        let Some(at) = parameters.get("metadata_location").filter(|_| is_iceberg) else {
            return Err(refused(format!(
                "`{table}` is in database `{}` already and is no Iceberg table, so rows cannot be merged into it; rename it, or set `TablePrefix`",
                service.place.database
            )));
        };
        let no_metadata = || failed(format!("the metadata of table `{table}` at {at} cannot be read"), true);
        let (bucket, key) =
            at.split_once("://").and_then(|(_, rest)| rest.split_once('/')).ok_or_else(no_metadata)?;
        let object = service.get_from(bucket, key).await?.ok_or_else(no_metadata)?;
        let metadata: Value = serde_json::from_slice(&object.bytes).map_err(|_| no_metadata())?;
        Ok(Some(Self::read(&metadata)))
    }

    fn read(metadata: &Value) -> Self {
        let current = metadata.get("current-schema-id").and_then(Value::as_i64).unwrap_or_default();
        let schemas = metadata.get("schemas").and_then(Value::as_array).into_iter().flatten();
        let is_current =
            |schema: &&Value| schema.get("schema-id").and_then(Value::as_i64).unwrap_or_default() == current;
        let schema = schemas.into_iter().find(is_current).or_else(|| metadata.get("schema"));
        let fields = schema.and_then(|schema| schema.get("fields")).and_then(Value::as_array);
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let column = |field: &Value| Physical {
            name: text(field, "name").unwrap_or_default().to_lowercase(),
            ty: text(field, "type"),
            required: field.get("required").and_then(Value::as_bool).unwrap_or_default(),
        };
        let snapshot = |snapshot: &Value| {
            let records = snapshot.get("summary").and_then(|summary| text(summary, "total-records"));
            Some(Snapshot {
                id: snapshot.get("snapshot-id").and_then(Value::as_i64)?,
                at: snapshot.get("timestamp-ms").and_then(Value::as_i64).unwrap_or_default(),
                records: records.and_then(|records| records.parse().ok()).unwrap_or_default(),
            })
        };
        let snapshots = metadata.get("snapshots").and_then(Value::as_array).into_iter().flatten();
        Self {
            location: text(metadata, "location").unwrap_or_default().trim_end_matches('/').to_owned(),
            columns: fields.into_iter().flatten().map(column).collect(),
            snapshot: metadata.get("current-snapshot-id").and_then(Value::as_i64).filter(|id| *id >= 0),
            snapshots: snapshots.filter_map(snapshot).collect(),
        }
    }

    /// What a statement that is made now is made for.
    pub(super) fn base(&self) -> Base {
        let current = self.snapshots.iter().find(|snapshot| Some(snapshot.id) == self.snapshot);
        Base {
            snapshot: self.snapshot,
            records: current.map_or(0, |snapshot| snapshot.records),
            at: current.map_or(0, |snapshot| snapshot.at),
        }
    }

    /// Whether a statement that was made for a base has added its rows.
    pub(super) fn landed(&self, base: &Base, rows: u64) -> Landed {
        let after = |snapshot: &&Snapshot| Some(snapshot.id) != base.snapshot && snapshot.at >= base.at;
        let has_ours = |snapshot: &Snapshot| snapshot.records == base.records.saturating_add(rows);
        if self.snapshots.iter().filter(after).any(has_ours) {
            return Landed::Yes;
        }
        let base_is_there =
            base.snapshot.is_none_or(|id| self.snapshots.iter().any(|snapshot| snapshot.id == id));
        if base_is_there { Landed::No } else { Landed::Lost }
    }

    /// How a column becomes what is wanted; none where there is no such column.
    pub(super) fn step(&self, wanted: &Column) -> Option<Step> {
        let column = self.columns.iter().find(|column| column.name == wanted.name)?;
        Some(column.ty.as_deref().map_or(Step::Never, |ty| step(ty, wanted.data_type)))
    }

    /// Columns that none of these names.
    pub(super) fn others<'a>(&'a self, columns: &'a [Column]) -> impl Iterator<Item = &'a str> {
        let known = |name: &str| columns.iter().any(|column| column.name == name);
        self.columns.iter().map(|column| column.name.as_str()).filter(move |name| !known(name))
    }

    /// The columns with what they mean, as far as the catalog knows.
    pub(super) fn columns(&self, catalog: Option<&Catalog>) -> Vec<Column> {
        let known = catalog.map(|catalog| catalog.columns.as_slice()).unwrap_or_default();
        let column = |physical: &Physical| {
            let ty = physical.ty.as_deref()?;
            let known = known.iter().find(|column| column.name == physical.name);
            match known {
                Some(column) if step(ty, column.data_type) == Step::Same => Some(column.clone()),
                _ => Some(Column {
                    name: physical.name.clone(),
                    field: known.map_or_else(|| physical.name.clone(), |column| column.field.clone()),
                    data_type: logical(ty)?,
                    key: known.is_some_and(|column| column.key),
                    description: None,
                }),
            }
        };
        self.columns.iter().filter_map(column).collect()
    }
}

/// The columns that a table has after it was brought to what a stream needs; an
/// error if there is no way.
pub(super) fn plan(
    table: &str,
    standing: &Standing,
    catalog: Option<&Catalog>,
    schema: &TableSchema,
) -> Result<Vec<Column>, StorageError> {
    let mut columns = standing.columns(catalog);
    if catalog.is_some() {
        check_key(table, &columns, schema)?;
    }
    for wanted in fresh(schema) {
        let Some(column) = columns.iter_mut().find(|column| column.name == wanted.name) else {
            if standing.step(&wanted).is_some() {
                return Err(refused(format!(
                    "column `{}` of table `{table}` has a type that ow-host does not write; rename that column or the field",
                    wanted.name
                )));
            }
            columns.push(wanted);
            continue;
        };
        let wider = crate::types::widest(column.data_type, wanted.data_type).ok_or_else(|| {
            refused(format!(
                "column `{}` of table `{table}` is {} and the stream has {}, and no type holds both without a loss; run a full refresh, which builds the table anew, or give the field a new name",
                column.name, column.data_type, wanted.data_type
            ))
        })?;
        let before = std::mem::replace(column, Column { data_type: wider, ..wanted });
        if standing.step(column) == Some(Step::Never) {
            return Err(refused(format!(
                "column `{}` of table `{table}` is {} and would have to be {wider} for the stream's values, which Athena cannot change; run a full refresh, which builds the table anew, or give the field a new name",
                column.name, before.data_type
            )));
        }
    }
    let written = |name: &str| schema.fields.iter().any(|field| fold(&field.name) == name);
    if let Some(column) = standing.columns.iter().find(|column| column.required && !written(&column.name)) {
        return Err(refused(format!(
            "column `{}` of table `{table}` may not be null, and the stream does not have it; make it optional, or rename the table",
            column.name
        )));
    }
    Ok(columns)
}

fn check_key(table: &str, columns: &[Column], schema: &TableSchema) -> Result<(), StorageError> {
    let before: Vec<_> =
        columns.iter().filter(|column| column.key).map(|column| column.name.clone()).collect();
    let wanted: Vec<_> = schema.primary_key.iter().map(|key| fold(key)).collect();
    if before.len() == wanted.len() && wanted.iter().all(|key| before.contains(key)) {
        return Ok(());
    }
    let say = |names: &[String]| {
        if names.is_empty() {
            "no primary key".to_owned()
        } else {
            format!("primary key (`{}`)", names.join("`, `"))
        }
    };
    Err(refused(format!(
        "table `{table}` has {}, the stream has {}; run a full refresh, which builds the table anew",
        say(&before),
        say(&wanted)
    )))
}

/// The statement that creates a table.
pub(super) fn create(database: &str, table: &str, location: &str, columns: &[Column]) -> String {
    let columns: Vec<_> = columns.iter().map(definition).collect();
    format!(
        "CREATE TABLE IF NOT EXISTS {}.{} ({}) LOCATION {} TBLPROPERTIES ('table_type'='ICEBERG', 'format'='parquet', 'write_compression'='zstd')",
        hive(database),
        hive(table),
        columns.join(", "),
        literal(location)
    )
}

/// The statement that adds columns.
pub(super) fn add(database: &str, table: &str, columns: &[&Column]) -> String {
    let columns: Vec<_> = columns.iter().map(|column| definition(column)).collect();
    format!("ALTER TABLE {}.{} ADD COLUMNS ({})", hive(database), hive(table), columns.join(", "))
}

/// The statement that makes a column wider.
pub(super) fn change(database: &str, table: &str, column: &Column) -> String {
    let name = hive(&column.name);
    format!(
        "ALTER TABLE {}.{} CHANGE COLUMN {name} {name} {}",
        hive(database),
        hive(table),
        sql_type(column.data_type)
    )
}

/// The statement that removes a column.
pub(super) fn drop_column(database: &str, table: &str, column: &str) -> String {
    format!("ALTER TABLE {}.{} DROP COLUMN {}", hive(database), hive(table), hive(column))
}

fn definition(column: &Column) -> String {
    let said = column.description.as_deref().filter(|text| !text.trim().is_empty());
    let comment = said.map_or_else(String::new, |text| format!(" COMMENT {}", comment(text)));
    format!("{} {}{comment}", hive(&column.name), sql_type(column.data_type))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn standing(snapshots: &[(i64, i64, u64)]) -> Standing {
        Standing::read(&json!({
            "location": "s3://b/t/",
            "current-schema-id": 1,
            "schemas": [
                { "schema-id": 0, "fields": [] },
                { "schema-id": 1, "fields": [{ "id": 1, "name": "A", "type": "int", "required": false }] }
            ],
            "current-snapshot-id": snapshots.last().map_or(-1, |last| last.0),
            "snapshots": snapshots.iter().map(|(id, at, records)| json!({
                "snapshot-id": id, "timestamp-ms": at, "summary": { "total-records": records.to_string() }
            })).collect::<Vec<_>>(),
        }))
    }

    #[test]
    fn rows_that_landed_are_found() {
        let empty = standing(&[]).base();
        assert_eq!(empty.snapshot, None);
        assert_eq!(standing(&[]).landed(&empty, 5), Landed::No);
        assert_eq!(standing(&[(1, 10, 5)]).landed(&empty, 5), Landed::Yes);
        let base = standing(&[(1, 10, 5)]).base();
        assert_eq!(standing(&[(1, 10, 5)]).landed(&base, 0), Landed::No);
        assert_eq!(standing(&[(1, 10, 5), (2, 11, 9)]).landed(&base, 3), Landed::No);
        assert_eq!(standing(&[(1, 10, 5), (2, 11, 8), (3, 12, 20)]).landed(&base, 3), Landed::Yes);
        // A table that was written as a whole, in two snapshots of one commit.
        assert_eq!(standing(&[(1, 10, 5), (2, 11, 0), (3, 11, 8)]).landed(&base, 3), Landed::Yes);
        assert_eq!(standing(&[(3, 12, 20)]).landed(&base, 3), Landed::Lost);
    }

    #[test]
    fn columns_become_wider_only_as_athena_can() {
        assert_eq!(step("int", DataType::Int64), Step::Change);
        assert_eq!(step("long", DataType::Int64), Step::Same);
        assert_eq!(step("float", DataType::Float64), Step::Change);
        assert_eq!(step("decimal(10, 2)", DataType::Decimal(12, 2)), Step::Change);
        assert_eq!(step("decimal(10, 2)", DataType::Decimal(12, 3)), Step::Never);
        assert_eq!(step("decimal(10, 2)", DataType::Decimal(9, 2)), Step::Never);
        assert_eq!(step("string", DataType::Json), Step::Same);
        assert_eq!(step("long", DataType::Text), Step::Never);
        assert_eq!(step("date", DataType::Timestamp), Step::Never);
        assert_eq!(step("timestamptz", DataType::Timestamp), Step::Never);
    }
}
