//! What a guest can learn of the machine it runs on.

use std::io::Read as _;
use std::net::ToSocketAddrs as _;
use std::time::{Duration, SystemTime};

use crate::Outcome;
use crate::bindings::wasi::cli::{environment, terminal_stdout};
use crate::bindings::wasi::clocks::{monotonic_clock, wall_clock};
use crate::bindings::wasi::filesystem::preopens::get_directories;
use crate::bindings::wasi::random::{insecure, insecure_seed, random as secure};
use crate::rows::saw;

pub(crate) fn snoop() -> Outcome {
    let names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    saw("variables", &names.join(" "))?;
    let leaked = std::env::vars().any(|(_, value)| value.contains("HOST") || value.contains("/tmp"));
    saw("values of the host", &leaked.to_string())?;
    saw("arguments", &format!("{:?}", environment::get_arguments()))?;
    saw("current folder", &format!("{:?}", environment::initial_cwd()))?;
    let folders: Vec<String> = get_directories().into_iter().map(|(_, name)| name).collect();
    saw("folders", &folders.join(" "))?;
    let mut input = Vec::new();
    let read = std::io::stdin().read_to_end(&mut input).map_err(|error| error.kind());
    saw("standard input", &format!("{read:?}"))?;
    saw("terminal", &terminal_stdout::get_terminal_stdout().is_some().to_string())
}

/// Times that do not fit, and timers that nobody waits for.
pub(crate) fn clocks() -> Outcome {
    drop(monotonic_clock::subscribe_duration(u64::MAX));
    drop(monotonic_clock::subscribe_instant(u64::MAX));
    drop(monotonic_clock::subscribe_instant(0));
    let kept: Vec<_> = (0..300).map(|n| monotonic_clock::subscribe_duration(u64::MAX - n)).collect();
    saw("timers", &kept.len().to_string())?;
    for _ in 0..100_000 {
        std::hint::black_box((monotonic_clock::now(), wall_clock::now()));
    }
    monotonic_clock::subscribe_instant(0).block();
    let sane = SystemTime::now() > SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    saw("wall clock", &sane.to_string())
}

pub(crate) fn random(case: &str) -> Outcome {
    match case {
        "secure" => saw("random", &secure::get_random_bytes(u64::MAX).len().to_string()),
        "insecure" => saw("random", &insecure::get_insecure_random_bytes(1 << 40).len().to_string()),
        "often" => {
            let bytes: usize = (0..2000).map(|_| secure::get_random_bytes(1 << 10).len()).sum();
            saw("random", &bytes.to_string())?;
            let (a, b) = (insecure_seed::insecure_seed(), secure::get_random_u64());
            saw("predictable", &(a == (0, 0) || b == 0).to_string())
        }
        other => panic!("there is no case {other}"),
    }
}

pub(crate) fn lookup() -> Outcome {
    for name in ["localhost", "example.com", "metadata.google.internal", "secret.exfiltrated.example"] {
        let found = (name, 80).to_socket_addrs().map(|found| found.count()).map_err(|error| error.kind());
        saw(name, &format!("{found:?}"))?;
    }
    Ok(())
}
