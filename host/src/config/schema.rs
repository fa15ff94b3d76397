//! JSON Schemas of the files, for editors and for `ow-host schema`.

use schemars::JsonSchema as _;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::file::LEGACY_SOURCE;
use super::file::contracts::rules;
use super::run_config::RunType;
use crate::sandbox::{LimitOverrides, Mount, Origin};
use crate::storage::contract::Rule;

pub(super) const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The JSON Schema of the configuration file.
#[must_use]
pub fn config_schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let origin = generator.subschema_for::<Origin>().to_value();
    let mount = generator.subschema_for::<Mount>().to_value();
    let limits = LimitOverrides::json_schema(&mut generator).to_value();
    let mut defs = generator.take_definitions(true);
    defs.insert("Source".into(), section("The connector and its parameters.", &["config"]));
    defs.insert("Storage".into(), storage());
    defs.insert("Sandbox".into(), sandbox(&origin, &mount, &limits));
    defs.insert("Parameters".into(), parameters());
    let text = |words: &str| json!({"type": ["string", "null"], "pattern": "\\S", "description": words});
    json!({
        "$schema": DRAFT,
        "title": "ow-host configuration",
        "description": "What an ow-host run does: a connector, its parameters, the storage, and what the connector may do.",
        "type": "object",
        "properties": {
            "$schema": text("The schema of this file, for editors."),
            "datamartId": {
                "type": ["string", "null"], "pattern": NAME, "maxLength": 255,
                "description": "What rows and state belong to. Without it: 'name'.",
            },
            "name": {
                "type": "string", "pattern": NAME, "maxLength": 255,
                "description": "The configuration's name.", "examples": ["holidays-ch"],
            },
            "description": text("For people."),
            "source": {"$ref": "#/$defs/Source"},
            LEGACY_SOURCE: {"$ref": "#/$defs/Source", "deprecated": true, "description": "The old name of 'source'."},
            "storage": {"$ref": "#/$defs/Storage"},
            "sandbox": {"$ref": "#/$defs/Sandbox"},
            "connector": connector(),
        },
        "required": ["name"],
        "oneOf": [{"required": ["source"]}, {"required": [LEGACY_SOURCE]}],
        "additionalProperties": false,
        "$defs": defs,
        "examples": [example()],
    })
}

/// A name on one line that is not blank.
const NAME: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// The JSON Schema of the run configuration file.
#[must_use]
pub fn run_config_schema() -> Value {
    let item = json!({
        "type": "object",
        "properties": {
            "configField": {"type": "string", "description": "The parameter that this run overrides."},
            "value": {"not": {"type": "null"}, "description": "Its value for this run."},
        },
        "required": ["configField", "value"],
        "additionalProperties": false,
    });
    let mut types: Vec<Value> = RunType::ALL.map(|run_type| run_type.name().into()).into();
    types.push(Value::Null);
    json!({
        "$schema": DRAFT,
        "title": "ow-host run configuration",
        "description": "What kind of run it is, what it overrides, and the state that it starts from.",
        "type": "object",
        "properties": {
            "type": {"enum": types, "default": RunType::default().name(), "description": "The kind of run."},
            "data": {"description": "Overridden parameters; any JSON in a CUSTOM run."},
            "state": {
                "type": ["object", "null"],
                "description": "The state to start from in place of the stored one.",
            },
        },
        "if": {"properties": {"type": {"const": RunType::Custom.name()}}, "required": ["type"]},
        "else": {"properties": {"data": {"type": ["array", "null"], "items": item}}},
        "additionalProperties": false,
        "examples": [{
            "type": RunType::ManualBackfill.name(),
            "data": [{"configField": "StartDate", "value": "2024-01-01"}],
        }],
    })
}

fn section(description: &str, required: &[&str]) -> Value {
    let name_type = if required.contains(&"name") { json!("string") } else { json!(["string", "null"]) };
    json!({
        "type": "object",
        "description": description,
        "properties": {
            "name": {"type": name_type, "pattern": "\\S", "description": "Its name."},
            "config": {"$ref": "#/$defs/Parameters"},
        },
        "required": required,
        "additionalProperties": false,
    })
}

fn storage() -> Value {
    let rule = |key: &str, words: &str| {
        let mut names: Vec<Value> = rules(key).map(|rule| rule.name().into()).collect();
        names.push(Value::Null);
        json!({"enum": names, "default": Rule::default().name(), "description": words})
    };
    let contract = json!({
        "type": "object",
        "description": "What happens to something new; what it leaves out is as '*' has it.",
        "properties": {
            "table": rule("table", "A table that is not there yet."),
            "column": rule("column", "A column that the table does not have."),
            "type": rule("type", "A column whose type in the table does not hold the stream's values."),
        },
        "additionalProperties": false,
    });
    let mut storage = section("Where rows and state go. Without it: SQLite, 'ow.db'.", &["name"]);
    if let Some(properties) = storage.get_mut("properties").and_then(Value::as_object_mut) {
        let contracts = json!({
            "type": ["object", "null"],
            "description": "What happens when a stream brings something new: by its name, '*' for every stream that is not named.",
            "additionalProperties": contract,
            "examples": [{"*": {"column": "freeze"}, "orders": {"type": "drop-row"}}],
        });
        properties.insert("contracts".into(), contracts);
    }
    storage
}

fn parameters() -> Value {
    json!({
        "type": "object",
        "description": "Parameters by name. A value stands as it is, as {\"value\": …}, or comes from an environment variable or a file.",
        "additionalProperties": true,
        "examples": [{"Country": {"value": "CH"}, "Token": {"env": "TOKEN"}, "Key": {"file": "key.json"}}],
    })
}

fn sandbox(origin: &Value, mount: &Value, limits: &Value) -> Value {
    let mut properties: Map<String, Value> =
        limits.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let list =
        |item: &Value, words: &str| json!({"type": ["array", "null"], "items": item, "description": words});
    let text = json!({"type": "string", "pattern": "\\S"});
    properties.insert(
        "allow_net".into(),
        json!({
            "anyOf": [list(origin, "Several."), origin],
            "description": "HTTP origins that the connector may call.",
            "examples": [["https://api.example.com", "*.example.com"]],
        }),
    );
    properties.insert(
        "allow_requested".into(),
        json!({"type": ["boolean", "null"], "description": "Grants every origin that the connector asks for."}),
    );
    properties.insert(
        "deny_network".into(),
        json!({"type": ["boolean", "null"], "description": "Grants no origin, whatever else grants one."}),
    );
    properties.insert(
        "mounts".into(),
        list(mount, "Folders that the connector sees; relative ones start at the folder of this file."),
    );
    properties
        .insert("reveal_secrets".into(), list(&text, "Secret parameters that the connector gets in clear."));
    secret_rules(&mut properties, origin, &list(&text, "Secrets that the connector may see in answers."));
    properties.insert(
        "isolation".into(),
        json!({
            "enum": ["none", "process", null],
            "description": "What keeps a run apart from the host beside the WebAssembly sandbox: nothing, or a process of its own (Linux).",
        }),
    );
    properties.insert(
        "ca_file".into(),
        json!({
            "type": ["string", "null"], "pattern": "\\S",
            "description": "Certificates (PEM) to trust beside the system's.",
        }),
    );
    json!({
        "type": "object",
        "description": "What the connector may do, and its limits. Everything else is denied.",
        "properties": properties,
        "additionalProperties": false,
    })
}

/// The keys that say where secrets go and what may be shown.
fn secret_rules(properties: &mut Map<String, Value>, origin: &Value, allow_echo: &Value) {
    let several = json!({"type": "array", "items": origin, "minItems": 1});
    properties.insert(
        "secret_origins".into(),
        json!({
            "type": ["object", "null"],
            "additionalProperties": {"anyOf": [several, origin]},
            "description": "The only origins that a secret goes to, by its name. Others go to every granted origin, but unencrypted to this machine alone.",
            "examples": [{"AccessToken": ["https://api.example.com"]}],
        }),
    );
    properties.insert("allow_echo".into(), allow_echo.clone());
    let flag = |words: &str| json!({"type": ["boolean", "null"], "description": words});
    properties.insert(
        "reveal_tokens".into(),
        flag("The connector gets the tokens that a server grants it in clear."),
    );
    properties.insert("redact_rows".into(), flag("Values of secrets in rows and state become '***'."));
}

fn connector() -> Value {
    let key = json!({"type": "string", "pattern": "\\S"});
    json!({
        "type": "object",
        "description": "The component that runs.",
        "properties": {
            "path": {
                "type": "string", "pattern": "\\S",
                "description": "The file; a relative one starts at the folder of this file.",
            },
            "sha256": {
                "type": ["string", "null"], "pattern": "^[0-9A-Fa-f]{64}$",
                "description": "Its SHA-256. Another file is not run.",
            },
            "signature": {
                "type": ["object", "null"],
                "description": "Who must have signed it. Without a signature (the component's name with .sig) it is not run.",
                "properties": {
                    "keys": {
                        "anyOf": [
                            {"type": "array", "items": key, "minItems": 1},
                            key,
                        ],
                        "description": "Public keys of Ed25519 (PEM), of which one is enough; relative ones start at the folder of this file.",
                    },
                },
                "required": ["keys"],
                "additionalProperties": false,
            },
        },
        "required": ["path"],
        "additionalProperties": false,
    })
}

fn example() -> Value {
    json!({
        "name": "holidays-ch",
        "source": {"name": "OpenHolidays", "config": {"countryIsoCode": {"value": "CH"}}},
        "storage": {"name": "Sqlite", "config": {"Path": {"value": "ow.db"}}},
        "sandbox": {"allow_net": ["https://openholidaysapi.org"], "memory": "64MiB"},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{RunConfig, spec};

    #[test]
    fn run_configurations_are_judged_alike_by_parser_and_schema() {
        let validator = spec::validator(&run_config_schema()).unwrap();
        let mut texts: Vec<String> = [
            "{}",
            r#"{"type": null, "data": null, "state": null}"#,
            r#"{"type": "INCREMENTAL", "data": [], "state": {}}"#,
            r#"{"type": "CUSTOM", "data": 5, "state": {"k": 1}}"#,
            r#"{"data": 5}"#,
            r#"{"type": "full-refresh"}"#,
            r#"{"type": "EVERYTHING"}"#,
            r#"{"typ": "CUSTOM"}"#,
            r#"{"state": []}"#,
            r#"{"data": [{"configField": "A", "value": null}]}"#,
            r#"{"data": [{"configField": 5, "value": 1}]}"#,
            r#"{"data": [{"configField": "A", "value": 1, "more": 1}]}"#,
            r#"{"data": ["A"]}"#,
            "[]",
        ]
        .map(str::to_owned)
        .into();
        texts.extend(run_config_schema()["examples"].as_array().unwrap().iter().map(ToString::to_string));
        for text in texts {
            let value = serde_json::from_str(&text).unwrap();
            assert_eq!(validator.is_valid(&value), RunConfig::parse(&text).is_ok(), "{text}");
        }
    }

    #[test]
    fn every_limit_is_in_the_schema_with_its_description() {
        let schema = config_schema();
        let properties = &schema["$defs"]["Sandbox"]["properties"];
        for key in crate::sandbox::limits::KEYS {
            assert!(properties[key]["description"].is_string(), "{key}");
        }
    }
}
