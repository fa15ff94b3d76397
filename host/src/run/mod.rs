//! One run from start to end, and the smaller things one does with a
//! connector: the only module that knows all others.

use std::path::PathBuf;
use std::sync::Arc;

use self::ceilings::Ceilings;
use crate::cancel::Cancel;
use crate::config::{Config, ConnectorSpec, Policy, RunConfig, SandboxConfig, SandboxFlags, SandboxGrants};
use crate::failure::{Failure, FailureClass};
use crate::isolation::Program;
use crate::report::{RunReport, Sink};
use crate::sandbox::http::Resolve;
use crate::sandbox::signature;
use crate::sandbox::{Cache, Component, ComponentFile, FileKind, Limits};
use crate::storage::TableSchema;

mod ask;
pub(crate) mod ceilings;
mod execute;
mod observe;
mod prepare;
mod preview;
mod reach;
mod session;
pub mod state;
mod trust;

pub use self::preview::{Cell, Preview, PreviewOptions, PreviewStream};

/// Where a connector comes from.
#[derive(Debug, Clone)]
pub enum ComponentSource {
    /// A file.
    Path(PathBuf),
    /// A file that was read already.
    File(ComponentFile),
    /// The file that the configuration names under `connector.path`.
    Configured,
}

impl From<PathBuf> for ComponentSource {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl From<&str> for ComponentSource {
    fn from(path: &str) -> Self {
        Self::Path(path.into())
    }
}

impl From<ComponentFile> for ComponentSource {
    fn from(file: ComponentFile) -> Self {
        Self::File(file)
    }
}

/// Where compiled components are kept.
#[derive(Debug, Clone, Default)]
pub enum CacheOption {
    /// In the user's cache folder.
    #[default]
    User,
    /// In this folder.
    Folder(PathBuf),
    /// Nowhere: each run compiles.
    Off,
}

/// What a [`Runner`] does the same way in every run.
#[derive(Clone, Default)]
pub struct RunnerOptions {
    /// Where compiled components are kept.
    pub cache: CacheOption,
    /// What compiles components, and runs those that are isolated in a process of
    /// their own. By default components are compiled in this process, and runs
    /// cannot be isolated.
    pub workers: Option<Program>,
    /// What is granted and bounded beside what the configuration says.
    pub sandbox: SandboxFlags,
    /// Public keys (PEM files), of which one must have signed the component; none:
    /// no signature is asked for here.
    pub require_signature: Vec<PathBuf>,
    /// Ceilings that the configuration and these options cannot exceed; all of
    /// them count.
    pub policies: Vec<Policy>,
    /// What the rows and the state belong to; by default `datamartId` of the
    /// configuration, else its `name`.
    pub data_mart_id: Option<String>,
    /// The run's name; by default a new UUID of version 7, so that runs sort by
    /// their start.
    pub run_id: Option<String>,
    /// Receives what happens.
    pub events: Option<Sink>,
    /// Ends the run early when raised.
    pub cancel: Cancel,
    /// Where `{"env": "NAME"}` values come from; by default this process's
    /// environment.
    pub environment: Option<Environment>,
    /// What resolves the names of granted origins; by default the system.
    pub resolver: Option<Arc<dyn Resolve>>,
}

/// Looks a variable of the environment up.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

impl std::fmt::Debug for RunnerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunnerOptions")
            .field("cache", &self.cache)
            .field("sandbox", &self.sandbox)
            .finish_non_exhaustive()
    }
}

/// What a component says of itself and what its file is.
#[derive(Debug, Clone, serde::Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// The file.
    pub file: String,
    /// What it is.
    pub kind: FileKind,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256 in hexadecimal, to be pinned as `connector.sha256`.
    pub digest: String,
    /// The signature file beside it, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The public key by which it is signed; absent if nobody asked for a
    /// signature, so that none was checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// The interfaces it imports.
    pub imports: Vec<String>,
    /// The interfaces it exports.
    pub exports: Vec<String>,
    /// What it says of itself, if it can run here.
    pub spec: Option<ConnectorSpec>,
    /// The streams that it has whatever its configuration; none if they depend
    /// on it, or are no streams that a run could have.
    pub streams: Option<Vec<TableSchema>>,
    /// Why it cannot run here.
    pub failure: Option<Failure>,
}

/// A configuration that fits its connector.
#[derive(Debug, Clone, serde::Serialize)]
#[non_exhaustive]
pub struct Validation {
    /// Name and version of the connector.
    pub connector: String,
    /// What a run's rows and state would belong to.
    pub data_mart_id: String,
    /// The storage.
    pub storage: String,
    /// What is right, but perhaps not meant.
    pub warnings: Vec<String>,
    /// The origins that the connector asks for and that are not granted.
    pub missing_grants: Vec<String>,
}

/// A source and a storage that can be reached.
#[derive(Debug, Clone, serde::Serialize)]
#[non_exhaustive]
pub struct Reached {
    /// The storage's name.
    pub storage: String,
    /// What was found there.
    pub found: String,
}

/// Runs connectors. Cheap to make and to clone; all runners of a process share
/// one engine, and any number of runs may be under way at once.
///
/// ```no_run
/// use ow_host::config::{Config, RunConfig};
/// use ow_host::{Runner, RunnerOptions};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config::load("cfg.json".as_ref())?;
/// let report = Runner::new(RunnerOptions::default()).run("connector.wasm", config, RunConfig::default()).await;
/// println!("{:?}, {} commits", report.status, report.commits);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Runner {
    options: RunnerOptions,
}

impl Runner {
    /// A runner.
    #[must_use]
    pub fn new(options: RunnerOptions) -> Self {
        Self { options }
    }

    /// Runs a connector. The report says how it went, failures too. Dropping
    /// the future stops the guest and drops what was not committed.
    pub async fn run(
        &self,
        component: impl Into<ComponentSource>,
        config: Config,
        run_config: RunConfig,
    ) -> RunReport {
        execute::run(&self.options, component.into(), config, run_config).await
    }

    /// Says what a file is and what it asks for. A file that is no connector is
    /// no failure here: the inspection says what it is.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub async fn inspect(&self, path: PathBuf) -> Result<Inspection, Failure> {
        let mut ceilings = Ceilings::new(&self.options.policies);
        let nothing = SandboxConfig::default();
        let flags = &self.options.sandbox;
        let grants = ceilings.grants(&nothing, flags, nothing.clone().merged(flags.clone()));
        let SandboxGrants { isolation, limits, .. } = grants;
        let file = prepare::read(ComponentSource::Path(path), None, &limits).await?;
        let mut inspection = Inspection {
            file: file.name.clone(),
            kind: file.kind(),
            size: u64::try_from(file.bytes.len()).unwrap_or(u64::MAX),
            digest: file.digest(),
            signature: signature_beside(&file),
            signed_by: None,
            imports: Vec::new(),
            exports: Vec::new(),
            spec: None,
            streams: None,
            failure: None,
        };
        let described = async {
            ceilings.component(&file);
            ceilings.finish()?;
            inspection.signed_by = trust::check(&self.options, None, &file).await?;
            let (component, _) = prepare::compile(&self.options, file, isolation, &limits).await?;
            inspection.imports.clone_from(&component.imports);
            inspection.exports.clone_from(&component.exports);
            let (spec, streams) = ask::describe(&component, &limits, &self.options.cancel).await?;
            inspection.spec = Some(spec);
            inspection.streams = streams;
            Ok(())
        };
        inspection.failure = described.await.err();
        Ok(inspection)
    }

    /// Checks a configuration against its connector, without network or storage.
    ///
    /// # Errors
    ///
    /// If the configuration does not fit, or the component cannot run here.
    pub async fn validate(
        &self,
        component: impl Into<ComponentSource>,
        config: Config,
        run_config: RunConfig,
    ) -> Result<Validation, Failure> {
        let prepared = prepare::prepare(&self.options, component.into(), config, run_config).await?;
        Ok(Validation {
            connector: prepared.connector(),
            data_mart_id: prepared.data_mart_id.clone(),
            storage: prepared.storage.name.clone(),
            missing_grants: prepared.missing_grants(),
            warnings: prepared.warnings,
        })
    }

    /// Lets the connector reach its source, and reaches the storage. Nothing is
    /// written.
    ///
    /// # Errors
    ///
    /// If the source cannot be reached, with the connector's reason, or the
    /// storage, with its own.
    pub async fn check(
        &self,
        component: impl Into<ComponentSource>,
        config: Config,
    ) -> Result<Reached, Failure> {
        let prepared =
            prepare::prepare(&self.options, component.into(), config, RunConfig::default()).await?;
        reach::check(&self.options, &prepared).await
    }

    /// The streams that a run with this configuration can produce.
    ///
    /// # Errors
    ///
    /// If the configuration does not fit, or the connector fails.
    pub async fn discover(
        &self,
        component: impl Into<ComponentSource>,
        config: Config,
    ) -> Result<Vec<TableSchema>, Failure> {
        let prepared =
            prepare::prepare(&self.options, component.into(), config, RunConfig::default()).await?;
        ask::discover(&self.options, &prepared).await
    }

    /// The first rows of the connector's streams. It runs as always, but into no
    /// storage and from no stored state, and is stopped as soon as there are
    /// enough rows.
    ///
    /// # Errors
    ///
    /// If the run could not begin. A run that fails later is told in the preview,
    /// beside the rows that it brought.
    pub async fn preview(
        &self,
        component: impl Into<ComponentSource>,
        config: Config,
        run_config: RunConfig,
        wanted: PreviewOptions,
    ) -> Result<Preview, Failure> {
        // Where the rows of a run would go is no matter here.
        let config = Config { storage: None, ..config };
        let policies = self.options.policies.iter().map(Policy::without_storages).collect();
        let options = RunnerOptions { policies, ..self.options.clone() };
        let prepared = prepare::prepare(&options, component.into(), config, run_config).await?;
        preview::preview(&self.options, &prepared, wanted).await
    }
}

/// The signature file beside a component, where there is one.
fn signature_beside(file: &ComponentFile) -> Option<String> {
    let path = signature::path_of(file.path.as_ref()?);
    path.is_file().then(|| path.display().to_string())
}

/// A failure of the configuration with one problem.
fn config_failure(message: impl Into<String>) -> Failure {
    Failure::new(FailureClass::Config, message)
}

/// The compiled component and a note about the cache.
type Compiled = (Component, Option<String>);

impl CacheOption {
    fn open(&self) -> Option<Cache> {
        match self {
            Self::User => Cache::of_user(),
            Self::Folder(folder) => Some(Cache::new(folder)),
            Self::Off => None,
        }
    }
}

/// Waits for work that computes or blocks, on a thread where that is allowed.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let task = tokio::task::spawn_blocking(work).await;
    task.map_err(|error| Failure::new(FailureClass::Internal, format!("the host failed: {error}")))
}

/// Limits for asking a component about itself: it gets no configuration, so
/// that it has no reason to take long.
fn describe_limits(limits: &Limits) -> Limits {
    let timeout = limits.timeout.min(crate::sandbox::Duration::secs(30));
    Limits { timeout, ..limits.clone() }
}
