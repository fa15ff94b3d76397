//! Contracts in front of a real database, read by a second connection.

use arrow_array::types::{Date32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    PrimitiveArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::DataType;
use crate::sqlite::{self, SqliteParams};

/// A database, and the contracts of its runs.
struct Place {
    folder: TempDir,
    contracts: Contracts,
}

impl Place {
    fn new(contract: Contract) -> Self {
        let contracts = Contracts { every: contract, ..Contracts::default() };
        Self { folder: tempfile::tempdir().unwrap(), contracts }
    }

    /// A database with the table `t(id int64, age int64)` in it, one row.
    fn with_table(contract: Contract) -> Self {
        let place = Self::new(contract);
        let mut storage = place.storage(&run());
        let table = storage.open_table(&t(DataType::Int64), WriteMode::Merge).unwrap();
        storage.write(table, &batch(&t(DataType::Int64), vec![ints(&[1]), ints(&[40])])).unwrap();
        storage.finish(Outcome::Succeeded, &StateChanges::new(), None).unwrap();
        place
    }

    /// The database without contracts.
    fn storage(&self, run: &RunInfo) -> Box<dyn Storage> {
        let params = SqliteParams { path: self.folder.path().join("ow.db"), table_prefix: String::new() };
        Box::new(sqlite::open(&params, run).unwrap())
    }

    fn open(&self, run: &RunInfo) -> (Box<dyn Storage>, Refusals) {
        let refusals = Refusals::default();
        (enforce(self.storage(run), self.contracts.clone(), run, refusals.clone()), refusals)
    }

    fn load(
        &self,
        schema: &TableSchema,
        mode: WriteMode,
        rows: &[RecordBatch],
    ) -> Result<Refused, StorageError> {
        self.load_as(&run(), schema, mode, rows)
    }

    fn load_as(
        &self,
        run: &RunInfo,
        schema: &TableSchema,
        mode: WriteMode,
        rows: &[RecordBatch],
    ) -> Result<Refused, StorageError> {
        let (mut storage, refusals) = self.open(run);
        let table = storage.open_table(schema, mode)?;
        rows.iter().try_for_each(|rows| storage.write(table, rows))?;
        storage.finish(Outcome::Succeeded, &StateChanges::new(), None)?;
        Ok(refusals.of(&schema.name))
    }

    fn query(&self, sql: &str) -> Vec<String> {
        let connection = Connection::open(self.folder.path().join("ow.db")).unwrap();
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let values =
                (0..columns).map(|index| match row.get::<_, rusqlite::types::Value>(index).unwrap() {
                    rusqlite::types::Value::Null => "null".to_owned(),
                    rusqlite::types::Value::Integer(value) => value.to_string(),
                    rusqlite::types::Value::Real(value) => format!("{value:?}"),
                    rusqlite::types::Value::Text(value) => value,
                    rusqlite::types::Value::Blob(value) => format!("{value:?}"),
                });
            Ok(values.collect::<Vec<_>>().join("|"))
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn quarantine(&self) -> Vec<String> {
        self.query("SELECT refused, column_names, raw_row FROM _ow_quarantine ORDER BY rowid")
    }
}

fn run() -> RunInfo {
    RunInfo {
        data_mart_id: "dm".into(),
        run_id: "r1".into(),
        run_type: "INCREMENTAL".into(),
        connector: "probe 1.0.0".into(),
        full_refresh: false,
        keep_state: false,
    }
}

fn contract(table: Rule, column: Rule, data_type: Rule) -> Contract {
    Contract { table, column, data_type }
}

fn column(rule: Rule) -> Contract {
    contract(Rule::Evolve, rule, Rule::Evolve)
}

fn data_type(rule: Rule) -> Contract {
    contract(Rule::Evolve, Rule::Evolve, rule)
}

/// A stream keyed by its first field; the others may be null.
fn stream(name: &str, fields: &[(&str, DataType)]) -> TableSchema {
    let field = |(index, (name, data_type)): (usize, &(&str, DataType))| Field {
        name: (*name).into(),
        data_type: *data_type,
        nullable: index > 0,
        description: None,
    };
    TableSchema {
        name: name.into(),
        description: None,
        fields: fields.iter().enumerate().map(field).collect(),
        primary_key: vec![fields[0].0.into()],
        cursor_field: None,
        partition_field: None,
    }
}

/// `t(id int64, age …)`.
fn t(age: DataType) -> TableSchema {
    stream("t", &[("id", DataType::Int64), ("age", age)])
}

/// `t(id int64, age int64, name text)`.
fn wide() -> TableSchema {
    stream("t", &[("id", DataType::Int64), ("age", DataType::Int64), ("name", DataType::Text)])
}

fn batch(schema: &TableSchema, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(schema.arrow(), columns).unwrap()
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Two rows of [`wide`], the second without a name.
fn two() -> RecordBatch {
    batch(&wide(), vec![ints(&[2, 3]), ints(&[50, 60]), texts(&[Some("Ann"), None])])
}

#[test]
fn by_default_everything_evolves_and_nothing_stands_between() {
    let place = Place::with_table(Contract::default());
    assert_eq!(place.load(&wide(), WriteMode::Merge, &[two()]).unwrap(), Refused::default());
    assert_eq!(place.query("SELECT * FROM t"), ["1|40|null", "2|50|Ann", "3|60|null"]);
    assert_eq!(place.query("SELECT name FROM sqlite_schema WHERE name = '_ow_quarantine'").len(), 0);
}

#[test]
fn a_frozen_table_column_or_type_fails_the_run_by_name() {
    let frozen = contract(Rule::Freeze, Rule::Freeze, Rule::Freeze);
    let told = |place: &Place, schema: &TableSchema| {
        let error = place.load(schema, WriteMode::Merge, &[]).unwrap_err();
        assert!(matches!(error, StorageError::Refused { .. }));
        error.to_string()
    };
    let place = Place::with_table(frozen);
    insta::assert_snapshot!(told(&Place::new(frozen), &wide()), @"there is no table for stream `t`, and its contract has `table` at `freeze`; set `table` to `evolve` in `storage.contracts` for the run that is to create it");
    insta::assert_snapshot!(told(&place, &wide()), @"table `t` has no column `name`, and the contract has `column` at `freeze`; set `column` to `evolve`, `drop-value` or `drop-row` in `storage.contracts`, or keep the field out of the stream");
    insta::assert_snapshot!(told(&place, &t(DataType::Text)), @"column `age` of table `t` is int64 and the stream has text, and the contract has `type` at `freeze`; set `type` to `evolve`, `drop-value` or `drop-row` in `storage.contracts`, or give the field a new name");
    // What does not change the table is no matter of the contract.
    let fewer = stream("t", &[("id", DataType::Int64)]);
    place.load(&fewer, WriteMode::Merge, &[batch(&fewer, vec![ints(&[9])])]).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["1|40", "9|null"]);
}

#[test]
fn values_of_a_new_column_are_left_out_and_kept_in_quarantine() {
    let place = Place::with_table(column(Rule::DropValue));
    let refused = place.load(&wide(), WriteMode::Merge, &[two()]).unwrap();
    assert_eq!(refused, Refused { rows: 0, values: 1 });
    assert_eq!(place.query("SELECT * FROM t"), ["1|40", "2|50", "3|60"]);
    assert_eq!(place.quarantine(), [r#"value|["name"]|{"id":2,"age":50,"name":"Ann"}"#]);
    let rest = "SELECT data_mart_id, run_id, stream, reason, length(refused_at) FROM _ow_quarantine";
    assert_eq!(
        place.query(rest),
        ["dm|r1|t|the table has no column `name`, and `column` is `drop-value`|27"]
    );
}

#[test]
fn rows_with_a_value_for_a_new_column_are_left_out_whole() {
    let place = Place::with_table(column(Rule::DropRow));
    let refused = place.load(&wide(), WriteMode::Merge, &[two()]).unwrap();
    assert_eq!(refused, Refused { rows: 1, values: 0 });
    assert_eq!(place.query("SELECT * FROM t"), ["1|40", "3|60"]);
    assert_eq!(place.quarantine(), [r#"row|["name"]|{"id":2,"age":50,"name":"Ann"}"#]);
}

#[test]
fn rows_of_a_new_table_are_left_out() {
    let place = Place::new(contract(Rule::DropRow, Rule::Evolve, Rule::Evolve));
    let refused = place.load(&wide(), WriteMode::Merge, &[two()]).unwrap();
    assert_eq!(refused, Refused { rows: 2, values: 0 });
    assert_eq!(place.query("SELECT name FROM sqlite_schema WHERE name = 't'").len(), 0);
    assert_eq!(
        place.query("SELECT column_names, reason FROM _ow_quarantine LIMIT 1"),
        ["null|there is no table, and `table` is `drop-row`"]
    );
}

#[test]
fn a_new_table_is_made_whatever_holds_for_columns() {
    let place = Place::new(contract(Rule::Evolve, Rule::Freeze, Rule::Freeze));
    place.load(&wide(), WriteMode::Merge, &[two()]).unwrap();
    assert_eq!(place.query("SELECT count(*) FROM t"), ["2"]);
}

#[test]
fn another_type_drops_what_is_not_the_same_in_the_tables() {
    for (rule, rows, refused, kind) in [
        (Rule::DropValue, ["1|40", "2|null", "3|null"].as_slice(), Refused { rows: 0, values: 1 }, "value"),
        (Rule::DropRow, &["1|40", "3|null"], Refused { rows: 1, values: 0 }, "row"),
    ] {
        let place = Place::with_table(data_type(rule));
        let batch = batch(&t(DataType::Text), vec![ints(&[2, 3]), texts(&[Some("12"), None])]);
        assert_eq!(place.load(&t(DataType::Text), WriteMode::Merge, &[batch]).unwrap(), refused);
        assert_eq!(place.query("SELECT * FROM t"), rows);
        assert_eq!(place.quarantine(), [format!(r#"{kind}|["age"]|{{"id":2,"age":"12"}}"#)]);
        let reason = place.query("SELECT reason FROM _ow_quarantine");
        assert_eq!(
            reason,
            [format!(
                "column `age` is int64 in the table, the value is text and is not the same in int64, and `type` is `{rule}`"
            )]
        );
        // The table is as it was.
        assert_eq!(place.query("SELECT data_type FROM _ow_columns WHERE column_name = 'age'"), ["int64"]);
    }
}

#[test]
fn a_type_that_the_table_holds_is_none_of_the_contracts() {
    let place = Place::new(Contract::default());
    let money = t(DataType::Decimal(21, 2));
    let amounts = Decimal128Array::from(vec![1250]).with_precision_and_scale(21, 2).unwrap();
    place.load(&money, WriteMode::Merge, &[batch(&money, vec![ints(&[1]), Arc::new(amounts)])]).unwrap();
    let place =
        Place { contracts: Contracts { every: data_type(Rule::Freeze), ..Contracts::default() }, ..place };
    let whole = batch(&t(DataType::Int64), vec![ints(&[2]), ints(&[7])]);
    place.load(&t(DataType::Int64), WriteMode::Merge, &[whole]).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["1|12.50", "2|7.00"]);
}

#[test]
fn keys_and_columns_that_may_not_be_null_are_not_left_out() {
    let mut required = t(DataType::Text);
    required.fields[1].nullable = false;
    let told = |contract, schema: &TableSchema| {
        Place::with_table(contract).load(schema, WriteMode::Merge, &[]).unwrap_err().to_string()
    };
    insta::assert_snapshot!(told(data_type(Rule::DropValue), &required), @"column `age` of table `t` is int64 and the stream has text, and `drop-value` cannot leave out values of a column that may not be null; set `type` to `drop-row` or `freeze` in `storage.contracts`");
    let key = stream("t", &[("id", DataType::Text), ("age", DataType::Int64)]);
    assert!(told(data_type(Rule::DropValue), &key).contains("column `id` of table `t`"));
    let mut other_key = wide();
    other_key.primary_key = vec!["id".into(), "name".into()];
    for rule in [Rule::DropValue, Rule::DropRow] {
        assert!(told(column(rule), &other_key).contains("`name`, which is part of the stream's primary key"));
    }
    let strangers = stream("t", &[("x", DataType::Int64)]);
    let strangers = TableSchema { primary_key: vec![], ..strangers };
    assert!(told(column(Rule::DropRow), &strangers).contains("none of the stream's columns"));
    // A whole row can be left out.
    let place = Place::with_table(data_type(Rule::DropRow));
    let rows = batch(&key, vec![texts(&[Some("2")]), ints(&[1])]);
    assert_eq!(place.load(&key, WriteMode::Merge, &[rows]).unwrap().rows, 1);
}

#[test]
fn the_quarantine_is_added_to_when_tables_are_replaced() {
    let place = Place::with_table(column(Rule::DropRow));
    let refresh = RunInfo { run_id: "r2".into(), full_refresh: true, ..run() };
    place.load_as(&refresh, &wide(), WriteMode::Merge, &[two()]).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["3|60"]);
    place.load_as(&RunInfo { run_id: "r3".into(), ..run() }, &wide(), WriteMode::Replace, &[two()]).unwrap();
    assert_eq!(place.query("SELECT run_id FROM _ow_quarantine ORDER BY rowid"), ["r2", "r3"]);
    assert_eq!(place.query("SELECT * FROM t"), ["3|60"]);
}

#[test]
fn what_is_not_committed_is_not_in_quarantine() {
    let place = Place::with_table(column(Rule::DropRow));
    let (mut storage, _) = place.open(&run());
    let table = storage.open_table(&wide(), WriteMode::Merge).unwrap();
    storage.write(table, &two()).unwrap();
    storage.commit(&StateChanges::new()).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["1|40", "3|60"]);
    assert_eq!(place.quarantine().len(), 1);
    storage.write(table, &two()).unwrap();
    storage.finish(Outcome::Failed, &StateChanges::new(), Some("no")).unwrap();
    assert_eq!(place.quarantine().len(), 1);
}

#[test]
fn a_stream_is_opened_once_and_cannot_be_the_quarantine() {
    let place = Place::with_table(column(Rule::DropRow));
    let (mut storage, _) = place.open(&run());
    let table = storage.open_table(&wide(), WriteMode::Merge).unwrap();
    assert_eq!(storage.open_table(&wide(), WriteMode::Merge).unwrap(), table);
    let error = storage.open_table(&wide(), WriteMode::Append).unwrap_err();
    assert!(error.to_string().contains("open already"), "{error}");
    let error = storage.open_table(&quarantine::table(), WriteMode::Append).unwrap_err();
    assert!(error.to_string().contains("starts with `_ow_`"), "{error}");
}

#[test]
fn streams_have_contracts_of_their_own() {
    let mut place = Place::with_table(column(Rule::Freeze));
    place.contracts.streams.insert("t".into(), column(Rule::DropValue));
    assert_eq!(place.load(&wide(), WriteMode::Merge, &[two()]).unwrap().values, 1);
}

#[test]
fn many_refused_rows_pass_in_pieces_and_long_ones_are_cut_with_a_word() {
    let place = Place::with_table(column(Rule::DropValue));
    let long = "ü".repeat(quarantine::ROW_BYTES);
    let count = 5000;
    let ids: Vec<i64> = (0..count).collect();
    let name = "x".repeat(1000);
    let names: Vec<_> = ids.iter().map(|id| Some(if *id == 7 { long.as_str() } else { &name })).collect();
    let rows = batch(&wide(), vec![ints(&ids), ints(&ids), texts(&names)]);
    assert_eq!(place.load(&wide(), WriteMode::Merge, &[rows]).unwrap().values, 5000);
    assert_eq!(place.query("SELECT count(*) FROM _ow_quarantine"), ["5000"]);
    let cut = place.query(
        "SELECT length(raw_row), substr(raw_row, 1, 30), substr(raw_row, -3), reason FROM _ow_quarantine WHERE reason LIKE '%longer%'",
    );
    assert_eq!(
        cut,
        [format!(
            "{}|{{\"id\":7,\"age\":7,\"name\":\"üüüüüü|…\"}}|the table has no column `name`, and `column` is `drop-value`; the row is longer than 1048576 bytes, so that its texts are kept up to 1024 bytes each",
            512 + 27
        )]
    );
}

#[test]
fn raw_rows_have_every_value() {
    let place = Place::new(contract(Rule::DropRow, Rule::Evolve, Rule::Evolve));
    let schema = stream(
        "t",
        &[
            ("a \"b\"", DataType::Boolean),
            ("i", DataType::Int64),
            ("f", DataType::Float64),
            ("d", DataType::Decimal(38, 2)),
            ("t", DataType::Text),
            ("b", DataType::Bytes),
            ("day", DataType::Date),
            ("time", DataType::Timestamp),
            ("j", DataType::Json),
        ],
    );
    let rows = batch(
        &schema,
        vec![
            Arc::new(BooleanArray::from(vec![true, false])),
            ints(&[i64::MIN, i64::MAX]),
            Arc::new(Float64Array::from(vec![0.1, f64::NAN])),
            Arc::new(
                Decimal128Array::from(vec![-1250, 10_i128.pow(38) - 1])
                    .with_precision_and_scale(38, 2)
                    .unwrap(),
            ),
            texts(&[Some("\u{0}\"ü"), None]),
            Arc::new(BinaryArray::from(vec![b"\x00\xff".as_slice(), b""])),
            Arc::new(Date32Array::from(vec![0, i32::MAX])),
            Arc::new(TimestampMicrosecondArray::from(vec![1, i64::MIN]).with_timezone("UTC")),
            texts(&[Some("{\"x\":\n[1.50]}"), Some("{no json")]),
        ],
    );
    place.load(&schema, WriteMode::Append, &[rows]).unwrap();
    let rows = place.query("SELECT raw_row FROM _ow_quarantine ORDER BY rowid");
    insta::assert_snapshot!(rows.join("\n"), @r#"
    {"a \"b\"":true,"i":-9223372036854775808,"f":0.1,"d":"-12.50","t":"\u0000\"ü","b":"AP8=","day":"1970-01-01","time":"1970-01-01T00:00:00.000001Z","j":{"x": [1.50]}}
    {"a \"b\"":false,"i":9223372036854775807,"f":"NaN","d":"999999999999999999999999999999999999.99","t":null,"b":"","day":"day 2147483647","time":"microsecond -9223372036854775808","j":"{no json"}
    "#);
    for row in rows {
        serde_json::from_str::<serde_json::Value>(&row).unwrap();
    }
}

#[test]
fn values_convert_only_if_they_stay_the_same() {
    let decimals = |values: Vec<i128>, precision, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
    };
    let same = |array: ArrayRef, from, to, expected: ArrayRef| {
        assert_eq!(convert::convert(&array, from, to).as_ref(), expected.as_ref(), "{from} to {to}");
    };
    let some = |values: &[Option<i64>]| -> ArrayRef {
        Arc::new(values.iter().copied().collect::<PrimitiveArray<Int64Type>>())
    };
    let (whole, money) = (DataType::Int64, DataType::Decimal(5, 2));
    let decimal = |values: Vec<Option<i128>>| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(5, 2).unwrap())
    };
    same(ints(&[999, -999, 1000]), whole, money, decimal(vec![Some(99_900), Some(-99_900), None]));
    same(
        decimals(vec![700, 750, i128::MAX], 38, 2),
        DataType::Decimal(38, 2),
        whole,
        some(&[Some(7), None, None]),
    );
    same(
        decimals(vec![12_500, 12_501, 1_000_000], 10, 3),
        DataType::Decimal(10, 3),
        money,
        decimal(vec![Some(1250), None, None]),
    );
    let floats = |values: Vec<Option<f64>>| -> ArrayRef { Arc::new(Float64Array::from(values)) };
    let edge = 1_i64 << 53;
    same(
        ints(&[edge, -edge, edge + 1, i64::MIN]),
        whole,
        DataType::Float64,
        floats(vec![Some(9_007_199_254_740_992.0), Some(-9_007_199_254_740_992.0), None, None]),
    );
    let values =
        [7.0, 7.5, f64::NAN, f64::INFINITY, -9_223_372_036_854_775_808.0, 9_223_372_036_854_775_808.0, -0.0];
    same(
        floats(values.map(Some).to_vec()),
        DataType::Float64,
        whole,
        some(&[Some(7), None, None, None, Some(i64::MIN), None, None]),
    );
    let times = TimestampMicrosecondArray::from(vec![0, 1, -86_400_000_000]).with_timezone("UTC");
    let days: PrimitiveArray<Date32Type> = [Some(0), None, Some(-1)].into_iter().collect();
    same(Arc::new(times), DataType::Timestamp, DataType::Date, Arc::new(days));
    let none = convert::convert(&texts(&[Some("12")]), DataType::Text, whole);
    assert_eq!((none.null_count(), none.data_type()), (1, &whole.arrow()));
}
