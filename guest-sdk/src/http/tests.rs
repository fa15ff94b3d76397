//! The client against answers of a test host.

use super::*;
use crate::ErrorKind;
use crate::host::native::{self, Fake};
use crate::testing::{Handler, Request as Sent, Response as Answer};

/// Does some work while requests are answered; answers what it came to and what
/// was sent.
fn answered<T>(
    mut answer: impl FnMut(usize, &Sent) -> Answer + 'static,
    work: impl FnOnce(Client) -> T,
) -> (T, Fake) {
    let mut count = 0;
    let handler = move |request: &Sent| {
        count += 1;
        answer(count, request)
    };
    let fake = Fake { handler: Some(Handler(Box::new(handler))), ..Fake::default() };
    let before = native::replace(fake);
    let result = work(Client::new());
    (result, native::replace(before))
}

#[test]
fn tries_again_until_it_works() {
    let answer = |count, _: &Sent| match count {
        1 => Answer::refused(),
        2 => Answer::status(503).header("Retry-After", "7"),
        3 => Answer::status(429),
        _ => Answer::text("ok"),
    };
    let (result, fake) = answered(answer, |http| http.get("https://h/").send()?.text());
    assert_eq!(result.unwrap(), "ok");
    assert_eq!(fake.requests.len(), 4);
    assert!(fake.slept >= Duration::from_secs(7) && fake.slept < Duration::from_secs(10), "{:?}", fake.slept);
}

#[test]
fn gives_up_in_the_end_and_says_why() {
    let (result, fake) = answered(|_, _| Answer::refused(), |http| http.get("https://h/p?key=secret").send());
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.message(), "GET https://h/p (tried 5 times): it refused the connection");
    assert_eq!(fake.requests.len(), 5);
}

#[test]
fn a_long_retry_after_ends_the_request() {
    let answer =
        |_, _: &Sent| Answer::status(429).header("retry-after", "3600").body(r#"{"message": "slow\n down"}"#);
    let (result, fake) = answered(answer, |http| http.get("https://h/p").send());
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.wait()), (ErrorKind::RateLimited, Some(Duration::from_secs(3600))));
    assert_eq!(error.message(), "GET https://h/p: status 429: slow down");
    assert_eq!((fake.requests.len(), fake.slept), (1, Duration::ZERO));
}

#[test]
fn posts_are_repeated_only_when_the_author_says_so() {
    let (_, fake) = answered(|_, _| Answer::status(500), |http| http.post("https://h/").send());
    assert_eq!(fake.requests.len(), 1);
    let (_, fake) = answered(|_, _| Answer::status(500), |http| http.post("https://h/").idempotent().send());
    assert_eq!(fake.requests.len(), 5);
}

#[test]
fn denied_requests_are_not_repeated() {
    let (result, fake) = answered(|_, _| Answer::denied(), |http| http.get("https://h/").send());
    assert_eq!((result.unwrap_err().kind(), fake.requests.len()), (ErrorKind::Denied, 1));
}

#[test]
fn waiting_ends_when_the_run_is_cancelled() {
    let answer = |_, _: &Sent| {
        native::commit().unwrap();
        Answer::status(503).header("retry-after", "100")
    };
    let fake = Fake {
        handler: Some(Handler(Box::new(move |request| answer(1, request)))),
        cancel_after_commits: Some(1),
        ..Fake::default()
    };
    let before = native::replace(fake);
    let result = Client::new().get("https://h/").send();
    let fake = native::replace(before);
    assert_eq!((result.unwrap_err().kind(), fake.slept), (ErrorKind::Cancelled, Duration::ZERO));
}

#[test]
fn statuses_have_kinds() {
    for (status, kind) in [
        (401, ErrorKind::Auth),
        (403, ErrorKind::Auth),
        (404, ErrorKind::InvalidData),
        (301, ErrorKind::InvalidData),
        (429, ErrorKind::RateLimited),
        (501, ErrorKind::Unavailable),
        (503, ErrorKind::Unavailable),
    ] {
        let work = |http: Client| http.retry(Retry::never()).get("https://h/").send();
        let (result, _) = answered(move |_, _| Answer::status(status), work);
        assert_eq!(result.unwrap_err().kind(), kind, "{status}");
    }
    let (result, _) = answered(|_, _| Answer::status(404), |http| http.get("https://h/").any_status().send());
    assert_eq!(result.unwrap().status(), 404);
}

#[test]
fn redirects_keep_credentials_at_home() {
    let answer = |count, _: &Sent| match count {
        1 => Answer::status(302).header("Location", "/there"),
        2 => Answer::status(307).header("Location", "https://other/?x=1"),
        _ => Answer::text("ok"),
    };
    let work = |http: Client| http.get("https://h/here").bearer("t").header("accept", "text/plain").send();
    let (result, fake) = answered(answer, work);
    result.unwrap();
    let urls: Vec<&str> = fake.requests.iter().map(Sent::url).collect();
    assert_eq!(urls, ["https://h/here", "https://h/there", "https://other/?x=1"]);
    let credentials: Vec<_> = fake.requests.iter().map(|request| request.header("Authorization")).collect();
    assert_eq!(credentials, [Some("Bearer t"), Some("Bearer t"), None]);
    assert_eq!(fake.requests[2].header("accept"), Some("text/plain"));
}

#[test]
fn redirects_end() {
    let forever = |_, _: &Sent| Answer::status(302).header("location", "/");
    let (result, fake) = answered(forever, |http| http.get("https://h/").send());
    assert_eq!(result.unwrap_err().message(), "GET https://h/: it redirects more than 10 times");
    assert_eq!(fake.requests.len(), 11);
    let downgrade = |_, _: &Sent| Answer::status(302).header("location", "http://h/");
    let (result, _) = answered(downgrade, |http| http.get("https://h/").send());
    assert!(result.unwrap_err().message().contains("not encrypted"));
    let (result, fake) = answered(forever, |http| http.post("https://h/").any_status().send());
    assert_eq!((result.unwrap().status(), fake.requests.len()), (302, 1));
}

#[test]
fn bodies_and_credentials() {
    let work = |http: Client| {
        http.post("https://h/").json(&serde_json::json!({"a": 1})).send().unwrap();
        http.post("https://h/").form(&[("a b", "c&d"), ("e", "")]).basic("user", "pass").send().unwrap();
    };
    let ((), fake) = answered(|_, _| Answer::status(204), work);
    assert_eq!(fake.requests[0].body(), br#"{"a":1}"#);
    assert_eq!(fake.requests[0].header("content-type"), Some("application/json"));
    assert_eq!(fake.requests[1].body(), b"a%20b=c%26d&e=");
    assert_eq!(fake.requests[1].header("authorization"), Some("Basic dXNlcjpwYXNz"));
}

#[test]
fn answers_are_read_in_many_ways() {
    let (result, _) = answered(
        |_, _| Answer::text("a\nb\n"),
        |http| http.get("https://h/").send()?.lines().collect::<Result<Vec<_>>>(),
    );
    assert_eq!(result.unwrap(), ["a", "b"]);
    let (result, _) = answered(|_, _| Answer::text("12345"), |http| http.get("https://h/").send()?.bytes(4));
    assert_eq!(result.unwrap_err().kind(), ErrorKind::LimitExceeded);
    let (result, _) =
        answered(|_, _| Answer::text("<html> no"), |http| http.get("https://h/").send()?.json::<Vec<u8>>());
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.message().ends_with("expected value at line 1 column 1; it starts <html> no"), "{error}");
}

#[test]
fn a_malformed_url_is_a_configuration_error() {
    let error = Client::new().get("openholidays").query("a", 1).send().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

/// An API that answers 200 to everything.
#[derive(serde::Deserialize)]
struct Envelope<'a> {
    code: u32,
    #[serde(borrow)]
    message: std::borrow::Cow<'a, str>,
}

fn judged(client: Client) -> Client {
    client.judge(|answer| match answer.json() {
        Ok(Envelope { code: 0, .. }) => Verdict::Accept,
        Ok(Envelope { code: 1, message }) => Verdict::Retry(Error::rate_limited(message)),
        Ok(Envelope { code: 2, message }) => {
            Verdict::Retry(Error::unavailable(message).retry_after(Duration::from_secs(9)))
        }
        Ok(Envelope { code: 3, .. }) => Verdict::Fail(Error::auth(answer.message()).parameter("Token")),
        Ok(Envelope { message, .. }) => Verdict::Fail(Error::invalid_data(message)),
        Err(_) => answer.by_status(),
    })
}

fn coded(code: u32) -> Answer {
    Answer::json(serde_json::json!({"code": code, "message": format!("it is {code}\n")}))
}

#[test]
fn an_api_says_in_its_own_words_what_went_wrong() {
    let answer = |count, _: &Sent| match count {
        1 => coded(1).header("retry-after", "5"),
        2 => coded(2),
        3 => coded(1).breaks_off(),
        4 => Answer::status(502).body("<html>"),
        _ => coded(0),
    };
    let (result, fake) = answered(answer, |http| judged(http).get("https://h/").send()?.text());
    assert!(result.unwrap().contains("it is 0"));
    assert_eq!(fake.requests.len(), 5);
    assert!(
        fake.slept >= Duration::from_secs(14) && fake.slept < Duration::from_secs(21),
        "{:?}",
        fake.slept
    );

    for (code, kind, message, requests) in [
        (1, ErrorKind::RateLimited, "GET https://h/p: it is 1\n", 5),
        (3, ErrorKind::Auth, "GET https://h/p: it is 3", 1),
        (7, ErrorKind::InvalidData, "GET https://h/p: it is 7\n", 1),
    ] {
        let work = |http: Client| judged(http).get("https://h/p").fetch();
        let (result, fake) = answered(move |_, _| coded(code), work);
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.message(), fake.requests.len()), (kind, message, requests));
        assert_eq!(error.parameter_name(), (code == 3).then_some("Token"));
    }
}

#[test]
fn what_no_judge_sees() {
    let work = |http: Client| judged(http).get("https://h/").any_status().send()?.text();
    let (result, _) = answered(|_, _| coded(3), work);
    assert!(result.unwrap().contains("it is 3"));
    let (result, fake) = answered(|_, _| coded(1), |http| judged(http).post("https://h/").send());
    assert_eq!((result.unwrap_err().kind(), fake.requests.len()), (ErrorKind::RateLimited, 1));
}

#[test]
fn requests_of_all_clones_keep_to_the_rate() {
    let work = |http: Client| {
        let http = http.rate_limit(RateLimit::new(3, Duration::from_secs(10)));
        let other = http.clone().header("x", 1);
        let mut times = Vec::new();
        for client in [&http, &other, &http, &other, &http, &http, &other] {
            client.get("https://h/").send().unwrap();
            times.push(crate::host::elapsed().as_secs());
        }
        times
    };
    let (times, _) = answered(|_, _| Answer::status(204), work);
    assert_eq!(times, [0, 0, 0, 10, 10, 10, 20]);
    // Redirects and tries count.
    let answer = |count, _: &Sent| match count {
        1 => Answer::status(302).header("location", "/b"),
        2 => Answer::status(503).header("retry-after", "1"),
        _ => Answer::text("ok"),
    };
    let work = |http: Client| http.rate_limit(RateLimit::per_minute(1)).get("https://h/a").send();
    let (result, fake) = answered(answer, work);
    result.unwrap();
    assert_eq!((fake.requests.len(), fake.slept), (3, Duration::from_secs(120)));
}

#[test]
fn waiting_for_ones_turn_ends_when_the_run_is_cancelled() {
    let answer = |_, _: &Sent| {
        native::commit().unwrap();
        Answer::status(204)
    };
    let fake = Fake {
        handler: Some(Handler(Box::new(move |request| answer(1, request)))),
        cancel_after_commits: Some(1),
        ..Fake::default()
    };
    let before = native::replace(fake);
    let http = Client::new().rate_limit(RateLimit::per_minute(1));
    http.get("https://h/").send().unwrap();
    let error = http.get("https://h/").send().unwrap_err();
    let fake = native::replace(before);
    assert_eq!((error.kind(), fake.slept, fake.requests.len()), (ErrorKind::Cancelled, Duration::ZERO, 1));
}

#[test]
fn a_fetched_answer_that_breaks_off_is_asked_for_again() {
    let answer = |count, _: &Sent| {
        let whole = Answer::text(r#"{"a": [1, 2]}"#);
        if count < 3 { whole.breaks_off() } else { whole }
    };
    let (result, fake) = answered(answer, |http| http.get("https://h/").fetch());
    assert_eq!(result.unwrap().bytes(), br#"{"a": [1, 2]}"#);
    assert_eq!(fake.requests.len(), 3);
    let (result, fake) =
        answered(|_, _| Answer::text("x").breaks_off(), |http| http.post("https://h/").fetch());
    assert_eq!(result.unwrap_err().message(), "POST https://h/: the answer broke off");
    assert_eq!(fake.requests.len(), 1);
    let (result, _) =
        answered(|_, _| Answer::text("12345"), |http| http.body_limit(4).get("https://h/").fetch());
    assert_eq!(result.unwrap_err().message(), "GET https://h/: the answer has more than 4 bytes");
    let (result, _) =
        answered(|_, _| Answer::status(404).body("none"), |http| http.get("https://h/").fetch());
    assert_eq!(result.unwrap_err().message(), "GET https://h/: status 404: none");
}

/// What some work with the page of a body comes to.
fn on_page<T>(body: impl Into<Vec<u8>>, work: impl FnOnce(&Page) -> Result<T>) -> Result<T> {
    let body = body.into();
    let (page, _) = answered(move |_, _| Answer::text(body.clone()), |http| http.get("https://h/p").fetch());
    work(&page.unwrap())
}

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Item<'a> {
    id: u32,
    #[serde(borrow, default)]
    name: std::borrow::Cow<'a, str>,
}

#[test]
fn records_are_borrowed_from_their_page() {
    let body = "\u{feff}{\"data\": {\"list\" : [ {\"id\": 1, \"name\": \"a\\nb\", \"x\": [{}]} ,{\"id\":2}, {\"name\":\"c\",\"id\":3} ] } }";
    on_page(body, |page| {
        let items = page.records::<Item<'_>>("/data/list")?.collect::<Result<Vec<_>>>()?;
        assert_eq!(items.iter().map(|item| item.id).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(items[0].name, "a\nb");
        assert!(matches!(items[2].name, std::borrow::Cow::Borrowed("c")));
        let raw = page.records::<&serde_json::value::RawValue>("/data/list")?;
        let raw: Vec<&str> =
            raw.map(|raw| raw.map(serde_json::value::RawValue::get)).collect::<Result<_>>()?;
        assert_eq!(raw[1..], [r#"{"id":2}"#, r#"{"name":"c","id":3}"#]);
        assert_eq!(page.value_at::<u32>("/data/list/2/id")?, Some(3));
        assert_eq!(page.value_at::<u32>("/data/none")?, None);
        assert_eq!(page.value::<serde_json::Value>()?["data"]["list"][0]["id"], 1);
        Ok(())
    })
    .unwrap();
    let numbers =
        |body: &str| on_page(body, |page| page.records::<i64>("")?.collect::<Result<Vec<_>>>()).unwrap();
    assert_eq!(numbers("[1, 2,3\n]"), [1, 2, 3]);
    assert_eq!(numbers(" [ ] "), [0; 0]);
    assert_eq!(numbers("null"), [0; 0]);
}

#[test]
fn records_that_are_not_there_or_no_list() {
    let error = |body: &str| {
        let work = |page: &Page| page.records::<i64>("/a/b").map(Iterator::count);
        on_page(body, work).unwrap_err().to_string()
    };
    let prefix = "GET https://h/p: the answer is not what was expected: ";
    assert_eq!(
        error(r#"{"a": {}}"#),
        format!(r#"{prefix}there is no list at `/a/b`; it starts {{"a": {{}}}}"#)
    );
    assert!(error(r#"{"a": {"b": 7}}"#).contains("what stands at `/a/b` is no list"));
    assert!(error("[1").contains("the text ends too early at byte 2"));
    assert!(error("").contains("the text ends too early at byte 0"));
    let none = on_page("{}", |page| Ok(page.optional_records::<i64>("/a")?.count())).unwrap();
    assert_eq!(none, 0);
    let error = on_page([0x80, 0x81], |page| page.records::<i64>("").map(drop)).unwrap_err();
    assert_eq!(error.message(), "GET https://h/p: the answer is not UTF-8");
    assert_eq!(on_page([0x80, 0x81], |page| Ok(page.bytes().to_vec())).unwrap(), [0x80, 0x81]);
}

#[test]
fn a_record_that_does_not_fit_is_named_and_the_last() {
    let body = r#"{"list": [{"id": 1}, {"id": "two"}, {"id": 3}]}"#;
    let results = on_page(body, |page| {
        Ok(page.records::<Item<'_>>("/list")?.map(|r| r.map(|i| i.id)).collect::<Vec<_>>())
    });
    let results = results.unwrap();
    assert_eq!((results.len(), results[0].as_ref().unwrap()), (2, &1));
    let error = results[1].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(
        error
            .message()
            .starts_with("GET https://h/p: record 2 of `/list`: invalid type: string \"two\", expected u32"),
        "{error}"
    );
    // A list that is cut never ends well.
    for body in ["[1, 2", "[1, 2,", "[1 2]", "[", "[1, 2}", "[1, ]"] {
        let results = on_page(body, |page| Ok(page.records::<i64>("")?.collect::<Vec<_>>())).unwrap();
        assert!(results.last().unwrap().is_err(), "{body}");
    }
    let deep = format!("[{}{}]", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let results =
        on_page(deep, |page| Ok(page.records::<serde_json::Value>("")?.collect::<Vec<_>>())).unwrap();
    assert!(results[0].as_ref().unwrap_err().message().contains("recursion limit"));
}

#[test]
fn a_judge_looks_at_places() {
    let look = |body: &str| {
        let answer = crate::http::Answer { status: 200, headers: &[], body: body.as_bytes() };
        answer.value_at::<u32>("/error/code")
    };
    assert_eq!(look(r#"{"x": [1], "error": {"code": 7}, cut"#), Some(7));
    assert_eq!(look("\u{feff}{\"error\": {\"code\": 7}}"), Some(7));
    for body in
        [r#"{"error": {"code": null}}"#, r#"{"error": {"code": "7"}}"#, r#"{"error": 7}"#, "{}", "", "<html>"]
    {
        assert_eq!(look(body), None, "{body}");
    }
}

/// A client whose tokens are numbered.
fn with_token(http: &Client, lifetime: Option<Duration>) -> Client {
    let count = std::cell::Cell::new(0);
    http.clone().token(move || {
        count.set(count.get() + 1);
        let token = Token::bearer(count.get());
        Ok(match lifetime {
            Some(lifetime) => token.lifetime(lifetime),
            None => token,
        })
    })
}

fn tokens(fake: &Fake) -> Vec<&str> {
    fake.requests.iter().map(|request| request.header("authorization").unwrap_or("-")).collect()
}

#[test]
fn a_token_is_renewed_when_it_is_refused_but_once_a_request() {
    let answer = |count, _: &Sent| if count == 2 { Answer::status(401) } else { Answer::text("ok") };
    let (result, fake) = answered(answer, |http| {
        let http = with_token(&http, None);
        http.get("https://h/1").header("Authorization", "mine").send()?;
        http.get("https://h/2").send()?;
        http.get("https://h/3").send()
    });
    result.unwrap();
    assert_eq!(tokens(&fake), ["Bearer 1", "Bearer 1", "Bearer 2", "Bearer 2"]);
    let (result, fake) =
        answered(|_, _| Answer::status(401), |http| with_token(&http, None).get("https://h/").send());
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Auth);
    assert_eq!(tokens(&fake), ["Bearer 1", "Bearer 2"]);
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    let (result, fake) = answered(
        |_, _| Answer::text("ok"),
        |http| {
            let http = with_token(&http, Some(Duration::from_secs(100)))
                .rate_limit(RateLimit::new(1, Duration::from_secs(30)));
            (0..5).try_for_each(|_| http.get("https://h/").send().map(drop))
        },
    );
    result.unwrap();
    assert_eq!(tokens(&fake), ["Bearer 1", "Bearer 1", "Bearer 2", "Bearer 2", "Bearer 3"]);
}

#[test]
fn a_token_stays_with_its_origin() {
    let answer = |count, _: &Sent| match count {
        1 => Answer::status(302).header("location", "https://other/"),
        _ => Answer::status(401),
    };
    let (result, fake) = answered(answer, |http| with_token(&http, None).get("https://h/").send());
    assert!(result.is_err());
    assert_eq!(tokens(&fake), ["Bearer 1", "-"], "what the other one says of it is no matter");
}

#[test]
fn places_of_records_are_picked() {
    let body = r#"{"n": {"x": 0}, "list": [{"a": 1, "n": {"x": "é"}}, {"b": [2]}, {"a": null}]}"#;
    let picked = |body: &'static str, pointer: &'static str| {
        let work = |http: Client| {
            let mut picked = Vec::new();
            let page = http.get("https://h/").fetch()?;
            page.pick(pointer, &["/a", "/n/x"], |values| {
                picked.push(values.iter().map(|value| value.unwrap_or("-")).collect::<Vec<_>>().join(" "));
                Ok(())
            })?;
            Ok::<_, Error>(picked)
        };
        answered(move |_, _| Answer::text(body), work).0
    };
    assert_eq!(picked(body, "/list").unwrap(), ["1 \"é\"", "- -", "null -"]);
    assert!(picked(body, "/none").unwrap_err().message().contains("there is no list at `/none`"));
    let cut = picked(r#"{"list": [{"a": 1}, {"a""#, "/list").unwrap_err();
    assert!(cut.message().contains("record 2 of `/list`: expected `:`"), "{cut}");
}
