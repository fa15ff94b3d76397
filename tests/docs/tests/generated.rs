//! Tables come from the code, and code blocks from files.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption must fail the tests at once"
)]

use std::fmt::Write as _;
use std::fs;

use docs::{documents, report, root, updates};
use ow_host::failure::FailureClass;
use ow_host::sandbox::limits;

/// What stands between the marks of this name.
fn content(name: &str) -> Option<String> {
    let mut text = String::new();
    match name.split_once(' ') {
        None if name == "limits" => {
            text.push_str("| key | flag | default | what it bounds |\n|---|---|---|---|\n");
            for limit in limits::table() {
                let doc = limit.doc.split_whitespace().collect::<Vec<_>>().join(" ");
                let flag = limit.key.replace('_', "-");
                let _ = writeln!(text, "| `{}` | `--{flag}` | `{}` | {doc} |", limit.key, limit.default);
            }
        }
        None if name == "exit-codes" => {
            text.push_str("| code | class | meaning |\n|---|---|---|\n| 0 | | success |\n");
            for class in FailureClass::ALL {
                let name = serde_json::to_value(class).unwrap();
                let _ = writeln!(
                    text,
                    "| {} | `{}` | {} |",
                    class.exit_code(),
                    name.as_str().unwrap(),
                    class.meaning()
                );
            }
        }
        Some(("file", path)) => {
            let file = fs::read_to_string(root().join(path)).ok()?;
            let language = if path.ends_with(".rs") { "rust" } else { path.rsplit('.').next()? };
            let _ = writeln!(text, "```{language}\n{}\n```", file.trim_end());
        }
        _ => return None,
    }
    Some(text.trim_end().to_owned())
}

#[test]
fn generated_parts_are_what_the_code_says() {
    let mut problems = Vec::new();
    let mut seen = Vec::new();
    for mut document in documents() {
        // From the last to the first, so that indexes stay right.
        for (name, start, length) in document.generated().into_iter().rev() {
            seen.push(name.clone());
            let place = format!("{}:{start}", document.name);
            let Some(content) = content(&name) else {
                problems.push(format!("{place}: nothing generates '{name}'"));
                continue;
            };
            if document.lines[start..start + length].join("\n") == content {
                continue;
            }
            if updates() {
                document.replace(start, length, content.lines().map(str::to_owned).collect());
            } else {
                problems.push(format!("{place}: '{name}' is old; paste:\n{content}"));
            }
        }
    }
    for name in ["limits", "exit-codes"] {
        assert!(seen.iter().any(|seen| seen == name), "no document shows '{name}'");
    }
    report(&problems);
}

#[test]
fn the_table_of_rules_names_files_and_tests_that_are_there() {
    let document = docs::Document::read("docs/architecture.md");
    let mut problems = Vec::new();
    for (index, line) in document.prose() {
        // `path/to/file.rs` or `path/to/file.rs::test_name`
        for code in line.split('`').skip(1).step_by(2).filter(|code| code.contains(".rs")) {
            let (path, test) = code.split_once("::").unwrap_or((code, ""));
            let known = fs::read_to_string(root().join(path));
            let found =
                known.as_ref().is_ok_and(|text| test.is_empty() || text.contains(&format!("fn {test}(")));
            if !found {
                problems.push(format!("{}:{}: there is no `{code}`", document.name, index + 1));
            }
        }
    }
    report(&problems);
}
