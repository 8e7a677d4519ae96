//! The file: made, recognised, brought up to the present schema, and set up for writing.

use l402_paywall::{Place, StoreError};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, config::DbConfig};
use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

/// Tells a ledger from other SQLite files: "L402" in ASCII (<https://sqlite.org/pragma.html#pragma_application_id>).
const APPLICATION_ID: i32 = 0x4c34_3032;

/// Each brings the schema from its index to the next version. Never changed once released, only added to.
const MIGRATIONS: [&str; 3] = [
    include_str!("../migrations/0001_settlements.sql"),
    include_str!("../migrations/0002_ledger.sql"),
    include_str!("../migrations/0003_excess.sql"),
];

/// How long a lock of another program, such as a backup, is waited for.
const BUSY_LIMIT: Duration = Duration::from_secs(5);

/// How often a command asks for the lock that a busy gateway lets go only for moments, and how long it waits in between:
/// five seconds and more in all.
const BESIDE_TRIES_MAX: i32 = 25_000;
const BESIDE_PAUSE: Duration = Duration::from_micros(200);

/// What the log is cut back to once it is folded, in bytes. A log that is written over is synced several times faster
/// than one that grows, so what a busy gateway needs is kept; a large import makes more of it than that.
const LOG_BYTES_KEPT: i64 = 64 << 20;

/// Memory for pages, in KiB (a negative number is not a number of pages).
const CACHE_KIB: i64 = -65_536;

/// More than there are different statements, so that each is compiled once.
const STATEMENTS_MAX: usize = 64;

/// Opens the file for the gateway that writes it, or makes it.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    match fs::metadata(path) {
        Ok(metadata) => inspect(path, &metadata)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path)?,
        Err(error) => return Err(open_error(path, &error)),
    }
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    recognise(path, &connection)?;
    prepare(&connection).and_then(|()| fold(&connection)).map_err(|error| sql_error(path, &error))?;
    migrate(&mut connection).map_err(|error| sql_error(path, &error))?;
    check_tables(&connection)?;
    Ok(connection)
}

/// Opens a file that there is for writing, while a gateway may have it open.
pub(super) fn open_beside(path: &Path) -> Result<Connection, StoreError> {
    inspect(path, &fs::metadata(path).map_err(|error| open_error(path, &error))?)?;
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let patience = |tries: i32| {
        std::thread::sleep(BESIDE_PAUSE);
        tries < BESIDE_TRIES_MAX
    };
    connection.busy_handler(Some(patience)).map_err(|error| sql_error(path, &error))?;
    recognise(path, &connection)?;
    prepare(&connection).map_err(|error| sql_error(path, &error))?;
    migrate(&mut connection).map_err(|error| sql_error(path, &error))?;
    check_tables(&connection)?;
    Ok(connection)
}

/// A connection for reading only.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// A connection that only folds the log into the file.
pub(super) fn open_for_folding(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "synchronous", "full").map_err(|error| sql_error(path, &error))?;
    Ok(connection)
}

/// The path with an ending.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Whether SQLite says that the file is damaged.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// What SQLite says went wrong, without the path that some of its messages name.
pub(super) fn reason(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(failure, Some(message)) if !message.contains('/') => {
            format!("{message} (SQLite {})", failure.extended_code)
        }
        rusqlite::Error::SqliteFailure(failure, _) => failure.to_string(),
        other => other.to_string(),
    }
}

/// Looks at what stands there before SQLite touches it: an empty file would pass for a new database.
fn inspect(path: &Path, metadata: &fs::Metadata) -> Result<(), StoreError> {
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(StoreError::LaxMode { path: path.to_owned(), mode });
    }
    if !metadata.is_file() {
        return Err(foreign(path));
    }
    if metadata.len() == 0 {
        return Err(StoreError::Damaged("the file is empty".to_owned()));
    }
    Ok(())
}

/// Makes a file with the whole schema under another name first, so that under its own name there is never half of one.
fn make(path: &Path) -> Result<(), StoreError> {
    // SQLite would take the log of a file that is gone for the log of the one made here, and it holds settlements.
    if beside(path, "-wal").exists() {
        return Err(StoreError::Damaged("the file is gone, and its log is not".to_owned()));
    }
    let draft = beside(path, ".new");
    let failed = |error: io::Error| open_error(path, &error);
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
    let mut connection = connect(&draft, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let made = connection.pragma_update(None, "application_id", APPLICATION_ID);
    made.and_then(|()| migrate(&mut connection)).map_err(|error| sql_error(path, &error))?;
    connection.close().map_err(|(_, error)| sql_error(path, &error))?;
    fs::rename(&draft, path).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let connection = connection.map_err(|error| sql_error(path, &error))?;
    let set = connection.busy_timeout(BUSY_LIMIT).and_then(|()| {
        // A statement on a table with a partial index would otherwise be compiled anew for every value it is bound to
        // (<https://sqlite.org/queryplanner-ng.html#qpstab>).
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
    });
    set.map_err(|error| sql_error(path, &error))?;
    Ok(connection)
}

/// Ours, and not of a version to come.
fn recognise(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let application_id = match number("application_id") {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            return Err(foreign(path));
        }
        other => other.map_err(|error| sql_error(path, &error))?,
    };
    if application_id != APPLICATION_ID {
        return Err(foreign(path));
    }
    let version = number("user_version").map_err(|error| sql_error(path, &error))?;
    match usize::try_from(version) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(()),
        Ok(_) => Err(StoreError::Newer {
            place: Place::File(path.to_owned()),
            found: version.unsigned_abs(),
            known: known(),
        }),
        Err(_) => Err(StoreError::Damaged(format!("its schema has version {version}"))),
    }
}

/// The newest schema that is known here.
fn known() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Settings of a writing connection (<https://sqlite.org/wal.html>, <https://sqlite.org/pragma.html>).
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    // The gateway folds the log at times of its own, and others leave that to it.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES_KEPT, |_| Ok(()))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(())
}

/// Whatever an earlier process left in the log goes into the file and is synced there: pages of a log whose sync failed
/// once look written and may not be, and everything logged behind them would be lost with them.
fn fold(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Applies what is missing, each step whole or not at all.
fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    while next_step(connection)?.is_some() {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Asked again: another process may have been faster.
        if let Some((version, sql)) = next_step(&transaction)? {
            transaction.execute_batch(sql)?;
            transaction.pragma_update(None, "user_version", version)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

/// The version that comes next, and what brings it about.
fn next_step(connection: &Connection) -> rusqlite::Result<Option<(i32, &'static str)>> {
    let version = connection.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0))?;
    let sql = usize::try_from(version).ok().and_then(|done| MIGRATIONS.get(done));
    Ok(sql.map(|sql| (version + 1, *sql)))
}

/// A point read of each table, which fails where one is missing or its root is damaged.
fn check_tables(connection: &Connection) -> Result<(), StoreError> {
    let tables = [
        "SELECT count FROM totals WHERE id = 1",
        "SELECT count(*) FROM (SELECT 1 FROM feed LIMIT 1)",
        "SELECT count(*) FROM (SELECT 1 FROM settled LIMIT 1)",
        "SELECT count(*) FROM (SELECT 1 FROM account LIMIT 1)",
        "SELECT count(*) FROM (SELECT 1 FROM reservation LIMIT 1)",
        "SELECT count(*) FROM (SELECT 1 FROM journal LIMIT 1)",
        "SELECT count(*) FROM (SELECT 1 FROM revoked LIMIT 1)",
        "SELECT count(*) FROM (SELECT 1 FROM claim LIMIT 1)",
    ];
    for sql in tables {
        let read = connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        read.map_err(|error| StoreError::Damaged(reason(&error)))?;
    }
    Ok(())
}

fn foreign(path: &Path) -> StoreError {
    StoreError::Foreign(Place::File(path.to_owned()))
}

pub(super) fn open_error(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Open { path: path.to_owned(), reason: error.to_string() }
}

fn sql_error(path: &Path, error: &rusqlite::Error) -> StoreError {
    if is_damage(error) {
        return StoreError::Damaged(reason(error));
    }
    StoreError::Open { path: path.to_owned(), reason: reason(error) }
}
