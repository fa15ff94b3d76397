//! The API: requests, pages, and what its codes mean.
//!
//! It answers nearly everything with status 200 and a code of its own.
//!
//! | code | means | kind |
//! |---|---|---|
//! | 0 | an answer | |
//! | 40100 | too many requests: asked again, later | `rate-limited` |
//! | 50000 to 59999 | it failed on its side: asked again | `unavailable` |
//! | 40001, or a message of no permission | the token may not read the advertiser | `auth`, at `AdvertiserIDs` |
//! | other 401xx | the token is wrong, revoked or expired | `auth`, at `AuthType` |
//! | 40002, and a message of an account that is gone | there is no such advertiser | `config`, at `AdvertiserIDs` |
//! | 40002, and a message that begins with `fields` or `metrics` | it does not have one of them | `config`, at `Fields` |
//! | any other | | `invalid-data` |

use ow_connector::prelude::*;
use serde_json::value::RawValue;

use crate::settings::Settings;

/// The parameter that holds the token.
pub(crate) const TOKEN: &str = "AuthType";

/// The parameter that names the accounts.
pub(crate) const ADVERTISERS: &str = "AdvertiserIDs";

/// The parameter that chooses the columns.
const FIELDS: &str = "Fields";

/// What every answer begins with.
#[derive(Deserialize)]
struct Envelope {
    code: i64,
    #[serde(default)]
    message: String,
}

/// What an answer's code means; nothing where it is an answer.
fn refusal(code: i64, message: &str) -> Option<Error> {
    let told = |what: &str| format!("{what} (code {code}: {message})");
    let is_gone = message.contains("doesn't exist or has been deleted");
    let is_closed = message.contains("No permission to operate advertiser");
    Some(match code {
        0 => return None,
        40100 => Error::rate_limited(told("the API was asked too often")),
        50_000..=59_999 => Error::unavailable(told("the API failed")),
        _ if is_gone => Error::config(told("there is no such advertiser")).parameter(ADVERTISERS),
        40001 => Error::auth(told("the access token has no permission for the advertiser")).parameter(ADVERTISERS),
        _ if is_closed => Error::auth(told("the access token has no permission for the advertiser")).parameter(ADVERTISERS),
        40101..=40199 => Error::auth(told("the access token is wrong, revoked or expired")).parameter(TOKEN),
        40002 if message.starts_with("fields") || message.starts_with("metrics") => {
            Error::config(told("the API does not have a column")).parameter(FIELDS)
        }
        _ => Error::invalid_data(told("the API refuses the request")),
    })
}

/// Whether an error says that the token is worth nothing, whatever is asked.
pub(crate) fn is_of_token(error: &Error) -> bool {
    error.kind() == ErrorKind::Auth && error.parameter_name() != Some(ADVERTISERS)
}

/// Whether an error concerns one node alone, so that others may go on.
pub(crate) fn is_of_node(error: &Error) -> bool {
    let of_fields = error.kind() == ErrorKind::Config && error.parameter_name() == Some(FIELDS);
    of_fields || error.kind() == ErrorKind::InvalidData
}

/// The names that the API would accept, where it says so: `… correct is ['a', 'b']`.
pub(crate) fn accepted(error: &Error) -> Option<Vec<String>> {
    let (_, list) = error.message().split_once("is not acceptable, correct is")?;
    let (list, _) = list.split_once('[')?.1.split_once(']')?;
    let names = list.split(',').map(|name| name.trim().trim_matches(['\'', '"']).to_owned());
    Some(names.filter(|name| !name.is_empty()).collect())
}

pub(crate) struct Api {
    client: http::Client,
    base: String,
    token: Secret,
}

impl Api {
    pub(crate) fn new(client: &http::Client, config: &Settings) -> Result<Self> {
        Ok(Self { client: client.clone(), base: config.base(), token: config.token()?.clone() })
    }

    pub(crate) fn records(
        &self,
        endpoint: &str,
        query: &[(&'static str, String)],
        page_size: Option<u64>,
        mut each: impl FnMut(&RawValue) -> Result<()>,
    ) -> Result<()> {
        #[derive(Deserialize)]
        struct Answer<'a> { #[serde(borrow)] data: Data<'a> }
        #[derive(Deserialize)]
        struct Data<'a> { #[serde(borrow)] list: Vec<&'a RawValue>, page_info: Option<Info> }
        #[derive(Deserialize)]
        struct Info { total_page: u64 }
        let mut page = 1;
        loop {
            let mut request = self.client.get(format!("{}{endpoint}", self.base)).header("access-token", self.token.expose());
            for (name, value) in query { request = request.query(name, value); }
            if let Some(size) = page_size { request = request.query("page", page).query("page_size", size); }
            let text = request.send()?.text()?;
            let envelope: Envelope = serde_json::from_str(&text)?;
            if let Some(error) = refusal(envelope.code, &envelope.message) { return Err(error); }
            let answer: Answer<'_> = serde_json::from_str(&text)?;
            for record in answer.data.list { each(record)?; }
            if page_size.is_none() || answer.data.page_info.is_none_or(|info| info.total_page <= page) { return Ok(()); }
            page += 1;
        }
    }
}
