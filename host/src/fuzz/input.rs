//! Structure out of bytes: an input is read piece by piece, so that every input
//! means something and a small change of it means something similar.

/// An input. What is used up reads as zeros.
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    pub(super) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub(super) fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// A number below `end`, which is not zero.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let wide = if end > 256 { u32::from_le_bytes(self.array()) } else { u32::from(self.byte()) };
        wide as usize % end
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// At most `max` bytes, as many as the next byte says.
    pub(super) fn bytes(&mut self, max: usize) -> &'a [u8] {
        let len = self.below(max + 1).min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    /// A text of at most `max` bytes before what is no UTF-8 was replaced.
    pub(super) fn text(&mut self, max: usize) -> String {
        String::from_utf8_lossy(self.bytes(max)).into_owned()
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Some bytes with a few edits that this input describes.
    pub(super) fn edit(&mut self, bytes: &[u8], most: usize) -> Vec<u8> {
        let mut edited = bytes.to_vec();
        for _ in 0..self.below(most + 1) {
            if edited.is_empty() {
                break;
            }
            let at = self.below(edited.len());
            match self.below(7) {
                0 => edited[at] ^= 1 << self.below(8),
                1 => edited[at] = self.byte(),
                2 => drop(edited.splice(at..at, self.bytes(16).iter().copied())),
                3 => drop(edited.drain(at..at + self.below(17).min(edited.len() - at))),
                4 => edited.truncate(at),
                5 => {
                    let end = at + self.below(65).min(edited.len() - at);
                    let (piece, to) = (edited[at..end].to_vec(), self.below(edited.len() + 1));
                    edited.splice(to..to, piece);
                }
                _ => {
                    let new = self.bytes(16);
                    let end = edited.len().min(at + new.len());
                    edited[at..end].copy_from_slice(&new[..end - at]);
                }
            }
        }
        edited
    }
}
