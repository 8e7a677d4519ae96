//! Connections for reading. With a write-ahead log a reader sees the last commit and waits for nobody.

use crate::{
    file,
    trouble::{Trouble, at},
};
use l402_paywall::StoreError;
use rusqlite::Connection;
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Connections kept open; more readers at once than this open one for the occasion.
const KEPT_MAX: usize = 4;

pub(super) struct Pool {
    path: PathBuf,
    kept: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), kept: Mutex::default() }
    }

    /// Runs one query on a connection of its own.
    pub(super) fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        let kept = self.lock().pop();
        let connection = match kept {
            Some(connection) => connection,
            None => file::open_for_reading(&self.path)?,
        };
        let answer = query(&connection);
        let mut kept = self.lock();
        if kept.len() < KEPT_MAX {
            kept.push(connection);
        }
        drop(kept);
        answer.map_err(|trouble| at(&self.path, trouble.on_reading()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        // Nothing is done under the lock that could leave the list half changed.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
