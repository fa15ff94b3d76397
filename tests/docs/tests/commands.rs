//! Every `ow-host` command of a `console` block is run, in the order of its
//! document, in a folder with the demo's files, the connectors, and the files
//! that the document shows (```` ```json NAME.json ````).
//!
//! A command succeeds, unless the output that stands below it has a line that
//! starts with `error:`, or `$ echo $?` follows. Output that stands below a
//! command is compared; what differs from run to run is not, and `...` stands for
//! any number of lines. Other commands than `ow-host` are for the reader.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption must fail the tests at once"
)]

use docs::stage::{Stage, matches};
use docs::{Block, Document, documents, report, updates};

/// A command of a block, the output that is shown, and where it stands.
struct Shown {
    command: String,
    start: usize,
    output: Vec<String>,
}

fn commands(block: &Block) -> Vec<Shown> {
    let mut commands: Vec<Shown> = Vec::new();
    for (index, line) in block.lines.iter().enumerate() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => {
                let start = block.start + index + 1;
                commands.push(Shown { command: command.to_owned(), start, output: Vec::new() });
            }
            (None, Some(last)) => last.output.push(line.clone()),
            (None, None) => {}
        }
    }
    commands
}

/// What is wrong in a document; with `UPDATE_DOCS` its output is written anew.
fn run(document: &mut Document) -> Vec<String> {
    let stage = Stage::new();
    let (mut problems, mut updated) = (Vec::new(), Vec::new());
    for block in document.blocks() {
        if block.language == "json" && block.title.ends_with(".json") {
            stage.write(&block.title, &block.text());
        }
        if block.language != "console" {
            continue;
        }
        let commands = commands(&block);
        let mut code = 0;
        for (index, shown) in commands.iter().enumerate() {
            let place = format!("{}:{}: $ {}", document.name, shown.start, shown.command);
            if shown.command == "echo $?" {
                if shown.output.first() != Some(&code.to_string()) {
                    problems.push(format!("{place}: the exit code is {code}"));
                }
                continue;
            }
            let program = shown.command.split_whitespace().find(|word| !word.contains('='));
            if program != Some("ow-host") {
                continue;
            }
            let output;
            (output, code) = stage.run(&shown.command);
            let fails = shown.output.iter().any(|line| line.starts_with("error:"));
            let told = commands.get(index + 1).is_some_and(|next| next.command == "echo $?");
            if !told && (code != 0) != fails {
                problems.push(format!("{place}: the exit code is {code}, and the output\n{output}"));
            } else if !shown.output.is_empty() && !matches(&shown.output.join("\n"), &output) {
                if updates() && !shown.output.iter().any(|line| line == "...") {
                    updated.push((shown.start, shown.output.len(), output));
                } else {
                    problems.push(format!("{place}: paste\n{output}"));
                }
            }
        }
    }
    for (start, length, output) in updated.into_iter().rev() {
        document.replace(start, length, output.trim_end().lines().map(str::to_owned).collect());
    }
    problems
}

#[test]
fn every_command_does_what_its_document_shows() {
    let mut problems = Vec::new();
    for mut document in documents() {
        problems.extend(run(&mut document));
    }
    report(&problems);
}

#[test]
fn a_wrong_command_is_found() {
    let lines =
        ["```console", "$ ow-host limits --no-such-flag", "$ ow-host limits", "nothing of the kind", "```"];
    let mut document =
        Document { name: "x".into(), lines: lines.iter().map(|line| (*line).to_owned()).collect() };
    if !updates() {
        assert_eq!(run(&mut document).len(), 2);
    }
}
