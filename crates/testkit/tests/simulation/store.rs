//! A ledger behind a line that delays, refuses, and loses answers. The ledger itself forgets nothing.

use crate::{
    dice::Dice,
    story::{self, Story},
};
use l402::TokenId;
use l402_lightning::BoxFuture;
use l402_paywall::{
    StoreError,
    ledger::{
        Audit, Effect, EndedBy, Entry, Handle, Holding, Ledger, MemoryLedger, Operation, Revocations, Units,
    },
};
use std::{
    future::{poll_fn, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

type Answer = Result<Effect, StoreError>;

/// The ledger, with everything that is on its way to and from it.
pub(crate) struct Store {
    pub(crate) ledger: MemoryLedger,
    line: Mutex<Line>,
    was_touched: AtomicBool,
    story: Story,
}

#[derive(Default)]
struct Line {
    under_way: Vec<UnderWay>,
    weather: Weather,
}

/// How often the line fails, in percent of all steps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// A step does not reach the ledger, and its gateway learns so.
    pub(crate) refused: u64,
    /// A gateway is told of a failure while its step is still on its way.
    pub(crate) late: u64,
    /// A step was applied, and its gateway learns only of a failure.
    pub(crate) lost: u64,
}

struct UnderWay {
    gateway: usize,
    operation: Operation,
    at: u64,
    /// Once it was applied.
    effect: Option<Effect>,
    /// Where its gateway looks for the answer; `None` where nobody waits any more.
    slot: Option<Arc<Mutex<Option<Answer>>>>,
}

/// One gateway's line to the ledger.
pub(crate) struct Wire {
    pub(crate) store: Arc<Store>,
    pub(crate) gateway: usize,
}

impl Store {
    pub(crate) fn new(story: Story) -> Self {
        Self {
            ledger: MemoryLedger::default(),
            line: Mutex::default(),
            was_touched: AtomicBool::new(true),
            story,
        }
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.line.lock().unwrap().weather = weather;
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.line.lock().unwrap().under_way.is_empty()
    }

    /// There is something new to be checked.
    pub(crate) fn touch(&self) {
        self.was_touched.store(true, Ordering::Relaxed);
    }

    /// Whether there is, since this was last asked.
    pub(crate) fn take_touched(&self) -> bool {
        self.was_touched.swap(false, Ordering::Relaxed)
    }

    /// Lets something happen to one of the steps under way.
    pub(crate) fn advance(&self, dice: &Dice) {
        let mut line = self.line.lock().unwrap();
        if line.under_way.is_empty() {
            return;
        }
        let (index, weather) = (dice.index(line.under_way.len()), line.weather);
        let step = &mut line.under_way[index];
        let is_done = match step.effect.take() {
            Some(effect) => {
                let answer = if dice.chance(weather.lost) {
                    self.story.count("answer lost");
                    Err(StoreError::Unreachable("the answer was lost".to_owned()))
                } else {
                    Ok(effect)
                };
                self.answer(step, answer);
                true
            }
            None if step.slot.is_some() && dice.chance(weather.refused) => {
                self.story.count("step refused");
                self.answer(step, Err(StoreError::Unreachable("it was refused".to_owned())));
                true
            }
            None if step.slot.is_some() && dice.chance(weather.late) => {
                self.story.count("step late");
                self.answer(step, Err(StoreError::Unreachable("it took too long".to_owned())));
                false
            }
            None => {
                let answer = self.ledger.step(&step.operation, step.at);
                self.story.tell(|| {
                    let (step, answer) = (story::step(&step.operation), story::outcome(&answer));
                    format!("the ledger: {step} -> {answer}")
                });
                step.effect = answer.as_ref().ok().cloned();
                self.touch();
                self.count(&answer);
                if let Err(error) = answer {
                    self.answer(step, Err(error));
                }
                step.effect.is_none() || step.slot.is_none()
            }
        };
        if is_done {
            line.under_way.swap_remove(index);
        } else if line.under_way[index].effect.is_none() {
            // Told to be late: nobody waits for it any more.
            line.under_way[index].slot = None;
        }
    }

    /// The gateway dies. Of what it had sent, some still arrives.
    pub(crate) fn cut_off(&self, gateway: usize, dice: &Dice) {
        let mut line = self.line.lock().unwrap();
        line.under_way.retain_mut(|step| {
            let is_its_own = step.gateway == gateway;
            if is_its_own {
                step.slot = None;
            }
            !is_its_own || (step.effect.is_none() && dice.chance(50))
        });
    }

    fn count(&self, answer: &Answer) {
        let Ok(Effect::Ended { ending, is_new, .. }) = answer else { return };
        let events = [
            (*is_new && ending.by == EndedBy::Expire, "expired"),
            (*is_new && ending.overrun > Units::ZERO, "overrun"),
            (!is_new, "asked after the end"),
        ];
        for (_, event) in events.iter().filter(|(happened, _)| *happened) {
            self.story.count(event);
        }
    }

    fn answer(&self, step: &UnderWay, answer: Answer) {
        let Some(slot) = &step.slot else { return };
        self.story.tell(|| {
            let (asked, told) = (story::step(&step.operation), story::outcome(&answer));
            format!("gateway {}: {asked} -> {told}", step.gateway)
        });
        *slot.lock().unwrap() = Some(answer);
    }
}

impl Ledger for Wire {
    fn apply(&self, operation: Operation, at: u64) -> BoxFuture<'static, Answer> {
        let slot = Arc::new(Mutex::new(None));
        let (gateway, waiting) = (self.gateway, Some(Arc::clone(&slot)));
        let step = UnderWay { gateway, operation, at, effect: None, slot: waiting };
        self.store.line.lock().unwrap().under_way.push(step);
        Box::pin(poll_fn(move |_| slot.lock().unwrap().take().map_or(Poll::Pending, Poll::Ready)))
    }

    fn overdue(&self, now: u64, max: usize) -> BoxFuture<'_, Result<Vec<Handle>, StoreError>> {
        if self.store.line.lock().unwrap().weather.refused > 20 {
            return Box::pin(ready(Err(StoreError::Unreachable("it was refused".to_owned()))));
        }
        self.store.ledger.overdue(now, max)
    }

    fn forget_claims(&self, now: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        self.store.ledger.forget_claims(now)
    }

    fn revoked_since(&self, mark: u64) -> BoxFuture<'_, Result<Revocations, StoreError>> {
        self.store.ledger.revoked_since(mark)
    }

    fn holding(&self, token_id: TokenId) -> BoxFuture<'_, Result<Option<Holding>, StoreError>> {
        self.store.ledger.holding(token_id)
    }

    fn journal(&self, after: u64, max: usize) -> BoxFuture<'_, Result<Vec<(u64, Entry)>, StoreError>> {
        self.store.ledger.journal(after, max)
    }

    fn check_invariants(&self) -> BoxFuture<'_, Result<Audit, StoreError>> {
        self.store.ledger.check_invariants()
    }

    fn fault(&self) -> Option<StoreError> {
        None
    }
}
