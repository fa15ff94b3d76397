//! Requests of the guest on their way from a worker to the host's gate, and
//! answers on their way back.
//!
//! Both are a body of pieces: a tag, a length of four bytes in little-endian,
//! and so many bytes. The first piece is the head, then comes data, and at the
//! end a piece that says whether the body is whole.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use wasmtime_wasi_http::{Error as Code, RequestOptions, WasiBody};

use super::wire;

const HEAD: u8 = 0;
const DATA: u8 = 1;
const END: u8 = 2;
const FAILED: u8 = 3;
/// Bytes of a piece's tag and length.
const PREFIX: usize = 5;
/// Bytes of the text of an error.
const MAX_FAULT: usize = 64 * 1024;

#[derive(Serialize, Deserialize)]
struct RequestHead {
    method: String,
    uri: String,
    headers: Headers,
    connect_timeout: Option<Duration>,
    first_byte_timeout: Option<Duration>,
    between_bytes_timeout: Option<Duration>,
}

#[derive(Serialize, Deserialize)]
enum ResponseHead {
    Answer { status: u16, headers: Headers },
    Failed(Fault),
}

type Headers = Vec<(String, Vec<u8>)>;

fn to_wire(headers: &HeaderMap) -> Headers {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

fn from_wire(headers: Headers) -> io::Result<HeaderMap> {
    let parse = |(name, value): (String, Vec<u8>)| {
        let name = HeaderName::try_from(name).map_err(invalid)?;
        Ok((name, HeaderValue::try_from(value).map_err(invalid)?))
    };
    headers.into_iter().map(parse).collect()
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// A request of the guest as the body of a request to the host.
pub(super) fn encode_request(request: Request<WasiBody>, options: RequestOptions) -> io::Result<Pieces> {
    let (parts, body) = request.into_parts();
    let head = RequestHead {
        method: parts.method.as_str().to_owned(),
        uri: parts.uri.to_string(),
        headers: to_wire(&parts.headers),
        connect_timeout: options.connect_timeout,
        first_byte_timeout: options.first_byte_timeout,
        between_bytes_timeout: options.between_bytes_timeout,
    };
    Pieces::new(&head, Some(body))
}

/// The request in the body of a request to the host; its head has at most
/// `most` bytes.
pub(super) async fn decode_request(
    body: Incoming,
    most: usize,
) -> io::Result<(Request<WasiBody>, RequestOptions)> {
    let (head, body) = read::<RequestHead>(body, most).await?;
    let mut request = Request::new(body);
    *request.method_mut() = head.method.parse().map_err(invalid)?;
    *request.uri_mut() = head.uri.parse().map_err(invalid)?;
    *request.headers_mut() = from_wire(head.headers)?;
    let options = RequestOptions {
        connect_timeout: head.connect_timeout,
        first_byte_timeout: head.first_byte_timeout,
        between_bytes_timeout: head.between_bytes_timeout,
    };
    Ok((request, options))
}

/// The gate's answer as the body of an answer to the worker.
pub(super) fn encode_response(answer: Result<Response<WasiBody>, Code>) -> io::Result<Pieces> {
    match answer {
        Ok(response) => {
            let (parts, body) = response.into_parts();
            let head =
                ResponseHead::Answer { status: parts.status.as_u16(), headers: to_wire(&parts.headers) };
            Pieces::new(&head, Some(body))
        }
        Err(code) => Pieces::new(&ResponseHead::Failed(Fault::of(&code)), None),
    }
}

/// The answer in the body of the host's answer.
pub(super) async fn decode_response(body: Incoming) -> Result<Response<WasiBody>, Code> {
    let lost = |_| Code::ConnectionTerminated;
    let (head, body) = read::<ResponseHead>(body, usize::MAX).await.map_err(lost)?;
    match head {
        ResponseHead::Failed(fault) => Err(fault.code()),
        ResponseHead::Answer { status, headers } => {
            let mut response = Response::new(body);
            *response.status_mut() =
                http::StatusCode::from_u16(status).map_err(|_| Code::HttpProtocolError)?;
            *response.headers_mut() = from_wire(headers).map_err(lost)?;
            Ok(response)
        }
    }
}

/// A head and a body on their way.
pub(super) struct Pieces {
    ready: VecDeque<Bytes>,
    body: Option<WasiBody>,
}

impl Pieces {
    fn new<T: Serialize>(head: &T, body: Option<WasiBody>) -> io::Result<Self> {
        let mut pieces = Self { ready: VecDeque::new(), body };
        pieces.push(HEAD, wire::encode(head)?.into())?;
        if pieces.body.is_none() {
            pieces.push(END, Bytes::new())?;
        }
        Ok(pieces)
    }

    fn push(&mut self, tag: u8, bytes: Bytes) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(invalid)?;
        let mut prefix = BytesMut::with_capacity(PREFIX);
        prefix.put_u8(tag);
        prefix.put_u32_le(length);
        self.ready.push_back(prefix.freeze());
        if !bytes.is_empty() {
            self.ready.push_back(bytes);
        }
        Ok(())
    }

    fn finish(&mut self, failed: Option<&Code>) -> io::Result<()> {
        self.body = None;
        match failed {
            None => self.push(END, Bytes::new()),
            Some(code) => self.push(FAILED, wire::encode(&Fault::of(code))?.into()),
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            let pushed = match ready!(Pin::new(body).poll_frame(cx)) {
                None => self.finish(None),
                Some(Err(code)) => self.finish(Some(&code)),
                // Trailers are dropped.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => self.push(DATA, data),
                    _ => Ok(()),
                },
            };
            if let Err(error) = pushed {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

/// Reads the head, and gives the body that follows it.
async fn read<T: serde::de::DeserializeOwned>(mut from: Incoming, most: usize) -> io::Result<(T, WasiBody)> {
    let mut buffer = BytesMut::new();
    loop {
        if let Some((tag, length)) = prefix(&buffer) {
            if tag != HEAD || length > most {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if buffer.len() >= PREFIX + length {
                buffer.advance(PREFIX);
                let head = wire::decode(&buffer.split_to(length))?;
                let body = Unpacked { from, buffer, left: 0, ended: false };
                return Ok((head, body.boxed_unsync()));
            }
        }
        let frame = from.frame().await.ok_or(io::ErrorKind::UnexpectedEof)?.map_err(invalid)?;
        if let Ok(data) = frame.into_data() {
            buffer.extend_from_slice(&data);
        }
    }
}

fn prefix(buffer: &[u8]) -> Option<(u8, usize)> {
    let (prefix, _) = buffer.split_first_chunk::<PREFIX>()?;
    let [tag, length @ ..] = prefix;
    Some((*tag, u32::from_le_bytes(*length) as usize))
}

/// The data of a body of pieces.
struct Unpacked {
    from: Incoming,
    buffer: BytesMut,
    /// What is still to come of a piece of data.
    left: usize,
    ended: bool,
}

impl Unpacked {
    /// Takes what can be taken out of the buffer.
    fn next(&mut self) -> Result<Option<Bytes>, Code> {
        loop {
            if self.left > 0 {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                let take = self.left.min(self.buffer.len());
                self.left -= take;
                return Ok(Some(self.buffer.split_to(take).freeze()));
            }
            let Some((tag, length)) = prefix(&self.buffer) else { return Ok(None) };
            match tag {
                DATA => {
                    self.buffer.advance(PREFIX);
                    self.left = length;
                }
                END => {
                    self.ended = true;
                    return Ok(None);
                }
                FAILED if length <= MAX_FAULT => {
                    let Some(fault) = self.buffer.get(PREFIX..PREFIX + length) else { return Ok(None) };
                    let fault: Fault = wire::decode(fault).map_err(|_| Code::HttpProtocolError)?;
                    return Err(fault.code());
                }
                _ => return Err(Code::HttpProtocolError),
            }
        }
    }
}

impl Body for Unpacked {
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
            match self.next() {
                Ok(Some(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Ok(None) if self.ended => return Poll::Ready(None),
                Ok(None) => {}
                Err(code) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(code)));
                }
            }
            match ready!(Pin::new(&mut self.from).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                // The other side is gone before it said that this is all.
                None | Some(Err(_)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(Code::ConnectionTerminated)));
                }
            }
        }
    }
}

/// A code of wasi-http that the gate gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Fault {
    Denied,
    AddressDenied,
    Dns(Option<String>),
    Refused,
    Unreachable,
    Terminated,
    ConnectTimeout,
    ResponseTimeout,
    ReadTimeout,
    TooMany,
    Tls,
    Certificate,
    Alert(Option<u8>, Option<String>),
    Uri,
    RequestBodySize(Option<u64>),
    RequestHeader,
    ResponseBodySize(Option<u64>),
    ResponseHeaders(Option<u32>),
    Incomplete,
    Coding(Option<String>),
    Configuration,
    Protocol,
    /// One that the gate does not give today.
    Other(String),
}

impl Fault {
    fn of(code: &Code) -> Self {
        match code {
            Code::HttpRequestDenied => Self::Denied,
            Code::DestinationIpProhibited => Self::AddressDenied,
            Code::DnsError { rcode, .. } => Self::Dns(rcode.clone()),
            Code::ConnectionRefused => Self::Refused,
            Code::DestinationUnavailable => Self::Unreachable,
            Code::ConnectionTerminated => Self::Terminated,
            Code::ConnectionTimeout => Self::ConnectTimeout,
            Code::HttpResponseTimeout => Self::ResponseTimeout,
            Code::ConnectionReadTimeout => Self::ReadTimeout,
            Code::ConnectionLimitReached => Self::TooMany,
            Code::TlsProtocolError => Self::Tls,
            Code::TlsCertificateError => Self::Certificate,
            Code::TlsAlertReceived { alert_id, alert_message } => {
                Self::Alert(*alert_id, alert_message.clone())
            }
            Code::HttpRequestUriInvalid => Self::Uri,
            Code::HttpRequestBodySize(size) => Self::RequestBodySize(*size),
            Code::HttpRequestHeaderSize { .. } => Self::RequestHeader,
            Code::HttpResponseBodySize(size) => Self::ResponseBodySize(*size),
            Code::HttpResponseHeaderSectionSize(size) => Self::ResponseHeaders(*size),
            Code::HttpResponseIncomplete => Self::Incomplete,
            Code::HttpResponseContentCoding(coding) => Self::Coding(coding.clone()),
            Code::ConfigurationError => Self::Configuration,
            Code::HttpProtocolError => Self::Protocol,
            other => Self::Other(other.to_string()),
        }
    }

    fn code(self) -> Code {
        match self {
            Self::Denied => Code::HttpRequestDenied,
            Self::AddressDenied => Code::DestinationIpProhibited,
            Self::Dns(rcode) => Code::DnsError { rcode, info_code: None },
            Self::Refused => Code::ConnectionRefused,
            Self::Unreachable => Code::DestinationUnavailable,
            Self::Terminated => Code::ConnectionTerminated,
            Self::ConnectTimeout => Code::ConnectionTimeout,
            Self::ResponseTimeout => Code::HttpResponseTimeout,
            Self::ReadTimeout => Code::ConnectionReadTimeout,
            Self::TooMany => Code::ConnectionLimitReached,
            Self::Tls => Code::TlsProtocolError,
            Self::Certificate => Code::TlsCertificateError,
            Self::Alert(alert_id, alert_message) => Code::TlsAlertReceived { alert_id, alert_message },
            Self::Uri => Code::HttpRequestUriInvalid,
            Self::RequestBodySize(size) => Code::HttpRequestBodySize(size),
            Self::RequestHeader => Code::HttpRequestHeaderSize { field_name: None, field_size: None },
            Self::ResponseBodySize(size) => Code::HttpResponseBodySize(size),
            Self::ResponseHeaders(size) => Code::HttpResponseHeaderSectionSize(size),
            Self::Incomplete => Code::HttpResponseIncomplete,
            Self::Coding(coding) => Code::HttpResponseContentCoding(coding),
            Self::Configuration => Code::ConfigurationError,
            Self::Protocol => Code::HttpProtocolError,
            Self::Other(text) => Code::InternalError(Some(text)),
        }
    }
}

/// A body of bytes that are all there. None of its frames is empty: HTTP/2
/// implementations take many of these for an attack, and end the connection.
pub(super) fn whole(pieces: Vec<Bytes>) -> Pieces {
    Pieces { ready: pieces.into_iter().filter(|piece| !piece.is_empty()).collect(), body: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_gate_come_back_as_they_were() {
        let codes = [
            Code::HttpRequestDenied,
            Code::DnsError { rcode: Some("NXDOMAIN".into()), info_code: None },
            Code::TlsAlertReceived { alert_id: Some(40), alert_message: Some("HandshakeFailure".into()) },
            Code::HttpResponseBodySize(Some(10)),
            Code::HttpResponseContentCoding(Some("gzip".into())),
            Code::HttpProtocolError,
        ];
        for code in codes {
            assert_eq!(format!("{:?}", Fault::of(&code).code()), format!("{code:?}"));
        }
        assert!(matches!(Fault::of(&Code::HttpUpgradeFailed).code(), Code::InternalError(Some(_))));
    }
}
