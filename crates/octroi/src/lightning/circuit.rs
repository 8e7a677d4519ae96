//! When a node in trouble is left alone and when it is tried again: a state machine without a clock.
//!
//! Closed: calls go through. Open: none does, until a pause has passed. Half-open: one probe is under way, and its
//! outcome closes or opens the circuit. Pauses grow from a quarter of a second to two seconds, each shortened by chance,
//! so that many gateways do not ask at the same moment. After a good probe the first call that fails opens it again: a node
//! that says it is well and does not work costs one customer a wait, not three.

use std::time::Duration;

/// So many calls in a row have to fail before the node is left alone; a node that cannot be reached at all is at once.
const FAILURES_MAX: u32 = 3;
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The state of one node's circuit. Times are on any clock that never steps.
#[derive(Debug)]
pub(super) struct Circuit {
    phase: Phase,
    /// Failures in a row while closed.
    failures: u32,
    /// How often it was opened since a call was last answered.
    rounds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Open { until: Duration },
    HalfOpen { until: Duration },
}

/// What a prober has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// Nothing: calls go through.
    NotNeeded,
    /// To wait for so long.
    In(Duration),
    /// To ask the node now, and to say how that went.
    Now,
}

/// How a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There was nobody.
    Unreachable,
    /// The node is in trouble.
    Outage,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { phase: Phase::Closed, failures: 0, rounds: 0 }
    }
}

impl Circuit {
    /// Whether a call may go through at `now`; if not, how long it is until the node is tried again.
    pub(super) fn admit(&self, now: Duration) -> Result<(), Duration> {
        match self.phase {
            Phase::Closed => Ok(()),
            Phase::Open { until } | Phase::HalfOpen { until } => Err(until.saturating_sub(now)),
        }
    }

    /// A call was answered as it should be, or refused for a reason that is not the node's own trouble.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A call failed. `chance` is a random byte. Stragglers do not lengthen a pause.
    pub(super) fn failed(&mut self, failure: Failure, now: Duration, chance: u8) {
        if self.phase != Phase::Closed {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if failure == Failure::Unreachable || self.failures >= FAILURES_MAX {
            self.open(now, chance);
        }
    }

    /// What a prober has to do at `now`. Says [`Probe::Now`] once for each pause.
    pub(super) fn probe(&mut self, now: Duration) -> Probe {
        match self.phase {
            Phase::Closed => Probe::NotNeeded,
            Phase::HalfOpen { .. } => Probe::In(PAUSE_MIN),
            Phase::Open { until } => match until.saturating_sub(now) {
                Duration::ZERO => {
                    self.phase = Phase::HalfOpen { until: now + pause(self.rounds) };
                    Probe::Now
                }
                left => Probe::In(left),
            },
        }
    }

    /// A probe went well: calls go through again, on probation.
    pub(super) fn probe_succeeded(&mut self) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            self.failures = FAILURES_MAX - 1;
        }
    }

    /// The probe failed.
    pub(super) fn probe_failed(&mut self, now: Duration, chance: u8) {
        if matches!(self.phase, Phase::HalfOpen { .. }) {
            self.open(now, chance);
        }
    }

    /// `closed`, `open` or `half_open`.
    pub(super) fn phase(&self) -> &'static str {
        match self.phase {
            Phase::Closed => "closed",
            Phase::Open { .. } => "open",
            Phase::HalfOpen { .. } => "half_open",
        }
    }

    fn open(&mut self, now: Duration, chance: u8) {
        self.phase = Phase::Open { until: now + jittered(self.rounds, chance) };
        self.rounds = self.rounds.saturating_add(1);
    }
}

/// The pause after so many failures, shortened by chance by up to a quarter.
pub(super) fn jittered(rounds: u32, chance: u8) -> Duration {
    let longest = pause(rounds);
    longest.saturating_sub(longest / 4 * u32::from(chance) / 255)
}

fn pause(rounds: u32) -> Duration {
    PAUSE_MIN.saturating_mul(1 << rounds.min(8)).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn three_outages_in_a_row_open_it_and_a_success_between_does_not_let_them_add_up() {
        let mut circuit = Circuit::default();
        for _ in 0..10 {
            circuit.failed(Failure::Outage, ms(0), 0);
            circuit.failed(Failure::Outage, ms(0), 0);
            assert_eq!(circuit.admit(ms(0)), Ok(()));
            circuit.succeeded();
        }
        for _ in 0..3 {
            circuit.failed(Failure::Outage, ms(0), 0);
        }
        assert_eq!(circuit.admit(ms(0)), Err(PAUSE_MIN));
    }

    #[test]
    fn a_node_that_is_not_there_opens_it_at_once_and_one_good_probe_closes_it() {
        let mut circuit = Circuit::default();
        circuit.failed(Failure::Unreachable, ms(1000), 0);
        assert_eq!((circuit.phase(), circuit.probe(ms(1100))), ("open", Probe::In(ms(150))));
        assert_eq!(circuit.probe(ms(1250)), Probe::Now);
        assert!(matches!(circuit.probe(ms(1250)), Probe::In(_)), "one probe at a time");
        assert!(circuit.admit(ms(1250)).is_err(), "customers wait for the probe");
        circuit.probe_succeeded();
        assert_eq!(circuit.admit(ms(1250)), Ok(()));
    }

    #[test]
    fn a_node_that_is_well_when_asked_and_never_works_costs_one_call_a_round_and_ever_longer_pauses() {
        let mut circuit = Circuit::default();
        let mut now = ms(0);
        for _ in 0..3 {
            circuit.failed(Failure::Outage, now, 0);
        }
        for pause in [250, 500, 1000, 2000, 2000] {
            assert_eq!(circuit.admit(now), Err(ms(pause)));
            now += ms(pause);
            assert_eq!(circuit.probe(now), Probe::Now);
            circuit.probe_succeeded();
            circuit.failed(Failure::Outage, now, 0);
        }
        now += ms(2000);
        assert_eq!(circuit.probe(now), Probe::Now);
        circuit.probe_succeeded();
        circuit.succeeded();
        circuit.failed(Failure::Unreachable, now, 0);
        assert_eq!(circuit.admit(now), Err(ms(250)), "an answered call ends the probation");
    }

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Succeed,
        ProbeSucceeds,
        Fail(bool),
        Probe,
        ProbeFails,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            1 => Just(Act::Succeed),
            1 => Just(Act::ProbeSucceeds),
            3 => any::<bool>().prop_map(Act::Fail),
            3 => Just(Act::Probe),
            2 => Just(Act::ProbeFails),
        ]
    }

    proptest! {
        /// However calls and probes go, nobody is turned away for longer than the longest pause after the last probe,
        /// and never is a second probe under way.
        #[test]
        fn a_returning_node_is_found_within_the_longest_pause(
            acts in proptest::collection::vec((act(), 0_u64..500, any::<u8>()), 1..200),
        ) {
            let (mut circuit, mut now, mut probing) = (Circuit::default(), ms(0), false);
            for (act, later, chance) in acts {
                now += ms(later);
                match act {
                    Act::Succeed => { circuit.succeeded(); probing = false; }
                    Act::ProbeSucceeds => { circuit.probe_succeeded(); probing = false; }
                    Act::Fail(gone) => {
                        let failure = if gone { Failure::Unreachable } else { Failure::Outage };
                        circuit.failed(failure, now, chance);
                    }
                    Act::Probe => if circuit.probe(now) == Probe::Now {
                        prop_assert!(!probing);
                        probing = true;
                    },
                    Act::ProbeFails => { circuit.probe_failed(now, chance); probing = false; }
                }
                if let Err(wait) = circuit.admit(now) {
                    prop_assert!(wait <= PAUSE_MAX);
                }
            }
        }
    }
}
