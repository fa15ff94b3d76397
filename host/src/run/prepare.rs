//! The first steps of a run: read, compile and ask the component; make the
//! configuration that the guest sees. Nothing is opened or reached yet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::ceilings::Ceilings;
use super::{Compiled, ComponentSource, RunnerOptions, ask, blocking, config_failure, trust};
use crate::config::problem::list;
use crate::config::resolve::{DEFAULT_STORAGE, storage_parameters};
use crate::config::wiped::Wiped;
use crate::config::{
    Config, ConfigProblems, ConnectorSpec, Problem, Resolved, RunConfig, SandboxGrants, Secrets, resolve,
};
use crate::failure::Failure;
use crate::isolation::Isolation;
use crate::report::audit::Granted;
use crate::sandbox::component::Loading;
use crate::sandbox::mount::{Access, Mount};
use crate::sandbox::{ByteSize, Component, ComponentFile, Limits, Origin};
use crate::storage::contract::Contracts;
use crate::storage::registry;

/// The database of a configuration that names no storage.
pub(super) const DEFAULT_DATABASE: &str = "ow.db";

/// Everything that a run needs to know before it opens anything.
pub(super) struct Prepared {
    pub(super) component: Component,
    pub(super) spec: ConnectorSpec,
    pub(super) resolved: Resolved,
    pub(super) secrets: Arc<Secrets>,
    pub(super) grants: SandboxGrants,
    pub(super) storage: StorageChoice,
    pub(super) run_config: RunConfig,
    pub(super) data_mart_id: String,
    pub(super) warnings: Vec<String>,
    /// The files of the policies that bound it.
    pub(super) policies: Vec<String>,
    /// The public key by which the component is signed, if somebody asked for a
    /// signature.
    pub(super) signed_by: Option<String>,
}

/// The variables of a guest's environment.
const GUEST_VARIABLES: [&str; 4] = ["OW_CONFIG", "OW_RUN_CONFIG", "OW_DATAMART_ID", "OW_RUN_ID"];

/// The storage that the configuration names, or the default.
#[derive(Clone)]
pub(super) struct StorageChoice {
    pub(super) name: String,
    pub(super) parameters: Wiped<Map<String, Value>>,
    pub(super) base_dir: PathBuf,
    pub(super) contracts: Contracts,
    /// The configuration names none.
    pub(super) is_default: bool,
    /// What should be written otherwise.
    pub(super) warnings: Vec<String>,
}

impl StorageChoice {
    /// The storage of a configuration; `None` in `config.storage` is a database
    /// in the current folder. Its parameters are checked; nothing is opened.
    pub(super) fn of(
        config: &Config,
        options: &RunnerOptions,
        secrets: &mut Secrets,
    ) -> Result<Self, ConfigProblems> {
        let Some(storage) = &config.storage else {
            let parameters = Map::from_iter([("Path".to_owned(), Value::from(DEFAULT_DATABASE))]);
            let name = DEFAULT_STORAGE.to_owned();
            let (base_dir, contracts) = (PathBuf::from("."), Contracts::default());
            let (parameters, warnings) = (parameters.into(), Vec::new());
            return Ok(Self { name, parameters, base_dir, contracts, is_default: true, warnings });
        };
        let file = config.file.as_deref();
        let name = registry::canonical_name(&storage.name)
            .map_err(|error| ConfigProblems::one(file, Problem::new("storage.name", error.to_string())))?
            .to_owned();
        let (parameters, warnings) = storage_parameters(config, &|name| options.lookup(name), secrets)?;
        let problems = registry::validate(&name, &parameters).into_iter().map(|problem| match problem {
            (Some(parameter), message) => {
                Problem::new(format!("storage.config.{parameter}"), message).parameter(parameter)
            }
            (None, message) => Problem::new("storage.config", message),
        });
        ConfigProblems::check(file, problems.collect())?;
        let (base_dir, contracts) = (config.base_dir.clone(), storage.contracts.clone());
        Ok(Self { name, parameters, base_dir, contracts, is_default: false, warnings })
    }
}

impl RunnerOptions {
    /// Looks a variable of the environment up.
    pub(super) fn lookup(&self, name: &str) -> Option<String> {
        match &self.environment {
            Some(environment) => environment(name),
            None => std::env::var(name).ok(),
        }
    }
}

impl Prepared {
    /// Name and version of the connector.
    pub(super) fn connector(&self) -> String {
        format!("{} {}", self.spec.name, self.spec.version)
    }

    /// What the run is granted, for the audit.
    pub(super) fn granted(&self) -> Granted {
        Granted {
            isolation: self.grants.isolation,
            policies: self.policies.clone(),
            signed_by: self.signed_by.clone(),
            network_denied_by: self.grants.network_denied_by.clone(),
            origins: self.granted_origins(),
            placeholders: self.secrets.iter().map(|secret| secret.name.clone()).collect(),
            revealed: self.grants.reveal_secrets.clone(),
            environment: GUEST_VARIABLES.map(str::to_owned).into(),
        }
    }

    /// The origins that the connector asks for and that are not granted. Where the
    /// network is denied that is meant, and a warning says so.
    pub(super) fn missing_grants(&self) -> Vec<String> {
        if self.grants.network_denied_by.is_some() {
            return Vec::new();
        }
        let granted = self.granted_origins();
        let covered = |requested: &&String| {
            let same = requested.parse::<Origin>().is_ok_and(|origin| granted.contains(&origin));
            let url = url::Url::parse(requested).ok();
            same || url.as_ref().is_some_and(|url| {
                let (host, port) =
                    (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
                granted.iter().any(|grant| grant.matches(url.scheme(), host, port))
            })
        };
        self.spec.network.iter().filter(|requested| !covered(requested)).cloned().collect()
    }

    /// The origins that a run may reach.
    pub(super) fn granted_origins(&self) -> Vec<Origin> {
        if self.grants.network_denied_by.is_some() {
            return Vec::new();
        }
        let requested = self.spec.network.iter().filter(|_| self.grants.allow_requested);
        let requested = requested.filter_map(|origin| origin.parse::<Origin>().ok());
        self.grants.allow_net.iter().cloned().chain(requested).collect()
    }
}

/// Steps 1 to 3 of a run.
pub(super) async fn prepare(
    options: &RunnerOptions,
    source: ComponentSource,
    config: Config,
    run_config: RunConfig,
) -> Result<Prepared, Failure> {
    crate::config::spec::warm_up();
    let data_mart_id = config.data_mart_id(options.data_mart_id.as_deref())?;
    let flags = &options.sandbox;
    let grants = config.sandbox.clone().merged(flags.clone());
    for mount in &grants.mounts {
        mount.check()?;
        check_apart(mount, options)?;
    }
    let mut ceilings = Ceilings::new(&options.policies);
    let mut grants = ceilings.grants(&config.sandbox, flags, grants);
    grants.secrets.redact_rows |= ceilings.redact_rows();
    ceilings.storage(config.storage.as_ref(), DEFAULT_STORAGE);
    let (file, signed_by) = admit(options, source, &config, &grants, &mut ceilings).await?;
    let (component, cache_note) = compile(options, file, grants.isolation, &grants.limits).await?;
    let spec = ask::spec(&component, &grants.limits, &options.cancel).await?;
    ceilings.requested(&grants, flags, &spec.network);
    ceilings.finish()?;
    let environment = |name: &str| options.lookup(name);
    let resolved = resolve(&config, &run_config, &spec, &environment, &grants.reveal_secrets);
    let mut secrets = Secrets::new();
    let storage = StorageChoice::of(&config, options, &mut secrets);
    let (mut resolved, storage) = both(resolved, storage)?;
    secrets.extend(std::mem::take(&mut resolved.secrets));
    grants.secrets.check(&secrets, &grants.reveal_secrets)?;
    secrets.set_rules(grants.secrets.clone());
    let secrets = Arc::new(secrets);
    let mut warnings = std::mem::take(&mut resolved.warnings);
    warnings.extend(unreachable(&grants, &spec));
    let more: Vec<_> = storage.warnings.iter().filter(|more| !warnings.contains(more)).cloned().collect();
    warnings.extend(more);
    warnings.extend(cache_note.map(|note| format!("the compiled component could not be kept: {note}")));
    let policies = options.policies.iter().map(|policy| policy.file.display().to_string()).collect();
    Ok(Prepared {
        component,
        spec,
        resolved,
        secrets,
        grants,
        storage,
        run_config,
        data_mart_id,
        warnings,
        policies,
        signed_by,
    })
}

/// Reads the component's file and refuses it, unless it is what the policies, the
/// configuration and the flags let run. Nothing of it has been parsed then. The
/// second value is the key by which it is signed.
async fn admit(
    options: &RunnerOptions,
    source: ComponentSource,
    config: &Config,
    grants: &SandboxGrants,
    ceilings: &mut Ceilings<'_>,
) -> Result<(ComponentFile, Option<String>), Failure> {
    let file = read(source, Some(config), &grants.limits).await;
    if let Ok(file) = &file {
        ceilings.component(file);
    }
    ceilings.finish()?;
    let file = file?;
    if let Some(pinned) = config.connector.as_ref().and_then(|connector| connector.sha256.as_deref()) {
        file.verify(pinned)?;
    }
    let signed_by = trust::check(options, Some(config), &file).await?;
    Ok((file, signed_by))
}

/// Warns of a connector that asks for origins where the network is denied.
fn unreachable(grants: &SandboxGrants, spec: &ConnectorSpec) -> Option<String> {
    let by = grants.network_denied_by.as_ref().filter(|_| !spec.network.is_empty())?;
    let asked = list(spec.network.iter().map(String::as_str));
    Some(format!("the connector asks for {asked}, and the network is denied by {by}"))
}

/// Both, or the problems of both: nobody wants to hear of the second ones only
/// after the first are mended.
fn both<A, B>(a: Result<A, ConfigProblems>, b: Result<B, ConfigProblems>) -> Result<(A, B), ConfigProblems> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(mut a), Err(b)) => {
            a.problems.extend(b.problems);
            Err(a)
        }
        (Err(problems), Ok(_)) | (Ok(_), Err(problems)) => Err(problems),
    }
}

/// Refuses to let a guest write where compiled code is kept: what stands there
/// is run as a part of the host.
fn check_apart(mount: &Mount, options: &RunnerOptions) -> Result<(), Failure> {
    let Some(cache) = options.cache.open().filter(|_| mount.access == Access::ReadWrite) else {
        return Ok(());
    };
    let (folder, cache) = (real_path(&mount.host), real_path(cache.folder()));
    if cache.starts_with(&folder) || folder.starts_with(&cache) {
        return Err(
            mount.refuse("the cache of compiled components lies in it, which a connector must not write")
        );
    }
    Ok(())
}

/// Where a path leads, through links, even if its last parts do not exist yet.
fn real_path(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real = path.ancestors().find_map(|there| {
        let rest = path.strip_prefix(there).ok()?;
        Some(there.canonicalize().ok()?.join(rest))
    });
    real.unwrap_or(path)
}

/// Reads the component's file.
pub(super) async fn read(
    source: ComponentSource,
    config: Option<&Config>,
    limits: &Limits,
) -> Result<ComponentFile, Failure> {
    let path = match source {
        ComponentSource::File(file) => return Ok(file),
        ComponentSource::Path(path) => path,
        ComponentSource::Configured => {
            let connector = config.and_then(|config| config.connector.as_ref());
            connector.map(|connector| connector.path.clone()).ok_or_else(|| {
                config_failure("no connector is named").with_hint(
                    "give the `.wasm` file as an argument, or as `connector.path` in the configuration",
                )
            })?
        }
    };
    let max: ByteSize = limits.component_bytes;
    blocking(move || ComponentFile::read(&path, max)).await?
}

/// Takes the component from the cache or compiles it.
pub(super) async fn compile(
    options: &RunnerOptions,
    file: ComponentFile,
    isolation: Isolation,
    limits: &Limits,
) -> Result<Compiled, Failure> {
    let (cache, workers, limits) = (options.cache.clone(), options.workers.clone(), limits.clone());
    blocking(move || {
        let cache = cache.open();
        let loading =
            Loading { cache: cache.as_ref(), program: workers.as_ref(), isolation, limits: &limits };
        Component::load(&file, &loading)
    })
    .await?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::CacheOption;

    #[test]
    fn a_guest_cannot_write_into_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let check = |mount: &str, cache: &str| {
            let mount: Mount = format!("{}:/data:{mount}", folder.path().display()).parse().unwrap();
            let cache = CacheOption::Folder(folder.path().join(cache));
            check_apart(&mount, &RunnerOptions { cache, ..RunnerOptions::default() })
        };
        assert!(check("rw", "cache/that/is/not/there/yet").is_err());
        assert!(check("rw", ".").is_err());
        assert!(check("ro", "cache").is_ok());
        let beside: Mount = format!("{}:/data:rw", folder.path().join("data").display()).parse().unwrap();
        let cache = CacheOption::Folder(folder.path().join("cache"));
        assert!(check_apart(&beside, &RunnerOptions { cache, ..RunnerOptions::default() }).is_ok());
    }
}
