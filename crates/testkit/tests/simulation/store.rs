//! A simulated store: the ledger's state machine over rows that survive every crash, and a line to it that delays,
//! refuses, repeats and loses. The operations of several requests share one transaction, as in the real stores.

use crate::{
    dice::Dice,
    pause,
    slip::Slip,
    story::{self, Story},
};
use l402::TokenId;
use l402_lightning::BoxFuture;
use l402_paywall::{
    StoreError,
    ledger::{
        Abandoned, Audit, Book, Changes, Effect, EndedBy, Entry, EntryKind, Handle, Holding, Ledger,
        Operation, Reservation, ReservationId, Revocations, Units,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::{pending, poll_fn},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
};
use testkit::ledger::Rows;

/// How often the store's own side of the line asks again for a step whose outcome is unknown.
const TRIES_MAX: u32 = 2;
/// Most steps in one transaction.
const BATCH_MAX: u64 = 4;
/// Later than any time in a world, in seconds.
const FOR_EVER_SECS: u64 = u64::MAX >> 2;

type Answer = Result<Effect, StoreError>;

/// The store, with everything that is on its way to and from it.
pub(crate) struct Store {
    rows: Mutex<Rows>,
    /// For a slip: what would survive a loss of power.
    durable: Mutex<Rows>,
    line: Mutex<Line>,
    /// Whose reservations these are, by the number of the visit.
    whose: Mutex<BTreeMap<ReservationId, u64>>,
    /// Visits whose gateway asked for the end of their reservation.
    closed: Mutex<BTreeSet<u64>>,
    /// The visit that is being worked on.
    visit: AtomicU64,
    was_touched: AtomicBool,
    dice: Arc<Dice>,
    story: Story,
    slip: Option<Slip>,
}

#[derive(Default)]
struct Line {
    under_way: Vec<Step>,
    weather: Weather,
}

/// How often the line fails, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// A transaction is not committed.
    pub(crate) refused: u64,
    /// A gateway is told of a failure while its step is still on its way.
    pub(crate) late: u64,
    /// A transaction is committed, and nobody learns so.
    pub(crate) lost: u64,
}

struct Step {
    process: u64,
    operation: Operation,
    at: u64,
    tries_left: u32,
    /// Once its outcome is known, as far as it ever will be.
    answer: Option<Answer>,
    /// Where its gateway looks for the answer; `None` where nobody waits any more.
    slot: Option<Arc<Mutex<Option<Answer>>>>,
}

/// One process's line to the store.
pub(crate) struct Wire {
    store: Arc<Store>,
    process: u64,
    is_cut: AtomicBool,
}

impl Store {
    pub(crate) fn new(dice: Arc<Dice>, story: Story, slip: Option<Slip>) -> Self {
        Self {
            rows: Mutex::default(),
            durable: Mutex::default(),
            line: Mutex::default(),
            whose: Mutex::default(),
            closed: Mutex::default(),
            visit: AtomicU64::new(0),
            was_touched: AtomicBool::new(true),
            dice,
            story,
            slip,
        }
    }

    /// What is written down.
    pub(crate) fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap()
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.line.lock().unwrap().weather = weather;
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.line.lock().unwrap().under_way.is_empty()
    }

    /// From now on reservations are made for this visit.
    pub(crate) fn work_for(&self, visit: u64) {
        self.visit.store(visit, Ordering::Relaxed);
    }

    /// The visit that a reservation was made for.
    pub(crate) fn visit_of(&self, id: ReservationId) -> Option<u64> {
        self.whose.lock().unwrap().get(&id).copied()
    }

    /// Whether the gateway of a visit asked for the end of its reservation.
    pub(crate) fn was_closed(&self, visit: u64) -> bool {
        self.closed.lock().unwrap().contains(&visit)
    }

    /// What is set aside for a visit at this instant.
    pub(crate) fn open_for(&self, visit: u64) -> Option<Reservation> {
        self.rows().open.values().find(|open| self.visit_of(open.handle.id) == Some(visit)).cloned()
    }

    /// There is something new to be checked.
    pub(crate) fn touch(&self) {
        self.was_touched.store(true, Ordering::Relaxed);
    }

    /// Whether there is, since this was last asked.
    pub(crate) fn take_touched(&self) -> bool {
        self.was_touched.swap(false, Ordering::Relaxed)
    }

    /// Lets something happen to one of the steps under way: it is answered, or committed together with others.
    pub(crate) fn advance(&self) {
        let mut line = self.line.lock().unwrap();
        if line.under_way.is_empty() {
            return;
        }
        let (index, weather) = (self.dice.index(line.under_way.len()), line.weather);
        let step = &mut line.under_way[index];
        if let Some(answer) = step.answer.take() {
            let step = line.under_way.swap_remove(index);
            self.tell(&step, answer);
        } else if step.slot.is_some() && self.dice.chance(weather.late) {
            self.story.count("step late");
            self.tell(step, Err(StoreError::Late));
            step.slot = None;
        } else {
            self.transact(&mut line.under_way, index, weather);
        }
    }

    /// Something is on its way to the store, and arrives or does not.
    pub(crate) async fn reach(&self) -> Result<(), StoreError> {
        for _ in 0..self.dice.below(3) {
            pause().await;
        }
        let refused = self.line.lock().unwrap().weather.refused;
        if self.dice.chance(refused) {
            return Err(StoreError::Unreachable("the line broke".to_owned()));
        }
        Ok(())
    }

    /// The server loses its power. What it has committed stays; nobody hears of anything else.
    pub(crate) fn lose_power(&self) {
        if self.slip == Some(Slip::AcknowledgesTooSoon) {
            *self.rows() = self.durable.lock().unwrap().clone();
        }
        for step in &mut self.line.lock().unwrap().under_way {
            step.ask_again();
        }
        self.touch();
    }

    /// A process dies. Of what it had sent, some still arrives, unless nothing `survives` it.
    fn cut_off(&self, process: u64, survives: bool) {
        self.line.lock().unwrap().under_way.retain_mut(|step| {
            if step.process != process {
                return true;
            }
            (step.slot, step.tries_left) = (None, 0);
            survives && step.answer.is_none() && self.dice.chance(50)
        });
    }

    /// One transaction with the step at `first` and perhaps others that wait.
    fn transact(&self, steps: &mut [Step], first: usize, weather: Weather) {
        let more = if self.slip.is_some() { 0 } else { self.dice.below(BATCH_MAX) };
        let waiting = |index: &usize| *index != first && steps[*index].answer.is_none();
        let mut waiting: Vec<usize> = (0..steps.len()).filter(waiting).collect();
        let mut batch = vec![first];
        for _ in 0..more.min(waiting.len() as u64) {
            batch.push(waiting.swap_remove(self.dice.index(waiting.len())));
        }
        let is_refused = self.dice.chance(weather.refused);
        let is_lost = !is_refused && self.dice.chance(weather.lost);
        if is_refused && self.slip != Some(Slip::AcknowledgesFailures) {
            self.story.count("commit failed");
            self.story.tell(|| format!("the store: a transaction of {} steps fails", batch.len()));
            for index in batch {
                steps[index].ask_again();
            }
            return;
        }
        let mut book = Book::default();
        let mut answers = Vec::with_capacity(batch.len());
        for index in &batch {
            answers.push(self.apply(&mut book, &mut steps[*index]));
        }
        let changes = book.take_changes();
        if !is_refused {
            self.commit(changes, &steps[first].operation);
        }
        for (index, answer) in batch.into_iter().zip(answers) {
            let step = &mut steps[index];
            if is_lost && self.dice.chance(70) {
                self.story.count("answer lost");
                step.ask_again();
            } else {
                step.answer = Some(answer);
            }
        }
    }

    fn apply(&self, book: &mut Book, step: &mut Step) -> Answer {
        let mut rows = self.rows();
        let mut operation = step.operation.clone();
        if let Some(slip) = self.slip {
            before(slip, &mut operation, &mut rows);
        }
        rows.load(book, &operation.needs());
        drop(rows);
        let mut answer = book.apply(&operation, step.at).map_err(StoreError::Book);
        if self.slip == Some(Slip::TellsTooMuch)
            && let Ok(Effect::Reserved(standing)) = &mut answer
        {
            standing.balance = standing.balance.saturating_add(standing.reserved);
        }
        self.story.tell(|| {
            let (step, answer) = (story::step(&operation, |id| self.name(id)), story::outcome(&answer));
            format!("the store: {step} -> {answer}")
        });
        self.count(&answer);
        answer
    }

    fn commit(&self, mut changes: Changes, operation: &Operation) {
        let mut rows = self.rows();
        match self.slip {
            Some(Slip::AcknowledgesTooSoon) => *self.durable.lock().unwrap() = rows.clone(),
            Some(Slip::WritesHalf) if self.dice.chance(20) => changes.open.clear(),
            Some(Slip::ForgetsClaims) => changes.claims.clear(),
            Some(Slip::ForgetsRevocations) if matches!(operation, Operation::Revoke(_)) => return,
            _ => {}
        }
        rows.write(changes);
        self.touch();
    }

    fn tell(&self, step: &Step, answer: Answer) {
        let Some(slot) = &step.slot else { return };
        self.story.tell(|| {
            let (asked, told) = (story::step(&step.operation, |id| self.name(id)), story::outcome(&answer));
            format!("process {}: {asked} -> {told}", step.process)
        });
        *slot.lock().unwrap() = Some(answer);
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

    fn name(&self, id: ReservationId) -> String {
        self.visit_of(id).map_or("nobody".to_owned(), |visit| format!("v{visit}"))
    }
}

impl Step {
    /// Nobody knows what came of it, so the store's own side of the line asks once more, or gives up.
    fn ask_again(&mut self) {
        match self.tries_left.checked_sub(1) {
            Some(left) => (self.tries_left, self.answer) = (left, None),
            None => self.answer = Some(Err(StoreError::Unreachable("the line broke".to_owned()))),
        }
    }
}

/// What a store with a slip does to its rows before the state machine is asked.
fn before(slip: Slip, operation: &mut Operation, rows: &mut Rows) {
    match (slip, operation) {
        (Slip::CreditsTwice, Operation::Reserve(reserve)) => {
            let own = reserve.handle().accounts[0];
            let credit = |entry: &&Entry| entry.account == own && entry.kind == EntryKind::Credited;
            let Some(line) = rows.journal.iter().find(credit).cloned() else { return };
            let Some(account) = rows.accounts.get_mut(&own).filter(|own| own.balance < reserve.units) else {
                return;
            };
            account.credited = account.credited.saturating_add(line.credited);
            account.balance = account.balance.saturating_add(line.credited);
            rows.journal.push(line);
        }
        (Slip::ChargesTwice, Operation::Settle { handle, .. }) => {
            let is_it =
                |entry: &&Entry| matches!(&entry.kind, EntryKind::Ended { handle: own, .. } if own == handle);
            let Some(line) = rows.journal.iter().find(is_it).cloned() else { return };
            let can_pay = |key| rows.accounts.get(key).is_some_and(|own| own.balance >= line.charged);
            if !handle.accounts.iter().all(can_pay) {
                return;
            }
            for key in handle.accounts.iter() {
                let Some(account) = rows.accounts.get_mut(key) else { continue };
                account.balance = account.balance.saturating_sub(line.charged);
                account.debited = account.debited.saturating_add(line.charged);
            }
            rows.journal.push(line);
        }
        (Slip::IgnoresBudgets, Operation::Reserve(reserve)) => {
            let mut purse = reserve.purse.clone();
            purse.caps = purse
                .caps
                .iter()
                .map(|cap| l402_paywall::ledger::Cap { units: Units::MAX, ..*cap })
                .collect();
            reserve.purse = purse;
        }
        (Slip::IgnoresTheRule, Operation::Expire { rule, .. }) => {
            *rule = match rule {
                Abandoned::Release => Abandoned::Charge,
                Abandoned::Charge => Abandoned::Release,
            };
        }
        _ => {}
    }
}

impl Wire {
    pub(crate) fn new(store: Arc<Store>, process: u64) -> Self {
        Self { store, process, is_cut: AtomicBool::new(false) }
    }

    /// The process dies: nothing goes out any more, and nothing comes in. With `survives` some of what it had sent still
    /// arrives.
    pub(crate) fn cut(&self, survives: bool) {
        self.is_cut.store(true, Ordering::Relaxed);
        self.store.cut_off(self.process, survives);
    }

    /// A question about the rows, which waits, fails, or is answered with how they are then.
    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Rows) -> T + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        Box::pin(async move {
            self.store.reach().await?;
            Ok(question(&mut self.store.rows()))
        })
    }
}

impl Ledger for Wire {
    fn apply(&self, operation: Operation, at: u64) -> BoxFuture<'static, Answer> {
        if self.is_cut.load(Ordering::Relaxed) {
            return Box::pin(pending());
        }
        match &operation {
            Operation::Reserve(reserve) => {
                let visit = self.store.visit.load(Ordering::Relaxed);
                self.store.whose.lock().unwrap().insert(reserve.id, visit);
            }
            Operation::Settle { handle, .. } | Operation::Release(handle) => {
                self.store.closed.lock().unwrap().extend(self.store.visit_of(handle.id));
            }
            _ => {}
        }
        let slot = Arc::new(Mutex::new(None));
        let step = Step {
            process: self.process,
            operation,
            at,
            tries_left: TRIES_MAX,
            answer: None,
            slot: Some(Arc::clone(&slot)),
        };
        self.store.line.lock().unwrap().under_way.push(step);
        Box::pin(poll_fn(move |_| slot.lock().unwrap().take().map_or(Poll::Pending, Poll::Ready)))
    }

    fn overdue(&self, until: u64, max: usize) -> BoxFuture<'_, Result<Vec<Handle>, StoreError>> {
        self.ask(move |rows| rows.overdue(until, max))
    }

    fn forget_claims(&self, now: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        let now = if self.store.slip == Some(Slip::ForgetsTheFuture) { FOR_EVER_SECS } else { now };
        self.ask(move |rows| rows.forget_claims(now))
    }

    fn revoked_since(&self, mark: u64) -> BoxFuture<'_, Result<Revocations, StoreError>> {
        self.ask(move |rows| {
            let known = usize::try_from(mark).map_or(rows.revoked.len(), |mark| mark.min(rows.revoked.len()));
            Revocations { mark: rows.revoked.len() as u64, tokens: rows.revoked[known..].to_vec() }
        })
    }

    fn holding(&self, token_id: TokenId) -> BoxFuture<'_, Result<Option<Holding>, StoreError>> {
        self.ask(move |rows| rows.holding(token_id))
    }

    fn journal(&self, after: u64, max: usize) -> BoxFuture<'_, Result<Vec<(u64, Entry)>, StoreError>> {
        self.ask(move |rows| {
            let lines = (1..).zip(rows.journal.iter().cloned());
            lines.filter(|(line, _)| *line > after).take(max).collect()
        })
    }

    fn check_invariants(&self) -> BoxFuture<'_, Result<Audit, StoreError>> {
        self.ask(|rows| rows.audit())
    }

    fn fault(&self) -> Option<StoreError> {
        None
    }
}
