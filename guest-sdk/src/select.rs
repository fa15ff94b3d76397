//! `Fields`: the operator's choice of streams and columns, in OWOX's notation
//! `node field, node field`.

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
}
