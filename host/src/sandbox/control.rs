//! What stops a guest: time, processor time, memory and cancellation, measured
//! and enforced in one place.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use wasmtime::component::ResourceTableError;
use wasmtime::{Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::Limits;
use crate::cancel::Cancel;
use crate::failure::{Failure, FailureClass};
use crate::report::log::RunLog;
use crate::report::text::{cut, plain};

/// The meters and the brakes of one guest. The store, the host's functions and
/// the one who waits for the guest share it.
#[derive(Debug)]
pub struct Control {
    limits: Limits,
    cancel: Cancel,
    log: Arc<RunLog>,
    started: Instant,
    memory: AtomicU64,
    peak_memory: AtomicU64,
    /// The size that memory would have grown to when growth was last refused.
    refused_memory: AtomicU64,
    cpu_nanos: AtomicU64,
    /// Thread time at which the guest's current slice started.
    slice_start: AtomicU64,
}

/// The guest used up its processor time.
#[derive(Debug, thiserror::Error)]
#[error("processor time used up")]
struct CpuTimeUsedUp;

impl Control {
    /// The meters at zero; the time limit runs from now.
    #[must_use]
    pub fn new(limits: Limits, cancel: Cancel, log: Arc<RunLog>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            cancel,
            log,
            started: Instant::now(),
            memory: AtomicU64::new(0),
            peak_memory: AtomicU64::new(0),
            refused_memory: AtomicU64::new(0),
            cpu_nanos: AtomicU64::new(0),
            slice_start: AtomicU64::new(0),
        })
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The wish that the run ends.
    #[must_use]
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Where the guest's lines go.
    pub(crate) fn log(&self) -> &RunLog {
        &self.log
    }

    /// Bytes that the guest's memories and tables take now.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// The most that they took.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        self.peak_memory.load(Ordering::Relaxed)
    }

    /// Processor time of the guest and of the host's functions that it called.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_nanos.load(Ordering::Relaxed))
    }

    /// Time since the start.
    #[must_use]
    pub fn wall(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes over what a guest in another process has used.
    pub(crate) fn measured(&self, memory: u64, peak_memory: u64, cpu_nanos: u64) {
        self.memory.store(memory, Ordering::Relaxed);
        self.peak_memory.fetch_max(peak_memory.max(memory), Ordering::Relaxed);
        self.cpu_nanos.fetch_max(cpu_nanos, Ordering::Relaxed);
    }

    /// Adds to the guest's memory, or refuses.
    pub(crate) fn grow_memory(&self, bytes: usize) -> bool {
        let wanted = self.memory().saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if wanted > self.limits.memory.get() {
            self.refused_memory.fetch_max(wanted, Ordering::Relaxed);
            return false;
        }
        self.memory.store(wanted, Ordering::Relaxed);
        self.peak_memory.fetch_max(wanted, Ordering::Relaxed);
        true
    }

    /// What the engine does at a tick of its clock: goes on, or stops the guest.
    pub(crate) fn tick(&self) -> wasmtime::Result<UpdateDeadline> {
        let slice = thread_nanos().saturating_sub(self.slice_start.load(Ordering::Relaxed));
        if self.cpu() + Duration::from_nanos(slice) > self.limits.cpu_time.get() {
            return Err(wasmtime::Error::new(CpuTimeUsedUp));
        }
        Ok(UpdateDeadline::Yield(1))
    }

    /// Waits for a call into the guest, as long as the limits and the operator
    /// allow. If it does not come back by itself, the guest must not be used
    /// again.
    pub(crate) async fn watch<R>(
        &self,
        call: impl Future<Output = wasmtime::Result<R>>,
    ) -> Result<R, Failure> {
        let call = pin!(call);
        let call = Metered { control: self, call };
        self.bounded(async { call.await.map_err(|error| self.explain(&error)) }).await
    }

    /// Waits for work as long as the limits and the operator allow.
    pub(crate) async fn bounded<R>(
        &self,
        work: impl Future<Output = Result<R, Failure>>,
    ) -> Result<R, Failure> {
        let work = pin!(work);
        let timeout = self.limits.timeout.get().saturating_sub(self.wall());
        let cancelled = async {
            self.cancel.cancelled().await;
            tokio::time::sleep(self.limits.grace.get()).await;
        };
        tokio::select! {
            result = work => result,
            () = tokio::time::sleep(timeout) => Err(limit("timeout", format!(
                "the run took longer than {}", self.limits.timeout
            ))),
            () = cancelled => Err(Failure::new(
                FailureClass::Interrupted,
                format!("interrupted; the connector did not return within {} and was stopped", self.limits.grace),
            )),
        }
    }

    /// What an error of the engine means to the operator.
    fn explain(&self, error: &wasmtime::Error) -> Failure {
        if let Some(failure) = error.downcast_ref::<Failure>() {
            return failure.clone();
        }
        if error.downcast_ref::<CpuTimeUsedUp>().is_some() {
            return limit(
                "cpu_time",
                format!("the connector used more than {} of processor time", self.limits.cpu_time),
            );
        }
        // A guest that cannot have memory is not instantiated, or aborts; a trap
        // of another kind has another reason.
        let trap = error.downcast_ref::<Trap>();
        let aborted = trap.is_none_or(|trap| *trap == Trap::UnreachableCodeReached);
        let refused = self.refused_memory.load(Ordering::Relaxed);
        if refused > 0 && aborted {
            return limit(
                "memory",
                format!(
                    "the connector was refused memory beyond {} (it asked for {refused} bytes in all) and stopped",
                    self.limits.memory
                ),
            );
        }
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            return Failure::new(
                FailureClass::Connector,
                format!("the connector ended its process with exit code {} instead of returning", exit.0),
            );
        }
        let text = format!("{error:#}");
        if text.contains("fuel allocated for hostcalls") {
            return limit(
                "call_bytes",
                format!("the connector handed more than {} to the host in one call", self.limits.call_bytes),
            );
        }
        // Of the engine's random numbers, which have no error of their own.
        if text.contains("requested len") && text.contains("exceeds limit") {
            return limit(
                "random_bytes",
                format!(
                    "the connector asked for more than {} of random bytes in one call",
                    self.limits.random_bytes
                ),
            );
        }
        // Of the engine's header lists, which have no error of their own either.
        if text.contains("total size of fields exceeds limit") {
            return limit(
                "http_header_bytes",
                format!(
                    "the connector made headers of more than {} for one request",
                    self.limits.http_header_bytes
                ),
            );
        }
        let full = matches!(error.downcast_ref(), Some(ResourceTableError::Full));
        if full || text.contains("handle limit exceeded") {
            return limit(
                "handles",
                format!("the connector held more than {} resources", self.limits.handles),
            );
        }
        let place = error.downcast_ref::<WasmBacktrace>().and_then(innermost).unwrap_or_default();
        match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => Failure::new(
                FailureClass::Limit,
                format!(
                    "the connector's stack of {} KiB overflowed{place}",
                    super::engine::WASM_STACK / 1024
                ),
            )
            .with_hint("this limit is fixed: endless or very deep recursion is a bug in the connector"),
            Some(Trap::UnreachableCodeReached) => {
                let why = self.log.last_stderr().map(|lines| format!(": {lines}")).unwrap_or_default();
                Failure::new(FailureClass::Connector, format!("the connector panicked{place}{why}"))
            }
            Some(trap) => {
                Failure::new(FailureClass::Connector, format!("the connector trapped: {trap}{place}"))
            }
            None => Failure::new(
                FailureClass::Connector,
                format!("the connector was stopped: {}", error.root_cause()),
            ),
        }
    }
}

/// A limit was reached; names the setting to change.
pub(crate) fn limit(key: &str, message: impl Into<String>) -> Failure {
    let flag = key.replace('_', "-");
    Failure::new(FailureClass::Limit, message)
        .with_hint(format!("raise it with --{flag}, or `{key}` in the configuration's sandbox section"))
}

/// The innermost function of a backtrace that has a name.
fn innermost(trace: &WasmBacktrace) -> Option<String> {
    let names = trace.frames().iter().filter_map(|frame| frame.func_name());
    let names = names.map(|name| format!("{:#}", rustc_demangle::demangle(name)));
    // Frames of the language's own panic machinery say nothing.
    let mut names = names.filter(|name| {
        !["panic", "abort", "rust_begin_unwind", "__rust", "core::", "std::"].iter().any(|p| name.contains(p))
    });
    let name = names.next()?;
    Some(format!(" in `{}`", cut(&plain(&name), 200)))
}

/// Processor time of this thread.
fn thread_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec)
        .unwrap_or_default()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(time.tv_nsec).unwrap_or_default())
}

/// A call into the guest whose processor time is counted.
struct Metered<'a, F> {
    control: &'a Control,
    call: Pin<&'a mut F>,
}

impl<F: Future> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let start = thread_nanos();
        self.control.slice_start.store(start, Ordering::Relaxed);
        let poll = self.call.as_mut().poll(context);
        let used = thread_nanos().saturating_sub(start);
        self.control.cpu_nanos.fetch_add(used, Ordering::Relaxed);
        poll
    }
}
