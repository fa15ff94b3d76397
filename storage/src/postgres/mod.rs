//! Rows, state and load history in one schema of a PostgreSQL database.
//!
//! # Guarantee
//!
//! Rows, state and the history of a run are committed in one transaction, which
//! the server has on its disk before it acknowledges it. Whatever ends this
//! process, the connection or the server, either all of a commit is there or
//! nothing of it.
//!
//! One run a data mart: a session advisory lock ([`claim`]), which the server
//! frees when the session ends, and a number in `_ow_claims` that every run
//! raises and every commit reads `FOR UPDATE`, so that a later run waits for a
//! commit at work, and a run that lost its claim cannot commit. A connection
//! that is lost takes the claim and the staged rows with it: the run fails, and
//! can be run again.
//!
//! ## A lost answer to `COMMIT`
//!
//! When the connection breaks between `COMMIT` and its answer, nobody knows
//! whether it was made. Then ([`run`]):
//!
//! 1. Connect again, for up to 90 seconds, as the server may be restarting.
//! 2. End the old session's server process, known by its number and its start:
//!    if `COMMIT` never arrived, its transaction would stay open.
//! 3. Read the run's number of commits in `_ow_runs`, `FOR UPDATE`. The
//!    transaction in question changed that row, so this waits until it is over.
//! 4. Take the advisory lock again, and check the number in `_ow_claims`.
//! 5. If the number of commits is the new one, the commit was made and the run
//!    goes on; if it is the old one, it was not, and the run fails, to be run
//!    again.
//!
//! Where step 1 fails, so does the run; the next one starts from the state that
//! stands, which belongs to the rows that stand.
//!
//! # Types
//!
//! | type | column | refused |
//! |---|---|---|
//! | `boolean` | `boolean` | |
//! | `int64` | `bigint` | |
//! | `float64` | `double precision` | nothing: infinities and NaN are kept |
//! | `decimal(p, s)` | `numeric(p,s)` | more than `p` digits |
//! | `text` | `text` | a NUL, which PostgreSQL cannot hold; over 10⁹ bytes |
//! | `bytes` | `bytea` | over 10⁹ bytes |
//! | `date` | `date` | years but 1 to 9999 |
//! | `timestamp` | `timestamptz` | years but 1 to 9999 |
//! | `json` | `jsonb` | `\u0000` and lone surrogates in strings, numbers that `numeric` cannot hold |
//!
//! `jsonb` and not `json`, because `json` has no equality and no index, so that
//! `SELECT DISTINCT` fails on it. White space and the order of keys are not
//! kept, and of a key that is twice in an object the last one is.
//!
//! # Tables
//!
//! A stream's table is `TablePrefix` and the stream's name. Which columns are
//! ours is in `_ow_columns`; descriptions are comments. A primary key holds in
//! every mode, and only key columns are `NOT NULL`.
//!
//! A table that somebody else made takes rows of `append` and `merge` if nothing
//! of it has to be changed: every field has its column, of a type of the table
//! above that holds it, and the primary keys are the same. Its rows are never
//! replaced.
//!
//! Tables are changed in place, in the transaction of the commit, which holds
//! the exclusive lock until its end. Types widen as `types::widest` has it, in
//! both directions; PostgreSQL refuses it for columns that a view shows.
//!
//! # Replacing
//!
//! `replace`, and every mode in a full refresh, keeps its rows in the staging
//! table until the transaction that ends the run. That one deletes the old rows
//! and inserts the new ones, in the same table: readers are not blocked and see
//! the old rows until the commit, and grants, views, indexes, triggers,
//! publications and policies stay. Renaming a new table into the place would be
//! faster, but views and foreign keys would follow the old one, and grants be
//! lost; `TRUNCATE` would block readers, and show an empty table to transactions
//! that began before. The price is room for the dead rows, until vacuum. Only
//! where the shape changes too, the table is locked meanwhile.
//!
//! # Locks and memory
//!
//! Rows are copied (binary COPY) to a temporary table as they come, 4 MiB at a
//! time while the next ones are made, and at most 16 MiB wait in memory. The
//! target is locked only while a commit moves them over, by `INSERT … SELECT`;
//! keys are sorted, so that two loads do not wait for each other in a circle. A
//! deadlock or a serialization failure is tried again.

mod claim;
mod connection;
mod encode;
mod evolve;
mod identifier;
mod ledger;
mod params;
mod run;
mod stage;
mod tls;
mod trouble;
mod types;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use schemars::schema_for;
use serde_json::Value;
use tokio_postgres::types::Type;

use connection::{Server, Session};
use params::{Parameters, Target};
use run::PostgresStorage;
use trouble::Trouble;

use crate::driver::{self, Driver, Params, Problem};
use crate::{RunInfo, Storage, StorageError};

/// The storage `Postgres`.
pub(crate) struct Postgres;

impl Driver for Postgres {
    fn name(&self) -> &'static str {
        "Postgres"
    }

    fn alias(&self) -> &'static str {
        "POSTGRES"
    }

    fn schema(&self) -> Value {
        schema_for!(Parameters).to_value()
    }

    fn check(&self, params: &Params) -> Vec<Problem> {
        match driver::parse::<Parameters>(params.clone()) {
            Ok(params) => params.problems(),
            Err(error) => vec![(None, error.to_string())],
        }
    }

    fn open(
        &self,
        params: Params,
        base_dir: &Path,
        run: &RunInfo,
    ) -> Result<(Box<dyn Storage>, String), StorageError> {
        let target = target(params, base_dir)?;
        let description = format!("Postgres ({}, schema `{}`)", target.place, target.schema);
        Ok((Box::new(PostgresStorage::open(target, run)?), description))
    }

    fn read_state(
        &self,
        params: Params,
        base_dir: &Path,
        data_mart_id: &str,
    ) -> Result<BTreeMap<String, String>, StorageError> {
        let mut server = Server::new(target(params, base_dir)?)?;
        let session = server.connect("ow-host")?;
        let target = Arc::clone(&server.target);
        server
            .wait(ledger::state(&session, &target, data_mart_id))
            .map_err(|trouble| trouble.explain(&target, "read the state"))
    }

    fn reach(&self, params: Params, base_dir: &Path) -> Result<String, StorageError> {
        let mut server = Server::new(target(params, base_dir)?)?;
        let session = server.connect("ow-host")?;
        let target = Arc::clone(&server.target);
        server
            .wait(look(&session, &target))
            .map_err(|trouble| trouble.explain(&target, "look at the database"))
    }
}

fn target(params: Params, base_dir: &Path) -> Result<Target, StorageError> {
    driver::parse::<Parameters>(params)?.target(base_dir).map_err(params::failure)
}

/// Whether this user can write to the schema; a sentence of what was found.
async fn look(session: &Session, target: &Target) -> Result<String, Trouble> {
    let row = session
        .row(
            "SELECT current_setting('server_version'), pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool,
             has_database_privilege(current_database(), 'TEMPORARY'),
             has_database_privilege(current_database(), 'CREATE'), n.oid IS NOT NULL,
             COALESCE(has_schema_privilege(n.oid, 'USAGE') AND (has_schema_privilege(n.oid, 'CREATE')
             OR EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid AND relname = '_ow_claims')), false),
             COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)
             FROM (SELECT 1) AS one LEFT JOIN pg_namespace n ON n.nspname = $1",
            &[(&target.schema, Type::TEXT)],
        )
        .await?;
    let is = |index| row.try_get::<_, bool>(index);
    let (place, schema, user) = (&target.place, &target.schema, &target.user);
    let config = |parameter: &str, message: String| {
        Trouble::Storage(StorageError::Config { message, parameter: Some(parameter.to_owned()) })
    };
    if is(1)? {
        return Err(config("Host", format!("{place} is read-only; set `Host` to the primary")));
    }
    if !is(2)? {
        return Err(config(
            "User",
            format!(
                "user `{user}` may not create temporary tables in {place}; grant TEMPORARY on the database"
            ),
        ));
    }
    let there = match (is(4)?, is(5)?, is(3)?) {
        (true, true, _) => "is there",
        (true, false, _) => {
            return Err(config(
                "User",
                format!(
                    "user `{user}` may not create tables in schema `{schema}` of {place}; grant USAGE and CREATE on the schema"
                ),
            ));
        }
        (false, _, true) => "will be created",
        (false, _, false) => {
            return Err(config(
                "Schema",
                format!(
                    "schema `{schema}` is not in {place}, and user `{user}` may not create it; create it, or grant CREATE on the database"
                ),
            ));
        }
    };
    let version: String = row.try_get(0)?;
    let tls = if is(6)? { "with TLS" } else { "without TLS" };
    Ok(format!("{place} is PostgreSQL {version}, {tls}; schema `{schema}` {there}"))
}
