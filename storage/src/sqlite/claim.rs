//! The claim on a data mart: one run at a time. A lock on a file beside the
//! database, which the kernel releases however the process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{RunInfo, StorageError};

/// How often a lock file that its owner removed meanwhile is opened again.
const ATTEMPTS: u32 = 100;

/// Who holds the claim: the content of the lock file.
#[derive(Serialize, Deserialize)]
struct Holder {
    data_mart_id: String,
    run_id: String,
    pid: u32,
}

/// A held claim; dropping it releases it.
pub(crate) struct Claim {
    path: PathBuf,
    _file: File,
}

/// A short name for a data mart, fit for file and table names.
pub(crate) fn tag(data_mart_id: &str) -> String {
    let digest = Sha256::digest(data_mart_id.as_bytes());
    digest.iter().take(8).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

impl Claim {
    /// Takes the claim on the run's data mart in a database.
    pub(crate) fn take(database: &Path, run: &RunInfo) -> Result<Self, StorageError> {
        let path = lock_path(database, &run.data_mart_id);
        Self::take_at(path, &format!("data mart `{}`", run.data_mart_id), run)
    }

    /// Takes the claim that a lock file stands for; `what` is what it is on.
    pub(crate) fn take_at(path: PathBuf, what: &str, run: &RunInfo) -> Result<Self, StorageError> {
        for _ in 0..ATTEMPTS {
            let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = open.map_err(|error| no_file(&path, &error))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(busy(file, what)),
                Err(TryLockError::Error(error)) => return Err(no_lock(&path, &error)),
            }
            if is_at(&file, &path) {
                sign(&mut file, run).map_err(|error| no_file(&path, &error))?;
                return Ok(Self { path, _file: file });
            }
        }
        Err(StorageError::Busy { message: format!("{what} is claimed by runs that come and go; try again") })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // While the lock is held, so that nobody loses a file that they locked:
        // who waits for it sees that it is gone (`is_at`). Elsewhere the empty
        // file stays, which does no harm.
        #[cfg(unix)]
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The lock file of a data mart, the same one by whatever path the database
/// is named.
fn lock_path(database: &Path, data_mart_id: &str) -> PathBuf {
    let real = database.canonicalize().unwrap_or_else(|_| {
        let parent = database.parent().and_then(|parent| parent.canonicalize().ok());
        match (parent, database.file_name()) {
            (Some(parent), Some(name)) => parent.join(name),
            _ => database.to_owned(),
        }
    });
    let mut name = real.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.lock", tag(data_mart_id)));
    real.with_file_name(name)
}

/// Whether the open file is still the one at the path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

fn sign(file: &mut File, run: &RunInfo) -> std::io::Result<()> {
    let holder = Holder {
        data_mart_id: run.data_mart_id.clone(),
        run_id: run.run_id.clone(),
        pid: std::process::id(),
    };
    file.set_len(0)?;
    file.write_all(&serde_json::to_vec(&holder)?)
}

fn busy(file: File, what: &str) -> StorageError {
    let mut text = String::new();
    // The holder may be about to sign.
    let read = file.take(64 * 1024).read_to_string(&mut text).is_ok();
    let holder = serde_json::from_str::<Holder>(&text).ok().filter(|_| read);
    let holder = holder.map_or_else(
        || "another run".to_owned(),
        |holder| format!("run `{}` (process {})", holder.run_id, holder.pid),
    );
    StorageError::Busy {
        message: format!("{what} is being written by {holder}; wait until that run ends, or stop it"),
    }
}

fn no_file(path: &Path, error: &std::io::Error) -> StorageError {
    StorageError::Config {
        message: format!(
            "lock file `{}` beside the database cannot be written: {error}; make the folder writable, or set `Path` to another one",
            path.display()
        ),
        parameter: Some("Path".to_owned()),
    }
}

fn no_lock(path: &Path, error: &std::io::Error) -> StorageError {
    StorageError::Config {
        message: format!(
            "file `{}` cannot be locked: {error}; set `Path` to a file on a local disk",
            path.display()
        ),
        parameter: Some("Path".to_owned()),
    }
}

#[cfg(test)]
impl Claim {
    pub(crate) fn release_for_test(&mut self) {
        self._file.unlock().unwrap();
    }
}
