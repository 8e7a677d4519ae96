//! Load on the ledger: metered requests, each one reservation and one settlement, on random ones of many accounts.
//!
//! `DATABASE_URL=.. ledger_load_postgres [--accounts N] [--callers N] [--gateways N] [--seconds N] [--check]` makes a
//! ledger in the schema `octroi_load` with that many accounts, if it has fewer, and prints what it does. `--check` looks at
//! the invariants afterwards.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement for the terminal"
)]

use l402::{PaymentHash, TokenId};
use l402_lightning::Secret;
use l402_paywall::ledger::{Effect, Ledger as _, Operation, Purse, ReservationId, Reserve, Units};
use l402_store_postgres::PostgresStore;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// Units of each account: more than a run can spend.
const PACK: u32 = 1_000_000_000;
/// Unix seconds, later than any run.
const FAR: u64 = 1 << 40;
const SCHEMA: &str = "octroi_load";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, usual: u64| {
        let at = arguments.iter().position(|argument| argument == name);
        at.map_or(usual, |at| arguments.get(at + 1).and_then(|n| n.parse().ok()).expect("a number"))
    };
    let (accounts, callers) = (number("--accounts", 10_000), number("--callers", 64));
    let (gateways, seconds) = (number("--gateways", 1), number("--seconds", 5));
    let url = Secret::from_text(std::env::var("DATABASE_URL").expect("DATABASE_URL"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let opened = Instant::now();
    let stores: Vec<_> =
        (0..gateways).map(|_| Arc::new(PostgresStore::open(&url, SCHEMA).expect("a store"))).collect();
    println!("{gateways} opened in {:.3} s", opened.elapsed().as_secs_f64());
    let store = |caller: u64| Arc::clone(&stores[usize::try_from(caller % gateways).expect("small")]);
    runtime.block_on(fill(&store(0), accounts));
    let (served, waited_us) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (start, end) = (Instant::now(), Instant::now() + Duration::from_secs(seconds));
    runtime.block_on(async {
        let callers: Vec<_> = (0..callers)
            .map(|caller| {
                let call =
                    call(store(caller), caller, accounts, end, Arc::clone(&served), Arc::clone(&waited_us));
                tokio::spawn(call)
            })
            .collect();
        for caller in callers {
            caller.await.expect("no panic");
        }
    });
    let (served, waited) = (served.load(Ordering::Relaxed), waited_us.load(Ordering::Relaxed));
    let rate = u128::from(served) * 1_000 / start.elapsed().as_millis().max(1);
    println!("{rate} requests/s, {} us mean for both steps", waited / served.max(1));
    if arguments.iter().any(|argument| argument == "--check") {
        let start = Instant::now();
        let audit = runtime.block_on(store(0).check_invariants()).expect("an audit");
        println!("checked in {:.2} s: {audit:?}", start.elapsed().as_secs_f64());
        assert_eq!(audit.breaches, []);
    }
}

async fn fill(store: &PostgresStore, accounts: u64) {
    let there = store.check_invariants().await.expect("an audit").purchases;
    let start = Instant::now();
    let mut waiting = std::collections::VecDeque::new();
    for number in there..accounts {
        waiting.push_back(store.apply(Operation::Credit(purse(number)), 1));
        if waiting.len() >= 4_000 {
            waiting.pop_front().expect("a step").await.expect("taken");
        }
    }
    for step in waiting {
        step.await.expect("taken");
    }
    println!("{} accounts made in {:.1} s", accounts.saturating_sub(there), start.elapsed().as_secs_f64());
}

/// One request after the other until the end.
async fn call(
    store: Arc<PostgresStore>,
    caller: u64,
    accounts: u64,
    end: Instant,
    served: Arc<AtomicU64>,
    waited_us: Arc<AtomicU64>,
) {
    let mut random = u64::try_from(nanos_now() % (1 << 31)).expect("31 bits") << 32 | caller << 1 | 1;
    while Instant::now() < end {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Grows with time, as a gateway's do.
        let id = ReservationId::from_bytes((nanos_now() << 32 | u128::from(random >> 32)).to_be_bytes());
        let purse = purse(random % accounts);
        let reserve = Reserve { id, purse, units: Units::from(3), deadline: FAR, claim: None };
        let (handle, start) = (reserve.handle(), Instant::now());
        let reserved = store.apply(Operation::Reserve(reserve), 1).await.expect("taken");
        assert!(matches!(reserved, Effect::Reserved(_)), "{reserved:?}");
        let settle = Operation::Settle { handle, cost: Units::ONE, answer: None };
        store.apply(settle, 1).await.expect("taken");
        let waited = u64::try_from(start.elapsed().as_micros()).expect("not for ever");
        waited_us.fetch_add(waited, Ordering::Relaxed);
        served.fetch_add(1, Ordering::Relaxed);
    }
}

fn nanos_now() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_nanos()
}

fn purse(number: u64) -> Purse {
    let mut bytes = [0x33; 32];
    // Spread over the table as hashes are, and over the lanes.
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes[31] = bytes[0];
    Purse {
        payment_hash: PaymentHash::from_bytes(bytes),
        token_id: TokenId::from_bytes(bytes.map(|byte| !byte)),
        service: "load".try_into().expect("a name"),
        pack: Units::from(PACK),
        caps: Arc::from([]),
    }
}
