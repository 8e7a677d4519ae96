//! What went wrong on the way to a node and back.

use l402_lightning::{InvoicerError, NotSent, PayError, UnknownCause};

/// Why there is no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection was made: nothing was asked.
    NotConnected,
    /// The certificate is not the one that is trusted: nothing was asked.
    Certificate,
    /// The connection broke after the request began: whether it took effect is unknown.
    Cut,
    /// No answer in time: whether the request took effect is unknown.
    Timeout,
    /// The answer is larger than allowed.
    TooLarge,
    /// A part of the answer is missing or wrong.
    Garbled(&'static str),
}

impl From<Fault> for InvoicerError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NotConnected | Fault::Cut => Self::Unreachable,
            Fault::Certificate => Self::Certificate,
            Fault::Timeout => Self::Timeout,
            Fault::TooLarge => Self::Garbled { field: "an answer of that size" },
            Fault::Garbled(field) => Self::Garbled { field },
        }
    }
}

/// What a fault means for a payment that was being asked for.
impl From<Fault> for PayError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NotConnected => Self::NotSent(NotSent::Unreachable),
            Fault::Certificate => Self::NotSent(NotSent::Certificate),
            Fault::Cut => Self::OutcomeUnknown(UnknownCause::Cut),
            Fault::Timeout => Self::OutcomeUnknown(UnknownCause::Timeout),
            Fault::TooLarge => {
                Self::OutcomeUnknown(UnknownCause::Garbled { field: "an answer of that size" })
            }
            Fault::Garbled(field) => Self::OutcomeUnknown(UnknownCause::Garbled { field }),
        }
    }
}
