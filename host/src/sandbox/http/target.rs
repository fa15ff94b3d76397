//! Where a request goes: scheme, host and port in the one form that grants,
//! DNS and TLS all see, so that no two of them can disagree.

use std::fmt;

use http::Uri;
use http::uri::PathAndQuery;

use super::origin::{CanonicalHost, Origin, Scheme};

/// Scheme, host and port of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) scheme: Scheme,
    pub(crate) host: CanonicalHost,
    pub(crate) port: u16,
}

impl Target {
    /// From a request's URL.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn of(uri: &Uri) -> Result<Self, String> {
        let scheme = uri.scheme_str().unwrap_or_default();
        let scheme = Scheme::parse(scheme)
            .ok_or_else(|| format!("the scheme '{scheme}' is not supported: use https or http"))?;
        let authority = uri.authority().ok_or("the URL names no host")?;
        if authority.as_str().contains('@') {
            return Err("the URL contains credentials: send them in an authorization header".to_owned());
        }
        let host = CanonicalHost::parse(authority.host()).ok_or("the URL names no usable host")?;
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => scheme.default_port(),
            Some(_) => authority.port_u16().filter(|port| *port > 0).ok_or("the URL names no usable port")?,
            None => return Err("the URL names no usable host".to_owned()),
        };
        Ok(Self { scheme, host, port })
    }

    /// The URL of a path here.
    pub(crate) fn uri<P>(&self, path_and_query: P) -> Result<Uri, http::Error>
    where
        PathAndQuery: TryFrom<P>,
        <PathAndQuery as TryFrom<P>>::Error: Into<http::Error>,
    {
        Uri::builder()
            .scheme(self.scheme.as_str())
            .authority(self.authority())
            .path_and_query(path_and_query)
            .build()
    }

    /// Whether one of the grants covers it.
    pub(crate) fn is_granted(&self, grants: &[Origin]) -> bool {
        grants.iter().any(|grant| grant.covers(self.scheme, &self.host, self.port))
    }

    /// The flag that would grant it.
    pub(crate) fn grant(&self) -> String {
        format!("--allow-net {}", Origin::exactly(self.scheme, self.host.clone(), self.port))
    }

    fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Result<String, String> {
        Target::of(&uri.parse().unwrap()).map(|target| target.to_string())
    }

    #[test]
    fn every_notation_comes_to_one() {
        for (uri, expected) in [
            ("https://API.Example.com./x", "https://api.example.com"),
            ("https://api.example.com:443/", "https://api.example.com"),
            ("http://api.example.com:443/", "http://api.example.com:443"),
            ("http://2130706433/", "http://127.0.0.1"),
            ("http://0177.0.0.1/", "http://127.0.0.1"),
            ("http://0x7f000001/", "http://127.0.0.1"),
            ("http://127.1/", "http://127.0.0.1"),
            ("http://127.0.0.1./", "http://127.0.0.1"),
            ("http://[::ffff:127.0.0.1]:8080/", "http://[::ffff:7f00:1]:8080"),
            ("http://[0:0:0::1]/", "http://[::1]"),
        ] {
            // Display of IPv6 follows the standard library; compare as addresses.
            let parsed = target(uri).unwrap();
            let expected = target(expected).unwrap();
            assert_eq!(parsed, expected, "{uri}");
        }
        assert_eq!(target("http://2130706433/").unwrap(), "http://127.0.0.1");
    }

    #[test]
    fn refuses_what_is_no_plain_origin() {
        for (uri, reason) in [
            ("ftp://example.com/", "the scheme 'ftp' is not supported"),
            ("https://user:pw@example.com/", "contains credentials"),
            ("https://good.com@evil.com/", "contains credentials"),
            ("https://example.com:0/", "no usable port"),
            ("https://example.com:99999/", "no usable port"),
            ("https://a..b/", "no usable host"),
        ] {
            let message = target(uri).unwrap_err();
            assert!(message.contains(reason), "{uri}: {message}");
            assert!(!message.contains("pw"), "{message}");
        }
    }

    #[test]
    fn names_the_flag() {
        let flag = |uri: &str| Target::of(&uri.parse().unwrap()).unwrap().grant();
        assert_eq!(flag("https://api.example.com/v1?x"), "--allow-net https://api.example.com");
        assert_eq!(flag("http://[::1]:8080/"), "--allow-net http://[::1]:8080");
    }
}
