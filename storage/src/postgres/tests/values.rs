//! Every type at its edges.

use arrow_array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, TimestampMicrosecondArray,
};

use super::*;

/// Writes one column of a table of its own and reads it back.
fn written(place: &Place<'_>, data_type: DataType, values: ArrayRef) -> Result<Vec<String>, StorageError> {
    written_as(place, data_type, values, "c")
}

fn written_as(
    place: &Place<'_>,
    data_type: DataType,
    values: ArrayRef,
    read: &str,
) -> Result<Vec<String>, StorageError> {
    let schema = stream("t", &[("c", data_type)], 0);
    place.execute("DROP TABLE IF EXISTS t");
    place.load(&schema, WriteMode::Append, &[batch(&schema, vec![values])])?;
    Ok(place.query(&format!("SELECT {read} FROM t ORDER BY ctid")))
}

fn refused(place: &Place<'_>, data_type: DataType, values: ArrayRef) -> String {
    let error = written(place, data_type, values).unwrap_err();
    assert!(matches!(error, StorageError::Refused { .. }), "{error}");
    error.to_string()
}

#[test]
fn booleans_and_integers() {
    let Some(place) = Place::new() else { return };
    let values = BooleanArray::from(vec![Some(true), None, Some(false)]);
    assert_eq!(written(&place, DataType::Boolean, Arc::new(values)).unwrap(), ["t", "null", "f"]);
    let values = Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), Some(0), None]);
    let expected = ["-9223372036854775808", "9223372036854775807", "0", "null"];
    assert_eq!(written(&place, DataType::Int64, Arc::new(values)).unwrap(), expected);
}

#[test]
fn floats() {
    let Some(place) = Place::new() else { return };
    let values =
        [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MAX, f64::MIN_POSITIVE, 5e-324, -0.0, 0.1, 3.0];
    let read = written(&place, DataType::Float64, Arc::new(Float64Array::from(values.to_vec()))).unwrap();
    for (read, value) in read.iter().zip(values) {
        let read: f64 = read.parse().unwrap();
        assert!(read.to_bits() == value.to_bits() || (read.is_nan() && value.is_nan()), "{read} {value}");
    }
    assert_eq!(read.len(), values.len());
    let values = Float64Array::new(vec![f64::NAN, 1.0].into(), Some(vec![false, true].into()));
    assert_eq!(written(&place, DataType::Float64, Arc::new(values)).unwrap(), ["null", "1"]);
}

#[test]
fn decimals() {
    let Some(place) = Place::new() else { return };
    let nines = 10_i128.pow(38) - 1;
    let values = |values: Vec<i128>, precision, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
    };
    let column = values(vec![nines, -nines, 0, 10_000, 99_990_000], 38, 0);
    let read = written(&place, DataType::Decimal(38, 0), column).unwrap();
    assert_eq!(
        read,
        ["9".repeat(38), format!("-{}", "9".repeat(38)), "0".into(), "10000".into(), "99990000".into()]
    );
    let read = written(&place, DataType::Decimal(38, 38), values(vec![1, -nines, 0], 38, 38)).unwrap();
    let small = format!("0.{}1", "0".repeat(37));
    assert_eq!(read, [small, format!("-0.{}", "9".repeat(38)), format!("0.{}", "0".repeat(38))]);
    for scale in 0..=12_i8 {
        let unit = 10_i128.pow(u32::try_from(scale).unwrap());
        let column = [1, -7, unit, 12_345_678_901_234, 10 * unit + 1, 99_999_999];
        let data_type = DataType::Decimal(30, u8::try_from(scale).unwrap());
        let read =
            written_as(&place, data_type, values(column.to_vec(), 30, scale), "c * 10 ^ scale(c)::numeric");
        let read: Vec<i128> =
            read.unwrap().iter().map(|text| text.split('.').next().unwrap().parse().unwrap()).collect();
        assert_eq!(read, column, "scale {scale}");
    }
    assert_eq!(written(&place, DataType::Decimal(9, 2), values(vec![-1250], 9, 2)).unwrap(), ["-12.50"]);
    assert_eq!(
        refused(&place, DataType::Decimal(3, 1), values(vec![999, 1000], 3, 1)),
        "the value of `c` in row 2 of table `t` has more digits than its type allows"
    );
}

#[test]
fn texts_of_any_kind() {
    let Some(place) = Place::new() else { return };
    let long = "ü".repeat(3_000_000);
    let values = StringArray::from(vec![
        Some(""),
        None,
        Some("🎉 'quoted' \"twice\" \\ % _"),
        Some("\\N"),
        Some(long.as_str()),
    ]);
    let read = written_as(&place, DataType::Text, Arc::new(values), "left(c, 30), length(c)").unwrap();
    let long = format!("{} 3000000", "ü".repeat(30));
    assert_eq!(read, [" 0", "null null", "🎉 'quoted' \"twice\" \\ % _ 24", "\\N 2", &long]);
    let values = StringArray::from(vec!["two\nlines\tand\r\n"]);
    let read = written_as(&place, DataType::Text, Arc::new(values), "c = E'two\\nlines\\tand\\r\\n'");
    assert_eq!(read.unwrap(), ["t"]);
    assert_eq!(
        refused(&place, DataType::Text, Arc::new(StringArray::from(vec!["ok", "a\0b"]))),
        "the value of `c` in row 2 of table `t` has a NUL character in it, which PostgreSQL cannot hold; remove it, or declare the field as bytes"
    );
}

#[test]
fn json_is_kept_and_what_it_cannot_hold_is_named() {
    let Some(place) = Place::new() else { return };
    let values = StringArray::from(vec![
        Some(r#"{"b": [1, null], "a": 1.50}"#),
        Some("null"),
        None,
        Some(r#""🎉""#),
        Some("12345678901234567890.123"),
    ]);
    let read = written(&place, DataType::Json, Arc::new(values)).unwrap();
    assert_eq!(
        read,
        [r#"{"a": 1.50, "b": [1, null]}"#, "null", "null", r#""🎉""#, "12345678901234567890.123"]
    );
    for wrong in [r#""a\u0000b""#, "{", r#""\ud800""#] {
        let values = StringArray::from(vec!["1", "2", wrong]);
        let error = refused(&place, DataType::Json, Arc::new(values));
        assert!(
            error.starts_with("the value of `c` in row 3 of table `t` is not what PostgreSQL takes: "),
            "{error}"
        );
    }
}

#[test]
fn the_row_at_fault_is_counted_over_chunks_and_batches() {
    let Some(place) = Place::new() else { return };
    let schema = stream("t", &[("x", DataType::Text), ("j", DataType::Json)], 0);
    let text = "x".repeat(300_000);
    let rows = |json: Vec<&str>| {
        let texts = StringArray::from(vec![text.as_str(); json.len()]);
        batch(&schema, vec![Arc::new(texts), Arc::new(StringArray::from(json))])
    };
    let good = rows(vec!["1"; 40]);
    let mut wrong = vec!["1"; 30];
    wrong[25] = "}";
    let error = place.load(&schema, WriteMode::Append, &[good, rows(wrong)]).unwrap_err();
    assert!(error.to_string().starts_with("the value of `j` in row 66 of table `t` is not"), "{error}");
    assert_eq!(place.query("SELECT to_regclass('t')"), ["null"]);
}

#[test]
fn bytes() {
    let Some(place) = Place::new() else { return };
    let values = BinaryArray::from(vec![Some(&b""[..]), None, Some(&[0, 255]), Some(b"text")]);
    let read = written(&place, DataType::Bytes, Arc::new(values)).unwrap();
    assert_eq!(read, ["\\x", "null", "\\x00ff", "\\x74657874"]);
}

#[test]
fn dates_and_timestamps() {
    let Some(place) = Place::new() else { return };
    let values = Date32Array::from(vec![Some(-719_162), Some(2_932_896), Some(0), None, Some(10_957)]);
    let expected = ["0001-01-01", "9999-12-31", "1970-01-01", "null", "2000-01-01"];
    assert_eq!(written(&place, DataType::Date, Arc::new(values)).unwrap(), expected);
    for day in [-719_163, 2_932_897, i32::MIN, i32::MAX] {
        assert_eq!(
            refused(&place, DataType::Date, Arc::new(Date32Array::from(vec![day]))),
            "the value of `c` in row 1 of table `t` is not in the years 1 to 9999"
        );
    }
    let zoned = |values: Vec<i64>| Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"));
    let first = -719_162 * 86_400_000_000;
    let end = 2_932_897 * 86_400_000_000;
    let read =
        written(&place, DataType::Timestamp, zoned(vec![first, -1, 1_704_067_200_000_001, end - 1])).unwrap();
    assert_eq!(
        read,
        [
            "0001-01-01 00:00:00+00",
            "1969-12-31 23:59:59.999999+00",
            "2024-01-01 00:00:00.000001+00",
            "9999-12-31 23:59:59.999999+00"
        ]
    );
    for micros in [first - 1, end, i64::MIN, i64::MAX] {
        assert!(refused(&place, DataType::Timestamp, zoned(vec![micros])).contains("years 1 to 9999"));
    }
}

#[test]
fn a_null_where_none_may_be_is_refused() {
    let Some(place) = Place::new() else { return };
    let mut schema = people(0);
    schema.fields[1].nullable = false;
    let error = place.load(&schema, WriteMode::Append, &[rows(&[(1, Some("a")), (2, None)])]).unwrap_err();
    assert_eq!(error.to_string(), "row 2 of table `t` has no value for `name`, which may not be null");
    let loose = stream("t", &[("id", DataType::Int64)], 0);
    let nulls = batch(&loose, vec![Arc::new(Int64Array::from(vec![Some(1), None]))]);
    let error = place.load(&people(1), WriteMode::Merge, &[nulls]).unwrap_err();
    assert_eq!(error.to_string(), "row 2 of table `t` has no value for `id`, which may not be null");
}

#[test]
fn arrays_of_another_type_are_refused() {
    let Some(place) = Place::new() else { return };
    let error = place.load(&people(0), WriteMode::Append, &[texts("id", vec!["1"])]).unwrap_err();
    assert_eq!(error.to_string(), "column `id` of table `t` is int64 and comes as Utf8");
    let error = place.load(&people(0), WriteMode::Append, &[texts("who", vec!["1"])]).unwrap_err();
    assert_eq!(error.to_string(), "table `t` has no column `who`, which a batch has");
}
