//! Every scenario of the table: promises hold, and it ends at rest.

use sim::{Options, SCENARIOS, run};

#[test]
fn every_scenario_is_safe_and_comes_to_rest() {
    let mut broken = Vec::new();
    for scenario in SCENARIOS {
        let report = run(scenario, 1, &Options::default());
        if !report.is_safe() {
            broken.push(run(scenario, 1, &Options { trace: true, ..Options::default() }).to_string());
        }
    }
    assert!(broken.is_empty(), "{} scenarios broke a promise\n{}", broken.len(), broken.join("\n\n"));
}

#[test]
fn watchers_decide_who_joins() {
    let count = |name: &str, action: &str| {
        let report = run(sim::named(name).expect("in the table"), 1, &Options::default());
        report.actions.get(action).copied().unwrap_or(0)
    };
    assert_eq!((count("watcher", "record-ready"), count("watcher", "attach"), count("watcher", "discard")), (2, 2, 0));
    assert!(count("watcher-silent", "discard") > 0, "replicas whose watcher is silent are not kept");
}

#[test]
fn every_deed_of_every_script_has_its_moment() {
    let unplayed = |scenario: &&sim::Scenario| run(scenario, 1, &Options::default()).unplayed > 0;
    let idle: Vec<&str> = SCENARIOS.iter().filter(unplayed).map(|scenario| scenario.name).collect();
    assert!(idle.is_empty(), "what these are about never happens: {idle:?}");
}
