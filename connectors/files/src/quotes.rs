//! Quotes of a CSV file that open and never close, which the parser takes for a
//! value that goes on to the file's end.

use std::io::{Read, Result};

use memchr::{memchr, memchr3};

/// Passes bytes on to the parser and follows its quotes.
pub(crate) struct Quotes<R> {
    inner: R,
    delimiter: u8,
    state: State,
    has_ended: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Before a value.
    Start,
    /// In a value without quotes, or behind its last one.
    Plain,
    /// In a value with quotes.
    Quoted,
    /// Behind a quote in such a value: its last one, or the first of two.
    Closed,
}

impl<R> Quotes<R> {
    pub(crate) fn new(inner: R, delimiter: u8) -> Self {
        Self { inner, delimiter, state: State::Start, has_ended: false }
    }

    /// Whether everything was read, and the last value is not closed.
    pub(crate) fn are_open_at_the_end(&self) -> bool {
        self.has_ended && self.state == State::Quoted
    }

    fn follow(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            let ends = *first == self.delimiter || matches!(first, b'\n' | b'\r');
            (self.state, bytes) = match self.state {
                State::Start | State::Closed if *first == b'"' => (State::Quoted, rest),
                State::Start | State::Closed => (if ends { State::Start } else { State::Plain }, rest),
                State::Plain => match memchr3(self.delimiter, b'\n', b'\r', bytes) {
                    Some(at) => (State::Start, bytes.get(at + 1..).unwrap_or_default()),
                    None => return,
                },
                State::Quoted => match memchr(b'"', bytes) {
                    Some(at) => (State::Closed, bytes.get(at + 1..).unwrap_or_default()),
                    None => return,
                },
            };
        }
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.inner.read(buffer)?;
        self.has_ended |= read == 0 && !buffer.is_empty();
        self.follow(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_open(text: &str, chunk: usize) -> bool {
        let mut quotes = Quotes::new(text.as_bytes(), b',');
        let mut buffer = vec![0; chunk];
        while quotes.read(&mut buffer).unwrap() > 0 {}
        quotes.are_open_at_the_end()
    }

    #[test]
    fn quotes_are_followed_as_the_parser_does() {
        for (text, open) in [
            ("", false),
            ("a,b\n1,2", false),
            ("\"a\",\"b\"\"c\"\r\n\"\n\"", false),
            ("5\" pipe,x\"\n", false),
            (" \"a,b\n", false),
            ("\"a\"b\"c,d\n", false),
            ("\"", true),
            ("a,\"b\nc,d\n", true),
            ("\"a\"\"", true),
            ("\"a\"\"\"\n", false),
            ("a\n\"b\n\"c\n", false),
        ] {
            for chunk in 1..6 {
                assert_eq!(is_open(text, chunk), open, "{text:?} in chunks of {chunk}");
            }
        }
    }
}
