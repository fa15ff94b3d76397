//! Generated components under limits: none crashes or hangs the host or takes
//! more memory than it may, and each ends in one of the ways that are told.

#![allow(clippy::unwrap_used, reason = "a broken assumption must fail the test at once")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration as Time, Instant};

use ow_host::config::SandboxFlags;
use ow_host::run::CacheOption;
use ow_host::sandbox::{ByteSize, Duration, LimitOverrides};
use ow_host::{FailureClass, Runner, RunnerOptions};

/// Memory of the guest.
const MEMORY: ByteSize = ByteSize::mib(4);
/// Its processor time.
const CPU: Time = Time::from_millis(100);
/// One inspection: compiling, and a machine that has other things to do.
const LONGEST: Time = Time::from_secs(30);
/// What all of them together may add to the memory of this process: the compiler
/// takes most of it. A single guest that got past its limit would take more.
const GROWTH: u64 = 512 * 1024 * 1024;

fn runner() -> Runner {
    let limits = LimitOverrides {
        memory: Some(MEMORY),
        timeout: Some(Duration::secs(10)),
        cpu_time: format!("{}ms", CPU.as_millis()).parse().ok(),
        ..LimitOverrides::default()
    };
    let sandbox = SandboxFlags { limits, ..SandboxFlags::default() };
    Runner::new(RunnerOptions { cache: CacheOption::Off, sandbox, ..RunnerOptions::default() })
}

/// How an inspection ends.
fn end(path: &Path) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let started = Instant::now();
    let inspection = runtime.block_on(runner().inspect(path.to_owned())).unwrap();
    assert!(started.elapsed() < LONGEST, "{}: {:?}", path.display(), started.elapsed());
    let Some(failure) = inspection.failure else {
        assert!(inspection.spec.is_some());
        return "described".to_owned();
    };
    let expected = [FailureClass::Component, FailureClass::Connector, FailureClass::Limit];
    assert!(expected.contains(&failure.class), "{}: {failure:?}", path.display());
    assert!(!failure.message.contains(char::is_control), "{:?}", failure.message);
    let reasons = [
        ("no connector", "does not export"),
        ("not provided", "does not provide"),
        ("invalid", "not a valid component"),
        ("truncated", "truncated"),
        ("memory", "refused memory"),
        ("processor time", "of processor time"),
        ("stack", "stack of"),
        ("trap", "trapped"),
        ("panic", "panicked"),
        ("unsound", "description is unsound"),
        ("no contract", "does not fit the contract"),
    ];
    let reason = reasons.iter().find(|(_, words)| failure.message.contains(words));
    reason.map_or_else(|| "stopped".to_owned(), |(reason, _)| (*reason).to_owned())
}

/// The most memory that this process has had, in bytes, where the system tells.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[test]
fn every_generated_component_ends_within_its_limits() {
    let files = smith::components().unwrap();
    assert!(files.len() >= 300, "{} components", files.len());
    let before = peak();
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for path in &files {
        *ends.entry(end(path)).or_default() += 1;
    }
    if let (Some(before), Some(after)) = (before, peak()) {
        assert!(after.saturating_sub(before) < GROWTH, "{} MiB", (after - before) >> 20);
    }
    // The generator makes something of everything.
    for reason in ["no connector", "invalid", "memory", "trap"] {
        assert!(ends.contains_key(reason), "{reason} is not among {ends:?}");
    }
}

#[test]
fn the_smallest_connector_is_what_its_text_says() {
    let text = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/connector.wat")).unwrap();
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds/component/connector.wasm");
    assert!(wat::parse_bytes(&text).unwrap() == std::fs::read(kept).unwrap(), "assemble connector.wat again");
    assert_eq!(end(kept.as_ref()), "described");
}
