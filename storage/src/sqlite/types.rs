//! Logical types in SQLite: the column type of each, and how stored values
//! become those of a wider type.

use crate::DataType;

/// The type of the column in a `STRICT` table.
pub(super) fn sql(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Boolean | DataType::Int64 => "INTEGER",
        DataType::Float64 => "REAL",
        DataType::Bytes => "BLOB",
        DataType::Decimal(..) | DataType::Text | DataType::Date | DataType::Timestamp | DataType::Json => {
            "TEXT"
        }
    }
}

/// How stored values of one type become those of a wider one: an expression
/// over a quoted column. None where they are written the same way.
pub(super) fn conversion(column: &str, from: DataType, to: DataType) -> Option<String> {
    match (from, to) {
        (DataType::Boolean, DataType::Text) => {
            Some(format!("CASE {column} WHEN 0 THEN 'false' WHEN 1 THEN 'true' END"))
        }
        (DataType::Int64, DataType::Text) => Some(format!("CAST({column} AS TEXT)")),
        (DataType::Int64, DataType::Decimal(_, scale)) => {
            Some(format!("CAST({column} AS TEXT) || '{}'", fraction(0, scale)))
        }
        (DataType::Decimal(_, from), DataType::Decimal(_, to)) if from != to => {
            Some(format!("{column} || '{}'", fraction(from, to)))
        }
        (DataType::Date, DataType::Timestamp) => Some(format!("{column} || 'T00:00:00.000000Z'")),
        _ => None,
    }
}

/// What is added to a number's text when its scale grows.
fn fraction(from: u8, to: u8) -> String {
    let point = if from == 0 && to > 0 { "." } else { "" };
    format!("{point}{}", "0".repeat(usize::from(to.saturating_sub(from))))
}
