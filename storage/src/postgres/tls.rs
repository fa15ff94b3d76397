//! TLS to the server: what of its certificate is checked.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslNegotiation;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::params::{Check, Target};
use crate::StorageError;

/// Makes the connector for a target.
pub(super) fn connector(target: &Target) -> Result<MakeRustlsConnect, StorageError> {
    let explain = |error: Error| config_error(format!("TLS is not available: {error}"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match &target.check {
        Check::Full(None) => {
            Arc::new(rustls_platform_verifier::Verifier::new(Arc::clone(&provider)).map_err(|error| {
                config_error(format!(
                    "the system's certificate authorities cannot be read ({error}); set `SslRootCert`"
                ))
            })?)
        }
        check => Arc::new(Verifier::new(check, Arc::clone(&provider))?),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(explain)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    if target.config.get_ssl_negotiation() == SslNegotiation::Direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(MakeRustlsConnect::new(config))
}

fn config_error(message: String) -> StorageError {
    StorageError::Config { message, parameter: Some("SslRootCert".to_owned()) }
}

/// Certificates that the operator named.
#[derive(Debug)]
struct Trusted {
    roots: RootCertStore,
    /// The same ones: a server's own certificate may be named too, although it
    /// is no authority.
    exact: Vec<CertificateDer<'static>>,
}

/// Checks less than rustls does by itself, as the mode says.
#[derive(Debug)]
struct Verifier {
    trusted: Option<Trusted>,
    names: bool,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(check: &Check, provider: Arc<CryptoProvider>) -> Result<Self, StorageError> {
        let (file, names) = match check {
            Check::Nothing => (None, false),
            Check::Authority(file) => (Some(file), false),
            Check::Full(file) => (file.as_ref(), true),
        };
        let trusted = file.map(|file| read(file)).transpose()?;
        Ok(Self { trusted, names, provider })
    }
}

fn read(path: &Path) -> Result<Trusted, StorageError> {
    let place = path.display();
    let text = std::fs::read(path)
        .map_err(|error| config_error(format!("file `{place}` of `SslRootCert` cannot be read: {error}")))?;
    let exact = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| config_error(format!("file `{place}` of `SslRootCert` is no valid PEM: {error}")))?;
    if exact.is_empty() {
        return Err(config_error(format!("file `{place}` of `SslRootCert` holds no certificate")));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(exact.iter().cloned());
    Ok(Trusted { roots, exact })
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trusted) = &self.trusted else { return Ok(ServerCertVerified::assertion()) };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        if !trusted.exact.iter().any(|exact| exact.as_ref() == end_entity.as_ref()) {
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &trusted.roots,
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?;
        }
        if self.names {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
