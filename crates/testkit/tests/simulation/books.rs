//! The books of an observer who sees everything from outside: every payment, every byte that reached a client, and the
//! ledger's own records. Nothing that a gateway says is believed.

use crate::{
    gateway::{Request, Upstream},
    store::Store,
    story::{Story, name},
};
use l402_lightning::BoxFuture;
use l402_paywall::{
    StoreError,
    ledger::{
        Abandoned, AccountKey, Claim, EndedBy, Ending, EntryKind, Ledger as _, Purse, Reservation,
        ReservationId,
    },
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

/// Far more lines than a world's journal has.
const LINES_MAX: usize = 100_000;

/// What the observer knows. Clones are the same books.
#[derive(Clone)]
pub(crate) struct Books {
    store: Arc<Store>,
    story: Story,
    pages: Arc<Mutex<Pages>>,
}

#[derive(Default)]
struct Pages {
    paid: Vec<Purse>,
    requests: BTreeMap<ReservationId, Page>,
    /// The first promise that was not kept.
    broken: Option<String>,
}

/// One request.
struct Page {
    request: Request,
    was_forwarded: bool,
    /// Units in the whole answer that the client has.
    whole: Option<u64>,
}

/// The client of one request, as the gateway sees it.
pub(crate) struct Client {
    books: Books,
    id: ReservationId,
}

/// Why a client was turned away.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    Short,
    Revoked,
    Claimed,
    Unavailable,
}

impl Books {
    pub(crate) fn new(store: Arc<Store>, story: Story) -> Self {
        Self { store, story, pages: Arc::default() }
    }

    /// Somebody paid for a token.
    pub(crate) fn pay(&self, purse: Purse) {
        self.pages.lock().unwrap().paid.push(purse);
    }

    /// Somebody makes a request.
    pub(crate) fn open(&self, request: Request) -> Client {
        let id = request.id;
        let page = Page { request, was_forwarded: false, whole: None };
        self.pages.lock().unwrap().requests.insert(id, page);
        Client { books: self.clone(), id }
    }

    /// What has to hold at every instant. Nothing is looked at where neither the ledger nor a client has anything new.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !self.store.take_touched() {
            return Ok(());
        }
        let pages = self.pages.lock().unwrap();
        if let Some(broken) = &pages.broken {
            return Err(broken.clone());
        }
        let audit = self.store.ledger.audit();
        if let Some(breach) = audit.breaches.first() {
            return Err(format!("the ledger's books do not close: {breach}"));
        }
        for purse in &pages.paid {
            let Some(holding) = now(self.store.ledger.holding(purse.token_id)) else { continue };
            let token = purse.token_id.as_bytes()[0];
            if holding.account.credited != purse.pack {
                return Err(format!("token {token} was credited {}", holding.account.credited));
            }
            let own = (AccountKey::of_payment(purse.payment_hash), holding.account);
            for (key, account) in std::iter::once(own).chain(holding.caps) {
                let served = pages.served(key);
                let (debited, credited) = (account.debited.get(), account.credited.get());
                if served > debited || debited > credited {
                    return Err(format!(
                        "of token {token}'s {credited} units {served} were served and {debited} charged ({key:?})"
                    ));
                }
            }
        }
        Ok(())
    }

    /// What has to hold when nothing is under way any more.
    pub(crate) fn close(&self, rule: Abandoned) -> Result<(), String> {
        self.store.touch();
        self.check()?;
        let audit = self.store.ledger.audit();
        if audit.open > 0 {
            return Err(format!("{} reservations are still open", audit.open));
        }
        let endings = self.endings();
        let pages = self.pages.lock().unwrap();
        for (id, page) in &pages.requests {
            let ending = endings.get(id).copied();
            page.check(ending, rule).map_err(|why| format!("{}: {why}", name(*id)))?;
        }
        pages.check_claims(&endings)
    }

    /// How each reservation ended, as the journal tells.
    fn endings(&self) -> BTreeMap<ReservationId, Ending> {
        let lines = now(self.store.ledger.journal(0, LINES_MAX));
        let ended = lines.into_iter().filter_map(|(_, line)| match (&line.kind, line.ending()) {
            (EntryKind::Ended { handle, .. }, Some(ending)) => Some((handle.id, ending)),
            _ => None,
        });
        ended.collect()
    }

    /// What is set aside for a request at this instant.
    fn open_reservation(&self, purse: &Purse, id: ReservationId) -> Option<Reservation> {
        let open = now(self.store.ledger.holding(purse.token_id))?.open;
        open.into_iter().find(|reservation| reservation.handle.id == id)
    }
}

impl Pages {
    /// Units in whole answers that drew on an account.
    fn served(&self, key: AccountKey) -> u64 {
        let drew = |page: &&Page| page.request.purse.accounts().contains(&key);
        self.requests.values().filter(drew).filter_map(|page| page.whole).sum()
    }

    /// Of all requests under one claim that is kept, one is charged at most.
    fn check_claims(&self, endings: &BTreeMap<ReservationId, Ending>) -> Result<(), String> {
        let mut charged: BTreeMap<[u8; 32], ReservationId> = BTreeMap::new();
        for (id, page) in &self.requests {
            let Some(claim) = &page.request.claim else { continue };
            let is_charged = endings.get(id).is_some_and(|ending| ending.charged.get() > 0);
            if is_charged && let Some(other) = charged.insert(claim.key, *id) {
                return Err(format!("{} and {} are one request, and charged twice", name(*id), name(other)));
            }
        }
        Ok(())
    }
}

impl Page {
    /// What was charged for it is what it was worth, and what was served was charged.
    fn check(&self, ending: Option<Ending>, rule: Abandoned) -> Result<(), String> {
        let charged = ending.map_or(0, |ending| ending.charged.get());
        if let Some(whole) = self.whole
            && whole > charged
        {
            return Err(format!("{whole} units were served whole, and {charged} charged"));
        }
        let Some(Ending { by, reserved, overrun, .. }) = ending else {
            return if self.was_forwarded { Err("it was forwarded on hope".to_owned()) } else { Ok(()) };
        };
        if by == EndedBy::Expire && rule == Abandoned::Charge {
            return if charged == reserved.get() { Ok(()) } else { Err("the rule was not kept".to_owned()) };
        }
        let most = match (&self.request.upstream, by) {
            (Upstream::Fails, _) | (_, EndedBy::Release | EndedBy::Expire) => 0,
            (Upstream::AnswersUnreadably, _) => self.request.estimate,
            (Upstream::Answers(cost) | Upstream::BreaksOff(cost) | Upstream::LosesItsClient(cost), _) => {
                *cost
            }
            (Upstream::Streams(parts), _) => parts.last().copied().unwrap_or(0),
        };
        if charged > most || (charged > 0 && !self.was_forwarded) {
            return Err(format!("{charged} units were charged, and it was worth {most}"));
        }
        if overrun.get() > 0 && charged != reserved.get() {
            return Err("an overrun, although not everything was charged".to_owned());
        }
        Ok(())
    }
}

impl Client {
    /// The request went upstream, so units have to be set aside for it, or to have been.
    pub(crate) fn forwarded(&self) {
        self.note("forwarded", "forwarded", |page| page.was_forwarded = true);
        let purse = self.request().purse;
        let was_reserved = self.books.open_reservation(&purse, self.id).is_some()
            || self.books.endings().contains_key(&self.id);
        if !was_reserved {
            self.break_promise("it was forwarded on hope");
        }
    }

    /// The client has the first `units` of a stream, so they have to be set aside, or the reservation has ended since.
    pub(crate) fn part(&self, units: u64) {
        self.note("part served", "has a part", |_| ());
        let reservation = self.books.open_reservation(&self.request().purse, self.id);
        if reservation.is_some_and(|reservation| reservation.units.get() < units) {
            self.break_promise("a stream ran ahead of its reservation");
        }
    }

    /// The client has the whole answer.
    pub(crate) fn whole(&self, units: u64) {
        self.note("whole answer", "has everything", |page| page.whole = Some(units));
    }

    /// The client has an answer that was kept: of a request that was settled under the same claim.
    pub(crate) fn replayed(&self, answer: &[u8]) {
        self.note("answer replayed", "has the kept answer", |_| ());
        let request = self.request();
        let original = <[u8; 16]>::try_from(answer).ok().map(ReservationId::from_bytes);
        let earlier = original.and_then(|id| {
            let earlier = self.books.pages.lock().unwrap().requests.get(&id)?.request.claim.clone()?;
            (self.books.endings().get(&id)?.by == EndedBy::Settle).then_some(earlier)
        });
        let is_same =
            |(earlier, own): (Claim, Claim)| (earlier.key, earlier.request) == (own.key, own.request);
        if !earlier.zip(request.claim).is_some_and(is_same) {
            self.break_promise("somebody else's answer was replayed");
        }
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        let (event, line) = match refusal {
            Refusal::Short => ("refused: short", "is refused: too few units"),
            Refusal::Revoked => ("refused: revoked", "is refused: revoked"),
            Refusal::Claimed => ("refused: claimed", "is refused: made before"),
            Refusal::Unavailable => ("refused: unavailable", "is refused: no ledger"),
        };
        self.note(event, line, |_| ());
    }

    /// The upstream failed.
    pub(crate) fn failed(&self) {
        self.note("upstream failed", "is told of the upstream's failure", |_| ());
    }

    /// The client sees that the answer is not whole.
    pub(crate) fn cut(&self) {
        self.note("answer cut", "sees its answer end early", |_| ());
    }

    fn note(&self, event: &'static str, line: &str, change: impl FnOnce(&mut Page)) {
        self.books.store.touch();
        self.books.story.count(event);
        self.books.story.tell(|| format!("client of {}: {line}", name(self.id)));
        if let Some(page) = self.books.pages.lock().unwrap().requests.get_mut(&self.id) {
            change(page);
        }
    }

    fn request(&self) -> Request {
        self.books.pages.lock().unwrap().requests[&self.id].request.clone()
    }

    fn break_promise(&self, why: &str) {
        let mut pages = self.books.pages.lock().unwrap();
        pages.broken.get_or_insert_with(|| format!("{}: {why}", name(self.id)));
    }
}

/// An answer of the ledger itself, which is there at once.
fn now<T>(mut answer: BoxFuture<'_, Result<T, StoreError>>) -> T {
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.unwrap(),
        Poll::Pending => panic!("a ledger in memory answers at once"),
    }
}
