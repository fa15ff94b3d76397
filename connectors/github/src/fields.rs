//! The tables: each column with its type, its description, and where it is found.

use DataType::{Boolean, Date as Day, Int64, Text};
use ow_connector::prelude::*;

/// What `Fields` calls the repositories.
pub(crate) const REPOSITORY: &str = "repository";

/// What `Fields` calls the contributors.
pub(crate) const CONTRIBUTORS: &str = "contributors";

/// What `Fields` calls the counts.
pub(crate) const STATS: &str = "repositoryStats";

/// The columns of a repository. `!` marks those that always have a value.
const REPOSITORY_COLUMNS: [(&str, DataType, &str); 42] = [
    ("id!", Text, "The repository's id."),
    ("node_id", Text, "Its id in GitHub's GraphQL API."),
    ("name!", Text, "Its name."),
    ("full_name!", Text, "Its owner and name."),
    ("private", Boolean, "Whether only some people see it."),
    ("owner_login", Text, "The name of the account that owns it."),
    ("owner_id", Text, "The id of that account."),
    ("owner_type", Text, "`User` or `Organization`."),
    ("html_url", Text, "Where people look at it."),
    ("description", Text, "What it says of itself."),
    ("fork", Boolean, "Whether it was made from another one."),
    ("created_at", Day, "The day on which it was made, in UTC."),
    ("updated_at", Day, "The day on which it last changed, in UTC."),
    ("pushed_at", Day, "The day of the last push, in UTC."),
    ("homepage", Text, "Its home page."),
    ("size", Int64, "Its size in KB."),
    ("stargazers_count", Int64, "People who starred it."),
    ("watchers_count", Int64, "The same, as GitHub counts it twice."),
    ("language", Text, "The language that most of it is written in."),
    ("forks_count", Int64, "Its forks."),
    ("open_issues_count", Int64, "Open issues and pull requests."),
    ("license_key", Text, "The key of its licence, such as `mit`."),
    ("license_name", Text, "The name of its licence."),
    ("topics", Text, "Its topics: a JSON list of texts."),
    ("has_issues", Boolean, "Whether it has issues."),
    ("has_projects", Boolean, "Whether it has projects."),
    ("has_downloads", Boolean, "Whether it has downloads."),
    ("has_wiki", Boolean, "Whether it has a wiki."),
    ("has_pages", Boolean, "Whether it has pages."),
    ("has_discussions", Boolean, "Whether it has discussions."),
    ("archived", Boolean, "Whether it can only be read."),
    ("disabled", Boolean, "Whether GitHub switched it off."),
    ("visibility", Text, "`public`, `private` or `internal`."),
    ("default_branch", Text, "The name of its default branch."),
    ("allow_forking", Boolean, "Whether forks may be made."),
    ("is_template", Boolean, "Whether others may be made of it."),
    ("web_commit_signoff_required", Boolean, "Whether commits on the web have to be signed off."),
    ("forks", Int64, "The same as `forks_count`."),
    ("open_issues", Int64, "The same as `open_issues_count`."),
    ("watchers", Int64, "The same as `watchers_count`."),
    ("network_count", Int64, "Repositories in its network of forks."),
    ("subscribers_count", Int64, "People who are told of what happens in it."),
];

/// The columns that the API has in objects.
const REPOSITORY_PLACES: [(&str, &str); 5] = [
    ("owner_login", "/owner/login"),
    ("owner_id", "/owner/id"),
    ("owner_type", "/owner/type"),
    ("license_key", "/license/key"),
    ("license_name", "/license/name"),
];

/// The columns of a contributor.
const CONTRIBUTOR_COLUMNS: [(&str, DataType, &str); 11] = [
    ("id!", Text, "The contributor's id."),
    ("repository_id!", Text, "The id of the repository."),
    ("repository!", Text, "Owner and name of the repository."),
    ("login", Text, "The contributor's name."),
    ("node_id", Text, "The id in GitHub's GraphQL API."),
    ("avatar_url", Text, "Where the picture stands."),
    ("gravatar_id", Text, "The id of the picture at Gravatar."),
    ("html_url", Text, "Where people look at the account."),
    ("type", Text, "Such as `User` or `Bot`."),
    ("site_admin", Boolean, "Whether it is one of GitHub's staff."),
    ("contributions", Int64, "Commits in the default branch."),
];

/// What a repository counts on a day.
#[derive(Record)]
#[record(stream = "github_repository_stats", primary_key = ["date", "repository_id"], partition = "date")]
pub(crate) struct Stats<'a> {
    /// The day of the run, in UTC.
    pub(crate) date: Date,
    /// The repository's id.
    pub(crate) repository_id: &'a str,
    /// Its owner and name.
    pub(crate) repository: &'a str,
    /// People who starred it.
    pub(crate) stars: Option<i64>,
    /// People who contributed to it, as far as GitHub knows their accounts.
    pub(crate) contributors: Option<i64>,
}

/// The repositories' table.
pub(crate) fn repository() -> Stream {
    table("github_repository", "Repositories, as they are now.", &REPOSITORY_COLUMNS).primary_key(["id"])
}

/// The contributors' table.
pub(crate) fn contributors() -> Stream {
    table("github_contributors", "Who contributed how much to a repository.", &CONTRIBUTOR_COLUMNS)
        .primary_key(["id", "repository_id"])
}

/// Tells where a repository's columns are found.
pub(crate) fn place(open: Open) -> Open {
    REPOSITORY_PLACES.iter().fold(open, |open, (name, place)| open.place(*name, *place))
}

fn table(name: &str, description: &str, columns: &[(&str, DataType, &str)]) -> Stream {
    columns.iter().fold(Stream::new(name).describe(description), |stream, (name, data_type, description)| {
        let field = match name.strip_suffix('!') {
            Some(name) => Field::new(name, *data_type),
            None => Field::new(*name, *data_type).nullable(),
        };
        stream.field(field.describe(*description))
    })
}
