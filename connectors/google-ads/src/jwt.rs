//! What a service account says to get a token: a JSON Web Token, signed with
//! RS256 (RFC 7518 3.3, which is RSASSA-PKCS1-v1_5 with SHA-256).
//!
//! A signature is made about once an hour, for Google alone, in a sandbox in which
//! nobody measures how long it takes.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use num_bigint::BigUint;
use ow_connector::prelude::*;
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// How long a token may be asked for, in seconds: the most that Google allows.
const LIFE: i64 = 3600;

/// What stands before the digest in a signature: its algorithm, SHA-256 (RFC 8017,
/// 9.2, note 1).
const SHA256_PREFIX: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

/// The tags of the parts of a key.
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// A service account's key, as far as it is looked at.
#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
}

/// A service account's key, ready to sign.
pub(crate) struct Key {
    email: String,
    id: Option<String>,
    modulus: BigUint,
    exponent: BigUint,
}

impl Key {
    /// Reads the text of a key file.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        // What serde says could quote the key.
        let file: KeyFile = serde_json::from_str(text).map_err(|_| {
            Error::config("the service account's key is not the text of a key file, with `client_email` and `private_key`")
        })?;
        let (modulus, exponent) = private_key(&file.private_key).ok_or_else(|| {
            Error::config("the `private_key` of the service account's key is no RSA key in PKCS #8")
        })?;
        Ok(Self { email: file.client_email, id: file.private_key_id, modulus, exponent })
    }

    /// The claim to a scope, signed.
    pub(crate) fn assertion(&self, scope: &str, audience: &str, now: Timestamp) -> Result<String> {
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        if let (Some(id), Some(header)) = (&self.id, header.as_object_mut()) {
            header.insert("kid".to_owned(), id.as_str().into());
        }
        let now = now.seconds();
        let claims =
            json!({"iss": self.email, "scope": scope, "aud": audience, "iat": now, "exp": now + LIFE});
        let text = |part: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", text(&header), text(&claims));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes())?);
        Ok(format!("{signed}.{signature}"))
    }

    /// The signature of a message.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let size = usize::try_from(self.modulus.bits().div_ceil(8)).unwrap_or(0);
        let digest = Sha256::digest(message);
        let filled = size.checked_sub(SHA256_PREFIX.len() + digest.len() + 3).filter(|filled| *filled >= 8);
        let filled = filled.ok_or_else(|| Error::config("the service account's key is too short to sign"))?;
        let mut padded = vec![0, 1];
        padded.resize(2 + filled, 0xff);
        padded.push(0);
        padded.extend_from_slice(&SHA256_PREFIX);
        padded.extend_from_slice(&digest);
        let signature = BigUint::from_bytes_be(&padded).modpow(&self.exponent, &self.modulus).to_bytes_be();
        let mut whole = vec![0; size.saturating_sub(signature.len())];
        whole.extend_from_slice(&signature);
        Ok(whole)
    }
}

/// Modulus and private exponent of a key in PEM (RFC 5958, RFC 8017 A.1.2).
fn private_key(pem: &str) -> Option<(BigUint, BigUint)> {
    let body = pem.split_once("-----BEGIN PRIVATE KEY-----")?.1.split_once("-----END PRIVATE KEY-----")?.0;
    let body: String = body.split_whitespace().collect();
    let bytes = BASE64_STANDARD.decode(body).ok()?;
    let mut info = Parts(&bytes).take(SEQUENCE)?;
    info.take(INTEGER)?; // The version.
    info.take(SEQUENCE)?; // The algorithm: what is no RSA key has no such numbers.
    let mut key = info.take(OCTETS)?.take(SEQUENCE)?;
    key.take(INTEGER)?; // The version.
    let modulus = BigUint::from_bytes_be(key.take(INTEGER)?.0);
    key.take(INTEGER)?; // The public exponent.
    let exponent = BigUint::from_bytes_be(key.take(INTEGER)?.0);
    // Even numbers are no product of two odd primes.
    (modulus.bit(0) && exponent.bits() > 1).then_some((modulus, exponent))
}

/// What is left of the parts of a value in DER.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    /// The content of the next part, if it has this tag.
    fn take(&mut self, tag: u8) -> Option<Parts<'a>> {
        let (found, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81..=0x84 => {
                let (length, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
                (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (*found == tag).then_some(Parts(content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = include_str!("../tests/fixtures/test-key.pem");

    fn key(private_key: &str) -> Result<Key> {
        Key::parse(&json!({"client_email": "robot@example.com", "private_key": private_key}).to_string())
    }

    #[test]
    fn signs_as_openssl_does() {
        let signature = key(PEM).unwrap().sign(b"a message").unwrap();
        let want = include_str!("../tests/fixtures/signature.txt").trim();
        assert_eq!(BASE64_STANDARD.encode(signature), want);
    }

    #[test]
    fn a_claim_says_who_and_what_and_how_long() {
        let now = "2024-02-29T12:00:00Z".parse().unwrap();
        let assertion = key(PEM).unwrap().assertion("the-scope", "https://example.com/token", now).unwrap();
        let parts: Vec<&str> = assertion.split('.').collect();
        let read = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(read(parts[0]), json!({"alg": "RS256", "typ": "JWT"}));
        assert_eq!(
            read(parts[1]),
            json!({"iss": "robot@example.com", "scope": "the-scope", "aud": "https://example.com/token",
                   "iat": 1_709_208_000, "exp": 1_709_211_600})
        );
        let signed = format!("{}.{}", parts[0], parts[1]);
        let signature = key(PEM).unwrap().sign(signed.as_bytes()).unwrap();
        assert_eq!(parts[2], BASE64_URL_SAFE_NO_PAD.encode(signature));
    }

    #[test]
    fn what_is_no_key_is_an_error_that_does_not_quote_it() {
        let short = &PEM[..PEM.len() / 2];
        let empty = "-----BEGIN PRIVATE KEY-----\n\n-----END PRIVATE KEY-----";
        let cut = format!("{}\n-----END PRIVATE KEY-----", short.trim_end());
        // A key on an elliptic curve has other parts.
        let other = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----";
        for text in ["", "s3cret", short, empty, &cut, other] {
            let error = key(text).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert_eq!(
                error.message(),
                "the `private_key` of the service account's key is no RSA key in PKCS #8"
            );
        }
        let error = Key::parse("{\"private_key\": \"s3cret\"}").err().unwrap();
        assert!(!error.message().contains("s3cret"), "{error}");
    }
}
