//! What a run imports: the nodes and columns that `Fields` chooses, as they are
//! at the configured level.

use ow_connector::prelude::*;

use crate::fields::{self, Kind, Origin};
use crate::nodes::{DataLevel, NODES, Node};
use crate::settings::Settings;

/// What the API writes where a value is not available.
const NOT_AVAILABLE: [&str; 2] = ["-", ""];

/// One node, with its chosen columns.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) node: &'static Node,
    /// The table, with the chosen columns alone.
    pub(crate) stream: Stream,
    /// The chosen columns, in the table's order.
    pub(crate) columns: Vec<&'static fields::Field>,
    /// Whether each was chosen by its name.
    by_name: Vec<bool>,
    level: DataLevel,
}

/// Everything that a configuration chooses.
pub(crate) fn imports(settings: &Settings) -> Result<Vec<Import>> {
    let level = settings.data_level;
    let (chosen, parameter) = settings.chosen()?;
    let nodes = NODES.iter().map(|node| (node, stream(node, level, node.fields())));
    let selections = select_fields(&chosen, parameter, settings.tables.rename(nodes)?)?;
    selections.into_iter().map(|selection| Import::new(selection, level, &chosen)).collect()
}

impl Import {
    fn new(selection: Selection<&'static Node>, level: DataLevel, chosen: &str) -> Result<Self> {
        let Selection { node, stream: whole, fields: selected } = selection;
        let key = node.key(level);
        let (mut columns, mut by_name) = (Vec::new(), Vec::new());
        for field in node.fields().filter(|field| selected.iter().any(|name| name == field.name)) {
            let named = is_named(chosen, node.name, field.name);
            let there = !node.is_report() || level.has(field.name);
            if named && !there {
                return Err(not_at(level, node, field.name));
            }
            let wanted = named || key.contains(&field.name) || !matches!(field.origin, Origin::OnDemand(_));
            if there && wanted {
                columns.push(field);
                by_name.push(named);
            }
        }
        let stream = Stream { name: whole.name, ..stream(node, level, columns.iter().copied()) };
        Ok(Self { node, stream, columns, by_name, level })
    }

    /// How the API's records become rows: where each column's value stands.
    pub(crate) fn open(&self) -> Open {
        let dimensions = self.node.dimensions(self.level);
        let mut open = Open::default().null_texts(NOT_AVAILABLE).epoch(Epoch::Seconds);
        for column in &self.columns {
            open = match column.api_name() {
                Some(name) if !self.node.is_report() => open.place(column.name, format!("/{name}")),
                Some(name) if dimensions.contains(&name) => {
                    open.place(column.name, format!("/dimensions/{name}"))
                }
                Some(name) => open.place(column.name, format!("/metrics/{name}")),
                None => open,
            };
        }
        open
    }

    /// The values that are those of the request.
    pub(crate) fn given<'a>(&self, advertiser: &'a str, day: Option<Date>) -> Vec<(&'static str, Cell<'a>)> {
        let given = self.columns.iter().filter_map(|column| match column.origin {
            Origin::Advertiser => Some((column.name, Cell::Text(advertiser))),
            Origin::Day => Some((column.name, day.map_or(Cell::Null, Cell::Date))),
            Origin::Api(_) | Origin::OnDemand(_) => None,
        });
        given.collect()
    }

    /// The names by which the API is asked for the columns: the metrics of a
    /// report, the fields of a list.
    pub(crate) fn asked(&self) -> Vec<&'static str> {
        let dimensions = self.node.dimensions(self.level);
        let is_report = self.node.is_report();
        let mut names: Vec<&'static str> = Vec::new();
        for name in self.columns.iter().filter_map(|column| column.api_name()) {
            if !(names.contains(&name) || is_report && dimensions.contains(&name)) {
                names.push(name);
            }
        }
        if is_report && names.is_empty() {
            // The API has no report without a metric.
            names.push("spend");
        }
        names
    }

    /// The columns that the operator chose by name and that take one of these
    /// values of the API's.
    pub(crate) fn named(&self, names: &[&str]) -> Vec<&'static str> {
        let columns = self.columns.iter().zip(&self.by_name).filter(|(_, by_name)| **by_name);
        let takes = columns.filter(|(column, _)| column.api_name().is_some_and(|name| names.contains(&name)));
        takes.map(|(column, _)| column.name).collect()
    }
}

/// Whether `Fields` has the pair of a node and a column.
fn is_named(chosen: &str, node: &str, column: &str) -> bool {
    chosen.split(',').any(|pair| {
        let mut words = pair.split_whitespace();
        words.next() == Some(node) && words.next() == Some(column)
    })
}

fn not_at(level: DataLevel, node: &Node, column: &str) -> Error {
    let first = DataLevel::first_with(column).unwrap_or_default();
    Error::config(format!(
        "`{}` has no `{column}` at the DataLevel {}; remove it from `Fields`, or set `DataLevel` to {}",
        node.name,
        level.name(),
        first.name()
    ))
    .parameter("Fields")
}

/// The table of a node, with some of its columns.
fn stream(node: &Node, level: DataLevel, fields: impl Iterator<Item = &'static fields::Field>) -> Stream {
    let key = node.key(level);
    let mut stream = Stream::new(node.table).describe(node.about).primary_key(key.iter().copied());
    for field in fields {
        let mut column = Field::new(field.name, field.kind.data_type());
        column.nullable = !key.contains(&field.name);
        column.description = field.about.map(str::to_owned);
        stream = stream.field(column);
    }
    let by_day = node.fields().any(|field| field.kind == Kind::Date && key.contains(&field.name));
    if by_day { stream.partition("stat_time_day") } else { stream }
}
