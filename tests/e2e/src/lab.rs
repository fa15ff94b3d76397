//! A folder in which the command runs, with nothing of this machine in its
//! environment; and what came of it.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use regex::Regex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::{build, isolation};

/// After this a command is killed and its test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with the test guest in it as `guest.wasm`.
pub struct Lab {
    folder: TempDir,
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Lab {
    /// A fresh folder.
    #[must_use]
    pub fn new() -> Self {
        if build::is_isolated() {
            isolation::or_exit();
        }
        let lab = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(lab.path("tmp")).unwrap();
        lab.take(build::test_guest(), "guest.wasm");
        lab
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Brings a file into the folder.
    pub fn take(&self, file: &Path, name: &str) {
        let there = self.path(name);
        std::fs::hard_link(file, &there).or_else(|_| std::fs::copy(file, &there).map(drop)).unwrap();
    }

    /// Writes a file of the folder, for its owner alone: it may hold secrets.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Reads a file of the folder.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Writes `cfg.json`: these parameters, and a database `out.db`.
    pub fn configure(&self, parameters: &Value) {
        self.write("cfg.json", configuration(parameters).to_string());
    }

    /// Runs the test guest with a behaviour and parameters.
    #[must_use]
    pub fn run(&self, behaviour: &str, parameters: Value) -> Outcome {
        self.run_with(behaviour, parameters, &[])
    }

    /// Runs the test guest with a behaviour, parameters and flags.
    #[must_use]
    pub fn run_with(&self, behaviour: &str, parameters: Value, flags: &[&str]) -> Outcome {
        self.running(behaviour, parameters, flags).wait()
    }

    /// Runs the test guest with steps, one after another.
    #[must_use]
    pub fn script(&self, steps: Value, flags: &[&str]) -> Outcome {
        self.run_with("script", json!({ "Steps": steps }), flags)
    }

    /// Starts a run.
    #[must_use]
    pub fn running(&self, behaviour: &str, parameters: Value, flags: &[&str]) -> Running {
        let Value::Object(mut parameters) = parameters else { panic!("parameters are an object") };
        parameters.insert("Behaviour".to_owned(), behaviour.into());
        self.configure(&Value::Object(parameters));
        self.start("guest.wasm", flags)
    }

    /// Starts a run of a component with `cfg.json`, and its events as JSON.
    #[must_use]
    pub fn start(&self, component: &str, flags: &[&str]) -> Running {
        let mut arguments = vec!["run", component, "--config", "cfg.json", "--output", "json"];
        arguments.extend(flags);
        self.command(&arguments).start()
    }

    /// Runs a component with `cfg.json`.
    #[must_use]
    pub fn run_component(&self, component: &str, flags: &[&str]) -> Outcome {
        self.start(component, flags).wait()
    }

    /// Any command.
    #[must_use]
    pub fn ow_host(&self, arguments: &[&str]) -> Outcome {
        self.command(arguments).start().wait()
    }

    /// Any command, to be changed before it starts. Those that compile keep the
    /// result for the other tests.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Prepared {
        let mut command = Command::new(build::host());
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        let runs = arguments
            .first()
            .is_some_and(|verb| ["run", "check", "discover", "preview", "inspect"].contains(verb));
        if runs && build::is_isolated() {
            command.args(["--isolation", "process"]);
        }
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path()).env("TMPDIR", self.path("tmp"));
        command.env("XDG_CACHE_HOME", cache());
        Prepared { command, input: None, folder: self.folder.path().to_owned() }
    }

    /// The state as `ow-host state show` tells it.
    #[must_use]
    pub fn state(&self) -> Value {
        let shown = self.ow_host(&["state", "show", "--config", "cfg.json"]).success();
        serde_json::from_str(&shown.stdout).unwrap()
    }

    /// The database, to be read.
    #[must_use]
    pub fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open_with_flags(self.path("out.db"), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
            .unwrap()
    }

    /// The rows of a query, one a line, values separated by `|`; or why there
    /// are none.
    #[must_use]
    pub fn query(&self, sql: &str) -> String {
        let rows = || -> rusqlite::Result<String> {
            let database = self.database();
            let mut statement = database.prepare(sql)?;
            let columns = statement.column_count();
            let mut rows = statement.query([])?;
            let mut text = String::new();
            while let Some(row) = rows.next()? {
                let values: Vec<String> = (0..columns).map(|n| shown(row.get_ref(n).unwrap())).collect();
                let _ = writeln!(text, "{}", values.join("|"));
            }
            Ok(text.trim_end_matches('\n').to_owned())
        };
        self.clean(&rows().unwrap_or_else(|error| error.to_string()))
    }

    /// What the guest found out.
    #[must_use]
    pub fn seen(&self) -> String {
        self.query("SELECT name, value FROM seen ORDER BY rowid")
    }

    /// A text without what differs from run to run.
    #[must_use]
    pub fn clean(&self, text: &str) -> String {
        clean(text, self.folder.path())
    }
}

/// A configuration with these parameters of the source, and the database
/// `out.db`.
#[must_use]
pub fn configuration(parameters: &Value) -> Value {
    let parameters = parameters.as_object().expect("parameters are an object").iter();
    let parameters: Map<String, Value> =
        parameters.map(|(name, value)| (name.clone(), json!({ "value": value }))).collect();
    json!({
        "name": "mart",
        "source": { "name": "Test", "config": parameters },
        "storage": { "name": "Sqlite", "config": { "Path": { "value": "out.db" } } },
    })
}

/// Where the tests keep compiled components.
#[must_use]
pub fn cache() -> PathBuf {
    build::kept_folder().join("cache")
}

fn shown(value: rusqlite::types::ValueRef<'_>) -> String {
    use rusqlite::types::ValueRef;
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(n) => format!("{n:?}"),
        ValueRef::Text(text) => String::from_utf8_lossy(text).replace('\0', "\\0"),
        ValueRef::Blob(bytes) => {
            format!("x'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        }
    }
}

/// A command that can still be changed.
pub struct Prepared {
    command: Command,
    input: Option<Vec<u8>>,
    folder: PathBuf,
}

impl Prepared {
    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives it something to read.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Starts it.
    #[must_use]
    pub fn start(mut self) -> Running {
        let stdin = if self.input.is_some() { Stdio::piped() } else { Stdio::null() };
        self.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), self.input) {
            std::thread::spawn(move || stdin.write_all(&input));
        }
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        Running { child, output: Some([stdout, stderr]), folder: self.folder, started: Instant::now() }
    }
}

fn collect(mut from: impl Read + Send + 'static) -> Collected {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let into = std::sync::Arc::clone(&seen);
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            into.lock().unwrap().extend_from_slice(&buffer[..n]);
        }
    });
    Collected { seen, thread }
}

struct Collected {
    seen: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Collected {
    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    fn whole(self) -> String {
        let Self { seen, thread } = self;
        thread.join().unwrap();
        String::from_utf8(std::mem::take(&mut seen.lock().unwrap())).expect("output is UTF-8")
    }
}

/// A command under way. Killed if it is dropped.
pub struct Running {
    child: Child,
    output: Option<[Collected; 2]>,
    folder: PathBuf,
    started: Instant,
}

impl Running {
    /// The process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    #[must_use]
    pub fn wait(mut self) -> Outcome {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.started.elapsed() > PATIENCE {
                let _ = self.child.kill();
                let [stdout, stderr] = self.output.take().unwrap().map(Collected::whole);
                panic!("the command took longer than {PATIENCE:?}\n{stdout}\n{stderr}");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let [stdout, stderr] = self.output.take().unwrap().map(Collected::whole);
        Outcome { code: status.code(), stdout, stderr, folder: self.folder.clone() }
    }

    /// Waits until its output has a text.
    pub fn wait_for(&self, text: &str) {
        let [stdout, stderr] = self.output.as_ref().unwrap();
        while !stdout.so_far().contains(text) && !stderr.so_far().contains(text) {
            let told = || format!("{}\n{}", stdout.so_far(), stderr.so_far());
            assert!(self.started.elapsed() < PATIENCE, "'{text}' did not come\n{}", told());
            assert!(!stdout.thread.is_finished(), "the command ended without '{text}'\n{}", told());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        assert!(self.started.elapsed() < PATIENCE, "the command took longer than {PATIENCE:?}");
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    folder: PathBuf,
}

impl Outcome {
    /// Fails the test unless the command succeeded.
    #[must_use]
    pub fn success(self) -> Self {
        self.expect_success();
        self
    }

    /// Fails the test unless the command succeeded.
    pub fn expect_success(&self) {
        assert_eq!(self.code, Some(0), "\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
    }

    /// Fails the test unless the command failed and said this on standard error.
    pub fn failure_text(&self, text: &str) {
        assert_ne!(self.code, Some(0), "{}", self.stdout);
        assert!(self.stderr.contains(text), "'{text}' is not in: {}", self.stderr);
    }

    /// The events of a run: standard output must be JSON lines and nothing else.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// The events of a kind.
    #[must_use]
    pub fn events_of(&self, kind: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["event"] == kind).collect()
    }

    /// The last event: the report.
    #[must_use]
    pub fn report(&self) -> Value {
        let last = self.events().pop().unwrap_or_else(|| panic!("no events: {}", self.stderr));
        assert_eq!(last["event"], "finished", "{}", self.stderr);
        assert_eq!(last["exit_code"].as_i64(), self.code.map(i64::from));
        last
    }

    /// Exit code, class, message and hint of what went wrong, without what
    /// differs from run to run.
    #[must_use]
    pub fn failure(&self) -> String {
        let last = self.events().pop().unwrap_or_else(|| panic!("no output: {}", self.stderr));
        let failure = &last["failure"];
        let text = |key: &str| failure[key].as_str().map(str::to_owned);
        let class = text("class").unwrap_or_else(|| "no failure".to_owned());
        let retryable = if failure["retryable"] == true { ", retryable" } else { "" };
        let mut told = format!(
            "{} {class}{retryable}: {}",
            self.code.unwrap_or(-1),
            text("message").unwrap_or_default()
        );
        for (name, key) in [("at", "parameter"), ("hint", "hint")] {
            if let Some(text) = text(key) {
                let _ = write!(told, "\n{name}: {text}");
            }
        }
        clean(&told, &self.folder)
    }

    /// What was logged: level, source and text a line. The host's debug lines
    /// are left out.
    #[must_use]
    pub fn log(&self) -> String {
        let lines =
            self.events_of("log").into_iter().filter(|event| event["level"] != "debug").map(|event| {
                let fields: String = event["fields"].as_array().into_iter().flatten().fold(
                    String::new(),
                    |mut text, field| {
                        let _ =
                            write!(text, " {}={}", field[0].as_str().unwrap(), field[1].as_str().unwrap());
                        text
                    },
                );
                let text = |key: &str| event[key].as_str().unwrap().to_owned();
                format!("{} {}: {}{fields}", text("level"), text("source"), text("message"))
            });
        clean(&lines.collect::<Vec<_>>().join("\n"), &self.folder)
    }

    /// What was refused, and how often.
    #[must_use]
    pub fn denied(&self) -> String {
        let report = self.report();
        let lines = report["denied"].as_array().unwrap().iter().map(|denied| {
            let text = |key: &str| denied[key].as_str().unwrap_or("-").to_owned();
            format!("{} x {}: {}; {}", denied["count"], text("attempt"), text("reason"), text("grant"))
        });
        clean(&lines.collect::<Vec<_>>().join("\n"), &self.folder)
    }

    /// Standard output and standard error of a command in text mode.
    #[must_use]
    pub fn text(&self) -> String {
        let code = self.code.unwrap_or(-1);
        clean(&format!("exit {code}\n--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr), &self.folder)
    }
}

/// Replaces what differs from run to run.
#[must_use]
pub fn clean(text: &str, folder: &Path) -> String {
    static FILTERS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let filters = [
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[RUN]"),
            (r"\b[0-9a-f]{64}\b", "[DIGEST]"),
            (r"OWSECRET[0-9a-f]{32}", "[PLACEHOLDER]"),
            (r"(127\.0\.0\.1|localhost):\d+", "$1:[PORT]"),
            (r"\bprocess \d+", "process [PID]"),
            (r"\d+(\.\d+)? (ms|s) of processor time, .* in all", "[TIME] of processor time, [TIME] in all"),
            (r"\d+(\.\d+)? [KMG]iB at most", "[SIZE] at most"),
            (r"rows, [0-9.]+ [KMG]?i?B", "rows, [SIZE]"),
            (r"asked for \d+ bytes", "asked for [N] bytes"),
            (r"\d+\.\.\d+ is out of bounds \(bound = \d+\)", "[RANGE] is out of bounds"),
            (r"ow-host-scratch-\w+", "ow-host-scratch-[NAME]"),
            (r"\.rs:\d+:\d+", ".rs:[LINE]"),
        ];
        filters.into_iter().map(|(pattern, with)| (Regex::new(pattern).unwrap(), with)).collect()
    });
    let mut text = text.to_owned();
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    for folder in [real.as_path(), folder] {
        text = text.replace(&folder.display().to_string(), "[DIR]");
    }
    FILTERS.iter().fold(text, |text, (pattern, with)| pattern.replace_all(&text, *with).into_owned())
}
