//! An instance of a connector in this process: a guest, and the functions that
//! it exports.

use std::sync::Arc;

use wasmtime::component::Component;

use super::bindings::exports::ow::connector::connector::ConnectorSpec;
use super::bindings::ow::connector::types::{Error, Stream};
use super::bindings::{HostSide, HostSidePre};
use super::imports::{Imports, linker};
use crate::failure::{Failure, FailureClass};
use crate::report::DeniedCount;
use crate::report::audit::FolderUse;
use crate::report::log::RunLog;
use crate::sandbox::control::Control;
use crate::sandbox::engine;
use crate::sandbox::guest::{Guest, GuestOptions};
use crate::sandbox::http::HttpState;

/// An instance of a connector.
pub(crate) struct Instance {
    guest: Guest<Imports>,
    bindings: HostSide,
}

impl Instance {
    /// Instantiates a component; `name` is its file's, for messages.
    pub(crate) async fn new(
        (component, name): (&Component, &str),
        options: &GuestOptions<'_>,
        control: &Arc<Control>,
        log: &Arc<RunLog>,
        http: HttpState,
        imports: Imports,
    ) -> Result<Self, Failure> {
        let engine =
            engine::shared().map_err(|error| Failure::new(FailureClass::Internal, format!("{error:#}")))?;
        let misfit = |text: String| {
            Failure::new(FailureClass::Component, format!("{name}: {text}"))
                .with_hint("build it again against the WIT package `ow:connector` of this version")
        };
        let linked = linker()?.instantiate_pre(component);
        let linked = linked.map_err(|error| misfit(format!("it does not fit the contract: {error:#}")))?;
        let mut guest = Guest::new(engine, options, control, log, http, imports)?;
        let pre = HostSidePre::new(linked).map_err(|error| misfit(format!("{error:#}")))?;
        let bindings = guest.call(|store| pre.instantiate_async(store)).await?;
        Ok(Self { guest, bindings })
    }

    /// What the connector says of itself.
    pub(crate) async fn spec(&mut self) -> Result<ConnectorSpec, Failure> {
        let connector = self.bindings.ow_connector_connector();
        self.guest.call(|store| connector.call_spec(store)).await
    }

    /// Lets the connector reach its source.
    pub(crate) async fn check(&mut self) -> Result<Result<(), Error>, Failure> {
        let connector = self.bindings.ow_connector_connector();
        self.guest.call(|store| connector.call_check(store)).await
    }

    /// The streams that it can produce.
    pub(crate) async fn discover(&mut self) -> Result<Result<Vec<Stream>, Error>, Failure> {
        let connector = self.bindings.ow_connector_connector();
        self.guest.call(|store| connector.call_discover(store)).await
    }

    /// Its run.
    pub(crate) async fn run(&mut self) -> Result<Result<(), Error>, Failure> {
        let connector = self.bindings.ow_connector_connector();
        self.guest.call(|store| connector.call_run(store)).await
    }

    /// What the guest did in its folders, and what was refused to it.
    pub(crate) fn audit(&self) -> (Vec<FolderUse>, Vec<DeniedCount>) {
        self.guest.audit()
    }

    /// The limit of the scratch folder that the guest ran into, if it did.
    pub(crate) fn refused_scratch(&self) -> Option<Failure> {
        self.guest.refused_scratch()
    }
}
