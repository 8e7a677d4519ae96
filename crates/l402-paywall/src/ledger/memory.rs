//! A ledger that forgets everything: for tests, and as the smallest example of a store.

use super::{
    Account, AccountKey, Audit, Book, Breach, ClaimRecord, ClaimState, Effect, Ending, Entry, EntryKind,
    Handle, Holding, Ledger, Operation, Owner, Reservation, ReservationId, Revocations, TokenRecord, Units,
};
use crate::StoreError;
use l402::TokenId;
use l402_lightning::BoxFuture;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Balances in memory.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    accounts: HashMap<AccountKey, Account>,
    by_token: HashMap<TokenId, AccountKey>,
    open: BTreeMap<ReservationId, Reservation>,
    ended: HashMap<ReservationId, Ending>,
    revoked: Vec<TokenId>,
    claims: HashMap<[u8; 32], ClaimRecord>,
    journal: Vec<Entry>,
}

impl MemoryLedger {
    /// Does one step at once.
    pub fn step(&self, operation: &Operation, at: u64) -> Result<Effect, StoreError> {
        let mut rows = self.rows();
        let mut book = Book::default();
        rows.load(&mut book, operation);
        let effect = book.apply(operation, at).map_err(StoreError::Book)?;
        rows.write(book.take_changes());
        Ok(effect)
    }

    /// Looks whether every unit is where it belongs.
    pub fn audit(&self) -> Audit {
        self.rows().audit()
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        // Changes are worked out in the book first; writing them cannot panic half way.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn load(&self, book: &mut Book, operation: &Operation) {
        let mut needs = operation.needs();
        if let Some(token_id) = needs.token {
            let account = self.by_token.get(&token_id).copied();
            let revoked_at = self.revoked.contains(&token_id).then_some(0);
            book.load_token(token_id, TokenRecord { revoked_at, account });
            needs.accounts.extend(account);
        }
        for key in needs.accounts {
            book.load_account(key, self.accounts.get(&key).cloned());
        }
        if let Some(id) = needs.reservation {
            book.load_reservation(id, self.open.get(&id).cloned(), self.ended.get(&id).copied());
        }
        if let Some(key) = needs.claim {
            book.load_claim(key, self.claims.get(&key).cloned());
        }
    }

    fn write(&mut self, changes: super::Changes) {
        for (key, account) in changes.accounts {
            let Some(account) = account else { continue };
            if let Owner::Purchase { token_id, .. } = &account.owner {
                self.by_token.insert(*token_id, key);
            }
            self.accounts.insert(key, account);
        }
        for (id, reservation) in changes.open {
            match reservation {
                Some(reservation) => self.open.insert(id, reservation),
                None => self.open.remove(&id),
            };
        }
        self.revoked.extend(changes.tokens.into_iter().map(|(id, _)| id));
        for (key, claim) in changes.claims {
            match claim {
                Some(claim) => self.claims.insert(key, claim),
                None => self.claims.remove(&key),
            };
        }
        for entry in changes.journal {
            if let (EntryKind::Ended { handle, .. }, Some(ending)) = (&entry.kind, entry.ending()) {
                self.ended.insert(handle.id, ending);
            }
            self.journal.push(entry);
        }
    }

    fn holding(&self, token_id: TokenId) -> Option<Holding> {
        let key = *self.by_token.get(&token_id)?;
        let account = self.accounts.get(&key)?.clone();
        let is_own = |handle: &Handle| handle.accounts.first() == Some(&key);
        let open = self.open.values().filter(|reservation| is_own(&reservation.handle)).cloned().collect();
        let is_cap = |account: &Account| matches!(&account.owner, Owner::Cap(of) if *of == key);
        let caps = self.accounts.iter().filter(|(_, account)| is_cap(account));
        Some(Holding { account, open, caps: caps.map(|(key, account)| (*key, account.clone())).collect() })
    }

    fn audit(&self) -> Audit {
        let mut audit = Audit { open: self.open.len() as u64, ..Audit::default() };
        for (key, account) in &self.accounts {
            audit.count(account);
            self.inspect(*key, account, &mut audit.breaches);
        }
        for reservation in self.open.values() {
            if reservation.handle.accounts.iter().any(|key| !self.accounts.contains_key(key)) {
                audit.breaches.push(Breach::Orphan(reservation.handle.id));
            }
        }
        audit.breaches.truncate(Audit::BREACHES_MAX);
        audit
    }

    fn inspect(&self, key: AccountKey, account: &Account, breaches: &mut Vec<Breach>) {
        let draws = |handle: &Handle| handle.accounts.contains(&key);
        let sum = |parts: &mut dyn Iterator<Item = Units>| parts.fold(Units::ZERO, Units::saturating_add);
        let open = self.open.values().filter(|reservation| draws(&reservation.handle));
        let own = || self.journal.iter().filter(|entry| entry.account == key);
        let credited = self.journal.iter().filter(|entry| match entry.kind {
            EntryKind::Credited => entry.account == key,
            EntryKind::CapOpened(cap) => cap == key,
            _ => false,
        });
        let charged = self.journal.iter().filter(|entry| match &entry.kind {
            EntryKind::Ended { handle, .. } => draws(handle),
            _ => false,
        });
        let holds = [
            (account.is_balanced(), Breach::Unbalanced(key)),
            (sum(&mut open.map(|reservation| reservation.units)) == account.reserved, Breach::Reserved(key)),
            (sum(&mut credited.map(|entry| entry.credited)) == account.credited, Breach::Credited(key)),
            (sum(&mut charged.map(|entry| entry.charged)) == account.debited, Breach::Debited(key)),
            (sum(&mut own().map(|entry| entry.owed)) == account.owed, Breach::Owed(key)),
        ];
        breaches.extend(holds.into_iter().filter(|(holds, _)| !holds).map(|(_, breach)| breach));
    }
}

impl Ledger for MemoryLedger {
    fn apply(&self, operation: Operation, at: u64) -> BoxFuture<'static, Result<Effect, StoreError>> {
        let effect = self.step(&operation, at);
        Box::pin(std::future::ready(effect))
    }

    fn overdue(&self, until: u64, max: usize) -> BoxFuture<'_, Result<Vec<Handle>, StoreError>> {
        let rows = self.rows();
        let mut overdue: Vec<_> = rows.open.values().filter(|open| open.deadline <= until).collect();
        overdue.sort_by_key(|open| (open.deadline, open.handle.id));
        let handles = overdue.into_iter().map(|open| open.handle.clone()).take(max).collect();
        Box::pin(std::future::ready(Ok(handles)))
    }

    fn forget_claims(&self, now: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        let keeps = |claim: &ClaimRecord| claim.state == ClaimState::InFlight || claim.expires_at > now;
        self.rows().claims.retain(|_, claim| keeps(claim));
        Box::pin(std::future::ready(Ok(())))
    }

    fn revoked_since(&self, mark: u64) -> BoxFuture<'_, Result<Revocations, StoreError>> {
        let rows = self.rows();
        let known = usize::try_from(mark).unwrap_or(usize::MAX).min(rows.revoked.len());
        let tokens = rows.revoked[known..].to_vec();
        let revocations = Revocations { mark: rows.revoked.len() as u64, tokens };
        Box::pin(std::future::ready(Ok(revocations)))
    }

    fn holding(&self, token_id: TokenId) -> BoxFuture<'_, Result<Option<Holding>, StoreError>> {
        Box::pin(std::future::ready(Ok(self.rows().holding(token_id))))
    }

    fn journal(&self, after: u64, max: usize) -> BoxFuture<'_, Result<Vec<(u64, Entry)>, StoreError>> {
        let rows = self.rows();
        let lines = (1..).zip(rows.journal.iter().cloned()).skip_while(|(line, _)| *line <= after);
        let lines = lines.take(max).collect();
        Box::pin(std::future::ready(Ok(lines)))
    }

    fn check_invariants(&self) -> BoxFuture<'_, Result<Audit, StoreError>> {
        Box::pin(std::future::ready(Ok(self.audit())))
    }

    fn fault(&self) -> Option<StoreError> {
        None
    }
}
