//! The JSON that LND's REST interface speaks, as far as a payer needs it (lnd 0.21, `routerrpc.Router`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use l402::Preimage;
use l402_lightning::{
    FailureReason, MilliSat, Network, NotSent, Paid, PayError, PaymentState, UnknownCause, UntrustedText,
};
use serde::{Deserialize, Serialize};

/// gRPC codes that LND's errors carry, where they carry any of use.
const NOT_FOUND: i64 = 5;
const ALREADY_EXISTS: i64 = 6;

/// The body of `POST /v2/router/send`.
#[derive(Serialize)]
pub(super) struct SendRequest<'a> {
    pub(super) payment_request: &'a str,
    pub(super) timeout_seconds: u64,
    /// Always sent: without it LND allows no fee at all, other nodes any.
    pub(super) fee_limit_msat: String,
    /// The first update says that the payment is on its way.
    pub(super) no_inflight_updates: bool,
}

/// One line of an answer: `{"result":{..}}` or `{"error":{..}}`; a refused call may leave the wrapping out.
#[derive(Deserialize)]
pub(super) struct Line {
    result: Option<Payment>,
    error: Option<Fault>,
    #[serde(flatten)]
    bare: Fault,
}

#[derive(Deserialize)]
struct Payment {
    status: String,
    #[serde(default, rename = "payment_preimage")]
    preimage: String,
    #[serde(default)]
    value_msat: Number,
    #[serde(default)]
    fee_msat: Number,
    #[serde(default)]
    failure_reason: String,
}

#[derive(Deserialize)]
struct Fault {
    code: Option<i64>,
    message: Option<String>,
}

/// LND writes 64-bit numbers as strings, others as numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Plain(u64),
    Text(String),
}

impl Default for Number {
    fn default() -> Self {
        Self::Plain(0)
    }
}

impl Number {
    fn msat(&self) -> Option<MilliSat> {
        match self {
            Self::Plain(value) => Some(MilliSat::from_msat(*value)),
            Self::Text(text) => text.parse().ok().map(MilliSat::from_msat),
        }
    }
}

/// The answer to `GET /v1/getinfo`, as far as it matters.
#[derive(Deserialize)]
pub(super) struct NodeInfo {
    #[serde(default)]
    chains: Vec<Chain>,
}

#[derive(Deserialize)]
struct Chain {
    #[serde(default)]
    network: String,
}

impl NodeInfo {
    /// The network, if the node names one that is known.
    pub(super) fn network(&self) -> Option<Network> {
        self.chains.first()?.network.parse().ok()
    }
}

impl Line {
    /// Reads one line.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// What the line says of a payment, or `Ok(None)` while it is on its way.
    pub(super) fn outcome(&self) -> Result<Option<PaymentState>, PayError> {
        if let Some(fault) = self.fault() {
            return Err(match fault.code {
                Some(ALREADY_EXISTS) => PayError::AlreadyKnown,
                _ => PayError::OutcomeUnknown(UnknownCause::WalletFailed),
            });
        }
        let payment = self.result.as_ref().ok_or(PayError::OutcomeUnknown(UnknownCause::Garbled))?;
        match payment.status.as_str() {
            "SUCCEEDED" => payment.paid().map(PaymentState::Succeeded).map(Some),
            "FAILED" => Ok(Some(PaymentState::Failed(payment.reason()))),
            "IN_FLIGHT" | "INITIATED" => Ok(None),
            _ => Err(PayError::OutcomeUnknown(UnknownCause::Garbled)),
        }
    }

    /// Whether this is LND saying that it never sent such a payment.
    pub(super) fn says_not_found(&self) -> bool {
        self.fault().is_some_and(|fault| fault.code == Some(NOT_FOUND))
    }

    /// What a call that LND refused before it began means for the payment.
    pub(super) fn refusal(&self) -> Option<PayError> {
        let fault = self.fault()?;
        let message = fault.message.as_deref().unwrap_or_default();
        // LND's refusals carry code 2 whatever the reason: only the text tells them apart.
        Some(match fault.code {
            Some(ALREADY_EXISTS) => PayError::AlreadyKnown,
            _ if is_credential_refusal(message) => PayError::NotSent(NotSent::Unauthorized),
            _ if message.starts_with("invoice expired") => PayError::NotSent(NotSent::Expired),
            _ => PayError::NotSent(NotSent::Refused { message: UntrustedText::new(message) }),
        })
    }

    fn fault(&self) -> Option<&Fault> {
        self.error.as_ref().or_else(|| self.bare.code.is_some().then_some(&self.bare))
    }
}

fn is_credential_refusal(message: &str) -> bool {
    ["permission denied", "expected 1 macaroon", "verification failed", "cannot determine data format"]
        .iter()
        .any(|known| message.contains(known))
}

impl Payment {
    fn paid(&self) -> Result<Paid, PayError> {
        let garbled = PayError::OutcomeUnknown(UnknownCause::Garbled);
        let preimage = preimage(&self.preimage)?;
        let amount = self.value_msat.msat().ok_or_else(|| garbled.clone())?;
        let fee = self.fee_msat.msat().ok_or(garbled)?;
        Ok(Paid { preimage, amount, fee })
    }

    fn reason(&self) -> FailureReason {
        match self.failure_reason.as_str() {
            "FAILURE_REASON_TIMEOUT" => FailureReason::Timeout,
            "FAILURE_REASON_NO_ROUTE" => FailureReason::NoRoute,
            "FAILURE_REASON_INCORRECT_PAYMENT_DETAILS" => FailureReason::IncorrectPaymentDetails,
            "FAILURE_REASON_INSUFFICIENT_BALANCE" => FailureReason::InsufficientBalance,
            "FAILURE_REASON_CANCELED" => FailureReason::Cancelled,
            _ => FailureReason::Other,
        }
    }
}

/// A preimage as hex (LND's `result`) or base64 (its `htlcs`, and other nodes). LND writes 32 zero bytes for "none".
fn preimage(text: &str) -> Result<Preimage, PayError> {
    let none = || PayError::OutcomeUnknown(UnknownCause::NoPreimage);
    let bytes: [u8; 32] = if text.len() == 64 {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| none())?;
        bytes
    } else {
        STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(none)?
    };
    if bytes == [0; 32] { Err(none()) } else { Ok(Preimage::from_bytes(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(line: &str) -> Result<Option<PaymentState>, PayError> {
        Line::read(line.as_bytes()).unwrap().outcome()
    }

    fn succeeded(preimage: &str) -> String {
        format!(
            r#"{{"result":{{"status":"SUCCEEDED","payment_preimage":"{preimage}","value_msat":"1000","fee_msat":7}}}}"#
        )
    }

    #[test]
    fn hex_and_base64_preimages_are_understood() {
        for text in ["ab".repeat(32), STANDARD.encode([0xab; 32])] {
            let Ok(Some(PaymentState::Succeeded(paid))) = outcome(&succeeded(&text)) else { panic!() };
            assert_eq!(paid.preimage.as_bytes(), &[0xab; 32]);
            assert_eq!((paid.amount.as_msat(), paid.fee.as_msat()), (1000, 7));
        }
    }

    #[test]
    fn no_preimage_is_no_proof() {
        for text in ["00".repeat(32), String::new(), "zz".repeat(32), "ab".repeat(31)] {
            let error = outcome(&succeeded(&text)).unwrap_err();
            assert_eq!(error, PayError::OutcomeUnknown(UnknownCause::NoPreimage), "{text}");
        }
    }

    #[test]
    fn only_a_terminal_status_is_an_outcome() {
        for status in ["IN_FLIGHT", "INITIATED"] {
            let line = format!(r#"{{"result":{{"status":"{status}","payment_preimage":"00"}}}}"#);
            assert!(matches!(outcome(&line), Ok(None)));
        }
        let failed = r#"{"result":{"status":"FAILED","failure_reason":"FAILURE_REASON_NO_ROUTE"}}"#;
        assert!(matches!(outcome(failed), Ok(Some(PaymentState::Failed(FailureReason::NoRoute)))));
        assert!(outcome(r#"{"result":{"status":"PROBABLY"}}"#).is_err());
        assert!(outcome("{}").is_err());
    }

    #[test]
    fn errors_are_read_with_and_without_wrapping() {
        for line in [r#"{"error":{"code":6,"message":"x"}}"#, r#"{"code":6,"message":"x","details":[]}"#] {
            assert_eq!(outcome(line).unwrap_err(), PayError::AlreadyKnown);
        }
        let line = Line::read(br#"{"error":{"code":5,"message":"payment isn't initiated"}}"#).unwrap();
        assert!(line.says_not_found());
        let denied = Line::read(br#"{"code":2,"message":"permission denied"}"#).unwrap();
        assert_eq!(denied.refusal(), Some(PayError::NotSent(NotSent::Unauthorized)));
        assert_eq!(Line::read(b"{}").unwrap().refusal(), None);
    }
}
