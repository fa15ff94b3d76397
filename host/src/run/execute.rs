//! Steps 4 to 7 of a run: storage, sandbox, rows, end. A preview drives its guest
//! the same way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ask::{Channels, failure_of, gate};
use super::prepare::{DEFAULT_DATABASE, Prepared, prepare};
use super::session::Session;
use super::{ComponentSource, RunnerOptions, blocking};
use crate::bridge::bindings::ow::connector::types::ErrorKind;
use crate::bridge::state::RunState;
use crate::bridge::{Bridge, BridgeOptions, schema};
use crate::cancel::Cancel;
use crate::config::problem::{clip, nearest};
use crate::config::{Config, RunConfig, RunType};
use crate::failure::{Failure, FailureClass};
use crate::report::audit::AuditReport;
use crate::report::log::RunLog;
use crate::report::{Denied, DeniedCount, Event, Level, RunReport, Status};
use crate::sandbox::guest::GuestOptions;
use crate::sandbox::http::HttpGate;
use crate::storage::worker::{self, StorageHandle};
use crate::storage::{Outcome, RunInfo, StateChanges, StorageError, contract, registry};

/// How often progress is told.
const PROGRESS: Duration = Duration::from_millis(250);

/// Runs a connector and reports how it went.
pub(super) async fn run(
    options: &RunnerOptions,
    source: ComponentSource,
    config: Config,
    run_config: RunConfig,
) -> RunReport {
    let started = Instant::now();
    let run_id = options.run_id.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let mut report = RunReport {
        status: Status::Failed,
        exit_code: 0,
        failure: None,
        run_id,
        data_mart_id: config.data_mart_id(options.data_mart_id.as_deref()).unwrap_or_default(),
        run_type: run_config.run_type.to_string(),
        connector: String::new(),
        digest: String::new(),
        storage: String::new(),
        streams: Vec::new(),
        quarantine: None,
        commits: 0,
        requests: 0,
        request_bytes: 0,
        response_bytes: 0,
        denied: Vec::new(),
        audit: AuditReport::default(),
        dropped_log_lines: 0,
        peak_memory: 0,
        cpu_ms: 0,
        storage_wait_ms: 0,
        wall_ms: 0,
    };
    let outcome = async {
        let prepared = prepare(options, source, config, run_config).await?;
        report.connector = prepared.connector();
        report.digest.clone_from(&prepared.component.digest);
        execute(options, prepared, &mut report).await
    };
    let failure = outcome.await.err();
    report.status = match &failure {
        None => Status::Succeeded,
        Some(failure) if failure.class == FailureClass::Interrupted => Status::Interrupted,
        Some(_) => Status::Failed,
    };
    report.exit_code = failure.as_ref().map_or(0, |failure| failure.class.exit_code());
    report.failure = failure;
    report.wall_ms = millis(started.elapsed());
    if let Some(sink) = &options.events {
        sink(&Event::Finished(Box::new(report.clone())));
    }
    report
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The meters and the gate of a run that is about to begin. Its warnings are told.
pub(super) fn ready(
    options: &RunnerOptions,
    prepared: &Prepared,
    cancel: Cancel,
) -> Result<(Channels, HttpGate), Failure> {
    let secrets = Arc::clone(&prepared.secrets);
    let limits = prepared.grants.limits.clone();
    let log = RunLog::new(options.events.clone(), Arc::clone(&secrets), &limits);
    let channels = Channels::new(limits, cancel, log);
    channels.stats.audit().grant(prepared.granted());
    for warning in &prepared.warnings {
        channels.log.host_line(Level::Warn, warning);
    }
    let gate = gate(options, prepared, &channels, secrets)?;
    Ok((channels, gate))
}

/// From the storage to the summary.
async fn execute(options: &RunnerOptions, prepared: Prepared, report: &mut RunReport) -> Result<(), Failure> {
    let (channels, gate) = ready(options, &prepared, options.cancel.clone())?;
    let log = Arc::clone(&channels.log);
    let (storage, stored) = open_storage(&prepared, &channels, report).await?;
    let start = prepared.run_config.start_state(stored);
    log.emit(&Event::Started {
        run_id: report.run_id.clone(),
        data_mart_id: prepared.data_mart_id.clone(),
        run_type: report.run_type.clone(),
        connector: report.connector.clone(),
        digest: report.digest.clone(),
        storage: report.storage.clone(),
    });
    if prepared.storage.is_default {
        log.host_line(
            Level::Info,
            &format!("no storage is configured: writing to {DEFAULT_DATABASE} in the current folder"),
        );
    }
    let start = Start { state: start, run_id: &report.run_id, preview_rows: None };
    let result = drive(&prepared, &channels, gate, &storage, start).await;
    summarize(&channels, report);
    report.storage_wait_ms = millis(storage.waited());
    if result.is_ok() {
        warn_of_misspelt_streams(&prepared, &log, report);
    }
    result
}

/// What a run begins with.
pub(super) struct Start<'a> {
    pub(super) state: BTreeMap<String, String>,
    pub(super) run_id: &'a str,
    pub(super) preview_rows: Option<u32>,
}

/// Runs the guest into an open storage, and ends the run there.
pub(super) async fn drive(
    prepared: &Prepared,
    channels: &Channels,
    gate: HttpGate,
    storage: &StorageHandle,
    start: Start<'_>,
) -> Result<(), Failure> {
    let bridge = Bridge::new(BridgeOptions {
        storage: Some(storage.clone()),
        state: RunState::new(start.state.clone()),
        stats: Arc::clone(&channels.stats),
        log: Arc::clone(&channels.log),
        limits: channels.control.limits().clone(),
        cancel: channels.control.cancel().clone(),
        full_refresh: prepared.run_config.run_type == RunType::FullRefresh,
    });
    let telling = Telling::start(channels);
    let (result, changes) = call(prepared, channels, &start, gate, bridge).await;
    drop(telling);
    end(storage, channels, result, changes).await
}

/// A contract under a misspelt name would protect nothing, without a word.
fn warn_of_misspelt_streams(prepared: &Prepared, log: &RunLog, report: &RunReport) {
    let contracts = &prepared.storage.contracts.streams;
    let open = || report.streams.iter().map(|stream| stream.stream.as_str());
    for name in contracts.keys() {
        // One that is not open in this run may be so in another.
        if let Some(near) = nearest(name, open()).filter(|near| !contracts.contains_key(*near)) {
            log.host_line(
                Level::Warn,
                &format!(
                    "the contract for the stream '{}' was not used: the run opened no such stream; did you mean '{}'?",
                    clip(name),
                    clip(near)
                ),
            );
        }
    }
}

/// Opens the storage on a thread where that may block.
async fn open_storage(
    prepared: &Prepared,
    channels: &Channels,
    report: &mut RunReport,
) -> Result<(StorageHandle, BTreeMap<String, String>), Failure> {
    let info = RunInfo {
        data_mart_id: prepared.data_mart_id.clone(),
        run_id: report.run_id.clone(),
        run_type: report.run_type.clone(),
        connector: prepared.connector(),
        full_refresh: prepared.run_config.run_type == RunType::FullRefresh,
        keep_state: prepared.run_config.run_type == RunType::ManualBackfill,
    };
    let choice = prepared.storage.clone();
    let refusals = channels.stats.refusals().clone();
    let opened = blocking(move || -> Result<_, StorageError> {
        let (storage, description) =
            registry::open(&choice.name, &choice.parameters, &choice.base_dir, &info)?;
        let mut storage = contract::enforce(storage, choice.contracts, &info, refusals);
        let state = storage.state()?;
        Ok((storage, description, state))
    });
    let secrets = &prepared.secrets;
    let (storage, description, state) =
        opened.await?.map_err(|error| storage_failure(&error, &|text| secrets.redact(text).into_owned()))?;
    report.storage = description;
    let handle = worker::spawn(storage).map_err(|error| storage_failure(&error, &str::to_owned))?;
    Ok((handle, state))
}

/// Instantiates the guest and calls its `run`. What it had set since its last
/// commit comes back too.
async fn call(
    prepared: &Prepared,
    channels: &Channels,
    start: &Start<'_>,
    gate: HttpGate,
    bridge: Bridge,
) -> (Result<(), Failure>, StateChanges) {
    let run_config = prepared.resolved.ow_run_config(&start.state, start.preview_rows);
    let environment = [
        ("OW_CONFIG", prepared.resolved.ow_config.as_str()),
        ("OW_RUN_CONFIG", run_config.as_str()),
        ("OW_DATAMART_ID", prepared.data_mart_id.as_str()),
        ("OW_RUN_ID", start.run_id),
    ];
    let options = GuestOptions { environment: &environment, mounts: &prepared.grants.mounts, scratch: None };
    let mut session = match Session::open(&prepared.component, channels, &options, gate, bridge).await {
        Ok(session) => session,
        Err(failure) => return (Err(failure), StateChanges::new()),
    };
    let result = run_guest(prepared, channels, &mut session).await;
    tell_audit(channels, &session);
    let left = session.left().await;
    channels.log.dropped_elsewhere(session.dropped_log_lines());
    let interrupted = matches!(&result, Err(failure) if failure.class == FailureClass::Interrupted);
    // A failure of the storage explains whatever the guest made of it.
    let result = match &left.failed {
        Some(error) if !interrupted => Err(storage_failure(error, &|text| channels.log.clean(text))),
        _ => result.map_err(|failure| explain(failure, &session, channels)),
    };
    (result, left.changes)
}

/// Hands what the guest did in its folders, and what was refused to it, to the report.
pub(super) fn tell_audit(channels: &Channels, session: &Session) {
    let (folders, refusals) = session.audit();
    channels.stats.audit().add_folders(folders);
    let clean = |text: String| channels.log.clean(&text);
    for DeniedCount { denied: Denied { attempt, reason, grant }, count } in refusals {
        let denied = Denied { attempt: clean(attempt), reason: clean(reason), grant: grant.map(clean) };
        if channels.stats.denied_times(&denied, count) {
            channels.log.emit(&Event::Denied(denied));
        }
    }
}

/// Calls the guest's `run`, and says how it went.
async fn run_guest(prepared: &Prepared, channels: &Channels, session: &mut Session) -> Result<(), Failure> {
    let answer = session.run().await;
    if channels.control.cancel().is_cancelled() {
        // Whatever it says now: what it returned early may not be whole.
        let failure = Failure::new(FailureClass::Interrupted, "interrupted").retryable();
        return Err(match answer {
            Err(stopped) if stopped.class == FailureClass::Interrupted => stopped.retryable(),
            Ok(Err(error)) if error.kind == ErrorKind::Cancelled => {
                failure_of(error, true, |text| channels.log.clean(text))
            }
            _ => failure,
        });
    }
    answer?.map_err(|error| failure_of(error, false, |text| channels.log.clean(text)))?;
    if let Some((count, first)) = session.refused().await {
        let message = format!("the connector went on although {count} of its batches were refused: {first}");
        return Err(Failure::new(FailureClass::Connector, message)
            .with_hint("the refused rows are missing; report it to the connector's author"));
    }
    if prepared.run_config.run_type == RunType::FullRefresh {
        empty_the_rest(prepared, channels, session).await?;
    }
    Ok(())
}

/// A full refresh replaces every table that the configuration's streams name,
/// those too that got no rows this time.
async fn empty_the_rest(
    prepared: &Prepared,
    channels: &Channels,
    session: &mut Session,
) -> Result<(), Failure> {
    let streams = session.discover().await?;
    let refused = |error| failure_of(error, false, |text| channels.log.clean(text));
    let tables = schema::tables(streams.map_err(refused)?, &prepared.grants.limits).map_err(refused)?;
    session.open_missing(tables).await.map_err(refused)
}

/// Adds what the sandbox knows about a failure of the guest.
fn explain(failure: Failure, session: &Session, channels: &Channels) -> Failure {
    if failure.class == FailureClass::Connector
        && let Some(scratch) = session.refused_scratch()
    {
        return scratch;
    }
    let tells = matches!(failure.class, FailureClass::Connector | FailureClass::Limit);
    if let Some(key) = channels.stats.http_limit().filter(|_| tells) {
        let flag = key.replace('_', "-");
        return failure.with_hint(format!(
            "a request ran into a limit: raise it with --{flag}, or `{key}` in the configuration's sandbox section"
        ));
    }
    if failure.class == FailureClass::Denied
        && let Some(by) = channels.stats.audit().network_denied_by()
    {
        return failure.with_hint(format!("the network is denied by {by}"));
    }
    let denials = channels.stats.denials();
    let grants: Vec<&str> = denials.iter().filter_map(|count| count.denied.grant.as_deref()).collect();
    if failure.class == FailureClass::Denied && !grants.is_empty() {
        return failure.with_hint(format!("grant it with {}", grants.join(" ")));
    }
    failure
}

/// Ends the run in the storage.
async fn end(
    storage: &StorageHandle,
    channels: &Channels,
    result: Result<(), Failure>,
    changes: StateChanges,
) -> Result<(), Failure> {
    let (outcome, error) = match &result {
        Ok(()) => (Outcome::Succeeded, None),
        Err(failure) if failure.class == FailureClass::Interrupted => {
            (Outcome::Interrupted, Some(failure.message.clone()))
        }
        Err(failure) => (Outcome::Failed, Some(failure.message.clone())),
    };
    let finished = storage.finish(outcome, changes, error).await;
    match (result, finished) {
        (Ok(()), Ok(())) => {
            let (commits, rows) = channels.stats.committed(true);
            channels.log.emit(&Event::Committed { commits, rows });
            Ok(())
        }
        (Ok(()), Err(error)) => Err(storage_failure(&error, &|text| channels.log.clean(text))),
        (Err(failure), _) => Err(failure),
    }
}

/// What a failure of the storage means to the operator.
pub(super) fn storage_failure(error: &StorageError, clean: &dyn Fn(&str) -> String) -> Failure {
    let message = clean(&error.to_string());
    match error {
        StorageError::Config { parameter, .. } => {
            let place = match parameter {
                Some(parameter) => format!("storage.config.{parameter}"),
                None => "storage".to_owned(),
            };
            Failure::new(FailureClass::Config, format!("{place}: {message}"))
                .with_parameter(parameter.clone())
        }
        StorageError::Busy { .. } => Failure::new(FailureClass::Storage, message).retryable(),
        StorageError::Failed { retryable: true, .. } => {
            Failure::new(FailureClass::Storage, message).retryable()
        }
        _ => Failure::new(FailureClass::Storage, message),
    }
}

fn summarize(channels: &Channels, report: &mut RunReport) {
    let stats = &channels.stats;
    report.streams = stats.streams();
    report.quarantine = stats.refusals().table();
    report.commits = stats.commits();
    report.requests = stats.requests();
    (report.request_bytes, report.response_bytes) = stats.http_bytes();
    report.denied = stats.denials();
    report.audit = stats.audit().report();
    report.dropped_log_lines = channels.log.dropped();
    report.peak_memory = channels.control.peak_memory();
    report.cpu_ms = millis(channels.control.cpu());
}

/// Tells progress until it is dropped.
struct Telling(tokio::task::JoinHandle<()>);

impl Telling {
    fn start(channels: &Channels) -> Self {
        let channels = channels.clone();
        Self(tokio::spawn(async move {
            let mut told = None;
            loop {
                tokio::time::sleep(PROGRESS).await;
                let progress = channels.stats.progress(channels.control.memory());
                if told.as_ref() != Some(&progress) {
                    channels.log.emit(&Event::Progress(progress.clone()));
                    told = Some(progress);
                }
            }
        }))
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.abort();
    }
}
