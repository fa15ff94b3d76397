//! Staging: files on their way to BigQuery while rows are still coming.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::encode::{Column, Encoder, SEQ, SET, staged_name};
use super::trouble::Trouble;
use super::types;
use super::upload::Part;
use super::warehouse::Warehouse;
use crate::DataType;

/// Files that are uploaded and loaded at the same time: each is in memory until
/// its load job is done.
const IN_FLIGHT: usize = 2;
/// How long BigQuery keeps what nobody dropped.
const KEEP: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// The same for rows that replace a table: a run that comes later may still have
/// to put them in their place.
const KEEP_REPLACEMENT: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// The staged rows of one table.
pub(super) struct Stage {
    pub(super) encoder: Encoder,
    /// The staging table, once it is there.
    pub(super) table: Option<String>,
    /// Whether rows may be in it twice.
    pub(super) doubtful: bool,
    parts: u32,
    replaces: bool,
}

/// Files that are under way: the table's number and its task.
#[derive(Default)]
pub(super) struct Flights {
    tasks: VecDeque<(usize, JoinHandle<Result<bool, Trouble>>)>,
    /// How many staging tables the run has made.
    tables: u32,
}

impl Stage {
    pub(super) fn new(table: &str, columns: Vec<Column>, part: usize, replaces: bool) -> Self {
        let encoder = Encoder::new(table, columns, part);
        Self { encoder, table: None, doubtful: false, parts: 0, replaces }
    }

    /// Starts anew after a commit; answers the staging table that is done with.
    pub(super) fn reset(&mut self) -> Option<String> {
        self.encoder.reset();
        self.doubtful = false;
        self.parts = 0;
        self.table.take()
    }

    /// The columns of the staging table.
    fn fields(&self) -> Value {
        let columns = self.encoder.columns().iter().enumerate();
        let mut fields: Vec<_> =
            columns.map(|(index, column)| types::field(&staged_name(index), column.staged, None)).collect();
        fields.push(types::field(SEQ, DataType::Int64, None));
        fields.push(types::field(SET, DataType::Int64, None));
        Value::Array(fields)
    }

    /// The staging table; made where it is not there yet.
    pub(super) async fn ensure(
        &mut self,
        warehouse: &Warehouse,
        token: &str,
        flights: &mut Flights,
    ) -> Result<String, Trouble> {
        if let Some(table) = &self.table {
            return Ok(table.clone());
        }
        let (kind, keep) = if self.replaces { ("new", KEEP_REPLACEMENT) } else { ("stage", KEEP) };
        let table = format!("_ow_{kind}_{token}_{}", flights.tables);
        flights.tables += 1;
        let ends = SystemTime::now().checked_add(keep).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let body = json!({
            "schema": { "fields": self.fields() },
            "expirationTime": ends.unwrap_or_default().as_millis().to_string(),
            "labels": { "ow-host": "staging" },
        });
        warehouse.create_table(&table, body).await?;
        self.table = Some(table.clone());
        Ok(table)
    }

    /// Sends a file on its way, as soon as there is room for it.
    pub(super) async fn send(
        &mut self,
        number: usize,
        file: Bytes,
        warehouse: &Arc<Warehouse>,
        token: &str,
        flights: &mut Flights,
    ) -> Result<Landed, Trouble> {
        let table = self.ensure(warehouse, token, flights).await?;
        let landed = flights.make_room().await?;
        let part = Part {
            name: format!("ow_{token}_l{}_{}", table.rsplit('_').next().unwrap_or_default(), self.parts),
            table,
            fields: self.fields(),
            file,
        };
        self.parts += 1;
        let warehouse = Arc::clone(warehouse);
        flights.tasks.push_back((number, tokio::spawn(async move { warehouse.load(&part).await })));
        Ok(landed)
    }
}

/// Numbers of tables whose rows may be there twice.
pub(super) type Landed = Vec<usize>;

impl Flights {
    async fn make_room(&mut self) -> Result<Landed, Trouble> {
        let mut landed = Landed::new();
        while self.tasks.len() >= IN_FLIGHT {
            self.land(&mut landed).await?;
        }
        Ok(landed)
    }

    /// Waits for all files.
    pub(super) async fn land_all(&mut self) -> Result<Landed, Trouble> {
        let mut landed = Landed::new();
        while !self.tasks.is_empty() {
            self.land(&mut landed).await?;
        }
        Ok(landed)
    }

    async fn land(&mut self, landed: &mut Landed) -> Result<(), Trouble> {
        let Some((number, task)) = self.tasks.front_mut() else { return Ok(()) };
        let number = *number;
        let result = task.await;
        self.tasks.pop_front();
        let doubtful =
            result.map_err(|error| Trouble::internal(format!("an upload ended by itself: {error}")))??;
        if doubtful {
            landed.push(number);
        }
        Ok(())
    }

    /// Lets all files go.
    pub(super) fn abort(&mut self) {
        for (_, task) in self.tasks.drain(..) {
            task.abort();
        }
    }
}
