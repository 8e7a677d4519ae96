//! A small ledger with one of everything, for the tests of the commands.

use l402::{PaymentHash, TokenId};
use l402_paywall::ledger::{AccountKey, Cap, MemoryLedger, Operation, Purse, ReservationId, Reserve, Units};

/// The token that has been used.
pub(in crate::commands) const ID: u8 = 5;
pub(in crate::commands) const NOW: u64 = 1_763_700_000;

/// The token of this number.
pub(in crate::commands) fn token(number: u8) -> TokenId {
    TokenId::from_bytes([number; 32])
}

/// A reservation of a token; `cap` units of a delegated budget, or none.
pub(in crate::commands) fn reserve(token_number: u8, number: u32, units: Units, cap: u32) -> Reserve {
    let mut id = [0; 16];
    id[12..].copy_from_slice(&number.to_be_bytes());
    let caps = (cap > 0).then_some(Cap { key: AccountKey::from_bytes([0xca; 32]), units: Units::from(cap) });
    let purse = Purse {
        payment_hash: PaymentHash::from_bytes([token_number; 32]),
        token_id: token(token_number),
        service: "llm".parse().expect("a name"),
        pack: Units::from(100),
        caps: caps.into_iter().collect(),
    };
    let id = ReservationId::from_bytes(id);
    Reserve { id, purse, units, deadline: NOW + 3600, claim: None }
}

/// 100 units bought: 7 charged of 12 set aside through a budget of 20, 5 released, 10 still set aside.
pub(in crate::commands) fn sample() -> MemoryLedger {
    let ledger = MemoryLedger::default();
    let step = |operation: &Operation, at: u64| {
        ledger.step(operation, at).expect("a step");
    };
    let charged = reserve(ID, 1, Units::from(12), 20);
    let released = reserve(ID, 2, Units::from(5), 0);
    let open = reserve(ID, 3, Units::from(10), 0);
    let (paid, given_back) = (charged.handle(), released.handle());
    step(&Operation::Reserve(charged), NOW - 60);
    step(&Operation::Settle { handle: paid, cost: Units::from(7), answer: None }, NOW - 59);
    step(&Operation::Reserve(released), NOW - 30);
    step(&Operation::Release(given_back), NOW - 29);
    step(&Operation::Reserve(open), NOW - 10);
    ledger
}
