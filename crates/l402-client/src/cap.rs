//! The most one purchase may cost, routing fee included.

use l402_lightning::MilliSat;

/// A limit on amount and fee together. The wallet is always told what is left for the fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpendingCap(MilliSat);

/// What is left for the routing fee of one payment: cap minus amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeeLimit(MilliSat);

impl SpendingCap {
    /// A cap of `most`, amount and fee together.
    pub fn new(most: MilliSat) -> Self {
        Self(most)
    }

    /// The cap itself.
    pub fn most(self) -> MilliSat {
        self.0
    }

    /// The fee limit for a payment of `amount`, or `None` if the amount alone is over the cap.
    pub fn fee_limit(self, amount: MilliSat) -> Option<FeeLimit> {
        self.0.checked_sub(amount).map(FeeLimit)
    }
}

impl FeeLimit {
    /// The most the wallet may add for routing.
    pub fn most(self) -> MilliSat {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn amount_and_fee_never_exceed_the_cap(cap: u64, amount: u64) {
            let limit = SpendingCap::new(MilliSat::from_msat(cap)).fee_limit(MilliSat::from_msat(amount));
            match limit {
                None => prop_assert!(amount > cap),
                Some(fee) => prop_assert_eq!(u128::from(amount) + u128::from(fee.most().as_msat()), u128::from(cap)),
            }
        }
    }
}
