//! Purchases and requests that the tests of balances are about.

use l402::{PaymentHash, TokenId};
use l402_paywall::{
    StoreError,
    ledger::{
        AccountKey, Audit, Cap, Claim, Effect, Handle, Ledger, Operation, Purse, ReservationId, Reserve,
        Units,
    },
};

pub(crate) const PACK: u32 = 20;
pub(crate) const NOW: u64 = 1_800_000_000;

/// The purchase with this number, without delegated budgets.
pub(crate) fn purse(number: u64) -> Purse {
    Purse {
        payment_hash: crate::hash(number),
        token_id: token(number),
        service: "api".parse().expect("a name"),
        pack: Units::from(PACK),
        caps: [].into(),
    }
}

/// The same with delegated budgets of so many units, each within the one before.
pub(crate) fn delegated(number: u64, budgets: &[u32]) -> Purse {
    let cap = |(depth, units): (usize, &u32)| {
        let mut key = *key(number).as_bytes();
        key[31] = u8::try_from(depth).expect("few") + 1;
        // Budgets of another size are other accounts.
        key[30] = u8::try_from(*units).expect("small");
        Cap { key: AccountKey::from_bytes(key), units: Units::from(*units) }
    };
    Purse { caps: budgets.iter().enumerate().map(cap).collect(), ..purse(number) }
}

pub(crate) fn token(number: u64) -> TokenId {
    let mut bytes = *PaymentHash::as_bytes(&crate::hash(number));
    bytes[31] = 0xee;
    TokenId::from_bytes(bytes)
}

pub(crate) fn key(number: u64) -> AccountKey {
    AccountKey::of_payment(crate::hash(number))
}

pub(crate) fn id(number: u64) -> ReservationId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    ReservationId::from_bytes(bytes)
}

/// A reservation of three units that lasts a minute.
pub(crate) fn reserve(number: u64, purse: Purse) -> Reserve {
    Reserve { id: id(number), purse, units: Units::from(3), deadline: NOW + 60, claim: None }
}

pub(crate) fn claim(number: u8, request: u8) -> Claim {
    Claim { key: [number; 32], request: [request; 32], expires_at: NOW + 600 }
}

pub(crate) fn settle(handle: Handle, cost: u32) -> Operation {
    Operation::Settle { handle, cost: Units::from(cost), answer: None }
}

/// Applies and waits.
pub(crate) fn apply(store: &dyn Ledger, operation: Operation) -> Result<Effect, StoreError> {
    crate::wait(store.apply(operation, NOW))
}

/// Books many purchases, all asked for before any is answered.
pub(crate) fn book(store: &dyn Ledger, numbers: std::ops::Range<u64>) {
    let answers: Vec<_> = numbers.map(|number| store.apply(Operation::Credit(purse(number)), NOW)).collect();
    for answer in answers {
        assert!(matches!(crate::wait(answer), Ok(Effect::Credited { .. })));
    }
}

pub(crate) fn audit(store: &dyn Ledger) -> Audit {
    crate::wait(store.check_invariants()).expect("an audit")
}

/// Credited, debited, balance, reserved, owed of all purchases.
pub(crate) fn sums(store: &dyn Ledger) -> [u128; 5] {
    let audit = audit(store);
    assert_eq!(audit.breaches, []);
    let totals = audit.totals;
    [totals.credited, totals.debited, totals.balance, totals.reserved, totals.owed]
}
