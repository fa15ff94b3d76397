//! The contract's imports as the guest calls them: each goes to the bridge, in
//! this process or, from a worker, in the host's.

use std::sync::{Arc, OnceLock};

use tokio::sync::Mutex;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use super::Bridge;
use super::bindings::ow::connector::types::{self, Error};
use super::bindings::ow::connector::{report as wit_report, state as wit_state, storage as wit_storage};
use crate::failure::{Failure, FailureClass};
#[cfg(target_os = "linux")]
use crate::isolation::Remote;
use crate::report::text::{cut, plain};
use crate::report::{Level, LogSource};
use crate::sandbox::control::Control;
use crate::sandbox::guest::GuestState;
use crate::sandbox::{engine, guest};
use crate::storage::WriteMode;

/// Bytes of the unit that a connector counts in.
pub(crate) const UNIT_BYTES: usize = 32;

/// What lies behind the contract's imports.
pub(crate) enum Imports {
    /// The bridge itself, shared with who reads what the run left in it.
    Here(Arc<Mutex<Bridge>>),
    /// The bridge of the host that this process works for.
    #[cfg(target_os = "linux")]
    Host(Box<Remote>),
}

/// The guest's handle to an open table: the number of its writer.
pub struct Writer(u32);

/// What the generated functions work on.
pub(crate) struct View<'a> {
    imports: &'a mut Imports,
    control: &'a Control,
    table: &'a mut ResourceTable,
}

struct HasImports;

impl HasData for HasImports {
    type Data<'a> = View<'a>;
}

/// The linker of every run.
///
/// # Errors
///
/// If this machine cannot run compiled WebAssembly.
pub(crate) fn linker() -> Result<&'static Linker<GuestState<Imports>>, Failure> {
    static LINKER: OnceLock<Linker<GuestState<Imports>>> = OnceLock::new();
    if let Some(linker) = LINKER.get() {
        return Ok(linker);
    }
    let build = || -> wasmtime::Result<_> {
        let mut linker = Linker::new(engine::shared()?);
        guest::add_to_linker(&mut linker)?;
        fn view(state: &mut GuestState<Imports>) -> View<'_> {
            View { imports: &mut state.bridge, control: &state.control, table: &mut state.table }
        }
        types::add_to_linker::<_, HasImports>(&mut linker, view)?;
        wit_storage::add_to_linker::<_, HasImports>(&mut linker, view)?;
        wit_state::add_to_linker::<_, HasImports>(&mut linker, view)?;
        wit_report::add_to_linker::<_, HasImports>(&mut linker, view)?;
        Ok(linker)
    };
    let linker = build().map_err(|error| Failure::new(FailureClass::Internal, format!("{error:#}")))?;
    Ok(LINKER.get_or_init(|| linker))
}

impl From<wit_storage::WriteMode> for WriteMode {
    fn from(mode: wit_storage::WriteMode) -> Self {
        match mode {
            wit_storage::WriteMode::Append => Self::Append,
            wit_storage::WriteMode::Merge => Self::Merge,
            wit_storage::WriteMode::Replace => Self::Replace,
        }
    }
}

impl types::Host for View<'_> {}

impl wit_storage::Host for View<'_> {
    async fn open(
        &mut self,
        stream: types::Stream,
        mode: wit_storage::WriteMode,
    ) -> wasmtime::Result<Result<Resource<Writer>, Error>> {
        let opened = match self.imports {
            Imports::Here(bridge) => bridge.lock().await.open(stream, mode.into()).await,
            #[cfg(target_os = "linux")]
            Imports::Host(remote) => remote.open(stream, mode).await?,
        };
        match opened {
            Ok(number) => Ok(Ok(self.table.push(Writer(number))?)),
            Err(refused) => Ok(Err(refused)),
        }
    }
}

impl wit_storage::HostWriter for View<'_> {
    async fn write(
        &mut self,
        writer: Resource<Writer>,
        rows: wit_storage::Batch,
    ) -> wasmtime::Result<Result<(), Error>> {
        let Writer(number) = *self.table.get(&writer)?;
        match self.imports {
            Imports::Here(bridge) => Ok(bridge.lock().await.write(number, rows).await),
            #[cfg(target_os = "linux")]
            Imports::Host(remote) => remote.write(number, rows).await,
        }
    }

    fn drop(&mut self, writer: Resource<Writer>) -> wasmtime::Result<()> {
        self.table.delete(writer)?;
        Ok(())
    }
}

impl wit_state::Host for View<'_> {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        Ok(match self.imports {
            Imports::Here(bridge) => bridge.lock().await.state.get(&key).cloned(),
            #[cfg(target_os = "linux")]
            Imports::Host(remote) => remote.state.get(&key).cloned(),
        })
    }

    async fn set(&mut self, key: String, value: String) -> wasmtime::Result<Result<(), Error>> {
        match self.imports {
            Imports::Here(bridge) => Ok(bridge.lock().await.set(key, value)),
            #[cfg(target_os = "linux")]
            Imports::Host(remote) => remote.set(key, value).await,
        }
    }

    async fn commit(&mut self) -> wasmtime::Result<Result<(), Error>> {
        match self.imports {
            Imports::Here(bridge) => Ok(bridge.lock().await.commit().await),
            #[cfg(target_os = "linux")]
            Imports::Host(remote) => remote.commit().await,
        }
    }
}

impl wit_report::Host for View<'_> {
    fn log(
        &mut self,
        level: wit_report::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let level = match level {
            wit_report::Level::Trace => Level::Trace,
            wit_report::Level::Debug => Level::Debug,
            wit_report::Level::Info => Level::Info,
            wit_report::Level::Warn => Level::Warn,
            wit_report::Level::Error => Level::Error,
        };
        self.control.log().guest_line(level, LogSource::Connector, &message, &fields);
        Ok(())
    }

    async fn progress(&mut self, done: u64, total: Option<u64>, unit: String) -> wasmtime::Result<()> {
        let unit = plain(cut(&unit, UNIT_BYTES)).into_owned();
        match self.imports {
            Imports::Here(bridge) => bridge.lock().await.stats.said(done, total, unit),
            #[cfg(target_os = "linux")]
            Imports::Host(remote) => remote.said(done, total, unit),
        }
        Ok(())
    }

    fn cancelled(&mut self) -> wasmtime::Result<bool> {
        Ok(self.control.cancel().is_cancelled())
    }
}
