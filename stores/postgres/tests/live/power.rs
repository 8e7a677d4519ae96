//! The server loses its power again and again while three gateways sell: nothing that was acknowledged is lost, and the
//! stores come back by themselves.

use crate::{
    account_of, audit, eventually, fresh_number, fresh_schema, gateways, insist, purse, request, server,
    settle,
};
use l402_paywall::ledger::{Effect, EntryKind, Ledger, Operation, ReservationId};
use l402_store_postgres::PostgresStore;
use server::Server;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

const ROUNDS: u64 = 5;
const BUYERS: usize = 24;
const PACK: u64 = 1_000_000;

/// What a buyer knows of its money.
struct Knowledge {
    purse: l402_paywall::ledger::Purse,
    /// Requests whose settlement was acknowledged, with their cost.
    settled: HashMap<ReservationId, u64>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_acknowledged_is_lost_when_the_server_loses_its_power() {
    let mut server = Server::start(&[]);
    let schema = fresh_schema();
    let stores = gateways(&server.url(), &schema, 3);
    let is_over = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let buyers: Vec<_> = (0..BUYERS)
        .map(|number| {
            let store = Arc::clone(&stores[number % stores.len()]);
            tokio::spawn(buy(store, Arc::clone(&is_over), Arc::clone(&done)))
        })
        .collect();
    for round in 0..ROUNDS {
        let target = done.load(Ordering::SeqCst) + 50 + round * 70;
        eventually("requests are served", || done.load(Ordering::SeqCst) >= target).await;
        server = tokio::task::spawn_blocking(move || {
            server.stop_immediately();
            assert!(server.run(), "it starts again");
            server
        })
        .await
        .expect("no panic");
    }
    let target = done.load(Ordering::SeqCst) + 100;
    eventually("requests are served again", || done.load(Ordering::SeqCst) >= target).await;
    is_over.store(true, Ordering::SeqCst);
    let mut cost = 0;
    let mut known = Vec::new();
    for buyer in buyers {
        let knowledge = buyer.await.expect("no panic");
        cost += knowledge.settled.values().sum::<u64>();
        known.push(knowledge);
    }
    let audit = audit(&stores[0]).await;
    assert_eq!((audit.purchases, audit.open), (BUYERS as u64, 0));
    assert_eq!(audit.totals.debited, u128::from(cost), "exactly what the buyers know of");
    compare(&stores[1], &known).await;
    assert!(stores.iter().all(|store| Ledger::fault(&**store).is_none()));
}

/// Buys until it is over, and insists on an answer to every step.
async fn buy(store: Arc<PostgresStore>, is_over: Arc<AtomicBool>, done: Arc<AtomicU64>) -> Knowledge {
    let purse = purse(fresh_number(), PACK);
    let mut settled = HashMap::new();
    while !is_over.load(Ordering::SeqCst) {
        let reserve = request(&purse, 5);
        let (id, handle) = (reserve.id, reserve.handle());
        let reserved = insist(&store, &Operation::Reserve(reserve)).await;
        assert!(matches!(reserved, Effect::Reserved(_)), "{reserved:?}");
        let cost = 1 + settled.len() as u64 % 5;
        let ended = insist(&store, &settle(handle, cost)).await;
        assert!(matches!(ended, Effect::Ended { .. }), "{ended:?}");
        settled.insert(id, cost);
        done.fetch_add(1, Ordering::SeqCst);
    }
    Knowledge { purse, settled }
}

/// Every settlement that was acknowledged stands in the journal, and nothing else does.
async fn compare(store: &PostgresStore, known: &[Knowledge]) {
    let mut settled: HashMap<ReservationId, u64> = HashMap::new();
    let mut mark = 0;
    loop {
        let lines = store.journal(mark, 1_000).await.expect("a page");
        let Some((last, _)) = lines.last() else { break };
        mark = *last;
        for (_, entry) in lines {
            if let EntryKind::Ended { handle, .. } = entry.kind {
                assert!(settled.insert(handle.id, entry.charged.get()).is_none(), "ended twice");
            }
        }
    }
    for knowledge in known {
        let holding = store.holding(knowledge.purse.token_id).await.expect("read").expect("a holding");
        let spent: u64 = knowledge.settled.values().sum();
        let key = account_of(&knowledge.purse);
        assert_eq!(holding.account.balance.get(), PACK - spent, "{key:?}");
        for (id, cost) in &knowledge.settled {
            assert_eq!(settled.remove(id), Some(*cost), "{id:?}");
        }
    }
    assert!(settled.is_empty(), "{settled:?}");
}
