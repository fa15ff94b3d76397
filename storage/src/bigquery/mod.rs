//! DOCS

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
