//! The contract's imports and exports, generated from `wit/`.

use std::io::Read;
use std::time::Duration;

use self::bindings::ow::connector::{report, state as store, storage, types};
use self::wasi_bindings::wasi::clocks::monotonic_clock;
use self::wasi_bindings::wasi::http::outgoing_handler;
use self::wasi_bindings::wasi::http::types as http;
use self::wasi_bindings::wasi::io::{poll, streams};
use super::{ColumnView, Incoming, Outgoing, SendFailure, ValuesView};
use crate::error::{Error, ErrorKind, Result};
use crate::stream::{DataType, Stream, WriteMode};
use crate::time::Timestamp;

/// What `wit-bindgen` makes of the contract: of lists that are only handed
/// over, slices, so that batches are not copied.
#[allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "generated code"
)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package ow:guest;
            world guest {
                import ow:connector/storage@0.1.0;
                import ow:connector/state@0.1.0;
                import ow:connector/report@0.1.0;
                export ow:connector/connector@0.1.0;
            }
        ",
        ownership: Borrowing { duplicate_if_necessary: true },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_bindings",
        default_bindings_module: "::ow_connector::__private::bindings",
    });
}

/// What `wit-bindgen` makes of WASI. The world names only what the SDK itself
/// uses: Rust's standard library brings its own part.
#[allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "generated code"
)]
mod wasi_bindings {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package ow:guest-http;
            world guest-http {
                import wasi:clocks/monotonic-clock@0.2.12;
                import wasi:http/outgoing-handler@0.2.12;
            }
        ",
        generate_all,
    });
}

/// How long a wait goes on before the host is asked whether the run was
/// cancelled.
const ATTENTION: Duration = Duration::from_millis(250);

/// Bytes of a response that one call brings.
const READ_SIZE: u64 = 64 * 1024;

pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

pub(crate) fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}

/// The time since some moment, by a clock that nobody sets.
pub(crate) fn elapsed() -> Duration {
    Duration::from_nanos(monotonic_clock::now())
}

pub(crate) fn sleep(duration: Duration) {
    std::thread::sleep(duration);
}

pub(crate) fn scratch() -> std::rc::Rc<std::path::Path> {
    std::path::Path::new("/work").into()
}

pub(crate) fn log(level: log::Level, message: &str, fields: &[(&str, &str)]) {
    let level = match level {
        log::Level::Error => report::Level::Error,
        log::Level::Warn => report::Level::Warn,
        log::Level::Info => report::Level::Info,
        log::Level::Debug => report::Level::Debug,
        log::Level::Trace => report::Level::Trace,
    };
    report::log(level, message, fields);
}

pub(crate) fn progress(done: u64, total: Option<u64>, unit: &str) {
    report::progress(done, total, unit);
}

pub(crate) fn cancelled() -> bool {
    report::cancelled()
}

pub(crate) fn state(key: &str) -> Option<String> {
    store::get(key)
}

pub(crate) fn set_state(key: &str, value: &str) -> Result<()> {
    Ok(store::set(key, value)?)
}

pub(crate) fn commit() -> Result<()> {
    Ok(store::commit()?)
}

/// An open table.
pub(crate) struct Writer(storage::Writer);

pub(crate) fn open(stream: &Stream, mode: WriteMode) -> Result<Writer> {
    let fields: Vec<types::FieldParam<'_>> = stream
        .fields
        .iter()
        .map(|field| types::FieldParam {
            name: &field.name,
            data_type: field.data_type.into(),
            nullable: field.nullable,
            description: field.description.as_deref(),
        })
        .collect();
    let primary_key: Vec<&str> = stream.primary_key.iter().map(String::as_str).collect();
    let stream = types::StreamParam {
        name: &stream.name,
        description: stream.description.as_deref(),
        fields: &fields,
        primary_key: &primary_key,
        cursor_field: stream.cursor_field.as_deref(),
        partition_field: stream.partition_field.as_deref(),
    };
    let mode = match mode {
        WriteMode::Append => storage::WriteMode::Append,
        WriteMode::Merge => storage::WriteMode::Merge,
        WriteMode::Replace => storage::WriteMode::Replace,
    };
    Ok(Writer(storage::open(stream, mode)?))
}

impl Writer {
    pub(crate) fn write_columns(&self, rows: usize, columns: &[ColumnView<'_>]) -> Result<()> {
        let rows = u32::try_from(rows).map_err(|_| Error::internal("a batch has too many rows"))?;
        let columns: Vec<storage::Column<'_>> = columns.iter().map(column).collect();
        Ok(self.0.write(storage::Batch::Columns((rows, &columns)))?)
    }

    pub(crate) fn write_json_lines(&self, lines: &[u8]) -> Result<()> {
        Ok(self.0.write(storage::Batch::JsonLines(lines))?)
    }
}

fn column<'a>(view: &ColumnView<'a>) -> storage::Column<'a> {
    use storage::ColumnValues as To;
    let values = match view.values {
        ValuesView::Booleans(bits) => To::Booleans(bits),
        ValuesView::Int64s(values) => To::Int64s(values),
        ValuesView::Float64s(values) => To::Float64s(values),
        ValuesView::Texts { offsets, data } => To::Texts(storage::VarValues { offsets, data }),
        ValuesView::Binaries { offsets, data } => To::Binaries(storage::VarValues { offsets, data }),
        ValuesView::Dates(values) => To::Dates(values),
        ValuesView::Timestamps(values) => To::Timestamps(values),
    };
    storage::Column { validity: view.validity, values }
}

/// A request under way: it goes out and is answered while the connector does
/// something else. Dropped, it is given up.
pub(crate) struct Pending {
    outcome: Result<http::FutureIncomingResponse, SendFailure>,
    /// Why the body was not sent whole, if it was not.
    broken: Option<SendFailure>,
    authority: String,
}

/// Sends a request without waiting for the answer. What fails is told by
/// [`Pending::finish`].
pub(crate) fn start(request: &Outgoing<'_>) -> Pending {
    let mut broken = None;
    let outcome = dispatch(request, &mut broken);
    Pending { outcome, broken, authority: request.authority.to_owned() }
}

fn dispatch(
    request: &Outgoing<'_>,
    broken: &mut Option<SendFailure>,
) -> Result<http::FutureIncomingResponse, SendFailure> {
    let refused = |what: &str| SendFailure {
        error: Error::internal(format!("the request to {} has an invalid {what}", request.authority)),
        transient: false,
    };
    let fields = http::Fields::new();
    for (name, value) in request.headers {
        fields.append(name, value.as_bytes()).map_err(|_| refused(&format!("header `{name}`")))?;
    }
    let outgoing = http::OutgoingRequest::new(fields);
    outgoing.set_method(&method(request.method)).map_err(|()| refused("method"))?;
    let scheme = if request.https { http::Scheme::Https } else { http::Scheme::Http };
    outgoing.set_scheme(Some(&scheme)).map_err(|()| refused("scheme"))?;
    outgoing.set_authority(Some(request.authority)).map_err(|()| refused("authority"))?;
    outgoing.set_path_with_query(Some(request.path_and_query)).map_err(|()| refused("path"))?;
    let body = outgoing.body().map_err(|()| refused("body"))?;

    let options = http::RequestOptions::new();
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).ok();
    // A host without one of these time-outs says so; its own limits apply then.
    let _ = options.set_connect_timeout(nanos(request.timeouts.connect));
    let _ = options.set_first_byte_timeout(nanos(request.timeouts.first_byte));
    let _ = options.set_between_bytes_timeout(nanos(request.timeouts.between_bytes));

    let failed = |code: &http::ErrorCode| failure(code, request.authority);
    // The request goes out first: a body of more than a buffer needs its reader.
    let future = outgoing_handler::handle(outgoing, Some(options)).map_err(|code| failed(&code))?;
    match write_body(&body, request.body) {
        Ok(()) => http::OutgoingBody::finish(body, None).map_err(|code| failed(&code))?,
        // A server may answer before it has read everything; its answer says more.
        Err(error) => *broken = Some(error),
    }
    Ok(future)
}

impl Pending {
    /// Waits for the answer.
    pub(crate) fn finish(self) -> Result<Incoming, SendFailure> {
        let answer = receive(&self.outcome?, &self.authority);
        match self.broken {
            Some(error) => answer.map_err(|_| error),
            None => answer,
        }
    }
}

/// Waits until something happens, and asks now and then whether to go on.
fn wait(pollable: &poll::Pollable) -> Result<()> {
    while !pollable.ready() {
        let timer =
            monotonic_clock::subscribe_duration(u64::try_from(ATTENTION.as_nanos()).unwrap_or(u64::MAX));
        poll::poll(&[pollable, &timer]);
        if report::cancelled() {
            return Err(Error::cancelled());
        }
    }
    Ok(())
}

fn write_body(body: &http::OutgoingBody, mut bytes: &[u8]) -> Result<(), SendFailure> {
    if bytes.is_empty() {
        return Ok(());
    }
    let broken = |_| SendFailure {
        error: Error::unavailable("the connection broke while the request was sent"),
        transient: true,
    };
    let stop = |error| SendFailure { error, transient: false };
    let stream =
        body.write().map_err(|()| stop(Error::internal("the body of a request was opened twice")))?;
    let ready = stream.subscribe();
    while !bytes.is_empty() {
        wait(&ready).map_err(stop)?;
        let room = usize::try_from(stream.check_write().map_err(broken)?).unwrap_or(usize::MAX);
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        stream.write(now).map_err(broken)?;
        bytes = later;
    }
    stream.flush().map_err(broken)?;
    wait(&ready).map_err(stop)?;
    stream.check_write().map_err(broken)?;
    Ok(())
}

fn receive(future: &http::FutureIncomingResponse, authority: &str) -> Result<Incoming, SendFailure> {
    let bug = |what: &str| SendFailure { error: Error::internal(what), transient: false };
    wait(&future.subscribe()).map_err(|error| SendFailure { error, transient: false })?;
    let response = future
        .get()
        .ok_or_else(|| bug("the response is not there although it was announced"))?
        .map_err(|()| bug("the response was taken twice"))?
        .map_err(|code| failure(&code, authority))?;
    let header = |(name, value): (String, Vec<u8>)| (name, String::from_utf8_lossy(&value).into_owned());
    let headers = response.headers().entries().into_iter().map(header).collect();
    let body = response.consume().map_err(|()| bug("the response's body was taken twice"))?;
    let stream = body.stream().map_err(|()| bug("the response's body was opened twice"))?;
    let ready = stream.subscribe();
    let body =
        IncomingBody { ready, stream, _body: body, authority: authority.to_owned(), left: Vec::new(), at: 0 };
    Ok(Incoming { status: response.status(), headers, body: Box::new(body) })
}

/// The body of a response. Fields are dropped in their order: what was made last
/// goes first, as the contract of WASI wants it.
struct IncomingBody {
    ready: poll::Pollable,
    stream: streams::InputStream,
    _body: http::IncomingBody,
    authority: String,
    left: Vec<u8>,
    at: usize,
}

impl IncomingBody {
    /// Fetches the next bytes; false at the end.
    fn fill(&mut self) -> std::io::Result<bool> {
        loop {
            match self.stream.read(READ_SIZE) {
                Ok(bytes) if bytes.is_empty() => wait(&self.ready)?,
                Ok(bytes) => {
                    (self.left, self.at) = (bytes, 0);
                    return Ok(true);
                }
                Err(streams::StreamError::Closed) => return Ok(false),
                Err(streams::StreamError::LastOperationFailed(error)) => {
                    let error = match http::http_error_code(&error) {
                        Some(code) => error_of(&code, &self.authority).0,
                        None => Error::unavailable(error.to_debug_string()),
                    };
                    return Err(error.context(format!("the answer of {} broke off", self.authority)).into());
                }
            }
        }
    }
}

impl Read for IncomingBody {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.is_empty() || (self.at == self.left.len() && !self.fill()?) {
            return Ok(0);
        }
        let waiting = self.left.get(self.at..).unwrap_or_default();
        let count = waiting.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), waiting.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count;
        Ok(count)
    }
}

fn method(name: &str) -> http::Method {
    match name {
        "GET" => http::Method::Get,
        "HEAD" => http::Method::Head,
        "POST" => http::Method::Post,
        "PUT" => http::Method::Put,
        "DELETE" => http::Method::Delete,
        "OPTIONS" => http::Method::Options,
        "PATCH" => http::Method::Patch,
        other => http::Method::Other(other.to_owned()),
    }
}

fn failure(code: &http::ErrorCode, authority: &str) -> SendFailure {
    let (error, transient) = error_of(code, authority);
    SendFailure { error, transient }
}

/// What the host's word for a failed request means for the connector, and
/// whether another try may end otherwise.
fn error_of(code: &http::ErrorCode, authority: &str) -> (Error, bool) {
    use http::ErrorCode as Code;
    let unavailable = |what: &str| (Error::unavailable(format!("{authority}: {what}")), true);
    let too_large =
        |what: &str| (Error::limit_exceeded(format!("{authority}: {what} is larger than allowed")), false);
    match code {
        Code::HttpRequestDenied => {
            (Error::denied(format!("the request to {authority} was not granted by the operator")), false)
        }
        Code::DestinationIpProhibited => {
            (Error::denied(format!("the address of {authority} was not granted by the operator")), false)
        }
        Code::ConfigurationError => (
            Error::config(format!(
                "{authority}: the request cannot carry a value of the configuration, such as a secret with a line break"
            )),
            false,
        ),
        Code::DnsTimeout => unavailable("its name was not resolved in time"),
        Code::DnsError(_) | Code::DestinationNotFound => unavailable("its name could not be resolved"),
        Code::ConnectionRefused => unavailable("it refused the connection"),
        Code::ConnectionTerminated => unavailable("it closed the connection"),
        Code::ConnectionTimeout => unavailable("it could not be connected to in time"),
        Code::ConnectionReadTimeout | Code::HttpResponseTimeout => unavailable("it did not answer in time"),
        Code::ConnectionWriteTimeout => unavailable("it did not take the request in time"),
        Code::ConnectionLimitReached => unavailable("too many connections are open"),
        Code::HttpResponseIncomplete => unavailable("its answer is incomplete"),
        Code::TlsCertificateError => {
            (Error::unavailable(format!("{authority}: its certificate is not trusted")), false)
        }
        Code::HttpRequestBodySize(_) => too_large("the request's body"),
        Code::HttpRequestHeaderSectionSize(_)
        | Code::HttpRequestHeaderSize(_)
        | Code::HttpRequestUriTooLong => too_large("the request's head"),
        Code::HttpResponseBodySize(_) => too_large("the answer"),
        Code::HttpResponseHeaderSectionSize(_) | Code::HttpResponseHeaderSize(_) => {
            too_large("the answer's head")
        }
        Code::HttpRequestMethodInvalid | Code::HttpRequestUriInvalid | Code::HttpRequestLengthRequired => {
            (Error::internal(format!("{authority}: the request is invalid ({code})")), false)
        }
        Code::InternalError(Some(message)) => unavailable(message),
        other => unavailable(&other.to_string()),
    }
}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        use types::ErrorKind as From;
        let kind = match error.kind {
            From::Config => ErrorKind::Config,
            From::Auth => ErrorKind::Auth,
            From::RateLimited => ErrorKind::RateLimited,
            From::Unavailable => ErrorKind::Unavailable,
            From::InvalidData => ErrorKind::InvalidData,
            From::Denied => ErrorKind::Denied,
            From::LimitExceeded => ErrorKind::LimitExceeded,
            From::Cancelled => ErrorKind::Cancelled,
            From::Internal => ErrorKind::Internal,
        };
        // The storage and the state say it: no other account will fare better.
        let mut own = Self::new(kind, error.message).fatal();
        if let Some(parameter) = error.parameter {
            own = own.parameter(parameter);
        }
        if let Some(wait) = error.retry_after_ms {
            own = own.retry_after(Duration::from_millis(wait));
        }
        own
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        use types::ErrorKind as To;
        let kind = match error.kind() {
            ErrorKind::Config => To::Config,
            ErrorKind::Auth => To::Auth,
            ErrorKind::RateLimited => To::RateLimited,
            ErrorKind::Unavailable => To::Unavailable,
            ErrorKind::InvalidData => To::InvalidData,
            ErrorKind::Denied => To::Denied,
            ErrorKind::LimitExceeded => To::LimitExceeded,
            ErrorKind::Cancelled => To::Cancelled,
            ErrorKind::Internal => To::Internal,
        };
        Self {
            kind,
            message: error.message().to_owned(),
            parameter: error.parameter_name().map(str::to_owned),
            retry_after_ms: error.wait().map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

impl From<DataType> for types::DataType {
    fn from(data_type: DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Int64 => Self::Int64,
            DataType::Float64 => Self::Float64,
            DataType::Decimal { precision, scale } => Self::Decimal((precision, scale)),
            DataType::Text => Self::Text,
            DataType::Bytes => Self::Bytes,
            DataType::Date => Self::Date,
            DataType::Timestamp => Self::Timestamp,
            DataType::Json => Self::Json,
        }
    }
}

impl From<Stream> for types::StreamResult {
    fn from(stream: Stream) -> Self {
        let field = |field: crate::stream::Field| types::FieldResult {
            name: field.name,
            data_type: field.data_type.into(),
            nullable: field.nullable,
            description: field.description,
        };
        Self {
            name: stream.name,
            description: stream.description,
            fields: stream.fields.into_iter().map(field).collect(),
            primary_key: stream.primary_key,
            cursor_field: stream.cursor_field,
            partition_field: stream.partition_field,
        }
    }
}

/// A connector, as the contract's exports call it.
#[derive(Debug)]
pub struct Exported<C>(std::marker::PhantomData<C>);

impl<C: crate::Connector> bindings::exports::ow::connector::connector::Guest for Exported<C> {
    fn spec() -> bindings::exports::ow::connector::connector::ConnectorSpec {
        let spec = crate::connector::Spec::of::<C>();
        bindings::exports::ow::connector::connector::ConnectorSpec {
            name: spec.name.to_owned(),
            version: spec.version.to_owned(),
            title: spec.title.to_owned(),
            description: spec.description.to_owned(),
            documentation_url: spec.documentation_url.map(str::to_owned),
            config_schema: spec.config_schema.to_string(),
            network: spec.network.iter().map(|origin| (*origin).to_owned()).collect(),
            plain_secrets: spec.plain_secrets.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn check() -> Result<(), types::Error> {
        Ok(crate::connector::check::<C>()?)
    }

    fn discover() -> Result<Vec<types::StreamResult>, types::Error> {
        Ok(crate::connector::discover::<C>()?.into_iter().map(Into::into).collect())
    }

    fn run() -> Result<(), types::Error> {
        Ok(crate::connector::run::<C>()?)
    }
}
