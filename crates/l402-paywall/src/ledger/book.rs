//! The ledger's state machine. It does no I/O: a store loads the rows that an operation [needs](Operation::needs), has it
//! applied, and writes down what changed, all in one transaction.
//!
//! An operation that is refused changes nothing, and one that was applied before tells again what came of it.

use super::{
    Abandoned, Account, AccountKey, Claim, ClaimRecord, ClaimState, Claimed, Effect, EndedBy, Ending, Entry,
    EntryKind, Handle, Needs, Operation, Owner, Purse, Reservation, ReservationId, Reserve, Standing, Units,
};
use l402::TokenId;
use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

/// The rows that are known, and which of them have changed.
#[derive(Debug, Default)]
pub struct Book {
    accounts: Shelf<AccountKey, Account>,
    open: Shelf<ReservationId, Reservation>,
    ended: Shelf<ReservationId, Ending>,
    tokens: Shelf<TokenId, TokenRecord>,
    claims: Shelf<[u8; 32], ClaimRecord>,
    journal: Vec<Entry>,
}

/// What is known of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenRecord {
    /// When it was revoked, in Unix seconds.
    pub revoked_at: Option<u64>,
    /// Its account, if there is one.
    pub account: Option<AccountKey>,
}

/// What has to be written down. `None` means that the row goes away.
#[derive(Debug, Default)]
pub struct Changes {
    /// Accounts that are new or have changed.
    pub accounts: Vec<(AccountKey, Option<Account>)>,
    /// Open reservations.
    pub open: Vec<(ReservationId, Option<Reservation>)>,
    /// Tokens; written down are those with [`TokenRecord::revoked_at`].
    pub tokens: Vec<(TokenId, Option<TokenRecord>)>,
    /// Claims.
    pub claims: Vec<([u8; 32], Option<ClaimRecord>)>,
    /// New lines of the journal, in this order. Ended reservations are found in it again.
    pub journal: Vec<Entry>,
}

/// The rows do not fit each other, so nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// A reservation draws on an account that is not there or does not hold its units.
    #[error("a reservation is not covered by its account")]
    Uncovered,
    /// A sum would no longer fit.
    #[error("a sum is out of range")]
    Range,
    /// A row was not loaded.
    #[error("a row was not loaded")]
    NotLoaded,
}

/// Rows of one kind: `None` is known to be absent.
#[derive(Debug)]
struct Shelf<K, V> {
    rows: HashMap<K, Option<V>>,
    changed: HashSet<K>,
}

impl<K: Copy + Eq + Hash, V: Clone> Shelf<K, V> {
    fn get(&self, key: K) -> Result<Option<&V>, BookError> {
        self.rows.get(&key).map(Option::as_ref).ok_or(BookError::NotLoaded)
    }

    fn put(&mut self, key: K, row: Option<V>) {
        self.rows.insert(key, row);
        self.changed.insert(key);
    }

    /// A row from the store; one that has been changed here is newer.
    fn load(&mut self, key: K, row: Option<V>) {
        self.rows.entry(key).or_insert(row);
    }

    fn take_changes(&mut self) -> Vec<(K, Option<V>)> {
        let row = |key| Some((key, self.rows.get(&key)?.clone()));
        self.changed.drain().filter_map(row).collect()
    }
}

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self { rows: HashMap::new(), changed: HashSet::new() }
    }
}

impl Book {
    /// Which of the rows that are needed are not known yet.
    pub fn missing(&self, needs: &Needs) -> Needs {
        let unknown_account = |key: &&AccountKey| !self.accounts.rows.contains_key(key);
        Needs {
            accounts: needs.accounts.iter().filter(unknown_account).copied().collect(),
            token: needs.token.filter(|id| !self.tokens.rows.contains_key(id)),
            // Open and ended are loaded together.
            reservation: needs.reservation.filter(|id| !self.ended.rows.contains_key(id)),
            claim: needs.claim.filter(|key| !self.claims.rows.contains_key(key)),
        }
    }

    /// Makes an account known, or its absence.
    pub fn load_account(&mut self, key: AccountKey, account: Option<Account>) {
        self.accounts.load(key, account);
    }

    /// Makes a reservation known, or its absence: as it stands open, or as it has ended.
    pub fn load_reservation(&mut self, id: ReservationId, open: Option<Reservation>, ended: Option<Ending>) {
        self.open.load(id, open);
        self.ended.load(id, ended);
    }

    /// Makes a token known. Its account has to be made known too.
    pub fn load_token(&mut self, id: TokenId, token: TokenRecord) {
        self.tokens.load(id, Some(token));
    }

    /// Makes a claim known, or its absence.
    pub fn load_claim(&mut self, key: [u8; 32], claim: Option<ClaimRecord>) {
        self.claims.load(key, claim);
    }

    /// What has to be written down since the last call.
    pub fn take_changes(&mut self) -> Changes {
        Changes {
            accounts: self.accounts.take_changes(),
            open: self.open.take_changes(),
            tokens: self.tokens.take_changes(),
            claims: self.claims.take_changes(),
            journal: {
                self.ended.changed.clear();
                std::mem::take(&mut self.journal)
            },
        }
    }

    /// Forgets what a store that keeps the book from one transaction to the next will hardly need again, once the changes
    /// are written down: reservations that have ended, and claims, which can be large.
    pub fn forget_ended(&mut self, written: &Changes) {
        for (id, _) in written.open.iter().filter(|(_, open)| open.is_none()) {
            self.open.rows.remove(id);
            self.ended.rows.remove(id);
        }
        self.claims.rows.clear();
    }

    /// How many rows are known.
    pub fn rows(&self) -> usize {
        self.accounts.rows.len() + self.open.rows.len() + self.tokens.rows.len() + self.claims.rows.len()
    }

    /// Does one step at `at` (Unix seconds). On an error nothing has changed.
    pub fn apply(&mut self, operation: &Operation, at: u64) -> Result<Effect, BookError> {
        if self.missing(&operation.needs()) != Needs::default() {
            return Err(BookError::NotLoaded);
        }
        match operation {
            Operation::Credit(purse) => self.credit(purse, at),
            Operation::Reserve(reserve) => self.reserve(reserve, at),
            Operation::Extend { handle, total, deadline } => self.extend(handle, *total, *deadline),
            Operation::Settle { handle, cost, answer } => {
                let state = ClaimState::Answered(answer.clone());
                self.end(handle, EndedBy::Settle, |_| *cost, Some(state), at)
            }
            Operation::Release(handle) => self.end(handle, EndedBy::Release, |_| Units::ZERO, None, at),
            Operation::Expire { handle, rule: Abandoned::Release } => {
                self.end(handle, EndedBy::Expire, |_| Units::ZERO, None, at)
            }
            Operation::Expire { handle, rule: Abandoned::Charge } => {
                let state = ClaimState::Answered(None);
                self.end(handle, EndedBy::Expire, |reserved| reserved, Some(state), at)
            }
            Operation::Revoke(token_id) => self.revoke(*token_id, at),
        }
    }

    fn credit(&mut self, purse: &Purse, at: u64) -> Result<Effect, BookError> {
        if self.is_revoked(purse.token_id)? {
            return Ok(Effect::Revoked);
        }
        let is_new = self.open_purchase(purse, at)?;
        Ok(Effect::Credited { standing: self.standing(&purse.accounts(), purse, Units::ZERO)?, is_new })
    }

    fn reserve(&mut self, reserve: &Reserve, at: u64) -> Result<Effect, BookError> {
        let Reserve { id, purse, units, deadline, claim } = reserve;
        let handle = reserve.handle();
        let accounts = Arc::clone(&handle.accounts);
        if let Some(reservation) = self.open.get(*id)? {
            let is_same = reservation.handle == handle && reservation.units >= *units;
            let reserved = reservation.units;
            return if is_same {
                Ok(Effect::Reserved(self.standing(&accounts, purse, reserved)?))
            } else {
                Ok(Effect::Conflict)
            };
        }
        if let Some(ending) = self.ended.get(*id)?.copied() {
            let standing = self.standing(&accounts, purse, Units::ZERO)?;
            return Ok(Effect::Ended { ending, standing, is_new: false });
        }
        if self.is_revoked(purse.token_id)? {
            return Ok(Effect::Revoked);
        }
        if let Some(claim) = claim
            && let Some(earlier) = self.claimed(claim, at)?
        {
            return Ok(Effect::Claimed(earlier));
        }
        self.open_purchase(purse, at)?;
        let Some(changed) = self.set_aside(&accounts, purse, *units)? else {
            return Ok(Effect::Short(self.standing(&accounts, purse, Units::ZERO)?));
        };
        for cap in purse.caps.iter() {
            if self.accounts.get(cap.key)?.is_none() {
                let opened = EntryKind::CapOpened(cap.key);
                self.journal.push(Entry {
                    credited: cap.units,
                    ..Entry::blank(at, opened, AccountKey::of_payment(purse.payment_hash))
                });
            }
        }
        for (key, account) in changed {
            self.accounts.put(key, Some(account));
        }
        if let Some(Claim { key, request, expires_at }) = claim {
            let (request, expires_at) = (*request, *expires_at);
            let record = ClaimRecord { reservation: *id, request, expires_at, state: ClaimState::InFlight };
            self.claims.put(*key, Some(record));
        }
        self.open.put(*id, Some(Reservation { handle, units: *units, deadline: *deadline }));
        Ok(Effect::Reserved(self.standing(&accounts, purse, *units)?))
    }

    fn extend(&mut self, handle: &Handle, total: Units, deadline: u64) -> Result<Effect, BookError> {
        let Some(reservation) = self.open.get(handle.id)?.cloned() else { return self.ended_before(handle) };
        if reservation.handle != *handle {
            return Ok(Effect::Conflict);
        }
        let more = total.saturating_sub(reservation.units);
        let mut changed = Vec::with_capacity(handle.accounts.len());
        for key in handle.accounts.iter() {
            let account = self.accounts.get(*key)?.ok_or(BookError::Uncovered)?;
            match account.reserved(more) {
                Some(account) => changed.push((*key, account)),
                None => return Ok(Effect::Short(self.known_standing(handle, reservation.units)?)),
            }
        }
        for (key, account) in changed {
            self.accounts.put(key, Some(account));
        }
        let (units, deadline) = (reservation.units.max(total), reservation.deadline.max(deadline));
        self.open.put(handle.id, Some(Reservation { units, deadline, ..reservation }));
        Ok(Effect::Reserved(self.known_standing(handle, units)?))
    }

    /// Ends a reservation; `cost` is asked with what it holds. With `state` the claim stays, without it goes.
    fn end(
        &mut self,
        handle: &Handle,
        by: EndedBy,
        cost: impl FnOnce(Units) -> Units,
        state: Option<ClaimState>,
        at: u64,
    ) -> Result<Effect, BookError> {
        let Some(reservation) = self.open.get(handle.id)?.cloned() else { return self.ended_before(handle) };
        if reservation.handle != *handle {
            return Ok(Effect::Conflict);
        }
        let reserved = reservation.units;
        let cost = cost(reserved);
        let charged = cost.min(reserved);
        let ending = Ending { by, reserved, charged, overrun: cost.saturating_sub(charged) };
        let mut owed = Units::ZERO;
        let mut changed = Vec::with_capacity(handle.accounts.len());
        for key in handle.accounts.iter() {
            let before = self.accounts.get(*key)?.ok_or(BookError::Uncovered)?;
            let after = before.ended(reserved, charged).ok_or(BookError::Uncovered)?;
            owed = owed.saturating_add(after.owed.saturating_sub(before.owed));
            changed.push((*key, after));
        }
        for (key, account) in changed {
            self.accounts.put(key, Some(account));
        }
        if let Some(key) = handle.claim {
            let record = self.claims.get(key)?.cloned();
            self.claims.put(key, record.zip(state).map(|(record, state)| ClaimRecord { state, ..record }));
        }
        self.open.put(handle.id, None);
        self.ended.rows.insert(handle.id, Some(ending));
        let own = handle.accounts.first().copied().ok_or(BookError::Uncovered)?;
        let Ending { charged, overrun, .. } = ending;
        let kind = EntryKind::Ended { handle: handle.clone(), by };
        self.journal.push(Entry { reserved, charged, overrun, owed, ..Entry::blank(at, kind, own) });
        let standing = self.known_standing(handle, Units::ZERO)?;
        Ok(Effect::Ended { ending, standing, is_new: true })
    }

    fn revoke(&mut self, token_id: TokenId, at: u64) -> Result<Effect, BookError> {
        let token = self.tokens.get(token_id)?.copied().unwrap_or_default();
        let account = match token.account {
            Some(key) => self.accounts.get(key)?.cloned().map(|account| (key, account)),
            None => None,
        };
        if token.revoked_at.is_some() {
            let owed = account.map_or(Units::ZERO, |(_, account)| account.owed);
            return Ok(Effect::Withdrawn { owed, is_new: false });
        }
        let mut owed = Units::ZERO;
        if let Some((key, account)) = account {
            let revoked = account.revoked().ok_or(BookError::Range)?;
            owed = revoked.owed;
            self.journal.push(Entry { owed, ..Entry::blank(at, EntryKind::Revoked, key) });
            self.accounts.put(key, Some(revoked));
        }
        self.tokens.put(token_id, Some(TokenRecord { revoked_at: Some(at), ..token }));
        Ok(Effect::Withdrawn { owed, is_new: true })
    }

    fn is_revoked(&self, token_id: TokenId) -> Result<bool, BookError> {
        Ok(self.tokens.get(token_id)?.is_some_and(|token| token.revoked_at.is_some()))
    }

    /// Books a purchase that is not booked yet.
    fn open_purchase(&mut self, purse: &Purse, at: u64) -> Result<bool, BookError> {
        let key = AccountKey::of_payment(purse.payment_hash);
        if self.accounts.get(key)?.is_some() {
            return Ok(false);
        }
        let owner = Owner::Purchase { token_id: purse.token_id, service: purse.service.clone() };
        self.accounts.put(key, Some(Account::opened(owner, purse.pack)));
        // Nothing new to write down about the token itself.
        self.tokens.rows.insert(purse.token_id, Some(TokenRecord { revoked_at: None, account: Some(key) }));
        self.journal.push(Entry { credited: purse.pack, ..Entry::blank(at, EntryKind::Credited, key) });
        Ok(true)
    }

    /// The accounts as they are once the units are set aside; `None` where one of them has too few.
    fn set_aside(
        &self,
        accounts: &[AccountKey],
        purse: &Purse,
        units: Units,
    ) -> Result<Option<Vec<(AccountKey, Account)>>, BookError> {
        let mut changed = Vec::with_capacity(accounts.len());
        for key in accounts {
            let account = match self.accounts.get(*key)? {
                Some(account) => account.reserved(units),
                None => fresh_cap(purse, *key).and_then(|account| account.reserved(units)),
            };
            let Some(account) = account else { return Ok(None) };
            changed.push((*key, account));
        }
        Ok(Some(changed))
    }

    /// What became of an earlier request with this key, if there was one that still counts.
    fn claimed(&self, claim: &Claim, at: u64) -> Result<Option<Claimed>, BookError> {
        let Some(record) = self.claims.get(claim.key)? else { return Ok(None) };
        let is_same = record.request == claim.request;
        Ok(match &record.state {
            ClaimState::Answered(_) if record.expires_at <= at => None,
            _ if !is_same => Some(Claimed::Differs),
            ClaimState::InFlight => Some(Claimed::InFlight),
            ClaimState::Answered(answer) => Some(Claimed::Answered(answer.clone())),
        })
    }

    /// A step that comes after the end.
    fn ended_before(&self, handle: &Handle) -> Result<Effect, BookError> {
        let Some(ending) = self.ended.get(handle.id)?.copied() else { return Ok(Effect::Unknown) };
        let standing = self.known_standing(handle, Units::ZERO)?;
        Ok(Effect::Ended { ending, standing, is_new: false })
    }

    /// What a token can spend, budgets that were never used among them.
    fn standing(
        &self,
        accounts: &[AccountKey],
        purse: &Purse,
        reserved: Units,
    ) -> Result<Standing, BookError> {
        let mut balance = Units::MAX;
        for key in accounts {
            let left = match self.accounts.get(*key)? {
                Some(account) => account.balance,
                None => fresh_cap(purse, *key).map_or(Units::ZERO, |account| account.balance),
            };
            balance = balance.min(left);
        }
        Ok(Standing { balance, reserved })
    }

    fn known_standing(&self, handle: &Handle, reserved: Units) -> Result<Standing, BookError> {
        let mut balance = Units::MAX;
        for key in handle.accounts.iter() {
            balance = balance.min(self.accounts.get(*key)?.map_or(Units::ZERO, |account| account.balance));
        }
        Ok(Standing { balance, reserved })
    }
}

/// A delegated budget that was not used before.
fn fresh_cap(purse: &Purse, key: AccountKey) -> Option<Account> {
    let cap = purse.caps.iter().find(|cap| cap.key == key)?;
    let owner = Owner::Cap(AccountKey::of_payment(purse.payment_hash));
    Some(Account::opened(owner, cap.units))
}
