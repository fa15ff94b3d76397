//! Interrupted runs: in good order, and in any case.

use e2e::Lab;
use insta::{allow_duplicates, assert_snapshot};
use rustix::process::Signal;
use serde_json::json;

fn ids(lab: &Lab) -> String {
    lab.query("SELECT count(*), max(id) FROM numbers")
}

/// Three rows that are committed, and two that are not.
fn steps(last: &str) -> serde_json::Value {
    json!({ "Steps": [
        { "Behaviour": "write", "First": 1, "Rows": 3 },
        { "Behaviour": "set", "Key": "numbers", "Json": "3" },
        { "Behaviour": "commit" },
        { "Behaviour": "write", "First": 100, "Rows": 2 },
        { "Behaviour": "set", "Key": "numbers", "Json": "102" },
        { "Behaviour": "log" },
        { "Behaviour": last },
    ] })
}

#[test]
fn a_connector_that_asks_stops_by_itself() {
    for signal in [Signal::INT, Signal::TERM] {
        let lab = Lab::new();
        let running = lab.running("script", steps("until_cancelled"), &[]);
        running.wait_for("\"ready\"");
        running.signal(signal);
        let outcome = running.wait();
        assert_eq!(outcome.code, Some(130));
        allow_duplicates!(
            assert_snapshot!(outcome.failure(), @"130 interrupted, retryable: stopped as asked")
        );
        assert_eq!(outcome.report()["status"], "interrupted");
        assert!(outcome.log().ends_with("info connector: saw the cancellation"), "{}", outcome.log());
        allow_duplicates!(assert_snapshot!(ids(&lab), @"3|3"));
        assert_eq!(lab.state(), json!({ "numbers": 3 }));
        assert_eq!(lab.query("SELECT status FROM _ow_runs"), "interrupted");
    }
}

#[test]
fn a_connector_that_does_not_ask_is_stopped_after_the_grace() {
    for behaviour in ["loop", "sleep_for_ever"] {
        let lab = Lab::new();
        let running = lab.running("script", steps(behaviour), &["--grace", "300ms"]);
        running.wait_for("0 xxxxxxxxxx");
        running.signal(Signal::INT);
        let outcome = running.wait();
        allow_duplicates!(
            assert_snapshot!(outcome.failure(), @"130 interrupted, retryable: interrupted; the connector did not return within 300ms and was stopped")
        );
        allow_duplicates!(assert_snapshot!(ids(&lab), @"3|3"));
        assert_eq!(lab.state(), json!({ "numbers": 3 }));
        assert_eq!(lab.path("tmp").read_dir().unwrap().count(), 0, "the scratch folder was left behind");
    }
}

#[test]
fn a_second_signal_does_not_wait() {
    let lab = Lab::new();
    let mut running = lab.running("script", steps("loop"), &["--grace", "10m"]);
    running.wait_for("0 xxxxxxxxxx");
    // Two that come close together may arrive as one.
    while !running.has_ended() {
        running.signal(Signal::TERM);
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    assert_eq!(running.wait().code, Some(130));
    assert_snapshot!(ids(&lab), @"3|3");
    lab.script(json!([{ "Behaviour": "write", "First": 4, "Rows": 1 }]), &[]).expect_success();
    assert_snapshot!(ids(&lab), @"4|4");
}

#[test]
fn host_calls_of_an_interrupted_run_say_so() {
    let lab = Lab::new();
    // Without `until_cancelled` it would go on for ever: each commit is answered with an error.
    let running = lab.running("count", json!({ "Until": 100_000_000, "Rows": 1 }), &[]);
    running.wait_for("\"committed\"");
    running.signal(Signal::INT);
    let outcome = running.wait();
    // The guest hears of it from `cancelled` or from the call that it makes next.
    let told = outcome.failure().to_string();
    let known =
        ["130 interrupted, retryable: stopped as asked", "130 interrupted, retryable: the run was cancelled"];
    assert!(known.contains(&told.as_str()), "{told}");
    let rows: u64 = lab.query("SELECT count(*) FROM numbers").parse().unwrap();
    assert_eq!(lab.state(), json!({ "numbers": rows }));
}

#[test]
fn check_can_be_interrupted_too() {
    let lab = Lab::new();
    lab.configure(&json!({ "Behaviour": "nothing", "Check": { "Behaviour": "until_cancelled" } }));
    let running = lab.command(&["check", "guest.wasm", "--config", "cfg.json", "--grace", "20s"]).start();
    running.wait_for("ready");
    running.signal(Signal::INT);
    assert_snapshot!(running.wait().text(), @r"
    exit 130
    --- stdout
    --- stderr
    info: [connector] ready
    info: [connector] saw the cancellation
    error: [connector] stopped as asked
    ");
}
