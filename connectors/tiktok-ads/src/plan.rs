//! What a run imports: the nodes and columns that `Fields` chooses, as they are
//! at the configured level.

use ow_connector::prelude::*;

use crate::fields::{self, Kind, Origin};
use crate::nodes::{DataLevel, NODES, Node};
use crate::settings::Settings;
use crate::values::data_type;

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
    let streams: Vec<Stream> = NODES.iter().map(|node| stream(node, level, node.fields())).collect();
    let known: Vec<(&str, &Stream)> =
        NODES.iter().map(|node| node.name).zip(&streams).collect();
    let selections = select_fields(&chosen, parameter, &known)?;
    selections
        .iter()
        .filter_map(|selection| {
            let node = NODES.iter().find(|node| node.name == selection.node)?;
            Some(Import::new(node, level, &selection.fields, &chosen))
        })
        .collect()
}

impl Import {
    fn new(node: &'static Node, level: DataLevel, selected: &[String], chosen: &str) -> Result<Self> {
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
        let stream = stream(node, level, columns.iter().copied());
        Ok(Self { node, stream, columns, by_name, level })
    }

    /// Whether a column tells rows apart.
    pub(crate) fn is_key(&self, column: &str) -> bool {
        self.stream.primary_key.iter().any(|name| name == column)
    }

    /// The names by which the API is asked for the columns: the metrics of a
    /// report, the fields of a list.
    pub(crate) fn asked(&self) -> Vec<&'static str> {
        let dimensions = self.node.dimensions(self.level);
        let is_report = self.node.is_report();
        let mut names: Vec<&'static str> = Vec::new();
        for name in self.columns.iter().filter_map(|column| column.api_name()) {
            if !names.contains(&name) && !(is_report && dimensions.contains(&name)) {
                names.push(name);
            }
        }
        if is_report && names.is_empty() {
            // The API has no report without a metric.
            names.push("spend");
        }
        names
    }

    /// The chosen columns whose API's names are not among these, where the
    /// operator named them.
    pub(crate) fn named_beside(&self, accepted: &[String]) -> Vec<&'static str> {
        let columns = self.columns.iter().zip(&self.by_name).filter(|(_, by_name)| **by_name);
        columns
            .filter(|(column, _)| {
                column.api_name().is_some_and(|api| {
                    let asked = self.asked().contains(&api);
                    asked && !accepted.iter().any(|name| name == api)
                })
            })
            .map(|(column, _)| column.name)
            .collect()
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
fn stream(
    node: &Node,
    level: DataLevel,
    fields: impl Iterator<Item = &'static fields::Field>,
) -> Stream {
    let key = node.key(level);
    let mut stream = Stream::new(node.table).describe(node.about).primary_key(key.iter().copied());
    for field in fields {
        let mut column = Field::new(field.name, data_type(field.kind));
        column.nullable = !key.contains(&field.name);
        column.description = field.about.map(str::to_owned);
        stream = stream.field(column);
    }
    let by_day = node.fields().any(|field| field.kind == Kind::Date && key.contains(&field.name));
    if by_day { stream.partition("stat_time_day") } else { stream }
}
