//! Every attack: the source of the tests and of the table in `docs/security.md`.

use crate::Attack;

pub mod calls;
pub mod components;
pub mod environment;
pub mod files;
pub mod memory;
pub mod names;
pub mod network;
pub mod output;
pub mod secrets;
pub mod streams;
pub mod time;

/// Attacks of one kind.
#[derive(Debug)]
pub struct Family {
    /// Its heading in the documentation.
    pub title: &'static str,
    /// Its module, here and of its tests.
    pub module: &'static str,
    /// Its attacks, by name.
    pub attacks: &'static [(&'static str, Attack)],
}

/// The families, in the order of the documentation.
pub static FAMILIES: &[Family] = &[
    Family { title: "Memory", module: "memory", attacks: memory::ATTACKS },
    Family { title: "Time", module: "time", attacks: time::ATTACKS },
    Family { title: "Log, output and messages", module: "output", attacks: output::ATTACKS },
    Family { title: "Handles and calls", module: "calls", attacks: calls::ATTACKS },
    Family { title: "Batches, streams and state", module: "streams", attacks: streams::ATTACKS },
    Family { title: "Files", module: "files", attacks: files::ATTACKS },
    Family { title: "The machine", module: "environment", attacks: environment::ATTACKS },
    Family { title: "HTTP", module: "network", attacks: network::ATTACKS },
    Family { title: "Secrets", module: "secrets", attacks: secrets::ATTACKS },
    Family { title: "Names", module: "names", attacks: names::ATTACKS },
    Family { title: "The component", module: "components", attacks: components::ATTACKS },
];

/// Every attack, by name.
pub fn all() -> impl Iterator<Item = &'static (&'static str, Attack)> {
    FAMILIES.iter().flat_map(|family| family.attacks)
}

/// The attack of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Attack> {
    all().find(|(known, _)| *known == name).map(|(_, attack)| attack)
}
