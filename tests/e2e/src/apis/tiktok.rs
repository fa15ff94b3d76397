//! The TikTok API for Business as far as a connector reads it: accounts,
//! campaigns, ad groups, ads, audiences and reports, in pages. It checks what it
//! is asked as the API does, and answers in the API's envelope, with status 200
//! and a code. Faults are armed by the test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::server::{Answer, Request, Server};

/// The token that the API knows.
pub const TOKEN: &str = "token-of-nobody";

/// Days that one report may have.
const MOST_DAYS: i64 = 30;

/// What a call asks, decoded.
#[derive(Debug, Clone)]
pub struct Call {
    /// Such as `campaign/get/`.
    pub endpoint: String,
    /// The query.
    pub query: BTreeMap<String, String>,
}

impl Call {
    fn of(request: &Request) -> Self {
        let endpoint = request.path().strip_prefix("/open_api/v1.3/").unwrap_or_default().to_owned();
        let query = request.target.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Self { endpoint, query: pairs.map(|(name, value)| (decoded(name), decoded(value))).collect() }
    }

    /// A parameter, empty where it is missing.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// Whether it asks for one account.
    #[must_use]
    pub fn is_of(&self, advertiser: &str) -> bool {
        self.get("advertiser_id") == advertiser || self.get("advertiser_ids").contains(advertiser)
    }

    /// Whether it asks for the figures of one account and day.
    #[must_use]
    pub fn is_day(&self, advertiser: &str, day: &str) -> bool {
        self.is_of(advertiser) && self.get("start_date") == day
    }

    /// A list of texts, in JSON.
    fn list(&self, name: &str) -> Result<Vec<String>, Refusal> {
        let list = self.query.get(name).map(|text| serde_json::from_str(text));
        match list {
            None => Ok(Vec::new()),
            Some(Ok(list)) => Ok(list),
            Some(Err(_)) => Err(Refusal::parameter(format!("{name}: Not a valid list."))),
        }
    }

    fn number(&self, name: &str, default: u64, most: u64) -> Result<u64, Refusal> {
        let number = self.query.get(name).map_or(Ok(default), |text| text.parse());
        match number {
            Ok(number @ 1..) if number <= most => Ok(number),
            Ok(_) => Err(Refusal::parameter(format!("{name}: Must be between 1 and {most}, both included."))),
            Err(_) => Err(Refusal::parameter(format!("{name}: Not a valid integer."))),
        }
    }
}

/// What the API may think of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The token may read it.
    Open,
    /// The token may not.
    Closed,
    /// It is gone.
    Deleted,
}

/// An account: so many campaigns, each with two ad groups of two ads, of which
/// the last campaign is deleted; and one audience.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its id.
    pub id: String,
    /// How many campaigns.
    pub campaigns: usize,
    /// Whether it can be read.
    pub standing: Standing,
}

/// What goes wrong with a call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The API's own word for too many requests.
    TooFrequent,
    /// The API's code and message.
    Code(i64, &'static str),
    /// A status.
    Status(u16),
    /// 429, with so many seconds to wait.
    RetryAfter(u32),
    /// The body breaks off after so many bytes.
    Cut(usize),
    /// The body comes so many bytes at a time, with pauses.
    Slow(usize, Duration),
    /// Nothing comes for so long.
    Late(Duration),
    /// The answer's data is changed.
    Change(fn(&mut Value)),
}

struct Armed {
    when: Box<dyn Fn(&Call) -> bool + Send>,
    times: usize,
    fault: Fault,
}

#[derive(Default)]
struct Shared {
    accounts: Mutex<Vec<Account>>,
    faults: Mutex<Vec<Armed>>,
    /// Calls after which the token is worth nothing.
    token_lasts: Mutex<Option<usize>>,
}

/// The API.
pub struct TikTok {
    server: Server,
    shared: Arc<Shared>,
}

impl TikTok {
    /// With these accounts.
    #[must_use]
    pub fn start(accounts: &[(&str, usize, Standing)]) -> Self {
        let accounts = accounts.iter().map(|(id, campaigns, standing)| Account {
            id: (*id).to_owned(),
            campaigns: *campaigns,
            standing: *standing,
        });
        let shared = Arc::new(Shared { accounts: Mutex::new(accounts.collect()), ..Shared::default() });
        let own = Arc::clone(&shared);
        Self { server: Server::start(move |request| own.answer(request)), shared }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn origin(&self) -> String {
        self.server.origin()
    }

    /// Lets the next so many calls that meet a condition fail.
    pub fn fail(&self, times: usize, fault: Fault, when: impl Fn(&Call) -> bool + Send + 'static) {
        self.shared.faults.lock().unwrap().push(Armed { when: Box::new(when), times, fault });
    }

    /// Disarms every fault, and lets the token live.
    pub fn heal(&self) {
        self.shared.faults.lock().unwrap().clear();
        *self.shared.token_lasts.lock().unwrap() = None;
    }

    /// Lets the token expire after so many more calls.
    pub fn expire_token_after(&self, calls: usize) {
        *self.shared.token_lasts.lock().unwrap() = Some(calls);
    }

    /// Changes what the API thinks of an account.
    pub fn set_standing(&self, id: &str, standing: Standing) {
        for account in self.shared.accounts.lock().unwrap().iter_mut().filter(|account| account.id == id) {
            account.standing = standing;
        }
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.server.requests().iter().map(Call::of).collect()
    }

    /// The days of an account that were asked for, in order.
    #[must_use]
    pub fn days(&self, advertiser: &str) -> Vec<String> {
        let calls = self.calls().into_iter().filter(|call| call.is_of(advertiser) && call.get("page") == "1");
        calls.map(|call| call.get("start_date").to_owned()).filter(|day| !day.is_empty()).collect()
    }

    /// How many calls there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.server.requests().len()
    }
}

/// A code and a message.
struct Refusal(i64, String);

impl Refusal {
    fn parameter(message: impl Into<String>) -> Self {
        Self(40002, message.into())
    }

    fn not_acceptable(name: &str, correct: &BTreeSet<&str>) -> Self {
        let correct: Vec<String> = correct.iter().map(|value| format!("'{value}'")).collect();
        let correct = correct.join(", ");
        Self::parameter(format!(
            "{name}: one or more value of the param is not acceptable, correct is [{correct}]"
        ))
    }
}

impl Shared {
    fn answer(&self, request: &Request) -> Answer {
        let call = Call::of(request);
        let fault = self.fault(&call);
        let mut result = match &fault {
            Some(Fault::TooFrequent) => {
                Err(Refusal(40100, "Requests made too frequently. Please try again later.".to_owned()))
            }
            Some(Fault::Code(code, message)) => Err(Refusal(*code, (*message).to_owned())),
            _ => self.data(request, &call),
        };
        if let (Some(Fault::Change(change)), Ok(data)) = (&fault, &mut result) {
            change(data);
        }
        let (code, message, data) = match result {
            Ok(data) => (0, "OK".to_owned(), data),
            Err(Refusal(code, message)) => (code, message, json!({})),
        };
        let request_id = "20240515000000000000000000000001";
        let answer = Answer::json(
            &json!({ "code": code, "message": message, "request_id": request_id, "data": data }),
        );
        match fault {
            Some(Fault::Status(status)) => Answer::new(status, "upstream"),
            Some(Fault::RetryAfter(seconds)) => {
                Answer::new(429, "").header("retry-after", &seconds.to_string())
            }
            Some(Fault::Cut(bytes)) => answer.cut(bytes),
            Some(Fault::Slow(bytes, pause)) => answer.slow(bytes, pause),
            Some(Fault::Late(pause)) => answer.late(pause),
            _ => answer,
        }
    }

    fn fault(&self, call: &Call) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let armed = faults.iter_mut().find(|armed| armed.times > 0 && (armed.when)(call))?;
        armed.times -= 1;
        Some(armed.fault.clone())
    }

    /// What an answer's `data` is.
    fn data(&self, request: &Request, call: &Call) -> Result<Value, Refusal> {
        self.check_token(request)?;
        if request.method != "GET" {
            return Err(Refusal(40006, format!("Method {} not allowed.", request.method)));
        }
        match call.endpoint.as_str() {
            "advertiser/info/" => self.accounts_of(call),
            "campaign/get/" => list(call, &self.account(call)?, Thing::Campaign),
            "adgroup/get/" => list(call, &self.account(call)?, Thing::AdGroup),
            "ad/get/" => list(call, &self.account(call)?, Thing::Ad),
            "dmp/custom_audience/list/" => audiences(call, &self.account(call)?),
            "report/integrated/get/" => report(call, &self.account(call)?),
            other => Err(Refusal(40007, format!("The path {other} does not exist."))),
        }
    }

    fn check_token(&self, request: &Request) -> Result<(), Refusal> {
        let mut lasts = self.token_lasts.lock().unwrap();
        let expired = *lasts == Some(0);
        if let Some(calls) = lasts.as_mut() {
            *calls = calls.saturating_sub(1);
        }
        match request.header("access-token") {
            Some(TOKEN) if !expired => Ok(()),
            None | Some("") => Err(Refusal(40104, "Access token is empty.".to_owned())),
            Some(_) => Err(Refusal(40105, "Access token is incorrect or has been revoked.".to_owned())),
        }
    }

    /// The account that a call names.
    fn account(&self, call: &Call) -> Result<Account, Refusal> {
        let id = call.get("advertiser_id");
        if id.is_empty() {
            return Err(Refusal::parameter("advertiser_id: Missing data for required field."));
        }
        self.readable(id)
    }

    fn readable(&self, id: &str) -> Result<Account, Refusal> {
        let accounts = self.accounts.lock().unwrap();
        match accounts.iter().find(|account| account.id == id) {
            Some(account) if account.standing == Standing::Open => Ok(account.clone()),
            Some(account) if account.standing == Standing::Deleted => {
                Err(Refusal::parameter(format!("The advertiser {id} doesn't exist or has been deleted.")))
            }
            _ => Err(Refusal(40001, format!("No permission to operate advertiser {id}"))),
        }
    }

    fn accounts_of(&self, call: &Call) -> Result<Value, Refusal> {
        let ids = call.list("advertiser_ids")?;
        if ids.is_empty() || ids.len() > 100 {
            return Err(Refusal::parameter("advertiser_ids: Length must be between 1 and 100."));
        }
        let known = BTreeSet::from(["advertiser_id", "name", "company", "currency", "timezone", "status"]);
        let fields = chosen(call, "fields", &known)?;
        let account = |id: &String| {
            let account = self.readable(id)?;
            let whole = json!({
                "advertiser_id": account.id, "name": format!("Account {}", account.id), "company": "Example GmbH",
                "currency": "EUR", "timezone": "Europe/Berlin", "status": "STATUS_ENABLE",
            });
            Ok(only(whole, &fields))
        };
        Ok(json!({ "list": ids.iter().map(account).collect::<Result<Vec<Value>, Refusal>>()? }))
    }
}

/// What an account is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing {
    Campaign,
    AdGroup,
    Ad,
}

impl Thing {
    /// How many there are of it in a campaign.
    fn in_campaign(self) -> usize {
        match self {
            Self::Campaign => 1,
            Self::AdGroup => 2,
            Self::Ad => 4,
        }
    }

    fn all_status(self) -> &'static str {
        match self {
            Self::Campaign => "CAMPAIGN_STATUS_ALL",
            Self::AdGroup => "ADGROUP_STATUS_ALL",
            Self::Ad => "AD_STATUS_ALL",
        }
    }

    fn id(self, account: &Account, number: usize) -> String {
        let digit = match self {
            Self::Campaign => 1,
            Self::AdGroup => 2,
            Self::Ad => 3,
        };
        let tail = account.id.get(account.id.len().saturating_sub(3)..).unwrap_or_default();
        format!("{digit}{tail}{number:06}")
    }

    /// The ids of the number-th one and of what it belongs to.
    fn ids(self, account: &Account, number: usize) -> Map<String, Value> {
        let campaign = number / self.in_campaign();
        let mut ids =
            Map::from_iter([("campaign_id".to_owned(), Self::Campaign.id(account, campaign).into())]);
        if self != Self::Campaign {
            let group = number / (self.in_campaign() / 2);
            ids.insert("adgroup_id".to_owned(), Self::AdGroup.id(account, group).into());
        }
        if self == Self::Ad {
            ids.insert("ad_id".to_owned(), Self::Ad.id(account, number).into());
        }
        ids
    }
}

/// The fields that things have here: enough of each type.
fn thing(kind: Thing, account: &Account, number: usize) -> Value {
    let campaign = number / kind.in_campaign();
    let mut whole = json!({
        "advertiser_id": account.id, "campaign_name": format!("Campaign {campaign} \"é\""), "operation_status": "ENABLE",
        "is_new_structure": true, "create_time": "2024-02-29 23:59:59", "modify_time": "2024-03-31 02:30:00",
    });
    let more = match kind {
        Thing::Campaign => json!({
            "objective_type": "TRAFFIC", "campaign_type": "REGULAR_CAMPAIGN", "secondary_status": "CAMPAIGN_STATUS_ENABLE",
            "budget_mode": "BUDGET_MODE_DAY", "budget": 50.5, "roas_bid": 0, "special_industries": ["HOUSING"],
            "is_search_campaign": false, "rta_id": null,
        }),
        Thing::AdGroup => json!({
            "adgroup_name": format!("Group {number}"), "budget_mode": "BUDGET_MODE_TOTAL", "budget": 1000,
            "bid_type": "BID_TYPE_NO_BID", "optimization_goal": "CLICK", "placement_type": "PLACEMENT_TYPE_NORMAL",
            "schedule_start_time": "2024-03-01 00:00:00", "schedule_end_time": "2034-02-27 00:00:00",
            "age_groups": ["AGE_18_24", "AGE_25_34"], "location_ids": ["2921044"], "frequency": null,
            "targeting_expansion": { "expansion_enabled": false, "expansion_types": [] },
        }),
        Thing::Ad => json!({
            "ad_name": format!("Ad {number}"), "adgroup_name": format!("Group {}", number / 2),
            "secondary_status": "AD_STATUS_DELIVERY_OK", "ad_text": "Läuft.\nImmer.", "image_ids": ["ad-site-i18n/1", "x"],
            "utm_params": [{ "key": "utm_source", "value": "tiktok" }], "is_aco": false, "video_id": "v1",
        }),
    };
    let object = whole.as_object_mut().unwrap();
    object.extend(more.as_object().unwrap().clone());
    object.extend(kind.ids(account, number));
    whole
}

fn list(call: &Call, account: &Account, kind: Thing) -> Result<Value, Refusal> {
    let sample = thing(kind, account, 0);
    // The API knows more fields than our things have.
    let extra = [
        "app_promotion_type",
        "bid_type",
        "rf_campaign_type",
        "postback_window_mode",
        "objective",
        "campaign_product_source",
        "optimization_goal",
        "deep_bid_type",
        "app_id",
        "campaign_app_profile_page_state",
        "bid_align_type",
        "is_advanced_dedicated_campaign",
        "rta_bid_enabled",
        "disable_skan_campaign",
        "budget_optimize_on",
        "rta_product_selection_enabled",
        "is_smart_performance_campaign",
        "catalog_enabled",
        "optimization_event",
        "app_type",
        "audience_type",
        "gender",
        "schedule_type",
        "billing_event",
        "conversion_id",
        "bid_price",
        "conversion_bid_price",
        "audience_ids",
        "excluded_audience_ids",
        "languages",
        "interest_category_ids",
        "placements",
        "device_price_ranges",
        "device_model_ids",
        "operating_systems",
        "network_types",
        "carrier_ids",
        "conversion_window",
        "click_attribution_window",
        "view_attribution_window",
        "auto_targeting_enabled",
        "call_to_action",
        "call_to_action_id",
        "image_mode",
        "creative_type",
        "ad_format",
        "landing_page_url",
        "deeplink",
        "deeplink_type",
        "tracking_pixel_id",
        "impression_tracking_url",
        "click_tracking_url",
        "video_view_tracking_url",
        "catalog_id",
        "product_set_id",
        "domain",
        "display_name",
        "profile_image_url",
        "app_name",
        "tracking_app_id",
        "identity_id",
        "identity_type",
        "page_id",
        "tiktok_item_id",
        "disclaimer_type",
        "disclaimer_text",
        "ad_texts",
        "landing_page_urls",
        "sku_ids",
    ];
    let known: BTreeSet<&str> = sample.as_object().unwrap().keys().map(String::as_str).chain(extra).collect();
    let fields = chosen(call, "fields", &known)?;
    let deleted = with_deleted(call, kind)?;
    let campaigns = if deleted { account.campaigns } else { account.campaigns.saturating_sub(1) };
    let count = campaigns * kind.in_campaign();
    page(call, 1000, count, |number| only(thing(kind, account, number), &fields))
}

fn with_deleted(call: &Call, kind: Thing) -> Result<bool, Refusal> {
    let Some(text) = call.query.get("filtering") else { return Ok(false) };
    let filtering: Map<String, Value> =
        serde_json::from_str(text).map_err(|_| Refusal::parameter("filtering: Not a valid dict."))?;
    match filtering.get("secondary_status").map(|status| status == kind.all_status()) {
        None => Ok(false),
        Some(true) => Ok(true),
        Some(false) => Err(Refusal::parameter("filtering.secondary_status: Not a valid choice.")),
    }
}

fn audiences(call: &Call, account: &Account) -> Result<Value, Refusal> {
    page(call, 100, 1, |_| {
        json!({
            "audience_id": format!("4{}", account.id), "name": "Visitors", "audience_type": "Website Traffic",
            "cover_num": 152_000, "is_valid": true, "is_expiring": false, "create_time": "2024-01-01 00:00:00",
            "expired_time": "2025-01-01 00:00:00", "shared": false, "calculate_type": "FIRST_PARTY",
        })
    })
}

fn report(call: &Call, account: &Account) -> Result<Value, Refusal> {
    if call.get("report_type") != "BASIC" {
        return Err(Refusal::parameter("report_type: Not a valid choice."));
    }
    let kind = match call.get("data_level") {
        "AUCTION_ADVERTISER" => None,
        "AUCTION_CAMPAIGN" => Some(Thing::Campaign),
        "AUCTION_ADGROUP" => Some(Thing::AdGroup),
        "AUCTION_AD" => Some(Thing::Ad),
        _ => return Err(Refusal::parameter("data_level: Not a valid choice.")),
    };
    let dimensions = call.list("dimensions")?;
    let own = kind.map(|kind| match kind {
        Thing::Campaign => "campaign_id",
        Thing::AdGroup => "adgroup_id",
        Thing::Ad => "ad_id",
    });
    let by_country = dimensions.iter().any(|name| name == "country_code");
    let expected: BTreeSet<&str> =
        own.into_iter().chain(["stat_time_day"]).chain(by_country.then_some("country_code")).collect();
    if dimensions.iter().map(String::as_str).collect::<BTreeSet<_>>() != expected {
        return Err(Refusal::parameter(format!("dimensions: {dimensions:?} do not fit the data level.")));
    }
    let day = one_day(call)?;
    let metrics = chosen(call, "metrics", &metrics(kind))?;
    let countries: &[&str] = if by_country { &["DE", "None"] } else { &[""] };
    let things = kind.map_or(1, |kind| account.campaigns * kind.in_campaign());
    page(call, 1000, things * countries.len(), |number| {
        let (number, country) = (number / countries.len(), countries[number % countries.len()]);
        let ids = kind.map(|kind| kind.ids(account, number)).unwrap_or_default();
        let mut dimensions = json!({ "stat_time_day": format!("{day} 00:00:00") });
        if let Some(own) = own {
            dimensions[own] = ids[own].clone();
        }
        if by_country {
            dimensions["country_code"] = country.into();
        }
        let seed = figure(&account.id, &day, number) + u64::try_from(country.len()).unwrap();
        let metric =
            |name: &String| (name.clone(), ids.get(name).cloned().unwrap_or_else(|| told(name, seed)));
        json!({ "dimensions": dimensions, "metrics": metrics.iter().map(metric).collect::<Map<_, _>>() })
    })
}

/// The metrics that a report of a level has: those of basic reports in the API's
/// documentation, as far as there is a use for them here, and the ids of what a
/// thing belongs to.
fn metrics(kind: Option<Thing>) -> BTreeSet<&'static str> {
    let mut metrics = BTreeSet::from([
        "spend",
        "impressions",
        "gross_impressions",
        "clicks",
        "ctr",
        "cpc",
        "cpm",
        "reach",
        "cost_per_1000_reached",
        "frequency",
        "conversion",
        "cost_per_conversion",
        "conversion_rate",
        "conversion_rate_v2",
        "real_time_conversion",
        "real_time_cost_per_conversion",
        "real_time_conversion_rate",
        "result",
        "cost_per_result",
        "result_rate",
        "engagements",
        "engagement_rate",
        "video_play_actions",
        "video_watched_2s",
        "video_watched_6s",
        "video_views_p25",
        "video_views_p50",
        "video_views_p75",
        "video_views_p100",
        "average_video_play",
        "average_video_play_per_user",
        "profile_visits",
        "profile_visits_rate",
        "likes",
        "comments",
        "shares",
        "follows",
        "total_landing_page_view",
        "currency",
    ]);
    metrics.extend(matches!(kind, Some(Thing::Ad | Thing::AdGroup)).then_some("campaign_id"));
    metrics.extend((kind == Some(Thing::Ad)).then_some("adgroup_id"));
    metrics
}

/// A metric's value as the API writes it: a text, with `-` where there is none.
fn told(name: &str, seed: u64) -> Value {
    match name {
        "spend" => format!("{}.{:02}", seed % 100, seed % 97),
        "cost_per_conversion" | "cost_per_result" if seed.is_multiple_of(2) => "-".to_owned(),
        "ctr" | "cpc" | "cpm" | "frequency" | "conversion_rate" | "cost_per_1000_reached" => {
            format!("{}.{}", seed % 9, seed % 7)
        }
        "currency" => "EUR".to_owned(),
        name if name.contains("cost_per") || name.contains("rate") || name.contains("average") => {
            format!("{}.50", seed % 5)
        }
        name => (seed % 1000 + u64::try_from(name.len()).unwrap()).to_string(),
    }
    .into()
}

/// A number that is the same for the same thing and day.
fn figure(account: &str, day: &str, number: usize) -> u64 {
    let bytes = account.bytes().chain(day.bytes());
    let start = u64::try_from(number).unwrap() + 7;
    bytes.fold(start, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003)
}

fn one_day(call: &Call) -> Result<String, Refusal> {
    let day = |name: &str| {
        let text = call.get(name);
        number_of_day(text).ok_or_else(|| Refusal::parameter(format!("{name}: Not a valid date.")))
    };
    let (start, end) = (day("start_date")?, day("end_date")?);
    if end < start {
        return Err(Refusal::parameter("end_date: Must not be before start_date."));
    }
    if end - start >= MOST_DAYS {
        return Err(Refusal::parameter(format!("The range of dates must not exceed {MOST_DAYS} days.")));
    }
    // A report of several days is one of the API's that this server does not have.
    if end == start {
        Ok(call.get("start_date").to_owned())
    } else {
        Err(Refusal(50000, "not here".to_owned()))
    }
}

/// A day of the calendar, counted.
fn number_of_day(text: &str) -> Option<i64> {
    let parts: Vec<i64> = text.split('-').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [year, month, day] = parts[..] else { return None };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month = usize::try_from(month).ok().filter(|month| (1..=12).contains(month))? - 1;
    if text.len() != 10 || !(1..=lengths[month]).contains(&day) {
        return None;
    }
    let years = (1..year).map(|y| if y % 4 == 0 && (y % 100 != 0 || y % 400 == 0) { 366 } else { 365 });
    Some(years.sum::<i64>() + lengths[..month].iter().sum::<i64>() + day)
}

/// One page of so many rows.
fn page(call: &Call, most: u64, count: usize, row: impl Fn(usize) -> Value) -> Result<Value, Refusal> {
    let number = call.number("page", 1, u64::MAX)?;
    let size = call.number("page_size", 10, most)?;
    let (number, size) = (usize::try_from(number).unwrap(), usize::try_from(size).unwrap());
    let start = (number - 1).saturating_mul(size).min(count);
    let rows: Vec<Value> = (start..count.min(start + size)).map(row).collect();
    let pages = count.div_ceil(size);
    let info = json!({ "page": number, "page_size": size, "total_number": count, "total_page": pages });
    Ok(json!({ "list": rows, "page_info": info }))
}

/// The names that a parameter lists, all of which must be known.
fn chosen(call: &Call, parameter: &str, known: &BTreeSet<&str>) -> Result<Vec<String>, Refusal> {
    let names = call.list(parameter)?;
    if names.iter().any(|name| !known.contains(name.as_str())) {
        return Err(Refusal::not_acceptable(parameter, known));
    }
    Ok(names)
}

/// An object with these members alone; with all of them where none is named.
fn only(mut whole: Value, names: &[String]) -> Value {
    if !names.is_empty() {
        whole.as_object_mut().unwrap().retain(|name, _| names.contains(name));
    }
    whole
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}
