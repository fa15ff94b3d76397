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
    assert_snapshot!(outcome.failure(), @r"
    6 limit: the connector was refused memory beyond 64MiB (it asked for [N] bytes in all) and stopped
    hint: raise it with --memory, or `memory` in the configuration's sandbox section
    ");
    assert!(outcome.report()["peak_memory"].as_u64().unwrap() <= 64 << 20);

    let (lab, outcome) = run("memory_refused", json!({}), &["--memory", "64MiB"]);
    outcome.expect_success();
    assert_snapshot!(lab.seen(), @"memory|refused at last");
    assert!(outcome.report()["peak_memory"].as_u64().unwrap() <= 64 << 20);
}

#[test]
fn memories_and_tables_count_together() {
    let lab = Lab::new();
    lab.configure(&json!({ "Behaviour": "nothing" }));
    // Each is below the limit of 256 MiB: 8 MiB a memory, 16 MB a table.
    lab.write("memories.wasm", components::beside("(module (memory 128))", 50));
    assert_snapshot!(lab.run_component("memories.wasm", &[]).failure(), @r"
    6 limit: the connector was refused memory beyond 256MiB (it asked for [N] bytes in all) and stopped
    hint: raise it with --memory, or `memory` in the configuration's sandbox section
    ");
    lab.write("tables.wasm", components::beside("(module (table 1000000 funcref))", 50));
    assert_snapshot!(lab.run_component("tables.wasm", &[]).failure(), @r"
    6 limit: the connector was refused memory beyond 256MiB (it asked for [N] bytes in all) and stopped
    hint: raise it with --memory, or `memory` in the configuration's sandbox section
    ");
    lab.write("few.wasm", components::beside("(module (memory 128))", 3));
    let outcome = lab.run_component("few.wasm", &[]).success();
    assert!(outcome.report()["peak_memory"].as_u64().unwrap() > 24 << 20);
}

#[test]
#[cfg(target_os = "linux")]
fn compiling() {
    let compile = |flags: &[&str]| failure("nothing", json!({}), &[&["--no-cache"], flags].concat());
    assert_snapshot!(compile(&["--compile-time", "20ms"]), @r"
    6 limit: guest.wasm: compiling it took longer than 20ms
    hint: raise it with --compile-time, or `compile_time` in the configuration's sandbox section
    ");
    assert_snapshot!(compile(&["--compile-memory", "24MiB"]), @r"
    6 limit: guest.wasm: compiling it took more memory than 24MiB
    hint: raise it with --compile-memory, or `compile_memory` in the configuration's sandbox section
    ");
}

#[test]
fn time() {
    assert_snapshot!(failure("sleep_for_ever", json!({}), &["--timeout", "300ms"]), @r"
    6 limit: the run took longer than 300ms
    hint: raise it with --timeout, or `timeout` in the configuration's sandbox section
    ");
    assert_snapshot!(failure("loop", json!({}), &["--timeout", "300ms"]), @r"
    6 limit: the run took longer than 300ms
    hint: raise it with --timeout, or `timeout` in the configuration's sandbox section
    ");
    assert_snapshot!(failure("loop", json!({}), &["--cpu-time", "300ms"]), @r"
    6 limit: the connector used more than 300ms of processor time
    hint: raise it with --cpu-time, or `cpu_time` in the configuration's sandbox section
    ");
}

#[test]
fn waiting_is_no_processor_time() {
    let (_, outcome) = run("sleep", json!({ "Ms": 600 }), &["--cpu-time", "400ms"]);
    outcome.expect_success();
}

#[test]
fn stack() {
    assert_snapshot!(failure("recursion", json!({}), &[]), @r"
    6 limit: the connector's stack of 512 KiB overflowed in `test_guest::attacks::recursion`
    hint: this limit is fixed: endless or very deep recursion is a bug in the connector
    ");
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
    assert_snapshot!(outcome.success().log(), @r"
    info connector: 0 xxxxxxxxxxxxxxxxxx…
    info connector: 1 xxxxxxxxxxxxxxxxxx…
    info connector: 2 xxxxxxxxxxxxxxxxxx…
    ");
}

#[test]
fn output_without_a_line_break() {
    let parameters = json!({ "Text": "0123456789", "Count": 500_000 });
    let (_, outcome) = run("print", parameters, &["--log-line", "25B"]);
    assert_snapshot!(outcome.success().log(), @"info stdout: 0123456789012345678901234…");
}

#[test]
fn random_bytes() {
    assert_snapshot!(failure("random", json!({ "Count": 2_000_000_000_u64 }), &[]), @r"
    6 limit: the connector asked for more than 1MiB of random bytes in one call
    hint: raise it with --random-bytes, or `random_bytes` in the configuration's sandbox section
    ");
    let (lab, outcome) = run("random", json!({ "Count": 1000 }), &[]);
    outcome.expect_success();
    assert_snapshot!(lab.seen(), @"random|1000");
}

#[test]
fn handles() {
    let mut told = String::new();
    for behaviour in ["open_files", "pollables", "header_fields", "writers"] {
        let (_, outcome) = run(behaviour, json!({ "Count": 5000 }), &["--handles", "1000"]);
        let _ = writeln!(told, "{behaviour}: {}", outcome.failure());
        // A pollable takes two: itself, and what it waits for.
        let (_, outcome) = run(behaviour, json!({ "Count": 400 }), &["--handles", "1000"]);
        outcome.expect_success();
    }
    assert_snapshot!(told, @r"
    open_files: 6 limit: the connector held more than 1000 resources
    hint: raise it with --handles, or `handles` in the configuration's sandbox section
    pollables: 6 limit: the connector held more than 1000 resources
    hint: raise it with --handles, or `handles` in the configuration's sandbox section
    header_fields: 6 limit: the connector held more than 1000 resources
    hint: raise it with --handles, or `handles` in the configuration's sandbox section
    writers: 6 limit: the connector held more than 1000 resources
    hint: raise it with --handles, or `handles` in the configuration's sandbox section
    ");
}

#[test]
fn sizes_of_calls_and_tables() {
    assert_snapshot!(failure("large_text", json!({ "Count": 50 << 20 }), &[]), @r"
    6 limit: the connector handed more than 32MiB to the host in one call
    hint: raise it with --call-bytes, or `call_bytes` in the configuration's sandbox section
    ");
    let (lab, outcome) = run("large_text", json!({ "Count": 20 << 20 }), &[]);
    outcome.expect_success();
    assert_eq!(lab.query("SELECT length(text) FROM large"), (20 << 20).to_string());
    assert_snapshot!(failure("tables", json!({ "Count": 20 }), &["--tables", "10"]), @"6 limit: the run has 10 tables open, as many as it may (raise it with --tables)");
    assert_snapshot!(failure("columns", json!({ "Count": 3000 }), &[]), @"6 limit: the stream 'wide' has 3000 fields; the limit is 2000 (raise it with --columns)");
    assert_snapshot!(failure("write", json!({ "Rows": 101 }), &["--batch-rows", "100"]), @"6 limit: a batch of the stream 'numbers' has 101 rows; the limit is 100 (raise it with --batch-rows)");
    assert_snapshot!(failure("state_keys", json!({ "Count": 20 }), &["--state-keys", "10"]), @"6 limit: the state would have more than 10 keys (raise it with --state-keys)");
    assert_snapshot!(failure("state_bytes", json!({ "Count": 2000 }), &["--state-bytes", "1KiB"]), @"6 limit: the state would be larger than 1KiB (raise it with --state-bytes)");
}

#[test]
fn scratch_folder() {
    assert_snapshot!(failure("scratch_bytes", json!({ "MiB": 20 }), &["--scratch", "10MiB"]), @r"
    6 limit: the connector wanted more than 10MiB in its scratch folder
    hint: raise it with --scratch, or `scratch` in the configuration's sandbox section
    ");
    assert_snapshot!(failure("scratch_files", json!({ "Files": 200 }), &["--scratch-files", "100"]), @r"
    6 limit: the connector wanted more than 100 files in its scratch folder
    hint: raise it with --scratch-files, or `scratch_files` in the configuration's sandbox section
    ");
    let (lab, outcome) = run("scratch_bytes", json!({ "MiB": 9 }), &["--scratch", "10MiB"]);
    outcome.expect_success();
    assert_snapshot!(lab.seen(), @"scratch|wrote everything");
}

#[test]
fn limits_of_the_configuration_count_and_flags_win() {
    let lab = Lab::new();
    let mut config = e2e::lab::configuration(&json!({ "Behaviour": "sleep", "Ms": 1500 }));
    config["sandbox"] = json!({ "timeout": "300ms" });
    lab.write("cfg.json", config.to_string());
    assert_snapshot!(lab.run_component("guest.wasm", &[]).failure(), @r"
    6 limit: the run took longer than 300ms
    hint: raise it with --timeout, or `timeout` in the configuration's sandbox section
    ");
    lab.run_component("guest.wasm", &["--timeout", "30s"]).expect_success();
}
