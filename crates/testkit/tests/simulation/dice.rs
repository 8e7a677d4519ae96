//! Chance, from a seed. Everything that could go one way or another in a world asks here.

use l402_paywall::Entropy;
use testkit::SeededEntropy;

/// Throws that are the same in every run with the same seed.
pub(crate) struct Dice(SeededEntropy);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    /// A number below `end`, which is not zero.
    pub(crate) fn below(&self, end: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % end
    }

    /// A number from `first` to `last`, both among them.
    pub(crate) fn between(&self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// Whether something happens that does so in `percent` of a hundred cases.
    pub(crate) fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A place in a list that is not empty.
    pub(crate) fn index(&self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    /// One of a list that is not empty.
    pub(crate) fn one_of<T: Copy>(&self, list: &[T]) -> T {
        list[self.index(list.len())]
    }

    /// One of several, each as likely as its weight says; `None` where all weights are zero.
    pub(crate) fn weighted<T: Copy>(&self, choices: &[(u64, T)]) -> Option<T> {
        let sum: u64 = choices.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(sum.max(1));
        choices.iter().find_map(|(weight, choice)| {
            let is_it = left < *weight;
            left = left.saturating_sub(*weight);
            is_it.then_some(*choice)
        })
    }
}

impl Entropy for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}
