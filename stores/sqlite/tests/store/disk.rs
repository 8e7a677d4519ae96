//! A disk that takes no more: the write fails, the store says so, and nothing that it acknowledged is lost.

use crate::{
    cursor, hash, is_settled, ledger, open,
    purchases::{apply, purse, reserve, settle, sums},
    record, rows, settlement, totals,
};
use l402_paywall::{
    SettlementStore, StoreError,
    ledger::{Effect, Ledger, Operation, Purse, Units},
};
use std::{path::Path, process::Command};

/// Where the child writes; without it, the child does nothing.
const LEDGER: &str = "L402_STORE_TEST_SMALL_LEDGER";

/// Runs with a limit on the size of files, which is where its writes fail.
#[test]
#[ignore = "the process that another test starts"]
fn a_child_whose_files_cannot_grow() {
    let Ok(path) = std::env::var(LEDGER) else { return };
    let store = open(Path::new(&path));
    let mut number = 0;
    let error = loop {
        match record(&store, &[settlement(number + 1)], Some(number + 1)) {
            Ok(()) => number += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Write(_)), "{error}");
    assert_eq!(SettlementStore::fault(&store), Some(error.clone()));
    // Reads go on, writes fail at once, and nothing of them is there.
    for later in [number + 1, number + 2] {
        assert_eq!(record(&store, &[settlement(later)], Some(later)), Err(error.clone()));
        assert_eq!(is_settled(&store, hash(later)), Ok(false));
    }
    assert!((1..=number).all(|number| is_settled(&store, hash(number)) == Ok(true)));
    assert_eq!((totals(&store), cursor(&store, "node")), ((number, number * 10_000), Ok(number)));
    println!("taken {number}; {error}");
}

#[test]
fn a_full_disk_breaks_the_store_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    drop(open(&path)); // made without the limit
    let said = limited("disk::a_child_whose_files_cannot_grow", &path, 400);
    let taken = said.split("taken ").nth(1).and_then(|rest| rest.split_once(';')).expect("a count");
    let (number, error) = (taken.0.parse::<u64>().expect("a number"), taken.1);
    assert!(number > 10, "{said}");
    assert!(!error.contains(folder.path().to_str().expect("text")), "no path in {error}");

    // The disk was mended: everything acknowledged is there, and it goes on.
    let store = open(&path);
    assert!((1..=number).all(|number| is_settled(&store, hash(number)) == Ok(true)));
    assert_eq!((totals(&store), cursor(&store, "node")), ((number, number * 10_000), Ok(number)));
    record(&store, &[settlement(number + 1)], Some(number + 1)).expect("written");
    assert_eq!(SettlementStore::fault(&store), None);
    assert_eq!(rows(&path), (number + 1, (number + 1) * 10_000));
}

fn requester() -> Purse {
    Purse { pack: Units::MAX, ..purse(1) }
}

/// As above, with requests that are metered.
#[test]
#[ignore = "the process that another test starts"]
fn a_child_that_serves_until_the_disk_is_full() {
    let Ok(path) = std::env::var(LEDGER) else { return };
    let store = open(Path::new(&path));
    let mut number = 0;
    let error = loop {
        let request = reserve(number + 1, requester());
        let handle = request.handle();
        if let Err(error) = apply(&store, Operation::Reserve(request)) {
            break error;
        }
        if let Err(error) = apply(&store, settle(handle, 1)) {
            break error;
        }
        number += 1;
    };
    assert!(matches!(error, StoreError::Write(_)), "{error}");
    assert_eq!(Ledger::fault(&store), Some(error.clone()));
    // Nothing more is taken, reads go on, and nothing was half done.
    assert_eq!(apply(&store, Operation::Credit(purse(2))), Err(error.clone()));
    assert_eq!(record(&store, &[settlement(1)], None), Err(error.clone()));
    assert_eq!(sums(&store)[1], u128::from(number));
    println!("taken {number}; {error}");
}

#[test]
fn a_full_disk_stops_the_ledger_and_loses_no_acknowledged_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    drop(open(&path)); // made without the limit
    let said = limited("disk::a_child_that_serves_until_the_disk_is_full", &path, 2_000);
    let taken = said.split("taken ").nth(1).and_then(|rest| rest.split_once(';')).expect("a count");
    let number = taken.0.parse::<u64>().expect("a number");
    assert!(number > 10, "{said}");

    // The disk was mended; the step whose outcome was not known is asked for again.
    let store = open(&path);
    assert_eq!(sums(&store)[1], u128::from(number));
    let request = reserve(number + 1, requester());
    let handle = request.handle();
    assert!(matches!(apply(&store, Operation::Reserve(request)), Ok(Effect::Reserved(_))));
    assert!(matches!(apply(&store, settle(handle, 1)), Ok(Effect::Ended { is_new: true, .. })));
    assert_eq!((sums(&store)[1], sums(&store)[3]), (u128::from(number) + 1, 0));
}

/// Runs a child whose files have at most so many blocks of 512 bytes, and tells what it said.
fn limited(child: &str, path: &Path, blocks: u32) -> String {
    let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let child = Command::new("sh")
        .args(["-c", &limited])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", child, "--nocapture"])
        .env(LEDGER, path)
        .output()
        .expect("a child");
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    said
}
