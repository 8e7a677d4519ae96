//! Settled invoices: what is written down, and how often it counts.

use crate::{fresh_schema, gateways, open, server};
use l402::PaymentHash;
use l402_lightning::{MilliSat, Settlement};
use l402_paywall::{FeedPosition, SettlementStore as _, StoreError};
use l402_store_postgres::PostgresStore;
use std::sync::Arc;

fn settlement(number: u64) -> Settlement {
    let amount = MilliSat::from_msat(10_000);
    let invoiced = Some(amount);
    Settlement { index: number, payment_hash: hash(number), amount, invoiced, settled_at: crate::NOW }
}

/// The same, of which so much was more than the invoice asked for.
fn overpaid_settlement(number: u64, excess: u64) -> Settlement {
    Settlement { invoiced: Some(MilliSat::from_msat(10_000 - excess)), ..settlement(number) }
}

fn hash(number: u64) -> PaymentHash {
    let mut bytes = [0x11; 32];
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    PaymentHash::from_bytes(bytes)
}

async fn totals(store: &PostgresStore) -> (u64, u64) {
    let totals = store.totals().await.expect("totals");
    (totals.count, totals.amount.as_msat())
}

/// How many were overpaid, and by how much in all.
async fn overpaid(store: &PostgresStore) -> (u64, u64) {
    let totals = store.totals().await.expect("totals");
    (totals.overpaid, totals.excess.as_msat())
}

async fn record(store: &PostgresStore, batch: &[Settlement], cursor: Option<u64>) -> Result<(), StoreError> {
    store.record(batch, cursor.map(|cursor| FeedPosition { feed: "node", cursor })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settlement_counts_once_however_often_and_however_late_it_is_told() {
    let store = open(&server::shared().url(), &fresh_schema());
    assert_eq!((totals(&store).await, store.cursor("node").await), ((0, 0), Ok(0)));
    let batch: Vec<_> = (1..=3).map(settlement).collect();
    for _ in 0..3 {
        record(&store, &batch, Some(3)).await.expect("written");
    }
    // Twice in one batch, out of order, with one that is new.
    record(&store, &[settlement(4), settlement(2), settlement(4)], Some(4)).await.expect("written");
    assert_eq!((totals(&store).await, store.cursor("node").await), ((4, 40_000), Ok(4)));
    for (number, is_settled) in [(1, true), (2, true), (3, true), (4, true), (5, false)] {
        assert_eq!(store.is_settled(hash(number)).await, Ok(is_settled), "{number}");
    }
}

/// Whoever asks for an invoice learns that it was settled; the feed tells later that it was overpaid.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_excess_counts_once_also_where_it_is_told_later_than_its_settlement() {
    let stores = gateways(&server::shared().url(), &fresh_schema(), 2);
    let asked = Settlement { index: 0, invoiced: None, settled_at: 0, ..settlement(1) };
    record(&stores[0], &[asked, settlement(2)], None).await.expect("written");
    assert_eq!(overpaid(&stores[0]).await, (0, 0));
    let batch = [
        overpaid_settlement(1, 3_000),
        settlement(2),
        overpaid_settlement(3, 1),
        overpaid_settlement(3, 1),
        // Less than was asked for is no excess.
        Settlement { invoiced: Some(MilliSat::from_msat(10_001)), ..settlement(4) },
    ];
    for _ in 0..3 {
        let (one, other) =
            tokio::join!(record(&stores[0], &batch, Some(4)), record(&stores[1], &batch, Some(4)));
        assert_eq!((one, other), (Ok(()), Ok(())));
        record(&stores[0], &[asked], None).await.expect("written again");
        assert_eq!((totals(&stores[1]).await, overpaid(&stores[1]).await), ((4, 40_000), (2, 3_001)));
    }
}

/// What was settled before excesses were written down has none until the node tells it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_the_first_version_keeps_its_settlements_and_gets_excesses() {
    let (server, schema) = (server::shared(), fresh_schema());
    server.sql(&format!(
        "CREATE SCHEMA {schema}; SET search_path = {schema}; \
         CREATE TABLE schema_version (version integer NOT NULL PRIMARY KEY, applied_at timestamptz DEFAULT now()); \
         INSERT INTO schema_version (version) VALUES (1); {}; \
         INSERT INTO settled VALUES ('\\x{}', 10000, 1800000000); \
         INSERT INTO feed VALUES ('node', 7); UPDATE totals SET count = 1, amount_msat = 10000",
        include_str!("../../migrations/0001_ledger.sql").trim_end().trim_end_matches(';'),
        hash(1),
    ));
    let store = open(&server.url(), &schema);
    assert_eq!((totals(&store).await, overpaid(&store).await), ((1, 10_000), (0, 0)));
    assert_eq!((store.cursor("node").await, store.is_settled(hash(1)).await), (Ok(7), Ok(true)));
    record(&store, &[overpaid_settlement(1, 500)], Some(7)).await.expect("written");
    assert_eq!((totals(&store).await, overpaid(&store).await), ((1, 10_000), (1, 500)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_never_goes_back_and_each_feed_has_its_own() {
    let store = open(&server::shared().url(), &fresh_schema());
    record(&store, &[], Some(9)).await.expect("written");
    record(&store, &[], Some(4)).await.expect("written");
    store.record(&[], Some(FeedPosition { feed: "other", cursor: 2 })).await.expect("written");
    for (feed, cursor) in [("node", 9), ("other", 2), ("none", 0)] {
        assert_eq!(store.cursor(feed).await, Ok(cursor), "{feed}");
    }
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
    assert_eq!((totals(&store).await, store.cursor("node").await), ((2, u64::MAX / 2 - 10_000), Ok(0)));
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
    assert_eq!(
        (totals(&stores[0]).await, stores[1].cursor("node").await),
        ((distinct, distinct * 10_000), Ok(EACH - 1))
    );
}
