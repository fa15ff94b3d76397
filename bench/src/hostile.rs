//! Attacks, and what the sandbox costs: how many are contained, how much they
//! slow a neighbour down, how long a limit takes to stop a guest, and the same
//! work inside and outside of the sandbox.

#[path = "../guest/src/work.rs"]
mod work;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::hostile::e2e::{Answer, Server};
use ::hostile::{Stage, harness, table};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use ow_host::cancel::Cancel;
use ow_host::config::{Config, RunConfig, SandboxFlags};
use ow_host::isolation::Program;
use ow_host::report::{Event, RunReport};
use ow_host::run::CacheOption;
use ow_host::{Runner, RunnerOptions};
use serde_json::json;

use super::{Bench, TRIES, best, cargo, target_folder};

/// Runs of the neighbour without an attack.
const ALONE: usize = 20;
/// Tries of each stop; the median counts.
const STOPS: usize = 9;
/// Numbers among which primes are looked for.
const NUMBERS: usize = 20_000_000;
/// How often a run that behaves well looks for them.
const HONEST_TIMES: u32 = 10;
/// Requests one after another, and bytes of each answer.
const REQUESTS: u32 = 3_000;
const ANSWER: usize = 2_000;

/// Measures all of it.
pub(crate) fn measure(bench: &Bench) -> Result<()> {
    let guests = Guests::build()?;
    attacks(bench, &guests)?;
    stops(bench, &guests)?;
    computing(bench)?;
    http(bench)
}

/// The connector that attacks, and the one that behaves well.
struct Guests {
    hostile: PathBuf,
    good: PathBuf,
}

impl Guests {
    fn build() -> Result<Self> {
        for package in ["hostile-guest", "test-guest"] {
            cargo(&["build", "--locked", "--target", "wasm32-wasip2", "--profile", "guest", "-p", package])?;
        }
        let folder = target_folder()?.join("wasm32-wasip2/guest");
        Ok(Self { hostile: folder.join("hostile_guest.wasm"), good: folder.join("test_guest.wasm") })
    }

    fn stage(&self, folder: &Path, cache: &Path) -> Result<Stage> {
        let guest = std::fs::read(&self.hostile).with_context(|| self.hostile.display().to_string())?;
        Ok(Stage::new(folder.to_owned(), guest, self.good.clone(), cache.to_owned()))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn as_floats(values: &[u64]) -> Vec<f64> {
    values.iter().map(|value| *value as f64).collect()
}

/// Every attack of the table beside a neighbour.
fn attacks(bench: &Bench, guests: &Guests) -> Result<()> {
    let cache = bench.folder.path().join("cache");
    let folder = tempfile::tempdir_in(bench.folder.path())?;
    let stage = guests.stage(folder.path(), &cache)?;
    // The first compiles the component.
    bench.runtime.block_on(harness::neighbour_alone(&stage, 1));
    let alone = median(as_floats(&bench.runtime.block_on(harness::neighbour_alone(&stage, ALONE))));
    println!("attacks beside a neighbour that takes {alone:.0} ms alone");
    println!("{:<46} {:>12} {:>14} {:>10}", "", "contained", "neighbour", "ratio");
    let computing = json!({"Work": NUMBERS, "Times": HONEST_TIMES});
    for (what, cache, source) in [
        ("(a run that computes and behaves well)", CacheOption::Folder(cache.clone()), computing),
        ("(compiling a connector that behaves well)", CacheOption::Off, json!({})),
    ] {
        let beside = bench.runtime.block_on(honest(bench, &stage, cache, &source))?;
        println!("{what:<46} {:>12} {beside:>11.0} ms {:>9.2}x", "", beside / alone.max(1.0));
    }
    let (mut tried, mut contained) = (0, 0);
    for (name, attack) in table::all() {
        if !attack.runs_here() {
            continue;
        }
        let folder = tempfile::tempdir_in(bench.folder.path())?;
        let stage = guests.stage(folder.path(), &cache)?;
        let performed = bench.runtime.block_on(::hostile::perform(&stage, name, attack));
        let good = performed.problems.is_empty() && performed.outcome == attack.outcome;
        (tried, contained) = (tried + 1, contained + usize::from(good));
        let beside = median(as_floats(&performed.neighbour_ms));
        println!(
            "{name:<46} {:>12} {beside:>11.0} ms {:>9.2}x",
            if good { "yes" } else { "NO" },
            beside / alone.max(1.0)
        );
    }
    println!("{contained} of {tried} attacks contained");
    Ok(())
}

/// The neighbour's milliseconds beside a connector that behaves well.
async fn honest(bench: &Bench, stage: &Stage, cache: CacheOption, source: &serde_json::Value) -> Result<f64> {
    let config = json!({
        "name": "honest",
        "source": {"config": source},
        "storage": {"name": "Discard", "config": {}},
    });
    let config = Config::parse(&config.to_string(), bench.folder.path())?;
    let options =
        RunnerOptions { cache, workers: Some(Program(bench.host.clone())), ..RunnerOptions::default() };
    let component = bench.component.clone();
    let run =
        tokio::spawn(async move { Runner::new(options).run(component, config, RunConfig::default()).await });
    let (report, beside) = harness::neighbour_beside(stage, run).await;
    let report = report?;
    ensure!(report.succeeded(), "the run failed: {:?}", report.failure);
    let during = beside.split_last().map_or(&[][..], |(_, during)| during);
    Ok(median(as_floats(during)))
}

/// One run of an attack of the hostile guest, and its seconds.
fn attack(
    bench: &Bench,
    guests: &Guests,
    name: &str,
    limits: &str,
    cancel_after: Option<Duration>,
) -> Result<(RunReport, f64)> {
    let folder = tempfile::tempdir_in(bench.folder.path())?;
    let config = json!({
        "name": "stop",
        "source": {"config": {"Attack": name}},
        "storage": {"name": "Discard", "config": {}},
        "sandbox": serde_json::from_str::<serde_json::Value>(limits)?,
    });
    let config = Config::parse(&config.to_string(), folder.path())?;
    let cancel = Cancel::new();
    let (began, begins) = std::sync::mpsc::channel();
    let options = RunnerOptions {
        cache: CacheOption::Folder(bench.folder.path().join("cache")),
        sandbox: SandboxFlags::default(),
        cancel: cancel.clone(),
        events: Some(std::sync::Arc::new(move |event| {
            if matches!(event, Event::Started { .. }) {
                let _ = began.send(Instant::now());
            }
        })),
        ..RunnerOptions::default()
    };
    let report = bench.runtime.block_on(async {
        if let Some(after) = cancel_after {
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                cancel.cancel();
            });
        }
        let hostile = guests.hostile.clone();
        Runner::new(options).run(hostile, config, RunConfig::default()).await
    });
    let started: Instant = begins.try_recv().context("the run did not start")?;
    Ok((report, started.elapsed().as_secs_f64()))
}

/// From the moment at which a limit should stop a guest until the run is over.
fn stops(bench: &Bench, guests: &Guests) -> Result<()> {
    println!("{:<46} {:>12}", "from a limit to the end of the run", "median");
    let report = |what: &str, seconds: Vec<f64>| println!("{what:<46} {:>9.1} ms", median(seconds) * 1e3);
    let timed = |name: &str, limits: &str, limit: Duration| -> Result<Vec<f64>> {
        let run = |_| {
            let (report, seconds) = attack(bench, guests, name, limits, None)?;
            ensure!(report.exit_code == 6, "{name}: {:?}", report.failure);
            Ok(seconds - limit.as_secs_f64())
        };
        (0..STOPS).map(run).collect()
    };
    let limit = Duration::from_millis(300);
    report("time, computing", timed("endless_loop", r#"{"timeout": "300ms"}"#, limit)?);
    report("time, sleeping", timed("sleep_for_ever", r#"{"timeout": "300ms"}"#, limit)?);
    report("processor time", timed("endless_loop", r#"{"cpu_time": "300ms"}"#, limit)?);
    // Until it has taken 64 MiB and was refused more; a run of nothing is part of it.
    let nothing = (0..STOPS).map(|_| Ok(attack(bench, guests, "nothing", "{}", None)?.1));
    report("(start to end of a run of nothing)", nothing.collect::<Result<_>>()?);
    report("memory, 64 MiB, from the start", timed("memory_bomb", r#"{"memory": "64MiB"}"#, Duration::ZERO)?);
    let cancelled = |grace: &str, grace_time: Duration| -> Result<Vec<f64>> {
        let after = Duration::from_millis(300);
        let run = |_| {
            let begin = Instant::now();
            let limits = format!(r#"{{"grace": "{grace}"}}"#);
            let (report, _) = attack(bench, guests, "endless_loop", &limits, Some(after))?;
            ensure!(report.exit_code == 130, "{:?}", report.failure);
            Ok(begin.elapsed().as_secs_f64() - after.as_secs_f64() - grace_time.as_secs_f64())
        };
        (0..STOPS).map(run).collect()
    };
    report("cancel, computing, after a grace of 200 ms", cancelled("200ms", Duration::from_millis(200))?);
    Ok(())
}

/// The same function inside and outside.
fn computing(bench: &Bench) -> Result<()> {
    let nothing = json!({"name": "Discard", "config": {}});
    let start = best(TRIES, || Ok(bench.run(json!({}), nothing.clone())?.1))?;
    let inside = best(TRIES, || Ok(bench.run(json!({"Work": NUMBERS}), nothing.clone())?.1))? - start;
    let outside = best(TRIES, || {
        let begin = Instant::now();
        black_box(work::work(black_box(NUMBERS)));
        Ok(begin.elapsed().as_secs_f64())
    })?;
    super::line("computing, primes in the guest (native)", NUMBERS as u64, inside, outside, "M/s", 1e6);
    Ok(())
}

/// Requests through the gate, and by the HTTP client that the gate is made of.
fn http(bench: &Bench) -> Result<()> {
    let server = Server::start(|_| Answer::new(200, vec![b'x'; ANSWER]));
    let (origin, url) = (server.origin(), server.url("/"));
    let nothing = json!({"name": "Discard", "config": {}});
    let run = |times: u32| {
        let source = json!({"GetUrl": url, "Times": times});
        best(TRIES, || {
            Ok(bench.run_granted(source.clone(), nothing.clone(), std::slice::from_ref(&origin))?.1)
        })
    };
    let inside = run(REQUESTS)? - run(0)?;
    let outside = best(TRIES, || bench.runtime.block_on(plain_requests(&url)))?;
    super::line("HTTP, one after another (hyper)", u64::from(REQUESTS), inside, outside, "k/s", 1e3);
    Ok(())
}

/// Seconds for as many requests by hyper alone.
async fn plain_requests(url: &str) -> Result<f64> {
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let uri: http::Uri = url.parse()?;
    let begin = Instant::now();
    for _ in 0..REQUESTS {
        let answer = client.get(uri.clone()).await?;
        let body = answer.into_body().collect().await?.to_bytes();
        ensure!(body.len() == ANSWER, "an answer has {} bytes", body.len());
    }
    Ok(begin.elapsed().as_secs_f64())
}
