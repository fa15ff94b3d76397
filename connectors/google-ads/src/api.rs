//! The requests, and what Google's answers mean.

use std::time::Duration;

use ow_connector::http::{Answer, Cursor, Pages, Verdict};
use ow_connector::prelude::*;
use serde_json::{Value, json};

use crate::settings::Settings;

/// The pages of a query's rows.
pub(crate) fn search(ctx: &Context<Settings>, token: &str, customer: &str, query: &str) -> Result<Pages> {
    let config = ctx.config();
    let mut request = ctx
        .http()
        .post(config.search_url(customer))
        .idempotent()
        .bearer(token)
        .header("developer-token", config.developer_token().expose())
        .json(&json!({ "query": query }));
    if let Some(manager) = config.manager()? {
        request = request.header("login-customer-id", manager);
    }
    Ok(request.pages(Cursor::new("/pageToken", "/nextPageToken")))
}

/// A failure as Google tells it: `{"error": {…}}` by the API, `{"error": "code"}`
/// where tokens come from.
struct Failure {
    /// Such as `USER_PERMISSION_DENIED`.
    code: String,
    message: String,
    /// How long to wait, where it says so.
    wait: Option<Duration>,
}

impl Failure {
    fn read(answer: &Answer<'_>) -> Option<Self> {
        let body: Value = answer.json().ok()?;
        let error = body.get("error")?;
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        if error.is_string() {
            let message = text(body.get("error_description"));
            return Some(Self { code: text(Some(error)), message, wait: None });
        }
        let details = error.get("details").and_then(Value::as_array).into_iter().flatten();
        let inner = details.filter_map(|detail| detail.pointer("/errors/0")).next();
        let Some(inner) = inner else {
            return Some(Self {
                code: text(error.get("status")),
                message: text(error.get("message")),
                wait: None,
            });
        };
        let codes = inner.get("errorCode").and_then(Value::as_object);
        let code = text(codes.and_then(|codes| codes.values().next()));
        let wait = inner.pointer("/details/quotaErrorDetails/retryDelay").and_then(Value::as_str);
        let wait = wait.and_then(|wait| wait.strip_suffix('s')?.parse().ok());
        let wait = wait.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Some(Self { code, message: text(inner.get("message")), wait })
    }
}

/// What an answer means.
pub(crate) fn judge(answer: &Answer<'_>) -> Verdict {
    if (200..300).contains(&answer.status()) {
        return Verdict::Accept;
    }
    let Some(Failure { code, message, wait }) = Failure::read(answer) else { return answer.by_status() };
    let told = if message.is_empty() { code.clone() } else { format!("{code}: {message}") };
    match (code.as_str(), answer.status()) {
        ("invalid_grant" | "invalid_client" | "unauthorized_client", _) => {
            Verdict::Fail(Error::auth(told).parameter("AuthType"))
        }
        ("CUSTOMER_NOT_FOUND" | "INVALID_CUSTOMER_ID" | "CUSTOMER_NOT_ENABLED", _) => {
            Verdict::Fail(Error::config(told).parameter("CustomerId"))
        }
        ("USER_PERMISSION_DENIED", _) => {
            Verdict::Fail(Error::auth(format!("{told} (`LoginCustomerId` names the manager account)")))
        }
        ("REQUESTED_METRICS_FOR_MANAGER", _) => {
            let message = format!("{told} (a manager account has no figures: name the accounts below it)");
            Verdict::Fail(Error::config(message).parameter("CustomerId"))
        }
        ("UNRECOGNIZED_FIELD" | "PROHIBITED_FIELD_IN_SELECT_CLAUSE", _) => {
            Verdict::Fail(Error::config(told).parameter("Fields"))
        }
        // The credentials are those of every account.
        (_, 401) => Verdict::Fail(Error::auth(told).fatal()),
        (_, 403) => Verdict::Fail(Error::auth(told)),
        (_, 429) => {
            let error = Error::rate_limited(told);
            Verdict::Retry(match wait {
                Some(wait) => error.retry_after(wait),
                None => error,
            })
        }
        (_, 500..) => Verdict::Retry(Error::unavailable(format!("status {}: {told}", answer.status()))),
        (_, status) => Verdict::Fail(Error::invalid_data(format!("status {status}: {told}"))),
    }
}
