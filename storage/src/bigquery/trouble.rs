//! What BigQuery answers when it cannot, in the words of the person who
//! operates the connector.

use serde_json::Value;

use crate::StorageError;

/// Characters of BigQuery's own text that a message keeps.
const MAX_TEXT: usize = 1500;

/// A failure on its way up: BigQuery's, or one that is in the user's words.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// BigQuery's answer.
    Api(ApiError),
    /// No answer.
    Silent {
        /// What was tried.
        what: String,
        /// Why there is none.
        error: String,
    },
    /// Ours.
    Storage(StorageError),
}

/// An error as BigQuery reports it, in an HTTP answer or in a job.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    /// The HTTP status; 0 in a job.
    pub(super) status: u16,
    /// BigQuery's word for it, such as `notFound`.
    pub(super) reason: String,
    /// BigQuery's text.
    pub(super) message: String,
    /// Where the console shows the job.
    pub(super) link: Option<String>,
}

impl From<StorageError> for Trouble {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl ApiError {
    /// Reads the body of an HTTP answer.
    pub(super) fn from_body(status: u16, body: &[u8]) -> Self {
        let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = parsed.get("error");
        let first = error.and_then(|error| error.pointer("/errors/0"));
        let text = |value: Option<&Value>, key: &str| {
            value.and_then(|value| value.get(key)).and_then(Value::as_str).map(str::to_owned)
        };
        let plain = || {
            let text = String::from_utf8_lossy(body.get(..body.len().min(300)).unwrap_or_default());
            if text.trim().is_empty() { format!("HTTP status {status}") } else { text.into_owned() }
        };
        Self {
            status,
            reason: text(first, "reason").or_else(|| text(error, "status")).unwrap_or_default(),
            message: text(error, "message").or_else(|| text(first, "message")).unwrap_or_else(plain),
            link: None,
        }
    }

    /// Reads the `errorResult` of a job.
    pub(super) fn from_job(result: &Value, errors: Option<&Value>, link: String) -> Self {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut message = text(result, "message").unwrap_or_default();
        // A load says in the first one only that there are others.
        let more = errors.and_then(Value::as_array).into_iter().flatten();
        let more: Vec<_> = more.filter_map(|error| text(error, "message")).collect();
        for other in more.iter().filter(|other| **other != message).take(2).cloned().collect::<Vec<_>>() {
            message = format!("{message}; {other}");
        }
        Self { status: 0, reason: text(result, "reason").unwrap_or_default(), message, link: Some(link) }
    }

    /// Whether the same request may succeed in a while.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self.status, 408 | 429 | 500 | 502 | 503 | 504)
            || matches!(
                self.reason.as_str(),
                "backendError"
                    | "internalError"
                    | "rateLimitExceeded"
                    | "jobRateLimitExceeded"
                    | "jobBackendError"
                    | "jobInternalError"
                    | "userRateLimitExceeded"
                    | "tableUnavailable"
            )
            || self.is_conflict()
    }

    /// Whether another transaction changed the same table meanwhile.
    fn is_conflict(&self) -> bool {
        let text = self.message.to_lowercase();
        text.contains("concurrent update")
            || text.contains("could not serialize access")
            || text.contains("concurrent transaction")
    }
}

impl Trouble {
    /// A refusal of rows or of a schema.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::Storage(StorageError::Refused { message: message.into() })
    }

    /// Something that cannot be.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::Storage(StorageError::Failed { message: message.into(), retryable: false })
    }

    /// BigQuery's error, if it is one.
    pub(super) fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) => Some(error),
            _ => None,
        }
    }

    /// Whether BigQuery answered with this status.
    pub(super) fn is(&self, status: u16) -> bool {
        self.api().is_some_and(|error| error.status == status)
    }

    /// Whether BigQuery's text has these words.
    pub(super) fn says(&self, words: &str) -> bool {
        self.api().is_some_and(|error| error.message.contains(words))
    }

    /// Says it to the user; `doing` is what was tried, such as `commit`.
    pub(super) fn explain(self, project: &str, doing: &str) -> StorageError {
        match self {
            Self::Storage(error) => error,
            Self::Silent { what, error } => StorageError::Failed {
                message: format!(
                    "cannot {doing}: BigQuery gave no answer to {what} ({error}); check the network and run again"
                ),
                retryable: true,
            },
            Self::Api(error) => explain(&error, project, doing),
        }
    }
}

fn explain(error: &ApiError, project: &str, doing: &str) -> StorageError {
    let said = clean(&error.message);
    let job = error.link.as_ref().map_or(String::new(), |link| format!(" (job: {link})"));
    let config = |message, parameter: Option<&str>| StorageError::Config {
        message,
        parameter: parameter.map(str::to_owned),
    };
    match (error.status, error.reason.as_str()) {
        (401, _) | (_, "authError") => config(
            format!(
                "cannot {doing}: BigQuery does not accept the credentials: {said}; check `ServiceAccountJson` or the OAuth parameters"
            ),
            None,
        ),
        (_, "accessDenied" | "insufficientPermissions" | "forbidden" | "PERMISSION_DENIED") => config(
            format!(
                "cannot {doing}: the account lacks a permission: {said}; give it BigQuery Data Editor on the dataset and BigQuery Job User on project `{project}`{job}"
            ),
            None,
        ),
        (_, "billingNotEnabled" | "billingTierLimitExceeded") => config(
            format!(
                "cannot {doing}: {said}; enable billing for project `{project}`, or set `ProjectID`{job}"
            ),
            Some("ProjectID"),
        ),
        (_, "quotaExceeded") => StorageError::Failed {
            message: format!(
                "cannot {doing}: a quota of BigQuery is used up: {said}; raise it, or run again later{job}"
            ),
            retryable: true,
        },
        (_, "resourcesExceeded" | "responseTooLarge" | "tooLarge") => StorageError::Failed {
            message: format!(
                "cannot {doing}: BigQuery has not the resources for it: {said}; commit more often{job}"
            ),
            retryable: false,
        },
        _ if said.contains("PARSE_JSON") => StorageError::Refused {
            message: format!(
                "cannot {doing}: a JSON value cannot be kept without a loss: {said}; declare the field `text`{job}"
            ),
        },
        _ => StorageError::Failed {
            message: format!("cannot {doing}: {said}{job}"),
            retryable: error.is_transient(),
        },
    }
}

/// BigQuery's text on one line, cut to what a person reads.
fn clean(text: &str) -> String {
    let mut words: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect();
    while words.ends_with(['.', ' ']) {
        words.pop();
    }
    words
}
