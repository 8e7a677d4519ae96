//! What the gateways of a world sell, and by which rules.

use crate::dice::Dice;
use l402::{Name, UnknownCaveats};
use l402_lightning::MilliSat;
use l402_paywall::{
    AccessMode, PathOddities, PathPattern, RouteSpec, ServiceSpec,
    ledger::{Abandoned, Units},
    meter::{Charge, Charging, CostRule, Direction, Idempotency, JsonPath, MeterSpec, Pack, UnitName},
};

/// Longer than any world lasts, in seconds.
const FOR_EVER_SECS: u64 = 1_000_000_000;
/// Largest answer that is kept for its `Idempotency-Key`, in bytes.
pub(crate) const KEPT_BYTES_MAX: u64 = 24;

/// The prices of requests, which stay the same in all of a world.
#[derive(Clone, Debug)]
pub(crate) struct Tariff {
    /// Units of a request by [`Route::Fixed`].
    pub(crate) fixed: u64,
    /// Most units of a request by [`Route::Said`] and [`Route::Written`].
    pub(crate) max: u64,
    /// Units that are set aside at a time by [`Route::Bytes`] and [`Route::Seconds`].
    pub(crate) step: u64,
    pub(crate) policy: Policy,
    pub(crate) on_crash: Abandoned,
}

/// What is charged although it did not go well.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent rules")]
pub(crate) struct Policy {
    pub(crate) on_error: bool,
    pub(crate) on_client_error: bool,
    pub(crate) on_cut: bool,
    pub(crate) on_abort: bool,
}

/// The ways of counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Always the same.
    Fixed,
    /// In the head of the answer.
    Said,
    /// In the body of the answer.
    Written,
    /// A unit a byte.
    Bytes,
    /// A unit a second.
    Seconds,
}

/// A pack as it is sold for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sold {
    pub(crate) msat: u64,
    pub(crate) units: u64,
}

impl Tariff {
    pub(crate) fn draw(dice: &Dice) -> Self {
        let policy = if dice.chance(60) {
            Policy { on_error: false, on_client_error: true, on_cut: true, on_abort: true }
        } else {
            let even = || dice.chance(50);
            Policy { on_error: even(), on_client_error: even(), on_cut: even(), on_abort: even() }
        };
        Self {
            fixed: dice.between(1, 4),
            max: dice.between(2, 8),
            step: dice.between(1, 5),
            policy,
            on_crash: if dice.chance(65) { Abandoned::Release } else { Abandoned::Charge },
        }
    }

    /// The one service, as a gateway is configured that sells these packs.
    pub(crate) fn service(&self, packs: [Sold; 2]) -> ServiceSpec {
        let [default, large] = packs;
        let pack = |label: &str, sold: Sold| Pack {
            name: name(label),
            units: units(sold.units),
            price: MilliSat::from_msat(sold.msat),
        };
        let meter = MeterSpec {
            unit: UnitName(name("unit")),
            packs: vec![pack("default", default), pack("large", large)],
            cost: Route::Fixed.cost(self),
            charging: self.charging(),
            abandoned: self.on_crash,
            idempotency: Some(Idempotency {
                keep_secs: FOR_EVER_SECS,
                answer_bytes_max: usize::try_from(KEPT_BYTES_MAX).unwrap(),
                request_bytes_max: 0,
            }),
        };
        ServiceSpec {
            name: name("weather"),
            hosts: Vec::new(),
            path: PathPattern::parse("/").unwrap(),
            access: AccessMode::Paid,
            price: Some(MilliSat::from_msat(default.msat)),
            valid_for_secs: None,
            tier: 0,
            capabilities: Vec::new(),
            constraints: Vec::new(),
            legacy_lsat: false,
            unknown_caveats: UnknownCaveats::Skip,
            cors: None,
            allow_in_path: PathOddities::NONE,
            skip_invoice: false,
            meter: Some(meter),
            free_requests: None,
            routes: Route::ALL.iter().map(|route| route.spec(self)).collect(),
        }
    }

    fn charging(&self) -> Charging {
        let keep = |keeps| if keeps { Charge::Keep } else { Charge::Release };
        Charging {
            on_error: keep(self.policy.on_error),
            on_client_error: keep(self.policy.on_client_error),
            on_cut: keep(self.policy.on_cut),
            on_abort: keep(self.policy.on_abort),
            ..Charging::default()
        }
    }
}

impl Policy {
    /// Whether an answer with this status that came whole is charged.
    pub(crate) fn keeps(self, status: u16) -> bool {
        match status {
            500.. => self.on_error,
            400.. => self.on_client_error,
            _ => true,
        }
    }
}

impl Route {
    pub(crate) const ALL: [Self; 5] = [Self::Fixed, Self::Said, Self::Written, Self::Bytes, Self::Seconds];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Fixed => "/fixed",
            Self::Said => "/said",
            Self::Written => "/written",
            Self::Bytes => "/bytes",
            Self::Seconds => "/seconds",
        }
    }

    fn cost(self, tariff: &Tariff) -> CostRule {
        let (max, step) = (units(tariff.max), units(tariff.step));
        match self {
            Self::Fixed => CostRule::Fixed(units(tariff.fixed)),
            Self::Said => CostRule::Header { max },
            Self::Written => CostRule::Json { path: JsonPath::parse("cost").unwrap(), max },
            Self::Bytes => CostRule::Bytes { of: Direction::Response, per_unit: 1, step },
            Self::Seconds => CostRule::Time { secs_per_unit: 1, step },
        }
    }

    fn spec(self, tariff: &Tariff) -> RouteSpec {
        RouteSpec {
            path: PathPattern::parse(self.path()).unwrap(),
            methods: Vec::new(),
            access: None,
            price: None,
            capability: None,
            skip_invoice: None,
            cost: Some(self.cost(tariff)),
            packs: Vec::new(),
        }
    }
}

pub(crate) fn units(count: u64) -> Units {
    Units::new(count).unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}
