//! The requests, and what Facebook's answers mean.

use std::collections::BTreeMap;
use std::time::Duration;

use ow_connector::http::{Answer, Request, Verdict};
use ow_connector::prelude::*;

use crate::nodes::{Node, Source};
use crate::settings::Settings;

/// The request for some columns of a node, of one account, and of one day where the
/// node has days.
pub(crate) fn request(
    ctx: &Context<Settings>,
    node: &Node,
    columns: &[String],
    account: &str,
    day: Option<Date>,
) -> Result<Request> {
    let config = ctx.config();
    let path = match node.source {
        Source::Me => "me".to_owned(),
        Source::Account => format!("act_{account}"),
        Source::List(edge) => format!("act_{account}/{edge}"),
        Source::Insights { .. } => format!("act_{account}/insights"),
    };
    let mut request = ctx.http().get(config.url(&path)).query("fields", node.fields(columns));
    if !matches!(node.source, Source::Me | Source::Account) {
        request = request.query("limit", config.limit);
    }
    if let (Source::Insights { level, breakdowns }, Some(day)) = (node.source, day) {
        let range = serde_json::json!({"since": day, "until": day});
        request = request.query("level", level).query("time_range", range);
        if !breakdowns.is_empty() {
            request = request.query("breakdowns", breakdowns.join(","));
        }
    }
    Ok(request.query("access_token", config.token()?.expose()))
}

/// What the pages are found by. Facebook writes the token into the next page's URL:
/// ours is put in its place.
pub(crate) fn pages() -> http::NextUrl {
    http::NextUrl::new("/paging/next").keep("access_token")
}

/// A failure as Facebook tells it.
#[derive(Deserialize)]
struct Failure {
    error: Told,
}

#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    message: String,
    code: i64,
    #[serde(default)]
    error_subcode: Option<i64>,
    #[serde(default)]
    is_transient: bool,
}

/// How much of an account's quota is used.
#[derive(Deserialize)]
struct Usage {
    /// Minutes.
    #[serde(default)]
    estimated_time_to_regain_access: u64,
}

/// What an answer means: the code tells, whatever the status is.
pub(crate) fn judge(answer: &Answer<'_>) -> Verdict {
    let Ok(Failure { error: told }) = answer.json::<Failure>() else { return answer.by_status() };
    let message = match told.error_subcode {
        Some(subcode) => format!("code {}, subcode {subcode}: {}", told.code, told.message),
        None => format!("code {}: {}", told.code, told.message),
    };
    match (told.code, told.error_subcode) {
        // The token is that of every account.
        (102 | 190 | 463 | 467, _) => Verdict::Fail(Error::auth(message).parameter("AuthType").fatal()),
        (4 | 17 | 32 | 613 | 80_000..=80_014, _) => {
            let error = Error::rate_limited(message);
            Verdict::Retry(match regained(answer) {
                Some(wait) => error.retry_after(wait),
                None => error,
            })
        }
        (100, Some(33)) => {
            let message = format!("there is no such ad account, or the token may not see it: {message}");
            Verdict::Fail(Error::config(message).parameter("AccountIDs"))
        }
        (100, _) => Verdict::Fail(Error::config(message).parameter("Fields")),
        (3 | 10 | 200..=299, _) => Verdict::Fail(Error::auth(format!("no permission: {message}"))),
        (1 | 2, _) => Verdict::Retry(Error::unavailable(message)),
        _ if told.is_transient || answer.status() >= 500 => Verdict::Retry(Error::unavailable(message)),
        _ => Verdict::Fail(Error::invalid_data(message)),
    }
}

/// When the account may ask again, where Facebook says it.
fn regained(answer: &Answer<'_>) -> Option<Duration> {
    let usage: BTreeMap<String, Vec<Usage>> =
        serde_json::from_str(answer.header("x-business-use-case-usage")?).ok()?;
    let minutes = usage.into_values().flatten().map(|usage| usage.estimated_time_to_regain_access).max()?;
    (minutes > 0).then(|| Duration::from_secs(minutes.saturating_mul(60)))
}
