//! Ends of reservations: settled, released, expired. The first one counts.

use super::{
    LedgerRig,
    teller::{
        Sums, Teller, ended, ending, expire, is_new, purse, release, request, reserved, settle, told_again,
    },
};
use l402_paywall::ledger::{Abandoned, Effect, EndedBy};

/// The true cost is charged, and the rest comes back.
pub async fn a_settlement_charges_once(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let (cheap, exact) = (request(1, &bought, 30), request(2, &bought, 30));
    teller.reserve(&cheap).await;
    teller.reserve(&exact).await;
    let effect = teller.once(&settle(&cheap, 12)).await;
    assert_eq!(effect, ended(ending(EndedBy::Settle, 30, 12, 0), 58), "less than was set aside");
    let effect = teller.once(&settle(&exact, 30)).await;
    assert_eq!(effect, ended(ending(EndedBy::Settle, 30, 30, 0), 58), "exactly what was set aside");
    let other_cost = teller.ask(&settle(&cheap, 30)).await;
    let first = ended(ending(EndedBy::Settle, 30, 12, 0), 58);
    assert_eq!(other_cost, told_again(&first), "another cost comes too late");
    let sums = Sums { debited: 42, balance: 58, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "after settlements").await;
    assert_eq!(teller.close().await.totals.debited, 42, "what was charged");
}

/// Everything comes back.
pub async fn a_release_gives_back_once(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let (failed, open) = (request(1, &bought, 30), request(2, &bought, 50));
    teller.reserve(&failed).await;
    teller.reserve(&open).await;
    let effect = teller.once(&release(&failed)).await;
    assert_eq!(effect, ended(ending(EndedBy::Release, 30, 0, 0), 50), "a release");
    let sums = Sums { balance: 50, reserved: 50, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "after a release").await;
    let audit = teller.close().await;
    assert_eq!((audit.open, audit.totals.debited), (1, 0), "the other one is still open");
}

/// By either rule.
pub async fn an_expiry_ends_a_reservation_once_by_its_rule(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let (lost, charged) = (request(1, &bought, 30), request(2, &bought, 20));
    teller.reserve(&lost).await;
    teller.reserve(&charged).await;
    let effect = teller.once(&expire(&lost, Abandoned::Release)).await;
    assert_eq!(effect, ended(ending(EndedBy::Expire, 30, 0, 0), 80), "its units go back");
    let effect = teller.once(&expire(&charged, Abandoned::Charge)).await;
    assert_eq!(effect, ended(ending(EndedBy::Expire, 20, 20, 0), 80), "its units are charged");
    let sums = Sums { debited: 20, balance: 80, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "after both").await;
    assert_eq!(teller.close().await.open, 0, "nothing is open");
}

/// Whatever else is asked afterwards is told of it.
pub async fn the_first_ending_counts(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 1_000);
    let mut number = 0;
    for first in 0..4 {
        for second in 0..4 {
            number += 1;
            let open = request(number, &bought, 10);
            let steps = [
                settle(&open, 4),
                release(&open),
                expire(&open, Abandoned::Release),
                expire(&open, Abandoned::Charge),
            ];
            teller.reserve(&open).await;
            let effect = teller.ask(&steps[first]).await;
            assert!(is_new(&effect), "the first ending: {effect:?}");
            let before = teller.account(&bought).await;
            let late = teller.ask(&steps[second]).await;
            assert_eq!(late, told_again(&effect), "{:?} after {:?}", steps[second], steps[first]);
            let late = teller.reserve(&open).await;
            assert_eq!(late, told_again(&effect), "a reservation after {:?}", steps[first]);
            assert_eq!(teller.account(&bought).await, before, "what comes later changes nothing");
        }
    }
    assert_eq!(teller.close().await.totals.debited, 4 * (4 + 10), "the first endings were charged");
}

/// A gateway that settles while the sweeper of another one expires.
pub async fn of_endings_at_once_one_counts(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 1_000);
    for number in 1..=20 {
        let open = request(number, &bought, 10);
        teller.reserve(&open).await;
        let steps = [settle(&open, 4), release(&open), expire(&open, Abandoned::Charge)];
        let order = usize::try_from(number).expect("a small number");
        let asked = (0..6).map(|step| steps[(order + step) % 3].clone()).collect();
        let effects = teller.at_once(asked).await;
        assert_eq!(effects.iter().filter(|effect| is_new(effect)).count(), 1, "one ends it: {effects:?}");
        let endings: Vec<_> = effects.iter().map(told_again).collect();
        assert!(endings.iter().all(|told| *told == endings[0]), "all are told the same: {effects:?}");
    }
    assert_eq!(teller.close().await.open, 0, "nothing is open");
}

/// What a request costs beyond its reservation is nobody's debt, and no other request pays it.
pub async fn more_than_is_reserved_is_an_overrun(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let (dear, last) = (request(1, &bought, 30), request(2, &bought, 70));
    teller.reserve(&dear).await;
    let effect = teller.once(&settle(&dear, 45)).await;
    assert_eq!(effect, ended(ending(EndedBy::Settle, 30, 30, 15), 70), "more than was set aside");
    assert_eq!(teller.reserve(&last).await, reserved(0, 70), "the rest is still there");
    let effect = teller.once(&settle(&last, 1_000_000)).await;
    assert_eq!(effect, ended(ending(EndedBy::Settle, 70, 70, 999_930), 0), "never below zero");
    let sums = Sums { debited: 100, balance: 0, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "the pack, and no more").await;
    let overruns: Vec<_> = teller.lines().await.iter().map(|line| line.overrun.get()).collect();
    assert_eq!(overruns, [0, 15, 999_930], "the journal tells of overruns");
    let again = teller.reserve(&request(3, &bought, 1)).await;
    assert!(matches!(again, Effect::Short(_)), "nothing is left: {again:?}");
    teller.close().await;
}
