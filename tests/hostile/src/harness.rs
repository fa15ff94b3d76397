//! Runs an attack and a well-behaved connector at once, in this process.

use std::cell::Cell;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Parser as _;
use ow_host::cancel::Cancel;
use ow_host::config::{Config, RunConfig, SandboxFlags};
use ow_host::isolation::Program;
use ow_host::report::{Event, RunReport, Sink};
use ow_host::run::CacheOption;
use ow_host::{Runner, RunnerOptions};
use serde_json::{Value, json};

use crate::stage::{Names, SECRET, Swapper};
use crate::transcript::{self, Run};
use crate::{Attack, Stage, Storage};

/// Flags for every run of an attack, from the environment: for trying the whole
/// table with another way of isolation, or other limits.
const EXTRA_FLAGS: &str = "HOSTILE_FLAGS";

/// The end of a run that nothing else ends.
const PATIENCE: &str = "120s";

/// Whole runs of the neighbour beside an attack that tell whether it is slowed. An
/// attack that is over sooner is repeated.
const ENOUGH_RUNS: usize = 3;

/// Who has not run so often in so many times what a run takes alone is starved, on
/// however busy a machine.
const PATIENT_TIMES: u64 = 100;

/// The fastest run of the neighbour beside an attack may take so many times what
/// its slowest takes without: more is no noise. Where there are fewer cores than
/// the runs keep busy, they share them.
const NOISE_TIMES: u64 = 3;

/// Rows that the neighbour writes, with a commit after each fiftieth.
const NEIGHBOUR_ROWS: i64 = 500;

/// What came of an attack.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Performance {
    /// What came of it, line by line.
    pub outcome: Vec<String>,
    /// What should not have happened.
    pub problems: Vec<String>,
    /// How the neighbour was slowed, if it was. The machine may have stalled: an
    /// attack that slows does so each time.
    pub slowed: Option<String>,
    /// Bytes of memory that this process had at most beyond what it had before.
    pub growth: u64,
    /// Bytes of memory that the attacker's limit allows.
    pub memory: u64,
    /// Milliseconds of each of the neighbour's runs that began beside the attack.
    pub neighbour_ms: Vec<u64>,
}

#[derive(clap::Parser)]
struct Flags {
    #[command(flatten)]
    sandbox: SandboxFlags,
}

/// Performs an attack on a stage that was not used before.
pub async fn perform(stage: &Stage, name: &str, attack: &Attack) -> Performance {
    let flags = flags(stage, attack);
    let memory = flags.limits.clone().resolve().memory.get();
    let mut performance = Performance { memory, ..Performance::default() };
    // Before anything is measured, everything that all runs share is loaded.
    neighbour(stage, &mut performance.problems).await;
    let before = memory_of_this_process("VmRSS");
    reset_peak_memory();
    for case in attack.cases {
        let _swapper = attack.swaps_links.then(|| Swapper::start(&stage.folder));
        let attacker = Attacker { stage, name, attack, case, sandbox: flags.clone() };
        let problems = &mut performance.problems;
        let mut alone = vec![neighbour(stage, problems).await, neighbour(stage, problems).await];
        let done = Cell::new(0);
        let patience = Duration::from_millis(slowest(&alone) * PATIENT_TIMES);
        let attacks = attacker.until(|| done.get() >= ENOUGH_RUNS, patience);
        let ((lines, leaks), beside) = beside(stage, problems, &done, attacks).await;
        alone.push(neighbour(stage, problems).await);
        performance.slowed = performance.slowed.or(slowdown(&alone, &beside));
        performance.neighbour_ms.extend(beside);
        if !case.is_empty() {
            performance.outcome.push(format!("[{case}]"));
        }
        performance.problems.extend(leaks);
        performance.outcome.extend(lines);
    }
    performance.growth = memory_of_this_process("VmHWM").saturating_sub(before);
    performance.problems.extend(stage.damage());
    performance
}

/// Runs the neighbour so many times without any attack: milliseconds of each.
///
/// # Panics
///
/// If it fails.
pub async fn neighbour_alone(stage: &Stage, times: usize) -> Vec<u64> {
    let (mut problems, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..times {
        alone.push(neighbour(stage, &mut problems).await);
    }
    assert!(problems.is_empty(), "{problems:?}");
    alone
}

/// Runs the neighbour over and over beside something that is no attack: what came
/// of that, and milliseconds of each of the neighbour's runs that began beside it.
///
/// # Panics
///
/// If it fails.
pub async fn neighbour_beside<T>(stage: &Stage, other: impl Future<Output = T>) -> (T, Vec<u64>) {
    let mut problems = Vec::new();
    let beside = beside(stage, &mut problems, &Cell::new(0), other).await;
    assert!(problems.is_empty(), "{problems:?}");
    beside
}

/// Runs the neighbour over and over until something else is done: what came of
/// that, and milliseconds of each run. The last one began beside it and may have
/// ended after it; how many ended before is in `done` meanwhile.
async fn beside<T>(
    stage: &Stage,
    problems: &mut Vec<String>,
    done: &Cell<usize>,
    other: impl Future<Output = T>,
) -> (T, Vec<u64>) {
    let mut other = std::pin::pin!(other);
    let mut times = Vec::new();
    loop {
        let round = neighbour(stage, problems);
        let mut round = std::pin::pin!(round);
        tokio::select! {
            biased;
            result = &mut other => {
                times.push(round.await);
                return (result, times);
            }
            time = &mut round => {
                times.push(time);
                done.set(times.len());
            }
        }
    }
}

/// What is wrong with the neighbour's times beside an attack, given those alone.
fn slowdown(alone: &[u64], beside: &[u64]) -> Option<String> {
    let alone = slowest(alone);
    let whole = beside.split_last().map_or(&[][..], |(_, whole)| whole);
    let fastest = whole.iter().copied().min().unwrap_or_default();
    if whole.len() < ENOUGH_RUNS {
        let (done, times) = (whole.len(), PATIENT_TIMES);
        return Some(format!(
            "the neighbour has run {done} times in {times} times the {alone} ms it takes alone"
        ));
    }
    (fastest > alone * NOISE_TIMES).then(|| {
        format!("the neighbour takes {alone} ms alone, and {fastest} ms at the least beside the attack")
    })
}

/// The most of some milliseconds; 1 if there are none.
fn slowest(times: &[u64]) -> u64 {
    times.iter().copied().max().unwrap_or_default().max(1)
}

/// The flags of an attack's runs.
fn flags(stage: &Stage, attack: &Attack) -> SandboxFlags {
    let extra = std::env::var(EXTRA_FLAGS).unwrap_or_default();
    let names = [
        ("{server}", stage.server.origin()),
        ("{port}", stage.server.port().to_string()),
        ("{forbidden-port}", stage.forbidden.port().to_string()),
    ];
    let given = attack
        .flags
        .iter()
        .map(|flag| names.iter().fold((*flag).to_owned(), |flag, (name, value)| flag.replace(name, value)));
    let words =
        std::iter::once("attack".to_owned()).chain(given).chain(extra.split_whitespace().map(str::to_owned));
    let mut flags = Flags::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).sandbox;
    flags.limits.timeout.get_or_insert_with(|| PATIENCE.parse().unwrap());
    for mount in &mut flags.mount {
        *mount = mount.clone().relative_to(&stage.folder);
    }
    flags
}

/// A case of an attack, and where it takes place.
struct Attacker<'a> {
    stage: &'a Stage,
    name: &'a str,
    attack: &'a Attack,
    case: &'a str,
    sandbox: SandboxFlags,
}

impl Attacker<'_> {
    /// Attacks, and goes on until something is done or patience is at its end: what
    /// came of the first time, line by line, and what leaked in any.
    async fn until(&self, done: impl Fn() -> bool, patience: Duration) -> (Vec<String>, Vec<String>) {
        let begun = Instant::now();
        let run = self.run().await;
        let mut leaks = transcript::leaks(&run);
        let lines = transcript::lines(self.stage, self.attack, &run);
        while !done() && begun.elapsed() < patience {
            leaks.extend(transcript::leaks(&self.run().await));
        }
        (lines, leaks)
    }

    /// One run, in a folder of its own: not the last one's.
    async fn run(&self) -> Run {
        let &Self { stage, name, attack, case, .. } = self;
        let folder = stage.folder.join("attack").join(if case.is_empty() { "run" } else { case });
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let component = folder.join("hostile.wasm");
        std::fs::write(&component, attack.component.of(stage.guest.clone())).unwrap();
        let function = if attack.function.is_empty() { name } else { attack.function };
        let (server, forbidden) = (stage.server.origin(), stage.forbidden.origin());
        let port = stage.forbidden.port().to_string();
        let parameters = json!({
            "Attack": function, "Case": case, "Password": SECRET,
            "Server": server, "Port": stage.server.port().to_string(),
            "Forbidden": forbidden, "ForbiddenPort": port,
        });
        let arrived = stage.server.requests().len();
        let cancel = Cancel::new();
        let (events, sink) = recorder(attack.interrupted.then(|| cancel.clone()));
        let runner = RunnerOptions {
            sandbox: self.sandbox.clone(),
            events: Some(sink),
            cancel,
            resolver: Some(Arc::new(Names::default())),
            ..options(stage)
        };
        let run_config = if attack.full_refresh { r#"{"type":"FULL_REFRESH"}"# } else { "{}" };
        let config = configuration(parameters, storage(attack.storage));
        let report = run(runner, &component, &config, &folder, run_config).await;
        let events = std::mem::take(&mut *events.lock().unwrap());
        let requests = stage.server.requests().split_off(arrived);
        Run { folder, report, events, requests }
    }
}

/// A storage, as configured.
fn storage(storage: Storage) -> Value {
    match storage {
        Storage::Sqlite => json!({ "name": "Sqlite", "config": { "Path": { "value": "out.db" } } }),
        Storage::LocalFiles => json!({ "name": "LocalFiles", "config": {
            "Path": { "value": "out" }, "Format": { "value": "jsonl" },
        } }),
        Storage::Discard => json!({ "name": "Discard", "config": {} }),
    }
}

/// One run of the neighbour, which must succeed with all of its rows, and its
/// milliseconds.
async fn neighbour(stage: &Stage, problems: &mut Vec<String>) -> u64 {
    let folder = stage.folder.join("neighbour");
    std::fs::create_dir_all(&folder).unwrap();
    let parameters = json!({ "Behaviour": "count", "Until": NEIGHBOUR_ROWS, "Rows": 50 });
    let config = configuration(parameters, storage(Storage::Sqlite));
    let report = run(options(stage), &stage.neighbour, &config, &folder, "{}").await;
    if let Some(failure) = &report.failure {
        problems.push(format!("the neighbour failed: {failure}"));
        return report.wall_ms;
    }
    let database = rusqlite::Connection::open(folder.join("out.db")).unwrap();
    let rows: i64 =
        database.query_row("SELECT count(DISTINCT id) FROM numbers", [], |row| row.get(0)).unwrap();
    if rows != NEIGHBOUR_ROWS {
        problems.push(format!("the neighbour has {rows} of its {NEIGHBOUR_ROWS} rows"));
    }
    drop(database);
    std::fs::remove_dir_all(&folder).unwrap();
    report.wall_ms
}

async fn run(
    options: RunnerOptions,
    component: &Path,
    config: &Value,
    folder: &Path,
    run_config: &str,
) -> RunReport {
    let config = Config::parse(&config.to_string(), folder).unwrap();
    let run_config = RunConfig::parse(run_config).unwrap();
    // In a task of its own, as an embedder runs it: the neighbour has another thread.
    let component = component.to_owned();
    tokio::spawn(async move { Runner::new(options).run(component, config, run_config).await }).await.unwrap()
}

fn options(stage: &Stage) -> RunnerOptions {
    RunnerOptions {
        cache: CacheOption::Folder(stage.cache.clone()),
        workers: cfg!(target_os = "linux").then(Program::this),
        ..RunnerOptions::default()
    }
}

fn configuration(parameters: Value, storage: Value) -> Value {
    let mut config = e2e::lab::configuration(&parameters);
    config["storage"] = storage;
    config
}

/// A sink, and what it received: a bounded part of it. It interrupts once the guest
/// says `begun`.
fn recorder(interrupt: Option<Cancel>) -> (Arc<Mutex<Vec<Event>>>, Sink) {
    const KEPT: usize = 5000;
    let events = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&events);
    let sink: Sink = Arc::new(move |event| {
        if let (Some(cancel), Event::Log { message, .. }) = (&interrupt, event)
            && message == "begun"
        {
            cancel.cancel();
        }
        let mut kept = kept.lock().unwrap();
        if kept.len() < KEPT {
            kept.push(event.clone());
        }
    });
    (events, sink)
}

/// Bytes, from this process's `status`.
fn memory_of_this_process(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// From now on `VmHWM` counts anew (proc(5), `clear_refs`).
fn reset_peak_memory() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_did_not_get_through_often_enough_was_slowed() {
        assert!(slowdown(&[9, 13], &[700]).is_some());
        assert!(slowdown(&[9, 13], &[10, 10, 10]).is_some(), "the last one ended after the attack");
        assert_eq!(slowdown(&[9, 13], &[38, 20, 38, 20]), None);
    }

    #[test]
    fn who_was_always_slower_than_noise_explains_was_slowed() {
        assert!(slowdown(&[9, 13], &[40, 60, 40, 12]).is_some());
        assert_eq!(slowdown(&[9, 13], &[40, 60, 39, 12]), None, "one run was as fast");
    }
}
