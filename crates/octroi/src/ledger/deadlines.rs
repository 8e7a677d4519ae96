//! Which deadlines of reservations have passed, whatever is done to the machine's clock.
//!
//! A deadline is a time of day. When the clock is set forward, the deadlines of requests that are being served seem to have
//! passed at once; so the time that counts here follows such a jump only when everything that was reserved before it must
//! have ended. A clock that is set back is followed at once, because new deadlines are.

use l402_paywall::Now;
use std::collections::VecDeque;

/// More than lies between two looks, with the seconds' rounding.
const BETWEEN_LOOKS_SECS: u64 = 2;

#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// The time of day less the time on the clock that never jumps, in seconds, and when that was seen last: ever larger
    /// and ever later. The first is the smallest in the time for which units are held.
    offsets: VecDeque<(i128, u64)>,
}

impl Deadlines {
    /// Up to which time of day deadlines have passed, where none is more than `hold_secs` after its reservation was made.
    /// To be asked every second or more often.
    pub(super) fn passed(&mut self, now: Now, hold_secs: u64) -> u64 {
        let uptime = uptime(now);
        let offset = i128::from(now.unix) - i128::from(uptime);
        while self.offsets.pop_back_if(|(other, _)| *other >= offset).is_some() {}
        self.offsets.push_back((offset, uptime));
        let is_past = |seen: u64| uptime - seen > hold_secs.saturating_add(BETWEEN_LOOKS_SECS);
        while self.offsets.pop_front_if(|(_, seen)| is_past(*seen)).is_some() {}
        let smallest = self.offsets.front().map_or(offset, |(offset, _)| *offset);
        u64::try_from(smallest + i128::from(uptime)).unwrap_or(0)
    }
}

fn uptime(now: Now) -> u64 {
    now.monotonic_ns / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: u64 = 1_800_000_000;
    const HOLD: u64 = 100;

    fn at(unix: u64, uptime: u64) -> Now {
        Now { unix, monotonic_ns: uptime * 1_000_000_000 }
    }

    #[test]
    fn a_clock_that_is_set_forward_is_followed_when_all_that_was_open_has_ended() {
        let mut deadlines = Deadlines::default();
        assert_eq!(deadlines.passed(at(START + 10, 10), HOLD), START + 10);
        for uptime in 11..=112 {
            assert_eq!(deadlines.passed(at(START + 3_600 + uptime, uptime), HOLD), START + uptime);
        }
        assert_eq!(deadlines.passed(at(START + 3_600 + 113, 113), HOLD), START + 3_600 + 113);
    }

    #[test]
    fn a_clock_that_is_set_back_is_followed_at_once() {
        let mut deadlines = Deadlines::default();
        assert_eq!(deadlines.passed(at(START - 3_590, 10), HOLD), START - 3_590);
        assert_eq!(deadlines.passed(at(START - 3_580, 20), HOLD), START - 3_580);
    }

    proptest! {
        /// However the clock jumps: nothing is overdue before it was held for its time, and everything is in the end.
        #[test]
        fn no_reservation_is_ended_before_its_time_nor_forgotten(
            jumps in proptest::collection::vec((1_u64..60, -300_i64..300), 1..40),
        ) {
            let mut deadlines = Deadlines::default();
            let (mut uptime, mut shift) = (0, 0_i64);
            let mut open: Vec<(u64, u64)> = Vec::new();
            let quiet = std::iter::repeat_n((1, 0), usize::try_from(3 * HOLD + 20_000).expect("a count"));
            for (wait, jump) in jumps.into_iter().chain(quiet) {
                uptime += wait;
                shift += jump;
                let unix = START.saturating_add_signed(shift) + uptime;
                let passed = deadlines.passed(at(unix, uptime), HOLD);
                for (made, deadline) in &open {
                    let is_early = *deadline <= passed && uptime - made < HOLD;
                    prop_assert!(!is_early, "held for {} s", uptime - made);
                }
                open.retain(|(_, deadline)| *deadline > passed);
                if jump != 0 {
                    open.push((uptime, unix + HOLD));
                }
            }
            prop_assert!(open.is_empty(), "{open:?}");
        }
    }
}
