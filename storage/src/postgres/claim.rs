//! The claim on a data mart: one run at a time. A session advisory lock, which
//! the server frees however the session ends.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_postgres::types::Type;

use super::connection::Session;
use super::params::Target;
use super::trouble::Trouble;
use crate::StorageError;

/// How long a claim is asked for: the server needs a moment to notice that the
/// process of the last run is dead.
const ATTEMPTS: u32 = 30;
const PAUSE: Duration = Duration::from_millis(100);

/// The number of the advisory lock for these names, in this database.
pub(super) fn lock(names: &[&str]) -> i64 {
    let mut digest = Sha256::new();
    digest.update("ow-host");
    for name in names {
        digest.update([0]);
        digest.update(name);
    }
    digest.finalize().iter().take(8).fold(0, |number, byte| number << 8 | i64::from(*byte))
}

/// Takes the claim on a data mart, for as long as the session lives.
pub(super) async fn take(session: &Session, target: &Target, data_mart_id: &str) -> Result<(), Trouble> {
    let number = lock(&["data mart", &target.schema, data_mart_id]);
    for _ in 0..ATTEMPTS {
        let row = session.row("SELECT pg_try_advisory_lock($1)", &[(&number, Type::INT8)]).await?;
        if row.try_get(0)? {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    let holder = holder(session, target, number, data_mart_id).await.unwrap_or_default();
    Err(Trouble::Storage(StorageError::Busy {
        message: format!(
            "data mart `{data_mart_id}` is being written by {}; wait until that run ends, or stop it",
            holder.unwrap_or_else(|| "another run".to_owned())
        ),
    }))
}

/// Who has the claim, as far as this user may see it.
async fn holder(
    session: &Session,
    target: &Target,
    number: i64,
    data_mart_id: &str,
) -> Result<Option<String>, Trouble> {
    let process = session
        .optional(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND classid::int8 = ($1::int8 >> 32) & 4294967295 AND objid::int8 = $1::int8 & 4294967295",
            &[(&number, Type::INT8)],
        )
        .await?
        .map(|row| row.try_get::<_, i32>(0))
        .transpose()?;
    let claims = target.table("_ow_claims");
    let run = session
        .optional(
            &format!("SELECT run_id FROM {claims} WHERE data_mart_id = $1"),
            &[(&data_mart_id, Type::TEXT)],
        )
        .await?
        .map(|row| row.try_get::<_, String>(0))
        .transpose()?;
    Ok(run.map(|run| match process {
        Some(process) => format!("run `{run}` (server process {process})"),
        None => format!("run `{run}`"),
    }))
}

/// Gives all claims of the session back.
pub(super) async fn release(session: &Session) -> Result<(), Trouble> {
    session.batch("SELECT pg_advisory_unlock_all()").await
}
