//! Google Ads, from configuration to table.

use e2e::apis::google_ads::{ACCOUNTS, DEVELOPER_TOKEN, MANAGER, Query, REFRESH_TOKEN, refusal, start};
use e2e::{Answer, Lab, Outcome, Server, build};
use insta::assert_snapshot;
use serde_json::{Value, json};

const ENOUGH: u32 = 1000;

fn lab(server: &Server, more: &Value) -> Lab {
    let lab = Lab::new();
    lab.take(&build::connector("google-ads"), "connector.wasm");
    configure(&lab, server, more);
    lab
}

fn configure(lab: &Lab, server: &Server, more: &Value) {
    let login = json!({
        "RefreshToken": REFRESH_TOKEN,
        "ClientId": "client",
        "ClientSecret": "client-s3cret",
        "DeveloperToken": DEVELOPER_TOKEN,
    });
    let mut parameters = json!({
        "CustomerId": "123-456-7890",
        "AuthType": { "oauth2": login },
        "BaseUrl": server.origin(),
        "TokenUrl": server.url("/token"),
        "Fields": "campaigns_stats clicks, campaigns_stats cost_micros",
    });
    parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    lab.configure(&parameters);
}

fn run(lab: &Lab, server: &Server, flags: &[&str]) -> Outcome {
    let origin = server.origin();
    lab.run_component("connector.wasm", &[&["--allow-net", &origin], flags].concat())
}

fn days(server: &Server) -> Vec<String> {
    let requests = server.requests();
    requests
        .iter()
        .filter_map(Query::of)
        .filter(|query| query.page == 0)
        .filter_map(|query| query.day)
        .collect()
}

#[test]
fn a_backfill_over_a_leap_day() {
    let server = start(ENOUGH, |_| None);
    let lab = lab(&server, &json!({}));
    let outcome =
        run(&lab, &server, &["--set", "StartDate=2024-02-28", "--set", "EndDate=2024-03-01"]).success();
    assert_eq!(days(&server), ["2024-02-28", "2024-02-29", "2024-03-01"]);
    assert_snapshot!(lab.query("SELECT * FROM google_ads_campaigns_stats ORDER BY date, campaign_id LIMIT 4"), @r"
    2024-02-28|901|10|9007199254740993
    2024-02-28|902|20|9007199254740993
    2024-02-28|903|30|9007199254740993
    2024-02-29|901|10|9007199254740993
    ");
    assert_eq!(lab.query("SELECT count(*) FROM google_ads_campaigns_stats"), "9");
    assert_eq!((lab.state(), &outcome.report()["requests"]), (json!({}), &json!(7)));
    for secret in [REFRESH_TOKEN, DEVELOPER_TOKEN, "client-s3cret"] {
        assert!(!outcome.stdout.contains(secret));
    }
}

#[test]
fn runs_go_on_where_the_last_one_stopped() {
    let server = start(ENOUGH, |_| None);
    let lab = lab(&server, &json!({}));
    run(&lab, &server, &[]).expect_success();
    let first = days(&server);
    assert!(first[0].ends_with("-01") && (29..=62).contains(&first.len()), "{first:?}");
    assert_eq!(lab.state(), json!({ "google_ads_campaigns_stats/1234567890": { "date": first.last() } }));
    run(&lab, &server, &[]).expect_success();
    let second = days(&server).split_off(first.len());
    assert_eq!(second[0], first[first.len() - 3], "two days of lookback");

    let config = json!({ "StartDate": "2023-12-31", "EndDate": "2024-01-01" });
    configure(&lab, &server, &config);
    run(&lab, &server, &["--type", "FULL_REFRESH"]).expect_success();
    assert_eq!(lab.query("SELECT DISTINCT date FROM google_ads_campaigns_stats"), "2023-12-31\n2024-01-01");
    configure(&lab, &server, &json!({ "StartDate": "2023-02-28", "EndDate": "2023-03-01" }));
    run(&lab, &server, &["--type", "CUSTOM"]).expect_success();
    assert_eq!(lab.query("SELECT count(DISTINCT date) FROM google_ads_campaigns_stats"), "4");
}

#[test]
fn every_node_of_two_accounts() {
    let server = start(ENOUGH, |_| None);
    let config = json!({ "CustomerId": ACCOUNTS.join(","), "LoginCustomerId": "999-999-9999", "Fields": "" });
    let lab = lab(&server, &config);
    run(&lab, &server, &["--set", "StartDate=2024-01-31", "--set", "EndDate=2024-02-01"]).expect_success();
    assert_snapshot!(lab.query("SELECT campaign_id, customer_id, campaign_name, campaign_status, campaign_optimization_score FROM google_ads_campaigns ORDER BY 1"), @r"
    221|2222222222|campaign 1|ENABLED|0.75
    222|2222222222|campaign 2|ENABLED|NULL
    223|2222222222|campaign 3|REMOVED|NULL
    901|1234567890|campaign 1|ENABLED|0.75
    902|1234567890|campaign 2|ENABLED|NULL
    903|1234567890|campaign 3|REMOVED|NULL
    ");
    let keywords = "SELECT date, keyword_id, ad_group_id, keyword_text, clicks FROM google_ads_keywords_stats WHERE customer_id = 1234567890 ORDER BY 1, 3";
    assert_snapshot!(lab.query(keywords), @r"
    2024-01-31|10000|9071|shoes|10
    2024-01-31|10000|9072|shoes|20
    2024-02-01|10000|9071|shoes|10
    2024-02-01|10000|9072|shoes|20
    ");
    let managers = server
        .requests()
        .iter()
        .filter(|request| request.header("login-customer-id") == Some(MANAGER))
        .count();
    assert!(managers > 20, "{managers}");
}

#[test]
fn a_token_that_expires_is_renewed() {
    let server = start(3, |_| None);
    let lab = lab(&server, &json!({}));
    run(&lab, &server, &["--set", "StartDate=2024-01-30", "--set", "EndDate=2024-02-02"]).expect_success();
    assert_eq!(lab.query("SELECT count(*), count(DISTINCT date) FROM google_ads_campaigns_stats"), "12|4");
    let tokens = server.requests().iter().filter(|request| request.path() == "/token").count();
    assert!(tokens > 2, "{tokens}");
}

#[test]
fn refused_credentials_move_no_state() {
    let server = start(ENOUGH, |_| None);
    let lab = lab(&server, &json!({}));
    run(&lab, &server, &[]).expect_success();
    let state = lab.state();
    let login = |token: &str, developer: &str| {
        json!({ "AuthType": { "oauth2": {
            "RefreshToken": token, "ClientId": "client", "ClientSecret": "client-s3cret", "DeveloperToken": developer,
        }}})
    };
    configure(&lab, &server, &login("1//old", DEVELOPER_TOKEN));
    let failure = run(&lab, &server, &[]).failure();
    let failure = regex::Regex::new(r"\d{4}-\d\d-\d\d").unwrap().replace(&failure, "[DAY]").into_owned();
    assert_snapshot!(failure, @r"
    1 connector: account 1234567890, campaigns_stats: [DAY]: logging in: POST http://127.0.0.1:[PORT]/token: invalid_grant: Token has been expired or revoked.
    at: AuthType
    hint: check the credentials in the configuration
    ");
    configure(&lab, &server, &login(REFRESH_TOKEN, "another"));
    let failure = run(&lab, &server, &[]).failure();
    assert!(failure.contains("DEVELOPER_TOKEN_INVALID: Developer token is not valid."), "{failure}");
    assert_eq!(lab.state(), state);
}

#[test]
fn an_account_that_fails_is_named_and_the_others_go_on() {
    let server = start(ENOUGH, |_| None);
    let config = json!({ "CustomerId": "222-222-2222; 123-456-7890", "StartDate": "2024-01-31", "EndDate": "2024-01-31" });
    let lab = lab(&server, &config);
    assert_snapshot!(run(&lab, &server, &["--type", "CUSTOM"]).failure(), @r"
    1 connector: 1 of 2 failed: account 2222222222, campaigns_stats: 2024-01-31: page 1: POST http://127.0.0.1:[PORT]/v25/customers/2222222222/googleAds:search: USER_PERMISSION_DENIED: User doesn't have permission to access customer. (`LoginCustomerId` names the manager account)
    hint: check the credentials in the configuration
    ");
    assert_eq!(lab.state(), json!({ "google_ads_campaigns_stats/1234567890": { "date": "2024-01-31" } }));
}

#[test]
fn a_day_that_fails_keeps_the_days_before() {
    let faults: [fn() -> Answer; 3] = [
        || {
            refusal(429, "quotaError", "RESOURCE_EXHAUSTED", "Too many requests.")
                .header("retry-after", "3600")
        },
        || Answer::new(200, "{\"results\": [{\"campaign\": {\"id\": \"9").cut(20),
        || Answer::new(200, "{\"results\": [{\"campaign\": {\"id\": \"9"),
    ];
    for fault in faults {
        let server = start(ENOUGH, move |query| {
            (query.day.as_deref() == Some("2024-02-29") && query.page == 2).then(fault)
        });
        let lab = lab(&server, &json!({ "StartDate": "2024-02-28", "EndDate": "2024-03-01" }));
        assert_eq!(run(&lab, &server, &["--type", "CUSTOM"]).code, Some(1));
        assert_eq!(lab.state(), json!({ "google_ads_campaigns_stats/1234567890": { "date": "2024-02-28" } }));
    }
}

#[test]
fn a_service_accounts_key_has_to_be_granted() {
    let server = start(ENOUGH, |_| None);
    let key = json!({ "client_email": "x@example.com", "private_key": "none" }).to_string();
    let login = json!({ "service_account": { "ServiceAccountKey": key, "DeveloperToken": DEVELOPER_TOKEN } });
    let lab = lab(&server, &json!({ "AuthType": login }));
    let failure = run(&lab, &server, &[]).failure();
    assert!(failure.starts_with("5 denied: "), "{failure}");
    assert!(failure.contains("--reveal-secret AuthType.service_account.ServiceAccountKey"), "{failure}");
    let granted =
        run(&lab, &server, &["--reveal-secret", "AuthType.service_account.ServiceAccountKey"]).failure();
    assert!(granted.starts_with("3 config: ") && granted.contains("is no RSA key in PKCS #8"), "{granted}");
    assert!(server.requests().is_empty());
}
