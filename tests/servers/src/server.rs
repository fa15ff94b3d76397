//! Servers that the tests start: each once a process unless a test wants one of
//! its own, and gone with the process however it ends, because they wait for the
//! end of their stdin.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

/// What a machine lacks for a kind of storage.
#[derive(Debug, Clone)]
pub struct Missing {
    /// What it is.
    pub what: String,
    /// Whether its lack is a failure here.
    pub required: bool,
}

/// A process that lives as long as this value, and no longer than this process.
#[derive(Debug)]
pub struct Server {
    process: Child,
    /// Where it listens, as it said itself.
    pub address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its stdin is the sign to stop.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Python with the packages of `tests/cloud`, or what is missing.
pub fn python() -> Result<&'static Path, Missing> {
    static PYTHON: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        std::env::var_os("OW_TEST_PYTHON").filter(|path| !path.is_empty()).map(PathBuf::from)
    });
    PYTHON.as_deref().ok_or_else(|| Missing {
        what: "there is no Python for tests/cloud (OW_TEST_PYTHON; `make test` sets it)".to_owned(),
        required: is_set("OW_TEST_REQUIRE_CLOUD"),
    })
}

/// Whether a variable of the environment is 1.
#[must_use]
pub fn is_set(name: &str) -> bool {
    std::env::var(name).is_ok_and(|value| value == "1")
}

/// Starts a fake of `tests/cloud`.
pub fn start_fake(script: &str, arguments: &[&str]) -> Result<Server, Missing> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("cloud");
    let mut command = Command::new(python()?);
    // Nothing is compiled into the source folder.
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(folder.join(script));
    command.args(["--port", "0", "--until-eof"]).args(arguments);
    let mut process = start(&mut command);
    let line = first_line(&mut process);
    let ready: serde_json::Value = serde_json::from_str(&line)
        .unwrap_or_else(|error| panic!("{script} did not start: it said {line:?} ({error})"));
    let address = ready["listening"].as_str().expect("the fake's address").to_owned();
    Ok(Server { process, address })
}

/// A PostgreSQL server in a folder of its own, without a password; its address
/// is `127.0.0.1:PORT`.
pub fn start_postgres() -> Result<Server, Missing> {
    const SCRIPT: &str = include_str!("postgres.sh");
    // Whoever takes the port in between makes the start fail, so several are tried.
    let held: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<_> = held.iter().map(|port| port.local_addr().unwrap().port().to_string()).collect();
    drop(held);
    let mut process = start(Command::new("sh").args(["-c", SCRIPT, "postgres.sh"]).args(ports));
    match first_line(&mut process).trim() {
        "" => Err(Missing {
            what: "there is no PostgreSQL that starts (initdb, pg_ctl)".to_owned(),
            required: is_set("OW_TEST_REQUIRE_POSTGRES"),
        }),
        address => Ok(Server { process, address: address.to_owned() }),
    }
}

/// Says that the test of this thread is skipped, past the capture of output that
/// hides what passing tests print; fails where it must not be.
pub fn skip(missing: &Missing) {
    assert!(!missing.required, "this has to be tested here, but {}", missing.what);
    let line = format!("skipped {}: {}\n", std::thread::current().name().unwrap_or("a test"), missing.what);
    // At once, so that lines of two tests do not mix.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn start(command: &mut Command) -> Child {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} did not start: {error}"))
}

fn first_line(process: &mut Child) -> String {
    let mut line = String::new();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    // What it prints later is of no interest, but may not stop it.
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    line
}
