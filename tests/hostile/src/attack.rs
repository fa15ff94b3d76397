//! What the table says of an attack.

use e2e::components;

/// One attack.
#[derive(Debug, Clone, Copy)]
pub struct Attack {
    /// What it tries, in the words of the documentation.
    pub tries: &'static str,
    /// What stops it, and where.
    pub stopped_by: &'static str,
    /// The function of the guest; empty if it is called like the attack.
    pub function: &'static str,
    /// The component that attacks.
    pub component: Component,
    /// Runs one after another, each with another `Case`.
    pub cases: &'static [&'static str],
    /// Flags of `ow-host run`; `{server}` and `{port}` stand for the granted server's
    /// origin and port, `{forbidden-port}` for the other one's.
    pub flags: &'static [&'static str],
    /// Where the attacker's rows go.
    pub storage: Storage,
    /// Whether the run is a `FULL_REFRESH`, which asks for the streams as well.
    pub full_refresh: bool,
    /// Whether the log is a part of the outcome.
    pub shows_log: bool,
    /// Whether somebody else swaps `/in/swapped` with a link meanwhile.
    pub swaps_links: bool,
    /// Variables of the host's own environment, where it has a process of its own.
    pub host_environment: &'static [(&'static str, &'static str)],
    /// Whether it is interrupted once the guest says `begun`.
    pub interrupted: bool,
    /// What comes of it, line by line: see [`crate::transcript`]. Empty if only
    /// the tests that `tests` names run it.
    pub outcome: &'static [&'static str],
    /// Tests beside the one of this table, as `path/to/file.rs::name`.
    pub tests: &'static [&'static str],
}

impl Attack {
    /// One run of the hostile guest into SQLite.
    pub const RUN: Self = Self {
        tries: "",
        stopped_by: "",
        function: "",
        component: Component::Guest,
        cases: &[""],
        flags: &[],
        storage: Storage::Sqlite,
        full_refresh: false,
        shows_log: false,
        swaps_links: false,
        host_environment: &[],
        interrupted: false,
        outcome: &[],
        tests: &[],
    };

    /// Whether it is run here, and not by tests elsewhere alone.
    #[must_use]
    pub const fn runs_here(&self) -> bool {
        !self.outcome.is_empty()
    }
}

/// The component of an attack.
#[derive(Debug, Clone, Copy)]
pub enum Component {
    /// The hostile guest.
    Guest,
    /// The guest with a core module beside it, in so many instances.
    Beside(&'static str, usize),
    /// The guest with another description of itself: see its `spec.rs`.
    Spec(u8),
    /// The guest with so many custom sections of one name.
    Sections(&'static str, usize),
    /// The guest's first bytes, so many in a hundred.
    Cut(usize),
    /// The guest with a first section of an unknown kind.
    Damaged,
}

impl Component {
    /// The component's file, made from the hostile guest's.
    #[must_use]
    pub fn of(self, mut guest: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Guest => guest,
            Self::Beside(module, times) => components::beside_of(guest, module, times),
            Self::Spec(mode) => components::with_digits(guest, b"hostile-spec-mode=00", mode),
            Self::Sections(name, times) => (0..times).fold(guest, |bytes, number| {
                components::with_custom_section(bytes, name, format!("forged {number}").as_bytes())
            }),
            Self::Cut(percent) => {
                guest.truncate(guest.len() * percent / 100);
                guest
            }
            Self::Damaged => {
                guest[8] = 0xff;
                guest
            }
        }
    }
}

/// Where the rows of an attack go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// A database of its own; its rows and tables are part of the outcome.
    Sqlite,
    /// A folder of its own; its files are part of the outcome.
    LocalFiles,
    /// Nowhere.
    Discard,
}

/// Declares a family of attacks: a slice `ATTACKS`, and a macro that hands their
/// names to another macro, so that each becomes a test of its own.
#[macro_export]
macro_rules! attacks {
    ($dollar:tt $each:ident: $($name:ident => $attack:expr;)+) => {
        /// The attacks of this family, by name.
        pub static ATTACKS: &[(&str, $crate::Attack)] = &[$((stringify!($name), $attack)),+];

        /// Hands the names of this family's attacks to a macro.
        #[macro_export]
        macro_rules! $each {
            ($dollar callback:ident) => { $dollar callback! { $($name)+ } };
        }
    };
}
