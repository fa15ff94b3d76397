//! What answers mean where their status does not say it: the rules of `Errors`.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ow_connector::http::{Answer, Verdict};
use ow_connector::prelude::*;
use serde_json::Value;

use crate::settings::{Kind, Rule, Scalar, Then};

/// Whether the last failure was an answer that a rule skips.
pub(crate) type Skipped = Rc<Cell<bool>>;

/// The verdict of the first rule that fits, else that of the status.
pub(crate) fn judge(rules: &[Rule], skipped: &Skipped, answer: &Answer<'_>) -> Verdict {
    let Some(rule) = rules.iter().find(|rule| rule.fits(answer)) else { return answer.by_status() };
    match rule.then {
        Then::Accept => Verdict::Accept,
        Then::Retry => Verdict::Retry(rule.error(answer)),
        Then::Fail => Verdict::Fail(rule.error(answer)),
        Then::Skip => {
            skipped.set(true);
            Verdict::Fail(rule.error(answer))
        }
    }
}

impl Rule {
    /// What is wrong with the rule itself.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if self.status.is_empty() && self.contains.is_none() && self.at.is_none() {
            return Some("it needs a condition: `Status`, `Contains` or `At`");
        }
        (self.equals.is_some() && self.at.is_none()).then_some("`Equals` needs a place: `At`")
    }

    fn fits(&self, answer: &Answer<'_>) -> bool {
        let status = self.status.is_empty() || self.status.contains(&answer.status());
        let contains = |text: &String| {
            let (body, text) = (answer.body(), text.as_bytes());
            text.is_empty() || body.windows(text.len()).any(|part| part == text)
        };
        status && self.contains.as_ref().is_none_or(contains) && self.stands_there(answer)
    }

    fn stands_there(&self, answer: &Answer<'_>) -> bool {
        let Some(at) = &self.at else { return true };
        let Ok(body) = answer.json::<Value>() else { return false };
        match (body.pointer(at), &self.equals) {
            (None | Some(Value::Null), _) => false,
            (Some(Value::String(text)), Some(Scalar(wanted))) => text == wanted,
            (Some(value), Some(Scalar(wanted))) => {
                let text = value.to_string();
                text == *wanted
            }
            (Some(_), None) => true,
        }
    }

    fn error(&self, answer: &Answer<'_>) -> Error {
        let kind = match self.kind {
            Some(Kind::Config) => ErrorKind::Config,
            Some(Kind::Auth) => ErrorKind::Auth,
            Some(Kind::RateLimited) => ErrorKind::RateLimited,
            Some(Kind::Unavailable) => ErrorKind::Unavailable,
            Some(Kind::InvalidData) => ErrorKind::InvalidData,
            None => match answer.by_status() {
                Verdict::Retry(error) | Verdict::Fail(error) => error.kind(),
                _ if self.then == Then::Retry => ErrorKind::Unavailable,
                _ => ErrorKind::InvalidData,
            },
        };
        let said = answer.message();
        let message = match &self.message {
            Some(message) => format!("status {}: {message}", answer.status()),
            None if said.is_empty() => format!("status {}", answer.status()),
            None => format!("status {}: {said}", answer.status()),
        };
        let error = Error::new(kind, message);
        match self.wait_seconds {
            Some(seconds) => error.retry_after(Duration::try_from_secs_f64(seconds).unwrap_or_default()),
            None => error,
        }
    }
}
