//! The folder in which a document's commands run: the demo's files, the
//! connectors, and a help desk for the authors' guide to fetch from.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use regex::Regex;

use crate::root;

/// The packages whose components the documents use.
const PACKAGES: [&str; 5] =
    ["payments-directory", "open-holidays", "bank-of-canada", "first-connector", "rest-connector"];

/// Where documents say that the help desk and the shop stand.
const DESK: &str = "localhost:8080";

/// A connector's component, built when it is first asked for.
#[must_use]
pub fn component(package: &str) -> &'static Path {
    static BUILT: LazyLock<Vec<PathBuf>> = LazyLock::new(|| e2e::build::guests(&PACKAGES));
    let index = PACKAGES.iter().position(|known| *known == package);
    &BUILT[index.unwrap_or_else(|| panic!("the documents use no '{package}'"))]
}

/// A folder with the files of a document.
pub struct Stage {
    folder: tempfile::TempDir,
    desk: u16,
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Stage {
    /// A folder with the demo's files and the components.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let demo = root().join("demo");
        copy(&demo.join("payments.json"), &folder.path().join("payments.json"));
        fs::create_dir(folder.path().join("payments")).unwrap();
        for entry in fs::read_dir(demo.join("payments")).unwrap() {
            let path = entry.unwrap().path();
            copy(&path, &folder.path().join("payments").join(path.file_name().unwrap()));
        }
        for package in PACKAGES {
            let component = component(package);
            copy(component, &folder.path().join(component.file_name().unwrap()));
        }
        Self { folder, desk: serve_desk() }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file that a document shows.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::write(&path, self.to_stage(text)).unwrap();
        // It may hold secrets.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Runs a line such as `TOKEN=x ow-host run …`; its output, and its exit code.
    ///
    /// # Panics
    ///
    /// If the command cannot be started.
    #[must_use]
    pub fn run(&self, command: &str) -> (String, i32) {
        let line = self.to_stage(command);
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let output = self.path().join(".output");
        let file = File::create(&output).unwrap();
        let mut process = Command::new(binary());
        while let Some((name, value)) = words.first().and_then(|word| word.split_once('=')) {
            process.env(name, value);
            words.remove(0);
        }
        assert_eq!(words.remove(0), "ow-host", "{command}");
        if let Some(at) = words.iter().position(|word| *word == ">") {
            words.truncate(at); // The output is for a file of the reader's.
        }
        let input = words.iter().position(|word| *word == "<");
        if let Some(at) = input {
            process.stdin(File::open(self.path().join(words[at + 1])).unwrap());
            words.drain(at..at + 2);
        }
        let status = std::os::unix::process::CommandExt::arg0(&mut process, "ow-host")
            .args(words.iter().map(|word| word.trim_matches('\'')))
            .current_dir(self.path())
            // Shared by all documents, so that each component is compiled once.
            .env("XDG_CACHE_HOME", e2e::build::kept_folder().join("docs-cache"))
            .env("NO_PROXY", "*")
            .stdout(Stdio::from(file.try_clone().unwrap()))
            .stderr(Stdio::from(file))
            .status()
            .unwrap();
        let text = fs::read_to_string(output).unwrap();
        (text.replace(&format!("localhost:{}", self.desk), DESK), status.code().unwrap_or(-1))
    }

    fn to_stage(&self, text: &str) -> String {
        text.replace(DESK, &format!("localhost:{}", self.desk))
    }
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
}

/// The command, built with these tests.
fn binary() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("ow-host-of-docs")
}

/// Output without what differs from run to run: names of runs, times, sizes.
#[must_use]
pub fn settled(text: &str) -> String {
    static CHANGES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let change = |pattern: &str, with| (Regex::new(pattern).unwrap(), with);
        vec![
            change("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "RUN"),
            change("[0-9a-f]{64}", "DIGEST"),
            // A slow machine tells progress.
            change(r#"(?m)^(\{"event":"progress".*|info: [\d,]+ rows, .* memory.*)\n"#, ""),
            change(r"\b(\d+ min )?\d+(\.\d+)? (ms|s)\b", "TIME"),
            change(r"\b\d+(\.\d+)? (KiB|MiB)", "SIZE"),
            change(r"SIZE \(\d+ bytes\)", "SIZE"),
            change(
                r#""(cpu_ms|storage_wait_ms|wall_ms|peak_memory|bytes|memory|size|request_bytes|response_bytes)":\d+"#,
                "\"$1\":N",
            ),
            change(r"asked for \d+ bytes", "asked for N bytes"),
            change(
                r"removed \d+ compiled components \(\d+ bytes\)",
                "removed N compiled components (N bytes)",
            ),
            change(r"from \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d", "from DAY to DAY"),
            change(r"@0\.2\.\d+", "@0.2.N"),
        ]
    });
    let lines = text.trim_end().lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    CHANGES.iter().fold(lines, |text, (pattern, with)| pattern.replace_all(&text, *with).into_owned())
}

/// Whether output is what a document shows; a line `...` there stands for any
/// number of lines.
#[must_use]
pub fn matches(shown: &str, output: &str) -> bool {
    fn go(shown: &[&str], output: &[&str]) -> bool {
        match (shown, output) {
            ([], []) => true,
            (["...", rest @ ..], _) => (0..=output.len()).any(|skip| go(rest, &output[skip..])),
            ([first, rest @ ..], [line, more @ ..]) => first == line && go(rest, more),
            _ => false,
        }
    }
    let (shown, output) = (settled(shown), settled(output));
    go(&shown.lines().collect::<Vec<_>>(), &output.lines().collect::<Vec<_>>())
}

/// A help desk on a port of its own; it answers until the tests end.
fn serve_desk() -> u16 {
    let listener = TcpListener::bind("localhost:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(&stream));
        }
    });
    port
}

fn answer(stream: &TcpStream) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let target = lines.next().unwrap_or_default();
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let has = |wanted: &str| headers.iter().any(|header| header.eq_ignore_ascii_case(wanted));
    if target.contains("/orders") {
        return tell(stream, &orders(&target, has("x-api-key: k3y-of-the-shop")));
    }
    let known = has("authorization: Bearer t0ken-of-the-desk");
    let (status, body) = match (known, target.contains("page=2")) {
        (false, _) => ("401 Unauthorized", r#"{"message": "unknown token"}"#),
        (true, false) => (
            "200 OK",
            r#"{"tickets": [
                {"id": 1, "subject": "printer on fire", "assignee": null, "updated_at": "2024-03-01T08:00:00Z"},
                {"id": 2, "subject": "fire is out", "assignee": "kim", "updated_at": "2024-03-02T09:30:00Z"}
            ], "next": 2}"#,
        ),
        (true, true) => (
            "200 OK",
            r#"{"tickets": [
                {"id": 3, "subject": "no printer", "assignee": "kim", "updated_at": "2024-03-03T10:00:00Z"}
            ], "next": null}"#,
        ),
    };
    tell(stream, &(status, body.to_owned()));
}

/// The orders of a day in the shop: two, on two pages.
fn orders(target: &str, known: bool) -> (&'static str, String) {
    if !known {
        return ("401 Unauthorized", r#"{"message": "unknown key"}"#.to_owned());
    }
    let day = target.split_once("day=").map_or("", |(_, rest)| &rest[..10]);
    let (number, next) = if target.contains("cursor=") { ("2", "null") } else { ("1", "\"b\"") };
    let id = day.replace('-', "") + number;
    let order = format!(r#"{{"id": {id}, "day": "{day}", "total": "12.50", "coupon": null}}"#);
    ("200 OK", format!(r#"{{"orders": [{order}], "next": {next}}}"#))
}

fn tell(mut stream: &TcpStream, (status, body): &(&str, String)) {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}
