//! What is said about each type agrees with what a plan asks for, and names the first thing that stands against it.

#[path = "market_support/mod.rs"]
mod support;

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use planner::explain::{Verdict, explain};
use planner::market::Market;
use planner::model::{Group, PurchaseOption, tag};
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
        m6i.large   $0.0500/h   1 pools are asked for at most, and others come first
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
