//! Policies, and what a configuration or flags get under them.

use std::cell::OnceCell;
use std::path::Path;

use serde_json::{Value, json};

use super::config::{assert_told, is_valid};
use super::fits_a_line;
use super::input::Input;
use crate::FailureClass;
use crate::config::policy::{RevealCeiling, policy_schema};
use crate::config::{Config, Policy, SandboxConfig, SandboxFlags, SandboxGrants, StorageConfig};
use crate::isolation::Isolation;
use crate::run::ceilings::Ceilings;
use crate::sandbox::{ByteSize, ComponentFile, LimitOverrides, Limits, Origin};
use crate::storage::registry;

/// Origins that include each other, or nearly.
const ORIGINS: [&str; 16] = [
    "https://api.example.com",
    "https://api.example.com:8443",
    "http://api.example.com",
    "*.example.com",
    "https://*.example.com:8443",
    "*.api.example.com",
    "https://example.com",
    "https://notexample.com",
    "*.notexample.com",
    "localhost",
    "localhost:8080",
    "https://localhost:8080",
    "*.localhost",
    "10.0.0.1",
    "http://10.0.0.1",
    "[::1]:80",
];
const SECRETS: [&str; 3] = ["Key", "key", "Key.Token"];

/// What the connector asks for, and `--allow-requested` grants.
const REQUESTED: [&str; 2] = ["https://api.example.com", "http://localhost:8080"];

/// A policy, then perhaps `|` and the sandbox section of a configuration; or bytes of
/// which both are made. A policy that is accepted is one to its schema too;
/// what passes it lies within it, whether a file or flags ask; what does not pass is
/// never more; and of two policies each counts.
pub fn policy(bytes: &[u8]) {
    if !bytes.starts_with(b"{") {
        let mut input = Input::new(bytes);
        let (policy, sandbox) = (made_policy(&mut input), made_sandbox(&mut input));
        return under(&policy.to_string(), &sandbox.to_string());
    }
    let text = String::from_utf8_lossy(bytes);
    let (policy, sandbox) = text.split_once('|').unwrap_or((&text, "{}"));
    under(policy, sandbox);
}

fn made_policy(input: &mut Input<'_>) -> Value {
    json!({
        "limits": limits(input),
        "allow_net": some_of(input, &ORIGINS),
        "deny_network": input.below(6) == 0,
        "reveal_secrets": some_of(input, &SECRETS),
        "isolation": input.pick(&[None, Some("none"), Some("process")]),
    })
}

fn made_sandbox(input: &mut Input<'_>) -> Value {
    let mut sandbox = limits(input);
    sandbox["allow_net"] = some_of(input, &ORIGINS);
    sandbox["allow_requested"] = (input.below(6) == 0).into();
    sandbox["deny_network"] = (input.below(6) == 0).into();
    sandbox["reveal_secrets"] = some_of(input, &SECRETS);
    sandbox["isolation"] = input.pick(&[None, Some("none"), Some("process")]).into();
    sandbox
}

fn limits(input: &mut Input<'_>) -> Value {
    json!({
        "memory": input.pick(&[None, Some("1MiB"), Some("256MiB"), Some("1GiB")]),
        "timeout": input.pick(&[None, Some("1s"), Some("1h"), Some("90m")]),
        "tables": input.pick(&[None, Some(0), Some(999), Some(1_001)]),
    })
}

/// At most two of these, or nothing at all.
fn some_of(input: &mut Input<'_>, of: &[&str]) -> Value {
    match input.below(4) {
        0 => Value::Null,
        more => (1..more).map(|_| input.pick(of)).collect(),
    }
}

fn under(text: &str, sandbox: &str) {
    let policy = match Policy::parse(text, Path::new("/nowhere"), Path::new("policy.json")) {
        Ok(policy) => policy,
        Err(problems) => return assert_told(&problems),
    };
    thread_local!(static SCHEMA: OnceCell<jsonschema::Validator> = const { OnceCell::new() });
    assert!(is_valid(&SCHEMA, policy_schema, text), "the schema refuses what is accepted");
    storages(&policy);
    components(&policy);

    let asked = asked(sandbox);
    let (by_file, by_flags) = (SandboxFlags::default(), as_flags(&asked));
    let one = std::slice::from_ref(&policy);
    let (grants, passes) = granted(one, &asked, &by_file);
    lies_within(&policy, &asked, &grants, passes);
    for origin in &asked.allow_net {
        let alone = SandboxConfig { allow_net: vec![origin.clone()], ..SandboxConfig::default() };
        let (grants, passes) = granted(one, &alone, &by_file);
        lies_within(&policy, &alone, &grants, passes);
    }
    let (again, passes_again) = granted(one, &SandboxConfig::default(), &by_flags);
    assert_eq!((&again.limits, again.isolation, passes_again), (&grants.limits, grants.isolation, passes));

    let mut second = Policy::default();
    second.limits.memory = Some(ByteSize::mib(64));
    second.limits.tables = Some(10);
    second.isolation = Isolation::Process;
    let (_, second_passes) = granted(std::slice::from_ref(&second), &asked, &by_file);
    let (less, both_pass) = granted(&[policy, second], &asked, &by_file);
    assert_eq!(overrides(&less.limits).above(&overrides(&grants.limits)), []);
    assert_eq!(both_pass, passes && second_passes, "each policy counts");
    assert_eq!(less.isolation, Isolation::Process);
}

/// What a sandbox section asks for; nothing if it is none. Without folders, which
/// are those of this machine.
fn asked(sandbox: &str) -> SandboxConfig {
    let sandbox: Value = serde_json::from_str(sandbox).unwrap_or_default();
    let config = json!({"name": "n", "source": {"config": {}}, "sandbox": sandbox});
    let config = Config::parse(&config.to_string(), Path::new("/nowhere"));
    let sandbox = config.map(|config| config.sandbox).unwrap_or_default();
    SandboxConfig { mounts: Vec::new(), ..sandbox }
}

/// The flags that ask for the same.
fn as_flags(asked: &SandboxConfig) -> SandboxFlags {
    SandboxFlags {
        allow_net: asked.allow_net.clone(),
        allow_requested: asked.allow_requested,
        deny_network: asked.deny_network,
        reveal_secret: asked.reveal_secrets.clone(),
        isolation: asked.isolation,
        limits: asked.limits.clone(),
        ..SandboxFlags::default()
    }
}

/// What comes of what is asked for, and whether it passes.
fn granted(policies: &[Policy], config: &SandboxConfig, flags: &SandboxFlags) -> (SandboxGrants, bool) {
    let mut ceilings = Ceilings::new(policies);
    let grants = ceilings.grants(config, flags, config.clone().merged(flags.clone()));
    ceilings.requested(&grants, flags, &REQUESTED.map(str::to_owned));
    let finished = ceilings.finish();
    if let Err(failure) = &finished {
        assert_eq!(failure.class, FailureClass::Denied);
        assert!(failure.message.lines().all(fits_a_line), "{failure:?}");
    }
    (grants, finished.is_ok())
}

fn lies_within(policy: &Policy, asked: &SandboxConfig, grants: &SandboxGrants, passes: bool) {
    let limits = overrides(&grants.limits);
    assert_eq!(limits.above(&policy.limits), [], "a limit is above its ceiling");
    let without = overrides(&asked.limits.clone().resolve());
    assert_eq!(limits.above(&without), [], "a ceiling raised a limit");
    assert!(grants.isolation >= policy.isolation && grants.isolation >= asked.isolation.unwrap_or_default());
    assert!(grants.network_denied_by.is_some() || !policy.deny_network);
    if !passes {
        return;
    }
    let as_asked = asked.limits.clone().or(limits).resolve();
    assert_eq!(as_asked, grants.limits, "what was asked for was changed and not refused");
    if let RevealCeiling::Only(allowed) = &policy.reveal_secrets {
        assert!(grants.reveal_secrets.iter().all(|name| allowed.contains(name)));
    }
    let asks = !asked.allow_net.is_empty() || asked.allow_requested;
    assert!(!(policy.deny_network && asks) || asked.deny_network, "an origin was dropped and not refused");
    let (Some(allowed), None) = (&policy.allow_net, &grants.network_denied_by) else { return };
    let requested = REQUESTED.iter().filter(|_| grants.allow_requested).map(|origin| origin.parse().unwrap());
    for origin in grants.allow_net.iter().cloned().chain(requested) {
        reaches_no_more(&origin, allowed);
    }
}

/// Whatever place a grant covers, a grant of the policy covers too.
fn reaches_no_more(origin: &Origin, allowed: &[Origin]) {
    let shown = origin.to_string();
    let authority = shown.split_once("://").map_or(shown.as_str(), |(_, rest)| rest);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (authority, None),
    };
    let hosts = match host.strip_prefix("*.") {
        Some(name) => vec![format!("x.{name}"), format!("x.y.{name}")],
        None => vec![host.to_owned()],
    };
    let mut covered = 0;
    for host in &hosts {
        for scheme in ["http", "https"] {
            for port in [80, 443].into_iter().chain(port) {
                if origin.matches(scheme, host, port) {
                    covered += 1;
                    let within = allowed.iter().any(|allowed| allowed.matches(scheme, host, port));
                    assert!(
                        within,
                        "{shown} covers {scheme}://{host}:{port}, and no origin of the policy does"
                    );
                }
            }
        }
    }
    // A name may be too long to have one below it.
    assert!(covered > 0 || host.len() > 240, "{shown} covers nothing");
}

fn storages(policy: &Policy) {
    for name in registry::names() {
        let mut ceilings = Ceilings::new(std::slice::from_ref(policy));
        let storage = StorageConfig { name: name.to_owned(), ..StorageConfig::default() };
        ceilings.storage(Some(&storage), "");
        let listed = policy.storages.as_ref().is_none_or(|names| names.iter().any(|other| other == name));
        assert_eq!(ceilings.finish().is_ok(), listed, "{name}");
    }
}

fn components(policy: &Policy) {
    let file = ComponentFile::from_bytes("c.wasm", "", ByteSize::mib(1)).unwrap();
    let mut ceilings = Ceilings::new(std::slice::from_ref(policy));
    ceilings.component(&file);
    let listed = policy.sha256.as_ref().is_none_or(|digests| digests.contains(&file.digest()));
    assert_eq!(ceilings.finish().is_ok(), listed);
}

/// Limits as what sets them all.
fn overrides(limits: &Limits) -> LimitOverrides {
    serde_json::from_value(serde_json::to_value(limits).unwrap())
        .expect("limits are read as they are written")
}
