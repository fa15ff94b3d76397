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

/// The families, in the order of the documentation.
pub static FAMILIES: &[(&str, &[(&str, Attack)])] = &[
    ("Memory", memory::ATTACKS),
    ("Time", time::ATTACKS),
    ("Log, output and messages", output::ATTACKS),
    ("Handles and calls", calls::ATTACKS),
    ("Batches, streams and state", streams::ATTACKS),
    ("Files", files::ATTACKS),
    ("The machine", environment::ATTACKS),
    ("HTTP", network::ATTACKS),
    ("Secrets", secrets::ATTACKS),
    ("Names", names::ATTACKS),
    ("The component", components::ATTACKS),
];

/// The attack of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Attack> {
    let mut all = FAMILIES.iter().flat_map(|(_, attacks)| attacks.iter());
    all.find(|(known, _)| *known == name).map(|(_, attack)| attack)
}
