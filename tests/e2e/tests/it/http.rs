//! HTTP: what is granted passes, everything else does not, and nothing of the
//! operator's secrets gets to the guest.

use std::time::Duration;

use e2e::{Answer, Lab, Request, Server};
use insta::assert_snapshot;
use serde_json::{Value, json};

fn get(url: &str) -> Value {
    json!({ "Behaviour": "http", "Url": url })
}

/// Sends requests, granted to the server.
fn ask(server: &Server, steps: Value, flags: &[&str]) -> (Lab, e2e::Outcome) {
    let lab = Lab::new();
    let origin = server.origin();
    let flags = [&["--allow-net", origin.as_str()], flags].concat();
    let outcome = lab.script(steps, &flags);
    (lab, outcome)
}

#[test]
fn a_granted_request_arrives() {
    let server = Server::start(|request| Answer::new(200, format!("{} {}", request.method, request.target)));
    let post = json!({
        "Behaviour": "http", "Method": "POST", "Url": server.url("/items"), "Body": "{\"a\":1}",
        "Headers": [{ "Name": "content-type", "Text": "application/json" }],
    });
    let (lab, outcome) = ask(&server, json!([get(&server.url("/path?x=1&y=%20")), post]), &[]);
    outcome.expect_success();
    assert_snapshot!(lab.seen(), @r"
    GET http://127.0.0.1:[PORT]/path?x=1&y=%20|200 GET /path?x=1&y=%20
    POST http://127.0.0.1:[PORT]/items|200 POST /items
    ");
    let requests = server.requests();
    assert_eq!(String::from_utf8_lossy(&requests[1].body), "{\"a\":1}");
    assert_eq!(requests[1].header("content-type"), Some("application/json"));
    assert!(requests[0].header("user-agent").unwrap().starts_with("ow-host/"));
    assert_eq!(requests[0].header("host").unwrap(), format!("127.0.0.1:{}", server.port()));
    let report = outcome.report();
    assert_eq!(report["requests"], 2);
    assert_eq!(report["request_bytes"], 7);
}

#[test]
fn what_is_not_granted_is_refused_and_named() {
    let server = Server::start(|_| Answer::new(200, "reached"));
    let lab = Lab::new();
    let localhost = format!("http://localhost:{}/", server.port());
    let steps = json!([
        get(&server.url("/a")),
        get(&server.url("/b")),
        get(&localhost),
        get("http://169.254.169.254/latest/meta-data"),
        get("http://2130706433/"),
        get("https://example.com/"),
        get("file:///etc/passwd"),
        get("ftp://example.com/"),
        json!({ "Behaviour": "http", "Method": "CONNECT", "Url": server.url("/") }),
    ]);
    let outcome = lab.script(steps, &["--allow-net", "https://api.example.org"]).success();
    assert_snapshot!(lab.seen(), @r"
    GET http://127.0.0.1:[PORT]/a|failed: HttpRequestDenied
    GET http://127.0.0.1:[PORT]/b|failed: HttpRequestDenied
    GET http://localhost:[PORT]/|failed: HttpRequestDenied
    GET http://169.254.169.254/latest/meta-data|failed: HttpRequestDenied
    GET http://2130706433/|failed: HttpRequestDenied
    GET https://example.com/|failed: HttpRequestDenied
    GET file:///etc/passwd|failed: no such authority
    GET ftp://example.com/|failed: HttpRequestUriInvalid
    CONNECT http://127.0.0.1:[PORT]/|failed: HttpRequestDenied
    ");
    assert_snapshot!(outcome.denied(), @r"
    1 x CONNECT http://127.0.0.1:[PORT]: CONNECT would open a tunnel past the gate; -
    1 x GET http://127.0.0.1: loopback address; --allow-net http://127.0.0.1
    2 x GET http://127.0.0.1:[PORT]: loopback address; --allow-net http://127.0.0.1:[PORT]
    1 x GET http://169.254.169.254: link-local address; --allow-net http://169.254.169.254
    1 x GET http://localhost:[PORT]: origin not granted; --allow-net http://localhost:[PORT]
    1 x GET https://example.com: origin not granted; --allow-net https://example.com
    ");
    assert!(server.requests().is_empty());
}

#[test]
fn a_connector_that_gives_up_for_a_refusal_exits_with_the_flag_that_helps() {
    let lab = Lab::new();
    let steps = json!([get("https://api.example.com/v1"), { "Behaviour": "fail", "Kind": "denied", "Message": "the API cannot be reached" }]);
    assert_snapshot!(lab.script(steps, &[]).failure(), @r"
    5 denied: the API cannot be reached
    hint: grant it with --allow-net https://api.example.com
    ");
}

#[test]
fn a_grant_of_one_port_is_no_grant_of_another() {
    let (granted, other) =
        (Server::start(|_| Answer::new(200, "granted")), Server::start(|_| Answer::new(200, "other")));
    let (lab, outcome) = ask(&granted, json!([get(&granted.url("/")), get(&other.url("/"))]), &[]);
    outcome.expect_success();
    assert_snapshot!(lab.seen(), @r"
    GET http://127.0.0.1:[PORT]/|200 granted
    GET http://127.0.0.1:[PORT]/|failed: HttpRequestDenied
    ");
    assert!(other.requests().is_empty());
}

#[test]
fn a_name_that_leads_to_this_machine_needs_a_grant_of_its_own() {
    let server = Server::start(|_| Answer::new(200, "reached"));
    let localhost = format!("localhost:{}", server.port());
    let lab = Lab::new();
    let outcome = lab.script(json!([get(&format!("http://{localhost}/"))]), &["--allow-net", &localhost]);
    outcome.expect_success();
    assert_snapshot!(lab.seen(), @"GET http://localhost:[PORT]/|200 reached");
}

#[test]
fn redirects_are_answers_and_every_hop_is_checked() {
    let server = Server::start(|_| Answer::new(302, "").header("location", "http://169.254.169.254/"));
    let (lab, outcome) = ask(&server, json!([get(&server.url("/"))]), &[]);
    outcome.expect_success();
    assert_snapshot!(lab.seen(), @"GET http://127.0.0.1:[PORT]/|302");
}

#[test]
fn answers_of_every_kind() {
    let server = Server::start(|request: &Request| match request.path() {
        "/gzip" => Answer::new(200, "decompressed").gzip(),
        "/bomb" => Answer::new(200, vec![b'x'; 20 << 20]).gzip(),
        "/cut" => Answer::new(200, "0123456789").cut(4),
        "/slow" => Answer::new(200, "slow but whole").slow(2, Duration::from_millis(20)),
        "/late" => Answer::new(200, "too late").late(Duration::from_secs(4)),
        "/stalls" => Answer::new(200, "0123456789").slow(5, Duration::from_secs(4)),
        "/broken" => Answer::new(200, "not gzip at all").header("content-encoding", "gzip"),
        "/headers" => Answer::new(200, "").header("x-long", &"x".repeat(300_000)),
        _ => Answer::new(404, "no such page"),
    });
    let paths = ["/gzip", "/bomb", "/cut", "/slow", "/late", "/stalls", "/broken", "/headers", "/other"];
    let steps: Vec<Value> = paths.iter().map(|path| get(&server.url(path))).collect();
    let flags =
        ["--http-response-bytes", "10MiB", "--http-first-byte-timeout", "1s", "--http-idle-timeout", "1s"];
    let (lab, outcome) = ask(&server, json!(steps), &flags);
    outcome.expect_success();
    assert_snapshot!(lab.seen(), @r#"
    GET http://127.0.0.1:[PORT]/gzip|200 decompressed
    GET http://127.0.0.1:[PORT]/bomb|failed: 200, then HTTP response body size exceeds limit: 10485760 bytes
    GET http://127.0.0.1:[PORT]/cut|failed: 200, then incomplete HTTP response
    GET http://127.0.0.1:[PORT]/slow|200 slow but whole
    GET http://127.0.0.1:[PORT]/late|failed: HttpResponseTimeout
    GET http://127.0.0.1:[PORT]/stalls|failed: 200, then connection read timeout
    GET http://127.0.0.1:[PORT]/broken|failed: 200, then unsupported HTTP response content coding: "gzip"
    GET http://127.0.0.1:[PORT]/headers|failed: HttpResponseHeaderSectionSize(None)
    GET http://127.0.0.1:[PORT]/other|404 no such page
    "#);
}

#[test]
fn servers_that_are_not_there() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/");
    let lab = Lab::new();
    let flags = ["--allow-net", &format!("http://{closed}"), "--allow-net", "https://nowhere.invalid"];
    lab.script(json!([get(&url), get("https://nowhere.invalid/")]), &flags).expect_success();
    let seen = lab.seen();
    assert_snapshot!(seen.lines().next().unwrap(), @"GET http://127.0.0.1:[PORT]/|failed: ConnectionRefused");
    assert!(seen.lines().nth(1).unwrap().contains("failed: DnsError"), "{seen}");
}

/// A value that every place of a request has to write in its own way.
const PASSWORD: &str = "s3cr3t/value+with=signs&\"more\"";

#[test]
fn a_secret_is_put_into_the_request_by_the_host() {
    let server = Server::start(|_| Answer::new(200, "welcome"));
    let lab = Lab::new();
    let url = server.url("/login");
    let header = |name: &str, text: &str| json!({ "Name": name, "Text": text });
    let post = |kind: &str, body: &str| json!({ "Behaviour": "http", "Method": "POST", "Url": url, "Body": body, "Headers": [header("content-type", kind)] });
    let steps = json!([
        { "Behaviour": "http", "Url": url, "Headers": [header("authorization", "Bearer {Password}")] },
        get(&server.url("/?key={Password}")),
        post("application/json", "{\"password\": \"{Password}\"}"),
        post("application/x-www-form-urlencoded", "user=me&password={Password}"),
    ]);
    let parameters = json!({ "Steps": steps, "Password": PASSWORD });
    let outcome = lab.run_with("script", parameters, &["--allow-net", &server.origin()]).success();
    let requests = server.requests();
    assert_eq!(requests[0].header("authorization"), Some(format!("Bearer {PASSWORD}").as_str()));
    assert_snapshot!(requests[1].target, @"/?key=s3cr3t%2Fvalue%2Bwith%3Dsigns%26%22more%22");
    assert_snapshot!(String::from_utf8_lossy(&requests[2].body), @r#"{"password": "s3cr3t/value+with=signs&\"more\""}"#);
    assert_snapshot!(String::from_utf8_lossy(&requests[3].body), @"user=me&password=s3cr3t%2Fvalue%2Bwith%3Dsigns%26%22more%22");
    for request in &requests[2..] {
        assert_eq!(request.header("content-length"), Some(request.body.len().to_string().as_str()));
    }
    assert!(!outcome.stdout.contains("s3cr3t") && !lab.seen().contains("s3cr3t"));
}

#[test]
fn a_secret_that_a_server_sends_back_is_not_logged() {
    let server =
        Server::start(|request| Answer::new(400, format!("bad key {}", request.header("x-key").unwrap())));
    let lab = Lab::new();
    let steps = json!([{
        "Behaviour": "http", "Url": server.url("/"), "Log": true, "Headers": [{ "Name": "x-key", "Text": "{Password}" }],
    }]);
    let parameters = json!({ "Steps": steps, "Password": "hunter2hunter2" });
    let outcome = lab.run_with("script", parameters, &["--allow-net", &server.origin()]).success();
    assert_snapshot!(outcome.log(), @"info connector: 400 bad key [PLACEHOLDER]");
    assert!(!outcome.stdout.contains("hunter2"));
}

#[test]
fn a_guest_cannot_show_a_secret() {
    let lab = Lab::new();
    let parameters = json!({ "Password": PASSWORD, "SigningKey": "another secret value" });
    let outcome = lab.run_with("secret", parameters, &["--reveal-secret", "SigningKey"]).success();
    assert_snapshot!(lab.seen(), @r"
    password|[PLACEHOLDER]
    signing key|another secret value
    state|the state key 'password' holds the placeholder of the secret 'Password', which means nothing in the next run
    ");
    assert_snapshot!(outcome.log(), @r"
    info connector: the secret is [PLACEHOLDER] secret=[PLACEHOLDER]
    info stdout: the secret is [PLACEHOLDER]
    info stderr: the secret is [PLACEHOLDER]
    info connector: the secret is *** secret=***
    info stdout: the secret is ***
    info stderr: the secret is ***
    ");
    assert!(!outcome.stdout.contains("s3cr3t") && !outcome.stdout.contains("another secret value"));
}
