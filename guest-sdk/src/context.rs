//! What a connector works with: its configuration, its tables, its state.

use std::path::Path;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Context as _, Error, Result};
use crate::http::{Client, Page};
use crate::json::Scanner;
use crate::record::Cell;
use crate::run::Run;
use crate::stream::Stream;
use crate::time::{Date, Timestamp};
use crate::window::{DateWindow, Imported, Window};
use crate::writer::{Open, Table, Tables};
use crate::{Record, host};

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
    pub(crate) fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
        user_agent: &str,
    ) -> Result<Self> {
        let text = |name| variable(name).unwrap_or_default();
        let run_config = variable("OW_RUN_CONFIG");
        let run =
            Run::new(run_config.as_deref(), text("OW_DATAMART_ID"), text("OW_RUN_ID"), host::now().date())?;
        let mut config: Value = serde_json::from_str(variable("OW_CONFIG").as_deref().unwrap_or("{}"))
            .map_err(|error| Error::config(format!("OW_CONFIG: {error}")))?;
        let mut parameters = match config.pointer_mut("/source/config").map(Value::take) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(parameters)) => parameters,
            Some(_) => return Err(Error::config("source.config is not an object")),
        };
        run.override_parameters(&mut parameters);
        let tables = Tables::new(run.preview_rows());
        Ok(Self {
            config: Rc::new(crate::config::read(parameters)?),
            run: Rc::new(run),
            http: Client::new().header("user-agent", user_agent),
            tables,
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

    /// The HTTP client, as [`Connector::http`](crate::Connector::http) made it.
    pub fn http(&self) -> Client {
        self.http.clone()
    }

    pub(crate) fn configure_http(&mut self, configure: impl FnOnce(&C, Client) -> Client) {
        self.http = configure(&self.config, self.http.clone());
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
        let table = match self.tables.of_record(R::STREAM) {
            Some(table) => table,
            None => self.open::<R>(Open::default())?,
        };
        self.tables.write(table, |row| record.encode(row))
    }

    /// Opens the stream of a record with options: a mode, or some of its columns.
    pub fn open<R: Record>(&mut self, options: Open) -> Result<Table> {
        self.tables.open(R::stream(), Some(R::STREAM), options)
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
        self.tables.open(stream, None, options)
    }

    /// Writes one row: a value a field, in the order of the stream's fields.
    #[inline]
    pub fn write_row(&mut self, table: Table, cells: &[Cell<'_>]) -> Result<()> {
        self.tables.write(table, |row| cells.iter().for_each(|cell| row.put(*cell)))
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

    /// Writes a JSON object as a row, without building anything of it: the values
    /// of its keys go to the columns of the same names, or from where
    /// [`Open::place`] says. Keys without a column are skipped; a nullable column
    /// without a key is NULL, in place of what a merged row holds, too; a column
    /// that may not be null needs its key.
    ///
    /// What is converted, exactly or not at all:
    ///
    /// | column | takes |
    /// |---|---|
    /// | `boolean` | `true`, `false`, 0, 1, and those as text |
    /// | `int64` | integers, also as `5.0`, `1e3` or text |
    /// | `float64` | numbers, also as text: the nearest `float64`, but integers only where they are exact |
    /// | `decimal` | numbers that fit, also as text or with an exponent |
    /// | `text` | text; numbers, booleans, arrays and objects as they stand there |
    /// | `bytes` | base64 text |
    /// | `date` | `2024-03-15`, and moments at midnight in UTC |
    /// | `timestamp` | RFC 3339; UTC where there is no zone; `2024-03-15` is its midnight; numbers only with [`Open::epoch`]. Digits beyond the microsecond are cut off |
    /// | `json` | anything, as it stands there |
    ///
    /// `null` is NULL. Anything else is an error that names the field and the
    /// value, and the row is not written; so is a key of a column that stands
    /// twice. A column whose key no object had is told in the log.
    ///
    /// ```
    /// # use ow_connector::prelude::*;
    /// # fn run(ctx: &mut Context<()>) -> Result<()> {
    /// let stream = Stream::new("repositories")
    ///     .field(Field::of::<i64>("id"))
    ///     .field(Field::of::<Option<String>>("owner_login"))
    ///     .primary_key(["id"]);
    /// let table = ctx.open_stream(stream, Open::default().place("owner_login", "/owner/login"))?;
    /// ctx.write_object(table, r#"{"id": "7", "owner": {"login": "someone"}, "more": [1, 2]}"#)?;
    /// # Ok(()) }
    /// ```
    pub fn write_object(&mut self, table: Table, object: &str) -> Result<()> {
        self.write_object_with(table, object, &[])
    }

    /// The same, with the values of some fields given: they count, whatever the
    /// object says.
    ///
    /// ```
    /// # use ow_connector::prelude::*;
    /// # fn run(ctx: &mut Context<()>, table: Table, object: &str) -> Result<()> {
    /// ctx.write_object_with(table, object, &[("account", Cell::Int(123))])?;
    /// # Ok(()) }
    /// ```
    pub fn write_object_with(
        &mut self,
        table: Table,
        object: &str,
        given: &[(&str, Cell<'_>)],
    ) -> Result<()> {
        self.tables.write_object(table, &mut Scanner::new(object), given, true)
    }

    /// Writes all objects of the list at a place in a page, as
    /// [`Context::write_object_with`] does, and answers how many they were: the
    /// fastest way from a source to a table.
    ///
    /// ```no_run
    /// # use ow_connector::prelude::*;
    /// # fn run(ctx: &mut Context<()>, table: Table) -> Result<()> {
    /// for page in ctx.http().get("https://api.example.com/items").pages(http::LinkHeader::new()) {
    ///     ctx.write_page(table, &page?, "/items", &[])?;
    ///     ctx.commit()?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn write_page(
        &mut self,
        table: Table,
        page: &Page,
        pointer: &str,
        given: &[(&str, Cell<'_>)],
    ) -> Result<u64> {
        let tables = &mut self.tables;
        page.each(pointer, |scanner| tables.write_object(table, scanner, given, false))
    }

    /// The days that this run imports, by its type, the configuration, and the
    /// last day that the state under `key` holds: see [`Run::date_range`]. A key
    /// is a stream's name, or `stream/account` where accounts go on by themselves.
    pub fn window<const LOOKBACK: u32>(&self, key: &str, dates: &DateWindow<LOOKBACK>) -> Result<Window> {
        let last = self.state::<Imported>(key)?.map(|imported| imported.date);
        let range = self.run.date_range(dates.wanted(), last, dates.reimport_lookback_window)?;
        Ok(Window { key: key.to_owned(), range, last: last.map(|last| last.min(self.run.today())) })
    }

    /// Keeps that all days of a window up to this one are imported, and commits:
    /// the next run goes on from there. Tells the progress, too.
    pub fn imported(&mut self, window: &Window, through: Date) -> Result<()> {
        self.set_state(&window.key, &window.reached(through))?;
        self.commit()?;
        let (done, total, unit) = window.progress(through);
        self.progress(done, total, &unit);
        Ok(())
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

    /// Hands over what waits, and says what was missing in the rows.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.flush()?;
        self.tables.tell_absent();
        Ok(())
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

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;
    use serde_json::json;

    use super::*;
    use crate::host::native::{self, Fake};
    use crate::stream::{Field, WriteMode};
    use crate::testing::Table as Written;

    /// Does some work with a context; answers what it came to, the stream as it
    /// was opened, its rows, and the sizes of their batches.
    fn written<T>(
        name: &str,
        work: impl FnOnce(&mut Context<IgnoredAny>) -> Result<T>,
    ) -> (Result<T>, Stream, Vec<Value>, Vec<usize>) {
        written_in("{}", name, work)
    }

    /// The same in a run of this configuration.
    fn written_in<T>(
        run_config: &str,
        name: &str,
        work: impl FnOnce(&mut Context<IgnoredAny>) -> Result<T>,
    ) -> (Result<T>, Stream, Vec<Value>, Vec<usize>) {
        let before = native::replace(Fake::default());
        let variable = |name: &str| (name == "OW_RUN_CONFIG").then(|| run_config.to_owned());
        let mut ctx = Context::from_variables(variable, "test").unwrap();
        let result = work(&mut ctx).and_then(|result| ctx.flush().map(|()| result));
        let mut fake = native::replace(before);
        fake.commit();
        let table: Written = fake.tables.remove(name).unwrap();
        (result, table.stream().unwrap().clone(), table.rows().to_vec(), table.batches)
    }

    #[derive(Record)]
    #[record(stream = "items", primary_key = ["b", "id"], cursor = "id")]
    struct Item<'a> {
        id: i64,
        /// A text.
        /// On two lines.
        text: Option<&'a str>,
        #[record(rename = "b")]
        bytes: crate::Bytes,
        r#type: std::borrow::Cow<'a, str>,
    }

    fn item(id: i64, text: &str) -> Item<'_> {
        Item { id, text: Some(text), bytes: b"xyz".into(), r#type: "t".into() }
    }

    #[test]
    fn records_describe_and_write_themselves() {
        let (result, stream, rows, _) = written("items", |ctx| {
            ctx.write(&item(1, "one"))?;
            ctx.write(&Item { text: None, ..item(2, "") })
        });
        result.unwrap();
        let want = Stream::new("items")
            .field(Field::of::<i64>("id"))
            .field(Field::of::<Option<String>>("text").describe("A text. On two lines."))
            .field(Field::of::<crate::Bytes>("b"))
            .field(Field::of::<String>("type"))
            .primary_key(["b", "id"])
            .cursor("id");
        assert_eq!(stream, want);
        assert_eq!(
            rows,
            [
                json!({"id": 1, "text": "one", "b": "eHl6", "type": "t"}),
                json!({"id": 2, "text": null, "b": "eHl6", "type": "t"}),
            ]
        );
    }

    #[test]
    fn a_batch_is_full_after_so_many_rows_or_bytes() {
        let (_, _, rows, batches) = written("n", |ctx| {
            let table = ctx.open_stream(Stream::new("n").field(Field::of::<bool>("x")), Open::default())?;
            (0..70_000).try_for_each(|row| ctx.write_row(table, &[Cell::Bool(row % 2 == 0)]))
        });
        assert_eq!((rows.len(), batches), (70_000, vec![65_536, 4_464]));
        assert_eq!((&rows[65_535]["x"], &rows[65_536]["x"]), (&json!(false), &json!(true)));

        let text = "x".repeat(900 * 1024);
        let huge = "x".repeat(9 * 1024 * 1024);
        let texts = [&text, &text, &huge, &text, &text, &text, &text, &text, &text];
        let (_, _, _, batches) = written("t", |ctx| {
            let table = ctx.open_stream(Stream::new("t").field(Field::of::<String>("x")), Open::default())?;
            texts.iter().try_for_each(|text| ctx.write_row(table, &[Cell::Text(text)]))
        });
        assert_eq!(batches, [2, 1, 5, 1]);
    }

    #[test]
    fn a_preview_gets_its_rows_at_once() {
        let run_config = r#"{"type": "INCREMENTAL", "data": [], "state": {}, "previewRows": 3}"#;
        let (_, _, _, batches) = written_in(run_config, "n", |ctx| {
            assert_eq!(ctx.run().preview_rows(), Some(3));
            let table = ctx.open_stream(Stream::new("n").field(Field::of::<bool>("x")), Open::default())?;
            (0..7).try_for_each(|_| ctx.write_row(table, &[Cell::Bool(true)]))?;
            ctx.write_json(table, b"{\"x\": true}\n{\"x\": true}\n")?;
            ctx.write_json(table, b"{\"x\": true}")
        });
        assert_eq!(batches, [3, 3, 1, 2, 1]);
    }

    #[test]
    fn some_columns_or_another_mode() {
        let (result, stream, rows, _) = written("items", |ctx| {
            ctx.open::<Item<'_>>(Open::default().mode(WriteMode::Append).fields(["id", "b"]))?;
            ctx.write(&item(1, "one"))?;
            ctx.write(&item(1, "two"))
        });
        result.unwrap();
        assert_eq!(stream.fields.len(), 2);
        assert_eq!(rows, [json!({"id": 1, "b": "eHl6"}), json!({"id": 1, "b": "eHl6"})]);
        let (_, _, rows, _) = written("items", |ctx| {
            ctx.write(&item(1, "one"))?;
            ctx.write(&item(1, "two"))
        });
        assert_eq!((rows.len(), &rows[0]["text"]), (1, &json!("two")));
    }

    #[test]
    fn a_row_of_another_shape_is_refused_and_leaves_nothing() {
        let (_, _, rows, _) = written("n", |ctx| {
            let stream = Stream::new("n").field(Field::of::<i64>("x")).field(Field::of::<i64>("y"));
            let table = ctx.open_stream(stream, Open::default())?;
            let refused = ctx.write_row(table, &[Cell::Int(1), Cell::Text("2")]).unwrap_err();
            assert_eq!(refused.message(), "stream `n`: field `y` holds Int64, but a row has text");
            let refused = ctx.write_row(table, &[Cell::Int(1)]).unwrap_err();
            assert_eq!(refused.message(), "stream `n`: a row has fewer values than columns");
            ctx.write_row(table, &[Cell::Int(3), Cell::Int(4)])
        });
        assert_eq!(rows, [json!({"x": 3, "y": 4})]);
    }

    #[test]
    fn json_lines_pass_through_whole() {
        let stream = || Stream::new("n").field(Field::of::<i64>("x"));
        let (result, _, rows, batches) = written("n", |ctx| {
            let table = ctx.open_stream(stream(), Open::default())?;
            ctx.write_json(table, br#"{"x": 1}"#)?;
            ctx.write_json(table, b"{\"x\": 2}\n\n{\"x\": 3}\n")?;
            ctx.write_row(table, &[Cell::Int(4)])?;
            ctx.write_json(table, br#"{"x": 5}"#)
        });
        result.unwrap();
        assert_eq!(rows, [1, 2, 3, 4, 5].map(|x| json!({"x": x})));
        assert_eq!(batches, [3, 1, 1]);

        let lines: String = (0..20_000).map(|x| format!("{{\"x\": {x:250}}}\n")).collect();
        let (result, _, rows, batches) = written("n", |ctx| {
            let table = ctx.open_stream(stream(), Open::default())?;
            ctx.copy_json(table, lines.trim_end().as_bytes())
        });
        assert_eq!(result.unwrap() as usize, lines.len() - 1);
        assert!(rows.iter().enumerate().all(|(x, row)| row["x"] == json!(x)) && rows.len() == 20_000);
        assert_eq!(batches.len(), lines.len().div_ceil(4 * 1024 * 1024));
    }

    #[test]
    fn state_that_does_not_fit_is_named() {
        let (result, ..) = written("n", |ctx| {
            ctx.open_stream(Stream::new("n").field(Field::of::<i64>("x")), Open::default())?;
            ctx.set_state("n", &json!({"date": 7}))?;
            assert_eq!(ctx.state::<Value>("other")?, None);
            ctx.state::<u32>("n")
        });
        let error = result.unwrap_err();
        assert!(error.message().starts_with("the state under `n` is not what this connector keeps there: "));
    }
}
