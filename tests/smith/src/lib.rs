//! Components that wasm-smith generated while this crate was built: valid ones
//! and damaged ones, the same in each build.

use std::io;
use std::path::PathBuf;

/// The files, in the order of their names: `connector-…` are connectors by what
/// they export, `component-…` have any shape; `…-damaged` have a few bits turned.
///
/// # Errors
///
/// If the folder that they were written to cannot be read.
pub fn components() -> io::Result<Vec<PathBuf>> {
    let folder = PathBuf::from(env!("OUT_DIR")).join("components");
    let mut files =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}
