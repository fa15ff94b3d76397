//! What a connector says of itself, checked before anybody relies on it.

use std::sync::Once;

use serde_json::{Map, Value, json};

use super::problem::{Place, Problem, clip, list, nearest, one_line};
use super::walk;
use crate::sandbox::Origin;

/// The longest `config-schema`: a connector with thousands of parameters needs
/// a tenth of it.
pub const MAX_SCHEMA_BYTES: usize = 1 << 20;

/// Steps that validating may cost; a large configuration takes thousands.
pub(crate) const MAX_STEPS: usize = 2_000_000;

/// The largest compiled regular expression.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// The most regular expressions: together they take 100 MiB at worst.
const MAX_PATTERNS: usize = 100;

/// The most origins or secrets that a connector asks for.
const MAX_REQUESTS: usize = 1_000;

/// What a connector says of itself: the WIT package's `connector-spec`.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct ConnectorSpec {
    /// Its short name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its name for people.
    pub title: String,
    /// One paragraph for people.
    pub description: String,
    /// Where its documentation stands.
    pub documentation_url: Option<String>,
    /// JSON Schema (2020-12) of its parameters.
    pub config_schema: Value,
    /// The HTTP origins that it needs.
    pub network: Vec<String>,
    /// The secret parameters that it must see in clear.
    pub plain_secrets: Vec<String>,
}

impl ConnectorSpec {
    /// The schema of a connector from the text that it hands over.
    pub fn parse_schema(text: &str) -> Result<Value, String> {
        if text.len() > MAX_SCHEMA_BYTES {
            return Err(format!("config-schema has {} bytes, {MAX_SCHEMA_BYTES} are the most", text.len()));
        }
        let problems = match super::json::parse(text) {
            Ok(value) => return Ok(value),
            Err(problems) => problems,
        };
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        Err(format!("config-schema is no JSON: {first}"))
    }

    /// The problems of the spec itself; the connector's author has to solve
    /// them. Nothing is fetched and no file is read.
    #[must_use]
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(plain) {
            let wrong = format!("'{}' is no name", clip(&self.name));
            problems.push(Problem::new("name", wrong).hint("1 to 64 letters, digits, '-', '_' and '.'"));
        }
        if !is_semantic_version(&self.version) {
            let wrong = format!("'{}' is no version", clip(&self.version));
            problems.push(Problem::new("version", wrong).hint("write it as 1.2.3"));
        }
        for (place, text, most) in [("title", &self.title, 200), ("description", &self.description, 10_000)] {
            if text.chars().count() > most {
                problems.push(Problem::new(place, format!("has more than {most} characters")));
            }
        }
        if let Some(url) = &self.documentation_url {
            let web = url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            if !web {
                let wrong = format!("'{}' is no web address", clip(url));
                problems.push(Problem::new("documentation-url", wrong).hint("write https://…"));
            }
        }
        self.check_network(&mut problems);
        if check_schema(&self.config_schema, &mut problems) {
            self.check_secrets(&mut problems);
        }
        problems
    }

    fn check_network(&self, problems: &mut Vec<Problem>) {
        if self.network.len() > MAX_REQUESTS {
            problems.push(Problem::new("network", format!("asks for more than {MAX_REQUESTS} origins")));
            return;
        }
        for (index, origin) in self.network.iter().enumerate() {
            if let Err(error) = origin.parse::<Origin>() {
                problems.push(Problem::new(Place::of("network").index(index), one_line(&error)));
            }
        }
    }

    fn check_secrets(&self, problems: &mut Vec<Problem>) {
        if self.plain_secrets.len() > MAX_REQUESTS {
            problems
                .push(Problem::new("plain-secrets", format!("names more than {MAX_REQUESTS} parameters")));
            return;
        }
        let parameters = walk::parameters(&self.config_schema);
        for (index, name) in self.plain_secrets.iter().enumerate() {
            let top = name.split('.').next().unwrap_or(name);
            if parameters.iter().any(|(known, _)| *known == top) {
                continue;
            }
            let known = parameters.iter().map(|(name, _)| *name);
            let problem = Problem::new(
                Place::of("plain-secrets").index(index),
                format!("there is no parameter '{}'", clip(name)),
            );
            problems.push(match nearest(name, known.clone()) {
                Some(near) => problem.hint(format!("did you mean '{near}'?")),
                None => problem.hint(format!("the parameters are {}", list(known))),
            });
        }
    }

    /// The validator of the parameters.
    pub(crate) fn validator(&self) -> Result<jsonschema::Validator, String> {
        validator(&self.config_schema)
    }
}

/// Compiles a schema. Regular expressions take linear time, formats count,
/// references are resolved inside the schema alone.
pub(crate) fn validator(schema: &Value) -> Result<jsonschema::Validator, String> {
    let patterns = jsonschema::PatternOptions::regex().size_limit(MAX_PATTERN_BYTES);
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .offline()
        .with_pattern_options(patterns)
        .should_validate_formats(true)
        .should_ignore_unknown_formats(true)
        .build(schema)
        .map_err(|error| {
            format!("{}: {}", clip(error.instance_path().as_str()), one_line(&error.to_string()))
        })
}

/// Has the schema of all schemas compiled meanwhile, which every first
/// [`validator`] of a process waits for.
pub(crate) fn warm_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        drop(tokio::task::spawn_blocking(|| jsonschema::meta::is_valid(&json!({"type": "object"}))))
    });
}

fn check_schema(schema: &Value, problems: &mut Vec<Problem>) -> bool {
    let place = Place::of("config-schema");
    let before = problems.len();
    let Value::Object(object) = schema else {
        problems
            .push(Problem::new(place, "is no JSON Schema of an object").hint("write {\"type\": \"object\"}"));
        return false;
    };
    if object.get("type").is_some_and(|word| word != "object") {
        problems.push(Problem::new(place.key("type"), "parameters are an object").hint("write \"object\""));
    }
    if let Some(draft) = object.get("$schema")
        && !draft.as_str().is_some_and(|draft| draft.trim_end_matches('#').ends_with("draft/2020-12/schema"))
    {
        let hint = "write https://json-schema.org/draft/2020-12/schema";
        problems.push(Problem::new(place.key("$schema"), "only draft 2020-12 is supported").hint(hint));
    }
    if serde_json::to_string(schema).map_or(0, |text| text.len()) > MAX_SCHEMA_BYTES {
        problems.push(Problem::new(&place, format!("has more than {MAX_SCHEMA_BYTES} bytes")));
    }
    check_words(schema, object, &place, problems);
    if problems.len() == before {
        let mut fuel = MAX_STEPS;
        if !affordable_everywhere(schema, schema, &mut fuel) {
            problems.push(Problem::new(&place, "its subschemas refer to each other too often"));
        } else if count_patterns(schema) > MAX_PATTERNS {
            problems.push(Problem::new(&place, format!("has more than {MAX_PATTERNS} patterns")));
        } else if let Err(error) = validator(schema) {
            let problem = Problem::new(&place, format!("is no valid JSON Schema: {error}"));
            problems.push(match error.ends_with("\"regex\"") {
                true => {
                    problem.hint("look-around, back-references and very large patterns are not supported")
                }
                false => problem,
            });
        }
    }
    problems.len() == before
}

/// Words whose value is data, not a schema.
const DATA_WORDS: [&str; 5] = ["default", "const", "enum", "examples", "required"];

/// Words whose value maps names to schemas.
const NAMED_WORDS: [&str; 5] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];

/// The subschemas right below a schema, each with its place.
fn below<'a>(schema: &'a Map<String, Value>, place: &Place) -> Vec<(Place, &'a Value)> {
    let mut found = Vec::new();
    for (word, value) in schema.iter().filter(|(word, _)| !DATA_WORDS.contains(&word.as_str())) {
        let place = place.key(word);
        match value {
            Value::Object(named) if NAMED_WORDS.contains(&word.as_str()) => {
                found.extend(named.iter().map(|(name, schema)| (place.key(name), schema)));
            }
            Value::Object(_) => found.push((place, value)),
            Value::Array(list) => {
                found.extend(list.iter().enumerate().map(|(index, schema)| (place.index(index), schema)));
            }
            _ => {}
        }
    }
    found
}

/// Words that would reach outside the schema or that secrets cannot follow.
fn check_words(root: &Value, schema: &Map<String, Value>, place: &Place, problems: &mut Vec<Problem>) {
    for (word, value) in schema {
        let (wrong, hint) = match (word.as_str(), value) {
            ("$ref", Value::String(to)) if !(to == "#" || to.starts_with("#/")) => {
                (format!("'{}' is not inside the schema", clip(to)), "write '#/$defs/…'")
            }
            ("$ref", Value::String(to)) if walk::target(root, to).is_none() => {
                (format!("there is no '{}'", clip(to)), "define it")
            }
            ("$dynamicRef" | "$recursiveRef" | "$id" | "$vocabulary", _) => {
                ("is not supported".to_owned(), "use '$ref' with '#/$defs/…'")
            }
            ("writeOnly", Value::Bool(true)) if !text_like(schema.get("type")) => {
                ("a number or a boolean cannot be secret".to_owned(), "make it a text")
            }
            _ => continue,
        };
        problems.push(Problem::new(place.key(word), wrong).hint(hint));
    }
    for (place, value) in below(schema, place) {
        if let Value::Object(schema) = value {
            check_words(root, schema, &place, problems);
        }
    }
}

/// How many regular expressions a schema has.
fn count_patterns(schema: &Value) -> usize {
    let Value::Object(schema) = schema else { return 0 };
    let named = schema.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
    let below = below(schema, &Place::default());
    usize::from(schema.contains_key("pattern"))
        + named
        + below.into_iter().map(|(_, schema)| count_patterns(schema)).sum::<usize>()
}

fn text_like(word: Option<&Value>) -> bool {
    let usable = |name: &Value| !matches!(name.as_str(), Some("number" | "integer" | "boolean"));
    match word {
        Some(Value::Array(names)) => names.iter().all(usable),
        Some(name) => usable(name),
        None => true,
    }
}

fn affordable_everywhere(root: &Value, schema: &Value, fuel: &mut usize) -> bool {
    let Value::Object(object) = schema else { return true };
    walk::affordable(root, schema, None, fuel)
        && below(object, &Place::default())
            .iter()
            .all(|(_, schema)| affordable_everywhere(root, schema, fuel))
}

/// `1.2.3`, with `-pre.1` and `+build` behind it.
fn is_semantic_version(text: &str) -> bool {
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
    let number = |part: &str| {
        !part.is_empty()
            && part.len() <= 20
            && part.bytes().all(|b| b.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    let words = |text: &str| {
        text.len() <= 128
            && text
                .split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
    };
    core.split('.').count() == 3
        && core.split('.').all(number)
        && pre.is_none_or(words)
        && build.is_none_or(words)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(config_schema: Value) -> ConnectorSpec {
        ConnectorSpec {
            name: "open-holidays".into(),
            version: "1.2.3-rc.1+build".into(),
            config_schema,
            ..ConnectorSpec::default()
        }
    }

    fn told(spec: &ConnectorSpec) -> String {
        spec.check().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_sound_spec_has_no_problems() {
        assert_eq!(told(&spec(json!({"type": "object"}))), "");
        let patterns = ["^[^/]{1,255}$", "^\\w{1,255}$", "^.{1,255}$", "^\\d{4}-\\d{2}-\\d{2}$"];
        for pattern in patterns {
            assert_eq!(told(&spec(json!({"properties": {"A": {"pattern": pattern}}}))), "", "{pattern}");
        }
        assert_eq!(
            told(&spec(json!({"$ref": "#/$defs/C", "$defs": {"C": {"type": "object", "properties": {
            "Child": {"$ref": "#/$defs/C"}, "$ref": {"type": "string"}}}}}))),
            ""
        );
    }

    #[test]
    fn every_problem_of_a_spec_is_told() {
        let broken = ConnectorSpec {
            name: "no good".into(),
            version: "1.0".into(),
            title: "x".repeat(300),
            documentation_url: Some("file:///etc/passwd".into()),
            network: vec!["https://a.example".into(), "not an origin".into()],
            plain_secrets: vec!["ApiSecrt".into()],
            ..spec(json!({"type": "object", "properties": {"ApiSecret": {"type": "string"}}}))
        };
        insta::assert_snapshot!(told(&broken));
    }

    #[test]
    fn bad_schemas_are_refused() {
        let schemas = [
            json!("text"),
            json!({"type": "array"}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#"}),
            json!({"properties": {"A": {"$ref": "https://example.com/schema.json"}}}),
            json!({"properties": {"A": {"$ref": "file:///etc/passwd"}}}),
            json!({"properties": {"A": {"$ref": "#/$defs/Missing"}}}),
            json!({"$id": "https://example.com/", "type": "object"}),
            json!({"properties": {"A": {"type": "strng"}}}),
            json!({"properties": {"A": {"pattern": "("}}}),
            json!({"properties": {"A": {"pattern": "(?=x)"}}}),
            json!({"properties": {"A": {"pattern": "((a{1000}){1000}){1000}"}}}),
            json!({"properties": {"A": {"type": "integer", "writeOnly": true}}}),
            json!({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}),
            json!({"allOf": vec![json!({"pattern": "a"}); 201]}),
        ];
        let all: Vec<String> = schemas
            .iter()
            .map(|schema| {
                let text: String = schema.to_string().chars().take(80).collect();
                format!("{text} → {}", told(&spec(schema.clone())))
            })
            .collect();
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn schemas_that_would_take_forever_are_refused_at_once() {
        let mut defs = serde_json::Map::new();
        for level in 0..40 {
            let next = json!({"$ref": format!("#/$defs/L{}", level + 1)});
            defs.insert(format!("L{level}"), json!({"allOf": [next, next]}));
        }
        defs.insert("L40".into(), json!({"type": "object"}));
        let told = told(&spec(json!({"$ref": "#/$defs/L0", "$defs": defs})));
        assert_eq!(told, "config-schema: its subschemas refer to each other too often");
    }

    #[test]
    fn a_schema_doubling_with_the_value_is_refused_at_once() {
        let config_schema = json!({
            "type": "object",
            "properties": {"x": {"$ref": "#/$defs/D"}},
            "$defs": {"D": {"anyOf": [
                {"properties": {"x": {"$ref": "#/$defs/D"}}}, {"properties": {"x": {"$ref": "#/$defs/D"}}},
            ]}},
        });
        let spec = spec(config_schema);
        assert_eq!(told(&spec), "");
        let deep = (0..60).fold(json!(1), |inner, _| json!({ "x": inner }));
        let text = json!({"name": "n", "source": {"config": {"x": {"value": deep}}}}).to_string();
        let config = super::super::Config::parse(&text, std::path::Path::new(".")).unwrap();
        let error = super::super::resolve(&config, &Default::default(), &spec, &|_| None, &[]).unwrap_err();
        assert!(error.to_string().contains("takes too long"), "{error}");
    }

    #[test]
    fn the_text_of_a_schema_is_bounded() {
        assert!(ConnectorSpec::parse_schema("{}").is_ok());
        assert!(ConnectorSpec::parse_schema(&" ".repeat(MAX_SCHEMA_BYTES + 1)).is_err());
        assert_eq!(
            ConnectorSpec::parse_schema("{").unwrap_err(),
            "config-schema is no JSON: line 1, column 1: the file ends inside an object; something is not closed, or the file was cut off"
        );
    }
}
