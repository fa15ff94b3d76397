//! The connector `tiktok-ads` from the API to the table, with OWOX's own
//! configurations.

use std::path::Path;
use std::time::Duration;

use e2e::apis::tiktok::{Fault, Standing, TOKEN, TikTok};
use e2e::{Lab, Outcome, build, warehouse};
use insta::assert_snapshot;
use rustix::process::Signal;
use serde_json::{Value, json};
use test_servers::{Control, Server, skip, start_fake};

const A: &str = "7300000000000000002";
const B: &str = "7300000000000000003";

/// Two accounts, of three campaigns and of one.
fn api() -> TikTok {
    TikTok::start(&[(A, 3, Standing::Open), (B, 1, Standing::Open)])
}

/// A folder with the connector.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.take(&build::connector("tiktok-ads"), "tiktok.wasm");
    lab
}

/// A folder with the connector, and a configuration of both accounts with these
/// parameters.
fn configured(api: &TikTok, parameters: Value) -> Lab {
    let lab = lab();
    configure(&lab, api, parameters);
    lab
}

fn configure(lab: &Lab, api: &TikTok, parameters: Value) {
    let mut all = json!({ "AccessToken": TOKEN, "AdvertiserIDs": format!("{A},{B}"), "BaseUrl": api.origin(), "RequestsPerSecond": 1000 });
    all.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
    lab.configure(&all);
}

/// A failure of a run that begins with the first of last month: without its days.
fn undated(failure: &str) -> String {
    let day = regex::Regex::new(r"of \d{4}-\d\d-\d\d").unwrap();
    let count = regex::Regex::new(r"^(.*: 1) of \d+ failed").unwrap();
    count.replace(&day.replace_all(failure, "of [DAY]"), "$1 of [N] failed").into_owned()
}

fn run(lab: &Lab, api: &TikTok, flags: &[&str]) -> Outcome {
    let origin = api.origin();
    let flags: Vec<&str> = ["--allow-net", &origin].into_iter().chain(flags.iter().copied()).collect();
    lab.run_component("tiktok.wasm", &flags)
}

fn backfill(lab: &Lab, api: &TikTok, start: &str, end: &str) -> Outcome {
    run(lab, api, &["--set", &format!("StartDate={start}"), "--set", &format!("EndDate={end}")])
}

/// A configuration of OWOX, as the seeds show it: nothing is changed but where
/// the API is.
fn owox(name: &str, api: &TikTok) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    let mut config: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    config["source"]["config"]["BaseUrl"] = json!({ "value": api.origin() });
    config
}

const CAMPAIGNS: &str = "SELECT campaign_id, campaign_name FROM tiktok_ads_campaigns ORDER BY 1";

#[test]
fn owoxs_configurations_run_into_sqlite() {
    let api = api();
    let lab = lab();
    let sqlite = json!({ "name": "Sqlite", "config": { "Path": "out.db" } });
    let mut config = owox("owox-athena.json", &api);
    config["storage"] = sqlite.clone();
    lab.write("cfg.json", config.to_string());
    run(&lab, &api, &[]).expect_success();
    assert_snapshot!(lab.query(CAMPAIGNS), @r#"
    1002000000|Campaign 0 "é"
    1002000001|Campaign 1 "é"
    "#);
    assert_snapshot!(lab.query("SELECT sql FROM sqlite_schema WHERE name = 'tiktok_ads_campaigns'"), @r#"CREATE TABLE "tiktok_ads_campaigns" ("campaign_id" TEXT NOT NULL, "campaign_name" TEXT, PRIMARY KEY ("campaign_id")) STRICT"#);

    let mut config = owox("owox-bigquery.json", &api);
    config["storage"] = sqlite;
    lab.write("cfg.json", config.to_string());
    run(&lab, &api, &[]).expect_success();
    assert_snapshot!(lab.query("SELECT * FROM tiktok_ads_advertiser ORDER BY 1"), @r"
    7300000000000000002|Account 7300000000000000002|Example GmbH|EUR
    7300000000000000003|Account 7300000000000000003|Example GmbH|EUR
    ");
    assert_snapshot!(lab.query("SELECT count(*), count(DISTINCT ad_id), count(DISTINCT advertiser_id) FROM tiktok_ads_ads"), @"8|8|1");
    assert_eq!(
        lab.query(
            "SELECT group_concat(name, ' ') FROM sqlite_schema WHERE name LIKE 'tiktok%' AND type = 'table'"
        ),
        "tiktok_ads_campaigns tiktok_ads_advertiser tiktok_ads_ads"
    );
}

/// Where a machine lacks Python, the test names itself as skipped.
fn fake(script: &str, arguments: &[&str]) -> Option<Server> {
    start_fake(script, arguments).map_err(|missing| skip(&missing)).ok()
}

/// The columns of figures that are read back from a warehouse.
const FIGURES_READ: [(&str, &str); 6] = [
    ("ad_id", "text"),
    ("stat_time_day", "date"),
    ("advertiser_id", "text"),
    ("spend", "float64"),
    ("cost_per_conversion", "float64"),
    ("impressions", "int64"),
];

const FIGURES: &str = "ad_insights spend, ad_insights impressions, ad_insights cost_per_conversion";

/// The same rows in SQLite.
fn in_sqlite(api: &TikTok, start: &str, end: &str) -> String {
    let lab = configured(api, json!({ "Fields": FIGURES }));
    backfill(&lab, api, start, end).expect_success();
    lab.query(
        "SELECT ad_id, stat_time_day, advertiser_id, spend, cost_per_conversion, impressions FROM tiktok_ads_ad_insights \
         ORDER BY 1, 2",
    )
}

/// Runs a configuration of OWOX into a warehouse: first as it is, then with the
/// figures of some days, twice.
fn into_a_warehouse(name: &str, endpoint: &str, place: &Value) {
    let api = api();
    let lab = lab();
    let mut config = owox(name, &api);
    config["storage"]["config"]["Endpoint"] = json!({ "value": endpoint });
    lab.write("cfg.json", config.to_string());
    run(&lab, &api, &[]).expect_success();

    let parameters = config["source"]["config"].as_object_mut().unwrap();
    parameters.insert("AdvertiserIDs".to_owned(), json!({ "value": format!("{A}; {B}") }));
    parameters.insert("DataLevel".to_owned(), json!({ "value": "AUCTION_AD" }));
    parameters.insert("Fields".to_owned(), json!({ "value": FIGURES }));
    lab.write("cfg.json", config.to_string());
    for _ in 0..2 {
        backfill(&lab, &api, "2024-02-28", "2024-03-01").expect_success();
    }
    let rows = warehouse::rows(place, "tiktok_ads_ad_insights", &FIGURES_READ);
    assert_eq!(rows.lines().count(), 3 * 4 * 4);
    assert_eq!(rows, in_sqlite(&api, "2024-02-28", "2024-03-01"), "each row once, and the same as in SQLite");
}

#[test]
fn owoxs_configuration_runs_into_bigquery() {
    let Some(fake) = fake("fake_bigquery.py", &[]) else { return };
    let place = json!({
        "reader": "bigquery", "url": fake.address, "project": "example-project", "dataset": "marketing",
    });
    into_a_warehouse("owox-bigquery.json", &fake.address, &place);
    let columns = [("advertiser_id", "text"), ("company_name", "text"), ("currency", "text")];
    assert_snapshot!(warehouse::rows(&place, "tiktok_ads_advertiser", &columns), @r"
    7300000000000000002|Example GmbH|EUR
    7300000000000000003|Example GmbH|EUR
    ");
    assert_eq!(warehouse::rows(&place, "tiktok_ads_ads", &[("ad_id", "text")]).lines().count(), 2 * 4);
}

#[test]
fn owoxs_configuration_runs_into_athena() {
    let Some(fake) = fake("fake_athena.py", &["--region", "eu-central-1"]) else { return };
    Control::new(&fake.address).make_bucket("example-bucket");
    let place = json!({
        "reader": "athena", "url": fake.address, "region": "eu-central-1", "bucket": "example-bucket",
        "database": "marketing", "prefix": "ads_", "output": "s3://example-bucket/read/",
    });
    into_a_warehouse("owox-athena.json", &fake.address, &place);
    let columns = [("campaign_id", "text"), ("campaign_name", "text")];
    assert_snapshot!(warehouse::rows(&place, "tiktok_ads_campaigns", &columns), @r#"
    1002000000|Campaign 0 "é"
    1002000001|Campaign 1 "é"
    "#);
}

#[test]
fn every_node_becomes_a_table() {
    let api = api();
    let lab = configured(&api, json!({ "IncludeDeleted": true }));
    let outcome = backfill(&lab, &api, "2024-05-14", "2024-05-15").success();
    let count = |table: &str| lab.query(&format!("SELECT count(*) FROM tiktok_ads_{table}"));
    let tables =
        ["advertiser", "campaigns", "ad_groups", "ads", "audiences", "ad_insights", "ad_insights_by_country"];
    assert_eq!(tables.map(count), ["2", "4", "8", "16", "2", "32", "64"]);
    assert_snapshot!(lab.query("SELECT ad_id, advertiser_id, campaign_id, adgroup_id, ad_name, ad_text, create_time, modify_time, image_ids, utm_params, is_aco, deeplink FROM tiktok_ads_ads ORDER BY 1 LIMIT 1"), @r#"
    3002000000|7300000000000000002|1002000000|2002000000|Ad 0|Läuft.
    Immer.|2024-02-29T23:59:59.000000Z|2024-03-31T02:30:00.000000Z|["ad-site-i18n/1","x"]|[{"key":"utm_source","value":"tiktok"}]|0|NULL
    "#);
    assert_snapshot!(lab.query("SELECT campaign_id, budget, roas_bid, special_industries, is_search_campaign, is_new_structure, rta_id FROM tiktok_ads_campaigns ORDER BY 1 LIMIT 1"), @r#"1002000000|50.5|0.0|["HOUSING"]|0|1|NULL"#);
    assert_snapshot!(lab.query("SELECT adgroup_id, schedule_start_time, age_groups, frequency, targeting_expansion FROM tiktok_ads_ad_groups ORDER BY 1 LIMIT 1"), @r#"2002000000|2024-03-01T00:00:00.000000Z|["AGE_18_24","AGE_25_34"]|NULL|{"expansion_enabled":false,"expansion_types":[]}"#);
    assert_snapshot!(lab.query("SELECT * FROM tiktok_ads_audiences ORDER BY 1 LIMIT 1"), @"47300000000000000002|7300000000000000002|Visitors|Website Traffic|152000|2024-01-01T00:00:00.000000Z|2025-01-01T00:00:00.000000Z|1|0");
    let metrics = "ad_id, stat_time_day, date_start, date_end, spend, cost, clicks, engagement, video_views, video_completion, \
                   real_time_conversion, real_time_cost_per_conversion, real_time_conversion_rate, result, cost_per_result, \
                   cpr, cpa, cost_per_conversion, landing_page_views";
    assert_snapshot!(lab.query(&format!("SELECT {metrics} FROM tiktok_ads_ad_insights ORDER BY 1, 2 LIMIT 3")), @r"
    3002000000|2024-05-14|2024-05-14|2024-05-14|29.52|29.52|135|140|147|145|149|4.5|4.5|135|4.5|4.5|4.5|4.5|152
    3002000000|2024-05-15|2024-05-15|2024-05-15|30.53|30.53|136|141|148|146|150|0.5|0.5|136|NULL|NULL|NULL|NULL|153
    3002000001|2024-05-14|2024-05-14|2024-05-14|97.48|97.48|303|308|315|313|317|2.5|2.5|303|2.5|2.5|2.5|2.5|320
    ");
    let nulls = lab.query(
        "SELECT sum(cost_per_result IS NULL), sum(spend IS NULL), count(*) FROM tiktok_ads_ad_insights",
    );
    assert_snapshot!(nulls, @"16|0|32");
    assert_snapshot!(lab.query("SELECT country_code, count(*) FROM tiktok_ads_ad_insights_by_country GROUP BY 1"), @r"
    DE|32
    None|32
    ");
    assert_snapshot!(outcome.log(), @r"
    info connector: importing figures of advertiser 7300000000000000002 from 2024-05-14 to 2024-05-15
    info connector: importing figures of advertiser 7300000000000000003 from 2024-05-14 to 2024-05-15
    warn connector: stream `tiktok_ads_campaigns`: no object of the source had `app_promotion_type`, `bid_type`, `rf_campaign_type`, `postback_window_mode`, `objective`, `campaign_product_source`, `optimization_goal`, `deep_bid_type`, `app_id`, `campaign_app_profile_page_state`, `bid_align_type`, `is_advanced_dedicated_campaign`, `rta_bid_enabled`, `disable_skan_campaign`, `budget_optimize_on`, `rta_product_selection_enabled`, `is_smart_performance_campaign`, `catalog_enabled`: there are only NULLs
    warn connector: stream `tiktok_ads_ad_groups`: no object of the source had `optimization_event`, `app_id`, `app_type`, `audience_type`, `gender`, `schedule_type`, `billing_event`, `conversion_id`, `bid_price`, `conversion_bid_price`, `audience_ids`, `excluded_audience_ids`, `languages`, `interest_category_ids`, `placements`, `device_price_ranges`, `device_model_ids`, `operating_systems`, `network_types`, `carrier_ids`, `conversion_window`, `click_attribution_window`, `view_attribution_window`, `is_smart_performance_campaign`, `auto_targeting_enabled`: there are only NULLs
    warn connector: stream `tiktok_ads_ads`: no object of the source had `call_to_action`, `call_to_action_id`, `image_mode`, `creative_type`, `ad_format`, `landing_page_url`, `deeplink`, `deeplink_type`, `tracking_pixel_id`, `impression_tracking_url`, `click_tracking_url`, `video_view_tracking_url`, `optimization_event`, `catalog_id`, `product_set_id`, `domain`, `display_name`, `profile_image_url`, `app_name`, `tracking_app_id`, `identity_id`, `identity_type`, `page_id`, `tiktok_item_id`, `disclaimer_type`, `disclaimer_text`, `ad_texts`, `landing_page_urls`, `sku_ids`: there are only NULLs
    ");
}

#[test]
fn reports_at_every_level() {
    let api = api();
    for (level, rows) in [
        ("AUCTION_ADVERTISER", "2"),
        ("AUCTION_CAMPAIGN", "4"),
        ("AUCTION_ADGROUP", "8"),
        ("AUCTION_AD", "16"),
    ] {
        let lab =
            configured(&api, json!({ "Fields": "ad_insights, ad_insights_by_country", "DataLevel": level }));
        backfill(&lab, &api, "2024-05-15", "2024-05-15").expect_success();
        assert_eq!(lab.query("SELECT count(*) FROM tiktok_ads_ad_insights"), rows, "{level}");
    }
}

#[test]
fn two_forms_of_the_credentials() {
    let api = api();
    let lab = lab();
    let config = |auth: Value| {
        json!({
            "name": "mart",
            "source": { "name": "TikTokAds", "config": {
                "AuthType": auth, "AdvertiserIDs": { "env": "IDS" }, "Fields": "campaigns", "BaseUrl": api.origin(),
            } },
            "storage": { "name": "Sqlite", "config": { "Path": "out.db" } },
        })
    };
    let forms = [
        json!({ "value": "oauth2", "items": { "AccessToken": { "value": TOKEN }, "AppId": { "value": "7" }, "AppSecret": { "value": "s" } } }),
        json!({ "oauth2": { "AccessToken": { "env": "TOKEN" } } }),
    ];
    for auth in forms {
        lab.write("cfg.json", config(auth).to_string());
        let origin = api.origin();
        let arguments =
            ["run", "tiktok.wasm", "--config", "cfg.json", "--output", "json", "--allow-net", &origin];
        let outcome = lab.command(&arguments).env("IDS", A).env("TOKEN", TOKEN).start().wait().success();
        assert!(!outcome.stdout.contains(TOKEN) && !outcome.stderr.contains(TOKEN));
    }
    assert_eq!(lab.query("SELECT count(*) FROM tiktok_ads_campaigns"), "2");
}

#[test]
fn four_kinds_of_runs() {
    let api = api();
    let parameters =
        json!({ "AdvertiserIDs": B, "Fields": "ad_insights spend", "ReimportLookbackWindow": 1 });
    let lab = configured(&api, parameters.clone());
    let asked_for = |run: &dyn Fn() -> Outcome| {
        let before = api.days(B).len();
        run().expect_success();
        let days = api.days(B).split_off(before);
        (days.len(), days.first().cloned().unwrap_or_default(), days.last().cloned().unwrap_or_default())
    };
    let rows =
        || lab.query("SELECT count(*), count(DISTINCT ad_id || stat_time_day) FROM tiktok_ads_ad_insights");
    let key = format!("tiktok_ads_ad_insights/{B}");

    let (count, first, today) = asked_for(&|| run(&lab, &api, &[]));
    assert!((29..=62).contains(&count) && first.ends_with("-01"), "{count} days from {first}");
    assert_eq!(rows(), format!("{0}|{0}", count * 4));
    assert_eq!(lab.state()[&key], json!({ "date": today }));

    let (again, _, last) = asked_for(&|| run(&lab, &api, &[]));
    assert!((2..=3).contains(&again) && last >= today, "the lookback, and perhaps midnight");

    let days = asked_for(&|| backfill(&lab, &api, "2024-02-28", "2024-03-01"));
    assert_eq!(days, (3, "2024-02-28".to_owned(), "2024-03-01".to_owned()));
    assert_eq!(lab.state()[&key]["date"].as_str(), Some(last.as_str()), "a backfill leaves the state");

    let custom = json!({ "StartDate": "2023-12-31", "EndDate": "2024-01-01" });
    let mut more = parameters.clone();
    more.as_object_mut().unwrap().extend(custom.as_object().unwrap().clone());
    configure(&lab, &api, more.clone());
    let days = asked_for(&|| run(&lab, &api, &["--type", "CUSTOM"]));
    assert_eq!(days, (2, "2023-12-31".to_owned(), "2024-01-01".to_owned()));
    assert_eq!(lab.state()[&key]["date"].as_str(), Some(last.as_str()), "the state does not go back");

    let days = asked_for(&|| run(&lab, &api, &["--type", "FULL_REFRESH"]));
    assert_eq!(days.0, 2);
    assert_eq!(rows(), "8|8", "a full refresh replaces the table");
    assert_eq!(lab.state()[&key]["date"], "2024-01-01");
}

#[test]
fn every_day_is_asked_for_once_wherever_the_machine_is() {
    let api = api();
    let lab = configured(&api, json!({ "AdvertiserIDs": B, "Fields": "ad_insights spend" }));
    let origin = api.origin();
    for (zone, start, end, days) in [
        ("Pacific/Kiritimati", "2024-02-28", "2024-03-01", "2024-02-28 2024-02-29 2024-03-01"),
        ("Europe/Zurich", "2024-03-30", "2024-04-01", "2024-03-30 2024-03-31 2024-04-01"),
        ("America/New_York", "2024-11-02", "2024-11-04", "2024-11-02 2024-11-03 2024-11-04"),
        ("Pacific/Pago_Pago", "2023-12-31", "2024-01-01", "2023-12-31 2024-01-01"),
    ] {
        let before = api.days(B).len();
        let (start, end) = (format!("StartDate={start}"), format!("EndDate={end}"));
        let arguments = [
            "run",
            "tiktok.wasm",
            "--config",
            "cfg.json",
            "--output",
            "json",
            "--allow-net",
            &origin,
            "--set",
            &start,
            "--set",
            &end,
        ];
        lab.command(&arguments).env("TZ", zone).start().wait().expect_success();
        assert_eq!(api.days(B).split_off(before).join(" "), days, "{zone}");
    }
}

#[test]
fn thousands_of_ads_come_in_pages() {
    let api = TikTok::start(&[(A, 600, Standing::Open)]);
    let lab = configured(
        &api,
        json!({ "AdvertiserIDs": A, "Fields": "ads ad_name, ad_insights spend", "IncludeDeleted": true }),
    );
    backfill(&lab, &api, "2024-05-15", "2024-05-15").expect_success();
    let rows =
        |table: &str| lab.query(&format!("SELECT count(*), count(DISTINCT ad_id) FROM tiktok_ads_{table}"));
    assert_eq!([rows("ads"), rows("ad_insights")], ["2400|2400", "2400|2400"]);
    let mut pages: Vec<String> =
        api.calls().iter().map(|call| format!("{} {}", call.endpoint, call.get("page"))).collect();
    pages.sort();
    let pages_of = |endpoint: &str| (1..=3).map(|page| format!("{endpoint} {page}")).collect::<Vec<_>>();
    assert_eq!(pages, [pages_of("ad/get/"), pages_of("report/integrated/get/")].concat());
}

#[test]
fn an_api_that_recovers_is_asked_again() {
    let faults = [
        Fault::TooFrequent,
        Fault::Status(500),
        Fault::Status(503),
        Fault::RetryAfter(1),
        Fault::Code(50002, "Error processing request. Please try again."),
        Fault::Slow(200, Duration::from_millis(5)),
        Fault::Late(Duration::from_millis(200)),
        Fault::Cut(60),
    ];
    for fault in faults {
        let api = api();
        api.fail(2, fault.clone(), |call| call.is_day(A, "2024-05-15"));
        let lab = configured(&api, json!({ "Fields": "ad_insights spend" }));
        backfill(&lab, &api, "2024-05-14", "2024-05-15").expect_success();
        let rows =
            lab.query("SELECT count(*), count(DISTINCT ad_id || stat_time_day) FROM tiktok_ads_ad_insights");
        assert_eq!(rows, "32|32", "{fault:?}");
    }
}

#[test]
fn an_advertiser_that_fails_is_named_and_fetched_again() {
    let api = api();
    let today = |lab: &Lab, advertiser: &str| {
        lab.state()[&format!("tiktok_ads_ad_insights/{advertiser}")]["date"].clone()
    };
    let lab = configured(&api, json!({ "Fields": "ad_insights spend", "ReimportLookbackWindow": 0 }));
    api.set_standing(A, Standing::Closed);
    assert_snapshot!(undated(&run(&lab, &api, &[]).failure()), @r"
    1 connector: 1 of [N] failed: advertiser 7300000000000000002: `ad_insights` of [DAY]: page 1: GET http://127.0.0.1:[PORT]/open_api/v1.3/report/integrated/get/: the access token has no permission for the advertiser (code 40001: No permission to operate advertiser 7300000000000000002)
    at: AdvertiserIDs
    hint: check the credentials in the configuration
    ");
    assert_eq!(today(&lab, A), Value::Null);
    let there = today(&lab, B);
    assert!(there.is_string());

    api.set_standing(A, Standing::Deleted);
    assert_snapshot!(undated(&run(&lab, &api, &[]).failure()), @r"
    3 config: 1 of [N] failed: advertiser 7300000000000000002: `ad_insights` of [DAY]: page 1: GET http://127.0.0.1:[PORT]/open_api/v1.3/report/integrated/get/: there is no such advertiser (code 40002: The advertiser 7300000000000000002 doesn't exist or has been deleted.)
    at: AdvertiserIDs
    ");

    api.set_standing(A, Standing::Open);
    let before = api.days(A).len();
    run(&lab, &api, &[]).expect_success();
    let days = api.days(A).split_off(before);
    assert_eq!(days.len(), days.iter().collect::<std::collections::BTreeSet<_>>().len());
    let rows = lab.query("SELECT count(*), count(DISTINCT ad_id || stat_time_day), count(DISTINCT stat_time_day) FROM tiktok_ads_ad_insights");
    let all = days.len() * 16;
    assert_eq!(rows, format!("{all}|{all}|{}", days.len()), "each row of each day once");
    assert!(today(&lab, A).as_str() >= there.as_str());
}

#[test]
fn a_token_that_expires_in_mid_run() {
    let api = api();
    let lab = configured(&api, json!({ "Fields": "ad_insights spend", "ReimportLookbackWindow": 0 }));
    api.expire_token_after(20);
    assert_snapshot!(undated(&run(&lab, &api, &[]).failure()), @r"
    1 connector: advertiser 7300000000000000002: `ad_insights` of [DAY]: page 1: GET http://127.0.0.1:[PORT]/open_api/v1.3/report/integrated/get/: the access token is wrong, revoked or expired (code 40105: Access token is incorrect or has been revoked.)
    at: AuthType
    hint: check the credentials in the configuration
    ");
    assert_eq!(api.count(), 21, "nothing is asked with a token that is worth nothing");
    assert_eq!(lab.query("SELECT count(*) FROM tiktok_ads_ad_insights"), (20 * 12).to_string());
    api.heal();
    run(&lab, &api, &[]).expect_success();
    let days = api.days(B).len();
    let rows =
        lab.query("SELECT count(*), count(DISTINCT ad_id || stat_time_day) FROM tiktok_ads_ad_insights");
    assert_eq!(rows, format!("{0}|{0}", days * 16));
}

#[test]
fn an_api_that_changes_a_type_is_told_with_field_and_value() {
    let api = api();
    let lab = configured(&api, json!({ "AdvertiserIDs": A, "Fields": "ad_insights spend" }));
    api.fail(
        1,
        Fault::Change(|data| data["list"][1]["metrics"]["spend"] = json!({ "amount": "1" })),
        |call| call.is_day(A, "2024-05-15"),
    );
    assert_snapshot!(backfill(&lab, &api, "2024-05-14", "2024-05-15").failure(), @r#"1 connector: 1 of 2 failed: advertiser 7300000000000000002: `ad_insights` of 2024-05-15: GET http://127.0.0.1:[PORT]/open_api/v1.3/report/integrated/get/: record 2 of `/data/list`: stream `tiktok_ads_ad_insights`: field `spend` (float64) cannot hold `{"amount":"1"}`"#);
}

#[test]
fn servers_that_do_not_recover_are_told() {
    let api = api();
    let failure = |fault: Fault| {
        api.heal();
        api.fail(usize::MAX, fault, |_| true);
        let lab = configured(&api, json!({ "AdvertiserIDs": B, "Fields": "campaigns" }));
        let before = api.count();
        let failure = run(&lab, &api, &[]).failure();
        format!("{} requests\n{failure}", api.count() - before)
    };
    assert_snapshot!(failure(Fault::TooFrequent), @r"
    5 requests
    1 connector, retryable: 1 of 1 failed: advertiser 7300000000000000003: `campaigns`: page 1: GET http://127.0.0.1:[PORT]/open_api/v1.3/campaign/get/: the API was asked too often (code 40100: Requests made too frequently. Please try again later.)
    hint: a later run may succeed without any change
    ");
    assert_snapshot!(failure(Fault::Status(500)), @r"
    5 requests
    1 connector, retryable: 1 of 1 failed: advertiser 7300000000000000003: `campaigns`: page 1: GET http://127.0.0.1:[PORT]/open_api/v1.3/campaign/get/: status 500: upstream
    hint: a later run may succeed without any change
    ");
    assert_snapshot!(failure(Fault::RetryAfter(3600)), @r"
    1 requests
    1 connector, retryable: 1 of 1 failed: advertiser 7300000000000000003: `campaigns`: page 1: GET http://127.0.0.1:[PORT]/open_api/v1.3/campaign/get/: status 429
    hint: the source asks to wait 3600 s before the next try
    ");
    assert_snapshot!(failure(Fault::Cut(60)), @r"
    5 requests
    1 connector, retryable: 1 of 1 failed: advertiser 7300000000000000003: `campaigns`: page 1: GET http://127.0.0.1:[PORT]/open_api/v1.3/campaign/get/ (tried 5 times): the answer of 127.0.0.1:[PORT] broke off: incomplete HTTP response
    hint: a later run may succeed without any change
    ");
    assert_snapshot!(failure(Fault::Code(40300, "Something else.")), @r"
    1 requests
    1 connector: 1 of 1 failed: advertiser 7300000000000000003: `campaigns`: page 1: GET http://127.0.0.1:[PORT]/open_api/v1.3/campaign/get/: the API refuses the request (code 40300: Something else.)
    ");
}

#[test]
fn configurations_that_cannot_work() {
    let api = api();
    let failure = |parameters: Value| {
        let lab = configured(&api, parameters);
        undated(&run(&lab, &api, &[]).failure())
    };
    assert_snapshot!(failure(json!({ "DataLevel": "AUCTION_ADD" })), @r"
    3 config: cfg.json: source.config.DataLevel: expected one of 'AUCTION_ADVERTISER', 'AUCTION_CAMPAIGN', 'AUCTION_ADGROUP', 'AUCTION_AD', found the text 'AUCTION_ADD'
    at: DataLevel
    hint: did you mean 'AUCTION_AD'?
    ");
    assert_snapshot!(failure(json!({ "Fields": "ad_insight spend" })), @r"
    3 config: there is no node `ad_insight`; did you mean `ad_insights`?
    at: Fields
    ");
    assert_snapshot!(failure(json!({ "Fields": "ad_insights spent" })), @r"
    3 config: `ad_insights` has no field `spent`; did you mean `spend`?
    at: Fields
    ");
    assert_snapshot!(failure(json!({ "Fields": "ad_insights ad_id", "DataLevel": "AUCTION_CAMPAIGN" })), @r"
    3 config: `ad_insights` has no `ad_id` at the DataLevel AUCTION_CAMPAIGN; remove it from `Fields`, or set `DataLevel` to AUCTION_AD
    at: Fields
    ");
    assert_snapshot!(failure(json!({ "Fields": "ad_insights viewable_rate" })), @r"
    3 config: 2 of 2 failed: advertiser 7300000000000000002: `ad_insights` of [DAY]: page 1: GET http://127.0.0.1:[PORT]/open_api/v1.3/report/integrated/get/: the API does not have a column (code 40002: metrics: one or more value of the param is not acceptable, correct is ['adgroup_id', 'average_video_play', 'average_video_play_per_user', 'campaign_id', 'clicks', 'comments', 'conversion', 'conversion_rate', 'conversion_rate_v2', 'cost_per_1000_reached', 'cost_per_conversion', 'cost_per_result', 'cpc', 'cpm', 'ctr', 'currency', 'engagement_rate', 'engagements', 'follows', 'frequency', 'gross_impressions', 'impressions', 'likes', 'profile_visits', 'profile_visits_rate', 'reach', 'real_time_conversion', 'real_time_conversion_rate', 'real_time_cost_per_conversion', 'result', 'result_rate', 'shares', 'spend', 'total_landing_page_view', 'video_play_actions', 'video_views_p100', 'video_views_p25', 'video_views_p50', 'video_views_p75', 'video_watched_2s', 'video_watched_6s']); advertiser 7300000000000000003: `ad_insights` of [DAY]: page 1: GET http://127.0.0.1:[PORT]/open_api/v1.3/report/integrated/get/: the API does not have a column (code 40002: metrics: one or more value of the param is not acceptable, correct is ['adgroup_id', 'average_video_play', 'average_video_play_per_user', 'campaign_id', 'clicks', 'comments', 'conversion', 'conversion_rate', 'conversion_rate_v2', 'cost_per_1000_reached', 'cost_per_conversion', 'cost_per_result', 'cpc', 'cpm', 'ctr', 'currency', 'engagement_rate', 'engagements', 'follows', 'frequency', 'gross_impressions', 'impressions', 'likes', 'profile_visits', 'profile_visits_rate', 'reach', 'real_time_conversion', 'real_time_conversion_rate', 'real_time_cost_per_conversion', 'result', 'result_rate', 'shares', 'spend', 'total_landing_page_view', 'video_play_actions', 'video_views_p100', 'video_views_p25', 'video_views_p50', 'video_views_p75', 'video_watched_2s', 'video_watched_6s'])
    at: Fields
    ");
    assert_snapshot!(failure(json!({ "StartDate": "31.01.2024" })), @r"
    3 config: cfg.json: source.config.StartDate: expected a date as YYYY-MM-DD, found the text '31.01.2024'
    at: StartDate
    ");
    assert_snapshot!(failure(json!({ "AdvertiserIDs": "shop" })), @r"
    3 config: `AdvertiserIDs`: `shop` is no advertiser's id, which has digits alone
    at: AdvertiserIDs
    ");
    assert_snapshot!(failure(json!({ "AccessToken": "another-token" })), @r"
    1 connector: advertiser 7300000000000000002: `advertiser`: GET http://127.0.0.1:[PORT]/open_api/v1.3/advertiser/info/: the access token is wrong, revoked or expired (code 40105: Access token is incorrect or has been revoked.)
    at: AuthType
    hint: check the credentials in the configuration
    ");
    assert_snapshot!(failure(json!({ "AccessToken": null })), @r#"
    3 config: the access token is missing: give `AuthType`, as {"oauth2": {"AccessToken": …}}
    at: AuthType
    "#);
    assert_snapshot!(failure(json!({ "AdvertiserId": "7" })), @r"
    3 config: cfg.json: source.config.AdvertiserId: there is no such parameter
    at: AdvertiserId
    hint: did you mean 'AdvertiserIDs'?
    ");

    let lab = configured(&api, json!({ "Fields": "ad_insights spend" }));
    backfill(&lab, &api, "2024-05-15", "2024-05-15").expect_success();
    configure(&lab, &api, json!({ "Fields": "ad_insights spend", "DataLevel": "AUCTION_CAMPAIGN" }));
    assert_snapshot!(backfill(&lab, &api, "2024-05-15", "2024-05-15").failure(), @r#"7 storage: table `tiktok_ads_ad_insights` has primary key ("ad_id", "stat_time_day", "advertiser_id"), the stream has primary key ("campaign_id", "stat_time_day", "advertiser_id"); run a full refresh, which builds the table anew"#);
}

/// Killed again and again, while the API takes its time; the last run is left
/// alone.
#[test]
fn a_killed_run_goes_on_and_each_row_is_there_once() {
    let api = api();
    api.fail(usize::MAX, Fault::Late(Duration::from_millis(8)), |_| true);
    let lab = configured(
        &api,
        json!({ "Fields": "ad_insights spend, ad_insights_by_country spend", "ReimportLookbackWindow": 0 }),
    );
    let origin = api.origin();
    let mut reached = 0;
    for kill in 1..=12_u64 {
        let running = lab.start("tiktok.wasm", &["--allow-net", &origin]);
        // Later and later, so that some runs get nowhere and others far.
        let asked = api.count();
        let start = std::time::Instant::now();
        while api.count() < asked + usize::try_from(kill * 3).unwrap()
            && start.elapsed() < Duration::from_secs(20)
        {
            std::thread::sleep(Duration::from_millis(3));
        }
        running.signal(Signal::KILL);
        let _ = running.wait();
        let rows = lab.query("SELECT count(*) FROM tiktok_ads_ad_insights").parse().unwrap_or(0);
        assert!(rows >= reached, "rows were lost: {reached} before, {rows} now");
        reached = rows;
    }
    assert!(reached > 0, "no run got as far as a commit");
    api.heal();
    run(&lab, &api, &[]).expect_success();
    let today = lab.state()[&format!("tiktok_ads_ad_insights/{B}")]["date"].as_str().unwrap().to_owned();
    let days = lab
        .query("SELECT count(DISTINCT stat_time_day) FROM tiktok_ads_ad_insights")
        .parse::<usize>()
        .unwrap();
    assert_eq!(lab.query("SELECT max(stat_time_day) FROM tiktok_ads_ad_insights"), today);
    let sums = |table: &str| {
        lab.query(&format!("SELECT count(*), count(DISTINCT ad_id || stat_time_day), julianday(max(stat_time_day)) - julianday(min(stat_time_day)) FROM {table}"))
    };
    assert_eq!(
        sums("tiktok_ads_ad_insights"),
        format!("{0}|{0}|{1:?}", days * 16, f64::from(u32::try_from(days).unwrap() - 1))
    );
    assert_eq!(lab.query("SELECT count(*), count(DISTINCT ad_id || stat_time_day || country_code) FROM tiktok_ads_ad_insights_by_country"), format!("{0}|{0}", days * 32));
}
