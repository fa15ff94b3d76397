//! What a worker and the host say to each other.
//!
//! First the host writes one [`Start`] as a frame. Then the worker is an HTTP/2
//! client of the host on the same socket, so that requests of the guest, batches
//! of rows and control run beside each other with flow control of their own.
//! Each request is a POST to one of [`path`]; what is in them is said there.
//! Everything that a worker sends is as untrusted as its guest.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use bytes::{Buf, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bridge::bindings::exports::ow::connector::connector::ConnectorSpec;
use crate::bridge::bindings::ow::connector::types::{Error, Stream};
use crate::failure::{Failure, FailureClass};
use crate::report::audit::FolderCounts;
use crate::report::{Denied, DeniedCount, Level, LogSource};
use crate::sandbox::Limits;

/// What the requests of a worker are for.
pub(super) mod path {
    /// Both bodies are streams of frames as long as the worker lives:
    /// [`super::ToHost`] there, [`super::ToWorker`] back.
    pub(crate) const CONTROL: &str = "/control";
    /// A stream and a [`super::Mode`]; back the writer's number or an error.
    pub(crate) const OPEN: &str = "/open";
    /// A batch for the writer whose number follows; see `batch`.
    pub(crate) const WRITE: &str = "/write/";
    /// A key and a value of the state; back the value as it was taken, if it is
    /// another, or an error.
    pub(crate) const SET: &str = "/set";
    /// Nothing; back nothing or an error.
    pub(crate) const COMMIT: &str = "/commit";
    /// A request of the guest; see `http`.
    pub(crate) const HTTP: &str = "/http";

    /// A header of every request but the one for control: so many messages were
    /// sent on control before, and are to be heard first.
    pub(crate) const AFTER: &str = "after";
}

/// What a worker needs to know before it locks itself in.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    /// The host's version and its engine's settings: the worker must be of the
    /// same make.
    pub(super) make: String,
    pub(super) work: Work,
}

/// What a worker is for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Work {
    /// Compile the component on the second descriptor, if need be on a kernel that
    /// cannot lock the worker in.
    Compile { memory: u64, cpu_seconds: u64, most_code: u64, locked_in: bool },
    /// Run the compiled component on the second descriptor.
    Run(Box<RunWork>),
}

/// What a run is given.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RunWork {
    /// The component's file, for messages.
    pub(super) name: String,
    pub(super) limits: Limits,
    pub(super) environment: Vec<(String, String)>,
    /// Folders of the host, where the guest sees them, and whether it may write.
    pub(super) mounts: Vec<(PathBuf, String, bool)>,
    pub(super) scratch: PathBuf,
    pub(super) state: BTreeMap<String, String>,
}

/// A function of the connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Call {
    /// None: only make the connector ready.
    Instantiate,
    Spec,
    Check,
    Discover,
    Run,
}

/// From the host to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToWorker {
    Call(Call),
    Cancel,
}

/// From a worker to the host.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToHost {
    Log { level: Level, source: LogSource, message: String, fields: Vec<(String, String)> },
    Progress { done: u64, total: Option<u64>, unit: String },
    Meters(Meters),
    Answer(Box<Answer>),
}

/// What a guest has used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meters {
    pub(crate) memory: u64,
    pub(crate) peak_memory: u64,
    pub(crate) cpu_nanos: u64,
}

/// How a call went.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) returned: Result<Returned, Told>,
    /// The limit of the scratch folder that the guest ran into.
    pub(super) scratch: Option<Told>,
    /// What the guest did in its folders, by where it sees them.
    pub(super) folders: Vec<(String, FolderCounts)>,
    /// What was refused to the guest.
    pub(super) refusals: Vec<Refusal>,
    pub(super) meters: Meters,
    pub(super) dropped_log_lines: u64,
}

/// A [`DeniedCount`], every field of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Refusal {
    attempt: String,
    reason: String,
    grant: Option<String>,
    count: u64,
}

impl From<DeniedCount> for Refusal {
    fn from(DeniedCount { denied: Denied { attempt, reason, grant }, count }: DeniedCount) -> Self {
        Self { attempt, reason, grant, count }
    }
}

impl From<Refusal> for DeniedCount {
    fn from(Refusal { attempt, reason, grant, count }: Refusal) -> Self {
        Self { denied: Denied { attempt, reason, grant }, count }
    }
}

/// What a function of the connector returned.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Returned {
    Spec(ConnectorSpec),
    Streams(Result<Vec<Stream>, Error>),
    Nothing(Result<(), Error>),
}

/// A [`Failure`], every field of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    class: FailureClass,
    message: String,
    hint: Option<String>,
    parameter: Option<String>,
    retryable: bool,
    from_connector: bool,
}

impl From<Failure> for Told {
    fn from(failure: Failure) -> Self {
        let Failure { class, message, hint, parameter, retryable, from_connector } = failure;
        Self { class, message, hint, parameter, retryable, from_connector }
    }
}

impl Told {
    /// The failure, its texts made fit by `clean`.
    pub(super) fn failure(self, clean: impl Fn(&str) -> String) -> Failure {
        let mut failure = Failure::new(self.class, clean(&self.message));
        failure.hint = self.hint.as_deref().map(&clean);
        failure.parameter = self.parameter.as_deref().map(&clean);
        failure.retryable = self.retryable;
        failure.from_connector = self.from_connector;
        failure
    }
}

/// Bytes of a frame's length.
const LENGTH: usize = 4;

/// A message as bytes.
pub(super) fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    postcard::to_allocvec(message).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// A message from bytes.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    postcard::from_bytes(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// A message as a frame: its length in four bytes, little-endian, then itself.
pub(super) fn frame<T: Serialize>(message: &T) -> io::Result<Bytes> {
    let body = encode(message)?;
    let length = u32::try_from(body.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut frame = BytesMut::with_capacity(LENGTH + body.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&body);
    Ok(frame.freeze())
}

/// Takes a whole frame of at most `most` bytes off the front, if there is one.
pub(super) fn take_frame(buffer: &mut BytesMut, most: usize) -> io::Result<Option<Bytes>> {
    let Some(length) = buffer.first_chunk::<LENGTH>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if length > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"));
    }
    if buffer.len() < LENGTH + length {
        return Ok(None);
    }
    buffer.advance(LENGTH);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// Writes a message as a frame and waits until it is written.
pub(super) fn write_frame<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    to.write_all(&frame(message)?)?;
    to.flush()
}

/// Reads a frame of at most `most` bytes and waits for it.
pub(super) fn read_frame<T: DeserializeOwned>(from: &mut impl Read, most: u64) -> io::Result<T> {
    let mut length = [0; LENGTH];
    from.read_exact(&mut length)?;
    let length = u64::from(u32::from_le_bytes(length));
    if length > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"));
    }
    // What did come, not what was promised, takes memory.
    let mut body = Vec::new();
    from.take(length).read_to_end(&mut body)?;
    if body.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    decode(&body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_whole_or_not_at_all() {
        let message = ToHost::Progress { done: 3, total: Some(7), unit: "pages".into() };
        let bytes = [frame(&message).unwrap(), frame(&ToWorker::Cancel).unwrap()].concat();
        let mut buffer = BytesMut::new();
        let mut frames = Vec::new();
        for byte in bytes {
            buffer.extend_from_slice(&[byte]);
            frames.extend(take_frame(&mut buffer, 100).unwrap());
        }
        assert_eq!(frames.len(), 2);
        assert!(matches!(decode(&frames[0]).unwrap(), ToHost::Progress { done: 3, total: Some(7), .. }));
        assert!(matches!(decode(&frames[1]).unwrap(), ToWorker::Cancel));
    }

    #[test]
    fn a_frame_that_lies_about_its_length_is_refused() {
        let mut huge = BytesMut::from(&u32::MAX.to_le_bytes()[..]);
        assert!(take_frame(&mut huge, 1000).is_err());
        assert!(read_frame::<ToWorker>(&mut &u32::MAX.to_le_bytes()[..], 1000).is_err());
        assert!(read_frame::<ToWorker>(&mut &[9, 0, 0, 0, 1][..], 1000).is_err());
        // A list that promises more than there is.
        assert!(decode::<Vec<Vec<u64>>>(&[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
    }
}
