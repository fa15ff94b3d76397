//! GitHub, from configuration to table.

use std::sync::atomic::{AtomicU32, Ordering};

use e2e::apis::github::{BUSY, RECORDED, TOKEN, refusal, start};
use e2e::{Answer, Lab, Outcome, Request, Server, build};
use insta::assert_snapshot;
use serde_json::{Value, json};

fn lab(server: &Server, more: &Value) -> Lab {
    let lab = Lab::new();
    lab.take(&build::connector("github"), "connector.wasm");
    configure(&lab, server, more);
    lab
}

fn configure(lab: &Lab, server: &Server, more: &Value) {
    let mut parameters = json!({ "AccessToken": TOKEN, "RepositoryName": BUSY, "BaseUrl": server.origin() });
    parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    lab.configure(&parameters);
}

fn run(lab: &Lab, server: &Server, flags: &[&str]) -> Outcome {
    let origin = server.origin();
    lab.run_component("connector.wasm", &[&["--allow-net", &origin], flags].concat())
}

#[test]
fn two_repositories_and_all_their_contributors() {
    let server = start(|_| None);
    let lab = lab(&server, &json!({ "RepositoryName": format!("{RECORDED}, {BUSY}") }));
    insta::allow_duplicates! {
    for flags in
        [&[][..], &["--type", "CUSTOM"], &["--set", "StartDate=2024-01-01"], &["--type", "FULL_REFRESH"]]
    {
        let outcome = run(&lab, &server, flags).success();
        assert!(!outcome.stdout.contains(TOKEN));
        assert_snapshot!(
            lab.query("SELECT id, full_name, owner_login, owner_id, owner_type, license_key, topics, created_at, has_discussions FROM github_repository ORDER BY id"),
            @r#"
        103703892|octokit-fixture-org/hello-world|octokit-fixture-org|31898100|Organization|NULL|["fixtures","hello","hello-world"]|2017-09-15|NULL
        1296269|someone/tools|octokit-fixture-org|31898100|Organization|mit|["fixtures","hello","hello-world"]|2017-09-15|1
        "#
        );
        assert_snapshot!(
            lab.query("SELECT repository, count(*), min(contributions), max(contributions) FROM github_contributors GROUP BY 1"),
            @"someone/tools|230|1|230"
        );
        let stats = lab.query(
            "SELECT repository_id, repository, stars, contributors FROM github_repository_stats ORDER BY 1",
        );
        assert_snapshot!(stats, @r"
        103703892|octokit-fixture-org/hello-world|0|0
        1296269|someone/tools|80|230
        ");
        assert_eq!(lab.state(), json!({}));
    }
    }
}

#[test]
fn refusals_are_told_by_kind() {
    let failure = |more: Value, fault: fn(&Request) -> Option<Answer>| {
        let server = start(fault);
        let lab = lab(&server, &more);
        let outcome = run(&lab, &server, &[]);
        assert_eq!(lab.query("SELECT count(*) FROM github_repository"), "no such table: github_repository");
        format!("{} requests\n{}", server.requests().len(), outcome.failure())
    };
    assert_snapshot!(failure(json!({ "AccessToken": "ghp_old" }), |_| None), @r"
    1 requests
    1 connector: someone/tools: GET http://127.0.0.1:[PORT]/repos/someone/tools: GitHub refuses the access token: Bad credentials
    at: AccessToken
    hint: check the credentials in the configuration
    ");
    assert_snapshot!(failure(json!({ "RepositoryName": "someone/tolls" }), |_| None), @r"
    1 requests
    3 config: someone/tolls: GET http://127.0.0.1:[PORT]/repos/someone/tolls: there is no such repository, or the access token may not see it
    at: RepositoryName
    ");
    assert_snapshot!(failure(json!({}), |_| {
        let answer = refusal(403, "Resource not accessible by personal access token");
        Some(answer.header("x-ratelimit-remaining", "4998").header("x-accepted-github-permissions", "metadata=read"))
    }), @r"
    1 requests
    1 connector: someone/tools: GET http://127.0.0.1:[PORT]/repos/someone/tools: the access token may not read this: Resource not accessible by personal access token (it needs `metadata=read`)
    at: AccessToken
    hint: check the credentials in the configuration
    ");
    assert_snapshot!(failure(json!({}), |_| {
        let answer = refusal(403, "You have exceeded a secondary rate limit.");
        Some(answer.header("retry-after", "3600"))
    }), @r"
    1 requests
    1 connector, retryable: someone/tools: GET http://127.0.0.1:[PORT]/repos/someone/tools: GitHub asks to wait: You have exceeded a secondary rate limit.
    hint: the source asks to wait 3600 s before the next try
    ");
    let far = failure(json!({}), |_| {
        let answer = refusal(403, "API rate limit exceeded for user ID 1.");
        Some(answer.header("x-ratelimit-remaining", "0").header("x-ratelimit-reset", "4102444800"))
    });
    assert!(far.starts_with("1 requests\n1 connector, retryable: someone/tools: "), "{far}");
    assert!(far.contains("GitHub asks to wait: API rate limit exceeded"), "{far}");
}

#[test]
fn short_limits_and_broken_pages_are_lived_through() {
    let count = AtomicU32::new(0);
    let server = start(move |request| {
        let tries = || count.fetch_add(1, Ordering::Relaxed);
        match (request.path(), request.query("page")) {
            ("/repos/someone/tools", _) if tries() == 0 => {
                let answer = refusal(403, "API rate limit exceeded").header("x-ratelimit-remaining", "0");
                Some(answer.header("x-ratelimit-reset", "1"))
            }
            ("/repositories/1296269/contributors", Some("2")) => match tries() {
                2 => Some(Answer::new(502, "<html>bad gateway")),
                3 => Some(refusal(429, "slow down").header("retry-after", "0")),
                _ => None,
            },
            _ => None,
        }
    });
    let lab = lab(&server, &json!({}));
    run(&lab, &server, &[]).expect_success();
    assert_eq!(lab.query("SELECT count(*) FROM github_contributors"), "230");
    assert_eq!(server.requests().len(), 7);
}

#[test]
fn a_repository_that_fails_leaves_the_others() {
    let server = start(|request| {
        (request.query("page") == Some("3")).then(|| Answer::new(200, "[{\"id\": 1, \"login\": \"per"))
    });
    let lab = lab(&server, &json!({ "RepositoryName": format!("{BUSY},nobody/nothing,{RECORDED}") }));
    let failure = run(&lab, &server, &[]).failure();
    assert!(failure.starts_with("1 connector: 2 of 3 failed: someone/tools: GET "), "{failure}");
    assert!(failure.contains("nobody/nothing: GET "), "{failure}");
    assert_snapshot!(lab.query("SELECT repository FROM github_repository_stats"), @"octokit-fixture-org/hello-world");
}
