//! A whole answer, and the records in it: each is deserialized when its turn
//! comes, borrowed from the page, without a tree of the rest.

use std::marker::PhantomData;

use serde::Deserialize;

use super::exchange::{Body, Landed};
use super::judge::header;
use super::response::unexpected;
use super::url::Url;
use crate::error::{Error, Result};
use crate::json::{self, Broken, Found, Pointer, Scanner};

/// Bytes of a record that a message quotes.
const QUOTED: usize = 100;

/// A whole answer: what [`Request::fetch`](super::Request::fetch) answers, and
/// one of [`Request::pages`](super::Request::pages).
///
/// ```no_run
/// # use ow_connector::prelude::*;
/// #[derive(Deserialize)]
/// struct Item<'a> {
///     id: i64,
///     #[serde(borrow)]
///     name: std::borrow::Cow<'a, str>,
/// }
///
/// # fn run(ctx: &mut Context<()>) -> Result<()> {
/// let page = ctx.http().get("https://api.example.com/items").fetch()?;
/// for item in page.records::<Item<'_>>("/data/list")? {
///     let Item { id, name } = item?;
///     info!("{id} is {name}");
/// }
/// # Ok(()) }
/// ```
pub struct Page {
    method: String,
    pub(super) url: Url,
    status: u16,
    headers: Vec<(String, String)>,
    content: Content,
    /// The list that the pagination found already.
    found: Option<(String, usize)>,
}

enum Content {
    Text(String),
    Binary(Vec<u8>),
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Page({} {}: {}, {} bytes)", self.method, self.url, self.status, self.bytes().len())
    }
}

impl Page {
    pub(super) fn new(method: String, landed: Landed) -> Self {
        let Landed { url, status, headers, body } = landed;
        let bytes = match body {
            Body::Whole(bytes) => bytes,
            Body::Stream(_) => Vec::new(),
        };
        let content = match String::from_utf8(bytes) {
            Ok(text) => Content::Text(text),
            Err(error) => Content::Binary(error.into_bytes()),
        };
        Self { method, url, status, headers, content, found: None }
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

    /// The body.
    pub fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::Text(text) => text.as_bytes(),
            Content::Binary(bytes) => bytes,
        }
    }

    /// The body, handed over.
    pub fn into_bytes(self) -> Vec<u8> {
        match self.content {
            Content::Text(text) => text.into_bytes(),
            Content::Binary(bytes) => bytes,
        }
    }

    /// The body as text.
    pub fn text(&self) -> Result<&str> {
        match &self.content {
            Content::Text(text) => Ok(text),
            Content::Binary(_) => {
                Err(Error::invalid_data(format!("{}: the answer is not UTF-8", self.place())))
            }
        }
    }

    /// The body as JSON: without the mark that some servers put before it.
    fn json(&self) -> Result<&str> {
        self.text().map(|text| text.strip_prefix('\u{feff}').unwrap_or(text))
    }

    fn place(&self) -> String {
        format!("{} {}", self.method, self.url)
    }

    fn unexpected(&self, error: &dyn std::fmt::Display) -> Error {
        unexpected(&self.place(), self.bytes(), error)
    }

    /// The whole page as a JSON value, borrowed where the type borrows.
    pub fn value<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        serde_json::from_str(self.json()?).map_err(|error| self.unexpected(&error))
    }

    /// The value at a place, such as `/data/summary`; `None` where there is
    /// nothing or `null`.
    pub fn value_at<'a, T: Deserialize<'a>>(&'a self, pointer: &str) -> Result<Option<T>> {
        let Some((text, at)) = self.seek(pointer)? else { return Ok(None) };
        let value = Scanner::from(text, at).value().map_err(|error| self.unexpected(&error))?;
        if value == "null" {
            return Ok(None);
        }
        serde_json::from_str(value)
            .map(Some)
            .map_err(|error| self.unexpected(&format_args!("{error} in the value of `{pointer}`")))
    }

    /// The records of the list at a place, such as `/data/list`; the empty place
    /// is the whole page. `null` is an empty list. Where there is nothing, the
    /// API has changed: an error, unless [`Page::optional_records`] says otherwise.
    ///
    /// `records::<&RawValue>` hands out the text of each record.
    pub fn records<'a, T: Deserialize<'a>>(&'a self, pointer: &str) -> Result<Records<'a, T>> {
        let list = self.list(pointer)?;
        list.map(Records::new).ok_or_else(|| self.no_list(pointer))
    }

    /// The same, for APIs that leave an empty list out.
    pub fn optional_records<'a, T: Deserialize<'a>>(&'a self, pointer: &str) -> Result<Records<'a, T>> {
        let nothing =
            List { page: self, text: "", scanner: Scanner::new(""), pointer: String::new(), open: None };
        Ok(Records::new(self.list(pointer)?.unwrap_or(nothing)))
    }

    /// Hands out some places of each record of a list, as the JSON text that
    /// stands there, without reading the rest; `None` where there is nothing.
    /// Answers how many records there are.
    ///
    /// ```no_run
    /// # use ow_connector::prelude::*;
    /// # fn run(page: &http::Page) -> Result<()> {
    /// page.pick("/items", &["/id", "/owner/login"], |values| {
    ///     info!("{values:?}");
    ///     Ok(())
    /// })?;
    /// # Ok(()) }
    /// ```
    pub fn pick(
        &self,
        pointer: &str,
        places: &[&str],
        mut work: impl FnMut(&[Option<&str>]) -> Result<()>,
    ) -> Result<u64> {
        let places = places.iter().map(|place| Pointer::parse(place)).collect::<Result<Vec<_>>>()?;
        let places: Vec<&Pointer> = places.iter().collect();
        let text = self.json()?;
        let mut values = Vec::with_capacity(places.len());
        self.each(pointer, |scanner| {
            let found = json::locate_in(scanner, &places)?;
            values.clear();
            values.extend(found.iter().map(|found| found.as_ref().and_then(|f| text.get(f.start..f.end))));
            work(&values)
        })
    }

    /// Calls `work` at each record of a list, which it has to walk over; answers
    /// how many there were.
    pub(crate) fn each(
        &self,
        pointer: &str,
        mut work: impl FnMut(&mut Scanner<'_>) -> Result<()>,
    ) -> Result<u64> {
        let mut list = self.list(pointer)?.ok_or_else(|| self.no_list(pointer))?;
        let mut count = 0;
        while list.next().map_err(|error| self.unexpected(&error))? {
            count += 1;
            work(&mut list.scanner).map_err(|error| list.in_record(count, error))?;
        }
        Ok(count)
    }

    fn no_list(&self, pointer: &str) -> Error {
        self.unexpected(&format_args!("there is no list at `{pointer}`"))
    }

    /// Where a pointer leads, if there is something other than `null`.
    fn seek(&self, pointer: &str) -> Result<Option<(&str, usize)>> {
        let text = self.json()?;
        let known = self.found.as_ref().filter(|(known, _)| known == pointer).map(|(_, at)| *at);
        let at = match known {
            Some(at) => Some(at),
            None => json::seek(text, &Pointer::parse(pointer)?).map_err(|error| self.unexpected(&error))?,
        };
        Ok(at.map(|at| (text, at)))
    }

    fn list(&self, pointer: &str) -> Result<Option<List<'_>>> {
        let Some((text, at)) = self.seek(pointer)? else { return Ok(None) };
        let mut scanner = Scanner::from(text, at);
        let open = match scanner.peek() {
            Some(b'[') => Some(true),
            Some(b'n') => None,
            _ => return Err(self.unexpected(&format_args!("what stands at `{pointer}` is no list"))),
        };
        Ok(Some(List { page: self, text, scanner, pointer: pointer.to_owned(), open }))
    }

    /// Where a place is, looking no further; without what is remembered.
    pub(super) fn find(&self, pointer: &Pointer) -> Result<Option<(&str, usize)>> {
        let text = self.json()?;
        let at = json::seek(text, pointer).map_err(|error| self.unexpected(&error))?;
        Ok(at.map(|at| (text, at)))
    }

    /// Finds several places at once.
    pub(super) fn locate(&self, pointers: &[&Pointer]) -> Result<Vec<Option<Found>>> {
        json::locate(self.json()?, pointers).map_err(|error| self.unexpected(&error))
    }

    /// The text of a place.
    pub(super) fn text_of(&self, found: &Found) -> Result<&str> {
        Ok(self.json()?.get(found.start..found.end).unwrap_or_default())
    }

    /// Remembers where the records are.
    pub(super) fn remember(&mut self, pointer: &Pointer, at: usize) {
        self.found = Some((pointer.text.clone(), at));
    }

    /// An error about this page.
    pub(super) fn wrong(&self, what: &dyn std::fmt::Display) -> Error {
        Error::invalid_data(format!("{}: {what}", self.place()))
    }
}

/// A list on its way through: the scanner stands at the next element.
struct List<'a> {
    page: &'a Page,
    text: &'a str,
    scanner: Scanner<'a>,
    pointer: String,
    /// Whether the bracket is still to be taken; `None` after the end.
    open: Option<bool>,
}

impl List<'_> {
    /// Goes to the next element; false after the last.
    fn next(&mut self) -> Result<bool, Broken> {
        let more = match self.open {
            Some(true) => {
                self.scanner.take(b'[');
                !self.scanner.take(b']')
            }
            Some(false) => self.scanner.another(b']')?,
            None => false,
        };
        self.open = more.then_some(false);
        self.scanner.peek();
        Ok(more)
    }

    fn in_record(&self, number: u64, error: Error) -> Error {
        let place = self.page.place();
        error.context(format_args!("{place}: record {number} of `{}`", self.pointer))
    }
}

/// The records of a list: what [`Page::records`] answers. After an error there
/// are no more.
pub struct Records<'a, T> {
    list: List<'a>,
    number: u64,
    record: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for Records<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<'a, T> Records<'a, T> {
    fn new(list: List<'a>) -> Self {
        Self { list, number: 0, record: PhantomData }
    }
}

impl<'a, T: Deserialize<'a>> Iterator for Records<'a, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        match self.list.next() {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                self.list.open = None;
                return Some(Err(self.list.page.unexpected(&error)));
            }
        }
        self.number += 1;
        let start = self.list.scanner.at();
        let rest = self.list.text.get(start..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<T>();
        let error = match values.next() {
            Some(Ok(value)) => {
                self.list.scanner = Scanner::from(self.list.text, start + values.byte_offset());
                return Some(Ok(value));
            }
            Some(Err(error)) => error.into(),
            None => Error::invalid_data("the text ends too early"),
        };
        self.list.open = None;
        let shown = json::start(rest, QUOTED);
        let error = Error::invalid_data(format!("{error}; it starts {shown}"));
        Some(Err(self.list.in_record(self.number, error)))
    }
}

impl<'a, T: Deserialize<'a>> std::iter::FusedIterator for Records<'a, T> {}
