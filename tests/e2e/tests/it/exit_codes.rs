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
        "config", "auth", "rate-limited", "unavailable", "invalid-data", "denied", "limit-exceeded", "cancelled", "internal",
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
    assert_snapshot!(told, @"");
}

#[test]
fn a_connector_that_breaks_is_1() {
    let failure = |behaviour: &str, parameters: Value| Lab::new().run(behaviour, parameters).failure();
    assert_snapshot!(failure("panic", json!({ "Message": "the page has no number" })), @"");
    assert_snapshot!(failure("panic", json!({ "Message": "two\nlines \u{1b}[31mred" })), @"");
    assert_snapshot!(failure("exit", json!({ "Code": 0 })), @"");
    assert_snapshot!(failure("exit", json!({ "Code": 3 })), @"");
    assert_snapshot!(failure("fail", json!({ "Kind": "internal", "Message": "" })), @"");
    assert_snapshot!(failure("fail", json!({ "Kind": "rate-limited", "Message": "slow down", "RetryAfterMs": 61_500 })), @"");
    let long = failure("fail", json!({ "Kind": "internal", "Message": "x".repeat(1 << 20) }));
    assert!(long.len() < 10_000, "{} bytes", long.len());
}

#[test]
fn a_wrong_command_line_is_2() {
    let lab = Lab::new();
    let text = |arguments: &[&str]| lab.ow_host(arguments).text();
    assert_snapshot!(text(&["runn"]), @"");
    assert_snapshot!(text(&["run", "guest.wasm"]), @"");
    assert_snapshot!(text(&["run", "guest.wasm", "--config", "c", "--memory", "lots"]), @"");
    assert_snapshot!(text(&["run", "guest.wasm", "--config", "c", "--type", "REFRESH"]), @"");
    assert_snapshot!(text(&["run", "guest.wasm", "--config", "c", "--allow-net", "ftp://example.com"]), @"");
    assert_snapshot!(text(&["schema", "storage", "Sqlight"]), @"");
}

#[test]
fn a_wrong_configuration_is_3() {
    let lab = Lab::new();
    lab.configure(&json!({ "Colour": "blue" }));
    assert_snapshot!(lab.run_component("guest.wasm", &[]).failure(), @"");
    lab.write("cfg.json", r#"{"name": "n", "source": {"config": {"Behaviour": "nothing"}}, "storage": {"name": "Sqlite", "config": {"Path": "missing/out.db"}}}"#);
    assert_snapshot!(lab.run_component("guest.wasm", &[]).failure(), @"");
    lab.write("cfg.json", r#"{"name": "n", "source": {"config": {"Behaviour": "nothing"}}}"#);
    assert_snapshot!(lab.ow_host(&["run", "--config", "cfg.json", "--output", "json"]).failure(), @"");
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
    assert_snapshot!(lab.run("nothing", json!({ "SigningKey": "abcdefgh" })).failure(), @"");
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
    database.execute_batch("CREATE TRIGGER no BEFORE INSERT ON numbers BEGIN SELECT RAISE(ABORT, 'not today'); END").unwrap();
    drop(database);
    assert_snapshot!(lab.run("write", json!({ "First": 2 })).failure(), @"");
}

#[test]
fn a_machine_that_fails_is_8() {
    let lab = Lab::new();
    lab.configure(&json!({ "Behaviour": "nothing" }));
    let arguments = ["run", "guest.wasm", "--config", "cfg.json", "--output", "json"];
    let outcome = lab.command(&arguments).env("TMPDIR", "/nowhere").start().wait();
    assert_snapshot!(outcome.failure(), @"");
}
