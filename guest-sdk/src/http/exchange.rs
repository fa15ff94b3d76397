//! A request and its answer: sent, followed through redirects, judged, tried
//! again.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::Read;

use super::judge::{Answer, ERROR_BODY, Verdict, header};
use super::url::Url;
use super::{Request, Retry, retry};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{self, Incoming, Outgoing, SendFailure};

/// Redirects that one request follows.
const REDIRECTS: usize = 10;

/// Headers that still make sense to another origin.
const PORTABLE_HEADERS: [&str; 3] = ["accept", "accept-language", "user-agent"];

/// Bytes for which room is made because a header says that they come.
const TRUSTED_LENGTH: usize = 8 * 1024 * 1024;

/// A request under way.
pub(super) struct Flight {
    request: Request,
    url: Url,
    body: Vec<u8>,
    pending: Option<host::Pending>,
    /// The token that was sent last, if any.
    shown: RefCell<Option<String>>,
    /// Whether a token was refused already.
    renewed: bool,
}

/// An answer that was accepted.
pub(super) struct Landed {
    pub(super) url: Url,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
}

/// The body of an answer: still to be read, or read.
pub(super) enum Body {
    Stream(Box<dyn Read>),
    Whole(Vec<u8>),
}

/// Why a try failed.
struct Trouble {
    error: Error,
    /// Whether another try may end otherwise.
    again: bool,
    /// Whether the server answered: then its own words say enough.
    answered: bool,
    /// What to answer after the last try, where any status will do.
    landed: Option<Box<Landed>>,
}

impl Trouble {
    fn unanswered(failure: SendFailure) -> Self {
        Self { error: failure.error, again: failure.transient, answered: false, landed: None }
    }

    fn last(error: Error) -> Self {
        Self { error, again: false, answered: true, landed: None }
    }
}

impl Request {
    /// Sends the request and does not wait for the answer.
    pub(super) fn launch(self) -> Result<Flight> {
        let url = self.url.clone()?;
        let body = self.body.clone()?;
        let mut flight =
            Flight { request: self, url, body, pending: None, shown: RefCell::default(), renewed: false };
        let place = flight.place();
        let pending =
            flight.depart(&flight.url, &flight.request.headers).map_err(|error| error.context(place))?;
        flight.pending = Some(pending);
        Ok(flight)
    }
}

impl Flight {
    /// Waits for the answer; asks again where that helps. A `whole` body is read
    /// here, so that one that breaks off is asked for again as well.
    pub(super) fn land(mut self, whole: bool) -> Result<Landed> {
        let settings = &self.request.settings;
        let retry = if self.request.repeatable { settings.retry.clone() } else { Retry::never() };
        let mut attempt = 1;
        loop {
            let Trouble { error, again, answered, landed } = match self.attempt(whole) {
                Ok(landed) => return Ok(landed),
                Err(trouble) => trouble,
            };
            let wait = if again { retry.wait(attempt, error.wait(), retry::random()) } else { None };
            let Some(wait) = wait else {
                let tries = if attempt > 1 && !answered {
                    format!(" (tried {attempt} times)")
                } else {
                    String::new()
                };
                return landed
                    .map(|landed| *landed)
                    .ok_or_else(|| error.context(format_args!("{}{tries}", self.place())));
            };
            log::debug!("{}: {error}; trying again in {:.1} s", self.place(), wait.as_secs_f64());
            retry::pause(wait)?;
            attempt += 1;
        }
    }

    pub(super) fn method(&self) -> &str {
        &self.request.method
    }

    /// What it asks for, for messages.
    fn place(&self) -> String {
        format!("{} {}", self.request.method, self.url)
    }

    /// Sends to an address when it is its turn.
    fn depart(&self, url: &Url, headers: &[(String, String)]) -> Result<host::Pending> {
        let settings = &self.request.settings;
        if let Some(limiter) = &settings.limiter {
            limiter.depart()?;
        }
        // After the wait, during which a token may expire.
        let headers = self.with_token(url, headers)?;
        Ok(host::start(&Outgoing {
            method: &self.request.method,
            https: url.https,
            authority: &url.authority,
            path_and_query: &url.path_and_query(),
            headers: &headers,
            body: &self.body,
            timeouts: settings.timeouts,
        }))
    }

    /// The headers, with the client's token where it may go.
    fn with_token<'h>(
        &self,
        url: &Url,
        headers: &'h [(String, String)],
    ) -> Result<Cow<'h, [(String, String)]>> {
        let home = self.request.home.as_ref().is_some_and(|home| home.same_origin(url));
        let Some(tokens) = self.request.settings.tokens.as_ref().filter(|_| home) else {
            self.shown.replace(None);
            return Ok(Cow::Borrowed(headers));
        };
        let (name, value) = tokens.header()?;
        self.shown.replace(Some(value.clone()));
        let others = headers.iter().filter(|(known, _)| !known.eq_ignore_ascii_case(&name)).cloned();
        let mut headers: Vec<(String, String)> = others.collect();
        headers.push((name, value));
        Ok(Cow::Owned(headers))
    }

    /// Whether a refused request is worth another try, with a new token.
    fn renew(&mut self, status: u16) -> bool {
        let Some(tokens) = self.request.settings.tokens.as_ref().filter(|_| status == 401) else {
            return false;
        };
        let Some(shown) = self.shown.take() else { return false };
        tokens.refused(&shown);
        !std::mem::replace(&mut self.renewed, true)
    }

    /// One try: the request that is under way, or a new one.
    fn attempt(&mut self, whole: bool) -> Result<Landed, Trouble> {
        let (mut url, mut incoming) = self.follow().map_err(Trouble::unanswered)?;
        if self.renew(incoming.status) {
            (url, incoming) = self.follow().map_err(Trouble::unanswered)?;
        }
        let Incoming { status, headers, body } = incoming;
        let mut landed = Landed { url, status, headers, body: Body::Stream(body) };
        let judge = self.request.settings.judge.clone().filter(|_| !self.request.any_status);
        let fine = (200..300).contains(&status) || self.request.any_status;
        if judge.is_some() || (whole && fine) {
            self.read_whole(&mut landed)?;
        }
        let verdict = match &judge {
            Some(judge) => judge(&landed.answer()),
            None if self.request.any_status => {
                let verdict = landed.answer().by_status();
                return match verdict {
                    Verdict::Retry(error) => {
                        Err(Trouble { error, again: true, answered: true, landed: Some(Box::new(landed)) })
                    }
                    _ => Ok(landed),
                };
            }
            None if fine => Verdict::Accept,
            None => {
                landed.read_message();
                landed.answer().by_status()
            }
        };
        match verdict {
            Verdict::Accept => Ok(landed),
            Verdict::Retry(error) => Err(Trouble { again: true, ..Trouble::last(landed.waiting(error)) }),
            Verdict::Fail(error) => Err(Trouble::last(error)),
        }
    }

    fn read_whole(&self, landed: &mut Landed) -> Result<(), Trouble> {
        let limit = self.request.settings.body_limit;
        landed.read_whole(limit).map_err(|error| {
            let again = error.kind() == ErrorKind::Unavailable;
            Trouble { again, answered: false, ..Trouble::last(error) }
        })
    }

    /// The answer to the request that is under way, at the end of its redirects.
    fn follow(&mut self) -> Result<(Url, Incoming), SendFailure> {
        let final_failure = |error| SendFailure { error, transient: false };
        let mut url = self.url.clone();
        let mut headers = self.request.headers.clone();
        let mut pending = self.pending.take();
        for _ in 0..=REDIRECTS {
            let sent = match pending.take() {
                Some(pending) => pending,
                None => self.depart(&url, &headers).map_err(final_failure)?,
            };
            let incoming = sent.finish()?;
            let followed = matches!(self.request.method.as_str(), "GET" | "HEAD")
                && matches!(incoming.status, 301 | 302 | 303 | 307 | 308);
            let Some(location) = header(&incoming.headers, "location").filter(|_| followed) else {
                return Ok((url, incoming));
            };
            let next = url.join(location).map_err(final_failure)?;
            if url.https && !next.https {
                let error = Error::invalid_data(format!("it redirects to {next}, which is not encrypted"));
                return Err(final_failure(error));
            }
            if !next.same_origin(&url) {
                keep_portable(&mut headers);
            }
            url = next;
        }
        Err(final_failure(Error::invalid_data(format!("it redirects more than {REDIRECTS} times"))))
    }
}

/// Leaves the headers that may go to another origin.
pub(super) fn keep_portable(headers: &mut Vec<(String, String)>) {
    headers.retain(|(name, _)| PORTABLE_HEADERS.iter().any(|known| name.eq_ignore_ascii_case(known)));
}

impl Landed {
    fn answer(&self) -> Answer<'_> {
        let body = match &self.body {
            Body::Whole(bytes) => bytes.as_slice(),
            Body::Stream(_) => &[],
        };
        Answer { status: self.status, headers: &self.headers, body }
    }

    /// An error of a judge that does not say how long to wait waits as long as the
    /// server says.
    fn waiting(&self, error: Error) -> Error {
        match header(&self.headers, "retry-after").and_then(retry::retry_after) {
            Some(wait) if error.wait().is_none() => error.retry_after(wait),
            _ => error,
        }
    }

    /// Reads as much of the body as an error message needs: half a message says
    /// more than none.
    fn read_message(&mut self) {
        if let Body::Stream(stream) = &mut self.body {
            let mut bytes = Vec::new();
            let _ = stream.take(ERROR_BODY).read_to_end(&mut bytes);
            self.body = Body::Whole(bytes);
        }
    }

    /// Reads the body, if it has no more than `limit` bytes.
    pub(super) fn read_whole(&mut self, limit: u64) -> Result<()> {
        let Body::Stream(stream) = &mut self.body else { return Ok(()) };
        let length = header(&self.headers, "content-length").and_then(|length| length.trim().parse().ok());
        self.body = Body::Whole(read_whole(stream, limit, length.unwrap_or(0))?);
        Ok(())
    }
}

/// Reads a stream to its end, if it has no more than `limit` bytes; `expected`
/// is a hint.
pub(super) fn read_whole(stream: &mut dyn Read, limit: u64, expected: usize) -> Result<Vec<u8>> {
    // One byte more than expected, so that the end is found without growing.
    let mut bytes = Vec::with_capacity(expected.min(TRUSTED_LENGTH) + 1);
    stream.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(Error::limit_exceeded(format!("the answer has more than {limit} bytes")));
    }
    Ok(bytes)
}
