//! The parameters, and the one server that they mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio_postgres::config::{Config, Host, SslMode};

use super::identifier;
use crate::StorageError;
use crate::driver::Problem;

/// How long connecting may take.
const CONNECT_TIMEOUT: u64 = 30;
/// How long one statement may take: a merge of a very large commit is one.
const STATEMENT_TIMEOUT: u64 = 3600;
/// TCP keep-alive: a peer that is gone is noticed after a minute and a half.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
/// How long what was sent may stay unacknowledged.
const USER_TIMEOUT: Duration = Duration::from_secs(90);
/// What the driver takes where a connection string says nothing.
const DRIVERS_IDLE: Duration = Duration::from_secs(2 * 60 * 60);

/// A schema of a PostgreSQL database.
#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Parameters {
    /// The server: a name, an address, or the folder of its Unix socket, which
    /// starts with `/`.
    host: Option<String>,
    /// The server's port.
    #[schemars(extend("default" = 5432))]
    port: Option<u16>,
    /// The database.
    database: Option<String>,
    /// The user to log in as.
    user: Option<String>,
    /// The user's password, where the server asks for one.
    #[schemars(extend("writeOnly" = true))]
    password: Option<String>,
    /// Instead of `Host`, `Port`, `Database` and `User`: such as
    /// `postgresql://user:password@host:5432/database?sslmode=verify-full`.
    #[schemars(extend("writeOnly" = true))]
    connection_string: Option<String>,
    /// The schema that the tables are in. It is created where it is not there.
    schema: String,
    /// What the name of every table starts with, such as `ads_`.
    table_prefix: String,
    /// Whether the connection is encrypted, and how the server is checked.
    /// Without it: `verify-full` with `SslRootCert`; else `prefer` for sockets and
    /// loopback addresses, `require` for all others.
    #[schemars(extend("enum" = ["disable", "prefer", "require", "verify-ca", "verify-full"]))]
    ssl_mode: Option<String>,
    /// A PEM file with the certificates of the authorities that the server's
    /// certificate may come from. Without it `verify-full` trusts those of the
    /// system. A relative path starts at the folder of the configuration file.
    ssl_root_cert: Option<String>,
    /// Seconds that connecting may take.
    connect_timeout: u64,
    /// Seconds that one statement may take; 0 for no limit.
    statement_timeout: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            host: None,
            port: None,
            database: None,
            user: None,
            password: None,
            connection_string: None,
            schema: "public".to_owned(),
            table_prefix: String::new(),
            ssl_mode: None,
            ssl_root_cert: None,
            connect_timeout: CONNECT_TIMEOUT,
            statement_timeout: STATEMENT_TIMEOUT,
        }
    }
}

/// How much of the server's certificate is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    /// Nothing: the connection is encrypted for whoever answers.
    Nothing,
    /// That an authority of this file signed it.
    Authority(PathBuf),
    /// That an authority signed it, of this file or of the system's, for the
    /// name of the host.
    Full(Option<PathBuf>),
}

/// The server, database and schema that the parameters mean. Holds the password:
/// no `Debug`.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) config: Config,
    pub(super) check: Check,
    pub(super) schema: String,
    pub(super) prefix: String,
    pub(super) user: String,
    pub(super) connect_timeout: Duration,
    pub(super) statement_timeout: Option<Duration>,
    /// The database and the server, for messages.
    pub(super) place: String,
}

impl Target {
    /// A name of a table in the schema, as SQL takes it.
    pub(super) fn table(&self, name: &str) -> String {
        format!("{}.{}", identifier::quote(&self.schema), identifier::quote(name))
    }
}

fn problem(parameter: &str, message: impl Into<String>) -> Problem {
    (Some(parameter.to_owned()), message.into())
}

impl Parameters {
    /// What is wrong with the parameters, everything at once.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Err(found) = self.config() {
            problems.extend(found);
        } else if let Err(found) = self.target(Path::new("")) {
            problems.push(found);
        }
        let schema = identifier::flaw(&self.schema).or_else(|| {
            self.schema
                .starts_with("pg_")
                .then(|| "starts with `pg_`, which PostgreSQL keeps for itself".to_owned())
        });
        if let Some(reason) = schema {
            problems.push(problem("Schema", format!("`Schema` {reason}; choose another one")));
        }
        if let Some(reason) = identifier::reserved(&self.table_prefix) {
            problems.push(problem("TablePrefix", format!("`TablePrefix` {reason}; choose another one")));
        }
        problems
    }

    /// The server that is meant; relative paths start at `base_dir`.
    pub(super) fn target(self: &Parameters, base_dir: &Path) -> Result<Target, Problem> {
        let (mut config, string_mode, string_root) =
            self.config().map_err(|problems| problems.into_iter().next().unwrap_or_default())?;
        let root = self.ssl_root_cert.clone().or(string_root).filter(|root| root != "system");
        let root = root.map(|root| base_dir.join(root));
        let mode = self.ssl_mode.clone().or(string_mode);
        let check = self.tls(&mut config, mode.as_deref(), root)?;
        let place = place(&config);
        Ok(Target {
            check,
            schema: self.schema.clone(),
            prefix: self.table_prefix.clone(),
            user: config.get_user().unwrap_or_default().to_owned(),
            connect_timeout: Duration::from_secs(self.connect_timeout.max(1)),
            statement_timeout: (self.statement_timeout > 0)
                .then(|| Duration::from_secs(self.statement_timeout)),
            place,
            config,
        })
    }

    /// How to connect, and `sslmode` and `sslrootcert` of the connection string.
    fn config(&self) -> Result<(Config, Option<String>, Option<String>), Vec<Problem>> {
        let (mut config, mode, root) = match &self.connection_string {
            Some(text) => self.string(text).map_err(|problem| vec![problem])?,
            None => (self.parts()?, None, None),
        };
        if let Some(password) = &self.password {
            config.password(password);
        }
        config.connect_timeout(Duration::from_secs(self.connect_timeout.max(1)));
        if config.get_keepalives_idle() == DRIVERS_IDLE {
            config.keepalives_idle(KEEPALIVE_IDLE);
        }
        if config.get_keepalives_interval().is_none() {
            config.keepalives_interval(KEEPALIVE_INTERVAL);
        }
        if config.get_keepalives_retries().is_none() {
            config.keepalives_retries(KEEPALIVE_RETRIES);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(USER_TIMEOUT);
        }
        Ok((config, mode, root))
    }

    fn parts(&self) -> Result<Config, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut take = |name: &str, value: &Option<String>| {
            let value = value.clone().filter(|value| !value.is_empty());
            match &value {
                None => problems.push(problem(
                    name,
                    format!("storage Postgres needs parameter `{name}` (or `ConnectionString`)"),
                )),
                Some(text) if text.contains('\0') => {
                    problems.push(problem(name, format!("`{name}` has a NUL character in it")));
                }
                Some(_) => {}
            }
            value.unwrap_or_default()
        };
        let (host, database, user) =
            (take("Host", &self.host), take("Database", &self.database), take("User", &self.user));
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut config = Config::new();
        config.host(host).port(self.port.unwrap_or(5432)).dbname(database).user(user);
        Ok(config)
    }

    fn string(&self, text: &str) -> Result<(Config, Option<String>, Option<String>), Problem> {
        let same = [("Host", &self.host), ("Database", &self.database), ("User", &self.user)];
        let double = same.iter().find(|(_, value)| value.is_some()).map(|(name, _)| *name);
        if let Some(name) = double.or(self.port.map(|_| "Port")) {
            return Err(problem(
                name,
                format!("`{name}` and `ConnectionString` say the same thing; remove one of them"),
            ));
        }
        let bad = |what: &str| {
            problem(
                "ConnectionString",
                format!(
                    "`ConnectionString` {what}; write it as postgresql://user:password@host:5432/database"
                ),
            )
        };
        if !["postgresql://", "postgres://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Err(bad("does not start with `postgresql://`"));
        }
        let (rest, mode, root) = take_tls(text);
        // What the driver says of it may hold parts of the password.
        let config: Config = rest.parse().map_err(|_| {
            bad("cannot be read, or has an option that is not supported (percent-encode special characters)")
        })?;
        if config.get_user().is_none() {
            return Err(bad("names no user"));
        }
        if config.get_dbname().is_none() {
            return Err(bad("names no database"));
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(bad("names no host"));
        }
        Ok((config, mode, root))
    }

    /// Sets the mode of the connection; answers what is to be checked.
    fn tls(&self, config: &mut Config, mode: Option<&str>, root: Option<PathBuf>) -> Result<Check, Problem> {
        let mode = match mode {
            Some(mode) => mode,
            None if root.is_some() => "verify-full",
            None if is_local(config) => "prefer",
            None => "require",
        };
        let (ssl_mode, check) = match (mode, root) {
            ("disable", _) => (SslMode::Disable, Check::Nothing),
            ("prefer", _) => (SslMode::Prefer, Check::Nothing),
            ("require", None) => (SslMode::Require, Check::Nothing),
            // As libpq has it: an authority that is named is asked for.
            ("require" | "verify-ca", Some(root)) => (SslMode::Require, Check::Authority(root)),
            ("verify-ca", None) => {
                return Err(problem(
                    "SslMode",
                    "`SslMode` is `verify-ca` without `SslRootCert`, so that every certificate of a public authority would do; set `SslRootCert`, or use `verify-full`",
                ));
            }
            ("verify-full", root) => (SslMode::Require, Check::Full(root)),
            (other, _) => {
                return Err(problem(
                    "ConnectionString",
                    format!(
                        "sslmode `{}` of `ConnectionString` is not supported; use disable, prefer, require, verify-ca or verify-full",
                        other.escape_debug()
                    ),
                ));
            }
        };
        // There is no TLS on Unix sockets.
        config.ssl_mode(if is_unix(config) { SslMode::Disable } else { ssl_mode });
        Ok(check)
    }
}

/// Takes `sslmode` and `sslrootcert` out of a connection string: the driver does
/// not know all of their values.
fn take_tls(text: &str) -> (String, Option<String>, Option<String>) {
    // The query starts after the credentials, which may hold a question mark.
    let host = text.find('@').unwrap_or_default();
    let Some(query) = text.get(host..).and_then(|rest| rest.find('?')).map(|at| host + at) else {
        return (text.to_owned(), None, None);
    };
    let (base, query) = text.split_at(query);
    let (mut mode, mut root, mut kept) = (None, None, Vec::new());
    for pair in query.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty()) {
        let decoded = pair.replace('+', "%2B");
        let value =
            url::form_urlencoded::parse(decoded.as_bytes()).next().map(|(_, value)| value.into_owned());
        match pair.split('=').next() {
            Some("sslmode") => mode = value,
            Some("sslrootcert") => root = value,
            _ => kept.push(pair),
        }
    }
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    (format!("{base}{query}"), mode, root)
}

fn is_unix(config: &Config) -> bool {
    let hosts = config.get_hosts();
    !hosts.is_empty() && config.get_hostaddrs().is_empty() && hosts.iter().all(|host| !is_tcp(host))
}

fn is_tcp(host: &Host) -> bool {
    matches!(host, Host::Tcp(_))
}

/// Whether the connection stays on this machine.
fn is_local(config: &Config) -> bool {
    let addresses = config.get_hostaddrs();
    if !addresses.is_empty() {
        return addresses.iter().all(std::net::IpAddr::is_loopback);
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name.eq_ignore_ascii_case("localhost")
                || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    })
}

/// What to call the database and its server.
fn place(config: &Config) -> String {
    let ports = config.get_ports();
    let hosts: Vec<_> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(folder) => folder.display().to_string(),
        })
        .chain(
            config.get_hostaddrs().iter().filter(|_| config.get_hosts().is_empty()).map(ToString::to_string),
        )
        .enumerate()
        .map(|(index, host)| {
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
            format!("{host}:{port}")
        })
        .collect();
    format!("database `{}` at {}", config.get_dbname().unwrap_or_default(), hosts.join(", "))
}

/// A problem as the failure of a step.
pub(super) fn failure((parameter, message): Problem) -> StorageError {
    StorageError::Config { message, parameter }
}
