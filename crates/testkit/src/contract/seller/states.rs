//! What becomes of an invoice.

use super::shop::{Shop, fresh_preimage, settled};
use crate::contract::{LackOf, SellerRig, wait::within};
use l402_lightning::{CLOCK_SKEW_SECS_MAX, Invoice, InvoiceState, InvoicerError, Unsupported};

/// A hash that the node has never seen.
pub async fn what_nobody_issued_is_unknown(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    shop.sell_one().await;
    let hash = fresh_preimage().payment_hash();
    assert_eq!(shop.lookup(hash).await, Ok(InvoiceState::Unknown), "lookup of a strange hash");
    assert_eq!(shop.open_invoice(hash).await, Ok(None), "open_invoice of a strange hash");
    if !shop.lacks_cancel() {
        assert_eq!(shop.cancel(hash).await, Ok(()), "withdrawing what cannot be paid is no error");
    }
}

/// Settled is said of the invoice that was paid, with what was received, and of no other.
pub async fn an_invoice_is_open_until_it_is_settled(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    let (paid, other) = (shop.sell_one().await, shop.sell_one().await);
    shop.assert_state(&paid, InvoiceState::Open, "before payment").await;
    shop.settle(&paid).await;
    shop.assert_state(&paid, settled(&paid), "after payment").await;
    shop.assert_state(&other, InvoiceState::Open, "of another invoice").await;
    pass_expiry(rig, &paid);
    shop.assert_state(&paid, settled(&paid), "after payment and expiry").await;
}

/// What was not paid in time never becomes settled.
pub async fn an_invoice_expires(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    let invoice = shop.sell_one().await;
    rig.advance(1);
    shop.assert_state(&invoice, InvoiceState::Open, "before its expiry").await;
    pass_expiry(rig, &invoice);
    let found = shop.lookup(invoice.payment_hash()).await;
    let told = found == Ok(InvoiceState::Expired);
    if shop.lacks(LackOf::Expired, !told) {
        let harmless =
            matches!(found, Ok(InvoiceState::Open | InvoiceState::Cancelled | InvoiceState::Unknown));
        assert!(harmless, "an expired invoice must not be settled: {found:?}");
    }
}

/// Handed out again for who asks twice, and only while it can be paid.
pub async fn an_open_invoice_is_handed_out_until_it_is_closed(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    let (paid, late, cancelled) = (shop.sell_one().await, shop.sell_one().await, shop.sell_one().await);
    let open = shop.open_invoice(paid.payment_hash()).await;
    let missing = shop.lacks(LackOf::OpenInvoice, open == Ok(None));
    for invoice in [&paid, &late, &cancelled] {
        let expected = (!missing).then(|| invoice.clone());
        let open = shop.open_invoice(invoice.payment_hash()).await;
        assert_eq!(open, Ok(expected), "open_invoice has to give the very invoice");
    }
    shop.settle(&paid).await;
    assert_closed(&shop, &paid, "it is settled").await;
    if !shop.lacks_cancel() {
        assert_eq!(shop.cancel(cancelled.payment_hash()).await, Ok(()), "an open invoice can be withdrawn");
        assert_closed(&shop, &cancelled, "it is withdrawn").await;
    }
    pass_expiry(rig, &late);
    assert_closed(&shop, &late, "it has expired").await;
}

async fn assert_closed(shop: &Shop<'_, impl SellerRig>, invoice: &Invoice, why: &str) {
    let open = shop.open_invoice(invoice.payment_hash()).await;
    assert_eq!(open, Ok(None), "open_invoice has to give none once {why}");
}

/// Withdrawn once or twice, it is cancelled, and others are not.
pub async fn a_withdrawn_invoice_is_cancelled(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    let (invoice, other) = (shop.sell_one().await, shop.sell_one().await);
    let hash = invoice.payment_hash();
    if shop.lacks_cancel() {
        let refused = Err(InvoicerError::Unsupported(Unsupported::Cancel));
        assert_eq!(shop.cancel(hash).await, refused, "cancel has to be unsupported");
        shop.assert_state(&invoice, InvoiceState::Open, "after a refused cancel").await;
        return;
    }
    for time in ["the first time", "again"] {
        assert_eq!(shop.cancel(hash).await, Ok(()), "cancel {time}");
        let found = shop.lookup(hash).await;
        if shop.lacks(LackOf::Cancelled, found != Ok(InvoiceState::Cancelled)) {
            assert_eq!(found, Ok(InvoiceState::Unknown), "a withdrawn invoice that is forgotten is unknown");
        }
    }
    shop.assert_state(&other, InvoiceState::Open, "of another invoice").await;
    pass_expiry(rig, &other);
    assert_eq!(shop.cancel(other.payment_hash()).await, Ok(()), "withdrawing an expired invoice is no error");
}

/// Money that came is not given back by a late cancel.
pub async fn a_settled_invoice_cannot_be_withdrawn(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    let invoice = shop.sell_and_settle().await;
    let answer = shop.cancel(invoice.payment_hash()).await;
    if shop.lacks_cancel() {
        let refused = Err(InvoicerError::Unsupported(Unsupported::Cancel));
        assert_eq!(answer, refused, "cancel has to be unsupported");
    } else {
        let refused = matches!(answer, Err(InvoicerError::Refused { .. }));
        assert!(refused, "cancel of a settled invoice has to be refused: {answer:?}");
    }
    shop.assert_state(&invoice, settled(&invoice), "after a refused cancel").await;
}

/// A gateway that restarts goes on with its open invoices.
pub async fn a_new_adapter_knows_what_an_earlier_one_issued(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    let (paid, open) = (shop.sell_one().await, shop.sell_one().await);
    shop.settle(&paid).await;
    let restarted = Shop::open(rig);
    let found = restarted.lookup(open.payment_hash()).await;
    if shop.lacks(LackOf::Memory, found == Ok(InvoiceState::Unknown)) {
        let found = restarted.lookup(paid.payment_hash()).await;
        assert_eq!(found, Ok(InvoiceState::Unknown), "lookup of another adapter's invoice");
        return;
    }
    assert_eq!(found, Ok(InvoiceState::Open), "lookup of another adapter's invoice");
    restarted.assert_state(&paid, settled(&paid), "of another adapter's invoice").await;
    let handed_out = shop.open_invoice(open.payment_hash()).await;
    assert_eq!(restarted.open_invoice(open.payment_hash()).await, handed_out, "open_invoice has to agree");
}

/// What a healthy node says of itself fits what is known of it.
pub async fn a_healthy_node_is_probed_well(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    let status = within("probe", shop.invoicer.probe()).await;
    let Ok(status) = status else { panic!("probe of a healthy node has to succeed: {status:?}") };
    assert!(status.network.is_none_or(|network| network == rig.network()), "network: {status:?}");
    assert_ne!(status.synced, Some(false), "a healthy node follows the chain: {status:?}");
    if let Some(clock) = status.clock {
        let skew = clock.abs_diff(rig.now());
        assert!(skew <= CLOCK_SKEW_SECS_MAX, "the node's clock is off by {skew} s: {status:?}");
    }
    shop.assert_count(0, "after a probe");
}

/// Moves the clock well beyond an invoice's expiry: nodes close invoices a little late.
fn pass_expiry(rig: &impl SellerRig, invoice: &Invoice) {
    rig.advance(invoice.expires_at().saturating_sub(rig.now()) + 120);
}
