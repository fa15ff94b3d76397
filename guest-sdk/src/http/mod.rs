//! HTTP, the only way out of the sandbox. The host connects, decompresses, keeps
//! connections alive, puts secrets in their places, and refuses origins that the
//! operator did not grant; this client asks it to.
//!
//! ```no_run
//! use ow_connector::prelude::*;
//!
//! #[derive(Deserialize)]
//! struct Page {
//!     items: Vec<serde_json::Value>,
//! }
//!
//! # fn run(ctx: &mut Context<()>, token: Secret) -> Result<()> {
//! let page: Page = ctx
//!     .http()
//!     .get("https://api.example.com/items")
//!     .query("since", "2024-01-01")
//!     .bearer(token)
//!     .send()?
//!     .json()?;
//! # Ok(()) }
//! ```

mod retry;
mod url;

use std::fmt::Display;
use std::io::{BufRead, BufReader, Read};
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::url::Url;
use crate::error::{Error, ErrorKind, Result};
use crate::host::{self, Outgoing, SendFailure, Timeouts};

pub use self::retry::Retry;
pub use self::url::encode;

/// The longest body that is read at once; longer ones are for
/// [`Response::bytes`] with a limit of its own, or to be read as a stream.
const BODY_LIMIT: u64 = 64 * 1024 * 1024;

/// Bytes of an error's body that are looked at for its message.
const ERROR_BODY: u64 = 16 * 1024;

/// Characters of an error's body that its message quotes.
const EXCERPT: usize = 300;

/// Redirects that one request follows.
const REDIRECTS: usize = 10;

/// Headers that still make sense to another origin.
const PORTABLE_HEADERS: [&str; 3] = ["accept", "accept-language", "user-agent"];

/// Sends requests. Clones share their settings.
#[derive(Debug, Clone)]
pub struct Client {
    settings: Rc<Settings>,
}

#[derive(Debug, Clone)]
struct Settings {
    retry: Retry,
    timeouts: Timeouts,
    headers: Vec<(String, String)>,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client with the default settings.
    pub fn new() -> Self {
        let timeouts = Timeouts {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(60),
            between_bytes: Duration::from_secs(60),
        };
        Self { settings: Rc::new(Settings { retry: Retry::default(), timeouts, headers: Vec::new() }) }
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Rc::make_mut(&mut self.settings));
        self
    }

    /// Tries again by this policy.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        self.with(|settings| settings.retry = retry)
    }

    /// Sends this header with every request.
    #[must_use]
    pub fn header(self, name: &str, value: impl Display) -> Self {
        self.with(|settings| settings.headers.push((name.to_owned(), value.to_string())))
    }

    /// How long a connection may take to open; 10 seconds by default.
    #[must_use]
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.timeouts.connect = timeout)
    }

    /// How long a server may take to begin its answer; a minute by default.
    #[must_use]
    pub fn first_byte_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.timeouts.first_byte = timeout)
    }

    /// How long a server may pause in its answer; a minute by default.
    #[must_use]
    pub fn between_bytes_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.timeouts.between_bytes = timeout)
    }

    /// A GET request.
    pub fn get(&self, url: impl AsRef<str>) -> Request {
        self.request("GET", url)
    }

    /// A POST request.
    pub fn post(&self, url: impl AsRef<str>) -> Request {
        self.request("POST", url)
    }

    /// A request of any method.
    pub fn request(&self, method: &str, url: impl AsRef<str>) -> Request {
        let method = method.to_ascii_uppercase();
        Request {
            settings: Rc::clone(&self.settings),
            url: Url::parse(url.as_ref()),
            headers: self.settings.headers.clone(),
            body: Ok(Vec::new()),
            repeatable: matches!(method.as_str(), "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS"),
            any_status: false,
            method,
        }
    }
}

/// A request to be sent. What is wrong with it is told by [`Request::send`].
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    settings: Rc<Settings>,
    method: String,
    url: Result<Url>,
    headers: Vec<(String, String)>,
    body: Result<Vec<u8>>,
    repeatable: bool,
    any_status: bool,
}

impl Request {
    /// Adds `name=value` to the query, encoded.
    pub fn query(mut self, name: &str, value: impl Display) -> Self {
        if let Ok(url) = &mut self.url {
            url.push_query(name, &value.to_string());
        }
        self
    }

    /// Sets a header.
    pub fn header(mut self, name: &str, value: impl Display) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// `Authorization: Bearer …`.
    pub fn bearer(self, token: impl AsRef<str>) -> Self {
        self.header("authorization", format_args!("Bearer {}", token.as_ref()))
    }

    /// `Authorization: Basic …`.
    pub fn basic(self, user: impl AsRef<str>, password: impl AsRef<str>) -> Self {
        let pair = format!("{}:{}", user.as_ref(), password.as_ref());
        self.header("authorization", format_args!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair)))
    }

    /// Sends a value as JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        self.body = serde_json::to_vec(value).map_err(|error| Error::internal(error.to_string()));
        self.header("content-type", "application/json")
    }

    /// Sends names and values as a form.
    pub fn form(mut self, pairs: &[(&str, &str)]) -> Self {
        let mut form = String::new();
        for (name, value) in pairs {
            if !form.is_empty() {
                form.push('&');
            }
            url::encode_into(&mut form, name);
            form.push('=');
            url::encode_into(&mut form, value);
        }
        self.body = Ok(form.into_bytes());
        self.header("content-type", "application/x-www-form-urlencoded")
    }

    /// Sends bytes.
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Ok(body.into());
        self.header("content-type", content_type)
    }

    /// Says that sending it twice does no harm, so that a POST or PATCH may be
    /// tried again.
    pub fn idempotent(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Answers whatever the status is; without this, [`Request::send`] fails for
    /// every status but 2xx.
    pub fn any_status(mut self) -> Self {
        self.any_status = true;
        self
    }

    /// Sends the request, again where that helps, and follows redirects.
    pub fn send(self) -> Result<Response> {
        let url = self.url.clone()?;
        let body = self.body.clone()?;
        let retry = if self.repeatable { self.settings.retry.clone() } else { Retry::never() };
        let mut attempt = 1;
        loop {
            let outcome = self.exchange(url.clone(), &body);
            let (transient, retry_after) = match &outcome {
                Ok(response) => (retry::is_transient(response.status), response.retry_after()),
                Err(failure) => (failure.transient, None),
            };
            let wait = if transient { retry.wait(attempt, retry_after, retry::random()) } else { None };
            let Some(wait) = wait else {
                let response = outcome.map_err(|failure| {
                    let tries = if attempt > 1 { format!(" (tried {attempt} times)") } else { String::new() };
                    failure.error.context(format_args!("{} {url}{tries}", self.method))
                })?;
                return if self.any_status { Ok(response) } else { response.error_for_status() };
            };
            let reason = match outcome {
                Ok(response) => format!("status {}", response.status),
                Err(failure) => failure.error.to_string(),
            };
            log::debug!("{} {url}: {reason}; trying again in {:.1} s", self.method, wait.as_secs_f64());
            retry::pause(wait)?;
            attempt += 1;
        }
    }

    /// One try, with its redirects.
    fn exchange(&self, mut url: Url, body: &[u8]) -> Result<Response, SendFailure> {
        let final_failure = |error| SendFailure { error, transient: false };
        let mut headers = self.headers.clone();
        for _ in 0..=REDIRECTS {
            let incoming = host::send(&Outgoing {
                method: &self.method,
                https: url.https,
                authority: &url.authority,
                path_and_query: &url.path_and_query(),
                headers: &headers,
                body,
                timeouts: self.settings.timeouts,
            })?;
            let response = Response {
                method: self.method.clone(),
                url,
                status: incoming.status,
                headers: incoming.headers,
                body: incoming.body,
            };
            let followed = matches!(self.method.as_str(), "GET" | "HEAD")
                && matches!(response.status, 301 | 302 | 303 | 307 | 308);
            let Some(location) = response.header("location").filter(|_| followed) else {
                return Ok(response);
            };
            let next = response.url.join(location).map_err(final_failure)?;
            if response.url.https && !next.https {
                let error = Error::invalid_data(format!("it redirects to {next}, which is not encrypted"));
                return Err(final_failure(error));
            }
            if !next.same_origin(&response.url) {
                headers.retain(|(name, _)| {
                    PORTABLE_HEADERS.iter().any(|known| name.eq_ignore_ascii_case(known))
                });
            }
            url = next;
        }
        Err(final_failure(Error::invalid_data(format!("it redirects more than {REDIRECTS} times"))))
    }
}

/// An answer. Its body is read from it as a stream ([`std::io::Read`]), or at
/// once.
pub struct Response {
    method: String,
    url: Url,
    status: u16,
    headers: Vec<(String, String)>,
    body: Box<dyn Read>,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Response({} {}: {})", self.method, self.url, self.status)
    }
}

impl Response {
    /// The status, such as 200.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A header's first value; names have no case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All headers.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after").and_then(retry::retry_after)
    }

    /// Fails unless the status is 2xx: 401 and 403 as `auth`, 429 as
    /// `rate-limited`, 408 and 5xx as `unavailable`, others as `invalid-data`.
    /// The message quotes what the server says.
    pub fn error_for_status(mut self) -> Result<Self> {
        let kind = match self.status {
            200..=299 => return Ok(self),
            401 | 403 => ErrorKind::Auth,
            429 => ErrorKind::RateLimited,
            408 | 425 | 500..=599 => ErrorKind::Unavailable,
            _ => ErrorKind::InvalidData,
        };
        let mut body = Vec::new();
        // Half a message says more than none.
        let _ = (&mut self.body).take(ERROR_BODY).read_to_end(&mut body);
        let said = excerpt(&body);
        let colon = if said.is_empty() { "" } else { ": " };
        let error =
            Error::new(kind, format!("{} {}: status {}{colon}{said}", self.method, self.url, self.status));
        Err(match self.retry_after() {
            Some(wait) => error.retry_after(wait),
            None => error,
        })
    }

    /// The body, if it has no more than `limit` bytes.
    pub fn bytes(mut self, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let place = |error: Error| error.context(format_args!("{} {}", self.method, self.url));
        (&mut self.body)
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| place(error.into()))?;
        if bytes.len() as u64 > limit {
            return Err(place(Error::limit_exceeded(format!("the answer has more than {limit} bytes"))));
        }
        Ok(bytes)
    }

    /// The body as text.
    pub fn text(self) -> Result<String> {
        let place = format!("{} {}", self.method, self.url);
        String::from_utf8(self.bytes(BODY_LIMIT)?)
            .map_err(|_| Error::invalid_data(format!("{place}: the answer is not UTF-8")))
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(self) -> Result<T> {
        let place = format!("{} {}", self.method, self.url);
        let bytes = self.bytes(BODY_LIMIT)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let start = excerpt(bytes.get(..EXCERPT).unwrap_or(&bytes));
            Error::invalid_data(format!(
                "{place}: the answer is not what was expected: {error}; it starts {start}"
            ))
        })
    }

    /// The lines of the body, as they come.
    pub fn lines(self) -> impl Iterator<Item = Result<String>> {
        BufReader::new(self).lines().map(|line| line.map_err(Error::from))
    }
}

impl Read for Response {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.body.read(buffer)
    }
}

/// What a server says went wrong: the message in a JSON answer, else the first
/// words.
fn excerpt(body: &[u8]) -> String {
    const PLACES: [&str; 9] = [
        "/error/message",
        "/message",
        "/errorMessage",
        "/error_message",
        "/errors/0/message",
        "/error_description",
        "/detail",
        "/title",
        "/error",
    ];
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message =
        json.as_ref().and_then(|json| PLACES.iter().find_map(|place| json.pointer(place)?.as_str()));
    let text = message.map_or_else(|| String::from_utf8_lossy(body), Into::into);
    let mut words = String::new();
    for word in text.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
        if let Some((end, _)) = words.char_indices().nth(EXCERPT) {
            words.truncate(end);
            words.push('…');
            break;
        }
    }
    words
}

#[cfg(test)]
mod tests;
