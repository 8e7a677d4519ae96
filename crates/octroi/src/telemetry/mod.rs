//! What the operator sees: log lines, one access line per request, and counters.

mod access;
mod log;
mod meters;

pub use access::{AccessLog, Record};
pub use log::{LogFormat, init};
pub use meters::{LedgerCheck, Meters};

/// Where every finished request is told.
#[derive(Debug)]
pub struct Telemetry {
    /// One line per request.
    pub access: AccessLog,
    /// Counters for Prometheus.
    pub meters: Meters,
}

impl Telemetry {
    /// Writes the access line and counts the request.
    pub fn record(&self, record: &Record<'_>) {
        self.meters.count(record);
        self.access.write(record);
    }
}
