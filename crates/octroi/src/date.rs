//! Points in time as people read them.

use std::fmt;

const DAY_SECS: u64 = 86_400;

/// A Unix time as RFC 3339 has it: `2026-11-21T06:30:00Z`.
pub(crate) struct Date(pub(crate) u64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i64::try_from(self.0).ok().and_then(|secs| jiff::Timestamp::from_second(secs).ok()) {
            Some(time) => write!(f, "{time}"),
            None => f.write_str("a time after the year 9999"),
        }
    }
}

/// A span of time in one unit: one of it, or the largest of which there are at least two.
pub(crate) struct Span(pub(crate) u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(DAY_SECS, "day"), (3600, "hour"), (60, "minute")];
        let fits = |secs: u64| self.0 >= 2 * secs || self.0 == secs;
        let (secs, unit) = units.into_iter().find(|(secs, _)| fits(*secs)).unwrap_or((1, "second"));
        let count = self.0 / secs;
        write!(f, "{count} {unit}{}", if count == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_utc() {
        for (unix, shown) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_763_700_000, "2025-11-21T04:40:00Z"),
            (u64::MAX, "a time after the year 9999"),
        ] {
            assert_eq!(Date(unix).to_string(), shown);
        }
    }

    #[test]
    fn a_span_is_shown_in_a_fitting_unit() {
        for (secs, shown) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (60, "1 minute"),
            (119, "119 seconds"),
            (3599, "59 minutes"),
            (3600, "1 hour"),
            (5400, "90 minutes"),
            (86_400, "1 day"),
            (172_800, "2 days"),
            (u64::MAX, "213503982334601 days"),
        ] {
            assert_eq!(Span(secs).to_string(), shown);
        }
    }
}
