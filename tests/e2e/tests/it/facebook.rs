//! Facebook's Marketing API, from configuration to table.

use e2e::apis::facebook::{TOKEN, day, refusal, start};
use e2e::{Answer, Lab, Outcome, Server, build};
use insta::assert_snapshot;
use serde_json::{Value, json};

const STATE: &str = "facebook_marketing_ad_account_insights/1";

fn lab(server: &Server, more: &Value) -> Lab {
    let lab = Lab::new();
    lab.take(&build::connector("facebook-marketing"), "connector.wasm");
    configure(&lab, server, more);
    lab
}

fn configure(lab: &Lab, server: &Server, more: &Value) {
    let mut parameters = json!({
        "AuthType": { "oauth2": { "AccessToken": TOKEN } },
        "AccountIDs": "act_1",
        "Fields": "ad-account/insights impressions, ad-account/insights spend, ad-account/insights actions",
        "BaseUrl": server.origin(),
    });
    parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    lab.configure(&parameters);
}

fn run(lab: &Lab, server: &Server, flags: &[&str]) -> Outcome {
    let origin = server.origin();
    lab.run_component("connector.wasm", &[&["--allow-net", &origin], flags].concat())
}

fn days(server: &Server) -> Vec<String> {
    server.requests().iter().filter(|request| request.query("after").is_none()).filter_map(day).collect()
}

#[test]
fn a_backfill_over_a_leap_day() {
    let server = start(|_| None);
    let lab = lab(&server, &json!({}));
    let outcome =
        run(&lab, &server, &["--set", "StartDate=2024-02-28", "--set", "EndDate=2024-03-01"]).success();
    assert_eq!(days(&server), ["2024-02-28", "2024-02-29", "2024-03-01"]);
    let table = "SELECT ad_id, date_start, impressions, spend, actions FROM facebook_marketing_ad_account_insights ORDER BY 2, 1 LIMIT 2";
    assert_snapshot!(lab.query(table), @r#"
    1|2024-02-28|100|1.07|[{"action_type":"link_click","value":"3"}]
    2|2024-02-28|200|2.07|[{"action_type":"link_click","value":"3"}]
    "#);
    assert_eq!(lab.query("SELECT count(*) FROM facebook_marketing_ad_account_insights"), "15");
    assert_eq!((lab.state(), server.requests().len()), (json!({}), 9));
    assert!(!outcome.stdout.contains(TOKEN));
}

#[test]
fn the_other_run_types() {
    let server = start(|_| None);
    let lab = lab(&server, &json!({}));
    run(&lab, &server, &[]).expect_success();
    let first = days(&server);
    assert!(first[0].ends_with("-01") && (29..=62).contains(&first.len()), "{first:?}");
    assert_eq!(lab.state(), json!({ STATE: { "date": first.last() } }));
    configure(&lab, &server, &json!({ "StartDate": "2023-12-31", "EndDate": "2024-01-01" }));
    run(&lab, &server, &["--type", "FULL_REFRESH"]).expect_success();
    configure(&lab, &server, &json!({ "StartDate": "2023-02-28", "EndDate": "2023-03-01" }));
    run(&lab, &server, &["--type", "CUSTOM"]).expect_success();
    let dates =
        lab.query("SELECT DISTINCT date_start FROM facebook_marketing_ad_account_insights ORDER BY 1");
    assert_eq!(dates, "2023-02-28\n2023-03-01\n2023-12-31\n2024-01-01");
}

#[test]
fn what_fails_keeps_what_was_done() {
    let faults: [fn() -> Answer; 3] = [
        || {
            let usage = json!({ "1": [{ "estimated_time_to_regain_access": 30 }] }).to_string();
            refusal(400, 80_000, "There have been too many calls").header("x-business-use-case-usage", &usage)
        },
        || Answer::new(200, "{\"data\": [{\"ad_id\": \"1\"").cut(10),
        || Answer::new(200, "{\"data\": [{\"ad_id\": \"1\""),
    ];
    for fault in faults {
        let server = start(move |request| {
            let is_it = day(request).as_deref() == Some("2024-02-29") && request.query("after") == Some("2");
            is_it.then(fault)
        });
        let lab = lab(&server, &json!({ "StartDate": "2024-02-28", "EndDate": "2024-03-01" }));
        assert_eq!(run(&lab, &server, &["--type", "CUSTOM"]).code, Some(1));
        assert_eq!(lab.state(), json!({ STATE: { "date": "2024-02-28" } }));
    }
}

#[test]
fn a_refused_token_and_a_missing_permission() {
    let server = start(|_| None);
    let days = ["--set", "StartDate=2024-01-31"];
    let lab =
        lab(&server, &json!({ "AuthType": { "oauth2": { "AccessToken": "EAAold" } }, "AccountIDs": "1,2" }));
    assert_snapshot!(run(&lab, &server, &days).failure(), @r"
    1 connector: account 1, ad-account/insights: 2024-01-31: page 1: GET http://127.0.0.1:[PORT]/v25.0/act_1/insights: code 190: Error validating access token: Session has expired.
    at: AuthType
    hint: check the credentials in the configuration
    ");
    assert_eq!(server.requests().len(), 1);
    configure(
        &lab,
        &server,
        &json!({ "AccountIDs": "2;1", "StartDate": "2024-01-31", "EndDate": "2024-01-31" }),
    );
    assert_snapshot!(run(&lab, &server, &["--type", "CUSTOM"]).failure(), @r"
    1 connector: 1 of 2 failed: account 2, ad-account/insights: 2024-01-31: page 1: GET http://127.0.0.1:[PORT]/v25.0/act_2/insights: no permission: code 200: Ad account owner has NOT granted ads_read permission
    hint: check the credentials in the configuration
    ");
    assert_eq!(lab.state(), json!({ STATE: { "date": "2024-01-31" } }));
}
