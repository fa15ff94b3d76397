//! The connector against answers in the shape of the API's.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "what fails here fails the test")]

use std::time::Duration;

use google_ads::GoogleAds;
use ow_connector::ErrorKind;
use ow_connector::testing::{Request, Response, TestHost, TestRun, spec};
use serde_json::{Value, json};

const STATS: &str = "google_ads_campaigns_stats";

/// What a request asks for.
fn body(request: &Request) -> Value {
    serde_json::from_slice(request.body()).unwrap()
}

fn query(request: &Request) -> String {
    body(request)["query"].as_str().unwrap().to_owned()
}

/// The day of a query.
fn day(request: &Request) -> Option<String> {
    let query = query(request);
    Some(query.split_once("segments.date = '")?.1.trim_end_matches('\'').to_owned())
}

fn is_login(request: &Request) -> bool {
    request.path() == "/token"
}

fn days(run: &TestRun) -> Vec<String> {
    let queries = run.requests().iter().filter(|request| !is_login(request));
    queries.filter(|request| body(request)["pageToken"].is_null()).filter_map(day).collect()
}

fn login(_: &Request) -> Response {
    Response::json(json!({"access_token": "access", "expires_in": 3599, "token_type": "Bearer"}))
}

fn refusal(status: u16, kind: &str, code: &str, message: &str) -> Response {
    let errors = json!([{"errorCode": {kind: code}, "message": message}]);
    let details = json!([{"@type": "type.googleapis.com/google.ads.googleads.v25.errors.GoogleAdsFailure", "errors": errors}]);
    Response::json(json!({"error": {"code": status, "message": "Bad.", "status": "X", "details": details}}))
        .with_status(status)
}

/// The API: two campaigns a day, on two pages; nothing of the other resources.
fn api(request: &Request) -> Response {
    if is_login(request) {
        return login(request);
    }
    assert_eq!((request.method(), request.header("authorization")), ("POST", Some("Bearer access")));
    assert_eq!(request.header("developer-token"), Some("developer"));
    if !query(request).contains(" FROM campaign") {
        return Response::json(json!({"fieldMask": "x"}));
    }
    let row = |id: &str| {
        json!({"campaign": {"resourceName": "customers/1/campaigns/2", "id": id, "name": "shoes"}, "customer": {"id": "1234567890"},
               "metrics": {"clicks": "12", "costMicros": "9007199254740993", "ctr": 0.5, "allConversionsValue": 3},
               "segments": {"date": day(request)}})
    };
    match body(request)["pageToken"].as_str() {
        None => Response::json(json!({"results": [row("10")], "nextPageToken": "two"})),
        Some("two") => Response::json(json!({"results": [row("11")]})),
        Some(other) => Response::status(400).body(other),
    }
}

fn host() -> TestHost {
    let login = json!({"oauth2": {"RefreshToken": "refresh", "ClientId": "client", "ClientSecret": "s3cret", "DeveloperToken": "developer"}});
    let config = json!({"CustomerId": "123-456-7890", "AuthType": login, "Fields": "campaigns_stats clicks"});
    TestHost::new().config(config).now("2024-03-02T00:00:00Z").http(api)
}

fn key() -> String {
    format!("{STATS}/1234567890")
}

#[test]
fn days_are_imported_page_by_page() {
    let config = json!({"Fields": "campaigns_stats clicks, campaigns_stats cost_micros, campaigns_stats all_conversions_value"});
    let run = host().config(config).state(&key(), json!({"date": "2024-03-01"})).run::<GoogleAds>();
    run.assert_ok();
    assert_eq!(days(&run), ["2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02"]);
    assert_eq!(
        run.rows(STATS)[1],
        json!({"date": "2024-02-28", "campaign_id": 11, "clicks": 12, "cost_micros": 9007199254740993_i64, "all_conversions_value": 3.0})
    );
    assert_eq!((run.rows(STATS).len(), run.commits()), (8, 5));
    assert_eq!(run.state(&key()), Some(&json!({"date": "2024-03-02"})));
    let requests = run.requests();
    assert_eq!(requests[0].url(), "https://oauth2.googleapis.com/token");
    assert_eq!(
        requests[0].body(),
        b"grant_type=refresh_token&client_id=client&client_secret=s3cret&refresh_token=refresh"
    );
    assert_eq!(
        requests[1].url(),
        "https://googleads.googleapis.com/v25/customers/1234567890/googleAds:search"
    );
    assert_eq!(
        query(&requests[1]),
        "SELECT segments.date, campaign.id, metrics.clicks, metrics.cost_micros, metrics.all_conversions_value \
         FROM campaign WHERE segments.date = '2024-02-28'"
    );
    assert_eq!(body(&requests[2])["query"], body(&requests[1])["query"]);
    assert_eq!(requests.iter().filter(|request| is_login(request)).count(), 1);
}

#[test]
fn the_first_run_starts_with_the_previous_month() {
    let run = host().run::<GoogleAds>();
    run.assert_ok();
    let days = days(&run);
    assert_eq!((days.len(), days[0].as_str(), days[28].as_str()), (31, "2024-02-01", "2024-02-29"));
}

#[test]
fn tables_can_have_other_names() {
    let names =
        json!({"DestinationTableNameOverride": "campaigns_stats our_figures", "StartDate": "2024-03-01"});
    let run = host().config(names).run::<GoogleAds>();
    run.assert_ok();
    assert!(!run.rows("our_figures").is_empty());
    assert_eq!(run.state("our_figures/1234567890"), Some(&json!({"date": "2024-03-02"})));
}

#[test]
fn the_other_run_types_take_their_range() {
    let range = json!({"StartDate": "2023-12-31", "EndDate": "2024-01-01"});
    for (kind, state) in
        [("FULL_REFRESH", Some("2024-01-01")), ("CUSTOM", Some("2024-01-01")), ("MANUAL_BACKFILL", None)]
    {
        let run = host().config(range.clone()).run_type(kind).run::<GoogleAds>();
        run.assert_ok();
        assert_eq!(days(&run), ["2023-12-31", "2024-01-01"], "{kind}");
        assert_eq!(run.state(&key()), state.map(|day| json!({"date": day})).as_ref(), "{kind}");
    }
}

#[test]
fn every_node_has_a_table_and_a_query() {
    let run = host().config(json!({"Fields": "", "StartDate": "2024-03-02"})).run::<GoogleAds>();
    run.assert_ok();
    let streams = host().config(json!({"Fields": ""})).discover::<GoogleAds>().unwrap();
    let told: Vec<String> =
        streams.iter().map(|stream| format!("{} {}", stream.name, stream.fields.len())).collect();
    assert_eq!(
        told,
        [
            "google_ads_campaigns 12",
            "google_ads_campaigns_stats 34",
            "google_ads_ad_groups 9",
            "google_ads_ad_groups_stats 34",
            "google_ads_ad_group_ads_stats 34",
            "google_ads_keywords_stats 38",
            "google_ads_criterion 17",
            "google_ads_geo_stats 25",
            "google_ads_geo_target_constants 7",
        ]
    );
    let queries: Vec<String> = run
        .requests()
        .iter()
        .filter(|request| !is_login(request) && body(request)["pageToken"].is_null())
        .map(query)
        .collect();
    assert_eq!(queries.len(), 9);
    assert!(queries[8].ends_with(" FROM geo_target_constant"));
    assert!(queries[7].ends_with(" FROM geographic_view WHERE segments.date = '2024-03-02'"));
    assert_eq!(run.rows("google_ads_campaigns").len(), 2);
}

#[test]
fn a_token_that_is_taken_back_is_renewed_once() {
    let mut tokens = 0;
    let answer = move |request: &Request| {
        if is_login(request) {
            tokens += 1;
            return login(request);
        }
        match day(request).as_deref() {
            Some("2024-03-01") if tokens == 1 => {
                refusal(401, "authenticationError", "OAUTH_TOKEN_REVOKED", "The token was revoked.")
            }
            _ => api(request),
        }
    };
    let run = host().state(&key(), json!({"date": "2024-03-01"})).http(answer).run::<GoogleAds>();
    run.assert_ok();
    assert_eq!(run.rows(STATS).len(), 8);

    let never = |request: &Request| match is_login(request) {
        true => login(request),
        false => refusal(
            401,
            "authenticationError",
            "DEVELOPER_TOKEN_INVALID",
            "The developer token is not valid.",
        ),
    };
    let run = host().http(never).run::<GoogleAds>();
    assert_eq!(
        (run.error().unwrap().kind(), run.requests().len(), run.state(&key())),
        (ErrorKind::Auth, 2, None)
    );
}

#[test]
fn refusals_are_told_by_kind() {
    for (status, family, code, kind, parameter, requests) in [
        (401, "authenticationError", "NOT_ADS_USER", ErrorKind::Auth, None, 2),
        (403, "authorizationError", "USER_PERMISSION_DENIED", ErrorKind::Auth, None, 2),
        (403, "authorizationError", "CUSTOMER_NOT_ENABLED", ErrorKind::Config, Some("CustomerId"), 2),
        (400, "authenticationError", "CUSTOMER_NOT_FOUND", ErrorKind::Config, Some("CustomerId"), 2),
        (400, "queryError", "REQUESTED_METRICS_FOR_MANAGER", ErrorKind::Config, Some("CustomerId"), 2),
        (400, "queryError", "UNRECOGNIZED_FIELD", ErrorKind::Config, Some("Fields"), 2),
        (400, "requestError", "INVALID_PAGE_TOKEN", ErrorKind::InvalidData, None, 2),
        (429, "quotaError", "RESOURCE_EXHAUSTED", ErrorKind::RateLimited, None, 6),
        (500, "internalError", "INTERNAL_ERROR", ErrorKind::Unavailable, None, 6),
    ] {
        let answer = move |request: &Request| match is_login(request) {
            true => login(request),
            false => refusal(status, family, code, "As told."),
        };
        let run = host().http(answer).run::<GoogleAds>();
        let error = run.error().unwrap();
        assert_eq!((error.kind(), error.parameter_name()), (kind, parameter), "{error}");
        assert!(error.message().contains(&format!("{code}: As told.")), "{error}");
        let ends_all = if status == 401 { "" } else { "1 of 1 failed: " };
        let place = format!("{ends_all}account 1234567890, campaigns_stats: 2024-02-01: page 1: POST ");
        assert!(error.message().starts_with(&place), "{error}");
        assert_eq!((run.requests().len(), run.state(&key())), (requests, None), "{code}");
    }
}

#[test]
fn a_quota_says_how_long_to_wait() {
    let mut first = true;
    let answer = move |request: &Request| {
        if is_login(request) || !std::mem::take(&mut first) {
            return api(request);
        }
        let errors = json!([{"errorCode": {"quotaError": "RESOURCE_EXHAUSTED"}, "message": "Too many requests.",
                             "details": {"quotaErrorDetails": {"rateScope": "DEVELOPER", "retryDelay": "30s"}}}]);
        Response::json(json!({"error": {"code": 429, "details": [{"errors": errors}]}})).with_status(429)
    };
    let run = host().state(&key(), json!({"date": "2024-03-02"})).http(answer).run::<GoogleAds>();
    run.assert_ok();
    assert_eq!(run.slept(), Duration::from_secs(30));
}

#[test]
fn refused_credentials_end_everything_at_once() {
    let config = json!({"CustomerId": "1, 2, 3", "Fields": ""});
    let refused = |_: &Request| {
        let body =
            json!({"error": "invalid_grant", "error_description": "Token has been expired or revoked."});
        Response::json(body).with_status(400)
    };
    let before = json!({"date": "2024-03-01"});
    let run = host().config(config).state(&key(), before.clone()).http(refused).run::<GoogleAds>();
    let error = run.error().unwrap();
    assert_eq!((error.kind(), error.parameter_name()), (ErrorKind::Auth, Some("AuthType")));
    assert!(error.message().ends_with("invalid_grant: Token has been expired or revoked."), "{error}");
    assert_eq!((run.requests().len(), run.state(&key())), (1, Some(&before)));
}

#[test]
fn accounts_go_on_by_themselves() {
    let answer = |request: &Request| match request.path().contains("/customers/2/") {
        true if day(request).as_deref() == Some("2024-03-01") => {
            refusal(403, "authorizationError", "USER_PERMISSION_DENIED", "No.")
        }
        _ => api(request),
    };
    let config = json!({"CustomerId": "1;2,3,1", "LoginCustomerId": "999-999-9999", "StartDate": "2024-02-29", "EndDate": "2024-03-02"});
    let run = host().config(config).run_type("CUSTOM").http(answer).run::<GoogleAds>();
    let error = run.error().unwrap();
    assert!(
        error.message().starts_with("1 of 3 failed: account 2, campaigns_stats: 2024-03-01: "),
        "{error}"
    );
    let state = |account: &str| run.state(&format!("{STATS}/{account}")).map(|state| state["date"].clone());
    assert_eq!(
        [state("1"), state("2"), state("3")],
        ["2024-03-02", "2024-02-29", "2024-03-02"].map(|day| Some(json!(day)))
    );
    assert!(
        run.requests().iter().skip(1).all(|request| {
            is_login(request) || request.header("login-customer-id") == Some("9999999999")
        })
    );
}

#[test]
fn a_service_account_signs_for_its_token() {
    let key = json!({"type": "service_account", "client_email": "robot@example.com", "private_key_id": "k1",
                     "private_key": include_str!("fixtures/test-key.pem")});
    let config = json!({"AuthType": {"service_account": {"ServiceAccountKey": key.to_string(), "DeveloperToken": "developer"}}});
    let run = host().config(config).run::<GoogleAds>();
    run.assert_ok();
    let body = String::from_utf8(run.requests()[0].body().to_vec()).unwrap();
    assert!(
        body.starts_with("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=eyJ"),
        "{body}"
    );
    assert_eq!(body.matches('.').count(), 2);

    let config =
        json!({"AuthType": {"service_account": {"ServiceAccountKey": "{}", "DeveloperToken": "developer"}}});
    let error = host().config(config).check::<GoogleAds>().unwrap_err();
    let parameter = error.parameter_name();
    assert_eq!(
        (error.kind(), parameter),
        (ErrorKind::Config, Some("AuthType.service_account.ServiceAccountKey"))
    );
}

#[test]
fn a_value_of_another_type_is_named() {
    let answer = |request: &Request| match is_login(request) {
        true => login(request),
        false => Response::json(
            json!({"results": [{"campaign": {"id": "7"}, "metrics": {"clicks": "many"}, "segments": {"date": "2024-02-01"}}]}),
        ),
    };
    let run = host().http(answer).run::<GoogleAds>();
    let error = run.error().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.message().contains("field `clicks`") && error.message().contains("many"), "{error}");
    assert_eq!(run.state(&key()), None);
}

#[test]
fn says_what_is_wrong_with_the_configuration() {
    for (config, parameter, message) in [
        (
            json!({"Fields": "campaign clicks"}),
            "Fields",
            "there is no node `campaign`; did you mean `campaigns`?",
        ),
        (
            json!({"Fields": "campaigns_stats click"}),
            "Fields",
            "`campaigns_stats` has no field `click`; did you mean `clicks`?",
        ),
        (
            json!({"CustomerId": "my account"}),
            "CustomerId",
            "`my account` is no account's id, which looks like `123-456-7890`",
        ),
        (json!({"CustomerId": ""}), "CustomerId", "there is no account's id in it"),
        (json!({"LoginCustomerId": "x"}), "LoginCustomerId", "`x` is no account's id"),
        (json!({"AuthType": {"oauth": {}}}), "AuthType", "unknown variant `oauth`"),
    ] {
        let error = host().config(config).check::<GoogleAds>().unwrap_err();
        assert_eq!((error.kind(), error.parameter_name()), (ErrorKind::Config, Some(parameter)), "{error}");
        assert!(error.message().contains(message), "{error}");
    }
    host().check::<GoogleAds>().unwrap();
}

#[test]
fn the_schema_knows_owox_parameters() {
    let spec = spec::<GoogleAds>();
    let properties = &spec.config_schema["properties"];
    assert_eq!(properties["StartDate"]["x-backfill"], true);
    assert_eq!(properties["ReimportLookbackWindow"]["default"], 2);
    assert_eq!(spec.config_schema["required"], json!(["CustomerId", "AuthType"]));
    let text = properties["AuthType"].to_string();
    for name in ["RefreshToken", "ClientId", "ClientSecret", "DeveloperToken", "ServiceAccountKey"] {
        assert!(text.contains(name), "{text}");
    }
    assert_eq!(text.matches("\"writeOnly\":true").count(), 5);
}
