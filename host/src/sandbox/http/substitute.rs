//! Puts secret values in the place of their placeholders, each in the encoding
//! of the place: path and query, header values, Basic credentials, bodies.
//!
//! A placeholder consists of letters and digits only, so it comes through every
//! encoding of the guest unchanged. Host names are never touched.

use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, Engine};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue};
use memchr::memmem;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use super::disclosure::{Disclosure, Undisclosed};
use crate::config::problem::clip;
use crate::config::secret::spelling::{in_json, in_xml};
use crate::config::secret::{PLACEHOLDER_BYTES, PLACEHOLDER_PREFIX};

/// Everything but RFC 3986's unreserved characters: right in a path segment, in
/// a query, and in a form.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Basic credentials with or without padding.
const BASIC: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Bytes that are wiped when the last who has them drops them.
pub(crate) type Wiped = Zeroizing<Vec<u8>>;

/// How a value is written at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it is.
    Raw,
    /// Inside a URL or a form.
    Percent,
    /// Inside a JSON string.
    Json,
    /// Inside XML, as text or as an attribute.
    Xml,
}

impl Encoding {
    fn apply(self, value: &str, out: &mut Vec<u8>) {
        match self {
            Self::Raw => out.extend_from_slice(value.as_bytes()),
            Self::Percent => {
                utf8_percent_encode(value, UNRESERVED)
                    .for_each(|part| out.extend_from_slice(part.as_bytes()));
            }
            Self::Json => out.extend_from_slice(in_json(value).as_bytes()),
            Self::Xml => out.extend_from_slice(in_xml(value).as_bytes()),
        }
    }

    /// How placeholders in a body are replaced, or nothing for bodies that pass
    /// unchanged: other types, and bodies that are themselves encoded.
    pub(crate) fn of_body(headers: &HeaderMap) -> Option<Self> {
        let plain = headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
        let encoding = match essence(headers)?.as_str() {
            "application/json" | "application/x-ndjson" | "application/graphql" => Self::Json,
            "application/x-www-form-urlencoded" => Self::Percent,
            "application/xml" | "text/xml" => Self::Xml,
            other if other.ends_with("+json") => Self::Json,
            other if other.ends_with("+xml") => Self::Xml,
            other if other.starts_with("text/") || other.starts_with("multipart/") => Self::Raw,
            _ => return None,
        };
        plain.then_some(encoding)
    }
}

/// The media type of a body, in lower case and without parameters.
pub(crate) fn essence(headers: &HeaderMap) -> Option<String> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(content_type.split(';').next()?.trim().to_ascii_lowercase())
}

/// The bytes with every placeholder replaced, or nothing if there is none.
///
/// # Errors
///
/// If a secret may not go where the request goes.
pub(crate) fn in_bytes(
    bytes: &[u8],
    disclosure: &Disclosure,
    encoding: Encoding,
) -> Result<Option<Wiped>, Undisclosed> {
    if memmem::find(bytes, PLACEHOLDER_PREFIX.as_bytes()).is_none() {
        return Ok(None);
    }
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len() + ROOM));
    let replaced = copy(bytes, true, disclosure, encoding, &mut out)?.1;
    Ok(replaced.then_some(out))
}

/// What is kept free for values, so that the bytes seldom move: what they moved
/// from is not wiped.
const ROOM: usize = 4096;

/// Copies bytes, placeholders replaced. How many were used, all of them if they are
/// the last: what may be the beginning of a placeholder is left. And whether one
/// was replaced.
fn copy(
    bytes: &[u8],
    last: bool,
    disclosure: &Disclosure,
    encoding: Encoding,
    out: &mut Vec<u8>,
) -> Result<(usize, bool), Undisclosed> {
    let finder = memmem::Finder::new(PLACEHOLDER_PREFIX);
    let (mut used, mut replaced) = (0, false);
    loop {
        let rest = bytes.get(used..).unwrap_or_default();
        let at = finder.find(rest);
        let before = at.unwrap_or(if last { rest.len() } else { rest.len() - open_end(rest) });
        out.extend_from_slice(rest.get(..before).unwrap_or_default());
        used += before;
        let Some(found) = at.and_then(|at| rest.get(at..)) else { return Ok((used, replaced)) };
        let Some(placeholder) = found.get(..PLACEHOLDER_BYTES) else {
            if last {
                out.extend_from_slice(found);
                used += found.len();
            }
            return Ok((used, replaced));
        };
        if let Some(secret) = disclosure.disclose(placeholder)? {
            encoding.apply(&secret.value, out);
            used += PLACEHOLDER_BYTES;
            replaced = true;
        } else {
            // Another one may begin inside of it.
            out.extend_from_slice(PLACEHOLDER_PREFIX.as_bytes());
            used += PLACEHOLDER_PREFIX.len();
        }
    }
}

/// How many bytes at the end a placeholder could begin with.
fn open_end(bytes: &[u8]) -> usize {
    let longest = bytes.len().min(PLACEHOLDER_PREFIX.len() - 1);
    let begins =
        |len: &usize| PLACEHOLDER_PREFIX.get(..*len).is_some_and(|head| bytes.ends_with(head.as_bytes()));
    (1..=longest).rev().find(begins).unwrap_or(0)
}

/// Replaces placeholders in bytes that come piece by piece. Keeps less than a
/// placeholder of them.
pub(crate) struct Stream {
    disclosure: Disclosure,
    encoding: Encoding,
    held: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(disclosure: Disclosure, encoding: Encoding) -> Self {
        Self { disclosure, encoding, held: Vec::new() }
    }

    /// Takes a piece; what can be given on, which may be nothing.
    ///
    /// # Errors
    ///
    /// If a secret may not go where the request goes.
    pub(crate) fn push(&mut self, piece: Bytes) -> Result<Bytes, Undisclosed> {
        self.give(piece, false)
    }

    /// The end: what was kept.
    ///
    /// # Errors
    ///
    /// As before.
    pub(crate) fn finish(&mut self) -> Result<Bytes, Undisclosed> {
        self.give(Bytes::new(), true)
    }

    fn give(&mut self, piece: Bytes, last: bool) -> Result<Bytes, Undisclosed> {
        let bytes = if self.held.is_empty() {
            piece
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(&piece);
            held.into()
        };
        let mut out = Zeroizing::new(Vec::with_capacity(bytes.len() + ROOM));
        let (used, replaced) = copy(&bytes, last, &self.disclosure, self.encoding, &mut out)?;
        self.held.extend_from_slice(bytes.get(used..).unwrap_or_default());
        Ok(if replaced { Bytes::from_owner(out) } else { bytes.slice(..used) })
    }
}

/// A path and query with every placeholder replaced, or nothing if there is none.
///
/// # Errors
///
/// If a secret may not go where the request goes.
pub(crate) fn in_path_and_query(
    text: &str,
    disclosure: &Disclosure,
) -> Result<Option<Result<PathAndQuery, http::Error>>, Undisclosed> {
    let replaced = in_bytes(text.as_bytes(), disclosure, Encoding::Percent)?;
    Ok(replaced.map(|bytes| Ok(PathAndQuery::from_maybe_shared(Bytes::from_owner(bytes))?)))
}

/// Why a header cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// A secret may not go there.
    Undisclosed(Undisclosed),
    /// Names the parameter whose value no header can carry.
    Unfit(String),
}

impl From<Undisclosed> for BadHeader {
    fn from(undisclosed: Undisclosed) -> Self {
        Self::Undisclosed(undisclosed)
    }
}

/// Replaces every placeholder in header values and Basic credentials.
///
/// # Errors
///
/// If a secret may not go where the request goes, or no header can carry it.
pub(crate) fn in_headers(headers: &mut HeaderMap, disclosure: &Disclosure) -> Result<(), BadHeader> {
    for (name, value) in headers.iter_mut() {
        let basic = if *name == AUTHORIZATION { in_basic(value.as_bytes(), disclosure)? } else { None };
        let replaced = match basic {
            Some(basic) => Some(basic),
            None => in_bytes(value.as_bytes(), disclosure, Encoding::Raw)?,
        };
        let Some(replaced) = replaced else { continue };
        let Ok(mut replaced) = HeaderValue::from_maybe_shared(Bytes::from_owner(replaced)) else {
            return Err(BadHeader::Unfit(unfit_for_header(value.as_bytes(), disclosure, name.as_str())));
        };
        // Keeps it out of HTTP/2's compression tables and of debug output.
        replaced.set_sensitive(true);
        *value = replaced;
    }
    Ok(())
}

/// `Basic` credentials with every placeholder replaced inside the encoding.
fn in_basic(value: &[u8], disclosure: &Disclosure) -> Result<Option<Wiped>, Undisclosed> {
    let Some((scheme, encoded)) = value.split_at_checked(6) else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return Ok(None);
    }
    let Ok(credentials) = Engine::decode(&BASIC, encoded.trim_ascii()) else { return Ok(None) };
    let replaced = in_bytes(&credentials, disclosure, Encoding::Raw)?;
    Ok(replaced.map(|replaced| {
        let mut header = "Basic ".to_owned();
        STANDARD.encode_string(&*replaced, &mut header);
        Zeroizing::new(header.into_bytes())
    }))
}

fn unfit_for_header(value: &[u8], disclosure: &Disclosure, header: &str) -> String {
    let places = memmem::find_iter(value, PLACEHOLDER_PREFIX);
    let placeholders = places.filter_map(|at| value.get(at..at + PLACEHOLDER_BYTES));
    let mut secrets = placeholders.filter_map(|found| disclosure.secrets().by_placeholder(found));
    let unfit = secrets.find(|secret| HeaderValue::from_bytes(secret.value.as_bytes()).is_err());
    let parameter = unfit.map_or_else(|| "?".to_owned(), |secret| clip(&secret.name));
    format!(
        "the value of the parameter '{parameter}' contains a line break or another control character, \
         which the header '{header}' cannot carry"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::target::Target;
    use super::*;
    use crate::config::secret::Secrets;

    /// Quotes, backslash, unicode, and what means something in every encoding.
    const HOSTILE: &str = "p\"a\\s's&w=o+r d/?#%ü😀<";

    fn to(secrets: Secrets) -> Disclosure {
        Disclosure::new(
            &Arc::new(secrets),
            &Target::of(&"https://api.example.com/".parse().unwrap()).unwrap(),
        )
    }

    fn secrets(value: &str) -> (Disclosure, String) {
        let mut secrets = Secrets::new();
        let placeholder = secrets.add("ApiKey", value);
        (to(secrets), placeholder)
    }

    fn bytes(bytes: impl AsRef<[u8]>, disclosure: &Disclosure, encoding: Encoding) -> Option<Vec<u8>> {
        in_bytes(bytes.as_ref(), disclosure, encoding).unwrap().map(|bytes| bytes.to_vec())
    }

    fn headers(name: &'static str, value: String) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn in_path_and_query_percent_encoded() {
        let (secrets, key) = secrets(HOSTILE);
        let put = |text: &str| in_path_and_query(text, &secrets).unwrap().map(Result::unwrap);
        let replaced = put(&format!("/v1/{key}/rows?token={key}&x=1")).unwrap();
        let encoded = "p%22a%5Cs%27s%26w%3Do%2Br%20d%2F%3F%23%25%C3%BC%F0%9F%98%80%3C";
        assert_eq!(replaced, format!("/v1/{encoded}/rows?token={encoded}&x=1").as_str());
        assert_eq!(put("/v1/rows?token=OWSECRET"), None);
        let url = url::Url::parse(&format!("https://a.example{replaced}")).unwrap();
        assert_eq!(url.query_pairs().next().unwrap().1, HOSTILE);
    }

    #[test]
    fn in_header_values_raw_and_sensitive() {
        let (secrets, key) = secrets("s3cret ü");
        let mut headers = headers("x-api-key", format!("key={key}; again={key}"));
        headers.insert("x-other", "unchanged".parse().unwrap());
        in_headers(&mut headers, &secrets).unwrap();
        assert_eq!(headers["x-api-key"].as_bytes(), "key=s3cret ü; again=s3cret ü".as_bytes());
        assert!(headers["x-api-key"].is_sensitive());
        assert!(!headers["x-other"].is_sensitive());
    }

    #[test]
    fn every_value_of_a_repeated_header() {
        let (secrets, key) = secrets("v");
        let mut headers = HeaderMap::new();
        headers.append("x", key.parse().unwrap());
        headers.append("x", format!("2{key}").parse().unwrap());
        in_headers(&mut headers, &secrets).unwrap();
        let values: Vec<_> = headers.get_all("x").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(values, ["v", "2v"]);
    }

    #[test]
    fn bearer_and_basic_credentials() {
        let (secrets, key) = secrets(HOSTILE);
        let mut bearer = headers("authorization", format!("Bearer {key}"));
        in_headers(&mut bearer, &secrets).unwrap();
        assert_eq!(bearer["authorization"].as_bytes(), format!("Bearer {HOSTILE}").as_bytes());
        for scheme in ["Basic", "basic", "BASIC"] {
            for padded in [true, false] {
                let mut encoded = STANDARD.encode(format!("user:{key}"));
                if !padded {
                    encoded = encoded.trim_end_matches('=').to_owned();
                }
                let mut basic = headers("authorization", format!("{scheme} {encoded}"));
                in_headers(&mut basic, &secrets).unwrap();
                let expected = format!("Basic {}", STANDARD.encode(format!("user:{HOSTILE}")));
                assert_eq!(basic["authorization"], expected.as_str());
            }
        }
        let mut other = headers("authorization", "Basic !!!".to_owned());
        in_headers(&mut other, &secrets).unwrap();
        assert_eq!(other["authorization"], "Basic !!!");
        // Only where it means credentials.
        let encoded = STANDARD.encode(format!("user:{key}"));
        let mut elsewhere = headers("x-authorization", format!("Basic {encoded}"));
        in_headers(&mut elsewhere, &secrets).unwrap();
        assert_eq!(elsewhere["x-authorization"], format!("Basic {encoded}").as_str());
    }

    #[test]
    fn line_breaks_cannot_enter_a_header() {
        for value in ["a\r\nX-Injected: 1", "a\n", "a\0b", "\r"] {
            let (secrets, key) = secrets(value);
            let mut headers = headers("x-api-key", key.clone());
            let BadHeader::Unfit(message) = in_headers(&mut headers, &secrets).unwrap_err() else { panic!() };
            assert!(message.contains("the parameter 'ApiKey'"), "{message}");
            assert!(message.contains("the header 'x-api-key'"), "{message}");
            assert!(!message.contains(value), "{message}");
            // Inside Base64 it is harmless.
            let encoded = STANDARD.encode(format!("u:{key}"));
            let mut basic = HeaderMap::new();
            basic.insert(AUTHORIZATION, format!("Basic {encoded}").parse().unwrap());
            in_headers(&mut basic, &secrets).unwrap();
        }
    }

    /// Letters beyond ASCII fit a header: they are not at fault.
    #[test]
    fn the_value_that_does_not_fit_is_named() {
        let mut secrets = Secrets::new();
        let fits = secrets.add("Fits", "s\u{fc}\u{df}").to_owned();
        let breaks = secrets.add("Breaks", "a\nb").to_owned();
        let refused = in_headers(&mut headers("x-key", fits + &breaks), &to(secrets)).unwrap_err();
        let BadHeader::Unfit(message) = refused else { panic!("{refused:?}") };
        assert!(message.contains("the parameter 'Breaks'"), "{message}");
    }

    #[test]
    fn bodies_in_their_encoding() {
        let (secrets, key) = secrets(HOSTILE);
        let json = bytes(format!("{{\"key\":\"a{key}b\"}}"), &secrets, Encoding::Json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["key"], format!("a{HOSTILE}b"));
        let form = bytes(format!("user=u&key={key}&z=1"), &secrets, Encoding::Percent).unwrap();
        let pairs: Vec<_> = form_urlencoded::parse(&form).into_owned().collect();
        assert_eq!(pairs[1], ("key".to_owned(), HOSTILE.to_owned()));
        assert_eq!(pairs.len(), 3);
        let raw = bytes(format!("key: {key}"), &secrets, Encoding::Raw).unwrap();
        assert_eq!(raw, format!("key: {HOSTILE}").as_bytes());
        let xml = bytes(format!("<k v='{key}'>{key}</k>"), &secrets, Encoding::Xml).unwrap();
        let encoded = "p&quot;a\\s&#39;s&amp;w=o+r d/?#%ü😀&lt;";
        assert_eq!(xml, format!("<k v='{encoded}'>{encoded}</k>").as_bytes());
        assert_eq!(bytes(b"nothing here", &secrets, Encoding::Raw), None);
    }

    #[test]
    fn control_characters_in_json_are_escaped() {
        let (secrets, key) = secrets("a\r\n\t\u{1}\"");
        let json = bytes(format!("[\"{key}\"]"), &secrets, Encoding::Json).unwrap();
        assert_eq!(json, br#"["a\r\n\t\u0001\""]"#);
    }

    #[test]
    fn several_secrets_and_adjacent_placeholders() {
        let mut secrets = Secrets::new();
        let first = secrets.add("A", "one");
        let second = secrets.add("B", "two");
        let secrets = to(secrets);
        let replaced = bytes(format!("{first}{second}{first}"), &secrets, Encoding::Raw);
        assert_eq!(replaced.unwrap(), b"onetwoone");
        // One that is cut off, and one inside of what only begins like one.
        assert_eq!(bytes(&first[..39], &secrets, Encoding::Raw), None);
        let replaced = bytes(format!("OWSECRETOWSECRET0123{second}OWSECRE"), &secrets, Encoding::Raw);
        assert_eq!(replaced.unwrap(), b"OWSECRETOWSECRET0123twoOWSECRE");
        assert_eq!(bytes(b"", &secrets, Encoding::Raw), None);
        assert_eq!(secrets.put().len(), 2);
    }

    #[test]
    fn pieces_of_any_size_come_to_the_same() {
        let (secrets, key) = secrets(HOSTILE);
        let text = format!("OWSECRET[\"{key}\", \"x{key}{key}OWSECRETOWSE\", \"{}\"] OWSECRET", &key[..20]);
        let whole = bytes(&text, &secrets, Encoding::Json).unwrap();
        for size in 1..text.len() {
            let (mut stream, mut out) = (Stream::new(secrets.clone(), Encoding::Json), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                out.extend_from_slice(&stream.push(Bytes::copy_from_slice(piece)).unwrap());
                assert!(stream.held.len() < PLACEHOLDER_BYTES);
            }
            out.extend_from_slice(&stream.finish().unwrap());
            assert_eq!(out, whole, "{size}");
        }
    }

    #[test]
    fn a_body_full_of_placeholders_of_a_large_secret_is_refused() {
        let (secrets, key) = secrets(&"x".repeat(1024 * 1024));
        assert_eq!(bytes(key.repeat(8), &secrets, Encoding::Raw).unwrap().len(), 8 * 1024 * 1024);
        let refused = in_bytes(key.as_bytes(), &secrets, Encoding::Raw).unwrap_err();
        assert_eq!(refused.reason, "the secrets of one request are larger than 8388608 bytes");
    }

    #[test]
    fn a_secret_that_may_not_go_there_goes_nowhere() {
        let mut secrets = Secrets::new();
        let key = secrets.add("ApiKey", "hunter2");
        let target = Target::of(&"http://api.example.com/".parse().unwrap()).unwrap();
        let disclosure = Disclosure::new(&Arc::new(secrets), &target);
        assert!(in_path_and_query(&format!("/{key}"), &disclosure).is_err());
        assert!(in_bytes(key.as_bytes(), &disclosure, Encoding::Json).is_err());
        assert!(Stream::new(disclosure.clone(), Encoding::Raw).push(Bytes::from(key.clone())).is_err());
        for value in [key.clone(), format!("Basic {}", STANDARD.encode(format!("u:{key}")))] {
            let refused = in_headers(&mut headers("authorization", value), &disclosure).unwrap_err();
            let BadHeader::Undisclosed(refused) = refused else { panic!() };
            assert_eq!(refused.reason, "the secret 'ApiKey' would go out unencrypted");
        }
        assert!(disclosure.put().is_empty());
    }

    #[test]
    fn the_type_decides_how_a_body_is_treated() {
        for (content_type, expected) in [
            ("application/json", Some(Encoding::Json)),
            ("Application/JSON; charset=utf-8", Some(Encoding::Json)),
            ("application/vnd.api+json", Some(Encoding::Json)),
            ("application/x-www-form-urlencoded;charset=UTF-8", Some(Encoding::Percent)),
            ("text/plain", Some(Encoding::Raw)),
            ("application/x-ndjson", Some(Encoding::Json)),
            ("text/xml", Some(Encoding::Xml)),
            ("application/xml", Some(Encoding::Xml)),
            ("application/soap+xml; charset=utf-8", Some(Encoding::Xml)),
            ("application/octet-stream", None),
            ("multipart/form-data; boundary=x", Some(Encoding::Raw)),
            ("application/jsonx", None),
            ("", None),
        ] {
            let mut map = headers("content-type", content_type.to_owned());
            assert_eq!(Encoding::of_body(&map), expected, "{content_type}");
            map.insert("content-encoding", "gzip".parse().unwrap());
            assert_eq!(Encoding::of_body(&map), None, "{content_type}");
        }
        assert_eq!(Encoding::of_body(&HeaderMap::new()), None);
    }
}
