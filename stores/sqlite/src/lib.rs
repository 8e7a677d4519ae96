//! What a gateway must not forget, in one SQLite file: the balances of metered tokens, which invoices were settled, and
//! how far a node's feed of settlements was followed. It is the [`Ledger`] and the [`SettlementStore`] of gateways that run
//! alone.
//!
//! - One thread writes. It takes everything that waits into one transaction and answers after the commit, which is on
//!   the disk by then (write-ahead log, `synchronous=FULL`). What was acknowledged survives a crash of the machine. A
//!   balance that many requests of one transaction change is read once and written once.
//! - Readers have connections of their own and never wait for the writer.
//! - A write that fails breaks the store: what the disk holds is no longer certain, so nothing more is taken until a
//!   restart has read it again. Reads go on.
//! - Nothing is read ahead and nothing is counted at the start: a file with a million balances opens like an empty one.
//! - One gateway has the file open. Commands may read and write it at the same time ([`SqliteStore::open_beside`]), so
//!   no row is remembered from one transaction to the next.
//! - The schema only ever goes forward; a file of a newer version is refused, and so is anything that is not ours.
//!
//! It is not for several gateways at once, nor for network file systems: SQLite's log needs shared memory.

mod audit;
mod changes;
mod file;
mod ledger;
mod lock;
mod log;
mod pool;
mod reads;
mod row;
mod settlements;
mod sheet;
mod trouble;
mod writer;

#[cfg(doc)]
use l402_paywall::ledger::Ledger;

use l402::PaymentHash;
use l402_lightning::{BoxFuture, MilliSat, Settlement};
use l402_paywall::{FeedPosition, SettlementStore, SettlementTotals, StoreError};
use lock::Lock;
use pool::Pool;
use rusqlite::{OptionalExtension as _, params};
use settlements::Record;
use std::{fmt, path::Path, sync::Arc};
use writer::Writer;

/// The file of one gateway, open.
///
/// Dropping it waits for the operations that were begun, and folds the log into the file.
pub struct SqliteStore {
    // Dropped in this order: the last connection to close is the writer's, which folds the log, and then the next
    // gateway may come.
    pool: Arc<Pool>,
    writer: Writer,
    _lock: Option<Lock>,
}

impl SqliteStore {
    /// Opens the file for a gateway, or makes it where there is none; its folder has to exist. Only its owner can read it
    /// then, and one that others can read is refused. So is one that another gateway has open
    /// ([`StoreError::InUse`]): a file beside it, ending in `.lock`, is locked as long as this is. That one stays, and where
    /// it is there without the ledger, none is made ([`StoreError::Gone`]).
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let was_there = Lock::was_taken(path);
        let lock = Lock::take(path)?;
        if was_there && !path.exists() {
            return Err(StoreError::Gone(path.to_owned()));
        }
        let writing = file::open(path).inspect_err(|_| {
            if !path.exists() {
                Lock::forget(path); // there is nothing yet that could be gone
            }
        })?;
        let writer = Writer::start(path, writing)?;
        Ok(Self { pool: Arc::new(Pool::new(path)), writer, _lock: Some(lock) })
    }

    /// Opens a file that there is for a command, whether or not a gateway has it open. It can do everything; what it
    /// writes waits for the gateway's transactions and the gateway's for those, and the log is left to the gateway.
    pub fn open_beside(path: &Path) -> Result<Self, StoreError> {
        let writing = file::open_beside(path)?;
        let writer = Writer::start_beside(path, writing)?;
        Ok(Self { pool: Arc::new(Pool::new(path)), writer, _lock: None })
    }
}

impl SettlementStore for SqliteStore {
    fn record<'a>(
        &'a self,
        settlements: &'a [Settlement],
        feed: Option<FeedPosition<'a>>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let feed = feed.map(|FeedPosition { feed, cursor }| (feed.to_owned(), cursor));
        self.writer.record(Record { settlements: settlements.to_vec(), feed })
    }

    fn cursor(&self, feed: &str) -> Result<u64, StoreError> {
        self.pool.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT cursor FROM feed WHERE name = ?1")?;
            let cursor: Option<i64> = statement.query_row([feed], |row| row.get(0)).optional()?;
            Ok(cursor.map_or(0, i64::unsigned_abs))
        })
    }

    fn is_settled(&self, payment_hash: PaymentHash) -> Result<bool, StoreError> {
        self.pool.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT 1 FROM settled WHERE payment_hash = ?1")?;
            Ok(statement.exists(params![payment_hash.as_bytes()])?)
        })
    }

    fn totals(&self) -> Result<SettlementTotals, StoreError> {
        self.pool.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT count, amount_msat FROM totals")?;
            let (count, amount) = statement
                .query_row([], |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?)))?;
            Ok(SettlementTotals { count, amount: MilliSat::from_msat(amount.unsigned_abs()) })
        })
    }

    fn fault(&self) -> Option<StoreError> {
        self.writer.fault()
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("fault", &self.writer.fault()).finish_non_exhaustive()
    }
}
