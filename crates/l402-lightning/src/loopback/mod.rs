//! The loopback node: a Lightning node in memory, for demonstrations and tests.
//!
//! It has one key and a ledger. It issues real, signed `lnbcrt` invoices, and it pays them, but only its own: any wallet
//! can decode them, none can pay them by accident, and no money exists. Buyers reach it through its
//! [wallet door](serve_wallet), the part of LND's REST interface that L402 clients use.
//!
//! Rules:
//! - An unpaid invoice leaves almost nothing behind. Everything needed to settle it is in the invoice itself: its
//!   payment secret is the preimage, masked with a key of the node. Only the newest [`OPEN_INVOICES_MAX`] are
//!   remembered, for lookups and for refusing a repeated payment hash.
//! - A payment happens once. Whatever was paid is remembered until the node ends, at most [`PAYMENTS_MAX`] of them;
//!   beyond that it refuses to pay.
//! - No preimage of an unpaid invoice ever leaves.
//! - It is regtest only, and its door opens on loopback addresses only.
//!
//! With its [`Knobs`] it misbehaves on demand, in the ways that real nodes do.

mod buyer;
mod keys;
mod knobs;
mod ledger;
mod seller;
mod wallet;
mod writer;

pub use knobs::{Fault, Knob, Knobs, When, WrongInvoice, WrongPayment, WrongState, WrongTrack};
pub use ledger::{OPEN_INVOICES_MAX, PAYMENTS_MAX, PaymentRecord, WALLET_START};
pub use wallet::{WalletDoorError, serve_wallet};

use crate::{MilliSat, NodeId};
use keys::NodeKeys;
use l402::PaymentHash;
use ledger::{Ledger, PaymentEntry};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What the node says when a knob makes it fail.
const INJECTED_FAILURE: &str = "the loopback node was told to fail";

/// Reads the time: unix seconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A Lightning node in memory; see the [module](self).
///
/// It may be shared by any number of threads and tokio runtimes. No lock is held while it waits.
pub struct LoopbackNode {
    keys: NodeKeys,
    clock: Clock,
    ledger: Ledger,
    knobs: Knobs,
    calls: Calls,
}

impl LoopbackNode {
    /// A node with an empty ledger. `secret` becomes its keys and must be new at every start: preimages that the node
    /// chooses itself are derived from it and a counter.
    pub fn new(secret: [u8; 32], clock: Clock) -> Self {
        Self {
            keys: NodeKeys::derive(&secret),
            clock,
            ledger: Ledger::new(),
            knobs: Knobs::default(),
            calls: Calls::default(),
        }
    }

    /// The key that signs its invoices.
    pub fn id(&self) -> NodeId {
        self.keys.id()
    }

    /// Its faults, to be set at any time.
    pub fn knobs(&self) -> &Knobs {
        &self.knobs
    }

    /// How often it was asked for what, since it began.
    pub fn calls(&self) -> CallCounts {
        self.calls.counts()
    }

    /// Every payment made, oldest first.
    pub fn payments(&self) -> Vec<PaymentRecord> {
        self.ledger.payments(0, usize::MAX)
    }

    /// The payment with this hash, if it was made.
    pub fn payment(&self, payment_hash: PaymentHash) -> Option<PaymentRecord> {
        self.ledger.payment(payment_hash)
    }

    /// Whether a payment with this hash has begun and not ended.
    pub fn is_in_flight(&self, payment_hash: PaymentHash) -> bool {
        matches!(self.ledger.entry(payment_hash), PaymentEntry::InFlight(_))
    }

    /// What its wallet has left. It starts with [`WALLET_START`]; payments to itself leave it, like any other.
    pub fn balance(&self) -> MilliSat {
        self.ledger.balance()
    }

    /// Unpaid invoices that it remembers: never more than [`OPEN_INVOICES_MAX`].
    pub fn open_invoices(&self) -> usize {
        self.ledger.open_invoices()
    }

    /// Invoices that it has issued, whatever became of them.
    pub fn issued_invoices(&self) -> u64 {
        self.ledger.issued_invoices()
    }

    /// Lets payments succeed that were held by [`Knobs::hold_payments`], and holds no more.
    pub fn release_payments(&self) {
        self.knobs.let_payments_go();
        self.ledger.commit_all(self.now());
    }

    /// The time by its clock, in unix seconds.
    fn now(&self) -> u64 {
        (self.clock)()
    }
}

impl fmt::Debug for LoopbackNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopbackNode").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// How often a node was asked for what, by the traits and by the wallet door together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// Invoices asked for.
    pub create: u64,
    /// Invoices looked up.
    pub lookup: u64,
    /// Payments asked for, also those that were refused.
    pub pay: u64,
    /// Payments looked up.
    pub track: u64,
}

/// The counters behind [`CallCounts`].
#[derive(Default)]
struct Calls {
    create: AtomicU64,
    lookup: AtomicU64,
    pay: AtomicU64,
    track: AtomicU64,
    preimages: AtomicU64,
}

impl Calls {
    /// A number for a preimage of the node's own, never the same twice.
    fn next_preimage(&self) -> u64 {
        self.preimages.fetch_add(1, Ordering::Relaxed)
    }

    fn counts(&self) -> CallCounts {
        CallCounts {
            create: self.create.load(Ordering::Relaxed),
            lookup: self.lookup.load(Ordering::Relaxed),
            pay: self.pay.load(Ordering::Relaxed),
            track: self.track.load(Ordering::Relaxed),
        }
    }
}

/// Counts one call.
fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
