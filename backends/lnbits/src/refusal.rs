//! What LNbits' error statuses and texts mean.
//!
//! An error is `{"detail": ".."}`, with a list instead of the text where the request has not its form. A payment or an
//! invoice that failed has the status 520 and a `status` beside: `failed`, `pending` or `success`.

use crate::service::Problem;
use http::StatusCode;
use l402_lightning::{
    FailureReason, InvoicerError, NotSent, OpenError, PayError, UnknownCause, UntrustedText,
};
use l402_node_http::{Answer, Fault};

/// A payment or an invoice that failed.
const PAYMENT_ERROR: u16 = 520;

/// Whether LNbits took the payment in hand and refused it.
pub(crate) fn is_payment_error(answer: &Answer) -> bool {
    answer.status.as_u16() == PAYMENT_ERROR
}

/// Whether LNbits says that no wallet has the key.
pub(crate) fn is_unknown_key(answer: &Answer) -> bool {
    match answer.status {
        StatusCode::UNAUTHORIZED => true,
        StatusCode::NOT_FOUND => text(answer, "detail").is_some_and(|detail| detail == "Wallet not found."),
        _ => false,
    }
}

/// An error status as it concerns a seller.
pub(crate) fn of_invoicer(answer: &Answer) -> InvoicerError {
    if is_unknown_key(answer) {
        return InvoicerError::Unauthorized;
    }
    let Some(detail) = text(answer, "detail") else {
        return match answer.status {
            StatusCode::FORBIDDEN => InvoicerError::Unauthorized,
            StatusCode::TOO_MANY_REQUESTS => InvoicerError::Overloaded,
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                InvoicerError::Unreachable
            }
            _ => InvoicerError::Garbled { field: "detail" },
        };
    };
    match answer.status {
        StatusCode::FORBIDDEN => InvoicerError::Unauthorized,
        StatusCode::TOO_MANY_REQUESTS => InvoicerError::Overloaded,
        _ if detail == "Wallet does not have permission to create invoices." => {
            InvoicerError::Forbidden { permission: "to receive payments (a right of the shared wallet)" }
        }
        _ => InvoicerError::Refused { message: UntrustedText::new(detail) },
    }
}

/// An error status that answers a buyer's question: nothing was asked to be paid.
pub(crate) fn of_question(answer: &Answer) -> NotSent {
    if is_unknown_key(answer) {
        return NotSent::Unauthorized;
    }
    match (answer.status, text(answer, "detail")) {
        (StatusCode::FORBIDDEN, _) => NotSent::Unauthorized,
        (StatusCode::TOO_MANY_REQUESTS, _) => NotSent::Overloaded,
        (_, Some(detail)) => NotSent::Refused { message: UntrustedText::new(detail) },
        (_, None) => NotSent::Unreachable,
    }
}

/// An error status that answers a payment. What it says of a payment that was sent before, its caller has to find out.
pub(crate) fn of_payment(answer: &Answer) -> PayError {
    let unsure = PayError::OutcomeUnknown(UnknownCause::WalletFailed);
    if is_unknown_key(answer) {
        return PayError::NotSent(NotSent::Unauthorized);
    }
    match answer.status {
        // The key is looked at before anything is done with the invoice.
        StatusCode::FORBIDDEN => PayError::NotSent(NotSent::Forbidden { permission: "admin key" }),
        StatusCode::TOO_MANY_REQUESTS => PayError::NotSent(NotSent::Overloaded),
        // The request's form is looked at first. With a text instead of a list, this status may come from any point.
        StatusCode::BAD_REQUEST if has_list(answer) => PayError::NotSent(NotSent::Refused {
            message: UntrustedText::new("the request does not have the form that this version wants"),
        }),
        _ if is_payment_error(answer) => match (text(answer, "status").as_deref(), text(answer, "detail")) {
            (Some("failed"), Some(detail)) => of_failed_payment(&detail),
            (Some("success"), _) => PayError::AlreadyKnown,
            _ => unsure,
        },
        _ => unsure,
    }
}

/// LNbits says for sure that this call paid nothing: `failed` is what it calls no payment whose end it does not know.
fn of_failed_payment(detail: &str) -> PayError {
    if let Some(words) = detail.strip_prefix("Payment failed:") {
        return PayError::Failed(reason(words));
    }
    if detail.starts_with("Insufficient balance") || detail.starts_with("You must reserve at least") {
        return PayError::NotSent(NotSent::InsufficientBalance);
    }
    PayError::NotSent(NotSent::Refused { message: UntrustedText::new(detail) })
}

/// The funding source's words, which LNbits passes on. Only the clearest are taken for a reason.
fn reason(words: &str) -> FailureReason {
    let words = words.to_ascii_lowercase().replace(['_', '-'], " ");
    if words.contains("no route") {
        FailureReason::NoRoute
    } else if words.contains("insufficient balance") {
        FailureReason::InsufficientBalance
    } else if words.contains("incorrect payment details") {
        FailureReason::IncorrectPaymentDetails
    } else if words.contains("timeout") || words.contains("timed out") {
        FailureReason::Timeout
    } else {
        FailureReason::Other
    }
}

fn text(answer: &Answer, name: &'static str) -> Option<String> {
    answer.fields().ok()?.text(name).ok().map(str::to_owned)
}

fn has_list(answer: &Answer) -> bool {
    answer.fields().is_ok_and(|fields| fields.get("detail").is_some_and(serde_json::Value::is_array))
}

impl From<Problem> for InvoicerError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Fault(fault) => fault.into(),
            Problem::Key => Self::Unauthorized,
            Problem::Status(answer) => of_invoicer(&answer),
        }
    }
}

/// What keeps a buyer from asking: nothing was asked to be paid, but a payment may be on its way from before.
impl From<Problem> for PayError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Fault(fault) => fault.into(),
            Problem::Key => Self::NotSent(NotSent::Unauthorized),
            Problem::Status(answer) => Self::NotSent(of_question(&answer)),
        }
    }
}

impl From<Problem> for OpenError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Status(answer) => Self::NotReady(of_question(&answer)),
            Problem::Key => Self::NotReady(NotSent::Unauthorized),
            Problem::Fault(Fault::Certificate) => Self::NotReady(NotSent::Certificate),
            Problem::Fault(Fault::NotConnected | Fault::Cut | Fault::Timeout) => {
                Self::NotReady(NotSent::Unreachable)
            }
            Problem::Fault(Fault::TooLarge) => Self::Garbled("an answer of that size"),
            Problem::Fault(Fault::Garbled(field)) => Self::Garbled(field),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn answer(status: u16, body: &Value) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, date: None, body: body.to_string().into_bytes().into() }
    }

    fn refused(message: &str) -> PayError {
        PayError::NotSent(NotSent::Refused { message: UntrustedText::new(message) })
    }

    #[test]
    fn a_payment_has_failed_only_where_lnbits_says_so() {
        let unsure = PayError::OutcomeUnknown(UnknownCause::WalletFailed);
        let failed = |detail: &str| json!({ "detail": detail, "status": "failed" });
        for (status, body, expected) in [
            (520, failed("Payment failed: no_route"), PayError::Failed(FailureReason::NoRoute)),
            (520, failed("Payment failed: moon"), PayError::Failed(FailureReason::Other)),
            (520, failed("Insufficient balance."), PayError::NotSent(NotSent::InsufficientBalance)),
            (
                520,
                failed("You must reserve at least (2  sat) to cover"),
                PayError::NotSent(NotSent::InsufficientBalance),
            ),
            (520, failed("Only incoming payments allowed."), refused("Only incoming payments allowed.")),
            (520, json!({ "detail": "Payment already paid.", "status": "success" }), PayError::AlreadyKnown),
            (520, json!({ "detail": "Payment is still pending.", "status": "pending" }), unsure.clone()),
            (520, json!({ "detail": "Payment failed: no route" }), unsure.clone()),
            (500, failed("Payment failed: no route"), unsure.clone()),
            (400, json!({ "detail": "Payment failed: no route" }), unsure.clone()),
            (502, json!("bad gateway"), unsure.clone()),
            (404, json!({ "detail": "Not Found" }), unsure),
            (404, json!({ "detail": "Wallet not found." }), PayError::NotSent(NotSent::Unauthorized)),
            (401, json!({}), PayError::NotSent(NotSent::Unauthorized)),
            (403, json!({}), PayError::NotSent(NotSent::Forbidden { permission: "admin key" })),
            (429, json!({}), PayError::NotSent(NotSent::Overloaded)),
        ] {
            assert_eq!(of_payment(&answer(status, &body)), expected, "{status} {body}");
        }
        let form = of_payment(&answer(400, &json!({ "detail": [{ "msg": "field required" }] })));
        assert!(form.nothing_paid(), "{form:?}");
    }

    #[test]
    fn a_sellers_refusals_are_named() {
        for (status, body, expected) in [
            (401, json!({}), InvoicerError::Unauthorized),
            (403, json!({ "detail": "no" }), InvoicerError::Unauthorized),
            (404, json!({ "detail": "Wallet not found." }), InvoicerError::Unauthorized),
            (429, json!({ "detail": "slow down" }), InvoicerError::Overloaded),
            (503, json!("starting"), InvoicerError::Unreachable),
            (500, json!("oops"), InvoicerError::Garbled { field: "detail" }),
            (
                520,
                json!({ "detail": "Invoice amount 1 sats is too high." }),
                InvoicerError::Refused { message: UntrustedText::new("Invoice amount 1 sats is too high.") },
            ),
        ] {
            assert_eq!(of_invoicer(&answer(status, &body)), expected, "{status} {body}");
        }
    }
}
