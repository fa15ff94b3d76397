//! New connections: DNS, the check of the address, TCP, proxy, TLS.
//!
//! With a proxy the address that is connected to is the proxy's, which is the
//! operator's own choice and not checked; the proxy resolves the target's name
//! by itself. So the name must be granted as ever, and if it resolves here too,
//! to addresses that are refused, the request is refused; but what the proxy
//! connects to is the proxy's to control.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector, dns::Name};
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::client::Shared;
use super::dns::{self, RefusedAddress};
use super::fault::{Fault, Kind};
use super::origin::{CanonicalHost, Origin, Scheme};
use super::target::Target;
use crate::report::Denied;

/// How long the name of a target behind a proxy may take to resolve here; after
/// that the proxy alone decides.
const DNS_BESIDE_PROXY: Duration = Duration::from_secs(1);

/// How long a connection is quiet until TCP asks whether the peer still lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    Refused(Box<RefusedAddress>),
    Target(String),
    Dns(io::Error),
    Tcp(Box<dyn std::error::Error + Send + Sync>),
    Tls(io::Error),
    TlsSetup(String),
    Proxy(String),
    Timeout(Duration),
}

impl ConnectError {
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::Refused(refused) => Fault::denied(
                Kind::AddressDenied,
                Denied {
                    attempt: refused.target.to_string(),
                    reason: refused.to_string(),
                    grant: Some(refused.grant()),
                },
            ),
            Self::Target(message) => Fault::new(Kind::Uri, message),
            Self::Dns(error) => Fault::new(Kind::Dns, format!("the name does not resolve: {error}")),
            Self::Tcp(error) => {
                let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
                while let Some(error) = next {
                    if let Some(fault) = error.downcast_ref().and_then(Fault::of_io) {
                        return fault;
                    }
                    next = error.source();
                }
                Fault::new(Kind::Unreachable, error.to_string())
            }
            Self::Tls(error) => Fault::of_io(error)
                .filter(|fault| fault.kind != Kind::ResponseIncomplete)
                .unwrap_or_else(|| Fault::new(Kind::Tls, format!("TLS failed: {error}"))),
            Self::TlsSetup(message) => Fault::new(Kind::Configuration, message),
            Self::Proxy(message) => Fault::new(Kind::Unreachable, message),
            Self::Timeout(limit) => Fault::new(Kind::ConnectTimeout, no_connection(*limit)),
        }
    }
}

/// The message of a connection that took too long.
pub(crate) fn no_connection(limit: Duration) -> String {
    format!("no connection within {} (limit http_connect_timeout)", humantime::format_duration(limit))
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault().fmt(f)
    }
}

impl std::error::Error for ConnectError {}

/// Makes the connections of one run.
#[derive(Clone)]
pub(crate) struct Connector {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    grants: Arc<[Origin]>,
    timeout: Duration,
    tls: OnceCell<RunTls>,
}

struct RunTls {
    to_servers: TlsConnector,
    /// Speaks HTTP/1.1 only: CONNECT is made there.
    to_proxies: TlsConnector,
}

impl Connector {
    pub(crate) fn new(shared: Arc<Shared>, grants: Arc<[Origin]>, timeout: Duration) -> Self {
        Self { inner: Arc::new(Inner { shared, grants, timeout, tls: OnceCell::new() }) }
    }
}

impl Service<Uri> for Connector {
    type Response = Conn;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Conn, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let connected = tokio::time::timeout(inner.timeout, inner.connect(&uri)).await;
            connected.unwrap_or(Err(ConnectError::Timeout(inner.timeout)))
        })
    }
}

impl Inner {
    async fn connect(&self, uri: &Uri) -> Result<Conn, ConnectError> {
        let target = Target::of(uri).map_err(ConnectError::Target)?;
        match self.shared.proxy(uri, &target) {
            Some(proxy) => self.through(&proxy, uri, &target).await,
            None => self.direct(uri, &target).await,
        }
    }

    async fn direct(&self, uri: &Uri, target: &Target) -> Result<Conn, ConnectError> {
        let found = dns::addresses(&target.host, &*self.shared.resolver).await.map_err(ConnectError::Dns)?;
        let permitted = dns::permitted(target, &self.grants, &found)
            .map_err(|refused| ConnectError::Refused(Box::new(refused)))?;
        let stream = tcp(uri, &permitted).await?;
        match target.scheme {
            Scheme::Http => Ok(Conn::new(stream)),
            Scheme::Https => self.secure(stream, &target.host).await,
        }
    }

    async fn through(&self, proxy: &Intercept, uri: &Uri, target: &Target) -> Result<Conn, ConnectError> {
        self.check_beside_proxy(target).await?;
        let stream = self.to_proxy(proxy.uri()).await?;
        if target.scheme == Scheme::Http {
            return Ok(Conn { is_proxy: true, ..Conn::new(stream) });
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), Once(Some(TokioIo::new(stream))));
        if let Some(credentials) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        let tunnel = tunnel
            .call(uri.clone())
            .await
            .map_err(|error| ConnectError::Proxy(format!("the proxy gives no connection: {error}")))?;
        self.secure(tunnel.into_inner(), &target.host).await
    }

    /// Refuses a target that is known here to lead to refused addresses.
    async fn check_beside_proxy(&self, target: &Target) -> Result<(), ConnectError> {
        let found = dns::addresses(&target.host, &*self.shared.resolver);
        // A machine behind a proxy often resolves no outside names: no answer is
        // no reason to refuse.
        if let Ok(Ok(found)) = tokio::time::timeout(DNS_BESIDE_PROXY, found).await {
            dns::permitted(target, &self.grants, &found)
                .map_err(|refused| ConnectError::Refused(Box::new(refused)))?;
        }
        Ok(())
    }

    async fn to_proxy(&self, uri: &Uri) -> Result<BoxIo, ConnectError> {
        let proxy = Target::of(uri).map_err(|error| {
            ConnectError::Proxy(format!("the system's proxy setting cannot be used: {error}"))
        })?;
        let explain =
            |error: ConnectError| ConnectError::Proxy(format!("the proxy {proxy} is not reachable: {error}"));
        let found = dns::addresses(&proxy.host, &*self.shared.resolver).await;
        let found = found.map_err(ConnectError::Dns).map_err(explain)?;
        let stream = tcp(uri, &found).await.map_err(explain)?;
        if proxy.scheme == Scheme::Http {
            return Ok(stream);
        }
        let tls = &self.tls().await?.to_proxies;
        let name = server_name(&proxy.host)?;
        let stream = tls.connect(name, stream).await.map_err(ConnectError::Tls).map_err(explain)?;
        Ok(Box::new(stream))
    }

    async fn secure(&self, stream: BoxIo, host: &CanonicalHost) -> Result<Conn, ConnectError> {
        let name = server_name(host)?;
        let stream = self.tls().await?.to_servers.connect(name, stream).await.map_err(ConnectError::Tls)?;
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Conn { is_h2, ..Conn::new(Box::new(stream)) })
    }

    async fn tls(&self) -> Result<&RunTls, ConnectError> {
        let made = self.tls.get_or_try_init(|| async {
            let to_servers = self.shared.tls_of_a_run().await.map_err(ConnectError::TlsSetup)?;
            let mut to_proxies = to_servers.clone();
            to_proxies.alpn_protocols.clear();
            Ok(RunTls {
                to_servers: TlsConnector::from(Arc::new(to_servers)),
                to_proxies: TlsConnector::from(Arc::new(to_proxies)),
            })
        });
        made.await
    }
}

fn server_name(host: &CanonicalHost) -> Result<ServerName<'static>, ConnectError> {
    match host {
        CanonicalHost::Ip(address) => Ok(ServerName::from(*address)),
        CanonicalHost::Name(name) => ServerName::try_from(name.clone())
            .map_err(|_| ConnectError::Target(format!("'{name}' is no name that a certificate can have"))),
    }
}

/// Connects to the first of these addresses that answers, both families at a
/// time (RFC 6555).
async fn tcp(uri: &Uri, addresses: &[IpAddr]) -> Result<BoxIo, ConnectError> {
    if addresses.is_empty() {
        return Err(ConnectError::Dns(io::Error::other("it has no addresses")));
    }
    let mut connector = HttpConnector::new_with_resolver(Fixed(addresses.into()));
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEP_ALIVE));
    connector.set_keepalive_interval(Some(KEEP_ALIVE));
    let stream = connector.call(uri.clone()).await.map_err(|error| ConnectError::Tcp(error.into()))?;
    Ok(Box::new(stream.into_inner()))
}

/// Answers with addresses that are already found and checked.
#[derive(Clone)]
struct Fixed(Arc<[IpAddr]>);

impl Service<Name> for Fixed {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = std::future::Ready<Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        // Port 0: the connector puts in the URL's.
        let addresses: Vec<_> = self.0.iter().map(|address| SocketAddr::new(*address, 0)).collect();
        std::future::ready(Ok(addresses.into_iter()))
    }
}

/// Hands over one connection that is already made.
struct Once(Option<TokioIo<BoxIo>>);

impl Service<Uri> for Once {
    type Response = TokioIo<BoxIo>;
    type Error = io::Error;
    type Future = std::future::Ready<Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        std::future::ready(self.0.take().ok_or_else(|| io::Error::other("already used")))
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type BoxIo = Box<dyn Io>;

/// One connection, plain or TLS.
pub(crate) struct Conn {
    stream: TokioIo<BoxIo>,
    is_proxy: bool,
    is_h2: bool,
}

impl Conn {
    fn new(stream: BoxIo) -> Self {
        Self { stream: TokioIo::new(stream), is_proxy: false, is_h2: false }
    }
}

impl Connection for Conn {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.is_proxy);
        if self.is_h2 { connected.negotiated_h2() } else { connected }
    }
}

impl Read for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl Write for Conn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }
}
