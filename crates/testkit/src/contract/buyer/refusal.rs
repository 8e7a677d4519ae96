//! Payments that are not made: only then may "nothing was paid" be said.

use super::purse::{LIMITS, PRICE, Purse, assert_paid};
use crate::contract::{BuyerRig, PayFault, wait::within};
use l402_lightning::{
    FailureReason, Invoice, InvoiceRequest, Invoicer as _, MilliSat, Network, NotSent, OpenError, PayError,
    PayLimits,
    loopback::{Fault, LoopbackNode, WrongInvoice},
};
use std::sync::Arc;

/// No more is paid for routing than the buyer said; with a higher limit the same invoice can be paid.
pub async fn a_fee_above_the_limit_is_not_paid(rig: &impl BuyerRig) {
    let purse = Purse::open(rig).await;
    let least = MilliSat::from_msat(5_000);
    if !purse.arm(PayFault::FeeAbove(least)) {
        return;
    }
    let invoice = rig.invoice(PRICE);
    for fee_max in [MilliSat::ZERO, least] {
        let answer = purse.pay_within(&invoice, PayLimits { fee_max, ..LIMITS }).await;
        let right = matches!(
            answer,
            Err(PayError::Failed(FailureReason::NoRoute) | PayError::NotSent(NotSent::FeeLimit { .. }))
        );
        assert!(right, "a fee above {fee_max} must not be paid: {answer:?}");
        purse.assert_nothing_paid(&invoice, "after a fee limit").await;
    }
    rig.heal();
    let paid = purse.pay(&invoice).await.expect("what failed for good can be tried again");
    assert_paid(&paid, &invoice, LIMITS);
    purse.assert_count(&invoice, 1, "with a higher limit");
}

/// What failed for lack of a route can be tried again, and is paid once.
pub async fn without_a_route_nothing_is_paid(rig: &impl BuyerRig) {
    fails(rig, PayFault::NoRoute, |error| {
        matches!(
            error,
            PayError::Failed(FailureReason::NoRoute | FailureReason::Other)
                | PayError::NotSent(NotSent::Refused { .. })
        )
    })
    .await;
}

/// What failed for lack of money can be tried again, and is paid once.
pub async fn without_money_nothing_is_paid(rig: &impl BuyerRig) {
    fails(rig, PayFault::InsufficientBalance, |error| {
        matches!(
            error,
            PayError::Failed(FailureReason::InsufficientBalance)
                | PayError::NotSent(NotSent::InsufficientBalance)
        )
    })
    .await;
}

async fn fails(rig: &impl BuyerRig, fault: PayFault, is_it: impl Fn(&PayError) -> bool) {
    let purse = Purse::open(rig).await;
    if !purse.arm(fault) {
        return;
    }
    let invoice = rig.invoice(PRICE);
    let answer = purse.pay(&invoice).await;
    assert!(answer.as_ref().is_err_and(is_it), "{fault:?} has to be named: {answer:?}");
    purse.assert_nothing_paid(&invoice, "after a failure").await;
    rig.heal();
    let paid = purse.pay(&invoice).await.expect("what failed for good can be tried again");
    assert_paid(&paid, &invoice, LIMITS);
    purse.assert_count(&invoice, 1, "after another try");
}

/// Its time is over; the wallet says so, or refuses in its own words.
pub async fn an_expired_invoice_is_not_paid(rig: &impl BuyerRig) {
    let purse = Purse::open(rig).await;
    let invoice = rig.invoice(PRICE);
    rig.advance(invoice.expires_at().saturating_sub(rig.now()) + 120);
    let answer = purse.pay(&invoice).await;
    let right = matches!(
        answer,
        Err(PayError::NotSent(NotSent::Expired | NotSent::Refused { .. }) | PayError::Failed(_))
    );
    assert!(right, "an expired invoice must not be paid: {answer:?}");
    purse.assert_nothing_paid(&invoice, "after an expired invoice").await;
}

/// Real coins are not sent for an invoice of a test network, nor the other way round.
pub async fn an_invoice_for_another_network_is_not_paid(rig: &impl BuyerRig) {
    let purse = Purse::open(rig).await;
    let other = if rig.network() == Network::Mainnet { Network::Testnet } else { Network::Mainnet };
    let invoice = odd_invoice(rig, WrongInvoice::Network(other)).await;
    let answer = purse.pay(&invoice).await;
    let error = answer.expect_err("an invoice for another network must not be paid");
    if purse.payer.capabilities().network.is_some() {
        assert_eq!(error, PayError::NotSent(NotSent::OtherNetwork), "a wallet that knows its network");
    }
    assert!(error.nothing_paid(), "an invoice for another network cannot have been paid: {error:?}");
    purse.assert_count(&invoice, 0, "for another network");
}

/// The buyer agreed to an amount; an invoice that names none is not paid.
pub async fn an_invoice_without_an_amount_is_not_paid(rig: &impl BuyerRig) {
    let purse = Purse::open(rig).await;
    let invoice = match rig.network() {
        Network::Regtest => odd_invoice(rig, WrongInvoice::NoAmount).await,
        // The one hand that writes such invoices here writes them for regtest.
        _ => return,
    };
    let error = purse.pay(&invoice).await.expect_err("an invoice without an amount must not be paid");
    assert_eq!(error, PayError::NotSent(NotSent::Amountless), "without an amount");
    purse.assert_count(&invoice, 0, "without an amount");
}

/// An invoice that no honest seller would hand out.
async fn odd_invoice(rig: &impl BuyerRig, wrong: WrongInvoice) -> Invoice {
    let now = rig.now();
    let seller = LoopbackNode::new([0x0d; 32], Arc::new(move || now));
    seller.knobs().create().set(Fault::Wrong(wrong));
    let request = InvoiceRequest {
        amount: PRICE,
        expiry_secs: 600,
        description: "something odd".to_owned(),
        preimage: None,
    };
    seller.create(request).await.expect("an invoice that can be read")
}

/// No connection, no payment; when the wallet is back it pays.
pub async fn a_wallet_that_is_down_was_not_asked(rig: &impl BuyerRig) {
    let purse = Purse::open(rig).await;
    if !purse.arm(PayFault::Down) {
        return;
    }
    let invoice = rig.invoice(PRICE);
    let first = purse.pay(&invoice).await;
    // A connection that was open before may break under the request: then nobody knows.
    let right = matches!(first, Err(PayError::NotSent(NotSent::Unreachable) | PayError::OutcomeUnknown(_)));
    assert!(right, "a wallet that is down cannot be reached: {first:?}");
    let second = purse.pay(&invoice).await.expect_err("a wallet that is down pays nothing");
    assert_eq!(second, PayError::NotSent(NotSent::Unreachable), "a wallet that is down cannot be reached");
    let state = purse.lookup(&invoice).await;
    assert!(state.is_err(), "a wallet that is down knows nothing: {state:?}");
    let opened = within("open", rig.open()).await.map(drop);
    let right = matches!(opened, Err(OpenError::NotReady(NotSent::Unreachable)));
    assert!(right, "a wallet that is down does not open: {opened:?}");
    rig.heal();
    purse.assert_nothing_paid(&invoice, "while the wallet was down").await;
    purse.pay(&invoice).await.expect("when it is back it has to pay");
    purse.assert_count(&invoice, 1, "when the wallet is back");
}

/// Said in a word, so that its owner can be told what to do.
pub async fn a_locked_wallet_pays_nothing(rig: &impl BuyerRig) {
    let purse = Purse::open(rig).await;
    if !purse.arm(PayFault::Locked) {
        return;
    }
    let invoice = rig.invoice(PRICE);
    let error = purse.pay(&invoice).await.expect_err("a locked wallet pays nothing");
    assert_eq!(error, PayError::NotSent(NotSent::Locked), "a locked wallet says so");
    let opened = within("open", rig.open()).await.map(drop);
    let right = matches!(opened, Err(OpenError::NotReady(NotSent::Locked)));
    assert!(right, "a locked wallet does not open: {opened:?}");
    rig.heal();
    purse.assert_nothing_paid(&invoice, "while the wallet was locked").await;
}
