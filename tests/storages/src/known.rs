//! Known rows, in several commits: what the `writer` loads again and again while
//! it is killed, and what has to be there in the end.

use std::collections::BTreeMap;

use ow_storage::DataType::{Int64, Text};
use ow_storage::{Outcome, RunInfo, Storage, StorageError, TableSchema, WriteMode};
use serde_json::Value;

use crate::place::{a_run, changes, parsed};
use crate::values::{Cells, Row, batch, log, people, stream};
use crate::{cells, row};

/// How many commits a load has, the one of its end included.
pub const STEPS: i64 = 3;

/// How many rows each commit brings to each stream.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub struct Load {
    /// Rows a commit and a stream.
    pub rows: i64,
    /// Batches a commit and a stream.
    pub batches: i64,
}

/// Where the load stands is this key of the state.
const DONE: &str = "done";

/// A stream whose rows are added: doubled rows show.
#[must_use]
pub fn added() -> TableSchema {
    log("added")
}

/// A stream whose rows are merged, each key twice in a load.
#[must_use]
pub fn merged() -> TableSchema {
    people("merged")
}

/// A stream that each run replaces.
#[must_use]
pub fn replaced() -> TableSchema {
    stream("replaced", &[("*id", Int64), ("name", Text)])
}

/// What runs tell of where they are; `at` is a step of the load.
pub type Tell<'a> = &'a mut dyn FnMut(&str, i64);

/// Loads what the state says is missing: a connector that goes on where the last
/// commit left it.
pub fn load(storage: &mut dyn Storage, load: Load, tell: Tell<'_>) -> Result<(), StorageError> {
    let result = try_load(storage, load, tell);
    if let Err(error) = &result {
        let _ = storage.finish(Outcome::Failed, &changes(&[]), Some(&error.to_string()));
    }
    result
}

fn try_load(storage: &mut dyn Storage, load: Load, tell: Tell<'_>) -> Result<(), StorageError> {
    let state = parsed(storage.state()?);
    let done = state.get(DONE).map_or(0, |done| done.as_i64().expect("a number"));
    tell("open", done);
    let (added, merged, replaced) = (added(), merged(), replaced());
    let add = storage.open_table(&added, WriteMode::Append)?;
    let merge = storage.open_table(&merged, WriteMode::Merge)?;
    let replace = storage.open_table(&replaced, WriteMode::Replace)?;
    storage.write(replace, &batch(&replaced, &[row![0, "always"]]))?;
    for step in done..STEPS {
        for part in 0..load.batches {
            storage
                .write(add, &batch(&added, &load.part(part, |n| row![step * load.rows + n, text(step)])))?;
            storage.write(
                merge,
                &batch(&merged, &load.part(part, |n| row![step / 2 * load.rows + n, text(step)])),
            )?;
        }
        if step + 1 == STEPS {
            storage.write(replace, &batch(&replaced, &[row![1, "end"]]))?;
        }
        tell("write", step);
        let state = changes(&[(DONE, Some(&(step + 1).to_string()))]);
        if step + 1 < STEPS {
            storage.commit(&state)?;
            tell("commit", step);
        } else {
            storage.finish(Outcome::Succeeded, &state, None)?;
            tell("finish", step);
            return Ok(());
        }
    }
    // Only the answer to the end of the last run was lost.
    storage.write(replace, &batch(&replaced, &[row![1, "end"]]))?;
    storage.finish(Outcome::Succeeded, &changes(&[]), None)
}

fn text(step: i64) -> String {
    format!("step {step}, 'it''s' 🎉")
}

impl Load {
    fn part(self, part: i64, row: impl Fn(i64) -> Row) -> Vec<Row> {
        (0..self.rows).filter(|n| n * self.batches / self.rows == part).map(row).collect()
    }

    /// The rows of [`added`] once the load is done.
    #[must_use]
    pub fn added(self) -> Vec<Cells> {
        (0..STEPS)
            .flat_map(|step| (0..self.rows).map(move |n| cells![step * self.rows + n, text(step)]))
            .collect()
    }

    /// The rows of [`merged`] once the load is done.
    #[must_use]
    pub fn merged(self) -> Vec<Cells> {
        let last_of_pair = |step: i64| step % 2 == 1 || step == STEPS - 1;
        (0..STEPS)
            .filter(|step| last_of_pair(*step))
            .flat_map(|step| (0..self.rows).map(move |n| cells![step / 2 * self.rows + n, text(step)]))
            .collect()
    }
}

/// The rows of [`replaced`] once the load is done.
#[must_use]
pub fn replacement() -> Vec<Cells> {
    vec![cells![0, "always"], cells![1, "end"]]
}

/// The state once the load is done.
#[must_use]
pub fn state() -> BTreeMap<String, Value> {
    BTreeMap::from([(DONE.to_owned(), STEPS.into())])
}

/// Every line that a writer says of an undisturbed load, in order.
#[must_use]
pub fn lines() -> Vec<String> {
    let mut lines = vec!["start 0".to_owned(), "open 0".to_owned()];
    for step in 0..STEPS {
        lines.push(format!("write {step}"));
        lines.push(format!("{} {step}", if step + 1 < STEPS { "commit" } else { "finish" }));
    }
    lines
}

/// The run of a load; `attempt` tells it from the others.
#[must_use]
pub fn run(attempt: u32) -> RunInfo {
    a_run(&format!("attempt-{attempt}"))
}
