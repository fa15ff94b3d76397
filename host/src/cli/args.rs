//! What one can type.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::config::{RunType, SandboxFlags};
use crate::failure::FailureClass;
use crate::isolation::Isolation;
use crate::run::CacheOption;
use crate::sandbox::{ByteSize, Limits};

/// Run data connectors that nobody has to trust
///
/// A connector is a WebAssembly component. Each run gets a fresh sandbox that can
/// do nothing but what you grant: folders, HTTP origins, a storage for its rows.
#[derive(Debug, Parser)]
#[command(name = "ow-host", version, max_term_width = 100, after_help = exit_codes())]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,

    #[command(flatten)]
    pub(super) global: Global,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub(super) struct Global {
    /// How to print: for people, or JSON for programs
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(super) output: Output,

    /// Print errors and the result only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,

    /// Print debug messages too
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Output {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON document, or one event a line
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a connector: fetch rows and write them to the storage
    Run(Run),
    /// Say what a file is, and what the connector in it asks for
    Inspect(Inspect),
    /// Sign a component: writes FILE.sig beside it
    ///
    /// The signature is a raw one of Ed25519, 64 bytes, over the file's bytes. OpenSSL
    /// makes and checks the same: `openssl pkeyutl -sign -rawin -inkey key.pem -in FILE
    /// -out FILE.sig`.
    Sign(Sign),
    /// Check the signature of a component
    Verify(Verify),
    /// Make a key pair to sign components with
    Keygen(Keygen),
    /// Check a configuration against its connector, without network or storage
    Validate(Validate),
    /// Let the connector reach its source with the configuration's credentials,
    /// and reach the storage
    Check(Probe),
    /// List the streams that a run with this configuration can produce
    Discover(Probe),
    /// Show the first rows of a connector's streams, without a storage
    ///
    /// The connector runs in the same sandbox as in `run`, with the same grants and
    /// limits, but into no storage: nothing is kept, no state is read or changed. It
    /// is stopped as soon as there are enough rows; before a stream that it comes to
    /// late, it fetches the others.
    ///
    /// Secrets stand as `***`, control characters as escapes. NULL is no value, `""`
    /// is an empty text. What is wider than the terminal is cut with `…`;
    /// `--output json` shows everything, one `{"stream": …, "row": {…}}` a line.
    #[command(after_help = PREVIEW_EXAMPLES)]
    Preview(Preview),
    /// Show or reset what a data mart remembers from run to run
    #[command(subcommand)]
    State(State),
    /// Print the JSON Schema of a file that ow-host reads
    #[command(subcommand)]
    Schema(Schema),
    /// List the storages that rows can go to, with their parameters
    Storages,
    /// Manage the cache of compiled components
    #[command(subcommand)]
    Cache(Cache),
    /// List every limit of the sandbox with its default
    Limits,
    /// Print a script that completes ow-host's commands in your shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// The connector and its configuration.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// The connector's `.wasm` file; may be left out when the configuration has
    /// `connector.path`
    #[arg(value_hint = ValueHint::FilePath)]
    pub(super) component: Option<PathBuf>,

    #[command(flatten)]
    pub(super) config: ConfigFile,

    #[command(flatten)]
    pub(super) cache: CacheFlags,

    #[command(flatten)]
    pub(super) trust: TrustFlags,

    #[command(flatten)]
    pub(super) sandbox: SandboxFlags,
}

/// What a component and a run must be, whatever the configuration says.
#[derive(Debug, Args)]
#[command(next_help_heading = "Trust")]
pub(super) struct TrustFlags {
    /// Run the component only if this public key (PEM, Ed25519) signed it, in FILE.sig
    /// beside it. Repeat it for more keys, of which one is enough. What the
    /// configuration's `connector.signature` and a policy ask for has to be satisfied too
    #[arg(long, value_name = "PUBLIC.pem", value_hint = ValueHint::FilePath)]
    pub(super) require_signature: Vec<PathBuf>,

    #[command(flatten)]
    pub(super) policy: PolicyFlags,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Trust")]
pub(super) struct PolicyFlags {
    /// Refuse what is above the ceilings of this policy file (`ow-host schema policy`).
    /// Repeat it for more; all of them count, and so does that of the environment
    /// variable OW_POLICY
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) policy: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// The configuration: a JSON file with `name`, `source`, and optionally
    /// `storage`, `sandbox` and `connector`; `-` reads standard input
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) config: PathBuf,

    /// What the rows and the state belong to [default: `datamartId` of the
    /// configuration, else its `name`]
    #[arg(long, value_name = "ID")]
    pub(super) data_mart: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct CacheFlags {
    /// Keep compiled components in this folder instead of the user's cache folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) cache_dir: Option<PathBuf>,

    /// Compile the component anew and keep nothing
    #[arg(long, conflicts_with = "cache_dir")]
    pub(super) no_cache: bool,
}

impl CacheFlags {
    pub(super) fn option(&self) -> CacheOption {
        match (&self.cache_dir, self.no_cache) {
            (_, true) => CacheOption::Off,
            (Some(folder), _) => CacheOption::Folder(folder.clone()),
            (None, false) => CacheOption::User,
        }
    }
}

/// What kind of run it is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run configuration")]
pub(super) struct RunFlags {
    /// The run configuration: a JSON file with `type`, `data` and `state`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) run_config: Option<PathBuf>,

    /// INCREMENTAL goes on from the stored state (the default); MANUAL_BACKFILL
    /// fetches the range that --set gives and leaves the state alone;
    /// FULL_REFRESH replaces each table when it succeeds; CUSTOM passes `data` on
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) run_type: Option<RunType>,

    /// Override a parameter for this run; without --type it is a MANUAL_BACKFILL
    #[arg(long, value_name = "NAME=VALUE", value_parser = crate::config::run_config::parse_set)]
    pub(super) set: Vec<(String, String)>,

    /// Start from the state in this JSON file instead of the stored state
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) state: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) target: Target,

    #[command(flatten)]
    pub(super) run: RunFlags,

    /// The run's name [default: a new UUID]
    #[arg(long, value_name = "ID")]
    pub(super) run_id: Option<String>,

    /// List every capability that was granted, what was not used too (JSON output
    /// always does)
    #[arg(long)]
    pub(super) audit: bool,
}

#[derive(Debug, Args)]
pub(super) struct Validate {
    #[command(flatten)]
    pub(super) target: Target,

    #[command(flatten)]
    pub(super) run: RunFlags,
}

#[derive(Debug, Args)]
pub(super) struct Probe {
    #[command(flatten)]
    pub(super) target: Target,
}

#[derive(Debug, Args)]
pub(super) struct Preview {
    #[command(flatten)]
    pub(super) target: Target,

    /// Show this stream only (repeat for more) [default: all; `discover` lists them]
    #[arg(long, value_name = "NAME", help_heading = "What to show")]
    pub(super) stream: Vec<String>,

    /// Rows of each stream
    #[arg(long, value_name = "ROWS", help_heading = "What to show", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) limit: u32,

    #[command(flatten)]
    pub(super) run: RunFlags,
}

/// What one may want of `preview`.
const PREVIEW_EXAMPLES: &str = "\
Examples:
  ow-host preview holidays.wasm --config cfg.json
      20 rows of each stream; ends early if all streams have as many
  ow-host preview holidays.wasm --config cfg.json --stream publicHolidays --limit 5
      5 rows of one stream, and no longer a wait than they take
  ow-host preview --config cfg.json --set StartDate=2024-01-01 --state state.json
      the rows of a backfill, or of a run that goes on from a state
  ow-host preview --config cfg.json --output json | jq .row
      for programs";

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(super) file: PathBuf,

    #[command(flatten)]
    pub(super) cache: CacheFlags,

    #[command(flatten)]
    pub(super) trust: TrustFlags,

    /// What keeps the component apart from the host, beside the WebAssembly sandbox,
    /// while it says what it asks for
    #[arg(long, value_enum, value_name = "WALL", help_heading = "Sandbox")]
    pub(super) isolation: Option<Isolation>,
}

/// A component that is signed or checked.
#[derive(Debug, Args)]
pub(super) struct SignedFile {
    /// The component's `.wasm` file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(super) file: PathBuf,

    /// Take files up to this size
    #[arg(long, value_name = "SIZE", default_value_t = Limits::default().component_bytes)]
    pub(super) component_bytes: ByteSize,
}

#[derive(Debug, Args)]
pub(super) struct Sign {
    #[command(flatten)]
    pub(super) component: SignedFile,

    /// The private key: PEM (PKCS #8) of Ed25519, as `ow-host keygen` and `openssl
    /// genpkey -algorithm ed25519` write it
    #[arg(long, value_name = "KEY.pem", value_hint = ValueHint::FilePath)]
    pub(super) key: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    pub(super) component: SignedFile,

    /// The public key: PEM of Ed25519. Repeat it for more, of which one is enough
    #[arg(long, value_name = "PUBLIC.pem", value_hint = ValueHint::FilePath, required = true)]
    pub(super) key: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Keygen {
    /// Where to write the private key, readable to you alone; no file is overwritten
    #[arg(value_name = "KEY.pem", value_hint = ValueHint::FilePath)]
    pub(super) private: PathBuf,

    /// Where to write the public key [default: KEY.pub.pem beside the private one]
    #[arg(long, value_name = "PUBLIC.pem", value_hint = ValueHint::FilePath)]
    pub(super) public: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum State {
    /// Print the state as a JSON object
    Show {
        #[command(flatten)]
        config: ConfigFile,

        #[command(flatten)]
        policy: PolicyFlags,
    },
    /// Remove the state, so that the next incremental run starts anew
    Reset {
        /// The keys to remove [default: all]
        keys: Vec<String>,

        #[command(flatten)]
        config: ConfigFile,

        #[command(flatten)]
        policy: PolicyFlags,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Schema {
    /// The configuration file
    Config,
    /// The run configuration
    RunConfig,
    /// The policy file
    Policy,
    /// The parameters of a storage
    Storage {
        /// Its name, such as Sqlite
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Cache {
    /// Remove every compiled component
    Clear {
        #[command(flatten)]
        cache: CacheFlags,
    },
    /// Print where compiled components are kept
    Dir {
        #[command(flatten)]
        cache: CacheFlags,
    },
}

/// The table of exit codes, from the same constants that the process ends with.
fn exit_codes() -> String {
    let rows =
        FailureClass::ALL.iter().map(|class| format!("  {:>3}  {}", class.exit_code(), class.meaning()));
    format!("Exit codes:\n    0  success\n{}", rows.collect::<Vec<_>>().join("\n"))
}
