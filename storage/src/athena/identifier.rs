//! Names of tables and columns. Athena keeps lower-case letters, digits and
//! underscores only, so every name is made of these; names that then fall
//! together are refused. Nothing that a connector says reaches a statement in
//! any other way.

use crate::{StorageError, TableSchema};

/// What names of the host's own tables start with.
pub(super) const OURS: &str = "_ow_";
/// The longest name that the Glue catalog takes.
const MAX_NAME: usize = 255;

/// A name as Athena keeps it: lower case, and `_` for what it does not take.
pub(super) fn fold(name: &str) -> String {
    name.chars()
        .flat_map(char::to_lowercase)
        .map(|letter| if letter.is_ascii_lowercase() || letter.is_ascii_digit() { letter } else { '_' })
        .collect()
}

/// A folded name in a definition (Hive's way).
pub(super) fn hive(name: &str) -> String {
    format!("`{}`", name.replace('`', ""))
}

/// A folded name in a query (Trino's way).
pub(super) fn trino(name: &str) -> String {
    format!("\"{}\"", name.replace('"', ""))
}

/// Text between single quotes, such as a location or a comment. What could end
/// it, or be read differently by the two dialects, is replaced.
pub(super) fn literal(text: &str) -> String {
    let safe = text.chars().map(|letter| match letter {
        '\'' => '’',
        '\\' => '/',
        ';' => ',',
        letter if letter.is_control() => ' ',
        letter => letter,
    });
    format!("'{}'", safe.collect::<String>())
}

/// A column's comment: 255 bytes at most, as Glue has it.
pub(super) fn comment(text: &str) -> String {
    let mut end = text.len().min(200);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    literal(text.get(..end).unwrap_or_default())
}

/// Checks the names of a stream that is to become table `table`.
pub(super) fn check(table: &str, schema: &TableSchema) -> Result<(), StorageError> {
    let refused = |message| Err(StorageError::Refused { message });
    if table.starts_with(OURS) {
        return refused(format!(
            "the name of table `{table}` (stream `{}`) starts with `{OURS}`, which ow-host keeps for its own tables; rename the stream, or set `TablePrefix`",
            schema.name.escape_debug()
        ));
    }
    if table.chars().all(|letter| letter == '_') || table.len() > MAX_NAME {
        return refused(format!(
            "stream `{}` cannot be a table of Athena, whose names have 1 to {MAX_NAME} letters, digits and underscores; rename the stream, or set `TablePrefix`",
            schema.name.escape_debug()
        ));
    }
    if schema.fields.is_empty() {
        return refused(format!("table `{table}` has no columns"));
    }
    for (index, field) in schema.fields.iter().enumerate() {
        let column = fold(&field.name);
        if column.is_empty() || column.len() > MAX_NAME {
            return refused(format!(
                "a field of table `{table}` has no name or one of more than {MAX_NAME} letters; rename it"
            ));
        }
        let twin = schema.fields.iter().take(index).find(|other| fold(&other.name) == column);
        if let Some(twin) = twin {
            return refused(format!(
                "fields `{}` and `{}` of table `{table}` would both be column `{column}`: Athena has lower-case letters, digits and underscores only; rename one of them",
                twin.name.escape_debug(),
                field.name.escape_debug()
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_what_athena_takes() {
        for (name, expected) in [
            ("Campaign-Id", "campaign_id"),
            ("größe", "gr__e"),
            ("a\"; DROP TABLE x; --", "a___drop_table_x____"),
            ("`x`", "_x_"),
            ("select", "select"),
            ("日本", "__"),
        ] {
            assert_eq!(fold(name), expected);
        }
    }

    #[test]
    fn text_cannot_leave_its_quotes() {
        assert_eq!(literal("it's; a\\' \n"), "'it’s, a/’  '");
        assert!(comment(&"ä".repeat(300)).len() <= 205);
    }
}
