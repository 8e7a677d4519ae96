//! One gateway per file. The lock is on a file beside the database: on the database itself are SQLite's own locks, which
//! go when any descriptor of it is closed (<https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_>).

use crate::file::{beside, open_error};
use l402_paywall::StoreError;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

/// A mark is three numbers; whatever is longer is none.
const MARK_BYTES_MAX: u64 = 100;

/// Held by the gateway as long as it has the ledger open. Goes with the process, however that ends.
#[derive(Debug)]
pub(super) struct Lock(File);

/// Which file the ledger is, and how far its journal went when a gateway opened it. A copy that was put in its place is
/// another file, or an older state of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    device: u64,
    inode: u64,
    lines: u64,
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
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(open_error(path, &error)),
        }
    }

    /// Whether the file with this mark is the one that was noted last, as it was then or later.
    pub(super) fn knows(&self, mark: &Mark) -> bool {
        let mut text = String::new();
        let is_read = (&self.0).take(MARK_BYTES_MAX).read_to_string(&mut text).is_ok();
        let noted = is_read.then(|| Mark::parse(&text)).flatten();
        noted.is_some_and(|noted| Mark { lines: noted.lines, ..*mark } == noted && mark.lines >= noted.lines)
    }

    /// Notes which file is served from now on.
    pub(super) fn note(&self, mark: &Mark) -> io::Result<()> {
        let text = format!("{} {} {}\n", mark.device, mark.inode, mark.lines);
        // In this order it is never empty again.
        self.0.write_all_at(text.as_bytes(), 0)?;
        self.0.set_len(u64::try_from(text.len()).unwrap_or(u64::MAX))?;
        self.0.sync_all()
    }
}

impl Mark {
    /// The mark of a file whose journal has so many lines.
    pub(super) fn of(path: &Path, lines: u64) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino(), lines })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_ascii_whitespace().map(|number| number.parse().ok());
        let [device, inode, lines] = [numbers.next()??, numbers.next()??, numbers.next()??];
        numbers.next().is_none().then_some(Self { device, inode, lines })
    }
}

impl Drop for Lock {
    /// A process that was just being started from here may still have a copy of the descriptor, which would hold it.
    fn drop(&mut self) {
        let _ = self.0.unlock(); // closing it does the same a moment later
    }
}
