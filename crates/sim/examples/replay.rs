//! Replays one run step by step: `cargo run -p sim --example replay -- SEED [SCENARIO|weather] [without=Kind,Kind] [revert|uninstall]`.
#![allow(clippy::print_stdout, reason = "it prints for people")]

use std::process::ExitCode;

use sim::{Finale, Kind, Options, SCENARIOS, Storm, named, run};

fn main() -> ExitCode {
    let mut seed = 1;
    let mut scenario = None;
    let mut options = Options { storm: Storm::Drawn, trace: true, ..Options::default() };
    for argument in std::env::args().skip(1) {
        if let Ok(number) = argument.parse() {
            seed = number;
        } else if let Some(kinds) = argument.strip_prefix("without=") {
            let wanted: Vec<&str> = kinds.split(',').collect();
            options.without =
                Kind::ALL.into_iter().filter(|kind| wanted.contains(&format!("{kind:?}").as_str())).collect();
        } else if argument == "twice" {
            options.twice = true;
        } else if argument == "two-workers" {
            options.two_workers = true;
        } else if argument == "revert" {
            options.finale = Finale::Revert;
        } else if argument == "uninstall" {
            options.finale = Finale::Uninstall;
        } else if let Some(found) = named(&argument) {
            scenario = Some(found);
            options.storm = Storm::Calm;
        }
    }
    let report = run(scenario.unwrap_or(&SCENARIOS[0]), seed, &options);
    println!("{report}");
    if report.is_safe() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
