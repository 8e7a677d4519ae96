//! One purchase as it is kept on disk: first as an intent, then with its preimage as a token.
//!
//! Intent and token are one file, so that no crash can leave one without the other.

use l402::{Macaroon, OfferScheme, PaymentHash, Preimage};
use l402_lightning::MilliSat;

use crate::origin::Origin;
use crate::scope::{self, Scope};

/// A purchase at one origin, named by its payment hash.
#[derive(Debug, Clone)]
pub struct PurchaseRecord {
    /// The seller.
    pub origin: Origin,
    /// What was bought.
    pub scope: Scope,
    /// The URL path it was bought for, without query.
    pub path: String,
    /// The scheme word the seller used; the token is presented under the same one.
    pub scheme: OfferScheme,
    /// The token, worth nothing without its preimage.
    pub token: Macaroon,
    /// The hash that the payment's preimage has.
    pub payment_hash: PaymentHash,
    /// The invoice, where it is known (an imported token has none).
    pub invoice: Option<String>,
    /// What the invoice asks for.
    pub amount: Option<MilliSat>,
    /// The cap under which it was bought, amount and fee together.
    pub cap: Option<MilliSat>,
    /// The wallet it was given to, by name, where it is known.
    pub wallet: Option<String>,
    /// How often the wallet was given this invoice, or was about to be: after a second time, a failure may be that of
    /// one call while the other is still on its way.
    pub sends: u32,
    /// When the intent was written, in unix seconds.
    pub created_at: u64,
    /// How far it got.
    pub stage: Stage,
}

/// How far a purchase got.
#[derive(Debug, Clone)]
pub enum Stage {
    /// The wallet may have been told to pay. Only the wallet knows what became of it.
    Intended,
    /// The preimage is here and has the right hash.
    Paid(PaidToken),
}

/// What a settled purchase left behind.
#[derive(Debug, Clone)]
pub struct PaidToken {
    /// The proof of payment.
    pub preimage: Preimage,
    /// The routing fee, where the wallet said.
    pub fee: Option<MilliSat>,
    /// When the preimage arrived, in unix seconds.
    pub paid_at: u64,
    /// What the seller did with it.
    pub standing: Standing,
}

/// What the seller did with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not presented yet, or no answer came.
    Untried,
    /// It opened what it was bought for at least once.
    Accepted,
    /// The units that it was sold with are used up, as far as the seller says. It is not presented any more, and another
    /// one may be bought.
    Spent {
        /// When, in unix seconds.
        at: u64,
    },
    /// It was refused although it had not expired. Nothing is bought in its place until a person says so.
    Refused {
        /// When, in unix seconds.
        at: u64,
    },
}

impl PurchaseRecord {
    /// The token's own expiry, if it names one, in unix seconds.
    pub fn valid_until(&self) -> Option<u64> {
        scope::valid_until(&self.token.view())
    }

    /// Whether the token has ended by its own word.
    pub fn has_expired(&self, now: u64) -> bool {
        self.valid_until().is_some_and(|end| now >= end)
    }

    /// The paid token, if the purchase got that far.
    pub fn paid(&self) -> Option<&PaidToken> {
        match &self.stage {
            Stage::Intended => None,
            Stage::Paid(paid) => Some(paid),
        }
    }

    /// Whether the token was sold with a number of units, which its uses take from.
    pub fn is_metered(&self) -> bool {
        scope::is_metered(&self.token.view())
    }

    /// Whether the token can be presented: paid, never refused, not used up, not past its own expiry.
    pub fn is_usable(&self, now: u64) -> bool {
        let is_over =
            |paid: &PaidToken| matches!(paid.standing, Standing::Refused { .. } | Standing::Spent { .. });
        self.paid().is_some_and(|paid| !is_over(paid)) && !self.has_expired(now)
    }

    /// Whether the token was paid for, not refused, and had ended by `when` by its own word.
    pub(crate) fn is_spent_by(&self, when: u64) -> bool {
        self.paid().is_some() && !self.was_refused() && self.has_expired(when)
    }

    /// Whether the token was paid for and refused.
    pub fn was_refused(&self) -> bool {
        self.paid().is_some_and(|paid| matches!(paid.standing, Standing::Refused { .. }))
    }

    /// The same purchase, paid.
    pub(crate) fn into_paid(self, preimage: Preimage, fee: Option<MilliSat>, paid_at: u64) -> Self {
        let stage = Stage::Paid(PaidToken { preimage, fee, paid_at, standing: Standing::Untried });
        Self { stage, ..self }
    }

    /// The same purchase with the seller's answer noted; an intent stays as it is.
    pub(crate) fn with_standing(mut self, standing: Standing) -> Self {
        if let Stage::Paid(paid) = &mut self.stage {
            paid.standing = standing;
        }
        self
    }
}
