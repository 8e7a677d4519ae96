//! The client of one request, as the gateway meets it: it believes nothing, and notes everything.

use crate::{
    books::{Books, Offer, Shown},
    page::Page,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use l402_lightning::Invoice;
use l402_paywall::{
    Answer,
    ledger::EndedBy,
    metering::{BALANCE, COST},
};

/// One client. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Client {
    books: Books,
    number: u64,
}

impl Client {
    pub(crate) fn new(books: Books, number: u64) -> Self {
        Self { books, number }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// When it asked, by the time that never jumps, in seconds.
    pub(crate) fn began_at(&self) -> u64 {
        self.page().began_at
    }

    /// The gateway itself has answered.
    pub(crate) fn answered(&self, answer: &Answer) {
        self.note(answer.refusal.reason(), |_| ());
        let status = answer.response.status();
        if let Ok(problem) = serde_json::from_slice::<serde_json::Value>(answer.response.body())
            && let Some(balance) = problem["balance"].as_u64()
        {
            self.told(balance, None);
        }
        let lines = answer.response.headers().get_all(header::WWW_AUTHENTICATE);
        let offers = l402::read_challenges(lines.iter().map(HeaderValue::as_bytes));
        for offer in offers.into_iter().flatten().take(1) {
            match Invoice::parse(&offer.invoice) {
                Ok(invoice) if invoice.payment_hash() == offer.identifier.payment_hash => {
                    let token_id = offer.identifier.token_id;
                    self.books.offer(Offer { token: offer.token, token_id, invoice });
                }
                _ => self.break_promise("a token was offered for the payment of another"),
            }
        }
        match answer.refusal.reason() {
            "internal" => self.break_promise("the gateway failed"),
            // What was set aside can end by its deadline before the gateway learns of it.
            "ledger_unavailable" => {
                let ended_by = self.books.ending(self.number).map(|ending| ending.by);
                if ended_by == Some(EndedBy::Expire) {
                    self.note("expired unseen", |page| page.expired_unseen = true);
                }
            }
            _ => {}
        }
        // Whoever paid and was not revoked is never told that the token is none.
        let is_honest = matches!(self.page().shown, Shown::Token { .. });
        if is_honest && status == 401 {
            self.break_promise("a good token was refused as a bad one");
        }
        if is_honest && matches!(answer.refusal.reason(), "invalid_token" | "payment_required") {
            self.break_promise("a good token was not recognised");
        }
    }

    /// The request goes upstream, so units have to be set aside for it, or to have been.
    pub(crate) fn forwarded(&self) {
        self.note("forwarded", |page| page.was_forwarded = true);
        let page = self.page();
        match page.shown {
            Shown::Token { .. } if page.was_revoked => {
                self.break_promise("a token was admitted after its revocation");
            }
            Shown::Token { .. } => {}
            Shown::Nothing | Shown::Forgery => self.break_promise("it was admitted without a payment"),
        }
        if self.books.held(self.number).is_none() && self.books.ending(self.number).is_none() {
            self.break_promise("it was forwarded on hope");
        }
    }

    /// The upstream cannot be reached, or does not answer.
    pub(crate) fn upstream_failed(&self) {
        self.note("upstream failed", |page| page.upstream_failed = true);
    }

    /// The upstream breaks off.
    pub(crate) fn upstream_broke_off(&self) {
        self.note("upstream broke off", |page| page.upstream_broke_off = true);
    }

    /// The upstream has sent a piece.
    pub(crate) fn upstream_sent(&self, bytes: u64) {
        let now = self.books.now();
        self.note("piece", |page| {
            page.sent += bytes;
            page.sent_at = now;
        });
    }

    /// The head of an answer.
    pub(crate) fn head(&self, headers: &HeaderMap) {
        self.note("head", |page| page.has_head = true);
        let number = |name: HeaderName| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
        let (balance, cost) = (number(BALANCE), number(COST));
        match balance {
            Some(balance) => self.told(balance, cost),
            None => self.break_promise("its balance was not told"),
        }
    }

    /// What the token has, as the gateway says: never more than was bought, less what others have been charged before
    /// this request, less what this request costs or holds.
    pub(crate) fn told(&self, balance: u64, cost: Option<u64>) {
        let own = cost.or_else(|| self.books.held(self.number)).unwrap_or(0);
        let most = self.page().balance_max;
        if balance + own > most {
            self.books.break_promise(self.number, || {
                format!("it was told a balance of {balance} beside its own {own}, and {most} is the most")
            });
        }
    }

    /// It has the first `units` of a stream, so they have to be set aside, or the reservation has ended since.
    pub(crate) fn part(&self, units: u64) {
        self.note("part served", |page| page.part = page.part.max(units));
        if self.books.held(self.number).is_some_and(|held| held < units) {
            self.break_promise("a stream ran ahead of its reservation");
        }
    }

    /// It has the whole answer, so that is charged.
    pub(crate) fn whole(&self) {
        let units = self.page().worth(self.books.tariff());
        self.note("whole answer", |page| page.whole = Some(units));
        self.books.touch();
        let charged = self.books.ending(self.number).map_or(0, |ending| ending.charged.get());
        if charged < units {
            self.books.break_promise(self.number, || {
                format!("a whole answer of {units} units was served, and {charged} are charged")
            });
        }
    }

    /// Its answer ended early, where it can see that.
    pub(crate) fn cut(&self) {
        self.note("answer cut", |page| page.was_cut = true);
    }

    /// Its token has nothing left for the rest of the answer.
    pub(crate) fn spent(&self) {
        self.note("spent in the middle", |page| page.was_spent = true);
    }

    /// It has an answer that was kept: of a request under the same claim that was served before.
    pub(crate) fn replayed(&self, answer: &[u8]) {
        self.note("answer replayed", |_| ());
        let original = <[u8; 8]>::try_from(answer).ok().map(u64::from_be_bytes);
        let earlier = original.and_then(|number| self.books.page(number));
        let own = self.page();
        let is_same = earlier.is_some_and(|earlier| {
            earlier.claim().is_some() && earlier.claim() == own.claim() && earlier.route == own.route
        });
        if !is_same || own.was_revoked {
            self.break_promise("somebody else's answer was replayed");
        }
    }

    fn page(&self) -> Page {
        self.books.page(self.number).unwrap()
    }

    fn note(&self, event: &'static str, change: impl FnOnce(&mut Page)) {
        self.books.note(self.number, event, change);
    }

    fn break_promise(&self, why: &str) {
        self.books.break_promise(self.number, || why.to_owned());
    }
}
