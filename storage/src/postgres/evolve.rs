//! Tables and how they change: what stands, what a stream needs, and the way
//! from one to the other. Tables are changed in place, never built anew, so that
//! grants, indexes, views and triggers stay.

use tokio_postgres::types::Type;

use super::connection::Session;
use super::identifier::{literal, quote, quote_all};
use super::ledger;
use super::params::Target;
use super::trouble::Trouble;
use super::types;
use crate::{DataType, Field, TableSchema};

/// The most columns of a table.
const MAX_COLUMNS: usize = 1600;

/// A column as it stands.
struct Column {
    name: String,
    /// Its type in PostgreSQL.
    sql_type: String,
    /// Its place in the primary key.
    key: Option<i32>,
    description: Option<String>,
    /// Whether ow-host made it.
    ours: bool,
    /// Whether PostgreSQL makes its values.
    generated: bool,
}

/// A table as it stands.
struct Standing {
    columns: Vec<Column>,
    /// The name of its primary key.
    key_name: Option<String>,
}

/// What a table is prepared for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Rows are added to those that it has.
    Add,
    /// Rows take the place of those that it has.
    Replace,
}

/// A table that is ready for rows.
pub(super) struct Ready {
    /// The types of the stream's columns.
    pub(super) stored: Vec<DataType>,
    /// Whether no row is in it, and nobody else can put one there before the
    /// transaction ends.
    pub(super) empty: bool,
}

/// The way from a table to what a stream needs.
struct Plan {
    /// Statements that change the table.
    changes: Vec<String>,
    /// Whether the table is there.
    stands: bool,
    /// The stream's columns, in its order, and the types they then have.
    columns: Vec<(String, DataType)>,
    /// Columns that go.
    gone: Vec<String>,
}

impl Standing {
    fn is_ours(&self) -> bool {
        self.columns.iter().any(|column| column.ours)
    }

    /// The columns of the primary key, in its order.
    fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<_> = self.columns.iter().filter(|column| column.key.is_some()).collect();
        keys.sort_by_key(|column| column.key);
        keys.into_iter().map(|column| column.name.as_str()).collect()
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// The table as it stands; none if there is none.
async fn load(session: &Session, target: &Target, table: &str) -> Result<Option<Standing>, Trouble> {
    let known = target.table("_ow_columns");
    let rows = session
        .rows(
            &format!(
                "SELECT c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod),
                 array_position(i.indkey::int2[], a.attnum), col_description(c.oid, a.attnum),
                 k.column_name IS NOT NULL, a.attgenerated <> '' OR a.attidentity = 'a',
                 (SELECT conname FROM pg_constraint p WHERE p.conrelid = c.oid AND p.contype = 'p')
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                 LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
                 LEFT JOIN {known} k ON k.table_name = $2 AND k.column_name = a.attname
                 WHERE n.nspname = $1 AND c.relname = $2 ORDER BY a.attnum"
            ),
            &[(&target.schema, Type::TEXT), (&table, Type::TEXT)],
        )
        .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let kind: String = first.try_get(0)?;
    if let Some(what) = not_a_table(&kind) {
        return Err(Trouble::refused(format!(
            "schema `{}` has {what} named `{table}` where a table is to be; rename it, or set `TablePrefix`",
            target.schema
        )));
    }
    let key_name = first.try_get(7)?;
    let mut columns = Vec::with_capacity(rows.len());
    for row in &rows {
        let Some(name) = row.try_get(1)? else { continue };
        columns.push(Column {
            name,
            sql_type: row.try_get(2)?,
            key: row.try_get(3)?,
            description: row.try_get(4)?,
            ours: row.try_get(5)?,
            generated: row.try_get(6)?,
        });
    }
    Ok(Some(Standing { columns, key_name }))
}

/// What a relation is that no rows can be loaded into.
fn not_a_table(kind: &str) -> Option<&'static str> {
    match kind {
        "r" | "p" => None,
        "v" => Some("a view"),
        "m" => Some("a materialized view"),
        "f" => Some("a foreign table"),
        "S" => Some("a sequence"),
        "i" | "I" => Some("an index"),
        _ => Some("something else"),
    }
}

/// The columns of a table that hold a stream's values; none if there is none.
pub(super) async fn columns(
    session: &Session,
    target: &Target,
    table: &str,
) -> Result<Option<Vec<Field>>, Trouble> {
    let Some(standing) = load(session, target, table).await? else { return Ok(None) };
    let ours = standing.is_ours();
    let fields = standing.columns.into_iter().filter(|column| column.ours || !ours).filter_map(|column| {
        Some(Field {
            data_type: types::parse(&column.sql_type)?,
            nullable: column.key.is_none(),
            name: column.name,
            description: column.description,
        })
    });
    Ok(Some(fields.collect()))
}

/// Checks that a table can be made ready, without changing anything.
pub(super) async fn check(
    session: &Session,
    target: &Target,
    table: &str,
    schema: &TableSchema,
    purpose: Purpose,
) -> Result<(), Trouble> {
    let standing = load(session, target, table).await?;
    plan(target, table, schema, standing.as_ref(), purpose).map(|_| ())
}

/// Makes a table ready for rows, inside the transaction of a commit. The table
/// keeps its shape until the end of the transaction.
pub(super) async fn prepare(
    session: &Session,
    target: &Target,
    table: &str,
    schema: &TableSchema,
    purpose: Purpose,
) -> Result<Ready, Trouble> {
    let standing = load(session, target, table).await?;
    let expected = plan(target, table, schema, standing.as_ref(), purpose)?;
    if !expected.changes.is_empty() {
        ledger::lock_table(session, target, table).await?;
    }
    let quoted = target.table(table);
    if expected.stands {
        let mode = match purpose {
            _ if !expected.changes.is_empty() => "ACCESS EXCLUSIVE",
            Purpose::Replace => "SHARE ROW EXCLUSIVE",
            Purpose::Add => "ROW EXCLUSIVE",
        };
        session.batch(&format!("LOCK TABLE {quoted} IN {mode} MODE")).await?;
    }
    // As it stands under the lock.
    let standing = load(session, target, table).await?;
    let plan = plan(target, table, schema, standing.as_ref(), purpose)?;
    if purpose == Purpose::Replace && plan.stands {
        check_references(session, table, &quoted).await?;
        session.batch(&format!("DELETE FROM {quoted}")).await?;
    }
    if !plan.changes.is_empty() {
        session.batch(&plan.changes.join(";\n")).await?;
        remember(session, target, table, &plan).await?;
    }
    Ok(Ready {
        empty: !plan.stands || purpose == Purpose::Replace,
        stored: plan.columns.into_iter().map(|(_, data_type)| data_type).collect(),
    })
}

/// Refuses to empty a table when that would change rows of other tables.
async fn check_references(session: &Session, table: &str, quoted: &str) -> Result<(), Trouble> {
    let found = session
        .optional(
            "SELECT conname, conrelid::regclass::text FROM pg_constraint
             WHERE confrelid = $1::text::regclass AND contype = 'f' AND confdeltype IN ('c', 'n', 'd') LIMIT 1",
            &[(&quoted, Type::TEXT)],
        )
        .await?;
    let Some(row) = found else { return Ok(()) };
    Err(Trouble::refused(format!(
        "the rows of table `{table}` cannot be replaced: foreign key `{}` of table `{}` would change rows there; drop it, or write the stream with mode `merge`",
        row.try_get::<_, String>(0)?,
        row.try_get::<_, String>(1)?
    )))
}

/// Writes which columns are the host's own.
async fn remember(session: &Session, target: &Target, table: &str, plan: &Plan) -> Result<(), Trouble> {
    let known = target.table("_ow_columns");
    if plan.stands {
        session
            .execute(
                &format!("DELETE FROM {known} WHERE table_name = $1 AND column_name = ANY ($2)"),
                &[(&table, Type::TEXT), (&plan.gone, Type::TEXT_ARRAY)],
            )
            .await?;
    } else {
        let forget = format!("DELETE FROM {known} WHERE table_name = $1");
        session.execute(&forget, &[(&table, Type::TEXT)]).await?;
    }
    let names: Vec<_> = plan.columns.iter().map(|(name, _)| name.as_str()).collect();
    let data_types: Vec<_> = plan.columns.iter().map(|(_, data_type)| data_type.to_string()).collect();
    session
        .execute(
            &format!(
                "INSERT INTO {known} (table_name, column_name, data_type)
                 SELECT $1, name, data_type FROM unnest($2::text[], $3::text[]) AS new (name, data_type)
                 ON CONFLICT (table_name, column_name) DO UPDATE SET data_type = excluded.data_type"
            ),
            &[(&table, Type::TEXT), (&names, Type::TEXT_ARRAY), (&data_types, Type::TEXT_ARRAY)],
        )
        .await
        .map(|_| ())
}

/// Finds the way from the table that stands to what a stream needs; an error if
/// there is none.
fn plan(
    target: &Target,
    table: &str,
    schema: &TableSchema,
    standing: Option<&Standing>,
    purpose: Purpose,
) -> Result<Plan, Trouble> {
    let Some(standing) = standing else { return Ok(create(target, table, schema)) };
    if let Some(column) = generated(standing, schema) {
        return Err(Trouble::refused(format!(
            "PostgreSQL makes the values of column `{column}` of table `{table}` itself, and the stream has a field of this name; rename that column"
        )));
    }
    match (standing.is_ours(), purpose) {
        (false, _) => adopt(table, schema, standing, purpose),
        (true, Purpose::Add) => widen(target, table, schema, standing),
        (true, Purpose::Replace) => reshape(target, table, schema, standing),
    }
}

fn generated<'a>(standing: &'a Standing, schema: &TableSchema) -> Option<&'a str> {
    let is_field = |name: &str| schema.fields.iter().any(|field| field.name == name);
    let found = standing.columns.iter().find(|column| column.generated && is_field(&column.name));
    found.map(|column| column.name.as_str())
}

fn declared(schema: &TableSchema) -> Vec<(String, DataType)> {
    schema.fields.iter().map(|field| (field.name.clone(), field.data_type)).collect()
}

fn create(target: &Target, table: &str, schema: &TableSchema) -> Plan {
    let quoted = target.table(table);
    let mut parts: Vec<_> = schema
        .fields
        .iter()
        .map(|field| format!("{} {}", quote(&field.name), types::sql(field.data_type)))
        .collect();
    if !schema.primary_key.is_empty() {
        parts.push(primary_key(schema));
    }
    let mut changes = vec![format!("CREATE TABLE {quoted} ({})", parts.join(", "))];
    if let Some(description) = &schema.description {
        changes.push(format!("COMMENT ON TABLE {quoted} IS {}", literal(description)));
    }
    changes.extend(schema.fields.iter().filter_map(|field| comment(&quoted, field)));
    Plan { changes, stands: false, columns: declared(schema), gone: Vec::new() }
}

fn primary_key(schema: &TableSchema) -> String {
    format!("PRIMARY KEY ({})", quote_all(schema.primary_key.iter().map(String::as_str)))
}

fn comment(quoted: &str, field: &Field) -> Option<String> {
    let description = field.description.as_ref()?;
    Some(format!("COMMENT ON COLUMN {quoted}.{} IS {}", quote(&field.name), literal(description)))
}

/// A comment that is not the field's description yet.
fn new_comment(quoted: &str, field: &Field, standing: Option<&Column>) -> Option<String> {
    let description = field.description.as_deref().map(super::identifier::without_nul);
    let same = standing.is_some_and(|column| column.description == description);
    if same { None } else { comment(quoted, field) }
}

/// A table of somebody else: rows may be added if nothing has to be changed.
fn adopt(table: &str, schema: &TableSchema, standing: &Standing, purpose: Purpose) -> Result<Plan, Trouble> {
    let refused = |why: String| {
        Err(Trouble::refused(format!(
            "table `{table}` was not created by ow-host, and {why}; rename that table, or set `TablePrefix`"
        )))
    };
    if purpose == Purpose::Replace {
        return refused("its rows are not replaced".to_owned());
    }
    let mut columns = Vec::new();
    for field in &schema.fields {
        let name = &field.name;
        let Some(column) = standing.column(name) else { return refused(format!("lacks column `{name}`")) };
        let stands = types::parse(&column.sql_type);
        let fits = stands.filter(|stands| crate::types::widest(*stands, field.data_type) == Some(*stands));
        let Some(data_type) = fits else {
            return refused(format!(
                "its column `{name}` is {}, which does not surely hold {}",
                column.sql_type, field.data_type
            ));
        };
        columns.push((name.clone(), data_type));
    }
    if !same_key(standing, schema) {
        return refused(format!(
            "has {}, the stream has {}",
            say_key(&standing.keys()),
            say_key(&schema.primary_key)
        ));
    }
    Ok(Plan { changes: Vec::new(), stands: true, columns, gone: Vec::new() })
}

fn same_key(standing: &Standing, schema: &TableSchema) -> bool {
    let keys = standing.keys();
    keys.len() == schema.primary_key.len()
        && schema.primary_key.iter().all(|key| keys.contains(&key.as_str()))
}

fn say_key<S: AsRef<str>>(names: &[S]) -> String {
    if names.is_empty() {
        return "no primary key".to_owned();
    }
    format!("primary key ({})", quote_all(names.iter().map(AsRef::as_ref)))
}

/// A table of ours that takes more rows.
fn widen(target: &Target, table: &str, schema: &TableSchema, standing: &Standing) -> Result<Plan, Trouble> {
    if !same_key(standing, schema) {
        return Err(Trouble::refused(format!(
            "table `{table}` has {}, the stream has {}; run a full refresh, which builds the table anew",
            say_key(&standing.keys()),
            say_key(&schema.primary_key)
        )));
    }
    let quoted = target.table(table);
    let (mut changes, mut comments, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    for field in &schema.fields {
        let name = quote(&field.name);
        let stands = standing.column(&field.name);
        let data_type = match stands {
            None => {
                changes.push(format!("ADD COLUMN {name} {}", types::sql(field.data_type)));
                field.data_type
            }
            Some(column) => {
                let (from, to) = wider(table, column, field)?;
                if from != to {
                    let using = types::conversion(&name, from, to);
                    changes.push(format!("ALTER COLUMN {name} TYPE {} USING {using}", types::sql(to)));
                }
                to
            }
        };
        comments.extend(new_comment(&quoted, field, stands));
        columns.push((field.name.clone(), data_type));
    }
    check_width(table, standing, schema)?;
    let mut all = Vec::new();
    if !changes.is_empty() {
        all.push(format!("ALTER TABLE {quoted} {}", changes.join(", ")));
    }
    all.extend(comments);
    Ok(Plan { changes: all, stands: true, columns, gone: Vec::new() })
}

/// The type of a column that stands, and the one that it needs.
fn wider(table: &str, column: &Column, field: &Field) -> Result<(DataType, DataType), Trouble> {
    let name = &column.name;
    if !column.ours {
        return Err(foreign(table, name));
    }
    let Some(stands) = types::parse(&column.sql_type) else {
        return Err(Trouble::refused(format!(
            "column `{name}` of table `{table}` is {} by now, which ow-host does not write; run a full refresh, which builds the column anew",
            column.sql_type
        )));
    };
    let wide = crate::types::widest(stands, field.data_type).ok_or_else(|| {
        Trouble::refused(format!(
            "column `{name}` of table `{table}` is {stands} and the stream has {}, and no type holds both without a loss; run a full refresh, which builds the table anew, or give the field a new name",
            field.data_type
        ))
    })?;
    Ok((stands, wide))
}

fn foreign(table: &str, name: &str) -> Trouble {
    Trouble::refused(format!(
        "column `{name}` of table `{table}` was not created by ow-host, and the stream has a field `{name}`; rename that column"
    ))
}

fn check_width(table: &str, standing: &Standing, schema: &TableSchema) -> Result<(), Trouble> {
    let new = schema.fields.iter().filter(|field| standing.column(&field.name).is_none()).count();
    let columns = standing.columns.len() + new;
    if columns <= MAX_COLUMNS {
        return Ok(());
    }
    Err(Trouble::refused(format!(
        "table `{table}` would have {columns} columns, and PostgreSQL holds {MAX_COLUMNS} at most"
    )))
}

/// A table of ours whose rows are replaced: it is empty when this is done, so
/// that any shape is possible.
fn reshape(target: &Target, table: &str, schema: &TableSchema, standing: &Standing) -> Result<Plan, Trouble> {
    let quoted = target.table(table);
    let (mut changes, mut comments) = (Vec::new(), Vec::new());
    let rekeyed = !same_key(standing, schema);
    if let (true, Some(key)) = (rekeyed, &standing.key_name) {
        changes.push(format!("DROP CONSTRAINT {}", quote(key)));
        let kept = |name: &&str| schema.fields.iter().any(|field| field.name == **name);
        let keys = standing.keys().into_iter().filter(kept);
        changes.extend(keys.map(|name| format!("ALTER COLUMN {} DROP NOT NULL", quote(name))));
    }
    let is_field = |name: &String| schema.fields.iter().any(|field| field.name == *name);
    let gone: Vec<_> = standing
        .columns
        .iter()
        .filter(|column| column.ours && !is_field(&column.name))
        .map(|column| column.name.clone())
        .collect();
    changes.extend(gone.iter().map(|name| format!("DROP COLUMN {}", quote(name))));
    for field in &schema.fields {
        let (name, sql_type) = (quote(&field.name), types::sql(field.data_type));
        let stands = standing.column(&field.name);
        match stands {
            None => changes.push(format!("ADD COLUMN {name} {sql_type}")),
            Some(column) if !column.ours => return Err(foreign(table, &field.name)),
            Some(column) if column.sql_type != sql_type => {
                changes.push(format!("ALTER COLUMN {name} TYPE {sql_type} USING NULL::{sql_type}"));
            }
            Some(_) => {}
        }
        comments.extend(new_comment(&quoted, field, stands));
    }
    let mut all = Vec::new();
    if !changes.is_empty() {
        all.push(format!("ALTER TABLE {quoted} {}", changes.join(", ")));
    }
    if rekeyed && !schema.primary_key.is_empty() {
        all.push(format!("ALTER TABLE {quoted} ADD {}", primary_key(schema)));
    }
    all.extend(comments);
    Ok(Plan { changes: all, stands: true, columns: declared(schema), gone })
}
