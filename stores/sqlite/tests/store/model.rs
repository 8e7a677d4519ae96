//! Any sequence of steps, against a map in memory.

use crate::{cursor, hash, is_settled, ledger, open, settlement, wait};
use l402_lightning::{MilliSat, Settlement};
use l402_paywall::{FeedPosition, SettlementStore as _};
use proptest::prelude::*;
use std::collections::HashMap;

#[derive(Clone, Debug)]
enum Step {
    /// Numbers with amounts and what was asked for, and how far which feed got.
    Record(Vec<(u64, u64, Option<u64>)>, Option<(&'static str, u64)>),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let invoiced = proptest::option::of(0..1_000_000_u64);
    let batch = proptest::collection::vec((0..40_u64, 0..1_000_000_u64, invoiced), 0..12);
    let feed = proptest::option::of((prop_oneof![Just("one"), Just("two")], 0..1_000_u64));
    prop_oneof![6 => (batch, feed).prop_map(|(batch, feed)| Step::Record(batch, feed)), 1 => Just(Step::Reopen)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn it_remembers_what_a_map_would(steps in proptest::collection::vec(step(), 1..20)) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = open(&ledger(&folder));
        let (mut settled, mut excesses, mut cursors) = (HashMap::new(), HashMap::new(), HashMap::new());
        for step in steps {
            match step {
                Step::Record(batch, feed) => {
                    let position = feed.map(|(feed, cursor)| FeedPosition { feed, cursor });
                    let told: Vec<Settlement> = batch
                        .iter()
                        .map(|(number, msat, invoiced)| Settlement {
                            amount: MilliSat::from_msat(*msat),
                            invoiced: invoiced.map(MilliSat::from_msat),
                            ..settlement(*number)
                        })
                        .collect();
                    wait(store.record(&told, position)).expect("written");
                    for (number, msat, invoiced) in batch {
                        settled.entry(number).or_insert(msat);
                        let excess = msat.saturating_sub(invoiced.unwrap_or(msat));
                        if excess > 0 {
                            excesses.entry(number).or_insert(excess);
                        }
                    }
                    if let Some((feed, cursor)) = feed {
                        let known = cursors.entry(feed).or_insert(0);
                        *known = cursor.max(*known);
                    }
                }
                Step::Reopen => {
                    drop(store);
                    store = open(&ledger(&folder));
                }
            }
            let (count, msat) = crate::totals(&store);
            prop_assert_eq!((count, msat), (settled.len() as u64, settled.values().sum::<u64>()));
            let excess = (excesses.len() as u64, excesses.values().sum::<u64>());
            prop_assert_eq!(crate::overpaid(&store), excess);
            for number in 0..40 {
                prop_assert_eq!(is_settled(&store, hash(number)), Ok(settled.contains_key(&number)));
            }
            for feed in ["one", "two"] {
                prop_assert_eq!(cursor(&store, feed), Ok(cursors.get(feed).copied().unwrap_or(0)));
            }
        }
    }
}
