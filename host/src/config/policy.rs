//! The policy file: ceilings of an organisation that no configuration and no
//! flag can exceed. What each means for a run, `run::ceilings` says.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::{Map, Value, json};

use super::file::Reader;
use super::json;
use super::problem::{ConfigProblems, Place, Problem, found};
use super::schema::DRAFT;
use crate::isolation::Isolation;
use crate::sandbox::mount::Access;
use crate::sandbox::{LimitOverrides, Origin, limits};
use crate::storage::registry;

/// Keys of the file's object.
const KEYS: &[&str] = &[
    "$schema",
    "description",
    "limits",
    "allow_net",
    "deny_network",
    "mounts",
    "reveal_secrets",
    "require_signature",
    "sha256",
    "storages",
    "isolation",
    "redact_rows",
];

/// A folder whose content may be mounted: `DIR`, `DIR:ro` or `DIR:rw`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountCeiling {
    /// The folder; folders in it may be mounted too.
    pub folder: PathBuf,
    /// The most that a guest may do in it.
    pub access: Access,
}

impl fmt::Display for MountCeiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match self.access {
            Access::ReadOnly => "ro",
            Access::ReadWrite => "rw",
        };
        write!(f, "{}:{access}", self.folder.display())
    }
}

impl FromStr for MountCeiling {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (folder, access) = match text.rsplit_once(':') {
            Some((folder, "ro")) => (folder, Access::ReadOnly),
            Some((folder, "rw")) => (folder, Access::ReadWrite),
            _ => (text, Access::ReadOnly),
        };
        if folder.is_empty() {
            return Err(format!("'{text}' names no folder: write DIR, DIR:ro or DIR:rw"));
        }
        if folder.contains(":/") {
            return Err(format!(
                "'{text}' names a guest path, but a policy is about folders of the host: write DIR, DIR:ro or DIR:rw"
            ));
        }
        Ok(Self { folder: folder.into(), access })
    }
}

/// Which secrets a connector may get in clear.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RevealCeiling {
    /// Those that the operator grants.
    #[default]
    Any,
    /// These of them; none if it is empty.
    Only(Vec<String>),
}

/// A policy that has been read. What it does not mention it does not bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// The file, for messages.
    pub file: PathBuf,
    /// The most that each limit may be.
    pub limits: LimitOverrides,
    /// Origins, each of which or a part of which may be granted.
    pub allow_net: Option<Vec<Origin>>,
    /// No origin may be granted.
    pub deny_network: bool,
    /// Folders that may be mounted, and those in them.
    pub mounts: Option<Vec<MountCeiling>>,
    /// Secrets that may be given in clear.
    pub reveal_secrets: RevealCeiling,
    /// Public keys (PEM), one of which must have signed the component; none: no
    /// signature is asked for.
    pub require_signature: Vec<PathBuf>,
    /// SHA-256 of the components that may run, in lower-case hex digits.
    pub sha256: Option<Vec<String>>,
    /// Storages that rows may go to, by their own names.
    pub storages: Option<Vec<String>>,
    /// The least strict isolation that a guest may run in.
    pub isolation: Isolation,
    /// Secret values are redacted in rows too.
    pub redact_rows: bool,
}

impl Policy {
    /// Reads a policy file. Relative paths in it start at its folder.
    ///
    /// # Errors
    ///
    /// If it cannot be read, others than this user and root could have written
    /// it or the keys it names, or something in it is wrong: every problem.
    pub fn load(path: &Path) -> Result<Self, ConfigProblems> {
        let fail = |problem| ConfigProblems::one(Some(path), problem);
        let text = open_guarded(path).and_then(json::read_open).map_err(fail)?;
        let base_dir = path.parent().unwrap_or(Path::new(""));
        let policy = Self::parse(&text, base_dir, path)?;
        for key in &policy.require_signature {
            let told = |problem: Problem| Problem {
                place: format!("require_signature: {}", key.display()),
                ..problem
            };
            open_guarded(key).map_err(|problem| fail(told(problem)))?;
        }
        Ok(policy)
    }

    /// Reads a policy from its text; `file` is for messages. Relative paths in it
    /// start at `base_dir`.
    ///
    /// # Errors
    ///
    /// Every problem of it.
    pub fn parse(text: &str, base_dir: &Path, file: &Path) -> Result<Self, ConfigProblems> {
        let fail = |problems| ConfigProblems { file: Some(file.to_owned()), problems };
        let value = json::parse(text).map_err(fail)?;
        let mut reader = Reader::new(base_dir);
        match reader.policy(value) {
            Some(policy) if reader.problems.is_empty() => Ok(Self { file: file.to_owned(), ..policy }),
            _ => Err(fail(reader.problems)),
        }
    }

    /// The policy without what it says of storages, for a look at rows that go
    /// nowhere.
    #[must_use]
    pub fn without_storages(&self) -> Self {
        Self { storages: None, ..self.clone() }
    }
}

impl Reader<'_> {
    fn policy(&mut self, value: Value) -> Option<Policy> {
        let top = Place::default();
        let mut object = self.object(&top, value, "{ \"limits\": { … }, \"allow_net\": [ … ] }")?;
        self.unknown_keys(&top, &object, KEYS, &[]);
        for key in ["$schema", "description"] {
            self.optional_text(&top, &mut object, key);
        }
        let base_dir = self.base_dir;
        let mounts: Option<Vec<MountCeiling>> =
            self.ceiling(&mut object, "mounts", "[\"/srv/data\", \"/srv/out:rw\"]");
        let mounts = mounts.map(|mounts| {
            let from_base =
                |mount: MountCeiling| MountCeiling { folder: base_dir.join(mount.folder), ..mount };
            mounts.into_iter().map(from_base).collect()
        });
        Some(Policy {
            file: PathBuf::new(),
            limits: self.ceilings_of_limits(object.remove("limits")),
            allow_net: self.ceiling(&mut object, "allow_net", "[\"https://api.example.com\"]"),
            deny_network: self.flag(&top, &mut object, "deny_network"),
            mounts,
            reveal_secrets: self.reveal_ceiling(&mut object),
            require_signature: self.signature_keys(&mut object),
            sha256: self.digests(&mut object),
            storages: self.storages(&mut object),
            isolation: self.least_isolation(&mut object),
            redact_rows: self.flag(&top, &mut object, "redact_rows"),
        })
    }

    /// A list that bounds something if it is there, even if it is empty.
    fn ceiling<T: FromStr<Err: fmt::Display>>(
        &mut self,
        object: &mut Map<String, Value>,
        key: &str,
        example: &str,
    ) -> Option<Vec<T>> {
        let there = object.get(key).is_some_and(|value| !value.is_null());
        let items = self.texts(&Place::default(), object, key, false, example);
        there.then_some(items)
    }

    fn ceilings_of_limits(&mut self, value: Option<Value>) -> LimitOverrides {
        let Some(value) = value.filter(|value| !value.is_null()) else { return LimitOverrides::default() };
        let place = Place::of("limits");
        let Some(object) = self.object(&place, value, "{ \"memory\": \"1GiB\" }") else {
            return LimitOverrides::default();
        };
        self.unknown_keys(&place, &object, limits::KEYS, &[]);
        self.limits(&place, object)
    }

    fn reveal_ceiling(&mut self, object: &mut Map<String, Value>) -> RevealCeiling {
        match object.get("reveal_secrets") {
            None | Some(Value::Null | Value::Bool(true)) => RevealCeiling::Any,
            Some(Value::Bool(false)) => RevealCeiling::Only(Vec::new()),
            Some(_) => {
                let names = self.ceiling(object, "reveal_secrets", "true, false or [\"ApiSecret\"]");
                RevealCeiling::Only(names.unwrap_or_default())
            }
        }
    }

    fn signature_keys(&mut self, object: &mut Map<String, Value>) -> Vec<PathBuf> {
        let known = self.problems.len();
        let keys: Option<Vec<PathBuf>> = self.ceiling(object, "require_signature", "[\"public.pem\"]");
        if keys.as_ref().is_some_and(Vec::is_empty) && self.problems.len() == known {
            let problem = Problem::new("require_signature", "names no key, so that nothing could ever run");
            self.problems.push(problem.hint("write [\"public.pem\"], or leave the key out"));
        }
        keys.unwrap_or_default().into_iter().map(|key| self.base_dir.join(key)).collect()
    }

    fn digests(&mut self, object: &mut Map<String, Value>) -> Option<Vec<String>> {
        let digests: Vec<String> = self.ceiling(object, "sha256", "[\"…\"]")?;
        let place = Place::of("sha256");
        for (index, digest) in digests.iter().enumerate() {
            self.check_digest(place.index(index), digest);
        }
        Some(digests.into_iter().map(|digest| digest.to_ascii_lowercase()).collect())
    }

    fn storages(&mut self, object: &mut Map<String, Value>) -> Option<Vec<String>> {
        let names: Vec<String> = self.ceiling(object, "storages", "[\"Postgres\"]")?;
        let place = Place::of("storages");
        let mut known = Vec::new();
        for (index, name) in names.iter().enumerate() {
            match registry::canonical_name(name) {
                Ok(name) => known.push(name.to_owned()),
                Err(error) => self.problems.push(Problem::new(place.index(index), error.to_string())),
            }
        }
        Some(known)
    }

    fn least_isolation(&mut self, object: &mut Map<String, Value>) -> Isolation {
        let wrong = match object.remove("isolation") {
            None | Some(Value::Null) => return Isolation::default(),
            Some(Value::String(text)) => match text.parse() {
                Ok(isolation) => return isolation,
                Err(wrong) => wrong,
            },
            Some(other) => format!("expected a text, found {}", found(&other, false)),
        };
        self.problems.push(Problem::new("isolation", wrong));
        Isolation::default()
    }
}

/// Opens a file of which this run's safety depends: only this user and root may
/// be able to change or replace it.
fn open_guarded(path: &Path) -> Result<std::fs::File, Problem> {
    let unreadable =
        |error: std::io::Error| Problem::new("", format!("cannot be read: {}", json::reason(&error)));
    let real = path.canonicalize().map_err(unreadable)?;
    let file = std::fs::File::open(&real).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(unreadable(std::io::ErrorKind::IsADirectory.into()));
    }
    let others_can = |metadata: &std::fs::Metadata| {
        let owner = metadata.uid();
        let foreign = owner != 0 && owner != rustix::process::geteuid().as_raw();
        foreign || metadata.mode() & 0o022 != 0
    };
    if others_can(&metadata) {
        return Err(Problem::new("", "other users can change this file, so that it bounds nothing")
            .hint("give it to root or to yourself, and take writing from the others with `chmod go-w`"));
    }
    let folder = real.parent().unwrap_or(Path::new("/"));
    let folder_metadata = folder.metadata().map_err(unreadable)?;
    // In a sticky folder, such as /tmp, nobody replaces the file of another.
    if others_can(&folder_metadata) && folder_metadata.mode() & 0o1000 == 0 {
        let wrong = format!("other users can replace this file: they may write in {}", folder.display());
        return Err(Problem::new("", wrong).hint("move it to a folder that only root or you can write in"));
    }
    Ok(file)
}

/// The JSON Schema of the policy file.
#[must_use]
pub fn policy_schema() -> Value {
    use schemars::JsonSchema as _;
    let mut generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    let origin = generator.subschema_for::<Origin>().to_value();
    let limits = LimitOverrides::json_schema(&mut generator).to_value();
    let text = || json!({"type": "string", "pattern": "\\S"});
    let list =
        |item: Value, words: &str| json!({"type": ["array", "null"], "items": item, "description": words});
    let flag = |words: &str| json!({"type": ["boolean", "null"], "description": words});
    let note = |words: &str| json!({"type": ["string", "null"], "pattern": "\\S", "description": words});
    let mount = json!({
        "type": "string", "pattern": "\\S",
        "description": "A folder: DIR, DIR:ro or DIR:rw; a relative one starts at the folder of this file.",
    });
    let digest = json!({"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"});
    let mut keys = list(text(), "Public keys of Ed25519 (PEM), one of which must have signed the component.");
    if let Some(keys) = keys.as_object_mut() {
        keys.insert("minItems".into(), 1.into());
    }
    let mut isolations: Vec<Value> = Isolation::ALL.map(|kind| kind.name().into()).into();
    isolations.push(Value::Null);
    json!({
        "$schema": DRAFT,
        "title": "ow-host policy",
        "description": "What no configuration and no flag can exceed. What is left out is not bounded.",
        "type": "object",
        "properties": {
            "$schema": note("The schema of this file, for editors."),
            "description": note("For people."),
            "limits": {
                "type": ["object", "null"],
                "description": "The most that each limit may be.",
                "properties": limits.get("properties"),
                "additionalProperties": false,
            },
            "allow_net": list(origin, "Origins that may be granted; a grant must lie within one of them."),
            "deny_network": flag("No origin may be granted."),
            "mounts": list(mount, "Folders that may be mounted, and those in them; read-only unless they say rw."),
            "reveal_secrets": {
                "anyOf": [{"type": ["boolean", "null"]}, {"type": "array", "items": text()}],
                "description": "Whether secrets may be given to a connector in clear, or which.",
            },
            "require_signature": keys,
            "sha256": list(digest, "SHA-256 of the components that may run."),
            "storages": list(text(), "Storages that rows may go to."),
            "isolation": {"enum": isolations, "description": "The least strict isolation that a connector may run in."},
            "redact_rows": flag("Secret values are redacted in rows too."),
        },
        "additionalProperties": false,
        "$defs": generator.take_definitions(true),
        "examples": [example()],
    })
}

fn example() -> Value {
    json!({
        "description": "Production marts",
        "limits": {"memory": "1GiB", "timeout": "2h"},
        "allow_net": ["https://api.example.com", "*.data.example.com"],
        "mounts": ["/srv/data", "/srv/out:rw"],
        "reveal_secrets": false,
        "require_signature": ["/etc/ow-host/release.pem"],
        "storages": ["Postgres"],
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::sandbox::ByteSize;

    fn parse(text: &str) -> Result<Policy, ConfigProblems> {
        Policy::parse(text, Path::new("/etc/ow"), Path::new("policy.json"))
    }

    #[test]
    fn a_policy_is_read_and_what_it_leaves_out_is_not_bounded() {
        assert_eq!(parse("{}").unwrap(), Policy { file: "policy.json".into(), ..Policy::default() });
        let policy = parse(
            r#"{"limits": {"memory": "1GiB", "handles": 5}, "allow_net": [], "deny_network": true,
                "mounts": ["data", "/srv/out:rw"], "reveal_secrets": ["Key"], "require_signature": ["a.pem"],
                "sha256": ["AB00000000000000000000000000000000000000000000000000000000000000"],
                "storages": ["GOOGLE_BIGQUERY", "Sqlite"], "isolation": "process", "redact_rows": true}"#,
        )
        .unwrap();
        assert_eq!((policy.limits.memory, policy.limits.handles), (Some(ByteSize::gib(1)), Some(5)));
        assert_eq!(policy.allow_net, Some(vec![]));
        let mounts: Vec<String> = policy.mounts.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(mounts, ["/etc/ow/data:ro", "/srv/out:rw"]);
        assert_eq!(policy.reveal_secrets, RevealCeiling::Only(vec!["Key".into()]));
        assert_eq!(policy.require_signature, [Path::new("/etc/ow/a.pem")]);
        assert!(policy.sha256.unwrap()[0].starts_with("ab00"));
        assert_eq!(policy.storages.unwrap(), ["GoogleBigQuery", "Sqlite"]);
        assert_eq!(policy.isolation, Isolation::Process);
        assert!(policy.deny_network && policy.redact_rows);
        let reveal = |text: &str| parse(text).unwrap().reveal_secrets;
        assert_eq!(reveal(r#"{"reveal_secrets": false}"#), RevealCeiling::Only(vec![]));
        assert_eq!(reveal(r#"{"reveal_secrets": true}"#), RevealCeiling::Any);
    }

    #[test]
    fn every_mistake_is_told() {
        let problems = parse(
            r#"{"limit": {}, "limits": {"memory": "much", "memroy": "1GiB"}, "allow_net": ["*", 5], "mounts": ["/a:/b:ro", ":rw"],
                "reveal_secrets": "all", "require_signature": [], "sha256": ["abc"],
                "isolation": "proces", "deny_network": "yes"}"#,
        );
        insta::assert_snapshot!(problems.unwrap_err(), @r#"
        policy.json: 12 problems
          limit: no such key; did you mean 'limits'?
          mounts[0]: '/a:/b:ro' names a guest path, but a policy is about folders of the host: write DIR, DIR:ro or DIR:rw
          mounts[1]: ':rw' names no folder: write DIR, DIR:ro or DIR:rw
          limits.memroy: no such key; did you mean 'memory'?
          limits.memory: 'much' is no size: write a number and a unit, such as '64KiB', '256MiB' or '1GiB'
          allow_net[0]: '*' would let the connector send data to anybody: name the hosts, or a domain as *.example.com
          allow_net[1]: expected a text, found the number 5
          deny_network: expected true or false, found the text 'yes'; write true or false without quotes
          reveal_secrets: expected a list of texts, found the text 'all'; write true, false or ["ApiSecret"]
          require_signature: names no key, so that nothing could ever run; write ["public.pem"], or leave the key out
          sha256[0]: expected 64 hex digits, found 3 characters; write what 'ow-host inspect' or 'sha256sum' prints
          isolation: there is no isolation 'proces': write one of 'none', 'process'
        "#);
        // The rest of its message are the storages that there are.
        let problem = parse(r#"{"storages": ["Sqlit"]}"#).unwrap_err().problems.remove(0);
        assert_eq!(problem.place, "storages[0]");
        assert!(problem.message.contains("there is no storage `Sqlit`; did you mean `Sqlite`?"), "{problem}");
    }

    #[test]
    fn the_parser_and_the_schema_agree() {
        let schema = policy_schema();
        let validator = super::super::spec::validator(&schema).unwrap();
        let example = schema["examples"][0].to_string();
        for text in [
            "{}",
            &example,
            r#"{"limits": null, "allow_net": null, "mounts": null, "isolation": null, "deny_network": null}"#,
            r#"{"limits": {"memory": 5}}"#,
            r#"{"limits": {"tables": -1}}"#,
            r#"{"limits": {"tabels": 1}}"#,
            r#"{"limits": []}"#,
            r#"{"allow_net": "https://a.example"}"#,
            r#"{"reveal_secrets": true}"#,
            r#"{"reveal_secrets": ["A"]}"#,
            r#"{"reveal_secrets": "A"}"#,
            r#"{"require_signature": []}"#,
            r#"{"require_signature": ["a.pem"]}"#,
            r#"{"sha256": ["abc"]}"#,
            r#"{"isolation": "process"}"#,
            r#"{"isolation": "some"}"#,
            r#"{"redact_rows": 1}"#,
            r#"{"ceiling": 1}"#,
            "[]",
        ] {
            let value = serde_json::from_str(text).unwrap();
            assert_eq!(validator.is_valid(&value), parse(text).is_ok(), "{text}");
        }
        for key in limits::KEYS {
            assert!(schema["properties"]["limits"]["properties"][key]["description"].is_string(), "{key}");
        }
        let keys: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), KEYS.len());
        assert!(keys.iter().all(|key| KEYS.contains(&key.as_str())));
    }

    #[test]
    fn a_policy_that_others_can_change_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode: u32| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let told = |path: &Path| {
            let problems = Policy::load(path).unwrap_err();
            problems.problems[0].to_string().replace(&folder.path().display().to_string(), "[FOLDER]")
        };
        let path = folder.path().join("policy.json");
        fs::write(&path, "{}").unwrap();
        mode(&path, 0o644);
        Policy::load(&path).unwrap();
        for writable in [0o664, 0o646] {
            mode(&path, writable);
            assert!(told(&path).starts_with("other users can change this file"), "{writable:o}");
        }
        mode(&path, 0o600);
        mode(folder.path(), 0o777);
        assert!(told(&path).starts_with("other users can replace this file: they may write in [FOLDER]"));
        mode(folder.path(), 0o1777);
        Policy::load(&path).unwrap();
        mode(folder.path(), 0o700);
        // A link is as good as what it leads to.
        let link = folder.path().join("link.json");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        Policy::load(&link).unwrap();
        mode(&path, 0o666);
        assert!(told(&link).starts_with("other users can change this file"));
        // So are the keys that it names.
        mode(&path, 0o600);
        fs::write(&path, r#"{"require_signature": ["key.pem"]}"#).unwrap();
        let key = folder.path().join("key.pem");
        assert_eq!(told(&path), "require_signature: [FOLDER]/key.pem: cannot be read: there is no such file");
        fs::write(&key, "").unwrap();
        mode(&key, 0o666);
        assert!(
            told(&path).starts_with("require_signature: [FOLDER]/key.pem: other users can change this file")
        );
        mode(&key, 0o644);
        Policy::load(&path).unwrap();
        assert_eq!(told(folder.path()), "cannot be read: it is a folder");
    }
}
