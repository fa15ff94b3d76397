//! The cases: functions over a place, the same for every storage.

pub mod changes;
pub mod contracts;
pub mod crashes;
pub mod keys;
pub mod modes;
pub mod names;
pub mod runs;
pub mod values;

use ow_storage::StorageError;

/// Checks that something was refused with words that name what is at fault.
#[track_caller]
fn refused<T>(result: Result<T, StorageError>, words: &[&str]) {
    match result {
        Ok(_) => panic!("this was taken, and had to be refused with words on {words:?}"),
        Err(StorageError::Refused { message }) => {
            for word in words {
                assert!(message.contains(word), "the refusal does not tell of `{word}`: {message}");
            }
        }
        Err(other) => panic!("this had to be refused with words on {words:?}, and failed so: {other:?}"),
    }
}
