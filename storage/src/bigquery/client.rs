//! HTTP to BigQuery: one request, repeated while it may help.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde_json::Value;

use super::auth::Auth;
use super::trouble::{ApiError, Trouble};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(20);
/// The longest wait that `Retry-After` may ask for.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// How patient the client is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// The first wait between two attempts; it doubles.
    pub(super) first: Duration,
    /// The longest wait of its own.
    pub(super) longest: Duration,
    /// How often a request is sent at most.
    pub(super) attempts: u32,
    /// How long an answer may take.
    pub(super) answer: Duration,
}

/// Half a minute of waiting in seven steps, then one minute and a half more: a
/// restart of a service is over by then, and quotas count in seconds.
pub(super) const PACE: Pace = Pace {
    first: Duration::from_millis(500),
    longest: Duration::from_secs(32),
    attempts: 10,
    answer: Duration::from_secs(REQUEST_TIMEOUT),
};
/// How many seconds an answer may take where nothing else is said: long enough for
/// a chunk of an upload on a slow line.
pub(super) const REQUEST_TIMEOUT: u64 = 180;

impl Pace {
    /// How long to wait after this many attempts: up to half of it is chance, so
    /// that runs that failed together do not come back together.
    pub(super) fn wait(&self, attempt: u32) -> Duration {
        let full = self.first.saturating_mul(2_u32.saturating_pow(attempt.min(16))).min(self.longest);
        let chance = u32::from(uuid::Uuid::new_v4().as_bytes().first().copied().unwrap_or_default());
        full.mul_f64(f64::from(256 + chance) / 512.0)
    }
}

/// A request.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
    /// What it is, for messages: such as `table `x``.
    pub(super) what: String,
}

/// An answer that is not an error.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) range: Option<String>,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// One way to BigQuery.
pub(super) struct Client {
    http: reqwest::Client,
    auth: Auth,
    /// Where BigQuery is, without a slash at the end.
    endpoint: String,
    pub(super) pace: Pace,
}

/// What came of one attempt.
enum Attempt {
    Answer(Answer),
    /// Worth another one, maybe after this time.
    Again(Trouble, Option<Duration>),
    /// The token was not accepted.
    Unauthorized(Trouble),
    Failed(Trouble),
}

impl Client {
    pub(super) fn new(endpoint: &str, auth: Auth, pace: Pace) -> Result<Arc<Self>, Trouble> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Somebody else may be first; then theirs is used.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(pace.answer)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("ow-host/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Trouble::internal(format!("no HTTP client can be made: {error}")))?;
        Ok(Arc::new(Self { http, auth, endpoint: endpoint.to_owned(), pace }))
    }

    /// The address of a resource; the parts are escaped.
    pub(super) fn url(&self, root: &str, parts: &[&str], query: &[(&str, &str)]) -> String {
        let mut url = format!("{}{root}", self.endpoint);
        for part in parts {
            url.push('/');
            url.push_str(&escape(part));
        }
        for (index, (name, value)) in query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            url.push_str(&escape(value));
        }
        url
    }

    pub(super) async fn get(
        &self,
        parts: &[&str],
        query: &[(&str, &str)],
        what: &str,
    ) -> Result<Value, Trouble> {
        let request = Request {
            method: Method::GET,
            url: self.url("/bigquery/v2", parts, query),
            headers: Vec::new(),
            body: Bytes::new(),
            what: what.to_owned(),
        };
        Ok(self.send(&request).await?.json())
    }

    pub(super) async fn post(&self, parts: &[&str], body: &Value, what: &str) -> Result<Value, Trouble> {
        Ok(self.send(&self.with_body(Method::POST, parts, body, what)).await?.json())
    }

    /// Changes a resource, unless somebody else did since it was read.
    pub(super) async fn patch(
        &self,
        parts: &[&str],
        body: &Value,
        etag: &str,
        what: &str,
    ) -> Result<Value, Trouble> {
        let mut request = self.with_body(Method::PATCH, parts, body, what);
        request.headers.push(("If-Match", etag.to_owned()));
        Ok(self.send(&request).await?.json())
    }

    pub(super) async fn delete(&self, parts: &[&str], what: &str) -> Result<(), Trouble> {
        let request = Request {
            method: Method::DELETE,
            url: self.url("/bigquery/v2", parts, &[]),
            headers: Vec::new(),
            body: Bytes::new(),
            what: what.to_owned(),
        };
        match self.send(&request).await {
            Err(trouble) if trouble.is(404) => Ok(()),
            result => result.map(|_| ()),
        }
    }

    fn with_body(&self, method: Method, parts: &[&str], body: &Value, what: &str) -> Request {
        Request {
            method,
            url: self.url("/bigquery/v2", parts, &[]),
            headers: vec![("Content-Type", "application/json".to_owned())],
            body: body.to_string().into(),
            what: what.to_owned(),
        }
    }

    /// Sends a request until it has an answer that will not change.
    pub(super) async fn send(&self, request: &Request) -> Result<Answer, Trouble> {
        let (mut attempt, mut refused) = (0, 0);
        loop {
            let (trouble, wait) = match self.once(request).await {
                Attempt::Answer(answer) => return Ok(answer),
                Attempt::Failed(trouble) => return Err(trouble),
                Attempt::Unauthorized(trouble) => {
                    refused += 1;
                    if refused > 2 {
                        return Err(trouble);
                    }
                    continue;
                }
                Attempt::Again(trouble, wait) => (trouble, wait),
            };
            attempt += 1;
            if attempt >= self.pace.attempts {
                return Err(trouble);
            }
            let wait = wait.unwrap_or_else(|| self.pace.wait(attempt - 1));
            tracing::debug!(what = request.what, attempt, ?wait, "BigQuery is asked again");
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends a request once; an error that may go away is one too.
    pub(super) async fn try_once(&self, request: &Request) -> Result<Answer, Trouble> {
        for _ in 0..2 {
            match self.once(request).await {
                Attempt::Answer(answer) => return Ok(answer),
                Attempt::Unauthorized(_) => {}
                Attempt::Again(trouble, _) | Attempt::Failed(trouble) => return Err(trouble),
            }
        }
        match self.once(request).await {
            Attempt::Answer(answer) => Ok(answer),
            Attempt::Unauthorized(trouble) | Attempt::Again(trouble, _) | Attempt::Failed(trouble) => {
                Err(trouble)
            }
        }
    }

    async fn once(&self, request: &Request) -> Attempt {
        let token = match self.auth.token(&self.http).await {
            Ok(token) => token,
            Err(trouble) => return Attempt::Failed(trouble),
        };
        let mut builder = self.http.request(request.method.clone(), &request.url);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(token) = &token {
            builder = builder.bearer_auth(token);
        }
        let sent = match builder.body(request.body.clone()).send().await {
            Ok(sent) => sent,
            Err(error) => return Attempt::Again(silent(request, &error), None),
        };
        let status = sent.status().as_u16();
        let header =
            |name: &str| sent.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (location, range, retry_after) = (header("location"), header("range"), header("retry-after"));
        let body = match sent.bytes().await {
            Ok(body) => body,
            Err(error) => return Attempt::Again(silent(request, &error), None),
        };
        if (200..300).contains(&status) || status == 308 {
            return Attempt::Answer(Answer { status, location, range, body });
        }
        let error = ApiError::from_body(status, &body);
        let transient = error.is_transient();
        let trouble = Trouble::Api(error);
        if status == 401 {
            return if self.auth.refused(token.as_deref()).await {
                Attempt::Unauthorized(trouble)
            } else {
                Attempt::Failed(trouble)
            };
        }
        if transient {
            let wait = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
            return Attempt::Again(trouble, wait.map(|wait| wait.min(MAX_WAIT)));
        }
        Attempt::Failed(trouble)
    }
}

fn silent(request: &Request, error: &reqwest::Error) -> Trouble {
    let mut text = if error.is_timeout() {
        "timed out".to_owned()
    } else if error.is_connect() {
        "no connection".to_owned()
    } else {
        "the connection broke".to_owned()
    };
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if inner.source().is_none() {
            text = format!("{text}: {inner}");
        }
        source = inner.source();
    }
    Trouble::Silent { what: request.what.clone(), error: text }
}

/// A part of an address.
fn escape(part: &str) -> String {
    part.bytes().fold(String::with_capacity(part.len()), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_address_stay_parts() {
        assert_eq!(escape("a/../b?c=d e%"), "a%2F..%2Fb%3Fc%3Dd%20e%25");
        assert_eq!(escape("größe"), "gr%C3%B6%C3%9Fe");
    }

    #[test]
    fn waits_grow_and_end() {
        assert!(PACE.wait(0) <= PACE.first && PACE.wait(0) >= PACE.first / 2);
        assert!(PACE.wait(40) <= PACE.longest && PACE.wait(40) >= PACE.longest / 2);
    }
}
