//! Services that are sold by the unit: what a token says, what is set aside, what is charged.

use crate::house::{House, at, client, get, name, now, paid, request, service, wait};
use http::{Method, header, request::Parts};
use l402::{Macaroon, Preimage};
use l402_lightning::{BoxFuture, MilliSat};
use l402_paywall::{
    AccessMode, Admission, Completed, Entropy, Order, Outcome, Rate, Refused, ServiceSpec, StoreError,
    Verdict,
    ledger::{
        AccountKey, Audit, Claim, Effect, Entry, Handle, Holding, Ledger, MemoryLedger, Operation,
        Revocations, Units,
    },
    meter::{Charge, Charging, CostRule, Direction, Idempotency, MeterSpec, Pack, UnitName, Usage},
    metering::{Metering, Tab},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

const SERVED: Outcome = Outcome::Served { status: 200 };

fn units(count: u32) -> Units {
    Units::from(count)
}

fn pack(label: &str, count: u32, sat: u64) -> Pack {
    let price = MilliSat::from_sat(sat).expect("an amount");
    Pack { name: name(label), units: units(count), price }
}

/// `weather` by the request, 3 for 10 sat.
fn metered(cost: CostRule) -> ServiceSpec {
    let meter = MeterSpec {
        unit: UnitName(name("request")),
        packs: vec![pack("default", 3, 10), pack("large", 100, 200)],
        cost,
        charging: Charging::default(),
        abandoned: l402_paywall::ledger::Abandoned::Release,
        idempotency: None,
    };
    ServiceSpec { meter: Some(meter), ..service("weather", "/") }
}

struct Shop {
    house: House,
    ledger: Arc<MemoryLedger>,
}

impl Shop {
    fn selling(service: ServiceSpec) -> Self {
        let ledger = Arc::new(MemoryLedger::default());
        Self { house: House::metered(vec![service], ledger.clone()), ledger }
    }

    fn by_request() -> Self {
        Self::selling(metered(CostRule::Fixed(Units::ONE)))
    }

    fn ask_with(&self, head: &Parts, order: Order) -> Result<Completed, Refused> {
        match self.house.gate.admit(head, &client(), now())? {
            Verdict::Admitted(admission) => Ok(Completed::Admitted(Box::new(admission))),
            Verdict::Pending(pending) => wait(self.house.gate.complete(pending, order, now())),
        }
    }

    fn ask(&self, head: &Parts) -> Result<Admission, Refused> {
        match self.ask_with(head, Order::default())? {
            Completed::Admitted(admission) => Ok(*admission),
            Completed::Answered(_) => panic!("nothing was claimed"),
        }
    }

    /// What the request gets, where it is refused.
    fn refusal(&self, head: &Parts) -> (u16, &'static str, serde_json::Value) {
        let refused = self.ask(head).expect_err("refused");
        let answer = wait(self.house.gate.answer(refused, head, &client(), now()));
        let body = serde_json::from_slice(answer.response.body()).unwrap_or_default();
        (answer.response.status().as_u16(), answer.refusal.reason(), body)
    }

    fn serve(&self, head: &Parts) {
        finish(self.ask(head).expect("admitted"), SERVED, Usage::Known(Units::ONE));
    }

    fn balance(&self, bought: &(Macaroon, Preimage)) -> Option<u64> {
        let token = l402::Identifier::parse(bought.0.view().identifier()).expect("an identifier");
        let holding = wait(self.ledger.holding(token.token_id)).expect("a ledger");
        holding.map(|holding| holding.account.balance.get())
    }

    fn audit(&self) -> Audit {
        let audit = self.ledger.audit();
        assert_eq!(audit.breaches, []);
        audit
    }
}

fn finish(mut admission: Admission, outcome: Outcome, usage: Usage) {
    let closing = admission.close(outcome, usage, None, now().unix);
    wait(closing.expect("a tab")).expect("in the ledger");
}

fn with_caveats((token, preimage): &(Macaroon, Preimage), caveats: &[&str]) -> (Macaroon, Preimage) {
    let add = |token: Macaroon, caveat: &&str| token.attenuate(caveat.as_bytes()).expect("short");
    (caveats.iter().fold(token.clone(), add), preimage.clone())
}

#[test]
fn a_pack_is_spent_to_its_last_unit_and_no_further() {
    let shop = Shop::by_request();
    let bought = shop.house.buy("/today");
    let head = paid("/today", &bought);
    for left in [2, 1, 0] {
        let admission = shop.ask(&head).expect("admitted");
        assert_eq!(admission.tab().map(|tab| tab.balance().get()), Some(left));
        finish(admission, SERVED, Usage::Known(Units::ONE));
    }
    let (status, reason, body) = shop.refusal(&head);
    assert_eq!((status, reason), (402, "exhausted"));
    assert_eq!((&body["balance"], &body["needed"], &body["unit"]), (&0.into(), &1.into(), &"request".into()));
    assert_eq!((&body["units"], &body["packs"][1]["name"]), (&3.into(), &"large".into()));
    assert_eq!((&body["error"]["code"], &body["error"]["message"]), (&body["reason"], &body["detail"]));
    assert_eq!(body["error"]["type"], "payment_required");
    assert_eq!(shop.audit().totals.debited, 3);
}

#[test]
fn an_unpaid_challenge_leaves_no_row_and_a_pack_is_credited_once() {
    let shop = Shop::by_request();
    for _ in 0..5 {
        assert_eq!(shop.refusal(&get("/today")).0, 402);
    }
    assert_eq!(shop.audit().purchases, 0);
    let bought = shop.house.buy("/today");
    assert_eq!(shop.audit().purchases, 0, "nothing is known before the token is shown");
    shop.serve(&paid("/today", &bought));
    shop.serve(&paid("/today", &bought));
    assert_eq!((shop.audit().purchases, shop.audit().totals.credited), (1, 3));
}

/// What another gateway draws.
struct Elsewhere;

impl Entropy for Elsewhere {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(9);
    }
}

/// Over all gateways of a ledger each purchase is counted once, by the one that booked it.
#[test]
fn a_purchase_is_sold_once_whoever_sees_its_token() {
    let shop = Shop::by_request();
    let bought = shop.house.buy("/today");
    let metering = Arc::new(Metering::new(Some(shop.ledger.clone()), &Elsewhere));
    let services = vec![metered(CostRule::Fixed(Units::ONE))];
    let other = House::with_metering(services, 1, Arc::clone(&shop.house.node), None, metering);
    let sold = |house: &House| house.gate.metering().take_sold();
    assert_eq!((sold(&shop.house), sold(&other)), (vec![], vec![]), "nothing before the token is shown");
    shop.serve(&paid("/today", &bought));
    let beside = Shop { house: other, ledger: Arc::clone(&shop.ledger) };
    beside.serve(&paid("/today", &bought));
    shop.serve(&paid("/today", &bought));
    assert_eq!(sold(&shop.house), [(name("weather"), units(3))]);
    assert_eq!((sold(&shop.house), sold(&beside.house)), (vec![], vec![]));
    let another = shop.house.buy("/today");
    beside.serve(&paid("/today", &another));
    shop.serve(&paid("/today", &another));
    assert_eq!((sold(&shop.house), sold(&beside.house)), (vec![], vec![(name("weather"), units(3))]));
}

#[test]
fn a_later_change_of_the_pack_does_not_change_what_was_bought() {
    let shop = Shop::by_request();
    let (before, other) = (shop.house.buy("/today"), shop.house.buy("/today"));
    shop.serve(&paid("/today", &before));
    let mut changed = metered(CostRule::Fixed(Units::ONE));
    changed.meter.as_mut().expect("a meter").packs = vec![pack("default", 1, 10)];
    let metering = Arc::clone(shop.house.gate.metering());
    let node = Arc::clone(&shop.house.node);
    let later =
        Shop { house: House::with_metering(vec![changed], 1, node, None, metering), ledger: shop.ledger };
    for bought in [&before, &other] {
        later.serve(&paid("/today", bought));
    }
    assert_eq!((later.balance(&before), later.balance(&other)), (Some(1), Some(2)));
    let after = later.house.buy("/today");
    later.serve(&paid("/today", &after));
    assert_eq!(later.balance(&after), Some(0));
}

#[test]
fn buyers_choose_their_pack_by_name() {
    let shop = Shop::by_request();
    let ask = |wanted: &str| request(Method::GET, "/today", &[("l402-pack", wanted)]);
    let refused = shop.ask(&ask("large")).expect_err("unpaid");
    let answer = wait(shop.house.gate.answer(refused, &ask("large"), &client(), now()));
    assert_eq!(answer.minted, MilliSat::from_sat(200));
    let bought = shop.house.pay(&answer);
    shop.serve(&paid("/today", &bought));
    assert_eq!(shop.balance(&bought), Some(99));
    let (status, reason, body) = shop.refusal(&ask("huge"));
    assert_eq!((status, reason, &body["packs"][0]["units"]), (400, "unknown_pack", &3.into()));
}

#[test]
fn a_delegated_copy_spends_from_the_same_balance_and_never_more_than_its_budget() {
    let shop = Shop::by_request();
    let bought = shop.house.buy("/today");
    let copy = with_caveats(&bought, &["weather_units=2"]);
    let copy_of_copy = with_caveats(&copy, &["weather_units=1"]);
    shop.serve(&paid("/today", &copy_of_copy));
    assert_eq!(shop.refusal(&paid("/today", &copy_of_copy)).1, "exhausted");
    shop.serve(&paid("/today", &copy));
    assert_eq!(shop.refusal(&paid("/today", &copy)).1, "exhausted");
    assert_eq!(shop.balance(&bought), Some(1));
    shop.serve(&paid("/today", &bought));
    assert_eq!((shop.audit().caps, shop.audit().totals.debited), (2, 3));
    for (caveat, status, reason) in [
        ("weather_units=4", 401, "widened_caveat"),
        ("weather_units=1e3", 401, "undecodable_caveat"),
        ("weather_units=9223372036854775808", 401, "undecodable_caveat"),
        ("weather_units=0", 402, "exhausted"),
    ] {
        let found = shop.refusal(&paid("/today", &with_caveats(&bought, &[caveat])));
        assert_eq!((found.0, found.1), (status, reason), "{caveat}");
    }
    assert_eq!(shop.refusal(&paid("/today", &with_caveats(&copy, &["weather_units=3"]))).1, "widened_caveat");
}

#[test]
fn a_token_of_the_other_kind_is_refused_and_holders_cannot_make_one_of_the_other() {
    let shop = Shop::by_request();
    let by_unit = shop.house.buy("/today");
    let metering = Arc::clone(shop.house.gate.metering());
    let node = Arc::clone(&shop.house.node);
    let flat = House::with_metering(vec![service("weather", "/")], 1, node, None, metering);
    let flat_rate = flat.buy("/today");
    assert_eq!(flat.verdict(&paid("/today", &by_unit)), (402, "metered"));
    for caveats in [&[][..], &["weather_units=1000000"]] {
        let found = shop.refusal(&paid("/today", &with_caveats(&flat_rate, caveats)));
        assert_eq!((found.0, found.1), (402, "not_metered"), "{caveats:?}");
    }
    let appended = with_caveats(&flat_rate, &["weather_units=5"]);
    assert_eq!(flat.verdict(&paid("/today", &appended)), (402, "unknown_caveat"));
}

#[test]
fn each_outcome_is_charged_as_the_policy_says() {
    let all = Charging {
        on_error: Charge::Keep,
        on_client_error: Charge::Release,
        on_cut: Charge::Release,
        on_abort: Charge::Release,
        on_not_modified: Charge::Release,
        on_head: Charge::Release,
    };
    let status = |status| Outcome::Served { status };
    let usual = Charging::default();
    // Outcome, whether it was a HEAD, charged by default, charged by the opposite of each default.
    for (outcome, is_head, by_default, by_opposite) in [
        (status(200), false, true, true),
        (status(204), false, true, true),
        (status(304), false, true, false),
        (status(404), false, true, false),
        (status(404), true, true, false),
        (status(500), false, false, true),
        (status(503), true, false, true),
        (status(200), true, true, false),
        (Outcome::Cut { status: 200 }, false, true, false),
        (Outcome::Cut { status: 502 }, false, false, true),
        (Outcome::ClientGone { status: None }, false, true, false),
        (Outcome::ClientGone { status: Some(200) }, false, true, false),
        (Outcome::ClientGone { status: Some(500) }, false, false, true),
        (Outcome::UpstreamFailed { status: 502 }, false, false, true),
        (Outcome::Exhausted { status: 200 }, false, true, true),
        (Outcome::NotSent, false, false, false),
    ] {
        let charged = |charging: Charging| charging.of(outcome, is_head) == Charge::Keep;
        assert_eq!((charged(usual), charged(all)), (by_default, by_opposite), "{outcome:?} {is_head}");
    }
    let shop = Shop::by_request();
    let bought = shop.house.buy("/today");
    for outcome in [status(500), Outcome::NotSent, Outcome::UpstreamFailed { status: 504 }] {
        finish(shop.ask(&paid("/today", &bought)).expect("admitted"), outcome, Usage::Unknown);
        assert_eq!(shop.balance(&bought), Some(3), "{outcome:?}");
    }
}

#[test]
fn whatever_is_dropped_before_its_end_gives_its_units_back() {
    let shop = Shop::by_request();
    let bought = shop.house.buy("/today");
    let head = paid("/today", &bought);
    drop(shop.ask(&head).expect("admitted"));
    let Ok(Verdict::Pending(pending)) = shop.house.gate.admit(&head, &client(), now()) else {
        panic!("a metered request is never admitted without the ledger");
    };
    drop(shop.house.gate.complete(pending, Order::default(), now()));
    assert_eq!(shop.balance(&bought), Some(3));
    assert_eq!((shop.audit().open, shop.audit().totals.reserved), (0, 0));
}

#[test]
fn unknown_costs_are_charged_as_estimated_and_overruns_up_to_what_was_set_aside() {
    let shop = Shop::selling(metered(CostRule::Header { max: units(2) }));
    for (usage, charged, overrun, is_estimate) in [
        (Usage::Unknown, 2, 0, true),
        (Usage::Known(units(50)), 2, 48, false),
        (Usage::Known(units(1)), 1, 0, false),
        (Usage::Known(Units::ZERO), 0, 0, false),
    ] {
        let bought = shop.house.buy("/today");
        let mut admission = shop.ask(&paid("/today", &bought)).expect("admitted");
        wait(admission.close(SERVED, usage, None, now().unix).expect("a tab")).expect("in the ledger");
        let bill = *admission.bill().expect("a bill");
        assert_eq!(
            (bill.charged, bill.overrun, bill.is_estimate),
            (units(charged), units(overrun), is_estimate)
        );
        assert_eq!(bill.balance, units(3 - charged));
        assert_eq!(shop.balance(&bought), Some(u64::from(3 - charged)));
    }
}

#[test]
fn what_is_sold_by_its_length_takes_the_last_units() {
    let cost = CostRule::Bytes { of: Direction::Response, per_unit: 1, step: units(2) };
    let shop = Shop::selling(metered(cost));
    let bought = shop.house.buy("/today");
    let first = shop.ask(&paid("/today", &bought)).expect("admitted");
    assert_eq!(first.tab().map(Tab::reserved), Some(units(2)));
    let second = shop.ask(&paid("/today", &bought)).expect("admitted");
    assert_eq!(second.tab().map(Tab::reserved), Some(units(1)));
    assert_eq!(shop.refusal(&paid("/today", &bought)).1, "exhausted");
}

#[test]
fn revoked_tokens_are_refused_at_once() {
    for shop in [Shop::by_request(), Shop::selling(service("weather", "/"))] {
        let bought = shop.house.buy("/today");
        let head = paid("/today", &bought);
        assert!(shop.ask(&head).is_ok());
        let id = l402::Identifier::parse(bought.0.view().identifier()).expect("an identifier");
        wait(shop.ledger.apply(Operation::Revoke(id.token_id), now().unix)).expect("revoked");
        let metering = shop.house.gate.metering();
        assert_eq!(wait(metering.revoked().catch_up(&*shop.ledger)), Ok(1));
        assert_eq!(wait(metering.revoked().catch_up(&*shop.ledger)), Ok(0));
        let found = shop.refusal(&head);
        assert_eq!((found.0, found.1), (402, "revoked"));
    }
}

#[test]
fn a_network_is_served_so_often_before_its_first_402() {
    let mut generous = metered(CostRule::Fixed(Units::ONE));
    generous.free_requests = Some(Rate { count: 2, period_secs: 86_400 });
    let shop = Shop::selling(generous);
    let verdict = |time| shop.house.gate.admit(&get("/today"), &client(), at(time)).is_ok();
    let start = now().unix;
    assert_eq!([verdict(start), verdict(start), verdict(start)], [true, true, false]);
    assert!(!verdict(start + 40_000));
    assert!(verdict(start + 43_300), "half a day brings back one of two");
    let mut flat = service("weather", "/");
    flat.free_requests = Some(Rate { count: 1, period_secs: 60 });
    let house = House::new(vec![flat]);
    assert_eq!(house.admit(&get("/x")).settle(SERVED).unpaid, Some("free_request"));
}

#[test]
fn in_shadow_everything_is_counted_and_nothing_is_charged() {
    let mut shadow = metered(CostRule::Fixed(Units::ONE));
    shadow.access = AccessMode::Shadow;
    let shop = Shop::selling(shadow);
    let admission = shop.house.admit(&get("/today"));
    assert!(admission.meter().is_some() && admission.tab().is_none());
    assert_eq!(admission.settle(SERVED).unpaid, Some("payment_required"));
    assert_eq!(shop.audit().purchases, 0);
}

#[test]
fn the_same_claim_is_served_once() {
    let mut service = metered(CostRule::Fixed(Units::ONE));
    service.meter.as_mut().expect("a meter").idempotency = Some(Idempotency::default());
    let shop = Shop::selling(service);
    let bought = shop.house.buy("/today");
    let head = paid("/today", &bought);
    let claim = |request: u8| {
        let claim = Claim { key: [7; 32], request: [request; 32], expires_at: now().unix + 60 };
        Order { claim: Some(claim), extra: Units::ZERO }
    };
    let reason = |order| shop.ask_with(&head, order).expect_err("refused").refusal().reason();
    let Ok(Completed::Admitted(mut first)) = shop.ask_with(&head, claim(1)) else { panic!("not admitted") };
    assert!(first.claims_answer().is_some());
    assert_eq!((reason(claim(1)), reason(claim(2))), ("in_flight", "key_reused"));
    wait(first.close(SERVED, Usage::Known(Units::ONE), Some("kept".into()), now().unix).expect("a tab"))
        .expect("in the ledger");
    let Ok(Completed::Answered(kept)) = shop.ask_with(&head, claim(1)) else { panic!("not told again") };
    assert_eq!((&kept[..], reason(claim(2)), shop.balance(&bought)), (&b"kept"[..], "key_reused", Some(2)));
}

/// A ledger that fails; whether it knows that can be set.
#[derive(Default)]
struct Broken {
    is_known: AtomicBool,
}

impl Broken {
    fn fail<T: Send + 'static>() -> BoxFuture<'static, Result<T, StoreError>> {
        Box::pin(std::future::ready(Err(StoreError::Write("no space".to_owned()))))
    }
}

impl Ledger for Broken {
    fn apply(&self, _: Operation, _: u64) -> BoxFuture<'static, Result<Effect, StoreError>> {
        Self::fail()
    }

    fn overdue(&self, _: u64, _: usize) -> BoxFuture<'_, Result<Vec<Handle>, StoreError>> {
        Self::fail()
    }

    fn forget_claims(&self, _: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        Self::fail()
    }

    fn revoked_since(&self, _: u64) -> BoxFuture<'_, Result<Revocations, StoreError>> {
        Self::fail()
    }

    fn holding(&self, _: l402::TokenId) -> BoxFuture<'_, Result<Option<Holding>, StoreError>> {
        Self::fail()
    }

    fn journal(&self, _: u64, _: usize) -> BoxFuture<'_, Result<Vec<(u64, Entry)>, StoreError>> {
        Self::fail()
    }

    fn check_invariants(&self) -> BoxFuture<'_, Result<Audit, StoreError>> {
        Self::fail()
    }

    fn fault(&self) -> Option<StoreError> {
        self.is_known.load(Ordering::Relaxed).then(|| StoreError::Write("no space".to_owned()))
    }
}

#[test]
fn without_its_ledger_metered_service_stops_and_flat_rate_goes_on() {
    let services = vec![metered(CostRule::Fixed(Units::ONE)), service("maps", "/maps/")];
    let ledger = Arc::new(Broken::default());
    let house = House::metered(services, ledger.clone());
    let (by_unit, flat) = (house.buy("/today"), house.buy("/maps/x"));
    assert_eq!(house.verdict(&paid("/maps/x", &flat)), (200, "admitted"));
    let head = paid("/today", &by_unit);
    let Ok(Verdict::Pending(pending)) = house.gate.admit(&head, &client(), now()) else {
        panic!("not pending")
    };
    let refused = wait(house.gate.complete(pending, Order::default(), now())).expect_err("refused");
    let answer = wait(house.gate.answer(refused, &head, &client(), now()));
    assert_eq!((answer.response.status().as_u16(), answer.refusal.reason()), (503, "ledger_unavailable"));
    assert!(answer.response.headers().contains_key(header::RETRY_AFTER));

    // Nobody is asked to pay for what cannot be served.
    ledger.is_known.store(true, Ordering::Relaxed);
    let answer = house.answer(&get("/today"));
    assert_eq!((answer.response.status().as_u16(), answer.refusal.reason()), (503, "ledger_unavailable"));
    assert!(!answer.response.headers().contains_key(header::WWW_AUTHENTICATE));
    assert_eq!(house.answer(&get("/maps/x")).response.status(), 402);
}

#[test]
fn one_purchase_is_one_account() {
    let shop = Shop::by_request();
    let bought = shop.house.buy("/today");
    shop.serve(&paid("/today", &bought));
    let id = l402::Identifier::parse(bought.0.view().identifier()).expect("an identifier");
    let lines = wait(shop.ledger.journal(0, 10)).expect("a journal");
    let own = AccountKey::of_payment(id.payment_hash);
    assert!(lines.len() == 2 && lines.iter().all(|(_, entry)| entry.account == own));
}
