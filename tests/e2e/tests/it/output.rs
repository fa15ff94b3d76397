//! What people and programs read.

use e2e::Lab;
use e2e::lab::configuration;
use insta::assert_snapshot;
use serde_json::{Value, json};

#[test]
fn help_of_every_command() {
    let lab = Lab::new();
    let commands: [&[&str]; 20] = [
        &[],
        &["run"],
        &["inspect"],
        &["validate"],
        &["check"],
        &["discover"],
        &["preview"],
        &["state"],
        &["state", "show"],
        &["state", "reset"],
        &["keygen"],
        &["sign"],
        &["verify"],
        &["schema"],
        &["schema", "storage"],
        &["storages"],
        &["cache"],
        &["cache", "clear"],
        &["limits"],
        &["completions"],
    ];
    for command in commands {
        let outcome = lab.ow_host(&[command, &["--help"]].concat()).success();
        assert_eq!(outcome.stderr, "");
        let name = if command.is_empty() { "help".to_owned() } else { format!("help-{}", command.join("-")) };
        assert_snapshot!(name, outcome.stdout);
    }
    assert_eq!(
        lab.ow_host(&["--version"]).success().stdout,
        format!("ow-host {}\n", env!("CARGO_PKG_VERSION"))
    );
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
    assert_snapshot!(text(&Lab::new(), steps(), &[]), @r"
    exit 0
    --- stdout
    succeeded: run [RUN] of the data mart 'mart'
      numbers: 1,500 rows, [SIZE] (append)
      others: 10 rows, [SIZE] (merge)
      seen: 1 rows, [SIZE] (append)
      2 commits, 0 requests (0 B sent, 0 B received), 1 denied
      refused: 1 x GET https://api.example.com (origin not granted)
      [SIZE] at most, [TIME] of processor time, [TIME] in all
    --- stderr
    running test-guest 1.2.3 into Sqlite (out.db) (INCREMENTAL, run [RUN])
    info: [connector] 0 xxxxxxxxxx
    info: [stderr] to standard error
    denied: GET https://api.example.com: origin not granted; grant it with --allow-net https://api.example.com
    ");
}

#[test]
fn quiet_is_quiet() {
    assert_snapshot!(text(&Lab::new(), steps(), &["--quiet"]), @r"
    exit 0
    --- stdout
    succeeded: run [RUN] of the data mart 'mart'
      numbers: 1,500 rows, [SIZE] (append)
      others: 10 rows, [SIZE] (merge)
      seen: 1 rows, [SIZE] (append)
      2 commits, 0 requests (0 B sent, 0 B received), 1 denied
      refused: 1 x GET https://api.example.com (origin not granted)
      [SIZE] at most, [TIME] of processor time, [TIME] in all
    --- stderr
    ");
}

#[test]
fn a_failed_run_says_error_and_hint() {
    let failing = json!([
        { "Behaviour": "write", "Rows": 3 },
        { "Behaviour": "commit" },
        { "Behaviour": "write", "Rows": 2, "First": 10 },
        { "Behaviour": "fail", "Kind": "auth", "Message": "the source refused the password", "Parameter": "Password" },
    ]);
    assert_snapshot!(text(&Lab::new(), failing, &[]), @r"
    exit 1
    --- stdout
    failed: run [RUN] of the data mart 'mart'
      numbers: 5 rows, [SIZE] (append, 2 not committed)
      1 commits, 0 requests (0 B sent, 0 B received), 0 denied
      [SIZE] at most, [TIME] of processor time, [TIME] in all
    --- stderr
    running test-guest 1.2.3 into Sqlite (out.db) (INCREMENTAL, run [RUN])
    error: [connector] the source refused the password
      at: parameter Password
    hint: check the credentials in the configuration
    ");
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
        let swallowed: Vec<Value> = steps
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
            .map(|(n, step)| match n {
                3 => json!({ "Behaviour": "swallow", "Step": step }),
                _ => step.clone(),
            })
            .collect();
        let told = text(&lab, json!(swallowed), flags);
        let unfit =
            told.chars().find(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c));
        assert_eq!(unfit, None, "{told}");
        assert!(!told.lines().any(|line| line.starts_with("error: not from the host")), "{told}");
    }
    assert_snapshot!(text(&lab, steps, &[]), @r"
    exit 1
    --- stdout
    failed: run [RUN] of the data mart 'mart'
      0 commits, 0 requests (0 B sent, 0 B received), 0 denied
      [SIZE] at most, [TIME] of processor time, [TIME] in all
    --- stderr
    running test-guest 1.2.3 into Sqlite (out.db) (INCREMENTAL, run [RUN])
    info: [stdout] red  link 31m reversed
    info: [stdout] error: not from the host
    info: [stderr] red  link 31m reversed
    info: [stderr] error: not from the host
    error: [connector] the name of a state key holds a control character: 'red  link 31m reversed\nerror: not from the host\n'
    ");
}

/// A document without what differs from run to run.
fn shape(lab: &Lab, mut document: Value) -> String {
    for key in ["peak_memory", "cpu_ms", "storage_wait_ms", "wall_ms"] {
        if let Some(number) = document.get_mut(key) {
            assert!(number.is_u64(), "{key}: {number}");
            *number = json!("[NUMBER]");
        }
    }
    for stream in document.get_mut("streams").and_then(Value::as_array_mut).into_iter().flatten() {
        stream["bytes"] = json!("[NUMBER]");
    }
    lab.clean(&serde_json::to_string_pretty(&document).unwrap())
}

#[test]
fn events_are_json_lines() {
    let lab = Lab::new();
    let outcome = lab.script(steps(), &["--run-id", "run-1"]).success();
    assert_eq!(outcome.stderr, "");
    let kinds: Vec<String> = outcome
        .events()
        .iter()
        .map(|event| event["event"].as_str().unwrap().to_owned())
        .filter(|kind| kind != "progress")
        .collect();
    assert_eq!(kinds, ["started", "committed", "log", "log", "denied", "committed", "finished"]);
    assert_snapshot!(shape(&lab, outcome.events_of("started")[0].clone()), @r#"
    {
      "connector": "test-guest 1.2.3",
      "data_mart_id": "mart",
      "digest": "[DIGEST]",
      "event": "started",
      "run_id": "run-1",
      "run_type": "INCREMENTAL",
      "storage": "Sqlite (out.db)"
    }
    "#);
    assert_snapshot!(shape(&lab, outcome.report()), @r#"
    {
      "audit": {
        "environment": [
          "OW_CONFIG",
          "OW_RUN_CONFIG",
          "OW_DATAMART_ID",
          "OW_RUN_ID"
        ],
        "folders": [
          {
            "access": "rw",
            "guest": "/work",
            "listed": 0,
            "made": 0,
            "read": 0,
            "refused": 0,
            "removed": 0,
            "renamed": 0,
            "written": 0
          }
        ],
        "isolation": "none",
        "origins": [],
        "policies": [],
        "secrets": []
      },
      "commits": 2,
      "connector": "test-guest 1.2.3",
      "cpu_ms": "[NUMBER]",
      "data_mart_id": "mart",
      "denied": [
        {
          "attempt": "GET https://api.example.com",
          "count": 1,
          "grant": "--allow-net https://api.example.com",
          "reason": "origin not granted"
        }
      ],
      "digest": "[DIGEST]",
      "dropped_log_lines": 0,
      "event": "finished",
      "exit_code": 0,
      "peak_memory": "[NUMBER]",
      "request_bytes": 0,
      "requests": 0,
      "response_bytes": 0,
      "run_id": "run-1",
      "run_type": "INCREMENTAL",
      "status": "succeeded",
      "storage": "Sqlite (out.db)",
      "storage_wait_ms": "[NUMBER]",
      "streams": [
        {
          "bytes": "[NUMBER]",
          "committed_rows": 1500,
          "mode": "append",
          "refused_rows": 0,
          "refused_values": 0,
          "rows": 1500,
          "stream": "numbers"
        },
        {
          "bytes": "[NUMBER]",
          "committed_rows": 10,
          "mode": "merge",
          "refused_rows": 0,
          "refused_values": 0,
          "rows": 10,
          "stream": "others"
        },
        {
          "bytes": "[NUMBER]",
          "committed_rows": 1,
          "mode": "append",
          "refused_rows": 0,
          "refused_values": 0,
          "rows": 1,
          "stream": "seen"
        }
      ],
      "wall_ms": "[NUMBER]"
    }
    "#);
}

#[test]
fn failures_before_a_run_are_events_too() {
    let lab = Lab::new();
    lab.configure(&json!({ "Behaviour": 7 }));
    let outcome = lab.run_component("guest.wasm", &[]);
    assert_eq!(outcome.events().len(), 1);
    assert_snapshot!(outcome.failure(), @r#"
    3 config: cfg.json: source.config.Behaviour: expected a text, found the number 7
    at: Behaviour
    hint: write "7"
    "#);
    let other = lab.ow_host(&["validate", "guest.wasm", "--config", "cfg.json", "--output", "json"]);
    assert_snapshot!(other.failure(), @r#"
    3 config: cfg.json: source.config.Behaviour: expected a text, found the number 7
    at: Behaviour
    hint: write "7"
    "#);
}

#[test]
fn inspect_tells_what_a_connector_asks_for() {
    let lab = Lab::new();
    let told = lab.ow_host(&["inspect", "guest.wasm"]).text();
    // The size differs with the compiler.
    let told: String = told
        .lines()
        .filter(|line| !line.starts_with("size:"))
        .fold(String::new(), |text, line| text + line + "\n");
    assert_snapshot!(told, @r#"
    exit 0
    --- stdout
    guest.wasm: a WebAssembly component
    sha256:  [DIGEST]
    name:    test-guest
    version: 1.2.3
    title:   Test guest
    about:   Does whatever its configuration says.
    docs:    https://docs.example.com/test-guest
    asks for network: https://api.example.com
    asks for secrets in clear: SigningKey
    parameters:
      Behaviour (string, required): What the run does.
      Colour
      Password (string, secret): A secret that the guest does not see.
      Rows (integer, --set)
      SigningKey (string, secret): A secret that the guest asks to see.
      StartDate (string, default "2024-01-01", --set)
    streams:
      numbers (key id)
        id int64 not null
        square int64
        text text
      seen (append-only)
        name text not null
        value text
    imports:
      wasi:io/poll@0.2.12
      wasi:clocks/monotonic-clock@0.2.12
      wasi:io/error@0.2.12
      wasi:io/streams@0.2.12
      wasi:http/types@0.2.12
      wasi:http/outgoing-handler@0.2.12
      ow:connector/types@0.1.0
      ow:connector/storage@0.1.0
      ow:connector/state@0.1.0
      ow:connector/report@0.1.0
      wasi:cli/environment@0.2.12
      wasi:cli/exit@0.2.12
      wasi:cli/stdin@0.2.12
      wasi:cli/stdout@0.2.12
      wasi:cli/stderr@0.2.12
      wasi:cli/terminal-input@0.2.12
      wasi:cli/terminal-output@0.2.12
      wasi:cli/terminal-stdin@0.2.12
      wasi:cli/terminal-stdout@0.2.12
      wasi:cli/terminal-stderr@0.2.12
      wasi:clocks/wall-clock@0.2.12
      wasi:filesystem/types@0.2.12
      wasi:filesystem/preopens@0.2.12
      wasi:sockets/network@0.2.12
      wasi:sockets/instance-network@0.2.12
      wasi:sockets/udp@0.2.12
      wasi:sockets/udp-create-socket@0.2.12
      wasi:sockets/tcp@0.2.12
      wasi:sockets/tcp-create-socket@0.2.12
      wasi:sockets/ip-name-lookup@0.2.12
      wasi:random/random@0.2.12
    --- stderr
    "#);
}

#[test]
fn check_and_discover() {
    let lab = Lab::new();
    lab.configure(&json!({ "Behaviour": "nothing" }));
    let check = || lab.ow_host(&["check", "guest.wasm", "--config", "cfg.json"]);
    assert_snapshot!(check().text(), @r"
    exit 0
    --- stdout
    the source can be reached
    the storage Sqlite can be reached: out.db will be created
    --- stderr
    ");
    let json = ["check", "guest.wasm", "--config", "cfg.json", "--output", "json"];
    assert_snapshot!(lab.ow_host(&json).stdout, @r#"{"found":"out.db will be created","status":"succeeded","storage":"Sqlite"}"#);
    assert!(!lab.path("out.db").exists());
    assert_snapshot!(lab.ow_host(&["discover", "guest.wasm", "--config", "cfg.json"]).text(), @r"
    exit 0
    --- stdout
    numbers (key id)
      id int64 not null
      square int64
      text text
    seen (append-only)
      name text not null
      value text
    --- stderr
    ");
    lab.configure(&json!({ "Behaviour": "nothing", "Check": { "Behaviour": "fail", "Kind": "auth", "Message": "wrong password" } }));
    assert_snapshot!(lab.ow_host(&["check", "guest.wasm", "--config", "cfg.json"]).text(), @r"
    exit 1
    --- stdout
    --- stderr
    error: [connector] wrong password
    hint: check the credentials in the configuration
    ");
    lab.configure(&json!({ "Behaviour": "nothing", "Check": { "Behaviour": "write" } }));
    assert_snapshot!(lab.ow_host(&["check", "guest.wasm", "--config", "cfg.json"]).text(), @r"
    exit 5
    --- stdout
    --- stderr
    error: [connector] rows and state cannot be written outside a run
    ");
}

#[test]
fn check_reaches_the_storage_too() {
    let lab = Lab::new();
    let check = |source: Value, storage: Value| {
        let mut config = configuration(&source);
        config["storage"] = storage;
        lab.write("cfg.json", config.to_string());
        lab.ow_host(&["check", "guest.wasm", "--config", "cfg.json"]).text()
    };
    let missing = || json!({ "name": "Sqlite", "config": { "Path": "missing/out.db" } });
    let fails = json!({ "Behaviour": "fail", "Kind": "auth", "Message": "wrong password" });
    assert_snapshot!(check(json!({ "Behaviour": "nothing" }), missing()), @r"
    exit 3
    --- stdout
    --- stderr
    error: storage.config.Path: folder `missing`, where the database is to be, does not exist; create it, or set `Path` to another place
      at: parameter Path
    ");
    assert_snapshot!(check(json!({ "Behaviour": "nothing", "Check": fails }), missing()), @r"
    exit 1
    --- stdout
    --- stderr
    error: [connector] wrong password; and the storage cannot be reached: storage.config.Path: folder `missing`, where the database is to be, does not exist; create it, or set `Path` to another place
    hint: check the credentials in the configuration
    ");
    assert_snapshot!(check(json!({ "Behaviour": "nothing" }), json!({ "name": "Sqlite", "config": { "Path": "a", "TablePrefix": 5, "X": 1 } })), @r"
    exit 3
    --- stdout
    --- stderr
    error: cfg.json: storage.config.X: storage Sqlite has no parameter `X`
      at: parameter X
    ");
    lab.write("no.db", "this is no database at all, but a text of some length");
    assert_snapshot!(check(json!({ "Behaviour": "nothing" }), json!({ "name": "Sqlite", "config": { "Path": "no.db" } })), @r"
    exit 3
    --- stdout
    --- stderr
    error: storage.config.Path: file `no.db` is not an SQLite database; set `Path` to another file
      at: parameter Path
    ");
    assert_snapshot!(check(json!({ "Behaviour": "nothing" }), json!({ "name": "Discard" })), @r"
    exit 0
    --- stdout
    the source can be reached
    the storage Discard can be reached: nothing is kept
    --- stderr
    ");
}

#[test]
fn storages_are_listed_with_their_parameters() {
    let lab = Lab::new();
    let text = lab.ow_host(&["storages"]).success().stdout;
    let sqlite: Vec<_> = text.lines().skip_while(|line| !line.starts_with("Sqlite: ")).take(3).collect();
    assert_snapshot!(sqlite.join("\n"), @r#"
    Sqlite: A file of rows and state beside each other. The default storage.
      Path (string, required): The database file, such as `ow.db`. It is created where it is not there. A relative path starts at the folder of the configuration file.
      TablePrefix (string, default ""): What the name of every table starts with, such as `ads_`.
    "#);
    let json: Value =
        serde_json::from_str(&lab.ow_host(&["storages", "--output", "json"]).success().stdout).unwrap();
    for storage in json.as_array().unwrap() {
        let name = storage["name"].as_str().unwrap();
        assert!(text.lines().any(|line| line.starts_with(&format!("{name}: "))), "{name}");
        for name in [name, storage["alias"].as_str().unwrap()] {
            let schema = lab.ow_host(&["schema", "storage", name]).success().stdout;
            assert_eq!(serde_json::from_str::<Value>(&schema).unwrap(), storage["parameters"], "{name}");
        }
    }
    assert_snapshot!(lab.ow_host(&["schema", "storage", "sqlit"]).text(), @r"
    exit 2
    --- stdout
    --- stderr
    error: there is no storage `sqlit`; did you mean `Sqlite`? (there are Sqlite, LocalFiles, Postgres, GoogleBigQuery, AwsAthena, Discard)
    ");
}

#[test]
fn the_small_commands() {
    let lab = Lab::new();
    assert_snapshot!(lab.ow_host(&["cache", "dir", "--cache-dir", "here"]).text(), @r"
    exit 0
    --- stdout
    here
    --- stderr
    ");
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
    let line = format!(
        "'{host}' run guest.wasm --config cfg.json --output json --cache-dir '{cache}/ow-host' | head -n 1; exit ${{PIPESTATUS[0]}}"
    );
    let status = std::process::Command::new("bash").args(["-c", &line]).current_dir(lab.path("")).output();
    let Ok(output) = status else { return };
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
