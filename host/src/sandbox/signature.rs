//! Signatures of components: Ed25519, detached, in a file beside the component.
//!
//! The file `connector.wasm.sig` is the signature itself, 64 bytes, over the
//! component's bytes; keys are PEM as OpenSSL writes them. So OpenSSL checks what
//! is signed here, and the other way round, and no parser stands before the check.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls::pki_types::pem::{SectionKind, from_buf};
use zeroize::Zeroizing;

use super::component::{ComponentFile, FileKind};
use crate::failure::{Failure, FailureClass};

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// A key file beyond this is none.
const KEY_FILE_BYTES: u64 = 64 * 1024;

/// What stands before the 32 bytes of a public key (RFC 8410,
/// `SubjectPublicKeyInfo`).
const PUBLIC_HEAD: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What stands before the 32 bytes of a private key (RFC 8410, PKCS #8 without
/// the public key, as OpenSSL writes it).
const PRIVATE_HEAD: &[u8] =
    &[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Bytes of a private key.
const SEED_BYTES: usize = 32;

/// How a public key is made, for messages.
const MAKE_PUBLIC: &str = "make it with `openssl pkey -in key.pem -pubout -out public.pem`";

/// A key that signatures are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    bytes: Vec<u8>,
}

impl PublicKey {
    /// Reads a PEM file.
    ///
    /// # Errors
    ///
    /// If it cannot be read or holds no public key of Ed25519; a private key has
    /// an error of its own.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let pem = read_bounded(path, KEY_FILE_BYTES).map_err(|error| {
            unusable(&name, &format!("the public key cannot be read: {}", reason(&error)))
                .with_hint("give the path of a public key in PEM")
        })?;
        Self::from_pem(name, &pem)
    }

    /// Takes a key that is in memory; the name is for messages.
    ///
    /// # Errors
    ///
    /// As [`PublicKey::read`].
    pub fn from_pem(name: impl Into<String>, pem: &[u8]) -> Result<Self, Failure> {
        let name = name.into();
        match section(pem) {
            Some((SectionKind::PublicKey, der)) => {
                let bytes = der.strip_prefix(PUBLIC_HEAD).filter(|key| key.len() == SEED_BYTES);
                let bytes = bytes.map(<[u8]>::to_vec).ok_or_else(|| {
                    unusable(&name, "this is a public key, but not one of Ed25519").with_hint(
                        "make a key pair with `ow-host keygen` or `openssl genpkey -algorithm ed25519`",
                    )
                })?;
                Ok(Self { name, bytes })
            }
            _ if is_private(pem) => Err(unusable(&name, "this is a private key, but a public one is meant")
                .with_hint(format!("{MAKE_PUBLIC}, and keep the private key where components are signed"))),
            _ => Err(unusable(&name, "this is no public key in PEM")
                .with_hint(format!("it has a line '-----BEGIN PUBLIC KEY-----'; {MAKE_PUBLIC}"))),
        }
    }

    /// The key as a PEM file.
    pub(crate) fn to_pem(&self) -> Zeroizing<String> {
        pem("PUBLIC KEY", &[PUBLIC_HEAD, &self.bytes])
    }

    /// Where the key comes from.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.bytes).verify(bytes, signature).is_ok()
    }
}

/// A key that signs.
pub struct PrivateKey(Ed25519KeyPair);

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PrivateKey").field(self.0.public_key()).finish()
    }
}

impl PrivateKey {
    /// Reads a PEM file. The second value warns of one that others can read.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is encrypted, or holds no private key of Ed25519; a
    /// public key has an error of its own.
    pub fn read(path: &Path) -> Result<(Self, Option<String>), Failure> {
        let name = path.display().to_string();
        let unreadable = |error: io::Error| {
            let message = format!("{name}: the private key cannot be read: {}", reason(&error));
            Failure::new(FailureClass::Config, message)
                .with_hint("make a key pair with `ow-host keygen key.pem`")
        };
        let pem = Zeroizing::new(read_bounded(path, KEY_FILE_BYTES).map_err(unreadable)?);
        let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode();
        let warning = (mode & 0o077 != 0).then(|| {
            format!("{name}: others can read this private key; take that from them with `chmod 600`")
        });
        Ok((Self::from_pem(&name, &pem)?, warning))
    }

    /// Takes a key that is in memory; the name is for messages.
    ///
    /// # Errors
    ///
    /// As [`PrivateKey::read`].
    pub(crate) fn from_pem(name: &str, pem: &[u8]) -> Result<Self, Failure> {
        let refuse = |why: &str| Failure::new(FailureClass::Config, format!("{name}: {why}"));
        match section(pem) {
            Some((SectionKind::PrivateKey, der)) => {
                let der = Zeroizing::new(der);
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| {
                    refuse("this is a private key, but not one of Ed25519").with_hint(
                        "make a key pair with `ow-host keygen` or `openssl genpkey -algorithm ed25519`",
                    )
                })?;
                Ok(Self(pair))
            }
            Some((SectionKind::PublicKey, _)) => {
                Err(refuse("this is a public key, but signing takes the private one")
                    .with_hint("give the file that `ow-host keygen` or `openssl genpkey` wrote"))
            }
            _ if contains(pem, b"BEGIN ENCRYPTED PRIVATE KEY") => {
                Err(refuse("the private key is encrypted with a password").with_hint(
                    "decrypt it with `openssl pkey -in key.pem -out plain.pem`, or sign with `openssl pkeyutl -sign -rawin`",
                ))
            }
            _ => Err(refuse("this is no private key in PEM").with_hint(
                "it has a line '-----BEGIN PRIVATE KEY-----'; make a key pair with `ow-host keygen key.pem`",
            )),
        }
    }

    /// The key that its signatures are checked with; the name is for messages.
    pub(crate) fn public(&self, name: &str) -> PublicKey {
        PublicKey { name: name.to_owned(), bytes: self.0.public_key().as_ref().to_vec() }
    }

    /// The signature of a component.
    ///
    /// # Errors
    ///
    /// If the file is no component, or a damaged one.
    pub fn sign(&self, file: &ComponentFile) -> Result<[u8; SIGNATURE_BYTES], Failure> {
        let kind = file.kind();
        if kind != FileKind::Component {
            return Err(unusable(&file.name, &format!("this is {}", kind.describe())).with_hint(kind.hint()));
        }
        let mut validator = wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all());
        if let Err(error) = validator.validate_all(&file.bytes) {
            let why = crate::report::text::plain(error.message()).into_owned();
            return Err(unusable(&file.name, &format!("it is not a valid component: {why}"))
                .with_hint("build or fetch it again; nothing was signed"));
        }
        let signature = self.0.sign(&file.bytes);
        signature
            .as_ref()
            .try_into()
            .map_err(|_| Failure::new(FailureClass::Internal, "the signature has an unexpected length"))
    }
}

/// Makes a key pair: the private key in a file that only this user can read, the
/// public one in another. Neither may be there yet.
///
/// # Errors
///
/// If one of the files is there already or cannot be written; then neither is
/// left behind.
pub fn generate(private: &Path, public: &Path) -> Result<(), Failure> {
    let fail = |path: &Path, error: &dyn std::fmt::Display| {
        Failure::new(FailureClass::Config, format!("{}: the key was not written: {error}", path.display()))
            .with_hint("a key is never overwritten: name a new file, or move the old one away")
    };
    let mut seed = Zeroizing::new([0_u8; SEED_BYTES]);
    let random = || Failure::new(FailureClass::Internal, "the system gives no random bytes");
    SystemRandom::new().fill(&mut *seed).map_err(|_| random())?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| random())?;
    let public_pem = PrivateKey(pair).public("").to_pem();
    let private_pem = pem("PRIVATE KEY", &[PRIVATE_HEAD, &*seed]);
    create(private, 0o600, private_pem.as_bytes()).map_err(|error| fail(private, &reason(&error)))?;
    create(public, 0o644, public_pem.as_bytes()).map_err(|error| {
        // Without its other half nobody misses it.
        let _ = fs::remove_file(private);
        fail(public, &reason(&error))
    })
}

/// Where the signature of a component is: `connector.wasm.sig`.
#[must_use]
pub fn path_of(component: &Path) -> PathBuf {
    let mut path = component.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}

/// Writes a signature file, whole or not at all, in place of an older one.
///
/// # Errors
///
/// If it cannot be written.
pub fn write(path: &Path, signature: &[u8; SIGNATURE_BYTES]) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(folder)?;
        file.write_all(signature)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|error| {
        Failure::new(
            FailureClass::Config,
            format!("{}: the signature was not written: {}", path.display(), reason(&error)),
        )
        .with_hint("sign where you may write beside the component")
    })
}

/// Checks a component with any of these keys, and says which it was. Nothing of
/// the component is parsed.
///
/// # Errors
///
/// If it is not signed, the signature file holds no signature, or the signature
/// is none of these bytes by one of these keys.
pub fn verify<'a>(file: &ComponentFile, keys: &'a [PublicKey]) -> Result<&'a PublicKey, Failure> {
    let (name, signature) = signature_of(file)?;
    if signature.len() != SIGNATURE_BYTES {
        return Err(no_signature(&name, &signature));
    }
    keys.iter().find(|key| key.verifies(&file.bytes, &signature)).ok_or_else(|| {
        let names: Vec<&str> = keys.iter().map(PublicKey::name).collect();
        let tried = names.join(", ");
        unusable(
            &file.name,
            &format!(
                "the signature {name} is not one of this file by {tried}: the file was changed after it was signed, or another key signed it"
            ),
        )
        .with_hint(format!(
            "do not run it. Compare its SHA-256, {}, with its author's, or sign it again with the key that belongs to {tried}",
            file.digest()
        ))
    })
}

/// The signature that was handed over with the component, or that of the file
/// beside it; and what to call it.
fn signature_of(file: &ComponentFile) -> Result<(String, Vec<u8>), Failure> {
    if let Some(signature) = &file.signature {
        return Ok(("that came with it".to_owned(), signature.to_vec()));
    }
    let Some(component) = &file.path else {
        return Err(unusable(&file.name, "it is not signed: it was handed over without a signature")
            .with_hint("hand the signature over with `ComponentFile::with_signature`"));
    };
    let path = path_of(component);
    let name = path.display().to_string();
    match read_bounded(&path, KEY_FILE_BYTES) {
        Ok(signature) => Ok((name, signature)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(unusable(&file.name, &format!("it is not signed: there is no {name}")).with_hint(
                "fetch the signature that belongs to it and put it there, or sign it with `ow-host sign`",
            ))
        }
        Err(error) => Err(unusable(&name, &format!("the signature cannot be read: {}", reason(&error)))
            .with_hint("make the file readable to the user that runs ow-host")),
    }
}

/// What is wrong with a signature of another length.
fn no_signature(name: &str, bytes: &[u8]) -> Failure {
    let text = bytes.trim_ascii();
    let is_base64 = STANDARD.decode(text).is_ok_and(|decoded| decoded.len() == SIGNATURE_BYTES);
    let is_hex = text.len() == 2 * SIGNATURE_BYTES && text.iter().all(u8::is_ascii_hexdigit);
    let found = match (is_base64, is_hex) {
        (true, _) => "a signature in base64",
        (_, true) => "a signature in hexadecimal",
        _ => "none",
    };
    let why = format!(
        "this is no Ed25519 signature: it has {} bytes, and {SIGNATURE_BYTES} raw ones are expected (found: {found})",
        bytes.len()
    );
    unusable(name, &why)
        .with_hint("write it with `ow-host sign` or `openssl pkeyutl -sign -rawin`, which write raw bytes")
}

fn unusable(name: &str, why: &str) -> Failure {
    Failure::new(FailureClass::Component, format!("{name}: {why}"))
}

/// The first key or certificate of a PEM file.
fn section(pem: &[u8]) -> Option<(SectionKind, Vec<u8>)> {
    from_buf(&mut &*pem).ok().flatten()
}

fn is_private(pem: &[u8]) -> bool {
    contains(pem, b"PRIVATE KEY-----")
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(bytes, text).is_some()
}

/// A PEM file of one section.
fn pem(label: &str, der: &[&[u8]]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(&*Zeroizing::new(der.concat())));
    Zeroizing::new(format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", &*body))
}

/// Writes a file that is not there yet.
fn create(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}

fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
        return Err(io::Error::other(format!("it is larger than {most} bytes")));
    }
    Ok(bytes)
}

/// An I/O error in words, without the number of the operating system's error.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::AlreadyExists => "there is a file of this name already".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::ByteSize;

    /// The smallest component.
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    /// Written by `openssl genpkey -algorithm ed25519`, and by `openssl pkey
    /// -pubout`; and the signature that `openssl pkeyutl -sign -rawin` makes of
    /// [`COMPONENT`] with it, in base64.
    const OPENSSL_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJm4RhxGj2jfB7F5Q/lFe/5sqT4DoDhL+3mlMnANcDPJ\n-----END PRIVATE KEY-----\n";
    const OPENSSL_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA1jBQC87pnbCE9XQoxIcaGASzuN8E9hduNoH9WV+Pon4=\n-----END PUBLIC KEY-----\n";
    const OPENSSL_SIGNATURE: &str =
        "gQ4gl+yJ3nu7PdkRRHBYmJNA7Gx8Pu2K2Jzgt+Gfz8Mux5NhluwN/4Fuu7oVXcNBaDUr8iVAFSkccHh60UvjCg==";
    /// Written by `openssl ecparam -name prime256v1`: a key, but no Ed25519 one.
    const EC_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqu1s35oSFwRkzdlO5Saxmk0VZpDp\ncoAVAVx3ke3ZK3/3/m6kmzFBwufwfcXNe4RXwqYp/PhOXrZ8tjOTFCiYLg==\n-----END PUBLIC KEY-----\n";

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
            let path = self.path(name);
            fs::write(&path, bytes).unwrap();
            path
        }

        fn component(&self) -> ComponentFile {
            let path = self.write("c.wasm", COMPONENT);
            ComponentFile::read(&path, ByteSize::mib(1)).unwrap()
        }

        /// A failure without the folder's name.
        fn told(&self, failure: &Failure) -> String {
            assert!(failure.hint.is_some(), "{failure}");
            failure.message.replace(&format!("{}/", self.0.path().display()), "")
        }
    }

    fn openssl_key() -> PublicKey {
        PublicKey::from_pem("public.pem", OPENSSL_PUBLIC.as_bytes()).unwrap()
    }

    #[test]
    fn a_signature_of_openssl_is_accepted_and_ours_is_the_same() {
        let folder = Folder::new();
        let component = folder.component();
        let (key, _) = PrivateKey::read(&folder.write("key.pem", OPENSSL_PRIVATE)).unwrap();
        // Ed25519 is deterministic.
        let signature = key.sign(&component).unwrap();
        assert_eq!(STANDARD.encode(signature), OPENSSL_SIGNATURE);
        write(&folder.path("c.wasm.sig"), &signature).unwrap();
        assert_eq!(verify(&component, &[openssl_key()]).unwrap().name(), "public.pem");
    }

    #[test]
    fn a_generated_pair_signs_and_is_never_overwritten() {
        let folder = Folder::new();
        let (private, public) = (folder.path("key.pem"), folder.path("key.pub.pem"));
        generate(&private, &public).unwrap();
        assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
        let component = folder.component();
        let (key, warning) = PrivateKey::read(&private).unwrap();
        assert_eq!(warning, None);
        let signature = key.sign(&component).unwrap();
        let component = component.with_signature(signature.to_vec());
        let own = PublicKey::read(&public).unwrap();
        assert_eq!(verify(&component, &[openssl_key(), own.clone()]).unwrap(), &own);

        let before = fs::read(&private).unwrap();
        let failure = generate(&private, &folder.path("other.pem")).unwrap_err();
        assert_eq!(
            folder.told(&failure),
            "key.pem: the key was not written: there is a file of this name already"
        );
        assert_eq!(fs::read(&private).unwrap(), before);
        assert!(!folder.path("other.pem").exists());
        generate(&folder.path("new.pem"), &public).unwrap_err();
        assert!(!folder.path("new.pem").exists(), "half a pair was left behind");
    }

    #[test]
    fn a_private_key_that_others_can_read_is_told() {
        let folder = Folder::new();
        let path = folder.write("key.pem", OPENSSL_PRIVATE);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let (_, warning) = PrivateKey::read(&path).unwrap();
        assert!(warning.unwrap().contains("others can read this private key"));
    }

    #[test]
    fn every_way_not_to_be_signed_is_told_apart() {
        let folder = Folder::new();
        let component = folder.component();
        let keys = [openssl_key()];
        let mut told = vec![folder.told(&verify(&component, &keys).unwrap_err())];
        let good = STANDARD.decode(OPENSSL_SIGNATURE).unwrap();
        let mut wrong = good.clone();
        wrong[63] ^= 1;
        let all_zero = vec![0; 64];
        for signature in [good[..63].to_vec(), OPENSSL_SIGNATURE.into(), Vec::new(), wrong, all_zero] {
            folder.write("c.wasm.sig", signature);
            told.push(folder.told(&verify(&component, &keys).unwrap_err()));
        }
        // Another file with the signature of this one.
        folder.write("c.wasm.sig", good);
        let changed = ComponentFile { bytes: b"\0asm\x0d\0\x01\0\0".as_slice().into(), ..component.clone() };
        told.push(folder.told(&verify(&changed, &keys).unwrap_err()));
        verify(&component, &keys).unwrap();
        let bytes = ComponentFile::from_bytes("bytes", COMPONENT, ByteSize::mib(1)).unwrap();
        told.push(folder.told(&verify(&bytes, &keys).unwrap_err()));
        insta::assert_snapshot!(told.join("\n"), @r"
        c.wasm: it is not signed: there is no c.wasm.sig
        c.wasm.sig: this is no Ed25519 signature: it has 63 bytes, and 64 raw ones are expected (found: none)
        c.wasm.sig: this is no Ed25519 signature: it has 88 bytes, and 64 raw ones are expected (found: a signature in base64)
        c.wasm.sig: this is no Ed25519 signature: it has 0 bytes, and 64 raw ones are expected (found: none)
        c.wasm: the signature c.wasm.sig is not one of this file by public.pem: the file was changed after it was signed, or another key signed it
        c.wasm: the signature c.wasm.sig is not one of this file by public.pem: the file was changed after it was signed, or another key signed it
        c.wasm: the signature c.wasm.sig is not one of this file by public.pem: the file was changed after it was signed, or another key signed it
        bytes: it is not signed: it was handed over without a signature
        ");
    }

    #[test]
    fn keys_of_the_wrong_kind_are_told_apart() {
        let folder = Folder::new();
        let public = |name: &str, text: &str| {
            let failure = PublicKey::read(&folder.write(name, text)).unwrap_err();
            assert_eq!(failure.class, FailureClass::Component);
            folder.told(&failure)
        };
        let private =
            |name: &str, text: &str| folder.told(&PrivateKey::read(&folder.write(name, text)).unwrap_err());
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let missing = folder.told(&PublicKey::read(&folder.path("nosuch.pem")).unwrap_err());
        let told = [
            missing,
            public("key.pem", OPENSSL_PRIVATE),
            public("encrypted.pem", encrypted),
            public("ec.pem", EC_PUBLIC),
            public("empty.pem", ""),
            public("noise.pem", "-----BEGIN PUBLIC KEY-----\n!!!\n-----END PUBLIC KEY-----\n"),
            private("public.pem", OPENSSL_PUBLIC),
            private("encrypted.pem", encrypted),
            private(
                "short.pem",
                "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAA\n-----END PRIVATE KEY-----\n",
            ),
            private("empty.pem", ""),
        ];
        insta::assert_snapshot!(told.join("\n"), @r"
        nosuch.pem: the public key cannot be read: there is no such file
        key.pem: this is a private key, but a public one is meant
        encrypted.pem: this is a private key, but a public one is meant
        ec.pem: this is a public key, but not one of Ed25519
        empty.pem: this is no public key in PEM
        noise.pem: this is no public key in PEM
        public.pem: this is a public key, but signing takes the private one
        encrypted.pem: the private key is encrypted with a password
        short.pem: this is a private key, but not one of Ed25519
        empty.pem: this is no private key in PEM
        ");
    }

    #[test]
    fn only_a_whole_component_is_signed() {
        let folder = Folder::new();
        let (key, _) = PrivateKey::read(&folder.write("key.pem", OPENSSL_PRIVATE)).unwrap();
        for bytes in [&b"\0asm\x01\0\0\0"[..], b"", b"#!/bin/sh", b"\0asm\x0d\0\x01\0\x01\xff"] {
            let file = ComponentFile::from_bytes("f", bytes.to_vec(), ByteSize::mib(1)).unwrap();
            assert_eq!(key.sign(&file).unwrap_err().class, FailureClass::Component, "{bytes:?}");
        }
    }
}
