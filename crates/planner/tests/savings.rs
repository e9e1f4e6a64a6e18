//! What a group costs and saves: each case names the rule.

mod support;

use expect_test::{Expect, expect};
use planner::plan::{Planner, plan};
use planner::savings::savings;
use support::{Picture, picture};

/// Micro-dollars per hour. The market of a picture without one: m5.large at $0.10, spot $0.04.
fn check(text: &str, expected: Expect) {
    let Picture { observation, market, config } = picture(text);
    let market = market.expect("prices");
    let plan = plan(&observation, Some(&market), &config);
    let savings = savings(&observation, &plan, &market, &config);
    let mut planner = Planner::new(Some(&market), &config);
    let again = planner.plan(&observation);
    assert_eq!(format!("{again:?}"), format!("{plan:?}"));
    assert_eq!(planner.savings(&observation, &plan), Some(savings.clone()), "whoever plans many groups says the same");
    let swap = savings.swap.map_or("none".to_owned(), |swap| format!("{} to {}", swap.least, swap.most));
    expected.assert_eq(&format!(
        "costs {}, saved {}, this swap {swap}, left {} to {} by {}, unpriced {}",
        savings.cost_now,
        savings.already(),
        savings.left.least,
        savings.left.most,
        savings.swaps_left,
        savings.unpriced
    ));
}

#[test]
fn every_member_above_the_floor_counts_once() {
    check(
        "group web  desired 3
           set min-on-demand=1
           i-1  on-demand
           i-2  on-demand
           i-3  on-demand",
        expect!["costs 300000, saved 0, this swap 60000 to 60000, left 120000 to 120000 by 2, unpriced 0"],
    );
}

#[test]
fn the_pool_is_ec2s_choice_so_a_saving_is_a_range() {
    check(
        "group web  desired 1
           market m5.large 0.10 spot 0.04 m6i.large 0.11 spot 0.06
           i-1  on-demand",
        expect!["costs 100000, saved 0, this swap 40000 to 60000, left 40000 to 60000 by 1, unpriced 0"],
    );
}

#[test]
fn what_is_spot_already_is_saved_against_the_type_that_the_group_launches() {
    check(
        "group web  desired 1
           template type m5.large
           market m5.large 0.10 spot 0.04 m6i.large 0.11 spot 0.06
           i-1  spot  type m6i.large  finished",
        expect!["costs 60000, saved 40000, this swap none, left 0 to 0 by 0, unpriced 0"],
    );
}

#[test]
fn a_protected_member_is_not_counted_and_a_young_one_is() {
    check(
        "group web  desired 3
           i-1  on-demand
           i-2  on-demand  protected
           i-3  on-demand  age 1m",
        expect!["costs 300000, saved 0, this swap 60000 to 60000, left 120000 to 120000 by 2, unpriced 0"],
    );
}

#[test]
fn a_replica_in_flight_costs_already_and_saves_when_it_is_over() {
    check(
        "group web  desired 2
           i-1  on-demand
           i-2  on-demand
           i-9  spot  unattached  running  replaces i-1",
        expect!["costs 240000, saved 0, this swap 60000 to 60000, left 120000 to 120000 by 2, unpriced 0"],
    );
    check(
        "group web  desired 2  max 3
           journal i-9 for i-1  desired 1
           i-1  on-demand
           i-9  spot  replaces i-1",
        expect!["costs 140000, saved 0, this swap 60000 to 60000, left 60000 to 60000 by 1, unpriced 0"],
    );
}

#[test]
fn the_swap_in_flight_is_the_one_that_the_journal_names() {
    check(
        "group web  desired 2
           market m5.large 0.10 spot 0.04 m6i.large 0.11 spot 0.05
           journal i-9 for i-2  desired 2
           i-1  on-demand
           i-2  on-demand
           i-8  spot  unattached  running  replaces i-1
           i-9  spot  unattached  running  type m6i.large  replaces i-2",
        expect!["costs 290000, saved 0, this swap 50000 to 50000, left 100000 to 110000 by 2, unpriced 0"],
    );
}

#[test]
fn what_is_gone_or_on_its_way_out_is_no_swap() {
    check(
        "group web  desired 1
           i-1  on-demand  protected
           i-8  spot  unattached  terminated  replaces i-1
           i-9  on-demand  unattached  running  doomed",
        expect!["costs 200000, saved 0, this swap none, left 0 to 0 by 0, unpriced 0"],
    );
}

#[test]
fn a_replica_without_a_price_is_named_too() {
    check(
        "group web  desired 1
           i-1  on-demand
           i-9  spot  unattached  running  type x9.huge  replaces i-1",
        expect!["costs 100000, saved 0, this swap none, left 0 to 0 by 0, unpriced 1"],
    );
}

#[test]
fn the_way_back_costs_more() {
    check(
        "group web  desired 1
           set min-on-demand=1
           i-1  spot  finished",
        expect!["costs 40000, saved 60000, this swap -60000 to -60000, left -60000 to -60000 by 1, unpriced 0"],
    );
}

#[test]
fn nothing_is_promised_where_the_settings_cannot_be_understood() {
    check(
        "group web  desired 1
           set min-on-demand=50%%
           i-1  on-demand",
        expect!["costs 100000, saved 0, this swap none, left 0 to 0 by 0, unpriced 0"],
    );
}

#[test]
fn a_running_spot_instance_pays_its_price_even_above_on_demand() {
    check(
        "group web  desired 1
           market m5.large 0.10 spot 0.12
           i-1  spot  finished",
        expect!["costs 120000, saved -20000, this swap none, left 0 to 0 by 0, unpriced 0"],
    );
}

#[test]
fn an_instance_without_a_price_is_named_not_guessed() {
    check(
        "group web  desired 2
           i-1  on-demand
           i-2  on-demand  type x9.huge",
        expect!["costs 100000, saved 0, this swap 60000 to 60000, left 60000 to 60000 by 1, unpriced 1"],
    );
}
