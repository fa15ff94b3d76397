//! The host's side of a run in a worker: starts it, answers it, and takes its
//! word for nothing.

use std::convert::Infallible;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt;
use tokio::sync::{Mutex, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use super::child::Child;
use super::remote::{AnyBody, fed};
use super::wire::{self, Answer, Call, Returned, RunWork, Start, ToHost, ToWorker, Work, path};
use super::{
    CONNECTION_WINDOW, FRAME, HTTP_REQUESTS, Program, STREAM_WINDOW, batch, cannot_start, http as wire_http,
    make, refused,
};
use crate::bridge::Bridge;
use crate::bridge::bindings::exports::ow::connector::connector::ConnectorSpec;
use crate::bridge::bindings::ow::connector::storage::WriteMode;
use crate::bridge::bindings::ow::connector::types::{Error, Stream};
use crate::bridge::imports::UNIT_BYTES;
use crate::failure::{Failure, FailureClass};
use crate::report::DeniedCount;
use crate::report::audit::FolderUse;
use crate::report::log::RunLog;
use crate::report::stats::Stats;
use crate::report::text::{cut, plain};
use crate::sandbox::control::{Control, limit};
use crate::sandbox::folders::Folders;
use crate::sandbox::guest::GuestOptions;
use crate::sandbox::http::{HttpGate, Outlet};
use crate::sandbox::mount::Access;
use crate::sandbox::scratch::Scratch;
use crate::sandbox::{Limits, Sealed};

/// How long a worker whose time is up has to say what its guest did.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Bytes of a message beside what a call hands over.
const MESSAGE: usize = 1024 * 1024;
/// Bytes of what a worker says when it is locked in.
const MAX_READY: usize = 64 * 1024;
/// Kinds of refusals that a worker may tell.
const REFUSALS: usize = 1000;
/// Requests of a worker at a time: those of its guest, and its own.
const REQUESTS: u32 = HTTP_REQUESTS + 16;
/// Bytes of the head of a guest's request beside its headers.
const HEAD: usize = 64 * 1024;

/// What a session serves its worker from.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) bridge: Arc<Mutex<Bridge>>,
    pub(crate) gate: HttpGate,
    pub(crate) log: Arc<RunLog>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) control: Arc<Control>,
}

/// A connector in a worker.
pub(crate) struct Session {
    child: Child,
    to_worker: mpsc::UnboundedSender<Bytes>,
    answers: mpsc::Receiver<Answer>,
    services: Services,
    connection: JoinHandle<()>,
    scratch_refused: Option<Failure>,
    dropped_log_lines: u64,
    /// The guest's folders with nothing done in them, and what was done.
    folders: Vec<FolderUse>,
    refusals: Vec<DeniedCount>,
    _scratch: Scratch,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Session {
    /// Starts a worker for compiled code.
    pub(crate) async fn open(
        (program, code, name): (&Program, &Sealed, &str),
        options: &GuestOptions<'_>,
        services: Services,
    ) -> Result<Self, Failure> {
        let fail = |error: io::Error| cannot_start(program, &error);
        let scratch = Scratch::new().map_err(|error| {
            Failure::new(FailureClass::Internal, format!("cannot make a scratch folder: {error}"))
        })?;
        let (mut child, socket) = Child::spawn(program, code).map_err(fail)?;
        let work = work(name, options, &services, &scratch).await;
        let start = Start { make: make(), work: Work::Run(Box::new(work)) };
        let socket = match introduce(socket, &start).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(why)) => return Err(refused(&why)),
            Err(_) => return Err(died(&mut child)),
        };
        let (to_worker, commands) = fed();
        let (answer, answers) = mpsc::channel(1);
        let control = Arc::new(ControlRequest {
            slot: Mutex::new(Some((commands.boxed_unsync(), answer))),
            heard: watch::Sender::new(0),
            turn: Semaphore::new(1),
        });
        let service = {
            let services = services.clone();
            service_fn(move |request: Request<Incoming>| {
                let (services, control) = (services.clone(), Arc::clone(&control));
                async move { Ok::<_, Infallible>(serve(request, services, control).await) }
            })
        };
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .max_concurrent_streams(REQUESTS)
            .serve_connection(TokioIo::new(socket), service);
        let connection = tokio::spawn(async move { drop(connection.await) });
        let mut session = Self {
            child,
            to_worker,
            answers,
            services,
            connection,
            scratch_refused: None,
            dropped_log_lines: 0,
            folders: Folders::new(options.mounts).uses(),
            refusals: Vec::new(),
            _scratch: scratch,
        };
        session.answered(Call::Instantiate).await?;
        Ok(session)
    }

    pub(crate) async fn spec(&mut self) -> Result<ConnectorSpec, Failure> {
        match self.call(Call::Spec).await? {
            Returned::Spec(spec) => Ok(spec),
            _ => Err(unsound()),
        }
    }

    pub(crate) async fn check(&mut self) -> Result<Result<(), Error>, Failure> {
        match self.call(Call::Check).await? {
            Returned::Nothing(answer) => Ok(answer),
            _ => Err(unsound()),
        }
    }

    pub(crate) async fn discover(&mut self) -> Result<Result<Vec<Stream>, Error>, Failure> {
        match self.call(Call::Discover).await? {
            Returned::Streams(answer) => Ok(answer),
            _ => Err(unsound()),
        }
    }

    pub(crate) async fn run(&mut self) -> Result<Result<(), Error>, Failure> {
        match self.call(Call::Run).await? {
            Returned::Nothing(answer) => Ok(answer),
            _ => Err(unsound()),
        }
    }

    /// The limit of the scratch folder that the guest ran into, if it did.
    pub(crate) fn refused_scratch(&self) -> Option<Failure> {
        self.scratch_refused.clone()
    }

    /// What the guest did in its folders, and what was refused to it, in the words
    /// of the worker.
    pub(crate) fn audit(&self) -> (Vec<FolderUse>, Vec<DeniedCount>) {
        (self.folders.clone(), self.refusals.clone())
    }

    /// Lines that were dropped before they reached the host.
    pub(crate) fn dropped_log_lines(&self) -> u64 {
        self.dropped_log_lines
    }

    async fn call(&mut self, call: Call) -> Result<Returned, Failure> {
        let control = Arc::clone(&self.services.control);
        let mut answered = false;
        let work = async {
            let answer = self.answered(call).await;
            answered = true;
            answer
        };
        let result = control.bounded(work).await;
        // The worker stops its guest at the same time, and tells what it did until then.
        if !answered && let Ok(Some(last)) = tokio::time::timeout(LAST_WORDS, self.answers.recv()).await {
            let _ = self.learn(last);
        }
        result
    }

    async fn answered(&mut self, call: Call) -> Result<Returned, Failure> {
        self.tell(&ToWorker::Call(call));
        let cancel = self.services.control.cancel().clone();
        let answer = tokio::select! {
            answer = self.answers.recv() => answer,
            () = cancel.cancelled() => {
                self.tell(&ToWorker::Cancel);
                self.answers.recv().await
            }
        };
        match answer {
            Some(answer) => self.learn(answer),
            None => Err(self.died()),
        }
    }

    fn learn(&mut self, answer: Answer) -> Result<Returned, Failure> {
        let Answer { returned, scratch, folders, refusals, meters, dropped_log_lines } = answer;
        let log = Arc::clone(&self.services.log);
        let clean = |text: &str| log.clean(text);
        self.services.control.measured(meters.memory, meters.peak_memory, meters.cpu_nanos);
        self.scratch_refused = scratch.map(|told| told.failure(clean));
        self.dropped_log_lines = dropped_log_lines;
        for (guest, counts) in folders {
            if let Some(known) = self.folders.iter_mut().find(|known| known.guest == guest) {
                known.counts = counts;
            }
        }
        self.refusals = refusals.into_iter().take(REFUSALS).map(Into::into).collect();
        returned.map_err(|told| told.failure(clean))
    }

    fn tell(&self, message: &ToWorker) {
        if let Ok(frame) = wire::frame(message) {
            // A worker that is gone is noticed where its answer is awaited.
            let _ = self.to_worker.send(frame);
        }
    }

    fn died(&mut self) -> Failure {
        let limits = self.services.control.limits();
        let end = self.child.end();
        if end.out_of_memory() {
            return limit(
                "memory",
                format!("the connector's process needed more memory than {} allow", limits.memory),
            );
        }
        Failure::new(FailureClass::Connector, format!("the connector's process {end}"))
    }
}

fn died(child: &mut Child) -> Failure {
    Failure::new(FailureClass::Internal, format!("a worker did not start: it {}", child.end()))
}

/// A worker that answers what was not asked was taken over.
fn unsound() -> Failure {
    Failure::new(
        FailureClass::Connector,
        "the connector's process broke the protocol of workers and was stopped",
    )
}

async fn work(name: &str, options: &GuestOptions<'_>, services: &Services, scratch: &Scratch) -> RunWork {
    let limits = services.control.limits().clone();
    let environment = options.environment.iter();
    let mounts = options.mounts.iter();
    let absolute = |path: &std::path::Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    RunWork {
        name: name.to_owned(),
        limits,
        environment: environment.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        mounts: mounts
            .map(|mount| (absolute(&mount.host), mount.guest.clone(), mount.access == Access::ReadWrite))
            .collect(),
        scratch: scratch.path().to_owned(),
        state: services.bridge.lock().await.state.values().clone(),
    }
}

/// Says what to do, and waits until the worker is locked in. `Err` of the value
/// says why it is not.
async fn introduce(socket: UnixStream, start: &Start) -> io::Result<Result<tokio::net::UnixStream, String>> {
    use tokio::io::AsyncWriteExt;

    socket.set_nonblocking(true)?;
    let mut socket = tokio::net::UnixStream::from_std(socket)?;
    socket.write_all(&wire::frame(start)?).await?;
    let length = socket.read_u32_le().await? as usize;
    if length > MAX_READY {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut ready = vec![0; length];
    socket.read_exact(&mut ready).await?;
    Ok(wire::decode::<Result<(), String>>(&ready)?.map(|()| socket))
}

/// The one request for control of a worker.
struct ControlRequest {
    /// What it gets.
    slot: Mutex<Option<(AnyBody, mpsc::Sender<Answer>)>>,
    /// How many of its messages were heard.
    heard: watch::Sender<u64>,
    /// A guest makes one call at a time: the next waits, before its body is read.
    turn: Semaphore,
}

/// Answers a request of the worker. One that makes no sense is answered as such,
/// which ends the worker.
async fn serve(
    request: Request<Incoming>,
    services: Services,
    control: Arc<ControlRequest>,
) -> Response<AnyBody> {
    answer_to(request, services, control).await.map(Response::new).unwrap_or_else(|_| {
        let mut response = Response::new(wire_http::whole(Vec::new()).boxed_unsync());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    })
}

async fn answer_to(
    request: Request<Incoming>,
    services: Services,
    control: Arc<ControlRequest>,
) -> io::Result<AnyBody> {
    let path = request.uri().path().to_owned();
    if path == path::CONTROL {
        return take_control(request.into_body(), services, control).await;
    }
    // What the guest logged before comes before.
    let after = request.headers().get(path::AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let after: u64 = after.ok_or(io::ErrorKind::InvalidData)?;
    control.heard.subscribe().wait_for(|heard| *heard >= after).await.map_err(io::Error::other)?;
    let body = request.into_body();
    if path == path::HTTP {
        return http(body, services).await;
    }
    let _turn = control.turn.acquire().await.map_err(io::Error::other)?;
    match path.as_str() {
        path::OPEN => open(body, &services).await,
        path::SET => set(body, &services).await,
        path::COMMIT => commit(body, &services).await,
        other => match other.strip_prefix(path::WRITE).and_then(|number| number.parse().ok()) {
            Some(writer) => write(writer, body, &services).await,
            None => Err(io::ErrorKind::NotFound.into()),
        },
    }
}

async fn take_control(
    body: Incoming,
    services: Services,
    control: Arc<ControlRequest>,
) -> io::Result<AnyBody> {
    let (commands, answers) = control.slot.lock().await.take().ok_or(io::ErrorKind::AlreadyExists)?;
    tokio::spawn(async move { drop(hear(body, &services, &answers, &control.heard).await) });
    Ok(commands)
}

/// Hears what a worker says until it is gone.
async fn hear(
    mut body: Incoming,
    services: &Services,
    answers: &mpsc::Sender<Answer>,
    heard: &watch::Sender<u64>,
) -> io::Result<()> {
    let most = message_bytes(services.control.limits());
    let mut buffer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            buffer.extend_from_slice(&data);
        }
        while let Some(message) = wire::take_frame(&mut buffer, most)? {
            match wire::decode(&message)? {
                ToHost::Answer(answer) => answers.send(*answer).await.map_err(io::Error::other)?,
                told => hear_one(told, services),
            }
            heard.send_modify(|heard| *heard += 1);
        }
    }
    Ok(())
}

fn hear_one(told: ToHost, services: &Services) {
    match told {
        ToHost::Log { level, source, message, fields } => {
            services.log.guest_line(level, source, &message, &fields);
        }
        ToHost::Progress { done, total, unit } => {
            services.stats.said(done, total, plain(cut(&unit, UNIT_BYTES)).into_owned());
        }
        ToHost::Meters(meters) => {
            services.control.measured(meters.memory, meters.peak_memory, meters.cpu_nanos);
        }
        ToHost::Answer(_) => {}
    }
}

/// The most bytes that a message of a worker may have.
fn message_bytes(limits: &Limits) -> usize {
    limits.call_bytes.as_usize().saturating_mul(2).saturating_add(MESSAGE)
}

async fn collect(body: Incoming, most: usize) -> io::Result<Bytes> {
    let collected = Limited::new(body, most).collect().await;
    Ok(collected.map_err(io::Error::other)?.to_bytes())
}

async fn message<T: DeserializeOwned>(body: Incoming, services: &Services) -> io::Result<T> {
    wire::decode(&collect(body, message_bytes(services.control.limits())).await?)
}

fn answer<T: Serialize>(answer: &T) -> io::Result<AnyBody> {
    Ok(wire_http::whole(vec![wire::encode(answer)?.into()]).boxed_unsync())
}

async fn open(body: Incoming, services: &Services) -> io::Result<AnyBody> {
    let (stream, mode): (Stream, WriteMode) = message(body, services).await?;
    answer(&services.bridge.lock().await.open(stream, mode.into()).await)
}

async fn write(writer: u32, body: Incoming, services: &Services) -> io::Result<AnyBody> {
    let body = collect(body, message_bytes(services.control.limits())).await?;
    answer(&services.bridge.lock().await.write(writer, batch::decode(body)?).await)
}

async fn set(body: Incoming, services: &Services) -> io::Result<AnyBody> {
    let (key, value): (String, String) = message(body, services).await?;
    let mut bridge = services.bridge.lock().await;
    let taken = bridge.set(key.clone(), value.clone());
    answer(&taken.map(|()| bridge.state.values().get(&key).filter(|taken| **taken != value).cloned()))
}

async fn commit(body: Incoming, services: &Services) -> io::Result<AnyBody> {
    let () = message(body, services).await?;
    answer(&services.bridge.lock().await.commit().await)
}

async fn http(body: Incoming, services: Services) -> io::Result<AnyBody> {
    let head = services.control.limits().http_header_bytes.as_usize().saturating_mul(2).saturating_add(HEAD);
    let (request, options) = wire_http::decode_request(body, head).await?;
    let answered = services.gate.clone().send(request, options).await;
    Ok(wire_http::encode_response(answered)?.boxed_unsync())
}
