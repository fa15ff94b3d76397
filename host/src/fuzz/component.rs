//! Components that are damaged, forged or generated.

use std::sync::Arc;
use std::time::{Duration as Time, Instant};

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component as Compiled, Linker, Val};

use super::fits_a_line;
use super::input::Input;
use crate::cancel::Cancel;
use crate::config::SandboxFlags;
use crate::config::Secrets;
use crate::failure::{Failure, FailureClass};
use crate::report::Denied;
use crate::report::audit::Traffic;
use crate::report::log::RunLog;
use crate::run::{CacheOption, Runner, RunnerOptions};
use crate::sandbox::control::Control;
use crate::sandbox::guest::{self, Guest, GuestOptions, GuestState};
use crate::sandbox::http::{HttpClient, HttpGate, HttpObserver, HttpState};
use crate::sandbox::{ByteSize, Duration, LimitOverrides, engine};

/// The smallest connector, in `tests/fuzz/seeds`.
const CONNECTOR: &[u8] = include_bytes!("../../../tests/fuzz/seeds/component/connector.wasm");

/// How long the sandbox may need beyond its limit of time: a generous bound,
/// for machines that have other things to do.
const SLACK: Time = Time::from_secs(20);

const MEMORY: ByteSize = ByteSize::mib(2);

fn limits() -> LimitOverrides {
    LimitOverrides {
        memory: Some(MEMORY),
        timeout: Some(Duration::secs(5)),
        cpu_time: "100ms".parse().ok(),
        call_bytes: Some(ByteSize::kib(256)),
        component_bytes: Some(ByteSize::mib(1)),
        handles: Some(100),
        ..LimitOverrides::default()
    }
}

/// Bytes that start as a component does, or edits of a sound connector: see
/// [`connector`].
pub fn component(bytes: &[u8]) {
    if bytes.first() == Some(&0) {
        connector(bytes);
    } else {
        connector(&Input::new(bytes).edit(CONNECTOR, 6));
    }
}

/// A file is refused as a component, or it is a connector that describes itself
/// within the limits; a message fits a line.
pub fn connector(wasm: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("connector.wasm");
    std::fs::write(&path, wasm).expect("a file");
    let started = Instant::now();
    let sandbox = SandboxFlags { limits: limits(), ..SandboxFlags::default() };
    let runner = Runner::new(RunnerOptions { cache: CacheOption::Off, sandbox, ..RunnerOptions::default() });
    let inspection = wait(runner.inspect(path));
    assert!(started.elapsed() < limits().resolve().timeout.get() + SLACK, "{:?}", started.elapsed());
    match inspection {
        Ok(inspection) => match (inspection.spec, inspection.failure) {
            (Some(spec), None) => assert!(spec.check().is_empty()),
            (None, Some(failure)) => assert_told(&failure),
            (spec, failure) => panic!("{spec:?}, {failure:?}"),
        },
        // Larger than a component may be.
        Err(failure) => assert_eq!(failure.class, FailureClass::Limit),
    }
}

/// A component that need not be a connector is instantiated and its functions
/// are called, with every limit on.
pub fn generated(wasm: &[u8]) {
    let engine = engine::shared().expect("an engine");
    let Ok(component) = Compiled::new(engine, wasm) else { return };
    let limits = limits().resolve();
    let log = RunLog::new(None, Arc::new(Secrets::new()), &limits);
    let control = Control::new(limits.clone(), Cancel::new(), Arc::clone(&log));
    let ran = wait(run(&component, &control, &log));
    assert!(control.wall() < limits.timeout.get() + SLACK, "{:?}", control.wall());
    assert!(control.peak_memory() <= MEMORY.get(), "{} bytes", control.peak_memory());
    if let Err(failure) = ran {
        assert_told(&failure);
    }
}

fn assert_told(failure: &Failure) {
    let expected = [FailureClass::Component, FailureClass::Connector, FailureClass::Limit];
    assert!(expected.contains(&failure.class), "{failure:?}");
    assert!(fits_a_line(&failure.message), "{:?}", failure.message);
    assert!(failure.message.len() < 64 * 1024, "{} bytes of message", failure.message.len());
}

/// Instantiates a component whose imports trap, and calls what takes nothing.
async fn run(component: &Compiled, control: &Arc<Control>, log: &Arc<RunLog>) -> Result<(), Failure> {
    let engine = engine::shared().expect("an engine");
    let mut linker: Linker<GuestState<()>> = Linker::new(engine);
    guest::add_to_linker(&mut linker).expect("a linker");
    linker.allow_shadowing(true);
    let unfit = |error: wasmtime::Error| Failure::new(FailureClass::Component, format!("{error:#}"));
    if linker.define_unknown_imports_as_traps(component).is_err() {
        return Ok(());
    }
    let client = HttpClient::system();
    let gate = HttpGate::new(&client, Vec::new(), control.limits(), Arc::new(Secrets::new()), Arc::new(Deaf));
    let http = HttpState::new(gate, control.limits());
    let mut guest = Guest::new(engine, &GuestOptions::default(), control, log, http, ())?;
    let Ok(pre) = linker.instantiate_pre(component).map_err(unfit) else { return Ok(()) };
    let instance = guest.call(|store| pre.instantiate_async(store)).await?;
    let exports = component.component_type();
    for (name, item) in exports.exports(engine) {
        let ComponentItem::ComponentFunc(ty) = item.ty else { continue };
        if ty.params().len() > 0 {
            continue;
        }
        let Some(function) = instance.get_func(&mut guest.store, name) else { continue };
        let mut results = vec![Val::Bool(false); ty.results().len()];
        guest.call(|store| async move { function.call_async(store, &[], &mut results).await }).await?;
    }
    Ok(())
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// Hears nothing: no request passes.
struct Deaf;

impl HttpObserver for Deaf {
    fn request(&self) {}
    fn sent(&self, _: u64) {}
    fn received(&self, _: u64) {}
    fn denied(&self, _: Denied) {}
    fn noted(&self, _: &str) {}
    fn failed(&self, _: &str) {}
    fn traffic(&self, _: &str) -> Arc<Traffic> {
        Arc::default()
    }
    fn secret_used(&self, _: &str, _: &str, _: u64) {}
}
