//! Performs every attack of the table, each in a host process of its own, beside
//! a well-behaved connector.
//!
//! Each test asserts what came of the attack, to the letter; that the neighbour's
//! runs succeeded with all of their rows, before, meanwhile and afterwards, and that
//! they were not slowed beyond noise; that nothing outside of the grants was touched
//! or reached; that no secret and no file is left anywhere; and that the
//! memory of the host stayed in bounds.
//!
//! `HOSTILE_FLAGS` gives each attacker more flags of `ow-host run`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption must fail the test at once"
)]

mod documented;

use std::process::{Command, Stdio};

use e2e::{build, isolation};
use hostile::{Performance, table};

/// What the host may need beside the memory that it grants: for the neighbour,
/// for batches under way, for what hangs on handles.
const HOST_MEMORY: u64 = 256 << 20;

/// How often an attack is tried that seems to slow the neighbour down.
const TRIES: u32 = 3;

/// More flags of `ow-host run` for the attacker: those of the environment, and
/// what the binary `isolated` adds.
fn flags() -> String {
    let given = std::env::var("HOSTILE_FLAGS").unwrap_or_default();
    match build::is_isolated() {
        true => format!("{given} --isolation process"),
        false => given,
    }
}

/// Performs an attack in a process of its own.
fn perform(name: &str) -> Performance {
    let folder = tempfile::tempdir().unwrap();
    let stage = folder.path().canonicalize().unwrap();
    std::fs::create_dir(stage.join("tmp")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_hostile"))
        .args([&stage, build::hostile_guest(), build::test_guest(), &e2e::lab::cache()])
        .arg(name)
        .current_dir(&stage)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs(table::find(name).unwrap().host_environment.iter().copied())
        .env("HOSTILE_FLAGS", flags())
        .env("TMPDIR", stage.join("tmp"))
        .env("HOST_SECRET", "HOST_SECRET_VALUE")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the host process did not survive: {:?}\n{errors}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

pub(crate) fn check(name: &str) {
    let attack = table::find(name).unwrap();
    if !attack.runs_here() {
        // `documented` checks that the tests elsewhere are there.
        assert!(!attack.tests.is_empty(), "no test runs '{name}'");
        return;
    }
    if build::is_isolated() && isolation::is_missing() {
        return;
    }
    let mut performance = perform(name);
    for _ in 1..TRIES {
        if performance.slowed.is_some() {
            performance = perform(name);
        }
    }
    let Performance { outcome, problems, slowed, growth, memory, neighbour_ms } = performance;
    assert_eq!(slowed, None, "{name}, {TRIES} times");
    assert!(problems.is_empty(), "{name}: {problems:#?}\n{outcome:#?}");
    assert!(!neighbour_ms.is_empty(), "{name}: the neighbour did not run");
    let bound = memory + HOST_MEMORY;
    assert!(growth < bound, "{name}: the host grew by {} MiB of {} MiB", growth >> 20, bound >> 20);
    assert!(outcome == attack.outcome, "{name} came to\n{outcome:#?}\nand not to\n{:#?}", attack.outcome);
}

macro_rules! tests {
    ($($name:ident)+) => { $(#[test] fn $name() { crate::check(stringify!($name)); })+ };
}

macro_rules! families {
    ($($module:ident: $each:ident)+) => { $(mod $module { hostile::$each!(tests); })+ };
}

families! {
    memory: each_memory_attack
    time: each_time_attack
    output: each_output_attack
    calls: each_call_attack
    streams: each_stream_attack
    files: each_file_attack
    environment: each_environment_attack
    network: each_network_attack
    secrets: each_secret_attack
    names: each_name_attack
    components: each_component_attack
}
