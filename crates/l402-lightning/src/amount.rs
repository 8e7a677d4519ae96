//! Money: whole millisatoshis, checked arithmetic only, and a text form that always carries its unit.

use std::{fmt, str::FromStr};
use thiserror::Error;

/// Millisatoshis in one satoshi.
const MSAT_PER_SAT: u64 = 1_000;

/// An amount of money in millisatoshis.
///
/// There is no way to a bare integer but [`MilliSat::as_msat`] and no arithmetic that can wrap. The text form names
/// its unit: `10 sat`, `1500 msat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MilliSat(u64);

impl MilliSat {
    /// Nothing at all. Never a price: "free" is a word of its own.
    pub const ZERO: Self = Self(0);

    /// An amount of `msat` millisatoshis.
    pub const fn from_msat(msat: u64) -> Self {
        Self(msat)
    }

    /// An amount of `sat` satoshis; `None` if that is more than `u64` millisatoshis.
    pub const fn from_sat(sat: u64) -> Option<Self> {
        match sat.checked_mul(MSAT_PER_SAT) {
            Some(msat) => Some(Self(msat)),
            None => None,
        }
    }

    /// The amount in millisatoshis.
    pub const fn as_msat(self) -> u64 {
        self.0
    }

    /// The amount in satoshis, rounded up, for wallets and people that know nothing smaller.
    pub const fn sats_rounded_up(self) -> u64 {
        self.0.div_ceil(MSAT_PER_SAT)
    }

    /// `self + other`, or `None` beyond `u64` millisatoshis.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(msat) => Some(Self(msat)),
            None => None,
        }
    }

    /// `self - other`, or `None` below zero.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(msat) => Some(Self(msat)),
            None => None,
        }
    }

    /// `self * count`, or `None` beyond `u64` millisatoshis.
    pub const fn checked_mul(self, count: u64) -> Option<Self> {
        match self.0.checked_mul(count) {
            Some(msat) => Some(Self(msat)),
            None => None,
        }
    }
}

impl fmt::Display for MilliSat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(MSAT_PER_SAT) {
            write!(f, "{} sat", self.0 / MSAT_PER_SAT)
        } else {
            write!(f, "{} msat", self.0)
        }
    }
}

impl FromStr for MilliSat {
    type Err = AmountError;

    /// Reads `10 sat`, `10sat` or `1500 msat`: decimal digits without sign or leading zeros, spaces at will, a unit.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let text = text.trim_matches(' ');
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim_start_matches(' ');
        if number.is_empty() {
            return Err(AmountError::NotANumber);
        }
        if unit.starts_with(['.', ',']) {
            return Err(AmountError::Fraction);
        }
        if number.len() > 1 && number.starts_with('0') {
            return Err(AmountError::LeadingZero);
        }
        let number: u64 = number.parse().map_err(|_| AmountError::TooLarge)?;
        match unit {
            "sat" => Self::from_sat(number).ok_or(AmountError::TooLarge),
            "msat" => Ok(Self::from_msat(number)),
            "" => Err(AmountError::NoUnit { number }),
            _ => Err(AmountError::UnknownUnit),
        }
    }
}

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AmountError {
    /// A bare number: nobody can tell whether satoshis or millisatoshis were meant.
    #[error("the amount {number} has no unit: write `{number} sat` or `{number} msat`")]
    NoUnit {
        /// The number as it was read.
        number: u64,
    },
    /// The unit is neither `sat` nor `msat`.
    #[error("unknown unit: an amount is written like `10 sat` or `1500 msat`")]
    UnknownUnit,
    /// It does not start with a digit.
    #[error("not an amount: write it like `10 sat` or `1500 msat`")]
    NotANumber,
    /// It has a fraction.
    #[error("an amount is a whole number: write parts of a satoshi in `msat`, like `1500 msat`")]
    Fraction,
    /// It has leading zeros.
    #[error("an amount has no leading zeros")]
    LeadingZero,
    /// It is more than `u64` millisatoshis.
    #[error("the amount is too large")]
    TooLarge,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_amount_is_read_only_with_its_unit() {
        for (text, msat) in
            [("10 sat", 10_000), ("10sat", 10_000), ("1500 msat", 1_500), ("0 sat", 0), (" 1  sat ", 1_000)]
        {
            assert_eq!(text.parse(), Ok(MilliSat::from_msat(msat)), "{text}");
        }
        for (text, error) in [
            ("10", AmountError::NoUnit { number: 10 }),
            ("10 sats", AmountError::UnknownUnit),
            ("10 SAT", AmountError::UnknownUnit),
            ("10 btc", AmountError::UnknownUnit),
            ("10\tsat", AmountError::UnknownUnit),
            ("10 sat 5", AmountError::UnknownUnit),
            ("1e3 sat", AmountError::UnknownUnit),
            ("1.5 sat", AmountError::Fraction),
            ("1,000 sat", AmountError::Fraction),
            ("", AmountError::NotANumber),
            ("sat", AmountError::NotANumber),
            ("-1 sat", AmountError::NotANumber),
            ("+1 sat", AmountError::NotANumber),
            ("٣ sat", AmountError::NotANumber),
            ("010 sat", AmountError::LeadingZero),
            ("18446744073709551616 msat", AmountError::TooLarge),
            ("18446744073709552 sat", AmountError::TooLarge),
        ] {
            assert_eq!(text.parse::<MilliSat>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_answered_with_a_hint() {
        let error = "250".parse::<MilliSat>().unwrap_err().to_string();
        assert!(error.contains("`250 sat`") && error.contains("`250 msat`"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(msat: u64) {
            let amount = MilliSat::from_msat(msat);
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
        }

        #[test]
        fn arithmetic_is_exact_or_refused(a: u64, b: u64) {
            let exact = |value: u128| u64::try_from(value).ok().map(MilliSat::from_msat);
            let (x, y) = (MilliSat::from_msat(a), MilliSat::from_msat(b));
            prop_assert_eq!(x.checked_add(y), exact(u128::from(a) + u128::from(b)));
            prop_assert_eq!(x.checked_mul(b), exact(u128::from(a) * u128::from(b)));
            prop_assert_eq!(MilliSat::from_sat(a), exact(u128::from(a) * 1_000));
            prop_assert_eq!(x.checked_sub(y), (a >= b).then(|| MilliSat::from_msat(a - b)));
        }

        #[test]
        fn rounding_to_satoshis_never_loses_money(msat: u64) {
            let sats = u128::from(MilliSat::from_msat(msat).sats_rounded_up());
            prop_assert!(sats * 1_000 >= u128::from(msat) && sats * 1_000 < u128::from(msat) + 1_000);
        }

        #[test]
        fn any_text_is_an_amount_or_an_error(text: String) {
            if let Ok(amount) = text.parse::<MilliSat>() {
                prop_assert_eq!(amount.to_string().parse(), Ok(amount));
            }
        }
    }
}
