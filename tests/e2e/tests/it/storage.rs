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
    assert_snapshot!(table(&lab), @r"
    1|old
    2|old
    3|first
    4|last
    5|last
    ");
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
    lab.script(
        json!([lines(
            "{\"id\":1,\"name\":\"Ann\",\"age\":40,\"extra\":{\"a\":[1.50]}}\n\n{\"id\":2,\"name\":\"Bob\"}\n"
        )]),
        &[],
    )
    .expect_success();
    let second =
        "{\"id\":1,\"age\":41}\n{\"id\":2,\"name\":null}\n{\"age\":7,\"id\":3}\n{\"id\":2,\"age\":5}";
    lab.script(json!([lines(second)]), &[]).expect_success();
    assert_snapshot!(lab.query("SELECT id, name, age, extra FROM people ORDER BY id"), @r#"
    1|Ann|41|{"a":[1.50]}
    2|NULL|5|NULL
    3|NULL|7|NULL
    "#);
}

#[test]
fn append_adds() {
    let lab = Lab::new();
    let append = json!({ "Behaviour": "write", "Rows": 2, "Text": "x" });
    lab.script(json!([append, append]), &[]).expect_success();
    lab.script(json!([append]), &[]).expect_success();
    assert_snapshot!(lab.query("SELECT id, count(*) FROM numbers GROUP BY id"), @r"
    1|3
    2|3
    ");
}

#[test]
fn replace_replaces_when_the_run_succeeds() {
    let lab = Lab::new();
    lab.script(json!([write("replace", 1, 3, "old")]), &[]).expect_success();
    let steps = json!([write("replace", 10, 1, "new"), { "Behaviour": "commit" }, { "Behaviour": "panic" }]);
    assert_eq!(lab.script(steps, &[]).code, Some(1));
    assert_snapshot!(table(&lab), @r"
    1|old
    2|old
    3|old
    ");
    let steps =
        json!([write("replace", 10, 1, "new"), { "Behaviour": "commit" }, write("replace", 11, 1, "newer")]);
    lab.script(steps, &[]).expect_success();
    assert_snapshot!(table(&lab), @r"
    10|new
    11|newer
    ");
    lab.script(json!([write("replace", 1, 0, "")]), &[]).expect_success();
    assert_eq!(table(&lab), "");
}

#[test]
fn two_runs_of_one_data_mart_do_not_meet() {
    let lab = Lab::new();
    let until_told = json!([write("append", 1, 1, "first"), { "Behaviour": "commit" }, { "Behaviour": "until_cancelled" }]);
    let running = lab.running("script", json!({ "Steps": until_told }), &["--run-id", "the-first"]);
    running.wait_for("\"ready\"");
    assert_snapshot!(lab.script(json!([write("append", 2, 1, "second")]), &[]).failure(), @"7 storage, retryable: data mart `mart` is being written by run `the-first` (process [PID]); wait until that run ends, or stop it");
    lab.script(json!([write("append", 3, 1, "other mart")]), &["--data-mart", "other"]).expect_success();
    running.signal(rustix::process::Signal::INT);
    assert_eq!(running.wait().code, Some(130));
    lab.script(json!([write("append", 4, 1, "later")]), &[]).expect_success();
    assert_snapshot!(table(&lab), @r"
    1|first
    3|other mart
    4|later
    ");
}

#[test]
fn every_value_at_the_edges_is_kept() {
    let lab = Lab::new();
    lab.run("edges", json!({})).expect_success();
    let columns = "boolean, int64, float64, decimal, CASE WHEN length(text) > 100 THEN length(text) ELSE hex(text) END, \
                   bytes, date, timestamp, json";
    assert_snapshot!(lab.query(&format!("SELECT {columns} FROM edges ORDER BY row")), @r#"
    0|-9223372036854775808|2.2250738585072014e-308|-9999999999999999999999999999.9999999999||x''|0001-01-01|0001-01-01T00:00:00.000000Z|{"a": [1, 2.50, null]}
    1|9223372036854775807|1.7976931348623157e308|9999999999999999999999999999.9999999999|61006220F09F9880202771756F746564272022746F6F220A0D09|x'00fffe'|9999-12-31|9999-12-31T23:59:59.999999Z|12345678901234567890.123
    0|0|-0.1|0.0000000001|3145728|x'6279746573'|1970-01-01|1970-01-01T00:00:00.000001Z|"text"
    NULL|NULL|NULL|NULL||NULL|NULL|NULL|NULL
    "#);
    assert_snapshot!(lab.query("SELECT sql FROM sqlite_schema WHERE name = 'edges'"), @r#"CREATE TABLE "edges" ("row" INTEGER, "boolean" INTEGER, "int64" INTEGER, "float64" REAL, "decimal" TEXT, "text" TEXT, "bytes" BLOB, "date" TEXT, "timestamp" TEXT, "json" TEXT) STRICT"#);
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
    assert_snapshot!(String::from_utf8_lossy(&output.stdout), @r#"
    ok
    (1, 0, -9223372036854775808, 2.2250738585072014e-308, '-9999999999999999999999999999.9999999999', 0, b'', '0001-01-01', '0001-01-01T00:00:00.000000Z', '{"a": [1, 2.50, null]}')
    (2, 1, 9223372036854775807, 1.7976931348623157e+308, '9999999999999999999999999999.9999999999', 1, b'\x00\xff\xfe', '9999-12-31', '9999-12-31T23:59:59.999999Z', '12345678901234567890.123')
    (3, 0, 0, -0.1, '0.0000000001', 3145728, b'bytes', '1970-01-01', '1970-01-01T00:00:00.000001Z', '"text"')
    (4, None, None, None, None, None, None, None, None, None)
    "#);
}

#[test]
fn strange_names_are_names() {
    let lab = Lab::new();
    lab.script(
        json!([write("append", 1, 1, "still here"), { "Behaviour": "bad_stream", "Case": "quotes" }]),
        &[],
    )
    .expect_success();
    assert_snapshot!(table(&lab), @"1|still here");
    assert_snapshot!(lab.query(r#"SELECT * FROM "ro""ws'; DROP TABLE numbers; --""#), @"value 1|value 2|value 3|value 4|value 5");
}

#[test]
fn bad_batches_are_refused_with_their_place() {
    let lab = Lab::new();
    let cases = [
        "lengths",
        "rows",
        "type",
        "columns",
        "offsets beyond",
        "offsets descending",
        "offsets start",
        "no offsets",
        "utf8",
        "split character",
        "validity",
        "null",
        "line 3000",
        "line utf8",
        "unknown key",
        "missing key",
        "wrong value",
        "no object",
        "deep json",
    ];
    let mut told = String::new();
    for case in cases {
        let _ = writeln!(told, "{case}: {}", lab.run("bad_batch", json!({ "Case": case })).failure());
    }
    assert_snapshot!(told, @r"
    lengths: 1 connector: the column 'text' of the stream 'bad' has 3 offsets, but 3 rows need 4
    rows: 6 limit: a batch of the stream 'bad' has 4294967295 rows; the limit is 1000000 (raise it with --batch-rows)
    type: 1 connector: the column 'id' of the stream 'bad' holds 64-bit floating-point numbers, but the field is int64
    columns: 1 connector: a batch of the stream 'bad' has 1 columns, but the stream has 2 fields
    offsets beyond: 1 connector: the column 'text' of the stream 'bad' has offsets that end at 4000000000, but 2 bytes of data
    offsets descending: 1 connector: the column 'text' of the stream 'bad' has offsets that go back after row 1
    offsets start: 1 connector: the column 'text' of the stream 'bad' has offsets that do not start at 0
    no offsets: 1 connector: the column 'text' of the stream 'bad' has 0 offsets, but 2 rows need 3
    utf8: 1 connector: the column 'text' of the stream 'bad' holds text that is not UTF-8 in row 1
    split character: 1 connector: the column 'text' of the stream 'bad' holds text that is not UTF-8 in row 0
    validity: 1 connector: the column 'text' of the stream 'bad' has 0 bytes of validity, but 2 rows need 1
    null: 1 connector: the column 'id' of the stream 'bad' is null in row 1, but the field is not nullable
    line 3000: 1 connector: line 3000 of a batch of JSON lines for the stream 'bad': EOF while parsing a string (column 20)
    line utf8: 1 connector: line 1 of a batch of JSON lines for the stream 'bad': the bytes from position 16 are not UTF-8
    unknown key: 1 connector: line 1 of a batch of JSON lines for the stream 'bad': the key 'txet' is no field of the stream (column 14)
    missing key: 1 connector: line 1 of a batch of JSON lines for the stream 'bad': the field 'id' is missing, but it is not nullable
    wrong value: 1 connector: line 1 of a batch of JSON lines for the stream 'bad': the field 'id' is int64, but the value is the text 'one' (column 11)
    no object: 1 connector: line 1 of a batch of JSON lines for the stream 'bad': invalid type: sequence, expected a JSON object
    deep json: 1 connector: line 1 of a batch of JSON lines for the stream 'bad': the field 'text' is text, but the value is an array (column 16)
    ");
    assert_eq!(lab.query("SELECT count(*) FROM bad"), "no such table: bad");
}

#[test]
fn bad_streams_are_refused_by_name() {
    let lab = Lab::new();
    let cases = [
        "no fields",
        "duplicates",
        "nul in field",
        "nul in stream",
        "empty name",
        "long name",
        "key unknown",
        "key nullable",
        "merge without key",
        "decimal",
        "own table",
        "sqlite table",
        "reopened",
    ];
    let mut told = String::new();
    for case in cases {
        let _ = writeln!(told, "{case}: {}", lab.run("bad_stream", json!({ "Case": case })).failure());
    }
    assert_snapshot!(told, @r"
    no fields: 1 connector: the stream 'bad' has no fields
    duplicates: 1 connector: the stream 'bad' has the field 'NAME' twice (names that differ in case alone are the same to a database)
    nul in field: 1 connector: the name of a field of the stream 'bad' holds a control character: 'name'
    nul in stream: 1 connector: the name of a stream holds a control character: 'bad'
    empty name: 1 connector: the name of a stream is empty: ''
    long name: 1 connector: the name of a stream is longer than 255 bytes: 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn'
    key unknown: 1 connector: the stream 'bad' has no field 'id', which its primary key names
    key nullable: 1 connector: the field 'name' of the stream 'bad' is part of the primary key and must not be nullable
    merge without key: 1 connector: the stream 'bad' has no primary key, which merge needs
    decimal: 1 connector: the field 'd' of the stream 'bad' is decimal(39, 2); the precision must be 1 to 38, the scale 0 to the precision
    own table: 7 storage: the name of table `_ow_state` starts with `_ow_`, which ow-host keeps for its own tables; rename the stream, or change `TablePrefix`
    sqlite table: 7 storage: the name of table `sqlite_master` starts with `sqlite_`, which SQLite keeps for itself; rename the stream, or change `TablePrefix`
    reopened: 1 connector: the stream 'bad' is open with other fields or another mode
    ");
}

#[test]
fn a_refused_batch_cannot_be_swallowed() {
    let lab = Lab::new();
    let step = json!({ "Behaviour": "bad_batch", "Case": "utf8" });
    let outcome = lab.run("swallow", json!({ "Step": step }));
    assert_snapshot!(outcome.failure(), @r"
    1 connector: the connector went on although 1 of its batches were refused: the column 'text' of the stream 'bad' holds text that is not UTF-8 in row 1
    hint: the refused rows are missing; report it to the connector's author
    ");
    assert_snapshot!(lab.query("SELECT count(*) FROM sqlite_master WHERE name = 'bad'"), @"0");
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
    assert_snapshot!(outcome.failure(), @"7 storage: column `v` of table `t` is float64 and the stream has bytes, and no type holds both without a loss; run a full refresh, which builds the table anew, or give the field a new name");
    assert_snapshot!(lab.query("SELECT * FROM t"), @"1|1.5");
}

#[test]
fn a_database_that_is_none_is_left_alone() {
    let lab = Lab::new();
    lab.write("out.db", "this is a letter, not a database, and it is longer than a header would be");
    assert_snapshot!(lab.run("nothing", json!({})).failure(), @r"
    3 config: storage.config.Path: file `out.db` is not an SQLite database; set `Path` to another file
    at: Path
    ");
    assert!(lab.read("out.db").starts_with("this is a letter"));
}

#[test]
fn without_a_storage_rows_go_to_the_current_folder() {
    let lab = Lab::new();
    lab.write("cfg.json", r#"{"name": "mart", "source": {"config": {"Behaviour": {"value": "write"}}}}"#);
    let outcome = lab.run_component("guest.wasm", &[]).success();
    assert_snapshot!(outcome.log(), @"info host: no storage is configured: writing to ow.db in the current folder");
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
    assert_snapshot!(lab.query(sql), @r#"
    good|mart|test-guest 1.2.3|INCREMENTAL|succeeded|{"numbers":3}|1|NULL
    bad|mart|test-guest 1.2.3|INCREMENTAL|failed|{}|0|the source is down
    "#);
}
