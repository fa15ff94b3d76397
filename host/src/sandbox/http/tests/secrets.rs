//! Secrets at the gate: into requests, as far as they may go there, and out of
//! answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;

const VALUE: &str = "s3cr\"t/value & more";

/// Requests of one run.
struct Run {
    gate: HttpGate,
    observed: Arc<Observed>,
}

impl Run {
    fn of(setup: Setup) -> Self {
        let (gate, observed) = setup.gate();
        Self { gate, observed }
    }

    /// With one secret, `Key`, and its placeholder.
    fn to(server: &Server) -> (Self, String) {
        let mut setup = Setup::to(server);
        let key = setup.secrets.add("Key", VALUE);
        (Self::of(setup), key)
    }

    async fn post(&self, url: &str, content_type: &'static str, text: &str) -> Response<WasiBody> {
        send(&self.gate, post(url, content_type, text)).await.unwrap()
    }

    /// Posts a form and reads the answer as JSON.
    async fn login(&self, url: &str, form: &str) -> Value {
        let answer = self.post(url, FORM, form).await;
        assert!(!answer.headers().contains_key("content-length"));
        serde_json::from_slice(&read(answer).await.unwrap()).unwrap()
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn post(url: &str, content_type: &'static str, text: &str) -> Request<WasiBody> {
    let mut request = Request::post(url).body(body(text.to_owned())).unwrap();
    request.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
    request
}

fn with_header(url: &str, name: &'static str, value: &str) -> Request<WasiBody> {
    let mut request = get(url);
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

/// The body of a request, chunks joined.
fn sent(request: &str) -> String {
    let (head, mut rest) = request.split_once("\r\n\r\n").unwrap();
    if !head.contains("transfer-encoding: chunked") {
        return rest.to_owned();
    }
    let mut joined = Vec::new();
    loop {
        let (size, more) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return String::from_utf8(joined).unwrap();
        }
        joined.extend_from_slice(&more.as_bytes()[..size]);
        rest = &more[size + 2..];
    }
}

// --- Into requests ----------------------------------------------------------

#[tokio::test]
async fn bodies_of_any_size_get_secrets_in_their_encoding() {
    let server = Server::saying(OK).await;
    let (run, key) = Run::to(&server);
    let types = [
        ("application/json", r#"s3cr\"t/value & more"#),
        (FORM, "s3cr%22t%2Fvalue%20%26%20more"),
        ("application/xml", "s3cr&quot;t/value &amp; more"),
        ("text/plain", VALUE),
        ("multipart/form-data; boundary=b", VALUE),
    ];
    for (content_type, value) in types {
        for filler in [10, 1024 * 1024] {
            for declared in [true, false] {
                let filler = "x".repeat(filler);
                let mut request = post(&server.url("/"), content_type, &format!("<{key}{filler}{key}>"));
                let size = filler.len() + 2 * key.len() + 2;
                if declared {
                    request.headers_mut().insert("content-length", size.to_string().parse().unwrap());
                }
                read(send(&run.gate, request).await.unwrap()).await.unwrap();
                let seen = server.last();
                assert!(sent(&seen) == format!("<{value}{filler}{value}>"), "{content_type} {size}");
                // What is sent as a whole has its own length, the rest none.
                assert_eq!(seen.contains("content-length: "), filler.len() == 10, "{content_type}");
            }
        }
    }
    assert!(run.observed.failed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_placeholder_may_come_in_pieces() {
    let server = Server::saying(OK).await;
    let (run, key) = Run::to(&server);
    for start in [String::new(), "y".repeat(1024 * 1024)] {
        let text = format!("{start}a{key}b");
        let (head, tail) = text.split_at(text.len() - 20);
        let pieces = [head.to_owned(), tail[..5].to_owned(), tail[5..].to_owned()];
        let pieces = pieces.map(|piece| Ok::<_, Code>(http_body::Frame::data(Bytes::from(piece))));
        let body = StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync();
        let mut request = Request::post(server.url("/")).body(body).unwrap();
        request.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
        read(send(&run.gate, request).await.unwrap()).await.unwrap();
        assert!(sent(&server.last()) == format!("{start}a{VALUE}b"));
    }
}

#[tokio::test]
async fn bodies_of_other_types_pass_unchanged() {
    let server = Server::saying(OK).await;
    let (run, key) = Run::to(&server);
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("content-type", "application/zip"),
        ("content-encoding", "gzip"),
    ] {
        let mut request = Request::post(server.url("/")).body(body(key.clone())).unwrap();
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        request.headers_mut().insert("content-length", HeaderValue::from_static("40"));
        read(send(&run.gate, request).await.unwrap()).await.unwrap();
        assert!(server.last().contains("content-length: 40\r\n"));
        assert_eq!(sent(&server.last()), key);
    }
}

#[tokio::test]
async fn header_names_hosts_and_other_spellings_of_a_placeholder_get_nothing() {
    let server = Server::saying(OK).await;
    let (run, key) = Run::to(&server);
    let mut request = get(&server.url(&format!("/{}?k={}", key.to_lowercase(), key.replace('O', "%4F"))));
    request
        .headers_mut()
        .insert(key.to_lowercase().parse::<http::HeaderName>().unwrap(), "x".parse().unwrap());
    request.headers_mut().insert("x-base64", STANDARD.encode(&key).parse().unwrap());
    read(send(&run.gate, request).await.unwrap()).await.unwrap();
    assert!(!server.last().contains("s3cr"), "{}", server.last());
}

// --- Where they may not go --------------------------------------------------

#[tokio::test]
async fn a_bound_secret_reaches_no_other_granted_origin() {
    let (bound, other) = (Server::saying(OK).await, Server::saying(OK).await);
    let mut setup = Setup::granting(&[&bound.address.to_string(), &other.address.to_string()]);
    let (key, free) = (setup.secrets.add("Key", VALUE), setup.secrets.add("Free", "free-value"));
    let run = Run::of(setup.bound(&[("Key", &bound.address.to_string())]));
    let basic = format!("Basic {}", STANDARD.encode(format!("me:{key}")));
    let large = format!("{}{key}", "x".repeat(2 * 1024 * 1024));
    let attempts = |server: &Server| {
        [
            get(&server.url(&format!("/?k={key}"))),
            get(&server.url(&format!("/{key}"))),
            with_header(&server.url("/"), "x-key", &key),
            with_header(&server.url("/"), "authorization", &basic),
            post(&server.url("/"), "application/json", &format!("[\"{key}\"]")),
            post(&server.url("/"), "multipart/form-data; boundary=b", &key),
            post(&server.url("/"), "application/json", &large),
        ]
    };
    let denials = |run: &Run| run.observed.denied.lock().unwrap().len();
    for (count, request) in attempts(&other).into_iter().enumerate() {
        let code = send(&run.gate, request).await.unwrap_err();
        assert!(matches!(code, Code::HttpRequestDenied), "{code:?}");
        assert_eq!(denials(&run), count + 1);
        let denied = run.observed.denial();
        assert_eq!(denied.reason, "the secret 'Key' may go to other origins only");
        assert_eq!(denied.grant, Some(format!("--secret-origin Key=http://{}", other.address)));
        assert!(denied.attempt.ends_with(&format!(" http://{}", other.address)), "{}", denied.attempt);
    }
    assert!(run.observed.failed.lock().unwrap().is_empty());
    for request in attempts(&bound) {
        read(send(&run.gate, request).await.unwrap()).await.unwrap();
    }
    read(send(&run.gate, with_header(&other.url("/"), "x-key", &free)).await.unwrap()).await.unwrap();
    assert!(other.seen.lock().unwrap().iter().all(|seen| !seen.contains("s3cr")));
    assert!(other.last().contains("x-key: free-value\r\n"));
    assert_eq!(bound.requests(), 7);
}

#[tokio::test]
async fn a_secret_goes_unencrypted_to_this_machine_only_or_where_the_operator_says() {
    let proxy = Server::saying(OK).await;
    let setup = || {
        let mut setup = Setup::granting(&["http://api.example.com"]);
        setup.proxies = Matcher::builder().http(format!("http://{}", proxy.address)).build();
        let key = setup.secrets.add("Key", "hunter2hunter2");
        (setup, key)
    };
    let (free, key) = setup();
    let run = Run::of(free);
    let code = error(&run.gate, &format!("http://api.example.com/?k={key}")).await;
    assert!(matches!(code, Code::HttpRequestDenied), "{code:?}");
    let denied = run.observed.denial();
    assert_eq!(denied.reason, "the secret 'Key' would go out unencrypted");
    assert_eq!(denied.grant.as_deref(), Some("--secret-origin Key=http://api.example.com"));
    assert_eq!(proxy.requests(), 0);
    // Without a secret it is a request like others, and with that flag it is sent.
    assert_eq!(text(&run.gate, "http://api.example.com/").await, "ok");
    let (bound, key) = setup();
    let run = Run::of(bound.bound(&[("Key", "http://api.example.com")]));
    assert_eq!(text(&run.gate, &format!("http://api.example.com/?k={key}")).await, "ok");
    assert!(proxy.last().contains("?k=hunter2hunter2 "), "{}", proxy.last());
}

// --- Tokens -----------------------------------------------------------------

const TOKEN: &str = "ya29.t0ken/with+signs";

/// A server that gives this answer to each `POST`, and says `ok` otherwise.
async fn granting(answer: Vec<u8>) -> Server {
    let answer: Arc<[u8]> = answer.into();
    Server::start(move |request, mut stream| {
        let answer = Arc::clone(&answer);
        async move {
            let is_login = request.starts_with("POST");
            stream.write_all(if is_login { &answer } else { OK.as_bytes() }).await?;
            Ok(Some(stream))
        }
    })
    .await
}

fn token_answer() -> String {
    json!({"access_token": TOKEN, "expires_in": 3599, "refresh_token": "r3fresh-r3fresh"}).to_string()
}

const JSON: &str = "content-type: application/json\r\n";

#[tokio::test]
async fn a_token_stays_outside_and_works_like_a_secret() {
    let plain = answer(JSON, token_answer().as_bytes());
    let gzip = answer(&format!("{JSON}content-encoding: gzip\r\n"), &gzip(token_answer().as_bytes()));
    let escaped = answer(JSON, token_answer().replace('/', "\\/").replace('k', "\\u006b").as_bytes());
    for given in [plain, gzip, escaped] {
        let server = granting(given).await;
        let (run, key) = Run::to(&server);
        let grant = run.login(&server.url("/token"), &format!("grant_type=refresh_token&k={key}")).await;
        assert_eq!(grant["expires_in"], 3599);
        let (token, refresh) =
            (grant["access_token"].as_str().unwrap(), grant["refresh_token"].as_str().unwrap());
        assert!(token.starts_with("OWSECRET") && refresh.starts_with("OWSECRET"), "{grant}");
        let request =
            with_header(&server.url(&format!("/?t={token}")), "authorization", &format!("Bearer {token}"));
        read(send(&run.gate, request).await.unwrap()).await.unwrap();
        assert!(server.last().starts_with("GET /?t=ya29.t0ken%2Fwith%2Bsigns HTTP/1.1"), "{}", server.last());
        assert!(server.last().contains(&format!("authorization: Bearer {TOKEN}\r\n")));
        let again = run.login(&server.url("/token"), &format!("grant_type=refresh_token&r={refresh}")).await;
        assert!(server.last().ends_with("&r=r3fresh-r3fresh"), "{}", server.last());
        // The same token has the same placeholder.
        assert_eq!(again, grant);
    }
}

#[tokio::test]
async fn a_guest_cannot_make_a_token_unreadable() {
    let server = granting(answer(JSON, token_answer().as_bytes())).await;
    let (run, _) = Run::to(&server);
    for (name, value) in [("accept-encoding", "br"), ("range", "bytes=20-30")] {
        let mut request = post(&server.url("/token"), FORM, "grant%5ftype=client_credentials");
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        let answer = read(send(&run.gate, request).await.unwrap()).await.unwrap();
        assert!(!String::from_utf8_lossy(&answer).contains("ya29"));
        assert!(!server.last().contains("br\r\n") && !server.last().contains("range"), "{}", server.last());
    }
    // In the query, in JSON and in a form of several parts it is one as well.
    let query = get(&server.url("/token?grant_type=x"));
    let query = Request::post(query.uri()).body(body("")).unwrap();
    let requests = [
        query,
        post(&server.url("/token"), "application/json", r#"{"grant_type": "password"}"#),
        post(&server.url("/token"), "multipart/form-data; boundary=b", "name=\"grant_type\"\r\n\r\nx"),
    ];
    for request in requests {
        let answer = read(send(&run.gate, request).await.unwrap()).await.unwrap();
        assert!(!String::from_utf8_lossy(&answer).contains("ya29"));
    }
}

#[tokio::test]
async fn answers_from_which_no_token_can_be_taken_are_refused() {
    let large = format!("{{\"x\": \"{}\", \"access_token\": \"{TOKEN}\"}}", "x".repeat(1024 * 1024));
    for (given, says) in [
        (
            answer(&format!("{JSON}content-encoding: br\r\n"), b"?"),
            "compressed in a way that the gate does not read",
        ),
        (answer(JSON, large.as_bytes()), "is larger than 1 MiB"),
        (answer(JSON, br#"{"access_token": "x","#), "neither JSON nor a form"),
    ] {
        let server = granting(given).await;
        let (run, _) = Run::to(&server);
        let request = post(&server.url("/token"), FORM, "grant_type=client_credentials");
        send(&run.gate, request).await.unwrap_err();
        assert!(run.observed.failure().contains(says), "{}", run.observed.failure());
    }
}

#[tokio::test]
async fn a_login_of_another_kind_is_one_if_it_carries_a_secret() {
    let given = json!({"code": 0, "data": {"access_token": TOKEN, "advertiser_ids": ["1"]}}).to_string();
    let server = granting(answer(JSON, given.as_bytes())).await;
    let (run, key) = Run::to(&server);
    let login = async |text: &str| {
        let answer = run.post(&server.url("/oauth2/access_token/"), "application/json", text).await;
        String::from_utf8(read(answer).await.unwrap().to_vec()).unwrap()
    };
    let shown = login(&format!("{{\"secret\": \"{key}\"}}")).await;
    assert!(!shown.contains(TOKEN) && shown.contains(r#""advertiser_ids":["1"]"#), "{shown}");
    // What comes to a request without a secret is no secret of this run, unless it is known.
    let (run, _) = Run::to(&server);
    let answer = run.post(&server.url("/"), "application/json", "{}").await;
    assert_eq!(read(answer).await.unwrap(), given);
}

#[tokio::test]
async fn large_answers_with_rows_stream_past_the_search_for_tokens() {
    let rows = format!("{{\"rows\": \"{}\", \"access_token\": \"no-token\"}}", "x".repeat(64 * 1024));
    for head in ["", "transfer-encoding: chunked"] {
        let given = match head {
            "" => answer(JSON, rows.as_bytes()),
            _ => format!("HTTP/1.1 200 OK\r\n{JSON}{head}\r\n\r\n{:x}\r\n{rows}\r\n0\r\n\r\n", rows.len())
                .into_bytes(),
        };
        let server = granting(given).await;
        let (run, key) = Run::to(&server);
        let mut request = post(&server.url("/"), "application/json", "{}");
        request.headers_mut().insert("x-key", key.parse().unwrap());
        assert!(read(send(&run.gate, request).await.unwrap()).await.unwrap() == rows, "{head}");
    }
}

#[tokio::test]
async fn a_token_goes_where_the_secrets_of_its_exchange_may() {
    let (login, api) = (granting(answer(JSON, token_answer().as_bytes())).await, Server::saying(OK).await);
    let (login_origin, api_origin) = (login.address.to_string(), api.address.to_string());
    for (rules, allowed) in [
        (vec![], true),
        (vec![("Key", login_origin.as_str())], false),
        (vec![("Key", login_origin.as_str()), ("Key", api_origin.as_str())], true),
        (vec![("Key", login_origin.as_str()), ("access_token", api_origin.as_str())], true),
    ] {
        let mut setup = Setup::granting(&[&login_origin, &api_origin]);
        let key = setup.secrets.add("Key", VALUE);
        let run = Run::of(setup.bound(&rules));
        let grant = run.login(&login.url("/token"), &format!("grant_type=x&k={key}")).await;
        let token = grant["access_token"].as_str().unwrap();
        let answer = send(&run.gate, with_header(&api.url("/"), "x-token", token)).await;
        assert_eq!(answer.is_ok(), allowed, "{rules:?}");
        if !allowed {
            assert_eq!(
                run.observed.denial().reason,
                "the secret 'access_token' may go to other origins only"
            );
        }
    }
}

#[tokio::test]
async fn a_connector_that_signs_itself_gets_no_token_either_unless_it_is_granted() {
    let server = granting(answer(JSON, token_answer().as_bytes())).await;
    for reveal_tokens in [false, true] {
        let mut setup = Setup::to(&server);
        // The key is revealed, so that it has no placeholder.
        setup.secrets.hide("a private key");
        let run = Run::of(setup.rules(SecretRules { reveal_tokens, ..SecretRules::default() }));
        let answer = run.post(&server.url("/token"), FORM, "grant_type=jwt&assertion=e30.e30.e30").await;
        let answer = String::from_utf8(read(answer).await.unwrap().to_vec()).unwrap();
        assert_eq!(answer.contains(TOKEN), reveal_tokens, "{answer}");
    }
}

// --- Out of answers ---------------------------------------------------------

#[tokio::test]
async fn a_value_that_a_server_sends_back_is_a_placeholder_again() {
    let percent = "s3cr%22t%2Fvalue%20%26%20more";
    let echoes = format!("plain {VALUE}, url {percent}, json {}, end", json!(VALUE));
    let basic = STANDARD.encode(format!("me:{VALUE}"));
    let echo = format!("{echoes} {basic}");
    let header = format!("x-echo: {VALUE}\r\nlocation: /next?k={percent}\r\n");
    let plain = answer(&header, echo.as_bytes());
    let zipped = answer(&format!("{header}content-encoding: gzip\r\n"), &gzip(echo.as_bytes()));
    for given in [plain, zipped] {
        let server = Server::saying(given).await;
        let (run, key) = Run::to(&server);
        for _ in 0..2 {
            let answer = send(&run.gate, get(&server.url("/"))).await.unwrap();
            assert!(!answer.headers().contains_key("content-length"));
            assert_eq!(answer.headers()["x-echo"], key.as_str());
            assert_eq!(answer.headers()["location"], format!("/next?k={key}").as_str());
            let text = String::from_utf8(read(answer).await.unwrap().to_vec()).unwrap();
            let expected = format!("plain {key}, url {key}, json \"{key}\", end ");
            assert!(text.starts_with(&expected), "{text}");
            assert!(text.ends_with(&basic[basic.len() - 3..]) && !text.contains(&basic[4..20]), "{text}");
        }
        // Told once, for those who look.
        let noted = run.observed.noted.lock().unwrap();
        assert_eq!(noted.len(), 1, "{noted:?}");
        assert!(noted[0].contains("the answer holds the value of the secret 'Key'"), "{}", noted[0]);
        assert!(!noted[0].contains("s3cr"), "{}", noted[0]);
    }
}

#[tokio::test]
async fn a_value_in_pieces_is_found_and_what_is_none_is_not_kept_waiting() {
    let server = Server::start(|_, mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
        for piece in ["event 1\n", "hunter2", "hunt", "er2\n", "hunter", ""] {
            stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await?;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        stream.write_all(b"\r\n").await?;
        Ok(Some(stream))
    })
    .await;
    let mut setup = Setup::to(&server);
    let key = setup.secrets.add("Key", "hunter2hunter2");
    let run = Run::of(setup);
    let mut body = send(&run.gate, get(&server.url("/"))).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "event 1\n");
    let rest = body.collect().await.unwrap().to_bytes();
    assert_eq!(rest, format!("{key}\nhunter"));
}

#[tokio::test]
async fn a_range_of_an_answer_and_an_answer_to_head_keep_their_sense() {
    let server = Server::saying(answer("x-echo: hunter2hunter2\r\n", b"ok")).await;
    let mut setup = Setup::to(&server);
    let key = setup.secrets.add("Key", "hunter2hunter2");
    let run = Run::of(setup);
    let head = Request::head(server.url("/")).body(body("")).unwrap();
    let answer = send(&run.gate, head).await.unwrap();
    assert_eq!(
        (&answer.headers()["content-length"], &answer.headers()["x-echo"]),
        (&"2".parse().unwrap(), &key.parse().unwrap())
    );
    // A run without secrets searches nothing.
    let (gate, _) = Setup::to(&server).gate();
    let answer = send(&gate, get(&server.url("/"))).await.unwrap();
    assert_eq!(answer.headers()["content-length"], "2");
    assert_eq!(answer.headers()["x-echo"], "hunter2hunter2");
}

#[tokio::test]
async fn what_the_operator_lets_it_see_stays_in_answers() {
    let server = Server::saying(answer("", b"jane@example.com owns hunter2hunter2")).await;
    let mut setup = Setup::to(&server);
    setup.secrets.add("User", "jane@example.com");
    let key = setup.secrets.add("Key", "hunter2hunter2");
    let rules = SecretRules { allow_echo: vec!["User".into()], ..SecretRules::default() };
    let run = Run::of(setup.rules(rules));
    assert_eq!(text(&run.gate, &server.url("/")).await, format!("jane@example.com owns {key}"));
}

// --- What it costs ----------------------------------------------------------

/// Prints the megabytes a second that an answer comes with, without secrets and
/// with some. Of use only with `--release`.
#[tokio::test]
#[ignore = "measures"]
#[expect(clippy::print_stderr, reason = "that is what it is for")]
async fn the_search_of_answers_in_megabytes_a_second() {
    let row =
        r#"{"id":12345,"name":"Jane Doe","mail":"jane@example.com","at":"2026-11-21T10:00:00Z","n":0.5},"#;
    let bytes = row.repeat(256 * 1024 * 1024 / row.len());
    let server = Server::saying(answer("", bytes.as_bytes())).await;
    for (secrets, tokens) in [(0, 0), (1, 0), (4, 0), (4, 20), (1000, 0)] {
        let mut setup = Setup::to(&server).limits(|l| l.http_response_bytes = ByteSize::gib(1));
        for n in 0..secrets {
            setup.secrets.add(&format!("Key{n}"), &format!("{}", uuid::Uuid::new_v4()));
        }
        for _ in 0..tokens {
            let token = format!(
                "eyJhbGciOiJSUzI1NiJ9.{}",
                STANDARD.encode([7; 600]).replace('B', &uuid::Uuid::new_v4().to_string())
            );
            setup.secrets.learn("access_token", &token, &[]).unwrap();
        }
        let run = Run::of(setup);
        let start = std::time::Instant::now();
        let mut body = send(&run.gate, get(&server.url("/"))).await.unwrap().into_body();
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            size += frame.unwrap().into_data().unwrap().len();
        }
        assert_eq!(size, bytes.len());
        let speed = size as f64 / 1e6 / start.elapsed().as_secs_f64();
        eprintln!("{secrets} secrets and {tokens} tokens: {speed:.0} MB/s");
    }
}
