//! The state machine of one swap, and its recovery table.
//!
//! A swap is never stored: [`Swap::read`] derives on every pass, from the group, its journal tag and our replica, where
//! it stands. Each arm of `read` is one row of the recovery table; going back is a state like any other.

use jiff::{SignedDuration, Timestamp};

use crate::action::{Action, Expect, Finished};
use crate::compat;
use crate::journal::{Journal, RaisedMax, SETTLE_SECONDS};
use crate::market::Market;
use crate::model::{
    Activity, Cause, Group, InstanceId, LifecycleState, Member, Platform, PurchaseOption, Replica, Role, RunState,
};
use crate::policy::{Config, Policy, Readiness, Removal};
use crate::preflight::{self, Moment, Strictness};
use crate::reason::{Blocker, StrayReason, Wait};
use crate::rescue;

/// A replica so close to its deadline is not armed any more: ending it must not race with attaching it.
const ARM_MARGIN: SignedDuration = SignedDuration::from_mins(5);
/// A doomed victim is ended by then even if nobody sees it leave.
const DOOM: SignedDuration = SignedDuration::from_mins(60);
/// A victim that vanished without a trace in the activities: after so long we forfeit.
const TRACE: SignedDuration = SignedDuration::from_mins(30);

/// Where one swap stands. Derived from the group, its journal and our replica; never stored.
#[derive(Clone, Debug)]
pub enum Swap<'a> {
    /// Nothing of ours is in flight.
    Idle,
    /// Another deployment's swap: hands off.
    Foreign {
        /// The other deployment.
        stack: String,
    },
    /// A journal that we cannot read: hands off.
    Unreadable {
        /// What is wrong with it.
        why: String,
    },
    /// A replica outside the group, without a journal: booting, warming up, or ready to be armed.
    Warming {
        /// The replica.
        replica: &'a Replica,
    },
    /// Only the replica's copy of the journal is left: the group's tag was lost.
    Unmoored {
        /// The copy.
        journal: Journal,
    },
    /// Journal written, replica still outside, group as it was.
    Armed {
        /// The journal.
        journal: Journal,
        /// The replica.
        replica: &'a Replica,
    },
    /// Both are members, desired is one more than before.
    Attached {
        /// The journal.
        journal: Journal,
        /// The replica.
        replica: &'a Member,
        /// The victim.
        victim: &'a Member,
    },
    /// The +1 has to be given back, but not by the victim's leaving as planned.
    Undoing {
        /// The journal.
        journal: Journal,
        /// Why.
        cause: Undo,
    },
    /// Only restoring and clearing up is left.
    Settling {
        /// The journal.
        journal: Journal,
        /// The group carries the journal.
        on_group: bool,
    },
    /// Somebody else changed desired: both stay, nothing is removed, then as Settling.
    Forfeit {
        /// The journal.
        journal: Journal,
    },
    /// A member with our replica tags whose journal is lost: it stays.
    Unlabelled {
        /// The replica.
        replica: &'a Member,
    },
    /// An instance of ours outside the group that nobody needs.
    Stray {
        /// The replica, or the doomed victim.
        replica: &'a Replica,
        /// Why.
        why: StrayReason,
    },
    /// A member marked to leave whose swap is gone: it stays.
    Reprieved {
        /// The member.
        victim: &'a Member,
    },
}

/// Why the +1 is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// The victim died or was taken while both were members: the group has replaced it.
    VictimGone,
    /// The replica died after its attach: the group replaces it.
    ReplicaGone,
}

/// What comes next.
#[derive(Clone, Debug)]
pub enum Step {
    /// Do this.
    Do(Action),
    /// Wait for this.
    Wait(Wait),
    /// The group's slow facts are needed first.
    Details,
    /// EC2 termination protection of this member is needed first.
    Closer(InstanceId),
    /// Prices and types are needed first.
    Market(Platform),
    /// Nothing is in flight.
    Start,
    /// Keep our hands off.
    HandsOff,
}

impl<'a> Swap<'a> {
    /// Reads where the swap of this group stands.
    pub fn read(group: &'a Group, config: &Config, now: Timestamp) -> Swap<'a> {
        let journal = group.journal();
        if let Some(stack) = foreign_stack(group, journal.as_ref().and_then(|journal| journal.as_ref().ok()), config) {
            return Swap::Foreign { stack: stack.to_owned() };
        }
        match journal {
            Some(Err(error)) => Swap::Unreadable { why: error.to_string() },
            Some(Ok(journal)) => Self::with_journal(group, journal),
            None => match copy_of_journal(group, config) {
                Some(journal) => Swap::Unmoored { journal },
                None => Self::without_journal(group, now),
            },
        }
    }

    /// The rows of the recovery table that have a journal.
    fn with_journal(group: &'a Group, journal: Journal) -> Swap<'a> {
        let added = journal.desired + 1;
        // Relabelled already: the +1 is spent, only the clearing up was cut short, whatever has become of it since. Tags
        // that EC2 did not show on this look say nothing.
        let member = group.member(&journal.replica).and_then(|member| member.ours.as_ref());
        let label = member.or_else(|| group.replica(&journal.replica).map(|replica| &replica.ours));
        if label.is_some_and(|ours| ours.role != Role::Replica) {
            return Swap::Settling { journal, on_group: true };
        }
        let inside = group.member(&journal.replica).filter(|member| !member.lifecycle.is_leaving());
        let victim = group.member(&journal.victim).filter(|member| member.lifecycle == LifecycleState::InService);
        if let Some(replica) = inside {
            return match victim {
                // Somebody has shrunk the group and somebody has grown it again: whose the extra unit is now, nobody can
                // tell.
                Some(_) if group.desired == added && has_shrunk(group, &journal) => Swap::Forfeit { journal },
                Some(victim) if group.desired == added => Swap::Attached { journal, replica, victim },
                // Our decrement, or a scale-in that took the victim: done either way.
                None if group.desired == journal.desired => Swap::Settling { journal, on_group: true },
                None if group.desired == added => Swap::Undoing { journal, cause: Undo::VictimGone },
                // Somebody else changed desired. Absolute changes ignore our +1, relative ones leave one too many:
                // a decrement could put the group below what was asked for.
                Some(_) | None => Swap::Forfeit { journal },
            };
        }
        let outside = group.replica(&journal.replica);
        if let Some(replica) = outside.filter(|replica| replica.state.is_alive()) {
            return match victim {
                // Whoever has left since the journal was written would be taken for our victim later, and the replica
                // itself, if somebody has taken it out again, for one that never came: it is written anew.
                Some(_) if group.desired == journal.desired && !has_shrunk(group, &journal) => {
                    Swap::Armed { journal, replica }
                }
                // It was a member, and the group fills its place: the +1 is still there.
                Some(_)
                    if group.desired == added
                        && group.has_activity(&replica.id, journal.since())
                        && !is_restored(&journal, group) =>
                {
                    Swap::Undoing { journal, cause: Undo::ReplicaGone }
                }
                Some(_) | None => Swap::Settling { journal, on_group: true },
            };
        }
        // Dead or leaving. Without proof that it was ever attached the extra unit may be somebody else's: keep it.
        let was_attached = group.member(&journal.replica).is_some() || outside.is_some_and(|dead| dead.was_member);
        // What was given back already says that the +1 was settled: one more is somebody else's wish by now.
        if was_attached && group.desired == added && !is_restored(&journal, group) {
            return Swap::Undoing { journal, cause: Undo::ReplicaGone };
        }
        Swap::Settling { journal, on_group: true }
    }

    /// The rows without one.
    fn without_journal(group: &'a Group, now: Timestamp) -> Swap<'a> {
        let lost = group.members.iter().find(|member| member.is_replica() && !member.lifecycle.is_leaving());
        if let Some(replica) = lost {
            return Swap::Unlabelled { replica };
        }
        let doomed =
            group.members.iter().find(|member| member.is_doomed() && member.lifecycle == LifecycleState::InService);
        if let Some(victim) = doomed {
            return Swap::Reprieved { victim };
        }
        // One that carries the mark of a group and is not a member here was taken into another one: it is theirs.
        let mut living: Vec<&Replica> =
            group.replicas.iter().filter(|replica| replica.state.is_alive() && !replica.was_member).collect();
        living.sort_by_key(|replica| (replica.launched_at, replica.id.clone()));
        let left = |role: Role| living.iter().copied().filter(move |replica| replica.ours.role == role);
        if let Some(replica) = left(Role::Doomed).next() {
            return Swap::Stray { replica, why: StrayReason::Doomed };
        }
        let replicas: Vec<&Replica> = left(Role::Replica).collect();
        if let Some(replica) = duplicate(&replicas) {
            return Swap::Stray { replica, why: StrayReason::Duplicate };
        }
        if let Some(replica) = replicas.iter().find(|replica| replica.interrupted || is_stopping(replica.state)) {
            return Swap::Stray { replica, why: StrayReason::Dying };
        }
        if let Some(replica) = replicas.iter().find(|replica| replica.ours.deadline - ARM_MARGIN <= now) {
            return Swap::Stray { replica, why: StrayReason::Deadline };
        }
        // Whose victim is dying goes first; of those the one that can be attached.
        let most_urgent = replicas.iter().min_by_key(|replica| {
            let in_haste = rescue::victim_of(group, replica, now).is_some();
            (!in_haste, replica.state != RunState::Running)
        });
        match most_urgent {
            None => Swap::Idle,
            Some(replica) => Swap::Warming { replica },
        }
    }

    /// Its name, for people and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Swap::Idle => "idle",
            Swap::Foreign { .. } => "foreign",
            Swap::Unreadable { .. } => "unreadable",
            Swap::Warming { .. } => "warming",
            Swap::Unmoored { .. } => "unmoored",
            Swap::Armed { .. } => "armed",
            Swap::Attached { .. } => "attached",
            Swap::Undoing { .. } => "undoing",
            Swap::Settling { .. } => "settling",
            Swap::Forfeit { .. } => "forfeit",
            Swap::Unlabelled { .. } => "unlabelled",
            Swap::Stray { .. } => "stray",
            Swap::Reprieved { .. } => "reprieved",
        }
    }

    /// Why an instance of ours outside the group is ended, if that is what comes next.
    pub fn why_ended(&self, policy: Option<&Policy>) -> StrayReason {
        match (self, policy) {
            (Swap::Stray { replica, why: StrayReason::Deadline }, Some(policy)) if is_unready(replica, policy) => {
                StrayReason::NeverReady
            }
            (Swap::Stray { why, .. }, _) => *why,
            (Swap::Warming { .. }, None) => StrayReason::Disabled,
            (Swap::Warming { .. }, Some(_)) => StrayReason::NoVictim,
            (
                Swap::Idle
                | Swap::Foreign { .. }
                | Swap::Unreadable { .. }
                | Swap::Unmoored { .. }
                | Swap::Armed { .. }
                | Swap::Attached { .. }
                | Swap::Undoing { .. }
                | Swap::Settling { .. }
                | Swap::Forfeit { .. }
                | Swap::Unlabelled { .. }
                | Swap::Reprieved { .. },
                _,
            ) => StrayReason::Deadline,
        }
    }

    /// What comes next. `policy` is `None` when the owner does not want us (any more) or cannot be understood: then
    /// everything goes back.
    pub fn next(
        &self,
        group: &Group,
        policy: Option<&Policy>,
        market: Option<&Market>,
        config: &Config,
        now: Timestamp,
    ) -> Step {
        let cx = Context { group, policy, market, config, now };
        match self {
            Swap::Idle => Step::Start,
            Swap::Foreign { .. } | Swap::Unreadable { .. } => Step::HandsOff,
            Swap::Warming { replica } => match policy {
                Some(policy) => cx.warm(replica, policy),
                None => Step::Do(Action::Discard { replica: replica.id.clone() }),
            },
            Swap::Unmoored { journal } => match policy {
                // Back to one journal in two places; then the table goes on as usual.
                Some(_) => Step::Do(Action::Arm { journal: journal.clone() }),
                None => cx.settle(journal, false),
            },
            Swap::Armed { journal, replica } => match policy {
                Some(policy) => cx.attach(journal, replica, policy),
                None => cx.settle(journal, true),
            },
            // What follows is a decrement, and it must be the first one.
            Swap::Attached { .. } if group.activities().is_none() => Step::Details,
            Swap::Attached { journal, replica, victim } => match policy {
                Some(policy) => cx.remove(journal, replica, victim, policy),
                None => cx.give_back(journal, Some(replica)),
            },
            Swap::Undoing { journal, cause } => cx.undo(journal, *cause, policy),
            Swap::Settling { journal, on_group } => cx.settle(journal, *on_group),
            Swap::Forfeit { journal } => cx.settle(journal, true),
            Swap::Unlabelled { replica } => {
                Step::Do(Action::Finish { replica: Some(Finished::Member(replica.id.clone())), drop_journal: None })
            }
            Swap::Stray { replica, why } => Step::Do(match why {
                StrayReason::Doomed => Action::EndDoomed { victim: replica.id.clone() },
                StrayReason::Deadline
                | StrayReason::NeverReady
                | StrayReason::Dying
                | StrayReason::Duplicate
                | StrayReason::Disabled
                | StrayReason::NoVictim => Action::Discard { replica: replica.id.clone() },
            }),
            Swap::Reprieved { victim } => {
                Step::Do(Action::Pardon { victim: victim.id.clone(), brought: victim.was_brought() })
            }
        }
    }
}

/// What every step looks at.
struct Context<'a> {
    group: &'a Group,
    policy: Option<&'a Policy>,
    market: Option<&'a Market>,
    config: &'a Config,
    now: Timestamp,
}

impl<'a> Context<'a> {
    /// A replica outside, without a journal.
    fn warm(&self, replica: &Replica, policy: &Policy) -> Step {
        let group = self.group;
        if group.details.is_none() {
            return Step::Details;
        }
        if let Some(victim) = rescue::victim_of(group, replica, self.now) {
            return self.warm_in_haste(replica, victim, policy);
        }
        let victim = match self.victim_for(replica, policy) {
            Ok(Some(victim)) => victim,
            // While members come and go, the one that takes the victim's place may still be on its way.
            Ok(None) if !group.is_stable() => {
                return Step::Wait(Wait::Unstable { serving: group.serving(), desired: group.desired });
            }
            Ok(None) => return Step::Do(Action::Discard { replica: replica.id.clone() }),
            Err(platform) => return Step::Market(platform),
        };
        if replica.state != RunState::Running {
            return Step::Wait(Wait::Booting(replica.id.clone()));
        }
        if replica.checks_ok != Some(true) {
            return Step::Wait(Wait::StatusChecks(replica.id.clone()));
        }
        let warmup = policy.warmup_seconds.unwrap_or(group.grace_seconds);
        let until = replica.launched_at + SignedDuration::from_secs(i64::from(warmup));
        if until > self.now {
            return Step::Wait(Wait::Warmup { replica: replica.id.clone(), until });
        }
        if is_unready(replica, policy) {
            return Step::Wait(until_ready(replica));
        }
        let blockers = preflight::blockers(group, policy, self.config, Moment::Attach, self.now);
        if !blockers.is_empty() {
            return Step::Wait(Wait::Blocked(blockers));
        }
        if is_unexplored(victim) {
            return Step::Closer(victim.id.clone());
        }
        self.arm(replica, victim)
    }

    /// The victim is lost in any case, so nothing can be lost by attaching its replacement as soon as it runs.
    fn warm_in_haste(&self, replica: &Replica, victim: &Member, policy: &Policy) -> Step {
        if replica.state != RunState::Running {
            return Step::Wait(Wait::Booting(replica.id.clone()));
        }
        // Its place among the members would let the victim go before its time is up. What comes too late for this
        // victim stands in for another; the group replaces this one itself, with its launch hooks.
        if is_unready(replica, policy) {
            return Step::Wait(until_ready(replica));
        }
        let blockers = preflight::blockers(self.group, policy, self.config, Moment::Rescue, self.now);
        if !blockers.is_empty() {
            return Step::Wait(Wait::Blocked(blockers));
        }
        self.arm(replica, victim)
    }

    fn arm(&self, replica: &Replica, victim: &Member) -> Step {
        let group = self.group;
        // The journal comes first: if we die after raising MaxSize, the next pass must know whose value to restore.
        Step::Do(Action::Arm {
            journal: Journal {
                id: journal_id(&replica.id, self.now),
                replica: replica.id.clone(),
                victim: victim.id.clone(),
                desired: group.desired,
                raised_max: group
                    .is_full()
                    .then_some(RaisedMax { original: group.max_size, raised: group.max_size + 1 }),
                suspends_az_rebalance: group.zones.len() > 1 && !group.suspends("AZRebalance"),
                written_at: self.now,
                stack: self.config.stack.clone(),
            },
        })
    }

    /// The member that the replica stands in for: the one it was launched for, else another of its zone that it can
    /// replace. `Err`: prices and types are needed to tell.
    fn victim_for(&self, replica: &Replica, policy: &Policy) -> Result<Option<&'a Member>, Platform> {
        let group = self.group;
        if let Some(victim) = self.at_risk(replica, policy) {
            return Ok(Some(victim));
        }
        if !self.floor_allows(replica.purchase, policy) {
            return Ok(None);
        }
        let leaves = replica.purchase.opposite();
        let fit = |member: &&Member| {
            may_leave(member)
                && preflight::unfit(member, leaves, group, policy, Strictness::Replace, self.now).is_none()
        };
        if let Some(victim) = group.member(&replica.ours.victim).filter(fit) {
            return Ok(Some(victim));
        }
        let mut others: Vec<&Member> =
            group.members.iter().filter(|member| member.zone == replica.zone && fit(member)).collect();
        if others.is_empty() {
            return Ok(None);
        }
        let Some(Ok(launch)) = group.details.as_ref().and_then(|details| details.launch.as_ref()) else {
            return Ok(None);
        };
        let Some(platform) = launch.image.platform() else { return Ok(None) };
        let market = self.market.ok_or(platform)?;
        others.retain(|member| {
            // On the way back what has to fit is the type that the group launches by itself, as when it was chosen.
            let old_type = match replica.purchase {
                PurchaseOption::Spot => &member.instance_type,
                PurchaseOption::OnDemand => launch.instance_type.as_ref().unwrap_or(&member.instance_type),
            };
            let (old, new) = (market.specs.get(old_type), market.specs.get(&replica.instance_type));
            matches!((old, new), (Some(old), Some(new))
                if compat::fits_as(replica.purchase, old, launch, policy, new).is_ok())
        });
        others.sort_by_key(|member| (member.launched_at(), member.id.clone()));
        Ok(others.first().copied())
    }

    /// The spot member for which a rebalance recommendation brought this replica, if it may still leave.
    fn at_risk(&self, replica: &Replica, policy: &Policy) -> Option<&'a Member> {
        let victim = self.group.member(&replica.ours.victim).filter(|_| replica.ours.cause == Cause::Rebalance)?;
        let spot = PurchaseOption::Spot;
        let fit = preflight::unfit(victim, spot, self.group, policy, Strictness::Replace, self.now).is_none();
        (fit && may_leave(victim)).then_some(victim)
    }

    /// Whether a swap in the direction of `brings` is still wanted: on-demand above the floor to replace, or missing
    /// below it.
    fn floor_allows(&self, brings: PurchaseOption, policy: &Policy) -> bool {
        let floor = policy.min_on_demand.of(self.group.desired);
        let on_demand = self.group.in_service(PurchaseOption::OnDemand);
        match brings {
            PurchaseOption::Spot => on_demand > floor,
            PurchaseOption::OnDemand => on_demand < floor,
        }
    }

    /// Journal written, replica outside.
    fn attach(&self, journal: &Journal, replica: &Replica, policy: &Policy) -> Step {
        let group = self.group;
        if group.details.is_none() {
            return Step::Details;
        }
        let victim = group.member(&journal.victim);
        let fit = victim.is_some_and(|member| {
            let leaves = replica.purchase.opposite();
            may_leave(member)
                && preflight::unfit(member, leaves, group, policy, Strictness::Replace, self.now).is_none()
        });
        // Spot for spot: the floor has no say.
        let in_haste = rescue::victim_of(group, replica, self.now).is_some_and(|victim| victim.id == journal.victim);
        let at_risk = self.at_risk(replica, policy).is_some_and(|victim| victim.id == journal.victim);
        let wanted = in_haste || at_risk || (fit && self.floor_allows(replica.purchase, policy));
        let moment = if in_haste { Moment::Rescue } else { Moment::Attach };
        let dying = replica.state != RunState::Running || replica.interrupted;
        let late = replica.ours.deadline - ARM_MARGIN <= self.now;
        let blocked = !preflight::blockers(group, policy, self.config, moment, self.now).is_empty();
        let unready = is_unready(replica, policy);
        if !wanted || dying || late || blocked || unready {
            return self.settle(journal, true);
        }
        let suspend_az_rebalance = journal.suspends_az_rebalance && !group.suspends("AZRebalance");
        let raise_max = journal.raised_max.filter(|max| group.max_size == max.original);
        if suspend_az_rebalance || raise_max.is_some() {
            if journal.prepared_until() < self.now {
                return self.settle(journal, true);
            }
            return Step::Do(Action::Prepare { suspend_az_rebalance, raise_max });
        }
        // The owner lowered MaxSize meanwhile: no room, and none that the journal lets us make.
        if group.is_full() {
            return self.settle(journal, true);
        }
        Step::Do(Action::Attach { replica: replica.id.clone(), expect: Expect::unchanged(group) })
    }

    /// Both are members.
    fn remove(&self, journal: &Journal, replica: &Member, victim: &Member, policy: &Policy) -> Step {
        let group = self.group;
        // What EC2 did not show on this look cannot be judged: not even how it is bought.
        if replica.ec2.is_none() {
            return Step::Wait(Wait::NotServing(replica.id.clone()));
        }
        if victim.ec2.is_none() {
            return Step::Wait(Wait::Unstable { serving: group.serving(), desired: group.desired });
        }
        let floor = policy.min_on_demand.of(journal.desired);
        let on_demand = group.in_service(PurchaseOption::OnDemand);
        // The owner has raised MinSize meanwhile: our extra member is wanted now.
        if group.desired <= group.min_size {
            return self.settle(journal, true);
        }
        let needed = victim.purchase == PurchaseOption::OnDemand && on_demand <= floor;
        let cause = replica.ours.as_ref().map(|ours| ours.cause);
        let wrong_way = victim.purchase == replica.purchase && !victim.is_dying() && cause != Some(Cause::Rebalance);
        // Its end is announced: it must not stand in for anybody.
        let dying = replica.ec2.as_ref().is_some_and(|ec2| ec2.interrupted || is_stopping(ec2.state));
        if needed || wrong_way || dying || self.never_served(journal, replica, policy) {
            return self.give_back(journal, Some(replica));
        }
        if victim.is_dying() {
            return self.remove_in_haste(journal, replica, victim, policy);
        }
        if !replica.serves() {
            return Step::Wait(Wait::NotServing(replica.id.clone()));
        }
        let until = journal.written_at + SignedDuration::from_secs(i64::from(policy.settle_seconds));
        if until > self.now {
            return Step::Wait(Wait::Settle { until });
        }
        if !group.is_stable() {
            return Step::Wait(Wait::Unstable { serving: group.serving(), desired: group.desired });
        }
        // Somebody else's business started meanwhile (a suspended process, an instance refresh): the victim stays, and
        // if it takes long, both do.
        let blockers = preflight::blockers(group, policy, self.config, Moment::Remove, self.now);
        if !blockers.is_empty() {
            if !self.is_overdue(journal, policy) {
                return Step::Wait(Wait::Blocked(blockers));
            }
            let forbids_removal = |blocker: &Blocker| {
                matches!(
                    blocker,
                    Blocker::Suspended(_) | Blocker::InstanceRefresh(_) | Blocker::Operator(_) | Blocker::Status(_)
                )
            };
            return match blockers.iter().any(forbids_removal) {
                true => self.settle(journal, true),
                false => self.give_back(journal, Some(replica)),
            };
        }
        let expect = Expect::unchanged(group);
        let unfit = preflight::unfit(victim, victim.purchase, group, policy, Strictness::Replace, self.now).is_some();
        if unfit || !may_leave(victim) {
            // Protected mid-swap, say: another of its type and zone, or the replica goes again.
            let other = group.members.iter().filter(|member| member.id != replica.id && member.zone == victim.zone);
            let other = other
                .filter(|member| member.instance_type == victim.instance_type && may_leave(member))
                .filter(|member| {
                    preflight::unfit(member, victim.purchase, group, policy, Strictness::Replace, self.now).is_none()
                })
                .min_by_key(|member| (member.launched_at(), member.id.clone()));
            return match other {
                Some(member) if is_unexplored(member) => Step::Closer(member.id.clone()),
                Some(member) => Step::Do(Action::Terminate { member: member.id.clone(), expect }),
                None => self.give_back(journal, Some(replica)),
            };
        }
        if is_unexplored(victim) {
            return Step::Closer(victim.id.clone());
        }
        let victim_id = victim.id.clone();
        Step::Do(match (policy.removal, victim.is_doomed()) {
            (Removal::Terminate, _) => Action::Terminate { member: victim_id, expect },
            // A mark that cannot be made must not keep the group in the middle for ever.
            (Removal::Detach, false) if self.is_overdue(journal, policy) => {
                return self.give_back(journal, Some(replica));
            }
            (Removal::Detach, false) => {
                Action::Doom { victim: victim_id, deadline: self.now + DOOM, brought: victim.ours.is_some() }
            }
            (Removal::Detach, true) => Action::Detach { victim: victim_id, expect },
        })
    }

    /// Both are members and the victim is dying: it leaves as soon as its replacement serves, or half a minute before its
    /// end, so that it is drained and its termination hooks run. Its place is taken in any case; that others come and
    /// go does not matter, unless it is needed for as long as it runs.
    fn remove_in_haste(&self, journal: &Journal, replica: &Member, victim: &Member, policy: &Policy) -> Step {
        if !rescue::is_last_call(victim, self.now) {
            if !replica.serves() {
                return Step::Wait(Wait::NotServing(replica.id.clone()));
            }
            let runs_on = |member: &Member| member.is_dying() && !rescue::is_last_call(member, self.now);
            let others = self.group.members.iter().filter(|member| member.id != victim.id);
            let left = others.filter(|member| member.serves() || runs_on(member)).count();
            if left < journal.desired as usize {
                return Step::Wait(Wait::Unstable { serving: self.group.serving(), desired: self.group.desired });
            }
        }
        let mut blockers = preflight::blockers(self.group, policy, self.config, Moment::Rescue, self.now);
        // The room above is taken already.
        blockers.retain(|blocker| !matches!(blocker, Blocker::AtMaxSize(_)));
        if !blockers.is_empty() {
            return Step::Wait(Wait::Blocked(blockers));
        }
        if victim.protected {
            return Step::Wait(Wait::ProtectedEnding(victim.id.clone()));
        }
        Step::Do(Action::Terminate { member: victim.id.clone(), expect: Expect::unchanged(self.group) })
    }

    /// Attached, and still not serving when its time is up.
    fn never_served(&self, journal: &Journal, replica: &Member, policy: &Policy) -> bool {
        !replica.serves() && self.is_overdue(journal, policy)
    }

    fn is_overdue(&self, journal: &Journal, policy: &Policy) -> bool {
        journal.written_at + SignedDuration::from_secs(i64::from(policy.boot_deadline_seconds)) <= self.now
    }

    /// The +1 is no longer wanted as planned: find out who is surplus.
    fn undo(&self, journal: &Journal, cause: Undo, policy: Option<&Policy>) -> Step {
        if self.group.activities().is_none() {
            return Step::Details;
        }
        // A decrement since the journal was written may be ours: the +1 is spent, and doing it again would put the
        // group below what was asked for.
        if has_shrunk(self.group, journal) {
            return self.settle(journal, true);
        }
        // The group may still be replacing whom it has lost: who is surplus shows when it stands still.
        if !self.group.is_stable() && journal.written_at + TRACE > self.now {
            return Step::Wait(Wait::Unstable { serving: self.group.serving(), desired: self.group.desired });
        }
        let surplus = match cause {
            Undo::VictimGone => {
                // Since the journal was written only its end can name the victim; its launch says nothing.
                if !self.group.has_activity(&journal.victim, journal.since()) {
                    let patient = journal.written_at + TRACE > self.now;
                    return if patient {
                        Step::Wait(Wait::NoTrace(journal.victim.clone()))
                    } else {
                        self.settle(journal, true)
                    };
                }
                self.surplus_after_loss_of_victim(journal, policy)
            }
            Undo::ReplicaGone => self.surplus_after_loss_of_replica(journal, policy),
        };
        self.give_back(journal, surplus)
    }

    /// The group has replaced the victim by itself: the newcomer is surplus, unless the floor needs it.
    fn surplus_after_loss_of_victim(&self, journal: &Journal, policy: Option<&Policy>) -> Option<&'a Member> {
        let group = self.group;
        let replica = group.member(&journal.replica)?;
        let Some(policy) = policy else { return Some(replica) };
        let floor = policy.min_on_demand.of(journal.desired);
        let spare = group.in_service(PurchaseOption::OnDemand) > floor;
        match replica.purchase {
            PurchaseOption::Spot if spare => {
                newest(group, PurchaseOption::OnDemand, |member| member.id != replica.id).or(Some(replica))
            }
            PurchaseOption::Spot => Some(replica),
            PurchaseOption::OnDemand if spare => Some(replica),
            PurchaseOption::OnDemand => {
                newest(group, PurchaseOption::Spot, |member| member.ours.is_some()).or(Some(replica))
            }
        }
    }

    /// The group has replaced the replica by an on-demand member of its own: the newcomer is surplus, unless the floor
    /// needs it.
    fn surplus_after_loss_of_replica(&self, journal: &Journal, policy: Option<&Policy>) -> Option<&'a Member> {
        let group = self.group;
        let victim = group.member(&journal.victim).filter(|member| member.lifecycle == LifecycleState::InService);
        let victim_is_spot = victim.is_some_and(|member| member.purchase == PurchaseOption::Spot);
        // On the way back that is what we wanted: the spot member goes.
        if victim_is_spot {
            return victim.filter(|member| may_leave(member));
        }
        let floor = policy.map_or(0, |policy| policy.min_on_demand.of(journal.desired));
        if group.in_service(PurchaseOption::OnDemand) <= floor {
            return newest(group, PurchaseOption::Spot, |member| member.ours.is_some());
        }
        let since = journal.written_at;
        newest(group, PurchaseOption::OnDemand, |member| member.launched_at().is_some_and(|at| at >= since))
            .or(victim.filter(|victim| !victim.protected))
            .or_else(|| newest(group, PurchaseOption::OnDemand, |_| true))
    }

    /// Removes `surplus` with a decrement once the group stands still. Without one, or if it is protected, or if the
    /// owner's MinSize asks for it meanwhile, both stay.
    fn give_back(&self, journal: &Journal, surplus: Option<&Member>) -> Step {
        let group = self.group;
        let Some(surplus) = surplus.filter(|member| !member.protected && group.desired > group.min_size) else {
            return self.settle(journal, true);
        };
        // A replica that never came into service holds the group unstable; it is not capacity, so it may go.
        let others_stable = group.serving() == journal.desired
            && surplus.id == journal.replica
            && !surplus.serves()
            && group.members.iter().all(|member| {
                member.id == surplus.id
                    || match &member.lifecycle {
                        LifecycleState::InService => true,
                        LifecycleState::Terminating => group.is_earlier_victim(&member.id),
                        LifecycleState::Terminated | LifecycleState::Detached | LifecycleState::TerminatingRetained => {
                            true
                        }
                        LifecycleState::Pending
                        | LifecycleState::Detaching
                        | LifecycleState::EnteringStandby
                        | LifecycleState::Standby
                        | LifecycleState::Other(_) => false,
                    }
            });
        // One that serves leaves a group that stands still; one that does not must not be missed: with as many serving
        // as desired the group has one too many already, and will see to that itself.
        let still = if surplus.serves() { group.is_stable() } else { others_stable };
        if !still {
            return Step::Wait(Wait::Unstable { serving: group.serving(), desired: group.desired });
        }
        Step::Do(Action::Terminate { member: surplus.id.clone(), expect: Expect::unchanged(group) })
    }

    /// Gives back what we changed, then relabels the replica and drops the journal.
    fn settle(&self, journal: &Journal, on_group: bool) -> Step {
        let group = self.group;
        // Without the journal on the group, or the owner's wish, our role may not set desired.
        if on_group && let Some(step) = self.compensate(journal) {
            return step;
        }
        let victim = group.member(&journal.victim);
        let inside = group
            .member(&journal.replica)
            .filter(|member| !member.lifecycle.is_leaving())
            // A former replica that still carries its copy: relabelling was cut short.
            .filter(|member| member.is_replica() || member.ours.as_ref().is_some_and(|ours| ours.journal.is_some()))
            .map(|member| Finished::Member(member.id.clone()));
        // Both stay: that has to be said for good before anything else. If desired came back to one more by somebody
        // else's hand, the next look would take that unit for ours.
        let both_stay = victim.is_some_and(|victim| victim.lifecycle == LifecycleState::InService)
            || group.desired != journal.desired;
        if on_group && both_stay && inside.is_some() {
            return Step::Do(Action::Finish { replica: inside, drop_journal: None });
        }
        // Only our own value is restored: the owner may have changed it meanwhile, and must have done so if MinSize is
        // above the old one.
        let raised = journal.raised_max.filter(|max| group.max_size == max.raised && max.original >= group.min_size);
        // With more than the owner's ceiling running, lowering MaxSize lets the group remove one by its own policy:
        // never while members come and go.
        let above = raised.filter(|max| group.desired > max.original && !is_served(group));
        let max = raised.filter(|_| above.is_none());
        let resume_az_rebalance = journal.suspends_az_rebalance && group.suspends("AZRebalance");
        if max.is_some() || resume_az_rebalance {
            return Step::Do(Action::Restore { max, resume_az_rebalance });
        }
        // Only now: giving back is what tells the next look that the +1 is settled, if there is no replica to tell it.
        if let Some(victim) = victim.filter(|member| member.is_doomed() && !member.lifecycle.is_leaving()) {
            return Step::Do(Action::Pardon { victim: victim.id.clone(), brought: victim.was_brought() });
        }
        if let Some(max) = above {
            // That may take long; our own instance outside must not outlive its deadline for it.
            let is_ours = |replica: &&Replica| {
                let outside = !replica.was_member && group.member(&replica.id).is_none();
                outside && replica.state.is_alive() && replica.ours.role == Role::Replica
            };
            let overdue = group.replica(&journal.replica).filter(|replica| replica.ours.deadline <= self.now);
            if let Some(replica) = overdue.filter(is_ours) {
                return Step::Do(Action::Discard { replica: replica.id.clone() });
            }
            return Step::Wait(Wait::AboveCeiling { desired: group.desired, ceiling: max.original });
        }
        // A stale look may show MaxSize and AZRebalance as they were before we changed them; one that shows the replica as
        // a member is younger than that.
        let has_effects = journal.raised_max.is_some() || journal.suspends_az_rebalance;
        let seconds = self.policy.map_or(SETTLE_SECONDS, |policy| policy.settle_seconds);
        let prepared_by = match group.member(&journal.replica) {
            Some(_) => journal.written_at,
            None => journal.prepared_until(),
        };
        let until = prepared_by + SignedDuration::from_secs(i64::from(seconds));
        if on_group && has_effects && until > self.now {
            return Step::Wait(Wait::Settle { until });
        }
        let outside = group
            .replica(&journal.replica)
            .filter(|replica| replica.state.is_alive() && replica.ours.journal.is_some())
            .map(|replica| Finished::Kept(replica.id.clone()));
        let replica = inside.or(outside);
        if replica.is_none() && !on_group {
            return Step::HandsOff;
        }
        Step::Do(Action::Finish { replica, drop_journal: on_group.then(|| journal.id.clone()) })
    }

    /// Our decrement hit a number that somebody else had just changed: give it back, once. The activity's cause proves
    /// it; a later reading of desired alone would prove nothing.
    fn compensate(&self, journal: &Journal) -> Option<Step> {
        let activities = self.group.activities()?;
        // Before the attach we remove nobody: then it was the owner, and he meant it.
        let since = journal.since();
        let outside = self.group.replica(&journal.replica);
        let was_attached = self.group.member(&journal.replica).is_some()
            || outside.is_some_and(|replica| replica.was_member)
            || self.group.has_activity(&journal.replica, since);
        if !was_attached {
            return None;
        }
        // AWS does not say who asked, so it has to be one whom we would have removed: the victim, the replica, a
        // newcomer since the journal was written, or, as long as the victim stays, another one like it. Taking somebody
        // else's removal for ours leaves one too many.
        let is_newcomer = |id: &InstanceId| {
            activities.iter().any(|activity| {
                activity.instance.as_ref() == Some(id) && activity.shrank.is_none() && activity.started_at >= since
            })
        };
        let victim = self.group.member(&journal.victim);
        let staying = victim.filter(|victim| victim.lifecycle == LifecycleState::InService);
        let in_its_place = |id: &InstanceId| {
            staying.is_some_and(|victim| {
                self.group
                    .member(id)
                    .is_none_or(|other| other.zone == victim.zone && other.instance_type == victim.instance_type)
            })
        };
        let ours = |activity: &&Activity| {
            let hit_foreign_value = activity.shrank.is_some_and(|(from, _)| from != journal.desired + 1);
            let candidate = activity.instance.as_ref().is_some_and(|id| {
                *id == journal.victim || *id == journal.replica || is_newcomer(id) || in_its_place(id)
            });
            activity.by_request && activity.started_at >= since && hit_foreign_value && candidate
        };
        let (_, to) = activities.iter().find(ours)?.shrank?;
        let untouched_since = self.group.desired == to;
        (untouched_since && to < self.group.max_size).then_some(Step::Do(Action::Compensate { from: to, to: to + 1 }))
    }
}

/// One replica too many, of those outside, the oldest first: a second one for the same victim, or a second one that was
/// not launched because its victim's end was announced.
fn duplicate<'a>(replicas: &[&'a Replica]) -> Option<&'a Replica> {
    let is_notice = |replica: &Replica| replica.ours.cause == Cause::Notice;
    replicas.iter().enumerate().find_map(|(place, replica)| {
        let earlier = &replicas[..place];
        let same_victim = earlier.iter().any(|other| other.ours.victim == replica.ours.victim);
        let second = !is_notice(replica) && earlier.iter().any(|other| !is_notice(other));
        (same_victim || second).then_some(*replica)
    })
}

/// A swap or replica of another deployment on this group.
fn foreign_stack<'a>(group: &'a Group, journal: Option<&'a Journal>, config: &Config) -> Option<&'a str> {
    let journal = journal.map(|journal| &journal.stack);
    // What is finished is nobody's any more, also after its owner has detached it.
    let living = group.replicas.iter().filter(|replica| replica.state.is_alive());
    let outside = living.map(|replica| &replica.ours).filter(|ours| ours.role != Role::Member);
    let inside = group.members.iter().filter(|member| member.is_replica()).filter_map(|member| member.ours.as_ref());
    let stacks = journal.into_iter().chain(outside.chain(inside).map(|ours| &ours.stack));
    stacks.map(String::as_str).find(|stack| *stack != config.stack)
}

/// The copy on a replica of ours, inside or outside. Whoever manages the group's tags may have deleted the original.
fn copy_of_journal(group: &Group, config: &Config) -> Option<Journal> {
    // Also on a former replica: relabelling was cut short, and then somebody deleted the original.
    let inside = group.members.iter().filter(|member| !member.lifecycle.is_leaving());
    let outside = group
        .replicas
        .iter()
        .filter(|replica| replica.state.is_alive() && replica.ours.role == Role::Replica)
        .map(|replica| (&replica.id, &replica.ours));
    inside
        .filter_map(|member| Some((&member.id, member.ours.as_ref()?)))
        .chain(outside)
        .filter(|(_, ours)| ours.stack == config.stack)
        .find_map(|(id, ours)| ours.journal.clone().filter(|journal| journal.replica == *id))
}

/// The owner wants the watcher on it to speak first, and it has not.
fn is_unready(replica: &Replica, policy: &Policy) -> bool {
    policy.readiness == Readiness::Watcher && replica.ours.ready_at.is_none()
}

fn until_ready(replica: &Replica) -> Wait {
    Wait::Ready { replica: replica.id.clone(), deadline: replica.ours.deadline - ARM_MARGIN }
}

/// The group has lost a member together with a unit of desired since the journal was written, by whomever.
fn has_shrunk(group: &Group, journal: &Journal) -> bool {
    let since = journal.since();
    let mut activities = group.activities().into_iter().flatten();
    activities.any(|activity| {
        let earlier = activity.instance.as_ref().is_some_and(|id| left_for_another(group, journal, id));
        activity.shrank.is_some() && activity.started_at >= since && !earlier
    })
}

/// The victim of a swap finished before this one: its end may be as young as this journal, and is none of its business.
fn left_for_another(group: &Group, journal: &Journal, id: &InstanceId) -> bool {
    let finished = group.members.iter().filter(|member| member.id != journal.replica && !member.is_replica());
    *id != journal.victim && finished.filter_map(|member| member.ours.as_ref()).any(|ours| ours.victim == *id)
}

/// What the journal says that we changed is as it was before: we have given it back. MaxSize does not tell: back at the
/// owner's value it leaves no room for the +1 that is asked about.
fn is_restored(journal: &Journal, group: &Group) -> bool {
    journal.suspends_az_rebalance && !group.suspends("AZRebalance")
}

fn is_stopping(state: RunState) -> bool {
    match state {
        RunState::Stopping | RunState::Stopped => true,
        RunState::Pending | RunState::Running | RunState::ShuttingDown | RunState::Terminated => false,
    }
}

/// As many serve as are wanted, and nobody is on its way in. Members on their way out no longer count: a termination
/// hook may hold them for days.
fn is_served(group: &Group) -> bool {
    let pending = group.members.iter().any(|member| member.lifecycle == LifecycleState::Pending);
    group.serving() >= group.desired && !pending
}

/// Nobody has looked yet whether EC2 protects it from termination.
fn is_unexplored(member: &Member) -> bool {
    member.ec2.as_ref().is_some_and(|ec2| ec2.termination_protected.is_none())
}

/// Only what we brought goes back to on-demand: a spot member of somebody else is its owner's business.
fn may_leave(member: &Member) -> bool {
    member.purchase == PurchaseOption::OnDemand || member.ours.is_some()
}

/// The newest unprotected member in service that is bought as `purchase`.
fn newest(group: &Group, purchase: PurchaseOption, also: impl Fn(&Member) -> bool) -> Option<&Member> {
    group
        .members
        .iter()
        .filter(|member| member.purchase == purchase && member.lifecycle == LifecycleState::InService)
        .filter(|member| !member.protected && also(member))
        .max_by_key(|member| (member.launched_at(), member.id.clone()))
}

/// Eight hex digits that tell one swap from the next in a log.
fn journal_id(replica: &InstanceId, now: Timestamp) -> String {
    format!("{:08x}", crate::plan::fnv1a(&format!("{replica} {}", now.as_second())) as u32)
}
