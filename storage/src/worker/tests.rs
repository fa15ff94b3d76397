use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use arrow_array::RecordBatchOptions;
use arrow_schema::Schema;

use super::*;

/// Notes what it is asked; a batch waits for the gate, a batch of 13 rows fails.
struct Probe {
    log: Sender<String>,
    gate: Option<Receiver<()>>,
}

impl Storage for Probe {
    fn state(&mut self) -> Result<BTreeMap<String, String>, StorageError> {
        Ok(BTreeMap::from([("k".into(), "1".into())]))
    }
    fn open_table(&mut self, _: &TableSchema, _: WriteMode) -> Result<TableId, StorageError> {
        Ok(TableId(7))
    }
    fn write(&mut self, _: TableId, rows: &RecordBatch) -> Result<(), StorageError> {
        if let Some(gate) = &self.gate {
            gate.recv().unwrap();
        }
        self.log.send(format!("write {}", rows.num_rows())).unwrap();
        assert_ne!(rows.num_rows(), 99, "a bug");
        if rows.num_rows() == 13 {
            return Err(StorageError::Refused { message: "thirteen rows".into() });
        }
        Ok(())
    }
    fn commit(&mut self, changes: &StateChanges) -> Result<(), StorageError> {
        self.log.send(format!("commit {}", changes.len())).unwrap();
        Ok(())
    }
    fn columns(&mut self, _: &str) -> Result<Option<Vec<crate::Field>>, StorageError> {
        Ok(None)
    }

    fn finish(
        &mut self,
        outcome: Outcome,
        _: &StateChanges,
        error: Option<&str>,
    ) -> Result<(), StorageError> {
        self.log.send(format!("finish {outcome:?} {error:?}")).unwrap();
        Ok(())
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.log.send("dropped".into());
    }
}

fn rows(count: usize) -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap()
}

fn schema() -> TableSchema {
    TableSchema {
        name: "t".into(),
        description: None,
        fields: vec![],
        primary_key: vec![],
        cursor_field: None,
        partition_field: None,
    }
}

fn start(gate: Option<Receiver<()>>) -> (StorageHandle, Receiver<String>) {
    let (log, notes) = channel();
    (spawn(Box::new(Probe { log, gate })).unwrap(), notes)
}

fn wait(notes: &Receiver<String>, count: usize) -> Vec<String> {
    (0..count).map(|_| notes.recv_timeout(Duration::from_secs(10)).unwrap()).collect()
}

#[tokio::test]
async fn requests_keep_their_order() {
    let (handle, notes) = start(None);
    assert_eq!(handle.state().await.unwrap().len(), 1);
    let table = handle.open_table(schema(), WriteMode::Append).await.unwrap();
    assert_eq!(table, TableId(7));
    handle.write(table, rows(1)).await.unwrap();
    handle.clone().write(table, rows(2)).await.unwrap();
    handle.commit(BTreeMap::from([("k".into(), None)])).await.unwrap();
    handle.finish(Outcome::Succeeded, BTreeMap::new(), None).await.unwrap();
    assert_eq!(wait(&notes, 5), ["write 1", "write 2", "commit 1", "finish Succeeded None", "dropped"]);
    let late = handle.commit(BTreeMap::new()).await.unwrap_err();
    assert_eq!(late.to_string(), "the storage has ended already");
}

#[tokio::test]
async fn a_failed_write_answers_everything_after_it() {
    let (handle, notes) = start(None);
    handle.write(TableId(7), rows(13)).await.unwrap();
    let commit = handle.commit(BTreeMap::new()).await.unwrap_err();
    assert_eq!(commit.to_string(), "thirteen rows");
    assert_eq!(handle.write(TableId(7), rows(1)).await.unwrap_err().to_string(), "thirteen rows");
    assert_eq!(
        handle.open_table(schema(), WriteMode::Append).await.unwrap_err().to_string(),
        "thirteen rows"
    );
    let end = handle.finish(Outcome::Succeeded, BTreeMap::new(), None).await.unwrap_err();
    assert_eq!(end.to_string(), "thirteen rows");
    assert_eq!(wait(&notes, 3), ["write 13", "finish Failed Some(\"thirteen rows\")", "dropped"]);
}

#[tokio::test]
async fn a_full_queue_makes_the_writer_wait() {
    let (open, gate) = channel();
    let (handle, notes) = start(Some(gate));
    // One is being written, two wait.
    let written = Arc::new(Mutex::new(0));
    let (writer, seen) = (handle.clone(), Arc::clone(&written));
    let task = tokio::spawn(async move {
        for _ in 0..10 {
            writer.write(TableId(7), rows(1)).await.unwrap();
            *seen.lock().unwrap() += 1;
        }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = *written.lock().unwrap();
    assert!((2..=3).contains(&before), "{before}");
    (0..10).for_each(|_| open.send(()).unwrap());
    task.await.unwrap();
    handle.finish(Outcome::Succeeded, BTreeMap::new(), None).await.unwrap();
    assert_eq!(wait(&notes, 12).last().unwrap(), "dropped");
}

#[tokio::test]
async fn dropped_handles_interrupt_the_run() {
    let (open, gate) = channel();
    let (handle, notes) = start(Some(gate));
    handle.write(TableId(7), rows(1)).await.unwrap();
    drop(handle.clone());
    drop(handle);
    open.send(()).unwrap();
    assert_eq!(wait(&notes, 3), ["write 1", "finish Interrupted Some(\"the run was dropped\")", "dropped"]);
}

#[tokio::test]
async fn a_storage_that_panics_is_an_error() {
    let (handle, notes) = start(None);
    handle.write(TableId(7), rows(99)).await.unwrap();
    let error = handle.commit(BTreeMap::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "the storage has ended already");
    assert_eq!(wait(&notes, 2), ["write 99", "dropped"]);
}
