//! A proxy before a PostgreSQL server that counts what the client says and stops
//! at one message. Connections that come afterwards pass.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use test_servers::PATIENCE;

/// Where the connection stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server never gets the message.
    Before,
    /// The server gets it and does what it asks; the answer is lost.
    After,
}

/// What the threads of a proxy share.
#[derive(Debug, Default)]
struct Shared {
    messages: AtomicUsize,
    at: Option<(usize, Cut)>,
    reached: AtomicBool,
    closed: AtomicBool,
    message: Mutex<Option<char>>,
    gone_on: Flag,
}

/// What the two directions of a connection share.
#[derive(Debug, Default)]
struct Connection {
    /// Nothing more goes to the client.
    mute: AtomicBool,
    ready: Flag,
}

/// Something that happens once and is waited for.
#[derive(Debug, Default)]
struct Flag {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Flag {
    fn set(&self) {
        *self.set.lock().unwrap() = true;
        self.changed.notify_all();
    }

    fn wait(&self, patience: Duration) {
        let set = self.set.lock().unwrap();
        drop(self.changed.wait_timeout_while(set, patience, |set| !*set).unwrap());
    }
}

/// A proxy; dropping it cuts what it still holds.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.go_on();
        // Wakes the thread that accepts.
        self.shared.closed.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Proxy {
    /// Before a server, such as `127.0.0.1:5432`; `at` says where it stops.
    #[must_use]
    pub fn start(server: &str, at: Option<(usize, Cut)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { at, ..Shared::default() });
        let (server, theirs) = (server.to_owned(), Arc::clone(&shared));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if theirs.closed.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(server) = TcpStream::connect(&server) else { return };
                between(client, server, &theirs);
            }
        });
        Self { shared, port }
    }

    /// Its port.
    #[must_use]
    pub fn address(&self) -> u16 {
        self.port
    }

    /// How many messages the client sent.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.shared.messages.load(Ordering::SeqCst)
    }

    /// Whether the message is there at which it stops, and the server has done
    /// what it asked.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.shared.reached.load(Ordering::SeqCst)
    }

    /// The type of the message at which it stopped.
    #[must_use]
    pub fn cut_message(&self) -> Option<char> {
        *self.shared.message.lock().unwrap()
    }

    /// Cuts the connection.
    pub fn go_on(&self) {
        self.shared.gone_on.set();
    }
}

fn between(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) {
    let (to_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (shared, ours) = (Arc::clone(shared), Arc::new(Connection::default()));
    let theirs = Arc::clone(&ours);
    std::thread::spawn(move || {
        let _ = ask(&client, &to_server, &shared, &ours);
        let _ = client.shutdown(Shutdown::Both);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    std::thread::spawn(move || {
        let _ = answer(&server, &to_client, &theirs);
        theirs.ready.set();
        // A client that is to wait may not see the end.
        if !theirs.mute.load(Ordering::SeqCst) {
            let _ = to_client.shutdown(Shutdown::Both);
        }
    });
}

/// Whether a message is one to stop at: the start of a connection, a query, the
/// end of several messages that belong together, rows. Only after these does the
/// server do something.
fn counts(kind: u8) -> bool {
    matches!(kind, b'^' | b'Q' | b'S' | b'd')
}

/// From the client to the server, until the message at which it stops.
fn ask(
    client: &TcpStream,
    mut server: &TcpStream,
    shared: &Shared,
    ours: &Connection,
) -> std::io::Result<()> {
    let mut is_first = true;
    loop {
        // The first message of a connection has no type.
        let kind = if is_first { b'^' } else { byte(client)? };
        let body = body(client)?;
        is_first = false;
        let number = counts(kind).then(|| shared.messages.fetch_add(1, Ordering::SeqCst));
        let cut = shared.at.filter(|(at, _)| Some(*at) == number).map(|(_, cut)| cut);
        if cut.is_some() {
            ours.mute.store(true, Ordering::SeqCst);
            *shared.message.lock().unwrap() = Some(char::from(kind));
        }
        if cut != Some(Cut::Before) {
            if kind != b'^' {
                server.write_all(&[kind])?;
            }
            server.write_all(&body)?;
        }
        if cut.is_some() {
            // Rows that are copied are not answered.
            if cut == Some(Cut::After) && kind != b'd' {
                ours.ready.wait(PATIENCE);
            }
            shared.reached.store(true, Ordering::SeqCst);
            shared.gone_on.wait(PATIENCE);
            return Ok(());
        }
    }
}

/// From the server to the client; tells when the server waits for the client
/// again.
fn answer(server: &TcpStream, mut client: &TcpStream, ours: &Connection) -> std::io::Result<()> {
    loop {
        let (kind, body) = (byte(server)?, body(server)?);
        if !ours.mute.load(Ordering::SeqCst) {
            client.write_all(&[kind])?;
            client.write_all(&body)?;
        } else if matches!(kind, b'Z' | b'G') {
            // It waits for a query, or for rows to copy.
            ours.ready.set();
        }
    }
}

fn byte(mut from: &TcpStream) -> std::io::Result<u8> {
    let mut byte = [0];
    from.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// A message after its type: its length, which counts itself, and the rest.
fn body(mut from: &TcpStream) -> std::io::Result<Vec<u8>> {
    let mut body = vec![0; 4];
    from.read_exact(&mut body)?;
    let length = u32::from_be_bytes(body[..4].try_into().unwrap());
    body.resize(usize::try_from(length).unwrap(), 0);
    from.read_exact(&mut body[4..])?;
    Ok(body)
}
