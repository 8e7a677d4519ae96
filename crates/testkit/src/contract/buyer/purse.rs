//! A buyer at work: an adapter, its limits, and the checks that every payment goes through.

use crate::contract::{
    BuyerRig, LackOf, PayFault,
    lack::agreed,
    wait::{eventually, within},
};
use l402_lightning::{Invoice, MilliSat, Paid, PayError, PayLimits, Payer, PaymentState};
use std::{sync::Arc, time::Duration};

/// What an invoice asks for where nothing else matters: 10 satoshi.
pub(super) const PRICE: MilliSat = MilliSat::from_msat(10_000);

/// Limits that stand in nobody's way.
pub(super) const LIMITS: PayLimits =
    PayLimits { fee_max: MilliSat::from_msat(100_000), timeout: Duration::from_secs(10) };

/// Limits of a buyer who does not wait.
pub(super) const HASTY: PayLimits = PayLimits { timeout: Duration::from_secs(1), ..LIMITS };

/// A rig and one adapter of its.
pub(super) struct Purse<'a, R> {
    pub(super) rig: &'a R,
    pub(super) payer: Arc<dyn Payer>,
}

impl<'a, R: BuyerRig> Purse<'a, R> {
    pub(super) async fn open(rig: &'a R) -> Self {
        let payer = within("open", rig.open()).await;
        Self { rig, payer: payer.unwrap_or_else(|error| panic!("a good wallet has to open: {error:?}")) }
    }

    /// Arms a fault; `false` where it cannot occur, as the list of the rig has to say.
    pub(super) fn arm(&self, fault: PayFault) -> bool {
        let missing = !self.rig.arm(fault);
        !agreed(self.rig.lacks(), LackOf::PayFault(fault), missing)
    }

    /// Pays within [`LIMITS`].
    pub(super) async fn pay(&self, invoice: &Invoice) -> Result<Paid, PayError> {
        self.pay_within(invoice, LIMITS).await
    }

    pub(super) async fn pay_within(&self, invoice: &Invoice, limits: PayLimits) -> Result<Paid, PayError> {
        within("pay", self.payer.pay(invoice, limits)).await
    }

    pub(super) async fn lookup(&self, invoice: &Invoice) -> Result<PaymentState, PayError> {
        within("lookup", self.payer.lookup(invoice.payment_hash())).await
    }

    /// How often money moved for an invoice has to be this.
    pub(super) fn assert_count(&self, invoice: &Invoice, count: usize, when: &str) {
        let found = self.rig.payment_count(invoice.payment_hash());
        assert_eq!(found, count, "{when}: so many payments have to be in the wallet (right)");
    }

    /// The payment has succeeded, or does so by itself; a lookup says so, with the preimage.
    pub(super) async fn assert_succeeds(&self, invoice: &Invoice, when: &str) {
        let paid = eventually(when, async || match self.lookup(invoice).await {
            Ok(PaymentState::Succeeded(paid)) => Some(paid),
            Ok(PaymentState::InFlight) => None,
            other => panic!("{when}: lookup has to tell of the payment: {other:?}"),
        });
        assert_paid(&paid.await, invoice, LIMITS);
        self.assert_count(invoice, 1, when);
    }

    /// Asked to pay what it has paid, the wallet says so and does not pay.
    pub(super) async fn assert_not_paid_again(&self, invoice: &Invoice, when: &str) {
        match self.pay(invoice).await {
            Ok(paid) => assert_paid(&paid, invoice, LIMITS),
            Err(error) => assert_eq!(error, PayError::AlreadyKnown, "{when}: a second payment is known"),
        }
        self.assert_count(invoice, 1, when);
    }

    /// Nothing was paid, and a lookup says nothing else.
    pub(super) async fn assert_nothing_paid(&self, invoice: &Invoice, when: &str) {
        self.assert_count(invoice, 0, when);
        let state = self.lookup(invoice).await;
        let right = matches!(state, Ok(PaymentState::Unknown | PaymentState::Failed(_)));
        assert!(right, "{when}: a lookup has to say that nothing was paid: {state:?}");
    }
}

/// The payment is the one that was asked for.
pub(super) fn assert_paid(paid: &Paid, invoice: &Invoice, limits: PayLimits) {
    let hash = paid.preimage.payment_hash();
    assert_eq!(hash, invoice.payment_hash(), "the preimage has to be the invoice's");
    assert_eq!(Some(paid.amount), invoice.amount(), "the amount has to be the invoice's");
    assert!(paid.fee <= limits.fee_max, "the fee {} has to be within {}", paid.fee, limits.fee_max);
}
