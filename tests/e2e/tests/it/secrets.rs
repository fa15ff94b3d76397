//! Secrets by the command: where they go, what rows and state hold, and files that
//! others can read.

use std::os::unix::fs::PermissionsExt as _;

use e2e::{Answer, Lab, Server};
use insta::assert_snapshot;
use serde_json::json;

#[test]
fn a_secret_that_is_bound_goes_nowhere_else() {
    let (api, other) = (Server::start(|_| Answer::new(200, "ok")), Server::start(|_| Answer::new(200, "ok")));
    let lab = Lab::new();
    let to = |server: &Server| {
        let header = json!({ "Name": "x-key", "Text": "{Password}" });
        json!({ "Behaviour": "http", "Url": server.url("/"), "Headers": [header] })
    };
    let parameters = || json!({ "Steps": [to(&api), to(&other), to(&other)], "Password": "hunter2hunter2" });
    let (api_origin, other_origin) = (api.origin(), other.origin());
    let grants = ["--allow-net", api_origin.as_str(), "--allow-net", other_origin.as_str()];
    let binding = format!("Password={api_origin}");
    let flags = [&grants[..], &["--secret-origin", &binding]].concat();
    let outcome = lab.run_with("script", parameters(), &flags).success();
    assert_snapshot!(lab.seen(), @r"
    GET http://127.0.0.1:[PORT]/|200 ok
    GET http://127.0.0.1:[PORT]/|failed: HttpRequestDenied
    GET http://127.0.0.1:[PORT]/|failed: HttpRequestDenied
    ");
    assert_snapshot!(outcome.denied(), @"2 x GET http://127.0.0.1:[PORT]: the secret 'Password' may go to other origins only; --secret-origin Password=http://127.0.0.1:[PORT]");
    assert_eq!(api.requests()[0].header("x-key"), Some("hunter2hunter2"));
    assert!(other.requests().is_empty());
    // A name that is misspelt would protect nothing.
    let binding = format!("Pasword={api_origin}");
    let flags = [&grants[..], &["--secret-origin", &binding]].concat();
    assert_snapshot!(lab.run_with("script", parameters(), &flags).failure(), @r"
    3 config: secret origins: this configuration has no secret 'Pasword'
    hint: did you mean 'Password'?
    ");
}

#[test]
fn rows_and_state_hold_no_secret_where_the_operator_says_so() {
    let lab = Lab::new();
    let parameters = || json!({ "Password": "hunter2hunter2", "SigningKey": "another secret value" });
    let flags = ["--reveal-secret", "SigningKey", "--redact-rows"];
    let outcome = lab.run_with("secret", parameters(), &flags).success();
    assert_snapshot!(lab.seen(), @r"
    password|[PLACEHOLDER]
    signing key|***
    state|the state key 'password' holds the placeholder of the secret 'Password', which means nothing in the next run
    ");
    let log = outcome.log();
    assert!(
        log.ends_with(
            "warn host: 1 value in rows or state held a secret, which stands there as *** (redact_rows)"
        ),
        "{log}"
    );
    assert!(!outcome.stdout.contains("another secret value"));
}

#[test]
fn a_configuration_that_others_can_read_draws_a_warning() {
    let lab = Lab::new();
    let parameters = json!({ "Behaviour": "script", "Steps": [], "Password": "hunter2hunter2" });
    lab.configure(&parameters);
    let mode =
        |mode| std::fs::set_permissions(lab.path("cfg.json"), std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let outcome = lab.run_component("guest.wasm", &[]).success();
    assert_snapshot!(outcome.log(), @"warn host: cfg.json: holds secrets in clear, and others than its owner can read or write it: chmod 600 cfg.json");
    mode(0o600);
    assert_snapshot!(lab.run_component("guest.wasm", &[]).success().log(), @"");
}
