//! Sellers who ask for settled payments: a proof opens nothing before the node or the store knows the payment.

use crate::house::{House, NOW, at, client, get, now, paid, request, service, wait};
use http::{HeaderValue, Method, header, request::Parts};
use l402::{Macaroon, Offer, PaymentHash, Preimage};
use l402_lightning::{
    BoxFuture, Invoice, Invoicer as _, MilliSat, PayLimits, Payer as _, Settlement,
    loopback::{Fault, LoopbackNode, When, WrongState},
};
use l402_paywall::{
    Admission, Answer, Completed, FeedPosition, Now, Order, Refused, SettlementStore, SettlementTotals,
    StoreError, Verdict,
};
use std::{
    collections::HashSet,
    future::ready,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// A store in memory.
#[derive(Default)]
struct Books {
    settled: Mutex<HashSet<PaymentHash>>,
    reads: AtomicU64,
    is_unreadable: AtomicBool,
    is_full: AtomicBool,
}

impl SettlementStore for Books {
    fn record<'a>(
        &'a self,
        settlements: &'a [Settlement],
        _: Option<FeedPosition<'a>>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async {
            if self.is_full.load(Ordering::Relaxed) {
                return Err(StoreError::Write("full".to_owned()));
            }
            self.settled.lock().expect("a set").extend(settlements.iter().map(|one| one.payment_hash));
            Ok(())
        })
    }

    fn cursor<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(ready(Ok(0)))
    }

    fn is_settled(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.is_unreadable.load(Ordering::Relaxed) {
            return Box::pin(ready(Err(StoreError::Read("gone".to_owned()))));
        }
        Box::pin(ready(Ok(self.settled.lock().expect("a set").contains(&payment_hash))))
    }

    fn totals(&self) -> BoxFuture<'_, Result<SettlementTotals, StoreError>> {
        Box::pin(ready(Ok(SettlementTotals::default())))
    }

    fn fault(&self) -> Option<StoreError> {
        None
    }
}

struct Shop {
    house: House,
    books: Arc<Books>,
}

impl Shop {
    fn open() -> Self {
        Self::with(Arc::new(LoopbackNode::new([1; 32], Arc::new(|| NOW))), Arc::default())
    }

    fn with(node: Arc<LoopbackNode>, books: Arc<Books>) -> Self {
        let house = House::settled(vec![service("weather", "/")], node, books.clone());
        Self { house, books }
    }

    fn offer(&self) -> Offer {
        offer_of(&self.house.answer(&get("/today")))
    }

    /// What somebody holds who learned the preimage without paying.
    fn unpaid(&self, offer: &Offer) -> (Macaroon, Preimage) {
        let preimage = self.house.gate.keys().preimage_key().preimage(&offer.identifier.token_id);
        assert_eq!(preimage.payment_hash(), offer.identifier.payment_hash);
        (offer.token.clone(), preimage)
    }

    async fn confirm(&self, head: &Parts, now: Now) -> Result<Admission, Refused> {
        match self.house.gate.admit(head, &client(), now)? {
            Verdict::Admitted(admission) => Ok(admission),
            Verdict::Pending(pending) => {
                match self.house.gate.complete(pending, Order::default(), now).await? {
                    Completed::Admitted(admission) => Ok(*admission),
                    Completed::Answered(_) => panic!("nothing was claimed"),
                }
            }
        }
    }

    /// What the request gets: `None` where it is forwarded.
    fn ask(&self, head: &Parts, now: Now) -> Option<Answer> {
        wait(async {
            let refused = self.confirm(head, now).await.err()?;
            Some(self.house.gate.answer(refused, head, &client(), now).await)
        })
    }

    fn pay(&self, offer: &Offer) {
        let invoice = Invoice::parse(&offer.invoice).expect("an invoice");
        let limits = PayLimits { fee_max: MilliSat::ZERO, timeout: Duration::from_secs(5) };
        wait(self.house.node.pay(&invoice, limits)).expect("paid");
    }

    fn lookups(&self) -> u64 {
        self.house.node.calls().lookup
    }
}

fn offer_of(answer: &Answer) -> Offer {
    let lines = answer.response.headers().get_all(header::WWW_AUTHENTICATE);
    let offers = l402::read_challenges(lines.iter().map(HeaderValue::as_bytes));
    offers.into_iter().next().expect("an offer").expect("readable")
}

fn verdict(answer: Option<&Answer>) -> (u16, &'static str) {
    answer.map_or((200, "forwarded"), |answer| (answer.response.status().as_u16(), answer.refusal.reason()))
}

/// Half a second after the present, and a little more.
fn later() -> Now {
    Now { monotonic_ns: now().monotonic_ns + 600_000_000, ..now() }
}

#[test]
fn an_open_invoice_is_told_again_with_its_token_and_opens_once_it_is_paid() {
    let shop = Shop::open();
    let offer = shop.offer();
    let head = paid("/today", &shop.unpaid(&offer));
    for _ in 0..100 {
        let answer = shop.ask(&head, now());
        assert_eq!(verdict(answer.as_ref()), (402, "unsettled"));
        let answer = answer.expect("refused");
        let again = offer_of(&answer);
        assert_eq!((&again.token, &again.invoice), (&offer.token, &offer.invoice));
        assert_eq!(answer.minted, None, "nothing new was made");
        let lines = answer.response.headers().get_all(header::WWW_AUTHENTICATE).iter().count();
        assert_eq!((lines, answer.response.headers().contains_key(header::RETRY_AFTER)), (2, false));
    }
    assert_eq!((shop.house.node.calls().create, shop.lookups()), (1, 2), "one question and its invoice");
    shop.pay(&offer);
    // The no that was given before counts for half a second, and the invoice that goes with it is still the old one.
    let answer = shop.ask(&head, now()).expect("refused");
    assert_eq!(offer_of(&answer).invoice, offer.invoice);
    assert!(shop.ask(&head, later()).is_none());
    let asked = shop.lookups();
    assert!((0..100).all(|_| shop.ask(&head, now()).is_none()));
    assert_eq!(shop.lookups(), asked, "a yes is remembered");
}

#[test]
fn what_the_store_knows_needs_no_node_and_what_the_node_says_is_written_down() {
    let shop = Shop::open();
    let offer = shop.offer();
    let head = paid("/today", &shop.unpaid(&offer));
    shop.pay(&offer);
    assert!(shop.ask(&head, now()).is_none());
    assert!(shop.books.settled.lock().expect("a set").contains(&offer.identifier.payment_hash));
    let silent = Arc::new(LoopbackNode::new([2; 32], Arc::new(|| NOW)));
    silent.knobs().lookup().set(Fault::Cut(When::Before));
    let restarted = Shop::with(silent, shop.books.clone());
    assert!(restarted.ask(&head, now()).is_none());
    assert_eq!(restarted.lookups(), 0);
}

#[test]
fn a_silent_node_lets_nobody_in_and_sells_nobody_a_second_invoice() {
    let shop = Shop::open();
    let offer = shop.offer();
    let head = paid("/today", &shop.unpaid(&offer));
    for (round, fault) in [Fault::Cut(When::Before), Fault::Fail(When::After)].into_iter().enumerate() {
        shop.house.node.knobs().lookup().set(fault);
        let time = Now { monotonic_ns: now().monotonic_ns + round as u64 * 600_000_000, ..now() };
        let answer = shop.ask(&head, time);
        assert_eq!(verdict(answer.as_ref()), (503, "node_unavailable"), "{fault:?}");
        let answer = answer.expect("refused");
        assert!(answer.response.headers().contains_key(header::RETRY_AFTER));
        assert!(!answer.response.headers().contains_key(header::WWW_AUTHENTICATE));
    }
    assert_eq!(shop.house.node.calls().create, 1);
}

/// However many ask at once, and whatever comes of it, the node hears one question.
#[test]
fn requests_with_the_same_token_share_one_question() {
    for fault in [None, Some(Fault::Cut(When::After)), Some(Fault::Wrong(WrongState::Unknown))] {
        let shop = Arc::new(Shop::open());
        let head = Arc::new(paid("/today", &shop.unpaid(&shop.offer())));
        shop.house.node.knobs().lookup().delay(Duration::from_millis(20));
        if let Some(fault) = fault {
            shop.house.node.knobs().lookup().set(fault);
        }
        let refused = wait(async {
            let mut asking = tokio::task::JoinSet::new();
            for nth in 0..50 {
                let (shop, head) = (Arc::clone(&shop), Arc::clone(&head));
                // As if each had waited longer than an answer counts.
                let time = Now { monotonic_ns: now().monotonic_ns + nth * 1_000_000_000, ..now() };
                asking.spawn(async move { shop.confirm(&head, time).await.is_err() });
            }
            asking.join_all().await
        });
        assert!(refused.iter().all(|refused| *refused));
        // An open invoice is two questions: its state, and its text.
        assert_eq!(shop.lookups(), if fault.is_none() { 2 } else { 1 }, "{fault:?}");
    }
}

#[test]
fn an_invoice_that_has_ended_or_is_unknown_is_replaced_by_a_new_challenge() {
    let shop = Shop::open();
    let (cancelled, forgotten) = (shop.offer(), shop.offer());
    wait(shop.house.node.cancel(cancelled.identifier.payment_hash)).expect("cancelled");
    let new = |offer: &Offer| {
        let answer = shop.ask(&paid("/today", &shop.unpaid(offer)), now());
        assert_eq!(verdict(answer.as_ref()), (402, "unsettled"));
        let answer = answer.expect("refused");
        assert_eq!(answer.minted, Some(MilliSat::from_msat(10_000)));
        let again = offer_of(&answer);
        assert!(again.invoice != offer.invoice && again.token != offer.token);
    };
    new(&cancelled);
    shop.house.node.knobs().lookup().set(Fault::Wrong(WrongState::Unknown));
    new(&forgotten);
}

/// The invoice that was open half a second ago is not told when it has run out since.
#[test]
fn an_invoice_that_has_just_run_out_is_not_told_again() {
    let shop = Shop::open();
    let offer = shop.offer();
    let head = paid("/today", &shop.unpaid(&offer));
    let expires_at = Invoice::parse(&offer.invoice).expect("an invoice").expires_at();
    let answer = shop.ask(&head, Now { unix: expires_at - 1, ..now() }).expect("refused");
    assert_eq!(offer_of(&answer).invoice, offer.invoice);
    let refused = wait(shop.confirm(&head, Now { unix: expires_at, ..now() })).expect_err("refused");
    let answer = wait(shop.house.gate.answer(refused, &head, &client(), at(NOW)));
    assert_eq!(offer_of(&answer).invoice, offer.invoice, "the time of the answer counts");
    let refused = wait(shop.confirm(&head, now())).expect_err("refused");
    let late = Now { unix: expires_at, ..now() };
    let answer = wait(shop.house.gate.answer(refused, &head, &client(), late));
    assert_ne!(answer.refusal.reason(), "unsettled", "the node's invoices are 600 s old by then: {answer:?}");
}

/// As clients of gRPC do it.
#[test]
fn a_token_that_carries_its_preimage_is_told_again_as_it_was_sold() {
    let shop = Shop::open();
    let offer = shop.offer();
    let (token, preimage) = shop.unpaid(&offer);
    let carried = l402::metadata_value(&token, &preimage).expect("fits");
    let narrowed = token.attenuate(b"weather_valid_until=1800000100").expect("fits");
    let narrowed_carried = l402::metadata_value(&narrowed, &preimage).expect("fits");
    for (value, told) in [(carried, &token), (narrowed_carried, &narrowed)] {
        let head = request(Method::GET, "/today", &[("macaroon", &value)]);
        let answer = shop.ask(&head, now()).expect("refused");
        let again = offer_of(&answer);
        assert_eq!((&again.token, &again.invoice), (told, &offer.invoice));
        let all = format!("{:?} {:?}", answer.response.headers(), answer.response.body());
        assert!(!all.contains(&preimage.reveal_hex()));
    }
    let grpc = [("content-type", "application/grpc"), ("authorization", "")];
    let value = l402::authorization_value(l402::OfferScheme::L402, &token, &preimage);
    let head = request(Method::POST, "/pkg.Weather/Get", &[grpc[0], ("authorization", &value)]);
    let answer = shop.ask(&head, now()).expect("refused");
    assert_eq!(
        (answer.response.status().as_u16(), &answer.response.headers()["grpc-status"]),
        (200, &"13".parse().expect("a value"))
    );
    assert_eq!(offer_of(&answer).invoice, offer.invoice);
}

#[test]
fn a_token_that_its_holder_made_long_never_makes_the_answer_long() {
    let shop = Shop::open();
    let offer = shop.offer();
    let (token, preimage) = shop.unpaid(&offer);
    for length in [100, 400, 500, 2_000] {
        let mut long = token.clone();
        while long.as_bytes().len() < token.as_bytes().len() + length {
            long = long.attenuate(format!("note={}", "x".repeat(90)).as_bytes()).expect("fits");
        }
        let answer = shop.ask(&paid("/today", &(long.clone(), preimage.clone())), now()).expect("refused");
        assert_eq!(verdict(Some(&answer)), (402, "unsettled"));
        let bytes: usize =
            answer.response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        assert!(bytes < 4_000 - 160, "{length}: {bytes}");
        assert_eq!(offer_of(&answer).token == long, long.as_bytes().len() <= 1_000, "{length}");
    }
}

#[test]
fn a_store_that_cannot_read_or_write_opens_nothing_new() {
    let shop = Shop::open();
    let (known, other) = (shop.offer(), shop.offer());
    let (known_head, other_head) =
        (paid("/today", &shop.unpaid(&known)), paid("/today", &shop.unpaid(&other)));
    shop.pay(&known);
    shop.pay(&other);
    assert!(shop.ask(&known_head, now()).is_none());
    shop.books.is_full.store(true, Ordering::Relaxed);
    assert_eq!(verdict(shop.ask(&other_head, now()).as_ref()), (503, "store_unavailable"));
    shop.books.is_unreadable.store(true, Ordering::Relaxed);
    assert_eq!(verdict(shop.ask(&other_head, later()).as_ref()), (503, "store_unavailable"));
    assert!(shop.ask(&known_head, later()).is_none(), "what is remembered goes on");
    assert_eq!(shop.house.node.calls().create, 2);
}

#[test]
fn a_head_request_is_told_the_price_and_no_invoice() {
    let shop = Shop::open();
    let (token, preimage) = shop.unpaid(&shop.offer());
    let value = l402::authorization_value(l402::OfferScheme::L402, &token, &preimage);
    let answer = shop.ask(&request(Method::HEAD, "/today", &[("authorization", &value)]), now());
    assert_eq!(verdict(answer.as_ref()), (402, "unsettled"));
    let answer = answer.expect("refused");
    assert_eq!(answer.response.headers()["l402-price"], "10000");
    assert_eq!(answer.response.headers()[header::WWW_AUTHENTICATE], "L402 realm=\"weather\"");
    assert_eq!(shop.house.node.calls().create, 1);
}

#[test]
fn where_the_preimage_is_enough_nobody_is_asked() {
    let house = House::new(vec![service("weather", "/")]);
    let bought = house.buy("/today");
    house.admit(&paid("/today", &bought));
    assert_eq!(house.node.calls().lookup, 0);
    // Free and refused requests cost no question either where settlement is asked for.
    let shop = Shop::open();
    assert_eq!(verdict(shop.ask(&get("/today"), now()).as_ref()), (402, "payment_required"));
    assert_eq!((shop.lookups(), shop.books.reads.load(Ordering::Relaxed)), (0, 0));
}
