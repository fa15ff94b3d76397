//! Every type at its edges, in every format.

use arrow_array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, TimestampMicrosecondArray,
};

use super::*;

/// A column of every type; the key is the number of the row.
pub(super) fn every() -> TableSchema {
    stream(
        "t",
        &[
            ("id", DataType::Int64),
            ("b", DataType::Boolean),
            ("i", DataType::Int64),
            ("f", DataType::Float64),
            ("d", DataType::Decimal(38, 9)),
            ("s", DataType::Text),
            ("x", DataType::Bytes),
            ("day", DataType::Date),
            ("at", DataType::Timestamp),
            ("j", DataType::Json),
        ],
        1,
    )
}

/// Row 0: values; row 1: nulls; row 2: low edges; row 3: high edges.
pub(super) fn edges(schema: &TableSchema) -> RecordBatch {
    let most = 10_i128.pow(38) - 1;
    let long = "ä🎉\"'\\,\r\n\t".repeat(100_000);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![0, 1, 2, 3])),
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)])),
        Arc::new(Int64Array::from(vec![Some(0), None, Some(i64::MIN), Some(i64::MAX)])),
        Arc::new(Float64Array::from(vec![Some(-0.0), None, Some(5e-324), Some(f64::MAX)])),
        Arc::new(
            Decimal128Array::from(vec![Some(-1_500_000_000), None, Some(-most), Some(most)])
                .with_precision_and_scale(38, 9)
                .unwrap(),
        ),
        Arc::new(StringArray::from(vec![Some("plain"), None, Some(""), Some(&long)])),
        Arc::new(BinaryArray::from_opt_vec(vec![Some(&[0, 255][..]), None, Some(b""), Some(b"\"\n,")])),
        Arc::new(Date32Array::from(vec![Some(0), None, Some(-719_162), Some(2_932_896)])),
        Arc::new(
            TimestampMicrosecondArray::from(vec![
                Some(0),
                None,
                Some(-62_135_596_800_000_000),
                Some(253_402_300_799_999_999),
            ])
            .with_timezone("UTC"),
        ),
        Arc::new(StringArray::from(vec![
            Some("{\"a\": [1.10, \"x\"]}"),
            None,
            Some("[]"),
            Some("\"text\\n\""),
        ])),
    ];
    batch(schema, columns)
}

/// The rows of a table as the storage reads them back.
fn read_back(folder: &Folder, schema: &TableSchema) -> RecordBatch {
    let shape = shape::Shape::fresh(schema, folder.params.format, None);
    let every: Vec<_> = (0..shape.columns.len()).collect();
    let batches = folder.files("t").into_iter().flat_map(|file| {
        let path = folder.path().join("t").join(file);
        format::read(&path, &shape, &every).unwrap().map(Result::unwrap).collect::<Vec<_>>()
    });
    arrow_select::concat::concat_batches(&shape.arrow, &batches.collect::<Vec<_>>()).unwrap()
}

#[test]
fn values_come_back_as_they_were() {
    for format in [Format::Parquet, Format::Csv, Format::Jsonl] {
        let folder = Folder::of(format);
        let rows = edges(&every());
        folder.load(&every(), WriteMode::Append, std::slice::from_ref(&rows)).unwrap();
        assert_eq!(read_back(&folder, &every()).columns(), rows.columns(), "{}", format.name());
        // And after they were read and written anew.
        folder.load(&every(), WriteMode::Append, &[rows.slice(0, 1)]).unwrap();
        assert_eq!(read_back(&folder, &every()).slice(0, 4).columns(), rows.columns(), "{}", format.name());
    }
}

#[test]
fn parquet_files_say_what_their_columns_are() {
    let folder = Folder::new();
    folder.load(&every(), WriteMode::Merge, &[edges(&every()).slice(0, 2)]).unwrap();
    let file = std::fs::File::open(folder.path().join("t").join(&folder.files("t")[0])).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let metadata = reader.metadata().file_metadata();
    let mut text = Vec::new();
    ::parquet::schema::printer::print_schema(&mut text, metadata.schema());
    let text = String::from_utf8(text).unwrap();
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    assert_eq!(
        lines[1..11],
        [
            "REQUIRED INT64 id;",
            "OPTIONAL BOOLEAN b;",
            "OPTIONAL INT64 i;",
            "OPTIONAL DOUBLE f;",
            "OPTIONAL FIXED_LEN_BYTE_ARRAY (16) d (DECIMAL(38,9));",
            "OPTIONAL BYTE_ARRAY s (STRING);",
            "OPTIONAL BYTE_ARRAY x;",
            "OPTIONAL INT32 day (DATE);",
            "OPTIONAL INT64 at (TIMESTAMP(MICROS,true));",
            "OPTIONAL BYTE_ARRAY j (JSON);",
        ]
    );
    assert!(metadata.created_by().unwrap().starts_with("ow-host version "));
}

#[test]
fn csv_as_it_stands() {
    let folder = Folder::of(Format::Csv);
    let mut schema = every();
    schema.fields[9].name = "j, \"quoted\"".into();
    folder.load(&schema, WriteMode::Append, &[edges(&schema).slice(0, 3)]).unwrap();
    assert_eq!(
        folder.text("t"),
        "id,b,i,f,d,s,x,day,at,\"j, \"\"quoted\"\"\"\r\n\
         0,true,0,-0.0,-1.500000000,plain,AP8=,1970-01-01,1970-01-01T00:00:00.000000Z,\"{\"\"a\"\": [1.10, \"\"x\"\"]}\"\r\n\
         1,,,,,,,,,\r\n\
         2,false,-9223372036854775808,5e-324,-99999999999999999999999999999.999999999,\"\",\"\",0001-01-01,0001-01-01T00:00:00.000000Z,[]\r\n"
    );
}

#[test]
fn json_lines_as_they_stand() {
    let folder = Folder::of(Format::Jsonl);
    let json = StringArray::from(vec!["{\n \"a\": 1.10\r\n}", "null"]);
    let schema = stream("t", &[("a\"b", DataType::Decimal(5, 2)), ("j", DataType::Json)], 0);
    let decimals = Decimal128Array::from(vec![Some(-5), None]).with_precision_and_scale(5, 2).unwrap();
    let rows = batch(&schema, vec![Arc::new(decimals), Arc::new(json)]);
    folder.load(&schema, WriteMode::Append, &[rows]).unwrap();
    assert_eq!(
        folder.text("t"),
        "{\"a\\\"b\":\"-0.05\",\"j\":{  \"a\": 1.10  }}\n{\"a\\\"b\":null,\"j\":null}\n"
    );
    for line in folder.text("t").lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
}

#[test]
fn numbers_that_are_none() {
    let schema = stream("t", &[("f", DataType::Float64)], 0);
    let floats = Float64Array::from(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    let rows = batch(&schema, vec![Arc::new(floats)]);
    let folder = Folder::new();
    folder.load(&schema, WriteMode::Append, std::slice::from_ref(&rows)).unwrap();
    assert_eq!(folder.rows("t").len(), 3);
    let folder = Folder::of(Format::Csv);
    folder.load(&schema, WriteMode::Append, std::slice::from_ref(&rows)).unwrap();
    assert_eq!(folder.text("t"), "f\r\nNaN\r\nInfinity\r\n-Infinity\r\n");
    folder.load(&schema, WriteMode::Append, std::slice::from_ref(&rows)).unwrap();
    assert_eq!(folder.text("t").lines().count(), 7);
    let error = Folder::of(Format::Jsonl).load(&schema, WriteMode::Append, &[rows]).unwrap_err();
    assert!(
        error.to_string().starts_with("the value of `f` in row 1 of table `t` is NaN or infinite"),
        "{error}"
    );
}

fn refused(format: Format, data_type: DataType, array: ArrayRef) -> String {
    let schema = stream("t", &[("a", data_type), ("z", DataType::Int64)], 0);
    let zs = Int64Array::from(vec![0; array.len()]);
    let folder = Folder::of(format);
    let rows = batch(&schema, vec![array, Arc::new(zs)]);
    let error = folder.load(&schema, WriteMode::Append, &[rows]).unwrap_err();
    assert!(folder.files("t").is_empty());
    error.to_string()
}

#[test]
fn what_cannot_be_held_is_refused() {
    let wide = || Arc::new(Decimal128Array::from(vec![999, 1000]).with_precision_and_scale(3, 0).unwrap());
    let message = "the value of `a` in row 2 of table `t` has more digits than its type allows";
    for format in [Format::Parquet, Format::Csv, Format::Jsonl] {
        assert_eq!(refused(format, DataType::Decimal(3, 0), wide()), message);
    }
    let late = || Arc::new(Date32Array::from(vec![0, 2_932_897]));
    let message = "the value of `a` in row 2 of table `t` is not in the years 1 to 9999";
    for format in [Format::Csv, Format::Jsonl] {
        assert_eq!(refused(format, DataType::Date, late()), message);
    }
    let message = refused(Format::Jsonl, DataType::Json, Arc::new(StringArray::from(vec!["{\"a\":1}}"])));
    assert!(message.contains("is no JSON"), "{message}");
    let single = stream("t", &[("a", DataType::Text)], 0);
    let rows = batch(&single, vec![Arc::new(StringArray::from(vec![Some(""), None]))]);
    let error = Folder::of(Format::Csv).load(&single, WriteMode::Append, &[rows]).unwrap_err();
    assert!(error.to_string().starts_with("row 2 of table `t` is a null alone"), "{error}");
}

#[test]
fn nulls_and_keys_are_checked() {
    let mut schema = people(1);
    schema.fields[1].nullable = false;
    let rows = rows(&[(1, Some("a")), (2, None)]);
    let error = Folder::new().load(&schema, WriteMode::Merge, &[rows]).unwrap_err();
    assert_eq!(error.to_string(), "row 2 of table `t` has no value for `name`, which may not be null");
    let names = stream("t", &[("name", DataType::Text)], 0);
    let rows = batch(&names, vec![Arc::new(StringArray::from(vec!["a"]))]);
    let error = Folder::new().load(&people(1), WriteMode::Merge, &[rows]).unwrap_err();
    assert_eq!(error.to_string(), "row 1 of table `t` lacks `id`, which is part of the primary key");
}

#[test]
fn a_hundred_columns_and_reserved_words() {
    let mut names: Vec<_> = (0..98).map(|n| format!("c{n}")).collect();
    names.extend(["select".into(), "a b\"c'd".into()]);
    let fields: Vec<_> = names.iter().map(|name| (name.as_str(), DataType::Int64)).collect();
    let schema = stream("order", &fields, 1);
    for format in [Format::Parquet, Format::Csv, Format::Jsonl] {
        let folder = Folder::of(format);
        let columns = (0..100).map(|n| Arc::new(Int64Array::from(vec![n])) as ArrayRef).collect();
        let rows = batch(&schema, columns);
        for _ in 0..2 {
            folder.load(&schema, WriteMode::Merge, std::slice::from_ref(&rows)).unwrap();
        }
        assert_eq!(folder.query("SELECT \"rows\" || '' FROM _ow_files"), ["1"]);
    }
}

#[test]
fn a_value_of_many_megabytes() {
    let text = "long 🎉 ".repeat(2_000_000);
    for format in [Format::Parquet, Format::Csv, Format::Jsonl] {
        let folder = Folder::of(format);
        for id in 0..2 {
            folder.load(&people(1), WriteMode::Merge, &[rows(&[(id, Some(&text)), (5, None)])]).unwrap();
        }
        let back = read_back(&folder, &people(1));
        assert_eq!(back.num_rows(), 3);
        let names = back.column(1).as_any().downcast_ref::<StringArray>().unwrap().clone();
        assert_eq!(names.iter().flatten().filter(|name| *name == text).count(), 2);
    }
}
