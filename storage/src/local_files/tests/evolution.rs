//! Columns that appear, types that widen, changes that are refused.

use arrow_array::{BooleanArray, Date32Array, Decimal128Array};

use super::*;

/// A table with one column beside its key.
fn of(data_type: DataType) -> TableSchema {
    stream("t", &[("id", DataType::Int64), ("v", data_type)], 1)
}

fn one(id: i64, data_type: DataType, value: ArrayRef) -> RecordBatch {
    batch(&of(data_type), vec![Arc::new(Int64Array::from(vec![id])), value])
}

#[test]
fn a_new_column_is_in_every_file() {
    for format in [Format::Parquet, Format::Csv, Format::Jsonl] {
        let folder = Folder::of(format);
        folder.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
        let wide = stream("t", &[("more", DataType::Int64), ("id", DataType::Int64)], 1);
        let mut wide = TableSchema { primary_key: vec!["id".into()], ..wide };
        wide.fields[0].nullable = true;
        wide.fields[1].nullable = false;
        let rows =
            batch(&wide, vec![Arc::new(Int64Array::from(vec![7])), Arc::new(Int64Array::from(vec![2]))]);
        folder.load(&wide, WriteMode::Merge, &[rows]).unwrap();
        match format {
            Format::Parquet => assert_eq!(
                folder.rows("t"),
                ["{id: 1, name: \"a\", more: null}", "{id: 2, name: null, more: 7}"]
            ),
            Format::Csv => assert_eq!(folder.text("t"), "id,name,more\r\n1,a,\r\n2,,7\r\n"),
            Format::Jsonl => {
                assert!(folder.text("t").starts_with("{\"id\":1,\"name\":\"a\",\"more\":null}\n"))
            }
        }
    }
}

#[test]
fn types_widen_both_ways() {
    use DataType::{Boolean, Date, Decimal, Int64, Text, Timestamp};
    let decimal = |value, precision, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap())
    };
    let int: ArrayRef = Arc::new(Int64Array::from(vec![-5]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let day: ArrayRef = Arc::new(Date32Array::from(vec![1]));
    let at: ArrayRef = Arc::new(arrow_array::TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC"));
    let yes: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    let cases = [
        (Int64, &int, Decimal(25, 2), &decimal(150, 25, 2), ["-5.00", "1.50"]),
        (Int64, &int, Text, &text, ["-5", "x"]),
        (Decimal(5, 1), &decimal(15, 5, 1), Decimal(9, 3), &decimal(2, 9, 3), ["1.500", "0.002"]),
        (Decimal(5, 1), &decimal(15, 5, 1), Text, &text, ["1.5", "x"]),
        (Date, &day, Timestamp, &at, ["1970-01-02T00:00:00.000000Z", "1970-01-01T00:00:00.000000Z"]),
        (Date, &day, Text, &text, ["1970-01-02", "x"]),
        (Timestamp, &at, Text, &text, ["1970-01-01T00:00:00.000000Z", "x"]),
        (Boolean, &yes, Text, &text, ["true", "x"]),
    ];
    for format in [Format::Csv, Format::Parquet] {
        for (narrow, small, wide, large, [first, second]) in &cases {
            for turned in [false, true] {
                let folder = Folder::of(format);
                let mut loads = [(1, *narrow, small), (2, *wide, large)];
                if turned {
                    loads.reverse();
                }
                for (id, data_type, array) in loads {
                    let rows = one(id, data_type, Arc::clone(array));
                    folder.load(&of(data_type), WriteMode::Merge, &[rows]).unwrap();
                }
                let columns = folder.open().columns("t").unwrap().unwrap();
                assert_eq!(columns[1].data_type, *wide, "{narrow} {wide}");
                if format == Format::Csv {
                    let text = folder.text("t");
                    assert!(text.contains(&format!("1,{first}\r\n")), "{text}");
                    assert!(text.contains(&format!("2,{second}\r\n")), "{text}");
                } else {
                    assert_eq!(folder.rows("t").len(), 2);
                }
            }
        }
    }
}

#[test]
fn what_would_lose_data_is_refused() {
    let folder = Folder::new();
    folder.load(&of(DataType::Int64), WriteMode::Merge, &[]).unwrap();
    let refused =
        |schema: &TableSchema| folder.open().open_table(schema, WriteMode::Append).unwrap_err().to_string();
    assert_eq!(
        refused(&of(DataType::Float64)),
        "column `v` of table `t` is int64 and the stream has float64, and no type holds both without a loss; run a full refresh, which writes the table anew, or give the field a new name"
    );
    let other_key = TableSchema { primary_key: vec![], ..of(DataType::Int64) };
    assert!(
        refused(&other_key).starts_with("table `t` has primary key (`id`), the stream has no primary key")
    );
    let case = stream("t", &[("ID", DataType::Int64)], 0);
    assert!(refused(&TableSchema { primary_key: vec!["id".into()], ..case }).contains("no column of it"));
    let mut case = of(DataType::Int64);
    case.fields[1].name = "V".into();
    assert!(refused(&case).contains("differs from field `V` in case only"));
    // And a full refresh is the way out.
    folder.load_as(&refresh("r"), &of(DataType::Float64), WriteMode::Merge, &[]).unwrap();
    assert_eq!(folder.open().columns("t").unwrap().unwrap()[1].data_type, DataType::Float64);
}

#[test]
fn stored_values_that_have_no_wider_form_are_refused_by_name() {
    let folder = Folder::new();
    let late: ArrayRef = Arc::new(Date32Array::from(vec![i32::MAX]));
    folder.load(&of(DataType::Date), WriteMode::Merge, &[one(1, DataType::Date, late)]).unwrap();
    let error = folder.load(&of(DataType::Text), WriteMode::Merge, &[]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("a stored value of column `v` of table `t` is not in the years 1 to 9999"),
        "{error}"
    );
}

#[test]
fn another_format_is_refused() {
    let mut folder = Folder::new();
    folder.load(&people(1), WriteMode::Merge, &[rows(&[(1, None)])]).unwrap();
    folder.params.format = Format::Csv;
    let error = folder.load(&people(1), WriteMode::Merge, &[]).unwrap_err();
    assert!(
        error.to_string().starts_with("table `t` has files in the format `parquet`, and `Format` is `csv`"),
        "{error}"
    );
    folder.load_as(&refresh("r"), &people(1), WriteMode::Merge, &[rows(&[(1, None)])]).unwrap();
    assert_eq!(folder.text("t"), "id,name\r\n1,\r\n");
}
