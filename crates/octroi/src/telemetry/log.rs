//! Log lines to stderr: text on a terminal, JSON otherwise.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line of text.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    /// What was asked for, else text on a terminal and JSON otherwise.
    pub fn chosen(asked: Option<Self>) -> Self {
        asked.unwrap_or_else(|| if std::io::stderr().is_terminal() { Self::Text } else { Self::Json })
    }
}

/// The target of access lines, so that `OCTROI_LOG=info,access=off` silences them alone.
pub(super) const ACCESS_TARGET: &str = "access";

/// Starts logging; levels come from `OCTROI_LOG`, or are `levels` if that is unset. Returns whether access lines are
/// wanted.
pub fn init(format: LogFormat, levels: &str) -> bool {
    let filter = EnvFilter::try_from_env("OCTROI_LOG").unwrap_or_else(|_| EnvFilter::new(levels));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first subscriber.
    let _ = match format {
        LogFormat::Text => lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    tracing::enabled!(target: ACCESS_TARGET, tracing::Level::INFO)
}
