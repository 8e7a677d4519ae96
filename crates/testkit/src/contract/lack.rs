//! What a backend has no room for.

use super::{NodeFault, PayFault, WrongAuth};

/// One thing that does not exist for a backend.
#[derive(Clone, Copy, Debug)]
pub struct Lack {
    /// What.
    pub what: LackOf,
    /// The reason, in a sentence.
    pub why: &'static str,
}

impl Lack {
    /// A lack with its reason.
    pub const fn of(what: LackOf, why: &'static str) -> Self {
        Self { what, why }
    }
}

/// What a backend can be without. Each says how the suite holds it against the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LackOf {
    /// This cannot be wrong: [`SellerRig::invoicer_with`](super::SellerRig::invoicer_with) and
    /// [`BuyerRig::open_with`](super::BuyerRig::open_with) say `None`.
    Auth(WrongAuth),
    /// This cannot happen, or nobody could notice it: [`SellerRig::arm`](super::SellerRig::arm) says `false`.
    Fault(NodeFault),
    /// This cannot happen: [`BuyerRig::arm`](super::BuyerRig::arm) says `false`. The figure in
    /// [`PayFault::FeeAbove`] does not count.
    PayFault(PayFault),
    /// The caller cannot choose the preimage: the capabilities say so, and a request with one is unsupported.
    ChosenPreimage,
    /// It knows no part of a satoshi: the capabilities say so, and such an amount is unsupported.
    MilliSat,
    /// The service words its invoices, as the capabilities say: description and expiry are its own.
    Terms,
    /// It cannot withdraw an invoice: the capabilities say so, and a request for it is unsupported.
    Cancel,
    /// It forgets an invoice that was withdrawn: looked up, it is not cancelled.
    Cancelled,
    /// An invoice that was not paid in time, looked up, is not called expired.
    Expired,
    /// It does not hand an open invoice out again: there is none.
    OpenInvoice,
    /// Only the adapter that made an invoice can ask about it; for others it is unknown.
    Memory,
    /// It has no settlement feed: the capabilities say so, and a request for it is unsupported.
    Feed,
    /// Its feed does not say what an invoice asked for: [`SellerRig::overpay`](super::SellerRig::overpay) says `None`, and
    /// so does every settlement.
    Invoiced,
    /// Its feed's cursor does not outlive a restart of the node, as the capabilities say.
    Resume,
}

/// Hands on whether something is missing. The list of the rig has to say the same.
pub(super) fn agreed(lacks: &[Lack], what: LackOf, missing: bool) -> bool {
    let listed = lacks.iter().any(|lack| match (lack.what, what) {
        (LackOf::PayFault(one), LackOf::PayFault(other)) => one.is_same_kind(other),
        (one, other) => one == other,
    });
    match (listed, missing) {
        (true, false) => panic!("{what:?} is listed in `lacks` and has to be missing, but exists"),
        (false, true) => panic!("{what:?} has to exist, or to be listed in `lacks` with the reason"),
        _ => missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use l402_lightning::MilliSat;

    const LACKS: &[Lack] = &[
        Lack::of(LackOf::Cancel, "it has no such call"),
        Lack::of(LackOf::PayFault(PayFault::FeeAbove(MilliSat::ZERO)), "it names no fees"),
    ];

    #[test]
    fn what_is_listed_and_what_is_missing_agree() {
        assert!(agreed(LACKS, LackOf::Cancel, true));
        assert!(agreed(LACKS, LackOf::PayFault(PayFault::FeeAbove(MilliSat::from_msat(5))), true));
        assert!(!agreed(LACKS, LackOf::Feed, false));
    }

    #[test]
    #[should_panic(expected = "Cancel is listed in `lacks` and has to be missing")]
    fn what_is_listed_must_not_exist() {
        agreed(LACKS, LackOf::Cancel, false);
    }

    #[test]
    #[should_panic(expected = "Feed has to exist, or to be listed in `lacks`")]
    fn what_is_missing_must_be_listed() {
        agreed(LACKS, LackOf::Feed, true);
    }
}
