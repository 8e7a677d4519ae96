//! One balance, and the rows beside it. In each account `credited = debited + balance + reserved + owed`, always.

use super::{AccountKey, EndedBy, Ending, Handle, ReservationId, Units};
use bytes::Bytes;
use l402::{Name, TokenId};

/// The balance of a purchase, or of a delegated budget within one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whose it is.
    pub owner: Owner,
    /// Everything that was put in.
    pub credited: Units,
    /// Everything that was charged.
    pub debited: Units,
    /// What can be spent.
    pub balance: Units,
    /// What is set aside for requests under way.
    pub reserved: Units,
    /// What is owed to the buyer of a revoked token; nobody can spend it.
    pub owed: Units,
    /// Whether the token is revoked: then what comes back is owed.
    pub is_revoked: bool,
}

/// Whose an account is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A purchase.
    Purchase {
        /// The token that was bought.
        token_id: TokenId,
        /// The service it was bought from.
        service: Name,
    },
    /// A delegated budget of a purchase.
    Cap(AccountKey),
}

/// Units that are set aside, as they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The accounts it draws on: the purchase first.
    pub handle: Handle,
    /// How much of each.
    pub units: Units,
    /// When it ends by itself, in Unix seconds.
    pub deadline: u64,
}

/// A request with an `Idempotency-Key`, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRecord {
    /// The reservation that was made for it.
    pub reservation: ReservationId,
    /// A digest of everything that makes it the same request.
    pub request: [u8; 32],
    /// Until when it is kept, in Unix seconds.
    pub expires_at: u64,
    /// What became of it.
    pub state: ClaimState,
}

/// What became of a request with an `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimState {
    /// It is still being served.
    InFlight,
    /// It was served, with this answer; `None`: too large to keep.
    Answered(Option<Bytes>),
}

/// A line of the journal: what an operation changed for good. Setting aside changes nothing for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, in Unix seconds.
    pub at: u64,
    /// What happened.
    pub kind: EntryKind,
    /// The account of the purchase.
    pub account: AccountKey,
    /// Units that were put in.
    pub credited: Units,
    /// Units that had been set aside.
    pub reserved: Units,
    /// Units that were charged.
    pub charged: Units,
    /// Units that the request cost beyond what was set aside, and nobody pays.
    pub overrun: Units,
    /// Units that became owed to the buyer.
    pub owed: Units,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A purchase was booked.
    Credited,
    /// A delegated budget was used for the first time; its units are part of those of the purchase.
    CapOpened(AccountKey),
    /// A reservation ended.
    Ended {
        /// The reservation, with all its accounts.
        handle: Handle,
        /// How.
        by: EndedBy,
    },
    /// The token was revoked.
    Revoked,
}

impl Account {
    /// A new account with everything to spend.
    pub fn opened(owner: Owner, credited: Units) -> Self {
        Self {
            owner,
            credited,
            debited: Units::ZERO,
            balance: credited,
            reserved: Units::ZERO,
            owed: Units::ZERO,
            is_revoked: false,
        }
    }

    /// Whether nothing was lost or made up.
    pub fn is_balanced(&self) -> bool {
        let parts = [self.balance, self.reserved, self.owed];
        let sum = parts.iter().try_fold(self.debited, |sum, part| sum.checked_add(*part));
        sum == Some(self.credited)
    }

    /// Sets units aside; `None`, and nothing changed, where there are not enough.
    #[must_use]
    pub(super) fn reserved(&self, units: Units) -> Option<Self> {
        let balance = self.balance.checked_sub(units)?;
        let reserved = self.reserved.checked_add(units)?;
        Some(Self { balance, reserved, ..self.clone() })
    }

    /// Ends a reservation of `reserved` units, of which `charged` are charged; `None` where the account does not hold
    /// them, which means that the store is damaged.
    #[must_use]
    pub(super) fn ended(&self, reserved: Units, charged: Units) -> Option<Self> {
        let rest = reserved.checked_sub(charged)?;
        let mut account = self.clone();
        account.reserved = self.reserved.checked_sub(reserved)?;
        account.debited = self.debited.checked_add(charged)?;
        let place = if self.is_revoked { &mut account.owed } else { &mut account.balance };
        *place = place.checked_add(rest)?;
        Some(account)
    }

    /// Nothing can be spent any more; what could is owed.
    #[must_use]
    pub(super) fn revoked(&self) -> Option<Self> {
        let owed = self.owed.checked_add(self.balance)?;
        Some(Self { balance: Units::ZERO, owed, is_revoked: true, ..self.clone() })
    }
}

impl Entry {
    /// How a reservation ended, where the line tells of that.
    pub fn ending(&self) -> Option<Ending> {
        let EntryKind::Ended { by, .. } = self.kind else { return None };
        Some(Ending { by, reserved: self.reserved, charged: self.charged, overrun: self.overrun })
    }

    pub(super) fn blank(at: u64, kind: EntryKind, account: AccountKey) -> Self {
        Self {
            at,
            kind,
            account,
            credited: Units::ZERO,
            reserved: Units::ZERO,
            charged: Units::ZERO,
            overrun: Units::ZERO,
            owed: Units::ZERO,
        }
    }
}
