//! What is asked: credentials, parameters, pages, limits, and what answers mean.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what fails here fails the test"
)]

use ow_connector::ErrorKind;
use ow_connector::testing::{Request, Response, TestHost, TestRun};
use rest_json::RestJson;
use serde_json::{Value, json};

/// A configuration with one stream `items` at `/items`.
fn config(more: Value, stream: Value) -> Value {
    let mut items = json!({"Name": "items", "Path": "/items", "Schema": {"id": "int64"}});
    merge(&mut items, stream);
    let mut config = json!({"BaseUrl": "https://api.example.com/v2", "Streams": [items]});
    merge(&mut config, more);
    config
}

fn merge(into: &mut Value, more: Value) {
    let Value::Object(more) = more else { panic!("no object") };
    into.as_object_mut().unwrap().extend(more);
}

fn run(config: Value, answer: impl FnMut(&Request) -> Response + 'static) -> TestRun {
    TestHost::new().config(config).now("2024-05-15T10:00:00Z").http(answer).run::<RestJson>()
}

fn ids(run: &TestRun) -> Vec<i64> {
    run.rows("items").iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

fn one(_: &Request) -> Response {
    Response::json(json!([{"id": 1}]))
}

fn page(from: i64, to: i64) -> Value {
    (from..to).map(|id| json!({"id": id})).collect()
}

#[test]
fn requests_carry_what_the_configuration_says() {
    let run = run(
        config(
            json!({
                "Headers": {"Accept": "application/json", "X-Key": "k={secrets.key}"},
                "Query": {"v": 3, "flag": true},
                "Secrets": {"key": "s3cret"},
            }),
            json!({"Query": {"sign": "{secrets.key}", "q": "a b&c"}, "Headers": {"X-More": "m"}}),
        ),
        one,
    );
    run.assert_ok();
    let request = &run.requests()[0];
    assert_eq!(request.url(), "https://api.example.com/v2/items?flag=true&v=3&q=a%20b%26c&sign=s3cret");
    assert_eq!(request.header("x-key"), Some("k=s3cret"));
    assert_eq!((request.header("x-more"), request.header("accept")), (Some("m"), Some("application/json")));
    assert_eq!(ids(&run), [1]);
}

#[test]
fn a_post_sends_its_body() {
    let stream = json!({
        "Method": "POST",
        "Body": {"query": "{ items { id } }", "list": [1, "{secrets.key}"], "page": {"size": 10}},
        "Pagination": {"page": {"Parameter": "/page/number", "First": 1}},
        "Records": "/items",
    });
    let run = run(config(json!({"Secrets": {"key": "x"}}), stream), |request| {
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        assert_eq!((&body["query"], &body["list"]), (&json!("{ items { id } }"), &json!([1, "x"])));
        assert_eq!(body["page"]["size"], 10);
        let number = body["page"]["number"].as_i64().unwrap();
        Response::json(json!({"items": if number < 3 { page(number, number + 1) } else { json!([]) }}))
    });
    run.assert_ok();
    assert_eq!(ids(&run), [1, 2]);
    assert_eq!(run.requests()[0].method(), "POST");
}

#[test]
fn credentials_that_do_not_change() {
    let sent = |auth: Value| {
        let run = run(config(json!({"Auth": auth}), json!({})), one);
        run.assert_ok();
        let request = &run.requests()[0];
        let header = |name: &str| request.header(name).unwrap_or("-").to_owned();
        (header("authorization"), header("x-api-key"), request.query("key").unwrap_or_default())
    };
    let all = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    assert_eq!(sent(json!({"bearer": {"Token": "t"}})), all("Bearer t", "-", ""));
    assert_eq!(sent(json!({"basic": {"Username": "u", "Password": "p"}})), all("Basic dTpw", "-", ""));
    assert_eq!(sent(json!({"basic": {"Username": "u"}})), all("Basic dTo=", "-", ""));
    assert_eq!(sent(json!({"api_key": {"Key": "k", "Name": "X-Api-Key"}})), all("-", "k", ""));
    assert_eq!(sent(json!({"api_key": {"Key": "k", "Name": "key", "In": "query"}})), all("-", "-", "k"));
    assert_eq!(
        sent(json!({"api_key": {"Key": "k", "Name": "Authorization", "Prefix": "Token "}})),
        all("Token k", "-", "")
    );
}

/// A server that gives out tokens, each of which is good for so many requests.
fn with_tokens(uses: usize, expires_in: Value) -> impl FnMut(&Request) -> Response {
    let (mut tokens, mut left) = (0, 0);
    move |request| {
        if request.url().starts_with("https://login.example.com/token") {
            (tokens, left) = (tokens + 1, uses);
            let answer = json!({"access_token": format!("t{tokens}"), "expires_in": expires_in, "refresh_token": format!("r{tokens}")});
            return Response::json(answer);
        }
        if request.header("authorization") != Some(&format!("Bearer t{tokens}")) || left == 0 {
            return Response::status(401).body("expired");
        }
        left -= 1;
        let number: i64 = request.query("page").unwrap().parse().unwrap();
        Response::json(if number < 6 { page(number, number + 1) } else { json!([]) })
    }
}

fn oauth(more: Value) -> Value {
    let mut oauth =
        json!({"TokenUrl": "https://login.example.com/token", "ClientId": "id", "ClientSecret": "p w"});
    merge(&mut oauth, more);
    config(json!({"Auth": {"oauth2": oauth}}), json!({"Pagination": {"page": {}}}))
}

fn exchanges(run: &TestRun) -> Vec<String> {
    let exchanges = run.requests().iter().filter(|request| request.url().contains("login"));
    exchanges.map(|request| String::from_utf8(request.body().to_vec()).unwrap()).collect()
}

#[test]
fn a_token_is_got_and_got_again_when_it_is_refused() {
    let run =
        run(oauth(json!({"Scope": "read", "Parameters": {"audience": "a"}})), with_tokens(2, json!(3600)));
    run.assert_ok();
    assert_eq!(ids(&run), [1, 2, 3, 4, 5]);
    let asked = "grant_type=client_credentials&scope=read&audience=a&client_id=id&client_secret=p%20w";
    assert_eq!(exchanges(&run), [asked; 3]);
}

#[test]
fn a_refresh_token_is_exchanged() {
    let more = json!({"RefreshToken": "first", "SendAs": "basic"});
    let run = run(oauth(more), with_tokens(4, Value::Null));
    run.assert_ok();
    assert_eq!(ids(&run), [1, 2, 3, 4, 5]);
    assert_eq!(
        exchanges(&run),
        ["grant_type=refresh_token&refresh_token=first", "grant_type=refresh_token&refresh_token=r1"]
    );
    assert_eq!(run.requests()[0].header("authorization"), Some("Basic aWQ6cCB3"));
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    // A rate limit makes time pass.
    let mut config = oauth(json!({}));
    merge(&mut config, json!({"RateLimit": {"Requests": 1, "Seconds": 40}}));
    let run = run(config, with_tokens(100, json!("100")));
    run.assert_ok();
    assert_eq!(ids(&run), [1, 2, 3, 4, 5]);
    assert!(exchanges(&run).len() > 2, "{:?}", exchanges(&run));
    assert!(
        run.requests()
            .iter()
            .all(|request| request.url().contains("page=") || request.url().contains("login"))
    );
}

#[test]
fn a_token_that_stays_refused_fails_the_stream() {
    let run = run(oauth(json!({})), with_tokens(0, json!(60)));
    let error = run.error().unwrap();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(
        error
            .message()
            .contains("stream `items`: page 1: GET https://api.example.com/v2/items: status 401: expired"),
        "{error}"
    );
    assert_eq!(exchanges(&run).len(), 2);
}

#[test]
fn what_a_tokens_server_says_is_told_without_its_token() {
    let told = |answer: fn() -> Response| {
        let run = run(oauth(json!({})), move |_| answer());
        run.error().unwrap().message().to_owned()
    };
    let wrong = told(|| {
        Response::json(json!({"error": "invalid_client", "error_description": "unknown client"}))
            .with_status(401)
    });
    assert!(
        wrong.contains("a new token: POST https://login.example.com/token: status 401: unknown client"),
        "{wrong}"
    );
    let other = told(|| Response::json(json!({"accessToken": "hush"})));
    assert!(other.contains("holds no `access_token`") && !other.contains("hush"), "{other}");
}

#[test]
fn pages_by_number_and_by_offset() {
    let numbered = json!({"page": {"Parameter": "p", "First": 0, "SizeParameter": "n", "Size": 2, "TotalPages": "/pages", "Ahead": 3}});
    let run1 = run(config(json!({}), json!({"Pagination": numbered, "Records": "/data"})), |request| {
        let p: i64 = request.query("p").unwrap().parse().unwrap();
        assert_eq!(request.query("n").unwrap(), "2");
        Response::json(json!({"data": page(2 * p, 2 * p + 2), "pages": 3}))
    });
    run1.assert_ok();
    assert_eq!((ids(&run1), run1.requests().len()), (vec![0, 1, 2, 3, 4, 5], 3));

    let offset = json!({"offset": {"Size": 2, "TotalRecords": "/total"}});
    let run2 = run(config(json!({}), json!({"Pagination": offset, "Records": "/data"})), |request| {
        let from: i64 = request.query("offset").unwrap().parse().unwrap();
        assert_eq!(request.query("limit").unwrap(), "2");
        Response::json(json!({"data": page(from, (from + 2).min(5)), "total": 5}))
    });
    run2.assert_ok();
    assert_eq!((ids(&run2), run2.requests().len()), (vec![0, 1, 2, 3, 4], 3));
}

#[test]
fn pages_that_lead_to_one_another() {
    let cursor = json!({"cursor": {"Parameter": "after", "At": "/next", "More": "/more"}});
    let run1 = run(config(json!({}), json!({"Pagination": cursor, "Records": "/data"})), |request| {
        match request.query("after").as_deref() {
            None => Response::json(json!({"data": [{"id": 1}], "next": "m", "more": true})),
            Some("m") => Response::json(json!({"data": [{"id": 2}], "next": "z", "more": false})),
            other => panic!("{other:?}"),
        }
    });
    run1.assert_ok();
    assert_eq!(ids(&run1), [1, 2]);

    let key = json!({"Auth": {"api_key": {"Key": "k", "Name": "key", "In": "query"}}});
    let next = json!({"Pagination": {"next_url": {"At": "/links/next"}}, "Records": "/data"});
    let run2 = run(config(key, next), |request| {
        assert_eq!(request.query("key").as_deref(), Some("k"));
        match request.path() {
            "/v2/items" => Response::json(json!({"data": [{"id": 1}], "links": {"next": "/v2/more?x=1"}})),
            _ => Response::json(json!({"data": [{"id": 2}], "links": {"next": null}})),
        }
    });
    run2.assert_ok();
    assert_eq!(ids(&run2), [1, 2]);
}

/// Recorded answers of GitHub (see `fixtures/LICENSE.md`).
#[test]
fn recorded_pages_with_link_headers() {
    let recorded: Vec<Value> =
        serde_json::from_str(include_str!("fixtures/github-paginate-issues.json")).unwrap();
    let config = json!({
        "BaseUrl": "https://api.github.com",
        "Headers": {"Accept": "application/vnd.github.v3+json"},
        "Auth": {"api_key": {"Key": "0000000000000000000000000000000000000001", "Name": "Authorization", "Prefix": "token "}},
        "Streams": [{
            "Name": "issues",
            "Path": "/repos/octokit-fixture-org/paginate-issues/issues",
            "Query": {"per_page": 3},
            "Pagination": {"link_header": {}},
            "PrimaryKey": ["id"],
            "Schema": {
                "id": "int64", "number": "int64", "title": "text", "created_at": "timestamp", "labels": "json",
                "user_login": {"Type": "text", "From": "/user/login", "Description": "Who opened it."},
            },
        }],
    });
    let run = TestHost::new()
        .config(config)
        .http(move |request| {
            let target = request.url().strip_prefix("https://api.github.com").unwrap().to_owned();
            let answer = recorded.iter().find(|answer| answer["path"] == target).unwrap();
            assert_eq!(request.header("authorization"), answer["reqheaders"]["authorization"].as_str());
            Response::json(answer["response"].clone())
                .header("link", answer["headers"]["link"].as_str().unwrap())
        })
        .run::<RestJson>();
    run.assert_ok();
    assert_eq!((run.requests().len(), run.rows("issues").len()), (5, 13));
    let row = &run.rows("issues")[0];
    assert_eq!((&row["number"], &row["user_login"]), (&json!(13), &json!("octokit-fixture-user-a")));
}

#[test]
fn a_source_that_leads_in_a_circle_ends() {
    let next = json!({"Pagination": {"next_url": {"At": "/next"}}, "Records": "/data"});
    let run =
        run(config(json!({}), next), |_| Response::json(json!({"data": [{"id": 1}], "next": "/v2/items"})));
    assert!(run.error().unwrap().message().contains("leads in a circle"), "{:?}", run.error());
    let same = json!({"Pagination": {"page": {}}});
    let run = self::run(config(json!({}), same), one);
    assert!(run.error().unwrap().message().contains("the source ignores `page`"), "{:?}", run.error());
}

#[test]
fn a_next_page_elsewhere_gets_no_credentials() {
    let next = json!({"Pagination": {"next_url": {"At": "/next"}}, "Records": "/data"});
    let auth = json!({"Auth": {"oauth2": {"TokenUrl": "https://login.example.com/token", "ClientId": "i", "ClientSecret": "s"}}});
    let run = run(config(auth, next), |request| match request.path() {
        "/token" => Response::json(json!({"access_token": "t"})),
        "/v2/items" => Response::json(json!({"data": [{"id": 1}], "next": "https://evil.example.com/x"})),
        _ => {
            assert_eq!(request.header("authorization"), None);
            Response::json(json!({"data": [{"id": 2}]}))
        }
    });
    run.assert_ok();
    assert_eq!(ids(&run), [1, 2]);
}

#[test]
fn rules_say_what_answers_mean() {
    let rules = json!({"Errors": [
        {"At": "/code", "Equals": 0, "Then": "accept"},
        {"At": "/code", "Equals": "slow", "Then": "retry", "Kind": "rate-limited", "WaitSeconds": 7},
        {"At": "/code", "Equals": 401, "Then": "fail", "Kind": "auth", "Message": "make a new key in the settings"},
        {"Status": [404], "Contains": "no such", "Then": "skip"},
    ], "Retry": {"Attempts": 2}});
    let stream = json!({"Records": "/data"});
    let answered = |answers: Vec<Response>| {
        let mut answers = answers.into_iter();
        run(config(rules.clone(), stream.clone()), move |_| answers.next().unwrap())
    };
    let good = || Response::json(json!({"code": 0, "data": [{"id": 1}]}));
    let slow = || Response::json(json!({"code": "slow", "message": "slow down"}));
    let tried = answered(vec![slow(), good()]);
    tried.assert_ok();
    assert_eq!((ids(&tried), tried.slept().as_secs()), (vec![1], 7));
    let failed = answered(vec![slow(), slow()]);
    assert_eq!(failed.error().unwrap().kind(), ErrorKind::RateLimited);
    assert!(failed.error().unwrap().message().ends_with("status 200: slow down"));
    let failed = answered(vec![Response::json(json!({"code": 401}))]);
    assert_eq!(failed.error().unwrap().kind(), ErrorKind::Auth);
    assert!(failed.error().unwrap().message().ends_with("status 200: make a new key in the settings"));
    let skipped = answered(vec![Response::status(404).body("no such thing")]);
    skipped.assert_ok();
    assert!(skipped.rows("items").is_empty());
    let failed = answered(vec![Response::status(404).body("gone")]);
    assert!(failed.error().unwrap().message().ends_with("status 404: gone"));
}

#[test]
fn tries_and_limits_are_the_configurations() {
    let flaky = |fail: usize| {
        let mut count = 0;
        move |request: &Request| {
            count += 1;
            if count <= fail { Response::status(503) } else { one(request) }
        }
    };
    run(config(json!({"Retry": {"Attempts": 4}}), json!({})), flaky(3)).assert_ok();
    let failed = run(config(json!({"Retry": {"Attempts": 3}}), json!({})), flaky(3));
    assert_eq!((failed.error().unwrap().kind(), failed.requests().len()), (ErrorKind::Unavailable, 3));
    let limit = json!({"RateLimit": {"Requests": 2, "Seconds": 10}});
    let limited = run(config(limit, json!({"Pagination": {"page": {}}})), |request| {
        let number: i64 = request.query("page").unwrap().parse().unwrap();
        Response::json(if number < 6 { page(number, number + 1) } else { json!([]) })
    });
    limited.assert_ok();
    assert_eq!(limited.slept().as_secs(), 20);
}

#[test]
fn broken_answers_are_told() {
    let told = |answer: fn() -> Response| {
        let run = run(
            config(json!({"Retry": {"Attempts": 2, "FirstWaitSeconds": 0}}), json!({"Records": "/data"})),
            move |_| answer(),
        );
        run.error().unwrap().message().to_owned()
    };
    for (answer, want) in [
        (told(|| Response::text("<html>")), "the answer is not what was expected"),
        (
            told(|| Response::text("{\"data\": [{\"id\": 1}, {\"id\"")),
            "record 2 of `/data`: stream `items`: expected `:`",
        ),
        (told(|| Response::json(json!({"other": 1}))), "there is no list at `/data`"),
        (told(|| Response::json(json!({"data": {"id": 1}}))), "what stands at `/data` is no list"),
        (told(|| Response::json(json!({"data": [7]}))), "`7` is no object"),
        (told(|| Response::text("{\"data\": [").breaks_off()), "broke off"),
        (told(Response::refused), "refused the connection"),
    ] {
        assert!(answer.starts_with("1 of 1 failed: stream `items`: "), "{answer}");
        assert!(answer.contains(want), "{answer} / {want}");
    }
}

#[test]
fn a_denied_request_ends_everything() {
    let run = run(config(json!({}), json!({})), |_| Response::denied());
    assert_eq!(run.error().unwrap().kind(), ErrorKind::Denied);
}
