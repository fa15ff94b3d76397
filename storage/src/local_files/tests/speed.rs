//! How fast rows become files; run by hand, with `--ignored --nocapture`.

#![expect(clippy::print_stderr, reason = "a measurement is printed")]

use rustix::time::{ClockId, clock_gettime};

use arrow_array::{BooleanArray, Date32Array, Decimal128Array, Float64Array, TimestampMicrosecondArray};

use super::*;

const ROWS: usize = 1_000_000;
const BATCH: usize = 8192;

/// Ten fields as an advertising report has them.
fn report(keys: usize) -> TableSchema {
    stream(
        "t",
        &[
            ("id", DataType::Int64),
            ("account", DataType::Text),
            ("campaign", DataType::Text),
            ("day", DataType::Date),
            ("updated", DataType::Timestamp),
            ("impressions", DataType::Int64),
            ("clicks", DataType::Int64),
            ("spend", DataType::Decimal(18, 4)),
            ("rate", DataType::Float64),
            ("active", DataType::Boolean),
        ],
        keys,
    )
}

fn batches(schema: &TableSchema, from: usize) -> Vec<RecordBatch> {
    (0..ROWS.div_ceil(BATCH)).map(|number| rows_at(schema, from + number * BATCH)).collect()
}

fn rows_at(schema: &TableSchema, start: usize) -> RecordBatch {
    let numbers = || (start..start + BATCH).map(|n| i64::try_from(n).unwrap());
    let mixed = |n: i64| n.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17) & 0xf_ffff;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(numbers())),
        Arc::new(StringArray::from_iter_values(numbers().map(|n| format!("account-{:03}", n % 50)))),
        Arc::new(StringArray::from_iter_values(
            numbers().map(|n| format!("campaign number {}", mixed(n) % 5000)),
        )),
        Arc::new(Date32Array::from_iter_values(
            numbers().map(|n| i32::try_from(n / 20_000).unwrap() + 19_000),
        )),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(numbers().map(|n| n * 1_000_003))
                .with_timezone("UTC"),
        ),
        Arc::new(Int64Array::from_iter_values(numbers().map(mixed))),
        Arc::new(Int64Array::from_iter_values(numbers().map(|n| mixed(n) % 100))),
        Arc::new(
            Decimal128Array::from_iter_values(numbers().map(|n| i128::from(mixed(n))))
                .with_precision_and_scale(18, 4)
                .unwrap(),
        ),
        Arc::new(Float64Array::from_iter_values(
            numbers().map(|n| f64::from(i32::try_from(mixed(n)).unwrap()) / 7.0),
        )),
        Arc::new(BooleanArray::from_iter(numbers().map(|n| Some(n % 3 == 0)))),
    ];
    batch(schema, columns)
}

/// Seconds that this thread has worked: other programs do not count.
#[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("").to_owned()
}

fn measure(what: &str, folder: &Folder, schema: &TableSchema, mode: WriteMode, batches: &[RecordBatch]) {
    let started = cpu();
    let mut storage = folder.open();
    let table = storage.open_table(schema, mode).unwrap();
    for batch in batches {
        storage.write(table, batch).unwrap();
    }
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let bytes = folder.query("SELECT sum(bytes) || ' bytes in ' || count(*) || ' files' FROM _ow_files");
    #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
    let rate = rows as f64 / (cpu() - started) / 1e6;
    eprintln!("{what}: {rate:.2} million rows a second of this thread, {bytes:?}, {}", memory());
}

#[test]
#[ignore = "a measurement"]
fn a_million_rows() {
    let rows = batches(&report(0), 0);
    eprintln!("{}", memory());
    for compression in [Compression::Zstd, Compression::Snappy, Compression::None] {
        let mut folder = Folder::new();
        folder.params.compression = compression;
        measure(&format!("append, {compression:?}"), &folder, &report(0), WriteMode::Append, &rows);
    }
    for format in [Format::Csv, Format::Jsonl] {
        measure(&format!("append, {format:?}"), &Folder::of(format), &report(0), WriteMode::Append, &rows);
    }
    let mut folder = Folder::new();
    folder.params.partition_by = Some("day".into());
    measure("append, 50 partitions", &folder, &report(0), WriteMode::Append, &rows);
    let folder = Folder::new();
    let rows = batches(&report(1), 0);
    measure("merge, new rows", &folder, &report(1), WriteMode::Merge, &rows);
    measure("merge, the same rows", &folder, &report(1), WriteMode::Merge, &rows);
    measure("merge, 8192 of a million", &folder, &report(1), WriteMode::Merge, &rows[..1]);
}

/// Leaves tables for other programs to read in the folder that `OW_LAKE` names.
#[test]
#[ignore = "for other programs, by hand"]
fn tables_for_other_programs() {
    let Ok(path) = std::env::var("OW_LAKE") else { return };
    for format in [Format::Parquet, Format::Csv, Format::Jsonl] {
        let mut folder = Folder::of(format);
        folder.params.path = PathBuf::from(&path).join(format.name());
        std::fs::create_dir_all(folder.path()).unwrap();
        folder.load(&values::every(), WriteMode::Merge, &[values::edges(&values::every())]).unwrap();
        folder.params.partition_by = Some("day".into());
        let schema = TableSchema { name: "report".into(), ..report(1) };
        for _ in 0..2 {
            folder.load(&schema, WriteMode::Merge, &batches(&report(1), 0)[..10]).unwrap();
        }
    }
}
