//! Nodes whose invoices are not what was asked for.

use super::shop::Shop;
use crate::contract::{NodeFault, SellerRig};
use l402_lightning::{InvoicerError, Mismatch};

/// Found by the check: it names the network.
pub async fn an_invoice_for_another_network_never_passes(rig: &impl SellerRig) {
    never_passes(rig, NodeFault::WrongNetwork, |found| matches!(found, Mismatch::Network { .. })).await;
}

/// Found by the check: it names the amount.
pub async fn an_invoice_for_another_amount_never_passes(rig: &impl SellerRig) {
    never_passes(rig, NodeFault::WrongAmount, |found| matches!(found, Mismatch::Amount { .. })).await;
}

/// Found by the check, or by the adapter where only it knows the hash.
pub async fn an_invoice_with_another_hash_never_passes(rig: &impl SellerRig) {
    never_passes(rig, NodeFault::WrongHash, |found| matches!(found, Mismatch::PaymentHash { .. })).await;
}

/// Found by the check: it names the expiry.
pub async fn an_invoice_with_another_expiry_never_passes(rig: &impl SellerRig) {
    never_passes(rig, NodeFault::WrongExpiry, |found| {
        matches!(found, Mismatch::Expiry { .. } | Mismatch::Expired { .. })
    })
    .await;
}

/// Found by the check, or by the adapter where the service vouches for the words.
pub async fn an_invoice_with_another_description_never_passes(rig: &impl SellerRig) {
    never_passes(rig, NodeFault::WrongDescription, |found| found == Mismatch::Description).await;
}

async fn never_passes(rig: &impl SellerRig, fault: NodeFault, is_it: impl Fn(Mismatch) -> bool) {
    let shop = Shop::open(rig);
    if !shop.arm(fault) {
        return;
    }
    let request = shop.request();
    let answer = shop.create(&request).await;
    let found = match &answer {
        Ok(invoice) => shop.check(invoice, &request).map_err(InvoicerError::Lied),
        Err(error) => Err(error.clone()),
    };
    let right = match &found {
        Err(InvoicerError::Lied(mismatch)) => is_it(*mismatch),
        Err(InvoicerError::Garbled { .. } | InvoicerError::Unreadable(_)) => true,
        _ => false,
    };
    assert!(right, "{fault:?}: the lie has to be found and named: {found:?}, {answer:?}");
    rig.heal();
    shop.sell_one().await;
}
