//! Repositories, their contributors, and what they count each day, from GitHub's
//! REST API (<https://docs.github.com/en/rest>).
//!
//! Parameters, nodes, tables and columns are those of OWOX's connector. What
//! differs, because it went wrong there:
//!
//! - Contributors come in pages of 100, as many as there are; there, the first page
//!   is all.
//! - `owner_…` and `license_…` are filled from the objects in which the API has
//!   them; `topics` is the list as JSON text.
//! - `contributors` and `repositoryStats` have two columns more, `repository_id` and
//!   `repository`, and the first of them belongs to the key: so two repositories in
//!   one table do not overwrite each other. The other columns are as they were. The
//!   id is in the key and not the name, because repositories are renamed.
//! - `RepositoryName` takes several repositories, separated by commas. One that fails
//!   makes the run fail, with its name, after the others are done.
//! - The day of `repositoryStats` is that of the run in UTC.
//! - What GitHub refuses is told by its kind: a token that it does not know, one that
//!   may not see something, a rate limit, a repository that is not there. Rate limits
//!   are waited for where that takes no more than two minutes.
//!
//! There is no time axis: every run imports what GitHub has now. `StartDate`,
//! `EndDate` and `ReimportLookbackWindow` are accepted, and have no effect.

mod api;
mod fields;

use std::collections::BTreeSet;

use ow_connector::prelude::*;
use serde::de::IgnoredAny;

use fields::{CONTRIBUTORS, REPOSITORY, STATS, Stats};

/// The configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Settings {
    /// An access token. Public repositories need no permission, private ones `metadata: read`.
    access_token: Secret,
    /// The repository, as `owner/name`; or several, separated by commas.
    repository_name: String,
    /// The nodes and columns to import, such as `repository name, contributors login`; all of them by default.
    #[serde(default)]
    fields: String,
    #[serde(flatten)]
    tables: TableNames,
    /// Where the API stands; `https://HOST/api/v3` for an Enterprise Server.
    #[serde(default = "Settings::base_url")]
    base_url: String,
    #[serde(flatten)]
    _dates: DateWindow,
    #[serde(flatten)]
    _unused: Unused,
}

impl Settings {
    fn base_url() -> String {
        "https://api.github.com".to_owned()
    }

    /// The repositories, each once, in the order in which they are given.
    fn repositories(&self) -> Result<Vec<Name<'_>>> {
        let mut known = BTreeSet::new();
        let names = self.repository_name.split([',', ';']).map(str::trim).filter(|name| !name.is_empty());
        let names: Vec<Name<'_>> = names
            .filter(|name| known.insert(name.to_ascii_lowercase()))
            .map(Name::parse)
            .collect::<Result<_>>()?;
        if names.is_empty() {
            let error = Error::config("there is no repository: write `owner/name`");
            return Err(error.parameter("RepositoryName"));
        }
        Ok(names)
    }

    /// The nodes to import, each with its table and its columns.
    fn chosen(&self) -> Result<Vec<Selection<&'static str>>> {
        let nodes = [
            (REPOSITORY, fields::repository()),
            (CONTRIBUTORS, fields::contributors()),
            (STATS, Stats::stream()),
        ];
        select_fields(&self.fields, "Fields", self.tables.rename(nodes)?)
    }
}

/// A repository's owner and name.
#[derive(Debug, Clone, Copy)]
struct Name<'a> {
    owner: &'a str,
    name: &'a str,
}

impl<'a> Name<'a> {
    fn parse(text: &'a str) -> Result<Self> {
        let fits = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        match text.split_once('/') {
            Some((owner, name)) if fits(owner) && fits(name) => Ok(Self { owner, name }),
            _ => {
                let message =
                    format!("`{text}` is no repository: write `owner/name`, such as `rust-lang/rust`");
                Err(Error::config(message).parameter("RepositoryName"))
            }
        }
    }
}

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// The connector.
#[derive(Debug)]
pub struct GitHub;

impl Connector for GitHub {
    type Config = Settings;
    const NAME: &'static str = "github";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const TITLE: &'static str = "GitHub";
    const DESCRIPTION: &'static str =
        "Imports repositories, their contributors, and what they count each day, from GitHub.";
    const DOCUMENTATION_URL: Option<&'static str> = Some("https://docs.github.com/en/rest");
    const NETWORK: &'static [&'static str] = &["https://api.github.com"];

    fn streams(config: &Settings) -> Result<Vec<Stream>> {
        config.repositories()?;
        Ok(config.chosen()?.into_iter().map(|chosen| chosen.stream).collect())
    }

    fn http(config: &Settings, client: http::Client) -> http::Client {
        api::client(config, client)
    }

    fn check(ctx: &mut Context<Settings>) -> Result<()> {
        for name in ctx.config().repositories()? {
            api::repository(ctx, name).fetch().with_context(|| name)?;
        }
        Ok(())
    }

    fn run(ctx: &mut Context<Settings>) -> Result<()> {
        let config = ctx.config();
        let repositories = config.repositories()?;
        let tables = Tables::open(ctx)?;
        if tables.stats && ctx.run().kind() == RunType::FullRefresh {
            warn!("a full refresh replaces the counts of earlier days, which GitHub does not tell again");
        }
        if let [name] = repositories.as_slice() {
            return import(ctx, &tables, *name).with_context(|| name);
        }
        let mut failures = Failures::new();
        for (done, name) in (1..).zip(&repositories) {
            failures.attempt(name, || import(ctx, &tables, *name))?;
            ctx.progress(done, repositories.len() as u64, "repositories");
        }
        failures.finish()
    }
}

/// What is to be written, and where.
struct Tables {
    repository: Option<Table>,
    contributors: Option<Table>,
    stats: bool,
    /// Whether the contributors have to be fetched.
    counts: bool,
}

impl Tables {
    /// Opens the tables of the chosen nodes.
    fn open(ctx: &mut Context<Settings>) -> Result<Self> {
        let mut tables = Self { repository: None, contributors: None, stats: false, counts: false };
        for chosen in ctx.config().chosen()? {
            tables.counts |= chosen.node == CONTRIBUTORS;
            tables.counts |= chosen.node == STATS && chosen.fields.iter().any(|name| name == "contributors");
            let open = chosen.open();
            match chosen.node {
                REPOSITORY => tables.repository = Some(ctx.open_stream(chosen.stream, fields::place(open))?),
                CONTRIBUTORS => tables.contributors = Some(ctx.open_stream(chosen.stream, open)?),
                _ => {
                    ctx.open::<Stats<'_>>(open)?;
                    tables.stats = true;
                }
            }
        }
        Ok(tables)
    }
}

/// What is looked at in a repository, beside what is written as it stands there.
#[derive(Deserialize)]
struct Repository {
    id: u64,
    full_name: String,
    stargazers_count: Option<i64>,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
    pushed_at: Option<Timestamp>,
}

/// Imports one repository and commits it.
fn import(ctx: &mut Context<Settings>, tables: &Tables, name: Name<'_>) -> Result<()> {
    let page = api::repository(ctx, name).fetch()?;
    let repository: Repository = page.value()?;
    if let Some(table) = tables.repository {
        let day = |moment: Option<Timestamp>| moment.map_or(Cell::Null, |moment| Cell::Date(moment.date()));
        let days = [
            ("created_at", day(repository.created_at)),
            ("updated_at", day(repository.updated_at)),
            ("pushed_at", day(repository.pushed_at)),
        ];
        ctx.write_object_with(table, page.text()?, &days)?;
    }
    let contributors = if tables.counts { Some(people(ctx, tables, name, &repository)?) } else { None };
    if tables.stats {
        ctx.write(&Stats {
            date: ctx.run().today(),
            repository_id: &repository.id.to_string(),
            repository: &repository.full_name,
            stars: repository.stargazers_count,
            contributors,
        })?;
    }
    ctx.commit()
}

/// Writes the contributors if they are wanted; answers how many they are.
fn people(
    ctx: &mut Context<Settings>,
    tables: &Tables,
    name: Name<'_>,
    repository: &Repository,
) -> Result<i64> {
    let id = repository.id.to_string();
    let given =
        [("repository_id", Cell::Text(&id)), ("repository", Cell::Text(repository.full_name.as_str()))];
    let mut count = 0;
    for page in api::contributors(ctx, name).pages(http::LinkHeader::new()) {
        let page = page?;
        if page.status() == 204 {
            break; // A repository without a commit.
        }
        match tables.contributors {
            Some(table) => {
                count += i64::try_from(ctx.write_page(table, &page, "", &given)?).unwrap_or(i64::MAX)
            }
            None => {
                for person in page.records::<IgnoredAny>("")? {
                    person?;
                    count += 1;
                }
            }
        }
    }
    Ok(count)
}

ow_connector::export!(GitHub);
