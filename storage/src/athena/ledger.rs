//! Load history and state where a query can read them: JSON lines under two
//! external tables. They are written after the log and are read by nobody but
//! users; the log is the truth.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::identifier::{hive, literal};
use super::log::History;
use super::mart::{root, tag};
use super::service::{Condition, Service, to_json};
use super::trouble::fault;
use crate::StorageError;
use crate::text::now;

/// Their columns; each is text unless it says otherwise.
const TABLES: &[(&str, &str, &str)] = &[
    (
        "_ow_runs",
        "runs",
        "`id` bigint, `run_id` string, `data_mart_id` string, `connector` string, `run_type` string, `status` string, `started_at` string, `finished_at` string, `rows` string, `schema` string, `commits` bigint, `error` string",
    ),
    (
        "_ow_state",
        "state",
        "`data_mart_id` string, `key` string, `value` string, `run_id` string, `updated_at` string",
    ),
];

/// Writes a run's line.
pub(super) async fn record(
    service: &Service,
    id: &str,
    fence: u64,
    history: &History,
) -> Result<(), StorageError> {
    let mut line = serde_json::to_value(history).unwrap_or_default();
    if let Value::Object(line) = &mut line {
        line.insert("id".to_owned(), json!(fence));
    }
    let mut bytes = to_json(&line)?;
    bytes.push(b'\n');
    let key = format!("{}runs/{}-{fence:020}.json", root(service), tag(id));
    service.put(&key, bytes, Condition::Always).await.map(drop)
}

/// Writes a data mart's state, a line a key.
pub(super) async fn record_state(
    service: &Service,
    id: &str,
    run_id: &str,
    state: &BTreeMap<String, String>,
) -> Result<(), StorageError> {
    let mut bytes = Vec::new();
    for (key, value) in state {
        let line =
            json!({ "data_mart_id": id, "key": key, "value": value, "run_id": run_id, "updated_at": now() });
        bytes.extend(to_json(&line)?);
        bytes.push(b'\n');
    }
    let key = format!("{}state/{}.json", root(service), tag(id));
    if bytes.is_empty() {
        return service.delete(std::slice::from_ref(&key)).await;
    }
    service.put(&key, bytes, Condition::Always).await.map(drop)
}

/// Creates the two tables where they are not there.
pub(super) async fn stand(service: &Service) -> Result<(), StorageError> {
    for (table, folder, columns) in TABLES {
        let request = service.athena.get_table_metadata().catalog_name("AwsDataCatalog");
        let found = request.database_name(&service.place.database).table_name(*table).send().await;
        match found.map_err(fault) {
            Ok(_) => continue,
            Err(fault) if fault.code == "MetadataException" => {}
            Err(fault) => return Err(service.explain(fault, &format!("look at table `{table}`"))),
        }
        let sql = format!(
            "CREATE EXTERNAL TABLE IF NOT EXISTS {}.{} ({columns}) ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' LOCATION {}",
            hive(&service.place.database),
            hive(table),
            literal(&service.uri(&format!("{}{folder}/", root(service))))
        );
        service.define(&sql).await?;
    }
    Ok(())
}
