//! Whether a run could begin: the source as the connector reaches it, and the
//! storage.

use super::execute::storage_failure;
use super::prepare::Prepared;
use super::{Reached, RunnerOptions, ask, blocking};
use crate::failure::{Failure, FailureClass};
use crate::storage::registry;

/// Reaches both: what is wrong with either is told at once.
pub(super) async fn check(options: &RunnerOptions, prepared: &Prepared) -> Result<Reached, Failure> {
    let source = ask::check(options, prepared).await;
    if options.cancel.is_cancelled() {
        return Err(source.err().unwrap_or_else(interrupted));
    }
    let storage = tokio::select! {
        storage = reach(prepared) => storage,
        () = options.cancel.cancelled() => Err(interrupted()),
    };
    match (source, storage) {
        (Ok(()), storage) => storage,
        (Err(source), Ok(_)) => Err(source),
        (Err(source), Err(storage)) => {
            let message =
                format!("{}; and the storage cannot be reached: {}", source.message, storage.message);
            Err(Failure { message, ..source })
        }
    }
}

fn interrupted() -> Failure {
    Failure::new(FailureClass::Interrupted, "interrupted").retryable()
}

async fn reach(prepared: &Prepared) -> Result<Reached, Failure> {
    let choice = prepared.storage.clone();
    let name = choice.name.clone();
    let reached = blocking(move || registry::reach(&choice.name, &choice.parameters, &choice.base_dir));
    let clean = |text: &str| prepared.secrets.redact(text).into_owned();
    match reached.await? {
        Ok(found) => Ok(Reached { storage: name, found: clean(&found) }),
        Err(error) => Err(storage_failure(&error, &clean)),
    }
}
