//! GitHub as far as a connector reads it: repositories and their contributors. The
//! repository is one that GitHub really told (see the licence beside the recorded
//! answer); pages, links and refusals have GitHub's shape.

use serde_json::{Value, json};

use crate::server::{Answer, Request, Server};

/// The token that the API knows.
pub const TOKEN: &str = "github_pat_of_nobody";

/// The recorded repository.
pub const RECORDED: &str = "octokit-fixture-org/hello-world";

/// A repository with contributors.
pub const BUSY: &str = "someone/tools";

/// Contributors of the busy repository.
pub const PEOPLE: u64 = 230;

/// The most records of a page.
const MOST: u64 = 100;

/// The id of the busy repository.
const BUSY_ID: u64 = 1296269;

/// The API. `fault` may answer first.
pub fn start(fault: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static) -> Server {
    Server::start(move |request| fault(request).unwrap_or_else(|| answer(request)))
}

/// A failure as the API tells it.
#[must_use]
pub fn refusal(status: u16, message: &str) -> Answer {
    let body = json!({
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": status.to_string(),
    });
    Answer::new(status, body.to_string()).header("content-type", "application/json; charset=utf-8")
}

fn answer(request: &Request) -> Answer {
    if request.header("authorization") != Some(format!("Bearer {TOKEN}").as_str()) {
        return refusal(401, "Bad credentials");
    }
    if request.header("accept") != Some("application/vnd.github+json")
        || request.header("user-agent").is_none()
    {
        return refusal(403, "Request forbidden by administrative rules.");
    }
    let limits =
        |answer: Answer| answer.header("x-ratelimit-limit", "5000").header("x-ratelimit-remaining", "4999");
    limits(match request.path() {
        "/repos/octokit-fixture-org/hello-world" => Answer::json(&recorded()).gzip(),
        "/repos/someone/tools" => Answer::json(&busy()),
        "/repos/octokit-fixture-org/hello-world/contributors" => Answer::new(204, ""),
        "/repos/someone/tools/contributors" | "/repositories/1296269/contributors" => contributors(request),
        _ => refusal(404, "Not Found"),
    })
}

/// A repository, as GitHub told it.
fn recorded() -> Value {
    const RECORDING: &str = include_str!("../../../../connectors/github/tests/fixtures/get-repository.json");
    let recording: Value = serde_json::from_str(RECORDING).unwrap();
    recording[0]["response"].clone()
}

fn busy() -> Value {
    let mut repository = recorded();
    repository["id"] = json!(BUSY_ID);
    repository["name"] = json!("tools");
    repository["full_name"] = json!(BUSY);
    repository["stargazers_count"] = json!(80);
    repository["has_discussions"] = json!(true);
    repository["license"] = json!({ "key": "mit", "name": "MIT License", "spdx_id": "MIT" });
    repository
}

/// A page of contributors, with links to the others as GitHub writes them.
fn contributors(request: &Request) -> Answer {
    let number = |name: &str, default: u64| request.query(name).map_or(default, |n| n.parse().unwrap());
    let (size, page) = (number("per_page", 30).min(MOST), number("page", 1));
    let last = PEOPLE.div_ceil(size);
    let people: Vec<Value> = ((page - 1) * size + 1..=(page * size).min(PEOPLE)).map(person).collect();
    let origin = format!("http://{}", request.header("host").unwrap_or_default());
    let link = |page: u64, relation: &str| {
        format!(
            "<{origin}/repositories/{BUSY_ID}/contributors?per_page={size}&page={page}>; rel=\"{relation}\""
        )
    };
    let mut links = Vec::new();
    if page > 1 {
        links.push(link(page - 1, "prev"));
    }
    if page < last {
        links.extend([link(page + 1, "next"), link(last, "last")]);
    }
    if page > 1 {
        links.push(link(1, "first"));
    }
    Answer::json(&people.into()).gzip().header("link", &links.join(", "))
}

/// A contributor: the account of the recorded answer, under another name.
fn person(number: u64) -> Value {
    let mut person = recorded()["owner"].clone();
    person["id"] = json!(31_898_000 + number);
    person["login"] = json!(format!("person-{number}"));
    person["type"] = json!("User");
    person["contributions"] = json!(PEOPLE + 1 - number);
    person
}
