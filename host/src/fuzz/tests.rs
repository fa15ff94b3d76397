//! A short run of every target: the seeds and the cases that were found, then
//! inputs made of them. How many there are depends on no clock.

use std::fs;
use std::path::{Path, PathBuf};

use super::input::Input;
use super::{TARGETS, generated};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz").join(name)
}

/// The files of a folder, in the order of their names; none if it is not there.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Numbers that look random and are the same in each run (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let bytes = std::iter::repeat_with(|| self.next().to_le_bytes()).flatten();
        bytes.take(len).collect()
    }
}

/// Runs a target with its seeds and cases, and with so many inputs made of them.
fn run(name: &str, inputs: usize) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let cases = files(&folder("cases").join(name));
    let seeds = files(&folder("seeds").join(name));
    assert!(!seeds.is_empty(), "the target has seeds");
    cases.iter().chain(&seeds).for_each(|input| target(input));
    let mut random = Random(0x6f77_2d68_6f73_7421);
    for n in 0..inputs {
        let edits = random.bytes(200);
        let at = usize::try_from(random.next() % (seeds.len() as u64 + 1)).unwrap();
        match seeds.get(at) {
            Some(seed) if n % 4 > 0 => target(&Input::new(&edits).edit(seed, 8)),
            _ => target(&random.bytes(n % 700)),
        }
    }
}

#[test]
fn cache_entries() {
    run("cache_entry", 300);
}

#[test]
fn columns() {
    run("columns", 20_000);
}

#[test]
fn components() {
    run("component", 120);
}

#[test]
fn configurations() {
    run("config", 2_000);
}

#[test]
fn json_lines() {
    run("json_lines", 20_000);
}

#[test]
fn placeholders() {
    run("placeholders", 5_000);
}

#[test]
fn policies() {
    run("policy", 3_000);
}

#[test]
fn run_configurations() {
    run("run_config", 700);
}

#[test]
fn signatures() {
    run("signature", 5_000);
}

#[test]
fn states() {
    run("state", 5_000);
}

#[test]
fn streams() {
    run("stream", 20_000);
}

#[test]
fn urls_and_origins() {
    run("url_origin", 20_000);
}

#[test]
fn a_component_without_the_contract_runs_under_limits() {
    files(&folder("seeds/generated")).iter().for_each(|wasm| generated(wasm));
}

/// A target that cargo-fuzz does not know, or one without a short run, would rot.
#[test]
fn every_target_has_a_binary_and_a_short_run() {
    let known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    let binaries = manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/"));
    let mut binaries: Vec<&str> = binaries.map(|line| line.trim_end_matches(".rs\"")).collect();
    binaries.sort_unstable();
    let mut expected = known.clone();
    // Generates its components instead of mutating seeds; `tests/smith` runs it
    // in short.
    expected.push("smith");
    expected.sort_unstable();
    assert_eq!(binaries, expected);
    let own = include_str!("tests.rs");
    assert!(known.iter().all(|name| own.contains(&format!("run(\"{name}\", "))), "{known:?}");
    for name in known {
        let source = fs::read_to_string(folder("fuzz_targets").join(format!("{name}.rs"))).unwrap();
        assert!(source.contains(&format!("ow_host::fuzz::{name}(")), "{name}");
    }
}
