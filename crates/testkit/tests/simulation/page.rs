//! What the observer notes of one request, and what it has to have been charged.

use crate::{
    books::Shown,
    store::Store,
    tariff::{Route, Tariff},
    visit::{Script, Visit},
};
use l402_paywall::ledger::{Abandoned, EndedBy, Ending, EntryKind, ReservationId};
use std::collections::{BTreeMap, BTreeSet};

/// One request, from outside.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Page {
    pub(crate) shown: Shown,
    pub(crate) route: Route,
    pub(crate) key: Option<u8>,
    pub(crate) script: Script,
    /// True time, in seconds.
    pub(crate) began_at: u64,
    /// Whether its token's revocation was acknowledged, or read by its gateway, before it asked.
    pub(crate) was_revoked: bool,
    /// The most that its token can have had, when it asked.
    pub(crate) balance_max: u64,
    pub(crate) was_forwarded: bool,
    pub(crate) upstream_failed: bool,
    pub(crate) upstream_broke_off: bool,
    pub(crate) has_head: bool,
    pub(crate) has_left: bool,
    /// While it was served.
    pub(crate) gateway_died: bool,
    /// Its reservation expired before its gateway learnt of it.
    pub(crate) expired_unseen: bool,
    /// Whether its gateway asked for the end of its reservation.
    pub(crate) was_closed: bool,
    pub(crate) was_cut: bool,
    pub(crate) was_spent: bool,
    /// Bytes that the upstream has sent.
    pub(crate) sent: u64,
    /// When it sent the last of them, in seconds.
    pub(crate) sent_at: u64,
    /// Units in the part of a stream that the client has.
    pub(crate) part: u64,
    /// Units in the whole answer that the client has.
    pub(crate) whole: Option<u64>,
}

/// How the reservation of each visit ended, as the journal tells; an error where one ended twice.
pub(crate) fn ended_by_visit(store: &Store) -> Result<BTreeMap<u64, Ending>, String> {
    let (mut seen, mut endings) = (BTreeSet::<ReservationId>::new(), BTreeMap::<u64, Ending>::new());
    for line in &store.rows().journal {
        let (EntryKind::Ended { handle, .. }, Some(ending)) = (&line.kind, line.ending()) else { continue };
        let Some(visit) = store.visit_of(handle.id) else {
            return Err("a reservation ended that nobody asked for".to_owned());
        };
        if !seen.insert(handle.id) {
            return Err(format!("v{visit}: its reservation ended twice"));
        }
        if endings.insert(visit, ending).is_some() {
            return Err(format!("v{visit}: units were set aside for it twice"));
        }
    }
    Ok(endings)
}

impl Page {
    pub(crate) fn new(visit: &Visit, shown: Shown, now: u64, was_revoked: bool, balance_max: u64) -> Self {
        Self {
            shown,
            route: visit.route,
            key: visit.key,
            script: visit.script.clone(),
            began_at: now,
            was_revoked,
            balance_max,
            was_forwarded: false,
            upstream_failed: false,
            upstream_broke_off: false,
            has_head: false,
            has_left: false,
            gateway_died: false,
            expired_unseen: false,
            was_closed: false,
            was_cut: false,
            was_spent: false,
            sent: 0,
            sent_at: now,
            part: 0,
            whole: None,
        }
    }

    /// What it claims by its `Idempotency-Key`: the account that it spends from, and the key.
    pub(crate) fn claim(&self) -> Option<(usize, &[u64], u8)> {
        match &self.shown {
            Shown::Token { purchase, path, .. } => Some((*purchase, path, self.key?)),
            Shown::Nothing | Shown::Forgery => None,
        }
    }

    /// Units that the whole answer is worth, at least; nothing where such an answer is free.
    pub(crate) fn worth(&self, tariff: &Tariff) -> u64 {
        if !tariff.policy.keeps(self.script.status) {
            return 0;
        }
        match self.route {
            Route::Fixed => tariff.fixed,
            Route::Said | Route::Written => self.script.cost.map_or(tariff.max, |cost| cost.min(tariff.max)),
            Route::Bytes => self.sent,
            Route::Seconds => (self.sent_at - self.began_at).max(1),
        }
    }

    /// What was charged for it is what it was worth, and what was served was charged.
    pub(crate) fn check(&self, ending: Option<Ending>, tariff: &Tariff) -> Result<(), String> {
        let Some(Ending { by, reserved, charged, overrun }) = ending else {
            return if self.was_forwarded { Err("it was forwarded on hope".to_owned()) } else { Ok(()) };
        };
        let (reserved, charged) = (reserved.get(), charged.get());
        if by == EndedBy::Expire && !(self.gateway_died || self.was_closed || self.expired_unseen) {
            return Err("its gateway left its units set aside".to_owned());
        }
        if self.whole.is_some_and(|whole| whole > charged) {
            return Err(format!("a whole answer was served, and {charged} units were charged"));
        }
        if by == EndedBy::Expire {
            let due = if tariff.on_crash == Abandoned::Charge { reserved } else { 0 };
            return if charged == due { Ok(()) } else { Err("the rule for crashes was not kept".to_owned()) };
        }
        if charged > 0 && !self.was_forwarded {
            return Err("it was charged and never went upstream".to_owned());
        }
        if charged > 0 && !self.may_be_charged(tariff) {
            return Err(format!("{charged} units were charged for what costs nothing"));
        }
        if by == EndedBy::Release {
            let is_owed = self.has_head && self.is_charged_anyway(tariff);
            return if is_owed {
                Err("it was given back, and is charged however it ended".to_owned())
            } else {
                Ok(())
            };
        }
        let (least, most) = (self.least(tariff, reserved), self.most(tariff, reserved));
        if charged < least || charged > most {
            return Err(format!("{charged} units were charged, and it was worth {least} to {most}"));
        }
        if overrun.get() > 0 && charged != reserved {
            return Err("an overrun, although not everything was charged".to_owned());
        }
        Ok(())
    }

    /// Whether one of the ways in which it may have ended is charged.
    fn may_be_charged(&self, tariff: &Tariff) -> bool {
        let policy = &tariff.policy;
        if !self.has_head {
            return (self.upstream_failed && policy.on_error) || (self.has_left && policy.on_abort);
        }
        if self.was_spent {
            return true;
        }
        if self.is_charged_anyway(tariff) || self.script.status >= 400 {
            return policy.keeps(self.script.status);
        }
        let came_whole = self.sent >= self.script.bytes() && !self.upstream_broke_off;
        came_whole || (self.has_left && policy.on_abort) || (self.was_cut && policy.on_cut)
    }

    /// Whether its answer is charged however it ends.
    fn is_charged_anyway(&self, tariff: &Tariff) -> bool {
        let policy = &tariff.policy;
        policy.keeps(self.script.status) && (self.script.status >= 400 || (policy.on_abort && policy.on_cut))
    }

    /// The least that has to be charged where something is.
    fn least(&self, tariff: &Tariff, reserved: u64) -> u64 {
        match self.route {
            Route::Fixed => tariff.fixed,
            Route::Said if !self.has_head => reserved,
            Route::Said | Route::Written => self.script.cost.map_or(reserved, |cost| cost.min(reserved)),
            Route::Bytes | Route::Seconds => self.part,
        }
    }

    /// The most that may be charged where something may.
    fn most(&self, tariff: &Tariff, reserved: u64) -> u64 {
        match self.route {
            Route::Fixed => tariff.fixed,
            Route::Said if self.has_head => self.script.cost.unwrap_or(reserved).min(reserved),
            Route::Written if self.whole.is_some() => self.script.cost.unwrap_or(reserved).min(reserved),
            Route::Bytes => self.sent,
            Route::Said | Route::Written | Route::Seconds => reserved,
        }
    }
}
