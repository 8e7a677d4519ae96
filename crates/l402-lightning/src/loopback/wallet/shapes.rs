//! Payments in LND's JSON.

use super::{
    super::{
        buyer::{PaymentAnswer, ShownPreimage},
        ledger::PaymentRecord,
    },
    ask::base64,
    invoices::{msat, sat},
};
use crate::{FailureReason, MilliSat};
use l402::{PaymentHash, Preimage};
use serde_json::{Value, json};

/// A payment as `SendPaymentV2` and `TrackPaymentV2` show it.
pub(super) fn payment(answer: &PaymentAnswer) -> Value {
    match answer {
        PaymentAnswer::Unknown => json!({ "status": "UNKNOWN" }),
        PaymentAnswer::InFlight(record) => {
            shape(&Shape { status: "IN_FLIGHT", preimage: None, fee: MilliSat::ZERO, ..Shape::of(record) })
        }
        PaymentAnswer::Succeeded { record, preimage } => match preimage {
            ShownPreimage::Some(preimage) => succeeded(record, Some(preimage)),
            ShownPreimage::None => succeeded(record, None),
        },
        PaymentAnswer::Failed(failure) => shape(&Shape {
            payment_hash: failure.payment_hash,
            preimage: None,
            amount: failure.amount,
            fee: MilliSat::ZERO,
            created_at: failure.created_at,
            settled_at: 0,
            index: 0,
            invoice: &failure.invoice,
            status: "FAILED",
            reason: failure_reason(failure.reason),
        }),
    }
}

/// A payment that succeeded, with the preimage that is to be shown.
pub(super) fn succeeded(record: &PaymentRecord, preimage: Option<&Preimage>) -> Value {
    let mut json = shape(&Shape { preimage, ..Shape::of(record) });
    if preimage.is_none() {
        json["payment_preimage"] = json!("");
    }
    json
}

/// What LND's `Payment` message is made of.
struct Shape<'a> {
    payment_hash: PaymentHash,
    preimage: Option<&'a Preimage>,
    amount: MilliSat,
    fee: MilliSat,
    created_at: u64,
    settled_at: u64,
    index: u64,
    invoice: &'a str,
    status: &'static str,
    reason: &'static str,
}

impl<'a> Shape<'a> {
    /// A payment that succeeded.
    fn of(record: &'a PaymentRecord) -> Self {
        Self {
            payment_hash: record.payment_hash,
            preimage: Some(&record.preimage),
            amount: record.amount,
            fee: record.fee,
            created_at: record.created_at,
            settled_at: record.settled_at,
            index: record.index,
            invoice: &record.invoice,
            status: "SUCCEEDED",
            reason: "FAILURE_REASON_NONE",
        }
    }
}

/// LND's `Payment` in JSON: hash and preimage in hex here and in base64 inside `htlcs`; 64 zeros where there is none.
fn shape(payment: &Shape<'_>) -> Value {
    let nanos = |secs: u64| (u128::from(secs) * 1_000_000_000).to_string();
    let htlcs: Vec<Value> = payment
        .preimage
        .iter()
        .map(|preimage| {
            json!({
                "attempt_id": payment.index.to_string(),
                "status": "SUCCEEDED",
                "route": route(payment.amount, payment.fee),
                "attempt_time_ns": nanos(payment.created_at),
                "resolve_time_ns": nanos(payment.settled_at),
                "failure": null,
                "preimage": base64(preimage.as_bytes()),
            })
        })
        .collect();
    json!({
        "payment_hash": payment.payment_hash.to_string(),
        "value": sat(payment.amount),
        "creation_date": payment.created_at.to_string(),
        "fee": sat(payment.fee),
        "payment_preimage": payment.preimage.map_or_else(|| "0".repeat(64), Preimage::reveal_hex),
        "value_sat": sat(payment.amount),
        "value_msat": msat(payment.amount),
        "payment_request": payment.invoice,
        "status": payment.status,
        "fee_sat": sat(payment.fee),
        "fee_msat": msat(payment.fee),
        "creation_time_ns": nanos(payment.created_at),
        "htlcs": htlcs,
        "payment_index": payment.index.to_string(),
        "failure_reason": payment.reason,
        "first_hop_custom_records": {},
    })
}

/// The route of a payment that stays in the house.
fn route(amount: MilliSat, fee: MilliSat) -> Value {
    let total = amount.checked_add(fee).unwrap_or(amount);
    json!({
        "total_time_lock": 0,
        "total_fees": sat(fee),
        "total_amt": sat(total),
        "hops": [],
        "total_fees_msat": msat(fee),
        "total_amt_msat": msat(total),
    })
}

/// The answer of `/v1/channels/transactions` to a payment that was made, or is said to have failed.
pub(super) fn sync_answer(hash: PaymentHash, answer: &PaymentAnswer) -> Value {
    match answer {
        PaymentAnswer::Succeeded { record, preimage } => json!({
            "payment_error": "",
            "payment_preimage": match preimage {
                ShownPreimage::Some(preimage) => base64(preimage.as_bytes()),
                ShownPreimage::None => String::new(),
            },
            "payment_route": route(record.amount, record.fee),
            "payment_hash": base64(hash.as_bytes()),
        }),
        PaymentAnswer::Failed(failure) => sync_error(hash, sync_reason(failure.reason)),
        PaymentAnswer::InFlight(_) | PaymentAnswer::Unknown => sync_error(hash, "payment is in transition"),
    }
}

/// The answer of `/v1/channels/transactions` to a payment that was not made.
pub(super) fn sync_error(hash: PaymentHash, message: &str) -> Value {
    json!({
        "payment_error": message,
        "payment_preimage": "",
        "payment_route": null,
        "payment_hash": base64(hash.as_bytes()),
    })
}

/// A failure as `/v1/channels/transactions` words it.
pub(super) fn sync_reason(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::Timeout => "timeout",
        FailureReason::NoRoute => "no_route",
        FailureReason::IncorrectPaymentDetails => "incorrect_payment_details",
        FailureReason::InsufficientBalance => "insufficient_balance",
        FailureReason::Cancelled => "canceled",
        FailureReason::Other => "error",
    }
}

/// A failure as the router names it.
fn failure_reason(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::Timeout => "FAILURE_REASON_TIMEOUT",
        FailureReason::NoRoute => "FAILURE_REASON_NO_ROUTE",
        FailureReason::IncorrectPaymentDetails => "FAILURE_REASON_INCORRECT_PAYMENT_DETAILS",
        FailureReason::InsufficientBalance => "FAILURE_REASON_INSUFFICIENT_BALANCE",
        FailureReason::Cancelled => "FAILURE_REASON_CANCELED",
        FailureReason::Other => "FAILURE_REASON_ERROR",
    }
}
