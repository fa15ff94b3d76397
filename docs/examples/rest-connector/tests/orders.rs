//! The connector against a shop that is not there.

use ow_connector::ErrorKind;
use ow_connector::testing::{Request, Response, TestHost};
use rest_connector::Shop;
use serde_json::json;

/// Two orders a day, on two pages.
fn shop(request: &Request) -> Response {
    if request.header("x-api-key") != Some("k3y") {
        return Response::json(json!({"message": "unknown key"})).with_status(401);
    }
    let day = request.query("day").unwrap_or_default();
    let order = |id: i64| json!({"id": id, "day": day, "total": "12.50", "coupon": null, "more": []});
    let of_month: i64 = day[8..].parse().unwrap_or_default();
    Response::json(match request.query("cursor") {
        None => json!({"orders": [order(of_month * 10)], "next": "b"}),
        Some(_) => json!({"orders": [order(of_month * 10 + 1)], "next": null}),
    })
}

fn host() -> TestHost {
    TestHost::new().config(json!({"ApiKey": "k3y"})).now("2024-03-01T12:00:00Z").http(shop)
}

#[test]
fn goes_on_from_the_last_day() {
    let run = host().state("orders", json!({"date": "2024-02-29"})).run::<Shop>();
    run.assert_ok();
    assert_eq!(run.rows("orders").len(), 8); // Four days: two of lookback, the last one, and today.
    assert_eq!(
        run.rows("orders")[5],
        json!({"id": 291, "day": "2024-02-29", "total": "12.50", "coupon": null})
    );
    assert_eq!(run.state("orders"), Some(&json!({"date": "2024-03-01"})));
}

#[test]
fn a_bad_moment_is_lived_through_and_a_bad_key_is_told() {
    let mut first = true;
    let busy = move |request: &Request| match std::mem::take(&mut first) {
        true => Response::status(429).header("retry-after", "3"),
        false => shop(request),
    };
    let run = host().state("orders", json!({"date": "2024-03-01"})).http(busy).run::<Shop>();
    run.assert_ok();
    assert_eq!(run.slept().as_secs(), 3);

    let run = host().config(json!({"ApiKey": "old"})).run::<Shop>();
    assert_eq!(run.error().map(ow_connector::Error::kind), Some(ErrorKind::Auth));
    assert_eq!(run.state("orders"), None);
}
