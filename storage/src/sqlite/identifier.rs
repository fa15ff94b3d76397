//! Names of tables and columns: which are refused, and how they are quoted.

use crate::{StorageError, TableSchema};

/// What names of the host's own tables start with.
pub(super) const OURS: &str = "_ow_";
/// What names of SQLite's own tables start with.
const SQLITES: &str = "sqlite_";

/// A name as SQL takes it, whatever is in it.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quoted names, with commas between them.
pub(super) fn quote_all<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quote).collect::<Vec<_>>().join(", ")
}

/// Whether SQLite takes two names for one.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Why no table's name may start so, if there is a reason.
pub(super) fn reserved(name: &str) -> Option<String> {
    let starts = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| same(start, prefix));
    if name.contains('\0') {
        return Some("has a NUL character in it".to_owned());
    }
    if starts(SQLITES) {
        return Some(format!("starts with `{SQLITES}`, which SQLite keeps for itself"));
    }
    starts(OURS).then(|| format!("starts with `{OURS}`, which ow-host keeps for its own tables"))
}

/// Checks the names of a stream that is to become table `table`.
pub(super) fn check(table: &str, schema: &TableSchema) -> Result<(), StorageError> {
    let refused = |message| Err(StorageError::Refused { message });
    if let Some(reason) = reserved(table) {
        return refused(format!(
            "the name of table `{}` {reason}; rename the stream, or change `TablePrefix`",
            table.escape_debug()
        ));
    }
    for (index, field) in schema.fields.iter().enumerate() {
        if field.name.is_empty() || field.name.contains('\0') {
            return refused(format!(
                "table `{table}` has a column without a name or with a NUL character in it"
            ));
        }
        let twin = schema.fields.iter().take(index).find(|other| same(&other.name, &field.name));
        if let Some(twin) = twin {
            return refused(format!(
                "columns `{}` and `{}` of table `{table}` differ in case at most, and SQLite cannot tell them apart; rename one of them",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(quote("select"), "\"select\"");
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_all(["a", "🎉"]), "\"a\", \"🎉\"");
    }

    #[test]
    fn reserved_names_are_found_whatever_their_case() {
        for name in ["sqlite_x", "SQLite_Sequence", "_OW_state", "_ow_", "a\0b"] {
            assert!(reserved(name).is_some(), "{name}");
        }
        for name in ["sqlite", "ow_state", "_o", "", "ünïcode", "日本語"] {
            assert!(reserved(name).is_none(), "{name}");
        }
    }
}
