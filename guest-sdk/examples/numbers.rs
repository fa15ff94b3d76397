//! Rows out of nothing: for trying a host, and for measuring one.

use ow_connector::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Settings {
    /// How many rows a run writes.
    #[serde(default = "Settings::rows")]
    rows: i64,
    /// Commit after so many rows; 0 leaves it to the end.
    #[serde(default)]
    commit_every: i64,
    /// Fail after so many rows.
    #[serde(default)]
    fail_after: Option<i64>,
}

impl Settings {
    fn rows() -> i64 {
        1000
    }
}

/// Numbers and what can be said of them.
#[derive(Record)]
#[record(stream = "numbers", primary_key = "id", cursor = "at", partition = "day")]
struct Number<'a> {
    /// The number itself.
    id: i64,
    name: &'a str,
    even: bool,
    root: f64,
    half: Option<i64>,
    note: Option<&'a str>,
    day: Date,
    at: Timestamp,
    square: i64,
    code: &'a str,
}

struct Numbers;

impl Connector for Numbers {
    type Config = Settings;
    const NAME: &'static str = "numbers";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const TITLE: &'static str = "Numbers";
    const DESCRIPTION: &'static str = "Counts. Each run goes on where the last one stopped.";

    fn streams(_: &Settings) -> Result<Vec<Stream>> {
        Ok(vec![Number::stream()])
    }

    fn run(ctx: &mut Context<Settings>) -> Result<()> {
        let config = ctx.config();
        let first: i64 = ctx.state("numbers")?.unwrap_or(0);
        let epoch = Date::from_days(19_000);
        let mut name = String::new();
        for count in 0..config.rows {
            if config.fail_after == Some(count) {
                return Err(Error::unavailable(format!("failed after {count} rows, as configured")));
            }
            let id = first + count;
            name.clear();
            name.push_str("number ");
            name.push_str(if id % 2 == 0 { "even" } else { "odd" });
            ctx.write(&Number {
                id,
                name: &name,
                even: id % 2 == 0,
                root: (id as f64).sqrt(),
                half: (id % 2 == 0).then_some(id / 2),
                note: (id % 3 == 0).then_some("divisible by three"),
                day: epoch + (id % 365) as i32,
                at: Timestamp::from_seconds(1_700_000_000 + id),
                square: id.wrapping_mul(id),
                code: "0123456789abcdef",
            })?;
            if config.commit_every > 0 && (count + 1) % config.commit_every == 0 {
                ctx.set_state("numbers", &(id + 1))?;
                ctx.commit()?;
                ctx.progress(count.unsigned_abs() + 1, config.rows.unsigned_abs(), "rows");
            }
        }
        info!(rows = config.rows; "counted");
        ctx.set_state("numbers", &(first + config.rows))?;
        ctx.commit()
    }
}

ow_connector::export!(Numbers);
