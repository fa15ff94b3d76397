//! Text files as bytes in UTF-8, whatever they are packed in.

use std::io::{BufReader, Read};

use ow_connector::prelude::*;

use crate::catalog::{File, Packing};

/// Bytes read at once.
const CHUNK: usize = 256 * 1024;

/// Opens a text file: unpacked, without a byte-order mark.
pub(crate) fn open(file: &File) -> Result<Box<dyn Read>> {
    let raw = std::fs::File::open(&file.path).map_err(|error| broken(file, &error))?;
    let raw = BufReader::with_capacity(CHUNK, raw);
    let unpacked: Box<dyn Read> = match file.packing {
        Packing::None => Box::new(raw),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
        Packing::Zstd => Box::new(crate::zstd::Decoder::new(raw)),
    };
    without_mark(file, unpacked)
}

/// Skips a byte-order mark; refuses those of other encodings.
fn without_mark(file: &File, mut reader: Box<dyn Read>) -> Result<Box<dyn Read>> {
    let mut start = Vec::new();
    reader.by_ref().take(3).read_to_end(&mut start).map_err(|error| broken(file, &error))?;
    match start.as_slice() {
        [0xef, 0xbb, 0xbf] => Ok(reader),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            Err(Error::invalid_data(format!("{}: it is UTF-16; convert it to UTF-8", file.name)))
        }
        _ => Ok(Box::new(std::io::Cursor::new(start).chain(reader))),
    }
}

/// A file that cannot be read to its end.
pub(crate) fn broken(file: &File, error: &std::io::Error) -> Error {
    let packed = match file.packing {
        Packing::None => "",
        Packing::Gzip => "it cannot be unpacked as gzip: ",
        Packing::Zstd => "it cannot be unpacked as Zstandard: ",
    };
    Error::invalid_data(format!("{}: {packed}{error}", file.name))
}
