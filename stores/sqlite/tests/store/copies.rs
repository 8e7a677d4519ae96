//! A file that was put in the ledger's place: looked through before it is used.

use crate::{
    ledger, open,
    purchases::{apply, audit, purse, reserve, settle},
    wait,
};
use l402_paywall::{
    StoreError,
    ledger::{Ledger as _, Operation},
};
use l402_store_sqlite::SqliteStore;
use rusqlite::Connection;
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

/// Spends a unit of this purchase.
fn spend(store: &SqliteStore, number: u64) {
    apply(store, Operation::Reserve(reserve(number, purse(number)))).expect("reserved");
    apply(store, settle(reserve(number, purse(number)).handle(), 1)).expect("settled");
}

/// The file alone, as a backup makes it.
fn copy(from: &Path, to: &Path) {
    let connection = Connection::open(from).expect("a database");
    connection.execute("VACUUM INTO ?1", [to.to_str().expect("text")]).expect("copied");
    fs::set_permissions(to, fs::Permissions::from_mode(0o600)).expect("set");
}

fn edit(path: &Path, sql: &str) {
    let connection = Connection::open(path).expect("a database");
    connection
        .execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA writable_schema = ON")
        .expect("set");
    connection.execute_batch(sql).expect(sql);
}

#[test]
fn the_file_that_was_served_last_is_known_again_and_a_copy_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    let store = open(&path);
    assert!(!store.is_other_file(), "it was made here");
    spend(&store, 1);
    drop(store);
    let older = folder.path().join("copy.sqlite");
    copy(&path, &older);
    let store = open(&path);
    assert!(!store.is_other_file());
    spend(&store, 2);
    drop(store);
    assert!(!open(&path).is_other_file());

    fs::rename(&older, &path).expect("moved");
    let store = open(&path);
    assert!(store.is_other_file());
    assert_eq!(audit(&store).breaches, []);
    drop(store);
    assert!(!open(&path).is_other_file(), "by now it is the one");
}

#[test]
fn an_older_state_of_the_same_file_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    spend(&open(&path), 1);
    let older = fs::read(&path).expect("bytes");
    spend(&open(&path), 2);
    drop(open(&path));
    fs::write(&path, older).expect("written over");
    assert!(open(&path).is_other_file());
}

/// As `cp` puts it there: the file stays the same.
#[test]
fn a_copy_that_was_made_while_it_was_served_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    let aside = folder.path().join("copy.sqlite");
    let store = open(&path);
    spend(&store, 1);
    copy(&path, &aside);
    spend(&store, 2);
    drop(store);
    fs::write(&path, fs::read(&aside).expect("bytes")).expect("written over");
    assert!(open(&path).is_other_file());
    assert!(!open(&path).is_other_file(), "by now it is the one");
}

/// Its journal is longer than the one that was there.
#[test]
fn another_ledger_that_is_written_over_this_one_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, other) = (ledger(&folder), folder.path().join("other.sqlite"));
    spend(&open(&path), 1);
    let store = open(&other);
    (2..9).for_each(|number| spend(&store, number));
    drop(store);
    fs::write(&path, fs::read(&other).expect("bytes")).expect("written over");
    assert!(open(&path).is_other_file());
}

/// A command may write while no gateway runs.
#[test]
fn what_a_command_wrote_makes_it_no_other_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    drop(open(&path));
    spend(&SqliteStore::open_beside(&path).expect("beside"), 1);
    assert!(!open(&path).is_other_file());
}

#[test]
fn a_copy_whose_units_are_not_where_they_belong_is_refused_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    spend(&open(&path), 1);
    let wrong = folder.path().join("copy.sqlite");
    copy(&path, &wrong);
    edit(&wrong, "UPDATE account SET debited = 0, balance = balance + 1");
    fs::rename(&wrong, &path).expect("moved");
    for _ in 0..2 {
        let Err(StoreError::Damaged(what)) = SqliteStore::open(&path) else { panic!("not refused") };
        assert!(what.contains(path.to_str().expect("text")) && what.contains("debited"), "{what}");
    }
}

/// Through an index that misses an account, its token would be credited anew.
#[test]
fn a_damaged_index_is_found_by_the_check_and_refused_in_a_copy() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    spend(&open(&path), 1);
    let wrong = folder.path().join("copy.sqlite");
    copy(&path, &wrong);
    // The index gets the pages of an empty one.
    edit(
        &wrong,
        "CREATE UNIQUE INDEX empty ON account (key) WHERE balance < 0;
         UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'empty') \
         WHERE name = 'account_by_key';
         DELETE FROM sqlite_schema WHERE name = 'empty'",
    );
    let store = SqliteStore::open_beside(&wrong).expect("opened");
    let found = wait(store.check_storage());
    assert!(matches!(found, Err(StoreError::Damaged(_))), "{found:?}");
    drop(store);
    fs::rename(&wrong, &path).expect("moved");
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::Damaged(_))));
}
