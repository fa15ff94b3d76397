//! The API: what every request carries, its pages, and what its codes mean.
//!
//! It answers nearly everything with status 200 and a code of its own.
//!
//! | code | means | kind |
//! |---|---|---|
//! | 0 | an answer | |
//! | 40100 | too many requests: asked again, later | `rate-limited` |
//! | 50000 to 59999 | it failed on its side: asked again | `unavailable` |
//! | 40001, or a message of no permission | the token may not read the advertiser | `auth`, at `AdvertiserIDs` |
//! | a message of an account that is gone | there is no such advertiser | `config`, at `AdvertiserIDs` |
//! | other 401xx | the token is wrong, revoked or expired: the run ends | `auth`, at `AuthType` |
//! | 40002, and a message that begins with `fields` or `metrics` | it does not have one of them | `config`, at `Fields` |
//! | any other | | `invalid-data` |

use ow_connector::http::{Answer, PageNumber, Pages, Pagination, RateLimit, Verdict};
use ow_connector::prelude::*;

use crate::settings::Settings;

/// Where an answer's records stand.
pub(crate) const LIST: &str = "/data/list";

/// The parameter that names the accounts.
pub(crate) const ADVERTISERS: &str = "AdvertiserIDs";

/// The parameter that chooses the columns.
const FIELDS: &str = "Fields";

/// Pages that are asked for while one is written.
const AHEAD: usize = 3;

/// What every answer begins with.
#[derive(Deserialize)]
struct Envelope<'a> {
    code: i64,
    #[serde(default, borrow)]
    message: std::borrow::Cow<'a, str>,
}

/// The client of all requests.
pub(crate) fn client(config: &Settings, client: http::Client) -> http::Client {
    let limit = RateLimit::per_second(config.requests_per_second);
    let client = client.rate_limit(limit).judge(judge).header("content-type", "application/json");
    match config.token() {
        Ok(token) => client.header("access-token", token.expose()),
        // The streams are asked for first, which tells it.
        Err(_) => client,
    }
}

/// The pages of an endpoint; a single one where there is no page size.
pub(crate) fn pages(
    ctx: &Context<Settings>,
    endpoint: &str,
    query: &[(&str, String)],
    page_size: Option<u64>,
) -> Pages {
    let request = ctx.http().get(format!("{}{endpoint}", ctx.config().base()));
    let request = query.iter().fold(request, |request, (name, value)| request.query(name, value));
    let pagination = page_size.map_or(Pagination::Single, |size| {
        let pages = PageNumber::new("page", LIST).size("page_size", size);
        pages.total_records("/data/page_info/total_number").ahead(AHEAD).into()
    });
    request.pages(pagination)
}

fn judge(answer: &Answer<'_>) -> Verdict {
    let by_status = answer.by_status();
    if by_status != Verdict::Accept {
        return by_status;
    }
    match answer.json::<Envelope<'_>>() {
        Ok(envelope) => by_code(envelope.code, &envelope.message),
        // What is no answer of the API is told where its records are looked for.
        Err(_) => Verdict::Accept,
    }
}

fn by_code(code: i64, message: &str) -> Verdict {
    let told = |what: &str| format!("{what} (code {code}: {message})");
    let of_advertiser = |error: Error| Verdict::Fail(error.parameter(ADVERTISERS));
    match code {
        0 => Verdict::Accept,
        40100 => Verdict::Retry(Error::rate_limited(told("the API was asked too often"))),
        50_000..=59_999 => Verdict::Retry(Error::unavailable(told("the API failed"))),
        _ if message.contains("doesn't exist or has been deleted") => {
            of_advertiser(Error::config(told("there is no such advertiser")))
        }
        _ if code == 40001 || message.contains("No permission to operate advertiser") => {
            of_advertiser(Error::auth(told("the access token has no permission for the advertiser")))
        }
        40101..=40199 => {
            let error = Error::auth(told("the access token is wrong, revoked or expired"));
            Verdict::Fail(error.parameter("AuthType").fatal())
        }
        40002 if message.starts_with("fields") || message.starts_with("metrics") => {
            Verdict::Fail(Error::config(told("the API does not have a column")).parameter(FIELDS))
        }
        _ => Verdict::Fail(Error::invalid_data(told("the API refuses the request"))),
    }
}

/// Whether an error concerns one node alone, so that the advertiser's others may
/// go on.
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
