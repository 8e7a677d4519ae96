//! Amounts, durations, sizes, rates and counts.

use crate::config::{
    problem::Fault,
    section::{Form, FromScalar},
};
use l402_lightning::{AmountError, MilliSat};
use l402_paywall::Rate;
use std::time::Duration;

const DAY_SECS: u64 = 86_400;
/// Longer than this is a slip of the hand, or means "for ever", which is said by leaving a key out.
const DAYS_MAX: u64 = 3_650;

impl FromScalar for MilliSat {
    const FORM: Form = Form::Text {
        what: "an amount with its unit, e.g. `10 sat` or `1500 msat`",
        pattern: "^[0-9]+ *m?sat$",
        units: &[" sat", " msat"],
    };

    fn parse(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|error| match error {
            AmountError::NoUnit { number } => {
                Fault::BareNumber { number: number.to_string(), units: &[" sat", " msat"] }
            }
            error => Fault::Amount(error),
        })
    }
}

/// A duration, to the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Period(pub(in crate::config) Duration);

impl FromScalar for Period {
    const FORM: Form = Form::Text {
        what: "a duration, e.g. `500ms`, `30s`, `5m`, `1h` or `7d`",
        pattern: "^[0-9]+(ms|s|m|h|d)$",
        units: &["s", "ms"],
    };

    fn parse(text: &str) -> Result<Self, Fault> {
        let millis = match number_and_unit(text) {
            Some((number, "ms")) => Some(number),
            Some((number, unit)) => {
                secs_per(unit).and_then(|secs| number.checked_mul(secs)?.checked_mul(1000))
            }
            None => None,
        };
        let millis = millis.ok_or_else(|| Self::malformed(text))?;
        if millis == 0 || millis > DAYS_MAX * DAY_SECS * 1000 {
            return Err(Fault::OutOfRange { text: text.to_owned(), least: "1ms", most: "3650d" });
        }
        Ok(Self(Duration::from_millis(millis)))
    }
}

/// A duration in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Seconds(pub(in crate::config) u32);

impl FromScalar for Seconds {
    const FORM: Form = Form::Text {
        what: "a duration in whole seconds, e.g. `30s`, `5m`, `1h` or `7d`",
        pattern: "^[0-9]+(s|m|h|d)$",
        units: &["s", "m", "h"],
    };

    fn parse(text: &str) -> Result<Self, Fault> {
        let (number, unit) = number_and_unit(text).ok_or_else(|| Self::malformed(text))?;
        let per_unit = secs_per(unit).ok_or_else(|| Self::malformed(text))?;
        let secs = number.checked_mul(per_unit).filter(|secs| (1..=DAYS_MAX * DAY_SECS).contains(secs));
        secs.and_then(|secs| u32::try_from(secs).ok()).map(Self).ok_or_else(|| Fault::OutOfRange {
            text: text.to_owned(),
            least: "1s",
            most: "3650d",
        })
    }
}

impl FromScalar for Rate {
    const FORM: Form = Form::Text {
        what: "a rate, e.g. `200/s`, `30/min`, `100/h` or `2/day`",
        pattern: "^[0-9]+/(s|min|h|day)$",
        units: &["/s", "/min", "/h", "/day"],
    };

    fn parse(text: &str) -> Result<Self, Fault> {
        let (count, unit) = text.split_once('/').ok_or_else(|| Self::malformed(text))?;
        let count = whole(count).ok_or_else(|| Self::malformed(text))?;
        let period_secs = match unit {
            "s" => 1,
            "min" => 60,
            "h" => 3600,
            "day" => 86_400,
            _ => return Err(Self::malformed(text)),
        };
        match u32::try_from(count) {
            Ok(count @ 1..=1_000_000_000) => Ok(Self { count, period_secs }),
            _ => Err(Fault::OutOfRange { text: text.to_owned(), least: "1/day", most: "1000000000/s" }),
        }
    }
}

/// The size of a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct HeadSize(pub(in crate::config) usize);

impl FromScalar for HeadSize {
    const FORM: Form = Form::Text {
        what: "a size, e.g. `64KiB`, `1MiB` or `16384B`",
        pattern: "^[0-9]+(B|KiB|MiB)$",
        units: &["B", "KiB", "MiB"],
    };

    fn parse(text: &str) -> Result<Self, Fault> {
        let bytes = bytes(text).ok_or_else(|| Self::malformed(text))?;
        // A credential alone may have 8 KiB (wire contract, section 2).
        within(bytes, 8 << 10, 16 << 20).map(Self).ok_or_else(|| Fault::OutOfRange {
            text: text.to_owned(),
            least: "8KiB",
            most: "16MiB",
        })
    }
}

/// The size of a body that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct BodySize(pub(in crate::config) usize);

impl FromScalar for BodySize {
    const FORM: Form = HeadSize::FORM;

    fn parse(text: &str) -> Result<Self, Fault> {
        let bytes = bytes(text).ok_or_else(|| Self::malformed(text))?;
        // Answers are rows of the ledger; larger ones would make it a file store.
        within(bytes, 1, 1 << 20).map(Self).ok_or_else(|| Fault::OutOfRange {
            text: text.to_owned(),
            least: "1B",
            most: "1MiB",
        })
    }
}

/// How many bytes one unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct UnitBytes(pub(in crate::config) u64);

impl FromScalar for UnitBytes {
    const FORM: Form = HeadSize::FORM;

    fn parse(text: &str) -> Result<Self, Fault> {
        let bytes = bytes(text).ok_or_else(|| Self::malformed(text))?;
        let is_unit = |bytes: &u64| (1..=1 << 30).contains(bytes);
        Some(bytes).filter(is_unit).map(Self).ok_or_else(|| Fault::OutOfRange {
            text: text.to_owned(),
            least: "1B",
            most: "1024MiB",
        })
    }
}

/// How many connections are held at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Connections(pub(in crate::config) usize);

impl FromScalar for Connections {
    const FORM: Form = Form::Count { least: 1, most: 1_000_000 };

    fn parse(text: &str) -> Result<Self, Fault> {
        let count = whole(text).filter(|count| (1..=1_000_000).contains(count));
        count.and_then(|count| usize::try_from(count).ok()).map(Self).ok_or_else(|| Self::malformed(text))
    }
}

/// A tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Tier(pub(in crate::config) u64);

impl FromScalar for Tier {
    const FORM: Form = Form::Count { least: 0, most: u64::MAX };

    fn parse(text: &str) -> Result<Self, Fault> {
        whole(text).map(Self).ok_or_else(|| Self::malformed(text))
    }
}

impl FromScalar for bool {
    const FORM: Form = Form::Flag;

    fn parse(text: &str) -> Result<Self, Fault> {
        Ok(text == "true")
    }
}

fn secs_per(unit: &str) -> Option<u64> {
    match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        "d" => Some(DAY_SECS),
        _ => None,
    }
}

/// `64KiB` in bytes; the most that can be counted where it is more than that.
fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let per_unit: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return None,
    };
    Some(number.saturating_mul(per_unit))
}

fn within(bytes: u64, least: u64, most: u64) -> Option<usize> {
    usize::try_from(bytes).ok().filter(|_| (least..=most).contains(&bytes))
}

/// `64KiB` to 64 and `KiB`.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((whole(number)?, unit))
}

/// A whole number in its one spelling: digits, no sign, no leading zero.
pub(super) fn whole(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_their_unit() {
        for (text, millis) in
            [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("7d", 604_800_000)]
        {
            assert_eq!(Period::parse(text).expect(text).0, Duration::from_millis(millis), "{text}");
        }
        for text in ["30", "s", "", "1.5h", "-1s", "05s", "1 h", "1h30m", "30S", "30sec", "1w", "٣s"] {
            assert!(matches!(Period::parse(text), Err(Fault::Malformed { .. })), "{text}");
            assert!(matches!(Seconds::parse(text), Err(Fault::Malformed { .. })), "{text}");
        }
        for text in ["0s", "3651d", "99999999999d"] {
            assert!(matches!(Seconds::parse(text), Err(Fault::OutOfRange { .. })), "{text}");
        }
        assert!(Period::parse("18446744073709551615d").is_err() && Period::parse("0ms").is_err());
        assert!(Seconds::parse("500ms").is_err());
        assert_eq!(Seconds::parse("3650d").expect("the longest").0, 315_360_000);
    }

    #[test]
    fn sizes_and_rates_carry_their_unit() {
        assert_eq!(HeadSize::parse("64KiB").expect("a size").0, 65_536);
        assert_eq!(HeadSize::parse("16MiB").expect("a size").0, 16_777_216);
        for text in ["64", "64KB", "64 KiB", "7KiB", "17MiB", "0B", "KiB", "18446744073709551615MiB"] {
            assert!(HeadSize::parse(text).is_err(), "{text}");
        }
        for text in ["1B", "64KiB", "1MiB"] {
            assert!(BodySize::parse(text).is_ok() && UnitBytes::parse(text).is_ok(), "{text}");
        }
        assert_eq!(UnitBytes::parse("1024MiB").expect("the largest").0, 1 << 30);
        for text in ["0B", "2048MiB", "1024", "1kB", "-1B", "18446744073709551615MiB"] {
            assert!(BodySize::parse(text).is_err() && UnitBytes::parse(text).is_err(), "{text}");
        }
        assert_eq!(Rate::parse("30/min").expect("a rate"), Rate { count: 30, period_secs: 60 });
        assert_eq!(Rate::parse("2/day").expect("a rate"), Rate { count: 2, period_secs: 86_400 });
        for text in ["30", "30/m", "30/minute", "0/s", "/s", "30 / min", "1.5/s", "4294967296/s"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tiers_are_canonical_whole_numbers() {
        assert_eq!(Tier::parse("18446744073709551615").expect("the largest").0, u64::MAX);
        for text in ["18446744073709551616", "-1", "+1", "01", "1.0", "0x1", "1e3"] {
            assert!(Tier::parse(text).is_err(), "{text}");
        }
    }
}
