//! Why a call to lnd did not end as it should.
//!
//! lnd says no with words: nearly every refusal has the same code, so the words are what is looked at.

use crate::messages::Method;
use l402_lightning::{InvoicerError, UntrustedText};
use l402_node_http::Fault;
use tonic::{Code, Status};

/// Why there is no answer to a call.
#[derive(Debug)]
pub(crate) enum CallError {
    /// Something broke on the way, or the answer cannot be understood.
    Fault(Fault),
    /// lnd refused.
    Refused {
        /// What kind of refusal it claims to be; mostly `Unknown`.
        code: Code,
        /// Its words.
        message: Box<str>,
    },
}

/// Words that lnd's `invoices` says of an unknown hash.
const UNKNOWN_INVOICE: &[&str] = &["unable to locate invoice", "there are no existing invoices"];
/// Words of lnd's `macaroons`, and of the libraries below it, about a credential that is not accepted as a whole.
pub(crate) const CREDENTIAL: &[&str] =
    &["macaroon", "verification failed", "encoding/hex", "caveat", "root key with id"];
/// Words about a wallet that has to be made or unlocked (lnd's `rpcperms`).
pub(crate) const LOCKED: &[&str] = &["wallet locked", "wallet not created"];
/// Words about a node that is not ready (lnd's `rpcperms` and `rpcserver`).
pub(crate) const STARTING: &[&str] = &[
    "in the process of starting",
    "waiting to start",
    "unable to determine macaroon permissions",
    "chain backend is still syncing",
];
/// Words about a node that goes away.
const ENDING: &[&str] = &["shutting down", "server exiting", "transport is closing"];

impl CallError {
    /// What it means that a call ended with this status.
    pub(crate) fn of_status(status: &Status) -> Self {
        match status.code() {
            Code::Unavailable | Code::Cancelled => Fault::Cut.into(),
            Code::DeadlineExceeded => Fault::Timeout.into(),
            Code::OutOfRange => Fault::TooLarge.into(),
            Code::Internal | Code::DataLoss => Fault::Garbled("gRPC message").into(),
            code => Self::Refused { code, message: status.message().into() },
        }
    }

    /// Whether lnd's words contain one of these.
    pub(crate) fn says(&self, words: &[&str]) -> bool {
        match self {
            Self::Refused { message, .. } => words.iter().any(|words| message.contains(words)),
            Self::Fault(_) => false,
        }
    }

    /// Whether lnd says that there is no invoice with the hash it was asked about.
    pub(crate) fn says_unknown_invoice(&self) -> bool {
        matches!(self, Self::Refused { code: Code::NotFound, .. }) || self.says(UNKNOWN_INVOICE)
    }

    /// Whether the credential lacks the right that the call takes.
    pub(crate) fn says_forbidden(&self) -> bool {
        matches!(self, Self::Refused { code: Code::PermissionDenied, .. })
            || self.says(&["permission denied"])
    }

    /// What it means to a seller who called `method`.
    pub(crate) fn of<Q, A>(self, method: &Method<Q, A>) -> InvoicerError {
        if self.says_forbidden() {
            return InvoicerError::Forbidden { permission: method.permission };
        }
        if self.says(LOCKED) {
            return InvoicerError::Locked;
        }
        if self.says(STARTING) {
            return InvoicerError::Starting;
        }
        if self.says(CREDENTIAL) {
            return InvoicerError::Unauthorized;
        }
        if self.says(ENDING) {
            return InvoicerError::Unreachable;
        }
        match self {
            Self::Fault(fault) => fault.into(),
            Self::Refused { code: Code::Unauthenticated, .. } => InvoicerError::Unauthorized,
            Self::Refused { code: Code::ResourceExhausted, .. } => InvoicerError::Overloaded,
            Self::Refused { code: Code::Unimplemented, .. } => {
                InvoicerError::NoService { service: method.service }
            }
            Self::Refused { message, .. } => InvoicerError::Refused { message: UntrustedText::new(message) },
        }
    }
}

impl From<Fault> for CallError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{CANCEL_INVOICE, LOOKUP_INVOICE};

    fn meaning(code: Code, message: &str) -> InvoicerError {
        CallError::of_status(&Status::new(code, message)).of(&LOOKUP_INVOICE)
    }

    /// The words are lnd 0.21.2's.
    #[test]
    fn lnds_words_are_told_apart() {
        let forbidden = InvoicerError::Forbidden { permission: "invoices:read (LookupInvoice)" };
        for (message, error) in [
            ("permission denied", forbidden),
            ("expected 1 macaroon, got 0", InvoicerError::Unauthorized),
            ("encoding/hex: invalid byte: U+0078 'x'", InvoicerError::Unauthorized),
            ("cannot determine data format of binary-encoded macaroon", InvoicerError::Unauthorized),
            (
                "verification failed: signature mismatch after caveat verification",
                InvoicerError::Unauthorized,
            ),
            ("cannot get macaroon: root key with id 1 doesn't exist", InvoicerError::Unauthorized),
            ("wallet not created, create one to enable full RPC access", InvoicerError::Locked),
            ("wallet locked, unlock it to enable full RPC access", InvoicerError::Locked),
            (
                "the RPC server is in the process of starting up, but not yet ready to accept calls",
                InvoicerError::Starting,
            ),
            ("waiting to start, RPC services not available", InvoicerError::Starting),
            ("unable to determine macaroon permissions", InvoicerError::Starting),
            ("invoice registry shutting down", InvoicerError::Unreachable),
        ] {
            assert_eq!(meaning(Code::Unknown, message), error, "{message}");
        }
        let words = InvoicerError::Refused { message: UntrustedText::new("invoice already settled") };
        assert_eq!(meaning(Code::Unknown, "invoice already settled"), words);
    }

    #[test]
    fn codes_count_where_lnd_or_grpc_sets_them() {
        for (code, message, error) in [
            (Code::Unavailable, "", InvoicerError::Unreachable),
            (Code::DeadlineExceeded, "context deadline exceeded", InvoicerError::Timeout),
            (Code::ResourceExhausted, "", InvoicerError::Overloaded),
            (Code::Unauthenticated, "", InvoicerError::Unauthorized),
            (Code::Internal, "Missing response message.", InvoicerError::Garbled { field: "gRPC message" }),
        ] {
            assert_eq!(meaning(code, message), error, "{code:?}");
        }
        let missing = Status::new(Code::Unimplemented, "unknown service invoicesrpc.Invoices");
        let error = CallError::of_status(&missing).of(&CANCEL_INVOICE);
        assert_eq!(error, InvoicerError::NoService { service: "invoicesrpc" });
    }

    #[test]
    fn an_unknown_invoice_is_told_from_a_refusal() {
        for (code, message) in [
            (Code::NotFound, "unable to locate invoice"),
            (Code::Unknown, "unable to locate invoice"),
            (Code::Unknown, "there are no existing invoices"),
        ] {
            assert!(CallError::of_status(&Status::new(code, message)).says_unknown_invoice());
        }
        let other = CallError::of_status(&Status::new(Code::Unknown, "permission denied"));
        assert!(!other.says_unknown_invoice() && other.says_forbidden());
    }
}
