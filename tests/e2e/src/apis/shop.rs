//! The shop of `docs/rest-json.md`: customers, orders and visits behind tokens
//! that expire, with pages, limits, and answers that break off.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::server::{Answer, Request};

/// How it behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Behaviour {
    /// Requests for which a token is good; 0 is without end.
    pub token_uses: usize,
    /// Every so many requests one is refused for a moment; 0 is never.
    pub slow_down_every: usize,
    /// Every so many requests the answer is cut off; 0 is never.
    pub cut_every: usize,
    /// The customer whose orders cannot be seen.
    pub forbidden: Option<u64>,
}

/// The shop at work.
#[derive(Debug, Default)]
pub struct Shop {
    behaviour: Behaviour,
    requests: AtomicUsize,
    /// The token that is good, and for how many requests more.
    token: Mutex<(usize, usize)>,
}

impl Shop {
    /// A shop that behaves so.
    #[must_use]
    pub fn new(behaviour: Behaviour) -> Self {
        Self { behaviour, ..Self::default() }
    }

    /// Answers a request.
    pub fn answer(&self, request: &Request) -> Answer {
        if request.path() == "/token" {
            return self.grant(request);
        }
        if !self.takes(request.header("authorization").unwrap_or_default()) {
            return error(401, "the token is not good any more");
        }
        let count = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
        let turn = |every: usize| every > 0 && count.is_multiple_of(every);
        if turn(self.behaviour.slow_down_every) {
            return match count % 2 {
                0 => error(429, "slow down").header("retry-after", "0"),
                _ => Answer::json(&json!({"error": {"code": 17, "message": "slow down"}}))
                    .header("retry-after", "0"),
            };
        }
        let answer = self.page(request);
        if turn(self.behaviour.cut_every) { answer.cut(20) } else { answer }
    }

    fn grant(&self, request: &Request) -> Answer {
        let form = String::from_utf8_lossy(&request.body).into_owned();
        if form != "grant_type=client_credentials&client_id=reports&client_secret=s3cret%26" {
            return error(401, &format!("who are you? {form}"));
        }
        let mut token = self.token.lock().unwrap();
        *token = (token.0 + 1, self.behaviour.token_uses);
        Answer::json(&json!({"access_token": format!("token-{}", token.0), "expires_in": 3600}))
    }

    fn takes(&self, authorization: &str) -> bool {
        let mut token = self.token.lock().unwrap();
        if token.0 == 0 || authorization != format!("Bearer token-{}", token.0) {
            return false;
        }
        if self.behaviour.token_uses == 0 {
            return true;
        }
        let good = token.1 > 0;
        token.1 = token.1.saturating_sub(1);
        good
    }

    fn page(&self, request: &Request) -> Answer {
        let path: Vec<&str> = request.path().split('/').skip(1).collect();
        match path[..] {
            ["v2", "customers"] => customers(request),
            ["v2", "customers", id, "orders"] => self.orders(request, id.parse().unwrap()),
            ["v2", "reports", "visits"] => visits(request),
            _ => error(404, "there is no such path"),
        }
    }

    fn orders(&self, request: &Request, customer: u64) -> Answer {
        if self.behaviour.forbidden == Some(customer) {
            return error(403, "not yours");
        }
        if customer.is_multiple_of(5) {
            return error(404, "no orders");
        }
        let order =
            |number: u64| json!({"number": number, "total": number as f64 + 0.5, "lines": [{"sku": "a"}]});
        match request.query("after") {
            None => Answer::json(&json!({"orders": [order(1), order(2)], "next": format!("c{customer}")})),
            Some(_) => Answer::json(&json!({"orders": [order(3)], "next": null})),
        }
    }
}

fn error(status: u16, message: &str) -> Answer {
    Answer::new(status, json!({"error": {"message": message}}).to_string())
}

/// Eleven customers on three pages, whatever is asked for.
fn customers(request: &Request) -> Answer {
    let page: u64 = request.query("page").unwrap().parse().unwrap();
    assert_eq!((request.query("per_page"), request.query("status")), (Some("100"), Some("any")));
    let since = request.query("updated_since").unwrap_or_default();
    let all: Vec<Value> = (1..=11)
        .map(|id| {
            json!({"id": id, "name": format!("customer {id}"), "address": {"city": "Kyiv", "street": "x"},
                   "updated_at": format!("2024-02-{:02}T10:00:00Z", id + 10), "more": [1, 2, 3]})
        })
        .filter(|customer| since <= customer["updated_at"].as_str().unwrap())
        .collect();
    let pages = all.len().div_ceil(4).max(1);
    let here: Vec<&Value> = all.iter().skip(4 * (page as usize - 1)).take(4).collect();
    Answer::json(&json!({"data": here, "meta": {"pages": pages}})).gzip()
}

/// A row for the first and for the last day that is asked for.
fn visits(request: &Request) -> Answer {
    let days = [request.query("from").unwrap(), request.query("to").unwrap()];
    assert!(days[0] <= days[1] && days.iter().all(|day| day.len() == 10), "{days:?}");
    let row = |day: &str| json!({"day": day, "page": "/", "visits": "12", "share": 0.125});
    Answer::json(&json!({"rows": days.map(row)}))
}
