//! One run: scenario, seed, options in; what held and what broke out.

use std::cell::RefCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use engine::watcher::record_ready;
use engine::{CloudError, Outcome, Pass, rebalance, reconcile, rescue};
use planner::model::{GroupName, InstanceId, LifecycleState, PurchaseOption, tag};
use planner::policy::{Config, NAMESPACE, is_setting};
use planner::traces::Extent;

use crate::market::Pools;
use crate::oracle::{Oracle, Promise, Violation};
use crate::region::{About, Asg, MINUTE, Ms, Notice, Region, SECOND, Unknowns};
use crate::rng::Rng;
use crate::scenario::{self, Scenario};
use crate::weather::{self, Kind, Weather};
use crate::world::{Blow, Sim, Watchers, World};

/// 2026-09-21 14:13:20 UTC.
pub(crate) const START: Ms = 1_790_000_000_000;
/// Passes under the weather.
const STORM_PASSES: u32 = 24;
/// Without weather the next pass begins so long, and its pause, after the beginning of the last one: longer than most take.
const PASS: Ms = 4 * SECOND;
/// In one of so many seeds replicas wait for their watchers.
const WATCHED: u64 = 16;
/// Once calm, the tick's sweep comes after so many passes each.
const SWEEP_EVERY: u32 = 6;
/// Passes of a scripted scenario before its owner starts to tidy up.
const SCRIPT_PASSES: u32 = 4;
/// Once calm, a group of up to seven members has to be at rest after so many passes: swaps of up to forty short passes,
/// launch windows to wait for, and whatever was left behind to clear up first.
pub const CALM_PASSES: u32 = 400;

/// The weather of a run.
#[derive(Clone, Debug)]
pub enum Storm {
    /// None: the scenario alone.
    Calm,
    /// Drawn from the seed, together with the group and the answers to the open questions; the scenario is ignored.
    Drawn,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finale {
    /// The groups settle.
    Settle,
    /// In the last quarter of a long storm the owner wants everything on-demand again.
    Revert,
    /// In the last quarter of a long storm nothing is begun any more; what is left of us is taken away.
    Uninstall,
}

impl Finale {
    /// Its name on a command line, or nothing for the one that goes without saying.
    fn name(self) -> Option<&'static str> {
        match self {
            Finale::Settle => None,
            Finale::Revert => Some("revert"),
            Finale::Uninstall => Some("uninstall"),
        }
    }

    /// The one with this name; or which there are.
    pub fn named(text: &str) -> Result<Self, String> {
        let found = [Finale::Revert, Finale::Uninstall].into_iter().find(|finale| finale.name() == Some(text));
        found.ok_or_else(|| "revert or uninstall".to_owned())
    }
}

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The weather.
    pub storm: Storm,
    /// Answers to the open questions about AWS.
    pub unknowns: Unknowns,
    /// One blow at one call.
    pub blow: Option<(u64, Blow)>,
    /// Every action is performed twice.
    pub twice: bool,
    /// Two workers from the first pass to the last.
    pub two_workers: bool,
    /// Kinds of weather to leave out, for narrowing a failure down.
    pub without: Vec<Kind>,
    /// Keep a trace.
    pub trace: bool,
    /// How it ends.
    pub finale: Finale,
}

impl Options {
    /// As `spotward simulate` takes them: what differs from a plain run, each with a space before it.
    fn flags(&self) -> String {
        let mut flags = String::new();
        if let Some((call, blow)) = self.blow {
            flags += &format!(" --strike {}@{call}", blow.name());
        }
        if self.twice {
            flags += " --twice";
        }
        if self.two_workers {
            flags += " --two-workers";
        }
        let answers = Unknowns::other_answers();
        if let Some((question, _)) = answers.iter().find(|(_, unknowns)| *unknowns == self.unknowns) {
            flags += &format!(" --answer {question}");
        }
        if let Some(finale) = self.finale.name() {
            flags += &format!(" --finale {finale}");
        }
        if !self.without.is_empty() {
            let kinds: Vec<String> = self.without.iter().map(|kind| format!("{kind:?}")).collect();
            flags += &format!(" --without {}", kinds.join(","));
        }
        flags
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            storm: Storm::Calm,
            unknowns: Unknowns::default(),
            blow: None,
            twice: false,
            two_workers: false,
            without: Vec::new(),
            trace: false,
            finale: Finale::Settle,
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The command that plays it again, with every pass.
    pub replay: String,
    /// The first promise that broke.
    pub violation: Option<Violation>,
    /// Passes in all.
    pub passes: u32,
    /// Passes from the calm to rest.
    pub calm_passes: u32,
    /// Calls to AWS.
    pub calls: u64,
    /// Numbers of the calls that would change something.
    pub changes: Vec<u64>,
    /// Passes by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Actions performed, by name.
    pub actions: BTreeMap<&'static str, u64>,
    /// How often each kind of weather struck.
    pub weather: Vec<(Kind, u64)>,
    /// Foreign changes between our look and our call.
    pub races: u64,
    /// Swaps that left one instance too many because somebody else scaled in between.
    pub surpluses: u64,
    /// Edits of MaxSize by the owner that landed between our look and our write, and were lost.
    pub overwritten: u64,
    /// Scale-outs that AWS capped at MaxSize because our +1 had taken the last place.
    pub swallowed: u64,
    /// Foreign changes of desired that cancelled each other out between two looks.
    pub hidden: u64,
    /// Effects of one worker after another one had dropped the journal.
    pub drifts: u64,
    /// Calls that the role's policy refused.
    pub denied: u64,
    /// Deeds of the script that never had their moment.
    pub unplayed: usize,
    /// Unprotected spot members in service that we brought, at the end.
    pub spot_left: u32,
    /// What still carries a mark of ours at the end; filled after an uninstall.
    pub marks_left: Vec<String>,
    /// Pass by pass, if asked for.
    pub trace: Vec<String>,
}

impl RunReport {
    /// Whether every promise held.
    pub fn is_safe(&self) -> bool {
        self.violation.is_none()
    }
}

impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "scenario {}, seed {}: {} passes, {} calls", self.scenario, self.seed, self.passes, self.calls)?;
        let list = |counts: &BTreeMap<&'static str, u64>| {
            counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
        };
        writeln!(f, "passes   {}", list(&self.outcomes))?;
        writeln!(f, "actions  {}", list(&self.actions))?;
        let struck: Vec<String> = self
            .weather
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| format!("{kind:?} {count}"))
            .collect();
        if !struck.is_empty() {
            writeln!(f, "weather  {}", struck.join(", "))?;
        }
        if self.races + self.surpluses + self.overwritten + self.denied > 0 {
            let (races, surpluses, lost, denied) = (self.races, self.surpluses, self.overwritten, self.denied);
            writeln!(f, "races {races}, surpluses {surpluses}, overwritten edits {lost}, denied {denied}")?;
        }
        match &self.violation {
            None => writeln!(f, "every promise held; at rest {} passes after the calm", self.calm_passes),
            Some(violation) => {
                let second = (violation.at - START) / SECOND;
                writeln!(f, "BROKEN \"{}\": {} (second {second})", violation.promise, violation.what)?;
                writeln!(f, "replay: {}", self.replay)
            }
        }
    }
}

/// Plays one scenario from one seed.
pub fn run(scenario: &Scenario, seed: u64, options: &Options) -> RunReport {
    let mut play = begin(scenario, seed, options);
    while play.step() {}
    play.report()
}

/// How a run went on after its blow.
#[derive(Clone, Debug)]
pub enum Aftermath {
    /// To its end.
    Played(Box<RunReport>),
    /// The pass left the world exactly as the blow at this earlier call did, and what follows with it.
    As(u64),
}

/// Plays one scenario from one seed once for every blow that `blow` wants at a call, told by its number and by whether it
/// would change something. One aftermath for each, by the number of the call, in their order.
///
/// Up to its blow a run is the same as one without: each begins with the pass that the blow falls into. And two blows whose
/// passes leave the same world behind have the same future: it is played once.
pub fn run_with_each(
    scenario: &Scenario,
    seed: u64,
    options: &Options,
    blow: impl Fn(u64, bool) -> Option<Blow>,
) -> Vec<(u64, Aftermath)> {
    let mut undisturbed = begin(scenario, seed, options);
    let mut known: BTreeMap<String, u64> = BTreeMap::new();
    let mut all = Vec::new();
    loop {
        let before = undisturbed.fork();
        let goes_on = undisturbed.step();
        let from = before.sim.world.borrow().calls + 1;
        let world = undisturbed.sim.world.borrow();
        for number in from..=world.calls {
            let Some(blow) = blow(number, world.change_calls.binary_search(&number).is_ok()) else { continue };
            let mut play = before.fork();
            play.sim.world.borrow_mut().blow = Some((number, blow));
            play.step();
            let aftermath = match known.entry(play.state()) {
                Entry::Occupied(same) => Aftermath::As(*same.get()),
                Entry::Vacant(first) => {
                    first.insert(number);
                    while play.step() {}
                    Aftermath::Played(Box::new(play.report()))
                }
            };
            all.push((number, aftermath));
        }
        drop(world);
        if !goes_on {
            return all;
        }
    }
}

/// Everything as it is before the first pass.
fn begin<'a>(scenario: &Scenario, seed: u64, options: &'a Options) -> Play<'a> {
    let mut rng = Rng::new(seed);
    let drawn = matches!(options.storm, Storm::Drawn);
    let unknowns = if drawn { scenario::drawn_unknowns(&mut rng) } else { options.unknowns };
    let mut spec = if drawn { scenario::drawn_group(&mut rng) } else { (scenario.group)() };
    if drawn && seed.is_multiple_of(WATCHED) {
        spec = spec.tag("spotward:readiness", "watcher");
    }
    if unknowns.busy_groups_refuse {
        // Every hook would hold up the next swap: hours of calm for nothing.
        spec.hook = spec.hook.map(|hook| hook.min(MINUTE));
    }
    let mut storm = match &options.storm {
        Storm::Calm => Weather::calm(),
        Storm::Drawn => Weather::drawn(&mut rng),
    };
    for kind in &options.without {
        storm.set(*kind, 0);
    }
    let mut region = Region::new(START + rng.between(0, 600) * SECOND, seed, Pools::new(), unknowns);
    region.traced = options.trace;
    region.keeps_history = storm.chance(Kind::StaleRead) + storm.chance(Kind::StaleLook) > 0;
    if drawn {
        region.deliveries = None;
    }
    region.create(&spec);
    region.create(&scenario::decoy());
    let mut oracle = Oracle::default();
    oracle.open(&region);
    let world = World::new(region, oracle, storm, rng, GroupName::new(spec.name), options);
    let play = Play {
        sim: Sim { world: Rc::new(RefCell::new(world)), worker: 0 },
        config: Config::default(),
        options,
        passes: 0,
        outcomes: BTreeMap::new(),
        actions: BTreeMap::new(),
        deeds: if drawn { Vec::new() } else { scenario.deeds.to_vec() },
        unplayed: 0,
        heard: BTreeSet::new(),
        scenario: if drawn { "weather" } else { scenario.name },
        seed,
        phase: Phase::Storm { passes: 0 },
    };
    if drawn && seed.is_multiple_of(WATCHED) {
        play.sim.world.borrow_mut().watchers =
            if seed.is_multiple_of(2 * WATCHED) { Watchers::Silent } else { Watchers::Speak };
    }
    if !drawn {
        let world = &mut *play.sim.world.borrow_mut();
        (scenario.setup)(world);
        world.ambushes = scenario.ambushes.to_vec();
    }
    play
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// So many passes under the weather, or of the script, are over.
    Storm { passes: u32 },
    /// So many passes of calm are over, and everything was at rest after the last so many of them.
    Calm { passes: u32, at_rest: u32 },
    /// There was rest after so many passes of calm, or something broke.
    Over { calm_passes: u32 },
}

#[derive(Clone)]
struct Play<'a> {
    sim: Sim,
    config: Config,
    options: &'a Options,
    passes: u32,
    outcomes: BTreeMap<&'static str, u64>,
    actions: BTreeMap<&'static str, u64>,
    deeds: Vec<(scenario::When, scenario::Deed)>,
    unplayed: usize,
    /// Whose `ready` need not come again.
    heard: BTreeSet<InstanceId>,
    scenario: &'static str,
    seed: u64,
    phase: Phase,
}

/// How a pass, or whatever a message makes us do, ended. `None`: what a message was about is no member of any group.
enum End<T = Option<Pass>> {
    Done(Result<T, CloudError>),
    Killed,
}

/// One invocation at work.
type Work<'a> = Pin<Box<dyn Future<Output = Result<Option<Pass>, CloudError>> + 'a>>;

impl Play<'_> {
    fn broken(&self) -> bool {
        self.sim.world.borrow().oracle.violation.is_some()
    }

    fn is_calm(&self) -> bool {
        matches!(self.options.storm, Storm::Calm)
    }

    /// The same run once more, to go on from here on its own.
    fn fork(&self) -> Self {
        let world = self.sim.world.borrow().clone();
        Self { sim: Sim { world: Rc::new(RefCell::new(world)), worker: 0 }, ..self.clone() }
    }

    /// Everything that what follows depends on, between two passes: not what has been counted on the way.
    fn state(&self) -> String {
        let World {
            region,
            oracle,
            weather,
            rng,
            enabled_group,
            stack,
            calls: _,
            blow: _,
            twice,
            interleaved,
            two_workers,
            ambushes,
            per_api,
            killed,
            stale,
            trace: _,
            change_calls: _,
            watchers,
        } = &*self.sim.world.borrow();
        let workers = (twice, interleaved, two_workers, killed, stale, watchers);
        // Those that are still to come, and after how many more calls.
        let calls = |api| per_api.get(api).copied().unwrap_or(0);
        let ambushes = ambushes.iter().filter(|(api, call, _)| *call > calls(api));
        let ambushes: Vec<_> = ambushes.map(|(api, call, deed)| (api, call - calls(api), deed)).collect();
        let Self {
            sim: _,
            config,
            options: _,
            passes: _,
            outcomes: _,
            actions: _,
            deeds,
            unplayed: _,
            heard,
            scenario: _,
            seed: _,
            phase,
        } = self;
        let script = (phase, deeds, heard, config);
        format!("{:?}", (region, oracle, weather, rng, enabled_group, stack, workers, ambushes, script))
    }

    /// One pass, and what belongs to it. Whether another one follows.
    fn step(&mut self) -> bool {
        self.phase = match self.phase {
            Phase::Storm { .. } if self.broken() => Phase::Over { calm_passes: 0 },
            Phase::Calm { passes, .. } if self.broken() => Phase::Over { calm_passes: passes },
            Phase::Storm { passes } => self.storm(passes),
            Phase::Calm { passes, at_rest } => self.calm(passes, at_rest),
            over @ Phase::Over { .. } => over,
        };
        !matches!(self.phase, Phase::Over { .. })
    }

    /// The pass under the weather that follows on so many.
    fn storm(&mut self, number: u32) -> Phase {
        let passes = if self.is_calm() { SCRIPT_PASSES } else { STORM_PASSES };
        // Swaps have to be over before there is anything to go back on.
        let passes = if self.options.finale == Finale::Settle { passes } else { 4 * passes };
        if number == passes * 3 / 4 {
            self.turn();
        }
        // The group that nobody enabled is looked at as well.
        if number % 12 == 3 {
            self.pass(&GroupName::new("decoy"));
        }
        self.pass_and_pause();
        let outage = self.strikes(Kind::Outage);
        if outage {
            self.sim.world.borrow_mut().note(|| "-- no pass for a long time".to_owned());
            let minutes = self.sim.world.borrow_mut().rng.between(5, 50);
            self.sim.world.borrow_mut().advance(minutes * MINUTE);
        }
        self.script();
        if number + 1 < passes {
            return Phase::Storm { passes: number + 1 };
        }
        if self.options.finale == Finale::Uninstall {
            self.tidy_up(3);
        }
        self.sim.world.borrow_mut().note(|| "== the weather calms".to_owned());
        Phase::Calm { passes: 0, at_rest: 0 }
    }

    /// The owner changes his mind.
    fn turn(&mut self) {
        let world = &mut *self.sim.world.borrow_mut();
        match self.options.finale {
            Finale::Settle => {}
            Finale::Revert => {
                // He means it, and stays with it.
                world.weather.set(Kind::EditFloor, 0);
                world.weather.set(Kind::Enable, 0);
                let name = world.enabled_group.clone();
                if world.region.group(&name).is_some() {
                    weather::owner_tags(world, &name, "spot-enabled", Some("true"));
                    scenario::perform(world, scenario::Deed::FloorEverything);
                }
            }
            Finale::Uninstall => {
                world.note(|| "-- uninstall: nothing is begun any more".to_owned());
                world.oracle.winding_down = true;
                self.config = self.config.for_nobody();
            }
        }
    }

    /// Takes away what is left of us, until nothing is or `rounds` are over. A round may be cut short like any pass.
    fn tidy_up(&mut self, rounds: u32) {
        for _ in 0..rounds {
            if self.broken() {
                return;
            }
            self.tidy(Extent::Uninstall);
            self.sim.world.borrow_mut().advance(10 * SECOND);
        }
    }

    /// One round of it, or one sweep as on a tick.
    fn tidy(&mut self, extent: Extent) {
        // The owner's own credentials and the deployment's real settings: only passes are told that nobody is enabled.
        let config = Config::default();
        let sim = self.sim.clone();
        sim.world.borrow_mut().begin_pass(0);
        let mut future = Box::pin(async {
            match extent {
                Extent::Sweep => engine::tidy::sweep(&sim, &config).await,
                Extent::Uninstall | Extent::UninstallWithSettings => {
                    engine::tidy::uninstall(&sim, &config, extent).await
                }
            }
        });
        let end = loop {
            match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(result) => break Some(result),
                Poll::Pending if std::mem::take(&mut sim.world.borrow_mut().killed) => break None,
                Poll::Pending => {}
            }
        };
        drop(future);
        self.sim.world.borrow_mut().note(|| format!("== tidied up: {end:?}"));
    }

    /// The pass of calm that follows on so many: until everything is at rest, or too long.
    fn calm(&mut self, number: u32, at_rest: u32) -> Phase {
        // Deeds of the script that have not had their moment yet are still to come.
        if self.deeds.is_empty() || number == CALM_PASSES / 2 {
            self.unplayed += std::mem::take(&mut self.deeds).len();
            weather::calm(&mut self.sim.world.borrow_mut());
        }
        let quiet = self.pass_and_pause();
        if number % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.tidy(Extent::Sweep);
        }
        self.script();
        let settled = {
            let world = self.sim.world.borrow();
            let told_all = world.region.notices.is_empty();
            // Who is on the way back waits for what passes by itself: a scheduled action, a standby that is over.
            let all_back = self.options.finale != Finale::Revert || spot_left(&world) == 0;
            let settled = quiet && told_all && all_back && self.deeds.is_empty();
            settled && world.oracle.unrest(&world.region).is_empty()
        };
        let at_rest = if settled { at_rest + 1 } else { 0 };
        if at_rest == 2 {
            if self.options.finale == Finale::Uninstall {
                self.tidy_up(4);
            }
            return Phase::Over { calm_passes: number - 1 };
        }
        if number + 1 < CALM_PASSES {
            return Phase::Calm { passes: number + 1, at_rest };
        }
        let world = &mut *self.sim.world.borrow_mut();
        let unrest = world.oracle.unrest(&world.region);
        let (promise, what) = unrest
            .first()
            .cloned()
            .unwrap_or((Promise::Liveness, "passes never become quiet although everything is at rest".to_owned()));
        let region = &world.region;
        world.oracle.object(region, promise, || format!("after {CALM_PASSES} passes of calm: {what}"));
        Phase::Over { calm_passes: CALM_PASSES }
    }

    fn script(&mut self) {
        if let Some((when, deed)) = self.deeds.first().copied()
            && scenario::is_time(&self.sim.world.borrow(), when)
        {
            self.deeds.remove(0);
            scenario::perform(&mut self.sim.world.borrow_mut(), deed);
        }
    }

    fn strikes(&self, kind: Kind) -> bool {
        let world = &mut *self.sim.world.borrow_mut();
        world.weather.strikes(kind, &mut world.rng)
    }

    /// The watchers' messages. One that could not be dealt with comes again, as from SNS and Lambda.
    fn hear(&mut self) {
        let speakers = self.sim.world.borrow().speakers();
        for id in speakers.into_iter().filter(|id| !self.heard.contains(id)).collect::<Vec<_>>() {
            let sim = self.sim.clone();
            sim.world.borrow_mut().note(|| format!("== {id} says ready"));
            sim.world.borrow_mut().begin_pass(0);
            let mut future = Box::pin(record_ready(&sim, &self.config, &id));
            let end = loop {
                if let Some(end) = poll(&mut future, &sim) {
                    break end;
                }
            };
            drop(future);
            match &end {
                End::Done(Ok(None)) => drop(self.heard.insert(id)),
                End::Done(Ok(Some(pass))) => {
                    self.sim.world.borrow_mut().note(|| format!("   {}", said(pass)));
                    match pass.outcome {
                        Outcome::Acted => {
                            *self.actions.entry("record-ready").or_default() += 1;
                            self.heard.insert(id);
                        }
                        Outcome::Quiet | Outcome::Gone | Outcome::Refused(_) => drop(self.heard.insert(id)),
                        Outcome::Waiting | Outcome::Failed(_) => {}
                    }
                }
                End::Done(Err(_)) | End::Killed => {}
            }
        }
    }

    /// One pass on the enabled group, sometimes by two workers at once, and the time until the next. Whether it was
    /// quiet.
    fn pass_and_pause(&mut self) -> bool {
        let started = self.sim.world.borrow().region.now;
        self.hear();
        let name = self.sim.world.borrow().enabled_group.clone();
        // Without weather what follows a pass depends on what it has done, not on how many calls it took to come that far.
        let after = self.is_calm().then(|| Rng::new(self.sim.world.borrow_mut().rng.next()));
        let seen = |outcomes: &BTreeMap<&'static str, u64>| -> u64 {
            outcomes
                .iter()
                .filter(|(word, _)| !matches!(**word, "killed" | "unread" | "message"))
                .map(|(_, count)| count)
                .sum()
        };
        let before = seen(&self.outcomes);
        let workers = if self.options.two_workers || self.strikes(Kind::TwoWorkers) { 2 } else { 1 };
        let messages = self.messages();
        let woken = !messages.is_empty();
        // A message wakes the group after it has been answered, whatever the passes before it said.
        let goes_on = self.at_once(&name, workers, messages) || woken;
        let looked = seen(&self.outcomes) > before;
        if let Some(after) = after {
            self.sim.world.borrow_mut().rng = after;
        }
        let pause = match goes_on {
            _ if self.strikes(Kind::DoubledEvent) => 0,
            // The function looks again soon while a swap is going on, and its three seconds count when somebody is about to
            // end; else the tick comes.
            true if self.sim.world.borrow().region.view.instances.values().any(|ec2| ec2.ends_at.is_some()) => {
                self.sim.world.borrow_mut().rng.between(3, 8)
            }
            true => self.sim.world.borrow_mut().rng.between(10, 30),
            false => 60,
        };
        let world = &mut *self.sim.world.borrow_mut();
        // Whoever has something to tell us does not wait for our tick.
        let end = match self.is_calm() {
            true => world.region.now.max(started + PASS + pause * SECOND),
            false => world.region.now + pause * SECOND,
        };
        while world.region.now < end && world.region.notices.first().is_none_or(|next| next.due > world.region.now) {
            let next = world.region.notices.first().map_or(end, |next| next.due);
            let step = 5 * SECOND;
            world.advance((next.min(end) - world.region.now).min(step));
        }
        let region = &world.region;
        world.oracle.look_around(region, looked);
        // Whoever looks next knows nothing of it.
        world.oracle.readings.clear();
        world.stale.clear();
        !goes_on
    }

    /// The messages that have arrived by now.
    fn messages(&self) -> Vec<Notice> {
        let world = &mut *self.sim.world.borrow_mut();
        let messages = world.region.arrived();
        messages.iter().filter(|notice| notice.about == About::Interruption).for_each(|_| {
            world.weather.count(Kind::Interruptions);
        });
        messages
    }

    fn pass(&mut self, name: &GroupName) -> bool {
        self.at_once(name, 1, Vec::new())
    }

    /// So many workers on one group, and beside them whoever answers the messages: their calls interleaved as the seed
    /// wants it. Messages work beside the queue, on purpose.
    fn at_once(&mut self, name: &GroupName, workers: usize, messages: Vec<Notice>) -> bool {
        self.passes += 1;
        let number = self.passes;
        let sims: Vec<Sim> = (0..workers + messages.len()).map(|worker| self.sim.worker(worker)).collect();
        {
            let world = &mut *self.sim.world.borrow_mut();
            let by_two = if workers > 1 { ", by two workers" } else { "" };
            let told: String =
                messages.iter().map(|notice| format!(", and {:?} of {} is told", notice.about, notice.id)).collect();
            world.note(|| format!("== pass {number} on {name}{by_two}{told}"));
            (0..sims.len()).for_each(|worker| world.begin_pass(worker));
            world.interleaved = sims.len() > 1;
            world.two_workers = workers > 1;
        }
        let config = self.config.clone();
        let mut works: Vec<Option<Work<'_>>> = sims
            .iter()
            .enumerate()
            .map(|(place, sim)| -> Option<Work<'_>> {
                let config = &config;
                Some(match messages.get(place.wrapping_sub(workers)) {
                    None => Box::pin(async move { reconcile(sim, config, name).await.map(Some) }),
                    Some(Notice { id, about: About::Interruption, .. }) => Box::pin(rescue(sim, config, id)),
                    Some(Notice { id, about: About::Rebalance, .. }) => Box::pin(rebalance(sim, config, id)),
                })
            })
            .collect();
        let mut ends: Vec<Option<End>> = works.iter().map(|_| None).collect();
        while works.iter().any(Option::is_some) {
            for (place, sim) in sims.iter().enumerate() {
                if let Some(work) = &mut works[place]
                    && let Some(end) = poll(work, sim)
                {
                    ends[place] = Some(end);
                    works[place] = None;
                }
            }
        }
        drop(works);
        {
            let world = &mut *self.sim.world.borrow_mut();
            world.interleaved = false;
            world.two_workers = false;
        }
        let ends = ends.iter().flatten().enumerate();
        ends.fold(false, |goes_on, (worker, end)| self.note(name, worker, worker >= workers, end) | goes_on)
    }

    /// Writes down how a pass ended; whether another one soon is worth it.
    fn note(&mut self, name: &GroupName, worker: usize, by_message: bool, end: &End) -> bool {
        let (outcome, goes_on) = match end {
            End::Killed => ("killed", true),
            End::Done(Err(_)) => ("unread", true),
            End::Done(Ok(None)) => ("gone", false),
            End::Done(Ok(Some(pass))) => {
                if let (Outcome::Acted, Some(look)) = (&pass.outcome, &pass.look)
                    && let Some(action) = &look.plan.action
                {
                    *self.actions.entry(action.name()).or_default() += 1;
                }
                let word = match &pass.outcome {
                    Outcome::Quiet => "quiet",
                    Outcome::Waiting => "waiting",
                    Outcome::Acted => "acted",
                    Outcome::Refused(_) => "refused",
                    Outcome::Failed(_) => "failed",
                    Outcome::Gone => "gone",
                };
                (word, pass.outcome.goes_on())
            }
        };
        *self.outcomes.entry(if by_message { "message" } else { outcome }).or_default() += 1;
        let world = &mut *self.sim.world.borrow_mut();
        if let End::Done(Ok(Some(Pass { look: Some(look), outcome, .. }))) = end
            && matches!(outcome, Outcome::Quiet | Outcome::Waiting | Outcome::Acted)
            && !by_message
        {
            world.oracle.note_seen(&world.region, worker, name, look.observation.group.desired);
        }
        world.note(|| match end {
            End::Killed => format!("   [{worker}] killed"),
            End::Done(Err(error)) => format!("   [{worker}] could not look: {error}"),
            End::Done(Ok(None)) => format!("   [{worker}] that is no member"),
            End::Done(Ok(Some(pass))) => format!("   [{worker}] {}", said(pass)),
        });
        world.note_group(name);
        goes_on
    }

    fn report(self) -> RunReport {
        let blow = self.sim.world.borrow().blow;
        let flags = Options { blow, ..self.options.clone() }.flags();
        let calm_passes = match self.phase {
            Phase::Storm { .. } => 0,
            Phase::Calm { passes: calm_passes, .. } | Phase::Over { calm_passes } => calm_passes,
        };
        let world = &mut *self.sim.world.borrow_mut();
        RunReport {
            scenario: self.scenario.to_owned(),
            seed: self.seed,
            replay: format!("spotward simulate --seed {} --scenario {}{flags} --trace", self.seed, self.scenario),
            violation: world.oracle.violation.clone(),
            passes: self.passes,
            calm_passes,
            calls: world.calls,
            changes: std::mem::take(&mut world.change_calls),
            outcomes: self.outcomes,
            actions: self.actions,
            weather: world.weather.counts().collect(),
            races: world.oracle.races,
            surpluses: world.oracle.surpluses,
            overwritten: world.oracle.overwritten,
            swallowed: world.oracle.swallowed,
            hidden: world.oracle.hidden,
            drifts: world.oracle.drifts,
            denied: world.oracle.denied,
            unplayed: self.unplayed,
            spot_left: spot_left(world),
            marks_left: if self.options.finale == Finale::Uninstall { marks(world) } else { Vec::new() },
            trace: world.trace.take().unwrap_or_default(),
        }
    }
}

/// Spot members in service that we brought and that may leave: not from a full group whose owner forbids to make room.
fn spot_left(world: &World) -> u32 {
    let skips = |group: &Asg| group.tags.get("spotward:on-max").map(String::as_str) == Some("skip");
    let groups = world.region.view.groups.values().filter(|group| group.desired < group.max || !skips(group.as_ref()));
    let seats = groups.flat_map(|group| group.seats.iter().map(move |seat| (group, seat)));
    let free = seats.filter(|(_, seat)| seat.lifecycle == LifecycleState::InService && !seat.protected);
    let spot = free.filter_map(|(group, seat)| Some((group, world.region.ec2(&seat.id)?))).filter(|(group, ec2)| {
        // To be detached a member has to carry the enabling tag, and one that came before it was propagated does not.
        let detaches = group.tags.get("spotward:removal").map(String::as_str) == Some("detach");
        let markable = !detaches || ec2.tags.contains_key("spot-enabled");
        let stays = ec2.termination_protected || !markable;
        ec2.purchase == PurchaseOption::Spot && !stays && ec2.tags.contains_key(tag::ROLE)
    });
    spot.count() as u32
}

/// Everything in the region that says that we have been there.
fn marks(world: &World) -> Vec<String> {
    let ours = |key: &&String| key.starts_with(NAMESPACE) && !is_setting(key);
    let region = &world.region;
    let groups = region.view.groups.values().flat_map(|group| {
        group.tags.keys().filter(ours).map(|key| format!("{} carries {key}", group.name)).collect::<Vec<_>>()
    });
    let instances = region.view.instances.values().filter(|ec2| ec2.state.is_alive()).flat_map(|ec2| {
        ec2.tags.keys().filter(ours).map(|key| format!("{} carries {key}", ec2.id)).collect::<Vec<_>>()
    });
    let templates = region.derived_templates().map(|(name, _)| format!("template {name}"));
    groups.chain(instances).chain(templates).collect()
}

/// What was decided and what came of it.
fn said(pass: &Pass) -> String {
    let Some(look) = &pass.look else { return "the group is gone".to_owned() };
    let plan = &look.plan;
    let decided = match (&plan.action, &plan.wait) {
        (Some(action), _) => format!("{action:?}"),
        (None, Some(wait)) => format!("wait {wait:?}"),
        (None, None) if !plan.blockers.is_empty() => format!("leave {:?}", plan.blockers),
        (None, None) if !plan.left_alone.is_empty() => format!("nothing to do, leaves {:?}", plan.left_alone),
        (None, None) => "nothing to do".to_owned(),
    };
    format!("{}: {decided} -> {:?}", plan.swap, pass.outcome)
}

/// One poll. `None`: the worker has given way, ask again.
fn poll<T, F>(future: &mut Pin<Box<F>>, sim: &Sim) -> Option<End<T>>
where
    F: Future<Output = Result<T, CloudError>> + ?Sized,
{
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(End::Done(result)),
        Poll::Pending => {
            let killed = std::mem::take(&mut sim.world.borrow_mut().killed);
            killed.then_some(End::Killed)
        }
    }
}
