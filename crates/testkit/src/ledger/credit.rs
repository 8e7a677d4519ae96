//! Purchases: booked once, by whoever presents the token first.

use super::{
    LedgerRig,
    teller::{Sums, Teller, copy, is_new, purse, request, reserved, settle, standing},
};
use l402_paywall::ledger::{Effect, EntryKind, Operation, Owner};

/// Only what was presented has a row.
pub async fn a_token_that_nobody_paid_leaves_no_row(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let (paid, unpaid) = (purse(1, 100), purse(2, 100));
    assert_eq!(teller.holding(&unpaid).await, None, "a new ledger is empty");
    teller.credit(&paid).await;
    assert_eq!(teller.holding(&unpaid).await, None, "a challenge leaves nothing behind");
    assert_eq!(teller.close().await.purchases, 1, "there is one purchase");
}

/// However often the token is presented, and also after a crash.
pub async fn a_purchase_is_credited_once(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let first = teller.once(&Operation::Credit(bought.clone())).await;
    assert_eq!(first, Effect::Credited { standing: standing(100, 0), is_new: true }, "a purchase");
    let spent = request(1, &bought, 30);
    teller.reserve(&spent).await;
    teller.ask(&settle(&spent, 30)).await;
    let again = teller.credit(&bought).await;
    assert_eq!(again, Effect::Credited { standing: standing(70, 0), is_new: false }, "what is left is told");
    let delegated = teller.credit(&copy(&bought, 1, 10)).await;
    assert_eq!(delegated, Effect::Credited { standing: standing(10, 0), is_new: false }, "and to a copy");
    let sums = Sums { debited: 30, balance: 70, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "after many presentations").await;
    let account = teller.account(&bought).await;
    let owner = Owner::Purchase { token_id: bought.token_id, service: bought.service.clone() };
    assert_eq!((account.owner, account.is_revoked), (owner, false), "the account says whose it is");
    let audit = teller.close().await;
    assert_eq!((audit.purchases, audit.totals.credited), (1, 100), "there is one purchase");
}

/// The same token on many connections and gateways.
pub async fn presentations_at_once_credit_once(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let (bought, used) = (purse(1, 100), purse(2, 100));
    let effects = teller.at_once(vec![Operation::Credit(bought.clone()); 30]).await;
    assert_eq!(effects.iter().filter(|effect| is_new(effect)).count(), 1, "one of them books the purchase");
    let first_uses = (1..=30).map(|number| Operation::Reserve(request(number, &used, 2))).collect();
    let effects = teller.at_once(first_uses).await;
    assert!(
        effects.iter().all(|effect| matches!(effect, Effect::Reserved(_))),
        "all are covered: {effects:?}"
    );
    teller.assert_sums(&bought, Sums::bought(100), "after thirty presentations").await;
    let sums = Sums { balance: 40, reserved: 60, ..Sums::bought(100) };
    teller.assert_sums(&used, sums, "after thirty first uses").await;
    let credited = teller.lines().await.iter().filter(|line| line.kind == EntryKind::Credited).count();
    assert_eq!(credited, 2, "the journal tells of two purchases");
    assert_eq!(teller.close().await.purchases, 2, "there are two purchases");
}

/// The first request with a token needs no step of its own.
pub async fn a_reservation_books_its_purchase(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    assert_eq!(teller.reserve(&request(1, &bought, 30)).await, reserved(70, 30), "a first request");
    let again = teller.credit(&bought).await;
    assert_eq!(again, Effect::Credited { standing: standing(70, 0), is_new: false }, "it is booked already");
    teller.close().await;
}

/// What was sold is what counts.
pub async fn a_later_pack_size_changes_nothing_that_was_bought(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    teller.credit(&bought).await;
    for (number, pack) in [(1, 1_000_000), (2, 5)] {
        let presented = purse(1, pack);
        let again = teller.credit(&presented).await;
        let told = Effect::Credited { standing: standing(100, 0), is_new: false };
        assert_eq!(again, told, "a pack of {pack} now");
        let dear = request(number, &presented, 101);
        assert!(matches!(teller.reserve(&dear).await, Effect::Short(_)), "a pack of {pack} now");
    }
    assert_eq!(teller.reserve(&request(3, &purse(1, 5), 100)).await, reserved(0, 100), "all that was bought");
    assert_eq!(teller.close().await.totals.credited, 100, "what was bought");
}
