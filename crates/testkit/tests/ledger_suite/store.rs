//! A small store around the state machine, which can be told to make one mistake.

use crate::slips::Slip;
use l402::TokenId;
use l402_lightning::BoxFuture;
use l402_paywall::{
    StoreError,
    ledger::{
        Account, Audit, Book, Breach, ClaimState, Effect, Entry, Handle, Holding, Ledger, Operation, Owner,
        Reservation, Revocations, Units,
    },
};
use std::sync::{Arc, Mutex};
use testkit::ledger::{LedgerRig, Rows};

/// The ledger, as a rig.
pub(crate) struct Drawer(Arc<SlippingLedger>);

pub(crate) struct SlippingLedger {
    slip: Option<Slip>,
    rows: Mutex<Rows>,
    /// For a slip: the rows before the last step.
    earlier: Mutex<Rows>,
}

impl Drawer {
    pub(crate) fn new(slip: Option<Slip>) -> Self {
        Self(Arc::new(SlippingLedger { slip, rows: Mutex::default(), earlier: Mutex::default() }))
    }
}

impl LedgerRig for Drawer {
    fn ledger(&self, _: usize) -> Arc<dyn Ledger> {
        self.0.clone()
    }

    fn reopen(&self) -> BoxFuture<'_, ()> {
        if self.0.slips(Slip::LosesTheLastStep) {
            *self.0.rows.lock().unwrap() = self.0.earlier.lock().unwrap().clone();
        }
        Box::pin(std::future::ready(()))
    }
}

impl SlippingLedger {
    fn slips(&self, slip: Slip) -> bool {
        self.slip == Some(slip)
    }

    fn step(&self, mut operation: Operation, at: u64) -> Result<Effect, StoreError> {
        let mut rows = self.rows.lock().unwrap();
        if self.slips(Slip::LosesTheLastStep) {
            *self.earlier.lock().unwrap() = rows.clone();
        }
        if let Some(slip) = self.slip {
            slip.before(&mut operation, &mut rows)?;
        }
        let mut book = Book::default();
        if self.slips(Slip::ForgetsEndings)
            && let Some(id) = operation.needs().reservation
        {
            book.load_reservation(id, rows.open.get(&id).cloned(), None);
        }
        rows.load(&mut book, &operation.needs());
        let mut effect = book.apply(&operation, at).map_err(StoreError::Book)?;
        let mut changes = book.take_changes();
        if let Some(slip) = self.slip {
            slip.after(&operation, &rows, &mut effect, &mut changes);
        }
        rows.write(changes);
        Ok(effect)
    }
}

/// Counts and adds up; of what can be wrong it only sees the plainest.
fn audit(rows: &Rows) -> Audit {
    let mut audit = Audit { open: rows.open.len() as u64, ..Audit::default() };
    for (key, account) in &rows.accounts {
        if !account.is_balanced() {
            audit.breaches.push(Breach::Unbalanced(*key));
        }
        audit.count(account);
    }
    audit
}

fn ready<T: Send + 'static>(value: T) -> BoxFuture<'static, Result<T, StoreError>> {
    Box::pin(std::future::ready(Ok(value)))
}

impl Ledger for SlippingLedger {
    fn apply(&self, operation: Operation, at: u64) -> BoxFuture<'static, Result<Effect, StoreError>> {
        Box::pin(std::future::ready(self.step(operation, at)))
    }

    fn forget_claims(&self, now: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        let keeps_in_flight = !self.slips(Slip::SweepsClaimsInFlight);
        self.rows.lock().unwrap().claims.retain(|_, claim| {
            claim.expires_at > now || (keeps_in_flight && claim.state == ClaimState::InFlight)
        });
        ready(())
    }

    fn overdue(&self, now: u64, max: usize) -> BoxFuture<'_, Result<Vec<Handle>, StoreError>> {
        let rows = self.rows.lock().unwrap();
        let patience = u64::from(self.slips(Slip::SweepsLate));
        let due = |reservation: &&Reservation| reservation.deadline + patience <= now;
        let mut overdue: Vec<_> = rows.open.values().filter(due).collect();
        overdue.sort_by_key(|reservation| reservation.deadline);
        if self.slips(Slip::SweepsTheNewestFirst) {
            overdue.reverse();
        }
        let max = if self.slips(Slip::SweepsWithoutLimit) { usize::MAX } else { max };
        ready(overdue.into_iter().map(|reservation| reservation.handle.clone()).take(max).collect())
    }

    fn revoked_since(&self, mark: u64) -> BoxFuture<'_, Result<Revocations, StoreError>> {
        let rows = self.rows.lock().unwrap();
        let known = if self.slips(Slip::TellsAllRevocations) { 0 } else { usize::try_from(mark).unwrap() };
        ready(Revocations { mark: rows.revoked.len() as u64, tokens: rows.revoked[known..].to_vec() })
    }

    fn holding(&self, token_id: TokenId) -> BoxFuture<'_, Result<Option<Holding>, StoreError>> {
        let holding = self.rows.lock().unwrap().holding(token_id);
        if holding.is_none() && self.slips(Slip::KnowsEverybody) {
            let owner = Owner::Purchase { token_id, service: "weather".try_into().unwrap() };
            let account = Account::opened(owner, Units::ZERO);
            return ready(Some(Holding { account, open: Vec::new(), caps: Vec::new() }));
        }
        ready(holding)
    }

    fn journal(&self, after: u64, max: usize) -> BoxFuture<'_, Result<Vec<(u64, Entry)>, StoreError>> {
        let after = if self.slips(Slip::JournalStartsAnew) && after > 10 { 0 } else { after };
        let mut lines: Vec<_> = (1..).zip(self.rows.lock().unwrap().journal.iter().cloned()).collect();
        lines.retain(|(line, _)| *line > after);
        if self.slips(Slip::JournalRunsBackwards) {
            lines.reverse();
        }
        lines.truncate(max);
        ready(lines)
    }

    fn check_invariants(&self) -> BoxFuture<'_, Result<Audit, StoreError>> {
        let mut audit = audit(&self.rows.lock().unwrap());
        if self.slips(Slip::AddsUpIn64Bits) {
            audit.totals.credited = audit.totals.credited.min(u128::from(u64::MAX >> 1));
        }
        ready(audit)
    }

    fn fault(&self) -> Option<StoreError> {
        None
    }
}
