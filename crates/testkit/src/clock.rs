//! Time as an argument.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// A clock that moves when it is told to. Clones show the same time.
#[derive(Clone)]
pub struct VirtualClock {
    base: Base,
    offset_secs: Arc<AtomicU64>,
}

/// What a clock starts from.
#[derive(Clone, Copy)]
enum Base {
    Standing(u64),
    System,
}

impl VirtualClock {
    /// A clock that stands at `unix_secs`.
    pub fn standing_at(unix_secs: u64) -> Self {
        Self { base: Base::Standing(unix_secs), offset_secs: Arc::default() }
    }

    /// A clock that goes with the system's, for worlds that other processes live in too.
    pub fn following_the_system() -> Self {
        Self { base: Base::System, offset_secs: Arc::default() }
    }

    /// The time, in unix seconds.
    pub fn now(&self) -> u64 {
        let base = match self.base {
            Base::Standing(secs) => secs,
            Base::System => system_secs(),
        };
        base + self.offset_secs.load(Ordering::Relaxed)
    }

    /// Lets `secs` seconds pass.
    pub fn advance(&self, secs: u64) {
        self.offset_secs.fetch_add(secs, Ordering::Relaxed);
    }

    /// The clock as crates take it.
    pub fn as_fn(&self) -> Arc<dyn Fn() -> u64 + Send + Sync> {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }
}

impl fmt::Debug for VirtualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VirtualClock({})", self.now())
    }
}

#[expect(clippy::disallowed_methods, reason = "the one clock that goes with the system's")]
fn system_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_moves_for_all_who_hold_it() {
        let clock = VirtualClock::standing_at(1_000);
        let (read, other) = (clock.as_fn(), clock.clone());
        clock.advance(5);
        assert_eq!((clock.now(), read(), other.now()), (1_005, 1_005, 1_005));
    }
}
