//! The folder in which an attack takes place: what it is granted, what it must
//! not reach, and two servers.

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use e2e::{Answer, Request, Server};
use ow_host::sandbox::http::Resolve;

/// A value that the host knows and nobody else may see.
pub const SECRET: &str = "s3cr3t/of+the=operator";

/// What lies beside the mounts.
const OUTSIDE: &str = "the secret outside";

/// The place of an attack.
pub struct Stage {
    /// The folder; scratch folders are made in `tmp` below it if the process
    /// was started with that `TMPDIR`.
    pub folder: PathBuf,
    /// The hostile guest.
    pub guest: Vec<u8>,
    /// The well-behaved connector: the test guest.
    pub neighbour: PathBuf,
    /// Where compiled components are kept.
    pub cache: PathBuf,
    /// The granted server.
    pub server: Server,
    /// The server that nothing may reach.
    pub forbidden: Server,
}

impl Stage {
    /// Sets the stage in an empty folder.
    #[must_use]
    pub fn new(folder: PathBuf, guest: Vec<u8>, neighbour: PathBuf, cache: PathBuf) -> Self {
        for name in ["tmp", "in/sub", "in/swapped", "ro", "outside"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        for (name, text) in [
            ("in/inside.txt", "inside"),
            ("in/swapped/secret.txt", "inside"),
            ("ro/file.txt", "read-only"),
            ("outside/secret.txt", OUTSIDE),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let outside = folder.join("outside");
        for (link, to) in [
            ("to-secret", Path::new("../outside/secret.txt")),
            ("to-outside", Path::new("../outside")),
            ("absolute", &outside.join("secret.txt")),
            ("loop", Path::new("loop")),
            ("proc", Path::new("/proc/self")),
        ] {
            symlink(to, folder.join("in").join(link)).unwrap();
        }
        let forbidden = Server::start(|_| Answer::new(200, "reached"));
        Self { folder, guest, neighbour, cache, server: Server::start(answer), forbidden }
    }

    /// What is not as it was outside of the mounts, and what was left behind.
    #[must_use]
    pub fn damage(&self) -> Vec<String> {
        let mut damage = Vec::new();
        let secret = std::fs::read_to_string(self.folder.join("outside/secret.txt"));
        if !secret.is_ok_and(|text| text == OUTSIDE) {
            damage.push("outside/secret.txt was changed".to_owned());
        }
        if !std::fs::read_to_string(self.folder.join("ro/file.txt")).is_ok_and(|text| text == "read-only") {
            damage.push("ro/file.txt was changed".to_owned());
        }
        for (folder, known) in [("outside", &["secret.txt"][..]), ("ro", &["file.txt"]), ("tmp", &[])] {
            let names = names(&self.folder.join(folder));
            damage.extend(
                names.iter().filter(|name| !known.contains(&name.as_str())).map(|n| format!("{folder}/{n}")),
            );
        }
        let known = ["tmp", "in", "ro", "outside", "attack", "neighbour"];
        let strange = names(&self.folder).into_iter().filter(|name| !known.contains(&name.as_str()));
        damage.extend(strange);
        let reached = self.forbidden.requests();
        damage.extend(reached.iter().map(|r| format!("reached {} {}", r.method, r.target)));
        damage
    }
}

/// The names in a folder, sorted.
#[must_use]
pub fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// What the granted server answers.
fn answer(request: &Request) -> Answer {
    let zeros = || vec![0; 64 << 20];
    match request.path() {
        "/stalled" => Answer::new(200, "0123456789").slow(5, Duration::from_secs(3600)),
        "/dripping" => Answer::new(200, vec![b'x'; 1 << 20]).slow(1, Duration::from_millis(20)),
        "/late" => Answer::new(200, "").late(Duration::from_secs(3600)),
        "/endless" => Answer::new(200, vec![b'x'; 1 << 16]).endless(),
        "/bomb" => Answer::new(200, zeros()).gzip(),
        "/bomb-in-bomb" => Answer::new(200, zeros()).gzip().gzip(),
        "/large" => Answer::new(200, vec![b'x'; 1 << 20]).slow(1 << 16, Duration::from_millis(50)),
        "/last" => Answer::new(200, "last of its connection").header("connection", "close"),
        "/held" => Answer::new(200, "held").slow(1, Duration::from_secs(3600)),
        "/headers" => Answer::new(200, "").header("x-long", &"x".repeat(300_000)),
        "/escapes" => Answer::new(200, "\u{1b}[2Jfrom the server").header("x-escape", "\u{1b}[31m"),
        "/echo" => Answer::new(200, request.header("x-key").unwrap_or_default()),
        "/redirect" => Answer::new(302, "").header("location", request.query("to").unwrap_or_default()),
        _ => Answer::new(200, "ok"),
    }
}

/// What names lead to. `rebinding.example` is the granted server when it is asked for
/// first, and this machine by other addresses afterwards.
#[derive(Default)]
pub struct Names {
    rebindings: AtomicUsize,
}

impl Resolve for Names {
    fn resolve<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        let addresses: &[&str] = match name {
            "loopback.example" => &["127.0.0.1", "::1"],
            "private.example" => &["10.0.0.1", "fd00::1"],
            "metadata.example" => &["169.254.169.254"],
            "mapped.example" => &["::ffff:127.0.0.1"],
            "nowhere.example" => &["0.0.0.0"],
            "rebinding.example" => match self.rebindings.fetch_add(1, Ordering::Relaxed) {
                0 => &["127.0.0.1"],
                1 => &["127.0.0.2"],
                _ => &["10.0.0.1"],
            },
            _ => &[],
        };
        let found: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Box::pin(
            async move { if found.is_empty() { Err(io::Error::other("no such name")) } else { Ok(found) } },
        )
    }
}

/// Swaps the folder `in/swapped` with a link to the outside until it is dropped.
pub struct Swapper {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Swapper {
    /// Starts to swap.
    #[must_use]
    pub fn start(folder: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, mount) = (Arc::clone(&stop), folder.join("in"));
        let thread = std::thread::spawn(move || {
            let [swapped, parked, link] = ["swapped", ".parked", ".link"].map(|name| mount.join(name));
            symlink("../outside", &link).unwrap();
            while !seen.load(Ordering::Relaxed) {
                for (from, to) in
                    [(&swapped, &parked), (&link, &swapped), (&swapped, &link), (&parked, &swapped)]
                {
                    std::fs::rename(from, to).unwrap();
                }
            }
            std::fs::remove_file(&link).unwrap();
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join().is_ok();
            let _ = writeln!(std::io::stderr(), "swapped links: {ended}");
        }
    }
}
