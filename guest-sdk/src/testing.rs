//! Tests of connectors without wasm and without a network: [`TestHost`] takes
//! the host's place.
//!
//! ```
//! # use ow_connector::prelude::*;
//! # #[derive(Deserialize, JsonSchema)]
//! # struct Settings { token: Secret }
//! # #[derive(Record, Deserialize)]
//! # #[record(stream = "items", primary_key = "id")]
//! # struct Item { id: i64 }
//! # struct Items;
//! # impl Connector for Items {
//! #     type Config = Settings;
//! #     const NAME: &'static str = "items";
//! #     const VERSION: &'static str = "1.0.0";
//! #     const TITLE: &'static str = "";
//! #     const DESCRIPTION: &'static str = "";
//! #     fn streams(_: &Settings) -> Result<Vec<Stream>> { Ok(vec![Item::stream()]) }
//! #     fn run(ctx: &mut Context<Settings>) -> Result<()> {
//! #         let url = "https://api.example.com/items";
//! #         let items: Vec<Item> = ctx.http().get(url).bearer(&ctx.config().token).send()?.json()?;
//! #         for item in items { ctx.write(&item)?; }
//! #         ctx.commit()
//! #     }
//! # }
//! use ow_connector::testing::{Response, TestHost};
//! use serde_json::json;
//!
//! let run = TestHost::new()
//!     .config(json!({"token": "t"}))
//!     .now("2024-03-15T12:00:00Z")
//!     .http(|request| match request.path() {
//!         "/items" => Response::json(json!([{"id": 1}])),
//!         _ => Response::status(404),
//!     })
//!     .run::<Items>();
//!
//! run.assert_ok();
//! assert_eq!(run.rows("items"), [json!({"id": 1})]);
//! assert_eq!(run.requests()[0].header("authorization"), Some("Bearer t"));
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::connector::{self, Connector, Spec};
use crate::error::{Error, Result};
use crate::host::native::{self, Fake};
use crate::host::{Outgoing, SendFailure};
use crate::stream::{Stream, WriteMode};

/// A host for one call of a connector.
#[derive(Default)]
pub struct TestHost {
    parameters: Map<String, Value>,
    run_type: Option<String>,
    data: Value,
    stored: BTreeMap<String, Value>,
    fake: Fake,
}

impl TestHost {
    /// A host without configuration, state and network.
    pub fn new() -> Self {
        Self::default()
    }

    /// The parameters, plain: `{"Param": value}`.
    #[must_use]
    pub fn config(mut self, parameters: Value) -> Self {
        if let Value::Object(parameters) = parameters {
            self.parameters.extend(parameters);
        }
        self
    }

    /// The run's type, such as `MANUAL_BACKFILL`; `INCREMENTAL` by default.
    #[must_use]
    pub fn run_type(mut self, run_type: &str) -> Self {
        self.run_type = Some(run_type.to_owned());
        self
    }

    /// The run's data.
    #[must_use]
    pub fn data(mut self, data: Value) -> Self {
        self.data = data;
        self
    }

    /// A value of the state that is stored before the run.
    #[must_use]
    pub fn state(mut self, key: &str, value: Value) -> Self {
        self.stored.insert(key.to_owned(), value);
        self
    }

    /// Starts with the state and the tables that another run left.
    #[must_use]
    pub fn after(mut self, run: &TestRun) -> Self {
        self.stored = run.state.clone();
        self.fake.tables = run.tables.clone();
        self
    }

    /// The clock's time, in RFC 3339.
    ///
    /// # Panics
    ///
    /// When it is not.
    #[must_use]
    #[expect(clippy::panic, reason = "a test that is written wrong")]
    pub fn now(mut self, now: &str) -> Self {
        self.fake.now = Some(now.parse().unwrap_or_else(|error| panic!("{error}")));
        self
    }

    /// Cancels the run after so many commits.
    #[must_use]
    pub fn cancel_after_commits(mut self, commits: usize) -> Self {
        self.fake.cancel_after_commits = Some(commits);
        self
    }

    /// Answers the connector's requests.
    #[must_use]
    pub fn http(mut self, answer: impl FnMut(&Request) -> Response + 'static) -> Self {
        self.fake.handler = Some(Handler(Box::new(answer)));
        self
    }

    /// Runs the connector; commits at its end if it ends well, as the host does.
    pub fn run<C: Connector>(self) -> TestRun {
        let keeps_nothing = self.run_type.as_deref() == Some("MANUAL_BACKFILL");
        let stored = self.stored.clone();
        let (result, mut fake) = self.call::<C, _>(connector::run::<C>);
        if result.is_ok() {
            fake.commit();
        }
        let state = if keeps_nothing { stored } else { fake.committed_state };
        TestRun {
            error: result.err(),
            state,
            tables: fake.tables,
            commits: fake.commits,
            logs: fake.logs,
            progress: fake.progress,
            requests: fake.requests,
            slept: fake.slept,
        }
    }

    /// Lets the connector check its configuration.
    pub fn check<C: Connector>(self) -> Result<()> {
        self.call::<C, _>(connector::check::<C>).0
    }

    /// Asks the connector for its streams.
    pub fn discover<C: Connector>(self) -> Result<Vec<Stream>> {
        self.call::<C, _>(connector::discover::<C>).0
    }

    fn call<C: Connector, T>(mut self, work: impl FnOnce() -> T) -> (T, Fake) {
        let wrapped: Map<String, Value> =
            self.parameters.into_iter().map(|(name, value)| (name, json!({"value": value}))).collect();
        let run_type = self.run_type.as_deref().unwrap_or("INCREMENTAL");
        let starts_empty = matches!(run_type, "MANUAL_BACKFILL" | "FULL_REFRESH");
        let config = json!({
            "name": "test",
            "source": {"name": C::NAME, "config": wrapped},
            "storage": {"name": "Test"},
        });
        let start = if starts_empty { BTreeMap::new() } else { self.stored.clone() };
        let run_config = json!({"type": run_type, "data": self.data, "state": start});
        let variables = [
            ("OW_CONFIG", config.to_string()),
            ("OW_RUN_CONFIG", run_config.to_string()),
            ("OW_DATAMART_ID", "test".to_owned()),
            ("OW_RUN_ID", "test-run".to_owned()),
        ];
        self.fake.variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.fake.committed_state = self.stored;
        self.fake.state = start;
        let before = native::replace(self.fake);
        let result = work();
        (result, native::replace(before))
    }
}

/// What a connector says of itself, as the host would read it.
pub fn spec<C: Connector>() -> Spec {
    Spec::of::<C>()
}

/// What came of a run.
#[derive(Debug)]
pub struct TestRun {
    error: Option<Error>,
    state: BTreeMap<String, Value>,
    tables: BTreeMap<String, Table>,
    commits: usize,
    logs: Vec<Log>,
    progress: Vec<(u64, Option<u64>, String)>,
    requests: Vec<Request>,
    slept: Duration,
}

impl TestRun {
    /// The error in which the run ended.
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// # Panics
    ///
    /// When the run failed.
    #[expect(clippy::panic, reason = "an assertion of a test")]
    pub fn assert_ok(&self) {
        if let Some(error) = &self.error {
            panic!("the run failed ({:?}): {error}", error.kind());
        }
    }

    /// The rows of a stream's table that are committed, as JSON objects.
    pub fn rows(&self, stream: &str) -> &[Value] {
        self.tables.get(stream).map_or(&[], Table::rows)
    }

    /// The same, as values of a type.
    pub fn rows_as<T: DeserializeOwned>(&self, stream: &str) -> Result<Vec<T>> {
        self.rows(stream).iter().map(|row| Ok(T::deserialize(row)?)).collect()
    }

    /// Rows that were written but never committed: lost.
    pub fn uncommitted(&self, stream: &str) -> usize {
        self.tables.get(stream).map_or(0, |table| table.waiting)
    }

    /// Rows that the connector wrote to a stream, repeated ones too.
    pub fn written(&self, stream: &str) -> usize {
        self.tables.get(stream).map_or(0, |table| table.written)
    }

    /// The stream as it was opened last.
    pub fn stream(&self, name: &str) -> Option<&Stream> {
        self.tables.get(name)?.stream()
    }

    /// The state that is stored after the run.
    pub fn state(&self, key: &str) -> Option<&Value> {
        self.state.get(key)
    }

    /// How often was committed, the host's commit at the end included.
    pub fn commits(&self) -> usize {
        self.commits
    }

    /// What was logged.
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// How far the run was, each time it said so: done, total, unit.
    pub fn progress(&self) -> &[(u64, Option<u64>, String)] {
        &self.progress
    }

    /// The requests, those that were tried again and redirects too.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// How long the run would have waited between tries.
    pub fn slept(&self) -> Duration {
        self.slept
    }
}

/// A line of the log.
#[derive(Debug, Clone)]
pub struct Log {
    /// Its importance.
    pub level: log::Level,
    /// Its text.
    pub message: String,
    /// The values beside it.
    pub fields: Vec<(String, String)>,
}

/// A table of the fake.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    stream: Option<Stream>,
    committed: Vec<Value>,
    /// The content as it will be after the next commit.
    current: Vec<Value>,
    written: usize,
    waiting: usize,
    replaced: bool,
    /// The sizes of the batches in which rows came.
    pub(crate) batches: Vec<usize>,
}

impl Table {
    pub(crate) fn stream(&self) -> Option<&Stream> {
        self.stream.as_ref()
    }

    pub(crate) fn rows(&self) -> &[Value] {
        &self.committed
    }

    pub(crate) fn open(&mut self, stream: &Stream, mode: WriteMode) {
        self.stream = Some(stream.clone());
        if mode == WriteMode::Replace && !std::mem::replace(&mut self.replaced, true) {
            self.current.clear();
        }
    }

    pub(crate) fn write(&mut self, mode: WriteMode, key: &[String], rows: Vec<Map<String, Value>>) {
        self.batches.push(rows.len());
        self.written += rows.len();
        self.waiting += rows.len();
        for row in rows {
            let same = |old: &&mut Value| key.iter().all(|name| old.get(name) == row.get(name));
            match self.current.iter_mut().find(same).filter(|_| mode == WriteMode::Merge) {
                Some(Value::Object(old)) => old.extend(row),
                _ => self.current.push(Value::Object(row)),
            }
        }
    }

    pub(crate) fn commit(&mut self) {
        self.waiting = 0;
        self.committed.clone_from(&self.current);
    }
}

/// A request as the host would have sent it.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    url: String,
    path_start: usize,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url)
    }
}

impl Request {
    pub(crate) fn new(request: &Outgoing<'_>) -> Self {
        let origin = format!("{}://{}", if request.https { "https" } else { "http" }, request.authority);
        Self {
            method: request.method.to_owned(),
            path_start: origin.len(),
            url: origin + request.path_and_query,
            headers: request.headers.to_vec(),
            body: request.body.to_vec(),
        }
    }

    /// The method, such as `GET`.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The whole URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The path, encoded as it was sent.
    pub fn path(&self) -> &str {
        let target = self.url.get(self.path_start..).unwrap_or_default();
        target.split('?').next().unwrap_or_default()
    }

    /// A value of the query, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.url.split_once('?')?;
        let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(key, _)| decode(key) == name).map(|(_, value)| decode(value))
    }

    /// A header's value; names have no case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let code = rest.get(1..3).filter(|_| first == '%').and_then(|code| u8::from_str_radix(code, 16).ok());
        let taken = match code {
            Some(byte) => {
                bytes.push(byte);
                3
            }
            None => {
                bytes.extend_from_slice(first.to_string().as_bytes());
                first.len_utf8()
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The answer to a request.
#[derive(Debug)]
pub struct Response(pub(crate) Result<Answer, SendFailure>);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) broken: bool,
}

impl Response {
    /// An empty answer with a status.
    pub fn status(status: u16) -> Self {
        Self(Ok(Answer { status, headers: Vec::new(), body: Vec::new(), broken: false }))
    }

    /// 200 with JSON.
    #[expect(clippy::needless_pass_by_value, reason = "so that tests write `Response::json(json!(…))`")]
    pub fn json(body: Value) -> Self {
        Self::text(body.to_string()).header("content-type", "application/json")
    }

    /// 200 with a body.
    pub fn text(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).body(body)
    }

    /// A connection that could not be opened.
    pub fn refused() -> Self {
        Self(Err(SendFailure { error: Error::unavailable("it refused the connection"), transient: true }))
    }

    /// A request that the operator did not grant.
    pub fn denied() -> Self {
        Self(Err(SendFailure { error: Error::denied("not granted"), transient: false }))
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Ok(answer) = &mut self.0 {
            answer.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Gives it a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        if let Ok(answer) = &mut self.0 {
            answer.body = body.into();
        }
        self
    }

    /// Lets the connection break where the body would end.
    #[must_use]
    pub fn breaks_off(mut self) -> Self {
        if let Ok(answer) = &mut self.0 {
            answer.broken = true;
        }
        self
    }

    /// Gives it a status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        if let Ok(answer) = &mut self.0 {
            answer.status = status;
        }
        self
    }
}

/// What answers a test's requests.
pub(crate) struct Handler(pub(crate) Box<dyn FnMut(&Request) -> Response>);
