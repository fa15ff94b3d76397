//! Ceilings of an organisation: no configuration and no flag gets above them.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use e2e::{Answer, Lab, Outcome, Server};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// A folder with `policy.json`, and a configuration with this `sandbox` section.
fn lab(policy: Value, sandbox: Value) -> Lab {
    let lab = Lab::new();
    write(&lab, "policy.json", &policy);
    let mut config = e2e::lab::configuration(&json!({ "Behaviour": "nothing" }));
    config["sandbox"] = sandbox;
    lab.write("cfg.json", config.to_string());
    lab
}

fn write(lab: &Lab, name: &str, policy: &Value) {
    let path = lab.write(name, policy.to_string());
    std::fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
}

fn run(lab: &Lab, flags: &[&str]) -> Outcome {
    lab.run_component("guest.wasm", &[&["--policy", "policy.json"], flags].concat())
}

#[test]
fn every_violation_is_told_with_its_place() {
    let policy = json!({
        "limits": { "memory": "64MiB", "timeout": "1m" },
        "allow_net": ["*.example.com"],
        "mounts": ["data"],
        "reveal_secrets": false,
        "storages": ["Postgres"],
        "sha256": ["0".repeat(64)],
    });
    let sandbox = json!({
        "memory": "1GiB", "timeout": "2m", "allow_net": ["https://a.example.com", "https://example.org"],
        "mounts": ["data:/data:rw"], "reveal_secrets": ["SigningKey"],
    });
    let lab = lab(policy, sandbox);
    lab.write("data/file", "x");
    let flags = ["--timeout", "3m", "--mount", ".:/all", "--allow-net", "http://b.example.com"];
    assert_snapshot!(run(&lab, &flags).failure(), @r"
    5 denied: a policy refuses this run: 9 violations
      sandbox.memory: 1GiB is above 64MiB, the ceiling of policy.json
      --timeout: 3m is above 1m, the ceiling of policy.json
      sandbox.reveal_secrets: 'SigningKey' is not among the secrets that policy.json lets be seen in clear, which are none
      sandbox.mounts: [DIR]/data:/data:rw is not within the folders of policy.json, which are 'data:ro'
      --mount: [DIR]:/all:ro is not within the folders of policy.json, which are 'data:ro'
      sandbox.allow_net: https://example.org is not within the origins of policy.json, which are 'https://*.example.com'
      --allow-net: http://b.example.com is not within the origins of policy.json, which are 'https://*.example.com'
      storage.name: Sqlite is not among the storages of policy.json, which are 'Postgres'
      guest.wasm: its SHA-256, [DIGEST], is not among those of policy.json
    hint: ask for less, or ask whoever keeps the policy to allow it
    ");
    assert!(!lab.path("out.db").exists());
}

#[test]
fn what_is_within_the_ceilings_runs_and_defaults_are_lowered() {
    let lab = lab(json!({ "limits": { "memory": "1MiB" } }), json!({}));
    let outcome = run(&lab, &[]);
    assert_eq!(outcome.code, Some(6), "{}", outcome.stdout);
    assert!(outcome.failure().contains("1MiB"), "{}", outcome.failure());

    let server = Server::start(|_| Answer::new(200, "reached"));
    let lab = Lab::new();
    write(
        &lab,
        "policy.json",
        &json!({ "allow_net": [server.origin()], "mounts": ["in"], "storages": ["Sqlite"] }),
    );
    lab.write("in/file", "x");
    let steps = json!([
        { "Behaviour": "http", "Url": server.url("/") },
        { "Behaviour": "read", "Path": "/in/file" },
    ]);
    let origin = server.origin();
    let flags = ["--policy", "policy.json", "--allow-net", &origin, "--mount", "in:/in"];
    let report = lab.script(steps, &flags).success().report();
    assert_eq!(report["audit"]["policies"], json!(["policy.json"]));
    assert_eq!(report["requests"], 1);
}

#[test]
fn the_policy_of_the_machine_counts_beside_that_of_the_flag() {
    let lab = lab(json!({ "limits": { "memory": "128MiB" } }), json!({}));
    write(&lab, "machine.json", &json!({ "limits": { "memory": "64MiB" }, "deny_network": true }));
    let run = |flags: &[&str]| {
        let arguments = [
            &["run", "guest.wasm", "--config", "cfg.json", "--output", "json", "--policy", "policy.json"],
            flags,
        ]
        .concat();
        lab.command(&arguments).env("OW_POLICY", "machine.json").start().wait()
    };
    let audit = run(&["--memory", "64MiB"]).success().report()["audit"].clone();
    assert_eq!(audit["policies"], json!(["machine.json", "policy.json"]));
    assert_eq!(audit["network_denied_by"], "the policy machine.json");
    assert_snapshot!(run(&["--memory", "100MiB", "--allow-net", "https://a.example"]).failure(), @r"
    5 denied: a policy refuses this run: 2 violations
      --memory: 100MiB is above 64MiB, the ceiling of machine.json
      --allow-net: https://a.example, and machine.json denies the network
    hint: ask for less, or ask whoever keeps the policy to allow it
    ");
    // A variable that leads nowhere is no way around.
    let arguments = ["run", "guest.wasm", "--config", "cfg.json", "--output", "json"];
    let outcome = lab.command(&arguments).env("OW_POLICY", "gone.json").start().wait();
    assert_eq!(outcome.failure(), "3 config: gone.json: cannot be read: there is no such file");
}

#[test]
fn no_command_gets_past_a_policy() {
    let policy = json!({ "storages": ["Postgres"], "sha256": ["0".repeat(64)] });
    let lab = lab(policy, json!({}));
    for command in ["validate", "check", "discover", "preview"] {
        let outcome =
            lab.ow_host(&[command, "guest.wasm", "--config", "cfg.json", "--policy", "policy.json"]);
        assert_eq!(outcome.code, Some(5), "{command}: {}", outcome.stderr);
        outcome.failure_text("is not among those of policy.json");
        // Rows of a preview go nowhere.
        assert_eq!(outcome.stderr.contains("Sqlite is not among the storages"), command != "preview");
    }
    let inspected = lab.ow_host(&["inspect", "guest.wasm", "--policy", "policy.json"]);
    assert_eq!(inspected.code, Some(5));
    assert!(!inspected.stdout.contains("test-guest"), "{}", inspected.stdout);
    for command in [&["state", "show"][..], &["state", "reset"]] {
        let outcome = lab.ow_host(&[command, &["--config", "cfg.json", "--policy", "policy.json"]].concat());
        assert_eq!(outcome.code, Some(5), "{command:?}: {}", outcome.stderr);
    }
    assert!(!lab.path("out.db").exists());
}

#[test]
fn inspect_is_no_way_around_the_least_isolation() {
    let lab = lab(json!({ "isolation": "process" }), json!({}));
    let inspect = ["inspect", "guest.wasm", "--policy", "policy.json", "--isolation", "none"];
    let outcome = lab.ow_host(&inspect);
    assert_eq!(outcome.code, Some(5));
    outcome.failure_text(
        "a policy refuses this run: --isolation: none is less strict than process, the least of policy.json",
    );
}

#[test]
fn a_policy_that_others_can_write_or_that_is_wrong_stops_everything() {
    let lab = lab(json!({}), json!({}));
    run(&lab, &[]).expect_success();
    std::fs::set_permissions(lab.path("policy.json"), Permissions::from_mode(0o666)).unwrap();
    assert_snapshot!(run(&lab, &[]).failure(), @r"
    3 config: policy.json: other users can change this file, so that it bounds nothing
    hint: give it to root or to yourself, and take writing from the others with `chmod go-w`
    ");
    write(&lab, "policy.json", &json!({ "limit": {} }));
    assert_snapshot!(run(&lab, &[]).failure(), @r"
    3 config: policy.json: limit: no such key
    hint: did you mean 'limits'?
    ");
}

#[test]
fn the_schema_of_a_policy_is_printed() {
    let schema: Value =
        serde_json::from_str(&Lab::new().ow_host(&["schema", "policy"]).success().stdout).unwrap();
    assert_eq!(schema["title"], "ow-host policy");
    assert!(schema["properties"]["limits"]["properties"]["memory"].is_object());
}
