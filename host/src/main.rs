//! The command `ow-host`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ow_host::cli::main()
}
