//! Keys of rows, found by their values.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, StringArray};

use super::convert::{at, slice};

/// Columns that make up a key, of the rows of one batch.
pub(super) struct Keys<'a> {
    columns: Vec<Values<'a>>,
}

enum Values<'a> {
    Wide(&'a [i64]),
    Narrow(&'a [i32]),
    Decimal(&'a [i128]),
    Float(&'a [f64]),
    Boolean(&'a BooleanArray),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
}

impl<'a> Values<'a> {
    fn new(array: &'a dyn Array) -> Option<Self> {
        let any = array.as_any();
        None.or_else(|| slice::<Int64Type>(array).map(Self::Wide))
            .or_else(|| slice::<TimestampMicrosecondType>(array).map(Self::Wide))
            .or_else(|| slice::<Date32Type>(array).map(Self::Narrow))
            .or_else(|| slice::<Decimal128Type>(array).map(Self::Decimal))
            .or_else(|| slice::<Float64Type>(array).map(Self::Float))
            .or_else(|| any.downcast_ref().map(Self::Boolean))
            .or_else(|| any.downcast_ref().map(Self::Text))
            .or_else(|| any.downcast_ref().map(Self::Bytes))
    }
}

impl<'a> Keys<'a> {
    /// None if a column is not what a table can have.
    pub(super) fn new(columns: &[&'a ArrayRef]) -> Option<Self> {
        Some(Self {
            columns: columns
                .iter()
                .copied()
                .map(|array| Values::new(array.as_ref()))
                .collect::<Option<_>>()?,
        })
    }

    /// Writes the key of a row: no two keys are written alike.
    pub(super) fn write(&self, row: usize, key: &mut Vec<u8>) {
        key.clear();
        for values in &self.columns {
            match values {
                Values::Wide(values) => key.extend(at(values, row).to_le_bytes()),
                Values::Narrow(values) => key.extend(at(values, row).to_le_bytes()),
                Values::Decimal(values) => key.extend(at(values, row).to_le_bytes()),
                // Zero is one key, with whatever sign.
                Values::Float(values) => key.extend((at(values, row) + 0.0).to_bits().to_le_bytes()),
                Values::Boolean(values) => key.push(u8::from(values.value(row))),
                Values::Text(values) => sized(key, values.value(row).as_bytes()),
                Values::Bytes(values) => sized(key, values.value(row)),
            }
        }
    }
}

fn sized(key: &mut Vec<u8>, bytes: &[u8]) {
    key.extend(bytes.len().to_le_bytes());
    key.extend(bytes);
}

/// Distinct keys, numbered as they come. Their bytes lie one behind the other.
#[derive(Default)]
pub(super) struct Index {
    hasher: RandomState,
    /// The last key of each hash.
    heads: HashMap<u64, u32>,
    /// The key before it that has the same hash.
    earlier: Vec<Option<u32>>,
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    fn key(&self, number: u32) -> Option<&[u8]> {
        let number = usize::try_from(number).ok()?;
        let start = number.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.bytes.get(start..*self.ends.get(number)?)
    }

    /// The number of a key; none if it is not there.
    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        self.find_hashed(self.hasher.hash_one(key), key)
    }

    fn find_hashed(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let mut next = self.heads.get(&hash).copied();
        while let Some(number) = next {
            if self.key(number) == Some(key) {
                return Some(number);
            }
            next =
                usize::try_from(number).ok().and_then(|number| self.earlier.get(number).copied().flatten());
        }
        None
    }

    /// The number of a key, which is added if it is not there.
    pub(super) fn insert(&mut self, key: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(key);
        if let Some(number) = self.find_hashed(hash, key) {
            return number;
        }
        let number = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
        self.earlier.push(self.heads.insert(hash, number));
        number
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn keys_are_told_apart() {
        let a: ArrayRef = Arc::new(StringArray::from(vec!["a", "ab", "", "a"]));
        let b: ArrayRef = Arc::new(StringArray::from(vec!["bc", "c", "abc", "bc"]));
        let keys = Keys::new(&[&a, &b]).unwrap();
        let mut index = Index::default();
        let mut key = Vec::new();
        let numbers: Vec<_> = (0..4)
            .map(|row| {
                keys.write(row, &mut key);
                index.insert(&key)
            })
            .collect();
        assert_eq!(numbers, [0, 1, 2, 0]);
        assert_eq!(index.len(), 3);
        keys.write(1, &mut key);
        assert_eq!(index.find(&key), Some(1));
        assert_eq!(index.find(b"x"), None);
    }
}
