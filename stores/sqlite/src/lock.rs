//! One gateway per file. The lock is on a file beside the database: on the database itself are SQLite's own locks, which
//! go when any descriptor of it is closed (<https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_>).

use crate::{
    file::{beside, open_error},
    mark::Mark,
    trouble::Trouble,
};
use l402_paywall::StoreError;
use rusqlite::Connection;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// A mark is shorter; whatever is longer is none.
const MARK_BYTES_MAX: u64 = 200;

/// Held by the gateway as long as it has the ledger open. Goes with the process, however that ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    /// The ledger beside it.
    path: PathBuf,
}

impl Lock {
    /// Whether a gateway has ever had this ledger open: what it noted is there. A file without a word was left by one that
    /// ended before it had made the ledger.
    pub(super) fn was_noted(path: &Path) -> io::Result<bool> {
        match std::fs::metadata(beside(path, ".lock")) {
            Ok(metadata) => Ok(metadata.len() > 0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(beside(path, ".lock")).map_err(|error| open_error(path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, path: path.to_owned() }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(open_error(path, &error)),
        }
    }

    /// What was noted last, where that can be read.
    pub(super) fn noted(&self) -> Option<Mark> {
        let mut text = String::new();
        (&self.file).take(MARK_BYTES_MAX).read_to_string(&mut text).ok()?;
        Mark::parse(&text)
    }

    /// Notes which file is served, and how far it has come.
    pub(super) fn note(&self, connection: &Connection) -> Result<(), Trouble> {
        let text = Mark::of(&self.path, connection)?.to_string();
        self.write(&text).map_err(|error| Trouble::Refused(open_error(&self.path, &error)))
    }

    /// In this order it is never empty again.
    fn write(&self, text: &str) -> io::Result<()> {
        self.file.write_all_at(text.as_bytes(), 0)?;
        self.file.set_len(u64::try_from(text.len()).unwrap_or(u64::MAX))?;
        self.file.sync_all()
    }
}

impl Drop for Lock {
    /// A process that was just being started from here may still have a copy of the descriptor, which would hold it.
    fn drop(&mut self) {
        let _ = self.file.unlock(); // closing it does the same a moment later
    }
}
