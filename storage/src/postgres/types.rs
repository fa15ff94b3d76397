//! Logical types in PostgreSQL: the column type of each, and how values of one
//! become those of a wider one.

use crate::DataType;

/// The type of a column, as `format_type` writes it.
pub(super) fn sql(data_type: DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int64 => "bigint",
        DataType::Float64 => "double precision",
        DataType::Decimal(precision, scale) => return format!("numeric({precision},{scale})"),
        DataType::Text => "text",
        DataType::Bytes => "bytea",
        DataType::Date => "date",
        DataType::Timestamp => "timestamp with time zone",
        DataType::Json => "jsonb",
    }
    .to_owned()
}

/// The logical type of a column; none where the type is not one of ours.
pub(super) fn parse(sql_type: &str) -> Option<DataType> {
    let simple = [
        DataType::Boolean,
        DataType::Int64,
        DataType::Float64,
        DataType::Text,
        DataType::Bytes,
        DataType::Date,
        DataType::Timestamp,
        DataType::Json,
    ];
    if let Some(found) = simple.into_iter().find(|data_type| sql(*data_type) == sql_type) {
        return Some(found);
    }
    let (precision, scale) = sql_type.strip_prefix("numeric(")?.strip_suffix(')')?.split_once(',')?;
    let (precision, scale) = (precision.parse().ok()?, scale.parse().ok()?);
    (precision <= 38 && scale <= precision).then_some(DataType::Decimal(precision, scale))
}

/// Values of one type as those of a wider one: an expression over a quoted
/// column.
pub(super) fn conversion(column: &str, from: DataType, to: DataType) -> String {
    match (from, to) {
        (from, to) if from == to => column.to_owned(),
        (DataType::Date, DataType::Timestamp) => format!("({column}::timestamp AT TIME ZONE 'UTC')"),
        (DataType::Date, DataType::Text) => format!("to_char({column}::timestamp, 'YYYY-MM-DD')"),
        (DataType::Timestamp, DataType::Text) => {
            format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
        }
        (_, to) => format!("{column}::{}", sql(to)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_they_are_written() {
        for data_type in [DataType::Boolean, DataType::Decimal(38, 9), DataType::Json, DataType::Timestamp] {
            assert_eq!(parse(&sql(data_type)), Some(data_type));
        }
        for foreign in
            ["integer", "numeric", "numeric(40,2)", "json", "character varying(10)", "numeric(3,-1)"]
        {
            assert_eq!(parse(foreign), None, "{foreign}");
        }
    }
}
