//! Requests with an `Idempotency-Key`: the same one is never charged twice.

use super::{
    LedgerRig,
    teller::{
        NOW, Sums, Teller, expire, extend, id, is_new, purse, release, request, reserved, settle, short,
        units,
    },
};
use bytes::Bytes;
use l402_paywall::ledger::{Abandoned, Claim, Claimed, Effect, Operation, Purse, Reserve};

/// Until when answers are kept, in Unix seconds.
const KEPT_UNTIL: u64 = NOW + 1_000;

/// A request of 10 units under the claim `key`.
fn claimed(number: u32, purse: &Purse, key: u8) -> Reserve {
    let claim = Claim { key: [key; 32], request: [7; 32], expires_at: KEPT_UNTIL };
    Reserve { claim: Some(claim), ..request(number, purse, 10) }
}

fn answered(request: &Reserve, answer: Option<&'static str>) -> Operation {
    let answer = answer.map(|text| Bytes::from_static(text.as_bytes()));
    Operation::Settle { handle: request.handle(), cost: units(10), answer }
}

/// The client was impatient.
pub async fn a_claimed_request_in_flight_is_not_made_again(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let first = claimed(1, &bought, 1);
    assert_eq!(teller.once(&Operation::Reserve(first.clone())).await, reserved(90, 10), "a request");
    let again = teller.once(&Operation::Reserve(claimed(2, &bought, 1))).await;
    assert_eq!(again, Effect::Claimed(Claimed::InFlight), "it is under way");
    assert_eq!(teller.ask(&extend(&first, 20)).await, reserved(80, 20), "the first one goes on");
    let again = teller.ask_at(&Operation::Reserve(claimed(2, &bought, 1)), KEPT_UNTIL + 1).await;
    assert_eq!(again, Effect::Claimed(Claimed::InFlight), "however long it takes");
    assert_eq!(teller.reserve(&claimed(3, &bought, 2)).await, reserved(70, 10), "another key is free");
    assert_eq!(teller.close().await.open, 2, "one reservation for each key");
}

/// With the answer that was given, or with the news that it was too large to keep.
pub async fn an_answered_request_is_answered_again(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let (kept, dropped) = (claimed(1, &bought, 1), claimed(2, &bought, 2));
    teller.reserve(&kept).await;
    teller.reserve(&dropped).await;
    teller.once(&answered(&kept, Some("rain"))).await;
    teller.once(&answered(&dropped, None)).await;
    teller.ask(&answered(&kept, Some("sunshine"))).await;
    let again = teller.once(&Operation::Reserve(claimed(3, &bought, 1))).await;
    let rain = Some(Bytes::from_static(b"rain"));
    assert_eq!(again, Effect::Claimed(Claimed::Answered(rain)), "the first answer");
    let again = teller.once(&Operation::Reserve(claimed(4, &bought, 2))).await;
    assert_eq!(again, Effect::Claimed(Claimed::Answered(None)), "an answer that was not kept");
    let unclaimed = request(5, &bought, 10);
    teller.reserve(&unclaimed).await;
    teller.ask(&answered(&unclaimed, Some("snow"))).await;
    let sums = Sums { debited: 30, balance: 70, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "each request was charged once").await;
    teller.close().await;
}

/// A key that is used for something else, while the first is under way and later.
pub async fn another_request_under_the_same_claim_differs(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let first = claimed(1, &bought, 1);
    let mut other = claimed(2, &bought, 1);
    other.claim = first.claim.clone().map(|claim| Claim { request: [8; 32], ..claim });
    teller.reserve(&first).await;
    let differs = Effect::Claimed(Claimed::Differs);
    assert_eq!(teller.once(&Operation::Reserve(other.clone())).await, differs, "while it is under way");
    teller.ask(&answered(&first, Some("rain"))).await;
    assert_eq!(teller.once(&Operation::Reserve(other)).await, differs, "when it was answered");
    let sums = Sums { debited: 10, balance: 90, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "it was not charged").await;
    teller.close().await;
}

/// At the second at which it expires, and never before.
pub async fn an_expired_claim_can_be_made_anew(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let first = claimed(1, &bought, 1);
    teller.reserve(&first).await;
    teller.ask(&answered(&first, Some("rain"))).await;
    let early = teller.ask_at(&Operation::Reserve(claimed(2, &bought, 1)), KEPT_UNTIL - 1).await;
    assert!(matches!(early, Effect::Claimed(Claimed::Answered(Some(_)))), "still kept: {early:?}");
    let mut second = claimed(3, &bought, 1);
    second.claim = Some(Claim { key: [1; 32], request: [8; 32], expires_at: KEPT_UNTIL + 1_000 });
    let effect = teller.ask_at(&Operation::Reserve(second.clone()), KEPT_UNTIL).await;
    assert_eq!(effect, reserved(80, 10), "a new request under the old key");
    teller.ask_at(&answered(&second, Some("snow")), KEPT_UNTIL).await;
    let mut third = second.clone();
    third.id = id(4);
    let again = teller.ask_at(&Operation::Reserve(third), KEPT_UNTIL + 999).await;
    let snow = Some(Bytes::from_static(b"snow"));
    assert_eq!(again, Effect::Claimed(Claimed::Answered(snow)), "the second answer, for its own time");
    teller.close().await;
}

/// What was not served can be asked for again; what was charged cannot.
pub async fn a_released_request_frees_its_claim(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 100);
    let (failed, lost, charged) = (claimed(1, &bought, 1), claimed(2, &bought, 2), claimed(3, &bought, 3));
    for request in [&failed, &lost, &charged] {
        teller.reserve(request).await;
    }
    teller.once(&release(&failed)).await;
    teller.once(&expire(&lost, Abandoned::Release)).await;
    teller.once(&expire(&charged, Abandoned::Charge)).await;
    let (second, third) = (claimed(4, &bought, 1), claimed(5, &bought, 2));
    assert_eq!(teller.reserve(&second).await, reserved(80, 10), "after a release");
    assert_eq!(teller.reserve(&third).await, reserved(70, 10), "after an expiry that gave back");
    let again = teller.reserve(&claimed(6, &bought, 3)).await;
    assert_eq!(again, Effect::Claimed(Claimed::Answered(None)), "after an expiry that was charged");
    // The first one is asked for its end again: that must not touch the claim of its successor.
    teller.ask(&release(&failed)).await;
    let again = teller.reserve(&claimed(7, &bought, 1)).await;
    assert_eq!(again, Effect::Claimed(Claimed::InFlight), "the second one holds the claim now");
    teller.ask(&settle(&second, 10)).await;
    let sums = Sums { debited: 20, balance: 70, reserved: 10, ..Sums::bought(100) };
    teller.assert_sums(&bought, sums, "what was served or charged").await;
    teller.close().await;
}

/// Too few units, or the name of another reservation: the key stays free.
pub async fn a_refused_request_makes_no_claim(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 15);
    let dear = Reserve { units: units(16), ..claimed(1, &bought, 1) };
    assert_eq!(teller.once(&Operation::Reserve(dear)).await, short(15), "more than there is");
    let open = claimed(2, &bought, 1);
    assert_eq!(teller.reserve(&open).await, reserved(5, 10), "the key is free");
    assert_eq!(teller.reserve(&claimed(2, &bought, 2)).await, Effect::Conflict, "a name that is taken");
    teller.ask(&release(&open)).await;
    assert_eq!(teller.reserve(&claimed(3, &bought, 2)).await, reserved(5, 10), "that key is free too");
    teller.close().await;
}

/// An impatient client, over several gateways.
pub async fn of_equal_requests_at_once_one_is_made(rig: &dyn LedgerRig) {
    let teller = Teller::new(rig);
    let bought = purse(1, 1_000);
    let asked = (1..=50).map(|number| Operation::Reserve(claimed(number, &bought, 1))).collect();
    let effects = teller.at_once(asked).await;
    let made: Vec<_> =
        (1..).zip(&effects).filter(|(_, effect)| matches!(effect, Effect::Reserved(_))).collect();
    let in_flight = effects.iter().filter(|effect| **effect == Effect::Claimed(Claimed::InFlight)).count();
    assert_eq!((made.len(), in_flight), (1, 49), "one is made, the others are told: {effects:?}");
    let end = teller.ask(&answered(&claimed(made[0].0, &bought, 1), Some("rain"))).await;
    assert!(is_new(&end), "the one that was made can be settled: {end:?}");
    assert_eq!(teller.close().await.totals.debited, 10, "one was charged");
}
