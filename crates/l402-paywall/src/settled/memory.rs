//! What is known about settlements without asking anybody. Both tables are bounded; what falls out is asked for again.

use super::{Standing, Unsettled};
use l402::PaymentHash;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::Mutex as TurnLock;

/// Settled invoices that are remembered; about 100 bytes each.
const SETTLED_MAX: usize = 100_000;
/// Hashes that are being asked for, or were lately.
const TURNS_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct Memory {
    settled: Mutex<Settled>,
    turns: Mutex<HashMap<PaymentHash, Arc<Turn>>>,
}

#[derive(Default)]
struct Settled {
    known: HashSet<PaymentHash>,
    order: VecDeque<PaymentHash>,
}

/// The requests with one hash, one after the other.
#[derive(Default)]
pub(super) struct Turn {
    /// What came of the last question. Nobody holds the lock longer than one question takes.
    pub(super) last: TurnLock<Option<Said>>,
    /// Questions that were answered.
    answers: AtomicU64,
}

/// What came of a question, where it was not a yes.
pub(super) struct Said {
    pub(super) answer: Result<Standing, Unsettled>,
    /// When it was asked.
    pub(super) at_ns: u64,
}

impl Turn {
    /// How many questions have been answered. Grows while a request waits for its turn: then it need not ask itself.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Acquire)
    }

    pub(super) fn count_answer(&self) {
        self.answers.fetch_add(1, Ordering::Release);
    }
}

impl Memory {
    pub(super) fn is_settled(&self, hash: PaymentHash) -> bool {
        lock(&self.settled).known.contains(&hash)
    }

    pub(super) fn remember(&self, hash: PaymentHash) {
        let mut settled = lock(&self.settled);
        if !settled.known.insert(hash) {
            return;
        }
        settled.order.push_back(hash);
        if settled.order.len() > SETTLED_MAX
            && let Some(oldest) = settled.order.pop_front()
        {
            settled.known.remove(&oldest);
        }
    }

    /// What requests with this hash share.
    pub(super) fn turn(&self, hash: PaymentHash) -> Arc<Turn> {
        let mut turns = lock(&self.turns);
        if turns.len() >= TURNS_MAX && !turns.contains_key(&hash) {
            // Whoever waits for a turn holds on to it; the rest only spares questions.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry(hash).or_default())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No method panics between two changes that belong together.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
