//! What policies let a run have: the one place where their ceilings meet what the
//! configuration and the flags ask for.
//!
//! What was asked for and is above a ceiling is refused, all of it at once; a
//! default that is above one is lowered to it.

use std::fmt;
use std::path::PathBuf;

use crate::config::policy::{MountCeiling, Policy, RevealCeiling};
use crate::config::problem::{clip, list};
use crate::config::{SandboxConfig, SandboxFlags, SandboxGrants, StorageConfig};
use crate::failure::{Failure, FailureClass};
use crate::isolation::Isolation;
use crate::sandbox::mount::{Access, Mount};
use crate::sandbox::{ComponentFile, Origin};
use crate::storage::registry;

/// Violations that a message lists; what is over is counted.
const LISTED: usize = 50;

/// Something that was asked for and that a policy does not let be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Violation {
    /// Where it was asked for: a key of the configuration, or a flag.
    place: String,
    /// What was asked for, and the ceiling.
    message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// The policies of a run, all of which count, and what was found against them.
#[derive(Debug)]
pub(crate) struct Ceilings<'a> {
    policies: &'a [Policy],
    violations: Vec<Violation>,
}

impl<'a> Ceilings<'a> {
    pub(crate) fn new(policies: &'a [Policy]) -> Self {
        Self { policies, violations: Vec::new() }
    }

    /// Nothing if nothing violates a policy, else all that does. What was found is
    /// forgotten.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        let violations = std::mem::take(&mut self.violations);
        let message = match violations.as_slice() {
            [] => return Ok(()),
            [violation] => format!("a policy refuses this run: {violation}"),
            all => {
                let lines: String =
                    all.iter().take(LISTED).map(|violation| format!("\n  {violation}")).collect();
                let more = match all.len().checked_sub(LISTED) {
                    None | Some(0) => String::new(),
                    Some(more) => format!("\n  and {more} more"),
                };
                format!("a policy refuses this run: {} violations{lines}{more}", all.len())
            }
        };
        Err(Failure::new(FailureClass::Denied, message)
            .with_hint("ask for less, or ask whoever keeps the policy to allow it"))
    }

    /// The grants of a run within the policies. `config` and `flags` say what was
    /// asked for, and where.
    pub(crate) fn grants(
        &mut self,
        config: &SandboxConfig,
        flags: &SandboxFlags,
        mut grants: SandboxGrants,
    ) -> SandboxGrants {
        for policy in self.policies {
            self.limits(policy, config, flags);
            self.secrets(policy, config, flags);
            if policy.mounts.is_some() {
                // What is compared is what is mounted, however it was written.
                for mount in &mut grants.mounts {
                    mount.host = mount.host.canonicalize().unwrap_or_else(|_| mount.host.clone());
                }
            }
            self.mounts(policy, flags, &grants.mounts);
            if grants.network_denied_by.is_none() {
                self.origins(policy, config, flags);
            }
        }
        let by_flag = flags.isolation.map(|isolation| (isolation, "--isolation"));
        let in_file = config.isolation.map(|isolation| (isolation, "sandbox.isolation"));
        grants.isolation = self.isolation(by_flag.or(in_file));
        for policy in self.policies {
            grants.limits = grants.limits.at_most(&policy.limits);
            if policy.deny_network && grants.network_denied_by.is_none() {
                grants.network_denied_by = Some(format!("the policy {}", file(policy)));
            }
        }
        grants
    }

    fn violates(&mut self, place: impl Into<String>, message: String) {
        self.violations.push(Violation { place: place.into(), message });
    }

    fn limits(&mut self, policy: &Policy, config: &SandboxConfig, flags: &SandboxFlags) {
        let by_flag = flags.limits.above(&policy.limits);
        let asked = flags.limits.clone().or(config.limits.clone());
        for above in asked.above(&policy.limits) {
            let place = if by_flag.contains(&above) {
                format!("--{}", above.key.replace('_', "-"))
            } else {
                format!("sandbox.{}", above.key)
            };
            let message =
                format!("{} is above {}, the ceiling of {}", above.value, above.ceiling, file(policy));
            self.violates(place, message);
        }
    }

    fn origins(&mut self, policy: &Policy, config: &SandboxConfig, flags: &SandboxFlags) {
        let in_file = config.allow_net.iter().map(|origin| ("sandbox.allow_net", origin));
        let by_flag = flags.allow_net.iter().map(|origin| ("--allow-net", origin));
        for (place, origin) in in_file.chain(by_flag) {
            self.origin(policy, place, origin);
        }
        let requested = [
            ("sandbox.allow_requested", config.allow_requested),
            ("--allow-requested", flags.allow_requested),
        ];
        for (place, _) in requested.into_iter().filter(|(_, asked)| *asked && policy.deny_network) {
            self.violates(place, format!("grants origins, and {} denies the network", file(policy)));
        }
    }

    fn origin(&mut self, policy: &Policy, place: &str, origin: &Origin) {
        if policy.deny_network {
            self.violates(place, format!("{origin}, and {} denies the network", file(policy)));
        } else if let Some(allowed) = &policy.allow_net
            && !Origin::all_within(origin, allowed)
        {
            let names: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            let names = list(names.iter().map(String::as_str));
            self.violates(
                place,
                format!("{origin} is not within the origins of {}, which are {names}", file(policy)),
            );
        }
    }

    /// What `--allow-requested` grants is known when the component has told what
    /// it asks for.
    pub(crate) fn requested(&mut self, grants: &SandboxGrants, flags: &SandboxFlags, asked: &[String]) {
        if !grants.allow_requested || grants.network_denied_by.is_some() {
            return;
        }
        let flag = if flags.allow_requested { "--allow-requested" } else { "sandbox.allow_requested" };
        let place = format!("{flag}, which the connector asks for");
        for origin in asked.iter().filter_map(|origin| origin.parse::<Origin>().ok()) {
            for policy in self.policies {
                self.origin(policy, &place, &origin);
            }
        }
    }

    fn mounts(&mut self, policy: &Policy, flags: &SandboxFlags, mounts: &[Mount]) {
        let Some(ceilings) = &policy.mounts else { return };
        for mount in mounts {
            if ceilings.iter().any(|ceiling| covers(ceiling, mount)) {
                continue;
            }
            let by_flag = flags.mount.iter().any(|flag| flag.guest == mount.guest);
            let names: Vec<String> = ceilings.iter().map(ToString::to_string).collect();
            let names = list(names.iter().map(String::as_str));
            self.violates(
                if by_flag { "--mount" } else { "sandbox.mounts" },
                format!("{mount} is not within the folders of {}, which are {names}", file(policy)),
            );
        }
    }

    fn secrets(&mut self, policy: &Policy, config: &SandboxConfig, flags: &SandboxFlags) {
        let RevealCeiling::Only(allowed) = &policy.reveal_secrets else { return };
        let in_file = config.reveal_secrets.iter().map(|name| ("sandbox.reveal_secrets", name));
        let by_flag = flags.reveal_secret.iter().map(|name| ("--reveal-secret", name));
        for (place, name) in in_file.chain(by_flag).filter(|(_, name)| !allowed.contains(name)) {
            let names = list(allowed.iter().map(String::as_str));
            self.violates(
                place,
                format!(
                    "'{}' is not among the secrets that {} lets be seen in clear, which are {names}",
                    clip(name),
                    file(policy)
                ),
            );
        }
    }

    /// The storage of a configuration; none is the default.
    pub(crate) fn storage(&mut self, storage: Option<&StorageConfig>, default: &str) {
        let (place, name) = match storage {
            Some(storage) => ("storage.name", storage.name.as_str()),
            None => ("storage (none is named)", default),
        };
        // A name that is not known has an error of its own.
        let Ok(name) = registry::canonical_name(name) else { return };
        for policy in self.policies {
            let Some(allowed) = &policy.storages else { continue };
            if !allowed.iter().any(|allowed| allowed == name) {
                let names = list(allowed.iter().map(String::as_str));
                self.violates(
                    place,
                    format!("{name} is not among the storages of {}, which are {names}", file(policy)),
                );
            }
        }
    }

    /// The component's digest.
    pub(crate) fn component(&mut self, component: &ComponentFile) {
        let digest = component.digest();
        for policy in self.policies {
            if policy.sha256.as_ref().is_some_and(|allowed| !allowed.contains(&digest)) {
                self.violates(
                    component.name.clone(),
                    format!("its SHA-256, {digest}, is not among those of {}", file(policy)),
                );
            }
        }
    }

    /// The isolation that a guest runs in: what was asked for, with the flag or key
    /// that asks, and where nobody asks, what the policies want at least.
    ///
    /// The one place where policies decide on isolation.
    pub(crate) fn isolation(&mut self, asked: Option<(Isolation, &str)>) -> Isolation {
        for policy in self.policies {
            if let Some((isolation, place)) = asked
                && isolation < policy.isolation
            {
                let least = policy.isolation;
                self.violates(
                    place,
                    format!("{isolation} is less strict than {least}, the least of {}", file(policy)),
                );
            }
        }
        let least = self.policies.iter().map(|policy| policy.isolation).max().unwrap_or_default();
        asked.map_or(least, |(isolation, _)| isolation.max(least))
    }

    /// Whether a policy wants secret values redacted in rows, whatever the
    /// configuration says.
    ///
    /// The one place where policies decide on redaction.
    pub(crate) fn redact_rows(&self) -> bool {
        self.policies.iter().any(|policy| policy.redact_rows)
    }
}

fn file(policy: &Policy) -> impl fmt::Display + '_ {
    policy.file.display()
}

/// Whether a folder, links resolved, lies in one that may be mounted, and the guest
/// gets no more than is allowed there.
fn covers(ceiling: &MountCeiling, mount: &Mount) -> bool {
    let real = |path: &PathBuf| path.canonicalize().ok();
    let (Some(allowed), Some(asked)) = (real(&ceiling.folder), real(&mount.host)) else { return false };
    asked.starts_with(allowed) && (mount.access == Access::ReadOnly || ceiling.access == Access::ReadWrite)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;

    use super::*;
    use crate::config::Config;
    use crate::sandbox::{ByteSize, Limits};

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        flags: SandboxFlags,
    }

    fn policy(text: &str) -> Policy {
        Policy::parse(text, Path::new("/"), Path::new("policy.json")).unwrap()
    }

    /// What comes of a `sandbox` section and flags under policies.
    fn granted(policies: &[Policy], sandbox: &str, flags: &[&str]) -> Result<SandboxGrants, String> {
        let text = format!(r#"{{"name": "n", "source": {{"config": {{}}}}, "sandbox": {sandbox}}}"#);
        let config = Config::parse(&text, Path::new("/")).unwrap().sandbox;
        let flags = Cli::try_parse_from(std::iter::once(&"ow-host").chain(flags)).unwrap().flags;
        let mut ceilings = Ceilings::new(policies);
        let grants = ceilings.grants(&config, &flags, config.clone().merged(flags.clone()));
        ceilings.requested(&grants, &flags, &["https://asked.example".to_owned()]);
        ceilings.finish().map(|()| grants).map_err(|failure| {
            assert_eq!(failure.class, FailureClass::Denied);
            failure.message
        })
    }

    #[test]
    fn defaults_are_lowered_and_what_was_asked_for_is_refused() {
        let policies = [policy(r#"{"limits": {"memory": "64MiB", "timeout": "2h", "tables": 5}}"#)];
        let grants = granted(&policies, "{}", &["--tables", "5"]).unwrap();
        assert_eq!((grants.limits.memory, grants.limits.tables), (ByteSize::mib(64), 5));
        assert_eq!(grants.limits.timeout, Limits::default().timeout);
        // The flag counts, not what it replaces.
        granted(&policies, r#"{"memory": "1GiB"}"#, &["--memory", "64MiB"]).unwrap();
        let told = granted(&policies, r#"{"memory": "1GiB", "timeout": "3h"}"#, &["--timeout", "4h"]);
        insta::assert_snapshot!(told.unwrap_err(), @r"
        a policy refuses this run: 2 violations
          sandbox.memory: 1GiB is above 64MiB, the ceiling of policy.json
          --timeout: 4h is above 2h, the ceiling of policy.json
        ");
    }

    #[test]
    fn each_policy_counts() {
        let mut second = policy(r#"{"limits": {"memory": "32MiB"}, "deny_network": true}"#);
        second.file = "second.json".into();
        let policies = [policy(r#"{"limits": {"memory": "64MiB", "handles": 7}}"#), second];
        let grants = granted(&policies, "{}", &[]).unwrap();
        assert_eq!((grants.limits.memory, grants.limits.handles), (ByteSize::mib(32), 7));
        assert_eq!(grants.network_denied_by.as_deref(), Some("the policy second.json"));
        let told = granted(&policies, "{}", &["--memory", "48MiB"]).unwrap_err();
        assert_eq!(
            told,
            "a policy refuses this run: --memory: 48MiB is above 32MiB, the ceiling of second.json"
        );
    }

    #[test]
    fn origins_lie_within_those_of_the_policy() {
        let policies = [policy(r#"{"allow_net": ["*.example.com", "localhost:8080"]}"#)];
        granted(&policies, r#"{"allow_net": ["https://a.example.com"]}"#, &["--allow-net", "localhost:8080"])
            .unwrap();
        let flags = ["--allow-net", "http://a.example.com,*.com", "--allow-requested"];
        let told = granted(&policies, r#"{"allow_net": ["https://example.com"]}"#, &flags);
        insta::assert_snapshot!(told.unwrap_err(), @r"
        a policy refuses this run: 4 violations
          sandbox.allow_net: https://example.com is not within the origins of policy.json, which are 'https://*.example.com', 'localhost:8080'
          --allow-net: http://a.example.com is not within the origins of policy.json, which are 'https://*.example.com', 'localhost:8080'
          --allow-net: https://*.com is not within the origins of policy.json, which are 'https://*.example.com', 'localhost:8080'
          --allow-requested, which the connector asks for: https://asked.example is not within the origins of policy.json, which are 'https://*.example.com', 'localhost:8080'
        ");
        // Who wants no network asks for none.
        granted(&policies, r#"{"allow_net": ["https://example.com"]}"#, &["--deny-network"]).unwrap();
    }

    #[test]
    fn a_policy_without_network_refuses_every_grant() {
        let policies = [policy(r#"{"deny_network": true}"#)];
        let told =
            granted(&policies, r#"{"allow_net": ["https://a.example"], "allow_requested": true}"#, &[]);
        insta::assert_snapshot!(told.unwrap_err(), @r"
        a policy refuses this run: 2 violations
          sandbox.allow_net: https://a.example, and policy.json denies the network
          sandbox.allow_requested: grants origins, and policy.json denies the network
        ");
    }

    #[test]
    fn folders_are_compared_after_links_and_dots() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["data/in", "database", "out"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::os::unix::fs::symlink(root.join("data"), root.join("link")).unwrap();
        std::os::unix::fs::symlink(&root, root.join("data/up")).unwrap();
        let root = root.display().to_string();
        let policies = [policy(&format!(r#"{{"mounts": ["{root}/link", "{root}/out:rw"]}}"#))];
        let ok = |mount: &str| granted(&policies, "{}", &["--mount", &format!("{root}/{mount}")]);
        for mount in ["data:/a", "data/in:/a:ro", "link/in:/a", "out:/a:rw", "out/../data:/a"] {
            let grants = ok(mount).unwrap();
            assert_eq!(grants.mounts[0].host.canonicalize().unwrap(), grants.mounts[0].host, "{mount}");
        }
        for mount in
            ["data:/a:rw", "database:/a", "data/../database:/a", "data/up:/a", "data/up/out/..:/a", ".:/a"]
        {
            let told = ok(mount).unwrap_err();
            assert!(
                told.contains("--mount: ") && told.contains("is not within the folders of policy.json"),
                "{told}"
            );
        }
        let in_file = granted(&policies, &format!(r#"{{"mounts": ["{root}/database:/a"]}}"#), &[]);
        assert!(in_file.unwrap_err().contains("sandbox.mounts: "));
        granted(&[policy(r#"{"mounts": []}"#)], "{}", &["--mount", &format!("{root}/out:/a")]).unwrap_err();
    }

    #[test]
    fn secrets_are_revealed_by_name() {
        let policies = [policy(r#"{"reveal_secrets": ["A"]}"#)];
        granted(&policies, r#"{"reveal_secrets": ["A"]}"#, &[]).unwrap();
        let told = granted(&policies, r#"{"reveal_secrets": ["A", "B"]}"#, &["--reveal-secret", "C"]);
        insta::assert_snapshot!(told.unwrap_err(), @r"
        a policy refuses this run: 2 violations
          sandbox.reveal_secrets: 'B' is not among the secrets that policy.json lets be seen in clear, which are 'A'
          --reveal-secret: 'C' is not among the secrets that policy.json lets be seen in clear, which are 'A'
        ");
        granted(&[policy(r#"{"reveal_secrets": false}"#)], "{}", &["--reveal-secret", "A"]).unwrap_err();
        granted(&[policy(r#"{"reveal_secrets": true}"#)], "{}", &["--reveal-secret", "A"]).unwrap();
    }

    #[test]
    fn storages_components_and_isolation() {
        let digest = "a".repeat(64);
        let policies = [policy(&format!(
            r#"{{"storages": ["Discard"], "sha256": ["{digest}"], "isolation": "process"}}"#
        ))];
        let mut ceilings = Ceilings::new(&policies);
        let component = |byte| {
            let mut file = ComponentFile::from_bytes("c.wasm", "", ByteSize::mib(1)).unwrap();
            file.digest = [byte; 32];
            file
        };
        ceilings.component(&component(0xaa));
        assert_eq!(ceilings.isolation(None), Isolation::Process);
        assert_eq!(ceilings.isolation(Some((Isolation::Process, "--isolation"))), Isolation::Process);
        ceilings.finish().unwrap();
        ceilings.component(&component(0xab));
        ceilings.storage(None, "Sqlite");
        ceilings.isolation(Some((Isolation::None, "--isolation")));
        let told = ceilings.finish().unwrap_err().message.replace("ab", "..");
        insta::assert_snapshot!(told, @r"
        a policy refuses this run: 3 violations
          c.wasm: its SHA-256, ................................................................, is not among those of policy.json
          storage (none is named): Sqlite is not among the storages of policy.json, which are 'Discard'
          --isolation: none is less strict than process, the least of policy.json
        ");
        ceilings.finish().unwrap();
    }

    #[test]
    fn without_a_policy_nothing_is_bounded() {
        let flags = ["--memory", "100TiB", "--allow-net", "*.com", "--reveal-secret", "A"];
        let grants = granted(&[], "{}", &flags).unwrap();
        assert_eq!(grants.limits.memory, ByteSize::gib(100 * 1024));
        let mut ceilings = Ceilings::new(&[]);
        assert_eq!(ceilings.isolation(None), Isolation::None);
        assert!(!ceilings.redact_rows());
    }
}
