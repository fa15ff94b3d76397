//! The worker's side of everything that leads to the host: rows, state, HTTP,
//! log.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use wasmtime_wasi_http::{Error as Code, RequestOptions, WasiBody};

use super::http as wire_http;
use super::wire::{self, ToHost, path};
use super::{HTTP_REQUESTS, batch};
use crate::bridge::bindings::ow::connector::storage::{Batch, WriteMode};
use crate::bridge::bindings::ow::connector::types::{Error, Stream};
use crate::bridge::state::RunState;
use crate::sandbox::Limits;
use crate::sandbox::http::{Answered, Outlet};

/// Bytes of an answer of the host to a call.
const MAX_ANSWER: usize = 1024 * 1024;

/// A body of any kind.
pub(super) type AnyBody = UnsyncBoxBody<Bytes, io::Error>;

/// The connection to the host. Clones share it.
#[derive(Clone)]
pub(super) struct Link {
    sender: SendRequest<AnyBody>,
    voice: Voice,
}

/// Tells the host what needs no answer. Clones share it.
#[derive(Clone)]
pub(super) struct Voice {
    feed: mpsc::UnboundedSender<Bytes>,
    told: Arc<AtomicU64>,
}

impl Voice {
    /// A voice, and the body of the request that carries it.
    pub(super) fn new() -> (Self, Fed) {
        let (feed, body) = fed();
        (Self { feed, told: Arc::default() }, body)
    }

    pub(super) fn tell(&self, message: &ToHost) {
        if let Ok(frame) = wire::frame(message) {
            // If nobody listens, the process is about to end.
            let _ = self.feed.send(frame);
            self.told.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Link {
    pub(super) fn new(sender: SendRequest<AnyBody>, voice: Voice) -> Self {
        Self { sender, voice }
    }

    /// Sends a body, and waits for the head of the answer.
    pub(super) async fn post(&self, to: &str, body: AnyBody) -> io::Result<Incoming> {
        let mut sender = self.sender.clone();
        sender.ready().await.map_err(io::Error::other)?;
        let request = Request::post(format!("http://host{to}"))
            .header(path::AFTER, self.voice.told.load(Ordering::SeqCst))
            .body(body)
            .map_err(io::Error::other)?;
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        match response.status() {
            http::StatusCode::OK => Ok(response.into_body()),
            status => Err(io::Error::other(format!("the host answered {status}"))),
        }
    }

    /// Sends a body, and waits for the message that answers it.
    async fn ask<T: DeserializeOwned>(&self, path: &str, pieces: Vec<Bytes>) -> io::Result<T> {
        let mut body = self.post(path, wire_http::whole(pieces).boxed_unsync()).await?;
        let mut answer = BytesMut::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
                answer.extend_from_slice(&data);
            }
            if answer.len() > MAX_ANSWER {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        wire::decode(&answer)
    }

    async fn call<M: Serialize, T: DeserializeOwned>(&self, path: &str, message: &M) -> io::Result<T> {
        self.ask(path, vec![wire::encode(message)?.into()]).await
    }
}

/// A body that is fed while it is sent.
pub(super) struct Fed(mpsc::UnboundedReceiver<Bytes>);

/// A body and what feeds it; it ends when the feeder is dropped.
pub(super) fn fed() -> (mpsc::UnboundedSender<Bytes>, Fed) {
    let (feed, fed) = mpsc::unbounded_channel();
    (feed, Fed(fed))
}

impl Body for Fed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// What the connector last said of its progress, until it is told.
pub(super) type Said = Arc<Mutex<Option<ToHost>>>;

/// What lies behind the imports of a guest in a worker. The host has the state;
/// here is a copy, to read from.
pub(crate) struct Remote {
    pub(super) link: Link,
    pub(crate) state: RunState,
    pub(super) limits: Limits,
    pub(super) said: Said,
}

impl Remote {
    pub(crate) async fn open(&self, stream: Stream, mode: WriteMode) -> wasmtime::Result<Result<u32, Error>> {
        Ok(self.link.call(path::OPEN, &(stream, mode)).await?)
    }

    pub(crate) async fn write(&self, writer: u32, rows: Batch) -> wasmtime::Result<Result<(), Error>> {
        let path = format!("{}{writer}", path::WRITE);
        Ok(self.link.ask(&path, batch::encode(rows)?).await?)
    }

    pub(crate) async fn set(&mut self, key: String, value: String) -> wasmtime::Result<Result<(), Error>> {
        let answer: Result<Option<String>, Error> = self.link.call(path::SET, &(&key, &value)).await?;
        Ok(answer.and_then(|other| self.state.set(key, other.unwrap_or(value), &self.limits)))
    }

    pub(crate) async fn commit(&mut self) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.link.call(path::COMMIT, &()).await?)
    }

    pub(crate) fn said(&self, done: u64, total: Option<u64>, unit: String) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        *said = Some(ToHost::Progress { done, total, unit });
    }
}

/// The way of a guest's requests from a worker to the gate of the host.
pub(super) struct RemoteOutlet {
    link: Link,
    /// Leaves the connection free for what is no request of the guest.
    free: Arc<Semaphore>,
}

impl RemoteOutlet {
    pub(super) fn new(link: Link) -> Self {
        Self { link, free: Arc::new(Semaphore::new(HTTP_REQUESTS as usize)) }
    }
}

/// The body of an answer, which takes its place until it is read or dropped.
struct Placed {
    body: WasiBody,
    _place: OwnedSemaphorePermit,
}

impl Body for Placed {
    type Data = Bytes;
    type Error = Code;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Code>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

impl Outlet for RemoteOutlet {
    fn send(&mut self, request: Request<WasiBody>, options: RequestOptions) -> Answered {
        let (link, free) = (self.link.clone(), Arc::clone(&self.free));
        Box::pin(async move {
            let place = free.acquire_owned().await.map_err(|_| Code::ConnectionTerminated)?;
            let body = wire_http::encode_request(request, options).map_err(|_| Code::HttpProtocolError)?;
            let answer = link.post(path::HTTP, body.boxed_unsync()).await;
            let answer = wire_http::decode_response(answer.map_err(|_| Code::ConnectionTerminated)?).await?;
            Ok(answer.map(|body| Placed { body, _place: place }.boxed_unsync()))
        })
    }
}
