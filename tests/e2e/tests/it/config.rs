//! Configuration files as people and programs write them.

use std::path::Path;

use e2e::Lab;
use insta::assert_snapshot;
use ow_host::config::{Config, RunConfig};
use serde_json::json;

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

#[test]
fn all_problems_are_told_at_once() {
    let lab = Lab::new();
    lab.write(
        "cfg.json",
        r#"{
            "name": "mart",
            "source": { "config": { "Behaviuor": { "value": "nothing" }, "Colour": "blue", "StartDate": "yesterday", "Rows": -1,
                                    "Password": { "env": "NOT_SET" } } },
            "storage": { "name": "Sqlite", "config": { "Paht": "out.db" } }
        }"#,
    );
    assert_snapshot!(lab.run_component("guest.wasm", &[]).failure(), @"");
    lab.write(
        "cfg.json",
        r#"{
            "nmae": "mart",
            "source": { "config": 7 },
            "storage": { "config": {} },
            "sandbox": { "memroy": "1GiB", "timeout": "soon", "handles": -1, "mounts": ["in"], "allow_net": ["ftp://x"] }
        }"#,
    );
    assert_snapshot!(lab.run_component("guest.wasm", &[]).failure(), @"");
}

#[test]
fn files_that_are_no_json() {
    let lab = Lab::new();
    let mut failure = |text: &[u8]| {
        lab.write("cfg.json", text);
        lab.run_component("guest.wasm", &[]).failure()
    };
    assert_snapshot!(failure(b""), @"");
    assert_snapshot!(failure(b"{\"name\": \"a\",}"), @"");
    assert_snapshot!(failure(b"\xff\xfe"), @"");
    assert_snapshot!(failure("[".repeat(100_000).as_bytes()), @"");
    std::fs::remove_file(lab.path("cfg.json")).unwrap();
    assert_snapshot!(lab.run_component("guest.wasm", &[]).failure(), @"");
}

#[test]
fn a_configuration_of_ten_megabytes_works() {
    let lab = Lab::new();
    let ids: Vec<String> = (0..1_000_000).map(|id| format!("{id:08}")).collect();
    let expected = ids.join(",").len();
    lab.run("set", json!({ "Key": "k", "Json": "1", "Ids": ids.join(",") })).expect_success();
    assert!(expected > 8_000_000 && lab.read("cfg.json").len() > expected);
    assert_eq!(lab.state(), json!({ "k": 1 }));
}

#[test]
fn a_configuration_comes_from_standard_input_too() {
    let lab = Lab::new();
    let config = e2e::lab::configuration(&json!({ "Behaviour": "write", "Rows": 3 }));
    let arguments = ["run", "guest.wasm", "--config", "-", "--output", "json"];
    lab.command(&arguments).input(config.to_string()).start().wait().expect_success();
    assert_eq!(lab.query("SELECT count(*) FROM numbers"), "3");
}

#[test]
fn values_come_from_the_environment_and_from_files() {
    let lab = Lab::new();
    lab.write("key.txt", "from a file\n");
    let parameters = json!({ "Behaviour": "secret", "Password": { "env": "PASSWORD" }, "SigningKey": { "file": "key.txt" }, "Fail": true });
    lab.configure(&parameters);
    let arguments = ["run", "guest.wasm", "--config", "cfg.json", "--output", "json", "--reveal-secret", "SigningKey"];
    let outcome = lab.command(&arguments).env("PASSWORD", "from the environment").start().wait();
    assert_snapshot!(outcome.failure(), @"");
    assert!(!outcome.stdout.contains("from a file"), "{}", outcome.stdout);
    let outcome = lab.command(&arguments[..7]).start().wait();
    assert_snapshot!(outcome.failure(), @"");
}

#[test]
fn files_of_owox_are_read_as_they_are() {
    for name in ["owox-bigquery.json", "owox-athena.json"] {
        let config = Config::load(&fixture(name)).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        assert_eq!(config.name, "TikTokAdsConnector");
        assert_eq!(config.source.config.len(), 8);
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }
    RunConfig::load(&fixture("owox-run.json")).unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn a_storage_that_is_not_built_in_is_named() {
    let lab = Lab::new();
    lab.take(&fixture("owox-athena.json"), "cfg.json");
    let told = lab.run_component("guest.wasm", &[]).failure();
    assert_snapshot!(told, @"");
}

#[test]
fn validate_tells_what_a_run_would_lack() {
    let lab = Lab::new();
    lab.configure(&json!({ "Behaviour": "nothing", "Password": "abcd" }));
    assert_snapshot!(lab.ow_host(&["validate", "guest.wasm", "--config", "cfg.json"]).text(), @"");
    let granted = ["validate", "guest.wasm", "--config", "cfg.json", "--allow-requested", "--output", "json"];
    assert_snapshot!(lab.ow_host(&granted).text(), @"");
    assert!(!lab.path("out.db").exists(), "validate must open nothing");
    lab.configure(&json!({ "Behaviour": 1 }));
    assert_snapshot!(lab.ow_host(&["validate", "guest.wasm", "--config", "cfg.json"]).text(), @"");
}

#[test]
fn bad_run_configurations() {
    let lab = Lab::new();
    let failure = |text: &str| {
        lab.write("run.json", text);
        lab.run_with("nothing", json!({}), &["--run-config", "run.json"]).failure()
    };
    assert_snapshot!(failure(r#"{"type": "INCREMENTL"}"#), @"");
    assert_snapshot!(failure(r#"{"type": "MANUAL_BACKFILL", "data": [{"configField": "StartDate"}], "sate": {}}"#), @"");
    assert_snapshot!(failure(r#"{"type": "MANUAL_BACKFILL", "data": [{"configField": "Behaviour", "value": "panic"}]}"#), @"");
    assert_snapshot!(failure(r#"{"state": [1]}"#), @"");
}
