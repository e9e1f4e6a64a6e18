//! From any situation, however torn, a calm world comes to rest: nothing of ours is left over, the guard never objects,
//! and nobody is removed whom the group needs.

mod support;

use expect_test::{Expect, expect};
use planner::action::Action;
use planner::guard;
use planner::model::{Replica, Role};
use planner::plan::{Plan, plan};
use proptest::prelude::*;
use support::{Calm, action, picture, short_times};

/// A group of five is swapped one by one in far less.
const STEPS_MAX: usize = 900;

/// Every action on the way to rest, or what went wrong.
fn story(text: &str) -> Result<Vec<String>, String> {
    let mut world = Calm::of(picture(text));
    let mut story = Vec::new();
    for _ in 0..STEPS_MAX {
        let seen = &world.picture;
        let plan = plan(&seen.observation, seen.market.as_ref(), &seen.config);
        if let Some(need) = &plan.need {
            world.tell(need);
            continue;
        }
        if let Some(done) = &plan.action {
            guard::check(&seen.observation, done, &seen.config)
                .map_err(|refusal| format!("the guard objects: {refusal}\n{}", story.join("\n")))?;
            nobody_is_missed(&world, done).map_err(|why| format!("{why}\n{}", story.join("\n")))?;
            story.push(format!("{:11} {}", plan.swap, short_times(&action(done))));
            world.apply(done);
            continue;
        }
        if is_at_rest(&world, &plan) {
            return Ok(story);
        }
        world.pass();
    }
    Err(format!("never comes to rest:\n{}", story.join("\n")))
}

/// No removal of ours takes the group below what was wanted before the swap.
fn nobody_is_missed(world: &Calm, done: &Action) -> Result<(), String> {
    let (Action::Terminate { member: id, .. } | Action::Detach { victim: id, .. }) = done else { return Ok(()) };
    let group = &world.picture.observation.group;
    let left = group.members.iter().filter(|member| member.id != *id && member.serves()).count() as u32;
    if left + 1 < group.desired { Err(format!("{left} would serve after: {}", action(done))) } else { Ok(()) }
}

/// Nothing to do, nothing of ours in flight, and the troubles of the beginning are over.
fn is_at_rest(world: &Calm, plan: &Plan) -> bool {
    let group = &world.picture.observation.group;
    let hands_off = plan.swap == "foreign" || plan.swap == "unreadable";
    let outside =
        |replica: &Replica| replica.state.is_alive() && replica.ours.role != Role::Member && !replica.was_member;
    let in_flight = group.journal().is_some()
        || group.members.iter().any(|member| member.is_replica() && !member.lifecycle.is_leaving())
        || group.replicas.iter().any(outside);
    plan.is_quiet() && world.is_late() && (hands_off || !in_flight)
}

fn check(text: &str, expected: Expect) {
    let story = story(text).unwrap_or_else(|why| panic!("{why}"));
    expected.assert_eq(&(story.join("\n") + "\n"));
}

#[test]
fn a_full_group_of_two_zones_is_swapped_one_by_one() {
    check(
        "group web  max 2
           i-1  on-demand  zone a
           i-2  on-demand  zone b",
        expect![[r#"
            idle        launch spot for i-1 in us-east-1a: m5.large $0.0400/h
            warming     arm i-300 for i-1 at desired 2, to raise MaxSize 2 -> 3, to suspend AZRebalance
            armed       prepare: suspend AZRebalance, raise MaxSize 2 -> 3
            armed       attach i-300 if 2 are wanted and 2 serve
            attached    terminate i-1 if 3 are wanted and 3 serve
            settling    restore: MaxSize 3 -> 2, resume AZRebalance
            settling    finish: i-300 is a member, drop the journal
            idle        launch spot for i-2 in us-east-1b: m5.large $0.0400/h
            warming     arm i-301 for i-2 at desired 2, to raise MaxSize 2 -> 3, to suspend AZRebalance
            armed       prepare: suspend AZRebalance, raise MaxSize 2 -> 3
            armed       attach i-301 if 2 are wanted and 2 serve
            attached    terminate i-2 if 3 are wanted and 3 serve
            settling    restore: MaxSize 3 -> 2, resume AZRebalance
            settling    finish: i-301 is a member, drop the journal
        "#]],
    );
}

#[test]
fn the_floor_comes_back() {
    check(
        "group web  max 3
           i-1  spot  finished
           i-2  spot  finished
           set  min-on-demand=1",
        expect![[r#"
            idle        launch on-demand for i-1 in us-east-1a: m5.large $0.1000/h
            warming     arm i-300 for i-1 at desired 2
            armed       attach i-300 if 2 are wanted and 2 serve
            attached    terminate i-1 if 3 are wanted and 3 serve
            settling    finish: i-300 is a member, drop the journal
        "#]],
    );
}

#[test]
fn a_group_that_is_disabled_in_the_middle_is_as_it_was() {
    check(
        "group web  max 2  not-enabled
           i-1  on-demand
           i-9  spot  replaces i-1
           journal  i-9 for i-1  desired 1  max 1>2  az
           suspended  AZRebalance",
        expect![[r#"
            attached    terminate i-9 if 2 are wanted and 2 serve
            settling    restore: MaxSize 2 -> 1, resume AZRebalance
            settling    finish: drop the journal
        "#]],
    );
}

#[test]
fn removal_by_detach_ends_its_victims() {
    check(
        "group web
           i-1  on-demand
           set  removal=detach
           propagates  spot-enabled=true",
        expect![[r#"
            idle        launch spot for i-1 in us-east-1a: m5.large $0.0400/h
            warming     arm i-300 for i-1 at desired 1
            armed       attach i-300 if 1 are wanted and 1 serve
            attached    doom i-1 until 13:06:00
            attached    detach i-1 if 2 are wanted and 2 serve
            settling    finish: i-300 is a member, drop the journal
            stray       end doomed i-1
        "#]],
    );
}

/// One of the words, most often the first.
fn word(first: &'static str, others: &'static [&'static str]) -> BoxedStrategy<&'static str> {
    prop_oneof![3 => Just(first), 1 => proptest::sample::select(others)].boxed()
}

fn member(id: &'static str) -> impl Strategy<Value = String> {
    let states: &[&str] = &["Pending", "Terminating", "Standby", "Detaching", "Terminating:Retained", "Quarantined"];
    let troubles: &[&str] =
        &["unhealthy", "protected", "unseen", "shutting-down", "termination-protected", "elastic-ip"];
    let ours: &[&str] = &["finished", "doomed", "finished replaces i-1", "finished replaces i-2"];
    (
        word("on-demand", &["spot"]),
        word("", states),
        word("", troubles),
        word("", ours),
        word("zone a", &["zone b"]),
        word("", &["age 20s", "age 4m", "type m5.xlarge", "not-looked-closer"]),
    )
        .prop_map(move |words| format!("{id} {} {} {} {} {} {}", words.0, words.1, words.2, words.3, words.4, words.5))
}

fn replica(id: &'static str) -> impl Strategy<Value = String> {
    let states: &[&str] =
        &["pending", "stopping", "stopped", "shutting-down", "terminated", "interrupted", "was-member"];
    let inside: &[&str] = &["Pending", "Terminating", "unhealthy", "protected", "shutting-down", "unseen", "finished"];
    let tail = (
        word("spot", &["on-demand"]),
        word("replaces i-1", &["replaces i-2", "replaces i-7"]),
        word("", &["deadline 4m", "deadline -2h", "zone b", "by other"]),
    );
    let outside = word("", states).prop_map(|state| format!("unattached {state}"));
    let inside = word("", inside).prop_map(str::to_owned);
    (prop_oneof![outside, inside], tail)
        .prop_map(move |(place, (purchase, victim, more))| format!("{id} {purchase} {place} {victim} {more}"))
}

fn journal() -> impl Strategy<Value = String> {
    let changes: &[&str] = &["max 1>2", "max 2>3", "max 3>4", "max 4>5", "az", "max 3>4 az"];
    (
        word("i-9", &["i-8", "i-2", "i-77"]),
        word("i-1", &["i-2", "i-9", "i-78"]),
        0u32..5,
        word("", changes),
        word("age 1m", &["age 5s", "age 31m", "age 3h"]),
        word("", &["copy-only", "uncopied", "by other"]),
    )
        // No swap replaces an instance by itself.
        .prop_filter("two instances", |(into, out, ..)| into != out)
        .prop_map(|(into, out, desired, changes, age, place)| {
            format!("journal {into} for {out} desired {desired} {changes} {age} {place}")
        })
}

fn pictures() -> impl Strategy<Value = String> {
    let group = (
        proptest::option::of(0u32..6),
        0u32..3,
        1u32..7,
        word("", &["not-enabled", "load-balanced", "new-members-protected"]),
    )
        .prop_map(|(desired, min, max, more)| {
            let desired = desired.map(|desired| desired.clamp(min.min(max), max));
            let desired = desired.map_or(String::new(), |desired| format!("desired {desired}"));
            // MaxSize below the members that are there would be another story.
            format!("group web {desired} min {} max {} {more}", min.min(max), max.max(5))
        });
    let settings: &[&str] = &[
        "set min-on-demand=1",
        "set min-on-demand=50%",
        "set min-on-demand=9",
        "set removal=detach\npropagates spot-enabled=true",
        "set on-max=skip",
        "set settle=soon",
    ];
    let troubles: &[&str] = &[
        "suspended AZRebalance",
        "suspended Terminate",
        "activity i-1 started 30s shrank 2>1 by-request",
        "activity i-1 started 30s shrank 3>2 by-request",
        "activity i-1 started 30s",
        "activity i-9 started 30s shrank 4>3 by-request",
        "activity i-4 started 30s running",
    ];
    let members = (member("i-1"), member("i-2"), proptest::option::of(member("i-3")));
    let replicas = (proptest::option::of(replica("i-9")), proptest::option::weighted(0.2, replica("i-8")));
    (group, members, replicas, proptest::option::weighted(0.7, journal()), word("", settings), word("", troubles))
        .prop_map(|(group, (one, two, three), (nine, eight), journal, settings, troubles)| {
            let lines = [Some(group), Some(one), Some(two), three, nine, eight, journal];
            let lines: Vec<String> =
                lines.into_iter().flatten().chain([settings.to_owned(), troubles.to_owned()]).collect();
            lines.join("\n")
        })
}

/// Ten thousand, the same ones always; more with `PROPTEST_CASES`, others with `PROPTEST_RNG_SEED`.
fn many() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(10_000), failure_persistence: None, ..config }
}

proptest! {
    #![proptest_config(many())]

    #[test]
    fn every_situation_comes_to_rest(text in pictures()) {
        if let Err(why) = story(&text) {
            prop_assert!(false, "{text}\n\n{why}");
        }
    }
}
