//! Why a request was not granted, and what that means to a seller and to a buyer.

use http::StatusCode;
use l402_lightning::{InvoicerError, NotSent, OpenError, PayError, UnknownCause, UntrustedText};
use l402_node_http::Fault;

/// Why a request was not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no whole answer.
    Fault(Fault),
    /// phoenixd does not accept the password, or not for this.
    Unauthorized,
    /// phoenixd takes no more requests for now; a proxy in front of it may say so.
    Overloaded,
    /// The request is not one that phoenixd understands; it has had no effect.
    Malformed {
        /// phoenixd's words.
        message: UntrustedText,
    },
    /// phoenixd failed on the way.
    Failed {
        /// phoenixd's words.
        message: UntrustedText,
    },
}

impl Refusal {
    /// What a status that is no success says. phoenixd's errors are plain text.
    pub(crate) fn of(status: StatusCode, body: &[u8]) -> Self {
        let message = || UntrustedText::new(String::from_utf8_lossy(body));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Unauthorized,
            StatusCode::TOO_MANY_REQUESTS => Self::Overloaded,
            status if status.is_client_error() => Self::Malformed { message: message() },
            _ => Self::Failed { message: message() },
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
            Self::Overloaded => NotSent::Overloaded,
            Self::Malformed { message } | Self::Failed { message } => NotSent::Refused { message },
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
            Refusal::Overloaded => Self::Overloaded,
            Refusal::Malformed { message } | Refusal::Failed { message } => Self::Refused { message },
        }
    }
}

/// What it means for a payment: refused before anything was sent, or unknown.
impl From<Refusal> for PayError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Fault(fault) => fault.into(),
            Refusal::Unauthorized => Self::NotSent(NotSent::Unauthorized),
            Refusal::Overloaded => Self::NotSent(NotSent::Overloaded),
            Refusal::Malformed { message } => Self::NotSent(NotSent::Refused { message }),
            Refusal::Failed { .. } => Self::OutcomeUnknown(UnknownCause::WalletFailed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_phoenixd_did_not_understand_has_had_no_effect() {
        let meaning = |status| PayError::from(Refusal::of(StatusCode::from_u16(status).unwrap(), b"words"));
        for status in [400, 401, 403, 404, 405, 429] {
            assert!(meaning(status).nothing_paid(), "{status}");
        }
        for status in [302, 500, 502, 503, 504] {
            assert_eq!(meaning(status), PayError::OutcomeUnknown(UnknownCause::WalletFailed), "{status}");
        }
    }
}
