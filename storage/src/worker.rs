//! A storage on a thread of its own, behind an asynchronous handle with
//! back-pressure.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow_array::RecordBatch;
use tokio::sync::{mpsc, oneshot};

use super::{Outcome, StateChanges, Storage, StorageError, TableId, TableSchema, WriteMode};

/// How many requests wait for the storage. Two batches are enough for the guest
/// and the storage to work at the same time; more would only take memory.
const QUEUE: usize = 2;

type Reply<T> = oneshot::Sender<Result<T, StorageError>>;

enum Request {
    State(Reply<BTreeMap<String, String>>),
    OpenTable(Box<TableSchema>, WriteMode, Reply<TableId>),
    Write(TableId, RecordBatch),
    Commit(StateChanges, Reply<()>),
    Finish(Outcome, StateChanges, Option<String>, Reply<()>),
}

/// Speaks to a storage that runs on a thread of its own. After a failure every
/// method but [`finish`](Self::finish) answers that failure. When the last
/// handle is dropped without `finish`, the storage is finished as
/// [`Outcome::Interrupted`] and the thread ends.
#[derive(Debug, Clone)]
pub struct StorageHandle {
    requests: mpsc::Sender<Request>,
    failure: Arc<OnceLock<StorageError>>,
    waited: Arc<AtomicU64>,
}

/// Moves a storage to a thread of its own, which ends with
/// [`StorageHandle::finish`] or with the last handle.
pub fn spawn(storage: Box<dyn Storage>) -> Result<StorageHandle, StorageError> {
    let (requests, queue) = mpsc::channel(QUEUE);
    let failure = Arc::new(OnceLock::new());
    let waited = Arc::new(AtomicU64::new(0));
    let worker = Worker { storage, failure: Arc::clone(&failure), waited: Arc::clone(&waited) };
    std::thread::Builder::new().name("ow-storage".to_owned()).spawn(move || worker.run(queue)).map_err(
        |error| StorageError::Failed {
            message: format!("the storage's thread could not be started: {error}"),
            retryable: true,
        },
    )?;
    Ok(StorageHandle { requests, failure, waited })
}

impl StorageHandle {
    /// The state that the data mart's last commit left.
    pub async fn state(&self) -> Result<BTreeMap<String, String>, StorageError> {
        self.ask(Request::State).await
    }

    /// Opens a stream's table; see [`Storage::open_table`].
    pub async fn open_table(&self, table: TableSchema, mode: WriteMode) -> Result<TableId, StorageError> {
        self.ask(|reply| Request::OpenTable(Box::new(table), mode, reply)).await
    }

    /// Hands rows over and returns as soon as there is room for them. What then
    /// fails is answered to the next call.
    pub async fn write(&self, table: TableId, rows: RecordBatch) -> Result<(), StorageError> {
        self.check()?;
        self.requests.send(Request::Write(table, rows)).await.map_err(|_| self.gone())
    }

    /// Makes the rows written so far and these state changes durable, together.
    pub async fn commit(&self, changes: StateChanges) -> Result<(), StorageError> {
        self.ask(|reply| Request::Commit(changes, reply)).await
    }

    /// Ends the run and the thread; the claim is released when this returns. A
    /// run that failed before cannot succeed: it is finished as failed, and the
    /// failure is the answer.
    pub async fn finish(
        &self,
        outcome: Outcome,
        changes: StateChanges,
        error: Option<String>,
    ) -> Result<(), StorageError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(Request::Finish(outcome, changes, error, reply)).await;
        sent.map_err(|_| self.gone())?;
        answer.await.unwrap_or_else(|_| Err(self.gone()))
    }

    /// How long the storage has waited for its service; see
    /// [`Storage::waited`].
    #[must_use]
    pub fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited.load(Ordering::Relaxed))
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, StorageError> {
        self.check()?;
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| self.gone())?;
        answer.await.unwrap_or_else(|_| Err(self.gone()))
    }

    fn check(&self) -> Result<(), StorageError> {
        self.failure.get().map_or(Ok(()), |failure| Err(failure.clone()))
    }

    /// The thread has ended: the run was finished, or the storage panicked.
    fn gone(&self) -> StorageError {
        self.failure.get().cloned().unwrap_or_else(|| StorageError::Failed {
            message: "the storage has ended already".to_owned(),
            retryable: false,
        })
    }
}

struct Worker {
    storage: Box<dyn Storage>,
    failure: Arc<OnceLock<StorageError>>,
    waited: Arc<AtomicU64>,
}

impl Worker {
    fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(request) = queue.blocking_recv() {
            match request {
                Request::State(reply) => self.answer(reply, |storage| storage.state()),
                Request::OpenTable(table, mode, reply) => {
                    self.answer(reply, |storage| storage.open_table(&table, mode));
                }
                Request::Write(table, rows) => {
                    // The answer to the next request.
                    let _ = self.attempt(|storage| storage.write(table, &rows));
                }
                Request::Commit(changes, reply) => self.answer(reply, |storage| storage.commit(&changes)),
                Request::Finish(outcome, changes, error, reply) => {
                    let result = self.finish(outcome, &changes, error.as_deref());
                    self.note_wait();
                    // Closes what the storage has open before anybody hears of it.
                    drop(self);
                    let _ = reply.send(result);
                    return;
                }
            }
        }
        // Nobody is left to hear of a failure.
        let _ = self.finish(Outcome::Interrupted, &StateChanges::new(), Some("the run was dropped"));
    }

    /// Asks the storage, unless it failed before.
    fn attempt<T>(
        &mut self,
        ask: impl FnOnce(&mut dyn Storage) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if let Some(failure) = self.failure.get() {
            return Err(failure.clone());
        }
        let answer = ask(self.storage.as_mut()).inspect_err(|error| {
            let _ = self.failure.set(error.clone());
        });
        self.note_wait();
        answer
    }

    fn note_wait(&self) {
        let nanos = u64::try_from(self.storage.waited().as_nanos()).unwrap_or(u64::MAX);
        self.waited.store(nanos, Ordering::Relaxed);
    }

    fn answer<T>(&mut self, reply: Reply<T>, ask: impl FnOnce(&mut dyn Storage) -> Result<T, StorageError>) {
        // Whoever asked may have been dropped.
        let _ = reply.send(self.attempt(ask));
    }

    fn finish(
        &mut self,
        outcome: Outcome,
        changes: &StateChanges,
        error: Option<&str>,
    ) -> Result<(), StorageError> {
        let Some(failure) = self.failure.get().filter(|_| outcome == Outcome::Succeeded) else {
            return self.storage.finish(outcome, changes, error);
        };
        let _ = self.storage.finish(Outcome::Failed, &StateChanges::new(), Some(&failure.to_string()));
        Err(failure.clone())
    }
}

#[cfg(test)]
mod tests;
