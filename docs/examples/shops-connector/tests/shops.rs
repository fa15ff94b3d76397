//! The connector against shops that are not there.

use ow_connector::ErrorKind;
use ow_connector::testing::{Request, Response, TestHost};
use serde_json::{Value, json};
use shops_connector::Shops;

fn envelope(data: Value) -> Response {
    Response::json(json!({"code": 0, "message": "OK", "data": data}))
}

/// Three products a day on two pages, and two orders a shop.
fn api(request: &Request) -> Response {
    if request.header("x-token") != Some("t0ken") {
        return Response::json(json!({"code": 2, "message": "unknown token"}));
    }
    let sale = |product: &str, sold: Value| json!({"product": product, "sold": sold, "revenue": "12.50"});
    match (request.path(), request.query("page").as_deref(), request.query("after").as_deref()) {
        ("/shops/a/sales" | "/shops/b/sales", Some("1"), _) => {
            envelope(json!({"list": [sale("pen", json!("7")), sale("ink", json!("-"))], "pages": 2}))
        }
        ("/shops/a/sales" | "/shops/b/sales", Some("2"), _) => {
            envelope(json!({"list": [sale("paper", json!(3))], "pages": 2}))
        }
        ("/shops/a/orders", _, None) => envelope(json!({
            "orders": [{"id": 1, "customer": {"name": "Ada"}, "placed_at": "2024-03-14 09:00:00", "items": ["pen"]}],
            "next": "x",
        })),
        ("/shops/a/orders", _, Some("x")) => envelope(json!({"orders": [{"id": "2", "customer": null}]})),
        ("/shops", ..) => envelope(json!(["a", "b"])),
        _ => Response::json(json!({"code": 3, "message": "no permission"})),
    }
}

fn host(shops: &[&str]) -> TestHost {
    TestHost::new().config(json!({"Token": "t0ken", "Shops": shops})).now("2024-03-15T12:00:00Z").http(api)
}

#[test]
fn every_page_of_every_day_becomes_rows() {
    let config = json!({"StartDate": "2024-03-14"});
    let run = host(&["a"]).config(config).run::<Shops>();
    run.assert_ok();
    assert_eq!(run.rows("sales").len(), 6);
    let ink = json!({"shop": "a", "day": "2024-03-14", "product": "ink", "sold": null, "revenue": "12.50"});
    assert_eq!(run.rows("sales")[1], ink);
    assert_eq!(
        run.rows("orders"),
        [
            json!({"id": 1, "shop": "a", "customer_name": "Ada", "placed_at": "2024-03-14T09:00:00Z", "items": ["pen"]}),
            json!({"id": 2, "shop": "a", "customer_name": null, "placed_at": null, "items": null}),
        ]
    );
    assert_eq!(run.state("sales/a"), Some(&json!({"date": "2024-03-15"})));
}

#[test]
fn a_shop_that_fails_does_not_stop_the_others_but_the_run_fails() {
    let run = host(&["z", "a", "b"]).state("sales/b", json!({"date": "2024-03-15"})).run::<Shops>();
    let error = run.error().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(
        error.message(),
        "2 of 3 failed: shop z: page 1: GET https://shops.example.com/shops/z/sales: no permission; \
         shop b: page 1: GET https://shops.example.com/shops/b/orders: no permission"
    );
    assert_eq!(run.rows("orders").len(), 2);
    assert_eq!((run.state("sales/z"), run.state("sales/a")), (None, Some(&json!({"date": "2024-03-15"}))));
}

#[test]
fn a_wrong_token_is_told_as_such() {
    let error = host(&["a"]).config(json!({"Token": "other"})).check::<Shops>().unwrap_err();
    assert_eq!((error.kind(), error.parameter_name()), (ErrorKind::Auth, Some("Token")));
}

#[test]
fn a_busy_api_is_asked_again() {
    let mut count = 0;
    let busy = move |request: &Request| {
        count += 1;
        if count % 3 == 0 { Response::json(json!({"code": 1, "message": "slow down"})) } else { api(request) }
    };
    let run = host(&["a"]).config(json!({"StartDate": "2024-03-14"})).http(busy).run::<Shops>();
    run.assert_ok();
    assert_eq!((run.rows("sales").len(), run.rows("orders").len()), (6, 2));
}
