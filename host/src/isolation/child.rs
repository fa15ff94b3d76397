//! The process of a worker: how it is started, and how it ended.

use std::fmt;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::{Program, WORKER};
use crate::report::text::plain;
use crate::sandbox::Sealed;

/// Bytes of a worker's standard error that are kept.
const KEPT: u64 = 4096;

/// A worker's process, which ends with this.
pub(super) struct Child {
    process: std::process::Child,
    errors: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Child {
    /// Starts a worker, and gives the host's end of its socket.
    pub(super) fn spawn(program: &Program, code: &Sealed) -> io::Result<(Self, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut process = Command::new(&program.0)
            .arg0("ow-host")
            .arg(WORKER)
            .env_clear()
            // A signal from the terminal is for the host, which lets the guest end well.
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .stdout(Stdio::from(code.file().try_clone()?))
            .stderr(Stdio::piped())
            .spawn()?;
        let errors = Arc::new(Mutex::new(Vec::new()));
        let reader = process.stderr.take().map(|stderr| {
            let errors = Arc::clone(&errors);
            std::thread::spawn(move || keep(stderr, &errors))
        });
        Ok((Self { process, errors, reader }, ours))
    }

    /// Ends the worker, if it did not end by itself, and says how it ended.
    pub(super) fn end(&mut self) -> End {
        // It ends by itself as soon as it failed: what it says of that counts.
        let status = self.ended_by_itself().or_else(|| {
            let _ = self.process.kill();
            self.process.wait().ok()
        });
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        End { status, errors: plain(&String::from_utf8_lossy(&errors)).into_owned() }
    }

    fn ended_by_itself(&mut self) -> Option<ExitStatus> {
        for _ in 0..20 {
            if let Ok(Some(status)) = self.process.try_wait() {
                return Some(status);
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        None
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Keeps the start of what a worker writes, and reads the rest so that it is
/// not held up.
fn keep(mut stderr: impl Read, errors: &Mutex<Vec<u8>>) {
    let mut kept = Vec::new();
    let _ = (&mut stderr).take(KEPT).read_to_end(&mut kept);
    *errors.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    let _ = io::copy(&mut stderr, &mut io::sink());
}

/// How a worker ended.
#[derive(Debug)]
pub(super) struct End {
    status: Option<ExitStatus>,
    errors: String,
}

impl End {
    fn signal(&self) -> Option<i32> {
        self.status.and_then(|status| status.signal())
    }

    /// The kernel gave it no more memory.
    pub(super) fn out_of_memory(&self) -> bool {
        self.signal() == Some(libc::SIGABRT) && self.errors.contains("memory allocation")
    }

    /// The kernel gave it no more processor time.
    pub(super) fn out_of_time(&self) -> bool {
        matches!(self.signal(), Some(libc::SIGXCPU | libc::SIGKILL))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "ended with {status}")?,
            None => f.write_str("ended")?,
        }
        match self.errors.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.errors.trim()),
        }
    }
}
