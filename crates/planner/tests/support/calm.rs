//! A calm world: every action works at once, time passes in steps, the group keeps its numbers, nobody else acts.
//! What does not settle here never settles.

use jiff::{SignedDuration, Timestamp};
use planner::action::{Action, Finished, Launch};
use planner::model::{
    Activity, Cause, Details, Ec2Facts, Group, ImageId, InstanceId, LifecycleState, Member, Provenance, PurchaseOption,
    Replica, Role, RunState, tag,
};
use planner::plan::Need;

use super::Picture;

/// One step of time.
const STEP: SignedDuration = SignedDuration::from_secs(30);

/// After so many steps the owner takes back what he had done.
const TROUBLES: u32 = 20;

/// A picture that moves.
pub struct Calm {
    /// What a look shows now.
    pub picture: Picture,
    steps: u32,
    launched: u32,
}

impl Calm {
    /// Starts from a picture.
    pub fn of(picture: Picture) -> Self {
        Self { picture, steps: 0, launched: 0 }
    }

    fn group(&mut self) -> &mut Group {
        &mut self.picture.observation.group
    }

    /// Answers what the plan has to know.
    pub fn tell(&mut self, need: &Need) {
        match need {
            Need::Closer(id) => {
                for member in self.group().members.iter_mut().filter(|member| member.id == *id) {
                    member.ec2.as_mut().expect("shown").termination_protected = Some(false);
                }
            }
            Need::Details | Need::Market(_) => panic!("a full look with a market needs no {need:?}"),
        }
    }

    /// What the action does to the world.
    pub fn apply(&mut self, action: &Action) {
        let now = self.picture.observation.now;
        match action {
            Action::Launch(launch) => self.launch(launch),
            Action::Discard { replica: id } | Action::EndDoomed { victim: id } => {
                self.group().replicas.retain(|replica| replica.id != *id);
            }
            Action::Arm { journal } => {
                self.group().tags.insert(tag::SWAP.to_owned(), journal.to_string());
                if let Some(ours) = self.ours(&journal.replica) {
                    ours.journal = Some(journal.clone());
                }
            }
            Action::Prepare { suspend_az_rebalance, raise_max } => {
                let group = self.group();
                if *suspend_az_rebalance {
                    group.suspended.insert("AZRebalance".to_owned());
                }
                group.max_size = raise_max.map_or(group.max_size, |max| max.raised);
            }
            Action::Attach { replica: id, .. } => {
                let group = self.group();
                let at = group.replicas.iter().position(|replica| replica.id == *id).expect("outside");
                let replica = group.replicas.remove(at);
                group.desired += 1;
                assert!(group.desired <= group.max_size, "attached above MaxSize");
                let member = member_of(replica, group);
                group.members.push(member);
            }
            Action::Doom { victim, deadline, brought: true } => {
                let ours = self.member(victim).ours.as_mut().expect("brought by us");
                (ours.role, ours.deadline) = (Role::Doomed, *deadline);
            }
            Action::Doom { victim, deadline, brought: false } => {
                let (group, stack) = (self.group().name.clone(), self.picture.config.stack.clone());
                let member = self.member(victim);
                let (deadline, victim) = (*deadline, victim.clone());
                member.ours = Some(Provenance {
                    role: Role::Doomed,
                    group,
                    victim,
                    stands_for: None,
                    bid: None,
                    deadline,
                    stack,
                    journal: None,
                    ready_at: None,
                    cause: Cause::Swap,
                });
            }
            Action::Pardon { victim, brought: false } => self.member(victim).ours = None,
            Action::Pardon { victim, brought: true } => {
                self.member(victim).ours.as_mut().expect("brought by us").role = Role::Member;
            }
            Action::Detach { victim: id, .. } => self.leave(id, LifecycleState::Detaching, now),
            Action::Terminate { member: id, .. } => self.leave(id, LifecycleState::Terminating, now),
            Action::Replace { member: id } => self.member(id).lifecycle = LifecycleState::Terminating,
            Action::RecordReady { replica, at } => self.ours(replica).expect("ours").ready_at = Some(*at),
            Action::Note { backoff: Some(text) } => {
                self.group().tags.insert(tag::BACKOFF.to_owned(), text.clone());
            }
            Action::Note { backoff: None } => drop(self.group().tags.remove(tag::BACKOFF)),
            Action::Compensate { to, .. } => self.group().desired = *to,
            Action::Restore { max, resume_az_rebalance } => {
                let group = self.group();
                if let Some(max) = max {
                    assert!(max.original >= group.min_size, "MaxSize below MinSize");
                    group.max_size = max.original;
                    group.desired = group.desired.min(max.original);
                }
                if *resume_az_rebalance {
                    group.suspended.remove("AZRebalance");
                }
            }
            Action::Finish { replica, drop_journal } => {
                match replica {
                    Some(Finished::Member(id)) => {
                        let ours = self.ours(id).expect("ours");
                        (ours.role, ours.journal) = (Role::Member, None);
                    }
                    Some(Finished::Kept(id)) => self.ours(id).expect("ours").journal = None,
                    None => {}
                }
                if drop_journal.is_some() {
                    self.group().tags.remove(tag::SWAP);
                }
            }
        }
    }

    /// Half a minute passes.
    pub fn pass(&mut self) {
        self.picture.observation.now += STEP;
        self.steps += 1;
        let (now, steps) = (self.picture.observation.now, self.steps);
        let group = self.group();
        if steps == TROUBLES {
            group.suspended.retain(|process| process == "AZRebalance");
            group.members.iter_mut().for_each(|member| member.protected = false);
        }
        for replica in &mut group.replicas {
            replica.state = match replica.state {
                RunState::Pending | RunState::Running => RunState::Running,
                RunState::Stopping | RunState::Stopped => RunState::Stopped,
                RunState::ShuttingDown | RunState::Terminated => RunState::Terminated,
            };
            replica.checks_ok = Some(replica.state == RunState::Running);
        }
        self.members_move(now);
        self.numbers_are_kept(now);
        for activity in self.details().activities.as_mut().expect("a full look") {
            activity.ended_at.get_or_insert(now);
        }
    }

    /// Comes up, goes away, is replaced because it is unhealthy.
    fn members_move(&mut self, now: Timestamp) {
        let steps = self.steps;
        let mut ended = Vec::new();
        let group = self.group();
        let mut outside = Vec::new();
        group.members.retain_mut(|member| {
            let ec2 = member.ec2.get_or_insert_with(|| facts(now));
            match &member.lifecycle {
                LifecycleState::Pending => {
                    (member.lifecycle, member.healthy, ec2.state) =
                        (LifecycleState::InService, true, RunState::Running);
                }
                LifecycleState::InService if !member.healthy || ec2.state != RunState::Running || ec2.interrupted => {
                    member.lifecycle = LifecycleState::Terminating;
                    ended.push(member.id.clone());
                }
                LifecycleState::InService => member.targets_healthy = member.targets_healthy.map(|_| true),
                LifecycleState::EnteringStandby | LifecycleState::Standby | LifecycleState::Other(_)
                    if steps >= TROUBLES =>
                {
                    member.lifecycle = LifecycleState::InService;
                }
                LifecycleState::EnteringStandby | LifecycleState::Standby | LifecycleState::Other(_) => {}
                LifecycleState::TerminatingRetained => {}
                LifecycleState::Detaching => {
                    outside.extend(member.ours.clone().map(|ours| replica_of(member, ours)));
                    return false;
                }
                LifecycleState::Terminating | LifecycleState::Terminated | LifecycleState::Detached => return false,
            }
            true
        });
        group.replicas.extend(outside);
        for id in ended {
            self.happened(id, now, None, false);
        }
    }

    /// The group launches what is missing from its own template, and removes what is too much.
    fn numbers_are_kept(&mut self, now: Timestamp) {
        let counts = |member: &Member| match &member.lifecycle {
            LifecycleState::Pending | LifecycleState::InService | LifecycleState::Other(_) => true,
            LifecycleState::EnteringStandby | LifecycleState::Standby => false,
            _ => false,
        };
        loop {
            let steps = self.steps as usize;
            let group = self.group();
            let count = group.members.iter().filter(|member| counts(member)).count() as u32;
            if count < group.desired {
                let born = format!("i-2{:02}", self.launched);
                self.launched += 1;
                let member = newcomer(InstanceId::new(born), self.group(), now);
                self.group().members.push(member);
            } else if count > group.desired {
                let removable: Vec<InstanceId> = group
                    .members
                    .iter()
                    .filter(|member| counts(member) && !member.protected)
                    .map(|member| member.id.clone())
                    .collect();
                if removable.is_empty() {
                    return;
                }
                let id = removable[steps % removable.len()].clone();
                self.member(&id).lifecycle = LifecycleState::Terminating;
                self.happened(id, now, Some((count, count - 1)), false);
            } else {
                return;
            }
        }
    }

    fn launch(&mut self, launch: &Launch) {
        let now = self.picture.observation.now;
        let id = InstanceId::new(format!("i-3{:02}", self.launched));
        self.launched += 1;
        let replica = Replica {
            id,
            zone: launch.zone.clone(),
            instance_type: launch.pools.best().instance_type.clone(),
            purchase: launch.purchase,
            state: RunState::Pending,
            checks_ok: None,
            launched_at: now,
            was_member: false,
            interrupted: false,
            ours: Provenance::from_tags(&launch.tags).expect("born complete"),
        };
        self.group().replicas.push(replica);
    }

    fn leave(&mut self, id: &InstanceId, how: LifecycleState, now: Timestamp) {
        let desired = self.group().desired;
        assert!(desired > self.group().min_size, "decremented below MinSize");
        self.group().desired -= 1;
        self.member(id).lifecycle = how;
        self.happened(id.clone(), now, Some((desired, desired - 1)), true);
    }

    fn happened(&mut self, id: InstanceId, now: Timestamp, shrank: Option<(u32, u32)>, by_request: bool) {
        let activity = Activity { instance: Some(id), started_at: now, ended_at: None, shrank, by_request };
        self.details().activities.get_or_insert_default().insert(0, activity);
    }

    fn details(&mut self) -> &mut Details {
        self.group().details.as_mut().expect("a full look")
    }

    fn member(&mut self, id: &InstanceId) -> &mut Member {
        self.group().members.iter_mut().find(|member| member.id == *id).expect("a member")
    }

    fn ours(&mut self, id: &InstanceId) -> Option<&mut Provenance> {
        let group = self.group();
        let inside = group.members.iter_mut().filter(|member| member.id == *id).find_map(|member| member.ours.as_mut());
        inside.or(group.replicas.iter_mut().find(|replica| replica.id == *id).map(|replica| &mut replica.ours))
    }

    /// The troubles of the beginning are over.
    pub fn is_late(&self) -> bool {
        self.steps > TROUBLES
    }
}

fn facts(now: Timestamp) -> Ec2Facts {
    let mut facts = super::picture("group web\ni-1 on-demand").observation.group.members[0].ec2.clone().expect("seen");
    facts.launched_at = now;
    facts.image = ImageId::new("ami-1");
    facts
}

fn newcomer(id: InstanceId, group: &Group, now: Timestamp) -> Member {
    let mut member = super::picture("group web\ni-1 on-demand  Pending").observation.group.members.remove(0);
    member.id = id;
    if let Some(zone) = group.zones.first() {
        member.zone = zone.clone();
    }
    let ec2 = member.ec2.as_mut().expect("seen");
    ec2.launched_at = now;
    if let Some(subnet) = group.subnets.first() {
        ec2.subnet = subnet.clone();
    }
    member.protected = group.new_members_protected;
    member
}

fn member_of(replica: Replica, group: &Group) -> Member {
    let mut member = newcomer(replica.id, group, replica.launched_at);
    member.zone = replica.zone;
    member.instance_type = replica.instance_type;
    member.purchase = replica.purchase;
    member.ours = Some(replica.ours);
    member
}

fn replica_of(member: &Member, ours: Provenance) -> Replica {
    Replica {
        id: member.id.clone(),
        zone: member.zone.clone(),
        instance_type: member.instance_type.clone(),
        purchase: member.purchase,
        state: RunState::Running,
        checks_ok: Some(true),
        launched_at: member.launched_at().expect("seen"),
        was_member: false,
        interrupted: false,
        ours,
    }
}
