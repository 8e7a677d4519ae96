//! Invoices through the wallet door: issue, look up, decode.

use super::{
    super::{
        LoopbackNode,
        knobs::Interruption,
        ledger::{InvoiceEntry, PaymentRecord},
        seller::NotIssued,
    },
    answer::{Answer, Code, LineCut, Refused, unary},
    ask::{Ask, base64},
};
use crate::{Invoice, InvoiceRequest, InvoiceState, MilliSat};
use l402::{PaymentHash, Preimage};
use serde_json::{Value, json};

/// Seconds that an invoice may be paid for if the caller does not say.
const EXPIRY_SECS_DEFAULT: u32 = 86_400;

/// `POST /v1/invoices`.
pub(super) async fn add(node: &LoopbackNode, ask: &Ask) -> Answer {
    let request = match request(ask) {
        Ok(request) => request,
        Err(refused) => return Ok(unary(Err(refused))),
    };
    Ok(unary(match node.issue(&request).await {
        Ok(issued) => Ok(json!({
            "r_hash": base64(issued.payment_hash.as_bytes()),
            "payment_request": issued.text,
            "add_index": issued.add_index.to_string(),
            "payment_addr": base64(&issued.payment_secret),
        })),
        Err(NotIssued::Duplicate) => {
            Err(Refused::new(Code::Unknown, "invoice with payment hash already exists"))
        }
        Err(NotIssued::Unsupported(what)) => Err(Refused::new(Code::Unknown, what.to_string())),
        Err(NotIssued::Interrupted(interruption)) => Err(refused(interruption)?),
    }))
}

/// `GET /v1/invoice/{hash}`, the hash in hex.
pub(super) async fn lookup(node: &LoopbackNode, hash: &str) -> Answer {
    let Ok(hash) = hash.parse::<PaymentHash>() else {
        return Ok(unary(Err(Refused::new(Code::Unknown, "payment hash must be exactly 32 bytes in hex"))));
    };
    Ok(unary(match node.find(hash).await {
        Ok(Some(entry)) => Ok(invoice(hash, &entry)),
        Ok(None) => Err(Refused::new(Code::NotFound, "unable to locate invoice")),
        Err(interruption) => Err(refused(interruption)?),
    }))
}

/// `GET /v1/payreq/{invoice}`.
pub(super) fn decode(text: &str) -> Result<Value, Refused> {
    let invoice = Invoice::parse(text).map_err(|error| Refused::new(Code::Unknown, error.to_string()))?;
    Ok(json!({
        "destination": invoice.payee().to_string(),
        "payment_hash": invoice.payment_hash().to_string(),
        "num_satoshis": sat(invoice.amount().unwrap_or_default()),
        "timestamp": invoice.created_at().to_string(),
        "expiry": invoice.expiry_secs().to_string(),
        "description": description(&invoice),
        "description_hash": invoice.description_hash().map(hex::encode).unwrap_or_default(),
        "fallback_addr": "",
        "cltv_expiry": invoice.min_final_cltv_expiry().to_string(),
        "route_hints": [],
        "payment_addr": base64(invoice.payment_secret()),
        "num_msat": msat(invoice.amount().unwrap_or_default()),
        "features": {},
        "blinded_paths": [],
    }))
}

/// A knob's interruption: a refusal in LND's words, or the order to cut the line.
pub(super) fn refused(interruption: Interruption) -> Result<Refused, LineCut> {
    match interruption {
        Interruption::Failed => Ok(Refused::new(Code::Unknown, super::super::INJECTED_FAILURE)),
        Interruption::Cut => Err(LineCut),
    }
}

/// Millisatoshis as LND writes an `int64`.
pub(super) fn msat(amount: MilliSat) -> String {
    amount.as_msat().to_string()
}

/// Satoshis, rounded down as LND does.
pub(super) fn sat(amount: MilliSat) -> String {
    (amount.as_msat() / 1_000).to_string()
}

/// What `AddInvoice` asks for.
fn request(ask: &Ask) -> Result<InvoiceRequest, Refused> {
    let unknown = |message| Refused::new(Code::Unknown, message);
    let amount = match (ask.positive("value")?, ask.positive("value_msat")?) {
        (Some(_), Some(_)) => return Err(unknown("the sat and msat arguments are mutually exclusive")),
        (Some(sat), None) => MilliSat::from_sat(sat).ok_or_else(|| unknown("the amount is too large"))?,
        (None, Some(msat)) => MilliSat::from_msat(msat),
        (None, None) => return Err(unknown("the loopback node issues no invoices without an amount")),
    };
    if !ask.text("description_hash")?.is_empty() {
        return Err(unknown("the loopback node knows no description hashes"));
    }
    let expiry_secs = match ask.int64("expiry")? {
        Some(secs) if secs > 0 => {
            u32::try_from(secs).map_err(|_| unknown("expiry of invoice cannot be longer than one year"))?
        }
        _ => EXPIRY_SECS_DEFAULT,
    };
    Ok(InvoiceRequest {
        amount,
        expiry_secs,
        description: ask.text("memo")?.to_owned(),
        preimage: ask.bytes32("r_preimage")?.map(Preimage::from_bytes),
    })
}

/// An invoice as `LookupInvoice` shows it. The preimage is empty unless the invoice was paid.
fn invoice(hash: PaymentHash, entry: &InvoiceEntry) -> Value {
    let parsed = Invoice::parse(&entry.text).ok();
    let parsed = parsed.as_ref();
    let amount = parsed.and_then(Invoice::amount).unwrap_or_default();
    let (state, received) = match entry.state {
        InvoiceState::Settled { amount } => ("SETTLED", amount),
        InvoiceState::Open => ("OPEN", MilliSat::ZERO),
        InvoiceState::Unknown | InvoiceState::Expired | InvoiceState::Cancelled => {
            ("CANCELED", MilliSat::ZERO)
        }
    };
    let payment = entry.payment.as_ref();
    let number = |value: Option<u64>| value.unwrap_or_default().to_string();
    json!({
        "memo": parsed.map(description).unwrap_or_default(),
        "r_preimage": payment.map(|payment| base64(payment.preimage.as_bytes())).unwrap_or_default(),
        "r_hash": base64(hash.as_bytes()),
        "value": sat(amount),
        "value_msat": msat(amount),
        "settled": state == "SETTLED",
        "creation_date": number(parsed.map(Invoice::created_at)),
        "settle_date": number(payment.map(|payment| payment.settled_at)),
        "payment_request": entry.text,
        "description_hash": "",
        "expiry": number(parsed.map(Invoice::expiry_secs)),
        "fallback_addr": "",
        "cltv_expiry": number(parsed.map(Invoice::min_final_cltv_expiry)),
        "route_hints": [],
        "private": false,
        "add_index": entry.add_index.to_string(),
        "settle_index": number(payment.map(|payment: &PaymentRecord| payment.index)),
        "amt_paid": msat(received),
        "amt_paid_sat": sat(received),
        "amt_paid_msat": msat(received),
        "state": state,
        "htlcs": [],
        "features": {},
        "is_keysend": false,
        "payment_addr": parsed.map(|invoice| base64(invoice.payment_secret())).unwrap_or_default(),
        "is_amp": false,
        "amp_invoice_state": {},
        "is_blinded": false,
        "blinded_path_config": null,
    })
}

/// The description as it was written: JSON escapes what needs escaping.
fn description(invoice: &Invoice) -> String {
    invoice.description().map(|text| text.as_raw().to_owned()).unwrap_or_default()
}
