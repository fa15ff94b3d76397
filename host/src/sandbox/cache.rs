//! The cache of compiled components in the user's cache folder.
//!
//! Compiled code is as powerful as the host itself, so an entry is only used if
//! nobody but this user can have written it and if it is whole: the folder and
//! the file belong to this user and are writable by nobody else, no folder above
//! lets others put another in its place, the file is no link, and its first bytes
//! are the SHA-256 of what it is for and of the rest.
//! Whatever fails one of these is compiled again and replaced. Entries are copied
//! into sealed memory, checked on the way and used from there, so that nothing can
//! change between the check and the use.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::sealed::Sealed;

/// First bytes of an entry; changes with its layout.
const MAGIC: &[u8; 8] = b"owcache1";
/// Length of a SHA-256.
const DIGEST: usize = 32;
/// What an entry's file name ends with.
const EXTENSION: &str = "cwasm";
/// All entries together; the ones that were used longest ago go first. Enough
/// for thousands of Rust connectors or a few dozen Python ones.
const TOTAL_BYTES: u64 = 1024 * 1024 * 1024;
/// An entry beyond this is not ours: no component within the size limit
/// compiles to so much.
pub(crate) const ENTRY_BYTES: u64 = 1024 * 1024 * 1024;

/// A folder of compiled components.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// What [`Cache::clear`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Cleared {
    /// Entries.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Cache {
    /// The cache in `folder`, which is created with the first entry.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The cache in the user's cache folder: `$XDG_CACHE_HOME/ow-host` or what
    /// the system has for it. None if the user has no home.
    #[must_use]
    pub fn of_user() -> Option<Self> {
        use etcetera::BaseStrategy;
        let base = etcetera::choose_base_strategy().ok()?;
        Some(Self::new(base.cache_dir().join("ow-host").join("components")))
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The code of a component with this digest, if there is an entry that can be
    /// trusted.
    pub(crate) fn load(&self, engine: &Engine, digest: &[u8; DIGEST]) -> Option<Sealed> {
        let key = Key::new(engine, digest);
        check_folder(&self.folder).ok()?;
        let file = open_private(&self.folder.join(key.file_name())).ok()?;
        let code = key.verify((&file).take(ENTRY_BYTES))?;
        // Only to know which entries are used; a failure does no harm.
        let _ = file.set_modified(SystemTime::now());
        Some(code)
    }

    /// Keeps the code of a component.
    pub(crate) fn store(&self, engine: &Engine, digest: &[u8; DIGEST], code: &[u8]) -> Result<(), String> {
        let key = Key::new(engine, digest);
        let write = || -> io::Result<()> {
            create_private(&self.folder)?;
            check_folder(&self.folder)?;
            // Created for this user alone, and renamed when it is whole.
            let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.folder)?;
            file.write_all(MAGIC)?;
            file.write_all(&key.seal(code))?;
            file.write_all(code)?;
            file.as_file().sync_data()?;
            file.persist(self.folder.join(key.file_name())).map_err(|error| error.error)?;
            self.evict()
        };
        write().map_err(|error| format!("{}: {error}", self.folder.display()))
    }

    /// Removes every entry.
    ///
    /// # Errors
    ///
    /// If the folder cannot be read or an entry cannot be removed.
    pub fn clear(&self) -> io::Result<Cleared> {
        let mut cleared = Cleared::default();
        for entry in self.entries()? {
            fs::remove_file(&entry.path)?;
            cleared.entries += 1;
            cleared.bytes += entry.bytes;
        }
        Ok(cleared)
    }

    /// Removes the entries that were used longest ago until the rest fits.
    fn evict(&self) -> io::Result<()> {
        let mut entries = self.entries()?;
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.used));
        let mut total = 0_u64;
        for entry in entries {
            total = total.saturating_add(entry.bytes);
            if total > TOTAL_BYTES {
                fs::remove_file(entry.path)?;
            }
        }
        Ok(())
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let folder = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            folder => folder?,
        };
        let mut entries = Vec::new();
        for entry in folder {
            let entry = entry?;
            let path = entry.path();
            // Another run may have removed it in between.
            let Ok(metadata) = entry.metadata() else { continue };
            let ours = path.extension().is_some_and(|extension| extension == EXTENSION)
                || entry.file_name().to_string_lossy().starts_with(".new-");
            if ours && metadata.is_file() {
                entries.push(Entry { path, bytes: metadata.len(), used: metadata.modified()? });
            }
        }
        Ok(entries)
    }
}

/// The component of code that the cache gave, or that was compiled a moment ago
/// by this program.
pub(crate) fn trust(engine: &Engine, code: &Sealed) -> wasmtime::Result<Component> {
    #[cfg(target_os = "linux")]
    return load_sealed(engine, std::os::fd::AsRawFd::as_raw_fd(code.file()));
    // SAFETY: as in `load_sealed`; the bytes are in this process alone.
    #[cfg(not(target_os = "linux"))]
    #[expect(unsafe_code, reason = "compiled code of this user's own cache is loaded")]
    unsafe {
        Component::deserialize(engine, code.bytes())
    }
}

/// The component of code in a sealed file of memory, which is mapped and not
/// read.
#[cfg(target_os = "linux")]
pub(crate) fn load_sealed(engine: &Engine, descriptor: std::os::fd::RawFd) -> wasmtime::Result<Component> {
    // SAFETY: the code is what the engine made for a component, in this version
    // and with these settings: an entry's digest covers them and nobody but this
    // user could write it, and the engine itself refuses other versions. Nobody
    // can change it while it is mapped.
    #[expect(unsafe_code, reason = "compiled code of this user's own cache is loaded")]
    unsafe {
        Component::deserialize_file(engine, format!("/proc/self/fd/{descriptor}"))
    }
}

struct Entry {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// What an entry is for: the component, the engine's version and its settings.
struct Key {
    digest: [u8; DIGEST],
    engine: u64,
}

impl Key {
    fn new(engine: &Engine, digest: &[u8; DIGEST]) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        env!("CARGO_PKG_VERSION").hash(&mut hasher);
        Self { digest: *digest, engine: hasher.finish() }
    }

    fn file_name(&self) -> String {
        format!("{}-{:016x}.{EXTENSION}", super::component::hex(&self.digest), self.engine)
    }

    /// The digest that an entry with this code starts with.
    fn seal(&self, code: &[u8]) -> [u8; DIGEST] {
        self.hasher().chain_update(code).finalize().into()
    }

    /// A digest that has all but the code.
    fn hasher(&self) -> Sha256 {
        Sha256::new().chain_update(MAGIC).chain_update(self.digest).chain_update(self.engine.to_le_bytes())
    }

    /// The code of an entry, if the entry is whole and for this key.
    fn verify(&self, mut entry: impl Read) -> Option<Sealed> {
        let mut head = [0; MAGIC.len() + DIGEST];
        entry.read_exact(&mut head).ok()?;
        let seal = head.strip_prefix(MAGIC)?;
        let mut hasher = self.hasher();
        let code = Sealed::copy(entry, |bytes| hasher.update(bytes)).ok()?;
        (seal == hasher.finalize().as_slice()).then_some(code)
    }
}

#[cfg(unix)]
fn create_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// Opens a file that only this user can have written; follows no link.
fn open_private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(i32::try_from(flags.bits()).unwrap_or_default());
    }
    let file = options.open(path)?;
    check_private(&file.metadata()?, false)?;
    Ok(file)
}

/// Whether nobody else can have written into the folder or put another in its
/// place.
fn check_folder(folder: &Path) -> io::Result<()> {
    check_private(&fs::symlink_metadata(folder)?, true)?;
    #[cfg(unix)]
    for above in fs::canonicalize(folder)?.ancestors().skip(1) {
        check_above(&fs::metadata(above)?)
            .map_err(|why| io::Error::new(why.kind(), format!("{} {why}", above.display())))?;
    }
    Ok(())
}

/// Whether others can rename what lies in a folder and is not theirs. This
/// user's own group and root's are no others: they were given the folder.
#[cfg(unix)]
fn check_above(metadata: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    const ROOT: u32 = 0;
    /// Only the owner of an entry renames it, as in `/tmp`.
    const STICKY: u32 = 0o1000;
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned()));
    if ![ROOT, rustix::process::geteuid().as_raw()].contains(&metadata.uid()) {
        return refuse("belongs to another user");
    }
    let known_group = [ROOT, rustix::process::getegid().as_raw()].contains(&metadata.gid());
    let by_others = metadata.mode() & if known_group { 0o002 } else { 0o022 };
    if by_others != 0 && metadata.mode() & STICKY == 0 {
        return refuse("can be written by other users");
    }
    Ok(())
}

/// Whether only this user can have written a folder's or a file's content.
fn check_private(metadata: &fs::Metadata, folder: bool) -> io::Result<()> {
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned()));
    if metadata.is_dir() != folder || (!folder && !metadata.is_file()) {
        return refuse("is a link or of another kind");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return refuse("belongs to another user");
        }
        if metadata.mode() & 0o022 != 0 {
            return refuse("can be written by other users");
        }
    }
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod attacks;

#[cfg(test)]
mod tests {
    use super::*;

    const WASM: &[u8] = b"\0asm\x0d\0\x01\0";
    const DIGEST_OF_WASM: [u8; DIGEST] = [7; DIGEST];

    fn filled(folder: &Path) -> (Cache, &'static Engine, PathBuf) {
        let engine = super::super::engine::shared().unwrap();
        let cache = Cache::new(folder.join("components"));
        cache.store(engine, &DIGEST_OF_WASM, &engine.precompile_component(WASM).unwrap()).unwrap();
        let path = cache.folder.join(Key::new(engine, &DIGEST_OF_WASM).file_name());
        (cache, engine, path)
    }

    #[test]
    fn an_entry_is_found_again_and_only_for_its_component() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, engine, _) = filled(folder.path());
        let code = cache.load(engine, &DIGEST_OF_WASM).unwrap();
        assert!(trust(engine, &code).is_ok());
        assert!(cache.load(engine, &[8; DIGEST]).is_none());
        assert_eq!(cache.clear().unwrap().entries, 1);
        assert!(cache.load(engine, &DIGEST_OF_WASM).is_none());
    }

    #[test]
    fn a_changed_truncated_or_swapped_entry_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, engine, path) = filled(folder.path());
        let whole = fs::read(&path).unwrap();
        for at in [0, 10, 60, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert!(cache.load(engine, &DIGEST_OF_WASM).is_none(), "byte {at}");
        }
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(cache.load(engine, &DIGEST_OF_WASM).is_none());
        fs::write(&path, b"").unwrap();
        assert!(cache.load(engine, &DIGEST_OF_WASM).is_none());
        let other = Key::new(engine, &[8; DIGEST]).file_name();
        fs::write(cache.folder.join(other), &whole).unwrap();
        assert!(cache.load(engine, &[8; DIGEST]).is_none());
        fs::write(&path, &whole).unwrap();
        assert!(cache.load(engine, &DIGEST_OF_WASM).is_some());
    }

    #[cfg(unix)]
    #[test]
    fn what_others_could_have_written_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (cache, engine, path) = filled(folder.path());
        mode(&path, 0o666);
        assert!(cache.load(engine, &DIGEST_OF_WASM).is_none());
        mode(&path, 0o600);
        mode(&cache.folder, 0o777);
        assert!(cache.load(engine, &DIGEST_OF_WASM).is_none());
        let code = engine.precompile_component(WASM).unwrap();
        assert!(cache.store(engine, &DIGEST_OF_WASM, &code).unwrap_err().contains("other users"));
        mode(&cache.folder, 0o700);
        assert!(cache.load(engine, &DIGEST_OF_WASM).is_some());

        let aside = folder.path().join("aside");
        fs::rename(&path, &aside).unwrap();
        std::os::unix::fs::symlink(&aside, &path).unwrap();
        assert!(cache.load(engine, &DIGEST_OF_WASM).is_none());
    }
}
