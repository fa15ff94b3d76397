//! What can go wrong with a request: for the guest as a wasi-http code, for the
//! operator as text. No text contains a path, a query or a header's value.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use wasmtime_wasi_http::Error as Code;

use super::connect::ConnectError;
use crate::report::Denied;

/// The wasi-http code of a fault, and what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Denied,
    AddressDenied,
    Dns,
    Refused,
    Unreachable,
    Terminated,
    ConnectTimeout,
    ResponseTimeout,
    ReadTimeout,
    TooManyRequests,
    Tls,
    Certificate,
    Alert(rustls::AlertDescription),
    Uri,
    RequestBodySize(u64),
    RequestHeader,
    ResponseBodySize(u64),
    ResponseHeaderSize,
    ResponseIncomplete,
    ResponseCoding,
    Protocol,
    Configuration,
}

/// One thing that went wrong.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// For the operator; empty where `denied` says it.
    pub(crate) message: String,
    /// The limit that was reached, by its key.
    pub(crate) limit: Option<&'static str>,
    /// What was refused.
    pub(crate) denied: Option<Box<Denied>>,
}

impl Fault {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), limit: None, denied: None }
    }

    pub(crate) fn limit(kind: Kind, limit: &'static str, message: impl fmt::Display) -> Self {
        Self { kind, message: format!("{message} (limit {limit})"), limit: Some(limit), denied: None }
    }

    pub(crate) fn denied(kind: Kind, denied: Denied) -> Self {
        Self { kind, message: String::new(), limit: None, denied: Some(Box::new(denied)) }
    }

    /// What the guest is told.
    pub(crate) fn code(&self) -> Code {
        match self.kind {
            Kind::Denied => Code::HttpRequestDenied,
            Kind::AddressDenied => Code::DestinationIpProhibited,
            Kind::Dns => Code::DnsError { rcode: Some(self.message.clone()), info_code: None },
            Kind::Refused => Code::ConnectionRefused,
            Kind::Unreachable => Code::DestinationUnavailable,
            Kind::Terminated => Code::ConnectionTerminated,
            Kind::ConnectTimeout => Code::ConnectionTimeout,
            Kind::ResponseTimeout => Code::HttpResponseTimeout,
            Kind::ReadTimeout => Code::ConnectionReadTimeout,
            Kind::TooManyRequests => Code::ConnectionLimitReached,
            Kind::Tls => Code::TlsProtocolError,
            Kind::Certificate => Code::TlsCertificateError,
            Kind::Alert(alert) => Code::TlsAlertReceived {
                alert_id: Some(u8::from(alert)),
                alert_message: Some(format!("{alert:?}")),
            },
            Kind::Uri => Code::HttpRequestUriInvalid,
            Kind::RequestBodySize(size) => Code::HttpRequestBodySize(Some(size)),
            Kind::RequestHeader => Code::HttpRequestHeaderSize { field_name: None, field_size: None },
            Kind::ResponseBodySize(size) => Code::HttpResponseBodySize(Some(size)),
            Kind::ResponseHeaderSize => Code::HttpResponseHeaderSectionSize(None),
            Kind::ResponseIncomplete => Code::HttpResponseIncomplete,
            Kind::ResponseCoding => Code::HttpResponseContentCoding(Some("gzip".to_owned())),
            Kind::Protocol => Code::HttpProtocolError,
            Kind::Configuration => Code::ConfigurationError,
        }
    }

    /// From whatever hyper, the connector or the decompression reports.
    pub(crate) fn of(error: &(dyn StdError + 'static)) -> Self {
        let mut fault = None;
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(known) = Self::of_link(error) {
                fault = Some(known);
            }
            next = error.source();
        }
        fault.unwrap_or_else(|| Self::new(Kind::Protocol, innermost(error)))
    }

    /// From one link of a chain of errors; the innermost that is known counts.
    fn of_link(error: &(dyn StdError + 'static)) -> Option<Self> {
        if let Some(fault) = error.downcast_ref::<Self>() {
            return Some(fault.clone());
        }
        if let Some(error) = error.downcast_ref::<ConnectError>() {
            return Some(error.fault());
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            return Self::of_hyper(error);
        }
        let error = error.downcast_ref::<io::Error>()?;
        Self::of_io(error).or_else(|| Self::of_decoder(error))
    }

    fn of_hyper(error: &hyper::Error) -> Option<Self> {
        if error.is_parse_too_large() {
            let message = "the headers of the answer are too large";
            return Some(Self::limit(Kind::ResponseHeaderSize, "http_header_bytes", message));
        }
        let (kind, message) = if error.is_incomplete_message() {
            (Kind::ResponseIncomplete, "the server closed the connection before the answer was complete")
        } else if error.is_timeout() {
            (Kind::ReadTimeout, "the connection timed out")
        } else if error.is_parse() {
            (Kind::Protocol, "the answer is no valid HTTP")
        } else if error.is_closed() || error.is_canceled() {
            (Kind::Terminated, "the connection was closed")
        } else {
            return None;
        };
        Some(Self::new(kind, message))
    }

    /// From an error of the decompression.
    fn of_decoder(error: &io::Error) -> Option<Self> {
        matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
            .then(|| Self::new(Kind::ResponseCoding, "the compressed answer is damaged"))
    }

    /// From an error of a socket, or of TLS on it.
    pub(crate) fn of_io(error: &io::Error) -> Option<Self> {
        let inner = error.get_ref();
        if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Some(Self::of_tls(error));
        }
        let (kind, message) = match error.kind() {
            io::ErrorKind::ConnectionRefused => (Kind::Refused, "connection refused"),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                (Kind::Terminated, "the server closed the connection")
            }
            io::ErrorKind::TimedOut => (Kind::ConnectTimeout, "the connection timed out"),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                (Kind::Unreachable, "the host cannot be reached")
            }
            io::ErrorKind::UnexpectedEof => {
                (Kind::ResponseIncomplete, "the server closed the connection before the answer was complete")
            }
            _ => return None,
        };
        Some(Self::new(kind, message))
    }

    fn of_tls(error: &rustls::Error) -> Self {
        let kind = match error {
            rustls::Error::InvalidCertificate(_) => Kind::Certificate,
            rustls::Error::AlertReceived(alert) => Kind::Alert(*alert),
            _ => Kind::Tls,
        };
        Self::new(kind, error.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.denied {
            Some(denied) => write!(f, "refused: {}", denied.reason),
            None => f.write_str(&self.message),
        }
    }
}

impl StdError for Fault {}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.to_string()
}
