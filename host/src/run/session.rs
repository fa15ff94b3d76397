//! A connector that is ready to be called, in this process or in one of its own.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::ask::Channels;
use crate::bridge::Bridge;
use crate::bridge::bindings::exports::ow::connector::connector::ConnectorSpec;
use crate::bridge::bindings::ow::connector::types::{Error, Stream};
use crate::bridge::imports::Imports;
use crate::bridge::instance::Instance;
use crate::failure::Failure;
#[cfg(target_os = "linux")]
use crate::isolation::session as apart;
use crate::report::DeniedCount;
use crate::report::audit::FolderUse;
use crate::sandbox::Component;
use crate::sandbox::component::Code;
use crate::sandbox::guest::GuestOptions;
use crate::sandbox::http::{HttpGate, HttpState};
use crate::storage::{StateChanges, StorageError, TableSchema};

/// A connector that is ready to be called.
pub(super) struct Session {
    guest: Guest,
    bridge: Arc<Mutex<Bridge>>,
}

enum Guest {
    Here(Box<Instance>),
    #[cfg(target_os = "linux")]
    Apart(Box<apart::Session>),
}

/// What a run left behind in the bridge.
pub(super) struct Left {
    /// The failure of the storage, if it failed.
    pub(super) failed: Option<StorageError>,
    /// What the guest had set since its last commit.
    pub(super) changes: StateChanges,
}

impl Session {
    /// Makes a component ready, with everything that it may use.
    pub(super) async fn open(
        component: &Component,
        channels: &Channels,
        options: &GuestOptions<'_>,
        gate: HttpGate,
        bridge: Bridge,
    ) -> Result<Self, Failure> {
        let (control, log) = (&channels.control, &channels.log);
        let bridge = Arc::new(Mutex::new(bridge));
        let guest = match component.code() {
            Code::Here(code) => {
                let http = HttpState::new(gate, control.limits());
                let imports = Imports::Here(Arc::clone(&bridge));
                let instance =
                    Instance::new((code, &component.name), options, control, log, http, imports).await?;
                Guest::Here(Box::new(instance))
            }
            #[cfg(target_os = "linux")]
            Code::Apart(program, code) => {
                let services = apart::Services {
                    bridge: Arc::clone(&bridge),
                    gate,
                    log: Arc::clone(log),
                    stats: Arc::clone(&channels.stats),
                    control: Arc::clone(control),
                };
                let program = (program, code, component.name.as_str());
                let opened = apart::Session::open(program, options, services);
                Guest::Apart(Box::new(control.bounded(opened).await?))
            }
        };
        Ok(Self { guest, bridge })
    }

    /// What the connector says of itself.
    pub(super) async fn spec(&mut self) -> Result<ConnectorSpec, Failure> {
        match &mut self.guest {
            Guest::Here(instance) => instance.spec().await,
            #[cfg(target_os = "linux")]
            Guest::Apart(session) => session.spec().await,
        }
    }

    /// Lets the connector reach its source.
    pub(super) async fn check(&mut self) -> Result<Result<(), Error>, Failure> {
        match &mut self.guest {
            Guest::Here(instance) => instance.check().await,
            #[cfg(target_os = "linux")]
            Guest::Apart(session) => session.check().await,
        }
    }

    /// The streams that it can produce.
    pub(super) async fn discover(&mut self) -> Result<Result<Vec<Stream>, Error>, Failure> {
        match &mut self.guest {
            Guest::Here(instance) => instance.discover().await,
            #[cfg(target_os = "linux")]
            Guest::Apart(session) => session.discover().await,
        }
    }

    /// Its run.
    pub(super) async fn run(&mut self) -> Result<Result<(), Error>, Failure> {
        match &mut self.guest {
            Guest::Here(instance) => instance.run().await,
            #[cfg(target_os = "linux")]
            Guest::Apart(session) => session.run().await,
        }
    }

    /// What the guest did in its folders, and what was refused to it.
    pub(super) fn audit(&self) -> (Vec<FolderUse>, Vec<DeniedCount>) {
        match &self.guest {
            Guest::Here(instance) => instance.audit(),
            #[cfg(target_os = "linux")]
            Guest::Apart(session) => session.audit(),
        }
    }

    /// The limit of the scratch folder that the guest ran into, if it did.
    pub(super) fn refused_scratch(&self) -> Option<Failure> {
        match &self.guest {
            Guest::Here(instance) => instance.refused_scratch(),
            #[cfg(target_os = "linux")]
            Guest::Apart(session) => session.refused_scratch(),
        }
    }

    /// Log lines that were dropped before they reached this process.
    pub(super) fn dropped_log_lines(&self) -> u64 {
        match &self.guest {
            Guest::Here(_) => 0,
            #[cfg(target_os = "linux")]
            Guest::Apart(session) => session.dropped_log_lines(),
        }
    }

    /// Batches that were refused, and why the first was.
    pub(super) async fn refused(&mut self) -> Option<(u64, String)> {
        self.bridge.lock().await.refused().cloned()
    }

    /// Opens the tables that are not open yet.
    pub(super) async fn open_missing(&mut self, tables: Vec<TableSchema>) -> Result<(), Error> {
        self.bridge.lock().await.open_missing(tables).await
    }

    /// What the run left behind.
    pub(super) async fn left(&mut self) -> Left {
        let bridge = self.bridge.lock().await;
        Left { failed: bridge.failed().cloned(), changes: bridge.state.changes().clone() }
    }
}
