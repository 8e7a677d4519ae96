//! The Lightning seam: what a seller and a buyer of L402 need from a Lightning node, and nothing of any one node.
//!
//! - [`MilliSat`] and [`Network`]: money with its unit, and whose money it is.
//! - [`Invoice`]: a BOLT 11 invoice, parsed and its signature checked once at the edge; [`check`] compares it with the
//!   [`InvoiceRequest`] it answers.
//! - [`Invoicer`] and [`Payer`]: the node that is paid and the node that pays, with declared capabilities.
//! - [`Backend`]: how a kind of node is described and opened; [`Settings`] are what it is told.
//! - `loopback` (feature of that name): a node in memory for demonstrations and tests, which issues real signed regtest
//!   invoices and pays only its own.
//!
//! Outside the loopback node's wallet door nothing here does I/O, reads a clock or draws randomness;
//! [`Settings::secret`] reads the file it is told to.

mod amount;
mod backend;
mod check;
mod invoice;
mod invoicer;
#[cfg(feature = "loopback")]
pub mod loopback;
mod network;
mod payer;
mod secret;
mod signature;
mod untrusted;

pub use amount::{AmountError, MilliSat};
pub use backend::{
    Backend, InvoicerOpening, OpenError, PayerOpening, Proof, Setting, SettingKind, SettingValue, Settings,
    Side,
};
pub use check::{CLOCK_SKEW_SECS_MAX, Expected, InvoiceRequest, Mismatch, check};
pub use invoice::{INVOICE_CHARS_MAX, Invoice, InvoiceError, InvoiceField, NodeId};
pub use invoicer::{
    AmountUnit, InvoiceState, Invoicer, InvoicerCapabilities, InvoicerError, KeyControl, NodeStatus,
    SETTLEMENTS_MAX, Settlement, SettlementFeed, Terms, Unsupported,
};
pub use network::{Network, UnknownNetwork};
pub use payer::{
    FailureReason, NotSent, Paid, PayError, PayLimits, Payer, PayerCapabilities, PaymentState, UnknownCause,
};
pub use secret::Secret;
pub use untrusted::UntrustedText;

/// A future that a trait object can return; it may move between threads.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
