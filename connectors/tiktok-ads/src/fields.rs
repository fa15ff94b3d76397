//! Every column of every node: its name, its type, and where the API has its
//! value. Names and types are OWOX's.

use ow_connector::DataType;

/// The type of a column, as OWOX calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Integer,
    Boolean,
    Date,
    Time,
    /// A list or an object, kept as JSON.
    Json,
}

impl Kind {
    /// The type of its columns.
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Text,
            Self::Number => DataType::Float64,
            Self::Integer => DataType::Int64,
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date,
            Self::Time => DataType::Timestamp,
            Self::Json => DataType::Json,
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The API has it under this name: a field, a dimension or a metric.
    Api(&'static str),
    /// The same, but a run asks for it only where `Fields` names it: OWOX sends
    /// this name, and the API's documentation has no metric of that name.
    OnDemand(&'static str),
    /// It is the advertiser that was asked for.
    Advertiser,
    /// It is the day that was asked for.
    Day,
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) origin: Origin,
    pub(crate) about: Option<&'static str>,
}

impl Field {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, origin: Origin::Api(name), about: None }
    }

    const fn about(mut self, about: &'static str) -> Self {
        self.about = Some(about);
        self
    }

    /// The API has it under another name.
    const fn api(mut self, name: &'static str) -> Self {
        self.origin = Origin::Api(name);
        self
    }

    const fn on_demand(mut self) -> Self {
        self.origin = Origin::OnDemand(self.name);
        self
    }

    const fn from(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// The API's name for it, where the API is asked for it.
    pub(crate) fn api_name(&self) -> Option<&'static str> {
        match self.origin {
            Origin::Api(name) | Origin::OnDemand(name) => Some(name),
            Origin::Advertiser | Origin::Day => None,
        }
    }
}

const fn text(name: &'static str) -> Field {
    Field::new(name, Kind::Text)
}

const fn number(name: &'static str) -> Field {
    Field::new(name, Kind::Number)
}

const fn integer(name: &'static str) -> Field {
    Field::new(name, Kind::Integer)
}

const fn boolean(name: &'static str) -> Field {
    Field::new(name, Kind::Boolean)
}

const fn time(name: &'static str) -> Field {
    Field::new(name, Kind::Time)
}

const fn json(name: &'static str) -> Field {
    Field::new(name, Kind::Json)
}

const ADVERTISER_ID: Field = text("advertiser_id").from(Origin::Advertiser).about("The advertiser's id.");

/// Of `advertiser/info/`.
pub(crate) const ADVERTISER: &[Field] = &[
    ADVERTISER_ID,
    text("advertiser_name").api("name").about("The name of the account."),
    text("company_name").api("company").about("The company that the account belongs to."),
    text("currency").about("The currency of the account's amounts, such as USD."),
];

/// Of `campaign/get/`.
pub(crate) const CAMPAIGNS: &[Field] = &[
    ADVERTISER_ID,
    text("campaign_id").about("The campaign's id."),
    text("campaign_name").about("The campaign's name."),
    text("app_promotion_type"),
    text("operation_status").about("Whether it was switched on or off, such as ENABLE."),
    text("bid_type"),
    text("rf_campaign_type"),
    text("secondary_status").about("The state it is in, such as CAMPAIGN_STATUS_ENABLE."),
    text("postback_window_mode"),
    text("budget_mode").about("Whether the budget is a day's or the whole, such as BUDGET_MODE_DAY."),
    text("objective"),
    text("campaign_product_source"),
    text("optimization_goal"),
    text("special_industries").about("Industries with rules of their own, as a list in JSON."),
    text("deep_bid_type"),
    text("rta_id"),
    text("app_id"),
    text("objective_type").about("What it is to bring, such as TRAFFIC."),
    text("campaign_type"),
    text("campaign_app_profile_page_state"),
    text("bid_align_type"),
    number("roas_bid"),
    number("budget").about("The budget in the account's currency; 0 is none."),
    boolean("is_advanced_dedicated_campaign"),
    boolean("is_search_campaign"),
    boolean("rta_bid_enabled"),
    boolean("disable_skan_campaign"),
    boolean("budget_optimize_on"),
    boolean("rta_product_selection_enabled"),
    boolean("is_new_structure"),
    boolean("is_smart_performance_campaign"),
    boolean("catalog_enabled"),
    time("modify_time").about("When it was changed last."),
    time("create_time").about("When it was made."),
];

/// Of `adgroup/get/`.
pub(crate) const AD_GROUPS: &[Field] = &[
    text("adgroup_id").about("The ad group's id."),
    text("adgroup_name").about("The ad group's name."),
    ADVERTISER_ID,
    text("campaign_id").about("The id of its campaign."),
    text("campaign_name").about("The name of its campaign."),
    text("operation_status").about("Whether it was switched on or off, such as ENABLE."),
    text("budget_mode").about("Whether the budget is a day's or the whole, such as BUDGET_MODE_DAY."),
    text("bid_type"),
    text("optimization_goal").about("What its delivery aims at, such as CLICK."),
    text("optimization_event"),
    text("app_id"),
    text("app_type"),
    text("audience_type"),
    text("gender"),
    text("placement_type"),
    text("schedule_type"),
    text("billing_event").about("What is paid for, such as CPC."),
    text("conversion_id"),
    number("budget").about("The budget in the account's currency."),
    number("bid_price"),
    number("conversion_bid_price"),
    json("audience_ids"),
    json("excluded_audience_ids"),
    json("age_groups"),
    json("languages"),
    json("location_ids"),
    json("interest_category_ids"),
    json("placements"),
    json("device_price_ranges"),
    json("device_model_ids"),
    json("operating_systems"),
    json("network_types"),
    json("carrier_ids"),
    time("schedule_start_time").about("When delivery begins."),
    time("schedule_end_time").about("When delivery ends."),
    time("create_time").about("When it was made."),
    time("modify_time").about("When it was changed last."),
    integer("frequency"),
    integer("conversion_window"),
    integer("click_attribution_window"),
    integer("view_attribution_window"),
    boolean("is_smart_performance_campaign"),
    boolean("is_new_structure"),
    boolean("auto_targeting_enabled"),
    json("targeting_expansion"),
];

/// Of `ad/get/`.
pub(crate) const ADS: &[Field] = &[
    text("ad_id").about("The ad's id."),
    text("ad_name").about("The ad's name."),
    ADVERTISER_ID,
    text("campaign_id").about("The id of its campaign."),
    text("campaign_name").about("The name of its campaign."),
    text("adgroup_id").about("The id of its ad group."),
    text("adgroup_name").about("The name of its ad group."),
    text("operation_status").about("Whether it was switched on or off, such as ENABLE."),
    text("secondary_status").about("The state it is in, such as AD_STATUS_DELIVERY_OK."),
    text("ad_text"),
    text("call_to_action"),
    text("call_to_action_id"),
    text("video_id"),
    text("image_mode"),
    text("creative_type"),
    text("ad_format"),
    text("landing_page_url"),
    text("deeplink"),
    text("deeplink_type"),
    text("tracking_pixel_id"),
    text("impression_tracking_url"),
    text("click_tracking_url"),
    text("video_view_tracking_url"),
    text("optimization_event"),
    text("catalog_id"),
    text("product_set_id"),
    text("domain"),
    text("display_name"),
    text("profile_image_url"),
    text("app_name"),
    text("tracking_app_id"),
    text("identity_id"),
    text("identity_type"),
    text("page_id"),
    text("tiktok_item_id"),
    text("disclaimer_type"),
    text("disclaimer_text"),
    time("create_time").about("When it was made."),
    time("modify_time").about("When it was changed last."),
    json("ad_texts"),
    json("image_ids"),
    json("landing_page_urls"),
    json("sku_ids"),
    boolean("is_new_structure"),
    boolean("is_aco"),
    json("utm_params"),
];

/// Of `dmp/custom_audience/list/`.
pub(crate) const AUDIENCES: &[Field] = &[
    text("audience_id").about("The audience's id."),
    ADVERTISER_ID,
    text("name").about("The audience's name."),
    text("audience_type").about("What it was made from."),
    integer("cover_num").about("How many people it has."),
    time("create_time").about("When it was made."),
    time("expired_time").about("When it ends."),
    boolean("is_valid"),
    boolean("is_expiring"),
];

/// Of `report/integrated/get/`: the ids, the day and the metrics. Which ids there
/// are depends on `DataLevel`.
pub(crate) const INSIGHTS: &[Field] = &[
    text("ad_id").about("The ad's id."),
    ADVERTISER_ID,
    text("campaign_id").about("The campaign's id."),
    text("adgroup_id").about("The ad group's id."),
    Field::new("stat_time_day", Kind::Date).about("The day, in the advertiser's time zone."),
    Field::new("date_start", Kind::Date)
        .from(Origin::Day)
        .about("The first day of the figures: the same day."),
    Field::new("date_end", Kind::Date).from(Origin::Day).about("The last day of the figures: the same day."),
    number("spend").about("What it cost, in the account's currency."),
    number("cost").api("spend").about("The same as `spend`."),
    integer("impressions").about("How often it was shown."),
    integer("clicks").about("Clicks that lead to the destination."),
    number("ctr").about("Clicks in a hundred impressions."),
    number("cpc").about("The cost of a click."),
    number("cpm").about("The cost of a thousand impressions."),
    integer("reach").about("People who saw it."),
    number("cost_per_1000_reached").about("The cost of reaching a thousand people."),
    number("frequency").about("How often each of these people saw it."),
    integer("conversion").about("Conversions, at the time of the impression."),
    number("cost_per_conversion").about("The cost of a conversion."),
    number("cpa")
        .api("cost_per_conversion")
        .about("The cost of an action: the same as `cost_per_conversion`."),
    number("conversion_rate").about("Conversions in a hundred clicks."),
    integer("real_time_conversion").about("Conversions, at the time of the conversion."),
    number("real_time_cost_per_conversion").about("The cost of one of these."),
    number("real_time_conversion_rate").about("These in a hundred clicks."),
    integer("result").about("Results, of the kind that the optimization aims at."),
    number("cost_per_result").about("The cost of a result."),
    number("cpr").api("cost_per_result").about("The same as `cost_per_result`."),
    integer("engagement").api("engagements").about("All clicks on the ad, social ones too."),
    integer("video_play_actions").about("How often its video began to play."),
    integer("video_views").api("video_play_actions").about("The same as `video_play_actions`."),
    integer("video_watched_2s").about("How often its video was watched for 2 seconds."),
    integer("video_watched_6s").about("How often its video was watched for 6 seconds."),
    integer("video_views_p25").about("How often a quarter of its video was watched."),
    integer("video_views_p50").about("How often half of its video was watched."),
    integer("video_views_p75").about("How often three quarters of its video were watched."),
    integer("video_views_p100").about("How often all of its video was watched."),
    integer("video_completion").api("video_views_p100").about("The same as `video_views_p100`."),
    number("average_video_play").about("Seconds that a view of its video took."),
    number("average_video_play_per_user").about("Seconds for which a person watched its video."),
    integer("profile_visits").about("Visits of the profile."),
    number("profile_visits_rate").about("Visits of the profile in a hundred impressions."),
    integer("likes").about("Likes."),
    integer("comments").about("Comments."),
    integer("shares").about("Shares."),
    integer("follows").about("New followers."),
    integer("landing_page_views")
        .api("total_landing_page_view")
        .about("How often the landing page was seen."),
    integer("viewable_impression").on_demand().about("Impressions that could be seen."),
    number("viewable_rate").on_demand().about("These in a hundred impressions."),
    integer("conversion_1d_click").on_demand().about("Conversions within a day of the click."),
    integer("conversion_7d_click").on_demand().about("Conversions within 7 days of the click."),
    integer("conversion_28d_click").on_demand().about("Conversions within 28 days of the click."),
];

/// The column that `ad_insights_by_country` has beside [`INSIGHTS`].
pub(crate) const COUNTRY: Field =
    text("country_code").about("The country, as two letters; `None` where the API knows none.");

#[cfg(test)]
mod tests {
    use super::*;

    /// OWOX has 4, 34, 45, 46 and 9 fields, and 39 in the reports, where it
    /// accepts 12 more without offering them.
    #[test]
    fn no_field_is_missing_and_none_stands_twice() {
        let counts = [ADVERTISER, CAMPAIGNS, AD_GROUPS, ADS, AUDIENCES, INSIGHTS].map(|fields| {
            let mut names: Vec<&str> = fields.iter().map(|field| field.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), fields.len());
            names.len()
        });
        assert_eq!(counts, [4, 34, 45, 46, 9, 39 + 12]);
    }
}
