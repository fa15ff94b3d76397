//! What a worker cannot do, tried from within one; and what a worker that was
//! taken over can do to the host. Both are this test program again.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what a process says is how it tells the test"
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::Program;
use super::lockdown::{Allowance, enter};
use super::session::{Services, Session};
use super::wire::{self, Start, Work};
use crate::bridge::state::RunState;
use crate::bridge::{Bridge, BridgeOptions};
use crate::cancel::Cancel;
use crate::config::Secrets;
use crate::failure::Failure;
use crate::report::log::RunLog;
use crate::sandbox::control::Control;
use crate::sandbox::guest::GuestOptions;
use crate::sandbox::http::{HttpClient, HttpGate, HttpObserver};
use crate::sandbox::{Limits, Sealed};

/// What is told by a process on a kernel that has less than a worker needs.
const UNLOCKED: &str = "this kernel cannot lock a worker in";

/// Runs one test of this program in a process of its own, in a folder.
fn apart(test: &str, folder: &Path) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", test])
        .env("OW_TEST_FOLDER", folder)
        .output()
        .unwrap();
    let told =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    told
}

#[test]
fn a_worker_reaches_its_folders_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("in", "read me"), ("out", ""), ("outside", "secret")] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join(name).join("file"), text).unwrap();
    }
    std::os::unix::fs::symlink(folder.path().join("outside/file"), folder.path().join("in/link")).unwrap();
    let told = apart("isolation::tests::inside", folder.path());
    if told.contains(UNLOCKED) {
        let required = std::env::var("OW_TEST_REQUIRE_ISOLATION").is_ok_and(|value| value == "1");
        assert!(!required, "this has to be tested here, but {told}");
        let test = "isolation::tests::a_worker_reaches_its_folders_and_nothing_else";
        // Past the capture of output that hides what passing tests print.
        let _ = writeln!(std::io::stderr(), "skipped {test}: {UNLOCKED}");
        return;
    }
    assert!(told.contains("everything was tried"), "{told}");
    assert!(folder.path().join("out/new").exists());
    assert_eq!(std::fs::read_to_string(folder.path().join("outside/file")).unwrap(), "secret");
}

/// Whether something was refused by the kernel.
fn refused<T>(what: &str, result: std::io::Result<T>) {
    let Err(error) = result else { panic!("{what} was not refused") };
    let code = error.raw_os_error();
    assert!(
        matches!(code, Some(libc::EPERM | libc::EACCES | libc::EXDEV)),
        "{what}: {error}, which is no refusal"
    );
}

#[test]
#[ignore = "locks its process in: `a_worker_reaches_its_folders_and_nothing_else` runs it"]
fn inside() {
    let folder = std::path::PathBuf::from(std::env::var_os("OW_TEST_FOLDER").unwrap());
    let (read, write, outside) = (folder.join("in"), folder.join("out"), folder.join("outside"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let parent = rustix::process::getppid().unwrap();
    let folders = vec![(read.as_path(), false), (write.as_path(), true)];
    let allowance = Allowance { folders, cpu_seconds: 60, data_bytes: 512 << 20, open_files: 64 };
    if let Err(why) = enter(&allowance) {
        println!("{UNLOCKED}: {why}");
        return;
    }

    // What it may do.
    assert_eq!(std::fs::read_to_string(read.join("file")).unwrap(), "read me");
    std::fs::write(write.join("new"), "x").unwrap();
    std::fs::rename(write.join("file"), write.join("renamed")).unwrap();
    std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_millis(1))).join().unwrap();

    refused("reading another file", std::fs::read(outside.join("file")));
    refused("reading through a link", std::fs::read(read.join("link")));
    refused("reading through ..", std::fs::read(read.join("../outside/file")));
    refused("listing another folder", std::fs::read_dir("/").map(drop));
    refused("writing where it may read", std::fs::write(read.join("file"), "x"));
    refused("removing where it may read", std::fs::remove_file(read.join("file")));
    refused("writing another file", std::fs::write(outside.join("file"), "x"));
    refused("linking another file in", std::fs::hard_link(outside.join("file"), write.join("linked")));
    refused("moving a file out", std::fs::rename(write.join("new"), outside.join("new")));
    refused("its own memory as a file", std::fs::read("/proc/self/mem"));
    refused("the memory of the host", std::fs::read(format!("/proc/{}/mem", parent.as_raw_nonzero())));
    refused("connecting", TcpStream::connect(address));
    refused("listening", TcpListener::bind("127.0.0.1:0"));
    refused("a datagram socket", UdpSocket::bind("127.0.0.1:0"));
    refused("a local socket", UnixStream::connect("/tmp/socket"));
    refused("a pair of sockets", UnixStream::pair());
    refused("a program", Command::new("/bin/true").status());
    refused("a signal to the host", rustix::process::test_kill_process(parent).map_err(Into::into));
    let more = rustix::process::Rlimit { current: None, maximum: None };
    refused(
        "a higher limit",
        rustix::process::setrlimit(rustix::process::Resource::Data, more).map_err(Into::into),
    );
    let owned = std::fs::File::open(read.join("file")).unwrap();
    refused("other commands for a descriptor", rustix::fs::fcntl_get_seals(&owned).map_err(Into::into));
    refused("another root", std::os::unix::fs::chroot("/"));
    assert!(Vec::<u8>::new().try_reserve_exact(1 << 30).is_err(), "memory beyond the limit was not refused");
    let more_files: Vec<_> = (0..100).map_while(|_| std::fs::File::open(read.join("file")).ok()).collect();
    assert!(more_files.len() < 64, "{} files are open", more_files.len());
    drop(more_files);
    println!("everything was tried");
}

struct Deaf;

impl HttpObserver for Deaf {
    fn request(&self) {}
    fn sent(&self, _: u64) {}
    fn received(&self, _: u64) {}
    fn traffic(&self, _: &str) -> Arc<crate::report::audit::Traffic> {
        Arc::default()
    }
    fn secret_used(&self, _: &str, _: &str, _: u64) {}
    fn denied(&self, _: crate::report::Denied) {}
    fn noted(&self, _: &str) {}
    fn failed(&self, _: &str) {}
}

/// Opens a session with this program as the worker, which then does what
/// `behaviour` says, and lets it run.
async fn with_evil_worker(behaviour: &str) -> Failure {
    let limits = Limits { timeout: crate::sandbox::Duration::secs(20), ..Limits::default() };
    let secrets = Arc::new(Secrets::new());
    let log = RunLog::new(None, Arc::clone(&secrets), &limits);
    let control = Control::new(limits.clone(), Cancel::new(), Arc::clone(&log));
    let bridge = Bridge::new(BridgeOptions {
        storage: None,
        state: RunState::new(BTreeMap::new()),
        stats: Arc::default(),
        log: Arc::clone(&log),
        limits: limits.clone(),
        cancel: Cancel::new(),
        full_refresh: false,
    });
    let client = HttpClient::system();
    let services = Services {
        bridge: Arc::new(tokio::sync::Mutex::new(bridge)),
        gate: HttpGate::new(&client, Vec::new(), &limits, secrets, Arc::new(Deaf)),
        log,
        stats: Arc::default(),
        control: Arc::clone(&control),
    };
    let (program, code) = (Program::this(), Sealed::new(behaviour.as_bytes()).unwrap());
    let run = async {
        let mut session =
            Session::open((&program, &code, behaviour), &GuestOptions::default(), services).await?;
        session.run().await
    };
    match control.bounded(run).await {
        Err(failure) => failure,
        Ok(answer) => panic!("{behaviour}: the session believed it: {answer:?}"),
    }
}

#[tokio::test]
async fn a_worker_that_was_taken_over_ends_the_run_and_nothing_more() {
    for behaviour in
        ["ends", "aborts", "lies_about_ready", "huge_ready", "no_http", "garbage", "not_locked_in"]
    {
        let failure = with_evil_worker(behaviour).await;
        let message = &failure.message;
        assert!(message.contains("worker") || message.contains("process"), "{behaviour}: {message}");
        assert!(!message.contains('\u{1b}'), "{behaviour}: {message}");
    }
}

/// Not a test: what the host starts as a worker. It does something only where
/// standard input is the host's socket.
#[test]
fn __worker() {
    let Ok(mut socket) = std::io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else { return };
    if socket.peer_addr().is_err() {
        return;
    }
    let Ok(Start { work: Work::Run(work), .. }) = wire::read_frame(&mut socket, 1 << 20) else { return };
    match work.name.as_str() {
        "ends" => {}
        "aborts" => {
            eprintln!("\u{1b}[31mmemory");
            std::process::abort();
        }
        "lies_about_ready" => socket.write_all(&[1, 0, 0, 0, 77]).unwrap(),
        "huge_ready" => socket.write_all(&[0xff; 64]).unwrap(),
        "no_http" => {
            wire::write_frame(&mut socket, &Ok::<(), String>(())).unwrap();
            let _ = socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n");
            let _ = socket.read(&mut [0; 1024]);
        }
        "garbage" => {
            wire::write_frame(&mut socket, &Ok::<(), String>(())).unwrap();
            let _ =
                socket.write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &[0xff; 4096]].concat());
            let _ = socket.read(&mut [0; 1024]);
        }
        "not_locked_in" => {
            wire::write_frame(&mut socket, &Err::<(), _>("\u{1b}[31mno Landlock")).unwrap();
        }
        other => panic!("there is no behaviour {other}"),
    }
    std::process::exit(0);
}
