//! Origins that an operator grants: scheme, host and port, never a path.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::Host;

/// The two protocols that the gate speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("http") {
            Some(Self::Http)
        } else if text.eq_ignore_ascii_case("https") {
            Some(Self::Https)
        } else {
            None
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub(crate) const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A host in the one form that is compared: names in lower case, in punycode,
/// without a trailing dot; addresses as addresses, however they were written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum CanonicalHost {
    Name(String),
    Ip(IpAddr),
}

impl CanonicalHost {
    /// From the text of a URL's authority, IPv6 in brackets.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match Host::parse(text).ok()? {
            Host::Ipv4(ip) => Self::Ip(ip.into()),
            Host::Ipv6(ip) => Self::Ip(ip.into()),
            Host::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(&name);
                // What a URL allows beyond a host name ('a,b', 'a;b') names no host.
                let in_alphabet = |byte: u8| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
                };
                let labels_are_whole = name
                    .split('.')
                    .all(|label| matches!(label.len(), 1..=63) && label.bytes().all(in_alphabet));
                if !labels_are_whole || name.len() > 253 {
                    return None;
                }
                Self::Name(name.to_owned())
            }
        })
    }

    /// Whether the name always means this machine (RFC 6761).
    pub(crate) fn is_localhost(&self) -> bool {
        matches!(self, Self::Name(name) if name == "localhost" || name.ends_with(".localhost"))
    }
}

impl fmt::Display for CanonicalHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Exactly(CanonicalHost),
    /// Every name below this one, and not the name itself.
    Below(String),
}

impl Pattern {
    fn matches(&self, host: &CanonicalHost) -> bool {
        match (self, host) {
            (Self::Exactly(granted), _) => granted == host,
            (Self::Below(granted), CanonicalHost::Name(name)) => name
                .strip_suffix(granted.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|rest| !rest.is_empty()),
            (Self::Below(_), CanonicalHost::Ip(_)) => false,
        }
    }

    /// Whether it matches every host that the other matches.
    fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exactly(host)) => self.matches(host),
            (Self::Below(granted), Self::Below(asked)) => {
                granted == asked || self.matches(&CanonicalHost::Name(asked.clone()))
            }
            (Self::Exactly(_), Self::Below(_)) => false,
        }
    }
}

/// What an operator grants: `https://api.example.com`, `http://host:8080`,
/// `*.example.com` (subdomains only), `host:port`, `localhost:8080`,
/// `127.0.0.1:9000`, `[::1]:80`.
///
/// Without a scheme a name means `https` only; `localhost` and IP addresses mean
/// `http` and `https`. Without a port it is the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// None: both.
    scheme: Option<Scheme>,
    pattern: Pattern,
    /// None: the default port of the scheme.
    port: Option<u16>,
}

impl Origin {
    /// Whether a request to this scheme, host and port is granted. The host may
    /// be written in any way that a URL allows.
    #[must_use]
    pub fn matches(&self, scheme: &str, host: &str, port: u16) -> bool {
        match (Scheme::parse(scheme), CanonicalHost::parse(host)) {
            (Some(scheme), Some(host)) => self.covers(scheme, &host, port),
            _ => false,
        }
    }

    /// Whether it is an IP address, `localhost` or a name below it: the grants
    /// that may lead to addresses that are not public.
    #[must_use]
    pub fn is_ip_or_localhost(&self) -> bool {
        match &self.pattern {
            Pattern::Exactly(CanonicalHost::Ip(_)) => true,
            Pattern::Exactly(host) => host.is_localhost(),
            Pattern::Below(name) => CanonicalHost::Name(name.clone()).is_localhost(),
        }
    }

    pub(crate) fn covers(&self, scheme: Scheme, host: &CanonicalHost, port: u16) -> bool {
        self.scheme.is_none_or(|granted| granted == scheme)
            && self.port.unwrap_or(scheme.default_port()) == port
            && self.pattern.matches(host)
    }

    /// Whether these grants together grant everything that `asked` would.
    #[must_use]
    pub fn all_within(asked: &Self, granted: &[Self]) -> bool {
        let schemes = match asked.scheme {
            Some(scheme) => vec![scheme],
            None => vec![Scheme::Http, Scheme::Https],
        };
        schemes.into_iter().all(|scheme| {
            let port = asked.port.unwrap_or(scheme.default_port());
            granted.iter().any(|grant| {
                grant.scheme.is_none_or(|granted| granted == scheme)
                    && grant.port.unwrap_or(scheme.default_port()) == port
                    && grant.pattern.includes(&asked.pattern)
            })
        })
    }

    /// The grant of exactly one origin.
    pub(crate) fn exactly(scheme: Scheme, host: CanonicalHost, port: u16) -> Self {
        let port = (port != scheme.default_port()).then_some(port);
        Self { scheme: Some(scheme), pattern: Pattern::Exactly(host), port }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.scheme {
            write!(f, "{}://", scheme.as_str())?;
        }
        match &self.pattern {
            Pattern::Exactly(host) => host.fmt(f)?,
            Pattern::Below(name) => write!(f, "*.{name}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = split_scheme(text)?;
        let authority = only_authority(text, scheme, rest)?;
        let (host, port) = split_port(text, authority)?;
        let pattern = parse_pattern(text, host)?;
        let mut origin = Self { scheme, pattern, port };
        if origin.scheme.is_none() && !origin.is_ip_or_localhost() {
            origin.scheme = Some(Scheme::Https);
        }
        if let (Some(scheme), Some(port)) = (origin.scheme, origin.port)
            && scheme.default_port() == port
        {
            origin.port = None;
        }
        Ok(origin)
    }
}

fn split_scheme(text: &str) -> Result<(Option<Scheme>, &str), String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok((None, text));
    };
    match Scheme::parse(scheme) {
        Some(scheme) => Ok((Some(scheme), rest)),
        None if scheme == "*" => {
            Err(format!("'{text}' names no scheme: grant what is needed of https://{rest} and http://{rest}"))
        }
        None => Err(format!(
            "'{text}' has the scheme '{scheme}', which the gate does not speak: write https://{rest} or http://{rest}"
        )),
    }
}

/// Refuses everything of a URL that is not host and port.
fn only_authority<'a>(text: &str, scheme: Option<Scheme>, rest: &'a str) -> Result<&'a str, String> {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("'{}' contains white space: write one origin an entry", text.escape_debug()));
    }
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, more) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let prefix = scheme.map_or(String::new(), |scheme| format!("{}://", scheme.as_str()));
    if let Some((_, host)) = authority.rsplit_once('@') {
        return Err(format!("'{prefix}…@{host}' contains credentials: write {prefix}{host}"));
    }
    if authority.is_empty() {
        return Err(format!("'{text}' names no host: write an origin such as https://api.example.com"));
    }
    if !more.is_empty() {
        return Err(format!(
            "'{text}' contains a path or a query, but a grant is for a whole origin: write {prefix}{authority}"
        ));
    }
    Ok(authority)
}

fn split_port<'a>(text: &str, authority: &'a str) -> Result<(&'a str, Option<u16>), String> {
    // The colons of an IPv6 address stand inside brackets.
    let after_address = authority.rfind(']').map_or(0, |end| end + 1);
    let Some(colon) = authority.get(after_address..).and_then(|rest| rest.rfind(':')) else {
        return Ok((authority, None));
    };
    let host = authority.get(..after_address + colon).unwrap_or_default();
    let port = authority.get(after_address + colon + 1..).unwrap_or_default();
    if !host.starts_with('[') && host.contains(':') {
        return Err(format!(
            "'{text}' looks like an IPv6 address: write it in brackets, such as [{authority}]"
        ));
    }
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if digits && number > 0 => Ok((host, Some(number))),
        _ => Err(format!("'{text}' has the port '{port}': write one number from 1 to 65535, or none")),
    }
}

fn parse_pattern(text: &str, host: &str) -> Result<Pattern, String> {
    let unusable =
        || format!("'{text}' names no usable host: write an origin such as https://api.example.com");
    if host == "*" {
        return Err(format!(
            "'{text}' would let the connector send data to anybody: name the hosts, or a domain as *.example.com"
        ));
    }
    let (below, name) = match host.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, host),
    };
    if name.contains('*') {
        return Err(format!(
            "'{text}' has a '*' that does not stand for whole subdomains: write *.example.com"
        ));
    }
    match (below, CanonicalHost::parse(name).ok_or_else(unusable)?) {
        (false, host) => Ok(Pattern::Exactly(host)),
        (true, CanonicalHost::Name(name)) => Ok(Pattern::Below(name)),
        (true, CanonicalHost::Ip(_)) => {
            Err(format!("'{text}' is no domain, and an address has no subdomains: write {name}"))
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Origin {
    fn schema_name() -> Cow<'static, str> {
        "Origin".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "description": "An origin: https://api.example.com, http://host:8080, *.example.com (subdomains only), localhost:8080, 127.0.0.1:9000",
            "examples": ["https://api.example.com", "*.example.com", "localhost:8080"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    fn refused(text: &str) -> String {
        text.parse::<Origin>().unwrap_err()
    }

    #[test]
    fn round_trips_in_canonical_form() {
        for (text, canonical) in [
            ("https://api.example.com", "https://api.example.com"),
            ("HTTPS://API.Example.COM.", "https://api.example.com"),
            ("api.example.com", "https://api.example.com"),
            ("api.example.com:8443", "https://api.example.com:8443"),
            ("https://api.example.com:443", "https://api.example.com"),
            ("http://api.example.com:80", "http://api.example.com"),
            ("http://api.example.com:443", "http://api.example.com:443"),
            ("*.example.com", "https://*.example.com"),
            ("http://*.example.com:8080", "http://*.example.com:8080"),
            ("localhost", "localhost"),
            ("LocalHost:8080", "localhost:8080"),
            ("db.localhost:1", "db.localhost:1"),
            ("https://localhost", "https://localhost"),
            ("127.0.0.1:9000", "127.0.0.1:9000"),
            ("2130706433", "127.0.0.1"),
            ("[::1]:80", "[::1]:80"),
            ("http://[0:0::1]:80", "http://[::1]"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("https://*.BÜCHER.example", "https://*.xn--bcher-kva.example"),
        ] {
            let parsed = origin(text);
            assert_eq!(parsed.to_string(), canonical, "{text}");
            assert_eq!(origin(canonical), parsed, "{text}");
            let json = serde_json::to_string(&parsed).unwrap();
            assert_eq!(serde_json::from_str::<Origin>(&json).unwrap(), parsed);
        }
    }

    #[test]
    fn names_without_scheme_are_https_only() {
        let granted = origin("api.example.com");
        assert!(granted.matches("https", "api.example.com", 443));
        assert!(granted.matches("HTTPS", "API.example.com.", 443));
        assert!(!granted.matches("http", "api.example.com", 80));
        assert!(!granted.matches("https", "api.example.com", 8443));
        assert!(!granted.matches("ftp", "api.example.com", 443));
        let granted = origin("api.example.com:80");
        assert!(granted.matches("https", "api.example.com", 80));
        assert!(!granted.matches("http", "api.example.com", 80));
    }

    #[test]
    fn localhost_and_addresses_without_scheme_are_both() {
        for (text, host) in [("localhost", "localhost"), ("10.0.0.1", "10.0.0.1"), ("[::1]", "[::1]")] {
            let granted = origin(text);
            assert!(granted.matches("http", host, 80), "{text}");
            assert!(granted.matches("https", host, 443), "{text}");
            assert!(!granted.matches("http", host, 443), "{text}");
        }
        assert!(origin("localhost:8080").matches("http", "localhost", 8080));
        assert!(origin("localhost:8080").matches("https", "localhost", 8080));
        assert!(!origin("http://localhost:8080").matches("https", "localhost", 8080));
    }

    #[test]
    fn wildcards_match_subdomains_only() {
        let granted = origin("*.example.com");
        assert!(granted.matches("https", "api.example.com", 443));
        assert!(granted.matches("https", "a.b.example.com.", 443));
        assert!(!granted.matches("https", "example.com", 443));
        assert!(!granted.matches("https", ".example.com", 443));
        assert!(!granted.matches("https", "evilexample.com", 443));
        assert!(!granted.matches("https", "api.example.com.evil.org", 443));
        assert!(!granted.matches("http", "api.example.com", 80));
    }

    #[test]
    fn hosts_are_compared_however_they_are_written() {
        let granted = origin("http://127.0.0.1");
        for host in ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.0.0.1."] {
            assert!(granted.matches("http", host, 80), "{host}");
        }
        assert!(!granted.matches("http", "[::ffff:127.0.0.1]", 80));
        assert!(!granted.matches("http", "localhost", 80));
        assert!(origin("bücher.example").matches("https", "XN--BCHER-KVA.example", 443));
        assert!(origin("a.example").matches("https", "%61.example", 443));
    }

    #[test]
    fn knows_what_may_lead_to_this_machine() {
        for text in ["localhost:1", "a.localhost", "*.localhost", "10.0.0.1", "https://[::1]"] {
            assert!(origin(text).is_ip_or_localhost(), "{text}");
        }
        for text in ["example.com", "notlocalhost", "localhost.example.com", "*.example.com"] {
            assert!(!origin(text).is_ip_or_localhost(), "{text}");
        }
    }

    #[test]
    fn grants_within_others() {
        for (asked, granted, within) in [
            ("https://a.example", "https://a.example", true),
            ("a.example", "*.example", true),
            ("*.a.example", "*.example", true),
            ("*.example", "*.example", true),
            ("*.example", "*.a.example", false),
            ("*.example", "a.example", false),
            ("example", "*.example", false),
            ("*.evilexample", "*.example", false),
            ("http://a.example", "a.example", false),
            ("a.example:8443", "a.example", false),
            ("localhost", "http://localhost", false),
            ("localhost", "http://localhost,https://localhost", true),
            ("http://localhost", "localhost", true),
            ("localhost:1", "http://localhost:1,https://localhost:2", false),
            ("127.0.0.1", "localhost", false),
            ("2130706433", "127.0.0.1", true),
            ("a.example", "", false),
        ] {
            let granted: Vec<Origin> =
                granted.split(',').filter(|text| !text.is_empty()).map(origin).collect();
            assert_eq!(Origin::all_within(&origin(asked), &granted), within, "{asked} in {granted:?}");
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        for (text, expected) in [
            ("", "names no host: write an origin such as https://api.example.com"),
            ("https://", "names no host"),
            ("*", "would let the connector send data to anybody"),
            ("https://*", "would let the connector send data to anybody"),
            ("https://*:8080", "would let the connector send data to anybody"),
            ("*://example.com", "of https://example.com and http://example.com"),
            (
                "ftp://example.com",
                "has the scheme 'ftp', which the gate does not speak: write https://example.com",
            ),
            ("https://example.com/", "write https://example.com"),
            ("https://example.com/v1?x=1", "a grant is for a whole origin: write https://example.com"),
            ("example.com/v1", "write example.com"),
            ("https://example.com?x", "write https://example.com"),
            ("https://example.com#x", "write https://example.com"),
            ("https://good.com\\@evil.com", "write https://good.com"),
            ("https://user:hunter2@example.com", "contains credentials: write https://example.com"),
            ("api.*.com", "write *.example.com"),
            ("*api.example.com", "write *.example.com"),
            ("*.*.example.com", "write *.example.com"),
            ("*.127.0.0.1", "an address has no subdomains: write 127.0.0.1"),
            ("::1", "write it in brackets, such as [::1]"),
            ("example.com:", "write one number from 1 to 65535"),
            ("example.com:0", "write one number from 1 to 65535"),
            ("example.com:65536", "write one number from 1 to 65535"),
            ("example.com:+80", "write one number from 1 to 65535"),
            ("example.com:8000..9000", "write one number from 1 to 65535"),
            ("example.com:*", "write one number from 1 to 65535"),
            ("https://a b", "contains white space"),
            ("https://a.com,b.com", "names no usable host"),
            ("https://a..b", "names no usable host"),
            ("https://[::1", "names no usable host"),
            ("https://1.2.3.256", "names no usable host"),
        ] {
            let message = refused(text);
            assert!(message.contains(expected), "{text}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
