//! How a metered service sells: packs of units, what a request costs, and what it costs when it goes wrong.

use crate::ledger::{Abandoned, Units};
use l402::Name;
use l402_lightning::MilliSat;
use std::fmt;

/// A service's meter. Prepaid: one invoice buys a pack of units, and requests spend them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterSpec {
    /// What is counted.
    pub unit: UnitName,
    /// What can be bought by the service's own price; the first is sold to who does not choose. Never empty.
    pub packs: Vec<Pack>,
    /// What a request costs.
    pub cost: CostRule,
    /// What a request costs that did not go well.
    pub charging: Charging,
    /// What becomes of reservations that a crash left behind.
    pub abandoned: Abandoned,
    /// Whether `Idempotency-Key` is honoured, and how.
    pub idempotency: Option<Idempotency>,
}

/// The name of a unit: `request`, `byte`, `second`, `token`, or one of the seller's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitName(pub Name);

/// Units that one invoice buys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// What buyers call it, in `L402-Pack`.
    pub name: Name,
    /// How many units.
    pub units: Units,
    /// What they cost.
    pub price: MilliSat,
}

/// What a request costs, in units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CostRule {
    /// Always the same.
    Fixed(Units),
    /// What the upstream says in `L402-Cost`.
    Header {
        /// What is set aside before, and the most that is charged.
        max: Units,
    },
    /// A number in the JSON body of the answer.
    Json {
        /// Where it is.
        path: JsonPath,
        /// What is set aside before, and the most that is charged.
        max: Units,
    },
    /// A number in the last chunk of a stream of events, as language models send it.
    Events {
        /// Where it is, in the data of an event.
        path: JsonPath,
        /// What is set aside before, and the most that is charged.
        max: Units,
        /// What each event with content costs at least, where the number never comes.
        floor_per_event: Units,
    },
    /// Bytes of the bodies.
    Bytes {
        /// Whose.
        of: Direction,
        /// How many bytes one unit is; begun units count.
        per_unit: u64,
        /// How many units are set aside at a time.
        step: Units,
    },
    /// Time that the answer takes, from the request's arrival to its last byte, in begun units.
    Time {
        /// How many seconds one unit is.
        secs_per_unit: u64,
        /// How many units are set aside at a time.
        step: Units,
    },
}

/// Whose bytes are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The request's.
    Request,
    /// The answer's.
    Response,
    /// Both.
    Both,
}

/// A place in a JSON document: member names and array indices, written `usage.total_tokens` or `items.0.cost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath(Box<[Box<str>]>);

/// Text is not a [`JsonPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a path is member names and array indices with dots between them, e.g. `usage.total_tokens`; at most 8"
)]
pub struct JsonPathError;

/// Which requests are charged although they did not go well. Whatever is charged is what was measured; `Release` charges
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charging {
    /// The upstream failed before the first byte of its answer: not reached, not in time, or 5xx.
    pub on_error: Charge,
    /// The upstream answered 4xx.
    pub on_client_error: Charge,
    /// The upstream broke off in the middle of its answer.
    pub on_cut: Charge,
    /// The client left before the end.
    pub on_abort: Charge,
    /// The upstream answered 304.
    pub on_not_modified: Charge,
    /// The request was a `HEAD`.
    pub on_head: Charge,
}

/// Whether a request is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// As measured.
    Keep,
    /// Not at all.
    Release,
}

/// How `Idempotency-Key` is honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Seconds that an answer is kept.
    pub keep_secs: u64,
    /// Largest answer that is kept, in bytes of its body.
    pub answer_bytes_max: usize,
    /// Largest request that can be told from another, in bytes of its body.
    pub request_bytes_max: usize,
}

/// What a request cost, as far as it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// So many units.
    Known(Units),
    /// Nobody could say: what was set aside is charged, and it is counted.
    Unknown,
}

/// What one kind of request costs: a rule's part of its service's meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// What is counted.
    pub unit: UnitName,
    /// What a request costs.
    pub cost: CostRule,
    /// What a request costs that did not go well.
    pub charging: Charging,
    /// Whether `Idempotency-Key` is honoured, and how.
    pub idempotency: Option<Idempotency>,
}

impl Meter {
    /// What is set aside before the request goes upstream.
    pub fn estimate(&self) -> Units {
        self.cost.estimate()
    }

    /// Whether more is set aside while the answer is under way.
    pub fn grows(&self) -> bool {
        matches!(self.cost, CostRule::Bytes { .. } | CostRule::Time { .. })
    }

    /// Whether the upstream has to answer without compression, because its body is read.
    pub fn reads_body(&self) -> bool {
        matches!(self.cost, CostRule::Json { .. } | CostRule::Events { .. })
    }
}

impl CostRule {
    /// What is set aside before the request goes upstream.
    pub fn estimate(&self) -> Units {
        match self {
            Self::Fixed(units) => *units,
            Self::Header { max } | Self::Json { max, .. } | Self::Events { max, .. } => *max,
            Self::Bytes { step, .. } | Self::Time { step, .. } => *step,
        }
    }
}

impl JsonPath {
    const STEPS_MAX: usize = 8;

    /// Reads `usage.total_tokens`.
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        let steps: Box<[Box<str>]> = text.split('.').map(Box::from).collect();
        let is_step = |step: &str| !step.is_empty() && step.len() <= 64 && !step.contains(char::is_control);
        let is_path = steps.len() <= Self::STEPS_MAX && steps.iter().all(|step| is_step(step));
        if is_path { Ok(Self(steps)) } else { Err(JsonPathError) }
    }

    /// The value at this place of `document`, if there is one.
    pub fn find<'v>(&self, document: &'v serde_json::Value) -> Option<&'v serde_json::Value> {
        self.0.iter().try_fold(document, |value, step| match value {
            serde_json::Value::Object(members) => members.get(&**step),
            serde_json::Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Default for Charging {
    /// An upstream's failure costs nothing; whatever reached it and was answered does.
    fn default() -> Self {
        Self {
            on_error: Charge::Release,
            on_client_error: Charge::Keep,
            on_cut: Charge::Keep,
            on_abort: Charge::Keep,
            on_not_modified: Charge::Keep,
            on_head: Charge::Keep,
        }
    }
}

impl Default for Idempotency {
    fn default() -> Self {
        Self { keep_secs: 86_400, answer_bytes_max: 64 << 10, request_bytes_max: 64 << 10 }
    }
}

/// Reads a number of units that an upstream wrote: canonical decimal, nothing else.
pub fn read_units(text: &[u8]) -> Option<Units> {
    let is_canonical = text.iter().all(u8::is_ascii_digit) && (text.len() == 1 || !text.starts_with(b"0"));
    let text = str::from_utf8(text).ok().filter(|_| is_canonical)?;
    text.parse().ok().and_then(Units::new)
}
