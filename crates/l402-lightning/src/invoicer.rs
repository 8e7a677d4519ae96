//! The node that is paid.

use crate::{BoxFuture, Invoice, InvoiceError, InvoiceRequest, MilliSat, Mismatch, Network, UntrustedText};
use l402::PaymentHash;
use thiserror::Error;

/// A node that issues invoices and knows which of them were paid.
///
/// What it costs when an implementation is wrong: an invoice for too little sells cheaply, one with a foreign hash
/// takes money for a token that never opens, `Settled` said too early gives the service away, `Settled` said never
/// refuses paying customers where settlement is demanded. So callers [`check`](crate::check) every invoice, and
/// implementations never guess a state: what is not known is an error.
///
/// Every future may be dropped at any point. A dropped `create` may have issued its invoice; asking again with the
/// same preimage then says [`InvoicerError::Duplicate`].
pub trait Invoicer: Send + Sync {
    /// What this node can do. Constant for one configuration, asked at the start.
    fn capabilities(&self) -> InvoicerCapabilities;

    /// Issues an invoice. The caller compares it with its request before it leaves the house.
    fn create(&self, request: InvoiceRequest) -> BoxFuture<'_, Result<Invoice, InvoicerError>>;

    /// What became of the invoice with this payment hash.
    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<InvoiceState, InvoicerError>>;

    /// Waits until at least one invoice has settled after `cursor` and returns those that did, oldest first, at most
    /// [`SETTLEMENTS_MAX`] at once. Start with 0; go on with the last [`Settlement::index`]. Reports may repeat.
    ///
    /// How far back a cursor reaches says [`InvoicerCapabilities::settlement_feed`].
    fn settlements(&self, cursor: u64) -> BoxFuture<'_, Result<Vec<Settlement>, InvoicerError>>;
}

/// Most settlements in one answer of [`Invoicer::settlements`].
pub const SETTLEMENTS_MAX: usize = 100;

/// What a node that is paid can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvoicerCapabilities {
    /// The network its invoices are for.
    pub network: Network,
    /// Who chooses the preimage.
    pub key_control: KeyControl,
    /// The smallest part of an amount that it can ask for.
    pub amount_unit: AmountUnit,
    /// Most bytes of a description.
    pub description_bytes_max: usize,
    /// How it tells of settlements.
    pub settlement_feed: SettlementFeed,
}

/// Who chooses the preimage of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyControl {
    /// The caller may hand in a preimage.
    Preimage,
    /// The caller may hand in a hash and settle later (hold invoices).
    Hash,
    /// The node chooses.
    None,
}

/// The smallest part of an amount that a node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AmountUnit {
    /// Millisatoshis.
    MilliSat,
    /// Whole satoshis.
    Sat,
}

/// How a node tells of settlements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettlementFeed {
    /// A cursor stays good for as long as the node keeps its records.
    Resumable,
    /// A cursor is good until the node restarts; whatever it missed must be looked up.
    Live,
    /// There is no feed: look each hash up.
    Poll,
}

/// What became of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvoiceState {
    /// The node knows no such invoice.
    Unknown,
    /// It can still be paid.
    Open,
    /// It was paid.
    Settled {
        /// What was received.
        amount: MilliSat,
    },
    /// It was not paid in time.
    Expired,
    /// The payee withdrew it.
    Cancelled,
}

/// One invoice that was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Its place in the order of settlements, from 1: the cursor to go on with.
    pub index: u64,
    /// Which invoice.
    pub payment_hash: PaymentHash,
    /// What was received.
    pub amount: MilliSat,
    /// When, in unix seconds.
    pub settled_at: u64,
}

/// Why a node that is paid did not answer as it should. The name says whose fault it is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvoicerError {
    /// No connection to the node, or the connection broke: whether a request took effect is unknown.
    #[error("the Lightning node cannot be reached")]
    Unreachable,
    /// The node did not answer in time: whether a request took effect is unknown.
    #[error("the Lightning node did not answer in time")]
    Timeout,
    /// The node does not accept our credential, or it lacks a right.
    #[error("the Lightning node does not accept the credential")]
    Unauthorized,
    /// The node refused the request, in its own words.
    #[error("the Lightning node refused: {message}")]
    Refused {
        /// What the node said.
        message: UntrustedText,
    },
    /// There is an invoice with this payment hash already.
    #[error("the Lightning node has an invoice with this payment hash already")]
    Duplicate,
    /// The request is beyond what the node can do; see [`InvoicerCapabilities`].
    #[error("the Lightning node cannot issue such an invoice: {0}")]
    Unsupported(Unsupported),
    /// The answer is not what the node's interface promises.
    #[error("the Lightning node's answer cannot be understood")]
    Garbled,
    /// The node's invoice is none.
    #[error("the Lightning node's invoice is unusable")]
    Unreadable(#[from] InvoiceError),
    /// The node's invoice is not the one that was asked for.
    #[error("the Lightning node's invoice is not what was asked for")]
    Lied(#[from] Mismatch),
}

/// What about a request is beyond a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// It does not let the caller choose the preimage.
    #[error("it chooses the preimage itself")]
    ChosenPreimage,
    /// Zero, too much, or a part of a satoshi where it knows none.
    #[error("the amount is out of its range")]
    Amount,
    /// The description is too long.
    #[error("the description is too long")]
    Description,
    /// The expiry is zero or too long.
    #[error("the expiry is out of its range")]
    Expiry,
}
