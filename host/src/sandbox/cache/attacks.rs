//! What somebody could do to the cache who can write where they should not.

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::sync::mpsc;
use std::time::Duration;

use super::*;

const WASM: &[u8] = b"\0asm\x0d\0\x01\0";
const ONE: [u8; DIGEST] = [1; DIGEST];
const TWO: [u8; DIGEST] = [2; DIGEST];
/// A user that no test runs as.
const NOBODY: u32 = 65_534;

struct Lab {
    folder: tempfile::TempDir,
    cache: Cache,
    engine: &'static Engine,
}

impl Lab {
    /// A cache in a folder of a folder, with an entry for each of two components.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("above").join("components"));
        let lab = Self { folder, cache, engine: crate::sandbox::engine::shared().unwrap() };
        lab.store(&ONE).unwrap();
        lab.store(&TWO).unwrap();
        assert!(lab.uses(&ONE) && lab.uses(&TWO));
        lab
    }

    fn store(&self, digest: &[u8; DIGEST]) -> Result<(), String> {
        self.cache.store(self.engine, digest, &self.engine.precompile_component(WASM).unwrap())
    }

    fn uses(&self, digest: &[u8; DIGEST]) -> bool {
        self.cache.load(self.engine, digest).is_some()
    }

    fn path(&self, digest: &[u8; DIGEST]) -> PathBuf {
        self.cache.folder.join(Key::new(self.engine, digest).file_name())
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Whether the test can make files of other users; says so if it cannot.
fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        let _ = writeln!(io::stderr(), "skipped: only root gives files away: {test}");
    }
    root
}

#[test]
fn entries_that_changed_places_are_not_used_and_are_replaced() {
    let lab = Lab::new();
    let aside = lab.folder.path().join("aside");
    fs::rename(lab.path(&ONE), &aside).unwrap();
    fs::rename(lab.path(&TWO), lab.path(&ONE)).unwrap();
    fs::rename(&aside, lab.path(&TWO)).unwrap();
    assert!(!lab.uses(&ONE) && !lab.uses(&TWO));
    lab.store(&ONE).unwrap();
    assert!(lab.uses(&ONE) && !lab.uses(&TWO));
}

#[test]
fn a_hard_link_to_another_entry_is_not_used() {
    let lab = Lab::new();
    fs::remove_file(lab.path(&ONE)).unwrap();
    fs::hard_link(lab.path(&TWO), lab.path(&ONE)).unwrap();
    assert!(!lab.uses(&ONE) && lab.uses(&TWO));
    // Replacing the one leaves the other as it is.
    lab.store(&ONE).unwrap();
    assert!(lab.uses(&ONE) && lab.uses(&TWO));
}

#[test]
fn a_pipe_in_place_of_an_entry_is_not_used_and_holds_nobody_up() {
    let lab = Lab::new();
    let path = lab.path(&ONE);
    fs::remove_file(&path).unwrap();
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &path, kind, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
    let (done, waits) = mpsc::channel();
    let (cache, engine) = (lab.cache.clone(), lab.engine);
    std::thread::spawn(move || done.send(cache.load(engine, &ONE).is_some()));
    assert!(!waits.recv_timeout(Duration::from_secs(30)).unwrap());
    lab.store(&ONE).unwrap();
    assert!(lab.uses(&ONE));
}

#[test]
fn a_folder_in_place_of_an_entry_is_not_used_and_is_told() {
    let lab = Lab::new();
    fs::remove_file(lab.path(&ONE)).unwrap();
    fs::create_dir(lab.path(&ONE)).unwrap();
    assert!(!lab.uses(&ONE));
    assert!(lab.store(&ONE).unwrap_err().contains("directory"));
    // The rest of the cache works on, and nothing half-written stays.
    lab.store(&TWO).unwrap();
    assert!(lab.uses(&TWO));
    assert_eq!(fs::read_dir(&lab.cache.folder).unwrap().count(), 2);
}

#[test]
fn a_link_in_place_of_an_entry_is_replaced_and_never_written_through() {
    let lab = Lab::new();
    let victim = lab.folder.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    fs::remove_file(lab.path(&ONE)).unwrap();
    symlink(&victim, lab.path(&ONE)).unwrap();
    assert!(!lab.uses(&ONE));
    lab.store(&ONE).unwrap();
    assert!(lab.uses(&ONE));
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn a_link_in_place_of_the_folder_is_not_followed() {
    let lab = Lab::new();
    let aside = lab.folder.path().join("aside");
    fs::rename(&lab.cache.folder, &aside).unwrap();
    symlink(&aside, &lab.cache.folder).unwrap();
    assert!(!lab.uses(&ONE));
    assert!(lab.store(&ONE).unwrap_err().contains("is a link"));
}

#[test]
fn nothing_is_used_where_others_can_put_another_folder_in_its_place() {
    let lab = Lab::new();
    let above = lab.cache.folder.parent().unwrap();
    mode(above, 0o777);
    assert!(!lab.uses(&ONE));
    let told = lab.store(&ONE).unwrap_err();
    assert!(told.contains("above can be written by other users"), "{told}");
    // As /tmp: others can add to it, but rename only what is theirs.
    mode(above, 0o1777);
    assert!(lab.uses(&ONE));
    // This user's own group.
    mode(above, 0o770);
    assert!(lab.uses(&ONE));
}

#[test]
fn what_another_user_owns_is_not_used() {
    if !is_root("what_another_user_owns_is_not_used") {
        return;
    }
    let lab = Lab::new();
    let above = lab.cache.folder.parent().unwrap().to_owned();
    for path in [lab.path(&ONE), lab.cache.folder.clone(), above.clone()] {
        chown(&path, Some(NOBODY), None).unwrap();
        assert!(!lab.uses(&ONE), "{}", path.display());
        chown(&path, Some(0), None).unwrap();
        assert!(lab.uses(&ONE), "{}", path.display());
    }
    // A file of another user, linked to: its owner could change it at any time.
    let foreign = lab.folder.path().join("foreign");
    fs::rename(lab.path(&ONE), &foreign).unwrap();
    chown(&foreign, Some(NOBODY), None).unwrap();
    fs::hard_link(&foreign, lab.path(&ONE)).unwrap();
    assert!(!lab.uses(&ONE));
    // A group that is neither this user's nor root's.
    chown(&above, None, Some(NOBODY)).unwrap();
    assert!(lab.uses(&TWO));
    mode(&above, 0o770);
    assert!(!lab.uses(&TWO));
}
