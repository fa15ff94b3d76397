//! Types, value by value, at their edges.

use arrow_array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, TimestampMicrosecondArray,
};

use super::*;

fn one(data_type: DataType, array: ArrayRef) -> (TableSchema, RecordBatch) {
    let schema = stream("v", &[("v", data_type)], 0);
    let batch = batch(&schema, vec![array]);
    (schema, batch)
}

fn stored(place: &Place, data_type: DataType, array: ArrayRef, sql: &str) -> Vec<String> {
    let (mut schema, batch) = one(data_type, array);
    schema.name = format!("v{}", uuid::Uuid::new_v4().simple());
    place.load(&schema, WriteMode::Append, &[batch]).unwrap();
    place.query(&format!("SELECT {sql} FROM `p.d.{}`", schema.name))
}

#[test]
fn numbers_and_truth_at_their_edges() {
    let place = place!();
    let ints = Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), Some(0), None]);
    let expected = ["-9223372036854775808", "9223372036854775807", "0", "null"];
    assert_eq!(stored(&place, DataType::Int64, Arc::new(ints), "v"), expected);
    let floats = Float64Array::from(vec![Some(f64::INFINITY), Some(f64::NAN), Some(-0.1), None]);
    let found = stored(&place, DataType::Float64, Arc::new(floats), "CAST(v AS STRING)");
    assert_eq!(found, ["inf", "nan", "-0.1", "null"]);
    let truths = BooleanArray::from(vec![Some(true), Some(false), None]);
    assert_eq!(stored(&place, DataType::Boolean, Arc::new(truths), "v"), ["true", "false", "null"]);
}

#[test]
fn decimals_keep_every_digit() {
    let place = place!();
    let nines = 10_i128.pow(38) - 1;
    for (precision, scale, value, expected) in [
        (10, 2, 5, "0.05"),
        (10, 2, -1250, "-12.50"),
        (38, 9, nines, "99999999999999999999999999999.999999999"),
        (38, 0, -nines, "-99999999999999999999999999999999999999"),
        (38, 38, nines, "0.99999999999999999999999999999999999999"),
        (1, 0, 9, "9"),
    ] {
        let array = Decimal128Array::from(vec![Some(value), None]).with_precision_and_scale(precision, scale);
        let data_type = DataType::Decimal(precision, u8::try_from(scale).unwrap());
        let found = stored(&place, data_type, Arc::new(array.unwrap()), "CAST(v AS STRING)");
        assert_eq!(plain(&found[0]), plain(expected));
        assert_eq!(found[1], "null");
    }
}

/// What Google's own Python client reads.
#[test]
fn googles_client_reads_what_was_written() {
    let place = place!();
    let schema = stream(
        "t",
        &[
            ("i", DataType::Int64),
            ("f", DataType::Float64),
            ("d", DataType::Decimal(12, 2)),
            ("s", DataType::Text),
            ("b", DataType::Bytes),
            ("day", DataType::Date),
            ("at", DataType::Timestamp),
            ("j", DataType::Json),
            ("t", DataType::Boolean),
        ],
        1,
    );
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2])),
        Arc::new(Float64Array::from(vec![Some(0.1), None])),
        Arc::new(Decimal128Array::from(vec![Some(-1250), None]).with_precision_and_scale(12, 2).unwrap()),
        Arc::new(StringArray::from(vec![Some("é\n"), None])),
        Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None])),
        Arc::new(Date32Array::from(vec![Some(19_782), None])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None]).with_timezone("UTC")),
        Arc::new(StringArray::from(vec![Some("{\"a\": [1]}"), None])),
        Arc::new(BooleanArray::from(vec![Some(true), None])),
    ];
    place.load(&schema, WriteMode::Merge, &[batch(&schema, columns)]).unwrap();
    let script = "import sys
from google.cloud import bigquery
from google.auth.credentials import AnonymousCredentials
client = bigquery.Client(project='p', credentials=AnonymousCredentials(), client_options={'api_endpoint': sys.argv[1]})
for row in sorted(client.list_rows('p.d.t'), key=lambda row: row['i']):
    print([row['at'].isoformat() if name == 'at' and row['at'] else str(row['day']) if name == 'day' else row[name] for name in row.keys()])
";
    let python = std::env::var("OW_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = std::process::Command::new(python).args(["-c", script, &place.fake.url]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    if error.contains("No module named 'google") {
        assert!(std::env::var("OW_TEST_REQUIRE_CLOUD").is_err(), "{error}");
        eprintln!("SKIPPED googles_client_reads_what_was_written: google-cloud-bigquery is not installed");
        return;
    }
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "[1, 0.1, Decimal('-12.5'), 'é\\n', b'\\x00\\xff', '2024-02-29', '1970-01-01T00:00:00.000001+00:00', {'a': [1]}, True]\n[2, None, None, None, None, 'None', None, None, None]\n",
        "{error}"
    );
}

#[test]
fn text_bytes_and_json_are_kept_as_they_are() {
    let place = place!();
    let long = "🎉".repeat(600_000);
    let texts = ["", " ", "it's \"quoted\" `so` \\", "line\nline\ttab\r", "ünïcode 日本 🎉", "null"];
    let array = StringArray::from(
        texts.iter().map(|text| Some(*text)).chain([None, Some(long.as_str())]).collect::<Vec<_>>(),
    );
    let found = stored(&place, DataType::Text, Arc::new(array), "v");
    assert_eq!(found[..6], texts);
    assert_eq!(found[6], "null");
    assert!(found[7] == long);
    let bytes = BinaryArray::from(vec![Some(&b"\x00\xff'"[..]), Some(&b""[..]), None]);
    assert_eq!(stored(&place, DataType::Bytes, Arc::new(bytes), "TO_HEX(v)").len(), 3);
    let json = StringArray::from(vec![Some("{\"a\":[1,null,\"x'\"]}"), Some("null"), None, Some("\"s\"")]);
    let found = stored(&place, DataType::Json, Arc::new(json), "v");
    assert_eq!(found, ["{\"a\":[1,null,\"x'\"]}", "null", "null", "\"s\""]);
}

#[test]
fn dates_and_timestamps_reach_from_year_1_to_9999() {
    let place = place!();
    let dates = Date32Array::from(vec![Some(-719_162), Some(2_932_896), Some(0), None]);
    let found = stored(&place, DataType::Date, Arc::new(dates), "v");
    assert_eq!(found, ["0001-01-01", "9999-12-31", "1970-01-01", "null"]);
    let times = [Some(-1), Some(1_704_067_200_000_001), None];
    let array = TimestampMicrosecondArray::from(times.to_vec()).with_timezone("UTC");
    let found = stored(&place, DataType::Timestamp, Arc::new(array), "UNIX_MICROS(v)");
    assert_eq!(found, ["-1", "1704067200000001", "null"]);
}

#[test]
fn what_bigquery_cannot_hold_is_refused_by_row_and_column() {
    let place = place!();
    let refused = |data_type, array: ArrayRef| {
        let (schema, batch) = one(data_type, array);
        let error = place.load(&schema, WriteMode::Append, &[batch]).unwrap_err();
        assert!(matches!(error, StorageError::Refused { .. }), "{error}");
        error.to_string()
    };
    let years = "the value of `v` in row 2 of table `v` is not in the years 1 to 9999";
    assert_eq!(refused(DataType::Date, Arc::new(Date32Array::from(vec![0, -719_163]))), years);
    let times = TimestampMicrosecondArray::from(vec![0, i64::MAX]).with_timezone("UTC");
    assert_eq!(refused(DataType::Timestamp, Arc::new(times)), years);
    let wide = Decimal128Array::from(vec![1, 1000]).with_precision_and_scale(3, 0).unwrap();
    assert_eq!(
        refused(DataType::Decimal(3, 0), Arc::new(wide)),
        "the value of `v` in row 2 of table `v` has more digits than its type allows"
    );
    let schema = stream("k", &[("k", DataType::Float64)], 1);
    let nan = batch(&schema, vec![Arc::new(Float64Array::from(vec![f64::NAN]))]);
    let error = place.load(&schema, WriteMode::Merge, &[nan]).unwrap_err();
    assert!(error.to_string().starts_with("the value of `k` in row 1 of table `k` is NaN"), "{error}");
    let open = stream("t", &[("id", DataType::Int64), ("name", DataType::Text)], 0);
    let mut strict = open.clone();
    strict.fields[1].nullable = false;
    let error = place.load(&strict, WriteMode::Append, &[rows(&[(1, Some("a")), (2, None)])]).unwrap_err();
    assert_eq!(error.to_string(), "row 2 of table `t` has no value for `name`, which may not be null");
    assert!(place.fake.table("v")["error"].is_object());
}

#[test]
fn hostile_names_are_refused_or_quoted() {
    let place = place!();
    for name in ["a`; DROP TABLE x; --", "a.b", "../x", "_ow_state", "a\0b", ""] {
        let schema = stream(name, &[("a", DataType::Int64)], 0);
        let error = place.load(&schema, WriteMode::Append, &[]).unwrap_err();
        assert!(matches!(error, StorageError::Refused { .. }), "{error}");
    }
    for name in ["a`b", "_PARTITIONTIME", "a;b", "a\"b", "a.b", "\\"] {
        let error =
            place.load(&stream("t", &[(name, DataType::Int64)], 0), WriteMode::Append, &[]).unwrap_err();
        assert!(matches!(error, StorageError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("column"), "{error}");
    }
    let words = ["select", "from", "größe", "a b", "it's", "c0", "x--y", "rows"];
    let fields: Vec<_> = words.iter().map(|word| (*word, DataType::Int64)).collect();
    let schema = stream("order", &fields, 2);
    let columns = (0..words.len()).map(|n| Arc::new(Int64Array::from(vec![n as i64])) as ArrayRef);
    let batch = batch(&schema, columns.collect());
    for mode in [WriteMode::Merge, WriteMode::Merge, WriteMode::Replace] {
        place.load(&schema, mode, std::slice::from_ref(&batch)).unwrap();
    }
    assert_eq!(place.query("SELECT * FROM `p.d.order`"), ["0 1 2 3 4 5 6 7"]);
}
