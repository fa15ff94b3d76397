//! What a run was granted and used, in words: a line for each kind that was used
//! or refused, or a list of everything.

use std::fmt::Write as _;

use indicatif::{HumanBytes, HumanCount};

use crate::isolation::Isolation;
use crate::report::audit::{AuditReport, FolderCounts, OriginUse, SecretUse, SeenAs};
use crate::report::{DeniedCount, RunReport};

/// Items of a line; what is over is counted.
const SHOWN: usize = 5;

/// The part of a run's summary that tells of its capabilities. Nothing, if none was
/// used or refused and not `all` are wanted.
pub(super) fn audit_text(report: &RunReport, all: bool) -> String {
    let audit = &report.audit;
    let mut lines = Lines { text: String::new(), all };
    let apart = Some(audit.isolation).filter(|isolation| *isolation != Isolation::None);
    lines.add("isolation", apart.iter().map(ToString::to_string).collect());
    lines.add("policies", audit.policies.clone());
    lines.add("signed", audit.signed_by.iter().map(|key| format!("with the key of {key}")).collect());
    lines.add("network", network(audit, all));
    lines.add("folders", folders(audit, all));
    lines.add("secrets", secrets(audit, all));
    lines.add("environment", if all { audit.environment.clone() } else { Vec::new() });
    lines.add("refused", report.denied.iter().map(refused).collect());
    lines.text
}

struct Lines {
    text: String,
    all: bool,
}

impl Lines {
    /// One item a line if all are wanted, else the first few on one.
    fn add(&mut self, what: &str, items: Vec<String>) {
        if self.all && items.is_empty() {
            let _ = writeln!(self.text, "  {what}: none");
        } else if self.all {
            let _ = writeln!(self.text, "  {what}:");
            for item in items {
                let _ = writeln!(self.text, "    {item}");
            }
        } else if !items.is_empty() {
            let more = match items.len().checked_sub(SHOWN) {
                None | Some(0) => String::new(),
                Some(more) => format!("; and {more} more (--audit lists all)"),
            };
            let shown: Vec<String> = items.into_iter().take(SHOWN).collect();
            let _ = writeln!(self.text, "  {what}: {}{more}", shown.join("; "));
        }
    }
}

fn network(audit: &AuditReport, all: bool) -> Vec<String> {
    let denied = audit.network_denied_by.iter().map(|by| format!("denied by {by}"));
    let used = audit.origins.iter().filter(|used| all || used.requests > 0).map(origin);
    denied.chain(used).collect()
}

fn origin(used: &OriginUse) -> String {
    let name = match &used.origin {
        Some(origin) if *origin != used.grant => format!("{origin} (by {})", used.grant),
        _ => used.grant.clone(),
    };
    if used.requests == 0 {
        return format!("{name} not used");
    }
    let plural = if used.requests == 1 { "" } else { "s" };
    format!(
        "{name} {} request{plural} ({} sent, {} received)",
        HumanCount(used.requests),
        HumanBytes(used.request_bytes),
        HumanBytes(used.response_bytes)
    )
}

fn folders(audit: &AuditReport, all: bool) -> Vec<String> {
    let unused = FolderCounts::default();
    let folders = audit.folders.iter().filter(|folder| all || folder.counts != unused);
    folders
        .map(|folder| {
            let host = match &folder.host {
                Some(host) if all => format!(" ({host}, {})", folder.access),
                _ => String::new(),
            };
            format!("{}{host} {}", folder.guest, counts(&folder.counts))
        })
        .collect()
}

fn counts(counts: &FolderCounts) -> String {
    let FolderCounts { read, written, listed, made, removed, renamed, refused } = *counts;
    let told: Vec<String> = [
        (read, "read"),
        (written, "written"),
        (listed, "listed"),
        (made, "made"),
        (removed, "removed"),
        (renamed, "renamed"),
        (refused, "refused"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{} {what}", HumanCount(count)))
    .collect();
    if told.is_empty() { "not used".to_owned() } else { told.join(", ") }
}

fn secrets(audit: &AuditReport, all: bool) -> Vec<String> {
    let used = |secret: &&SecretUse| all || secret.seen_as == SeenAs::Clear || !secret.put.is_empty();
    audit.secrets.iter().filter(used).map(secret).collect()
}

fn secret(used: &SecretUse) -> String {
    if used.seen_as == SeenAs::Clear {
        return format!("{} seen in clear", used.name);
    }
    let put: Vec<String> = used
        .put
        .iter()
        .take(SHOWN)
        .map(|put| format!("{} x to {}", HumanCount(put.count), put.origin))
        .collect();
    let more = match used.put.len().checked_sub(SHOWN) {
        None | Some(0) => String::new(),
        Some(more) => format!(", and to {more} more"),
    };
    if put.is_empty() {
        format!("{} not used", used.name)
    } else {
        format!("{} {}{more}", used.name, put.join(", "))
    }
}

fn refused(DeniedCount { denied, count }: &DeniedCount) -> String {
    format!("{} x {} ({})", HumanCount(*count), denied.attempt, denied.reason)
}
