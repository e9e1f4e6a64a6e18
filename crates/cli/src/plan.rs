//! `spotward plan`: look, decide, say so, and stop.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::snapshot::Snapshot;
use engine::{Cloud, CloudError, Look, look_with};
use futures_util::{StreamExt, stream};
use planner::budget::{WorstLoss, worst_loss};
use planner::market::Market;
use planner::model::{GroupName, Observation, Platform};
use planner::plan::{Plan, Planner};
use planner::policy::{Config, Policy, enabled};
use planner::reason::Blocker;
use planner::savings::{Saving, Savings};
use serde_json::Value;

use crate::cloud::{AsIfEnabled, World};
use crate::failure::{Exit, Failure, one_line};
use crate::markdown::{self, Piece};
use crate::money::Currency;
use crate::output::{Output, Tone};
use crate::page::{ASSUMPTIONS, page};
use crate::{args, document};

const EXAMPLES: &str = "\
Examples:
  spotward plan                              every enabled group of the region
  spotward plan web api                      these two, enabled or not
  spotward plan --all                        every group, as if it were enabled
  spotward plan --region eu-west-1 --region eu-central-1
  spotward plan --region all                 every region that the account has enabled
  spotward plan --save-snapshot seen.json    keep what was seen …
  spotward plan --snapshot seen.json         … and plan from it later, without an account
  spotward plan --all --markdown | gh pr comment --body-file -
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
    /// Region, instead of the one that the AWS configuration names; may be repeated; `all` for every one
    #[arg(long = "region", value_name = "REGION", value_parser = region_or_all, conflicts_with = "snapshots")]
    pub regions: Vec<String>,
    /// One JSON document on stdout (docs/schema/plan.schema.json)
    #[arg(long)]
    pub json: bool,
    /// Markdown on stdout, for a pull request
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Plan from a saved look instead of asking AWS; may be repeated
    #[arg(long = "snapshot", value_name = "FILE")]
    pub snapshots: Vec<PathBuf>,
    /// Save what was seen; of several regions, each in a file with its name
    #[arg(long, value_name = "FILE", conflicts_with = "snapshots")]
    pub save_snapshot: Option<PathBuf>,
}

/// Every region of the account.
const ALL: &str = "all";

fn region_or_all(text: &str) -> Result<String, String> {
    if text == ALL { Ok(text.to_owned()) } else { args::region(text).map_err(|error| format!("{error}, or all")) }
}

/// Groups looked at side by side: enough to hide the network's latency, few enough not to be throttled.
pub const GROUPS_AT_A_TIME: usize = 8;

/// Everything that one group's part of the answer is made of.
pub struct Report {
    pub look: Look,
    /// The owner asked for us. If not, the plan is the one that would be if.
    pub enabled: bool,
    /// `Err` says why there are no prices.
    pub savings: Result<Savings, String>,
    /// `None` if what the owner wants cannot be understood.
    pub worst_loss: Option<WorstLoss>,
    pub market: Option<Arc<Market>>,
}

/// The command.
pub async fn command(args: Args, config: &Config) -> Result<Exit, Failure> {
    let out = Output::new();
    let worlds = worlds(&args, config).await?;
    let mut answer = Answer::default();
    for (at, world) in worlds.iter().enumerate() {
        if at > 0 && !args.json && !args.markdown {
            out.print("\n");
        }
        let part = region(world, &args, config, &out, &mut answer).await?;
        answer.exit = answer.exit.worse(part.tally.exit);
        if args.json {
            answer.regions.push(document::region(world.region(), &part.tally));
        } else if args.markdown {
            out.print(&markdown::region(world.region(), &part.pieces, &part.tally, config, args.all));
        } else if part.was_listed {
            out.print(&format!("{}\n", part.tally.sentence(world.region(), config, args.all)));
        }
        answer.speaks_of_money |= part.tally.speaks_of_money();
        if let Some(path) = &args.save_snapshot {
            let path = if worlds.len() > 1 { of_region(path, world.region()) } else { path.clone() };
            save(&part.keep, &path)?;
            out.remark(&format!("saved what was seen: {}", path.display()));
        }
    }
    if args.json {
        out.print(&document::whole(&answer.groups, &answer.failed, &answer.regions, config));
    } else if answer.speaks_of_money && args.markdown {
        out.print(&format!("_{}_\n", ASSUMPTIONS.replace('\n', " ")));
    } else if answer.speaks_of_money {
        out.print(&format!("{ASSUMPTIONS}\n"));
    }
    Ok(answer.exit)
}

/// What the regions have added up to so far.
struct Answer {
    /// With their region, for the document.
    groups: Vec<(String, Report)>,
    failed: Vec<Value>,
    regions: Vec<Value>,
    exit: Exit,
    speaks_of_money: bool,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            groups: Vec::new(),
            failed: Vec::new(),
            regions: Vec::new(),
            exit: Exit::Nothing,
            speaks_of_money: false,
        }
    }
}

/// Where to look: files, or regions; a region that is named twice is looked at once.
async fn worlds(args: &Args, config: &Config) -> Result<Vec<World>, Failure> {
    let mut worlds: Vec<World> = Vec::new();
    for path in &args.snapshots {
        worlds.push(World::saved(path, config)?);
    }
    if !worlds.is_empty() {
        return Ok(worlds);
    }
    let mut names: Vec<String> = Vec::new();
    for region in &args.regions {
        let more = if region == ALL { World::regions(config).await? } else { vec![region.clone()] };
        names.extend(more.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
    }
    if names.is_empty() {
        return Ok(vec![World::live(config, None).await?]);
    }
    for name in &names {
        worlds.push(World::live(config, Some(name)).await?);
    }
    Ok(worlds)
}

/// What came of one region.
struct Part {
    /// Its groups could be listed, at least in part.
    was_listed: bool,
    tally: Tally,
    pieces: Vec<Piece>,
    keep: Snapshot,
}

/// One region, group by group as they come: the first is shown while the others are still being looked at, and while AWS
/// still lists the rest.
async fn region(
    world: &World,
    args: &Args,
    config: &Config,
    out: &Output,
    answer: &mut Answer,
) -> Result<Part, Failure> {
    let people = !args.json && !args.markdown;
    let mut tally = Tally::new(Currency::of(world.region()));
    let mut pieces = Vec::new();
    let mut keep = Snapshot { region: world.region().to_owned(), ..Snapshot::default() };
    let mut failures: Vec<(Option<GroupName>, Failure)> = Vec::new();
    out.waiting_for(format!("looking at {}", world.region()));

    let pages = match args.groups.is_empty() {
        true => world.names(args.all).left_stream(),
        false => stream::iter([Ok(args.groups.iter().map(GroupName::new).collect())]).right_stream(),
    };
    let was_listed = Cell::new(false);
    let markets = Markets::default();
    let desk = Desk::new(&markets, config);
    let mut seen = BTreeSet::new();
    let names = pages.flat_map(|page| match page {
        Ok(names) => {
            // The first page is the first thing that there is to show.
            if !was_listed.replace(true) && people {
                out.print(&heading(world, out));
            }
            stream::iter(names.into_iter().map(Ok).collect::<Vec<_>>())
        }
        Err(error) => stream::iter(vec![Err(error)]),
    });
    let names = names.filter(move |name| {
        std::future::ready(match name {
            Ok(name) => seen.insert(GroupName::clone(name)),
            Err(_) => true,
        })
    });
    let mut reports = std::pin::pin!(
        names
            .map(async |name| match name {
                Ok(name) => (Some(name.clone()), examine(world, &desk, &name).await),
                Err(error) => (None, Err(error)),
            })
            .buffered(GROUPS_AT_A_TIME)
    );
    while let Some((name, report)) = reports.next().await {
        match report {
            Ok(Some(report)) => {
                tally.add(&report);
                if args.markdown {
                    pieces.push(markdown::piece(&report, config, tally.currency));
                } else if people {
                    out.print(&page(&report, config, out, tally.currency));
                }
                if args.save_snapshot.is_some() {
                    remember(&mut keep, &report, config);
                }
                if args.json {
                    answer.groups.push((world.region().to_owned(), report));
                }
            }
            Ok(None) => failures.push((name, unknown(world))),
            Err(error) => failures.push((name, world.failure(&error))),
        }
    }
    out.done();
    for (name, mut failure) in failures {
        tally.failed += u32::from(name.is_some());
        tally.exit = tally.exit.worse(failure.exit);
        if let Some(name) = &name {
            failure.what = format!("{}: {}", name, failure.what);
        }
        if args.json {
            answer.failed.push(document::failed(world.region(), name.as_ref().map(GroupName::as_str), &failure));
        } else {
            out.fail(&failure);
        }
    }
    Ok(Part { was_listed: was_listed.get(), tally, pieces, keep })
}

/// `us-east-1`, and how old a saved look is.
fn heading(world: &World, out: &Output) -> String {
    let saved = world.saved_at().map(|at| format!(", as seen at {at}")).unwrap_or_default();
    format!("{}{saved}\n\n", out.paint(Tone::Head, world.region()))
}

/// A group that is not there.
pub fn unknown(world: &World) -> Failure {
    Failure::user(
        format!("no such Auto Scaling group in {}", world.region()),
        "names are case-sensitive; `spotward plan --all` shows every group of the region",
    )
}

/// The market of each platform that was met.
#[derive(Default)]
pub struct Markets([OnceCell<Arc<Market>>; Platform::ALL.len()]);

/// Plans the groups of one region: what they have in common is worked out once.
pub struct Desk<'m> {
    pub config: &'m Config,
    markets: &'m Markets,
    planners: RefCell<BTreeMap<Platform, Planner<'m>>>,
    bare: RefCell<Planner<'m>>,
}

impl<'m> Desk<'m> {
    pub fn new(markets: &'m Markets, config: &'m Config) -> Desk<'m> {
        Desk { config, markets, planners: RefCell::default(), bare: RefCell::new(Planner::new(None, config)) }
    }

    fn plan(&self, observation: &Observation, market: Option<&Arc<Market>>) -> Plan {
        match market {
            Some(market) => self.in_market(market, |planner| planner.plan(observation)),
            None => self.bare.borrow_mut().plan(observation),
        }
    }

    fn in_market<T>(&self, market: &Arc<Market>, work: impl FnOnce(&mut Planner<'_>) -> T) -> T {
        let kept = Platform::ALL.iter().zip(&self.markets.0).find(|(platform, _)| **platform == market.platform);
        match kept.map(|(_, kept)| kept.get_or_init(|| Arc::clone(market))) {
            Some(kept) if Arc::ptr_eq(kept, market) => {
                let mut planners = self.planners.borrow_mut();
                work(planners.entry(market.platform).or_insert_with(|| Planner::new(Some(kept), self.config)))
            }
            // Prices were read anew in the meantime.
            Some(_) | None => work(&mut Planner::new(Some(market), self.config)),
        }
    }
}

/// One group: its plan, or the one that would be if its owner asked for us.
pub async fn examine(world: &World, desk: &Desk<'_>, name: &GroupName) -> Result<Option<Report>, CloudError> {
    let config = desk.config;
    let plan = |observation: &Observation, market: Option<&Arc<Market>>| desk.plan(observation, market);
    let Some(seen) = look_with(world, name, plan).await? else { return Ok(None) };
    // A group whose owner did not ask and where nothing of ours is in flight: show what would be.
    let nobody_asked = seen.plan.blockers == [Blocker::NotEnabled];
    let seen = match nobody_asked {
        true => look_with(&AsIfEnabled { world, config }, name, plan).await?,
        false => Some(seen),
    };
    let Some(look) = seen else { return Ok(None) };
    let (savings, market) = match prices(world, &look.observation).await {
        Ok(market) => {
            let savings = desk.in_market(&market, |planner| planner.savings(&look.observation, &look.plan));
            (savings.ok_or_else(|| "there is no market".to_owned()), Some(market))
        }
        Err(why) => (Err(why), None),
    };
    let swaps_left = savings.as_ref().map_or(0, |savings| savings.swaps_left);
    let group = &look.observation.group;
    let worst_loss = Policy::of(group, config).ok().map(|policy| worst_loss(group, &policy, swaps_left));
    Ok(Some(Report { look, enabled: !nobody_asked, savings, worst_loss, market }))
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

/// What all groups together come to.
pub struct Tally {
    pub currency: Currency,
    pub exit: Exit,
    pub would_act: u32,
    pub waiting: u32,
    pub blocked: u32,
    pub done: u32,
    pub not_enabled: u32,
    pub failed: u32,
    pub left: Saving,
    pub already: i64,
    pub unpriced_groups: u32,
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
            failed: 0,
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

    /// Whether anything is said that prices stand behind.
    fn speaks_of_money(&self) -> bool {
        self.left != Saving::default() || self.already > 0
    }

    /// `6 groups in us-east-1: 2 would act now, 1 blocked. To be saved: …`
    pub fn sentence(&self, region: &str, config: &Config, all: bool) -> String {
        let groups = self.would_act + self.waiting + self.blocked + self.done + self.not_enabled + self.failed;
        if groups == 0 && self.exit == Exit::Nothing {
            let hint = match all {
                true => String::new(),
                false => format!(
                    "; tag one {}={}, or see what there is with `spotward plan --all`",
                    config.enable_key, config.enable_value
                ),
            };
            let kind = if all { "" } else { "enabled " };
            return format!("No {kind}Auto Scaling group in {region}{hint}.");
        }
        let counts = [
            (self.would_act, "would act now"),
            (self.waiting, "waiting for a swap in flight"),
            (self.blocked, "blocked"),
            (self.done, "with nothing to do"),
            (self.not_enabled, "not enabled"),
            (self.failed, "failed"),
        ];
        let counts: Vec<String> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        let noun = if groups == 1 { "group" } else { "groups" };
        let colon = if counts.is_empty() { "" } else { ": " };
        let mut text = format!("{groups} {noun} in {region}{colon}{}.", counts.join(", "));
        if self.left != Saving::default() {
            text.push_str(&format!(" To be saved: {}.", self.currency.saving(self.left)));
        }
        if self.already > 0 {
            let already = Saving { least: self.already, most: self.already };
            text.push_str(&format!(" Saved already: {}.", self.currency.saving(already)));
        }
        text
    }
}

// ---- what was seen ----

/// What was seen, not what was supposed: the enabling tag goes again where we put it.
fn remember(keep: &mut Snapshot, report: &Report, config: &Config) {
    let Report { look, enabled: asked, market, .. } = report;
    let mut observation = look.observation.clone();
    if !asked && enabled(&observation.group, config).is_some() {
        observation.group.tags.remove(&config.enable_key);
    }
    keep.groups.push(observation);
    if let Some(market) = market
        && !keep.markets.iter().any(|kept| kept.platform == market.platform)
    {
        keep.markets.push(Market::clone(market));
    }
}

/// `seen.json` is `seen.us-east-1.json` for that region.
fn of_region(path: &Path, region: &str) -> PathBuf {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some(extension) => path.with_extension(format!("{region}.{extension}")),
        None => path.with_extension(region),
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
