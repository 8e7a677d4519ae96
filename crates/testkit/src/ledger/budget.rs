//! Delegated budgets: copies that spend from the balance of the purchase, and never more than was written into them.

use super::{
    LedgerRig,
    teller::{
        Sums, Teller, copy, ended, ending, expire, extend, purse, release, request, reserved, settle, short,
    },
};
use l402_paywall::ledger::{Abandoned, Effect, EndedBy, EntryKind, Operation, Owner};

/// One balance, and a limit of the copy's own.
pub async fn a_copy_spends_from_the_same_balance_within_its_budget(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let delegated = copy(&bought, 1, 10);
    let first = request(1, &delegated, 6);
    assert_eq!(teller.once(&Operation::Reserve(first.clone())).await, reserved(4, 6), "the least is told");
    let sums = Sums { balance: 94, reserved: 6, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "it draws on the purchase").await;
    assert_eq!(teller.reserve(&request(2, &delegated, 5)).await, short(4), "more than its budget has left");
    let effect = teller.once(&settle(&first, 6)).await;
    assert_eq!(effect, ended(ending(EndedBy::Settle, 6, 6, 0), 4), "charged to both");
    let last = request(3, &delegated, 4);
    teller.reserve(&last).await;
    teller.ask(&settle(&last, 9)).await;
    teller.assert_budget(&delegated, Sums { debited: 10, balance: 0, ..Sums::bought(10) }, "used up").await;
    assert_eq!(teller.reserve(&request(4, &delegated, 1)).await, short(0), "the budget is used up");
    assert_eq!(teller.reserve(&request(5, &bought, 90)).await, reserved(0, 90), "the owner has the rest");
    let holding = teller.holding(&bought).await.expect("a purchase");
    let owner = &holding.caps[0].1.owner;
    let root = first.handle().accounts[0];
    assert_eq!(*owner, Owner::Cap(root), "a budget belongs to its purchase");
    let audit = teller.close().await;
    assert_eq!((audit.caps, audit.totals.credited), (1, 100), "a budget adds nothing to what was bought");
}

/// Each spends within its own budget and within those it was made under.
pub async fn copies_of_copies_stay_within_every_budget(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let child = copy(&bought, 1, 10);
    let narrow = copy(&child, 1, 4);
    let wide = copy(&child, 2, 50);
    assert_eq!(teller.reserve(&request(1, &narrow, 5)).await, short(4), "more than its own budget");
    let first = request(2, &narrow, 4);
    assert_eq!(teller.reserve(&first).await, reserved(0, 4), "all of its own budget");
    assert_eq!(teller.reserve(&request(3, &wide, 7)).await, short(6), "more than the budget above has left");
    let second = request(4, &wide, 6);
    assert_eq!(teller.reserve(&second).await, reserved(0, 6), "all that the budget above has left");
    assert_eq!(teller.reserve(&request(5, &child, 1)).await, short(0), "its copies have spent it");
    teller.ask(&settle(&first, 3)).await;
    teller.ask(&settle(&second, 6)).await;
    teller
        .assert_budget(&narrow, Sums { debited: 3, balance: 1, ..Sums::bought(4) }, "the narrow copy")
        .await;
    teller.assert_budget(&wide, Sums { debited: 6, balance: 44, ..Sums::bought(50) }, "the wide copy").await;
    teller.assert_budget(&child, Sums { debited: 9, balance: 1, ..Sums::bought(10) }, "both together").await;
    let sums = Sums { debited: 9, balance: 91, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "and the purchase").await;
    let credit = teller.credit(&wide).await;
    assert!(matches!(credit, Effect::Credited { standing, .. } if standing.balance.get() == 1), "{credit:?}");
    teller.close().await;
}

/// What one has spent the other still has.
pub async fn siblings_have_budgets_of_their_own(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let (bought, other) = (purse(1, 100), purse(2, 100));
    let siblings = [copy(&bought, 1, 10), copy(&bought, 2, 10), copy(&other, 1, 10)];
    for (number, sibling) in (1..).zip(&siblings) {
        let all = request(number, sibling, 10);
        assert_eq!(teller.reserve(&all).await, reserved(0, 10), "a budget of its own");
        teller.ask(&settle(&all, 10)).await;
    }
    for sibling in &siblings {
        teller.assert_budget(sibling, Sums { debited: 10, balance: 0, ..Sums::bought(10) }, "each").await;
    }
    let sums = Sums { debited: 20, balance: 80, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "two of them drew on this").await;
    assert_eq!(teller.close().await.caps, 3, "three budgets");
}

/// A copy cannot spend what is not there.
pub async fn a_budget_above_the_balance_is_limited_by_the_balance(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let delegated = copy(&bought, 1, 1_000);
    assert_eq!(teller.reserve(&request(1, &delegated, 101)).await, short(100), "more than was bought");
    let stream = request(2, &delegated, 40);
    assert_eq!(teller.reserve(&stream).await, reserved(60, 40), "the balance is the least");
    teller.reserve(&request(3, &bought, 50)).await;
    let more = teller.ask(&extend(&stream, 51)).await;
    assert!(matches!(more, Effect::Short(standing) if standing.balance.get() == 10), "10 are left: {more:?}");
    assert_eq!(teller.ask(&extend(&stream, 50)).await, reserved(0, 50), "all that is left");
    teller
        .assert_budget(&delegated, Sums { balance: 950, reserved: 50, ..Sums::bought(1_000) }, "kept")
        .await;
    assert_eq!(teller.close().await.totals.credited, 100, "a budget is no money");
}

/// Holders can write any number of budgets; none costs a row before it is used.
pub async fn a_refused_reservation_opens_no_budget(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let small = copy(&bought, 1, 10);
    let large = copy(&bought, 2, 1_000);
    let grandchild = copy(&small, 1, 5);
    for (number, purse, count) in [(1, &small, 11), (2, &large, 101), (3, &grandchild, 6)] {
        let effect = teller.reserve(&request(number, purse, count)).await;
        assert!(matches!(effect, Effect::Short(_)), "more than there is: {effect:?}");
    }
    teller.credit(&small).await;
    let holding = teller.holding(&bought).await.expect("a purchase");
    assert_eq!(holding.caps, [], "no budget was opened");
    assert_eq!(teller.lines().await.len(), 1, "the journal tells of the purchase only");
    teller.reserve(&request(4, &grandchild, 5)).await;
    teller.reserve(&request(5, &grandchild, 0)).await;
    let opened = teller.lines().await.into_iter().filter(|line| matches!(line.kind, EntryKind::CapOpened(_)));
    let opened: Vec<_> = opened.map(|line| line.credited.get()).collect();
    assert_eq!(opened, [10, 5], "a first use opens a copy's budgets, each once");
    assert_eq!(teller.close().await.caps, 2, "those that were used");
}

/// No budget keeps what the purchase got back.
pub async fn every_ending_reaches_every_budget(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let child = copy(&bought, 1, 50);
    let grandchild = copy(&child, 1, 20);
    let open: Vec<_> = (1..=4).map(|number| request(number, &grandchild, 5)).collect();
    for request in &open {
        teller.reserve(request).await;
    }
    let steps = [
        settle(&open[0], 2),
        release(&open[1]),
        expire(&open[2], Abandoned::Release),
        expire(&open[3], Abandoned::Charge),
    ];
    for step in &steps {
        teller.once(step).await;
    }
    let spent = |credited| Sums { debited: 7, balance: credited - 7, ..Sums::bought(credited) };
    teller.assert_sums(&bought, spent(100), "the purchase").await;
    teller.assert_budget(&child, spent(50), "the copy").await;
    teller.assert_budget(&grandchild, spent(20), "the copy's copy").await;
    teller.close().await;
}

/// 200 requests of one unit with a budget of 25, beside 200 of the owner.
pub async fn copies_at_once_spend_exactly_their_budget(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let delegated = copy(&bought, 1, 25);
    let of = |number: u32| if number.is_multiple_of(2) { &bought } else { &delegated };
    let asked = (1..=400).map(|number| Operation::Reserve(request(number, of(number), 1))).collect();
    let effects = teller.at_once(asked).await;
    let served = |odd: bool| {
        let of_copy = (1..).zip(&effects).filter(|(number, _): &(u32, _)| number.is_multiple_of(2) != odd);
        of_copy.filter(|(_, effect)| matches!(effect, Effect::Reserved(_))).count()
    };
    assert!(served(true) <= 25, "the copy has 25 units, and spent {}", served(true));
    assert_eq!(served(true) + served(false), 100, "all units were spent, and no more");
    let sums = Sums { balance: 0, reserved: 100, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "after all of them").await;
    let budget = teller.budget(&delegated).await.map_or(0, |sums| sums.reserved);
    assert_eq!(usize::try_from(budget), Ok(served(true)), "the budget counts what the copy spent");
    teller.close().await;
}
