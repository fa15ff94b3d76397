//! A guest that wants more than it may have is stopped, and the message names
//! the flag that would give it more.

use std::fmt::Write as _;

use e2e::{Lab, components};
use insta::assert_snapshot;
use serde_json::{Value, json};

fn run(behaviour: &str, parameters: Value, flags: &[&str]) -> (Lab, e2e::Outcome) {
    let lab = Lab::new();
    let outcome = lab.run_with(behaviour, parameters, flags);
    (lab, outcome)
}

fn failure(behaviour: &str, parameters: Value, flags: &[&str]) -> String {
    run(behaviour, parameters, flags).1.failure()
}

#[test]
fn memory() {
    let (_, outcome) = run("memory", json!({}), &["--memory", "64MiB"]);
    assert_snapshot!(outcome.failure(), @"");
    assert!(outcome.report()["peak_memory"].as_u64().unwrap() <= 64 << 20);

    let (lab, outcome) = run("memory_refused", json!({}), &["--memory", "64MiB"]);
    outcome.expect_success();
    assert_snapshot!(lab.seen(), @"");
    assert!(outcome.report()["peak_memory"].as_u64().unwrap() <= 64 << 20);
}

#[test]
fn memories_count_together() {
    let lab = Lab::new();
    lab.configure(&json!({ "Behaviour": "nothing" }));
    // 50 of 8 MiB: each is below the limit of 256 MiB.
    lab.write("many.wasm", components::many_memories(50, 128));
    assert_snapshot!(lab.run_component("many.wasm", &[]).failure(), @"");
}

#[test]
fn time() {
    assert_snapshot!(failure("sleep_for_ever", json!({}), &["--timeout", "300ms"]), @"");
    assert_snapshot!(failure("loop", json!({}), &["--timeout", "300ms"]), @"");
    assert_snapshot!(failure("loop", json!({}), &["--cpu-time", "300ms"]), @"");
}

#[test]
fn waiting_is_no_processor_time() {
    let (_, outcome) = run("sleep", json!({ "Ms": 600 }), &["--cpu-time", "400ms"]);
    outcome.expect_success();
}

#[test]
fn stack() {
    assert_snapshot!(failure("recursion", json!({}), &[]), @"");
}

#[test]
fn log_lines() {
    let (_, outcome) = run("log", json!({ "Count": 100_000 }), &["--log-rate", "10"]);
    outcome.expect_success();
    let lines = outcome.events_of("log").len();
    assert!(lines < 2000, "{lines} lines");
    let dropped = outcome.report()["dropped_log_lines"].as_u64().unwrap();
    assert!(dropped > 98_000, "{dropped} dropped");
    assert!(outcome.log().contains("warn host: the connector logs more than log_rate and log_bytes allow"));

    let (_, outcome) = run("log", json!({ "Count": 3, "Length": 1_000_000 }), &["--log-line", "20B"]);
    assert_snapshot!(outcome.success().log(), @"");
}

#[test]
fn output_without_a_line_break() {
    let parameters = json!({ "Text": "0123456789", "Count": 500_000 });
    let (_, outcome) = run("print", parameters, &["--log-line", "25B"]);
    assert_snapshot!(outcome.success().log(), @"");
}

#[test]
fn random_bytes() {
    assert_snapshot!(failure("random", json!({ "Count": 2_000_000_000_u64 }), &[]), @"");
    let (lab, outcome) = run("random", json!({ "Count": 1000 }), &[]);
    outcome.expect_success();
    assert_snapshot!(lab.seen(), @"");
}

#[test]
fn handles() {
    let mut told = String::new();
    for behaviour in ["open_files", "pollables", "header_fields", "writers"] {
        let (_, outcome) = run(behaviour, json!({ "Count": 5000 }), &["--handles", "1000"]);
        let _ = writeln!(told, "{behaviour}: {}", outcome.failure());
        let (_, outcome) = run(behaviour, json!({ "Count": 500 }), &["--handles", "1000"]);
        outcome.expect_success();
    }
    assert_snapshot!(told, @"");
}

#[test]
fn sizes_of_calls_and_tables() {
    assert_snapshot!(failure("large_text", json!({ "Count": 50 << 20 }), &[]), @"");
    let (lab, outcome) = run("large_text", json!({ "Count": 20 << 20 }), &[]);
    outcome.expect_success();
    assert_eq!(lab.query("SELECT length(text) FROM large"), (20 << 20).to_string());
    assert_snapshot!(failure("tables", json!({ "Count": 20 }), &["--tables", "10"]), @"");
    assert_snapshot!(failure("columns", json!({ "Count": 3000 }), &[]), @"");
    assert_snapshot!(failure("write", json!({ "Rows": 101 }), &["--batch-rows", "100"]), @"");
    assert_snapshot!(failure("state_keys", json!({ "Count": 20 }), &["--state-keys", "10"]), @"");
    assert_snapshot!(failure("state_bytes", json!({ "Count": 2000 }), &["--state-bytes", "1KiB"]), @"");
}

#[test]
fn scratch_folder() {
    assert_snapshot!(failure("scratch_bytes", json!({ "MiB": 20 }), &["--scratch", "10MiB"]), @"");
    assert_snapshot!(failure("scratch_files", json!({ "Files": 200 }), &["--scratch-files", "100"]), @"");
    let (lab, outcome) = run("scratch_bytes", json!({ "MiB": 9 }), &["--scratch", "10MiB"]);
    outcome.expect_success();
    assert_snapshot!(lab.seen(), @"");
}

#[test]
fn limits_of_the_configuration_count_and_flags_win() {
    let lab = Lab::new();
    let mut config = e2e::lab::configuration(&json!({ "Behaviour": "sleep", "Ms": 1500 }));
    config["sandbox"] = json!({ "timeout": "300ms" });
    lab.write("cfg.json", config.to_string());
    assert_snapshot!(lab.run_component("guest.wasm", &[]).failure(), @"");
    lab.run_component("guest.wasm", &["--timeout", "30s"]).expect_success();
}
