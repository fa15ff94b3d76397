//! Hand-made components: small, and wrong in one way each.

use std::fmt::Write as _;

/// A core module.
#[must_use]
pub fn core_module() -> Vec<u8> {
    assemble("(module (memory 1))")
}

/// A component without imports and exports.
#[must_use]
pub fn empty() -> Vec<u8> {
    assemble("(component)")
}

/// A component that imports an interface by name and uses nothing of it.
#[must_use]
pub fn importing(interface: &str) -> Vec<u8> {
    assemble(&format!(r#"(component (import "{interface}" (instance)))"#))
}

/// A component that imports a bare function.
#[must_use]
pub fn importing_function() -> Vec<u8> {
    assemble(r#"(component (import "launch-missiles" (func)))"#)
}

/// A component that exports an interface by name, with nothing in it.
#[must_use]
pub fn exporting(interface: &str) -> Vec<u8> {
    assemble(&format!(r#"(component (instance $nothing) (export "{interface}" (instance $nothing)))"#))
}

/// A connector without its functions, and with so many memories, each of so
/// many pages: they are there as soon as it is instantiated.
#[must_use]
pub fn many_memories(memories: usize, pages: usize) -> Vec<u8> {
    let mut text = String::from("(component\n");
    for _ in 0..memories {
        let _ = writeln!(text, "(core module $m (memory {pages}))");
        text = text.replace("$m", &format!("$m{}", text.len()));
    }
    let names: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("(core module ").and_then(|rest| rest.split(' ').next()).map(str::to_owned))
        .collect();
    for name in names {
        let _ = writeln!(text, "(core instance (instantiate {name}))");
    }
    text.push_str(&connector_exports());
    text.push(')');
    assemble(&text)
}

/// The connector's interface, whose functions trap.
fn connector_exports() -> String {
    // `spec` and `discover` return a pointer, `check` and `run` too: their results are larger than one value.
    r#"
    (core module $code
        (memory (export "memory") 1)
        (func (export "answer") (result i32) unreachable)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
    (core instance $code (instantiate $code))
    (alias core export $code "memory" (core memory $memory))
    (alias core export $code "answer" (core func $answer))
    (alias core export $code "realloc" (core func $realloc))
    (type $kind' (enum "config" "auth" "rate-limited" "unavailable" "invalid-data" "denied" "limit-exceeded" "cancelled" "internal"))
    (import "ow:connector/types@0.1.0" (instance $types
        (type $kind' (enum "config" "auth" "rate-limited" "unavailable" "invalid-data" "denied" "limit-exceeded" "cancelled" "internal"))
        (export "error-kind" (type $kind (eq $kind')))
        (type $error' (record (field "kind" $kind) (field "message" string) (field "parameter" (option string)) (field "retry-after-ms" (option u64))))
        (export "error" (type (eq $error')))))
    (alias export $types "error" (type $error))
    (type $outcome (func (result (result (error $error)))))
    (func $run (type $outcome) (canon lift (core func $answer) (memory $memory) (realloc (func $realloc))))
    (instance $connector (export "check" (func $run)) (export "run" (func $run)))
    (export "ow:connector/connector@0.1.0" (instance $connector))
    "#
    .to_owned()
}

/// The test guest with another description of itself: see its `spec.rs`.
#[must_use]
pub fn with_spec(mode: u8) -> Vec<u8> {
    const MARK: &[u8] = b"test-guest-spec-m=00";
    let mut bytes = std::fs::read(crate::build::test_guest()).unwrap();
    let places: Vec<usize> =
        bytes.windows(MARK.len()).enumerate().filter(|(_, part)| *part == MARK).map(|(at, _)| at).collect();
    let [at] = places[..] else { panic!("the mark stands in the guest {} times", places.len()) };
    bytes[at + MARK.len() - 2..at + MARK.len()].copy_from_slice(format!("{mode:02}").as_bytes());
    bytes
}

fn assemble(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}
