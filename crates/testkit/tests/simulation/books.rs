//! The books of an observer who sees everything from outside: every payment, what reached every client, what every
//! upstream sent, and the ledger's own records. Nothing that a gateway says is believed.

use crate::{
    client::Client,
    page::{Page, ended_by_visit},
    store::Store,
    story::Story,
    tariff::Tariff,
    visit::Visit,
};
use l402::{Macaroon, Preimage, TokenId};
use l402_lightning::{Invoice, MilliSat};
use l402_paywall::ledger::{AccountKey, Ending};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

/// What the observer knows. Clones are the same books.
#[derive(Clone)]
pub(crate) struct Books {
    store: Arc<Store>,
    story: Story,
    tariff: Arc<Tariff>,
    /// The true time, in Unix seconds.
    time: Arc<AtomicU64>,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Default)]
struct Notes {
    /// Every price that ever was in a price list, in millisatoshis, with what it buys.
    prices: BTreeMap<u64, u64>,
    purchases: Vec<Purchase>,
    pages: BTreeMap<u64, Page>,
    /// Offers that clients got since this was last asked.
    offers: Vec<Offer>,
    /// The first promise that was not kept.
    broken: Option<String>,
}

/// A token that somebody paid for.
#[derive(Clone)]
pub(crate) struct Purchase {
    pub(crate) token: Macaroon,
    pub(crate) token_id: TokenId,
    pub(crate) preimage: Preimage,
    pub(crate) account: AccountKey,
    /// What its invoice's price bought.
    pub(crate) units: u64,
    /// Whether its revocation was acknowledged.
    pub(crate) is_revoked: bool,
}

/// What a 402 offers.
#[derive(Clone)]
pub(crate) struct Offer {
    pub(crate) token: Macaroon,
    pub(crate) token_id: TokenId,
    pub(crate) invoice: Invoice,
}

/// What a visitor shows.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    /// No credential.
    Nothing,
    /// A credential that proves nothing.
    Forgery,
    /// A paid token with these budgets appended; its gateway may have read that it is revoked.
    Token { purchase: usize, path: Vec<u64>, revocation_was_read: bool },
}

impl Books {
    pub(crate) fn new(store: Arc<Store>, story: Story, tariff: Arc<Tariff>, time: Arc<AtomicU64>) -> Self {
        Self { store, story, tariff, time, notes: Arc::default() }
    }

    /// From now on this price is in some price list.
    pub(crate) fn list(&self, msat: u64, units: u64) {
        self.notes().prices.insert(msat, units);
    }

    /// Somebody has paid for an offer and holds the preimage.
    pub(crate) fn pay(&self, offer: Offer, preimage: Preimage) {
        let mut notes = self.notes();
        let msat = offer.invoice.amount().map_or(0, MilliSat::as_msat);
        let Some(units) = notes.prices.get(&msat).copied() else {
            notes
                .broken
                .get_or_insert_with(|| format!("an invoice of {msat} msat was sold for no known price"));
            return;
        };
        let account = AccountKey::of_payment(preimage.payment_hash());
        if notes.purchases.iter().any(|own| own.account == account) {
            return; // it was offered again, because nobody knew that it was settled
        }
        let (token, token_id) = (offer.token, offer.token_id);
        notes.purchases.push(Purchase { token, token_id, preimage, account, units, is_revoked: false });
    }

    pub(crate) fn purchases(&self) -> usize {
        self.notes().purchases.len()
    }

    pub(crate) fn purchase(&self, index: usize) -> Purchase {
        self.notes().purchases[index].clone()
    }

    /// Offers that clients got since the last call.
    pub(crate) fn take_offers(&self) -> Vec<Offer> {
        std::mem::take(&mut self.notes().offers)
    }

    /// An operator was told that the token is revoked.
    pub(crate) fn revoked(&self, token_id: TokenId) {
        let mut notes = self.notes();
        notes
            .purchases
            .iter_mut()
            .filter(|own| own.token_id == token_id)
            .for_each(|own| own.is_revoked = true);
    }

    /// Somebody makes a request.
    pub(crate) fn open(&self, visit: &Visit, shown: Shown) -> Client {
        let number = visit.number;
        let mut notes = self.notes();
        let was_revoked = match &shown {
            Shown::Token { purchase, revocation_was_read, .. } => {
                *revocation_was_read || notes.purchases[*purchase].is_revoked
            }
            _ => false,
        };
        let balance_max = self.balance_max(&notes, &shown);
        let page = Page::new(visit, shown, self.now(), was_revoked, balance_max);
        notes.pages.insert(number, page);
        Client::new(self.clone(), number)
    }

    /// Something happened to the client of a visit.
    pub(crate) fn note(&self, number: u64, event: &'static str, change: impl FnOnce(&mut Page)) {
        self.story.count(event);
        self.story.tell(|| format!("v{number}: {event}"));
        if let Some(page) = self.notes().pages.get_mut(&number) {
            change(page);
        }
    }

    /// There is something new to be checked.
    pub(crate) fn touch(&self) {
        self.store.touch();
    }

    /// Somebody was offered a token.
    pub(crate) fn offer(&self, offer: Offer) {
        self.notes().offers.push(offer);
    }

    pub(crate) fn page(&self, number: u64) -> Option<Page> {
        self.notes().pages.get(&number).cloned()
    }

    pub(crate) fn break_promise(&self, number: u64, why: impl FnOnce() -> String) {
        self.store.touch();
        self.notes().broken.get_or_insert_with(|| format!("v{number}: {}", why()));
    }

    pub(crate) fn tariff(&self) -> &Tariff {
        &self.tariff
    }

    /// What is set aside for a visit at this instant.
    pub(crate) fn held(&self, number: u64) -> Option<u64> {
        self.store.open_for(number).map(|open| open.units.get())
    }

    /// How the reservation of a visit ended.
    pub(crate) fn ending(&self, number: u64) -> Option<Ending> {
        ended_by_visit(&self.store).ok()?.get(&number).copied()
    }

    /// The true time, in Unix seconds.
    pub(crate) fn now(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }

    /// What has to hold at every instant. Nothing is looked at where neither the ledger nor a client has anything new.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !self.store.take_touched() {
            return Ok(());
        }
        let notes = self.notes();
        if let Some(broken) = &notes.broken {
            return Err(broken.clone());
        }
        let rows = self.store.rows();
        if let Some(breach) = rows.audit().breaches.first() {
            return Err(format!("the ledger's books do not close: {breach}"));
        }
        for (index, purchase) in notes.purchases.iter().enumerate() {
            notes.check_budgets(index)?;
            let Some(account) = rows.accounts.get(&purchase.account) else { continue };
            let served = notes.served(index, &[]);
            let (debited, credited) = (account.debited.get(), account.credited.get());
            if credited != purchase.units {
                return Err(format!("p{index} bought {} units and was credited {credited}", purchase.units));
            }
            if served > debited || debited > credited {
                return Err(format!(
                    "of p{index}'s {credited} units {served} were served and {debited} are charged"
                ));
            }
        }
        Ok(())
    }

    /// What has to hold when nothing is under way any more.
    pub(crate) fn close(&self) -> Result<(), String> {
        self.store.touch();
        self.check()?;
        let endings = ended_by_visit(&self.store)?;
        let (notes, rows) = (self.notes(), self.store.rows());
        if !rows.open.is_empty() {
            return Err(format!("{} reservations are still open", rows.open.len()));
        }
        for (number, page) in &notes.pages {
            let page = Page { was_closed: self.store.was_closed(*number), ..page.clone() };
            page.check(endings.get(number).copied(), &self.tariff)
                .map_err(|why| format!("v{number}: {why}"))?;
        }
        for (index, purchase) in notes.purchases.iter().enumerate() {
            let charged: u64 = notes.charged(&endings, index, &[]);
            let Some(account) = rows.accounts.get(&purchase.account) else { continue };
            let left = if account.is_revoked { account.owed } else { account.balance };
            if left.get() + charged != purchase.units {
                return Err(format!(
                    "of p{index}'s {} units {charged} were charged and {left} are left",
                    purchase.units
                ));
            }
        }
        notes.check_claims(&endings)
    }

    /// The most that a token can have, by what was charged until now.
    fn balance_max(&self, notes: &Notes, shown: &Shown) -> u64 {
        let Shown::Token { purchase, path, .. } = shown else { return 0 };
        let Ok(endings) = ended_by_visit(&self.store) else { return 0 };
        let left = |depth: usize| {
            let limit = depth.checked_sub(1).map_or(notes.purchases[*purchase].units, |last| path[last]);
            limit.saturating_sub(notes.charged(&endings, *purchase, &path[..depth]))
        };
        (0..=path.len()).map(left).min().unwrap_or(0)
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap()
    }
}

impl Notes {
    /// Units in whole answers that drew on a budget.
    fn served(&self, purchase: usize, budget: &[u64]) -> u64 {
        self.drew_on(purchase, budget).filter_map(|(_, page)| page.whole).sum()
    }

    /// Units that were charged to a budget.
    fn charged(&self, endings: &BTreeMap<u64, Ending>, purchase: usize, budget: &[u64]) -> u64 {
        let ended = self.drew_on(purchase, budget).filter_map(|(number, _)| endings.get(number));
        ended.map(|ending| ending.charged.get()).sum()
    }

    fn drew_on<'n>(&'n self, own: usize, budget: &'n [u64]) -> impl Iterator<Item = (&'n u64, &'n Page)> {
        self.pages.iter().filter(move |(_, page)| match &page.shown {
            Shown::Token { purchase, path, .. } => *purchase == own && path.starts_with(budget),
            Shown::Nothing | Shown::Forgery => false,
        })
    }

    /// No copy spends beyond its budget, nor do all its copies together.
    fn check_budgets(&self, purchase: usize) -> Result<(), String> {
        for (number, page) in self.drew_on(purchase, &[]) {
            let Shown::Token { path, .. } = &page.shown else { continue };
            for depth in 1..=path.len() {
                let (limit, served) = (path[depth - 1], self.served(purchase, &path[..depth]));
                if served > limit {
                    return Err(format!(
                        "p{purchase}{:?} was served {served} units, lastly v{number}",
                        &path[..depth]
                    ));
                }
            }
        }
        Ok(())
    }

    /// Of all requests under one claim, one is charged at most.
    fn check_claims(&self, endings: &BTreeMap<u64, Ending>) -> Result<(), String> {
        let mut charged = BTreeMap::new();
        for (number, page) in &self.pages {
            let Some(claim) = page.claim() else { continue };
            let is_charged = endings.get(number).is_some_and(|ending| ending.charged.get() > 0);
            if is_charged && let Some(other) = charged.insert(claim, *number) {
                return Err(format!("v{number} and v{other} are one request, and charged twice"));
            }
        }
        Ok(())
    }
}
