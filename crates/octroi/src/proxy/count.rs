//! The part of a ticket that counts what a metered request uses.

use super::{
    meter::{Ended, Gauge},
    ticket::Ticket,
};
use bytes::Bytes;
use http::HeaderMap;
use l402_lightning::BoxFuture;
use l402_paywall::{
    Admission, Outcome,
    ledger::Units,
    meter::{Charge, CostRule, Usage},
    metering::{Bill, Closing, Extended, Tab, TabError},
};
use std::time::Duration;

/// How often time is looked at while nothing passes.
const TICK: Duration = Duration::from_millis(200);

/// What a metered request has used so far.
pub(super) struct Count {
    gauge: Gauge,
    /// Nothing more can be set aside ahead of what is used.
    is_dry: bool,
}

/// How far ahead of what is used units are set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ahead {
    /// Only what is used has to be covered.
    Nothing,
    /// Half a step more, so that the answer need not wait.
    Half,
}

impl Ticket {
    /// Begins to count, where the request is metered.
    pub(super) fn begin_count(&mut self) {
        let meter = self.admission().and_then(|admission| admission.meter());
        let gauge = meter.map(|meter| Gauge::new(&meter.cost));
        self.count = gauge.map(|gauge| Count { gauge, is_dry: false });
    }

    /// The head of the upstream's answer. What it says of the cost is taken out of it.
    ///
    /// Returns the charge on its way into the ledger where it is known already, however the answer ends.
    pub(super) fn read_head(&mut self, status: u16, headers: &mut HeaderMap) -> Option<Closing> {
        let count = self.count.as_mut()?;
        count.gauge.head(status, headers);
        let is_known = count.gauge.is_known_at_head();
        let admission = self.admission()?;
        let is_decided = admission.is_charge_decided_by(status);
        // A kept answer goes into the ledger with its charge.
        if admission.claims_answer().is_some() || !is_known || !is_decided {
            return None;
        }
        self.close(Outcome::Served { status }, None)
    }

    /// Data of the upstream's answer passes.
    pub(super) fn count(&mut self, data: &[u8]) {
        if let Some(count) = &mut self.count {
            count.gauge.received(data);
        }
    }

    /// What has to be held in all so that what is used is covered; `None` where it is.
    pub(super) fn units_to_add(&self, ahead: Ahead) -> Option<Units> {
        let (count, admission) = (self.count.as_ref()?, self.admission()?);
        let (tab, meter) = (admission.tab()?, admission.meter()?);
        let (CostRule::Bytes { step, .. } | CostRule::Time { step, .. }) = meter.cost else {
            return None;
        };
        let needed = count.gauge.needed(self.progress().bytes(), self.elapsed());
        let wanted = match ahead {
            Ahead::Nothing => needed,
            Ahead::Half if count.is_dry => return None,
            Ahead::Half => needed.saturating_add(Units::new(step.get() / 2)?),
        };
        (wanted > tab.reserved()).then(|| needed.saturating_add(step))
    }

    /// What should be held in all now: ahead of what is used, as long as there is enough.
    pub(super) fn units_wanted(&self) -> Option<Units> {
        self.units_to_add(Ahead::Half).or_else(|| self.units_to_add(Ahead::Nothing))
    }

    /// Has more set aside, `total` in all.
    pub(super) fn extend(&self, total: Units) -> Option<BoxFuture<'static, Result<Extended, TabError>>> {
        let tab = self.admission()?.tab()?;
        let now = self.worker.shared.clock.now().unix;
        Some(tab.extend(total, now.saturating_add(self.snapshot.gate.hold_secs()), now))
    }

    /// Whether more is set aside while the request is under way.
    pub(super) fn grows(&self) -> bool {
        let meter = self.admission().filter(|admission| admission.tab().is_some());
        meter.and_then(Admission::meter).is_some_and(|meter| meter.grows())
    }

    /// Has at least as much set aside as is used; says whether the token has that much.
    pub(super) async fn cover(&mut self) -> Result<bool, TabError> {
        while let Some(total) = self.units_wanted() {
            let Some(asked) = self.extend(total) else { return Ok(false) };
            match asked.await? {
                Extended::Granted => self.note_extended(total),
                Extended::Exhausted { left } if left > Units::ZERO => {
                    self.note_dry();
                    let all = self.reserved().saturating_add(left);
                    if let Some(asked) = self.extend(all)
                        && asked.await? == Extended::Granted
                    {
                        self.note_extended(all);
                    }
                }
                Extended::Exhausted { .. } => {
                    self.note_dry();
                    return Ok(self.units_to_add(Ahead::Nothing).is_none());
                }
            }
        }
        Ok(true)
    }

    /// What is set aside.
    pub(super) fn reserved(&self) -> Units {
        self.admission().and_then(|admission| admission.tab()).map_or(Units::ZERO, Tab::reserved)
    }

    /// How many bytes of what has come of the answer are not covered by what is set aside.
    pub(super) fn uncovered_bytes(&self) -> usize {
        let bytes = |count: &Count| count.gauge.uncovered(self.progress().bytes(), self.reserved());
        self.count.as_ref().map_or(0, |count| usize::try_from(bytes(count)).unwrap_or(usize::MAX))
    }

    /// More is set aside.
    pub(super) fn note_extended(&mut self, total: Units) {
        if let Some(tab) = self.admission_mut().and_then(|admission| admission.tab_mut()) {
            tab.note_extended(total);
        }
    }

    /// The token has nothing more.
    pub(super) fn note_dry(&mut self) {
        if let Some(count) = &mut self.count {
            count.is_dry = true;
        }
    }

    /// How long to wait before time is looked at again; `None` where time costs nothing.
    pub(super) fn next_tick(&self) -> Option<Duration> {
        let meter = self.admission().filter(|admission| admission.tab().is_some())?.meter()?;
        matches!(meter.cost, CostRule::Time { .. }).then_some(TICK)
    }

    /// What the request came to, once it is charged.
    pub(super) fn bill(&self) -> Option<&Bill> {
        self.admission()?.bill()
    }

    /// Charges what was used, if it is not charged yet. The charge is on its way when this returns.
    pub(super) fn close(&mut self, outcome: Outcome, answer: Option<Bytes>) -> Option<Closing> {
        let usage = self.usage(outcome);
        let now = self.worker.shared.clock.now().unix;
        self.admission_mut()?.close(outcome, usage, answer, now)
    }

    /// What the request would have been charged, where nobody pays because the service only counts.
    pub(super) fn shadow_usage(&self, outcome: Outcome) -> Option<Units> {
        let admission = self.admission()?;
        let meter = admission.meter().filter(|_| admission.permit().is_none())?;
        match (admission.charge(outcome), self.usage(outcome)) {
            (Charge::Release, _) => None,
            (Charge::Keep, Usage::Known(units)) => Some(units),
            (Charge::Keep, Usage::Unknown) => Some(meter.estimate()),
        }
    }

    /// What the request used, if it ends like this.
    pub(super) fn usage(&self, outcome: Outcome) -> Usage {
        let Some(count) = &self.count else { return Usage::Unknown };
        let ended = match outcome {
            Outcome::Served { .. } => Ended::Whole,
            Outcome::Cut { .. } | Outcome::UpstreamFailed { .. } => Ended::Cut,
            Outcome::ClientGone { .. } | Outcome::Exhausted { .. } | Outcome::NotSent => Ended::Aborted,
        };
        let usage = count.gauge.usage(self.progress().bytes(), self.elapsed(), ended);
        match (usage, outcome) {
            // What was not covered did not pass.
            (Usage::Known(units), Outcome::Exhausted { .. }) => Usage::Known(units.min(self.reserved())),
            (usage, _) => usage,
        }
    }
}
