//! What the report tells of the capabilities of a run, and the network that is
//! denied.

use e2e::{Answer, Lab, Server};
use insta::assert_snapshot;
use serde_json::{Value, json};

fn step(behaviour: &str, path: &str) -> Value {
    json!({ "Behaviour": behaviour, "Path": path })
}

fn save(path: &str) -> Value {
    json!({ "Behaviour": "save", "Path": path, "Text": "x" })
}

/// A run that uses one of everything, and the server it used.
fn busy(flags: &[&str]) -> (Lab, Server, e2e::Outcome) {
    let server = Server::start(|_| Answer::new(200, "hello"));
    let lab = Lab::new();
    lab.write("in/a.txt", "a");
    lab.write("out/b.txt", "b");
    let steps = json!([
        { "Behaviour": "http", "Url": server.url("/{Password}?p={Password}"),
          "Headers": [{ "Name": "x-key", "Text": "{Password}" }] },
        { "Behaviour": "http", "Url": "https://api.example.org/" },
        step("list", "/in"),
        step("read", "/in/a.txt"),
        save("/in/a.txt"),
        step("delete", "/in/a.txt"),
        step("read", "/in/../secret.txt"),
        step("read", "/in/nosuch.txt"),
        save("/out/c.txt"),
        step("delete", "/out/c.txt"),
        step("folder", "/out/folder"),
        json!({ "Behaviour": "rename", "Path": "/out/b.txt", "To": "/out/d.txt" }),
        save("/work/scratch.txt"),
    ]);
    lab.configure(&json!({ "Behaviour": "script", "Steps": steps, "Password": "s3cret-p4ss" }));
    let origin = server.origin();
    let all = [
        &[
            "--allow-net",
            origin.as_str(),
            "--allow-net",
            "*.unused.example",
            "--mount",
            "in:/in",
            "--mount",
            "out:/out:rw",
        ][..],
        flags,
    ]
    .concat();
    let outcome = if flags.contains(&"--output") {
        lab.ow_host(&[&["run", "guest.wasm", "--config", "cfg.json"], &all[..]].concat())
    } else {
        lab.run_component("guest.wasm", &all)
    };
    (lab, server, outcome)
}

#[test]
fn each_capability_is_told_with_its_use() {
    let (_lab, server, outcome) = busy(&[]);
    let report = outcome.success().report();
    let text = serde_json::to_string_pretty(&report["audit"]).unwrap();
    assert_snapshot!(text.replace(&server.port().to_string(), "[PORT]"), @r#"
    {
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
          "written": 1
        },
        {
          "access": "ro",
          "guest": "/in",
          "host": "in",
          "listed": 1,
          "made": 0,
          "read": 1,
          "refused": 3,
          "removed": 0,
          "renamed": 0,
          "written": 0
        },
        {
          "access": "rw",
          "guest": "/out",
          "host": "out",
          "listed": 0,
          "made": 1,
          "read": 0,
          "refused": 0,
          "removed": 1,
          "renamed": 1,
          "written": 1
        }
      ],
      "isolation": "none",
      "origins": [
        {
          "grant": "http://127.0.0.1:[PORT]",
          "origin": "http://127.0.0.1:[PORT]",
          "request_bytes": 0,
          "requests": 1,
          "response_bytes": 5
        },
        {
          "grant": "https://*.unused.example",
          "request_bytes": 0,
          "requests": 0,
          "response_bytes": 0
        }
      ],
      "policies": [],
      "secrets": [
        {
          "name": "Password",
          "put": [
            {
              "count": 3,
              "origin": "http://127.0.0.1:[PORT]"
            }
          ],
          "seen_as": "placeholder"
        }
      ]
    }
    "#);
    assert!(!text.contains("s3cret"));
    let denied: Vec<String> = report["denied"]
        .as_array()
        .unwrap()
        .iter()
        .map(|denied| {
            format!("{} x {}: {}; {}", denied["count"], denied["attempt"], denied["reason"], denied["grant"])
        })
        .collect();
    assert_snapshot!(denied.join("\n"), @r#"
    1 x "GET https://api.example.org": "origin not granted"; "--allow-net https://api.example.org"
    1 x "read in /in": "the path leads out of the folder, or the system forbids it"; null
    1 x "remove in /in": "the folder is mounted read-only"; "--mount in:/in:rw"
    1 x "write in /in": "the folder is mounted read-only"; "--mount in:/in:rw"
    "#);
}

#[test]
fn the_summary_says_what_was_used_and_refused() {
    let (_lab, _server, outcome) = busy(&["--output", "text", "--quiet"]);
    assert_snapshot!(outcome.text(), @r"
    exit 0
    --- stdout
    succeeded: run [RUN] of the data mart 'mart'
      seen: 13 rows, [SIZE] (append)
      1 commits, 1 requests (0 B sent, 5 B received), 4 denied
      network: http://127.0.0.1:[PORT] 1 request (0 B sent, 5 B received)
      folders: /work 1 written; /in 1 read, 1 listed, 3 refused; /out 1 written, 1 made, 1 removed, 1 renamed
      secrets: Password 3 x to http://127.0.0.1:[PORT]
      refused: 1 x GET https://api.example.org (origin not granted); 1 x read in /in (the path leads out of the folder, or the system forbids it); 1 x remove in /in (the folder is mounted read-only); 1 x write in /in (the folder is mounted read-only)
      [SIZE] at most, [TIME] of processor time, [TIME] in all
    --- stderr
    ");
    let (_lab, _server, outcome) = busy(&["--output", "text", "--quiet", "--audit"]);
    assert_snapshot!(outcome.text(), @r"
    exit 0
    --- stdout
    succeeded: run [RUN] of the data mart 'mart'
      seen: 13 rows, [SIZE] (append)
      1 commits, 1 requests (0 B sent, 5 B received), 4 denied
      isolation: none
      policies: none
      signed: none
      network:
        http://127.0.0.1:[PORT] 1 request (0 B sent, 5 B received)
        https://*.unused.example not used
      folders:
        /work 1 written
        /in (in, ro) 1 read, 1 listed, 3 refused
        /out (out, rw) 1 written, 1 made, 1 removed, 1 renamed
      secrets:
        Password 3 x to http://127.0.0.1:[PORT]
      environment:
        OW_CONFIG
        OW_RUN_CONFIG
        OW_DATAMART_ID
        OW_RUN_ID
      refused:
        1 x GET https://api.example.org (origin not granted)
        1 x read in /in (the path leads out of the folder, or the system forbids it)
        1 x remove in /in (the folder is mounted read-only)
        1 x write in /in (the folder is mounted read-only)
      [SIZE] at most, [TIME] of processor time, [TIME] in all
    --- stderr
    ");
}

#[test]
fn what_a_run_was_not_granted_is_counted_once_for_each_kind() {
    let lab = Lab::new();
    lab.write("in/a.txt", "a");
    let steps: Vec<Value> = (0..200).map(|n| save(&format!("/in/{n}.txt"))).collect();
    let report = lab.script(json!(steps), &["--mount", "in:/in"]).success().report();
    assert_eq!(report["denied"].as_array().unwrap().len(), 1, "{}", report["denied"]);
    assert_eq!(report["denied"][0]["count"], 200);
    assert_eq!(report["audit"]["folders"][1]["refused"], 200);
    assert_eq!(report["denied"][0]["grant"], "--mount in:/in:rw");
}

#[test]
fn a_denied_network_is_denied_whatever_is_granted() {
    let server = Server::start(|_| Answer::new(200, "reached"));
    let origin = server.origin();
    let steps = json!([{ "Behaviour": "http", "Url": server.url("/") }, { "Behaviour": "http", "Url": server.url("/") }]);
    let lab = Lab::new();
    let outcome =
        lab.script(steps.clone(), &["--allow-net", &origin, "--allow-requested", "--deny-network"]).success();
    let report = outcome.report();
    assert_eq!(server.requests().len(), 0);
    assert_eq!(report["audit"]["network_denied_by"], "--deny-network");
    assert_eq!(report["audit"]["origins"], json!([]));
    let attempt = format!("GET {origin}");
    let expected =
        json!([{ "attempt": attempt, "reason": "the network is denied by --deny-network", "count": 2 }]);
    assert_eq!(report["denied"], expected);

    // In the configuration, and in every command.
    let mut config = e2e::lab::configuration(&json!({ "Behaviour": "script", "Steps": steps }));
    config["sandbox"] = json!({ "deny_network": true, "allow_net": [origin] });
    lab.write("cfg.json", config.to_string());
    let report = lab.run_component("guest.wasm", &[]).success().report();
    assert_eq!(report["audit"]["network_denied_by"], "`deny_network` in the configuration's sandbox section");
    assert_eq!(server.requests().len(), 0);
    lab.ow_host(&["preview", "guest.wasm", "--config", "cfg.json"]).expect_success();
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_run_that_needs_no_network_proves_it() {
    let lab = Lab::new();
    let steps = json!([{ "Behaviour": "write", "Rows": 3 }]);
    let report = lab.script(steps, &["--deny-network"]).success().report();
    assert_eq!(report["denied"], json!([]));
    assert_eq!(report["requests"], 0);
    assert_eq!(report["audit"]["network_denied_by"], "--deny-network");
}

#[test]
fn what_a_check_was_refused_is_told() {
    let lab = Lab::new();
    let check = json!({ "Behaviour": "read", "Path": "/work/../secret.txt" });
    lab.configure(&json!({ "Behaviour": "nothing", "Check": check }));
    assert_snapshot!(lab.ow_host(&["check", "guest.wasm", "--config", "cfg.json"]).text(), @r"
    exit 5
    --- stdout
    --- stderr
    denied: read in /work: the path leads out of the folder, or the system forbids it
    error: [connector] rows and state cannot be written outside a run
    ");
}
