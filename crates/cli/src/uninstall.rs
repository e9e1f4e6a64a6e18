//! `spotward uninstall`: every swap of ours finished or taken back, every tag and template of ours removed, and the proof.
//!
//! Nothing here decides: the passes are those of the function for a deployment that nobody has enabled, which lets
//! everything in flight go back; what is removed then comes from the planner and is checked by the guard.

use std::time::{Duration, Instant};

use engine::tidy::{self, Reach, Tidied, Tidy};
use planner::model::GroupName;
use planner::policy::{Config, NAMESPACE, is_setting};
use planner::traces::{self, Extent, Traces};

use crate::args;
use crate::ask;
use crate::cloud::World;
use crate::failure::{Exit, Failure, one_line};
use crate::output::Output;
use crate::run;

/// Deleted tags may be shown for a moment longer: the proof is asked for so often.
const PROOFS: u32 = 4;

const EXAMPLES: &str = "\
Examples:
  spotward uninstall --dry-run          what would be finished and removed
  spotward uninstall                    do it, after asking, and list what is left
  spotward uninstall --settings         the owners' spotward:* settings and the enabling tag as well

Stop the function first, and leave it stopped: this command cannot see whether it runs, and two
workers on one group are to be avoided. Its reserved concurrency at 0 stops it at once:
  aws lambda put-function-concurrency --function-name NAME --reserved-concurrent-executions 0
Wait two minutes, the longest that it can still be at work; delete the stack afterwards.
Spot members that we brought stay as ordinary members. If they should be on-demand again, run
`spotward revert --all` before you stop the function. All steps: docs/uninstall.md

Exit status:
  0  nothing of ours is left
  1  a mistake of the caller: wrong flag, nobody there to answer
  2  --dry-run: something would be removed
  3  AWS refused: no credentials, no permission
  4  something is left: it is listed, ask again";

/// Finish or take back every swap, remove every tag and template of ours, prove it
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Show what would be done; changes nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask; says as well that the function is stopped
    #[arg(long, short)]
    pub yes: bool,
    /// Remove the owners' settings and the enabling tag from the groups as well
    #[arg(long)]
    pub settings: bool,
    /// Seconds between two passes over a group
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = args::pause)]
    pub pause: Duration,
    /// Give up after so long
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = args::duration)]
    pub timeout: Duration,
    /// Region, instead of the one that the AWS configuration names
    #[arg(long, value_name = "REGION", value_parser = args::region)]
    pub region: Option<String>,
}

/// The command.
pub async fn command(args: Args, config: &Config) -> Result<Exit, Failure> {
    let out = Output::new();
    let world = World::live(config, args.region.as_deref()).await?;
    let extent = if args.settings { Extent::UninstallWithSettings } else { Extent::Uninstall };
    let look = || async { world.traces(Reach::Everything).await.map_err(|error| world.failure(&error)) };
    let before = look().await?;
    let found = listing(&before, extent, config);
    if found.is_empty() {
        out.print(&proof(&before, &found, extent, &world, config));
        return Ok(Exit::Nothing);
    }
    out.print(&format!("{} of the deployment {} in {}:\n", args.tense(), config.stack, world.region()));
    found.iter().for_each(|line| out.print(&format!("  {line}\n")));
    let spot = before.spot_members(config).count();
    if spot > 0 {
        out.remark(&format!(
            "{spot} spot members that we brought stay, as ordinary members, and cannot be told from others afterwards. \
             To have them on-demand: `spotward revert --all` first, while the function runs."
        ));
    }
    if args.dry_run {
        return Ok(Exit::WouldAct);
    }
    let question = "The function must be stopped, for two minutes at least (see --help). Is it, and shall all this go?";
    if !ask::go_on(question, args.yes)? {
        return Ok(Exit::Nothing);
    }
    let started = Instant::now();
    let settled = settle(&before, &args, &world, config, &out).await;
    let mut left = found;
    for round in 0..PROOFS {
        if round > 0 {
            tokio::time::sleep(args.pause).await;
        }
        world.forget();
        match tidy::uninstall(&world, config, extent).await {
            Ok(tidied) => told(&tidied, &out),
            Err(error) => out.fail(&world.failure(&error)),
        }
        let now = look().await?;
        left = listing(&now, extent, config);
        if left.is_empty() || started.elapsed() > args.timeout {
            break;
        }
    }
    let after = look().await?;
    out.print(&proof(&after, &left, extent, &world, config));
    if left.is_empty() {
        return Ok(Exit::Nothing);
    }
    out.fail(&Failure {
        what: format!("{} things are left", left.len()),
        hint:
            "is the function really stopped, and did AWS permit everything? Nothing is lost: the same command goes on"
                .to_owned(),
        exit: Exit::Unsettled,
    });
    Ok(settled.worse(Exit::Unsettled))
}

impl Args {
    fn tense(&self) -> &'static str {
        if self.dry_run { "Would go" } else { "To go" }
    }
}

/// Lets the passes take back or finish what is in flight.
async fn settle(traces: &Traces, args: &Args, world: &World, config: &Config, out: &Output) -> Exit {
    let names: Vec<GroupName> = traces.in_flight(config).into_iter().collect();
    if names.is_empty() {
        return Exit::Nothing;
    }
    let passes = run::Args {
        groups: names.iter().map(ToString::to_string).collect(),
        once: false,
        until_settled: true,
        pause: args.pause,
        timeout: args.timeout,
        region: args.region.clone(),
        json: false,
    };
    run::drive(names, &passes, world, &config.for_nobody(), out).await
}

/// Everything that has to go, one line each.
fn listing(traces: &Traces, extent: Extent, config: &Config) -> Vec<String> {
    let swaps = traces.in_flight(config).into_iter().map(|group| format!("finish or take back the swap of {group}"));
    let known = traces.in_flight(config);
    let lost = traces
        .instances
        .iter()
        .filter(|trace| trace.is_in_flight() && trace.group().is_none_or(|group| !known.contains(&group)))
        .map(|trace| match trace.deadline() {
            Some(deadline) => format!("terminate {} of no group, after its deadline {deadline}", trace.id),
            None => format!("{}: its tags were changed, and nobody can tell when it may go: end it by hand", trace.id),
        });
    let removals = traces::uninstall(traces, extent, config).into_iter().map(|removal| removal.to_string());
    swaps.chain(lost).chain(removals).collect()
}

fn told(tidied: &Tidied, out: &Output) {
    let at = jiff::Timestamp::now().strftime("%H:%M:%S").to_string();
    for removal in &tidied.done {
        out.print(&format!("{at}  did     {removal}\n"));
    }
    for refusal in &tidied.refused {
        out.print(&format!("{at}  held    {refusal}\n"));
    }
    for (removal, error) in &tidied.failed {
        out.print(&format!("{at}  failed  {removal}: {}\n", one_line(error)));
    }
}

/// What is left, and what was kept on purpose.
fn proof(traces: &Traces, left: &[String], extent: Extent, world: &World, config: &Config) -> String {
    let mut text = format!("\nLeft of the deployment {} in {}: ", config.stack, world.region());
    if left.is_empty() {
        text.push_str("nothing. No journal, no replica, no tag on an instance or a group, no launch template.\n");
    } else {
        text.push_str(&format!("{} things\n", left.len()));
        left.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    let kept: Vec<&str> = traces
        .groups
        .iter()
        .filter(|group| {
            let of_owner = |key: &String| *key == config.enable_key || key.starts_with(NAMESPACE) && is_setting(key);
            group.tags.keys().any(of_owner)
        })
        .map(|group| group.name.as_str())
        .collect();
    if extent != Extent::UninstallWithSettings && !kept.is_empty() {
        text.push_str(&format!(
            "Kept: the owners' settings and the enabling tag on {} ({}); --settings removes them.\n",
            if kept.len() == 1 { "one group".to_owned() } else { format!("{} groups", kept.len()) },
            kept.join(", ")
        ));
    }
    text
}
