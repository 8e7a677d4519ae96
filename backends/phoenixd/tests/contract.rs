//! phoenixd keeps the contract of a Lightning backend; and what is its own.
//!
//! The daemon is an imitation in this process, written from the published API documents; it checks passwords, and a
//! proxy with a certificate of its own stands in front of it.

#![expect(clippy::expect_used, clippy::panic, reason = "a step that fails ends the test")]

mod imitation;
mod rig;

use imitation::node::{FULL, LIMITED};
use l402_lightning::{
    InvoiceRequest, InvoiceState, InvoicerError, MilliSat, Network, NotSent, OpenError, PayError, PayLimits,
    PaymentState, SettingValue,
};
use rig::{Rig, open_seller};
use std::time::Duration;

async fn rig() -> Rig {
    Rig::new()
}

testkit::seller_contract!(rig);
testkit::buyer_contract!(rig);

const LIMITS: PayLimits = PayLimits { fee_max: MilliSat::from_msat(5_000), timeout: Duration::from_secs(5) };

fn request() -> InvoiceRequest {
    InvoiceRequest {
        amount: MilliSat::from_msat(21_000),
        expiry_secs: 60,
        description: "weather of today".to_owned(),
        preimage: None,
    }
}

#[tokio::test]
async fn a_password_that_can_pay_does_not_sell_unless_the_operator_insists() {
    let rig = Rig::new();
    let seller = rig.seller(FULL);
    for error in [seller.create(request()).await.map(drop), seller.probe().await.map(drop)] {
        assert!(matches!(error, Err(InvoicerError::Unsafe { .. })), "{error:?}");
    }
    assert_eq!(rig.node.made(), 0);
    let insisting = rig.settings(FULL).with("allow_full_password", SettingValue::Flag(true));
    let seller = open_seller(&insisting).unwrap();
    seller.create(request()).await.unwrap();
    assert_eq!(seller.probe().await.unwrap().network, Some(Network::Regtest));
}

#[tokio::test]
async fn a_daemon_that_does_not_know_the_tip_says_so_when_asked() {
    let rig = Rig::new();
    rig.node.fault(|faults| faults.no_tip = true);
    assert_eq!(rig.seller(LIMITED).probe().await, Err(InvoicerError::Starting));
    let error = rig.buyer(FULL).await.err().expect("not before it follows the chain");
    assert!(matches!(error, OpenError::NotReady(NotSent::Starting)), "{error}");
}

#[tokio::test]
async fn an_invoice_that_is_not_paid_is_open_though_its_preimage_is_shown() {
    let rig = Rig::new();
    let seller = rig.seller(LIMITED);
    let invoice = seller.create(request()).await.unwrap();
    assert_eq!(seller.lookup(invoice.payment_hash()).await, Ok(InvoiceState::Open));
    assert_eq!(seller.open_invoice(invoice.payment_hash()).await, Ok(Some(invoice)));
}

#[tokio::test]
async fn two_payments_of_one_millisecond_have_two_places() {
    let rig = Rig::new();
    let seller = rig.seller(LIMITED);
    let mut hashes = Vec::new();
    for _ in 0..3 {
        let hash = seller.create(request()).await.unwrap().payment_hash();
        rig.node.settle_at(hash, 1_763_000_000_500);
        hashes.push(hash);
    }
    let told = seller.settlements(0).await.unwrap();
    assert!(told.is_sorted_by(|one, other| one.index < other.index), "{told:?}");
    assert_eq!(told.len(), hashes.len());
    assert!(told.iter().all(|one| hashes.contains(&one.payment_hash) && one.settled_at == 1_763_000_000));
    let after_first = rig.seller(LIMITED).settlements(told[0].index).await.unwrap();
    assert_eq!(after_first, told[1..]);
}

#[tokio::test]
async fn a_clock_that_was_set_back_loses_nothing() {
    let rig = Rig::new();
    let seller = rig.seller(LIMITED);
    let mut hashes = Vec::new();
    for _ in 0..2 {
        hashes.push(seller.create(request()).await.unwrap().payment_hash());
    }
    rig.node.settle_at(hashes[0], 1_763_000_010_000);
    let first = seller.settlements(0).await.unwrap();
    rig.node.settle_at(hashes[1], 1_763_000_009_000);
    let second = seller.settlements(first[0].index).await.unwrap();
    assert_eq!(second.iter().map(|one| one.payment_hash).collect::<Vec<_>>(), [hashes[1]]);
    assert!(second[0].index < first[0].index);
}

#[tokio::test]
async fn a_message_on_the_websocket_is_a_sign_to_look_into_the_records() {
    let rig = Rig::new();
    let seller = rig.seller(LIMITED);
    let hash = seller.create(request()).await.unwrap().payment_hash();
    let waiting = tokio::spawn(async move { seller.settlements(0).await });
    while rig.node.listeners() == 0 || rig.node.looks() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rig.node.settle(hash, 0);
    assert_eq!(waiting.await.unwrap().unwrap()[0].payment_hash, hash);
    assert_eq!(rig.node.looks(), 2, "once before and once after the message");
}

#[tokio::test]
async fn without_a_websocket_the_records_are_looked_into() {
    let rig = Rig::new();
    rig.node.fault(|faults| faults.no_socket = true);
    let seller = rig.seller(LIMITED);
    let hash = seller.create(request()).await.unwrap().payment_hash();
    let waiting = tokio::spawn(async move { seller.settlements(0).await });
    tokio::task::yield_now().await;
    rig.node.settle(hash, 0);
    assert_eq!(waiting.await.unwrap().unwrap()[0].payment_hash, hash);
}

#[tokio::test]
async fn a_fee_limit_below_the_published_fee_is_named_and_nothing_is_ordered() {
    let rig = Rig::new();
    let buyer = rig.buyer(FULL).await.unwrap();
    let invoice = rig.node.invoice_of_a_stranger(MilliSat::from_msat(10_000));
    let tight = PayLimits { fee_max: MilliSat::from_msat(4_039), ..LIMITS };
    let needed = MilliSat::from_msat(4_040);
    let refused = PayError::NotSent(NotSent::FeeLimit { needed });
    assert_eq!(buyer.pay(&invoice, tight).await.unwrap_err(), refused);
    assert_eq!(rig.node.payment_count(invoice.payment_hash()), 0);
    buyer.pay(&invoice, PayLimits { fee_max: needed, ..LIMITS }).await.unwrap();
    let Ok(PaymentState::Succeeded(paid)) = buyer.lookup(invoice.payment_hash()).await else {
        panic!("it was paid");
    };
    assert_eq!((paid.amount.as_msat(), paid.fee), (10_000, needed));
}
