//! Rows, state and load history in a dataset of Google BigQuery.
//!
//! # How a commit goes
//!
//! Rows become Parquet files as they come ([`encode`]); each file is uploaded and
//! loaded into a staging table while more rows come ([`stage`], [`upload`]). A
//! commit is then one query job, which is one transaction ([`ledger`]):
//!
//! ```text
//! BEGIN TRANSACTION;
//! INSERT INTO _ow_run_log … IF(claim and number are ours, …, ERROR(…)) …;
//! UPDATE _ow_state_TAG SET sequence = n + 1, state = … WHERE token = … AND sequence = n;
//! MERGE INTO … / INSERT INTO …, once a stream;
//! COMMIT TRANSACTION;
//! ```
//!
//! # Exactly once, step by step
//!
//! Each open makes a random *token*, which no other run has. It names the claim,
//! all jobs and all staging tables of the run. Commits of a run are numbered.
//!
//! 1. *Claim.* `_ow_state_TAG` has one row a data mart, made together with its
//!    table. A claim is an `UPDATE` of that row, which takes effect only where no
//!    other claim is in force: of two that meet, BigQuery lets one go first, and
//!    the other finds nothing to update. A run that dies here leaves a claim that
//!    ends with its lease. The state is read after the claim.
//! 2. *Staging.* Files go to tables that nobody reads and that carry the token. A
//!    run that dies here leaves tables that the next open drops; what is left then,
//!    BigQuery drops after some days. A load
//!    whose answer was lost has the same job id when it is asked for again: 409,
//!    and the job is looked up. A load that failed is tried under the next id; if
//!    it had written rows nevertheless, they carry the same numbers (`_ow_seq`),
//!    and from then on each number is read once.
//! 3. *Tables.* New tables, columns and wider types come before the transaction,
//!    because BigQuery has no such statements in one. They change no row, so a run
//!    that dies here leaves an empty table, a column of nulls or a wider type.
//! 4. *The transaction* takes effect whole or not at all. It fails unless the
//!    row has the run's token and the number of this commit, and it raises that
//!    number. So it takes effect once, however often and however late it runs:
//!    - its answer is lost: asked for again, its id gives 409 and it is looked up;
//!    - the job failed and says so: the row tells whether it took effect; if it did
//!      not, the next attempt is safe even if it did after all, because the number
//!      is raised then;
//!    - the process dies: the next run waits for the job if it is under way, and
//!      then replaces the token. From then on it cannot take effect any more. The
//!      state that the next run reads is therefore that of the rows, and what was
//!      staged without a commit comes again from the source.
//!
//!    Both transactions change the same row, and BigQuery lets only one of two
//!    such transactions commit: the claim and the commit of two runs cannot pass
//!    each other.
//! 5. *Replacing.* Where the table has the shape already, its rows are replaced in
//!    the transaction. Where it has another shape, a statement of its own has to
//!    make it anew. Then the transaction writes that statement into the row
//!    (`pending`), beside the state, and it is run afterwards; the staging table
//!    is kept until it is done. A run that dies in between leaves the promise, and
//!    the next open of the data mart keeps it before anything else. The statement
//!    gives the same table however often it runs, its jobs have ids that do not
//!    depend on who runs them, and the staging table is dropped before the next
//!    rows come, so that no late job can bring the old ones back.
//! 6. *The end* of a run releases the claim in its last transaction, or in one
//!    that also replaces the token: what a run that failed had sent before can take
//!    effect no more. Staging tables that a run left, whenever it died, are
//!    dropped by the next run of the data mart; BigQuery drops them too after
//!    some days.
//!
//! Nothing of this rests on a clock of this machine: leases are compared by
//! BigQuery. A lease that ends too early costs a run, never a row.
//!
//! # Claims
//!
//! A claim is renewed three times a lease (`ClaimSeconds`, 120 by default) and by
//! each commit. A run that died blocks the next one for a lease at most; a run
//! that lost its claim fails with its next commit.
//!
//! # Tables
//!
//! | type | column | out of range |
//! |---|---|---|
//! | `boolean`, `int64`, `float64` | `BOOL`, `INT64`, `FLOAT64`, infinities and NaN too | NaN in a key is refused |
//! | `decimal(p, s)` | `NUMERIC(p, s)` if 29 digits before and 9 after the point do, else `BIGNUMERIC(p, s)` | more than `p` digits: refused |
//! | `text`, `bytes` | `STRING`, `BYTES` | over 10⁸ bytes: refused |
//! | `date`, `timestamp` | `DATE`, `TIMESTAMP` | years but 1 to 9999: refused |
//! | `json` | `JSON`; text in a `STRING` column that stands | numbers that `JSON` would round: refused |
//!
//! What columns mean is in their types, so that there is no catalogue, and tables
//! of somebody else are used where they fit. Labels tell which tables are ours,
//! and their key. BigQuery changes numbers to wider numbers in place and nothing
//! else; a table of a wider type takes narrower rows. A key is not enforced by
//! BigQuery: `merge` and `replace` keep the last row of a key, `append` looks
//! whether a key is there.
//!
//! Staged columns are called `c0`, `c1`, …: names from a connector stand in SQL
//! in backticks and nowhere else, and names that BigQuery does not take are
//! refused ([`names`]). There are no casts that could make a null.
//!
//! # Limits that are kept
//!
//! Staging tables are new with each commit, and DML counts against no daily limit,
//! so that the 1,500 loads a table and day are out of reach. JSON columns cannot
//! be loaded from Parquet: they are staged as text and parsed in the transaction.
//! Files are large enough for five loads in ten seconds. Memory is that of the
//! files under way: two, and what is being written.

mod auth;
mod client;
mod encode;
mod evolve;
mod jobs;
mod ledger;
mod names;
mod parameters;
mod run;
mod sql;
mod stage;
mod trouble;
mod types;
mod upload;
mod warehouse;

#[cfg(test)]
#[expect(clippy::print_stderr, reason = "tests say why they are skipped, and what they measured")]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use schemars::schema_for;
use serde_json::Value;

use self::auth::{Auth, Credentials};
use self::client::{Client, Pace};
use self::parameters::Parameters;
use self::run::{BigQueryStorage, Engine};
use self::trouble::Trouble;
use self::warehouse::Warehouse;
use crate::driver::{self, Driver, Params, Problem};
use crate::{RunInfo, Storage, StorageError};

/// The storage `GoogleBigQuery`.
pub(crate) struct BigQuery;

/// What the parameters come to.
#[derive(Clone)]
struct Settings {
    /// Where BigQuery is, without a slash at the end.
    endpoint: String,
    credentials: Credentials,
    /// Pays for the jobs.
    project: String,
    dataset_project: String,
    dataset: String,
    location: Option<String>,
    prefix: String,
    /// How long a claim holds that is not renewed.
    lease: Duration,
    pace: Pace,
    /// Compressed bytes of a file.
    part: usize,
}

impl Settings {
    fn client(&self) -> Result<std::sync::Arc<Client>, Trouble> {
        Client::new(&self.endpoint, Auth::new(self.credentials.clone()), self.pace)
    }

    /// The dataset; made where it is not there and `create` says so.
    async fn warehouse(&self, create: bool) -> Result<Warehouse, Trouble> {
        let client = self.client()?;
        let (project, dataset) = (&self.dataset_project, &self.dataset);
        let place = self.location.as_deref();
        let location = match warehouse::find_dataset(&client, project, dataset).await? {
            Some(location) => {
                warehouse::check_location(&self.name(), &location, place)?;
                location
            }
            None if create => warehouse::create_dataset(&client, project, dataset, place).await?,
            None => place.unwrap_or("US").to_owned(),
        };
        Ok(Warehouse {
            client,
            project: self.project.clone(),
            dataset_project: project.clone(),
            dataset: dataset.clone(),
            location,
        })
    }

    fn name(&self) -> String {
        format!("{}.{}", self.dataset_project, self.dataset)
    }

    fn explain(&self, trouble: Trouble, doing: &str) -> StorageError {
        trouble.explain(&self.project, doing)
    }

    /// Whether jobs may be run, and where the dataset is.
    async fn reach(&self) -> Result<String, Trouble> {
        let client = self.client()?;
        let found = warehouse::find_dataset(&client, &self.dataset_project, &self.dataset).await?;
        if let Some(location) = &found {
            warehouse::check_location(&self.name(), location, self.location.as_deref())?;
        }
        let warehouse = self.warehouse(false).await?;
        warehouse.try_job().await?;
        let name = self.name();
        Ok(match (found, &self.location) {
            (Some(location), _) => format!("dataset {name} is in {location}"),
            (None, Some(location)) => format!("dataset {name} will be created in {location}"),
            (None, None) => format!("dataset {name} will be created where BigQuery creates it by default"),
        })
    }
}

impl Driver for BigQuery {
    fn name(&self) -> &'static str {
        "GoogleBigQuery"
    }

    fn alias(&self) -> &'static str {
        "GOOGLE_BIGQUERY"
    }

    fn schema(&self) -> Value {
        schema_for!(Parameters).to_value()
    }

    fn check(&self, params: &Params) -> Vec<Problem> {
        // A parameter of the wrong type has been told already.
        driver::parse::<Parameters>(params.clone())
            .map_or_else(|_| Vec::new(), |params| params.settings().err().unwrap_or_default())
    }

    fn open(
        &self,
        params: Params,
        _: &Path,
        run: &RunInfo,
    ) -> Result<(Box<dyn Storage>, String), StorageError> {
        let settings = settings(params)?;
        let description = format!("GoogleBigQuery ({})", settings.name());
        Ok((Box::new(BigQueryStorage::open(settings, run)?), description))
    }

    fn read_state(
        &self,
        params: Params,
        _: &Path,
        data_mart_id: &str,
    ) -> Result<BTreeMap<String, String>, StorageError> {
        let settings = settings(params)?;
        read_state(&settings, data_mart_id)
    }

    fn reach(&self, params: Params, _: &Path) -> Result<String, StorageError> {
        let settings = settings(params)?;
        let reached = Engine::start()?.wait(settings.reach());
        reached.map_err(|trouble| settings.explain(trouble, "reach BigQuery"))
    }
}

fn settings(params: Params) -> Result<Settings, StorageError> {
    driver::parse::<Parameters>(params)?.settings().map_err(|problems| {
        let (parameter, message) = problems.into_iter().next().unwrap_or_default();
        StorageError::Config { message, parameter }
    })
}

fn read_state(settings: &Settings, data_mart_id: &str) -> Result<BTreeMap<String, String>, StorageError> {
    let state = Engine::start()?.wait(async {
        let warehouse = settings.warehouse(false).await?;
        ledger::state(&warehouse, data_mart_id).await
    });
    state.map_err(|trouble| settings.explain(trouble, "read the state"))
}
