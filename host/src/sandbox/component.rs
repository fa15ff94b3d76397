//! A component from a file: what the file is, whether this host can run it, and
//! its compiled form.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmparser::{Encoding, Parser, Payload};
use wasmtime::Engine;
use wasmtime::component::Component as Compiled;

use super::cache::{self, Cache};
use super::control::limit;
use super::sealed::Sealed;
use super::{ByteSize, Limits, engine};
use crate::failure::{Failure, FailureClass};
use crate::isolation::{Isolation, Program};
use crate::report::text::is_unfit;

/// The contract's package.
pub const CONTRACT: &str = "ow:connector";
/// The version of the contract that this host speaks.
pub const CONTRACT_VERSION: &str = "0.1.0";
/// What the host provides of the contract.
const PROVIDED: &[&str] = &["types", "storage", "state", "report"];
/// What the host provides of WASI 0.2.
const PROVIDED_WASI: &[&str] = &["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileKind {
    /// A WebAssembly component.
    Component,
    /// A WebAssembly core module.
    CoreModule,
    /// WebAssembly's text format.
    Text,
    /// Machine code that wasmtime compiled earlier.
    Precompiled,
    /// WebAssembly of a version that is not known.
    UnknownWasm,
    /// Nothing.
    Empty,
    /// Something else.
    Other,
}

impl FileKind {
    /// What the bytes of a file are.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [] => Self::Empty,
            [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Self::Component,
            [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => Self::CoreModule,
            [b'\0', b'a', b's', b'm', ..] => Self::UnknownWasm,
            _ if Engine::detect_precompiled(bytes).is_some() => Self::Precompiled,
            _ => {
                let start = bytes.trim_ascii_start();
                let text = start.starts_with(b"(module")
                    || start.starts_with(b"(component")
                    || start.starts_with(b";;");
                if text { Self::Text } else { Self::Other }
            }
        }
    }

    /// What to say of it.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Component => "a WebAssembly component",
            Self::CoreModule => "a WebAssembly core module, not a component",
            Self::Text => "WebAssembly's text format, not a component",
            Self::Precompiled => "machine code that wasmtime compiled earlier, not a component",
            Self::UnknownWasm => "WebAssembly of an unknown version, or damaged",
            Self::Empty => "empty",
            Self::Other => "not WebAssembly",
        }
    }

    /// What to do about it, where it is no component.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Component => "",
            Self::CoreModule => {
                "build it as a component: in Rust with `--target wasm32-wasip2` (not wasm32-wasip1 or \
                 wasm32-unknown-unknown), or convert it with `wasm-tools component new`"
            }
            Self::Text => "convert it with `wasm-tools parse`",
            Self::Precompiled => {
                "give the `.wasm` file that it was made from: machine code is never taken from outside"
            }
            Self::UnknownWasm | Self::Empty => "build or fetch it again",
            Self::Other => "give a connector's `.wasm` file",
        }
    }
}

/// The bytes of a connector's file and their digest.
#[derive(Clone)]
pub struct ComponentFile {
    /// Where it comes from, for messages.
    pub name: String,
    /// Its bytes.
    pub bytes: bytes::Bytes,
    /// Their SHA-256.
    pub digest: [u8; 32],
    /// The file, where it is one: its signature lies beside it.
    pub path: Option<PathBuf>,
    /// Its signature, where it was handed over with the bytes.
    pub signature: Option<bytes::Bytes>,
}

impl std::fmt::Debug for ComponentFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ComponentFile")
            .field("name", &self.name)
            .field("digest", &self.digest())
            .finish_non_exhaustive()
    }
}

impl ComponentFile {
    /// Reads a file of at most `max` bytes.
    ///
    /// # Errors
    ///
    /// If it cannot be read or is larger.
    pub fn read(path: &Path, max: ByteSize) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let unreadable = |error: std::io::Error| {
            Failure::new(FailureClass::Component, format!("{name}: {}", plain(&error)))
                .with_hint("give the path of a connector's `.wasm` file")
        };
        let file = File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.is_dir() {
            return Err(unreadable(std::io::ErrorKind::IsADirectory.into()));
        }
        // At most a guess: what a file says of its size may be wrong.
        let size = file.metadata().map_or(0, |metadata| metadata.len().min(max.get()));
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1));
        file.take(max.get().saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
        Ok(Self { path: Some(path.to_owned()), ..Self::from_bytes(name, bytes, max)? })
    }

    /// Takes bytes that are in memory.
    ///
    /// # Errors
    ///
    /// If there are more than `max`.
    pub fn from_bytes(
        name: impl Into<String>,
        bytes: impl Into<bytes::Bytes>,
        max: ByteSize,
    ) -> Result<Self, Failure> {
        let (name, bytes) = (name.into(), bytes.into());
        if bytes.len() > max.as_usize() {
            return Err(limit("component_bytes", format!("{name}: the file is larger than {max}")));
        }
        let digest = Sha256::digest(&bytes).into();
        Ok(Self { name, bytes, digest, path: None, signature: None })
    }

    /// The file with its signature, 64 bytes of Ed25519, which then counts in
    /// place of a signature file.
    #[must_use]
    pub fn with_signature(mut self, signature: impl Into<bytes::Bytes>) -> Self {
        self.signature = Some(signature.into());
        self
    }

    /// The digest in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        hex(&self.digest)
    }

    /// What the file is.
    #[must_use]
    pub fn kind(&self) -> FileKind {
        FileKind::of(&self.bytes)
    }

    /// Refuses the file if its digest is not the pinned one.
    ///
    /// # Errors
    ///
    /// If the digests differ.
    pub fn verify(&self, pinned: &str) -> Result<(), Failure> {
        if pinned.eq_ignore_ascii_case(&self.digest()) {
            return Ok(());
        }
        Err(Failure::new(
            FailureClass::Component,
            format!("{}: its SHA-256 is {}, but the configuration pins {pinned}", self.name, self.digest()),
        )
        .with_hint("the file is not the one that was approved; check where it comes from before you change `connector.sha256`"))
    }
}

/// A component that is compiled and speaks this host's contract.
#[derive(Clone)]
pub struct Component {
    /// Its file's digest in hexadecimal.
    pub digest: String,
    /// Its file's name, for messages.
    pub name: String,
    /// Its file's size in bytes.
    pub size: u64,
    /// The interfaces it imports.
    pub imports: Vec<String>,
    /// The interfaces it exports.
    pub exports: Vec<String>,
    code: Code,
}

/// A component's code, where it is to be run.
#[derive(Clone)]
pub(crate) enum Code {
    /// In this process.
    Here(Compiled),
    /// In workers of this program.
    #[cfg(target_os = "linux")]
    Apart(Program, Sealed),
}

/// How components are compiled and kept.
#[derive(Debug, Clone, Copy)]
pub struct Loading<'a> {
    /// Where compiled components are kept.
    pub cache: Option<&'a Cache>,
    /// What compiles and runs components in processes of their own; without it
    /// they are compiled here.
    pub program: Option<&'a Program>,
    /// Where the component is to be run.
    pub isolation: Isolation,
    /// Time and memory to compile it.
    pub limits: &'a Limits,
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Component {
    /// Takes the compiled form from the cache, or compiles the file and keeps
    /// it there. The second value says why it could not be kept. Blocks.
    ///
    /// # Errors
    ///
    /// If the file is no component, is damaged, does not fit the contract, or
    /// takes too much to compile.
    pub fn load(file: &ComponentFile, loading: &Loading<'_>) -> Result<(Self, Option<String>), Failure> {
        let kind = file.kind();
        if kind != FileKind::Component {
            let message = format!("{}: this is {}", file.name, kind.describe());
            return Err(Failure::new(FailureClass::Component, message).with_hint(kind.hint()));
        }
        let engine = engine::shared().map_err(|error| {
            Failure::new(FailureClass::Internal, format!("this machine cannot run WebAssembly: {error:#}"))
        })?;
        let kept = loading.cache.and_then(|cache| cache.load(engine, &file.digest));
        let (code, note) = match kept {
            Some(code) => (code, None),
            None => {
                let code = compile(engine, file, loading)?;
                let note = loading.cache.and_then(|cache| cache.store(engine, &file.digest, &code).err());
                (Sealed::new(&code).map_err(|error| unusable(file, &error))?, note)
            }
        };
        let (imports, exports) = names(&file.bytes).map_err(|error| broken(file, &error.to_string()))?;
        let size = u64::try_from(file.bytes.len()).unwrap_or(u64::MAX);
        let code = place(engine, file, code, loading)?;
        let component = Self { digest: file.digest(), name: file.name.clone(), size, imports, exports, code };
        component.check_contract()?;
        Ok((component, note))
    }

    /// Its code.
    pub(crate) fn code(&self) -> &Code {
        &self.code
    }

    /// Whether the host provides what the component imports, and the component
    /// exports what the host calls; the engine's own message would not say which
    /// version is at fault.
    fn check_contract(&self) -> Result<(), Failure> {
        let refuse = |message: String, hint: &str| {
            Err(Failure::new(FailureClass::Component, format!("{}: {message}", self.name)).with_hint(hint))
        };
        for name in self.imports.iter().chain(&self.exports) {
            if let Some(version) = contract_version(name).filter(|version| !compatible(version)) {
                let message = format!(
                    "it was built for version {version} of the contract {CONTRACT}; this host speaks {CONTRACT_VERSION}"
                );
                let older = version_key(version) < version_key(CONTRACT_VERSION);
                return refuse(
                    message,
                    if older {
                        "build the connector again with the current SDK, or run it with an older ow-host"
                    } else {
                        "run it with a newer ow-host"
                    },
                );
            }
        }
        if let Some(unknown) = self.imports.iter().find(|name| !provided(name)) {
            return refuse(
                format!("it imports `{unknown}`, which this host does not provide"),
                "a connector may import ow:connector's storage, state and report, and WASI 0.2 (cli, clocks, filesystem, http, io, random, sockets)",
            );
        }
        let exports_connector = self
            .exports
            .iter()
            .any(|name| contract_version(name).is_some() && interface(name) == "connector");
        if !exports_connector {
            return refuse(
                format!(
                    "it does not export `{CONTRACT}/connector@{CONTRACT_VERSION}`, so that it is a component but no connector"
                ),
                "build it against the WIT package `ow:connector`, world `source`",
            );
        }
        Ok(())
    }
}

/// The code of a component.
fn compile(engine: &Engine, file: &ComponentFile, loading: &Loading<'_>) -> Result<Vec<u8>, Failure> {
    #[cfg(target_os = "linux")]
    if let Some(program) = loading.program {
        use crate::isolation::compile::{NoCode, compile};

        let code =
            compile(program, &file.name, &file.bytes, loading.limits, loading.isolation, cache::ENTRY_BYTES);
        return code.map_err(|error| match error {
            NoCode::Broken(message) => broken(file, &message),
            NoCode::Failed(failure) => failure,
        });
    }
    let _ = loading;
    engine.precompile_component(&file.bytes).map_err(|error| broken(file, &format!("{error:#}")))
}

/// Brings code to where it is to be run.
fn place(
    engine: &Engine,
    file: &ComponentFile,
    code: Sealed,
    loading: &Loading<'_>,
) -> Result<Code, Failure> {
    if loading.isolation == Isolation::None {
        return cache::trust(engine, &code).map(Code::Here).map_err(|error| unusable(file, &error));
    }
    #[cfg(target_os = "linux")]
    if let Some(program) = loading.program {
        return Ok(Code::Apart(program.clone(), code));
    }
    Err(Failure::new(FailureClass::Usage, "a run cannot be isolated in a process of its own here").with_hint(
        "it needs Linux, and a program that embeds ow-host must name one that workers are started from",
    ))
}

fn unusable(file: &ComponentFile, error: &dyn std::fmt::Display) -> Failure {
    let message = format!("{}: its compiled form cannot be used: {error:#}", file.name);
    Failure::new(FailureClass::Internal, message)
}

/// The names that a component imports and exports, fit for a terminal.
fn names(bytes: &[u8]) -> wasmparser::Result<(Vec<String>, Vec<String>)> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    // Modules and components inside have names of their own.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding: Encoding::Component | Encoding::Module, .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(plain_text(import?.name.name));
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(plain_text(export?.name.name));
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

/// What is wrong with a component that does not compile.
fn broken(file: &ComponentFile, text: &str) -> Failure {
    let truncated = ["unexpected end", "unexpected eof", "is out of bounds (bound"]
        .iter()
        .any(|sign| text.contains(sign));
    let (what, hint) = if truncated {
        ("the file is truncated", "fetch or build it again")
    } else {
        ("it is not a valid component", "build it again with current tools, or report it to its author")
    };
    Failure::new(FailureClass::Component, format!("{}: {what}: {}", file.name, plain_text(text)))
        .with_hint(hint)
}

/// The version in the name of one of the contract's interfaces.
fn contract_version(name: &str) -> Option<&str> {
    let rest = name.strip_prefix(CONTRACT)?.strip_prefix('/')?;
    Some(rest.split_once('@').map_or("unknown", |(_, version)| version))
}

/// The interface in a name such as `wasi:cli/environment@0.2.0`.
fn interface(name: &str) -> &str {
    let rest = name.split_once('/').map_or(name, |(_, rest)| rest);
    rest.split_once('@').map_or(rest, |(interface, _)| interface)
}

fn version_key(version: &str) -> Vec<u64> {
    version.split('.').map(|part| part.parse().unwrap_or_default()).collect()
}

/// Whether a component built for `version` runs here: in 0.x the middle number
/// is the incompatible one.
fn compatible(version: &str) -> bool {
    let (theirs, ours) = (version_key(version), version_key(CONTRACT_VERSION));
    theirs.len() == 3 && theirs.get(..2) == ours.get(..2) && theirs.get(2) <= ours.get(2)
}

fn provided(name: &str) -> bool {
    if contract_version(name).is_some() {
        return PROVIDED.contains(&interface(name));
    }
    let wasi = |package: &str| {
        let rest = name.strip_prefix("wasi:").and_then(|rest| rest.strip_prefix(package));
        rest.is_some_and(|rest| rest.starts_with('/')) && name.contains("@0.2.")
    };
    PROVIDED_WASI.iter().any(|package| wasi(package))
}

/// An I/O error without the number of the operating system's error.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// A message from a parser of hostile bytes, or a name in them, fit for a
/// terminal.
fn plain_text(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_unfit(c) { ' ' } else { c }).take(500).collect()
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart() {
        assert_eq!(FileKind::of(b""), FileKind::Empty);
        assert_eq!(FileKind::of(b"\0asm\x0d\0\x01\0rest"), FileKind::Component);
        assert_eq!(FileKind::of(b"\0asm\x01\0\0\0"), FileKind::CoreModule);
        assert_eq!(FileKind::of(b"\0asm\x09"), FileKind::UnknownWasm);
        assert_eq!(FileKind::of(b"  (component)"), FileKind::Text);
        assert_eq!(FileKind::of(b"#!/bin/sh"), FileKind::Other);
    }

    #[test]
    fn contract_versions_are_compared() {
        assert!(compatible("0.1.0"));
        for version in ["0.1.1", "0.2.0", "0.0.9", "1.0.0", "unknown", ""] {
            assert!(!compatible(version), "{version}");
        }
        assert_eq!(contract_version("ow:connector/storage@0.2.0"), Some("0.2.0"));
        assert_eq!(contract_version("ow:connectors/storage@0.2.0"), None);
        assert!(provided("wasi:cli/environment@0.2.6"));
        assert!(!provided("wasi:cli/environment@0.3.0"));
        assert!(!provided("wasi:clipboard/x@0.2.0"));
        assert!(!provided("ow:connector/other@0.1.0"));
    }
}
