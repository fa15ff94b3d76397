//! The host of native builds: a fake that lives in the thread, so that
//! connectors are tested without wasm. [`crate::testing`] sets it up and looks
//! at what came of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::{ColumnView, Incoming, Outgoing, SendFailure, ValuesView};
use crate::error::{Error, Result};
use crate::stream::{DataType, Stream, WriteMode};
use crate::testing::{Handler, Log, Request, Table};
use crate::time::{Date, Timestamp};

/// Everything that the fake knows and remembers.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) now: Option<Timestamp>,
    pub(crate) slept: Duration,
    pub(crate) state: BTreeMap<String, Value>,
    pub(crate) committed_state: BTreeMap<String, Value>,
    pub(crate) tables: BTreeMap<String, Table>,
    pub(crate) commits: usize,
    pub(crate) cancel_after_commits: Option<usize>,
    pub(crate) logs: Vec<Log>,
    pub(crate) progress: Vec<(u64, Option<u64>, String)>,
    pub(crate) handler: Option<Handler>,
    pub(crate) requests: Vec<Request>,
    pub(crate) scratch: Option<Rc<tempfile::TempDir>>,
}

thread_local! {
    static FAKE: RefCell<Fake> = RefCell::default();
}

fn with<T>(work: impl FnOnce(&mut Fake) -> T) -> T {
    FAKE.with_borrow_mut(work)
}

/// Puts a fake in place and answers the one that was there.
pub(crate) fn replace(fake: Fake) -> Fake {
    FAKE.replace(fake)
}

impl Fake {
    /// What the host does at a commit.
    pub(crate) fn commit(&mut self) {
        self.commits += 1;
        self.committed_state = self.state.clone();
        for table in self.tables.values_mut() {
            table.commit();
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancel_after_commits.is_some_and(|commits| self.commits >= commits)
    }

    fn go_on(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    }
}

pub(crate) fn variable(name: &str) -> Option<String> {
    with(|fake| fake.variables.get(name).cloned())
}

/// The test's clock where it has one; it goes on while the connector sleeps.
pub(crate) fn now() -> Timestamp {
    with(|fake| match fake.now {
        Some(start) => {
            let slept = i64::try_from(fake.slept.as_micros()).unwrap_or(i64::MAX);
            Timestamp::from_micros(start.micros().saturating_add(slept))
        }
        None => std::time::SystemTime::now().into(),
    })
}

/// The time since some moment: it passes only while the connector sleeps.
pub(crate) fn elapsed() -> Duration {
    with(|fake| fake.slept)
}

/// Sleeps without taking time.
pub(crate) fn sleep(duration: Duration) {
    with(|fake| fake.slept += duration);
}

pub(crate) fn scratch() -> Rc<Path> {
    with(|fake| {
        let folder = match &fake.scratch {
            Some(folder) => Rc::clone(folder),
            None => match tempfile::tempdir() {
                Ok(folder) => Rc::new(folder),
                Err(_) => return std::env::temp_dir().as_path().into(),
            },
        };
        fake.scratch = Some(Rc::clone(&folder));
        folder.path().into()
    })
}

pub(crate) fn log(level: log::Level, message: &str, fields: &[(&str, &str)]) {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    with(|fake| fake.logs.push(Log { level, message: message.to_owned(), fields }));
}

pub(crate) fn progress(done: u64, total: Option<u64>, unit: &str) {
    with(|fake| fake.progress.push((done, total, unit.to_owned())));
}

pub(crate) fn cancelled() -> bool {
    with(|fake| fake.is_cancelled())
}

pub(crate) fn state(key: &str) -> Option<String> {
    with(|fake| fake.state.get(key).map(Value::to_string))
}

pub(crate) fn set_state(key: &str, value: &str) -> Result<()> {
    let value: Value = serde_json::from_str(value)?;
    with(|fake| {
        fake.go_on()?;
        match value {
            Value::Null => fake.state.remove(key),
            value => fake.state.insert(key.to_owned(), value),
        };
        Ok(())
    })
}

pub(crate) fn commit() -> Result<()> {
    with(|fake| {
        fake.go_on()?;
        fake.commit();
        Ok(())
    })
}

/// An open table.
pub(crate) struct Writer(Rc<Stream>, WriteMode);

pub(crate) fn open(stream: &Stream, mode: WriteMode) -> Result<Writer> {
    check_stream(stream, mode)?;
    with(|fake| {
        fake.go_on()?;
        fake.tables.entry(stream.name.clone()).or_default().open(stream, mode);
        Ok(Writer(Rc::new(stream.clone()), mode))
    })
}

fn check_stream(stream: &Stream, mode: WriteMode) -> Result<()> {
    let refused = |what: String| Err(Error::invalid_data(format!("stream `{}`: {what}", stream.name)));
    if stream.name.is_empty() || stream.fields.is_empty() {
        return refused("it needs a name and fields".to_owned());
    }
    if mode == WriteMode::Merge && stream.primary_key.is_empty() {
        return refused("merging needs a primary key".to_owned());
    }
    let named = stream.primary_key.iter().chain(&stream.cursor_field).chain(&stream.partition_field);
    for name in named {
        if !stream.fields.iter().any(|field| field.name == *name) {
            return refused(format!("there is no field `{name}`"));
        }
    }
    for (index, field) in stream.fields.iter().enumerate() {
        if field.nullable && stream.primary_key.contains(&field.name) {
            return refused(format!("field `{}` of the primary key may not be nullable", field.name));
        }
        let before = stream.fields.iter().take(index);
        if before.into_iter().any(|other| other.name.eq_ignore_ascii_case(&field.name)) {
            return refused(format!("there are two fields `{}`", field.name));
        }
    }
    Ok(())
}

impl Writer {
    pub(crate) fn write_columns(&self, rows: usize, columns: &[ColumnView<'_>]) -> Result<()> {
        let rows = (0..rows).map(|row| self.row(row, columns)).collect::<Option<Vec<_>>>();
        self.keep(rows.ok_or_else(|| Error::internal("the encoder made a batch that cannot be read"))?)
    }

    pub(crate) fn write_json_lines(&self, lines: &[u8]) -> Result<()> {
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let mut rows = Vec::new();
        for line in lines {
            let row: Map<String, Value> = serde_json::from_slice(line)?;
            for name in row.keys() {
                if !self.0.fields.iter().any(|field| field.name == *name) {
                    return Err(Error::invalid_data(format!("there is no field `{name}`")));
                }
            }
            rows.push(row);
        }
        self.keep(rows)
    }

    fn keep(&self, rows: Vec<Map<String, Value>>) -> Result<()> {
        with(|fake| {
            fake.go_on()?;
            fake.tables.entry(self.0.name.clone()).or_default().write(self.1, &self.0.primary_key, rows);
            Ok(())
        })
    }

    fn row(&self, row: usize, columns: &[ColumnView<'_>]) -> Option<Map<String, Value>> {
        let fields = self.0.fields.iter().zip(columns);
        fields
            .map(|(field, column)| Some((field.name.clone(), cell(field.data_type, column, row)?)))
            .collect()
    }
}

fn bit(bits: &[u8], index: usize) -> Option<bool> {
    Some(bits.get(index / 8)? >> (index % 8) & 1 == 1)
}

/// One value of a column as JSON; nothing where the column is malformed.
fn cell(data_type: DataType, column: &ColumnView<'_>, row: usize) -> Option<Value> {
    if let Some(validity) = column.validity
        && !bit(validity, row)?
    {
        return Some(Value::Null);
    }
    let var = |offsets: &[u32], data: &[u8]| -> Option<Vec<u8>> {
        let (start, end) = (*offsets.get(row)?, *offsets.get(row + 1)?);
        Some(data.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)?.to_vec())
    };
    Some(match column.values {
        ValuesView::Booleans(bits) => json!(bit(bits, row)?),
        ValuesView::Int64s(values) => json!(values.get(row)?),
        ValuesView::Float64s(values) => json!(values.get(row)?),
        ValuesView::Dates(values) => json!(Date::from_days(*values.get(row)?)),
        ValuesView::Timestamps(values) => json!(Timestamp::from_micros(*values.get(row)?)),
        ValuesView::Binaries { offsets, data } => {
            json!(base64::prelude::BASE64_STANDARD.encode(var(offsets, data)?))
        }
        ValuesView::Texts { offsets, data } => {
            let text = String::from_utf8(var(offsets, data)?).ok()?;
            if data_type == DataType::Json { serde_json::from_str(&text).ok()? } else { Value::String(text) }
        }
    })
}

/// A request under way: the fake has answered it already.
pub(crate) struct Pending(Result<Incoming, SendFailure>);

pub(crate) fn start(request: &Outgoing<'_>) -> Pending {
    Pending(answer(request))
}

impl Pending {
    /// Waits for the answer.
    pub(crate) fn finish(self) -> Result<Incoming, SendFailure> {
        self.0
    }
}

fn answer(request: &Outgoing<'_>) -> Result<Incoming, SendFailure> {
    let request = Request::new(request);
    let stop = |error| SendFailure { error, transient: false };
    with(|fake| fake.go_on()).map_err(stop)?;
    let handler = with(|fake| {
        fake.requests.push(request.clone());
        fake.handler.take()
    });
    let Some(mut handler) = handler else {
        return Err(stop(Error::denied(format!("the test has no answer to {request}"))));
    };
    let answer = handler.0(&request);
    with(|fake| fake.handler = Some(handler));
    let response = answer.0?;
    Ok(Incoming {
        status: response.status,
        headers: response.headers,
        body: Box::new(Body { bytes: Cursor::new(response.body), broken: response.broken }),
    })
}

/// A body that may break off at its end.
struct Body {
    bytes: Cursor<Vec<u8>>,
    broken: bool,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.bytes.read(buffer)? {
            0 if self.broken && !buffer.is_empty() => Err(Error::unavailable("the answer broke off").into()),
            read => Ok(read),
        }
    }
}
