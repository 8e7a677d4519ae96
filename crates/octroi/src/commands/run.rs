//! `octroi run`: the gateway.

use super::{ConfigFile, EXIT_CONFIG, EXIT_FAILED};
use crate::{
    config::{Config, ConfigError},
    gateway::{Gateway, StartError},
    telemetry::{self, AccessLog, LogFormat, Meters, Telemetry},
};
use std::{path::Path, process::ExitCode, sync::Arc};
use tokio::signal::unix::{SignalKind, signal};

/// Runs the gateway until SIGTERM or Ctrl-C; SIGHUP reloads the config.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// How log lines look; text on a terminal, JSON otherwise. Levels: the variable `OCTROI_LOG`, e.g. `info,access=off`
    #[arg(long, value_enum)]
    log: Option<LogFormat>,
    /// Threads that serve requests; one per core if absent
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let format = LogFormat::chosen(args.log);
    let wants_access = telemetry::init(format, "info");
    let path = match args.config.find() {
        Ok(path) => path,
        Err(error) => return config_failed(&error),
    };
    let config = match Config::load(&path) {
        Ok(config) => config,
        Err(error) => return config_failed(&error),
    };
    let telemetry = match start_telemetry(&config, format, wants_access) {
        Ok(telemetry) => telemetry,
        Err(error) => return failed(&error, None),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, None),
    };
    let workers = args.workers.map_or_else(default_workers, usize::from);
    match runtime.block_on(serve(&path, config, telemetry, workers)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError::Config(error)) => config_failed(&error),
        Err(error @ (StartError::Keys(_) | StartError::Certificate(_))) => {
            failed(&error, error.hint().as_deref());
            ExitCode::from(EXIT_CONFIG)
        }
        Err(error) => failed(&error, error.hint().as_deref()),
    }
}

fn start_telemetry(
    config: &Config,
    format: LogFormat,
    wants_access: bool,
) -> std::io::Result<Arc<Telemetry>> {
    let access = if wants_access { AccessLog::to_stderr(format)? } else { AccessLog::off() };
    let services = config.routes.services().iter().map(|service| service.name().as_str());
    Ok(Arc::new(Telemetry { access, meters: Meters::new(services) }))
}

/// One per core.
pub(super) fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

async fn serve(
    path: &Path,
    config: Config,
    telemetry: Arc<Telemetry>,
    workers: usize,
) -> Result<(), StartError> {
    // Caught before anything is announced: whoever reads the ready line may send one at once.
    let caught =
        (signal(SignalKind::hangup()), signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let mut gateway = Gateway::start(config, telemetry, workers).await?;
    announce(&gateway);
    let (Ok(mut hangup), Ok(mut terminate), Ok(mut interrupt)) = caught else {
        tracing::warn!("signals cannot be caught: no reload, and no drain at the end");
        std::future::pending::<()>().await;
        return Ok(());
    };
    loop {
        tokio::select! {
            _ = hangup.recv() => reload(path, &mut gateway),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("stopping: no new connections, requests in progress may end");
    gateway.drain().await;
    tracing::info!("stopped");
    Ok(())
}

/// The one line that says it is ready, with the addresses as they are bound.
fn announce(gateway: &Gateway) {
    let listeners = gateway.addresses().iter().zip(gateway.listeners());
    let urls: Vec<String> = listeners
        .map(|(address, listener)| {
            let scheme = if listener.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{address}")
        })
        .collect();
    let ops = gateway.ops().map(|ops| format!("; ops on http://{ops}")).unwrap_or_default();
    let wallet =
        gateway.wallet().map(|wallet| format!("; loopback wallet on http://{wallet}")).unwrap_or_default();
    tracing::info!("octroi ready: listening on {}{ops}{wallet}", urls.join(", "));
}

/// A configuration with problems changes nothing.
fn reload(path: &Path, gateway: &mut Gateway) {
    let outcome = Config::load(path).map_err(StartError::from).and_then(|config| gateway.reload(config));
    match outcome {
        Ok(()) => tracing::info!(config = %path.display(), "configuration reloaded"),
        Err(error) => {
            let hint = error.hint().unwrap_or_else(|| "mend it and send SIGHUP again".to_owned());
            tracing::error!(hint, "configuration not reloaded, the old one stays in force: {error}");
        }
    }
}

fn config_failed(error: &ConfigError) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(EXIT_CONFIG)
}

/// Prints an error the way all commands do.
pub(super) fn failed(error: &dyn std::error::Error, hint: Option<&str>) -> ExitCode {
    eprintln!("error: {error}");
    if let Some(hint) = hint {
        eprintln!("  hint: {hint}");
    }
    ExitCode::from(EXIT_FAILED)
}
