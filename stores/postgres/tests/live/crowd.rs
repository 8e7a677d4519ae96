//! Many at once, through three gateways: as if they had come one after the other.

use crate::{apply, audit, fresh_number, fresh_schema, gateways, purse, request, server, settle, units};
use l402_paywall::ledger::{Effect, Ledger as _, Operation, Owner, Purse, Reserve};
use l402_store_postgres::PostgresStore;
use std::sync::Arc;

const GATEWAYS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reservations_of_one_unit_on_a_hundred_units_are_exactly_a_hundred() {
    const ROUNDS: u64 = 5;
    let schema = fresh_schema();
    let stores = gateways(&server::shared().url(), &schema, GATEWAYS);
    for round in 1..=ROUNDS {
        let purse = purse(fresh_number(), 100);
        // Nobody has presented the token yet, so the first of them race to book it, too.
        let waiting: Vec<_> = (0..1_000)
            .map(|turn| {
                let reserve = request(&purse, 1);
                let handle = reserve.handle();
                (
                    turn % GATEWAYS,
                    handle,
                    stores[turn % GATEWAYS].apply(Operation::Reserve(reserve), crate::NOW),
                )
            })
            .collect();
        let mut served = Vec::new();
        for (gateway, handle, answer) in waiting {
            match answer.await.expect("taken") {
                Effect::Reserved(_) => served.push((gateway, handle)),
                Effect::Short(standing) => assert_eq!(standing.balance, units(0)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(served.len(), 100, "round {round}");
        assert_eq!(audit(&stores[0]).await.open, 100, "round {round}");
        for (gateway, handle) in served {
            // Whichever gateway it came through before.
            let ended = apply(&stores[(gateway + 1) % GATEWAYS], settle(handle, 1)).await;
            assert!(matches!(ended, Ok(Effect::Ended { is_new: true, .. })), "{ended:?}");
        }
        let audit = audit(&stores[1]).await;
        assert_eq!((audit.open, audit.totals.debited, audit.totals.balance), (0, u128::from(round * 100), 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_first_presentations_at_the_same_instant_exactly_one_credits() {
    const PURCHASES: u64 = 200;
    let schema = fresh_schema();
    let stores = gateways(&server::shared().url(), &schema, GATEWAYS);
    for _ in 0..PURCHASES {
        let purse = purse(fresh_number(), 10);
        let credits = together(&stores, |_| Operation::Credit(purse.clone())).await;
        let new =
            credits.iter().filter(|effect| matches!(effect, Effect::Credited { is_new: true, .. })).count();
        assert_eq!(new, 1, "{credits:?}");
    }
    let audit = audit(&stores[0]).await;
    assert_eq!((audit.purchases, audit.totals.credited), (PURCHASES, u128::from(PURCHASES * 10)));
    let lines = stores[1].journal(0, 10_000).await.expect("a journal");
    assert_eq!(lines.len() as u64, PURCHASES);
}

/// The same reservation asked for at three gateways is one reservation; three with the same budget share it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_is_first_used_everywhere_at_once_is_opened_once() {
    let schema = fresh_schema();
    let stores = gateways(&server::shared().url(), &schema, GATEWAYS);
    for _ in 0..50 {
        let bought = purse(fresh_number(), 100);
        let mut key = *bought.payment_hash.as_bytes();
        key[1] ^= 1;
        let cap = l402_paywall::ledger::Cap {
            key: l402_paywall::ledger::AccountKey::from_bytes(key),
            units: units(10),
        };
        let copy = Purse { caps: Arc::from([cap]), ..bought.clone() };
        let effects = together(&stores, |_| Operation::Reserve(request(&copy, 4))).await;
        let held = effects.iter().filter(|effect| matches!(effect, Effect::Reserved(_))).count();
        assert_eq!(held, 2, "two times four of ten: {effects:?}");
        let once = request(&copy, 2);
        let same = together(&stores, |_| Operation::Reserve(once.clone())).await;
        assert!(same.iter().all(|effect| matches!(effect, Effect::Reserved(_))), "{same:?}");
        let holding = stores[0].holding(bought.token_id).await.expect("read").expect("a holding");
        assert_eq!((holding.open.len(), holding.caps.len()), (3, 1));
    }
    audit(&stores[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_revoked_while_it_is_first_presented_can_spend_nothing() {
    const TOKENS: u64 = 150;
    let schema = fresh_schema();
    let stores = gateways(&server::shared().url(), &schema, GATEWAYS);
    let (mut early, mut late) = (0, 0);
    for turn in 0..TOKENS {
        let purse = purse(fresh_number(), 10);
        let revoking = usize::try_from(turn).expect("small") % GATEWAYS;
        let effects = together(&stores, |gateway| {
            if gateway == revoking { Operation::Revoke(purse.token_id) } else { first(&purse) }
        })
        .await;
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Withdrawn { is_new: true, .. })));
        assert_eq!(apply(&stores[0], first(&purse)).await, Ok(Effect::Revoked));
        match stores[revoking].holding(purse.token_id).await.expect("read") {
            None => early += 1,
            Some(holding) => {
                late += 1;
                assert!(holding.account.is_revoked && holding.account.balance == units(0));
                assert!(matches!(holding.account.owner, Owner::Purchase { .. }));
            }
        }
    }
    // Every revocation is told, once, in the order of marks.
    let told = stores[2].revoked_since(0).await.expect("read");
    assert_eq!(told.tokens.len() as u64, TOKENS);
    assert_eq!(stores[0].revoked_since(told.mark).await.expect("read").tokens, []);
    audit(&stores[1]).await;
    println!("{early} revoked before they were presented, {late} after");
}

fn first(purse: &Purse) -> Operation {
    Operation::Reserve(Reserve { units: units(1), ..request(purse, 1) })
}

/// Asks every gateway before it waits for any.
async fn together(stores: &[Arc<PostgresStore>], operation: impl Fn(usize) -> Operation) -> Vec<Effect> {
    let asked: Vec<_> = stores
        .iter()
        .enumerate()
        .map(|(gateway, store)| store.apply(operation(gateway), crate::NOW))
        .collect();
    let mut effects = Vec::new();
    for answer in asked {
        effects.push(answer.await.expect("taken"));
    }
    effects
}
