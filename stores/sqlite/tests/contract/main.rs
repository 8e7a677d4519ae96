//! What every ledger has to keep, over the file.

#![expect(clippy::expect_used, reason = "a step that fails ends the test")]

use l402_lightning::BoxFuture;
use l402_paywall::ledger::Ledger;
use l402_store_sqlite::SqliteStore;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use testkit::ledger::LedgerRig;

/// One file, and the gateway that has it open.
struct File {
    folder: TempDir,
    open: Mutex<Option<Arc<SqliteStore>>>,
}

impl File {
    fn open(&self) {
        let store = SqliteStore::open(&self.folder.path().join("ledger.sqlite")).expect("a store");
        *self.open.lock().expect("no panic") = Some(Arc::new(store));
    }
}

impl LedgerRig for File {
    fn ledger(&self, _: usize) -> Arc<dyn Ledger> {
        self.open.lock().expect("no panic").clone().expect("an open store")
    }

    /// What a kill leaves behind is the subject of the tests in `store`; here the file is closed and read again.
    fn reopen(&self) -> BoxFuture<'_, ()> {
        self.open.lock().expect("no panic").take();
        self.open();
        Box::pin(std::future::ready(()))
    }
}

async fn file() -> File {
    let file = File { folder: tempfile::tempdir().expect("a folder"), open: Mutex::default() };
    file.open();
    file
}

testkit::ledger_contract!(file);
