//! What is known of the node's health, for `/readyz`, metrics and the log. No secret gets in: errors of nodes carry none.

use l402_lightning::{InvoicerError, NodeStatus, UntrustedText};
use serde_json::{Value, json};

/// How the node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeState {
    /// Not asked yet.
    Unknown,
    /// It answers as it should.
    Up,
    /// It answers, and does not do what it is asked for.
    Failing,
    /// It does not answer, or is in no state to.
    Down,
}

/// What is known of the node.
#[derive(Clone, Debug)]
pub(super) struct NodeHealth {
    /// The word for its kind in the config.
    pub(super) backend: &'static str,
    /// How it is.
    pub(super) state: NodeState,
    /// Since when, in Unix seconds.
    pub(super) since: u64,
    /// What went wrong last, if it is not up.
    pub(super) error: Option<InvoicerError>,
    /// Its version, in its own words.
    pub(super) version: Option<UntrustedText>,
    /// Seconds by which its clock differs from ours.
    pub(super) clock_skew: Option<u64>,
    /// Whether it follows the chain.
    pub(super) synced: Option<bool>,
}

impl NodeHealth {
    /// Of a node that has not been asked yet.
    pub(super) fn new(backend: &'static str, now: u64) -> Self {
        Self {
            backend,
            state: NodeState::Unknown,
            since: now,
            error: None,
            version: None,
            clock_skew: None,
            synced: None,
        }
    }

    /// Takes note of how a call went; `true` if the state is another one now.
    pub(super) fn tell(&mut self, error: Option<&InvoicerError>, now: u64) -> bool {
        let state = match error {
            None => NodeState::Up,
            Some(InvoicerError::Resting { .. }) => return false,
            Some(error) if error.is_outage() => NodeState::Down,
            Some(_) => NodeState::Failing,
        };
        self.error = error.cloned();
        let changed = state != self.state;
        if changed {
            (self.state, self.since) = (state, now);
        }
        changed
    }

    /// Takes note of what the node says of itself.
    pub(super) fn learn(&mut self, status: &NodeStatus, now: u64) {
        self.version.clone_from(&status.version);
        self.synced = status.synced;
        self.clock_skew = status.clock.map(|clock| clock.abs_diff(now));
    }

    /// As `/readyz` tells it.
    pub(super) fn to_json(&self, breaker: &str) -> Value {
        let mut report = json!({
            "backend": self.backend,
            "state": self.state.as_str(),
            "since": self.since,
            "breaker": breaker,
        });
        // A node behind the chain makes invoices, and may see payments late.
        let behind = (self.synced == Some(false)).then_some(&InvoicerError::Starting);
        if let Some(synced) = self.synced {
            report["synced"] = synced.into();
        }
        if let Some(error) = self.error.as_ref().or(behind) {
            report["error"] = error.to_string().into();
            report["hint"] = error.hint().into();
        }
        if let Some(version) = &self.version {
            report["version"] = version.to_string().into();
        }
        if let Some(skew) = self.clock_skew {
            report["clock_skew_seconds"] = skew.into();
        }
        report
    }
}

impl NodeState {
    /// The word for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Failing => "failing",
            Self::Down => "down",
        }
    }
}

/// How a call ended, as a label of metrics.
pub(super) fn outcome(error: Option<&InvoicerError>) -> &'static str {
    let Some(error) = error else { return "ok" };
    match error {
        InvoicerError::Unreachable => "unreachable",
        InvoicerError::Timeout => "timeout",
        InvoicerError::Certificate => "certificate",
        InvoicerError::Unauthorized => "unauthorized",
        InvoicerError::Forbidden { .. } => "forbidden",
        InvoicerError::Locked => "locked",
        InvoicerError::Starting => "starting",
        InvoicerError::Overloaded => "overloaded",
        InvoicerError::Resting { .. } => "resting",
        InvoicerError::Refused { .. } | InvoicerError::Duplicate => "refused",
        InvoicerError::Unsupported(_) | InvoicerError::NoService { .. } => "unsupported",
        InvoicerError::Lied(_) | InvoicerError::Unsafe { .. } => "untrustworthy",
        // The enum may grow.
        _ => "garbled",
    }
}
