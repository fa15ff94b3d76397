//! Requests for tokens and their answers (RFC 6749 sections 4 to 6, RFC 8693): a
//! token that a server gives in exchange for secrets is a secret as well, so that
//! the guest gets a placeholder for it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, Uri};
use memchr::memmem;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use zeroize::{Zeroize as _, Zeroizing};

use super::substitute::essence;
use crate::config::secret::rules::TOKENS;
use crate::config::secret::{Secret, Secrets, TooManyTokens};

/// The member of a request that asks for a token.
const GRANT_TYPE: &str = "grant_type";

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Levels of the answer to a request for a token in which tokens are looked for.
/// TikTok has them below `data`, Slack below `authed_user`.
const LEVELS: usize = 4;

/// How sure it is that an answer holds tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The request has a `grant_type`.
    ForToken,
    /// It was sent with a secret, and may be a login of another kind.
    WithSecret,
}

/// Why an answer cannot be given to the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unhidden {
    /// The run got more tokens than it may have.
    TooMany(TooManyTokens),
    /// It names a token, but is neither JSON nor a form.
    Unreadable,
}

impl From<TooManyTokens> for Unhidden {
    fn from(too_many: TooManyTokens) -> Self {
        Self::TooMany(too_many)
    }
}

impl fmt::Display for Unhidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany(too_many) => too_many.fmt(f),
            Self::Unreadable => f.write_str("the answer names a token, but is neither JSON nor a form"),
        }
    }
}

/// Whether a request asks for a token, in its query or in its body.
pub(crate) fn is_asked_for(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> bool {
    let in_form = |form: &[u8]| form_urlencoded::parse(form).any(|(name, _)| name == GRANT_TYPE);
    if uri.query().is_some_and(|query| in_form(query.as_bytes())) {
        return true;
    }
    match essence(headers).as_deref() {
        Some("application/x-www-form-urlencoded") => in_form(body),
        Some(json) if json == "application/json" || json.ends_with("+json") => {
            serde_json::from_slice::<HashMap<String, IgnoredAny>>(body)
                .is_ok_and(|members| members.contains_key(GRANT_TYPE))
        }
        _ => memmem::find(body, GRANT_TYPE.as_bytes()).is_some(),
    }
}

/// The answer with placeholders in the place of its tokens; nothing if it has none
/// that are to be hidden.
///
/// # Errors
///
/// If the run got too many, or one could be in what cannot be read.
pub(crate) fn hide(
    answer: &[u8],
    asked: Asked,
    headers: &HeaderMap,
    secrets: &Secrets,
    exchanged: &[Arc<Secret>],
) -> Result<Option<Vec<u8>>, Unhidden> {
    let mut learner = Learner { secrets, exchanged, learned: false };
    let answer = answer.strip_prefix(BYTE_ORDER_MARK).unwrap_or(answer);
    // Rows are seldom worth a second look.
    let names_one = |part: &&str| memmem::find(answer, part.as_bytes()).is_some();
    if asked == Asked::WithSecret && !["oken", "OKEN", "\\u"].iter().any(names_one) {
        return Ok(None);
    }
    if let Ok(mut value) = serde_json::from_slice::<Value>(answer) {
        match asked {
            Asked::ForToken => learner.value(&mut value, LEVELS)?,
            Asked::WithSecret => learner.login(&mut value)?,
        }
        return Ok(learner.learned.then(|| value.to_string().into_bytes()));
    }
    // GitHub answers so, if it is not asked for JSON.
    let is_form = matches!(
        essence(headers).as_deref(),
        Some("application/x-www-form-urlencoded" | "text/plain" | "text/html")
    );
    if asked == Asked::WithSecret {
        return Ok(None);
    }
    if TOKENS.iter().any(|name| memmem::find(answer, format!("\"{name}\"").as_bytes()).is_some()) {
        return Err(Unhidden::Unreadable);
    }
    if is_form { Ok(learner.form(answer)?) } else { Ok(None) }
}

/// The name of a token's member in the one way that it is called here.
fn token_name(key: &str) -> Option<&'static str> {
    let letters = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let key = letters(key).to_ascii_lowercase();
    TOKENS.iter().find(|name| letters(name) == key).copied()
}

/// Takes tokens out of an answer.
struct Learner<'a> {
    secrets: &'a Secrets,
    exchanged: &'a [Arc<Secret>],
    learned: bool,
}

impl Learner<'_> {
    fn token(&mut self, name: &str, text: &mut String) -> Result<(), TooManyTokens> {
        if text.trim().is_empty() {
            return Ok(());
        }
        let shown = self.secrets.learn(name, text, self.exchanged)?;
        if shown != *text {
            text.zeroize();
            *text = shown;
            self.learned = true;
        }
        Ok(())
    }

    fn members(&mut self, members: &mut Map<String, Value>) -> Result<(), TooManyTokens> {
        for (key, value) in members {
            if let (Some(name), Value::String(text)) = (token_name(key), value) {
                self.token(name, text)?;
            }
        }
        Ok(())
    }

    /// Tokens anywhere in the upper levels.
    fn value(&mut self, value: &mut Value, levels: usize) -> Result<(), TooManyTokens> {
        let Some(below) = levels.checked_sub(1) else { return Ok(()) };
        match value {
            Value::Object(members) => {
                self.members(members)?;
                members.values_mut().try_for_each(|value| self.value(value, below))
            }
            Value::Array(items) => items.iter_mut().try_for_each(|value| self.value(value, below)),
            _ => Ok(()),
        }
    }

    /// Tokens at the top and below `data`: an answer with rows has others deeper.
    fn login(&mut self, value: &mut Value) -> Result<(), TooManyTokens> {
        let Value::Object(members) = value else { return Ok(()) };
        self.members(members)?;
        match members.get_mut("data") {
            Some(Value::Object(members)) => self.members(members),
            _ => Ok(()),
        }
    }

    fn form(&mut self, answer: &[u8]) -> Result<Option<Vec<u8>>, TooManyTokens> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form_urlencoded::parse(answer) {
            let mut value = Zeroizing::new(value.into_owned());
            if let Some(token) = token_name(&name) {
                self.token(token, &mut value)?;
            }
            form.append_pair(&name, &value);
        }
        Ok(self.learned.then(|| form.finish().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn headers(content_type: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", content_type.parse().unwrap());
        headers
    }

    #[test]
    fn a_grant_type_makes_a_request_for_a_token_wherever_it_stands() {
        let asks = |path: &str, content_type: &str, body: &str| {
            is_asked_for(&path.parse().unwrap(), &headers(content_type), body.as_bytes())
        };
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        for (path, content_type, body) in [
            ("/token", form, "grant_type=refresh_token&x=1"),
            ("/token", form, "x=1&grant%5Ftype=client_credentials"),
            ("/token?x&grant_type=client_credentials", form, ""),
            ("/token", "application/json", r#"{"x": [1], "grant_type": "password"}"#),
            ("/token", "application/json", r#"{"grant\u005ftype": "password"}"#),
            (
                "/token",
                "multipart/form-data; boundary=b",
                "--b\r\ncontent-disposition: form-data; name=\"grant_type\"\r\n\r\nx",
            ),
        ] {
            assert!(asks(path, content_type, body), "{path} {content_type} {body}");
        }
        for (path, content_type, body) in [
            ("/grant_type", form, "x=grant_type"),
            ("/token", "application/json", r#"{"x": "grant_type"}"#),
            ("/token", "application/json", "grant_type"),
            ("/token", "text/plain", ""),
        ] {
            assert!(!asks(path, content_type, body), "{path} {content_type} {body}");
        }
    }

    /// The answer as the guest sees it, with names in place of placeholders.
    fn shown(answer: &str, asked: Asked, content_type: &str) -> Option<String> {
        let secrets = Secrets::new();
        let shown = hide(answer.as_bytes(), asked, &headers(content_type), &secrets, &[]).unwrap()?;
        let shown = String::from_utf8(shown).unwrap();
        Some(secrets.iter().fold(shown, |text, secret| {
            assert_eq!(secrets.redact(&secret.value), "***");
            text.replace(&secret.placeholder, &format!("<{}>", secret.name))
        }))
    }

    #[test]
    fn every_token_of_an_answer_is_hidden_and_nothing_else() {
        let answer = json!({
            "access_token": "a/1-token", "token_type": "Bearer", "expires_in": 3599, "scope": "all",
            "refresh_token": "r-1-token", "id_token": "h.p.s-token", "issued_token_type": "urn:x", "refreshToken": "r-2-token",
            "data": {"access_token": "d-1-token", "advertiser_ids": ["7"]}, "list": [{"accessToken": "l-1-token"}],
            "error": null,
        });
        let shown = shown(&answer.to_string(), Asked::ForToken, "application/json").unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&shown).unwrap(),
            json!({
                "access_token": "<access_token>", "token_type": "Bearer", "expires_in": 3599, "scope": "all",
                "refresh_token": "<refresh_token>", "id_token": "<id_token>", "issued_token_type": "urn:x",
                "refreshToken": "<refresh_token>",
                "data": {"access_token": "<access_token>", "advertiser_ids": ["7"]},
                "list": [{"accessToken": "<access_token>"}], "error": null,
            })
        );
    }

    #[test]
    fn a_login_of_another_kind_has_its_tokens_at_the_top_or_below_data() {
        let answer = r#"{"code":0,"data":{"access_token":"d-1-token","x":{"access_token":"deep"}},"rows":[{"id_token":"row"}]}"#;
        assert_eq!(
            shown(answer, Asked::WithSecret, "application/json").unwrap(),
            r#"{"code":0,"data":{"access_token":"<access_token>","x":{"access_token":"deep"}},"rows":[{"id_token":"row"}]}"#
        );
        for no in
            [r#"{"rows":[{"id_token":"row"}]}"#, r#"["access_token"]"#, r#"{"access_token":5}"#, "", "<html>"]
        {
            assert_eq!(shown(no, Asked::WithSecret, "application/json"), None, "{no}");
        }
    }

    #[test]
    fn forms_and_answers_of_a_wrong_type_are_read_too() {
        let form = "access_token=gho%5F1-token&scope=repo&token_type=bearer";
        for content_type in ["application/x-www-form-urlencoded", "text/plain;charset=utf-8"] {
            let shown = shown(form, Asked::ForToken, content_type).unwrap();
            assert_eq!(
                shown,
                "access_token=%3Caccess_token%3E&scope=repo&token_type=bearer"
                    .replace("%3C", "<")
                    .replace("%3E", ">")
            );
        }
        assert_eq!(shown(form, Asked::WithSecret, "text/plain"), None);
        let json = r#"{"access_token":"x-1-token"}"#;
        assert_eq!(
            shown(json, Asked::ForToken, "text/html").unwrap(),
            r#"{"access_token":"<access_token>"}"#
        );
    }

    #[test]
    fn too_many_tokens_are_an_error() {
        let secrets = Secrets::new();
        let tokens: Vec<Value> = (0..1001).map(|n| json!({"access_token": format!("token-{n}")})).collect();
        let answer = Value::from(tokens).to_string();
        let refused = hide(answer.as_bytes(), Asked::ForToken, &headers("application/json"), &secrets, &[]);
        assert_eq!(refused, Err(Unhidden::TooMany(TooManyTokens)));
    }

    #[test]
    fn what_cannot_be_read_and_names_a_token_is_refused() {
        let refused = |answer: &str, asked| {
            hide(answer.as_bytes(), asked, &headers("application/json"), &Secrets::new(), &[]).is_err()
        };
        for answer in [r#"{"x": 1e999, "access_token": "a"}"#, r#"callback({"id_token": "a"})"#] {
            assert!(refused(answer, Asked::ForToken), "{answer}");
            assert!(!refused(answer, Asked::WithSecret), "{answer}");
        }
        assert!(!refused("<html>the access_token is invalid", Asked::ForToken));
        assert!(!refused("\u{feff}{\"access_token\": \"a\"}", Asked::ForToken));
    }
}
