//! `spotward status`: what runs now, from what AWS itself shows: groups, tags, our instances. Nothing is asked of the
//! function, and nothing is kept.

use std::time::Duration;

use engine::view::{self, error_kind};
use engine::{Cloud, CloudError, Look, Scope, look};
use jiff::Timestamp;
use planner::backoff::Backoff;
use planner::model::{Group, GroupName, LifecycleState, PurchaseOption};
use planner::plan::plan;
use planner::policy::{Config, Policy};
use planner::reason::{Blocker, Code};
use serde_json::{Value, json};

use crate::args::{self, Place};
use crate::cloud::World;
use crate::document;
use crate::failure::{Exit, Failure, one_line};
use crate::fix::fix;
use crate::output::{Output, Tone, printable};
use crate::plan::unknown;
use crate::words;

const EXAMPLES: &str = "\
Examples:
  spotward status                  every enabled group of the region
  spotward status web --watch      one group, again every five seconds
  spotward status --watch=30 --json | jq -c '.groups[] | {group, spot_percent}'
  spotward status --snapshot seen.json

Exit status:
  0  told
  1  a mistake of the caller: unknown group, unreadable snapshot, wrong flag
  3  AWS refused: no credentials, no permission, throttled, unreachable";

/// Show what runs now: swaps and their age, spot shares, pools that failed
///
/// Costs a few calls for all groups together, and a few more for each swap in flight. Changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Groups to look at; without any, all that are enabled
    #[arg(value_name = "GROUP")]
    pub groups: Vec<String>,
    /// Again every so many seconds (5), in place on a terminal; Ctrl-C ends it
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "5",
        value_parser = args::pause,
        conflicts_with = "snapshot"
    )]
    pub watch: Option<Duration>,
    /// One JSON document on stdout (docs/schema/status.schema.json); with --watch, one line each time
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub place: Place,
}

/// What there is to say.
struct Status {
    at: Option<Timestamp>,
    groups: Vec<Look>,
    /// Groups that wait for the function, and that it gave up; `None` if this is not to be had.
    queues: Option<(u32, u32)>,
    failures: Vec<(GroupName, Failure)>,
}

/// The command.
pub async fn command(args: Args, config: &Config) -> Result<Exit, Failure> {
    let out = Output::new();
    let world = args.place.world(config).await?;
    let Some(pause) = args.watch else {
        out.waiting_for(format!("looking at {}", world.region()));
        let status = read(&args, &world, config).await.map_err(|error| world.failure(&error))?;
        out.done();
        if args.json {
            out.print(&document::text(&said(&status, &world, config)));
        } else {
            out.print(&told(&status, &world, config, &out));
            status.failures.iter().for_each(|(_, failure)| out.fail(failure));
        }
        return Ok(status.failures.iter().fold(Exit::Nothing, |exit, (_, failure)| exit.worse(failure.exit)));
    };
    loop {
        // What was slow to change may have changed.
        world.forget();
        match read(&args, &world, config).await {
            Ok(status) if args.json => out.print(&format!("{}\n", said(&status, &world, config))),
            Ok(status) => {
                let mut text = told(&status, &world, config, &out);
                for (_, failure) in &status.failures {
                    text.push_str(&format!("{} {}\n", out.paint(Tone::Bad, "error:"), failure.what));
                }
                out.in_place(&text);
            }
            // The network comes back; whoever watches is told, and goes on watching.
            Err(error @ CloudError::Throttled(_)) if !args.json => {
                out.in_place(&format!("{} {}\n", out.paint(Tone::Bad, "error:"), one_line(&error)));
            }
            Err(error @ CloudError::Throttled(_)) => {
                let text = json!({ "v": document::VERSION, "kind": "error", "error": { "kind": error_kind(&error), "text": one_line(&error) } });
                out.print(&format!("{text}\n"));
            }
            Err(error) => return Err(world.failure(&error)),
        }
        tokio::time::sleep(pause).await;
    }
}

async fn read(args: &Args, world: &World, config: &Config) -> Result<Status, CloudError> {
    let mut status = Status { at: world.saved_at(), groups: Vec::new(), queues: None, failures: Vec::new() };
    let mut observations = Vec::new();
    if args.groups.is_empty() {
        observations = world.observe(&Scope::Enabled).await?;
    }
    for name in &args.groups {
        let name = GroupName::new(name);
        match world.observe(&Scope::group(&name)).await?.pop() {
            Some(observation) => observations.push(observation),
            None => {
                let failure = unknown(world);
                let what = format!("{name}: {}", failure.what);
                status.failures.push((name, Failure { what, ..failure }));
            }
        }
    }
    for observation in observations {
        let bulk = Look { plan: plan(&observation, None, config), observation };
        // What a swap waits for only a closer look shows. Where that fails, the look in bulk is still true.
        let closer = match bulk.plan.swap {
            "idle" => None,
            _ => look(world, config, &bulk.observation.group.name).await.ok().flatten(),
        };
        status.at = status.at.or(Some(bulk.observation.now));
        status.groups.push(closer.unwrap_or(bulk));
    }
    if let Some(aws) = world.aws() {
        let queues = aws.queues().await.ok().flatten();
        status.queues = queues.map(|queues| (queues.waiting, queues.dead));
    }
    Ok(status)
}

/// The swap in flight: since when, and until when its replica has to be in place.
struct Swap {
    replica: String,
    victim: String,
    since: Option<Timestamp>,
    deadline: Option<Timestamp>,
}

fn swap(group: &Group) -> Option<Swap> {
    let flight = words::in_flight(group)?;
    let journal = group.journal().and_then(Result::ok).map(|journal| journal.written_at);
    let member = group.member(&flight.replica);
    let replica = group.replica(&flight.replica);
    let launched = member.and_then(|member| member.launched_at()).or(replica.map(|replica| replica.launched_at));
    let ours = member.and_then(|member| member.ours.as_ref()).or(replica.map(|replica| &replica.ours));
    Some(Swap {
        replica: flight.replica.to_string(),
        victim: flight.victim.to_string(),
        since: launched.or(journal),
        deadline: ours.map(|ours| ours.deadline),
    })
}

fn seconds_since(since: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.as_second() - since.as_second()).unwrap_or(0)
}

/// In percent of the members in service; `None` without any.
fn spot_percent(group: &Group) -> Option<u32> {
    let spot = group.in_service(PurchaseOption::Spot);
    let all = group.members.iter().filter(|member| member.lifecycle == LifecycleState::InService).count() as u32;
    (spot * 100).checked_div(all)
}

/// Instances whose end EC2 has announced.
fn interrupted(group: &Group) -> Vec<String> {
    let members = group.members.iter().filter(|member| member.ec2.as_ref().is_some_and(|ec2| ec2.interrupted));
    let replicas = group.replicas.iter().filter(|replica| replica.interrupted);
    members.map(|member| member.id.to_string()).chain(replicas.map(|replica| replica.id.to_string())).collect()
}

// ---- for people ----

fn told(status: &Status, world: &World, config: &Config, out: &Output) -> String {
    let at = status.at.map(|at| format!(", {}", at.strftime("%Y-%m-%dT%H:%M:%SZ"))).unwrap_or_default();
    let mut text = format!("{}{at}, deployment {}\n", out.paint(Tone::Head, world.region()), config.stack);
    if let Some((waiting, dead)) = status.queues {
        let tone = if dead > 0 { Tone::Bad } else { Tone::Plain };
        let dead = out.paint(tone, &format!("{dead} given up"));
        text.push_str(&format!("{waiting} groups wait for the function, {dead}\n"));
    }
    if status.groups.is_empty() && status.failures.is_empty() {
        text.push_str(&format!(
            "No group is enabled; `spotward plan --all` shows what there is, the tag {}={} enables one.\n",
            config.enable_key, config.enable_value
        ));
        return text;
    }
    let rows = status.groups.iter().map(|look| {
        let group = &look.observation.group;
        let floor = Policy::of(group, config)
            .map_or("?".to_owned(), |policy| policy.min_on_demand.of(group.desired).to_string());
        let share = spot_percent(group).map_or("–".to_owned(), |percent| format!("{percent} %"));
        let (state, tone) = match look.plan.swap {
            "idle" if look.plan.blockers == [Blocker::NotEnabled] => ("not enabled", Tone::Faint),
            "idle" if !look.plan.blockers.is_empty() => ("blocked", Tone::Mind),
            "idle" => ("idle", Tone::Faint),
            state => (state, Tone::Act),
        };
        vec![
            (Tone::Head, printable(group.name.as_str())),
            (Tone::Plain, group.desired.to_string()),
            (Tone::Plain, group.in_service(PurchaseOption::OnDemand).to_string()),
            (Tone::Plain, group.in_service(PurchaseOption::Spot).to_string()),
            (Tone::Plain, share),
            (Tone::Plain, floor),
            (tone, state.to_owned()),
        ]
    });
    text.push('\n');
    text.push_str(
        &out.table(&["group", "desired", "on-demand", "spot", "spot share", "floor", "swap"], rows.collect()),
    );
    let mut section = |title: &str, rows: Vec<String>| {
        if !rows.is_empty() {
            text.push_str(&format!("\n{}\n", out.paint(Tone::Head, title)));
            rows.iter().for_each(|row| text.push_str(&format!("  {row}\n")));
        }
    };
    section("swaps", status.groups.iter().filter_map(swap_in_words).collect());
    section("taken back", status.groups.iter().flat_map(losses_in_words).collect());
    section("pools that failed", status.groups.iter().flat_map(pools_in_words).collect());
    section("waiting for their owners", status.groups.iter().flat_map(owners_in_words).collect());
    text
}

fn swap_in_words(look: &Look) -> Option<String> {
    let (group, now) = (&look.observation.group, look.observation.now);
    if look.plan.swap == "idle" {
        return None;
    }
    let mut text = format!("{}  {}", printable(group.name.as_str()), look.plan.swap);
    if let Some(swap) = swap(group) {
        let age =
            swap.since.map(|since| format!(" for {}", words::span(seconds_since(since, now)))).unwrap_or_default();
        text.push_str(&format!("{age}: {} takes the place of {}", swap.replica, swap.victim));
    }
    match (words::next(&look.plan), &look.plan.wait) {
        (Some(next), _) => text.push_str(&format!("; next: {next}")),
        (None, Some(wait)) => text.push_str(&format!("; waits: {wait}")),
        (None, None) => {}
    }
    Some(text)
}

fn losses_in_words(look: &Look) -> Vec<String> {
    let name = printable(look.observation.group.name.as_str());
    interrupted(&look.observation.group).into_iter().map(|id| format!("{name}  {id} is being taken back")).collect()
}

fn pools_in_words(look: &Look) -> Vec<String> {
    let (group, now) = (&look.observation.group, look.observation.now);
    let memory = Backoff::of(group);
    memory
        .pools(now)
        .map(|pool| {
            let what = if pool.lost { "an instance was taken back" } else { "no capacity" };
            let until = if pool.cools { format!("cools until {}", pool.until) } else { "is tried again".to_owned() };
            let times = if pool.times > 1 { format!(", {} in a row", pool.times) } else { String::new() };
            format!(
                "{}  {} in {}: {what}{times}; {until}",
                printable(group.name.as_str()),
                pool.instance_type,
                pool.zone
            )
        })
        .collect()
}

fn owners_in_words(look: &Look) -> Vec<String> {
    let group = &look.observation.group;
    // Whoever did not ask for us need not do anything.
    let theirs = |blocker: &&Blocker| !words::passes_by_itself(blocker) && **blocker != Blocker::NotEnabled;
    let blockers = look.plan.blockers.iter().filter(theirs);
    blockers
        .map(|blocker| {
            let fix = fix(blocker, group.name.as_str()).map(|fix| format!("; {fix}")).unwrap_or_default();
            format!("{}  {}{fix}", printable(group.name.as_str()), words::blocker(blocker))
        })
        .collect()
}

// ---- for programs ----

fn said(status: &Status, world: &World, config: &Config) -> Value {
    let groups: Vec<Value> = status.groups.iter().map(|look| group(look, config)).collect();
    let failed: Vec<Value> = status
        .failures
        .iter()
        .map(|(name, failure)| document::failed(world.region(), Some(name.as_str()), failure))
        .collect();
    json!({
        "v": document::VERSION,
        "kind": "status",
        "region": world.region(),
        "at": status.at.map(|at| at.to_string()),
        "deployment": config.stack,
        "queues": status.queues.map(|(waiting, dead)| json!({ "waiting": waiting, "given_up": dead })),
        "groups": groups,
        "failed": failed,
    })
}

fn group(look: &Look, config: &Config) -> Value {
    let (group, now, plan) = (&look.observation.group, look.observation.now, &look.plan);
    let swap = (plan.swap != "idle").then(|| {
        let swap = swap(group);
        json!({
            "state": plan.swap,
            "replica": swap.as_ref().map(|swap| &swap.replica),
            "victim": swap.as_ref().map(|swap| &swap.victim),
            "since": swap.as_ref().and_then(|swap| swap.since).map(|at| at.to_string()),
            "age_seconds": swap.as_ref().and_then(|swap| swap.since).map(|since| seconds_since(since, now)),
            "deadline": swap.as_ref().and_then(|swap| swap.deadline).map(|at| at.to_string()),
            "action": plan.action.as_ref().map(view::action),
            "wait": plan.wait.as_ref().map(|wait| json!({ "code": wait.code(), "text": wait.to_string() })),
        })
    });
    let memory = Backoff::of(group);
    let pools: Vec<Value> = memory
        .pools(now)
        .map(|pool| {
            json!({
                "instance_type": pool.instance_type.as_str(),
                "zone": pool.zone.as_str(),
                "why": if pool.lost { "taken-back" } else { "no-capacity" },
                "times": pool.times,
                "cools": pool.cools,
                "until": pool.until.to_string(),
            })
        })
        .collect();
    let blockers: Vec<Value> = plan
        .blockers
        .iter()
        .map(|blocker| {
            json!({
                "code": blocker.code(),
                "text": blocker.to_string(),
                "fix": fix(blocker, group.name.as_str()),
                "passes_by_itself": words::passes_by_itself(blocker),
            })
        })
        .collect();
    json!({
        "group": group.name.as_str(),
        "desired": group.desired,
        "on_demand": group.in_service(PurchaseOption::OnDemand),
        "spot": group.in_service(PurchaseOption::Spot),
        "spot_percent": spot_percent(group),
        "on_demand_floor": Policy::of(group, config).ok().map(|policy| policy.min_on_demand.of(group.desired)),
        "swap": swap,
        "taken_back": interrupted(group),
        "failed_pools": pools,
        "blockers": blockers,
    })
}
