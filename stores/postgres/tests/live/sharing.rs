//! What one gateway writes, the others read: completely, and in one order.

use crate::{apply, audit, fresh_number, fresh_schema, gateways, purse, request, server, settle};
use l402_paywall::ledger::{Abandoned, Effect, EndedBy, Ledger as _, Operation};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Lines are numbered before they are committed; whoever follows the journal misses none of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_follows_the_journal_misses_no_line() {
    const WRITERS: u64 = 12;
    const EACH: u64 = 60;
    let schema = fresh_schema();
    let stores = gateways(&server::shared().url(), &schema, 3);
    let is_over = Arc::new(AtomicBool::new(false));
    let follower = tokio::spawn({
        let (store, is_over) = (Arc::clone(&stores[2]), Arc::clone(&is_over));
        async move {
            let (mut mark, mut seen) = (0, HashSet::new());
            loop {
                let was_over = is_over.load(Ordering::SeqCst);
                let lines = store.journal(mark, 7).await.expect("a page");
                assert!(lines.windows(2).all(|pair| pair[0].0 < pair[1].0));
                assert!(lines.iter().all(|(line, _)| *line > mark && seen.insert(*line)));
                match lines.last() {
                    Some((last, _)) => mark = *last,
                    None if was_over => return seen.len() as u64,
                    None => {}
                }
            }
        }
    });
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = Arc::clone(&stores[usize::try_from(writer).expect("small") % 3]);
            tokio::spawn(async move {
                let purse = purse(fresh_number(), 1_000);
                for _ in 0..EACH {
                    let reserve = request(&purse, 1);
                    let handle = reserve.handle();
                    apply(&store, Operation::Reserve(reserve)).await.expect("taken");
                    apply(&store, settle(handle, 1)).await.expect("taken");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no panic");
    }
    is_over.store(true, Ordering::SeqCst);
    assert_eq!(follower.await.expect("no panic"), WRITERS * (EACH + 1));
    audit(&stores[0]).await;
}

/// Two gateways sweep at the same time and may find the same; each reservation ends once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sweepers_that_find_the_same_end_it_once() {
    const OPEN: usize = 60;
    let schema = fresh_schema();
    let stores = gateways(&server::shared().url(), &schema, 2);
    let purse = purse(fresh_number(), 1_000);
    for _ in 0..OPEN {
        apply(&stores[0], Operation::Reserve(request(&purse, 3))).await.expect("taken");
    }
    let late = crate::NOW + 3_600;
    let (one, two) = tokio::join!(stores[0].overdue(late, OPEN), stores[1].overdue(late, OPEN));
    let found = [one.expect("a list"), two.expect("a list")];
    assert_eq!(found.each_ref().map(Vec::len), [OPEN; 2]);
    let mut waiting = Vec::new();
    for (gateway, handles) in found.into_iter().enumerate() {
        for handle in handles {
            let expire = Operation::Expire { handle, rule: Abandoned::Release };
            waiting.push(stores[gateway].apply(expire, late));
        }
    }
    let mut ended = 0;
    for answer in waiting {
        let Ok(Effect::Ended { ending, is_new, .. }) = answer.await else { panic!("not ended") };
        assert_eq!(ending.by, EndedBy::Expire);
        ended += usize::from(is_new);
    }
    assert_eq!(ended, OPEN);
    assert_eq!(stores[1].overdue(late, OPEN).await, Ok(Vec::new()));
    assert_eq!(audit(&stores[0]).await.totals.balance, 1_000);
}
