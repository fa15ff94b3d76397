//! A fake BigQuery for each test, and questions to it.
//!
//! `OW_TEST_PYTHON` is the Python that runs it (`python3`), `OW_TEST_CLOUD` the
//! folder where it is. Where it cannot start, tests are skipped, unless
//! `OW_TEST_REQUIRE_CLOUD` is set.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// A server that ends with the test.
pub(super) struct Fake {
    child: Child,
    pub(super) url: String,
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a fake; none where that is not possible here.
pub(super) fn start(arguments: &[&str]) -> Option<Fake> {
    let python = std::env::var("OW_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let folder = std::env::var("OW_TEST_CLOUD")
        .map_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/cloud"), PathBuf::from);
    let started = launch(&python, &folder, arguments);
    if started.is_none() {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        let require = std::env::var("OW_TEST_REQUIRE_CLOUD").is_ok_and(|value| value == "1");
        assert!(!require, "the fake BigQuery does not start ({python}, {})", folder.display());
        eprintln!("SKIPPED {name}: the fake BigQuery does not start ({python}, {})", folder.display());
    }
    started
}

fn launch(python: &str, folder: &std::path::Path, arguments: &[&str]) -> Option<Fake> {
    let mut child = Command::new(python)
        .arg(folder.join("fake_bigquery.py"))
        .args(["--port", "0"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut line = String::new();
    let read = BufReader::new(child.stdout.take()?).read_line(&mut line);
    let parsed: Value = serde_json::from_str(&line).unwrap_or_default();
    let Some(url) = parsed["listening"].as_str().filter(|_| read.is_ok()) else {
        let _ = child.kill();
        let _ = child.wait();
        return None;
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    Some(Fake {
        child,
        url: url.to_owned(),
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
        http: reqwest::Client::new(),
    })
}

impl Fake {
    pub(super) fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, format!("{}{path}", self.url)).body(body.to_string());
        self.runtime.block_on(async {
            let bytes = request.send().await.unwrap().bytes().await.unwrap();
            serde_json::from_slice(&bytes).unwrap_or_default()
        })
    }

    /// Arms a fault rule, or several.
    pub(super) fn fault(&self, rule: Value) {
        self.call("POST", "/_fake/faults", &rule);
    }

    pub(super) fn no_faults(&self) {
        self.call("DELETE", "/_fake/faults", &Value::Null);
    }

    /// Makes the fake as it was at its start.
    pub(super) fn reset(&self) {
        self.call("POST", "/_fake/reset", &Value::Null);
    }

    /// The requests so far of operations like this.
    pub(super) fn requests(&self, operation: &str) -> Vec<Value> {
        let found = self.call("GET", &format!("/_fake/requests?op={operation}"), &Value::Null);
        found.as_array().cloned().unwrap_or_default()
    }

    /// The rows of a query, their values with spaces between them.
    pub(super) fn query(&self, sql: &str) -> Vec<String> {
        let body = json!({"query": sql, "useLegacySql": false});
        let answer = self.call("POST", "/bigquery/v2/projects/p/queries", &body);
        assert!(answer["error"].is_null(), "{sql}: {answer}");
        let rows = answer["rows"].as_array().cloned().unwrap_or_default();
        let value = |cell: &Value| cell["v"].as_str().map_or("null".to_owned(), str::to_owned);
        let row = |row: &Value| row["f"].as_array().unwrap().iter().map(value).collect::<Vec<_>>().join(" ");
        rows.iter().map(row).collect()
    }

    /// A table's description.
    pub(super) fn table(&self, name: &str) -> Value {
        self.call("GET", &format!("/bigquery/v2/projects/p/datasets/d/tables/{name}"), &Value::Null)
    }

    /// The names of the tables that start so.
    pub(super) fn tables(&self, prefix: &str) -> Vec<String> {
        let path = "/bigquery/v2/projects/p/datasets/d/tables?maxResults=1000";
        let found = self.call("GET", path, &Value::Null);
        let tables = found["tables"].as_array().cloned().unwrap_or_default();
        let name = |table: &Value| table["tableReference"]["tableId"].as_str().unwrap().to_owned();
        tables.iter().map(name).filter(|name| name.starts_with(prefix)).collect()
    }

    /// Ends the claim of a run that died, as its lease would.
    pub(super) fn expire(&self) {
        let table = format!("_ow_state_{}", super::ledger::tag("dm"));
        if self.tables("_ow_state_").contains(&table) {
            self.query(&format!(
                "UPDATE `p.d.{table}` SET expires_at = TIMESTAMP '2000-01-01 00:00:00+00' WHERE TRUE"
            ));
        }
    }
}
