//! The connector against a help desk that is not there.

use first_connector::Tickets;
use ow_connector::ErrorKind;
use ow_connector::testing::{Request, Response, TestHost};
use serde_json::json;

/// Two pages; tickets that changed at or after `since`.
fn desk(request: &Request) -> Response {
    if request.header("authorization") != Some("Bearer t0ken") {
        return Response::json(json!({"message": "unknown token"})).with_status(401);
    }
    let page = request.query("page").unwrap_or_default();
    let ticket = |id: i64, day: &str| json!({"id": id, "subject": format!("ticket {id}"), "assignee": null, "updated_at": format!("{day}T08:00:00Z")});
    Response::json(match (page.as_str(), request.query("since").as_deref()) {
        ("1", None) => json!({"tickets": [ticket(1, "2024-03-01"), ticket(2, "2024-03-02")], "next": 2}),
        ("2", None) => json!({"tickets": [ticket(3, "2024-03-03")], "next": null}),
        ("1", Some("2024-03-03T08:00:00Z")) => json!({"tickets": [ticket(3, "2024-03-03")], "next": null}),
        _ => json!({"tickets": [], "next": null}),
    })
}

fn host() -> TestHost {
    TestHost::new().config(json!({"Token": "t0ken"})).http(desk)
}

#[test]
fn fetches_every_page_and_commits_each() {
    let run = host().run::<Tickets>();
    run.assert_ok();
    assert_eq!(run.rows("tickets").len(), 3);
    assert_eq!(run.state("tickets"), Some(&json!("2024-03-03T08:00:00Z")));
    assert_eq!(run.requests()[1].query("page").as_deref(), Some("2"));
}

#[test]
fn the_next_run_goes_on_from_the_last_change() {
    let first = host().run::<Tickets>();
    let second = host().after(&first).run::<Tickets>();
    second.assert_ok();
    assert_eq!(second.requests()[0].query("since").as_deref(), Some("2024-03-03T08:00:00Z"));
    assert_eq!(second.rows("tickets").len(), 3); // Ticket 3 came twice and was merged.
}

#[test]
fn a_backfill_starts_where_it_is_told_and_keeps_no_state() {
    let data = json!([{"configField": "StartDate", "value": "2024-01-01"}]);
    let run = host().run_type("MANUAL_BACKFILL").data(data).run::<Tickets>();
    run.assert_ok();
    assert_eq!(run.requests()[0].query("since").as_deref(), Some("2024-01-01T00:00:00Z"));
    assert_eq!(run.state("tickets"), None);
}

#[test]
fn a_wrong_token_is_told_as_such() {
    let error = host().config(json!({"Token": "other"})).run::<Tickets>().error().unwrap().clone();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(error.message().ends_with("status 401: unknown token"), "{error}");
}
