//! Configurations and run configurations, up to what the guest sees of them.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::fits_a_line;
use crate::config::secret::PLACEHOLDER_PREFIX;
use crate::config::{Config, ConfigProblems, ConnectorSpec, RunConfig, RunType, resolve, schema, spec};

/// What the only variable of the environment has.
const FROM_ENVIRONMENT: &str = "of-the-environment-4f1c";

/// A file that is accepted is one to its schema too, and resolves with a
/// connector's schema or says where it does not; no secret reaches the guest.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if text.contains(FROM_ENVIRONMENT) {
        return;
    }
    let config = match Config::parse(&text, Path::new("/nowhere")) {
        Ok(config) => config,
        Err(problems) => return assert_told(&problems),
    };
    thread_local!(static SCHEMA: OnceCell<jsonschema::Validator> = const { OnceCell::new() });
    assert!(is_valid(&SCHEMA, schema::config_schema, &text), "the schema refuses what is accepted");
    for flag in [None, Some("mart")] {
        if let Err(problems) = config.data_mart_id(flag) {
            assert_told(&problems);
        }
    }
    drop(config.sandbox.clone().merged(crate::config::SandboxFlags::default()));
    resolves(&config, &RunConfig::default());
}

/// The same of a run configuration, which its schema accepts exactly if it is
/// accepted here; the state that it sets is JSON.
pub fn run_config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if text.contains(FROM_ENVIRONMENT) {
        return;
    }
    thread_local!(static SCHEMA: OnceCell<jsonschema::Validator> = const { OnceCell::new() });
    let run_config = match RunConfig::parse(&text) {
        Ok(run_config) => run_config,
        Err(problems) => {
            let only_schema = is_valid(&SCHEMA, schema::run_config_schema, &text);
            // No schema sees that a key or a parameter stands twice.
            let twice = |problem: &crate::config::Problem| {
                problem.message.contains("stands twice")
                    || problem.message.contains("stands in an item before")
            };
            assert!(
                !only_schema || problems.problems.iter().all(twice),
                "only the schema accepts: {problems}"
            );
            return assert_told(&problems);
        }
    };
    assert!(is_valid(&SCHEMA, schema::run_config_schema, &text), "only the parser accepts");
    for state in run_config.start_state(BTreeMap::new()).values() {
        serde_json::from_str::<Value>(state).expect("JSON");
    }
    let config = json!({"name": "n", "source": {"config": {
        "AuthType": {"oauth2": {"AccessToken": {"env": "TOKEN"}}}, "Pin": "1234", "Country": "AT",
    }}});
    let config = Config::parse(&config.to_string(), Path::new("/nowhere")).expect("a configuration");
    resolves(&config, &run_config);
    for run_type in RunType::ALL {
        let set = [("StartDate".to_owned(), "2024-01-01".to_owned()), ("Pin".to_owned(), "99".to_owned())];
        match RunConfig::with_overrides(Some(run_config.clone()), Some(run_type), &set, None) {
            Ok(merged) => resolves(&config, &merged),
            Err(problems) => assert_told(&problems),
        }
    }
}

pub(super) fn is_valid(
    validator: &'static std::thread::LocalKey<OnceCell<jsonschema::Validator>>,
    schema: fn() -> Value,
    text: &str,
) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Ok(value) = serde_json::from_str(text) else { return false };
    validator.with(|validator| {
        let validator = validator.get_or_init(|| spec::validator(&schema()).expect("a schema"));
        validator.is_valid(&value)
    })
}

/// Every problem has words, on one line of bounded length.
pub(super) fn assert_told(problems: &ConfigProblems) {
    assert!(!problems.problems.is_empty());
    for problem in &problems.problems {
        assert!(!problem.message.is_empty() && fits_a_line(&problem.to_string()), "{problem:?}");
        assert!(problem.message.len() < 8192, "{} bytes of message", problem.message.len());
        let hint = problem.hint.as_deref().unwrap_or_default();
        assert!(hint.len() < 8192, "{} bytes of hint", hint.len());
    }
}

fn resolves(config: &Config, run_config: &RunConfig) {
    // Files of this machine are no part of the input.
    if config.source.config.values().any(names_a_file) {
        return;
    }
    let environment = |name: &str| (name == "TOKEN").then(|| FROM_ENVIRONMENT.to_owned());
    let resolved = match resolve(config, run_config, &connector(), &environment, &[]) {
        Ok(resolved) => resolved,
        Err(problems) => {
            assert!(problems.problems.iter().all(|problem| !problem.place.is_empty()), "{problems}");
            assert!(!problems.to_string().contains(FROM_ENVIRONMENT), "{problems}");
            return assert_told(&problems);
        }
    };
    let seen: Value = serde_json::from_str(&resolved.ow_config).expect("JSON");
    for at in ["Pin", "AuthType/value/oauth2/AccessToken", "AuthType/value/key"] {
        let at =
            if at == "Pin" { "/source/config/Pin/value".to_owned() } else { format!("/source/config/{at}") };
        let hidden = seen.pointer(&at).is_none_or(|value| {
            value.is_null() || value.as_str().is_some_and(|text| text.starts_with(PLACEHOLDER_PREFIX))
        });
        assert!(hidden, "a secret reaches the guest at {at}");
    }
    assert!(seen.pointer("/storage/config").is_none());
    let run: Value = serde_json::from_str(&resolved.ow_run_config(&BTreeMap::new(), None)).expect("JSON");
    assert_eq!(run["type"], run_config.run_type.name());
    if run_config.run_type != RunType::Custom {
        for item in run["data"].as_array().into_iter().flatten().filter(|item| item["configField"] == "Pin") {
            assert!(
                item["value"].as_str().is_some_and(|text| text.starts_with(PLACEHOLDER_PREFIX)),
                "{item}"
            );
        }
    }
    assert!(!resolved.secrets.redact(FROM_ENVIRONMENT).contains(FROM_ENVIRONMENT) || !asks(config));
}

/// Whether a value comes from the environment.
fn asks(config: &Config) -> bool {
    fn any(value: &Value) -> bool {
        match value {
            Value::Object(object) => {
                (object.len() == 1 && object.get("env").is_some_and(|name| name == "TOKEN"))
                    || object.values().any(any)
            }
            Value::Array(items) => items.iter().any(any),
            _ => false,
        }
    }
    config.source.config.values().any(any)
}

fn names_a_file(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.contains_key("file") || object.values().any(names_a_file),
        Value::Array(items) => items.iter().any(names_a_file),
        _ => false,
    }
}

/// A connector with one of each: alternatives, defaults, conversions, formats,
/// patterns and secrets.
fn connector() -> ConnectorSpec {
    thread_local!(static SPEC: ConnectorSpec = ConnectorSpec {
        name: "test".into(),
        version: "1.0.0".into(),
        config_schema: json!({
            "type": "object",
            "properties": {
                "AuthType": {"oneOf": [
                    {"type": "object", "properties": {"oauth2": {"$ref": "#/$defs/OAuth"}}, "required": ["oauth2"], "additionalProperties": false},
                    {"type": "object", "properties": {"key": {"type": "string", "writeOnly": true}}, "required": ["key"], "additionalProperties": false},
                    {"const": "none"},
                ]},
                "Country": {"enum": ["AT", "CH", "DE"], "default": "CH"},
                "StartDate": {"type": "string", "format": "date", "x-backfill": true},
                "Limit": {"type": "integer", "minimum": 1, "x-backfill": true},
                "Deleted": {"type": "boolean", "default": false},
                "Ids": {"type": "array", "items": {"type": "string"}},
                "Page": {"type": "object", "properties": {"Size": {"type": "integer", "default": 100}}},
                "Extra": {"type": "object", "additionalProperties": true},
                "Pin": {"type": "string", "writeOnly": true, "pattern": "^[0-9]+$", "x-backfill": true},
            },
            "$defs": {"OAuth": {"type": "object", "properties": {
                "AccessToken": {"type": "string", "writeOnly": true},
                "Region": {"type": "string", "default": "eu"},
            }, "required": ["AccessToken"]}},
        }),
        ..ConnectorSpec::default()
    });
    SPEC.with(Clone::clone)
}
