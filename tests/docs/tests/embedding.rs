//! The example of docs/embedding.md, compiled and run.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption must fail the tests at once"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use docs::stage::{Stage, component};
use ow_host::report::Status;

#[expect(unreachable_pub, reason = "the example is written for a crate of one's own")]
#[path = "../../../docs/examples/embedding.rs"]
mod embedding;

#[tokio::test(flavor = "multi_thread")]
async fn the_embedding_example_loads_the_demo() {
    let stage = Stage::new();
    let commits = Arc::new(AtomicU64::new(0));
    let events = embedding::watch(Arc::clone(&commits));
    let report = embedding::load(component("payments-directory"), stage.path(), events).await.unwrap();
    assert_eq!((report.status, report.failure), (Status::Succeeded, None));
    assert_eq!((report.streams[0].committed_rows, commits.load(Ordering::Relaxed)), (4, report.commits));

    let database = rusqlite::Connection::open(stage.path().join("payments.db")).unwrap();
    let rows: i64 = database.query_row("SELECT count(*) FROM payments", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 4);
}
