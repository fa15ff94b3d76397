//! One run: advertiser by advertiser, first its lists, then its figures, day by
//! day.

use std::rc::Rc;

use ow_connector::prelude::*;
use serde_json::json;
use serde_json::value::RawValue;

use crate::failures::Failures;
use crate::api::{self, ADVERTISERS, Api};
use crate::nodes::{DataLevel, Source};
use crate::plan::{self, Import};
use crate::rows::{Asked, Reader};
use crate::settings::Settings;
use crate::values::Converted;

/// What the state keeps of an advertiser's figures.
#[derive(Debug, Deserialize, Serialize)]
struct Imported {
    /// The last day of which everything was imported.
    date: Date,
    /// What the rows stand for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_level: Option<DataLevel>,
}

/// Reaches each advertiser with the token.
pub(crate) fn check(ctx: &mut Context<Settings>) -> Result<()> {
    let config = ctx.config();
    let api = Api::new(&ctx.http(), &config)?;
    let mut failures = Failures::new();
    for advertiser in &config.advertiser_ids.0 {
        let query = [("advertiser_ids", json!([advertiser]).to_string())];
        let mut found = false;
        let reached = api.records("advertiser/info/", &query, None, |_| {
            found = true;
            Ok(())
        });
        let reached = reached.and_then(|()| if found { Ok(()) } else { Err(unknown()) });
        if let Err(error) = &reached && api::is_of_token(error) {
            return reached;
        }
        failures.attempt(format_args!("advertiser {advertiser}"), || reached)?;
    }
    failures.finish()
}

/// Imports everything that is chosen, of every advertiser.
pub(crate) fn run(ctx: &mut Context<Settings>) -> Result<()> {
    let config = ctx.config();
    let imports = plan::imports(&config)?;
    let mut run = Run::new(ctx, Rc::clone(&config), &imports)?;
    let days: Vec<Vec<Days>> =
        config.advertiser_ids.0.iter().map(|advertiser| run.days(advertiser)).collect::<Result<_>>()?;
    run.total = days.iter().map(|days| run.steps(days)).sum();
    run.open_tables()?;
    for (advertiser, days) in config.advertiser_ids.0.iter().zip(days) {
        run.advertiser(advertiser, days)?;
    }
    run.warn_of_missing();
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
}

/// One node on its way into its table.
struct Target<'i> {
    import: &'i Import,
    reader: Reader<'i>,
    /// What the API is asked for by name.
    names: Vec<&'static str>,
    table: Option<Table>,
}

struct Run<'c, 'i> {
    ctx: &'c mut Context<Settings>,
    config: Rc<Settings>,
    api: Api,
    targets: Vec<Target<'i>>,
    failures: Failures,
    done: u64,
    total: u64,
}

impl<'c, 'i> Run<'c, 'i> {
    fn new(ctx: &'c mut Context<Settings>, config: Rc<Settings>, imports: &'i [Import]) -> Result<Self> {
        let api = Api::new(&ctx.http(), &config)?;
        let target = |import: &'i Import| Target {
            import,
            reader: Reader::new(import),
            names: import.asked(),
            table: None,
        };
        let targets = imports.iter().map(target).collect();
        Ok(Self { ctx, config, api, targets, failures: Failures::new(), done: 0, total: 0 })
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
            let before = self.imported(target.import, advertiser)?;
            let last = before.or(self.config.last_requested_date);
            let lookback = self.config.reimport_lookback_window;
            let range = self.ctx.run().date_range(self.config.wanted(), last, lookback)?;
            Ok(Days { target: index, range, before, failed: false })
        });
        days.collect()
    }

    /// The last day that the state has of an advertiser's figures.
    fn imported(&self, import: &Import, advertiser: &str) -> Result<Option<Date>> {
        let key = key(import, advertiser);
        let Some(imported) = self.ctx.state::<Imported>(&key)? else { return Ok(None) };
        match imported.data_level.filter(|level| *level != self.config.data_level) {
            None => Ok(Some(imported.date)),
            Some(level) => Err(Error::config(format!(
                "`{}` was imported at the DataLevel {}, and its rows stand for that; run a full refresh to have it \
                 at {}, or set `DataLevel` back",
                import.node.table,
                level.name(),
                self.config.data_level.name()
            ))
            .parameter("DataLevel")),
        }
    }

    /// How many steps an advertiser takes: its lists, and its days.
    fn steps(&self, days: &[Days]) -> u64 {
        let first = days.iter().map(|days| days.range.start).min();
        let last = days.iter().map(|days| days.range.end).max();
        let count = first.zip(last).map_or(0, |(start, end)| DateRange { start, end }.len());
        (self.targets.len() - days.len()) as u64 + u64::from(count.unsigned_abs())
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
        self.done = end;
        self.ctx.progress(self.done, self.total, "steps");
        Ok(())
    }

    /// The lists of an advertiser. Answers whether it makes sense to go on.
    fn lists(&mut self, advertiser: &str) -> Result<bool> {
        for index in 0..self.targets.len() {
            if self.targets.get(index).is_none_or(|target| target.import.node.is_report()) {
                continue;
            }
            let fetched = self.fetch(index, Asked { advertiser, day: None });
            let outcome = self.outcome(advertiser, fetched)?;
            if outcome == Outcome::AdvertiserFailed {
                return Ok(false);
            }
            self.done += 1;
            self.ctx.progress(self.done, self.total, "steps");
        }
        Ok(true)
    }

    /// The figures of an advertiser, each day with its state in one commit.
    fn figures(&mut self, advertiser: &str, days: &mut [Days]) -> Result<()> {
        let first = days.iter().map(|days| days.range.start).min();
        let last = days.iter().map(|days| days.range.end).max();
        let Some((start, end)) = first.zip(last) else { return Ok(()) };
        info!("importing figures of advertiser {advertiser} from {start} to {end}");
        for day in (DateRange { start, end }).days() {
            let due = |days: &&mut Days| !days.failed && days.range.start <= day && day <= days.range.end;
            for report in days.iter_mut().filter(due) {
                let fetched = self.fetch(report.target, Asked { advertiser, day: Some(day) });
                match self.outcome(advertiser, fetched)? {
                    Outcome::Done => self.set_reached(report, advertiser, day)?,
                    Outcome::NodeFailed => report.failed = true,
                    Outcome::AdvertiserFailed => return Ok(()),
                }
            }
            self.ctx.commit()?;
            self.done += 1;
            self.ctx.progress(self.done, self.total, "steps");
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
        let imported = Imported { date, data_level: Some(self.config.data_level) };
        self.ctx.set_state(&key(target.import, advertiser), &imported)
    }

    /// What a fetch came to. A wrong token ends the run, and so does what
    /// [`Failures`] lets through; the rest is kept for the end.
    fn outcome(&mut self, advertiser: &str, fetched: Result<()>) -> Result<Outcome> {
        let outcome = match &fetched {
            Ok(()) => return Ok(Outcome::Done),
            Err(error) if api::is_of_token(error) => return fetched.map(|()| Outcome::Done),
            Err(error) if api::is_of_node(error) => Outcome::NodeFailed,
            Err(_) => Outcome::AdvertiserFailed,
        };
        self.failures.attempt(format_args!("advertiser {advertiser}"), || fetched)?;
        Ok(outcome)
    }

    /// Fetches and writes what a node has of an advertiser, or of one of its days.
    fn fetch(&mut self, index: usize, asked: Asked<'_>) -> Result<()> {
        let Some(target) = self.targets.get_mut(index) else { return Ok(()) };
        let node = target.import.node;
        let what = || match asked.day {
            Some(day) => format!("`{}` of {day}", node.name),
            None => format!("`{}`", node.name),
        };
        loop {
            let records = target.reader.records();
            let query = target.query(&self.config, asked);
            let page_size = Some(node.page_size).filter(|size| *size > 0);
            let (ctx, api) = (&mut *self.ctx, &self.api);
            let fetched = api.records(node.endpoint, &query, page_size, |record| target.write(ctx, record, asked));
            match fetched {
                Ok(()) if node.source == Source::Account && target.reader.records() == records => {
                    return Err(unknown()).with_context(what);
                }
                Ok(()) => return Ok(()),
                Err(error) => target.ask_less(error).with_context(what)?,
            }
        }
    }

    /// Tells of columns that are null because the API never has them.
    fn warn_of_missing(&self) {
        for target in &self.targets {
            let missing = target.reader.never_seen();
            if !missing.is_empty() {
                let missing = missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                warn!("no record of `{}` had {missing}; the columns are null", target.import.node.name);
            }
        }
    }
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

impl Target<'_> {
    fn open(&mut self, ctx: &mut Context<Settings>) -> Result<Table> {
        if let Some(table) = self.table {
            return Ok(table);
        }
        let table = ctx.open_stream(self.import.stream.clone(), Open::default())?;
        self.table = Some(table);
        Ok(table)
    }

    fn write(&mut self, ctx: &mut Context<Settings>, record: &RawValue, asked: Asked<'_>) -> Result<()> {
        let row = self.reader.row(record, asked)?;
        let table = self.open(ctx)?;
        let cells: Vec<Cell<'_>> = row.iter().map(Converted::cell).collect();
        ctx.write_row(table, &cells)
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
        let chosen = self.import.named_beside(&accepted);
        if refused.is_empty() || kept.is_empty() {
            return Err(error);
        }
        if !chosen.is_empty() {
            let chosen = chosen.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let told = format!("the API does not have {chosen} (any more); remove it from `Fields`");
            return Err(Error::config(told).parameter("Fields"));
        }
        warn!("the API does not have {} of `{}`; the columns stay null", refused.join(", "), self.import.node.name);
        self.reader.expect_only(&kept);
        self.names = kept;
        Ok(())
    }
}

/// The key of the state of an advertiser's figures.
fn key(import: &Import, advertiser: &str) -> String {
    format!("{}/{advertiser}", import.node.table)
}

fn unknown() -> Error {
    Error::config("the API tells nothing of this advertiser; check its id").parameter(ADVERTISERS)
}
