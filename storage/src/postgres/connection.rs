//! A session of the server: how it is opened, its settings, its time-outs.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::params::Target;
use super::tls;
use super::trouble::{Trouble, chain};
use crate::StorageError;

/// How long a statement waits for a lock. Other loads hold theirs as long as a
/// commit takes, which is well below it.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
/// How much longer than the server the client waits: then the server is gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// The oldest server that has what is used here.
const MIN_VERSION: i32 = 120_000;

/// Settings of every session.
///
/// - `idle_in_transaction_session_timeout`: transactions are only open while
///   commits are at work; whoever hangs in one is gone.
/// - `tcp_keepalives_…`: the server notices within a minute and a half that this
///   machine is gone, and frees the claim.
/// - `timezone`, `datestyle`, `standard_conforming_strings`: as the SQL here
///   takes for granted.
/// - `jit`: compiling costs more than it saves for statements like these.
const SETTINGS: &str = "
    SET idle_in_transaction_session_timeout = '5min';
    SET tcp_keepalives_idle = 60;
    SET tcp_keepalives_interval = 10;
    SET tcp_keepalives_count = 3;
    SET timezone = 'UTC';
    SET datestyle = 'ISO, YMD';
    SET standard_conforming_strings = on;
    SET client_min_messages = warning;
    SET jit = off;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
";

/// A server's sessions, and the runtime that they run on.
pub(super) struct Server {
    /// None once it is shut down.
    runtime: Option<Runtime>,
    pub(super) target: Arc<Target>,
    connector: MakeRustlsConnect,
    waited: Duration,
}

impl Server {
    pub(super) fn new(target: Target) -> Result<Self, StorageError> {
        let connector = tls::connector(&target)?;
        // One thread, so that rows are sent while the next ones are made.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("ow-postgres")
            .enable_all()
            .build()
            .map_err(|error| StorageError::Failed {
                message: format!("a thread for the connection could not be started: {error}"),
                retryable: true,
            })?;
        Ok(Self { runtime: Some(runtime), target: Arc::new(target), connector, waited: Duration::ZERO })
    }

    /// Opens a session.
    pub(super) fn connect(&mut self, name: &str) -> Result<Session, StorageError> {
        let (target, connector) = (Arc::clone(&self.target), self.connector.clone());
        self.wait(Session::open(&target, connector, name)).map_err(|trouble| trouble.explain_connect(&target))
    }

    /// Waits for the server.
    pub(super) fn wait<T>(&mut self, future: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        let Some(runtime) = &self.runtime else { return Err(Trouble::Lost("it was closed".to_owned())) };
        let start = Instant::now();
        let result = runtime.block_on(future);
        self.waited += start.elapsed();
        result
    }

    /// Starts what is waited for later.
    pub(super) fn start<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T, Trouble>> + Send + 'static,
    ) -> Option<tokio::task::JoinHandle<Result<T, Trouble>>> {
        self.runtime.as_ref().map(|runtime| runtime.spawn(future))
    }

    /// How long the server was waited for.
    pub(super) fn waited(&self) -> Duration {
        self.waited
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Does not wait for a look-up of a name, nor for a server that hangs.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Parameters of a statement.
pub(super) type Params<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// A session. Every request ends in bounded time.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) client: Arc<Client>,
    /// Why the session is over, where that is known.
    ended: Arc<OnceLock<String>>,
    limit: Option<Duration>,
    /// The server process, and when it started: the pair is unique.
    pub(super) process: (i32, String),
    /// The server's version, such as 150018.
    pub(super) version: i32,
}

impl Session {
    async fn open(target: &Target, connector: MakeRustlsConnect, name: &str) -> Result<Self, Trouble> {
        let hosts = target.config.get_hosts().len().max(1);
        let limit = target.connect_timeout.saturating_mul(u32::try_from(hosts).unwrap_or(u32::MAX));
        tokio::time::timeout(limit, Self::establish(target, connector, name))
            .await
            .unwrap_or(Err(Trouble::Silent(limit)))
    }

    async fn establish(target: &Target, connector: MakeRustlsConnect, name: &str) -> Result<Self, Trouble> {
        let mut config = target.config.clone();
        if config.get_application_name().is_none() {
            config.application_name(name);
        }
        let (client, connection) = config.connect(connector).await?;
        let ended = Arc::new(OnceLock::new());
        let slot = Arc::clone(&ended);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                let _ = slot.set(chain(&error));
            }
        });
        let limit = target.statement_timeout.map(|limit| limit.saturating_add(PATIENCE));
        let mut session =
            Self { client: Arc::new(client), ended, limit, process: (0, String::new()), version: 0 };
        session.prepare(target).await?;
        Ok(session)
    }

    async fn prepare(&mut self, target: &Target) -> Result<(), Trouble> {
        let statement = target.statement_timeout.map_or(0, |limit| limit.as_millis());
        let lock = LOCK_TIMEOUT.as_millis();
        self.batch(&format!("{SETTINGS} SET statement_timeout = {statement}; SET lock_timeout = {lock};"))
            .await?;
        let row = self
            .row(
                "SELECT pg_backend_pid(), backend_start::text, current_setting('server_version_num')::int4, current_setting('server_version')
                 FROM pg_stat_activity WHERE pid = pg_backend_pid()",
                &[],
            )
            .await?;
        self.process = (row.try_get(0)?, row.try_get::<_, Option<String>>(1)?.unwrap_or_default());
        self.version = row.try_get(2)?;
        if self.version < MIN_VERSION {
            return Err(Trouble::Storage(StorageError::Config {
                message: format!(
                    "{} is PostgreSQL {}, and 12 is the oldest that can be written to",
                    target.place,
                    row.try_get::<_, String>(3)?
                ),
                parameter: None,
            }));
        }
        if self.version >= 140_000 {
            // Not on every platform: it only makes a claim that nobody holds end
            // sooner, when the server is in the middle of a statement.
            let _ = self.batch("SET client_connection_check_interval = '1s'").await;
            self.batch("SET idle_session_timeout = 0").await?;
        }
        Ok(())
    }

    /// Runs a request within its time.
    pub(super) async fn within<T>(
        &self,
        request: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Trouble> {
        let result = match self.limit {
            Some(limit) => tokio::time::timeout(limit, request).await.map_err(|_| Trouble::Silent(limit))?,
            None => request.await,
        };
        match result {
            Err(error) if error.as_db_error().is_none() => {
                let why = self.ended.get().cloned().unwrap_or_else(|| chain(&error));
                Err(Trouble::Lost(why))
            }
            result => Ok(result?),
        }
    }

    /// Runs statements that have no parameters.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), Trouble> {
        self.within(self.client.batch_execute(sql)).await
    }

    pub(super) async fn rows(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Trouble> {
        self.within(self.client.query_typed(sql, params)).await
    }

    pub(super) async fn optional(&self, sql: &str, params: Params<'_>) -> Result<Option<Row>, Trouble> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    pub(super) async fn row(&self, sql: &str, params: Params<'_>) -> Result<Row, Trouble> {
        let row = self.optional(sql, params).await?;
        row.ok_or_else(|| Trouble::internal("the server answered no row where there is always one"))
    }

    pub(super) async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64, Trouble> {
        self.within(self.client.execute_typed(sql, params)).await
    }

    /// Whether the session is gone or cannot be used any more.
    pub(super) fn is_lost(&self) -> bool {
        self.ended.get().is_some() || self.client.is_closed()
    }

    /// Drops what the open transaction did.
    pub(super) async fn roll_back(&self) {
        // Without one, the server only warns.
        let _ = self.batch("ROLLBACK").await;
    }
}
