//! What the operator grants to a run: the configuration's `sandbox` section,
//! the flags, and the one place where they are merged.

use std::path::PathBuf;

use super::secret::rules::{SecretFlags, SecretRules};
use crate::isolation::Isolation;
use crate::sandbox::{LimitOverrides, Limits, Mount, Origin};

/// The `sandbox` section of a configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SandboxConfig {
    /// HTTP origins that the guest may call.
    pub allow_net: Vec<Origin>,
    /// Grants every origin that the connector asks for.
    pub allow_requested: bool,
    /// Grants no origin, whatever else grants one.
    pub deny_network: bool,
    /// Folders that the guest sees; relative ones start at the file's folder.
    pub mounts: Vec<Mount>,
    /// Secrets that the guest gets in clear.
    pub reveal_secrets: Vec<String>,
    /// Where secrets go, and what may be shown.
    pub secrets: SecretRules,
    /// Certificates to trust beside the system's; relative to the file's folder.
    pub ca_file: Option<PathBuf>,
    /// What keeps the run apart from the host beside the sandbox.
    pub isolation: Option<Isolation>,
    /// Limits that differ from the defaults.
    pub limits: LimitOverrides,
}

/// Flags that grant something or set a limit.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Sandbox")]
pub struct SandboxFlags {
    /// Let the connector call this HTTP origin: https://api.example.com,
    /// *.example.com, localhost:8080. Repeat it or separate by commas; adds to
    /// the configuration's `sandbox.allow_net`.
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    pub allow_net: Vec<Origin>,
    /// Let the connector call every HTTP origin that it asks for (`ow-host
    /// inspect` shows them).
    #[arg(long)]
    pub allow_requested: bool,
    /// Let the connector call nothing, whatever the configuration and other
    /// flags grant. A run that succeeds proves that it needs no network.
    #[arg(long)]
    pub deny_network: bool,
    /// Show the connector a folder, read-only unless it ends in `:rw`. Repeat
    /// it for more; adds to the configuration's `sandbox.mounts` and replaces
    /// one at the same guest path.
    #[arg(long, value_name = "DIR:/guest[:ro|:rw]")]
    pub mount: Vec<Mount>,
    /// Give the connector this secret parameter in clear; without it the
    /// connector sees a placeholder. Repeat it or separate by commas; adds to
    /// the configuration's `sandbox.reveal_secrets`.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub reveal_secret: Vec<String>,
    /// Where secrets go, and what may be shown.
    #[command(flatten)]
    pub secrets: SecretFlags,
    /// Trust the certificates of this PEM file beside the system's. Wins over
    /// the configuration's `sandbox.ca_file`.
    #[arg(long, value_name = "PATH")]
    pub ca_file: Option<PathBuf>,
    /// What keeps the run apart from the host beside the WebAssembly sandbox.
    /// Wins over the configuration's `sandbox.isolation`.
    #[arg(long, value_enum, value_name = "WALL")]
    pub isolation: Option<Isolation>,
    /// Limits; each wins over the configuration's.
    #[command(flatten)]
    pub limits: LimitOverrides,
}

/// What a run may do: flags over file over defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SandboxGrants {
    /// HTTP origins that the guest may call.
    pub allow_net: Vec<Origin>,
    /// Grants every origin that the connector asks for.
    pub allow_requested: bool,
    /// Who denies the network, in words such as `--deny-network`; none: the
    /// origins above are granted.
    pub network_denied_by: Option<String>,
    /// Folders that the guest sees, each at a guest path of its own.
    pub mounts: Vec<Mount>,
    /// Secrets that the guest gets in clear.
    pub reveal_secrets: Vec<String>,
    /// Where secrets go, and what may be shown.
    pub secrets: SecretRules,
    /// Certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// What keeps the run apart from the host beside the sandbox.
    pub isolation: Isolation,
    /// Every limit.
    pub limits: Limits,
}

impl SandboxConfig {
    /// The section with the flags over it. Single values of the flags win.
    /// Lists add up; a mount replaces the one at the same guest path.
    #[must_use]
    pub fn merged(self, flags: SandboxFlags) -> SandboxGrants {
        let mut mounts: Vec<Mount> = Vec::new();
        for mount in self.mounts.into_iter().chain(flags.mount) {
            mounts.retain(|other| other.guest != mount.guest);
            mounts.push(mount);
        }
        let network_denied_by = match (flags.deny_network, self.deny_network) {
            (true, _) => Some("--deny-network".to_owned()),
            (false, true) => Some("`deny_network` in the configuration's sandbox section".to_owned()),
            (false, false) => None,
        };
        SandboxGrants {
            network_denied_by,
            allow_net: distinct(self.allow_net.into_iter().chain(flags.allow_net)),
            allow_requested: self.allow_requested || flags.allow_requested,
            mounts,
            reveal_secrets: distinct(self.reveal_secrets.into_iter().chain(flags.reveal_secret)),
            secrets: self.secrets.merged(flags.secrets),
            ca_file: flags.ca_file.or(self.ca_file),
            isolation: flags.isolation.or(self.isolation).unwrap_or_default(),
            limits: flags.limits.or(self.limits).resolve(),
        }
    }
}

fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.fold(Vec::new(), |mut distinct, item| {
        if !distinct.contains(&item) {
            distinct.push(item);
        }
        distinct
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::sandbox::ByteSize;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        flags: SandboxFlags,
    }

    fn flags(args: &[&str]) -> SandboxFlags {
        Cli::try_parse_from(std::iter::once(&"ow-host").chain(args)).unwrap().flags
    }

    fn file() -> SandboxConfig {
        SandboxConfig {
            allow_net: vec!["https://a.example".parse().unwrap()],
            mounts: vec!["in:/in:ro".parse().unwrap(), "ref:/ref:ro".parse().unwrap()],
            reveal_secrets: vec!["ApiSecret".into()],
            ca_file: Some("ca.pem".into()),
            limits: LimitOverrides {
                memory: Some(ByteSize::mib(64)),
                handles: Some(5),
                ..LimitOverrides::default()
            },
            ..SandboxConfig::default()
        }
    }

    #[test]
    fn without_flags_the_file_counts() {
        let grants = file().merged(flags(&[]));
        assert_eq!(grants.limits.memory, ByteSize::mib(64));
        assert_eq!(grants.limits.tables, Limits::default().tables);
        assert!(!grants.allow_requested);
        assert_eq!(grants.mounts.len(), 2);
        assert_eq!(grants.network_denied_by, None);
    }

    #[test]
    fn the_network_is_denied_by_flag_or_file_and_by_whom_is_told() {
        let denied = |in_file: bool, args: &[&str]| {
            let file = SandboxConfig { deny_network: in_file, ..file() };
            file.merged(flags(args)).network_denied_by
        };
        let by_file = "`deny_network` in the configuration's sandbox section";
        assert_eq!(denied(true, &["--allow-net", "https://b.example"]).as_deref(), Some(by_file));
        assert_eq!(denied(false, &["--deny-network"]).as_deref(), Some("--deny-network"));
        assert_eq!(denied(true, &["--deny-network"]).as_deref(), Some("--deny-network"));
    }

    #[test]
    fn single_flags_win_lists_add_and_mounts_replace() {
        let grants = file().merged(flags(&[
            "--allow-net",
            "https://a.example,https://b.example",
            "--allow-net",
            "localhost:8080",
            "--mount",
            "other:/in:rw",
            "--reveal-secret",
            "Key",
            "--secret-origin",
            "Key=https://a.example",
            "--ca-file",
            "my.pem",
            "--memory",
            "1GiB",
            "--allow-requested",
        ]));
        let origins: Vec<String> = grants.allow_net.iter().map(ToString::to_string).collect();
        assert_eq!(origins.len(), 3, "{origins:?}");
        let mounts: Vec<String> = grants.mounts.iter().map(ToString::to_string).collect();
        assert_eq!(mounts, ["ref:/ref:ro", "other:/in:rw"]);
        assert_eq!(grants.reveal_secrets, ["ApiSecret", "Key"]);
        assert_eq!(grants.secrets.origins.len(), 1);
        assert_eq!(grants.ca_file, Some("my.pem".into()));
        assert_eq!((grants.limits.memory, grants.limits.handles), (ByteSize::gib(1), 5));
        assert!(grants.allow_requested);
    }
}
