//! Reservations that nobody ended.

use super::{
    LedgerRig,
    teller::{DEADLINE, NOW, Teller, copy, expire, id, purse, release, request, settle, units},
};
use bytes::Bytes;
use l402_paywall::ledger::{Abandoned, Claim, Claimed, Effect, Operation, Reserve};

/// At their deadline and later, as many as are asked for.
pub async fn overdue_reservations_are_told_oldest_first(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let (bought, other) = (purse(1, 100), purse(2, 100));
    let delegated = copy(&other, 1, 50);
    for number in [3, 1, 5, 2, 4] {
        let purse = if number % 2 == 0 { &delegated } else { &bought };
        let deadline = NOW + 10 * u64::from(number);
        teller.reserve(&Reserve { deadline, ..request(number, purse, 1) }).await;
    }
    assert_eq!(teller.overdue(NOW + 9, 10).await, [], "none is overdue yet");
    assert_eq!(teller.overdue(NOW + 10, 10).await, [id(1)], "at its deadline");
    assert_eq!(teller.overdue(NOW + 39, 10).await, [id(1), id(2), id(3)], "the oldest first");
    assert_eq!(teller.overdue(NOW + 1_000, 2).await, [id(1), id(2)], "no more than are asked for");
    assert_eq!(teller.overdue(NOW + 1_000, 0).await, [], "or none");
    teller.reopen().await;
    let all: Vec<_> = (1..=5).map(id).collect();
    assert_eq!(teller.overdue(NOW + 1_000, 10).await, all, "also after a crash");
    let handles = teller.ledger().overdue(NOW + 1_000, 10).await.expect("the ledger can be read");
    for (handle, rule) in handles.into_iter().zip([Abandoned::Release, Abandoned::Charge].into_iter().cycle())
    {
        let effect = teller.ask(&Operation::Expire { handle, rule }).await;
        assert!(matches!(effect, Effect::Ended { is_new: true, .. }), "the handle is enough: {effect:?}");
    }
    assert_eq!(teller.close().await.totals.debited, 2, "two of five were charged");
}

/// A stream that goes on is not overdue, and an old extension does not make it so.
pub async fn a_deadline_only_moves_later(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let stream = request(1, &bought, 1);
    teller.reserve(&stream).await;
    let extend =
        |total, deadline| Operation::Extend { handle: stream.handle(), total: units(total), deadline };
    teller.ask(&extend(2, DEADLINE + 60)).await;
    teller.ask(&extend(3, DEADLINE + 10)).await;
    teller.reserve(&Reserve { deadline: NOW, ..stream.clone() }).await;
    assert_eq!(teller.overdue(DEADLINE + 59, 10).await, [], "the latest deadline counts");
    teller.reopen().await;
    assert_eq!(teller.overdue(DEADLINE + 60, 10).await, [id(1)], "and it comes");
    teller.ask(&extend(3, DEADLINE + 90)).await;
    assert_eq!(teller.overdue(DEADLINE + 60, 10).await, [], "the deadline alone can be put off");
    teller.close().await;
}

/// Whatever ended it.
pub async fn what_has_ended_is_never_overdue(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let open: Vec<_> = (1..=4).map(|number| request(number, &bought, 1)).collect();
    for request in &open {
        teller.reserve(request).await;
    }
    teller.ask(&settle(&open[0], 1)).await;
    teller.ask(&release(&open[1])).await;
    teller.ask(&expire(&open[2], Abandoned::Charge)).await;
    assert_eq!(teller.overdue(DEADLINE, 10).await, [id(4)], "the one that is open");
    teller.ask(&expire(&open[3], Abandoned::Release)).await;
    teller.reopen().await;
    assert_eq!(teller.overdue(u64::from(u32::MAX), 10).await, [], "nothing is open");
    teller.close().await;
}

/// Claims that have expired are forgotten; one whose request is under way has not.
pub async fn claims_in_flight_outlive_the_sweep(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let claimed = |number, key| {
        let claim = Claim { key: [key; 32], request: [7; 32], expires_at: NOW + 10 };
        Reserve { claim: Some(claim), ..request(number, &bought, 10) }
    };
    let (open, done, kept) =
        (claimed(1, 1), claimed(2, 2), Claim { key: [3; 32], request: [7; 32], expires_at: NOW + 30 });
    let kept = Reserve { claim: Some(kept), ..request(3, &bought, 10) };
    for request in [&open, &done, &kept] {
        teller.reserve(request).await;
    }
    for request in [&done, &kept] {
        let answer = Some(Bytes::from_static(b"rain"));
        teller.ask(&Operation::Settle { handle: request.handle(), cost: units(10), answer }).await;
    }
    // Whatever is asked about deadlines to come, an answer is kept for its own time.
    teller.overdue(u64::from(u32::MAX), 10).await;
    teller.ledger().forget_claims(NOW + 20).await.expect("the ledger can be written");
    teller.reopen().await;
    let at = async |request| teller.ask_at(&Operation::Reserve(request), NOW + 20).await;
    assert_eq!(at(claimed(4, 1)).await, Effect::Claimed(Claimed::InFlight), "it is under way");
    let answered = at(Reserve { id: id(5), ..kept.clone() }).await;
    assert!(
        matches!(answered, Effect::Claimed(Claimed::Answered(Some(_)))),
        "its time is not over: {answered:?}"
    );
    assert!(matches!(at(claimed(6, 2)).await, Effect::Reserved(_)), "a claim whose time is over is free");
    let late = teller.ask_at(&settle(&open, 10), NOW + 20).await;
    assert!(matches!(late, Effect::Ended { is_new: true, .. }), "the one under way is settled: {late:?}");
    teller.close().await;
}
