//! Jobs under ids of our own: a job runs once, however often it is asked for.
//!
//! An id is `ow_`, the token of the run's claim (unique to it), what the job is
//! for, and the number of the attempt. A request whose answer was lost is sent
//! again with the same id; BigQuery answers 409, and the job is looked up. Only
//! when BigQuery says that a job failed, and that it may be tried again, does the
//! next attempt get a new id.

use std::time::Duration;

use serde_json::{Value, json};

use super::trouble::{ApiError, Trouble};
use super::warehouse::Warehouse;

/// How often a job that failed for no reason of its own is tried.
pub(super) const ATTEMPTS: u32 = 6;
/// The first wait for a job; it grows by half.
const FIRST_LOOK: Duration = Duration::from_millis(100);
/// The longest time between two looks at a job.
const LAST_LOOK: Duration = Duration::from_secs(3);

/// A named parameter of a query.
#[derive(Clone)]
pub(super) struct Param {
    name: &'static str,
    kind: &'static str,
    value: Option<String>,
}

impl Param {
    pub(super) fn text(name: &'static str, value: impl Into<String>) -> Self {
        Self { name, kind: "STRING", value: Some(value.into()) }
    }

    pub(super) fn maybe(name: &'static str, value: Option<&str>) -> Self {
        Self { name, kind: "STRING", value: value.map(str::to_owned) }
    }

    pub(super) fn int(name: &'static str, value: u64) -> Self {
        Self { name, kind: "INT64", value: Some(value.to_string()) }
    }

    fn json(&self) -> Value {
        let value = self.value.as_ref().map_or_else(|| json!({}), |value| json!({ "value": value }));
        json!({ "name": self.name, "parameterType": { "type": self.kind }, "parameterValue": value })
    }
}

/// How a query job is described.
fn query(sql: &str, params: &[Param]) -> Value {
    json!({
        "query": {
            "query": sql,
            "useLegacySql": false,
            "parameterMode": "NAMED",
            "queryParameters": params.iter().map(Param::json).collect::<Vec<_>>(),
        },
        "labels": { "ow-host": "1" },
    })
}

/// How many rows the last statement of a job changed.
pub(super) fn affected(job: &Value) -> Option<u64> {
    job.pointer("/statistics/query/numDmlAffectedRows")?.as_str()?.parse().ok()
}

fn is_done(job: &Value) -> bool {
    job.pointer("/status/state").and_then(Value::as_str) == Some("DONE")
}

impl Warehouse {
    /// What a job is called to BigQuery.
    pub(super) fn job_reference(&self, id: &str) -> Value {
        json!({ "projectId": self.project, "jobId": id, "location": self.location })
    }

    /// Where the console shows a job.
    fn link(&self, id: &str) -> String {
        format!(
            "https://console.cloud.google.com/bigquery?project={}&j=bq:{}:{id}&page=queryresults",
            self.project, self.location
        )
    }

    /// A job by its id; none where there is none.
    pub(super) async fn find_job(&self, id: &str) -> Result<Option<Value>, Trouble> {
        let parts = ["projects", &self.project, "jobs", id];
        match self.client.get(&parts, &[("location", &self.location)], &format!("job `{id}`")).await {
            Ok(job) => Ok(Some(job)),
            Err(trouble) if trouble.is(404) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Waits for the end of a job. A job that failed is an error.
    pub(super) async fn wait(&self, id: &str) -> Result<Value, Trouble> {
        let mut pause = FIRST_LOOK.min(self.client.pace.longest);
        loop {
            let job = self.find_job(id).await?.ok_or_else(|| {
                Trouble::internal(format!("BigQuery does not know job `{id}`, which it has taken before"))
            })?;
            if is_done(&job) {
                return self.outcome(id, job);
            }
            tokio::time::sleep(pause).await;
            pause = pause.mul_f32(1.5).min(LAST_LOOK);
        }
    }

    fn outcome(&self, id: &str, job: Value) -> Result<Value, Trouble> {
        match job.pointer("/status/errorResult") {
            None => Ok(job),
            Some(error) => {
                Err(Trouble::Api(ApiError::from_job(error, job.pointer("/status/errors"), self.link(id))))
            }
        }
    }

    /// Whether this account may run jobs; runs none.
    pub(super) async fn try_job(&self) -> Result<(), Trouble> {
        let body = json!({
            "jobReference": { "projectId": self.project, "location": self.location },
            "configuration": { "dryRun": true, "query": { "query": "SELECT 1", "useLegacySql": false } },
        });
        self.client.post(&["projects", &self.project, "jobs"], &body, "a job").await.map(|_| ())
    }

    /// Runs one attempt of a query.
    async fn attempt(&self, id: &str, configuration: &Value) -> Result<Value, Trouble> {
        let body = json!({ "jobReference": self.job_reference(id), "configuration": configuration });
        match self.client.post(&["projects", &self.project, "jobs"], &body, &format!("job `{id}`")).await {
            Ok(job) if is_done(&job) => self.outcome(id, job),
            Ok(_) => self.wait(id).await,
            // It is there: the answer to an earlier request was lost.
            Err(trouble) if trouble.is(409) => self.wait(id).await,
            Err(trouble) => Err(trouble),
        }
    }

    /// Runs a query that may run twice without harm.
    pub(super) async fn run(&self, name: &str, sql: &str, params: &[Param]) -> Result<Value, Trouble> {
        let configuration = query(sql, params);
        let mut attempt = 0;
        loop {
            let result = self.attempt(&format!("{name}_{attempt}"), &configuration).await;
            attempt += 1;
            match result {
                Err(Trouble::Api(error))
                    if error.status == 0 && error.is_transient() && attempt < ATTEMPTS =>
                {
                    tokio::time::sleep(self.client.pace.wait(attempt)).await;
                }
                result => return result,
            }
        }
    }

    /// Runs a query that must not take effect twice, and whose SQL sees to that;
    /// `done` looks whether an attempt that failed has taken effect nevertheless.
    pub(super) async fn run_once(
        &self,
        name: &str,
        sql: &str,
        params: &[Param],
        done: impl AsyncFn() -> Result<bool, Trouble>,
    ) -> Result<(), Trouble> {
        let configuration = query(sql, params);
        let mut attempt = 0;
        loop {
            let result = self.attempt(&format!("{name}_{attempt}"), &configuration).await;
            attempt += 1;
            let Err(trouble) = result else { return Ok(()) };
            // No failure but a job's is certain to have had no effect, and even
            // a job's is looked into.
            match done().await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(_) => return Err(trouble),
            }
            match &trouble {
                Trouble::Api(error) if error.status == 0 && error.is_transient() && attempt < ATTEMPTS => {}
                _ => return Err(trouble),
            }
            tokio::time::sleep(self.client.pace.wait(attempt)).await;
        }
    }

    /// Runs a query that several runs may ask for under one name: the first that
    /// succeeds is the last.
    pub(super) async fn run_shared(&self, name: &str, sql: &str) -> Result<(), Trouble> {
        let configuration = query(sql, &[]);
        let mut tried = 0;
        for attempt in 0_u64.. {
            let id = format!("{name}_{attempt}");
            if self.find_job(&id).await?.is_some() {
                // What failed for another run may succeed now.
                if self.wait(&id).await.is_ok() {
                    return Ok(());
                }
                continue;
            }
            let result = self.attempt(&id, &configuration).await;
            tried += 1;
            match result {
                Err(Trouble::Api(error)) if error.status == 0 && error.is_transient() && tried < ATTEMPTS => {
                    tokio::time::sleep(self.client.pace.wait(tried)).await;
                }
                result => return result.map(|_| ()),
            }
        }
        Ok(())
    }

    /// Waits for every attempt of a job of another run that is under way.
    pub(super) async fn settle(&self, name: &str) -> Result<(), Trouble> {
        for attempt in 0..ATTEMPTS {
            let id = format!("{name}_{attempt}");
            match self.find_job(&id).await? {
                None => return Ok(()),
                Some(job) if is_done(&job) => {}
                // How it ends is seen in what it leaves.
                Some(_) => drop(self.wait(&id).await),
            }
        }
        Ok(())
    }
}
