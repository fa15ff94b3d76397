//! `Fields`: the operator's choice of streams and columns, in OWOX's notation
//! `node field, node field`; and `DestinationTableNameOverride`, the operator's
//! names of their tables, as `node table, node table`.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::stream::Stream;

/// The columns that the operator chose of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The name of the node, as the source calls the stream.
    pub node: String,
    /// The columns, in the stream's order, with those of its primary key.
    pub fields: Vec<String>,
}

/// Reads a choice such as `holidays id, holidays date`. `nodes` names the
/// streams as the source calls them. Without a choice, and for a node without
/// fields, everything is chosen; the primary key always is.
///
/// ```
/// use ow_connector::prelude::*;
///
/// let rates = Stream::new("rates_table").field(Field::of::<Date>("date")).field(Field::of::<f64>("rate"));
/// let nodes = [("rates", &rates)];
/// assert_eq!(select_fields("rates rate", "Fields", &nodes)?[0].fields, ["rate"]);
/// assert_eq!(select_fields("", "Fields", &nodes)?[0].fields, ["date", "rate"]);
/// let error = select_fields("rates rat", "Fields", &nodes).unwrap_err();
/// assert_eq!(error.message(), "`rates` has no field `rat`; did you mean `rate`?");
/// # Ok::<(), Error>(())
/// ```
pub fn select_fields(text: &str, parameter: &str, nodes: &[(&str, &Stream)]) -> Result<Vec<Selection>> {
    let wrong = |message: String| Error::config(message).parameter(parameter);
    let mut chosen: Vec<Vec<&str>> = nodes.iter().map(|_| Vec::new()).collect();
    let mut any = false;
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        any = true;
        let (node, field) = pair.split_once(char::is_whitespace).map_or((pair, ""), |(n, f)| (n, f.trim()));
        let Some(((_, stream), chosen)) = nodes.iter().zip(&mut chosen).find(|((name, _), _)| *name == node)
        else {
            let hint = did_you_mean(node, nodes.iter().map(|(name, _)| *name));
            return Err(wrong(format!("there is no node `{node}`{hint}")));
        };
        let names = || stream.fields.iter().map(|known| known.name.as_str());
        if field.is_empty() {
            chosen.extend(names());
        } else if names().any(|name| name == field) {
            chosen.push(field);
        } else {
            return Err(wrong(format!("`{node}` has no field `{field}`{}", did_you_mean(field, names()))));
        }
    }
    let selection = nodes.iter().zip(chosen).filter(|(_, chosen)| !any || !chosen.is_empty()).map(
        |((node, stream), chosen)| {
            let wanted = |name: &str| {
                !any || chosen.contains(&name) || stream.primary_key.iter().any(|key| key == name)
            };
            let names = stream.fields.iter().map(|field| field.name.clone());
            Selection { node: (*node).to_owned(), fields: names.filter(|name| wanted(name)).collect() }
        },
    );
    Ok(selection.collect())
}

/// The tables that the operator named, by node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableNames(BTreeMap<String, String>);

impl TableNames {
    /// Reads names such as `campaigns our_campaigns, ads our_ads`. `nodes` names
    /// the streams as the source calls them; one that is not named keeps its
    /// table.
    ///
    /// A table's name is its stream's: keys of state that begin with it change
    /// too, so that a new table is filled from the start.
    ///
    /// ```
    /// use ow_connector::prelude::*;
    ///
    /// let (ads, campaigns) = (Stream::new("x_ads"), Stream::new("x_campaigns"));
    /// let nodes = [("ads", &ads), ("campaigns", &campaigns)];
    /// let names = TableNames::parse("ads our_ads", "DestinationTableNameOverride", &nodes)?;
    /// assert_eq!(names.rename("ads", ads).name, "our_ads");
    /// assert_eq!(names.rename("campaigns", campaigns).name, "x_campaigns");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn parse(text: &str, parameter: &str, nodes: &[(&str, &Stream)]) -> Result<Self> {
        let wrong = |message: String| Error::config(message).parameter(parameter);
        let mut names = BTreeMap::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let words: Vec<&str> = pair.split_whitespace().collect();
            let [node, table] = words[..] else {
                return Err(wrong(format!("`{pair}` is no node and its table: write `node table`")));
            };
            if !nodes.iter().any(|(name, _)| *name == node) {
                let hint = did_you_mean(node, nodes.iter().map(|(name, _)| *name));
                return Err(wrong(format!("there is no node `{node}`{hint}")));
            }
            if names.insert(node.to_owned(), table.to_owned()).is_some() {
                return Err(wrong(format!("`{node}` is named twice")));
            }
        }
        let names = Self(names);
        let mut taken = BTreeMap::new();
        for (node, stream) in nodes {
            let table = names.0.get(*node).unwrap_or(&stream.name);
            if let Some(other) = taken.insert(table, node) {
                return Err(wrong(format!("`{other}` and `{node}` would both fill the table `{table}`")));
            }
        }
        Ok(names)
    }

    /// A node's stream, with the table that was named for it.
    #[must_use]
    pub fn rename(&self, node: &str, mut stream: Stream) -> Stream {
        if let Some(table) = self.0.get(node) {
            stream.name.clone_from(table);
        }
        stream
    }
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
    use super::*;
    use crate::stream::Field;

    fn stream() -> Stream {
        Stream::new("t")
            .field(Field::of::<String>("id"))
            .field(Field::of::<String>("name"))
            .field(Field::of::<String>("type"))
            .primary_key(["id"])
    }

    #[test]
    fn keeps_the_streams_order_and_its_key() {
        let stream = stream();
        let select = |text| select_fields(text, "Fields", &[("a/b", &stream), ("c", &stream)]).unwrap();
        let got = select("a/b type,a/b   name");
        assert_eq!(got.len(), 1);
        assert_eq!((got[0].node.as_str(), got[0].fields.join(" ")), ("a/b", "id name type".to_owned()));
        assert_eq!(select("c")[0].fields.len(), 3);
        assert_eq!(select(" ").len(), 2);
    }

    #[test]
    fn unknown_names_come_with_the_nearest() {
        let stream = stream();
        let error = |text| select_fields(text, "Fields", &[("holidays", &stream)]).unwrap_err();
        assert_eq!(error("holiday id").message(), "there is no node `holiday`; did you mean `holidays`?");
        assert_eq!(
            error("holidays subdivision").message(),
            "`holidays` has no field `subdivision`; there is `id`, `name`, `type`"
        );
        assert_eq!(error("x y").parameter_name(), Some("Fields"));
    }

    #[test]
    fn tables_are_named_by_node() {
        let (one, two) = (Stream::new("s_one"), Stream::new("s_two"));
        let parse = |text| TableNames::parse(text, "P", &[("a/one", &one), ("two", &two)]);
        let names = parse(" a/one   mine ,, ").unwrap();
        assert_eq!(names.rename("a/one", one.clone()).name, "mine");
        assert_eq!(names.rename("two", two.clone()).name, "s_two");
        assert_eq!(parse("").unwrap(), TableNames::default());
        // The tables of two nodes may change places.
        assert!(parse("a/one s_two, two s_one").is_ok());
        let error = |text| {
            let error = parse(text).unwrap_err();
            assert_eq!(error.parameter_name(), Some("P"));
            error.message().to_owned()
        };
        assert_eq!(error("towo t"), "there is no node `towo`; did you mean `two`?");
        assert_eq!(error("two"), "`two` is no node and its table: write `node table`");
        assert_eq!(error("two my table"), "`two my table` is no node and its table: write `node table`");
        assert_eq!(error("two x, two y"), "`two` is named twice");
        assert_eq!(error("two s_one"), "`a/one` and `two` would both fill the table `s_one`");
    }
}
