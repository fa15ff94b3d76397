//! Walking a JSON Schema and a value together: defaults, conversions, secrets,
//! unknown parameters.
//!
//! The schema comes from the connector, so it may be hostile: every subschema
//! is visited once a value, and [`affordable`] bounds what the validator will
//! have to do.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::value::step;

/// Levels of `$ref`, `allOf` and their like without going down in the value.
const MAX_LEVELS: usize = 64;

/// The subschema that a local `$ref` means.
pub(crate) fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let pointer = percent_encoding::percent_decode_str(reference.strip_prefix('#')?).decode_utf8().ok()?;
    root.pointer(&pointer)
}

fn branches<'a>(schema: &'a Map<String, Value>, keyword: &str) -> &'a [Value] {
    schema.get(keyword).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn entries<'a>(
    schema: &'a Map<String, Value>,
    keyword: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    schema.get(keyword).and_then(Value::as_object).into_iter().flatten()
}

/// All subschemas that say something of the same value: the schemas themselves,
/// and what they refer to and combine. With a value: of alternatives only the
/// one that fits it. Each subschema comes once.
pub(crate) fn flatten<'a>(
    root: &'a Value,
    schemas: &[&'a Value],
    value: Option<&Value>,
) -> Vec<&'a Map<String, Value>> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for schema in schemas {
        collect(root, schema, value, 0, &mut seen, &mut found);
    }
    found
}

fn collect<'a>(
    root: &'a Value,
    schema: &'a Value,
    value: Option<&Value>,
    level: usize,
    seen: &mut BTreeSet<usize>,
    found: &mut Vec<&'a Map<String, Value>>,
) {
    let Value::Object(schema) = schema else { return };
    if level > MAX_LEVELS || !seen.insert(std::ptr::from_ref(schema).addr()) {
        return;
    }
    found.push(schema);
    let mut more: Vec<&Value> = Vec::new();
    more.extend(schema.get("$ref").and_then(Value::as_str).and_then(|to| target(root, to)));
    more.extend(branches(schema, "allOf"));
    for keyword in ["anyOf", "oneOf"] {
        let branches = branches(schema, keyword);
        match value {
            None => more.extend(branches),
            Some(value) => more.extend(choose(root, branches, value).and_then(|i| branches.get(i))),
        }
    }
    let chosen = match (value, schema.get("if")) {
        (Some(value), Some(condition)) if fits(root, condition, value) => &["then"][..],
        (Some(_), Some(_)) => &["else"],
        (None, Some(_)) => &["then", "else"],
        (_, None) => &[],
    };
    more.extend(chosen.iter().filter_map(|keyword| schema.get(*keyword)));
    let dependent = entries(schema, "dependentSchemas");
    more.extend(
        dependent.filter(|(key, _)| value.is_none_or(|v| v.get(key.as_str()).is_some())).map(|(_, s)| s),
    );
    for schema in more {
        collect(root, schema, value, level + 1, seen, found);
    }
}

/// The alternative that a value means: the first that fits it, else the one
/// that shares most with it, so that a message can say what it lacks.
pub(crate) fn choose(root: &Value, branches: &[Value], value: &Value) -> Option<usize> {
    if let Some(index) = branches.iter().position(|branch| fits(root, branch, value)) {
        return Some(index);
    }
    let scores = branches.iter().map(|branch| likeness(root, branch, value));
    let (index, score) = scores.enumerate().max_by_key(|(index, score)| (*score, usize::MAX - index))?;
    (score > 0).then_some(index)
}

/// How many keys of an object an alternative knows; a constant that is met
/// counts more.
fn likeness(root: &Value, branch: &Value, value: &Value) -> usize {
    let mut score = 0;
    for schema in flatten(root, &[branch], None) {
        if value.is_object() && allows_type(schema.get("type"), value) == Some(true) {
            score += 1;
        }
        for (key, property) in entries(schema, "properties") {
            match (value.get(key), property.get("const")) {
                (Some(value), Some(constant)) if value == constant => score += 100,
                (Some(_), Some(_)) | (None, _) => {}
                (Some(_), None) => score += 10,
            }
        }
    }
    score
}

/// Whether a value may fit a schema, by what tells alternatives apart: types,
/// constants, and which keys there are.
fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    fits_within(root, schema, value, &mut 10_000, 0)
}

fn fits_within(root: &Value, schema: &Value, value: &Value, fuel: &mut usize, level: usize) -> bool {
    let schema = match schema {
        Value::Object(schema) => schema,
        other => return *other != Value::Bool(false),
    };
    if level > MAX_LEVELS || *fuel == 0 {
        return true;
    }
    *fuel -= 1;
    let mut check = |schema: &Value, value: &Value| fits_within(root, schema, value, fuel, level + 1);
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|to| target(root, to));
    let alternatives = ["anyOf", "oneOf"].map(|keyword| branches(schema, keyword));
    let own = allows_type(schema.get("type"), value) != Some(false)
        && schema.get("const").is_none_or(|constant| constant == value)
        && schema.get("enum").and_then(Value::as_array).is_none_or(|options| options.contains(value))
        && reference.is_none_or(|schema| check(schema, value))
        && branches(schema, "allOf").iter().all(|schema| check(schema, value))
        && alternatives.iter().all(|list| list.is_empty() || list.iter().any(|schema| check(schema, value)));
    let Value::Object(object) = value else { return own };
    own && branches(schema, "required")
        .iter()
        .all(|key| key.as_str().is_none_or(|key| object.contains_key(key)))
        && entries(schema, "properties").all(|(key, schema)| object.get(key).is_none_or(|v| check(schema, v)))
        && (schema.get("additionalProperties") != Some(&Value::Bool(false))
            || object.keys().all(|key| knows(schema, key)))
}

fn knows(schema: &Map<String, Value>, key: &str) -> bool {
    schema.get("properties").is_some_and(|properties| properties.get(key).is_some())
}

/// Whether the word `type` allows a value; nothing if there is no such word.
fn allows_type(word: Option<&Value>, value: &Value) -> Option<bool> {
    let allows = |name: &str| match (name, value) {
        ("null", Value::Null) | ("boolean", Value::Bool(_)) | ("number", Value::Number(_)) => true,
        ("string", Value::String(_)) | ("array", Value::Array(_)) | ("object", Value::Object(_)) => true,
        ("integer", Value::Number(number)) => {
            number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        _ => false,
    };
    match word? {
        Value::String(name) => Some(allows(name)),
        Value::Array(names) => Some(names.iter().filter_map(Value::as_str).any(allows)),
        _ => None,
    }
}

/// Whether a schema can allow values of a type, told by an example of it.
fn admits(root: &Value, schemas: &[&Value], example: &Value) -> bool {
    schemas.iter().all(|schema| admits_within(root, schema, example, &mut 10_000, 0))
}

fn admits_within(root: &Value, schema: &Value, example: &Value, fuel: &mut usize, level: usize) -> bool {
    let schema = match schema {
        Value::Object(schema) => schema,
        other => return *other != Value::Bool(false),
    };
    if level > MAX_LEVELS || *fuel == 0 {
        return true;
    }
    *fuel -= 1;
    let same_kind = |value: &Value| std::mem::discriminant(value) == std::mem::discriminant(example);
    let mut check = |schema: &Value| admits_within(root, schema, example, fuel, level + 1);
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|to| target(root, to));
    let alternatives = ["anyOf", "oneOf"].map(|keyword| branches(schema, keyword));
    allows_type(schema.get("type"), example) != Some(false)
        && schema.get("const").is_none_or(same_kind)
        && schema.get("enum").and_then(Value::as_array).is_none_or(|options| options.iter().any(same_kind))
        && reference.is_none_or(&mut check)
        && branches(schema, "allOf").iter().all(&mut check)
        && alternatives.iter().all(|list| list.is_empty() || list.iter().any(&mut check))
}

/// What is known of a text that may have to become something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// It stands in the file.
    Inline,
    /// It is all that a variable, a file or a flag can hold: lists and objects
    /// are JSON in it.
    Text,
}

/// The value that a text means where the schema wants no text.
fn convert(root: &Value, schemas: &[&Value], text: &str, origin: Origin) -> Option<Value> {
    let wants = |example: &Value| admits(root, schemas, example);
    if wants(&Value::String(String::new())) {
        return None;
    }
    let trimmed = text.trim();
    let flag =
        [("true", true), ("false", false)].into_iter().find(|(word, _)| trimmed.eq_ignore_ascii_case(word));
    match flag {
        Some((_, flag)) if wants(&Value::Bool(flag)) => return Some(Value::Bool(flag)),
        _ => {}
    }
    let value: Value = serde_json::from_str(trimmed).ok()?;
    let usable = value.is_number() || (origin == Origin::Text && (value.is_array() || value.is_object()));
    (usable && wants(&value)).then_some(value)
}

/// Schemas that say something of the value under a key.
fn children<'a>(schemas: &[&'a Map<String, Value>], key: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    for schema in schemas {
        let property = schema.get("properties").and_then(|properties| properties.get(key));
        found.extend(entries(schema, "patternProperties").map(|(_, schema)| schema));
        match property {
            Some(property) => found.push(property),
            None => found.extend(schema.get("additionalProperties").filter(|schema| schema.is_object())),
        }
        found.extend(
            schema.get("unevaluatedProperties").filter(|schema| property.is_none() && schema.is_object()),
        );
    }
    found
}

/// Schemas that say something of an item.
fn items<'a>(schemas: &[&'a Map<String, Value>], index: usize) -> Vec<&'a Value> {
    let mut found = Vec::new();
    for schema in schemas {
        let first = branches(schema, "prefixItems");
        match first.get(index) {
            Some(item) => found.push(item),
            None => found.extend(schema.get("items")),
        }
        found.extend(schema.get("unevaluatedItems"));
    }
    found
}

/// The parameters that a schema declares, with the schema of each.
pub(crate) fn parameters(root: &Value) -> Vec<(&str, &Value)> {
    let schemas = flatten(root, &[root], None);
    let mut found: Vec<(&str, &Value)> = Vec::new();
    for (name, schema) in schemas.into_iter().flat_map(|schema| entries(schema, "properties")) {
        if !found.iter().any(|(known, _)| known == name) {
            found.push((name, schema));
        }
    }
    found
}

/// Whether a parameter's schema carries a word with the value `true`.
pub(crate) fn flagged(root: &Value, schema: &Value, word: &str) -> bool {
    flatten(root, &[schema], None).iter().any(|schema| schema.get(word) == Some(&Value::Bool(true)))
}

/// Makes a value complete: texts become what the schema wants, empty values are
/// dropped, defaults filled in, unknown keys taken out and kept apart.
pub(crate) struct Filler<'a> {
    /// The whole schema.
    pub(crate) root: &'a Value,
    /// JSON Pointers of values that are the text of a variable, file or flag.
    pub(crate) texts: &'a BTreeSet<String>,
    /// JSON Pointer of the object, unknown key, and the keys that are known.
    pub(crate) unknown: Vec<(String, String, Vec<String>)>,
    /// Bytes of defaults that may still be filled in.
    budget: usize,
    /// Whether defaults were left out because there is no end of them: a
    /// default may itself have defaults, and so on.
    pub(crate) endless: bool,
}

/// Bytes of all defaults together. They are repeated for every item of a list.
const MAX_DEFAULT_BYTES: usize = 32 << 20;

/// Levels of a value: twice what a file can have.
const MAX_DEPTH: usize = 256;

impl<'a> Filler<'a> {
    pub(crate) fn new(root: &'a Value, texts: &'a BTreeSet<String>) -> Self {
        Self { root, texts, unknown: Vec::new(), budget: MAX_DEFAULT_BYTES, endless: false }
    }

    /// Makes the value at a JSON Pointer complete.
    pub(crate) fn fill(&mut self, schemas: &[&'a Value], value: &mut Value, at: &str, depth: usize) {
        if depth > MAX_DEPTH {
            self.endless = true;
            return;
        }
        if let Value::String(text) = value {
            let origin = if self.texts.contains(at) { Origin::Text } else { Origin::Inline };
            if let Some(converted) = convert(self.root, schemas, text, origin) {
                *value = converted;
            }
        }
        match value {
            Value::Object(_) => self.fill_object(schemas, value, at, depth),
            Value::Array(list) => {
                let all = flatten(self.root, schemas, None);
                for (index, item) in list.iter_mut().enumerate() {
                    self.fill(&items(&all, index), item, &step(at, &index.to_string()), depth + 1);
                }
            }
            _ => {}
        }
    }

    fn fill_object(&mut self, schemas: &[&'a Value], value: &mut Value, at: &str, depth: usize) {
        let root = self.root;
        let all = flatten(root, schemas, None);
        if let Value::Object(object) = value {
            self.take_unknown(&all, object, at);
            object.retain(|key, value| {
                let child = children(&all, key);
                let empty = match value {
                    Value::Null => !admits(root, &child, &Value::Null),
                    Value::String(text) => text.is_empty() && all.iter().any(|schema| knows(schema, key)),
                    _ => false,
                };
                !empty
            });
        }
        // A default may decide which alternative the next ones come from.
        let mut chosen = Vec::new();
        for _ in 0..3 {
            chosen = flatten(root, schemas, Some(value));
            let Value::Object(object) = &mut *value else { return };
            let before = object.len();
            for (key, property) in chosen.iter().flat_map(|schema| entries(schema, "properties")) {
                if !object.contains_key(key)
                    && let Some(default) = default_of(root, property)
                {
                    let Some(rest) = self.budget.checked_sub(key.len() + weight(default)) else {
                        self.endless = true;
                        return;
                    };
                    self.budget = rest;
                    object.insert(key.clone(), default.clone());
                }
            }
            if object.len() == before {
                break;
            }
        }
        let Value::Object(object) = value else { return };
        for (key, value) in object {
            self.fill(&children(&chosen, key), value, &step(at, key), depth + 1);
        }
    }

    /// An object takes only the keys that its schema declares, unless the
    /// schema says that it takes more. An object of which nothing is declared
    /// is free, but for the parameters themselves.
    fn take_unknown(&mut self, all: &[&Map<String, Value>], object: &mut Map<String, Value>, at: &str) {
        let open = |schema: &&Map<String, Value>| {
            ["additionalProperties", "unevaluatedProperties"]
                .iter()
                .any(|word| schema.get(*word).is_some_and(|more| *more != Value::Bool(false)))
                || schema.contains_key("patternProperties")
        };
        let declared = all.iter().any(|schema| schema.contains_key("properties"));
        if all.iter().any(open) || (!declared && !at.is_empty()) {
            return;
        }
        let unknown: Vec<String> =
            object.keys().filter(|key| !all.iter().any(|schema| knows(schema, key))).cloned().collect();
        let known =
            || all.iter().flat_map(|schema| entries(schema, "properties")).map(|(key, _)| key.clone());
        for key in unknown {
            object.remove(&key);
            self.unknown.push((at.to_owned(), key, known().collect()));
        }
    }
}

/// About how many bytes a value takes.
fn weight(value: &Value) -> usize {
    let own = 64;
    own + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(entries) => entries.iter().map(|(key, value)| key.len() + weight(value)).sum(),
        _ => 0,
    }
}

/// How many values a value holds, itself among them.
pub(crate) fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(entries) => entries.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

fn default_of<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    if let Some(default) = schema.get("default") {
        return (!default.is_null()).then_some(default);
    }
    // Alternatives of a property are no place for its default.
    let schema = schema.as_object()?;
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|to| target(root, to));
    let mut inner = reference.into_iter().chain(branches(schema, "allOf"));
    inner.find_map(|schema| schema.get("default").filter(|default| !default.is_null()))
}

/// What the schema marks secret.
#[derive(Debug, Default)]
pub(crate) struct Marked {
    /// JSON Pointers of texts.
    pub(crate) texts: Vec<String>,
    /// JSON Pointers of numbers and booleans, which cannot be secret.
    pub(crate) others: Vec<String>,
}

/// Finds all values that any alternative of the schema marks `writeOnly`.
pub(crate) fn secrets(root: &Value, value: &Value) -> Marked {
    let mut marked = Marked::default();
    find_secrets(root, &[root], value, "", false, &mut marked);
    marked
}

fn find_secrets(
    root: &Value,
    schemas: &[&Value],
    value: &Value,
    at: &str,
    inside: bool,
    marked: &mut Marked,
) {
    let all = flatten(root, schemas, None);
    let secret = inside || all.iter().any(|schema| schema.get("writeOnly") == Some(&Value::Bool(true)));
    match value {
        Value::Null => {}
        Value::String(_) if secret => marked.texts.push(at.to_owned()),
        Value::Bool(_) | Value::Number(_) if secret => marked.others.push(at.to_owned()),
        Value::Object(object) => {
            for (key, value) in object {
                find_secrets(root, &children(&all, key), value, &step(at, key), secret, marked);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                let at = step(at, &index.to_string());
                find_secrets(root, &items(&all, index), value, &at, secret, marked);
            }
        }
        _ => {}
    }
}

/// Whether validating costs a bounded number of steps. Subschemas that refer to
/// each other twice a level would take the validator forever.
pub(crate) fn affordable(root: &Value, schema: &Value, value: Option<&Value>, fuel: &mut usize) -> bool {
    spend(root, schema, value, fuel, 0)
}

fn spend(root: &Value, schema: &Value, value: Option<&Value>, fuel: &mut usize, level: usize) -> bool {
    let Value::Object(schema) = schema else { return true };
    if level > MAX_LEVELS || *fuel == 0 {
        return false;
    }
    *fuel -= 1;
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|to| target(root, to));
    let lists = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|keyword| branches(schema, keyword));
    let single = ["not", "if", "then", "else"].into_iter().filter_map(|keyword| schema.get(keyword));
    let same = reference.into_iter().chain(lists).chain(single);
    let same = same.chain(entries(schema, "dependentSchemas").map(|(_, schema)| schema));
    for schema in same {
        if !spend(root, schema, value, fuel, level + 1) {
            return false;
        }
    }
    match value {
        Some(Value::Object(object)) => object.iter().all(|(key, value)| {
            let children = children(&[schema], key);
            children.into_iter().all(|schema| spend(root, schema, Some(value), fuel, 0))
        }),
        Some(Value::Array(list)) => list.iter().enumerate().all(|(index, value)| {
            let items = items(&[schema], index).into_iter().chain(schema.get("contains"));
            items.into_iter().all(|schema| spend(root, schema, Some(value), fuel, 0))
        }),
        _ => true,
    }
}

/// The schemas of the value at a JSON Pointer, whether it is there or not.
pub(crate) fn at<'a>(root: &'a Value, value: &Value, pointer: &str) -> Vec<&'a Value> {
    let (mut schemas, mut here) = (vec![root], Some(value));
    for key in super::words::keys(pointer) {
        let all = flatten(root, &schemas, None);
        match (here, key.parse()) {
            (Some(Value::Array(list)), Ok(index)) => {
                schemas = items(&all, index);
                here = list.get(index);
            }
            _ => {
                schemas = children(&all, &key);
                here = here.and_then(|here| here.get(&key));
            }
        }
    }
    schemas
}

/// The value of a flag's text: a text where the schema wants one, else what it
/// is as JSON, if it is any.
pub(crate) fn typed(root: &Value, schemas: &[&Value], text: &str) -> Value {
    let plain = || Value::String(text.to_owned());
    if schemas.is_empty() {
        return serde_json::from_str(text).unwrap_or_else(|_| plain());
    }
    convert(root, schemas, text, Origin::Text).unwrap_or_else(plain)
}
