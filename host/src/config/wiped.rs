//! JSON values that are wiped from memory when they are dropped.

use std::fmt;
use std::ops::{Deref, DerefMut};

use serde_json::{Map, Value};
use zeroize::Zeroize as _;

/// Values that may hold secrets: their texts are overwritten before their memory is
/// given back. What was copied out of them is not.
#[derive(Clone, Default, PartialEq)]
pub struct Wiped<T: Wipe>(T);

/// What has texts to overwrite.
pub trait Wipe {
    /// Overwrites every text.
    fn wipe(&mut self);
}

impl Wipe for Value {
    fn wipe(&mut self) {
        match self {
            Self::String(text) => text.zeroize(),
            Self::Array(items) => items.iter_mut().for_each(Wipe::wipe),
            Self::Object(members) => members.wipe(),
            Self::Null | Self::Bool(_) | Self::Number(_) => {}
        }
    }
}

impl Wipe for Map<String, Value> {
    fn wipe(&mut self) {
        self.values_mut().for_each(Wipe::wipe);
    }
}

impl<T: Wipe> From<T> for Wiped<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: Wipe> Drop for Wiped<T> {
    fn drop(&mut self) {
        self.0.wipe();
    }
}

impl<T: Wipe> Deref for Wiped<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Wipe> DerefMut for Wiped<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Wipe> fmt::Debug for Wiped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_text_is_overwritten_and_none_is_shown() {
        let mut value = json!({"a": "s3cret", "b": [{"c": "s3cret"}, 5, null]});
        assert_eq!(format!("{:?}", Wiped::from(value.clone())), "***");
        value.wipe();
        assert_eq!(value, json!({"a": "", "b": [{"c": ""}, 5, null]}));
    }
}
