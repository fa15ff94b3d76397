//! The process dies between any two steps, and the next run goes on.

use super::place::fault;
use super::*;

/// How many commits the connector makes.
const COMMITS: i64 = 3;

/// What a connector does that keeps its place in the state.
struct Scenario {
    schema: TableSchema,
    mode: WriteMode,
    /// The rows of commit `n`.
    batch: fn(i64) -> Vec<RecordBatch>,
    /// The table after `n` commits.
    expected: fn(i64) -> Vec<String>,
}

impl Scenario {
    /// Goes on from the state to the end.
    fn run(&self, folder: &Folder) -> Result<(), StorageError> {
        let mut storage = folder.try_open(&run("r"))?;
        let state = storage.state()?;
        let start: i64 = state.get("t").map_or(0, |value| value.parse().unwrap());
        let table = storage.open_table(&self.schema, self.mode)?;
        for number in start + 1..=COMMITS {
            for batch in (self.batch)(number) {
                storage.write(table, &batch)?;
            }
            storage.commit(&changes(&[("t", Some(&number.to_string()))]))?;
        }
        storage.finish(Outcome::Succeeded, &none(), None)
    }

    /// Dies after every number of steps there is.
    fn die_everywhere(&self) {
        let mut deaths = 0;
        loop {
            let folder = Folder::new();
            fault::stop_after(deaths);
            let result = self.run(&folder);
            let died = fault::revive();
            assert!(died || result.is_ok(), "after {deaths} steps: {result:?}");
            self.check(&folder, deaths);
            if result.is_ok() {
                break;
            }
            deaths += 1;
        }
        assert!(deaths > 40, "only {deaths} steps");
    }

    fn check(&self, folder: &Folder, deaths: u32) {
        // Nobody has opened it since: whole files, and no row twice.
        let seen = folder.rows("t");
        let mut distinct = seen.clone();
        distinct.dedup();
        assert_eq!(seen, distinct, "after {deaths} steps");
        drop(folder.open_as(&run("look")));
        let committed = folder.state().get("t").map_or(0, |value| value.parse().unwrap());
        assert_eq!(folder.rows("t"), (self.expected)(committed), "after {deaths} steps");
        self.run(folder).unwrap();
        assert_eq!(folder.rows("t"), (self.expected)(COMMITS), "after {deaths} steps and another run");
        assert_eq!(folder.query("SELECT count(*) || '' FROM _ow_pending"), ["0"]);
        assert_eq!(folder.files("_ow/staging"), Vec::<String>::new());
    }
}

#[test]
fn appending() {
    let scenario = Scenario {
        schema: people(0),
        mode: WriteMode::Append,
        batch: |n| vec![rows(&[(n, Some("a"))]), rows(&[(n + 100, None)])],
        expected: |n| {
            let mut rows: Vec<_> = (1..=n)
                .flat_map(|n| {
                    [format!("{{id: {n}, name: \"a\"}}"), format!("{{id: {}, name: null}}", n + 100)]
                })
                .collect();
            rows.sort();
            rows
        },
    };
    scenario.die_everywhere();
}

#[test]
fn merging() {
    let scenario = Scenario {
        schema: people(1),
        mode: WriteMode::Merge,
        // Every commit changes every row and adds one.
        batch: |n| (1..=n).map(|id| rows(&[(id, Some(&format!("v{n}")))])).collect(),
        expected: |n| (1..=n).map(|id| format!("{{id: {id}, name: \"v{n}\"}}")).collect(),
    };
    scenario.die_everywhere();
}

fn days() -> TableSchema {
    let mut schema = stream("t", &[("id", DataType::Int64), ("day", DataType::Date)], 1);
    schema.partition_field = Some("day".into());
    schema
}

fn day(id: i64, day: i32) -> RecordBatch {
    let on = arrow_array::Date32Array::from(vec![day]);
    batch(&days(), vec![Arc::new(Int64Array::from(vec![id])), Arc::new(on)])
}

#[test]
fn merging_into_partitions() {
    let scenario = Scenario {
        schema: days(),
        mode: WriteMode::Merge,
        batch: |n| (1..=3).map(|id| day(id * 10 + n, i32::try_from(id).unwrap())).collect(),
        expected: |n| {
            let rows = (1..=3).flat_map(|id| {
                (1..=n).map(move |n| format!("{{id: {}, day: 1970-01-0{}}}", id * 10 + n, id + 1))
            });
            rows.collect()
        },
    };
    scenario.die_everywhere();
}

#[test]
fn replacing() {
    let old = || rows(&[(1, Some("old")), (2, Some("old"))]);
    let new = |folder: &Folder| -> Result<(), StorageError> {
        let mut storage = folder.try_open(&refresh("r"))?;
        let table = storage.open_table(&people(1), WriteMode::Merge)?;
        for id in 2..4 {
            storage.write(table, &rows(&[(id, Some("new"))]))?;
            storage.commit(&changes(&[("t", Some("new"))]))?;
        }
        storage.finish(Outcome::Succeeded, &none(), None)
    };
    let before = ["{id: 1, name: \"old\"}", "{id: 2, name: \"old\"}"];
    let after = ["{id: 2, name: \"new\"}", "{id: 3, name: \"new\"}"];
    let mut deaths = 0;
    loop {
        let folder = Folder::new();
        folder.load(&people(1), WriteMode::Merge, &[old()]).unwrap();
        fault::stop_after(deaths);
        let result = new(&folder);
        assert!(fault::revive() || result.is_ok(), "after {deaths} steps: {result:?}");
        let seen = folder.rows("t");
        assert!(seen == before || seen == after, "after {deaths} steps: {seen:?}");
        drop(folder.open_as(&run("look")));
        let expected = if folder.state().contains_key("t") { after } else { before };
        assert_eq!(folder.rows("t"), expected, "after {deaths} steps");
        new(&folder).unwrap();
        assert_eq!(folder.rows("t"), after);
        assert_eq!(folder.files("_ow/staging"), Vec::<String>::new());
        assert!(folder.files("t").iter().all(|name| name.ends_with(".parquet")), "no marker is left");
        if result.is_ok() {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 20, "only {deaths} steps");
}

#[test]
fn evolving() {
    let wide = stream(
        "t",
        &[("id", DataType::Decimal(30, 2)), ("name", DataType::Text), ("more", DataType::Boolean)],
        1,
    );
    let evolve = |folder: &Folder| -> Result<(), StorageError> {
        let mut storage = folder.try_open(&run("r"))?;
        storage.open_table(&wide, WriteMode::Merge)?;
        storage.commit(&changes(&[("t", Some("wide"))]))?;
        storage.finish(Outcome::Succeeded, &none(), None)
    };
    let mut deaths = 0;
    loop {
        let folder = Folder::new();
        folder.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
        fault::stop_after(deaths);
        let result = evolve(&folder);
        assert!(fault::revive() || result.is_ok(), "after {deaths} steps: {result:?}");
        drop(folder.open_as(&run("look")));
        let expected = if folder.state().contains_key("t") {
            "{id: 1.00, name: \"a\", more: null}"
        } else {
            "{id: 1, name: \"a\"}"
        };
        assert_eq!(folder.rows("t"), [expected], "after {deaths} steps");
        evolve(&folder).unwrap();
        assert_eq!(folder.rows("t"), ["{id: 1.00, name: \"a\", more: null}"]);
        if result.is_ok() {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 15, "only {deaths} steps");
}

#[test]
fn another_data_mart_completes_what_a_dead_one_recorded_for_the_table() {
    let mut completed = 0;
    for steps in 0..200 {
        let folder = Folder::new();
        fault::stop_after(steps);
        let result = folder.try_open(&run("r")).and_then(|mut storage| {
            let table = storage.open_table(&people(0), WriteMode::Append)?;
            storage.write(table, &rows(&[(1, None)]))?;
            storage.commit(&changes(&[("t", Some("1"))]))
        });
        if !fault::revive() {
            result.unwrap();
            break;
        }
        let is_recorded = folder.path().join(LEDGER).exists() && folder.state().contains_key("t");
        let other = RunInfo { data_mart_id: "other".into(), ..run("o") };
        folder.load_as(&other, &people(0), WriteMode::Append, &[rows(&[(2, None)])]).unwrap();
        let mut expected = vec!["{id: 2, name: null}"];
        if is_recorded {
            expected.insert(0, "{id: 1, name: null}");
            completed += 1;
        }
        assert_eq!(folder.rows("t"), expected, "after {steps} steps");
    }
    assert!(completed > 2, "{completed}");
}
