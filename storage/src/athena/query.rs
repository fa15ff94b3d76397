//! Statements: started once whatever is lost, watched with growing pauses,
//! stopped when nobody waits for them any more.

use std::time::{Duration, Instant};

use aws_sdk_athena::types::{QueryExecutionContext, QueryExecutionState, ResultConfiguration};
use sha2::{Digest, Sha256};

use super::service::{Service, failed};
use super::trouble::fault;
use crate::StorageError;

/// The first pause before a statement is looked at; each is half as long again.
const FIRST_POLL: Duration = Duration::from_millis(50);
/// The longest of these pauses.
const LAST_POLL: Duration = Duration::from_secs(2);
/// Athena ends a statement after 30 minutes by default; this is for one that
/// waits in the queue, or of an account with a higher limit.
const TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// How long a start is tried again when the account has too many statements.
const START_PATIENCE: Duration = Duration::from_secs(10 * 60);
/// How long looking at a statement may fail before it is given up.
const POLL_PATIENCE: Duration = Duration::from_secs(2 * 60);

/// What the guard of a statement says when the table has moved on; see [`super::sql`].
pub(super) const STALE: &str = "ow-host-stale-";

/// How a statement that did not succeed ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The table is not at the snapshot that the statement was made for.
    Stale,
    /// It failed. It may have done its work nevertheless.
    Failed { message: String, transient: bool },
    /// It could not be started or watched.
    Unknown(StorageError),
}

impl From<Ended> for StorageError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Stale => failed("the table changed while it was written; run again", true),
            Ended::Failed { message, transient } => {
                failed(format!("Athena could not run a statement: {message}"), transient)
            }
            Ended::Unknown(error) => error,
        }
    }
}

/// Names of failures that a second attempt may get past.
const TRANSIENT: &[&str] = &[
    "ICEBERG_COMMIT_ERROR",
    "ICEBERG_CURSOR_ERROR",
    "ICEBERG_FILESYSTEM_ERROR",
    "HIVE_CURSOR_ERROR",
    "HIVE_CANNOT_OPEN_SPLIT",
    "HIVE_METASTORE_ERROR",
    "GENERIC_INTERNAL_ERROR",
    "Query exhausted resources",
    "ThrottlingException",
    "Rate exceeded",
    "SlowDown",
    "Please reduce your request rate",
    "ConcurrentModificationException",
    "INTERNAL_ERROR_QUERY_ENGINE",
];

/// A token that is the same for the same statement of the same step, so that a
/// lost answer and a crash start it once.
pub(super) fn token(step: &str) -> String {
    Sha256::digest(step.as_bytes()).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

impl Service {
    /// Runs a statement that may be repeated: a definition, or one that cleans
    /// up. Failures for the moment are tried again.
    pub(super) async fn define(&self, sql: &str) -> Result<(), StorageError> {
        let mut pause = Duration::from_millis(500);
        for attempt in 1.. {
            let ended = match self.query(sql, &uuid::Uuid::new_v4().to_string()).await {
                Ok(()) => return Ok(()),
                Err(ended) => ended,
            };
            match ended {
                Ended::Failed { transient: true, .. } if attempt < 5 => {}
                ended => return Err(ended.into()),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(())
    }

    /// Runs a statement to its end.
    pub(super) async fn query(&self, sql: &str, token: &str) -> Result<(), Ended> {
        let id = self.start(sql, token).await?;
        let watched = self.watch(&id).await;
        if let Err(Ended::Unknown(_)) = &watched {
            // Nobody waits for it any more.
            let _ = self.athena.stop_query_execution().query_execution_id(&id).send().await;
        }
        watched
    }

    async fn start(&self, sql: &str, token: &str) -> Result<String, Ended> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(250);
        loop {
            let context = QueryExecutionContext::builder().database(&self.place.database).build();
            let result =
                ResultConfiguration::builder().set_output_location(self.place.output.clone()).build();
            let request = self
                .athena
                .start_query_execution()
                .query_string(sql)
                .client_request_token(token)
                .query_execution_context(context)
                .set_result_configuration(self.place.output.is_some().then_some(result))
                .set_work_group(self.place.work_group.clone());
            let fault = match request.send().await {
                Ok(answer) => return Ok(answer.query_execution_id.unwrap_or_default()),
                Err(error) => fault(error),
            };
            if fault.is_transient() && began.elapsed() < START_PATIENCE {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(20));
                continue;
            }
            if fault.code == "InvalidRequestException" {
                return Err(Ended::Failed { message: fault.message, transient: false });
            }
            return Err(Ended::Unknown(self.explain(fault, "start a statement in Athena")));
        }
    }

    async fn watch(&self, id: &str) -> Result<(), Ended> {
        let began = Instant::now();
        let (mut pause, mut failing): (_, Option<Instant>) = (FIRST_POLL, None);
        while began.elapsed() < TIMEOUT {
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LAST_POLL);
            let answer = match self.athena.get_query_execution().query_execution_id(id).send().await {
                Ok(answer) => answer,
                Err(error) => {
                    let fault = fault(error);
                    let since = *failing.get_or_insert_with(Instant::now);
                    if fault.is_transient() && since.elapsed() < POLL_PATIENCE {
                        continue;
                    }
                    return Err(Ended::Unknown(self.explain(fault, "watch a statement in Athena")));
                }
            };
            failing = None;
            let status = answer.query_execution.and_then(|execution| execution.status);
            let Some(status) = status else { continue };
            let reason =
                || status.state_change_reason.clone().unwrap_or_else(|| "no reason given".to_owned());
            match status.state {
                Some(QueryExecutionState::Succeeded) => return Ok(()),
                Some(QueryExecutionState::Failed) => {
                    let message = reason();
                    if message.contains(STALE) {
                        return Err(Ended::Stale);
                    }
                    let said = status.athena_error.as_ref().is_some_and(|error| error.retryable);
                    let transient = said || TRANSIENT.iter().any(|name| message.contains(name));
                    return Err(Ended::Failed { message: format!("{message} (query {id})"), transient });
                }
                Some(QueryExecutionState::Cancelled) => {
                    let message = format!("somebody cancelled it: {} (query {id})", reason());
                    return Err(Ended::Failed { message, transient: false });
                }
                _ => {}
            }
        }
        let minutes = TIMEOUT.as_secs() / 60;
        Err(Ended::Unknown(failed(
            format!(
                "a statement took more than {minutes} minutes and was stopped (query {id}); write fewer rows in one commit, or ask AWS for more capacity"
            ),
            true,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_the_length_that_athena_takes() {
        assert_eq!(token("a").len(), 64);
        assert_eq!(token("a"), token("a"));
        assert_ne!(token("a"), token("b"));
    }
}
