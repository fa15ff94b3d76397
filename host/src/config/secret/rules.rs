//! What the operator says of secrets: where each may go, what may be shown, and
//! what becomes of rows that hold one.

use std::collections::BTreeMap;

use super::Secrets;
use crate::config::problem::{ConfigProblems, Problem, clip, list, nearest};
use crate::sandbox::Origin;

/// What secrets are called that a server gives in exchange for others: members of
/// its answer (RFC 6749 section 5.1, OpenID Connect Core section 3.1.3.3).
pub const TOKENS: &[&str] = &["access_token", "refresh_token", "id_token"];

/// Rules for the secrets of a run, from the configuration's `sandbox` section and
/// from flags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecretRules {
    /// The only origins that a secret goes to, by its name. Others go to every
    /// origin that is granted and encrypted.
    pub origins: BTreeMap<String, Vec<Origin>>,
    /// Secrets that the connector may see in answers.
    pub allow_echo: Vec<String>,
    /// Tokens that a server gives are shown to the connector.
    pub reveal_tokens: bool,
    /// Values in rows and state are replaced by `***`.
    pub redact_rows: bool,
}

/// Flags about secrets.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SecretFlags {
    /// Let this secret go to this origin only. Repeat it for more origins and
    /// secrets; adds to the configuration's `sandbox.secret_origins`. An origin
    /// with `http://` lets it go there unencrypted.
    #[arg(long, value_name = "NAME=ORIGIN", value_parser = parse_binding)]
    pub secret_origin: Vec<(String, Origin)>,
    /// Let the connector see this secret where an answer holds it; without it a
    /// placeholder stands there. For values that are ordinary data too. Repeat it
    /// or separate by commas; adds to the configuration's `sandbox.allow_echo`.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub allow_echo: Vec<String>,
    /// Give the connector the tokens that a server grants it in clear; without it
    /// the connector sees placeholders.
    #[arg(long)]
    pub reveal_tokens: bool,
    /// Replace the values of secrets in rows and state by `***`.
    #[arg(long)]
    pub redact_rows: bool,
}

/// `NAME=ORIGIN`.
fn parse_binding(text: &str) -> Result<(String, Origin), String> {
    let (name, origin) = text
        .split_once('=')
        .filter(|(name, _)| !name.trim().is_empty())
        .ok_or_else(|| "write NAME=ORIGIN, such as AccessToken=https://api.example.com".to_owned())?;
    Ok((name.to_owned(), origin.parse()?))
}

impl SecretRules {
    /// The section with the flags over it: lists add up.
    #[must_use]
    pub fn merged(mut self, flags: SecretFlags) -> Self {
        for (name, origin) in flags.secret_origin {
            let origins = self.origins.entry(name).or_default();
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
        for name in flags.allow_echo {
            if !self.allow_echo.contains(&name) {
                self.allow_echo.push(name);
            }
        }
        self.reveal_tokens |= flags.reveal_tokens;
        self.redact_rows |= flags.redact_rows;
        self
    }

    /// Whether every name is that of a secret of this run: a misspelt rule would
    /// protect nothing, without a word.
    ///
    /// # Errors
    ///
    /// Each name that is not, or that the connector sees in clear anyway.
    pub(crate) fn check(&self, secrets: &Secrets, revealed: &[String]) -> Result<(), ConfigProblems> {
        let mut known: Vec<String> = secrets.iter().map(|secret| secret.name.clone()).collect();
        known.extend(TOKENS.iter().map(|name| (*name).to_owned()));
        known.sort_unstable();
        known.dedup();
        let places = self.origins.keys().map(|name| ("secret origins", name));
        let places = places.chain(self.allow_echo.iter().map(|name| ("allow echo", name)));
        let problems = places.filter(|(_, name)| !known.contains(name)).map(|(place, name)| {
            if revealed.contains(name) {
                let wrong = format!(
                    "the connector sees the secret '{}' in clear and can send it to any granted origin",
                    clip(name)
                );
                return Problem::new(place, wrong).hint("remove the rule, or do not reveal the secret");
            }
            let wrong = format!("this configuration has no secret '{}'", clip(name));
            let near = nearest(name, known.iter().map(String::as_str));
            Problem::new(place, wrong).hint(match near {
                Some(near) => format!("did you mean '{}'?", clip(near)),
                None => format!("it has {}", list(known.iter().map(String::as_str))),
            })
        });
        ConfigProblems::check(None, problems.collect())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        flags: SecretFlags,
    }

    fn flags(args: &[&str]) -> SecretFlags {
        Cli::try_parse_from(std::iter::once(&"ow-host").chain(args)).unwrap().flags
    }

    fn binding(name: &str, origins: &[&str]) -> (String, Vec<Origin>) {
        (name.to_owned(), origins.iter().map(|origin| origin.parse().unwrap()).collect())
    }

    #[test]
    fn flags_add_to_the_file() {
        let file = SecretRules {
            origins: [binding("Key", &["https://a.example"])].into(),
            allow_echo: vec!["User".into()],
            ..SecretRules::default()
        };
        let flags = flags(&[
            "--secret-origin",
            "Key=https://b.example",
            "--secret-origin",
            "Key=https://a.example",
            "--secret-origin",
            "access_token=http://10.0.0.1:8080",
            "--allow-echo",
            "User,Account",
            "--redact-rows",
        ]);
        let merged = file.merged(flags);
        let origins = [
            binding("Key", &["https://a.example", "https://b.example"]),
            binding("access_token", &["http://10.0.0.1:8080"]),
        ];
        assert_eq!(merged.origins, origins.into());
        assert_eq!(merged.allow_echo, ["User", "Account"]);
        assert_eq!((merged.redact_rows, merged.reveal_tokens), (true, false));
    }

    #[test]
    fn a_binding_that_is_none_says_what_to_write() {
        for (text, expected) in [
            ("Key", "write NAME=ORIGIN"),
            ("=https://a.example", "write NAME=ORIGIN"),
            ("Key=https://a.example/v1", "write https://a.example"),
            ("Key=*", "name the hosts"),
        ] {
            let message = parse_binding(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn a_rule_for_no_secret_is_a_mistake() {
        let mut secrets = Secrets::new();
        secrets.add("AuthType.oauth2.AccessToken", "s3cret-value");
        let rules = SecretRules {
            origins: [
                binding("AuthType.oauth2.AccesToken", &["https://a.example"]),
                binding("refresh_token", &["https://a.example"]),
                binding("SigningKey", &["https://a.example"]),
            ]
            .into(),
            allow_echo: vec!["Zzz".into(), "AuthType.oauth2.AccessToken".into()],
            ..SecretRules::default()
        };
        let problems = rules.check(&secrets, &["SigningKey".into()]).unwrap_err();
        insta::assert_snapshot!(problems.to_string(), @r"
        the configuration: 3 problems
          secret origins: this configuration has no secret 'AuthType.oauth2.AccesToken'; did you mean 'AuthType.oauth2.AccessToken'?
          secret origins: the connector sees the secret 'SigningKey' in clear and can send it to any granted origin; remove the rule, or do not reveal the secret
          allow echo: this configuration has no secret 'Zzz'; it has 'AuthType.oauth2.AccessToken', 'access_token', 'id_token', 'refresh_token'
        ");
    }
}
