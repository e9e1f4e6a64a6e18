//! When voluntary swaps may happen, and how many: schedule windows, swaps per hour, quiet groups first.
//!
//! None of this delays the end of a swap that has begun, a way back that a promise asks for, or the answer to an
//! interruption.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::model::{Group, Role};

/// Hours of the week in which swaps may start, on the clocks of a time zone. An hour that daylight-saving time skips
/// does not come; an hour that it repeats is open both times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Hours as bits, Monday first.
    open: [u32; 7],
    zone: TimeZone,
}

impl Schedule {
    /// Hours and days, `9-18 mon-fri`: hours from 0 to 23, both ends included (`9-18` ends at 18:59:59), days from 0
    /// to 7 (0 and 7 are Sunday) or by name; `*` for all; lists with commas; several windows with semicolons. A range
    /// of hours over midnight (`22-6`) belongs to the day on which it starts. Without days: every day.
    pub fn parse(windows: &str, zone: TimeZone) -> Option<Schedule> {
        let mut open = [0; 7];
        for window in windows.split(';') {
            let mut fields = window.split_whitespace();
            let hours = ranges(fields.next()?, |text| text.parse().ok().filter(|hour| *hour < 24))?;
            let days = match fields.next() {
                Some(text) => ranges(text, day)?,
                None => vec![(0, 6)],
            };
            if fields.next().is_some() {
                return None;
            }
            let (mut of_day, mut after_midnight) = (0, 0);
            for (from, to) in hours {
                for hour in wrapped((from, to), 24) {
                    *(if hour < from { &mut after_midnight } else { &mut of_day }) |= 1 << hour;
                }
            }
            for day in days.into_iter().flat_map(|range| wrapped(range, 7)) {
                open[day] |= of_day;
                open[(day + 1) % 7] |= after_midnight;
            }
        }
        Some(Schedule { open, zone })
    }

    /// The other hours of the week.
    pub fn inverted(self) -> Schedule {
        const ALL_HOURS: u32 = (1 << 24) - 1;
        Schedule { open: self.open.map(|hours| !hours & ALL_HOURS), zone: self.zone }
    }

    /// Whether a swap may start.
    pub fn is_open(&self, now: Timestamp) -> bool {
        let local = now.to_zoned(self.zone.clone());
        let day = local.weekday().to_monday_zero_offset();
        self.open[usize::from(day.unsigned_abs())] & (1 << local.hour()) != 0
    }

    /// The first moment from `now` on at which it is open; `None` if it never is.
    pub fn opens_at(&self, now: Timestamp) -> Option<Timestamp> {
        /// A week, and a few hours more for those that daylight-saving time repeats.
        const HOURS: usize = 7 * 24 + 4;
        let mut moment = now;
        for _ in 0..HOURS {
            if self.is_open(moment) {
                return Some(moment);
            }
            // The clocks of a zone change at the start of a local hour: nothing is missed between two of them.
            let local = moment.to_zoned(self.zone.clone());
            let into_hour = i64::from(local.minute()) * 60 + i64::from(local.second());
            moment = Timestamp::from_second(moment.as_second() - into_hour + 3600).ok()?;
        }
        None
    }
}

/// `1`, `1-5`, `*`, and lists of them.
fn ranges(text: &str, one: impl Fn(&str) -> Option<usize>) -> Option<Vec<(usize, usize)>> {
    text.split(',')
        .map(|part| match part.split_once('-') {
            Some((from, to)) => Some((one(from)?, one(to)?)),
            // The largest range that `wrapped` cuts to size.
            None if part == "*" => Some((0, usize::MAX)),
            None => one(part).map(|it| (it, it)),
        })
        .collect()
}

/// Every step from the first to the second, around the end if need be.
fn wrapped((from, to): (usize, usize), size: usize) -> impl Iterator<Item = usize> {
    let to = to.min(size - 1);
    let steps = (to + size - from) % size;
    (0..=steps).map(move |step| (from + step) % size)
}

/// Monday is 0. In numbers, as in cron, Sunday is 0 or 7.
fn day(text: &str) -> Option<usize> {
    const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    match text.parse::<usize>() {
        Ok(number) => (number <= 7).then_some((number + 6) % 7),
        Err(_) => NAMES.iter().position(|name| name.eq_ignore_ascii_case(text)),
    }
}

/// When the next swap may start by the number of swaps per hour; `None` if at once. What counts is what we launched
/// for the group, whatever became of it: a launch that came to nothing has cost an overlap too.
pub fn next_swap(group: &Group, swaps_per_hour: u32, now: Timestamp) -> Option<Timestamp> {
    let hour = SignedDuration::from_hours(1);
    let members = group.members.iter().filter_map(|member| Some((member.ours.as_ref()?.role, member.launched_at()?)));
    let replicas = group.replicas.iter().map(|replica| (replica.ours.role, replica.launched_at));
    let mut launches: Vec<Timestamp> = members
        .chain(replicas)
        // A doomed victim carries our tags; it was not launched by us.
        .filter(|(role, at)| *role != Role::Doomed && *at > now - hour)
        .map(|(_, at)| at)
        .collect();
    launches.sort_unstable();
    // Room is there again when the oldest of the last so many is an hour old.
    let oldest = launches.len().checked_sub(swaps_per_hour.max(1) as usize)?;
    Some(launches[oldest] + hour)
}

/// When a group changed last, as far as its members show: the later, the less quiet. `None` for a group without
/// members. Groups that were quiet for longest go first.
pub fn changed_at(group: &Group) -> Option<Timestamp> {
    group.members.iter().filter_map(|member| member.launched_at()).max()
}
