//! The gate itself: what a request passes, in this order, before it is sent.
//!
//! Scheme and method; the operator's grants; the number of requests under way;
//! secrets into their places, as far as they may go there; the check of the address
//! (`connect`); limits of time and size on the way there and back; secrets out of
//! the answer. Redirects are answers like others:
//! the guest follows them, and every hop passes the gate again.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, PROXY_AUTHORIZATION, RANGE, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body::Body;
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_http::decompression::{Decompression, DecompressionBody};
use tower_service::Service;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::{
    Error as Code, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView,
    WasiHttpHooks,
};

use super::answer::{Guard, Told, ask_for_readable};
use super::client::{HttpClient, Shared};
use super::connect::{Connector, no_connection};
use super::disclosure::Disclosure;
use super::exchange::{Exchange, HttpObserver};
use super::fault::{Fault, Kind};
use super::limited_body::{OutgoingBody, RequestBody, ResponseBody, too_large};
use super::origin::{CanonicalHost, Origin};
use super::substitute::BadHeader;
use super::target::Target;
use super::{address, substitute, token};
use crate::config::secret::Secrets;
use crate::report::Denied;
use crate::sandbox::limits::Limits;

/// What the gate calls itself where the guest says nothing.
const DEFAULT_USER_AGENT: &str = concat!("ow-host/", env!("CARGO_PKG_VERSION"));

/// The largest body that is collected to put secrets into it, so that its length
/// can be sent. A body with credentials is small; a larger one is data, and streams.
const MAX_COLLECTED: usize = 1024 * 1024;

/// How long an unused connection is kept. Servers close theirs after a minute
/// or so; one that is closed meanwhile is noticed and replaced.
const POOL_IDLE: Duration = Duration::from_secs(90);

/// Longer times would overflow the clock, and mean "for ever" anyway.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The least read buffer that hyper takes.
const MIN_HTTP1_BUFFER: usize = 8192;

/// What one write to a request's body may hold: the guest may have thousands of
/// bodies open, and the host keeps two writes of each.
const BODY_CHUNK: usize = 64 * 1024;

type Answer = Response<DecompressionBody<hyper::body::Incoming>>;
type Pool = Decompression<Client<Connector, OutgoingBody>>;
type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Code>> + Send>), Code>;

/// The way of one run's requests to the outside. Cheap to clone; its
/// connections close when the last clone is gone.
#[derive(Clone)]
pub struct HttpGate {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    grants: Arc<[Origin]>,
    limits: Limits,
    secrets: Arc<Secrets>,
    /// The secrets that answers were told to hold.
    told: Told,
    observer: Arc<dyn HttpObserver>,
    under_way: Arc<Semaphore>,
    pool: Pool,
}

impl fmt::Debug for HttpGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpGate").field("grants", &self.inner.grants).finish_non_exhaustive()
    }
}

impl HttpGate {
    /// The gate of one run, with a pool of connections of its own. Costs
    /// microseconds: nothing is loaded or connected before the first request.
    #[must_use]
    pub fn new(
        client: &HttpClient,
        grants: Vec<Origin>,
        limits: &Limits,
        secrets: Arc<Secrets>,
        observer: Arc<dyn HttpObserver>,
    ) -> Self {
        let shared = Arc::clone(&client.shared);
        let grants: Arc<[Origin]> = grants.into();
        let timeout = limits.http_connect_timeout.get();
        let connector = Connector::new(Arc::clone(&shared), Arc::clone(&grants), timeout);
        let under_way = limits.http_concurrency.max(1) as usize;
        let inner = Inner {
            shared,
            grants,
            limits: limits.clone(),
            secrets,
            told: Told::default(),
            observer,
            under_way: Arc::new(Semaphore::new(under_way.min(Semaphore::MAX_PERMITS))),
            pool: pool(connector, limits),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What the guest's requests may not set, and what it never sees of an
    /// answer: the connection is the gate's, not the guest's.
    fn is_forbidden(name: &HeaderName) -> bool {
        const FORBIDDEN: [&str; 8] = [
            "host",
            "connection",
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "http2-settings",
        ];
        FORBIDDEN.contains(&name.as_str()) || name.as_str().starts_with("proxy-")
    }
}

fn pool(connector: Connector, limits: &Limits) -> Pool {
    let header_bytes = usize::try_from(limits.http_header_bytes.get()).unwrap_or(usize::MAX);
    let client = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(limits.http_concurrency.max(1) as usize)
        .http1_max_buf_size(header_bytes.max(MIN_HTTP1_BUFFER))
        // What is over this ends as a bare protocol error, so the gate's own check,
        // which names the limit, comes first.
        .http2_max_header_list_size(u32::try_from(header_bytes.saturating_mul(2)).unwrap_or(u32::MAX))
        .build(connector);
    Decompression::new(client).gzip(true)
}

/// A way for the guest's requests: the gate of this process, or one that leads
/// to it.
pub(crate) trait Outlet: Send {
    /// Sends a request and waits for the head of its answer.
    fn send(&mut self, request: Request<WasiBody>, options: RequestOptions) -> Answered;
}

/// The head of an answer, or why there is none.
pub(crate) type Answered = Pin<Box<dyn Future<Output = Result<Response<WasiBody>, Code>> + Send>>;

impl Outlet for HttpGate {
    fn send(&mut self, request: Request<WasiBody>, options: RequestOptions) -> Answered {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { inner.handle(request, options).await })
    }
}

/// What wasi-http asks of the host, for any outlet.
struct Hooks(Box<dyn Outlet>);

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        HttpGate::is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(HttpGate::is_forbidden)
    }

    /// Every scheme reaches the gate, which refuses with words.
    fn is_supported_scheme(&mut self, _: &Scheme) -> bool {
        true
    }

    /// The gate writes the host itself, from what it checked.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Code>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let answered = self.0.send(request, options.unwrap_or_default());
        Box::new(async move {
            let response = answered.await?;
            let done: Box<dyn Future<Output = Result<(), Code>> + Send> = Box::new(async { Ok(()) });
            Ok((response, done))
        })
    }
}

/// The times of one request: the limits', or what the guest asked for if that
/// is less.
#[derive(Debug, Clone, Copy)]
struct Times {
    connect: Duration,
    first_byte: Duration,
    idle: Duration,
}

impl Times {
    fn of(limits: &Limits, options: &RequestOptions) -> Self {
        let shorter = |limit: Duration, asked: Option<Duration>| {
            asked.map_or(limit, |asked| asked.min(limit)).min(LONGEST)
        };
        Self {
            connect: shorter(limits.http_connect_timeout.get(), options.connect_timeout),
            first_byte: shorter(limits.http_first_byte_timeout.get(), options.first_byte_timeout),
            idle: shorter(limits.http_idle_timeout.get(), options.between_bytes_timeout),
        }
    }
}

impl Inner {
    async fn handle(
        &self,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, Code> {
        let method = request.method().clone();
        let exchange = |target: &str| Arc::new(Exchange::new(Arc::clone(&self.observer), &method, target));
        let target = match Target::of(request.uri()) {
            Ok(target) => target,
            Err(message) => {
                let fault = Fault::new(Kind::Uri, message);
                exchange(&shown(request.uri())).report(&fault);
                return Err(fault.code());
            }
        };
        let exchange = exchange(&target.to_string());
        let times = Times::of(&self.limits, &options);
        let response = self.exchange(request, &target, times, &exchange).await;
        response.map_err(|fault| {
            exchange.report(&fault);
            fault.code()
        })
    }

    async fn exchange(
        &self,
        request: Request<WasiBody>,
        target: &Target,
        times: Times,
        exchange: &Arc<Exchange>,
    ) -> Result<Response<WasiBody>, Fault> {
        self.authorize(request.method(), target, exchange)?;
        let permit = self.permit().await?;
        exchange.restart();
        let guard = Guard {
            disclosure: Disclosure::new(&self.secrets, target).told_to(exchange),
            method: request.method().clone(),
            for_token: false,
            exchange: Arc::clone(exchange),
            told: Arc::clone(&self.told),
        };
        let (request, guard) =
            watched(self.prepare(request, target, guard), times.first_byte, exchange).await?;
        exchange.requested();
        let answer = self.send(request, times, exchange).await?;
        let answer = self.admit(answer, times, exchange, permit)?;
        guard.clean(answer).await
    }

    /// Method and grants.
    fn authorize(&self, method: &Method, target: &Target, exchange: &Exchange) -> Result<(), Fault> {
        let refuse = |reason: &str, grant: Option<String>| {
            let attempt = exchange.attempt().to_owned();
            Err(Fault::denied(Kind::Denied, Denied { attempt, reason: reason.to_owned(), grant }))
        };
        // Methods have a case; not every server and proxy knows it.
        if method.as_str().eq_ignore_ascii_case(Method::CONNECT.as_str()) {
            return refuse("CONNECT would open a tunnel past the gate", None);
        }
        // A server answers it with the request, secrets included.
        if method.as_str().eq_ignore_ascii_case(Method::TRACE.as_str()) {
            return refuse("TRACE would show the connector what the gate adds", None);
        }
        if target.is_granted(&self.grants) {
            return Ok(());
        }
        let reason = match target.host {
            CanonicalHost::Ip(ip) => address::refusal(ip),
            CanonicalHost::Name(_) => None,
        };
        refuse(reason.unwrap_or("origin not granted"), Some(target.grant()))
    }

    /// Waits until fewer requests are under way.
    async fn permit(&self) -> Result<OwnedSemaphorePermit, Fault> {
        let limit = self.limits.http_first_byte_timeout.get();
        let permit = tokio::time::timeout(limit, Arc::clone(&self.under_way).acquire_owned()).await;
        permit.ok().and_then(Result::ok).ok_or_else(|| {
            let message = format!(
                "{} requests were under way for {}, and the connector ended none of them",
                self.limits.http_concurrency,
                humantime::format_duration(limit)
            );
            Fault::limit(Kind::TooManyRequests, "http_concurrency", message)
        })
    }

    /// The request as it goes out: secrets in their places, and the gate's own
    /// headers. And what guards its answer.
    async fn prepare(
        &self,
        request: Request<WasiBody>,
        target: &Target,
        mut guard: Guard,
    ) -> Result<(Request<OutgoingBody>, Guard), Fault> {
        let (mut parts, body) = request.into_parts();
        let declared = declared_length(&parts.headers)?;
        let exchange = Arc::clone(&guard.exchange);
        let body = RequestBody::new(body, exchange, declared, self.limits.http_request_bytes);
        let body = self.put_into_body(body, declared, &parts.uri, &mut parts.headers, &mut guard).await?;
        parts.uri = put_into_uri(&parts.uri, target, &guard)?;
        parts.headers = self.headers(parts.headers, &parts.uri, target, &guard)?;
        parts.extensions.clear();
        Ok((Request::from_parts(parts, body), guard))
    }

    async fn put_into_body(
        &self,
        body: RequestBody,
        declared: Option<u64>,
        uri: &Uri,
        headers: &mut HeaderMap,
        guard: &mut Guard,
    ) -> Result<OutgoingBody, Fault> {
        if self.secrets.is_empty() {
            return Ok(OutgoingBody::streamed(body));
        }
        guard.for_token = token::is_asked_for(uri, headers, &[]);
        let Some(encoding) = substitute::Encoding::of_body(headers) else {
            return Ok(OutgoingBody::streamed(body));
        };
        let streamed = substitute::Stream::new(guard.disclosure.clone(), encoding);
        // The length that the guest wrote is that of the placeholders.
        headers.remove(CONTENT_LENGTH);
        if declared.is_some_and(|size| size > MAX_COLLECTED as u64) {
            return Ok(OutgoingBody::streamed(body).with_secrets(streamed));
        }
        let body = body.collect_up_to(MAX_COLLECTED).await?;
        let Some(bytes) = body.collected() else {
            return Ok(body.with_secrets(streamed));
        };
        guard.for_token = guard.for_token || token::is_asked_for(uri, headers, bytes);
        let replaced = substitute::in_bytes(bytes, &guard.disclosure, encoding)
            .map_err(|undisclosed| guard.exchange.undisclosed(undisclosed))?;
        Ok(match replaced {
            Some(replaced) => OutgoingBody::whole(Bytes::from_owner(replaced), Arc::clone(&guard.exchange)),
            None => body,
        })
    }

    fn headers(
        &self,
        mut headers: HeaderMap,
        uri: &Uri,
        target: &Target,
        guard: &Guard,
    ) -> Result<HeaderMap, Fault> {
        let forbidden: Vec<_> = headers.keys().filter(|name| HttpGate::is_forbidden(name)).cloned().collect();
        for name in forbidden {
            headers.remove(name);
        }
        substitute::in_headers(&mut headers, &guard.disclosure).map_err(|bad| match bad {
            BadHeader::Undisclosed(undisclosed) => guard.exchange.undisclosed(undisclosed),
            BadHeader::Unfit(message) => Fault::new(Kind::Configuration, message),
        })?;
        if !self.secrets.is_empty() {
            ask_for_readable(&mut headers, guard.for_token);
        }
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(DEFAULT_USER_AGENT));
        // A part of a compressed answer cannot be decompressed.
        if headers.contains_key(RANGE) {
            headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity"));
        }
        if uri.scheme() == Some(&Scheme::HTTP)
            && let Some(proxy) = self.shared.proxy(uri, target)
            && let Some(credentials) = proxy.basic_auth()
        {
            headers.insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        Ok(headers)
    }

    /// Sends, and waits for the head of the answer.
    async fn send(
        &self,
        mut request: Request<OutgoingBody>,
        times: Times,
        exchange: &Arc<Exchange>,
    ) -> Result<Answer, Fault> {
        let mut connection = capture_connection(&mut request);
        let mut pool = self.pool.clone();
        let mut answer = pool.call(request);
        let explain = |error: hyper_util::client::legacy::Error| {
            exchange.upload_fault().unwrap_or_else(|| Fault::of(&error))
        };
        tokio::select! {
            biased;
            early = &mut answer => return early.map_err(explain),
            () = async { drop(connection.wait_for_connection_metadata().await) } => {}
            () = tokio::time::sleep(times.connect) => {
                return Err(Fault::new(Kind::ConnectTimeout, no_connection(times.connect)));
            }
        }
        exchange.restart();
        watched(async { answer.await.map_err(explain) }, times.first_byte, exchange).await
    }

    /// Checks the head of the answer, and puts its body under the limits.
    fn admit(
        &self,
        answer: Answer,
        times: Times,
        exchange: &Arc<Exchange>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Response<WasiBody>, Fault> {
        let size: usize =
            answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let limit = self.limits.http_header_bytes;
        if size as u64 > limit.get() {
            let message = format!("the headers of the answer are larger than {limit}");
            return Err(Fault::limit(Kind::ResponseHeaderSize, "http_header_bytes", message));
        }
        let limit = self.limits.http_response_bytes;
        if answer.body().size_hint().lower() > limit.get() {
            return Err(too_large(limit));
        }
        let exchange = Arc::clone(exchange);
        Ok(answer.map(|body| {
            let body = body.map_err(Into::into).boxed_unsync();
            ResponseBody::new(body, exchange, limit, times.idle, permit).boxed_unsync()
        }))
    }
}

fn put_into_uri(uri: &Uri, target: &Target, guard: &Guard) -> Result<Uri, Fault> {
    let path_and_query = uri.path_and_query().map_or("/", |path| path.as_str());
    let replaced = substitute::in_path_and_query(path_and_query, &guard.disclosure)
        .map_err(|undisclosed| guard.exchange.undisclosed(undisclosed))?;
    match replaced {
        Some(replaced) => replaced.and_then(|path| target.uri(path)),
        None => target.uri(path_and_query),
    }
    .map_err(|_| Fault::new(Kind::Uri, "the URL is too long or malformed"))
}

/// A future that must end within a time, which starts anew whenever a piece of
/// the request's body gets on: an upload may take longer than a server may think.
async fn watched<T>(
    future: impl Future<Output = Result<T, Fault>>,
    limit: Duration,
    exchange: &Exchange,
) -> Result<T, Fault> {
    let mut future = std::pin::pin!(future);
    loop {
        let until = exchange.last_progress() + limit;
        match tokio::time::timeout_at(until, Pin::as_mut(&mut future)).await {
            Ok(result) => return result,
            Err(_) if exchange.last_progress() + limit > until => {}
            Err(_) => {
                let limit = humantime::format_duration(limit);
                let message = format!("no answer within {limit} (limit http_first_byte_timeout)");
                return Err(Fault::new(Kind::ResponseTimeout, message));
            }
        }
    }
}

/// The guest's Content-Length.
fn declared_length(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|text| text.parse().ok()) {
        Some(length) if values.next().is_none() => Ok(Some(length)),
        _ => Err(Fault::new(Kind::RequestHeader, "the request's content-length is no number")),
    }
}

/// What a message shows of a URL that cannot be used: no credentials.
fn shown(uri: &Uri) -> String {
    format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default())
}

/// What a run's store holds for `wasi:http`.
pub struct HttpState {
    ctx: WasiHttpCtx,
    hooks: Hooks,
}

impl fmt::Debug for HttpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpState").field("ctx", &self.ctx).finish_non_exhaustive()
    }
}

impl HttpState {
    /// With the gate of this process, and the limit on headers that the guest
    /// makes.
    #[must_use]
    pub fn new(gate: HttpGate, limits: &Limits) -> Self {
        Self::with_outlet(Box::new(gate), limits)
    }

    /// With any way for the guest's requests.
    pub(crate) fn with_outlet(outlet: Box<dyn Outlet>, limits: &Limits) -> Self {
        let mut ctx = WasiHttpCtx::new();
        ctx.set_field_size_limit(usize::try_from(limits.http_header_bytes.get()).unwrap_or(usize::MAX));
        Self { ctx, hooks: Hooks(outlet) }
    }

    /// What `WasiHttpView::http` gives back.
    pub fn view<'a>(&'a mut self, table: &'a mut ResourceTable) -> WasiHttpCtxView<'a> {
        WasiHttpCtxView { hooks: &mut self.hooks, table, ctx: &mut self.ctx }
    }
}
