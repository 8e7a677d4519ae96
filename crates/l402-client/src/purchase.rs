//! One purchase, as a state machine without I/O: it says what to do next and is told what came of it.
//!
//! Laws, whatever the wallet answers and whenever the process dies:
//! - an intent is written before the wallet is told to pay, and stays until the wallet says the payment failed for
//!   good, or the paid token has taken its place;
//! - while an intent is unresolved, no other invoice of its scope is paid; its own invoice may be handed to the
//!   same wallet again, which pays one payment hash at most once ([`Payer::pay`](l402_lightning::Payer::pay)), and is
//!   then the only one until it has expired;
//! - "paid" is believed with the right preimage only; any other answer leads to a question by hash.

use std::collections::VecDeque;
use std::time::Duration;

use l402::PaymentHash;
use l402_lightning::{Invoice, MilliSat, Paid, PayError, PayLimits, PaymentState, UnknownCause};
use thiserror::Error;

use crate::approval::{self, Approved, Refusal};
use crate::cap::SpendingCap;
use crate::origin::Origin;
use crate::scope::Scope;
use crate::vault::{PurchaseRecord, Stage};

/// Longest time after the payment's own timeout in which its outcome is still asked for.
const RESOLVE_MAX: Duration = Duration::from_secs(10);
/// First and longest pause between two questions about one payment.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long after its invoice's expiry an intent that the wallet never saw is given up: a clock may be wrong by this.
const EXPIRY_GRACE_SECS: u64 = 30;

/// What a purchase is for, and its limits.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The seller.
    pub origin: Origin,
    /// What is bought.
    pub scope: Scope,
    /// The URL path it is bought for.
    pub path: String,
    /// The most it may cost.
    pub cap: SpendingCap,
    /// How long the wallet may try.
    pub timeout: Duration,
    /// The wallet's name, without secrets: kept with the intent, as only that wallet knows the outcome.
    pub wallet: String,
    /// When the purchase began, in unix seconds; every `elapsed` below counts from here.
    pub started_at: u64,
}

/// What is to be done next.
#[derive(Debug, Clone)]
pub enum Step {
    /// Ask the wallet what became of this payment; then [`Purchase::looked_up`].
    LookUp(PaymentHash),
    /// Wait this long; then [`Purchase::paused`].
    Pause(Duration),
    /// Write this durably, replacing what has its hash; then [`Purchase::written`].
    Write(Box<PurchaseRecord>),
    /// Remove the intent with this hash durably; then [`Purchase::forgotten`].
    Forget(Origin, PaymentHash),
    /// Pay, and wait for the outcome no longer than the timeout; then [`Purchase::paid`].
    Pay(Box<Invoice>, PayLimits),
    /// Nothing more to do.
    Finished(Result<Box<PurchaseRecord>, PurchaseFailure>),
}

/// Why a purchase ended without a token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PurchaseFailure {
    /// Refused before anything was paid.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The wallet did not pay, for certain.
    #[error("{0}")]
    NotPaid(PayError),
    /// It may have been paid. The intent stays, and the next purchase of this scope asks first.
    #[error("the outcome of payment {hash} is unknown: {why}")]
    OutcomeUnknown {
        /// The payment.
        hash: PaymentHash,
        /// What is known of it.
        why: Unresolved,
    },
}

/// What is known of a payment whose outcome is not.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unresolved {
    /// It is on its way.
    #[error("it is still on its way")]
    InFlight,
    /// The wallet does not know it (yet), though it was told to pay.
    #[error("the wallet has not heard of it")]
    NotSeen,
    /// The wallet says it is paid, with a preimage that is not the invoice's.
    #[error("the wallet shows a wrong preimage for it")]
    WrongPreimage,
    /// The wallet could not be asked.
    #[error("{0}")]
    NoAnswer(PayError),
    /// The wallet was given it twice, and failed to pay the second time; what became of the first is not known.
    #[error("it was given to the wallet before, and now: {0}")]
    Again(PayError),
    /// It was begun with another wallet, and this one does not know it.
    #[error("it was begun with the wallet {0}")]
    OtherWallet(String),
}

/// One purchase under way. Every input takes the machine and gives it back in its next state.
#[derive(Debug)]
pub struct Purchase {
    terms: Terms,
    older: VecDeque<PurchaseRecord>,
    fresh: Result<Box<Approved>, Refusal>,
    pause: Duration,
    state: State,
}

/// The payment being made or resolved.
#[derive(Debug)]
struct Attempt {
    record: PurchaseRecord,
    sent: Sent,
}

/// What this run did with an attempt.
#[derive(Debug)]
enum Sent {
    /// Nothing yet: it stems from an earlier run.
    Not,
    /// Told the wallet to pay, and got this instead of a preimage.
    With(PayError),
}

#[derive(Debug)]
enum State {
    Asking(Attempt),
    Pausing(Attempt, Duration),
    WritingIntent(PurchaseRecord, Box<Invoice>, MilliSat),
    Paying(PurchaseRecord, Box<Invoice>, PayLimits),
    WritingToken(PurchaseRecord),
    /// The wallet says this one failed for good. If that was in this run, the purchase ends with it.
    Forgetting(PaymentHash, Option<PayError>),
    Finished(Result<PurchaseRecord, PurchaseFailure>),
}

impl Purchase {
    /// Begins. `older` are the unresolved intents of the same origin and scope; they come before the `fresh` offer,
    /// even where that one is refused.
    pub fn new(terms: Terms, older: Vec<PurchaseRecord>, fresh: Result<Approved, Refusal>) -> Self {
        debug_assert!(older.iter().all(|record| matches!(record.stage, Stage::Intended)));
        debug_assert!(
            older.iter().all(|record| record.scope == terms.scope && record.origin == terms.origin)
        );
        let mut older = VecDeque::from(older);
        let fresh = fresh.map(Box::new);
        let state = first_state(&terms, &mut older, &fresh);
        Self { terms, older, fresh, pause: PAUSE_MIN, state }
    }

    /// What to do now.
    pub fn step(&self) -> Step {
        match &self.state {
            State::Asking(attempt) => Step::LookUp(attempt.record.payment_hash),
            State::Pausing(_, pause) => Step::Pause(*pause),
            State::WritingIntent(record, ..) | State::WritingToken(record) => {
                Step::Write(record.clone().into())
            }
            State::Paying(_, invoice, limits) => Step::Pay(invoice.clone(), *limits),
            State::Forgetting(hash, _) => Step::Forget(self.terms.origin.clone(), *hash),
            State::Finished(outcome) => Step::Finished(outcome.clone().map(Box::new)),
        }
    }

    /// The answer to [`Step::LookUp`].
    #[must_use]
    pub fn looked_up(self, answer: Result<PaymentState, PayError>, elapsed: Duration) -> Self {
        self.transition(|purchase, state| match state {
            State::Asking(attempt) => purchase.resolve(attempt, answer, elapsed),
            other => other,
        })
    }

    /// The pause is over.
    #[must_use]
    pub fn paused(self) -> Self {
        self.transition(|_, state| match state {
            State::Pausing(attempt, _) => State::Asking(attempt),
            other => other,
        })
    }

    /// What was to be written is written durably. An intent that could not be written ends the purchase: drop it.
    /// A token that could not be written still counts: the intent is on disk, and the wallet knows the preimage.
    #[must_use]
    pub fn written(self, elapsed: Duration) -> Self {
        self.transition(|purchase, state| match state {
            State::WritingIntent(record, invoice, fee_max) => purchase.pay(record, invoice, fee_max, elapsed),
            State::WritingToken(record) => State::Finished(Ok(record)),
            other => other,
        })
    }

    /// The intent is gone.
    #[must_use]
    pub fn forgotten(self) -> Self {
        self.transition(|purchase, state| match state {
            State::Forgetting(_, Some(error)) => State::Finished(Err(PurchaseFailure::NotPaid(error))),
            State::Forgetting(_, None) => first_state(&purchase.terms, &mut purchase.older, &purchase.fresh),
            other => other,
        })
    }

    /// The answer to [`Step::Pay`].
    #[must_use]
    pub fn paid(self, answer: Result<Paid, PayError>, elapsed: Duration) -> Self {
        self.transition(|purchase, state| match state {
            State::Paying(record, ..) => match answer {
                Ok(paid) if paid.preimage.payment_hash() == record.payment_hash => {
                    purchase.settle(record, paid, elapsed)
                }
                Ok(_) => ask(record, PayError::OutcomeUnknown(UnknownCause::WrongPreimage)),
                Err(error) => ask(record, error),
            },
            other => other,
        })
    }

    fn transition(mut self, next: impl FnOnce(&mut Self, State) -> State) -> Self {
        // The stand-in is never seen: `next` always gives a state back.
        let stand_in = State::Finished(Err(PurchaseFailure::Refused(Refusal::Expired)));
        let state = std::mem::replace(&mut self.state, stand_in);
        self.state = next(&mut self, state);
        self
    }

    fn now(&self, elapsed: Duration) -> u64 {
        self.terms.started_at.saturating_add(elapsed.as_secs())
    }

    fn deadline(&self) -> Duration {
        self.terms.timeout.saturating_add(self.terms.timeout.min(RESOLVE_MAX))
    }

    fn resolve(
        &mut self,
        attempt: Attempt,
        answer: Result<PaymentState, PayError>,
        elapsed: Duration,
    ) -> State {
        match answer {
            Ok(PaymentState::Succeeded(paid)) => {
                if paid.preimage.payment_hash() == attempt.record.payment_hash {
                    self.settle(attempt.record, paid, elapsed)
                } else {
                    self.unresolved(attempt, Unresolved::WrongPreimage, elapsed)
                }
            }
            Ok(PaymentState::Failed(reason)) => self.failed(attempt, PayError::Failed(reason), elapsed),
            Ok(PaymentState::InFlight) => self.unresolved(attempt, Unresolved::InFlight, elapsed),
            Ok(PaymentState::Unknown) => self.never_seen(attempt, elapsed),
            // The enum may grow; whatever a wallet says that is not known here is no answer.
            Ok(_) => self.unresolved(
                attempt,
                Unresolved::NoAnswer(PayError::OutcomeUnknown(UnknownCause::Garbled { field: "payment" })),
                elapsed,
            ),
            Err(error) => self.unresolved(attempt, Unresolved::NoAnswer(error), elapsed),
        }
    }

    /// The wallet says that the payment failed for good. That is the end of its only call; of two calls, the other may
    /// still arrive, until the invoice has expired. Till then only this same invoice is tried.
    fn failed(&mut self, attempt: Attempt, error: PayError, elapsed: Duration) -> State {
        let hash = attempt.record.payment_hash;
        let given_up = attempt.record.sends <= 1 || self.is_past(&attempt.record, elapsed);
        match attempt.sent {
            Sent::Not if given_up => State::Forgetting(hash, None),
            Sent::Not => self.resend(attempt, elapsed),
            Sent::With(_) if given_up => State::Forgetting(hash, Some(error)),
            Sent::With(_) => again(hash, error),
        }
    }

    /// The wallet does not know the payment. Told to pay in this run, it may just not have got to it, unless it
    /// said itself that it sent nothing. From an earlier run, the same invoice is handed to the same wallet again.
    fn never_seen(&mut self, attempt: Attempt, elapsed: Duration) -> State {
        match &attempt.sent {
            // The intent stays: it costs one question, and nothing depends on the wallet's word.
            Sent::With(error) if error.nothing_paid() && attempt.record.sends <= 1 => {
                State::Finished(Err(PurchaseFailure::NotPaid(error.clone())))
            }
            Sent::With(error) if error.nothing_paid() => again(attempt.record.payment_hash, error.clone()),
            Sent::With(_) => self.unresolved(attempt, Unresolved::NotSeen, elapsed),
            Sent::Not => self.resend(attempt, elapsed),
        }
    }

    fn resend(&mut self, attempt: Attempt, elapsed: Duration) -> State {
        let hash = attempt.record.payment_hash;
        if let Some(wallet) = attempt.record.wallet.clone().filter(|wallet| *wallet != self.terms.wallet) {
            let why = Unresolved::OtherWallet(wallet);
            return State::Finished(Err(PurchaseFailure::OutcomeUnknown { hash, why }));
        }
        let Some(invoice) = invoice_of(&attempt.record) else {
            return self.unresolved(attempt, Unresolved::NotSeen, elapsed);
        };
        match approval::payable(&invoice, self.terms.cap, self.now(elapsed)) {
            Ok((_, fee)) => {
                let sends = attempt.record.sends.saturating_add(1);
                let record = PurchaseRecord { sends, ..attempt.record };
                State::WritingIntent(record, Box::new(invoice), fee.most())
            }
            Err(Refusal::Expired) if self.is_past(&attempt.record, elapsed) => State::Forgetting(hash, None),
            Err(Refusal::Expired) => self.unresolved(attempt, Unresolved::NotSeen, elapsed),
            Err(refusal) => State::Finished(Err(PurchaseFailure::Refused(refusal))),
        }
    }

    /// Whether the record's invoice expired so long ago that no call of any age can still pay it.
    fn is_past(&self, record: &PurchaseRecord, elapsed: Duration) -> bool {
        invoice_of(record).is_some_and(|invoice| {
            self.now(elapsed) >= invoice.expires_at().saturating_add(EXPIRY_GRACE_SECS)
        })
    }

    fn pay(
        &self,
        record: PurchaseRecord,
        invoice: Box<Invoice>,
        fee_max: MilliSat,
        elapsed: Duration,
    ) -> State {
        debug_assert_eq!(record.payment_hash, invoice.payment_hash());
        let left = invoice.expires_at().saturating_sub(self.now(elapsed));
        let timeout = self.terms.timeout.min(Duration::from_secs(left));
        State::Paying(record, invoice, PayLimits { fee_max, timeout })
    }

    fn settle(&self, record: PurchaseRecord, paid: Paid, elapsed: Duration) -> State {
        State::WritingToken(record.into_paid(paid.preimage, Some(paid.fee), self.now(elapsed)))
    }

    /// Asks again after a pause, until the deadline.
    fn unresolved(&mut self, attempt: Attempt, why: Unresolved, elapsed: Duration) -> State {
        if elapsed >= self.deadline() {
            let hash = attempt.record.payment_hash;
            return State::Finished(Err(PurchaseFailure::OutcomeUnknown { hash, why }));
        }
        let pause = self.pause;
        self.pause = pause.saturating_mul(2).min(PAUSE_MAX);
        State::Pausing(attempt, pause)
    }
}

/// The next intent of an earlier run, or else the fresh offer.
fn first_state(
    terms: &Terms,
    older: &mut VecDeque<PurchaseRecord>,
    fresh: &Result<Box<Approved>, Refusal>,
) -> State {
    if let Some(record) = older.pop_front() {
        return State::Asking(Attempt { record, sent: Sent::Not });
    }
    match fresh {
        Err(refusal) => State::Finished(Err(PurchaseFailure::Refused(refusal.clone()))),
        Ok(approved) => {
            let invoice = Box::new(approved.invoice().clone());
            State::WritingIntent(intent(terms, approved), invoice, approved.fee().most())
        }
    }
}

fn intent(terms: &Terms, approved: &Approved) -> PurchaseRecord {
    PurchaseRecord {
        origin: terms.origin.clone(),
        scope: terms.scope.clone(),
        path: terms.path.clone(),
        scheme: approved.offer().scheme,
        token: approved.offer().token.clone(),
        payment_hash: approved.invoice().payment_hash(),
        invoice: Some(approved.invoice().text().to_owned()),
        amount: Some(approved.amount()),
        cap: Some(terms.cap.most()),
        wallet: Some(terms.wallet.clone()),
        sends: 1,
        created_at: terms.started_at,
        stage: Stage::Intended,
    }
}

fn invoice_of(record: &PurchaseRecord) -> Option<Invoice> {
    record.invoice.as_deref().and_then(|text| Invoice::parse(text).ok())
}

fn again(hash: PaymentHash, error: PayError) -> State {
    State::Finished(Err(PurchaseFailure::OutcomeUnknown { hash, why: Unresolved::Again(error) }))
}

fn ask(record: PurchaseRecord, error: PayError) -> State {
    State::Asking(Attempt { record, sent: Sent::With(error) })
}
