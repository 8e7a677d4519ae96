//! What a gateway must not forget, in one SQLite file: which invoices were settled, and how far a node's feed of
//! settlements was followed. It is the [`SettlementStore`] of gateways that run alone.
//!
//! - One thread writes. It takes everything that waits into one transaction and answers after the commit, which is on
//!   the disk by then (write-ahead log, `synchronous=FULL`). What was acknowledged survives a crash of the machine.
//! - Readers have connections of their own and never wait for the writer.
//! - A write that fails breaks the store: what the disk holds is no longer certain, so nothing more is taken until a
//!   restart has read it again. Reads go on.
//! - Nothing is read ahead and nothing is counted at the start: a file with a million invoices opens like an empty one.
//! - The schema only ever goes forward; a file of a newer version is refused, and so is anything that is not ours.
//!
//! It is not for several gateways at once, nor for network file systems: SQLite's log needs shared memory.

mod file;
mod pool;
mod writer;

use l402::PaymentHash;
use l402_lightning::{BoxFuture, MilliSat, Settlement};
use l402_paywall::{FeedPosition, SettlementStore, SettlementTotals, StoreError};
use pool::Pool;
use rusqlite::{OptionalExtension as _, params};
use std::{fmt, path::Path};
use writer::Writer;

/// The file of one gateway, open.
///
/// Dropping it waits for the operations that were begun, and folds the log into the file.
pub struct SqliteStore {
    // Dropped in this order: the last connection to close is the writer's, which folds the log.
    pool: Pool,
    writer: Writer,
}

impl SqliteStore {
    /// Opens the file, or makes it where there is none; its folder has to exist. Only its owner can read it then, and one
    /// that others can read is refused.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let writing = file::open(path)?;
        Ok(Self { pool: Pool::new(path), writer: Writer::start(path, writing)? })
    }
}

impl SettlementStore for SqliteStore {
    fn record<'a>(
        &'a self,
        settlements: &'a [Settlement],
        feed: Option<FeedPosition<'a>>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.writer.record(settlements, feed))
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
            statement.exists(params![payment_hash.as_bytes()])
        })
    }

    fn totals(&self) -> Result<SettlementTotals, StoreError> {
        self.pool.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT count, amount_msat FROM totals")?;
            statement.query_row([], |row| {
                let (count, amount): (i64, i64) = (row.get(0)?, row.get(1)?);
                let amount = MilliSat::from_msat(amount.unsigned_abs());
                Ok(SettlementTotals { count: count.unsigned_abs(), amount })
            })
        })
    }

    fn fault(&self) -> Option<StoreError> {
        self.writer.fault()
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("fault", &self.fault()).finish_non_exhaustive()
    }
}
