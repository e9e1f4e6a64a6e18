//! One run: scenario, seed, options in; what held and what broke out.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use engine::watcher::record_ready;
use engine::{CloudError, Outcome, Pass, reconcile};
use planner::model::{GroupName, InstanceId};
use planner::policy::Config;

use crate::market::Pools;
use crate::oracle::{Oracle, Promise, Violation};
use crate::region::{MINUTE, Ms, Region, SECOND, Unknowns};
use crate::rng::Rng;
use crate::scenario::{self, Scenario};
use crate::weather::{self, Kind, Weather};
use crate::world::{Blow, Sim, Watchers, World};

/// 2026-09-21 14:13:20 UTC.
pub(crate) const START: Ms = 1_790_000_000_000;
/// Passes under the weather.
const STORM_PASSES: u32 = 24;
/// In one of so many seeds replicas wait for their watchers.
const WATCHED: u64 = 16;
/// Passes of a scripted scenario before its owner starts to tidy up.
const SCRIPT_PASSES: u32 = 4;
/// Once calm, a group of up to four members has to be at rest after so many passes: four swaps of about a dozen passes,
/// launch windows to wait for, and whatever was left behind to clear up first.
pub const CALM_PASSES: u32 = 240;

/// The weather of a run.
#[derive(Clone, Debug)]
pub enum Storm {
    /// None: the scenario alone.
    Calm,
    /// Drawn from the seed, together with the group and the answers to the open questions; the scenario is ignored.
    Drawn,
    /// This.
    Given(Weather),
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
                writeln!(f, "replay: spotward simulate --seed {} --scenario {} --trace", self.seed, self.scenario)
            }
        }
    }
}

/// Plays one scenario from one seed.
pub fn run(scenario: &Scenario, seed: u64, options: &Options) -> RunReport {
    let mut rng = Rng::new(seed);
    let drawn = matches!(options.storm, Storm::Drawn);
    let unknowns = if drawn { scenario::drawn_unknowns(&mut rng) } else { options.unknowns };
    let mut spec = if drawn { scenario::drawn_group(&mut rng) } else { (scenario.group)() };
    if drawn && seed % WATCHED == 0 {
        spec = spec.tag("spotward:readiness", "watcher");
    }
    if unknowns.busy_groups_refuse {
        // Every hook would hold up the next swap: hours of calm for nothing.
        spec.hook = spec.hook.map(|hook| hook.min(MINUTE));
    }
    let mut storm = match &options.storm {
        Storm::Calm => Weather::calm(),
        Storm::Drawn => Weather::drawn(&mut rng),
        Storm::Given(weather) => weather.clone(),
    };
    for kind in &options.without {
        storm.set(*kind, 0);
    }
    let mut region = Region::new(START + rng.between(0, 600) * SECOND, seed, Pools::new(), unknowns);
    region.traced = options.trace;
    region.keeps_history = storm.chance(Kind::StaleRead) + storm.chance(Kind::StaleLook) > 0;
    region.create(&spec);
    region.create(&scenario::decoy());
    let mut oracle = Oracle::default();
    oracle.open(&region);
    let world = World::new(region, oracle, storm, rng, GroupName::new(spec.name), options);
    let mut play = Play {
        sim: Sim { world: Rc::new(RefCell::new(world)), worker: 0 },
        config: Config::default(),
        options,
        passes: 0,
        outcomes: BTreeMap::new(),
        actions: BTreeMap::new(),
        deeds: if drawn { Vec::new() } else { scenario.deeds.to_vec() },
        heard: BTreeSet::new(),
    };
    if drawn && seed % WATCHED == 0 {
        play.sim.world.borrow_mut().watchers =
            if seed % (2 * WATCHED) == 0 { Watchers::Silent } else { Watchers::Speak };
    }
    if !drawn {
        let world = &mut *play.sim.world.borrow_mut();
        (scenario.setup)(world);
        world.ambushes = scenario.ambushes.to_vec();
    }
    play.storm();
    let calm_passes = play.calm();
    play.report(if drawn { "weather" } else { scenario.name }, seed, calm_passes)
}

struct Play<'a> {
    sim: Sim,
    config: Config,
    options: &'a Options,
    passes: u32,
    outcomes: BTreeMap<&'static str, u64>,
    actions: BTreeMap<&'static str, u64>,
    deeds: Vec<(scenario::When, scenario::Deed)>,
    /// Whose `ready` need not come again.
    heard: BTreeSet<InstanceId>,
}

/// How a pass, or whatever a message makes us do, ended.
enum End<T = Pass> {
    Done(Result<T, CloudError>),
    Killed,
}

impl Play<'_> {
    fn broken(&self) -> bool {
        self.sim.world.borrow().oracle.violation.is_some()
    }

    fn storm(&mut self) {
        let passes = if matches!(self.options.storm, Storm::Calm) { SCRIPT_PASSES } else { STORM_PASSES };
        for number in 0..passes {
            if self.broken() {
                return;
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
        }
    }

    /// Until everything is at rest, or too long.
    fn calm(&mut self) -> u32 {
        self.sim.world.borrow_mut().note(|| "== the weather calms".to_owned());
        let mut at_rest = 0;
        for number in 0..CALM_PASSES {
            if self.broken() {
                return number;
            }
            // Deeds of the script that have not had their moment yet are still to come.
            if self.deeds.is_empty() || number == CALM_PASSES / 2 {
                self.deeds.clear();
                weather::calm(&mut self.sim.world.borrow_mut());
            }
            let quiet = self.pass_and_pause();
            self.script();
            let world = self.sim.world.borrow();
            at_rest = if quiet && world.oracle.unrest(&world.region).is_empty() && self.deeds.is_empty() {
                at_rest + 1
            } else {
                0
            };
            if at_rest == 2 {
                return number - 1;
            }
        }
        let world = &mut *self.sim.world.borrow_mut();
        let unrest = world.oracle.unrest(&world.region);
        let (promise, what) = unrest
            .first()
            .cloned()
            .unwrap_or((Promise::Liveness, "passes never become quiet although everything is at rest".to_owned()));
        let region = &world.region;
        world.oracle.object(region, promise, || format!("after {CALM_PASSES} passes of calm: {what}"));
        CALM_PASSES
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
        self.hear();
        let name = self.sim.world.borrow().enabled_group.clone();
        let seen = |outcomes: &BTreeMap<&'static str, u64>| -> u64 {
            outcomes.iter().filter(|(word, _)| !matches!(**word, "killed" | "unread")).map(|(_, count)| count).sum()
        };
        let before = seen(&self.outcomes);
        let goes_on = if self.options.two_workers || self.strikes(Kind::TwoWorkers) {
            self.pass_of_two(&name)
        } else {
            self.pass(&name)
        };
        let looked = seen(&self.outcomes) > before;
        let pause = match goes_on {
            _ if self.strikes(Kind::DoubledEvent) => 0,
            // The function looks again soon while a swap is going on; else the tick comes.
            true => self.sim.world.borrow_mut().rng.between(10, 30),
            false => 60,
        };
        let world = &mut *self.sim.world.borrow_mut();
        world.advance(pause * SECOND);
        let region = &world.region;
        world.oracle.look_around(region, looked);
        !goes_on
    }

    fn pass(&mut self, name: &GroupName) -> bool {
        self.passes += 1;
        let number = self.passes;
        let sim = self.sim.clone();
        sim.world.borrow_mut().note(|| format!("== pass {number} on {name}"));
        sim.world.borrow_mut().begin_pass(0);
        let mut future = Box::pin(reconcile(&sim, &self.config, name));
        let end = loop {
            if let Some(end) = poll(&mut future, &sim) {
                break end;
            }
        };
        drop(future);
        self.note(name, 0, &end)
    }

    /// Two workers on one group, their calls interleaved as the seed wants it.
    fn pass_of_two(&mut self, name: &GroupName) -> bool {
        self.passes += 1;
        let number = self.passes;
        let (first, second) = (self.sim.worker(0), self.sim.worker(1));
        first.world.borrow_mut().note(|| format!("== pass {number} on {name}, by two workers"));
        first.world.borrow_mut().begin_pass(0);
        first.world.borrow_mut().begin_pass(1);
        first.world.borrow_mut().interleaved = true;
        let mut one = Box::pin(reconcile(&first, &self.config, name));
        let mut two = Box::pin(reconcile(&second, &self.config, name));
        let (mut end_one, mut end_two) = (None, None);
        while end_one.is_none() || end_two.is_none() {
            if end_one.is_none() {
                end_one = poll(&mut one, &first);
            }
            if end_two.is_none() {
                end_two = poll(&mut two, &second);
            }
        }
        drop((one, two));
        self.sim.world.borrow_mut().interleaved = false;
        let ends = [end_one, end_two];
        ends.iter().flatten().enumerate().fold(false, |goes_on, (worker, end)| self.note(name, worker, end) | goes_on)
    }

    /// Writes down how a pass ended; whether another one soon is worth it.
    fn note(&mut self, name: &GroupName, worker: usize, end: &End) -> bool {
        let (outcome, goes_on) = match end {
            End::Killed => ("killed", true),
            End::Done(Err(_)) => ("unread", true),
            End::Done(Ok(pass)) => {
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
        *self.outcomes.entry(outcome).or_default() += 1;
        let world = &mut *self.sim.world.borrow_mut();
        world.note(|| match end {
            End::Killed => format!("   [{worker}] killed"),
            End::Done(Err(error)) => format!("   [{worker}] could not look: {error}"),
            End::Done(Ok(pass)) => format!("   [{worker}] {}", said(pass)),
        });
        world.note_group(name);
        goes_on
    }

    fn report(self, scenario: &str, seed: u64, calm_passes: u32) -> RunReport {
        let world = &mut *self.sim.world.borrow_mut();
        RunReport {
            scenario: scenario.to_owned(),
            seed,
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
            trace: world.trace.take().unwrap_or_default(),
        }
    }
}

/// What was decided and what came of it.
fn said(pass: &Pass) -> String {
    let Some(look) = &pass.look else { return "the group is gone".to_owned() };
    let plan = &look.plan;
    let decided = match (&plan.action, &plan.wait) {
        (Some(action), _) => format!("{action:?}"),
        (None, Some(wait)) => format!("wait {wait:?}"),
        (None, None) if !plan.blockers.is_empty() => format!("leave {:?}", plan.blockers),
        (None, None) => "nothing to do".to_owned(),
    };
    format!("{}: {decided} -> {:?}", plan.swap, pass.outcome)
}

/// One poll. `None`: the worker has given way, ask again.
fn poll<T>(future: &mut Pin<Box<impl Future<Output = Result<T, CloudError>>>>, sim: &Sim) -> Option<End<T>> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(End::Done(result)),
        Poll::Pending => {
            let killed = std::mem::take(&mut sim.world.borrow_mut().killed);
            killed.then_some(End::Killed)
        }
    }
}
