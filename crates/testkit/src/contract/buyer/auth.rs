//! Credentials and certificates that are wrong, and where credentials must never be seen.

use super::purse::{HASTY, PRICE, Purse};
use crate::contract::{BuyerRig, LackOf, PayFault, WrongAuth, lack::agreed, shown::Shown, wait::within};
use l402_lightning::{NotSent, OpenError, PayError};

/// Another wallet's credential, a revoked one.
pub async fn a_wrong_credential_pays_nothing(rig: &impl BuyerRig) {
    pays_nothing(rig, WrongAuth::Credential, |why| *why == NotSent::Unauthorized).await;
}

/// A credential that may look and not pay: the error says which right is missing.
pub async fn a_missing_permission_to_pay_is_named(rig: &impl BuyerRig) {
    pays_nothing(
        rig,
        WrongAuth::Permission,
        |why| matches!(why, NotSent::Forbidden { permission } if !permission.is_empty()),
    )
    .await;
}

/// Whoever answers there learns nothing.
pub async fn a_changed_certificate_pays_nothing(rig: &impl BuyerRig) {
    pays_nothing(rig, WrongAuth::Certificate, |why| *why == NotSent::Certificate).await;
}

/// Said when the wallet is opened, or at the latest when it is to pay.
async fn pays_nothing(rig: &impl BuyerRig, wrong: WrongAuth, is_it: impl Fn(&NotSent) -> bool) {
    let opening = rig.open_with(wrong);
    if agreed(rig.lacks(), LackOf::Auth(wrong), opening.is_none()) {
        return;
    }
    let Some(opening) = opening else { return };
    match within("open", opening).await {
        Err(OpenError::NotReady(why)) => assert!(is_it(&why), "{wrong:?}: open has to name it: {why:?}"),
        Err(error) => panic!("{wrong:?}: open has to say that the wallet is not ready: {error:?}"),
        Ok(payer) => {
            let invoice = rig.invoice(PRICE);
            let purse = Purse { rig, payer };
            let answer = purse.pay(&invoice).await;
            let right = matches!(&answer, Err(PayError::NotSent(why)) if is_it(why));
            assert!(right, "{wrong:?}: pay has to name it: {answer:?}");
            purse.assert_count(&invoice, 0, "after a refusal");
        }
    }
}

/// Credentials are in no error that faults and wrong credentials bring about.
pub async fn errors_show_no_secret(rig: &impl BuyerRig) {
    let shown = Shown::hiding(rig.secrets());
    for wrong in WrongAuth::ALL {
        let Some(opening) = rig.open_with(wrong) else { continue };
        match within("open", opening).await {
            Err(error) => shown.add(&error),
            Ok(payer) => ask_all(&Purse { rig, payer }, &shown).await,
        }
    }
    let purse = Purse::open(rig).await;
    for fault in PayFault::ALL {
        // A wallet that hangs or holds says nothing, and takes its time.
        if !matches!(fault, PayFault::Hang | PayFault::Hold) && rig.arm(fault) {
            ask_all(&purse, &shown).await;
            if let Err(error) = within("open", rig.open()).await {
                shown.add(&error);
            }
            rig.heal();
        }
    }
}

async fn ask_all(purse: &Purse<'_, impl BuyerRig>, shown: &Shown) {
    let invoice = purse.rig.invoice(PRICE);
    shown.add_error(purse.pay_within(&invoice, HASTY).await);
    shown.add_error(purse.lookup(&invoice).await);
}
