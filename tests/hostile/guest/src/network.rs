//! HTTP: to where it may not go, in ways that the gate might read otherwise than
//! a server, and answers that never end.
//!
//! `Server` is granted, `Forbidden` is not; both are on this machine.

use serde_json::{Value, json};

use crate::bindings::wasi::http::outgoing_handler;
use crate::bindings::wasi::http::types::{Fields, OutgoingRequest, Scheme};
use crate::rows::saw;
use crate::{Outcome, Parameters, net};

/// One request, and what came of it.
fn ask(name: &str, method: &str, url: &str, extra: Value) -> Outcome {
    let answer = net::send(&Parameters::of(extra), method, url);
    saw(name, &answer.unwrap_or_else(|error| format!("refused: {error}")))
}

fn get(url: &str) -> Outcome {
    ask(url, "GET", url, json!({}))
}

/// The address of a forbidden server, in many notations.
pub(crate) fn forbidden_origins(case: &str, p: &Parameters) -> Outcome {
    let port = p.text("ForbiddenPort");
    let hosts: &[&str] = match case {
        "plain" => &["127.0.0.1", "localhost", "[::1]", "127.255.255.254"],
        "decimal" => &["2130706433", "127.1", "127.0.1", "0"],
        "octal" => &["0177.0.0.1", "017700000001", "0177.1", "00000177.0.0.1"],
        "hexadecimal" => &["0x7f000001", "0x7f.0.0.1", "0X7F.1", "0x7f.0x0.0x0.0x1"],
        "overflowing" => &["4294967297", "383.0.0.1", "127.0.0.257", "0x17f000001", "127.0.0.1.1"],
        "in_ipv6" => &[
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[::ffff:0:7f00:1]",
            "[0000::0001]",
        ],
        "unspecified" => &["0.0.0.0", "[::]", "0x0", "00.0.0.0", "[::ffff:0.0.0.0]"],
        "trailing_dots" => &["127.0.0.1.", "localhost.", "localhost..", "LocalHost.", "127.0.0.1.."],
        "userinfo" => &[
            "api.example.org@127.0.0.1",
            "127.0.0.1@api.example.org",
            "api.example.org:443@127.0.0.1",
            "api.example.org%40127.0.0.1",
            "api.example.org\\@127.0.0.1",
            "api.example.org#@127.0.0.1",
        ],
        "idn" => &[
            "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
            "127\u{3002}0\u{3002}0\u{3002}1",
            "\u{24db}ocalhost",
            "loc\u{ad}alhost",
            "xn--localhost-",
            "api.ex\u{430}mple.org",
        ],
        "zones" => {
            &["[::1%25lo]", "[::1%lo]", "[fe80::1%25eth0]", "[::ffff:127.0.0.1%251]", "127.0.0.1%25lo"]
        }
        "subdomains" => &["a.localhost", "api.example.org.localhost", "localhost.localdomain"],
        "private" => &[
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "167772161",
            "0xa000001",
            "012.0.0.1",
            "[fc00::1]",
            "[::ffff:10.0.0.1]",
            "100.64.0.1",
        ],
        "link_local" => &[
            "169.254.169.254",
            "2852039166",
            "0xa9fea9fe",
            "0251.0376.0251.0376",
            "[fe80::1]",
            "[::ffff:169.254.169.254]",
            "[fd00:ec2::254]",
            "168.63.129.16",
            "metadata.google.internal",
        ],
        other => panic!("there is no case {other}"),
    };
    hosts.iter().try_for_each(|host| ask(host, "GET", &format!("http://{host}:{port}/"), json!({})))
}

/// Granted names, all of which lead to where nobody is let.
pub(crate) fn names_that_lead_inside(p: &Parameters) -> Outcome {
    let port = p.text("ForbiddenPort");
    for host in ["loopback", "mapped", "nowhere"] {
        ask(host, "GET", &format!("http://{host}.example:{port}/"), json!({}))?;
    }
    for host in ["private", "metadata"] {
        ask(host, "GET", &format!("http://{host}.example/"), json!({}))?;
    }
    Ok(())
}

/// A granted name that is another machine each time somebody asks.
pub(crate) fn dns_rebinding(p: &Parameters) -> Outcome {
    // A connection that is kept is not resolved again.
    let url = format!("http://rebinding.example:{}/last", p.text("Port"));
    ["first", "second", "third"].iter().try_for_each(|request| ask(request, "GET", &url, json!({})))
}

/// Follows whatever the granted server says.
pub(crate) fn redirects(p: &Parameters) -> Outcome {
    let (server, forbidden) = (p.text("Server"), p.text("Forbidden"));
    for to in [
        forbidden.as_str(),
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "http://2130706433/",
    ] {
        let answer = net::send(&Parameters::of(json!({})), "GET", &format!("{server}/redirect?to={to}"));
        saw(&format!("redirect to {to}"), &answer.unwrap_or_else(|error| error))?;
        get(to)?;
    }
    Ok(())
}

/// Requests that a server could read as two, or as one for somebody else.
pub(crate) fn smuggle(case: &str, p: &Parameters) -> Outcome {
    let (server, forbidden) = (p.text("Server"), p.text("Forbidden"));
    let header = |name: &str, text: &str| json!({ "Headers": [{ "Name": name, "Text": text }] });
    let path = |path: &str| json!({ "Path": path });
    match case {
        "headers" => {
            for (name, value) in [
                ("x-a", "1\r\nx-injected: 1"),
                ("x-b", "1\nx-injected: 1"),
                ("x-c", "1\r\n\r\nGET /second HTTP/1.1\r\n\r\n"),
                ("x-d", "nul\0"),
                ("x-e: 1\r\nx-injected", "1"),
                ("x f", "1"),
                ("", "1"),
                ("content-length", "5"),
                ("content-length", "-1"),
                ("content-length", "0, 5"),
                ("content-length", "99999999999999999999"),
            ] {
                ask(&format!("{name}: {value}"), "POST", &format!("{server}/"), header(name, value))?;
            }
            let two = json!({ "Headers": [
                { "Name": "content-length", "Text": "0" }, { "Name": "content-length", "Text": "9" },
            ], "Body": "GET / HTT" });
            ask("two lengths", "POST", &format!("{server}/"), two)
        }
        "paths" => {
            for strange in [
                "/a b",
                "/a\r\nx-injected: 1",
                "/a HTTP/1.1\r\nhost: evil.example\r\n\r\nGET /second",
                "/a\tb",
                "/a\0b",
                "/ä",
                "relative",
                "*",
                "//evil.example/",
                "/../../secret",
                "/a#fragment",
                "/%0d%0ax-injected:%201",
            ] {
                ask(strange, "GET", &server, path(strange))?;
            }
            ask("absolute form", "GET", &server, path(&format!("{forbidden}/")))?;
            ask("other authority", "GET", &server, path(&format!("@{}/", &forbidden["http://".len()..])))
        }
        "authority" => {
            for authority in
                ["\r\nhost: evil.example", " evil.example", "@evil.example", "#evil.example", ":80", "."]
            {
                ask(authority, "GET", &format!("{server}{authority}/"), json!({}))?;
            }
            Ok(())
        }
        other => panic!("there is no case {other}"),
    }
}

/// Headers that are the connection's, or that name another host.
pub(crate) fn forbidden_headers(p: &Parameters) -> Outcome {
    for name in [
        "host",
        "Host",
        "connection",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "http2-settings",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        ":authority",
    ] {
        let extra = json!({ "Headers": [{ "Name": name, "Text": "evil.example" }] });
        ask(name, "GET", &format!("{}/", p.text("Server")), extra)?;
    }
    // What a proxy or a server behind one may believe stays what it is: a header.
    let extra = json!({ "Headers": [{ "Name": "x-forwarded-host", "Text": "evil.example" }] });
    ask("x-forwarded-host", "GET", &format!("{}/forwarded", p.text("Server")), extra)
}

pub(crate) fn methods(p: &Parameters) -> Outcome {
    let server = p.text("Server");
    for method in [
        "CONNECT",
        "TRACE",
        "connect",
        "tRACE",
        "GET / HTTP/1.1\r\nx-injected: 1\r\n\r\nGET",
        "G E T",
        "",
        "PURGE",
    ] {
        ask(method, method, &format!("{server}/"), json!({}))?;
    }
    for scheme in ["https", "ftp", "file", "ws", "unix", "HTTP", "data"] {
        let url = format!("{scheme}{}/", &p.text("Forbidden")["http".len()..]);
        ask(scheme, "GET", &url, json!({}))?;
    }
    Ok(())
}

/// One answer of the granted server, to its end.
pub(crate) fn fetch(path: &str, p: &Parameters) -> Outcome {
    ask(path, "GET", &format!("{}/{path}", p.text("Server")), json!({}))
}

/// Takes every place that there is for requests, and ends none.
pub(crate) fn hold_requests(p: &Parameters) -> Outcome {
    let authority = p.text("Server")["http://".len()..].to_owned();
    let mut kept = Vec::new();
    for n in 0..100 {
        let request = OutgoingRequest::new(Fields::new());
        request.set_scheme(Some(&Scheme::Http)).unwrap();
        request.set_authority(Some(&authority)).unwrap();
        request.set_path_with_query(Some("/held")).unwrap();
        let answer = outgoing_handler::handle(request, None).unwrap();
        answer.subscribe().block();
        match answer.get().unwrap().unwrap() {
            Ok(answer) => kept.push(answer),
            Err(error) => return saw("refused", &format!("after {n}: {error:?}")),
        }
    }
    saw("held", &kept.len().to_string())
}
