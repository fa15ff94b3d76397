//! What one request discloses: which secrets may go where it goes, and which it
//! carries.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::exchange::Exchange;
use super::origin::{CanonicalHost, Origin, Scheme};
use super::target::Target;
use crate::config::problem::clip;
use crate::config::secret::{Secret, Secrets};

/// Why a secret may not be in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Undisclosed {
    /// The reason, which names the secret.
    pub(crate) reason: String,
    /// The flag that would let it go there, where one would.
    pub(crate) grant: Option<String>,
}

/// Bytes of values that one request carries at most: a body full of placeholders
/// would else become one of the square of its size.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// The secrets of one request. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Disclosure {
    secrets: Arc<Secrets>,
    target: Arc<Target>,
    put: Arc<Mutex<Put>>,
    /// Hears of each secret that is put into the request.
    exchange: Option<Arc<Exchange>>,
}

#[derive(Default)]
struct Put {
    secrets: Vec<Arc<Secret>>,
    bytes: usize,
}

impl Disclosure {
    pub(crate) fn new(secrets: &Arc<Secrets>, target: &Target) -> Self {
        let (secrets, target) = (Arc::clone(secrets), Arc::new(target.clone()));
        Self { secrets, target, put: Arc::default(), exchange: None }
    }

    /// Tells each secret that is put into the request.
    pub(crate) fn told_to(self, exchange: &Arc<Exchange>) -> Self {
        Self { exchange: Some(Arc::clone(exchange)), ..self }
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The secret to put in the place of a placeholder; none if it stands for none.
    ///
    /// # Errors
    ///
    /// If the secret may not go to the request's target, or the request carries too
    /// much already.
    pub(crate) fn disclose(&self, placeholder: &[u8]) -> Result<Option<Arc<Secret>>, Undisclosed> {
        let Some(secret) = self.secrets.by_placeholder(placeholder) else { return Ok(None) };
        self.check(&secret)?;
        let mut put = self.lock();
        put.bytes = put.bytes.saturating_add(secret.value.len());
        if put.bytes > MOST_BYTES {
            let reason = format!("the secrets of one request are larger than {MOST_BYTES} bytes");
            return Err(Undisclosed { reason, grant: None });
        }
        if !put.secrets.iter().any(|known| known.placeholder == secret.placeholder) {
            put.secrets.push(Arc::clone(&secret));
        }
        if let Some(exchange) = &self.exchange {
            exchange.put_secret(&secret.name);
        }
        Ok(Some(secret))
    }

    /// The secrets that were put into the request so far.
    pub(crate) fn put(&self) -> Vec<Arc<Secret>> {
        self.lock().secrets.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Put> {
        self.put.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, secret: &Secret) -> Result<(), Undisclosed> {
        let bounds = self.secrets.bounds(secret);
        let covers = |origins: &Arc<[Origin]>| self.target.is_granted(origins);
        let name = clip(&secret.name);
        let reason = if !bounds.iter().all(covers) {
            format!("the secret '{name}' may go to other origins only")
        } else if bounds.is_empty() && !self.is_private() {
            // An origin that a secret is bound to was named for it, `http` included.
            format!("the secret '{name}' would go out unencrypted")
        } else {
            return Ok(());
        };
        Err(Undisclosed { reason, grant: Some(format!("--secret-origin {name}={}", self.target)) })
    }

    /// Whether nobody on the way can read the request.
    fn is_private(&self) -> bool {
        let target = &self.target;
        target.scheme == Scheme::Https
            || match target.host {
                CanonicalHost::Ip(IpAddr::V4(ip)) => ip.is_loopback(),
                CanonicalHost::Ip(IpAddr::V6(ip)) => {
                    ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
                }
                CanonicalHost::Name(_) => target.host.is_localhost(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secret::rules::SecretRules;

    /// What putting the secret `Key` into a request says, with the origins that it
    /// is bound to.
    fn put(bound: &[&str], url: &str) -> Result<(), Undisclosed> {
        let mut secrets = Secrets::new();
        let key = secrets.add("Key", "hunter2hunter2");
        let origins: Vec<Origin> = bound.iter().map(|origin| origin.parse().unwrap()).collect();
        if !origins.is_empty() {
            let origins = [("Key".to_owned(), origins)].into();
            secrets.set_rules(SecretRules { origins, ..SecretRules::default() });
        }
        let target = Target::of(&url.parse().unwrap()).unwrap();
        let disclosure = Disclosure::new(&Arc::new(secrets), &target);
        let secret = disclosure.disclose(key.as_bytes())?;
        assert_eq!(secret.unwrap().name, "Key");
        assert_eq!(disclosure.put().len(), 1);
        Ok(())
    }

    #[test]
    fn a_free_secret_goes_wherever_nobody_can_read_it() {
        for url in [
            "https://api.example.com/",
            "https://10.0.0.1/",
            "http://127.0.0.1:8080/",
            "http://127.9.9.9/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://localhost/",
            "http://api.localhost:1/",
        ] {
            assert_eq!(put(&[], url), Ok(()), "{url}");
        }
        for url in ["http://api.example.com/", "http://10.0.0.1:8080/", "http://localhost.example.com/"] {
            let refused = put(&[], url).unwrap_err();
            assert_eq!(refused.reason, "the secret 'Key' would go out unencrypted", "{url}");
            let grant = format!("--secret-origin Key={}", url.trim_end_matches('/'));
            assert_eq!(refused.grant, Some(grant));
        }
    }

    #[test]
    fn a_bound_secret_goes_to_its_origins_alone() {
        let bound = &["https://api.example.com", "http://10.0.0.1:8080", "*.example.org"][..];
        for url in ["https://api.example.com/x", "http://10.0.0.1:8080/", "https://a.example.org/"] {
            assert_eq!(put(bound, url), Ok(()), "{url}");
        }
        for url in [
            "https://api.example.com:8443/",
            "http://api.example.com/",
            "http://127.0.0.1/",
            "https://other.example.com/",
            "http://a.example.org/",
        ] {
            let refused = put(bound, url).unwrap_err();
            assert_eq!(refused.reason, "the secret 'Key' may go to other origins only", "{url}");
        }
    }
}
