//! How runs follow one another: what changed since, days, run types, parents and
//! children, and streams that fail.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what fails here fails the test"
)]

use ow_connector::ErrorKind;
use ow_connector::testing::{Request, Response, TestHost, TestRun};
use rest_json::RestJson;
use serde_json::{Value, json};

fn host(streams: Value) -> TestHost {
    TestHost::new()
        .config(json!({"BaseUrl": "https://api.example.com", "Streams": streams}))
        .now("2024-03-01T10:00:00Z")
}

fn asked(run: &TestRun, parameter: &str) -> Vec<String> {
    run.requests().iter().map(|request| request.query(parameter).unwrap_or_else(|| "-".to_owned())).collect()
}

fn changes(more: Value) -> Value {
    let mut incremental = json!({"Field": "updated_at", "Parameter": "since"});
    incremental.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([{
        "Name": "items", "Path": "/items", "PrimaryKey": ["id"],
        "Schema": {"id": "int64", "updated_at": "timestamp"}, "Incremental": incremental,
    }])
}

fn updated(records: &[(i64, &str)]) -> Response {
    Response::json(records.iter().map(|(id, at)| json!({"id": id, "updated_at": at})).collect())
}

#[test]
fn what_changed_since_the_last_run() {
    let first = host(changes(json!({"Start": "2024-01-01T00:00:00Z"})))
        .http(|_| {
            updated(&[
                (1, "2024-02-02T00:00:00Z"),
                (2, "2024-02-03T00:00:00+02:00"),
                (3, "2024-01-05T00:00:00Z"),
            ])
        })
        .run::<RestJson>();
    first.assert_ok();
    assert_eq!(asked(&first, "since"), ["2024-01-01T00:00:00Z"]);
    assert_eq!(first.state("items"), Some(&json!({"cursor": "2024-02-03T00:00:00+02:00"})));

    let second =
        host(changes(json!({"Lookback": 60}))).after(&first).http(|_| updated(&[])).run::<RestJson>();
    second.assert_ok();
    assert_eq!(asked(&second, "since"), ["2024-02-02T21:59:00Z"]);
    assert_eq!(second.state("items"), first.state("items"), "an empty answer keeps the state");

    let unix =
        host(changes(json!({"Format": "unix"}))).after(&first).http(|_| updated(&[])).run::<RestJson>();
    assert_eq!(asked(&unix, "since"), ["1706911200"]);
    let all = host(changes(json!({}))).http(|_| updated(&[])).run::<RestJson>();
    assert_eq!(asked(&all, "since"), ["-"]);
}

#[test]
fn the_state_never_passes_what_was_not_fetched() {
    let mut streams = changes(json!({}));
    streams[0]["Pagination"] = json!({"page": {}});
    let broken = |request: &Request| match request.query("page").unwrap().as_str() {
        "1" => updated(&[(1, "2024-02-20T00:00:00Z")]),
        _ => Response::status(400).body("broken"),
    };
    let run = host(streams).http(broken).run::<RestJson>();
    assert_eq!(
        run.error().unwrap().message(),
        "1 of 1 failed: stream `items`: page 2: GET https://api.example.com/items: status 400: broken"
    );
    assert_eq!(run.state("items"), None);
    // What lies in the future would hide what comes until then.
    let run = host(changes(json!({})))
        .http(|_| updated(&[(1, "2024-02-20T00:00:00Z"), (2, "2099-01-01T00:00:00Z")]))
        .run::<RestJson>();
    run.assert_ok();
    assert_eq!(run.state("items"), Some(&json!({"cursor": "2024-02-20T00:00:00Z"})));
}

#[test]
fn sorted_changes_are_kept_on_the_way() {
    let mut streams = changes(json!({"Ascending": true}));
    streams[0]["Pagination"] = json!({"page": {}});
    let day = |page: i64, record: i64| format!("2024-01-{:02}T00:00:{:02}Z", page, record % 60);
    let answer = move |request: &Request| {
        let page: i64 = request.query("page").unwrap().parse().unwrap();
        if page == 4 {
            return Response::status(400);
        }
        let mut records: Vec<(i64, String)> = (0..6000).map(|n| (page * 6000 + n, day(page, n))).collect();
        records.sort_by(|one, two| one.1.cmp(&two.1));
        Response::json(records.iter().map(|(id, at)| json!({"id": id, "updated_at": at})).collect())
    };
    // The test host merges in quadratic time: without a key.
    streams[0]["PrimaryKey"] = json!([]);
    let run = host(streams.clone()).http(answer).run::<RestJson>();
    assert!(run.error().is_some());
    assert_eq!(run.state("items"), Some(&json!({"cursor": "2024-01-02T00:00:58Z"})));
    let unsorted = |_: &Request| updated(&[(1, "2024-02-20T00:00:00Z"), (2, "2024-02-19T00:00:00Z")]);
    streams[0].as_object_mut().unwrap().remove("Pagination");
    let run = host(streams).http(unsorted).run::<RestJson>();
    assert!(
        run.error().unwrap().message().contains("the API does not sort by this field"),
        "{:?}",
        run.error()
    );
}

#[test]
fn numbers_are_marks_as_well() {
    let streams = json!([{
        "Name": "items", "Path": "/items", "Schema": {"id": "int64"},
        "Query": {"filter": "id gt {cursor}"}, "Incremental": {"Field": "id", "Start": 0, "Lookback": 2},
    }]);
    let first =
        host(streams.clone()).http(|_| Response::json(json!([{"id": 9}, {"id": 10}]))).run::<RestJson>();
    first.assert_ok();
    let second = host(streams).after(&first).http(|_| Response::json(json!([]))).run::<RestJson>();
    assert_eq!(
        (asked(&first, "filter"), asked(&second, "filter")),
        (vec!["id gt 0".to_owned()], vec!["id gt 8".to_owned()])
    );
}

#[test]
fn all_run_types_of_changes() {
    let host = || {
        host(changes(json!({"Start": "2024-01-01"})))
            .state("items", json!({"cursor": "2024-02-10T00:00:00Z"}))
            .http(|_| updated(&[]))
    };
    let refresh = host().run_type("FULL_REFRESH").run::<RestJson>();
    assert_eq!(asked(&refresh, "since"), ["2024-01-01"]);
    let backfill = host()
        .run_type("MANUAL_BACKFILL")
        .data(json!([{"configField": "StartDate", "value": "2023-06-01"}]))
        .run::<RestJson>();
    assert_eq!(asked(&backfill, "since"), ["2023-06-01"]);
    assert_eq!(backfill.state("items"), Some(&json!({"cursor": "2024-02-10T00:00:00Z"})));
    let custom = host().run_type("CUSTOM").run::<RestJson>();
    assert_eq!(asked(&custom, "since"), ["2024-01-01"]);
}

fn days(more: Value) -> Value {
    let mut window = json!({"StartParameter": "from", "EndParameter": "to", "Days": 10});
    window.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([{"Name": "report", "Path": "/report", "Schema": {"day": "date"}, "Window": window}])
}

fn ranges(run: &TestRun) -> Vec<String> {
    asked(run, "from").into_iter().zip(asked(run, "to")).map(|(from, to)| format!("{from} {to}")).collect()
}

fn empty(_: &Request) -> Response {
    Response::json(json!([]))
}

#[test]
fn days_go_on_where_the_last_run_stopped() {
    let first = host(days(json!({}))).http(empty).run::<RestJson>();
    first.assert_ok();
    // From the first of the previous month on, over a leap day.
    assert_eq!(ranges(&first), ["2024-02-01 2024-02-10", "2024-02-11 2024-02-20", "2024-02-21 2024-03-01"]);
    assert_eq!(first.state("report"), Some(&json!({"date": "2024-03-01"})));
    let second =
        host(days(json!({}))).after(&first).now("2024-03-31T23:59:59Z").http(empty).run::<RestJson>();
    assert_eq!(ranges(&second)[0], "2024-02-28 2024-03-08");
    assert_eq!(ranges(&second).last().unwrap(), "2024-03-29 2024-03-31");
    let exclusive = host(days(json!({"EndExclusive": true, "Format": "timestamp", "Days": 40})))
        .http(empty)
        .run::<RestJson>();
    assert_eq!(ranges(&exclusive), ["2024-02-01T00:00:00Z 2024-03-02T00:00:00Z"]);
}

#[test]
fn all_run_types_of_days() {
    let run = |kind: &str, data: Value| {
        host(days(json!({"Days": 100})))
            .state("report", json!({"date": "2024-02-20"}))
            .run_type(kind)
            .data(data)
            .http(empty)
            .run::<RestJson>()
    };
    let range = json!([{"configField": "StartDate", "value": "2023-12-31"}, {"configField": "EndDate", "value": "2024-01-01"}]);
    let backfill = run("MANUAL_BACKFILL", range);
    assert_eq!(ranges(&backfill), ["2023-12-31 2024-01-01"]);
    assert_eq!(backfill.state("report"), Some(&json!({"date": "2024-02-20"})));
    assert_eq!(ranges(&run("INCREMENTAL", Value::Null)), ["2024-02-18 2024-03-01"]);
    assert_eq!(ranges(&run("FULL_REFRESH", Value::Null)), ["2024-02-01 2024-03-01"]);
    assert_eq!(ranges(&run("CUSTOM", Value::Null)), ["2024-02-01 2024-03-01"]);
    let lost = run("MANUAL_BACKFILL", Value::Null);
    assert_eq!(lost.error().unwrap().parameter_name(), Some("StartDate"));
}

#[test]
fn days_that_fail_are_asked_again() {
    let run = host(days(json!({})))
        .http(|request| {
            if request.query("from").unwrap() == "2024-02-21" {
                Response::status(400)
            } else {
                empty(request)
            }
        })
        .run::<RestJson>();
    assert!(
        run.error().unwrap().message().contains("stream `report`: 2024-02-21 to 2024-03-01: "),
        "{:?}",
        run.error()
    );
    assert_eq!(run.state("report"), Some(&json!({"date": "2024-02-20"})));
}

fn shop() -> Value {
    json!([
        {"Name": "orders", "Path": "/customers/{parent.id}/orders", "Query": {"tag": "{parent.address.city}"},
         "Parent": {"Stream": "customers", "Columns": {"customer_id": "id"}}, "PrimaryKey": ["customer_id", "number"]},
        {"Name": "customers", "Path": "/customers", "Schema": {"id": "text", "name": "text"}, "PrimaryKey": ["id"]},
        {"Name": "lines", "Path": "/orders/{parent.customer_id}-{parent.number}",
         "Parent": {"Stream": "orders", "Columns": {"customer": "customer_id"}}, "Schema": {"sku": "text"}},
    ])
}

fn shop_answers(request: &Request) -> Response {
    match request.path() {
        "/customers" => Response::json(json!([
            {"id": "a/1", "name": "A", "address": {"city": "Kyiv"}},
            {"id": "b", "name": "B", "address": {"city": "Lviv"}},
            {"id": "b", "name": "B again", "address": {"city": "Lviv"}},
        ])),
        "/customers/a%2F1/orders" => {
            assert_eq!(request.query("tag").unwrap(), "Kyiv");
            Response::json(json!([{"number": 1}, {"number": 2, "note": "n"}]))
        }
        "/customers/b/orders" => Response::json(json!([{"number": 1, "total": 7.5}])),
        path if path.starts_with("/orders/") => Response::json(json!([{"sku": path}])),
        other => panic!("{other}"),
    }
}

#[test]
fn children_are_fetched_for_each_parent() {
    let run = host(shop()).http(shop_answers).run::<RestJson>();
    run.assert_ok();
    assert_eq!(run.rows("customers").len(), 2);
    assert_eq!(
        run.rows("orders"),
        [
            json!({"customer_id": "a/1", "number": 1, "note": null, "total": null}),
            json!({"customer_id": "a/1", "number": 2, "note": "n", "total": null}),
            json!({"customer_id": "b", "number": 1, "note": null, "total": 7.5}),
        ]
    );
    let lines: Vec<&Value> = run.rows("lines").iter().map(|row| &row["sku"]).collect();
    assert_eq!(lines, ["/orders/a%2F1-1", "/orders/a%2F1-2", "/orders/b-1"]);
    assert_eq!(run.rows("lines")[0]["customer"], "a/1");
}

#[test]
fn a_parent_that_was_not_chosen_is_still_asked() {
    let run = host(shop()).config(json!({"Fields": "orders"})).http(shop_answers).run::<RestJson>();
    run.assert_ok();
    assert!(run.stream("customers").is_none() && run.stream("lines").is_none());
    assert_eq!(run.rows("orders").len(), 3);
}

#[test]
fn one_child_fails_and_the_others_go_on() {
    let run = host(shop())
        .http(|request| {
            if request.path() == "/customers/b/orders" {
                Response::status(403).body("not yours")
            } else {
                shop_answers(request)
            }
        })
        .run::<RestJson>();
    let error = run.error().unwrap();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(
        error.message().contains(
            "stream `orders/Lviv,b`: GET https://api.example.com/customers/b/orders: status 403: not yours"
        ),
        "{error}"
    );
    assert_eq!((run.rows("orders").len(), run.rows("lines").len()), (2, 2));
}

#[test]
fn the_state_of_a_parent_waits_for_its_children() {
    let streams = || {
        let mut streams = changes(json!({}));
        streams.as_array_mut().unwrap().push(json!({
            "Name": "notes", "Path": "/items/{parent.id}/notes", "Parent": {"Stream": "items", "Columns": {"item": "id"}},
            "Schema": {"text": "text"},
        }));
        streams
    };
    let answer = |request: &Request, fails: bool| match request.path() {
        "/items" => updated(&[(1, "2024-02-01T00:00:00Z"), (2, "2024-02-02T00:00:00Z")]),
        "/items/2/notes" if fails => Response::status(400),
        _ => Response::json(json!([{"text": "x"}])),
    };
    let failed = host(streams()).http(move |request| answer(request, true)).run::<RestJson>();
    assert!(failed.error().is_some());
    assert_eq!((failed.state("items"), failed.rows("notes").len()), (None, 1));
    assert_eq!(failed.rows("notes")[0], json!({"item": 1, "text": "x"}));
    let whole = host(streams()).http(move |request| answer(request, false)).run::<RestJson>();
    whole.assert_ok();
    assert_eq!(whole.state("items"), Some(&json!({"cursor": "2024-02-02T00:00:00Z"})));
}

#[test]
fn a_child_has_its_own_days_for_each_parent() {
    let streams = json!([
        {"Name": "accounts", "Path": "/accounts", "Schema": {"id": "int64"}},
        {"Name": "report", "Path": "/report/{parent.id}", "Parent": {"Stream": "accounts"}, "Schema": {"day": "date"},
         "Window": {"StartParameter": "from", "EndParameter": "to", "Days": 100}},
    ]);
    let answer = |request: &Request| match request.path() {
        "/accounts" => Response::json(json!([{"id": 1}, {"id": 2}])),
        "/report/2" => Response::status(400),
        _ => empty(request),
    };
    let run = host(streams).http(answer).run::<RestJson>();
    assert!(
        run.error().unwrap().message().starts_with("1 of 3 failed: stream `report/2`: "),
        "{:?}",
        run.error()
    );
    assert_eq!(run.state("report/1"), Some(&json!({"date": "2024-03-01"})));
    assert_eq!(run.state("report/2"), None);
}

#[test]
fn one_stream_fails_and_the_others_go_on() {
    let stream = |name: &str| json!({"Name": name, "Path": format!("/{name}"), "Schema": {"id": "int64"}});
    let run =
        host(json!([stream("a"), stream("b"), stream("c")]))
            .http(|request| {
                if request.path() == "/b" {
                    Response::status(500)
                } else {
                    Response::json(json!([{"id": 1}]))
                }
            })
            .run::<RestJson>();
    let error = run.error().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().starts_with("1 of 3 failed: stream `b`: "), "{error}");
    assert_eq!((run.rows("a").len(), run.rows("c").len()), (1, 1));
}

#[test]
fn a_cancelled_run_stops() {
    let stream = |name: &str| json!({"Name": name, "Path": format!("/{name}"), "Schema": {"id": "int64"}});
    let run = host(json!([stream("a"), stream("b")]))
        .cancel_after_commits(1)
        .http(|_| Response::json(json!([{"id": 1}])))
        .run::<RestJson>();
    assert_eq!(run.error().unwrap().kind(), ErrorKind::Cancelled);
    assert_eq!((run.rows("a").len(), run.rows("b").len()), (1, 0));
}
