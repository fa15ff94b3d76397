//! How an API cuts its answer into pages, declared: five ways and none.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use super::exchange::keep_portable;
use super::page::Page;
use super::{Request, link};
use crate::error::{Error, Result};
use crate::json::{Found, Pointer, Scanner, Token};

/// Addresses that are remembered to notice one that comes back. A circle that is
/// longer goes on until the run's time is over.
const REMEMBERED: usize = 1 << 20;

/// A way to page, for connectors that learn it from their configuration: each of
/// the five becomes one by `into`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Pagination {
    /// There is one page.
    Single,
    /// Pages have numbers.
    PageNumber(PageNumber),
    /// Pages begin at a record.
    Offset(Offset),
    /// A page says under which mark the next one is found.
    Cursor(Cursor),
    /// A page holds the next one's URL.
    NextUrl(NextUrl),
    /// The next page's URL stands in the header `Link`.
    LinkHeader(LinkHeader),
}

macro_rules! ways {
    ($($way:ident),*) => {$(
        impl From<$way> for Pagination {
            fn from(way: $way) -> Self {
                Self::$way(way)
            }
        }
    )*};
}

ways!(PageNumber, Offset, Cursor, NextUrl, LinkHeader);

/// Pages have numbers: `?page=1`, `?page=2`, until one has no records, or as many
/// as the source counts have come. A page that is shorter than asked for is not
/// taken for the last: many servers cap what one page holds.
///
/// ```no_run
/// # use ow_connector::prelude::*;
/// # fn run(ctx: &mut Context<()>) -> Result<()> {
/// let pages = http::PageNumber::new("page", "/data/list")
///     .size("page_size", 1000)
///     .total_pages("/data/page_info/total_page")
///     .ahead(4);
/// for page in ctx.http().get("https://api.example.com/report").pages(pages) {
///     for record in page?.records::<&serde_json::value::RawValue>("/data/list")? {
///         info!("{}", record?);
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct PageNumber {
    pub(super) numbered: Numbered,
}

/// Pages begin at a record: `?offset=0`, `?offset=100`, by as many as came, until
/// none come, or as many as the source counts have come.
///
/// ```no_run
/// # use ow_connector::prelude::*;
/// # fn run(ctx: &mut Context<()>) -> Result<()> {
/// let pages = http::Offset::new("offset", "/items").size("limit", 100).total_records("/total");
/// for page in ctx.http().get("https://api.example.com/items").pages(pages) {
///     info!("{} bytes", page?.bytes().len());
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Offset {
    pub(super) numbered: Numbered,
}

/// What [`PageNumber`] and [`Offset`] share.
#[derive(Debug, Clone)]
pub(super) struct Numbered {
    pub(super) parameter: String,
    pub(super) first: u64,
    pub(super) records: String,
    pub(super) optional: bool,
    pub(super) size: Option<(String, u64)>,
    pub(super) total_records: Option<String>,
    pub(super) total_pages: Option<String>,
    pub(super) ahead: usize,
}

impl Numbered {
    fn new(parameter: String, records: String, first: u64) -> Self {
        Self {
            parameter,
            first,
            records,
            optional: false,
            size: None,
            total_records: None,
            total_pages: None,
            ahead: 1,
        }
    }
}

/// What the builders of both say in the same words.
macro_rules! numbered {
    () => {
        /// Asks for pages of so many records, by this parameter.
        #[must_use]
        pub fn size(mut self, parameter: impl Into<String>, records: u64) -> Self {
            self.numbered.size = Some((parameter.into(), records.max(1)));
            self
        }

        /// Takes a missing list of records for an empty one.
        #[must_use]
        pub fn optional_records(mut self) -> Self {
            self.numbered.optional = true;
            self
        }

        /// Where a page says how many records there are in all.
        #[must_use]
        pub fn total_records(mut self, pointer: impl Into<String>) -> Self {
            self.numbered.total_records = Some(pointer.into());
            self
        }

        /// How many requests are under way while a page is worked on: 1 by default,
        /// 0 to ask only when the page is wanted. More than 1 counts where it is
        /// known how many pages there are.
        #[must_use]
        pub fn ahead(mut self, requests: usize) -> Self {
            self.numbered.ahead = requests;
            self
        }
    };
}

impl PageNumber {
    /// By a parameter of the query, and the place of a page's records. A parameter
    /// that starts with `/` is a place in the request's JSON body instead.
    pub fn new(parameter: impl Into<String>, records: impl Into<String>) -> Self {
        Self { numbered: Numbered::new(parameter.into(), records.into(), 1) }
    }

    /// The number of the first page; 1 by default.
    #[must_use]
    pub fn first(mut self, number: u64) -> Self {
        self.numbered.first = number;
        self
    }

    /// Where a page says how many pages there are.
    #[must_use]
    pub fn total_pages(mut self, pointer: impl Into<String>) -> Self {
        self.numbered.total_pages = Some(pointer.into());
        self
    }

    numbered!();
}

impl Offset {
    /// By a parameter of the query, and the place of a page's records. A parameter
    /// that starts with `/` is a place in the request's JSON body instead.
    pub fn new(parameter: impl Into<String>, records: impl Into<String>) -> Self {
        Self { numbered: Numbered::new(parameter.into(), records.into(), 0) }
    }

    /// The offset of the first record; 0 by default.
    #[must_use]
    pub fn first(mut self, offset: u64) -> Self {
        self.numbered.first = offset;
        self
    }

    numbered!();
}

/// A page says under which mark the next one is found: `?cursor=…`, until there
/// is none (missing, `null`, `false` or empty).
///
/// ```no_run
/// # use ow_connector::prelude::*;
/// # fn run(ctx: &mut Context<()>) -> Result<()> {
/// let pages = http::Cursor::new("after", "/paging/cursors/after").more("/paging/has_more");
/// for page in ctx.http().get("https://api.example.com/items").pages(pages) {
///     info!("{} bytes", page?.bytes().len());
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Cursor {
    parameter: String,
    pointer: String,
    more: Option<String>,
    ahead: bool,
}

impl Cursor {
    /// By a parameter of the query, and where a page has the next one's mark. A
    /// parameter that starts with `/` is a place in the request's JSON body
    /// instead.
    pub fn new(parameter: impl Into<String>, pointer: impl Into<String>) -> Self {
        Self { parameter: parameter.into(), pointer: pointer.into(), more: None, ahead: true }
    }

    /// Where a page says whether there is another: then it decides, and a mark
    /// that is missing is an error.
    #[must_use]
    pub fn more(mut self, pointer: impl Into<String>) -> Self {
        self.more = Some(pointer.into());
        self
    }

    /// Asks for a page only when it is wanted.
    #[must_use]
    pub fn not_ahead(mut self) -> Self {
        self.ahead = false;
        self
    }
}

/// A page holds the next one's URL, whole or relative, until there is none
/// (missing, `null`, `false` or empty). The request is repeated at that URL. One
/// of another origin is asked without credentials, and only if the operator
/// granted that origin.
///
/// ```no_run
/// # use ow_connector::prelude::*;
/// # fn run(ctx: &mut Context<()>, token: Secret) -> Result<()> {
/// let first = ctx.http().get("https://graph.example.com/ads").query("access_token", token.expose());
/// for page in first.pages(http::NextUrl::new("/paging/next").keep("access_token")) {
///     info!("{} bytes", page?.bytes().len());
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct NextUrl {
    pointer: String,
    kept: Vec<String>,
    ahead: bool,
}

impl NextUrl {
    /// By the place of the URL in a page.
    pub fn new(pointer: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), kept: Vec::new(), ahead: true }
    }

    /// Puts a parameter of the first request's query into the next URLs as well,
    /// in place of what they say of it; never into those of another origin.
    #[must_use]
    pub fn keep(mut self, parameter: impl Into<String>) -> Self {
        self.kept.push(parameter.into());
        self
    }

    /// Asks for a page only when it is wanted.
    #[must_use]
    pub fn not_ahead(mut self) -> Self {
        self.ahead = false;
        self
    }
}

/// The next page's URL stands in the header `Link` (RFC 8288), as
/// `<https://…>; rel="next"`: with the rules of [`NextUrl`].
///
/// ```no_run
/// # use ow_connector::prelude::*;
/// # fn run(ctx: &mut Context<()>) -> Result<()> {
/// let first = ctx.http().get("https://api.github.com/repos/rust-lang/rust/contributors");
/// for page in first.query("per_page", 100).pages(http::LinkHeader::new()) {
///     info!("{} bytes", page?.bytes().len());
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct LinkHeader {
    kept: Vec<String>,
    ahead: bool,
}

impl Default for LinkHeader {
    fn default() -> Self {
        Self::new()
    }
}

impl LinkHeader {
    /// The link to the next page.
    pub fn new() -> Self {
        Self { kept: Vec::new(), ahead: true }
    }

    /// Puts a parameter of the first request's query into the next URLs as well,
    /// in place of what they say of it; never into those of another origin.
    #[must_use]
    pub fn keep(mut self, parameter: impl Into<String>) -> Self {
        self.kept.push(parameter.into());
        self
    }

    /// Asks for a page only when it is wanted.
    #[must_use]
    pub fn not_ahead(mut self) -> Self {
        self.ahead = false;
        self
    }
}

/// Pages that lead to one another: what is known of the way.
pub(super) struct Chain {
    first: Request,
    way: Way,
    seen: HashSet<u64>,
    hashes: RandomState,
    pub(super) ahead: bool,
}

enum Way {
    Single,
    Cursor { parameter: String, pointer: Pointer, more: Option<Pointer> },
    Url { pointer: Pointer, kept: Vec<String> },
    Link { kept: Vec<String> },
}

impl Chain {
    pub(super) fn single(first: Request) -> Self {
        Self::new(first, Way::Single, false)
    }

    pub(super) fn cursor(first: Request, way: Cursor) -> Result<Self> {
        let pointer = Pointer::parse(&way.pointer)?;
        let more = way.more.as_deref().map(Pointer::parse).transpose()?;
        Ok(Self::new(first, Way::Cursor { parameter: way.parameter, pointer, more }, way.ahead))
    }

    pub(super) fn next_url(first: Request, way: NextUrl) -> Result<Self> {
        let pointer = Pointer::parse(&way.pointer)?;
        Ok(Self::new(first, Way::Url { pointer, kept: way.kept }, way.ahead))
    }

    pub(super) fn link(first: Request, way: LinkHeader) -> Self {
        Self::new(first, Way::Link { kept: way.kept }, way.ahead)
    }

    fn new(first: Request, way: Way, ahead: bool) -> Self {
        Self { first, way, seen: HashSet::new(), hashes: RandomState::new(), ahead }
    }

    pub(super) fn is_single(&self) -> bool {
        matches!(self.way, Way::Single)
    }

    pub(super) fn first(&self) -> Request {
        self.first.clone()
    }

    /// The request for the page after this one; `None` after the last.
    pub(super) fn after(&mut self, page: &Page) -> Result<Option<Request>> {
        let (address, request) = match &self.way {
            Way::Single => return Ok(None),
            Way::Cursor { parameter, pointer, more } => {
                let Some(cursor) = next_cursor(page, pointer, more.as_ref())? else { return Ok(None) };
                let request = self.first.clone().parameter(parameter, cursor.as_str())?;
                (cursor, request)
            }
            Way::Url { pointer, kept } => {
                let Some(url) = text_at(page, pointer)? else { return Ok(None) };
                self.follow(page, &url, kept)?
            }
            Way::Link { kept } => {
                let Some(url) = link::next(page.headers()) else { return Ok(None) };
                self.follow(page, url, kept)?
            }
        };
        if self.seen.len() >= REMEMBERED {
            self.seen.clear();
        }
        // The first page is where its URL says; a cursor leads to it by no name.
        if !matches!(self.way, Way::Cursor { .. })
            && let Ok(url) = &self.first.url
        {
            self.seen.insert(self.hashes.hash_one(url.whole()));
        }
        if self.seen.insert(self.hashes.hash_one(&address)) {
            Ok(Some(request))
        } else {
            Err(page.wrong(&"the next page is one that was there before: the source leads in a circle"))
        }
    }

    /// The request for a URL that a page names.
    fn follow(&self, page: &Page, url: &str, kept: &[String]) -> Result<(String, Request)> {
        let invalid = |error: Error| page.wrong(&format_args!("the next page's address is no use: {error}"));
        let mut next = page.url.join(url).map_err(invalid)?;
        let mut request = self.first.clone();
        let first = request.url.clone()?;
        if page.url.https && !next.https {
            return Err(page.wrong(&format_args!("the next page, {next}, is not encrypted")));
        }
        if next.same_origin(&first) {
            for name in kept {
                next.copy_query(&first, name);
            }
        } else {
            if !matches!(request.method.as_str(), "GET" | "HEAD") {
                let message = format!("the next page, {next}, is of another origin: nothing is sent there");
                return Err(page.wrong(&message));
            }
            keep_portable(&mut request.headers);
            request.body = Ok(Vec::new());
        }
        let address = next.whole();
        request.url = Ok(next);
        Ok((address, request))
    }
}

/// The next page's mark.
fn next_cursor(page: &Page, pointer: &Pointer, more: Option<&Pointer>) -> Result<Option<String>> {
    let Some(more) = more else { return text_at(page, pointer) };
    let [said, mark] = *page.locate(&[more, pointer])? else { return Ok(None) };
    let Some(said) = said else {
        return Err(page.wrong(&format_args!("there is nothing at `{}`", more.text)));
    };
    match page.text_of(&said)?.trim_matches('"') {
        "true" | "1" => {}
        "false" | "0" | "null" => return Ok(None),
        _ => return Err(page.wrong(&format_args!("`{}` is neither true nor false", more.text))),
    }
    let mark = mark.map(|mark| text_of(page, pointer, &mark)).transpose()?.flatten();
    let missing = || page.wrong(&format_args!("there are more pages, but no mark at `{}`", pointer.text));
    mark.ok_or_else(missing).map(Some)
}

/// A text or number in a page; nothing where it is missing, `null`, `false` or
/// empty.
fn text_at(page: &Page, pointer: &Pointer) -> Result<Option<String>> {
    let found = page.locate(&[pointer])?.into_iter().flatten().next();
    Ok(found.map(|found| text_of(page, pointer, &found)).transpose()?.flatten())
}

fn text_of(page: &Page, pointer: &Pointer, found: &Found) -> Result<Option<String>> {
    let token = Scanner::new(page.text_of(found)?).token()?;
    let text = match token {
        Token::Null | Token::Bool(false) => return Ok(None),
        Token::Text(text) => text.decode(&mut String::new()).map(ToOwned::to_owned),
        Token::Number(number, _) => Some(number.to_owned()),
        Token::Bool(true) | Token::Nested => None,
    };
    let wrong = || page.wrong(&format_args!("what stands at `{}` does not lead to a page", pointer.text));
    Ok(Some(text.ok_or_else(wrong)?).filter(|text| !text.is_empty()))
}
