//! The sections of a metered service: what is counted, how much one invoice buys, and what a request costs.

use super::{
    section::{
        FromNode, List,
        Presence::{Absent, Default, Required},
        Reader, Shape, section,
    },
    tree::{Node, ScalarKind, Value},
    value::{
        BodySize, CostHeader, CostUnits, EventFloor, PackPrice, PackUnits, Seconds, UnitBytes, UnitWord,
    },
};
use l402::Name;
use l402_paywall::{
    ledger::Abandoned,
    meter::{Charge, Direction, JsonPath},
};

section! {
    /// A meter: one invoice buys a pack of units, and each request spends some. Before a request goes upstream, what it
    /// may cost at most is set aside; afterwards it is charged what it did cost.
    MeterSection {
        /// What is counted: `request`, `byte`, `second`, `token`, or a name of your own. Buyers see it.
        unit: UnitWord = Required, "request";
        /// How many units one invoice of the service's `price` buys. Sold tokens keep the number they were sold with.
        pack: PackUnits = Required, "100";
        /// Further packs, for buyers who ask for one by its name (header `L402-Pack`). The one of `price` and `pack` is
        /// named `default`.
        packs: List<PackSection> = Absent("only the one"), "[{ name: large, pack: 1000, price: 80 sat }]";
        /// What a request costs: a number of units, or a section that says where the number is found.
        cost: Cost = Required, "1";
        /// What a request costs when the upstream failed before the first byte of its answer (no answer, not in time, 5xx):
        /// nothing (`release`), or what was measured (`keep`). What never reached the upstream costs nothing.
        on_error: Charge = Default("release"), "keep";
        /// The same when the upstream answered 4xx.
        on_client_error: Charge = Default("keep"), "release";
        /// The same when the upstream broke off in the middle of its answer.
        on_cut: Charge = Default("keep"), "release";
        /// The same when the client left before the end.
        on_abort: Charge = Default("keep"), "release";
        /// The same when the upstream answered 304.
        on_not_modified: Charge = Default("keep"), "release";
        /// The same for `HEAD` requests.
        on_head: Charge = Default("keep"), "release";
        /// What becomes of the units set aside for requests whose gateway crashed: they go back to the buyer
        /// (`release`), or are charged (`charge`). All metered services share one rule.
        on_crash: Abandoned = Default("release"), "charge";
        /// Makes retries safe: a request that repeats an earlier one with the same `Idempotency-Key` gets the stored
        /// answer and is not charged again.
        idempotency: IdempotencySection = Absent("`Idempotency-Key` means nothing to the gateway"), "{ keep: 1h }";
    }
}

section! {
    /// A pack of units that buyers can choose.
    PackSection {
        /// What buyers call it.
        name: Name = Required, "large";
        /// How many units it has.
        pack: PackUnits = Required, "1000";
        /// What it costs.
        price: PackPrice = Required, "80 sat";
    }
}

section! {
    /// Where the cost of a request is found: exactly one of `header`, `json`, `sse`, `bytes` and `time`.
    CostSection {
        /// The header of the answer in which the upstream says it.
        header: CostHeader = Absent("not there"), "L402-Cost";
        /// A number in the JSON body of the answer: member names and array indices with dots between them.
        json: JsonPath = Absent("not there"), "usage.total_tokens";
        /// A number in the last chunk of a stream of events, as language models send it. The gateway makes the upstream
        /// send that chunk, whatever the client asks for.
        sse: JsonPath = Absent("not there"), "usage.total_tokens";
        /// The bytes of whose bodies are counted: of the `response`, the `request`, or `both`.
        bytes: Direction = Absent("not counted"), "response";
        /// Time is counted, from the request's arrival to the last byte of its answer, in units as long as this. Begun
        /// units count.
        time: Seconds = Absent("not counted"), "1s";
        /// With `header`, `json` and `sse`, where it is required: how many units are set aside, and the most that a
        /// request is charged.
        max: CostUnits = Absent("required with `header`, `json` and `sse`"), "8000";
        /// With `sse`: what each event with content costs where the number never comes, because the client left or the
        /// upstream kept it to itself.
        floor: EventFloor = Absent("`1`"), "1";
        /// With `bytes`: how many bytes one unit is. Begun units count.
        per: UnitBytes = Absent("`1B`"), "1KiB";
        /// With `bytes` and `time`: how many units are set aside at a time, the first of them before the request goes
        /// upstream.
        step: CostUnits = Absent("256 KiB or 10 seconds worth of units, at least one, at most the smallest pack"), "64";
    }
}

section! {
    /// How requests with an `Idempotency-Key` are remembered.
    IdempotencySection {
        /// How long.
        keep: Seconds = Default("24h"), "1h";
        /// Largest body of an answer that is stored; a larger one is charged, and cannot be replayed.
        answer: BodySize = Default("64KiB"), "16KiB";
        /// Largest body of a request that can be told from another.
        request: BodySize = Default("64KiB"), "16KiB";
    }
}

/// What a request costs: a number, or where it is found.
#[derive(Clone, Debug)]
pub(super) enum Cost {
    Fixed(CostUnits),
    Found(Box<CostSection>),
}

impl FromNode for Cost {
    fn shape() -> Shape {
        Shape::Either(vec![CostUnits::shape(), CostSection::shape()])
    }

    fn from_node(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            Value::Mapping(_) => {
                CostSection::from_node(node, reader).map(|section| Self::Found(Box::new(section)))
            }
            Value::Scalar(scalar) if scalar.kind() == ScalarKind::Number => {
                CostUnits::from_node(node, reader).map(Self::Fixed)
            }
            _ => {
                reader.mismatch(node, Self::shape().expected());
                None
            }
        }
    }
}
