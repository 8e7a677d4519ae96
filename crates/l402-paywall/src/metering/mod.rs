//! What selling by the unit needs besides the bytes of a token: the ledger, the revoked tokens, and how often a client
//! network was served before its first 402. One for all configurations of a gateway, so that it survives a reload.

mod booked;
mod revoked;
mod tab;

/// What the token can spend besides, in units: on requests to upstreams and on answers to clients.
pub const BALANCE: HeaderName = HeaderName::from_static("l402-balance");
/// What a request costs, in units: as an upstream says it, and as the client is told.
pub const COST: HeaderName = HeaderName::from_static("l402-cost");

pub use revoked::Revoked;
pub use tab::{Bill, Closing, Extended, Tab, TabError};

use crate::{
    ledger::{Ledger, ReservationId, Units},
    limit::Courtesy,
    mint::Entropy,
};
use booked::Booked;
use http::HeaderName;
use l402::Name;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The ledger and what belongs to it.
pub struct Metering {
    pub(crate) ledger: Option<Arc<dyn Ledger>>,
    pub(crate) revoked: Revoked,
    pub(crate) courtesy: Courtesy,
    pub(crate) booked: Booked,
    /// Tells this process's reservations from those of others.
    instance: [u8; 5],
    next: AtomicU64,
    /// The longest that units are held by any configuration so far, in seconds.
    hold_secs: AtomicU64,
}

impl Metering {
    /// With a ledger, metered services can be served. `entropy` tells the reservations of gateways apart.
    pub fn new(ledger: Option<Arc<dyn Ledger>>, entropy: &dyn Entropy) -> Self {
        let mut instance = [0; 5];
        entropy.fill(&mut instance);
        Self {
            ledger,
            revoked: Revoked::default(),
            courtesy: Courtesy::new(),
            booked: Booked::default(),
            instance,
            next: AtomicU64::new(0),
            hold_secs: AtomicU64::new(0),
        }
    }

    /// The ledger, if there is one.
    pub fn ledger(&self) -> Option<&Arc<dyn Ledger>> {
        self.ledger.as_ref()
    }

    /// Tokens that were revoked.
    pub fn revoked(&self) -> &Revoked {
        &self.revoked
    }

    /// Units that were sold since the last call, by service: those of purchases whose first booking was done here.
    pub fn take_sold(&self) -> Vec<(Name, Units)> {
        self.booked.take_sold()
    }

    /// A configuration holds units so long.
    pub(crate) fn note_hold(&self, secs: u64) {
        self.hold_secs.fetch_max(secs, Ordering::Relaxed);
    }

    /// Seconds that units are held for a request at most, by any configuration since the start.
    pub fn hold_secs(&self) -> u64 {
        self.hold_secs.load(Ordering::Relaxed)
    }

    /// A name that no other reservation has, and that grows with time: seconds, process, number.
    pub(crate) fn next_reservation(&self, now: u64) -> ReservationId {
        let number = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut id = [0; 16];
        id[..5].copy_from_slice(&now.to_be_bytes()[3..]);
        id[5..10].copy_from_slice(&self.instance);
        id[10..].copy_from_slice(&number[2..]);
        ReservationId::from_bytes(id)
    }
}

impl fmt::Debug for Metering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metering").field("has_ledger", &self.ledger.is_some()).finish_non_exhaustive()
    }
}
