//! The pages of a listing, one after another, the next ones asked for while one
//! is worked on.

use std::collections::VecDeque;
use std::iter::FusedIterator;
use std::time::Duration;

use super::Request;
use super::exchange::Flight;
use super::page::Page;
use super::paginate::{Chain, Numbered, Pagination};
use crate::convert;
use crate::error::{Error, Result};
use crate::json::{self, Found, Pointer};

/// A page is asked for ahead unless its turn under the rate limit is later than
/// this: what is there is not held back for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pages of a listing: what [`Request::pages`] answers. After an error there
/// are no more.
pub struct Pages {
    plan: Plan,
    /// Requests under way, in the order of their pages.
    flights: VecDeque<Ahead>,
    /// How many pages were handed out.
    count: u64,
    /// What is wrong behind the page that was handed out last.
    error: Option<Error>,
    done: bool,
}

/// A request for a page.
struct Ahead {
    /// The page's number or offset.
    position: u64,
    flight: Result<Flight>,
}

enum Plan {
    Chain { chain: Chain, next: Option<Request> },
    Count(Count),
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pages").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Pages {
    pub(super) fn new(first: Request, pagination: Pagination) -> Self {
        let nothing = Chain::single(first.clone());
        let chain = |chain: Chain| {
            let next = Some(chain.first());
            Plan::Chain { chain, next }
        };
        let plan = match pagination {
            Pagination::Single => Ok(chain(Chain::single(first))),
            Pagination::PageNumber(way) => Count::new(first, way.numbered, false).map(Plan::Count),
            Pagination::Offset(way) => Count::new(first, way.numbered, true).map(Plan::Count),
            Pagination::Cursor(way) => Chain::cursor(first, way).map(chain),
            Pagination::NextUrl(way) => Chain::next_url(first, way).map(chain),
            Pagination::LinkHeader(way) => Ok(chain(Chain::link(first, way))),
        };
        let (plan, error) = match plan {
            Ok(plan) => (plan, None),
            Err(error) => (Plan::Chain { chain: nothing, next: None }, Some(error)),
        };
        Self { plan, flights: VecDeque::new(), count: 0, error, done: false }
    }

    /// Waits for the next page, and sees to those after it.
    fn advance(&mut self) -> Result<Option<Page>> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if self.flights.is_empty()
            && let Some(request) = self.plan.next()
        {
            self.flights.push_back(request.launch());
        }
        let Some(Ahead { position, flight }) = self.flights.pop_front() else { return Ok(None) };
        self.count += 1;
        let single = matches!(&self.plan, Plan::Chain { chain, .. } if chain.is_single());
        let landed = flight.and_then(Flight::page);
        let mut page = match landed {
            Err(error) if !single => return Err(error.context(format_args!("page {}", self.count))),
            landed => landed?,
        };
        if let Err(error) = self.plan.after(&mut page, position, &mut self.flights) {
            let error = error.context(format_args!("page {}", self.count));
            self.flights.clear();
            return match &self.plan {
                // The page itself is not what it should be.
                Plan::Count(_) => Err(error),
                // Only what it says of the next one is wrong.
                Plan::Chain { .. } => {
                    self.error = Some(error);
                    Ok(Some(page))
                }
            };
        }
        while self.flights.len() < self.plan.ahead()
            && let Some(request) = self.plan.next_if_soon()
        {
            self.flights.push_back(request.launch());
        }
        Ok(Some(page))
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Result<Page>> {
        if self.done {
            return None;
        }
        let page = self.advance().transpose();
        if !matches!(page, Some(Ok(_))) {
            self.done = true;
            self.flights.clear();
        }
        page
    }
}

impl FusedIterator for Pages {}

/// A request that may go out.
struct Ready {
    position: u64,
    request: Result<Request>,
}

impl Ready {
    fn launch(self) -> Ahead {
        Ahead { position: self.position, flight: self.request.and_then(Request::launch) }
    }
}

impl Plan {
    /// The request for the next page, if it is known.
    fn next(&mut self) -> Option<Ready> {
        match self {
            Self::Chain { next, .. } => {
                next.take().map(|request| Ready { position: 0, request: Ok(request) })
            }
            Self::Count(count) => count.next(),
        }
    }

    /// The same, if it is known to be there and its turn is soon.
    fn next_if_soon(&mut self) -> Option<Ready> {
        let request = match self {
            Self::Chain { next, .. } => next.as_ref()?,
            Self::Count(count) if count.planned.is_some_and(|end| count.next >= Some(end)) => return None,
            Self::Count(count) => &count.first,
        };
        let wait = request.settings.limiter.as_ref().map_or(Duration::ZERO, |limiter| limiter.wait());
        if wait > PATIENCE { None } else { self.next() }
    }

    /// How many requests may be under way while a page is worked on.
    fn ahead(&self) -> usize {
        match self {
            Self::Chain { chain, .. } => usize::from(chain.ahead),
            Self::Count(count) if count.planned.is_some() => count.way.ahead,
            Self::Count(count) => count.way.ahead.min(1),
        }
    }

    /// What a page says of those after it.
    fn after(&mut self, page: &mut Page, position: u64, flights: &mut VecDeque<Ahead>) -> Result<()> {
        match self {
            Self::Chain { chain, next } => {
                *next = chain.after(page)?;
                Ok(())
            }
            Self::Count(count) => count.after(page, position, flights),
        }
    }
}

/// Pages that are counted: by number, or by record.
struct Count {
    first: Request,
    way: Numbered,
    records: Pointer,
    total_records: Option<Pointer>,
    total_pages: Option<Pointer>,
    /// Whether positions count records, not pages.
    offset: bool,
    /// The position of the next request; `None` after the last page.
    next: Option<u64>,
    /// The position at which requests ahead end, once that is known.
    planned: Option<u64>,
    /// Records that came so far.
    came: u64,
    /// What the last page's records looked like.
    last: Option<u64>,
}

impl Count {
    fn new(first: Request, way: Numbered, offset: bool) -> Result<Self> {
        let first = match &way.size {
            Some((name, size)) => first.parameter(name, *size)?,
            None => first,
        };
        Ok(Self {
            first,
            records: Pointer::parse(&way.records)?,
            total_records: way.total_records.as_deref().map(Pointer::parse).transpose()?,
            total_pages: way.total_pages.as_deref().map(Pointer::parse).transpose()?,
            offset,
            next: Some(way.first),
            planned: None,
            came: 0,
            last: None,
            way,
        })
    }

    fn size(&self) -> Option<u64> {
        self.way.size.as_ref().map(|(_, size)| *size)
    }

    fn next(&mut self) -> Option<Ready> {
        let position = self.next?;
        let step = if self.offset { self.size() } else { Some(1) };
        // Without a size, an offset is known when its page has come.
        self.next = step.and_then(|step| position.checked_add(step));
        let request = self.first.clone().parameter(&self.way.parameter, position);
        Some(Ready { position, request })
    }

    fn after(&mut self, page: &mut Page, position: u64, flights: &mut VecDeque<Ahead>) -> Result<()> {
        let (count, total, pages) = self.read(page)?;
        self.came = self.came.saturating_add(count);
        let numbers = position - self.way.first.min(position) + 1;
        let last = count == 0
            || total.is_some_and(|total| self.came >= total)
            || pages.is_some_and(|pages| !self.offset && numbers >= pages);
        if count == 0 && total.is_some_and(|total| self.came < total) {
            let total = total.unwrap_or_default();
            log::warn!("a page is empty, although the source counts {total} records and {} came", self.came);
        }
        if last {
            self.next = None;
            flights.clear();
            return Ok(());
        }
        self.plan(count, total, pages);
        let after = if self.offset { position.checked_add(count) } else { position.checked_add(1) };
        // What is under way begins elsewhere, if this page was not as long as asked.
        if flights.front().map_or(self.next, |ahead| Some(ahead.position)) != after {
            flights.clear();
            self.next = after;
            self.planned = None;
        }
        Ok(())
    }

    /// Up to where pages are asked for before it is their turn: only if pages
    /// are as long as was asked for can it be told from the records.
    fn plan(&mut self, count: u64, total: Option<u64>, pages: Option<u64>) {
        let first = self.way.first;
        self.planned = match (pages, total, self.size()) {
            (Some(pages), ..) if !self.offset => first.checked_add(pages),
            (_, Some(total), Some(size)) if count >= size => {
                let end = if self.offset { total } else { total.div_ceil(size) };
                first.checked_add(end)
            }
            _ => None,
        };
    }

    /// How many records a page has, and what it says of all.
    fn read(&mut self, page: &mut Page) -> Result<(u64, Option<u64>, Option<u64>)> {
        let mut pointers = vec![&self.records];
        pointers.extend(&self.total_records);
        pointers.extend(&self.total_pages);
        let mut found = page.locate(&pointers)?.into_iter();
        let list = found.next().flatten();
        let count = self.count(page, list)?;
        let mut number = |pointer: &Option<Pointer>| match pointer {
            Some(pointer) => number_at(page, pointer, found.next().flatten()).map(Some),
            None => Ok(None),
        };
        let total = number(&self.total_records)?;
        let pages = number(&self.total_pages)?;
        if let Some(list) = list {
            page.remember(&self.records, list.start);
        }
        Ok((count, total, pages))
    }

    fn count(&mut self, page: &Page, list: Option<Found>) -> Result<u64> {
        let place = &self.records.text;
        let Some(list) = list else {
            let missing = page.wrong(&format_args!("there is no list at `{place}`"));
            return if self.way.optional { Ok(0) } else { Err(missing) };
        };
        let text = page.text_of(&list)?;
        if text == "null" {
            return Ok(0);
        }
        if !text.starts_with('[') {
            return Err(page.wrong(&format_args!("what stands at `{place}` is no list")));
        }
        let look = Some(fingerprint(text.as_bytes()));
        if list.count > 0 && std::mem::replace(&mut self.last, look) == look {
            let parameter = &self.way.parameter;
            let message = format!("it has the records of the page before: the source ignores `{parameter}`");
            return Err(page.wrong(&message));
        }
        Ok(list.count as u64)
    }
}

/// A total.
fn number_at(page: &Page, pointer: &Pointer, found: Option<Found>) -> Result<u64> {
    let text = found.map(|found| page.text_of(&found)).transpose()?;
    let number = text.and_then(|text| convert::integer(text.trim_matches('"')));
    number.and_then(|number| u64::try_from(number).ok()).ok_or_else(|| {
        let said = text.map_or("nothing", |text| json::start(text, 40));
        page.wrong(&format_args!("there should be a number at `{}`, but there is {said}", pointer.text))
    })
}

/// What tells two lists apart, unless someone sees to it that it does not.
fn fingerprint(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut sum = bytes.len() as u64;
    let mut rest = bytes;
    while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
        sum = (sum ^ u64::from_le_bytes(*chunk)).wrapping_mul(FACTOR).rotate_left(29);
        rest = tail;
    }
    rest.iter().fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(FACTOR).rotate_left(29))
}

#[cfg(test)]
mod tests;
