//! What an answer means: by its status, or in an API's own words.

use serde::Deserialize;

use super::retry;
use crate::error::{Error, ErrorKind, Result};

/// Characters of an error's body that its message quotes.
const EXCERPT: usize = 300;

/// Bytes of a body that are looked at for its message.
pub(super) const ERROR_BODY: u64 = 16 * 1024;

/// What is to be done with an answer: see [`Client::judge`](super::Client::judge).
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is what was asked for.
    Accept,
    /// A later try may succeed: try again as [`Retry`](super::Retry) says, after
    /// the error's own [`wait`](Error::retry_after) if it has one. If there is no
    /// other try, this is the error.
    Retry(Error),
    /// It is a failure that stays one.
    Fail(Error),
}

/// An answer on trial: status, headers and the whole body.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    pub(super) status: u16,
    pub(super) headers: &'a [(String, String)],
    pub(super) body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// The status, such as 200.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A header's first value; names have no case.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        header(self.headers, name)
    }

    /// The body.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The body as a value, borrowed where the type borrows. Name only the fields
    /// that you look at: the others are skipped.
    pub fn json<T: Deserialize<'a>>(&self) -> Result<T> {
        Ok(serde_json::from_slice(self.body)?)
    }

    /// The message in the body, as the client would quote it: at most 300
    /// characters.
    pub fn message(&self) -> String {
        excerpt(self.body)
    }

    /// What the client makes of an answer on its own: 2xx is accepted; 408, 425,
    /// 429 and 5xx are tried again, after `Retry-After` if there is one; 401 and
    /// 403 fail as `auth`, others as `invalid-data`.
    pub fn by_status(&self) -> Verdict {
        let kind = match self.status {
            200..=299 => return Verdict::Accept,
            401 | 403 => ErrorKind::Auth,
            429 => ErrorKind::RateLimited,
            408 | 425 | 500..=599 => ErrorKind::Unavailable,
            _ => ErrorKind::InvalidData,
        };
        let said = excerpt(self.body.get(..ERROR_BODY as usize).unwrap_or(self.body));
        let colon = if said.is_empty() { "" } else { ": " };
        let mut error = Error::new(kind, format!("status {}{colon}{said}", self.status));
        if let Some(wait) = self.header("retry-after").and_then(retry::retry_after) {
            error = error.retry_after(wait);
        }
        if retry::is_transient(self.status) { Verdict::Retry(error) } else { Verdict::Fail(error) }
    }
}

pub(super) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// What a server says went wrong: the message in a JSON answer, else the first
/// words.
pub(super) fn excerpt(body: &[u8]) -> String {
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
