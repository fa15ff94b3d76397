//! What the guest sees of an answer to a run with secrets: placeholders in the
//! place of tokens that the server gives, and of values that it sends back.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, RANGE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error as Code, WasiBody};
use zeroize::Zeroizing;

use super::disclosure::Disclosure;
use super::exchange::Exchange;
use super::fault::{Fault, Kind};
use super::substitute::essence;
use super::token::{self, Asked};
use crate::config::secret::Secret;
use crate::config::secret::matcher::Stream;

/// The largest answer to a request for a token, in bytes. Those of the field have
/// a few thousand.
const MOST_TOKEN_BYTES: usize = 1024 * 1024;

/// The largest answer to another request with a secret in which tokens are looked
/// for, in bytes. What is larger is data.
const MOST_LOGIN_BYTES: usize = 64 * 1024;

/// Secrets that answers have held and that have been told.
pub(crate) type Told = Arc<Mutex<HashSet<String>>>;

/// What a request was, as far as its answer may hold secrets.
pub(crate) struct Guard {
    pub(crate) disclosure: Disclosure,
    pub(crate) method: Method,
    /// It asks for a token.
    pub(crate) for_token: bool,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) told: Told,
}

/// Lets the server send nothing that cannot be searched.
pub(crate) fn ask_for_readable(headers: &mut HeaderMap, for_token: bool) {
    if for_token {
        headers.remove(RANGE);
    }
    let mut values = headers.get_all(ACCEPT_ENCODING).iter().peekable();
    if values.peek().is_some() {
        let takes = |value: &HeaderValue| {
            value.to_str().is_ok_and(|text| {
                text.split(',')
                    .any(|coding| coding.split(';').next().is_some_and(|name| name.trim() == "gzip"))
            })
        };
        let coding = if values.any(takes) { "gzip" } else { "identity" };
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(coding));
    }
}

impl Guard {
    /// The answer without secrets.
    ///
    /// # Errors
    ///
    /// If it may hold a token that cannot be taken out.
    pub(crate) async fn clean(self, answer: Response<WasiBody>) -> Result<Response<WasiBody>, Fault> {
        if self.disclosure.secrets().is_empty() {
            return Ok(answer);
        }
        let (mut parts, mut body) = answer.into_parts();
        let has_body = self.method != Method::HEAD
            && !matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if let Some(asked) = self.asked(&parts.headers).filter(|_| has_body) {
            body = self.without_tokens(body, asked, &mut parts.headers).await?;
        }
        let Some(matcher) = self.disclosure.secrets().answers() else {
            return Ok(Response::from_parts(parts, body));
        };
        for value in parts.headers.values_mut() {
            let Some((replaced, whose)) = matcher.replace_bytes(value.as_bytes()) else { continue };
            whose.iter().for_each(|secret| self.note(secret));
            *value = HeaderValue::from_bytes(&replaced).unwrap_or(HeaderValue::from_static(""));
        }
        if has_body {
            // A placeholder has another length than what it stands for.
            parts.headers.remove(CONTENT_LENGTH);
            body = Searched { body, stream: Stream::new(matcher), guard: self, ended: false }.boxed_unsync();
        }
        Ok(Response::from_parts(parts, body))
    }

    /// Whether the answer may hold tokens.
    fn asked(&self, headers: &HeaderMap) -> Option<Asked> {
        if self.for_token {
            return Some(Asked::ForToken);
        }
        let is_json = |essence: String| essence == "application/json" || essence.ends_with("+json");
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let is_login = self.method == Method::POST
            && essence(headers).is_some_and(is_json)
            && length.is_none_or(|length: usize| length <= MOST_LOGIN_BYTES)
            && !self.disclosure.put().is_empty();
        is_login.then_some(Asked::WithSecret)
    }

    async fn without_tokens(
        &self,
        mut body: WasiBody,
        asked: Asked,
        headers: &mut HeaderMap,
    ) -> Result<WasiBody, Fault> {
        let unreadable = |why: &str| {
            Fault::new(Kind::ResponseCoding, format!("the answer to a request for a token {why}"))
        };
        if asked == Asked::ForToken && headers.contains_key(CONTENT_ENCODING) {
            return Err(unreadable("is compressed in a way that the gate does not read"));
        }
        let most = if asked == Asked::ForToken { MOST_TOKEN_BYTES } else { MOST_LOGIN_BYTES };
        let (start, end) = collect(&mut body, most).await;
        match end {
            End::Open if asked == Asked::ForToken => {
                return Err(unreadable("is larger than 1 MiB"));
            }
            End::Open => {
                return Ok(Replayed { start: Some(start.to_vec().into()), end: None, rest: Some(body) }
                    .boxed_unsync());
            }
            End::Failed(code) => {
                return Ok(Replayed { start: None, end: Some(code), rest: None }.boxed_unsync());
            }
            End::Whole => {}
        }
        let secrets = self.disclosure.secrets();
        let shown = token::hide(&start, asked, headers, secrets, &self.disclosure.put())
            .map_err(|unhidden| Fault::new(Kind::Configuration, unhidden.to_string()))?;
        headers.remove(CONTENT_LENGTH);
        let shown = shown.map_or_else(|| Bytes::from(start.to_vec()), Bytes::from);
        Ok(Replayed { start: Some(shown), end: None, rest: None }.boxed_unsync())
    }

    /// Tells once a run that an answer held a secret: rows may lack it.
    fn note(&self, secret: &Secret) {
        let is_new = self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(secret.name.clone());
        if is_new {
            let name = crate::config::problem::clip(&secret.name);
            self.exchange.observer.noted(&format!(
                "{}/…: the answer holds the value of the secret '{name}', and the connector sees a placeholder \
                 there; if that value is data as well, --allow-echo {name} shows it",
                self.exchange.attempt()
            ));
        }
    }
}

/// How reading the start of a body ended.
enum End {
    Whole,
    /// There is more.
    Open,
    Failed(Code),
}

/// Reads a body until it ends, fails, or has more than so many bytes.
async fn collect(body: &mut WasiBody, most: usize) -> (Zeroizing<Vec<u8>>, End) {
    let mut start = Zeroizing::new(Vec::new());
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => start.extend_from_slice(&data),
            Ok(Err(_)) => {}
            Err(code) => return (start, End::Failed(code)),
        }
        if start.len() > most {
            return (start, End::Open);
        }
    }
    (start, End::Whole)
}

/// A body that was read in part: that part, how it failed, the rest.
struct Replayed {
    start: Option<Bytes>,
    end: Option<Code>,
    rest: Option<WasiBody>,
}

impl Body for Replayed {
    type Data = Bytes;
    type Error = Code;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Code>>> {
        if let Some(start) = self.start.take().filter(|start| !start.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(start))));
        }
        if let Some(code) = self.end.take() {
            return Poll::Ready(Some(Err(code)));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }
}

/// A body in which values are replaced as it comes.
struct Searched {
    body: WasiBody,
    stream: Stream,
    guard: Guard,
    ended: bool,
}

impl Body for Searched {
    type Data = Bytes;
    type Error = Code;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Code>>> {
        let Self { body, stream, guard, ended } = &mut *self;
        let mut note = |secret: &Arc<Secret>| guard.note(secret);
        while !*ended {
            let ready = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => stream.push(data, &mut note),
                    Err(_) => continue,
                },
                Some(Err(code)) => {
                    *ended = true;
                    return Poll::Ready(Some(Err(code)));
                }
                None => {
                    *ended = true;
                    stream.finish(&mut note)
                }
            };
            if !ready.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(ready))));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_for_what_can_be_searched() {
        for (asked, sent) in [
            (&[][..], None),
            (&["gzip"], Some("gzip")),
            (&["br, gzip;q=0.5"], Some("gzip")),
            (&["br", "zstd, gzip"], Some("gzip")),
            (&["br"], Some("identity")),
            (&["*"], Some("identity")),
            (&["identity"], Some("identity")),
        ] {
            let mut headers = HeaderMap::new();
            for value in asked {
                headers.append(ACCEPT_ENCODING, HeaderValue::from_static(value));
            }
            headers.insert(RANGE, HeaderValue::from_static("bytes=0-1"));
            ask_for_readable(&mut headers, false);
            let values: Vec<_> =
                headers.get_all(ACCEPT_ENCODING).iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(values, sent.into_iter().collect::<Vec<_>>(), "{asked:?}");
            assert!(headers.contains_key(RANGE));
            ask_for_readable(&mut headers, true);
            assert!(!headers.contains_key(RANGE));
        }
    }
}
