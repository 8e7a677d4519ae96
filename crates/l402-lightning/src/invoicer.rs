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
/// same preimage gives that invoice, not a second one.
pub trait Invoicer: Send + Sync {
    /// What this node can do. Constant for one configuration, asked at the start.
    fn capabilities(&self) -> InvoicerCapabilities;

    /// Issues an invoice. The caller compares it with its request before it leaves the house.
    ///
    /// Idempotent where the request names a preimage: a repeated request gets the invoice that exists already. If that
    /// one differs from the request, or can no longer be paid, the answer is [`InvoicerError::Duplicate`].
    fn create(&self, request: InvoiceRequest) -> BoxFuture<'_, Result<Invoice, InvoicerError>>;

    /// What became of the invoice with this payment hash.
    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<InvoiceState, InvoicerError>>;

    /// The invoice with this payment hash while it can still be paid. `None` if it cannot, or if the node does not hand
    /// invoices out again.
    fn open_invoice(
        &self,
        payment_hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<Invoice>, InvoicerError>>;

    /// Withdraws an invoice, so that it can no longer be paid. Withdrawing one that cannot be paid anyway is no error;
    /// one that is settled is [`InvoicerError::Refused`].
    fn cancel(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<(), InvoicerError>>;

    /// Asks the node whether it could issue an invoice now, as far as the credential may ask. The error is what stands in
    /// the way; success promises nothing for later.
    fn probe(&self) -> BoxFuture<'_, Result<NodeStatus, InvoicerError>>;

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
    /// Whether it can withdraw an invoice.
    pub cancel: bool,
    /// Who words the invoice.
    pub terms: Terms,
}

/// Who chooses the description and the expiry of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terms {
    /// The caller: an invoice with other ones is refused.
    Caller,
    /// The service: it vouches for the invoice in another way, which the implementation has checked.
    Service,
}

/// What a node says of itself; `None` where it, or the credential, does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// The network it is on.
    pub network: Option<Network>,
    /// Whether it follows the chain.
    pub synced: Option<bool>,
    /// Its version, in its own words.
    pub version: Option<UntrustedText>,
    /// Its clock, in Unix seconds.
    pub clock: Option<u64>,
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
    /// What the invoice asked for. `None` where the service does not say, or the invoice left the amount to its payer.
    pub invoiced: Option<MilliSat>,
    /// When, in unix seconds.
    pub settled_at: u64,
}

impl Settlement {
    /// What was received beyond what the invoice asked for; nothing where that is not known. A payee accepts up to twice
    /// what it asked for ([BOLT 4](https://github.com/lightning/bolts/blob/master/04-onion-routing.md#failure-messages)).
    pub fn excess(&self) -> MilliSat {
        self.invoiced.and_then(|invoiced| self.amount.checked_sub(invoiced)).unwrap_or_default()
    }
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
    /// The node shows another certificate than the one that is trusted.
    #[error("the Lightning node's certificate is not the one that is trusted")]
    Certificate,
    /// The node does not accept our credential.
    #[error("the Lightning node does not accept the credential")]
    Unauthorized,
    /// The credential lacks a right.
    #[error("the credential may not do this: {permission}")]
    Forbidden {
        /// The right that is missing, in the node's terms.
        permission: &'static str,
    },
    /// The node's wallet is locked, or there is none yet.
    #[error("the Lightning node's wallet is locked, or was never made")]
    Locked,
    /// The node is starting, or does not follow the chain yet.
    #[error("the Lightning node is starting or catching up with the chain")]
    Starting,
    /// The node runs without a service that is needed.
    #[error("the Lightning node runs without {service}")]
    NoService {
        /// Which one, in the node's terms.
        service: &'static str,
    },
    /// The service gives away what it must keep; selling through it would be giving away.
    #[error("the Lightning service is not safe to sell with: {fault}")]
    Unsafe {
        /// What it does.
        fault: &'static str,
    },
    /// The node takes no more requests for now.
    #[error("the Lightning node takes no more requests for now")]
    Overloaded,
    /// Too many calls failed: the node is not asked until it is time to try again.
    #[error("the Lightning node is out of service; next try in {retry_secs} s")]
    Resting {
        /// Seconds until the next try.
        retry_secs: u64,
    },
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
    #[error("the Lightning node's answer cannot be understood: {field}")]
    Garbled {
        /// The part that is missing or wrong.
        field: &'static str,
    },
    /// The node's invoice is none.
    #[error("the Lightning node's invoice is unusable")]
    Unreadable(#[from] InvoiceError),
    /// The node's invoice is not the one that was asked for.
    #[error("the Lightning node's invoice is not what was asked for")]
    Lied(#[from] Mismatch),
}

impl InvoicerError {
    /// Whether the node as a whole is in trouble, so that other requests would fail the same way.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable
            | Self::Timeout
            | Self::Certificate
            | Self::Unauthorized
            | Self::Locked
            | Self::Starting
            | Self::Unsafe { .. }
            | Self::Overloaded
            | Self::Resting { .. } => true,
            Self::Forbidden { .. }
            | Self::NoService { .. }
            | Self::Refused { .. }
            | Self::Duplicate
            | Self::Unsupported(_)
            | Self::Garbled { .. }
            | Self::Unreadable(_)
            | Self::Lied(_) => false,
        }
    }

    /// What the operator can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable => "is the node running, and `address` its API's host and port?",
            Self::Timeout => "the node hangs or is overloaded; look at its log, or raise `lightning.timeout`",
            Self::Certificate => {
                "the node made a new certificate, or this is another node: give its present one"
            }
            Self::Unauthorized => "the credential is another node's, revoked or damaged: make a new one",
            Self::Forbidden { .. } => "make a credential with this right; the README names the least one",
            Self::Locked => {
                "unlock the node's wallet (lnd: `lncli unlock`); a new node needs one first (`lncli create`)"
            }
            Self::Starting => "wait until the node follows the chain; it goes on by itself",
            Self::NoService { .. } => "use a build of the node that has it (lnd: the tag `invoicesrpc`)",
            Self::Unsafe { .. } => "mend what the message says, or update the service",
            Self::Overloaded => "it goes on by itself; lower `limits.mint` if it stays so",
            Self::Resting { .. } => "it goes on by itself once the node answers; the log says what is wrong",
            Self::Refused { .. } => "these are the node's words; look at its log",
            Self::Duplicate => "was a key file copied from another gateway with the same node?",
            Self::Unsupported(_) => "change the price, the description or `lightning.invoice_expiry`",
            Self::Garbled { .. } | Self::Unreadable(_) => {
                "is this the API of such a node, in a supported version?"
            }
            Self::Lied(Mismatch::Network { .. }) => {
                "set `lightning.network` to the node's, or name the right node"
            }
            Self::Lied(Mismatch::CreatedAt { .. } | Mismatch::Expired { .. }) => {
                "set the clocks of both machines"
            }
            Self::Lied(_) => "do not sell through this node before it is understood why",
        }
    }
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
    /// It cannot withdraw invoices.
    #[error("it cannot withdraw an invoice")]
    Cancel,
    /// It does not tell of settlements.
    #[error("it does not tell of settlements")]
    Feed,
}
