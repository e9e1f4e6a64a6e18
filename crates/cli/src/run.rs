//! `spotward run`: the same passes as the function makes, from a shell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use engine::view::{error_kind, pass_line};
use engine::{CloudError, Look, Outcome, Pass, reconcile};
use futures_util::StreamExt;
use jiff::Timestamp;
use planner::model::{GroupName, PurchaseOption};
use planner::plan::Plan;
use planner::policy::Config;
use planner::reason::Reason;
use planner::savings::savings;
use serde_json::json;
use tokio::sync::Notify;

use crate::args;
use crate::cloud::World;
use crate::failure::{Exit, Failure, one_line};
use crate::money::Currency;
use crate::output::{Output, Tone};
use crate::plan::{GROUPS_AT_A_TIME, prices, unknown};
use crate::words;

const EXAMPLES: &str = "\
Examples:
  spotward run --once                               one step for each enabled group
  spotward run web --until-settled                  until the group is as it should be
  spotward run --until-settled --timeout 20m        give up after a while
  spotward run --once --json >> passes.jsonl        one line per pass, as the function logs it

A pass looks at a group, does at most one thing and forgets. Ctrl-C stops between two passes.
A swap may be left anywhere: whatever comes next, another run or the function, reads from the tags
where it stands and goes on.

The ledger that `spotward report` reads is kept by the function alone: members that a run has
brought are counted while a function looks at their group, and without one nothing is written down.

Exit status:
  0  settled; with --once: every group had its pass
  1  a mistake of the caller: unknown group, wrong flag
  3  AWS refused: no credentials, no permission, no capacity
  4  not settled in time, or interrupted";

/// Do it: the same passes that the function makes, from a shell or cron
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
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
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = args::pause, requires = "until_settled")]
    pub pause: std::time::Duration,
    /// Give up after so long
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = args::duration, requires = "until_settled")]
    pub timeout: std::time::Duration,
    /// Region, instead of the one that the AWS configuration names
    #[arg(long, value_name = "REGION", value_parser = args::region)]
    pub region: Option<String>,
    /// One JSON line per pass on stdout, as the function logs them
    #[arg(long)]
    pub json: bool,
}

/// A throttled group sits out so many rounds at most.
const ROUNDS_OUT_MAX: u32 = 12;
/// So many throttled passes in a row are no accident: nobody answers there.
const THROTTLED_MAX: u32 = 6;

/// Slow facts (hooks, refreshes, templates) are read again after so long, as every invocation of the function reads them.
pub const SLOW_FACTS_LAST: Duration = Duration::from_secs(300);

/// One group of the run.
struct Watched {
    name: GroupName,
    first: Option<Look>,
    last: Option<Look>,
    state: State,
    /// The line that was printed last: a wait is told once.
    told: String,
    /// Throttled so many times in a row.
    throttled: u32,
    /// What was said the last time.
    refused: Option<Failure>,
    /// Sits out so many rounds.
    out: u32,
    acted: u32,
}

enum State {
    /// Another pass is worth it.
    GoesOn,
    /// As it should be, or blocked by something that does not pass by itself.
    Settled,
    /// Cannot go on.
    Failed(Failure),
}

/// The command.
pub async fn command(args: Args, config: &Config) -> Result<Exit, Failure> {
    let out = Output::new();
    let world = World::live(config, args.region.as_deref()).await?;
    let names = match args.groups.is_empty() {
        true => world.enabled_names().await.map_err(|error| world.failure(&error))?,
        false => args.groups.iter().map(GroupName::new).collect(),
    };
    if names.is_empty() {
        let tag = format!("{}={}", config.enable_key, config.enable_value);
        out.remark(&format!("No enabled Auto Scaling group in {}; enable one with the tag {tag}.", world.region()));
        return Ok(Exit::Nothing);
    }
    Ok(drive(names, &args, &world, config, &out).await)
}

/// Pass after pass over these groups, as the arguments say, with a line for each; how it ended.
pub async fn drive(names: Vec<GroupName>, args: &Args, world: &World, config: &Config, out: &Output) -> Exit {
    let mut groups = watch(names);
    let stop = Stop::listen();
    let started = Instant::now();
    let width = groups.iter().map(|group| group.name.as_str().chars().count()).max().unwrap_or(0);
    let mut read_at = Instant::now();
    let timed_out = loop {
        if read_at.elapsed() > SLOW_FACTS_LAST {
            world.forget();
            read_at = Instant::now();
        }
        round(&mut groups, world, config, args, out, width).await;
        let open = groups.iter().filter(|group| matches!(group.state, State::GoesOn)).count();
        if !args.until_settled || open == 0 || stop.is_asked() {
            break false;
        }
        if started.elapsed() + args.pause > args.timeout {
            break true;
        }
        out.waiting_for(format!("{open} of {} groups not settled", groups.len()));
        stop.or(tokio::time::sleep(args.pause)).await;
        if stop.is_asked() {
            break false;
        }
    };
    out.done();
    let exit = ending(&groups, args, stop.is_asked(), timed_out, out);
    if !args.json {
        out.print(&summary(&groups, world, config, out).await);
    }
    exit
}

fn watch(names: Vec<GroupName>) -> Vec<Watched> {
    let new = |name| Watched {
        name,
        first: None,
        last: None,
        state: State::GoesOn,
        told: String::new(),
        throttled: 0,
        refused: None,
        out: 0,
        acted: 0,
    };
    names.into_iter().map(new).collect()
}

/// One pass over every group that is not settled.
async fn round(groups: &mut [Watched], world: &World, config: &Config, args: &Args, out: &Output, width: usize) {
    let due: Vec<usize> = (0..groups.len())
        .filter(|at| {
            let group = &mut groups[*at];
            let sits_out = group.out > 0;
            group.out = group.out.saturating_sub(1);
            matches!(group.state, State::GoesOn) && !sits_out
        })
        .collect();
    let names: Vec<GroupName> = due.iter().map(|at| groups[*at].name.clone()).collect();
    let mut passes = futures_util::stream::iter(names.iter().map(|name| reconcile(world, config, name)))
        .buffered(GROUPS_AT_A_TIME)
        .enumerate();
    while let Some((at, pass)) = passes.next().await {
        let group = &mut groups[due[at]];
        match pass {
            Ok(pass) => {
                if args.json {
                    out.print(&format!("{}\n", pass_line(&pass, &config.stack, millis(&pass))));
                }
                group.take(pass, world, (!args.json).then_some(out), width);
            }
            Err(error) => {
                if args.json {
                    let line = json!({
                        "v": 1,
                        "kind": "error",
                        "stack": config.stack,
                        "group": group.name.as_str(),
                        "error": { "kind": error_kind(&error), "text": one_line(&error) },
                    });
                    out.print(&format!("{line}\n"));
                } else {
                    out.print(&line(Timestamp::now(), &group.name, width, "failed", &one_line(&error)));
                }
                group.fail(&error, world);
            }
        }
    }
}

impl Watched {
    fn take(&mut self, pass: Pass, world: &World, people: Option<&Output>, width: usize) {
        let Pass { look, outcome, .. } = pass;
        let Some(look) = look else {
            // What was left of a group that is gone is gone as well.
            self.state = if self.acted > 0 { State::Settled } else { State::Failed(unknown(world)) };
            return;
        };
        let (kind, text) = told(&look.plan, &outcome);
        if let Some(out) = people
            && self.told != text
        {
            out.print(&line(look.observation.now, &self.name, width, kind, &text));
        }
        self.told = text;
        match &outcome {
            Outcome::Failed(error) => self.fail(error, world),
            Outcome::Acted => {
                self.acted += 1;
                self.calm();
            }
            Outcome::Waiting | Outcome::Refused(_) => self.calm(),
            Outcome::Quiet if waits_for(&look.plan).is_some() => self.calm(),
            Outcome::Quiet => {
                self.calm();
                self.state = State::Settled;
            }
            Outcome::Gone => self.state = State::Failed(unknown(world)),
        }
        if self.first.is_none() {
            self.first = Some(look.clone());
        }
        self.last = Some(look);
    }

    fn calm(&mut self) {
        self.throttled = 0;
        self.out = 0;
    }

    /// Throttled or overtaken: again, after sitting out a while. Anything else needs somebody.
    fn fail(&mut self, error: &CloudError, world: &World) {
        self.refused = Some(world.failure(error));
        match error {
            CloudError::Throttled(_) => {
                // 1, 3, 7, 12, 12 … rounds.
                self.throttled += 1;
                self.out = ((1 << self.throttled.min(4)) - 1).min(ROUNDS_OUT_MAX);
                if self.throttled > THROTTLED_MAX {
                    self.state = State::Failed(world.failure(error));
                }
            }
            CloudError::Conflict(_) | CloudError::NotFound(_) => self.calm(),
            CloudError::InsufficientCapacity(_)
            | CloudError::Limit(_)
            | CloudError::Denied(_)
            | CloudError::Rejected(_) => self.state = State::Failed(world.failure(error)),
        }
    }
}

/// What a quiet pass is still worth waiting for: a blocker that passes by itself, or a member that is too young.
fn waits_for(plan: &Plan) -> Option<String> {
    let blocker = plan.blockers.iter().all(words::passes_by_itself).then(|| plan.blockers.first()).flatten();
    let young = plan.left_alone.iter().find(|(_, reason)| matches!(reason, Reason::Young { .. }));
    match (blocker, young) {
        (Some(blocker), _) => Some(blocker.to_string()),
        (None, Some((id, reason))) if plan.blockers.is_empty() => Some(format!("{id} {reason}")),
        (None, Some(_) | None) => None,
    }
}

/// One pass in one line: what was seen, done, answered.
fn told(plan: &Plan, outcome: &Outcome) -> (&'static str, String) {
    let action = words::next(plan).unwrap_or_default();
    match outcome {
        Outcome::Acted => ("did", action),
        Outcome::Refused(refusal) => ("held", format!("{action}: not now, {}", refusal.why)),
        Outcome::Failed(error) => ("failed", format!("{action}: {}", one_line(error))),
        Outcome::Gone => ("gone", "there is no such group any more".to_owned()),
        Outcome::Waiting => ("waits", plan.wait.as_ref().map(ToString::to_string).unwrap_or_default()),
        Outcome::Quiet => match waits_for(plan) {
            Some(what) => ("waits", what),
            None if plan.blockers.is_empty() => ("settled", "nothing to do".to_owned()),
            None => {
                let texts: Vec<String> = plan.blockers.iter().map(ToString::to_string).collect();
                ("blocked", texts.join("; "))
            }
        },
    }
}

fn line(at: Timestamp, name: &GroupName, width: usize, kind: &str, text: &str) -> String {
    format!("{}  {:<width$}  {kind:<7}  {text}\n", at.strftime("%H:%M:%S"), name.as_str())
}

fn millis(pass: &Pass) -> i64 {
    pass.look.as_ref().map_or_else(Timestamp::now, |look| look.observation.now).as_millisecond()
}

/// How it ended, said on stderr where it did not end well.
fn ending(groups: &[Watched], args: &Args, interrupted: bool, timed_out: bool, out: &Output) -> Exit {
    let mut exit = Exit::Nothing;
    for group in groups {
        if let State::Failed(failure) = &group.state {
            exit = exit.worse(failure.exit);
            out.fail(&Failure { what: format!("{}: {}", group.name, failure.what), ..failure.clone() });
        }
    }
    let open: Vec<&str> =
        groups.iter().filter(|group| matches!(group.state, State::GoesOn)).map(|group| group.name.as_str()).collect();
    if open.is_empty() {
        return exit;
    }
    // One pass over each group is all that --once promises; a pass that did not come about breaks the promise.
    if !args.until_settled && !interrupted {
        for group in groups.iter().filter(|group| group.last.is_none()) {
            if let (State::GoesOn, Some(failure)) = (&group.state, &group.refused) {
                exit = exit.worse(failure.exit);
                out.fail(&Failure { what: format!("{}: {}", group.name, failure.what), ..failure.clone() });
            }
        }
        return exit;
    }
    let why = match (interrupted, timed_out) {
        (true, _) => "interrupted",
        (false, true) => "not settled in time",
        (false, false) => "not settled",
    };
    out.fail(&Failure {
        what: format!("{why}: {}", open.join(", ")),
        hint: "nothing is lost: the next run, or the function, reads from the tags where each swap stands and goes on"
            .to_owned(),
        exit: Exit::Unsettled,
    });
    exit.worse(Exit::Unsettled)
}

/// Before and after, group by group.
async fn summary(groups: &[Watched], world: &World, config: &Config, out: &Output) -> String {
    let currency = Currency::of(world.region());
    let mut rows = Vec::new();
    let mut saved = 0;
    for group in groups {
        let (Some(first), Some(last)) = (&group.first, &group.last) else { continue };
        let both = |of: &dyn Fn(&Look) -> String| {
            let (before, after) = (of(first), of(last));
            (Tone::Plain, if before == after { before } else { format!("{before} -> {after}") })
        };
        let count =
            |purchase: PurchaseOption| both(&|look: &Look| look.observation.group.in_service(purchase).to_string());
        // The same prices before and after: what they did meanwhile is not our doing.
        let cost = match prices(world, &last.observation).await {
            Ok(market) => {
                let cost = |look: &Look| savings(&look.observation, &look.plan, &market, config).cost_now as i64;
                saved += cost(first) - cost(last);
                both(&|look: &Look| currency.per_hour(cost(look)))
            }
            Err(_) => (Tone::Faint, "unknown".to_owned()),
        };
        rows.push(vec![
            (Tone::Head, group.name.to_string()),
            both(&|look: &Look| look.observation.group.desired.to_string()),
            both(&|look: &Look| look.observation.group.max_size.to_string()),
            count(PurchaseOption::OnDemand),
            count(PurchaseOption::Spot),
            cost,
            (Tone::Plain, group.acted.to_string()),
        ]);
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut text =
        format!("\n{}", out.table(&["group", "desired", "max", "on-demand", "spot", "costs", "steps"], rows));
    if saved > 0 {
        text.push_str(&format!(
            "\nSaves {} ({}) at the public prices of now, before discounts.\n",
            currency.per_hour(saved),
            currency.per_month(saved)
        ));
    }
    text
}

/// Ctrl-C: once to stop between two passes, twice to stop at once.
pub struct Stop {
    asked: Arc<AtomicBool>,
    notify: Arc<Notify>,
}

impl Stop {
    pub fn listen() -> Self {
        let stop = Self { asked: Arc::new(AtomicBool::new(false)), notify: Arc::new(Notify::new()) };
        let (asked, notify) = (stop.asked.clone(), stop.notify.clone());
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_err() {
                return;
            }
            asked.store(true, Ordering::Relaxed);
            notify.notify_one();
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(i32::from(Exit::Unsettled.code()));
            }
        });
        stop
    }

    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Until the time is over or somebody asks.
    pub async fn or(&self, pause: impl Future<Output = ()>) {
        tokio::select! {
            () = pause => {}
            () = self.notify.notified() => {}
        }
    }
}
