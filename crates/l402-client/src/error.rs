//! Why a fetch ended without an answer to hand over.

use l402::{ChallengeError, Offer, PaymentHash};
use l402_lightning::PayError;
use thiserror::Error;

use crate::approval::Refusal;
use crate::http::{RedirectError, TransportError};
use crate::origin::{Origin, OriginError};
use crate::purchase::{PurchaseFailure, Unresolved};
use crate::vault::{LockOwner, VaultError};
use l402_lightning::OpenError;

/// Why there is no answer. What it says about money is certain: only [`FetchError::OutcomeUnknown`] and
/// [`FetchError::StillRefused`] leave any possibility that something was paid.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The URL cannot be fetched.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// A redirect is not followed.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    /// No answer, or a broken one.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The store of tokens cannot be used.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The wallet cannot be used.
    #[error("the wallet cannot be used: {0}")]
    Wallet(#[from] OpenError),
    /// 402, with no challenge this client can pay.
    #[error("the server asks for payment, but offers no L402 challenge that can be read{}", because(.faults))]
    NoOffer {
        /// What is wrong with those that are there.
        faults: Vec<ChallengeError>,
    },
    /// Payment is asked for, and paying was not allowed.
    #[error("the server asks for payment, and paying is not allowed")]
    NotAllowed {
        /// The offer.
        offer: Box<Offer>,
    },
    /// Payment is asked for, and no wallet is set.
    #[error("the server asks for payment, and no wallet is set")]
    NoWallet {
        /// The offer.
        offer: Box<Offer>,
    },
    /// Another origin than the one named asks for payment.
    #[error("{origin} asks for payment, which is not the origin that was named")]
    ForeignDemand {
        /// Who asks.
        origin: Origin,
    },
    /// The caller's own credential was refused.
    #[error("the server refuses the L402 credential given with the request")]
    OwnCredential,
    /// Refused before anything was paid.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The wallet did not pay, for certain.
    #[error("nothing was paid: {0}")]
    NotPaid(PayError),
    /// It may have been paid; the next fetch asks the wallet first.
    #[error("the outcome of payment {hash} is unknown: {why}")]
    OutcomeUnknown {
        /// The payment.
        hash: PaymentHash,
        /// What is known of it.
        why: Unresolved,
    },
    /// An earlier payment is unresolved, and the wallet cannot be opened to ask about it.
    #[error("the outcome of payment {hash} is unknown, and the wallet cannot be asked: {source}")]
    CannotAsk {
        /// The payment.
        hash: PaymentHash,
        /// What is wrong with the wallet.
        source: OpenError,
    },
    /// An earlier payment is unresolved, and no wallet is set to ask about it.
    #[error("the outcome of payment {hash} is unknown, and no wallet is set to ask")]
    NobodyToAsk {
        /// The payment.
        hash: PaymentHash,
    },
    /// Another process has been buying the same thing for too long.
    #[error("another process is still buying this{}", holder(.owner.as_ref()))]
    Busy {
        /// Who.
        owner: Option<LockOwner>,
    },
    /// Paid, and still refused. Nothing more is bought for this until the token is removed.
    #[error("the token bought by payment {hash} is refused by {origin}")]
    StillRefused {
        /// The payment.
        hash: PaymentHash,
        /// Who refuses.
        origin: Origin,
    },
}

impl From<PurchaseFailure> for FetchError {
    fn from(failure: PurchaseFailure) -> Self {
        match failure {
            PurchaseFailure::Refused(refusal) => Self::Refused(refusal),
            PurchaseFailure::NotPaid(error) => Self::NotPaid(error),
            PurchaseFailure::OutcomeUnknown { hash, why } => Self::OutcomeUnknown { hash, why },
        }
    }
}

fn because(faults: &[ChallengeError]) -> String {
    faults.first().map(|fault| format!(": {fault}")).unwrap_or_default()
}

fn holder(owner: Option<&LockOwner>) -> String {
    owner.map(|owner| format!(" (process {} on {})", owner.pid, owner.host)).unwrap_or_default()
}
