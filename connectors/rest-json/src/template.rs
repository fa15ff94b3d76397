//! Texts with names in braces, such as `/customers/{parent.id}/orders`: checked
//! when the configuration is read, filled for each request.

use std::collections::BTreeMap;

use ow_connector::prelude::*;
use serde_json::Value;

/// What the names in braces stand for. `{id}` as text is written `{{id}}`.
const NAMES: &str = "there is `{secrets.NAME}`, `{parent.FIELD}`, `{start}`, `{end}` and `{cursor}`; \
                     as a text it is written `{{NAME}}`";

/// A name in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    Secret(String),
    Parent(String),
    Start,
    End,
    Cursor,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Name(Name),
}

/// A text with names in braces.
#[derive(Debug, Clone, Default)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

/// What the names stand for in one request.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) secrets: &'a BTreeMap<String, Secret>,
    pub(crate) parent: Option<&'a Row>,
    pub(crate) start: Option<&'a str>,
    pub(crate) end: Option<&'a str>,
    pub(crate) cursor: Option<&'a str>,
}

/// The fields of a parent's record that its children want.
pub(crate) type Row = BTreeMap<String, Value>;

impl Template {
    /// Reads a text. Braces that hold anything but letters, digits, `_`, `-`, `.`
    /// and `/` are texts, as in a GraphQL query.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, here) = rest.split_at(at);
            plain.push_str(before);
            let up_to = |open: &str, close: &str| {
                let (inside, after) = here.strip_prefix(open)?.split_once(close)?;
                is_name(inside).then_some((inside, after))
            };
            rest = match (up_to("{{", "}}"), up_to("{", "}")) {
                (Some((inside, after)), _) => {
                    plain.push_str(&format!("{{{inside}}}"));
                    after
                }
                (_, Some((inside, after))) => {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(Part::Name(Name::parse(inside)?));
                    after
                }
                (None, None) => {
                    plain.push_str(here.get(..1).unwrap_or_default());
                    here.get(1..).unwrap_or_default()
                }
            };
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Ok(Self { parts })
    }

    /// The names in it.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Name> {
        self.parts.iter().filter_map(|part| match part {
            Part::Name(name) => Some(name),
            Part::Text(_) => None,
        })
    }

    /// The text of one request.
    pub(crate) fn fill(&self, scope: &Scope<'_>) -> Result<String> {
        self.write(scope, str::to_owned)
    }

    /// The same for a path: what is filled in is a part of one segment.
    pub(crate) fn fill_path(&self, scope: &Scope<'_>) -> Result<String> {
        self.write(scope, http::encode)
    }

    fn write(&self, scope: &Scope<'_>, encode: impl Fn(&str) -> String) -> Result<String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Name(name) => text.push_str(&encode(&scope.text(name)?)),
            }
        }
        Ok(text)
    }

    /// The value, where the text is one name and nothing else: a number of the
    /// parent's record stays a number.
    pub(crate) fn fill_value(&self, scope: &Scope<'_>) -> Result<Value> {
        match (self.parts.as_slice(), scope.parent) {
            ([Part::Name(Name::Parent(field))], Some(row)) => Ok(row.get(field).cloned().unwrap_or_default()),
            _ => Ok(Value::String(self.fill(scope)?)),
        }
    }
}

/// Whether what stands in braces is meant as a name.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_alphanumeric() || "_-./".contains(c))
}

impl Name {
    fn parse(text: &str) -> Result<Self> {
        let of = |prefix: &str| text.strip_prefix(prefix).filter(|rest| !rest.is_empty()).map(str::to_owned);
        match text {
            "start" => Ok(Self::Start),
            "end" => Ok(Self::End),
            "cursor" => Ok(Self::Cursor),
            _ => match (of("secrets."), of("parent.")) {
                (Some(name), _) => Ok(Self::Secret(name)),
                (_, Some(field)) => Ok(Self::Parent(field)),
                _ => Err(Error::config(format!("nothing is known by the name `{{{text}}}`: {NAMES}"))),
            },
        }
    }
}

impl Scope<'_> {
    fn text(&self, name: &Name) -> Result<String> {
        let given = |value: Option<&str>, what: &str| {
            value.map(str::to_owned).ok_or_else(|| Error::config(what.to_owned()))
        };
        match name {
            Name::Secret(name) => given(self.secrets.get(name).map(Secret::expose), "the secret is missing"),
            Name::Start => given(self.start, "`{start}` needs a `Window`"),
            Name::End => given(self.end, "`{end}` needs a `Window`"),
            Name::Cursor => {
                given(self.cursor, "`{cursor}` has no value in the first run: give `Start` in `Incremental`")
            }
            Name::Parent(field) => match self.parent.and_then(|row| row.get(field)) {
                Some(Value::String(text)) => Ok(text.clone()),
                Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
                _ => Err(Error::invalid_data(format!(
                    "a record of the parent has no text or number in `{field}`, which `{{parent.{field}}}` needs"
                ))),
            },
        }
    }
}

/// The JSON pointer of a field: a key, keys with dots between, or a pointer.
pub(crate) fn pointer(field: &str) -> String {
    if field.starts_with('/') {
        return field.to_owned();
    }
    let keys = field.split('.').map(|key| key.replace('~', "~0"));
    keys.fold(String::new(), |pointer, key| pointer + "/" + &key)
}

/// Fills all texts of a JSON value.
pub(crate) fn fill_body(body: &Value, scope: &Scope<'_>) -> Result<Value> {
    Ok(match body {
        Value::String(text) => Template::parse(text)?.fill_value(scope)?,
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| fill_body(item, scope)).collect::<Result<_>>()?)
        }
        Value::Object(entries) => {
            let filled = entries.iter().map(|(key, value)| Ok((key.clone(), fill_body(value, scope)?)));
            Value::Object(filled.collect::<Result<_>>()?)
        }
        other => other.clone(),
    })
}

/// All texts of a JSON value.
pub(crate) fn texts<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(entries) => entries.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "what fails here fails the test")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_filled_and_other_braces_stay() {
        let row = Row::from([("id".to_owned(), json!("a/b c")), ("owner.n".to_owned(), json!(7))]);
        let secrets = BTreeMap::new();
        let scope =
            Scope { secrets: &secrets, parent: Some(&row), start: Some("s"), end: None, cursor: None };
        let fill = |text: &str| Template::parse(text).unwrap().fill(&scope);
        assert_eq!(fill("/x/{parent.id}/{start}").unwrap(), "/x/a/b c/s");
        assert_eq!(fill("{{parent.id}} {users{{id}}}").unwrap(), "{parent.id} {users{id}}");
        assert_eq!(fill("{ users { id, name }} {\"a\"}").unwrap(), "{ users { id, name }} {\"a\"}");
        assert_eq!(Template::parse("/{parent.id}/").unwrap().fill_path(&scope).unwrap(), "/a%2Fb%20c/");
        assert_eq!(Template::parse("{parent.owner.n}").unwrap().fill_value(&scope).unwrap(), json!(7));
        assert!(Template::parse("{parnet.id}").unwrap_err().message().contains("`{parnet.id}`"));
        assert!(fill("{end}").is_err() && fill("{parent.no}").is_err());
    }

    #[test]
    fn fields_are_pointers() {
        assert_eq!(pointer("id"), "/id");
        assert_eq!(pointer("owner.login"), "/owner/login");
        assert_eq!(pointer("/a.b"), "/a.b");
    }
}
