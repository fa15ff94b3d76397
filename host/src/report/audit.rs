//! What a run was granted and what it used of it: the capabilities of one run,
//! each with its counters.
//!
//! Whatever a guest does, this takes a bounded amount of memory: names that it can
//! choose are told apart up to a number, and counted together beyond it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

use crate::isolation::Isolation;
use crate::sandbox::Origin;

/// Origins that are told apart: a grant such as `*.example.com` covers any number.
const ORIGINS: usize = 100;
/// Pairs of a secret and an origin that are told apart.
const SECRET_USES: usize = 1_000;
/// What stands for all origins beyond these.
const OTHERS: &str = "other origins";

/// What a run may use, as the operator granted it.
#[derive(Debug, Default)]
pub struct Granted {
    /// What keeps the run apart from the host beside the sandbox.
    pub isolation: Isolation,
    /// Policy files that bound the run.
    pub policies: Vec<String>,
    /// The public key by which the component is known to be signed.
    pub signed_by: Option<String>,
    /// Who denies the network, where somebody does.
    pub network_denied_by: Option<String>,
    /// Origins.
    pub origins: Vec<Origin>,
    /// Secrets that the guest sees as placeholders, by their parameters.
    pub placeholders: Vec<String>,
    /// Secrets that the guest sees in clear, by their parameters.
    pub revealed: Vec<String>,
    /// Variables of the guest's environment.
    pub environment: Vec<String>,
}

/// The counters of one run's capabilities, written by many.
#[derive(Debug, Default)]
pub struct Audit {
    granted: OnceLock<Granted>,
    origins: Mutex<BTreeMap<String, Arc<Traffic>>>,
    secrets: Mutex<BTreeMap<(String, String), u64>>,
    folders: Mutex<Vec<FolderUse>>,
}

/// What went to and came from one origin.
#[derive(Debug, Default)]
pub struct Traffic {
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Traffic {
    /// A request is sent.
    pub fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes of a request's body came from the guest.
    pub fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of an answer's body went to the guest.
    pub fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Audit {
    /// Says what the run is granted, once, before it starts.
    pub fn grant(&self, granted: Granted) {
        // A run is granted something once; what comes later changes nothing.
        let _ = self.granted.set(granted);
    }

    /// Who denies the network, where somebody does.
    #[must_use]
    pub fn network_denied_by(&self) -> Option<&str> {
        self.granted.get()?.network_denied_by.as_deref()
    }

    /// The meter of an origin, such as `https://api.example.com`.
    #[must_use]
    pub fn traffic(&self, origin: &str) -> Arc<Traffic> {
        let mut origins = lock(&self.origins);
        let known = origins.contains_key(origin) || origins.len() < ORIGINS;
        Arc::clone(origins.entry(if known { origin } else { OTHERS }.to_owned()).or_default())
    }

    /// The value of a secret was put into a request so many times.
    pub fn secret_used(&self, name: &str, origin: &str, times: u64) {
        let mut uses = lock(&self.secrets);
        let mut key = (name.to_owned(), origin.to_owned());
        if !uses.contains_key(&key) && uses.len() >= SECRET_USES {
            OTHERS.clone_into(&mut key.1);
        }
        let count = uses.entry(key).or_default();
        *count = count.saturating_add(times);
    }

    /// Adds what a guest did with its folders. Each guest of a run tells once, at
    /// its end.
    pub fn add_folders(&self, folders: Vec<FolderUse>) {
        let mut all = lock(&self.folders);
        for folder in folders {
            match all.iter_mut().find(|known| known.guest == folder.guest) {
                Some(known) => known.counts.add(folder.counts),
                None => all.push(folder),
            }
        }
    }

    /// The counters as they stand.
    #[must_use]
    pub fn report(&self) -> AuditReport {
        let nothing = Granted::default();
        let granted = self.granted.get().unwrap_or(&nothing);
        AuditReport {
            isolation: granted.isolation,
            policies: granted.policies.clone(),
            signed_by: granted.signed_by.clone(),
            network_denied_by: granted.network_denied_by.clone(),
            origins: self.origins(granted),
            folders: lock(&self.folders).clone(),
            secrets: self.secrets(granted),
            environment: granted.environment.clone(),
        }
    }

    /// The origins that were reached under each grant, and the grants that were
    /// not used.
    fn origins(&self, granted: &Granted) -> Vec<OriginUse> {
        let mut uses: Vec<OriginUse> = lock(&self.origins)
            .iter()
            .map(|(origin, traffic)| {
                let covers = |grant: &&Origin| {
                    origin.parse().is_ok_and(|origin| Origin::all_within(&origin, &[(*grant).clone()]))
                };
                let grant = granted.origins.iter().find(covers);
                OriginUse {
                    grant: grant.map_or_else(|| OTHERS.to_owned(), ToString::to_string),
                    origin: Some(origin.clone()),
                    requests: traffic.requests.load(Ordering::Relaxed),
                    request_bytes: traffic.sent.load(Ordering::Relaxed),
                    response_bytes: traffic.received.load(Ordering::Relaxed),
                }
            })
            .collect();
        let mut unused: Vec<String> = granted.origins.iter().map(ToString::to_string).collect();
        unused.retain(|grant| !uses.iter().any(|used| used.grant == *grant));
        uses.extend(unused.into_iter().map(|grant| OriginUse { grant, ..OriginUse::default() }));
        uses
    }

    fn secrets(&self, granted: &Granted) -> Vec<SecretUse> {
        let uses = lock(&self.secrets);
        let used = |name: &str| {
            let of_name = uses.iter().filter(|((used, _), _)| used == name);
            of_name.map(|((_, origin), count)| SecretPut { origin: origin.clone(), count: *count }).collect()
        };
        // One that appeared during the run, such as a token, is granted nowhere.
        let appeared = uses.keys().map(|(name, _)| name).filter(|name| !granted.placeholders.contains(name));
        let mut placeholders: Vec<&String> = granted.placeholders.iter().chain(appeared).collect();
        placeholders.sort_unstable();
        placeholders.dedup();
        let placeholders = placeholders.into_iter().map(|name| SecretUse {
            name: name.clone(),
            seen_as: SeenAs::Placeholder,
            put: used(name),
        });
        let revealed = granted.revealed.iter();
        let revealed =
            revealed.map(|name| SecretUse { name: name.clone(), seen_as: SeenAs::Clear, put: Vec::new() });
        placeholders.chain(revealed).collect()
    }
}

/// Each capability that a run was granted, and what it used of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AuditReport {
    /// What kept the run apart from the host beside the sandbox.
    pub isolation: Isolation,
    /// Policy files that bounded the run.
    pub policies: Vec<String>,
    /// The public key by which the component is known to be signed; absent if
    /// nobody asked for a signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// Who denied the network, such as `--deny-network`; absent if nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_denied_by: Option<String>,
    /// Origins, those first that were reached.
    pub origins: Vec<OriginUse>,
    /// The scratch folder and the mounted ones.
    pub folders: Vec<FolderUse>,
    /// Secrets of the configuration.
    pub secrets: Vec<SecretUse>,
    /// Variables that the guest's environment had, by name.
    pub environment: Vec<String>,
}

/// What a run did with a granted origin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OriginUse {
    /// The grant, such as `https://*.example.com`.
    pub grant: String,
    /// What was reached by it; absent if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Requests that were sent there.
    pub requests: u64,
    /// Bytes of their bodies, without secrets.
    pub request_bytes: u64,
    /// Bytes of the answers' bodies, decompressed.
    pub response_bytes: u64,
}

/// What a run did with a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderUse {
    /// Where the guest saw it.
    pub guest: String,
    /// The host's folder; absent for the scratch folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// `ro` or `rw`.
    pub access: String,
    /// What was done in it.
    #[serde(flatten)]
    pub counts: FolderCounts,
}

/// How often a guest did what in a folder, with success; and how often it was
/// refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderCounts {
    /// Files opened for reading.
    pub read: u64,
    /// Files opened for writing.
    pub written: u64,
    /// Folders listed.
    pub listed: u64,
    /// Folders and links made.
    pub made: u64,
    /// Files and folders removed.
    pub removed: u64,
    /// Files and folders renamed.
    pub renamed: u64,
    /// Attempts that the sandbox refused.
    pub refused: u64,
}

impl FolderCounts {
    /// Adds the counts of another guest.
    pub fn add(&mut self, other: Self) {
        let Self { read, written, listed, made, removed, renamed, refused } = other;
        self.read += read;
        self.written += written;
        self.listed += listed;
        self.made += made;
        self.removed += removed;
        self.renamed += renamed;
        self.refused += refused;
    }
}

/// How a guest sees a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SeenAs {
    /// As a placeholder; the gate puts the value into requests.
    Placeholder,
    /// In clear.
    Clear,
}

impl fmt::Display for SeenAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Placeholder => "placeholder",
            Self::Clear => "clear",
        })
    }
}

/// What became of a secret. No value is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretUse {
    /// The parameter.
    pub name: String,
    /// How the guest saw it.
    pub seen_as: SeenAs,
    /// Where the gate put it; not known of one that the guest saw in clear.
    pub put: Vec<SecretPut>,
}

/// How often a secret was put into requests to an origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretPut {
    /// The origin.
    pub origin: String,
    /// How often its value was put in place of the placeholder.
    pub count: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(origins: &[&str]) -> Granted {
        let origins = origins.iter().map(|origin| origin.parse().unwrap()).collect();
        Granted {
            origins,
            placeholders: vec!["Key".into()],
            revealed: vec!["Token".into()],
            ..Granted::default()
        }
    }

    #[test]
    fn origins_stand_under_their_grants_and_unused_grants_too() {
        let audit = Audit::default();
        audit.grant(granted(&["*.example.com", "localhost:8080", "https://unused.example"]));
        for origin in ["https://a.example.com", "https://a.example.com", "http://localhost:8080"] {
            audit.traffic(origin).request();
        }
        audit.traffic("https://a.example.com").sent(5);
        audit.traffic("https://a.example.com").received(7);
        let told: Vec<_> = audit
            .report()
            .origins
            .into_iter()
            .map(|used| (used.grant, used.origin, used.requests, used.request_bytes, used.response_bytes))
            .collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            told,
            [
                ("localhost:8080".to_owned(), some("http://localhost:8080"), 1, 0, 0),
                ("https://*.example.com".to_owned(), some("https://a.example.com"), 2, 5, 7),
                ("https://unused.example".to_owned(), None, 0, 0, 0),
            ]
        );
    }

    #[test]
    fn secrets_are_told_by_name_with_where_they_went() {
        let audit = Audit::default();
        audit.grant(granted(&[]));
        audit.secret_used("Key", "https://a.example", 2);
        audit.secret_used("Key", "https://a.example", 1);
        audit.secret_used("answer", "https://b.example", 1);
        let report = serde_json::to_value(audit.report().secrets).unwrap();
        assert_eq!(
            report,
            serde_json::json!([
                {"name": "Key", "seen_as": "placeholder", "put": [{"origin": "https://a.example", "count": 3}]},
                {"name": "answer", "seen_as": "placeholder", "put": [{"origin": "https://b.example", "count": 1}]},
                {"name": "Token", "seen_as": "clear", "put": []},
            ])
        );
    }

    #[test]
    fn a_guest_cannot_fill_the_memory_and_nothing_goes_uncounted() {
        let audit = Audit::default();
        audit.grant(granted(&["*.example.com"]));
        for n in 0..5_000 {
            let origin = format!("https://{n}.example.com");
            audit.traffic(&origin).request();
            audit.secret_used("Key", &origin, 1);
        }
        let report = audit.report();
        assert_eq!(report.origins.len(), ORIGINS + 1);
        assert_eq!(report.origins.iter().map(|used| used.requests).sum::<u64>(), 5_000);
        let put = &report.secrets[0].put;
        assert_eq!(put.len(), SECRET_USES + 1);
        assert_eq!(put.iter().map(|put| put.count).sum::<u64>(), 5_000);
    }

    #[test]
    fn guests_of_one_run_add_up() {
        let audit = Audit::default();
        let used = |read| FolderUse {
            guest: "/in".into(),
            host: Some("in".into()),
            access: "ro".into(),
            counts: FolderCounts { read, refused: 1, ..FolderCounts::default() },
        };
        audit.add_folders(vec![used(2)]);
        audit.add_folders(vec![used(3)]);
        let folders = audit.report().folders;
        assert_eq!(folders.len(), 1);
        assert_eq!((folders[0].counts.read, folders[0].counts.refused), (5, 2));
    }
}
