//! Runs an attack and a well-behaved connector at once, in this process.

use std::path::Path;
use std::sync::{Arc, Mutex};

use clap::Parser as _;
use ow_host::config::{Config, RunConfig, SandboxFlags};
use ow_host::isolation::Program;
use ow_host::report::{Event, RunReport, Sink};
use ow_host::run::CacheOption;
use ow_host::{Runner, RunnerOptions};
use serde_json::{Value, json};

use crate::stage::{SECRET, Swapper};
use crate::transcript::{self, Run};
use crate::{Attack, Stage, Storage};

/// Flags for every run of an attack, from the environment: for trying the whole
/// table with another way of isolation, or other limits.
const EXTRA_FLAGS: &str = "HOSTILE_FLAGS";

/// The end of a run that nothing else ends.
const PATIENCE: &str = "120s";

/// How many times as long as the neighbour alone an attack must last so that
/// the neighbour must have got through beside it, on however busy a machine.
const PATIENT_TIMES: u64 = 30;

/// Rows that the neighbour writes, with a commit after each fiftieth.
const NEIGHBOUR_ROWS: i64 = 500;

/// What came of an attack.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Performance {
    /// What came of it, line by line.
    pub outcome: Vec<String>,
    /// What should not have happened.
    pub problems: Vec<String>,
    /// How the neighbour was starved, if it was. The machine may have stalled: an
    /// attack that starves does so each time.
    pub starved: Option<String>,
    /// Bytes of memory that this process had at most beyond what it had before.
    pub growth: u64,
    /// Bytes of memory that the attacker's limit allows.
    pub memory: u64,
    /// Milliseconds that the neighbour's runs took, one after another.
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
    neighbour(stage, &mut performance).await;
    performance.neighbour_ms.clear();
    neighbour(stage, &mut performance).await;
    let alone = performance.neighbour_ms.drain(..).sum();
    let before = memory_of_this_process("VmRSS");
    reset_peak_memory();
    for case in attack.cases {
        let _swapper = attack.swaps_links.then(|| Swapper::start(&stage.folder));
        let attacker = one(stage, name, attack, case, flags.clone());
        let (run, finished) = beside(stage, &mut performance, attacker).await;
        let starved = starvation(alone, finished, run.report.wall_ms);
        performance.starved = performance.starved.or(starved);
        if !case.is_empty() {
            performance.outcome.push(format!("[{case}]"));
        }
        performance.problems.extend(transcript::leaks(&run));
        performance.outcome.extend(transcript::lines(stage, attack, &run));
    }
    performance.growth = memory_of_this_process("VmHWM").saturating_sub(before);
    performance.problems.extend(stage.damage());
    neighbour(stage, &mut performance).await;
    performance
}

/// Runs the neighbour so many times without any attack: milliseconds of each.
///
/// # Panics
///
/// If it fails.
pub async fn neighbour_alone(stage: &Stage, times: usize) -> Vec<u64> {
    let mut alone = Performance::default();
    for _ in 0..times {
        neighbour(stage, &mut alone).await;
    }
    assert!(alone.problems.is_empty(), "{:?}", alone.problems);
    alone.neighbour_ms
}

/// Runs the neighbour over and over beside something that is no attack: what came
/// of that, and milliseconds of each of the neighbour's runs.
///
/// # Panics
///
/// If it fails.
pub async fn neighbour_beside<T>(stage: &Stage, other: impl Future<Output = T>) -> (T, Vec<u64>) {
    let mut performance = Performance::default();
    let (result, _) = beside(stage, &mut performance, other).await;
    assert!(performance.problems.is_empty(), "{:?}", performance.problems);
    (result, performance.neighbour_ms)
}

/// Runs the neighbour over and over until something else is done, and once to
/// its end after that; how many of its runs were over before the other was.
async fn beside<T>(
    stage: &Stage,
    performance: &mut Performance,
    other: impl Future<Output = T>,
) -> (T, usize) {
    let mut other = std::pin::pin!(other);
    let mut finished = 0;
    loop {
        let round = neighbour(stage, performance);
        let mut round = std::pin::pin!(round);
        tokio::select! {
            biased;
            result = &mut other => {
                round.await;
                return (result, finished);
            }
            () = &mut round => finished += 1,
        }
    }
}

/// What is wrong where the neighbour, which takes so many milliseconds alone,
/// did not get through once beside an attack that took many times as long.
fn starvation(alone: u64, finished: usize, attack: u64) -> Option<String> {
    (finished == 0 && attack >= alone.max(1) * PATIENT_TIMES).then(|| {
        format!(
            "the neighbour takes {alone} ms alone, and was not done once in {attack} ms beside the attack"
        )
    })
}

/// The flags of an attack's runs.
fn flags(stage: &Stage, attack: &Attack) -> SandboxFlags {
    let extra = std::env::var(EXTRA_FLAGS).unwrap_or_default();
    let given = attack.flags.iter().map(|flag| flag.replace("{server}", &stage.server.origin()));
    let words =
        std::iter::once("attack".to_owned()).chain(given).chain(extra.split_whitespace().map(str::to_owned));
    let mut flags = Flags::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).sandbox;
    flags.limits.timeout.get_or_insert_with(|| PATIENCE.parse().unwrap());
    for mount in &mut flags.mount {
        *mount = mount.clone().relative_to(&stage.folder);
    }
    flags
}

/// One run of the attacker.
async fn one(stage: &Stage, name: &str, attack: &Attack, case: &str, sandbox: SandboxFlags) -> Run {
    let folder = stage.folder.join("attack").join(if case.is_empty() { "run" } else { case });
    std::fs::create_dir_all(&folder).unwrap();
    let component = folder.join("hostile.wasm");
    std::fs::write(&component, attack.component.of(stage.guest.clone())).unwrap();
    let function = if attack.function.is_empty() { name } else { attack.function };
    let (server, forbidden) = (stage.server.origin(), stage.forbidden.origin());
    let port = stage.forbidden.port().to_string();
    let parameters = json!({
        "Attack": function, "Case": case, "Password": SECRET,
        "Server": server, "Forbidden": forbidden, "ForbiddenPort": port,
    });
    let storage = match attack.storage {
        Storage::Sqlite => json!({ "name": "Sqlite", "config": { "Path": { "value": "out.db" } } }),
        Storage::LocalFiles => json!({ "name": "LocalFiles", "config": {
            "Path": { "value": "out" }, "Format": { "value": "jsonl" },
        } }),
        Storage::Discard => json!({ "name": "Discard", "config": {} }),
    };
    let arrived = stage.server.requests().len();
    let (events, sink) = recorder();
    let runner = RunnerOptions { sandbox, events: Some(sink), ..options(stage) };
    let run_config = if attack.full_refresh { r#"{"type":"FULL_REFRESH"}"# } else { "{}" };
    let report = run(runner, &component, &configuration(parameters, storage), &folder, run_config).await;
    let events = std::mem::take(&mut *events.lock().unwrap());
    let requests = stage.server.requests().split_off(arrived);
    Run { folder, report, events, requests }
}

/// One run of the neighbour: it must succeed with all of its rows.
async fn neighbour(stage: &Stage, performance: &mut Performance) {
    let folder = stage.folder.join("neighbour").join(performance.neighbour_ms.len().to_string());
    std::fs::create_dir_all(&folder).unwrap();
    let parameters = json!({ "Behaviour": "count", "Until": NEIGHBOUR_ROWS, "Rows": 50 });
    let storage = json!({ "name": "Sqlite", "config": { "Path": { "value": "out.db" } } });
    let config = configuration(parameters, storage);
    let report = run(options(stage), &stage.neighbour, &config, &folder, "{}").await;
    performance.neighbour_ms.push(report.wall_ms);
    if let Some(failure) = &report.failure {
        performance.problems.push(format!("the neighbour failed: {failure}"));
        return;
    }
    let database = rusqlite::Connection::open(folder.join("out.db")).unwrap();
    let rows: i64 =
        database.query_row("SELECT count(DISTINCT id) FROM numbers", [], |row| row.get(0)).unwrap();
    if rows != NEIGHBOUR_ROWS {
        performance.problems.push(format!("the neighbour has {rows} of its {NEIGHBOUR_ROWS} rows"));
    }
    drop(database);
    std::fs::remove_dir_all(&folder).unwrap();
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

/// A sink, and what it received: a bounded part of it.
fn recorder() -> (Arc<Mutex<Vec<Event>>>, Sink) {
    const KEPT: usize = 5000;
    let events = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&events);
    let sink: Sink = Arc::new(move |event| {
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
    fn who_did_not_get_through_beside_a_long_attack_was_starved() {
        assert!(starvation(13, 0, 13 * PATIENT_TIMES).is_some());
        assert_eq!(starvation(13, 1, 13 * PATIENT_TIMES), None);
        assert_eq!(starvation(13, 0, 13 * PATIENT_TIMES - 1), None);
    }
}
