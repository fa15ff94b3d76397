//! Open Exchange Rates as far as a connector reads it: the rates of a day. It
//! checks what it is asked, and refuses in the API's words.

use serde_json::{Map, Value, json};

use crate::server::{Answer, Request, Server};

/// The key that the API knows.
pub const KEY: &str = "0123456789abcdef0123456789abcdef";

/// The API. `fault` may answer first, knowing the request and its day.
pub fn start(fault: impl Fn(&Request, &str) -> Option<Answer> + Send + Sync + 'static) -> Server {
    Server::start(move |request| {
        let day = day(request);
        fault(request, &day).unwrap_or_else(|| answer(request, &day))
    })
}

/// The day of a request.
#[must_use]
pub fn day(request: &Request) -> String {
    let path = request.path().strip_prefix("/api/historical/");
    path.and_then(|path| path.strip_suffix(".json")).unwrap_or_default().to_owned()
}

/// A failure as the API tells it.
#[must_use]
pub fn refusal(status: u16, message: &str, description: &str) -> Answer {
    let body = json!({ "error": true, "status": status, "message": message, "description": description });
    Answer::new(status, body.to_string()).header("content-type", "application/json")
}

fn answer(request: &Request, day: &str) -> Answer {
    if day.is_empty() || request.method != "GET" {
        return refusal(404, "not_found", "There is no such route.");
    }
    match request.query("app_id") {
        Some(KEY) => {}
        Some(_) => return refusal(401, "invalid_app_id", "Invalid App ID provided."),
        None => return refusal(401, "missing_app_id", "No App ID provided."),
    }
    if day < "1999-01-01" {
        return refusal(400, "not_available", "Historical rates for the requested date are not available.");
    }
    let base = request.query("base").unwrap_or("USD");
    if !["USD", "EUR"].contains(&base) {
        return refusal(429, "not_allowed", "Changing the API `base` currency is available for paid plans.");
    }
    Answer::json(&json!({
        "disclaimer": "Usage subject to terms",
        "license": "https://openexchangerates.org/license",
        "timestamp": 1_709_251_200,
        "base": base,
        "rates": rates(day, request.query("symbols")),
    }))
    .gzip()
}

/// Three currencies; the euro's rate tells the day of the month.
fn rates(day: &str, symbols: Option<&str>) -> Map<String, Value> {
    let day_of_month: f64 = day[8..].parse().unwrap();
    let all = [("BTC", json!(0.000_015_433)), ("EUR", json!(0.9 + day_of_month / 1000.0)), ("USD", json!(1))];
    let wanted = symbols.map(|symbols| symbols.replace("%2C", ","));
    let is_wanted = |code: &str| wanted.as_ref().is_none_or(|list| list.split(',').any(|one| one == code));
    all.into_iter().filter(|(code, _)| is_wanted(code)).map(|(code, rate)| (code.to_owned(), rate)).collect()
}
