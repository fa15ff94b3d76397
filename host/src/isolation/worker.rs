//! The worker: a process that compiles one component or runs one connector, and
//! can do nothing else. Its standard input is the socket to the host, its
//! standard output the component's code.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;

use super::lockdown::{self, Allowance};
use super::remote::{Link, Remote, RemoteOutlet, Said, Voice};
use super::wire::{self, Answer, Call, Meters, Returned, RunWork, Start, ToHost, ToWorker, Work, path};
use super::{CONNECTION_WINDOW, FRAME, STREAM_WINDOW, compile, make};
use crate::bridge::imports::Imports;
use crate::bridge::instance::Instance;
use crate::bridge::state::RunState;
use crate::cancel::Cancel;
use crate::config::Secrets;
use crate::failure::{Failure, FailureClass};
use crate::report::log::RunLog;
use crate::report::{Event, Sink};
use crate::sandbox::control::Control;
use crate::sandbox::guest::GuestOptions;
use crate::sandbox::http::HttpState;
use crate::sandbox::mount::{Access, Mount};
use crate::sandbox::{cache, engine};

/// Bytes of what the host says first: the configuration is in it.
const MAX_START: u64 = 1024 * 1024 * 1024;
/// Bytes of a message of the host.
const MAX_MESSAGE: usize = 1024;
/// How often the host hears what the guest has used.
const METERS: Duration = Duration::from_millis(100);
/// Open files beside those that the guest may have.
const OWN_FILES: u64 = 64;
/// Memory of a worker beside its guest's: stacks, code, buffers.
const OWN_MEMORY: u64 = 512 * 1024 * 1024;
/// Batches and bodies on their way, each as large as one call may be.
const CALLS_AT_ONCE: u64 = 8;
/// Threads for the guest's files.
const FILE_THREADS: usize = 8;
/// How far the compiler steps back behind runs that go on.
const NICE: i32 = 10;
/// What the kernel allows over the guest's processor time, which is checked here.
const CPU_MARGIN: u64 = 10;

/// Does what the host on standard input asks for.
#[must_use]
pub fn main() -> ExitCode {
    let served = io::stdin().as_fd().try_clone_to_owned().and_then(|socket| serve(UnixStream::from(socket)));
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn serve(mut socket: UnixStream) -> io::Result<()> {
    let start: Start = wire::read_frame(&mut socket, MAX_START)?;
    if start.make != make() {
        let why = format!("the worker is of another make: {} instead of {}", make(), start.make);
        return wire::write_frame(&mut socket, &Err::<(), _>(why));
    }
    match start.work {
        Work::Compile { memory, cpu_seconds, most_code, locked_in } => {
            let (folders, data_bytes, open_files) = (Vec::new(), memory, OWN_FILES);
            let allowance = Allowance { folders, cpu_seconds, data_bytes, open_files };
            // The compiler takes every core: runs that go on come first.
            let _ = rustix::process::nice(NICE);
            enter(&mut socket, &allowance, locked_in)?;
            compile::work(&mut socket, most_code)
        }
        Work::Run(work) => {
            // Its driver takes descriptors that cannot be made later.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .max_blocking_threads(FILE_THREADS)
                .build()?;
            enter(&mut socket, &allowance(&work), true)?;
            socket.set_nonblocking(true)?;
            runtime.block_on(run(socket, *work))
        }
    }
}

fn allowance(work: &RunWork) -> Allowance<'_> {
    let limits = &work.limits;
    let mounts = work.mounts.iter().map(|(folder, _, writable)| (folder.as_path(), *writable));
    let calls = limits.call_bytes.get().saturating_mul(CALLS_AT_ONCE);
    Allowance {
        folders: mounts.chain([(work.scratch.as_path(), true)]).collect(),
        cpu_seconds: limits.cpu_time.get().as_secs().saturating_add(CPU_MARGIN),
        data_bytes: limits.memory.get().saturating_add(calls).saturating_add(OWN_MEMORY),
        open_files: u64::from(limits.handles).saturating_add(OWN_FILES),
    }
}

/// Locks this process in, and tells the host whether it did. What need not be
/// may stay as far open as an old kernel leaves it.
fn enter(socket: &mut UnixStream, allowance: &Allowance<'_>, must_be: bool) -> io::Result<()> {
    let entered = lockdown::enter(allowance);
    let entered = if must_be { entered } else { Ok(()) };
    wire::write_frame(socket, &entered)?;
    entered.map_err(io::Error::other)
}

/// Runs a connector as the host says, until the host is gone.
async fn run(socket: UnixStream, work: RunWork) -> io::Result<()> {
    let io = TokioIo::new(tokio::net::UnixStream::from_std(socket)?);
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .handshake(io)
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(async move {
        let _ = connection.await;
        // Nobody wants to know any more what the guest makes.
        std::process::exit(0);
    });
    let (voice, body) = Voice::new();
    let link = Link::new(sender, voice.clone());
    let control = link.post(path::CONTROL, body.boxed_unsync()).await?;
    let (cancel, calls) = listen(control);
    let mut worker = Worker::new(link, voice, cancel, work);
    worker.serve(calls).await
}

/// Hears what the host says; the connection's end ends the process.
fn listen(mut control: Incoming) -> (Cancel, mpsc::UnboundedReceiver<Call>) {
    let cancel = Cancel::new();
    let (sender, calls) = mpsc::unbounded_channel();
    let raise = cancel.clone();
    tokio::spawn(async move {
        let mut buffer = BytesMut::new();
        while let Some(Ok(frame)) = control.frame().await {
            if let Ok(data) = frame.into_data() {
                buffer.extend_from_slice(&data);
            }
            while let Ok(Some(message)) = wire::take_frame(&mut buffer, MAX_MESSAGE) {
                match wire::decode(&message) {
                    Ok(ToWorker::Call(call)) => drop(sender.send(call)),
                    Ok(ToWorker::Cancel) => raise.cancel(),
                    Err(_) => std::process::exit(1),
                }
            }
        }
    });
    (cancel, calls)
}

/// One run's worth of a worker.
struct Worker {
    link: Link,
    voice: Voice,
    control: Arc<Control>,
    log: Arc<RunLog>,
    said: Said,
    work: RunWork,
    instance: Option<Instance>,
}

impl Worker {
    fn new(link: Link, voice: Voice, cancel: Cancel, work: RunWork) -> Self {
        let lines = voice.clone();
        let sink: Sink = Arc::new(move |event| {
            if let Event::Log { level, source, message, fields } = event {
                let (level, source) = (*level, *source);
                lines.tell(&ToHost::Log { level, source, message: message.clone(), fields: fields.clone() });
            }
        });
        // The host knows the secrets, and redacts them.
        let log = RunLog::new(Some(sink), Arc::new(Secrets::new()), &work.limits);
        let control = Control::new(work.limits.clone(), cancel, Arc::clone(&log));
        Self { link, voice, control, log, said: Said::default(), work, instance: None }
    }

    async fn serve(&mut self, mut calls: mpsc::UnboundedReceiver<Call>) -> io::Result<()> {
        self.tell_meters();
        while let Some(call) = calls.recv().await {
            let returned = self.call(call).await.map_err(Into::into);
            self.tell_said();
            let (folders, refusals) = self.instance.as_ref().map(Instance::audit).unwrap_or_default();
            let answer = Answer {
                returned,
                folders: folders.into_iter().map(|folder| (folder.guest, folder.counts)).collect(),
                refusals: refusals.into_iter().map(Into::into).collect(),
                scratch: self.instance.as_ref().and_then(Instance::refused_scratch).map(Into::into),
                meters: meters(&self.control),
                dropped_log_lines: self.log.dropped(),
            };
            self.voice.tell(&ToHost::Answer(Box::new(answer)));
        }
        Ok(())
    }

    async fn call(&mut self, call: Call) -> Result<Returned, Failure> {
        let instance = match &mut self.instance {
            Some(instance) => instance,
            none => {
                let instance = instantiate(&self.link, &self.control, &self.log, &self.said, &mut self.work);
                none.insert(instance.await?)
            }
        };
        Ok(match call {
            Call::Instantiate => Returned::Nothing(Ok(())),
            Call::Spec => Returned::Spec(instance.spec().await?),
            Call::Check => Returned::Nothing(instance.check().await?),
            Call::Discover => Returned::Streams(instance.discover().await?),
            Call::Run => Returned::Nothing(instance.run().await?),
        })
    }

    /// Tells the host from time to time what the guest has used and says.
    fn tell_meters(&self) {
        let (voice, control, said) = (self.voice.clone(), Arc::clone(&self.control), Arc::clone(&self.said));
        tokio::spawn(async move {
            let mut last = Meters::default();
            loop {
                tokio::time::sleep(METERS).await;
                let now = meters(&control);
                if now != last {
                    voice.tell(&ToHost::Meters(now));
                    last = now;
                }
                if let Some(said) = take(&said) {
                    voice.tell(&said);
                }
            }
        });
    }

    fn tell_said(&self) {
        if let Some(said) = take(&self.said) {
            self.voice.tell(&said);
        }
    }
}

fn take(said: &Said) -> Option<ToHost> {
    said.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn meters(control: &Control) -> Meters {
    let cpu_nanos = u64::try_from(control.cpu().as_nanos()).unwrap_or(u64::MAX);
    Meters { memory: control.memory(), peak_memory: control.peak_memory(), cpu_nanos }
}

async fn instantiate(
    link: &Link,
    control: &Arc<Control>,
    log: &Arc<RunLog>,
    said: &Said,
    work: &mut RunWork,
) -> Result<Instance, Failure> {
    let internal = |error: &dyn std::fmt::Display| {
        Failure::new(FailureClass::Internal, format!("the worker cannot start: {error}"))
    };
    let engine = engine::shared().map_err(|error| internal(&error))?;
    let code = io::stdout().as_raw_fd();
    let component = cache::load_sealed(engine, code).map_err(|error| internal(&format!("{error:#}")))?;
    let mounts: Vec<Mount> = work.mounts.iter().map(to_mount).collect();
    let environment: Vec<(&str, &str)> =
        work.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let options = GuestOptions { environment: &environment, mounts: &mounts, scratch: Some(&work.scratch) };
    let remote = Remote {
        link: link.clone(),
        state: RunState::new(std::mem::take(&mut work.state)),
        limits: control.limits().clone(),
        said: Arc::clone(said),
    };
    let http = HttpState::with_outlet(Box::new(RemoteOutlet::new(link.clone())), control.limits());
    Instance::new((&component, &work.name), &options, control, log, http, Imports::Host(Box::new(remote)))
        .await
}

fn to_mount((host, guest, writable): &(std::path::PathBuf, String, bool)) -> Mount {
    let access = if *writable { Access::ReadWrite } else { Access::ReadOnly };
    Mount { host: host.clone(), guest: guest.clone(), access }
}
