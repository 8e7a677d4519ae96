//! Rows that do not fit each other: found, named, and no reason to stop for others.

use crate::{
    ledger, open,
    purchases::{apply, audit, book, delegated, id, key, purse, reserve, settle, token},
    wait,
};
use l402_paywall::{
    StoreError,
    ledger::{Audit, Breach, Effect, Ledger, Operation},
};
use l402_store_sqlite::SqliteStore;
use rusqlite::Connection;
use std::path::{Path, PathBuf};

/// A ledger with a purchase that was used, one with an open reservation of a delegated budget, and one that is revoked.
fn used(folder: &tempfile::TempDir) -> PathBuf {
    let path = ledger(folder);
    let store = open(&path);
    for operation in [
        Operation::Reserve(reserve(1, purse(1))),
        settle(reserve(1, purse(1)).handle(), 2),
        Operation::Reserve(reserve(2, delegated(2, &[9]))),
        Operation::Credit(purse(3)),
        Operation::Revoke(token(3)),
    ] {
        apply(&store, operation).expect("applied");
    }
    assert_eq!(audit(&store).breaches, []);
    path
}

fn edit(path: &Path, sql: &str) {
    let connection = Connection::open(path).expect("a database");
    connection.execute_batch("PRAGMA ignore_check_constraints = ON").expect("set");
    connection.execute_batch(sql).expect(sql);
}

/// As a command opens it: a gateway would refuse a file whose last line is gone.
fn beside(path: &Path) -> SqliteStore {
    SqliteStore::open_beside(path).expect("a store")
}

/// What is found after an edit of a purchase's row (`{}` stands for its name).
fn found(sql: &str, number: u64) -> Vec<Breach> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = used(&folder);
    let hex = format!("{:?}", key(number));
    let hex = hex.trim_start_matches("AccountKey(").trim_end_matches(')');
    edit(&path, &sql.replace("{}", &format!("x'{hex}'")));
    audit(&beside(&path)).breaches
}

#[test]
fn a_row_that_was_changed_is_told_by_name() {
    let one = key(1);
    let account = |set: &str, number| found(&format!("UPDATE account SET {set} WHERE key = {{}}"), number);
    assert_eq!(account("balance = balance + 1", 1), [Breach::Unbalanced(one)]);
    assert_eq!(account("balance = -1", 1), [Breach::Unbalanced(one)]);
    assert_eq!(account("balance = balance - 1, reserved = reserved + 1", 1), [Breach::Reserved(one)]);
    assert_eq!(account("balance = balance + 1, credited = credited + 1", 1), [Breach::Credited(one)]);
    assert_eq!(account("balance = balance + 1, debited = debited - 1", 1), [Breach::Debited(one)]);
    assert_eq!(account("balance = owed, owed = 0", 3), [Breach::Owed(key(3))]);
    assert_eq!(account("credited = 9223372036854775807, debited = 9223372036854775807", 1).len(), 3);
}

#[test]
fn a_line_of_the_journal_that_was_changed_or_lost_is_told_by_the_account_it_is_about() {
    let [one, three] = [key(1), key(3)];
    assert_eq!(found("UPDATE journal SET charged = 1 WHERE kind = 3", 1), [Breach::Debited(one)]);
    assert_eq!(found("DELETE FROM journal WHERE kind = 3", 1), [Breach::Debited(one)]);
    assert_eq!(found("DELETE FROM journal WHERE opened = {}", 1), [Breach::Credited(one)]);
    assert_eq!(found("DELETE FROM journal WHERE kind = 6", 3), [Breach::Owed(three)]);
    let cap = delegated(2, &[9]).caps[0].key;
    assert_eq!(found("DELETE FROM journal WHERE kind = 2", 2), [Breach::Credited(cap)]);
}

#[test]
fn an_account_or_a_reservation_that_is_gone_is_missed() {
    let cap = delegated(2, &[9]).caps[0].key;
    assert_eq!(found("DELETE FROM reservation", 2), [key(2), cap].map(Breach::Reserved));
    assert_eq!(found("DELETE FROM account WHERE key = {}", 1), [Breach::Credited(key(1))]);
    let gone = found("DELETE FROM account WHERE key = {} OR purchase IS NOT NULL", 2);
    let expected = [Breach::Orphan(id(2)), Breach::Credited(key(2)), Breach::Credited(cap)];
    assert!(gone.len() == 3 && expected.iter().all(|breach| gone.contains(breach)), "{gone:?}");
}

#[test]
fn of_very_many_breaches_the_first_hundred_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    let store = open(&path);
    book(&store, 0..300);
    drop(store);
    edit(&path, "UPDATE account SET balance = 0; DELETE FROM journal");
    let Audit { purchases, breaches, totals, .. } = audit(&beside(&path));
    assert_eq!((purchases, breaches.len(), totals.credited, totals.balance), (300, 100, 6_000, 0));
}

#[test]
fn a_damaged_balance_is_refused_alone_and_others_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = used(&folder);
    edit(&path, "UPDATE account SET balance = balance + 5 WHERE id = 1");
    let store = open(&path);
    wait(async {
        let steps = [(9, purse(1)), (10, purse(4))]
            .map(|(number, purse)| store.apply(Operation::Reserve(reserve(number, purse)), 1));
        let [damaged, sound] = steps;
        let damaged = damaged.await.expect_err("refused");
        assert!(
            matches!(&damaged, StoreError::Damaged(what) if what.contains("does not add up")),
            "{damaged}"
        );
        assert!(matches!(sound.await, Ok(Effect::Reserved(_))));
    });
    assert_eq!(Ledger::fault(&store), None);
    assert_eq!(audit(&store).breaches, [Breach::Unbalanced(key(1))]);
}

/// It cannot be ended, and the others must be.
#[test]
fn a_reservation_without_its_account_does_not_hold_up_the_sweep() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = used(&folder);
    edit(&path, "DELETE FROM account WHERE purchase IS NOT NULL");
    let store = open(&path);
    apply(&store, Operation::Reserve(reserve(5, purse(5)))).expect("reserved");
    let overdue = wait(store.overdue(u64::MAX, 10)).expect("a list");
    assert_eq!(overdue.iter().map(|handle| handle.id).collect::<Vec<_>>(), [id(5)]);
    let stuck = apply(&store, Operation::Release(reserve(2, delegated(2, &[9])).handle()));
    assert!(matches!(stuck, Err(StoreError::Damaged(_))), "{stuck:?}");
    assert_eq!(Ledger::fault(&store), None);
}
