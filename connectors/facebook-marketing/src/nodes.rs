//! The nodes: where each is read, its key, and its columns under the names of the
//! API (<https://developers.facebook.com/docs/marketing-api/reference>).

use DataType::{Boolean, Date as Day, Float64, Int64, Json, Text, Timestamp as Moment};
use ow_connector::prelude::*;

/// Columns of one type.
type Columns = (DataType, &'static [&'static str]);

/// What is imported into one table.
#[derive(Debug)]
pub(crate) struct Node {
    /// What `Fields` calls it.
    pub(crate) name: &'static str,
    description: &'static str,
    pub(crate) source: Source,
    key: &'static [&'static str],
    columns: &'static [&'static [Columns]],
}

/// Where a node is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The person whose token it is.
    Me,
    /// The account itself.
    Account,
    /// A list of the account's.
    List(&'static str),
    /// The figures of a day.
    Insights {
        /// What a row stands for.
        level: &'static str,
        /// What each is divided by.
        breakdowns: &'static [&'static str],
    },
}

const USER: [Columns; 1] = [(Text, &["id", "name"])];

const ACCOUNT: [Columns; 6] = [
    (Moment, &["created_time"]),
    (
        Text,
        &[
            "id",
            "account_id",
            "name",
            "business_city",
            "business_country_code",
            "business_name",
            "business_state",
            "business_street",
            "business_street2",
            "business_zip",
            "currency",
            "default_dsa_beneficiary",
            "default_dsa_payor",
            "end_advertiser",
            "end_advertiser_name",
            "funding_source",
            "io_number",
            "media_agency",
            "owner",
            "partner",
            "tax_id",
            "tax_id_type",
            "timezone_name",
        ],
    ),
    (
        Int64,
        &[
            "account_status",
            "amount_spent",
            "balance",
            "disable_reason",
            "fb_entity",
            "min_campaign_group_spend_cap",
            "min_daily_budget",
            "spend_cap",
            "tax_id_status",
            "timezone_id",
        ],
    ),
    (Float64, &["age", "timezone_offset_hours_utc"]),
    (
        Boolean,
        &[
            "can_create_brand_lift_study",
            "has_migrated_permissions",
            "has_page_authorized_adaccount",
            "is_attribution_spec_system_default",
            "is_direct_deals_enabled",
            "is_in_3ds_authorization_enabled_market",
            "is_notifications_enabled",
            "is_personal",
            "is_prepay_account",
            "is_tax_id_required",
            "offsite_pixels_tos_accepted",
        ],
    ),
    (
        Json,
        &[
            "agency_client_declaration",
            "attribution_spec",
            "business",
            "capabilities",
            "extended_credit_invoice_group",
            "failed_delivery_checks",
            "funding_source_details",
            "line_numbers",
            "rf_spec",
            "tos_accepted",
            "user_tasks",
            "user_tos_accepted",
        ],
    ),
];

const CREATIVE: [Columns; 3] = [
    (
        Text,
        &[
            "id",
            "account_id",
            "actor_id",
            "applink_treatment",
            "authorization_category",
            "body",
            "branded_content_sponsor_page_id",
            "bundle_folder_id",
            "call_to_action_type",
            "categorization_criteria",
            "category_media_source",
            "destination_set_id",
            "dynamic_ad_voice",
            "effective_authorization_category",
            "effective_instagram_media_id",
            "effective_object_story_id",
            "image_hash",
            "image_url",
            "instagram_permalink_url",
            "instagram_user_id",
            "link_deep_link_url",
            "link_destination_display_url",
            "link_og_id",
            "link_url",
            "messenger_sponsored_message",
            "name",
            "object_id",
            "object_store_url",
            "object_story_id",
            "object_type",
            "object_url",
            "page_welcome_message",
            "photo_album_source_object_story_id",
            "place_page_set_id",
            "playable_asset_id",
            "product_set_id",
            "source_instagram_media_id",
            "status",
            "template_url",
            "thumbnail_id",
            "thumbnail_url",
            "title",
            "url_tags",
            "video_id",
        ],
    ),
    (Boolean, &["enable_direct_install", "enable_launch_instant_app", "use_page_actor_override"]),
    (
        Json,
        &[
            "adlabels",
            "asset_feed_spec",
            "branded_content",
            "contextual_multi_ads",
            "degrees_of_freedom_spec",
            "image_crops",
            "interactive_components_spec",
            "object_story_spec",
            "omnichannel_link_spec",
            "platform_customizations",
            "portrait_customizations",
            "recommender_settings",
            "template_url_spec",
        ],
    ),
];

const AD: [Columns; 4] = [
    (Moment, &["created_time", "updated_time"]),
    (
        Text,
        &[
            "id",
            "account_id",
            "adset_id",
            "campaign_id",
            "name",
            "status",
            "configured_status",
            "effective_status",
            "last_updated_by_app_id",
            "preview_shareable_link",
            "source_ad_id",
            "bid_type",
        ],
    ),
    (Int64, &["bid_amount", "display_sequence"]),
    (
        Json,
        &[
            "adlabels",
            "bid_info",
            "conversion_specs",
            "creative",
            "failed_delivery_checks",
            "issues_info",
            "recommendations",
            "tracking_specs",
        ],
    ),
];

const AD_SET: [Columns; 5] = [
    (Moment, &["created_time", "updated_time", "start_time", "end_time"]),
    (
        Text,
        &[
            "id",
            "account_id",
            "campaign_id",
            "name",
            "status",
            "configured_status",
            "effective_status",
            "asset_feed_id",
            "bid_strategy",
            "billing_event",
            "destination_type",
            "optimization_goal",
            "optimization_sub_event",
            "source_adset_id",
        ],
    ),
    (
        Int64,
        &[
            "bid_amount",
            "budget_remaining",
            "daily_budget",
            "lifetime_budget",
            "lifetime_imps",
            "daily_min_spend_target",
            "daily_spend_cap",
            "lifetime_min_spend_target",
            "lifetime_spend_cap",
        ],
    ),
    (Boolean, &["is_dynamic_creative", "recurring_budget_semantics"]),
    (Json, &["attribution_spec", "pacing_type", "promoted_object", "targeting"]),
];

/// What all insights have.
const FIGURES: [Columns; 4] = [
    (
        Text,
        &[
            "account_id",
            "account_name",
            "account_currency",
            "campaign_name",
            "attribution_setting",
            "buying_type",
            "objective",
            "optimization_goal",
            "created_time",
            "updated_time",
        ],
    ),
    (Day, &["date_start", "date_stop"]),
    (
        Int64,
        &[
            "impressions",
            "clicks",
            "reach",
            "inline_link_clicks",
            "inline_post_engagement",
            "unique_clicks",
            "unique_inline_link_clicks",
            "full_view_impressions",
            "full_view_reach",
        ],
    ),
    (
        Float64,
        &[
            "spend",
            "social_spend",
            "cpc",
            "cpm",
            "cpp",
            "ctr",
            "frequency",
            "cost_per_inline_link_click",
            "cost_per_inline_post_engagement",
            "cost_per_unique_click",
            "cost_per_unique_inline_link_click",
            "cost_per_estimated_ad_recallers",
            "estimated_ad_recall_rate",
            "estimated_ad_recallers",
            "inline_link_click_ctr",
            "unique_ctr",
            "unique_inline_link_click_ctr",
            "unique_link_clicks_ctr",
            "canvas_avg_view_percent",
            "canvas_avg_view_time",
            "instant_experience_clicks_to_open",
            "instant_experience_clicks_to_start",
        ],
    ),
];

/// Lists of figures by kind of action, as the API tells them.
const ACTIONS: [Columns; 1] = [(
    Json,
    &[
        "actions",
        "action_values",
        "conversions",
        "conversion_values",
        "cost_per_action_type",
        "cost_per_conversion",
        "cost_per_outbound_click",
        "cost_per_thruplay",
        "cost_per_unique_action_type",
        "cost_per_unique_outbound_click",
        "cost_per_15_sec_video_view",
        "cost_per_2_sec_continuous_video_view",
        "outbound_clicks",
        "outbound_clicks_ctr",
        "unique_actions",
        "unique_outbound_clicks",
        "unique_outbound_clicks_ctr",
        "purchase_roas",
        "website_purchase_roas",
        "mobile_app_purchase_roas",
        "website_ctr",
        "catalog_segment_value",
        "converted_product_quantity",
        "converted_product_value",
        "video_30_sec_watched_actions",
        "video_avg_time_watched_actions",
        "video_p25_watched_actions",
        "video_p50_watched_actions",
        "video_p75_watched_actions",
        "video_p95_watched_actions",
        "video_p100_watched_actions",
        "video_play_actions",
        "video_play_curve_actions",
        "video_thruplay_watched_actions",
    ],
)];

/// What ads have beside that.
const OF_ADS: [Columns; 1] = [(
    Text,
    &[
        "ad_id",
        "ad_name",
        "adset_id",
        "adset_name",
        "campaign_id",
        "conversion_rate_ranking",
        "engagement_rate_ranking",
        "quality_ranking",
    ],
)];

const OF_AD_SETS: [Columns; 1] = [(Text, &["adset_id", "adset_name", "campaign_id"])];

const OF_CAMPAIGNS: [Columns; 1] = [(Text, &["campaign_id"])];

/// Insights into the ads, by something.
macro_rules! insights {
    ($name:literal, $description:literal, [$($breakdown:literal),*]) => {
        Node {
            name: $name,
            description: $description,
            source: Source::Insights { level: "ad", breakdowns: &[$($breakdown),*] },
            key: &["ad_id", "date_start", "date_stop" $(, $breakdown)*],
            columns: &[&OF_ADS, &FIGURES, &ACTIONS, &[(Text, &[$($breakdown),*])]],
        }
    };
}

/// All nodes, in the order in which they are imported.
pub(crate) const NODES: [Node; 15] = [
    Node {
        name: "ad-account-user",
        description: "The person whose token it is.",
        source: Source::Me,
        key: &["id"],
        columns: &[&USER],
    },
    Node {
        name: "ad-account",
        description: "Ad accounts, as they are now.",
        source: Source::Account,
        key: &["id", "account_id"],
        columns: &[&ACCOUNT],
    },
    Node {
        name: "ad-account/adcreatives",
        description: "What ads show.",
        source: Source::List("adcreatives"),
        key: &["id"],
        columns: &[&CREATIVE],
    },
    Node {
        name: "ad-account/ads",
        description: "Ads, as they are now.",
        source: Source::List("ads"),
        key: &["id"],
        columns: &[&AD],
    },
    insights!("ad-account/insights", "What each ad came to on a day.", []),
    insights!("ad-account/insights-by-age-and-gender", "By age and gender.", ["age", "gender"]),
    insights!("ad-account/insights-by-country", "By country.", ["country"]),
    insights!("ad-account/insights-by-device-platform", "By kind of device.", ["device_platform"]),
    Node {
        name: "ad-account/insights-by-link-url-asset",
        description: "By link.",
        source: Source::Insights { level: "ad", breakdowns: &["link_url_asset"] },
        key: &["ad_id", "date_start", "date_stop", "link_url_asset_id"],
        columns: &[
            &OF_ADS,
            &FIGURES,
            &ACTIONS,
            &[(Text, &["link_url_asset_id"]), (Json, &["link_url_asset"])],
        ],
    },
    insights!("ad-account/insights-by-product-id", "By product.", ["product_id"]),
    insights!(
        "ad-account/insights-by-publisher-platform-and-position",
        "By platform and place.",
        ["publisher_platform", "platform_position"]
    ),
    insights!("ad-account/insights-by-region", "By region.", ["region"]),
    Node {
        name: "ad-account/insights-by-adset",
        description: "What each ad set came to on a day.",
        source: Source::Insights { level: "adset", breakdowns: &[] },
        key: &["adset_id", "date_start", "date_stop"],
        columns: &[&OF_AD_SETS, &FIGURES, &ACTIONS],
    },
    Node {
        name: "ad-account/insights-by-campaign",
        description: "What each campaign came to on a day.",
        source: Source::Insights { level: "campaign", breakdowns: &[] },
        key: &["campaign_id", "date_start", "date_stop"],
        columns: &[&OF_CAMPAIGNS, &FIGURES, &ACTIONS],
    },
    Node {
        name: "ad-group",
        description: "Ad sets, as they are now.",
        source: Source::List("adsets"),
        key: &["id"],
        columns: &[&AD_SET],
    },
];

impl AsRef<str> for Node {
    fn as_ref(&self) -> &str {
        self.name
    }
}

impl Node {
    fn columns(&self) -> impl Iterator<Item = (&'static str, DataType)> {
        let columns = self.columns.iter().copied().flatten();
        columns.flat_map(|(data_type, names)| names.iter().map(|name| (*name, *data_type)))
    }

    /// The table's name.
    pub(crate) fn table(&self) -> String {
        format!("facebook_marketing_{}", self.name.replace(['/', '-'], "_"))
    }

    /// The table.
    pub(crate) fn stream(&self) -> Stream {
        let stream = Stream::new(self.table()).describe(self.description);
        let stream = self.columns().fold(stream, |stream, (name, data_type)| {
            let nullable = !self.key.contains(&name);
            stream.field(Field { nullable, ..Field::new(name, data_type) })
        });
        let stream = stream.primary_key(self.key.iter().copied());
        if matches!(self.source, Source::Insights { .. }) { stream.partition("date_start") } else { stream }
    }

    /// How the table is opened, with these of its columns.
    pub(crate) fn open(&self, chosen: &[String]) -> Open {
        let open = Open::default().fields(chosen);
        match self.key.contains(&"link_url_asset_id") {
            true => open.place("link_url_asset_id", "/link_url_asset/id"),
            false => open,
        }
    }

    /// The fields to ask for. What a node is divided by is no field, and comes by
    /// itself.
    pub(crate) fn fields(&self, chosen: &[String]) -> String {
        let divided: &[&str] = match &self.source {
            Source::Insights { breakdowns, .. } => breakdowns,
            _ => &[],
        };
        let asked = chosen.iter().map(String::as_str);
        asked
            .filter(|name| !divided.contains(name) && *name != "link_url_asset_id")
            .collect::<Vec<_>>()
            .join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_columns_and_columns_are_there_once() {
        for node in &NODES {
            let stream = node.stream();
            let mut names: Vec<&str> = stream.fields.iter().map(|field| field.name.as_str()).collect();
            assert!(node.key.iter().all(|key| names.contains(key)), "{}", node.name);
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "{} has a column twice", node.name);
        }
    }

    #[test]
    fn breakdowns_are_not_asked_for_as_fields() {
        let chosen = ["ad_id", "date_start", "date_stop", "link_url_asset_id", "link_url_asset", "spend"];
        let chosen = chosen.map(str::to_owned);
        let node = NODES.iter().find(|node| node.name.ends_with("link-url-asset")).unwrap();
        assert_eq!(node.fields(&chosen), "ad_id,date_start,date_stop,spend");
        assert_eq!(node.table(), "facebook_marketing_ad_account_insights_by_link_url_asset");
    }
}
