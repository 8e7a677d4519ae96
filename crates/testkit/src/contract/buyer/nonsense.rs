//! Wallets that do not answer, or answer nonsense: nothing is known, so nothing is said.

use super::purse::{HASTY, LIMITS, PRICE, Purse, assert_paid};
use crate::contract::{BuyerRig, PayFault};
use l402_lightning::{PayError, PaymentState, UnknownCause};

/// A deadline of the adapter's own ends each call; the payment may have been made.
pub async fn a_wallet_that_hangs_leaves_the_outcome_unknown(rig: &impl BuyerRig) {
    let purse = Purse::open(rig).await;
    if !purse.arm(PayFault::Hang) {
        return;
    }
    let invoice = rig.invoice(PRICE);
    let (answer, state) = tokio::join!(purse.pay_within(&invoice, HASTY), purse.lookup(&invoice));
    let timeout = PayError::OutcomeUnknown(UnknownCause::Timeout);
    let error = answer.expect_err("a wallet that hangs gives no preimage");
    let paid = rig.payment_count(invoice.payment_hash());
    // An adapter that asks something first may know that it never asked for the payment.
    assert!(error == timeout || (error.nothing_paid() && paid == 0), "pay, {paid} payments: {error:?}");
    let unknown = matches!(state, Err(PayError::OutcomeUnknown(UnknownCause::Timeout)));
    assert!(unknown, "lookup of a wallet that hangs: {state:?}");
    rig.heal();
    rig.release();
    assert_one_in_the_end(&purse, &invoice).await;
}

/// Answers in another format.
pub async fn an_answer_that_is_not_in_the_format_leaves_the_outcome_unknown(rig: &impl BuyerRig) {
    nonsense(rig, PayFault::Garble, |cause| matches!(cause, UnknownCause::Garbled { .. })).await;
}

/// Half an answer is none.
pub async fn an_answer_that_breaks_off_leaves_the_outcome_unknown(rig: &impl BuyerRig) {
    nonsense(rig, PayFault::Truncate, |cause| {
        matches!(cause, UnknownCause::Garbled { .. } | UnknownCause::Cut)
    })
    .await;
}

/// What is too large is not read to its end.
pub async fn an_answer_that_is_too_large_leaves_the_outcome_unknown(rig: &impl BuyerRig) {
    nonsense(rig, PayFault::Oversize, |cause| matches!(cause, UnknownCause::Garbled { .. })).await;
}

async fn nonsense(rig: &impl BuyerRig, fault: PayFault, is_it: impl Fn(&UnknownCause) -> bool) {
    let purse = Purse::open(rig).await;
    if !purse.arm(fault) {
        return;
    }
    let invoice = rig.invoice(PRICE);
    let error = purse.pay(&invoice).await.expect_err("nonsense is no preimage");
    let paid = rig.payment_count(invoice.payment_hash());
    let right = match &error {
        PayError::OutcomeUnknown(cause) => is_it(cause),
        // An adapter that asks something first may know that it never asked for the payment.
        error => error.nothing_paid() && paid == 0,
    };
    assert!(right, "pay, {fault:?}, {paid} payments: {error:?}");
    // Armed anew, as a fault may be over once it has struck.
    rig.arm(fault);
    let state = purse.lookup(&invoice).await;
    assert!(matches!(state, Err(PayError::OutcomeUnknown(_))), "lookup, {fault:?}: {state:?}");
    rig.heal();
    assert_one_in_the_end(&purse, &invoice).await;
}

/// When the wallet speaks again the truth is found, and the buyer ends with one payment.
async fn assert_one_in_the_end(purse: &Purse<'_, impl BuyerRig>, invoice: &l402_lightning::Invoice) {
    let paid = purse.rig.payment_count(invoice.payment_hash());
    assert!(paid <= 1, "no more than one payment may be made: {paid}");
    if paid == 0 {
        let state = purse.lookup(invoice).await;
        let right = matches!(state, Ok(PaymentState::Unknown | PaymentState::Failed(_)));
        assert!(right, "what was not paid is not called paid: {state:?}");
        let paid = purse.pay(invoice).await.expect("what was not paid can be paid");
        assert_paid(&paid, invoice, LIMITS);
    }
    purse.assert_succeeds(invoice, "when the wallet speaks again").await;
    purse.assert_not_paid_again(invoice, "when the wallet speaks again").await;
}

/// The wallet says that it paid, and keeps the proof: unknown, until a lookup has it.
pub async fn a_success_without_a_preimage_is_no_success(rig: &impl BuyerRig) {
    let purse = Purse::open(rig).await;
    if !purse.arm(PayFault::NoPreimage) {
        return;
    }
    let invoice = rig.invoice(PRICE);
    match purse.pay(&invoice).await {
        Err(error) => {
            assert_eq!(error, PayError::OutcomeUnknown(UnknownCause::NoPreimage), "without a preimage");
        }
        // An adapter may look the payment up by itself.
        Ok(paid) => assert_paid(&paid, &invoice, LIMITS),
    }
    rig.heal();
    purse.assert_succeeds(&invoice, "after a success without a preimage").await;
    purse.assert_not_paid_again(&invoice, "after a success without a preimage").await;
}

/// The preimage of something else: an error, or handed on for the caller to see.
pub async fn another_preimage_is_seen(rig: &impl BuyerRig) {
    let purse = Purse::open(rig).await;
    if !purse.arm(PayFault::WrongPreimage) {
        return;
    }
    let invoice = rig.invoice(PRICE);
    match purse.pay(&invoice).await {
        Err(error) => {
            assert_eq!(error, PayError::OutcomeUnknown(UnknownCause::WrongPreimage), "another preimage");
        }
        Ok(paid) => {
            let hash = paid.preimage.payment_hash();
            assert_ne!(hash, invoice.payment_hash(), "the wallet gave another preimage");
        }
    }
    rig.heal();
    purse.assert_succeeds(&invoice, "after another preimage").await;
    purse.assert_not_paid_again(&invoice, "after another preimage").await;
}
