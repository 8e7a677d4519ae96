//! One payment as LNbits keeps it, received or made.

use l402::{PaymentHash, Preimage};
use l402_lightning::{Invoice, InvoicerError, MilliSat};
use l402_node_http::{Fault, Fields};

/// A payment's record.
#[derive(Debug)]
pub(crate) struct Payment {
    /// The wallet received it, or wants to.
    pub(crate) incoming: bool,
    /// What the payee receives.
    pub(crate) amount: MilliSat,
    /// What it costs on top.
    pub(crate) fee: MilliSat,
    /// How far it is.
    pub(crate) status: Status,
    /// Its preimage; LNbits may have it before the payment is made.
    pub(crate) preimage: Option<Preimage>,
    /// LNbits marked it as not paid in time.
    pub(crate) expired: bool,
    fields: Fields,
}

/// How far a payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It may still succeed or fail.
    Pending,
    /// The money has arrived.
    Success,
    /// It will not be made.
    Failed,
}

impl Payment {
    /// Reads a record about `hash`.
    pub(crate) fn read(hash: PaymentHash, fields: Fields) -> Result<Self, Fault> {
        if fields.payment_hash("payment_hash")? != hash {
            return Err(Fault::Garbled("payment_hash"));
        }
        let status = match fields.text("status")? {
            "pending" => Status::Pending,
            "success" => Status::Success,
            "failed" => Status::Failed,
            _ => return Err(Fault::Garbled("status")),
        };
        // What a wallet pays is negative, and so is a fee, as a rule.
        let amount = signed(&fields, "amount")?;
        let labels = fields.get("labels").and_then(serde_json::Value::as_array);
        Ok(Self {
            incoming: amount > 0,
            amount: MilliSat::from_msat(amount.unsigned_abs()),
            fee: MilliSat::from_msat(signed(&fields, "fee")?.unsigned_abs()),
            status,
            preimage: fields.preimage("preimage")?,
            expired: labels.is_some_and(|labels| labels.iter().any(|label| label == "expired")),
            fields,
        })
    }

    /// Its invoice, which is bound to `hash`.
    pub(crate) fn invoice(&self, hash: PaymentHash) -> Result<Invoice, InvoicerError> {
        invoice(hash, &self.fields)
    }
}

/// The invoice in a record. LNbits before 1.0 calls it `payment_request`.
pub(crate) fn invoice(hash: PaymentHash, fields: &Fields) -> Result<Invoice, InvoicerError> {
    let name = if fields.get("bolt11").is_some() { "bolt11" } else { "payment_request" };
    let invoice = fields.invoice(name)?;
    if invoice.payment_hash() == hash { Ok(invoice) } else { Err(InvoicerError::Garbled { field: name }) }
}

fn signed(fields: &Fields, name: &'static str) -> Result<i64, Fault> {
    fields.get(name).and_then(serde_json::Value::as_i64).ok_or(Fault::Garbled(name))
}
