//! The connector against answers in the shape of the API's.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "what fails here fails the test")]

use open_exchange_rates::OpenExchangeRates;
use ow_connector::ErrorKind;
use ow_connector::testing::{Request, Response, TestHost, TestRun, spec};
use serde_json::{Map, Value, json};

const TABLE: &str = "open_exchange_rates_historical";

/// The day of a request.
fn day(request: &Request) -> String {
    let path = request.path().strip_prefix("/api/historical/");
    path.and_then(|path| path.strip_suffix(".json")).unwrap().to_owned()
}

/// The API: three currencies, of those the wanted ones.
fn api(request: &Request) -> Response {
    assert_eq!(request.method(), "GET");
    if request.query("app_id").as_deref() != Some("k3y") {
        return refusal(401, "invalid_app_id", "Invalid App ID provided.");
    }
    let symbols = request.query("symbols");
    let wanted = |code: &str| symbols.as_deref().is_none_or(|list| list.split(',').any(|one| one == code));
    let rates = [("BTC", json!(0.0000154332178)), ("EUR", json!(0.921)), ("USD", json!(1))];
    let rates: Map<String, Value> = rates
        .into_iter()
        .filter(|(code, _)| wanted(code))
        .map(|(code, rate)| (code.to_owned(), rate))
        .collect();
    Response::json(json!({"disclaimer": "…", "timestamp": 1, "base": request.query("base"), "rates": rates}))
}

fn refusal(status: u16, message: &str, description: &str) -> Response {
    let body = json!({"error": true, "status": status, "message": message, "description": description});
    Response::json(body).with_status(status)
}

fn host() -> TestHost {
    TestHost::new().config(json!({"AppId": "k3y"})).now("2024-03-02T00:00:00Z").http(api)
}

fn days(run: &TestRun) -> Vec<String> {
    run.requests().iter().map(day).collect()
}

#[test]
fn the_first_run_starts_with_the_previous_month() {
    let run = host().run::<OpenExchangeRates>();
    run.assert_ok();
    let asked = days(&run);
    assert_eq!((asked.len(), asked[0].as_str(), asked[30].as_str()), (31, "2024-02-01", "2024-03-02"));
    assert!(asked.contains(&"2024-02-29".to_owned()), "a leap day is a day");
    assert_eq!(
        run.requests()[0].url(),
        "https://openexchangerates.org/api/historical/2024-02-01.json?base=USD&app_id=k3y"
    );
    assert_eq!(run.rows(TABLE).len(), 93);
    assert_eq!(
        run.rows(TABLE)[0],
        json!({"date": "2024-02-01", "base": "USD", "currency": "BTC", "rate": 0.0000154332178})
    );
    assert_eq!((run.state(TABLE), run.commits()), (Some(&json!({"date": "2024-03-02"})), 32));
}

#[test]
fn goes_on_with_a_lookback_over_a_leap_day() {
    let run = host().state(TABLE, json!({"date": "2024-03-01"})).run::<OpenExchangeRates>();
    assert_eq!(days(&run), ["2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02"]);
    let config = json!({"ReimportLookbackWindow": 0, "StartDate": "2020-01-01"});
    let run = host().config(config).state(TABLE, json!({"date": "2024-03-01"})).run::<OpenExchangeRates>();
    assert_eq!(days(&run), ["2024-03-01", "2024-03-02"]);
}

#[test]
fn backfills_include_both_ends_at_ends_of_months() {
    for (start, end, want) in [
        ("2023-02-28", "2023-03-01", vec!["2023-02-28", "2023-03-01"]),
        ("2024-02-28", "2024-03-01", vec!["2024-02-28", "2024-02-29", "2024-03-01"]),
        ("2023-12-31", "2024-01-01", vec!["2023-12-31", "2024-01-01"]),
        ("2024-03-01", "2030-01-01", vec!["2024-03-01", "2024-03-02"]),
    ] {
        let data = json!([
            {"configField": "StartDate", "value": start},
            {"configField": "EndDate", "value": end},
        ]);
        let before = json!({"date": "2024-02-10"});
        let run = host()
            .state(TABLE, before.clone())
            .run_type("MANUAL_BACKFILL")
            .data(data)
            .run::<OpenExchangeRates>();
        run.assert_ok();
        assert_eq!(days(&run), want);
        assert_eq!(run.state(TABLE), Some(&before));
    }
    let run = host().run_type("MANUAL_BACKFILL").run::<OpenExchangeRates>();
    assert_eq!(run.error().unwrap().parameter_name(), Some("StartDate"));
}

#[test]
fn full_refreshes_and_custom_runs_take_the_configured_range() {
    for (kind, state) in [("FULL_REFRESH", "2024-01-02"), ("CUSTOM", "2024-01-02")] {
        let config = json!({"StartDate": "2024-01-01", "EndDate": "2024-01-02"});
        let run = host().config(config).run_type(kind).run::<OpenExchangeRates>();
        run.assert_ok();
        assert_eq!(days(&run), ["2024-01-01", "2024-01-02"], "{kind}");
        assert_eq!(run.state(TABLE), Some(&json!({"date": state})), "{kind}");
    }
}

#[test]
fn a_refused_key_moves_no_state() {
    let before = json!({"date": "2024-03-01"});
    let run =
        host().config(json!({"AppId": "wrong"})).state(TABLE, before.clone()).run::<OpenExchangeRates>();
    let error = run.error().unwrap();
    assert_eq!((error.kind(), error.parameter_name()), (ErrorKind::Auth, Some("AppId")));
    assert_eq!(
        error.message(),
        "GET https://openexchangerates.org/api/historical/2024-02-28.json: \
         invalid_app_id: Invalid App ID provided."
    );
    assert_eq!((run.state(TABLE), run.requests().len(), run.rows(TABLE).len()), (Some(&before), 1, 0));
}

#[test]
fn a_day_that_fails_keeps_the_days_before() {
    let answer = |request: &Request| match day(request).as_str() {
        "2024-03-01" => Response::status(503),
        _ => api(request),
    };
    let first = host().state(TABLE, json!({"date": "2024-02-28"})).http(answer).run::<OpenExchangeRates>();
    let error = first.error().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(first.state(TABLE), Some(&json!({"date": "2024-02-29"})));
    assert_eq!(days(&first)[..4], ["2024-02-26", "2024-02-27", "2024-02-28", "2024-02-29"]);
    assert_eq!((first.requests().len(), first.rows(TABLE).len()), (9, 12));

    let second = host().after(&first).run::<OpenExchangeRates>();
    second.assert_ok();
    assert_eq!(days(&second)[0], "2024-02-27");
    assert_eq!(second.rows(TABLE).len(), 18, "rows that came again were merged");
}

#[test]
fn what_the_source_refuses_is_told_by_kind() {
    for (status, message, kind, parameter) in [
        (401, "missing_app_id", ErrorKind::Auth, Some("AppId")),
        (429, "not_allowed", ErrorKind::Auth, None),
        (429, "access_restricted", ErrorKind::RateLimited, None),
        (403, "access_restricted", ErrorKind::Auth, None),
        (400, "invalid_base", ErrorKind::Config, Some("base")),
        (400, "not_available", ErrorKind::Config, Some("StartDate")),
        (404, "not_found", ErrorKind::InvalidData, None),
    ] {
        let run = host().http(move |_| refusal(status, message, "As told.")).run::<OpenExchangeRates>();
        let error = run.error().unwrap();
        assert_eq!((error.kind(), error.parameter_name()), (kind, parameter), "{error}");
        assert!(error.message().contains(message), "{error}");
        assert_eq!((run.requests().len(), run.state(TABLE)), (1, None), "{message} is not tried again");
    }
}

#[test]
fn answers_of_another_shape_are_errors() {
    for (answer, message) in [
        (json!({"base": "USD"}), "missing field `rates`"),
        (json!({"base": "USD", "rates": {"EUR": "0.9"}}), "invalid type: string \"0.9\", expected f64"),
        (json!({"base": "USD", "rates": {"EUR": null}}), "invalid type: null, expected f64"),
        (json!({"base": "USD", "rates": {}}), "the source has no rates of 2024-02-28"),
        (
            json!({"base": "EUR", "rates": {"USD": 1.1}}),
            "the rates of 2024-02-28 are those of `EUR`, and `USD` was asked for",
        ),
    ] {
        let before = json!({"date": "2024-03-01"});
        let run = host()
            .state(TABLE, before.clone())
            .http(move |_| Response::json(answer.clone()))
            .run::<OpenExchangeRates>();
        let error = run.error().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.message().contains(message), "{error}");
        assert_eq!(run.state(TABLE), Some(&before));
    }
}

#[test]
fn imports_the_wanted_currencies_and_columns() {
    let config = json!({"base": "gbp", "Symbols": "eur; btc,EUR ,XXX", "Fields": "historical rate"});
    let run = host().config(config).state(TABLE, json!({"date": "2024-03-02"})).run::<OpenExchangeRates>();
    run.assert_ok();
    let request = &run.requests()[0];
    assert_eq!(request.query("symbols").as_deref(), Some("BTC,EUR,XXX"));
    assert_eq!(request.query("base").as_deref(), Some("GBP"));
    assert_eq!(run.rows(TABLE).len(), 6);
    assert_eq!(run.rows(TABLE)[1]["currency"], "EUR");
    let warned = run.logs().iter().filter(|log| log.level.as_str() == "WARN");
    let warned: Vec<&str> = warned.map(|log| log.message.as_str()).collect();
    assert_eq!(
        warned,
        ["the source has no rate of `XXX` on any day from 2024-02-29 to 2024-03-02: check `Symbols`"]
    );
}

#[test]
fn the_columns_of_the_key_are_always_there() {
    let run = host().config(json!({"Fields": "historical date"})).run::<OpenExchangeRates>();
    let columns: Vec<&String> = run.rows(TABLE)[0].as_object().unwrap().keys().collect();
    assert_eq!(columns, ["base", "currency", "date"]);
}

#[test]
fn the_table_can_have_another_name() {
    let host = || host().config(json!({"DestinationTableNameOverride": "historical our_rates"}));
    let streams = host().discover::<OpenExchangeRates>().unwrap();
    assert_eq!(streams[0].name, "our_rates");
    let before = json!({"date": "2024-03-01"});
    let run = host().state(TABLE, before.clone()).run::<OpenExchangeRates>();
    run.assert_ok();
    assert_eq!(run.rows("our_rates").len(), 93, "another table is filled from the start");
    assert_eq!((run.stream(TABLE), run.state(TABLE)), (None, Some(&before)));
    assert_eq!(run.state("our_rates"), Some(&json!({"date": "2024-03-02"})));
}

#[test]
fn says_what_is_wrong_with_the_configuration() {
    for (config, parameter, message) in [
        (
            json!({"Fields": "historical rates"}),
            "Fields",
            "`historical` has no field `rates`; did you mean `rate`?",
        ),
        (json!({"Fields": "history rate"}), "Fields", "there is no node `history`; there is `historical`"),
        (
            json!({"DestinationTableNameOverride": "rates our_rates"}),
            "DestinationTableNameOverride",
            "there is no node `rates`; there is `historical`",
        ),
        (
            json!({"Symbols": "EUR,EURO"}),
            "Symbols",
            "`EURO` is no currency: write three letters, such as `EUR`",
        ),
        (json!({"base": "€"}), "base", "`€` is no currency: write three letters, such as `EUR`"),
        (json!({"Base": "EUR"}), "Base", "there is no parameter `Base`"),
        (
            json!({"StartDate": "2024-02-30"}),
            "StartDate",
            "`StartDate`: `2024-02-30` is not a date (YYYY-MM-DD)",
        ),
        (json!({"AppId": null}), "AppId", "`AppId` is missing"),
    ] {
        let error = host().config(config).check::<OpenExchangeRates>().unwrap_err();
        assert_eq!((error.kind(), error.parameter_name()), (ErrorKind::Config, Some(parameter)), "{error}");
        assert!(error.message().contains(message), "{error}");
    }
    host().check::<OpenExchangeRates>().unwrap();
}

#[test]
fn the_schema_knows_owox_parameters() {
    let spec = spec::<OpenExchangeRates>();
    let properties = &spec.config_schema["properties"];
    assert_eq!(properties["AppId"]["writeOnly"], true);
    assert_eq!(properties["base"]["default"], "USD");
    assert_eq!(properties["StartDate"]["x-backfill"], true);
    assert_eq!(properties["ReimportLookbackWindow"]["default"], 2);
    assert_eq!(properties["CreateEmptyTables"]["deprecated"], true);
    assert_eq!(spec.config_schema["required"], json!(["AppId"]));
}
