//! `Fields`: the operator's choice of streams and columns, in OWOX's notation
//! `node field, node field`; and `DestinationTableNameOverride`, the operator's
//! names of their tables, as `node table, node table`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};
use crate::stream::Stream;
use crate::writer::Open;

/// A stream that the operator chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection<N> {
    /// What the source calls the stream.
    pub node: N,
    /// The stream, with all of its columns.
    pub stream: Stream,
    /// The chosen columns, in the stream's order, with those of its primary key.
    pub fields: Vec<String>,
}

impl<N> Selection<N> {
    /// How its table is opened: with the chosen columns, and for records of another
    /// stream's name under this one's.
    pub fn open(&self) -> Open {
        Open::default().name(&self.stream.name).fields(&self.fields)
    }
}

/// Reads a choice such as `holidays id, holidays date`. `nodes` are the streams,
/// each with what the source calls it. Without a choice, and for a node without
/// fields, everything is chosen; the primary key always is.
///
/// ```
/// use ow_connector::prelude::*;
///
/// let rates = Stream::new("rates_table").field(Field::of::<Date>("date")).field(Field::of::<f64>("rate"));
/// let nodes = [("rates", rates)];
/// assert_eq!(select_fields("rates rate", "Fields", nodes.clone())?[0].fields, ["rate"]);
/// assert_eq!(select_fields("", "Fields", nodes.clone())?[0].fields, ["date", "rate"]);
/// let error = select_fields("rates rat", "Fields", nodes).unwrap_err();
/// assert_eq!(error.message(), "`rates` has no field `rat`; did you mean `rate`?");
/// # Ok::<(), Error>(())
/// ```
pub fn select_fields<N: AsRef<str>>(
    text: &str,
    parameter: &str,
    nodes: impl IntoIterator<Item = (N, Stream)>,
) -> Result<Vec<Selection<N>>> {
    let wrong = |message: String| Error::config(message).parameter(parameter);
    let nodes: Vec<(N, Stream)> = nodes.into_iter().collect();
    let mut chosen = Vec::new();
    for pair in pairs(text) {
        let (node, field) = pair.split_once(char::is_whitespace).map_or((pair, ""), |(n, f)| (n, f.trim()));
        let Some((_, stream)) = nodes.iter().find(|(known, _)| known.as_ref() == node) else {
            return Err(wrong(no_node(node, &nodes)));
        };
        let names = || stream.fields.iter().map(|known| known.name.as_str());
        if !field.is_empty() && !names().any(|name| name == field) {
            return Err(wrong(format!("`{node}` has no field `{field}`{}", did_you_mean(field, names()))));
        }
        chosen.push((node, field));
    }
    let selections = nodes.into_iter().filter_map(|(node, stream)| {
        let own = chosen.iter().filter(|(name, _)| *name == node.as_ref());
        let own: Vec<&str> = own.map(|(_, field)| *field).collect();
        if own.is_empty() && !chosen.is_empty() {
            return None;
        }
        let all = own.is_empty() || own.contains(&"");
        let wanted = |name: &String| all || own.contains(&name.as_str()) || stream.primary_key.contains(name);
        let names = stream.fields.iter().map(|field| &field.name);
        let fields = names.filter(|name| wanted(name)).cloned().collect();
        Some(Selection { node, stream, fields })
    });
    Ok(selections.collect())
}

/// OWOX's parameter of other names for tables, to be flattened into the settings:
/// `DestinationTableNameOverride`, such as `campaigns our_campaigns, ads our_ads`.
///
/// A table's name is its stream's. Keys of state begin with it, so that a new table
/// is filled from the start.
///
/// ```
/// use ow_connector::prelude::*;
///
/// #[derive(Debug, Deserialize, JsonSchema)]
/// #[serde(rename_all = "PascalCase", deny_unknown_fields)]
/// struct Settings {
///     #[serde(default)]
///     fields: String,
///     #[serde(flatten)]
///     tables: TableNames,
/// }
///
/// /// Orders, one row each.
/// #[derive(Record)]
/// #[record(stream = "shop_orders", primary_key = "id")]
/// struct Order {
///     id: i64,
/// }
///
/// fn run(ctx: &mut Context<Settings>) -> Result<()> {
///     let config = ctx.config();
///     let orders = config.tables.select_one(&config.fields, "orders", Order::stream())?;
///     ctx.open::<Order>(orders.open())?;
///     ctx.write(&Order { id: 7 })?;
///     ctx.set_state(&orders.stream.name, &7)
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct TableNames {
    /// Other names for tables, as `node table`, separated by commas.
    #[serde(default, deserialize_with = "table_names")]
    destination_table_name_override: String,
}

fn table_names<'de, D: Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    crate::window::named(TableNames::PARAMETER, value)
}

impl TableNames {
    const PARAMETER: &'static str = "DestinationTableNameOverride";

    /// The streams under the names of their tables. `nodes` are all streams that
    /// the operator may name, each with what the source calls it; one that is not
    /// named keeps its table.
    pub fn rename<N: AsRef<str>>(
        &self,
        nodes: impl IntoIterator<Item = (N, Stream)>,
    ) -> Result<Vec<(N, Stream)>> {
        let wrong = |message: String| Error::config(message).parameter(Self::PARAMETER);
        let mut nodes: Vec<(N, Stream)> = nodes.into_iter().collect();
        let mut names = BTreeMap::new();
        for pair in pairs(&self.destination_table_name_override) {
            let words: Vec<&str> = pair.split_whitespace().collect();
            let [node, table] = words[..] else {
                return Err(wrong(format!("`{pair}` is no node and its table: write `node table`")));
            };
            if !nodes.iter().any(|(known, _)| known.as_ref() == node) {
                return Err(wrong(no_node(node, &nodes)));
            }
            if names.insert(node, table).is_some() {
                return Err(wrong(format!("`{node}` is named twice")));
            }
        }
        for (node, stream) in &mut nodes {
            if let Some(table) = names.get(node.as_ref()) {
                stream.name = (*table).to_owned();
            }
        }
        let mut taken = BTreeMap::new();
        for (node, Stream { name: table, .. }) in &nodes {
            let node = node.as_ref();
            if let Some(other) = taken.insert(table, node) {
                return Err(wrong(format!("`{other}` and `{node}` would both fill the table `{table}`")));
            }
        }
        Ok(nodes)
    }

    /// The choice of a connector with one stream, by `Fields` and this.
    pub fn select_one<N: AsRef<str>>(&self, fields: &str, node: N, stream: Stream) -> Result<Selection<N>> {
        let mut chosen = select_fields(fields, "Fields", self.rename([(node, stream)])?)?;
        chosen.pop().ok_or_else(|| Error::internal("of one stream none was chosen"))
    }
}

fn pairs(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|pair| !pair.is_empty())
}

fn no_node<N: AsRef<str>>(node: &str, nodes: &[(N, Stream)]) -> String {
    format!("there is no node `{node}`{}", did_you_mean(node, nodes.iter().map(|(known, _)| known.as_ref())))
}

/// `; did you mean `name`?`, or what there is when nothing is near.
pub(crate) fn did_you_mean<'a>(typed: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let lower = typed.to_lowercase();
    let nearest = known
        .clone()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((distance, name)) if distance <= typed.chars().count().max(3) / 3 => {
            format!("; did you mean `{name}`?")
        }
        Some(_) => {
            format!("; there is {}", known.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Connector;
    use crate::prelude::{Context, Record};
    use crate::stream::Field;
    use crate::testing::{TestHost, spec};

    fn stream() -> Stream {
        Stream::new("t")
            .field(Field::of::<String>("id"))
            .field(Field::of::<String>("name"))
            .field(Field::of::<String>("type"))
            .primary_key(["id"])
    }

    #[test]
    fn keeps_the_streams_order_and_its_key() {
        let select = |text| select_fields(text, "Fields", [("a/b", stream()), ("c", stream())]).unwrap();
        let got = select("a/b type,a/b   name");
        assert_eq!(got.len(), 1);
        assert_eq!((got[0].node, got[0].fields.join(" ")), ("a/b", "id name type".to_owned()));
        assert_eq!(select("c")[0].fields.len(), 3);
        assert_eq!(select("a/b name, a/b")[0].fields.len(), 3);
        assert_eq!(select(" ").len(), 2);
    }

    #[test]
    fn unknown_names_come_with_the_nearest() {
        let error = |text| select_fields(text, "Fields", [("holidays", stream())]).unwrap_err();
        assert_eq!(error("holiday id").message(), "there is no node `holiday`; did you mean `holidays`?");
        assert_eq!(
            error("holidays subdivision").message(),
            "`holidays` has no field `subdivision`; there is `id`, `name`, `type`"
        );
        assert_eq!(error("x y").parameter_name(), Some("Fields"));
    }

    #[test]
    fn tables_are_named_by_node() {
        let tables = |text: &str| {
            let nodes = [("a/one", Stream::new("s_one")), ("two", Stream::new("s_two"))];
            let renamed = TableNames { destination_table_name_override: text.to_owned() }.rename(nodes)?;
            Ok(renamed.into_iter().map(|(_, stream)| stream.name).collect::<Vec<_>>())
        };
        assert_eq!(tables(" a/one   mine ,, ").unwrap(), ["mine", "s_two"]);
        assert_eq!(tables("").unwrap(), ["s_one", "s_two"]);
        assert_eq!(tables("a/one s_two, two s_one").unwrap(), ["s_two", "s_one"]);
        let error = |text| {
            let error: Error = tables(text).unwrap_err();
            assert_eq!(error.parameter_name(), Some("DestinationTableNameOverride"));
            error.message().to_owned()
        };
        assert_eq!(error("towo t"), "there is no node `towo`; did you mean `two`?");
        assert_eq!(error("two"), "`two` is no node and its table: write `node table`");
        assert_eq!(error("two my table"), "`two my table` is no node and its table: write `node table`");
        assert_eq!(error("two x, two y"), "`two` is named twice");
        assert_eq!(error("two s_one"), "`a/one` and `two` would both fill the table `s_one`");
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase", deny_unknown_fields)]
    struct Settings {
        #[serde(default)]
        fields: String,
        #[serde(flatten)]
        tables: TableNames,
    }

    impl Settings {
        fn chosen(&self) -> Result<Vec<Selection<&'static str>>> {
            let nodes = [("ones", One::stream()), ("twos", Two::stream())];
            select_fields(&self.fields, "Fields", self.tables.rename(nodes)?)
        }
    }

    #[derive(Record)]
    #[record(stream = "s_ones", primary_key = "id")]
    struct One {
        id: i64,
        more: bool,
    }

    #[derive(Record)]
    #[record(stream = "s_twos", primary_key = "id")]
    struct Two {
        id: i64,
    }

    struct Numbers;

    impl Connector for Numbers {
        type Config = Settings;
        const NAME: &'static str = "numbers";
        const VERSION: &'static str = "1.0.0";
        const TITLE: &'static str = "";
        const DESCRIPTION: &'static str = "";

        fn streams(config: &Settings) -> Result<Vec<Stream>> {
            Ok(config.chosen()?.into_iter().map(|chosen| chosen.stream).collect())
        }

        fn run(ctx: &mut Context<Settings>) -> Result<()> {
            for chosen in ctx.config().chosen()? {
                match chosen.node {
                    "ones" => ctx.open::<One>(chosen.open())?,
                    _ => ctx.open::<Two>(chosen.open())?,
                };
            }
            ctx.write(&One { id: 1, more: true })?;
            ctx.write(&Two { id: 2 })
        }
    }

    fn host(names: &str) -> TestHost {
        TestHost::new().config(json!({"DestinationTableNameOverride": names, "Fields": "ones id, twos"}))
    }

    #[test]
    fn records_go_to_the_tables_that_the_operator_named() {
        for (names, ones, twos) in [
            ("", "s_ones", "s_twos"),
            ("ones mine", "mine", "s_twos"),
            ("ones s_twos, twos s_ones", "s_twos", "s_ones"),
        ] {
            let streams = host(names).discover::<Numbers>().unwrap();
            let streams: Vec<&str> = streams.iter().map(|stream| stream.name.as_str()).collect();
            assert_eq!(streams, [ones, twos]);
            let run = host(names).run::<Numbers>();
            run.assert_ok();
            assert_eq!((run.rows(ones), run.rows(twos)), (&[json!({"id": 1})][..], &[json!({"id": 2})][..]));
        }
        assert!(host("ones mine").run::<Numbers>().stream("s_ones").is_none());
    }

    #[test]
    fn table_names_are_a_parameter() {
        let schema = spec::<Numbers>().config_schema;
        assert_eq!(schema["properties"]["DestinationTableNameOverride"]["type"], "string");
        assert_eq!(schema["additionalProperties"], false);
        let config = json!({"DestinationTableNameOverride": 7});
        let error = TestHost::new().config(config).check::<Numbers>().unwrap_err();
        assert_eq!(error.parameter_name(), Some("DestinationTableNameOverride"));
        let error = host("one mine").check::<Numbers>().unwrap_err();
        assert_eq!(error.message(), "there is no node `one`; did you mean `ones`?");
    }
}
