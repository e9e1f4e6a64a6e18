//! Pictures of prices over time: in a terminal, as an SVG file, in an HTML page.
//!
//! Functions from series to text. Nothing here knows what a price means.
#![warn(missing_docs)]

mod axis;
mod html;
mod svg;
mod terminal;

use jiff::Timestamp;

pub use html::{Section, Table, page};
pub use svg::svg;
pub use terminal::{Paper, terminal};

/// A step function of time: a value holds until the next one.
#[derive(Clone, Debug)]
pub struct Series {
    /// In full: `us-east-1a`.
    pub name: String,
    /// For the margin: `a`.
    pub short: String,
    /// When each value began to hold, in order; not empty.
    pub steps: Vec<(Timestamp, f64)>,
    /// The last value holds until then.
    pub end: Timestamp,
}

/// A value that is the same all the time, to compare with.
#[derive(Clone, Debug)]
pub struct Level {
    /// `on-demand`
    pub name: String,
    /// The value.
    pub value: f64,
}

/// One picture.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// Where and when.
    pub subtitle: String,
    /// Before each value: `$`.
    pub unit: String,
    /// The lines; not empty.
    pub series: Vec<Series>,
    /// What to compare with; drawn where it is within the scale.
    pub levels: Vec<Level>,
    /// Whether the scale begins at zero and reaches the highest level. If not, it fits the series.
    pub from_zero: bool,
}

impl Series {
    /// The value at a moment.
    fn at(&self, moment: Timestamp) -> Option<f64> {
        if moment >= self.end {
            return None;
        }
        let after = self.steps.partition_point(|(at, _)| *at <= moment);
        Some(self.steps[after.checked_sub(1)?].1)
    }

    fn last(&self) -> f64 {
        self.steps.last().map_or(0.0, |(_, value)| *value)
    }
}

impl Chart {
    fn times(&self) -> (Timestamp, Timestamp) {
        let starts = self.series.iter().filter_map(|series| series.steps.first()).map(|(at, _)| *at);
        let ends = self.series.iter().map(|series| series.end);
        let (start, end) = (starts.min().unwrap_or_default(), ends.max().unwrap_or_default());
        // Wide enough to be divided.
        (start, end.max(start + jiff::SignedDuration::from_secs(60)))
    }

    /// The values at the ends of the scale.
    fn scale(&self) -> (f64, f64) {
        let values = || self.series.iter().flat_map(|series| series.steps.iter().map(|(_, value)| *value));
        let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
        if self.from_zero {
            let highest = self.levels.iter().map(|level| level.value).fold(high, f64::max);
            return (0.0, highest * 1.04);
        }
        // A line that never moved gets some air, too.
        let air = ((high - low) * 0.08).max(high * 0.01).max(1e-6);
        ((low - air).max(0.0), high + air)
    }
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    pub fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_610_064_000 + hours * 3600).expect("within the calendar")
    }

    pub fn series(short: &str, steps: &[(i64, f64)], end: i64) -> Series {
        Series {
            name: format!("us-east-1{short}"),
            short: short.to_owned(),
            steps: steps.iter().map(|(hour, value)| (at(*hour), *value)).collect(),
            end: at(end),
        }
    }

    /// Two zones over ten days: one climbs, one falls.
    pub fn two_zones() -> Chart {
        Chart {
            title: "m5.large, Linux/UNIX".to_owned(),
            subtitle: "us-east-1".to_owned(),
            unit: "$".to_owned(),
            series: vec![
                series("a", &[(0, 0.030), (60, 0.034), (120, 0.038)], 240),
                series("b", &[(24, 0.040), (200, 0.036)], 240),
            ],
            levels: vec![Level { name: "on-demand".to_owned(), value: 0.096 }],
            from_zero: false,
        }
    }
}
