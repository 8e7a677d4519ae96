//! The store through its public door: what it acknowledges stays, what it cannot read it refuses.

#![expect(clippy::expect_used, reason = "a step that fails ends the test")]

mod balances;
mod copies;
mod crash;
mod damage;
mod disk;
mod ledger_crash;
mod ledger_model;
mod model;
mod opening;
mod purchases;
mod records;
mod sharing;

use l402::PaymentHash;
use l402_lightning::{MilliSat, Settlement};
use l402_paywall::{FeedPosition, SettlementStore as _, SettlementTotals, StoreError};
use l402_store_sqlite::SqliteStore;
use std::path::{Path, PathBuf};

/// A settlement of ten satoshi with this number.
fn settlement(number: u64) -> Settlement {
    let amount = MilliSat::from_msat(10_000);
    Settlement {
        index: number,
        payment_hash: hash(number),
        amount,
        invoiced: Some(amount),
        settled_at: 1_800_000_000,
    }
}

/// The same, of which so much was more than the invoice asked for.
fn overpaid_settlement(number: u64, excess: u64) -> Settlement {
    Settlement { invoiced: Some(MilliSat::from_msat(10_000 - excess)), ..settlement(number) }
}

fn hash(number: u64) -> PaymentHash {
    let mut bytes = [0x11; 32];
    // Numbers that follow each other lie apart, as hashes do.
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    PaymentHash::from_bytes(bytes)
}

/// The ledger in a folder.
fn ledger(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("ledger.sqlite")
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path).expect("a store")
}

/// Records and waits.
fn record(store: &SqliteStore, batch: &[Settlement], cursor: Option<u64>) -> Result<(), StoreError> {
    let feed = cursor.map(|cursor| FeedPosition { feed: "node", cursor });
    wait(store.record(batch, feed))
}

fn totals(store: &SqliteStore) -> (u64, u64) {
    let SettlementTotals { count, amount, .. } = wait(store.totals()).expect("totals");
    (count, amount.as_msat())
}

/// How many were overpaid, and by how much in all.
fn overpaid(store: &SqliteStore) -> (u64, u64) {
    let SettlementTotals { overpaid, excess, .. } = wait(store.totals()).expect("totals");
    (overpaid, excess.as_msat())
}

fn cursor(store: &SqliteStore, feed: &str) -> Result<u64, StoreError> {
    wait(store.cursor(feed))
}

fn is_settled(store: &SqliteStore, payment_hash: PaymentHash) -> Result<bool, StoreError> {
    wait(store.is_settled(payment_hash))
}

/// What the table itself holds: rows, and the sum of their amounts.
fn rows(path: &Path) -> (u64, u64) {
    let connection = rusqlite::Connection::open(path).expect("a database");
    let counted = "SELECT count(*), coalesce(sum(amount_msat), 0) FROM settled";
    let counted = connection.query_row(counted, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
    let (count, amount) = counted.expect("a count");
    (count.unsigned_abs(), amount.unsigned_abs())
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}
