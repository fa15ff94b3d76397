//! The network: HTTP by wasi-http without any comfort, and sockets.

use crate::Outcome;
use crate::bindings::ow::connector::report::{self, Level};
use crate::bindings::wasi::http::outgoing_handler;
use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme,
};
use crate::bindings::wasi::io::streams::StreamError;
use crate::parameters::Parameters;
use crate::rows::saw;

/// Sends a request, and writes down the answer or why there is none.
pub(crate) fn http(p: &Parameters) -> Outcome {
    let (method, url) = (p.text("Method"), with_secrets(&p.text("Url")));
    let method = if method.is_empty() { "GET".to_owned() } else { method };
    let answer = send(p, &method, &url).unwrap_or_else(|error| format!("failed: {error}"));
    if p.flag("Log") {
        report::log(Level::Info, &answer, &[]);
    }
    saw(&format!("{method} {url}"), &answer)
}

/// The text with what the guest has of the secrets in the places of their names.
fn with_secrets(text: &str) -> String {
    let parameters = Parameters::of_run();
    ["Password", "SigningKey"]
        .iter()
        .fold(text.to_owned(), |text, name| text.replace(&format!("{{{name}}}"), &parameters.text(name)))
}

/// Sends `Headers` and `Body` to a URL, or to `Path` at its host, and waits for the
/// whole answer.
pub(crate) fn send(p: &Parameters, method: &str, url: &str) -> Result<String, String> {
    let (scheme, rest) = url.split_once("://").ok_or("a URL has a scheme")?;
    let slash = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(slash);
    let path = [p.text("Path"), path.to_owned(), "/".to_owned()].into_iter().find(|path| !path.is_empty());
    let path = path.unwrap_or_default();
    let fields = Fields::new();
    for header in p.list("Headers") {
        fields
            .append(&header.text("Name"), with_secrets(&header.text("Text")).as_bytes())
            .map_err(|error| format!("header {}: {error:?}", header.text("Name")))?;
    }
    let request = OutgoingRequest::new(fields);
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "CONNECT" => Method::Connect,
        other => Method::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(|()| "no such method")?;
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        other => Scheme::Other(other.to_owned()),
    };
    request.set_scheme(Some(&scheme)).map_err(|()| "no such scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "no such authority")?;
    request.set_path_with_query(Some(&path)).map_err(|()| "no such path")?;
    let body = request.body().map_err(|()| "no body")?;
    let answer = outgoing_handler::handle(request, None).map_err(|error| name(&error))?;
    write_body(body, with_secrets(&p.text("Body")).as_bytes())?;
    answer.subscribe().block();
    let answer =
        answer.get().ok_or("no answer")?.map_err(|()| "taken twice")?.map_err(|error| name(&error))?;
    let status = answer.status();
    let body = read_body(&answer).map_err(|error| format!("{status}, then {error}"))?;
    Ok(format!("{status} {}", shown(&body)))
}

fn write_body(body: OutgoingBody, bytes: &[u8]) -> Result<(), String> {
    let stream = body.write().map_err(|()| "no stream")?;
    for chunk in bytes.chunks(4096) {
        stream
            .blocking_write_and_flush(chunk)
            .map_err(|error| format!("the request's body failed: {error:?}"))?;
    }
    drop(stream);
    OutgoingBody::finish(body, None).map_err(|error| name(&error))
}

fn read_body(answer: &IncomingResponse) -> Result<Vec<u8>, String> {
    let body: IncomingBody = answer.consume().map_err(|()| "no body")?;
    let stream = body.stream().map_err(|()| "no stream")?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => {
                let code = crate::bindings::wasi::http::types::http_error_code(&error);
                return Err(code.map_or_else(|| error.to_debug_string(), |code| name(&code)));
            }
        }
    }
}

/// A long body by its length alone.
fn shown(bytes: &[u8]) -> String {
    if bytes.len() > 2000 {
        format!("({} bytes)", bytes.len())
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    }
}

fn name(error: &ErrorCode) -> String {
    let text = format!("{error:?}");
    text.strip_prefix("ErrorCode::").unwrap_or(&text).to_owned()
}

/// Tries every other way out.
pub(crate) fn sockets() -> Outcome {
    use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
    let told = |error: std::io::Error| format!("refused: {:?}", error.kind());
    let tried = [
        ("tcp connect", TcpStream::connect("127.0.0.1:9").map(drop).map_err(told)),
        ("tcp listen", TcpListener::bind("127.0.0.1:0").map(drop).map_err(told)),
        ("udp bind", UdpSocket::bind("127.0.0.1:0").map(drop).map_err(told)),
        ("lookup", ("localhost", 80).to_socket_addrs().map(|_| ()).map_err(told)),
    ];
    for (what, result) in tried {
        saw(what, &result.map_or_else(|error| error, |()| "allowed".to_owned()))?;
    }
    Ok(())
}
