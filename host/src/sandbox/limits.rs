//! Every limit of the sandbox: one table that the configuration, the flags, the
//! documentation and the enforcement share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{ByteSize, Duration};

/// What the documentation says of a limit.
#[derive(Debug, Clone, Serialize)]
pub struct LimitInfo {
    /// The key in the configuration's `sandbox` section; the flag is the same
    /// with dashes.
    pub key: &'static str,
    /// The value when nobody says anything.
    pub default: String,
    /// What it bounds, and why the default is what it is.
    pub doc: &'static str,
}

/// A limit that was set higher than a ceiling lets it be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AboveCeiling {
    /// The limit's key.
    pub key: &'static str,
    /// What it was set to.
    pub value: String,
    /// The most that it may be.
    pub ceiling: String,
}

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident : $type:ty = $default:expr, $value_name:literal;)+) => {
        /// The limits of one run, resolved.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        /// Limits that a configuration or a command line changes.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::Args)]
        #[serde(default)]
        #[command(next_help_heading = "Limits")]
        pub struct LimitOverrides {
            $(
                $(#[doc = $doc])+
                #[arg(long, value_name = $value_name)]
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $name: Option<$type>,
            )+
        }

        impl Limits {
            /// These limits, each at most its ceiling.
            #[must_use]
            pub fn at_most(self, ceilings: &LimitOverrides) -> Self {
                Self { $($name: ceilings.$name.map_or(self.$name, |most| self.$name.min(most)),)+ }
            }
        }

        impl LimitOverrides {
            /// Those of these limits that are above their ceilings.
            #[must_use]
            pub fn above(&self, ceilings: &Self) -> Vec<AboveCeiling> {
                let mut above = Vec::new();
                $(
                    if let (Some(value), Some(most)) = (self.$name, ceilings.$name)
                        && value > most
                    {
                        above.push(AboveCeiling {
                            key: stringify!($name),
                            value: value.to_string(),
                            ceiling: most.to_string(),
                        });
                    }
                )+
                above
            }

            /// These overrides, and where they are silent those of `weaker`.
            #[must_use]
            pub fn or(self, weaker: Self) -> Self {
                Self { $($name: self.$name.or(weaker.$name),)+ }
            }

            /// The limits of a run: the overrides over the defaults.
            #[must_use]
            pub fn resolve(self) -> Limits {
                let default = Limits::default();
                Limits { $($name: self.$name.unwrap_or(default.$name),)+ }
            }
        }

        /// Every limit with its default, in the order of the documentation.
        #[must_use]
        pub fn table() -> Vec<LimitInfo> {
            let default = Limits::default();
            vec![$(LimitInfo {
                key: stringify!($name),
                default: default.$name.to_string(),
                doc: concat!($($doc, "\n"),+).trim_ascii(),
            },)+]
        }

        /// The key of every limit.
        pub const KEYS: &[&str] = &[$(stringify!($name),)+];
    };
}

limits! {
    /// Memory of the guest: all its linear memories and tables together. Enough
    /// for a page of any API; a JavaScript or Python guest may need more.
    memory: ByteSize = ByteSize::mib(256), "SIZE";
    /// Time from start to end of the run, waiting included.
    timeout: Duration = Duration::hours(1), "TIME";
    /// Processor time of the guest, without waiting.
    cpu_time: Duration = Duration::hours(1), "TIME";
    /// Time that an interrupted guest gets to return by itself.
    grace: Duration = Duration::secs(5), "TIME";
    /// Bytes that one call may hand to the host: the size of a batch of rows,
    /// a log line, a state value.
    call_bytes: ByteSize = ByteSize::mib(32), "SIZE";
    /// Resources (open files, requests, streams, writers) that the guest may
    /// hold at a time. The host keeps up to 256 KiB for one of them, beside
    /// `memory`: buffers of files and bodies, headers.
    handles: u32 = 1_000, "N";
    /// Random bytes that one call may ask for.
    random_bytes: ByteSize = ByteSize::mib(1), "SIZE";
    /// Length of a log line; the rest is cut off.
    log_line: ByteSize = ByteSize::kib(8), "SIZE";
    /// Log lines a second, in the mean; up to ten seconds' worth may come at
    /// once. What is over is counted and dropped.
    log_rate: u32 = 200, "N";
    /// Log, standard output and standard error of a run in all. What is over is
    /// counted and dropped.
    log_bytes: ByteSize = ByteSize::mib(16), "SIZE";
    /// Bytes in the scratch folder `/work`.
    scratch: ByteSize = ByteSize::mib(256), "SIZE";
    /// Files and folders in the scratch folder.
    scratch_files: u32 = 10_000, "N";
    /// HTTP requests under way at a time; more wait.
    http_concurrency: u32 = 16, "N";
    /// Size of the headers of an HTTP request or answer.
    http_header_bytes: ByteSize = ByteSize::kib(128), "SIZE";
    /// Size of the body of an HTTP request.
    http_request_bytes: ByteSize = ByteSize::mib(64), "SIZE";
    /// Size of the body of an HTTP answer, after decompression, so that a small
    /// compressed answer cannot become a huge one.
    http_response_bytes: ByteSize = ByteSize::gib(1), "SIZE";
    /// Time to connect, TLS included. The guest may ask for less.
    http_connect_timeout: Duration = Duration::secs(10), "TIME";
    /// Time from the request to the first byte of its answer. The guest may ask
    /// for less.
    http_first_byte_timeout: Duration = Duration::secs(120), "TIME";
    /// Time between two pieces of an answer's body. The guest may ask for less.
    http_idle_timeout: Duration = Duration::secs(60), "TIME";
    /// Rows in a batch.
    batch_rows: u32 = 1_000_000, "N";
    /// Tables that a run may open.
    tables: u32 = 1_000, "N";
    /// Columns of a table.
    columns: u32 = 2_000, "N";
    /// Keys and values of the state in all.
    state_bytes: ByteSize = ByteSize::mib(16), "SIZE";
    /// Keys of the state.
    state_keys: u32 = 10_000, "N";
    /// Size of the component's file.
    component_bytes: ByteSize = ByteSize::mib(128), "SIZE";
    /// Time to compile the component, where it is not in the cache.
    compile_time: Duration = Duration::secs(300), "TIME";
    /// Memory to compile the component. The compiler runs in a process of its
    /// own where the system can bound one (Linux).
    compile_memory: ByteSize = ByteSize::gib(4), "SIZE";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_lower_what_is_above_and_nothing_else() {
        let ceilings = LimitOverrides {
            memory: Some(ByteSize::mib(64)),
            tables: Some(5_000),
            timeout: Some(Duration::secs(60)),
            ..LimitOverrides::default()
        };
        let limits = Limits::default().at_most(&ceilings);
        assert_eq!((limits.memory, limits.timeout), (ByteSize::mib(64), Duration::secs(60)));
        let rest = Limits { memory: Limits::default().memory, timeout: Limits::default().timeout, ..limits };
        assert_eq!(rest, Limits::default());
    }

    #[test]
    fn what_is_above_its_ceiling_is_told() {
        let ceilings =
            LimitOverrides { memory: Some(ByteSize::mib(64)), handles: Some(5), ..LimitOverrides::default() };
        let asked = LimitOverrides {
            memory: Some(ByteSize::gib(1)),
            handles: Some(5),
            tables: Some(u32::MAX),
            ..LimitOverrides::default()
        };
        let above = AboveCeiling { key: "memory", value: "1GiB".into(), ceiling: "64MiB".into() };
        assert_eq!(asked.above(&ceilings), [above]);
        assert_eq!(LimitOverrides::default().above(&ceilings), []);
    }
}
