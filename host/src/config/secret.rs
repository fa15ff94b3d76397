//! Secret values: what stands in for them in the sandbox, where each may go, and
//! how they are kept out of every text.
//!
//! A run begins with the secrets of its configuration. Tokens that a server gives
//! in exchange for them become secrets as well, so that the set grows behind a
//! shared reference.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use zeroize::Zeroizing;

use crate::sandbox::Origin;

pub(crate) mod matcher;
pub mod rules;
pub(crate) mod spelling;

use self::matcher::{Matcher, Needle, REDACTED};
use self::rules::SecretRules;

/// What a secret's placeholder starts with.
pub const PLACEHOLDER_PREFIX: &str = "OWSECRET";

/// Bytes of a placeholder.
pub(crate) const PLACEHOLDER_BYTES: usize = PLACEHOLDER_PREFIX.len() + 32;

/// Values shorter than this are not redacted: they would hit every other word.
const SHORTEST: usize = 4;

/// Values shorter than this stay in answers: they would hit ordinary data.
const SHORTEST_ECHO: usize = 8;

/// Spellings longer than this stay in answers: what may be the beginning of one is
/// held back in each answer.
const LONGEST_ECHO: usize = 16 * 1024;

/// Lines of a secret of several lines, such as a private key, are redacted one
/// by one from this length on.
const SHORTEST_LINE: usize = 16;

/// Tokens that a run may get: one a minute for most of a day. A server and a
/// connector that work together could otherwise fill the host's memory.
const MOST_TOKENS: usize = 1000;

/// A secret that the guest sees as its placeholder alone.
pub struct Secret {
    /// The parameter, such as `AuthType.oauth2.AccessToken`, or the token that it
    /// is, such as `access_token`.
    pub name: String,
    /// What the guest sees.
    pub placeholder: String,
    /// The value.
    pub value: Zeroizing<String>,
    /// For a token: where the secrets of its exchange may go, each list for one.
    within: Vec<Arc<[Origin]>>,
    is_token: bool,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).field("value", &REDACTED).finish()
    }
}

/// More tokens than a run may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyTokens;

impl fmt::Display for TooManyTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the run got {MOST_TOKENS} different tokens, as many as it may")
    }
}

/// The secrets of one run.
#[derive(Default)]
pub struct Secrets {
    rules: SecretRules,
    /// The rules' origins, to be shared with tokens.
    bindings: HashMap<String, Arc<[Origin]>>,
    set: RwLock<Set>,
}

/// What a run knows of secrets now.
#[derive(Default)]
struct Set {
    secrets: Vec<Arc<Secret>>,
    /// Every text to redact, in each of its spellings.
    hidden: Vec<Arc<Zeroizing<String>>>,
    /// Those to take out of answers, and the secret that each belongs to.
    echoes: Vec<(Arc<Zeroizing<String>>, Arc<Secret>)>,
    tokens: usize,
    /// Made of the above when it is needed.
    view: Option<Arc<View>>,
}

/// The set, prepared for search.
struct View {
    /// By the number that a placeholder is.
    by_number: HashMap<u128, Arc<Secret>>,
    texts: Option<Matcher>,
    answers: Option<Arc<Matcher>>,
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
    pub fn add(&mut self, name: &str, value: &str) -> String {
        self.write().add(name, value, Vec::new(), false).placeholder.clone()
    }

    /// Keeps a value out of every text, without a placeholder: the guest never
    /// sees it, or sees it in clear.
    pub fn hide(&mut self, value: &str) {
        self.write().hide(value);
    }

    /// The rules that the operator gave.
    #[must_use]
    pub fn rules(&self) -> &SecretRules {
        &self.rules
    }

    /// Sets the rules; they count for tokens too.
    pub fn set_rules(&mut self, rules: SecretRules) {
        let bindings = rules.origins.iter();
        self.bindings = bindings.map(|(name, origins)| (name.clone(), origins.clone().into())).collect();
        self.rules = rules;
        self.write().view = None;
    }

    /// The secrets that have placeholders.
    pub fn iter(&self) -> impl Iterator<Item = Arc<Secret>> + use<> {
        self.read().secrets.clone().into_iter()
    }

    /// Whether there is nothing to hide: no secret, not even one in clear.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let set = self.read();
        set.secrets.is_empty() && set.hidden.is_empty()
    }

    /// Takes in all secrets of another set. The rules stay.
    pub fn extend(&mut self, other: Self) {
        let other = other.set.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut set = self.write();
        set.secrets.extend(other.secrets);
        set.hidden.extend(other.hidden);
        set.echoes.extend(other.echoes);
        set.tokens += other.tokens;
        set.view = None;
    }

    /// The text with `***` in place of every value, however it is spelt: as it is,
    /// percent-encoded, escaped for JSON or XML, in Base64 or hexadecimal digits.
    #[must_use]
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match &self.view().texts {
            Some(texts) => texts.replace(text),
            None => Cow::Borrowed(text),
        }
    }

    /// Bytes with `***` in place of every value; nothing if they hold none.
    pub(crate) fn redact_bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        Some(self.view().texts.as_ref()?.replace_bytes(bytes)?.0)
    }

    /// The secret that a placeholder stands for.
    pub(crate) fn by_placeholder(&self, placeholder: &[u8]) -> Option<Arc<Secret>> {
        let digits = placeholder.strip_prefix(PLACEHOLDER_PREFIX.as_bytes())?;
        let number = u128::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        let secret = self.view().by_number.get(&number).cloned()?;
        (secret.placeholder.as_bytes() == placeholder).then_some(secret)
    }

    /// The first secret whose placeholder stands in a text.
    pub(crate) fn in_text(&self, text: &str) -> Option<Arc<Secret>> {
        let places = memchr::memmem::find_iter(text.as_bytes(), PLACEHOLDER_PREFIX);
        let mut placeholders = places.filter_map(|at| text.as_bytes().get(at..at + PLACEHOLDER_BYTES));
        placeholders.find_map(|placeholder| self.by_placeholder(placeholder))
    }

    /// What finds the values that no answer may show to the guest.
    pub(crate) fn answers(&self) -> Option<Arc<Matcher>> {
        self.view().answers.clone()
    }

    /// The origins to which alone a secret goes: it must be in each of these lists.
    /// None for every origin that is granted and encrypted.
    pub(crate) fn bounds(&self, secret: &Secret) -> Vec<Arc<[Origin]>> {
        match self.bindings.get(&secret.name) {
            Some(origins) => vec![Arc::clone(origins)],
            None => secret.within.clone(),
        }
    }

    /// Takes in a token that a server gave in exchange for other secrets, and
    /// returns what the guest sees of it. It may go where all of them may.
    ///
    /// # Errors
    ///
    /// If the run has as many as it may have.
    pub(crate) fn learn(
        &self,
        name: &str,
        token: &str,
        exchanged: &[Arc<Secret>],
    ) -> Result<String, TooManyTokens> {
        if self.rules.reveal_tokens {
            self.write().learn_hidden(token)?;
            return Ok(token.to_owned());
        }
        let mut within: Vec<Arc<[Origin]>> = Vec::new();
        for bounds in exchanged.iter().flat_map(|secret| self.bounds(secret)) {
            if !within.contains(&bounds) {
                within.push(bounds);
            }
        }
        let mut set = self.write();
        let same = |known: &&Arc<Secret>| {
            known.value.as_str() == token
                && (!known.is_token || (known.name == name && known.within == within))
        };
        if let Some(known) = set.secrets.iter().find(same) {
            return Ok(known.placeholder.clone());
        }
        set.count_token()?;
        Ok(set.add(name, token, within, true).placeholder.clone())
    }

    fn view(&self) -> Arc<View> {
        if let Some(view) = &self.read().view {
            return Arc::clone(view);
        }
        let mut set = self.write();
        let view = Arc::new(View::of(&set, &self.rules));
        set.view = Some(Arc::clone(&view));
        view
    }

    fn read(&self) -> RwLockReadGuard<'_, Set> {
        self.set.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Set> {
        self.set.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.read().secrets).finish()
    }
}

impl Set {
    fn add(&mut self, name: &str, value: &str, within: Vec<Arc<[Origin]>>, is_token: bool) -> Arc<Secret> {
        let secret = Arc::new(Secret {
            name: name.to_owned(),
            placeholder: format!("{PLACEHOLDER_PREFIX}{}", uuid::Uuid::new_v4().simple()),
            value: Zeroizing::new(value.to_owned()),
            within,
            is_token,
        });
        let spellings = self.hide(value);
        if value.trim().len() >= SHORTEST_ECHO {
            let echoes =
                spellings.into_iter().filter(|text| (SHORTEST_ECHO..=LONGEST_ECHO).contains(&text.len()));
            self.echoes.extend(echoes.map(|text| (text, Arc::clone(&secret))));
        }
        self.secrets.push(Arc::clone(&secret));
        self.view = None;
        secret
    }

    /// Hides a value, its lines, and what is secret in it; the spellings of all of
    /// it alone come back.
    fn hide(&mut self, value: &str) -> Vec<Arc<Zeroizing<String>>> {
        let spellings = self.hide_spellings(value);
        let lines = value.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE);
        if value.trim_end().contains('\n') {
            lines.filter(|line| !line.starts_with("-----")).for_each(|line| drop(self.hide_spellings(line)));
        }
        // A service account's key file: what counts is the key inside.
        if value.trim_start().starts_with('{')
            && let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(value)
        {
            for (key, field) in fields {
                if let (true, serde_json::Value::String(text)) = (sounds_secret(&key), field) {
                    drop(self.hide(&Zeroizing::new(text)));
                }
            }
        }
        self.view = None;
        spellings
    }

    fn hide_spellings(&mut self, value: &str) -> Vec<Arc<Zeroizing<String>>> {
        let spellings = spelling::spellings(value.trim());
        let spellings = spellings.into_iter().filter(|text| text.len() >= SHORTEST).map(Arc::new);
        let spellings: Vec<_> = spellings.collect();
        self.hidden.extend(spellings.iter().cloned());
        spellings
    }

    fn count_token(&mut self) -> Result<(), TooManyTokens> {
        if self.tokens >= MOST_TOKENS {
            return Err(TooManyTokens);
        }
        self.tokens += 1;
        Ok(())
    }

    /// Hides a token that the guest sees.
    fn learn_hidden(&mut self, token: &str) -> Result<(), TooManyTokens> {
        if !self.hidden.iter().any(|hidden| hidden.as_str() == token.trim()) {
            self.count_token()?;
            self.hide(token);
        }
        Ok(())
    }
}

impl View {
    fn of(set: &Set, rules: &SecretRules) -> Self {
        let number = |secret: &Arc<Secret>| {
            let digits = secret.placeholder.strip_prefix(PLACEHOLDER_PREFIX)?;
            Some((u128::from_str_radix(digits, 16).ok()?, Arc::clone(secret)))
        };
        let texts = set.hidden.iter().map(|text| Needle { text: Arc::clone(text), secret: None });
        let shown = |secret: &Secret| rules.allow_echo.contains(&secret.name);
        let answers = set.echoes.iter().filter(|(_, secret)| !shown(secret));
        let answers =
            answers.map(|(text, secret)| Needle { text: Arc::clone(text), secret: Some(Arc::clone(secret)) });
        Self {
            by_number: set.secrets.iter().filter_map(number).collect(),
            texts: Matcher::new(texts.collect()),
            answers: Matcher::new(answers.collect()).map(Arc::new),
        }
    }
}

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
        let one = secrets.add("Token", "s3cret-value");
        let two = secrets.add("Token", "s3cret-value");
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

    fn origins(texts: &[&str]) -> Vec<Origin> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn with_rules(secrets: &mut Secrets, bindings: &[(&str, &[&str])]) {
        let origins = bindings.iter().map(|(name, texts)| ((*name).to_owned(), origins(texts))).collect();
        secrets.set_rules(SecretRules { origins, ..SecretRules::default() });
    }

    #[test]
    fn a_placeholder_leads_to_its_secret_and_nothing_else_does() {
        let mut secrets = Secrets::new();
        let placeholder = secrets.add("Token", "s3cret-value");
        assert_eq!(secrets.by_placeholder(placeholder.as_bytes()).unwrap().name, "Token");
        let other = format!("{PLACEHOLDER_PREFIX}{}", "0".repeat(32));
        for no in [other.as_str(), PLACEHOLDER_PREFIX, "", &placeholder.to_uppercase(), &placeholder[..39]] {
            assert!(secrets.by_placeholder(no.as_bytes()).is_none(), "{no}");
        }
        let text = format!("OWSECRET {other}{placeholder}");
        assert_eq!(secrets.in_text(&text).unwrap().name, "Token");
        assert!(secrets.in_text(&other).is_none());
    }

    #[test]
    fn a_token_is_a_secret_from_then_on() {
        let mut secrets = Secrets::new();
        secrets.add("ClientSecret", "configured-value");
        assert_eq!(secrets.redact("a t0ken-t0ken"), "a t0ken-t0ken");
        let placeholder = secrets.learn("access_token", "t0ken-t0ken", &[]).unwrap();
        assert_eq!(secrets.redact("a t0ken-t0ken"), "a ***");
        assert_eq!(secrets.by_placeholder(placeholder.as_bytes()).unwrap().value.as_str(), "t0ken-t0ken");
        assert_eq!(secrets.learn("access_token", "t0ken-t0ken", &[]).unwrap(), placeholder);
        // What the configuration has keeps its placeholder and its rules.
        let configured = secrets.iter().next().unwrap();
        assert_eq!(secrets.learn("refresh_token", "configured-value", &[]).unwrap(), configured.placeholder);
    }

    #[test]
    fn tokens_are_bounded() {
        for reveal_tokens in [false, true] {
            let mut secrets = Secrets::new();
            secrets.set_rules(SecretRules { reveal_tokens, ..SecretRules::default() });
            for n in 0..MOST_TOKENS {
                secrets.learn("access_token", &format!("token-{n}"), &[]).unwrap();
            }
            assert_eq!(secrets.learn("access_token", "one-more", &[]), Err(TooManyTokens));
            assert!(secrets.learn("access_token", "token-0", &[]).is_ok());
        }
    }

    #[test]
    fn a_token_may_go_where_the_secrets_of_its_exchange_may() {
        let mut secrets = Secrets::new();
        secrets.add("Bound", "one-value");
        secrets.add("Free", "two-value");
        with_rules(&mut secrets, &[("Bound", &["https://a.example"]), ("id_token", &["https://b.example"])]);
        let all: Vec<_> = secrets.iter().collect();
        let bounds = |name: &str, token: &str, of: &[Arc<Secret>]| {
            let placeholder = secrets.learn(name, token, of).unwrap();
            secrets.bounds(&secrets.by_placeholder(placeholder.as_bytes()).unwrap())
        };
        let expected: Vec<Arc<[Origin]>> = vec![origins(&["https://a.example"]).into()];
        assert_eq!(bounds("access_token", "from-both", &all), expected);
        assert_eq!(bounds("access_token", "from-free", &all[1..]), Vec::<Arc<[Origin]>>::new());
        // What was got with a token is bound as that is.
        let token = secrets.iter().find(|secret| secret.value.as_str() == "from-both").unwrap();
        assert_eq!(bounds("access_token", "from-token", &[token]), expected);
        // A rule for the token itself counts alone.
        let own: Vec<Arc<[Origin]>> = vec![origins(&["https://b.example"]).into()];
        assert_eq!(bounds("id_token", "identity", &all), own);
    }

    #[test]
    fn a_token_that_is_revealed_is_redacted_all_the_same() {
        let mut secrets = Secrets::new();
        secrets.set_rules(SecretRules { reveal_tokens: true, ..SecretRules::default() });
        assert_eq!(secrets.learn("access_token", "t0ken-t0ken", &[]).unwrap(), "t0ken-t0ken");
        assert_eq!(secrets.redact("t0ken-t0ken"), "***");
        assert!(secrets.answers().is_none());
    }

    #[test]
    fn short_values_and_those_that_may_be_seen_stay_in_answers() {
        let mut secrets = Secrets::new();
        secrets.add("Pin", "1234567");
        assert!(secrets.answers().is_none());
        secrets.add("User", "jane@example.com");
        let key = secrets.add("Key", "hunter2hunter2");
        secrets.set_rules(SecretRules { allow_echo: vec!["User".into()], ..SecretRules::default() });
        let (shown, whose) =
            secrets.answers().unwrap().replace_bytes(b"1234567 jane@example.com hunter2hunter2").unwrap();
        assert_eq!(String::from_utf8(shown).unwrap(), format!("1234567 jane@example.com {key}"));
        assert_eq!(whose.iter().map(|secret| secret.name.as_str()).collect::<Vec<_>>(), ["Key"]);
    }

    #[test]
    fn base64_and_digits_of_a_value_are_redacted_too() {
        let mut secrets = Secrets::new();
        secrets.add("Password", "hunter2hunter2");
        assert_eq!(
            secrets.redact("authorization: Basic bWU6aHVudGVyMmh1bnRlcjI="),
            "authorization: Basic bWU6***I="
        );
        assert_eq!(secrets.redact("68756e7465723268756e74657232"), "***");
    }

    #[test]
    fn debug_output_shows_no_value() {
        let mut secrets = Secrets::new();
        secrets.add("Token", "s3cret-value");
        assert!(!format!("{secrets:?} {:?}", secrets.iter().next()).contains("s3cret"));
    }
}
