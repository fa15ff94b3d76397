//! The gate against servers on the loopback interface.

use std::future::Future;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wasmtime_wasi_http::{Error as Code, RequestOptions, WasiBody};

use super::dns::Resolve;
use super::*;
use crate::config::secret::Secrets;
use crate::config::secret::rules::SecretRules;
use crate::report::Denied;
use crate::report::audit::{Audit, Granted, Traffic};
use crate::sandbox::limits::Limits;
use crate::sandbox::units::{ByteSize, Duration as Span};

mod secrets;

/// Longer than anything here takes; a test that needs it has failed.
const LONG: Duration = Duration::from_secs(20);

// --- What the gate talks to -------------------------------------------------

/// What a server saw of one request: head and body as text.
type Seen = Arc<Mutex<Vec<String>>>;

struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    seen: Seen,
}

impl Server {
    /// Answers each request with what `answer` writes.
    async fn start<F, A>(answer: F) -> Self
    where
        F: Fn(String, TcpStream) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = io::Result<Option<TcpStream>>> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let seen = Seen::default();
        let (count, log) = (Arc::clone(&connections), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (answer, log) = (answer.clone(), Arc::clone(&log));
                tokio::spawn(async move {
                    while let Ok(Some(request)) = read_request(&mut stream).await {
                        log.lock().unwrap().push(request.clone());
                        match answer(request, stream).await {
                            Ok(Some(back)) => stream = back,
                            _ => break,
                        }
                    }
                });
            }
        });
        Self { address, connections, seen }
    }

    /// Answers every request with these bytes.
    async fn saying(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Arc<[u8]> = bytes.into().into();
        Self::start(move |_, mut stream| {
            let bytes = Arc::clone(&bytes);
            async move {
                stream.write_all(&bytes).await?;
                Ok(Some(stream))
            }
        })
        .await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn last(&self) -> String {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

/// Reads one request: its head, and a body by content-length or in chunks.
async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let complete = match head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
            Some(length) => body.len() >= length.parse::<usize>().unwrap(),
            None if head.contains("transfer-encoding: chunked") => body.ends_with("0\r\n\r\n"),
            None => true,
        };
        if complete {
            return Ok(Some(text));
        }
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

// --- What the gate reports to -----------------------------------------------

#[derive(Default)]
struct Observed {
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    denied: Mutex<Vec<Denied>>,
    failed: Mutex<Vec<String>>,
    noted: Mutex<Vec<String>>,
    limits: Mutex<Vec<&'static str>>,
    audit: Audit,
}

impl HttpObserver for Observed {
    fn request(&self) {
        self.requests.fetch_add(1, Ordering::SeqCst);
    }
    fn traffic(&self, origin: &str) -> Arc<Traffic> {
        self.audit.traffic(origin)
    }
    fn secret_used(&self, name: &str, origin: &str, times: u64) {
        self.audit.secret_used(name, origin, times);
    }
    fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::SeqCst);
    }
    fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::SeqCst);
    }
    fn denied(&self, denied: Denied) {
        self.denied.lock().unwrap().push(denied);
    }
    fn failed(&self, message: &str) {
        self.failed.lock().unwrap().push(message.to_owned());
    }
    fn noted(&self, message: &str) {
        self.noted.lock().unwrap().push(message.to_owned());
    }
    fn limit_reached(&self, limit: &'static str, message: &str) {
        self.limits.lock().unwrap().push(limit);
        self.failed(message);
    }
}

impl Observed {
    fn failure(&self) -> String {
        self.failed.lock().unwrap().last().cloned().unwrap_or_default()
    }
    fn denial(&self) -> Denied {
        self.denied.lock().unwrap().last().unwrap().clone()
    }
    fn limit(&self) -> Option<&'static str> {
        self.limits.lock().unwrap().last().copied()
    }
}

// --- The gate, set up -------------------------------------------------------

/// Names that exist in a test.
struct Names(Vec<(&'static str, Vec<&'static str>)>);

impl Resolve for Names {
    fn resolve<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        let found = found.map(|(_, addresses)| addresses.iter().map(|a| a.parse().unwrap()).collect());
        Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
    }
}

struct Setup {
    grants: Vec<Origin>,
    limits: Limits,
    secrets: Secrets,
    names: Names,
    roots: Vec<CertificateDer<'static>>,
    proxies: Matcher,
}

impl Setup {
    fn granting(grants: &[&str]) -> Self {
        Self {
            grants: grants.iter().map(|grant| grant.parse().unwrap()).collect(),
            limits: Limits::default(),
            secrets: Secrets::new(),
            names: Names(Vec::new()),
            roots: Vec::new(),
            proxies: Matcher::builder().build(),
        }
    }

    fn to(server: &Server) -> Self {
        Self::granting(&[&server.address.to_string()])
    }

    /// Binds secrets to origins.
    fn bound(self, bindings: &[(&str, &str)]) -> Self {
        let mut rules = SecretRules::default();
        for (name, origin) in bindings {
            rules.origins.entry((*name).to_owned()).or_default().push(origin.parse().unwrap());
        }
        self.rules(rules)
    }

    fn rules(mut self, rules: SecretRules) -> Self {
        self.secrets.set_rules(rules);
        self
    }

    fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    fn gate(self) -> (HttpGate, Arc<Observed>) {
        let observed = Arc::new(Observed::default());
        let client = HttpClient::with(self.roots, self.proxies, Arc::new(self.names));
        let observer: Arc<dyn HttpObserver> = Arc::clone(&observed) as _;
        (HttpGate::new(&client, self.grants, &self.limits, Arc::new(self.secrets), observer), observed)
    }
}

fn body(bytes: impl Into<Bytes>) -> WasiBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

fn get(url: &str) -> Request<WasiBody> {
    Request::get(url).body(body("")).unwrap()
}

async fn send_with(
    gate: &HttpGate,
    request: Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<Response<WasiBody>, Code> {
    let answer = gate.clone().send(request, options.unwrap_or_default());
    tokio::time::timeout(LONG, answer).await.expect("takes too long")
}

async fn send(gate: &HttpGate, request: Request<WasiBody>) -> Result<Response<WasiBody>, Code> {
    send_with(gate, request, None).await
}

async fn read(answer: Response<WasiBody>) -> Result<Bytes, Code> {
    let body = tokio::time::timeout(LONG, answer.into_body().collect()).await.expect("takes too long");
    body.map(http_body_util::Collected::to_bytes)
}

async fn text(gate: &HttpGate, url: &str) -> String {
    let answer = send(gate, get(url)).await.unwrap();
    String::from_utf8(read(answer).await.unwrap().to_vec()).unwrap()
}

async fn error(gate: &HttpGate, url: &str) -> Code {
    match send(gate, get(url)).await {
        Ok(answer) => read(answer).await.unwrap_err(),
        Err(code) => code,
    }
}

// --- Connections ------------------------------------------------------------

#[tokio::test]
async fn a_connection_is_used_again_within_a_run_and_never_by_another() {
    let server = Server::saying(OK).await;
    let (gate, observed) = Setup::to(&server).gate();
    for _ in 0..5 {
        assert_eq!(text(&gate, &server.url("/")).await, "ok");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    assert_eq!(observed.requests.load(Ordering::SeqCst), 5);
    assert_eq!(observed.received.load(Ordering::SeqCst), 10);
    let client = HttpClient::with(Vec::new(), Matcher::builder().build(), Arc::new(Names(Vec::new())));
    for _ in 0..2 {
        let grants = vec![server.address.to_string().parse().unwrap()];
        let observer: Arc<dyn HttpObserver> = Arc::new(Observed::default());
        let gate = HttpGate::new(&client, grants, &Limits::default(), Arc::new(Secrets::new()), observer);
        assert_eq!(text(&gate, &server.url("/")).await, "ok");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn requests_carry_the_gates_own_headers_and_no_others() {
    let server = Server::saying(OK).await;
    let (gate, _) = Setup::to(&server).gate();
    let mut request = get(&server.url("/a/../b?x=%7E"));
    for (name, value) in [
        ("host", "evil.example"),
        ("connection", "upgrade"),
        ("keep-alive", "1"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("proxy-authorization", "x"),
        ("proxy-foo", "x"),
        ("http2-settings", "x"),
        ("x-own", "stays"),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    read(send(&gate, request).await.unwrap()).await.unwrap();
    let mut lines: Vec<String> = server.last().lines().map(str::to_owned).collect();
    lines.sort();
    let mut expected = vec![
        String::new(),
        "GET /a/../b?x=%7E HTTP/1.1".to_owned(),
        "accept-encoding: gzip".to_owned(),
        format!("host: {}", server.address),
        format!("user-agent: ow-host/{}", env!("CARGO_PKG_VERSION")),
        "x-own: stays".to_owned(),
    ];
    expected.sort();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn what_the_guest_says_of_itself_stays() {
    let server = Server::saying(OK).await;
    let (gate, _) = Setup::to(&server).gate();
    let mut request = get(&server.url("/"));
    request.headers_mut().insert("user-agent", HeaderValue::from_static("connector/2"));
    request.headers_mut().insert("accept-encoding", HeaderValue::from_static("identity"));
    read(send(&gate, request).await.unwrap()).await.unwrap();
    assert!(server.last().contains("user-agent: connector/2\r\n"));
    assert!(server.last().contains("accept-encoding: identity\r\n"));
    let mut request = get(&server.url("/"));
    request.headers_mut().insert("range", HeaderValue::from_static("bytes=0-1"));
    read(send(&gate, request).await.unwrap()).await.unwrap();
    assert!(server.last().contains("accept-encoding: identity\r\n"));
}

#[tokio::test]
async fn redirects_are_answers_and_not_followed() {
    let server = Server::saying(
        "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let (gate, _) = Setup::to(&server).gate();
    let answer = send(&gate, get(&server.url("/"))).await.unwrap();
    assert_eq!(answer.status(), 302);
    assert_eq!(answer.headers()["location"], "http://169.254.169.254/");
    read(answer).await.unwrap();
    assert_eq!(server.requests(), 1);
    let hop = error(&gate, "http://169.254.169.254/").await;
    assert!(matches!(hop, Code::HttpRequestDenied), "{hop}");
}

#[tokio::test]
async fn a_refused_connection_is_explained_without_path_and_query() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (gate, observed) = Setup::granting(&[&address.to_string()]).gate();
    let code = error(&gate, &format!("http://{address}/secret-path?token=hunter2")).await;
    assert!(matches!(code, Code::ConnectionRefused), "{code}");
    assert_eq!(observed.failure(), format!("GET http://{address}/…: connection refused"));
}

#[tokio::test]
async fn a_server_that_hangs_up_or_talks_nonsense_is_explained() {
    let server = Server::start(|request, mut stream| async move {
        if request.starts_with("GET /nonsense") {
            stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n\r\n").await?;
        }
        if request.starts_with("GET /half") {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await?;
        }
        Ok(None)
    })
    .await;
    let (gate, observed) = Setup::to(&server).gate();
    for path in ["/hang-up", "/half"] {
        let code = error(&gate, &server.url(path)).await;
        assert!(matches!(code, Code::HttpResponseIncomplete), "{path}: {code:?}");
        assert!(observed.failure().ends_with("closed the connection before the answer was complete"));
    }
    let code = error(&gate, &server.url("/nonsense")).await;
    assert!(matches!(code, Code::HttpProtocolError), "{code:?}");
    assert!(observed.failure().ends_with("the answer is no valid HTTP"), "{}", observed.failure());
}

// --- What is refused --------------------------------------------------------

#[tokio::test]
async fn an_origin_that_is_not_granted_is_denied_with_the_flag() {
    let (gate, observed) = Setup::granting(&["https://api.example.com"]).gate();
    for (url, grant) in [
        ("https://other.example.com/x?y", "--allow-net https://other.example.com"),
        ("https://api.example.com:8443/", "--allow-net https://api.example.com:8443"),
        ("http://api.example.com/", "--allow-net http://api.example.com"),
        ("https://api.example.com.evil.org/", "--allow-net https://api.example.com.evil.org"),
    ] {
        let code = error(&gate, url).await;
        assert!(matches!(code, Code::HttpRequestDenied), "{url}: {code}");
        let denied = observed.denial();
        assert_eq!(denied.reason, "origin not granted");
        assert_eq!(denied.grant.as_deref(), Some(grant));
        assert_eq!(denied.attempt, format!("GET {}", grant.strip_prefix("--allow-net ").unwrap()));
    }
    assert_eq!(observed.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn every_notation_of_a_refused_address_is_refused() {
    let server = Server::saying(OK).await;
    let port = server.address.port();
    let (gate, observed) = Setup::granting(&["https://api.example.com", "*.example.com", "localhost"]).gate();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ] {
        let code = error(&gate, &format!("http://{host}:{port}/")).await;
        assert!(matches!(code, Code::HttpRequestDenied), "{host}: {code}");
        assert_eq!(observed.denial().reason, "loopback address", "{host}");
    }
    let code = error(&gate, "http://169.254.169.254/latest/meta-data").await;
    assert!(matches!(code, Code::HttpRequestDenied), "{code}");
    let denied = observed.denial();
    assert_eq!(denied.attempt, "GET http://169.254.169.254");
    assert_eq!(denied.reason, "link-local address");
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_leads_to_refused_addresses_is_denied_with_the_reason() {
    let server = Server::saying(OK).await;
    let port = server.address.port();
    let origin = format!("http://rebind.example.com:{port}");
    let mut setup = Setup::granting(&[&origin]);
    setup.names = Names(vec![("rebind.example.com", vec!["127.0.0.1", "10.0.0.1"])]);
    let (gate, observed) = setup.gate();
    let code = error(&gate, &format!("{origin}/path")).await;
    assert!(matches!(code, Code::DestinationIpProhibited), "{code}");
    let denied = observed.denial();
    assert_eq!(denied.attempt, format!("GET {origin}"));
    assert_eq!(denied.reason, "loopback address (127.0.0.1)");
    assert_eq!(denied.grant, Some(format!("--allow-net http://127.0.0.1:{port}")));
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
    // With that flag it works.
    let mut setup = Setup::granting(&[&origin, &format!("http://127.0.0.1:{port}")]);
    setup.names = Names(vec![("rebind.example.com", vec!["127.0.0.1"])]);
    let (gate, _) = setup.gate();
    assert_eq!(text(&gate, &format!("{origin}/")).await, "ok");
    assert!(server.last().contains(&format!("host: rebind.example.com:{port}\r\n")));
}

/// A name that is another machine each time somebody asks.
struct Rebinding {
    answers: Mutex<Vec<&'static str>>,
    asked: AtomicUsize,
}

impl Resolve for Rebinding {
    fn resolve<'a>(
        &'a self,
        _: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let next = if answers.len() > 1 { answers.remove(0) } else { answers[0] };
        Box::pin(async move { Ok(vec![next.parse().unwrap()]) })
    }
}

#[tokio::test]
async fn a_name_that_changes_between_check_and_connection_leads_nowhere_else() {
    let server = Server::saying(OK).await;
    let port = server.address.port();
    let origin = format!("http://rebind.example.com:{port}");
    // The address that is granted at first, then one that is not: were the name
    // asked once for the check and again for the connection, the second would count.
    let names = Arc::new(Rebinding {
        answers: Mutex::new(vec!["127.0.0.1", "127.0.0.2", "10.0.0.1"]),
        asked: AtomicUsize::new(0),
    });
    let observed = Arc::new(Observed::default());
    let client = HttpClient::with(Vec::new(), Matcher::builder().build(), Arc::clone(&names) as _);
    let grants = [&origin, &format!("http://127.0.0.1:{port}")].map(|grant| grant.parse().unwrap());
    let gate = |observed: &Arc<Observed>| {
        let observer: Arc<dyn HttpObserver> = Arc::clone(observed) as _;
        HttpGate::new(&client, grants.to_vec(), &Limits::default(), Arc::new(Secrets::new()), observer)
    };
    assert_eq!(text(&gate(&observed), &format!("{origin}/")).await, "ok");
    assert_eq!(names.asked.load(Ordering::SeqCst), 1, "one resolution a connection");
    for reason in ["loopback address (127.0.0.2)", "private address (10.0.0.1)"] {
        let code = error(&gate(&observed), &format!("{origin}/")).await;
        assert!(matches!(code, Code::DestinationIpProhibited), "{code}");
        assert_eq!(observed.denial().reason, reason);
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn localhost_works_where_it_is_granted() {
    let server = Server::saying(OK).await;
    let port = server.address.port();
    let (gate, _) = Setup::granting(&[&format!("localhost:{port}")]).gate();
    assert_eq!(text(&gate, &format!("http://localhost:{port}/")).await, "ok");
    assert_eq!(text(&gate, &format!("http://LOCALHOST.:{port}/")).await, "ok");
    let code = error(&gate, &format!("http://127.0.0.1:{port}/")).await;
    assert!(matches!(code, Code::HttpRequestDenied), "{code}");
    let code = error(&gate, &format!("http://a.localhost:{port}/")).await;
    assert!(matches!(code, Code::HttpRequestDenied), "{code}");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_dns_error() {
    let (gate, observed) = Setup::granting(&["https://missing.example.com"]).gate();
    let code = error(&gate, "https://missing.example.com/").await;
    assert!(matches!(code, Code::DnsError { .. }), "{code}");
    assert_eq!(
        observed.failure(),
        "GET https://missing.example.com/…: the name does not resolve: no such name"
    );
}

#[tokio::test]
async fn methods_and_schemes_that_go_around_the_gate_are_refused() {
    let (gate, observed) = Setup::granting(&["https://api.example.com"]).gate();
    for method in ["CONNECT", "TRACE", "connect", "Trace"] {
        let request = Request::builder().method(method).uri("https://api.example.com/");
        let code = send(&gate, request.body(body("")).unwrap()).await.unwrap_err();
        assert!(matches!(code, Code::HttpRequestDenied), "{method}: {code}");
        assert_eq!(observed.denial().grant, None);
    }
    for url in
        ["ftp://api.example.com/", "https://user:hunter2@api.example.com/", "https://api.example.com:0/"]
    {
        let code = error(&gate, url).await;
        assert!(matches!(code, Code::HttpRequestUriInvalid), "{url}: {code}");
        assert!(!observed.failure().contains("hunter2"), "{}", observed.failure());
    }
}

// --- Limits -----------------------------------------------------------------

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

#[tokio::test]
async fn compressed_answers_arrive_decompressed() {
    let plain = "row,".repeat(100_000);
    let server = Server::saying(answer("content-encoding: gzip\r\n", &gzip(plain.as_bytes()))).await;
    let (gate, observed) = Setup::to(&server).gate();
    let got = send(&gate, get(&server.url("/"))).await.unwrap();
    assert!(!got.headers().contains_key("content-encoding"));
    assert!(!got.headers().contains_key("content-length"));
    assert_eq!(read(got).await.unwrap(), plain);
    assert_eq!(observed.received.load(Ordering::SeqCst), plain.len() as u64);
    // Also where the guest asked by itself.
    let mut request = get(&server.url("/"));
    request.headers_mut().insert("accept-encoding", HeaderValue::from_static("gzip, br"));
    assert_eq!(read(send(&gate, request).await.unwrap()).await.unwrap(), plain);
}

#[tokio::test]
async fn an_answer_to_head_may_say_that_it_would_be_compressed() {
    let server =
        Server::saying("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 500\r\n\r\n").await;
    let (gate, _) = Setup::to(&server).gate();
    let answer = send(&gate, Request::head(server.url("/")).body(body("")).unwrap()).await.unwrap();
    assert_eq!(read(answer).await.unwrap(), "");
}

#[tokio::test]
async fn a_gzip_bomb_ends_at_the_limit() {
    let bomb = gzip(&vec![0; 64 * 1024 * 1024]);
    assert!(bomb.len() < 100_000);
    let server = Server::saying(answer("content-encoding: gzip\r\n", &bomb)).await;
    let (gate, observed) = Setup::to(&server).limits(|l| l.http_response_bytes = ByteSize::mib(1)).gate();
    let code = error(&gate, &server.url("/")).await;
    assert!(matches!(code, Code::HttpResponseBodySize(Some(1_048_576))), "{code}");
    assert!(observed.received.load(Ordering::SeqCst) <= 1_048_576);
    assert_eq!(observed.limit(), Some("http_response_bytes"));
    assert!(observed.failure().ends_with("the answer is larger than 1MiB (limit http_response_bytes)"));
}

#[tokio::test]
async fn damaged_compression_is_explained() {
    let mut damaged = gzip(&b"x".repeat(1000));
    damaged.truncate(damaged.len() - 10);
    let server = Server::saying(answer("content-encoding: gzip\r\n", &damaged)).await;
    let (gate, _) = Setup::to(&server).gate();
    let code = error(&gate, &server.url("/")).await;
    assert!(matches!(code, Code::HttpResponseIncomplete), "{code:?}");
    let server = Server::saying(answer("content-encoding: gzip\r\n", b"no gzip at all")).await;
    let (gate, observed) = Setup::to(&server).gate();
    let code = error(&gate, &server.url("/")).await;
    assert!(matches!(code, Code::HttpResponseContentCoding(_)), "{code:?}");
    assert!(observed.failure().ends_with("the compressed answer is damaged"), "{}", observed.failure());
}

#[tokio::test]
async fn an_answer_over_the_limit_ends() {
    let known = Server::saying(answer("", &[b'x'; 2000])).await;
    let mut chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    chunked.extend_from_slice(format!("7d0\r\n{}\r\n0\r\n\r\n", "x".repeat(2000)).as_bytes());
    let unknown = Server::saying(chunked).await;
    for server in [known, unknown] {
        let (gate, observed) = Setup::to(&server).limits(|l| l.http_response_bytes = ByteSize::kib(1)).gate();
        let code = error(&gate, &server.url("/")).await;
        assert!(matches!(code, Code::HttpResponseBodySize(Some(1024))), "{code}");
        assert_eq!(observed.limit(), Some("http_response_bytes"));
        let (gate, _) = Setup::to(&server).gate();
        assert_eq!(text(&gate, &server.url("/")).await.len(), 2000);
    }
}

#[tokio::test]
async fn headers_over_the_limit_are_refused() {
    for size in [5_000, 20_000] {
        let header = format!("x-large: {}\r\n", "x".repeat(size));
        let server = Server::saying(answer(&header, b"ok")).await;
        let (gate, observed) = Setup::to(&server).limits(|l| l.http_header_bytes = ByteSize::kib(4)).gate();
        let code = error(&gate, &server.url("/")).await;
        assert!(matches!(code, Code::HttpResponseHeaderSectionSize(_)), "{size}: {code:?}");
        assert_eq!(observed.limit(), Some("http_header_bytes"));
    }
}

#[tokio::test]
async fn a_request_body_over_the_limit_is_not_sent() {
    let server = Server::saying(OK).await;
    let (gate, observed) = Setup::to(&server).limits(|l| l.http_request_bytes = ByteSize::kib(1)).gate();
    let code =
        send(&gate, Request::post(server.url("/")).body(body(vec![0; 2000])).unwrap()).await.unwrap_err();
    assert!(matches!(code, Code::HttpRequestBodySize(Some(1024))), "{code:?}");
    assert_eq!(observed.limit(), Some("http_request_bytes"));
    assert_eq!(observed.sent.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_wrong_content_length_is_refused() {
    let server = Server::saying(OK).await;
    let (gate, observed) = Setup::to(&server).gate();
    for (declared, says) in
        [("5", "wrote less"), ("2", "wrote more"), ("x", "no number"), ("+3", "no number")]
    {
        let mut request = Request::post(server.url("/")).body(body("abc")).unwrap();
        request.headers_mut().insert("content-length", declared.parse().unwrap());
        send(&gate, request).await.unwrap_err();
        assert!(observed.failure().contains(says), "{declared}: {}", observed.failure());
    }
    let mut request = Request::post(server.url("/")).body(body("abc")).unwrap();
    request.headers_mut().insert("content-length", HeaderValue::from_static("3"));
    read(send(&gate, request).await.unwrap()).await.unwrap();
    assert!(server.last().ends_with("\r\n\r\nabc"));
    assert_eq!(observed.sent.load(Ordering::SeqCst) % 3, 0);
}

#[tokio::test]
async fn a_slow_head_is_a_first_byte_timeout() {
    let server = Server::start(|_, stream| async move {
        tokio::time::sleep(LONG).await;
        Ok(Some(stream))
    })
    .await;
    let short = Span::from(Duration::from_millis(100));
    let (gate, observed) = Setup::to(&server).limits(|l| l.http_first_byte_timeout = short).gate();
    let code = error(&gate, &server.url("/")).await;
    assert!(matches!(code, Code::HttpResponseTimeout), "{code}");
    assert!(observed.failure().ends_with("no answer within 100ms (limit http_first_byte_timeout)"));
    // The guest may ask for less, also for nothing at all, and never for more.
    let (patient, _) = Setup::to(&server).gate();
    for asked in [Duration::from_millis(50), Duration::ZERO] {
        let options = RequestOptions { first_byte_timeout: Some(asked), ..RequestOptions::default() };
        let code = send_with(&patient, get(&server.url("/")), Some(options)).await.unwrap_err();
        assert!(matches!(code, Code::HttpResponseTimeout), "{code}");
    }
    let options = RequestOptions { first_byte_timeout: Some(Duration::MAX), ..RequestOptions::default() };
    let code = send_with(&gate, get(&server.url("/")), Some(options)).await.unwrap_err();
    assert!(matches!(code, Code::HttpResponseTimeout), "{code}");
}

#[tokio::test]
async fn a_slow_body_is_an_idle_timeout() {
    let server = Server::start(|_, mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await?;
        tokio::time::sleep(LONG).await;
        Ok(Some(stream))
    })
    .await;
    let short = Span::from(Duration::from_millis(100));
    let (gate, observed) = Setup::to(&server).limits(|l| l.http_idle_timeout = short).gate();
    let code = error(&gate, &server.url("/")).await;
    assert!(matches!(code, Code::ConnectionReadTimeout), "{code}");
    assert!(observed.failure().contains("within 100ms (limit http_idle_timeout)"));
    assert_eq!(observed.received.load(Ordering::SeqCst), 4);
    let (gate, _) = Setup::to(&server).gate();
    let options = RequestOptions { between_bytes_timeout: Some(Duration::ZERO), ..RequestOptions::default() };
    let answer = send_with(&gate, get(&server.url("/")), Some(options)).await.unwrap();
    assert!(matches!(read(answer).await.unwrap_err(), Code::ConnectionReadTimeout));
}

#[tokio::test]
async fn a_connection_that_never_stands_is_a_connect_timeout() {
    // Accepts, and never answers the TLS handshake.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let certificate = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    let mut setup = Setup::granting(&[&address.to_string()]);
    setup.roots = vec![certificate.cert.der().clone()];
    setup.limits.http_connect_timeout = Span::from(Duration::from_millis(300));
    let (gate, observed) = setup.gate();
    let code = error(&gate, &format!("https://{address}/")).await;
    assert!(matches!(code, Code::ConnectionTimeout), "{code}");
    assert!(observed.failure().ends_with("no connection within 300ms (limit http_connect_timeout)"));
    let options = RequestOptions { connect_timeout: Some(Duration::ZERO), ..RequestOptions::default() };
    let code = send_with(&gate, get(&format!("https://{address}/")), Some(options)).await.unwrap_err();
    assert!(matches!(code, Code::ConnectionTimeout), "{code}");
}

#[tokio::test]
async fn no_more_requests_than_allowed_are_under_way() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, peak) = (Arc::clone(&now), Arc::clone(&most));
    let server = Server::start(move |_, mut stream| {
        let (count, peak) = (Arc::clone(&count), Arc::clone(&peak));
        async move {
            peak.fetch_max(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(30)).await;
            count.fetch_sub(1, Ordering::SeqCst);
            stream.write_all(OK.as_bytes()).await?;
            Ok(Some(stream))
        }
    })
    .await;
    let (gate, _) = Setup::to(&server).limits(|l| l.http_concurrency = 2).gate();
    let url = server.url("/");
    let all = (0..8).map(|_| {
        let (gate, url) = (gate.clone(), url.clone());
        tokio::spawn(async move { text(&gate, &url).await })
    });
    for one in all.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), "ok");
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
    assert!(server.connections.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn a_guest_that_ends_no_request_is_told() {
    let server = Server::saying(answer("", &[b'x'; 100])).await;
    let setup = Setup::to(&server).limits(|l| {
        l.http_concurrency = 1;
        l.http_first_byte_timeout = Span::from(Duration::from_millis(200));
    });
    let (gate, observed) = setup.gate();
    let held = send(&gate, get(&server.url("/"))).await.unwrap();
    let code = error(&gate, &server.url("/")).await;
    assert!(matches!(code, Code::ConnectionLimitReached), "{code}");
    assert_eq!(observed.limit(), Some("http_concurrency"));
    drop(held);
    assert_eq!(text(&gate, &server.url("/")).await.len(), 100);
}

#[tokio::test]
async fn an_upload_that_gets_on_may_take_long() {
    let server = Server::saying(OK).await;
    let short = Span::from(Duration::from_millis(400));
    let (gate, observed) = Setup::to(&server).limits(|l| l.http_first_byte_timeout = short).gate();
    let pieces = futures_util::stream::unfold(0, |n| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        (n < 8).then(|| (Ok::<_, Code>(http_body::Frame::data(Bytes::from_static(b"piece"))), n + 1))
    });
    let request = Request::post(server.url("/")).body(StreamBody::new(pieces).boxed_unsync()).unwrap();
    assert_eq!(read(send(&gate, request).await.unwrap()).await.unwrap(), "ok");
    assert_eq!(observed.sent.load(Ordering::SeqCst), 40);
    assert!(server.last().contains("transfer-encoding: chunked"));
}

// --- Secrets ----------------------------------------------------------------

#[tokio::test]
async fn secrets_enter_where_they_belong_and_lengths_are_right() {
    let server = Server::saying(OK).await;
    let mut setup = Setup::to(&server);
    let key = setup.secrets.add("ApiKey", "s3cr\"t & more").to_owned();
    let (gate, observed) = setup.gate();
    let json = format!("{{\"key\":\"{key}\"}}");
    let mut request = Request::post(server.url(&format!("/{key}?k={key}"))).body(body(json.clone())).unwrap();
    let headers = request.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("content-length", json.len().to_string().parse().unwrap());
    headers.insert("authorization", format!("Bearer {key}").parse().unwrap());
    read(send(&gate, request).await.unwrap()).await.unwrap();
    let seen = server.last();
    assert!(seen.starts_with("POST /s3cr%22t%20%26%20more?k=s3cr%22t%20%26%20more HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("authorization: Bearer s3cr\"t & more\r\n"), "{seen}");
    assert!(seen.contains("content-length: 24\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\n{\"key\":\"s3cr\\\"t & more\"}"), "{seen}");
    assert!(!seen.contains("OWSECRET"), "{seen}");
    assert_eq!(observed.sent.load(Ordering::SeqCst), json.len() as u64);
}

#[tokio::test]
async fn secrets_go_to_granted_origins_only_and_never_into_a_name() {
    let server = Server::saying(OK).await;
    let mut setup = Setup::to(&server);
    setup.grants.push("*.example.com".parse().unwrap());
    let key = setup.secrets.add("ApiKey", "hunter2").to_owned();
    let (gate, observed) = setup.gate();
    let code = error(&gate, &format!("https://evil.org/?k={key}")).await;
    assert!(matches!(code, Code::HttpRequestDenied), "{code}");
    let code = error(&gate, &format!("https://{key}.example.com/")).await;
    assert!(matches!(code, Code::DnsError { .. }), "{code}");
    assert!(observed.failure().contains(&key.to_lowercase()));
}

#[tokio::test]
async fn secrets_and_origins_are_counted_where_they_were_used() {
    let server = Server::saying(OK).await;
    let mut setup = Setup::to(&server);
    let key = setup.secrets.add("ApiKey", "hunter2").to_owned();
    let other = setup.secrets.add("Other", "hunter3").to_owned();
    let (gate, observed) = setup.gate();
    let json = format!("{{\"key\":\"{key}\"}}");
    let mut request = Request::post(server.url(&format!("/?k={key}"))).body(body(json.clone())).unwrap();
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    read(send(&gate, request).await.unwrap()).await.unwrap();
    error(&gate, &format!("https://evil.org/?k={other}")).await;

    let origin = server.url("").trim_end_matches('/').to_owned();
    let origins = vec![server.address.to_string().parse().unwrap()];
    observed.audit.grant(Granted { origins, ..Granted::default() });
    let report = observed.audit.report();
    let [used] = report.origins.as_slice() else { panic!("{report:?}") };
    assert_eq!(used.origin.as_deref(), Some(origin.as_str()));
    assert_eq!((used.requests, used.request_bytes, used.response_bytes), (1, json.len() as u64, 2));
    let [secret] = report.secrets.as_slice() else { panic!("{report:?}") };
    assert_eq!((secret.name.as_str(), secret.put.len(), secret.put[0].count), ("ApiKey", 1, 3));
    assert_eq!(secret.put[0].origin, origin);
}

#[tokio::test]
async fn a_secret_that_no_header_can_carry_is_explained() {
    let server = Server::saying(OK).await;
    let mut setup = Setup::to(&server);
    let key = setup.secrets.add("ApiKey", "hunter2\r\nx-injected: 1").to_owned();
    let (gate, observed) = setup.gate();
    let mut request = get(&server.url("/"));
    request.headers_mut().insert("x-api-key", key.parse().unwrap());
    let code = send(&gate, request).await.unwrap_err();
    assert!(matches!(code, Code::ConfigurationError), "{code}");
    assert!(observed.failure().contains("the value of the parameter 'ApiKey'"), "{}", observed.failure());
    assert!(!observed.failure().contains("hunter2"));
    assert_eq!(server.requests(), 0);
}

// --- TLS, HTTP/2, proxies ---------------------------------------------------

/// A certificate for these names, and how a server presents it.
fn certificate(names: &[&str], protocol: &[u8]) -> (CertificateDer<'static>, tokio_rustls::TlsAcceptor) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    (made.cert.der().clone(), tokio_rustls::TlsAcceptor::from(Arc::new(config)))
}

async fn serve_h2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| async move {
        let seen = format!("{:?} {}", request.version(), request.uri());
        let large = if request.uri().path() == "/large" { "x".repeat(20_000) } else { String::new() };
        let sent = request.into_body().collect().await?.to_bytes();
        let answer = Response::builder().header("x-large", large);
        let text = Full::new(Bytes::from(format!("{seen} {}", sent.len())));
        Ok::<_, hyper::Error>(answer.body(text).unwrap())
    });
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// A server of HTTP/2 over TLS for `api.localhost` and `api.example.com`.
async fn h2_server() -> (SocketAddr, CertificateDer<'static>, Arc<AtomicUsize>) {
    let (root, acceptor) = certificate(&["api.localhost", "api.example.com"], b"h2");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve_h2(stream).await;
                }
            });
        }
    });
    (address, root, connections)
}

#[tokio::test]
async fn http2_is_spoken_where_the_server_can() {
    let (address, root, connections) = h2_server().await;
    let origin = format!("https://api.localhost:{}", address.port());
    let mut setup = Setup::granting(&[&origin]);
    setup.roots = vec![root];
    setup.limits.http_request_bytes = ByteSize::kib(1);
    setup.limits.http_header_bytes = ByteSize::kib(16);
    let (gate, observed) = setup.gate();
    assert_eq!(text(&gate, &format!("{origin}/a?b=c")).await, format!("HTTP/2.0 {origin}/a?b=c 0"));
    let all = (0..5).map(|_| {
        let (gate, url) = (gate.clone(), format!("{origin}/"));
        tokio::spawn(async move { text(&gate, &url).await })
    });
    for one in all.collect::<Vec<_>>() {
        assert!(one.await.unwrap().starts_with("HTTP/2.0"));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    let code = error(&gate, &format!("{origin}/large")).await;
    assert!(matches!(code, Code::HttpResponseHeaderSectionSize(_)), "{code:?}");
    assert_eq!(observed.limit(), Some("http_header_bytes"));
    // What is wrong with a body is told here as well.
    let request = Request::post(format!("{origin}/")).body(body(vec![0; 2000])).unwrap();
    let code = send(&gate, request).await.unwrap_err();
    assert!(matches!(code, Code::HttpRequestBodySize(Some(1024))), "{code:?}");
    assert_eq!(observed.limit(), Some("http_request_bytes"));
}

#[tokio::test]
async fn tls_sessions_are_resumed_within_a_run_and_never_by_another() {
    let (root, acceptor) = certificate(&["api.localhost"], b"http/1.1");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&kinds);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = acceptor.accept(stream).await.unwrap();
            log.lock().unwrap().push(stream.get_ref().1.handshake_kind().unwrap());
            read_request(&mut stream).await.unwrap();
            let close = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
            stream.write_all(close.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    let client = HttpClient::with(vec![root], Matcher::builder().build(), Arc::new(Names(Vec::new())));
    let origin = format!("https://api.localhost:{port}");
    for _ in 0..2 {
        let observer: Arc<dyn HttpObserver> = Arc::new(Observed::default());
        let grants = vec![origin.parse().unwrap()];
        let gate = HttpGate::new(&client, grants, &Limits::default(), Arc::new(Secrets::new()), observer);
        for _ in 0..2 {
            assert_eq!(text(&gate, &format!("{origin}/")).await, "ok");
        }
    }
    use rustls::HandshakeKind::{Full, Resumed};
    assert_eq!(*kinds.lock().unwrap(), [Full, Resumed, Full, Resumed]);
}

#[tokio::test]
async fn certificates_are_checked() {
    let (address, root, _) = h2_server().await;
    let stranger = certificate(&["x.example"], b"h2").0;
    let port = address.port();
    for (roots, host) in [(vec![stranger], "api.localhost"), (vec![root], "other.localhost")] {
        let origin = format!("https://{host}:{port}");
        let mut setup = Setup::granting(&[&origin]);
        setup.roots = roots;
        let (gate, observed) = setup.gate();
        let code = error(&gate, &format!("{origin}/")).await;
        assert!(matches!(code, Code::TlsCertificateError), "{code:?}");
        assert!(observed.failure().contains("invalid peer certificate"), "{}", observed.failure());
    }
}

#[tokio::test]
async fn https_to_a_server_without_tls_is_explained() {
    let server = Server::start(|_, _| async { Ok(None) }).await;
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    drop(server);
    let mut setup = Setup::granting(&[&address.to_string()]);
    setup.roots = vec![certificate(&["x.example"], b"h2").0];
    let (gate, observed) = setup.gate();
    let code = error(&gate, &format!("https://{address}/")).await;
    assert!(matches!(code, Code::TlsProtocolError), "{code:?}");
    assert!(!observed.failure().is_empty());
}

#[tokio::test]
async fn a_proxy_gets_plain_requests_in_absolute_form_with_its_credentials() {
    let proxy = Server::saying(OK).await;
    let mut setup = Setup::granting(&["http://api.example.com"]);
    setup.proxies = Matcher::builder().http(format!("http://user:pw@{}", proxy.address)).build();
    let (gate, _) = setup.gate();
    assert_eq!(text(&gate, "http://api.example.com/a?b").await, "ok");
    let seen = proxy.last();
    assert!(seen.starts_with("GET http://api.example.com/a?b HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("proxy-authorization: Basic dXNlcjpwdw==\r\n"), "{seen}");
    assert_eq!(proxy.requests(), 1);
    // The proxy's address is the operator's choice, the target is not.
    let code = error(&gate, &format!("http://{}/", proxy.address)).await;
    assert!(matches!(code, Code::HttpRequestDenied), "{code}");
}

#[tokio::test]
async fn this_machine_is_not_reached_through_a_proxy() {
    let (server, proxy) = (Server::saying(OK).await, Server::saying(OK).await);
    let port = server.address.port();
    let mut setup = Setup::granting(&[&format!("localhost:{port}"), &format!("127.0.0.1:{port}")]);
    setup.proxies = Matcher::builder().all(format!("http://user:pw@{}", proxy.address)).build();
    let (gate, _) = setup.gate();
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(text(&gate, &format!("http://{host}:{port}/")).await, "ok");
        assert!(!server.last().contains("proxy-authorization"));
    }
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_proxy_is_no_way_to_addresses_that_are_refused_here() {
    let proxy = Server::saying(OK).await;
    let mut setup = Setup::granting(&["http://rebind.example.com", "http://direct.example.com"]);
    setup.names = Names(vec![
        ("rebind.example.com", vec!["169.254.169.254"]),
        ("direct.example.com", vec!["127.0.0.1"]),
    ]);
    setup.proxies =
        Matcher::builder().http(format!("http://{}", proxy.address)).no("direct.example.com").build();
    let (gate, observed) = setup.gate();
    for name in ["rebind", "direct"] {
        let code = error(&gate, &format!("http://{name}.example.com/")).await;
        assert!(matches!(code, Code::DestinationIpProhibited), "{name}: {code}");
    }
    assert_eq!(observed.denial().reason, "loopback address (127.0.0.1)");
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_proxy_tunnels_tls() {
    let (address, root, _) = h2_server().await;
    let proxy = Server::start(move |request, mut stream| async move {
        assert!(request.starts_with("CONNECT api.example.com:443 "), "{request}");
        assert!(request.contains("Proxy-Authorization: Basic dXNlcjpwdw==\r\n"), "{request}");
        let mut server = TcpStream::connect(address).await?;
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        tokio::io::copy_bidirectional(&mut stream, &mut server).await?;
        Ok(None)
    })
    .await;
    let origin = "https://api.example.com";
    let mut setup = Setup::granting(&[origin]);
    setup.roots = vec![root];
    setup.proxies = Matcher::builder().https(format!("http://user:pw@{}", proxy.address)).build();
    let (gate, _) = setup.gate();
    assert_eq!(text(&gate, &format!("{origin}/x")).await, format!("HTTP/2.0 {origin}/x 0"));
    assert_eq!(proxy.requests(), 1);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_explained_without_its_credentials() {
    let proxy =
        Server::saying("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await;
    let mut setup = Setup::granting(&["https://api.example.com"]);
    setup.roots = vec![certificate(&["x.example"], b"h2").0];
    setup.proxies = Matcher::builder().https(format!("http://user:hunter2@{}", proxy.address)).build();
    let (gate, observed) = setup.gate();
    error(&gate, "https://api.example.com/").await;
    let failure = observed.failure();
    assert!(
        failure.contains("the proxy gives no connection: tunnel error: proxy authorization required"),
        "{failure}"
    );
    assert!(!failure.contains("hunter2"), "{failure}");
}
