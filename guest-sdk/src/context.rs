//! What a connector works with: its configuration, its tables, its state.

use std::path::Path;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Context as _, Error, Result};
use crate::host;
use crate::http::Client;
use crate::record::{Cell, Record};
use crate::run::Run;
use crate::stream::Stream;
use crate::time::Timestamp;
use crate::writer::{Open, Table, Tables};

/// One run's view of the world.
pub struct Context<C> {
    config: Rc<C>,
    run: Rc<Run>,
    http: Client,
    tables: Tables,
}

impl<C> std::fmt::Debug for Context<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("run", &self.run).finish_non_exhaustive()
    }
}

impl<C: DeserializeOwned> Context<C> {
    pub(crate) fn from_variables(variable: impl Fn(&str) -> Option<String>, user_agent: &str) -> Result<Self> {
        let text = |name| variable(name).unwrap_or_default();
        let run_config = variable("OW_RUN_CONFIG");
        let run = Run::new(
            run_config.as_deref(),
            text("OW_DATAMART_ID"),
            text("OW_RUN_ID"),
            host::now().date(),
        )?;
        let mut config: Value = serde_json::from_str(variable("OW_CONFIG").as_deref().unwrap_or("{}"))
            .map_err(|error| Error::config(format!("OW_CONFIG: {error}")))?;
        let mut parameters = match config.pointer_mut("/source/config").map(Value::take) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(parameters)) => parameters,
            Some(_) => return Err(Error::config("source.config is not an object")),
        };
        run.override_parameters(&mut parameters);
        Ok(Self {
            config: Rc::new(crate::config::read(parameters)?),
            run: Rc::new(run),
            http: Client::new().header("user-agent", user_agent),
            tables: Tables::default(),
        })
    }
}

impl<C> Context<C> {
    /// The configuration.
    pub fn config(&self) -> Rc<C> {
        Rc::clone(&self.config)
    }

    /// This run: its type, its data, its day.
    pub fn run(&self) -> Rc<Run> {
        Rc::clone(&self.run)
    }

    /// The HTTP client.
    pub fn http(&self) -> Client {
        self.http.clone()
    }

    /// The time by the host's clock.
    pub fn now(&self) -> Timestamp {
        host::now()
    }

    /// A folder for temporary files, empty at the start of the run and removed
    /// after it.
    pub fn scratch(&self) -> Rc<Path> {
        host::scratch()
    }

    /// Writes a record to its stream. The stream is opened with the first one:
    /// merging where it has a primary key, else appending.
    ///
    /// Rows become visible with [`Context::commit`], or when the run ends well.
    #[inline]
    pub fn write<R: Record>(&mut self, record: &R) -> Result<()> {
        let table = match self.tables.find(R::STREAM) {
            Some(table) => table,
            None => self.tables.open(R::stream(), Open::default())?,
        };
        record.cells(|cells| self.tables.write(table, cells))
    }

    /// Opens the stream of a record with options: a mode, or some of its columns.
    pub fn open<R: Record>(&mut self, options: Open) -> Result<Table> {
        self.tables.open(R::stream(), options)
    }

    /// Opens a stream whose columns are known at run time only.
    ///
    /// ```no_run
    /// # use ow_connector::prelude::*;
    /// # fn run(ctx: &mut Context<()>) -> Result<()> {
    /// let table = ctx.open_stream(Stream::new("sizes").field(Field::of::<i64>("bytes")), Open::default())?;
    /// ctx.write_row(table, &[Cell::Int(42)])?;
    /// ctx.write_json(table, br#"{"bytes": 43}"#)?;
    /// # Ok(()) }
    /// ```
    pub fn open_stream(&mut self, stream: Stream, options: Open) -> Result<Table> {
        self.tables.open(stream, options)
    }

    /// Writes one row: a value a field, in the order of the stream's fields.
    #[inline]
    pub fn write_row(&mut self, table: Table, cells: &[Cell<'_>]) -> Result<()> {
        self.tables.write(table, cells)
    }

    /// Writes JSON objects, one a line, unchanged. A line end after the last one
    /// may be missing.
    pub fn write_json(&mut self, table: Table, lines: &[u8]) -> Result<()> {
        self.tables.write_json(table, lines)
    }

    /// Writes all JSON lines of a reader, such as a file or a response, and
    /// answers how many bytes they were.
    pub fn copy_json(&mut self, table: Table, reader: impl std::io::Read) -> Result<u64> {
        self.tables.copy_json(table, reader)
    }

    /// The value under a key of the state; `None` when there is none. By
    /// convention a key is a stream's name.
    pub fn state<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let Some(json) = host::state(key) else { return Ok(None) };
        serde_json::from_str(&json)
            .map_err(|error| Error::config(error.to_string()))
            .with_context(|| format!("the state under `{key}` is not what this connector keeps there"))
    }

    /// Sets the value under a key, to be kept with the next commit.
    pub fn set_state<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<()> {
        host::set_state(key, &serde_json::to_string(value)?)
    }

    /// Makes the rows and the state since the last commit durable, together.
    pub fn commit(&mut self) -> Result<()> {
        self.flush()?;
        host::commit()
    }

    /// Hands over what waits in the buffers.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.tables.flush()
    }

    /// Says how far the run is.
    pub fn progress(&self, done: u64, total: impl Into<Option<u64>>, unit: &str) {
        host::progress(done, total.into(), unit);
    }

    /// Fails when the run was cancelled: `ctx.cancelled()?` now and then in work
    /// that neither writes nor waits.
    pub fn cancelled(&self) -> Result<()> {
        if host::cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    }
}
