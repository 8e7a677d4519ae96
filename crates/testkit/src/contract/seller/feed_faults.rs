//! The settlement feed while things go wrong.

use super::{shop::Shop, till::Till};
use crate::contract::{
    NodeFault, SellerRig,
    wait::{at_once, within},
};
use std::sync::Arc;

/// The line breaks under who waits; asked again, the feed goes on.
pub async fn the_feed_survives_a_cut(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    if shop.lacks_feed() {
        return;
    }
    let mut till = Till::new(&shop);
    let first = shop.sell_and_settle().await;
    till.read(&[&first], rig).await;
    let (second, third) = (shop.sell_one().await, shop.sell_one().await);
    let invoicer = Arc::clone(&shop.invoicer);
    let cursor = till.cursor;
    let waiting = tokio::spawn(async move { invoicer.settlements(cursor).await });
    let early = at_once(shop.invoicer.settlements(cursor)).await;
    assert!(early.is_none(), "before anything is settled the feed has to wait: {early:?}");
    if !shop.arm(NodeFault::FeedCut) {
        waiting.abort();
        return;
    }
    till.forgive_breaks();
    shop.settle(&second).await;
    till.sold(&[&second]);
    till.take(within("settlements", waiting).await.expect("no panic"), rig.now()).await;
    till.read(&[&second], rig).await;
    // Where the line under the first call held, this one breaks.
    shop.settle(&third).await;
    till.read(&[&third], rig).await;
    rig.heal();
    let last = shop.sell_and_settle().await;
    till.read(&[&last], rig).await;
}

/// One settlement that is told twice is one.
pub async fn notifications_that_come_twice_are_one_settlement(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    if shop.lacks_feed() || !shop.arm(NodeFault::FeedDuplicate) {
        return;
    }
    let mut till = Till::new(&shop);
    let mut sold = Vec::new();
    for _ in 0..3 {
        sold.push(shop.sell_and_settle().await);
        till.read(&[&sold[sold.len() - 1]], rig).await;
    }
    rig.heal();
    let last = shop.sell_and_settle().await;
    till.read(&[&last], rig).await;
    let beyond = at_once(shop.invoicer.settlements(till.cursor)).await;
    let beyond = beyond.map(|told| told.map(|told| told.iter().any(|one| one.index > till.cursor)));
    assert!(!matches!(beyond, Some(Ok(true))), "nothing was settled after the last one");
}

/// The order in which they come does not decide what is told.
pub async fn notifications_out_of_order_lose_nothing(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    if shop.lacks_feed() {
        return;
    }
    let mut till = Till::new(&shop);
    let first = shop.sell_and_settle().await;
    till.read(&[&first], rig).await;
    let (second, third) = (shop.sell_one().await, shop.sell_one().await);
    if !shop.arm(NodeFault::FeedReorder) {
        return;
    }
    shop.settle(&second).await;
    shop.settle(&third).await;
    till.sold(&[&second, &third]);
    till.read(&[&second, &third], rig).await;
    rig.heal();
    till.go_on_with(rig.invoicer());
    let last = shop.sell_and_settle().await;
    till.read(&[&last], rig).await;
}

/// What the node's records have is told, whether or not a notification came.
pub async fn lost_notifications_are_made_up_for(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    if shop.lacks_feed() {
        return;
    }
    let mut till = Till::new(&shop);
    let first = shop.sell_and_settle().await;
    till.read(&[&first], rig).await;
    let invoicer = Arc::clone(&shop.invoicer);
    let cursor = till.cursor;
    let waiting = tokio::spawn(async move { invoicer.settlements(cursor).await });
    let early = at_once(shop.invoicer.settlements(cursor)).await;
    assert!(early.is_none(), "before anything is settled the feed has to wait: {early:?}");
    if !shop.arm(NodeFault::FeedGap) {
        waiting.abort();
        return;
    }
    let lost = shop.sell_and_settle().await;
    rig.heal();
    let last = shop.sell_and_settle().await;
    till.forgive_breaks();
    till.sold(&[&lost, &last]);
    till.take(within("settlements", waiting).await.expect("no panic"), rig.now()).await;
    till.read(&[&lost, &last], rig).await;
}

/// Nonsense is an error, or is passed over; it is never a settlement.
pub async fn a_garbled_feed_invents_nothing(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    if shop.lacks_feed() || !shop.arm(NodeFault::Garble) {
        return;
    }
    let told = at_once(shop.invoicer.settlements(0)).await;
    assert!(!matches!(told, Some(Ok(_))), "nothing was settled: {told:?}");
    rig.heal();
    let mut till = Till::new(&shop);
    till.forgive_breaks();
    let invoice = shop.sell_and_settle().await;
    till.read(&[&invoice], rig).await;
}
