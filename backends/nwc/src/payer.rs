//! A wallet as the one that pays.
//!
//! NIP-47 does not promise that a wallet pays a hash once. So it is asked about the hash first, and a payment is asked
//! for once, with an `expiration` so that a request which lies about somewhere is not carried out later. An error of
//! `pay_invoice` counts as a failure only if a lookup afterwards knows of nothing that is on its way.

use crate::{
    envelope::now,
    record::{Record, State, fees_paid},
    trouble::{Code, Refusal, Trouble},
    wallet::{LOOKUP_INVOICE, PAY_INVOICE, Returned, Wallet},
};
use l402::{PaymentHash, Preimage};
use l402_lightning::{
    BoxFuture, FailureReason, Invoice, Network, NotSent, OpenError, Paid, PayError, PayLimits, Payer,
    PayerCapabilities, PayerOpening, PaymentState, Settings, UnknownCause,
};
use l402_node_http::Fault;
use serde_json::json;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How much longer than the payment's own timeout its answer may take. Also how long after its expiry a request is still
/// taken for one that may be carried out.
const ANSWER_MARGIN: Duration = Duration::from_secs(2);
/// Most payments that may be on their way at once; beyond them nothing is paid.
const PENDING_MAX: usize = 1_024;

/// A wallet as the one that pays.
struct NwcPayer {
    wallet: Wallet,
    network: Network,
    opened_at: Clocks,
    pending: Mutex<Pending>,
}

/// One moment by two clocks, in Unix seconds.
struct Clocks {
    ours: u64,
    wallets: u64,
}

/// Payments that this adapter asked for, without a known end: until when, in Unix seconds, the wallet may take one up.
type Pending = HashMap<PaymentHash, u64>;

/// Opens the wallet and asks it what it can do.
pub(crate) fn open(settings: Settings) -> PayerOpening {
    Box::pin(async move {
        let wallet = Wallet::new(&settings, false)?;
        let info = wallet.info().await.map_err(Trouble::at_opening)?;
        if let Some(permission) = info.lacks([PAY_INVOICE, LOOKUP_INVOICE]) {
            return Err(OpenError::NotReady(NotSent::Forbidden { permission }));
        }
        let network = match (info.network, settings.network) {
            (Some(own), Some(named)) if own != named => {
                return Err(OpenError::Form { setting: "network", expected: "the wallet's network" });
            }
            (own, named) => own.or(named).ok_or(OpenError::Missing("network"))?,
        };
        let opened_at = Clocks { ours: now(), wallets: info.clock };
        Ok(Arc::new(NwcPayer { wallet, network, opened_at, pending: Mutex::default() }) as Arc<dyn Payer>)
    })
}

impl NwcPayer {
    async fn send(&self, invoice: &Invoice, limits: PayLimits) -> Result<Paid, PayError> {
        if invoice.amount().is_none() {
            return Err(PayError::NotSent(NotSent::Amountless));
        }
        if invoice.network() != self.network {
            return Err(PayError::NotSent(NotSent::OtherNetwork));
        }
        if invoice.is_expired(now()) {
            return Err(PayError::NotSent(NotSent::Expired));
        }
        let payment_hash = invoice.payment_hash();
        let claim = self.claim(payment_hash)?;
        let found = self.wallet.find(payment_hash).await.map_err(Trouble::before_paying)?;
        if let Some((record, _)) = found
            && is_known(&record)?
        {
            return Err(PayError::AlreadyKnown);
        }
        let (began_at, secs) = (now(), limits.timeout.as_secs().max(1));
        claim.keep_until(began_at.saturating_add(secs).saturating_add(ANSWER_MARGIN.as_secs()));
        let expires_at = self.opened_at.wallets_at(began_at).saturating_add(secs);
        let params = json!({ "invoice": invoice.text() });
        let deadline = limits.timeout.saturating_add(ANSWER_MARGIN);
        let answer = self.wallet.request(PAY_INVOICE, &params, Some(expires_at), deadline).await;
        let end = match answer {
            Ok(returned) => paid(&returned, invoice),
            Err(Trouble::Refused(refusal)) => Err(self.confirm(payment_hash, refusal).await),
            Err(Trouble::Fault(fault)) => Err(fault.into()),
        };
        if end.as_ref().map_or_else(PayError::nothing_paid, |_| true) {
            claim.give_up();
        }
        end
    }

    /// What an error of `pay_invoice` means, by what the wallet knows of the payment now.
    async fn confirm(&self, payment_hash: PaymentHash, refusal: Refusal) -> PayError {
        let failed = PayError::Failed(FailureReason::Other);
        let unknown = PayError::OutcomeUnknown(UnknownCause::WalletFailed);
        match refusal.code {
            // Said before anything is sent.
            Code::Later
            | Code::Restricted
            | Code::Unauthorized
            | Code::NotImplemented
            | Code::InsufficientBalance => return Trouble::Refused(refusal).before_paying(),
            // The relay says that it did not deliver the request. That is no word of the wallet's.
            Code::Relay => return PayError::OutcomeUnknown(UnknownCause::Cut),
            Code::PaymentFailed | Code::NotFound | Code::Other => {}
        }
        match self.wallet.find(payment_hash).await {
            // "This may be due to a timeout": it is over only if nothing is on its way.
            Ok(None) if refusal.code == Code::PaymentFailed => failed,
            Ok(None) | Err(_) => unknown,
            Ok(Some((record, _))) => match is_known(&record) {
                Ok(true) => PayError::AlreadyKnown,
                Ok(false) => failed,
                Err(_) => unknown,
            },
        }
    }

    async fn state(&self, payment_hash: PaymentHash) -> Result<PaymentState, PayError> {
        let found = self.wallet.find(payment_hash).await?;
        let state = match found.filter(|(record, _)| is_ours(record)) {
            None => PaymentState::Unknown,
            Some((record, _)) => match record.state()? {
                State::Settled => {
                    let preimage = proof(record.preimage()?, payment_hash)?;
                    PaymentState::Succeeded(Paid { preimage, amount: record.amount()?, fee: record.fee()? })
                }
                State::Pending | State::Accepted => PaymentState::InFlight,
                State::Failed => PaymentState::Failed(FailureReason::Other),
                // Of invoices, not of payments: whether one is on its way is not said.
                State::Expired => return Err(Fault::Garbled("state").into()),
            },
        };
        // A request that this adapter sent may not have reached the wallet yet.
        Ok(match state {
            PaymentState::Unknown | PaymentState::Failed(_) if self.may_come(payment_hash) => {
                PaymentState::InFlight
            }
            state => state,
        })
    }

    /// Whether the wallet may still take up a request of this adapter.
    fn may_come(&self, payment_hash: PaymentHash) -> bool {
        let mut pending = self.pending();
        pending.retain(|_, until| now() <= *until);
        pending.contains_key(&payment_hash)
    }

    /// Reserves a hash, so that one adapter never asks for a payment twice.
    fn claim(&self, payment_hash: PaymentHash) -> Result<Claim<'_>, PayError> {
        if self.may_come(payment_hash) {
            return Err(PayError::AlreadyKnown);
        }
        let mut pending = self.pending();
        if pending.len() >= PENDING_MAX {
            return Err(PayError::NotSent(NotSent::Overloaded));
        }
        if pending.insert(payment_hash, u64::MAX).is_some() {
            return Err(PayError::AlreadyKnown);
        }
        Ok(Claim { payer: self, payment_hash, kept: false.into() })
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        // Every change is one insertion or removal, so a poisoned lock guards a good value.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clocks {
    /// The wallet's clock at a moment by ours: a request that expires by a clock which is off would be ignored at once,
    /// or carried out late.
    fn wallets_at(&self, ours: u64) -> u64 {
        self.wallets.saturating_add(ours.saturating_sub(self.ours))
    }
}

/// A hash that is being paid. Dropped before the payment was asked for, it is free again.
struct Claim<'a> {
    payer: &'a NwcPayer,
    payment_hash: PaymentHash,
    kept: std::cell::Cell<bool>,
}

impl Claim<'_> {
    /// From here on the payment may happen, whether or not its caller stays to hear of it.
    fn keep_until(&self, until: u64) {
        self.payer.pending().insert(self.payment_hash, until);
        self.kept.set(true);
    }

    /// Its end is known.
    fn give_up(&self) {
        self.kept.set(false);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.kept.get() {
            self.payer.pending().remove(&self.payment_hash);
        }
    }
}

impl Payer for NwcPayer {
    fn capabilities(&self) -> PayerCapabilities {
        PayerCapabilities {
            network: Some(self.network),
            fee_limit: false,
            timeout: false,
            returns_preimage: true,
            lookup_by_hash: true,
        }
    }

    fn pay<'a>(&'a self, invoice: &'a Invoice, limits: PayLimits) -> BoxFuture<'a, Result<Paid, PayError>> {
        Box::pin(self.send(invoice, limits))
    }

    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<PaymentState, PayError>> {
        Box::pin(self.state(payment_hash))
    }
}

/// Whether a record stands in the way of paying: a payment that is done or on its way, or an invoice of the wallet's
/// own that is paid.
fn is_known(record: &Record) -> Result<bool, PayError> {
    Ok(match record.state()? {
        State::Failed => false,
        State::Settled => true,
        State::Pending | State::Accepted | State::Expired => record.is_incoming()? != Some(true),
    })
}

/// Whether a record is of a payment. One of an invoice of the wallet's own says nothing about who pays it; whatever is
/// wrong in other ways is found when it is read.
fn is_ours(record: &Record) -> bool {
    record.is_incoming() != Ok(Some(true))
}

/// The payment that was made.
fn paid(returned: &Returned, invoice: &Invoice) -> Result<Paid, PayError> {
    let preimage = proof(returned.fields.preimage("preimage")?, invoice.payment_hash())?;
    let amount = invoice.amount().ok_or(PayError::OutcomeUnknown(UnknownCause::NoPreimage))?;
    Ok(Paid { preimage, amount, fee: fees_paid(&returned.fields)? })
}

/// The preimage, if it is the one.
fn proof(preimage: Option<Preimage>, payment_hash: PaymentHash) -> Result<Preimage, PayError> {
    let preimage = preimage.ok_or(PayError::OutcomeUnknown(UnknownCause::NoPreimage))?;
    if preimage.payment_hash() != payment_hash {
        return Err(PayError::OutcomeUnknown(UnknownCause::WrongPreimage));
    }
    Ok(preimage)
}
