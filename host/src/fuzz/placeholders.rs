//! Secrets in the places of their placeholders, and out of every text.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri};

use super::input::Input;
use crate::config::Secrets;
use crate::sandbox::http::disclosure::Disclosure;
use crate::sandbox::http::substitute::{
    BadHeader, Encoding, Stream, in_bytes, in_headers, in_path_and_query,
};
use crate::sandbox::http::target::Target;

/// A piece of what the guest writes.
enum Piece {
    Own(String),
    /// The placeholder of the secret with this index.
    Secret(usize),
}

/// The pieces together, each secret as the function writes it.
type Join<'a> = dyn Fn(&dyn Fn(usize) -> String) -> String + 'a;

/// Each encoding of a place carries the values whole and leaves every other byte
/// as it was; no text shows a value after redaction.
pub fn placeholders(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let values: Vec<String> = (0..=input.below(2)).map(|_| input.text(30)).collect();
    let mut secrets = Secrets::new();
    let placeholders: Vec<String> =
        values.iter().enumerate().map(|(i, value)| secrets.add(&format!("p{i}"), value)).collect();
    let pieces: Vec<Piece> = (0..input.below(6))
        .map(|_| match input.flag() {
            true => Piece::Secret(input.below(values.len())),
            false => Piece::Own(input.text(20)),
        })
        .collect();
    let join = |secret: &dyn Fn(usize) -> String| -> String {
        let text = pieces.iter().map(|piece| match piece {
            Piece::Own(text) => text.clone(),
            Piece::Secret(index) => secret(*index),
        });
        text.collect()
    };
    let written = join(&|index| placeholders[index].clone());
    let meant = join(&|index| values[index].clone());
    let secrets = Arc::new(secrets);
    let target = Target::of(&Uri::from_static("https://api.example.com/")).expect("a target");
    let to = Disclosure::new(&secrets, &target);
    json(&to, &written, &meant);
    form(&to, &written, &meant);
    let raw = replaced(&to, written.as_bytes(), Encoding::Raw);
    assert_eq!(raw, meant.as_bytes());
    piecemeal(&to, &written, &meant, usize::from(input.byte()));
    header(&to, &written, &meant);
    basic(&to, &written, &meant);
    let encoded = join(&|index| percent(&values[index]));
    path(&to, &written, &encoded);
    redacted(&secrets, &values, &join, input.rest());
}

fn replaced(to: &Disclosure, bytes: &[u8], encoding: Encoding) -> Vec<u8> {
    let replaced = in_bytes(bytes, to, encoding).expect("secrets may go there");
    replaced.map_or_else(|| bytes.to_vec(), |bytes| bytes.to_vec())
}

/// A body that comes in pieces of so many bytes.
fn piecemeal(to: &Disclosure, written: &str, meant: &str, length: usize) {
    let mut stream = Stream::new(to.clone(), Encoding::Raw);
    let mut sent = Vec::new();
    for piece in written.as_bytes().chunks(length.max(1)) {
        sent.extend(stream.push(Bytes::copy_from_slice(piece)).expect("secrets may go there"));
    }
    sent.extend(stream.finish().expect("secrets may go there"));
    assert_eq!(sent, meant.as_bytes());
}

/// Percent-encoded by other code than the gate's.
fn percent(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn json(to: &Disclosure, written: &str, meant: &str) {
    let document =
        |text: &str| serde_json::json!({"before": "\u{e9}\"", "it": [text, {text: 1}], "after": 2});
    let body = document(written).to_string();
    let sent: serde_json::Value =
        serde_json::from_slice(&replaced(to, body.as_bytes(), Encoding::Json)).expect("JSON");
    assert_eq!(sent, document(meant));
}

fn form(to: &Disclosure, written: &str, meant: &str) {
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("before", "&=")
        .append_pair(written, written)
        .append_pair("after", "1")
        .finish();
    let sent = replaced(to, body.as_bytes(), Encoding::Percent);
    let pairs: Vec<(String, String)> = form_urlencoded::parse(&sent).into_owned().collect();
    let expected = [("before", "&="), (meant, meant), ("after", "1")];
    assert_eq!(pairs, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

fn header(to: &Disclosure, written: &str, meant: &str) {
    let Ok(value) = HeaderValue::from_bytes(written.as_bytes()) else { return };
    let mut headers = HeaderMap::new();
    headers.insert("x-key", value);
    match in_headers(&mut headers, to) {
        Ok(()) => {
            assert_eq!(headers["x-key"].as_bytes(), meant.as_bytes());
            assert_eq!(headers.len(), 1);
            assert!(!meant.contains(['\r', '\n', '\0']));
            assert!(headers["x-key"].is_sensitive() || written == meant);
        }
        Err(BadHeader::Undisclosed(undisclosed)) => panic!("{undisclosed:?}"),
        Err(BadHeader::Unfit(message)) => {
            assert!(HeaderValue::from_bytes(meant.as_bytes()).is_err(), "{message}");
            let name = message.split('\'').nth(1).unwrap();
            let named = to.secrets().iter().find(|secret| secret.name == name).expect("a parameter");
            assert!(HeaderValue::from_bytes(named.value.as_bytes()).is_err(), "{message}");
        }
    }
}

fn basic(to: &Disclosure, written: &str, meant: &str) {
    let mut headers = HeaderMap::new();
    let credentials = format!("Basic {}", STANDARD.encode(format!("user:{written}")));
    headers.insert(AUTHORIZATION, credentials.parse().unwrap());
    in_headers(&mut headers, to).expect("Base64 carries every byte");
    let expected = format!("Basic {}", STANDARD.encode(format!("user:{meant}")));
    assert_eq!(headers[AUTHORIZATION], expected.as_str());
}

fn path(to: &Disclosure, written: &str, encoded: &str) {
    let sent = in_path_and_query(&format!("/a{written}?b={written}"), to).expect("secrets may go there");
    let expected = format!("/a{encoded}?b={encoded}");
    match sent {
        // What follows a `#` in what the guest wrote is no part of a path.
        Some(Ok(sent)) => assert_eq!(Ok(sent), PathAndQuery::try_from(expected).map_err(drop)),
        // What the guest wrote beside is no path.
        Some(Err(_)) => assert!(PathAndQuery::try_from(expected).is_err()),
        None => assert_eq!(written, encoded),
    }
}

/// Each value, in each of its spellings, between pieces of other text.
fn redacted(secrets: &Secrets, values: &[String], join: &Join<'_>, more: &[u8]) {
    let json = |value: &str| {
        let quoted = serde_json::Value::from(value).to_string();
        quoted[1..quoted.len() - 1].to_owned()
    };
    let more = String::from_utf8_lossy(more);
    let spellings: [&dyn Fn(usize) -> String; 3] =
        [&|index| values[index].clone(), &|index| percent(&values[index]), &|index| json(&values[index])];
    for spelling in spellings {
        let text = format!("{}{more}", join(spelling));
        let shown = secrets.redact(&text);
        for value in values.iter().map(|value| value.trim()) {
            // Shorter ones are not redacted, and stars stand for what is.
            if value.len() >= 4 && !value.contains('*') {
                assert!(!shown.contains(value), "{shown:?} shows {value:?}");
            }
        }
    }
}
