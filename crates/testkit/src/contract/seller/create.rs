//! Issuing invoices, once each.

use super::shop::{EXPIRY_SECS, PRICE, Shop};
use crate::contract::{LackOf, NodeFault, SellerRig, wait::patiently};
use l402_lightning::{InvoiceRequest, InvoicerError, MilliSat, Terms};
use std::time::Duration;

/// What an adapter says of itself can be relied on before anything is asked.
pub async fn the_capabilities_are_constant_and_name_the_network(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    let before = shop.invoicer.capabilities();
    assert_eq!(before.network, rig.network(), "the network has to be the configured one");
    if before.terms == Terms::Caller {
        assert!(before.description_bytes_max > 0, "a caller who words invoices needs room for words");
    }
    shop.sell_one().await;
    assert_eq!(shop.invoicer.capabilities(), before, "capabilities have to be constant");
    assert_eq!(rig.invoicer().capabilities(), before, "also for an adapter that is new");
}

/// The invoice passes the check that every gateway makes.
pub async fn create_gives_the_invoice_that_was_asked_for(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    shop.lacks_terms();
    let (one, other) = (shop.sell_one().await, shop.sell_one().await);
    assert_ne!(one.payment_hash(), other.payment_hash(), "two requests have to give two invoices");
    shop.assert_count(2, "after two requests");
}

/// Asking again costs nothing: the node has one invoice.
pub async fn the_same_create_again_gives_the_same_invoice(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    if shop.lacks_chosen_preimage() {
        return;
    }
    let request = shop.request();
    let first = shop.sell(&request).await;
    assert_eq!(shop.sell(&request).await, first, "the same request has to give the same invoice");
    let restarted = Shop::open(rig);
    assert_eq!(restarted.sell(&request).await, first, "also for an adapter that is new");
    shop.assert_count(1, "after three equal requests");
}

/// Two gateways with the same key, or one that asks again too early.
pub async fn the_same_create_twice_at_once_makes_one_invoice(rig: &impl SellerRig) {
    let (shop, other) = (Shop::open(rig), Shop::open(rig));
    if shop.lacks_chosen_preimage() {
        return;
    }
    let request = shop.request();
    let (one, two, three) = tokio::join!(shop.sell(&request), shop.sell(&request), other.sell(&request));
    assert!(one == two && two == three, "all have to get the same invoice: {one:?} {two:?} {three:?}");
    shop.assert_count(1, "after three equal requests at once");
}

/// The invoice was made, the answer was lost: asked again, the node has the same one.
pub async fn create_after_a_lost_answer_makes_no_second_invoice(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    shop.lacks_chosen_preimage();
    let request = shop.request();
    if !shop.arm(NodeFault::LoseCreateAnswer) {
        return;
    }
    // An adapter may ask again by itself where that makes no second invoice.
    let lost = shop.create(&request).await;
    let told = matches!(lost, Ok(_) | Err(InvoicerError::Unreachable | InvoicerError::Timeout));
    assert!(told, "a lost answer has to be an outage, or to be made up for: {lost:?}");
    rig.heal();
    shop.assert_count(1, "after a lost answer");
    if shop.lacks_chosen_preimage() {
        return;
    }
    let restarted = Shop::open(rig);
    let first = restarted.sell(&request).await;
    assert_eq!(shop.sell(&request).await, first, "all adapters have to get the invoice that was made");
    if let Ok(lost) = lost {
        assert_eq!(lost, first, "an answer that was made up for has to be that invoice");
    }
    shop.assert_count(1, "after asking again");
}

/// A caller that goes away at any point leaves at most the one invoice behind.
pub async fn create_that_was_dropped_can_be_repeated(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    if shop.lacks_chosen_preimage() {
        return;
    }
    for (round, patience_ms) in [0, 1, 3, 10].into_iter().enumerate() {
        let request = shop.request();
        let dropped = shop.invoicer.create(request.clone());
        let _ = tokio::time::timeout(Duration::from_millis(patience_ms), dropped).await;
        let answer = patiently("create after one that was dropped", async || shop.create(&request).await);
        let invoice = answer.await;
        assert!(invoice.is_ok(), "a repeated request has to get its invoice: {invoice:?}");
        assert_eq!(shop.create(&request).await, invoice, "and the same one every time");
        shop.assert_count(round + 1, "after a request that was dropped and repeated");
    }
}

/// A preimage is sold once.
pub async fn another_request_with_a_used_preimage_is_a_duplicate(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    if shop.lacks_chosen_preimage() {
        return;
    }
    let request = shop.request();
    let first = shop.sell(&request).await;
    let dearer = MilliSat::from_msat(PRICE.as_msat() * 2);
    for other in [
        InvoiceRequest { amount: dearer, ..request.clone() },
        InvoiceRequest { description: "weather of tomorrow".to_owned(), ..request.clone() },
        InvoiceRequest { expiry_secs: EXPIRY_SECS * 2, ..request.clone() },
    ] {
        let answer = shop.create(&other).await;
        assert_eq!(answer, Err(InvoicerError::Duplicate), "a used preimage has to be refused");
    }
    assert_eq!(shop.sell(&request).await, first, "the first request has to get its invoice still");
    shop.assert_count(1, "after refusals");
}

/// What was paid, withdrawn or not paid in time is not sold again.
pub async fn a_request_whose_invoice_can_no_longer_be_paid_is_a_duplicate(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    if shop.lacks_chosen_preimage() {
        return;
    }
    let (paid, withdrawn, late) = (shop.request(), shop.request(), shop.request());
    shop.settle(&shop.sell(&paid).await).await;
    let duplicate = Err(InvoicerError::Duplicate);
    assert_eq!(shop.create(&paid).await, duplicate, "what was paid has to be refused");
    let cancelled = shop.sell(&withdrawn).await;
    if !shop.lacks_cancel() {
        assert_eq!(shop.cancel(cancelled.payment_hash()).await, Ok(()), "an open invoice can be withdrawn");
        let forgets = rig.lacks().iter().any(|lack| lack.what == LackOf::Cancelled);
        let answer = shop.create(&withdrawn).await;
        // A node that forgets it sells the preimage anew: nobody can have paid for it.
        let right = answer == duplicate || (forgets && answer.is_ok());
        assert!(right, "what was withdrawn has to be refused: {answer:?}");
    }
    shop.sell(&late).await;
    rig.advance(u64::from(EXPIRY_SECS) * 2);
    assert_eq!(shop.create(&late).await, duplicate, "what was not paid in time has to be refused");
}
