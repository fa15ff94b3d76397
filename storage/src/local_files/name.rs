//! Names of streams, fields and partitions as names of folders, and which are
//! refused.

use crate::{StorageError, TableSchema};

/// The folder of the host's own files, below the storage's folder.
pub(super) const OURS: &str = "_ow";
/// What the names of the host's own tables start with in other storages.
const RESERVED: &str = "_ow_";
/// The longest folder name; file systems hold 255 bytes.
const MAX_BYTES: usize = 200;
/// What a partition of rows without a date is called, as Hive has it.
const NO_DATE: &str = "__HIVE_DEFAULT_PARTITION__";
/// Names that Windows keeps for devices, whatever follows a dot.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
/// The same, with a digit after them.
const NUMBERED_DEVICES: [&str; 2] = ["com", "lpt"];

/// A name as the name of one folder on every file system: ASCII letters, digits,
/// `_`, `-` and `.` stay, every other byte becomes `%XX`. So does a first `_` or
/// `.`, because readers skip such folders. Two names never become one.
pub(super) fn encode(name: &str) -> String {
    let device = is_device(name);
    let last = name.len().saturating_sub(1);
    let mut text = String::with_capacity(name.len());
    for (index, byte) in name.bytes().enumerate() {
        let plain = match byte {
            b'.' | b'_' => index > 0 && (byte != b'.' || index < last),
            byte => byte == b'-' || (byte.is_ascii_alphanumeric() && !(device && index == 0)),
        };
        if plain {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let numbered = |device: &str| {
        stem.strip_prefix(device)
            .is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    DEVICES.contains(&stem.as_str()) || NUMBERED_DEVICES.iter().any(|device| numbered(device))
}

/// The name that the day of a field has in the names of partition folders.
pub(super) fn partition_key(field: &str) -> String {
    format!("{field}_day")
}

/// The folder of a partition: `<field>_day=2024-01-31`.
pub(super) fn partition(field: &str, day: Option<&str>) -> String {
    format!("{}={}", encode(&partition_key(field)), day.unwrap_or(NO_DATE))
}

/// Checks the names of a stream and of its fields.
pub(super) fn check(schema: &TableSchema) -> Result<(), StorageError> {
    let refused = |message| Err(StorageError::Refused { message });
    let table = &schema.name;
    if table.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED)) {
        return refused(format!(
            "the name of table `{table}` starts with `{RESERVED}`, which ow-host keeps for its own tables; rename the stream"
        ));
    }
    if table.is_empty() || encode(table).len() > MAX_BYTES {
        return refused(format!(
            "the name of table `{}` is empty or longer than {MAX_BYTES} bytes as the name of a folder; rename the stream",
            table.escape_debug()
        ));
    }
    check_fields(schema)
}

fn check_fields(schema: &TableSchema) -> Result<(), StorageError> {
    let refused = |message| Err(StorageError::Refused { message });
    let table = &schema.name;
    for (index, field) in schema.fields.iter().enumerate() {
        if field.name.is_empty() || field.name.contains('\0') {
            return refused(format!(
                "table `{table}` has a column without a name or with a NUL character in it"
            ));
        }
        let earlier = schema.fields.iter().take(index);
        if let Some(twin) = earlier.into_iter().find(|other| same(&other.name, &field.name)) {
            return refused(format!(
                "columns `{}` and `{}` of table `{table}` differ in case at most, and many readers cannot tell them apart; rename one of them",
                twin.name, field.name
            ));
        }
    }
    for key in &schema.primary_key {
        if !schema.fields.iter().any(|field| field.name == *key) {
            return refused(format!(
                "the primary key of table `{table}` names `{key}`, which is no column of it"
            ));
        }
    }
    if schema.fields.is_empty() {
        return refused(format!("table `{table}` has no columns"));
    }
    Ok(())
}

/// Checks that a partition folder can be named after a field.
pub(super) fn check_partition(schema: &TableSchema, field: &str) -> Result<(), StorageError> {
    let key = partition_key(field);
    let table = &schema.name;
    if encode(&key).len() > MAX_BYTES {
        return Err(StorageError::Refused {
            message: format!(
                "the name of column `{field}` of table `{table}` is too long for partition folders; set `PartitionBy` to another field, or to nothing"
            ),
        });
    }
    match schema.fields.iter().find(|other| same(&other.name, &key)) {
        None => Ok(()),
        Some(twin) => Err(StorageError::Refused {
            message: format!(
                "column `{}` of table `{table}` has the name that partition folders by `{field}` have; set `PartitionBy` to another field, or to nothing",
                twin.name
            ),
        }),
    }
}

/// Whether readers may take two names for one.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_safe_folders() {
        for (name, expected) in [
            ("ads", "ads"),
            ("Ad Insights", "Ad%20Insights"),
            ("../../etc", "%2E.%2F..%2Fetc"),
            ("..", "%2E%2E"),
            (".", "%2E"),
            ("a.b", "a.b"),
            ("a.", "a%2E"),
            ("_x", "%5Fx"),
            ("a=b%c", "a%3Db%25c"),
            ("nul", "%6Eul"),
            ("COM1.txt", "%43OM1.txt"),
            ("console", "console"),
            ("é\n\0", "%C3%A9%0A%00"),
            ("a\\b:c*", "a%5Cb%3Ac%2A"),
        ] {
            assert_eq!(encode(name), expected, "{name}");
        }
    }

    #[test]
    fn partitions_are_named_as_hive_names_them() {
        assert_eq!(partition("date", Some("2024-01-31")), "date_day=2024-01-31");
        assert_eq!(partition("a/b", None), "a%2Fb_day=__HIVE_DEFAULT_PARTITION__");
    }
}
