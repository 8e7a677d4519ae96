//! The settlement feed while all is well.

use super::{
    shop::{PRICE, Shop},
    till::Till,
};
use crate::contract::{
    LackOf, SellerRig,
    wait::{at_once, within},
};
use l402_lightning::{InvoiceState, InvoicerError, MilliSat, SETTLEMENTS_MAX, SettlementFeed, Unsupported};
use std::{sync::Arc, time::Duration};

/// Nothing is told before there is something; then it is told to who waits already.
pub async fn the_feed_waits_and_then_tells(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    if shop.lacks_feed() {
        let answer = within("settlements", shop.invoicer.settlements(0)).await;
        let refused = Err(InvoicerError::Unsupported(Unsupported::Feed));
        assert_eq!(answer, refused, "settlements has to be unsupported");
        return;
    }
    let (first, second) = (shop.sell_one().await, shop.sell_one().await);
    let mut till = Till::new(&shop);
    for invoice in [&first, &second] {
        let invoicer = Arc::clone(&shop.invoicer);
        let cursor = till.cursor;
        let waiting = tokio::spawn(async move { invoicer.settlements(cursor).await });
        let early = at_once(shop.invoicer.settlements(cursor)).await;
        assert!(early.is_none(), "before anything is settled the feed has to wait: {early:?}");
        assert!(!waiting.is_finished(), "before anything is settled the feed has to wait");
        shop.settle(invoice).await;
        till.sold(&[invoice]);
        let told = within("settlements", waiting).await.expect("no panic");
        till.take(told, rig.now()).await;
        till.read(&[invoice], rig).await;
    }
}

/// Oldest first, with what was received and when; open invoices are not told of.
pub async fn the_feed_tells_each_settlement_in_order(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    if shop.lacks_feed() {
        return;
    }
    let mut sold = Vec::new();
    for _ in 0..5 {
        sold.push(shop.sell_one().await);
    }
    let mut till = Till::new(&shop);
    // Paid in another order than they were issued, one of them not at all.
    let paid = [&sold[3], &sold[0], &sold[4], &sold[1]];
    for invoice in paid {
        shop.settle(invoice).await;
    }
    till.read(&paid, rig).await;
    let places: Vec<u64> = paid.iter().map(|invoice| till.told_of(invoice).index).collect();
    assert!(places.is_sorted(), "places have to rise in the order of payment: {places:?}");
}

/// Whoever pays more than was asked for is sold no more, and what came on top is known.
pub async fn an_overpaid_invoice_is_told_with_its_excess(rig: &impl SellerRig) {
    const EXCESS: MilliSat = MilliSat::from_msat(3_000);
    let shop = Shop::open(rig);
    if shop.lacks_feed() {
        return;
    }
    let mut till = Till::new(&shop);
    let (exact, overpaid) = (shop.sell_and_settle().await, shop.sell_one().await);
    let overpaying = rig.overpay(&overpaid, EXCESS);
    if shop.lacks(LackOf::Invoiced, overpaying.is_none()) {
        till.read(&[&exact], rig).await;
        assert_eq!(till.told_of(&exact).invoiced, None, "a service that does not say has said nothing");
        return;
    }
    if let Some(overpaying) = overpaying {
        within("overpay", overpaying).await;
    }
    let received = PRICE.checked_add(EXCESS).expect("a small amount");
    till.sold_for(&overpaid, received);
    till.read(&[&exact, &overpaid], rig).await;
    for (invoice, excess) in [(&exact, MilliSat::ZERO), (&overpaid, EXCESS)] {
        let told = till.told_of(invoice);
        assert_eq!(told.invoiced, Some(PRICE), "what was asked for has to be told (right)");
        assert_eq!(told.excess(), excess, "what came on top has to be told (right)");
    }
    shop.assert_state(&overpaid, InvoiceState::Settled { amount: received }, "overpaid").await;
}

/// An adapter that is new goes on where an earlier one stopped.
pub async fn the_feed_goes_on_from_its_cursor(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    if shop.lacks_feed() {
        return;
    }
    let mut till = Till::new(&shop);
    let first = shop.sell_and_settle().await;
    till.read(&[&first], rig).await;
    let (second, third) = (shop.sell_and_settle().await, shop.sell_and_settle().await);
    let cursor = till.cursor;
    till.go_on_with(rig.invoicer());
    till.read(&[&second, &third], rig).await;
    let repeated = within("settlements", rig.invoicer().settlements(cursor)).await;
    let repeated = repeated.expect("settlements from an earlier cursor");
    let goes_on = repeated.iter().all(|settlement| settlement.index > cursor);
    assert!(goes_on, "a cursor leaves out what lies before it: {repeated:?}");
    let beyond = at_once(shop.invoicer.settlements(till.cursor)).await;
    assert!(beyond.is_none(), "after the last one the feed has to wait: {beyond:?}");
}

/// More than fit into one answer.
pub async fn the_feed_tells_of_many_settlements_in_bounded_answers(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    if shop.lacks_feed() {
        return;
    }
    let mut sold = Vec::new();
    let mut till = Till::new(&shop);
    for _ in 0..SETTLEMENTS_MAX + 5 {
        sold.push(shop.sell_and_settle().await);
    }
    till.read(&sold.iter().collect::<Vec<_>>(), rig).await;
}

/// A caller that stops waiting has not taken anything away.
pub async fn the_feed_loses_nothing_when_it_is_dropped(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    if shop.lacks_feed() {
        return;
    }
    let mut till = Till::new(&shop);
    for patience_ms in [0, 1, 10] {
        let invoice = shop.sell_one().await;
        let patience = Duration::from_millis(patience_ms);
        let (early, ()) = tokio::join!(
            tokio::time::timeout(patience, shop.invoicer.settlements(till.cursor)),
            shop.settle(&invoice)
        );
        drop(early);
        till.read(&[&invoice], rig).await;
    }
}

/// What was settled before, while and after the node was away.
pub async fn the_feed_survives_a_restart_of_the_node(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    if shop.lacks_feed() {
        return;
    }
    let resumes = shop.invoicer.capabilities().settlement_feed == SettlementFeed::Resumable;
    let resumes = !shop.lacks(LackOf::Resume, !resumes);
    let mut till = Till::new(&shop);
    let first = shop.sell_and_settle().await;
    till.read(&[&first], rig).await;
    let unseen = shop.sell_and_settle().await;
    let (later, last) = (shop.sell_one().await, shop.sell_one().await);
    till.sold(&[&unseen]);
    within("restart", rig.restart()).await;
    till.forgive_breaks();
    let wanted = if resumes {
        vec![&unseen, &later]
    } else {
        // What was missed is not told again: whoever cares looks it up.
        shop.assert_state(&unseen, super::shop::settled(&unseen), "after a restart").await;
        till.begin_anew();
        vec![&later]
    };
    till.sold(&[&first, &later]);
    let invoicer = Arc::clone(&shop.invoicer);
    let cursor = till.cursor;
    let waiting = tokio::spawn(async move { invoicer.settlements(cursor).await });
    shop.settle(&later).await;
    till.take(within("settlements", waiting).await.expect("no panic"), rig.now()).await;
    till.read(&wanted, rig).await;
    // A gateway that restarts as well.
    till.go_on_with(rig.invoicer());
    shop.settle(&last).await;
    till.read(&[&last], rig).await;
}
