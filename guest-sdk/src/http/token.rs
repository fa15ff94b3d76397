//! A token that is got when it is needed, and got again when it expires or the
//! source does not take it any more.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use crate::error::Result;
use crate::host;

/// A token is renewed this long before it expires, or after half of its life if
/// that is shorter.
const MARGIN: Duration = Duration::from_secs(60);

/// What [`Client::token`](super::Client::token) sends: a header, and for how long
/// it is good.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    header: String,
    value: String,
    lifetime: Option<Duration>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("header", &self.header).finish_non_exhaustive()
    }
}

impl Token {
    /// `Authorization: Bearer …`.
    pub fn bearer(token: impl fmt::Display) -> Self {
        Self::new("authorization", format_args!("Bearer {token}"))
    }

    /// Another header.
    pub fn new(header: impl Into<String>, value: impl fmt::Display) -> Self {
        Self { header: header.into(), value: value.to_string(), lifetime: None }
    }

    /// How long it is good from now on; without it until the source answers 401.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }
}

/// The token of a client and where it comes from.
pub(super) struct Tokens {
    get: Box<dyn Fn() -> Result<Token>>,
    held: RefCell<Option<Held>>,
}

struct Held {
    token: Token,
    /// When it is to be renewed, by the host's clock.
    until: Option<Duration>,
}

impl Tokens {
    pub(super) fn new(get: impl Fn() -> Result<Token> + 'static) -> Self {
        Self { get: Box::new(get), held: RefCell::default() }
    }

    /// The header that a request carries now.
    pub(super) fn header(&self) -> Result<(String, String)> {
        let fresh = |held: &&Held| held.until.is_none_or(|until| host::elapsed() < until);
        if let Some(held) = self.held.borrow().as_ref().filter(fresh) {
            return Ok((held.token.header.clone(), held.token.value.clone()));
        }
        let token = (self.get)()?;
        let header = (token.header.clone(), token.value.clone());
        let until = token.lifetime.map(|life| host::elapsed() + life.saturating_sub(MARGIN.min(life / 2)));
        self.held.replace(Some(Held { token, until }));
        Ok(header)
    }

    /// Forgets a token that the source did not take, unless there is another one
    /// already.
    pub(super) fn refused(&self, value: &str) {
        let mut held = self.held.borrow_mut();
        if held.as_ref().is_some_and(|held| held.token.value == value) {
            *held = None;
        }
    }
}
