//! The outside world: the only place of the gateway that reads the clock or draws randomness.

use l402_paywall::{Entropy, Now};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Random bytes of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    /// A machine that cannot give random bytes cannot mint: the request that asked ends as an internal error.
    #[expect(
        clippy::disallowed_methods,
        clippy::expect_used,
        reason = "the edge; predictable ids must never be minted"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives random bytes");
    }
}

/// Both clocks, with one start for the monotonic one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts the monotonic clock.
    #[expect(clippy::disallowed_methods, reason = "the edge")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time on both clocks.
    pub fn now(&self) -> Now {
        let monotonic_ns = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Now { unix: unix_secs(), monotonic_ns }
    }
}

/// Seconds since 1970; zero on a machine whose clock is before that, so that nothing looks unexpired by accident.
#[expect(clippy::disallowed_methods, reason = "the edge")]
pub fn unix_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
