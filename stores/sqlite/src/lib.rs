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
//! - One gateway has the file open. Commands may read and write it at the same time ([`SqliteStore::open_beside`]); rows
//!   are remembered from one transaction to the next only while nobody else has written.
//! - Which file it was, and how far it had come, is noted beside it. Another one, such as a restored copy, is looked
//!   through before it is used.
//! - The schema only ever goes forward; a file of a newer version is refused, and so is anything that is not ours.
//!
//! It is not for several gateways at once, nor for network file systems: SQLite's log needs shared memory.

mod audit;
mod changes;
mod file;
mod ledger;
mod lock;
mod log;
mod mark;
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
use l402_lightning::{BoxFuture, Settlement};
use l402_paywall::{FeedPosition, SettlementStore, SettlementTotals, StoreError};
use lock::Lock;
use pool::Pool;
use settlements::Record;
use std::{fmt, future::ready, path::Path, sync::Arc};
use trouble::{Trouble, at};
use writer::Writer;

/// The file of one gateway, open.
///
/// Dropping it waits for the operations that were begun, and folds the log into the file.
pub struct SqliteStore {
    // Dropped in this order: the last connection to close is the writer's, which folds the log, and then the next
    // gateway may come.
    pool: Arc<Pool>,
    writer: Writer,
    _lock: Option<Arc<Lock>>,
    is_other_file: bool,
}

impl SqliteStore {
    /// Opens the file for a gateway, or makes it where there is none; its folder has to exist. Only its owner can read it
    /// then, and one that others can read is refused. So is one that another gateway has open
    /// ([`StoreError::InUse`]): a file beside it, ending in `.lock`, is locked as long as this is. That one stays, with a
    /// line that says which file the ledger was, and where that line is there without the ledger, none is made
    /// ([`StoreError::Gone`]). A file that is not the one that was open last is read through first, which takes some 15
    /// seconds for a million purchases, and refused where a unit is not where it belongs ([`StoreError::Damaged`]).
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_alone(path).map_err(|error| at(path, error))
    }

    fn open_alone(path: &Path) -> Result<Self, StoreError> {
        let lock = Arc::new(Lock::take(path)?);
        let is_new = !path.exists();
        if is_new && Self::was_open_before(path)? {
            return Err(StoreError::Gone(path.to_owned()));
        }
        let writing = file::open(path)?;
        let is_known = match lock.noted() {
            Some(noted) => noted.is_of(path, &writing).map_err(Trouble::on_reading)?,
            None => is_new,
        };
        if !is_known {
            audit::look_through(&writing).map_err(Trouble::on_reading)?;
        }
        lock.note(&writing).map_err(Trouble::on_reading)?;
        let writer = Writer::start(path, writing, Arc::clone(&lock))?;
        Ok(Self { pool: Arc::new(Pool::new(path)), writer, _lock: Some(lock), is_other_file: !is_known })
    }

    /// Whether a gateway has ever had the file with this path open, whether or not it is still there.
    pub fn was_open_before(path: &Path) -> Result<bool, StoreError> {
        Lock::was_noted(path).map_err(|error| file::open_error(path, &error))
    }

    /// Whether the file is not the one that a gateway had open before, or an older state of it: a copy that was put there.
    /// What was spent and revoked since it was made counts as unspent and good again.
    pub fn is_other_file(&self) -> bool {
        self.is_other_file
    }

    /// Opens a file that there is for a command, whether or not a gateway has it open. It can do everything; what it
    /// writes waits for the gateway's transactions and the gateway's for those, and the log is left to the gateway.
    pub fn open_beside(path: &Path) -> Result<Self, StoreError> {
        let writing = file::open_beside(path).map_err(|error| at(path, error))?;
        let writer = Writer::start_beside(path, writing)?;
        Ok(Self { pool: Arc::new(Pool::new(path)), writer, _lock: None, is_other_file: false })
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

    // These are point reads of a local file, shorter than a change of threads.

    fn cursor<'a>(&'a self, feed: &'a str) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(ready(self.pool.read(|connection| settlements::cursor(connection, feed))))
    }

    fn is_settled(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(ready(self.pool.read(|connection| settlements::is_settled(connection, payment_hash))))
    }

    fn totals(&self) -> BoxFuture<'_, Result<SettlementTotals, StoreError>> {
        Box::pin(ready(self.pool.read(settlements::totals)))
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
