//! Credentials and certificates that are wrong, and where credentials must never be seen.

use super::shop::Shop;
use crate::contract::{LackOf, NodeFault, SellerRig, WrongAuth, lack::agreed, shown::Shown, wait::within};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use l402_lightning::{InvoicerError, OpenError};

/// Another node's credential, a revoked one.
pub async fn a_wrong_credential_is_unauthorized(rig: &impl SellerRig) {
    let Some(shop) = shop_with(rig, WrongAuth::Credential) else { return };
    let probed = within("probe", shop.invoicer.probe()).await;
    assert_eq!(probed, Err(InvoicerError::Unauthorized), "probe");
    assert_eq!(shop.create(&shop.request()).await, Err(InvoicerError::Unauthorized), "create");
    shop.assert_count(0, "after refusals");
}

/// The error says which right is missing. A probe tells what it may ask for.
pub async fn a_missing_permission_is_named(rig: &impl SellerRig) {
    let Some(shop) = shop_with(rig, WrongAuth::Permission) else { return };
    let forbidden = |error: &InvoicerError| matches!(error, InvoicerError::Forbidden { permission } if !permission.is_empty());
    let created = shop.create(&shop.request()).await;
    assert!(created.as_ref().is_err_and(forbidden), "create has to name the right: {created:?}");
    let probed = within("probe", shop.invoicer.probe()).await;
    assert!(probed.as_ref().err().is_none_or(forbidden), "probe: {probed:?}");
    shop.assert_count(0, "after refusals");
}

/// Whoever answers there learns nothing.
pub async fn a_changed_certificate_is_refused(rig: &impl SellerRig) {
    let Some(shop) = shop_with(rig, WrongAuth::Certificate) else { return };
    let probed = within("probe", shop.invoicer.probe()).await;
    assert_eq!(probed, Err(InvoicerError::Certificate), "probe");
    assert_eq!(shop.create(&shop.request()).await, Err(InvoicerError::Certificate), "create");
    shop.assert_count(0, "after refusals");
}

/// The shop with this wrong; `None` where it cannot be, as the list of the rig has to say.
fn shop_with<R: SellerRig>(rig: &R, wrong: WrongAuth) -> Option<Shop<'_, R>> {
    let opened = rig.invoicer_with(wrong);
    if agreed(rig.lacks(), LackOf::Auth(wrong), opened.is_none()) {
        return None;
    }
    let invoicer = opened?.unwrap_or_else(|error: OpenError| {
        panic!("{wrong:?}: an invoicer has to open without asking the node: {error:?}")
    });
    Some(Shop { rig, invoicer })
}

/// Neither credentials nor preimages are in any error that faults and wrong credentials bring about.
pub async fn errors_show_no_secret(rig: &impl SellerRig) {
    let mut shown = Shown::hiding(rig.secrets());
    for wrong in WrongAuth::ALL {
        match rig.invoicer_with(wrong) {
            Some(Ok(invoicer)) => ask_all(&Shop { rig, invoicer }, &mut shown).await,
            Some(Err(error)) => shown.add(&error),
            None => {}
        }
    }
    let shop = Shop::open(rig);
    for fault in NodeFault::ALL {
        // A node that hangs says nothing, and takes its time.
        if fault != NodeFault::Hang && rig.arm(fault) {
            ask_all(&shop, &mut shown).await;
            rig.heal();
        }
    }
}

async fn ask_all<R: SellerRig>(shop: &Shop<'_, R>, shown: &mut Shown) {
    let request = shop.request();
    if let Some(preimage) = &request.preimage {
        let bytes = preimage.as_bytes();
        shown.hide([hex::encode(bytes), STANDARD.encode(bytes)]);
    }
    let hash = super::shop::fresh_preimage().payment_hash();
    shown.add_error(shop.create(&request).await);
    shown.add_error(shop.create(&request).await);
    shown.add_error(shop.lookup(hash).await);
    shown.add_error(shop.open_invoice(hash).await);
    shown.add_error(shop.cancel(hash).await);
    shown.add_error(within("probe", shop.invoicer.probe()).await);
}
