//! The dataset: its tables by the REST API, and the names that SQL knows them by.

use std::sync::Arc;

use serde_json::{Value, json};

use super::client::Client;
use super::names::quote;
use super::trouble::Trouble;
use crate::StorageError;

/// Pages of the list of tables that are read at most.
const MAX_PAGES: usize = 100;

/// A dataset, and the project that pays for the jobs.
pub(super) struct Warehouse {
    pub(super) client: Arc<Client>,
    /// Pays for the jobs.
    pub(super) project: String,
    pub(super) dataset_project: String,
    pub(super) dataset: String,
    /// Where the dataset is; jobs run there, and are found only by naming it.
    pub(super) location: String,
}

/// A page of a table's rows: the text of each value.
pub(super) type Rows = Vec<Vec<Option<String>>>;

impl Warehouse {
    /// A table's name in SQL.
    pub(super) fn sql(&self, table: &str) -> String {
        format!("{}.{}.{}", quote(&self.dataset_project), quote(&self.dataset), quote(table))
    }

    /// The address of a table in the REST API.
    pub(super) fn reference(&self, table: &str) -> Value {
        json!({ "projectId": self.dataset_project, "datasetId": self.dataset, "tableId": table })
    }

    fn parts<'a>(&'a self, table: &'a str) -> [&'a str; 6] {
        ["projects", &self.dataset_project, "datasets", &self.dataset, "tables", table]
    }

    /// A table's description; none where there is none.
    pub(super) async fn table(&self, table: &str) -> Result<Option<Value>, Trouble> {
        match self.client.get(&self.parts(table), &[], &format!("table `{table}`")).await {
            Ok(found) => Ok(Some(found)),
            Err(trouble) if trouble.is(404) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Makes a table; one that is there stays as it is.
    pub(super) async fn create_table(&self, table: &str, mut body: Value) -> Result<(), Trouble> {
        if let Some(body) = body.as_object_mut() {
            body.insert("tableReference".to_owned(), self.reference(table));
        }
        let parts = ["projects", &self.dataset_project, "datasets", &self.dataset, "tables"];
        match self.client.post(&parts, &body, &format!("the new table `{table}`")).await {
            Err(trouble) if trouble.is(409) => Ok(()),
            result => result.map(|_| ()),
        }
    }

    /// Changes a table, if it still has this tag.
    pub(super) async fn patch_table(&self, table: &str, body: &Value, etag: &str) -> Result<(), Trouble> {
        let what = format!("the change of table `{table}`");
        self.client.patch(&self.parts(table), body, etag, &what).await.map(|_| ())
    }

    pub(super) async fn drop_table(&self, table: &str) -> Result<(), Trouble> {
        self.client.delete(&self.parts(table), &format!("table `{table}`")).await
    }

    /// The names of tables that start so.
    pub(super) async fn names(&self, prefix: &str) -> Result<Vec<String>, Trouble> {
        let parts = ["projects", &self.dataset_project, "datasets", &self.dataset, "tables"];
        let mut names = Vec::new();
        let mut page_token = String::new();
        for _ in 0..MAX_PAGES {
            let query = [("maxResults", "1000"), ("pageToken", page_token.as_str())];
            let query = if page_token.is_empty() { &query[..1] } else { &query[..] };
            let page = self.client.get(&parts, query, "the tables of the dataset").await?;
            let tables = page.get("tables").and_then(Value::as_array).into_iter().flatten();
            let name = |table: &Value| table.pointer("/tableReference/tableId")?.as_str().map(str::to_owned);
            names.extend(tables.filter_map(name).filter(|name| name.starts_with(prefix)));
            match page.get("nextPageToken").and_then(Value::as_str) {
                Some(next) => page_token = next.to_owned(),
                None => break,
            }
        }
        Ok(names)
    }

    /// The rows of a small table; none where there is no table or no dataset.
    pub(super) async fn rows(&self, table: &str) -> Result<Option<Rows>, Trouble> {
        let mut parts = self.parts(table).to_vec();
        parts.push("data");
        let query = [("maxResults", "100"), ("formatOptions.useInt64Timestamp", "true")];
        let page = match self.client.get(&parts, &query, &format!("the rows of table `{table}`")).await {
            Ok(page) => page,
            Err(trouble) if trouble.is(404) => return Ok(None),
            Err(trouble) => return Err(trouble),
        };
        let row = |row: &Value| {
            let cells = row.get("f").and_then(Value::as_array).into_iter().flatten();
            cells.map(|cell| cell.get("v").and_then(Value::as_str).map(str::to_owned)).collect()
        };
        Ok(Some(page.get("rows").and_then(Value::as_array).into_iter().flatten().map(row).collect()))
    }
}

/// Where a dataset is; none where there is none.
pub(super) async fn find_dataset(
    client: &Client,
    project: &str,
    dataset: &str,
) -> Result<Option<String>, Trouble> {
    let what = format!("dataset `{project}.{dataset}`");
    match client.get(&["projects", project, "datasets", dataset], &[], &what).await {
        Ok(found) => Ok(Some(location(&found))),
        Err(trouble) if trouble.is(404) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// Makes a dataset and answers where it is.
pub(super) async fn create_dataset(
    client: &Client,
    project: &str,
    dataset: &str,
    place: Option<&str>,
) -> Result<String, Trouble> {
    let mut body = json!({ "datasetReference": { "projectId": project, "datasetId": dataset } });
    if let (Some(place), Some(body)) = (place, body.as_object_mut()) {
        body.insert("location".to_owned(), json!(place));
    }
    let what = format!("the new dataset `{project}.{dataset}`");
    match client.post(&["projects", project, "datasets"], &body, &what).await {
        Ok(made) => Ok(location(&made)),
        // Somebody else made it meanwhile, or the first answer was lost.
        Err(trouble) if trouble.is(409) => find_dataset(client, project, dataset).await?.ok_or(trouble),
        Err(trouble) => Err(trouble),
    }
}

fn location(dataset: &Value) -> String {
    dataset.get("location").and_then(Value::as_str).unwrap_or("US").to_owned()
}

/// Checks that a dataset is where the parameters say that it is.
pub(super) fn check_location(dataset: &str, there: &str, wanted: Option<&str>) -> Result<(), StorageError> {
    match wanted {
        Some(wanted) if !wanted.eq_ignore_ascii_case(there) => Err(StorageError::Config {
            message: format!(
                "dataset `{dataset}` is in location {there} and `DestinationLocation` says {wanted}, and a dataset cannot be moved; set `DestinationLocation` to {there}, or choose another dataset"
            ),
            parameter: Some("DestinationLocation".to_owned()),
        }),
        _ => Ok(()),
    }
}
