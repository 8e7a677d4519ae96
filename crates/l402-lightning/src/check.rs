//! Is this the invoice that was asked for? Asked of every invoice that comes back from a node, before it goes on.

use crate::{Invoice, MilliSat, Network, Terms};
use l402::{PaymentHash, Preimage};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// Seconds that a node's clock may differ from ours in either direction.
pub const CLOCK_SKEW_SECS_MAX: u64 = 300;

/// What a node is asked to be paid for.
#[derive(Clone, Debug)]
pub struct InvoiceRequest {
    /// What the invoice asks for.
    pub amount: MilliSat,
    /// Seconds that it may be paid for.
    pub expiry_secs: u32,
    /// What it is for, shown to the payer.
    pub description: String,
    /// The preimage to sell, where the node lets its caller choose ([`KeyControl::Preimage`](crate::KeyControl)).
    pub preimage: Option<Preimage>,
}

/// What an invoice is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// What was asked for.
    pub request: &'a InvoiceRequest,
    /// The network that the node is configured for.
    pub network: Network,
    /// Unix seconds at which the invoice came back.
    pub now: u64,
    /// Who chose the description and the expiry; what the service chooses is not compared.
    pub terms: Terms,
}

/// Compares every field of an invoice with what was asked for. The signature holds already: an [`Invoice`] that
/// exists has been checked for it.
///
/// A wrong yes sells at the wrong price, or sells a preimage that opens nothing; a wrong no costs one sale.
pub fn check(invoice: &Invoice, expected: &Expected<'_>) -> Result<(), Mismatch> {
    let Expected { request, network, now, terms } = *expected;
    if invoice.network() != network {
        return Err(Mismatch::Network { expected: network, found: invoice.network() });
    }
    if invoice.amount() != Some(request.amount) {
        return Err(Mismatch::Amount { expected: request.amount, found: invoice.amount() });
    }
    if let Some(preimage) = &request.preimage {
        let expected = preimage.payment_hash();
        if invoice.payment_hash() != expected {
            return Err(Mismatch::PaymentHash { expected, found: invoice.payment_hash() });
        }
    }
    if terms == Terms::Caller && invoice.expiry_secs() != u64::from(request.expiry_secs) {
        let (expected, found) = (request.expiry_secs, invoice.expiry_secs());
        return Err(Mismatch::Expiry { expected_secs: expected, found_secs: found });
    }
    if invoice.is_expired(now) {
        return Err(Mismatch::Expired { now, expires_at: invoice.expires_at() });
    }
    if invoice.created_at().abs_diff(now) > CLOCK_SKEW_SECS_MAX {
        return Err(Mismatch::CreatedAt { now, found: invoice.created_at() });
    }
    match terms {
        Terms::Caller => check_description(invoice, &request.description),
        Terms::Service => Ok(()),
    }
}

/// The description itself, or the hash of it.
fn check_description(invoice: &Invoice, expected: &str) -> Result<(), Mismatch> {
    let same = match (invoice.description(), invoice.description_hash()) {
        (Some(text), _) => text.as_raw() == expected,
        (None, Some(hash)) => hash[..] == Sha256::digest(expected.as_bytes())[..],
        (None, None) => false,
    };
    if same { Ok(()) } else { Err(Mismatch::Description) }
}

/// How an invoice differs from what was asked for. Complete: one variant for each thing compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Mismatch {
    /// It is for another network.
    #[error("the invoice is for {found}, not {expected}")]
    Network {
        /// The configured network.
        expected: Network,
        /// The invoice's.
        found: Network,
    },
    /// It asks for another amount, or for none.
    #[error("the invoice does not ask for {expected}")]
    Amount {
        /// What was asked for.
        expected: MilliSat,
        /// The invoice's.
        found: Option<MilliSat>,
    },
    /// It is bound to another preimage.
    #[error("the invoice has payment hash {found}, not {expected}")]
    PaymentHash {
        /// The chosen preimage's.
        expected: PaymentHash,
        /// The invoice's.
        found: PaymentHash,
    },
    /// It may be paid for a longer or shorter time.
    #[error("the invoice expires after {found_secs} s, not {expected_secs} s")]
    Expiry {
        /// What was asked for, in seconds.
        expected_secs: u32,
        /// The invoice's, in seconds.
        found_secs: u64,
    },
    /// It was written at a time that is not now: the node's clock is wrong, or the invoice is an old one.
    #[error("the invoice was written at {found}, it is now {now}")]
    CreatedAt {
        /// Our clock, in unix seconds.
        now: u64,
        /// The invoice's, in unix seconds.
        found: u64,
    },
    /// It can no longer be paid.
    #[error("the invoice expired at {expires_at}, it is now {now}")]
    Expired {
        /// Our clock, in unix seconds.
        now: u64,
        /// The invoice's, in unix seconds.
        expires_at: u64,
    },
    /// It says that it is for something else.
    #[error("the invoice has another description")]
    Description,
}
