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

mod exchange;
mod judge;
mod link;
mod page;
mod pages;
mod paginate;
mod rate;
mod response;
mod retry;
mod token;
mod url;

use std::fmt::Display;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use serde::Serialize;

use self::exchange::Flight;
use self::rate::Limiter;
use self::token::Tokens;
use self::url::Url;
use crate::error::{Error, Result};
use crate::host::Timeouts;

pub use self::judge::{Answer, Verdict};
pub use self::page::{Page, Records};
pub use self::pages::{FetchAll, Pages};
pub use self::paginate::{Cursor, LinkHeader, NextUrl, Offset, PageNumber, Pagination};
pub use self::rate::RateLimit;
pub use self::response::Response;
pub use self::retry::Retry;
pub use self::token::Token;
pub use self::url::encode;

/// The longest body that is read at once, where the author does not say
/// otherwise; longer ones are to be read as a stream.
const BODY_LIMIT: u64 = 64 * 1024 * 1024;

/// Sends requests. Clones share their settings.
#[derive(Debug, Clone)]
pub struct Client {
    settings: Rc<Settings>,
}

#[derive(Clone)]
struct Settings {
    retry: Retry,
    timeouts: Timeouts,
    headers: Vec<(String, String)>,
    body_limit: u64,
    judge: Option<Rc<Judge>>,
    limiter: Option<Rc<Limiter>>,
    tokens: Option<Rc<Tokens>>,
}

/// What [`Client::judge`] takes.
type Judge = dyn Fn(&Answer<'_>) -> Verdict;

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Headers hold credentials.
        f.debug_struct("Settings").field("retry", &self.retry).finish_non_exhaustive()
    }
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
        let settings = Settings {
            retry: Retry::default(),
            timeouts,
            headers: Vec::new(),
            body_limit: BODY_LIMIT,
            judge: None,
            limiter: None,
            tokens: None,
        };
        Self { settings: Rc::new(settings) }
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

    /// How many bytes of an answer are held in memory at most; 64 MiB by default.
    /// A longer one ends in a `limit-exceeded` error, unless it is read as a
    /// stream.
    #[must_use]
    pub fn body_limit(self, bytes: u64) -> Self {
        self.with(|settings| settings.body_limit = bytes)
    }

    /// Sends at most so many requests: this client, and all of its clones from now
    /// on together. Pauses end when the run is cancelled. Say it in
    /// [`Connector::http`](crate::Connector::http), so that it is said once.
    #[must_use]
    pub fn rate_limit(self, limit: RateLimit) -> Self {
        self.with(|settings| settings.limiter = Some(Rc::new(Limiter::new(limit))))
    }

    /// Lets a function decide what an answer means, for APIs that do not say it by
    /// status alone: it sees status, headers and the whole body. Without it an
    /// answer is judged [by its status](Answer::by_status).
    ///
    /// ```
    /// use ow_connector::prelude::*;
    /// use ow_connector::http::Verdict;
    ///
    /// /// An API that answers 200 to everything, with a code.
    /// fn client(client: http::Client) -> http::Client {
    ///     client.judge(|answer| match answer.value_at("/code") {
    ///         Some(0) => Verdict::Accept,
    ///         Some(40100) => Verdict::Retry(Error::rate_limited(answer.message())),
    ///         Some(40105) => Verdict::Fail(Error::auth(answer.message())),
    ///         Some(code) => Verdict::Fail(Error::invalid_data(format!("code {code}: {}", answer.message()))),
    ///         None => answer.by_status(),
    ///     })
    /// }
    /// ```
    ///
    /// The error is told with the request's address before it. Requests that
    /// answer [any status](Request::any_status) are not judged. Downloads that are
    /// too large for memory need a client without this.
    #[must_use]
    pub fn judge(self, judge: impl Fn(&Answer<'_>) -> Verdict + 'static) -> Self {
        self.with(|settings| settings.judge = Some(Rc::new(judge)))
    }

    /// Fetches the answers to many requests, in their order, with so many under way
    /// at once: for sources that are asked day by day, or item by item. After an
    /// error there are no more.
    ///
    /// ```no_run
    /// # use ow_connector::prelude::*;
    /// # fn run(ctx: &mut Context<()>, window: DateRange) -> Result<()> {
    /// let http = ctx.http();
    /// let days = window.days().map(|day| http.get(format!("https://api.example.com/rates/{day}.json")));
    /// for (day, page) in window.days().zip(http.fetch_all(days, 4)) {
    ///     info!("{day} has {} bytes", page?.bytes().len());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn fetch_all<I>(&self, requests: I, under_way: usize) -> FetchAll<I::IntoIter>
    where
        I: IntoIterator<Item = Request>,
    {
        FetchAll::new(requests.into_iter(), under_way)
    }

    /// Sends a token that a function gets: when it is first needed, again shortly
    /// before it expires, and once more for a request that is answered 401. It
    /// goes to the origin of the first request alone, not along with redirects
    /// and next pages elsewhere. The function asks with a client of its own.
    ///
    /// ```
    /// use ow_connector::prelude::*;
    ///
    /// #[derive(Deserialize)]
    /// struct Answer {
    ///     access_token: String,
    ///     expires_in: u64,
    /// }
    ///
    /// fn client(client: http::Client, id: Secret, secret: Secret) -> http::Client {
    ///     let asking = client.clone();
    ///     client.token(move || {
    ///         let form = [("grant_type", "client_credentials")];
    ///         let request = asking.post("https://login.example.com/token").basic(&id, &secret).form(&form);
    ///         let Answer { access_token, expires_in } = request.send()?.json()?;
    ///         Ok(http::Token::bearer(access_token).lifetime(std::time::Duration::from_secs(expires_in)))
    ///     })
    /// }
    /// ```
    #[must_use]
    pub fn token(self, get: impl Fn() -> Result<Token> + 'static) -> Self {
        self.with(|settings| settings.tokens = Some(Rc::new(Tokens::new(get))))
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
        let url = Url::parse(url.as_ref());
        Request {
            settings: Rc::clone(&self.settings),
            home: url.as_ref().ok().cloned(),
            url,
            headers: self.settings.headers.clone(),
            body: Ok(Vec::new()),
            repeatable: matches!(method.as_str(), "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS"),
            any_status: false,
            method,
        }
    }
}

/// A request to be sent. What is wrong with it is told by [`Request::send`].
#[derive(Debug, Clone)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    settings: Rc<Settings>,
    method: String,
    url: Result<Url>,
    /// Of whose origin it is: a token goes nowhere else.
    home: Option<Url>,
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
        let (method, limit) = (self.method.clone(), self.settings.body_limit);
        Ok(Response::new(method, self.launch()?.land(false)?, limit))
    }

    /// Sends the request and reads the whole answer: what breaks off in the middle
    /// is asked for again as well.
    pub fn fetch(self) -> Result<Page> {
        self.launch()?.page()
    }

    /// Sends the request for every page of a listing. While a page is worked on,
    /// the next one is on its way: as soon as its address is known.
    ///
    /// Pages end with the first error, and never go round in a circle: a page, a
    /// mark or a URL that comes again is an error.
    ///
    /// ```no_run
    /// # use ow_connector::prelude::*;
    /// # fn run(ctx: &mut Context<()>, table: Table) -> Result<()> {
    /// let request = ctx.http().get("https://api.example.com/items").query("limit", 100);
    /// for page in request.pages(http::Cursor::new("cursor", "/next_cursor")) {
    ///     let page = page?;
    ///     ctx.write_page(table, &page, "/items", &[])?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn pages(self, pagination: impl Into<Pagination>) -> Pages {
        Pages::new(self, pagination.into())
    }

    /// Sets a parameter of the query, or of the JSON body if its name is a place
    /// there.
    fn parameter(mut self, name: &str, value: impl Into<serde_json::Value>) -> Result<Self> {
        let value = value.into();
        if !name.starts_with('/') {
            if let Ok(url) = &mut self.url {
                match &value {
                    serde_json::Value::String(text) => url.set_query(name, text),
                    other => url.set_query(name, &other.to_string()),
                }
            }
            return Ok(self);
        }
        let wrong = |what: &str| Error::config(format!("`{name}` is a place in the request's body: {what}"));
        let body = self.body.clone()?;
        let mut json: serde_json::Value =
            serde_json::from_slice(&body).map_err(|_| wrong("which is no JSON"))?;
        let (parent, key) = name.rsplit_once('/').unwrap_or_default();
        let parent = json.pointer_mut(parent).and_then(serde_json::Value::as_object_mut);
        let key = key.replace("~1", "/").replace("~0", "~");
        parent.ok_or_else(|| wrong("which has no object there"))?.insert(key, value);
        self.body = Ok(serde_json::to_vec(&json)?);
        Ok(self)
    }
}

impl Flight {
    /// Waits for the whole answer.
    fn page(self) -> Result<Page> {
        let method = self.method().to_owned();
        Ok(Page::new(method, self.land(true)?))
    }
}

#[cfg(test)]
mod tests;
