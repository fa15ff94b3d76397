//! Open Exchange Rates, from configuration to table.

use e2e::apis::open_exchange_rates::{KEY, day, refusal, start};
use e2e::{Answer, Lab, Outcome, Server, build};
use insta::assert_snapshot;
use serde_json::{Value, json};

const STATE: &str = "open_exchange_rates_historical";

fn lab(server: &Server, more: &Value) -> Lab {
    let lab = Lab::new();
    lab.take(&build::connector("open-exchange-rates"), "connector.wasm");
    configure(&lab, server, more);
    lab
}

fn configure(lab: &Lab, server: &Server, more: &Value) {
    let mut parameters = json!({ "AppId": KEY, "BaseUrl": server.origin(), "Symbols": "EUR" });
    parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    lab.configure(&parameters);
}

fn run(lab: &Lab, server: &Server, flags: &[&str]) -> Outcome {
    let origin = server.origin();
    lab.run_component("connector.wasm", &[&["--allow-net", &origin], flags].concat())
}

fn asked(server: &Server) -> Vec<String> {
    server.requests().iter().map(day).collect()
}

fn table(lab: &Lab) -> String {
    lab.query("SELECT * FROM open_exchange_rates_historical ORDER BY date, currency")
}

#[test]
fn a_backfill_over_a_leap_day() {
    let server = start(|_, _| None);
    let lab = lab(&server, &json!({}));
    let days = ["--set", "StartDate=2024-02-28", "--set", "EndDate=2024-03-01"];
    let outcome = run(&lab, &server, &days).success();
    assert_snapshot!(table(&lab), @r"
    2024-02-28|USD|EUR|0.928
    2024-02-29|USD|EUR|0.929
    2024-03-01|USD|EUR|0.901
    ");
    assert_eq!((lab.state(), &outcome.report()["requests"]), (json!({}), &json!(3)));
    let before = table(&lab);
    run(&lab, &server, &days).expect_success();
    assert_eq!(table(&lab), before, "the same days again change nothing");
    assert!(!outcome.stdout.contains(KEY) && !outcome.stderr.contains(KEY));
}

#[test]
fn runs_go_on_where_the_last_one_stopped() {
    let server = start(|_, _| None);
    let lab = lab(&server, &json!({}));
    run(&lab, &server, &[]).expect_success();
    let first = asked(&server);
    assert!(first[0].ends_with("-01") && (29..=62).contains(&first.len()), "{first:?}");
    assert!(first.windows(2).all(|pair| pair[0] < pair[1]), "{first:?}");
    let today = first.last().unwrap().clone();
    assert_eq!(lab.state(), json!({ STATE: { "date": today } }));
    assert_eq!(lab.query("SELECT count(*) FROM open_exchange_rates_historical"), first.len().to_string());

    run(&lab, &server, &[]).expect_success();
    let second = asked(&server).split_off(first.len());
    assert_eq!(second[0], first[first.len() - 3], "two days of lookback");
    assert!((3..=4).contains(&second.len()), "{second:?}");
}

#[test]
fn a_full_refresh_replaces_and_a_custom_run_adds() {
    let server = start(|_, _| None);
    let lab = lab(&server, &json!({ "StartDate": "2023-12-31", "EndDate": "2024-01-01" }));
    run(&lab, &server, &["--type", "CUSTOM"]).expect_success();
    assert_snapshot!(table(&lab), @r"
    2023-12-31|USD|EUR|0.931
    2024-01-01|USD|EUR|0.901
    ");
    configure(
        &lab,
        &server,
        &json!({ "StartDate": "2023-02-28", "EndDate": "2023-03-01", "base": "EUR", "Symbols": "" }),
    );
    run(&lab, &server, &["--type", "FULL_REFRESH"]).expect_success();
    assert_snapshot!(table(&lab), @r"
    2023-02-28|EUR|BTC|1.5433e-5
    2023-02-28|EUR|EUR|0.928
    2023-02-28|EUR|USD|1.0
    2023-03-01|EUR|BTC|1.5433e-5
    2023-03-01|EUR|EUR|0.901
    2023-03-01|EUR|USD|1.0
    ");
    assert_eq!(lab.state(), json!({ STATE: { "date": "2023-03-01" } }));
}

#[test]
fn the_table_can_have_another_name() {
    let server = start(|_, _| None);
    let days = json!({ "StartDate": "2023-12-31", "EndDate": "2024-01-01" });
    let lab = lab(&server, &days);
    run(&lab, &server, &["--type", "CUSTOM"]).expect_success();
    let before = table(&lab);
    let mut renamed = days;
    renamed["DestinationTableNameOverride"] = json!("historical our_rates");
    configure(&lab, &server, &renamed);
    run(&lab, &server, &["--type", "CUSTOM"]).expect_success();
    assert_eq!((lab.query("SELECT * FROM our_rates ORDER BY date"), table(&lab)), (before.clone(), before));
    let last = json!({ "date": "2024-01-01" });
    assert_eq!(lab.state(), json!({ STATE: last, "our_rates": last }));
    configure(&lab, &server, &json!({ "DestinationTableNameOverride": "rates our_rates" }));
    assert_snapshot!(run(&lab, &server, &[]).failure(), @r"
    3 config: there is no node `rates`; there is `historical`
    at: DestinationTableNameOverride
    ");
}

#[test]
fn a_refused_key_moves_no_state() {
    let server = start(|_, _| None);
    let lab = lab(&server, &json!({}));
    run(&lab, &server, &[]).expect_success();
    let (state, rows) = (lab.state(), table(&lab));
    configure(&lab, &server, &json!({ "AppId": "ffffffffffffffffffffffffffffffff" }));
    let failure = run(&lab, &server, &[]).failure();
    let failure = regex::Regex::new(r"\d{4}-\d\d-\d\d").unwrap().replace(&failure, "[DAY]").into_owned();
    assert_snapshot!(failure, @r"
    1 connector: GET http://127.0.0.1:[PORT]/api/historical/[DAY].json: invalid_app_id: Invalid App ID provided.
    at: AppId
    hint: check the credentials in the configuration
    ");
    assert_eq!((lab.state(), table(&lab)), (state, rows));
}

#[test]
fn a_day_that_fails_keeps_the_days_before() {
    type Fault = fn() -> Answer;
    let faults: [(&str, Fault); 3] = [
        ("broken off", || Answer::new(200, "{\"base\": \"USD\", \"rates\": {}}").cut(10)),
        ("half", || Answer::new(200, "{\"base\": \"USD\", \"rates\": {\"EUR\": 0.9")),
        ("quota", || refusal(429, "access_restricted", "Access restricted for repeated over-use.")),
    ];
    for (name, fault) in faults {
        let server = start(move |_, day| (day == "2024-01-31").then(fault));
        let lab = lab(&server, &json!({ "StartDate": "2024-01-29", "EndDate": "2024-02-02" }));
        let outcome = run(&lab, &server, &["--type", "CUSTOM"]);
        assert_eq!(outcome.code, Some(1), "{name}: {}", outcome.stderr);
        assert_eq!(lab.state(), json!({ STATE: { "date": "2024-01-30" } }), "{name}");
        assert_eq!(lab.query("SELECT count(*) FROM open_exchange_rates_historical"), "2", "{name}");
    }
}

#[test]
fn a_bad_moment_is_lived_through() {
    let count = std::sync::atomic::AtomicU32::new(0);
    let server = start(move |_, _| match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => Some(Answer::new(503, "").header("retry-after", "0")),
        1 => Some(Answer::new(429, "slow down").header("retry-after", "0")),
        _ => None,
    });
    let lab = lab(&server, &json!({}));
    run(&lab, &server, &["--set", "StartDate=2024-01-31", "--set", "EndDate=2024-01-31"]).expect_success();
    assert_eq!((server.requests().len(), table(&lab).as_str()), (3, "2024-01-31|USD|EUR|0.931"));
}

#[test]
fn what_the_plan_does_not_allow_is_told_once() {
    let server = start(|_, _| None);
    let lab = lab(&server, &json!({ "base": "JPY" }));
    let failure = run(&lab, &server, &["--set", "StartDate=2024-01-31"]).failure();
    assert_snapshot!(failure, @r"
    1 connector: GET http://127.0.0.1:[PORT]/api/historical/2024-01-31.json: the plan of this App ID does not allow it: not_allowed: Changing the API `base` currency is available for paid plans.
    hint: check the credentials in the configuration
    ");
    assert_eq!(server.requests().len(), 1);
    configure(&lab, &server, &json!({}));
    assert_snapshot!(run(&lab, &server, &["--set", "StartDate=1998-12-31"]).failure(), @r"
    3 config: GET http://127.0.0.1:[PORT]/api/historical/1998-12-31.json: not_available: Historical rates for the requested date are not available.
    at: StartDate
    ");
}
