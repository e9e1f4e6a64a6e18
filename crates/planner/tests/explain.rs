//! What is said about each type agrees with what a plan asks for, and names the first thing that stands against it.

#[path = "market_support/mod.rs"]
mod support;

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use planner::explain::{Verdict, explain};
use planner::market::Market;
use planner::model::{Group, PurchaseOption, tag};
use planner::reason::Code;
use planner::stats::InterruptionFrequency;
use support::group::{group, member, minute};

const MARKET: [&str; 8] = [
    "m5.large    2 vCPUs  8 GiB  on-demand 0.096  a 0.040",
    "m6i.large   2 vCPUs  8 GiB  on-demand 0.096  a 0.050",
    "m7i.large   2 vCPUs  8 GiB  on-demand 0.1    a 0.095",
    "r5.large    2 vCPUs 16 GiB  on-demand 0.126  a 0.126",
    "m6a.large   2 vCPUs  8 GiB  on-demand 0.0864 amd",
    "c5.large    2 vCPUs  4 GiB  on-demand 0.085  a 0.030",
    "m5.4xlarge 16 vCPUs 64 GiB  on-demand 0.768  a 0.300 arm64",
    "t3.large    2 vCPUs  8 GiB  on-demand 0.0832 a 0.025 burstable",
];

/// Four members of m5.large in zone a, the first of them on-demand, the others in these pools.
fn group_with(spot: &[&str]) -> Group {
    let mut group = group(4);
    for (at, pool) in ["m5.large/a"].iter().chain(spot).enumerate() {
        let purchase = if at == 0 { PurchaseOption::OnDemand } else { PurchaseOption::Spot };
        group.members.push(member(&format!("i-{at}"), pool, purchase, minute(-600)));
    }
    group
}

fn told(group: &Group, market: &Market, settings: &str) -> String {
    let told = explain(&group.members[0], group, &support::launch(), market, &support::policy(settings), minute(0));
    let mut text = String::new();
    for candidate in told.candidates {
        let price = candidate.price.map_or("-".to_owned(), |price| price.to_string());
        let _ = writeln!(text, "{:<11} {price:<11} {}", candidate.instance_type.as_str(), candidate.verdict);
    }
    if let Err(no_pool) = told.pools {
        let _ = writeln!(text, "nothing: {no_pool}");
    }
    text
}

fn check(group: &Group, settings: &str, expect: Expect) {
    expect.assert_eq(&told(group, &support::market(&MARKET), settings));
}

#[test]
fn each_type_has_its_place_or_its_first_obstacle() {
    check(
        &group_with(&[]),
        "",
        expect![[r#"
        m5.large    $0.0400/h   is asked for, place 1
        m6i.large   $0.0500/h   is asked for, place 2
        m7i.large   $0.0950/h   saves 1 %, 10 % wanted
        r5.large    $0.1260/h   sold out: its spot price is not below its own on-demand price
        t3.large    $0.0250/h   burstable, the victim is not
        c5.large    $0.0300/h   4096 MiB of memory, 8192 needed
        m6a.large   -           CPU by AMD, Intel needed
        m5.4xlarge  $0.3000/h   16 vCPUs, at most 4 wanted; 65536 MiB of memory, at most 16384 wanted; architecture arm64, x86_64 needed; CPU by AWS, Intel needed; boot mode uefi, legacy-bios needed
    "#]],
    );
}

#[test]
fn a_pool_that_is_full_for_the_group_is_named_with_the_limit() {
    check(
        &group_with(&["m5.large/a"; 2]),
        "pool-loss=25%",
        expect![[r#"
        m6i.large   $0.0500/h   is asked for, place 1
        m5.large    $0.0400/h   its pool holds 2 of the group already, 1 may be in one
        m7i.large   $0.0950/h   saves 1 %, 10 % wanted
        r5.large    $0.1260/h   sold out: its spot price is not below its own on-demand price
        t3.large    $0.0250/h   burstable, the victim is not
        c5.large    $0.0300/h   4096 MiB of memory, 8192 needed
        m6a.large   -           CPU by AMD, Intel needed
        m5.4xlarge  $0.3000/h   16 vCPUs, at most 4 wanted; 65536 MiB of memory, at most 16384 wanted; architecture arm64, x86_64 needed; CPU by AWS, Intel needed; boot mode uefi, legacy-bios needed
    "#]],
    );
}

#[test]
fn a_pool_that_failed_is_named_with_its_time() {
    let mut group = group_with(&[]);
    let now = minute(0).as_second() / 60;
    group.tags.insert(tag::BACKOFF.to_owned(), format!("v1;t={now};a=m5.large+35*2!"));
    check(
        &group,
        "",
        expect![[r#"
        m6i.large   $0.0500/h   is asked for, place 1
        m5.large    $0.0400/h   its pool has failed lately, until 2026-11-02T12:35:00Z
        m7i.large   $0.0950/h   saves 1 %, 10 % wanted
        r5.large    $0.1260/h   sold out: its spot price is not below its own on-demand price
        t3.large    $0.0250/h   burstable, the victim is not
        c5.large    $0.0300/h   4096 MiB of memory, 8192 needed
        m6a.large   -           CPU by AMD, Intel needed
        m5.4xlarge  $0.3000/h   16 vCPUs, at most 4 wanted; 65536 MiB of memory, at most 16384 wanted; architecture arm64, x86_64 needed; CPU by AWS, Intel needed; boot mode uefi, legacy-bios needed
    "#]],
    );
}

#[test]
fn spreading_is_named() {
    check(
        &group_with(&["m5.large/a"]),
        "allocation-strategy=diversified;pool-loss=100%",
        expect![[r#"
        m6i.large   $0.0500/h   is asked for, place 1
        m5.large    $0.0400/h   other pools hold fewer of the group
        m7i.large   $0.0950/h   saves 1 %, 10 % wanted
        r5.large    $0.1260/h   sold out: its spot price is not below its own on-demand price
        t3.large    $0.0250/h   burstable, the victim is not
        c5.large    $0.0300/h   4096 MiB of memory, 8192 needed
        m6a.large   -           CPU by AMD, Intel needed
        m5.4xlarge  $0.3000/h   16 vCPUs, at most 4 wanted; 65536 MiB of memory, at most 16384 wanted; architecture arm64, x86_64 needed; CPU by AWS, Intel needed; boot mode uefi, legacy-bios needed
    "#]],
    );
}

#[test]
fn a_cap_on_the_number_of_pools_is_named() {
    check(
        &group_with(&[]),
        "allocation-strategy=lowest-price;pools-to-use=1",
        expect![[r#"
            m5.large    $0.0400/h   is asked for, place 1
            m6i.large   $0.0500/h   others come first, and no more than 1 may be asked for
            m7i.large   $0.0950/h   saves 1 %, 10 % wanted
            r5.large    $0.1260/h   sold out: its spot price is not below its own on-demand price
            t3.large    $0.0250/h   burstable, the victim is not
            c5.large    $0.0300/h   4096 MiB of memory, 8192 needed
            m6a.large   -           CPU by AMD, Intel needed
            m5.4xlarge  $0.3000/h   16 vCPUs, at most 4 wanted; 65536 MiB of memory, at most 16384 wanted; architecture arm64, x86_64 needed; CPU by AWS, Intel needed; boot mode uefi, legacy-bios needed
        "#]],
    );
}

#[test]
fn what_is_dear_says_how_much_or_which_wish_it_is_against() {
    let dear = ["m5n.large 2 vCPUs 8 GiB on-demand 0.2 a 0.13", "m5d.large 2 vCPUs 8 GiB on-demand 0.2 a 0.096"];
    let market = support::market(&[&MARKET[..], &dear[..]].concat());
    expect![[r#"
        m5.large    $0.0400/h   is asked for, place 1
        m6i.large   $0.0500/h   saves 47 %, less than the owner's least saving or above the owner's price cap
        m7i.large   $0.0950/h   saves 1 %, less than the owner's least saving or above the owner's price cap
        m5d.large   $0.0960/h   saves 0 %, less than the owner's least saving or above the owner's price cap
        r5.large    $0.1260/h   sold out: its spot price is not below its own on-demand price
        m5n.large   $0.1300/h   costs 36 % more
        t3.large    $0.0250/h   burstable, the victim is not
        c5.large    $0.0300/h   4096 MiB of memory, 8192 needed
        m6a.large   -           CPU by AMD, Intel needed
        m5.4xlarge  $0.3000/h   16 vCPUs, at most 4 wanted; 65536 MiB of memory, at most 16384 wanted; architecture arm64, x86_64 needed; CPU by AWS, Intel needed; boot mode uefi, legacy-bios needed
    "#]].assert_eq(&told(&group_with(&[]), &market, "min-saving=0%;max-price=45%"));
    // The way back to on-demand: what the group launches, or what costs no more.
    let mut group = group_with(&["m5.large/a"]);
    group.members.remove(0);
    expect![[r#"
        m5.large    $0.0960/h   is asked for, place 1
        m6i.large   $0.0960/h   is asked for, place 2
        m7i.large   $0.1000/h   costs 5 % more
        r5.large    $0.1260/h   costs 32 % more
        m5d.large   $0.2000/h   costs 109 % more
        m5n.large   $0.2000/h   costs 109 % more
        t3.large    $0.0832/h   burstable, the victim is not
        c5.large    $0.0850/h   4096 MiB of memory, 8192 needed
        m6a.large   $0.0864/h   CPU by AMD, Intel needed
        m5.4xlarge  $0.7680/h   16 vCPUs, at most 4 wanted; 65536 MiB of memory, at most 16384 wanted; architecture arm64, x86_64 needed; CPU by AWS, Intel needed; boot mode uefi, legacy-bios needed
    "#]].assert_eq(&told(&group, &market, ""));
}

#[test]
fn what_the_zone_does_not_offer_is_named() {
    let mut market = support::market(&MARKET);
    market.offerings.get_mut("a").expect("offers").remove("m6i.large");
    let text = told(&group_with(&[]), &market, "");
    assert!(text.contains("m6i.large   $0.0500/h   not offered in the zone\n"), "{text}");
    market.offerings.clear();
    let text = told(&group_with(&[]), &market, "");
    assert!(text.contains("m5.large    $0.0400/h   not offered in the zone\n"), "{text}");
}

#[test]
fn what_is_interrupted_too_often_is_named() {
    let mut market = support::market(&MARKET);
    market.risk.advisor.insert("m6i.large".into(), InterruptionFrequency::From10To15);
    let text = told(&group_with(&[]), &market, "max-interruptions=10%");
    let line = text.lines().find(|line| line.starts_with("m6i.large")).expect("every type is there");
    expect!["m6i.large   $0.0500/h   interrupted more often than its owner wants: 15 of 100 interrupted a month (advisor 10-15%)"].assert_eq(line);
}

#[test]
fn what_stands_against_a_type_has_a_code() {
    let coded = |settings: &str, name: &str, market: &Market, group: &Group| {
        let told = explain(&group.members[0], group, &support::launch(), market, &support::policy(settings), minute(0));
        let found = told.candidates.iter().find(|candidate| candidate.instance_type.as_str() == name);
        found.expect("every type is there").verdict.code()
    };
    let (market, alone) = (support::market(&MARKET), group_with(&[]));
    let code = |settings: &str, name: &str| coded(settings, name, &market, &alone);
    assert_eq!(code("", "m5.large"), "asked");
    assert_eq!(code("", "m7i.large"), "too-dear");
    assert_eq!(code("", "r5.large"), "sold-out");
    assert_eq!(code("", "c5.large"), "mismatched");
    assert_eq!(code("cpu-manufacturer=any", "m6a.large"), "no-price");
    assert_eq!(code("allocation-strategy=lowest-price;pools-to-use=1", "m6i.large"), "beyond-most");
    let full = group_with(&["m5.large/a"; 2]);
    assert_eq!(coded("pool-loss=25%", "m5.large", &market, &full), "over-budget");
    let spread = group_with(&["m5.large/a"]);
    let settings = "allocation-strategy=diversified;pool-loss=100%";
    assert_eq!(coded(settings, "m5.large", &market, &spread), "spread-elsewhere");
}

#[test]
fn without_the_member_s_own_price_nothing_can_be_compared() {
    let mut market = support::market(&MARKET);
    market.on_demand.remove("m5.large");
    let text = told(&group_with(&[]), &market, "");
    assert!(text.ends_with("nothing: no on-demand price is known for m5.large\n"), "{text}");
    assert!(!text.contains("is asked for"), "{text}");
}

/// The ranks are the launch's pools, in its order, on the real types: no second opinion.
#[test]
fn the_ranks_are_the_plan_s_own() {
    let market = support::real::market();
    for settings in ["", "min-saving=60%", "allocation-strategy=lowest-price;pools-to-use=3", "allowed-types=m*,c*"] {
        let mut group = group(1);
        group.members.push(member("i-0", "m5.large/us-east-1a", PurchaseOption::OnDemand, minute(-600)));
        let policy = support::policy(settings);
        let told = explain(&group.members[0], &group, &support::launch(), &market, &policy, minute(0));
        let pools = told.pools.expect("there are pools");
        let ranked: Vec<_> = told
            .candidates
            .iter()
            .filter(|candidate| matches!(candidate.verdict, Verdict::Asked { .. }))
            .map(|candidate| (candidate.instance_type.clone(), candidate.price))
            .collect();
        let asked: Vec<_> = pools.iter().map(|pool| (pool.instance_type.clone(), Some(pool.price))).collect();
        assert_eq!(ranked, asked, "{settings}");
        assert_eq!(told.candidates.len(), market.specs.len(), "every type is there");
    }
}
