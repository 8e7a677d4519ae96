//! The store as a ledger.

use crate::{
    SqliteStore,
    audit::{audit, check_pages},
    pool::Pool,
    reads,
    trouble::Trouble,
    writer::FORGOTTEN_MAX,
};
use l402::TokenId;
use l402_lightning::BoxFuture;
use l402_paywall::{
    StoreError,
    ledger::{Audit, Effect, Entry, Handle, Holding, Ledger, Operation, Revocations},
};
use rusqlite::Connection;
use std::sync::Arc;
use tokio::sync::oneshot;

impl Ledger for SqliteStore {
    fn apply(&self, operation: Operation, at: u64) -> BoxFuture<'static, Result<Effect, StoreError>> {
        self.writer.step(operation, at)
    }

    fn overdue(&self, until: u64, max: usize) -> BoxFuture<'_, Result<Vec<Handle>, StoreError>> {
        let read = self.pool.read(|connection| reads::overdue(connection, until, max));
        Box::pin(std::future::ready(read))
    }

    fn forget_claims(&self, now: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            while self.writer.forget(now).await? == FORGOTTEN_MAX {}
            Ok(())
        })
    }

    fn revoked_since(&self, mark: u64) -> BoxFuture<'_, Result<Revocations, StoreError>> {
        let read = self.pool.read(|connection| reads::revoked_since(connection, mark));
        Box::pin(std::future::ready(read))
    }

    fn holding(&self, token_id: TokenId) -> BoxFuture<'_, Result<Option<Holding>, StoreError>> {
        read_aside(&self.pool, move |connection| reads::holding(connection, token_id))
    }

    fn journal(&self, after: u64, max: usize) -> BoxFuture<'_, Result<Vec<(u64, Entry)>, StoreError>> {
        read_aside(&self.pool, move |connection| reads::journal(connection, after, max))
    }

    fn check_invariants(&self) -> BoxFuture<'_, Result<Audit, StoreError>> {
        read_aside(&self.pool, audit)
    }

    fn check_storage(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        read_aside(&self.pool, check_pages)
    }

    fn fault(&self) -> Option<StoreError> {
        self.writer.fault()
    }
}

/// A read that takes its time, on a thread of its own.
fn read_aside<T: Send + 'static>(
    pool: &Arc<Pool>,
    query: impl FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
) -> BoxFuture<'static, Result<T, StoreError>> {
    let (done, told) = oneshot::channel();
    let pool = Arc::clone(pool);
    let read = move || {
        let _ = done.send(pool.read(query)); // who no longer waits need not know
    };
    let thread = std::thread::Builder::new().name("ledger read".into()).spawn(read);
    Box::pin(async move {
        match thread {
            Ok(_) => told.await.unwrap_or_else(|_| Err(StoreError::Read("its thread has ended".to_owned()))),
            Err(error) => Err(StoreError::Read(error.to_string())),
        }
    })
}
