//! Who must have signed a component before anything of it is parsed or run: the
//! flag, the configuration and each policy may ask, and each must be satisfied.

use std::path::PathBuf;

use super::{RunnerOptions, blocking};
use crate::config::Config;
use crate::failure::Failure;
use crate::sandbox::ComponentFile;
use crate::sandbox::signature::{self, PublicKey};

/// One who asks for a signature.
struct Demand {
    /// Who, for messages.
    by: String,
    /// Of these keys one is enough.
    keys: Vec<PathBuf>,
}

fn demands(options: &RunnerOptions, config: Option<&Config>) -> Vec<Demand> {
    let by_flag = Demand { by: "--require-signature".into(), keys: options.require_signature.clone() };
    let connector = config.and_then(|config| config.connector.as_ref());
    let keys = connector.map(|connector| connector.signature_keys.clone()).unwrap_or_default();
    let in_file = Demand { by: "`connector.signature` of the configuration".into(), keys };
    let by_policy = options.policies.iter().map(|policy| Demand {
        by: format!("the policy {}", policy.file.display()),
        keys: policy.require_signature.clone(),
    });
    [by_flag, in_file].into_iter().chain(by_policy).filter(|demand| !demand.keys.is_empty()).collect()
}

/// Checks the signature of a component for each who asks for one; the keys by
/// which it is signed, none if nobody asks.
pub(super) async fn check(
    options: &RunnerOptions,
    config: Option<&Config>,
    file: &ComponentFile,
) -> Result<Option<String>, Failure> {
    let demands = demands(options, config);
    if demands.is_empty() {
        return Ok(None);
    }
    let file = file.clone();
    blocking(move || {
        let mut signers: Vec<String> = Vec::new();
        for demand in &demands {
            let signer = satisfied(demand, &file).map_err(|failure| {
                let message = format!("{} (a signature is required by {})", failure.message, demand.by);
                Failure { message, ..failure }
            })?;
            if !signers.contains(&signer) {
                signers.push(signer);
            }
        }
        Ok(Some(signers.join(", ")))
    })
    .await?
}

fn satisfied(demand: &Demand, file: &ComponentFile) -> Result<String, Failure> {
    let keys = demand.keys.iter().map(|key| PublicKey::read(key)).collect::<Result<Vec<_>, _>>()?;
    signature::verify(file, &keys).map(|key| key.name().to_owned())
}
