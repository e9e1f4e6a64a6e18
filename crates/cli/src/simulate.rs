//! `spotward simulate`: the engine against a region in memory, from a seed. No account is needed or touched.

use planner::policy::Config;
use sim::{Blow, Finale, Kind, Options, SCENARIOS, Scenario, Storm, Unknowns};

use crate::failure::{Exit, Failure};
use crate::output::{Output, Tone};

const EXAMPLES: &str = "\
Examples:
  spotward simulate --list                         what can be played
  spotward simulate --scenario weather --seed 7    everything from one seed
  spotward simulate --seeds 10000                  ten thousand of them, until a promise breaks
  spotward simulate --scenario weather --seed 7 --trace
  spotward simulate --scenario full --strike crash@100 --trace
                                                   the worker dies before its hundredth call

The same scenario and seed give the same run on every machine.

Exit status:
  0  every promise held
  1  a mistake of the caller: unknown scenario, wrong flag
  4  a promise broke: the report names it, and how to play it again";

/// Play swaps in a region in memory, with faults, and check every promise
///
/// The decisions are those of the function; AWS is simulated. No account is needed or touched.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to play
    #[arg(long, value_name = "NAME", default_value = "weather")]
    pub scenario: String,
    /// Where chance begins
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// So many seeds, counted up from --seed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// Print every pass: what was seen, decided, done, answered
    #[arg(long)]
    pub trace: bool,
    /// Strike one call: crash, crash-after, lost-reply, retry or throttle, and the number of the call
    #[arg(long, value_name = "BLOW@CALL", value_parser = Blow::at_call)]
    pub strike: Option<(u64, Blow)>,
    /// Perform every action twice
    #[arg(long)]
    pub twice: bool,
    /// Two workers on the group from beginning to end, although the queue prevents it
    #[arg(long)]
    pub two_workers: bool,
    /// Answer an open question about AWS the other way: U-1, U-3, U-4, U-5, U-7, U-10, U-10-slow or U-11-at-once
    #[arg(long, value_name = "QUESTION", value_parser = Unknowns::answering)]
    pub answer: Option<Unknowns>,
    /// How it ends: revert takes every spot member back, uninstall takes away everything of ours
    #[arg(long, value_name = "revert|uninstall", value_parser = Finale::named)]
    pub finale: Option<Finale>,
    /// Leave kinds of weather out, by the names that a report counts them by
    #[arg(long, value_name = "KIND,...", value_delimiter = ',', value_parser = Kind::named)]
    pub without: Vec<Kind>,
    /// List the scenarios
    #[arg(long, exclusive = true)]
    pub list: bool,
}

/// The scenario in which group, weather and the answers to the open questions about AWS all come from the seed.
const WEATHER: &str = "weather";

/// The command.
pub async fn command(args: Args, _config: &Config) -> Result<Exit, Failure> {
    let out = Output::new();
    if args.list {
        out.print(&list(&out));
        return Ok(Exit::Nothing);
    }
    let (scenario, storm) = choice(&args.scenario)?;
    if let (Storm::Drawn, Some(_)) = (&storm, args.answer) {
        let hint = "name a scenario (`spotward simulate --list`), or leave --answer out";
        return Err(Failure::user("the weather draws its answers to the open questions from the seed", hint));
    }
    let options = Options {
        storm,
        unknowns: args.answer.unwrap_or_default(),
        blow: args.strike,
        twice: args.twice,
        two_workers: args.two_workers,
        without: args.without,
        trace: args.trace,
        finale: args.finale.unwrap_or(Finale::Settle),
    };
    let last = args.seed.saturating_add(args.seeds - 1);
    for seed in args.seed..=last {
        out.waiting_for(format!("seed {seed} of {last}"));
        let report = sim::run(scenario, seed, &options);
        let broken = !report.is_safe();
        if let Some((call, _)) = args.strike.filter(|(call, _)| !broken && *call > report.calls) {
            let hint = format!("the run with seed {seed} makes {} calls", report.calls);
            return Err(Failure::user(format!("there is no call {call} to strike"), hint));
        }
        // Of many runs only the one that matters is shown.
        if broken || args.seeds == 1 {
            out.print(&report.to_string());
        }
        if broken {
            out.done();
            return Ok(Exit::Unsettled);
        }
    }
    out.done();
    if args.seeds > 1 {
        out.print(&format!(
            "scenario {}: seeds {} to {last}: every promise held in every run\n",
            args.scenario, args.seed
        ));
    }
    Ok(Exit::Nothing)
}

fn choice(name: &str) -> Result<(&'static Scenario, Storm), Failure> {
    if name == WEATHER {
        return Ok((&SCENARIOS[0], Storm::Drawn));
    }
    let scenario = sim::named(name).ok_or_else(|| {
        Failure::user(format!("no scenario {name:?}"), "`spotward simulate --list` shows what there is")
    })?;
    Ok((scenario, Storm::Calm))
}

fn list(out: &Output) -> String {
    let row = |name: &str, about: &str| vec![(Tone::Head, name.to_owned()), (Tone::Plain, about.to_owned())];
    let drawn = row(WEATHER, "everything from the seed: group, faults, foreign actors, how AWS behaves");
    let rows = std::iter::once(drawn).chain(SCENARIOS.iter().map(|scenario| row(scenario.name, scenario.about)));
    out.table(&["scenario", "what it is about"], rows.collect())
}
