//! Finds many values in bytes at once, by Wu and Manber's search: what two bytes
//! are tells how far away the next place of any value is, so that most bytes are
//! never looked at. By hand, because the automata of libraries keep copies of
//! what they search for that nothing wipes.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::Secret;

/// What stands in a text where a value stood that has no placeholder.
pub(crate) const REDACTED: &str = "***";

/// Pairs of bytes.
const PAIRS: usize = 1 << 16;

/// A text that is searched for.
pub(crate) struct Needle {
    pub(crate) text: Arc<Zeroizing<String>>,
    /// Whose placeholder takes its place; `***` if it is nobody's.
    pub(crate) secret: Option<Arc<Secret>>,
}

impl Needle {
    fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    fn stand_in(&self) -> &str {
        self.secret.as_ref().map_or(REDACTED, |secret| &secret.placeholder)
    }
}

/// A place where a value stands.
struct Found<'a> {
    start: usize,
    end: usize,
    needle: &'a Needle,
}

/// What is searched for, prepared.
pub(crate) struct Matcher {
    /// In the order of their bytes, each text once.
    needles: Vec<Needle>,
    /// The bytes that are compared first: as many as the shortest needle has.
    window: usize,
    longest: usize,
    /// By pair of bytes: how far the window can move when it ends with them.
    shifts: Vec<u8>,
    /// The first bytes of needles.
    firsts: Vec<bool>,
}

impl Matcher {
    /// Of texts of at least two bytes; nothing if there are none.
    pub(crate) fn new(mut needles: Vec<Needle>) -> Option<Self> {
        needles.retain(|needle| needle.text.len() >= 2);
        needles.sort_by(|a, b| a.bytes().cmp(b.bytes()));
        needles.dedup_by(|a, b| a.text == b.text);
        let shortest = needles.iter().map(|needle| needle.text.len()).min()?;
        let longest = needles.iter().map(|needle| needle.text.len()).max()?;
        let window = shortest.min(usize::from(u8::MAX));
        let mut shifts = vec![u8::try_from(window - 1).unwrap_or(u8::MAX); PAIRS];
        let mut firsts = vec![false; usize::from(u8::MAX) + 1];
        for needle in &needles {
            for (at, pair) in needle.bytes().windows(2).take(window - 1).enumerate() {
                let left = u8::try_from(window - 2 - at).unwrap_or(u8::MAX);
                if let Some(shift) = pair_of(pair).and_then(|pair| shifts.get_mut(pair)) {
                    *shift = left.min(*shift);
                }
            }
            let first = needle.bytes().first().and_then(|byte| firsts.get_mut(usize::from(*byte)));
            first.into_iter().for_each(|first| *first = true);
        }
        Some(Self { needles, window, longest, shifts, firsts })
    }

    /// The first place from `from` on where a value begins, and the longest that does.
    fn next(&self, bytes: &[u8], from: usize) -> Option<Found<'_>> {
        let mut end = from.checked_add(self.window)?;
        loop {
            let pair = pair_of(bytes.get(end - 2..end)?)?;
            let shift = self.shifts.get(pair).copied().unwrap_or(0);
            if shift > 0 {
                end += usize::from(shift);
                continue;
            }
            let start = end - self.window;
            if let Some(needle) = self.longest_at(bytes.get(start..)?) {
                return Some(Found { start, end: start + needle.text.len(), needle });
            }
            end += 1;
        }
    }

    /// The longest value that the bytes begin with.
    fn longest_at(&self, bytes: &[u8]) -> Option<&Needle> {
        let head = bytes.get(..self.window)?;
        let first = self.needles.partition_point(|needle| needle.bytes() < head);
        let same = self.needles.get(first..)?.iter().take_while(|needle| needle.bytes().starts_with(head));
        // Among needles that begin alike the longer ones come later.
        same.filter(|needle| bytes.starts_with(needle.bytes())).last()
    }

    /// How many bytes at the end may be the beginning of a value that goes on.
    fn open_end(&self, bytes: &[u8]) -> usize {
        let from = bytes.len().saturating_sub(self.longest - 1);
        let tail = bytes.get(from..).unwrap_or_default();
        let begins = |at: &usize| {
            let rest = tail.get(*at..).unwrap_or_default();
            let is_first = rest.first().and_then(|byte| self.firsts.get(usize::from(*byte)));
            is_first == Some(&true) && self.goes_on(rest)
        };
        (0..tail.len()).find(begins).map_or(0, |at| tail.len() - at)
    }

    /// Whether a value begins with these bytes and is longer.
    fn goes_on(&self, bytes: &[u8]) -> bool {
        let at = self.needles.partition_point(|needle| needle.bytes() <= bytes);
        self.needles.get(at).is_some_and(|needle| needle.bytes().starts_with(bytes))
    }

    /// The text with every value replaced. Values may overlap: what any of them
    /// covers is gone.
    pub(crate) fn replace<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let Some(first) = self.next(text.as_bytes(), 0) else { return Cow::Borrowed(text) };
        let mut replaced = Vec::with_capacity(text.len());
        let mut span = Span { from: 0, covered: 0 };
        span.copy(self, Some(first), text.as_bytes(), text.len(), &mut replaced, &mut |_| {});
        // Values are UTF-8, so that what is left between them is.
        Cow::Owned(String::from_utf8(replaced).unwrap_or_else(|_| REDACTED.to_owned()))
    }

    /// The bytes with every value replaced, and whose placeholders stand there;
    /// nothing if there is no value.
    pub(crate) fn replace_bytes(&self, bytes: &[u8]) -> Option<(Vec<u8>, Vec<Arc<Secret>>)> {
        let first = self.next(bytes, 0)?;
        let (mut replaced, mut whose) = (Vec::with_capacity(bytes.len()), Vec::new());
        let mut span = Span { from: 0, covered: 0 };
        let mut note = |secret: &Arc<Secret>| whose.push(Arc::clone(secret));
        span.copy(self, Some(first), bytes, bytes.len(), &mut replaced, &mut note);
        Some((replaced, whose))
    }
}

fn pair_of(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [a, b] => Some(usize::from(u16::from_be_bytes([*a, *b]))),
        _ => None,
    }
}

/// Where the copying of bytes around values is.
struct Span {
    /// The next place to search from.
    from: usize,
    /// Up to here everything is written or covered by a value.
    covered: usize,
}

impl Span {
    /// Copies the bytes up to `limit`, values that begin before it replaced. One may
    /// cover what lies behind it.
    fn copy(
        &mut self,
        matcher: &Matcher,
        first: Option<Found<'_>>,
        bytes: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
        note: &mut dyn FnMut(&Arc<Secret>),
    ) {
        let mut next = first;
        while let Some(found) = next.filter(|found| found.start < limit) {
            if found.start >= self.covered {
                out.extend_from_slice(bytes.get(self.covered..found.start).unwrap_or_default());
                out.extend_from_slice(found.needle.stand_in().as_bytes());
                found.needle.secret.iter().for_each(&mut *note);
            }
            self.covered = self.covered.max(found.end);
            self.from = found.start + 1;
            next = matcher.next(bytes, self.from);
        }
        if self.covered < limit {
            out.extend_from_slice(bytes.get(self.covered..limit).unwrap_or_default());
            self.covered = limit;
        }
    }
}

/// Replaces values in bytes that come piece by piece. Keeps what may be the
/// beginning of a value: less than the longest has.
pub(crate) struct Stream {
    matcher: Arc<Matcher>,
    held: Zeroizing<Vec<u8>>,
    /// How many of the next bytes a value covers.
    covered: usize,
}

impl Stream {
    pub(crate) fn new(matcher: Arc<Matcher>) -> Self {
        Self { matcher, held: Zeroizing::new(Vec::new()), covered: 0 }
    }

    /// Takes a piece; what can be given on. `note` hears whose values were found.
    pub(crate) fn push(&mut self, piece: Bytes, note: &mut dyn FnMut(&Arc<Secret>)) -> Bytes {
        let bytes = self.joined(piece);
        let limit = bytes.len() - self.matcher.open_end(&bytes);
        self.give(&bytes, limit, note)
    }

    /// The end: what was kept.
    pub(crate) fn finish(&mut self, note: &mut dyn FnMut(&Arc<Secret>)) -> Bytes {
        let bytes = self.joined(Bytes::new());
        self.give(&bytes, bytes.len(), note)
    }

    fn joined(&mut self, piece: Bytes) -> Bytes {
        if self.held.is_empty() {
            return piece;
        }
        let mut held = std::mem::take(&mut *self.held);
        held.extend_from_slice(&piece);
        held.into()
    }

    fn give(&mut self, bytes: &Bytes, limit: usize, note: &mut dyn FnMut(&Arc<Secret>)) -> Bytes {
        self.held.extend_from_slice(bytes.get(limit..).unwrap_or_default());
        let first = self.matcher.next(bytes, 0).filter(|found| found.start < limit);
        if first.is_none() && self.covered == 0 {
            return bytes.slice(..limit);
        }
        let mut out = Vec::with_capacity(limit);
        let mut span = Span { from: 0, covered: self.covered };
        span.copy(&self.matcher, first, bytes, limit, &mut out, note);
        self.covered = span.covered - limit;
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(values: &[&str]) -> Arc<Matcher> {
        let needle =
            |value: &&str| Needle { text: Arc::new(Zeroizing::new((*value).to_owned())), secret: None };
        Arc::new(Matcher::new(values.iter().map(needle).collect()).unwrap())
    }

    /// What the simplest of all searches makes of it.
    fn slowly(values: &[&str], text: &str) -> String {
        let covered: Vec<usize> = (0..text.len())
            .map(|at| {
                let here = values.iter().filter(|value| text.as_bytes()[at..].starts_with(value.as_bytes()));
                here.map(|value| value.len()).max().unwrap_or(0)
            })
            .collect();
        let (mut out, mut end) = (String::new(), 0);
        for (at, c) in text.char_indices() {
            if covered[at] > 0 {
                if at >= end {
                    out.push_str(REDACTED);
                }
                end = end.max(at + covered[at]);
            }
            if at >= end {
                out.push(c);
            }
        }
        out
    }

    /// Numbers that look random and are the same in each run.
    fn numbers() -> impl FnMut(usize) -> usize {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        move |below| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).unwrap()
        }
    }

    #[test]
    fn every_place_of_every_value_is_found_in_pieces_of_any_size() {
        let mut random = numbers();
        for _ in 0..3000 {
            let word = |random: &mut dyn FnMut(usize) -> usize, len: usize| -> String {
                (0..len).map(|_| char::from(b"ab"[random(2)])).collect()
            };
            let values: Vec<String> = (0..1 + random(4))
                .map(|_| {
                    let len = 2 + random(6);
                    word(&mut random, len)
                })
                .collect();
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let len = random(60);
            let text = word(&mut random, len);
            let matcher = matcher(&values);
            let expected = slowly(&values, &text);
            assert_eq!(matcher.replace(&text), expected, "{values:?} in {text}");
            let (mut stream, mut out) = (Stream::new(matcher), Vec::new());
            let mut rest = text.as_bytes();
            while !rest.is_empty() {
                let (piece, more) = rest.split_at(1 + random(rest.len()));
                out.extend_from_slice(&stream.push(Bytes::copy_from_slice(piece), &mut |_| {}));
                rest = more;
            }
            out.extend_from_slice(&stream.finish(&mut |_| {}));
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{values:?} in {text}");
        }
    }

    #[test]
    fn nothing_is_held_that_cannot_be_the_beginning_of_a_value() {
        let mut stream = Stream::new(matcher(&["hunter2hunter2"]));
        let mut push = |text: &'static str| stream.push(Bytes::from_static(text.as_bytes()), &mut |_| {});
        assert_eq!(push("event: one\n"), "event: one\n");
        assert_eq!(push("event: hunt"), "event: ");
        assert_eq!(push("ing\n"), "hunting\n");
        assert_eq!(push("hunter2hunter"), "");
        assert_eq!(push("2!"), "***!");
    }

    #[test]
    fn a_piece_without_values_is_given_on_as_it_is() {
        let mut stream = Stream::new(matcher(&["hunter2hunter2"]));
        let piece = Bytes::from(vec![b'x'; 100]);
        assert_eq!(stream.push(piece.clone(), &mut |_| {}).as_ptr(), piece.as_ptr());
    }

    #[test]
    fn values_of_any_length_and_alphabet_are_found() {
        let long = "x".repeat(5000);
        for values in [&["ab", &long][..], &["wörd", "ör"], &[&long]] {
            let text = format!("a b {} {}.", values.join("-"), &long[1..]);
            assert_eq!(matcher(values).replace(&text), slowly(values, &text));
        }
        assert!(Matcher::new(Vec::new()).is_none());
    }
}
