//! The log of a data mart: objects with ascending numbers, each written only if
//! there is none of that number yet. It is the truth: what is in it has
//! happened, in that order; what is not has not.
//!
//! A run starts by adding an entry, so that a run that lost the data mart finds
//! the number taken with which it would go on: it can commit nothing and apply
//! nothing. Old entries are removed; a run that slept through that finds later
//! numbers behind its own ([`Log::append`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::service::{Condition, Put, Service, failed, to_json};
use super::sql::Batch;
use super::table::{Base, Column};
use crate::StorageError;

/// The version of the records; a newer one is refused.
const VERSION: u32 = 1;
/// How many entries stay.
const KEPT: u64 = 100;

/// One step of a data mart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) version: u32,
    pub(super) ordinal: u64,
    /// This entry's own name: a lost answer is told from another run's entry.
    nonce: String,
    pub(super) data_mart_id: String,
    /// The ordinal with which the run started: its fence.
    pub(super) fence: u64,
    pub(super) what: What,
    /// The state after this step, whole.
    pub(super) state: BTreeMap<String, String>,
    /// The first commit that readers do not see yet.
    pub(super) pending: Option<u64>,
    /// The run's line in the load history.
    pub(super) history: History,
}

/// What a step is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum What {
    /// A run started.
    Open,
    /// Rows and state became durable.
    Commit(Vec<Part>),
    /// The rows of every pending commit are being brought into the tables.
    Apply(Vec<Unit>),
    /// They are in.
    Applied,
    /// A run ended without a commit.
    End,
}

/// What a commit has of one table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Part {
    /// The number of the table in its run.
    pub(super) number: usize,
    pub(super) stream: String,
    /// The columns that the table has afterwards.
    pub(super) columns: Vec<Column>,
    pub(super) batch: Batch,
    pub(super) rows: u64,
    /// The staged objects.
    pub(super) files: Vec<String>,
}

/// One statement that brings rows into a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unit {
    /// The number of the table in its run.
    pub(super) number: usize,
    /// What the statement is made for.
    pub(super) base: Base,
    /// Where the table is built anew, if its columns cannot be changed in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rebuild: Option<String>,
}

/// A run's line in the load history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct History {
    pub(super) run_id: String,
    pub(super) data_mart_id: String,
    pub(super) connector: String,
    pub(super) run_type: String,
    pub(super) status: String,
    pub(super) started_at: String,
    pub(super) finished_at: Option<String>,
    /// JSON: committed rows by stream.
    pub(super) rows: String,
    /// JSON: mode and fields by stream.
    pub(super) schema: String,
    pub(super) commits: u64,
    pub(super) error: Option<String>,
}

/// What is to be added to the log.
pub(super) struct Next {
    pub(super) what: What,
    pub(super) state: BTreeMap<String, String>,
    pub(super) history: History,
}

/// The log of a data mart, as one run sees it.
pub(super) struct Log {
    service: Arc<Service>,
    /// The folder of the data mart, with a slash at its end.
    folder: String,
    data_mart_id: String,
    /// The last entry.
    tail: Option<Entry>,
    /// Zero before the run has entered.
    fence: u64,
    /// The entries from the first pending commit on.
    pending: Vec<Entry>,
}

fn folder(folder: &str) -> String {
    format!("{folder}log/")
}

fn key(folder: &str, ordinal: u64) -> String {
    format!("{}{ordinal:020}.json", self::folder(folder))
}

/// The last entry of a log; none where there is no log.
pub(super) async fn tail(service: &Service, folder: &str) -> Result<Option<Entry>, StorageError> {
    let keys = service.list_all(&self::folder(folder)).await?;
    let Some(last) = keys.last() else { return Ok(None) };
    read(service, last).await
}

async fn read(service: &Service, key: &str) -> Result<Option<Entry>, StorageError> {
    let entry = service.get_json::<Entry>(key).await?.map(|(entry, _)| entry);
    match entry {
        Some(entry) if entry.version > VERSION => Err(StorageError::Config {
            message: format!(
                "data mart `{}` was written by a newer ow-host (its records have version {}, this one knows {VERSION}); use that one",
                entry.data_mart_id, entry.version
            ),
            parameter: Some("S3Prefix".to_owned()),
        }),
        entry => Ok(entry),
    }
}

impl Log {
    /// Reads where a data mart is.
    pub(super) async fn open(
        service: &Arc<Service>,
        folder: &str,
        data_mart_id: &str,
    ) -> Result<Self, StorageError> {
        let mut log = Self {
            service: Arc::clone(service),
            folder: folder.to_owned(),
            data_mart_id: data_mart_id.to_owned(),
            tail: None,
            fence: 0,
            pending: Vec::new(),
        };
        log.catch_up().await?;
        Ok(log)
    }

    async fn catch_up(&mut self) -> Result<(), StorageError> {
        self.tail = tail(&self.service, &self.folder).await?;
        self.pending.clear();
        if let Some(Entry { pending: Some(first), ordinal, .. }) = &self.tail {
            for number in *first..=*ordinal {
                let key = key(&self.folder, number);
                let entry = read(&self.service, &key).await?;
                self.pending.push(entry.ok_or_else(|| {
                    failed(format!("object `{key}` is gone, and rows that are not in the tables yet are named there; restore it"), false)
                })?);
            }
        }
        Ok(())
    }

    /// Enters a run: from here on no other run can add to the log.
    pub(super) async fn enter(&mut self, history: History) -> Result<(), StorageError> {
        // A run that just lost the data mart may add one entry more.
        for _ in 0..10 {
            self.fence = self.next();
            let state = self.state().clone();
            match self.append(Next { what: What::Open, state, history: history.clone() }).await {
                Ok(()) => return Ok(()),
                Err(Append::Lost) => self.catch_up().await?,
                Err(Append::Failed(error)) => return Err(error),
            }
        }
        Err(StorageError::Busy {
            message: format!(
                "data mart `{}` is written by runs that come and go; try again",
                self.data_mart_id
            ),
        })
    }

    fn next(&self) -> u64 {
        self.tail.as_ref().map_or(1, |tail| tail.ordinal + 1)
    }

    pub(super) fn fence(&self) -> u64 {
        self.fence
    }

    pub(super) fn tail(&self) -> Option<&Entry> {
        self.tail.as_ref()
    }

    /// The state after the last step.
    pub(super) fn state(&self) -> &BTreeMap<String, String> {
        static EMPTY: BTreeMap<String, String> = BTreeMap::new();
        self.tail.as_ref().map_or(&EMPTY, |tail| &tail.state)
    }

    /// The entries from the first pending commit on.
    pub(super) fn pending(&self) -> &[Entry] {
        &self.pending
    }

    /// Adds an entry, durably, or finds that another run has the data mart.
    pub(super) async fn append(&mut self, next: Next) -> Result<(), Append> {
        let ordinal = self.next();
        let before = self.tail.as_ref().and_then(|tail| tail.pending);
        let pending = match &next.what {
            What::Commit(parts) if !parts.is_empty() => before.or(Some(ordinal)),
            What::Applied => None,
            _ => before,
        };
        let entry = Entry {
            version: VERSION,
            ordinal,
            nonce: uuid::Uuid::new_v4().to_string(),
            data_mart_id: self.data_mart_id.clone(),
            fence: self.fence,
            what: next.what,
            state: next.state,
            pending,
            history: next.history,
        };
        let key = key(&self.folder, ordinal);
        if let Put::Taken = self.service.put(&key, to_json(&entry)?, Condition::Absent).await? {
            let there = read(&self.service, &key).await?;
            if there.is_none_or(|there| there.nonce != entry.nonce) {
                return Err(Append::Lost);
            }
        }
        // Entries that this run does not know, and whose number it could take
        // because they have been removed.
        let (later, _) = self.service.list(&folder(&self.folder), Some(&key)).await?;
        if !later.is_empty() {
            return Err(Append::Lost);
        }
        match entry.pending {
            Some(_) => self.pending.push(entry.clone()),
            None => self.pending.clear(),
        }
        self.tail = Some(entry);
        Ok(())
    }

    /// Removes old entries. None that is pending, and enough stay to look at.
    pub(super) async fn trim(&self) -> Result<(), StorageError> {
        let Some(tail) = &self.tail else { return Ok(()) };
        let first = tail.pending.unwrap_or(tail.ordinal).min(tail.ordinal.saturating_sub(KEPT));
        let end = key(&self.folder, first);
        let (mut keys, _) = self.service.list(&folder(&self.folder), None).await?;
        keys.retain(|key| *key < end);
        self.service.delete(&keys).await
    }
}

/// Why an entry was not added.
#[derive(Debug)]
pub(super) enum Append {
    /// Another run has the data mart.
    Lost,
    Failed(StorageError),
}

impl From<StorageError> for Append {
    fn from(error: StorageError) -> Self {
        Self::Failed(error)
    }
}
