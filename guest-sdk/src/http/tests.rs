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
