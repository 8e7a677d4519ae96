//! What happened in a world: in full for whoever replays it, and in numbers.

use l402_paywall::{
    StoreError,
    ledger::{Effect, Handle, Operation, ReservationId, Standing},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// What happened so far. Clones are the same story.
#[derive(Clone, Default)]
pub(crate) struct Story(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    is_wanted: bool,
    lines: Vec<String>,
    events: BTreeMap<&'static str, u64>,
}

impl Story {
    /// With `is_wanted` every line is kept.
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self(Arc::new(Mutex::new(Told { is_wanted, ..Told::default() })))
    }

    pub(crate) fn tell(&self, line: impl FnOnce() -> String) {
        let is_wanted = self.0.lock().unwrap().is_wanted;
        if is_wanted {
            let line = line();
            self.0.lock().unwrap().lines.push(line);
        }
    }

    pub(crate) fn count(&self, event: &'static str) {
        *self.0.lock().unwrap().events.entry(event).or_default() += 1;
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().lines.clone()
    }

    pub(crate) fn events(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap().events.clone()
    }
}

/// A step, in short; `name` says whose reservation it is about.
pub(crate) fn step(operation: &Operation, name: impl Fn(ReservationId) -> String) -> String {
    let of = |handle: &Handle| name(handle.id);
    match operation {
        Operation::Credit(purse) => format!("credit {}", purse.pack),
        Operation::Reserve(reserve) => {
            let claim = if reserve.claim.is_some() { ", claimed" } else { "" };
            let depth = reserve.purse.caps.len();
            format!("reserve {} for {}, {depth} budgets{claim}", reserve.units, name(reserve.id))
        }
        Operation::Extend { handle, total, .. } => format!("extend {} to {total}", of(handle)),
        Operation::Settle { handle, cost, .. } => format!("settle {} at {cost}", of(handle)),
        Operation::Release(handle) => format!("release {}", of(handle)),
        Operation::Expire { handle, rule } => format!("expire {} ({rule:?})", of(handle)),
        Operation::Revoke(token_id) => format!("revoke {}", hex::encode(&token_id.as_bytes()[4..8])),
    }
}

/// What came of a step, in short.
pub(crate) fn outcome(answer: &Result<Effect, StoreError>) -> String {
    let left = |Standing { balance, reserved }: &Standing| format!("{balance} left, {reserved} held");
    match answer {
        Err(error) => error.to_string(),
        Ok(Effect::Credited { standing, .. }) => format!("credited, {}", left(standing)),
        Ok(Effect::Reserved(standing)) => format!("reserved, {}", left(standing)),
        Ok(Effect::Short(standing)) => format!("short, {}", left(standing)),
        Ok(Effect::Ended { ending, is_new, .. }) => {
            let when = if *is_new { "now" } else { "before" };
            let (by, reserved, charged) = (ending.by, ending.reserved, ending.charged);
            format!("ended {when} by {by:?}, {charged} of {reserved} charged")
        }
        Ok(other) => format!("{other:?}"),
    }
}
