//! The node that pays.

use crate::{BoxFuture, Invoice, MilliSat, Network, UntrustedText};
use l402::{PaymentHash, Preimage};
use std::time::Duration;
use thiserror::Error;

/// A wallet that pays invoices.
///
/// What it costs when an implementation is wrong: "nothing was paid" said wrongly makes its caller pay twice, "paid"
/// said wrongly loses a purchase. So only [`PayError::Failed`] and [`PayError::NotSent`] mean that no money moved, and an
/// implementation that is not sure says [`PayError::OutcomeUnknown`]. A future that is dropped leaves the outcome
/// unknown as well. Callers compare the preimage with the hash themselves.
pub trait Payer: Send + Sync {
    /// What this wallet can do. Constant for one configuration, asked before the first payment.
    fn capabilities(&self) -> PayerCapabilities;

    /// Pays an invoice once. A second call for the same payment hash never pays again: it says
    /// [`PayError::AlreadyKnown`], and [`lookup`](Self::lookup) says how the first one ended.
    fn pay<'a>(&'a self, invoice: &'a Invoice, limits: PayLimits) -> BoxFuture<'a, Result<Paid, PayError>>;

    /// What became of the payment with this hash.
    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<PaymentState, PayError>>;
}

/// What a wallet can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for alone")]
pub struct PayerCapabilities {
    /// The network it pays on; `None` if it does not tell.
    pub network: Option<Network>,
    /// Whether it keeps [`PayLimits::fee_max`] itself.
    pub fee_limit: bool,
    /// Whether it keeps [`PayLimits::timeout`] itself.
    pub timeout: bool,
    /// Whether it hands out the preimage of what it paid. Without it nothing can be bought by L402.
    pub returns_preimage: bool,
    /// Whether it can be asked about a payment by hash after a crash.
    pub lookup_by_hash: bool,
}

/// The limits of one payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayLimits {
    /// Most that routing may cost on top of the amount.
    pub fee_max: MilliSat,
    /// How long the wallet may try.
    pub timeout: Duration,
}

/// A payment that succeeded.
#[derive(Clone, Debug)]
pub struct Paid {
    /// The proof of payment, as the wallet gave it.
    pub preimage: Preimage,
    /// What the payee received.
    pub amount: MilliSat,
    /// What routing cost on top.
    pub fee: MilliSat,
}

/// What became of a payment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PaymentState {
    /// The wallet never sent it.
    Unknown,
    /// It is on its way: it may still succeed or fail.
    InFlight,
    /// It succeeded.
    Succeeded(Paid),
    /// It failed for good; nothing was paid.
    Failed(FailureReason),
}

/// Why a payment failed for good. Complete: LND's reasons, which other nodes map onto.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FailureReason {
    /// The attempts took longer than allowed.
    #[error("no attempt succeeded in time")]
    Timeout,
    /// No route to the payee within the fee limit.
    #[error("no route within the fee limit")]
    NoRoute,
    /// The payee does not know the payment, or refuses it.
    #[error("the payee refuses the payment")]
    IncorrectPaymentDetails,
    /// The wallet does not hold enough.
    #[error("the wallet's balance is too low")]
    InsufficientBalance,
    /// The wallet's owner stopped it.
    #[error("the payment was cancelled")]
    Cancelled,
    /// Another reason.
    #[error("the wallet could not pay")]
    Other,
}

impl FailureReason {
    /// What the wallet's owner can do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Timeout => "try again, or give it longer (`--payment-timeout`)",
            Self::NoRoute => {
                "raise the cap (`--max-cost`) if fees are the reason; else open a channel towards the seller"
            }
            Self::IncorrectPaymentDetails => {
                "the seller's node no longer takes this payment: run the same command again"
            }
            Self::InsufficientBalance => "add money, or open a channel with more on this side",
            Self::Cancelled => "run the same command again if that was not meant",
            Self::Other => "look at the wallet's log",
        }
    }
}

impl PayError {
    /// What the wallet's owner can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Failed(reason) => reason.hint(),
            Self::NotSent(why) => why.hint(),
            Self::AlreadyKnown | Self::OutcomeUnknown(_) => {
                "ask the wallet about the payment before paying again"
            }
        }
    }
}

/// Why there is no [`Paid`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PayError {
    /// The payment failed for good; nothing was paid.
    #[error("the payment failed: {0}")]
    Failed(FailureReason),
    /// The wallet was never asked, or refused before it sent anything; nothing was paid.
    #[error("the wallet did not pay: {0}")]
    NotSent(NotSent),
    /// The wallet has a payment with this hash, on its way or done: ask by hash.
    #[error("the wallet knows this payment already")]
    AlreadyKnown,
    /// It may have been paid: ask by hash, and never pay again before there is an answer.
    #[error("the outcome of the payment is unknown: {0}")]
    OutcomeUnknown(UnknownCause),
}

impl PayError {
    /// Whether it is certain that this call moved no money.
    pub fn nothing_paid(&self) -> bool {
        match self {
            Self::Failed(_) | Self::NotSent(_) => true,
            Self::AlreadyKnown | Self::OutcomeUnknown(_) => false,
        }
    }
}

/// Why a wallet sent nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotSent {
    /// No connection to the wallet could be made.
    #[error("it cannot be reached")]
    Unreachable,
    /// The wallet shows another certificate than the one that is trusted.
    #[error("its certificate is not the one that is trusted")]
    Certificate,
    /// The wallet does not accept our credential.
    #[error("it does not accept the credential")]
    Unauthorized,
    /// The credential lacks a right.
    #[error("the credential may not do this: {permission}")]
    Forbidden {
        /// The right that is missing, in the wallet's terms.
        permission: &'static str,
    },
    /// The wallet is locked, or there is none yet.
    #[error("it is locked, or was never made")]
    Locked,
    /// The wallet is starting, or does not follow the chain yet.
    #[error("it is starting or catching up with the chain")]
    Starting,
    /// The wallet takes no more requests for now.
    #[error("it takes no more requests for now")]
    Overloaded,
    /// The wallet does not hold enough.
    #[error("its balance is too low")]
    InsufficientBalance,
    /// The wallet cannot keep to the fee limit.
    #[error("it may charge up to {needed} for routing, more than the fee limit")]
    FeeLimit {
        /// What the limit would have to be.
        needed: MilliSat,
    },
    /// The invoice has expired.
    #[error("the invoice has expired")]
    Expired,
    /// The invoice leaves the amount to the payer.
    #[error("the invoice has no amount")]
    Amountless,
    /// The invoice is for another network.
    #[error("the invoice is for another network")]
    OtherNetwork,
    /// The wallet refused, in its own words.
    #[error("{message}")]
    Refused {
        /// What the wallet said.
        message: UntrustedText,
    },
}

impl NotSent {
    /// What the wallet's owner can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable => "is it running, and is this its host and port?",
            Self::Certificate => "it made a new certificate, or this is another wallet: give its present one",
            Self::Unauthorized => "the credential is another wallet's, revoked or damaged: make a new one",
            Self::Forbidden { .. } => "make a credential with this right",
            Self::Locked => {
                "unlock it (lnd: `lncli unlock`); a new node needs a wallet first (`lncli create`)"
            }
            Self::Starting => "wait until it follows the chain, then try again",
            Self::Overloaded => "try again later",
            Self::InsufficientBalance => "add money, or open a channel with more on this side",
            Self::FeeLimit { .. } => "raise the cap (`--max-cost`), which covers amount and fee together",
            Self::Expired => "ask for a new invoice: run the same command again",
            Self::Amountless => "the seller has to name its price",
            Self::OtherNetwork => "use a wallet on the invoice's network",
            Self::Refused { .. } => "these are the wallet's words; look at its log",
        }
    }
}

/// Why the outcome of a payment is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnknownCause {
    /// The wallet did not answer in time.
    #[error("the wallet did not answer in time")]
    Timeout,
    /// The connection broke before the answer was complete.
    #[error("the connection to the wallet broke")]
    Cut,
    /// The wallet failed on the way.
    #[error("the wallet failed")]
    WalletFailed,
    /// The answer is not what the wallet's interface promises.
    #[error("the wallet's answer cannot be understood: {field}")]
    Garbled {
        /// The part that is missing or wrong.
        field: &'static str,
    },
    /// It says that it paid, and gives no preimage.
    #[error("the wallet gave no preimage")]
    NoPreimage,
    /// It says that it paid, and gives the preimage of something else.
    #[error("the wallet's preimage is not the invoice's")]
    WrongPreimage,
}
