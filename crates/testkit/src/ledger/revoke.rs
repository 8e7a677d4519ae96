//! Revoked tokens: nothing more is spent, and what is left is owed.

use super::{
    LedgerRig,
    teller::{
        NOW, Sums, Teller, copy, ended, ending, expire, extend, purse, release, request, reserved, settle,
        standing, told_again, units,
    },
};
use l402::TokenId;
use l402_paywall::ledger::{Abandoned, Effect, EndedBy, EntryKind, Operation, Purse};

fn revoke(purse: &Purse) -> Operation {
    Operation::Revoke(purse.token_id)
}

/// Once, however often it is revoked.
pub async fn a_revoked_token_is_owed_its_balance(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let (bought, other) = (purse(1, 100), purse(2, 50));
    let spent = request(1, &bought, 30);
    teller.reserve(&spent).await;
    teller.ask(&settle(&spent, 30)).await;
    teller.credit(&other).await;
    let effect = teller.once(&revoke(&bought)).await;
    assert_eq!(effect, Effect::Withdrawn { owed: units(70), is_new: true }, "the balance is owed");
    teller
        .assert_sums(&bought, Sums { debited: 30, balance: 0, owed: 70, ..Sums::bought(100) }, "moved")
        .await;
    assert!(teller.account(&bought).await.is_revoked, "the account says so");
    teller.assert_sums(&other, Sums::bought(50), "another token is not touched").await;
    let lines = teller.lines().await;
    let revoked: Vec<_> = lines.iter().filter(|line| line.kind == EntryKind::Revoked).collect();
    assert!(matches!(revoked.as_slice(), [line] if line.owed == units(70)), "one line: {revoked:?}");
    assert_eq!(teller.close().await.totals.owed, 70, "what is owed");
}

/// A request under way ends as it would have; what it gives back is owed.
pub async fn what_a_revoked_token_has_open_still_ends(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let delegated = copy(&bought, 1, 50);
    let open: Vec<_> = (1..=4).map(|number| request(number, &delegated, 10)).collect();
    for request in &open {
        teller.reserve(request).await;
    }
    let effect = teller.ask(&revoke(&bought)).await;
    assert_eq!(effect, Effect::Withdrawn { owed: units(60), is_new: true }, "what was not set aside");
    let sums = Sums { balance: 0, reserved: 40, owed: 60, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "open requests keep their units").await;
    assert_eq!(teller.reserve(&open[0]).await, reserved(0, 10), "an open one is told again");
    assert_eq!(teller.ask(&extend(&open[0], 11)).await, Effect::Short(standing(0, 10)), "it gets no more");
    let effect = teller.once(&settle(&open[0], 4)).await;
    assert_eq!(effect, ended(ending(EndedBy::Settle, 10, 4, 0), 0), "settled, and nothing to spend");
    teller.once(&release(&open[1])).await;
    teller.once(&expire(&open[2], Abandoned::Release)).await;
    teller.once(&expire(&open[3], Abandoned::Charge)).await;
    let sums = Sums { debited: 14, balance: 0, owed: 86, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "what came back is owed").await;
    let owed: Vec<_> = teller.lines().await.iter().map(|line| line.owed.get()).collect();
    assert_eq!(owed, [0, 0, 60, 6, 10, 10, 0], "the journal tells when it became so");
    let again = teller.ask(&revoke(&bought)).await;
    assert_eq!(again, Effect::Withdrawn { owed: units(86), is_new: false }, "and the ledger how much it is");
    assert_eq!(teller.close().await.totals.owed, 86, "what is owed");
}

/// Neither for the token nor for its copies, not even for nothing.
pub async fn nothing_more_is_reserved_for_a_revoked_token(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let ended_before = request(1, &bought, 10);
    teller.reserve(&ended_before).await;
    let settled = teller.ask(&settle(&ended_before, 10)).await;
    teller.once(&revoke(&bought)).await;
    for (number, purse, count) in
        [(2, bought.clone(), 1), (3, bought.clone(), 0), (4, copy(&bought, 1, 5), 1)]
    {
        let effect = teller.once(&Operation::Reserve(request(number, &purse, count))).await;
        assert_eq!(effect, Effect::Revoked, "{count} units");
    }
    assert_eq!(teller.once(&Operation::Credit(bought.clone())).await, Effect::Revoked, "nor is it credited");
    let Effect::Ended { ending, .. } = told_again(&settled) else { panic!("settled: {settled:?}") };
    let told = Effect::Ended { ending, standing: standing(0, 0), is_new: false };
    assert_eq!(teller.ask(&settle(&ended_before, 10)).await, told, "what ended before is still told");
    let audit = teller.close().await;
    assert_eq!((audit.open, audit.caps, audit.totals.owed), (0, 0, 90), "nothing was opened");
}

/// Before it was ever presented: then it never will be good.
pub async fn a_token_that_was_never_seen_can_be_revoked(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let effect = teller.once(&revoke(&bought)).await;
    assert_eq!(effect, Effect::Withdrawn { owed: units(0), is_new: true }, "nothing is owed for it");
    assert_eq!(teller.once(&Operation::Credit(bought.clone())).await, Effect::Revoked, "it comes too late");
    assert_eq!(teller.reserve(&request(1, &bought, 1)).await, Effect::Revoked, "and cannot be used");
    assert_eq!(teller.holding(&bought).await, None, "it has no account");
    let told = teller.ledger().revoked_since(0).await.expect("the ledger can be read");
    assert_eq!(told.tokens, [bought.token_id], "gateways are told");
    assert_eq!(teller.lines().await, [], "no money moved");
    assert_eq!(teller.close().await.purchases, 0, "nothing was bought");
}

/// Every gateway learns of every revocation, whoever made it, and can go on from where it was.
pub async fn revocations_are_told_from_a_mark(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let tokens: Vec<_> = (1..=5).map(|number| purse(number, 100)).collect();
    let ids = |purses: &[Purse]| purses.iter().map(|purse| purse.token_id).collect::<Vec<TokenId>>();
    let since = async |mark| teller.ledger().revoked_since(mark).await.expect("the ledger can be read");
    teller.credit(&tokens[1]).await;
    assert_eq!(since(0).await.tokens, [], "nothing was revoked");
    for token in &tokens[..3] {
        teller.ask(&revoke(token)).await;
    }
    let first = since(0).await;
    assert_eq!(first.tokens, ids(&tokens[..3]), "all of them, in order");
    assert_eq!(since(first.mark).await.tokens, [], "nothing since");
    teller.ask(&revoke(&tokens[0])).await;
    assert_eq!(since(first.mark).await.tokens, [], "a token is revoked once");
    for token in &tokens[3..] {
        teller.ask_at(&revoke(token), NOW - 100).await;
    }
    let second = since(first.mark).await;
    assert_eq!(second.tokens, ids(&tokens[3..]), "those that were revoked since, whatever their clocks said");
    teller.reopen().await;
    assert_eq!(since(0).await.tokens, ids(&tokens), "a gateway that starts learns of all");
    assert_eq!(since(first.mark).await, second, "marks outlive a crash");
    teller.close().await;
}
