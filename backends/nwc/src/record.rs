//! A transaction as NIP-47 writes it: an invoice of the wallet's, or a payment.

use l402::{PaymentHash, Preimage};
use l402_lightning::{Invoice, InvoicerError, MilliSat};
use l402_node_http::{Fault, Fields};

/// An invoice or a payment, unread: each part is read when it is asked for.
#[derive(Debug)]
pub(crate) struct Record(Fields);

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not paid yet, or on its way.
    Pending,
    /// The money is locked, and neither taken nor given back (hold invoices).
    Accepted,
    /// Paid.
    Settled,
    /// It failed, or was withdrawn.
    Failed,
    /// It was not paid in time.
    Expired,
}

impl Record {
    pub(crate) fn new(fields: Fields) -> Self {
        Self(fields)
    }

    /// Whether the wallet is paid by it. `None` if it does not say, as wallets before the field did.
    pub(crate) fn is_incoming(&self) -> Result<Option<bool>, Fault> {
        if self.0.get("type").is_none() {
            return Ok(None);
        }
        match self.0.text("type")? {
            "incoming" => Ok(Some(true)),
            "outgoing" => Ok(Some(false)),
            _ => Err(Fault::Garbled("type")),
        }
    }

    /// Its state. The field is younger than the rest: without it the time of settlement decides.
    pub(crate) fn state(&self) -> Result<State, Fault> {
        if self.0.get("state").is_none() {
            return Ok(if self.settled_at()?.is_some() { State::Settled } else { State::Pending });
        }
        match self.0.text("state")? {
            "pending" => Ok(State::Pending),
            "accepted" => Ok(State::Accepted),
            "settled" => Ok(State::Settled),
            "failed" => Ok(State::Failed),
            "expired" => Ok(State::Expired),
            _ => Err(Fault::Garbled("state")),
        }
    }

    pub(crate) fn payment_hash(&self) -> Result<PaymentHash, Fault> {
        self.0.payment_hash("payment_hash")
    }

    /// What was asked for, or paid without the fee.
    pub(crate) fn amount(&self) -> Result<MilliSat, Fault> {
        self.0.msat("amount")
    }

    /// What routing cost; nothing where the wallet does not say.
    pub(crate) fn fee(&self) -> Result<MilliSat, Fault> {
        fees_paid(&self.0)
    }

    /// The preimage, if it is there.
    pub(crate) fn preimage(&self) -> Result<Option<Preimage>, Fault> {
        self.0.preimage("preimage")
    }

    /// When it was paid, in Unix seconds.
    pub(crate) fn settled_at(&self) -> Result<Option<u64>, Fault> {
        self.time("settled_at")
    }

    /// When it was written, in Unix seconds.
    pub(crate) fn created_at(&self) -> Result<Option<u64>, Fault> {
        self.time("created_at")
    }

    /// From when on it can no longer be paid, in Unix seconds.
    pub(crate) fn expires_at(&self) -> Result<Option<u64>, Fault> {
        self.time("expires_at")
    }

    /// The invoice, if it is there; its signature is checked.
    pub(crate) fn invoice(&self) -> Result<Option<Invoice>, InvoicerError> {
        self.0.get("invoice").map(|_| self.0.invoice("invoice")).transpose()
    }

    /// A time; 0 is how some wallets write "never".
    fn time(&self, name: &'static str) -> Result<Option<u64>, Fault> {
        match self.0.get(name) {
            None => Ok(None),
            Some(_) => Ok(Some(self.0.number(name)?).filter(|secs| *secs > 0)),
        }
    }
}

/// What routing cost; nothing where the wallet does not say.
pub(crate) fn fees_paid(fields: &Fields) -> Result<MilliSat, Fault> {
    match fields.get("fees_paid") {
        None => Ok(MilliSat::ZERO),
        Some(_) => fields.msat("fees_paid"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn record(value: Value) -> Record {
        Record::new(Fields::of(value).unwrap())
    }

    #[test]
    fn a_record_without_a_state_is_judged_by_its_settlement() {
        for (value, state) in [
            (json!({}), State::Pending),
            (json!({ "settled_at": null }), State::Pending),
            (json!({ "settled_at": 0 }), State::Pending),
            (json!({ "settled_at": 7 }), State::Settled),
            (json!({ "state": "pending", "settled_at": 7 }), State::Pending),
            (json!({ "state": "accepted" }), State::Accepted),
            (json!({ "state": "expired" }), State::Expired),
        ] {
            assert_eq!(record(value.clone()).state(), Ok(state), "{value}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong =
            record(json!({ "type": "sideways", "state": "paid", "settled_at": "soon", "fees_paid": -1 }));
        assert_eq!(wrong.is_incoming(), Err(Fault::Garbled("type")));
        assert_eq!(wrong.state(), Err(Fault::Garbled("state")));
        assert_eq!(wrong.settled_at(), Err(Fault::Garbled("settled_at")));
        assert_eq!(wrong.fee(), Err(Fault::Garbled("fees_paid")));
        assert_eq!(wrong.amount(), Err(Fault::Garbled("amount")));
        assert_eq!(wrong.payment_hash(), Err(Fault::Garbled("payment_hash")));
    }
}
