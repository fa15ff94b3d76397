//! The fake BigQuery, and questions to it.

use serde_json::{Value, json};
use test_servers::{Control, Loan};

/// A fake that one test has to itself.
pub(super) struct Fake {
    control: Control,
    pub(super) url: String,
    _loan: Loan,
}

/// A fake, started so; none where that is not possible here.
pub(super) fn start(arguments: &[&str]) -> Option<Fake> {
    let loan = test_servers::borrow_fake("fake_bigquery.py", arguments)
        .map_err(|missing| test_servers::skip(&missing))
        .ok()?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    Some(Fake { control: Control::new(&loan.address), url: loan.address.clone(), _loan: loan })
}

impl Fake {
    pub(super) fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        self.control.call(method, path, body)
    }

    /// Arms a fault rule, or several.
    pub(super) fn fault(&self, rule: Value) {
        self.control.arm(&rule);
    }

    pub(super) fn no_faults(&self) {
        self.control.disarm();
    }

    /// Makes the fake as it was at its start.
    pub(super) fn reset(&self) {
        self.control.reset();
    }

    /// The requests so far of operations like this.
    pub(super) fn requests(&self, operation: &str) -> Vec<Value> {
        self.control.requests_of(operation)
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
