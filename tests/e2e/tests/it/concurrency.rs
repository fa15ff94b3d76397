//! Many runs at once in one process, through the library.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::{Lab, build};
use ow_host::cancel::Cancel;
use ow_host::config::{Config, RunConfig};
use ow_host::report::{Event, RunReport, Status};
use ow_host::run::CacheOption;
use ow_host::{Runner, RunnerOptions};
use serde_json::{Value, json};

fn options() -> RunnerOptions {
    RunnerOptions { cache: CacheOption::Folder(e2e::lab::cache()), ..RunnerOptions::default() }
}

fn config(lab: &Lab, database: &str, parameters: &Value) -> Config {
    let mut config = e2e::lab::configuration(parameters);
    config["storage"]["config"]["Path"] = json!({ "value": database });
    Config::parse(&config.to_string(), &lab.path("")).unwrap()
}

fn guest() -> &'static str {
    build::test_guest().to_str().unwrap()
}

fn rows(lab: &Lab, database: &str) -> i64 {
    let open = rusqlite::Connection::open(lab.path(database)).unwrap();
    open.query_row("SELECT count(*) FROM numbers", [], |row| row.get(0)).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn many_runs_do_not_disturb_each_other() {
    const RUNS: u64 = 40;
    let lab = Lab::new();
    let reports: Vec<(u64, RunReport)> = runtime().block_on(async {
        let tasks: Vec<_> = (0..RUNS)
            .map(|n| {
                // Every kind of neighbour: good ones, busy ones, broken ones.
                let parameters = match n % 5 {
                    0 => json!({ "Behaviour": "panic", "Message": "a broken neighbour" }),
                    1 => json!({ "Behaviour": "loop" }),
                    _ => json!({ "Behaviour": "count", "Until": 100 + n, "Rows": 10 }),
                };
                let config = config(&lab, &format!("{n}.db"), &parameters);
                let mut options = options();
                options.sandbox.limits.cpu_time = Some("200ms".parse().unwrap());
                if n % 5 > 1 {
                    options.sandbox.limits.cpu_time = None;
                }
                tokio::spawn(async move {
                    (n, Runner::new(options).run(guest(), config, RunConfig::default()).await)
                })
            })
            .collect();
        let mut reports = Vec::new();
        for task in tasks {
            reports.push(task.await.unwrap());
        }
        reports
    });
    for (n, report) in reports {
        let expected = match n % 5 {
            0 => 1,
            1 => 6,
            _ => 0,
        };
        assert_eq!(report.exit_code, expected, "{n}: {:?}", report.failure);
        if expected == 0 {
            assert_eq!(rows(&lab, &format!("{n}.db")), i64::try_from(100 + n).unwrap());
        }
    }
}

#[test]
fn one_database_serves_many_data_marts_at_once() {
    let lab = Lab::new();
    let reports: Vec<RunReport> = runtime().block_on(async {
        let tasks: Vec<_> = (0..8)
            .map(|n| {
                let parameters =
                    json!({ "Behaviour": "count", "Stream": format!("t{n}"), "Until": 60, "Rows": 5 });
                let config = config(&lab, "out.db", &parameters);
                let options = RunnerOptions { data_mart_id: Some(format!("mart {n}")), ..options() };
                tokio::spawn(
                    async move { Runner::new(options).run(guest(), config, RunConfig::default()).await },
                )
            })
            .collect();
        let mut reports = Vec::new();
        for task in tasks {
            reports.push(task.await.unwrap());
        }
        reports
    });
    for (n, report) in reports.iter().enumerate() {
        assert!(report.succeeded(), "{n}: {:?}", report.failure);
        assert_eq!(lab.query(&format!("SELECT count(*), max(id) FROM t{n}")), "60|59");
    }
}

#[test]
fn dropping_a_run_ends_it() {
    let lab = Lab::new();
    let parameters = json!({ "Behaviour": "count", "Until": 1_000_000_000, "Rows": 5 });
    let commits = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&commits);
    let events: ow_host::report::Sink = Arc::new(move |event| {
        if let Event::Committed { commits, .. } = event {
            seen.store(*commits, Ordering::Relaxed);
        }
    });
    let runtime = runtime();
    runtime.block_on(async {
        let runner = Runner::new(RunnerOptions { events: Some(events), ..options() });
        let run = runner.run(guest(), config(&lab, "out.db", &parameters), RunConfig::default());
        tokio::select! {
            report = run => panic!("the run ended by itself: {:?}", report.failure),
            () = until(|| commits.load(Ordering::Relaxed) > 2) => {}
        }
    });
    // The storage's thread may need a moment to let go of the data mart.
    let parameters = json!({ "Behaviour": "count", "Until": 1_000_000, "Rows": 1_000_000 });
    let mut report = None;
    for _ in 0..100 {
        let runner = Runner::new(options());
        let run = runner.run(guest(), config(&lab, "out.db", &parameters), RunConfig::default());
        let next = runtime.block_on(run);
        let busy = next.failure.as_ref().is_some_and(|failure| failure.retryable);
        report = Some(next);
        if !busy {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let report = report.unwrap();
    assert!(report.succeeded(), "{:?}", report.failure);
    assert_eq!(lab.query("SELECT count(*), count(DISTINCT id) FROM numbers"), "1000000|1000000");
}

#[test]
fn a_raised_flag_cancels_a_run() {
    let lab = Lab::new();
    let cancel = Cancel::new();
    let told = Arc::new(Mutex::new(false));
    let ready = Arc::clone(&told);
    let events: ow_host::report::Sink = Arc::new(move |event| {
        if matches!(event, Event::Log { message, .. } if message == "ready") {
            *ready.lock().unwrap() = true;
        }
    });
    let report = runtime().block_on(async {
        let options = RunnerOptions { events: Some(events), cancel: cancel.clone(), ..options() };
        let config = config(&lab, "out.db", &json!({ "Behaviour": "until_cancelled" }));
        let run =
            tokio::spawn(
                async move { Runner::new(options).run(guest(), config, RunConfig::default()).await },
            );
        until(|| *told.lock().unwrap()).await;
        cancel.cancel();
        run.await.unwrap()
    });
    assert_eq!((report.status, report.exit_code), (Status::Interrupted, 130));
}

#[test]
fn values_of_the_environment_are_the_programs() {
    let lab = Lab::new();
    let parameters = json!({ "Behaviour": "get", "Key": "k", "Password": { "env": "TOKEN" } });
    let looked = Arc::new(Mutex::new(Vec::new()));
    let names = Arc::clone(&looked);
    let options = RunnerOptions {
        environment: Some(Arc::new(move |name: &str| {
            names.lock().unwrap().push(name.to_owned());
            Some("from the program".to_owned())
        })),
        ..options()
    };
    let config = config(&lab, "out.db", &parameters);
    let report = runtime().block_on(Runner::new(options).run(guest(), config, RunConfig::default()));
    assert!(report.succeeded(), "{:?}", report.failure);
    assert_eq!(*looked.lock().unwrap(), ["TOKEN"]);
}

#[test]
fn scratch_folders_of_processes_do_not_disturb_each_other() {
    let lab = Lab::new();
    let marts = ["one", "two", "three"];
    lab.configure(&json!({ "Behaviour": "scratch_bytes", "MiB": 5 }));
    let runs = marts.map(|mart| lab.start("guest.wasm", &["--data-mart", mart]));
    for run in runs {
        run.wait().expect_success();
    }
    assert_eq!(lab.path("tmp").read_dir().unwrap().count(), 0, "a scratch folder was left behind");
}

async fn until(happened: impl Fn() -> bool) {
    while !happened() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
