//! What stands in the database afterwards.

use std::fmt::Write as _;
use std::process::Command;

use e2e::Lab;
use insta::assert_snapshot;
use serde_json::{Value, json};

fn write(mode: &str, first: u64, rows: u64, text: &str) -> Value {
    json!({ "Behaviour": "write", "Mode": mode, "First": first, "Rows": rows, "Text": text, "Key": true })
}

fn table(lab: &Lab) -> String {
    lab.query("SELECT id, text FROM numbers ORDER BY id")
}

#[test]
fn merge_updates_what_is_there() {
    let lab = Lab::new();
    lab.script(json!([write("merge", 1, 3, "old")]), &[]).expect_success();
    lab.script(json!([write("merge", 3, 2, "first"), write("merge", 4, 2, "last")]), &[]).expect_success();
    assert_snapshot!(table(&lab), @"");
}

#[test]
fn merge_leaves_what_a_json_object_does_not_name() {
    let lab = Lab::new();
    let lines = |lines: &str| {
        json!({
            "Behaviour": "json_lines", "Stream": "people", "Mode": "merge", "Key": ["id"], "Lines": lines,
            "Fields": ["id int64", "name text?", "age int64?", "extra json?"],
        })
    };
    lab.script(json!([lines("{\"id\":1,\"name\":\"Ann\",\"age\":40,\"extra\":{\"a\":[1.50]}}\n\n{\"id\":2,\"name\":\"Bob\"}\n")]), &[])
        .expect_success();
    let second = "{\"id\":1,\"age\":41}\n{\"id\":2,\"name\":null}\n{\"age\":7,\"id\":3}\n{\"id\":2,\"age\":5}";
    lab.script(json!([lines(second)]), &[]).expect_success();
    assert_snapshot!(lab.query("SELECT id, name, age, extra FROM people ORDER BY id"), @"");
}

#[test]
fn append_adds() {
    let lab = Lab::new();
    let append = json!({ "Behaviour": "write", "Rows": 2, "Text": "x" });
    lab.script(json!([append, append]), &[]).expect_success();
    lab.script(json!([append]), &[]).expect_success();
    assert_snapshot!(lab.query("SELECT id, count(*) FROM numbers GROUP BY id"), @"");
}

#[test]
fn replace_replaces_when_the_run_succeeds() {
    let lab = Lab::new();
    lab.script(json!([write("replace", 1, 3, "old")]), &[]).expect_success();
    let steps = json!([write("replace", 10, 1, "new"), { "Behaviour": "commit" }, { "Behaviour": "panic" }]);
    assert_eq!(lab.script(steps, &[]).code, Some(1));
    assert_snapshot!(table(&lab), @"");
    let steps = json!([write("replace", 10, 1, "new"), { "Behaviour": "commit" }, write("replace", 11, 1, "newer")]);
    lab.script(steps, &[]).expect_success();
    assert_snapshot!(table(&lab), @"");
    lab.script(json!([write("replace", 1, 0, "")]), &[]).expect_success();
    assert_eq!(table(&lab), "");
}

#[test]
fn two_runs_of_one_data_mart_do_not_meet() {
    let lab = Lab::new();
    let until_told = json!([write("append", 1, 1, "first"), { "Behaviour": "commit" }, { "Behaviour": "until_cancelled" }]);
    let running = lab.running("script", json!({ "Steps": until_told }), &["--run-id", "the-first"]);
    running.wait_for("\"ready\"");
    assert_snapshot!(lab.script(json!([write("append", 2, 1, "second")]), &[]).failure(), @"");
    lab.script(json!([write("append", 3, 1, "other mart")]), &["--data-mart", "other"]).expect_success();
    running.signal(rustix::process::Signal::INT);
    assert_eq!(running.wait().code, Some(130));
    lab.script(json!([write("append", 4, 1, "later")]), &[]).expect_success();
    assert_snapshot!(table(&lab), @"");
}

#[test]
fn every_value_at_the_edges_is_kept() {
    let lab = Lab::new();
    lab.run("edges", json!({})).expect_success();
    let columns = "boolean, int64, float64, decimal, CASE WHEN length(text) > 100 THEN length(text) ELSE hex(text) END, \
                   bytes, date, timestamp, json";
    assert_snapshot!(lab.query(&format!("SELECT {columns} FROM edges ORDER BY row")), @"");
    assert_snapshot!(lab.query("SELECT sql FROM sqlite_schema WHERE name = 'edges'"), @"");
}

#[test]
fn another_implementation_reads_the_same() {
    let python = Command::new("python3").args(["-c", "import sqlite3"]).output();
    if !python.is_ok_and(|output| output.status.success()) {
        return;
    }
    let lab = Lab::new();
    lab.run("edges", json!({})).expect_success();
    let code = "import sqlite3\n\
                db = sqlite3.connect('out.db')\n\
                print(db.execute('PRAGMA integrity_check').fetchone()[0])\n\
                for row in db.execute('SELECT row, boolean, int64, float64, decimal, length(text), bytes, date, timestamp, json FROM edges ORDER BY row'):\n    \
                    print(row)\n";
    let output = Command::new("python3").args(["-c", code]).current_dir(lab.path("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_snapshot!(String::from_utf8_lossy(&output.stdout), @"");
}

#[test]
fn strange_names_are_names() {
    let lab = Lab::new();
    lab.script(json!([write("append", 1, 1, "still here"), { "Behaviour": "bad_stream", "Case": "quotes" }]), &[])
        .expect_success();
    assert_snapshot!(table(&lab), @"");
    assert_snapshot!(lab.query(r#"SELECT * FROM "ro""ws'; DROP TABLE numbers; --""#), @"");
}

#[test]
fn bad_batches_are_refused_with_their_place() {
    let lab = Lab::new();
    let cases = [
        "lengths", "rows", "type", "columns", "offsets beyond", "offsets descending", "offsets start", "no offsets",
        "utf8", "split character", "validity", "null", "line 3000", "line utf8", "unknown key", "missing key",
        "wrong value", "no object", "deep json",
    ];
    let mut told = String::new();
    for case in cases {
        let _ = writeln!(told, "{case}: {}", lab.run("bad_batch", json!({ "Case": case })).failure());
    }
    assert_snapshot!(told, @"");
    assert_eq!(lab.query("SELECT count(*) FROM bad"), "no such table: bad");
}

#[test]
fn bad_streams_are_refused_by_name() {
    let lab = Lab::new();
    let cases = [
        "no fields", "duplicates", "nul in field", "nul in stream", "empty name", "long name", "key unknown",
        "key nullable", "merge without key", "decimal", "own table", "sqlite table", "reopened",
    ];
    let mut told = String::new();
    for case in cases {
        let _ = writeln!(told, "{case}: {}", lab.run("bad_stream", json!({ "Case": case })).failure());
    }
    assert_snapshot!(told, @"");
}

#[test]
fn a_refused_batch_alone_does_not_end_the_run() {
    let lab = Lab::new();
    let step = json!({ "Behaviour": "bad_batch", "Case": "utf8" });
    let outcome = lab.run("swallow", json!({ "Step": step })).success();
    assert_snapshot!(lab.query("SELECT * FROM bad"), @"");
    assert_snapshot!(outcome.log(), @"");
}

#[test]
fn a_failure_of_the_storage_cannot_be_swallowed() {
    let lab = Lab::new();
    let text = json!({
        "Behaviour": "json_lines", "Stream": "t", "Mode": "append", "Fields": ["id int64", "v float64?"], "Lines": "{\"id\":1,\"v\":1.5}",
    });
    lab.script(json!([text]), &[]).expect_success();
    let mut changed = text;
    changed["Fields"] = json!(["id int64", "v bytes?"]);
    changed["Lines"] = json!("{\"id\":2,\"v\":\"AAAA\"}");
    let outcome = lab.script(json!([{ "Behaviour": "swallow", "Step": changed }]), &[]);
    assert_snapshot!(outcome.failure(), @"");
    assert_snapshot!(lab.query("SELECT * FROM t"), @"");
}

#[test]
fn a_database_that_is_none_is_left_alone() {
    let lab = Lab::new();
    lab.write("out.db", "this is a letter, not a database, and it is longer than a header would be");
    assert_snapshot!(lab.run("nothing", json!({})).failure(), @"");
    assert!(lab.read("out.db").starts_with("this is a letter"));
}

#[test]
fn without_a_storage_rows_go_to_the_current_folder() {
    let lab = Lab::new();
    lab.write("cfg.json", r#"{"name": "mart", "source": {"config": {"Behaviour": {"value": "write"}}}}"#);
    let outcome = lab.run_component("guest.wasm", &[]).success();
    assert_snapshot!(outcome.log(), @"");
    assert!(lab.path("ow.db").exists());
}

#[test]
fn discard_keeps_nothing() {
    let lab = Lab::new();
    let mut config = e2e::lab::configuration(&json!({ "Behaviour": "write", "Rows": 1000 }));
    config["storage"] = json!({ "name": "Discard", "config": {} });
    lab.write("cfg.json", config.to_string());
    let outcome = lab.run_component("guest.wasm", &[]).success();
    assert_eq!(outcome.report()["streams"][0]["rows"], 1000);
    assert!(!lab.path("out.db").exists() && !lab.path("ow.db").exists());
}

#[test]
fn the_load_history_tells_how_runs_went() {
    let lab = Lab::new();
    lab.script(json!([write("append", 1, 3, "x")]), &["--run-id", "good"]).expect_success();
    let fail = json!({ "Behaviour": "fail", "Kind": "unavailable", "Message": "the source is down" });
    assert_eq!(lab.script(json!([write("append", 4, 3, "x"), fail]), &["--run-id", "bad"]).code, Some(1));
    let sql = r#"SELECT run_id, data_mart_id, connector, run_type, status, "rows", commits, error FROM _ow_runs ORDER BY id"#;
    assert_snapshot!(lab.query(sql), @"");
}
