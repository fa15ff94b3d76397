//! The scratch folder of a run: made for it, and removed after it, even if the
//! host was killed.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Once;

/// What the folders' names start with, below the system's folder for
/// temporary files.
const PREFIX: &str = "ow-host-scratch-";

/// A folder that is locked while it lives and removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: tempfile::TempDir,
    /// The kernel releases the lock when the process ends, however it ends.
    _lock: File,
}

/// The folder as a capability, for measuring what is in it.
pub(crate) fn open(folder: &Path) -> io::Result<cap_std::fs::Dir> {
    cap_std::fs::Dir::open_ambient_dir(folder, cap_std::ambient_authority())
}

impl Scratch {
    /// Makes an empty folder that only this user can enter.
    pub(crate) fn new() -> io::Result<Self> {
        /// Once a process is enough: its own folders are removed with their runs.
        static CLEARED: Once = Once::new();
        let parent = std::env::temp_dir();
        CLEARED.call_once(|| remove_abandoned(&parent));
        Self::new_in(&parent)
    }

    fn new_in(parent: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::open(folder.path())?;
        lock.lock()?;
        Ok(Self { folder, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the folders of runs whose process was killed: those that nobody
/// locks. Whatever cannot be removed stays for the next run.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let Ok(folder) = File::open(entry.path()) else { continue };
        // A folder that was made a moment ago may not be locked yet.
        let young = folder
            .metadata()
            .and_then(|m| m.modified())
            .is_ok_and(|time| time.elapsed().is_ok_and(|age| age < std::time::Duration::from_secs(60)));
        if !young && folder.try_lock().is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn abandoned_folders_are_removed_and_others_stay() {
        let parent = tempfile::tempdir().unwrap();
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        let running = Scratch::new_in(parent.path()).unwrap();
        File::open(running.path()).unwrap().set_modified(long_ago).unwrap();
        let abandoned = parent.path().join(format!("{PREFIX}dead"));
        fs::create_dir_all(abandoned.join("deep")).unwrap();
        File::open(&abandoned).unwrap().set_modified(long_ago).unwrap();
        let young = parent.path().join(format!("{PREFIX}young"));
        fs::create_dir(&young).unwrap();
        let foreign = parent.path().join("other");
        fs::create_dir(&foreign).unwrap();

        remove_abandoned(parent.path());
        let own = Scratch::new_in(parent.path()).unwrap();
        assert!(!abandoned.exists());
        assert!(running.path().exists() && young.exists() && foreign.exists());
        let path = own.path().to_owned();
        drop(own);
        assert!(!path.exists());
    }
}
