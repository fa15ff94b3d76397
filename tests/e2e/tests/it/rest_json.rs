//! The generic connector, from the configuration of its document to a table.

use e2e::apis::shop::{Behaviour, Shop};
use e2e::{Answer, Lab, Outcome, Server, build};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// The configuration of `docs/rest-json.md`.
fn document() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rest-json.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once("```json shop.json\n").unwrap();
    serde_json::from_str(rest.split_once("```").unwrap().0).unwrap()
}

/// A folder with the connector and a configuration that leads to a server.
fn lab(server: &Server, change: impl FnOnce(&mut Value)) -> Lab {
    let lab = Lab::new();
    lab.take(&build::connector("rest-json"), "connector.wasm");
    let mut config = document();
    config["storage"]["config"]["Path"] = "out.db".into();
    change(&mut config["source"]["config"]);
    lab.write("cfg.json", config.to_string().replace("https://api.example.com", &server.origin()));
    lab
}

fn run(lab: &Lab, server: &Server, flags: &[&str]) -> Outcome {
    let arguments = ["run", "connector.wasm", "--config", "cfg.json", "--output", "json", "--allow-net"];
    let mut arguments = arguments.to_vec();
    let origin = server.origin();
    arguments.push(&origin);
    arguments.extend(flags);
    lab.command(&arguments).env("SHOP_SECRET", "s3cret&").start().wait()
}

fn shop(behaviour: Behaviour) -> Server {
    let shop = Shop::new(behaviour);
    Server::start(move |request| shop.answer(request))
}

const TABLES: &str = "SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM orders), (SELECT count(*) > 0 FROM visits)";

#[test]
fn the_example_of_the_document() {
    let server = shop(Behaviour::default());
    let lab = lab(&server, |_| {});
    run(&lab, &server, &[]).expect_success();
    assert_snapshot!(lab.query("SELECT * FROM customers ORDER BY id LIMIT 2"), @r"
    1|Kyiv|customer 1|2024-02-11T10:00:00.000000Z
    2|Kyiv|customer 2|2024-02-12T10:00:00.000000Z
    ");
    assert_snapshot!(lab.query("SELECT customer_id, number, lines, total FROM orders ORDER BY 1, 2 LIMIT 3"), @r#"
    1|1|[{"sku":"a"}]|1.5
    1|2|[{"sku":"a"}]|2.5
    1|3|[{"sku":"a"}]|3.5
    "#);
    assert_snapshot!(lab.query("SELECT * FROM visits ORDER BY 1 LIMIT 2"), @r"
    2024-02-20|/|0.125|12
    2024-02-26|/|0.125|12
    ");
    assert_snapshot!(lab.query(TABLES), @"11|27|1");
    let state = lab.state();
    assert_eq!(state["customers"], json!({"cursor": "2024-02-21T10:00:00Z"}));
    assert!(state["visits"]["date"].is_string() && state["columns:orders"]["total"] == "float64", "{state}");

    // The next run asks for an hour before the last change, and changes nothing.
    let asked = server.requests().len();
    run(&lab, &server, &[]).expect_success();
    let since = server
        .requests()
        .iter()
        .skip(asked)
        .find_map(|request| request.query("updated_since").map(str::to_owned));
    assert_eq!(since.as_deref(), Some("2024-02-21T09%3A00%3A00Z"));
    assert_snapshot!(lab.query(TABLES), @"11|27|1");
    assert_eq!(lab.state()["customers"], state["customers"]);
}

#[test]
fn tokens_expire_answers_break_off_and_limits_are_met() {
    let server = shop(Behaviour { token_uses: 4, slow_down_every: 5, cut_every: 7, forbidden: None });
    let lab = lab(&server, |_| {});
    run(&lab, &server, &[]).expect_success();
    assert_snapshot!(lab.query(TABLES), @"11|27|1");
    let tokens = server.requests().iter().filter(|request| request.path() == "/token").count();
    assert!(tokens > 5, "{tokens}");
}

#[test]
fn a_child_that_fails_fails_the_run_and_keeps_the_parents_state() {
    let server = shop(Behaviour { forbidden: Some(7), ..Behaviour::default() });
    let lab = lab(&server, |_| {});
    let failure = run(&lab, &server, &[]).failure();
    assert!(failure.starts_with("1 connector: 1 of 13 failed: stream `orders/7`: "), "{failure}");
    assert!(failure.contains("/v2/customers/7/orders: status 403: not yours"), "{failure}");
    assert_snapshot!(lab.query(TABLES), @"11|24|1");
    let state = lab.state();
    assert_eq!(state.get("customers"), None, "{state}");
    assert!(state["visits"]["date"].is_string(), "{state}");
}

#[test]
fn secrets_stay_outside() {
    let server = shop(Behaviour::default());
    let stream = json!({"Name": "nothing", "Path": "/{secrets.more}", "Method": "POST", "Body": {"x": "{secrets.more}"}});
    let lab = lab(&server, |config| {
        config["Secrets"] = json!({"more": "hidden-value"});
        config["Streams"] = json!([stream]);
    });
    let outcome = run(&lab, &server, &[]);
    let told = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(!told.contains("hidden-value") && !told.contains("s3cret"), "{told}");
    let last = server.requests().pop().unwrap();
    assert_eq!((last.path(), last.body.as_slice()), ("/v2/hidden-value", &br#"{"x":"hidden-value"}"#[..]));
}

#[test]
fn a_full_refresh_and_a_backfill() {
    let server = shop(Behaviour::default());
    let lab = lab(&server, |config| config["Fields"] = "visits".into());
    run(
        &lab,
        &server,
        &["--type", "FULL_REFRESH", "--set", "StartDate=2023-12-31", "--set", "EndDate=2024-01-08"],
    )
    .expect_success();
    assert_snapshot!(lab.query("SELECT day FROM visits ORDER BY 1"), @r"
    2023-12-31
    2024-01-06
    2024-01-07
    2024-01-08
    ");
    let state = lab.state();
    run(
        &lab,
        &server,
        &["--type", "MANUAL_BACKFILL", "--set", "StartDate=2024-02-29", "--set", "EndDate=2024-02-29"],
    )
    .expect_success();
    assert_snapshot!(lab.query("SELECT count(*), max(day) FROM visits"), @"5|2024-02-29");
    assert_eq!(lab.state(), state);
}

#[test]
fn an_operator_is_told_exactly_what_is_wrong() {
    let server = Server::start(|_| Answer::new(500, "never asked"));
    let told = |change: &dyn Fn(&mut Value)| {
        let lab = lab(&server, change);
        let command =
            lab.command(&["validate", "connector.wasm", "--config", "cfg.json"]).env("SHOP_SECRET", "x");
        command.start().wait().text()
    };
    let wrong = told(&|config| {
        config["Streams"][0]["Pagination"] = json!({"pages": {}});
        config["Streams"][1]["Paht"] = "/x".into();
        config["Streams"][2]["Schema"]["day"] = "day".into();
        config["Auth"]["oauth2"].as_object_mut().unwrap().remove("ClientId");
        config["RateLimit"]["Requests"] = 0.into();
    });
    for place in ["Pagination", "Paht", "day", "ClientId", "Requests"] {
        assert!(wrong.contains(place), "{place}: {wrong}");
    }
}

#[test]
fn nothing_is_asked_without_a_grant() {
    let server = shop(Behaviour::default());
    let lab = lab(&server, |_| {});
    let command = lab.command(&["run", "connector.wasm", "--config", "cfg.json", "--output", "json"]);
    let failure = command.env("SHOP_SECRET", "x").start().wait().failure();
    assert!(failure.starts_with("5 denied: "), "{failure}");
    assert!(failure.contains("grant it with --allow-net http://127.0.0.1:[PORT]"), "{failure}");
    assert!(server.requests().is_empty());
}

#[test]
fn a_request_holds_no_handle_when_it_is_over() {
    let pages = 300;
    let server = Server::start(move |request| {
        let page: u64 = request.target.rsplit_once("page=").map_or(1, |(_, page)| page.parse().unwrap());
        Answer::new(200, json!({ "data": [{ "id": page }], "pages": pages }).to_string())
    });
    let lab = lab(&server, |config| {
        *config = json!({ "BaseUrl": "https://api.example.com", "Streams": [{
            "Name": "items", "Path": "/items", "Records": "/data", "Schema": { "id": "int64" },
            "Pagination": { "page": { "TotalPages": "/pages" } },
        }]});
    });
    run(&lab, &server, &["--handles", "60"]).expect_success();
    assert_eq!(lab.query("SELECT count(DISTINCT id) FROM items"), "300");
}
