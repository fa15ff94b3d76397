//! Loads a folder of payments into SQLite from inside a program.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ow_host::cancel::Cancel;
use ow_host::config::{Config, RunConfig};
use ow_host::report::{Event, RunReport, Sink};
use ow_host::{Failure, Runner, RunnerOptions};

/// Runs the connector `component` on the configuration in `folder`, for at most
/// a minute, and hands each event to `events`.
pub async fn load(component: &Path, folder: &Path, events: Sink) -> Result<RunReport, Failure> {
    let config = Config::load(&folder.join("payments.json"))?;
    let cancel = Cancel::new();
    let options = RunnerOptions { events: Some(events), cancel: cancel.clone(), ..RunnerOptions::default() };
    let runner = Runner::new(options);

    // What `ow-host validate` does: no network, no storage.
    let component = component.to_owned();
    let validation = runner.validate(component.clone(), config.clone(), RunConfig::default()).await?;
    assert!(validation.missing_grants.is_empty(), "grant {:?} first", validation.missing_grants);

    // Raising the flag lets the connector return; its commits stay.
    let deadline = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        cancel.cancel();
    });
    let report = runner.run(component, config, RunConfig::default()).await;
    deadline.abort();
    Ok(report)
}

/// Counts commits and forwards the rest.
pub fn watch(commits: Arc<std::sync::atomic::AtomicU64>) -> Sink {
    Arc::new(move |event| {
        if let Event::Committed { commits: so_far, .. } = event {
            commits.store(*so_far, std::sync::atomic::Ordering::Relaxed);
        }
    })
}
