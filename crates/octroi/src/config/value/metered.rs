//! Units, packs and costs.

use super::quantity::whole;
use crate::config::{
    problem::{Fault, resembling},
    section::{Form, FromScalar},
};
use l402::Name;
use l402_lightning::MilliSat;
use l402_paywall::{
    ProblemKind,
    ledger::Units,
    meter::{JsonPath, UnitName},
};

/// The units that need no explanation.
const UNITS: [&str; 4] = ["request", "byte", "second", "token"];

/// At least one unit, and no more than a store can hold.
const UNIT_COUNT: Form = Form::Count { least: 1, most: Units::MAX.get() };

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct UnitWord(pub(in crate::config) UnitName);

impl FromScalar for UnitWord {
    const FORM: Form = Form::Text {
        what: "`request`, `byte`, `second`, `token`, or a name of your own: 1 to 64 of `a-z`, `0-9`, `_` and `-`",
        pattern: "^[a-z0-9][a-z0-9_-]{0,63}$",
        units: &[],
    };

    fn parse(text: &str) -> Result<Self, Fault> {
        let is_known = UNITS.contains(&text);
        // `tokens` is no unit of its own but a slip of the hand.
        if let Some(meant) = resembling(text, UNITS).filter(|_| !is_known) {
            let words = UNITS.to_vec();
            return Err(Fault::UnknownWord { word: text.to_owned(), suggestion: Some(meant), words });
        }
        Name::try_from(text).map(|name| Self(UnitName(name))).map_err(|_| Self::malformed(text))
    }
}

/// Units of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct PackUnits(pub(in crate::config) Units);

impl FromScalar for PackUnits {
    const FORM: Form = UNIT_COUNT;

    fn parse(text: &str) -> Result<Self, Fault> {
        if text == "0" {
            return Err(Fault::Service(ProblemKind::EmptyPack));
        }
        units(text).map(Self).ok_or_else(|| Self::malformed(text))
    }
}

/// Units that a request costs, or that are set aside for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct CostUnits(pub(in crate::config) Units);

impl FromScalar for CostUnits {
    const FORM: Form = UNIT_COUNT;

    fn parse(text: &str) -> Result<Self, Fault> {
        if text == "0" {
            return Err(Fault::Service(ProblemKind::ZeroCost));
        }
        units(text).map(Self).ok_or_else(|| Self::malformed(text))
    }
}

/// Units that an event costs at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct EventFloor(pub(in crate::config) Units);

impl FromScalar for EventFloor {
    const FORM: Form = UNIT_COUNT;

    fn parse(text: &str) -> Result<Self, Fault> {
        units(text).map(Self).ok_or_else(|| Self::malformed(text))
    }
}

/// What a pack costs. Zero is refused here, where its place is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct PackPrice(pub(in crate::config) MilliSat);

impl FromScalar for PackPrice {
    const FORM: Form = MilliSat::FORM;

    fn parse(text: &str) -> Result<Self, Fault> {
        let price = <MilliSat as FromScalar>::parse(text)?;
        if price.as_msat() == 0 { Err(Fault::Service(ProblemKind::ZeroPrice)) } else { Ok(Self(price)) }
    }
}

/// The header in which an upstream says what a request cost. It is one header and no other, because it is taken out of
/// what clients send and written anew for buyers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct CostHeader;

impl FromScalar for CostHeader {
    const FORM: Form = Form::Text {
        what: "`L402-Cost`, the one header in which an upstream can say what a request cost",
        pattern: "^[Ll]402-[Cc][Oo][Ss][Tt]$",
        units: &[],
    };

    fn parse(text: &str) -> Result<Self, Fault> {
        // Names of headers have no case (RFC 9110 section 5.1).
        if text.eq_ignore_ascii_case("l402-cost") { Ok(Self) } else { Err(Self::malformed(text)) }
    }
}

impl FromScalar for JsonPath {
    const FORM: Form = Form::Text {
        what: "a place in JSON, e.g. `usage.total_tokens` or `items.0.cost`: up to 8 member names and array indices",
        pattern: r"^[^.]+(\.[^.]+){0,7}$",
        units: &[],
    };

    fn parse(text: &str) -> Result<Self, Fault> {
        Self::parse(text).map_err(|_| Self::malformed(text))
    }
}

fn units(text: &str) -> Option<Units> {
    whole(text).filter(|count| *count > 0).and_then(Units::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_whole_numbers_that_every_store_can_hold() {
        assert_eq!(PackUnits::parse("9223372036854775807").expect("the most").0, Units::MAX);
        assert_eq!(CostUnits::parse("1").expect("the least").0, Units::ONE);
        for text in ["9223372036854775808", "18446744073709551616", "-1", "+1", "01", "1.0", "1e3", "0x1", ""]
        {
            assert!(PackUnits::parse(text).is_err(), "{text}");
            assert!(CostUnits::parse(text).is_err(), "{text}");
            assert!(EventFloor::parse(text).is_err(), "{text}");
        }
        assert!(matches!(PackUnits::parse("0"), Err(Fault::Service(ProblemKind::EmptyPack))));
        assert!(matches!(CostUnits::parse("0"), Err(Fault::Service(ProblemKind::ZeroCost))));
        assert!(EventFloor::parse("0").is_err());
        assert!(matches!(PackPrice::parse("0 msat"), Err(Fault::Service(ProblemKind::ZeroPrice))));
    }

    #[test]
    fn a_unit_that_is_nearly_a_known_one_is_a_slip_of_the_hand() {
        for text in ["request", "byte", "second", "token", "page", "gpu-hour", "word"] {
            assert_eq!(UnitWord::parse(text).expect(text).0.to_string(), text);
        }
        for (text, meant) in
            [("requests", "request"), ("bytes", "byte"), ("secnod", "second"), ("Token", "token")]
        {
            let fault = UnitWord::parse(text).expect_err(text);
            assert!(
                matches!(fault, Fault::UnknownWord { suggestion: Some(to), .. } if to == meant),
                "{fault}"
            );
        }
        assert!(matches!(UnitWord::parse("GPU hour"), Err(Fault::Malformed { .. })));
    }

    #[test]
    fn a_cost_is_told_in_one_header() {
        assert!(CostHeader::parse("L402-Cost").is_ok() && CostHeader::parse("l402-cost").is_ok());
        for text in ["L402-Costs", "X-Cost", "L402-Cost ", ""] {
            assert!(CostHeader::parse(text).is_err(), "{text}");
        }
    }
}
