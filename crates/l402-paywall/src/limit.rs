//! How many challenges are minted: per client network, per service and in all, asked before a price is looked up or a
//! node is called.
//!
//! Each limit is a bucket of tokens that refills evenly. Client networks share two rows of slots instead of owning an
//! entry each: memory is fixed, nothing is evicted, and no flood of addresses can make the table forget a busy one. A
//! network is refused only when its slots in both rows are full, so two networks disturb each other only if they
//! collide twice under keys drawn at start.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

/// One purchase may ask twice before it pays, and people retry; fewer than this would lock buyers out.
const BURST_MIN: u64 = 5;
/// Slots per row: 256 KiB for two rows.
const SLOTS: usize = 16_384;
const NANOS_PER_SEC: u64 = 1_000_000_000;

/// So many per so long: a bucket of `count` tokens that refills evenly over the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens; zero refuses everything.
    pub count: u32,
    /// Seconds in which the bucket refills.
    pub period_secs: u32,
}

/// The limits of a mint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MintLimits {
    /// For one client network (IPv4 /24, IPv6 /48).
    pub per_network: Rate,
    /// For one service.
    pub per_service: Rate,
    /// For the gateway.
    pub total: Rate,
}

impl Default for MintLimits {
    fn default() -> Self {
        Self {
            per_network: Rate { count: 30, period_secs: 60 },
            per_service: Rate { count: 200, period_secs: 1 },
            total: Rate { count: 1000, period_secs: 1 },
        }
    }
}

/// Which limit was reached, and in how many seconds to come back (at least one).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitReached {
    /// The client's own.
    Network { retry_secs: u64 },
    /// The service's or the gateway's.
    Budget { retry_secs: u64 },
}

/// How often a client network was served before its first 402. Outlives a reload.
#[derive(Debug)]
pub(crate) struct Courtesy(Sketch);

impl Courtesy {
    pub(crate) fn new() -> Self {
        Self(Sketch::new(SLOTS))
    }

    /// Whether the network of `client` has a request left.
    pub(crate) fn take(&self, rate: Rate, client: IpAddr, service: &str, now_ns: u64) -> bool {
        let slots = self.0.slots((network_of(client), service));
        rate.count > 0 && take_any(slots, Pace::with_burst(rate, 1), now_ns).is_ok()
    }
}

/// The buckets. They outlive a reload, so that a reload is no way around them.
#[derive(Debug)]
pub(crate) struct MintLimiter {
    networks: Sketch,
    services: Sketch,
    total: AtomicU64,
}

impl MintLimiter {
    pub(crate) fn new() -> Self {
        Self { networks: Sketch::new(SLOTS), services: Sketch::new(1024), total: AtomicU64::new(0) }
    }

    /// Takes one token from each bucket, or from none.
    pub(crate) fn take(
        &self,
        limits: &MintLimits,
        client: IpAddr,
        service: &str,
        now_ns: u64,
    ) -> Result<(), LimitReached> {
        let network = self.networks.slots(network_of(client));
        let service = self.services.slots(service);
        let network_pace = Pace::of(limits.per_network);
        let service_pace = Pace::of(limits.per_service);
        let budget = |wait_ns| LimitReached::Budget { retry_secs: secs(wait_ns) };
        let from_network = take_any(network, network_pace, now_ns)
            .map_err(|wait_ns| LimitReached::Network { retry_secs: secs(wait_ns) })?;
        let from_service = take_any(service, service_pace, now_ns).map_err(|wait_ns| {
            give_back(from_network, network_pace);
            budget(wait_ns)
        })?;
        Pace::of(limits.total).take(&self.total, now_ns).map_err(|wait_ns| {
            give_back(from_network, network_pace);
            give_back(from_service, service_pace);
            budget(wait_ns)
        })
    }
}

fn secs(wait_ns: u64) -> u64 {
    wait_ns.div_ceil(NANOS_PER_SEC).max(1)
}

/// IPv4 by /24, IPv6 by /48: what one customer of a network usually holds.
fn network_of(client: IpAddr) -> [u8; 6] {
    match client.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            [4, a, b, c, 0, 0]
        }
        IpAddr::V6(address) => {
            let mut site = [0; 6];
            site.copy_from_slice(&address.octets()[..6]);
            site
        }
    }
}

/// A bucket's speed. The bucket itself is one number: the time at which it will be full again (the generic cell rate
/// algorithm, ITU-T I.371).
#[derive(Clone, Copy)]
struct Pace {
    interval_ns: u64,
    depth_ns: u64,
}

impl Pace {
    fn of(rate: Rate) -> Self {
        Self::with_burst(rate, BURST_MIN)
    }

    fn with_burst(rate: Rate, burst_min: u64) -> Self {
        let period_ns = u64::from(rate.period_secs).saturating_mul(NANOS_PER_SEC);
        let interval_ns = period_ns.checked_div(u64::from(rate.count)).unwrap_or(u64::MAX);
        let burst = u64::from(rate.count).max(burst_min);
        let depth_ns = if rate.count == 0 { 0 } else { interval_ns.saturating_mul(burst) };
        Self { interval_ns, depth_ns }
    }

    /// Takes one token, or says in how many nanoseconds there will be one.
    fn take(self, full_at: &AtomicU64, now_ns: u64) -> Result<(), u64> {
        let next = |full_at: u64| full_at.max(now_ns).saturating_add(self.interval_ns);
        let limit = now_ns.saturating_add(self.depth_ns);
        full_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| Some(next(at)).filter(|at| *at <= limit))
            .map(drop)
            .map_err(|at| next(at).saturating_sub(limit))
    }
}

/// Takes from every slot that has a token; one is enough. Returns the slots taken from.
fn take_any(slots: [&AtomicU64; 2], pace: Pace, now_ns: u64) -> Result<[Option<&AtomicU64>; 2], u64> {
    match slots.map(|slot| pace.take(slot, now_ns).map(|()| slot)) {
        [Err(a), Err(b)] => Err(a.min(b)),
        taken => Ok(taken.map(Result::ok)),
    }
}

fn give_back(taken: [Option<&AtomicU64>; 2], pace: Pace) {
    for slot in taken.into_iter().flatten() {
        slot.fetch_sub(pace.interval_ns, Ordering::Relaxed); // what `take` added just now
    }
}

/// Two rows of buckets under independent hashes.
struct Sketch {
    rows: [Vec<AtomicU64>; 2],
    hashers: [RandomState; 2],
}

impl Sketch {
    fn new(slots: usize) -> Self {
        let row = || (0..slots).map(|_| AtomicU64::new(0)).collect();
        Self { rows: [row(), row()], hashers: [RandomState::new(), RandomState::new()] }
    }

    fn slots(&self, key: impl std::hash::Hash) -> [&AtomicU64; 2] {
        let slot = |row: usize| {
            let slots = &self.rows[row];
            let hash = self.hashers[row].hash_one(&key) % slots.len() as u64;
            &slots[usize::try_from(hash).unwrap_or_default()]
        };
        [slot(0), slot(1)]
    }
}

impl std::fmt::Debug for Sketch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sketch").field("slots", &self.rows[0].len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: MintLimits = MintLimits {
        per_network: Rate { count: 10, period_secs: 10 },
        per_service: Rate { count: 100, period_secs: 1 },
        total: Rate { count: 1000, period_secs: 1 },
    };

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_network_gets_its_burst_then_its_rate_whatever_address_it_uses() {
        let limiter = MintLimiter::new();
        let mut now = 5 * NANOS_PER_SEC;
        let mut taken = 0;
        for attempt in 0..40 {
            taken += usize::from(limiter.take(&LIMITS, address(attempt), "weather", now).is_ok());
        }
        assert_eq!(taken, 10);
        let refused = limiter.take(&LIMITS, address(1), "weather", now);
        assert_eq!(refused, Err(LimitReached::Network { retry_secs: 1 }));
        now += NANOS_PER_SEC;
        assert_eq!(limiter.take(&LIMITS, address(7), "weather", now), Ok(()));
        assert!(limiter.take(&LIMITS, address(7), "weather", now).is_err());
        let other: IpAddr = IpAddr::from([198, 51, 100, 1]);
        assert_eq!(limiter.take(&LIMITS, other, "weather", now), Ok(()));
    }

    #[test]
    fn one_ipv6_customer_is_one_network_and_mapped_ipv4_is_ipv4() {
        let site = |host: u16| IpAddr::from([0x2001, 0xdb8, 0xa, host, 0, 0, 0, 1]);
        assert_eq!(network_of(site(1)), network_of(site(2)));
        let mapped: IpAddr = "::ffff:192.0.2.9".parse().expect("an address");
        assert_eq!(network_of(mapped), network_of(address(1)));
    }

    #[test]
    fn a_spent_budget_does_not_use_up_the_clients_own() {
        let limiter = MintLimiter::new();
        let none = MintLimits { total: Rate { count: 0, period_secs: 1 }, ..LIMITS };
        for _ in 0..50 {
            let refused = limiter.take(&none, address(1), "weather", NANOS_PER_SEC);
            assert!(matches!(refused, Err(LimitReached::Budget { .. })), "{refused:?}");
        }
        let burst = (0..20).filter(|_| limiter.take(&LIMITS, address(1), "weather", NANOS_PER_SEC).is_ok());
        assert_eq!(burst.count(), 10);
    }

    #[test]
    fn small_rates_still_let_one_purchase_ask_five_times() {
        let limiter = MintLimiter::new();
        let strict = MintLimits { per_network: Rate { count: 1, period_secs: 3600 }, ..LIMITS };
        let burst = (0..9).filter(|_| limiter.take(&strict, address(1), "weather", NANOS_PER_SEC).is_ok());
        assert_eq!(burst.count(), 5);
    }

    proptest! {
        /// However requests are spread over time, a bucket never gives more than its depth plus its rate.
        #[test]
        fn never_more_than_burst_plus_rate(gaps_ms in prop::collection::vec(0_u64..800, 1..200)) {
            let pace = Pace::of(LIMITS.per_network);
            let bucket = AtomicU64::new(0);
            let start = 3 * NANOS_PER_SEC;
            let mut now = start;
            let mut taken = 0_u64;
            for gap in gaps_ms {
                now += gap * 1_000_000;
                taken += u64::from(pace.take(&bucket, now).is_ok());
                prop_assert!(taken <= 10 + (now - start) / NANOS_PER_SEC);
            }
        }
    }
}
