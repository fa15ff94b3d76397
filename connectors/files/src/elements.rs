//! The objects of a JSON file, one at a time, whatever its size: the elements of
//! one array, one object, or objects one after another as in JSON lines.

use std::io::{self, Read};
use std::ops::Range;

/// Bytes read at once.
const CHUNK: usize = 256 * 1024;
/// The largest object; it has to be handed over in one call.
const LARGEST: usize = 30 * 1024 * 1024;

/// What stands between objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Nothing was read yet.
    Unknown,
    /// An array, and whether an object has been read.
    Array { any: bool },
    /// Objects one after another.
    Sequence,
    /// The array has ended.
    Ended,
}

/// Why there is no further object.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The file cannot be read.
    Io(io::Error),
    /// It is no JSON of this form: the line, and what is wrong.
    Form(u64, String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Cuts a reader's JSON into objects. What stands in an object is not checked
/// beyond its brackets and strings.
pub(crate) struct Elements<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Where the next byte stands that was not looked at.
    at: usize,
    /// The line of that byte.
    line: u64,
    form: Form,
}

/// An object.
#[derive(Debug)]
pub(crate) struct Element<'a> {
    /// The line in which it begins.
    pub(crate) line: u64,
    pub(crate) bytes: &'a [u8],
}

impl<R: Read> Elements<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), at: 0, line: 1, form: Form::Unknown }
    }

    /// Whether the objects stand one after another, not in an array.
    pub(crate) fn is_sequence(&self) -> bool {
        self.form == Form::Sequence
    }

    /// The next object; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Element<'_>>, Fault> {
        let Some(first) = self.first_of_value()? else { return Ok(None) };
        if first != b'{' {
            return Err(
                self.wrong(format!("expected an object, found `{}`", char::from(first).escape_default()))
            );
        }
        let line = self.line;
        let range = self.object()?;
        let bytes = self.buffer.get(range).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', bytes).count() as u64;
        Ok(Some(Element { line, bytes }))
    }

    /// The first byte of the next value, which stays; none at the end.
    fn first_of_value(&mut self) -> Result<Option<u8>, Fault> {
        let mut first = self.skip_space()?;
        if self.form == Form::Unknown {
            self.form = match first {
                None => return Ok(None),
                Some(b'[') => {
                    self.at += 1;
                    first = self.skip_space()?;
                    Form::Array { any: false }
                }
                Some(_) => Form::Sequence,
            };
        }
        match (self.form, first) {
            (Form::Array { .. }, Some(b']')) => {
                self.at += 1;
                self.form = Form::Ended;
                self.first_of_value()
            }
            (Form::Array { any: true }, Some(b',')) => {
                self.at += 1;
                self.skip_space()?.map_or_else(|| Err(self.cut_off()), |first| Ok(Some(first)))
            }
            (Form::Array { any: false }, Some(_)) => {
                self.form = Form::Array { any: true };
                Ok(first)
            }
            (Form::Array { .. }, Some(_)) => {
                Err(self.wrong("expected `,` or `]` after an object".to_owned()))
            }
            (Form::Array { .. }, None) => Err(self.cut_off()),
            (Form::Ended, Some(_)) => {
                Err(self.wrong("something stands behind the end of the array".to_owned()))
            }
            (Form::Ended, None) => Ok(None),
            (Form::Sequence | Form::Unknown, first) => Ok(first),
        }
    }

    fn skip_space(&mut self) -> Result<Option<u8>, Fault> {
        loop {
            while let Some(byte) = self.buffer.get(self.at) {
                match byte {
                    b'\n' => self.line += 1,
                    b' ' | b'\t' | b'\r' => {}
                    byte => return Ok(Some(*byte)),
                }
                self.at += 1;
            }
            if self.fill(self.at)? == 0 {
                return Ok(None);
            }
        }
    }

    /// Finds the end of the object that begins here, and goes there.
    fn object(&mut self) -> Result<Range<usize>, Fault> {
        let mut scan = Scan::default();
        // How far it was looked at, from the object's first byte on.
        let mut done = 0;
        loop {
            let rest = self.buffer.get(self.at + done..).unwrap_or_default();
            if let Some(length) = scan.end(rest) {
                let start = self.at;
                self.at = start + done + length;
                return Ok(start..self.at);
            }
            done += rest.len();
            if done > LARGEST {
                return Err(self.wrong(format!("an object is larger than {LARGEST} bytes")));
            }
            if self.fill(self.at)? == 0 {
                return Err(self.cut_off());
            }
        }
    }

    /// Reads on; what stands before `keep` is forgotten.
    fn fill(&mut self, keep: usize) -> io::Result<usize> {
        self.buffer.drain(..keep.min(self.buffer.len()));
        self.at -= keep;
        let read = (&mut self.reader).take(CHUNK as u64).read_to_end(&mut self.buffer)?;
        Ok(read)
    }

    fn wrong(&self, what: String) -> Fault {
        Fault::Form(self.line, what)
    }

    fn cut_off(&self) -> Fault {
        self.wrong("the file ends here in the middle; it is cut off".to_owned())
    }
}

/// Where an object ends, over several pieces of it.
#[derive(Default)]
struct Scan {
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// The length of the object in this piece, if it ends here.
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            at += 1;
            if self.escaped {
                self.escaped = false;
            } else if self.in_string {
                match byte {
                    b'"' => self.in_string = false,
                    b'\\' => self.escaped = true,
                    _ => {
                        // Most of a file is in strings.
                        let rest = bytes.get(at..).unwrap_or_default();
                        at += memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                    }
                }
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => {
                        self.depth = self.depth.saturating_sub(1);
                        if self.depth == 0 {
                            return Some(at);
                        }
                    }
                    _ => {}
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out a byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let read = out.len().min(self.0.len()).min(1);
            let (now, later) = self.0.split_at(read);
            out[..read].copy_from_slice(now);
            self.0 = later;
            Ok(read)
        }
    }

    fn all(reader: impl Read) -> (Vec<String>, Option<String>) {
        let mut elements = Elements::new(reader);
        let mut found = Vec::new();
        loop {
            match elements.next() {
                Ok(Some(Element { line, bytes })) => {
                    found.push(format!("{line}: {}", String::from_utf8_lossy(bytes)));
                }
                Ok(None) => return (found, None),
                Err(Fault::Form(line, what)) => return (found, Some(format!("{line}: {what}"))),
                Err(Fault::Io(error)) => panic!("{error}"),
            }
        }
    }

    fn texts(found: &[&str]) -> Vec<String> {
        found.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn objects_are_found_in_every_form() {
        for (text, expected) in [
            ("", &[][..]),
            ("  \n", &[]),
            ("[]", &[]),
            (" [ ] \n", &[]),
            (r#"{"a":1}"#, &[r#"1: {"a":1}"#]),
            ("{\"a\":1}\n\n{\"a\":2}\n", &[r#"1: {"a":1}"#, r#"3: {"a":2}"#]),
            ("{}{}", &["1: {}", "1: {}"]),
            ("{\n\"a\": 1}\n{}", &["1: {\n\"a\": 1}", "3: {}"]),
            ("[\n{},\n {\"b\":[{}]}\n]\n", &["2: {}", r#"3: {"b":[{}]}"#]),
            (r#"[{"a":"}]\"\\"},{}]"#, &[r#"1: {"a":"}]\"\\"}"#, "1: {}"]),
        ] {
            assert_eq!(all(text.as_bytes()), (texts(expected), None), "{text}");
            assert_eq!(all(Slow(text.as_bytes())), (texts(expected), None), "{text}");
        }
    }

    #[test]
    fn other_json_and_broken_json_is_told_with_its_line() {
        for (text, found, fault) in [
            ("[1]", &[][..], "1: expected an object, found `1`"),
            ("\n\"x\"", &[], "2: expected an object, found `\\\"`"),
            ("[{}\n{}]", &["1: {}"], "2: expected `,` or `]` after an object"),
            ("[{},]", &["1: {}"], "1: expected an object, found `]`"),
            ("[{}", &["1: {}"], "1: the file ends here in the middle; it is cut off"),
            ("[{},", &["1: {}"], "1: the file ends here in the middle; it is cut off"),
            ("[", &[], "1: the file ends here in the middle; it is cut off"),
            ("{}\n{\"a\": \"x", &["1: {}"], "2: the file ends here in the middle; it is cut off"),
            ("[{}] {}", &["1: {}"], "1: something stands behind the end of the array"),
            ("{} x", &["1: {}"], "1: expected an object, found `x`"),
        ] {
            assert_eq!(all(text.as_bytes()), (texts(found), Some(fault.to_owned())), "{text}");
        }
    }

    #[test]
    fn memory_is_bounded_by_the_largest_object() {
        let line = format!("{{\"a\": \"{}\"}}\n", "x".repeat(1000));
        let text = line.repeat(3000);
        let mut elements = Elements::new(text.as_bytes());
        let mut count = 0;
        while elements.next().unwrap().is_some() {
            count += 1;
            assert!(elements.buffer.len() <= 2 * CHUNK);
        }
        assert_eq!((count, elements.line), (3000, 3001));
    }
}
