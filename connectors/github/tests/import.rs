//! The connector against an answer that GitHub gave, and others in the shape of
//! its API's.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::time::Duration;

use github::GitHub;
use ow_connector::ErrorKind;
use ow_connector::testing::{Request, Response, TestHost, TestRun, spec};
use serde_json::{Value, json};

const NAME: &str = "octokit-fixture-org/hello-world";

/// A repository, as GitHub told it (see `fixtures/LICENSE.md`).
fn recorded() -> Value {
    let recorded: Value = serde_json::from_str(include_str!("fixtures/get-repository.json")).unwrap();
    recorded[0]["response"].clone()
}

/// Another one, with a licence.
fn other() -> Value {
    let mut other = recorded();
    other["id"] = json!(7);
    other["full_name"] = json!("someone/tools");
    other["name"] = json!("tools");
    other["stargazers_count"] = json!(42);
    other["license"] = json!({"key": "mit", "name": "MIT License", "spdx_id": "MIT", "node_id": "x"});
    other
}

fn person(id: u64) -> Value {
    json!({"login": format!("person-{id}"), "id": id, "node_id": "x", "avatar_url": "https://avatars.githubusercontent.com/u/1",
           "gravatar_id": "", "html_url": format!("https://github.com/person-{id}"), "type": "User",
           "site_admin": false, "contributions": 1000 - id, "url": "https://api.github.com/users/x"})
}

fn message(status: u16, message: &str) -> Response {
    let body = json!({"message": message, "documentation_url": "https://docs.github.com/rest", "status": status.to_string()});
    Response::json(body).with_status(status)
}

/// The API: two repositories, the second with 250 contributors on three pages.
fn api(request: &Request) -> Response {
    if request.header("authorization") != Some("Bearer t0ken") {
        return message(401, "Bad credentials");
    }
    match request.path() {
        "/repos/octokit-fixture-org/hello-world" => Response::json(recorded()),
        "/repos/someone/tools" => Response::json(other()),
        "/repos/octokit-fixture-org/hello-world/contributors" => Response::status(204),
        "/repos/someone/tools/contributors" | "/repositories/7/contributors" => {
            assert_eq!(request.query("per_page").as_deref(), Some("100"));
            let page: u64 = request.query("page").map_or(1, |page| page.parse().unwrap());
            let people: Vec<Value> = (page * 100 - 99..=(page * 100).min(250)).map(person).collect();
            let next = format!(
                "<https://api.github.com/repositories/7/contributors?per_page=100&page={}>; rel=\"next\", \
                 <https://api.github.com/repositories/7/contributors?per_page=100&page=3>; rel=\"last\"",
                page + 1
            );
            let answer = Response::json(people.into());
            if page < 3 { answer.header("link", &next) } else { answer }
        }
        _ => message(404, "Not Found"),
    }
}

fn host() -> TestHost {
    let config = json!({"AccessToken": "t0ken", "RepositoryName": NAME});
    TestHost::new().config(config).now("2024-02-29T23:59:59Z").http(api)
}

fn both() -> TestHost {
    host().config(json!({"RepositoryName": format!("{NAME}, someone/tools")}))
}

fn warnings(run: &TestRun) -> Vec<&str> {
    run.logs().iter().filter(|log| log.level.as_str() == "WARN").map(|log| log.message.as_str()).collect()
}

#[test]
fn fills_every_column_of_a_recorded_answer() {
    let run = host().run::<GitHub>();
    run.assert_ok();
    let row = &run.rows("github_repository")[0];
    assert_eq!(row.as_object().unwrap().len(), 42);
    for (column, value) in [
        ("id", json!("103703892")),
        ("full_name", json!(NAME)),
        ("owner_login", json!("octokit-fixture-org")),
        ("owner_id", json!("31898100")),
        ("owner_type", json!("Organization")),
        ("license_key", Value::Null),
        ("topics", json!(r#"["fixtures","hello","hello-world"]"#)),
        ("created_at", json!("2017-09-15")),
        ("pushed_at", json!("2017-11-03")),
        ("has_wiki", json!(true)),
        ("stargazers_count", json!(0)),
        ("subscribers_count", json!(1)),
        ("has_discussions", Value::Null),
    ] {
        assert_eq!(row[column], value, "{column}");
    }
    assert_eq!(
        warnings(&run),
        ["stream `github_repository`: no object of the source had `has_discussions`: there are only NULLs"]
    );
}

#[test]
fn a_repository_without_commits_has_no_contributors() {
    let run = host().run::<GitHub>();
    run.assert_ok();
    assert!(run.rows("github_contributors").is_empty());
    assert_eq!(
        run.rows("github_repository_stats"),
        [
            json!({"date": "2024-02-29", "repository_id": "103703892", "repository": NAME, "stars": 0, "contributors": 0})
        ]
    );
}

#[test]
fn contributors_come_from_every_page() {
    let run = host().config(json!({"RepositoryName": "someone/tools"})).run::<GitHub>();
    run.assert_ok();
    let people = run.rows("github_contributors");
    assert_eq!((people.len(), run.requests().len()), (250, 4));
    assert_eq!(
        people[249],
        json!({"id": "250", "repository_id": "7", "repository": "someone/tools", "login": "person-250", "node_id": "x",
               "avatar_url": "https://avatars.githubusercontent.com/u/1", "gravatar_id": "",
               "html_url": "https://github.com/person-250", "type": "User", "site_admin": false, "contributions": 750})
    );
    let stats = &run.rows("github_repository_stats")[0];
    assert_eq!((&stats["contributors"], &stats["stars"]), (&json!(250), &json!(42)));
    assert_eq!(run.rows("github_repository")[0]["license_name"], "MIT License");
    let request = &run.requests()[3];
    assert_eq!(request.url(), "https://api.github.com/repositories/7/contributors?per_page=100&page=3");
    for (name, value) in [
        ("authorization", "Bearer t0ken"),
        ("accept", "application/vnd.github+json"),
        ("x-github-api-version", "2022-11-28"),
        ("user-agent", "github/0.1.0 (ow-connector)"),
    ] {
        assert_eq!(request.header(name), Some(value));
    }
}

#[test]
fn two_repositories_do_not_overwrite_each_other() {
    let first = both().run::<GitHub>();
    first.assert_ok();
    assert_eq!((first.rows("github_repository").len(), first.commits()), (2, 3));
    let stars = |run: &TestRun| -> Vec<(Value, Value, Value)> {
        let rows = run.rows("github_repository_stats").iter();
        rows.map(|row| (row["date"].clone(), row["repository"].clone(), row["stars"].clone())).collect()
    };
    let today = [
        (json!("2024-02-29"), json!(NAME), json!(0)),
        (json!("2024-02-29"), json!("someone/tools"), json!(42)),
    ];
    assert_eq!(stars(&first), today);
    let again = both().after(&first).run::<GitHub>();
    assert_eq!(stars(&again), today, "the same day counts once");
    let tomorrow = both().now("2024-03-01T00:00:00Z").after(&again).run::<GitHub>();
    assert_eq!(stars(&tomorrow).len(), 4);
    assert_eq!(stars(&tomorrow)[2].0, "2024-03-01");
}

#[test]
fn fetches_what_the_chosen_columns_need() {
    let asked = |fields: &str| {
        let config = json!({"RepositoryName": "someone/tools", "Fields": fields});
        let run = host().config(config).run::<GitHub>();
        run.assert_ok();
        let columns = |table: &str| {
            let row = run.rows(table).first().and_then(Value::as_object);
            row.map(|row| row.keys().map(String::as_str).collect::<Vec<_>>().join(" ")).unwrap_or_default()
        };
        let tables = ["github_repository", "github_contributors", "github_repository_stats"].map(columns);
        (run.requests().len(), tables.join("; "))
    };
    assert_eq!(asked("repository name"), (1, "id name; ; ".to_owned()));
    assert_eq!(asked("repositoryStats stars"), (1, "; ; date repository_id stars".to_owned()));
    assert_eq!(asked("repositoryStats contributors"), (4, "; ; contributors date repository_id".to_owned()));
    assert_eq!(asked("contributors login"), (4, "; id login repository_id; ".to_owned()));
}

#[test]
fn tables_can_have_other_names() {
    let names = "repository github_repository_stats, repositoryStats github_repository";
    let run = both().config(json!({"DestinationTableNameOverride": names})).run::<GitHub>();
    run.assert_ok();
    assert_eq!(run.rows("github_repository_stats")[1]["license_name"], "MIT License");
    assert_eq!(run.rows("github_repository")[1]["stars"], 42);
    assert_eq!(run.rows("github_contributors").len(), 250);
}

#[test]
fn refusals_are_told_by_kind() {
    let limit =
        || message(403, "API rate limit exceeded for user ID 1.").header("x-ratelimit-remaining", "0");
    type Answer = fn(&Request) -> Response;
    let cases: [(Answer, ErrorKind, Option<&str>, &str); 5] = [
        (
            |_| message(401, "Bad credentials"),
            ErrorKind::Auth,
            Some("AccessToken"),
            "GitHub refuses the access token: Bad credentials",
        ),
        (
            |_| {
                message(403, "Resource not accessible by personal access token")
                    .header("x-ratelimit-remaining", "4999")
                    .header("x-accepted-github-permissions", "metadata=read")
            },
            ErrorKind::Auth,
            Some("AccessToken"),
            "the access token may not read this: Resource not accessible by personal access token \
             (it needs `metadata=read`)",
        ),
        (
            |_| message(404, "Not Found"),
            ErrorKind::Config,
            Some("RepositoryName"),
            "there is no such repository, or the access token may not see it",
        ),
        (|_| message(451, "Blocked"), ErrorKind::InvalidData, None, "status 451: Blocked"),
        (
            |request| match request.path().ends_with("contributors") {
                true => message(403, "The history or contributor list is too large to list contributors."),
                false => api(request),
            },
            ErrorKind::Config,
            Some("Fields"),
            "GitHub does not list so many contributors",
        ),
    ];
    for (answer, kind, parameter, text) in cases {
        let run = host().http(answer).run::<GitHub>();
        let error = run.error().unwrap();
        assert_eq!((error.kind(), error.parameter_name()), (kind, parameter), "{error}");
        assert!(error.message().starts_with(NAME) && error.message().contains(text), "{error}");
        assert_eq!(run.slept(), Duration::ZERO);
    }
    let far = move |_: &Request| limit().header("x-ratelimit-reset", "1709255000");
    let run = host().now("2024-03-01T00:00:00Z").http(far).run::<GitHub>();
    let error = run.error().unwrap();
    assert_eq!((error.kind(), error.wait()), (ErrorKind::RateLimited, Some(Duration::from_secs(3801))));
    assert_eq!((run.requests().len(), run.slept()), (1, Duration::ZERO));
}

#[test]
fn short_limits_are_waited_for() {
    let reset = |seconds: i64| {
        let now: ow_connector::time::Timestamp = "2024-02-29T23:59:59Z".parse().unwrap();
        (now.seconds() + seconds).to_string()
    };
    let cases: [(Response, u64); 4] = [
        (
            message(403, "API rate limit exceeded")
                .header("x-ratelimit-remaining", "0")
                .header("x-ratelimit-reset", &reset(20)),
            21,
        ),
        (message(403, "You have exceeded a secondary rate limit.").header("retry-after", "7"), 7),
        (message(403, "You have exceeded a secondary rate limit."), 60),
        (message(429, "Too many requests").header("x-ratelimit-remaining", "12"), 60),
    ];
    for (answer, seconds) in cases {
        let mut answer = Some(answer);
        let run = host().http(move |request| answer.take().unwrap_or_else(|| api(request))).run::<GitHub>();
        run.assert_ok();
        assert_eq!((run.requests().len(), run.slept()), (3, Duration::from_secs(seconds)));
    }
}

#[test]
fn a_repository_that_fails_is_named_after_the_others_are_done() {
    let config = json!({"RepositoryName": format!("nobody/nothing, {NAME}, someone/tools")});
    let run = host().config(config.clone()).run::<GitHub>();
    let error = run.error().unwrap();
    assert_eq!((error.kind(), error.parameter_name()), (ErrorKind::Config, Some("RepositoryName")));
    assert_eq!(
        error.message(),
        "1 of 3 failed: nobody/nothing: GET https://api.github.com/repos/nobody/nothing: \
         there is no such repository, or the access token may not see it"
    );
    assert_eq!(run.rows("github_repository").len(), 2);

    let run = host().config(config).config(json!({"AccessToken": "old"})).run::<GitHub>();
    assert_eq!((run.error().unwrap().kind(), run.requests().len()), (ErrorKind::Auth, 1), "no other will do");
}

#[test]
fn pages_that_break_off_count_nothing() {
    for broken in
        [Response::text("[{\"id\": 101, \"log").breaks_off(), Response::text("[{\"id\": 101, \"log")]
    {
        let mut broken = Some(broken);
        let answer = move |request: &Request| match request.query("page").as_deref() {
            Some("2") => broken.take().unwrap_or_else(|| api(request)),
            _ => api(request),
        };
        let run = host().config(json!({"RepositoryName": "someone/tools"})).http(answer).run::<GitHub>();
        match run.error() {
            None => assert_eq!(run.rows("github_contributors").len(), 250, "it was asked for again"),
            Some(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidData);
                assert!(run.rows("github_repository_stats").is_empty());
            }
        }
    }
}

#[test]
fn a_type_that_changed_is_named() {
    for (key, value, text) in [
        ("id", json!("seven"), "invalid type: string \"seven\", expected u64"),
        ("forks", json!({"n": 1}), "field `forks`"),
        ("private", json!("maybe"), "field `private`"),
        ("created_at", json!("yesterday"), "yesterday"),
        ("owner", json!("someone"), "`/owner` is no object but `\"someone\"`"),
    ] {
        let answer = move |request: &Request| {
            let mut repository = recorded();
            repository[key] = value.clone();
            if request.path().ends_with("contributors") { api(request) } else { Response::json(repository) }
        };
        let run = host().http(answer).run::<GitHub>();
        let error = run.error().unwrap();
        assert!(error.kind() == ErrorKind::InvalidData && error.message().contains(text), "{error}");
        assert!(run.rows("github_repository").is_empty());
    }
}

#[test]
fn a_full_refresh_says_what_it_loses() {
    let run = host().run_type("FULL_REFRESH").run::<GitHub>();
    run.assert_ok();
    assert!(warnings(&run)[0].contains("replaces the counts of earlier days"));
    let config = json!({"Fields": "repository name"});
    assert!(warnings(&host().config(config).run_type("FULL_REFRESH").run::<GitHub>()).is_empty());
    for kind in ["MANUAL_BACKFILL", "CUSTOM"] {
        let run = host().run_type(kind).run::<GitHub>();
        run.assert_ok();
        assert_eq!(run.rows("github_repository").len(), 1);
    }
}

#[test]
fn says_what_is_wrong_with_the_configuration() {
    for (config, parameter, message) in [
        (json!({"RepositoryName": "rust"}), "RepositoryName", "`rust` is no repository: write `owner/name`"),
        (json!({"RepositoryName": "a/b/c"}), "RepositoryName", "`a/b/c` is no repository"),
        (json!({"RepositoryName": "https://github.com/a/b"}), "RepositoryName", "is no repository"),
        (json!({"RepositoryName": " , "}), "RepositoryName", "there is no repository: write `owner/name`"),
        (json!({"Fields": "repository stars"}), "Fields", "`repository` has no field `stars`"),
        (
            json!({"Fields": "repositoryStat stars"}),
            "Fields",
            "there is no node `repositoryStat`; did you mean `repositoryStats`?",
        ),
        (json!({"Token": "x"}), "Token", "there is no parameter `Token`"),
        (json!({"EndDate": "soon"}), "EndDate", "`EndDate`: `soon` is not a date (YYYY-MM-DD)"),
    ] {
        let error = host().config(config).check::<GitHub>().unwrap_err();
        assert_eq!((error.kind(), error.parameter_name()), (ErrorKind::Config, Some(parameter)), "{error}");
        assert!(error.message().contains(message), "{error}");
    }
    both().check::<GitHub>().unwrap();
    let error = both().config(json!({"AccessToken": "old"})).check::<GitHub>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
}

#[test]
fn the_schema_knows_owox_parameters() {
    let spec = spec::<GitHub>();
    let properties = &spec.config_schema["properties"];
    assert_eq!(properties["AccessToken"]["writeOnly"], true);
    assert_eq!(properties["StartDate"]["x-backfill"], true);
    assert_eq!(properties["MaxFetchRetries"]["deprecated"], true);
    assert_eq!(spec.config_schema["required"], json!(["AccessToken", "RepositoryName"]));
    let streams = both().discover::<GitHub>().unwrap();
    assert_eq!(streams.iter().map(|stream| stream.fields.len()).collect::<Vec<_>>(), [42, 11, 5]);
}
