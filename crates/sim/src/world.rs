//! A region with its weather, its oracle and its workers: every call of ours goes through [`Sim::read`] or
//! [`Sim::change`], where it may be throttled, fail, lose its answer, never return, or be preceded by somebody else's
//! deed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use engine::CloudError;
use planner::model::{GroupName, InstanceId, RunState};

use crate::oracle::{Done, Facts, Oracle};
use crate::region::{Ec2, Ms, Region, SECOND, View};
use crate::rng::Rng;
use crate::run::Options;
use crate::weather::{self, Kind, Weather};

/// The calls that we make to AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Api {
    DescribeAutoScalingGroups,
    DescribeAutoScalingInstances,
    DescribeInstances,
    DescribeInstancesByTag,
    DescribeInstanceStatus,
    DescribeTargetHealth,
    DescribeScalingActivities,
    DescribeLifecycleHooks,
    DescribeInstanceRefreshes,
    DescribeScheduledActions,
    DescribeLaunchTemplates,
    DescribeLaunchTemplateVersions,
    DescribeLaunchConfigurations,
    DescribeImages,
    DescribeInstanceAttribute,
    DescribeInstanceTypes,
    DescribeSpotPriceHistory,
    CreateLaunchTemplate,
    DeleteLaunchTemplate,
    CreateFleet,
    CreateTags,
    DeleteTags,
    CreateOrUpdateTags,
    DeleteGroupTags,
    SuspendProcesses,
    ResumeProcesses,
    UpdateAutoScalingGroup,
    AttachInstances,
    DetachInstances,
    TerminateInstanceInAutoScalingGroup,
    SetDesiredCapacity,
    TerminateInstances,
}

impl Api {
    /// What it does cannot be taken back: the promise is that we look again right before it.
    pub fn needs_fresh_look(self) -> bool {
        matches!(
            self,
            Api::AttachInstances
                | Api::DetachInstances
                | Api::TerminateInstanceInAutoScalingGroup
                | Api::SetDesiredCapacity
                | Api::TerminateInstances
        )
    }

    /// Begins or carries on a swap, which only an enabled group may see.
    pub fn starts_something(self) -> bool {
        matches!(self, Api::CreateFleet | Api::SuspendProcesses | Api::AttachInstances)
    }

    /// Takes a member out of its group.
    pub fn removes_a_member(self) -> bool {
        matches!(self, Api::DetachInstances | Api::TerminateInstanceInAutoScalingGroup)
    }

    fn is_auto_scaling(self) -> bool {
        matches!(
            self,
            Api::CreateOrUpdateTags
                | Api::DeleteGroupTags
                | Api::SuspendProcesses
                | Api::ResumeProcesses
                | Api::UpdateAutoScalingGroup
                | Api::AttachInstances
                | Api::DetachInstances
                | Api::TerminateInstanceInAutoScalingGroup
                | Api::SetDesiredCapacity
        )
    }
}

/// What becomes of one call, decided beforehand: for exhaustive tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The worker dies before the effect.
    Crash,
    /// The worker dies after it.
    CrashAfter,
    /// The answer is lost.
    LostReply,
    /// The client library repeats the call by itself.
    Retry,
    /// Throttled, no effect.
    Throttle,
}

impl Blow {
    /// All of them.
    pub const ALL: [Blow; 5] = [Blow::Crash, Blow::CrashAfter, Blow::LostReply, Blow::Retry, Blow::Throttle];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Blow::Crash => "crash",
            Blow::CrashAfter => "crash-after",
            Blow::LostReply => "lost-reply",
            Blow::Retry => "retry",
            Blow::Throttle => "throttle",
        }
    }

    /// A blow and the number of the call that it strikes, as in `crash@100`; or what would be right.
    pub fn at_call(text: &str) -> Result<(u64, Self), String> {
        let (name, call) = text.split_once('@').ok_or("a blow and the number of a call, as in crash@100")?;
        let blow = Self::ALL.into_iter().find(|blow| blow.name() == name);
        let blow = blow.ok_or_else(|| format!("a blow is one of {}", Self::ALL.map(Self::name).join(", ")))?;
        let call = call.parse().ok().filter(|call| *call > 0).ok_or("calls are counted from 1")?;
        Ok((call, blow))
    }
}

/// Everything that one run is about.
#[derive(Clone)]
pub struct World {
    pub region: Region,
    pub oracle: Oracle,
    pub weather: Weather,
    pub rng: Rng,
    /// The group whose owner has asked for us.
    pub enabled_group: GroupName,
    /// Our deployment.
    pub stack: String,
    /// Calls so far.
    pub calls: u64,
    /// One blow at one call.
    pub blow: Option<(u64, Blow)>,
    /// Every action is performed twice.
    pub twice: bool,
    /// Whether workers give way to each other between calls.
    pub interleaved: bool,
    /// Two of them work on the same group, which the queue is there to prevent.
    pub two_workers: bool,
    /// A foreign deed before the n-th call of a kind.
    pub ambushes: Vec<(Api, u32, Kind)>,
    /// Calls per kind, for the ambushes.
    pub per_api: BTreeMap<Api, u32>,
    /// The present worker has been killed.
    pub killed: bool,
    /// The view that a stale look reads, by worker.
    pub stale: Vec<Option<View>>,
    pub trace: Option<Vec<String>>,
    /// Numbers of the calls that change something.
    pub change_calls: Vec<u64>,
    /// What the watchers on the instances do.
    pub watchers: Watchers,
}

/// What the watchers on the instances do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watchers {
    /// There are none, and nobody waits for them.
    Absent,
    /// Every instance in the region says `ready` once it is up for a while: those that it does not concern, too.
    Speak,
    /// They are broken until the weather calms.
    Silent,
}

impl World {
    /// A world at its start.
    pub fn new(
        region: Region,
        oracle: Oracle,
        weather: Weather,
        rng: Rng,
        group: GroupName,
        options: &Options,
    ) -> Self {
        Self {
            region,
            oracle,
            weather,
            rng,
            enabled_group: group,
            stack: "spotward".to_owned(),
            calls: 0,
            blow: options.blow,
            twice: options.twice,
            interleaved: false,
            two_workers: false,
            ambushes: Vec::new(),
            per_api: BTreeMap::new(),
            killed: false,
            stale: Vec::new(),
            trace: options.trace.then(Vec::new),
            change_calls: Vec::new(),
            watchers: Watchers::Absent,
        }
    }

    /// Instances that are up for long enough to say `ready`.
    pub fn speakers(&self) -> Vec<InstanceId> {
        /// As the watcher's own default, `--ready-uptime`.
        const UP: Ms = 30 * SECOND;
        if self.watchers != Watchers::Speak {
            return Vec::new();
        }
        let up = |ec2: &&Rc<Ec2>| ec2.state == RunState::Running && ec2.launched_at + UP <= self.region.now;
        self.region.view.instances.values().filter(up).map(|ec2| ec2.id.clone()).collect()
    }

    /// A line for the trace.
    pub fn note(&mut self, text: impl FnOnce() -> String) {
        if self.trace.is_none() {
            return;
        }
        let line = text();
        self.flush();
        let at = clock(self.region.now);
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{at}  {line}"));
        }
    }

    /// What the region itself has to say goes first.
    fn flush(&mut self) {
        let events = std::mem::take(&mut self.region.events);
        if let Some(trace) = &mut self.trace {
            let at = clock(self.region.now);
            trace.extend(events.into_iter().map(|event| format!("{at}  -- {event}")));
        }
    }

    /// The group as it is now, in the trace.
    pub fn note_group(&mut self, name: &GroupName) {
        if self.trace.is_some() {
            let text = crate::trace::group(&self.region, name);
            let wants = self.oracle.books.get(name).map_or(String::new(), |book| {
                let too_many = if book.surplus > 0 { format!(" (+{} accepted)", book.surplus) } else { String::new() };
                let hidden = if book.hidden { ", which nobody can see" } else { "" };
                format!(" owner wants {}{too_many} of {}..{}{hidden}", book.wanted(), book.min, book.max)
            });
            self.note(|| format!("   {text}{wants}"));
        }
    }

    /// Lets virtual time pass.
    pub fn advance(&mut self, by: Ms) {
        self.region.interruption = self.weather.chance(Kind::Interruptions);
        self.region.advance(by);
        for (name, from, to) in std::mem::take(&mut self.region.fired) {
            // Setting the number that is there already changes nothing.
            if from == to {
                continue;
            }
            if let Some(book) = self.oracle.books.get_mut(&name) {
                book.desired = to.min(book.max);
                book.surplus = to - book.desired;
                book.raced = false;
                book.hidden |= to == book.seen_desired;
            }
        }
        self.flush();
    }

    /// A worker starts a pass.
    pub fn begin_pass(&mut self, worker: usize) {
        while self.oracle.readings.len() <= worker {
            self.oracle.readings.push(Default::default());
            self.stale.push(None);
        }
        self.oracle.readings[worker] = Default::default();
        self.stale[worker] = None;
        self.killed = false;
    }
}

fn clock(now: Ms) -> String {
    let seconds = now.div_euclid(SECOND);
    format!(
        "{:02}:{:02}:{:02}",
        seconds.div_euclid(3600).rem_euclid(24),
        seconds.div_euclid(60).rem_euclid(60),
        seconds.rem_euclid(60)
    )
}

/// What becomes of a call.
enum Fate {
    Answer,
    Fail(CloudError),
    EffectThenFail,
    EffectTwice,
    Crash,
    EffectThenCrash,
}

/// A worker's hold on the region: an implementation of the port.
#[derive(Clone)]
pub struct Sim {
    pub world: Rc<RefCell<World>>,
    pub worker: usize,
}

impl Sim {
    /// Another worker on the same region.
    pub fn worker(&self, worker: usize) -> Self {
        Self { world: Rc::clone(&self.world), worker }
    }

    /// Gives way to the other worker between two calls, if there is one.
    async fn give_way(&self) {
        let mut waited = !self.world.borrow().interleaved || !self.world.borrow_mut().rng.chance(5_000);
        poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    fn fate(&self, api: Api, changes: bool) -> Fate {
        let world = &mut *self.world.borrow_mut();
        world.calls += 1;
        let number = world.calls;
        if changes {
            world.change_calls.push(number);
        }
        let nth = world.per_api.entry(api).or_default();
        *nth += 1;
        let nth = *nth;
        let latency =
            if world.strikes(Kind::Slow) { world.rng.between(2, 20) * SECOND } else { world.rng.between(40, 200) };
        world.advance(latency);
        let ambush =
            world.ambushes.iter().find(|(kind, when, _)| *kind == api && *when == nth).map(|(_, _, deed)| *deed);
        if let Some(deed) = ambush {
            let name = world.enabled_group.clone();
            weather::act(world, deed, &name);
        }
        weather::foreign_actors(world);
        if let Some((_, blow)) = world.blow.filter(|(at, _)| *at == number) {
            world.note(|| format!("   {api:?}: {blow:?}"));
            return match blow {
                Blow::Crash => Fate::Crash,
                Blow::CrashAfter => Fate::EffectThenCrash,
                Blow::LostReply => Fate::EffectThenFail,
                Blow::Retry => Fate::EffectTwice,
                Blow::Throttle => Fate::Fail(CloudError::Throttled("RequestLimitExceeded".to_owned())),
            };
        }
        if world.strikes(Kind::Crash) || world.strikes(Kind::Deadline) {
            return Fate::Crash;
        }
        if world.strikes(Kind::Throttle) {
            return Fate::Fail(CloudError::Throttled("RequestLimitExceeded".to_owned()));
        }
        if world.strikes(Kind::ServerError) {
            return Fate::Fail(CloudError::Throttled("InternalFailure".to_owned()));
        }
        if changes {
            if api.is_auto_scaling() && world.strikes(Kind::Contention) {
                return Fate::Fail(CloudError::Conflict("ResourceContention".to_owned()));
            }
            if world.strikes(Kind::LostReply) {
                return Fate::EffectThenFail;
            }
            if world.strikes(Kind::Retry) {
                return Fate::EffectTwice;
            }
            if world.strikes(Kind::CrashAfter) {
                return Fate::EffectThenCrash;
            }
        }
        Fate::Answer
    }

    async fn die(&self, api: Api) -> ! {
        {
            let world = &mut *self.world.borrow_mut();
            world.killed = true;
            let worker = self.worker;
            world.note(|| format!("   worker {worker} dies in {api:?}"));
        }
        pending::<()>().await;
        unreachable!("a future that is never ready")
    }

    /// A read of one or more facts, possibly of the past.
    pub async fn read<T>(&self, api: Api, look: impl FnOnce(&View, &Region) -> T) -> Result<T, CloudError> {
        self.give_way().await;
        match self.fate(api, false) {
            Fate::Answer | Fate::EffectTwice => {}
            Fate::Fail(error) => {
                self.world.borrow_mut().note(|| format!("   {api:?}: {error}"));
                return Err(error);
            }
            Fate::EffectThenFail => return Err(CloudError::Throttled("timeout".to_owned())),
            Fate::Crash | Fate::EffectThenCrash => self.die(api).await,
        }
        let world = &mut *self.world.borrow_mut();
        let of_look = world.stale.get(self.worker).cloned().flatten();
        let torn = of_look.is_none() && !world.region.history.is_empty() && world.strikes(Kind::StaleRead);
        let stale = match (of_look, torn) {
            (Some(view), _) => Some(view),
            (None, true) => {
                let at = world.rng.below(world.region.history.len() as u64) as usize;
                world.note(|| format!("   {api:?} shows the past"));
                Some(world.region.history[at].clone())
            }
            (None, false) => None,
        };
        let view = stale.as_ref().unwrap_or(&world.region.view);
        let seq = view.seq;
        if let Some(reading) = world.oracle.readings.get_mut(self.worker) {
            if api == Api::DescribeAutoScalingGroups {
                reading.looks += 1;
                reading.seq = seq;
            } else {
                reading.seq = reading.seq.min(seq);
            }
        }
        Ok(look(view, &world.region))
    }

    /// A call that changes something.
    pub async fn change<T>(
        &self,
        api: Api,
        group: &GroupName,
        subject: Option<&InstanceId>,
        effect: impl Fn(&mut World) -> Result<T, CloudError>,
    ) -> Result<T, CloudError> {
        self.give_way().await;
        let fate = self.fate(api, true);
        let perform = || {
            let world = &mut *self.world.borrow_mut();
            let before = Facts::of(&world.region, group);
            let subject_before = subject.and_then(|id| world.region.ec2(id).cloned());
            let protected = subject.is_some_and(|id| {
                world
                    .region
                    .group(group)
                    .is_some_and(|group| group.seats.iter().any(|seat| seat.id == *id && seat.protected))
            });
            let result = effect(world);
            let worker = self.worker;
            world.note(|| match (&result, subject) {
                (Ok(_), Some(id)) => format!("   [{worker}] {api:?}({id})"),
                (Ok(_), None) => format!("   [{worker}] {api:?}"),
                (Err(error), _) => format!("   [{worker}] {api:?}: {error}"),
            });
            if result.is_ok() {
                let done = Done {
                    api,
                    worker: self.worker,
                    group,
                    subject,
                    before: &before,
                    subject_before: subject_before.as_ref(),
                    protected,
                    two_workers: world.two_workers,
                };
                world.oracle.judge(&world.region, &done);
            }
            result
        };
        match fate {
            Fate::Answer => perform(),
            Fate::Fail(error) => {
                self.world.borrow_mut().note(|| format!("   {api:?}: {error}"));
                Err(error)
            }
            Fate::EffectThenFail => {
                let _ = perform();
                self.world.borrow_mut().note(|| format!("   {api:?}: the answer is lost"));
                Err(CloudError::Throttled("timeout".to_owned()))
            }
            Fate::EffectTwice => {
                let _ = perform();
                self.world.borrow_mut().note(|| format!("   {api:?}: the answer is lost, the client tries again"));
                perform()
            }
            Fate::Crash => self.die(api).await,
            Fate::EffectThenCrash => {
                let _ = perform();
                self.die(api).await
            }
        }
    }
}

impl World {
    fn strikes(&mut self, kind: Kind) -> bool {
        self.weather.strikes(kind, &mut self.rng)
    }

    /// Whether a whole look of this worker is stale.
    pub fn draw_stale_look(&mut self, worker: usize) {
        let stale = !self.region.history.is_empty() && self.strikes(Kind::StaleLook);
        let view = stale.then(|| {
            let at = self.rng.below(self.region.history.len() as u64) as usize;
            self.region.history[at].clone()
        });
        if view.is_some() {
            self.note(|| "   the look shows the past".to_owned());
        }
        if let Some(slot) = self.stale.get_mut(worker) {
            *slot = view;
        }
    }

    /// Whether a young instance hides from a search by tag.
    pub fn hides(&mut self) -> bool {
        self.strikes(Kind::LateTag)
    }
}
