//! Every type at its edges.

use arrow_array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, TimestampMicrosecondArray,
};

use super::*;

/// Writes one column of a table of its own and reads it back.
fn written(data_type: DataType, values: ArrayRef) -> Result<Vec<String>, StorageError> {
    let place = Place::new();
    let schema = stream("t", &[("c", data_type)], 0);
    place.load(&schema, WriteMode::Append, &[batch(&schema, vec![values])])?;
    Ok(place.query("SELECT c FROM t ORDER BY rowid"))
}

fn refused(data_type: DataType, values: ArrayRef) -> String {
    written(data_type, values).unwrap_err().to_string()
}

#[test]
fn booleans_and_integers() {
    let values = BooleanArray::from(vec![Some(true), None, Some(false)]);
    assert_eq!(written(DataType::Boolean, Arc::new(values)).unwrap(), ["1", "null", "0"]);
    let values = Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), Some(0), None]);
    let expected = ["-9223372036854775808", "9223372036854775807", "0", "null"];
    assert_eq!(written(DataType::Int64, Arc::new(values)).unwrap(), expected);
}

#[test]
fn floats() {
    let values = [f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 5e-324, -0.0, 0.1, 3.0];
    let place = Place::new();
    let schema = stream("t", &[("c", DataType::Float64)], 0);
    let rows = batch(&schema, vec![Arc::new(Float64Array::from(values.to_vec()))]);
    place.load(&schema, WriteMode::Append, &[rows]).unwrap();
    let reader = place.reader();
    let mut statement = reader.prepare("SELECT c FROM t ORDER BY rowid").unwrap();
    let read: Vec<f64> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(read, values);
}

#[test]
fn nan_is_refused_with_its_place() {
    let schema = stream("t", &[("id", DataType::Int64), ("rate", DataType::Float64)], 0);
    let rows = |rates: Vec<f64>| {
        let ids = Int64Array::from(vec![1; rates.len()]);
        batch(&schema, vec![Arc::new(ids), Arc::new(Float64Array::from(rates))])
    };
    let place = Place::new();
    let error = place
        .load(&schema, WriteMode::Append, &[rows(vec![1.0, 2.0]), rows(vec![3.0, f64::NAN])])
        .unwrap_err();
    assert!(matches!(error, StorageError::Refused { .. }));
    assert_eq!(
        error.to_string(),
        "the value of `rate` in row 4 of table `t` is NaN, which SQLite cannot hold; make it null or leave the row out"
    );
    assert_eq!(place.query("SELECT count(*) FROM sqlite_schema WHERE name = 't'"), ["0"]);
}

#[test]
fn a_nan_that_is_null_is_no_value() {
    let values = Float64Array::new(vec![f64::NAN, 1.0].into(), Some(vec![false, true].into()));
    assert_eq!(written(DataType::Float64, Arc::new(values)).unwrap(), ["null", "1.0"]);
}

#[test]
fn decimals() {
    let nines = 10_i128.pow(38) - 1;
    let values = |values: Vec<i128>, precision, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
    };
    let read = written(DataType::Decimal(38, 0), values(vec![nines, -nines, 0], 38, 0)).unwrap();
    assert_eq!(read, [format!("'{}'", "9".repeat(38)), format!("'-{}'", "9".repeat(38)), "'0'".into()]);
    let read = written(DataType::Decimal(38, 38), values(vec![1, -nines], 38, 38)).unwrap();
    assert_eq!(read, [format!("'0.{}1'", "0".repeat(37)), format!("'-0.{}'", "9".repeat(38))]);
    assert_eq!(written(DataType::Decimal(9, 2), values(vec![-1250], 9, 2)).unwrap(), ["'-12.50'"]);
    assert_eq!(
        refused(DataType::Decimal(3, 1), values(vec![999, 1000], 3, 1)),
        "the value of `c` in row 2 of table `t` has more digits than its type allows"
    );
}

#[test]
fn texts() {
    let long = "ü".repeat(3_000_000);
    let values = StringArray::from(vec![
        Some(""),
        None,
        Some("🎉 'quoted' \"twice\" \\ % _"),
        Some("two\nlines\tand\r\n"),
        Some(long.as_str()),
        Some("a\0b"),
    ]);
    let read = written(DataType::Text, Arc::new(values)).unwrap();
    assert_eq!(read[..4], ["''", "null", "'🎉 'quoted' \"twice\" \\ % _'", "'two\nlines\tand\r\n'"]);
    assert_eq!(read[4].len(), long.len() + 2);
    assert_eq!(read[5], "'a\0b'");
    let values = StringArray::from(vec![r#"{"a": [1, null]}"#, "null"]);
    assert_eq!(written(DataType::Json, Arc::new(values)).unwrap(), [r#"'{"a": [1, null]}'"#, "'null'"]);
}

#[test]
fn bytes() {
    let values = BinaryArray::from(vec![Some(&b""[..]), None, Some(&[0, 255]), Some(b"text")]);
    let read = written(DataType::Bytes, Arc::new(values)).unwrap();
    assert_eq!(read, ["[]", "null", "[0, 255]", "[116, 101, 120, 116]"]);
}

#[test]
fn dates_and_timestamps() {
    let values = Date32Array::from(vec![Some(-719_162), Some(2_932_896), Some(0), None]);
    let expected = ["'0001-01-01'", "'9999-12-31'", "'1970-01-01'", "null"];
    assert_eq!(written(DataType::Date, Arc::new(values)).unwrap(), expected);
    for day in [-719_163, 2_932_897, i32::MIN, i32::MAX] {
        assert_eq!(
            refused(DataType::Date, Arc::new(Date32Array::from(vec![day]))),
            "the value of `c` in row 1 of table `t` is not in the years 1 to 9999"
        );
    }
    let zoned = |values: Vec<i64>| Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"));
    let first = -719_162 * 86_400_000_000;
    let end = 2_932_897 * 86_400_000_000;
    assert_eq!(
        written(DataType::Timestamp, zoned(vec![first, -1, 1_704_067_200_000_000, end - 1])).unwrap(),
        [
            "'0001-01-01T00:00:00.000000Z'",
            "'1969-12-31T23:59:59.999999Z'",
            "'2024-01-01T00:00:00.000000Z'",
            "'9999-12-31T23:59:59.999999Z'"
        ]
    );
    for micros in [first - 1, end, i64::MIN, i64::MAX] {
        assert!(refused(DataType::Timestamp, zoned(vec![micros])).contains("years 1 to 9999"));
    }
}

#[test]
fn sqlite_understands_dates_and_sorts_them() {
    let zoned = TimestampMicrosecondArray::from(vec![1_704_067_200_000_000, -1, 5]).with_timezone("UTC");
    let place = Place::new();
    let schema = stream("t", &[("c", DataType::Timestamp)], 0);
    place.load(&schema, WriteMode::Append, &[batch(&schema, vec![Arc::new(zoned)])]).unwrap();
    let read = place.query("SELECT unixepoch(c) FROM t ORDER BY c");
    assert_eq!(read, ["-1", "0", "1704067200"]);
}

#[test]
fn tables_are_strict() {
    let place = Place::new();
    place.load(&people(1), WriteMode::Merge, &[]).unwrap();
    let error = place.reader().execute("INSERT INTO t VALUES (1, x'00')", []).unwrap_err();
    assert!(error.to_string().contains("cannot store BLOB value in TEXT column"), "{error}");
}

#[test]
fn a_null_where_none_may_be_is_refused() {
    let place = Place::new();
    let mut schema = people(0);
    schema.fields[1].nullable = false;
    let error = place.load(&schema, WriteMode::Append, &[rows(&[(1, Some("a")), (2, None)])]).unwrap_err();
    assert_eq!(error.to_string(), "row 2 of table `t` has no value for `name`, which may not be null");
    let mut schema = people(1);
    schema.fields[0].nullable = false;
    let loose = stream("t", &[("id", DataType::Int64)], 0);
    let ids = batch(&loose, vec![Arc::new(Int64Array::from(vec![Some(1), None]))]);
    let error = place.load(&schema, WriteMode::Merge, &[ids]).unwrap_err();
    assert_eq!(error.to_string(), "row 2 of table `t` has no value for `id`, which may not be null");
}

#[test]
fn arrays_of_another_type_are_refused() {
    let place = Place::new();
    let wrong = stream("t", &[("id", DataType::Text)], 0);
    let wrong = batch(&wrong, vec![Arc::new(StringArray::from(vec!["1"]))]);
    let error = place.load(&people(0), WriteMode::Append, &[wrong]).unwrap_err();
    assert_eq!(error.to_string(), "column `id` of table `t` is int64 and comes as Utf8");
    let unknown = stream("t", &[("who", DataType::Text)], 0);
    let unknown = batch(&unknown, vec![Arc::new(StringArray::from(vec!["1"]))]);
    let error = place.load(&people(0), WriteMode::Append, &[unknown]).unwrap_err();
    assert_eq!(error.to_string(), "table `t` has no column `who`, which a batch has");
}
