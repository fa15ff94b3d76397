//! The connector against answers in the shape of the API's.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use open_holidays::OpenHolidays;
use ow_connector::ErrorKind;
use ow_connector::testing::{Request, Response, TestHost, spec};
use serde_json::{Value, json};

const TABLE: &str = "open_holidays_public_holidays";

/// Holidays of Austria, from the `holidays` package (see `fixtures/LICENSE.md`).
fn austria() -> Vec<Value> {
    serde_json::from_str(include_str!("fixtures/PublicHolidays-AT.json")).unwrap()
}

/// The API: the holidays between the two days of a request.
fn api(request: &Request) -> Response {
    assert_eq!((request.method(), request.path()), ("GET", "/PublicHolidays"));
    let (from, to) = (request.query("validFrom").unwrap(), request.query("validTo").unwrap());
    let between = |holiday: &Value| {
        holiday["endDate"].as_str().unwrap() >= from.as_str()
            && holiday["startDate"].as_str().unwrap() <= to.as_str()
    };
    Response::json(austria().into_iter().filter(between).collect())
}

fn host() -> TestHost {
    let config = json!({"countryIsoCode": "AT", "languageIsoCode": "DE"});
    TestHost::new().config(config).now("2024-05-15T10:00:00Z").http(api)
}

/// What each request of a run asked for.
fn asked(run: &ow_connector::testing::TestRun) -> Vec<String> {
    let range = |request: &Request| {
        format!("{} to {}", request.query("validFrom").unwrap(), request.query("validTo").unwrap())
    };
    run.requests().iter().map(range).collect()
}

#[test]
fn imports_the_last_two_months_first() {
    let run = host().run::<OpenHolidays>();
    run.assert_ok();
    assert_eq!(
        run.requests()[0].url(),
        "https://openholidaysapi.org/PublicHolidays?countryIsoCode=AT&languageIsoCode=DE\
         &validFrom=2024-04-01&validTo=2024-05-15"
    );
    assert_eq!(run.requests()[0].header("user-agent"), Some("open-holidays/0.1.0 (ow-connector)"));
    let rows = run.rows(TABLE);
    assert_eq!(rows.len(), 3);
    assert_eq!(
        rows[0],
        json!({
            "id": rows[0]["id"], "date": "2024-04-01", "end_date": "2024-04-01", "name": "Ostermontag",
            "type": "Public", "regionalScope": "National", "temporalScope": "FullDay", "nationwide": true,
        })
    );
    assert_eq!(run.state(TABLE), Some(&json!({"date": "2024-05-15"})));
}

#[test]
fn goes_on_with_a_lookback() {
    let run = host().state(TABLE, json!({"date": "2024-05-10"})).run::<OpenHolidays>();
    assert_eq!(asked(&run), ["2024-05-08 to 2024-05-15"]);
    let config = json!({"ReimportLookbackWindow": 0, "StartDate": "2020-01-01"});
    let run = host().config(config).state(TABLE, json!({"date": "2024-05-10"})).run::<OpenHolidays>();
    assert_eq!(asked(&run), ["2024-05-10 to 2024-05-15"]);
}

#[test]
fn a_backfill_takes_its_range_and_leaves_the_state() {
    let data = json!([
        {"configField": "StartDate", "value": "2022-01-01"},
        {"configField": "EndDate", "value": "2022-12-31"},
    ]);
    let run = host()
        .state(TABLE, json!({"date": "2024-05-10"}))
        .run_type("MANUAL_BACKFILL")
        .data(data)
        .run::<OpenHolidays>();
    run.assert_ok();
    assert_eq!(asked(&run), ["2022-01-01 to 2022-12-31"]);
    assert_eq!(run.state(TABLE), Some(&json!({"date": "2024-05-10"})));

    let run = host().run_type("MANUAL_BACKFILL").run::<OpenHolidays>();
    assert_eq!(run.error().unwrap().parameter_name(), Some("StartDate"));
}

#[test]
fn long_ranges_are_asked_for_in_parts() {
    let config = json!({"StartDate": "2022-01-01"});
    let run =
        host().now("2026-12-31T23:59:59Z").config(config).run_type("FULL_REFRESH").run::<OpenHolidays>();
    run.assert_ok();
    assert_eq!(asked(&run), ["2022-01-01 to 2024-12-30", "2024-12-31 to 2026-12-31"]);
    let want =
        austria().iter().filter(|holiday| holiday["endDate"].as_str().unwrap() <= "2026-12-31").count();
    assert_eq!((run.rows(TABLE).len(), run.written(TABLE)), (want, want));
}

#[test]
fn keeps_the_state_when_the_api_fails() {
    let run = host().http(|_| Response::status(500).body("down")).run::<OpenHolidays>();
    let error = run.error().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.message(), "GET https://openholidaysapi.org/PublicHolidays: status 500: down");
    assert_eq!((run.requests().len(), run.state(TABLE)), (5, None));
}

#[test]
fn survives_a_bad_moment() {
    let mut count = 0;
    let flaky = move |request: &Request| {
        count += 1;
        if count == 1 { Response::refused() } else { api(request) }
    };
    let run = host().http(flaky).run::<OpenHolidays>();
    run.assert_ok();
    assert_eq!((run.requests().len(), run.rows(TABLE).len()), (2, 3));
}

#[test]
fn names_fall_back() {
    let answer = |_: &Request| {
        let holiday = |id: &str, names: Value| json!({"id": id, "startDate": "2024-05-01", "endDate": "2024-05-02", "name": names});
        Response::json(json!([
            holiday("wanted", json!([{"language": "EN", "text": "Day"}, {"language": "de", "text": "Tag"}])),
            holiday(
                "english",
                json!([{"language": "FR", "text": "Jour"}, {"language": "EN", "text": "Day"}])
            ),
            holiday("first", json!([{"language": "FR", "text": "Jour"}])),
            holiday("none", json!([])),
        ]))
    };
    let run = host().http(answer).run::<OpenHolidays>();
    let names: Vec<&Value> = run.rows(TABLE).iter().map(|row| &row["name"]).collect();
    assert_eq!(names, [&json!("Tag"), &json!("Day"), &json!("Jour"), &Value::Null]);
    assert_eq!(run.rows(TABLE)[0]["end_date"], "2024-05-02");
    assert_eq!(run.rows(TABLE)[0]["nationwide"], false);
}

#[test]
fn imports_the_chosen_columns() {
    let fields = json!({"Fields": "publicHolidays name, publicHolidays date", "CreateEmptyTables": true});
    let run = host().config(fields).run::<OpenHolidays>();
    run.assert_ok();
    let columns: Vec<&String> = run.rows(TABLE)[0].as_object().unwrap().keys().collect();
    assert_eq!(columns, ["date", "id", "name"]);
}

#[test]
fn says_what_is_wrong_with_the_configuration() {
    for (config, message) in [
        (
            json!({"Fields": "publicHolidays nam"}),
            "`publicHolidays` has no field `nam`; did you mean `name`?",
        ),
        (json!({"Fields": "holidays id"}), "there is no node `holidays`; there is `publicHolidays`"),
        (json!({"Country": "AT"}), "there is no parameter `Country`"),
        (json!({"StartDate": "01.05.2024"}), "`StartDate`: `01.05.2024` is not a date (YYYY-MM-DD)"),
        (json!({"BaseUrl": "openholidaysapi.org"}), "is no URL to ask"),
    ] {
        let error = host().config(config).check::<OpenHolidays>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains(message), "{error}");
    }
}

#[test]
fn the_schema_marks_what_a_backfill_may_override() {
    let spec = spec::<OpenHolidays>();
    let properties = &spec.config_schema["properties"];
    assert_eq!(properties["StartDate"]["x-backfill"], true);
    assert_eq!(properties["StartDate"]["format"], "date");
    assert_eq!(properties["countryIsoCode"]["default"], "CH");
    assert_eq!(properties["MaxFetchRetries"]["deprecated"], true);
    assert!(spec.config_schema.get("required").is_none());
}

#[test]
fn the_table_can_have_another_name() {
    let config = json!({"DestinationTableNameOverride": "publicHolidays our_holidays"});
    let run = host().config(config).run::<OpenHolidays>();
    run.assert_ok();
    assert_eq!((run.rows("our_holidays").len(), run.stream(TABLE)), (3, None));
    assert_eq!(run.state("our_holidays"), Some(&json!({"date": "2024-05-15"})));
}
