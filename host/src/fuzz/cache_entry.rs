//! Entries of the cache of compiled components that somebody else wrote.

use std::fs;

use sha2::{Digest, Sha256};

use super::input::Input;
use crate::sandbox::{Cache, engine};

/// An empty component: what is compiled is no matter here.
const WASM: &[u8] = b"\0asm\x0d\0\x01\0";

/// An entry is used if it is byte for byte what this host sealed for this very
/// component, and never else.
pub fn cache_entry(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let engine = engine::shared().expect("an engine");
    let folder = tempfile::tempdir().expect("a folder");
    let cache = Cache::new(folder.path().join("components"));
    let digest: [u8; 32] = Sha256::digest(WASM).into();
    let code = engine.precompile_component(WASM).expect("a component");
    cache.store(engine, &digest, &code).expect("an entry");
    let path = fs::read_dir(cache.folder()).unwrap().next().unwrap().unwrap().path();
    let sealed = fs::read(&path).unwrap();
    let (entry, asked) = if input.flag() {
        (input.edit(&sealed, 4), digest)
    } else if input.flag() {
        // The whole entry under another component's name.
        let mut other = digest;
        other[input.below(32)] ^= input.byte();
        let name = path.file_name().unwrap().to_str().unwrap();
        let name = name.replacen(&hex(&digest), &hex(&other), 1);
        fs::write(cache.folder().join(name), &sealed).unwrap();
        (sealed.clone(), other)
    } else {
        (input.rest().to_vec(), digest)
    };
    if asked == digest {
        fs::write(&path, &entry).unwrap();
    }
    let genuine = asked == digest && entry == sealed;
    assert_eq!(cache.load(engine, &asked).is_some(), genuine);
}

fn hex(digest: &[u8]) -> String {
    crate::sandbox::component::hex(digest)
}
