//! `kill -9` at any moment loses no row and doubles none.

use std::time::Duration;

use e2e::Lab;
use rustix::process::Signal;
use serde_json::json;

/// Moments at which the run is killed.
const KILLS: u32 = 50;
/// A run is killed within this time: about twice what its start takes, so that
/// many kills hit the start, and many the commits.
const LONGEST: u64 = 500;

/// A small generator of numbers (xorshift64), so that a failure can be repeated.
struct Random(u64);

impl Random {
    /// The seed is printed; `OW_TEST_SEED` gives one.
    fn new() -> Self {
        let given = std::env::var("OW_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = given.unwrap_or_else(|| u64::try_from(time.as_micros()).unwrap()) | 1;
        println!("OW_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// Rows, different rows, and the number that the state says comes next.
fn progress(lab: &Lab) -> (u64, u64, u64) {
    if !lab.path("out.db").exists() {
        return (0, 0, 0);
    }
    let number = |sql: &str| lab.query(sql).parse().unwrap_or(0);
    (
        number("SELECT count(*) FROM numbers"),
        number("SELECT count(DISTINCT id) FROM numbers"),
        number("SELECT value FROM _ow_state WHERE key = 'numbers'"),
    )
}

#[test]
fn every_row_is_there_once_whenever_the_host_is_killed() {
    let lab = Lab::new();
    let mut random = Random::new();
    let mut grown = 0;
    let mut before = 0;
    for _ in 0..KILLS {
        let running = lab.running("count", json!({ "Until": 1_000_000_000, "Rows": 7 }), &[]);
        std::thread::sleep(Duration::from_millis(random.below(LONGEST)));
        running.signal(Signal::KILL);
        assert_eq!(running.wait().code, None, "the run ended before it was killed");
        let (rows, distinct, next) = progress(&lab);
        assert_eq!((rows, distinct), (next, next), "rows and state are not of one commit");
        assert!(next >= before, "rows were lost: {before} before, {next} now");
        grown += u32::from(next > before);
        before = next;
    }
    assert!(grown > 0, "no run got as far as a commit: raise LONGEST");

    let until = before + 100;
    lab.run("count", json!({ "Until": until, "Rows": 7 })).expect_success();
    let sums =
        lab.query("SELECT count(*), count(DISTINCT id), min(id), max(id), sum(id), sum(square) FROM numbers");
    let sum = until * (until - 1) / 2;
    let squares = (until - 1) * until * (2 * until - 1) / 6;
    assert_eq!(sums, format!("{until}|{until}|0|{}|{sum}|{squares}", until - 1));
    assert_eq!(lab.state(), json!({ "numbers": until }));
    assert_eq!(lab.query("PRAGMA integrity_check"), "ok");
    assert_eq!(lab.query("SELECT count(*) FROM _ow_runs WHERE status = 'running'"), "0");
}

#[test]
fn a_full_refresh_that_is_killed_leaves_the_table_as_it_was() {
    let lab = Lab::new();
    let mut random = Random::new();
    lab.run("count", json!({ "Until": 50, "Rows": 10 })).expect_success();
    for _ in 0..10 {
        let running =
            lab.running("count", json!({ "Until": 1_000_000_000, "Rows": 7 }), &["--type", "FULL_REFRESH"]);
        std::thread::sleep(Duration::from_millis(random.below(LONGEST)));
        running.signal(Signal::KILL);
        assert_eq!(running.wait().code, None);
        assert_eq!(progress(&lab), (50, 50, 50));
    }
    lab.run_with("count", json!({ "Until": 20, "Rows": 10 }), &["--type", "FULL_REFRESH"]).expect_success();
    assert_eq!(progress(&lab), (20, 20, 20));
    assert_eq!(
        lab.query("SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_ow\\_new%' ESCAPE '\\'"),
        "0"
    );
}
