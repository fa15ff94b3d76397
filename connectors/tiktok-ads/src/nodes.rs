//! The nodes: what each is called, where the API has it, what tells its rows
//! apart.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fields::{self, Field};

/// What a row of a report stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) enum DataLevel {
    #[serde(rename = "AUCTION_ADVERTISER")]
    Advertiser,
    #[serde(rename = "AUCTION_CAMPAIGN")]
    Campaign,
    #[serde(rename = "AUCTION_ADGROUP")]
    Adgroup,
    #[default]
    #[serde(rename = "AUCTION_AD")]
    Ad,
}

impl DataLevel {
    /// All of them, from the whole to the part.
    const ALL: [Self; 4] = [Self::Advertiser, Self::Campaign, Self::Adgroup, Self::Ad];

    /// The API's and OWOX's name of it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Advertiser => "AUCTION_ADVERTISER",
            Self::Campaign => "AUCTION_CAMPAIGN",
            Self::Adgroup => "AUCTION_ADGROUP",
            Self::Ad => "AUCTION_AD",
        }
    }

    /// The id of what a row stands for; the advertiser's is in every row anyway.
    fn id(self) -> Option<&'static str> {
        match self {
            Self::Advertiser => None,
            Self::Campaign => Some("campaign_id"),
            Self::Adgroup => Some("adgroup_id"),
            Self::Ad => Some("ad_id"),
        }
    }

    /// The level whose rows are the first to have a column; none for columns
    /// that all rows have. An ad has its campaign's id, a campaign no ad's.
    pub(crate) fn first_with(column: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.id() == Some(column))
    }

    /// Whether rows of this level have a column.
    pub(crate) fn has(self, column: &str) -> bool {
        Self::first_with(column).is_none_or(|first| first as u8 <= self as u8)
    }
}

/// How a node is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The account itself.
    Account,
    /// A list of things, whose columns are asked for by name. Deleted ones come
    /// only to those who ask for this status.
    List { all: &'static str },
    /// A list that always comes with all columns.
    Audiences,
    /// Figures of a day.
    Report { by_country: bool },
}

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    /// What `Fields` calls it.
    pub(crate) name: &'static str,
    /// The table, if the operator names no other.
    pub(crate) table: &'static str,
    pub(crate) about: &'static str,
    pub(crate) endpoint: &'static str,
    pub(crate) source: Source,
    /// Rows that one request asks for: the most that the API gives.
    pub(crate) page_size: u64,
    /// The key of lists; that of reports is [`Node::key`].
    id: &'static str,
    fields: &'static [Field],
}

/// All nodes, in the order in which they are imported.
pub(crate) const NODES: &[Node] = &[
    Node {
        name: "advertiser",
        table: "tiktok_ads_advertiser",
        about: "The accounts.",
        endpoint: "advertiser/info/",
        source: Source::Account,
        page_size: 0,
        id: "advertiser_id",
        fields: fields::ADVERTISER,
    },
    Node {
        name: "campaigns",
        table: "tiktok_ads_campaigns",
        about: "The campaigns of each account.",
        endpoint: "campaign/get/",
        source: Source::List { all: "CAMPAIGN_STATUS_ALL" },
        page_size: 1000,
        id: "campaign_id",
        fields: fields::CAMPAIGNS,
    },
    Node {
        name: "ad_groups",
        table: "tiktok_ads_ad_groups",
        about: "The ad groups of each campaign.",
        endpoint: "adgroup/get/",
        source: Source::List { all: "ADGROUP_STATUS_ALL" },
        page_size: 1000,
        id: "adgroup_id",
        fields: fields::AD_GROUPS,
    },
    Node {
        name: "ads",
        table: "tiktok_ads_ads",
        about: "The ads of each ad group.",
        endpoint: "ad/get/",
        source: Source::List { all: "AD_STATUS_ALL" },
        page_size: 1000,
        id: "ad_id",
        fields: fields::ADS,
    },
    Node {
        name: "audiences",
        table: "tiktok_ads_audiences",
        about: "The custom audiences of each account.",
        endpoint: "dmp/custom_audience/list/",
        source: Source::Audiences,
        page_size: 100,
        id: "audience_id",
        fields: fields::AUDIENCES,
    },
    Node {
        name: "ad_insights",
        table: "tiktok_ads_ad_insights",
        about: "Figures of each day, one row for what `DataLevel` says.",
        endpoint: "report/integrated/get/",
        source: Source::Report { by_country: false },
        page_size: 1000,
        id: "",
        fields: fields::INSIGHTS,
    },
    Node {
        name: "ad_insights_by_country",
        table: "tiktok_ads_ad_insights_by_country",
        about: "Figures of each day and country, one row for what `DataLevel` says.",
        endpoint: "report/integrated/get/",
        source: Source::Report { by_country: true },
        page_size: 1000,
        id: "",
        fields: fields::INSIGHTS,
    },
];

impl AsRef<str> for Node {
    fn as_ref(&self) -> &str {
        self.name
    }
}

impl Node {
    /// Whether it has rows for each day.
    pub(crate) fn is_report(&self) -> bool {
        matches!(self.source, Source::Report { .. })
    }

    /// Its columns, at whatever level.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &'static Field> + Clone + use<> {
        let by_country = self.source == Source::Report { by_country: true };
        self.fields.iter().chain(by_country.then_some(&fields::COUNTRY))
    }

    /// What tells its rows apart.
    pub(crate) fn key(&self, level: DataLevel) -> Vec<&'static str> {
        match self.source {
            Source::Report { by_country } => {
                let country = by_country.then_some("country_code");
                level.id().into_iter().chain(["stat_time_day", "advertiser_id"]).chain(country).collect()
            }
            _ => vec![self.id],
        }
    }

    /// What a report is broken down by.
    pub(crate) fn dimensions(&self, level: DataLevel) -> Vec<&'static str> {
        self.key(level).into_iter().filter(|name| *name != "advertiser_id").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_apart_by_what_they_stand_for() {
        let insights = NODES.iter().find(|node| node.name == "ad_insights").unwrap();
        let keys = DataLevel::ALL.map(|level| insights.key(level).join(" "));
        assert_eq!(
            keys,
            [
                "stat_time_day advertiser_id",
                "campaign_id stat_time_day advertiser_id",
                "adgroup_id stat_time_day advertiser_id",
                "ad_id stat_time_day advertiser_id",
            ]
        );
        let by_country = NODES.iter().find(|node| node.name == "ad_insights_by_country").unwrap();
        assert_eq!(by_country.dimensions(DataLevel::Advertiser), ["stat_time_day", "country_code"]);
    }

    #[test]
    fn a_part_knows_the_whole() {
        let has = |column: &str| DataLevel::ALL.map(|level| level.has(column));
        assert_eq!(has("ad_id"), [false, false, false, true]);
        assert_eq!(has("campaign_id"), [false, true, true, true]);
        assert_eq!(has("spend"), [true; 4]);
    }
}
