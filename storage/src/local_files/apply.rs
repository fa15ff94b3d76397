//! What is recorded in the ledger takes place: renames that can be done again.
//!
//! All of it happens under the ledger's write lock, so that a run that was
//! believed dead finds nothing left to do.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::ledger::{self, Kind, Pending};
use super::place::{self, Place, fault};
use super::trouble::Trouble;

/// Does what is recorded for a data mart or a table, and marks it as done.
pub(super) fn apply(
    place: &Place,
    connection: &Connection,
    data_mart: Option<&str>,
    table: Option<&str>,
) -> Result<(), Trouble> {
    if ledger::pending(connection, data_mart, table)?.is_empty() {
        return Ok(());
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let result = apply_all(place, connection, data_mart, table);
    if result.is_err() {
        // Fails where SQLite has rolled back by itself.
        let _ = connection.execute_batch("ROLLBACK");
    }
    result
}

fn apply_all(
    place: &Place,
    connection: &Connection,
    data_mart: Option<&str>,
    table: Option<&str>,
) -> Result<(), Trouble> {
    let mut folders = BTreeSet::new();
    for (id, pending) in ledger::pending(connection, data_mart, table)? {
        match pending.kind {
            Kind::Move => {
                move_file(place, &pending)?;
                folders.insert(place::parent(&pending.target).to_owned());
                folders.insert(place::parent(&pending.staged).to_owned());
            }
            Kind::Swap => swap(place, &pending)?,
        }
        ledger::done(connection, id)?;
    }
    for folder in folders {
        if place.check(&folder)? {
            place.sync(&folder)?;
        }
    }
    step()?;
    Ok(connection.execute_batch("COMMIT")?)
}

/// A step of the ledger, for tests that stop between steps.
pub(super) fn step() -> Result<(), Trouble> {
    fault::step().map_err(|error| Trouble::failed(error.to_string()))
}

fn move_file(place: &Place, pending: &Pending) -> Result<(), Trouble> {
    let is_staged = place.check(place::parent(&pending.staged))? && place.look(&pending.staged)?.is_some();
    if is_staged {
        place.folder(place::parent(&pending.target))?;
        return place.rename(&pending.staged, &pending.target);
    }
    if place.check(place::parent(&pending.target))? && place.look(&pending.target)?.is_some() {
        return Ok(());
    }
    Err(Trouble::failed(format!(
        "file `{}` was committed and is gone, with its staged copy `{}`; restore one of them from a backup, or make an empty file at the first place and remove it after the next run, which gives its rows up",
        place.path(&pending.target).display(),
        place.path(&pending.staged).display(),
    )))
}

/// The name that marks a folder that has not been swapped in yet: that of the
/// folder, so that no other swap knows it.
pub(super) fn marker(staged: &str) -> String {
    format!(".ow-swap-{}", staged.replace('/', "-"))
}

/// The new folder holds the marker. As long as it is found at the staged place,
/// the swap is to be done.
fn swap(place: &Place, pending: &Pending) -> Result<(), Trouble> {
    let Pending { staged, target, .. } = pending;
    let marker = marker(staged);
    let old = format!("{staged}.old");
    let staged_marker = format!("{staged}/{marker}");
    if place.check(staged)? && place.look(&staged_marker)?.is_some() {
        let exchanged = place.check(target)? && place.exchange(staged, target)?;
        if !exchanged {
            if place.check(target)? {
                place.rename(target, &old)?;
            }
            place.rename(staged, target)?;
        }
        place.sync(place::parent(target))?;
        place.sync(place::parent(staged))?;
    }
    // What is at the staged place now is the old table.
    place.remove_folder(staged)?;
    place.remove_folder(&old)?;
    place.remove_file(&format!("{target}/{marker}"))
}
