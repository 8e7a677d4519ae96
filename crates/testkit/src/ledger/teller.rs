//! Asking a ledger, and what it has to say.

use super::LedgerRig;
use l402::{PaymentHash, TokenId};
use l402_paywall::ledger::{
    Abandoned, Account, AccountKey, Audit, Cap, Effect, EndedBy, Ending, Entry, EntryKind, Holding, Ledger,
    Operation, Purse, ReservationId, Reserve, Standing, Totals, Units,
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// When everything happens, in Unix seconds.
pub(super) const NOW: u64 = 1_700_000_000;

/// When reservations end by themselves, in Unix seconds.
pub(super) const DEADLINE: u64 = NOW + 60;

/// Gateways that share the ledger, where it can be shared.
const GATEWAYS: usize = 3;

/// Far more lines than any scenario writes.
const LINES_MAX: usize = 100_000;

/// Asks a ledger, through one gateway after the other.
pub(super) struct Teller<'r> {
    rig: &'r dyn LedgerRig,
    asked: AtomicUsize,
}

/// The sums of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) credited: u64,
    pub(super) debited: u64,
    pub(super) balance: u64,
    pub(super) reserved: u64,
    pub(super) owed: u64,
}

impl<'r> Teller<'r> {
    pub(super) fn new(rig: &'r dyn LedgerRig) -> Self {
        Self { rig, asked: AtomicUsize::new(0) }
    }

    /// The ledger, as the next gateway has it open.
    pub(super) fn ledger(&self) -> Arc<dyn Ledger> {
        self.rig.ledger(self.asked.fetch_add(1, Ordering::Relaxed) % GATEWAYS)
    }

    pub(super) async fn ask(&self, operation: &Operation) -> Effect {
        self.ask_at(operation, NOW).await
    }

    pub(super) async fn ask_at(&self, operation: &Operation, at: u64) -> Effect {
        let answer = self.ledger().apply(operation.clone(), at).await;
        answer.unwrap_or_else(|error| panic!("{operation:?} has to be taken: {error}"))
    }

    pub(super) async fn credit(&self, purse: &Purse) -> Effect {
        self.ask(&Operation::Credit(purse.clone())).await
    }

    pub(super) async fn reserve(&self, request: &Reserve) -> Effect {
        self.ask(&Operation::Reserve(request.clone())).await
    }

    /// Asks for a step, crashes once it is acknowledged, and asks for the same twice more: it happened once, and
    /// tells so.
    pub(super) async fn once(&self, operation: &Operation) -> Effect {
        let first = self.ask(operation).await;
        let told_again = told_again(&first);
        self.reopen().await;
        assert_eq!(self.ask(operation).await, told_again, "{operation:?}, asked for again after a crash");
        assert_eq!(self.ask(operation).await, told_again, "{operation:?}, asked for once more");
        first
    }

    /// Asks for everything before it waits for anything.
    pub(super) async fn at_once(&self, operations: Vec<Operation>) -> Vec<Effect> {
        let under_way: Vec<_> = operations.into_iter().map(|step| self.ledger().apply(step, NOW)).collect();
        let mut effects = Vec::with_capacity(under_way.len());
        for answer in under_way {
            effects.push(answer.await.expect("a step among many has to be taken"));
        }
        effects
    }

    /// A crash, which changes nothing that was acknowledged.
    pub(super) async fn reopen(&self) {
        let before = self.audit().await;
        self.rig.reopen().await;
        assert_eq!(self.audit().await, before, "what was acknowledged outlives a crash");
    }

    pub(super) async fn holding(&self, purse: &Purse) -> Option<Holding> {
        self.ledger().holding(purse.token_id).await.expect("the ledger can be read")
    }

    /// The account of a purchase.
    pub(super) async fn account(&self, purse: &Purse) -> Account {
        self.holding(purse).await.expect("a purchase that is booked").account
    }

    /// The account of a copy's own budget, if there is one.
    pub(super) async fn budget(&self, copy: &Purse) -> Option<Sums> {
        let key = copy.caps.last().expect("a copy with a budget").key;
        let caps = self.holding(copy).await?.caps;
        caps.iter().find(|(cap, _)| *cap == key).map(|(_, account)| sums(account))
    }

    pub(super) async fn assert_sums(&self, purse: &Purse, expected: Sums, why: &str) {
        assert_eq!(sums(&self.account(purse).await), expected, "{why}");
    }

    pub(super) async fn assert_budget(&self, copy: &Purse, expected: Sums, why: &str) {
        assert_eq!(self.budget(copy).await, Some(expected), "{why}");
    }

    /// Every line of the journal.
    pub(super) async fn lines(&self) -> Vec<Entry> {
        let lines = self.ledger().journal(0, LINES_MAX).await.expect("the journal can be read");
        lines.into_iter().map(|(_, entry)| entry).collect()
    }

    /// The reservations that are overdue, by name.
    pub(super) async fn overdue(&self, now: u64, max: usize) -> Vec<ReservationId> {
        let handles = self.ledger().overdue(now, max).await.expect("the ledger can be read");
        handles.into_iter().map(|handle| handle.id).collect()
    }

    /// Every unit is where it belongs, also after a crash.
    pub(super) async fn close(&self) -> Audit {
        self.reopen().await;
        self.audit().await
    }

    async fn audit(&self) -> Audit {
        let ledger = self.ledger();
        let audit = ledger.check_invariants().await.expect("the ledger can be checked");
        assert_eq!(audit.breaches, [], "every unit has to be where it belongs");
        let Totals { credited, debited, balance, reserved, owed } = audit.totals;
        assert_eq!(credited, debited + balance + reserved + owed, "nothing is lost or made up");
        let written = self.written().await;
        assert_eq!(written, [credited, debited, owed], "the journal's sums have to end at the totals");
        assert_eq!(ledger.fault(), None, "nothing is wrong with the ledger");
        audit
    }

    /// What the journal says was credited, charged and became owed.
    async fn written(&self) -> [u128; 3] {
        let mut sums = [0; 3];
        for line in self.lines().await {
            if line.kind == EntryKind::Credited {
                sums[0] += u128::from(line.credited.get());
            }
            sums[1] += u128::from(line.charged.get());
            sums[2] += u128::from(line.owed.get());
        }
        sums
    }
}

impl Sums {
    /// A purchase of which nothing was spent yet.
    pub(super) fn bought(pack: u64) -> Self {
        Self { credited: pack, balance: pack, ..Self::default() }
    }
}

pub(super) fn sums(account: &Account) -> Sums {
    assert!(account.is_balanced(), "credited has to be debited + balance + reserved + owed: {account:?}");
    Sums {
        credited: account.credited.get(),
        debited: account.debited.get(),
        balance: account.balance.get(),
        reserved: account.reserved.get(),
        owed: account.owed.get(),
    }
}

/// An effect as it is told to whoever asks again.
pub(super) fn told_again(effect: &Effect) -> Effect {
    let mut effect = effect.clone();
    if let Effect::Credited { is_new, .. } | Effect::Ended { is_new, .. } | Effect::Withdrawn { is_new, .. } =
        &mut effect
    {
        *is_new = false;
    }
    effect
}

/// Whether it was this step that changed something.
pub(super) fn is_new(effect: &Effect) -> bool {
    *effect != told_again(effect)
}

pub(super) fn units(count: u64) -> Units {
    Units::new(count).expect("units that can be counted")
}

/// A token that was paid for.
pub(super) fn purse(number: u8, pack: u64) -> Purse {
    Purse {
        payment_hash: PaymentHash::from_bytes([number; 32]),
        token_id: TokenId::from_bytes([number ^ 0xff; 32]),
        service: "weather".try_into().expect("a name"),
        pack: units(pack),
        caps: Arc::from([]),
    }
}

/// A copy of a token, with one more budget.
pub(super) fn copy(of: &Purse, number: u8, budget: u64) -> Purse {
    let mut key = of.caps.last().map_or(*of.payment_hash.as_bytes(), |cap| *cap.key.as_bytes());
    key[of.caps.len()] ^= 0x80 | number;
    let cap = Cap { key: AccountKey::from_bytes(key), units: units(budget) };
    Purse { caps: of.caps.iter().copied().chain([cap]).collect(), ..of.clone() }
}

pub(super) fn id(number: u32) -> ReservationId {
    ReservationId::from_bytes(u128::from(number).to_be_bytes())
}

/// A request that sets `count` units aside.
pub(super) fn request(number: u32, purse: &Purse, count: u64) -> Reserve {
    Reserve { id: id(number), purse: purse.clone(), units: units(count), deadline: DEADLINE, claim: None }
}

pub(super) fn extend(request: &Reserve, total: u64) -> Operation {
    Operation::Extend { handle: request.handle(), total: units(total), deadline: request.deadline }
}

pub(super) fn settle(request: &Reserve, cost: u64) -> Operation {
    Operation::Settle { handle: request.handle(), cost: units(cost), answer: None }
}

pub(super) fn release(request: &Reserve) -> Operation {
    Operation::Release(request.handle())
}

pub(super) fn expire(request: &Reserve, rule: Abandoned) -> Operation {
    Operation::Expire { handle: request.handle(), rule }
}

/// Set aside, with so much left to spend and so much held.
pub(super) fn reserved(balance: u64, held: u64) -> Effect {
    Effect::Reserved(standing(balance, held))
}

/// Refused, with so much left to spend.
pub(super) fn short(balance: u64) -> Effect {
    Effect::Short(standing(balance, 0))
}

/// Ended by this step, with so much left to spend.
pub(super) fn ended(ending: Ending, balance: u64) -> Effect {
    Effect::Ended { ending, standing: standing(balance, 0), is_new: true }
}

/// An ending: what was held, what was charged, and what it cost beyond that.
pub(super) fn ending(by: EndedBy, held: u64, charged: u64, overrun: u64) -> Ending {
    Ending { by, reserved: units(held), charged: units(charged), overrun: units(overrun) }
}

pub(super) fn standing(balance: u64, held: u64) -> Standing {
    Standing { balance: units(balance), reserved: units(held) }
}
