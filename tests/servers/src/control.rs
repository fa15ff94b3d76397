//! The control plane of the fakes: fault rules, the requests they saw, held
//! requests. See the head of `tests/cloud/fake_common.py`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest that anything is waited for.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The control plane of one fake.
#[derive(Debug, Clone)]
pub struct Control {
    address: String,
}

impl Control {
    /// Of the fake at this URL.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self { address: url.trim_start_matches("http://").to_owned() }
    }

    /// Arms rules.
    pub fn arm(&self, rules: &Value) {
        self.ask("POST", "faults", Some(rules));
    }

    /// Disarms every rule.
    pub fn disarm(&self) {
        self.ask("DELETE", "faults", None);
    }

    /// Rules that have not fired as often as they should.
    #[must_use]
    pub fn armed(&self) -> Vec<Value> {
        list(self.ask("GET", "faults", None))
    }

    /// The requests so far, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Value> {
        list(self.ask("GET", "requests", None))
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.ask("DELETE", "requests", None);
    }

    /// The requests so far of operations like this.
    #[must_use]
    pub fn requests_of(&self, operation: &str) -> Vec<Value> {
        list(self.ask("GET", &format!("requests?op={operation}"), None))
    }

    /// The operations of the requests so far.
    #[must_use]
    pub fn operations(&self) -> Vec<String> {
        self.requests().iter().map(|request| request["op"].as_str().unwrap().to_owned()).collect()
    }

    /// Wipes everything.
    pub fn reset(&self) {
        self.ask("POST", "reset", None);
    }

    /// How many requests are held.
    #[must_use]
    pub fn held(&self) -> usize {
        list(self.ask("GET", "held", None)).len()
    }

    /// Lets held requests go on.
    pub fn release(&self) {
        self.ask("DELETE", "held", None);
    }

    /// Makes a bucket of S3.
    pub fn make_bucket(&self, name: &str) {
        self.send("PUT", &format!("/{name}"), "");
    }

    /// Asks the fake itself: its own paths are answered with JSON.
    #[must_use]
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        serde_json::from_str(&self.answer(method, path, &body).1).unwrap_or_default()
    }

    fn ask(&self, method: &str, what: &str, body: Option<&Value>) -> Value {
        let body = body.map(Value::to_string).unwrap_or_default();
        serde_json::from_str(&self.send(method, &format!("/_fake/{what}"), &body)).unwrap()
    }

    fn send(&self, method: &str, path: &str, body: &str) -> String {
        let (head, body) = self.answer(method, path, body);
        assert!(head.contains(" 200 "), "{method} {path}: {head} {body}");
        body
    }

    /// The head and the body of an answer.
    fn answer(&self, method: &str, path: &str, body: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        (head.to_owned(), body.to_owned())
    }
}

fn list(value: Value) -> Vec<Value> {
    serde_json::from_value(value).unwrap()
}

/// Waits until something is so; false if it takes longer than [`PATIENCE`].
pub fn wait_until(mut what: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !what() {
        if start.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}
