//! JSON in the documents parses, and configurations mean something to the code
//! and to the published schema alike.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption must fail the tests at once"
)]

use std::path::Path;

use docs::{documents, report};
use ow_host::config::schema::{config_schema, run_config_schema};
use ow_host::config::{Config, RunConfig};
use serde_json::Value;

/// What is wrong with a configuration or a run configuration.
fn problem(text: &str) -> Option<String> {
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => return Some(format!("no JSON: {error}")),
    };
    let has = |keys: &[&str]| keys.iter().any(|key| value.get(key).is_some());
    let (parsed, schema) = if has(&["source", "integration"]) {
        (Config::parse(text, Path::new(".")).err(), config_schema())
    } else if has(&["type", "data"]) {
        (RunConfig::parse(text).err(), run_config_schema())
    } else {
        return None; // State, or a part of something.
    };
    if let Some(problems) = parsed {
        return Some(problems.to_string());
    }
    let validator = jsonschema::validator_for(&schema).unwrap();
    let error = validator.iter_errors(&value).next();
    error.map(|error| format!("against the schema: {}: {error}", error.instance_path()))
}

#[test]
fn every_json_example_is_sound() {
    let mut problems = Vec::new();
    let mut examples = 0;
    for document in documents() {
        for block in document.blocks().iter().filter(|block| block.language == "json") {
            examples += 1;
            if let Some(problem) = problem(&block.text()) {
                problems.push(format!("{}:{}: {problem}", document.name, block.start));
            }
        }
        for block in document.blocks().iter().filter(|block| block.language == "jsonl") {
            for line in &block.lines {
                if let Err(error) = serde_json::from_str::<Value>(line) {
                    problems.push(format!("{}:{}: {error}", document.name, block.start));
                }
            }
        }
    }
    assert!(examples > 3, "there are {examples} examples");
    report(&problems);
}

#[test]
fn a_wrong_example_is_found() {
    assert!(problem("{").is_some());
    assert!(problem(r#"{"name": "x", "source": {"config": {}}, "storge": {}}"#).is_some());
    assert!(problem(r#"{"type": "SOMETIMES"}"#).is_some());
}
