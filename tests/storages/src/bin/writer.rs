//! Loads known rows into a storage, to be killed while it does:
//!
//! `writer JOB` where `JOB` is a JSON object: `storage`, `params`, `folder`,
//! `attempt`, `load` and `pause`. Tells on stdout where it is; exits with 0 when the rows
//! are loaded, and with 1 and the error on stderr when they are not.

#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program of the tests: what it prints is what they wait for"
)]

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use conformance::place::Job;
use ow_storage::registry;

fn main() -> ExitCode {
    let job = std::env::args().nth(1).expect("a job");
    let job: Job = serde_json::from_str(&job).expect("a job");
    let run = conformance::known::run(job.attempt);
    let mut tell = |what: &str, step: i64| {
        let line = format!("{what} {step}");
        println!("{line}");
        let _ = std::io::stdout().flush();
        while job.pause.as_ref() == Some(&line) {
            std::thread::park();
        }
    };
    tell("start", 0);
    let loaded = registry::open(&job.storage, &job.params, Path::new(&job.folder), &run)
        .and_then(|(mut storage, _)| conformance::known::load(storage.as_mut(), job.load, &mut tell));
    match loaded {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}
