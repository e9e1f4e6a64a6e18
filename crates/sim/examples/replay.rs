//! Plays one run step by step, with the flags of `spotward simulate` and without compiling an AWS SDK:
//! `cargo run -p sim --example replay -- --seed 7 --scenario full --strike crash@100`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints for people")]

use std::process::ExitCode;

use sim::{Blow, Finale, Kind, Options, RunReport, SCENARIOS, Storm, Unknowns, named, run};

fn played(mut flags: impl Iterator<Item = String>) -> Result<RunReport, String> {
    let mut seed = 1;
    let mut scenario = &SCENARIOS[0];
    let mut options = Options { storm: Storm::Drawn, trace: true, ..Options::default() };
    while let Some(flag) = flags.next() {
        let mut value = || flags.next().ok_or_else(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--seed" => seed = value()?.parse().map_err(|_| "--seed needs a number".to_owned())?,
            "--scenario" => match value()?.as_str() {
                "weather" => options.storm = Storm::Drawn,
                name => {
                    scenario = named(name).ok_or_else(|| format!("no scenario {name:?}"))?;
                    options.storm = Storm::Calm;
                }
            },
            "--strike" => options.blow = Some(Blow::at_call(&value()?)?),
            "--answer" => options.unknowns = Unknowns::answering(&value()?)?,
            "--finale" => options.finale = Finale::named(&value()?)?,
            "--without" => options.without = value()?.split(',').map(Kind::named).collect::<Result<_, _>>()?,
            "--twice" => options.twice = true,
            "--two-workers" => options.two_workers = true,
            "--trace" => {}
            _ => return Err(format!("no flag {flag:?}")),
        }
    }
    if matches!(options.storm, Storm::Drawn) && options.unknowns != Unknowns::default() {
        return Err("--answer needs a --scenario: the weather draws its answers from the seed".to_owned());
    }
    Ok(run(scenario, seed, &options))
}

fn main() -> ExitCode {
    match played(std::env::args().skip(1)) {
        Ok(report) => {
            println!("{report}");
            if report.is_safe() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
