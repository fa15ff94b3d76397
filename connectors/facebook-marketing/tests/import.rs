//! The connector against answers in the shape of the API's.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::time::Duration;

use facebook_marketing::FacebookMarketing;
use ow_connector::ErrorKind;
use ow_connector::testing::{Request, Response, TestHost, TestRun, spec};
use serde_json::{Value, json};

const INSIGHTS: &str = "facebook_marketing_ad_account_insights";

/// The day of a request for insights.
fn day(request: &Request) -> Option<String> {
    let range: Value = serde_json::from_str(&request.query("time_range")?).unwrap();
    assert_eq!(range["since"], range["until"]);
    Some(range["since"].as_str().unwrap().to_owned())
}

fn days(run: &TestRun) -> Vec<String> {
    run.requests().iter().filter(|request| request.query("after").is_none()).filter_map(day).collect()
}

fn refusal(status: u16, code: i64, subcode: Option<i64>, message: &str) -> Response {
    let error = json!({"message": message, "type": "OAuthException", "code": code, "error_subcode": subcode, "fbtrace_id": "x"});
    Response::json(json!({"error": error})).with_status(status)
}

/// The API: two ads a day, on two pages; lists of one; the account.
fn api(request: &Request) -> Response {
    if request.query("access_token").as_deref() != Some("t0ken") {
        return refusal(400, 190, None, "Error validating access token");
    }
    let moment = "2024-02-29T10:00:00+0100";
    if let Some(day) = day(request) {
        let row = |id: &str| {
            json!({"ad_id": id, "ad_name": "shoes", "date_start": day, "date_stop": day, "impressions": "1200", "spend": "12.34",
                   "actions": [{"action_type": "link_click", "value": "3"}], "country": "AT",
                   "link_url_asset": {"id": format!("{id}0"), "website_url": "https://example.com"}})
        };
        return match request.query("after") {
            None => {
                let next = request.url().replace("t0ken", "as-facebook-writes-it") + "&after=b";
                Response::json(
                    json!({"data": [row("1")], "paging": {"cursors": {"after": "b"}, "next": next}}),
                )
            }
            Some(_) => Response::json(json!({"data": [row("2")], "paging": {"cursors": {"after": "c"}}})),
        };
    }
    match request.path().trim_start_matches("/v25.0/") {
        "me" => Response::json(json!({"id": "9", "name": "Someone"})),
        "act_1" | "act_2" => {
            Response::json(json!({"id": "act_1", "account_id": "1", "amount_spent": "1234", "is_personal": 0,
                                                   "created_time": moment, "timezone_offset_hours_utc": 1}))
        }
        path if path.starts_with("act_") => {
            assert_eq!(request.query("limit").as_deref(), Some("100"));
            Response::json(
                json!({"data": [{"id": "5", "name": path, "created_time": moment, "creative": {"id": "6"}}], "paging": {}}),
            )
        }
        _ => Response::status(404),
    }
}

fn host() -> TestHost {
    let config = json!({"AuthType": {"oauth2": {"AccessToken": "t0ken", "AppId": "1", "AppSecret": "s"}}, "AccountIDs": "act_1",
                        "Fields": "ad-account/insights impressions, ad-account/insights spend", "ProcessShortLinks": true});
    TestHost::new().config(config).now("2024-03-02T00:00:00Z").http(api)
}

fn key(account: &str) -> String {
    format!("{INSIGHTS}/{account}")
}

#[test]
fn days_are_imported_page_by_page() {
    let run = host().state(&key("1"), json!({"date": "2024-03-01"})).run::<FacebookMarketing>();
    run.assert_ok();
    assert_eq!(days(&run), ["2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02"]);
    assert_eq!(
        run.rows(INSIGHTS)[1],
        json!({"ad_id": "2", "date_start": "2024-02-28", "date_stop": "2024-02-28", "impressions": 1200, "spend": 12.34})
    );
    assert_eq!((run.rows(INSIGHTS).len(), run.commits()), (8, 5));
    assert_eq!(run.state(&key("1")), Some(&json!({"date": "2024-03-02"})));
    let request = &run.requests()[0];
    assert_eq!(request.path(), "/v25.0/act_1/insights");
    assert_eq!(request.query("fields").as_deref(), Some("ad_id,date_start,date_stop,impressions,spend"));
    assert_eq!(request.query("level").as_deref(), Some("ad"));
    assert!(run.requests().iter().all(|request| request.query("access_token").as_deref() == Some("t0ken")));
}

#[test]
fn tables_can_have_other_names() {
    let names = json!({"DestinationTableNameOverride": "ad-account/insights our_figures"});
    let run = host().config(names).run::<FacebookMarketing>();
    run.assert_ok();
    assert!(!run.rows("our_figures").is_empty());
    assert_eq!(run.state("our_figures/1"), Some(&json!({"date": "2024-03-02"})));
}

#[test]
fn every_run_type_takes_its_days() {
    let range = json!({"StartDate": "2023-02-28", "EndDate": "2023-03-01"});
    for (kind, state) in
        [("FULL_REFRESH", Some("2023-03-01")), ("CUSTOM", Some("2023-03-01")), ("MANUAL_BACKFILL", None)]
    {
        let run = host().config(range.clone()).run_type(kind).run::<FacebookMarketing>();
        run.assert_ok();
        assert_eq!(days(&run), ["2023-02-28", "2023-03-01"], "{kind}");
        assert_eq!(run.state(&key("1")), state.map(|day| json!({"date": day})).as_ref(), "{kind}");
    }
    let run = host().run::<FacebookMarketing>();
    assert_eq!((days(&run).len(), days(&run)[0].as_str()), (31, "2024-02-01"));
}

#[test]
fn lists_and_accounts_are_imported_once() {
    let fields = "ad-account-user, ad-account, ad-account/ads, ad-account/adcreatives, ad-group";
    let run = host().config(json!({"Fields": fields, "AccountIDs": [1, "2"]})).run::<FacebookMarketing>();
    run.assert_ok();
    let paths: Vec<&str> =
        run.requests().iter().map(|request| request.path().trim_start_matches("/v25.0/")).collect();
    assert_eq!(
        paths,
        [
            "me",
            "act_1",
            "act_1/adcreatives",
            "act_1/ads",
            "act_1/adsets",
            "act_2",
            "act_2/adcreatives",
            "act_2/ads",
            "act_2/adsets"
        ]
    );
    let account = &run.rows("facebook_marketing_ad_account")[0];
    assert_eq!((&account["amount_spent"], &account["is_personal"]), (&json!(1234), &json!(false)));
    assert_eq!(account["created_time"], "2024-02-29T09:00:00Z");
    assert_eq!(run.rows("facebook_marketing_ad_account_ads")[0]["creative"], json!({"id": "6"}));
}

#[test]
fn breakdowns_belong_to_the_key() {
    let fields = "ad-account/insights-by-country spend, ad-account/insights-by-link-url-asset spend";
    let run = host().config(json!({"Fields": fields, "StartDate": "2024-03-02"})).run::<FacebookMarketing>();
    run.assert_ok();
    assert_eq!(run.requests()[0].query("breakdowns").as_deref(), Some("country"));
    assert_eq!(run.requests()[0].query("fields").as_deref(), Some("ad_id,date_start,date_stop,spend"));
    assert_eq!(run.rows(&format!("{INSIGHTS}_by_country"))[0]["country"], "AT");
    let links = run.rows(&format!("{INSIGHTS}_by_link_url_asset"));
    assert_eq!((&links[0]["link_url_asset_id"], links[0].as_object().unwrap().len()), (&json!("10"), 5));
}

#[test]
fn refusals_are_told_by_kind() {
    for (status, code, subcode, kind, parameter, requests) in [
        (400, 190, Some(463), ErrorKind::Auth, Some("AuthType"), 1),
        (403, 200, None, ErrorKind::Auth, None, 1),
        (400, 10, None, ErrorKind::Auth, None, 1),
        (400, 100, Some(33), ErrorKind::Config, Some("AccountIDs"), 1),
        (400, 100, None, ErrorKind::Config, Some("Fields"), 1),
        (400, 17, None, ErrorKind::RateLimited, None, 5),
        (400, 80_004, None, ErrorKind::RateLimited, None, 5),
        (500, 1, None, ErrorKind::Unavailable, None, 5),
        (400, 999, None, ErrorKind::InvalidData, None, 1),
    ] {
        let run = host().http(move |_| refusal(status, code, subcode, "As told.")).run::<FacebookMarketing>();
        let error = run.error().unwrap();
        assert_eq!((error.kind(), error.parameter_name()), (kind, parameter), "{error}");
        assert!(error.message().contains("account 1, ad-account/insights: 2024-02-01: "), "{error}");
        assert!(error.message().ends_with(": As told.") && !error.message().contains("t0ken"), "{error}");
        assert_eq!((run.requests().len(), run.state(&key("1"))), (requests, None), "code {code}");
    }
}

#[test]
fn a_quota_says_when_it_is_regained() {
    let usage = |minutes: u64| {
        json!({"1": [{"type": "ads_insights", "estimated_time_to_regain_access": minutes}]}).to_string()
    };
    for (minutes, slept) in [(2, Some(120)), (30, None)] {
        let mut first = Some(
            refusal(400, 80_000, None, "There have been too many calls")
                .header("x-business-use-case-usage", &usage(minutes)),
        );
        let answer = move |request: &Request| first.take().unwrap_or_else(|| api(request));
        let run =
            host().state(&key("1"), json!({"date": "2024-03-02"})).http(answer).run::<FacebookMarketing>();
        match slept {
            Some(seconds) => {
                run.assert_ok();
                assert_eq!(run.slept(), Duration::from_secs(seconds));
            }
            None => assert_eq!(run.error().unwrap().wait(), Some(Duration::from_secs(1800))),
        }
    }
}

#[test]
fn an_account_that_fails_leaves_the_others() {
    let answer = |request: &Request| match request.path().contains("act_2") {
        true if day(request).as_deref() == Some("2024-03-01") => refusal(403, 200, None, "No."),
        _ => api(request),
    };
    let config = json!({"AccountIDs": "act_1; 2, 3", "StartDate": "2024-02-29", "EndDate": "2024-03-02"});
    let run = host().config(config).run_type("CUSTOM").http(answer).run::<FacebookMarketing>();
    let error = run.error().unwrap();
    assert!(
        error.message().starts_with("1 of 3 failed: account 2, ad-account/insights: 2024-03-01: "),
        "{error}"
    );
    let state = |account: &str| run.state(&key(account)).map(|state| state["date"].clone());
    assert_eq!(
        [state("1"), state("2"), state("3")],
        ["2024-03-02", "2024-02-29", "2024-03-02"].map(|day| Some(json!(day)))
    );

    let run = host()
        .config(json!({"AccountIDs": "1,2,3", "AuthType": {"oauth2": {"AccessToken": "old"}}}))
        .run::<FacebookMarketing>();
    assert_eq!(
        (run.error().unwrap().kind(), run.requests().len()),
        (ErrorKind::Auth, 1),
        "no other account will do"
    );
}

#[test]
fn a_type_that_changed_is_named() {
    let answer = |_: &Request| {
        Response::json(
            json!({"data": [{"ad_id": "1", "date_start": "2024-02-01", "date_stop": "2024-02-01", "spend": "a lot"}]}),
        )
    };
    let run = host().http(answer).run::<FacebookMarketing>();
    let error = run.error().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.message().contains("field `spend`") && error.message().contains("a lot"), "{error}");
    let run = host().http(|_| Response::json(json!({"paging": {}}))).run::<FacebookMarketing>();
    assert!(run.error().unwrap().message().contains("there is no list at `/data`"));
    assert_eq!(run.state(&key("1")), None);
}

#[test]
fn says_what_is_wrong_with_the_configuration() {
    for (config, parameter, message) in [
        (json!({"Fields": "ad-account/insight spend"}), "Fields", "did you mean `ad-account/insights`?"),
        (json!({"Fields": "ad-account/insights spent"}), "Fields", "did you mean `spend`?"),
        (json!({"Fields": ""}), "Fields", "name what to import"),
        (
            json!({"AccountIDs": "mine"}),
            "AccountIDs",
            "`mine` is no ad account's id, which looks like `act_123456789`",
        ),
        (json!({"AccountIDs": []}), "AccountIDs", "there is no ad account's id in it"),
        (json!({"AuthType": null}), "AuthType", "the access token is missing"),
    ] {
        let error = host().config(config).check::<FacebookMarketing>().unwrap_err();
        assert_eq!((error.kind(), error.parameter_name()), (ErrorKind::Config, Some(parameter)), "{error}");
        assert!(error.message().contains(message), "{error}");
    }
    host().check::<FacebookMarketing>().unwrap();
    host().config(json!({"AuthType": null, "AccessToken": "t0ken"})).check::<FacebookMarketing>().unwrap();
}

#[test]
fn the_schema_knows_owox_parameters() {
    let spec = spec::<FacebookMarketing>();
    let properties = &spec.config_schema["properties"];
    assert_eq!(properties["AccessToken"]["writeOnly"], true);
    assert_eq!(properties["Limit"]["default"], 100);
    assert_eq!(properties["ProcessShortLinks"]["deprecated"], true);
    assert_eq!(spec.config_schema["required"], json!(["AccountIDs", "Fields"]));
}
