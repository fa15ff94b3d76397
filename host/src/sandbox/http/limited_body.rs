//! Bodies on their way through the gate: counted, capped, timed, and with
//! back-pressure, since nothing is read before the other side asks for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::{Error as Code, WasiBody};

use super::disclosure::Undisclosed;
use super::exchange::Exchange;
use super::fault::{Fault, Kind};
use super::substitute;
use crate::sandbox::units::ByteSize;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request as the guest writes it.
pub(crate) struct RequestBody {
    body: WasiBody,
    exchange: Arc<Exchange>,
    /// What the guest's Content-Length says.
    declared: Option<u64>,
    limit: ByteSize,
    seen: u64,
}

impl RequestBody {
    pub(crate) fn new(
        body: WasiBody,
        exchange: Arc<Exchange>,
        declared: Option<u64>,
        limit: ByteSize,
    ) -> Self {
        Self { body, exchange, declared, limit, seen: 0 }
    }

    fn fail(&self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        self.exchange.upload_failed(fault.clone());
        Poll::Ready(Some(Err(fault)))
    }

    /// Reads the whole body if it has at most `most` bytes; else what was read
    /// stands in front of the rest.
    pub(crate) async fn collect_up_to(mut self, most: usize) -> Result<OutgoingBody, Fault> {
        let mut start = BytesMut::new();
        while let Some(frame) = self.frame().await {
            if let Ok(data) = frame?.into_data() {
                start.extend_from_slice(&data);
            }
            if start.len() > most {
                return Ok(OutgoingBody { start: Some(start.freeze()), ..OutgoingBody::streamed(self) });
            }
        }
        Ok(OutgoingBody::whole(start.freeze(), self.exchange))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        loop {
            let data = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None if self.declared.is_some_and(|declared| declared != self.seen) => {
                    let message = "the connector wrote less than the content-length of its request says";
                    return self.fail(Fault::new(Kind::RequestBodySize(self.seen), message));
                }
                None => return Poll::Ready(None),
                Some(Err(_)) => {
                    let message = "the connector gave up writing the request's body";
                    return self.fail(Fault::new(Kind::Protocol, message));
                }
                Some(Ok(frame)) => frame.into_data(),
            };
            // Trailers are dropped.
            let Ok(data) = data else { continue };
            self.seen += data.len() as u64;
            if self.seen > self.limit.get() {
                let limit = self.limit;
                let message = format!("the request's body is larger than {limit}");
                return self.fail(Fault::limit(
                    Kind::RequestBodySize(limit.get()),
                    "http_request_bytes",
                    message,
                ));
            }
            if self.declared.is_some_and(|declared| declared < self.seen) {
                let message = "the connector wrote more than the content-length of its request says";
                return self.fail(Fault::new(Kind::RequestBodySize(self.seen), message));
            }
            self.exchange.progressed(data.len());
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.declared.is_none_or(|declared| declared == self.seen)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request as it goes out: what was collected, then the rest, with
/// secrets in their places where it is not done yet.
pub(crate) struct OutgoingBody {
    start: Option<Bytes>,
    rest: Option<RequestBody>,
    secrets: Option<substitute::Stream>,
    exchange: Arc<Exchange>,
}

impl OutgoingBody {
    /// A body that is known as a whole.
    pub(crate) fn whole(bytes: Bytes, exchange: Arc<Exchange>) -> Self {
        Self { start: Some(bytes), rest: None, secrets: None, exchange }
    }

    /// A body as the guest writes it.
    pub(crate) fn streamed(body: RequestBody) -> Self {
        let exchange = Arc::clone(&body.exchange);
        Self { start: None, rest: Some(body), secrets: None, exchange }
    }

    /// Puts secrets in the places of their placeholders as it goes.
    #[must_use]
    pub(crate) fn with_secrets(self, secrets: substitute::Stream) -> Self {
        Self { secrets: Some(secrets), ..self }
    }

    /// The whole body, where it was collected.
    pub(crate) fn collected(&self) -> Option<&Bytes> {
        self.start.as_ref().filter(|_| self.rest.is_none())
    }

    /// The next piece as the guest wrote it.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        if let Some(start) = self.start.take().filter(|start| !start.is_empty()) {
            return Poll::Ready(Some(Ok(start)));
        }
        loop {
            let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
            match ready!(Pin::new(rest).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(fault)) => return Poll::Ready(Some(Err(fault))),
                // A guest's body has no other frames.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    Err(_) => continue,
                },
            }
        }
    }

    fn refuse(&self, undisclosed: Undisclosed) -> Fault {
        let fault = self.exchange.undisclosed(undisclosed);
        // Told here: an answer may have come already, so that nobody would hear of it.
        self.exchange.report(&fault);
        self.exchange.upload_failed(fault.clone());
        fault
    }
}

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = &mut *self;
        loop {
            let piece = ready!(this.poll_piece(cx)).transpose()?;
            let Some(secrets) = &mut this.secrets else {
                return Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))));
            };
            let last = piece.is_none();
            let ready = match piece {
                Some(piece) => secrets.push(piece),
                None => secrets.finish(),
            };
            let ready = ready.map_err(|undisclosed| this.refuse(undisclosed))?;
            if last {
                this.secrets = None;
            }
            if !ready.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(ready))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.secrets.is_none()
            && self.start.as_ref().is_none_or(Bytes::is_empty)
            && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.start, &self.rest, &self.secrets) {
            (start, None, None) => SizeHint::with_exact(start.as_ref().map_or(0, Bytes::len) as u64),
            (None, Some(rest), None) => rest.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

/// The body of an answer, decompressed, as the guest reads it.
pub(crate) struct ResponseBody<B> {
    body: B,
    exchange: Arc<Exchange>,
    limit: ByteSize,
    seen: u64,
    idle: Duration,
    timer: Pin<Box<Sleep>>,
    /// Whether the timer runs: only while somebody waits for the server.
    waiting: bool,
    /// Given back as soon as the answer has ended.
    permit: Option<OwnedSemaphorePermit>,
    ended: bool,
}

impl<B> ResponseBody<B> {
    pub(crate) fn new(
        body: B,
        exchange: Arc<Exchange>,
        limit: ByteSize,
        idle: Duration,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let timer = Box::pin(tokio::time::sleep(idle));
        Self {
            body,
            exchange,
            limit,
            seen: 0,
            idle,
            timer,
            waiting: false,
            permit: Some(permit),
            ended: false,
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.permit = None;
    }

    fn fail(&mut self, fault: &Fault) -> Poll<Option<Result<Frame<Bytes>, Code>>> {
        self.end();
        self.exchange.report(fault);
        Poll::Ready(Some(Err(fault.code())))
    }
}

/// The fault of an answer that is larger than the limit.
pub(crate) fn too_large(limit: ByteSize) -> Fault {
    let message = format!("the answer is larger than {limit}");
    Fault::limit(Kind::ResponseBodySize(limit.get()), "http_response_bytes", message)
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    type Data = Bytes;
    type Error = Code;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Code>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                return self.poll_idle(cx);
            };
            self.waiting = false;
            let data = match frame {
                None => {
                    self.end();
                    return Poll::Ready(None);
                }
                Some(Err(error)) => {
                    let fault = Fault::of(error.as_ref());
                    return self.fail(&fault);
                }
                Some(Ok(frame)) => frame.into_data(),
            };
            // Trailers are dropped; an empty piece would read as "nothing yet".
            let Some(data) = data.ok().filter(|data| !data.is_empty()) else { continue };
            self.seen += data.len() as u64;
            if self.seen > self.limit.get() {
                let fault = too_large(self.limit);
                return self.fail(&fault);
            }
            self.exchange.received(data.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> ResponseBody<B> {
    /// The server has nothing: how long already?
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Code>>> {
        if !self.waiting {
            self.waiting = true;
            let until = Instant::now() + self.idle;
            self.timer.as_mut().reset(until);
        }
        ready!(self.timer.as_mut().poll(cx));
        let idle = humantime::format_duration(self.idle);
        let fault = Fault::new(
            Kind::ReadTimeout,
            format!("nothing more of the answer came within {idle} (limit http_idle_timeout)"),
        );
        self.fail(&fault)
    }
}
