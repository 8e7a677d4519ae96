//! The rows of a ledger in memory, for stores that fail on purpose: the state machine is loaded from them and written
//! back to them.

use l402::TokenId;
use l402_paywall::ledger::{
    Account, AccountKey, Audit, Book, Breach, Changes, ClaimRecord, ClaimState, Ending, Entry, EntryKind,
    Handle, Holding, Needs, Owner, Reservation, ReservationId, TokenRecord, Units,
};
use std::collections::BTreeMap;

/// Everything that is written down.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Balances.
    pub accounts: BTreeMap<AccountKey, Account>,
    /// Reservations that are open.
    pub open: BTreeMap<ReservationId, Reservation>,
    /// How reservations ended.
    pub ended: BTreeMap<ReservationId, Ending>,
    /// Tokens that were revoked, in that order.
    pub revoked: Vec<TokenId>,
    /// Requests with an `Idempotency-Key`.
    pub claims: BTreeMap<[u8; 32], ClaimRecord>,
    /// What changed for good.
    pub journal: Vec<Entry>,
}

/// What an account should hold, as the journal and the open reservations say.
#[derive(Default)]
struct Due {
    credited: u64,
    debited: u64,
    reserved: u64,
    owed: u64,
}

impl Rows {
    /// Loads what is not in the book yet.
    pub fn load(&self, book: &mut Book, needs: &Needs) {
        let missing = book.missing(needs);
        let mut accounts = missing.accounts;
        if let Some(token_id) = missing.token {
            let account = self.root_of(token_id);
            let revoked_at = self.revoked.contains(&token_id).then_some(0);
            book.load_token(token_id, TokenRecord { revoked_at, account });
            accounts.extend(account);
        }
        for key in accounts {
            book.load_account(key, self.accounts.get(&key).cloned());
        }
        if let Some(id) = missing.reservation {
            book.load_reservation(id, self.open.get(&id).cloned(), self.ended.get(&id).copied());
        }
        if let Some(key) = missing.claim {
            book.load_claim(key, self.claims.get(&key).cloned());
        }
    }

    /// Writes everything down that a transaction changed.
    pub fn write(&mut self, changes: Changes) {
        for (key, account) in changes.accounts {
            put(&mut self.accounts, key, account);
        }
        for (id, reservation) in changes.open {
            put(&mut self.open, id, reservation);
        }
        for (key, claim) in changes.claims {
            put(&mut self.claims, key, claim);
        }
        let mut revoked: Vec<_> = changes.tokens.into_iter().map(|(token_id, _)| token_id).collect();
        revoked.sort_by_key(|token_id| *token_id.as_bytes());
        self.revoked.extend(revoked);
        for entry in &changes.journal {
            if let (EntryKind::Ended { handle, .. }, Some(ending)) = (&entry.kind, entry.ending()) {
                self.ended.insert(handle.id, ending);
            }
        }
        self.journal.extend(changes.journal);
    }

    /// Reservations whose deadline has passed, the oldest first.
    pub fn overdue(&self, until: u64, max: usize) -> Vec<Handle> {
        let mut overdue: Vec<_> = self.open.values().filter(|open| open.deadline <= until).collect();
        overdue.sort_by_key(|open| (open.deadline, open.handle.id));
        overdue.into_iter().map(|open| open.handle.clone()).take(max).collect()
    }

    /// Forgets claims that have expired.
    pub fn forget_claims(&mut self, now: u64) {
        self.claims.retain(|_, claim| claim.state == ClaimState::InFlight || claim.expires_at > now);
    }

    /// What a token has.
    pub fn holding(&self, token_id: TokenId) -> Option<Holding> {
        let root = self.root_of(token_id)?;
        let open = self.open.values().filter(|open| open.handle.accounts.first() == Some(&root));
        let caps = self.accounts.iter().filter(|(_, account)| account.owner == Owner::Cap(root));
        Some(Holding {
            account: self.accounts.get(&root)?.clone(),
            open: open.cloned().collect(),
            caps: caps.map(|(key, account)| (*key, account.clone())).collect(),
        })
    }

    /// Looks whether every unit is where the journal and the open reservations say that it is.
    pub fn audit(&self) -> Audit {
        let mut audit = Audit { open: self.open.len() as u64, ..Audit::default() };
        let due = self.due(&mut audit.breaches);
        for (key, account) in &self.accounts {
            audit.count(account);
            let due = due.get(key);
            let says = |of: fn(&Due) -> u64, units: Units| due.map_or(0, of) == units.get();
            let holds = [
                (account.is_balanced(), Breach::Unbalanced(*key)),
                (says(|due| due.reserved, account.reserved), Breach::Reserved(*key)),
                (says(|due| due.credited, account.credited), Breach::Credited(*key)),
                (says(|due| due.debited, account.debited), Breach::Debited(*key)),
                (says(|due| due.owed, account.owed), Breach::Owed(*key)),
            ];
            audit.breaches.extend(holds.into_iter().filter(|(holds, _)| !holds).map(|(_, breach)| breach));
        }
        audit.breaches.truncate(Audit::BREACHES_MAX);
        audit
    }

    fn due(&self, breaches: &mut Vec<Breach>) -> BTreeMap<AccountKey, Due> {
        let mut due: BTreeMap<AccountKey, Due> = BTreeMap::new();
        for entry in &self.journal {
            let credited_to = if let EntryKind::CapOpened(cap) = entry.kind { cap } else { entry.account };
            due.entry(credited_to).or_default().credited += entry.credited.get();
            due.entry(entry.account).or_default().owed += entry.owed.get();
            if let EntryKind::Ended { handle, .. } = &entry.kind {
                for key in handle.accounts.iter() {
                    due.entry(*key).or_default().debited += entry.charged.get();
                }
            }
        }
        for open in self.open.values() {
            for key in open.handle.accounts.iter() {
                due.entry(*key).or_default().reserved += open.units.get();
                if !self.accounts.contains_key(key) {
                    breaches.push(Breach::Orphan(open.handle.id));
                }
            }
        }
        due
    }

    /// The account of a token's purchase.
    pub fn root_of(&self, token_id: TokenId) -> Option<AccountKey> {
        let is_own = |account: &Account| matches!(&account.owner, Owner::Purchase { token_id: own, .. } if *own == token_id);
        self.accounts.iter().find(|(_, account)| is_own(account)).map(|(key, _)| *key)
    }
}

fn put<K: Ord, V>(rows: &mut BTreeMap<K, V>, key: K, row: Option<V>) {
    match row {
        Some(row) => rows.insert(key, row),
        None => rows.remove(&key),
    };
}
