//! How much a request has used, read from what passes.

use crate::tariff::units;
use l402_paywall::{
    Outcome,
    ledger::Units,
    meter::{CostRule, Usage},
};

/// Measures one request by its route's rule.
pub(crate) struct Gauge {
    rule: CostRule,
    /// What the upstream says that it costs, if that can be read.
    said: Option<u64>,
    received: u64,
}

impl Gauge {
    pub(crate) fn new(rule: &CostRule) -> Self {
        Self { rule: rule.clone(), said: None, received: 0 }
    }

    /// The head of the answer; where the body says what it costs, that is `said` too.
    pub(crate) fn read_head(&mut self, said: Option<u64>) {
        self.said = said;
    }

    /// Bytes of the answer.
    pub(crate) fn receive(&mut self, bytes: u64) {
        self.received += bytes;
    }

    /// How many units are set aside at a time; `None` where everything is set aside beforehand.
    pub(crate) fn step(&self) -> Option<Units> {
        match self.rule {
            CostRule::Bytes { step, .. } | CostRule::Time { step, .. } => Some(step),
            _ => None,
        }
    }

    /// Whether nothing that may still pass changes what the request costs.
    pub(crate) fn is_known_at_head(&self) -> bool {
        matches!(self.rule, CostRule::Fixed(_) | CostRule::Header { .. })
    }

    /// How many units have to be set aside for what was used until now.
    pub(crate) fn needed(&self, elapsed_secs: u64) -> Units {
        match self.rule {
            CostRule::Bytes { per_unit, .. } => units(self.received.div_ceil(per_unit)),
            CostRule::Time { secs_per_unit, .. } => units(elapsed_secs.max(1).div_ceil(secs_per_unit)),
            _ => Units::ZERO,
        }
    }

    /// What the request costs if it ends like this; what is not covered by `reserved` did not pass.
    pub(crate) fn usage(&self, elapsed_secs: u64, outcome: Outcome, reserved: Units) -> Usage {
        let is_whole = matches!(outcome, Outcome::Served { .. });
        match self.rule {
            CostRule::Fixed(cost) => Usage::Known(cost),
            CostRule::Json { .. } if !is_whole => Usage::Unknown,
            CostRule::Bytes { .. } | CostRule::Time { .. } => match outcome {
                Outcome::Exhausted { .. } => Usage::Known(self.needed(elapsed_secs).min(reserved)),
                _ => Usage::Known(self.needed(elapsed_secs)),
            },
            _ => self.said.and_then(Units::new).map_or(Usage::Unknown, Usage::Known),
        }
    }
}
