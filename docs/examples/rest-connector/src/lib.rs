//! Orders of a shop, day by day.

use ow_connector::prelude::*;

/// The configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Settings {
    /// The key of your shop.
    api_key: Secret,
    #[serde(flatten)]
    dates: DateWindow,
    /// Where the API stands.
    #[serde(default = "Settings::base_url")]
    base_url: String,
}

impl Settings {
    fn base_url() -> String {
        "https://shop.example.com".to_owned()
    }
}

/// Orders, one row each.
#[derive(Debug, Deserialize, Record)]
#[record(stream = "orders", primary_key = "id", partition = "day")]
struct Order {
    /// The order's number.
    id: i64,
    /// The day on which it was made.
    day: Date,
    /// What it came to.
    total: Decimal<18, 2>,
    /// The coupon, if one was used.
    coupon: Option<String>,
}

/// The connector.
#[derive(Debug)]
pub struct Shop;

impl Connector for Shop {
    type Config = Settings;
    const NAME: &'static str = "rest-connector";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const TITLE: &'static str = "Shop orders";
    const DESCRIPTION: &'static str = "Imports the orders of each day.";
    const NETWORK: &'static [&'static str] = &["https://shop.example.com"];

    fn streams(_: &Settings) -> Result<Vec<Stream>> {
        Ok(vec![Order::stream()])
    }

    fn http(config: &Settings, client: http::Client) -> http::Client {
        client.header("x-api-key", config.api_key.expose()).rate_limit(http::RateLimit::per_second(20))
    }

    fn check(ctx: &mut Context<Settings>) -> Result<()> {
        orders(ctx, ctx.run().today()).fetch().map(drop)
    }

    fn run(ctx: &mut Context<Settings>) -> Result<()> {
        let window = ctx.window("orders", &ctx.config().dates)?;
        for day in window.range().days() {
            for page in orders(ctx, day).pages(http::Cursor::new("cursor", "/next")) {
                for order in page?.records::<Order>("/orders")? {
                    ctx.write(&order?)?;
                }
            }
            ctx.imported(&window, day)?; // Commits the day's rows and the state, or neither.
        }
        Ok(())
    }
}

/// The first page of a day's orders.
fn orders(ctx: &Context<Settings>, day: Date) -> http::Request {
    let url = format!("{}/orders", ctx.config().base_url.trim_end_matches('/'));
    ctx.http().get(url).query("day", day)
}

ow_connector::export!(Shop);
