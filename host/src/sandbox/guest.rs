//! A guest and everything it can reach: one store a run, thrown away after it.

use std::path::Path;
use std::sync::Arc;

use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime::{Engine, Store, StoreContextMut};
use wasmtime_wasi::filesystem::FsPerms;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;
use wasmtime_wasi_http::{RequestOptions, WasiHttpCtxView, WasiHttpView};

use super::control::Control;
use super::engine::Ticking;
use super::file_stream;
use super::folders::{self, Folders};
use super::http::HttpState;
use super::limiter::MemoryLimiter;
use super::mount::{Access, Mount, SCRATCH};
use super::quota::{self, Quota};
use super::scratch::{self, Scratch};
use super::sockets::{self, Sockets};
use super::stdio::GuestOutput;
use crate::failure::{Failure, FailureClass};
use crate::report::audit::FolderUse;
use crate::report::log::RunLog;
use crate::report::{DeniedCount, LogSource};

/// What the host keeps for a guest. `B` is what lies behind the imports that
/// are not WASI.
pub struct GuestState<B> {
    pub(crate) table: ResourceTable,
    pub(crate) quota: Arc<Quota>,
    pub(crate) folders: Folders,
    pub(crate) sockets: Sockets,
    /// What lies behind the imports that are not WASI.
    pub bridge: B,
    wasi: WasiCtx,
    http: HttpState,
    limiter: MemoryLimiter,
    pub(crate) control: Arc<Control>,
}

impl<B: Send> WasiView for GuestState<B> {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl<B: Send> WasiHttpView for GuestState<B> {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.http.view(&mut self.table)
    }
}

/// What a guest gets beside its bridge.
#[derive(Debug, Default)]
pub struct GuestOptions<'a> {
    /// Its environment, whole.
    pub environment: &'a [(&'a str, &'a str)],
    /// The folders it sees beside its scratch folder.
    pub mounts: &'a [Mount],
    /// Its scratch folder, if another made it and will remove it.
    pub scratch: Option<&'a Path>,
}

/// A guest's store, and what must live as long.
pub struct Guest<B: 'static> {
    /// The store.
    pub store: Store<GuestState<B>>,
    control: Arc<Control>,
    quota: Arc<Quota>,
    outputs: [GuestOutput; 2],
    _ticking: Ticking,
    _scratch: Option<Scratch>,
}

impl<B: Send + 'static> Guest<B> {
    /// A store with nothing in it yet, and every limit set.
    ///
    /// # Errors
    ///
    /// If a mounted folder cannot be opened, or the scratch folder not made.
    pub(crate) fn new(
        engine: &'static Engine,
        options: &GuestOptions<'_>,
        control: &Arc<Control>,
        log: &Arc<RunLog>,
        http: HttpState,
        bridge: B,
    ) -> Result<Self, Failure> {
        let limits = control.limits();
        let no_scratch = |error: &dyn std::fmt::Display| {
            Failure::new(FailureClass::Internal, format!("cannot make a scratch folder: {error}"))
        };
        let own = match options.scratch {
            None => Some(Scratch::new().map_err(|error| no_scratch(&error))?),
            Some(_) => None,
        };
        let scratch = own.as_ref().map(Scratch::path).or(options.scratch).unwrap_or(Path::new(SCRATCH));
        let quota = Quota::new(scratch::open(scratch).map_err(|error| no_scratch(&error))?, limits);
        let outputs = [LogSource::Stdout, LogSource::Stderr]
            .map(|source| GuestOutput::new(Arc::clone(log), source, limits.log_line.as_usize()));
        let [stdout, stderr] = outputs.clone();

        let mut wasi = WasiCtxBuilder::new();
        wasi.envs(options.environment)
            .stdout(stdout)
            .stderr(stderr)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(limits.random_bytes.get());
        wasi.preopened_dir(scratch, SCRATCH, FsPerms::ReadWrite).map_err(|error| no_scratch(&error))?;
        for mount in options.mounts {
            add_mount(&mut wasi, mount)?;
        }

        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(limits.handles).unwrap_or(usize::MAX));
        let state = GuestState {
            table,
            quota: Arc::clone(&quota),
            folders: Folders::new(options.mounts),
            sockets: Sockets::default(),
            bridge,
            wasi: wasi.build(),
            http,
            limiter: MemoryLimiter(Arc::clone(control)),
            control: Arc::clone(control),
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(limits.call_bytes.as_usize());
        store.set_max_component_handles(usize::try_from(limits.handles).unwrap_or(usize::MAX));
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|cx| cx.data().control.tick());
        Ok(Self {
            store,
            control: Arc::clone(control),
            quota,
            outputs,
            _ticking: Ticking::start(engine),
            _scratch: own,
        })
    }

    /// Waits for a call into the guest within the limits; see [`Control::watch`].
    pub(crate) async fn call<'a, R, F>(
        &'a mut self,
        call: impl FnOnce(&'a mut Store<GuestState<B>>) -> F,
    ) -> Result<R, Failure>
    where
        F: Future<Output = wasmtime::Result<R>> + 'a,
    {
        let result = self.control.watch(call(&mut self.store)).await;
        for output in &self.outputs {
            output.flush();
        }
        result
    }

    /// What the guest did in its folders, and what was refused to it.
    pub(crate) fn audit(&self) -> (Vec<FolderUse>, Vec<DeniedCount>) {
        let GuestState { folders, sockets, .. } = self.store.data();
        let mut refusals = folders.refusals();
        refusals.extend(sockets.refusals());
        (folders.uses(), refusals)
    }

    /// The limit of the scratch folder that the guest ran into, if it did.
    pub(crate) fn refused_scratch(&self) -> Option<Failure> {
        self.quota.refused().map(|(key, message)| super::control::limit(key, message))
    }
}

/// Adds WASI 0.2 and outgoing HTTP, bounded, to a linker.
pub(crate) fn add_to_linker<B: Send + 'static>(linker: &mut Linker<GuestState<B>>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    quota::add_to_linker(linker)?;
    folders::add_to_linker(linker)?;
    file_stream::add_to_linker(linker)?;
    sockets::add_to_linker(linker)?;
    // The engine's own function would show a guest the host's backtrace.
    linker.allow_shadowing(true);
    linker.instance("wasi:io/error@0.2.12")?.func_wrap(
        "[method]error.to-debug-string",
        |cx: StoreContextMut<'_, GuestState<B>>, (error,): (Resource<wasmtime::Error>,)| {
            Ok((format!("{:#}", cx.data().table.get(&error)?),))
        },
    )?;
    // The engine's own leaves a request's options in the table for ever, so that
    // a guest could make only as many requests as it may hold handles.
    linker.instance("wasi:http/outgoing-handler@0.2.12")?.func_wrap(
        "handle",
        |mut cx: StoreContextMut<'_, GuestState<B>>,
         (request, options): (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>)| {
            let state = cx.data_mut();
            let given = options.as_ref().map(Resource::rep);
            let answer = state.http().handle(request, options);
            if let Some(options) = given {
                state.table.delete(Resource::<RequestOptions>::new_own(options))?;
            }
            match answer {
                Ok(future) => Ok((Ok::<_, ErrorCode>(future),)),
                Err(error) => Ok((Err(error.downcast()?),)),
            }
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn add_mount(wasi: &mut WasiCtxBuilder, mount: &Mount) -> Result<(), Failure> {
    mount.check()?;
    let perms = match mount.access {
        Access::ReadOnly => FsPerms::ReadOnly,
        Access::ReadWrite => FsPerms::ReadWrite,
    };
    let added = wasi.preopened_dir(&mount.host, &mount.guest, perms);
    added.map_err(|error| mount.refuse(&error.to_string()))?;
    Ok(())
}
