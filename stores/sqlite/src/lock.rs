//! One gateway per file. The lock is on a file beside the database: on the database itself are SQLite's own locks, which
//! go when any descriptor of it is closed (<https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_>).

use crate::file::beside;
use l402_paywall::StoreError;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Held by the gateway as long as it has the ledger open. Goes with the process, however that ends.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Whether a gateway has ever had this ledger open.
    pub(super) fn was_taken(path: &Path) -> bool {
        beside(path, ".lock").exists()
    }

    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let failed =
            |error: &io::Error| StoreError::Open { path: path.to_owned(), reason: error.to_string() };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(beside(path, ".lock")).map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(failed(&error)),
        }
    }

    /// Leaves no trace: the ledger was never made.
    pub(super) fn forget(path: &Path) {
        let _ = std::fs::remove_file(beside(path, ".lock")); // whoever cannot remove it is told that it is there
    }
}

impl Drop for Lock {
    /// A process that was just being started from here may still have a copy of the descriptor, which would hold it.
    fn drop(&mut self) {
        let _ = self.0.unlock(); // closing it does the same a moment later
    }
}
