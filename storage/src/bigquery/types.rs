//! Logical types in BigQuery: the column type of each, and what the columns of
//! a table that stands mean.

use serde_json::{Map, Value, json};

use crate::DataType;

/// Digits after the point that `NUMERIC` has.
const NUMERIC_SCALE: u8 = 9;
/// Digits before the point that `NUMERIC` has.
const NUMERIC_WHOLE: u8 = 29;

/// What a column of a table holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Values of one of our types.
    Known(DataType),
    /// `BIGNUMERIC` without a precision: every decimal and every integer.
    AnyDecimal,
    /// Something that no field of ours is written to.
    Other(String),
}

/// The type's name in the REST API, and precision and scale.
fn rest(data_type: DataType) -> (&'static str, Option<(u8, u8)>) {
    match data_type {
        DataType::Boolean => ("BOOLEAN", None),
        DataType::Int64 => ("INTEGER", None),
        DataType::Float64 => ("FLOAT", None),
        DataType::Decimal(precision, scale) => {
            // BigQuery counts at least one digit before the point.
            let whole = precision.saturating_sub(scale);
            let numeric = scale <= NUMERIC_SCALE && whole <= NUMERIC_WHOLE;
            (if numeric { "NUMERIC" } else { "BIGNUMERIC" }, Some((precision.max(scale).max(1), scale)))
        }
        DataType::Text => ("STRING", None),
        DataType::Bytes => ("BYTES", None),
        DataType::Date => ("DATE", None),
        DataType::Timestamp => ("TIMESTAMP", None),
        DataType::Json => ("JSON", None),
    }
}

/// The type as SQL writes it.
pub(super) fn sql(data_type: DataType) -> String {
    let (name, size) = rest(data_type);
    let name = match name {
        "BOOLEAN" => "BOOL",
        "INTEGER" => "INT64",
        "FLOAT" => "FLOAT64",
        name => name,
    };
    size.map_or(name.to_owned(), |(precision, scale)| format!("{name}({precision}, {scale})"))
}

/// A column as the REST API takes it.
pub(super) fn field(name: &str, data_type: DataType, description: Option<&str>) -> Value {
    let (ty, size) = rest(data_type);
    let mut field = Map::new();
    field.insert("name".to_owned(), json!(name));
    field.insert("type".to_owned(), json!(ty));
    field.insert("mode".to_owned(), json!("NULLABLE"));
    if let Some((precision, scale)) = size {
        field.insert("precision".to_owned(), json!(precision.to_string()));
        field.insert("scale".to_owned(), json!(scale.to_string()));
    }
    if let Some(description) = description {
        // BigQuery keeps 1,024 characters.
        field.insert("description".to_owned(), json!(description.chars().take(1024).collect::<String>()));
    }
    Value::Object(field)
}

/// What a column holds, from the REST API's description of it.
pub(super) fn kind(field: &Value) -> Kind {
    let text = |key: &str| field.get(key).and_then(Value::as_str).unwrap_or_default();
    let number = |key: &str| match field.get(key) {
        Some(Value::String(text)) => text.parse::<u8>().ok(),
        Some(value) => value.as_u64().and_then(|value| u8::try_from(value).ok()),
        None => None,
    };
    let ty = text("type").to_uppercase();
    if text("mode").eq_ignore_ascii_case("REPEATED") {
        return Kind::Other(format!("ARRAY<{ty}>"));
    }
    if field.get("maxLength").is_some() {
        return Kind::Other(format!("{ty} of a limited length"));
    }
    let sized = field.get("precision").is_some();
    let (precision, scale) = (number("precision"), number("scale").unwrap_or(0));
    let known = match (ty.as_str(), sized) {
        ("BOOLEAN" | "BOOL", _) => DataType::Boolean,
        ("INTEGER" | "INT64", _) => DataType::Int64,
        ("FLOAT" | "FLOAT64", _) => DataType::Float64,
        ("NUMERIC" | "DECIMAL", false) => DataType::Decimal(38, NUMERIC_SCALE),
        ("BIGNUMERIC" | "BIGDECIMAL", false) => return Kind::AnyDecimal,
        ("NUMERIC" | "DECIMAL" | "BIGNUMERIC" | "BIGDECIMAL", true) => match precision {
            Some(precision) if precision <= 38 => DataType::Decimal(precision, scale),
            _ => return Kind::Other(format!("{ty} of more than 38 digits")),
        },
        ("STRING", _) => DataType::Text,
        ("BYTES", _) => DataType::Bytes,
        ("DATE", _) => DataType::Date,
        ("TIMESTAMP", _) => DataType::Timestamp,
        ("JSON", _) => DataType::Json,
        _ => return Kind::Other(ty),
    };
    Kind::Known(known)
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known(data_type) => data_type.fmt(f),
            Self::AnyDecimal => f.write_str("BIGNUMERIC"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// Whether a table may be clustered by a column of this type.
pub(super) fn clusters(data_type: DataType) -> bool {
    !matches!(data_type, DataType::Float64 | DataType::Bytes | DataType::Json)
}

/// Whether a table may be partitioned by a column of this type, a day a
/// partition.
pub(super) fn partitions(data_type: DataType) -> bool {
    matches!(data_type, DataType::Date | DataType::Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_mean_what_they_were_made_for() {
        for data_type in [
            DataType::Boolean,
            DataType::Int64,
            DataType::Float64,
            DataType::Decimal(1, 0),
            DataType::Decimal(38, 9),
            DataType::Decimal(38, 0),
            DataType::Decimal(38, 38),
            DataType::Decimal(20, 12),
            DataType::Text,
            DataType::Bytes,
            DataType::Date,
            DataType::Timestamp,
            DataType::Json,
        ] {
            assert_eq!(kind(&field("c", data_type, None)), Kind::Known(data_type));
        }
    }

    #[test]
    fn decimals_take_the_smaller_type_that_holds_them() {
        assert_eq!(sql(DataType::Decimal(38, 9)), "NUMERIC(38, 9)");
        assert_eq!(sql(DataType::Decimal(29, 0)), "NUMERIC(29, 0)");
        assert_eq!(sql(DataType::Decimal(30, 0)), "BIGNUMERIC(30, 0)");
        assert_eq!(sql(DataType::Decimal(12, 10)), "BIGNUMERIC(12, 10)");
    }

    #[test]
    fn columns_of_others_are_known_or_left_alone() {
        assert_eq!(kind(&json!({"type": "NUMERIC"})), Kind::Known(DataType::Decimal(38, 9)));
        assert_eq!(kind(&json!({"type": "BIGNUMERIC"})), Kind::AnyDecimal);
        for field in [
            json!({"type": "STRING", "mode": "REPEATED"}),
            json!({"type": "STRING", "maxLength": "10"}),
            json!({"type": "BIGNUMERIC", "precision": "60", "scale": "10"}),
            json!({"type": "RECORD"}),
            json!({"type": "DATETIME"}),
        ] {
            assert!(matches!(kind(&field), Kind::Other(_)), "{field}");
        }
    }
}
