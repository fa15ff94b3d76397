//! The stored state of a data mart, for the operator.

use std::collections::BTreeMap;

use super::ceilings::Ceilings;
use super::execute::storage_failure;
use super::prepare::StorageChoice;
use super::{RunnerOptions, blocking};
use crate::config::resolve::DEFAULT_STORAGE;
use crate::config::{Config, Secrets};
use crate::failure::Failure;
use crate::storage::{Outcome, RunInfo, StateChanges, StorageError, registry};

/// The state that a data mart's last commit left, as JSON text by key.
///
/// # Errors
///
/// If the storage cannot be read.
pub async fn show(options: &RunnerOptions, config: &Config) -> Result<BTreeMap<String, String>, Failure> {
    let data_mart_id = config.data_mart_id(options.data_mart_id.as_deref())?;
    within_policies(options, config)?;
    let mut secrets = Secrets::new();
    let choice = StorageChoice::of(config, options, &mut secrets)?;
    let read =
        move || registry::read_state(&choice.name, &choice.parameters, &choice.base_dir, &data_mart_id);
    blocking(read).await?.map_err(|error| storage_failure(&error, &|text| secrets.redact(text).into_owned()))
}

/// Refuses a storage that a policy does not let be used.
fn within_policies(options: &RunnerOptions, config: &Config) -> Result<(), Failure> {
    let mut ceilings = Ceilings::new(&options.policies);
    ceilings.storage(config.storage.as_ref(), DEFAULT_STORAGE);
    ceilings.finish()
}

/// Removes keys of the state, or all of them; which were removed. The next
/// incremental run starts without them.
///
/// # Errors
///
/// If a run of the data mart is under way, a key does not exist, or the storage
/// fails.
pub async fn reset(
    options: &RunnerOptions,
    config: &Config,
    keys: Vec<String>,
) -> Result<Vec<String>, Failure> {
    let data_mart_id = config.data_mart_id(options.data_mart_id.as_deref())?;
    within_policies(options, config)?;
    let mut secrets = Secrets::new();
    let choice = StorageChoice::of(config, options, &mut secrets)?;
    let info = RunInfo {
        data_mart_id,
        run_id: uuid::Uuid::now_v7().to_string(),
        run_type: "STATE_RESET".to_owned(),
        connector: String::new(),
        full_refresh: false,
        keep_state: false,
    };
    let remove = move || -> Result<Vec<String>, StorageError> {
        let (mut storage, _) = registry::open(&choice.name, &choice.parameters, &choice.base_dir, &info)?;
        let stored = storage.state()?;
        if let Some(unknown) = keys.iter().find(|key| !stored.contains_key(*key)) {
            let message = format!("the state has no key '{unknown}'");
            storage.finish(Outcome::Failed, &StateChanges::new(), Some(&message))?;
            return Err(StorageError::Config { message, parameter: None });
        }
        let removed: Vec<String> = if keys.is_empty() { stored.into_keys().collect() } else { keys };
        let changes: StateChanges = removed.iter().map(|key| (key.clone(), None)).collect();
        storage.finish(Outcome::Succeeded, &changes, None)?;
        Ok(removed)
    };
    blocking(remove)
        .await?
        .map_err(|error| storage_failure(&error, &|text| secrets.redact(text).into_owned()))
}
