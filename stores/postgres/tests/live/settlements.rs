//! Settled invoices: what is written down, and how often it counts.

use crate::{fresh_schema, gateways, open, server};
use l402::PaymentHash;
use l402_lightning::{MilliSat, Settlement};
use l402_paywall::{FeedPosition, SettlementStore as _, StoreError};
use l402_store_postgres::PostgresStore;
use std::sync::Arc;

fn settlement(number: u64) -> Settlement {
    let amount = MilliSat::from_msat(10_000);
    Settlement { index: number, payment_hash: hash(number), amount, settled_at: crate::NOW }
}

fn hash(number: u64) -> PaymentHash {
    let mut bytes = [0x11; 32];
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    PaymentHash::from_bytes(bytes)
}

fn totals(store: &PostgresStore) -> (u64, u64) {
    let totals = store.totals().expect("totals");
    (totals.count, totals.amount.as_msat())
}

async fn record(store: &PostgresStore, batch: &[Settlement], cursor: Option<u64>) -> Result<(), StoreError> {
    store.record(batch, cursor.map(|cursor| FeedPosition { feed: "node", cursor })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settlement_counts_once_however_often_and_however_late_it_is_told() {
    let store = open(&server::shared().url(), &fresh_schema());
    assert_eq!((totals(&store), store.cursor("node")), ((0, 0), Ok(0)));
    let batch: Vec<_> = (1..=3).map(settlement).collect();
    for _ in 0..3 {
        record(&store, &batch, Some(3)).await.expect("written");
    }
    // Twice in one batch, out of order, with one that is new.
    record(&store, &[settlement(4), settlement(2), settlement(4)], Some(4)).await.expect("written");
    assert_eq!((totals(&store), store.cursor("node")), ((4, 40_000), Ok(4)));
    assert!((1..=4).all(|number| store.is_settled(hash(number)) == Ok(true)));
    assert_eq!(store.is_settled(hash(5)), Ok(false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_never_goes_back_and_each_feed_has_its_own() {
    let store = open(&server::shared().url(), &fresh_schema());
    record(&store, &[], Some(9)).await.expect("written");
    record(&store, &[], Some(4)).await.expect("written");
    store.record(&[], Some(FeedPosition { feed: "other", cursor: 2 })).await.expect("written");
    assert_eq!(["node", "other", "none"].map(|feed| store.cursor(feed)), [Ok(9), Ok(2), Ok(0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_out_of_range_spoils_nothing_but_itself() {
    let store = open(&server::shared().url(), &fresh_schema());
    let wrong = Settlement { amount: MilliSat::from_msat(u64::MAX), ..settlement(1) };
    assert_eq!(record(&store, &[settlement(2), wrong], None).await, Err(StoreError::Range));
    assert_eq!(record(&store, &[], Some(u64::MAX)).await, Err(StoreError::Range));
    let most = Settlement { amount: MilliSat::from_msat(u64::MAX / 2 - 20_000), ..settlement(3) };
    record(&store, &[settlement(2), most], None).await.expect("written");
    assert_eq!(record(&store, &[settlement(4), settlement(5)], Some(7)).await, Err(StoreError::Range));
    assert_eq!((totals(&store), store.cursor("node")), ((2, u64::MAX / 2 - 10_000), Ok(0)));
    assert_eq!(store.fault(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_tell_the_same_count_it_once() {
    const EACH: u64 = 60;
    let stores = gateways(&server::shared().url(), &fresh_schema(), 3);
    let tasks: Vec<_> = (0..9_u64)
        .map(|task| {
            let store = Arc::clone(&stores[usize::try_from(task % 3).expect("small")]);
            tokio::spawn(async move {
                for step in 0..EACH {
                    // Neighbours overlap, and tell in different orders.
                    let mut batch =
                        vec![settlement(step), settlement(step + task), settlement(step + 2 * task)];
                    if task % 2 == 0 {
                        batch.reverse();
                    }
                    record(&store, &batch, Some(step)).await.expect("written");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    let distinct = EACH + 16;
    assert_eq!((totals(&stores[0]), stores[1].cursor("node")), ((distinct, distinct * 10_000), Ok(EACH - 1)));
}
