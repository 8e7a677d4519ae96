//! Why there is no result: the way to the wallet, or the wallet's refusal (NIP-47, "Error codes").

use l402_lightning::{InvoicerError, NotSent, OpenError, PayError, UnknownCause, UntrustedText};
use l402_node_http::Fault;

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Something on the way.
    Fault(Fault),
    /// The wallet refused, or the relay did.
    Refused(Refusal),
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What was asked for.
    pub(crate) method: &'static str,
    /// The kind of refusal.
    pub(crate) code: Code,
    /// The code and the message, as they were written.
    pub(crate) message: UntrustedText,
}

/// The kind of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// Too many requests, or the budget is spent: later.
    Later,
    /// The connection may not do this.
    Restricted,
    /// The wallet does not know our key.
    Unauthorized,
    /// The wallet does not do this.
    NotImplemented,
    /// There is not enough money.
    InsufficientBalance,
    /// The payment failed.
    PaymentFailed,
    /// The wallet does not know the invoice.
    NotFound,
    /// The relay did not take the request.
    Relay,
    /// Anything else: `INTERNAL`, `OTHER`, and whatever wallets invent.
    Other,
}

impl Refusal {
    /// A refusal of the wallet.
    pub(crate) fn of_wallet(method: &'static str, code: &str, message: &str) -> Self {
        let kind = match code {
            "RATE_LIMITED" | "QUOTA_EXCEEDED" => Code::Later,
            "RESTRICTED" => Code::Restricted,
            "UNAUTHORIZED" => Code::Unauthorized,
            "NOT_IMPLEMENTED" => Code::NotImplemented,
            "INSUFFICIENT_BALANCE" => Code::InsufficientBalance,
            "PAYMENT_FAILED" => Code::PaymentFailed,
            "NOT_FOUND" => Code::NotFound,
            _ => Code::Other,
        };
        Self { method, code: kind, message: UntrustedText::new(format!("{code}: {message}")) }
    }

    /// The relay's word, which is no word of the wallet's.
    pub(crate) fn of_relay(method: &'static str, message: &str) -> Self {
        Self { method, code: Code::Relay, message: UntrustedText::new(format!("the relay: {message}")) }
    }

    /// What it means where nothing was sent.
    fn not_sent(self) -> NotSent {
        match self.code {
            Code::Later => NotSent::Overloaded,
            Code::Restricted | Code::NotImplemented => NotSent::Forbidden { permission: self.method },
            Code::Unauthorized => NotSent::Unauthorized,
            Code::InsufficientBalance => NotSent::InsufficientBalance,
            Code::PaymentFailed | Code::NotFound | Code::Relay | Code::Other => {
                NotSent::Refused { message: self.message }
            }
        }
    }
}

impl Trouble {
    /// What it means for a payment that was not asked for yet: the question before it had no answer.
    pub(crate) fn before_paying(self) -> PayError {
        match self.unasked() {
            Ok(why) => PayError::NotSent(why),
            // Whether an earlier call paid could not be read, so nothing is said of it.
            Err(field) => PayError::OutcomeUnknown(UnknownCause::Garbled { field }),
        }
    }

    /// What it means for a wallet that is being opened.
    pub(crate) fn at_opening(self) -> OpenError {
        match self.unasked() {
            Ok(why) => OpenError::NotReady(why),
            Err(field) => OpenError::Garbled(field),
        }
    }

    /// Why nothing was asked after a question; else what of the question's answer cannot be understood.
    fn unasked(self) -> Result<NotSent, &'static str> {
        match self {
            Self::Fault(Fault::Certificate) => Ok(NotSent::Certificate),
            Self::Fault(Fault::NotConnected | Fault::Cut | Fault::Timeout) => Ok(NotSent::Unreachable),
            Self::Fault(Fault::TooLarge) => Err("an answer of that size"),
            Self::Fault(Fault::Garbled(field)) => Err(field),
            Self::Refused(refusal) => Ok(refusal.not_sent()),
        }
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Trouble> for InvoicerError {
    fn from(trouble: Trouble) -> Self {
        let refusal = match trouble {
            Trouble::Fault(fault) => return fault.into(),
            Trouble::Refused(refusal) => refusal,
        };
        match refusal.code {
            Code::Later => Self::Overloaded,
            Code::Restricted => Self::Forbidden { permission: refusal.method },
            Code::Unauthorized => Self::Unauthorized,
            Code::NotImplemented => Self::NoService { service: refusal.method },
            Code::InsufficientBalance | Code::PaymentFailed | Code::NotFound | Code::Relay | Code::Other => {
                Self::Refused { message: refusal.message }
            }
        }
    }
}

/// What it means for a question about a payment.
impl From<Trouble> for PayError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Fault(fault) => fault.into(),
            Trouble::Refused(refusal) => Self::NotSent(refusal.not_sent()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_nip_has_its_meaning() {
        let refusal = |code| Trouble::Refused(Refusal::of_wallet("make_invoice", code, "why"));
        let refused = |code| InvoicerError::Refused { message: UntrustedText::new(format!("{code}: why")) };
        for (code, error) in [
            ("RATE_LIMITED", InvoicerError::Overloaded),
            ("QUOTA_EXCEEDED", InvoicerError::Overloaded),
            ("RESTRICTED", InvoicerError::Forbidden { permission: "make_invoice" }),
            ("UNAUTHORIZED", InvoicerError::Unauthorized),
            ("NOT_IMPLEMENTED", InvoicerError::NoService { service: "make_invoice" }),
            ("INSUFFICIENT_BALANCE", refused("INSUFFICIENT_BALANCE")),
            ("INTERNAL", refused("INTERNAL")),
            ("OTHER", refused("OTHER")),
            ("NEVER_HEARD_OF", refused("NEVER_HEARD_OF")),
        ] {
            assert_eq!(InvoicerError::from(refusal(code)), error, "{code}");
        }
        for (code, why) in [
            ("RATE_LIMITED", NotSent::Overloaded),
            ("QUOTA_EXCEEDED", NotSent::Overloaded),
            ("RESTRICTED", NotSent::Forbidden { permission: "make_invoice" }),
            ("NOT_IMPLEMENTED", NotSent::Forbidden { permission: "make_invoice" }),
            ("UNAUTHORIZED", NotSent::Unauthorized),
            ("INSUFFICIENT_BALANCE", NotSent::InsufficientBalance),
        ] {
            assert_eq!(refusal(code).before_paying(), PayError::NotSent(why), "{code}");
        }
    }
}
