//! What the owner asked for: every setting parsed, every mistake named, nothing half understood.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use jiff::tz::TimeZone;
use planner::model::{Group, LaunchSource};
use planner::pace::Schedule;
use planner::policy::{
    self, AllocationStrategy, Config, OnDemandFloor, PROFILES, Policy, Readiness, Removal, SETTINGS, Saving,
    TypePatterns,
};

fn group(tags: &[(&str, &str)]) -> Group {
    Group {
        name: "web".into(),
        arn: "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:1:autoScalingGroupName/web".to_owned(),
        desired: 4,
        min_size: 0,
        max_size: 8,
        subnets: Vec::new(),
        zones: Vec::new(),
        tags: pairs(tags),
        propagated_tags: BTreeMap::new(),
        suspended: Default::default(),
        source: LaunchSource::Missing,
        status: None,
        operator: None,
        warm_pool: false,
        capacity_rebalance: false,
        desired_capacity_type: None,
        new_members_protected: false,
        grace_seconds: 0,
        load_balanced: false,
        placement_group: None,
        members: Vec::new(),
        replicas: Vec::new(),
        details: None,
    }
}

fn pairs(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn config(defaults: &[(&str, &str)]) -> Config {
    Config { defaults: pairs(defaults), ..Config::default() }
}

/// The policy of a group with these tags, or every mistake on a line of its own.
fn read(tags: &[(&str, &str)]) -> Result<Policy, String> {
    read_with(tags, &[])
}

fn read_with(tags: &[(&str, &str)], defaults: &[(&str, &str)]) -> Result<Policy, String> {
    Policy::of(&group(tags), &config(defaults))
        .map_err(|errors| errors.iter().map(|error| format!("{error}\n")).collect())
}

fn good(tags: &[(&str, &str)]) -> Policy {
    read(tags).unwrap_or_else(|errors| panic!("{tags:?}: {errors}"))
}

fn check_mistakes(tags: &[(&str, &str)], expect: Expect) {
    match read(tags) {
        Ok(policy) => panic!("{tags:?} was understood: {policy:?}"),
        // The list of all settings grows; the rest of the sentence does not.
        Err(errors) => {
            let keys: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
            expect.assert_eq(&errors.replace(&keys.join(", "), "(all of them)"));
        }
    }
}

#[test]
fn the_built_in_defaults_parse() {
    let built_in = Policy::defaults(&Config::default()).expect("built-in defaults parse");
    assert_eq!(built_in, good(&[]));
    // Each by itself too: the reader falls back on them.
    for setting in SETTINGS {
        let key = format!("spotward:{}", setting.key);
        assert_eq!(built_in, good(&[(&key, setting.default)]), "{}", setting.key);
    }
}

#[test]
fn the_defaults_are_the_careful_choice() {
    let policy = good(&[]);
    assert_eq!(policy.strategy, AllocationStrategy::PriceCapacityOptimized);
    assert_eq!(policy.max_price_percent, None);
    assert_eq!(policy.max_vcpus_percent, Some(200));
    assert_eq!(policy.max_memory_percent, Some(200));
    assert_eq!(policy.min_saving_percent, 10);
    assert_eq!(policy.removal, Removal::Terminate);
    assert!(!policy.any_cpu_manufacturer && !policy.previous_generation && !policy.burstable);
    assert!(!policy.roll_forward && !policy.ignore_launch_hooks);
    assert_eq!(policy.readiness, Readiness::Checks);
    assert_eq!((policy.pool_loss_percent, policy.requires_payback, policy.profile), (34, true, None));
}

#[test]
fn every_setting_is_read_from_its_tag() {
    let policy = good(&[
        ("spotward:min-on-demand", "2, 25%"),
        ("spotward:allowed-types", "m*, c5.large current"),
        ("spotward:denied-types", "t?.*"),
        ("spotward:cpu-manufacturer", "any"),
        ("spotward:previous-generation", "true"),
        ("spotward:burstable", "true"),
        ("spotward:max-vcpus", "150%"),
        ("spotward:max-memory", "any"),
        ("spotward:allocation-strategy", "lowest-price"),
        ("spotward:pools-to-use", "3"),
        ("spotward:max-price", "80%"),
        ("spotward:min-saving", "25%"),
        ("spotward:min-saving-per-hour", "0.005"),
        ("spotward:payback", "ignore"),
        ("spotward:pool-loss", "50%"),
        ("spotward:swaps-per-hour", "6"),
        ("spotward:schedule", "9-18 mon-fri"),
        ("spotward:schedule-zone", "Europe/Berlin"),
        ("spotward:schedule-state", "off"),
        ("spotward:profile", "batch"),
        ("spotward:removal", "detach"),
        ("spotward:on-max", "skip"),
        ("spotward:launch-hooks", "ignore"),
        ("spotward:readiness", "watcher"),
        ("spotward:roll-forward", "true"),
        ("spotward:min-age", "90s"),
        ("spotward:quiet", "2m"),
        ("spotward:warmup", "3m"),
        ("spotward:settle", "45s"),
        ("spotward:boot-deadline", "1h"),
        ("spotward:retry-window", "15m"),
    ]);
    assert_eq!(policy.min_on_demand, OnDemandFloor { number: 2, percent: 25 });
    assert_eq!(policy.allowed_types.0, ["m*", "c5.large", "current"]);
    assert_eq!(policy.denied_types.0, ["t?.*"]);
    assert!(policy.any_cpu_manufacturer && policy.previous_generation && policy.burstable);
    assert_eq!((policy.max_vcpus_percent, policy.max_memory_percent), (Some(150), None));
    assert_eq!((policy.strategy, policy.pools_to_use), (AllocationStrategy::LowestPrice, Some(3)));
    assert_eq!((policy.max_price_percent, policy.min_saving_percent), (Some(80), 25));
    assert_eq!((policy.min_saving_per_hour, policy.requires_payback), (Saving(5000), false));
    assert_eq!((policy.pool_loss_percent, policy.swaps_per_hour, policy.profile), (50, 6, Some("batch")));
    let berlin = TimeZone::get("Europe/Berlin").expect("a known zone");
    assert_eq!(policy.schedule, Schedule::parse("9-18 1-5", berlin).expect("a schedule").inverted());
    assert_eq!((policy.removal, policy.may_raise_max), (Removal::Detach, false));
    assert!(policy.ignore_launch_hooks && policy.roll_forward);
    assert_eq!(policy.readiness, Readiness::Watcher);
    assert_eq!((policy.min_age_seconds, policy.quiet_seconds), (90, 120));
    assert_eq!((policy.warmup_seconds, policy.settle_seconds), (Some(180), 45));
    assert_eq!((policy.boot_deadline_seconds, policy.retry_window_seconds), (3600, 900));
}

#[test]
fn a_tag_beats_the_deployments_default_and_that_beats_the_built_in_one() {
    let read = |tags| read_with(tags, &[("min-saving", "30%")]).expect("understood").min_saving_percent;
    assert_eq!(good(&[]).min_saving_percent, 10);
    assert_eq!(read(&[]), 30);
    assert_eq!(read(&[("spotward:min-saving", "5%")]), 5);
}

#[test]
fn the_predecessors_tags_are_read_unless_our_own_is_there() {
    let policy = good(&[
        ("autospotting_min_on_demand_number", "3"),
        ("autospotting_allowed_instance_types", "c*"),
        ("autospotting_disallowed_instance_types", "c5*"),
        ("autospotting_spot_allocation_strategy", "capacity-optimized-prioritized"),
        ("autospotting_instance_termination_method", "autoscaling"),
    ]);
    assert_eq!(policy.min_on_demand, OnDemandFloor { number: 3, percent: 0 });
    assert_eq!((policy.allowed_types.0, policy.denied_types.0), (vec!["c*".to_owned()], vec!["c5*".to_owned()]));
    assert_eq!(policy.strategy, AllocationStrategy::CapacityOptimizedPrioritized);
    assert_eq!(policy.removal, Removal::Terminate);
    let both = [("autospotting_allowed_instance_types", "c*"), ("spotward:allowed-types", "m*")];
    assert_eq!(good(&both).allowed_types.0, ["m*"]);
}

#[test]
fn of_two_floors_the_larger_protection_wins() {
    let floor = |tags: &[(&str, &str)], desired| good(tags).min_on_demand.of(desired);
    let both = [("autospotting_min_on_demand_number", "2"), ("autospotting_min_on_demand_percentage", "40")];
    assert_eq!(floor(&both, 4), 2, "40 % of four are two: as many as the number says");
    assert_eq!(floor(&both, 10), 4);
    assert_eq!(floor(&[("spotward:min-on-demand", "10%, 3")], 10), 3);
    assert_eq!(floor(&[("spotward:min-on-demand", "10%, 3")], 40), 4);
}

#[test]
fn a_percentage_of_members_is_rounded_up() {
    let quarter = good(&[("spotward:min-on-demand", "25%")]).min_on_demand;
    let protected: Vec<u32> = (0..=9).map(|desired| quarter.of(desired)).collect();
    assert_eq!(protected, [0, 1, 1, 1, 1, 2, 2, 2, 2, 3]);
    // The predecessor allows fractions of percents.
    let fraction = good(&[("autospotting_min_on_demand_percentage", "0.5")]).min_on_demand;
    assert_eq!(fraction, OnDemandFloor { number: 0, percent: 1 });
}

#[test]
fn a_floor_larger_than_the_group_protects_all_of_it() {
    let floor = good(&[("spotward:min-on-demand", "7")]).min_on_demand;
    assert_eq!((floor.of(6), floor.of(7), floor.of(8)), (6, 7, 7));
    assert_eq!(good(&[("spotward:min-on-demand", "100%")]).min_on_demand.of(5), 5);
    assert_eq!(good(&[("spotward:min-on-demand", "4294967295")]).min_on_demand.of(u32::MAX), u32::MAX);
}

#[test]
fn wrong_values_are_named_with_what_is_allowed() {
    check_mistakes(
        &[("spotward:min-saving", "50%%")],
        expect![[r#"
        spotward:min-saving = "50%%": allowed is a percentage from 0% to 99%
    "#]],
    );
    check_mistakes(
        &[("spotward:min-on-demand", "-1")],
        expect![[r#"
        spotward:min-on-demand = "-1": allowed is a number, a percentage of desired (`25%`), or both (`2, 25%`)
    "#]],
    );
    check_mistakes(
        &[("spotward:min-on-demand", "101%")],
        expect![[r#"
        spotward:min-on-demand = "101%": allowed is a number, a percentage of desired (`25%`), or both (`2, 25%`)
    "#]],
    );
    check_mistakes(
        &[("spotward:allocation-strategy", "cheapest")],
        expect![[r#"
        spotward:allocation-strategy = "cheapest": allowed is `price-capacity-optimized`, `capacity-optimized`, `capacity-optimized-prioritized`, `diversified` or `lowest-price`
    "#]],
    );
}

#[test]
fn a_key_that_nobody_knows_is_a_mistake_and_our_own_marks_are_none() {
    check_mistakes(
        &[("spotward:min-savings", "5%")],
        expect![[r#"
            spotward:min-savings = "5%": allowed is one of the settings (all of them)
        "#]],
    );
    good(&[("spotward:swap", "v1;whatever"), ("spotward:backoff", "whatever"), ("other:min-savings", "5%")]);
}

#[test]
fn all_mistakes_are_named_at_once() {
    check_mistakes(
        &[("spotward:settle", "soon"), ("spotward:on-max", "raise"), ("spotward:quiet", "60"), ("spotward:x", "y")],
        expect![[r#"
            spotward:x = "y": allowed is one of the settings (all of them)
            spotward:quiet = "60": allowed is a duration
            spotward:settle = "soon": allowed is a duration
        "#]],
    );
}

#[test]
fn a_mistake_in_the_deployments_defaults_is_named_as_such() {
    let mistakes = read_with(&[], &[("min-age", "5 minutes")]).expect_err("not understood");
    expect![[r#"
        default min-age = "5 minutes": allowed is a duration (`90s`, `10m`, `2h`)
    "#]]
    .assert_eq(&mistakes);
    let unknown = Policy::defaults(&config(&[("min-aeg", "5m")])).expect_err("not known");
    assert_eq!(unknown.len(), 1);
    assert_eq!(unknown[0].tag, "default min-aeg");
}

#[test]
fn values_on_both_sides_of_each_edge() {
    for (key, right, wrong) in [
        (
            "min-on-demand",
            vec!["0", "3", "0%", "100%", "1, 50%", "50%,1"],
            vec!["", "+1", "1.5", "50 %", "1;2", "3,", "4294967296"],
        ),
        (
            "allowed-types",
            vec!["", "*", "current", "m5.large,c5.*", "a1.metal-24xl", "?"],
            vec!["M5.large", "m5/large", "m5.large;c5.large"],
        ),
        ("denied-types", vec!["", "t*"], vec!["[tm]*"]),
        ("cpu-manufacturer", vec!["same", "any"], vec!["Intel", "", "SAME"]),
        ("previous-generation", vec!["true", "false", " true "], vec!["yes", "1", "True"]),
        ("burstable", vec!["true", "false"], vec!["on"]),
        ("max-vcpus", vec!["100%", "200%", "1000%", "any"], vec!["99%", "200", "none", "-200%"]),
        ("max-memory", vec!["100%", "any"], vec!["99%", ""]),
        (
            "allocation-strategy",
            vec![
                "price-capacity-optimized",
                "capacity-optimized",
                "capacity-optimized-prioritized",
                "diversified",
                "lowest-price",
            ],
            vec!["lowestPrice", "price_capacity_optimized"],
        ),
        ("max-price", vec!["none", "1%", "100%"], vec!["0%", "101%", "0.05", "any"]),
        ("min-saving", vec!["0%", "99%"], vec!["100%", "10", "-1%", "9.5%"]),
        (
            "min-saving-per-hour",
            vec!["0", "0.005", "12", "0.000001", "9999.999999"],
            vec!["", "-1", ".5", "1.", "0,5", "1e-3", "0.0000001", "10000", "$1", "+1"],
        ),
        ("payback", vec!["require", "ignore"], vec!["true"]),
        ("pool-loss", vec!["1%", "100%"], vec!["0%", "101%", "34", "none"]),
        ("swaps-per-hour", vec!["1", "60"], vec!["0", "61", "any"]),
        (
            "schedule",
            vec!["* *", "9-18", "22-6 fri", "9-17 1-5; 10 sat"],
            vec!["", "always", "25", "9-18 noday", "0 9 * * *"],
        ),
        ("schedule-zone", vec!["UTC", "Europe/Berlin", "Asia/Kolkata"], vec!["Europe/Atlantis", "", "+01:00"]),
        ("schedule-state", vec!["on", "off"], vec!["true"]),
        ("profile", vec!["none", "web", "batch", "critical"], vec!["", "Web", "prod"]),
        ("removal", vec!["terminate", "detach", "autoscaling"], vec!["kill"]),
        ("on-max", vec!["raise", "skip"], vec!["true"]),
        ("launch-hooks", vec!["skip", "ignore"], vec!["run"]),
        ("readiness", vec!["checks", "watcher"], vec!["hooks", "true"]),
        ("roll-forward", vec!["true", "false"], vec!["latest"]),
        ("min-age", vec!["0s", "5m", "168h"], vec!["5", "-5m", "169h", "1d", "m", "５m"]),
        ("quiet", vec!["0s", "60s"], vec!["1.5m"]),
        ("warmup", vec!["grace", "0s", "10m"], vec!["health"]),
        ("settle", vec!["0s", "30s"], vec!["30 s"]),
        ("boot-deadline", vec!["10m", "600s", "2h"], vec!["599s", "9m"]),
        ("retry-window", vec!["30s", "10m"], vec!["29s", "0s"]),
    ] {
        let tag = format!("spotward:{key}");
        for value in right {
            assert!(read(&[(&tag, value)]).is_ok(), "{key} = {value:?} is right");
        }
        for value in wrong {
            assert!(read(&[(&tag, value)]).is_err(), "{key} = {value:?} is wrong");
        }
    }
}

#[test]
fn a_number_of_pools_is_refused_with_any_other_strategy() {
    good(&[("spotward:allocation-strategy", "lowest-price"), ("spotward:pools-to-use", "2")]);
    good(&[("spotward:allocation-strategy", "lowest-price"), ("spotward:pools-to-use", "60")]);
    good(&[("spotward:allocation-strategy", "diversified"), ("spotward:pools-to-use", "all")]);
    check_mistakes(
        &[("spotward:allocation-strategy", "diversified"), ("spotward:pools-to-use", "2")],
        expect![[r#"
            spotward:pools-to-use = "2": allowed is only together with allocation-strategy lowest-price
        "#]],
    );
    for wrong in ["0", "61", "-1", "any"] {
        assert!(read(&[("spotward:allocation-strategy", "lowest-price"), ("spotward:pools-to-use", wrong)]).is_err());
    }
}

#[test]
fn the_group_is_enabled_by_exactly_one_value() {
    let enabled = |tags: &[(&str, &str)]| policy::enabled(&group(tags), &Config::default()).is_some();
    assert!(enabled(&[("spot-enabled", "true")]));
    for value in ["True", "true ", "yes", "1", "", "false"] {
        assert!(!enabled(&[("spot-enabled", value)]), "{value:?}");
    }
    assert!(!enabled(&[]));
    assert!(!enabled(&[("Spot-Enabled", "true")]));
}

#[test]
fn for_nobody_no_group_is_enabled_whatever_its_tags() {
    let config = Config { stack: "blue".to_owned(), ..Config::default() };
    let nobody = config.for_nobody();
    assert!(policy::enabled(&group(&[("spot-enabled", "true")]), &config).is_some());
    assert!(policy::enabled(&group(&[("spot-enabled", "true")]), &nobody).is_none());
    assert!(nobody.enable_key.len() > 128, "AWS lets no tag have such a key");
    assert_eq!(nobody, Config { enable_key: nobody.enable_key.clone(), ..config }, "what is in flight stays its own");
}

#[test]
fn the_predecessors_percentage_is_one() {
    let read = |text: &str| Policy::of(&group(&[("autospotting_min_on_demand_percentage", text)]), &Config::default());
    for text in ["0", "12.5", "100"] {
        assert!(read(text).is_ok(), "{text}");
    }
    for text in ["-5", "NaN", "100.5", "inf", "half"] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn patterns_match_whole_names() {
    let matches = |pattern: &str, name: &str| TypePatterns(vec![pattern.to_owned()]).matches(name, "m5.large");
    for (pattern, name) in [
        ("*", "m5.large"),
        ("m5.large", "m5.large"),
        ("m5.*", "m5.large"),
        ("m?.large", "m5.large"),
        ("*.large", "m5.large"),
        ("m*a*e", "m5.large"),
        ("**", "m5.large"),
        ("current", "m5.large"),
        ("*a*a*", "c5a.2xlarge"),
    ] {
        assert!(matches(pattern, name), "{pattern} {name}");
    }
    for (pattern, name) in [
        ("m5", "m5.large"),
        ("5.large", "m5.large"),
        ("m5.?", "m5.large"),
        ("m?.large", "m.large"),
        ("", "m5.large"),
        ("current", "m5.xlarge"),
        ("m5.large", "m5.larg"),
        ("*a*a*a*", "c5a.2xlarge"),
    ] {
        assert!(!matches(pattern, name), "{pattern} {name}");
    }
    assert!(!TypePatterns(Vec::new()).matches("m5.large", "m5.large"));
    // A tag of 256 stars and letters is answered at once.
    let hostile = "*a".repeat(128);
    assert!(!matches(&hostile, &"a".repeat(127)));
}

#[test]
fn the_first_pattern_that_matches_is_the_place_in_the_owners_list() {
    let patterns = TypePatterns(["r*", "current", "*"].map(str::to_owned).to_vec());
    let place = |name: &str| patterns.position(name, "m5.large");
    assert_eq!((place("r5.large"), place("m5.large"), place("c5.large")), (Some(0), Some(1), Some(2)));
    assert_eq!(TypePatterns(vec!["r*".to_owned()]).position("c5.large", "m5.large"), None);
}

#[test]
fn the_predecessors_schedule_is_read() {
    let policy = good(&[
        ("autospotting_cron_schedule", "22-6 *"),
        ("autospotting_cron_timezone", "America/New_York"),
        ("autospotting_cron_schedule_state", "on"),
    ]);
    let new_york = TimeZone::get("America/New_York").expect("a known zone");
    assert_eq!(policy.schedule, Schedule::parse("22-6", new_york).expect("a schedule"));
}

#[test]
fn money_is_read_without_rounding() {
    let saving = |text| good(&[("spotward:min-saving-per-hour", text)]).min_saving_per_hour.0;
    assert_eq!((saving("0"), saving("0.1"), saving("0.000001"), saving("12.5")), (0, 100_000, 1, 12_500_000));
}

#[test]
fn every_profile_is_understood_and_sets_every_part() {
    for profile in PROFILES {
        let policy = good(&[("spotward:profile", profile.name)]);
        assert_eq!(policy.profile, Some(profile.name));
        let keys: Vec<&str> = profile.settings.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["min-on-demand", "pool-loss", "allocation-strategy", "min-saving", "swaps-per-hour"]);
        // The same as saying it all by hand.
        let mut tags: Vec<(String, &str)> =
            profile.settings.iter().map(|(key, value)| (format!("spotward:{key}"), *value)).collect();
        tags.push(("spotward:profile".to_owned(), profile.name));
        let tags: Vec<(&str, &str)> = tags.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        assert_eq!(policy, good(&tags));
    }
    let web = good(&[("spotward:profile", "web")]);
    assert_eq!((web.min_on_demand.of(10), web.pool_loss_percent), (2, 10));
    let critical = good(&[("spotward:profile", "critical")]);
    assert_eq!((critical.min_on_demand.of(5), critical.strategy), (3, AllocationStrategy::CapacityOptimized));
}

#[test]
fn what_is_said_on_the_same_place_beats_the_profile_and_the_nearer_place_beats_the_farther() {
    let loss = |tags, defaults| read_with(tags, defaults).expect("understood").pool_loss_percent;
    let web: &[(&str, &str)] = &[("spotward:profile", "web")];
    assert_eq!(loss(web, &[]), 10);
    assert_eq!(loss(&[("spotward:profile", "web"), ("spotward:pool-loss", "25%")], &[]), 25);
    assert_eq!(loss(&[], &[("profile", "batch")]), 50);
    assert_eq!(loss(&[], &[("profile", "batch"), ("pool-loss", "40%")]), 40);
    assert_eq!(loss(web, &[("profile", "batch"), ("pool-loss", "40%")]), 10, "the group's own profile is nearer");
    assert_eq!(loss(&[("spotward:profile", "none")], &[("profile", "batch")]), 34, "a group can refuse it");
    // An alias on the group is a wish of the group.
    let floor = good(&[("spotward:profile", "web"), ("autospotting_min_on_demand_number", "1")]).min_on_demand;
    assert_eq!(floor, OnDemandFloor { number: 1, percent: 0 });
}
