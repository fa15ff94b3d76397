//! The configuration: everything that an operator can say of an API.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ow_connector::prelude::*;
use schemars::{Schema, SchemaGenerator, json_schema};

/// The configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Settings {
    /// Where the API stands, such as `https://api.example.com/v2`. Grant its origin to the connector.
    #[schemars(regex(pattern = r"^https?://[^/?#]+"))]
    pub(crate) base_url: String,
    /// Headers of every request. Texts may hold `{secrets.NAME}`.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Scalar>,
    /// Query parameters of every request. Texts may hold `{secrets.NAME}`.
    #[serde(default)]
    pub(crate) query: BTreeMap<String, Scalar>,
    /// Secrets by names of your own, for `{secrets.NAME}` in headers, queries, paths and bodies.
    #[serde(default)]
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// How requests prove who asks; not at all without it.
    #[serde(default)]
    pub(crate) auth: Option<Auth>,
    /// At most so many requests.
    #[serde(default)]
    pub(crate) rate_limit: Option<RateLimit>,
    /// When and how often a request is tried again.
    #[serde(default)]
    pub(crate) retry: Retry,
    /// What answers mean where their status does not say it: the first rule that fits counts.
    #[serde(default)]
    pub(crate) errors: Vec<Rule>,
    /// The streams and columns to import, such as `orders id, orders total, customers`; everything without it.
    #[serde(default)]
    pub(crate) fields: String,
    #[serde(flatten)]
    pub(crate) dates: DateWindow,
    /// The streams: one table each.
    #[schemars(length(min = 1))]
    pub(crate) streams: Vec<StreamSettings>,
    #[serde(flatten)]
    _unused: Unused,
}

/// How requests prove who asks: one of these.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", rename_all_fields = "PascalCase", deny_unknown_fields)]
pub(crate) enum Auth {
    /// A key in a header or in the query.
    ApiKey {
        /// The key.
        key: Secret,
        /// The header or query parameter, such as `X-Api-Key`.
        #[schemars(length(min = 1))]
        name: String,
        /// Where the key goes.
        #[serde(default, rename = "In")]
        place: KeyPlace,
        /// What stands before the key, such as `Token `.
        #[serde(default)]
        prefix: String,
    },
    /// A token that does not change, as `Authorization: Bearer …`.
    Bearer {
        /// The token.
        token: Secret,
    },
    /// A name and a password, as `Authorization: Basic …`.
    Basic {
        /// The name. Many APIs take a key here.
        username: Secret,
        /// The password; empty by default.
        #[serde(default)]
        password: Option<Secret>,
    },
    /// A token that is got with these credentials, and again when it expires: OAuth 2.0, with a refresh token for
    /// a user, without one for the connector itself (client credentials).
    Oauth2(Oauth2),
}

/// How a token is got.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Oauth2 {
    /// Where tokens are got. Grant its origin as well if it is another one.
    #[schemars(regex(pattern = r"^https?://[^/?#]+"))]
    pub(crate) token_url: String,
    /// The client's id.
    pub(crate) client_id: Secret,
    /// The client's secret, where it has one.
    #[serde(default)]
    pub(crate) client_secret: Option<Secret>,
    /// The refresh token of a user.
    #[serde(default)]
    pub(crate) refresh_token: Option<Secret>,
    /// The scopes, separated by blanks.
    #[serde(default)]
    pub(crate) scope: Option<String>,
    /// More parameters of the request for a token, such as `audience`.
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, String>,
    /// How id and secret are sent to the token's server.
    #[serde(default)]
    pub(crate) send_as: SendAs,
}

/// Where a key goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyPlace {
    #[default]
    Header,
    Query,
}

/// How id and secret are sent to the token's server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SendAs {
    #[default]
    Form,
    Basic,
}

/// At most so many requests in any stretch of time.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct RateLimit {
    /// How many requests.
    #[schemars(range(min = 1))]
    pub(crate) requests: u32,
    /// In how many seconds; 1 by default.
    #[serde(default = "one_second")]
    #[schemars(range(min = 0.001, max = 86_400.0))]
    pub(crate) seconds: f64,
}

fn one_second() -> f64 {
    1.0
}

/// When and how often a request is tried again.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Retry {
    /// Tries in all; 1 is no second try. 5 by default.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    pub(crate) attempts: Option<u32>,
    /// The longest first wait; it doubles with every try. 0.5 by default.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 3600.0))]
    pub(crate) first_wait_seconds: Option<f64>,
    /// The longest wait between two tries; 30 by default.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 3600.0))]
    pub(crate) longest_wait_seconds: Option<f64>,
    /// The longest `Retry-After` that is waited for; 120 by default.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 86_400.0))]
    pub(crate) longest_retry_after_seconds: Option<f64>,
}

/// What an answer means. All conditions that are given must hold.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Rule {
    /// It has one of these statuses.
    #[serde(default)]
    pub(crate) status: Vec<u16>,
    /// Its body holds this text.
    #[serde(default)]
    pub(crate) contains: Option<String>,
    /// A place in its JSON body, such as `/code`: something stands there, other than `null`.
    #[serde(default)]
    #[schemars(regex(pattern = "^/"))]
    pub(crate) at: Option<String>,
    /// What stands at `At`, exactly.
    #[serde(default)]
    pub(crate) equals: Option<Scalar>,
    /// What is to be done with the answer.
    pub(crate) then: Then,
    /// What kind of failure it is.
    #[serde(default)]
    pub(crate) kind: Option<Kind>,
    /// What to tell the operator; the answer's own message without it.
    #[serde(default)]
    pub(crate) message: Option<String>,
    /// How long to wait before another try.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 86_400.0))]
    pub(crate) wait_seconds: Option<f64>,
}

/// What is to be done with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Then {
    /// It is a page like any other.
    Accept,
    /// Try again.
    Retry,
    /// The stream fails.
    Fail,
    /// There are no records here, and that is fine.
    Skip,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Config,
    Auth,
    RateLimited,
    Unavailable,
    InvalidData,
}

/// One stream: a table, and how its rows are got.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct StreamSettings {
    /// The name of the stream and of its table.
    #[schemars(regex(pattern = r"^[^\s,]{1,255}$"))]
    pub(crate) name: String,
    /// What the table holds, for those who read it.
    #[serde(default)]
    pub(crate) description: Option<String>,
    /// The path behind `BaseUrl`, such as `/orders` or `/customers/{parent.id}/orders`; or a whole URL.
    pub(crate) path: String,
    /// The method.
    #[serde(default)]
    pub(crate) method: Method,
    /// Query parameters besides those of all requests.
    #[serde(default)]
    pub(crate) query: BTreeMap<String, Scalar>,
    /// Headers besides those of all requests.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Scalar>,
    /// The JSON body of a POST request.
    #[serde(default)]
    pub(crate) body: Option<serde_json::Value>,
    /// How the answer is cut into pages; there is one without it.
    #[serde(default)]
    pub(crate) pagination: Option<Pagination>,
    /// The place of the records in a page, as a JSON pointer such as `/data/items`; the page itself without it.
    #[serde(default)]
    #[schemars(regex(pattern = "^(/.*)?$"))]
    pub(crate) records: String,
    /// What stands at that place.
    #[serde(default)]
    pub(crate) records_are: RecordsAre,
    /// The columns that identify a row. Rows are merged by them; without it they are appended.
    #[serde(default)]
    pub(crate) primary_key: Vec<String>,
    /// The columns with their types. Without it they are found out from the first records.
    #[serde(default)]
    pub(crate) schema: BTreeMap<String, Column>,
    /// Whether columns that `Schema` does not name are found out from the first records. Without `Schema` they are.
    #[serde(default)]
    pub(crate) infer: Option<bool>,
    /// From how many records columns are found out; 1000 by default.
    #[serde(default = "infer_records")]
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) infer_records: u32,
    /// Texts that stand for no value in columns that cannot hold text, such as `""` or `"-"`.
    #[serde(default)]
    pub(crate) null_texts: Vec<String>,
    /// What numbers in `timestamp` columns count, from 1970 on. Without it they are refused.
    #[serde(default)]
    pub(crate) epoch: Option<Counts>,
    /// Fetches only what changed since the last run.
    #[serde(default)]
    pub(crate) incremental: Option<Incremental>,
    /// Fetches by days, from `StartDate` on, going on where the last run stopped.
    #[serde(default)]
    pub(crate) window: Option<Window>,
    /// Fetches once for each record of another stream.
    #[serde(default)]
    pub(crate) parent: Option<Parent>,
}

fn infer_records() -> u32 {
    1000
}

/// The method of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum Method {
    #[default]
    #[serde(rename = "GET")]
    Get,
    #[serde(rename = "POST")]
    Post,
}

/// What stands at the place of the records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RecordsAre {
    /// A list of objects.
    #[default]
    List,
    /// The same, but APIs may leave an empty list out.
    OptionalList,
    /// One object, which is one record.
    Object,
}

/// What a number in a `timestamp` column counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Counts {
    Seconds,
    Milliseconds,
    Microseconds,
}

/// How an answer is cut into pages: one of these. A parameter is a query
/// parameter, or with a `/` before it a place in the body.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", rename_all_fields = "PascalCase", deny_unknown_fields)]
pub(crate) enum Pagination {
    /// Pages have numbers.
    Page {
        /// The parameter of the number.
        #[serde(default = "page")]
        parameter: String,
        /// The first page's number; 1 by default.
        #[serde(default = "one")]
        first: u64,
        /// The parameter of how many records a page has.
        #[serde(default)]
        size_parameter: Option<String>,
        /// How many records a page has.
        #[serde(default)]
        #[schemars(range(min = 1))]
        size: Option<u64>,
        /// Where a page says how many pages there are, such as `/meta/pages`.
        #[serde(default)]
        total_pages: Option<String>,
        /// Where a page says how many records there are in all.
        #[serde(default)]
        total_records: Option<String>,
        /// How many pages are asked for while one is worked on; more than 1 needs a total.
        #[serde(default = "ahead")]
        #[schemars(range(max = 16))]
        ahead: u32,
    },
    /// Pages begin at a record.
    Offset {
        /// The parameter of the first record.
        #[serde(default = "offset")]
        parameter: String,
        /// The first record's number; 0 by default.
        #[serde(default)]
        first: u64,
        /// The parameter of how many records a page has.
        #[serde(default = "limit")]
        size_parameter: String,
        /// How many records a page has.
        #[schemars(range(min = 1))]
        size: u64,
        /// Where a page says how many records there are in all.
        #[serde(default)]
        total_records: Option<String>,
        /// How many pages are asked for while one is worked on; more than 1 needs a total.
        #[serde(default = "ahead")]
        #[schemars(range(max = 16))]
        ahead: u32,
    },
    /// A page says under which mark the next one is found.
    Cursor {
        /// The parameter of the mark.
        parameter: String,
        /// Where a page has the next one's mark, such as `/meta/next_cursor`.
        at: String,
        /// Where a page says whether there is another one.
        #[serde(default)]
        more: Option<String>,
    },
    /// A page holds the next one's URL.
    NextUrl {
        /// Where it stands, such as `/links/next`.
        at: String,
    },
    /// The next page's URL stands in the header `Link`.
    LinkHeader {},
}

fn page() -> String {
    "page".to_owned()
}

fn offset() -> String {
    "offset".to_owned()
}

fn limit() -> String {
    "limit".to_owned()
}

fn one() -> u64 {
    1
}

fn ahead() -> u32 {
    1
}

/// A column: its type, or more.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Column {
    /// Its type.
    Type(TypeName),
    /// Its type, and where its values stand.
    More(ColumnMore),
}

/// A column in full.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct ColumnMore {
    /// Its type.
    #[serde(rename = "Type")]
    pub(crate) type_name: TypeName,
    /// The place of its values in a record, such as `/owner/login`; the key of its name without it.
    #[serde(default)]
    #[schemars(regex(pattern = "^/."))]
    pub(crate) from: Option<String>,
    /// Whether every record must have it.
    #[serde(default)]
    pub(crate) required: bool,
    /// What it says, for those who read the table.
    #[serde(default)]
    pub(crate) description: Option<String>,
}

impl Column {
    pub(crate) fn in_full(&self) -> Cow<'_, ColumnMore> {
        match self {
            Self::More(more) => Cow::Borrowed(more),
            Self::Type(type_name) => Cow::Owned(ColumnMore {
                type_name: *type_name,
                from: None,
                required: false,
                description: None,
            }),
        }
    }
}

/// A column's type by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TypeName(pub(crate) DataType);

impl TypeName {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let plain = match text {
            "boolean" => DataType::Boolean,
            "int64" => DataType::Int64,
            "float64" => DataType::Float64,
            "text" => DataType::Text,
            "bytes" => DataType::Bytes,
            "date" => DataType::Date,
            "timestamp" => DataType::Timestamp,
            "json" => DataType::Json,
            _ => {
                let digits = text.strip_prefix("decimal(")?.strip_suffix(')')?;
                let (precision, scale) = digits.split_once(',')?;
                let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
                let sound = (1..=38).contains(&precision) && scale <= precision;
                return sound.then_some(Self(DataType::Decimal { precision, scale }));
            }
        };
        Some(Self(plain))
    }
}

impl<'de> Deserialize<'de> for TypeName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format_args!("`{text}` is no type of a column")))
    }
}

impl JsonSchema for TypeName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TypeName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(boolean|int64|float64|text|bytes|date|timestamp|json|decimal\\([0-9]{1,2}, ?[0-9]{1,2}\\))$",
        })
    }
}

/// Fetches only what changed since the last run.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Incremental {
    /// The place in a record of what grows with every change: a key such as `updated_at`, or a JSON pointer.
    pub(crate) field: String,
    /// The query parameter (or `/place` in the body) that asks for what changed since; `{cursor}` elsewhere does too.
    #[serde(default)]
    pub(crate) parameter: Option<String>,
    /// From where the first run starts: a number, a date or a time. `StartDate` or everything without it.
    #[serde(default)]
    pub(crate) start: Option<Scalar>,
    /// How far before the highest value a run starts again: seconds for times, units for numbers.
    #[serde(default)]
    pub(crate) lookback: u32,
    /// How times are written: `timestamp`, `date`, `unix`, `unix-millis`, or a pattern such as `%Y-%m-%d %H:%M:%S`.
    #[serde(default)]
    pub(crate) format: Option<String>,
    /// Says that the API sorts by this field, the lowest value first: then a run that breaks off goes on from there.
    #[serde(default)]
    pub(crate) ascending: bool,
}

/// Fetches by days.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Window {
    /// The query parameter (or `/place` in the body) of the first day; `{start}` elsewhere does too.
    #[serde(default)]
    pub(crate) start_parameter: Option<String>,
    /// The query parameter (or `/place` in the body) of the last day; `{end}` elsewhere does too.
    #[serde(default)]
    pub(crate) end_parameter: Option<String>,
    /// How many days one request asks for; 30 by default.
    #[serde(default = "thirty")]
    #[schemars(range(min = 1, max = 3660))]
    pub(crate) days: u32,
    /// How days are written: `date`, `timestamp`, `unix`, `unix-millis`, or a pattern such as `%d.%m.%Y`.
    #[serde(default = "date")]
    pub(crate) format: String,
    /// Whether the end is the first moment that is not asked for any more.
    #[serde(default)]
    pub(crate) end_exclusive: bool,
}

fn thirty() -> u32 {
    30
}

fn date() -> String {
    "date".to_owned()
}

/// Fetches once for each record of another stream.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Parent {
    /// The other stream. `{parent.FIELD}` in path, query, headers and body is a field of its record.
    pub(crate) stream: String,
    /// Columns that hold fields of the parent's record: `{"customer_id": "id"}`.
    #[serde(default)]
    pub(crate) columns: BTreeMap<String, String>,
}

/// A text, number or boolean, as the text that it is sent as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scalar(pub(crate) String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => {
                Ok(Self(value.to_string()))
            }
            _ => Err(serde::de::Error::custom("there should be a text, a number or a boolean")),
        }
    }
}

impl JsonSchema for Scalar {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number", "boolean"]})
    }
}
