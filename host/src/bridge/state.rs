//! The connector's state as one run sees it: what the run started from, and
//! what it set since.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::bindings::ow::connector::types::Error;
use super::refusal::{invalid, limit};
use super::schema::check_name;
use crate::report::text::{cut, plain};
use crate::sandbox::Limits;
use crate::storage::StateChanges;

/// The state that a run sees.
#[derive(Debug, Default)]
pub(crate) struct RunState {
    values: BTreeMap<String, String>,
    /// Set since the last commit.
    changes: StateChanges,
    bytes: u64,
}

impl RunState {
    pub(crate) fn new(values: BTreeMap<String, String>) -> Self {
        let bytes = values.iter().map(|(key, value)| size(key, value)).sum();
        Self { values, changes: StateChanges::new(), bytes }
    }

    /// Every key and value.
    pub(crate) fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    pub(crate) fn get(&self, key: &str) -> Option<&String> {
        self.values.get(key)
    }

    /// Sets a value, or removes it if it is `null`.
    pub(crate) fn set(&mut self, key: String, value: String, limits: &Limits) -> Result<(), Error> {
        check_name("a state key", &key)?;
        let name = plain(cut(&key, 100)).into_owned();
        serde_json::from_str::<Readable>(&value)
            .map_err(|error| invalid(format!("the value of the state key '{name}' is no JSON: {error}")))?;
        let old = self.values.get(&key).map_or(0, |old| size(&key, old));
        let keys = usize::try_from(limits.state_keys).unwrap_or(usize::MAX);
        // Removed keys take a place here too.
        if self.changes.len() >= keys.saturating_mul(2) && !self.changes.contains_key(&key) {
            return Err(limit(
                "state_keys",
                format!("more than twice {keys} keys were set or removed since the last commit"),
            ));
        }
        if value.trim_ascii() == "null" {
            self.values.remove(&key);
            self.bytes -= old;
            self.changes.insert(key, None);
            return Ok(());
        }
        let bytes = self.bytes - old + size(&key, &value);
        if bytes > limits.state_bytes.get() {
            return Err(limit(
                "state_bytes",
                format!("the state would be larger than {}", limits.state_bytes),
            ));
        }
        if old == 0 && self.values.len() >= keys {
            return Err(limit("state_keys", format!("the state would have more than {keys} keys")));
        }
        self.bytes = bytes;
        self.values.insert(key.clone(), value.clone());
        self.changes.insert(key, Some(value));
        Ok(())
    }

    /// What was set since the last commit.
    pub(crate) fn changes(&self) -> &StateChanges {
        &self.changes
    }

    pub(crate) fn committed(&mut self) {
        self.changes.clear();
    }
}

fn size(key: &str, value: &str) -> u64 {
    u64::try_from(key.len().saturating_add(value.len())).unwrap_or(u64::MAX)
}

/// JSON that whoever reads it can hold. Numbers too large for a double, halves of
/// surrogate pairs and more than 127 levels are refused, which `IgnoredAny` takes.
/// Keeps nothing.
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Readable {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{ByteSize, LimitOverrides};

    #[test]
    fn what_was_set_is_seen_and_collected_for_the_commit() {
        let limits = Limits::default();
        let mut state = RunState::new(BTreeMap::from([("old".into(), "1".into())]));
        state.set("new".into(), "{\"a\":2}".into(), &limits).unwrap();
        state.set("old".into(), " null ".into(), &limits).unwrap();
        assert_eq!(state.get("old"), None);
        assert_eq!(state.get("new").unwrap(), "{\"a\":2}");
        let changes = StateChanges::from([("new".into(), Some("{\"a\":2}".into())), ("old".into(), None)]);
        assert_eq!(state.changes(), &changes);
        state.committed();
        assert!(state.changes().is_empty());
        assert_eq!(state.get("new").unwrap(), "{\"a\":2}");
    }

    #[test]
    fn state_is_bounded_and_must_be_json() {
        let limits = LimitOverrides {
            state_bytes: Some(ByteSize::bytes(10)),
            state_keys: Some(2),
            ..Default::default()
        }
        .resolve();
        let mut state = RunState::default();
        insta::assert_snapshot!(state.set("k".into(), "{".into(), &limits).unwrap_err().message, @"the value of the state key 'k' is no JSON: EOF while parsing an object at line 1 column 1");
        insta::assert_snapshot!(state.set("k".into(), "\"0123456789\"".into(), &limits).unwrap_err().message, @"the state would be larger than 10B (raise it with --state-bytes)");
        state.set("a".into(), "1".into(), &limits).unwrap();
        state.set("a".into(), "22222222".into(), &limits).unwrap();
        state.set("a".into(), "1".into(), &limits).unwrap();
        state.set("b".into(), "1".into(), &limits).unwrap();
        insta::assert_snapshot!(state.set("c".into(), "1".into(), &limits).unwrap_err().message, @"the state would have more than 2 keys (raise it with --state-keys)");
        assert!(state.set(String::new(), "1".into(), &limits).is_err());
    }

    #[test]
    fn state_can_be_read_by_whoever_shows_it() {
        let limits = Limits::default();
        let mut state = RunState::default();
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        for value in
            ["1e308", "-0.0", "18446744073709551616", r#"{"a":[true,null,"\ud83d\ude00",{}]}"#, &deep(127)]
        {
            state.set("k".into(), value.into(), &limits).unwrap();
            serde_json::from_str::<serde_json::Value>(state.get("k").unwrap()).unwrap();
        }
        for value in ["1e309", r#""\ud83d""#, &deep(128), "[1e309]", r#"{"a":{"b":1e309}}"#, "1 2"] {
            let error = state.set("k".into(), value.into(), &limits).unwrap_err();
            assert!(
                error.message.starts_with("the value of the state key 'k' is no JSON: "),
                "{}",
                error.message
            );
        }
    }
}
