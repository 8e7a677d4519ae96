//! Who makes requests, and what they show: tokens, narrowed copies of them and of those, nothing, and forgeries.

use crate::{
    books::{Books, Shown},
    dice::Dice,
    process::{Premises, Process},
    tariff::{Route, Tariff},
    visit::{Script, Visit, head},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use l402::{Macaroon, OfferScheme, Preimage};
use std::sync::Arc;

/// Everybody.
pub(crate) struct Crowd {
    dice: Arc<Dice>,
    tariff: Arc<Tariff>,
    books: Books,
    /// Copies of each purchase.
    copies: Vec<Vec<Copy>>,
    /// Requests with an `Idempotency-Key`, to be repeated.
    keyed: Vec<Keyed>,
    /// Tokens that nobody paid for.
    unpaid: Vec<Macaroon>,
    visits: u64,
}

/// A copy of a token, with the budgets that were appended to it.
type Copy = (Vec<u64>, Macaroon);

/// A request with an `Idempotency-Key`.
#[derive(Clone)]
struct Keyed {
    purchase: usize,
    copy: Copy,
    route: Route,
    key: u8,
}

impl Crowd {
    pub(crate) fn new(premises: &Premises, books: &Books) -> Self {
        Self {
            dice: Arc::clone(&premises.dice),
            tariff: Arc::clone(&premises.tariff),
            books: books.clone(),
            copies: Vec::new(),
            keyed: Vec::new(),
            unpaid: Vec::new(),
            visits: 0,
        }
    }

    /// Somebody did not pay for this token.
    pub(crate) fn keep_unpaid(&mut self, token: Macaroon) {
        self.unpaid.push(token);
    }

    /// Somebody asks this gateway.
    pub(crate) fn visit(&mut self, process: &Process) -> (Visit, Shown) {
        let dice = Arc::clone(&self.dice);
        let route = dice.one_of(&Route::ALL);
        let script = Script::draw(&dice, &self.tariff);
        let key = dice.chance(30).then(|| dice.one_of(&[1, 2]));
        let has_paid = self.books.purchases() > 0;
        if !has_paid || dice.chance(10) {
            let pack = dice.one_of(&["default", "large", "large", "huge"]);
            let fields: &[(&str, &str)] = if dice.chance(50) { &[("l402-pack", pack)] } else { &[] };
            return (self.visit_with(route, fields, key, script), Shown::Nothing);
        }
        if dice.chance(8) {
            let credential = self.forge();
            let fields = [("authorization", credential.as_str())];
            return (self.visit_with(route, &fields, key, script), Shown::Forgery);
        }
        if key.is_some() && !self.keyed.is_empty() && dice.chance(70) {
            let Keyed { purchase, copy, route, key } = self.keyed[dice.index(self.keyed.len())].clone();
            return self.visit_of(process, purchase, copy, route, Some(key), script);
        }
        let purchase = dice.index(self.books.purchases());
        let copy = self.copy_of(purchase);
        if let Some(key) = key {
            self.keyed.push(Keyed { purchase, copy: copy.clone(), route, key });
        }
        self.visit_of(process, purchase, copy, route, key, script)
    }

    /// Somebody shows a copy of a token.
    fn visit_of(
        &mut self,
        process: &Process,
        index: usize,
        (path, token): Copy,
        route: Route,
        key: Option<u8>,
        script: Script,
    ) -> (Visit, Shown) {
        let purchase = self.books.purchase(index);
        let credential = l402::authorization_value(OfferScheme::L402, &token, &purchase.preimage);
        let revocation_was_read = process.has_followed(purchase.token_id);
        let shown = Shown::Token { purchase: index, path, revocation_was_read };
        (self.visit_with(route, &[("authorization", &credential)], key, script), shown)
    }

    /// The owner of a token asks for the plainest thing there is.
    pub(crate) fn last_visit(&mut self, index: usize) -> (Visit, Shown) {
        let purchase = self.books.purchase(index);
        let credential = l402::authorization_value(OfferScheme::L402, &purchase.token, &purchase.preimage);
        let shown = Shown::Token { purchase: index, path: Vec::new(), revocation_was_read: false };
        let fields = [("authorization", credential.as_str())];
        (self.visit_with(Route::Fixed, &fields, None, Script::plain()), shown)
    }

    fn visit_with(
        &mut self,
        route: Route,
        fields: &[(&str, &str)],
        key: Option<u8>,
        script: Script,
    ) -> Visit {
        self.visits += 1;
        Visit { number: self.visits, head: head(route, fields), route, key, script }
    }

    /// The token itself, a copy that somebody has already, or a new copy of one of these.
    fn copy_of(&mut self, index: usize) -> Copy {
        let dice = &self.dice;
        while self.copies.len() <= index {
            let token = self.books.purchase(self.copies.len()).token;
            self.copies.push(vec![(Vec::new(), token)]);
        }
        let of = dice.index(self.copies[index].len());
        let (path, token) = self.copies[index][of].clone();
        if dice.chance(70) || path.len() > 2 {
            return if dice.chance(50) { self.copies[index][0].clone() } else { (path, token) };
        }
        let limit = path.last().copied().unwrap_or(self.books.purchase(index).units);
        let budget = dice.between(1, limit.clamp(1, 15));
        let narrowed = (path.into_iter().chain([budget]).collect::<Vec<_>>(), narrow(&token, budget));
        // Whoever appends the same to the same has the same copy.
        if !self.copies[index].iter().any(|(path, _)| *path == narrowed.0) {
            self.copies[index].push(narrowed.clone());
        }
        narrowed
    }

    /// A credential that nobody sold: another preimage, another signature, a budget beyond what was bought, or a token that
    /// was not paid for.
    fn forge(&self) -> String {
        let purchase = self.books.purchase(self.dice.index(self.books.purchases()));
        let (token, preimage) = match self.dice.below(4) {
            3 => {
                let mut bytes = purchase.token.as_bytes().to_vec();
                *bytes.last_mut().unwrap() ^= 1; // in its signature
                return format!("L402 {}:{}", STANDARD.encode(bytes), purchase.preimage.reveal_hex());
            }
            0 => (purchase.token, Preimage::from_bytes([7; 32])),
            1 => (narrow(&purchase.token, purchase.units + 1), purchase.preimage),
            _ => match self.unpaid.last() {
                Some(unpaid) => (unpaid.clone(), purchase.preimage),
                None => (purchase.token, Preimage::from_bytes([8; 32])),
            },
        };
        l402::authorization_value(OfferScheme::L402, &token, &preimage)
    }
}

fn narrow(token: &Macaroon, budget: u64) -> Macaroon {
    token.attenuate(format!("weather_units={budget}").as_bytes()).unwrap()
}
