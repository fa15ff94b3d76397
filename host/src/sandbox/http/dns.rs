//! Names to addresses, and which of them may be connected to.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;

use super::address;
use super::origin::{CanonicalHost, Origin};
use super::target::Target;

/// More addresses of one name are not looked at.
const MAX_ADDRESSES: usize = 32;

/// Resolves the names of granted origins. Which of the addresses may be connected to
/// is judged afterwards.
pub trait Resolve: Send + Sync {
    /// The addresses of a name, or why there are none.
    fn resolve<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;
}

/// The system's resolver.
pub(crate) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).take(MAX_ADDRESSES).collect())
        })
    }
}

/// A target whose every address is refused.
#[derive(Debug)]
pub(crate) struct RefusedAddress {
    pub(crate) target: Target,
    pub(crate) address: IpAddr,
    pub(crate) reason: &'static str,
}

impl fmt::Display for RefusedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target.host {
            CanonicalHost::Name(_) => write!(f, "{} ({})", self.reason, self.address),
            CanonicalHost::Ip(_) => f.write_str(self.reason),
        }
    }
}

impl RefusedAddress {
    /// The flag that would let the address through.
    pub(crate) fn grant(&self) -> String {
        Target { host: CanonicalHost::Ip(self.address), ..self.target.clone() }.grant()
    }
}

/// The addresses of a host, before anything is refused. `localhost` and the
/// names below it are this machine without asking (RFC 6761): no DNS server can
/// lead them elsewhere.
pub(crate) async fn addresses(host: &CanonicalHost, resolver: &dyn Resolve) -> io::Result<Vec<IpAddr>> {
    match host {
        CanonicalHost::Ip(address) => Ok(vec![*address]),
        host if host.is_localhost() => Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
        CanonicalHost::Name(name) => resolver.resolve(name).await,
    }
}

/// Those of a target's addresses that it may reach.
///
/// # Errors
///
/// The first address, if all are refused.
pub(crate) fn permitted(
    target: &Target,
    grants: &[Origin],
    addresses: &[IpAddr],
) -> Result<Vec<IpAddr>, RefusedAddress> {
    let mut first_refused = None;
    let permitted: Vec<IpAddr> = addresses
        .iter()
        .copied()
        .filter(|address| match refusal(target, grants, *address) {
            None => true,
            Some(reason) => {
                first_refused.get_or_insert((*address, reason));
                false
            }
        })
        .collect();
    match first_refused {
        Some((address, reason)) if permitted.is_empty() => {
            Err(RefusedAddress { target: target.clone(), address, reason })
        }
        _ => Ok(permitted),
    }
}

/// An address that is not public needs a grant of its own: the address itself
/// with the same scheme and port, or `localhost` by that name.
fn refusal(target: &Target, grants: &[Origin], address: IpAddr) -> Option<&'static str> {
    let reason = address::refusal(address)?;
    let by_address = Target { host: CanonicalHost::Ip(address), ..target.clone() };
    let by_name = target.host.is_localhost() && address.is_loopback() && target.is_granted(grants);
    (!by_name && !by_address.is_granted(grants)).then_some(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, grants: &[&str], addresses: &[&str]) -> Result<Vec<String>, String> {
        let target = Target::of(&uri.parse().unwrap()).unwrap();
        let grants: Vec<Origin> = grants.iter().map(|grant| grant.parse().unwrap()).collect();
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        permitted(&target, &grants, &addresses)
            .map(|permitted| permitted.iter().map(ToString::to_string).collect())
            .map_err(|refused| format!("{refused}; {}", refused.grant()))
    }

    #[test]
    fn names_reach_public_addresses_only() {
        let grants = ["https://api.example.com"];
        let uri = "https://api.example.com/";
        assert_eq!(check(uri, &grants, &["8.8.8.8", "10.0.0.1"]).unwrap(), ["8.8.8.8"]);
        assert_eq!(
            check(uri, &grants, &["10.0.0.1", "127.0.0.1"]).unwrap_err(),
            "private address (10.0.0.1); --allow-net https://10.0.0.1"
        );
        assert_eq!(check(uri, &grants, &[]).unwrap(), [""; 0]);
    }

    #[test]
    fn a_granted_address_is_reached_by_name_on_its_own_port_only() {
        let uri = "https://api.example.com/";
        assert!(check(uri, &["api.example.com", "10.0.0.1"], &["10.0.0.1"]).is_ok());
        assert!(check(uri, &["api.example.com", "10.0.0.1:8080"], &["10.0.0.1"]).is_err());
        assert!(check(uri, &["api.example.com", "http://10.0.0.1"], &["10.0.0.1"]).is_err());
        assert!(check(uri, &["api.example.com", "10.0.0.1"], &["10.0.0.2"]).is_err());
    }

    #[test]
    fn localhost_counts_by_its_name_only() {
        let grants = ["localhost:8080", "http://api.example.com:8080", "*.localhost"];
        assert!(check("http://localhost:8080/", &grants, &["127.0.0.1", "::1"]).is_ok());
        assert!(check("http://a.localhost/", &grants, &["127.0.0.1"]).is_ok());
        assert!(check("http://api.example.com:8080/", &grants, &["127.0.0.1"]).is_err());
        assert!(check("http://localhost:8080/", &grants, &["10.0.0.1"]).is_err());
        assert!(check("http://127.0.0.1:8080/", &grants, &["127.0.0.1"]).is_err());
    }

    #[tokio::test]
    async fn localhost_never_asks_dns() {
        struct Hostile;
        impl Resolve for Hostile {
            fn resolve<'a>(
                &'a self,
                _: &'a str,
            ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
                Box::pin(async { Ok(vec!["10.0.0.1".parse().unwrap()]) })
            }
        }
        for name in ["localhost", "a.localhost"] {
            let found = addresses(&CanonicalHost::parse(name).unwrap(), &Hostile).await.unwrap();
            assert!(found.iter().all(IpAddr::is_loopback));
        }
    }
}
