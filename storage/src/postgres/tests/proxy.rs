//! A connection that breaks at `COMMIT`.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Hands everything on.
const CALM: u8 = 0;
/// Hands the next `COMMIT` on and never its answer.
const LOSE_ANSWER: u8 = 1;
/// Does not even hand `COMMIT` on; the server's side stays open.
const LOSE_COMMIT: u8 = 2;
/// A simple query `COMMIT`, as it is on the wire.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// A proxy before a server, without TLS.
pub(super) struct Proxy {
    pub(super) port: u16,
    mood: Arc<AtomicU8>,
}

impl Proxy {
    pub(super) fn new(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mood = Arc::new(AtomicU8::new(CALM));
        let shared = Arc::clone(&mood);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let mood = Arc::clone(&shared);
                std::thread::spawn(move || up(client, server, &mood));
            }
        });
        Self { port, mood }
    }

    pub(super) fn lose_answer(&self) {
        self.mood.store(LOSE_ANSWER, Ordering::SeqCst);
    }

    pub(super) fn lose_commit(&self) {
        self.mood.store(LOSE_COMMIT, Ordering::SeqCst);
    }

    /// Whether what was asked for has happened.
    pub(super) fn is_calm(&self) -> bool {
        self.mood.load(Ordering::SeqCst) == CALM
    }
}

/// Hands on what the client says, until the connection is to break.
fn up(mut client: TcpStream, mut server: TcpStream, mood: &AtomicU8) {
    let (answers, back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let is_lost = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&is_lost);
    std::thread::spawn(move || down(answers, back, &shared));
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        let is_commit = buffer[..count].windows(COMMIT.len()).any(|part| part == COMMIT);
        match mood.load(Ordering::SeqCst) {
            LOSE_ANSWER if is_commit => {
                mood.store(CALM, Ordering::SeqCst);
                is_lost.store(true, Ordering::SeqCst);
                server.write_all(&buffer[..count]).unwrap();
                return;
            }
            LOSE_COMMIT if is_commit => {
                mood.store(CALM, Ordering::SeqCst);
                client.shutdown(Shutdown::Both).unwrap();
                // The server waits for what never comes.
                let mut rest = Vec::new();
                let _ = server.read_to_end(&mut rest);
                return;
            }
            _ if server.write_all(&buffer[..count]).is_err() => return,
            _ => {}
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

/// Hands on what the server answers, until its next answer is to be lost: it has
/// done by then what it was asked for.
fn down(mut answers: TcpStream, mut client: TcpStream, is_lost: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = answers.read(&mut buffer) {
        if is_lost.load(Ordering::SeqCst) || client.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}
