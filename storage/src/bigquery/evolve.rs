//! Tables and how they change: what stands, what a stream needs, and the way
//! from one to the other.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::names::{quote, quote_all, same, text};
use super::trouble::Trouble;
use super::types::{self, Kind};
use super::warehouse::Warehouse;
use crate::{DataType, Field, TableSchema};

/// The most columns of a table.
const MAX_COLUMNS: usize = 10_000;
/// The most columns by which a table is clustered.
const MAX_CLUSTER: usize = 4;
/// The most columns of a primary key that BigQuery is told of.
const MAX_KEY: usize = 16;
/// The labels of a table that we made: that we did, and its key.
const LABEL: &str = "ow-host";
const KEY_LABEL: &str = "ow-host-key";

/// A table as it stands.
pub(super) struct Standing {
    etag: String,
    /// The columns, as the REST API describes them.
    fields: Vec<Value>,
    /// The key that we made it for; none if we did not make it.
    key: Option<String>,
    /// The primary key that BigQuery knows of.
    primary: Vec<String>,
    partition: Option<String>,
    partitioned: bool,
    cluster: Vec<String>,
}

/// The way from a table to what a stream needs.
pub(super) struct Plan {
    /// What the columns of the stream's fields then hold, in their order.
    pub(super) targets: Vec<Kind>,
    /// The description of a new table.
    create: Option<Value>,
    /// The columns with those that are added, and the tag of the table that they
    /// were planned for.
    schema: Option<(Vec<Value>, String)>,
    /// Columns that become wider.
    widen: Vec<(String, DataType)>,
}

/// How a table is made.
pub(super) struct Shape<'a> {
    schema: &'a TableSchema,
    partition: Option<(&'a str, DataType)>,
    cluster: Vec<&'a str>,
}

fn string(value: &Value, path: &str) -> Option<String> {
    value.pointer(path).and_then(Value::as_str).map(str::to_owned)
}

fn strings(value: &Value, path: &str) -> Vec<String> {
    let list = value.pointer(path).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn name_of(field: &Value) -> &str {
    field.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn is_required(field: &Value) -> bool {
    field.get("mode").and_then(Value::as_str).is_some_and(|mode| mode.eq_ignore_ascii_case("REQUIRED"))
}

/// A key as a label takes it: 63 lower-case characters at most.
fn key_label(schema: &TableSchema) -> String {
    if schema.primary_key.is_empty() {
        return "none".to_owned();
    }
    let mut names: Vec<_> = schema.primary_key.iter().map(String::as_str).collect();
    names.sort_unstable();
    let digest = Sha256::digest(names.join("\0").as_bytes());
    digest.iter().take(16).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

impl<'a> Shape<'a> {
    pub(super) fn of(schema: &'a TableSchema) -> Self {
        let find = |name: &str| schema.fields.iter().find(|field| field.name == name);
        let partition = schema.partition_field.as_deref().and_then(find);
        let partition = partition
            .filter(|field| types::partitions(field.data_type))
            .map(|field| (field.name.as_str(), field.data_type));
        let cluster = schema.primary_key.iter().filter_map(|key| find(key));
        let cluster = cluster
            .filter(|field| types::clusters(field.data_type))
            .map(|field| field.name.as_str())
            .filter(|name| partition.is_none_or(|(partition, _)| partition != *name))
            .take(MAX_CLUSTER);
        Self { schema, partition, cluster: cluster.collect() }
    }

    /// The key, where BigQuery can be told of it: it plans queries with it, and
    /// enforces nothing.
    fn primary_key(&self) -> Option<&[String]> {
        let keys = &self.schema.primary_key;
        let fits = |key: &String| {
            self.schema.fields.iter().any(|field| field.name == *key && types::clusters(field.data_type))
        };
        (!keys.is_empty() && keys.len() <= MAX_KEY && keys.iter().all(fits)).then_some(keys.as_slice())
    }

    fn labels(&self) -> [(&'static str, String); 2] {
        [(LABEL, "1".to_owned()), (KEY_LABEL, key_label(self.schema))]
    }

    /// The table as the REST API takes it.
    fn rest(&self) -> Value {
        let fields = self.schema.fields.iter();
        let fields: Vec<_> = fields
            .map(|field| types::field(&field.name, field.data_type, field.description.as_deref()))
            .collect();
        let mut body = Map::new();
        body.insert("schema".to_owned(), json!({ "fields": fields }));
        let labels: Map<_, _> =
            self.labels().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        body.insert("labels".to_owned(), Value::Object(labels));
        if let Some(description) = &self.schema.description {
            body.insert("description".to_owned(), json!(description));
        }
        if let Some((field, _)) = self.partition {
            body.insert("timePartitioning".to_owned(), json!({ "type": "DAY", "field": field }));
        }
        if !self.cluster.is_empty() {
            body.insert("clustering".to_owned(), json!({ "fields": self.cluster }));
        }
        if let Some(keys) = self.primary_key() {
            body.insert("tableConstraints".to_owned(), json!({ "primaryKey": { "columns": keys } }));
        }
        Value::Object(body)
    }

    /// The table as SQL writes it, from its columns to its options.
    pub(super) fn sql(&self) -> String {
        let mut columns: Vec<_> = self.schema.fields.iter().map(column_sql).collect();
        if let Some(keys) = self.primary_key() {
            let keys = quote_all(keys.iter().map(String::as_str));
            columns.push(format!("PRIMARY KEY ({keys}) NOT ENFORCED"));
        }
        let mut sql = format!("({})", columns.join(", "));
        if let Some((field, data_type)) = self.partition {
            let field = quote(field);
            sql = match data_type {
                DataType::Date => format!("{sql} PARTITION BY {field}"),
                _ => format!("{sql} PARTITION BY TIMESTAMP_TRUNC({field}, DAY)"),
            };
        }
        if !self.cluster.is_empty() {
            sql = format!("{sql} CLUSTER BY {}", quote_all(self.cluster.iter().copied()));
        }
        let labels = self.labels().map(|(name, value)| format!("({}, {})", text(name), text(&value)));
        let mut options = vec![format!("labels = [{}]", labels.join(", "))];
        if let Some(description) = &self.schema.description {
            options.push(format!("description = {}", text(description)));
        }
        format!("{sql} OPTIONS ({})", options.join(", "))
    }
}

fn column_sql(field: &Field) -> String {
    let column = format!("{} {}", quote(&field.name), types::sql(field.data_type));
    match &field.description {
        Some(description) => {
            let description: String = description.chars().take(1024).collect();
            format!("{column} OPTIONS (description = {})", text(&description))
        }
        None => column,
    }
}

impl Standing {
    /// Reads the REST API's description of a table.
    pub(super) fn read(table: &str, resource: &Value) -> Result<Self, Trouble> {
        let kind = string(resource, "/type").unwrap_or_else(|| "TABLE".to_owned());
        if kind != "TABLE" {
            return Err(Trouble::refused(format!(
                "the dataset has a {} named `{table}` where the stream's table is to be; rename it, or set `TablePrefix`",
                kind.to_lowercase().replace('_', " ")
            )));
        }
        let fields = resource.pointer("/schema/fields").and_then(Value::as_array).cloned();
        let ours = resource.pointer(&format!("/labels/{LABEL}")).is_some();
        Ok(Self {
            etag: string(resource, "/etag").unwrap_or_default(),
            fields: fields.unwrap_or_default(),
            key: string(resource, &format!("/labels/{KEY_LABEL}")).filter(|_| ours),
            primary: strings(resource, "/tableConstraints/primaryKey/columns"),
            partition: string(resource, "/timePartitioning/field"),
            partitioned: ["/timePartitioning", "/rangePartitioning"]
                .iter()
                .any(|path| resource.pointer(path).is_some()),
            cluster: strings(resource, "/clustering/fields"),
        })
    }

    /// The columns in our types, as far as they are ours.
    pub(super) fn columns(&self) -> Vec<Field> {
        let column = |field: &Value| {
            let data_type = match types::kind(field) {
                Kind::Known(data_type) => data_type,
                Kind::AnyDecimal => DataType::Decimal(38, 9),
                Kind::Other(_) => return None,
            };
            Some(Field {
                name: name_of(field).to_owned(),
                data_type,
                nullable: !is_required(field),
                description: string(field, "/description"),
            })
        };
        self.fields.iter().filter_map(column).collect()
    }

    /// Whether we made the table.
    pub(super) fn is_ours(&self) -> bool {
        self.key.is_some()
    }

    /// Whether it is exactly as it would be made for a stream.
    pub(super) fn is_like(&self, schema: &TableSchema) -> bool {
        let is = |wanted: &Field| {
            let found = self.fields.iter().find(|field| name_of(field) == wanted.name);
            found.is_some_and(|field| {
                types::kind(field) == Kind::Known(wanted.data_type) && !is_required(field)
            })
        };
        self.key.as_deref() == Some(&key_label(schema))
            && self.fields.len() == schema.fields.len()
            && schema.fields.iter().all(is)
            && self.is_laid_out_like(&Shape::of(schema))
    }

    /// Whether it is partitioned and clustered as it would be made: BigQuery
    /// replaces no table by one that is not.
    pub(super) fn is_laid_out_like(&self, shape: &Shape<'_>) -> bool {
        let partition = shape.partition.map(|(name, _)| name);
        let same_type = shape.partition.is_none_or(|(name, data_type)| {
            let found = self.fields.iter().find(|field| name_of(field) == name);
            found.is_some_and(|field| types::kind(field) == Kind::Known(data_type))
        });
        self.partition.as_deref() == partition
            && self.partitioned == partition.is_some()
            && same_type
            && self.cluster.iter().map(String::as_str).eq(shape.cluster.iter().copied())
    }

    fn check_key(&self, table: &str, schema: &TableSchema) -> Result<(), Trouble> {
        let has = || {
            if self.primary.is_empty() {
                "another primary key".to_owned()
            } else {
                format!("primary key ({})", quote_all(self.primary.iter().map(String::as_str)))
            }
        };
        let known = match &self.key {
            Some(key) => *key == key_label(schema),
            // Somebody else's: BigQuery may know its key.
            None => {
                let listed = |key: &String| self.primary.iter().any(|name| same(name, key));
                self.primary.is_empty()
                    || (self.primary.len() == schema.primary_key.len()
                        && schema.primary_key.iter().all(listed))
            }
        };
        if known {
            return Ok(());
        }
        let wants = if schema.primary_key.is_empty() {
            "no primary key".to_owned()
        } else {
            format!("primary key ({})", quote_all(schema.primary_key.iter().map(String::as_str)))
        };
        Err(Trouble::refused(format!(
            "table `{table}` was made with {}, the stream has {wants}; run a full refresh, which builds the table anew",
            has()
        )))
    }
}

/// Finds the way from the table that stands to what a stream needs; an error if
/// there is none.
pub(super) fn plan(table: &str, standing: Option<&Standing>, schema: &TableSchema) -> Result<Plan, Trouble> {
    check_types(table, schema)?;
    let Some(standing) = standing else {
        check_width(table, schema.fields.len())?;
        return Ok(Plan {
            targets: schema.fields.iter().map(|field| Kind::Known(field.data_type)).collect(),
            create: Some(Shape::of(schema).rest()),
            schema: None,
            widen: Vec::new(),
        });
    };
    standing.check_key(table, schema)?;
    let in_stream = |field: &&Value| schema.fields.iter().any(|wanted| same(&wanted.name, name_of(field)));
    if let Some(field) =
        standing.fields.iter().filter(|field| is_required(field)).find(|field| !in_stream(field))
    {
        return Err(Trouble::refused(format!(
            "column `{}` of table `{table}` may not be null, and the stream has no such field; drop it, or let it be null",
            name_of(field)
        )));
    }
    let mut fields = standing.fields.clone();
    let (mut targets, mut widen) = (Vec::new(), Vec::new());
    for wanted in &schema.fields {
        let found = standing.fields.iter().find(|field| same(name_of(field), &wanted.name));
        targets.push(match found {
            None => {
                fields.push(types::field(&wanted.name, wanted.data_type, wanted.description.as_deref()));
                Kind::Known(wanted.data_type)
            }
            Some(field) => {
                let target = fit(table, standing, field, wanted)?;
                if let (Kind::Known(to), true) = (&target, target != types::kind(field)) {
                    widen.push((wanted.name.clone(), *to));
                }
                target
            }
        });
    }
    check_width(table, fields.len())?;
    let grows = fields.len() > standing.fields.len();
    let schema = grows.then(|| (fields, standing.etag.clone()));
    Ok(Plan { targets, create: None, schema, widen })
}

/// What a column is to hold so that a field's values fit.
fn fit(table: &str, standing: &Standing, column: &Value, wanted: &Field) -> Result<Kind, Trouble> {
    let name = name_of(column);
    if name != wanted.name {
        return Err(Trouble::refused(format!(
            "column `{name}` of table `{table}` differs from field `{}` in case only, and BigQuery cannot tell them apart; rename the field, or run a full refresh",
            wanted.name
        )));
    }
    if is_required(column) && wanted.nullable {
        return Err(Trouble::refused(format!(
            "column `{name}` of table `{table}` may not be null, and the field may be; run `ALTER TABLE … ALTER COLUMN … DROP NOT NULL`"
        )));
    }
    let kind = types::kind(column);
    let Kind::Known(stands) = kind else {
        let fits =
            kind == Kind::AnyDecimal && matches!(wanted.data_type, DataType::Decimal(..) | DataType::Int64);
        return if fits { Ok(kind) } else { Err(no_fit(table, name, &kind, wanted)) };
    };
    let widest =
        crate::types::widest(stands, wanted.data_type).ok_or_else(|| no_fit(table, name, &kind, wanted))?;
    if widest == stands {
        return Ok(kind);
    }
    // BigQuery changes numbers in place, and nothing else.
    let numbers = matches!(stands, DataType::Int64 | DataType::Decimal(..));
    if numbers && matches!(widest, DataType::Decimal(..)) && standing.partition.as_deref() != Some(name) {
        return Ok(Kind::Known(widest));
    }
    Err(Trouble::refused(format!(
        "column `{name}` of table `{table}` is {stands} and would have to become {widest}, which BigQuery cannot do in place; run a full refresh, which builds the table anew, or give the field a new name"
    )))
}

fn no_fit(table: &str, name: &str, kind: &Kind, wanted: &Field) -> Trouble {
    Trouble::refused(format!(
        "column `{name}` of table `{table}` is {kind} and the stream has {}, and no type holds both without a loss; run a full refresh, which builds the table anew, or give the field a new name",
        wanted.data_type
    ))
}

fn check_types(table: &str, schema: &TableSchema) -> Result<(), Trouble> {
    let json = |key: &&String| {
        schema.fields.iter().any(|field| field.name == **key && field.data_type == DataType::Json)
    };
    match schema.primary_key.iter().find(json) {
        None => Ok(()),
        Some(key) => Err(Trouble::refused(format!(
            "`{key}`, which is part of the primary key of table `{table}`, is json, and BigQuery cannot compare that; declare the field `text`"
        ))),
    }
}

fn check_width(table: &str, columns: usize) -> Result<(), Trouble> {
    if columns <= MAX_COLUMNS {
        return Ok(());
    }
    Err(Trouble::refused(format!(
        "table `{table}` has {columns} columns, and BigQuery holds {MAX_COLUMNS} at most"
    )))
}

impl Plan {
    /// Makes the changes. All of them are harmless by themselves: a table without
    /// rows, a column of nulls, a wider type. False if somebody else changed the
    /// table meanwhile: then a new plan is needed.
    pub(super) async fn apply(&self, warehouse: &Warehouse, table: &str, job: &str) -> Result<bool, Trouble> {
        if let Some(create) = &self.create {
            warehouse.create_table(table, create.clone()).await?;
            return Ok(true);
        }
        if let Some((fields, etag)) = &self.schema {
            let body = json!({ "schema": { "fields": fields } });
            match warehouse.patch_table(table, &body, etag).await {
                Err(trouble) if trouble.is(412) => return Ok(false),
                result => result?,
            }
        }
        for (index, (column, data_type)) in self.widen.iter().enumerate() {
            let sql = format!(
                "ALTER TABLE {} ALTER COLUMN {} SET DATA TYPE {}",
                warehouse.sql(table),
                quote(column),
                types::sql(*data_type)
            );
            warehouse.run(&format!("{job}_{index}"), &sql, &[]).await?;
        }
        Ok(true)
    }

    /// Whether the table stands as it is needed.
    pub(super) fn is_done(&self) -> bool {
        self.create.is_none() && self.schema.is_none() && self.widen.is_empty()
    }
}

/// The table as it stands; none if there is none.
pub(super) async fn load(warehouse: &Warehouse, table: &str) -> Result<Option<Standing>, Trouble> {
    let found = warehouse.table(table).await?;
    found.map(|resource| Standing::read(table, &resource)).transpose()
}
