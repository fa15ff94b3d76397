//! Bytes in memory that nobody can change any more, whoever else has them: on
//! Linux a sealed file of memory, which is mapped and handed to other processes
//! without being copied.

use std::io::{self, Read};
use std::sync::Arc;

/// Bytes that are read, looked at and written at a time.
const CHUNK: usize = 128 * 1024;

#[cfg(target_os = "linux")]
mod memory {
    use std::fs::File;
    use std::io::{self, Write as _};

    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

    pub(super) type Memory = File;

    pub(super) fn create() -> io::Result<Memory> {
        Ok(memfd_create("ow-host-code", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?.into())
    }

    pub(super) fn write(memory: &mut Memory, bytes: &[u8]) -> io::Result<()> {
        memory.write_all(bytes)
    }

    pub(super) fn seal(memory: &Memory) -> io::Result<()> {
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        Ok(fcntl_add_seals(memory, seals)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod memory {
    use std::io;

    pub(super) type Memory = Vec<u8>;

    pub(super) fn create() -> io::Result<Memory> {
        Ok(Vec::new())
    }

    pub(super) fn write(memory: &mut Memory, bytes: &[u8]) -> io::Result<()> {
        memory.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn seal(_: &Memory) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes that nobody can change any more.
#[derive(Debug, Clone)]
pub(crate) struct Sealed(Arc<memory::Memory>);

impl Sealed {
    pub(crate) fn new(bytes: &[u8]) -> io::Result<Self> {
        Self::copy(bytes, |_| {})
    }

    /// Takes all that a source has, and shows each part to `look`.
    pub(crate) fn copy(mut source: impl Read, mut look: impl FnMut(&[u8])) -> io::Result<Self> {
        let mut memory = memory::create()?;
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = match source.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            look(bytes);
            memory::write(&mut memory, bytes)?;
        }
        memory::seal(&memory)?;
        Ok(Self(Arc::new(memory)))
    }

    /// The file of memory.
    #[cfg(target_os = "linux")]
    pub(crate) fn file(&self) -> &std::fs::File {
        &self.0
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    #[test]
    fn all_of_a_source_is_taken_and_cannot_be_changed() {
        let bytes: Vec<u8> = (0..3 * CHUNK + 5).map(|index| u8::try_from(index % 251).unwrap()).collect();
        let mut seen = Vec::new();
        let sealed = Sealed::copy(&*bytes, |part| seen.extend_from_slice(part)).unwrap();
        let mut file = sealed.file().try_clone().unwrap();
        file.rewind().unwrap();
        let mut kept = Vec::new();
        file.read_to_end(&mut kept).unwrap();
        assert!(seen == bytes && kept == bytes);
        file.rewind().unwrap();
        assert!(file.write_all(b"x").is_err() && file.set_len(1).is_err() && file.write_all(b"y").is_err());
    }
}
