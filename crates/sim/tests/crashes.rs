//! Exhaustive: every scenario with one blow at every call: the worker dies before or after it, its answer is lost, the
//! client library repeats it, it is throttled. And every scenario with every action performed twice.

use std::sync::atomic::{AtomicUsize, Ordering};

use sim::{Blow, Options, RunReport, SCENARIOS, Scenario, run};

/// Plays all of `runs` on two threads; the reports of those that broke a promise.
fn broken(runs: &[(&Scenario, Options)]) -> Vec<RunReport> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let runs = std::iter::from_fn(|| runs.get(next.fetch_add(1, Ordering::Relaxed)));
        runs.map(|(scenario, options)| run(scenario, 1, options)).filter(|report| !report.is_safe()).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(worker);
        let mut all = worker();
        all.extend(other.join().expect("the other half"));
        all
    })
}

fn report(all: &[RunReport]) -> String {
    all.iter().take(20).map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn blows(choose: impl Fn(&RunReport) -> Vec<u64>, blow: Blow) -> Vec<(&'static Scenario, Options)> {
    let calls = |scenario: &'static Scenario| {
        let calls = choose(&run(scenario, 1, &Options::default()));
        calls.into_iter().map(move |call| (scenario, Options { blow: Some((call, blow)), ..Options::default() }))
    };
    SCENARIOS.iter().flat_map(calls).collect()
}

fn check(runs: &[(&Scenario, Options)], at_least: usize) {
    assert!(runs.len() >= at_least, "only {} runs: the scenarios do less than they should", runs.len());
    let broken = broken(runs);
    assert!(broken.is_empty(), "{} of {} runs broke a promise\n{}", broken.len(), runs.len(), report(&broken));
}

#[test]
fn a_worker_may_die_before_any_call() {
    check(&blows(|report| (1..=report.calls).collect(), Blow::Crash), 5_000);
}

#[test]
fn a_worker_may_die_after_any_effect() {
    check(&blows(|report| report.changes.clone(), Blow::CrashAfter), 500);
}

#[test]
fn any_answer_may_be_lost() {
    check(&blows(|report| report.changes.clone(), Blow::LostReply), 500);
}

#[test]
fn any_call_may_be_repeated_by_the_client_library() {
    check(&blows(|report| report.changes.clone(), Blow::Retry), 500);
}

#[test]
fn any_call_may_be_throttled() {
    // The first swap of each scenario: what comes after it is the same again.
    check(&blows(|report| (1..=report.calls.min(100)).collect(), Blow::Throttle), 2_000);
}

#[test]
fn every_action_may_be_performed_twice() {
    let runs: Vec<_> =
        SCENARIOS.iter().map(|scenario| (scenario, Options { twice: true, ..Options::default() })).collect();
    check(&runs, SCENARIOS.len());
}
