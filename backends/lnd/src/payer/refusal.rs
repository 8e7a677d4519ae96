//! lnd's refusals. Nearly all of them carry the same code whatever the reason: only the words tell them apart.

use crate::fault::{CREDENTIAL, LOCKED, STARTING};
use l402_lightning::{NotSent, UntrustedText};
use tonic::Code;

/// An error that lnd answered a call with.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    code: Code,
    message: Box<str>,
}

/// What a refusal means for a payment that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// lnd has a payment with this hash.
    AlreadyKnown,
    /// lnd did not begin.
    NotSent(NotSent),
    /// lnd's own words, which say nothing known here.
    Unlisted,
    /// Something on the way broke, or lnd itself.
    Broken,
}

impl Refusal {
    /// From a gRPC code, as REST writes it too, and the words.
    pub(crate) fn new(code: Code, message: impl Into<Box<str>>) -> Self {
        Self { code, message: message.into() }
    }

    /// Whether lnd says that it never had the payment that it was asked about.
    pub(crate) fn says_not_found(&self) -> bool {
        // lnd's REST proxy says `Not Found` with the same code about paths that it does not serve.
        self.code == Code::NotFound && &*self.message != "Not Found"
    }

    /// Whether lnd says that it has such a payment already.
    pub(crate) fn says_already_known(&self) -> bool {
        self.code == Code::AlreadyExists
    }

    /// What lnd said.
    pub(super) fn words(&self) -> UntrustedText {
        UntrustedText::new(self.message.clone())
    }

    /// What it means; `permission` is the right that the call takes.
    pub(super) fn meaning(&self, permission: &'static str) -> Meaning {
        match self.code {
            Code::AlreadyExists => Meaning::AlreadyKnown,
            Code::Unauthenticated | Code::PermissionDenied => Meaning::NotSent(NotSent::Unauthorized),
            Code::Unknown
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::NotFound
            | Code::ResourceExhausted
            | Code::Unimplemented => self.reason(permission).map_or(Meaning::Unlisted, Meaning::NotSent),
            _ => Meaning::Broken,
        }
    }

    /// The reason, where the words are ones that lnd only says before it begins.
    fn reason(&self, permission: &'static str) -> Option<NotSent> {
        let says = |words: &[&str]| words.iter().any(|words| self.message.contains(words));
        if says(&["permission denied"]) {
            Some(NotSent::Forbidden { permission })
        } else if says(LOCKED) {
            Some(NotSent::Locked)
        } else if says(STARTING) {
            Some(NotSent::Starting)
        } else if self.message.starts_with("invoice expired") {
            Some(NotSent::Expired)
        } else if says(&["invoice not for current active network"]) {
            Some(NotSent::OtherNetwork)
        } else if says(CREDENTIAL) {
            Some(NotSent::Unauthorized)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(code: Code, message: &str) -> Meaning {
        Refusal::new(code, message).meaning("offchain:write")
    }

    #[test]
    fn lnds_words_are_told_apart() {
        let starting = "the RPC server is in the process of starting up, but not yet ready to accept calls";
        for (message, expected) in [
            ("wallet locked, unlock it to enable full RPC access", NotSent::Locked),
            ("unable to determine macaroon permissions", NotSent::Starting),
            ("wallet not created, create one to enable full RPC access", NotSent::Locked),
            (starting, NotSent::Starting),
            ("waiting to start, RPC services not available", NotSent::Starting),
            ("invoice expired. Valid until 2026-01-01 00:00:00 +0000 UTC", NotSent::Expired),
            ("invoice not for current active network 'regtest'", NotSent::OtherNetwork),
            ("expected 1 macaroon, got 0", NotSent::Unauthorized),
            ("encoding/hex: invalid byte: U+0067 'g'", NotSent::Unauthorized),
            ("cannot determine data format of binary-encoded macaroon", NotSent::Unauthorized),
            ("verification failed: signature mismatch after caveat verification", NotSent::Unauthorized),
        ] {
            assert_eq!(meaning(Code::Unknown, message), Meaning::NotSent(expected), "{message}");
        }
    }

    #[test]
    fn a_missing_right_is_named() {
        let forbidden = NotSent::Forbidden { permission: "offchain:write" };
        assert_eq!(meaning(Code::Unknown, "permission denied"), Meaning::NotSent(forbidden));
    }

    #[test]
    fn words_that_are_not_known_prove_nothing() {
        assert_eq!(meaning(Code::Unknown, "routerrpc server shutting down"), Meaning::Unlisted);
        assert_eq!(meaning(Code::Unimplemented, "unknown service routerrpc.Router"), Meaning::Unlisted);
        for code in [Code::Unavailable, Code::Internal, Code::DeadlineExceeded, Code::Cancelled] {
            assert_eq!(meaning(code, "permission denied"), Meaning::Broken);
        }
        assert_eq!(meaning(Code::AlreadyExists, "invoice is already paid"), Meaning::AlreadyKnown);
    }

    #[test]
    fn a_path_that_is_not_served_is_no_word_about_a_payment() {
        assert!(Refusal::new(Code::NotFound, "payment isn't initiated").says_not_found());
        assert!(!Refusal::new(Code::NotFound, "Not Found").says_not_found());
        assert!(!Refusal::new(Code::Unknown, "payment isn't initiated").says_not_found());
    }
}
