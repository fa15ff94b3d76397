//! Names of schemas, tables and columns: which are refused, and how they are
//! quoted.

use crate::{StorageError, TableSchema};

/// What names of the host's own tables start with.
const OURS: &str = "_ow_";
/// The most bytes of a name: `NAMEDATALEN` less one. PostgreSQL cuts longer ones
/// silently, so that two names may become one.
pub(super) const MAX_BYTES: usize = 63;
/// The most columns of a stream: PostgreSQL's 1,600 but one, which the staging
/// table needs for the order of the rows.
const MAX_COLUMNS: usize = 1599;
/// Columns that every table has.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "cmin", "xmax", "cmax", "tableoid"];

/// A name as SQL takes it, whatever is in it.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quoted names, with commas between them.
pub(super) fn quote_all<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quote).collect::<Vec<_>>().join(", ")
}

/// A text as SQL takes it, in a session with `standard_conforming_strings`.
/// PostgreSQL holds no NUL: it becomes the replacement character.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", without_nul(text).replace('\'', "''"))
}

/// A text without NULs.
pub(super) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Why a name cannot be one of PostgreSQL's, if there is a reason.
pub(super) fn flaw(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("is empty".to_owned());
    }
    if name.contains('\0') {
        return Some("has a NUL character in it".to_owned());
    }
    (name.len() > MAX_BYTES)
        .then(|| format!("has {} bytes, and PostgreSQL takes {MAX_BYTES} at most", name.len()))
}

/// Why no table's name may start so, if there is a reason.
pub(super) fn reserved(name: &str) -> Option<String> {
    let ours = name.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS));
    if name.contains('\0') {
        return Some("has a NUL character in it".to_owned());
    }
    ours.then(|| format!("starts with `{OURS}`, which ow-host keeps for its own tables"))
}

/// Checks the names of a stream that is to become table `table`.
pub(super) fn check(table: &str, schema: &TableSchema) -> Result<(), StorageError> {
    let refused = |message| Err(StorageError::Refused { message });
    if let Some(reason) = reserved(table).or_else(|| flaw(table)) {
        return refused(format!(
            "the name of table `{}` {reason}; rename the stream, or change `TablePrefix`",
            table.escape_debug()
        ));
    }
    if schema.fields.is_empty() {
        return refused(format!("table `{table}` has no columns"));
    }
    if schema.fields.len() > MAX_COLUMNS {
        return refused(format!(
            "table `{table}` has {} columns, and {MAX_COLUMNS} are the most that can be loaded into PostgreSQL",
            schema.fields.len()
        ));
    }
    for (index, field) in schema.fields.iter().enumerate() {
        let name = field.name.escape_debug();
        if let Some(reason) = flaw(&field.name) {
            return refused(format!(
                "the name of column `{name}` of table `{table}` {reason}; rename the field"
            ));
        }
        if SYSTEM_COLUMNS.contains(&field.name.as_str()) {
            return refused(format!(
                "column `{name}` of table `{table}` has the name of a system column of PostgreSQL; rename the field"
            ));
        }
        if schema.fields.iter().take(index).any(|other| other.name == field.name) {
            return refused(format!("table `{table}` has column `{name}` twice"));
        }
    }
    for key in &schema.primary_key {
        if !schema.fields.iter().any(|field| field.name == *key) {
            return refused(format!(
                "the primary key of table `{table}` names `{key}`, which is no column of it"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_all(["a", "🎉"]), "\"a\", \"🎉\"");
        assert_eq!(literal("it's \\ \0"), "'it''s \\ \u{fffd}'");
    }

    #[test]
    fn flaws_are_found() {
        assert_eq!(flaw("").as_deref(), Some("is empty"));
        assert_eq!(flaw(&"x".repeat(63)), None);
        assert_eq!(flaw(&"ü".repeat(32)).as_deref(), Some("has 64 bytes, and PostgreSQL takes 63 at most"));
        assert!(flaw("a\0b").is_some());
        for name in ["_OW_state", "_ow_", "a\0b"] {
            assert!(reserved(name).is_some(), "{name}");
        }
        assert!(reserved("ow_state").is_none());
    }
}
