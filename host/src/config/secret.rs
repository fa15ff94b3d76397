//! Secret values: what stands in for them in the sandbox, and how they are kept
//! out of every text.

use std::borrow::Cow;
use std::fmt;

use zeroize::Zeroizing;

/// What a secret's placeholder starts with.
pub const PLACEHOLDER_PREFIX: &str = "OWSECRET";

/// What stands in a text where a secret stood.
const REDACTED: &str = "***";

/// Values shorter than this are not redacted: they would hit every other word.
const SHORTEST: usize = 4;

/// Lines of a secret of several lines, such as a private key, are redacted one
/// by one from this length on.
const SHORTEST_LINE: usize = 16;

/// A secret that the guest sees as its placeholder alone.
pub struct Secret {
    /// The parameter, such as `AuthType.oauth2.AccessToken`.
    pub name: String,
    /// What the guest sees.
    pub placeholder: String,
    /// The value.
    pub value: Zeroizing<String>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).field("value", &REDACTED).finish()
    }
}

/// The secrets of one run.
#[derive(Default)]
pub struct Secrets {
    secrets: Vec<Secret>,
    /// Every text to redact, in each of its spellings.
    hidden: Vec<Zeroizing<String>>,
}

impl Secrets {
    /// No secrets.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a secret and returns the placeholder that the guest sees for it:
    /// letters and digits alone, so that it survives URLs, forms, JSON and
    /// headers unchanged.
    pub fn add(&mut self, name: &str, value: &str) -> &str {
        self.hide(value);
        let placeholder = format!("{PLACEHOLDER_PREFIX}{}", uuid::Uuid::new_v4().simple());
        let secret = Secret { name: name.to_owned(), placeholder, value: Zeroizing::new(value.to_owned()) };
        self.secrets.push(secret);
        self.secrets.last().map_or("", |secret| &secret.placeholder)
    }

    /// Keeps a value out of every text, without a placeholder: the guest never
    /// sees it, or sees it in clear.
    pub fn hide(&mut self, value: &str) {
        self.hide_spellings(value);
        let lines = value.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE);
        if value.trim_end().contains('\n') {
            lines.filter(|line| !line.starts_with("-----")).for_each(|line| self.hide_spellings(line));
        }
        // A service account's key file: what counts is the key inside.
        if let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(value) {
            for (key, field) in &fields {
                if let (true, serde_json::Value::String(text)) = (sounds_secret(key), field) {
                    self.hide(text);
                }
            }
        }
    }

    /// The secrets that have placeholders.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        self.secrets.iter()
    }

    /// Whether there is no secret that has a placeholder.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Takes in all secrets of another set.
    pub fn extend(&mut self, other: Self) {
        self.secrets.extend(other.secrets);
        self.hidden.extend(other.hidden);
    }

    /// The text with `***` in place of every value, also where it stands
    /// percent-encoded or escaped for JSON.
    #[must_use]
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut spans: Vec<(usize, usize)> = Vec::new();
        for hidden in &self.hidden {
            spans.extend(text.match_indices(hidden.as_str()).map(|(at, found)| (at, at + found.len())));
        }
        if spans.is_empty() {
            return Cow::Borrowed(text);
        }
        // Values may overlap: what any of them covers is gone.
        spans.sort_unstable();
        let (mut redacted, mut end) = (String::with_capacity(text.len()), 0);
        for (from, to) in spans {
            if from >= end {
                redacted.push_str(text.get(end..from).unwrap_or_default());
                redacted.push_str(REDACTED);
            }
            end = end.max(to);
        }
        redacted.push_str(text.get(end..).unwrap_or_default());
        Cow::Owned(redacted)
    }

    fn hide_spellings(&mut self, value: &str) {
        let value = value.trim();
        let json = Zeroizing::new(serde_json::to_string(value).unwrap_or_default());
        let json = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or_default();
        let spellings = [
            value.to_owned(),
            percent_encoding::utf8_percent_encode(value, STRICT).to_string(),
            form_urlencoded::byte_serialize(value.as_bytes()).collect(),
            json.to_owned(),
        ];
        let known = self.hidden.len();
        for text in spellings.map(Zeroizing::new) {
            // Most values are spelt the same everywhere.
            if text.len() >= SHORTEST && !self.hidden.iter().skip(known).any(|other| *other == text) {
                self.hidden.push(text);
            }
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.secrets).finish()
    }
}

/// Everything but what RFC 3986 calls unreserved.
const STRICT: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn sounds_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    !key.ends_with("_id")
        && !key.ends_with("_uri")
        && !key.ends_with("_url")
        && ["key", "secret", "token", "password"].iter().any(|word| key.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_random_letters_and_digits() {
        let mut secrets = Secrets::new();
        let one = secrets.add("Token", "s3cret-value").to_owned();
        let two = secrets.add("Token", "s3cret-value").to_owned();
        assert_ne!(one, two);
        for placeholder in [one, two] {
            let digits = placeholder.strip_prefix(PLACEHOLDER_PREFIX).unwrap();
            assert_eq!(digits.len(), 32);
            assert!(digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        }
        assert_eq!(secrets.iter().count(), 2);
    }

    #[test]
    fn values_are_redacted_in_every_spelling() {
        let mut secrets = Secrets::new();
        secrets.add("Token", "p&ss \"wörd\"");
        for text in
            ["p&ss \"wörd\"", "p%26ss%20%22w%C3%B6rd%22", "p%26ss+%22w%C3%B6rd%22", r#"p&ss \"wörd\""#]
        {
            assert_eq!(secrets.redact(&format!("<{text}>")), "<***>", "{text}");
        }
        assert!(matches!(secrets.redact("nothing"), Cow::Borrowed("nothing")));
    }

    #[test]
    fn overlapping_values_leave_nothing_behind() {
        let mut secrets = Secrets::new();
        secrets.hide("abcdef");
        secrets.hide("defghi");
        secrets.hide("abcd");
        assert_eq!(secrets.redact("-abcdefghi-abcd-"), "-***-***-");
    }

    #[test]
    fn short_values_are_left_alone() {
        let mut secrets = Secrets::new();
        secrets.hide("CH");
        secrets.hide("");
        assert_eq!(secrets.redact("CHF"), "CHF");
    }

    #[test]
    fn the_key_in_a_key_file_is_redacted_line_by_line() {
        let mut secrets = Secrets::new();
        secrets.hide(
            r#"{"type":"service_account","private_key_id":"0123456789abcdef",
                "private_key":"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG\n-----END PRIVATE KEY-----\n"}"#,
        );
        assert_eq!(
            secrets.redact("line MIIEvQIBADANBgkqhkiG of type service_account"),
            "line *** of type service_account"
        );
    }

    #[test]
    fn debug_output_shows_no_value() {
        let mut secrets = Secrets::new();
        secrets.add("Token", "s3cret-value");
        assert!(!format!("{secrets:?} {:?}", secrets.iter().next()).contains("s3cret"));
    }
}
