//! Files that are no connector, or a broken one.

use std::fmt::Write as _;

use e2e::{Lab, build, components};
use insta::assert_snapshot;
use serde_json::json;

fn lab() -> Lab {
    let lab = Lab::new();
    lab.configure(&json!({ "Behaviour": "nothing" }));
    lab
}

/// What a run with each file comes to.
fn failures(files: &[(&str, Vec<u8>)]) -> String {
    let lab = lab();
    files.iter().fold(String::new(), |mut text, (name, bytes)| {
        lab.write(name, bytes);
        let _ = writeln!(text, "{}\n", lab.run_component(name, &[]).failure());
        assert!(!lab.path("out.db").exists(), "{name}: nothing may be opened");
        text
    })
}

#[test]
fn files_that_are_no_component() {
    let guest = std::fs::read(build::test_guest()).unwrap();
    let files = [
        ("empty.wasm", Vec::new()),
        ("page.wasm", b"<!doctype html><p>Not found".to_vec()),
        ("text.wasm", b"(component)".to_vec()),
        ("core.wasm", components::core_module()),
        ("header.wasm", guest[..8].to_vec()),
        ("half.wasm", guest[..guest.len() / 2].to_vec()),
        ("version.wasm", b"\0asm\x63\0\x01\0".to_vec()),
    ];
    assert_snapshot!(failures(&files), @"");
}

#[test]
fn components_that_do_not_fit() {
    let files = [
        ("component.wasm", components::empty()),
        ("unknown.wasm", components::importing("evil:host/process@1.0.0")),
        ("function.wasm", components::importing_function()),
        ("wasi3.wasm", components::importing("wasi:filesystem/types@0.3.0")),
        ("older.wasm", components::importing("ow:connector/storage@0.0.9")),
        ("newer.wasm", components::importing("ow:connector/storage@0.2.0")),
        ("nothing.wasm", components::exporting("ow:connector/connector@0.1.0")),
        ("newer-export.wasm", components::exporting("ow:connector/connector@1.0.0")),
    ];
    assert_snapshot!(failures(&files), @"");
}

#[test]
fn connectors_that_describe_themselves_wrongly() {
    let modes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11];
    let files: Vec<(String, Vec<u8>)> =
        modes.into_iter().map(|mode| (format!("spec-{mode:02}.wasm"), components::with_spec(mode))).collect();
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    assert_snapshot!(failures(&files), @"");
}

#[test]
fn a_connector_has_nothing_while_it_describes_itself() {
    let lab = lab();
    lab.write("curious.wasm", components::with_spec(10));
    let inspection = lab.ow_host(&["inspect", "curious.wasm", "--output", "json"]).success();
    let inspection: serde_json::Value = serde_json::from_str(&inspection.stdout).unwrap();
    assert_snapshot!(inspection["spec"]["description"].as_str().unwrap(), @"");
}

#[test]
fn files_that_cannot_be_read() {
    let lab = lab();
    lab.write("folder/inside", "");
    assert_snapshot!(lab.run_component("missing.wasm", &[]).failure(), @"");
    assert_snapshot!(lab.run_component("folder", &[]).failure(), @"");
    assert_snapshot!(lab.run_component("guest.wasm", &["--component-bytes", "1KiB"]).failure(), @"");
}

#[test]
fn inspect_says_what_a_file_is() {
    let lab = lab();
    lab.write("core.wasm", components::core_module());
    assert_snapshot!(lab.ow_host(&["inspect", "core.wasm"]).text(), @"");
    lab.write("unknown.wasm", components::importing("evil:host/process@1.0.0"));
    assert_snapshot!(lab.ow_host(&["inspect", "unknown.wasm"]).text(), @"");
}

#[test]
fn a_pinned_digest_must_be_the_files() {
    let lab = Lab::new();
    let mut config = e2e::lab::configuration(&json!({ "Behaviour": "nothing" }));
    config["connector"] = json!({ "path": "guest.wasm", "sha256": "0".repeat(64) });
    lab.write("cfg.json", config.to_string());
    let run = || lab.ow_host(&["run", "--config", "cfg.json", "--output", "json"]);
    assert_snapshot!(run().failure(), @"");

    let inspection = lab.ow_host(&["inspect", "guest.wasm", "--output", "json"]).success();
    let inspection: serde_json::Value = serde_json::from_str(&inspection.stdout).unwrap();
    config["connector"]["sha256"] = inspection["digest"].clone();
    lab.write("cfg.json", config.to_string());
    run().expect_success();
}

#[test]
fn a_damaged_cache_entry_is_made_anew() {
    let lab = lab();
    let run = || lab.run_component("guest.wasm", &["--cache-dir", "cache"]).success();
    run();
    let entry = lab.path("cache").read_dir().unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&entry).unwrap();
    for damaged in [whole[..whole.len() / 2].to_vec(), vec![0; 100], Vec::new()] {
        std::fs::write(&entry, damaged).unwrap();
        run();
    }
    assert_eq!(std::fs::read(&entry).unwrap().len(), whole.len(), "the damaged entry was not replaced");
}
