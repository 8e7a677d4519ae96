//! Payments whose caller does not hear how they end.

use super::purse::{HASTY, PRICE, Purse};
use crate::contract::{
    BuyerRig, PayFault,
    wait::{eventually, within},
};
use l402_lightning::{Invoice, PayError, PaymentState, UnknownCause};
use std::{sync::Arc, time::Duration};

/// The wallet's time is up, the money is on its way: that is no failure.
pub async fn a_payment_in_flight_outlives_its_time_limit(rig: &impl BuyerRig) {
    let purse = Purse::open(rig).await;
    if !purse.arm(PayFault::Hold) {
        return;
    }
    let invoice = rig.invoice(PRICE);
    let answer = purse.pay_within(&invoice, HASTY).await;
    let timeout = PayError::OutcomeUnknown(UnknownCause::Timeout);
    assert_eq!(answer.expect_err("no preimage yet"), timeout, "the outcome has to be unknown");
    let restarted = Purse::open(rig).await;
    for purse in [&purse, &restarted] {
        assert_in_flight(purse, &invoice).await;
    }
    let again = restarted.pay_within(&invoice, HASTY).await;
    let kept = again.as_ref().err().is_some_and(|error| !error.nothing_paid());
    assert!(kept, "what is on its way is not paid again, and not called unpaid: {again:?}");
    purse.assert_count(&invoice, 1, "while it is in flight");
    rig.release();
    purse.assert_succeeds(&invoice, "after its release").await;
    restarted.assert_not_paid_again(&invoice, "after its release").await;
}

/// The buyer is killed between the request and the answer.
pub async fn a_payment_in_flight_outlives_its_caller(rig: &impl BuyerRig) {
    let purse = Purse::open(rig).await;
    if !purse.arm(PayFault::Hold) {
        return;
    }
    let invoice = rig.invoice(PRICE);
    let (payer, paid) = (Arc::clone(&purse.payer), invoice.clone());
    let caller = tokio::spawn(async move { payer.pay(&paid, HASTY).await });
    let restarted = Purse::open(rig).await;
    eventually("the payment is on its way", async || {
        matches!(restarted.lookup(&invoice).await, Ok(PaymentState::InFlight)).then_some(())
    })
    .await;
    caller.abort();
    let _ = within("the end of the caller", caller).await;
    assert_in_flight(&restarted, &invoice).await;
    rig.release();
    restarted.assert_succeeds(&invoice, "after its release").await;
    restarted.assert_not_paid_again(&invoice, "after its release").await;
}

async fn assert_in_flight(purse: &Purse<'_, impl BuyerRig>, invoice: &Invoice) {
    let state = purse.lookup(invoice).await;
    assert!(matches!(state, Ok(PaymentState::InFlight)), "it has to be in flight: {state:?}");
}

/// Paid, and the line broke: unknown until it is looked up, and never paid again.
pub async fn a_payment_whose_answer_is_lost_is_found_by_its_hash(rig: &impl BuyerRig) {
    let purse = Purse::open(rig).await;
    if !purse.arm(PayFault::LoseAnswer) {
        return;
    }
    let invoice = rig.invoice(PRICE);
    match purse.pay(&invoice).await {
        Err(PayError::OutcomeUnknown(_)) => {}
        other => panic!("after a lost answer the outcome is unknown: {other:?}"),
    }
    rig.heal();
    let restarted = Purse::open(rig).await;
    restarted.assert_succeeds(&invoice, "after a lost answer").await;
    restarted.assert_not_paid_again(&invoice, "after a lost answer").await;
    purse.assert_not_paid_again(&invoice, "after a lost answer, by the same adapter").await;
}

/// Killed at any point, and tried again by a buyer that has forgotten.
pub async fn a_payment_that_was_dropped_is_made_at_most_once(rig: &impl BuyerRig) {
    for patience_ms in [0, 1, 3, 10, 30] {
        let purse = Purse::open(rig).await;
        let invoice = rig.invoice(PRICE);
        let dropped = purse.payer.pay(&invoice, HASTY);
        let _ = tokio::time::timeout(Duration::from_millis(patience_ms), dropped).await;
        let restarted = Purse::open(rig).await;
        let again = restarted.pay(&invoice).await;
        let right = matches!(&again, Ok(_) | Err(PayError::AlreadyKnown));
        assert!(right, "dropped after {patience_ms} ms: paid now or known: {again:?}");
        restarted.assert_succeeds(&invoice, "after a payment that was dropped").await;
    }
}
