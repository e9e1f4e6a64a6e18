//! The second opinion on one action, on a look as fresh as it can be.
//!
//! Written apart from the planner and by its own light: a refusal is a bug over there, or a race with the world.

mod removal;

use jiff::{SignedDuration, Timestamp};

pub use removal::check_removal;

use crate::action::{Action, Expect, Finished, Launch};
use crate::backoff::Backoff;
use crate::journal::{Journal, RaisedMax, SETTLE_SECONDS};
use crate::model::{
    Cause, Group, InstanceId, LifecycleState, Member, Observation, PurchaseOption, Replica, Role, RunState, tag,
};
use crate::policy::{Config, Policy, Readiness, enabled};
use crate::reason::Refusal;

/// `Ok` if nothing speaks against performing `action` on the group as `fresh` shows it.
pub fn check(fresh: &Observation, action: &Action, config: &Config) -> Result<(), Refusal> {
    let guard = Guard { group: &fresh.group, config, now: fresh.now };
    guard.verdict(action).map_err(|why| Refusal { action: action.name(), why })
}

struct Guard<'a> {
    group: &'a Group,
    config: &'a Config,
    now: Timestamp,
}

type Verdict = Result<(), String>;

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise()) }
}

impl Guard<'_> {
    fn verdict(&self, action: &Action) -> Verdict {
        match action {
            Action::Launch(launch) => {
                let policy = self.wanted()?;
                require(launch.enabled.name() == &self.group.name, || "made for another group".to_owned())?;
                self.in_service(&launch.victim)?;
                self.has_no_replica(launch)?;
                if launch.cause() == Cause::Swap {
                    self.floor_after(launch.purchase, &policy)?;
                }
                require(launch.tags.get(tag::ROLE).map(String::as_str) == Some(Role::Replica.as_str()), || {
                    "the replica would be born without its role".to_owned()
                })?;
                require(launch.tags.get(tag::STACK) == Some(&self.config.stack), || {
                    "the replica would be born without its owner".to_owned()
                })?;
                require(launch.tags.contains_key(tag::DEADLINE), || {
                    "the replica would be born without a deadline".to_owned()
                })?;
                require(!launch.client_token.is_empty() && launch.client_token.len() <= 64, || {
                    "no client token".to_owned()
                })
            }
            Action::Discard { replica } => {
                self.outsider(replica, Role::Replica)?;
                let armed = self.journal().is_ok_and(|journal| journal.replica == *replica);
                let overdue = self.group.replica(replica).is_some_and(|replica| replica.ours.deadline <= self.now);
                require(!armed || overdue, || format!("{replica} is named by the journal"))
            }
            Action::EndDoomed { victim } => self.outsider(victim, Role::Doomed),
            Action::Arm { journal } => {
                self.wanted()?;
                require(journal.stack == self.config.stack, || "not our journal".to_owned())?;
                match self.group.journal() {
                    None => {}
                    Some(Ok(present)) if present == *journal => {}
                    Some(_) => return Err("another journal is on the group".to_owned()),
                }
                let inside = self.group.member(&journal.replica).and_then(|member| member.ours.as_ref());
                let outside = self.group.replica(&journal.replica).map(|replica| &replica.ours);
                let ours = inside.or(outside).ok_or_else(|| format!("{} is not there", journal.replica))?;
                // Writing back a copy accounts for what was done already; a new journal must match the group.
                if ours.journal.as_ref() == Some(journal) {
                    return Ok(());
                }
                require(journal.desired == self.group.desired, || {
                    format!("desired is {}, not {}", self.group.desired, journal.desired)
                })?;
                // What the journal calls the owner's is what we shall put back.
                let original = journal.raised_max.map(|max| max.original);
                let wanted = self.group.is_full().then_some(self.group.max_size);
                require(original == wanted, || format!("MaxSize is {}", self.group.max_size))?;
                let suspended = self.group.suspended.contains("AZRebalance");
                require(!journal.suspends_az_rebalance || !suspended, || {
                    "AZRebalance is suspended already".to_owned()
                })?;
                self.in_service(&journal.victim)
            }
            Action::Prepare { suspend_az_rebalance, raise_max } => {
                self.wanted()?;
                let journal = self.journal()?;
                require(!suspend_az_rebalance || journal.suspends_az_rebalance, || {
                    "the journal does not say that AZRebalance is suspended".to_owned()
                })?;
                require(self.now <= journal.prepared_until(), || "the journal is too old to begin by".to_owned())?;
                let Some(max) = raise_max else { return Ok(()) };
                require(journal.raised_max == Some(*max), || "the journal says otherwise about MaxSize".to_owned())?;
                require(self.group.max_size == max.original, || format!("MaxSize is {}", self.group.max_size))
            }
            Action::Attach { replica, expect } => self.attach(replica, expect),
            Action::Doom { victim, .. } => {
                self.wanted()?;
                require(self.journal()?.victim == *victim, || format!("the journal does not name {victim}"))?;
                self.in_service(victim)
            }
            Action::RecordReady { replica, at } => {
                self.wanted()?;
                self.outsider(replica, Role::Replica)?;
                let outside = self.group.replica(replica).ok_or_else(|| format!("{replica} is not there"))?;
                require(outside.state == RunState::Running && !outside.interrupted, || {
                    format!("{replica} is not running well")
                })?;
                require(outside.launched_at <= *at && *at <= self.now, || format!("{replica} was not ready at {at}"))
            }
            Action::Note { backoff: None } => Ok(()),
            Action::Note { backoff: Some(text) } => {
                self.wanted()?;
                require(text.len() <= 256, || format!("{} characters", text.len()))?;
                require(text.parse::<Backoff>().is_ok(), || "nobody could read it".to_owned())
            }
            Action::Pardon { victim, .. } => {
                let member = self.member(victim)?;
                require(member.is_doomed(), || format!("{victim} is not doomed"))
            }
            Action::Detach { victim, expect } => {
                self.decrement(victim, expect)?;
                let member = self.member(victim)?;
                require(member.is_doomed(), || format!("{victim} would run on unmarked"))?;
                require(self.journal()?.victim == *victim, || format!("the journal does not name {victim}"))
            }
            Action::Terminate { member, expect } => self.decrement(member, expect),
            Action::Replace { member: id } => {
                self.wanted()?;
                require(self.group.journal().is_none(), || "a swap is in flight".to_owned())?;
                self.in_service(id)?;
                require(self.member(id)?.is_dying(), || format!("{id} is not about to end"))
            }
            Action::Compensate { from, to } => {
                self.journal()?;
                require(*to == *from + 1, || "more than one".to_owned())?;
                require(self.group.desired == *from, || format!("desired is {}", self.group.desired))?;
                require(*to <= self.group.max_size, || format!("MaxSize is {}", self.group.max_size))
            }
            Action::Restore { max, resume_az_rebalance } => {
                let journal = self.journal_or_copy()?;
                require(!resume_az_rebalance || journal.suspends_az_rebalance, || {
                    "AZRebalance was not suspended by us".to_owned()
                })?;
                // What is given back says that the +1 is settled: not while the replica is there on trial. With the wish
                // and the journal both gone from the group nobody may take the replica back any more.
                let is_judged = self.group.journal().is_some() || self.wanted().is_ok();
                let on_trial = is_judged
                    && self.group.member(&journal.replica).is_some_and(|member| {
                        let added = self.group.desired == journal.desired + 1;
                        added && member.is_replica() && !member.lifecycle.is_leaving()
                    });
                require(!on_trial, || format!("{} has just been attached", journal.replica))?;
                let Some(max) = max else { return Ok(()) };
                require(journal.raised_max == Some(*max), || "the journal says otherwise about MaxSize".to_owned())?;
                require(self.group.max_size == max.raised, || format!("MaxSize is {}", self.group.max_size))?;
                require(max.original >= self.group.min_size, || format!("MinSize is {}", self.group.min_size))?;
                // Above the ceiling the group will remove one by its own policy: all of them have to serve.
                let arriving = self.group.members.iter().any(|member| member.lifecycle == LifecycleState::Pending);
                let all_serve = self.group.serving() >= self.group.desired && !arriving;
                require(self.group.desired <= max.original || all_serve, || {
                    format!("{} are wanted and not all of them serve", self.group.desired)
                })
            }
            Action::Finish { replica, drop_journal } => self.finish(replica.as_ref(), drop_journal.as_deref()),
        }
    }

    /// One replica for a member, and one swap at a time. Only members whose end is announced may have theirs whatever
    /// else is in flight, and a recommendation is about a spot member of ours.
    fn has_no_replica(&self, launch: &Launch) -> Verdict {
        let victim = self.member(&launch.victim)?;
        let cause = launch.cause();
        let ours = |replica: &&Replica| replica.ours.role != Role::Member && !replica.was_member;
        let mut living = self.group.replicas.iter().filter(ours).filter(|replica| replica.state.is_alive());
        if cause == Cause::Notice {
            require(victim.is_dying(), || format!("{} is not about to end", victim.id))?;
            let named = self.group.journal().and_then(Result::ok);
            let named = named.is_some_and(|journal| journal.victim == victim.id || journal.replica == victim.id);
            require(!named, || format!("the swap in flight is about {}", victim.id))?;
            let twin = living.find(|replica| replica.ours.victim == victim.id);
            return require(twin.is_none(), || format!("{} is there already", twin.expect("just seen").id));
        }
        require(self.group.journal().is_none(), || "a swap is in flight".to_owned())?;
        let other = living.next();
        require(other.is_none(), || format!("{} is there already", other.expect("just seen").id))?;
        let at_risk = victim.purchase == PurchaseOption::Spot && victim.ours.is_some();
        require(cause != Cause::Rebalance || at_risk, || format!("{} is not a spot member of ours", victim.id))
    }

    fn attach(&self, replica: &InstanceId, expect: &Expect) -> Verdict {
        let policy = self.wanted()?;
        let journal = self.journal()?;
        require(journal.replica == *replica, || format!("the journal names {}", journal.replica))?;
        require(self.group.member(replica).is_none(), || format!("{replica} is a member already"))?;
        let outside = self.group.replica(replica).ok_or_else(|| format!("{replica} is not there"))?;
        require(outside.state == RunState::Running && !outside.interrupted, || {
            format!("{replica} is not running well")
        })?;
        require(outside.ours.role == Role::Replica, || format!("{replica} is not a replica"))?;
        require(policy.readiness == Readiness::Checks || outside.ours.ready_at.is_some(), || {
            format!("{replica} has not said that it is ready")
        })?;
        self.as_expected(expect)?;
        require(self.group.desired == journal.desired, || {
            format!("desired is {}, not {}", self.group.desired, journal.desired)
        })?;
        require(self.group.max_size > self.group.desired, || "no room below MaxSize".to_owned())?;
        self.none_has_left(&journal)?;
        self.in_service(&journal.victim)?;
        let victim = self.member(&journal.victim)?;
        // Nothing is lost by standing in for one that is lost.
        if victim.is_dying() {
            return Ok(());
        }
        require(self.stands_still(None), || "members are coming or going".to_owned())?;
        if outside.ours.cause == Cause::Rebalance && victim.purchase == PurchaseOption::Spot && victim.ours.is_some() {
            return Ok(());
        }
        self.floor_after(outside.purchase, &policy)
    }

    /// Removing one member with a decrement: only the one that we added.
    fn decrement(&self, leaving: &InstanceId, expect: &Expect) -> Verdict {
        let journal = self.journal()?;
        require(self.group.desired == journal.desired + 1, || {
            format!("desired is {}, not {} + 1", self.group.desired, journal.desired)
        })?;
        self.as_expected(expect)?;
        // That desired is one more again proves nothing once somebody has taken one away.
        self.group.activities().ok_or("whether somebody has left since is not known")?;
        self.none_has_left(&journal)?;
        let member = self.member(leaving)?;
        require(!member.protected, || format!("{leaving} is protected from scale-in"))?;
        require(self.group.desired > self.group.min_size, || format!("MinSize is {}", self.group.min_size))?;
        let dying = member.is_dying() && member.id == journal.victim;
        // One that ends anyway may leave an unsteady group, but not as long as it is missed.
        let can_be_spared = || {
            let up = |other: &&Member| other.serves() || (other.is_dying() && !is_last_call(other, self.now));
            let left = self.group.members.iter().filter(|other| other.id != *leaving).filter(up).count();
            left >= journal.desired as usize || is_last_call(member, self.now)
        };
        require((dying && can_be_spared()) || self.stands_still(Some(member)), || {
            "members are coming or going".to_owned()
        })?;
        // A second request for one that is leaving already might count twice.
        require(!member.lifecycle.is_leaving(), || format!("{leaving} is {}", member.lifecycle))?;
        if member.id == journal.replica {
            return Ok(());
        }
        require(member.lifecycle == LifecycleState::InService, || format!("{leaving} is {}", member.lifecycle))?;
        let replica = self.group.member(&journal.replica);
        if member.id == journal.victim {
            let stands_in = replica.is_some_and(|replica| {
                let moves = replica.ours.as_ref().is_some_and(|ours| ours.cause == Cause::Rebalance);
                let serves = replica.serves() && (replica.purchase != member.purchase || moves || dying);
                // Half a minute before its end it no longer matters who serves, as long as its place is taken.
                serves || (dying && !replica.lifecycle.is_leaving() && is_last_call(member, self.now))
            });
            let replaced = replica.is_none_or(|replica| replica.lifecycle.is_leaving());
            require(stands_in || replaced, || format!("{} does not serve", journal.replica))?;
        }
        if member.purchase == PurchaseOption::Spot {
            return require(member.ours.is_some(), || format!("{leaving} was not brought by us"));
        }
        let left = self.group.in_service(PurchaseOption::OnDemand) - 1;
        match self.wanted() {
            Ok(policy) => {
                let floor = policy.min_on_demand.of(journal.desired);
                require(left >= floor, || format!("{left} on-demand members would be left of {floor}"))
            }
            // Not enabled any more: only what came after us may go, back to how it was.
            Err(_) => {
                let came_after = member.launched_at().is_some_and(|at| at >= journal.written_at);
                let replica_gone = replica.is_none_or(|replica| replica.lifecycle.is_leaving());
                require(came_after || replica_gone, || "the group is not enabled".to_owned())
            }
        }
    }

    /// Nobody has shrunk the group since the journal was written, as far as the activities show it.
    fn none_has_left(&self, journal: &Journal) -> Verdict {
        let activities = self.group.activities().into_iter().flatten();
        let since = journal.since();
        // A victim of an earlier swap may have left in the same second.
        let earlier = |id: &InstanceId| {
            let finished = self.group.members.iter().filter(|member| !member.is_replica());
            *id != journal.victim && finished.filter_map(|member| member.ours.as_ref()).any(|ours| ours.victim == *id)
        };
        let shrank = activities
            .filter(|activity| activity.started_at >= since && !activity.instance.as_ref().is_some_and(earlier))
            .find_map(|activity| activity.shrank);
        require(shrank.is_none(), || {
            let (from, to) = shrank.unwrap_or_default();
            format!("the group has shrunk from {from} to {to} since the journal was written")
        })
    }

    fn finish(&self, replica: Option<&Finished>, drop_journal: Option<&str>) -> Verdict {
        if let Some(Finished::Member(id)) = replica {
            let member = self.member(id)?;
            require(!member.lifecycle.is_leaving(), || format!("{id} is leaving"))?;
        }
        if let Some(Finished::Kept(id)) = replica {
            require(self.group.member(id).is_none(), || format!("{id} is a member"))?;
        }
        let Some(id) = drop_journal else { return Ok(()) };
        let journal = self.journal()?;
        require(journal.id == id, || format!("the journal is {}, not {id}", journal.id))?;
        let ours = |max: RaisedMax| self.group.max_size == max.raised && max.original >= self.group.min_size;
        let raised = journal.raised_max.is_some_and(ours);
        require(!raised, || "MaxSize is still raised".to_owned())?;
        let suspended = journal.suspends_az_rebalance && self.group.suspended.contains("AZRebalance");
        require(!suspended, || "AZRebalance is still suspended".to_owned())?;
        // A look that is older than our own changes shows none of them, and the action may have been planned for an earlier
        // journal. One that shows the replica as a member is younger than what was done to let it in.
        let has_effects = journal.raised_max.is_some() || journal.suspends_az_rebalance;
        let settle = self.wanted().map_or(SETTLE_SECONDS, |policy| policy.settle_seconds);
        let until = journal.prepared_until() + SignedDuration::from_secs(i64::from(settle));
        let is_inside = self.group.member(&journal.replica).is_some();
        require(!has_effects || is_inside || until <= self.now, || "what it announces may still come".to_owned())?;
        let doomed = self
            .group
            .member(&journal.victim)
            .is_some_and(|victim| victim.is_doomed() && victim.lifecycle == LifecycleState::InService);
        require(!doomed, || format!("{} is still doomed", journal.victim))
    }

    /// Enabled by its owner, with settings that can be understood.
    fn wanted(&self) -> Result<Policy, String> {
        enabled(self.group, self.config).ok_or("the group is not enabled")?;
        Policy::of(self.group, self.config).map_err(|errors| errors[0].to_string())
    }

    fn journal(&self) -> Result<Journal, String> {
        match self.group.journal() {
            Some(Ok(journal)) if journal.stack == self.config.stack => Ok(journal),
            Some(Ok(journal)) => Err(format!("the journal belongs to {}", journal.stack)),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("no journal is on the group".to_owned()),
        }
    }

    fn journal_or_copy(&self) -> Result<Journal, String> {
        let copy = || {
            let inside = self.group.members.iter().filter_map(|member| member.ours.as_ref());
            // What a dead one carries may be of long ago.
            let alive = self.group.replicas.iter().filter(|replica| replica.state.is_alive());
            inside
                .chain(alive.map(|replica| &replica.ours))
                .filter(|ours| ours.stack == self.config.stack)
                .find_map(|ours| ours.journal.clone())
        };
        self.journal().or_else(|why| copy().ok_or(why))
    }

    fn member(&self, id: &InstanceId) -> Result<&Member, String> {
        self.group.member(id).ok_or_else(|| format!("{id} is not a member"))
    }

    fn in_service(&self, id: &InstanceId) -> Verdict {
        let member = self.member(id)?;
        require(member.lifecycle == LifecycleState::InService, || format!("{id} is {}", member.lifecycle))?;
        require(!member.protected, || format!("{id} is protected from scale-in"))
    }

    /// An instance of ours in that role, and not a member of the group.
    fn outsider(&self, id: &InstanceId, role: Role) -> Verdict {
        require(self.group.member(id).is_none(), || format!("{id} is a member"))?;
        let outside = self.group.replica(id).ok_or_else(|| format!("{id} is not ours"))?;
        require(!outside.was_member, || format!("{id} is a member of some group"))?;
        require(outside.ours.role == role, || format!("{id} is a {}", outside.ours.role.as_str()))?;
        require(outside.ours.stack == self.config.stack, || format!("{id} belongs to {}", outside.ours.stack))
    }

    fn as_expected(&self, expect: &Expect) -> Verdict {
        let serving = self.group.serving();
        require(self.group.desired == expect.desired, || {
            format!("desired is {}, not {}", self.group.desired, expect.desired)
        })?;
        require(serving == expect.serving, || format!("{serving} serve, not {}", expect.serving))
    }

    /// The floor as it will be when a member bought as `brings` has come and its opposite has gone.
    fn floor_after(&self, brings: PurchaseOption, policy: &Policy) -> Verdict {
        let floor = policy.min_on_demand.of(self.group.desired);
        let on_demand = self.group.in_service(PurchaseOption::OnDemand);
        match brings {
            PurchaseOption::Spot => {
                require(on_demand > floor, || format!("{on_demand} on-demand members for a floor of {floor}"))
            }
            PurchaseOption::OnDemand => {
                require(on_demand < floor, || format!("{on_demand} on-demand members reach the floor of {floor}"))
            }
        }
    }

    /// As many serve as desired and nobody comes or goes; a leaving member that does not serve does not count.
    fn stands_still(&self, leaving: Option<&Member>) -> bool {
        let idle = leaving.filter(|member| !member.serves());
        let wanted = self.group.desired - u32::from(idle.is_some());
        let calm = |member: &Member| match &member.lifecycle {
            LifecycleState::InService
            | LifecycleState::Terminated
            | LifecycleState::Detached
            | LifecycleState::TerminatingRetained => true,
            LifecycleState::Terminating => self.group.is_earlier_victim(&member.id),
            LifecycleState::Detaching => member.is_doomed(),
            LifecycleState::Pending
            | LifecycleState::EnteringStandby
            | LifecycleState::Standby
            | LifecycleState::Other(_) => false,
        };
        self.group.serving() == wanted
            && self.group.members.iter().filter(|member| idle.is_none_or(|idle| idle.id != member.id)).all(calm)
    }
}

/// Less than half a minute to its end.
fn is_last_call(member: &Member, now: Timestamp) -> bool {
    let ends_at = member.ec2.as_ref().and_then(|ec2| ec2.ends_at);
    ends_at.is_some_and(|ends_at| ends_at.as_second() - now.as_second() <= 30)
}
