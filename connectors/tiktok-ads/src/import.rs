//! One run: advertiser by advertiser, first its lists, then its figures, day by
//! day.

use std::rc::Rc;

use ow_connector::prelude::*;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::api::{self, ADVERTISERS, LIST};
use crate::nodes::Source;
use crate::plan::{self, Import};
use crate::settings::Settings;

/// What the state keeps of an advertiser's figures: the last day of which
/// everything was imported.
#[derive(Debug, Deserialize, Serialize)]
struct Imported {
    date: Date,
}

/// Reaches each advertiser with the token.
pub(crate) fn check(ctx: &mut Context<Settings>) -> Result<()> {
    let config = ctx.config();
    let mut failures = Failures::new();
    for advertiser in &config.advertiser_ids.0 {
        failures.attempt(format_args!("advertiser {advertiser}"), || {
            let query = [("advertiser_ids", json!([advertiser]).to_string())];
            let mut found = false;
            for page in api::pages(ctx, "advertiser/info/", &query, None) {
                found |= has_records(&page?)?;
            }
            if found { Ok(()) } else { Err(unknown()) }
        })?;
    }
    failures.finish()
}

/// Imports everything that is chosen, of every advertiser.
pub(crate) fn run(ctx: &mut Context<Settings>) -> Result<()> {
    let config = ctx.config();
    let mut run = Run::new(ctx, Rc::clone(&config))?;
    let days: Vec<Vec<Days>> =
        config.advertiser_ids.0.iter().map(|advertiser| run.days(advertiser)).collect::<Result<_>>()?;
    run.total = days.iter().map(|days| run.steps(days)).sum();
    run.open_tables()?;
    for (advertiser, days) in config.advertiser_ids.0.iter().zip(days) {
        run.advertiser(advertiser, days)?;
    }
    run.failures.finish()
}

/// The days of one report that an advertiser lacks.
#[derive(Debug, Clone, Copy)]
struct Days {
    target: usize,
    range: DateRange,
    /// The last day of which everything was imported before this run.
    before: Option<Date>,
    failed: bool,
}

impl Days {
    /// Up to which day everything is there once this one is: the state never
    /// passes a day that was left out, and never goes back.
    fn reached(&self, day: Date) -> Option<Date> {
        match self.before {
            None => Some(day),
            Some(before) if self.range.start <= before + 1 => Some(day.max(before)),
            Some(_) => None,
        }
    }

    fn is_due(&self, day: Date) -> bool {
        !self.failed && self.range.start <= day && day <= self.range.end
    }
}

/// All days of several reports.
fn span(days: &[Days]) -> Option<DateRange> {
    let start = days.iter().map(|days| days.range.start).min()?;
    let end = days.iter().map(|days| days.range.end).max()?;
    Some(DateRange { start, end })
}

/// What is asked for: all of an advertiser, or one of its days.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    advertiser: &'a str,
    /// Of reports.
    day: Option<Date>,
}

/// What a fetch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    /// Other nodes of the advertiser may do better.
    NodeFailed,
    /// There is no use in asking for more of the advertiser.
    AdvertiserFailed,
}

struct Run<'c> {
    ctx: &'c mut Context<Settings>,
    config: Rc<Settings>,
    targets: Vec<Target>,
    failures: Failures,
    done: u64,
    total: u64,
}

impl<'c> Run<'c> {
    fn new(ctx: &'c mut Context<Settings>, config: Rc<Settings>) -> Result<Self> {
        config.token()?;
        let target = |import: Import| Target { names: import.asked(), table: None, import };
        let targets = plan::imports(&config)?.into_iter().map(target).collect();
        Ok(Self { ctx, config, targets, failures: Failures::new(), done: 0, total: 0 })
    }

    /// The tables that are made even if no row comes. A full refresh empties each.
    fn open_tables(&mut self) -> Result<()> {
        if self.config.create_empty_tables || self.ctx.run().kind() == RunType::FullRefresh {
            for target in &mut self.targets {
                target.open(self.ctx)?;
            }
        }
        Ok(())
    }

    /// The days that an advertiser lacks, of each report.
    fn days(&self, advertiser: &str) -> Result<Vec<Days>> {
        let reports = self.targets.iter().enumerate().filter(|(_, target)| target.import.node.is_report());
        let days = reports.map(|(index, target)| {
            let before = self.ctx.state::<Imported>(&key(&target.import, advertiser))?;
            let before = before.map(|imported| imported.date);
            let dates = &self.config.dates;
            let last = before.or(self.config.last_requested_date);
            let lookback = dates.reimport_lookback_window;
            let range = self.ctx.run().date_range(dates.wanted(), last, lookback)?;
            Ok(Days { target: index, range, before, failed: false })
        });
        days.collect()
    }

    /// How many steps an advertiser takes: its lists, and its days.
    fn steps(&self, days: &[Days]) -> u64 {
        let lists = self.targets.len() - days.len();
        lists as u64 + span(days).map_or(0, |range| u64::from(range.len().unsigned_abs()))
    }

    fn progress(&mut self, done: u64) {
        self.done = done;
        self.ctx.progress(self.done, self.total, "steps");
    }

    /// Everything of one advertiser. Its failures are kept for the end, and only
    /// what ends the run for all comes back.
    fn advertiser(&mut self, advertiser: &str, mut days: Vec<Days>) -> Result<()> {
        let end = self.done + self.steps(&days);
        let goes_on = self.lists(advertiser)?;
        self.ctx.commit()?;
        if goes_on {
            self.figures(advertiser, &mut days)?;
        }
        self.progress(end);
        Ok(())
    }

    /// The lists of an advertiser. Answers whether it makes sense to go on.
    fn lists(&mut self, advertiser: &str) -> Result<bool> {
        for index in 0..self.targets.len() {
            if self.targets.get(index).is_none_or(|target| target.import.node.is_report()) {
                continue;
            }
            if self.fetch(index, Asked { advertiser, day: None })? == Outcome::AdvertiserFailed {
                return Ok(false);
            }
            self.progress(self.done + 1);
        }
        Ok(true)
    }

    /// The figures of an advertiser, each day with its state in one commit.
    fn figures(&mut self, advertiser: &str, days: &mut [Days]) -> Result<()> {
        let Some(range) = span(days) else { return Ok(()) };
        info!("importing figures of advertiser {advertiser} from {range}");
        for day in range.days() {
            for report in days.iter_mut().filter(|days| days.is_due(day)) {
                match self.fetch(report.target, Asked { advertiser, day: Some(day) })? {
                    Outcome::Done => self.set_reached(report, advertiser, day)?,
                    Outcome::NodeFailed => report.failed = true,
                    Outcome::AdvertiserFailed => return Ok(()),
                }
            }
            self.ctx.commit()?;
            self.progress(self.done + 1);
            if days.iter().all(|days| days.failed) {
                break;
            }
        }
        Ok(())
    }

    fn set_reached(&mut self, report: &Days, advertiser: &str, day: Date) -> Result<()> {
        let (Some(date), Some(target)) = (report.reached(day), self.targets.get(report.target)) else {
            return Ok(());
        };
        self.ctx.set_state(&key(&target.import, advertiser), &Imported { date })
    }

    /// Fetches and writes what a node has of an advertiser, or of one of its
    /// days. What fails is kept for the end, but for what ends the run.
    fn fetch(&mut self, index: usize, asked: Asked<'_>) -> Result<Outcome> {
        let (ctx, config) = (&mut *self.ctx, &*self.config);
        let Some(target) = self.targets.get_mut(index) else { return Ok(Outcome::Done) };
        let mut outcome = Outcome::Done;
        self.failures.attempt(format_args!("advertiser {}", asked.advertiser), || {
            let fetched = target.fetch(ctx, config, asked);
            fetched.inspect_err(|error| {
                let of_node = api::is_of_node(error);
                outcome = if of_node { Outcome::NodeFailed } else { Outcome::AdvertiserFailed };
            })
        })?;
        Ok(outcome)
    }
}

/// One node on its way into its table.
struct Target {
    import: Import,
    /// What the API is asked for by name.
    names: Vec<&'static str>,
    table: Option<Table>,
}

impl Target {
    fn open(&mut self, ctx: &mut Context<Settings>) -> Result<Table> {
        if let Some(table) = self.table {
            return Ok(table);
        }
        let table = ctx.open_stream(self.import.stream.clone(), self.import.open())?;
        self.table = Some(table);
        Ok(table)
    }

    fn fetch(&mut self, ctx: &mut Context<Settings>, config: &Settings, asked: Asked<'_>) -> Result<()> {
        let name = self.import.node.name;
        let what = || match asked.day {
            Some(day) => format!("`{name}` of {day}"),
            None => format!("`{name}`"),
        };
        loop {
            match self.write(ctx, config, asked) {
                Ok(0) if self.import.node.source == Source::Account => {
                    return Err(unknown()).with_context(what);
                }
                Ok(_) => return Ok(()),
                Err(error) => self.ask_less(error).with_context(what)?,
            }
        }
    }

    /// Writes what the API answers; tells how many rows that were.
    fn write(&mut self, ctx: &mut Context<Settings>, config: &Settings, asked: Asked<'_>) -> Result<u64> {
        let node = self.import.node;
        let query = self.query(config, asked);
        let page_size = Some(node.page_size).filter(|size| *size > 0);
        let given = self.import.given(asked.advertiser, asked.day);
        let mut rows = 0;
        for page in api::pages(ctx, node.endpoint, &query, page_size) {
            let page = page?;
            if self.table.is_some() || has_records(&page)? {
                let table = self.open(ctx)?;
                rows += ctx.write_page(table, &page, LIST, &given)?;
            }
        }
        Ok(rows)
    }

    /// The parameters of a request, but for the page.
    fn query(&self, config: &Settings, asked: Asked<'_>) -> Vec<(&'static str, String)> {
        let node = self.import.node;
        let id = asked.advertiser.to_owned();
        let names = |parameter| (parameter, json!(self.names).to_string());
        match node.source {
            Source::Account => vec![("advertiser_ids", json!([id]).to_string()), names("fields")],
            Source::Audiences => vec![("advertiser_id", id)],
            Source::List { all } => {
                let mut query = vec![("advertiser_id", id), names("fields")];
                if config.include_deleted {
                    query.push(("filtering", json!({ "secondary_status": all }).to_string()));
                }
                query
            }
            Source::Report { .. } => {
                let day = asked.day.map(|day| day.to_string()).unwrap_or_default();
                vec![
                    ("advertiser_id", id),
                    ("report_type", "BASIC".to_owned()),
                    ("data_level", config.data_level.name().to_owned()),
                    ("dimensions", json!(node.dimensions(config.data_level)).to_string()),
                    names("metrics"),
                    ("start_date", day.clone()),
                    ("end_date", day),
                ]
            }
        }
    }

    /// Leaves out what the API does not accept, if it told what it does and the
    /// operator did not choose it by name; else fails.
    fn ask_less(&mut self, error: Error) -> Result<()> {
        let Some(accepted) = api::accepted(&error) else { return Err(error) };
        let (kept, refused): (Vec<&str>, Vec<&str>) =
            self.names.iter().partition(|name| accepted.iter().any(|known| known == *name));
        if refused.is_empty() || kept.is_empty() {
            return Err(error);
        }
        let chosen = self.import.named(&refused);
        if !chosen.is_empty() {
            let told = format!("the API does not have `{}`; remove it from `Fields`", chosen.join("`, `"));
            return Err(Error::config(told).parameter("Fields"));
        }
        let name = self.import.node.name;
        warn!("the API does not have `{}` of `{name}`; these columns stay null", refused.join("`, `"));
        self.names = kept;
        Ok(())
    }
}

/// Whether a page has any.
fn has_records(page: &http::Page) -> Result<bool> {
    Ok(page.records::<IgnoredAny>(LIST)?.next().transpose()?.is_some())
}

/// The key of the state of an advertiser's figures.
fn key(import: &Import, advertiser: &str) -> String {
    format!("{}/{advertiser}", import.stream.name)
}

fn unknown() -> Error {
    Error::config("the API tells nothing of this advertiser; check its id").parameter(ADVERTISERS)
}
