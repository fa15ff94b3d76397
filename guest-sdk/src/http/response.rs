//! An answer, read as a stream or at once.

use std::io::{BufRead, BufReader, Cursor, Read};

use serde::de::DeserializeOwned;

use super::exchange::{Body, Landed, read_whole};
use super::judge::{Answer, ERROR_BODY, Verdict, excerpt, header};
use super::url::Url;
use crate::error::{Error, Result};

/// Bytes of a body that a message quotes.
const START: usize = 300;

/// An answer. Its body is read from it as a stream ([`std::io::Read`]), or at
/// once.
pub struct Response {
    method: String,
    url: Url,
    status: u16,
    headers: Vec<(String, String)>,
    body: Box<dyn Read>,
    body_limit: u64,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Response({} {}: {})", self.method, self.url, self.status)
    }
}

impl Response {
    pub(super) fn new(method: String, landed: Landed, body_limit: u64) -> Self {
        let Landed { url, status, headers, body } = landed;
        let body = match body {
            Body::Stream(stream) => stream,
            Body::Whole(bytes) => Box::new(Cursor::new(bytes)),
        };
        Self { method, url, status, headers, body, body_limit }
    }

    /// The status, such as 200.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A header's first value; names have no case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// All headers.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn place(&self) -> String {
        format!("{} {}", self.method, self.url)
    }

    /// Fails unless the status is 2xx: 401 and 403 as `auth`, 429 as
    /// `rate-limited`, 408 and 5xx as `unavailable`, others as `invalid-data`.
    /// The message quotes what the server says.
    pub fn error_for_status(mut self) -> Result<Self> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let mut body = Vec::new();
        // Half a message says more than none.
        let _ = (&mut self.body).take(ERROR_BODY).read_to_end(&mut body);
        let answer = Answer { status: self.status, headers: &self.headers, body: &body };
        match answer.by_status() {
            Verdict::Accept => Ok(self),
            Verdict::Retry(error) | Verdict::Fail(error) => Err(error.context(self.place())),
        }
    }

    /// The body, if it has no more than `limit` bytes.
    pub fn bytes(mut self, limit: u64) -> Result<Vec<u8>> {
        let place = self.place();
        read_whole(&mut *self.body, limit, 0).map_err(|error| error.context(place))
    }

    /// The body as text.
    pub fn text(self) -> Result<String> {
        let (place, limit) = (self.place(), self.body_limit);
        String::from_utf8(self.bytes(limit)?)
            .map_err(|_| Error::invalid_data(format!("{place}: the answer is not UTF-8")))
    }

    /// The body as a JSON value.
    pub fn json<T: DeserializeOwned>(self) -> Result<T> {
        let (place, limit) = (self.place(), self.body_limit);
        let bytes = self.bytes(limit)?;
        serde_json::from_slice(&bytes).map_err(|error| unexpected(&place, &bytes, &error))
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

/// The error for a body that is something else.
pub(super) fn unexpected(place: &str, body: &[u8], error: &dyn std::fmt::Display) -> Error {
    let start = excerpt(body.get(..START).unwrap_or(body));
    Error::invalid_data(format!("{place}: the answer is not what was expected: {error}; it starts {start}"))
}
