//! How many files and sockets the process may have open. Systems give little and allow more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A request has its client's connection and its upstream's.
const PER_CONNECTION: u64 = 2;
/// Listeners, logs, files, runtimes.
const BESIDE: u64 = 64;

/// Takes as many descriptors as the system allows, and says so where that is less than `connections` need.
pub(super) fn take_enough_for(connections: usize) {
    let needed = PER_CONNECTION.saturating_mul(connections as u64).saturating_add(BESIDE);
    let limit = getrlimit(Resource::Nofile);
    let mut taken = limit.current;
    if taken.is_some_and(|taken| taken < needed) {
        let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, wanted).is_ok() {
            taken = limit.maximum;
        }
    }
    if let Some(taken) = taken.filter(|taken| *taken < needed) {
        tracing::warn!(
            allowed = taken,
            needed,
            connections,
            "the system allows fewer open files than `limits.connections` may need: raise its limit (ulimit -n, LimitNOFILE), \
             or lower the key"
        );
    }
}
