//! Rows in Iceberg tables of Athena, staged as Parquet in S3.
//!
//! # What is where
//!
//! Below `S3Prefix` in the bucket:
//!
//! | key | what |
//! |---|---|
//! | `TABLE/ID/…` | an Iceberg table, each at a place of its own |
//! | `ow-host/marts/TAG/log/N.json` | the log of a data mart ([`log`]) |
//! | `ow-host/marts/TAG/lease.json` | who writes it now ([`lease`]) |
//! | `ow-host/marts/TAG/staged/FENCE/TABLE/COMMIT-FILE.parquet` | rows that are not in a table yet |
//! | `ow-host/tables/DATABASE/TABLE.json`, `….owner.json` | what a table's columns mean, and the data mart that writes it |
//! | `ow-host/runs/…`, `ow-host/state/…` | load history and state for queries ([`ledger`]) |
//!
//! # Exactly once
//!
//! Athena has transactions of one table only. So a commit is not a transaction
//! there but an entry of the log, and the tables follow:
//!
//! 1. Rows go to staged files, whose names say run, table, commit and number.
//! 2. **The commit** is one object `log/N.json`, written with `If-None-Match: *`
//!    when every file is complete. It names the files and holds the whole state
//!    and the run's line of the history.
//! 3. Tables are created and given columns. For each table with pending rows the
//!    current snapshot, its *base*, is read, and an entry `Apply` with the bases
//!    is added to the log.
//! 4. For each table one `MERGE` brings the pending rows in ([`sql`]): one
//!    snapshot. It fails unless the table is at the base, and Iceberg refuses it
//!    when rows came meanwhile.
//! 5. An entry `Applied` says that nothing is pending. Staged files are deleted.
//!
//! A run begins by adding an entry to the log. Since every entry is written only
//! if its number is free, a run that lost the data mart can add nothing any more:
//! it neither commits nor starts to apply. The lease only keeps a second run from
//! trying.
//!
//! *A crash before 2*: no entry names the files; the next run deletes them. The
//! state is the old one, so the connector brings the rows again. *A crash in 2*:
//! the entry is there or not. *A crash after 2*: the entry is there, with the
//! state; what follows is done by the next run, before it does anything else:
//!
//! *After 2, before the end of 3*: no statement was started. Creating and adding
//! are done only where they are lacking.
//!
//! *After 3*: the statements of the `Apply` entry may have been started or not,
//! may still run or have ended in any way. The next run starts the same ones with
//! the same tokens (`ClientRequestToken` made of the entry's own name and the table), for
//! which Athena answers with the statement that is there already, if it is. Then:
//!
//! - *It succeeded.* Then its guard held and the rows are in, once.
//! - *It failed, or Athena has forgotten the token and the guard fails.* Rows
//!   that are merged by key or that replace a table are simply brought in again,
//!   with a new base in a new `Apply` entry: that changes nothing where they are
//!   in already, since nothing was written after them; later commits wait.
//!   Appended rows are looked for in the table's snapshots: the first commit
//!   after the base has them, because a statement that was made for a base cannot
//!   commit after another's rows. Where a snapshot after the base has as many
//!   records more than the base as rows were appended, they are in; else they are
//!   brought in again.
//! - *An old statement is still running* while a new one is made: if it commits
//!   first, the new one's guard or Iceberg's validation fails, and the snapshots
//!   are looked at again; if the new one commits first, the old one's base has
//!   passed and Iceberg refuses it. One at most has an effect.
//!
//! *After 4 before 5*: the same; each statement is found done.
//!
//! This rests on: S3's conditional writes and consistent listings; one load of a
//! table's metadata for each statement in the engine, so that guard and commit
//! mean one base; Iceberg's serializable isolation of `MERGE` (the default); and
//! on nobody else appending, in the seconds around a crash or a failure, exactly
//! as many rows to the table as the run did: only then are foreign rows taken for
//! ours. Other data marts of this host cannot: a table has one owner at a time,
//! and a new one first takes the old one's lease and brings its pending rows in.
//!
//! # Replacing
//!
//! `replace` and full refreshes stage all their rows and commit at the end of the
//! run. One `MERGE` then deletes every old row (each matches one marker row) and
//! inserts the new ones: readers see the old content, then the new one. Only where
//! a column gets a type that Athena cannot change to is the table dropped and
//! created with its rows (`CREATE TABLE … AS`); for that time there is no table. A
//! crash in between is repaired like any other; the entry says where the new
//! table has to be.
//!
//! # Types, names, limits
//!
//! See `docs/storage-athena.md`. Staged columns are called `c0`, `c1` and so on,
//! so names of connectors are only in statements as folded names of columns and
//! tables ([`identifier`]).

mod identifier;
mod lease;
mod ledger;
mod log;
mod mart;
mod query;
mod run;
mod service;
mod sql;
mod stage;
mod table;
mod trouble;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use schemars::{JsonSchema, schema_for};
use serde::Deserialize;
use serde_json::Value;

pub use run::AthenaStorage;

use crate::driver::{self, Driver, Params, Problem};
use crate::{RunInfo, Storage, StorageError};
use service::{Condition, Service};

/// Iceberg tables in Athena, written through Parquet files in S3.
#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Parameters {
    /// The region of the bucket and of Athena, such as `eu-central-1`.
    #[serde(rename = "AWSRegion")]
    region: String,
    /// The id of an access key. Without keys the credentials are found as the AWS
    /// tools find them: environment, profile, web identity, container or
    /// instance role.
    #[serde(rename = "AWSAccessKeyId", default)]
    access_key_id: Option<String>,
    /// The secret of the access key.
    #[serde(rename = "AWSSecretAccessKey", default)]
    #[schemars(extend("writeOnly" = true))]
    secret_access_key: Option<String>,
    /// The session token that belongs to temporary keys.
    #[serde(rename = "AWSSessionToken", default)]
    #[schemars(extend("writeOnly" = true))]
    session_token: Option<String>,
    /// The bucket that tables and staged rows go to.
    #[serde(rename = "S3BucketName")]
    bucket: String,
    /// The folder in the bucket for all tables of this configuration, such as
    /// `marketing/ads`. Each table gets a folder of its own in it.
    #[serde(rename = "S3Prefix")]
    prefix: String,
    /// The database in the Glue catalog; created where it is not there.
    #[serde(rename = "AthenaDatabaseName")]
    database: String,
    /// Where Athena writes the results of statements, such as
    /// `s3://bucket/results`. Without it, and with `WorkGroup`, the work group
    /// says it; without both it is a folder in `S3Prefix`.
    #[serde(rename = "AthenaOutputLocation", default)]
    output: Option<String>,
    /// The work group that statements run in; `primary` where none is named.
    #[serde(rename = "WorkGroup", default)]
    work_group: Option<String>,
    /// What the name of every table starts with, such as `ads_`.
    #[serde(rename = "TablePrefix", default)]
    table_prefix: String,
    /// Taken so that configurations of OWOX work, and not used: tables are named
    /// after their streams, as OWOX's nodes name them too.
    #[serde(rename = "DestinationTableName", default)]
    _destination_table_name: Option<String>,
    /// Taken so that configurations of OWOX work, and not used: rows are gathered
    /// into files of the size that Athena reads best.
    #[serde(rename = "MaxBufferSize", default)]
    _max_buffer_size: Option<u64>,
    /// Seconds that commits may wait to be brought into the tables together: each
    /// time costs a statement a table. The end of a run never waits. 0 brings
    /// each commit in at once.
    #[serde(rename = "ApplyInterval", default = "default_interval")]
    apply_interval: u64,
    /// Seconds that AWS may take to answer a request before it is sent again: by
    /// default enough for a part of 8 MiB on a slow line.
    #[serde(rename = "RequestTimeout", default = "default_timeout")]
    #[schemars(range(min = 1, max = 3600))]
    request_timeout: u64,
    /// Another address for Athena and S3: an emulator, a private endpoint.
    #[serde(rename = "Endpoint", default)]
    endpoint: Option<String>,
    /// Another address for S3, where it is not `Endpoint`. Buckets are addressed
    /// by path there.
    #[serde(rename = "S3Endpoint", default)]
    s3_endpoint: Option<String>,
}

fn default_interval() -> u64 {
    30
}

fn default_timeout() -> u64 {
    120
}

/// What is not there if it is empty.
fn given(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.trim().is_empty())
}

impl Parameters {
    fn parse(params: Params) -> Result<Self, StorageError> {
        let mut params: Self = driver::parse(params)?;
        for optional in [
            &mut params.access_key_id,
            &mut params.secret_access_key,
            &mut params.session_token,
            &mut params.output,
            &mut params.work_group,
            &mut params.endpoint,
            &mut params.s3_endpoint,
        ] {
            *optional = given(optional);
        }
        Ok(params)
    }

    fn place(&self) -> service::Place {
        let folder = self.prefix.trim_matches('/');
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let output = self.output.clone().or_else(|| {
            let own = format!("s3://{}/{prefix}ow-host/results/", self.bucket);
            self.work_group.is_none().then_some(own)
        });
        service::Place {
            region: self.region.clone(),
            bucket: self.bucket.clone(),
            prefix,
            database: self.database.to_lowercase(),
            output,
            work_group: self.work_group.clone(),
        }
    }

    fn describe(&self) -> String {
        format!("AwsAthena ({})", self.database)
    }
}

/// The storage `AwsAthena`.
pub(crate) struct Athena;

impl Driver for Athena {
    fn name(&self) -> &'static str {
        "AwsAthena"
    }

    fn alias(&self) -> &'static str {
        "AWS_ATHENA"
    }

    fn schema(&self) -> Value {
        schema_for!(Parameters).to_value()
    }

    fn check(&self, params: &Params) -> Vec<Problem> {
        check(params)
    }

    fn open(
        &self,
        params: Params,
        _: &Path,
        run: &RunInfo,
    ) -> Result<(Box<dyn Storage>, String), StorageError> {
        let params = Parameters::parse(params)?;
        Ok((Box::new(AthenaStorage::open(&params, run)?), params.describe()))
    }

    fn read_state(
        &self,
        params: Params,
        _: &Path,
        data_mart_id: &str,
    ) -> Result<BTreeMap<String, String>, StorageError> {
        let params = Parameters::parse(params)?;
        run::runtime()?.block_on(async {
            let service = Service::connect(&params).await;
            let tail = log::tail(&service, &mart::folder(&service, data_mart_id)).await?;
            Ok(tail.map(|tail| tail.state).unwrap_or_default())
        })
    }

    fn reach(&self, params: Params, _: &Path) -> Result<String, StorageError> {
        let params = Parameters::parse(params)?;
        run::runtime()?.block_on(reach(&params))
    }
}

/// Whether the bucket can be read and written, and what Athena says.
async fn reach(params: &Parameters) -> Result<String, StorageError> {
    let service = Service::connect(params).await;
    let probe = format!("{}probe/{}", mart::root(&service), uuid::Uuid::new_v4());
    service.list(&probe, None).await?;
    service.put(&probe, "", Condition::Absent).await?;
    service.delete(std::slice::from_ref(&probe)).await?;
    let there = run::has_database(&service).await?;
    if let Some(group) = &params.work_group {
        let answer = service.athena.get_work_group().work_group(group).send().await;
        let found = answer.map_err(|error| {
            let fault = trouble::fault(error);
            if fault.code == "InvalidRequestException" {
                return StorageError::Config {
                    message: format!(
                        "work group `{group}` cannot be used: {}; set `WorkGroup`",
                        fault.message
                    ),
                    parameter: Some("WorkGroup".to_owned()),
                };
            }
            service.explain(fault, &format!("look at work group `{group}`"))
        })?;
        let state = found.work_group.and_then(|group| group.state);
        if state.is_some_and(|state| state.as_str() != "ENABLED") {
            return Err(StorageError::Config {
                message: format!("work group `{group}` is disabled; enable it, or set `WorkGroup`"),
                parameter: Some("WorkGroup".to_owned()),
            });
        }
    }
    Ok(format!(
        "bucket {} can be written, and database {} {}",
        params.bucket,
        service.place.database,
        if there { "is there" } else { "will be created" }
    ))
}

fn check(params: &Params) -> Vec<Problem> {
    let text = |name| params.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let mut problems = Vec::new();
    let mut problem = |name: &str, message: String| problems.push((Some(name.to_owned()), message));
    let made_of = |text: &str, more: &str| {
        text.chars().all(|letter| letter.is_ascii_alphanumeric() || more.contains(letter))
    };
    for (name, more, what) in [
        ("AWSRegion", "-", "a region, such as `eu-central-1`"),
        ("S3BucketName", "-.", "the name of a bucket, without `s3://` and without a folder"),
        ("AthenaDatabaseName", "_-", "made of letters, digits and underscores"),
    ] {
        if params.contains_key(name) && !text(name).is_some_and(|given| made_of(given, more)) {
            problem(name, format!("`{name}` has to be {what}"));
        }
    }
    if text("S3Prefix").is_some_and(|prefix| {
        !made_of(prefix, "-_./=+@,: ") || prefix.contains("//") || prefix.contains("s3:")
    }) {
        problem("S3Prefix", "`S3Prefix` has to be a folder in the bucket, such as `marketing/ads`, made of letters, digits and `-_./=+@,:`".to_owned());
    }
    if text("AthenaOutputLocation").is_some_and(|place| !place.starts_with("s3://")) {
        problem("AthenaOutputLocation", "`AthenaOutputLocation` has to start with `s3://`".to_owned());
    }
    for (one, other) in [("AWSAccessKeyId", "AWSSecretAccessKey"), ("AWSSecretAccessKey", "AWSAccessKeyId")] {
        if text(one).is_some() && text(other).is_none() {
            problem(
                other,
                format!(
                    "`{one}` is given without `{other}`; give both, or none for the credentials of the environment"
                ),
            );
        }
    }
    if text("AWSSessionToken").is_some() && text("AWSAccessKeyId").is_none() {
        problem(
            "AWSSessionToken",
            "`AWSSessionToken` belongs to `AWSAccessKeyId`, which is not given".to_owned(),
        );
    }
    for name in ["Endpoint", "S3Endpoint"] {
        let is_url = |given: &str| {
            url::Url::parse(given).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        };
        if text(name).is_some_and(|given| !is_url(given)) {
            problem(
                name,
                format!(
                    "`{name}` has to be an address, such as `https://vpce-1.s3.eu-central-1.vpce.amazonaws.com`"
                ),
            );
        }
    }
    if text("TablePrefix").is_some_and(|prefix| identifier::fold(prefix).starts_with(identifier::OURS)) {
        problem(
            "TablePrefix",
            format!(
                "`TablePrefix` starts with `{}`, which ow-host keeps for its own tables; choose another one",
                identifier::OURS
            ),
        );
    }
    problems
}
