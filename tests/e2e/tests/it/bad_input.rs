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
    assert_snapshot!(failures(&files), @r"
    4 component: empty.wasm: this is empty
    hint: build or fetch it again

    4 component: page.wasm: this is not WebAssembly
    hint: give a connector's `.wasm` file

    4 component: text.wasm: this is WebAssembly's text format, not a component
    hint: convert it with `wasm-tools parse`

    4 component: core.wasm: this is a WebAssembly core module, not a component
    hint: build it as a component: in Rust with `--target wasm32-wasip2` (not wasm32-wasip1 or wasm32-unknown-unknown), or convert it with `wasm-tools component new`

    4 component: header.wasm: it does not export `ow:connector/connector@0.1.0`, so that it is a component but no connector
    hint: build it against the WIT package `ow:connector`, world `source`

    4 component: half.wasm: the file is truncated: failed to parse WebAssembly module: wasm component contains an invalid module section: section range [RANGE] is out of bounds
    hint: fetch or build it again

    4 component: version.wasm: this is WebAssembly of an unknown version, or damaged
    hint: build or fetch it again
    ");
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
    assert_snapshot!(failures(&files), @r"
    4 component: component.wasm: it does not export `ow:connector/connector@0.1.0`, so that it is a component but no connector
    hint: build it against the WIT package `ow:connector`, world `source`

    4 component: unknown.wasm: it imports `evil:host/process@1.0.0`, which this host does not provide
    hint: a connector may import ow:connector's storage, state and report, and WASI 0.2 (cli, clocks, filesystem, http, io, random, sockets)

    4 component: function.wasm: it imports `launch-missiles`, which this host does not provide
    hint: a connector may import ow:connector's storage, state and report, and WASI 0.2 (cli, clocks, filesystem, http, io, random, sockets)

    4 component: wasi3.wasm: it imports `wasi:filesystem/types@0.3.0`, which this host does not provide
    hint: a connector may import ow:connector's storage, state and report, and WASI 0.2 (cli, clocks, filesystem, http, io, random, sockets)

    4 component: older.wasm: it was built for version 0.0.9 of the contract ow:connector; this host speaks 0.1.0
    hint: build the connector again with the current SDK, or run it with an older ow-host

    4 component: newer.wasm: it was built for version 0.2.0 of the contract ow:connector; this host speaks 0.1.0
    hint: run it with a newer ow-host

    4 component: nothing.wasm: instance export `ow:connector/connector@0.1.0` does not have export `spec`
    hint: build it again against the WIT package `ow:connector` of this version

    4 component: newer-export.wasm: it was built for version 1.0.0 of the contract ow:connector; this host speaks 0.1.0
    hint: run it with a newer ow-host
    ");
}

#[test]
fn connectors_that_describe_themselves_wrongly() {
    let modes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11];
    let files: Vec<(String, Vec<u8>)> =
        modes.into_iter().map(|mode| (format!("spec-{mode:02}.wasm"), components::with_spec(mode))).collect();
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    assert_snapshot!(failures(&files), @r#"
    4 component: spec-01.wasm: the connector's own description is unsound: name: 'no name\u{1b}[31m' is no name
    hint: report it to the connector's author

    4 component: spec-02.wasm: the connector's own description is unsound: version: 'newest' is no version
    hint: report it to the connector's author

    4 component: spec-03.wasm: the connector's own description is unsound: config-schema is no JSON: line 1, column 18: the file ends inside a value; something is not closed, or the file was cut off
    hint: report it to the connector's author

    4 component: spec-04.wasm: the connector's own description is unsound: config-schema: is no valid JSON Schema: /properties/A/pattern: "(" is not a "regex"
    hint: report it to the connector's author

    4 component: spec-05.wasm: the connector's own description is unsound: config-schema has 2097189 bytes, 1048576 are the most
    hint: report it to the connector's author

    4 component: spec-06.wasm: the connector's own description is unsound: network[0]: 'https://*' would let the connector send data to anybody: name the hosts, or a domain as *.example.com
    hint: report it to the connector's author

    4 component: spec-07.wasm: the connector's own description is unsound: plain-secrets[0]: there is no parameter 'SigningKye'
    hint: report it to the connector's author

    4 component: spec-08.wasm: asked what it is, the component failed: the connector panicked in `ow:connector/connector@0.1.0#spec`: thread '<unnamed>' (1) panicked at tests/guests/src/spec.rs:[LINE]: no spec today

    4 component: spec-09.wasm: the connector's own description is unsound: config-schema.$ref: 'https://evil.example/schema.json' is not inside the schema
    hint: report it to the connector's author

    4 component: spec-11.wasm: the connector's own description is unsound: config-schema: is no JSON Schema of an object
    hint: report it to the connector's author
    "#);
}

#[test]
fn a_connector_has_nothing_while_it_describes_itself() {
    let lab = lab();
    lab.write("curious.wasm", components::with_spec(10));
    let inspection = lab.ow_host(&["inspect", "curious.wasm", "--output", "json"]).success();
    let inspection: serde_json::Value = serde_json::from_str(&inspection.stdout).unwrap();
    assert_snapshot!(inspection["spec"]["description"].as_str().unwrap(), @r#"0 variables, Err("rows and state cannot be written outside a run")"#);
}

#[test]
fn files_that_cannot_be_read() {
    let lab = lab();
    lab.write("folder/inside", "");
    assert_snapshot!(lab.run_component("missing.wasm", &[]).failure(), @r"
    4 component: missing.wasm: no such file or directory
    hint: give the path of a connector's `.wasm` file
    ");
    assert_snapshot!(lab.run_component("folder", &[]).failure(), @r"
    4 component: folder: is a directory
    hint: give the path of a connector's `.wasm` file
    ");
    assert_snapshot!(lab.run_component("guest.wasm", &["--component-bytes", "1KiB"]).failure(), @r"
    6 limit: guest.wasm: the file is larger than 1KiB
    hint: raise it with --component-bytes, or `component_bytes` in the configuration's sandbox section
    ");
}

#[test]
fn inspect_says_what_a_file_is() {
    let lab = lab();
    lab.write("core.wasm", components::core_module());
    assert_snapshot!(lab.ow_host(&["inspect", "core.wasm"]).text(), @r"
    exit 4
    --- stdout
    core.wasm: a WebAssembly core module, not a component
    size:    13 B (13 bytes)
    sha256:  [DIGEST]
    --- stderr
    error: core.wasm: this is a WebAssembly core module, not a component
    hint: build it as a component: in Rust with `--target wasm32-wasip2` (not wasm32-wasip1 or wasm32-unknown-unknown), or convert it with `wasm-tools component new`
    ");
    lab.write("unknown.wasm", components::importing("evil:host/process@1.0.0"));
    assert_snapshot!(lab.ow_host(&["inspect", "unknown.wasm"]).text(), @r"
    exit 4
    --- stdout
    unknown.wasm: a WebAssembly component
    size:    43 B (43 bytes)
    sha256:  [DIGEST]
    --- stderr
    error: unknown.wasm: it imports `evil:host/process@1.0.0`, which this host does not provide
    hint: a connector may import ow:connector's storage, state and report, and WASI 0.2 (cli, clocks, filesystem, http, io, random, sockets)
    ");
}

#[test]
fn a_pinned_digest_must_be_the_files() {
    let lab = Lab::new();
    let mut config = e2e::lab::configuration(&json!({ "Behaviour": "nothing" }));
    config["connector"] = json!({ "path": "guest.wasm", "sha256": "0".repeat(64) });
    lab.write("cfg.json", config.to_string());
    let run = || lab.ow_host(&["run", "--config", "cfg.json", "--output", "json"]);
    assert_snapshot!(run().failure(), @r"
    4 component: guest.wasm: its SHA-256 is [DIGEST], but the configuration pins [DIGEST]
    hint: the file is not the one that was approved; check where it comes from before you change `connector.sha256`
    ");

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
