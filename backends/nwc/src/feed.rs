//! Settlements in an order of their own: NIP-47 has none, only times in whole seconds.
//!
//! A settlement's place is its second, and within the second a part of its hash. So a place is the same for every
//! adapter, before and after restarts, and two settlements have two places. Two things could hide a settlement behind a
//! cursor, and are held off:
//! - another one in the same second as one that was told. So a second is told only when it is over, by the wallet's clock.
//! - a record that appears late. For as long as an adapter lives it gets a place after all that were told; looked for
//!   are records up to [`LATE_SECS_MAX`] older than the cursor.

use l402::PaymentHash;
use l402_lightning::{SETTLEMENTS_MAX, Settlement};
use std::collections::{BTreeMap, HashMap};

/// How late, in seconds, a record may appear and still be found.
pub(crate) const LATE_SECS_MAX: u64 = 300;

/// Bits of a place below the second: places stay below 2^63 until the year 2106.
const HASH_BITS: u32 = 31;

/// What was settled, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    /// By place.
    told: BTreeMap<u64, Settlement>,
    seen: HashMap<PaymentHash, u64>,
    /// From which cursor on nothing is missing; `None` before the first look.
    complete_from: Option<u64>,
    /// The last place that was handed out.
    handed_out: u64,
}

/// The second that a cursor stands in, in Unix seconds.
pub(crate) const fn second_of(cursor: u64) -> u64 {
    cursor >> HASH_BITS
}

/// A settlement as the wallet's records have it; its place is found here.
pub(crate) fn placed(payment_hash: PaymentHash, settlement: Settlement) -> Settlement {
    let bytes = payment_hash.as_bytes();
    let part = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) >> (u32::BITS - HASH_BITS);
    let second = settlement.settled_at.min(u64::MAX >> HASH_BITS);
    Settlement { index: (second << HASH_BITS) | u64::from(part), payment_hash, ..settlement }
}

impl Feed {
    /// What is known beyond a cursor, oldest first; empty if the records have to be looked at.
    pub(crate) fn after(&mut self, cursor: u64) -> Vec<Settlement> {
        if self.complete_from.is_none_or(|from| cursor < from) {
            return Vec::new();
        }
        let beyond = cursor.checked_add(1).map(|first| self.told.range(first..));
        let told: Vec<Settlement> =
            beyond.into_iter().flatten().map(|(_, one)| *one).take(SETTLEMENTS_MAX).collect();
        self.handed_out = told.last().map_or(self.handed_out, |last| self.handed_out.max(last.index));
        told
    }

    /// Takes the records that were settled from [`LATE_SECS_MAX`] before `cursor` on. Those of the second `now` of the
    /// wallet's clock, and later ones, wait. Says whether some do.
    pub(crate) fn take(&mut self, cursor: u64, mut records: Vec<Settlement>, now: u64) -> bool {
        let first_look = self.complete_from.is_none_or(|from| cursor < from);
        if first_look {
            *self = Self { complete_from: Some(cursor), handed_out: cursor, ..Self::default() };
        }
        self.forget(cursor);
        records.sort_unstable_by_key(|record| record.index);
        let mut waits = false;
        for record in records {
            if self.seen.contains_key(&record.payment_hash) {
                continue;
            }
            if record.settled_at >= now {
                waits = true;
            } else if first_look && record.index <= cursor {
                // An earlier adapter told of it: it is how the cursor came to stand where it stands.
                self.seen.insert(record.payment_hash, record.index);
            } else {
                self.add(record);
            }
        }
        waits
    }

    /// Adds a record at its place, or after all that were told if that is behind them.
    fn add(&mut self, record: Settlement) {
        let mut index = record.index.max(self.handed_out.saturating_add(1));
        while self.told.contains_key(&index) {
            index = index.saturating_add(1);
        }
        self.told.insert(index, Settlement { index, ..record });
        self.seen.insert(record.payment_hash, index);
    }

    /// Drops what is too old to be found again.
    fn forget(&mut self, cursor: u64) {
        let second = second_of(cursor).saturating_sub(2 * LATE_SECS_MAX);
        let Some(oldest) = second.checked_shl(HASH_BITS).filter(|_| second > 0) else { return };
        self.told = self.told.split_off(&oldest);
        self.seen.retain(|_, index| *index >= oldest);
        self.complete_from = self.complete_from.map(|from| from.max(oldest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use l402_lightning::MilliSat;

    const NOW: u64 = 1_700_000_000;

    fn settlement(hash: u8, settled_at: u64) -> Settlement {
        let payment_hash = PaymentHash::from_bytes([hash; 32]);
        let amount = MilliSat::from_msat(1_000);
        placed(payment_hash, Settlement { index: 0, payment_hash, amount, invoiced: None, settled_at })
    }

    fn hashes(settlements: &[Settlement]) -> Vec<u8> {
        settlements.iter().map(|one| one.payment_hash.as_bytes()[0]).collect()
    }

    #[test]
    fn settlements_of_one_second_have_places_of_their_own_and_none_is_lost() {
        let mut feed = Feed::default();
        let all = vec![settlement(9, NOW), settlement(3, NOW), settlement(200, NOW - 1)];
        assert!(!feed.take(0, all.clone(), NOW + 1));
        let told = feed.after(0);
        assert_eq!(hashes(&told), [200, 3, 9]);
        assert!(told.is_sorted_by(|one, other| one.index < other.index));
        assert_eq!(hashes(&feed.after(told[0].index)), [3, 9]);
        assert!(feed.after(told[2].index).is_empty());
        let mut restarted = Feed::default();
        restarted.take(told[1].index, all, NOW + 1);
        assert_eq!(restarted.after(told[1].index), [told[2]], "the same place for every adapter");
    }

    #[test]
    fn a_second_is_told_only_when_it_is_over() {
        let mut feed = Feed::default();
        assert!(feed.take(0, vec![settlement(9, NOW), settlement(1, NOW - 1)], NOW));
        let told = feed.after(0);
        assert_eq!(hashes(&told), [1]);
        let cursor = told[0].index;
        // The one that came later in the same second has the smaller hash.
        assert!(!feed.take(cursor, vec![settlement(9, NOW), settlement(3, NOW)], NOW + 1));
        assert_eq!(hashes(&feed.after(cursor)), [3, 9]);
    }

    #[test]
    fn a_record_that_appears_late_is_told_after_the_others_and_once() {
        let mut feed = Feed::default();
        feed.take(0, vec![settlement(1, NOW), settlement(2, NOW + 5)], NOW + 9);
        let cursor = feed.after(0)[1].index;
        let late = vec![settlement(1, NOW), settlement(2, NOW + 5), settlement(3, NOW + 1)];
        for _ in 0..2 {
            feed.take(cursor, late.clone(), NOW + 9);
            let told = feed.after(cursor);
            assert_eq!(hashes(&told), [3]);
            assert!(told[0].index > cursor);
        }
        let cursor = feed.after(cursor)[0].index;
        feed.take(cursor, late, NOW + 9);
        assert!(feed.after(cursor).is_empty());
    }

    #[test]
    fn a_caller_that_begins_anew_gets_everything_anew() {
        let mut feed = Feed::default();
        let all = vec![settlement(1, NOW), settlement(2, NOW + 5)];
        let cursor = all[0].index;
        feed.take(cursor, all.clone(), NOW + 9);
        assert_eq!(hashes(&feed.after(cursor)), [2]);
        assert!(feed.after(0).is_empty(), "what lies before the first cursor was not looked at");
        feed.take(0, all, NOW + 9);
        assert_eq!(hashes(&feed.after(0)), [1, 2]);
    }

    #[test]
    fn what_is_old_is_forgotten_and_answers_are_bounded() {
        let mut feed = Feed::default();
        let many: Vec<Settlement> = (0..250).map(|at| settlement(at, NOW + u64::from(at) * 10)).collect();
        feed.take(0, many.clone(), NOW + 9_000);
        let told = feed.after(0);
        assert_eq!(told.len(), SETTLEMENTS_MAX);
        let last = many[249].index;
        feed.take(last, Vec::new(), NOW + 9_000);
        assert!(feed.told.len() < 100 && feed.seen.len() < 100);
        for cursor in [0, u64::MAX] {
            assert!(feed.after(cursor).is_empty());
        }
    }
}
