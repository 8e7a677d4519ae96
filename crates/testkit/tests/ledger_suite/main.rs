//! The suite of ledgers itself: ledgers that keep every promise pass it, and each scenario finds one that breaks its
//! promise.

#![expect(clippy::unwrap_used, reason = "a step that fails ends the test")]

mod slips;
mod store;
mod teeth;

use l402_lightning::BoxFuture;
use l402_paywall::ledger::{Ledger, MemoryLedger};
use std::sync::Arc;
use store::Drawer;
use testkit::ledger::LedgerRig;

/// The ledger that forgets everything, which a crash therefore leaves alone.
struct Memory(Arc<MemoryLedger>);

impl LedgerRig for Memory {
    fn ledger(&self, _: usize) -> Arc<dyn Ledger> {
        self.0.clone()
    }

    fn reopen(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

async fn memory() -> Memory {
    Memory(Arc::default())
}

async fn drawer() -> Drawer {
    Drawer::new(None)
}

testkit::ledger_contract!(memory);

/// What the mistakes are made in makes none by itself.
mod without_a_slip {
    use super::drawer;
    testkit::ledger_contract!(drawer);
}
