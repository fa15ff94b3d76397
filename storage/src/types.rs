//! Which type holds the values of two without a loss, and types by their names.

use crate::DataType;

/// Digits that the largest `int64` has.
const INT64_DIGITS: u8 = 19;
/// The most digits that a decimal has.
const MAX_PRECISION: u8 = 38;

/// The narrowest type that holds every value of both without a loss; none
/// where there is no such type.
pub(crate) fn widest(a: DataType, b: DataType) -> Option<DataType> {
    use DataType::{Boolean, Bytes, Date, Decimal, Float64, Int64, Text, Timestamp};
    match (a, b) {
        _ if a == b => Some(a),
        (Bytes | Float64, _) | (_, Bytes | Float64) => None,
        (Decimal(p1, s1), Decimal(p2, s2)) => decimal(whole(p1, s1).max(whole(p2, s2)), s1.max(s2)),
        (Int64, Decimal(p, s)) | (Decimal(p, s), Int64) => decimal(whole(p, s).max(INT64_DIGITS), s),
        (Date, Timestamp) | (Timestamp, Date) => Some(Timestamp),
        (Text, _) | (_, Text) => Some(Text),
        (Boolean | Int64 | Decimal(..) | Date | Timestamp | DataType::Json, _) => None,
    }
}

fn whole(precision: u8, scale: u8) -> u8 {
    precision.saturating_sub(scale)
}

fn decimal(whole: u8, scale: u8) -> Option<DataType> {
    let precision = whole.checked_add(scale)?;
    (precision <= MAX_PRECISION).then_some(DataType::Decimal(precision, scale))
}

/// Reads a type as `Display` writes it.
pub(crate) fn parse(text: &str) -> Option<DataType> {
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
    if let Some(found) = simple.into_iter().find(|data_type| data_type.to_string() == text) {
        return Some(found);
    }
    let (precision, scale) = text.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
    Some(DataType::Decimal(precision.trim().parse().ok()?, scale.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_widen_only_without_a_loss() {
        use DataType::*;
        for (a, b, expected) in [
            (Int64, Int64, Some(Int64)),
            (Int64, Decimal(38, 2), Some(Decimal(38, 2))),
            (Int64, Decimal(10, 2), Some(Decimal(21, 2))),
            (Int64, Decimal(38, 30), None),
            (Decimal(10, 4), Decimal(12, 2), Some(Decimal(14, 4))),
            (Decimal(38, 0), Decimal(38, 38), None),
            (Date, Timestamp, Some(Timestamp)),
            (Json, Text, Some(Text)),
            (Boolean, Text, Some(Text)),
            (Timestamp, Text, Some(Text)),
            (Boolean, Int64, None),
            (Int64, Float64, None),
            (Float64, Text, None),
            (Bytes, Text, None),
            (Json, Int64, None),
        ] {
            assert_eq!(widest(a, b), expected, "{a} {b}");
            assert_eq!(widest(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn types_are_read_as_they_are_written() {
        for data_type in [DataType::Boolean, DataType::Decimal(38, 9), DataType::Json, DataType::Timestamp] {
            assert_eq!(parse(&data_type.to_string()), Some(data_type));
        }
        assert_eq!(parse("decimal(300, 2)"), None);
        assert_eq!(parse("geometry"), None);
    }
}
