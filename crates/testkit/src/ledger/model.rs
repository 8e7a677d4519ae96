//! What a ledger has to say, worked out from the list of requests that were accepted, and from nothing else.
//!
//! No sum is kept: each is added up anew whenever it is asked for.

use bytes::Bytes;
use l402::{Name, TokenId};
use l402_paywall::ledger::{
    Abandoned, Account, AccountKey, Claim, Claimed, Effect, EndedBy, Ending, Entry, EntryKind, Handle,
    Holding, Operation, Owner, Purse, Reservation, ReservationId, Reserve, Standing, Totals, Units,
};

/// A ledger on paper.
#[derive(Debug, Default)]
pub(super) struct Model {
    bought: Vec<Purchase>,
    accepted: Vec<Accepted>,
    revoked: Vec<TokenId>,
    journal: Vec<Entry>,
}

#[derive(Debug)]
struct Purchase {
    key: AccountKey,
    token_id: TokenId,
    service: Name,
    pack: u64,
}

/// A request that was not refused.
#[derive(Debug)]
struct Accepted {
    asked: Reserve,
    held: u64,
    deadline: u64,
    end: Option<End>,
}

#[derive(Debug)]
struct End {
    ending: Ending,
    claim: After,
}

/// What whoever makes the same claim afterwards is told.
#[derive(Debug)]
enum After {
    /// Nothing: the claim is free again.
    Free,
    Answered(Option<Bytes>),
}

impl Model {
    /// What has to come of a step.
    pub(super) fn apply(&mut self, operation: &Operation, at: u64) -> Effect {
        match operation {
            Operation::Credit(purse) if self.is_revoked(purse.token_id) => Effect::Revoked,
            Operation::Credit(purse) => {
                let is_new = self.buy(purse, at);
                Effect::Credited { standing: self.standing(purse, 0), is_new }
            }
            Operation::Reserve(reserve) => self.reserve(reserve, at),
            Operation::Extend { handle, total, deadline } => self.extend(handle, total.get(), *deadline),
            Operation::Settle { handle, cost, answer } => {
                self.end(handle, EndedBy::Settle, Some(cost.get()), After::Answered(answer.clone()), at)
            }
            Operation::Release(handle) => self.end(handle, EndedBy::Release, Some(0), After::Free, at),
            Operation::Expire { handle, rule: Abandoned::Release } => {
                self.end(handle, EndedBy::Expire, Some(0), After::Free, at)
            }
            Operation::Expire { handle, rule: Abandoned::Charge } => {
                self.end(handle, EndedBy::Expire, None, After::Answered(None), at)
            }
            Operation::Revoke(token_id) => self.revoke(*token_id, at),
        }
    }

    /// A token's account with its open reservations and its budgets, in the order of their names.
    pub(super) fn holding(&self, token_id: TokenId) -> Option<Holding> {
        let root = self.bought.iter().find(|purchase| purchase.token_id == token_id)?.key;
        let is_own = |handle: &Handle| handle.accounts[0] == root;
        let mut open = self.open();
        open.retain(|reservation| is_own(&reservation.handle));
        let mut caps: Vec<_> = self.budgets().into_iter().filter(|(_, of, _)| *of == root).collect();
        caps.sort_by_key(|(key, _, _)| *key);
        let caps = caps.into_iter().filter_map(|(key, _, _)| Some((key, self.account(key)?)));
        Some(Holding { account: self.account(root)?, open, caps: caps.collect() })
    }

    /// Open reservations, in the order of their names.
    pub(super) fn open(&self) -> Vec<Reservation> {
        let open = self.accepted.iter().filter(|accepted| accepted.end.is_none());
        let mut open: Vec<_> = open
            .map(|accepted| Reservation {
                handle: accepted.asked.handle(),
                units: units(accepted.held),
                deadline: accepted.deadline,
            })
            .collect();
        open.sort_by_key(|reservation| reservation.handle.id);
        open
    }

    /// A reservation's handle, if there ever was one of this name.
    pub(super) fn handle(&self, id: ReservationId) -> Option<Handle> {
        self.find(id).map(|index| self.accepted[index].asked.handle())
    }

    pub(super) fn revoked(&self) -> &[TokenId] {
        &self.revoked
    }

    pub(super) fn journal(&self) -> &[Entry] {
        &self.journal
    }

    /// How many purchases, budgets and open reservations there are, and the sums over the purchases.
    pub(super) fn counts(&self) -> ([usize; 3], Totals) {
        let mut totals = Totals::default();
        for account in self.bought.iter().filter_map(|purchase| self.account(purchase.key)) {
            totals.credited += u128::from(account.credited.get());
            totals.debited += u128::from(account.debited.get());
            totals.balance += u128::from(account.balance.get());
            totals.reserved += u128::from(account.reserved.get());
            totals.owed += u128::from(account.owed.get());
        }
        ([self.bought.len(), self.budgets().len(), self.open().len()], totals)
    }

    fn reserve(&mut self, asked: &Reserve, at: u64) -> Effect {
        let purse = &asked.purse;
        if let Some(index) = self.find(asked.id) {
            let known = &self.accepted[index];
            return match &known.end {
                Some(end) => {
                    let ending = end.ending;
                    Effect::Ended { ending, standing: self.standing(purse, 0), is_new: false }
                }
                None if known.asked.handle() == asked.handle() && known.held >= asked.units.get() => {
                    Effect::Reserved(self.standing(purse, known.held))
                }
                None => Effect::Conflict,
            };
        }
        if self.is_revoked(purse.token_id) {
            return Effect::Revoked;
        }
        if let Some(earlier) = asked.claim.as_ref().and_then(|claim| self.claimed(claim, at)) {
            return Effect::Claimed(earlier);
        }
        self.buy(purse, at);
        let standing = self.standing(purse, 0);
        if asked.units > standing.balance {
            return Effect::Short(standing);
        }
        let root = AccountKey::of_payment(purse.payment_hash);
        for cap in purse.caps.iter() {
            if self.account(cap.key).is_none() {
                let kind = EntryKind::CapOpened(cap.key);
                self.journal.push(Entry { credited: cap.units, ..line(at, kind, root) });
            }
        }
        let held = asked.units.get();
        self.accepted.push(Accepted { asked: asked.clone(), held, deadline: asked.deadline, end: None });
        Effect::Reserved(self.standing(purse, held))
    }

    fn extend(&mut self, handle: &Handle, total: u64, deadline: u64) -> Effect {
        let index = match self.find_open(handle) {
            Ok(index) => index,
            Err(effect) => return effect,
        };
        let held = self.accepted[index].held;
        let left = self.left(handle).get();
        if total.saturating_sub(held) > left {
            return Effect::Short(Standing { balance: units(left), reserved: units(held) });
        }
        let accepted = &mut self.accepted[index];
        accepted.held = held.max(total);
        accepted.deadline = accepted.deadline.max(deadline);
        let reserved = units(accepted.held);
        Effect::Reserved(Standing { balance: self.left(handle), reserved })
    }

    /// `cost` is `None` where the whole reservation is charged.
    fn end(&mut self, handle: &Handle, by: EndedBy, cost: Option<u64>, claim: After, at: u64) -> Effect {
        let index = match self.find_open(handle) {
            Ok(index) => index,
            Err(effect) => return effect,
        };
        let root = handle.accounts[0];
        let owed_before = self.account(root).map_or(0, |account| account.owed.get());
        let accepted = &mut self.accepted[index];
        let cost = cost.unwrap_or(accepted.held);
        let charged = accepted.held.min(cost);
        let (reserved, overrun) = (units(accepted.held), units(cost - charged));
        let ending = Ending { by, reserved, charged: units(charged), overrun };
        accepted.end = Some(End { ending, claim });
        let owed = self.account(root).map_or(0, |account| account.owed.get()) - owed_before;
        let kind = EntryKind::Ended { handle: handle.clone(), by };
        let (charged, owed) = (units(charged), units(owed));
        self.journal.push(Entry { reserved, charged, overrun, owed, ..line(at, kind, root) });
        let standing = Standing { balance: self.left(handle), reserved: Units::ZERO };
        Effect::Ended { ending, standing, is_new: true }
    }

    fn revoke(&mut self, token_id: TokenId, at: u64) -> Effect {
        let is_new = !self.is_revoked(token_id);
        if is_new {
            self.revoked.push(token_id);
        }
        let root = self.bought.iter().find(|purchase| purchase.token_id == token_id);
        let Some(root) = root.map(|purchase| purchase.key) else {
            return Effect::Withdrawn { owed: Units::ZERO, is_new };
        };
        let owed = self.account(root).map_or(Units::ZERO, |account| account.owed);
        if is_new {
            self.journal.push(Entry { owed, ..line(at, EntryKind::Revoked, root) });
        }
        Effect::Withdrawn { owed, is_new }
    }

    fn buy(&mut self, purse: &Purse, at: u64) -> bool {
        let key = AccountKey::of_payment(purse.payment_hash);
        let is_new = self.account(key).is_none();
        if is_new {
            let (token_id, service, pack) = (purse.token_id, purse.service.clone(), purse.pack.get());
            self.bought.push(Purchase { key, token_id, service, pack });
            self.journal.push(Entry { credited: purse.pack, ..line(at, EntryKind::Credited, key) });
        }
        is_new
    }

    /// An account, added up.
    fn account(&self, key: AccountKey) -> Option<Account> {
        let purchase = self.bought.iter().find(|purchase| purchase.key == key);
        let (owner, credited, is_revoked) = if let Some(Purchase { token_id, service, pack, .. }) = purchase {
            let owner = Owner::Purchase { token_id: *token_id, service: service.clone() };
            (owner, *pack, self.is_revoked(*token_id))
        } else {
            let (_, of, budget) = self.budgets().into_iter().find(|(cap, _, _)| *cap == key)?;
            (Owner::Cap(of), budget, false)
        };
        let drawn = self.accepted.iter().filter(|accepted| accepted.asked.handle().accounts.contains(&key));
        let (mut debited, mut reserved) = (0, 0);
        for accepted in drawn {
            match &accepted.end {
                Some(end) => debited += end.ending.charged.get(),
                None => reserved += accepted.held,
            }
        }
        let rest = credited - debited - reserved;
        let (balance, owed) = if is_revoked { (0, rest) } else { (rest, 0) };
        Some(Account {
            owner,
            credited: units(credited),
            debited: units(debited),
            balance: units(balance),
            reserved: units(reserved),
            owed: units(owed),
            is_revoked,
        })
    }

    /// Budgets that were used: their names, their purchases and their sizes.
    fn budgets(&self) -> Vec<(AccountKey, AccountKey, u64)> {
        let mut budgets: Vec<(AccountKey, AccountKey, u64)> = Vec::new();
        for purse in self.accepted.iter().map(|accepted| &accepted.asked.purse) {
            for cap in purse.caps.iter() {
                if !budgets.iter().any(|(key, _, _)| *key == cap.key) {
                    budgets.push((cap.key, AccountKey::of_payment(purse.payment_hash), cap.units.get()));
                }
            }
        }
        budgets
    }

    /// What a token can spend; a budget that was never used is whole.
    fn standing(&self, purse: &Purse, held: u64) -> Standing {
        let left =
            |key: AccountKey, unused: Units| self.account(key).map_or(unused, |account| account.balance);
        let own = left(AccountKey::of_payment(purse.payment_hash), Units::ZERO);
        let balance = purse.caps.iter().fold(own, |least, cap| least.min(left(cap.key, cap.units)));
        Standing { balance, reserved: units(held) }
    }

    /// The least that any account of a reservation has left.
    fn left(&self, handle: &Handle) -> Units {
        let left = |key: &AccountKey| self.account(*key).map_or(Units::ZERO, |account| account.balance);
        handle.accounts.iter().map(left).min().unwrap_or(Units::ZERO)
    }

    /// The last accepted request that made this claim has a say, until it gave the claim back or its time is over.
    fn claimed(&self, claim: &Claim, at: u64) -> Option<Claimed> {
        let claims = |accepted: &&Accepted| {
            accepted.asked.claim.as_ref().is_some_and(|earlier| earlier.key == claim.key)
        };
        let last = self.accepted.iter().rfind(claims)?;
        let earlier = last.asked.claim.as_ref()?;
        let told = match &last.end {
            None => Claimed::InFlight,
            Some(End { claim: After::Free, .. }) => return None,
            Some(_) if earlier.expires_at <= at => return None,
            Some(End { claim: After::Answered(answer), .. }) => Claimed::Answered(answer.clone()),
        };
        Some(if earlier.request == claim.request { told } else { Claimed::Differs })
    }

    fn find(&self, id: ReservationId) -> Option<usize> {
        self.accepted.iter().position(|accepted| accepted.asked.id == id)
    }

    fn find_open(&self, handle: &Handle) -> Result<usize, Effect> {
        let index = self.find(handle.id).ok_or(Effect::Unknown)?;
        let known = &self.accepted[index];
        if let Some(end) = &known.end {
            let standing = Standing { balance: self.left(handle), reserved: Units::ZERO };
            return Err(Effect::Ended { ending: end.ending, standing, is_new: false });
        }
        if known.asked.handle() == *handle { Ok(index) } else { Err(Effect::Conflict) }
    }

    fn is_revoked(&self, token_id: TokenId) -> bool {
        self.revoked.contains(&token_id)
    }
}

/// A line without any units.
fn line(at: u64, kind: EntryKind, account: AccountKey) -> Entry {
    let [credited, reserved, charged, overrun, owed] = [Units::ZERO; 5];
    Entry { at, kind, account, credited, reserved, charged, overrun, owed }
}

fn units(count: u64) -> Units {
    Units::new(count).expect("no sum is larger than what was bought")
}
