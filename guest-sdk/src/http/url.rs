//! The URLs of HTTP requests: enough of them to send one, to add a query, and to
//! follow a redirect. Internationalized names and credentials in URLs are out.

use std::fmt::{self, Write as _};

use crate::error::{Error, Result};

/// An `http` or `https` URL without fragment, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) https: bool,
    /// Host and port, in lower case; without the scheme's own port.
    pub(crate) authority: String,
    /// Starts with `/`.
    path: String,
    query: Option<String>,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| Error::config(format!("`{}` is no URL to ask: {what}", without_query(text)));
        let (scheme, rest) =
            text.trim().split_once("://").ok_or_else(|| wrong("it does not start with `https://`"))?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(wrong("it does not start with `https://`")),
        };
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err(Error::config("a URL may not hold credentials: use the request's `basic`"));
        }
        let authority = authority.to_ascii_lowercase();
        let own_port = if https { ":443" } else { ":80" };
        let authority = authority.strip_suffix(own_port).unwrap_or(&authority).to_owned();
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if authority.is_empty() || authority.starts_with(':') || !authority.bytes().all(known) {
            return Err(wrong("its host is not a name"));
        }
        let (path, query) = split_target(target);
        Ok(Self { https, authority, path: remove_dots(&path), query })
    }

    /// Where a `Location` leads from here.
    pub(crate) fn join(&self, location: &str) -> Result<Self> {
        let location = location.trim();
        let location = location.split_once('#').map_or(location, |(location, _)| location);
        if let Some(rest) = location.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}", self.scheme()));
        }
        let before_path = location.split(['/', '?']).next().unwrap_or_default();
        if before_path.contains(':') {
            return Self::parse(location);
        }
        let (path, query) = split_target(location);
        let path = if location.starts_with('/') {
            path
        } else if location.is_empty() || location.starts_with('?') {
            self.path.clone()
        } else {
            let folder = self.path.rfind('/').map_or("/", |slash| self.path.split_at(slash + 1).0);
            format!("{folder}{}", path.trim_start_matches('/'))
        };
        Ok(Self { https: self.https, authority: self.authority.clone(), path: remove_dots(&path), query })
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        self.https == other.https && self.authority == other.authority
    }

    pub(crate) fn push_query(&mut self, name: &str, value: &str) {
        let query = self.query.get_or_insert_default();
        if !query.is_empty() {
            query.push('&');
        }
        encode_into(query, name);
        query.push('=');
        encode_into(query, value);
    }

    /// Puts `name=value` in place of what the query says of the name.
    pub(crate) fn set_query(&mut self, name: &str, value: &str) {
        self.remove_query(name);
        self.push_query(name, value);
    }

    /// Takes over what another query says of a name, encoded as it is.
    pub(crate) fn copy_query(&mut self, other: &Self, name: &str) {
        let Some(pair) = other.pairs().find(|pair| named(pair, name)) else { return };
        self.remove_query(name);
        let query = self.query.get_or_insert_default();
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(pair);
    }

    fn pairs(&self) -> impl Iterator<Item = &str> {
        self.query.iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty())
    }

    fn remove_query(&mut self, name: &str) {
        if self.pairs().any(|pair| named(pair, name)) {
            let kept: Vec<&str> = self.pairs().filter(|pair| !named(pair, name)).collect();
            self.query = Some(kept.join("&")).filter(|query| !query.is_empty());
        }
    }

    /// The URL with its query.
    pub(crate) fn whole(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority, self.path_and_query())
    }

    pub(crate) fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

/// Without its query, which may hold what should not be logged.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority, self.path)
    }
}

/// Whether a pair of a query has a name, however it is encoded.
fn named(pair: &str, name: &str) -> bool {
    let key = pair.split_once('=').map_or(pair, |(key, _)| key);
    key == name || decode(key) == name.as_bytes()
}

fn decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.get(..2).filter(|_| *first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        decoded.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if byte.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    decoded
}

fn without_query(text: &str) -> &str {
    text.split_once('?').map_or(text, |(before, _)| before)
}

fn split_target(target: &str) -> (String, Option<String>) {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let path = if path.starts_with('/') { repair(path) } else { format!("/{}", repair(path)) };
    (path, query.map(repair))
}

/// Encodes what may not stand in a URL, such as spaces; what is encoded already
/// stays.
fn repair(part: &str) -> String {
    let mut repaired = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            repaired.push(char::from(byte));
        } else {
            push_encoded(&mut repaired, byte);
        }
    }
    repaired
}

/// Resolves `.` and `..` in a path.
fn remove_dots(path: &str) -> String {
    if !path.contains("/.") {
        return path.to_owned();
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Percent-encodes everything but letters, digits and `-._~`: for a segment of a
/// path, or a value in a query.
///
/// ```
/// assert_eq!(ow_connector::http::encode("a/b c&ü"), "a%2Fb%20c%26%C3%BC");
/// ```
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    encode_into(&mut encoded, text);
    encoded
}

pub(crate) fn encode_into(encoded: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            push_encoded(encoded, byte);
        }
    }
}

fn push_encoded(text: &mut String, byte: u8) {
    // Writing to a string does not fail.
    let _ = write!(text, "%{byte:02X}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        let url = Url::parse(text).unwrap();
        format!("{}://{}{}", url.scheme(), url.authority, url.path_and_query())
    }

    #[test]
    fn what_is_sent() {
        for (text, want) in [
            ("https://Example.COM", "https://example.com/"),
            ("HTTPS://example.com:443/a?b#c", "https://example.com/a?b"),
            ("http://example.com:80?x=1", "http://example.com/?x=1"),
            ("http://example.com:443/", "http://example.com:443/"),
            ("http://[::1]:8080/a b/ü?q=a b", "http://[::1]:8080/a%20b/%C3%BC?q=a%20b"),
            ("https://h/a%20b/../c/./d", "https://h/c/d"),
        ] {
            assert_eq!(parsed(text), want);
        }
        for text in [
            "",
            "example.com",
            "ftp://example.com",
            "https://",
            "https://:80/",
            "https://a b/",
            "https://ü.de/",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
        assert!(Url::parse("https://user:secret@host/").unwrap_err().message().contains("credentials"));
    }

    #[test]
    fn where_a_redirect_leads() {
        let base = Url::parse("https://h/a/b?q=1").unwrap();
        for (location, want) in [
            ("https://other/x?y", "https://other/x?y"),
            ("//other/x", "https://other/x"),
            ("/x", "https://h/x"),
            ("x?y=2", "https://h/a/x?y=2"),
            ("../x/", "https://h/x/"),
            ("?z", "https://h/a/b?z"),
            ("x:y", ""),
        ] {
            let got = base
                .join(location)
                .map(|url| format!("{}://{}{}", url.scheme(), url.authority, url.path_and_query()));
            assert_eq!(got.unwrap_or_default(), want, "{location}");
        }
    }

    #[test]
    fn parameters_are_replaced_and_taken_over() {
        let mut url = Url::parse("https://h/p?page=1&a%20b=x&page=2&c").unwrap();
        url.set_query("page", "3");
        assert_eq!(url.path_and_query(), "/p?a%20b=x&c&page=3");
        url.set_query("a b", "y&");
        assert_eq!(url.path_and_query(), "/p?c&page=3&a%20b=y%26");
        let mut other = Url::parse("https://h/q?page=9").unwrap();
        other.copy_query(&url, "a b");
        other.copy_query(&url, "page");
        other.copy_query(&url, "none");
        assert_eq!(other.path_and_query(), "/q?a%20b=y%26&page=3");
        let mut bare = Url::parse("https://h/?x=1").unwrap();
        bare.remove_query("x");
        assert_eq!(bare.whole(), "https://h/");
    }

    #[test]
    fn queries_are_encoded() {
        let mut url = Url::parse("https://h/p?x=1").unwrap();
        url.push_query("a b", "c&d=é+/");
        assert_eq!(url.path_and_query(), "/p?x=1&a%20b=c%26d%3D%C3%A9%2B%2F");
    }
}
