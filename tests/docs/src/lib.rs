//! What the tests of the documents share: the documents, their blocks, and what
//! they are compared with.
//!
//! `UPDATE_DOCS=1 cargo test -p docs` writes generated tables, copied files and
//! the output of commands into the documents.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "this crate is used by tests alone: a broken assumption must fail them at once"
)]

use std::fs;
use std::path::{Path, PathBuf};

pub mod stage;

/// A block between fences.
#[derive(Debug, Clone)]
pub struct Block {
    /// The first word after the fence: `json`, `console`, `rust`.
    pub language: String,
    /// What stands behind it, such as a file's name.
    pub title: String,
    /// The index of its first line in the document's lines.
    pub start: usize,
    /// Its lines.
    pub lines: Vec<String>,
}

impl Block {
    /// Its lines as a text.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.join("\n") + "\n"
    }
}

/// A document of the repository.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its path in the repository.
    pub name: String,
    /// Its lines.
    pub lines: Vec<String>,
}

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every document that these tests keep true.
#[must_use]
pub fn documents() -> Vec<Document> {
    let mut names =
        ["README.md", "CHANGELOG.md", "SECURITY.md", "connectors/README.md"].map(str::to_owned).to_vec();
    let entries = fs::read_dir(root().join("docs")).unwrap();
    let pages = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.extend(pages.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")));
    let connectors = fs::read_dir(root().join("connectors")).unwrap();
    let connectors = connectors.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.extend(connectors.map(|name| format!("connectors/{name}/README.md")));
    names.retain(|name| root().join(name).exists());
    names.sort();
    names.iter().map(|name| Document::read(name)).collect()
}

impl Document {
    /// Reads a document.
    #[must_use]
    pub fn read(name: &str) -> Self {
        let text = fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name: name.to_owned(), lines: text.lines().map(str::to_owned).collect() }
    }

    /// Its blocks, in their order.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (index, line) in self.lines.iter().enumerate() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(info)) => {
                    let (language, title) = info.trim().split_once(' ').unwrap_or((info.trim(), ""));
                    let (language, title) = (language.to_owned(), title.trim().to_owned());
                    open = Some(Block { language, title, start: index + 1, lines: Vec::new() });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => block.lines.push(line.clone()),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block has no end", self.name);
        blocks
    }

    /// Its lines outside of blocks, each with its index.
    #[must_use]
    pub fn prose(&self) -> Vec<(usize, &str)> {
        let mut inside = false;
        let mut prose = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            if line.starts_with("```") {
                inside = !inside;
            } else if !inside {
                prose.push((index, line.as_str()));
            }
        }
        prose
    }

    /// The parts between `<!-- generated: NAME -->` and `<!-- end -->`: name,
    /// index of the first line, number of lines.
    #[must_use]
    pub fn generated(&self) -> Vec<(String, usize, usize)> {
        let mut parts = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            let name = line.strip_prefix("<!-- generated: ").and_then(|rest| rest.strip_suffix(" -->"));
            let Some(name) = name else { continue };
            let rest = &self.lines[index + 1..];
            let length = rest.iter().position(|line| line == "<!-- end -->");
            let length =
                length.unwrap_or_else(|| panic!("{}:{}: write `<!-- end -->`", self.name, index + 1));
            parts.push((name.to_owned(), index + 1, length));
        }
        parts
    }

    /// Puts lines in the place of others, and writes the document.
    pub fn replace(&mut self, start: usize, length: usize, with: Vec<String>) {
        self.lines.splice(start..start + length, with);
        fs::write(root().join(&self.name), self.lines.join("\n") + "\n").unwrap();
    }
}

/// Whether the documents are to be written, not compared.
#[must_use]
pub fn updates() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some_and(|value| !value.is_empty())
}

/// Fails with everything that is wrong.
///
/// # Panics
///
/// If something is wrong.
pub fn report(problems: &[String]) {
    assert!(
        problems.is_empty(),
        "{} problems in the documents; `UPDATE_DOCS=1 cargo test -p docs` rewrites what is generated\n\n{}",
        problems.len(),
        problems.join("\n\n")
    );
}
