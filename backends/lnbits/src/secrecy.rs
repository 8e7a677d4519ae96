//! Does LNbits keep preimages of unpaid invoices to itself? Tried with an invoice of its own, asked for as a stranger.

use crate::{
    payment::invoice,
    refusal,
    service::{QUESTION_TIMEOUT, Service},
};
use l402::{PaymentHash, Preimage};
use l402_lightning::{InvoicerError, Network};
use serde_json::{Value, json};

/// Seconds until the invoice expires. It has to be open when it is asked for: expired ones are always kept.
const EXPIRY_SECS: u32 = 60;

/// Passes if a stranger does not get to see the preimage of an unpaid invoice; gives the network that invoices are for.
pub(crate) async fn try_secrecy(service: &Service) -> Result<Network, InvoicerError> {
    let request = json!({
        "out": false,
        "amount": 1,
        "unit": "sat",
        "memo": "L402 self-test, not to be paid",
        "expiry": EXPIRY_SECS,
    });
    let answer = service.post_payment(&request, QUESTION_TIMEOUT).await?;
    if !answer.status.is_success() {
        return Err(refusal::of_invoicer(&answer));
    }
    let fields = answer.fields()?;
    let hash = fields.payment_hash("payment_hash")?;
    let invoice = invoice(hash, &fields)?;
    let seen = service.record_for_strangers(hash).await?;
    if shows_preimage(hash, seen.get("preimage")) || shows_preimage(hash, seen.get("details")) {
        return Err(InvoicerError::Unsafe { fault: "it shows preimages of unpaid invoices to anyone" });
    }
    // Of an invoice that is no longer open the answer would prove nothing.
    let is_open = !seen.flag("paid")? && seen.text("status").unwrap_or("pending") == "pending";
    if is_open { Ok(invoice.network()) } else { Err(InvoicerError::Garbled { field: "paid" }) }
}

/// Whether the preimage is somewhere in there.
fn shows_preimage(hash: PaymentHash, value: Option<&Value>) -> bool {
    match value {
        Some(Value::String(text)) => {
            Preimage::from_hex(text.as_bytes()).is_ok_and(|preimage| preimage.payment_hash() == hash)
        }
        Some(Value::Array(values)) => values.iter().any(|value| shows_preimage(hash, Some(value))),
        Some(Value::Object(fields)) => fields.values().any(|value| shows_preimage(hash, Some(value))),
        _ => false,
    }
}
