//! Load on the ledger: metered requests, each one reservation and one settlement, on random ones of many accounts.
//!
//! `ledger_load FOLDER [--accounts N] [--active N] [--open N] [--callers N] [--seconds N] [--threads N] [--check]` makes a
//! ledger in FOLDER with that many accounts and open reservations, if it has fewer, and prints how long it takes to open,
//! what the disk syncs, and what the ledger does. Requests draw on all accounts alike, or on those that were bought last
//! (`--active`). With `--seconds 0` it only fills and opens; `--check` looks at the invariants.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement for the terminal"
)]

use l402::{PaymentHash, TokenId};
use l402_paywall::ledger::{Effect, Ledger as _, Operation, Purse, ReservationId, Reserve, Units};
use l402_store_sqlite::SqliteStore;
use rusqlite::{Connection, params};
use std::{
    fs::File,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// Units of each account: more than a run can spend.
const PACK: u32 = 1_000_000_000;
const FAR: u64 = 1 << 40;

struct Load {
    folder: PathBuf,
    accounts: u64,
    /// How many of them are used, the last ones.
    active: u64,
    open: u64,
    callers: u64,
    seconds: u64,
    threads: usize,
    is_checked: bool,
}

fn main() {
    let load = Load::from_arguments();
    std::fs::create_dir_all(&load.folder).expect("a folder");
    let path = load.folder.join("ledger.sqlite");
    drop(SqliteStore::open(&path).expect("a store"));
    let filled = Instant::now();
    fill_accounts(&path, load.accounts);
    fill_open(&path, load.open, load.accounts);
    println!("filled in {:.1} s, {} MB", filled.elapsed().as_secs_f64(), megabytes(&path));
    open_and_ask(&path);
    if load.seconds > 0 {
        println!("plain fsync: {:.0}/s of 4 KiB written over", plain_syncs(&load.folder));
        run(&path, &load);
    }
    if load.is_checked {
        let (store, start) = (SqliteStore::open(&path).expect("a store"), Instant::now());
        let audit = runtime(1).block_on(store.check_invariants()).expect("an audit");
        println!("checked in {:.2} s: {audit:?}", start.elapsed().as_secs_f64());
        assert_eq!(audit.breaches, []);
    }
}

impl Load {
    fn from_arguments() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let number = |name: &str, usual: u64| {
            let at = arguments.iter().position(|argument| argument == name);
            at.map_or(usual, |at| arguments.get(at + 1).and_then(|n| n.parse().ok()).expect("a number"))
        };
        let accounts = number("--accounts", 10_000);
        Self {
            folder: arguments.first().expect("the folder to use").into(),
            accounts,
            active: number("--active", accounts).min(accounts),
            open: number("--open", 0),
            callers: number("--callers", 64),
            seconds: number("--seconds", 5),
            threads: usize::try_from(number("--threads", 2)).expect("a number"),
            is_checked: arguments.iter().any(|argument| argument == "--check"),
        }
    }
}

/// Straight into the tables, because ten million purchases one by one would take their time; indexes come last.
fn fill_accounts(path: &Path, wanted: u64) {
    let mut connection = Connection::open(path).expect("a database");
    let there: i64 = connection
        .query_row("SELECT coalesce(max(id), 0) FROM account", [], |row| row.get(0))
        .expect("a count");
    let there = there.unsigned_abs();
    if there >= wanted {
        return;
    }
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -262144").expect("set");
    connection.pragma_update_and_check(None, "journal_mode", "off", |_| Ok(())).expect("set");
    let named = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'account' AND sql IS NOT NULL";
    let indexes: Vec<(String, String)> = connection
        .prepare(named)
        .and_then(|mut named| named.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .expect("indexes");
    let transaction = connection.transaction().expect("a transaction");
    for (name, _) in &indexes {
        transaction.execute_batch(&format!("DROP INDEX {name}")).expect("dropped");
    }
    {
        let account = "INSERT INTO account (id, key, token_id, service, credited, debited, balance, reserved, owed, \
                       is_revoked) VALUES (?1, ?2, ?3, 'api', ?4, 0, ?4, 0, 0, 0)";
        let line = "INSERT INTO journal (at, kind, account, opened, credited, reserved, charged, overrun, owed) \
                    VALUES (1, 1, ?1, ?2, ?3, 0, 0, 0, 0)";
        let mut account = transaction.prepare(account).expect("prepared");
        let mut line = transaction.prepare(line).expect("prepared");
        for number in there..wanted {
            let id = number.cast_signed() + 1;
            let purse = purse(number);
            let key = purse.payment_hash;
            account
                .execute(params![id, key.as_bytes(), purse.token_id.as_bytes(), PACK])
                .expect("an account");
            line.execute(params![id, key.as_bytes(), PACK]).expect("a line");
        }
    }
    for (_, sql) in &indexes {
        transaction.execute_batch(sql).expect("made");
    }
    transaction.commit().expect("written");
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).expect("set");
}

/// Through the front door.
fn fill_open(path: &Path, wanted: u64, accounts: u64) {
    let store = SqliteStore::open(path).expect("a store");
    let runtime = runtime(1);
    let now = seconds_now();
    let most = usize::try_from(wanted).expect("a number");
    let there = runtime.block_on(store.overdue(FAR, most)).expect("a list").len() as u64;
    for begin in (there..wanted).step_by(1_000) {
        let steps: Vec<_> = (begin..wanted.min(begin + 1_000))
            .map(|number| store.apply(Operation::Reserve(reserve(number % accounts)), now))
            .collect();
        runtime.block_on(async {
            for step in steps {
                assert!(matches!(step.await.expect("written"), Effect::Reserved(_)));
            }
        });
    }
}

fn open_and_ask(path: &Path) {
    let start = Instant::now();
    let store = SqliteStore::open(path).expect("a store");
    let opened = start.elapsed();
    let runtime = runtime(1);
    runtime.block_on(async {
        store.overdue(seconds_now(), 1_000).await.expect("a list");
        store.revoked_since(0).await.expect("a list");
        store.apply(Operation::Credit(purse(0)), seconds_now()).await.expect("written");
    });
    println!("opened in {:.1} ms, ready after {:.1} ms", millis(opened), millis(start.elapsed()));
}

fn run(path: &Path, load: &Load) {
    let store = Arc::new(SqliteStore::open(path).expect("a store"));
    let (before, begun) = (lines(path), commits(path));
    let accounts = load.accounts - load.active..load.accounts;
    let start = Instant::now();
    let until = start + Duration::from_secs(load.seconds);
    let mut times: Vec<u32> = runtime(load.threads).block_on(async {
        let callers: Vec<_> = (0..load.callers)
            .map(|caller| tokio::spawn(call(Arc::clone(&store), caller, accounts.clone(), until)))
            .collect();
        let mut times = Vec::new();
        for caller in callers {
            times.extend(caller.await.expect("no panic"));
        }
        times
    });
    let seconds = start.elapsed().as_secs_f64();
    let committed = commits(path).wrapping_sub(begun);
    times.sort_unstable();
    let at = |share: f64| {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share"
        )]
        let place = (times.len() as f64 * share) as usize;
        times.get(place.min(times.len().saturating_sub(1))).map_or(0.0, |micros| f64::from(*micros) / 1_000.0)
    };
    #[expect(clippy::cast_precision_loss, reason = "for the terminal")]
    let rate = |count: u64| count as f64 / seconds;
    println!(
        "{} callers, {} of {} accounts: {:.0} operations/s ({:.0} requests/s), {:.0} commits/s; \
         p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms",
        load.callers,
        load.active,
        load.accounts,
        rate(times.len() as u64),
        rate(lines(path) - before),
        rate(u64::from(committed)),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// One request after the other; how long each step took, in microseconds.
async fn call(store: Arc<SqliteStore>, caller: u64, accounts: Range<u64>, until: Instant) -> Vec<u32> {
    let mut times = Vec::new();
    let mut number = mixed(caller);
    let micros = |since: Instant| u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX);
    while Instant::now() < until {
        number = mixed(number);
        let reserve = reserve(accounts.start + number % (accounts.end - accounts.start));
        let handle = reserve.handle();
        let (start, now) = (Instant::now(), seconds_now());
        let reserved = store.apply(Operation::Reserve(reserve), now).await.expect("written");
        assert!(matches!(reserved, Effect::Reserved(_)), "{reserved:?}");
        times.push(micros(start));
        let start = Instant::now();
        let settle = Operation::Settle { handle, cost: Units::ONE, answer: None };
        let settled = store.apply(settle, now).await.expect("written");
        assert!(matches!(settled, Effect::Ended { is_new: true, .. }), "{settled:?}");
        times.push(micros(start));
    }
    times
}

fn reserve(account: u64) -> Reserve {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let mut id = [0; 16];
    id[..8].copy_from_slice(&u64::try_from(since.as_micros()).expect("a time").to_be_bytes());
    id[8..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let (id, units) = (ReservationId::from_bytes(id), Units::from(3));
    Reserve { id, purse: purse(account), units, deadline: FAR, claim: None }
}

fn purse(number: u64) -> Purse {
    Purse {
        payment_hash: PaymentHash::from_bytes(name(number)),
        token_id: TokenId::from_bytes(name(!number)),
        service: "api".parse().expect("a name"),
        pack: Units::from(PACK),
        caps: Arc::default(),
    }
}

/// Names lie apart, as hashes do.
fn name(number: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut word = number;
    for chunk in bytes.chunks_exact_mut(8) {
        word = mixed(word);
        chunk.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn plain_syncs(folder: &Path) -> f64 {
    const ROUNDS: u32 = 1_000;
    let path = folder.join("syncs");
    let file = File::create(&path).expect("a file");
    let page = [0x5a; 4096];
    file.write_all_at(&vec![0; 4096 * 64], 0).and_then(|()| file.sync_all()).expect("written");
    let start = Instant::now();
    for round in 0..ROUNDS {
        let place = u64::from(round % 64) * 4096;
        file.write_all_at(&page, place).and_then(|()| file.sync_data()).expect("synced");
    }
    let rate = f64::from(ROUNDS) / start.elapsed().as_secs_f64();
    std::fs::remove_file(path).expect("removed");
    rate
}

/// Requests that were settled: the lines of the journal.
fn lines(path: &Path) -> u64 {
    let connection = Connection::open(path).expect("a database");
    let lines: i64 = connection
        .query_row("SELECT coalesce(max(line), 0) FROM journal", [], |row| row.get(0))
        .expect("a count");
    lines.unsigned_abs()
}

/// Transactions so far: the counter in the index of the log (<https://sqlite.org/walformat.html>), at its offset 8.
fn commits(path: &Path) -> u32 {
    let mut count = [0; 4];
    let index = File::open(path.with_extension("sqlite-shm")).expect("the index of the log");
    index.read_exact_at(&mut count, 8).expect("a counter");
    u32::from_ne_bytes(count)
}

fn runtime(threads: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).build().expect("a runtime")
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
}

fn megabytes(path: &Path) -> u64 {
    std::fs::metadata(path).expect("a file").len() >> 20
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
