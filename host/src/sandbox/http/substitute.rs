//! Puts secret values in the place of their placeholders, each in the encoding
//! of the place: path and query, header values, Basic credentials, bodies.
//!
//! A placeholder consists of letters and digits only, so it comes through every
//! encoding of the guest unchanged. Host names are never touched.

use std::borrow::Cow;

use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, Engine};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::config::secret::{Secret, Secrets};

/// Everything but RFC 3986's unreserved characters: right in a path segment, in
/// a query, and in a form.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Basic credentials with or without padding.
const BASIC: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How a value is written at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it is.
    Raw,
    /// Inside a URL or a form.
    Percent,
    /// Inside a JSON string.
    Json,
}

impl Encoding {
    fn apply<'a>(self, value: &'a str) -> Cow<'a, str> {
        match self {
            Self::Raw => Cow::Borrowed(value),
            Self::Percent => utf8_percent_encode(value, UNRESERVED).into(),
            Self::Json => {
                let quoted = serde_json::Value::from(value).to_string();
                let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                Cow::Owned(inner.unwrap_or_default().to_owned())
            }
        }
    }

    /// How placeholders in a body are replaced, or nothing for bodies that pass
    /// unchanged: other types, and bodies that are themselves encoded.
    pub(crate) fn of_body(headers: &HeaderMap) -> Option<Self> {
        let plain = headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
        let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let essence = content_type.split(';').next()?.trim().to_ascii_lowercase();
        let encoding = match essence.as_str() {
            "application/json" => Self::Json,
            "application/x-www-form-urlencoded" => Self::Percent,
            "application/xml" => Self::Raw,
            other if other.ends_with("+json") => Self::Json,
            other if other.ends_with("+xml") || other.starts_with("text/") => Self::Raw,
            _ => return None,
        };
        plain.then_some(encoding)
    }
}

/// The bytes with every placeholder replaced, or nothing if there is none.
pub(crate) fn in_bytes(bytes: &[u8], secrets: &Secrets, encoding: Encoding) -> Option<Vec<u8>> {
    let mut changed: Option<Vec<u8>> = None;
    for secret in secrets.iter() {
        let current = changed.as_deref().unwrap_or(bytes);
        if let Some(next) = replace(current, secret, encoding) {
            changed = Some(next);
        }
    }
    changed
}

/// A path and query with every placeholder replaced, or nothing if there is none.
pub(crate) fn in_path_and_query(text: &str, secrets: &Secrets) -> Option<String> {
    let replaced = in_bytes(text.as_bytes(), secrets, Encoding::Percent)?;
    String::from_utf8(replaced).ok()
}

/// Replaces every placeholder in header values and Basic credentials.
///
/// # Errors
///
/// Names the parameter whose value no header can carry.
pub(crate) fn in_headers(headers: &mut HeaderMap, secrets: &Secrets) -> Result<(), String> {
    for (name, value) in headers.iter_mut() {
        let basic = if *name == AUTHORIZATION { in_basic(value.as_bytes(), secrets) } else { None };
        let Some(replaced) = basic.or_else(|| in_bytes(value.as_bytes(), secrets, Encoding::Raw)) else {
            continue;
        };
        let Ok(mut replaced) = HeaderValue::from_bytes(&Zeroizing::new(replaced)) else {
            return Err(unfit_for_header(value.as_bytes(), secrets, name.as_str()));
        };
        // Keeps it out of HTTP/2's compression tables and of debug output.
        replaced.set_sensitive(true);
        *value = replaced;
    }
    Ok(())
}

/// `Basic` credentials with every placeholder replaced inside the encoding.
fn in_basic(value: &[u8], secrets: &Secrets) -> Option<Vec<u8>> {
    let (scheme, encoded) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let credentials = Engine::decode(&BASIC, encoded.trim_ascii()).ok()?;
    let replaced = Zeroizing::new(in_bytes(&credentials, secrets, Encoding::Raw)?);
    Some(format!("Basic {}", STANDARD.encode(&*replaced)).into_bytes())
}

fn unfit_for_header(value: &[u8], secrets: &Secrets, header: &str) -> String {
    let parameter = secrets
        .iter()
        .find(|secret| {
            find(value, secret.placeholder.as_bytes()).is_some()
                && HeaderValue::from_bytes(secret.value.as_bytes()).is_err()
        })
        .map_or("?", |secret| secret.name.as_str());
    format!(
        "the value of the parameter '{parameter}' contains a line break or another control character, \
         which the header '{header}' cannot carry"
    )
}

fn replace(bytes: &[u8], secret: &Secret, encoding: Encoding) -> Option<Vec<u8>> {
    let placeholder = secret.placeholder.as_bytes();
    let mut at = find(bytes, placeholder)?;
    let value = encoding.apply(&secret.value);
    let mut replaced = Vec::with_capacity(bytes.len() + value.len());
    let mut rest = bytes;
    loop {
        let (before, from) = rest.split_at_checked(at)?;
        replaced.extend_from_slice(before);
        replaced.extend_from_slice(value.as_bytes());
        rest = from.get(placeholder.len()..)?;
        match find(rest, placeholder) {
            Some(next) => at = next,
            None => break,
        }
    }
    replaced.extend_from_slice(rest);
    Some(replaced)
}

/// The first place of the needle. Placeholders are rare: what is compared is
/// mostly their first letter.
fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    loop {
        let rest = bytes.get(from..)?;
        let at = from + rest.iter().position(|byte| *byte == first)?;
        if bytes.get(at..)?.starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quotes, backslash, unicode, and what means something in every encoding.
    const HOSTILE: &str = "p\"a\\s's&w=o+r d/?#%ü😀<";

    fn secrets(value: &str) -> (Secrets, String) {
        let mut secrets = Secrets::new();
        let placeholder = secrets.add("ApiKey", value).to_owned();
        (secrets, placeholder)
    }

    fn headers(name: &'static str, value: String) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn in_path_and_query_percent_encoded() {
        let (secrets, key) = secrets(HOSTILE);
        let replaced = in_path_and_query(&format!("/v1/{key}/rows?token={key}&x=1"), &secrets).unwrap();
        let encoded = "p%22a%5Cs%27s%26w%3Do%2Br%20d%2F%3F%23%25%C3%BC%F0%9F%98%80%3C";
        assert_eq!(replaced, format!("/v1/{encoded}/rows?token={encoded}&x=1"));
        assert_eq!(in_path_and_query("/v1/rows?token=OWSECRET", &secrets), None);
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
            let message = in_headers(&mut headers, &secrets).unwrap_err();
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
        let message = in_headers(&mut headers("x-key", fits + &breaks), &secrets).unwrap_err();
        assert!(message.contains("the parameter 'Breaks'"), "{message}");
    }

    #[test]
    fn bodies_in_their_encoding() {
        let (secrets, key) = secrets(HOSTILE);
        let json = in_bytes(format!("{{\"key\":\"a{key}b\"}}").as_bytes(), &secrets, Encoding::Json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["key"], format!("a{HOSTILE}b"));
        let form = in_bytes(format!("user=u&key={key}&z=1").as_bytes(), &secrets, Encoding::Percent).unwrap();
        let pairs: Vec<_> = form_urlencoded::parse(&form).into_owned().collect();
        assert_eq!(pairs[1], ("key".to_owned(), HOSTILE.to_owned()));
        assert_eq!(pairs.len(), 3);
        let raw = in_bytes(format!("<k>{key}</k>").as_bytes(), &secrets, Encoding::Raw).unwrap();
        assert_eq!(raw, format!("<k>{HOSTILE}</k>").as_bytes());
        assert_eq!(in_bytes(b"nothing here", &secrets, Encoding::Raw), None);
    }

    #[test]
    fn control_characters_in_json_are_escaped() {
        let (secrets, key) = secrets("a\r\n\t\u{1}\"");
        let json = in_bytes(format!("[\"{key}\"]").as_bytes(), &secrets, Encoding::Json).unwrap();
        assert_eq!(json, br#"["a\r\n\t\u0001\""]"#);
    }

    #[test]
    fn several_secrets_and_adjacent_placeholders() {
        let mut secrets = Secrets::new();
        let first = secrets.add("A", "one").to_owned();
        let second = secrets.add("B", "two").to_owned();
        let replaced = in_bytes(format!("{first}{second}{first}").as_bytes(), &secrets, Encoding::Raw);
        assert_eq!(replaced.unwrap(), b"onetwoone");
        let cut = first.get(..first.len() - 1).unwrap();
        assert_eq!(in_bytes(cut.as_bytes(), &secrets, Encoding::Raw), None);
        assert_eq!(in_bytes(b"", &secrets, Encoding::Raw), None);
    }

    #[test]
    fn the_type_decides_how_a_body_is_treated() {
        for (content_type, expected) in [
            ("application/json", Some(Encoding::Json)),
            ("Application/JSON; charset=utf-8", Some(Encoding::Json)),
            ("application/vnd.api+json", Some(Encoding::Json)),
            ("application/x-www-form-urlencoded;charset=UTF-8", Some(Encoding::Percent)),
            ("text/plain", Some(Encoding::Raw)),
            ("text/xml", Some(Encoding::Raw)),
            ("application/xml", Some(Encoding::Raw)),
            ("application/soap+xml", Some(Encoding::Raw)),
            ("application/octet-stream", None),
            ("multipart/form-data; boundary=x", None),
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
