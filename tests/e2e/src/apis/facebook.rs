//! Facebook's Marketing API as far as a connector reads it: the figures of a day, in
//! pages of two ads. As the API does, it writes the token into the next page's URL.

use serde_json::{Value, json};

use crate::server::{Answer, Request, Server};

/// The token that the API knows.
pub const TOKEN: &str = "EAAtokenofnobody";

/// Ads of an account.
const ADS: u64 = 5;

/// Ads of a page.
const PAGE: u64 = 2;

/// The API. `fault` may answer first.
pub fn start(fault: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static) -> Server {
    Server::start(move |request| fault(request).unwrap_or_else(|| answer(request)))
}

/// A failure as the API tells it.
#[must_use]
pub fn refusal(status: u16, code: i64, message: &str) -> Answer {
    let error = json!({ "message": message, "type": "OAuthException", "code": code, "fbtrace_id": "x" });
    Answer::new(status, json!({ "error": error }).to_string()).header("content-type", "application/json")
}

/// The day of a request.
#[must_use]
pub fn day(request: &Request) -> Option<String> {
    let range = request.query("time_range")?.replace("%22", "\"").replace("%7B", "{").replace("%7D", "}");
    let range: Value = serde_json::from_str(&range.replace("%3A", ":").replace("%2C", ",")).ok()?;
    (range["since"] == range["until"]).then(|| range["since"].as_str().unwrap().to_owned())
}

fn answer(request: &Request) -> Answer {
    if request.query("access_token") != Some(TOKEN) {
        return refusal(400, 190, "Error validating access token: Session has expired.");
    }
    let (Some(day), true) = (day(request), request.path() == "/v25.0/act_1/insights") else {
        return refusal(403, 200, "Ad account owner has NOT granted ads_read permission");
    };
    let after: u64 = request.query("after").map_or(0, |after| after.parse().unwrap());
    let ads: Vec<Value> = (after + 1..=(after + PAGE).min(ADS)).map(|number| ad(number, &day)).collect();
    let mut paging = json!({ "cursors": { "after": (after + PAGE).to_string() } });
    if after + PAGE < ADS {
        let target = request.target.split("&after=").next().unwrap();
        let origin = format!("http://{}", request.header("host").unwrap_or_default());
        paging["next"] = json!(format!("{origin}{target}&after={}", after + PAGE));
    }
    Answer::json(&json!({ "data": ads, "paging": paging })).gzip()
}

fn ad(number: u64, day: &str) -> Value {
    json!({
        "ad_id": number.to_string(),
        "date_start": day,
        "date_stop": day,
        "impressions": (number * 100).to_string(),
        "spend": format!("{number}.07"),
        "actions": [{ "action_type": "link_click", "value": "3" }],
    })
}
