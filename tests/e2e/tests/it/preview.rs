//! The first rows, without a storage.

use e2e::Lab;
use e2e::lab::{Outcome, configuration};
use insta::assert_snapshot;
use rustix::process::Signal;
use serde_json::{Value, json};

/// Previews the test guest, which takes steps, in a terminal of 60 columns.
fn preview(lab: &Lab, steps: Value, flags: &[&str]) -> Outcome {
    lab.configure(&json!({ "Behaviour": "script", "Steps": steps, "Password": "hunter2hunter2" }));
    preview_as_configured(lab, flags)
}

fn preview_as_configured(lab: &Lab, flags: &[&str]) -> Outcome {
    let arguments = [&["preview", "guest.wasm", "--config", "cfg.json"], flags].concat();
    let outcome = lab.command(&arguments).env("COLUMNS", "60").start().wait();
    assert!(!lab.path("out.db").exists(), "a preview opened the storage");
    outcome
}

#[test]
fn rows_of_every_stream_without_a_storage() {
    let lab = Lab::new();
    let steps = json!([
        { "Behaviour": "write", "Rows": 3, "Text": "a text that is longer than there is room for" },
        { "Behaviour": "commit" },
        { "Behaviour": "write", "Rows": 1, "Stream": "others", "Mode": "merge" },
        { "Behaviour": "get", "Key": "numbers" },
    ]);
    assert_snapshot!(preview(&lab, steps, &[]).text(), @r#"
    exit 0
    --- stdout
    numbers (append-only): 3 rows, no more
       id │ square │ text
    int64 │  int64 │ text
    ──────┼────────┼────────────────────────────────────────────
        1 │      1 │ a text that is longer than there is room f…
        2 │      4 │ a text that is longer than there is room f…
        3 │      9 │ a text that is longer than there is room f…

    seen (append-only): 1 row, no more
    name    │ value
    text    │ text
    ────────┼────────
    numbers │ nothing

    others (key id): 1 row, no more
       id │ square │ text
    int64 │  int64 │ text
    ──────┼────────┼─────
        1 │      1 │ ""
    --- stderr
    "#);
}

#[test]
fn a_connector_that_would_go_on_for_ever_is_stopped_and_that_is_success() {
    let lab = Lab::new();
    let first_rows = "\
numbers (append-only): the first 2 rows
   id │ square │ text
int64 │  int64 │ text
──────┼────────┼─────
    1 │      1 │ \"\"
    2 │      4 │ \"\"
";
    // It says that it was cancelled, notices nothing, or fails because of it.
    for last in [
        json!({ "Behaviour": "until_cancelled" }),
        json!({ "Behaviour": "sleep_for_ever" }),
        json!({ "Behaviour": "write", "Rows": 1, "Batches": 1_000_000_000 }),
    ] {
        let steps = json!([{ "Behaviour": "write", "Rows": 5 }, last]);
        let outcome = preview(&lab, steps, &["--stream", "numbers", "--limit", "2", "--grace", "200ms"]);
        outcome.expect_success();
        assert_eq!(outcome.stdout, first_rows);
    }
}

#[test]
fn rows_as_json_lines() {
    let lab = Lab::new();
    let fields = ["id int64", "price money?", "day date?", "at timestamp?", "raw json?", "text text?"];
    let lines = [
        r#"{"id": 1, "price": 1.5, "day": "2024-02-29", "at": "2024-02-29T12:00:00Z", "raw": {"b": [1.50], "a": null}, "text": ""}"#,
        r#"{"id": 2, "text": "line\nline \u001b[31mred \u009b\u202e"}"#,
    ];
    let steps = json!([
        { "Behaviour": "json_lines", "Stream": "numbers", "Fields": fields, "Lines": lines.join("\n") },
    ]);
    let outcome = preview(&lab, steps.clone(), &["--output", "json"]).success();
    assert_snapshot!(outcome.stdout, @r#"
    {"stream":"numbers","row":{"id":1,"price":"1.50","day":"2024-02-29","at":"2024-02-29T12:00:00.000000Z","raw":{"b": [1.50], "a": null},"text":""}}
    {"stream":"numbers","row":{"id":2,"price":null,"day":null,"at":null,"raw":null,"text":"line\nline \u001b[31mred \u009b\u202e"}}
    "#);
    assert_eq!(outcome.stderr, "");
    assert_eq!(outcome.events()[1]["row"]["text"], "line\nline \u{1b}[31mred \u{9b}\u{202e}");

    let outcome = preview(&lab, steps, &["--stream", "numbers"]).success();
    assert_snapshot!(outcome.stdout, @r#"
    numbers (append-only): 2 rows, no more
       id │    price │ day      │ at       │ raw      │ text
    int64 │ decimal… │ date     │ timesta… │ json     │ text
    ──────┼──────────┼──────────┼──────────┼──────────┼─────────
        1 │     1.50 │ 2024-02… │ 2024-02… │ {"b": [… │ ""
        2 │     NULL │ NULL     │ NULL     │ NULL     │ line\nl…
    "#);
}

#[test]
fn the_state_is_what_the_command_line_says() {
    let lab = Lab::new();
    let count = json!({ "Behaviour": "count", "Until": 20, "Stream": "numbers" });
    lab.configure(&count);
    lab.run_component("guest.wasm", &[]).expect_success();
    let (stored, rows) = (lab.state(), lab.query("SELECT count(*) FROM numbers"));

    let preview = |flags: &[&str]| {
        let arguments = ["preview", "guest.wasm", "--config", "cfg.json", "--output", "json", "--limit", "1"];
        let outcome = lab.ow_host(&[&arguments, flags].concat()).success();
        outcome.events()[0]["row"]["id"].clone()
    };
    assert_eq!(preview(&["--stream", "numbers"]), 0, "the stored state was read");
    lab.write("state.json", r#"{"numbers": 7}"#);
    assert_eq!(preview(&["--stream", "numbers", "--state", "state.json"]), 7);
    assert_eq!((lab.state(), lab.query("SELECT count(*) FROM numbers")), (stored, rows));
}

#[test]
fn secrets_are_not_shown() {
    let lab = Lab::new();
    // A secret that the guest may see, spelt in three ways.
    let lines = [
        r#"{"id": 1, "raw": {"a": "s3cret-s3cret"}, "text": "my s3cret-s3cret"}"#,
        r#"{"id": 2, "raw": ["s3cret\u002ds3cret"], "text": "x"}"#,
    ];
    let steps = json!([
        { "Behaviour": "json_lines", "Stream": "numbers", "Fields": ["id int64", "raw json", "text text"],
          "Lines": lines.join("\n") },
    ]);
    lab.configure(&json!({ "Behaviour": "script", "Steps": steps, "SigningKey": "s3cret-s3cret" }));
    for flags in [&["--output", "json"][..], &[]] {
        let flags = [&["--reveal-secret", "SigningKey", "--stream", "numbers"], flags].concat();
        let outcome = preview_as_configured(&lab, &flags).success();
        assert_eq!(outcome.stdout.matches("***").count(), 3, "{}", outcome.stdout);
        assert!(!outcome.stdout.contains("s3cret"), "{}", outcome.stdout);
    }
}

#[test]
fn a_stream_that_there_is_not() {
    let lab = Lab::new();
    let steps = json!([{ "Behaviour": "write", "Rows": 3 }]);
    assert_snapshot!(preview(&lab, steps, &["--stream", "nubmers"]).text(), @r#"
    exit 2
    --- stdout
    --- stderr
    error: with this configuration the connector has no stream 'nubmers': did you mean 'numbers'?
    hint: there are numbers, seen
    "#);
}

#[test]
fn a_connector_that_fails_shows_what_it_had() {
    let lab = Lab::new();
    let steps = json!([
        { "Behaviour": "write", "Rows": 2 },
        { "Behaviour": "fail", "Kind": "auth", "Message": "the source refused hunter2hunter2" },
    ]);
    assert_snapshot!(preview(&lab, steps, &["--stream", "numbers"]).text(), @r#"
    exit 1
    --- stdout
    numbers (append-only): the first 2 rows, before the run failed
       id │ square │ text
    int64 │  int64 │ text
    ──────┼────────┼─────
        1 │      1 │ ""
        2 │      4 │ ""
    --- stderr
    error: [connector] the source refused ***
    hint: check the credentials in the configuration
    "#);
    // What fails only because it has been stopped is no failure.
    let enough = json!([
        { "Behaviour": "write", "Rows": 2 },
        { "Behaviour": "write", "Rows": 2 },
        { "Behaviour": "fail", "Kind": "internal", "Message": "the storage is gone" },
    ]);
    preview(&lab, enough, &["--stream", "numbers", "--limit", "2"]).expect_success();
}

#[test]
fn an_interrupt_is_an_interrupt() {
    let lab = Lab::new();
    let steps = json!([{ "Behaviour": "write", "Rows": 2 }, { "Behaviour": "until_cancelled" }]);
    lab.configure(&json!({ "Behaviour": "script", "Steps": steps }));
    let running = lab.command(&["preview", "guest.wasm", "--config", "cfg.json"]).start();
    running.wait_for("ready");
    running.signal(Signal::INT);
    let outcome = running.wait();
    assert_eq!(outcome.code, Some(130));
    assert!(
        outcome.stdout.starts_with("numbers (append-only): the first 2 rows, before"),
        "{}",
        outcome.stdout
    );
    assert!(outcome.stderr.contains("error: [connector] stopped as asked"), "{}", outcome.stderr);
}

#[test]
fn the_storage_of_the_configuration_is_no_matter() {
    let lab = Lab::new();
    let mut config = configuration(&json!({ "Behaviour": "write", "Rows": 1 }));
    config["storage"] = json!({
        "name": "Postgres",
        "config": { "Url": { "env": "NOT_SET" } },
        "contracts": { "*": { "table": "freeze" } },
    });
    lab.write("cfg.json", config.to_string());
    preview_as_configured(&lab, &[]).expect_success();
    assert_eq!(lab.ow_host(&["validate", "guest.wasm", "--config", "cfg.json"]).code, Some(3));
}

#[test]
fn rows_of_an_sdk_connector_come_before_a_batch_is_full() {
    let lab = Lab::new();
    lab.take(&e2e::build::connector("payments-directory"), "payments.wasm");
    for file in 0..3 {
        let payment = json!({
            "reference": format!("r{file}"), "created_at": "2024-02-29T12:00:00Z", "amount": file,
            "asset": "EUR/2", "type": "PAY-IN", "status": "SUCCEEDED",
        });
        lab.write(&format!("in/{file}.json"), payment.to_string());
    }
    // The third file would fail the run.
    lab.write("in/2.json", "{");
    let config =
        json!({ "name": "mart", "source": { "config": {} }, "sandbox": { "mounts": ["in:/payments"] } });
    lab.write("cfg.json", config.to_string());
    let preview = |limit: &str| {
        let arguments =
            ["preview", "payments.wasm", "--config", "cfg.json", "--output", "json", "--limit", limit];
        lab.ow_host(&arguments)
    };
    let enough = preview("2").success();
    let references: Vec<Value> = enough.events().iter().map(|row| row["row"]["reference"].clone()).collect();
    assert_eq!(references, ["r0", "r1"]);
    assert_eq!(preview("3").code, Some(1));
}
