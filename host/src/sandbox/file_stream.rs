//! Reading a file as a stream: what the page cache holds is answered at once.
//!
//! The engine's own stream takes a thread of the blocking pool for each read,
//! and waiting for that thread costs more than the read. Here Linux is asked for
//! what it has without waiting (`RWF_NOWAIT`); only a read that would wait for
//! the disk, or a system that cannot tell, takes a thread.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::task::JoinHandle;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi::p2::{DynInputStream, InputStream, Pollable, StreamError, StreamResult};

use super::guest::GuestState;

/// The most that one read answers.
const MAX_READ: usize = 256 * 1024;
/// What is read for a guest that waits without having said how much it wants.
const DEFAULT_READ: usize = 64 * 1024;

/// A file from a position on.
pub(super) struct FileStream {
    file: Arc<File>,
    position: u64,
    state: State,
}

enum State {
    Idle,
    Waiting(JoinHandle<io::Result<Bytes>>),
    Ready(io::Result<Bytes>),
    Closed,
}

impl FileStream {
    pub(super) fn new(file: Arc<File>, position: u64) -> Self {
        Self { file, position, state: State::Idle }
    }

    /// Starts a read, unless one is under way or its answer is there.
    fn start(&mut self, size: usize) {
        if !matches!(self.state, State::Idle) {
            return;
        }
        let (size, position) = (size.min(MAX_READ), self.position);
        self.state = match read_cached(&self.file, size, position) {
            Some(bytes) => State::Ready(Ok(bytes)),
            None => {
                let file = Arc::clone(&self.file);
                State::Waiting(tokio::task::spawn_blocking(move || read(&file, size, position)))
            }
        };
    }

    /// Waits for the read that is under way.
    async fn wait(&mut self) {
        if let State::Waiting(task) = &mut self.state {
            self.state = State::Ready(task.await.unwrap_or_else(|error| Err(io::Error::other(error))));
        }
    }

    /// The answer of the read, up to `size` bytes of it.
    fn take(&mut self, size: usize) -> StreamResult<Bytes> {
        match &mut self.state {
            State::Idle | State::Waiting(_) => Ok(Bytes::new()),
            State::Closed => Err(StreamError::Closed),
            State::Ready(Ok(bytes)) if bytes.is_empty() => {
                self.state = State::Closed;
                Err(StreamError::Closed)
            }
            State::Ready(Ok(bytes)) => {
                let taken = bytes.split_to(bytes.len().min(size));
                if bytes.is_empty() {
                    self.state = State::Idle;
                }
                self.position = self.position.saturating_add(u64::try_from(taken.len()).unwrap_or(u64::MAX));
                Ok(taken)
            }
            State::Ready(Err(error)) => {
                let error = std::mem::replace(error, io::ErrorKind::Other.into());
                self.state = State::Closed;
                Err(StreamError::LastOperationFailed(error.into()))
            }
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for FileStream {
    async fn ready(&mut self) {
        self.start(DEFAULT_READ);
        self.wait().await;
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for FileStream {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size > 0 {
            self.start(size);
        }
        self.take(size)
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size > 0 {
            self.start(size);
            self.wait().await;
        }
        self.take(size)
    }

    async fn cancel(&mut self) {
        // A read on a thread of the pool cannot be stopped: a guest that drops
        // its stream waits for it, so that it cannot pile reads up.
        self.wait().await;
    }
}

/// Reads what the page cache holds; none where that would wait or cannot be
/// told.
#[cfg(target_os = "linux")]
fn read_cached(file: &File, size: usize, position: u64) -> Option<Bytes> {
    let mut buffer = BytesMut::zeroed(size);
    let slices = &mut [io::IoSliceMut::new(&mut buffer)];
    let read = rustix::io::preadv2(file, slices, position, rustix::io::ReadWriteFlags::NOWAIT).ok()?;
    buffer.truncate(read);
    Some(buffer.freeze())
}

#[cfg(not(target_os = "linux"))]
fn read_cached(_: &File, _: usize, _: u64) -> Option<Bytes> {
    None
}

fn read(file: &File, size: usize, position: u64) -> io::Result<Bytes> {
    let mut buffer = BytesMut::zeroed(size);
    loop {
        match file.read_at(&mut buffer, position) {
            Ok(read) => {
                buffer.truncate(read);
                return Ok(buffer.freeze());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Replaces the function by which a guest reads files as streams.
pub(super) fn add_to_linker<B: Send + 'static>(linker: &mut Linker<GuestState<B>>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance("wasi:filesystem/types@0.2.12")?.func_wrap(
        "[method]descriptor.read-via-stream",
        |mut cx: StoreContextMut<'_, GuestState<B>>, (fd, offset): (Resource<Descriptor>, u64)| {
            let table = &mut cx.data_mut().table;
            let file = match table.get(&fd)? {
                Descriptor::File(file) => Arc::clone(&file.file),
                Descriptor::Dir(_) => return Ok((Err(ErrorCode::IsDirectory),)),
            };
            let stream: DynInputStream = Box::new(FileStream::new(file, offset));
            Ok((Ok(table.push(stream)?),))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    #[tokio::test]
    async fn a_file_is_read_from_a_position_to_its_end() {
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
        let mut stream = FileStream::new(file(&bytes), 7);
        let mut read = Vec::new();
        for size in (1..).map(|turn: usize| turn * 4999) {
            match stream.blocking_read(size).await {
                Ok(more) => {
                    assert!(!more.is_empty() && more.len() <= size);
                    read.extend_from_slice(&more);
                }
                Err(StreamError::Closed) => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(read == bytes[7..]);
        assert!(matches!(stream.read(1), Err(StreamError::Closed)));
    }

    #[tokio::test]
    async fn a_read_that_does_not_wait_answers_what_a_later_one_takes_up() {
        let mut stream = FileStream::new(file(b"abcdef"), 0);
        assert_eq!(stream.read(0).unwrap().len(), 0);
        stream.ready().await;
        assert_eq!(stream.read(2).unwrap(), "ab");
        assert_eq!(stream.blocking_read(2).await.unwrap(), "cd");
        assert_eq!(stream.blocking_skip(9).await.unwrap(), 2);
        stream.cancel().await;
        stream.ready().await;
        assert!(matches!(stream.read(1), Err(StreamError::Closed)));
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_says_so_once() {
        let folder = tempfile::tempdir().unwrap();
        let write_only = File::create(folder.path().join("x")).unwrap();
        let mut stream = FileStream::new(Arc::new(write_only), 0);
        assert!(matches!(stream.blocking_read(1).await, Err(StreamError::LastOperationFailed(_))));
        assert!(matches!(stream.blocking_read(1).await, Err(StreamError::Closed)));
    }
}
