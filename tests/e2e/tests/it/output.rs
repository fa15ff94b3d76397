//! What people and programs read.

use e2e::Lab;
use insta::{assert_json_snapshot, assert_snapshot};
use serde_json::{Value, json};

#[test]
fn help_of_every_command() {
    let lab = Lab::new();
    let commands: [&[&str]; 14] = [
        &[], &["run"], &["inspect"], &["validate"], &["check"], &["discover"], &["state"], &["state", "show"],
        &["state", "reset"], &["schema"], &["cache"], &["cache", "clear"], &["limits"], &["completions"],
    ];
    for command in commands {
        let outcome = lab.ow_host(&[command, &["--help"]].concat()).success();
        assert_eq!(outcome.stderr, "");
        let name = if command.is_empty() { "help".to_owned() } else { format!("help-{}", command.join("-")) };
        assert_snapshot!(name, outcome.stdout);
    }
    assert_eq!(lab.ow_host(&["--version"]).success().stdout, format!("ow-host {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn limits_are_listed() {
    assert_snapshot!("limits", Lab::new().ow_host(&["limits"]).success().stdout);
}

/// A run with a bit of everything.
fn steps() -> Value {
    json!([
        { "Behaviour": "write", "Rows": 1500 },
        { "Behaviour": "progress", "Done": 1, "Total": 2, "Unit": "pages" },
        { "Behaviour": "commit" },
        { "Behaviour": "write", "Rows": 10, "Stream": "others", "Mode": "merge" },
        { "Behaviour": "log" },
        { "Behaviour": "print", "Text": "to standard error\n", "Stderr": true },
        { "Behaviour": "http", "Url": "https://api.example.com/" },
    ])
}

fn text(lab: &Lab, steps: Value, flags: &[&str]) -> String {
    lab.configure(&json!({ "Behaviour": "script", "Steps": steps }));
    lab.ow_host(&[&["run", "guest.wasm", "--config", "cfg.json"], flags].concat()).text()
}

#[test]
fn a_run_in_a_pipe_is_plain_lines() {
    assert_snapshot!(text(&Lab::new(), steps(), &[]), @"");
}

#[test]
fn quiet_is_quiet() {
    assert_snapshot!(text(&Lab::new(), steps(), &["--quiet"]), @"");
}

#[test]
fn a_failed_run_says_error_and_hint() {
    let failing = json!([
        { "Behaviour": "write", "Rows": 3 },
        { "Behaviour": "commit" },
        { "Behaviour": "write", "Rows": 2, "First": 10 },
        { "Behaviour": "fail", "Kind": "auth", "Message": "the source refused the password", "Parameter": "Password" },
    ]);
    assert_snapshot!(text(&Lab::new(), failing, &[]), @"");
}

#[test]
fn nothing_a_guest_says_reaches_the_terminal_as_an_escape() {
    let evil = "\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7} \u{1b}]8;;http://evil\u{1b}\\link \u{9b}31m \u{202e}reversed\r\nerror: not from the host\n";
    let steps = json!([
        { "Behaviour": "print", "Text": evil },
        { "Behaviour": "print", "Text": evil, "Stderr": true },
        { "Behaviour": "progress", "Unit": evil },
        { "Behaviour": "set", "Key": evil, "Json": "1" },
        { "Behaviour": "fail", "Kind": "internal", "Message": evil, "Parameter": evil },
    ]);
    let lab = Lab::new();
    for flags in [&[][..], &["--verbose"], &["--output", "json"]] {
        let swallowed: Vec<Value> = steps.as_array().unwrap().iter().enumerate().map(|(n, step)| match n {
            3 => json!({ "Behaviour": "swallow", "Step": step }),
            _ => step.clone(),
        }).collect();
        let told = text(&lab, json!(swallowed), flags);
        let unfit = told.chars().find(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c));
        assert_eq!(unfit, None, "{told}");
        assert!(!told.lines().any(|line| line.starts_with("error: not from the host")), "{told}");
    }
    assert_snapshot!(text(&lab, steps, &[]), @"");
}

#[test]
fn events_are_json_lines() {
    let lab = Lab::new();
    let outcome = lab.script(steps(), &["--run-id", "run-1"]).success();
    assert_eq!(outcome.stderr, "");
    let kinds: Vec<String> =
        outcome.events().iter().map(|event| event["event"].as_str().unwrap().to_owned()).filter(|kind| kind != "progress").collect();
    assert_eq!(kinds, ["started", "committed", "log", "log", "denied", "committed", "finished"]);
    assert_json_snapshot!(outcome.events_of("started")[0], {
        ".digest" => "[DIGEST]", ".storage" => "[STORAGE]",
    }, @"");
    assert_json_snapshot!(outcome.report(), {
        ".digest" => "[DIGEST]", ".storage" => "[STORAGE]", ".peak_memory" => "[SIZE]", ".cpu_ms" => "[TIME]",
        ".wall_ms" => "[TIME]", ".streams[].bytes" => "[SIZE]",
    }, @"");
}

#[test]
fn failures_before_a_run_are_events_too() {
    let lab = Lab::new();
    lab.configure(&json!({ "Behaviour": 7 }));
    let outcome = lab.run_component("guest.wasm", &[]);
    assert_eq!(outcome.events().len(), 1);
    assert_snapshot!(outcome.failure(), @"");
    let other = lab.ow_host(&["validate", "guest.wasm", "--config", "cfg.json", "--output", "json"]);
    assert_snapshot!(other.failure(), @"");
}

#[test]
fn inspect_tells_what_a_connector_asks_for() {
    let lab = Lab::new();
    let told = lab.ow_host(&["inspect", "guest.wasm"]).text();
    // The size differs with the compiler.
    let told: String = told.lines().filter(|line| !line.starts_with("size:")).fold(String::new(), |text, line| text + line + "\n");
    assert_snapshot!(told, @"");
}

#[test]
fn check_and_discover() {
    let lab = Lab::new();
    lab.configure(&json!({ "Behaviour": "nothing" }));
    assert_snapshot!(lab.ow_host(&["check", "guest.wasm", "--config", "cfg.json"]).text(), @"");
    assert_snapshot!(lab.ow_host(&["discover", "guest.wasm", "--config", "cfg.json"]).text(), @"");
    lab.configure(&json!({ "Behaviour": "nothing", "Check": { "Behaviour": "fail", "Kind": "auth", "Message": "wrong password" } }));
    assert_snapshot!(lab.ow_host(&["check", "guest.wasm", "--config", "cfg.json"]).text(), @"");
    lab.configure(&json!({ "Behaviour": "nothing", "Check": { "Behaviour": "write" } }));
    assert_snapshot!(lab.ow_host(&["check", "guest.wasm", "--config", "cfg.json"]).text(), @"");
}

#[test]
fn the_small_commands() {
    let lab = Lab::new();
    assert_snapshot!(lab.ow_host(&["cache", "dir", "--cache-dir", "here"]).text(), @"");
    lab.configure(&json!({ "Behaviour": "nothing" }));
    lab.run_component("guest.wasm", &["--cache-dir", "here"]).expect_success();
    let cleared = lab.ow_host(&["cache", "clear", "--cache-dir", "here", "--output", "json"]).success();
    let cleared: Value = serde_json::from_str(&cleared.stdout).unwrap();
    assert_eq!(cleared["entries"], 1);
    for schema in [&["config"][..], &["run-config"], &["storage", "Sqlite"]] {
        let printed = lab.ow_host(&[&["schema"], schema].concat()).success();
        let schema: Value = serde_json::from_str(&printed.stdout).unwrap();
        assert_eq!(schema["type"], "object");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(lab.ow_host(&["completions", shell]).success().stdout.contains("ow-host"));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let lab = Lab::new();
    lab.configure(&json!({ "Behaviour": "log", "Count": 2000 }));
    let host = e2e::build::host().display().to_string();
    let cache = e2e::lab::cache().display().to_string();
    let line = format!("'{host}' run guest.wasm --config cfg.json --output json --cache-dir '{cache}' | head -n 1; exit ${{PIPESTATUS[0]}}");
    let status = std::process::Command::new("bash").args(["-c", &line]).current_dir(lab.path("")).output();
    let Ok(output) = status else { return };
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
