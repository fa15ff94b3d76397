//! The process that loads known rows and is killed while it does.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Place;
use crate::known::{self, Load};
use crate::place::Job;
use crate::values::Cells;
use test_servers::{PATIENCE, wait_until};

static PROGRAM: OnceLock<&str> = OnceLock::new();

/// Says where the program is; only the tests know.
pub fn program(path: &'static str) {
    let _ = PROGRAM.set(path);
}

/// A writer at work.
#[derive(Debug)]
pub struct Writer {
    process: Child,
    lines: Receiver<String>,
    errors: Option<JoinHandle<String>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Writer {
    /// Starts one; it stops for ever after it said `pause`.
    #[must_use]
    pub fn start(place: &Place, load: Load, attempt: u32, pause: Option<&str>) -> Self {
        let job = Job {
            storage: place.kind.storage().to_owned(),
            params: place.params.clone(),
            folder: place.folder().display().to_string(),
            attempt,
            load,
            pause: pause.map(str::to_owned),
        };
        let mut process = Command::new(PROGRAM.get().expect("the writer's place"))
            .arg(serde_json::to_string(&job).unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (say, lines) = channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| say.send(line)));
        let mut errors = process.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        Self { process, lines, errors: Some(errors) }
    }

    /// Waits until it says so.
    pub fn wait_for(&mut self, line: &str) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(said) if said == line => return,
                Ok(_) => {}
                Err(_) => panic!("the writer never said {line:?}: {}", self.end()),
            }
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Waits for its end; what went wrong, if anything did.
    pub fn finish(mut self) -> Result<(), String> {
        if !wait_until(|| self.has_ended()) {
            return Err(format!("it took longer than {PATIENCE:?}: {}", self.end()));
        }
        let status = self.process.wait().unwrap();
        if status.success() { Ok(()) } else { Err(format!("{status}: {}", self.end())) }
    }

    fn end(&mut self) -> String {
        self.kill();
        self.errors.take().map_or_else(String::new, |errors| errors.join().unwrap())
    }
}

/// Loads until it succeeds, as whoever schedules runs does, and checks that
/// everything is there once.
#[track_caller]
pub fn recover(place: &Place, load: Load, after: &str) {
    let (mut errors, mut attempt, mut done) = (Vec::new(), 1, false);
    wait_until(|| {
        attempt += 1;
        match Writer::start(place, load, attempt, None).finish() {
            Ok(()) => done = true,
            Err(error) => errors.push(error),
        }
        if !done {
            std::thread::sleep(Duration::from_millis(100));
        }
        done
    });
    assert!(done, "{after}: no later run succeeded: {errors:#?}");
    check(place, load, after);
}

/// Checks that each row is there once, that the state tells so, and that nothing
/// is left over.
#[track_caller]
pub fn check(place: &Place, load: Load, after: &str) {
    let compare = |what: &str, found: Vec<Cells>, mut expected: Vec<Cells>| {
        expected.sort();
        if found != expected {
            let extra: Vec<_> = found.iter().filter(|row| !expected.contains(row)).take(5).collect();
            let lost: Vec<_> = expected.iter().filter(|row| !found.contains(row)).take(5).collect();
            panic!(
                "{after}: `{what}` has {} rows and not {}; not known: {extra:?}; lost: {lost:?}",
                found.len(),
                expected.len()
            );
        }
    };
    compare("added", place.read(&known::added()), load.added());
    compare("merged", place.read(&known::merged()), load.merged());
    compare("replaced", place.read(&known::replaced()), known::replacement());
    assert_eq!(place.state(), known::state(), "{after}: the state");
    assert_eq!(place.leftovers(), Vec::<String>::new(), "{after}: what is left over");
}
