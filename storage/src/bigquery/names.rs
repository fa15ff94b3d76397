//! Names of tables and columns: which are refused, and how they are quoted.

use crate::{StorageError, TableSchema};

/// What names of the host's own tables start with.
pub(super) const OURS: &str = "_ow_";
/// The most bytes of a table's name.
const MAX_TABLE: usize = 1024;
/// The most characters of a column's name.
const MAX_COLUMN: usize = 300;
/// What no column's name may start with, whatever its case.
const RESERVED: [&str; 7] =
    ["_TABLE_", "_FILE_", "_PARTITION", "_ROW_TIMESTAMP", "__ROOT__", "_COLIDENTIFIER", "_CHANGE_"];
/// What a column's name may hold beside letters, digits and underscores.
const FLEXIBLE: &str = "&%=+:'<>#|- ";

/// A name as SQL takes it, whatever is in it. Inside backticks a backslash
/// escapes, as in text.
pub(super) fn quote(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('`');
    for c in name.chars() {
        if matches!(c, '`' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('`');
    quoted
}

/// A literal of SQL.
pub(super) fn text(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('\'');
    for c in value.chars() {
        match c {
            '\'' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// Quoted names, with commas between them.
pub(super) fn quote_all<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quote).collect::<Vec<_>>().join(", ")
}

/// Whether BigQuery takes two column names for one.
pub(super) fn same(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

fn starts(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Why a dataset or a project cannot be called so, if there is a reason.
pub(super) fn bad_dataset(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("is empty");
    }
    let good = name.len() <= MAX_TABLE && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (!good).then_some("may hold letters, digits and `_` only")
}

/// Why a project cannot be called so; old ones have a domain, such as
/// `example.com:project`.
pub(super) fn bad_project(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("is empty");
    }
    let good = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'));
    (!good).then_some("is not the id of a project")
}

/// Why no table may be called so, if there is a reason.
pub(super) fn bad_table(name: &str) -> Option<String> {
    if let Some(c) = name.chars().find(|c| !(c.is_alphanumeric() || matches!(c, '_' | '-' | ' '))) {
        return Some(format!(
            "has the character `{}`, and BigQuery's tables take letters, digits, `_`, `-` and spaces only",
            c.escape_debug()
        ));
    }
    if name.trim() != name || name.is_empty() {
        return Some("is empty, or starts or ends with a space".to_owned());
    }
    if name.len() > MAX_TABLE {
        return Some(format!("has more than {MAX_TABLE} bytes"));
    }
    reserved(name)
}

/// Why no table's name may start so, if there is a reason.
pub(super) fn reserved(name: &str) -> Option<String> {
    starts(name, OURS).then(|| format!("starts with `{OURS}`, which ow-host keeps for its own tables"))
}

fn bad_column(name: &str) -> Option<String> {
    if name.is_empty() || name.trim() != name {
        return Some("is empty, or starts or ends with a space".to_owned());
    }
    if let Some(c) = name.chars().find(|c| !(c.is_alphanumeric() || *c == '_' || FLEXIBLE.contains(*c))) {
        return Some(format!(
            "has the character `{}`, which BigQuery's columns do not take",
            c.escape_debug()
        ));
    }
    if name.chars().count() > MAX_COLUMN {
        return Some(format!("has more than {MAX_COLUMN} characters"));
    }
    let prefix = RESERVED.iter().find(|prefix| starts(name, prefix))?;
    Some(format!("starts with `{prefix}`, which BigQuery keeps for itself"))
}

/// Checks the names of a stream that is to become table `table`.
pub(super) fn check(table: &str, schema: &TableSchema) -> Result<(), StorageError> {
    let refused = |message| Err(StorageError::Refused { message });
    if let Some(reason) = bad_table(table) {
        return refused(format!(
            "the name of table `{}` {reason}; rename the stream, or change `TablePrefix`",
            table.escape_debug()
        ));
    }
    for (index, field) in schema.fields.iter().enumerate() {
        if let Some(reason) = bad_column(&field.name) {
            return refused(format!(
                "the name of column `{}` of table `{table}` {reason}; rename the field",
                field.name.escape_debug()
            ));
        }
        if let Some(twin) = schema.fields.iter().take(index).find(|other| same(&other.name, &field.name)) {
            return refused(format!(
                "columns `{}` and `{}` of table `{table}` differ in case at most, and BigQuery cannot tell them apart; rename one of them",
                twin.name, field.name
            ));
        }
    }
    if let Some(key) =
        schema.primary_key.iter().find(|key| !schema.fields.iter().any(|field| field.name == **key))
    {
        return refused(format!(
            "the primary key of table `{table}` names `{key}`, which is no column of it"
        ));
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
    fn names_and_text_cannot_leave_their_quotes() {
        assert_eq!(quote("select"), "`select`");
        assert_eq!(quote("a`b\\"), "`a\\`b\\\\`");
        assert_eq!(text("it's \\ a\nline\0"), "'it\\'s \\\\ a\\nline\\u0000'");
    }

    #[test]
    fn names_that_bigquery_does_not_take_are_found() {
        for name in ["_ow_x", "_OW_x", "a.b", "a/b", "a`b", "", " a", "a;b", &"x".repeat(1025)] {
            assert!(bad_table(name).is_some(), "{name}");
        }
        for name in ["t", "ads-2024", "日本語", "ow_x", "with space"] {
            assert!(bad_table(name).is_none(), "{name}");
        }
        for name in ["_table_x", "_PARTITIONDATE", "a.b", "a\"b", "a`b", "", "a\\b", &"x".repeat(301)] {
            assert!(bad_column(name).is_some(), "{name}");
        }
        for name in ["select", "größe", "a b", "cost %", "_x", "1st"] {
            assert!(bad_column(name).is_none(), "{name}");
        }
    }
}
