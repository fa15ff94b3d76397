//! The guest's standard output and standard error, as lines of the log.
//!
//! They never close and never block: a guest that writes too much loses lines,
//! and the log counts them. (A closed stream would make a guest panic.)

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::report::log::RunLog;
use crate::report::{Level, LogSource};

/// Bytes that the guest may hand over in one call.
const CHUNK: usize = 64 * 1024;

/// One of the guest's two outputs. Clones share it.
#[derive(Clone)]
pub(crate) struct GuestOutput(Arc<Shared>);

struct Shared {
    log: Arc<RunLog>,
    source: LogSource,
    max_line: usize,
    partial: Mutex<Vec<u8>>,
}

impl GuestOutput {
    pub(crate) fn new(log: Arc<RunLog>, source: LogSource, max_line: usize) -> Self {
        Self(Arc::new(Shared { log, source, max_line, partial: Mutex::default() }))
    }

    /// Logs what the guest wrote without ending the line.
    pub(crate) fn flush(&self) {
        let mut partial = self.0.partial.lock().unwrap_or_else(PoisonError::into_inner);
        if !partial.is_empty() {
            self.0.line(&std::mem::take(&mut *partial));
        }
    }

    fn write(&self, bytes: &[u8]) {
        let mut partial = self.0.partial.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            // One byte beyond the limit, so that the log sees that it has to cut.
            let room = (self.0.max_line + 1).saturating_sub(partial.len());
            partial.extend_from_slice(text.get(..room.min(text.len())).unwrap_or(text));
            if ended {
                self.0.line(&std::mem::take(&mut *partial));
            }
        }
    }
}

impl Shared {
    fn line(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end_matches('\r');
        if !text.is_empty() {
            self.log.guest_line(Level::Info, self.source, text, &[]);
        }
    }
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        Self::write(self, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}

impl AsyncWrite for GuestOutput {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        Self::write(&self, bytes);
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}
