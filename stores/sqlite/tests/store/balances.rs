//! Balances through the public door: every step counts once, also when it is asked for again after a restart.

use crate::{
    ledger, open,
    purchases::{NOW, apply, audit, claim, delegated, id, key, purse, reserve, settle, sums, token},
    wait,
};
use bytes::Bytes;
use l402_paywall::{
    StoreError,
    ledger::{Abandoned, Claimed, Effect, EndedBy, EntryKind, Handle, Ledger, Operation, Reserve, Units},
};
use l402_store_sqlite::SqliteStore;
use std::{path::Path, sync::Arc};

/// Applies a step, closes, opens, applies it again: the second one changes nothing. Gives both effects.
fn twice(path: &Path, operation: &Operation) -> (Effect, Effect) {
    let step = |store: &SqliteStore| apply(store, operation.clone()).expect("applied");
    let (first, before) = {
        let store = open(path);
        let first = step(&store);
        (first, (audit(&store), journal(&store)))
    };
    let store = open(path);
    let second = step(&store);
    assert_eq!((audit(&store), journal(&store)), before, "{operation:?}");
    assert_eq!(before.0.breaches, []);
    (first, second)
}

fn journal(store: &dyn Ledger) -> Vec<EntryKind> {
    let lines = wait(store.journal(0, 1_000)).expect("lines");
    assert!(lines.windows(2).all(|pair| pair[0].0 < pair[1].0));
    lines.into_iter().map(|(_, entry)| entry.kind).collect()
}

#[test]
fn each_step_counts_once_also_across_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    let (first, second) = twice(&path, &Operation::Credit(purse(1)));
    assert!(matches!(first, Effect::Credited { is_new: true, .. }), "{first:?}");
    assert!(matches!(second, Effect::Credited { is_new: false, .. }), "{second:?}");

    let within = |number| reserve(number, delegated(1, &[12, 8]));
    let (first, second) = twice(&path, &Operation::Reserve(within(1)));
    assert!(matches!(first, Effect::Reserved(standing) if standing.balance == Units::from(5)), "{first:?}");
    assert_eq!(first, second);

    let handle = within(1).handle();
    let extend = Operation::Extend { handle: handle.clone(), total: Units::from(5), deadline: NOW + 90 };
    let (first, second) = twice(&path, &extend);
    assert!(matches!(first, Effect::Reserved(standing) if standing.reserved == Units::from(5)), "{first:?}");
    assert_eq!(first, second);
    assert_eq!(sums(&open(&path)), [20, 0, 15, 5, 0]);

    let ends = [
        (settle(handle, 4), EndedBy::Settle, 4_u32),
        (Operation::Release(within(2).handle()), EndedBy::Release, 0),
        (Operation::Expire { handle: within(3).handle(), rule: Abandoned::Charge }, EndedBy::Expire, 3),
    ];
    for (end, by, charged) in ends {
        if by != EndedBy::Settle {
            let number = if by == EndedBy::Release { 2 } else { 3 };
            apply(&open(&path), Operation::Reserve(within(number))).expect("reserved");
        }
        let (first, second) = twice(&path, &end);
        let (Effect::Ended { ending, is_new: true, .. }, Effect::Ended { ending: again, is_new: false, .. }) =
            (&first, &second)
        else {
            panic!("{first:?}, {second:?}")
        };
        assert_eq!((ending, ending.by, ending.charged), (again, by, Units::from(charged)));
    }
    // A reservation that has ended is not made anew.
    let late = apply(&open(&path), Operation::Reserve(within(1))).expect("applied");
    assert!(matches!(late, Effect::Ended { is_new: false, .. }), "{late:?}");

    let (first, second) = twice(&path, &Operation::Revoke(token(1)));
    assert_eq!(first, Effect::Withdrawn { owed: Units::from(13), is_new: true });
    assert_eq!(second, Effect::Withdrawn { owed: Units::from(13), is_new: false });
    assert_eq!(sums(&open(&path)), [20, 7, 0, 0, 13]);
    assert_eq!(apply(&open(&path), Operation::Reserve(within(9))), Ok(Effect::Revoked));
}

#[test]
fn what_a_token_has_and_what_the_journal_tells_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    let with_claim = Reserve { claim: Some(claim(7, 1)), ..reserve(1, delegated(1, &[12, 8])) };
    let handle = with_claim.handle();
    {
        let store = open(&path);
        apply(&store, Operation::Reserve(with_claim)).expect("reserved");
        apply(&store, Operation::Reserve(reserve(2, delegated(1, &[12])))).expect("reserved");
        apply(&store, Operation::Reserve(reserve(3, purse(2)))).expect("reserved");
        apply(&store, settle(handle.clone(), 50)).expect("settled");
    }
    let store = open(&path);
    let holding = wait(store.holding(token(1))).expect("read").expect("booked");
    assert_eq!((holding.account.balance, holding.account.debited), (Units::from(14), Units::from(3)));
    let open_ids: Vec<_> =
        holding.open.iter().map(|open| (open.handle.id, open.units, open.deadline)).collect();
    assert_eq!(open_ids, [(id(2), Units::from(3), NOW + 60)]);
    assert_eq!(holding.open[0].handle, reserve(2, delegated(1, &[12])).handle());
    let mut caps = holding.caps;
    caps.sort_by_key(|(_, cap)| std::cmp::Reverse(cap.credited));
    let caps: Vec<_> = caps.iter().map(|(_, cap)| (cap.credited, cap.balance)).collect();
    assert_eq!(
        caps,
        [(12, 6), (8, 5)].map(|(credited, balance)| (Units::from(credited), Units::from(balance)))
    );
    assert_eq!(wait(store.holding(token(3))), Ok(None));

    let lines = wait(store.journal(0, 100)).expect("lines");
    let (last, entry) = lines.last().expect("lines");
    assert_eq!(entry.kind, EntryKind::Ended { handle, by: EndedBy::Settle });
    assert_eq!((entry.account, entry.overrun, entry.at), (key(1), Units::from(47), NOW));
    let opened = lines.iter().filter(|(_, entry)| matches!(entry.kind, EntryKind::CapOpened(_)));
    assert_eq!(opened.map(|(_, entry)| entry.credited).collect::<Vec<_>>(), [12, 8].map(Units::from));
    assert_eq!(wait(store.journal(*last, 100)), Ok(vec![]));
    assert_eq!(wait(store.journal(*last - 1, 1)).expect("a line").len(), 1);
    assert_eq!(wait(store.journal(u64::MAX, usize::MAX)), Ok(vec![]));
}

#[test]
fn an_answer_is_kept_for_the_same_request_until_it_expires() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = ledger(&folder);
    let request = |number, request| {
        Operation::Reserve(Reserve { claim: Some(claim(1, request)), ..reserve(number, purse(1)) })
    };
    let store = open(&path);
    let reserved = apply(&store, request(1, 1)).expect("reserved");
    assert!(matches!(reserved, Effect::Reserved(_)), "{reserved:?}");
    assert_eq!(apply(&store, request(2, 1)), Ok(Effect::Claimed(Claimed::InFlight)));
    let handle = Handle { claim: Some([1; 32]), ..reserve(1, purse(1)).handle() };
    let answer = Bytes::from_static(b"\0answer");
    let settle = Operation::Settle { handle, cost: Units::ONE, answer: Some(answer.clone()) };
    apply(&store, settle).expect("settled");
    drop(store);
    let store = open(&path);
    assert_eq!(apply(&store, request(2, 1)), Ok(Effect::Claimed(Claimed::Answered(Some(answer)))));
    assert_eq!(apply(&store, request(2, 2)), Ok(Effect::Claimed(Claimed::Differs)));
    assert_eq!(sums(&store), [20, 1, 19, 0, 0]);
    // The sweep forgets it; before that it does not count either.
    assert_eq!(wait(store.forget_claims(NOW + 599)), Ok(()));
    assert!(matches!(apply(&store, request(2, 2)), Ok(Effect::Claimed(Claimed::Differs))));
    assert_eq!(wait(store.forget_claims(NOW + 600)), Ok(()));
    let claims = rusqlite::Connection::open(&path).expect("a database");
    let claims = claims.query_row("SELECT count(*) FROM claim", [], |row| row.get::<_, i64>(0));
    assert_eq!(claims, Ok(0));
    assert!(matches!(apply(&store, request(2, 2)), Ok(Effect::Reserved(_))));
}

#[test]
fn overdue_reservations_come_oldest_first_and_as_many_as_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&ledger(&folder));
    for number in 1..=5 {
        let deadline = NOW + 10 * (6 - number);
        let reserve = Reserve { deadline, ..reserve(number, delegated(number, &[9])) };
        apply(&store, Operation::Reserve(reserve)).expect("reserved");
    }
    let ids = |now, max| {
        let overdue: Vec<Handle> = wait(store.overdue(now, max)).expect("a list");
        overdue.into_iter().map(|handle| handle.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(NOW + 9, 10), []);
    assert_eq!(ids(NOW + 30, 10), [id(5), id(4), id(3)]);
    assert_eq!(ids(NOW + 30, 2), [id(5), id(4)]);
    for handle in wait(store.overdue(NOW + 99, 10)).expect("a list") {
        let ended = apply(&store, Operation::Expire { handle, rule: Abandoned::Release }).expect("ended");
        assert!(matches!(ended, Effect::Ended { is_new: true, .. }), "{ended:?}");
    }
    assert_eq!(sums(&store), [100, 0, 100, 0, 0]);
}

/// The step is under way before anybody waits for it, and steps are done in the order in which they were asked for.
#[test]
fn a_step_nobody_waits_for_is_done_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&ledger(&folder));
    drop(store.apply(Operation::Reserve(reserve(1, purse(1))), NOW));
    drop(store.apply(settle(reserve(1, purse(1)).handle(), 2), NOW));
    let last = apply(&store, Operation::Credit(purse(1))).expect("applied");
    assert!(matches!(last, Effect::Credited { is_new: false, .. }), "{last:?}");
    assert_eq!(sums(&store), [20, 2, 18, 0, 0]);
}

/// What cannot be kept is refused alone; what was sent with it is done.
#[test]
fn times_beyond_all_columns_spoil_nothing_but_their_own_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&ledger(&folder));
    wait(async {
        let endless = Reserve { deadline: u64::MAX, ..reserve(1, purse(1)) };
        let endless = store.apply(Operation::Reserve(endless), NOW);
        let good = store.apply(Operation::Reserve(reserve(2, purse(1))), NOW);
        let never = store.apply(Operation::Credit(purse(2)), u64::MAX);
        assert_eq!(endless.await, Err(StoreError::Range));
        assert!(matches!(good.await, Ok(Effect::Reserved(_))));
        assert_eq!(never.await, Err(StoreError::Range));
    });
    assert_eq!((sums(&store), Ledger::fault(&store)), ([20, 0, 17, 3, 0], None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_spend_one_balance_and_not_a_unit_more() {
    const CALLERS: u64 = 100;
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(open(&ledger(&folder)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let reserve = Reserve { units: Units::ONE, ..reserve(number, purse(1)) };
                let handle = reserve.handle();
                match store.apply(Operation::Reserve(reserve), NOW).await.expect("applied") {
                    Effect::Reserved(_) => {
                        store.apply(settle(handle, 1), NOW).await.expect("settled");
                        1
                    }
                    Effect::Short(_) => 0,
                    other => panic!("{other:?}"),
                }
            })
        })
        .collect();
    let mut served = 0;
    for caller in callers {
        served += caller.await.expect("no panic");
    }
    assert_eq!(served, 20);
    let audit = store.check_invariants().await.expect("an audit");
    assert_eq!((audit.totals.debited, audit.totals.balance, audit.breaches), (20, 0, vec![]));
}
