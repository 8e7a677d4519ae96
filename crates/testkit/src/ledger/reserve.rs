//! Setting units aside, and setting more aside.

use super::{
    LedgerRig,
    teller::{
        DEADLINE, NOW, Sums, Teller, copy, extend, purse, release, request, reserved, settle, short,
        standing, units,
    },
};
use l402_paywall::ledger::{Abandoned, Claim, Effect, Operation, Reserve};

/// Reserved units are out of reach, and every gateway sees that.
pub async fn what_is_reserved_cannot_be_spent_twice(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    assert_eq!(teller.reserve(&request(1, &bought, 60)).await, reserved(40, 60), "the first request");
    assert_eq!(teller.reserve(&request(2, &bought, 41)).await, short(40), "more than is left");
    assert_eq!(teller.reserve(&request(3, &bought, 40)).await, reserved(0, 40), "exactly what is left");
    assert_eq!(teller.reserve(&request(4, &bought, 1)).await, short(0), "nothing is left");
    let sums = Sums { balance: 0, reserved: 100, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "everything is set aside").await;
    assert_eq!(teller.close().await.open, 2, "two requests are under way");
}

/// A lost answer is asked for again, by the same name.
pub async fn a_reservation_is_made_once(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let first = request(1, &bought, 30);
    assert_eq!(teller.once(&Operation::Reserve(first.clone())).await, reserved(70, 30), "a request");
    let holding = teller.holding(&bought).await.expect("a purchase");
    let [open] = holding.open.as_slice() else { panic!("one reservation is open: {:?}", holding.open) };
    assert_eq!((&open.handle, open.units), (&first.handle(), units(30)), "it is kept as it was asked for");
    assert_eq!(open.deadline, DEADLINE, "with its deadline");
    teller.ask(&release(&first)).await;
    let late = teller.reserve(&first).await;
    let has_ended = matches!(late, Effect::Ended { is_new: false, .. });
    assert!(has_ended, "a reservation that has ended does not come back: {late:?}");
    teller.assert_sums(&bought, Sums::bought(100), "after a release").await;
    teller.close().await;
}

/// A gateway that asks again before the first answer came.
pub async fn a_reservation_asked_for_many_times_at_once_is_made_once(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let effects = teller.at_once(vec![Operation::Reserve(request(1, &bought, 30)); 20]).await;
    assert!(effects.iter().all(|effect| *effect == reserved(70, 30)), "all are told the same: {effects:?}");
    assert_eq!(teller.close().await.totals.reserved, 30, "one reservation");
}

/// One name, one reservation.
pub async fn a_name_that_is_taken_is_a_conflict(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let (bought, other) = (purse(1, 100), purse(2, 100));
    let first = request(1, &bought, 30);
    let claim = Claim { key: [1; 32], request: [1; 32], expires_at: DEADLINE };
    teller.reserve(&first).await;
    teller.credit(&other).await;
    let others = [
        request(1, &other, 30),
        request(1, &bought, 31),
        request(1, &copy(&bought, 1, 50), 30),
        Reserve { claim: Some(claim), ..first.clone() },
    ];
    for other in &others {
        assert_eq!(teller.reserve(other).await, Effect::Conflict, "{other:?}");
    }
    for step in [settle(&others[0], 30), release(&others[0]), extend(&others[2], 60)] {
        assert_eq!(teller.ask(&step).await, Effect::Conflict, "{step:?}");
    }
    let sums = Sums { balance: 70, reserved: 30, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "the first one stands").await;
    teller.assert_sums(&other, Sums::bought(100), "the other token has lost nothing").await;
    let audit = teller.close().await;
    assert_eq!((audit.open, audit.caps), (1, 0), "there is one reservation");
}

/// A refusal changes no sum, opens nothing, and leaves the name free.
pub async fn too_few_units_leave_everything_as_it_was(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 10);
    teller.credit(&bought).await;
    let before = teller.holding(&bought).await;
    let dear = request(1, &bought, 11);
    assert_eq!(teller.once(&Operation::Reserve(dear.clone())).await, short(10), "more than there is");
    assert_eq!(teller.holding(&bought).await, before, "nothing has changed");
    assert_eq!(teller.ask(&settle(&dear, 11)).await, Effect::Unknown, "nothing is there to be settled");
    assert_eq!(teller.lines().await.len(), 1, "the journal tells of the purchase only");
    assert_eq!(teller.reserve(&request(1, &bought, 10)).await, reserved(0, 10), "the name is free");
    teller.close().await;
}

/// 1,000 requests of one unit, and 100 units.
pub async fn a_thousand_reservations_at_once_spend_exactly_the_balance(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let asked = (1..=1_000).map(|number| Operation::Reserve(request(number, &bought, 1))).collect();
    let effects = teller.at_once(asked).await;
    let served = effects.iter().filter(|effect| matches!(effect, Effect::Reserved(_))).count();
    let refused = effects.iter().filter(|effect| matches!(effect, Effect::Short(_))).count();
    assert_eq!((served, refused), (100, 900), "one hundred are covered, all others are refused");
    let sums = Sums { balance: 0, reserved: 100, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "after a thousand requests").await;
    assert_eq!(teller.close().await.open, 100, "one hundred are under way");
}

/// Zero units are a request like any other, with an empty balance too.
pub async fn a_request_may_cost_nothing(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 10);
    let all = request(1, &bought, 10);
    teller.reserve(&all).await;
    teller.ask(&settle(&all, 10)).await;
    let free = request(2, &bought, 0);
    assert_eq!(teller.once(&Operation::Reserve(free.clone())).await, reserved(0, 0), "nothing of nothing");
    assert!(matches!(teller.once(&settle(&free, 0)).await, Effect::Ended { .. }), "it is settled");
    let sums = Sums { debited: 10, balance: 0, ..Sums::bought(10) };
    teller.assert_sums(&bought, sums, "it cost nothing").await;
    teller.close().await;
}

/// An extension names the whole, so asking again adds nothing.
pub async fn an_extension_is_made_once(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let stream = request(1, &bought, 10);
    teller.reserve(&stream).await;
    for total in [25, 60] {
        let effect = teller.once(&extend(&stream, total)).await;
        assert_eq!(effect, reserved(100 - total, total), "up to {total}");
    }
    assert_eq!(
        teller.ask(&extend(&stream, 25)).await,
        reserved(40, 60),
        "an old extension takes nothing back"
    );
    assert_eq!(teller.reserve(&stream).await, reserved(40, 60), "nor does the reservation, asked for again");
    let sums = Sums { balance: 40, reserved: 60, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "after extensions").await;
    teller.ask(&settle(&stream, 55)).await;
    let late = teller.ask(&extend(&stream, 90)).await;
    assert!(matches!(late, Effect::Ended { is_new: false, .. }), "it has ended: {late:?}");
    let sums = Sums { debited: 55, balance: 45, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "after the end").await;
    teller.close().await;
}

/// The stream ends then, with what it has.
pub async fn an_extension_beyond_the_balance_changes_nothing(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let delegated = copy(&bought, 1, 20);
    let (stream, narrow) = (request(1, &bought, 60), request(2, &delegated, 15));
    teller.reserve(&stream).await;
    teller.reserve(&narrow).await;
    let before = teller.holding(&bought).await;
    let effect = teller.once(&extend(&stream, 86)).await;
    assert_eq!(effect, Effect::Short(standing(25, 60)), "beyond the balance");
    let effect = teller.once(&extend(&narrow, 21)).await;
    assert_eq!(effect, Effect::Short(standing(5, 15)), "beyond the budget");
    let later = Operation::Extend { handle: stream.handle(), total: units(90), deadline: DEADLINE + 60 };
    teller.ask(&later).await;
    assert_eq!(teller.holding(&bought).await, before, "nothing has changed, the deadline neither");
    assert_eq!(teller.ask(&extend(&stream, 85)).await, reserved(0, 85), "exactly what is left");
    teller.close().await;
}

/// Somebody asks for what never was.
pub async fn steps_of_an_unknown_reservation_change_nothing(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let (bought, unseen) = (purse(1, 100), purse(2, 100));
    teller.credit(&bought).await;
    for stray in [request(1, &bought, 10), request(2, &copy(&bought, 1, 5), 5), request(3, &unseen, 10)] {
        let expiries = [Abandoned::Release, Abandoned::Charge]
            .map(|rule| Operation::Expire { handle: stray.handle(), rule });
        for step in [settle(&stray, 10), release(&stray), extend(&stray, 10)].into_iter().chain(expiries) {
            assert_eq!(teller.once(&step).await, Effect::Unknown, "{step:?}");
        }
    }
    teller.assert_sums(&bought, Sums::bought(100), "nothing was touched").await;
    assert_eq!(teller.holding(&unseen).await, None, "nothing was booked");
    assert_eq!(teller.overdue(NOW + 1_000_000, 10).await, [], "nothing is open");
    assert_eq!(teller.close().await.caps, 0, "no budget was opened");
}
