//! The nodes: the resource that each is read from, its key, and its columns as
//! Google documents them (<https://developers.google.com/google-ads/api/fields/v25/overview>).

use DataType::{Boolean, Date as Day, Float64, Int64, Json, Text};
use ow_connector::prelude::*;

/// A column: its name, its type, and the field of the API. `!` marks those that
/// always have a value.
type Column = (&'static str, DataType, &'static str);

/// What is imported into one table.
#[derive(Debug)]
pub(crate) struct Node {
    /// What `Fields` calls it.
    pub(crate) name: &'static str,
    /// What `FROM` calls it.
    resource: &'static str,
    description: &'static str,
    key: &'static [&'static str],
    columns: &'static [Column],
    metrics: &'static [&'static [(&'static str, DataType)]],
    pub(crate) scope: Scope,
}

/// What a node's rows belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// To an account and a day.
    Daily,
    /// To an account, as they are now.
    Account,
    /// To Google: the same for every account.
    Google,
}

/// Metrics that every daily node has.
const METRICS: [(&str, DataType); 19] = [
    ("impressions", Int64),
    ("clicks", Int64),
    ("cost_micros", Int64),
    ("ctr", Float64),
    ("average_cpc", Float64),
    ("average_cpm", Float64),
    ("average_cost", Float64),
    ("interactions", Int64),
    ("interaction_rate", Float64),
    ("conversions", Float64),
    ("conversions_value", Float64),
    ("conversions_from_interactions_rate", Float64),
    ("cost_per_conversion", Float64),
    ("value_per_conversion", Float64),
    ("all_conversions", Float64),
    ("all_conversions_value", Float64),
    ("cost_per_all_conversions", Float64),
    ("cross_device_conversions", Float64),
    ("view_through_conversions", Int64),
];

/// Metrics of campaigns, ad groups, ads and keywords.
const POSITIONS: [(&str, DataType); 4] = [
    ("engagements", Int64),
    ("engagement_rate", Float64),
    ("top_impression_percentage", Float64),
    ("absolute_top_impression_percentage", Float64),
];

/// Metrics of campaigns, ad groups and keywords.
const SHARES: [(&str, DataType); 4] = [
    ("search_impression_share", Float64),
    ("search_top_impression_share", Float64),
    ("search_absolute_top_impression_share", Float64),
    ("search_rank_lost_impression_share", Float64),
];

/// Metrics of campaigns alone.
const BUDGETS: [(&str, DataType); 2] =
    [("search_budget_lost_impression_share", Float64), ("content_impression_share", Float64)];

/// All nodes, in the order in which they are imported.
pub(crate) const NODES: [Node; 9] = [
    Node {
        name: "campaigns",
        resource: "campaign",
        description: "Campaigns, as they are now.",
        key: &["campaign_id"],
        columns: &[
            ("campaign_id!", Int64, "campaign.id"),
            ("customer_id", Int64, "customer.id"),
            ("campaign_name", Text, "campaign.name"),
            ("campaign_status", Text, "campaign.status"),
            ("campaign_serving_status", Text, "campaign.serving_status"),
            ("campaign_advertising_channel_type", Text, "campaign.advertising_channel_type"),
            ("campaign_advertising_channel_sub_type", Text, "campaign.advertising_channel_sub_type"),
            ("campaign_bidding_strategy_type", Text, "campaign.bidding_strategy_type"),
            ("campaign_budget", Text, "campaign.campaign_budget"),
            ("campaign_start_date_time", Text, "campaign.start_date_time"),
            ("campaign_end_date_time", Text, "campaign.end_date_time"),
            ("campaign_optimization_score", Float64, "campaign.optimization_score"),
        ],
        metrics: &[],
        scope: Scope::Account,
    },
    Node {
        name: "campaigns_stats",
        resource: "campaign",
        description: "What each campaign came to on a day.",
        key: &["campaign_id", "date"],
        columns: &[
            ("date!", Day, "segments.date"),
            ("customer_id", Int64, "customer.id"),
            ("campaign_id!", Int64, "campaign.id"),
            ("campaign_name", Text, "campaign.name"),
            ("campaign_status", Text, "campaign.status"),
        ],
        metrics: &[&METRICS, &POSITIONS, &SHARES, &BUDGETS],
        scope: Scope::Daily,
    },
    Node {
        name: "ad_groups",
        resource: "ad_group",
        description: "Ad groups, as they are now.",
        key: &["ad_group_id"],
        columns: &[
            ("ad_group_id!", Int64, "ad_group.id"),
            ("customer_id", Int64, "customer.id"),
            ("campaign_id", Int64, "campaign.id"),
            ("campaign_name", Text, "campaign.name"),
            ("ad_group_name", Text, "ad_group.name"),
            ("ad_group_status", Text, "ad_group.status"),
            ("ad_group_type", Text, "ad_group.type"),
            ("ad_group_cpc_bid_micros", Int64, "ad_group.cpc_bid_micros"),
            ("ad_group_target_cpa_micros", Int64, "ad_group.target_cpa_micros"),
        ],
        metrics: &[],
        scope: Scope::Account,
    },
    Node {
        name: "ad_groups_stats",
        resource: "ad_group",
        description: "What each ad group came to on a day.",
        key: &["ad_group_id", "date"],
        columns: &[
            ("date!", Day, "segments.date"),
            ("customer_id", Int64, "customer.id"),
            ("campaign_id", Int64, "campaign.id"),
            ("campaign_name", Text, "campaign.name"),
            ("ad_group_id!", Int64, "ad_group.id"),
            ("ad_group_name", Text, "ad_group.name"),
            ("ad_group_status", Text, "ad_group.status"),
        ],
        metrics: &[&METRICS, &POSITIONS, &SHARES],
        scope: Scope::Daily,
    },
    Node {
        name: "ad_group_ads_stats",
        resource: "ad_group_ad",
        description: "What each ad came to on a day.",
        key: &["ad_id", "ad_group_id", "date"],
        columns: &[
            ("date!", Day, "segments.date"),
            ("customer_id", Int64, "customer.id"),
            ("campaign_id", Int64, "campaign.id"),
            ("campaign_name", Text, "campaign.name"),
            ("ad_group_id!", Int64, "ad_group.id"),
            ("ad_group_name", Text, "ad_group.name"),
            ("ad_id!", Int64, "ad_group_ad.ad.id"),
            ("ad_name", Text, "ad_group_ad.ad.name"),
            ("ad_type", Text, "ad_group_ad.ad.type"),
            ("ad_status", Text, "ad_group_ad.status"),
            ("ad_final_urls", Json, "ad_group_ad.ad.final_urls"),
        ],
        metrics: &[&METRICS, &POSITIONS],
        scope: Scope::Daily,
    },
    Node {
        name: "keywords_stats",
        resource: "keyword_view",
        description: "What each keyword came to on a day.",
        key: &["keyword_id", "ad_group_id", "date"],
        columns: &[
            ("date!", Day, "segments.date"),
            ("customer_id", Int64, "customer.id"),
            ("campaign_id", Int64, "campaign.id"),
            ("campaign_name", Text, "campaign.name"),
            ("ad_group_id!", Int64, "ad_group.id"),
            ("ad_group_name", Text, "ad_group.name"),
            ("keyword_id!", Int64, "ad_group_criterion.criterion_id"),
            ("keyword_text", Text, "ad_group_criterion.keyword.text"),
            ("keyword_match_type", Text, "ad_group_criterion.keyword.match_type"),
            ("keyword_status", Text, "ad_group_criterion.status"),
            ("keyword_quality_score", Int64, "ad_group_criterion.quality_info.quality_score"),
        ],
        metrics: &[&METRICS, &POSITIONS, &SHARES],
        scope: Scope::Daily,
    },
    Node {
        name: "criterion",
        resource: "ad_group_criterion",
        description: "What ad groups aim at, such as keywords and audiences, as it is now.",
        key: &["criterion_id", "ad_group_id", "campaign_id"],
        columns: &[
            ("criterion_id!", Int64, "ad_group_criterion.criterion_id"),
            ("customer_id", Int64, "customer.id"),
            ("campaign_id!", Int64, "campaign.id"),
            ("ad_group_id!", Int64, "ad_group.id"),
            ("criterion_type", Text, "ad_group_criterion.type"),
            ("criterion_display_name", Text, "ad_group_criterion.display_name"),
            ("criterion_status", Text, "ad_group_criterion.status"),
            ("criterion_approval_status", Text, "ad_group_criterion.approval_status"),
            ("criterion_system_serving_status", Text, "ad_group_criterion.system_serving_status"),
            ("criterion_negative", Boolean, "ad_group_criterion.negative"),
            ("criterion_bid_modifier", Float64, "ad_group_criterion.bid_modifier"),
            ("criterion_cpc_bid_micros", Int64, "ad_group_criterion.cpc_bid_micros"),
            ("criterion_effective_cpc_bid_micros", Int64, "ad_group_criterion.effective_cpc_bid_micros"),
            ("criterion_final_urls", Json, "ad_group_criterion.final_urls"),
            ("keyword_text", Text, "ad_group_criterion.keyword.text"),
            ("keyword_match_type", Text, "ad_group_criterion.keyword.match_type"),
            ("keyword_quality_score", Int64, "ad_group_criterion.quality_info.quality_score"),
        ],
        metrics: &[],
        scope: Scope::Account,
    },
    Node {
        name: "geo_stats",
        resource: "geographic_view",
        description: "What each campaign came to in a country on a day.",
        key: &["campaign_id", "country_criterion_id", "location_type", "date"],
        columns: &[
            ("date!", Day, "segments.date"),
            ("customer_id", Int64, "customer.id"),
            ("campaign_id!", Int64, "campaign.id"),
            ("campaign_name", Text, "campaign.name"),
            ("country_criterion_id!", Int64, "geographic_view.country_criterion_id"),
            ("location_type!", Text, "geographic_view.location_type"),
        ],
        metrics: &[&METRICS],
        scope: Scope::Daily,
    },
    Node {
        name: "geo_target_constants",
        resource: "geo_target_constant",
        description: "The places that Google Ads knows.",
        key: &["geo_target_constant_id"],
        columns: &[
            ("geo_target_constant_id!", Int64, "geo_target_constant.id"),
            ("geo_target_constant_name", Text, "geo_target_constant.name"),
            ("geo_target_constant_country_code", Text, "geo_target_constant.country_code"),
            ("geo_target_constant_target_type", Text, "geo_target_constant.target_type"),
            ("geo_target_constant_canonical_name", Text, "geo_target_constant.canonical_name"),
            ("geo_target_constant_parent_geo_target", Text, "geo_target_constant.parent_geo_target"),
            ("geo_target_constant_status", Text, "geo_target_constant.status"),
        ],
        metrics: &[],
        scope: Scope::Google,
    },
];

impl AsRef<str> for Node {
    fn as_ref(&self) -> &str {
        self.name
    }
}

impl Node {
    /// The columns, without their marks: name, type, whether a value may be
    /// missing, and the field of the API.
    fn columns(&self) -> impl Iterator<Item = (&'static str, DataType, bool, String)> {
        let own = self.columns.iter().map(|(name, data_type, field)| {
            let bare = name.strip_suffix('!');
            (bare.unwrap_or(name), *data_type, bare.is_none(), (*field).to_owned())
        });
        let metrics = self.metrics.iter().copied().flatten();
        own.chain(metrics.map(|(name, data_type)| (*name, *data_type, true, format!("metrics.{name}"))))
    }

    /// The table.
    pub(crate) fn stream(&self) -> Stream {
        let stream = Stream::new(format!("google_ads_{}", self.name)).describe(self.description);
        let stream = self.columns().fold(stream, |stream, (name, data_type, nullable, field)| {
            let column = Field { nullable, ..Field::new(name, data_type) };
            stream.field(column.describe(format!("`{field}` of the Google Ads API.")))
        });
        let stream = stream.primary_key(self.key.iter().copied());
        if self.scope == Scope::Daily { stream.partition("date") } else { stream }
    }

    /// How the table is opened, with these of its columns: the answer has a field
    /// such as `campaign.start_date_time` at `/campaign/startDateTime`.
    pub(crate) fn open(&self, chosen: &[String]) -> Open {
        let places = self.columns().map(|(name, _, _, field)| (name, place(&field)));
        places.fold(Open::default().fields(chosen), |open, (name, place)| open.place(name, place))
    }

    /// The query for these columns, of one day where the node has days.
    pub(crate) fn query(&self, chosen: &[String], day: Option<Date>) -> String {
        let wanted = self.columns().filter(|(name, ..)| chosen.iter().any(|chosen| chosen == name));
        let fields: Vec<String> = wanted.map(|(.., field)| field).collect();
        let query = format!("SELECT {} FROM {}", fields.join(", "), self.resource);
        match day {
            Some(day) => format!("{query} WHERE segments.date = '{day}'"),
            None => query,
        }
    }
}

/// Where an answer has a field: names in camel case.
fn place(field: &str) -> String {
    let mut place = String::from("/");
    let mut upper = false;
    for c in field.chars() {
        match c {
            '.' => place.push('/'),
            '_' => upper = true,
            c if std::mem::take(&mut upper) => place.push(c.to_ascii_uppercase()),
            c => place.push(c),
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_camel_case() {
        assert_eq!(place("segments.date"), "/segments/date");
        assert_eq!(place("ad_group_ad.ad.final_urls"), "/adGroupAd/ad/finalUrls");
        assert_eq!(place("metrics.cost_per_all_conversions"), "/metrics/costPerAllConversions");
    }

    #[test]
    fn keys_are_columns_that_always_have_a_value() {
        for node in &NODES {
            let stream = node.stream();
            let required: Vec<&str> = stream
                .fields
                .iter()
                .filter(|field| !field.nullable)
                .map(|field| field.name.as_str())
                .collect();
            let mut key: Vec<&str> = stream.primary_key.iter().map(String::as_str).collect();
            let mut sorted = required.clone();
            key.sort_unstable();
            sorted.sort_unstable();
            assert_eq!(sorted, key, "{}", node.name);
            let mut names: Vec<&String> = stream.fields.iter().map(|field| &field.name).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "{} has a column twice", node.name);
        }
    }

    #[test]
    fn queries_ask_for_what_was_chosen() {
        let chosen = ["date", "campaign_id", "clicks"].map(str::to_owned);
        let day = "2024-02-29".parse().ok();
        assert_eq!(
            NODES[1].query(&chosen, day),
            "SELECT segments.date, campaign.id, metrics.clicks FROM campaign WHERE segments.date = '2024-02-29'"
        );
    }
}
