//! The connector that the benchmarks run: it makes rows, passes a file of JSON
//! lines through, imports a REST API as a connector written for it does, or does
//! nothing.

#![cfg(target_family = "wasm")]

use std::borrow::Cow;
use std::fs::File;

use ow_connector::prelude::*;

mod work;

/// What to do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Settings {
    /// Rows to make.
    #[serde(default)]
    rows: i64,
    /// Rows between commits; none: one commit at the end.
    #[serde(default)]
    commit_every: i64,
    /// Add the rows instead of merging them by their key.
    #[serde(default)]
    append: bool,
    /// A file of JSON lines to pass through.
    #[serde(default)]
    json_lines: Option<String>,
    /// A REST API to import.
    #[serde(default)]
    rest_url: Option<String>,
    /// How it is cut into pages: `page` or `next_url`.
    #[serde(default)]
    paging: String,
    /// Numbers to look for primes among.
    #[serde(default)]
    work: usize,
    /// A URL to get, one request after another.
    #[serde(default)]
    get_url: Option<String>,
    /// How often; primes are looked for once at least.
    #[serde(default)]
    times: u32,
}

/// A record of the REST API.
#[derive(Deserialize, Record)]
#[record(stream = "events")]
struct Customer<'a> {
    id: i64,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    email: Cow<'a, str>,
    created_at: Timestamp,
    updated_at: Timestamp,
    amount: f64,
    quantity: i64,
    active: bool,
    #[serde(borrow)]
    country: Cow<'a, str>,
    #[serde(borrow)]
    note: Cow<'a, str>,
}

/// A record of 10 fields, as an advertising report has them.
#[derive(Record)]
#[record(stream = "events", primary_key = "id")]
struct Event<'a> {
    id: i64,
    day: Date,
    at: Timestamp,
    campaign: &'a str,
    country: &'a str,
    clicks: i64,
    impressions: i64,
    spend: f64,
    active: bool,
    note: Option<&'a str>,
}

/// The connector.
#[derive(Debug)]
pub struct Bench;

impl Connector for Bench {
    type Config = Settings;
    const NAME: &'static str = "bench";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const TITLE: &'static str = "Benchmark";
    const DESCRIPTION: &'static str = "Makes rows for the benchmarks.";

    fn streams(_: &Settings) -> Result<Vec<Stream>> {
        Ok(vec![Event::stream()])
    }

    fn run(ctx: &mut Context<Settings>) -> Result<()> {
        let config = ctx.config();
        if let Some(path) = &config.json_lines {
            let table = ctx.open_stream(Event::stream(), Open::default())?;
            ctx.copy_json(table, File::open(path)?)?;
        }
        if let Some(url) = &config.rest_url {
            let pagination: http::Pagination = match config.paging.as_str() {
                "page" => http::PageNumber::new("page", "/data").total_pages("/pages").into(),
                _ => http::NextUrl::new("/next").into(),
            };
            for page in ctx.http().get(url).pages(pagination) {
                for customer in page?.records::<Customer<'_>>("/data")? {
                    ctx.write(&customer?)?;
                }
            }
        }
        if config.work > 0 {
            for _ in 0..config.times.max(1) {
                std::hint::black_box(work::work(std::hint::black_box(config.work)));
            }
        }
        if let Some(url) = &config.get_url {
            for _ in 0..config.times {
                ctx.http().get(url).send()?.bytes(1 << 20)?;
            }
        }
        if config.append {
            ctx.open::<Event<'_>>(Open::default().mode(WriteMode::Append))?;
        }
        for id in 0..config.rows {
            ctx.write(&event(id))?;
            if config.commit_every > 0 && id % config.commit_every == config.commit_every - 1 {
                ctx.commit()?;
            }
        }
        Ok(())
    }
}

fn event(id: i64) -> Event<'static> {
    const CAMPAIGNS: [&str; 4] = ["spring-sale-2026", "brand awareness", "retargeting EU", "app installs"];
    const COUNTRIES: [&str; 5] = ["DE", "AT", "CH", "PL", "FR"];
    let pick = |names: &[&'static str]| names.get(id as usize % names.len()).copied().unwrap_or_default();
    Event {
        id,
        day: Date::from_days((19_000 + id % 1_000) as i32),
        at: Timestamp::from_micros(1_700_000_000_000_000 + id * 1_000),
        campaign: pick(&CAMPAIGNS),
        country: pick(&COUNTRIES),
        clicks: id % 997,
        impressions: id % 99_991,
        spend: id as f64 / 100.0,
        active: id % 3 == 0,
        note: (id % 4 == 0).then_some("checked by hand"),
    }
}

ow_connector::export!(Bench);
