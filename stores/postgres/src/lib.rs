//! What gateways must not forget, in one Postgres database for several of them: balances of metered tokens, revoked
//! tokens, settled invoices, and how far the feeds of nodes were followed. It is their [`Ledger`] and their
//! [`SettlementStore`].
//!
//! - One thread talks to the server, over a few connections. What waits is taken as one group: its accounts are locked in
//!   the order of their keys, what it needs is read, the ledger's state machine is run over it, and what changed is
//!   written and committed with `synchronous_commit=on`, in two exchanges. What was acknowledged survives a crash of the
//!   server.
//! - Whoever holds the lock of a purchase's account is alone with all that belongs to it. What is not there yet cannot be
//!   locked: of two gateways that insert the same key, one fails and begins anew with what the other one wrote.
//! - Deadlocks and failed serialisations are tried again. So is a group whose connection broke, even in the middle of its
//!   commit: operations are known by their keys, so that one which had happened is read back.
//! - Every wait has a bound. Past it, callers get [`StoreError::Unreachable`], and everything is refused at once until the
//!   server is back, which the store finds out by itself.
//! - Only the primary is used; a standby is refused. So is a schema of a newer version.
//!
//! Connections keep settings and prepared statements, so a connection pooler in between has to pool sessions, not
//! transactions. Durability is also the server's own business: with `fsync=off` it has none.

mod address;
mod audit;
mod columns;
mod engine;
mod failure;
mod lane;
mod load;
mod pool;
mod reading;
mod rows;
mod save;
mod schema;
mod session;
mod settlements;
mod tls;

use address::Address;
use engine::Engine;
use failure::Failure;
use l402::{PaymentHash, TokenId};
use l402_lightning::{BoxFuture, Secret, Settlement};
use l402_paywall::{
    FeedPosition, SettlementStore, SettlementTotals, StoreError,
    ledger::{Audit, Effect, Entry, Handle, Holding, Ledger, Operation, Revocations},
};
use pool::Pool;
use reading::Horizon;
use session::Session;
use settlements::Record;
use std::{fmt, sync::Arc};

/// One gateway's side of a ledger on Postgres.
///
/// Dropping it waits for the operations that were begun.
pub struct PostgresStore {
    address: Arc<Address>,
    pool: Arc<Pool>,
    horizon: Arc<Horizon>,
    engine: Engine,
}

impl PostgresStore {
    /// The schema that is used where nobody names another.
    pub const SCHEMA: &str = "octroi";

    /// Connects to the database at `url`, makes the tables in `schema` where there are none, and brings them up to date.
    /// Blocks for at most 20 seconds.
    ///
    /// The URL is `postgres://user:password@host:port/database`, with the parameters of libpq that are known here:
    /// `sslmode` and `sslrootcert` (a file, or `system`) as libpq means them, and `application_name`,
    /// `connect_timeout`, `hostaddr`, `options` and their like. Without `sslmode` a server on this machine is spoken to
    /// plainly, and any other has to prove who it is, as with `verify-full`. Neither the URL nor a part of it is ever told
    /// by this crate.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] where the URL, the password, the database or the server cannot be used; [`StoreError::Newer`]
    /// and [`StoreError::Foreign`] for a schema that is not of this version or not a ledger;
    /// [`StoreError::Unreachable`] where nobody answers.
    pub fn open(url: &Secret, schema: &str) -> Result<Self, StoreError> {
        let address = Arc::new(Address::parse(url, schema)?);
        let engine = Engine::start(&address)?;
        let pool = Arc::new(Pool::new(Arc::clone(&address)));
        Ok(Self { address, pool, horizon: Arc::default(), engine })
    }

    /// The version of the ledger in `schema`; `None` where there is none yet. Changes nothing, and blocks as
    /// [`open`](Self::open) does.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn look(url: &Secret, schema: &str) -> Result<Option<u32>, StoreError> {
        let address = Address::parse(url, schema)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failure::open_error(&error.to_string()))?;
        runtime.block_on(async {
            let session = Session::open(&address).await.map_err(Failure::of_opening)?;
            schema::look(&session, &address).await
        })
    }

    /// Asks over a connection of the pool, on the store's own thread.
    fn ask<T: Send + 'static>(
        &self,
        question: impl for<'a> Fn(&'a Session) -> BoxFuture<'a, Result<T, Failure>> + Send + Sync + 'static,
    ) -> BoxFuture<'static, Result<T, Failure>> {
        let pool = Arc::clone(&self.pool);
        self.engine.ask(async move { pool.ask(question).await })
    }

    fn read<T: Send + 'static>(
        &self,
        question: impl for<'a> Fn(&'a Session) -> BoxFuture<'a, Result<T, Failure>> + Send + Sync + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let asked = self.ask(question);
        Box::pin(async move { asked.await.map_err(Failure::of_read) })
    }
}

impl Ledger for PostgresStore {
    fn apply(&self, operation: Operation, at: u64) -> BoxFuture<'static, Result<Effect, StoreError>> {
        self.engine.apply(operation, at)
    }

    fn overdue(&self, until: u64, max: usize) -> BoxFuture<'_, Result<Vec<Handle>, StoreError>> {
        self.read(move |session| Box::pin(reading::overdue(session, until, max)))
    }

    fn forget_claims(&self, now: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        self.read(move |session| Box::pin(reading::forget_claims(session, now)))
    }

    fn revoked_since(&self, mark: u64) -> BoxFuture<'_, Result<Revocations, StoreError>> {
        self.read(move |session| Box::pin(reading::revoked_since(session, mark)))
    }

    fn holding(&self, token_id: TokenId) -> BoxFuture<'_, Result<Option<Holding>, StoreError>> {
        self.read(move |session| Box::pin(reading::holding(session, token_id)))
    }

    fn journal(&self, after: u64, max: usize) -> BoxFuture<'_, Result<Vec<(u64, Entry)>, StoreError>> {
        let lock = self.address.schema.lock_key("journal");
        let horizon = Arc::clone(&self.horizon);
        self.read(move |session| {
            let horizon = Arc::clone(&horizon);
            Box::pin(async move { reading::journal(session, &horizon, lock, after, max).await })
        })
    }

    fn check_invariants(&self) -> BoxFuture<'_, Result<Audit, StoreError>> {
        let address = Arc::clone(&self.address);
        let asked = self.engine.ask(async move { audit::audit(&address).await });
        Box::pin(async move { asked.await.map_err(Failure::of_read) })
    }

    fn fault(&self) -> Option<StoreError> {
        self.engine.trouble()
    }
}

impl SettlementStore for PostgresStore {
    fn record<'a>(
        &'a self,
        settlements: &'a [Settlement],
        feed: Option<FeedPosition<'a>>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let record = match Record::new(settlements, feed) {
            Ok(record) => Arc::new(record),
            Err(failure) => return Box::pin(std::future::ready(Err(failure.of_write()))),
        };
        let asked = self.ask(move |session| {
            let record = Arc::clone(&record);
            Box::pin(async move { record.write(session).await })
        });
        Box::pin(async move { asked.await.map_err(Failure::of_write) })
    }

    fn cursor<'a>(&'a self, feed: &'a str) -> BoxFuture<'a, Result<u64, StoreError>> {
        let feed: Arc<str> = feed.into();
        self.read(move |session| {
            let feed = Arc::clone(&feed);
            Box::pin(async move { settlements::cursor(session, &feed).await })
        })
    }

    fn is_settled(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.read(move |session| Box::pin(settlements::is_settled(session, payment_hash)))
    }

    fn totals(&self) -> BoxFuture<'_, Result<SettlementTotals, StoreError>> {
        self.read(|session| Box::pin(settlements::totals(session)))
    }

    fn fault(&self) -> Option<StoreError> {
        self.engine.trouble()
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("fault", &self.engine.trouble()).finish_non_exhaustive()
    }
}
