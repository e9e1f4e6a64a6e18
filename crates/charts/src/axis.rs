//! Where the ticks go, and what stands beside them.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

/// Round values within a scale, about `count` of them, and how many decimals tell them apart.
pub(crate) fn values(low: f64, high: f64, count: usize) -> (Vec<f64>, usize) {
    // A scale without width would want steps of nothing.
    let rough = (high - low).max(high.abs() * 1e-6).max(1e-9) / count.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(power * 10.0);
    let first = (low / step - 1e-9).ceil() as i64;
    let ticks = (first..).map(|at| at as f64 * step).take_while(|value| *value <= high + step * 1e-9).take(100);
    let decimals = (0..=6).find(|decimals| {
        let scaled = step * 10f64.powi(*decimals);
        (scaled - scaled.round()).abs() < 1e-6
    });
    (ticks.collect(), decimals.unwrap_or(6).max(2) as usize)
}

/// Moments within a span, at most `count` of them, with what stands below each.
pub(crate) fn moments(start: Timestamp, end: Timestamp, count: usize) -> Vec<(Timestamp, String)> {
    const HOURS: [i64; 11] = [1, 2, 3, 6, 12, 24, 48, 7 * 24, 14 * 24, 28 * 24, 91 * 24];
    let hours = end.duration_since(start).as_hours().max(1);
    let fits = |step: &i64| hours / step < count.max(1) as i64;
    let Some(step) = HOURS.into_iter().find(fits) else { return years(start, end, count) };
    // Ticks are at round hours, days, or whole numbers of days since a Monday.
    const MONDAY: i64 = 345_600;
    let seconds = step * 3600;
    let first = (start.as_second() - MONDAY).div_euclid(seconds) * seconds + MONDAY;
    let ticks = (0..).map(|at| first + at * seconds).skip_while(|second| *second < start.as_second());
    ticks
        .take_while(|second| *second <= end.as_second())
        .filter_map(|second| Timestamp::from_second(second).ok())
        .map(|at| (at, if step < 24 { hour(at) } else { day(at) }))
        .collect()
}

fn years(start: Timestamp, end: Timestamp, count: usize) -> Vec<(Timestamp, String)> {
    let first = date(start).year();
    let last = date(end).year();
    let step = ((last - first) as usize / count.max(1) + 1) as i16;
    (first..=last)
        .step_by(step as usize)
        .filter_map(|year| Date::new(year, 1, 1).ok()?.to_zoned(TimeZone::UTC).ok())
        .map(|zoned| (zoned.timestamp(), zoned.year().to_string()))
        .filter(|(at, _)| *at >= start && *at <= end)
        .collect()
}

fn date(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

fn hour(at: Timestamp) -> String {
    let zoned = at.to_zoned(TimeZone::UTC);
    if zoned.hour() == 0 { day(at) } else { format!("{:02}:00", zoned.hour()) }
}

/// `8 Jan`
fn day(at: Timestamp) -> String {
    let date = date(at);
    format!("{} {}", date.day(), month(date))
}

fn month(date: Date) -> &'static str {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    MONTHS[usize::from(date.month().unsigned_abs()) - 1]
}

/// `8 Jan 2021 to 9 Feb 2021`, with the hours where the span is short.
pub(crate) fn span(start: Timestamp, end: Timestamp) -> String {
    let with_hours = end.duration_since(start) < SignedDuration::from_hours(72);
    let one = |at: Timestamp| {
        let zoned = at.to_zoned(TimeZone::UTC);
        let day = format!("{} {} {}", zoned.day(), month(zoned.date()), zoned.year());
        if with_hours { format!("{day} {:02}:{:02}", zoned.hour(), zoned.minute()) } else { day }
    };
    // An end at midnight is the end of the day before.
    let last = if with_hours { end } else { end.checked_sub(1.second()).unwrap_or(end) };
    format!("{} to {} UTC", one(start), one(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn values_are_round() {
        let (ticks, decimals) = values(0.0, 0.1, 4);
        let shown: Vec<String> = ticks.iter().map(|tick| format!("{tick:.decimals$}")).collect();
        assert_eq!(shown, ["0.000", "0.025", "0.050", "0.075", "0.100"]);
        let (ticks, decimals) = values(3.0, 9.0, 3);
        let shown: Vec<String> = ticks.iter().map(|tick| format!("{tick:.decimals$}")).collect();
        assert_eq!(shown, ["4.00", "6.00", "8.00"]);
        assert!(values(1.0, 1.0, 5).0.len() <= 100, "a scale without width ends");
    }

    #[test]
    fn moments_are_round_and_not_too_many() {
        let labels = |start: &str, end: &str, count: usize| -> Vec<String> {
            moments(at(start), at(end), count).into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(
            labels("2021-01-08T01:00:00Z", "2021-02-09T00:00:00Z", 6),
            ["11 Jan", "18 Jan", "25 Jan", "1 Feb", "8 Feb"]
        );
        assert_eq!(labels("2021-01-08T01:00:00Z", "2021-01-09T01:00:00Z", 5), ["06:00", "12:00", "18:00", "9 Jan"]);
        assert_eq!(labels("2019-06-01T00:00:00Z", "2026-06-01T00:00:00Z", 4), ["2021", "2023", "2025"]);
        for days in [1, 3, 10, 30, 90, 400, 4000] {
            let start = at("2020-01-01T00:00:00Z");
            let ticks = moments(start, start + SignedDuration::from_hours(24 * days), 6);
            assert!((1..=7).contains(&ticks.len()), "{days} days: {}", ticks.len());
        }
    }

    #[test]
    fn spans_say_their_hours_where_they_matter() {
        assert_eq!(span(at("2021-01-08T01:00:00Z"), at("2021-02-09T00:00:00Z")), "8 Jan 2021 to 8 Feb 2021 UTC");
        assert_eq!(
            span(at("2021-01-08T01:00:00Z"), at("2021-01-09T04:30:00Z")),
            "8 Jan 2021 01:00 to 9 Jan 2021 04:30 UTC"
        );
    }
}
