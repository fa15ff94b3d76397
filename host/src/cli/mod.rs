//! The command line: arguments in, terminal output and exit codes out. Nothing
//! else in the crate prints.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use serde_json::{Map, Value};

mod args;
mod audit;
mod output;
mod preview;
mod signals;
mod signing;
mod trust;

use self::args::{
    Cache as CacheCommand, Cli, Command, ConfigFile, PolicyFlags, Preview, RunFlags, Schema, State, Target,
};
use self::output::Printer;
use crate::cancel::Cancel;
use crate::config::policy::policy_schema;
use crate::config::schema::{config_schema, run_config_schema};
use crate::config::{Config, RunConfig, SandboxFlags};
use crate::failure::{Failure, FailureClass};
use crate::isolation::Program;
use crate::run::{CacheOption, ComponentSource, PreviewOptions, Runner, RunnerOptions, state};
use crate::sandbox::{Cache, limits};
use crate::storage::registry;

/// A configuration beyond this size is taken for a mistake.
const CONFIG_BYTES: u64 = 256 * 1024 * 1024;

/// Runs the command that the process's arguments ask for.
#[must_use]
pub fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if std::env::args_os().nth(1).is_some_and(|argument| argument == crate::isolation::WORKER) {
        return crate::isolation::worker::main();
    }
    let cli = match Cli::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // `--help` and `--version` are no mistakes.
            let code = if error.use_stderr() { FailureClass::Usage.exit_code() } else { 0 };
            return ExitCode::from(code);
        }
    };
    let printer = Printer::new(&cli.global);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            printer.failure(&Failure::new(FailureClass::Internal, format!("cannot start: {error}")));
            return ExitCode::from(FailureClass::Internal.exit_code());
        }
    };
    let result = runtime.block_on(command(cli.command, &printer));
    // A thread that still waits for a file of the guest's must not hold us up.
    runtime.shutdown_background();
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            printer.failure(&failure);
            ExitCode::from(failure.class.exit_code())
        }
    }
}

async fn command(command: Command, printer: &Printer) -> Result<u8, Failure> {
    match command {
        Command::Run(args) => {
            let printer = printer.clone().with_bar();
            let cancel = Cancel::new();
            signals::cancel_on_signal(&cancel)?;
            let (config, run_config) = (load_config(&args.target.config)?, load_run_config(&args.run)?);
            let options = RunnerOptions {
                run_id: args.run_id,
                events: Some(printer.sink()),
                cancel,
                ..options(&args.target)?
            };
            let report = Runner::new(options).run(source(&args.target), config, run_config).await;
            printer.report(&report, args.audit);
            return Ok(report.exit_code);
        }
        Command::Inspect(args) => {
            let options = RunnerOptions {
                cache: args.cache.option(),
                workers: workers(),
                require_signature: args.trust.require_signature,
                policies: trust::policies(&args.trust.policy)?,
                sandbox: SandboxFlags { isolation: args.isolation, ..SandboxFlags::default() },
                ..RunnerOptions::default()
            };
            let inspection = Runner::new(options).inspect(args.file).await?;
            printer.inspection(&inspection);
            return Ok(inspection.failure.map_or(0, |failure| failure.class.exit_code()));
        }
        Command::Sign(args) => signing::sign(&args, printer)?,
        Command::Verify(args) => signing::verify(&args, printer)?,
        Command::Keygen(args) => signing::keygen(&args, printer)?,
        Command::Validate(args) => {
            let (config, run_config) = (load_config(&args.target.config)?, load_run_config(&args.run)?);
            let runner = Runner::new(options(&args.target)?);
            printer.validation(&runner.validate(source(&args.target), config, run_config).await?);
        }
        Command::Check(args) => {
            let config = load_config(&args.target.config)?;
            let reached = probing(printer, &args.target)?.check(source(&args.target), config).await?;
            printer.reached(&reached);
        }
        Command::Discover(args) => {
            let config = load_config(&args.target.config)?;
            let streams = probing(printer, &args.target)?.discover(source(&args.target), config).await?;
            printer.streams(&streams);
        }
        Command::Preview(args) => return preview_command(args, printer).await,
        Command::State(command) => state_command(command, printer).await?,
        Command::Schema(schema) => printer.json(&match schema {
            Schema::Config => config_schema(),
            Schema::RunConfig => run_config_schema(),
            Schema::Policy => policy_schema(),
            Schema::Storage { name } => registry::canonical_name(&name)
                .and_then(registry::parameters_schema)
                .map_err(|error| Failure::new(FailureClass::Usage, error.to_string()))?,
        }),
        Command::Storages => printer.storages(&registry::list()),
        Command::Cache(command) => cache_command(&command, printer)?,
        Command::Limits => printer.limits(&limits::table()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ow-host", &mut script);
            printer.raw(&String::from_utf8_lossy(&script));
        }
    }
    Ok(0)
}

/// A runner for `check`, `discover` and `preview`, which a signal ends too.
fn probing(printer: &Printer, target: &Target) -> Result<Runner, Failure> {
    let cancel = Cancel::new();
    signals::cancel_on_signal(&cancel)?;
    // Their result is one document or all rows: events would stand between.
    let events = (!printer.is_json()).then(|| printer.sink());
    Ok(Runner::new(RunnerOptions { events, cancel, ..options(target)? }))
}

async fn preview_command(args: Preview, printer: &Printer) -> Result<u8, Failure> {
    let printer = printer.clone().with_bar();
    let (config, run_config) = (load_config(&args.target.config)?, load_run_config(&args.run)?);
    let runner = probing(&printer, &args.target)?;
    let wanted = PreviewOptions { streams: args.stream, limit: args.limit };
    let preview = runner.preview(source(&args.target), config, run_config, wanted).await;
    printer.clear_bar();
    let preview = preview?;
    printer.preview(&preview);
    match preview.failure {
        Some(failure) => Err(failure),
        None => Ok(0),
    }
}

async fn state_command(command: State, printer: &Printer) -> Result<(), Failure> {
    let options = |config: &ConfigFile, policy: &PolicyFlags| -> Result<_, Failure> {
        Ok(RunnerOptions {
            data_mart_id: config.data_mart.clone(),
            policies: trust::policies(policy)?,
            ..RunnerOptions::default()
        })
    };
    match command {
        State::Show { config, policy } => {
            let stored = state::show(&options(&config, &policy)?, &load_config(&config)?).await?;
            let values = stored.into_iter().map(|(key, text)| {
                let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
                (key, value)
            });
            printer.json(&Value::Object(values.collect::<Map<_, _>>()));
        }
        State::Reset { keys, config, policy } => {
            let removed = state::reset(&options(&config, &policy)?, &load_config(&config)?, keys).await?;
            let text = match removed.as_slice() {
                [] => "there was no state".to_owned(),
                keys => format!("removed: {}", keys.join(", ")),
            };
            printer.said(&text, &serde_json::json!({ "removed": removed }));
        }
    }
    Ok(())
}

fn cache_command(command: &CacheCommand, printer: &Printer) -> Result<(), Failure> {
    let open = |option: CacheOption| match option {
        CacheOption::Folder(folder) => Ok(Cache::new(folder)),
        _ => Cache::of_user().ok_or_else(|| {
            Failure::new(FailureClass::Usage, "this user has no cache folder")
                .with_hint("name one with --cache-dir")
        }),
    };
    match command {
        CacheCommand::Clear { cache } => {
            let cache = open(cache.option())?;
            let cleared = cache.clear().map_err(|error| {
                Failure::new(FailureClass::Internal, format!("{}: {error}", cache.folder().display()))
            })?;
            printer.said(
                &format!("removed {} compiled components ({} bytes)", cleared.entries, cleared.bytes),
                &cleared,
            );
        }
        CacheCommand::Dir { cache } => {
            let cache = open(cache.option())?;
            let folder = cache.folder().display().to_string();
            printer.said(&folder, &serde_json::json!({ "folder": folder }));
        }
    }
    Ok(())
}

fn options(target: &Target) -> Result<RunnerOptions, Failure> {
    Ok(RunnerOptions {
        require_signature: target.trust.require_signature.clone(),
        policies: trust::policies(&target.trust.policy)?,
        cache: target.cache.option(),
        workers: workers(),
        sandbox: target.sandbox.clone(),
        data_mart_id: target.config.data_mart.clone(),
        ..RunnerOptions::default()
    })
}

/// This program again, where processes can be locked in.
fn workers() -> Option<Program> {
    cfg!(target_os = "linux").then(Program::this)
}

fn source(target: &Target) -> ComponentSource {
    target.component.clone().map_or(ComponentSource::Configured, ComponentSource::Path)
}

/// The configuration file; `-` is standard input, whose paths are taken from the
/// current folder.
fn load_config(args: &ConfigFile) -> Result<Config, Failure> {
    if args.config == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .take(CONFIG_BYTES)
            .read_to_string(&mut text)
            .map_err(|error| Failure::new(FailureClass::Config, format!("standard input: {error}")))?;
        return Ok(Config::parse(&text, Path::new("."))?);
    }
    Ok(Config::load(&args.config)?)
}

fn load_run_config(flags: &RunFlags) -> Result<RunConfig, Failure> {
    let base = flags.run_config.as_deref().map(RunConfig::load).transpose()?;
    let state = flags.state.as_ref().map(load_state).transpose()?;
    Ok(RunConfig::with_overrides(base, flags.run_type, &flags.set, state)?)
}

fn load_state(path: &PathBuf) -> Result<Map<String, Value>, Failure> {
    let fail = |why: String| {
        Failure::new(FailureClass::Config, format!("{}: {why}", path.display()))
            .with_hint("give a JSON object of state keys and their values, as `ow-host state show` prints it")
    };
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(state)) => Ok(state),
        Ok(_) => Err(fail("the state is no JSON object".to_owned())),
        Err(error) => Err(fail(error.to_string())),
    }
}
