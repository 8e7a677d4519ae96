//! Why a method returned nothing, and what that means to a seller and to a buyer.

use crate::api::Method;
use http::StatusCode;
use l402_lightning::{InvoicerError, NotSent, OpenError, PayError, UnknownCause, UntrustedText};
use l402_node_http::Fault;

/// The rune is not this node's, or missing (`checkrune`).
const RUNE_NOT_AUTHORIZED: i64 = 1501;
/// The rune does not allow the call (`checkrune`).
const RUNE_NOT_PERMITTED: i64 = 1502;
/// The rune was revoked (`checkrune`).
const RUNE_BLACKLISTED: i64 = 1503;
/// How the message of [`RUNE_NOT_PERMITTED`] ends where only the rune's `rate` or `per` stands in the way.
const TOO_OFTEN: [&str; 2] = ["per minute exceeded", "too soon"];

/// Why a method returned nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no whole answer.
    Fault(Fault),
    /// The node does not accept the rune.
    Unauthorized,
    /// The rune does not allow the call.
    Forbidden {
        /// What it would have to allow.
        permission: &'static str,
    },
    /// The rune does not allow so many calls.
    TooOften,
    /// The method failed; `None`: clnrest could not ask lightningd.
    Failed {
        /// lightningd's error code.
        code: Option<i64>,
        /// lightningd's words.
        message: UntrustedText,
    },
}

impl Refusal {
    /// What clnrest's status and error object say.
    pub(crate) fn of(method: Method, status: StatusCode, code: Option<i64>, message: &str) -> Self {
        match code {
            Some(RUNE_NOT_PERMITTED) if TOO_OFTEN.iter().any(|end| message.contains(end)) => Self::TooOften,
            Some(RUNE_NOT_PERMITTED) => Self::Forbidden { permission: method.permission },
            Some(RUNE_NOT_AUTHORIZED | RUNE_BLACKLISTED) => Self::Unauthorized,
            _ if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN => Self::Unauthorized,
            code => Self::Failed { code, message: UntrustedText::new(message) },
        }
    }

    /// lightningd's error code, if the method itself failed.
    pub(crate) fn code(&self) -> Option<i64> {
        match self {
            Self::Failed { code, .. } => *code,
            _ => None,
        }
    }

    /// What it means where nothing but a question was asked: nothing was paid.
    pub(crate) fn at_opening(self) -> OpenError {
        OpenError::NotReady(match self {
            Self::Fault(Fault::NotConnected | Fault::Cut | Fault::Timeout) => NotSent::Unreachable,
            Self::Fault(Fault::Certificate) => NotSent::Certificate,
            Self::Fault(Fault::TooLarge) => return OpenError::Garbled("an answer of that size"),
            Self::Fault(Fault::Garbled(field)) => return OpenError::Garbled(field),
            Self::Unauthorized => NotSent::Unauthorized,
            Self::Forbidden { permission } => NotSent::Forbidden { permission },
            Self::TooOften => NotSent::Overloaded,
            Self::Failed { message, .. } => NotSent::Refused { message },
        })
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Refusal> for InvoicerError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Fault(fault) => fault.into(),
            Refusal::Unauthorized => Self::Unauthorized,
            Refusal::Forbidden { permission } => Self::Forbidden { permission },
            Refusal::TooOften => Self::Overloaded,
            Refusal::Failed { message, .. } => Self::Refused { message },
        }
    }
}

/// What it means for a payment: that a rune stands in the way is known before anything is sent; a method that failed
/// says nothing by itself.
impl From<Refusal> for PayError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Fault(fault) => fault.into(),
            Refusal::Unauthorized => Self::NotSent(NotSent::Unauthorized),
            Refusal::Forbidden { permission } => Self::NotSent(NotSent::Forbidden { permission }),
            Refusal::TooOften => Self::NotSent(NotSent::Overloaded),
            Refusal::Failed { .. } => Self::OutcomeUnknown(UnknownCause::WalletFailed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::XPAY;

    fn refusal(status: u16, code: Option<i64>, message: &str) -> Refusal {
        Refusal::of(XPAY, StatusCode::from_u16(status).unwrap(), code, message)
    }

    #[test]
    fn a_rune_that_lacks_a_right_is_told_from_one_that_is_not_the_nodes() {
        let lacking = refusal(401, Some(1502), "Not permitted: method is equal to xpay");
        assert_eq!(lacking, Refusal::Forbidden { permission: "method=xpay (for this amount)" });
        for (status, code) in [(401, Some(1501)), (403, Some(1501)), (401, Some(1503)), (401, None)] {
            assert_eq!(refusal(status, code, "Not authorized"), Refusal::Unauthorized, "{status} {code:?}");
        }
    }

    #[test]
    fn a_rune_that_was_used_too_often_may_be_used_later() {
        for message in ["Not permitted: Rate of 60 per minute exceeded", "Not permitted: too soon"] {
            assert_eq!(refusal(401, Some(1502), message), Refusal::TooOften, "{message}");
        }
    }

    #[test]
    fn a_method_that_failed_leaves_a_payment_unknown() {
        let failed = refusal(500, Some(-1), "boom");
        assert_eq!(PayError::from(failed), PayError::OutcomeUnknown(UnknownCause::WalletFailed));
        let lost = refusal(500, None, "connection refused");
        assert_eq!(PayError::from(lost), PayError::OutcomeUnknown(UnknownCause::WalletFailed));
    }
}
