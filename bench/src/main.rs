//! Speed and memory of the host, each number beside a baseline that was
//! measured in the same run on the same machine. Nothing is asserted: machines
//! differ, ratios tell.

#![expect(clippy::print_stdout, reason = "a benchmark prints its numbers")]

mod baseline;
mod hostile;
mod measure;
mod rest;
mod storages;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use ow_host::config::{Config, RunConfig};
use ow_host::isolation::Program;
use ow_host::report::RunReport;
use ow_host::{Runner, RunnerOptions};
use serde_json::json;

use self::measure::{Measured, best, spawn_times};

const ROWS: u64 = 1_000_000;
/// Runs of each measurement; the fastest counts, since noise only slows down.
const TRIES: usize = 3;
/// Starts of a process.
const TIMES: usize = 50;

fn main() -> Result<ExitCode> {
    let wanted = std::env::args().nth(1);
    #[cfg(target_os = "linux")]
    if wanted.as_deref() == Some(ow_host::isolation::WORKER) {
        return Ok(ow_host::isolation::worker::main());
    }
    measure_all(wanted.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

fn measure_all(wanted: Option<&str>) -> Result<()> {
    if wanted == Some("memory") {
        return memory_child();
    }
    let bench = Bench::prepare()?;
    match wanted {
        Some("rest") => return rest::measure(&bench),
        Some("hostile") => return hostile::measure(&bench),
        Some("storages") => return storages::measure(&bench),
        _ => {}
    }
    println!("{:<46} {:>12} {:>14} {:>10}", "", "", "baseline", "ratio");
    bench.rows()?;
    bench.json_lines()?;
    bench.start()?;
    bench.memory()?;
    rest::measure(&bench)?;
    hostile::measure(&bench)?;
    storages::measure(&bench)
}

/// The components, the host's binary and a folder to write to.
struct Bench {
    component: PathBuf,
    rest_json: PathBuf,
    host: PathBuf,
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn prepare() -> Result<Self> {
        let target = target_folder()?;
        cargo(&[
            "build",
            "--locked",
            "--target",
            "wasm32-wasip2",
            "--profile",
            "guest",
            "-p",
            "bench-guest",
            "-p",
            "rest-json",
        ])?;
        let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
        // With this package, so that dependencies get the same features and are not built twice.
        cargo(&[
            "build",
            "--locked",
            "--profile",
            profile,
            "-p",
            "bench",
            "-p",
            "ow-host",
            "--bin",
            "ow-host",
        ])?;
        let host = target.join(if profile == "dev" { "debug" } else { profile }).join("ow-host");
        Ok(Self {
            component: target.join("wasm32-wasip2/guest/bench_guest.wasm"),
            rest_json: target.join("wasm32-wasip2/guest/rest_json.wasm"),
            host,
            folder: tempfile::tempdir()?,
            runtime: tokio::runtime::Runtime::new()?,
        })
    }

    /// One run with these parameters into this storage.
    fn run(&self, source: serde_json::Value, storage: serde_json::Value) -> Result<(RunReport, f64)> {
        self.run_in(json!({}), source, storage)
    }

    /// The same with this isolation.
    fn run_behind(
        &self,
        isolation: &str,
        source: serde_json::Value,
        storage: serde_json::Value,
    ) -> Result<(RunReport, f64)> {
        self.run_in(json!({"isolation": isolation}), source, storage)
    }

    /// The same with these origins granted.
    fn run_granted(
        &self,
        source: serde_json::Value,
        storage: serde_json::Value,
        origins: &[String],
    ) -> Result<(RunReport, f64)> {
        self.run_in(json!({"allow_net": origins}), source, storage)
    }

    fn run_in(
        &self,
        sandbox: serde_json::Value,
        source: serde_json::Value,
        storage: serde_json::Value,
    ) -> Result<(RunReport, f64)> {
        let mounts = json!([format!("{}:/data:ro", self.folder.path().display())]);
        let granted = sandbox.as_object().cloned().unwrap_or_default();
        let sandbox: serde_json::Map<_, _> =
            granted.into_iter().chain([("mounts".to_owned(), mounts)]).collect();
        let config = json!({
            "name": "bench",
            "source": {"name": "Bench", "config": source},
            "storage": storage,
            "sandbox": sandbox,
        });
        let config = Config::parse(&config.to_string(), self.folder.path())?;
        let workers = Some(Program(self.host.clone()));
        let runner = Runner::new(RunnerOptions { workers, ..RunnerOptions::default() });
        let start = std::time::Instant::now();
        let report = self.runtime.block_on(runner.run(self.component.clone(), config, RunConfig::default()));
        let seconds = start.elapsed().as_secs_f64();
        ensure!(report.succeeded(), "the run failed: {:?}", report.failure);
        Ok((report, seconds))
    }

    /// Rows generated in the guest, into nothing and into SQLite.
    fn rows(&self) -> Result<()> {
        let discard =
            best(TRIES, || Ok(self.run(json!({"Rows": ROWS}), json!({"name": "Discard", "config": {}}))?.1))?;
        let make = best(TRIES, || Ok(baseline::make_rows(ROWS)))?;
        line("rows, guest to nothing (native: make them)", ROWS, discard, make, "M rows/s", 1e6);
        let apart = best(TRIES, || {
            let storage = json!({"name": "Discard", "config": {}});
            Ok(self.run_behind("process", json!({"Rows": ROWS}), storage)?.1)
        })?;
        line("rows, isolated guest to nothing (not isolated)", ROWS, apart, discard, "M rows/s", 1e6);

        let mut database = 0;
        let sqlite = best(TRIES, || {
            database += 1;
            let path = format!("merge-{database}.db");
            Ok(self.run(json!({"Rows": ROWS}), json!({"name": "Sqlite", "config": {"Path": path}}))?.1)
        })?;
        let native = best(TRIES, || baseline::sqlite_upsert(&self.folder.path().join("native.db"), ROWS))?;
        line("rows, guest to SQLite with upsert (native)", ROWS, sqlite, native, "M rows/s", 1e6);
        Ok(())
    }

    /// JSON lines through the guest into nothing, against the same parser.
    fn json_lines(&self) -> Result<()> {
        let path = self.folder.path().join("events.jsonl");
        let bytes = baseline::write_json_lines(&path, ROWS)?;
        let source = || json!({"JsonLines": "/data/events.jsonl"});
        let ours = best(TRIES, || Ok(self.run(source(), json!({"name": "Discard", "config": {}}))?.1))?;
        let native = best(TRIES, || baseline::parse_json_lines(&path))?;
        line("JSON lines, guest to nothing (serde_json)", bytes, ours, native, "MB/s", 1e6);
        Ok(())
    }

    /// A cached component that does nothing.
    fn start(&self) -> Result<()> {
        let config = self.folder.path().join("nothing.json");
        let text =
            json!({"name": "n", "source": {"config": {}}, "storage": {"name": "Discard", "config": {}}});
        std::fs::write(&config, text.to_string())?;
        let native = spawn_times(TIMES, || Command::new("true"))?;
        for (isolation, what) in
            [("none", "start to end of a run of nothing (true)"), ("process", "the same, isolated")]
        {
            let run = || {
                let mut command = Command::new(&self.host);
                command.arg("run").arg(&self.component).arg("--config").arg(&config);
                command.args(["-q", "--isolation", isolation]);
                command
            };
            spawn_times(1, run)?; // Compiles the component.
            let ours = spawn_times(TIMES, run)?;
            println!(
                "{what:<46} {:>9.2} ms {:>11.2} ms   processor time {:.2} ms",
                ours.wall * 1e3,
                native.wall * 1e3,
                ours.cpu * 1e3
            );
        }
        Ok(())
    }

    /// Memory with ten times the rows.
    fn memory(&self) -> Result<()> {
        let storage = json!({"name": "Sqlite", "config": {"Path": "memory.db"}});
        [ROWS, 10 * ROWS].into_iter().try_for_each(|rows| self.peak_memory("SQLite", &storage, rows))
    }

    /// The most memory that a process has which runs so many rows into a storage.
    fn peak_memory(&self, name: &str, storage: &serde_json::Value, rows: u64) -> Result<()> {
        let output = Command::new(std::env::current_exe()?)
            .args(["memory", name, &storage.to_string(), &rows.to_string()])
            .arg(&self.component)
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        print!("{}", String::from_utf8_lossy(&output.stdout));
        Ok(())
    }
}

/// Runs so many rows into a storage in a process of its own and prints its memory.
fn memory_child() -> Result<()> {
    let mut args = std::env::args().skip(2);
    let mut next = |what: &'static str| args.next().context(what);
    let name = next("the storage's name")?;
    let storage: serde_json::Value = serde_json::from_str(&next("the storage")?)?;
    let rows: u64 = next("rows")?.parse()?;
    let component = PathBuf::from(next("the component")?);
    let folder = tempfile::tempdir()?;
    let config = json!({
        "name": "memory",
        "source": {"config": {"Rows": rows, "CommitEvery": 100_000, "Append": name != "SQLite"}},
        "storage": storage,
    });
    let config = Config::parse(&config.to_string(), folder.path())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let runner = Runner::new(RunnerOptions::default());
    let report = runtime.block_on(runner.run(component, config, RunConfig::default()));
    ensure!(report.succeeded(), "the run failed: {:?}", report.failure);
    let peak = Measured::peak_memory();
    println!(
        "{:<46} {:>9.1} MB   (of it the guest {:.1} MB)",
        format!("memory, {} M rows to {name}", rows / 1_000_000),
        peak as f64 / 1e6,
        report.peak_memory as f64 / 1e6
    );
    Ok(())
}

fn line(what: &str, units: u64, ours: f64, baseline: f64, unit: &str, scale: f64) {
    let rate = |seconds: f64| units as f64 / seconds / scale;
    println!(
        "{what:<46} {:>6.2} {unit} {:>7.2} {unit} {:>9.2}x",
        rate(ours),
        rate(baseline),
        ours / baseline
    );
}

fn cargo(args: &[&str]) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo tells this program would make the build of some crates start anew.
    let told = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(told)) {
        cargo.env_remove(name);
    }
    let status = cargo.args(args).status()?;
    ensure!(status.success(), "cargo {} failed", args.join(" "));
    Ok(())
}

/// The folder that this program was built in.
fn target_folder() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.parent().and_then(Path::parent).map(Path::to_owned).context("the program lies in no target folder")
}
