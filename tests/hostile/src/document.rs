//! The table of attacks in `docs/security.md`, made from the table in the code.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::Attack;
use crate::table::{FAMILIES, Family};

/// The document.
pub const DOCUMENT: &str = "docs/security.md";
/// What stands before the table.
pub const START: &str = "<!-- attacks -->";
/// What stands behind it.
pub const END: &str = "<!-- end of attacks -->";

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The table in Markdown.
#[must_use]
pub fn table() -> String {
    let mut text = String::new();
    for family in FAMILIES {
        let _ = write!(text, "\n### {}\n\n", family.title);
        text.push_str("| what is tried | what stops it | what comes of it | test |\n|---|---|---|---|\n");
        for (name, attack) in family.attacks {
            let row = [
                attack.tries.to_owned(),
                attack.stopped_by.to_owned(),
                outcomes(attack),
                tests(family, name, attack),
            ];
            let _ = writeln!(text, "| {} |", row.map(|cell| cell.replace('|', "\\|")).join(" | "));
        }
    }
    text
}

/// The exit codes and classes of its runs, each once.
fn outcomes(attack: &Attack) -> String {
    let mut found: Vec<String> = Vec::new();
    for line in attack.outcome {
        let Some((code, rest)) = line.split_once(' ') else { continue };
        if code.parse::<u8>().is_err() {
            continue;
        }
        let class = rest.split([':', ',']).next().unwrap_or_default();
        let outcome = match class {
            "succeeded" => "it gets nothing".to_owned(),
            class => format!("`{class}` ({code})"),
        };
        if !found.contains(&outcome) {
            found.push(outcome);
        }
    }
    found.join(", ")
}

/// The tests, as `path/to/file.rs::name`.
fn tests(family: &Family, name: &str, attack: &Attack) -> String {
    let own = attack.runs_here().then(|| format!("`tests/hostile/src/table/{}.rs::{name}`", family.module));
    let others = attack.tests.iter().map(|test| format!("`{test}`"));
    own.into_iter().chain(others).collect::<Vec<_>>().join(", ")
}
