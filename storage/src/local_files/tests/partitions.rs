//! Folders by day.

use arrow_array::{Date32Array, TimestampMicrosecondArray};

use super::*;

fn events(keys: usize) -> TableSchema {
    let mut schema =
        stream("t", &[("id", DataType::Int64), ("day", DataType::Date), ("v", DataType::Text)], keys);
    schema.partition_field = Some("day".into());
    schema
}

fn rows_of(schema: &TableSchema, rows: &[(i64, Option<i32>, &str)]) -> RecordBatch {
    let ids = Int64Array::from_iter_values(rows.iter().map(|(id, ..)| *id));
    let days: Date32Array = rows.iter().map(|(_, day, _)| *day).collect();
    let values = StringArray::from_iter_values(rows.iter().map(|(.., v)| *v));
    batch(schema, vec![Arc::new(ids), Arc::new(days), Arc::new(values)])
}

fn folders(folder: &Folder) -> Vec<String> {
    let mut folders: Vec<_> =
        folder.files("t").iter().map(|path| path.split_once('/').unwrap().0.to_owned()).collect();
    folders.dedup();
    folders
}

#[test]
fn rows_go_to_the_folder_of_their_day() {
    let folder = Folder::new();
    let schema = events(0);
    let rows =
        rows_of(&schema, &[(1, Some(0), "a"), (2, None, "b"), (3, Some(19_753), "c"), (4, Some(0), "d")]);
    folder.load(&schema, WriteMode::Append, &[rows]).unwrap();
    assert_eq!(
        folders(&folder),
        ["day_day=1970-01-01", "day_day=2024-01-31", "day_day=__HIVE_DEFAULT_PARTITION__"]
    );
    assert_eq!(
        folder.rows("t/day_day=1970-01-01"),
        ["{id: 1, day: 1970-01-01, v: \"a\"}", "{id: 4, day: 1970-01-01, v: \"d\"}"]
    );
}

#[test]
fn a_timestamp_is_partitioned_by_its_day_in_utc() {
    let mut folder = Folder::new();
    folder.params.partition_by = Some("at".into());
    let schema = stream("t", &[("at", DataType::Timestamp)], 0);
    let times = TimestampMicrosecondArray::from(vec![-1, 0, 86_399_999_999]).with_timezone("UTC");
    folder.load(&schema, WriteMode::Append, &[batch(&schema, vec![Arc::new(times)])]).unwrap();
    assert_eq!(folders(&folder), ["at_day=1969-12-31", "at_day=1970-01-01"]);
}

#[test]
fn a_merged_row_moves_with_its_day() {
    let folder = Folder::new();
    let schema = events(1);
    let first = rows_of(&schema, &[(1, Some(0), "a"), (2, Some(0), "b"), (3, Some(1), "c")]);
    folder.load(&schema, WriteMode::Merge, &[first]).unwrap();
    // Only the day is given: the value moves along.
    let narrow = TableSchema { fields: schema.fields.iter().take(2).cloned().collect(), ..schema.clone() };
    let move_it = batch(
        &narrow,
        vec![Arc::new(Int64Array::from(vec![1, 4])), Arc::new(Date32Array::from(vec![Some(1), None]))],
    );
    folder.load(&schema, WriteMode::Merge, &[move_it]).unwrap();
    assert_eq!(folder.rows("t/day_day=1970-01-01"), ["{id: 2, day: 1970-01-01, v: \"b\"}"]);
    assert_eq!(
        folder.rows("t/day_day=1970-01-02"),
        ["{id: 1, day: 1970-01-02, v: \"a\"}", "{id: 3, day: 1970-01-02, v: \"c\"}"]
    );
    assert_eq!(folder.rows("t").len(), 4);
}

#[test]
fn only_the_partitions_of_the_keys_are_touched() {
    let folder = Folder::new();
    let mut schema = events(2);
    schema.partition_field = Some("day".into());
    let days: Vec<_> = (0..10).map(|day| (1, Some(day), "old")).collect();
    folder.load(&schema, WriteMode::Merge, &[rows_of(&schema, &days)]).unwrap();
    // A file that cannot be read shows that it is not looked at.
    let damaged = folder.files("t").into_iter().find(|path| path.contains("1970-01-05")).unwrap();
    std::fs::write(folder.path().join("t").join(damaged), "damaged").unwrap();
    folder.load(&schema, WriteMode::Merge, &[rows_of(&schema, &[(1, Some(7), "new")])]).unwrap();
    assert_eq!(folder.rows("t/day_day=1970-01-08"), ["{id: 1, day: 1970-01-08, v: \"new\"}"]);
    let error =
        folder.load(&schema, WriteMode::Merge, &[rows_of(&schema, &[(1, Some(4), "new")])]).unwrap_err();
    assert!(error.to_string().contains("cannot be read back"), "{error}");
}

#[test]
fn many_days_at_once_make_one_file_each() {
    let folder = Folder::new();
    let schema = events(0);
    let mut storage = folder.open();
    let table = storage.open_table(&schema, WriteMode::Append).unwrap();
    for start in 0..20 {
        let days: Vec<_> =
            (0..100).map(|n| (n, Some(i32::try_from((n * 7 + start) % 100).unwrap()), "v")).collect();
        storage.write(table, &rows_of(&schema, &days)).unwrap();
    }
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(folder.files("t").len(), 100);
    assert_eq!(folder.query("SELECT sum(\"rows\") || '' FROM _ow_files"), ["2000"]);
}

#[test]
fn what_partitions_cannot_be() {
    let mut folder = Folder::new();
    folder.params.partition_by = Some("v".into());
    let error = folder.open().open_table(&events(0), WriteMode::Append).unwrap_err();
    assert!(error.to_string().contains("is no date and no timestamp"), "{error}");
    folder.params.partition_by = None;
    let schema = events(0);
    let error = folder
        .load(&schema, WriteMode::Append, &[rows_of(&schema, &[(1, Some(i32::MAX), "a")])])
        .unwrap_err();
    assert_eq!(error.to_string(), "the value of `day` in row 1 of table `t` is not in the years 1 to 9999");
    let mut twin = events(0);
    twin.fields[2].name = "Day_day".into();
    let error = folder.open().open_table(&twin, WriteMode::Append).unwrap_err();
    assert!(error.to_string().contains("has the name that partition folders by `day` have"), "{error}");
}

#[test]
fn a_table_keeps_its_partitions() {
    let mut folder = Folder::new();
    folder.load(&events(0), WriteMode::Append, &[rows_of(&events(0), &[(1, Some(0), "a")])]).unwrap();
    // The stream does not name it any more, and nobody asked for a change.
    let plain = TableSchema { partition_field: None, ..events(0) };
    folder.load(&plain, WriteMode::Append, &[rows_of(&plain, &[(2, Some(3), "a")])]).unwrap();
    assert_eq!(folders(&folder).len(), 2);
    folder.params.partition_by = Some(String::new());
    let error = folder.load(&events(0), WriteMode::Append, &[]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is partitioned by `day`, and by `PartitionBy` it is to be not partitioned"),
        "{error}"
    );
    folder
        .load_as(&refresh("r"), &events(0), WriteMode::Append, &[rows_of(&plain, &[(2, Some(3), "a")])])
        .unwrap();
    assert_eq!(folder.files("t").len(), 1);
    assert!(!folder.files("t")[0].contains('/'));
}

#[test]
fn an_empty_table_shows_its_columns() {
    let folder = Folder::new();
    folder.load(&events(0), WriteMode::Append, &[]).unwrap();
    assert_eq!(folder.files("t").len(), 1);
    assert_eq!(folder.rows("t"), Vec::<String>::new());
}

#[test]
fn partitions_without_end_are_refused() {
    let folder = Folder::new();
    let shape = shape::Shape::fresh(&events(0), Format::Parquet, Some("day".into()));
    let file =
        |day| ledger::File { path: format!("{}/x.parquet", shape.folder(Some(day))), rows: 1, bytes: 1 };
    let files = (0..10_000).map(file).collect();
    let mut output = output::Output::new(shape.clone(), "t".into(), files);
    let place = Place::open(folder.path()).unwrap();
    let mut staging = output::Staging::new(place, STAGING.into(), "x".into(), Compression::Zstd, MIB);
    let rows = rows_of(&events(0), &[(1, Some(20_000), "a")]);
    let error = output.append(&mut staging, &rows, false).unwrap_err();
    let error = error.explain(folder.path(), "write").to_string();
    assert!(
        error.starts_with("table `t` would have more than 10000 partitions by the day of `day`"),
        "{error}"
    );
    output.append(&mut staging, &rows_of(&events(0), &[(1, Some(9_999), "a")]), false).unwrap();
}
