//! Each way of paging against sources that answer as they should, and against
//! those that do not.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};

use super::*;
use crate::ErrorKind;
use crate::host::native::{self, Fake};
use crate::http::{Client, Cursor, LinkHeader, NextUrl, Offset, PageNumber, RateLimit};
use crate::testing::{Handler, Request as Sent, Response as Answer};

/// What came of paging: the records of each page, the error at the end, and the
/// requests.
struct Paged {
    pages: Vec<Vec<i64>>,
    error: Option<Error>,
    fake: Fake,
}

impl Paged {
    fn urls(&self) -> Vec<&str> {
        self.fake.requests.iter().map(Sent::url).collect()
    }

    fn records(&self) -> Vec<i64> {
        assert_eq!(self.error, None);
        self.pages.concat()
    }

    fn message(&self) -> &str {
        self.error.as_ref().map_or("no error", Error::message)
    }
}

/// Pages through `/list` of the answers' `list`.
fn paged(
    request: impl FnOnce(&Client) -> Request,
    pagination: impl Into<Pagination>,
    answer: impl FnMut(&Sent) -> Answer + 'static,
) -> Paged {
    let fake = Fake { handler: Some(Handler(Box::new(answer))), ..Fake::default() };
    let before = native::replace(fake);
    let (mut pages, mut error) = (Vec::new(), None);
    let mut iterator = request(&Client::new()).pages(pagination);
    for page in &mut iterator {
        let records = page.and_then(|page| page.optional_records("/list")?.collect::<Result<Vec<i64>>>());
        match records {
            Ok(records) => pages.push(records),
            Err(wrong) => error = Some(wrong),
        }
        assert!(pages.len() < 100, "it goes on and on");
    }
    assert!(iterator.next().is_none());
    Paged { pages, error, fake: native::replace(before) }
}

fn get(client: &Client) -> Request {
    client.get("https://h/p")
}

/// A source of the numbers 0 to `total`, by page and size.
fn numbers(sent: &Sent, total: i64, cap: i64) -> Vec<i64> {
    let number = |name: &str| sent.query(name).and_then(|value| value.parse::<i64>().ok());
    let size = number("size").unwrap_or(2).min(cap);
    let start = number("offset").unwrap_or_else(|| (number("page").unwrap() - 1) * size);
    (start..(start + size).min(total)).collect()
}

fn by_page() -> PageNumber {
    PageNumber::new("page", "/list")
}

fn by_offset() -> Offset {
    Offset::new("offset", "/list")
}

fn list(list: &[i64]) -> Answer {
    Answer::json(json!({"list": list}))
}

#[test]
fn numbered_pages_end_with_an_empty_one() {
    let run = paged(get, by_page(), |sent| list(&numbers(sent, 5, 9)));
    assert_eq!(run.records(), [0, 1, 2, 3, 4]);
    assert_eq!(
        run.urls(),
        ["https://h/p?page=1", "https://h/p?page=2", "https://h/p?page=3", "https://h/p?page=4"]
    );
    let request = |client: &Client| client.get("https://h/p?page=9&x=1");
    let run = paged(request, by_page().first(2).size("size", 3), |sent| list(&numbers(sent, 7, 9)));
    assert_eq!(run.urls()[0], "https://h/p?x=1&size=3&page=2");
    assert_eq!(run.records(), [3, 4, 5, 6]);
}

#[test]
fn numbered_pages_end_with_the_total() {
    let answer =
        |sent: &Sent| Answer::json(json!({"list": numbers(sent, 5, 9), "info": {"total": 5, "pages": 3}}));
    for way in [
        by_page().total_records("/info/total"),
        by_page().size("size", 2).total_records("/info/total"),
        by_page().total_pages("/info/pages"),
        by_page().total_pages("/info/pages").ahead(9),
        by_page().total_pages("/info/pages").ahead(0),
    ] {
        let run = paged(get, way, answer);
        assert_eq!((run.records(), run.fake.requests.len()), (vec![0, 1, 2, 3, 4], 3));
    }
    // Totals as text, as some write them.
    let text = |sent: &Sent| Answer::json(json!({"list": numbers(sent, 4, 9), "total": "4"}));
    let run = paged(get, by_page().total_records("/total"), text);
    assert_eq!((run.records().len(), run.fake.requests.len()), (4, 2));
}

#[test]
fn a_cap_of_the_server_loses_nothing() {
    let bare = |sent: &Sent| list(&numbers(sent, 7, 2));
    let total = |sent: &Sent| Answer::json(json!({"list": numbers(sent, 7, 2), "total": 7}));
    let all: Vec<i64> = (0..7).collect();
    assert_eq!(paged(get, by_page().size("size", 5), bare).records(), all);
    assert_eq!(paged(get, by_offset().size("size", 5), bare).records(), all);
    assert_eq!(paged(get, by_page().size("size", 5).total_records("/total").ahead(4), total).records(), all);
    assert_eq!(
        paged(get, by_offset().size("size", 5).total_records("/total").ahead(4), total).records(),
        all
    );
}

#[test]
fn offsets_go_on_by_what_came() {
    let run = paged(get, by_offset(), |sent| list(&numbers(sent, 5, 9)));
    assert_eq!(run.records(), [0, 1, 2, 3, 4]);
    assert_eq!(run.urls()[1..], ["https://h/p?offset=2", "https://h/p?offset=4", "https://h/p?offset=5"]);
    // The second page is short, although others follow.
    let odd = |sent: &Sent| {
        let offset: i64 = sent.query("offset").unwrap().parse().unwrap();
        let size = if offset == 3 { 1 } else { 3 };
        Answer::json(json!({"list": (offset..(offset + size).min(11)).collect::<Vec<_>>(), "total": 11}))
    };
    let run = paged(get, by_offset().size("size", 3).total_records("/total").ahead(3), odd);
    assert_eq!(run.records(), (0..11).collect::<Vec<_>>());
}

#[test]
fn several_pages_are_on_their_way_at_once() {
    let sent = Rc::new(RefCell::new(0));
    let count = Rc::clone(&sent);
    let answer = move |request: &Sent| {
        *count.borrow_mut() += 1;
        Answer::json(json!({"list": numbers(request, 20, 9), "pages": 10}))
    };
    let fake = Fake { handler: Some(Handler(Box::new(answer))), ..Fake::default() };
    let before = native::replace(fake);
    let mut pages = get(&Client::new()).pages(by_page().total_pages("/pages").ahead(3));
    assert_eq!(*sent.borrow(), 0);
    let under_way: Vec<i64> = std::iter::from_fn(|| pages.next())
        .map(|page| {
            page.unwrap();
            *sent.borrow()
        })
        .collect();
    native::replace(before);
    assert_eq!(under_way, [4, 5, 6, 7, 8, 9, 10, 10, 10, 10]);
}

#[test]
fn the_next_page_is_asked_for_before_this_one_is_handed_out() {
    let answer = |sent: &Sent| match sent.query("cursor").as_deref() {
        None => Answer::json(json!({"list": [1], "next": "b"})),
        Some("b") => Answer::json(json!({"list": [2], "next": "c"})),
        _ => Answer::json(json!({"list": [3]})),
    };
    for (way, want) in
        [(Cursor::new("cursor", "/next"), [2, 3, 3]), (Cursor::new("cursor", "/next").not_ahead(), [1, 2, 3])]
    {
        let fake = Fake { handler: Some(Handler(Box::new(answer))), ..Fake::default() };
        let before = native::replace(fake);
        let mut requests = Vec::new();
        for page in get(&Client::new()).pages(way) {
            page.unwrap();
            let fake = native::replace(Fake::default());
            requests.push(fake.requests.len());
            native::replace(fake);
        }
        native::replace(before);
        assert_eq!(requests, want);
    }
}

#[test]
fn a_total_that_shrinks_or_grows() {
    let totals = |totals: &'static [i64], all: i64| {
        move |sent: &Sent| {
            let page: usize = sent.query("page").unwrap().parse().unwrap();
            let total = totals.get(page - 1).or(totals.last());
            Answer::json(json!({"list": numbers(sent, all, 9), "total": total}))
        }
    };
    let way = || by_page().size("size", 2).total_records("/total").ahead(3);
    assert_eq!(paged(get, way(), totals(&[8, 3], 4)).records(), [0, 1, 2, 3]);
    assert_eq!(paged(get, way(), totals(&[3, 3, 8], 8)).records().len(), 4);
    assert_eq!(paged(get, way(), totals(&[3, 6, 8], 8)).records().len(), 8);
    // It says 8 for ever, but there are 5.
    let run = paged(get, way(), totals(&[8], 5));
    assert_eq!(run.records(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_source_that_ignores_the_page_does_not_go_on_for_ever() {
    for way in [by_page(), by_page().size("size", 2)] {
        let run = paged(get, way, |_| Answer::json(json!({"id": "x", "list": [1, 2]})));
        let message =
            "page 2: GET https://h/p: it has the records of the page before: the source ignores `page`";
        assert_eq!((run.pages.len(), run.message()), (1, message));
    }
    let run = paged(get, by_offset(), |_| list(&[1, 2]));
    assert!(run.message().ends_with("the source ignores `offset`"), "{}", run.message());
}

#[test]
fn pages_without_the_list_they_should_have() {
    let page = |body: Value| move |_: &Sent| Answer::json(body.clone());
    for (body, message) in [
        (json!({"data": []}), "there is no list at `/list`"),
        (json!([]), "there is no list at `/list`"),
        (json!({"list": {"a": 1}}), "what stands at `/list` is no list"),
        (json!({"list": "x"}), "what stands at `/list` is no list"),
    ] {
        assert!(paged(get, by_page(), page(body)).message().ends_with(message));
    }
    assert!(paged(get, by_page(), page(json!({"list": null}))).records().is_empty());
    assert!(paged(get, by_page().optional_records(), page(json!({"data": 1}))).records().is_empty());
}

#[test]
fn totals_that_are_none() {
    for (total, said) in [
        (json!(null), "null"),
        (json!("many"), "\"many\""),
        (json!(-1), "-1"),
        (json!([7]), "[7]"),
        (json!(2.5), "2.5"),
        (json!(1e300), "1e+300"),
    ] {
        let answer = move |_: &Sent| Answer::json(json!({"list": [1], "total": total}));
        let run = paged(get, by_page().total_records("/total"), answer);
        let want =
            format!("page 1: GET https://h/p: there should be a number at `/total`, but there is {said}");
        assert_eq!(run.message(), want);
    }
    let run = paged(get, by_page().total_pages("/pages"), |_| list(&[1]));
    assert!(run.message().ends_with("at `/pages`, but there is nothing"), "{}", run.message());
    // The largest there is ends by the empty page, not by counting.
    let huge = |sent: &Sent| Answer::json(json!({"list": numbers(sent, 4, 9), "total": i64::MAX}));
    let way = by_offset().size("size", 2).first(0).total_records("/total").ahead(2);
    assert_eq!(paged(get, way, huge).records().len(), 4);
    let run = paged(get, by_page().first(u64::MAX), |_| list(&[1]));
    assert_eq!((run.pages.len(), run.urls().len()), (1, 1));
}

#[test]
fn cursors_lead_on_until_there_is_none() {
    for end in [json!(null), json!(""), json!(false)] {
        let answer = move |sent: &Sent| match sent.query("after").as_deref() {
            None => Answer::json(json!({"list": [1], "paging": {"next": "a&b"}})),
            Some("a&b") => Answer::json(json!({"list": [], "paging": {"next": 12345678901234567890u64}})),
            Some("12345678901234567890") => Answer::json(json!({"list": [2], "paging": {"next": end}})),
            other => panic!("{other:?}"),
        };
        let run = paged(get, Cursor::new("after", "/paging/next"), answer);
        assert_eq!((run.records(), run.pages.len()), (vec![1, 2], 3));
    }
    let run = paged(get, Cursor::new("after", "/paging/next"), |_| list(&[7]));
    assert_eq!(run.records(), [7]);
}

#[test]
fn a_cursor_that_comes_back_is_an_error() {
    let same = |_: &Sent| Answer::json(json!({"list": [1], "next": "a"}));
    let run = paged(get, Cursor::new("c", "/next"), same);
    let message =
        "page 2: GET https://h/p: the next page is one that was there before: the source leads in a circle";
    assert_eq!((run.pages.len(), run.message()), (2, message));
    let circle = |sent: &Sent| {
        let next = match sent.query("c").as_deref() {
            None => "a",
            Some("a") => "b",
            Some("b") => "c",
            _ => "a",
        };
        Answer::json(json!({"list": [1], "next": next}))
    };
    let run = paged(get, Cursor::new("c", "/next"), circle);
    assert_eq!((run.pages.len(), run.error.unwrap().kind()), (4, ErrorKind::InvalidData));
}

#[test]
fn cursors_that_are_none() {
    for next in [json!(true), json!({"a": 1}), json!(["x"])] {
        let answer = move |_: &Sent| Answer::json(json!({"list": [1], "next": next}));
        let run = paged(get, Cursor::new("c", "/next"), answer);
        assert_eq!(run.pages.len(), 1);
        assert!(
            run.message().ends_with("what stands at `/next` does not lead to a page"),
            "{}",
            run.message()
        );
    }
}

#[test]
fn a_page_says_whether_there_are_more() {
    let way = || Cursor::new("c", "/next").more("/more");
    let run = paged(get, way(), |sent| {
        let first = sent.query("c").is_none();
        Answer::json(json!({"list": [1], "more": first, "next": "always"}))
    });
    assert_eq!(run.pages.len(), 2);
    for (body, message) in [
        (json!({"list": [1], "more": true}), "there are more pages, but no mark at `/next`"),
        (json!({"list": [1], "next": "a"}), "there is nothing at `/more`"),
        (json!({"list": [1], "more": "perhaps", "next": "a"}), "`/more` is neither true nor false"),
    ] {
        let run = paged(get, way(), move |_| Answer::json(body.clone()));
        assert!(run.message().ends_with(message), "{}", run.message());
    }
}

#[test]
fn parameters_in_the_body() {
    let request = |client: &Client| {
        client.post("https://h/search").idempotent().json(&json!({"query": "x", "page": {"size": 2}}))
    };
    let run = paged(request, Cursor::new("/page/token", "/next"), |sent| {
        let body: Value = serde_json::from_slice(sent.body()).unwrap();
        assert_eq!((&body["query"], &body["page"]["size"]), (&json!("x"), &json!(2)));
        match body["page"]["token"].as_str() {
            None => Answer::json(json!({"list": [1], "next": "t"})),
            Some("t") => list(&[2]),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(run.records(), [1, 2]);
    let run = paged(request, PageNumber::new("/page/number", "/list"), |sent| {
        let body: Value = serde_json::from_slice(sent.body()).unwrap();
        list(if body["page"]["number"] == 1 { &[1] } else { &[] })
    });
    assert_eq!(run.records(), [1]);
    let run = paged(get, PageNumber::new("/page", "/list"), |_| list(&[]));
    assert_eq!(run.error.unwrap().kind(), ErrorKind::Config);
    let run = paged(request, PageNumber::new("/query/x", "/list"), |_| list(&[]));
    assert!(run.message().ends_with("which has no object there"), "{}", run.message());
}

#[test]
fn urls_lead_on() {
    let answer = |sent: &Sent| match sent.url() {
        "https://h/p?token=t&x=1" => {
            Answer::json(json!({"list": [1], "paging": {"next": "https://h/p?after=2"}}))
        }
        "https://h/p?after=2&token=t" => {
            Answer::json(json!({"list": [2], "paging": {"next": "?after=3&token=old"}}))
        }
        "https://h/p?after=3&token=t" => Answer::json(json!({"list": [3], "paging": {}})),
        other => panic!("{other}"),
    };
    let request = |client: &Client| client.get("https://h/p?token=t&x=1").bearer("b");
    let run = paged(request, NextUrl::new("/paging/next").keep("token"), answer);
    assert_eq!(run.records(), [1, 2, 3]);
    assert!(run.fake.requests.iter().all(|sent| sent.header("authorization") == Some("Bearer b")));
}

#[test]
fn a_url_that_comes_back_is_an_error() {
    let first = |_: &Sent| Answer::json(json!({"list": [1], "next": "https://H:443/p#again"}));
    let run = paged(get, NextUrl::new("/next"), first);
    assert_eq!(run.pages.len(), 1);
    assert!(run.message().ends_with("the source leads in a circle"), "{}", run.message());
    let second = |_: &Sent| Answer::json(json!({"list": [1], "next": "/q"}));
    assert_eq!(paged(get, NextUrl::new("/next"), second).pages.len(), 2);
}

#[test]
fn another_origin_gets_no_credentials() {
    let answer = |sent: &Sent| match sent.url() {
        "https://h/p?key=k" => Answer::json(json!({"list": [1], "next": "https://elsewhere/p"})),
        "https://elsewhere/p" => Answer::json(json!({"list": [2], "next": "https://h/q"})),
        _ => list(&[3]),
    };
    let request = |client: &Client| {
        client
            .get("https://h/p")
            .query("key", "k")
            .bearer("b")
            .header("x-key", "k")
            .header("accept", "text/plain")
    };
    let run = paged(request, NextUrl::new("/next").keep("key"), answer);
    assert_eq!(run.records(), [1, 2, 3]);
    assert_eq!(run.urls(), ["https://h/p?key=k", "https://elsewhere/p", "https://h/q?key=k"]);
    let headers = |name| run.fake.requests.iter().map(move |sent| sent.header(name)).collect::<Vec<_>>();
    assert_eq!(headers("authorization"), [Some("Bearer b"), None, Some("Bearer b")]);
    assert_eq!(headers("x-key"), [Some("k"), None, Some("k")]);
    assert_eq!(headers("accept"), [Some("text/plain"); 3]);
}

#[test]
fn addresses_that_are_not_followed() {
    for (next, message) in [
        ("http://h/p", "the next page, http://h/p, is not encrypted"),
        ("https://user:secret@h/p", "a URL may not hold credentials"),
        ("ftp://h/p", "it does not start with `https://`"),
        ("https://", "its host is not a name"),
    ] {
        let run =
            paged(get, NextUrl::new("/next"), move |_| Answer::json(json!({"list": [1], "next": next})));
        assert_eq!((run.pages.len(), run.fake.requests.len()), (1, 1));
        let error = run.error.unwrap();
        assert!(error.message().contains(message), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
    let post = |client: &Client| client.post("https://h/p").json(&json!({"secret": 1}));
    let run =
        paged(post, NextUrl::new("/next"), |_| Answer::json(json!({"list": [1], "next": "https://other/"})));
    assert!(run.message().ends_with("is of another origin: nothing is sent there"), "{}", run.message());
    let denied = |sent: &Sent| match sent.url() {
        "https://h/p" => Answer::json(json!({"list": [1], "next": "https://other/"})),
        _ => Answer::denied(),
    };
    let run = paged(get, NextUrl::new("/next"), denied);
    assert_eq!((run.pages.len(), run.error.unwrap().kind()), (1, ErrorKind::Denied));
}

#[test]
fn the_link_header_leads_on() {
    let answer = |sent: &Sent| match sent.query("page").as_deref() {
        None => {
            list(&[1]).header("link", r#"<https://h/p?page=2>; rel="next", <https://h/p?page=3>; rel="last""#)
        }
        Some("2") => list(&[2]).header("Link", "</p?page=3>; rel=next"),
        _ => list(&[3]).header("Link", r#"<https://h/p?page=2>; rel="prev""#),
    };
    assert_eq!(paged(get, LinkHeader::new(), answer).records(), [1, 2, 3]);
    let circle = |_: &Sent| list(&[1]).header("link", "<https://h/p?page=2>; rel=next");
    assert_eq!(paged(get, LinkHeader::new(), circle).pages.len(), 2);
}

#[test]
fn one_page_is_a_listing_as_well() {
    let run = paged(get, Pagination::Single, |_| list(&[1, 2]));
    assert_eq!((run.records(), run.fake.requests.len()), (vec![1, 2], 1));
    let run = paged(get, Pagination::Single, |_| Answer::status(404));
    assert_eq!(run.message(), "GET https://h/p: status 404");
}

#[test]
fn an_error_names_its_page_and_ends_the_listing() {
    let answer = |sent: &Sent| match sent.query("page").as_deref() {
        Some("3") => Answer::json(json!({"message": "gone"})).with_status(410),
        _ => list(&numbers(sent, 20, 9)),
    };
    let run = paged(get, by_page(), answer);
    assert_eq!((run.pages.len(), run.message()), (2, "page 3: GET https://h/p: status 410: gone"));
    let run = paged(get, by_page(), |_| Answer::text("<html>"));
    assert!(
        run.message().contains("page 1: GET https://h/p: the answer is not what was expected"),
        "{}",
        run.message()
    );
    let run = paged(get, PageNumber::new("page", "list"), |_| list(&[]));
    assert_eq!((run.error.unwrap().kind(), run.fake.requests.len()), (ErrorKind::Config, 0));
}

#[test]
fn a_page_that_was_asked_for_ahead_is_tried_again_when_it_is_wanted() {
    let mut failed = false;
    let answer = move |sent: &Sent| {
        if sent.query("page").as_deref() == Some("2") && !std::mem::replace(&mut failed, true) {
            return Answer::status(503).header("retry-after", "7");
        }
        list(&numbers(sent, 5, 9))
    };
    let run = paged(get, by_page(), answer);
    assert_eq!(run.records(), [0, 1, 2, 3, 4]);
    assert_eq!((run.fake.requests.len(), run.fake.slept.as_secs()), (5, 7));
}

#[test]
fn a_page_that_breaks_off_is_asked_for_again() {
    let mut broken = 0;
    let answer = move |sent: &Sent| {
        broken += 1;
        let whole = list(&numbers(sent, 3, 9));
        if broken == 2 { whole.breaks_off() } else { whole }
    };
    let run = paged(get, by_page(), answer);
    assert_eq!((run.records(), run.fake.requests.len()), (vec![0, 1, 2], 4));
    let run = paged(get, by_page(), |_| list(&[1]).breaks_off());
    assert_eq!(run.message(), "page 1: GET https://h/p (tried 5 times): the answer broke off");
    // Cut where nobody noticed: the text is no JSON.
    let run = paged(get, Cursor::new("c", "/next"), |_| Answer::text(r#"{"list": [1, 2]"#));
    assert!(run.message().contains("the text ends too early at byte 15"), "{}", run.message());
}

#[test]
fn pages_ahead_keep_to_the_rate() {
    let answer = |sent: &Sent| Answer::json(json!({"list": numbers(sent, 20, 9), "pages": 10}));
    let request = |client: &Client| client.clone().rate_limit(RateLimit::per_second(2)).get("https://h/p");
    let run = paged(request, by_page().total_pages("/pages").ahead(3), answer);
    assert_eq!((run.records().len(), run.fake.requests.len()), (20, 10));
    // 2 at once, then 2 a second.
    assert_eq!(run.fake.slept, Duration::from_secs(4));
    // A page that is there is not held back for a minute.
    let request = |client: &Client| client.clone().rate_limit(RateLimit::per_minute(1)).get("https://h/p");
    let slept = Rc::new(RefCell::new(Vec::new()));
    let fake = Fake { handler: Some(Handler(Box::new(answer))), ..Fake::default() };
    let before = native::replace(fake);
    for page in request(&Client::new()).pages(by_page()).take(2) {
        page.unwrap();
        slept.borrow_mut().push(crate::host::elapsed().as_secs());
    }
    native::replace(before);
    assert_eq!(*slept.borrow(), [0, 60]);
}
