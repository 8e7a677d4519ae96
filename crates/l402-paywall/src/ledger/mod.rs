//! Balances of metered tokens: what was bought, what is set aside for requests under way, what was charged.
//!
//! [`Book`] is the state machine and does no I/O. A [`Ledger`] keeps its rows, each operation one durable step; the stores
//! are crates of their own, and [`MemoryLedger`] forgets everything. In every account
//! `credited = debited + balance + reserved + owed`, at every instant.

mod account;
mod book;
mod memory;
mod operation;
mod units;

pub use account::{Account, ClaimRecord, ClaimState, Entry, EntryKind, Owner, Reservation};
pub use book::{Book, BookError, Changes, TokenRecord};
pub use memory::MemoryLedger;
pub use operation::{
    Abandoned, AccountKey, Cap, Claim, Claimed, Effect, EndedBy, Ending, Handle, Needs, Operation, Purse,
    ReservationId, Reserve, Standing,
};
pub use units::Units;

use crate::StoreError;
use l402::TokenId;
use l402_lightning::BoxFuture;

/// Where balances are kept.
///
/// Reads of money see every step that was acknowledged before them.
pub trait Ledger: Send + Sync {
    /// Does one step at `at` (Unix seconds). It is under way when this returns, whether or not anybody waits: when the
    /// future is ready, the step survives a crash of the machine. After an error its outcome may be unknown, and it can
    /// be asked for again.
    fn apply(&self, operation: Operation, at: u64) -> BoxFuture<'static, Result<Effect, StoreError>>;

    /// At most `max` open reservations whose deadline is `until` (Unix seconds) or earlier, those with the earliest deadlines
    /// first.
    fn overdue(&self, until: u64, max: usize) -> BoxFuture<'_, Result<Vec<Handle>, StoreError>>;

    /// Forgets the answers of claims that have expired by `now` (Unix seconds). Those of requests under way stay.
    fn forget_claims(&self, now: u64) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Tokens that were revoked after `mark`, by whomever; 0 is the beginning.
    fn revoked_since(&self, mark: u64) -> BoxFuture<'_, Result<Revocations, StoreError>>;

    /// What a token has; `None` if nothing was ever booked for it.
    fn holding(&self, token_id: TokenId) -> BoxFuture<'_, Result<Option<Holding>, StoreError>>;

    /// At most `max` lines of the journal behind line `after`, in order; lines are numbered from 1, perhaps with gaps.
    fn journal(&self, after: u64, max: usize) -> BoxFuture<'_, Result<Vec<(u64, Entry)>, StoreError>>;

    /// Looks whether every unit is where it belongs. Reads everything, and sees one state of it.
    fn check_invariants(&self) -> BoxFuture<'_, Result<Audit, StoreError>>;

    /// Whether everything that is stored can be read and found again, as far as the store can tell by itself: beyond the
    /// units, its pages and indexes. Can take minutes. A database server looks after that itself.
    fn check_storage(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Why it no longer takes anything, if it does not.
    fn fault(&self) -> Option<StoreError>;
}

/// Tokens that were revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    /// Where to go on asking.
    pub mark: u64,
    /// The tokens.
    pub tokens: Vec<TokenId>,
}

/// What a token has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The account of its purchase.
    pub account: Account,
    /// Its open reservations.
    pub open: Vec<Reservation>,
    /// Its delegated budgets, as far as they were used.
    pub caps: Vec<(AccountKey, Account)>,
}

/// What [`Ledger::check_invariants`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Purchases.
    pub purchases: u64,
    /// Delegated budgets.
    pub caps: u64,
    /// Open reservations.
    pub open: u64,
    /// Sums over all purchases.
    pub totals: Totals,
    /// What does not hold; the first hundred of it.
    pub breaches: Vec<Breach>,
}

/// Sums over all purchases. Wider than any account, because they may exceed what one can hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Everything that was put in.
    pub credited: u128,
    /// Everything that was charged.
    pub debited: u128,
    /// What can be spent.
    pub balance: u128,
    /// What is set aside.
    pub reserved: u128,
    /// What is owed to buyers of revoked tokens.
    pub owed: u128,
}

/// A unit that is not where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// `credited = debited + balance + reserved + owed` does not hold.
    #[error("{0:?}: credited is not debited + balance + reserved + owed")]
    Unbalanced(AccountKey),
    /// The account's reserved units are not the sum of its open reservations.
    #[error("{0:?}: reserved is not the sum of its open reservations")]
    Reserved(AccountKey),
    /// The account's credited units are not what the journal says was put in.
    #[error("{0:?}: credited is not what the journal says")]
    Credited(AccountKey),
    /// The account's debited units are not what the journal says was charged.
    #[error("{0:?}: debited is not what the journal says")]
    Debited(AccountKey),
    /// The account's owed units are not what the journal says.
    #[error("{0:?}: owed is not what the journal says")]
    Owed(AccountKey),
    /// A reservation draws on an account that is not there.
    #[error("{0:?} draws on an account that is not there")]
    Orphan(ReservationId),
}

impl Audit {
    /// Most breaches that are told.
    pub const BREACHES_MAX: usize = 100;

    /// Counts an account, and adds up what it holds if it is a purchase: budgets hold nothing of their own.
    pub fn count(&mut self, account: &Account) {
        match account.owner {
            Owner::Cap(_) => self.caps += 1,
            Owner::Purchase { .. } => {
                self.purchases += 1;
                self.totals.credited += u128::from(account.credited.get());
                self.totals.debited += u128::from(account.debited.get());
                self.totals.balance += u128::from(account.balance.get());
                self.totals.reserved += u128::from(account.reserved.get());
                self.totals.owed += u128::from(account.owed.get());
            }
        }
    }
}
