//! The requests, and what GitHub's answers mean.

use std::time::Duration;

use ow_connector::http::{Answer, Client, Request, Verdict};
use ow_connector::prelude::*;

use crate::{Name, Settings};

/// The version of the API that the connector was written for.
const VERSION: &str = "2022-11-28";

/// Contributors on a page: the most that GitHub gives.
const PAGE: u32 = 100;

/// How long GitHub wants to be left alone after a secondary limit for which it
/// tells no time.
const SECONDARY: Duration = Duration::from_secs(60);

/// The client for all requests.
pub(crate) fn client(config: &Settings, client: Client) -> Client {
    client
        .header("accept", "application/vnd.github+json")
        .header("authorization", format_args!("Bearer {}", config.access_token.expose()))
        .header("x-github-api-version", VERSION)
        .judge(judge)
}

/// A repository.
pub(crate) fn repository(ctx: &Context<Settings>, name: Name<'_>) -> Request {
    let config = ctx.config();
    ctx.http().get(format!("{}/repos/{name}", config.base_url.trim_end_matches('/')))
}

/// The first page of a repository's contributors.
pub(crate) fn contributors(ctx: &Context<Settings>, name: Name<'_>) -> Request {
    let config = ctx.config();
    ctx.http()
        .get(format!("{}/repos/{name}/contributors", config.base_url.trim_end_matches('/')))
        .query("per_page", PAGE)
}

/// What an answer means. A limit on requests comes as 403 or 429, and so does a
/// permission that is missing.
fn judge(answer: &Answer<'_>) -> Verdict {
    let said = answer.message();
    match answer.status() {
        401 => {
            let error = Error::auth(format!("GitHub refuses the access token: {said}"));
            Verdict::Fail(error.parameter("AccessToken").fatal())
        }
        403 | 429 if is_limit(answer, &said) => {
            let error = Error::rate_limited(format!("GitHub asks to wait: {said}")).fatal();
            Verdict::Retry(match wait(answer) {
                Some(wait) => error.retry_after(wait),
                None => error,
            })
        }
        403 if said.contains("too large to list") => {
            let message = format!(
                "GitHub does not list so many contributors: {said}; leave them and `repositoryStats contributors` \
                 out of `Fields`"
            );
            Verdict::Fail(Error::config(message).parameter("Fields"))
        }
        403 => {
            let message = format!("the access token may not read this: {said}{}", needed(answer));
            Verdict::Fail(Error::auth(message).parameter("AccessToken"))
        }
        404 => {
            let message = "there is no such repository, or the access token may not see it";
            Verdict::Fail(Error::config(message).parameter("RepositoryName"))
        }
        _ => answer.by_status(),
    }
}

/// Whether GitHub refuses because there were too many requests.
fn is_limit(answer: &Answer<'_>, said: &str) -> bool {
    answer.status() == 429
        || answer.header("retry-after").is_some()
        || answer.header("x-ratelimit-remaining") == Some("0")
        || said.contains("rate limit")
}

/// How long to wait, where `Retry-After` does not say it.
fn wait(answer: &Answer<'_>) -> Option<Duration> {
    if answer.header("retry-after").is_some() {
        return None;
    }
    let reset = answer.header("x-ratelimit-reset").and_then(|seconds| seconds.parse().ok());
    match reset.filter(|_| answer.header("x-ratelimit-remaining") == Some("0")) {
        // Clocks differ a little.
        Some(reset) => Some(answer.until(Timestamp::from_seconds(reset)) + Duration::from_secs(1)),
        None => Some(SECONDARY),
    }
}

/// The permission that is missing, where GitHub says it.
fn needed(answer: &Answer<'_>) -> String {
    let headers = ["x-accepted-github-permissions", "x-accepted-oauth-scopes"];
    let needed = headers.into_iter().filter_map(|name| answer.header(name)).find(|needed| !needed.is_empty());
    needed.map(|needed| format!(" (it needs `{needed}`)")).unwrap_or_default()
}
