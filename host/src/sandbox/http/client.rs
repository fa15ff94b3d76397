//! What all runs of a process share: trust roots, proxy settings, DNS. Pools of
//! connections and TLS sessions are not among it: each run has its own, so that
//! no run can reach a server as another one, nor be recognized as it.

use std::path::Path;
use std::sync::Arc;

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;
use tokio::sync::OnceCell;

use super::dns::{Resolve, SystemResolver};
use super::origin::CanonicalHost;
use super::target::Target;

/// TLS sessions that one run remembers, to connect again faster.
const SESSIONS: usize = 64;

/// The part of the HTTP gate that a process has once. Cheap to clone.
///
/// The system's trust roots take some 5 ms to load, once and with the first
/// `https` request; a run then costs microseconds.
#[derive(Clone)]
pub struct HttpClient {
    pub(crate) shared: Arc<Shared>,
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient").field("proxies", &self.shared.proxies).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// With the system's trust roots, the system's proxies (`HTTP_PROXY`,
    /// `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`), the roots in a PEM file besides, and
    /// the system's resolver or another. The system's roots are read when they are
    /// first needed.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub fn new(ca_file: Option<&Path>, resolver: Option<Arc<dyn Resolve>>) -> Result<Self, String> {
        let extra_roots = ca_file.map(read_roots).transpose()?.unwrap_or_default();
        let resolver = resolver.unwrap_or_else(|| Arc::new(SystemResolver));
        Ok(Self::with(extra_roots, Matcher::from_system(), resolver))
    }

    /// With the system's trust roots and proxies alone.
    #[must_use]
    pub fn system() -> Self {
        Self::with(Vec::new(), Matcher::from_system(), Arc::new(SystemResolver))
    }

    pub(crate) fn with(
        extra_roots: Vec<CertificateDer<'static>>,
        proxies: Matcher,
        resolver: Arc<dyn Resolve>,
    ) -> Self {
        Self { shared: Arc::new(Shared { extra_roots, proxies, resolver, tls: OnceCell::new() }) }
    }
}

pub(crate) struct Shared {
    extra_roots: Vec<CertificateDer<'static>>,
    proxies: Matcher,
    pub(crate) resolver: Arc<dyn Resolve>,
    tls: OnceCell<ClientConfig>,
}

impl Shared {
    /// The proxy of a request. This machine is never reached through one: there
    /// `localhost` would be the proxy's.
    pub(crate) fn proxy(&self, uri: &Uri, target: &Target) -> Option<Intercept> {
        let is_here = match target.host {
            CanonicalHost::Ip(address) => address.is_loopback(),
            CanonicalHost::Name(_) => target.host.is_localhost(),
        };
        if is_here { None } else { self.proxies.intercept(uri) }
    }

    /// TLS for one run: the process's trust roots, and sessions of its own.
    pub(crate) async fn tls_of_a_run(self: &Arc<Self>) -> Result<ClientConfig, String> {
        let base = self.tls.get_or_try_init(|| {
            let shared = Arc::clone(self);
            async move {
                // Reads and parses the system's certificates.
                let loaded = tokio::task::spawn_blocking(move || load_tls(&shared.extra_roots)).await;
                loaded.map_err(|error| error.to_string())?
            }
        });
        let mut config = base.await?.clone();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(config)
    }
}

fn load_tls(extra_roots: &[CertificateDer<'static>]) -> Result<ClientConfig, String> {
    let explain = |error: rustls::Error| format!("TLS is not available: {error}");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new_with_extra_roots(extra_roots.iter().cloned(), Arc::clone(&provider))
        .map_err(explain)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(explain)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let place = path.display();
    let text = std::fs::read(path)
        .map_err(|error| format!("the file '{place}' of trust roots cannot be read: {error}"))?;
    let roots = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("the file '{place}' of trust roots is no valid PEM: {error}"))?;
    let mut store = rustls::RootCertStore::empty();
    for root in &roots {
        store.add(root.clone()).map_err(|error| {
            format!("the file '{place}' contains a certificate that is no trust root: {error}")
        })?;
    }
    if roots.is_empty() {
        return Err(format!(
            "the file '{place}' of trust roots contains no certificate: it must have a line '-----BEGIN CERTIFICATE-----'"
        ));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_file_of_roots_is_explained() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let message = HttpClient::new(Some(&file), None).unwrap_err();
        assert!(message.contains("cannot be read"), "{message}");
        std::fs::write(&file, "no certificate").unwrap();
        let message = HttpClient::new(Some(&file), None).unwrap_err();
        assert!(message.contains("contains no certificate"), "{message}");
        std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        let message = HttpClient::new(Some(&file), None).unwrap_err();
        assert!(message.contains("is no trust root"), "{message}");
    }
}
