//! The store against a real server: Debian's Postgres, started by these tests. `stores/postgres/run` runs them.

#![expect(clippy::expect_used, clippy::panic, reason = "a step that fails ends the test")]

mod contract;
mod crowd;
mod cuts;
mod opening;
mod power;
mod proxy;
mod server;
mod settlements;
mod sharing;

use l402::{PaymentHash, TokenId};
use l402_lightning::Secret;
use l402_paywall::{
    StoreError,
    ledger::{
        AccountKey, Audit, Effect, Handle, Ledger, Operation, Purse, ReservationId, Reserve, Totals, Units,
    },
};
use l402_store_postgres::PostgresStore;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// When everything happens, in Unix seconds.
const NOW: u64 = 1_700_000_000;
/// A test that waits longer than this for something has failed.
const PATIENCE: Duration = Duration::from_mins(1);

/// A number that no other part of this process has.
fn fresh_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A schema that nobody has used.
fn fresh_schema() -> String {
    format!("ledger_{}", fresh_number())
}

fn open(url: &Secret, schema: &str) -> PostgresStore {
    PostgresStore::open(url, schema).expect("a store")
}

/// Gateways with one ledger.
fn gateways(url: &Secret, schema: &str, count: usize) -> Vec<Arc<PostgresStore>> {
    (0..count).map(|_| Arc::new(open(url, schema))).collect()
}

/// A token of this number that was paid for.
fn purse(number: u64, pack: u64) -> Purse {
    let bytes = |salt: u8| {
        let mut bytes = [salt; 32];
        // Numbers that follow each other lie apart, as hashes do.
        bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        bytes[31] = bytes[0];
        bytes
    };
    Purse {
        payment_hash: PaymentHash::from_bytes(bytes(1)),
        token_id: TokenId::from_bytes(bytes(2)),
        service: "weather".try_into().expect("a name"),
        pack: units(pack),
        caps: Arc::from([]),
    }
}

fn units(count: u64) -> Units {
    Units::new(count).expect("units that can be counted")
}

/// A request of `count` units with a name of its own.
fn request(purse: &Purse, count: u64) -> Reserve {
    let id = ReservationId::from_bytes(u128::from(fresh_number()).to_be_bytes());
    Reserve { id, purse: purse.clone(), units: units(count), deadline: NOW + 60, claim: None }
}

fn settle(handle: Handle, cost: u64) -> Operation {
    Operation::Settle { handle, cost: units(cost), answer: None }
}

fn account_of(purse: &Purse) -> AccountKey {
    AccountKey::of_payment(purse.payment_hash)
}

async fn apply(store: &PostgresStore, operation: Operation) -> Result<Effect, StoreError> {
    tokio::time::timeout(PATIENCE, store.apply(operation, NOW)).await.expect("an answer within bounds")
}

/// Asks until it is answered, as whoever does not know the outcome has to.
async fn insist(store: &PostgresStore, operation: &Operation) -> Effect {
    let asked = async {
        loop {
            match store.apply(operation.clone(), NOW).await {
                Ok(effect) => return effect,
                Err(StoreError::Unreachable(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(other) => panic!("{operation:?}: {other}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("an answer in the end")
}

/// Every unit is where it belongs.
async fn audit(store: &PostgresStore) -> Audit {
    let audit = store.check_invariants().await.expect("an audit");
    assert_eq!(audit.breaches, []);
    let Totals { credited, debited, balance, reserved, owed } = audit.totals;
    assert_eq!(credited, debited + balance + reserved + owed);
    audit
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "{what}");
}
