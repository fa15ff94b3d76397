//! Contracts: what happens when a stream brings something new.

use e2e::lab::configuration;
use e2e::{Lab, Outcome};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// Writes lines into the stream `people`.
fn people(fields: &[&str], lines: &str) -> Value {
    json!({
        "Behaviour": "json_lines", "Stream": "people", "Mode": "merge", "Key": ["id"],
        "Fields": fields, "Lines": lines,
    })
}

const NARROW: &[&str] = &["id int64", "age int64?"];
const WIDE: &[&str] = &["id int64", "age int64?", "name text?"];

fn configure(lab: &Lab, steps: &Value, contracts: &Value) {
    let mut config = configuration(&json!({ "Behaviour": "script", "Steps": steps }));
    config["storage"]["contracts"] = contracts.clone();
    lab.write("cfg.json", config.to_string());
}

fn run(lab: &Lab, steps: Value, contracts: Value) -> Outcome {
    configure(lab, &steps, &contracts);
    lab.run_component("guest.wasm", &["--run-id", "the-run"])
}

/// A database with the table `people(id, age)`.
fn with_table() -> Lab {
    let lab = Lab::new();
    run(&lab, json!([people(NARROW, "{\"id\":1,\"age\":40}")]), json!({})).expect_success();
    lab
}

/// What the report says of the streams.
fn counts(outcome: &Outcome) -> String {
    let report = outcome.report();
    let streams = report["streams"].as_array().unwrap().iter().map(|stream| {
        let count = |key: &str| stream[key].as_u64().unwrap();
        format!(
            "{}: {} rows, {} committed, {} rows and {} values refused",
            stream["stream"].as_str().unwrap(),
            count("rows"),
            count("committed_rows"),
            count("refused_rows"),
            count("refused_values")
        )
    });
    streams.collect::<Vec<_>>().join("\n")
}

fn quarantine(lab: &Lab) -> String {
    lab.query(
        "SELECT data_mart_id, run_id, stream, refused, column_names, reason, raw_row FROM _ow_quarantine ORDER BY rowid",
    )
}

const TWO: &str = "{\"id\":2,\"age\":50,\"name\":\"Ann\"}\n{\"id\":3,\"age\":60}";

#[test]
fn a_new_column_that_is_frozen_fails_the_run() {
    let lab = with_table();
    let outcome = run(&lab, json!([people(WIDE, TWO)]), json!({ "*": { "column": "freeze" } }));
    assert_snapshot!(outcome.failure(), @"7 storage: table `people` has no column `name`, and the contract has `column` at `freeze`; set `column` to `evolve`, `drop-value` or `drop-row` in `storage.contracts`, or keep the field out of the stream");
    assert_eq!(lab.query("SELECT * FROM people"), "1|40");
    // The same rows without the new column.
    run(&lab, json!([people(NARROW, "{\"id\":2,\"age\":50}")]), json!({ "*": { "column": "freeze" } }))
        .expect_success();
    assert_eq!(lab.query("SELECT count(*) FROM people"), "2");
}

#[test]
fn values_of_a_new_column_are_dropped_into_quarantine() {
    let lab = with_table();
    let contracts = json!({ "*": { "column": "freeze" }, "people": { "column": "drop-value" } });
    let outcome = run(&lab, json!([people(WIDE, TWO)]), contracts);
    outcome.expect_success();
    assert_snapshot!(counts(&outcome), @"people: 2 rows, 2 committed, 0 rows and 1 values refused");
    assert_snapshot!(lab.query("SELECT * FROM people ORDER BY id"), @r"
    1|40
    2|50
    3|60
    ");
    assert_snapshot!(quarantine(&lab), @r#"mart|the-run|people|value|["name"]|the table has no column `name`, and `column` is `drop-value`|{"id":2,"age":50,"name":"Ann"}"#);
}

#[test]
fn rows_of_another_type_are_dropped_and_the_summary_says_so() {
    let lab = with_table();
    let text = &["id int64", "age text?"];
    let lines = "{\"id\":2,\"age\":\"50\"}\n{\"id\":3,\"age\":null}\n{\"id\":4,\"age\":\"old\"}";
    configure(&lab, &json!([people(text, lines)]), &json!({ "people": { "type": "drop-row" } }));
    let arguments = ["run", "guest.wasm", "--config", "cfg.json", "--run-id", "the-run", "--quiet"];
    assert_snapshot!(lab.ow_host(&arguments).text(), @r"
    exit 0
    --- stdout
    succeeded: run the-run of the data mart 'mart'
      people: 3 rows, [SIZE] (merge, 2 refused)
      refused by contract: 2 rows and 0 values of other rows; see the table _ow_quarantine
      1 commits, 0 requests (0 B sent, 0 B received), 0 denied
      [SIZE] at most, [TIME] of processor time, [TIME] in all
    --- stderr
    ");
    assert_eq!(lab.query("SELECT * FROM people ORDER BY id"), "1|40\n3|NULL");
    assert_snapshot!(quarantine(&lab), @r#"
    mart|the-run|people|row|["age"]|column `age` is int64 in the table, the value is text and is not the same in int64, and `type` is `drop-row`|{"id":2,"age":"50"}
    mart|the-run|people|row|["age"]|column `age` is int64 in the table, the value is text and is not the same in int64, and `type` is `drop-row`|{"id":4,"age":"old"}
    "#);
    // They can be sent again when the table is to have them.
    let again = lab.query("SELECT raw_row FROM _ow_quarantine");
    run(&lab, json!([people(text, &again)]), json!({})).expect_success();
    assert_eq!(lab.query("SELECT * FROM people ORDER BY id"), "1|40\n2|50\n3|NULL\n4|old");
}

#[test]
fn a_new_table_is_refused_or_its_rows_are() {
    let lab = with_table();
    let write = json!({ "Behaviour": "write", "Rows": 3 });
    let outcome = run(&lab, json!([write]), json!({ "*": { "table": "freeze" } }));
    assert_snapshot!(outcome.failure(), @"7 storage: there is no table for stream `numbers`, and its contract has `table` at `freeze`; set `table` to `evolve` in `storage.contracts` for the run that is to create it");
    let outcome = run(&lab, json!([write]), json!({ "*": { "table": "drop-row" } }));
    outcome.expect_success();
    assert_snapshot!(counts(&outcome), @"numbers: 3 rows, 0 committed, 3 rows and 0 values refused");
    assert_eq!(lab.query("SELECT count(*) FROM numbers"), "no such table: numbers");
    assert_eq!(lab.query("SELECT count(*) FROM _ow_quarantine"), "3");
}

#[test]
fn what_a_failed_run_did_not_commit_is_not_in_quarantine() {
    let lab = with_table();
    let contracts = json!({ "*": { "column": "drop-row" } });
    let steps =
        json!([people(WIDE, TWO), { "Behaviour": "commit" }, people(WIDE, TWO), { "Behaviour": "panic" }]);
    let outcome = run(&lab, steps, contracts);
    assert_eq!(outcome.code, Some(1));
    assert_snapshot!(counts(&outcome), @"people: 4 rows, 1 committed, 2 rows and 0 values refused");
    assert_eq!(lab.query("SELECT count(*) FROM _ow_quarantine"), "1");
    assert_eq!(lab.query("SELECT id FROM people ORDER BY id"), "1\n3");
}

#[test]
fn a_full_refresh_keeps_the_quarantine() {
    let lab = with_table();
    let contracts = json!({ "*": { "column": "drop-row" } });
    run(&lab, json!([people(WIDE, TWO)]), contracts.clone()).expect_success();
    configure(&lab, &json!([people(WIDE, TWO)]), &contracts);
    lab.run_component("guest.wasm", &["--type", "full-refresh", "--run-id", "refresh"]).expect_success();
    assert_eq!(lab.query("SELECT id FROM people"), "3");
    assert_eq!(lab.query("SELECT run_id FROM _ow_quarantine"), "the-run\nrefresh");
}

#[test]
fn no_stream_can_write_to_the_quarantine() {
    let lab = with_table();
    let contracts = json!({ "*": { "column": "drop-row" } });
    let forged = json!({
        "Behaviour": "json_lines", "Stream": "_ow_quarantine", "Mode": "append", "Key": [],
        "Fields": ["refused_at timestamp", "data_mart_id text", "run_id text", "stream text", "refused text",
                   "column_names json?", "reason text", "raw_row json"],
        "Lines": "",
    });
    let outcome = run(&lab, json!([people(WIDE, TWO), forged]), contracts);
    assert_snapshot!(outcome.failure(), @"7 storage: the name of table `_ow_quarantine` starts with `_ow_`, which ow-host keeps for its own tables; rename the stream, or change `TablePrefix`");
}

#[test]
fn a_misspelt_stream_is_told() {
    let lab = with_table();
    let outcome = run(&lab, json!([people(NARROW, "")]), json!({ "poeple": { "column": "freeze" } }));
    outcome.expect_success();
    assert_snapshot!(outcome.log(), @"warn host: the contract for the stream 'poeple' was not used: the run opened no such stream; did you mean 'people'?");
}

#[test]
fn wrong_contracts_are_told_at_once() {
    let lab = Lab::new();
    let contracts = json!({
        "*": { "colum": "freeze", "table": "drop-value" },
        "orders": { "type": "drop_row", "column": 5, "table": "discard" },
        "people": "freeze",
    });
    configure(&lab, &json!([]), &contracts);
    assert_snapshot!(lab.run_component("guest.wasm", &[]).failure(), @r#"
    3 config: cfg.json: 6 problems
      storage.contracts."*".colum: no such key; did you mean 'column'?
      storage.contracts."*".table: expected one of 'evolve', 'freeze', 'drop-row', found the text 'drop-value'; a new table has no values that could be left out: write 'drop-row'
      storage.contracts.orders.table: expected one of 'evolve', 'freeze', 'drop-row', found the text 'discard'
      storage.contracts.orders.column: expected one of 'evolve', 'freeze', 'drop-value', 'drop-row', found the number 5
      storage.contracts.orders.type: expected one of 'evolve', 'freeze', 'drop-value', 'drop-row', found the text 'drop_row'; did you mean 'drop-row'?
      storage.contracts.people: expected an object, found a text; write { "column": "freeze" }
    "#);
}
