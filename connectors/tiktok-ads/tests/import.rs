//! The connector against answers in the shape of the API's.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what fails here fails the test"
)]

use std::cell::RefCell;
use std::rc::Rc;

use ow_connector::testing::{Request, Response, TestHost, TestRun, spec};
use ow_connector::{DataType, ErrorKind};
use serde_json::{Map, Value, json};
use tiktok_ads::TikTokAds;

const INSIGHTS: &str = "tiktok_ads_ad_insights";
const A: &str = "7300000000000000001";
const B: &str = "7300000000000000002";

/// An answer of the API.
fn ok(data: Value) -> Response {
    Response::json(json!({"code": 0, "message": "OK", "request_id": "1", "data": data}))
}

/// A refusal of the API, which has status 200.
fn refused(code: i64, message: &str) -> Response {
    Response::json(json!({"code": code, "message": message, "request_id": "1", "data": {}}))
}

fn no_permission(request: &Request) -> Response {
    refused(
        40001,
        &format!("No permission to operate advertiser {}", request.query("advertiser_id").unwrap()),
    )
}

fn list(request: &Request, name: &str) -> Vec<String> {
    request.query(name).map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default()
}

/// One page of these rows.
fn page(request: &Request, rows: &[Value]) -> Response {
    let number = |name: &str| request.query(name).unwrap().parse::<usize>().unwrap();
    let (page, size) = (number("page"), number("page_size"));
    let part: Vec<&Value> = rows.iter().skip((page - 1) * size).take(size).collect();
    let total = rows.len();
    ok(json!({
        "list": part,
        "page_info": {"page": page, "page_size": size, "total_number": total, "total_page": total.div_ceil(size)},
    }))
}

/// Rows of a report: one for each of two things, where the metric number n is n.
fn figures(request: &Request) -> Vec<Value> {
    let day = request.query("start_date").unwrap();
    let row = |thing: usize| {
        let dimension = |name: String| {
            let value = match name.as_str() {
                "stat_time_day" => format!("{day} 00:00:00"),
                "country_code" => "DE".to_owned(),
                _ => format!("{name} {thing}"),
            };
            (name, value.into())
        };
        let dimensions: Map<String, Value> = list(request, "dimensions").into_iter().map(dimension).collect();
        let metrics = list(request, "metrics").into_iter().enumerate();
        let metrics: Map<String, Value> = metrics.map(|(n, name)| (name, n.to_string().into())).collect();
        json!({"dimensions": dimensions, "metrics": metrics})
    };
    vec![row(1), row(2)]
}

/// The API: two rows of everything.
fn api(request: &Request) -> Response {
    assert_eq!(request.method(), "GET");
    assert_eq!(request.header("access-token"), Some("t"));
    match request.path().strip_prefix("/open_api/v1.3/").unwrap() {
        "advertiser/info/" => {
            let id = &list(request, "advertiser_ids")[0];
            ok(
                json!({"list": [{"advertiser_id": id, "name": "Shop", "company": "Shop GmbH", "currency": "EUR"}]}),
            )
        }
        "campaign/get/" => {
            let campaign = |n: u64| json!({"campaign_id": n.to_string(), "campaign_name": format!("c{n}"), "budget": 50});
            page(request, &[campaign(1), campaign(2)])
        }
        "report/integrated/get/" => page(request, &figures(request)),
        "adgroup/get/" => page(request, &[json!({"adgroup_id": 11, "age_groups": ["AGE_18_24"]})]),
        "ad/get/" => page(request, &[json!({"ad_id": "111", "create_time": "2024-02-29 23:59:59"})]),
        "dmp/custom_audience/list/" => page(request, &[json!({"audience_id": "9", "cover_num": 5})]),
        other => panic!("{other}"),
    }
}

fn host(parameters: Value) -> TestHost {
    TestHost::new()
        .config(json!({"AccessToken": "t", "AdvertiserIDs": A}))
        .config(parameters)
        .now("2024-05-15T10:00:00Z")
        .http(api)
}

fn run(parameters: Value) -> TestRun {
    host(parameters).run::<TikTokAds>()
}

/// Two columns of the insights.
fn spend() -> Value {
    json!({"Fields": "ad_insights spend"})
}

fn with(mut parameters: Value, more: Value) -> Value {
    parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    parameters
}

/// The days that were asked for, each with the last digit of its advertiser.
fn days(run: &TestRun) -> Vec<String> {
    let asked = run.requests().iter().filter(|request| request.query("page").as_deref() == Some("1"));
    let day = |request: &Request| {
        Some(format!("{} {}", &request.query("advertiser_id")?[18..], request.query("start_date")?))
    };
    asked.filter_map(day).collect()
}

fn error(run: &TestRun) -> String {
    let error = run.error().unwrap();
    format!("{:?} at {}: {error}", error.kind(), error.parameter_name().unwrap_or("nothing"))
}

#[test]
fn the_seeds_configuration_imports_campaigns() {
    let run = run(json!({
        "AppId": "7", "AppSecret": "s", "Objects": "campaigns", "DataLevel": "AUCTION_AD", "StartDate": "2023-01-01",
        "ReimportLookbackWindow": 5, "Fields": "campaigns campaign_id, campaigns campaign_name",
    }));
    run.assert_ok();
    assert_eq!(
        run.rows("tiktok_ads_campaigns"),
        [
            json!({"campaign_id": "1", "campaign_name": "c1"}),
            json!({"campaign_id": "2", "campaign_name": "c2"})
        ]
    );
    assert_eq!(run.requests().len(), 1);
    assert_eq!(
        run.requests()[0].url(),
        "https://business-api.tiktok.com/open_api/v1.3/campaign/get/?advertiser_id=7300000000000000001\
         &fields=%5B%22campaign_id%22%2C%22campaign_name%22%5D&page_size=1000&page=1"
    );
}

#[test]
fn the_present_form_of_the_credentials_comes_first() {
    let oauth2 = json!({"oauth2": {"AccessToken": "t", "AppId": "7", "AppSecret": "s"}});
    run(with(spend(), json!({"AuthType": oauth2, "AccessToken": "other"}))).assert_ok();
    let run = TestHost::new().config(json!({"AdvertiserIDs": A})).run::<TikTokAds>();
    assert_eq!(
        error(&run),
        "Config at AuthType: the access token is missing: give `AuthType`, as {\"oauth2\": {\"AccessToken\": …}}"
    );
}

#[test]
fn everything_is_imported_where_nothing_is_chosen() {
    let run = run(json!({"StartDate": "2024-05-14"}));
    run.assert_ok();
    let tables = [
        ("tiktok_ads_advertiser", 4, 1),
        ("tiktok_ads_campaigns", 34, 2),
        ("tiktok_ads_ad_groups", 45, 1),
        ("tiktok_ads_ads", 46, 1),
        ("tiktok_ads_audiences", 9, 1),
        (INSIGHTS, 39 + 7, 4),
        ("tiktok_ads_ad_insights_by_country", 40 + 7, 4),
    ];
    for (table, columns, rows) in tables {
        assert_eq!(
            (run.stream(table).unwrap().fields.len(), run.rows(table).len()),
            (columns, rows),
            "{table}"
        );
    }
    assert_eq!(
        run.rows("tiktok_ads_advertiser")[0],
        json!({"advertiser_id": A, "advertiser_name": "Shop", "company_name": "Shop GmbH", "currency": "EUR"})
    );
    let group = &run.rows("tiktok_ads_ad_groups")[0];
    assert_eq!(
        (&group["adgroup_id"], &group["age_groups"], &group["advertiser_id"]),
        (&json!("11"), &json!(["AGE_18_24"]), &json!(A))
    );
    assert_eq!(run.rows("tiktok_ads_ads")[0]["create_time"], "2024-02-29T23:59:59Z");
    let warnings: Vec<&str> = run
        .logs()
        .iter()
        .filter(|line| line.level.as_str() == "WARN")
        .map(|line| line.message.as_str())
        .collect();
    assert_eq!(warnings.len(), 4, "{warnings:#?}");
    assert_eq!(
        warnings[3],
        "stream `tiktok_ads_audiences`: no object of the source had `name`, `audience_type`, `create_time`, \
         `expired_time`, `is_valid`, `is_expiring`: there are only NULLs"
    );
}

#[test]
fn objects_name_nodes_where_no_fields_are_chosen() {
    let run = run(json!({"Objects": "advertiser, ads"}));
    run.assert_ok();
    let paths: Vec<&str> = run.requests().iter().map(Request::path).collect();
    assert_eq!(paths, ["/open_api/v1.3/advertiser/info/", "/open_api/v1.3/ad/get/"]);
    let run = self::run(json!({"Objects": "advertisers"}));
    assert_eq!(error(&run), "Config at Objects: there is no node `advertisers`; did you mean `advertiser`?");
}

#[test]
fn tables_can_have_other_names() {
    let names = json!({
        "DestinationTableNameOverride": "ad_insights our_figures, campaigns our_campaigns",
        "Fields": "ad_insights spend, campaigns campaign_name, ads ad_name",
    });
    let run = host(names.clone()).run::<TikTokAds>();
    run.assert_ok();
    assert_eq!(run.rows("our_figures").len(), 45 * 2);
    assert!(!run.rows("our_campaigns").is_empty() && !run.rows("tiktok_ads_ads").is_empty());
    assert_eq!(run.state(&format!("our_figures/{A}")), Some(&json!({"date": "2024-05-15"})));
    // Another table is filled from the start.
    let renamed = with(names, json!({"DestinationTableNameOverride": "ad_insights newer"}));
    assert_eq!(days(&host(renamed).after(&run).run::<TikTokAds>()).len(), 45);
    let run = self::run(json!({"DestinationTableNameOverride": "insights our_figures"}));
    let told = error(&run);
    assert!(
        told.starts_with("Config at DestinationTableNameOverride: there is no node `insights`"),
        "{told}"
    );
}

/// Which metric each column is asked for as.
#[test]
fn every_metric_is_asked_for() {
    let asked = |column: &str| {
        let run = run(json!({"Fields": format!("ad_insights {column}"), "StartDate": "2024-05-15"}));
        run.assert_ok();
        let value = &run.rows(INSIGHTS)[0][column];
        assert!(value == 0 || value == 0.0, "{column}: {value}");
        list(&run.requests()[0], "metrics").join(" ")
    };
    for column in [
        "spend",
        "cpc",
        "cpm",
        "cost_per_1000_reached",
        "impressions",
        "clicks",
        "ctr",
        "reach",
        "frequency",
        "viewable_impression",
        "viewable_rate",
        "video_play_actions",
        "video_watched_2s",
        "video_watched_6s",
        "average_video_play",
        "average_video_play_per_user",
        "video_views_p25",
        "video_views_p50",
        "video_views_p75",
        "video_views_p100",
        "profile_visits",
        "profile_visits_rate",
        "likes",
        "comments",
        "shares",
        "follows",
        "conversion",
        "cost_per_conversion",
        "conversion_rate",
        "conversion_1d_click",
        "conversion_7d_click",
        "conversion_28d_click",
        "real_time_conversion",
        "real_time_cost_per_conversion",
        "real_time_conversion_rate",
        "result",
        "cost_per_result",
    ] {
        assert_eq!(asked(column), column);
    }
    for (column, metric) in [
        ("cost", "spend"),
        ("engagement", "engagements"),
        ("video_views", "video_play_actions"),
        ("video_completion", "video_views_p100"),
        ("cpr", "cost_per_result"),
        ("cpa", "cost_per_conversion"),
        ("landing_page_views", "total_landing_page_view"),
    ] {
        assert_eq!(asked(column), metric);
    }
    let run = run(json!({"Fields": "ad_insights spend, ad_insights cost", "StartDate": "2024-05-15"}));
    assert_eq!(list(&run.requests()[0], "metrics"), ["spend"], "asked for once");
}

#[test]
fn keys_and_columns_follow_the_level() {
    let import =
        |level: &str, node: &str| run(json!({"Fields": node, "DataLevel": level, "StartDate": "2024-05-15"}));
    let columns = [
        ("AUCTION_ADVERTISER", 3, ""),
        ("AUCTION_CAMPAIGN", 2, "campaign_id "),
        ("AUCTION_ADGROUP", 1, "adgroup_id "),
        ("AUCTION_AD", 0, "ad_id "),
    ];
    for (level, fewer, own) in columns {
        let run = import(level, "ad_insights");
        run.assert_ok();
        let stream = run.stream(INSIGHTS).unwrap();
        assert_eq!(stream.primary_key.join(" "), format!("{own}stat_time_day advertiser_id"));
        assert_eq!(stream.fields.len(), 46 - fewer, "{level}");
        assert_eq!(stream.partition_field.as_deref(), Some("stat_time_day"));
        let request = &run.requests()[0];
        assert_eq!(request.query("data_level").as_deref(), Some(level));
        assert_eq!(list(request, "dimensions").join(" "), format!("{own}stat_time_day"));
        assert_eq!(list(request, "metrics").contains(&"campaign_id".to_owned()), fewer < 2, "{level}");
        assert_eq!(list(request, "metrics").contains(&"adgroup_id".to_owned()), fewer == 0, "{level}");
        let run = import(level, "ad_insights_by_country");
        let stream = run.stream("tiktok_ads_ad_insights_by_country").unwrap();
        assert_eq!(stream.primary_key.join(" "), format!("{own}stat_time_day advertiser_id country_code"));
        assert_eq!(
            list(&run.requests()[0], "dimensions").join(" "),
            format!("{own}stat_time_day country_code")
        );
    }
}

#[test]
fn a_column_that_the_level_lacks_is_refused() {
    let run = run(json!({"Fields": "ad_insights ad_id, ad_insights spend", "DataLevel": "AUCTION_CAMPAIGN"}));
    assert_eq!(
        error(&run),
        "Config at Fields: `ad_insights` has no `ad_id` at the DataLevel AUCTION_CAMPAIGN; remove it from `Fields`, \
         or set `DataLevel` to AUCTION_AD"
    );
    assert_eq!(run.requests().len(), 0);
}

#[test]
fn figures_are_typed_and_complete() {
    let run = run(json!({
        "Fields": "ad_insights date_start,ad_insights date_end, ad_insights\timpressions, ad_insights spend, ad_insights cost",
        "StartDate": "2024-05-15",
    }));
    run.assert_ok();
    assert_eq!(
        run.rows(INSIGHTS)[1],
        json!({
            "ad_id": "ad_id 2", "advertiser_id": A, "stat_time_day": "2024-05-15", "date_start": "2024-05-15",
            "date_end": "2024-05-15", "spend": 0.0, "cost": 0.0, "impressions": 1,
        })
    );
    let stream = run.stream(INSIGHTS).unwrap();
    let types: Vec<DataType> = stream.fields.iter().map(|field| field.data_type).collect();
    use DataType::{Date, Float64, Int64, Text};
    assert_eq!(types, [Text, Text, Date, Date, Date, Float64, Float64, Int64]);
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    let told = |fields: &str| error(&run(json!({"Fields": fields})));
    assert_eq!(
        told("campaign campaign_id"),
        "Config at Fields: there is no node `campaign`; did you mean `campaigns`?"
    );
    assert_eq!(
        told("ad_insights spent"),
        "Config at Fields: `ad_insights` has no field `spent`; did you mean `spend`?"
    );
    let run = run(json!({"Fields": "", "AdvertiserIDs": "73; 74a"}));
    assert_eq!(
        error(&run),
        "Config at AdvertiserIDs: `AdvertiserIDs`: `74a` is no advertiser's id, which has digits alone"
    );
}

#[test]
fn advertisers_come_in_any_form() {
    let asked = |ids: Value| {
        let run = run(json!({"AdvertiserIDs": ids, "Fields": "campaigns"}));
        run.assert_ok();
        run.requests().iter().map(|request| request.query("advertiser_id").unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(asked(json!(format!(" {A};{B} , {A},"))), [A, B]);
    assert_eq!(asked(json!(7_300_000_000_000_000_001_u64)), [A]);
    assert_eq!(asked(json!([A, 7_300_000_000_000_000_002_u64])), [A, B]);
}

#[test]
fn an_incremental_run_starts_and_goes_on() {
    let first = run(spend());
    first.assert_ok();
    let asked = days(&first);
    assert_eq!((asked.len(), asked[0].as_str(), asked[44].as_str()), (45, "1 2024-04-01", "1 2024-05-15"));
    assert_eq!(first.commits(), 1 + 45 + 1, "after the lists, after each day, at the end");
    let key = format!("{INSIGHTS}/{A}");
    assert_eq!(first.state(&key), Some(&json!({"date": "2024-05-15"})));

    let next = host(spend()).now("2024-05-16T00:00:00Z").after(&first).run::<TikTokAds>();
    next.assert_ok();
    assert_eq!(days(&next), ["1 2024-05-13", "1 2024-05-14", "1 2024-05-15", "1 2024-05-16"]);
    assert_eq!(next.rows(INSIGHTS).len(), 46 * 2, "each row once");

    let long =
        host(with(spend(), json!({"ReimportLookbackWindow": 0}))).after(&next).now("2024-05-16T23:59:59Z");
    assert_eq!(days(&long.run::<TikTokAds>()), ["1 2024-05-16"]);
    let last = json!({"LastRequestedDate": "2024-05-14", "ReimportLookbackWindow": 1});
    assert_eq!(days(&run(with(spend(), last))), ["1 2024-05-13", "1 2024-05-14", "1 2024-05-15"]);
}

#[test]
fn no_day_is_left_out_at_the_calendars_corners() {
    let asked = |now: &str, start: &str, end: &str| {
        let parameters = with(spend(), json!({"StartDate": start, "EndDate": end}));
        let run = host(parameters).now(now).run_type("MANUAL_BACKFILL").run::<TikTokAds>();
        run.assert_ok();
        days(&run).iter().map(|day| day[7..].to_owned()).collect::<Vec<_>>().join(" ")
    };
    let now = "2024-12-01T00:00:00Z";
    assert_eq!(asked(now, "2024-02-27", "2024-03-01"), "02-27 02-28 02-29 03-01");
    assert_eq!(asked(now, "2023-02-27", "2023-03-01"), "02-27 02-28 03-01");
    assert_eq!(asked(now, "2023-12-30", "2024-01-02"), "12-30 12-31 01-01 01-02");
    assert_eq!(asked(now, "2024-04-29", "2024-05-02"), "04-29 04-30 05-01 05-02");
    // Clocks change in Europe and in America; days in UTC do not.
    assert_eq!(asked(now, "2024-03-30", "2024-04-01"), "03-30 03-31 04-01");
    assert_eq!(asked(now, "2024-10-26", "2024-10-28"), "10-26 10-27 10-28");
    assert_eq!(asked(now, "2024-11-02", "2024-11-04"), "11-02 11-03 11-04");
    assert_eq!(asked(now, "2024-11-30", "2024-11-30"), "11-30");
    assert_eq!(
        asked("2024-11-30T23:59:59Z", "2024-11-29", "2024-12-31"),
        "11-29 11-30",
        "never beyond today"
    );
    let first = host(spend()).now("2024-03-31T23:00:00Z").run::<TikTokAds>();
    let asked = days(&first);
    assert_eq!(
        (asked.len(), asked[0].as_str(), asked[28].as_str()),
        (29 + 31, "1 2024-02-01", "1 2024-02-29")
    );
}

#[test]
fn a_backfill_takes_its_range_and_leaves_the_state() {
    let key = format!("{INSIGHTS}/{A}");
    let backfill = |data: Value| {
        host(spend())
            .state(&key, json!({"date": "2024-05-10"}))
            .run_type("MANUAL_BACKFILL")
            .data(data)
            .run::<TikTokAds>()
    };
    let range = json!([
        {"configField": "StartDate", "value": "2024-01-31"}, {"configField": "EndDate", "value": "2024-02-01"},
    ]);
    let done = backfill(range);
    done.assert_ok();
    assert_eq!(days(&done), ["1 2024-01-31", "1 2024-02-01"]);
    assert_eq!(done.state(&key), Some(&json!({"date": "2024-05-10"})));
    let told = |data| error(&backfill(data));
    assert_eq!(told(json!([])), "Config at StartDate: a backfill needs its first day: give `StartDate`");
    assert_eq!(
        told(json!([{"configField": "StartDate", "value": "2024-05-16"}])),
        "Config at StartDate: the first day, 2024-05-16, is in the future (today is 2024-05-15 in UTC)"
    );
}

#[test]
fn a_full_refresh_starts_over() {
    let parameters = with(spend(), json!({"StartDate": "2024-05-13"}));
    let key = format!("{INSIGHTS}/{A}");
    let run = host(parameters)
        .state(&key, json!({"date": "2024-05-15"}))
        .run_type("FULL_REFRESH")
        .run::<TikTokAds>();
    run.assert_ok();
    assert_eq!(days(&run).len(), 3);
    assert_eq!(run.state(&key), Some(&json!({"date": "2024-05-15"})));
}

#[test]
fn a_custom_run_does_not_move_the_state_past_a_gap() {
    let key = format!("{INSIGHTS}/{A}");
    let custom = |start: &str, end: &str| {
        let run = host(with(spend(), json!({"StartDate": start, "EndDate": end})))
            .state(&key, json!({"date": "2024-05-01"}))
            .run_type("CUSTOM")
            .run::<TikTokAds>();
        run.assert_ok();
        run.state(&key).unwrap()["date"].clone()
    };
    assert_eq!(custom("2024-01-01", "2024-01-02"), "2024-05-01", "not back");
    assert_eq!(custom("2024-05-03", "2024-05-04"), "2024-05-01", "the second of May would be missing");
    assert_eq!(custom("2024-05-02", "2024-05-04"), "2024-05-04");
}

#[test]
fn an_advertiser_without_permission_does_not_stop_the_others() {
    let parameters =
        json!({"AdvertiserIDs": format!("{A},{B}"), "Fields": "campaigns campaign_name, ad_insights spend"});
    let closed = |request: &Request| {
        let is_closed = request.query("advertiser_id").as_deref() == Some(A);
        if is_closed { no_permission(request) } else { api(request) }
    };
    let first = host(parameters.clone()).http(closed).run::<TikTokAds>();
    let told = error(&first);
    assert!(told.starts_with("Auth at AdvertiserIDs: "), "{told}");
    assert!(told.contains(&format!("1 of 47 failed: advertiser {A}: `campaigns`: page 1: GET ")), "{told}");
    let why = "the access token has no permission for the advertiser (code 40001: No permission to operate advertiser ";
    assert!(told.ends_with(&format!("{why}{A})")), "{told}");
    assert_eq!(first.requests().len(), 1 + 1 + 45, "nothing more is asked of the first");
    assert_eq!(first.rows(INSIGHTS).len(), 45 * 2);
    assert_eq!(first.state(&format!("{INSIGHTS}/{A}")), None);
    assert_eq!(first.state(&format!("{INSIGHTS}/{B}")).unwrap()["date"], "2024-05-15");

    let next = host(parameters).after(&first).run::<TikTokAds>();
    next.assert_ok();
    let asked = days(&next);
    assert_eq!(asked.iter().filter(|day| day.starts_with('1')).count(), 45, "all that was missing");
    assert_eq!(asked.iter().filter(|day| day.starts_with('2')).count(), 3, "the lookback");
    assert_eq!(next.rows(INSIGHTS).len(), 2 * 45 * 2);
}

#[test]
fn days_that_failed_are_fetched_by_the_next_run() {
    let parameters = with(spend(), json!({"AdvertiserIDs": format!("{A},{B}"), "StartDate": "2024-05-11"}));
    let down = |request: &Request| {
        let is_down = request.query("advertiser_id").as_deref() == Some(A)
            && request.query("start_date").as_deref() == Some("2024-05-13");
        if is_down { Response::status(500).body("down") } else { api(request) }
    };
    let first = host(parameters.clone()).http(down).run::<TikTokAds>();
    let told = error(&first);
    assert!(told.starts_with("Unavailable"), "{told}");
    assert!(told.contains(&format!("advertiser {A}: `ad_insights` of 2024-05-13: ")), "{told}");
    assert_eq!(first.state(&format!("{INSIGHTS}/{A}")).unwrap()["date"], "2024-05-12");
    assert_eq!(first.state(&format!("{INSIGHTS}/{B}")).unwrap()["date"], "2024-05-15");
    let next = host(with(parameters, json!({"ReimportLookbackWindow": 0}))).after(&first).run::<TikTokAds>();
    next.assert_ok();
    assert_eq!(days(&next), ["1 2024-05-12", "1 2024-05-13", "1 2024-05-14", "1 2024-05-15", "2 2024-05-15"]);
    assert_eq!(next.rows(INSIGHTS).len(), 2 * 5 * 2);
}

#[test]
fn a_deleted_advertiser_is_a_wrong_configuration() {
    let message = format!("The advertiser {A} doesn't exist or has been deleted.");
    let run = host(spend()).http(move |_| refused(40002, &message)).run::<TikTokAds>();
    let told = error(&run);
    assert!(
        told.starts_with("Config at AdvertiserIDs: ") && told.contains("there is no such advertiser"),
        "{told}"
    );
    assert_eq!(run.requests().len(), 1);
    let empty = |_: &Request| ok(json!({"list": []}));
    let told = error(&host(json!({"Fields": "advertiser"})).http(empty).run::<TikTokAds>());
    assert!(told.contains("the API tells nothing of this advertiser; check its id"), "{told}");
}

#[test]
fn a_wrong_token_ends_the_run_at_once() {
    for code in [40102, 40104, 40105, 40110] {
        let parameters = with(spend(), json!({"AdvertiserIDs": format!("{A},{B}")}));
        let run =
            host(parameters).http(move |_| refused(code, "Access token is incorrect.")).run::<TikTokAds>();
        let told = error(&run);
        assert!(told.starts_with("Auth at AuthType: "), "{told}");
        assert!(
            told.contains(&format!(
                "the access token is wrong, revoked or expired (code {code}: Access token is incorrect.)"
            )),
            "{told}"
        );
        assert_eq!(run.requests().len(), 1);
    }
}

#[test]
fn a_token_that_expires_keeps_what_was_imported() {
    let mut calls = 0;
    let expires = move |request: &Request| {
        calls += 1;
        if calls > 3 {
            refused(40105, "Access token is incorrect or has been revoked.")
        } else {
            api(request)
        }
    };
    let parameters = with(spend(), json!({"StartDate": "2024-05-01"}));
    let first = host(parameters.clone()).http(expires).run::<TikTokAds>();
    assert_eq!(first.error().unwrap().kind(), ErrorKind::Auth);
    assert_eq!(first.state(&format!("{INSIGHTS}/{A}")).unwrap()["date"], "2024-05-03");
    assert_eq!(first.rows(INSIGHTS).len(), 6);
    let next = host(with(parameters, json!({"ReimportLookbackWindow": 0}))).after(&first).run::<TikTokAds>();
    next.assert_ok();
    assert_eq!((days(&next)[0].as_str(), next.rows(INSIGHTS).len()), ("1 2024-05-03", 30));
}

/// The API fails in some way at first.
fn recovers(times: usize, failure: fn() -> Response) -> TestRun {
    let mut calls = 0;
    let answer = move |request: &Request| {
        calls += 1;
        if calls <= times { failure() } else { api(request) }
    };
    host(with(spend(), json!({"StartDate": "2024-05-15"}))).http(answer).run::<TikTokAds>()
}

#[test]
fn rate_limits_and_bad_moments_are_waited_out() {
    let failures: [fn() -> Response; 6] = [
        || refused(40100, "Requests made too frequently. Please try again later."),
        || Response::status(429).header("retry-after", "7"),
        || Response::status(500).body("oh"),
        || Response::status(503),
        || refused(50002, "Error processing request. Please try again."),
        Response::refused,
    ];
    for failure in failures {
        let run = recovers(3, failure);
        run.assert_ok();
        assert_eq!((run.requests().len(), run.rows(INSIGHTS).len()), (4, 2));
    }
    let waited = recovers(1, || Response::status(429).header("retry-after", "7")).slept();
    assert_eq!(waited.as_secs(), 7);
}

#[test]
fn a_rate_limit_that_stays_is_told_as_one() {
    let run =
        recovers(usize::MAX, || refused(40100, "Requests made too frequently. Please try again later."));
    let told = error(&run);
    assert!(told.starts_with("RateLimited at nothing: "), "{told}");
    assert!(
        told.contains("the API was asked too often (code 40100: Requests made too frequently."),
        "{told}"
    );
    assert!(run.requests().len() > 3);
    assert_eq!(run.state(&format!("{INSIGHTS}/{A}")), None);
}

#[test]
fn pages_of_a_thousand_are_all_read() {
    let rows = |count: usize| (0..count).map(|n| json!({"campaign_id": n.to_string()})).collect::<Vec<_>>();
    for (count, pages) in [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (2500, 3)] {
        let rows = rows(count);
        let run = host(json!({"Fields": "campaigns campaign_id"}))
            .http(move |request| page(request, &rows))
            .run::<TikTokAds>();
        run.assert_ok();
        assert_eq!((run.rows("tiktok_ads_campaigns").len(), run.requests().len()), (count, pages), "{count}");
    }
}

/// The error of a report whose first row has another value.
fn with_value(pointer: &'static str, value: Value) -> Result<Value, String> {
    let answer = move |request: &Request| {
        let mut rows = figures(request);
        *rows[0].pointer_mut(pointer).unwrap() = value.clone();
        page(request, &rows)
    };
    let parameters = json!({
        "Fields": "ad_insights campaign_id, ad_insights spend, ad_insights impressions", "StartDate": "2024-05-15",
    });
    let run = host(parameters).http(answer).run::<TikTokAds>();
    if run.error().is_some() { Err(error(&run)) } else { Ok(run.rows(INSIGHTS)[0].clone()) }
}

#[test]
fn a_dash_is_not_available_and_another_type_is_an_error() {
    assert_eq!(with_value("/metrics/spend", json!("-")).unwrap()["spend"], Value::Null);
    assert_eq!(with_value("/metrics/impressions", json!("-")).unwrap()["impressions"], Value::Null);
    assert_eq!(with_value("/metrics/campaign_id", json!("-")).unwrap()["campaign_id"], "-", "it is text");
    assert_eq!(with_value("/metrics/impressions", json!(12)).unwrap()["impressions"], 12);
    assert_eq!(with_value("/metrics/campaign_id", json!(17)).unwrap()["campaign_id"], "17");
    assert_eq!(
        with_value("/dimensions/stat_time_day", json!("2024-05-15")).unwrap()["stat_time_day"],
        "2024-05-15"
    );
    for (pointer, value, expected) in [
        ("/metrics/spend", json!("12,50"), "field `spend` (float64) cannot hold `\"12,50\"`"),
        ("/metrics/spend", json!({"amount": 1}), "field `spend` (float64) cannot hold `{\"amount\":1}`"),
        ("/metrics/impressions", json!("1.5"), "field `impressions` (int64) cannot hold `\"1.5\"`"),
        ("/metrics", json!([]), "`/metrics` is no object but `[]`"),
        (
            "/dimensions/stat_time_day",
            json!("15.05.2024"),
            "field `stat_time_day` (date) cannot hold `\"15.05.2024\"`",
        ),
        (
            "/dimensions/stat_time_day",
            json!("2024-05-15 01:00:00"),
            "field `stat_time_day` (date) cannot hold `\"2024-05-15 01:00:00\"`",
        ),
        ("/dimensions/ad_id", Value::Null, "field `ad_id` may not be null"),
    ] {
        let told = with_value(pointer, value).unwrap_err();
        assert!(told.starts_with("InvalidData at nothing: "), "{told}");
        assert!(told.contains(&format!("advertiser {A}: `ad_insights` of 2024-05-15: GET ")), "{told}");
        assert!(
            told.ends_with(&format!("record 1 of `/data/list`: stream `{INSIGHTS}`: {expected}")),
            "{told}"
        );
    }
}

#[test]
fn a_metric_that_the_api_drops_is_told() {
    let answer = |request: &Request| {
        let mut rows = figures(request);
        rows.iter_mut().for_each(|row| drop(row["metrics"].as_object_mut().unwrap().remove("spend")));
        page(request, &rows)
    };
    let run = host(with(spend(), json!({"StartDate": "2024-05-15"}))).http(answer).run::<TikTokAds>();
    run.assert_ok();
    let told = "stream `tiktok_ads_ad_insights`: no object of the source had `spend`: there are only NULLs";
    assert!(run.logs().iter().any(|line| line.message == told), "{:#?}", run.logs());
    let keyless = |request: &Request| {
        let mut rows = figures(request);
        rows[1]["dimensions"].as_object_mut().unwrap().remove("ad_id");
        page(request, &rows)
    };
    let told = error(&host(spend()).http(keyless).run::<TikTokAds>());
    assert!(told.ends_with("field `ad_id` is missing"), "{told}");
}

#[test]
fn bad_figures_do_not_stop_the_other_nodes_of_the_advertiser() {
    let answer = |request: &Request| match request.path() {
        "/open_api/v1.3/campaign/get/" => page(request, &[json!({"campaign_id": "1", "budget": "much"})]),
        _ => api(request),
    };
    let parameters =
        json!({"Fields": "campaigns budget, ads ad_name, ad_insights spend", "StartDate": "2024-05-15"});
    let run = host(parameters).http(answer).run::<TikTokAds>();
    let told = error(&run);
    assert!(
        told.contains("stream `tiktok_ads_campaigns`: field `budget` (float64) cannot hold `\"much\"`"),
        "{told}"
    );
    assert_eq!((run.rows("tiktok_ads_ads").len(), run.rows(INSIGHTS).len()), (1, 2));
}

/// An API that has fewer columns than it had.
fn fewer(request: &Request) -> Response {
    let (parameter, gone) = match request.path() {
        "/open_api/v1.3/ad/get/" => ("fields", "sku_ids"),
        _ => ("metrics", "real_time_conversion_rate"),
    };
    let mut names = list(request, parameter);
    if names.iter().any(|name| name == gone) {
        names.retain(|name| name != gone);
        let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
        let message = format!(
            "{parameter}: one or more value of the param is not acceptable, correct is [{}]",
            names.join(", ")
        );
        return refused(40002, &message);
    }
    api(request)
}

#[test]
fn what_the_api_has_no_more_is_left_out_unless_it_was_named() {
    let run =
        host(json!({"Fields": "ads, ad_insights", "StartDate": "2024-05-14"})).http(fewer).run::<TikTokAds>();
    run.assert_ok();
    assert_eq!((run.rows("tiktok_ads_ads").len(), run.rows(INSIGHTS).len()), (1, 4));
    assert_eq!(run.rows(INSIGHTS)[0]["real_time_conversion_rate"], Value::Null);
    let warned = |text: &str| run.logs().iter().any(|line| line.message.contains(text));
    assert!(warned("the API does not have `sku_ids` of `ads`; these columns stay null"));
    assert!(warned(
        "the API does not have `real_time_conversion_rate` of `ad_insights`; these columns stay null"
    ));
    assert_eq!(run.requests().len(), 2 + 3, "it is asked once for too much");

    let named = json!({"Fields": "ads sku_ids, ads ad_name, ad_insights spend", "StartDate": "2024-05-15"});
    let run = host(named).http(fewer).run::<TikTokAds>();
    let told = error(&run);
    assert!(told.starts_with("Config at Fields: "), "{told}");
    assert!(told.contains("`ads`: the API does not have `sku_ids`; remove it from `Fields`"), "{told}");
    assert_eq!(run.rows(INSIGHTS).len(), 2, "other nodes go on");
}

#[test]
fn deleted_things_come_where_they_are_asked_for() {
    let filters = |parameters: Value| {
        let run = run(with(json!({"Fields": "campaigns, ad_groups, ads, audiences"}), parameters));
        run.assert_ok();
        run.requests().iter().map(|request| request.query("filtering")).collect::<Vec<_>>()
    };
    assert_eq!(filters(json!({})), [None, None, None, None]);
    let status = |status: &str| Some(format!("{{\"secondary_status\":\"{status}\"}}"));
    assert_eq!(
        filters(json!({"IncludeDeleted": true})),
        [status("CAMPAIGN_STATUS_ALL"), status("ADGROUP_STATUS_ALL"), status("AD_STATUS_ALL"), None]
    );
}

#[test]
fn the_sandbox_and_other_addresses() {
    let url = |parameters: Value| {
        run(with(json!({"Fields": "campaigns"}), parameters)).requests()[0].url().to_owned()
    };
    let path = "/open_api/v1.3/campaign/get/";
    assert!(url(json!({"SandboxMode": true})).starts_with(&format!("https://sandbox-ads.tiktok.com{path}")));
    assert!(url(json!({"BaseUrl": "http://localhost:8/"})).starts_with(&format!("http://localhost:8{path}")));
    assert_eq!(
        spec::<TikTokAds>().network,
        ["https://business-api.tiktok.com", "https://sandbox-ads.tiktok.com"]
    );
}

#[test]
fn empty_tables_are_made_unless_they_are_not_wanted() {
    let empty = |request: &Request| page(request, &[]);
    let run = |more: Value, kind: &str| {
        let parameters = with(json!({"Fields": "campaigns campaign_name, ad_insights spend"}), more);
        host(parameters).http(empty).run_type(kind).run::<TikTokAds>()
    };
    let made = |run: &TestRun| ["tiktok_ads_campaigns", INSIGHTS].map(|table| run.stream(table).is_some());
    assert_eq!(made(&run(json!({}), "INCREMENTAL")), [true, true]);
    assert_eq!(made(&run(json!({"CreateEmptyTables": false}), "INCREMENTAL")), [false, false]);
    assert_eq!(
        made(&run(json!({"CreateEmptyTables": false}), "FULL_REFRESH")),
        [true, true],
        "to empty them"
    );
    let moved = run(json!({"CreateEmptyTables": false}), "INCREMENTAL");
    assert_eq!(
        moved.state(&format!("{INSIGHTS}/{A}")).unwrap()["date"],
        "2024-05-15",
        "days without figures are done"
    );
}

#[test]
fn the_check_reaches_every_advertiser() {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&asked);
    let answer = move |request: &Request| {
        let id = list(request, "advertiser_ids")[0].clone();
        seen.borrow_mut().push(id.clone());
        if id == A {
            refused(40001, &format!("No permission to operate advertiser {id}"))
        } else {
            api(request)
        }
    };
    let parameters = json!({"AdvertiserIDs": format!("{A},{B}")});
    let error = host(parameters.clone()).http(answer).check::<TikTokAds>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(error.message().contains(&format!("advertiser {A}: ")), "{error}");
    assert_eq!(*asked.borrow(), [A, B]);
    host(parameters).check::<TikTokAds>().unwrap();
}

#[test]
fn a_cancelled_run_keeps_its_days() {
    let run = host(spend()).cancel_after_commits(4).run::<TikTokAds>();
    assert_eq!(run.error().unwrap().kind(), ErrorKind::Cancelled);
    assert_eq!(run.state(&format!("{INSIGHTS}/{A}")).unwrap()["date"], "2024-04-03");
    assert_eq!(run.rows(INSIGHTS).len(), 6);
}
