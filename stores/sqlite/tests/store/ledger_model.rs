//! Any sequence of steps, many at once and with restarts in between, against the ledger in memory.

use crate::{
    ledger, open,
    purchases::{audit, claim, delegated, id, purse, token},
    wait,
};
use bytes::Bytes;
use l402_paywall::ledger::{
    Abandoned, Claim, Handle, Holding, Ledger, MemoryLedger, Operation, Reserve, Units,
};
use proptest::prelude::*;

const PURCHASES: u64 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Steps that are asked for before any of them is answered.
    Apply(Vec<Operation>),
    /// Forgets claims, asks for what is overdue, and ends it.
    Sweep,
    Reopen,
}

/// One of twelve requests; with a twist, another one of the same name.
fn request(number: u64, is_twisted: bool, units: u32, deadline: u64) -> Reserve {
    let purchase = (number + u64::from(is_twisted)) % PURCHASES;
    let purse = match number % 4 {
        0 => delegated(purchase, &[9, 5]),
        1 => delegated(purchase, &[9]),
        _ => purse(purchase),
    };
    let claim = number
        .is_multiple_of(3)
        .then(|| Claim { expires_at: deadline, ..claim((number % 2) as u8, (number % 5) as u8) });
    Reserve { id: id(number), purse, units: Units::from(units), deadline, claim }
}

fn operation() -> impl Strategy<Value = Operation> {
    let request = (0..12_u64, prop::bool::weighted(0.1), 0..12_u32, 0..30_u64)
        .prop_map(|(number, is_twisted, units, deadline)| request(number, is_twisted, units, deadline));
    (request, 0..20_u32, 0..20_u32).prop_map(|(reserve, which, cost)| {
        let handle = reserve.handle();
        let total = Units::from(cost);
        match which {
            0 => Operation::Revoke(reserve.purse.token_id),
            1 => Operation::Credit(reserve.purse),
            2..=9 => Operation::Reserve(reserve),
            10..=11 => Operation::Extend { handle, total, deadline: reserve.deadline },
            12 => Operation::Release(handle),
            13 => Operation::Expire { handle, rule: Abandoned::Charge },
            _ => {
                let answer = (cost % 3 > 0).then(|| Bytes::from(vec![7; cost as usize]));
                Operation::Settle { handle, cost: total, answer }
            }
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => proptest::collection::vec(operation(), 1..10).prop_map(Step::Apply),
        1 => Just(Step::Sweep),
        1 => Just(Step::Reopen),
    ]
}

/// Both lists in one order.
fn overdue(store: &dyn Ledger, now: u64) -> Vec<Handle> {
    let mut handles = wait(store.overdue(now, 100)).expect("a list");
    handles.sort_by_key(|handle| handle.id);
    handles
}

fn holding(store: &dyn Ledger, number: u64) -> Option<Holding> {
    let mut holding = wait(store.holding(token(number))).expect("read")?;
    holding.caps.sort_by_key(|(key, _)| *key);
    Some(holding)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn it_keeps_the_books_that_the_model_keeps(steps in proptest::collection::vec(step(), 1..25)) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = open(&ledger(&folder));
        let model = MemoryLedger::default();
        for (at, step) in (1..).zip(steps) {
            match step {
                Step::Apply(operations) => {
                    let answers: Vec<_> =
                        operations.iter().map(|operation| store.apply(operation.clone(), at)).collect();
                    for (operation, answer) in operations.iter().zip(answers) {
                        prop_assert_eq!(wait(answer), model.step(operation, at), "{:?}", operation);
                    }
                }
                Step::Sweep => {
                    for ledger in [&store as &dyn Ledger, &model] {
                        wait(ledger.forget_claims(at)).expect("forgotten");
                    }
                    let handles = overdue(&store, at);
                    prop_assert_eq!(&handles, &overdue(&model, at));
                    for handle in handles {
                        let expire = Operation::Expire { handle, rule: Abandoned::Release };
                        prop_assert_eq!(wait(store.apply(expire.clone(), at)), model.step(&expire, at));
                    }
                }
                Step::Reopen => {
                    drop(store);
                    store = open(&ledger(&folder));
                }
            }
            let found = audit(&store);
            prop_assert_eq!(&found, &model.audit());
            prop_assert_eq!(found.breaches, vec![]);
        }
        for number in 0..PURCHASES {
            prop_assert_eq!(holding(&store, number), holding(&model, number));
        }
        // Steps of one transaction are written in the order of the model, except which token of them was revoked first.
        let mut revoked = [&store as &dyn Ledger, &model].map(|ledger| wait(ledger.revoked_since(0)).expect("a list"));
        for revoked in &mut revoked {
            revoked.tokens.sort();
        }
        prop_assert_eq!(&revoked[0], &revoked[1]);
        prop_assert_eq!(wait(store.revoked_since(revoked[0].mark)), wait(model.revoked_since(revoked[0].mark)));
        prop_assert_eq!(wait(store.journal(0, 10_000)), wait(model.journal(0, 10_000)));
    }
}
