//! Links inside the repository lead somewhere.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption must fail the tests at once"
)]

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use docs::{Document, documents, report, root};
use regex::Regex;

/// The anchors of a document's headings, as code forges make them.
fn anchors(document: &Document) -> BTreeSet<String> {
    let headings = document.prose().into_iter().filter(|(_, line)| line.starts_with('#'));
    headings
        .map(|(_, line)| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
        plain
    })
}

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let documents = documents();
    let mut problems = Vec::new();
    for document in &documents {
        for (index, line) in document.prose() {
            for target in link.captures_iter(line).map(|found| found[1].to_owned()) {
                if target.contains("://") {
                    continue;
                }
                let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
                let folder = Path::new(&document.name).parent().unwrap();
                let path =
                    if path.is_empty() { PathBuf::from(&document.name) } else { plain(&folder.join(path)) };
                let other = documents.iter().find(|other| Path::new(&other.name) == path);
                let found = root().join(&path).exists()
                    && (anchor.is_empty() || other.is_some_and(|other| anchors(other).contains(anchor)));
                if !found {
                    problems.push(format!("{}:{}: '{target}' leads nowhere", document.name, index + 1));
                }
            }
        }
    }
    report(&problems);
}

#[test]
fn the_table_of_connectors_has_them_all() {
    let table = Document::read("connectors/README.md").lines;
    let folders = root().join("connectors").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let crates = folders.filter(|folder| folder.join("Cargo.toml").exists());
    let names = crates.map(|folder| folder.file_name().unwrap().to_string_lossy().into_owned());
    let has_row = |name: &String| {
        let row = |line: &String| {
            line.starts_with(&format!("| `{name}` ")) || line.starts_with(&format!("| [`{name}`]"))
        };
        table.iter().any(row)
    };
    let missing: Vec<String> = names
        .filter(|name| !has_row(name))
        .map(|name| format!("connectors/README.md: `{name}` is missing"))
        .collect();
    report(&missing);
}

#[test]
fn no_document_names_a_machine() {
    let mut problems = Vec::new();
    for document in documents() {
        for (index, line) in document.lines.iter().enumerate() {
            if ["/root/", "/home/", "/tmp/", "/Users/"].iter().any(|path| line.contains(path)) {
                problems.push(format!("{}:{}: {line}", document.name, index + 1));
            }
        }
    }
    report(&problems);
}
