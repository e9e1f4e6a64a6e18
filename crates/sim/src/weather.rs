//! What goes wrong, and who else is at work: each kind can be switched off and is counted.

use std::rc::Rc;

use planner::model::{GroupName, InstanceId, LifecycleState, PurchaseOption, tag};

use crate::region::{MINUTE, Seat, Source, Target};
use crate::rng::Rng;
use crate::world::{Watchers, World};

/// One kind of weather.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    // What happens to a call.
    /// `Throttling`, `RequestLimitExceeded`.
    Throttle,
    /// HTTP 500 before any effect.
    ServerError,
    /// `ResourceContention` from Auto Scaling.
    Contention,
    /// The effect takes place, the answer is lost.
    LostReply,
    /// The effect takes place, the answer is lost, and the client library tries again.
    Retry,
    /// The worker dies before the call.
    Crash,
    /// The worker dies after the effect, before the answer.
    CrashAfter,
    /// The function's deadline: the worker is stopped while it waits.
    Deadline,
    /// The call takes seconds.
    Slow,
    // What happens to a read.
    /// One read shows the region as it was some seconds ago: the look is torn.
    StaleRead,
    /// A whole look shows the region as it was.
    StaleLook,
    /// A young instance is not found by its tags yet.
    LateTag,
    // The market.
    /// Prices move.
    Prices,
    /// Pools run dry or fill up.
    Capacity,
    /// On-demand capacity is short, for the group and for us.
    OnDemandShortage,
    /// EC2 takes spot instances back.
    Interruptions,
    /// Rebalance recommendations.
    Recommendations,
    // Foreign actors.
    /// Somebody or something scales out.
    ScaleOut,
    /// Somebody or something scales in.
    ScaleIn,
    /// Somebody sets desired to a number.
    SetDesired,
    /// The owner edits MaxSize.
    EditMax,
    /// The owner edits MinSize.
    EditMin,
    /// The owner changes a setting of ours.
    EditFloor,
    /// The owner takes the enabling tag off, or puts it back.
    Enable,
    /// The owner protects a member, or takes that back.
    Protect,
    /// Somebody terminates a member in EC2.
    KillMember,
    /// Somebody terminates a replica in EC2, wherever it is.
    KillReplica,
    /// Somebody terminates a member through the group, with or without decrement.
    TerminateMember,
    /// Somebody detaches a member.
    DetachMember,
    /// A member fails its health checks.
    Unhealthy,
    /// A target fails its load balancer's checks.
    UnhealthyTarget,
    /// Standby and back.
    Standby,
    /// The owner suspends processes, or resumes them.
    Suspend,
    /// A tool that knows nothing of us deletes our journal tag.
    DeleteJournal,
    /// A new template version.
    NewVersion,
    /// An instance refresh.
    Refresh,
    /// A scheduled action.
    Schedule,
    // How we are driven.
    /// A pass starts at once after another: doubled, late and reordered events.
    DoubledEvent,
    /// A long time without any pass.
    Outage,
    /// Two workers on one group, their calls interleaved.
    TwoWorkers,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 40] = [
        Kind::Throttle,
        Kind::ServerError,
        Kind::Contention,
        Kind::LostReply,
        Kind::Retry,
        Kind::Crash,
        Kind::CrashAfter,
        Kind::Deadline,
        Kind::Slow,
        Kind::StaleRead,
        Kind::StaleLook,
        Kind::LateTag,
        Kind::Prices,
        Kind::Capacity,
        Kind::OnDemandShortage,
        Kind::Interruptions,
        Kind::Recommendations,
        Kind::ScaleOut,
        Kind::ScaleIn,
        Kind::SetDesired,
        Kind::EditMax,
        Kind::EditMin,
        Kind::EditFloor,
        Kind::Enable,
        Kind::Protect,
        Kind::KillMember,
        Kind::KillReplica,
        Kind::TerminateMember,
        Kind::DetachMember,
        Kind::Unhealthy,
        Kind::UnhealthyTarget,
        Kind::Standby,
        Kind::Suspend,
        Kind::DeleteJournal,
        Kind::NewVersion,
        Kind::Refresh,
        Kind::Schedule,
        Kind::DoubledEvent,
        Kind::Outage,
        Kind::TwoWorkers,
    ];

    /// Kinds that change the group behind our back.
    pub const FOREIGN: std::ops::Range<usize> = Kind::Prices as usize..Kind::DoubledEvent as usize;

    /// The kind that reports count under this name; or which there are.
    pub fn named(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| format!("{kind:?}") == text);
        found.ok_or_else(|| format!("one of {}", Self::ALL.map(|kind| format!("{kind:?}")).join(", ")))
    }
}

/// Chances per call, in ten thousand, by kind; and how often each kind has struck.
#[derive(Clone, Debug)]
pub struct Weather {
    chances: [u32; Kind::ALL.len()],
    counts: [u64; Kind::ALL.len()],
}

impl Weather {
    /// Nothing ever goes wrong.
    pub fn calm() -> Self {
        Self { chances: [0; Kind::ALL.len()], counts: [0; Kind::ALL.len()] }
    }

    /// Weather drawn from a seed: about half of the kinds, each at its own strength, so that some seeds are about few
    /// things and others about many ("swarm testing").
    pub fn drawn(rng: &mut Rng) -> Self {
        let mut weather = Self::calm();
        for kind in Kind::ALL {
            let on = rng.chance(5_000);
            let strength = [1, 4, 12][rng.below(3) as usize];
            if on {
                weather.set(kind, strength * base(kind));
            }
        }
        weather
    }

    /// Sets one kind's chance, in ten thousand per call.
    pub fn set(&mut self, kind: Kind, per_10_000: u32) {
        self.chances[kind as usize] = per_10_000;
    }

    /// Its chance.
    pub fn chance(&self, kind: Kind) -> u32 {
        self.chances[kind as usize]
    }

    /// Whether it strikes now; counted if so.
    pub fn strikes(&mut self, kind: Kind, rng: &mut Rng) -> bool {
        let strikes = rng.chance(self.chances[kind as usize]);
        self.counts[kind as usize] += u64::from(strikes);
        strikes
    }

    /// How often each kind has struck.
    pub fn counts(&self) -> impl Iterator<Item = (Kind, u64)> {
        Kind::ALL.into_iter().map(|kind| (kind, self.counts[kind as usize]))
    }

    /// The sky clears; what was counted stays.
    pub fn clear(&mut self) {
        self.chances = [0; Kind::ALL.len()];
    }

    /// Counts one more.
    pub fn count(&mut self, kind: Kind) {
        self.counts[kind as usize] += 1;
    }
}

/// Weakest chance of a kind, in ten thousand per call. A pass makes some twenty calls.
fn base(kind: Kind) -> u32 {
    match kind {
        Kind::Throttle | Kind::ServerError | Kind::Contention | Kind::LostReply | Kind::Slow => 40,
        Kind::Retry => 100,
        Kind::Crash | Kind::CrashAfter | Kind::Deadline => 15,
        Kind::StaleRead | Kind::StaleLook | Kind::LateTag => 80,
        Kind::Interruptions => 8,
        Kind::Prices | Kind::Capacity | Kind::OnDemandShortage | Kind::Recommendations => 10,
        Kind::ScaleOut | Kind::ScaleIn | Kind::SetDesired => 8,
        Kind::EditMax | Kind::EditMin | Kind::EditFloor | Kind::Enable | Kind::Protect => 4,
        Kind::KillMember | Kind::KillReplica | Kind::TerminateMember | Kind::DetachMember => 5,
        Kind::Unhealthy | Kind::UnhealthyTarget | Kind::Standby | Kind::Suspend => 4,
        Kind::DeleteJournal | Kind::NewVersion | Kind::Refresh | Kind::Schedule => 2,
        Kind::DoubledEvent => 400,
        Kind::Outage => 30,
        Kind::TwoWorkers => 1_000,
    }
}

/// Every foreign actor whose time has come does his deed. Called between any two calls.
pub fn foreign_actors(world: &mut World) {
    for kind in Kind::ALL[Kind::FOREIGN].iter().copied().filter(|kind| *kind != Kind::Interruptions) {
        if world.weather.chance(kind) > 0 && world.rng.chance(world.weather.chance(kind)) {
            let name = world.enabled_group.clone();
            act(world, kind, &name);
        }
    }
}

/// One foreign deed on one group: in the region, and in the owner's book.
pub fn act(world: &mut World, kind: Kind, name: &GroupName) {
    let Some(group) = world.region.group(name).cloned() else { return };
    let Some(book) = world.oracle.books.get(name).cloned() else { return };
    world.weather.count(kind);
    world.note(|| format!("-- {kind:?} on {name}"));
    let in_service: Vec<&Seat> =
        group.seats.iter().filter(|seat| seat.lifecycle == LifecycleState::InService).collect();
    let some_seat = world.rng.pick(&in_service).map(|seat| (seat.id.clone(), seat.protected));
    match kind {
        Kind::Prices => world.region.pools.move_prices(&mut world.rng),
        Kind::Capacity => world.region.pools.move_depths(&mut world.rng),
        Kind::OnDemandShortage => {
            let short = world.rng.chance(5_000);
            world.region.pools.on_demand_available = !short;
            world.region.launch_failure = if short { 9_000 } else { 0 };
        }
        Kind::Recommendations | Kind::Interruptions => {
            let spots: Vec<InstanceId> = world
                .region
                .view
                .instances
                .values()
                .filter(|ec2| ec2.purchase == PurchaseOption::Spot && ec2.state.is_alive() && ec2.ends_at.is_none())
                .map(|ec2| ec2.id.clone())
                .collect();
            if let Some(id) = world.rng.pick(&spots).cloned() {
                if kind == Kind::Interruptions {
                    world.region.interrupt(&id);
                } else {
                    world.region.recommend(&id);
                }
            }
        }
        Kind::ScaleOut => scale(world, name, 1),
        Kind::ScaleIn => scale(world, name, -1),
        Kind::SetDesired => {
            let to = world.rng.between(i64::from(group.min), i64::from(book.max)) as u32;
            set_desired(world, name, to);
        }
        Kind::EditMax => {
            let to = (i64::from(book.max) + world.rng.between(-1, 2)).max(i64::from(group.min).max(1)) as u32;
            set_max(world, name, to);
        }
        Kind::EditMin => {
            let to = world.rng.between(0, i64::from(book.max.min(group.max))) as u32;
            set_min(world, name, to);
        }
        Kind::EditFloor => {
            let floor = world.rng.below(u64::from(group.desired) + 1);
            owner_tags(world, name, "spotward:min-on-demand", Some(&floor.to_string()));
        }
        Kind::Enable => {
            let on = book.enabled();
            if on && book.journal_deleted {
                // Journal deleted and group disabled: our role may not touch the group any more. Said aloud in
                // docs/safety.md; somebody has to restore MaxSize and AZRebalance by hand.
                return;
            }
            owner_tags(world, name, "spot-enabled", if on { None } else { Some("true") });
            if !on && group.tags.get("spotward:removal").map(String::as_str) == Some("detach") {
                world.region.group_mut(name).propagated.insert("spot-enabled".to_owned(), "true".to_owned());
            }
        }
        Kind::Protect => {
            if let Some((id, protected)) = some_seat {
                protect(world, name, &id, !protected);
            }
        }
        Kind::KillMember => {
            if let Some((id, _)) = some_seat {
                world.region.stop_serving(&id);
            }
        }
        Kind::KillReplica => {
            let replicas: Vec<InstanceId> = world
                .region
                .view
                .instances
                .values()
                .filter(|ec2| ec2.state.is_alive() && ec2.tags.get(tag::ROLE).map(String::as_str) == Some("replica"))
                .map(|ec2| ec2.id.clone())
                .collect();
            if let Some(id) = world.rng.pick(&replicas).cloned() {
                world.region.stop_serving(&id);
            }
        }
        Kind::TerminateMember => {
            let decrement = world.rng.chance(5_000);
            if let Some((id, _)) = some_seat {
                terminate_member(world, name, &id, decrement);
            }
        }
        Kind::DetachMember => {
            if let Some((id, _)) = some_seat {
                detach(world, name, &id);
            }
        }
        Kind::Unhealthy => {
            if let Some((id, _)) = some_seat {
                set_seat(world, name, &id, |seat| seat.healthy = false);
            }
        }
        Kind::UnhealthyTarget => {
            if let Some((id, _)) = some_seat.filter(|_| group.load_balanced) {
                let back = world.region.now + 2 * MINUTE;
                let target = if group.elb_health { Target::Unhealthy } else { Target::Initial(back) };
                set_seat(world, name, &id, |seat| seat.target = Some(target));
            }
        }
        Kind::Standby => {
            let standing_by =
                group.seats.iter().find(|seat| seat.lifecycle == LifecycleState::Standby).map(|seat| seat.id.clone());
            match (standing_by, some_seat) {
                (Some(id), _) => exit_standby(world, name, &id),
                (None, Some((id, _))) => {
                    world.region.enter_standby(name, &id);
                    if world.region.group(name).is_some_and(|now| now.desired < group.desired) {
                        desired_fell(world, name);
                    }
                    world.region.disturb(name);
                }
                (None, None) => {}
            }
        }
        Kind::Suspend => {
            let processes =
                ["Launch", "Terminate", "AZRebalance", "ReplaceUnhealthy", "AddToLoadBalancer", "HealthCheck"];
            let process = processes[world.rng.below(processes.len() as u64) as usize];
            // Suspending what our journal calls suspended by us would be taken for ours: AWS keeps one flag.
            let claimed = process == "AZRebalance" && is_claimed(world, name, |journal| journal.contains(";az=1"));
            if !claimed {
                suspend(world, name, process, !book.suspended.contains(process));
            }
        }
        Kind::DeleteJournal => {
            if group.tags.contains_key(tag::SWAP) && book.enabled() {
                let _ = world.region.tag_group(name, tag::SWAP, None);
                let desired = group.desired;
                let kept = desired.saturating_sub(book.desired);
                if let Some(book) = world.oracle.books.get_mut(name) {
                    book.journal_deleted = true;
                    book.surplus = book.surplus.max(kept);
                    if book.raced {
                        // The only proof of a decrement of ours that raced: nobody gives it back.
                        book.desired = book.desired.min(desired);
                        book.raced = false;
                    }
                }
                world.region.disturb(name);
            }
        }
        Kind::NewVersion => {
            if let Source::Template(_, version) = &mut world.region.group_mut(name).source {
                *version += 1;
            }
            world.region.disturb(name);
        }
        Kind::Refresh => {
            world.region.start_refresh(name);
            world.region.disturb(name);
        }
        Kind::Schedule => {
            let at = world.region.now + world.rng.between(1, 20) * MINUTE;
            let to = world.rng.between(i64::from(book.min), i64::from(book.max)) as u32;
            world.region.group_mut(name).scheduled.push((at, to));
        }
        Kind::Throttle
        | Kind::ServerError
        | Kind::Contention
        | Kind::LostReply
        | Kind::Retry
        | Kind::Crash
        | Kind::CrashAfter
        | Kind::Deadline
        | Kind::Slow
        | Kind::StaleRead
        | Kind::StaleLook
        | Kind::LateTag
        | Kind::DoubledEvent
        | Kind::Outage
        | Kind::TwoWorkers => {}
    }
    world.note_group(name);
}

/// A relative change, as a simple or step scaling policy makes it.
pub fn scale(world: &mut World, name: &GroupName, by: i64) {
    let Some(group) = world.region.group(name) else { return };
    let (min, max) = (i64::from(group.min), i64::from(group.max));
    let from = group.desired;
    let to = (i64::from(from) + by).clamp(min, max) as u32;
    let _ = world.region.set_desired(name, to);
    let Some(book) = world.oracle.books.get_mut(name) else { return };
    let wanted = (i64::from(book.wanted()) + by).max(i64::from(book.min)).min(i64::from(book.max)) as u32;
    if to == from && wanted > book.wanted() {
        // AWS capped it at MaxSize: our +1 had taken the last place. Nobody can see that it was asked for; the policy
        // asks again as long as its alarm stands.
        world.oracle.swallowed += 1;
        return;
    }
    // On top of a number that misses one already nobody can tell any more who wanted what.
    book.desired = if book.raced { wanted.min(to) } else { wanted };
    book.raced = false;
    book.surplus = book.surplus.max(to.saturating_sub(book.desired));
    book.hidden |= to == book.seen_desired;
    world.region.disturb(name);
}

/// An absolute change: an operator, a scheduled action, target tracking. Setting the number that is there already
/// changes nothing and leaves no trace.
pub fn set_desired(world: &mut World, name: &GroupName, to: u32) {
    let unchanged = world.region.group(name).is_none_or(|group| group.desired == to);
    if unchanged || world.region.set_desired(name, to).is_err() {
        return;
    }
    if let Some(book) = world.oracle.books.get_mut(name) {
        book.desired = to.min(book.max);
        book.surplus = to - book.desired;
        book.raced = false;
        book.hidden |= to == book.seen_desired;
    }
    world.region.disturb(name);
}

/// The owner's MaxSize. Writing the number that is there already leaves no trace.
pub fn set_max(world: &mut World, name: &GroupName, to: u32) {
    // The very number that our journal calls ours would be taken for ours: AWS keeps values, not authors.
    let claimed = |journal: &str| journal.contains(&format!(">{to};"));
    let to = if is_claimed(world, name, claimed) { to + 1 } else { to };
    let unchanged = world.region.group(name).is_none_or(|group| group.max == to);
    let before = world.region.group(name).map_or(0, |group| group.desired);
    if unchanged || world.region.set_max(name, to).is_err() {
        return;
    }
    let now = world.region.group(name).map_or(0, |group| group.desired);
    if let Some(book) = world.oracle.books.get_mut(name) {
        book.max = to;
        book.desired = book.desired.min(to);
        book.hidden |= now == book.seen_desired && now < before;
    }
    world.region.disturb(name);
}

/// Whether a journal of ours, on the group or in a living copy, says so.
fn is_claimed(world: &World, name: &GroupName, says: impl Fn(&str) -> bool) -> bool {
    let copies = world
        .region
        .view
        .instances
        .values()
        .filter(|ec2| ec2.state.is_alive() && ec2.tags.get(tag::GROUP).map(String::as_str) == Some(name.as_str()))
        .filter_map(|ec2| ec2.tags.get(tag::SWAP).cloned());
    world.region.journal_text(name).into_iter().chain(copies).any(|journal| says(&journal))
}

/// The owner's MinSize.
pub fn set_min(world: &mut World, name: &GroupName, to: u32) {
    let before = world.region.group(name).map_or(0, |group| group.desired);
    if world.region.set_min(name, to).is_err() {
        return;
    }
    if let Some(book) = world.oracle.books.get_mut(name) {
        let wanted = book.wanted();
        book.min = to;
        // Lowering MinSize lowers no desired: what the old minimum asked for stays.
        let kept = (book.surplus + wanted).saturating_sub(book.wanted());
        book.surplus = book.surplus.max(kept.min(before.saturating_sub(book.wanted())));
        // A minimum that our +1 satisfies already changes nothing that anybody could see.
        // (AWS would have raised his number; taking it for raised or not are both right.)
        book.surplus = book.surplus.max(to.min(before).saturating_sub(book.desired));
        book.desired = if to > before { to } else { book.desired };
        book.hidden |= to > before && to == book.seen_desired;
    }
    world.region.disturb(name);
}

/// A tag that the owner sets or removes.
pub fn owner_tags(world: &mut World, name: &GroupName, key: &str, value: Option<&str>) {
    let _ = world.region.tag_group(name, key, value);
    if let Some(book) = world.oracle.books.get_mut(name) {
        match value {
            Some(value) => book.tags.insert(key.to_owned(), value.to_owned()),
            None => book.tags.remove(key),
        };
        book.note_enabled();
    }
    world.region.disturb(name);
}

/// Scale-in protection of one member.
pub fn protect(world: &mut World, name: &GroupName, id: &InstanceId, protected: bool) {
    set_seat(world, name, id, |seat| seat.protected = protected);
}

/// Processes that the owner suspends or resumes.
pub fn suspend(world: &mut World, name: &GroupName, process: &str, suspend: bool) {
    let _ = world.region.suspend(name, process, suspend);
    if let Some(book) = world.oracle.books.get_mut(name) {
        if suspend {
            book.suspended.insert(process.to_owned());
        } else {
            book.suspended.remove(process);
        }
    }
    world.region.disturb(name);
}

/// Somebody terminates a member through the group.
pub fn terminate_member(world: &mut World, name: &GroupName, id: &InstanceId, decrement: bool) {
    if world.region.terminate_member(id, decrement).is_ok() {
        if decrement {
            desired_fell(world, name);
        }
        world.region.disturb(name);
    }
}

/// The owner takes a member out of standby: desired rises.
pub fn exit_standby(world: &mut World, name: &GroupName, id: &InstanceId) {
    let before = world.region.group(name).map_or(0, |group| group.desired);
    world.region.exit_standby(name, id);
    let after = world.region.group(name).map_or(0, |group| group.desired);
    if let Some(book) = world.oracle.books.get_mut(name) {
        book.desired = (book.desired + after - before).min(book.max);
        book.surplus = book.surplus.max(after.saturating_sub(book.desired));
        book.hidden |= after == book.seen_desired;
    }
    world.region.disturb(name);
}

/// Somebody detaches a member with a decrement.
pub fn detach(world: &mut World, name: &GroupName, id: &InstanceId) {
    if world.region.detach(name, id, true).is_ok() {
        desired_fell(world, name);
        world.region.disturb(name);
    }
}

/// Desired has just been lowered by one by somebody else.
fn desired_fell(world: &mut World, name: &GroupName) {
    let now = world.region.group(name).map_or(0, |group| group.desired);
    if let Some(book) = world.oracle.books.get_mut(name) {
        // Without our +1 AWS would have refused it at MinSize: his number may sink below, what he gets may not.
        book.desired = book.desired.saturating_sub(1);
        if book.raced {
            book.desired = book.desired.min(now);
            book.raced = false;
        }
        book.surplus = book.surplus.max(now.saturating_sub(book.desired));
        book.hidden |= now == book.seen_desired;
    }
}

fn set_seat(world: &mut World, name: &GroupName, id: &InstanceId, change: impl FnOnce(&mut Seat)) {
    if let Some(seat) = world.region.group_mut(name).seats.iter_mut().find(|seat| seat.id == *id) {
        change(seat);
    }
    world.region.disturb(name);
}

/// The owner tidies up, and AWS recovers: what a group needs in order to come to rest at all.
pub fn calm(world: &mut World) {
    world.weather.clear();
    world.region.interruption = 0;
    world.region.launch_failure = 0;
    world.region.pools.calm();
    if world.watchers == Watchers::Silent {
        world.watchers = Watchers::Speak;
    }
    world.region.history.clear();
    let name = world.enabled_group.clone();
    let Some(group) = world.region.view.groups.get(&name).map(Rc::clone) else { return };
    let suspended = world.oracle.books.get(&name).map(|book| book.suspended.clone()).unwrap_or_default();
    for process in suspended {
        suspend(world, &name, &process, false);
    }
    for seat in group.seats.iter().filter(|seat| seat.lifecycle == LifecycleState::Standby) {
        if let Some(full) = world.region.group(&name).filter(|group| group.desired >= group.max) {
            let room = full.max + 1;
            set_max(world, &name, room);
        }
        exit_standby(world, &name, &seat.id);
    }
    for seat in &group.seats {
        let unregistered = group.load_balanced && seat.target.is_none() && seat.lifecycle == LifecycleState::InService;
        if seat.target == Some(Target::Unhealthy) || unregistered {
            set_seat(world, &name, &seat.id, |seat| seat.target = Some(Target::Healthy));
        }
    }
}
