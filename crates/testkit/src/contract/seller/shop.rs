//! A seller at work: an adapter, requests that are never the same, and the checks that every invoice goes through.

use crate::contract::{LackOf, NodeFault, SellerRig, lack::agreed, wait::within};
use l402::{PaymentHash, Preimage};
use l402_lightning::{
    Expected, Invoice, InvoiceRequest, InvoiceState, Invoicer, InvoicerError, KeyControl, MilliSat, Mismatch,
    SettlementFeed, Terms, check,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What a request asks for where nothing else matters: 10 satoshi.
pub(super) const PRICE: MilliSat = MilliSat::from_msat(10_000);

/// Seconds that a request's invoice may be paid for.
pub(super) const EXPIRY_SECS: u32 = 600;

/// A rig and one adapter of its.
pub(super) struct Shop<'a, R> {
    pub(super) rig: &'a R,
    pub(super) invoicer: Arc<dyn Invoicer>,
}

impl<'a, R: SellerRig> Shop<'a, R> {
    pub(super) fn open(rig: &'a R) -> Self {
        Self { rig, invoicer: rig.invoicer() }
    }

    /// A request unlike any other, with a preimage where the node takes one.
    pub(super) fn request(&self) -> InvoiceRequest {
        InvoiceRequest {
            amount: PRICE,
            expiry_secs: EXPIRY_SECS,
            description: "weather of today".to_owned(),
            preimage: self.takes_preimages().then(fresh_preimage),
        }
    }

    fn takes_preimages(&self) -> bool {
        self.invoicer.capabilities().key_control == KeyControl::Preimage
    }

    /// Hands on whether the node lacks this; the list of the rig has to agree.
    pub(super) fn lacks(&self, what: LackOf, missing: bool) -> bool {
        agreed(self.rig.lacks(), what, missing)
    }

    pub(super) fn lacks_chosen_preimage(&self) -> bool {
        self.lacks(LackOf::ChosenPreimage, !self.takes_preimages())
    }

    pub(super) fn lacks_terms(&self) -> bool {
        self.lacks(LackOf::Terms, self.invoicer.capabilities().terms == Terms::Service)
    }

    pub(super) fn lacks_cancel(&self) -> bool {
        self.lacks(LackOf::Cancel, !self.invoicer.capabilities().cancel)
    }

    pub(super) fn lacks_feed(&self) -> bool {
        let feed = self.invoicer.capabilities().settlement_feed;
        self.lacks(LackOf::Feed, feed == SettlementFeed::Poll)
    }

    /// Arms a fault; `false` where it cannot occur, as the list of the rig has to say.
    pub(super) fn arm(&self, fault: NodeFault) -> bool {
        !self.lacks(LackOf::Fault(fault), !self.rig.arm(fault))
    }

    pub(super) async fn create(&self, request: &InvoiceRequest) -> Result<Invoice, InvoicerError> {
        within("create", self.invoicer.create(request.clone())).await
    }

    pub(super) async fn lookup(&self, hash: PaymentHash) -> Result<InvoiceState, InvoicerError> {
        within("lookup", self.invoicer.lookup(hash)).await
    }

    pub(super) async fn open_invoice(&self, hash: PaymentHash) -> Result<Option<Invoice>, InvoicerError> {
        within("open_invoice", self.invoicer.open_invoice(hash)).await
    }

    pub(super) async fn cancel(&self, hash: PaymentHash) -> Result<(), InvoicerError> {
        within("cancel", self.invoicer.cancel(hash)).await
    }

    /// What a gateway finds when it compares the invoice with its request.
    pub(super) fn check(&self, invoice: &Invoice, request: &InvoiceRequest) -> Result<(), Mismatch> {
        let (network, now) = (self.rig.network(), self.rig.now());
        let terms = self.invoicer.capabilities().terms;
        check(invoice, &Expected { request, network, now, terms })
    }

    /// An invoice, created and checked.
    pub(super) async fn sell(&self, request: &InvoiceRequest) -> Invoice {
        let created = self.create(request).await;
        let Ok(invoice) = created else { panic!("create has to give an invoice: {created:?}") };
        let checked = self.check(&invoice, request);
        assert_eq!(checked, Ok(()), "the invoice has to be the one that was asked for: {invoice:?}");
        invoice
    }

    /// A new invoice.
    pub(super) async fn sell_one(&self) -> Invoice {
        self.sell(&self.request()).await
    }

    /// A new invoice that somebody has paid.
    pub(super) async fn sell_and_settle(&self) -> Invoice {
        let invoice = self.sell_one().await;
        self.settle(&invoice).await;
        invoice
    }

    pub(super) async fn settle(&self, invoice: &Invoice) {
        let preimage = within("settle", self.rig.settle(invoice)).await;
        let hash = invoice.payment_hash();
        assert_eq!(preimage.payment_hash(), hash, "whoever pays has to learn the preimage of the hash");
    }

    /// The state of an invoice has to be this.
    pub(super) async fn assert_state(&self, invoice: &Invoice, state: InvoiceState, when: &str) {
        let found = self.lookup(invoice.payment_hash()).await;
        assert_eq!(found, Ok(state), "lookup, {when}: has to tell the state (right)");
    }

    /// So many invoices have to be in the node.
    pub(super) fn assert_count(&self, count: usize, when: &str) {
        assert_eq!(
            self.rig.invoice_count(),
            count,
            "{when}: so many invoices have to be in the node (right)"
        );
    }
}

/// The state of an invoice that was paid as it asked.
pub(super) fn settled(invoice: &Invoice) -> InvoiceState {
    InvoiceState::Settled { amount: invoice.amount().unwrap_or_default() }
}

/// A preimage that nothing else uses.
pub(super) fn fresh_preimage() -> Preimage {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [0xc5; 32];
    bytes[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    bytes[8..12].copy_from_slice(&std::process::id().to_be_bytes());
    Preimage::from_bytes(bytes)
}
