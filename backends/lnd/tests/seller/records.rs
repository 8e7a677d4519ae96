//! Records that are not what lnd's interface promises.

use crate::{node::Ledger, rig::Rig};
use l402::PaymentHash;
use l402_lightning::{InvoiceState, InvoicerError, MilliSat};
use testkit::contract::SellerRig as _;

/// What is said of an invoice whose record was spoiled in this way.
async fn spoiled(spoil: impl FnOnce(&mut Ledger, PaymentHash)) -> [Result<(), InvoicerError>; 2] {
    let rig = Rig::new();
    let seller = rig.invoicer();
    let hash = seller.create(rig.request()).await.unwrap().payment_hash();
    spoil(&mut rig.node.world.ledger(), hash);
    [seller.lookup(hash).await.map(drop), seller.open_invoice(hash).await.map(drop)]
}

fn garbled(field: &'static str) -> Result<(), InvoicerError> {
    Err(InvoicerError::Garbled { field })
}

#[tokio::test]
async fn a_field_that_cannot_be_is_named() {
    let both = |field| [garbled(field), garbled(field)];
    assert_eq!(spoiled(|ledger, hash| ledger.find_mut(hash).state = 9).await, both("state"));
    let short = spoiled(|ledger, hash| ledger.find_mut(hash).r_hash.truncate(31)).await;
    assert_eq!(short, both("r_hash"));
    let other = spoiled(|ledger, hash| ledger.find_mut(hash).r_hash = vec![1; 32]).await;
    assert_eq!(other, both("r_hash"));
    let paid = spoiled(|ledger, hash| {
        let invoice = ledger.find_mut(hash);
        (invoice.state, invoice.amt_paid_msat) = (1, -1);
    });
    assert_eq!(paid.await, [garbled("amt_paid_msat"), Ok(())]);
    let expiry = spoiled(|ledger, hash| {
        let invoice = ledger.find_mut(hash);
        (invoice.state, invoice.expiry) = (2, -1);
    });
    assert_eq!(expiry.await, [garbled("expiry"), Ok(())]);
}

#[tokio::test]
async fn an_invoice_of_another_hash_is_not_handed_out() {
    let rig = Rig::new();
    let seller = rig.invoicer();
    let (request, other) = (rig.request(), seller.create(rig.request()).await.unwrap());
    let hash = seller.create(request.clone()).await.unwrap().payment_hash();
    rig.node.world.ledger().find_mut(hash).payment_request = other.text().to_owned();
    let error = InvoicerError::Garbled { field: "payment_request" };
    assert_eq!(seller.open_invoice(hash).await, Err(error.clone()));
    assert_eq!(seller.create(request).await, Err(error));
    rig.node.world.ledger().find_mut(hash).payment_request = "lnbcrt1".to_owned();
    assert!(matches!(seller.open_invoice(hash).await, Err(InvoicerError::Unreadable(_))));
}

/// Paid for, and held until it is settled: still the payer's to be handed out, not yet ours.
#[tokio::test]
async fn an_accepted_invoice_is_open() {
    let rig = Rig::new();
    let seller = rig.invoicer();
    let invoice = seller.create(rig.request()).await.unwrap();
    let hash = invoice.payment_hash();
    rig.node.world.ledger().find_mut(hash).state = 3;
    assert_eq!(seller.lookup(hash).await, Ok(InvoiceState::Open));
    assert_eq!(seller.open_invoice(hash).await, Ok(Some(invoice)));
}

/// What was received counts, not what was asked for.
#[tokio::test]
async fn an_overpaid_invoice_is_settled_with_what_was_paid() {
    let rig = Rig::new();
    let seller = rig.invoicer();
    let hash = rig.sold(&seller).await.payment_hash();
    rig.node.world.ledger().find_mut(hash).amt_paid_msat = 20_001;
    let amount = MilliSat::from_msat(20_001);
    assert_eq!(seller.lookup(hash).await, Ok(InvoiceState::Settled { amount }));
    assert_eq!(seller.settlements(0).await.unwrap()[0].amount, amount);
}
