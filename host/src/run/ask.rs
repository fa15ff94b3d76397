//! Calls into a guest that write nothing: its spec, its check, its streams.

use std::sync::{Arc, OnceLock};

use super::execute::tell_audit;
use super::observe::Observer;
use super::prepare::Prepared;
use super::session::Session;
use super::{RunnerOptions, describe_limits};
use crate::bridge::bindings::exports::ow::connector::connector::ConnectorSpec as WitSpec;
use crate::bridge::bindings::ow::connector::types::{Error, ErrorKind};
use crate::bridge::state::RunState;
use crate::bridge::{Bridge, BridgeOptions, schema};
use crate::cancel::Cancel;
use crate::config::{ConnectorSpec, Secrets};
use crate::failure::{Failure, FailureClass};
use crate::report::log::RunLog;
use crate::report::stats::Stats;
use crate::sandbox::control::Control;
use crate::sandbox::guest::GuestOptions;
use crate::sandbox::http::{HttpClient, HttpGate};
use crate::sandbox::{Component, Limits, Origin};
use crate::storage::TableSchema;

/// Trust roots and proxies of the system, which all runs share.
static SYSTEM: OnceLock<HttpClient> = OnceLock::new();

/// What is told of and kept about a session.
#[derive(Clone)]
pub(super) struct Channels {
    pub(super) stats: Arc<Stats>,
    pub(super) log: Arc<RunLog>,
    pub(super) control: Arc<Control>,
}

impl Channels {
    pub(super) fn new(limits: Limits, cancel: Cancel, log: Arc<RunLog>) -> Self {
        let control = Control::new(limits, cancel, Arc::clone(&log));
        Self { stats: Arc::default(), log, control }
    }

    /// A bridge without a storage.
    fn bridge(&self) -> Bridge {
        Bridge::new(BridgeOptions {
            storage: None,
            state: RunState::default(),
            stats: Arc::clone(&self.stats),
            log: Arc::clone(&self.log),
            limits: self.control.limits().clone(),
            cancel: self.control.cancel().clone(),
            full_refresh: false,
        })
    }
}

/// A session that can reach nothing and knows nothing.
async fn describing(component: &Component, limits: &Limits, cancel: &Cancel) -> Result<Session, Failure> {
    let limits = describe_limits(limits);
    let log = RunLog::new(None, Arc::new(Secrets::new()), &limits);
    let channels = Channels::new(limits, cancel.clone(), log);
    let gate = closed_gate(&channels);
    Session::open(component, &channels, &GuestOptions::default(), gate, channels.bridge()).await
}

/// A gate that no request passes.
fn closed_gate(channels: &Channels) -> HttpGate {
    gate_of(&system_client(), channels, Vec::new(), Arc::new(Secrets::new()))
}

/// The gate of a run.
pub(super) fn gate(
    options: &RunnerOptions,
    prepared: &Prepared,
    channels: &Channels,
    secrets: Arc<Secrets>,
) -> Result<HttpGate, Failure> {
    let client = match (prepared.grants.ca_file.as_deref(), options.resolver.clone()) {
        (None, None) => system_client(),
        (file, resolver) => HttpClient::new(file, resolver).map_err(|message| {
            Failure::new(FailureClass::Config, message)
                .with_hint("check --ca-file, or `ca_file` in the sandbox section")
        })?,
    };
    Ok(gate_of(&client, channels, prepared.granted_origins(), secrets))
}

fn system_client() -> HttpClient {
    SYSTEM.get_or_init(HttpClient::system).clone()
}

fn gate_of(
    client: &HttpClient,
    channels: &Channels,
    origins: Vec<Origin>,
    secrets: Arc<Secrets>,
) -> HttpGate {
    let observer = Arc::new(Observer { stats: Arc::clone(&channels.stats), log: Arc::clone(&channels.log) });
    HttpGate::new(client, origins, channels.control.limits(), secrets, observer)
}

/// What a component says of itself.
pub(super) async fn spec(
    component: &Component,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<ConnectorSpec, Failure> {
    let mut session = describing(component, limits, cancel).await?;
    ask_spec(component, &mut session).await
}

async fn ask_spec(component: &Component, session: &mut Session) -> Result<ConnectorSpec, Failure> {
    let spec = session.spec().await.map_err(|failure| Failure {
        message: format!("{}: asked what it is, the component failed: {}", component.name, failure.message),
        class: FailureClass::Component,
        ..failure
    })?;
    let unsound = |why: &str| {
        Failure::new(
            FailureClass::Component,
            format!("{}: the connector's own description is unsound: {why}", component.name),
        )
        .with_hint("report it to the connector's author")
    };
    let spec = to_spec(spec).map_err(|why| unsound(&why))?;
    let problems = spec.check();
    match problems.first() {
        None => Ok(spec),
        Some(first) => Err(unsound(&format!("{}: {}", first.place, first.message))),
    }
}

fn to_spec(spec: WitSpec) -> Result<ConnectorSpec, String> {
    Ok(ConnectorSpec {
        name: spec.name,
        version: spec.version,
        title: spec.title,
        description: spec.description,
        documentation_url: spec.documentation_url,
        config_schema: ConnectorSpec::parse_schema(&spec.config_schema)?,
        network: spec.network,
        plain_secrets: spec.plain_secrets,
    })
}

/// What a component says of itself, and its streams if they do not depend on a
/// configuration.
pub(super) async fn describe(
    component: &Component,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<(ConnectorSpec, Option<Vec<TableSchema>>), Failure> {
    let mut session = describing(component, limits, cancel).await?;
    let spec = ask_spec(component, &mut session).await?;
    let streams = session.discover().await;
    let streams = streams.ok().and_then(Result::ok);
    let streams = streams.and_then(|streams| schema::tables(streams, limits).ok());
    Ok((spec, streams))
}

/// A session with the run's configuration and grants, but without storage.
async fn configured(options: &RunnerOptions, prepared: &Prepared) -> Result<(Session, Channels), Failure> {
    let secrets = Arc::clone(&prepared.secrets);
    let limits = prepared.grants.limits.clone();
    let log = RunLog::new(options.events.clone(), Arc::clone(&secrets), &limits);
    let channels = Channels::new(limits, options.cancel.clone(), log);
    channels.stats.audit().grant(prepared.granted());
    let gate = gate(options, prepared, &channels, secrets)?;
    let run_config = prepared.resolved.ow_run_config(&std::collections::BTreeMap::new(), None);
    let environment = [
        ("OW_CONFIG", prepared.resolved.ow_config.as_str()),
        ("OW_RUN_CONFIG", run_config.as_str()),
        ("OW_DATAMART_ID", prepared.data_mart_id.as_str()),
        ("OW_RUN_ID", ""),
    ];
    let guest = GuestOptions { environment: &environment, mounts: &prepared.grants.mounts, scratch: None };
    let session = Session::open(&prepared.component, &channels, &guest, gate, channels.bridge()).await?;
    Ok((session, channels))
}

/// Lets the connector reach its source.
pub(super) async fn check(options: &RunnerOptions, prepared: &Prepared) -> Result<(), Failure> {
    let (mut session, channels) = configured(options, prepared).await?;
    let answer = session.check().await;
    tell_audit(&channels, &session);
    answer?.map_err(|error| connector_failure(options, prepared, error))
}

/// The streams that a run with this configuration can produce.
pub(super) async fn discover(
    options: &RunnerOptions,
    prepared: &Prepared,
) -> Result<Vec<TableSchema>, Failure> {
    let (mut session, channels) = configured(options, prepared).await?;
    let answer = session.discover().await;
    tell_audit(&channels, &session);
    let streams = answer?.map_err(|error| connector_failure(options, prepared, error))?;
    schema::tables(streams, &prepared.grants.limits)
        .map_err(|error| connector_failure(options, prepared, error))
}

fn connector_failure(options: &RunnerOptions, prepared: &Prepared, error: Error) -> Failure {
    let secrets = &prepared.secrets;
    let clean = |text: &str| secrets.redact(&crate::report::text::plain(&secrets.redact(text))).into_owned();
    failure_of(error, options.cancel.is_cancelled(), clean)
}

/// What an error that a connector returned means to the operator.
pub(super) fn failure_of(error: Error, cancelled: bool, clean: impl Fn(&str) -> String) -> Failure {
    let (class, retryable) = match error.kind {
        ErrorKind::Config => (FailureClass::Config, false),
        ErrorKind::RateLimited | ErrorKind::Unavailable => (FailureClass::Connector, true),
        ErrorKind::Denied => (FailureClass::Denied, false),
        ErrorKind::LimitExceeded => (FailureClass::Limit, false),
        ErrorKind::Cancelled if cancelled => (FailureClass::Interrupted, true),
        ErrorKind::Auth | ErrorKind::InvalidData | ErrorKind::Cancelled | ErrorKind::Internal => {
            (FailureClass::Connector, false)
        }
    };
    let message = clean(&error.message);
    let message =
        if message.is_empty() { "the connector failed without a message".to_owned() } else { message };
    let parameter = error.parameter.as_deref().map(clean);
    let mut failure = Failure::new(class, message).with_parameter(parameter).from_connector();
    failure.retryable = retryable;
    match (error.kind, error.retry_after_ms) {
        (_, Some(ms)) => {
            failure.with_hint(format!("the source asks to wait {} s before the next try", ms.div_ceil(1000)))
        }
        (ErrorKind::Auth, _) => failure.with_hint("check the credentials in the configuration"),
        (ErrorKind::Unavailable | ErrorKind::RateLimited, _) => {
            failure.with_hint("a later run may succeed without any change")
        }
        _ => failure,
    }
}
