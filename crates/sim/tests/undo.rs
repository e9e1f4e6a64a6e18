//! The ways out: everything back to on-demand, and nothing of us left, under any weather.
#![allow(clippy::print_stderr, reason = "a record for people: how many seeds, what they came to")]

use sim::{Finale, Options, RunReport, SCENARIOS, Storm, run};

/// Seeds of each test; `UNDO_SEEDS` runs more.
const SEEDS: u64 = 250;

fn play(finale: Finale, check: impl Fn(&RunReport) -> Result<(), String>) {
    let seeds = std::env::var("UNDO_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    let mut wrong: Vec<(String, String)> = Vec::new();
    let mut terminated = 0;
    for seed in 1..=seeds {
        let report = run(&SCENARIOS[0], seed, &Options { storm: Storm::Drawn, finale, ..Options::default() });
        terminated += report.actions.get("terminate").copied().unwrap_or(0);
        if let Some(violation) = &report.violation {
            wrong.push((report.replay, format!("{}: {}", violation.promise, violation.what)));
        } else if let Err(why) = check(&report) {
            wrong.push((report.replay, why));
        }
    }
    eprintln!("{finale:?}: {seeds} seeds, {terminated} members terminated, {} wrong", wrong.len());
    assert!(terminated >= seeds / 8, "hardly a swap was completed: nothing was there to undo");
    assert!(wrong.is_empty(), "{} of {seeds} seeds\n{:#?}", wrong.len(), &wrong[..wrong.len().min(12)]);
}

#[test]
fn reverted_groups_end_on_demand_and_never_fall_below_desired() {
    play(Finale::Revert, |report| match report.spot_left {
        0 => Ok(()),
        left => Err(format!("{left} spot members are left")),
    });
}

#[test]
fn an_uninstall_leaves_no_tag_no_template_no_journal_and_no_setting_changed() {
    play(Finale::Uninstall, |report| match report.marks_left.is_empty() {
        true => Ok(()),
        false => Err(report.marks_left.join(", ")),
    });
}
