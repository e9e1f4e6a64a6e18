//! Times as AWS writes them, to and from seconds since 1970. Only UTC exists here.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub i64);

/// Our clock, and how far it is off by what the metadata service says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    offset_seconds: i64,
}

/// Below this the two clocks agree: the `Date` header has whole seconds and the answer takes a moment.
const OFFSET_SECONDS_MIN: i64 = 5;

impl Clock {
    /// The time, corrected.
    pub fn now(&self) -> Epoch {
        Epoch(system_seconds() + self.offset_seconds)
    }

    /// Takes the time from an answer's `Date` header. True if that changed our idea of the time.
    pub fn observe(&mut self, date: Epoch) -> bool {
        let seen = date.0 - system_seconds();
        let offset = if seen.abs() < OFFSET_SECONDS_MIN { 0 } else { seen };
        let changed = (offset - self.offset_seconds).abs() >= OFFSET_SECONDS_MIN;
        if changed {
            self.offset_seconds = offset;
        }
        changed
    }

    /// How far our clock is behind, in seconds.
    pub fn offset_seconds(&self) -> i64 {
        self.offset_seconds
    }
}

fn system_seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

impl Epoch {
    /// `2017-09-18T08:22:00Z`, the only form that notices use; a fraction of a second is read and dropped.
    pub fn from_iso(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let head = bytes.get(..19)?;
        let zone = &bytes[19..];
        let fraction_is_fine = match zone {
            [b'Z'] => true,
            [b'.', digits @ .., b'Z'] => {
                !digits.is_empty() && digits.len() <= 9 && digits.iter().all(u8::is_ascii_digit)
            }
            _ => false,
        };
        let punctuation = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if !fraction_is_fine || punctuation.iter().any(|&(at, mark)| head[at] != mark) {
            return None;
        }
        Self::from_civil(
            number(&head[0..4])?,
            number(&head[5..7])?,
            number(&head[8..10])?,
            [number(&head[11..13])?, number(&head[14..16])?, number(&head[17..19])?],
        )
    }

    /// `Sun, 22 Nov 2026 02:00:34 GMT`, the form of a `Date` header.
    pub fn from_http(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != 29 || &bytes[3..5] != b", " || &bytes[25..] != b" GMT" {
            return None;
        }
        let month = match &bytes[8..11] {
            b"Jan" => 1,
            b"Feb" => 2,
            b"Mar" => 3,
            b"Apr" => 4,
            b"May" => 5,
            b"Jun" => 6,
            b"Jul" => 7,
            b"Aug" => 8,
            b"Sep" => 9,
            b"Oct" => 10,
            b"Nov" => 11,
            b"Dec" => 12,
            _ => return None,
        };
        Self::from_civil(
            number(&bytes[12..16])?,
            month,
            number(&bytes[5..7])?,
            [number(&bytes[17..19])?, number(&bytes[20..22])?, number(&bytes[23..25])?],
        )
    }

    /// `2017-09-18T08:22:00Z`
    pub fn to_iso(self) -> String {
        let (year, month, day, [hour, minute, second]) = self.civil();
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// `20170918T082200Z`, the form that requests are signed with.
    pub fn to_basic(self) -> String {
        let (year, month, day, [hour, minute, second]) = self.civil();
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
    }

    /// Reads what [`Epoch::to_basic`] writes.
    pub fn from_basic(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
            return None;
        }
        Self::from_civil(
            number(&bytes[0..4])?,
            number(&bytes[4..6])?,
            number(&bytes[6..8])?,
            [number(&bytes[9..11])?, number(&bytes[11..13])?, number(&bytes[13..15])?],
        )
    }

    fn from_civil(year: i64, month: i64, day: i64, [hour, minute, second]: [i64; 3]) -> Option<Self> {
        // Second 60 exists on leap days of the clock and means the next minute.
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        if day < 1 || day > days_in(year, month) {
            return None;
        }
        Some(Self(days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second))
    }

    fn civil(self) -> (i64, i64, i64, [i64; 3]) {
        let seconds = self.0.rem_euclid(86_400);
        // Howard Hinnant's days_from_civil, backwards: eras of 400 years that begin on 1 March.
        let days = self.0.div_euclid(86_400) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (year, month, day, [seconds / 3_600, seconds / 60 % 60, seconds % 60])
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    let is_leap_year = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap_year => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_times_of_notices() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2017-09-18T08:22:00Z", 1_505_722_920),
            ("2024-02-29T23:59:59Z", 1_709_251_199),
            ("2026-11-22T02:00:34.123Z", 1_795_312_834),
        ] {
            assert_eq!(Epoch::from_iso(text), Some(Epoch(seconds)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_time_in_utc() {
        for text in [
            "",
            "Z",
            "2017-09-18",
            "2017-09-18T08:22:00",
            "2017-09-18T08:22:00+01:00",
            "2017-13-18T08:22:00Z",
            "2023-02-29T00:00:00Z",
            "2017-09-18T24:22:00Z",
            "2017-09-18T08:22:00.Z",
            "2017-09-18t08:22:00Z",
            "yyyy-09-18T08:22:00Z",
            "2017-09-18T08:22:00Zé",
        ] {
            assert_eq!(Epoch::from_iso(text), None, "{text}");
        }
    }

    #[test]
    fn writes_what_it_reads_for_every_day_of_five_centuries() {
        for day in 0..(500 * 365) {
            let time = Epoch(day * 86_400 + day % 86_400);
            assert_eq!(Epoch::from_iso(&time.to_iso()), Some(time));
            assert_eq!(Epoch::from_basic(&time.to_basic()), Some(time));
        }
    }

    #[test]
    fn reads_the_date_of_an_answer() {
        assert_eq!(Epoch::from_http(b"Sun, 22 Nov 2026 02:00:34 GMT"), Some(Epoch(1_795_312_834)));
        for text in
            ["", "Sun, 22 Nov 2026 02:00:34 CET", "Sun, 22 Xyz 2026 02:00:34 GMT", "Sunday, 22-Nov-26 02:00:34 GMT"]
        {
            assert_eq!(Epoch::from_http(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_clock_that_is_an_hour_off_is_corrected_and_a_second_is_not() {
        let mut clock = Clock::default();
        let now = clock.now();
        assert!(!clock.observe(Epoch(now.0 + 1)));
        assert_eq!(clock.offset_seconds(), 0);
        assert!(clock.observe(Epoch(now.0 + 3_600)));
        assert!((clock.now().0 - now.0 - 3_600).abs() <= 2);
        assert!(!clock.observe(Epoch(now.0 + 3_601)));
        assert!(clock.observe(Epoch(now.0)));
        assert_eq!(clock.offset_seconds(), 0);
    }
}
