//! Secret values, and the placeholders that the guest sees in their place.

use std::borrow::Cow;
use std::fmt;

use zeroize::Zeroizing;

/// What every placeholder begins with.
const PREFIX: &str = "OWSECRET";

/// Shorter values are not redacted: they would shred every message.
const REDACT_FROM: usize = 4;

/// A value that the guest must not see.
#[derive(Clone)]
pub struct Secret {
    /// The configuration parameter that holds it.
    pub name: String,
    /// What the guest sees in its place.
    pub placeholder: String,
    /// The value.
    pub value: Zeroizing<String>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The secrets of one run.
#[derive(Default)]
pub struct Secrets {
    replaced: Vec<Secret>,
    hidden: Vec<Zeroizing<String>>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.replaced).finish()
    }
}

impl Secrets {
    /// No secrets.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value, and gives its new placeholder.
    pub fn add(&mut self, name: &str, value: &str) -> &str {
        let placeholder = format!("{PREFIX}{}", uuid::Uuid::now_v7().simple());
        self.replaced.push(Secret {
            name: name.to_owned(),
            placeholder,
            value: Zeroizing::new(value.to_owned()),
        });
        self.replaced.last().map_or("", |secret| secret.placeholder.as_str())
    }

    /// Adds a value that is only redacted.
    pub fn hide(&mut self, value: &str) {
        self.hidden.push(Zeroizing::new(value.to_owned()));
    }

    /// The secrets that have placeholders.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        self.replaced.iter()
    }

    /// Whether there is nothing to replace and nothing to redact.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.replaced.is_empty() && self.hidden.is_empty()
    }

    /// The text with every value replaced by `***`.
    #[must_use]
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for value in self.replaced.iter().map(|secret| &secret.value).chain(&self.hidden) {
            if value.len() >= REDACT_FROM && text.contains(value.as_str()) {
                text = Cow::Owned(text.replace(value.as_str(), "***"));
            }
        }
        text
    }
}
