//! The journal, and sums at the edge of what can be counted.

use super::{
    LedgerRig,
    teller::{
        NOW, Sums, Teller, copy, ended, ending, expire, extend, purse, release, request, reserved, settle,
        units,
    },
};
use l402_paywall::ledger::{Abandoned, AccountKey, EndedBy, Entry, EntryKind, Operation, Totals, Units};

/// A line without any units.
fn line(at: u64, kind: EntryKind, account: AccountKey) -> Entry {
    Entry {
        at,
        kind,
        account,
        credited: Units::ZERO,
        reserved: Units::ZERO,
        charged: Units::ZERO,
        overrun: Units::ZERO,
        owed: Units::ZERO,
    }
}

/// Setting aside leaves no line, nor does anything that was refused or asked for again.
pub async fn the_journal_tells_what_changed_for_good_in_order(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let delegated = copy(&bought, 1, 40);
    let (own, of_copy) = (request(1, &bought, 30), request(2, &delegated, 20));
    let account = own.handle().accounts[0];
    teller.ask_at(&Operation::Credit(bought.clone()), NOW + 1).await;
    teller.ask_at(&Operation::Reserve(own.clone()), NOW + 2).await;
    teller.ask_at(&Operation::Reserve(of_copy.clone()), NOW + 3).await;
    teller.ask_at(&extend(&of_copy, 25), NOW + 4).await;
    teller.ask_at(&Operation::Reserve(request(3, &bought, 99)), NOW + 5).await;
    teller.ask_at(&settle(&of_copy, 27), NOW + 6).await;
    teller.ask_at(&settle(&of_copy, 27), NOW + 7).await;
    teller.ask_at(&Operation::Revoke(bought.token_id), NOW + 8).await;
    teller.ask_at(&expire(&own, Abandoned::Release), NOW + 9).await;
    let by_copy = EntryKind::Ended { handle: of_copy.handle(), by: EndedBy::Settle };
    let by_sweep = EntryKind::Ended { handle: own.handle(), by: EndedBy::Expire };
    let cap = EntryKind::CapOpened(of_copy.handle().accounts[1]);
    let expected = [
        Entry { credited: units(100), ..line(NOW + 1, EntryKind::Credited, account) },
        Entry { credited: units(40), ..line(NOW + 3, cap, account) },
        Entry {
            reserved: units(25),
            charged: units(25),
            overrun: units(2),
            ..line(NOW + 6, by_copy, account)
        },
        Entry { owed: units(45), ..line(NOW + 8, EntryKind::Revoked, account) },
        Entry { reserved: units(30), owed: units(30), ..line(NOW + 9, by_sweep, account) },
    ];
    assert_eq!(teller.lines().await, expected, "what happened");
    assert_eq!(expected[2].ending(), Some(ending(EndedBy::Settle, 25, 25, 2)), "an ending can be read again");
    teller.close().await;
    assert_eq!(teller.lines().await, expected, "also after a crash");
}

/// Piece by piece, as an export reads it; line numbers rise and stay.
pub async fn the_journal_can_be_read_in_parts(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    for number in 1..=10 {
        let bought = purse(number, 100);
        let spent = request(u32::from(number), &bought, 10);
        teller.reserve(&spent).await;
        teller.ask(&settle(&spent, u64::from(number))).await;
    }
    let read = async |after, max| teller.ledger().journal(after, max).await.expect("the journal can be read");
    let all = read(0, 100).await;
    assert_eq!(all.len(), 20, "two lines for each request");
    assert!(
        all[0].0 >= 1 && all.is_sorted_by(|(one, _), (next, _)| one < next),
        "line numbers rise: {all:?}"
    );
    let mut parts = Vec::new();
    for _ in 0..all.len() {
        let part = read(parts.last().map_or(0, |(line, _)| *line), 3).await;
        assert!(part.len() <= 3, "no more than were asked for");
        parts.extend(part);
    }
    assert_eq!(parts, all, "the parts are the whole");
    assert_eq!(read(all[19].0, 100).await, [], "behind the last line there is nothing");
    assert_eq!(read(0, 0).await, [], "nothing was asked for");
    teller.reopen().await;
    assert_eq!(read(all[4].0, 100).await, all[5..], "line numbers outlive a crash");
    teller.close().await;
}

/// Whoever adds the journal up has the balances.
pub async fn running_sums_end_at_the_totals(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    for number in 1..=4_u8 {
        let bought = purse(number, 100);
        let name = u32::from(number) * 10;
        let open: Vec<_> = (0..5).map(|step| request(name + step, &copy(&bought, 1, 60), 10)).collect();
        for request in &open {
            teller.reserve(request).await;
        }
        teller.ask(&settle(&open[0], u64::from(number))).await;
        teller.ask(&settle(&open[1], 12)).await;
        teller.ask(&release(&open[2])).await;
        if number.is_multiple_of(2) {
            teller.ask(&Operation::Revoke(bought.token_id)).await;
        }
        teller.ask(&expire(&open[3], Abandoned::Charge)).await;
    }
    let audit = teller.close().await;
    assert_eq!((audit.purchases, audit.caps, audit.open), (4, 4, 4), "what there is");
    let debited = 4 * (10 + 10) + 1 + 2 + 3 + 4;
    let owed = 2 * (100 - 10 - 20) - 2 - 4;
    let totals = Totals { credited: 400, debited, balance: 400 - debited - 40 - owed, reserved: 40, owed };
    assert_eq!(audit.totals, totals, "what the steps amount to");
}

/// No sum wraps, saturates or fails: not of one account, nor over several.
pub async fn the_largest_units_do_not_overflow(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let most = Units::MAX.get();
    let purses: Vec<_> = (1..=3).map(|number| purse(number, most)).collect();
    for (number, bought) in (1..).zip(&purses) {
        let delegated = copy(bought, 1, most);
        let stream = request(number, &delegated, 1);
        assert_eq!(teller.reserve(&stream).await, reserved(most - 1, 1), "one of the most");
        assert_eq!(teller.once(&extend(&stream, most)).await, reserved(0, most), "all of it");
    }
    let first = request(1, &copy(&purses[0], 1, most), 1);
    let effect = teller.once(&settle(&first, most)).await;
    assert_eq!(effect, ended(ending(EndedBy::Settle, most, most, 0), 0), "all of it is charged");
    let second = request(2, &copy(&purses[1], 1, most), 1);
    let effect = teller.once(&settle(&second, most - 1)).await;
    assert_eq!(effect, ended(ending(EndedBy::Settle, most, most - 1, 0), 1), "all of it but one");
    for number in [10, 11] {
        let free = request(number, &purses[0], 0);
        teller.reserve(&free).await;
        let effect = teller.once(&settle(&free, most)).await;
        assert_eq!(effect, ended(ending(EndedBy::Settle, 0, 0, most), 0), "all of it is an overrun");
    }
    teller.ask(&Operation::Revoke(purses[1].token_id)).await;
    let sums = Sums { debited: most - 1, balance: 0, owed: 1, ..Sums::bought(most) };
    teller.assert_sums(&purses[1], sums, "one is owed").await;
    let audit = teller.close().await;
    let most = u128::from(most);
    let totals = Totals { credited: 3 * most, debited: 2 * most - 1, balance: 0, reserved: most, owed: 1 };
    assert_eq!(audit.totals, totals, "sums over several accounts are wider");
}
