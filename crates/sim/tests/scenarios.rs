//! Every scenario of the table: promises hold, and it ends at rest.

use sim::{Blow, Finale, Kind, Options, SCENARIOS, Storm, Unknowns, run};

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

#[test]
fn a_report_says_how_to_play_its_run_again() {
    let [_, (question, second_terminate_decrements), ..] = Unknowns::other_answers();
    assert_eq!(question, "U-3");
    let plain = Options::default();
    let full = sim::named("full").expect("in the table");
    let weather = Options { storm: Storm::Drawn, ..Options::default() };
    for (options, flags) in [
        (Options { blow: Some((100, Blow::LostReply)), ..plain.clone() }, "full --strike lost-reply@100"),
        (Options { twice: true, two_workers: true, ..plain.clone() }, "full --twice --two-workers"),
        (Options { finale: Finale::Revert, ..weather.clone() }, "weather --finale revert"),
        (Options { finale: Finale::Uninstall, ..weather.clone() }, "weather --finale uninstall"),
        (Options { without: vec![Kind::Crash, Kind::StaleRead], ..weather }, "weather --without Crash,StaleRead"),
        (plain.clone(), "full"),
    ] {
        let report = run(full, 1, &options);
        assert_eq!(report.replay, format!("spotward simulate --seed 1 --scenario {flags} --trace"));
        assert!(report.is_safe(), "{report}");
    }
    // What the promises assume about AWS does not hold here: somebody has to notice.
    let broken = run(full, 1, &Options { twice: true, unknowns: second_terminate_decrements, ..plain });
    assert!(!broken.is_safe());
    let last = broken.to_string().lines().last().map(str::to_owned);
    let replay = "replay: spotward simulate --seed 1 --scenario full --twice --answer U-3 --trace";
    assert_eq!(last.as_deref(), Some(replay));
}
