//! What earlier runs have read, in the state: for each file its size, its time
//! and a hash of its content.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use ow_connector::prelude::*;
use serde_json::Value;

use crate::catalog::File;
use crate::settings::Settings;

/// Parts of a stream's state, so that the commit after each file writes the
/// names of a few files, not of all.
const PARTS: u64 = 64;

/// Bytes hashed at once.
const CHUNK: usize = 256 * 1024;

/// What a file was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    size: u64,
    modified: Option<i64>,
    hash: u64,
}

impl Fingerprint {
    /// Reads the file once.
    pub(crate) fn of(ctx: &Context<Settings>, file: &File) -> Result<Self> {
        let unreadable = |error: std::io::Error| Error::invalid_data(format!("{}: {error}", file.name));
        let mut reader = std::fs::File::open(&file.path).map_err(unreadable)?;
        let (mut hash, mut chunk) = (Hash::default(), vec![0; CHUNK]);
        loop {
            ctx.cancelled()?;
            match reader.read(&mut chunk).map_err(unreadable)? {
                0 => break,
                read => hash.add(chunk.get(..read).unwrap_or_default()),
            }
        }
        Ok(Self { size: file.size, modified: file.modified, hash: hash.end() })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ');
        let size = parts.next()?.parse().ok()?;
        let modified = match parts.next()? {
            "?" => None,
            micros => Some(micros.parse().ok()?),
        };
        Some(Self { size, modified, hash: u64::from_str_radix(parts.next()?, 16).ok()? })
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ", self.size)?;
        match self.modified {
            Some(micros) => write!(f, "{micros}")?,
            None => f.write_str("?")?,
        }
        write!(f, " {:016x}", self.hash)
    }
}

/// Tells one content from another, eight bytes at a time. It is no proof against
/// forgery: the folder is one that the operator chose.
#[derive(Default)]
struct Hash {
    state: u64,
    length: u64,
    rest: Vec<u8>,
}

impl Hash {
    fn add(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if !self.rest.is_empty() {
            let missing = (8 - self.rest.len()).min(bytes.len());
            let (first, after) = bytes.split_at(missing);
            self.rest.extend_from_slice(first);
            bytes = after;
            if self.rest.len() < 8 {
                return;
            }
            let word = std::mem::take(&mut self.rest);
            self.words(&word);
        }
        let whole = bytes.len() - bytes.len() % 8;
        let (words, rest) = bytes.split_at(whole);
        self.words(words);
        self.rest.extend_from_slice(rest);
    }

    fn words(&mut self, bytes: &[u8]) {
        for word in bytes.chunks_exact(8) {
            let word = word.try_into().map_or(0, u64::from_le_bytes);
            self.state = mix(self.state ^ word);
        }
    }

    fn end(mut self) -> u64 {
        let mut last = std::mem::take(&mut self.rest);
        last.resize(8, 0);
        self.words(&last);
        mix(self.state ^ self.length)
    }
}

/// The finalizer of SplitMix64: every bit of the input moves every bit of the
/// output.
fn mix(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The files of one stream that were read, under the state keys `STREAM/00` to
/// `STREAM/3f`.
pub(crate) struct Known {
    stream: String,
    parts: BTreeMap<u64, BTreeMap<String, String>>,
}

impl Known {
    /// The state without the files that are gone.
    pub(crate) fn load(ctx: &mut Context<Settings>, stream: &str, files: &[File]) -> Result<Self> {
        let there: BTreeSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
        let mut known = Self { stream: stream.to_owned(), parts: BTreeMap::new() };
        for part in 0..PARTS {
            let key = known.key(part);
            let Some(mut names) = ctx.state::<BTreeMap<String, String>>(&key)? else { continue };
            let before = names.len();
            names.retain(|name, _| there.contains(name.as_str()));
            if names.len() < before {
                set(ctx, &key, &names)?;
            }
            known.parts.insert(part, names);
        }
        Ok(known)
    }

    fn key(&self, part: u64) -> String {
        format!("{}/{part:02x}", self.stream)
    }

    fn part(name: &str) -> u64 {
        let mut hash = Hash::default();
        hash.add(name.as_bytes());
        hash.end() % PARTS
    }

    fn get(&self, name: &str) -> Option<Fingerprint> {
        Fingerprint::parse(self.parts.get(&Self::part(name))?.get(name)?)
    }

    /// Whether the file has been read before.
    pub(crate) fn has(&self, file: &File) -> bool {
        self.get(&file.name).is_some()
    }

    /// Whether the file is as it was when it was read, to judge by its size and
    /// its time.
    pub(crate) fn is_same(&self, file: &File) -> bool {
        let known = self.get(&file.name);
        known.is_some_and(|known| {
            known.size == file.size && known.modified == file.modified && known.modified.is_some()
        })
    }

    /// Whether it may have the content that it had, to judge by its size.
    pub(crate) fn has_size(&self, file: &File) -> bool {
        self.get(&file.name).is_some_and(|known| known.size == file.size)
    }

    /// Whether it has the content that it had.
    pub(crate) fn has_content(&self, file: &File, now: &Fingerprint) -> bool {
        self.get(&file.name).is_some_and(|known| known.size == now.size && known.hash == now.hash)
    }

    /// Remembers a file that was read.
    pub(crate) fn insert(
        &mut self,
        ctx: &mut Context<Settings>,
        file: &File,
        fingerprint: &Fingerprint,
    ) -> Result<()> {
        let part = Self::part(&file.name);
        let key = self.key(part);
        let names = self.parts.entry(part).or_default();
        names.insert(file.name.clone(), fingerprint.to_string());
        set(ctx, &key, names)
    }
}

/// Sets a part of the state; one without names is removed.
fn set(ctx: &mut Context<Settings>, key: &str, names: &BTreeMap<String, String>) -> Result<()> {
    if names.is_empty() { ctx.set_state(key, &Value::Null) } else { ctx.set_state(key, names) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(pieces: &[&[u8]]) -> u64 {
        let mut hash = Hash::default();
        pieces.iter().for_each(|piece| hash.add(piece));
        hash.end()
    }

    #[test]
    fn a_hash_goes_by_the_content_and_not_by_how_it_was_read() {
        let whole = b"the quick brown fox jumps over the lazy dog";
        for cut in 0..whole.len() {
            let (a, b) = whole.split_at(cut);
            assert_eq!(hash(&[a, b]), hash(&[whole]));
            assert_eq!(hash(&[&a[..cut / 2], &a[cut / 2..], b]), hash(&[whole]));
        }
        assert_ne!(hash(&[b"a"]), hash(&[b"a\0"]));
        assert_ne!(hash(&[b""]), hash(&[b"\0"]));
        assert_ne!(hash(&[b"12345678"]), hash(&[b"87654321"]));
    }

    #[test]
    fn fingerprints_are_written_as_they_are_read() {
        for (modified, text) in [(Some(-5), "7 -5 00000000000000ff"), (None, "7 ? 00000000000000ff")] {
            let fingerprint = Fingerprint { size: 7, modified, hash: 255 };
            assert_eq!(fingerprint.to_string(), text);
            assert_eq!(Fingerprint::parse(text), Some(fingerprint));
        }
        assert_eq!(Fingerprint::parse("158-7b928fa56e4c973a"), None);
    }
}
