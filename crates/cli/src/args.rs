//! The command line: one definition for parsing and for the help that teaches.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use jiff::SignedDuration;

const EXAMPLES: &str = "\
Examples:
  spotward plan                         what would happen to the enabled groups now
  spotward plan --all                   the same for every group, as if it were enabled
  spotward plan web --json | jq .       one group, for programs
  spotward run --once                   one step for each enabled group (for cron)
  spotward run web --until-settled      swap until nothing is left to do, then show before and after
  spotward simulate --seed 7            the same decisions in a simulated region, without an account

Enable a group by its tag, disable it by deleting the tag:
  aws autoscaling create-or-update-tags --tags \\
    ResourceId=web,ResourceType=auto-scaling-group,Key=spot-enabled,Value=true,PropagateAtLaunch=false

Credentials and region come from the standard AWS configuration (AWS_PROFILE, AWS_REGION, …).";

/// Replaces the on-demand members of Auto Scaling groups by compatible, cheaper spot instances.
///
/// One at a time, never below desired capacity, only in groups that carry the enabling tag.
#[derive(Debug, Parser)]
#[command(name = "spotward", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub deployment: Deployment,
}

/// What the deployment says; the same as the stack's parameters.
#[derive(Debug, Args)]
#[command(next_help_heading = "Deployment")]
pub struct Deployment {
    /// Name of the deployment: what another one launched is not touched
    #[arg(long, global = true, env = "SPOTWARD_STACK", default_value = "spotward", value_name = "NAME")]
    pub stack: String,
    /// The tag that enables a group
    #[arg(
        long,
        global = true,
        env = "SPOTWARD_ENABLE_TAG",
        default_value = "spot-enabled=true",
        value_name = "KEY=VALUE"
    )]
    pub enable_tag: String,
    /// Defaults of the settings, `key=value;key=value`, as in `min-on-demand=1;quiet=2m`
    #[arg(
        long,
        global = true,
        env = "SPOTWARD_DEFAULTS",
        default_value = "",
        hide_default_value = true,
        value_name = "SETTINGS"
    )]
    pub defaults: String,
    /// Diagnostics on stderr (RUST_LOG chooses which)
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Plan(Plan),
    Run(Run),
    Simulate(Simulate),
}

const PLAN_EXAMPLES: &str = "\
Examples:
  spotward plan                              every enabled group of the region
  spotward plan web api                      these two, enabled or not
  spotward plan --all                        every group, as if it were enabled
  spotward plan --save-snapshot seen.json    keep what was seen …
  spotward plan --snapshot seen.json         … and plan from it later, without an account
  spotward plan --json | jq '.groups[] | {group, action: .action.name}'

Exit status:
  0  nothing to do
  1  a mistake of the caller: unknown group, unreadable snapshot, wrong flag
  2  would act: an action, or a swap in flight, in a group that is enabled
  3  AWS refused: no credentials, no permission, throttled, unreachable";

/// Show what would be done, why not, and what it saves; changes nothing
///
/// Makes exactly the decision that the function would make on the same look, and stops before acting.
#[derive(Debug, Args)]
#[command(after_help = PLAN_EXAMPLES)]
pub struct Plan {
    /// Groups to look at; without any, all that are enabled
    #[arg(value_name = "GROUP")]
    pub groups: Vec<String>,
    /// Every group of the region; those that are not enabled are planned as if they were
    #[arg(long, conflicts_with = "groups")]
    pub all: bool,
    /// Region, instead of the one that the AWS configuration names
    #[arg(long, value_name = "REGION", value_parser = region, conflicts_with = "snapshot")]
    pub region: Option<String>,
    /// One JSON document on stdout (docs/schema/plan.schema.json)
    #[arg(long)]
    pub json: bool,
    /// Plan from a saved look instead of asking AWS
    #[arg(long, value_name = "FILE")]
    pub snapshot: Option<PathBuf>,
    /// Save what was seen
    #[arg(long, value_name = "FILE", conflicts_with = "snapshot")]
    pub save_snapshot: Option<PathBuf>,
}

const RUN_EXAMPLES: &str = "\
Examples:
  spotward run --once                               one step for each enabled group
  spotward run web --until-settled                  until the group is as it should be
  spotward run --until-settled --timeout 20m        give up after a while
  spotward run --once --json >> passes.jsonl        one line per pass, as the function logs it

A pass looks at a group, does at most one thing and forgets. Ctrl-C stops between two passes.
A swap may be left anywhere: whatever comes next, another run or the function, reads from the tags
where it stands and goes on.

Exit status:
  0  settled; with --once: every group had its pass
  1  a mistake of the caller: unknown group, wrong flag
  3  AWS refused: no credentials, no permission, no capacity
  4  not settled in time, or interrupted";

/// Do it: the same passes that the function makes, from a shell or cron
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct Run {
    /// Groups to work on; without any, all that are enabled
    #[arg(value_name = "GROUP")]
    pub groups: Vec<String>,
    /// One pass over each group (the default)
    #[arg(long, conflicts_with = "until_settled")]
    pub once: bool,
    /// Pass after pass until every group is as it should be
    #[arg(long)]
    pub until_settled: bool,
    /// Seconds between two passes over a group
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = pause, requires = "until_settled")]
    pub pause: std::time::Duration,
    /// Give up after so long
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = duration, requires = "until_settled")]
    pub timeout: std::time::Duration,
    /// Region, instead of the one that the AWS configuration names
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub region: Option<String>,
    /// One JSON line per pass on stdout, as the function logs them
    #[arg(long)]
    pub json: bool,
}

const SIMULATE_EXAMPLES: &str = "\
Examples:
  spotward simulate --list                         what can be played
  spotward simulate --scenario weather --seed 7    everything from one seed
  spotward simulate --seeds 10000                  ten thousand of them, until a promise breaks
  spotward simulate --scenario weather --seed 7 --trace

The same scenario and seed give the same run on every machine.

Exit status:
  0  every promise held
  1  a mistake of the caller: unknown scenario, wrong flag
  4  a promise broke: the report names it, and how to play it again";

/// Play swaps in a region in memory, with faults, and check every promise after every change
///
/// The decisions are those of the function; AWS is simulated. No account is needed or touched.
#[derive(Debug, Args)]
#[command(after_help = SIMULATE_EXAMPLES)]
pub struct Simulate {
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
    /// List the scenarios
    #[arg(long, exclusive = true)]
    pub list: bool,
}

/// A typo must not become the name of a host that is waited for.
fn region(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('-').collect();
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let well_formed = match parts.split_last() {
        Some((number, names)) => {
            names.len() >= 2 && names.iter().all(letters) && number.len() <= 2 && number.parse::<u8>().is_ok()
        }
        None => false,
    };
    if well_formed { Ok(text.to_owned()) } else { Err("a region is written like us-east-1".to_owned()) }
}

fn pause(text: &str) -> Result<std::time::Duration, String> {
    let allowed = "allowed are seconds from 0.1 to 300";
    let seconds: f64 = text.parse().map_err(|_| allowed.to_owned())?;
    if (0.1..=300.0).contains(&seconds) {
        Ok(std::time::Duration::from_secs_f64(seconds))
    } else {
        Err(allowed.to_owned())
    }
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    let allowed = "allowed is a duration like 90s, 20m or 2h";
    let duration: SignedDuration = text.parse().map_err(|_| allowed.to_owned())?;
    std::time::Duration::try_from(duration).ok().filter(|duration| !duration.is_zero()).ok_or(allowed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn regions_are_told_from_typos() {
        for good in ["us-east-1", "eu-central-2", "us-gov-west-1", "cn-north-1", "ap-southeast-5"] {
            assert_eq!(region(good).as_deref(), Ok(good));
        }
        for bad in ["", "us-east", "useast1", "US-EAST-1", "us-east-1a", "us-east-", "-east-1", "mars"] {
            assert!(region(bad).is_err(), "{bad}");
        }
    }
}
