//! Validation errors in the operator's words: which parameter, what stands
//! there, what to write instead. Secret values are told by their kind alone.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

use super::problem::{Place, Problem, clip, found, list, nearest};
use super::walk;

/// Errors that are told; a list of a million wrong items has as many.
pub(crate) const MOST_ERRORS: usize = 1_000;

/// What is said of a required parameter that is not there.
pub(crate) const MISSING: &str = "is required, but missing or empty";

/// What is needed to tell an error.
pub(crate) struct Words<'a> {
    /// The connector's schema.
    pub(crate) schema: &'a Value,
    /// The parameters as validated.
    pub(crate) value: &'a Value,
    /// JSON Pointers of values that no message may show, and of what holds them.
    pub(crate) hidden: &'a BTreeSet<String>,
    /// Where the parameters stand.
    pub(crate) places: &'a Places,
}

/// Where parameters stand: in a section of the file, or in what overrides it.
pub(crate) struct Places {
    pub(crate) section: Place,
    /// Parameter to the place of the run configuration that overrides it.
    pub(crate) overridden: BTreeMap<String, String>,
}

impl Places {
    /// The place of a JSON Pointer into the parameters.
    pub(crate) fn place(&self, value: &Value, pointer: &str) -> Place {
        let (mut place, mut here) = (self.section.clone(), Some(value));
        for (level, key) in keys(pointer).enumerate() {
            place = match (here, key.parse()) {
                (Some(Value::Array(_)), Ok(index)) => place.index(index),
                _ => match self.overridden.get(&key) {
                    Some(instead) if level == 0 => Place::of(instead),
                    _ => place.key(&key),
                },
            };
            here = here.and_then(|here| match here {
                Value::Array(items) => key.parse().ok().and_then(|index: usize| items.get(index)),
                other => other.get(&key),
            });
        }
        place
    }
}

/// The keys of a JSON Pointer.
pub(crate) fn keys(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~"))
}

impl Words<'_> {
    /// Tells an error; one of alternatives may be several.
    pub(crate) fn tell(&self, error: &ValidationError<'_>, problems: &mut Vec<Problem>) {
        let pointer = error.instance_path().as_str();
        let schema = self.schema_of(error);
        match error.kind() {
            Kind::OneOfNotValid { context } | Kind::AnyOf { context } => {
                self.alternatives(error, context, problems);
            }
            Kind::Required { property } => {
                let property = property.as_str().unwrap_or_default();
                problems.push(self.missing(pointer, property));
            }
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                for key in unexpected {
                    let known = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
                    let known: Vec<&str> = known.into_iter().flatten().map(|(key, _)| key.as_str()).collect();
                    problems.push(self.unknown(pointer, key, &known));
                }
            }
            Kind::PropertyNames { error } => self.tell(error, problems),
            kind => {
                let (message, hint) = self.simple(error, kind, schema);
                let problem = self.problem(pointer, message);
                let described = || description(schema).filter(|_| matches!(kind, Kind::Pattern { .. }));
                problems.push(match hint.or_else(described) {
                    Some(hint) => problem.hint(hint),
                    None => problem,
                });
            }
        }
    }

    /// A problem of the parameter at a JSON Pointer.
    fn problem(&self, pointer: &str, message: impl Into<String>) -> Problem {
        let problem = Problem::new(self.places.place(self.value, pointer), message);
        match parameter_name(self.value, pointer) {
            name if name.is_empty() => problem,
            name => problem.parameter(name),
        }
    }

    fn missing(&self, pointer: &str, property: &str) -> Problem {
        let pointer = super::value::step(pointer, property);
        let problem = self.problem(&pointer, MISSING);
        let schemas = walk::at(self.schema, self.value, &pointer);
        let described = schemas.iter().find_map(|schema| description(Some(schema)));
        problem.hint(match described {
            Some(text) => format!("add \"{}\": …, {text}", clip(property)),
            None => format!("add \"{}\": …", clip(property)),
        })
    }

    /// A parameter that the connector does not have.
    pub(crate) fn unknown(&self, pointer: &str, key: &str, known: &[&str]) -> Problem {
        let problem = self.problem(&super::value::step(pointer, key), "there is no such parameter");
        match nearest(key, known.iter().copied()) {
            Some(near) => problem.hint(format!("did you mean '{}'?", clip(near))),
            None if known.is_empty() => problem.hint("the connector has no parameters here"),
            None => problem.hint(format!("the parameters here are {}", list(known.iter().copied()))),
        }
    }

    /// No alternative fits: what the nearest one lacks, or all of them.
    fn alternatives(
        &self,
        error: &ValidationError<'_>,
        context: &[Vec<ValidationError<'static>>],
        problems: &mut Vec<Problem>,
    ) {
        let pointer = error.instance_path().as_str();
        let branches = self.schema.pointer(error.schema_path().as_str()).and_then(Value::as_array);
        let branches = branches.map(Vec::as_slice).unwrap_or_default();
        let value = error.instance().as_ref();
        let not_null: Vec<usize> = (0..branches.len())
            .filter(|i| branches.get(*i).is_some_and(|branch| branch.get("type") != Some(&"null".into())))
            .collect();
        let chosen = match not_null.as_slice() {
            [only] => Some(*only),
            _ => walk::choose(self.schema, branches, value),
        };
        if let Some(errors) = chosen.and_then(|index| context.get(index)).filter(|errors| !errors.is_empty())
        {
            errors.iter().for_each(|error| self.tell(error, problems));
            return;
        }
        let options: Vec<&Value> = branches.iter().filter_map(constant).collect();
        if !options.is_empty() && options.len() == branches.len() {
            let (message, hint) = self.one_of(value, pointer, &options);
            let problem = self.problem(pointer, message);
            problems.push(match hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            });
            return;
        }
        let forms: Vec<String> = branches.iter().filter_map(|branch| form(self.schema, branch)).collect();
        let message = format!("{} fits none of the forms that it can have", self.found(pointer, value));
        let problem = self.problem(pointer, message);
        problems.push(match forms.is_empty() {
            true => problem,
            false => problem.hint(format!("write {}", forms.join(" or "))),
        });
    }

    fn simple(
        &self,
        error: &ValidationError<'_>,
        kind: &Kind,
        schema: Option<&Value>,
    ) -> (String, Option<String>) {
        let (pointer, value) = (error.instance_path().as_str(), error.instance().as_ref());
        let found = self.found(pointer, value);
        let bound = |word: &str, limit: &dyn std::fmt::Display| {
            (format!("must be {word} {limit}, found {found}"), None)
        };
        match kind {
            Kind::Type { .. } => {
                let wanted = schema.and_then(|schema| schema.get("type"));
                (
                    format!("expected {}, found {found}", type_words(wanted)),
                    self.type_hint(wanted, value, pointer),
                )
            }
            Kind::Enum { options } => {
                let options: Vec<&Value> = options.as_array().into_iter().flatten().collect();
                self.one_of(value, pointer, &options)
            }
            Kind::Constant { expected_value } => self.one_of(value, pointer, &[expected_value.as_ref()]),
            Kind::Pattern { pattern } => {
                (format!("does not match the pattern {}: {found}", clip(pattern)), None)
            }
            Kind::Format { format } => (format!("expected {}, found {found}", format_words(format)), None),
            Kind::Minimum { limit } => bound("at least", limit),
            Kind::Maximum { limit } => bound("at most", limit),
            Kind::ExclusiveMinimum { limit } => bound("more than", limit),
            Kind::ExclusiveMaximum { limit } => bound("less than", limit),
            Kind::MultipleOf { multiple_of } => bound("a multiple of", multiple_of),
            Kind::MinLength { limit } => (format!("has fewer than {limit} characters: {found}"), None),
            Kind::MaxLength { limit } => (format!("has more than {limit} characters: {found}"), None),
            Kind::MinItems { limit } => (format!("has fewer than {limit} items"), None),
            Kind::MaxItems { limit } => (format!("has more than {limit} items"), None),
            Kind::MinProperties { limit } => (format!("has fewer than {limit} keys"), None),
            Kind::MaxProperties { limit } => (format!("has more than {limit} keys"), None),
            Kind::UniqueItems => ("has an item twice".to_owned(), Some("remove one of them".to_owned())),
            Kind::Contains => ("lacks an item that it must have".to_owned(), description(schema)),
            Kind::FalseSchema => ("may not be given here".to_owned(), Some("remove it".to_owned())),
            Kind::OneOfMultipleValid { .. } => (
                "fits more than one of the forms that it can have".to_owned(),
                Some("keep one of them".to_owned()),
            ),
            Kind::Not { .. } => (format!("may not be {found}"), description(schema)),
            Kind::AdditionalItems { .. } | Kind::UnevaluatedItems { .. } => {
                ("has too many items".to_owned(), None)
            }
            // What remains is rare; its words are the validator's, without the value.
            _ => (clip(&error.masked_with("the value").to_string()), description(schema)),
        }
    }

    fn one_of(&self, value: &Value, pointer: &str, options: &[&Value]) -> (String, Option<String>) {
        let texts: Vec<String> = options.iter().map(|option| plain(option)).collect();
        let expected = match texts.as_slice() {
            [only] => format!("expected '{}'", clip(only)),
            many => format!("expected one of {}", list(many.iter().map(String::as_str))),
        };
        let near = match value {
            Value::String(text) if !self.is_hidden(pointer) => {
                nearest(text, texts.iter().map(String::as_str))
            }
            _ => None,
        };
        let message = format!("{expected}, found {}", self.found(pointer, value));
        (message, near.map(|near| format!("did you mean '{}'?", clip(near))))
    }

    fn type_hint(&self, wanted: Option<&Value>, value: &Value, pointer: &str) -> Option<String> {
        let shown = !self.is_hidden(pointer);
        Some(match (wanted?.as_str()?, value) {
            ("string", Value::Number(n)) if shown => format!("write \"{n}\""),
            ("string", Value::Bool(flag)) if shown => format!("write \"{flag}\""),
            ("string", Value::Number(_) | Value::Bool(_)) => "put it in quotes".to_owned(),
            ("boolean", _) => "write true or false".to_owned(),
            ("integer" | "number", Value::String(_)) => "write a number without quotes".to_owned(),
            ("array", _) => "write [ … ]".to_owned(),
            ("object", _) => "write { … }".to_owned(),
            _ => return None,
        })
    }

    fn is_hidden(&self, pointer: &str) -> bool {
        self.hidden.contains(pointer)
    }

    fn found(&self, pointer: &str, value: &Value) -> String {
        found(value, self.is_hidden(pointer))
    }

    /// The schema that holds the word that failed.
    fn schema_of(&self, error: &ValidationError<'_>) -> Option<&Value> {
        let (parent, _) = error.schema_path().as_str().rsplit_once('/')?;
        self.schema.pointer(parent)
    }
}

/// The name of a parameter: `AuthType.oauth2.AccessToken`, without indices.
pub(crate) fn parameter_name(value: &Value, pointer: &str) -> String {
    let (mut name, mut here) = (Vec::new(), Some(value));
    for key in keys(pointer) {
        let item = here
            .and_then(Value::as_array)
            .map(|items| key.parse::<usize>().ok().and_then(|index| items.get(index)));
        match item {
            Some(item) => here = item,
            None => {
                here = here.and_then(|here| here.get(&key));
                name.push(key);
            }
        }
    }
    name.join(".")
}

/// The first sentence of a schema's description.
fn description(schema: Option<&Value>) -> Option<String> {
    let text = schema?.get("description")?.as_str()?;
    let first = text.split(['\n', '\r']).next().unwrap_or_default();
    let first = first.split_once(". ").map_or(first, |(sentence, _)| sentence).trim().trim_end_matches('.');
    let cut: String = first.chars().take(200).filter(|c| !c.is_control()).collect();
    (!cut.is_empty()).then_some(cut)
}

fn constant(schema: &Value) -> Option<&Value> {
    match schema.get("enum").and_then(Value::as_array).map(Vec::as_slice) {
        Some([only]) => Some(only),
        _ => schema.get("const"),
    }
}

/// What a value of an alternative looks like.
fn form(root: &Value, branch: &Value) -> Option<String> {
    if let Some(constant) = constant(branch) {
        return Some(format!("'{}'", clip(&plain(constant))));
    }
    let schemas = walk::flatten(root, &[branch], None);
    let required = schemas.iter().filter_map(|schema| schema.get("required")).filter_map(Value::as_array);
    if let Some(key) = required.flatten().find_map(Value::as_str) {
        return Some(format!("{{ \"{}\": … }}", clip(key)));
    }
    schemas.iter().find_map(|schema| schema.get("type")).map(|wanted| type_words(Some(wanted)))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn type_words(wanted: Option<&Value>) -> String {
    let word = |name: &str| match name {
        "string" => "a text".to_owned(),
        "integer" => "a whole number".to_owned(),
        "number" => "a number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "object" => "an object".to_owned(),
        "array" => "a list".to_owned(),
        other => clip(other),
    };
    match wanted {
        Some(Value::String(name)) => word(name),
        Some(Value::Array(names)) => {
            let names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            names.map(word).collect::<Vec<_>>().join(" or ")
        }
        _ => "another type".to_owned(),
    }
}

fn format_words(format: &str) -> String {
    match format {
        "date" => "a date as YYYY-MM-DD".to_owned(),
        "date-time" => "a time as 2024-01-31T12:00:00Z".to_owned(),
        "time" => "a time of day as 12:00:00Z".to_owned(),
        "duration" => "a duration as P1DT12H".to_owned(),
        "email" | "idn-email" => "an e-mail address".to_owned(),
        "uri" | "iri" => "an address as https://example.com/path".to_owned(),
        "hostname" | "idn-hostname" => "the name of a host".to_owned(),
        "ipv4" | "ipv6" => "an IP address".to_owned(),
        "uuid" => "a UUID".to_owned(),
        other => format!("the format '{}'", clip(other)),
    }
}
