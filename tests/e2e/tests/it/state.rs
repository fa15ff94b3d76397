//! State and the four types of runs.

use e2e::Lab;
use insta::assert_snapshot;
use serde_json::{Value, json};

fn count(until: u64) -> Value {
    json!({ "Behaviour": "count", "Until": until, "Rows": 10 })
}

fn ids(lab: &Lab) -> String {
    lab.query("SELECT count(*), count(DISTINCT id), min(id), max(id) FROM numbers")
}

#[test]
fn an_incremental_run_goes_on_where_the_last_one_stopped() {
    let lab = Lab::new();
    lab.script(json!([count(25)]), &[]).expect_success();
    assert_eq!(lab.state(), json!({ "numbers": 25 }));
    let outcome = lab.script(json!([count(40)]), &[]).success();
    assert_eq!(outcome.log(), "info connector: counting from 25");
    assert_snapshot!(ids(&lab), @"40|40|0|39");
    assert_eq!(lab.state(), json!({ "numbers": 40 }));
}

#[test]
fn what_was_set_without_a_commit_is_kept_when_the_run_ends_well() {
    let lab = Lab::new();
    let set = json!({ "Behaviour": "set", "Key": "k", "Json": "{\"page\": [1, 2.50]}" });
    lab.script(json!([set, { "Behaviour": "write", "Rows": 3 }]), &[]).expect_success();
    assert_eq!(lab.state(), json!({ "k": { "page": [1, 2.5] } }));
    assert_snapshot!(ids(&lab), @"3|3|1|3");

    let failing = json!([
        { "Behaviour": "set", "Key": "k", "Json": "2" },
        { "Behaviour": "write", "Rows": 5, "First": 100 },
        { "Behaviour": "fail", "Kind": "internal", "Message": "no" },
    ]);
    assert_eq!(lab.script(failing, &[]).code, Some(1));
    assert_eq!(lab.state(), json!({ "k": { "page": [1, 2.5] } }));
    assert_snapshot!(ids(&lab), @"3|3|1|3");

    lab.script(json!([{ "Behaviour": "set", "Key": "k", "Json": "null" }]), &[]).expect_success();
    assert_eq!(lab.state(), json!({}));
}

#[test]
fn a_backfill_starts_from_nothing_and_leaves_the_state() {
    let lab = Lab::new();
    lab.script(json!([count(20)]), &[]).expect_success();
    let outcome = lab.script(json!([count(10)]), &["--type", "MANUAL_BACKFILL"]).success();
    assert_eq!(outcome.log(), "info connector: counting from 0");
    assert_eq!(lab.state(), json!({ "numbers": 20 }));
    assert_snapshot!(ids(&lab), @"30|20|0|19");
}

#[test]
fn a_backfill_may_override_what_the_schema_lets_it() {
    let lab = Lab::new();
    lab.run_with("environment", json!({}), &["--set", "StartDate=2025-02-03"]).expect_success();
    let variable = lab.query("SELECT value FROM seen WHERE name = 'OW_RUN_CONFIG'");
    assert_snapshot!(variable, @r#"{"type":"MANUAL_BACKFILL","data":[{"configField":"StartDate","value":"2025-02-03"}],"state":{}}"#);
    assert_snapshot!(lab.query("SELECT value FROM seen WHERE name = 'OW_CONFIG'"), @r#"{"name":"mart","source":{"config":{"Behaviour":{"value":"environment"},"StartDate":{"value":"2025-02-03"}},"name":"Test"},"storage":{"name":"Sqlite"}}"#);
    let failure = |set: &str| lab.run_with("nothing", json!({}), &["--set", set]).failure();
    assert_snapshot!(failure("StartDate=yesterday"), @r"
    3 config: cfg.json: --set StartDate: expected a date as YYYY-MM-DD, found the text 'yesterday'
    at: StartDate
    ");
    assert_snapshot!(failure("StratDate=2025-02-03"), @r"
    3 config: cfg.json: --set StratDate: there is no parameter 'StratDate'
    hint: did you mean 'StartDate'?
    ");
    assert_snapshot!(failure("Behaviour=panic"), @r"
    3 config: cfg.json: --set Behaviour: a run may not override 'Behaviour'
    at: Behaviour
    hint: it may override 'Rows', 'StartDate'
    ");
}

#[test]
fn a_full_refresh_replaces_the_table_when_it_succeeds() {
    let lab = Lab::new();
    let write = |first: u64, rows: u64| json!({ "Behaviour": "write", "First": first, "Rows": rows });
    let set = |json: &str| json!({ "Behaviour": "set", "Key": "numbers", "Json": json });
    let commit = json!({ "Behaviour": "commit" });
    lab.script(json!([write(1, 5), set("5")]), &[]).expect_success();

    let refresh = ["--type", "FULL_REFRESH"];
    let failing = json!([
        { "Behaviour": "get", "Key": "numbers" },
        write(100, 3),
        set("103"),
        commit,
        { "Behaviour": "panic", "Message": "half way" },
    ]);
    let outcome = lab.script(failing, &refresh);
    assert_eq!(outcome.code, Some(1));
    assert_snapshot!(ids(&lab), @"5|5|1|5");
    assert_eq!(lab.state(), json!({ "numbers": 5 }));
    assert_eq!(lab.seen(), "no such table: seen");
    assert_eq!(outcome.report()["streams"][0]["committed_rows"], 0);

    let steps =
        json!([{ "Behaviour": "get", "Key": "numbers" }, write(100, 3), set("103"), commit, write(103, 1)]);
    let outcome = lab.script(steps, &refresh).success();
    assert_snapshot!(ids(&lab), @"4|4|100|103");
    assert_eq!(lab.state(), json!({ "numbers": 103 }));
    assert_eq!(lab.seen(), "numbers|nothing");
    assert_eq!(outcome.report()["streams"][0]["committed_rows"], 4);
}

#[test]
fn readers_see_the_rows_of_before_until_a_full_refresh_succeeds() {
    let lab = Lab::new();
    lab.script(json!([count(20)]), &[]).expect_success();
    let steps = json!([
        { "Behaviour": "write", "First": 500, "Rows": 7 },
        { "Behaviour": "commit" },
        { "Behaviour": "log" },
        { "Behaviour": "sleep_for_ever" },
    ]);
    let running = lab.running("script", json!({ "Steps": steps }), &["--type", "FULL_REFRESH"]);
    running.wait_for("0 xxxxxxxxxx");
    assert_snapshot!(ids(&lab), @"20|20|0|19");
    running.signal(rustix::process::Signal::KILL);
    assert_eq!(running.wait().code, None);
    assert_snapshot!(ids(&lab), @"20|20|0|19");
    assert_eq!(lab.state(), json!({ "numbers": 20 }));

    // What the killed run left behind is in nobody's way.
    lab.script(json!([{ "Behaviour": "write", "First": 500, "Rows": 7 }]), &["--type", "FULL_REFRESH"])
        .expect_success();
    assert_snapshot!(ids(&lab), @"7|7|500|506");
    let tables = lab.query(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name",
    );
    assert_snapshot!(tables, @r"
    _ow_claims
    _ow_columns
    _ow_runs
    _ow_state
    _ow_version
    numbers
    seen
    ");
}

#[test]
fn a_custom_run_gets_its_data_as_it_stands() {
    let lab = Lab::new();
    lab.write(
        "run.json",
        r#"{"type": "CUSTOM", "data": {"any": ["thing", 1, null]}, "state": {"numbers": 7}}"#,
    );
    lab.run_with("environment", json!({}), &["--run-config", "run.json"]).expect_success();
    assert_snapshot!(lab.query("SELECT value FROM seen WHERE name = 'OW_RUN_CONFIG'"), @r#"{"type":"CUSTOM","data":{"any":["thing",1,null]},"state":{"numbers":7}}"#);
    lab.script(json!([count(10)]), &["--run-config", "run.json"]).expect_success();
    assert_snapshot!(ids(&lab), @"3|3|7|9");
    assert_eq!(lab.state(), json!({ "numbers": 10 }));
}

#[test]
fn a_given_state_takes_the_place_of_the_stored_one() {
    let lab = Lab::new();
    lab.script(json!([count(20)]), &[]).expect_success();
    lab.write("state.json", r#"{"numbers": 15, "other": {"a": 1}}"#);
    let steps = json!([count(30), { "Behaviour": "get", "Key": "other" }]);
    let outcome = lab.script(steps, &["--state", "state.json"]).success();
    assert_eq!(outcome.log(), "info connector: counting from 15");
    assert_eq!(lab.seen(), "other|{\"a\":1}");
    assert_snapshot!(ids(&lab), @"35|30|0|29");
    lab.write("bad.json", "[]");
    assert_snapshot!(lab.run_with("nothing", json!({}), &["--state", "bad.json"]).text(), @r#"
    exit 3
    --- stdout
    {"failure":{"class":"config","hint":"give a JSON object of state keys and their values, as `ow-host state show` prints it","message":"bad.json: the state is no JSON object","retryable":false}}
    --- stderr
    "#);
}

#[test]
fn state_is_shown_and_reset() {
    let lab = Lab::new();
    lab.configure(&json!({ "Behaviour": "nothing" }));
    let shown = || lab.ow_host(&["state", "show", "--config", "cfg.json"]).text();
    assert_snapshot!(shown(), @r"
    exit 0
    --- stdout
    {}
    --- stderr
    ");
    assert!(!lab.path("out.db").exists(), "to look must not make a database");
    let set = |key: &str| json!({ "Behaviour": "set", "Key": key, "Json": "1" });
    lab.script(json!([set("a"), set("b"), set("c")]), &[]).expect_success();
    let reset =
        |keys: &[&str]| lab.ow_host(&[&["state", "reset", "--config", "cfg.json"], keys].concat()).text();
    assert_snapshot!(reset(&["d"]), @r"
    exit 3
    --- stdout
    --- stderr
    error: storage: the state has no key 'd'
    ");
    assert_snapshot!(reset(&["b"]), @r"
    exit 0
    --- stdout
    removed: b
    --- stderr
    ");
    assert_eq!(lab.state(), json!({ "a": 1, "c": 1 }));
    assert_snapshot!(reset(&[]), @r"
    exit 0
    --- stdout
    removed: a, c
    --- stderr
    ");
    assert_eq!(lab.state(), json!({}));
    assert_snapshot!(reset(&[]), @r"
    exit 0
    --- stdout
    there was no state
    --- stderr
    ");
}

#[test]
fn data_marts_do_not_share_state() {
    let lab = Lab::new();
    lab.script(json!([count(20)]), &["--data-mart", "one"]).expect_success();
    let outcome = lab.script(json!([count(10)]), &["--data-mart", "two"]).success();
    assert_eq!(outcome.log(), "info connector: counting from 0");
    assert_snapshot!(lab.query("SELECT data_mart_id, key, value FROM _ow_state ORDER BY 1"), @r"
    one|numbers|20
    two|numbers|10
    ");
}

#[test]
fn state_that_is_no_json_or_has_a_bad_key_is_refused() {
    let lab = Lab::new();
    let failure = |key: &str, json: &str| lab.run("set", json!({ "Key": key, "Json": json })).failure();
    assert_snapshot!(failure("k", "{"), @"1 connector: the value of the state key 'k' is no JSON: EOF while parsing an object at line 1 column 1");
    assert_snapshot!(failure("", "1"), @"1 connector: the name of a state key is empty: ''");
    assert_snapshot!(failure("a\nb", "1"), @r"1 connector: the name of a state key holds a control character: 'a\nb'");
}
