//! Which files are opened and which are refused, and that a refusal changes nothing.

use crate::{
    cursor, hash, is_settled, ledger, open, overpaid, overpaid_settlement,
    purchases::{apply, purse, sums},
    record, settlement, totals,
};
use l402_paywall::{Place, SettlementStore, StoreError, ledger::Operation};
use l402_store_sqlite::SqliteStore;
use rusqlite::Connection;
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

/// A ledger with a few thousand rows, closed.
fn filled(folder: &tempfile::TempDir) -> std::path::PathBuf {
    let path = ledger(folder);
    let batch: Vec<_> = (1..=5_000).map(settlement).collect();
    record(&open(&path), &batch, Some(5_000)).expect("written");
    path
}

fn refusal(path: &Path) -> StoreError {
    let before = fs::read(path).ok();
    let refusal = SqliteStore::open(path).expect_err("refused");
    assert_eq!(fs::read(path).ok(), before, "{refusal}");
    refusal
}

fn is_foreign(path: &Path) -> StoreError {
    StoreError::Foreign(Place::File(path.to_owned()))
}

#[test]
fn a_new_file_is_its_owners_alone_and_so_is_its_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&ledger(&folder));
    record(&store, &[settlement(1)], None).expect("written");
    let files: Vec<_> = fs::read_dir(folder.path()).expect("a folder").flatten().collect();
    assert!(files.len() > 1, "{files:?}");
    for file in files {
        let mode = file.metadata().expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.path());
    }
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = filled(&folder);
    for mode in [0o640, 0o604, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        let refused = refusal(&path);
        assert_eq!(refused, StoreError::LaxMode { path: path.clone(), mode });
        assert_eq!(refused.hint(), "chmod 600 the file");
    }
}

#[test]
fn a_schema_of_a_newer_version_is_refused_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = filled(&folder);
    let set = |version: i32| {
        Connection::open(&path)
            .expect("a database")
            .pragma_update(None, "user_version", version)
            .expect("set");
    };
    set(99);
    let place = Place::File(path.clone());
    let newer = refusal(&path);
    assert_eq!(newer, StoreError::Newer { place, found: 99, known: 3 });
    let told = format!("{} has version 99 of the ledger, and this program knows up to 3", path.display());
    assert_eq!(newer.to_string(), told);
    set(-1);
    assert!(matches!(refusal(&path), StoreError::Damaged(_)));
    set(3);
    assert_eq!(totals(&open(&path)), (5_000, 50_000_000));
}

/// A file of the version before balances keeps everything and gets them, also when a command comes first. What was
/// settled before excesses were written down has none until the node tells it again.
#[test]
fn a_file_of_the_first_version_keeps_its_settlements_and_gets_balances_and_excesses() {
    for is_gateway in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = ledger(&folder);
        let old = Connection::open(&path).expect("a database");
        old.execute_batch(include_str!("../../migrations/0001_settlements.sql")).expect("made");
        old.execute_batch(
            "PRAGMA application_id = 0x4c343032; PRAGMA user_version = 1; PRAGMA journal_mode = wal; \
             INSERT INTO feed VALUES ('node', 7); UPDATE totals SET count = 1, amount_msat = 10000",
        )
        .expect("filled");
        let settled = "INSERT INTO settled VALUES (?1, 10000, 1800000000)";
        old.execute(settled, [hash(1).as_bytes()]).expect("filled");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
        drop(old);
        let store = if is_gateway { open(&path) } else { SqliteStore::open_beside(&path).expect("beside") };
        assert_eq!(
            (totals(&store), cursor(&store, "node"), is_settled(&store, hash(1))),
            ((1, 10_000), Ok(7), Ok(true))
        );
        apply(&store, Operation::Credit(purse(1))).expect("written");
        assert_eq!(overpaid(&store), (0, 0));
        record(&store, &[overpaid_settlement(1, 500)], Some(7)).expect("written");
        drop(store);
        let store = open(&path);
        assert_eq!(overpaid(&store), (1, 500));
        assert_eq!((totals(&store), sums(&store)), ((1, 10_000), [20, 0, 20, 0, 0]));
    }
}

#[test]
fn what_is_not_a_ledger_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    let foreign = |sql: &str| {
        Connection::open(&path).expect("a database").execute_batch(sql).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
        assert_eq!(refusal(&path), is_foreign(&path), "{sql}");
        fs::remove_file(&path).expect("removed");
    };
    foreign("CREATE TABLE settled (payment_hash BLOB)");
    foreign("PRAGMA application_id = 7; CREATE TABLE t (a)");
    fs::write(&path, "listen: 127.0.0.1:80\n".repeat(500)).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
    assert_eq!(refusal(&path), is_foreign(&path));
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("a folder");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("set");
    assert_eq!(refusal(&path), is_foreign(&path));
    let nowhere = folder.path().join("none/ledger.sqlite");
    assert!(matches!(refusal(&nowhere), StoreError::Open { path, .. } if path == nowhere));
}

/// What a torn file must never be taken for: an empty one.
#[test]
fn a_torn_file_is_called_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = filled(&folder);
    let whole = fs::read(&path).expect("a file");
    for length in [0, whole.len() / 2, whole.len() - 4096, 4096] {
        fs::write(&path, &whole[..length]).expect("written");
        let refused = refusal(&path);
        assert!(matches!(refused, StoreError::Damaged(_)), "{length}: {refused}");
    }
    fs::write(&path, &whole[..100]).expect("written");
    assert!(matches!(refusal(&path), StoreError::Damaged(_) | StoreError::Foreign(_)));
    fs::write(&path, &whole).expect("written");
    assert_eq!(totals(&open(&path)), (5_000, 50_000_000));
}

/// Damage deep inside is met when it is read: an error, never a wrong answer.
#[test]
fn a_damaged_page_is_an_error_and_not_a_no() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = filled(&folder);
    let mut bytes = fs::read(&path).expect("a file");
    // The first pages are the schema and the roots of the tables.
    bytes[24 * 4096..].fill(0xa5);
    fs::write(&path, &bytes).expect("written");
    let store = open(&path);
    let answers: Vec<_> = (1..=200).map(|number| is_settled(&store, hash(number))).collect();
    assert!(!answers.contains(&Ok(false)), "{answers:?}");
    assert!(answers.iter().any(|answer| matches!(answer, Err(StoreError::Damaged(_)))), "{answers:?}");
    let batch: Vec<_> = (6_000..6_100).map(settlement).collect();
    assert!(matches!(record(&store, &batch, Some(6_100)), Err(StoreError::Damaged(_))));
    assert!(matches!(SettlementStore::fault(&store), Some(StoreError::Damaged(_))));
}

#[test]
fn a_file_that_was_being_made_when_the_machine_died_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let draft = folder.path().join("ledger.sqlite.new");
    fs::write(&draft, "SQLite form").expect("written");
    let store = open(&ledger(&folder));
    record(&store, &[settlement(1)], None).expect("written");
    assert!(!draft.exists());
}

/// SQLite would read it into the new file.
#[test]
fn a_log_whose_file_is_gone_is_not_taken_for_the_log_of_a_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, log) = (ledger(&folder), folder.path().join("ledger.sqlite-wal"));
    let (store, aside) = (open(&path), folder.path().join("aside"));
    record(&store, &[settlement(1)], None).expect("written");
    fs::copy(&log, &aside).expect("a log");
    drop(store);
    fs::remove_file(&path).expect("removed");
    // As a version without the lock would have left it.
    fs::remove_file(folder.path().join("ledger.sqlite.lock")).expect("removed");
    fs::rename(&aside, &log).expect("put back");
    assert!(matches!(refusal(&path), StoreError::Damaged(_)));
    assert!(!path.exists() && log.exists());
    fs::remove_file(&log).expect("removed");
    assert_eq!(totals(&open(&path)), (0, 0));
}
