//! `spotward plan`: look, decide, say so, and stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::snapshot::Snapshot;
use engine::view::{self, GroupPlan};
use engine::{Cloud, CloudError, Look, look};
use futures_util::StreamExt;
use planner::action::Action;
use planner::market::Market;
use planner::model::{GroupName, Observation};
use planner::policy::{Config, Policy, enabled};
use planner::reason::Blocker;
use planner::savings::{Saving, Savings, savings};
use serde_json::{Value, json};

use crate::args;
use crate::calls::calls;
use crate::cloud::{AsIfEnabled, World};
use crate::failure::{Exit, Failure, one_line};
use crate::fix::fix;
use crate::money::{Currency, HOURS_PER_MONTH};
use crate::output::{Output, Tone};
use crate::words;

const EXAMPLES: &str = "\
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
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Groups to look at; without any, all that are enabled
    #[arg(value_name = "GROUP")]
    pub groups: Vec<String>,
    /// Every group of the region; those that are not enabled are planned as if they were
    #[arg(long, conflicts_with = "groups")]
    pub all: bool,
    /// Region, instead of the one that the AWS configuration names
    #[arg(long, value_name = "REGION", value_parser = args::region, conflicts_with = "snapshot")]
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

/// Groups looked at side by side: enough to hide the network's latency, few enough not to be throttled.
pub const GROUPS_AT_A_TIME: usize = 8;
/// Version of the JSON document.
const VERSION: u32 = 1;
/// Types named in a line for people.
const POOLS_SHOWN: usize = 3;

/// Everything that one group's part of the answer is made of.
pub struct Report {
    pub look: Look,
    /// The owner asked for us. If not, the plan is the one that would be if.
    pub enabled: bool,
    /// `Err` says why there are no prices.
    pub savings: Result<Savings, String>,
    pub market: Option<Arc<Market>>,
}

/// The command.
pub async fn command(args: Args, config: &Config) -> Result<Exit, Failure> {
    let out = Output::new();
    let world = match &args.snapshot {
        Some(path) => World::saved(path, config)?,
        None => World::live(config, args.region.as_deref()).await?,
    };
    out.waiting_for(format!("looking at {}", world.region()));
    let names = names(&args, &world).await.map_err(|error| world.failure(&error))?;

    let mut tally = Tally::new(Currency::of(world.region()));
    let mut documents: Vec<Value> = Vec::new();
    let mut failures: Vec<(GroupName, Failure)> = Vec::new();
    let mut keep = Snapshot { region: world.region().to_owned(), ..Snapshot::default() };
    // In order, as they come: the first group is shown while the others are still being looked at.
    let mut reports = futures_util::stream::iter(names.iter().map(|name| examine(&world, config, name)))
        .buffered(GROUPS_AT_A_TIME)
        .enumerate();
    while let Some((at, report)) = reports.next().await {
        let name = &names[at];
        match report {
            Ok(Some(report)) => {
                tally.add(&report);
                if args.json {
                    documents.push(document(&report, config, tally.currency));
                } else {
                    out.print(&page(&report, config, &out, tally.currency));
                }
                if args.save_snapshot.is_some() {
                    remember(&mut keep, report, config);
                }
            }
            Ok(None) => failures.push((name.clone(), unknown(&world))),
            Err(error) => failures.push((name.clone(), world.failure(&error))),
        }
    }
    out.done();
    for (name, failure) in &mut failures {
        failure.what = format!("{name}: {}", failure.what);
        tally.exit = tally.exit.worse(failure.exit);
        if !args.json {
            out.fail(failure);
        }
    }
    let failed = failures.len();
    if args.json {
        out.print(&whole(&world, documents, &failures, &tally));
    } else {
        out.print(&tally.last_lines(&world, config, failed, args.all));
    }
    if let Some(path) = &args.save_snapshot {
        save(&keep, path)?;
        out.remark(&format!("saved what was seen: {}", path.display()));
    }
    Ok(tally.exit)
}

async fn names(args: &Args, world: &World) -> Result<Vec<GroupName>, CloudError> {
    if !args.groups.is_empty() {
        return Ok(args.groups.iter().map(GroupName::new).collect());
    }
    let mut names = if args.all { world.group_names().await? } else { world.enabled_names().await? };
    names.sort();
    Ok(names)
}

/// A group that is not there.
pub fn unknown(world: &World) -> Failure {
    Failure::user(
        format!("no such Auto Scaling group in {}", world.region()),
        "names are case-sensitive; `spotward plan --all` shows every group of the region",
    )
}

async fn examine(world: &World, config: &Config, name: &GroupName) -> Result<Option<Report>, CloudError> {
    let Some(seen) = look(world, config, name).await? else { return Ok(None) };
    // A group whose owner did not ask and where nothing of ours is in flight: show what would be.
    let nobody_asked = seen.plan.blockers == [Blocker::NotEnabled];
    let seen = match nobody_asked {
        true => look(&AsIfEnabled { world, config }, config, name).await?,
        false => Some(seen),
    };
    let Some(look) = seen else { return Ok(None) };
    let (savings, market) = match prices(world, &look.observation).await {
        Ok(market) => (Ok(savings(&look.observation, &look.plan, &market, config)), Some(market)),
        Err(why) => (Err(why), None),
    };
    Ok(Some(Report { look, enabled: !nobody_asked, savings, market }))
}

/// The market of the group's platform. A plan without prices is still a plan.
pub async fn prices(world: &World, observation: &Observation) -> Result<Arc<Market>, String> {
    let launch = observation.group.details.as_ref().and_then(|details| details.launch.as_ref());
    let launch = match launch {
        Some(Ok(launch)) => launch,
        Some(Err(why)) => return Err(why.clone()),
        None => return Err("what the group launches was not read".to_owned()),
    };
    let platform = launch.image.platform().ok_or_else(|| {
        format!("instances billed as {:?} have no spot price of their own", launch.image.usage_operation)
    })?;
    world.market(platform).await.map_err(|error| one_line(&error))
}

// ---- for people ----

fn page(report: &Report, config: &Config, out: &Output, currency: Currency) -> String {
    let Report { look, enabled, savings, .. } = report;
    let (group, plan) = (&look.observation.group, &look.plan);
    let view = GroupPlan::of(look);
    let mut text = format!("{}{}\n", out.paint(Tone::Head, group.name.as_str()), headline(report, config, &view));
    if !enabled {
        let tag = format!("{}={}", config.enable_key, config.enable_value);
        text.push_str(&format!("  {}\n", out.paint(Tone::Mind, &format!("not enabled; if it were tagged {tag}:"))));
    }
    let rows = rows(look);
    if !rows.is_empty() {
        text.push_str(&out.table(&["instance", "type", "zone", "pays", "state", "what happens", "why"], rows));
    }

    let mut line = |label: &str, tone: Tone, body: &str| {
        text.push_str(&format!("  {} {body}\n", out.paint(tone, &format!("{label:<8}"))));
    };
    if let Some(action) = &plan.action {
        line("next", Tone::Act, &words::next(plan).unwrap_or_default());
        for call in calls(action, group) {
            line("", Tone::Plain, &format!("{}  {}", call.name, call.with));
        }
        if let Action::Launch(launch) = action {
            let named: Vec<String> = launch
                .pools
                .iter()
                .take(POOLS_SHOWN)
                .map(|pool| format!("{} {}", pool.instance_type, currency.per_hour(pool.price.0 as i64)))
                .collect();
            let more = launch.pools.count().saturating_sub(POOLS_SHOWN);
            let rest = if more > 0 { format!(" and {more} more; EC2 picks one") } else { String::new() };
            line("", Tone::Plain, &format!("from {}{rest}", named.join(", ")));
        }
    }
    if let Some(note) = &plan.note {
        line("also", Tone::Faint, &words::action(note));
        for call in calls(note, group) {
            line("", Tone::Plain, &format!("{}  {}", call.name, call.with));
        }
    }
    if let Some(wait) = &plan.wait {
        line("waits", Tone::Mind, &wait.to_string());
    }
    if plan.need.is_some() {
        line("unknown", Tone::Bad, "AWS did not show all that a plan needs: look again in a minute");
    }
    for blocker in &plan.blockers {
        match blocker {
            // One line each: the owner corrects them one by one.
            Blocker::Settings(errors) => {
                line("blocked", Tone::Bad, "settings that cannot be understood");
                errors.iter().for_each(|error| line("", Tone::Plain, &error.to_string()));
            }
            blocker => line("blocked", Tone::Bad, &blocker.to_string()),
        }
        match fix(blocker, group.name.as_str()) {
            Some(fix) => line("  fix", Tone::Plain, &fix),
            None => line("  fix", Tone::Plain, "none needed, it passes"),
        }
    }
    match savings {
        Ok(savings) => {
            for (label, body) in money_lines(savings, &plan.blockers, currency) {
                line(label, Tone::Plain, &body);
            }
        }
        Err(why) => line("saves", Tone::Mind, &format!("unknown: {why}")),
    }
    text.push('\n');
    text
}

fn headline(report: &Report, config: &Config, view: &GroupPlan) -> String {
    let GroupPlan { desired, min_size, max_size, on_demand, spot, swap, .. } = view;
    let sizes = format!("desired {desired} (min {min_size}, max {max_size})");
    let floor = match Policy::of(&report.look.observation.group, config) {
        Ok(policy) => format!(", on-demand floor {}", policy.min_on_demand.of(*desired)),
        Err(_) => String::new(),
    };
    let swap = if *swap == "idle" { String::new() } else { format!(", swap {swap}") };
    format!("  {sizes}, {on_demand} on-demand, {spot} spot{floor}{swap}")
}

fn rows(look: &Look) -> Vec<Vec<(Tone, String)>> {
    let (group, plan) = (&look.observation.group, &look.plan);
    let row = |id: String, kind: String, zone: String, pays: String, state: String, fate: words::Fate| {
        let plain = [id, kind, zone, pays, state].map(|text| (Tone::Plain, text));
        plain.into_iter().chain([(fate.tone, fate.what.to_owned()), (Tone::Plain, fate.why)]).collect::<Vec<_>>()
    };
    let members = group.members.iter().map(|member| {
        let healthy = if member.healthy && member.targets_healthy != Some(false) { "" } else { ", unhealthy" };
        row(
            member.id.to_string(),
            member.instance_type.to_string(),
            member.zone.to_string(),
            member.purchase.to_string(),
            format!("{}{healthy}", member.lifecycle),
            words::member(member, group, plan),
        )
    });
    let replicas = group.replicas.iter().filter(|replica| replica.state.is_alive()).map(|replica| {
        row(
            replica.id.to_string(),
            replica.instance_type.to_string(),
            replica.zone.to_string(),
            replica.purchase.to_string(),
            format!("outside, {:?}", replica.state).to_lowercase(),
            words::replica(replica, plan),
        )
    });
    members.chain(replicas).collect()
}

fn money_lines(savings: &Savings, blockers: &[Blocker], currency: Currency) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(swap) = savings.swap {
        lines.push(("saves", format!("{} by this swap", currency.saving(swap))));
    }
    let more = if savings.swap.is_some() { 1 } else { 0 };
    if savings.swaps_left > more {
        let condition = if blockers.is_empty() { "" } else { ", were it not blocked" };
        let all = match savings.swaps_left {
            1 => "by the one swap that is left".to_owned(),
            count => format!("by all {count} swaps that are left"),
        };
        lines.push(("saves", format!("{} {all}{condition}", currency.saving(savings.left))));
    }
    let already = savings.already();
    if already > 0 {
        lines.push(("saved", format!("{} already", currency.saving(Saving { least: already, most: already }))));
    }
    let now = savings.cost_now as i64;
    lines.push(("costs", format!("{} ({}) now", currency.per_hour(now), currency.per_month(now))));
    if savings.unpriced > 0 {
        lines.push(("", format!("{} instances without a price are not counted", savings.unpriced)));
    }
    lines
}

/// What all groups together come to.
struct Tally {
    currency: Currency,
    exit: Exit,
    would_act: u32,
    waiting: u32,
    blocked: u32,
    done: u32,
    not_enabled: u32,
    left: Saving,
    already: i64,
    unpriced_groups: u32,
}

impl Tally {
    fn new(currency: Currency) -> Self {
        Self {
            currency,
            exit: Exit::Nothing,
            would_act: 0,
            waiting: 0,
            blocked: 0,
            done: 0,
            not_enabled: 0,
            left: Saving::default(),
            already: 0,
            unpriced_groups: 0,
        }
    }

    fn add(&mut self, report: &Report) {
        let plan = &report.look.plan;
        if !report.enabled {
            self.not_enabled += 1;
        } else if plan.action.is_some() || plan.need.is_some() {
            self.would_act += 1;
        } else if plan.is_waiting() {
            self.waiting += 1;
        } else if !plan.blockers.is_empty() {
            self.blocked += 1;
        } else {
            self.done += 1;
        }
        if report.enabled && !plan.is_quiet() {
            self.exit = self.exit.worse(Exit::WouldAct);
        }
        match &report.savings {
            Ok(savings) => {
                self.left = self.left + savings.left;
                self.already += savings.already().max(0);
            }
            Err(_) => self.unpriced_groups += 1,
        }
    }

    fn last_lines(&self, world: &World, config: &Config, failed: usize, all: bool) -> String {
        let region = world.region();
        let groups = self.would_act + self.waiting + self.blocked + self.done + self.not_enabled;
        if groups == 0 && failed == 0 {
            let hint = match all {
                true => String::new(),
                false => format!(
                    "; tag one {}={}, or see what there is with `spotward plan --all`",
                    config.enable_key, config.enable_value
                ),
            };
            let kind = if all { "" } else { "enabled " };
            return format!("No {kind}Auto Scaling group in {region}{hint}.\n");
        }
        let counts = [
            (self.would_act, "would act now"),
            (self.waiting, "waiting for a swap in flight"),
            (self.blocked, "blocked"),
            (self.done, "with nothing to do"),
            (self.not_enabled, "not enabled"),
            (failed as u32, "failed"),
        ];
        let counts: Vec<String> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        let total = groups + failed as u32;
        let noun = if total == 1 { "group" } else { "groups" };
        let mut text = format!("{total} {noun} in {region}: {}.", counts.join(", "));
        if self.left != Saving::default() {
            text.push_str(&format!(" To be saved: {}.", self.currency.saving(self.left)));
        }
        if self.already > 0 {
            let already = Saving { least: self.already, most: self.already };
            text.push_str(&format!(" Saved already: {}.", self.currency.saving(already)));
        }
        text.push('\n');
        if self.left != Saving::default() || self.already > 0 {
            text.push_str(
                "Prices are the public ones of now, before discounts; spot prices change. A month has 730 hours.\n",
            );
        }
        text
    }
}

// ---- for programs ----

fn document(report: &Report, config: &Config, currency: Currency) -> Value {
    let Report { look, enabled, savings, .. } = report;
    let (group, plan) = (&look.observation.group, &look.plan);
    let shown = GroupPlan::of(look);
    let blockers: Vec<Value> = plan
        .blockers
        .iter()
        .zip(&shown.blockers)
        .map(
            |(blocker, said)| json!({ "code": said.code, "text": said.text, "fix": fix(blocker, group.name.as_str()) }),
        )
        .collect();
    let floor = Policy::of(group, config).ok().map(|policy| policy.min_on_demand.of(group.desired));
    let mut document = json!(shown);
    document["enabled"] = json!(enabled);
    document["would_act"] = json!(*enabled && !plan.is_quiet());
    document["on_demand_floor"] = json!(floor);
    document["blockers"] = json!(blockers);
    document["note"] = json!(plan.note.as_ref().map(view::action));
    document["calls"] = match &plan.action {
        Some(action) => {
            calls(action, group).iter().map(|call| json!({ "name": call.name, "with": call.with })).collect()
        }
        None => json!([]),
    };
    for (shown, member) in document["members"].as_array_mut().into_iter().flatten().zip(&group.members) {
        shown["next"] = json!(words::member(member, group, plan).what);
    }
    document["savings"] = match savings {
        Ok(savings) => json!({
            "currency": currency.code(),
            "cost_per_hour": dollars(savings.cost_now as i64),
            "swap": savings.swap.map(range),
            "left": range(savings.left),
            "swaps_left": savings.swaps_left,
            "already_per_hour": dollars(savings.already()),
            "unpriced_instances": savings.unpriced,
        }),
        Err(_) => Value::Null,
    };
    document["no_savings"] = json!(savings.as_ref().err());
    document
}

fn dollars(micros: i64) -> f64 {
    micros as f64 / 1e6
}

fn range(saving: Saving) -> Value {
    json!({
        "least_per_hour": dollars(saving.least),
        "most_per_hour": dollars(saving.most),
        "least_per_month": dollars(saving.least * HOURS_PER_MONTH),
        "most_per_month": dollars(saving.most * HOURS_PER_MONTH),
    })
}

fn whole(world: &World, groups: Vec<Value>, failures: &[(GroupName, Failure)], tally: &Tally) -> String {
    let failed: Vec<Value> = failures
        .iter()
        .map(|(name, failure)| {
            json!({ "group": name.as_str(), "text": failure.what, "hint": failure.hint, "exit": failure.exit.code() })
        })
        .collect();
    let document = json!({
        "v": VERSION,
        "kind": "plan",
        "region": world.region(),
        "groups": groups,
        "failed": failed,
        "summary": {
            "would_act": tally.would_act,
            "waiting": tally.waiting,
            "blocked": tally.blocked,
            "nothing_to_do": tally.done,
            "not_enabled": tally.not_enabled,
            "failed": failed.len(),
            "currency": tally.currency.code(),
            "left": range(tally.left),
            "already_per_hour": dollars(tally.already),
            "groups_without_prices": tally.unpriced_groups,
        },
    });
    let mut text = serde_json::to_string_pretty(&document).expect("plain values always serialize");
    text.push('\n');
    text
}

// ---- what was seen ----

/// What was seen, not what was supposed: the enabling tag goes again where we put it.
fn remember(keep: &mut Snapshot, report: Report, config: &Config) {
    let Report { look, enabled: asked, market, .. } = report;
    let mut observation = look.observation;
    if !asked && enabled(&observation.group, config).is_some() {
        observation.group.tags.remove(&config.enable_key);
    }
    keep.groups.push(observation);
    if let Some(market) = market
        && !keep.markets.iter().any(|kept| kept.platform == market.platform)
    {
        keep.markets.push(Market::clone(&market));
    }
}

/// Beside its place first, then into it: a file that is there is whole.
fn save(snapshot: &Snapshot, path: &Path) -> Result<(), Failure> {
    let beside = path.with_extension("part");
    let written = std::fs::write(&beside, snapshot.to_json()).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| {
        Failure::user(format!("{}: {error}", path.display()), "name a file in a directory that can be written to")
    })
}
