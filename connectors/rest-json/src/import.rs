//! Imports the streams: each with its children, the others go on where one
//! fails.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ow_connector::Window;
use ow_connector::prelude::*;
use serde_json::Value;

use crate::api::Api;
use crate::learn::Learned;
use crate::mark::{Highest, Mark, Reached};
use crate::plan::{Plan, Source};
use crate::settings::{Incremental, Settings};
use crate::table::{self, Given, State};
use crate::template::{Row, Scope, pointer};

/// Pages that are held while columns are found out.
const HELD_PAGES: usize = 10;

/// Parents whose children are looked at to find out columns.
const SAMPLES: usize = 10;

/// Records between commits where the API sorts.
const COMMIT_EVERY: u64 = 10_000;

/// An import under way.
pub(crate) struct Importer<'c> {
    ctx: &'c mut Context<Settings>,
    config: Rc<Settings>,
    plan: Plan,
    api: Api,
    states: Vec<State>,
    failures: Failures,
}

/// What the state will say once everything below a stream is there as well.
enum Pending {
    Nothing,
    Days(Window),
    Mark(String, Option<Mark>),
}

/// One stream's way through its pages, for one record of its parent.
struct Fetch {
    source: Rc<Source>,
    index: usize,
    given: Vec<Given>,
    /// Pages that wait until the columns are known.
    held: Vec<http::Page>,
    /// What the children want, each once.
    rows: Vec<Row>,
    seen: BTreeSet<String>,
    highest: Highest,
    /// Where the state is kept as the records come.
    key: Option<String>,
    uncommitted: u64,
}

impl<'c> Importer<'c> {
    pub(crate) fn new(ctx: &'c mut Context<Settings>) -> Result<Self> {
        let config = ctx.config();
        let plan = Plan::new(&config)?;
        let api = Api::new(Rc::clone(&config), ctx.http());
        let mut states = Vec::new();
        for source in &plan.sources {
            let known: Option<BTreeMap<String, String>> = ctx.state(&table::columns_key(source))?;
            states.push(match source.chosen {
                Some(_) => State::Learning(Box::new(Learned::from(&known.unwrap_or_default()))),
                None => State::Unwanted,
            });
        }
        Ok(Self { ctx, config, plan, api, states, failures: Failures::new() })
    }

    /// Imports everything.
    pub(crate) fn run(mut self) -> Result<()> {
        for index in self.needed() {
            self.tree(index, None)?;
        }
        self.failures.finish()
    }

    fn needed(&self) -> Vec<usize> {
        self.plan.roots().filter(|index| self.plan.is_needed(*index)).collect()
    }

    /// Imports a stream and what lies below it; answers whether all of it is there.
    fn tree(&mut self, index: usize, parent: Option<&Row>) -> Result<bool> {
        let source = self.plan.source(index)?;
        let what = format!("stream `{}`", source.key(parent));
        let mut failures = std::mem::take(&mut self.failures);
        let fetched = failures.attempt(what, || self.fetch(&source, index, parent));
        self.failures = failures;
        let Some((rows, pending)) = fetched? else { return Ok(false) };
        let mut whole = true;
        for child in source.children.iter().copied() {
            if !self.plan.is_needed(child) {
                continue;
            }
            self.sample(child, &rows)?;
            for row in &rows {
                whole &= self.tree(child, Some(row))?;
            }
        }
        if whole {
            self.keep(pending)?;
        }
        Ok(whole)
    }

    /// Keeps how far a stream got, with its rows.
    fn keep(&mut self, pending: Pending) -> Result<()> {
        match pending {
            Pending::Nothing => return Ok(()),
            Pending::Days(window) => return self.ctx.imported(&window, window.range().end),
            Pending::Mark(key, Some(cursor)) => self.ctx.set_state(&key, &Reached { cursor })?,
            Pending::Mark(_, None) => {}
        }
        self.ctx.commit()
    }

    /// Fetches one stream.
    fn fetch(
        &mut self,
        source: &Rc<Source>,
        index: usize,
        parent: Option<&Row>,
    ) -> Result<(Vec<Row>, Pending)> {
        let leaf = source.children.is_empty();
        let mut fetch = Fetch::new(source, index, parent);
        let pending = match (&source.settings.window, &source.settings.incremental) {
            (Some(_), _) => self.days(&mut fetch, parent, leaf)?,
            (_, Some(incremental)) => self.changes(&mut fetch, parent, leaf, incremental)?,
            _ => {
                self.pages(&mut fetch, &scope(&self.config.clone(), parent, None, None))?;
                Pending::Mark(String::new(), None)
            }
        };
        if leaf {
            self.keep(pending)?;
            return Ok((fetch.rows, Pending::Nothing));
        }
        Ok((fetch.rows, pending))
    }

    /// Fetches a stream by days.
    fn days(&mut self, fetch: &mut Fetch, parent: Option<&Row>, leaf: bool) -> Result<Pending> {
        let (config, source) = (self.config.clone(), fetch.source.clone());
        let (Some(settings), Some(format)) = (&source.settings.window, &source.format) else {
            return Ok(Pending::Nothing);
        };
        let window = self.ctx.window(&source.key(parent), &config.dates)?;
        for chunk in window.range().chunks(i32::try_from(settings.days).unwrap_or(i32::MAX)) {
            let (start, end) = format.range(chunk, settings.end_exclusive);
            let days = || format!("{chunk}");
            self.pages(fetch, &scope(&config, parent, Some((&start, &end)), None))
                .map_err(|error| error.context(days()))?;
            if leaf {
                self.ctx.imported(&window, chunk.end)?;
            }
        }
        Ok(if leaf { Pending::Nothing } else { Pending::Days(window) })
    }

    /// Fetches what changed since the last run.
    fn changes(
        &mut self,
        fetch: &mut Fetch,
        parent: Option<&Row>,
        leaf: bool,
        incremental: &Incremental,
    ) -> Result<Pending> {
        let (config, source) = (self.config.clone(), fetch.source.clone());
        let key = source.key(parent);
        let known = self.ctx.state::<Reached>(&key)?.map(|reached| reached.cursor);
        let from = self.since(known.as_ref(), incremental)?;
        fetch.highest = Highest::from(known);
        fetch.key = Some(key.clone()).filter(|_| leaf && incremental.ascending);
        self.pages(fetch, &scope(&config, parent, None, from.as_deref()))?;
        fetch.highest.tell(source.name(), &incremental.field);
        Ok(Pending::Mark(key, fetch.highest.mark.take()))
    }

    /// From where a run asks: from what the state says, or from where the
    /// configuration starts.
    fn since(&self, known: Option<&Mark>, incremental: &Incremental) -> Result<Option<String>> {
        let source_format = incremental.format.as_deref().map(crate::format::Format::parse).transpose()?;
        let run = self.ctx.run();
        if let (RunType::Incremental, Some(mark)) = (run.kind(), known) {
            return mark.asked(incremental.lookback, source_format.as_ref()).map(Some);
        }
        let date = self.config.dates.start_date.map(Mark::day);
        let start = incremental.start.as_ref().map(|start| Mark::configured(&start.0));
        let start = if run.kind() == RunType::Incremental { start.or(date) } else { date.or(start) };
        start.map(|start| start.asked(0, source_format.as_ref())).transpose()
    }

    /// Fetches the pages of one request and writes their records.
    fn pages(&mut self, fetch: &mut Fetch, scope: &Scope<'_>) -> Result<()> {
        let request = self.api.request(&fetch.source, scope)?;
        for page in request.pages(self.api.pagination(&fetch.source)) {
            match page {
                Err(error) if self.api.skipped.take() => {
                    debug!("stream `{}`: skipped: {error}", fetch.source.name());
                    break;
                }
                page => self.page(fetch, page?)?,
            }
        }
        self.settle(fetch)
    }

    /// Takes a page: notes what is wanted of its records, and writes them.
    fn page(&mut self, fetch: &mut Fetch, page: http::Page) -> Result<()> {
        fetch.note(&page, self.ctx.now())?;
        let mut known = false;
        match self.states.get_mut(fetch.index) {
            None | Some(State::Unwanted) => return Ok(()),
            Some(State::Open { .. }) => known = true,
            Some(State::Learning(learned)) if fetch.source.is_learned() => {
                table::learn(&fetch.source, &page, learned)?;
            }
            Some(State::Learning(_)) => {}
        }
        if known {
            return self.write(fetch, &page);
        }
        fetch.held.push(page);
        if self.has_learned(fetch) { self.settle(fetch) } else { Ok(()) }
    }

    /// Whether enough records were seen to open the table.
    fn has_learned(&self, fetch: &Fetch) -> bool {
        let enough = u64::from(fetch.source.settings.infer_records);
        !fetch.source.is_learned()
            || fetch.held.len() >= HELD_PAGES
            || matches!(self.states.get(fetch.index), Some(State::Learning(learned)) if learned.records >= enough)
    }

    /// Opens the table if there is anything to write, and writes what was held.
    fn settle(&mut self, fetch: &mut Fetch) -> Result<()> {
        if let Some(State::Learning(learned)) = self.states.get(fetch.index) {
            if learned.records == 0 && (fetch.source.is_learned() || fetch.held.is_empty()) {
                fetch.held.clear();
                return Ok(());
            }
            let parent = fetch.source.parent.map(|parent| self.plan.source(parent)).transpose()?;
            let stream = table::stream(&fetch.source, parent.as_deref(), learned, &fetch.given)?;
            let opened = table::open(self.ctx, &fetch.source, stream)?;
            if let State::Open { columns, .. } = &opened
                && fetch.source.is_learned()
            {
                table::keep(self.ctx, &fetch.source, columns)?;
            }
            if let Some(state) = self.states.get_mut(fetch.index) {
                *state = opened;
            }
        }
        for page in std::mem::take(&mut fetch.held) {
            self.write(fetch, &page)?;
        }
        Ok(())
    }

    fn write(&mut self, fetch: &mut Fetch, page: &http::Page) -> Result<()> {
        let Some(state) = self.states.get(fetch.index) else { return Ok(()) };
        let records = table::write(self.ctx, &fetch.source, state, page, &fetch.given)
            .map_err(|error| way_out(error, &fetch.source))?;
        fetch.uncommitted += records;
        if let (Some(key), Some(before)) = (&fetch.key, &fetch.highest.before)
            && fetch.uncommitted >= COMMIT_EVERY
        {
            self.ctx.set_state(key, &Reached { cursor: before.clone() })?;
            self.ctx.commit()?;
            fetch.uncommitted = 0;
        }
        Ok(())
    }

    /// Finds out the columns of a child by looking at the first page of some of
    /// its parents: one record of one parent tells too little.
    fn sample(&mut self, child: usize, rows: &[Row]) -> Result<()> {
        let source = self.plan.source(child)?;
        for row in rows.iter().take(SAMPLES) {
            let enough = match self.states.get(child) {
                Some(State::Learning(learned)) => learned.records >= u64::from(source.settings.infer_records),
                _ => true,
            };
            if enough || !source.is_learned() {
                return Ok(());
            }
            // What fails here fails again, and is told, when its turn comes.
            let page = match self.first_page(&source, Some(row)) {
                Err(error) if error.is_fatal() => return Err(error),
                page => page.ok().flatten(),
            };
            if let (Some(page), Some(State::Learning(learned))) = (page, self.states.get_mut(child)) {
                let mut more = learned.clone();
                if table::learn(&source, &page, &mut more).is_ok() {
                    *learned = more;
                }
            }
        }
        Ok(())
    }

    /// The first page of a stream: of its last days, where it is fetched by days.
    fn first_page(&mut self, source: &Source, parent: Option<&Row>) -> Result<Option<http::Page>> {
        let config = self.config.clone();
        let mut days = None;
        if let (Some(window), Some(format)) = (&source.settings.window, &source.format) {
            let range = self.ctx.window(&source.key(parent), &config.dates)?.range();
            let first = (range.end - i32::try_from(window.days).unwrap_or(i32::MAX).saturating_sub(1))
                .max(range.start);
            days = Some(format.range(DateRange { start: first, end: range.end }, window.end_exclusive));
        }
        let from = source
            .settings
            .incremental
            .as_ref()
            .map(|incremental| self.since(None, incremental))
            .transpose()?;
        let days = days.as_ref().map(|(start, end)| (start.as_str(), end.as_str()));
        let request = self.api.request(source, &scope(&config, parent, days, from.flatten().as_deref()))?;
        match request.pages(self.api.pagination(source)).next().transpose() {
            Err(_) if self.api.skipped.take() => Ok(None),
            page => page,
        }
    }

    /// Fetches the first page of every stream that is nobody's child.
    pub(crate) fn check(mut self) -> Result<()> {
        for index in self.needed() {
            let source = self.plan.source(index)?;
            let mut failures = std::mem::take(&mut self.failures);
            let looked = failures.attempt(format_args!("stream `{}`", source.name()), || {
                let page = self.first_page(&source, None)?;
                page.map_or(Ok(0), |page| table::pick(&source, &page, &[], |_| Ok(())))
            });
            self.failures = failures;
            looked?;
        }
        self.failures.finish()
    }

    /// The streams with their columns; what has to be found out is asked for.
    pub(crate) fn discover(mut self) -> Result<Vec<Stream>> {
        let mut streams = Vec::new();
        for index in 0..self.plan.sources.len() {
            let source = self.plan.source(index)?;
            if source.chosen.is_none() {
                continue;
            }
            let (learned, given) =
                if source.is_learned() { self.look(index, &source)? } else { Default::default() };
            if source.is_learned() && learned.records == 0 {
                warn!("stream `{}` has no records now: its columns cannot be found out", source.name());
                continue;
            }
            let parent = source.parent.map(|parent| self.plan.source(parent)).transpose()?;
            streams.push(table::stream(&source, parent.as_deref(), &learned, &given)?);
        }
        Ok(streams)
    }

    /// What a stream's first page tells of its columns.
    fn look(&mut self, index: usize, source: &Rc<Source>) -> Result<(Learned, Vec<Given>)> {
        let mut learned = Learned::default();
        let row = match source.parent {
            Some(parent) => match self.first_row(parent)? {
                None => return Ok((learned, Vec::new())),
                row => row,
            },
            None => None,
        };
        if let Some(page) = self.first_page(source, row.as_ref())? {
            table::learn(source, &page, &mut learned)?;
        }
        Ok((learned, Fetch::new(source, index, row.as_ref()).given))
    }

    /// What the children want of a stream's first record.
    fn first_row(&mut self, index: usize) -> Result<Option<Row>> {
        let source = self.plan.source(index)?;
        let parent = match source.parent {
            Some(parent) => match self.first_row(parent)? {
                None => return Ok(None),
                row => row,
            },
            None => None,
        };
        let Some(page) = self.first_page(&source, parent.as_ref())? else { return Ok(None) };
        let mut fetch = Fetch::new(&source, index, parent.as_ref());
        fetch.note(&page, self.ctx.now())?;
        Ok(fetch.rows.into_iter().next())
    }
}

/// What the names in braces stand for in a request.
fn scope<'a>(
    config: &'a Settings,
    parent: Option<&'a Row>,
    days: Option<(&'a str, &'a str)>,
    cursor: Option<&'a str>,
) -> Scope<'a> {
    let (start, end) = days.unzip();
    Scope { secrets: &config.secrets, parent, start, end, cursor }
}

/// What the operator can do about a value that does not fit.
fn way_out(error: Error, source: &Source) -> Error {
    if error.kind() != ErrorKind::InvalidData || !error.message().contains(" cannot hold ") {
        return error;
    }
    let hint = match source.is_learned() {
        true => {
            "the type comes from the first records: declare the field in `Schema`, with `Infer` for the others, and \
             load the stream again with a full refresh"
        }
        false => "change its type in `Schema`: `text` and `json` hold anything",
    };
    Error::invalid_data(format!("{error}; {hint}"))
}

impl Fetch {
    fn new(source: &Rc<Source>, index: usize, parent: Option<&Row>) -> Self {
        let columns = source.settings.parent.iter().flat_map(|parent| &parent.columns);
        let given = columns.map(|(column, field)| Given {
            column: column.clone(),
            value: parent.and_then(|row| row.get(field)).cloned().unwrap_or_default(),
        });
        Self {
            source: Rc::clone(source),
            index,
            given: given.collect(),
            held: Vec::new(),
            rows: Vec::new(),
            seen: BTreeSet::new(),
            highest: Highest::default(),
            key: None,
            uncommitted: 0,
        }
    }

    /// Notes what the state and the children want of a page's records.
    fn note(&mut self, page: &http::Page, now: Timestamp) -> Result<()> {
        let source = Rc::clone(&self.source);
        let incremental = source.settings.incremental.as_ref();
        if incremental.is_none() && source.wanted.is_empty() {
            return Ok(());
        }
        let cursor = incremental.map(|incremental| pointer(&incremental.field));
        let mut places: Vec<String> = source.wanted.iter().map(|field| pointer(field)).collect();
        places.extend(cursor);
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        let Self { given, rows, seen, highest, .. } = self;
        table::pick(&source, page, &places, |values| {
            if let Some(incremental) = incremental {
                let value = values.last().copied().flatten();
                highest.see(value, incremental.ascending, now).map_err(|error| {
                    error.context(format_args!("stream `{}`: field `{}`", source.name(), incremental.field))
                })?;
            }
            let mut row = Row::new();
            for (field, value) in source.wanted.iter().zip(values) {
                // A field that is a column already comes from the parent's parent.
                let inherited =
                    given.iter().find(|given| given.column == *field).map(|given| given.value.clone());
                let own = value.map(serde_json::from_str::<Value>).transpose()?;
                row.insert(field.clone(), own.or(inherited).unwrap_or_default());
            }
            if !source.wanted.is_empty() && seen.insert(serde_json::to_string(&row)?) {
                rows.push(row);
            }
            Ok(())
        })?;
        Ok(())
    }
}
