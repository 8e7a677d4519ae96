//! Payments that succeed, once each.

use super::purse::{LIMITS, PRICE, Purse, assert_paid};
use crate::contract::BuyerRig;
use l402_lightning::{MilliSat, PayError, PaymentState};

/// Without the preimage nothing can be bought; without lookups a lost answer is lost money.
pub async fn the_wallet_can_do_what_a_purchase_needs(rig: &impl BuyerRig) {
    let purse = Purse::open(rig).await;
    let can = purse.payer.capabilities();
    assert!(can.returns_preimage && can.lookup_by_hash, "a purchase needs both: {can:?}");
    assert!(can.network.is_none_or(|network| network == rig.network()), "the network: {can:?}");
    purse.pay(&rig.invoice(PRICE)).await.expect("the payment has to succeed");
    assert_eq!(purse.payer.capabilities(), can, "capabilities have to be constant");
    assert_eq!(Purse::open(rig).await.payer.capabilities(), can, "also for an adapter that is new");
}

/// The preimage, the amount and the fee are those of the payment.
pub async fn a_payment_gives_the_preimage_of_the_hash(rig: &impl BuyerRig) {
    let purse = Purse::open(rig).await;
    for sat in [1, 10, 2_100] {
        let invoice = rig.invoice(MilliSat::from_msat(sat * 1_000));
        let paid = purse.pay(&invoice).await;
        let Ok(paid) = paid else { panic!("the payment of {sat} sat has to succeed: {paid:?}") };
        assert_paid(&paid, &invoice, LIMITS);
        purse.assert_succeeds(&invoice, "after a payment").await;
    }
}

/// Asked again, the wallet does not pay again, also for an adapter that is new.
pub async fn a_payment_is_made_once(rig: &impl BuyerRig) {
    let purse = Purse::open(rig).await;
    let invoice = rig.invoice(PRICE);
    purse.pay(&invoice).await.expect("the payment has to succeed");
    purse.assert_not_paid_again(&invoice, "by the same adapter").await;
    Purse::open(rig).await.assert_not_paid_again(&invoice, "by an adapter that is new").await;
}

/// Of two buyers with one wallet, one pays.
pub async fn a_payment_asked_for_twice_at_once_is_made_once(rig: &impl BuyerRig) {
    let (purse, other) = (Purse::open(rig).await, Purse::open(rig).await);
    let invoice = rig.invoice(PRICE);
    let (one, two) = tokio::join!(purse.pay(&invoice), other.pay(&invoice));
    assert!(one.is_ok() || two.is_ok(), "one payment has to succeed: {one:?}, {two:?}");
    for answer in [one, two] {
        match answer {
            Ok(paid) => assert_paid(&paid, &invoice, LIMITS),
            Err(error) => assert!(!error.nothing_paid(), "it was paid, so none may say otherwise: {error:?}"),
        }
    }
    purse.assert_succeeds(&invoice, "after two at once").await;
}

/// After a crash of the buyer.
pub async fn a_payment_that_was_made_is_known_to_a_new_adapter(rig: &impl BuyerRig) {
    let purse = Purse::open(rig).await;
    let (paid, other) = (rig.invoice(PRICE), rig.invoice(PRICE));
    purse.pay(&paid).await.expect("the payment has to succeed");
    let restarted = Purse::open(rig).await;
    restarted.assert_succeeds(&paid, "for an adapter that is new").await;
    restarted.assert_nothing_paid(&other, "of another invoice").await;
}

/// A hash that the wallet has never seen.
pub async fn a_payment_that_was_never_made_is_unknown(rig: &impl BuyerRig) {
    let purse = Purse::open(rig).await;
    let invoice = rig.invoice(PRICE);
    let state = purse.lookup(&invoice).await;
    assert!(matches!(state, Ok(PaymentState::Unknown)), "it has to be unknown: {state:?}");
    let paid = purse.pay(&invoice).await;
    assert!(!matches!(paid, Err(PayError::AlreadyKnown)), "a lookup must not make it known: {paid:?}");
    purse.assert_count(&invoice, 1, "after a lookup and a payment");
}
