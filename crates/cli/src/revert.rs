//! `spotward revert`: the spot members that we brought go back to on-demand, by the same protocol, and stay there.
//!
//! Who does it: the function that is deployed. The command writes the owner's setting `spotward:min-on-demand=100%` and
//! watches. Two workers on one group would have to be kept apart, and a revert by the command alone would be undone by
//! the next tick; the setting does both, and is still there when this process has gone. `--here` makes the passes from
//! this process, for regions without a function.

use std::time::{Duration, Instant};

use engine::tidy::{Reach, Tidy};
use engine::{CloudError, Look, look};
use futures_util::StreamExt;
use jiff::Timestamp;
use planner::model::{Group, GroupName, Member, PurchaseOption};
use planner::policy::{Config, enabled};

use crate::args;
use crate::ask;
use crate::cloud::World;
use crate::failure::{Exit, Failure, one_line};
use crate::migrate::command_line;
use crate::output::{Output, Tone};
use crate::plan::{GROUPS_AT_A_TIME, unknown};
use crate::run::{self, SLOW_FACTS_LAST, Stop};
use crate::words;

/// The setting that is written, and what it says: every member stays on-demand.
const KEY: &str = "spotward:min-on-demand";
const EVERYTHING: &str = "100%";
/// The tick comes once a minute, and a replica needs its time to boot: only after so long is silence worth a remark.
const SILENCE: Duration = Duration::from_secs(300);

const EXAMPLES: &str = "\
Examples:
  spotward revert web --dry-run         what would go back
  spotward revert web                   write the setting, then watch the function do it
  spotward revert --all --yes           every group with spot members that we brought
  spotward revert web --here            make the passes from here: no function is deployed

One member after the other, never below desired: an on-demand replica serves before a spot member
leaves. The setting spotward:min-on-demand=100% stays on the group, so nothing goes to spot again
until you change it; the old value is printed. Ctrl-C stops watching, not the function.

Exit status:
  0  no spot member that we brought is left
  1  a mistake of the caller: unknown group, a group that is not enabled, wrong flag
  2  --dry-run: something would go back
  3  AWS refused: no credentials, no permission, no capacity
  4  not done in time, or interrupted: the function goes on";

/// Bring every spot member that we brought back to on-demand, and keep it so
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Groups to bring back
    #[arg(value_name = "GROUP", required_unless_present = "all")]
    pub groups: Vec<String>,
    /// Every group of the region that has spot members of ours
    #[arg(long, conflicts_with = "groups")]
    pub all: bool,
    /// Show what would go back; changes nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Make the passes from here; only where no function is deployed, or its schedule is off
    #[arg(long)]
    pub here: bool,
    /// Seconds between two looks at a group
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = args::pause)]
    pub pause: Duration,
    /// Stop watching after so long
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = args::duration)]
    pub timeout: Duration,
    /// Region, instead of the one that the AWS configuration names
    #[arg(long, value_name = "REGION", value_parser = args::region)]
    pub region: Option<String>,
}

/// The command.
pub async fn command(args: Args, config: &Config) -> Result<Exit, Failure> {
    let out = Output::new();
    let world = World::live(config, args.region.as_deref()).await?;
    let names = names(&args, &world, config).await.map_err(|error| world.failure(&error))?;
    let before = looks(&names, &world, config).await?;
    let due: Vec<&Look> = before.iter().filter(|look| !is_done(look)).collect();
    if due.is_empty() {
        out.print(&format!("Nothing to bring back in {}: no spot member of ours.\n", world.region()));
        return Ok(Exit::Nothing);
    }
    let disabled: Vec<&str> = due
        .iter()
        .map(|look| &look.observation.group)
        .filter(|group| enabled(group, config).is_none())
        .map(|group| group.name.as_str())
        .collect();
    let due: Vec<&Look> = due.into_iter().filter(|look| enabled(&look.observation.group, config).is_some()).collect();
    let refusal = (!disabled.is_empty()).then(|| not_enabled(&disabled, config));
    if let Some(refusal) = &refusal
        && (due.is_empty() || !args.all)
    {
        return Err(refusal.clone());
    }
    out.print(&overview(&due, &out));
    out.print(&format!("\nWhat would be written: {KEY}={EVERYTHING} on {}.\n", groups(due.len())));
    for look in &due {
        out.print(&format!("  {}\n", old_value(&look.observation.group)));
    }
    if args.dry_run {
        return Ok(Exit::WouldAct);
    }
    let who = if args.here { "from here: no function may work on these groups meanwhile" } else { "by the function" };
    if !ask::go_on(&format!("Write it, and bring them back {who}?"), args.yes)? {
        return Ok(Exit::Nothing);
    }
    for look in &due {
        let group = &look.observation.group;
        if group.tags.get(KEY).map(String::as_str) != Some(EVERYTHING) {
            world.set_setting(&group.name, KEY, EVERYTHING).await.map_err(|error| world.failure(&error))?;
        }
    }
    let names: Vec<GroupName> = due.iter().map(|look| look.observation.group.name.clone()).collect();
    let exit = match args.here {
        true => run::drive(names.clone(), &passes(&names, &args), &world, config, &out).await,
        false => watch(&names, &args, &world, config, &out).await,
    };
    world.forget();
    let after = looks(&names, &world, config).await?;
    out.print(&format!("\n{}", overview(&after.iter().collect::<Vec<_>>(), &out)));
    let left: usize = after.iter().map(|look| brought(&look.observation.group).count()).sum();
    let in_flight: Vec<&str> =
        after.iter().filter(|look| look.plan.swap != "idle").map(|look| look.observation.group.name.as_str()).collect();
    out.print(&match (left, in_flight.as_slice()) {
        (0, []) => format!("Left in {}: no spot member of ours in these groups.\n", world.region()),
        (0, names) => {
            format!("Left: no spot member of ours; a swap is still being finished in {}.\n", names.join(", "))
        }
        (left, _) => format!("Left: {left} spot members of ours.\n"),
    });
    if let Some(refusal) = refusal {
        out.fail(&refusal);
        return Ok(exit.worse(refusal.exit));
    }
    match (left, in_flight.is_empty()) {
        (0, true) => Ok(Exit::Nothing),
        _ => Ok(exit.worse(Exit::Unsettled)),
    }
}

async fn names(args: &Args, world: &World, config: &Config) -> Result<Vec<GroupName>, CloudError> {
    if !args.all {
        return Ok(args.groups.iter().map(GroupName::new).collect());
    }
    let traces = world.traces(Reach::Everything).await?;
    let members = traces.spot_members(config).filter_map(|trace| trace.group());
    let mut names: Vec<GroupName> = members.chain(traces.in_flight(config)).collect();
    names.sort();
    names.dedup();
    let existing = world.whereabouts(&[], &names).await?.exists;
    names.retain(|name| existing.get(name) == Some(&true));
    Ok(names)
}

async fn looks(names: &[GroupName], world: &World, config: &Config) -> Result<Vec<Look>, Failure> {
    let mut found = Vec::new();
    let mut looks =
        futures_util::stream::iter(names.iter().map(|name| look(world, config, name))).buffered(GROUPS_AT_A_TIME);
    for name in names {
        match looks.next().await {
            Some(Ok(Some(look))) => found.push(look),
            Some(Ok(None)) => {
                let Failure { what, hint, exit } = unknown(world);
                return Err(Failure { what: format!("{name}: {what}"), hint, exit });
            }
            Some(Err(error)) => return Err(world.failure(&error)),
            None => break,
        }
    }
    Ok(found)
}

/// Spot members that we brought and that are not on their way out.
fn brought(group: &Group) -> impl Iterator<Item = &Member> {
    group.members.iter().filter(|member| {
        member.purchase == PurchaseOption::Spot && member.ours.is_some() && !member.lifecycle.is_leaving()
    })
}

fn groups(count: usize) -> String {
    if count == 1 { "one group".to_owned() } else { format!("{count} groups") }
}

/// Nothing of ours is left to bring back, and no swap is under way.
fn is_done(look: &Look) -> bool {
    brought(&look.observation.group).next().is_none() && look.plan.swap == "idle"
}

fn not_enabled(names: &[&str], config: &Config) -> Failure {
    let tag = format!("{}={}", config.enable_key, config.enable_value);
    Failure::user(
        format!("not enabled: {}; what is not enabled is never touched", names.join(", ")),
        format!("tag them {KEY}={EVERYTHING} first, then {tag}, and ask again: all that happens then is the way back"),
    )
}

fn old_value(group: &Group) -> String {
    let name = &group.name;
    let tag = format!("ResourceId={name},ResourceType=auto-scaling-group,Key={KEY}");
    match group.tags.get(KEY).map(String::as_str) {
        None => format!("{name}: without it now; to go back: aws autoscaling delete-tags --tags {tag}"),
        Some(EVERYTHING) => format!("{name}: it says so already"),
        Some(old) => format!("{name}: {old} now; to go back: {}", command_line(name.as_str(), KEY, old)),
    }
}

fn overview(looks: &[&Look], out: &Output) -> String {
    let rows = looks.iter().map(|look| {
        let group = &look.observation.group;
        let ours = brought(group).count();
        let spot = group.in_service(PurchaseOption::Spot) as usize;
        let floor = group.tags.get(KEY).cloned().unwrap_or_else(|| "-".to_owned());
        let others = spot.saturating_sub(brought(group).filter(|member| member.serves()).count());
        vec![
            (Tone::Head, group.name.to_string()),
            (Tone::Plain, group.desired.to_string()),
            (Tone::Plain, group.in_service(PurchaseOption::OnDemand).to_string()),
            (if ours > 0 { Tone::Mind } else { Tone::Plain }, ours.to_string()),
            (Tone::Plain, others.to_string()),
            (Tone::Plain, look.plan.swap.to_owned()),
            (Tone::Plain, floor),
        ]
    });
    let head = ["group", "desired", "on-demand", "spot, ours", "spot, others'", "swap", "min-on-demand"];
    out.table(&head, rows.collect())
}

/// `spotward run GROUP… --until-settled`.
fn passes(names: &[GroupName], args: &Args) -> run::Args {
    run::Args {
        groups: names.iter().map(ToString::to_string).collect(),
        once: false,
        until_settled: true,
        pause: args.pause,
        timeout: args.timeout,
        region: args.region.clone(),
        json: false,
    }
}

/// Looks on while the function works; a line whenever something has changed.
async fn watch(names: &[GroupName], args: &Args, world: &World, config: &Config, out: &Output) -> Exit {
    let stop = Stop::listen();
    let (started, mut read_at, mut moved_at) = (Instant::now(), Instant::now(), Instant::now());
    let mut told: Vec<String> = vec![String::new(); names.len()];
    let width = names.iter().map(|name| name.as_str().chars().count()).max().unwrap_or(0);
    let mut remarked = false;
    loop {
        if read_at.elapsed() > SLOW_FACTS_LAST {
            world.forget();
            read_at = Instant::now();
        }
        let mut open = 0;
        let mut looks =
            futures_util::stream::iter(names.iter().map(|name| look(world, config, name))).buffered(GROUPS_AT_A_TIME);
        for (name, told) in names.iter().zip(&mut told) {
            let (is_open, text) = match looks.next().await {
                Some(Ok(Some(look))) => (!is_done(&look), progress(&look)),
                Some(Ok(None)) => (false, "there is no such group any more".to_owned()),
                Some(Err(error)) => (true, one_line(&error)),
                None => (false, String::new()),
            };
            open += usize::from(is_open);
            if *told != text {
                let at = Timestamp::now().strftime("%H:%M:%S").to_string();
                out.print(&format!("{at}  {:<width$}  {text}\n", name.as_str()));
                *told = text;
                (moved_at, remarked) = (Instant::now(), false);
            }
        }
        if open == 0 {
            out.done();
            return Exit::Nothing;
        }
        if moved_at.elapsed() > SILENCE && !remarked {
            out.remark(
                "Nothing has moved for five minutes. Is the function deployed in this region, and its schedule on? \
                 Without a function: --here.",
            );
            remarked = true;
        }
        if stop.is_asked() || started.elapsed() + args.pause > args.timeout {
            out.done();
            let why = if stop.is_asked() { "interrupted" } else { "not done in time" };
            out.fail(&Failure {
                what: format!("{why}: {open} of {} groups", names.len()),
                hint:
                    "the setting is written: the function goes on, `spotward status` or the same command shows how far"
                        .to_owned(),
                exit: Exit::Unsettled,
            });
            return Exit::Unsettled;
        }
        out.waiting_for(format!("{open} of {} groups have spot members of ours", names.len()));
        stop.or(tokio::time::sleep(args.pause)).await;
    }
}

/// Where a group stands, in one clause.
fn progress(look: &Look) -> String {
    let left = brought(&look.observation.group).count();
    let plan = &look.plan;
    let doing = match (&plan.action, &plan.wait, plan.blockers.first()) {
        _ if is_done(look) => "done".to_owned(),
        (Some(action), _, _) => format!("next: {}", words::action(action)),
        (None, Some(wait), _) => wait.to_string(),
        (None, None, Some(blocker)) => blocker.to_string(),
        (None, None, None) => match plan.left_alone.first() {
            Some((id, reason)) => format!("{id} {reason}"),
            None => "to be finished".to_owned(),
        },
    };
    format!("{left} left; {}: {doing}", plan.swap)
}
