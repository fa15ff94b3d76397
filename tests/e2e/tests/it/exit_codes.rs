//! Each exit code, and what leads to it.

use std::fmt::Write as _;

use e2e::Lab;
use insta::assert_snapshot;
use serde_json::{Value, json};

#[test]
fn success_is_0() {
    let lab = Lab::new();
    let outcome = lab.run("nothing", json!({})).success();
    let report = outcome.report();
    assert_eq!(report["status"], "succeeded");
    assert_eq!(report["failure"], Value::Null);
}

#[test]
fn each_error_of_a_connector_has_its_code_and_drops_what_was_not_committed() {
    let kinds = [
        "config",
        "auth",
        "rate-limited",
        "unavailable",
        "invalid-data",
        "denied",
        "limit-exceeded",
        "cancelled",
        "internal",
    ];
    let mut told = String::new();
    for kind in kinds {
        let lab = Lab::new();
        let fail = json!({ "Behaviour": "fail", "Kind": kind, "Message": format!("it is {kind}"), "Parameter": "Colour" });
        let outcome = lab.script(json!([{ "Behaviour": "write", "Rows": 5 }, fail]), &[]);
        let _ = writeln!(told, "{kind}: {}", outcome.failure());
        assert_eq!(lab.query("SELECT * FROM numbers"), "no such table: numbers");
        assert_eq!(outcome.report()["streams"][0]["committed_rows"], 0);
    }
    assert_snapshot!(told, @r"
    config: 3 config: it is config
    at: Colour
    auth: 1 connector: it is auth
    at: Colour
    hint: check the credentials in the configuration
    rate-limited: 1 connector, retryable: it is rate-limited
    at: Colour
    hint: a later run may succeed without any change
    unavailable: 1 connector, retryable: it is unavailable
    at: Colour
    hint: a later run may succeed without any change
    invalid-data: 1 connector: it is invalid-data
    at: Colour
    denied: 5 denied: it is denied
    at: Colour
    limit-exceeded: 6 limit: it is limit-exceeded
    at: Colour
    cancelled: 1 connector: it is cancelled
    at: Colour
    internal: 1 connector: it is internal
    at: Colour
    ");
}

#[test]
fn a_connector_that_breaks_is_1() {
    let failure = |behaviour: &str, parameters: Value| Lab::new().run(behaviour, parameters).failure();
    assert_snapshot!(failure("panic", json!({ "Message": "the page has no number" })), @"1 connector: the connector panicked in `test_guest::act`: thread '<unnamed>' (1) panicked at tests/guests/src/lib.rs:[LINE]: the page has no number");
    assert_snapshot!(failure("panic", json!({ "Message": "two\nlines \u{1b}[31mred" })), @"1 connector: the connector panicked in `test_guest::act`: thread '<unnamed>' (1) panicked at tests/guests/src/lib.rs:[LINE]: two lines red");
    assert_snapshot!(failure("exit", json!({ "Code": 0 })), @"1 connector: the connector ended its process with exit code 0 instead of returning");
    assert_snapshot!(failure("exit", json!({ "Code": 3 })), @"1 connector: the connector ended its process with exit code 1 instead of returning");
    assert_snapshot!(failure("fail", json!({ "Kind": "internal", "Message": "" })), @"1 connector: the connector failed without a message");
    assert_snapshot!(failure("fail", json!({ "Kind": "rate-limited", "Message": "slow down", "RetryAfterMs": 61_500 })), @r"
    1 connector, retryable: slow down
    hint: the source asks to wait 62 s before the next try
    ");
    let long = failure("fail", json!({ "Kind": "internal", "Message": "x".repeat(1 << 20) }));
    assert!(long.len() < 10_000, "{} bytes", long.len());
}

#[test]
fn a_wrong_command_line_is_2() {
    let lab = Lab::new();
    let text = |arguments: &[&str]| lab.ow_host(arguments).text();
    assert_snapshot!(text(&["runn"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: unrecognized subcommand 'runn'

      tip: a similar subcommand exists: 'run'

    Usage: ow-host [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    assert_snapshot!(text(&["run", "guest.wasm"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: the following required arguments were not provided:
      --config <FILE>

    Usage: ow-host run --config <FILE> <COMPONENT>

    For more information, try '--help'.
    ");
    assert_snapshot!(text(&["run", "guest.wasm", "--config", "c", "--memory", "lots"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: invalid value 'lots' for '--memory <SIZE>': 'lots' is no size: write a number and a unit, such as '64KiB', '256MiB' or '1GiB'

    For more information, try '--help'.
    ");
    assert_snapshot!(text(&["run", "guest.wasm", "--config", "c", "--type", "REFRESH"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: invalid value 'REFRESH' for '--type <TYPE>': there is no run type 'REFRESH': write one of INCREMENTAL, MANUAL_BACKFILL, FULL_REFRESH, CUSTOM

    For more information, try '--help'.
    ");
    assert_snapshot!(text(&["run", "guest.wasm", "--config", "c", "--allow-net", "ftp://example.com"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: invalid value 'ftp://example.com' for '--allow-net <ORIGIN>': 'ftp://example.com' has the scheme 'ftp', which the gate does not speak: write https://example.com or http://example.com

    For more information, try '--help'.
    ");
    assert_snapshot!(text(&["schema", "storage", "Sqlight"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: there is no storage `Sqlight` (there are Sqlite, LocalFiles, Postgres, GoogleBigQuery, AwsAthena, Discard)
    ");
}

#[test]
fn a_wrong_configuration_is_3() {
    let lab = Lab::new();
    lab.configure(&json!({ "Colour": "blue" }));
    assert_snapshot!(lab.run_component("guest.wasm", &[]).failure(), @r#"
    3 config: cfg.json: 2 problems
      source.config.Behaviour: is required, but missing or empty; add "Behaviour": …, What the run does
      source.config.Colour: expected one of 'red', 'green', found the text 'blue'
    "#);
    lab.write("cfg.json", r#"{"name": "n", "source": {"config": {"Behaviour": "nothing"}}, "storage": {"name": "Sqlite", "config": {"Path": "missing/out.db"}}}"#);
    assert_snapshot!(lab.run_component("guest.wasm", &[]).failure(), @r"
    3 config: storage.config.Path: folder `missing`, where the database is to be, does not exist; create it, or set `Path` to another place
    at: Path
    ");
    lab.write("cfg.json", r#"{"name": "n", "source": {"config": {"Behaviour": "nothing"}}}"#);
    assert_snapshot!(lab.ow_host(&["run", "--config", "cfg.json", "--output", "json"]).failure(), @r"
    3 config: no connector is named
    hint: give the `.wasm` file as an argument, or as `connector.path` in the configuration
    ");
}

#[test]
fn a_file_that_is_no_connector_is_4() {
    let lab = Lab::new();
    lab.configure(&json!({ "Behaviour": "nothing" }));
    lab.write("page.wasm", "<html>");
    assert_eq!(lab.run_component("page.wasm", &[]).code, Some(4));
    assert_eq!(lab.ow_host(&["inspect", "page.wasm"]).code, Some(4));
}

#[test]
fn a_secret_that_may_not_be_shown_is_5() {
    let lab = Lab::new();
    assert_snapshot!(lab.run("nothing", json!({ "SigningKey": "abcdefgh" })).failure(), @r"
    5 denied: cfg.json: source.config.SigningKey: the connector has to see the value of this secret, which is not granted
    at: SigningKey
    hint: if you trust it with the value, grant it: --reveal-secret SigningKey
    ");
}

#[test]
fn a_limit_is_6() {
    assert_eq!(Lab::new().run_with("loop", json!({}), &["--timeout", "100ms"]).code, Some(6));
}

#[test]
fn a_storage_that_fails_is_7() {
    let lab = Lab::new();
    lab.run("write", json!({})).expect_success();
    let database = rusqlite::Connection::open(lab.path("out.db")).unwrap();
    database
        .execute_batch(
            "CREATE TRIGGER no BEFORE INSERT ON numbers BEGIN SELECT RAISE(ABORT, 'not today'); END",
        )
        .unwrap();
    drop(database);
    assert_snapshot!(lab.run("write", json!({ "First": 2 })).failure(), @"7 storage: row 1 of table `numbers` does not fit a constraint of the table: not today");
}

#[test]
fn a_machine_that_fails_is_8() {
    let lab = Lab::new();
    lab.configure(&json!({ "Behaviour": "nothing" }));
    let arguments = ["run", "guest.wasm", "--config", "cfg.json", "--output", "json"];
    let outcome = lab.command(&arguments).env("TMPDIR", "/nowhere").start().wait();
    assert_snapshot!(outcome.failure(), @r#"8 internal: cannot make a scratch folder: No such file or directory (os error 2) at path "/nowhere/ow-host-scratch-[NAME]""#);
}
