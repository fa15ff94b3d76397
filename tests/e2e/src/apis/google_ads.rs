//! The Google Ads API as far as a connector reads it: access tokens, and queries
//! over campaigns and keywords, in pages of two rows. It checks what it is asked as
//! the API does, and refuses in its words. Integers come as text, names in camel
//! case.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Map, Value, json};

use crate::server::{Answer, Request, Server};

/// The refresh token that the API knows.
pub const REFRESH_TOKEN: &str = "1//refresh-token-of-nobody";

/// The developer token that the API knows.
pub const DEVELOPER_TOKEN: &str = "developer-token-of-nobody";

/// The accounts; the second one is read through a manager.
pub const ACCOUNTS: [&str; 2] = ["1234567890", "2222222222"];

/// The manager of the second account.
pub const MANAGER: &str = "9999999999";

/// Rows of a page.
const PAGE: usize = 2;

/// A query, taken apart.
#[derive(Debug, Clone)]
pub struct Query {
    /// The account.
    pub customer: String,
    /// What it selects.
    pub fields: Vec<String>,
    /// The resource that it selects from.
    pub resource: String,
    /// The day, where it wants one.
    pub day: Option<String>,
    /// The mark of the page.
    pub page: usize,
}

impl Query {
    /// Reads a request; none for one that is no query.
    #[must_use]
    pub fn of(request: &Request) -> Option<Self> {
        let path = request.path().strip_prefix("/v25/customers/")?;
        let customer = path.strip_suffix("/googleAds:search")?.to_owned();
        let body: Value = serde_json::from_slice(&request.body).ok()?;
        let text = body["query"].as_str()?.strip_prefix("SELECT ")?;
        let (fields, rest) = text.split_once(" FROM ")?;
        let resource = rest.split_whitespace().next()?.to_owned();
        let day = rest.split_once("segments.date = '").map(|(_, day)| day.trim_end_matches('\'').to_owned());
        let page =
            body["pageToken"].as_str().map_or(0, |token| token.trim_start_matches("page-").parse().unwrap());
        let fields = fields.split(", ").map(str::to_owned).collect();
        Some(Self { customer, fields, resource, day, page })
    }
}

/// The API. Each access token is good for `uses` queries. `fault` may answer a
/// query first.
pub fn start(uses: u32, fault: impl Fn(&Query) -> Option<Answer> + Send + Sync + 'static) -> Server {
    let (granted, left) = (AtomicU32::new(0), AtomicU32::new(0));
    Server::start(move |request| {
        if request.path() == "/token" {
            return grant(request, || {
                left.store(uses, Ordering::Relaxed);
                granted.fetch_add(1, Ordering::Relaxed) + 1
            });
        }
        let token = format!("Bearer access-{}", granted.load(Ordering::Relaxed));
        let is_good = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if request.header("authorization") != Some(&token) || is_good.is_err() {
            return refusal(401, "authenticationError", "OAUTH_TOKEN_EXPIRED", "OAuth token has expired.");
        }
        if request.header("developer-token") != Some(DEVELOPER_TOKEN) {
            return refusal(
                401,
                "authenticationError",
                "DEVELOPER_TOKEN_INVALID",
                "Developer token is not valid.",
            );
        }
        let Some(query) = Query::of(request) else {
            return refusal(400, "requestError", "UNKNOWN", "The request makes no sense.");
        };
        fault(&query).unwrap_or_else(|| answer(request, &query))
    })
}

/// A failure as the API tells it.
#[must_use]
pub fn refusal(status: u16, kind: &str, code: &str, message: &str) -> Answer {
    let body = json!({ "error": {
        "code": status,
        "message": "Request contains an invalid argument.",
        "status": "SOMETHING",
        "details": [{
            "@type": "type.googleapis.com/google.ads.googleads.v25.errors.GoogleAdsFailure",
            "errors": [{ "errorCode": { kind: code }, "message": message }],
            "requestId": "abc",
        }],
    }});
    Answer::new(status, body.to_string()).header("content-type", "application/json; charset=UTF-8")
}

/// A token for a refresh token.
fn grant(request: &Request, next: impl FnOnce() -> u32) -> Answer {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let form: BTreeMap<&str, &str> = body.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let wanted = REFRESH_TOKEN.replace('/', "%2F");
    if form.get("grant_type") != Some(&"refresh_token") || form.get("client_secret") != Some(&"client-s3cret")
    {
        let body =
            json!({ "error": "invalid_client", "error_description": "The OAuth client was not found." });
        return Answer::new(401, body.to_string());
    }
    if form.get("refresh_token") != Some(&wanted.as_str()) {
        let body =
            json!({ "error": "invalid_grant", "error_description": "Token has been expired or revoked." });
        return Answer::new(400, body.to_string());
    }
    let number = next();
    Answer::json(
        &json!({ "access_token": format!("access-{number}"), "expires_in": 3599, "token_type": "Bearer" }),
    )
}

fn answer(request: &Request, query: &Query) -> Answer {
    let denied = |code, message| refusal(403, "authorizationError", code, message);
    match query.customer.as_str() {
        "1234567890" => {}
        "2222222222" if request.header("login-customer-id") == Some(MANAGER) => {}
        "2222222222" => {
            return denied("USER_PERMISSION_DENIED", "User doesn't have permission to access customer.");
        }
        _ => return refusal(400, "authenticationError", "CUSTOMER_NOT_FOUND", "No customer found."),
    }
    let rows = rows(query);
    let next = (query.page + PAGE < rows.len()).then(|| format!("page-{}", query.page + PAGE));
    let page: Vec<Value> = rows.into_iter().skip(query.page).take(PAGE).collect();
    let mut body = json!({ "fieldMask": query.fields.join(","), "requestId": "abc" });
    if !page.is_empty() {
        body["results"] = page.into();
    }
    if let Some(next) = next {
        body["nextPageToken"] = json!(next);
    }
    Answer::json(&body).gzip()
}

/// The rows of a query: three campaigns, the same keyword in two ad groups, whose
/// ids no other account has, and nothing else.
fn rows(query: &Query) -> Vec<Value> {
    let account: u64 = query.customer.parse().unwrap();
    let count = match query.resource.as_str() {
        "customer" => 1,
        "campaign" => 3,
        "keyword_view" => 2,
        _ => 0,
    };
    (1..=count).map(|number| row(query, account, number)).collect()
}

fn row(query: &Query, account: u64, number: u64) -> Value {
    let mut row = json!({});
    for field in &query.fields {
        let value = match field.as_str() {
            "customer.id" => json!(account.to_string()),
            "campaign.id" => json!((account % 100 * 10 + number).to_string()),
            "campaign.name" => json!(format!("campaign {number}")),
            "campaign.status" => json!(if number == 3 { "REMOVED" } else { "ENABLED" }),
            "campaign.optimization_score" if number == 1 => json!(0.75),
            "ad_group.id" => json!((account % 100 * 100 + 70 + number).to_string()),
            "ad_group_criterion.criterion_id" => json!("10000"),
            "ad_group_criterion.keyword.text" => json!("shoes"),
            "segments.date" => json!(query.day),
            "metrics.impressions" => json!((number * 1000).to_string()),
            "metrics.clicks" => json!((number * 10).to_string()),
            "metrics.cost_micros" => json!("9007199254740993"),
            "metrics.ctr" => json!(0.01),
            "metrics.conversions" => json!(0),
            _ => continue,
        };
        put(&mut row, field, value);
    }
    row
}

/// Puts a value where the API has a field: names in camel case.
fn put(row: &mut Value, field: &str, value: Value) {
    let camel = |name: &str| {
        let mut words = name.split('_');
        let first = words.next().unwrap().to_owned();
        words.fold(first, |text, word| text + &word[..1].to_uppercase() + &word[1..])
    };
    let (path, last) = field.rsplit_once('.').unwrap();
    let place = path.split('.').fold(row, |place, name| {
        place.as_object_mut().unwrap().entry(camel(name)).or_insert_with(|| Value::Object(Map::new()))
    });
    place[camel(last)] = value;
}
