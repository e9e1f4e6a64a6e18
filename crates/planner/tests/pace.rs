//! When swaps may start, how many, and whether they are worth it.

#[path = "market_support/mod.rs"]
mod support;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use planner::model::{LifecycleState, Price, PurchaseOption, Role, RunState};
use planner::pace::{self, Schedule};
use planner::payback::{self, Payback};
use planner::stats::Cost;
use proptest::prelude::*;
use support::group::{group, member, minute, ours, replica};

fn schedule(windows: &str, zone: &str) -> Schedule {
    let zone = TimeZone::get(zone).expect("a known zone");
    Schedule::parse(windows, zone).unwrap_or_else(|| panic!("{windows:?} is a schedule"))
}

/// A moment by the clocks of a zone; of a repeated hour the first.
fn local(text: &str, zone: &str) -> Timestamp {
    let civil: jiff::civil::DateTime = text.parse().expect("a date and time");
    civil.to_zoned(TimeZone::get(zone).expect("a known zone")).expect("within the calendar").timestamp()
}

fn open(windows: &str, text: &str) -> bool {
    schedule(windows, "UTC").is_open(local(text, "UTC"))
}

// 2026-11-02 is a Monday.

#[test]
fn both_ends_of_a_range_of_hours_are_included() {
    assert!(!open("9-18", "2026-11-02T08:59:59"));
    assert!(open("9-18", "2026-11-02T09:00:00"));
    assert!(open("9-18", "2026-11-02T18:59:59"));
    assert!(!open("9-18", "2026-11-02T19:00:00"));
}

#[test]
fn a_single_hour_and_a_list() {
    assert!(open("9", "2026-11-02T09:30:00") && !open("9", "2026-11-02T10:00:00"));
    let hours: Vec<i8> = (0..24).filter(|hour| open("2,9-11,23", &format!("2026-11-02T{hour:02}:15:00"))).collect();
    assert_eq!(hours, [2, 9, 10, 11, 23]);
}

#[test]
fn a_range_over_midnight_belongs_to_the_day_on_which_it_starts() {
    // Friday night, until Saturday morning.
    assert!(open("22-6 fri", "2026-11-06T22:00:00") && open("22-6 fri", "2026-11-07T06:59:59"));
    assert!(!open("22-6 fri", "2026-11-06T06:00:00"), "the morning before");
    assert!(!open("22-6 fri", "2026-11-07T22:00:00"), "the night after");
    assert!(open("22-6 sun", "2026-11-09T03:00:00"), "the week goes round");
}

#[test]
fn days_by_number_and_by_name() {
    for (days, expected) in [
        ("*", vec![2, 3, 4, 5, 6, 7, 8]),
        ("1-5", vec![2, 3, 4, 5, 6]),
        ("mon-fri", vec![2, 3, 4, 5, 6]),
        ("Mon,wed", vec![2, 4]),
        ("0", vec![8]),
        ("7", vec![8]),
        ("6-1", vec![2, 7, 8]),
        ("fri-mon", vec![2, 6, 7, 8]),
    ] {
        let days_open: Vec<i32> =
            (2..=8).filter(|day| open(&format!("12 {days}"), &format!("2026-11-{day:02}T12:00:00"))).collect();
        assert_eq!(days_open, expected, "{days}");
    }
}

#[test]
fn several_windows() {
    let windows = "9-17 mon-fri; 10-12 sat";
    assert!(open(windows, "2026-11-02T09:00:00") && open(windows, "2026-11-07T10:00:00"));
    assert!(!open(windows, "2026-11-07T09:00:00") && !open(windows, "2026-11-08T10:00:00"));
}

#[test]
fn what_is_no_schedule() {
    for text in [
        "",
        ";",
        "9-18;",
        "24",
        "9-24",
        "-1",
        "9--18",
        "9-",
        "x",
        "9 8",
        "9 monday",
        "9 mon tue",
        "9:00-18:00",
        "9,,10",
    ] {
        assert!(Schedule::parse(text, TimeZone::UTC).is_none(), "{text:?}");
    }
}

#[test]
fn turned_around_it_is_open_when_it_was_closed() {
    let closed = schedule("9-18 1-5", "UTC").inverted();
    assert!(!closed.is_open(local("2026-11-02T09:00:00", "UTC")));
    assert!(closed.is_open(local("2026-11-02T19:00:00", "UTC")));
    assert_eq!(schedule("* *", "UTC").inverted().opens_at(minute(0)), None);
}

#[test]
fn the_clocks_are_those_of_the_zone() {
    let berlin = schedule("9-18 mon-fri", "Europe/Berlin");
    assert!(!berlin.is_open("2026-11-02T07:59:59Z".parse().expect("a moment")), "08:59 in winter");
    assert!(berlin.is_open("2026-11-02T08:00:00Z".parse().expect("a moment")));
    assert!(berlin.is_open("2026-07-06T07:00:00Z".parse().expect("a moment")), "09:00 in summer");
    // In a zone that is half an hour off, hours start at half past.
    let india = schedule("9", "Asia/Kolkata");
    assert!(!india.is_open("2026-11-02T03:29:59Z".parse().expect("a moment")));
    assert!(india.is_open("2026-11-02T03:30:00Z".parse().expect("a moment")));
}

#[test]
fn an_hour_that_is_repeated_is_open_both_times() {
    // Berlin: on 2026-10-25 at 03:00 summer time the clocks go back to 02:00.
    let two = schedule("2", "Europe/Berlin");
    let moments = ["00:00", "00:59", "01:00", "01:59"];
    assert!(moments.iter().all(|time| two.is_open(format!("2026-10-25T{time}:00Z").parse().expect("a moment"))));
    assert!(!two.is_open("2026-10-25T02:00:00Z".parse().expect("a moment")));
}

#[test]
fn an_hour_that_is_skipped_does_not_come_and_a_window_that_starts_in_it_starts_after_it() {
    // Berlin: on 2026-03-29 at 02:00 the clocks go on to 03:00, which is 01:00 UTC.
    let before = "2026-03-29T00:30:00Z".parse().expect("a moment");
    let opens = |windows| schedule(windows, "Europe/Berlin").opens_at(before).expect("some day").to_string();
    assert_eq!(opens("2-4"), "2026-03-29T01:00:00Z");
    assert_eq!(opens("2"), "2026-03-30T00:00:00Z", "the next day");
}

#[test]
fn it_says_when_it_opens() {
    let opens = |windows, at| {
        let opens = schedule(windows, "Europe/Berlin").opens_at(local(at, "Europe/Berlin"));
        opens.expect("some day").to_zoned(TimeZone::get("Europe/Berlin").expect("known")).datetime().to_string()
    };
    assert_eq!(opens("9-18 mon-fri", "2026-11-02T10:20:30"), "2026-11-02T10:20:30", "it is open");
    assert_eq!(opens("9-18 mon-fri", "2026-11-02T19:00:00"), "2026-11-03T09:00:00");
    assert_eq!(opens("9-18 mon-fri", "2026-11-06T19:12:34"), "2026-11-09T09:00:00", "after the weekend");
    assert_eq!(opens("12 mon", "2026-11-02T13:00:00"), "2026-11-09T12:00:00", "in a week");
}

proptest! {
    #[test]
    fn it_is_open_from_the_moment_at_which_it_says_it_opens_and_not_before(
        hours in (0..24u32, 0..24u32), days in (0..8u32, 0..8u32), zone in 0..5usize, second in 1_700_000_000i64..1_900_000_000,
    ) {
        let zone = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"][zone];
        let schedule = schedule(&format!("{}-{} {}-{}", hours.0, hours.1, days.0, days.1), zone);
        let now = Timestamp::from_second(second).expect("a moment");
        let opens = schedule.opens_at(now).expect("it is open once a week at least");
        prop_assert!(opens >= now && schedule.is_open(opens));
        if opens > now {
            // Minute by minute: closed until then.
            let minutes = (opens.as_second() - now.as_second() - 1) / 60;
            let closed = (0..=minutes).all(|n| {
                !schedule.is_open(Timestamp::from_second(second + n * 60).expect("a moment"))
            });
            prop_assert!(closed);
        }
    }
}

// How many.

/// A group with one member or replica of ours for each of these launches, in minutes before now.
fn launches(ages: &[i64]) -> planner::model::Group {
    let mut group = group(10);
    for (n, age) in ages.iter().enumerate() {
        let id = format!("i-{n}");
        if n % 2 == 0 {
            let mut member = member(&id, "m5.large/a", PurchaseOption::Spot, minute(-age));
            member.ours = Some(ours(Role::Member));
            group.members.push(member);
        } else {
            let mut replica = replica(&id, "m5.large/a", minute(-age));
            replica.state = RunState::Terminated;
            group.replicas.push(replica);
        }
    }
    group
}

#[test]
fn so_many_launches_an_hour() {
    let next = |ages: &[i64], per_hour| pace::next_swap(&launches(ages), per_hour, minute(0));
    assert_eq!(next(&[], 1), None);
    assert_eq!(next(&[59], 1), Some(minute(1)));
    assert_eq!(next(&[60], 1), None, "an hour old");
    assert_eq!(next(&[10, 20], 3), None);
    assert_eq!(next(&[10, 20, 30], 3), Some(minute(30)), "when the oldest of three is an hour old");
    assert_eq!(next(&[10, 20, 30, 40], 3), Some(minute(30)), "of four the oldest of the last three");
}

#[test]
fn what_others_launched_does_not_count_nor_does_a_doomed_victim() {
    let mut group = launches(&[]);
    group.members.push(member("i-1", "m5.large/a", PurchaseOption::OnDemand, minute(-5)));
    let mut doomed = member("i-2", "m5.large/a", PurchaseOption::OnDemand, minute(-5));
    doomed.ours = Some(ours(Role::Doomed));
    group.members.push(doomed);
    assert_eq!(pace::next_swap(&group, 1, minute(0)), None);
}

#[test]
fn the_group_that_changed_last_is_the_least_quiet() {
    let mut quiet = group(2);
    quiet.members.push(member("i-1", "m5.large/a", PurchaseOption::OnDemand, minute(-500)));
    quiet.members.push(member("i-2", "m5.large/a", PurchaseOption::OnDemand, minute(-90)));
    assert_eq!(pace::changed_at(&quiet), Some(minute(-90)));
    assert_eq!(pace::changed_at(&group(0)), None);
}

// Whether it is worth it.

#[test]
fn a_swap_is_worth_more_than_its_overlap_or_it_is_not_made() {
    // Spot at 40 of 100: half an hour of overlap costs 20, an hour saves 60. It is paid for after twenty minutes.
    let of = |life| Payback::new(Price(100), Price(40), 1800, life);
    assert_eq!(of(3600).overlap, Cost::of(Price(20), 3600));
    assert_eq!(of(3600).saving, Cost::of(Price(60), 3600));
    assert_eq!(of(3600).after_seconds, Some(1200));
    assert!(!of(1200).is_worth_it());
    assert!(of(1201).is_worth_it());
}

#[test]
fn what_saves_nothing_is_never_worth_it() {
    for replica in [100, 101] {
        let payback = Payback::new(Price(100), Price(replica), 600, 1_000_000);
        assert!(!payback.is_worth_it());
        assert_eq!(payback.after_seconds, None);
    }
    assert!(!Payback::new(Price(100), Price(1), 600, 0).is_worth_it());
}

#[test]
fn the_overlap_is_boot_warm_up_settling_and_draining() {
    let group = group(1);
    assert_eq!(payback::overlap_seconds(&group, &support::policy("")), 420 + 300 + 30);
    assert_eq!(payback::overlap_seconds(&group, &support::policy("warmup=10m;settle=1m")), 420 + 600 + 60);
}

#[test]
fn a_member_is_expected_to_live_as_long_as_half_of_the_members_have() {
    let mut group = group(3);
    assert_eq!(payback::life_seconds(&group, None, minute(0)), 0);
    for (id, age) in [("i-1", 10), ("i-2", 200), ("i-3", 1000)] {
        group.members.push(member(id, "m5.large/a", PurchaseOption::OnDemand, minute(-age)));
    }
    assert_eq!(payback::life_seconds(&group, None, minute(0)), 200 * 60);
    group.members[2].lifecycle = LifecycleState::Terminating;
    assert_eq!(payback::life_seconds(&group, None, minute(0)), 200 * 60, "of two the older one");
    group.members[1].lifecycle = LifecycleState::Pending;
    assert_eq!(payback::life_seconds(&group, None, minute(0)), 10 * 60);
}

#[test]
fn members_that_we_brought_do_not_make_a_group_look_restless() {
    let mut group = group(3);
    for (id, age, by_us) in [("i-1", 1000, false), ("i-2", 5, true), ("i-3", 7, true)] {
        let mut member = member(id, "m5.large/a", PurchaseOption::Spot, minute(-age));
        member.ours = by_us.then(|| ours(Role::Member));
        group.members.push(member);
    }
    assert_eq!(payback::life_seconds(&group, None, minute(0)), 1000 * 60);
    group.members.remove(0);
    assert_eq!(payback::life_seconds(&group, None, minute(0)), 7 * 60, "nobody else is left to go by");
}

#[test]
fn interruptions_shorten_the_expected_life() {
    let mut group = group(1);
    // A month of 730 hours.
    group.members.push(member("i-1", "m5.large/a", PurchaseOption::Spot, minute(-730 * 60)));
    let life = |rate| payback::life_seconds(&group, rate, minute(0)) / 3600;
    assert_eq!((life(None), life(Some(0.0)), life(Some(1.0)), life(Some(9.0))), (730, 730, 365, 73));
}

proptest! {
    #[test]
    fn cheaper_is_never_worth_less_and_longer_neither(
        victim in 1..1_000_000u64, replica in 1..1_000_000u64, cheaper in 0..1_000_000u64, overlap in 0..100_000u64, life in 0..10_000_000u64, longer in 0..10_000_000u64,
    ) {
        let payback = Payback::new(Price(victim), Price(replica), overlap, life);
        let cheaper = Payback::new(Price(victim), Price(replica.saturating_sub(cheaper).max(1)), overlap, life);
        let longer = Payback::new(Price(victim), Price(replica), overlap, life + longer);
        prop_assert!(!payback.is_worth_it() || (cheaper.is_worth_it() && longer.is_worth_it()));
        // Twice the prices, the same answer; and the time it takes is the time at which the answer changes.
        prop_assert_eq!(payback.is_worth_it(), Payback::new(Price(victim * 7), Price(replica * 7), overlap, life).is_worth_it());
        if let Some(after) = payback.after_seconds {
            prop_assert!(!Payback::new(Price(victim), Price(replica), overlap, after).is_worth_it());
            prop_assert!(Payback::new(Price(victim), Price(replica), overlap, after + 1).is_worth_it());
        }
    }
}
