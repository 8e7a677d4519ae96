//! What a metered service counts.

use std::fmt;

/// A number of whatever a service sells: requests, bytes, seconds, model tokens. At most `i64::MAX`, so that every store
/// can hold it; arithmetic is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Units(u64);

impl Units {
    /// None.
    pub const ZERO: Self = Self(0);
    /// One.
    pub const ONE: Self = Self(1);
    /// The most that can be counted.
    pub const MAX: Self = Self(i64::MAX.unsigned_abs());

    /// That many, if they can be counted.
    pub const fn new(count: u64) -> Option<Self> {
        if count <= Self::MAX.0 { Some(Self(count)) } else { None }
    }

    /// How many.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// How many, as stores keep them.
    pub const fn signed(self) -> i64 {
        self.0.cast_signed()
    }

    /// What a store kept; `None` for a number that cannot have been put there.
    pub const fn from_signed(count: i64) -> Option<Self> {
        if count < 0 { None } else { Some(Self(count.cast_unsigned())) }
    }

    /// The sum, if it can be counted.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::new)
    }

    /// What is left, if there is enough.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// What is left, or nothing.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The sum, or the most that can be counted.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0)).min(Self::MAX)
    }
}

impl From<u32> for Units {
    fn from(count: u32) -> Self {
        Self(u64::from(count))
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
