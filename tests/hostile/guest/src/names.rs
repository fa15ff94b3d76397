//! Names of streams, fields and state keys that mean something to a database or
//! to a file system.

use crate::bindings::ow::connector::state;
use crate::bindings::ow::connector::storage::{self, Batch, WriteMode};
use crate::bindings::ow::connector::types::DataType;
use crate::rows::{field, saw, stream, texts};
use crate::{Outcome, told};

/// One row into a stream, with one field.
fn row(name: &str, column: &str) -> Outcome {
    let table = stream(name, vec![field(column, DataType::Text, true)], &[]);
    storage::open(&table, WriteMode::Append)?.write(&Batch::Columns((1, vec![texts(&["value"])])))
}

const STATEMENTS: [&str; 8] = [
    "x\"; DROP TABLE seen; --",
    "x'; DROP TABLE seen; --",
    "x`); DROP TABLE seen; --",
    "x]; DROP TABLE seen; --",
    "\"\"",
    "%s ? $1 :name @name",
    "select",
    "x\\",
];

pub(crate) fn strange_names(case: &str) -> Outcome {
    let names: &[(&str, &str)] = match case {
        "statements" => &STATEMENTS.map(|name| (name, name)),
        "control_characters" => {
            &[("x\0y", "a"), ("a", "x\ty"), ("a", "x\u{202e}y"), ("\u{1b}[31m", "a"), ("", "a")]
        }
        // Two names to the contract, one to the database.
        "almost_the_same" => &[("stream", "a"), ("STREAM", "b")],
        other => panic!("there is no case {other}"),
    };
    names.iter().try_for_each(|(name, column)| saw(name, &told(row(name, column))))
}

pub(crate) fn path_names() -> Outcome {
    for name in [
        "../escaped",
        "../../escaped",
        "/absolute",
        "a/../../escaped",
        ".",
        "..",
        "...",
        "a/b",
        "a\\b",
        "C:\\escaped",
        "CON",
        "nul.parquet",
        "-rf",
        "~",
        "$(touch escaped)",
        ".hidden",
        "trailing.",
        "trailing ",
        "%2e%2e%2fescaped",
    ] {
        saw(name, &told(row(name, "a")))?;
    }
    Ok(())
}

/// A table that the host or the database keeps for itself.
pub(crate) fn own_tables(name: &str) -> Outcome {
    saw(name, &told(row(name, "a")))
}

pub(crate) fn state_key_names() -> Outcome {
    for key in STATEMENTS.into_iter().chain(["../escaped", "", "a\0b", "seen/../../x", "\u{1b}[31m"]) {
        saw(&format!("key {key:?}"), &told(state::set(key, "1")))?;
    }
    for value in ["", "{", "nul", "[", "1 2", "\u{feff}1", "\"\\ud800\"", "1e999"] {
        saw(&format!("value {value:?}"), &told(state::set("value", value)))?;
    }
    saw("deep", &told(state::set("deep", &"[".repeat(1 << 20))))?;
    state::commit()?;
    saw("kept", &state::get("x'; DROP TABLE seen; --").unwrap_or_default())
}
