//! The write-ahead log, folded into the file at the gateway's own times.
//!
//! A thread beside the writer does it, because folding thousands of pages would hold up everybody who waits for a commit.
//! It cannot come to the end while the writer goes on writing; so when it has done all it could, the writer folds the
//! little that came meanwhile, and its next commit starts the log anew.

use crate::{
    file::{self, reason},
    lock::Lock,
    writer::Fault,
};
use l402_paywall::StoreError;
use rusqlite::Connection;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread::JoinHandle,
};

/// Pages that the log has before it is folded (16 MiB). Few enough that commits hardly notice the disk being busy with
/// them, and that a start after a crash, which folds them too, is quick.
const FOLD_PAGES: u32 = 4_096;

/// The second pass takes what was written during the first.
const PASSES: usize = 2;

pub(super) struct Log {
    lock: Arc<Lock>,
    /// Pages in the log at the last commit.
    pages: Arc<AtomicU32>,
    /// What they were when folding was last asked for.
    asked_at: u32,
    /// Whether the thread has done all it could.
    is_nearly_folded: Arc<AtomicBool>,
    /// Absent only while it is dropped.
    orders: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Watches the log of the writer's connection.
    pub(super) fn watch(
        path: &Path,
        writing: &mut Connection,
        lock: Arc<Lock>,
        fault: &Fault,
    ) -> Result<Self, StoreError> {
        let pages = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&pages);
        let failed = |reason: String| StoreError::Open { path: path.to_owned(), reason };
        let hook = move |_: &mut rusqlite::hooks::Wal, count: i32| {
            counted.store(count.unsigned_abs(), Ordering::Relaxed);
            Ok(())
        };
        writing.wal_hook(Some(hook)).map_err(|error| failed(reason(&error)))?;
        let (orders, received) = mpsc::sync_channel(1);
        let is_nearly_folded = Arc::new(AtomicBool::new(false));
        let connection = file::open_for_folding(path)?;
        let (done, fault) = (Arc::clone(&is_nearly_folded), fault.clone());
        let thread = std::thread::Builder::new().name("ledger log".into());
        let thread = thread.spawn(move || run(&connection, &received, &done, &fault));
        let thread = thread.map_err(|error| failed(error.to_string()))?;
        let (orders, thread) = (Some(orders), Some(thread));
        Ok(Self { lock, pages, asked_at: 0, is_nearly_folded, orders, thread })
    }

    /// Notes how far the ledger has come.
    pub(super) fn note(&self, writing: &Connection) {
        // One that cannot be noted or read again is only looked through at the next start.
        let _ = self.lock.note(writing);
    }

    /// To be called after commits, when nobody waits for one.
    pub(super) fn look_after(&mut self, writing: &Connection) -> rusqlite::Result<()> {
        if self.is_nearly_folded.swap(false, Ordering::Acquire) {
            fold(writing)?;
            self.note(writing);
        }
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.asked_at {
            self.asked_at = 0; // it was started anew
        }
        // A reader that takes its time keeps the log from being folded: then it is tried again only as it grows.
        if pages - self.asked_at >= FOLD_PAGES {
            self.asked_at = pages;
            if let Some(orders) = &self.orders {
                let _ = orders.try_send(()); // one order is enough
            }
        }
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there has printed itself
        }
    }
}

fn run(connection: &Connection, orders: &Receiver<()>, is_nearly_folded: &AtomicBool, fault: &Fault) {
    while orders.recv().is_ok() {
        match (0..PASSES).try_for_each(|_| fold(connection)) {
            Ok(()) => is_nearly_folded.store(true, Ordering::Release),
            // What is in the log stays there, but a disk that does not take it cannot be trusted with more.
            Err(error) => fault.note(&error.into()),
        }
    }
}

/// As much as can be done without waiting for anybody.
fn fold(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}
