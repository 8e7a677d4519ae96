//! The laws of a purchase, against a wallet that loses, delays, refuses and lies in its answers, and a buyer that dies
//! at any step: at most one invoice is ever paid, "nothing paid" is true, and once the trouble is over the token is there.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what a test builds its world from works, or the test has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use l402::{Identifier, Macaroon, Offer, OfferScheme, PaymentHash, Preimage, RootKey, TokenId};
use l402_client::{
    Approved, Purchase, PurchaseFailure, PurchaseRecord, Refusal, Scope, SpendingCap, Stage, Step, Terms,
};
use l402_lightning::loopback::LoopbackNode;
use l402_lightning::{
    FailureReason, InvoiceRequest, Invoicer, MilliSat, NotSent, Paid, PayError, PaymentState, UnknownCause,
};
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000;
const RUNS: u8 = 6;
/// More steps than any single run needs before its deadline.
const STEPS_MAX: usize = 500;

/// What the wallet does with one call.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Honest,
    /// Says that it sent nothing, and sends nothing.
    Refuses,
    /// Never gets the call; its caller cannot know.
    Loses,
    /// Gets the call, pays sooner or later; its caller hears nothing.
    PaysLater,
    /// Pays; its caller hears nothing.
    PaysSilently,
    /// Pays, and shows a wrong preimage.
    Misspeaks,
    /// Tries and fails for good.
    Fails,
}

fn mood() -> impl Strategy<Value = Mood> {
    prop_oneof![
        Just(Mood::Honest),
        Just(Mood::Refuses),
        Just(Mood::Loses),
        Just(Mood::PaysLater),
        Just(Mood::PaysSilently),
        Just(Mood::Misspeaks),
        Just(Mood::Fails),
    ]
}

/// The wallet's book: what it truly did.
#[derive(Debug, Default)]
struct Wallet {
    book: BTreeMap<String, State>,
    /// Calls that have not got to the book yet.
    late: Vec<PaymentHash>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InFlight,
    Paid,
    Failed,
}

impl Wallet {
    /// LND's rule: one payment hash is paid once; only after a failure may it be tried again.
    fn enter(&mut self, hash: PaymentHash, state: State) -> bool {
        let free = matches!(self.book.get(&hash.to_string()), None | Some(State::Failed));
        if free {
            self.book.insert(hash.to_string(), state);
        }
        free
    }

    /// Time passes: what was late arrives, what was on its way gets there.
    fn arrive(&mut self) {
        for state in self.book.values_mut().filter(|state| **state == State::InFlight) {
            *state = State::Paid;
        }
        for hash in std::mem::take(&mut self.late) {
            self.enter(hash, State::InFlight);
        }
    }

    fn pay(&mut self, hash: PaymentHash, mood: Mood) -> Result<Paid, PayError> {
        let lost = Err(PayError::OutcomeUnknown(UnknownCause::Cut));
        let state = match mood {
            Mood::Refuses => return Err(PayError::NotSent(NotSent::Unreachable)),
            Mood::Loses => return lost,
            Mood::PaysLater => {
                self.late.push(hash);
                return lost;
            }
            Mood::Fails => State::Failed,
            Mood::Honest | Mood::PaysSilently | Mood::Misspeaks => State::Paid,
        };
        if !self.enter(hash, state) {
            return Err(PayError::AlreadyKnown);
        }
        match mood {
            Mood::Fails => Err(PayError::Failed(FailureReason::NoRoute)),
            Mood::PaysSilently => lost,
            Mood::Misspeaks => Ok(paid(Preimage::from_bytes([0xee; 32]))),
            _ => Ok(paid(preimage_of(hash))),
        }
    }

    fn lookup(&mut self, hash: PaymentHash, mood: Mood) -> Result<PaymentState, PayError> {
        match mood {
            Mood::Loses => return Err(PayError::OutcomeUnknown(UnknownCause::Timeout)),
            Mood::PaysLater | Mood::PaysSilently => self.arrive(),
            _ => {}
        }
        Ok(match self.book.get(&hash.to_string()) {
            None => PaymentState::Unknown,
            Some(State::InFlight) => PaymentState::InFlight,
            Some(State::Failed) => PaymentState::Failed(FailureReason::NoRoute),
            Some(State::Paid) if matches!(mood, Mood::Misspeaks) => {
                PaymentState::Succeeded(paid(Preimage::from_bytes([0xee; 32])))
            }
            Some(State::Paid) => PaymentState::Succeeded(paid(preimage_of(hash))),
        })
    }

    /// How many invoices are paid, or going to be.
    fn paid_count(&self) -> usize {
        let booked = self.book.iter().filter(|(_, state)| **state != State::Failed);
        let mut hashes: BTreeSet<String> = booked.map(|(hash, _)| hash.clone()).collect();
        hashes.extend(self.late.iter().map(ToString::to_string));
        hashes.len()
    }
}

fn paid(preimage: Preimage) -> Paid {
    Paid { preimage, amount: MilliSat::from_msat(10_000), fee: MilliSat::ZERO }
}

/// The shop's offers, one for each run: real invoices with tokens that belong to them.
fn offers() -> &'static [(Preimage, Offer)] {
    static OFFERS: OnceLock<Vec<(Preimage, Offer)>> = OnceLock::new();
    OFFERS.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let node = LoopbackNode::new([1; 32], Arc::new(|| NOW));
        (0..=RUNS)
            .map(|number| {
                let preimage = Preimage::from_bytes([number + 1; 32]);
                let request = InvoiceRequest {
                    amount: MilliSat::from_msat(10_000),
                    expiry_secs: 600,
                    description: "goods".to_owned(),
                    preimage: Some(preimage.clone()),
                };
                let invoice = runtime.block_on(node.create(request)).unwrap();
                let token_id = TokenId::from_bytes([number; 32]);
                let identifier = Identifier { payment_hash: preimage.payment_hash(), token_id };
                let key = RootKey::from_bytes([2; 32]);
                let token = Macaroon::mint(&key, "lsat", &identifier.to_bytes(), ["services=a:0"]).unwrap();
                let invoice = invoice.text().to_owned();
                (preimage, Offer { scheme: OfferScheme::L402, token, identifier, invoice })
            })
            .collect()
    })
}

fn preimage_of(hash: PaymentHash) -> Preimage {
    let mut preimages = offers().iter().map(|(preimage, _)| preimage);
    preimages.find(|preimage| preimage.payment_hash() == hash).unwrap().clone()
}

fn terms(cap_msat: u64) -> Terms {
    let token = &offers()[0].1.token;
    Terms {
        origin: "https://shop.example".parse().unwrap(),
        scope: Scope::of(&token.view(), "/"),
        path: "/".to_owned(),
        cap: SpendingCap::new(MilliSat::from_msat(cap_msat)),
        timeout: Duration::from_secs(2),
        wallet: "test:".to_owned(),
        started_at: NOW,
    }
}

type Disk = BTreeMap<String, PurchaseRecord>;

/// One run of the buyer with the offer of that number, dying after `dies_after` steps. `None` if it died.
fn run(
    number: u8,
    wallet: &mut Wallet,
    disk: &mut Disk,
    moods: &mut impl Iterator<Item = Mood>,
    dies_after: usize,
) -> Option<Result<PurchaseRecord, PurchaseFailure>> {
    if let Some(record) = disk.values().find(|record| record.paid().is_some()) {
        return Some(Ok(record.clone()));
    }
    let older: Vec<PurchaseRecord> = disk.values().cloned().collect();
    let terms = terms(20_000);
    let fresh = Approved::check(offers()[usize::from(number)].1.clone(), terms.cap, NOW);
    let mut purchase = Purchase::new(terms, older, fresh);
    let mut elapsed = Duration::ZERO;
    for _ in 0..dies_after {
        elapsed += Duration::from_millis(1);
        purchase = match purchase.step() {
            Step::LookUp(hash) => {
                let mood = moods.next().unwrap_or(Mood::Honest);
                purchase.looked_up(wallet.lookup(hash, mood), elapsed)
            }
            Step::Pause(pause) => {
                elapsed += pause;
                purchase.paused()
            }
            Step::Write(record) => {
                disk.insert(record.payment_hash.to_string(), *record);
                purchase.written(elapsed)
            }
            Step::Forget(_, hash) => {
                let truth = wallet.book.get(&hash.to_string());
                assert_eq!(truth, Some(&State::Failed), "forgot what did not fail");
                assert!(!wallet.late.contains(&hash), "forgot what may still be paid");
                disk.remove(&hash.to_string());
                purchase.forgotten()
            }
            Step::Pay(invoice, limits) => {
                let hash = invoice.payment_hash();
                let intent = disk.get(&hash.to_string()).expect("paid without an intent on disk");
                assert!(matches!(intent.stage, Stage::Intended));
                assert!(limits.fee_max <= MilliSat::from_msat(10_000), "more fee than the cap leaves");
                let mood = moods.next().unwrap_or(Mood::Honest);
                purchase.paid(wallet.pay(hash, mood), elapsed)
            }
            Step::Finished(outcome) => return Some(outcome.map(|record| *record)),
        };
    }
    assert!(dies_after < STEPS_MAX, "a run that lives has an end");
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn one_payment_whatever_happens(
        deaths in proptest::collection::vec(prop_oneof![1_usize..12, Just(STEPS_MAX)], usize::from(RUNS)),
        moods in proptest::collection::vec(mood(), 0..40),
    ) {
        let (mut wallet, mut disk) = (Wallet::default(), Disk::new());
        let mut moods = moods.into_iter();
        for (number, dies_after) in (0..RUNS).zip(deaths) {
            let outcome = run(number, &mut wallet, &mut disk, &mut moods, dies_after);
            prop_assert!(wallet.paid_count() <= 1, "{wallet:?}");
            match outcome {
                Some(Ok(record)) => {
                    let preimage = &record.paid().unwrap().preimage;
                    prop_assert_eq!(preimage.payment_hash(), record.payment_hash);
                    prop_assert_eq!(wallet.book.get(&record.payment_hash.to_string()), Some(&State::Paid));
                }
                Some(Err(PurchaseFailure::NotPaid(_) | PurchaseFailure::Refused(_))) => {
                    prop_assert_eq!(wallet.paid_count(), 0, "said that nothing was paid");
                }
                Some(Err(PurchaseFailure::OutcomeUnknown { .. })) | None => {}
            }
        }
        // The trouble is over: whatever was under way arrives, and the wallet answers honestly.
        wallet.arrive();
        wallet.arrive();
        let last = run(RUNS, &mut wallet, &mut disk, &mut std::iter::empty(), STEPS_MAX);
        prop_assert!(matches!(last, Some(Ok(_))), "{last:?}");
        prop_assert_eq!(wallet.paid_count(), 1);
    }
}

#[test]
fn an_older_payment_counts_even_where_the_new_price_is_refused() {
    let (mut wallet, mut disk) = (Wallet::default(), Disk::new());
    let mut moods = std::iter::once(Mood::PaysSilently).chain(std::iter::repeat(Mood::Loses));
    let first = run(0, &mut wallet, &mut disk, &mut moods, STEPS_MAX);
    assert!(matches!(first, Some(Err(PurchaseFailure::OutcomeUnknown { .. }))), "{first:?}");
    let purchase = Purchase::new(terms(1), disk.values().cloned().collect(), Err(Refusal::Amountless));
    let Step::LookUp(hash) = purchase.step() else { panic!("asks first") };
    let purchase = purchase.looked_up(wallet.lookup(hash, Mood::Honest), Duration::ZERO);
    assert!(matches!(purchase.step(), Step::Write(record) if record.paid().is_some()));
}

#[test]
fn an_intent_the_wallet_never_saw_is_given_up_only_well_after_its_invoice() {
    let (mut wallet, mut disk) = (Wallet::default(), Disk::new());
    run(0, &mut wallet, &mut disk, &mut std::iter::empty(), 1);
    assert_eq!(disk.len(), 1);
    let at = |seconds: u64| {
        let terms = Terms { started_at: NOW + seconds, ..terms(20_000) };
        let purchase = Purchase::new(terms, disk.values().cloned().collect(), Err(Refusal::Expired));
        purchase.looked_up(Ok(PaymentState::Unknown), Duration::ZERO).step()
    };
    let rewritten = |step: Step| matches!(step, Step::Write(record) if record.sends == 2);
    assert!(rewritten(at(0)), "the same invoice again");
    assert!(rewritten(at(589)));
    assert!(matches!(at(600), Step::Pause(_)), "expired, but clocks differ");
    assert!(matches!(at(630), Step::Forget(..)));
}
