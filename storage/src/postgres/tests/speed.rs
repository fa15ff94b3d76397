//! How fast a million rows of ten fields go, beside `\copy` of `psql`.

use std::io::Write;
use std::time::Instant;

use arrow_array::{BooleanArray, Date32Array, Decimal128Array, Float64Array, TimestampMicrosecondArray};

use super::*;

const ROWS: i64 = 1_000_000;
const BATCH: i64 = 10_000;

fn ten_fields() -> TableSchema {
    let fields = [
        ("id", DataType::Int64),
        ("name", DataType::Text),
        ("campaign", DataType::Text),
        ("day", DataType::Date),
        ("clicks", DataType::Int64),
        ("impressions", DataType::Int64),
        ("cost", DataType::Decimal(18, 6)),
        ("rate", DataType::Float64),
        ("active", DataType::Boolean),
        ("updated_at", DataType::Timestamp),
    ];
    stream("t", &fields, 1)
}

fn page(schema: &TableSchema, from: i64) -> RecordBatch {
    let each = || from..from + BATCH;
    let cost = each().map(|id| i128::from(id) * 1_234_567).collect::<Decimal128Array>();
    let columns: Vec<ArrayRef> = vec![
        // Not in their order: the same for all.
        Arc::new(each().map(|id| Some(id * 7_919 % ROWS)).collect::<Int64Array>()),
        Arc::new(each().map(|id| Some(format!("name of row {id}"))).collect::<StringArray>()),
        Arc::new(each().map(|id| Some(format!("campaign {}", id % 100))).collect::<StringArray>()),
        Arc::new(each().map(|id| Some(i32::try_from(id % 20_000).unwrap())).collect::<Date32Array>()),
        Arc::new(each().map(|id| Some(id % 1_000)).collect::<Int64Array>()),
        Arc::new(each().map(|id| Some(id * 31)).collect::<Int64Array>()),
        Arc::new(cost.with_precision_and_scale(18, 6).unwrap()),
        Arc::new(each().map(|id| Some(1.0 / (1.0 + id as f64))).collect::<Float64Array>()),
        Arc::new(each().map(|id| (id % 7 != 0).then_some(id % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(
            each()
                .map(|id| Some(1_700_000_000_000_000 + id * 1_000_003))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
    ];
    batch(schema, columns)
}

fn say(what: &str, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    let rate = 1e-3 * ROWS as f64 / seconds;
    writeln!(std::io::stderr(), "{what:<40} {seconds:>6.2} s {rate:>8.0} k rows/s").unwrap();
}

#[test]
#[ignore = "measures"]
fn a_million_rows() {
    let Some(place) = Place::new() else { return };
    let keyed = ten_fields();
    let plain = TableSchema { name: "p".into(), primary_key: Vec::new(), ..ten_fields() };
    let pages: Vec<_> = (0..ROWS / BATCH).map(|number| page(&keyed, number * BATCH)).collect();
    let run = |what: &str, schema: &TableSchema, mode: WriteMode| {
        let start = Instant::now();
        let mut storage = place.open();
        let table = storage.open_table(schema, mode).unwrap();
        for page in &pages {
            storage.write(table, page).unwrap();
        }
        let staged = start.elapsed().as_secs_f64();
        storage.finish(Outcome::Succeeded, &none(), None).unwrap();
        say(what, start);
        let waited = storage.waited().as_secs_f64();
        writeln!(std::io::stderr(), "    staged after {staged:.2} s, waited {waited:.2} s").unwrap();
    };
    run("append", &plain, WriteMode::Append);
    run("merge, new rows", &keyed, WriteMode::Merge);
    run("merge, every row is there", &keyed, WriteMode::Merge);
    run("replace, as many rows", &keyed, WriteMode::Replace);
    let file = place.server.folder.join("rows.txt");
    let copy = |sql: &str| {
        let start = Instant::now();
        place.execute(sql);
        say(sql, start);
    };
    place.execute(&format!("\\copy p TO '{}'", file.display()));
    place.execute("CREATE TABLE copied (LIKE p); CREATE TABLE keyed (LIKE t INCLUDING INDEXES)");
    copy(&format!("\\copy copied FROM '{}'", file.display()));
    copy(&format!("\\copy keyed FROM '{}'", file.display()));
}
