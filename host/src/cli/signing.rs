//! The commands that make keys, sign and check.

use std::path::Path;

use serde_json::json;

use super::args::{Keygen, Sign, SignedFile, Verify};
use super::output::Printer;
use crate::failure::Failure;
use crate::sandbox::ComponentFile;
use crate::sandbox::signature::{self, PrivateKey, PublicKey};

fn read(component: &SignedFile) -> Result<ComponentFile, Failure> {
    ComponentFile::read(&component.file, component.component_bytes)
}

pub(super) fn sign(args: &Sign, printer: &Printer) -> Result<(), Failure> {
    let (key, warning) = PrivateKey::read(&args.key)?;
    if let Some(warning) = warning {
        printer.warning(&warning);
    }
    let component = read(&args.component)?;
    let path = signature::path_of(&args.component.file);
    signature::write(&path, &key.sign(&component)?)?;
    printer.said(
        &format!("signed: {} in {}", component.name, path.display()),
        &json!({ "file": component.name, "sha256": component.digest(), "signature": shown(&path) }),
    );
    Ok(())
}

pub(super) fn verify(args: &Verify, printer: &Printer) -> Result<(), Failure> {
    let keys = args.key.iter().map(|key| PublicKey::read(key)).collect::<Result<Vec<_>, _>>()?;
    let component = read(&args.component)?;
    let key = signature::verify(&component, &keys)?;
    printer.said(
        &format!("verified: {} is signed with the key of {}", component.name, key.name()),
        &json!({ "file": component.name, "sha256": component.digest(), "key": key.name() }),
    );
    Ok(())
}

pub(super) fn keygen(args: &Keygen, printer: &Printer) -> Result<(), Failure> {
    let public = args.public.clone().unwrap_or_else(|| args.private.with_extension("pub.pem"));
    signature::generate(&args.private, &public)?;
    let text = format!(
        "the private key is in {}: keep it secret\nthe public key is in {}: give it to who runs what you sign",
        args.private.display(),
        public.display()
    );
    printer.said(&text, &json!({ "private": shown(&args.private), "public": shown(&public) }));
    Ok(())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
