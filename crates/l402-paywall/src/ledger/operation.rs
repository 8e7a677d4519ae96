//! The steps that a ledger is changed by, and what came of each.

use super::Units;
use bytes::Bytes;
use l402::{Name, PaymentHash, TokenId};
use std::{fmt, sync::Arc};

/// Names an account: a purchase by its payment hash, a delegated budget by a digest of its place in the token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountKey([u8; 32]);

/// Names a reservation. Whoever reserves draws it, so that the same step can be asked for again after a lost answer.
/// Should grow with time: stores keep them in order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReservationId([u8; 16]);

/// What a token spends from: the units that its payment bought, within the budgets that its holders wrote into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purse {
    /// The payment, which is also the account.
    pub payment_hash: PaymentHash,
    /// The token.
    pub token_id: TokenId,
    /// The service it was bought from.
    pub service: Name,
    /// The units that one payment buys, as the token says.
    pub pack: Units,
    /// Delegated budgets, each within the one before.
    pub caps: Arc<[Cap]>,
}

/// A delegated budget: `<service>_units=<n>`, appended to a copy of the token by its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// The same for all copies that share the caveat and everything before it.
    pub key: AccountKey,
    /// How much they may spend together.
    pub units: Units,
}

/// A reservation with the accounts it draws on, which is what a store needs to find everything by one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// The reservation.
    pub id: ReservationId,
    /// The account of the purchase first, then those of its delegated budgets.
    pub accounts: Arc<[AccountKey]>,
    /// The claim of its request, by its key.
    pub claim: Option<[u8; 32]>,
}

/// One step, done whole or not at all, and only once however often it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Books a purchase. [`Self::Reserve`] does so too.
    Credit(Purse),
    /// Sets units aside for a request.
    Reserve(Reserve),
    /// Sets more aside for a request under way.
    Extend {
        /// The reservation.
        handle: Handle,
        /// Everything it is to hold then; never less than before.
        total: Units,
        /// Its new deadline in Unix seconds; never earlier than before.
        deadline: u64,
    },
    /// Charges a reservation and gives back what is left of it.
    Settle {
        /// The reservation.
        handle: Handle,
        /// What the request cost; more than is reserved is not charged.
        cost: Units,
        /// The answer to keep for whoever sends the same `Idempotency-Key` again; `None`: too large to keep. Without a
        /// claim it is not looked at.
        answer: Option<Bytes>,
    },
    /// Gives a reservation back whole.
    Release(Handle),
    /// Ends a reservation whose deadline has passed, or whose gateway is gone.
    Expire {
        /// The reservation.
        handle: Handle,
        /// What becomes of its units.
        rule: Abandoned,
    },
    /// Ends a token: what it still has is owed to its buyer, and nothing more can be reserved.
    Revoke(TokenId),
}

/// Units set aside for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// Its name.
    pub id: ReservationId,
    /// What it draws on.
    pub purse: Purse,
    /// How much is set aside.
    pub units: Units,
    /// When it ends by itself, in Unix seconds.
    pub deadline: u64,
    /// Where the request came with an `Idempotency-Key`.
    pub claim: Option<Claim>,
}

/// A request that must not be charged twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// A digest of the token and its key.
    pub key: [u8; 32],
    /// A digest of everything else that makes it the same request.
    pub request: [u8; 32],
    /// Until when its answer is kept, in Unix seconds.
    pub expires_at: u64,
}

/// What becomes of a reservation that nobody ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Abandoned {
    /// The units go back.
    #[default]
    Release,
    /// They are charged.
    Charge,
}

/// What came of an [`Operation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The purchase is booked.
    Credited {
        /// What the token has now.
        standing: Standing,
        /// Whether it was this step that booked it.
        is_new: bool,
    },
    /// The units are set aside.
    Reserved(Standing),
    /// There are not enough units; nothing was set aside.
    Short(Standing),
    /// The token is revoked; nothing was set aside.
    Revoked,
    /// The reservation has ended.
    Ended {
        /// How.
        ending: Ending,
        /// What the token has now.
        standing: Standing,
        /// Whether it was this step that ended it.
        is_new: bool,
    },
    /// There is no such reservation, and there never was.
    Unknown,
    /// The name belongs to another reservation.
    Conflict,
    /// The request has been made before.
    Claimed(Claimed),
    /// The token is revoked.
    Withdrawn {
        /// What its buyer is owed.
        owed: Units,
        /// Whether it was this step that revoked it.
        is_new: bool,
    },
}

/// What became of an earlier request with the same `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is still being served.
    InFlight,
    /// It was another request.
    Differs,
    /// It was served with this answer; `None`: the answer was too large to keep.
    Answered(Option<Bytes>),
}

/// What a token can spend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The least of what the purchase and each delegated budget have left.
    pub balance: Units,
    /// What the reservation holds that was asked about.
    pub reserved: Units,
}

/// How a reservation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// By which step.
    pub by: EndedBy,
    /// What it held.
    pub reserved: Units,
    /// What was charged.
    pub charged: Units,
    /// What the request cost beyond that; nobody pays it.
    pub overrun: Units,
}

/// The step that ended a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// [`Operation::Settle`]
    Settle,
    /// [`Operation::Release`]
    Release,
    /// [`Operation::Expire`]
    Expire,
}

/// What has to be known before an operation can be applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Accounts.
    pub accounts: Vec<AccountKey>,
    /// A token: whether it is revoked, and its account.
    pub token: Option<TokenId>,
    /// A reservation, open or ended.
    pub reservation: Option<ReservationId>,
    /// A claim, by its key.
    pub claim: Option<[u8; 32]>,
}

impl Operation {
    /// What has to be known before it can be applied.
    pub fn needs(&self) -> Needs {
        match self {
            Self::Credit(purse) => {
                Needs { accounts: purse.accounts().to_vec(), token: Some(purse.token_id), ..Needs::default() }
            }
            Self::Reserve(reserve) => Needs {
                accounts: reserve.purse.accounts().to_vec(),
                token: Some(reserve.purse.token_id),
                reservation: Some(reserve.id),
                claim: reserve.claim.as_ref().map(|claim| claim.key),
            },
            Self::Extend { handle, .. }
            | Self::Settle { handle, .. }
            | Self::Release(handle)
            | Self::Expire { handle, .. } => Needs {
                accounts: handle.accounts.to_vec(),
                token: None,
                reservation: Some(handle.id),
                claim: handle.claim,
            },
            Self::Revoke(token_id) => Needs { token: Some(*token_id), ..Needs::default() },
        }
    }
}

impl Reserve {
    /// What the reservation is found by later.
    pub fn handle(&self) -> Handle {
        let claim = self.claim.as_ref().map(|claim| claim.key);
        Handle { id: self.id, accounts: self.purse.accounts(), claim }
    }
}

impl Purse {
    /// Its accounts: the purchase first, then the delegated budgets.
    pub fn accounts(&self) -> Arc<[AccountKey]> {
        let own = AccountKey::of_payment(self.payment_hash);
        std::iter::once(own).chain(self.caps.iter().map(|cap| cap.key)).collect()
    }
}

impl AccountKey {
    /// The account of a purchase.
    pub fn of_payment(payment_hash: PaymentHash) -> Self {
        Self(*payment_hash.as_bytes())
    }

    /// An account by its bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of its name.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl ReservationId {
    /// A reservation by its bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of its name.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountKey({})", hex::encode(self.0))
    }
}

impl fmt::Debug for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReservationId({})", hex::encode(self.0))
    }
}
