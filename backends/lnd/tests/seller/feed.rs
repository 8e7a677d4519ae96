//! The settlement feed, where lnd's own feed is not enough.

use crate::rig::Rig;
use l402::PaymentHash;
use l402_lightning::{Invoice, Invoicer, InvoicerError, SETTLEMENTS_MAX};
use std::{sync::Arc, time::Duration};
use testkit::contract::{NodeFault, SellerRig as _};

const SUBSCRIBE: &str = "/lnrpc.Lightning/SubscribeInvoices";
const LIST: &str = "/lnrpc.Lightning/ListInvoices";

/// Reads on from `cursor` until so many settlements were told.
async fn read(seller: &Arc<dyn Invoicer>, mut cursor: u64, count: usize) -> Vec<(u64, PaymentHash)> {
    let mut told = Vec::new();
    while told.len() < count {
        let reading = seller.settlements(cursor);
        let settlements = tokio::time::timeout(Duration::from_secs(20), reading).await.unwrap().unwrap();
        assert!(settlements.len() <= SETTLEMENTS_MAX);
        cursor = settlements.last().unwrap().index;
        told.extend(settlements.iter().map(|settlement| (settlement.index, settlement.payment_hash)));
    }
    told
}

async fn sell(rig: &Rig, seller: &Arc<dyn Invoicer>, count: usize) -> Vec<Invoice> {
    let mut sold = Vec::new();
    for _ in 0..count {
        sold.push(rig.sold(seller).await);
    }
    sold
}

fn in_order(sold: &[Invoice]) -> Vec<(u64, PaymentHash)> {
    (1..).zip(sold.iter().map(Invoice::payment_hash)).collect()
}

/// lnd is not asked to begin again while the caller goes on where it stopped.
#[tokio::test]
async fn one_stream_is_read_across_calls() {
    let rig = Rig::new();
    let seller = rig.invoicer();
    sell(&rig, &seller, 1).await;
    assert_eq!(read(&seller, 0, 1).await.len(), 1);
    rig.node.world.take_calls();
    for cursor in 1..4 {
        let sold = sell(&rig, &seller, 1).await;
        assert_eq!(read(&seller, cursor, 1).await, [(cursor + 1, sold[0].payment_hash())]);
    }
    let calls = rig.node.world.take_calls();
    assert_eq!(calls.iter().filter(|call| *call == SUBSCRIBE).count(), 1, "{calls:?}");
    assert!(!calls.iter().any(|call| call == LIST), "{calls:?}");
    // Asked from another point, it is.
    assert_eq!(read(&seller, 1, 3).await.len(), 3);
    assert!(rig.node.world.take_calls().iter().any(|call| call == SUBSCRIBE));
}

/// Settled in another order than they were added, among others that are open, over several pages.
#[tokio::test]
async fn the_beginning_is_read_from_the_records() {
    let rig = Rig::new();
    let seller = rig.invoicer();
    let mut open = Vec::new();
    for _ in 0..620 {
        open.push(seller.create(rig.request()).await.unwrap());
    }
    let paid: Vec<Invoice> = open.iter().step_by(3).rev().cloned().collect();
    for invoice in &paid {
        rig.settle(invoice).await;
    }
    rig.node.world.take_calls();
    assert_eq!(read(&seller, 0, paid.len()).await, in_order(&paid));
    let pages = rig.node.world.take_calls().iter().filter(|call| *call == LIST).count();
    assert_eq!(pages, 2, "up to the first settlement, which is on the second page");
    let last = sell(&rig, &seller, 1).await;
    let cursor = u64::try_from(paid.len()).unwrap();
    assert_eq!(read(&seller, cursor, 1).await, [(cursor + 1, last[0].payment_hash())]);
}

#[tokio::test]
async fn pages_that_are_too_large_are_halved() {
    let rig = Rig::new();
    let seller = rig.invoicer();
    let mut sold = Vec::new();
    for _ in 0..501 {
        let invoice = rig.sold(&seller).await;
        rig.node.world.ledger().find_mut(invoice.payment_hash()).memo = "d".repeat(2_000);
        sold.push(invoice);
    }
    rig.node.world.take_calls();
    assert_eq!(read(&seller, 0, sold.len()).await, in_order(&sold));
    let pages = rig.node.world.take_calls().iter().filter(|call| *call == LIST).count();
    assert_eq!(pages, 2, "one that is too large, and half of it");
}

/// A macaroon that was baked for the least: what settles is told, as it happens.
#[tokio::test]
async fn without_the_right_to_list_only_news_are_told() {
    let rig = Rig::new();
    let seller = rig.with_rights(&[
        "uri:/lnrpc.Lightning/AddInvoice",
        "uri:/lnrpc.Lightning/LookupInvoice",
        "uri:/lnrpc.Lightning/SubscribeInvoices",
    ]);
    let before = sell(&rig, &seller, 2).await;
    let (told, after) = tokio::join!(read(&seller, 0, 1), async {
        while rig.node.world.ledger().listeners() == 0 {
            tokio::task::yield_now().await;
        }
        rig.sold(&seller).await
    });
    assert_eq!(told, [(3, after.payment_hash())]);
    // From a cursor on all is told.
    assert_eq!(read(&seller, 1, 2).await, [(2, before[1].payment_hash()), (3, after.payment_hash())]);
}

#[tokio::test]
async fn without_the_right_to_subscribe_the_right_is_named() {
    let rig = Rig::new();
    let seller = rig.with_rights(&["uri:/lnrpc.Lightning/AddInvoice", "uri:/lnrpc.Lightning/ListInvoices"]);
    sell(&rig, &seller, 1).await;
    let permission = "invoices:read (SubscribeInvoices)";
    assert_eq!(seller.settlements(1).await, Err(InvoicerError::Forbidden { permission }));
}

/// lnd numbers payments, too, that are not told here; their numbers are missing for ever.
#[tokio::test]
async fn numbers_that_are_missing_in_the_records_are_believed() {
    let rig = Rig::new();
    let seller = rig.invoicer();
    let sold = sell(&rig, &seller, 6).await;
    for hidden in [1, 3] {
        // The record of something else: an AMP invoice stays open.
        rig.node.world.ledger().find_mut(sold[hidden].payment_hash()).state = 0;
    }
    let told: Vec<_> = [0, 2, 4, 5].map(|place| in_order(&sold)[place]).to_vec();
    assert_eq!(read(&seller, 0, 4).await, told);
    assert_eq!(read(&seller, 1, 3).await, told[1..]);
    let next = sell(&rig, &seller, 1).await;
    let next = (7, next[0].payment_hash());
    assert_eq!(read(&seller, 6, 1).await, [next]);
    rig.node.world.ledger().find_mut(sold[0].payment_hash()).state = 0;
    assert_eq!(read(&seller, 0, 4).await, [told[1], told[2], told[3], next]);
}

/// The very first one: there is no number before it that could be asked for.
#[tokio::test]
async fn the_first_settlement_is_not_lost_where_only_the_second_is_told() {
    let rig = Rig::new();
    let seller = rig.invoicer();
    let (first, second) =
        (seller.create(rig.request()).await.unwrap(), seller.create(rig.request()).await.unwrap());
    let (told, ()) = tokio::join!(read(&seller, 0, 2), async {
        let mut pages = 0;
        while pages < 2 || rig.node.world.ledger().listeners() == 0 {
            pages += rig.node.world.take_calls().iter().filter(|call| *call == LIST).count();
            tokio::task::yield_now().await;
        }
        rig.arm(NodeFault::FeedGap);
        rig.settle(&first).await;
        rig.heal();
        rig.settle(&second).await;
    });
    assert_eq!(told, in_order(&[first, second]));
}

#[tokio::test]
async fn a_field_that_cannot_be_is_named() {
    let rig = Rig::new();
    let seller = rig.invoicer();
    let sold = sell(&rig, &seller, 2).await;
    rig.node.world.ledger().find_mut(sold[1].payment_hash()).settle_date = -1;
    for cursor in [0, 1] {
        let error = seller.settlements(cursor).await;
        assert_eq!(error, Err(InvoicerError::Garbled { field: "settle_date" }), "from {cursor}");
    }
}
