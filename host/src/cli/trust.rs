//! The policies that bound a command: those of its flags and that of the machine.

use std::path::PathBuf;

use super::args::PolicyFlags;
use crate::config::Policy;
use crate::failure::Failure;

/// The variable that names the policy of a machine.
const POLICY_VARIABLE: &str = "OW_POLICY";

/// Every policy that counts. A flag adds one and takes none away.
///
/// # Errors
///
/// If one of them cannot be used: nothing runs without it.
pub(super) fn policies(flags: &PolicyFlags) -> Result<Vec<Policy>, Failure> {
    let of_machine = std::env::var_os(POLICY_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let files = of_machine.into_iter().chain(flags.policy.iter().cloned());
    files.map(|file| Ok(Policy::load(&file)?)).collect()
}
