//! Runs in a process of their own: what is different, and that nothing else is.

use std::time::{Duration, Instant};

use e2e::{Lab, Running, build, components, isolation};
use insta::assert_snapshot;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::json;

const ISOLATED: &[&str] = &["--isolation", "process"];

/// The worker of a run that is under way: its only child that is one.
fn worker(running: &Running) -> Pid {
    let started = Instant::now();
    loop {
        let children = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent: u32 = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
            let arguments = std::fs::read(entry.path().join("cmdline")).ok()?;
            (parent == running.id() && arguments == b"ow-host\0__worker\0").then(|| Pid::from_raw(pid))?
        });
        if let [worker] = children.collect::<Vec<_>>()[..] {
            return worker;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "there is no worker, or there are several");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn wait_until_gone(pid: Pid) {
    let started = Instant::now();
    // Its parent is gone, so that it waits for nobody.
    while test_kill_process(pid).is_ok() && !is_zombie(pid) {
        assert!(started.elapsed() < Duration::from_secs(60), "process {pid:?} goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.map_or(true, |stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

#[test]
fn a_worker_ends_with_its_host() {
    if isolation::is_missing() {
        return;
    }
    for behaviour in ["until_cancelled", "loop"] {
        let lab = Lab::new();
        let steps = json!([{ "Behaviour": "print", "Text": "ready\n" }, { "Behaviour": behaviour }]);
        let running = lab.running("script", json!({ "Steps": steps }), ISOLATED);
        running.wait_for("ready");
        let worker = worker(&running);
        running.signal(Signal::KILL);
        wait_until_gone(worker);
    }
}

#[test]
fn a_worker_that_dies_fails_the_run_and_what_was_committed_stays() {
    if isolation::is_missing() {
        return;
    }
    let lab = Lab::new();
    let steps = json!([
        { "Behaviour": "count", "Rows": 1, "Until": 3 },
        { "Behaviour": "print", "Text": "ready\n" },
        { "Behaviour": "loop" },
    ]);
    let running = lab.running("script", json!({ "Steps": steps }), ISOLATED);
    running.wait_for("ready");
    kill_process(worker(&running), Signal::KILL).unwrap();
    let outcome = running.wait();
    assert_snapshot!(outcome.failure(), @"1 connector: the connector's process ended with signal: 9 (SIGKILL)");
    assert_eq!(lab.query("SELECT count(*) FROM numbers"), "3");
}

#[test]
fn isolation_is_a_key_of_the_configuration_too() {
    if isolation::is_missing() {
        return;
    }
    let lab = Lab::new();
    let mut config = e2e::lab::configuration(&json!({ "Behaviour": "script", "Steps": [
        { "Behaviour": "print", "Text": "ready\n" }, { "Behaviour": "until_cancelled" },
    ]}));
    config["sandbox"] = json!({ "isolation": "process" });
    lab.write("cfg.json", config.to_string());
    let running = lab.start("guest.wasm", &[]);
    running.wait_for("ready");
    worker(&running);
    running.signal(Signal::INT);
    assert_eq!(running.wait().code, Some(130));

    config["sandbox"] = json!({ "isolation": "proces" });
    lab.write("cfg.json", config.to_string());
    assert_snapshot!(lab.run_component("guest.wasm", &[]).failure(), @r"
    3 config: cfg.json: sandbox.isolation: there is no isolation 'proces': write one of 'none', 'process'
    ");
}

#[test]
fn a_worker_may_call_its_host_as_often_as_it_likes() {
    if isolation::is_missing() {
        return;
    }
    let lab = Lab::new();
    let outcome = lab.run_with("count", json!({ "Rows": 1, "Until": 3000 }), ISOLATED).success();
    assert_eq!(outcome.report()["commits"], 3001);
    assert_eq!(lab.query("SELECT count(*) FROM numbers"), "3000");
}

#[test]
fn a_component_is_inspected_in_a_worker() {
    if isolation::is_missing() {
        return;
    }
    let lab = Lab::new();
    // One that says for ever what it is.
    let guest = std::fs::read(build::hostile_guest()).unwrap();
    lab.write("endless.wasm", components::with_digits(guest, b"hostile-spec-mode=00", 12));
    // Once compiled, no other worker than the one that asks it is started.
    lab.configure(&json!({}));
    let validate = ["validate", "endless.wasm", "--config", "cfg.json", "--timeout", "1s"];
    lab.ow_host(&validate).failure_text("the run took longer than 1s");
    let running = lab.command(&[&["inspect", "endless.wasm"], ISOLATED].concat()).start();
    kill_process(worker(&running), Signal::KILL).unwrap();
    running.wait().failure_text("ended with signal: 9 (SIGKILL)");
}

#[test]
fn the_audit_names_the_isolation() {
    if isolation::is_missing() {
        return;
    }
    let lab = Lab::new();
    let steps = json!([]);
    let report = lab.script(steps, ISOLATED).success().report();
    assert_eq!(report["audit"]["isolation"], "process");
    let run = ["run", "guest.wasm", "--config", "cfg.json"];
    let told = lab.ow_host(&[&run, ISOLATED].concat()).success().stdout;
    assert!(told.contains("\n  isolation: process\n"), "{told}");
}

#[test]
fn what_was_refused_is_told_of_a_run_that_was_stopped_too() {
    if isolation::is_missing() {
        return;
    }
    let lab = Lab::new();
    let steps = json!([{ "Behaviour": "sockets" }, { "Behaviour": "sleep_for_ever" }]);
    let report = lab.script(steps, &[ISOLATED, &["--timeout", "2s"]].concat()).report();
    assert_eq!(report["failure"]["message"], "the run took longer than 2s");
    let refused: u64 = report["denied"].as_array().unwrap().iter().filter_map(|d| d["count"].as_u64()).sum();
    assert_eq!(refused, 4, "{}", report["denied"]);
}
