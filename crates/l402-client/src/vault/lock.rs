//! One purchase of one thing at a time, across all processes of this user.
//!
//! The lock is the kernel's (`flock`): it ends with the process that holds it, however that ends. What stands in
//! the file only tells people who holds it and until when.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::private::{self, PrivateFileError};

/// Longest note that is read from a lock file.
const NOTE_BYTES_MAX: u64 = 1024;

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockOwner {
    /// The process.
    pub pid: u32,
    /// The machine it runs on.
    pub host: String,
    /// When it took the lock, in unix seconds.
    pub since: u64,
    /// When it will have let go, one way or the other, in unix seconds.
    pub deadline: u64,
}

/// The right to buy one scope at one origin. Dropping it lets the next one in.
#[derive(Debug)]
pub struct ScopeLock {
    /// Held open: the kernel's lock belongs to it.
    _file: File,
}

/// What came of trying.
#[derive(Debug)]
pub enum LockAttempt {
    /// It is ours.
    Taken(ScopeLock),
    /// Somebody else's, with their note if it could be read.
    Held(Option<LockOwner>),
}

impl LockOwner {
    /// This process.
    pub fn this_process(since: u64, deadline: u64) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { pid: std::process::id(), host, since, deadline }
    }
}

/// Tries to take the lock at `path`, never waiting.
pub(super) fn attempt(path: &Path, owner: &LockOwner) -> Result<LockAttempt, PrivateFileError> {
    let mut file = private::lock_file(path)?;
    match file.try_lock() {
        Ok(()) => {
            note(&mut file, owner).map_err(|source| PrivateFileError::io(path, source))?;
            Ok(LockAttempt::Taken(ScopeLock { _file: file }))
        }
        Err(TryLockError::WouldBlock) => Ok(LockAttempt::Held(read_note(file))),
        Err(TryLockError::Error(source)) => Err(PrivateFileError::io(path, source)),
    }
}

/// Whether somebody holds the lock at `path` now.
pub(super) fn is_held(path: &Path) -> Result<bool, PrivateFileError> {
    // Shared, and let go at once: it keeps nobody out for longer than a moment.
    match private::lock_file(path)?.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(PrivateFileError::io(path, source)),
    }
}

fn note(file: &mut File, owner: &LockOwner) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&serde_json::to_vec(owner)?)
}

fn read_note(file: File) -> Option<LockOwner> {
    let mut text = Vec::new();
    file.take(NOTE_BYTES_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
