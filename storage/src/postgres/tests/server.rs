//! A PostgreSQL server that ends with the tests, however they end.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// How long a server may take to start: 0.2 seconds are usual.
const TRIES: u32 = 600;

/// Ends the server and clears away when its input ends: with the process of the
/// tests, even if that is killed.
const WATCH: &str = r#"
    "$@" >>"$0/log" 2>&1 </dev/null &
    server=$!
    read -r word
    kill -QUIT $server
    wait $server
    if [ "$word" != keep ]; then rm -rf "$0"; fi
"#;

/// A server of its own folder.
pub(super) struct Server {
    pub(super) folder: PathBuf,
    pub(super) port: u16,
    /// With TLS it lets nobody in by TCP without.
    tls: bool,
    watch: Option<Child>,
}

/// The server that most tests share, or none where PostgreSQL is not installed.
pub(super) fn shared() -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    SHARED.get_or_init(|| Server::new(true)).as_ref()
}

/// The folder of PostgreSQL's programs.
fn programs() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    versions.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    versions.reverse();
    versions.extend(std::env::split_paths(&path));
    versions
        .into_iter()
        .find(|folder| ["initdb", "postgres", "psql"].iter().all(|name| folder.join(name).is_file()))
}

/// Says that a test was skipped; fails where it must not be.
fn skip() {
    assert!(
        std::env::var_os("OW_TEST_REQUIRE_POSTGRES").is_none(),
        "PostgreSQL is not installed, and OW_TEST_REQUIRE_POSTGRES is set"
    );
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    // Not `eprintln`, which the test harness keeps to itself.
    let _ = writeln!(std::io::stderr(), "skipped: no PostgreSQL: {name}");
}

impl Server {
    /// Makes and starts a server; none, and a word, where it is not installed.
    pub(super) fn new(tls: bool) -> Option<Self> {
        let Some(programs) = programs() else {
            skip();
            return None;
        };
        let folder = tempfile::Builder::new().prefix("ow-pg-").tempdir().unwrap().keep();
        if is_root() {
            run(Command::new("chown").arg("nobody").arg(&folder));
        }
        let data = folder.join("data");
        let mut initdb = unprivileged(&programs.join("initdb"));
        initdb.args(["--no-sync", "--auth=trust", "--username=admin", "--encoding=UTF8", "--locale=C.UTF-8"]);
        run(initdb.arg("--pgdata").arg(&data));
        let kind = if tls { "hostssl" } else { "host" };
        let rules = format!("local all all trust\n{kind} all all 127.0.0.1/32 scram-sha-256\n");
        std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
        certify(&folder);
        let mut server = Self { folder, port: 0, tls, watch: None };
        server.start();
        server.sql("postgres", "CREATE ROLE loader LOGIN PASSWORD 'secret-9'");
        Some(server)
    }

    /// Starts the server on a port that is free.
    pub(super) fn start(&mut self) {
        self.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let programs = programs().unwrap();
        let server = unprivileged(&programs.join("postgres"));
        let mut watch = Command::new("sh");
        watch.args(["-c", WATCH]).arg(&self.folder).arg(server.get_program()).args(server.get_args());
        watch.arg("-D").arg(self.folder.join("data"));
        let socket = format!("unix_socket_directories={}", self.folder.display());
        let port = format!("port={}", self.port);
        let certificate = format!("ssl_cert_file={}/server.crt", self.folder.display());
        let key = format!("ssl_key_file={}/server.key", self.folder.display());
        let settings = [
            "listen_addresses=127.0.0.1",
            "fsync=off",
            "max_connections=60",
            "shared_buffers=64MB",
            "deadlock_timeout=200ms",
            if self.tls { "ssl=on" } else { "ssl=off" },
        ];
        for setting in settings.into_iter().chain([&*socket, &port, &certificate, &key]) {
            watch.args(["-c", setting]);
        }
        watch.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.watch = Some(watch.spawn().unwrap());
        let mut tries = 0;
        while self.psql("postgres", "SELECT 1").is_err() {
            tries += 1;
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(tries < TRIES, "the server did not start: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends the server as a crash would: at once, nothing is written.
    pub(super) fn crash(&mut self) {
        let mut watch = self.watch.take().unwrap();
        watch.stdin.take().unwrap().write_all(b"keep\n").unwrap();
        watch.wait().unwrap();
    }

    /// A new database that belongs to the user `loader`.
    pub(super) fn database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER loader"));
        name
    }

    /// Runs SQL as the superuser, by another program; answers the rows.
    pub(super) fn sql(&self, database: &str, sql: &str) -> Vec<String> {
        self.psql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn psql(&self, database: &str, sql: &str) -> Result<Vec<String>, String> {
        let mut psql = Command::new(programs().unwrap().join("psql"));
        psql.args(["-XAtq", "-F", " ", "-P", "null=null", "-v", "ON_ERROR_STOP=1", "-U", "admin"]);
        psql.arg("-h").arg(&self.folder).args(["-p", &self.port.to_string(), "-d", database, "-c", sql]);
        let done = psql.env("PGOPTIONS", "-c timezone=UTC -c client_min_messages=error").output().unwrap();
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).into_owned());
        }
        Ok(String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut watch) = self.watch.take() {
            drop(watch.stdin.take());
            let _ = watch.wait();
        }
    }
}

/// Makes an authority, and a certificate of it for `localhost`.
fn certify(folder: &Path) {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&key).unwrap();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("root.crt"), root.pem()).unwrap();
    std::fs::write(folder.join("server.crt"), leaf.pem()).unwrap();
    std::fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
    run(Command::new("chmod").arg("600").arg(folder.join("server.key")));
    if is_root() {
        run(Command::new("chown").arg("nobody").arg(folder.join("server.key")));
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

/// A program of PostgreSQL, which refuses to run as root.
fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(program);
    command
}

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
