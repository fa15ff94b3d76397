//! State that a guest sets, against a plain map.

use std::collections::BTreeMap;

use super::fits_a_line;
use super::input::Input;
use crate::bridge::state::RunState;
use crate::sandbox::{ByteSize, LimitOverrides};

const STATE_BYTES: u64 = 200;
const STATE_KEYS: u32 = 6;

/// Any sequence of sets and commits leaves the state within its limits; what is
/// refused changes nothing, what is accepted is JSON and is read back.
pub fn state(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let limits = LimitOverrides {
        state_bytes: Some(ByteSize::bytes(STATE_BYTES)),
        state_keys: Some(STATE_KEYS),
        ..LimitOverrides::default()
    }
    .resolve();
    let mut model: BTreeMap<String, String> = BTreeMap::new();
    let mut changed: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut state = RunState::new(model.clone());
    while !input.is_empty() {
        if input.below(8) == 0 {
            state.committed();
            changed.clear();
        }
        let key = if input.flag() { format!("k{}", input.below(20)) } else { input.text(300) };
        let value = value(&mut input);
        match state.set(key.clone(), value.clone(), &limits) {
            Ok(()) => {
                serde_json::from_str::<serde_json::Value>(&value).expect("accepted state is JSON");
                let removed = value.trim_ascii() == "null";
                changed.insert(key.clone(), (!removed).then(|| value.clone()));
                if removed {
                    model.remove(&key)
                } else {
                    model.insert(key.clone(), value)
                };
                assert!(fits_a_line(&key) && !key.is_empty() && key.len() <= 255, "{key:?}");
            }
            Err(error) => {
                assert!(fits_a_line(&error.message), "{:?}", error.message);
                assert!(error.message.len() < 1024, "{:?}", error.message);
            }
        }
        assert_eq!(state.get(&key), model.get(&key));
        assert_eq!(state.changes(), &changed);
        let total: usize = model.iter().map(|(key, value)| key.len() + value.len()).sum();
        assert!(total as u64 <= STATE_BYTES, "{total} bytes of state");
        assert!(model.len() <= STATE_KEYS as usize && changed.len() <= 2 * STATE_KEYS as usize);
    }
}

fn value(input: &mut Input<'_>) -> String {
    match input.below(6) {
        0 => "null".to_owned(),
        1 => format!("\"{}\"", "x".repeat(input.below(250))),
        2 => serde_json::Value::from(input.text(40)).to_string(),
        3 => format!("{{\"a\":[{}]}}", input.byte()),
        _ => input.text(64),
    }
}
