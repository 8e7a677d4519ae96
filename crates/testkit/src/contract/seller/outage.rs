//! Nodes that do not answer, or answer nonsense.

use super::shop::{Shop, settled};
use crate::contract::{
    LackOf, NodeFault, SellerRig,
    wait::{patiently, within},
};
use l402_lightning::{InvoiceState, InvoicerError, NodeStatus};

/// Each question is answered with `Unreachable`, also by an adapter that is new; when the node is back, so is service.
pub async fn a_node_that_is_down_is_unreachable(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    let invoice = shop.sell_one().await;
    if !shop.arm(NodeFault::Down) {
        return;
    }
    let opened_meanwhile = Shop::open(rig);
    for shop in [&shop, &opened_meanwhile] {
        let hash = invoice.payment_hash();
        assert_eq!(shop.create(&shop.request()).await, Err(InvoicerError::Unreachable), "create");
        assert_eq!(probe(shop).await, Err(InvoicerError::Unreachable), "probe");
        let found = shop.lookup(hash).await;
        assert_ne!(found, Ok(InvoiceState::Open), "lookup must not guess: {found:?}");
        if !shop.lacks_cancel() {
            assert_eq!(shop.cancel(hash).await, Err(InvoicerError::Unreachable), "cancel");
        }
    }
    assert_eq!(shop.lookup(invoice.payment_hash()).await, Err(InvoicerError::Unreachable), "lookup");
    rig.heal();
    shop.assert_count(1, "after calls to a node that is down");
    for shop in [&shop, &opened_meanwhile] {
        assert_serves(shop).await;
    }
}

/// A deadline of the adapter's own ends each call.
pub async fn a_node_that_hangs_times_out(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    let invoice = shop.sell_one().await;
    if !shop.arm(NodeFault::Hang) {
        return;
    }
    let request = shop.request();
    let (created, probed, found) =
        tokio::join!(shop.create(&request), probe(&shop), shop.lookup(invoice.payment_hash()));
    assert_eq!(created, Err(InvoicerError::Timeout), "create");
    assert_eq!(probed, Err(InvoicerError::Timeout), "probe");
    assert_eq!(found, Err(InvoicerError::Timeout), "lookup");
    rig.heal();
    assert_serves(&shop).await;
}

/// Said in a word, so that the operator can be told what to do.
pub async fn a_locked_node_is_called_locked(rig: &impl SellerRig) {
    says(rig, NodeFault::Locked, &InvoicerError::Locked).await;
}

/// Said in a word, so that the operator can be told to wait.
pub async fn a_starting_node_is_called_starting(rig: &impl SellerRig) {
    says(rig, NodeFault::Starting, &InvoicerError::Starting).await;
}

async fn says(rig: &impl SellerRig, fault: NodeFault, error: &InvoicerError) {
    let shop = Shop::open(rig);
    if !shop.arm(fault) {
        return;
    }
    assert_eq!(shop.create(&shop.request()).await.as_ref(), Err(error), "create");
    assert_eq!(probe(&shop).await.as_ref(), Err(error), "probe");
    shop.assert_count(0, "after refusals");
    rig.heal();
    assert_serves(&shop).await;
}

/// The error names the field; no state is guessed.
pub async fn answers_that_are_not_in_the_format_are_errors(rig: &impl SellerRig) {
    nonsense(rig, NodeFault::Garble).await;
}

/// Half an answer is none.
pub async fn answers_that_break_off_are_errors(rig: &impl SellerRig) {
    nonsense(rig, NodeFault::Truncate).await;
}

/// What is too large is not read to its end.
pub async fn answers_that_are_too_large_are_errors(rig: &impl SellerRig) {
    nonsense(rig, NodeFault::Oversize).await;
}

async fn nonsense(rig: &impl SellerRig, fault: NodeFault) {
    let shop = Shop::open(rig);
    let invoice = shop.sell_one().await;
    let hash = invoice.payment_hash();
    // Armed anew for each question, as a fault may be over once it has struck.
    let armed = || rig.arm(fault);
    if !shop.arm(fault) {
        return;
    }
    assert_nonsense("create", fault, shop.create(&shop.request()).await.as_ref().err());
    armed();
    assert_nonsense("lookup", fault, shop.lookup(hash).await.as_ref().err());
    armed();
    // A node that does not hand invoices out need not be asked.
    if !rig.lacks().iter().any(|lack| lack.what == LackOf::OpenInvoice) {
        assert_nonsense("open_invoice", fault, shop.open_invoice(hash).await.as_ref().err());
    }
    armed();
    // Some nodes answer a probe by the status alone.
    if let Err(error) = probe(&shop).await {
        assert_nonsense("probe", fault, Some(&error));
    }
    rig.heal();
    shop.assert_state(&invoice, InvoiceState::Open, "after nonsense").await;
    assert_serves(&shop).await;
}

fn assert_nonsense(call: &str, fault: NodeFault, error: Option<&InvoicerError>) {
    let right = error.is_some_and(|error| match error {
        InvoicerError::Garbled { field } => !field.is_empty(),
        InvoicerError::Unreadable(_) => true,
        // What breaks off can also be seen as a line that broke.
        InvoicerError::Unreachable => fault == NodeFault::Truncate,
        _ => false,
    });
    assert!(right, "{call}, {fault:?}: has to be an error that names what cannot be understood: {error:?}");
}

/// Invoices, and what became of them, are as they were; the adapter needs no restart.
pub async fn a_node_that_restarts_goes_on_as_before(rig: &impl SellerRig) {
    let shop = Shop::open(rig);
    let (open, paid) = (shop.request(), shop.sell_and_settle().await);
    let invoice = shop.sell(&open).await;
    within("restart", rig.restart()).await;
    let hash = invoice.payment_hash();
    let found = patiently("lookup after a restart", async || shop.lookup(hash).await).await;
    assert_eq!(found, Ok(InvoiceState::Open), "an open invoice has to be open still");
    shop.assert_state(&paid, settled(&paid), "after a restart").await;
    if !shop.lacks_chosen_preimage() {
        assert_eq!(shop.sell(&open).await, invoice, "the same request has to get the same invoice still");
        shop.assert_count(2, "after a restart");
    }
    shop.settle(&invoice).await;
    shop.assert_state(&invoice, settled(&invoice), "paid after a restart").await;
}

async fn probe(shop: &Shop<'_, impl SellerRig>) -> Result<NodeStatus, InvoicerError> {
    within("probe", shop.invoicer.probe()).await
}

/// All is well again, without a restart of the adapter.
async fn assert_serves(shop: &Shop<'_, impl SellerRig>) {
    let request = shop.request();
    let created = patiently("create after the fault", async || shop.create(&request).await).await;
    let Ok(invoice) = created else { panic!("when the fault is over, create has to succeed: {created:?}") };
    assert_eq!(shop.check(&invoice, &request), Ok(()), "when the fault is over, invoices have to be right");
    let probed = probe(shop).await;
    assert!(probed.is_ok(), "when the fault is over, probe has to succeed: {probed:?}");
}
