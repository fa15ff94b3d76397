//! Keys and signatures of components.

use super::fits_a_line;
use super::input::Input;
use crate::failure::Failure;
use crate::sandbox::signature::{PrivateKey, PublicKey, SIGNATURE_BYTES, verify};
use crate::sandbox::{ByteSize, ComponentFile};

/// The smallest component.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A key pair that signs nothing but this.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJm4RhxGj2jfB7F5Q/lFe/5sqT4DoDhL+3mlMnANcDPJ\n-----END PRIVATE KEY-----\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA1jBQC87pnbCE9XQoxIcaGASzuN8E9hduNoH9WV+Pon4=\n-----END PUBLIC KEY-----\n";

/// A public key that is read is written as the same key; what a private key signs
/// its public one verifies; and a signature verifies the very bytes that were signed,
/// by the very key, and nothing else.
pub fn signature(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.below(3) {
        0 => public_key(input.rest()),
        1 => private_key(input.rest()),
        _ => verified(&mut input),
    }
}

fn public_key(pem: &[u8]) {
    match PublicKey::from_pem("key.pem", pem) {
        Ok(key) => {
            assert_eq!(PublicKey::from_pem("key.pem", key.to_pem().as_bytes()).unwrap(), key);
            assert!(!is_signed(COMPONENT, &[0xff; SIGNATURE_BYTES], &[key]));
        }
        Err(failure) => told(&failure),
    }
}

fn private_key(pem: &[u8]) {
    let key = match PrivateKey::from_pem("key.pem", pem) {
        Ok(key) => key,
        Err(failure) => return told(&failure),
    };
    let signature = sign(&key);
    let (own, other) = (key.public("key.pem"), known_key());
    assert_eq!(is_signed(COMPONENT, &signature, std::slice::from_ref(&other)), own == other);
    assert!(is_signed(COMPONENT, &signature, &[other, own]));
}

/// Some edits of the component, of its signature and of the key, often none.
fn verified(input: &mut Input<'_>) {
    let signature = sign(&PrivateKey::from_pem("key.pem", PRIVATE.as_bytes()).unwrap());
    let given_bytes = input.edit(COMPONENT, 2);
    let given_signature = input.edit(&signature, 2);
    let given_key = PublicKey::from_pem("key.pem", &input.edit(PUBLIC.as_bytes(), 1));
    let genuine = given_bytes == COMPONENT && given_signature == signature;
    let known = known_key();
    assert!(!is_signed(&given_bytes, &given_signature, &[]));
    assert_eq!(is_signed(&given_bytes, &given_signature, std::slice::from_ref(&known)), genuine);
    if let Ok(given) = given_key {
        let by_given = is_signed(&given_bytes, &given_signature, std::slice::from_ref(&given));
        assert_eq!(by_given, genuine && given == known);
        assert_eq!(is_signed(&given_bytes, &given_signature, &[given, known]), genuine);
    }
}

fn known_key() -> PublicKey {
    PublicKey::from_pem("key.pem", PUBLIC.as_bytes()).unwrap()
}

fn sign(key: &PrivateKey) -> [u8; SIGNATURE_BYTES] {
    key.sign(&file(COMPONENT)).expect("a component")
}

fn file(bytes: &[u8]) -> ComponentFile {
    ComponentFile::from_bytes("c.wasm", bytes.to_vec(), ByteSize::mib(1)).expect("a small file")
}

fn is_signed(bytes: &[u8], signature: &[u8], keys: &[PublicKey]) -> bool {
    let file = file(bytes).with_signature(signature.to_vec());
    verify(&file, keys).inspect_err(told).is_ok()
}

fn told(failure: &Failure) {
    assert!(fits_a_line(&failure.message) && failure.hint.is_some(), "{failure:?}");
}
