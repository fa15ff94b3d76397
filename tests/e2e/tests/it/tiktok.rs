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
    assert_snapshot!(lab.query(CAMPAIGNS), @"");
    assert_snapshot!(lab.query("SELECT sql FROM sqlite_schema WHERE name = 'tiktok_ads_campaigns'"), @"");

    let mut config = owox("owox-bigquery.json", &api);
    config["storage"] = sqlite;
    lab.write("cfg.json", config.to_string());
    run(&lab, &api, &[]).expect_success();
    assert_snapshot!(lab.query("SELECT * FROM tiktok_ads_advertiser ORDER BY 1"), @"");
    assert_snapshot!(lab.query("SELECT count(*), count(DISTINCT ad_id), count(DISTINCT advertiser_id) FROM tiktok_ads_ads"), @"");
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
    assert_snapshot!(warehouse::rows(&place, "tiktok_ads_advertiser", &columns), @"");
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
    assert_snapshot!(warehouse::rows(&place, "tiktok_ads_campaigns", &columns), @"");
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
    assert_snapshot!(lab.query("SELECT ad_id, advertiser_id, campaign_id, adgroup_id, ad_name, ad_text, create_time, modify_time, image_ids, utm_params, is_aco, deeplink FROM tiktok_ads_ads ORDER BY 1 LIMIT 1"), @"");
    assert_snapshot!(lab.query("SELECT campaign_id, budget, roas_bid, special_industries, is_search_campaign, is_new_structure, rta_id FROM tiktok_ads_campaigns ORDER BY 1 LIMIT 1"), @"");
    assert_snapshot!(lab.query("SELECT adgroup_id, schedule_start_time, age_groups, frequency, targeting_expansion FROM tiktok_ads_ad_groups ORDER BY 1 LIMIT 1"), @"");
    assert_snapshot!(lab.query("SELECT * FROM tiktok_ads_audiences ORDER BY 1 LIMIT 1"), @"");
    let metrics = "ad_id, stat_time_day, date_start, date_end, spend, cost, clicks, engagement, video_views, video_completion, \
                   real_time_conversion, real_time_cost_per_conversion, real_time_conversion_rate, result, cost_per_result, \
                   cpr, cpa, cost_per_conversion, landing_page_views";
    assert_snapshot!(lab.query(&format!("SELECT {metrics} FROM tiktok_ads_ad_insights ORDER BY 1, 2 LIMIT 3")), @"");
    let nulls = lab.query(
        "SELECT sum(cost_per_result IS NULL), sum(spend IS NULL), count(*) FROM tiktok_ads_ad_insights",
    );
    assert_snapshot!(nulls, @"");
    assert_snapshot!(lab.query("SELECT country_code, count(*) FROM tiktok_ads_ad_insights_by_country GROUP BY 1"), @"");
    assert_snapshot!(outcome.log(), @"");
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
    assert_snapshot!(run(&lab, &api, &[]).failure(), @"");
    assert_eq!(today(&lab, A), Value::Null);
    let there = today(&lab, B);
    assert!(there.is_string());

    api.set_standing(A, Standing::Deleted);
    assert_snapshot!(run(&lab, &api, &[]).failure(), @"");

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
    assert_snapshot!(run(&lab, &api, &[]).failure(), @"");
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
    assert_snapshot!(backfill(&lab, &api, "2024-05-14", "2024-05-15").failure(), @"");
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
    assert_snapshot!(failure(Fault::TooFrequent), @"");
    assert_snapshot!(failure(Fault::Status(500)), @"");
    assert_snapshot!(failure(Fault::RetryAfter(3600)), @"");
    assert_snapshot!(failure(Fault::Cut(60)), @"");
    assert_snapshot!(failure(Fault::Code(40300, "Something else.")), @"");
}

#[test]
fn configurations_that_cannot_work() {
    let api = api();
    let failure = |parameters: Value| {
        let lab = configured(&api, parameters);
        run(&lab, &api, &[]).failure()
    };
    assert_snapshot!(failure(json!({ "DataLevel": "AUCTION_ADD" })), @"");
    assert_snapshot!(failure(json!({ "Fields": "ad_insight spend" })), @"");
    assert_snapshot!(failure(json!({ "Fields": "ad_insights spent" })), @"");
    assert_snapshot!(failure(json!({ "Fields": "ad_insights ad_id", "DataLevel": "AUCTION_CAMPAIGN" })), @"");
    assert_snapshot!(failure(json!({ "Fields": "ad_insights viewable_rate" })), @"");
    assert_snapshot!(failure(json!({ "StartDate": "31.01.2024" })), @"");
    assert_snapshot!(failure(json!({ "AdvertiserIDs": "shop" })), @"");
    assert_snapshot!(failure(json!({ "AccessToken": "another-token" })), @"");
    assert_snapshot!(failure(json!({ "AccessToken": null })), @"");
    assert_snapshot!(failure(json!({ "AdvertiserId": "7" })), @"");

    let lab = configured(&api, json!({ "Fields": "ad_insights spend" }));
    backfill(&lab, &api, "2024-05-15", "2024-05-15").expect_success();
    configure(&lab, &api, json!({ "Fields": "ad_insights spend", "DataLevel": "AUCTION_CAMPAIGN" }));
    assert_snapshot!(backfill(&lab, &api, "2024-05-15", "2024-05-15").failure(), @"");
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
