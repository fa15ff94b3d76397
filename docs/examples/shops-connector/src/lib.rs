//! Reports and orders of several shops: an API with envelopes, pages and limits.

use ow_connector::http::{Cursor, PageNumber, Pagination, RateLimit, Verdict};
use ow_connector::prelude::*;

/// The configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Settings {
    /// Where the API stands.
    #[serde(default = "Settings::base_url")]
    base_url: String,
    /// The token of your account.
    token: Secret,
    /// The shops to import.
    shops: Vec<String>,
    /// `StartDate`, `EndDate`, `ReimportLookbackWindow`.
    #[serde(flatten)]
    dates: DateWindow,
}

impl Settings {
    fn base_url() -> String {
        "https://shops.example.com".to_owned()
    }
}

/// Sales of a shop, one row a day and product.
#[derive(Record)]
#[record(stream = "sales", primary_key = ["shop", "day", "product"], partition = "day")]
struct Sale {
    /// The shop.
    shop: String,
    /// The day.
    day: Date,
    /// The product's name.
    product: String,
    /// How many were sold.
    sold: Option<i64>,
    /// What they brought in.
    revenue: Option<Decimal<18, 2>>,
}

/// Orders of a shop.
#[derive(Record)]
#[record(stream = "orders", primary_key = "id")]
struct Order {
    /// The order's number.
    id: i64,
    /// The shop.
    shop: String,
    /// Who ordered.
    customer_name: Option<String>,
    /// When.
    placed_at: Option<Timestamp>,
    /// What was ordered.
    items: Option<Json>,
}

/// The connector.
#[derive(Debug)]
pub struct Shops;

impl Connector for Shops {
    type Config = Settings;
    const NAME: &'static str = "shops-connector";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const TITLE: &'static str = "Shops";
    const DESCRIPTION: &'static str = "Imports sales by day and orders of shops.";
    const NETWORK: &'static [&'static str] = &["https://shops.example.com"];

    fn streams(_: &Settings) -> Result<Vec<Stream>> {
        Ok(vec![Sale::stream(), Order::stream()])
    }

    fn http(config: &Settings, client: http::Client) -> http::Client {
        let client = client.header("x-token", config.token.expose()).rate_limit(RateLimit::per_second(10));
        client.judge(|answer| match answer.value_at("/code") {
            Some(0) => Verdict::Accept,
            Some(1) => Verdict::Retry(Error::rate_limited(answer.message())),
            Some(2) => Verdict::Fail(Error::auth(answer.message()).parameter("Token")),
            Some(_) => Verdict::Fail(Error::invalid_data(answer.message())),
            None => answer.by_status(),
        })
    }

    fn check(ctx: &mut Context<Settings>) -> Result<()> {
        ctx.http().get(format!("{}/shops", ctx.config().base_url)).fetch().map(drop)
    }

    fn run(ctx: &mut Context<Settings>) -> Result<()> {
        let config = ctx.config();
        let sales = ctx.open::<Sale>(Open::default().null_texts(["-"]))?;
        let orders = ctx.open::<Order>(Open::default().place("customer_name", "/customer/name"))?;
        let mut failures = Failures::new();
        for shop in &config.shops {
            failures.attempt(format_args!("shop {shop}"), || {
                import_sales(ctx, sales, shop)?;
                import_orders(ctx, orders, shop)
            })?;
        }
        failures.finish()
    }
}

/// Day by day, each committed with its state: the next run goes on from there.
fn import_sales(ctx: &mut Context<Settings>, table: Table, shop: &str) -> Result<()> {
    let window = ctx.window(&format!("sales/{shop}"), &ctx.config().dates)?;
    for day in window.range().days() {
        let request = get(ctx, shop, "sales").query("day", day);
        let pages =
            PageNumber::new("page", "/data/list").size("size", 500).total_pages("/data/pages").ahead(4);
        let given = [("shop", Cell::Text(shop)), ("day", Cell::Date(day))];
        write_pages(ctx, table, request, pages, "/data/list", &given)?;
        ctx.imported(&window, day)?;
    }
    Ok(())
}

/// All of them.
fn import_orders(ctx: &mut Context<Settings>, table: Table, shop: &str) -> Result<()> {
    let pages = Cursor::new("after", "/data/next");
    write_pages(ctx, table, get(ctx, shop, "orders"), pages, "/data/orders", &[("shop", Cell::Text(shop))])?;
    ctx.commit()
}

/// Writes the list in every page as rows.
fn write_pages(
    ctx: &mut Context<Settings>,
    table: Table,
    request: http::Request,
    pagination: impl Into<Pagination>,
    list: &str,
    given: &[(&str, Cell<'_>)],
) -> Result<()> {
    for page in request.pages(pagination) {
        ctx.write_page(table, &page?, list, given)?;
    }
    Ok(())
}

fn get(ctx: &Context<Settings>, shop: &str, what: &str) -> http::Request {
    let base = &ctx.config().base_url;
    ctx.http().get(format!("{}/shops/{}/{what}", base.trim_end_matches('/'), http::encode(shop)))
}

ow_connector::export!(Shops);
