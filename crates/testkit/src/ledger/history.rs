//! Random histories: whatever is asked of a ledger, it does and says what the [model](super::model) works out.

use super::{
    LedgerRig,
    model::Model,
    teller::{NOW, copy, purse},
};
use bytes::Bytes;
use l402_paywall::ledger::{
    Abandoned, Audit, Claim, Handle, Holding, Operation, Purse, ReservationId, Reserve, Units,
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestError, TestRunner},
};
use std::fmt::Debug;

/// Histories that are played, unless `PROPTEST_CASES` says otherwise.
const HISTORIES: u32 = 128;

const STEPS_MAX: usize = 60;
const TOKENS: u8 = 2;
const RESERVATIONS: u8 = 8;

/// Far more than a history makes.
const ROWS_MAX: usize = 10_000;

/// What the units of a large history are multiplied by: no sum of one account exceeds `i64::MAX`, all of them
/// together do.
const LARGE: u64 = Units::MAX.get() / 128;

/// Packs that are asked for, in units; the first one to be asked for is bought.
const PACKS: [u64; 3] = [60, 127, 20];

/// Each copy of a token: the budgets in it, as a number of its own and its units.
const COPIES: [&[(u8, u64)]; 7] = [
    &[],
    &[(1, 30)],
    &[(2, 10)],
    &[(1, 30), (1, 5)],
    &[(1, 30), (2, 90)],
    &[(1, 30), (2, 90), (1, 20)],
    &[(3, 0)],
];

/// Plays random histories, each on a fresh ledger. One that disagrees with the model is made as short as it can be.
pub fn random_histories_agree_with_the_model<R: LedgerRig, F: Future<Output = R>>(rig: impl Fn() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let cases =
        if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { HISTORIES };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&history(), |history| {
        runtime.block_on(async { Play::new(&rig().await, history.large).run(&history.steps).await })
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Abort(reason)) => panic!("no history could be played: {reason}"),
        Err(TestError::Fail(reason, history)) => panic!("{reason}\nthe shortest such history: {history:#?}"),
    }
}

/// What happens, as small numbers, so that it can be made smaller.
#[derive(Clone, Debug)]
struct History {
    /// Whether all units are multiplied by [`LARGE`].
    large: bool,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Credit(Presented),
    Reserve { id: u8, presented: Presented, units: u64, lasts: u64, claim: Option<(u8, u8, u64)> },
    Extend { target: Target, total: u64, lasts: u64 },
    Settle { target: Target, cost: u64, answer: Option<u8> },
    Release(Target),
    Expire { target: Target, charge: bool },
    Revoke(u8),
    Pass(u64),
    Reopen,
}

/// A token as it is presented.
#[derive(Clone, Copy, Debug)]
struct Presented {
    token: u8,
    copy: u8,
    pack: u8,
}

/// A reservation by its name; with `astray` under the accounts of another token.
#[derive(Clone, Copy, Debug)]
struct Target {
    id: u8,
    astray: Option<Presented>,
}

fn history() -> impl Strategy<Value = History> {
    let steps = prop::collection::vec(step(), 1..=STEPS_MAX);
    (prop::bool::weighted(0.2), steps).prop_map(|(large, steps)| History { large, steps })
}

fn step() -> impl Strategy<Value = Step> {
    let claim = prop::option::weighted(0.5, (0..2_u8, 0..2_u8, 0..40_u64));
    let reserve = (0..RESERVATIONS, presented(), 0..50_u64, 0..40_u64, claim);
    prop_oneof![
        2 => presented().prop_map(Step::Credit),
        10 => reserve.prop_map(|(id, presented, units, lasts, claim)| {
            Step::Reserve { id, presented, units, lasts, claim }
        }),
        3 => (target(), 0..80_u64, 0..80_u64)
            .prop_map(|(target, total, lasts)| Step::Extend { target, total, lasts }),
        6 => (target(), 0..80_u64, prop::option::of(0..3_u8))
            .prop_map(|(target, cost, answer)| Step::Settle { target, cost, answer }),
        3 => target().prop_map(Step::Release),
        3 => (target(), any::<bool>()).prop_map(|(target, charge)| Step::Expire { target, charge }),
        1 => (0..TOKENS).prop_map(Step::Revoke),
        2 => (0..30_u64).prop_map(Step::Pass),
        1 => Just(Step::Reopen),
    ]
}

fn presented() -> impl Strategy<Value = Presented> {
    let copies = u8::try_from(COPIES.len()).expect("a few copies");
    let packs = u8::try_from(PACKS.len()).expect("a few packs");
    (0..TOKENS, 0..copies, 0..packs).prop_map(|(token, copy, pack)| Presented { token, copy, pack })
}

fn target() -> impl Strategy<Value = Target> {
    (0..RESERVATIONS, prop::option::weighted(0.1, presented())).prop_map(|(id, astray)| Target { id, astray })
}

/// A history being played.
struct Play<'r> {
    rig: &'r dyn LedgerRig,
    model: Model,
    now: u64,
    scale: u64,
}

impl<'r> Play<'r> {
    fn new(rig: &'r dyn LedgerRig, is_large: bool) -> Self {
        let scale = if is_large { LARGE } else { 1 };
        Self { rig, model: Model::default(), now: NOW, scale }
    }

    async fn run(mut self, steps: &[Step]) -> Result<(), TestCaseError> {
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::Pass(secs) => self.now += secs,
                Step::Reopen => {
                    self.rig.reopen().await;
                    self.compare_lists(number).await?;
                }
                step => {
                    let Some(operation) = self.operation(step) else { continue };
                    let expected = self.model.apply(&operation, self.now);
                    let told = self.rig.ledger(number).apply(operation.clone(), self.now).await;
                    agree(&told, &Ok(expected), &format!("step {number}, {operation:?}"))?;
                }
            }
            self.compare_sums(number).await?;
        }
        self.compare_lists(steps.len()).await
    }

    /// Every account, every open reservation, and the totals.
    async fn compare_sums(&self, number: usize) -> Result<(), TestCaseError> {
        let ledger = self.rig.ledger(number + 1);
        for token in 0..TOKENS {
            let token_id = self.purse(Presented { token, copy: 0, pack: 0 }).token_id;
            let mut told = ledger.holding(token_id).await;
            if let Ok(Some(Holding { open, caps, .. })) = &mut told {
                open.sort_by_key(|reservation| reservation.handle.id);
                caps.sort_by_key(|(key, _)| *key);
            }
            agree(
                &told,
                &Ok(self.model.holding(token_id)),
                &format!("holding of token {token} after step {number}"),
            )?;
        }
        let ([purchases, caps, open], totals) = self.model.counts();
        let [purchases, caps, open] = [purchases, caps, open].map(|count| count as u64);
        let expected = Audit { purchases, caps, open, totals, breaches: Vec::new() };
        agree(&ledger.check_invariants().await, &Ok(expected), &format!("audit after step {number}"))
    }

    /// Journal, revocations and deadlines.
    async fn compare_lists(&self, number: usize) -> Result<(), TestCaseError> {
        let ledger = self.rig.ledger(number + 2);
        let journal = ledger.journal(0, ROWS_MAX).await;
        let lines = journal.map(|lines| lines.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>());
        agree(&lines, &Ok(self.model.journal().to_vec()), &format!("journal before step {number}"))?;
        let revoked = ledger.revoked_since(0).await.map(|revocations| revocations.tokens);
        agree(&revoked, &Ok(self.model.revoked().to_vec()), &format!("revocations before step {number}"))?;
        let told = ledger.overdue(self.now, ROWS_MAX).await;
        let told = told.map(|handles| {
            let mut ids: Vec<_> = handles.into_iter().map(|handle| handle.id).collect();
            ids.sort();
            ids
        });
        let overdue = self.model.open().into_iter().filter(|reservation| reservation.deadline <= self.now);
        let expected = overdue.map(|reservation| reservation.handle.id).collect();
        agree(&told, &Ok(expected), &format!("overdue before step {number}"))
    }

    fn operation(&self, step: &Step) -> Option<Operation> {
        let units = |count: &u64| self.units(*count);
        Some(match step {
            Step::Credit(presented) => Operation::Credit(self.purse(*presented)),
            Step::Reserve { id, presented, units: count, lasts, claim } => Operation::Reserve(Reserve {
                id: name(*id),
                purse: self.purse(*presented),
                units: units(count),
                deadline: self.now + lasts,
                claim: claim.map(|(key, request, lasts)| Claim {
                    key: [key << 4 | presented.token; 32],
                    request: [request; 32],
                    expires_at: self.now + lasts,
                }),
            }),
            Step::Extend { target, total, lasts } => Operation::Extend {
                handle: self.handle(*target),
                total: units(total),
                deadline: self.now + lasts,
            },
            Step::Settle { target, cost, answer } => Operation::Settle {
                handle: self.handle(*target),
                cost: units(cost),
                answer: answer.map(|byte| Bytes::from(vec![byte; 3])),
            },
            Step::Release(target) => Operation::Release(self.handle(*target)),
            Step::Expire { target, charge } => Operation::Expire {
                handle: self.handle(*target),
                rule: if *charge { Abandoned::Charge } else { Abandoned::Release },
            },
            Step::Revoke(token) => {
                Operation::Revoke(self.purse(Presented { token: *token, copy: 0, pack: 0 }).token_id)
            }
            Step::Pass(_) | Step::Reopen => return None,
        })
    }

    fn purse(&self, Presented { token, copy: of, pack }: Presented) -> Purse {
        let bought = purse(token + 1, PACKS[usize::from(pack)] * self.scale);
        let budgets = COPIES[usize::from(of)].iter();
        budgets.fold(bought, |purse, (number, budget)| copy(&purse, *number, budget * self.scale))
    }

    /// The handle of a reservation, or one that somebody made up.
    fn handle(&self, target: Target) -> Handle {
        let id = name(target.id);
        let made_up = |presented| Handle { id, accounts: self.purse(presented).accounts(), claim: None };
        match target.astray {
            Some(presented) => made_up(presented),
            None => {
                self.model.handle(id).unwrap_or_else(|| made_up(Presented { token: 0, copy: 1, pack: 0 }))
            }
        }
    }

    fn units(&self, count: u64) -> Units {
        Units::new(count * self.scale).expect("fewer than 128 times the scale")
    }
}

fn name(number: u8) -> ReservationId {
    ReservationId::from_bytes([number; 16])
}

fn agree<T: Debug + PartialEq>(told: &T, expected: &T, what: &str) -> Result<(), TestCaseError> {
    if told == expected {
        return Ok(());
    }
    Err(TestCaseError::fail(format!("{what}:\nthe ledger says {told:?}\nthe model says  {expected:?}")))
}
