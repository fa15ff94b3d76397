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
    assert_snapshot!(lab.run_component("guest.wasm", &[]).failure(), @r#"
    3 config: cfg.json: 7 problems
      source.config.Password: the environment variable 'NOT_SET' is not set; set it, or write the value another way
      source.config.Behaviour: is required, but missing or empty; add "Behaviour": …, What the run does
      source.config.Colour: expected one of 'red', 'green', found the text 'blue'
      source.config.Rows: must be at least 0, found the number -1
      source.config.StartDate: expected a date as YYYY-MM-DD, found the text 'yesterday'
      storage.config.Paht: storage Sqlite has no parameter `Paht`; did you mean `Path`?
      storage.config.Path: storage Sqlite needs parameter `Path`
    "#);
    lab.write(
        "cfg.json",
        r#"{
            "nmae": "mart",
            "source": { "config": 7 },
            "storage": { "config": {} },
            "sandbox": { "memroy": "1GiB", "timeout": "soon", "handles": -1, "mounts": ["in"], "allow_net": ["ftp://x"] }
        }"#,
    );
    assert_snapshot!(lab.run_component("guest.wasm", &[]).failure(), @r#"
    3 config: cfg.json: 8 problems
      nmae: no such key; did you mean 'name'?
      source.config: expected an object, found a number; write { "Parameter": … }
      storage.name: is missing; add "name": "…"
      sandbox.memroy: no such key; did you mean 'memory'?
      sandbox.mounts[0]: 'in' names no guest path: write DIR:/guest, DIR:/guest:ro or DIR:/guest:rw
      sandbox.allow_net[0]: 'ftp://x' has the scheme 'ftp', which the gate does not speak: write https://x or http://x
      sandbox.handles: expected a whole number from 0 to 4294967295, found the number -1; the default is 1000
      sandbox.timeout: 'soon' is no span of time: write a number and a unit, such as '500ms', '30s' or '1h'
    "#);
}

#[test]
fn files_that_are_no_json() {
    let lab = Lab::new();
    let failure = |text: &[u8]| {
        lab.write("cfg.json", text);
        lab.run_component("guest.wasm", &[]).failure()
    };
    assert_snapshot!(failure(b""), @r"
    3 config: cfg.json: is empty
    hint: write a JSON object: { … }
    ");
    assert_snapshot!(failure(b"{\"name\": \"a\",}"), @r"
    3 config: cfg.json: line 1, column 14: a comma with nothing after it
    hint: remove the comma
    ");
    assert_snapshot!(failure(b"\xff\xfe"), @r"
    3 config: cfg.json: is UTF-16 text
    hint: save it as UTF-8
    ");
    assert_snapshot!(failure("[".repeat(100_000).as_bytes()), @r"
    3 config: cfg.json: line 1, column 128: is nested too deeply
    hint: 128 levels are the most
    ");
    std::fs::remove_file(lab.path("cfg.json")).unwrap();
    assert_snapshot!(lab.run_component("guest.wasm", &[]).failure(), @"3 config: cfg.json: cannot be read: there is no such file");
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
    let arguments =
        ["run", "guest.wasm", "--config", "cfg.json", "--output", "json", "--reveal-secret", "SigningKey"];
    let outcome = lab.command(&arguments).env("PASSWORD", "from the environment").start().wait();
    assert_snapshot!(outcome.failure(), @r"
    1 connector: the source refused [PLACEHOLDER] and ***
    hint: check the credentials in the configuration
    ");
    assert!(!outcome.stdout.contains("from a file"), "{}", outcome.stdout);
    let outcome = lab.command(&arguments).start().wait();
    assert_snapshot!(outcome.failure(), @r"
    3 config: cfg.json: source.config.Password: the environment variable 'PASSWORD' is not set
    at: Password
    hint: set it, or write the value another way
    ");
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
fn the_storages_of_owox_are_taken_as_they_are_configured() {
    let lab = Lab::new();
    for (name, expected) in [("owox-bigquery.json", "GoogleBigQuery"), ("owox-athena.json", "AwsAthena")] {
        let mut config: serde_json::Value =
            serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap();
        config["source"]["config"]["Behaviour"] = json!({ "value": "nothing" });
        lab.write("cfg.json", config.to_string());
        let valid = lab.ow_host(&["validate", "guest.wasm", "--config", "cfg.json"]).success();
        assert!(valid.stdout.ends_with(&format!("into {expected}\n")), "{}", valid.stdout);
        // One that this version does not write to is refused by name.
        config["storage"]["name"] = json!("SNOWFLAKE");
        lab.write("cfg.json", config.to_string());
        let told = lab.run_component("guest.wasm", &[]).failure();
        assert!(told.starts_with("3 config: ") && told.contains("cannot write to Snowflake yet"), "{told}");
        // The same file with another storage runs.
        config["storage"] = json!({ "name": "Sqlite", "config": { "Path": "out.db" } });
        lab.write("cfg.json", config.to_string());
        lab.run_component("guest.wasm", &[]).expect_success();
    }
}

#[test]
fn validate_tells_what_a_run_would_lack() {
    let lab = Lab::new();
    lab.configure(&json!({ "Behaviour": "nothing", "Password": "abcd" }));
    assert_snapshot!(lab.ow_host(&["validate", "guest.wasm", "--config", "cfg.json"]).text(), @r"
    exit 0
    --- stdout
    valid: test-guest 1.2.3 for the data mart 'mart' into Sqlite
    --- stderr
    warning: the connector asks for https://api.example.com, which is not granted; grant it with --allow-net https://api.example.com or --allow-requested
    ");
    let granted = ["validate", "guest.wasm", "--config", "cfg.json", "--allow-requested", "--output", "json"];
    assert_snapshot!(lab.ow_host(&granted).text(), @r#"
    exit 0
    --- stdout
    {"connector":"test-guest 1.2.3","data_mart_id":"mart","storage":"Sqlite","warnings":[],"missing_grants":[]}
    --- stderr
    "#);
    assert!(!lab.path("out.db").exists(), "validate must open nothing");
    lab.configure(&json!({ "Behaviour": 1 }));
    assert_snapshot!(lab.ow_host(&["validate", "guest.wasm", "--config", "cfg.json"]).text(), @r#"
    exit 3
    --- stdout
    --- stderr
    error: cfg.json: source.config.Behaviour: expected a text, found the number 1
      at: parameter Behaviour
    hint: write "1"
    "#);
}

#[test]
fn bad_run_configurations() {
    let lab = Lab::new();
    let failure = |text: &str| {
        lab.write("run.json", text);
        lab.run_with("nothing", json!({}), &["--run-config", "run.json"]).failure()
    };
    assert_snapshot!(failure(r#"{"type": "INCREMENTL"}"#), @"3 config: run.json: type: there is no run type 'INCREMENTL': did you mean INCREMENTAL?");
    assert_snapshot!(failure(r#"{"type": "MANUAL_BACKFILL", "data": [{"configField": "StartDate"}], "sate": {}}"#), @r"
    3 config: run.json: 2 problems
      sate: no such key; did you mean 'state'?
      data[0].value: is missing; write the value for this run
    ");
    assert_snapshot!(failure(r#"{"type": "MANUAL_BACKFILL", "data": [{"configField": "Behaviour", "value": "panic"}]}"#), @r"
    3 config: cfg.json: run configuration data[0]: a run may not override 'Behaviour'
    at: Behaviour
    hint: it may override 'Rows', 'StartDate'
    ");
    assert_snapshot!(failure(r#"{"state": [1]}"#), @r#"
    3 config: run.json: state: expected an object, found a list
    hint: write { "key": … }
    "#);
}
