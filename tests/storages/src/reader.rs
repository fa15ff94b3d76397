//! Reads back what a storage wrote, with `read_table.py`, which uses other
//! programs than ours.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use ow_storage::DataType;
use serde_json::{Value, json};

use crate::values::Cells;
use test_servers::{Missing, python};

/// A table as another program found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Every column that it has.
    pub columns: Vec<String>,
    /// The columns that were asked for, in no order.
    pub rows: Vec<Cells>,
}

/// A table; none where there is none.
#[must_use]
pub fn table(place: &Value, name: &str, asked_columns: &[(String, DataType)]) -> Option<Table> {
    let asked: Vec<_> =
        asked_columns.iter().map(|(name, data_type)| json!([name, data_type.to_string()])).collect();
    let answer = ask(&json!({ "place": place, "table": name, "columns": asked }));
    let there: Option<Vec<String>> = serde_json::from_value(answer["columns"].clone()).unwrap();
    let columns = there?;
    let mut rows: Vec<Cells> = serde_json::from_value(answer["rows"].clone()).unwrap();
    for row in &mut rows {
        for (cell, (_, data_type)) in row.iter_mut().zip(asked_columns) {
            if let (Some(text), DataType::Float64) = (cell, data_type) {
                // As Rust writes it.
                *text = format!("{:?}", text.parse::<f64>().unwrap());
            }
        }
    }
    rows.sort();
    Some(Table { columns, rows })
}

/// The names of everything that is in a place: tables, files, objects.
#[must_use]
pub fn names(place: &Value) -> Vec<String> {
    serde_json::from_value(ask(&json!({ "place": place, "list": true }))["names"].clone()).unwrap()
}

/// The Python that reads: that of `tests/cloud`, or any, which is enough for
/// what its standard library reads.
pub fn any_python() -> Result<PathBuf, Missing> {
    python().map(Path::to_owned).or_else(|missing| {
        let there = Command::new("python3").arg("--version").output().is_ok_and(|done| done.status.success());
        if there { Ok(PathBuf::from("python3")) } else { Err(missing) }
    })
}

struct Reader {
    process: Child,
    output: BufReader<ChildStdout>,
}

/// One process reads for all tests: its libraries take a second to start.
static READER: Mutex<Option<Reader>> = Mutex::new(None);

fn ask(request: &Value) -> Value {
    let answer = exchange(request);
    // Not while the reader is locked, which would take it from the other tests.
    assert!(answer["error"].is_null(), "read_table.py: {}\nasked for {request}", answer["error"]);
    answer
}

fn exchange(request: &Value) -> Value {
    let mut reader = READER.lock().unwrap();
    let reader = reader.get_or_insert_with(start);
    writeln!(reader.process.stdin.as_mut().unwrap(), "{request}").unwrap();
    let mut line = String::new();
    reader.output.read_line(&mut line).unwrap();
    let answer: Value = serde_json::from_str(&line).expect("an answer of read_table.py");
    answer
}

fn start() -> Reader {
    let python = any_python().expect("a Python, which was there when the place was made");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("read_table.py");
    let mut process = Command::new(python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(process.stdout.take().unwrap());
    Reader { process, output }
}
