//! Mistakes that a store can make: in what it hands to the state machine, and in what it makes of its answer. Those in
//! reading are in the store itself.

use l402_paywall::{
    StoreError,
    ledger::{
        Abandoned, Account, AccountKey, Cap, Changes, ClaimRecord, ClaimState, Effect, EndedBy, Ending,
        Entry, EntryKind, Handle, Operation, Owner, Purse, Reservation, Reserve, Standing, Units,
    },
};
use testkit::ledger::Rows;

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slip {
    KnowsEverybody,
    CreditsTwice,
    TakesTheNewPack,
    ReservesWithoutChecking,
    ReservesTwice,
    ReservesNothingForNothing,
    IgnoresConflicts,
    ExtendsTwice,
    MovesRefusedDeadlines,
    TakesAnyDeadline,
    InventsEndings,
    ForgetsEndings,
    TellsEverybodyItWasThem,
    SettlesTwice,
    ReleasesTwice,
    KeepsTheRest,
    ChargesTheOverrun,
    AlwaysReleasesTheAbandoned,
    KeepsEndedOpen,
    IgnoresBudgets,
    SharesBudgetsOfSiblings,
    OpensRefusedBudgets,
    ForgetsBudgetsAtTheEnd,
    TellsOnlyThePurchase,
    ForgetsClaims,
    ForgetsAnswers,
    IgnoresTheRequest,
    KeepsClaimsForEver,
    KeepsReleasedClaims,
    ClaimsForTheRefused,
    SweepsClaimsInFlight,
    ForgetsRevocations,
    RevokesOnlyWhatItKnows,
    GivesBackToTheRevoked,
    OwesTwice,
    TellsAllRevocations,
    SweepsLate,
    SweepsTheNewestFirst,
    SweepsWithoutLimit,
    JournalForgetsOverruns,
    JournalTellsOfReservations,
    JournalRunsBackwards,
    JournalStartsAnew,
    AddsUpIn64Bits,
    RefusesTheLargest,
    LosesTheLastStep,
}

impl Slip {
    /// What goes wrong before the state machine is asked.
    pub(crate) fn before(self, operation: &mut Operation, rows: &mut Rows) -> Result<(), StoreError> {
        match operation {
            Operation::Credit(purse) => self.before_credit(purse, rows),
            Operation::Reserve(reserve) => self.before_reserve(reserve, rows),
            Operation::Extend { handle, total, .. } => {
                self.before_step(handle, rows);
                let held = rows.open.get(&handle.id).map_or(Units::ZERO, |open| open.units);
                match self {
                    Self::ExtendsTwice => *total = total.saturating_add(held),
                    Self::RefusesTheLargest if total.get() > 1 << 62 => return Err(StoreError::Range),
                    _ => {}
                }
            }
            Operation::Settle { handle, cost, answer } => {
                self.before_step(handle, rows);
                self.before_settle(handle, *cost, rows);
                if self == Self::ForgetsAnswers {
                    *answer = None;
                }
            }
            Operation::Release(handle) => {
                self.before_step(handle, rows);
                if self == Self::ReleasesTwice
                    && let Some(ending) = rows.ended.get(&handle.id).copied()
                {
                    let account = root(rows, handle);
                    account.balance = account.balance.saturating_add(ending.reserved);
                }
            }
            Operation::Expire { handle, rule } => {
                self.before_step(handle, rows);
                if self == Self::AlwaysReleasesTheAbandoned {
                    *rule = Abandoned::Release;
                }
            }
            Operation::Revoke(token_id) => {
                if self == Self::OwesTwice
                    && rows.revoked.contains(token_id)
                    && let Some(key) = rows.root_of(*token_id)
                    && let Some(account) = rows.accounts.get_mut(&key)
                {
                    account.owed = account.owed.saturating_add(account.owed);
                }
            }
        }
        Ok(())
    }

    fn before_credit(self, purse: &Purse, rows: &mut Rows) {
        let key = AccountKey::of_payment(purse.payment_hash);
        let Some(account) = rows.accounts.get_mut(&key) else { return };
        match self {
            Self::CreditsTwice => {
                account.credited = account.credited.saturating_add(purse.pack);
                account.balance = account.balance.saturating_add(purse.pack);
            }
            Self::TakesTheNewPack => {
                account.credited = purse.pack;
                account.balance = purse.pack.saturating_sub(account.debited).saturating_sub(account.reserved);
            }
            _ => {}
        }
    }

    fn before_reserve(self, reserve: &mut Reserve, rows: &mut Rows) {
        match self {
            Self::SharesBudgetsOfSiblings => {
                let shared = |(depth, cap): (usize, &Cap)| Cap {
                    key: shared(reserve.purse.accounts()[0], depth + 1),
                    ..*cap
                };
                reserve.purse.caps = reserve.purse.caps.iter().enumerate().map(shared).collect();
            }
            Self::IgnoresBudgets => {
                let caps = reserve.purse.caps.iter().map(|cap| Cap { units: Units::MAX, ..*cap });
                reserve.purse.caps = caps.collect();
            }
            Self::ReservesWithoutChecking => {
                for key in reserve.handle().accounts.iter() {
                    if let Some(account) = rows.accounts.get_mut(key)
                        && account.balance < reserve.units
                    {
                        account.credited = account.credited.saturating_add(reserve.units);
                        account.balance = account.balance.saturating_add(reserve.units);
                    }
                }
            }
            Self::ReservesTwice if rows.open.contains_key(&reserve.id) => {
                let account = root(rows, &reserve.handle());
                account.balance = account.balance.saturating_sub(reserve.units);
                account.reserved = account.reserved.saturating_add(reserve.units);
            }
            Self::ReservesNothingForNothing if reserve.units == Units::ZERO => reserve.units = Units::ONE,
            _ => {}
        }
        let Some(claim) = &mut reserve.claim else { return };
        match self {
            Self::IgnoresTheRequest => claim.request = [0; 32],
            Self::KeepsClaimsForEver => claim.expires_at = u64::MAX,
            _ => {}
        }
    }

    fn before_step(self, handle: &mut Handle, rows: &Rows) {
        match self {
            Self::SharesBudgetsOfSiblings => {
                let own = handle.accounts[0];
                let keys = (0..handle.accounts.len()).map(|depth| shared(own, depth));
                handle.accounts = keys.collect();
            }
            Self::IgnoresConflicts => {
                if let Some(open) = rows.open.get(&handle.id) {
                    *handle = open.handle.clone();
                }
            }
            _ => {}
        }
    }

    fn before_settle(self, handle: &Handle, cost: Units, rows: &mut Rows) {
        let held = rows.open.get(&handle.id).map(|open| open.units);
        let charged = match (self, held) {
            (Self::SettlesTwice, None) if rows.ended.contains_key(&handle.id) => cost,
            (Self::ChargesTheOverrun, Some(held)) => cost.saturating_sub(held),
            _ => return,
        };
        let account = root(rows, handle);
        account.balance = account.balance.saturating_sub(charged);
        account.debited = account.debited.saturating_add(charged);
    }

    /// What goes wrong once it has answered.
    pub(crate) fn after(
        self,
        operation: &Operation,
        rows: &Rows,
        effect: &mut Effect,
        changes: &mut Changes,
    ) {
        self.spoil_effect(rows, operation, effect);
        match operation {
            Operation::Reserve(reserve) => self.after_reserve(reserve, effect, changes),
            Operation::Extend { handle, deadline, .. } => {
                let Some(open) = rows.open.get(&handle.id) else { return };
                let is_short = matches!(effect, Effect::Short(_));
                if (self == Self::MovesRefusedDeadlines && is_short) || self == Self::TakesAnyDeadline {
                    let changed = changes.open.iter().find_map(|(_, row)| row.clone());
                    let moved =
                        Reservation { deadline: *deadline, ..changed.unwrap_or_else(|| open.clone()) };
                    changes.open = vec![(handle.id, Some(moved))];
                }
            }
            Operation::Settle { .. } | Operation::Release(_) | Operation::Expire { .. } => {
                self.after_end(rows, effect, changes);
            }
            Operation::Revoke(_) => {
                let is_known = !changes.accounts.is_empty();
                if self == Self::ForgetsRevocations || (self == Self::RevokesOnlyWhatItKnows && !is_known) {
                    changes.tokens.clear();
                }
            }
            Operation::Credit(_) => {}
        }
    }

    fn spoil_effect(self, rows: &Rows, operation: &Operation, effect: &mut Effect) {
        match (self, &mut *effect) {
            (
                Self::TellsEverybodyItWasThem,
                Effect::Credited { is_new, .. }
                | Effect::Ended { is_new, .. }
                | Effect::Withdrawn { is_new, .. },
            ) => *is_new = true,
            (
                Self::TellsOnlyThePurchase,
                Effect::Reserved(standing) | Effect::Short(standing) | Effect::Credited { standing, .. },
            ) => {
                if let Operation::Reserve(Reserve { purse, .. }) | Operation::Credit(purse) = operation
                    && let Some(account) = rows.accounts.get(&AccountKey::of_payment(purse.payment_hash))
                {
                    standing.balance = account.balance;
                }
            }
            (Self::IgnoresConflicts, Effect::Conflict) => *effect = Effect::Reserved(Standing::default()),
            (Self::InventsEndings, Effect::Unknown) => {
                let [reserved, charged, overrun] = [Units::ZERO; 3];
                let ending = Ending { by: EndedBy::Release, reserved, charged, overrun };
                *effect = Effect::Ended { ending, standing: Standing::default(), is_new: false };
            }
            _ => {}
        }
    }

    fn after_reserve(self, reserve: &Reserve, effect: &Effect, changes: &mut Changes) {
        let is_short = matches!(effect, Effect::Short(_));
        let own = reserve.handle().accounts[0];
        match self {
            Self::ForgetsClaims => changes.claims.clear(),
            Self::OpensRefusedBudgets if is_short => {
                let opened = reserve
                    .purse
                    .caps
                    .iter()
                    .map(|cap| (cap.key, Some(Account::opened(Owner::Cap(own), cap.units))));
                changes.accounts.extend(opened);
            }
            Self::ClaimsForTheRefused if is_short => {
                let claims = reserve.claim.iter().map(|claim| {
                    let (request, expires_at) = (claim.request, claim.expires_at);
                    let state = ClaimState::InFlight;
                    (claim.key, Some(ClaimRecord { reservation: reserve.id, request, expires_at, state }))
                });
                changes.claims.extend(claims);
            }
            Self::JournalTellsOfReservations if matches!(effect, Effect::Reserved(_)) => {
                let [credited, reserved, charged, overrun, owed] = [Units::ZERO; 5];
                let (at, kind) = (0, EntryKind::Revoked);
                changes.journal.push(Entry {
                    at,
                    kind,
                    account: own,
                    credited,
                    reserved,
                    charged,
                    overrun,
                    owed,
                });
            }
            _ => {}
        }
    }

    fn after_end(self, rows: &Rows, effect: &Effect, changes: &mut Changes) {
        let Effect::Ended { ending, is_new: true, .. } = effect else { return };
        let rest = ending.reserved.saturating_sub(ending.charged);
        match self {
            Self::ForgetsBudgetsAtTheEnd => {
                changes.accounts.retain(|(_, row)| {
                    row.as_ref().is_some_and(|account| !matches!(account.owner, Owner::Cap(_)))
                });
            }
            Self::KeepsTheRest => {
                for account in changes.accounts.iter_mut().filter_map(|(_, row)| row.as_mut()) {
                    account.balance = account.balance.saturating_sub(rest);
                    account.debited = account.debited.saturating_add(rest);
                }
            }
            Self::GivesBackToTheRevoked => {
                for (key, account) in
                    changes.accounts.iter_mut().filter_map(|(key, row)| Some((key, row.as_mut()?)))
                {
                    let earlier = rows.accounts.get(key).map_or(Units::ZERO, |earlier| earlier.owed);
                    account.balance = account.balance.saturating_add(account.owed.saturating_sub(earlier));
                    account.owed = earlier;
                }
            }
            Self::KeepsReleasedClaims => changes.claims.retain(|(_, row)| row.is_some()),
            Self::KeepsEndedOpen => changes.open.clear(),
            Self::JournalForgetsOverruns => {
                for line in &mut changes.journal {
                    line.overrun = Units::ZERO;
                }
            }
            _ => {}
        }
    }
}

/// The account of a reservation's purchase.
fn root<'r>(rows: &'r mut Rows, handle: &Handle) -> &'r mut Account {
    rows.accounts.get_mut(&handle.accounts[0]).unwrap()
}

/// One name for all budgets of a purchase that are equally deep.
fn shared(own: AccountKey, depth: usize) -> AccountKey {
    let mut key = *own.as_bytes();
    key[31] ^= u8::try_from(depth).unwrap();
    AccountKey::from_bytes(key)
}
