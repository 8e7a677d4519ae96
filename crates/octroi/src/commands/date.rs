//! Points in time as people read them.

use std::fmt;

const DAY_SECS: u64 = 86_400;

/// A Unix time as `2026-11-21 06:30:00Z` (ISO 8601 with a space, as RFC 3339 allows).
pub(super) struct Date(pub(super) u64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0 / DAY_SECS);
        let second = self.0 % DAY_SECS;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
    }
}

/// A span of time in one unit: one of it, or the largest of which there are at least two.
pub(super) struct Span(pub(super) u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(DAY_SECS, "day"), (3600, "hour"), (60, "minute")];
        let fits = |secs: u64| self.0 >= 2 * secs || self.0 == secs;
        let (secs, unit) = units.into_iter().find(|(secs, _)| fits(*secs)).unwrap_or((1, "second"));
        let count = self.0 / secs;
        write!(f, "{count} {unit}{}", if count == 1 { "" } else { "s" })
    }
}

/// Days since 1970-01-01 to a date of the Gregorian calendar.
///
/// Years are counted from 1 March, so that the leap day comes last and the lengths of months follow one line:
/// 153 days in every five months.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_400_YEARS: u64 = 146_097;
    const DAYS_100_YEARS: u64 = 36_524;
    const DAYS_4_YEARS: u64 = 1_461;
    /// From 0000-03-01 to 1970-01-01.
    const DAYS_TO_1970: u64 = 719_468;

    let days = days + DAYS_TO_1970;
    let day_of_era = days % DAYS_400_YEARS;
    // The last day of an era, of a century that is no era's end, and of a leap cycle would each start a year too many.
    let year_of_era = (day_of_era - day_of_era / (DAYS_4_YEARS - 1) + day_of_era / DAYS_100_YEARS
        - day_of_era / (DAYS_400_YEARS - 1))
        / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = days / DAYS_400_YEARS * 400 + year_of_era;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix, shown) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_399, "2000-02-28 23:59:59Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (951_868_800, "2000-03-01 00:00:00Z"),
            (1_763_700_000, "2025-11-21 04:40:00Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
            (253_402_300_799, "9999-12-31 23:59:59Z"),
        ] {
            assert_eq!(Date(unix).to_string(), shown);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let leap =
            |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..400_000 {
            assert_eq!(civil(days), (year, month, day));
            let length = match month {
                2 => 28 + u64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn any_time_can_be_shown() {
        assert!(Date(u64::MAX).to_string().ends_with('Z'));
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
