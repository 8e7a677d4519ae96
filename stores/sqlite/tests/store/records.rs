//! What is written down, and how often it counts.

use crate::{
    cursor, hash, is_settled, ledger, open, overpaid, overpaid_settlement, record, rows, settlement, totals,
    wait,
};
use l402_lightning::{MilliSat, Settlement};
use l402_paywall::{FeedPosition, SettlementStore, StoreError};
use std::sync::Arc;

#[test]
fn a_settlement_counts_once_however_often_and_however_late_it_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&ledger(&folder));
    assert_eq!((totals(&store), cursor(&store, "node")), ((0, 0), Ok(0)));
    assert_eq!(is_settled(&store, hash(1)), Ok(false));
    let batch: Vec<_> = (1..=3).map(settlement).collect();
    record(&store, &batch, Some(3)).expect("written");
    for _ in 0..3 {
        record(&store, &batch, Some(3)).expect("written again");
    }
    // Twice in one batch, out of order, with one that is new.
    record(&store, &[settlement(4), settlement(2), settlement(4)], Some(4)).expect("written");
    assert_eq!((totals(&store), cursor(&store, "node")), ((4, 40_000), Ok(4)));
    assert!((1..=4).all(|number| is_settled(&store, hash(number)) == Ok(true)));
    assert_eq!(is_settled(&store, hash(5)), Ok(false));
}

#[test]
fn a_fact_without_a_place_counts_and_the_feed_that_tells_it_later_adds_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&ledger(&folder));
    let asked = Settlement { index: 0, settled_at: 0, ..settlement(1) };
    record(&store, &[asked], None).expect("written");
    assert_eq!((totals(&store), cursor(&store, "node")), ((1, 10_000), Ok(0)));
    record(&store, &[settlement(1)], Some(1)).expect("written");
    assert_eq!((totals(&store), cursor(&store, "node")), ((1, 10_000), Ok(1)));
}

/// Whoever asks for an invoice learns that it was settled; the feed tells later that it was overpaid.
#[test]
fn an_excess_counts_once_also_where_it_is_told_later_than_its_settlement() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&ledger(&folder));
    let asked = Settlement { index: 0, invoiced: None, settled_at: 0, ..settlement(1) };
    record(&store, &[asked, settlement(2)], None).expect("written");
    assert_eq!(overpaid(&store), (0, 0));
    let batch = [
        overpaid_settlement(1, 3_000),
        settlement(2),
        overpaid_settlement(3, 1),
        overpaid_settlement(3, 1),
        // Less than was asked for is no excess.
        Settlement { invoiced: Some(MilliSat::from_msat(10_001)), ..settlement(4) },
    ];
    for _ in 0..3 {
        record(&store, &batch, Some(4)).expect("written");
        record(&store, &[asked], None).expect("written again");
        assert_eq!((totals(&store), overpaid(&store)), ((4, 40_000), (2, 3_001)));
    }
    drop(store);
    assert_eq!(overpaid(&open(&ledger(&folder))), (2, 3_001));
}

#[test]
fn a_cursor_never_goes_back_and_each_feed_has_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&ledger(&folder));
    record(&store, &[], Some(9)).expect("written");
    record(&store, &[], Some(4)).expect("written");
    wait(store.record(&[], Some(FeedPosition { feed: "other", cursor: 2 }))).expect("written");
    let largest = FeedPosition { feed: "seconds", cursor: u64::MAX / 2 };
    wait(store.record(&[], Some(largest))).expect("written");
    let cursors = ["node", "other", "seconds", "none"].map(|feed| cursor(&store, feed).expect("a cursor"));
    assert_eq!(cursors, [9, 2, u64::MAX / 2, 0]);
}

#[test]
fn everything_is_there_after_the_file_was_closed_and_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 1..=5 {
        let store = open(&ledger(&folder));
        assert_eq!(totals(&store), ((round - 1) * 2, (round - 1) * 20_000));
        assert_eq!(cursor(&store, "node"), Ok((round - 1) * 2));
        record(&store, &[settlement(round * 2 - 1), settlement(round * 2)], Some(round * 2))
            .expect("written");
    }
    assert_eq!(rows(&ledger(&folder)), (10, 100_000));
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").flatten().collect();
    assert_eq!(left.len(), 2, "the log is folded into the file, the lock's file stays: {left:?}");
}

/// An amount that no integer of the file can hold is refused alone; what was sent with it is written.
#[test]
fn what_is_out_of_range_spoils_nothing_but_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&ledger(&folder));
    let amount = |msat| MilliSat::from_msat(msat);
    let odd = [
        Settlement { amount: amount(u64::MAX), ..settlement(100) },
        Settlement { settled_at: u64::MAX, ..settlement(101) },
    ];
    wait(async {
        for wrong in odd {
            // The good half of a refused step is not written either.
            let batch = [settlement(wrong.index + 100), wrong];
            let good = [settlement(wrong.index + 200)];
            let (refused, taken) = tokio::join!(store.record(&batch, None), store.record(&good, None));
            assert_eq!((refused, taken), (Err(StoreError::Range), Ok(())));
        }
    });
    assert_eq!(record(&store, &[], Some(u64::MAX)), Err(StoreError::Range));
    let most = Settlement { amount: amount(u64::MAX / 2 - 20_000), ..settlement(7) };
    record(&store, &[most], None).expect("just fits");
    assert_eq!(record(&store, &[settlement(8)], None), Err(StoreError::Range));
    assert_eq!((totals(&store), SettlementStore::fault(&store)), ((3, u64::MAX / 2), None));
    assert_eq!(rows(&ledger(&folder)), (3, u64::MAX / 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_write_at_once_and_readers_see_what_was_acknowledged() {
    const TASKS: u64 = 16;
    const EACH: u64 = 40;
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(open(&ledger(&folder)));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for step in 0..EACH {
                    // Every second one is told by two tasks.
                    let number = task / 2 * EACH * 2 + step * 2 + if step % 2 == 0 { 0 } else { task % 2 };
                    store.record(&[settlement(number)], None).await.expect("written");
                    assert_eq!(store.is_settled(hash(number)).await, Ok(true));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    let distinct = TASKS / 2 * (EACH / 2 + EACH / 2 * 2);
    let totals = store.totals().await.expect("totals");
    assert_eq!((totals.count, totals.amount.as_msat()), (distinct, distinct * 10_000));
    assert_eq!(rows(&ledger(&folder)), (distinct, distinct * 10_000));
}
