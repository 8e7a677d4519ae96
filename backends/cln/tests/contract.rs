//! Core Lightning keeps the contract of a Lightning backend; and what is its own.
//!
//! The node is an imitation in this process, written from the published API documents; it checks runes and shows a
//! certificate of its own.

#![expect(clippy::expect_used, clippy::panic, reason = "a step that fails ends the test")]

mod imitation;
mod rig;

use imitation::rune;
use l402::Preimage;
use l402_lightning::{
    FailureReason, InvoiceRequest, InvoiceState, InvoicerError, MilliSat, Network, NodeStatus, OpenError,
    PayError, PayLimits, PaymentState,
};
use rig::Rig;
use std::time::Duration;

async fn rig() -> Rig {
    Rig::new()
}

testkit::seller_contract!(rig);
testkit::buyer_contract!(rig);

const LIMITS: PayLimits = PayLimits { fee_max: MilliSat::from_msat(1_000), timeout: Duration::from_secs(5) };

fn request() -> InvoiceRequest {
    InvoiceRequest {
        amount: MilliSat::from_msat(1_001),
        expiry_secs: 60,
        description: "weather of today".to_owned(),
        preimage: Some(Preimage::from_bytes([3; 32])),
    }
}

#[tokio::test]
async fn the_label_is_made_of_the_payment_hash() {
    let rig = Rig::new();
    let invoice = rig.seller(rune::SELLER).create(request()).await.unwrap();
    assert_eq!(rig.node.labels(), [format!("l402-{}", invoice.payment_hash())]);
}

#[tokio::test]
async fn a_rune_without_getinfo_and_delinvoice_sells_all_the_same() {
    let rig = Rig::new();
    let seller = rig.seller(rune::SELLER_FRUGAL);
    assert_eq!(seller.probe().await, Ok(NodeStatus::default()));
    let hash = seller.create(request()).await.unwrap().payment_hash();
    assert_eq!(seller.cancel(hash).await, Err(InvoicerError::Forbidden { permission: "method=delinvoice" }));
    assert_eq!(seller.lookup(hash).await, Ok(InvoiceState::Open));
}

#[tokio::test]
async fn a_rune_that_is_used_too_often_means_later_and_not_never() {
    let rig = Rig::new();
    let error = rig.seller(rune::TIRED).create(request()).await.unwrap_err();
    assert_eq!(error, InvoicerError::Overloaded);
}

#[tokio::test]
async fn what_was_received_is_what_settled_even_if_it_is_more() {
    let rig = Rig::new();
    let seller = rig.seller(rune::SELLER);
    let hash = seller.create(request()).await.unwrap().payment_hash();
    rig.node.settle(hash, 99);
    let amount = MilliSat::from_msat(1_100);
    assert_eq!(seller.lookup(hash).await, Ok(InvoiceState::Settled { amount }));
    let settlements = seller.settlements(0).await.unwrap();
    assert_eq!(settlements.iter().map(|one| (one.index, one.amount)).collect::<Vec<_>>(), [(1, amount)]);
}

#[tokio::test]
async fn a_node_that_is_behind_the_chain_says_so_when_probed() {
    let rig = Rig::new();
    let seller = rig.seller(rune::SELLER);
    rig.node.fault(|faults| faults.behind = true);
    assert_eq!(seller.probe().await, Err(InvoicerError::Starting));
    rig.node.heal();
    let status = seller.probe().await.unwrap();
    assert_eq!((status.network, status.synced), (Some(Network::Regtest), Some(true)));
    assert_eq!(status.clock, Some(rig.clock.now()));
}

#[tokio::test]
async fn a_wallet_that_is_behind_the_chain_does_not_open() {
    let rig = Rig::new();
    rig.node.fault(|faults| faults.behind = true);
    let error = rig.buyer(rune::BUYER).await.err().expect("not before it follows the chain");
    assert!(matches!(error, OpenError::NotReady(l402_lightning::NotSent::Starting)), "{error}");
}

#[tokio::test]
async fn an_error_of_xpay_is_no_failure_while_a_part_is_on_its_way() {
    for code in [203, 209, -3] {
        let rig = Rig::new();
        let buyer = rig.buyer(rune::BUYER).await.unwrap();
        let invoice = rig.node.invoice_of_a_stranger(MilliSat::from_msat(5_000));
        rig.node.fault(|faults| faults.early_error = Some(code));
        assert_eq!(buyer.pay(&invoice, LIMITS).await.unwrap_err(), PayError::AlreadyKnown, "{code}");
        let state = buyer.lookup(invoice.payment_hash()).await;
        assert!(matches!(state, Ok(PaymentState::InFlight)), "{code}: {state:?}");
        rig.node.release();
        let state = buyer.lookup(invoice.payment_hash()).await;
        assert!(matches!(state, Ok(PaymentState::Succeeded(_))), "{code}: {state:?}");
        assert_eq!(rig.node.payment_count(invoice.payment_hash()), 1);
    }
}

#[tokio::test]
async fn a_payment_that_looks_failed_may_still_be_tried_for_a_minute() {
    let rig = Rig::new();
    let buyer = rig.buyer(rune::BUYER).await.unwrap();
    let invoice = rig.node.invoice_to_be_refused(MilliSat::from_msat(5_000));
    let error = buyer.pay(&invoice, LIMITS).await.unwrap_err();
    assert_eq!(error, PayError::Failed(FailureReason::IncorrectPaymentDetails));
    // Another process cannot know whether that `xpay` has ended.
    let state = rig.buyer(rune::BUYER).await.unwrap().lookup(invoice.payment_hash()).await;
    assert!(matches!(state, Ok(PaymentState::InFlight)), "{state:?}");
    rig.clock.advance(75);
    let state = buyer.lookup(invoice.payment_hash()).await;
    assert!(matches!(state, Ok(PaymentState::Failed(_))), "{state:?}");
    assert_eq!(rig.node.payment_count(invoice.payment_hash()), 0);
}
