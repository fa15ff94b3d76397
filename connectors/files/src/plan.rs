//! What a stream's columns are, and how a value gets into one.

use ow_connector::prelude::*;

use crate::catalog::File;
use crate::infer::Kind;
use crate::settings::{Settings, StreamSettings, parse_type, type_name};
use crate::value::Value;

/// Rows after which a run looks whether it was cancelled.
const LOOK: u64 = 8192;
/// Bytes of a name.
const NAME: usize = 255;

/// A stream and where its columns come from.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) settings: StreamSettings,
    pub(crate) stream: Stream,
    /// The columns that stand in files: the first of the stream's.
    pub(crate) columns: Vec<Column>,
    /// The configuration says which there are.
    pub(crate) declared: bool,
}

/// A column that stands in files.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Its name in the files.
    pub(crate) from: String,
    pub(crate) data_type: DataType,
    pub(crate) nullable: bool,
}

impl Plan {
    /// The plan of a stream whose columns are declared.
    pub(crate) fn declared(settings: &StreamSettings) -> Result<Option<Self>> {
        if settings.fields.is_empty() {
            return Ok(None);
        }
        if !settings.types.is_empty() {
            return Err(settings.wrong("`Types` is for inferred columns; `Fields` says the types already"));
        }
        let mut columns = Vec::new();
        for field in &settings.fields {
            let name = field.name.trim();
            let Some(data_type) = parse_type(&field.r#type) else {
                return Err(wrong_type(settings, name, &field.r#type));
            };
            columns.push(Column {
                name: name.to_owned(),
                from: field.from.clone().unwrap_or_else(|| name.to_owned()),
                data_type,
                nullable: true,
            });
        }
        Self::new(settings, columns, true).map(Some)
    }

    /// The plan of a stream whose columns are what was found.
    pub(crate) fn inferred(settings: &StreamSettings, found: Vec<(String, Kind)>) -> Result<Self> {
        if let Some(unknown) =
            settings.types.keys().find(|name| !found.iter().any(|(known, _)| known == *name))
        {
            let names = found.iter().map(|(name, _)| name.as_str());
            return Err(
                settings.wrong(format_args!("`Types` names `{unknown}`; {}", instead(unknown, names)))
            );
        }
        let column = |(name, kind): (String, Kind)| {
            let data_type = match settings.types.get(&name) {
                Some(text) => parse_type(text).ok_or_else(|| wrong_type(settings, &name, text))?,
                None => kind.data_type(),
            };
            Ok(Column { from: name.clone(), name, data_type, nullable: true })
        };
        Self::new(settings, found.into_iter().map(column).collect::<Result<_>>()?, false)
    }

    fn new(settings: &StreamSettings, mut columns: Vec<Column>, declared: bool) -> Result<Self> {
        if columns.is_empty() {
            // Of files without a row nothing is known, and nothing is needed.
            let stream = Stream::new(&settings.name);
            return Ok(Self { settings: settings.clone(), stream, columns, declared });
        }
        for key in &settings.primary_key {
            let Some(column) = columns.iter_mut().find(|column| column.name == *key) else {
                if settings.file_field.as_ref() == Some(key) || settings.row_field.as_ref() == Some(key) {
                    continue;
                }
                let names = columns.iter().map(|column| column.name.as_str());
                return Err(
                    settings.wrong(format_args!("`PrimaryKey` names `{key}`; {}", instead(key, names)))
                );
            };
            column.nullable = false;
        }
        let mut stream = Stream::new(&settings.name).primary_key(&settings.primary_key);
        for column in &columns {
            let field = Field::new(&column.name, column.data_type);
            stream = stream.field(if column.nullable { field.nullable() } else { field });
        }
        if let Some(name) = &settings.file_field {
            stream =
                stream.field(Field::new(name, DataType::Text).describe("The file in which the row stands."));
        }
        if let Some(name) = &settings.row_field {
            stream =
                stream.field(Field::new(name, DataType::Int64).describe("The row's number in its file."));
        }
        check_names(settings, &stream)?;
        Ok(Self { settings: settings.clone(), stream, columns, declared })
    }

    /// The value in its column.
    #[inline]
    pub(crate) fn value<'a>(
        &self,
        column: &Column,
        value: Value<'a>,
        place: impl FnOnce() -> String,
    ) -> Result<Value<'a>> {
        match value.into_type(column.data_type) {
            Ok(Value::Null) if !column.nullable => {
                let what = "there is no value, but the column is part of the primary key";
                Err(at(&place(), column, what))
            }
            Ok(value) => Ok(value),
            Err(value) => Err(self.misfit(column, &value, &place())),
        }
    }

    #[cold]
    fn misfit(&self, column: &Column, value: &Value<'_>, place: &str) -> Error {
        let wanted = type_name(column.data_type);
        let out = if self.declared || self.settings.types.contains_key(&column.name) {
            String::new()
        } else {
            format!(
                "; that type was inferred from the first rows: set `Types` of the stream `{}` to {{\"{}\": \"text\"}}, or raise `SampleRows`",
                self.stream.name, column.name
            )
        };
        at(place, column, &format!("{} does not fit the type {wanted}{out}", value.shown()))
    }

    /// A column of a file that the plan does not have.
    pub(crate) fn unknown(&self, name: &str) -> Error {
        Error::invalid_data(format!(
            "the column `{name}` was not in the rows and files from which columns were inferred: declare `Fields` of the stream `{}`, or raise `SampleRows` and `SampleFiles`",
            self.stream.name
        ))
    }

    /// A declared column that a file does not have.
    pub(crate) fn missing<'n>(
        &self,
        file: &File,
        name: &str,
        there: impl Iterator<Item = &'n str> + Clone,
    ) -> Error {
        Error::invalid_data(format!("{}: it has no column `{name}`; {}", file.name, instead(name, there)))
    }
}

/// An error of a value in a file. Whoever knows the place only later leaves it
/// empty, and adds it as a context.
fn at(place: &str, column: &Column, what: &str) -> Error {
    let gap = if place.is_empty() { "" } else { ", " };
    Error::invalid_data(format!("{place}{gap}column `{}`: {what}", column.from))
}

/// What one may have meant, or what there is.
fn instead<'n>(name: &str, there: impl Iterator<Item = &'n str> + Clone) -> String {
    let lower = name.to_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&lower, &known.to_lowercase());
    let near = there.clone().map(|known| (distance(known), known)).min();
    match near {
        Some((distance, near)) if distance <= 1 + name.chars().count() / 4 => {
            format!("did you mean `{near}`?")
        }
        Some(_) => {
            let names: Vec<String> = there.take(20).map(|name| format!("`{name}`")).collect();
            format!("there are {}", names.join(", "))
        }
        None => "there are no columns".to_owned(),
    }
}

fn wrong_type(settings: &StreamSettings, name: &str, text: &str) -> Error {
    settings.wrong(format_args!(
        "`{text}` is no type for `{name}`: write boolean, int64, float64, decimal(12,2), text, date, timestamp, json or bytes"
    ))
}

/// Refuses names that no table can have.
fn check_names(settings: &StreamSettings, stream: &Stream) -> Result<()> {
    let mut seen = std::collections::BTreeMap::new();
    for field in &stream.fields {
        let name = &field.name;
        if name.is_empty() || name.len() > NAME || name.contains(char::is_control) {
            return Err(settings.wrong(format_args!(
                "the column name {name:?} is empty, too long or has control characters; declare `Fields` with `From`"
            )));
        }
        if let Some(other) = seen.insert(name.to_lowercase(), name) {
            return Err(settings.wrong(format_args!(
                "the columns `{other}` and `{name}` are the same for a table; declare `Fields` with `From`"
            )));
        }
    }
    Ok(())
}

/// Takes the rows of one file: looks at them, or writes them.
pub(crate) struct Sink<'a> {
    pub(crate) ctx: &'a mut Context<Settings>,
    pub(crate) plan: &'a Plan,
    pub(crate) file: &'a File,
    /// Where rows are written to; none while the file is checked.
    pub(crate) table: Option<Table>,
    pub(crate) rows: u64,
    /// Always empty; its memory is that of a row's cells.
    cells: Vec<Cell<'static>>,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(
        ctx: &'a mut Context<Settings>,
        plan: &'a Plan,
        file: &'a File,
        table: Option<Table>,
    ) -> Self {
        Self { ctx, plan, file, table, rows: 0, cells: Vec::new() }
    }

    /// Takes a row: a value for each of the plan's columns.
    #[inline]
    pub(crate) fn row(&mut self, values: &[Value<'_>]) -> Result<()> {
        self.rows += 1;
        if self.rows.is_multiple_of(LOOK) {
            self.ctx.cancelled()?;
        }
        let Some(table) = self.table else { return Ok(()) };
        // In the memory of the row before.
        let spare = std::mem::take(&mut self.cells);
        let mut cells: Vec<Cell<'_>> = spare.into_iter().map_while(|_| None).collect();
        cells.extend(values.iter().map(Value::cell));
        if self.plan.settings.file_field.is_some() {
            cells.push(Cell::Text(&self.file.name));
        }
        if self.plan.settings.row_field.is_some() {
            cells.push(Cell::Int(i64::try_from(self.rows).unwrap_or(i64::MAX)));
        }
        let written = self.ctx.write_row(table, &cells);
        cells.clear();
        self.cells = cells.into_iter().map_while(|_| None).collect();
        written
    }
}
