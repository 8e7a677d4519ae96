//! One gateway has the file; commands may come beside it.

use crate::{
    ledger, open,
    purchases::{apply, audit, book, purse, reserve, settle, sums, token},
    wait,
};
use l402_paywall::{
    StoreError,
    ledger::{Effect, Ledger as _, Operation},
};
use l402_store_sqlite::SqliteStore;
use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

#[test]
fn a_second_gateway_is_refused_until_the_first_has_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    for _ in 0..3 {
        let first = open(&path);
        let refused = SqliteStore::open(&path).expect_err("in use");
        assert_eq!(refused, StoreError::InUse(path.clone()));
        assert!(refused.hint().contains("data_dir"));
        apply(&first, Operation::Credit(purse(1))).expect("the first goes on");
    }
    let _other = open(&folder.path().join("other.sqlite"));
    assert_eq!(sums(&open(&path)), [20, 0, 20, 0, 0]);
}

/// With a new one, every token that was sold by the unit would be worth its whole pack again.
#[test]
fn a_ledger_that_is_gone_is_not_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    drop(open(&path));
    fs::remove_file(&path).expect("removed");
    for _ in 0..2 {
        assert_eq!(SqliteStore::open(&path).expect_err("gone"), StoreError::Gone(path.clone()));
    }
    assert!(!path.exists());
    fs::remove_file(folder.path().join("ledger.sqlite.lock")).expect("removed");
    drop(open(&path));
}

/// The lock is taken before the ledger is made, so that two gateways never make it at once.
#[test]
fn a_gateway_that_died_before_it_made_the_ledger_is_in_no_ones_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    fs::write(folder.path().join("ledger.sqlite.lock"), "").expect("written");
    assert_eq!(SqliteStore::was_open_before(&path), Ok(false));
    drop(open(&path));
    assert_eq!(SqliteStore::was_open_before(&path), Ok(true));
}

#[test]
fn a_command_beside_makes_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    let refused = SqliteStore::open_beside(&path).expect_err("nothing there");
    assert!(matches!(refused, StoreError::Open { path: told, .. } if told == path));
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

/// The gateway keeps rows from one step to the next, and reads them again when somebody else has written.
#[test]
fn each_sees_what_the_other_has_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    let gateway = open(&path);
    apply(&gateway, Operation::Credit(purse(1))).expect("credited");
    let command = SqliteStore::open_beside(&path).expect("beside");
    for number in 1..=18 {
        let (one, other) = if number % 3 == 0 { (&command, &gateway) } else { (&gateway, &command) };
        apply(one, Operation::Reserve(reserve(number, purse(1)))).expect("reserved");
        apply(other, settle(reserve(number, purse(1)).handle(), 1)).expect("settled");
    }
    assert_eq!(sums(&gateway), [20, 18, 2, 0, 0]);
    let spent = apply(&gateway, Operation::Reserve(reserve(19, purse(1)))).expect("an answer");
    assert!(matches!(spent, Effect::Short(_)), "{spent:?}");
    assert_eq!(audit(&command).breaches, []);
}

/// A command revokes while the gateway is busy: it comes through, and the gateway's next step obeys.
#[test]
fn a_command_revokes_while_a_gateway_is_serving() {
    const CALLERS: u64 = 8;
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    let gateway = open(&path);
    let (is_over, is_busy) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (gateway, is_over, is_busy) = (&gateway, &is_over, &is_busy);
            scope.spawn(move || {
                serve(gateway, caller, is_over, is_busy);
            });
        }
        while !is_busy.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        for number in 100..110 {
            let command = SqliteStore::open_beside(&path).expect("beside");
            assert!(matches!(apply(&command, Operation::Credit(purse(number))), Ok(Effect::Credited { .. })));
            let revoked = apply(&command, Operation::Revoke(token(number))).expect("revoked");
            assert!(matches!(revoked, Effect::Withdrawn { is_new: true, .. }), "{revoked:?}");
            drop(command);
            assert_eq!(
                apply(&gateway, Operation::Reserve(reserve(number, purse(number)))),
                Ok(Effect::Revoked)
            );
            let told = wait(gateway.revoked_since(number - 100)).expect("a list");
            assert_eq!((told.tokens, told.mark), (vec![token(number)], number - 99));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(audit(&gateway).breaches, []);
    let beside = audit(&SqliteStore::open_beside(&path).expect("beside"));
    assert_eq!(audit(&gateway), beside);
    drop(gateway);
    assert_eq!(audit(&open(&path)), beside);
}

fn serve(gateway: &SqliteStore, caller: u64, is_over: &AtomicBool, is_busy: &AtomicBool) {
    for number in (caller << 32).. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let request = reserve(number + 1_000, purse(caller));
        let handle = request.handle();
        let reserved = apply(gateway, Operation::Reserve(request)).expect("written");
        assert!(matches!(reserved, Effect::Reserved(_)), "{reserved:?}");
        assert!(apply(gateway, settle(handle, 0)).is_ok());
        is_busy.store(true, Ordering::Relaxed);
    }
}

/// The log is folded while the gateway runs, by a thread of its own and to the end, so that it does not grow for ever.
#[test]
fn a_long_log_is_folded_and_begun_anew_while_the_gateway_runs() {
    const EACH: u64 = 1_000;
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    let store = open(&path);
    let mut booked = 1;
    book(&store, 0..booked);
    let begun = beginnings(&path);
    while beginnings(&path) == begun {
        assert!(booked < 200 * EACH, "the log goes on and on");
        book(&store, booked..booked + EACH);
        booked += EACH;
    }
    let audit = audit(&store);
    assert_eq!((audit.purchases, audit.breaches), (booked, vec![]));
}

/// How often the log was begun anew: the sequence number in its header (<https://sqlite.org/fileformat.html>).
fn beginnings(path: &Path) -> [u8; 4] {
    let mut count = [0; 4];
    let log = fs::File::open(path.with_extension("sqlite-wal")).expect("a log");
    log.read_exact_at(&mut count, 12).expect("a header");
    count
}
