//! The way to the server breaks: at a commit, or without a word.

use crate::{
    PATIENCE, apply, audit, eventually, fresh_number, fresh_schema, open,
    proxy::{Cut, Proxy},
    purse, request, server, settle,
};
use l402_lightning::{MilliSat, Settlement};
use l402_paywall::{
    SettlementStore as _, StoreError,
    ledger::{Effect, Ledger as _, Operation},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_at_its_commit_loses_nothing_and_does_nothing_twice() {
    let schema = fresh_schema();
    let proxy = Proxy::start(server::shared().port()).await;
    let store = open(&server::url_by(proxy.port(), "postgres"), &schema);
    let (mut debited, mut balance) = (0, 0);
    for cut in [Cut::BeforeCommit, Cut::AfterCommit] {
        for commits in [1, 2, 4] {
            let purse = purse(fresh_number(), 100);
            let reserve = request(&purse, 10);
            proxy.cut(cut, commits);
            let effect = apply(&store, Operation::Credit(purse.clone())).await;
            assert!(matches!(effect, Ok(Effect::Credited { .. })), "{cut:?}: {effect:?}");
            assert_eq!(proxy.cuts_left(), 0, "{cut:?}");
            proxy.cut(cut, commits);
            let effect = apply(&store, Operation::Reserve(reserve.clone())).await;
            let Ok(Effect::Reserved(standing)) = effect else { panic!("{cut:?}: {effect:?}") };
            assert_eq!((standing.balance.get(), standing.reserved.get()), (90, 10), "{cut:?}");
            proxy.cut(cut, commits);
            let effect = apply(&store, settle(reserve.handle(), 7)).await;
            let Ok(Effect::Ended { ending, standing, .. }) = effect else { panic!("{cut:?}: {effect:?}") };
            assert_eq!((ending.charged.get(), standing.balance.get()), (7, 93), "{cut:?}");
            assert_eq!(proxy.cuts_left(), 0, "{cut:?}");
            (debited, balance) = (debited + 7, balance + 93);
        }
    }
    let audit = audit(&store).await;
    assert_eq!((audit.open, audit.totals.debited, audit.totals.balance), (0, debited, balance));
    assert_eq!(store.journal(0, 100).await.expect("a journal").len(), 12, "two lines each");
    assert_eq!(store.totals().await.map(|totals| totals.count), Ok(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settlement_whose_commit_is_cut_counts_once() {
    let schema = fresh_schema();
    let proxy = Proxy::start(server::shared().port()).await;
    let store = open(&server::url_by(proxy.port(), "postgres"), &schema);
    for (number, cut) in (1_u8..).zip([Cut::BeforeCommit, Cut::AfterCommit]) {
        let settlement = Settlement {
            index: u64::from(number),
            payment_hash: l402::PaymentHash::from_bytes([number; 32]),
            amount: MilliSat::from_msat(10),
            invoiced: Some(MilliSat::from_msat(7)),
            settled_at: crate::NOW,
        };
        proxy.cut(cut, 1);
        store.record(&[settlement], None).await.expect("written");
        assert_eq!(proxy.cuts_left(), 0);
        let totals = store.totals().await.expect("totals");
        let (number, excess) = (u64::from(number), MilliSat::from_msat(3 * u64::from(number)));
        assert_eq!((totals.count, totals.overpaid, totals.excess), (number, number, excess));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_costs_a_bounded_wait_once_and_then_none() {
    let schema = fresh_schema();
    let proxy = Proxy::start(server::shared().port()).await;
    let store = open(&server::url_by(proxy.port(), "postgres"), &schema);
    let purse = purse(fresh_number(), 100);
    apply(&store, Operation::Credit(purse.clone())).await.expect("taken");
    proxy.be_silent(true);
    let reserve = request(&purse, 10);
    let unreachable = |answer: &Result<Effect, StoreError>| matches!(answer, Err(StoreError::Unreachable(_)));
    let first = apply(&store, Operation::Reserve(reserve.clone())).await;
    assert!(unreachable(&first), "{first:?}");
    assert!(matches!(l402_paywall::ledger::Ledger::fault(&store), Some(StoreError::Unreachable(_))));
    // A thousand more would take hours if each of them waited.
    let many = async {
        for _ in 0..1_000 {
            let answer = apply(&store, Operation::Reserve(reserve.clone())).await;
            assert!(unreachable(&answer), "{answer:?}");
        }
        assert!(matches!(store.holding(purse.token_id).await, Err(StoreError::Unreachable(_))));
        assert!(matches!(store.totals().await, Err(StoreError::Unreachable(_))));
    };
    tokio::time::timeout(PATIENCE, many).await.expect("refused at once");
    proxy.be_silent(false);
    eventually("it comes back", || l402_paywall::ledger::Ledger::fault(&store).is_none()).await;
    let again = apply(&store, Operation::Reserve(reserve)).await;
    assert!(matches!(again, Ok(Effect::Reserved(_))), "{again:?}");
    let audit = audit(&store).await;
    assert_eq!((audit.open, audit.totals.reserved), (1, 10));
}
