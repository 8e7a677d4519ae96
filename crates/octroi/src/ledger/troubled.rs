//! A ledger for tests in which something is wrong.

use l402::TokenId;
use l402_lightning::BoxFuture;
use l402_paywall::{
    StoreError,
    ledger::{Audit, Breach, Effect, Entry, Handle, Holding, Ledger, MemoryLedger, Operation, Revocations},
};
use std::future::ready;

/// Balances in memory, behind a disk or a network that does not do everything.
#[derive(Debug, Default)]
pub(crate) struct TroubledLedger {
    pub(crate) books: MemoryLedger,
    /// Nothing that ends a reservation is written down.
    pub(crate) loses_endings: bool,
    /// What a look through it finds.
    pub(crate) breaches: Vec<Breach>,
}

impl Ledger for TroubledLedger {
    fn apply(&self, operation: Operation, at: u64) -> BoxFuture<'static, Result<Effect, StoreError>> {
        if self.loses_endings && matches!(operation, Operation::Settle { .. } | Operation::Release(_)) {
            return Box::pin(ready(Err(StoreError::Write("no space left".to_owned()))));
        }
        self.books.apply(operation, at)
    }

    fn overdue(&self, until: u64, max: usize) -> BoxFuture<'_, Result<Vec<Handle>, StoreError>> {
        self.books.overdue(until, max)
    }

    fn forget_claims(&self, now: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        self.books.forget_claims(now)
    }

    fn revoked_since(&self, mark: u64) -> BoxFuture<'_, Result<Revocations, StoreError>> {
        self.books.revoked_since(mark)
    }

    fn holding(&self, token_id: TokenId) -> BoxFuture<'_, Result<Option<Holding>, StoreError>> {
        self.books.holding(token_id)
    }

    fn journal(&self, after: u64, max: usize) -> BoxFuture<'_, Result<Vec<(u64, Entry)>, StoreError>> {
        self.books.journal(after, max)
    }

    fn check_invariants(&self) -> BoxFuture<'_, Result<Audit, StoreError>> {
        let breaches = self.breaches.clone();
        Box::pin(ready(Ok(Audit { breaches, ..self.books.audit() })))
    }

    fn fault(&self) -> Option<StoreError> {
        None
    }
}
