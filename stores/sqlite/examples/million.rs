//! Makes a ledger with a million settled invoices in a folder, if it has none, and measures how long it takes from
//! opening it to the first answers: `million FOLDER`.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a measurement for the terminal")]

use l402::PaymentHash;
use l402_lightning::{MilliSat, Settlement};
use l402_paywall::{FeedPosition, SettlementStore as _};
use l402_store_sqlite::SqliteStore;
use std::{path::Path, time::Instant};

const ROWS: u64 = 1_000_000;
const BATCH: u64 = 20_000;
const ROUNDS: usize = 11;

fn main() {
    let folder = std::env::args().nth(1).expect("the folder to use");
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = Path::new(&folder).join("ledger.sqlite");
    fill(&path);
    let mut times: Vec<[u64; 4]> = (0..ROUNDS).map(|_| open_and_ask(&path)).collect();
    println!("| microseconds, {ROWS} settled invoices, {ROUNDS} rounds | min | median | max |");
    println!("|---|---|---|---|");
    for (column, what) in ["open", "first is_settled", "cursor and totals", "all of it"].iter().enumerate() {
        times.sort_by_key(|round| round[column]);
        let at = |round: usize| times[round][column];
        println!("| {what} | {} | {} | {} |", at(0), at(ROUNDS / 2), at(ROUNDS - 1));
    }
}

/// In batches, as the feed of a node with a long history would.
fn fill(path: &Path) {
    let store = SqliteStore::open(path).expect("a store");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut cursor = runtime.block_on(store.cursor("example")).expect("a cursor");
    while cursor < ROWS {
        let last = (cursor + BATCH).min(ROWS);
        let batch: Vec<Settlement> = (cursor + 1..=last).map(settlement).collect();
        let position = FeedPosition { feed: "example", cursor: last };
        runtime.block_on(store.record(&batch, Some(position))).expect("written");
        cursor = last;
    }
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn open_and_ask(path: &Path) -> [u64; 4] {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let micros = |since: Instant| u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
    let start = Instant::now();
    let store = SqliteStore::open(path).expect("a store");
    let opened = micros(start);
    let asked = Instant::now();
    assert_eq!(runtime.block_on(store.is_settled(settlement(ROWS / 3).payment_hash)), Ok(true));
    let answered = micros(asked);
    let asked = Instant::now();
    assert_eq!(runtime.block_on(store.cursor("example")), Ok(ROWS));
    assert_eq!(runtime.block_on(store.totals()).expect("totals").count, ROWS);
    [opened, answered, micros(asked), micros(start)]
}

fn settlement(number: u64) -> Settlement {
    let mut hash = [0x5a; 32];
    hash[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let (payment_hash, amount) = (PaymentHash::from_bytes(hash), MilliSat::from_msat(10_000));
    let invoiced = Some(amount);
    Settlement { index: number, payment_hash, amount, invoiced, settled_at: 1_800_000_000 + number }
}
