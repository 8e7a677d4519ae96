//! The JSON that lnd's REST interface speaks, as far as a payer needs it (lnd 0.21, `routerrpc.Router`).

use crate::payer::{Order, Refusal, Trouble};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use l402::{PaymentHash, Preimage};
use l402_lightning::{FailureReason, MilliSat, Paid, PaymentState, UnknownCause};
use l402_node_http::{Fault, Fields};
use serde_json::{Value, json};
use tonic::Code;

/// The body of `POST /v2/router/send`.
pub(super) fn send_request(order: &Order<'_>) -> Value {
    json!({
        "payment_request": order.invoice.text(),
        "timeout_seconds": order.timeout_secs,
        // 64-bit numbers are texts in protobuf's JSON.
        "fee_limit_msat": order.fee_max_msat.to_string(),
        // The first update says that the payment is on its way.
        "no_inflight_updates": false,
    })
}

/// One line of an answer.
#[derive(Debug)]
pub(super) enum Line {
    /// `{"result":{..}}`: an update of a payment.
    Update(Fields),
    /// `{"error":{..}}`, or the error alone.
    Refusal(Refusal),
}

impl Line {
    /// Reads one line.
    pub(super) fn read(line: &[u8]) -> Result<Self, Fault> {
        let value = serde_json::from_slice(line).map_err(|_| Fault::Garbled("JSON"))?;
        let fields = Fields::of(value)?;
        if fields.get("result").is_some() {
            return fields.object("result").map(Self::Update);
        }
        let error = if fields.get("error").is_some() { fields.object("error")? } else { fields };
        let code = error.number("code").map_err(|_| Fault::Garbled("result"))?;
        let code = i32::try_from(code).map_or(Code::Unknown, Code::from_i32);
        let message = if error.get("message").is_some() { error.text("message")? } else { "" };
        Ok(Self::Refusal(Refusal::new(code, message)))
    }
}

/// What an update says of the payment with `hash`.
pub(super) fn state(update: &Fields, hash: PaymentHash) -> Result<PaymentState, Trouble> {
    if update.get("payment_hash").is_some() && update.payment_hash("payment_hash")? != hash {
        return Err(Fault::Garbled("payment_hash").into());
    }
    match update.text("status")? {
        "SUCCEEDED" => paid(update).map(PaymentState::Succeeded),
        "FAILED" => Ok(PaymentState::Failed(reason(update))),
        "IN_FLIGHT" | "INITIATED" => Ok(PaymentState::InFlight),
        _ => Err(Fault::Garbled("status").into()),
    }
}

fn paid(update: &Fields) -> Result<Paid, Trouble> {
    // Protobuf's JSON may leave zeros out.
    let msat = |name| match update.get(name) {
        Some(_) => update.msat(name),
        None => Ok(MilliSat::ZERO),
    };
    Ok(Paid { preimage: preimage(update)?, amount: msat("value_msat")?, fee: msat("fee_msat")? })
}

fn reason(update: &Fields) -> FailureReason {
    match update.text("failure_reason").unwrap_or_default() {
        "FAILURE_REASON_TIMEOUT" => FailureReason::Timeout,
        "FAILURE_REASON_NO_ROUTE" => FailureReason::NoRoute,
        "FAILURE_REASON_INCORRECT_PAYMENT_DETAILS" => FailureReason::IncorrectPaymentDetails,
        "FAILURE_REASON_INSUFFICIENT_BALANCE" => FailureReason::InsufficientBalance,
        "FAILURE_REASON_CANCELED" => FailureReason::Cancelled,
        _ => FailureReason::Other,
    }
}

/// A preimage in hex (lnd's `result`) or base64 (its `htlcs`, and other nodes). lnd writes 32 zero bytes for "none".
fn preimage(update: &Fields) -> Result<Preimage, Trouble> {
    const NAME: &str = "payment_preimage";
    let text = if update.get(NAME).is_some() { update.text(NAME)? } else { "" };
    let preimage = match text.len() {
        0 => return Err(UnknownCause::NoPreimage.into()),
        64 => Preimage::from_hex(text.as_bytes()).ok(),
        _ => STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).map(Preimage::from_bytes),
    };
    let preimage = preimage.ok_or(Fault::Garbled(NAME))?;
    if preimage.as_bytes() == &[0; 32] { Err(UnknownCause::NoPreimage.into()) } else { Ok(preimage) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use l402_lightning::PayError;

    fn outcome(line: &str) -> Result<PaymentState, Trouble> {
        match Line::read(line.as_bytes())? {
            Line::Update(update) => state(&update, PaymentHash::from_bytes([0xab; 32])),
            Line::Refusal(refusal) => Err(Trouble::Refused(refusal)),
        }
    }

    fn cause(line: &str) -> UnknownCause {
        match outcome(line) {
            Err(Trouble::Other(PayError::OutcomeUnknown(cause))) => cause,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn succeeded(preimage: &str) -> String {
        let paid = r#""status":"SUCCEEDED","value_msat":"1000","fee_msat":7"#;
        format!(r#"{{"result":{{{paid},"payment_preimage":"{preimage}"}}}}"#)
    }

    #[test]
    fn hex_and_base64_preimages_are_understood() {
        for text in ["cd".repeat(32), STANDARD.encode([0xcd; 32])] {
            let Ok(PaymentState::Succeeded(paid)) = outcome(&succeeded(&text)) else { panic!() };
            assert_eq!(paid.preimage.as_bytes(), &[0xcd; 32]);
            assert_eq!((paid.amount.as_msat(), paid.fee.as_msat()), (1000, 7));
        }
    }

    #[test]
    fn no_preimage_is_no_proof() {
        for text in ["00".repeat(32), String::new(), STANDARD.encode([0; 32])] {
            assert_eq!(cause(&succeeded(&text)), UnknownCause::NoPreimage, "{text}");
        }
        assert_eq!(cause(r#"{"result":{"status":"SUCCEEDED"}}"#), UnknownCause::NoPreimage);
    }

    #[test]
    fn only_a_terminal_status_is_an_outcome() {
        for status in ["IN_FLIGHT", "INITIATED"] {
            let line = format!(r#"{{"result":{{"status":"{status}","payment_preimage":"00"}}}}"#);
            assert!(matches!(outcome(&line), Ok(PaymentState::InFlight)));
        }
        let failed = r#"{"result":{"status":"FAILED","failure_reason":"FAILURE_REASON_NO_ROUTE"}}"#;
        assert!(matches!(outcome(failed), Ok(PaymentState::Failed(FailureReason::NoRoute))));
    }

    #[test]
    fn a_wrong_field_is_named() {
        for (line, field) in [
            ("{", "JSON"),
            ("[]", "a JSON object"),
            ("{}", "result"),
            (r#"{"result":7}"#, "result"),
            (r#"{"result":{}}"#, "status"),
            (r#"{"result":{"status":"PROBABLY"}}"#, "status"),
            (r#"{"result":{"status":"IN_FLIGHT","payment_hash":"zz"}}"#, "payment_hash"),
            (&succeeded("zz"), "payment_preimage"),
            (&succeeded(&"ab".repeat(31)), "payment_preimage"),
            (&succeeded(&"cd".repeat(32)).replace("1000", "-1"), "value_msat"),
            (&succeeded(&"cd".repeat(32)).replace(":7", ":7.5"), "fee_msat"),
        ] {
            assert_eq!(cause(line), UnknownCause::Garbled { field }, "{line}");
        }
        let other = format!(r#"{{"result":{{"status":"FAILED","payment_hash":"{}"}}}}"#, "cd".repeat(32));
        assert_eq!(cause(&other), UnknownCause::Garbled { field: "payment_hash" });
    }

    #[test]
    fn errors_are_read_with_and_without_wrapping() {
        for line in [r#"{"error":{"code":6,"message":"x"}}"#, r#"{"code":6,"message":"x","details":[]}"#] {
            let Ok(Line::Refusal(refusal)) = Line::read(line.as_bytes()) else { panic!() };
            assert!(refusal.says_already_known());
        }
        let line = br#"{"error":{"code":5,"message":"payment isn't initiated"}}"#;
        let Ok(Line::Refusal(refusal)) = Line::read(line) else { panic!() };
        assert!(refusal.says_not_found());
    }
}
