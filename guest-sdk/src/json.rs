//! JSON text, walked over in place: nothing is built, nothing is copied, and
//! what a source nests does not nest our calls. For pages of which only some
//! places matter, and for objects that become rows.

use std::fmt;

use crate::error::{Error, Result};

/// How deep arrays and objects may lie in one another: as deep as `serde_json`
/// and the host read them.
const DEEPEST: u32 = 127;

/// Steps that a pointer may have.
const LONGEST_POINTER: usize = 32;

/// What is wrong with a text, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    what: &'static str,
    at: usize,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        Self::invalid_data(broken.to_string())
    }
}

/// A value, or the start of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Token<'a> {
    Null,
    Bool(bool),
    /// The number as it stands there, and whether it has neither point nor exponent.
    Number(&'a str, bool),
    Text(Text<'a>),
    /// A value that begins with `[` or `{`, not walked over yet.
    Nested,
}

/// What stands between two quotes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Text<'a> {
    pub(crate) raw: &'a str,
    pub(crate) escaped: bool,
}

impl<'a> Text<'a> {
    /// The text itself, from `scratch` where it has escapes. `None` for half a
    /// character: a surrogate without its other half.
    #[inline]
    pub(crate) fn decode<'b>(&self, scratch: &'b mut String) -> Option<&'b str>
    where
        'a: 'b,
    {
        if !self.escaped {
            return Some(self.raw);
        }
        scratch.clear();
        unescape(self.raw, scratch)?;
        Some(scratch)
    }
}

/// A place in a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// From the middle of a text.
    pub(crate) fn from(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// How far it is.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn broken<T>(&self, what: &'static str) -> Result<T, Broken> {
        Err(Broken { what, at: self.at })
    }

    /// The next byte that is no white space; it stays.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Takes one byte if it is the next.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// The next value; of an array or object only its start.
    #[inline]
    pub(crate) fn token(&mut self) -> Result<Token<'a>, Broken> {
        match self.peek() {
            Some(b'"') => Ok(Token::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{' | b'[') => Ok(Token::Nested),
            Some(b't') => self.word("true", Token::Bool(true)),
            Some(b'f') => self.word("false", Token::Bool(false)),
            Some(b'n') => self.word("null", Token::Null),
            Some(_) => self.broken("expected a value"),
            None => self.broken("the text ends too early"),
        }
    }

    fn word(&mut self, word: &str, token: Token<'a>) -> Result<Token<'a>, Broken> {
        if self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            self.at += word.len();
            Ok(token)
        } else {
            self.broken("expected a value")
        }
    }

    /// What is left of the text.
    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Broken> {
        let rest = self.rest();
        let count = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.at += count;
        if count == 0 { self.broken("expected a digit") } else { Ok(()) }
    }

    #[inline]
    fn next_is(&self, bytes: &[u8]) -> bool {
        self.text.as_bytes().get(self.at).is_some_and(|byte| bytes.contains(byte))
    }

    #[inline]
    fn number(&mut self) -> Result<Token<'a>, Broken> {
        let start = self.at;
        let whole = self.skip_number()?;
        Ok(Token::Number(self.text.get(start..self.at).unwrap_or_default(), whole))
    }

    /// Answers whether it has neither point nor exponent.
    #[inline]
    fn skip_number(&mut self) -> Result<bool, Broken> {
        self.at += usize::from(self.next_is(b"-"));
        let zero = self.next_is(b"0");
        let first = self.at;
        self.digits()?;
        if zero && self.at > first + 1 {
            return self.broken("a number starts with 0");
        }
        if !self.next_is(b".eE") {
            return Ok(true);
        }
        if self.next_is(b".") {
            self.at += 1;
            self.digits()?;
        }
        if self.next_is(b"eE") {
            self.at += 1;
            self.at += usize::from(self.next_is(b"+-"));
            self.digits()?;
        }
        Ok(false)
    }

    /// Takes an integer of at most 18 digits; anything else stays.
    #[inline]
    pub(crate) fn short_integer(&mut self) -> Option<i64> {
        self.peek();
        let rest = self.rest();
        let (negative, digits) = match rest {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let mut value = 0;
        for (count, byte) in digits.iter().take(19).enumerate() {
            if byte.is_ascii_digit() && count < 18 {
                value = value * 10 + i64::from(byte - b'0');
                continue;
            }
            let leads_with_zero = count > 1 && digits.first() == Some(&b'0');
            let ends = matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            if count == 0 || leads_with_zero || !ends {
                return None;
            }
            self.at += usize::from(negative) + count;
            return Some(if negative { -value } else { value });
        }
        None
    }

    /// Takes a text without escapes; anything else stays.
    #[inline]
    pub(crate) fn plain_text(&mut self) -> Option<&'a str> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let start = self.at + 1;
        let end = start + plain(self.text.as_bytes().get(start..)?);
        if *self.text.as_bytes().get(end)? != b'"' {
            return None;
        }
        self.at = end + 1;
        self.text.get(start..end)
    }

    /// The text whose opening quote is next.
    #[inline]
    fn string(&mut self) -> Result<Text<'a>, Broken> {
        let start = self.at + 1;
        let escaped = self.skip_string()?;
        let raw = self.text.get(start..self.at - 1).unwrap_or_default();
        Ok(Text { raw, escaped })
    }

    /// Answers whether there are escapes in it.
    #[inline]
    fn skip_string(&mut self) -> Result<bool, Broken> {
        let mut escaped = false;
        self.at += 1;
        loop {
            let rest = self.rest();
            let count = plain(rest);
            self.at += count;
            match rest.get(count) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return self.broken("a control character stands in a text"),
                None => return self.broken("the text ends too early"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Broken> {
        match self.text.as_bytes().get(self.at + 1..).unwrap_or_default() {
            [b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) => {
                self.at += 6;
                Ok(())
            }
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => {
                self.at += 2;
                Ok(())
            }
            _ => self.broken("an escape is unknown"),
        }
    }

    /// A key and its colon.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<Text<'a>, Broken> {
        if self.peek() != Some(b'"') {
            return self.broken("expected a key");
        }
        let key = self.string()?;
        if self.take(b':') { Ok(key) } else { self.broken("expected `:`") }
    }

    /// Takes a key and its colon, if it is this one, in its quotes.
    #[inline]
    pub(crate) fn take_key(&mut self, quoted: &str) -> bool {
        self.peek();
        if !starts_with(self.rest(), quoted.as_bytes()) {
            return false;
        }
        let start = self.at;
        self.at += quoted.len();
        let taken = self.take(b':');
        if !taken {
            self.at = start;
        }
        taken
    }

    fn skip_key(&mut self) -> Result<(), Broken> {
        if self.peek() != Some(b'"') {
            return self.broken("expected a key");
        }
        self.skip_string()?;
        if self.take(b':') { Ok(()) } else { self.broken("expected `:`") }
    }

    /// After a value in a list or object: whether another one follows.
    #[inline]
    pub(crate) fn another(&mut self, close: u8) -> Result<bool, Broken> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            Some(_) if close == b']' => self.broken("expected `,` or `]`"),
            Some(_) => self.broken("expected `,` or `}`"),
            None => self.broken("the text ends too early"),
        }
    }

    /// Walks over one value. Answers how many elements it has, if it is a list
    /// or object.
    pub(crate) fn skip(&mut self) -> Result<usize, Broken> {
        // One bit a level: 1 is an object.
        let mut kinds = 0u128;
        let mut depth = 0;
        let mut count = 0;
        loop {
            count += usize::from(depth == 1);
            let first = self.peek();
            if matches!(first, Some(b'{' | b'[')) {
                let object = first == Some(b'{');
                self.at += 1;
                depth += 1;
                if depth > DEEPEST {
                    return self.broken("it is nested too deeply");
                }
                kinds = kinds << 1 | u128::from(object);
                if !self.take(if object { b'}' } else { b']' }) {
                    if object {
                        self.skip_key()?;
                    }
                    continue;
                }
                depth -= 1;
                kinds >>= 1;
            } else {
                self.skip_plain(first)?;
            }
            loop {
                if depth == 0 {
                    return Ok(count);
                }
                let object = kinds & 1 == 1;
                if self.another(if object { b'}' } else { b']' })? {
                    if object {
                        self.skip_key()?;
                    }
                    break;
                }
                depth -= 1;
                kinds >>= 1;
            }
        }
    }

    /// Walks over a value that is no list or object.
    #[inline]
    fn skip_plain(&mut self, first: Option<u8>) -> Result<(), Broken> {
        match first {
            Some(b'"') => self.skip_string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.skip_number().map(drop),
            _ => self.token().map(drop),
        }
    }

    /// Walks over one value and answers its text.
    pub(crate) fn value(&mut self) -> Result<&'a str, Broken> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    /// Fails unless nothing but white space is left.
    pub(crate) fn end(&mut self) -> Result<(), Broken> {
        if self.peek().is_none() { Ok(()) } else { self.broken("something stands after the value") }
    }
}

/// The first bytes of a text, as many as are whole characters.
pub(crate) fn start(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.split_at(end).0
}

/// Whether a text starts with a key, eight bytes at a time: a guest's `memcmp` goes
/// byte by byte.
#[inline]
fn starts_with(text: &[u8], key: &[u8]) -> bool {
    let Some(text) = text.get(..key.len()) else { return false };
    let (Some(text_end), Some(key_end)) = (text.last_chunk::<8>(), key.last_chunk::<8>()) else {
        return text.iter().zip(key).all(|(here, there)| here == there);
    };
    let (text, _) = text.as_chunks::<8>();
    let (key, _) = key.as_chunks::<8>();
    let same = |(here, there): (&[u8; 8], &[u8; 8])| u64::from_le_bytes(*here) == u64::from_le_bytes(*there);
    same((text_end, key_end)) && text.iter().zip(key).all(same)
}

/// How many bytes there are before the first that a JSON text must not hold
/// plainly, eight at a time.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut count = 0;
    let mut rest = bytes;
    while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * 0x22);
        let backslash = word ^ (ONES * 0x5c);
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let found = found & HIGH;
        if found != 0 {
            return count + (found.trailing_zeros() / 8) as usize;
        }
        count += 8;
        rest = tail;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    count + rest.iter().position(special).unwrap_or(rest.len())
}

/// Appends a text without its escapes, which are known to be whole. `None` for
/// half a character.
fn unescape(raw: &str, into: &mut String) -> Option<()> {
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once('\\') {
        into.push_str(before);
        let (kind, tail) = after.split_at_checked(1)?;
        rest = tail;
        into.push(match kind {
            "b" => '\u{8}',
            "f" => '\u{c}',
            "n" => '\n',
            "r" => '\r',
            "t" => '\t',
            "u" => {
                let mut unit = code_unit(&mut rest)?;
                if (0xd800..0xdc00).contains(&unit) {
                    rest = rest.strip_prefix("\\u")?;
                    let low = code_unit(&mut rest).filter(|low| (0xdc00..0xe000).contains(low))?;
                    unit = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                }
                char::from_u32(unit)?
            }
            other => other.chars().next()?,
        });
    }
    into.push_str(rest);
    Some(())
}

fn code_unit(rest: &mut &str) -> Option<u32> {
    let (digits, tail) = rest.split_at_checked(4)?;
    *rest = tail;
    u32::from_str_radix(digits, 16).ok()
}

/// A JSON pointer (RFC 6901), such as `/data/list`; the empty one is the whole
/// text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pointer {
    pub(crate) text: String,
    pub(crate) steps: Vec<String>,
}

impl Pointer {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let steps: Vec<String> = match text.strip_prefix('/') {
            Some(steps) => steps.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect(),
            None if text.is_empty() => Vec::new(),
            None => {
                let message = format!("`{text}` is no place in JSON: write it as `/data/list`");
                return Err(Error::config(message));
            }
        };
        if steps.len() > LONGEST_POINTER {
            return Err(Error::config(format!("`{text}` has more than {LONGEST_POINTER} steps")));
        }
        Ok(Self { text: text.to_owned(), steps })
    }
}

/// Where a pointer leads: the value's text, and its elements if it is a list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Found {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) count: usize,
}

/// Where a pointer leads, looking no further than that.
pub(crate) fn seek(text: &str, pointer: &Pointer) -> Result<Option<usize>, Broken> {
    let mut scanner = Scanner::new(text);
    let mut scratch = String::new();
    for step in &pointer.steps {
        let (open, close) = match scanner.peek() {
            Some(b'{') => (b'{', b'}'),
            Some(b'[') => (b'[', b']'),
            _ => {
                scanner.skip()?;
                return Ok(None);
            }
        };
        scanner.take(open);
        if scanner.take(close) {
            return Ok(None);
        }
        let mut index = 0usize;
        loop {
            let here = match open {
                b'{' => scanner.key()?.decode(&mut scratch) == Some(step),
                _ => step.parse() == Ok(index),
            };
            if here {
                break;
            }
            scanner.skip()?;
            index += 1;
            if !scanner.another(close)? {
                return Ok(None);
            }
        }
    }
    if scanner.peek().is_none() {
        scanner.skip()?;
    }
    Ok(Some(scanner.at()))
}

/// Finds several places in one walk over a text. Of a key that stands twice the
/// first counts.
pub(crate) fn locate(text: &str, pointers: &[&Pointer]) -> Result<Vec<Option<Found>>, Broken> {
    locate_in(&mut Scanner::new(text), pointers)
}

/// The same in one value, which is walked over.
pub(crate) fn locate_in(
    scanner: &mut Scanner<'_>,
    pointers: &[&Pointer],
) -> Result<Vec<Option<Found>>, Broken> {
    let mut found = vec![None; pointers.len()];
    let wanted: Vec<Wanted<'_>> =
        pointers.iter().enumerate().map(|(index, pointer)| Wanted { index, steps: &pointer.steps }).collect();
    walk(scanner, &wanted, &mut found)?;
    Ok(found)
}

#[derive(Clone, Copy)]
struct Wanted<'p> {
    index: usize,
    steps: &'p [String],
}

/// One level of the pointers; they bound how deep it calls itself.
fn walk(scanner: &mut Scanner<'_>, wanted: &[Wanted<'_>], found: &mut [Option<Found>]) -> Result<(), Broken> {
    let token = scanner.peek();
    let start = scanner.at();
    let deeper = wanted.iter().any(|wanted| !wanted.steps.is_empty());
    let count = match token {
        Some(b'{') if deeper => walk_object(scanner, wanted, found)?,
        Some(b'[') if deeper => walk_list(scanner, wanted, found)?,
        _ => scanner.skip()?,
    };
    for here in wanted.iter().filter(|wanted| wanted.steps.is_empty()) {
        if let Some(slot) = found.get_mut(here.index) {
            slot.get_or_insert(Found { start, end: scanner.at(), count });
        }
    }
    Ok(())
}

fn walk_object(
    scanner: &mut Scanner<'_>,
    wanted: &[Wanted<'_>],
    found: &mut [Option<Found>],
) -> Result<usize, Broken> {
    let mut scratch = String::new();
    let mut count = 0;
    scanner.take(b'{');
    if scanner.take(b'}') {
        return Ok(0);
    }
    loop {
        let key = scanner.key()?;
        step(scanner, wanted, key.decode(&mut scratch), found)?;
        count += 1;
        if !scanner.another(b'}')? {
            return Ok(count);
        }
    }
}

fn walk_list(
    scanner: &mut Scanner<'_>,
    wanted: &[Wanted<'_>],
    found: &mut [Option<Found>],
) -> Result<usize, Broken> {
    let mut count = 0;
    scanner.take(b'[');
    if scanner.take(b']') {
        return Ok(0);
    }
    let last =
        wanted.iter().filter_map(|wanted| wanted.steps.first()?.parse::<usize>().ok()).max().unwrap_or(0);
    loop {
        if count <= last {
            step(scanner, wanted, Some(&count.to_string()), found)?;
        } else {
            scanner.skip()?;
        }
        count += 1;
        if !scanner.another(b']')? {
            return Ok(count);
        }
    }
}

/// The value under a key: into it with the pointers that lead there.
fn step(
    scanner: &mut Scanner<'_>,
    wanted: &[Wanted<'_>],
    key: Option<&str>,
    found: &mut [Option<Found>],
) -> Result<(), Broken> {
    let open = |index: usize| found.get(index).is_some_and(Option::is_none);
    let inside: Vec<Wanted<'_>> = wanted
        .iter()
        .filter_map(|wanted| {
            let (first, steps) = wanted.steps.split_first()?;
            (key == Some(first.as_str()) && open(wanted.index)).then_some(Wanted { steps, ..*wanted })
        })
        .collect();
    if inside.is_empty() { scanner.skip().map(drop) } else { walk(scanner, &inside, found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(text: &str) -> Result<usize, Broken> {
        let mut scanner = Scanner::new(text);
        let count = scanner.skip()?;
        scanner.end()?;
        Ok(count)
    }

    /// Texts that `serde_json` takes, and texts that it refuses.
    #[test]
    fn keys_are_compared_to_their_last_byte() {
        let text = "\"0123456789abcdefghij\":";
        for length in 1..text.len() {
            let key = text.get(..length).unwrap();
            assert!(starts_with(text.as_bytes(), key.as_bytes()), "{key}");
            assert!(!starts_with(key.get(..length - 1).unwrap().as_bytes(), key.as_bytes()), "{key}");
            for at in 0..length {
                let mut other = key.as_bytes().to_vec();
                other[at] ^= 1;
                assert!(!starts_with(text.as_bytes(), &other), "{key} with byte {at} changed");
            }
        }
    }

    #[test]
    fn takes_what_serde_json_takes_and_nothing_else() {
        let good = [
            "null",
            " true ",
            "-0",
            "0.5e-3",
            "1E+9",
            r#""a\"\\\/\b\f\n\r\t\u00e9é""#,
            "[]",
            "{}",
            "[1 , [2],{}]",
            r#"{"a":{"b":[]},"c" : "}]" }"#,
            "\"12345678\"",
            "\"1234567é\"",
        ];
        let bad = [
            "",
            " ",
            "nul",
            "tru e",
            "01",
            "-",
            "1.",
            ".5",
            "+1",
            "1e",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"a\nb\"",
            "[",
            "[1",
            "[1,]",
            "[,]",
            "{",
            "{a:1}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "[1}",
            "{\"a\":1]",
            "1 2",
            "NaN",
            "\"\\",
            "\"\\u123",
            "'a'",
            "[1 2]",
        ];
        for text in good {
            assert!(skipped(text).is_ok(), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}");
        }
        for text in bad {
            assert!(skipped(text).is_err(), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_told_from_json() {
        let text = r#"{"a": [1, -2.5e3, "x\u00e9\n", {"b": null, "c": [true, false, {}]}], "d": ""}"#;
        for cut in 0..text.len() {
            assert!(skipped(&text[..cut]).is_err(), "{cut}");
        }
        for at in 0..text.len() {
            for byte in [b' ', b'"', b'\\', b'{', b'}', b'[', b']', b',', b':', b'0', b'e', b'-', b'\n', b'u']
            {
                let mut changed = text.as_bytes().to_vec();
                changed[at] = byte;
                let changed = String::from_utf8(changed).unwrap();
                let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&changed);
                assert_eq!(skipped(&changed).is_ok(), theirs.is_ok(), "{changed}");
            }
        }
    }

    #[test]
    fn depth_is_bounded_as_in_serde_json() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(skipped(&nested(127)).is_ok());
        assert!(serde_json::from_str::<serde_json::Value>(&nested(127)).is_ok());
        assert!(serde_json::from_str::<serde_json::Value>(&nested(128)).is_err());
        let error = skipped(&nested(1_000_000)).unwrap_err();
        assert_eq!(error.to_string(), "it is nested too deeply at byte 128");
        assert!(skipped(&"[{\"a\":".repeat(500_000)).is_err());
    }

    #[test]
    fn short_integers_and_known_keys() {
        let integer = |text: &str| {
            let mut scanner = Scanner::new(text);
            (scanner.short_integer(), scanner.at())
        };
        for (text, want) in [
            ("1,", 1),
            ("0}", 0),
            ("-0]", 0),
            ("-12 ", -12),
            ("999999999999999999\n", 999_999_999_999_999_999),
        ] {
            assert_eq!(integer(text), (Some(want), text.len() - 1), "{text}");
        }
        for text in [
            "",
            "1",
            "-",
            "-,",
            ",",
            "01,",
            "-01,",
            "1.0,",
            "1e3,",
            "1234567890123456789,",
            "\"1\",",
            "+1,",
            "1x",
        ] {
            assert_eq!(integer(text), (None, 0), "{text}");
        }
        let text = |text: &'static str| Scanner::new(text).plain_text();
        assert_eq!((text(r#" "é, 12345678" "#), text(r#""""#)), (Some("é, 12345678"), Some("")));
        assert_eq!(
            (text(r#""a\n""#), text(r#""a"#), text("7"), text("\"\n\""), text("")),
            (None, None, None, None, None)
        );
        let key = |text: &str| Scanner::new(text).take_key("\"a\"");
        assert!(key(r#" "a":1"#) && key(r#""a" :1"#));
        assert!(!key(r#""ab":1"#) && !key(r#""a""#) && !key(r#""a"b"#) && !key(r#"a:1"#) && !key(""));
    }

    #[test]
    fn plain_bytes_are_counted_at_every_offset() {
        for special in ["\"", "\\", "\n", "\u{1f}"] {
            for before in 0..40 {
                let text = format!("{}{special}é\u{7f}\"", "x".repeat(before));
                assert_eq!(plain(text.as_bytes()), before, "{text:?}");
            }
        }
        assert_eq!(plain("é\u{7f}!#[]^ ~ß".as_bytes()), "é\u{7f}!#[]^ ~ß".len());
    }

    #[test]
    fn escapes_are_those_of_serde_json() {
        for raw in [
            r"a\n\tb",
            r"\u00e9",
            r"\ud83d\ude00!",
            r#"\"\\\/"#,
            r"x\u0000y",
            r"\ud83d",
            r"\ude00",
            r"\ud83dx",
            r"\ud83d\u0041",
        ] {
            let text = Text { raw, escaped: true };
            let theirs: Option<String> = serde_json::from_str(&format!("\"{raw}\"")).ok();
            assert_eq!(text.decode(&mut String::new()), theirs.as_deref(), "{raw}");
        }
    }

    #[test]
    fn pointers_lead_to_places() {
        let text =
            r#" {"data": {"page": {"total": 3}, "list": [1, {"x": "y"}, [2]], "a/b~c": null}, "data": 7} "#;
        let found = |pointer: &str| {
            let pointer = Pointer::parse(pointer).unwrap();
            locate(text, &[&pointer]).unwrap()[0].map(|found| (&text[found.start..found.end], found.count))
        };
        let places = [
            "/data/page/total",
            "/data/list",
            "/data/list/1/x",
            "/data/list/3",
            "/data/a~1b~0c",
            "/none",
            "",
            "/data/list/x",
        ];
        for pointer in places.map(|text| Pointer::parse(text).unwrap()) {
            let located = locate(text, &[&pointer]).unwrap()[0].map(|found| found.start);
            assert_eq!(seek(text, &pointer).unwrap(), located, "{}", pointer.text);
        }
        assert!(seek("{\"a\": [1, 2", &Pointer::parse("/b").unwrap()).is_err());
        assert_eq!(found("/data/page/total"), Some(("3", 0)));
        assert_eq!(found("/data/list"), Some((r#"[1, {"x": "y"}, [2]]"#, 3)));
        assert_eq!(found("/data/list/1/x"), Some((r#""y""#, 0)));
        assert_eq!(found("/data/list/3"), None);
        assert_eq!(found("/data/a~1b~0c"), Some(("null", 0)));
        assert_eq!(found("/data/page/total/more"), None);
        assert_eq!(found("/none"), None);
        assert_eq!(found("").unwrap().0, text.trim());
        let pointers = ["/data/list", "/data/page/total", "/data", "/data/list/0"]
            .map(|text| Pointer::parse(text).unwrap());
        let all = locate(text, &pointers.each_ref()).unwrap();
        assert_eq!(all.iter().map(|found| found.unwrap().count).collect::<Vec<_>>(), [3, 0, 3, 0]);
        assert!(Pointer::parse("data").unwrap_err().message().contains("/data/list"));
        assert!(Pointer::parse(&"/x".repeat(33)).is_err());
    }
}
