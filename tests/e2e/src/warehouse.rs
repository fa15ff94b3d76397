//! Tables of warehouses, read back by another program than ours: by
//! `tests/storages/read_table.py`.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// The rows of a table, sorted, one a line, values separated by `|`. A place is
/// how `read_table.py` finds a warehouse; columns come with their types.
#[must_use]
pub fn rows(place: &Value, table: &str, columns: &[(&str, &str)]) -> String {
    let answer = ask(&json!({ "place": place, "table": table, "columns": columns }));
    assert!(!answer["columns"].is_null(), "there is no table `{table}`");
    let rows: Vec<Vec<Option<String>>> = serde_json::from_value(answer["rows"].clone()).unwrap();
    let shown = |(value, (_, data_type)): (&Option<String>, &(&str, &str))| match value {
        None => "NULL".to_owned(),
        Some(text) if *data_type == "float64" => format!("{:?}", text.parse::<f64>().unwrap()),
        Some(text) => text.clone(),
    };
    let mut lines: Vec<String> =
        rows.iter().map(|row| row.iter().zip(columns).map(shown).collect::<Vec<_>>().join("|")).collect();
    lines.sort();
    lines.join("\n")
}

fn ask(request: &Value) -> Value {
    let python = test_servers::python().expect("the Python that runs the fakes");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../storages/read_table.py");
    let mut reader = Command::new(python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(reader.stdin.take().unwrap(), "{request}").unwrap();
    let output = reader.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).expect("an answer of read_table.py");
    assert!(answer["error"].is_null(), "read_table.py: {}\nasked for {request}", answer["error"]);
    answer
}
