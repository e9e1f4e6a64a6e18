//! Auto Scaling and EC2 as AWS documents them, in memory and in virtual time.
//!
//! Written from AWS's user guide and API model, not from our planner: the two share nouns, never a decision. What AWS
//! does not document is a switch in [`Unknowns`].

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use engine::CloudError;
use planner::model::{
    GroupName, InstanceId, InstanceType, LifecycleState, PurchaseOption, RunState, SubnetId, Tags, Zone, tag,
};

use crate::bill::Bill;
use crate::market::Pools;
use crate::rng::Rng;

/// Milliseconds since 1970, virtual.
pub type Ms = i64;
/// One second.
pub const SECOND: Ms = 1_000;
/// One minute.
pub const MINUTE: Ms = 60 * SECOND;
/// AWS's own control loops look at the region this often.
const TICK: Ms = 5 * SECOND;
/// The tag that Auto Scaling keeps on its members.
pub const MEMBER_TAG: &str = "aws:autoscaling:groupName";

/// Answers to questions that AWS does not document. The promises have to hold with both answers to each, except where
/// `docs/safety.md` says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknowns {
    /// U-1: an attached instance is recorded under the template that it was launched from; else under none.
    pub attach_records_own_template: bool,
    /// U-3: a second terminate-with-decrement on a terminating member lowers desired again; else it is refused.
    pub second_terminate_decrements: bool,
    /// U-4: a skip-matching refresh keeps a replica whose type differs from the template's.
    pub refresh_keeps_replicas: bool,
    /// U-5: Capacity Rebalancing replaces attached spot instances of a group without a mixed policy.
    pub capacity_rebalancing_acts_on_attached: bool,
    /// U-7: replaying the token of a fleet whose instance has been terminated is an error; else the old list returns.
    pub replay_of_dead_fleet_fails: bool,
    /// U-10: attach and terminate fail while another activity of the group runs.
    pub busy_groups_refuse: bool,
    /// U-10: an attached instance serves after this long.
    pub attach_latency: Ms,
    /// U-11: AZRebalance reacts to an imbalance after this long.
    pub rebalance_reaction: Ms,
}

impl Default for Unknowns {
    /// The benign answers.
    fn default() -> Self {
        Self {
            attach_records_own_template: true,
            second_terminate_decrements: false,
            refresh_keeps_replicas: true,
            capacity_rebalancing_acts_on_attached: false,
            replay_of_dead_fleet_fails: true,
            busy_groups_refuse: false,
            attach_latency: 5 * SECOND,
            rebalance_reaction: 2 * MINUTE,
        }
    }
}

impl Unknowns {
    /// One open question at a time answered the other way, and how it is called on a command line: by its number in
    /// `docs/safety.md`.
    pub fn other_answers() -> [(&'static str, Self); 8] {
        let benign = Self::default();
        [
            ("U-1", Self { attach_records_own_template: false, ..benign }),
            ("U-3", Self { second_terminate_decrements: true, ..benign }),
            ("U-4", Self { refresh_keeps_replicas: false, ..benign }),
            ("U-5", Self { capacity_rebalancing_acts_on_attached: true, ..benign }),
            ("U-7", Self { replay_of_dead_fleet_fails: false, ..benign }),
            ("U-10", Self { busy_groups_refuse: true, ..benign }),
            ("U-10-slow", Self { attach_latency: 90 * SECOND, ..benign }),
            ("U-11-at-once", Self { rebalance_reaction: 0, ..benign }),
        ]
    }

    /// This question answered the other way; or which there are.
    pub fn answering(question: &str) -> Result<Self, String> {
        let answers = Self::other_answers();
        let found = answers.iter().find(|(name, _)| *name == question).map(|(_, unknowns)| *unknowns);
        found.ok_or_else(|| format!("one of {}", answers.map(|(name, _)| name).join(", ")))
    }
}

/// What an instance was launched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A launch template at a version.
    Template(String, u64),
    /// A launch configuration.
    Configuration(String),
    /// Auto Scaling recorded nothing.
    None,
}

/// An instance, as EC2 knows it.
#[derive(Clone, Debug)]
pub struct Ec2 {
    pub id: InstanceId,
    pub zone: Zone,
    pub subnet: SubnetId,
    pub instance_type: InstanceType,
    pub purchase: PurchaseOption,
    pub state: RunState,
    /// When the present transition of `state` is over.
    pub until: Ms,
    pub launched_at: Ms,
    pub tags: Tags,
    pub origin: Origin,
    pub checks_ok_at: Ms,
    /// The announced end of a spot instance.
    pub ends_at: Option<Ms>,
    /// A rebalance recommendation was sent.
    pub at_risk: bool,
    pub termination_protected: bool,
    /// Launched by a call of ours.
    pub ours: bool,
    /// The cap on its spot price that its launch asked for.
    pub cap: Option<u64>,
    /// When it began to shut down, and whether EC2 took it back.
    pub ended: Option<(Ms, bool)>,
}

/// Health of a load-balancer target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Registered; healthy from then on.
    Initial(Ms),
    /// Passes its checks.
    Healthy,
    /// Fails them.
    Unhealthy,
}

/// A member's place in its group.
#[derive(Clone, Debug)]
pub struct Seat {
    pub id: InstanceId,
    pub lifecycle: LifecycleState,
    /// When the present transition of `lifecycle` is over.
    pub until: Ms,
    pub healthy: bool,
    pub protected: bool,
    pub target: Option<Target>,
    pub recorded: Origin,
    pub joined_at: Ms,
    /// A termination hook with `TerminateHookAbandon=retain` was abandoned.
    pub retained: bool,
}

impl Seat {
    /// In a state that passes by itself, or waiting for its first checks behind a load balancer.
    fn is_on_its_way(&self) -> bool {
        self.lifecycle != LifecycleState::InService || matches!(self.target, Some(Target::Initial(_)))
    }

    /// Counts towards desired capacity.
    fn is_active(&self) -> bool {
        matches!(self.lifecycle, LifecycleState::Pending | LifecycleState::InService)
    }
}

/// What the group launches from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Launch template; the current version.
    Template(String, u64),
    /// Launch configuration.
    Configuration(String),
}

/// Termination policies; all of them look at the Availability Zones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminationPolicy {
    /// AWS's default.
    Default,
    /// The oldest instance.
    Oldest,
    /// The newest instance.
    Newest,
}

/// A scaling activity.
#[derive(Clone, Debug)]
pub struct Record {
    pub instance: InstanceId,
    pub started: Ms,
    pub ended: Option<Ms>,
    pub shrank: Option<(u32, u32)>,
    /// Somebody called the API.
    pub by_request: bool,
    /// We did. AWS does not tell; the oracle knows.
    pub ours: bool,
}

/// What EC2 tells about a spot instance, on its way to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When it arrives.
    pub due: Ms,
    pub id: InstanceId,
    pub about: About,
}

/// What it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The instance ends in two minutes.
    Interruption,
    /// Its end has become more likely.
    Rebalance,
}

/// A launch beyond desired that is followed by a termination.
#[derive(Clone, Debug)]
struct Exchange {
    new: InstanceId,
    /// Whom it replaces; `None`: somebody of the largest zone.
    old: Option<InstanceId>,
}

/// An Auto Scaling group.
#[derive(Clone, Debug)]
pub struct Asg {
    pub name: GroupName,
    pub min: u32,
    pub desired: u32,
    pub max: u32,
    pub zones: Vec<(Zone, SubnetId)>,
    pub tags: Tags,
    pub propagated: Tags,
    pub suspended: BTreeSet<String>,
    pub source: Source,
    pub instance_type: InstanceType,
    pub deleting: bool,
    pub capacity_rebalance: bool,
    pub new_members_protected: bool,
    pub grace_seconds: u32,
    pub load_balanced: bool,
    /// `HealthCheckType` includes ELB.
    pub elb_health: bool,
    /// A registered target becomes healthy after this long.
    pub target_latency: Ms,
    /// Deregistration delay of the load balancer.
    pub drain: Ms,
    /// A termination hook holds a leaving member this long.
    pub hook: Option<Ms>,
    /// Abandoned hooks retain the instance.
    pub retains: bool,
    pub launch_hook: bool,
    pub boot: Ms,
    pub policy: TerminationPolicy,
    pub seats: Vec<Seat>,
    pub activities: Vec<Record>,
    pub refresh: Option<Vec<InstanceId>>,
    pub scheduled: Vec<(Ms, u32)>,
    exchange: Option<Exchange>,
    unbalanced_since: Option<Ms>,
    launch_blocked_until: Ms,
    /// Number of the latest change of the group that was not ours.
    pub disturbed: u64,
}

/// How a group starts.
#[derive(Clone, Debug)]
pub struct GroupSpec {
    pub name: &'static str,
    pub members: u32,
    pub zones: usize,
    pub min: u32,
    pub max: u32,
    pub tags: Vec<(&'static str, String)>,
    pub propagated: Vec<(&'static str, String)>,
    pub launch_configuration: bool,
    pub load_balanced: bool,
    pub elb_health: bool,
    pub hook: Option<Ms>,
    pub policy: TerminationPolicy,
    pub capacity_rebalance: bool,
}

impl GroupSpec {
    /// A plain group with launch template in two zones, with room to spare.
    pub fn new(name: &'static str, members: u32) -> Self {
        Self {
            name,
            members,
            zones: 2,
            min: 0,
            max: members + 2,
            tags: Vec::new(),
            propagated: vec![("team", "web".to_owned())],
            launch_configuration: false,
            load_balanced: false,
            elb_health: false,
            hook: None,
            policy: TerminationPolicy::Default,
            capacity_rebalance: false,
        }
    }

    /// With one more tag.
    pub fn tag(mut self, key: &'static str, value: &str) -> Self {
        self.tags.push((key, value.to_owned()));
        self
    }
}

/// Everything that a read can see: groups and instances at one moment. Cheap to keep for stale reads.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub at: Ms,
    /// Number of the latest change that was not ours.
    pub seq: u64,
    pub groups: Rc<BTreeMap<GroupName, Rc<Asg>>>,
    pub instances: Rc<BTreeMap<InstanceId, Rc<Ec2>>>,
}

/// What a launch asks for, as the fleet API takes it.
pub struct FleetRequest<'a> {
    pub token: &'a str,
    pub fingerprint: String,
    pub purchase: PurchaseOption,
    pub zone: Zone,
    pub subnet: SubnetId,
    pub overrides: Vec<(InstanceType, Option<u64>)>,
    pub deepest_first: bool,
    pub tags: Tags,
    pub origin: Origin,
}

/// The region.
#[derive(Clone, Debug)]
pub struct Region {
    pub now: Ms,
    pub view: View,
    pub pools: Pools,
    pub unknowns: Unknowns,
    pub rng: Rng,
    /// Chance per tick, in ten thousand, that EC2 announces the end of a spot instance.
    pub interruption: u32,
    /// Chance that a launch of the group itself fails for lack of capacity.
    pub launch_failure: u32,
    /// Older states of the region, for stale reads.
    pub history: Vec<View>,
    pub keeps_history: bool,
    pub events: Vec<String>,
    pub traced: bool,
    /// Messages on their way to us.
    pub notices: Vec<Notice>,
    /// How long messages are under way, each entry one copy; `None`: drawn, since EC2 delivers at best effort.
    pub deliveries: Option<Vec<Ms>>,
    /// Scheduled actions that have set desired.
    pub fired: Vec<(GroupName, u32, u32)>,
    /// The bill, if anybody wants one.
    pub bill: Option<Bill>,
    tokens: BTreeMap<String, (String, InstanceId)>,
    derived_templates: BTreeMap<String, Ms>,
    next_id: u32,
    next_tick: Ms,
    next_seq: u64,
}

fn refused(text: impl Into<String>) -> CloudError {
    CloudError::Rejected(text.into())
}

fn missing(text: impl Into<String>) -> CloudError {
    CloudError::NotFound(text.into())
}

impl Region {
    /// An empty region.
    pub fn new(start: Ms, seed: u64, pools: Pools, unknowns: Unknowns) -> Self {
        Self {
            now: start,
            view: View { at: start, ..View::default() },
            pools,
            unknowns,
            rng: Rng::new(seed ^ 0x7265_6769_6f6e),
            interruption: 0,
            launch_failure: 0,
            history: Vec::new(),
            keeps_history: false,
            events: Vec::new(),
            traced: false,
            notices: Vec::new(),
            // From the event bus, and from the watcher on the instance.
            deliveries: Some(vec![2 * SECOND, 5 * SECOND]),
            fired: Vec::new(),
            bill: None,
            tokens: BTreeMap::new(),
            derived_templates: BTreeMap::new(),
            next_id: 0,
            next_tick: start + TICK,
            next_seq: 1,
        }
    }

    /// A settled group of on-demand members, a day old.
    pub fn create(&mut self, spec: &GroupSpec) {
        let zones: Vec<(Zone, SubnetId)> = ["a", "b", "c"]
            .iter()
            .take(spec.zones)
            .map(|letter| (Zone::new(format!("us-east-1{letter}")), SubnetId::new(format!("subnet-{letter}"))))
            .collect();
        let source = match spec.launch_configuration {
            true => Source::Configuration(format!("{}-lc", spec.name)),
            false => Source::Template(format!("lt-{}", spec.name), 1),
        };
        let own = |pairs: &[(&'static str, String)]| -> Tags {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
        };
        let propagated = own(&spec.propagated);
        let mut tags = own(&spec.tags);
        tags.extend(propagated.clone());
        let name = GroupName::new(spec.name);
        Rc::make_mut(&mut self.view.groups).insert(
            name.clone(),
            Rc::new(Asg {
                name: name.clone(),
                min: spec.min,
                desired: spec.members,
                max: spec.max,
                zones,
                tags,
                propagated,
                suspended: BTreeSet::new(),
                source,
                instance_type: InstanceType::new("m5.large"),
                deleting: false,
                capacity_rebalance: spec.capacity_rebalance,
                new_members_protected: false,
                grace_seconds: 0,
                load_balanced: spec.load_balanced,
                elb_health: spec.elb_health,
                target_latency: 20 * SECOND,
                drain: if spec.load_balanced { 30 * SECOND } else { 0 },
                hook: spec.hook,
                retains: false,
                launch_hook: false,
                boot: 30 * SECOND,
                policy: spec.policy,
                seats: Vec::new(),
                activities: Vec::new(),
                refresh: None,
                scheduled: Vec::new(),
                exchange: None,
                unbalanced_since: None,
                launch_blocked_until: 0,
                disturbed: 0,
            }),
        );
        for _ in 0..spec.members {
            let id = self.launch_into(&name);
            let day_old = self.now - 24 * 60 * MINUTE;
            let ec2 = self.ec2_mut(&id);
            ec2.state = RunState::Running;
            ec2.launched_at = day_old;
            ec2.checks_ok_at = day_old;
            let group = self.group_mut(&name);
            let balanced = group.load_balanced;
            if let Some(seat) = group.seats.iter_mut().find(|seat| seat.id == id) {
                seat.lifecycle = LifecycleState::InService;
                seat.joined_at = day_old;
                seat.target = balanced.then_some(Target::Healthy);
            }
            group.activities.clear();
        }
    }

    // ---- looking -------------------------------------------------------------------------------------------------

    /// A group that must exist.
    pub fn group(&self, name: &GroupName) -> Option<&Asg> {
        self.view.groups.get(name).map(Rc::as_ref)
    }

    /// A group to change. The caller has checked that it exists.
    pub fn group_mut(&mut self, name: &GroupName) -> &mut Asg {
        let groups = Rc::make_mut(&mut self.view.groups);
        Rc::make_mut(groups.get_mut(name).expect("a group that the caller has just seen"))
    }

    /// An instance.
    pub fn ec2(&self, id: &InstanceId) -> Option<&Ec2> {
        self.view.instances.get(id).map(Rc::as_ref)
    }

    /// An instance to change. The caller has checked that it exists.
    pub fn ec2_mut(&mut self, id: &InstanceId) -> &mut Ec2 {
        let instances = Rc::make_mut(&mut self.view.instances);
        Rc::make_mut(instances.get_mut(id).expect("an instance that the caller has just seen"))
    }

    /// The group that the instance is a member of.
    pub fn group_of(&self, id: &InstanceId) -> Option<GroupName> {
        self.view
            .groups
            .values()
            .find(|group| group.seats.iter().any(|seat| seat.id == *id))
            .map(|group| group.name.clone())
    }

    /// Whether the member does its work: in service, healthy for the group, running, healthy behind its load balancer.
    pub fn serves(&self, group: &Asg, seat: &Seat) -> bool {
        seat.lifecycle == LifecycleState::InService
            && seat.healthy
            && (!group.load_balanced || seat.target == Some(Target::Healthy))
            && self.ec2(&seat.id).is_some_and(|ec2| ec2.state == RunState::Running)
    }

    /// A line for the trace; `text` runs only if somebody listens.
    pub fn note(&mut self, text: impl FnOnce() -> String) {
        if self.traced {
            let line = text();
            self.events.push(line);
        }
    }

    /// The group changed, and not by a call of ours.
    pub fn disturb(&mut self, name: &GroupName) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.view.seq = seq;
        if self.view.groups.contains_key(name) {
            self.group_mut(name).disturbed = seq;
        }
    }

    // ---- the API: Auto Scaling -----------------------------------------------------------------------------------

    /// `AttachInstances` with one instance.
    /// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-detach-attach-instances.html>
    pub fn attach(&mut self, name: &GroupName, id: &InstanceId) -> Result<(), CloudError> {
        let now = self.now;
        let own_template = self.unknowns.attach_records_own_template;
        let latency = self.unknowns.attach_latency;
        let owner = self.group_of(id);
        let group = self.group(name).ok_or_else(|| missing(format!("AutoScalingGroup {name}")))?;
        if let Some(owner) = owner {
            return if owner == *name {
                Err(refused(format!("Instance {id} is already part of AutoScalingGroup:{name}")))
            } else {
                Err(refused(format!("Instance {id} is part of AutoScalingGroup:{owner}")))
            };
        }
        let ec2 = self.ec2(id).ok_or_else(|| refused(format!("Invalid Instance ID {id}")))?;
        if group.deleting {
            return Err(refused("the group is being deleted"));
        }
        if ec2.state != RunState::Running {
            return Err(refused(format!("Instance {id} is not in correct state")));
        }
        if group.suspended.contains("Launch") {
            return Err(refused("the Launch process is suspended"));
        }
        if !group.zones.iter().any(|(zone, _)| *zone == ec2.zone) {
            return Err(refused(format!("{} is not a zone of {name}", ec2.zone)));
        }
        if group.desired + 1 > group.max {
            return Err(refused(format!(
                "AutoScalingGroup {name} has min-size={}, max-size={}, and desired-size={}. To attach 1 instance, please update the AutoScalingGroup sizes appropriately.",
                group.min, group.max, group.desired
            )));
        }
        self.refuse_if_busy(group)?;
        let recorded = if own_template { ec2.origin.clone() } else { Origin::None };
        let target = (group.load_balanced && !group.suspended.contains("AddToLoadBalancer"))
            .then_some(Target::Initial(now + latency + group.target_latency));
        let propagated = group.propagated.clone();
        let group = self.group_mut(name);
        group.desired += 1;
        let protected = group.new_members_protected;
        group.seats.push(Seat {
            id: id.clone(),
            lifecycle: LifecycleState::Pending,
            until: now + latency,
            healthy: true,
            protected,
            target,
            recorded,
            joined_at: now,
            retained: false,
        });
        group.activities.push(Record {
            instance: id.clone(),
            started: now,
            ended: None,
            shrank: None,
            by_request: false,
            ours: false,
        });
        let ec2 = self.ec2_mut(id);
        ec2.tags.extend(propagated);
        ec2.tags.insert(MEMBER_TAG.to_owned(), name.as_str().to_owned());
        Ok(())
    }

    fn refuse_if_busy(&self, group: &Asg) -> Result<(), CloudError> {
        let busy = self.unknowns.busy_groups_refuse && group.activities.iter().any(|record| record.ended.is_none());
        if busy { Err(CloudError::Conflict("ScalingActivityInProgress".to_owned())) } else { Ok(()) }
    }

    /// `TerminateInstanceInAutoScalingGroup`.
    pub fn terminate_member(&mut self, id: &InstanceId, decrement: bool) -> Result<(), CloudError> {
        let name = self.group_of(id).ok_or_else(|| {
            missing(format!("Instance Id not found - No managed instance found for instance ID: {id}"))
        })?;
        let again = self.unknowns.second_terminate_decrements;
        let group = self.group(&name).expect("the group that was just found");
        let state = group.seats.iter().find(|seat| seat.id == *id).map(|seat| seat.lifecycle.clone());
        let leaving =
            !matches!(state, Some(LifecycleState::Pending | LifecycleState::InService | LifecycleState::Standby));
        // A retained instance is ended by a second call; it no longer counts towards desired.
        if state == Some(LifecycleState::TerminatingRetained) {
            let now = self.now;
            let seat = self.seat_mut(&name, id);
            seat.lifecycle = LifecycleState::Terminating;
            seat.retained = false;
            seat.until = now;
            return Ok(());
        }
        if leaving && !again {
            return Err(CloudError::Conflict(format!("ScalingActivityInProgress: {id} is already terminating")));
        }
        if !leaving {
            self.refuse_if_busy(group)?;
        }
        if decrement && group.desired <= group.min {
            return Err(refused(format!(
                "Currently, desiredSize equals minSize ({}). Terminating instance without replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.",
                group.min
            )));
        }
        let standby = state == Some(LifecycleState::Standby);
        // A standby instance does not count towards desired.
        let shrank = (decrement && !standby).then(|| (group.desired, group.desired - 1));
        if let Some((_, to)) = shrank {
            self.group_mut(&name).desired = to;
        }
        if leaving {
            return Ok(());
        }
        self.begin_termination(&name, id, shrank);
        if let Some(record) = self.group_mut(&name).activities.last_mut() {
            record.by_request = true;
        }
        Ok(())
    }

    /// `DetachInstances` with one instance.
    pub fn detach(&mut self, name: &GroupName, id: &InstanceId, decrement: bool) -> Result<(), CloudError> {
        let now = self.now;
        let group = self.group(name).ok_or_else(|| missing(format!("AutoScalingGroup {name}")))?;
        let Some(seat) = group.seats.iter().find(|seat| seat.id == *id) else {
            return Err(missing(format!("The instance {id} is not part of Auto Scaling group {name}")));
        };
        let standby = match seat.lifecycle {
            LifecycleState::InService => false,
            LifecycleState::Standby => true,
            _ => return Err(refused(format!("The instance {id} is not in InService or Standby"))),
        };
        if decrement && group.desired <= group.min {
            return Err(refused(format!("detaching would violate the min size {} of {name}", group.min)));
        }
        self.refuse_if_busy(group)?;
        let shrank = (decrement && !standby).then(|| (group.desired, group.desired - 1));
        let group = self.group_mut(name);
        if let Some((_, to)) = shrank {
            group.desired = to;
        }
        let until = now + group.drain;
        group.activities.push(Record {
            instance: id.clone(),
            started: now,
            ended: None,
            shrank,
            by_request: true,
            ours: false,
        });
        let seat = self.seat_mut(name, id);
        seat.lifecycle = LifecycleState::Detaching;
        seat.until = until;
        seat.protected = false;
        Ok(())
    }

    /// `UpdateAutoScalingGroup(MaxSize)`: "If you specify a new value for MaxSize without DesiredCapacity, and the new
    /// MaxSize is smaller than the current size of the group, this sets DesiredCapacity to the new MaxSize value".
    pub fn set_max(&mut self, name: &GroupName, max: u32) -> Result<(), CloudError> {
        let group = self.group(name).ok_or_else(|| missing(format!("AutoScalingGroup {name}")))?;
        if max < group.min {
            return Err(refused("Max bound must be greater than or equal to min bound"));
        }
        let group = self.group_mut(name);
        group.max = max;
        group.desired = group.desired.min(max);
        Ok(())
    }

    /// `UpdateAutoScalingGroup(MinSize)`: symmetric upwards.
    pub fn set_min(&mut self, name: &GroupName, min: u32) -> Result<(), CloudError> {
        let group = self.group(name).ok_or_else(|| missing(format!("AutoScalingGroup {name}")))?;
        if min > group.max {
            return Err(refused("Max bound must be greater than or equal to min bound"));
        }
        let group = self.group_mut(name);
        group.min = min;
        group.desired = group.desired.max(min);
        Ok(())
    }

    /// `SetDesiredCapacity`.
    pub fn set_desired(&mut self, name: &GroupName, desired: u32) -> Result<(), CloudError> {
        let group = self.group(name).ok_or_else(|| missing(format!("AutoScalingGroup {name}")))?;
        if desired > group.max {
            return Err(refused(format!("New SetDesiredCapacity value {desired} is above max value {}", group.max)));
        }
        if desired < group.min {
            return Err(refused(format!("New SetDesiredCapacity value {desired} is below min value {}", group.min)));
        }
        self.group_mut(name).desired = desired;
        Ok(())
    }

    /// `SuspendProcesses` and `ResumeProcesses` with one process.
    pub fn suspend(&mut self, name: &GroupName, process: &str, suspend: bool) -> Result<(), CloudError> {
        if self.group(name).is_none() {
            return Err(missing(format!("AutoScalingGroup {name}")));
        }
        let group = self.group_mut(name);
        if suspend {
            group.suspended.insert(process.to_owned());
        } else {
            group.suspended.remove(process);
        }
        Ok(())
    }

    /// `CreateOrUpdateTags` with one tag that does not propagate; `None` is `DeleteTags`.
    pub fn tag_group(&mut self, name: &GroupName, key: &str, value: Option<&str>) -> Result<(), CloudError> {
        if self.group(name).is_none() {
            return Err(missing(format!("AutoScalingGroup {name}")));
        }
        let group = self.group_mut(name);
        match value {
            Some(value) => group.tags.insert(key.to_owned(), value.to_owned()),
            None => {
                group.propagated.remove(key);
                group.tags.remove(key)
            }
        };
        Ok(())
    }

    /// `DeleteAutoScalingGroup` with force.
    pub fn delete_group(&mut self, name: &GroupName) {
        self.group_mut(name).deleting = true;
        self.disturb(name);
    }

    /// `EnterStandby` with decrement, by the owner. Its activity says so: "… was moved to standby in response to a user
    /// request, shrinking the capacity from 4 to 3".
    pub fn enter_standby(&mut self, name: &GroupName, id: &InstanceId) {
        let now = self.now;
        let Some(group) = self.group(name) else { return };
        let in_service = group.seats.iter().any(|seat| seat.id == *id && seat.lifecycle == LifecycleState::InService);
        if in_service && group.desired > group.min {
            let group = self.group_mut(name);
            group.desired -= 1;
            group.activities.push(Record {
                instance: id.clone(),
                started: now,
                ended: Some(now),
                shrank: Some((group.desired + 1, group.desired)),
                by_request: true,
                ours: false,
            });
            self.seat_mut(name, id).lifecycle = LifecycleState::Standby;
        }
    }

    /// `ExitStandby`: always increments desired.
    pub fn exit_standby(&mut self, name: &GroupName, id: &InstanceId) {
        let now = self.now;
        let Some(group) = self.group(name) else { return };
        let standby = group.seats.iter().any(|seat| seat.id == *id && seat.lifecycle == LifecycleState::Standby);
        if standby && group.desired < group.max {
            self.group_mut(name).desired += 1;
            let seat = self.seat_mut(name, id);
            seat.lifecycle = LifecycleState::Pending;
            seat.until = now + 5 * SECOND;
        }
    }

    // ---- the API: EC2 --------------------------------------------------------------------------------------------

    /// `CreateLaunchTemplate` for a launch configuration, under a name that follows from it: existing is as good as made.
    pub fn derive_template(&mut self, name: String) {
        let now = self.now;
        self.derived_templates.entry(name).or_insert(now);
    }

    /// Templates that we made, and when.
    pub fn derived_templates(&self) -> impl Iterator<Item = (&String, Ms)> {
        self.derived_templates.iter().map(|(name, at)| (name, *at))
    }

    /// `DeleteLaunchTemplate`. Instances that were launched from it run on.
    pub fn delete_template(&mut self, name: &str) {
        self.derived_templates.remove(name);
    }

    /// `CreateFleet` of type `instant` with a target capacity of one.
    pub fn create_fleet(&mut self, request: FleetRequest<'_>) -> Result<InstanceId, CloudError> {
        if let Some((fingerprint, id)) = self.tokens.get(request.token) {
            if *fingerprint != request.fingerprint {
                return Err(CloudError::Conflict("IdempotentParameterMismatch".to_owned()));
            }
            let alive = self.ec2(id).is_some_and(|ec2| ec2.state.is_alive());
            if !alive && self.unknowns.replay_of_dead_fleet_fails {
                return Err(CloudError::Conflict("IdempotentInstanceTerminated".to_owned()));
            }
            return Ok(id.clone());
        }
        let instance_type = self.pools.take(&request)?;
        let cap = request.overrides.iter().find(|(name, _)| *name == instance_type).and_then(|(_, cap)| *cap);
        let id = self.new_id();
        let boot = self.rng.between(10, 40) * SECOND;
        self.tokens.insert(request.token.to_owned(), (request.fingerprint, id.clone()));
        Rc::make_mut(&mut self.view.instances).insert(
            id.clone(),
            Rc::new(Ec2 {
                id: id.clone(),
                zone: request.zone,
                subnet: request.subnet,
                instance_type,
                purchase: request.purchase,
                state: RunState::Pending,
                until: self.now + boot,
                launched_at: self.now,
                tags: request.tags,
                origin: request.origin,
                checks_ok_at: self.now + boot + 30 * SECOND,
                ends_at: None,
                at_risk: false,
                termination_protected: false,
                ours: true,
                cap,
                ended: None,
            }),
        );
        Ok(id)
    }

    /// `CreateTags` (`Some`) or `DeleteTags` (`None`) on one instance.
    pub fn tag_instance(&mut self, id: &InstanceId, tags: &[(&str, Option<String>)]) -> Result<(), CloudError> {
        if self.ec2(id).is_none() {
            return Err(missing(format!("InvalidInstanceID.NotFound: {id}")));
        }
        let ec2 = self.ec2_mut(id);
        for (key, value) in tags {
            match value {
                Some(value) => ec2.tags.insert((*key).to_owned(), value.clone()),
                None => ec2.tags.remove(*key),
            };
        }
        Ok(())
    }

    /// `TerminateInstances`, by anybody. Terminating a terminated instance succeeds.
    pub fn terminate_instance(&mut self, id: &InstanceId) -> Result<(), CloudError> {
        let now = self.now;
        let Some(ec2) = self.ec2(id) else {
            return Err(missing(format!("InvalidInstanceID.NotFound: {id}")));
        };
        if ec2.state.is_alive() {
            let ec2 = self.ec2_mut(id);
            ec2.state = RunState::ShuttingDown;
            ec2.until = now + 10 * SECOND;
            ec2.ended = Some((now, false));
        }
        Ok(())
    }

    // ---- AWS's own loops -----------------------------------------------------------------------------------------

    /// Lets virtual time pass.
    pub fn advance(&mut self, by: Ms) {
        let end = self.now + by;
        while self.next_tick <= end {
            self.meter(self.next_tick);
            self.now = self.next_tick;
            self.next_tick += TICK;
            if self.keeps_history {
                self.remember();
            }
            self.tick();
        }
        self.meter(end);
        self.now = end;
        self.view.at = end;
    }

    /// Whatever runs costs until then what it costs now.
    fn meter(&mut self, until: Ms) {
        if let Some(bill) = &mut self.bill {
            bill.run(&self.view, &self.pools, until - self.now);
        }
    }

    /// Keeps the present state for stale reads: at most the last four ticks.
    fn remember(&mut self) {
        const KEPT: usize = 4;
        self.view.at = self.now;
        if self.history.len() >= KEPT {
            self.history.remove(0);
        }
        self.history.push(self.view.clone());
    }

    fn tick(&mut self) {
        self.machines();
        let groups = Rc::clone(&self.view.groups);
        for (name, group) in groups.iter() {
            self.scheduled_actions(name, group);
            if group.seats.iter().any(Seat::is_on_its_way) {
                self.transitions(name);
            }
            self.health(name);
            self.refresh(name);
            self.exchange(name);
            self.capacity(name);
        }
        let gone: Vec<GroupName> = self
            .view
            .groups
            .values()
            .filter(|group| group.deleting && group.seats.is_empty())
            .map(|group| group.name.clone())
            .collect();
        for name in gone {
            Rc::make_mut(&mut self.view.groups).remove(&name);
        }
    }

    /// EC2: boots, notices, ends.
    fn machines(&mut self) {
        /// Terminated instances stay visible for about an hour.
        const VISIBLE: Ms = 60 * MINUTE;
        let now = self.now;
        let due: Vec<InstanceId> = self
            .view
            .instances
            .values()
            .filter(|ec2| {
                let transition = match ec2.state {
                    RunState::Pending | RunState::ShuttingDown => ec2.until <= now,
                    RunState::Terminated => ec2.until + VISIBLE <= now,
                    RunState::Running | RunState::Stopping | RunState::Stopped => false,
                };
                transition
                    || (ec2.state == RunState::Running
                        && ec2.purchase == PurchaseOption::Spot
                        && (self.interruption > 0 || ec2.ends_at.is_some()))
            })
            .map(|ec2| ec2.id.clone())
            .collect();
        for id in due {
            let ec2 = self.ec2(&id).expect("just listed").clone();
            match ec2.state {
                RunState::Pending => self.ec2_mut(&id).state = RunState::Running,
                RunState::ShuttingDown => {
                    let ec2 = self.ec2_mut(&id);
                    ec2.state = RunState::Terminated;
                    ec2.until = now;
                }
                RunState::Terminated => {
                    if self.group_of(&id).is_none() {
                        Rc::make_mut(&mut self.view.instances).remove(&id);
                    }
                }
                RunState::Running => match ec2.ends_at {
                    Some(end) if end <= now => self.stop_serving(&id),
                    Some(_) => {}
                    None => {
                        if self.rng.chance(self.interruption) {
                            self.interrupt(&id);
                        }
                    }
                },
                RunState::Stopping | RunState::Stopped => {}
            }
        }
    }

    /// EC2 announces the end of a spot instance: two minutes from now.
    pub fn interrupt(&mut self, id: &InstanceId) {
        let end = self.now + 2 * MINUTE;
        self.note(|| format!("EC2 announces the end of {id} in two minutes"));
        self.ec2_mut(id).ends_at = Some(end);
        self.tell(id, About::Interruption);
    }

    /// EC2 sees a higher risk for a spot instance.
    pub fn recommend(&mut self, id: &InstanceId) {
        self.note(|| format!("EC2 recommends to replace {id}"));
        self.ec2_mut(id).at_risk = true;
        self.tell(id, About::Rebalance);
    }

    fn tell(&mut self, id: &InstanceId, about: About) {
        let delays = self.deliveries.clone().unwrap_or_else(|| self.draw_deliveries());
        let now = self.now;
        self.notices.extend(delays.into_iter().map(|delay| Notice { due: now + delay, id: id.clone(), about }));
        self.notices.sort_by_key(|notice| notice.due);
    }

    /// Two channels, each of which may lose a message, be late, or deliver it twice.
    fn draw_deliveries(&mut self) -> Vec<Ms> {
        let mut delays = Vec::new();
        for _channel in 0..2 {
            let soon = self.rng.between(1, 10) * SECOND;
            match self.rng.below(10) {
                0 | 1 => {}
                2 => delays.push(self.rng.between(20, 180) * SECOND),
                3 => delays.extend([soon, soon + self.rng.between(0, 60) * SECOND]),
                _ => delays.push(soon),
            }
        }
        delays
    }

    /// The messages that have arrived by now.
    pub fn arrived(&mut self) -> Vec<Notice> {
        let count = self.notices.iter().take_while(|notice| notice.due <= self.now).count();
        self.notices.drain(..count).collect()
    }

    /// The machine is gone at once, whoever did it.
    pub fn stop_serving(&mut self, id: &InstanceId) {
        let now = self.now;
        let owner = self.group_of(id);
        self.note(|| format!("{id} is ended from outside"));
        let ec2 = self.ec2_mut(id);
        ec2.ended = ec2.ended.or(Some((now, ec2.ends_at.is_some_and(|end| end <= now))));
        ec2.state = RunState::ShuttingDown;
        ec2.until = now + 10 * SECOND;
        if let Some(name) = owner {
            self.disturb(&name);
        }
    }

    fn seat_mut(&mut self, name: &GroupName, id: &InstanceId) -> &mut Seat {
        self.group_mut(name).seats.iter_mut().find(|seat| seat.id == *id).expect("a seat that the caller has just seen")
    }

    /// Members that come and go.
    fn transitions(&mut self, name: &GroupName) {
        let now = self.now;
        let group = Rc::clone(&self.view.groups[name]);
        for seat in &group.seats {
            let state = self.ec2(&seat.id).map(|ec2| ec2.state);
            let running = state == Some(RunState::Running);
            let gone = state.is_none_or(|state| state == RunState::Terminated);
            match &seat.lifecycle {
                LifecycleState::Pending if running && seat.until <= now => {
                    self.seat_mut(name, &seat.id).lifecycle = LifecycleState::InService;
                    self.end_activity(name, &seat.id);
                }
                LifecycleState::Terminating if seat.until <= now => {
                    if gone {
                        self.group_mut(name).seats.retain(|other| other.id != seat.id);
                        self.end_activity(name, &seat.id);
                    } else if seat.retained {
                        self.seat_mut(name, &seat.id).lifecycle = LifecycleState::TerminatingRetained;
                        self.end_activity(name, &seat.id);
                    } else {
                        // Hooks and draining are over: now the machine itself ends.
                        let _ = self.terminate_instance(&seat.id);
                    }
                }
                LifecycleState::Detaching if seat.until <= now => {
                    self.group_mut(name).seats.retain(|other| other.id != seat.id);
                    self.end_activity(name, &seat.id);
                    if self.ec2(&seat.id).is_some() {
                        // "Detach removes only aws:autoscaling:groupName" (user guide, tagging).
                        self.ec2_mut(&seat.id).tags.remove(MEMBER_TAG);
                    }
                }
                LifecycleState::TerminatingRetained if gone => {
                    self.group_mut(name).seats.retain(|other| other.id != seat.id);
                }
                _ => {}
            }
            if let Some(Target::Initial(at)) = seat.target
                && at <= now
                && running
                && self.group(name).is_some_and(|group| group.seats.iter().any(|other| other.id == seat.id))
            {
                self.seat_mut(name, &seat.id).target = Some(Target::Healthy);
            }
        }
    }

    fn end_activity(&mut self, name: &GroupName, id: &InstanceId) {
        let now = self.now;
        for record in &mut self.group_mut(name).activities {
            if record.instance == *id && record.ended.is_none() {
                record.ended = Some(now);
            }
        }
    }

    /// HealthCheck and ReplaceUnhealthy: "Not running" is immediate, everything else one member at a time.
    fn health(&mut self, name: &GroupName) {
        let now = self.now;
        let group = Rc::clone(&self.view.groups[name]);
        if !group.suspended.contains("HealthCheck") {
            for seat in group.seats.iter().filter(|seat| seat.lifecycle == LifecycleState::InService && seat.healthy) {
                let running =
                    self.ec2(&seat.id).is_some_and(|ec2| matches!(ec2.state, RunState::Running | RunState::Pending));
                let in_grace = now < seat.joined_at + Ms::from(group.grace_seconds) * SECOND;
                let fails = group.elb_health && seat.target == Some(Target::Unhealthy) && !in_grace;
                if !running || fails {
                    self.seat_mut(name, &seat.id).healthy = false;
                    self.disturb(name);
                }
            }
        }
        if group.suspended.contains("ReplaceUnhealthy") || group.suspended.contains("Terminate") {
            return;
        }
        let group = Rc::clone(&self.view.groups[name]);
        let mut one_at_a_time = group.seats.iter().any(|seat| seat.lifecycle == LifecycleState::Pending);
        for seat in group.seats.iter().filter(|seat| seat.is_active()) {
            let running =
                self.ec2(&seat.id).is_some_and(|ec2| matches!(ec2.state, RunState::Running | RunState::Pending));
            if running && (seat.healthy || one_at_a_time) {
                continue;
            }
            one_at_a_time |= running;
            self.note(|| format!("{name} replaces the unhealthy {}", seat.id));
            self.begin_termination(name, &seat.id, None);
            self.disturb(name);
        }
    }

    /// An instance refresh replaces one member after the other.
    fn refresh(&mut self, name: &GroupName) {
        let group = Rc::clone(&self.view.groups[name]);
        let Some(queue) = &group.refresh else { return };
        let settled = group.seats.iter().all(|seat| seat.lifecycle == LifecycleState::InService)
            && group.seats.len() as u32 == group.desired;
        if !settled || group.suspended.contains("Launch") || group.suspended.contains("Terminate") {
            return;
        }
        let mut queue = queue.clone();
        let next = loop {
            match queue.pop() {
                None => break None,
                Some(id) if group.seats.iter().any(|seat| seat.id == id) => break Some(id),
                Some(_) => {}
            }
        };
        match next {
            None => {
                self.note(|| format!("instance refresh of {name} is over"));
                self.group_mut(name).refresh = None;
            }
            Some(id) => {
                self.note(|| format!("instance refresh of {name} replaces {id}"));
                self.group_mut(name).refresh = Some(queue);
                self.begin_termination(name, &id, None);
                self.disturb(name);
            }
        }
    }

    /// `StartInstanceRefresh` with skip matching.
    pub fn start_refresh(&mut self, name: &GroupName) {
        let keeps = self.unknowns.refresh_keeps_replicas;
        let Some(group) = self.group(name) else { return };
        if group.refresh.is_some() || group.deleting {
            return;
        }
        let matches = |seat: &Seat| {
            let current = match &group.source {
                Source::Template(id, version) => seat.recorded == Origin::Template(id.clone(), *version),
                Source::Configuration(name) => seat.recorded == Origin::Configuration(name.clone()),
            };
            let same_type = self.ec2(&seat.id).is_some_and(|ec2| ec2.instance_type == group.instance_type);
            current && (same_type || keeps)
        };
        let queue = group.seats.iter().filter(|seat| !matches(seat)).map(|seat| seat.id.clone()).collect();
        self.group_mut(name).refresh = Some(queue);
    }

    /// AZRebalance and Capacity Rebalancing: launch first, then terminate; the group may exceed MaxSize by ten percent
    /// or by one instance meanwhile.
    fn exchange(&mut self, name: &GroupName) {
        let now = self.now;
        let group = Rc::clone(&self.view.groups[name]);
        if group.deleting {
            return;
        }
        if let Some(exchange) = &group.exchange {
            let seat = group.seats.iter().find(|seat| seat.id == exchange.new);
            match seat.map(|seat| (&seat.lifecycle, seat)) {
                Some((LifecycleState::Pending, _)) => {}
                Some((LifecycleState::InService, seat)) if self.serves(&group, seat) => {
                    self.group_mut(name).exchange = None;
                    let old = match &exchange.old {
                        Some(old) => group
                            .seats
                            .iter()
                            .find(|seat| seat.id == *old && seat.is_active())
                            .map(|seat| seat.id.clone()),
                        None => self.scale_in_choice(&group, Some(&exchange.new)),
                    };
                    if let Some(old) = old
                        && !group.suspended.contains("Terminate")
                        && group.seats.iter().filter(|seat| seat.is_active()).count() as u32 > group.desired
                    {
                        self.note(|| format!("{name} rebalances: {old} leaves"));
                        self.begin_termination(name, &old, None);
                        self.disturb(name);
                    }
                }
                Some((LifecycleState::InService, _)) => {}
                _ => self.group_mut(name).exchange = None,
            }
            return;
        }
        let active = group.seats.iter().filter(|seat| seat.is_active()).count() as u32;
        let room = group.max + (group.max / 10).max(1);
        if group.suspended.contains("Launch") || active != group.desired || active + 1 > room {
            return;
        }
        if group.capacity_rebalance && self.unknowns.capacity_rebalancing_acts_on_attached {
            let risky = group
                .seats
                .iter()
                .find(|seat| {
                    seat.lifecycle == LifecycleState::InService
                        && self.ec2(&seat.id).is_some_and(|ec2| {
                            ec2.purchase == PurchaseOption::Spot && (ec2.at_risk || ec2.ends_at.is_some())
                        })
                })
                .map(|seat| seat.id.clone());
            if let Some(old) = risky {
                let new = self.launch_into(name);
                self.note(|| format!("Capacity Rebalancing of {name}: {new} is to replace {old}"));
                self.group_mut(name).exchange = Some(Exchange { new, old: Some(old) });
                self.disturb(name);
                return;
            }
        }
        if group.suspended.contains("AZRebalance") || group.suspended.contains("Terminate") {
            self.set_unbalanced(name, None);
            return;
        }
        let active = group.seats.iter().filter(|seat| seat.is_active());
        let placed: Vec<(&Seat, &Zone)> = active.filter_map(|seat| Some((seat, &self.ec2(&seat.id)?.zone))).collect();
        let in_zone = |zone: &Zone| placed.iter().filter(|(_, of)| *of == zone).count();
        let least = group.zones.iter().map(|(zone, _)| in_zone(zone)).min().unwrap_or(0);
        // Nothing to gain where everybody in the larger zones is protected.
        let uneven = group.zones.iter().any(|(zone, _)| {
            in_zone(zone) >= least + 2 && placed.iter().any(|(seat, of)| *of == zone && !seat.protected)
        });
        match (uneven, group.unbalanced_since) {
            (false, None) => {}
            (false, Some(_)) => self.set_unbalanced(name, None),
            (true, None) => self.set_unbalanced(name, Some(now)),
            (true, Some(since)) if now - since >= self.unknowns.rebalance_reaction => {
                let new = self.launch_into(name);
                self.note(|| format!("AZRebalance of {name}: {new} starts in the smaller zone"));
                let group = self.group_mut(name);
                group.exchange = Some(Exchange { new, old: None });
                group.unbalanced_since = None;
                self.disturb(name);
            }
            (true, Some(_)) => {}
        }
    }

    fn set_unbalanced(&mut self, name: &GroupName, since: Option<Ms>) {
        if self.view.groups[name].unbalanced_since != since {
            self.group_mut(name).unbalanced_since = since;
        }
    }

    fn active_in(&self, group: &Asg, zone: &Zone) -> usize {
        group
            .seats
            .iter()
            .filter(|seat| seat.is_active() && self.ec2(&seat.id).is_some_and(|ec2| ec2.zone == *zone))
            .count()
    }

    fn scheduled_actions(&mut self, name: &GroupName, group: &Asg) {
        let now = self.now;
        if !group.scheduled.iter().any(|(at, _)| *at <= now) {
            return;
        }
        for (_, desired) in group.scheduled.iter().filter(|(at, _)| *at <= now) {
            let desired = (*desired).clamp(group.min, group.max);
            self.note(|| format!("scheduled action of {name}: desired {desired}"));
            let from = std::mem::replace(&mut self.group_mut(name).desired, desired);
            self.fired.push((name.clone(), from, desired));
        }
        self.group_mut(name).scheduled.retain(|(at, _)| *at > now);
        self.disturb(name);
    }

    /// Launch and Terminate: as many active members as desired.
    fn capacity(&mut self, name: &GroupName) {
        loop {
            let group = Rc::clone(&self.view.groups[name]);
            let active = group.seats.iter().filter(|seat| seat.is_active()).count() as u32;
            let wanted = if group.deleting { 0 } else { group.desired + u32::from(group.exchange.is_some()) };
            if active < wanted && !group.suspended.contains("Launch") {
                if group.launch_blocked_until > self.now {
                    return;
                }
                if self.rng.chance(self.launch_failure) {
                    self.note(|| format!("{name} finds no on-demand capacity"));
                    self.group_mut(name).launch_blocked_until = self.now + 30 * SECOND;
                    return;
                }
                let id = self.launch_into(name);
                self.note(|| format!("{name} launches {id}"));
            } else if active > wanted && !group.suspended.contains("Terminate") {
                let Some(id) = self.scale_in_choice(&group, None) else { return };
                self.note(|| format!("{name} scales in: {id} leaves"));
                // "… in response to a difference between desired and actual capacity, shrinking the capacity from 5 to 4"
                self.begin_termination(name, &id, Some((active, active - 1)));
                self.disturb(name);
            } else {
                return;
            }
        }
    }

    /// Who leaves in a scale-in.
    /// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html>
    fn scale_in_choice(&mut self, group: &Asg, keep: Option<&InstanceId>) -> Option<InstanceId> {
        let candidates: Vec<&Seat> =
            group.seats.iter().filter(|seat| seat.is_active() && !seat.protected && keep != Some(&seat.id)).collect();
        // Balance first: "determine which Availability Zone has the most instances, and at least one instance that is
        // not protected from scale in".
        let zone_of = |seat: &Seat| self.ec2(&seat.id).map(|ec2| ec2.zone.clone());
        let largest =
            candidates.iter().filter_map(|seat| zone_of(seat)).map(|zone| self.active_in(group, &zone)).max()?;
        let in_largest: Vec<&Seat> = candidates
            .into_iter()
            .filter(|seat| zone_of(seat).is_some_and(|zone| self.active_in(group, &zone) == largest))
            .collect();
        let launched = |seat: &Seat| self.ec2(&seat.id).map_or(0, |ec2| ec2.launched_at);
        let now = self.now;
        let ranked: Vec<(i64, i64, &Seat)> = in_largest
            .into_iter()
            .map(|seat| match group.policy {
                TerminationPolicy::Oldest => (launched(seat), 0, seat),
                TerminationPolicy::Newest => (-launched(seat), 0, seat),
                TerminationPolicy::Default => {
                    // Launch configuration, then another template, then the oldest version, then the billing hour.
                    let config = match (&seat.recorded, &group.source) {
                        (Origin::Configuration(_), Source::Template(..)) => -3,
                        (Origin::Template(id, _), Source::Template(current, _)) if id != current => -2,
                        (Origin::None, _) => -2,
                        (Origin::Template(_, version), Source::Template(..)) => *version as i64,
                        (Origin::Template(..), Source::Configuration(_)) => -2,
                        (Origin::Configuration(_), Source::Configuration(_)) => 0,
                    };
                    let hour = 60 * MINUTE;
                    (config, hour - (now - launched(seat)).rem_euclid(hour), seat)
                }
            })
            .collect();
        let best = ranked.iter().map(|(first, second, _)| (*first, *second)).min()?;
        let ties: Vec<InstanceId> = ranked
            .iter()
            .filter(|(first, second, _)| (*first, *second) == best)
            .map(|(_, _, seat)| seat.id.clone())
            .collect();
        self.rng.pick(&ties).cloned()
    }

    fn begin_termination(&mut self, name: &GroupName, id: &InstanceId, shrank: Option<(u32, u32)>) {
        let now = self.now;
        let running = self.ec2(id).is_some_and(|ec2| ec2.state == RunState::Running);
        let group = self.group_mut(name);
        // Draining and hooks only make sense for a machine that still runs.
        let held = if running { group.drain + group.hook.unwrap_or(0) } else { 0 };
        let retained = running && group.retains && group.hook.is_some();
        group.activities.push(Record {
            instance: id.clone(),
            started: now,
            ended: None,
            shrank,
            by_request: false,
            ours: false,
        });
        const KEPT: usize = 20;
        if group.activities.len() > KEPT {
            group.activities.remove(0);
        }
        let seat = self.seat_mut(name, id);
        seat.lifecycle = LifecycleState::Terminating;
        seat.until = now + held;
        seat.retained = retained;
        seat.target = None;
    }

    /// The group's own launch: on-demand, from its template, in its smallest zone.
    fn launch_into(&mut self, name: &GroupName) -> InstanceId {
        let id = self.new_id();
        let now = self.now;
        let group = Rc::clone(&self.view.groups[name]);
        let (zone, subnet) = group
            .zones
            .iter()
            .min_by_key(|(zone, _)| self.active_in(&group, zone))
            .cloned()
            .expect("a group has at least one zone");
        let origin = match &group.source {
            Source::Template(id, version) => Origin::Template(id.clone(), *version),
            Source::Configuration(name) => Origin::Configuration(name.clone()),
        };
        let mut tags = group.propagated.clone();
        tags.insert(MEMBER_TAG.to_owned(), name.as_str().to_owned());
        Rc::make_mut(&mut self.view.instances).insert(
            id.clone(),
            Rc::new(Ec2 {
                id: id.clone(),
                zone,
                subnet,
                instance_type: group.instance_type.clone(),
                purchase: PurchaseOption::OnDemand,
                state: RunState::Pending,
                until: now + group.boot,
                launched_at: now,
                tags,
                origin: origin.clone(),
                checks_ok_at: now + group.boot + 30 * SECOND,
                ends_at: None,
                at_risk: false,
                termination_protected: false,
                ours: false,
                cap: None,
                ended: None,
            }),
        );
        let ready = now + group.boot + 5 * SECOND;
        let group = self.group_mut(name);
        let target = group.load_balanced.then_some(Target::Initial(ready + group.target_latency));
        let protected = group.new_members_protected;
        group.seats.push(Seat {
            id: id.clone(),
            lifecycle: LifecycleState::Pending,
            until: ready,
            healthy: true,
            protected,
            target,
            recorded: origin,
            joined_at: now,
            retained: false,
        });
        group.activities.push(Record {
            instance: id.clone(),
            started: now,
            ended: None,
            shrank: None,
            by_request: false,
            ours: false,
        });
        id
    }

    fn new_id(&mut self) -> InstanceId {
        self.next_id += 1;
        InstanceId::new(format!("i-{}", self.next_id))
    }

    /// The latest activity about a member was caused by us.
    pub fn sign_last_activity(&mut self, name: &GroupName, id: &InstanceId) {
        if let Some(record) = self.group_mut(name).activities.iter_mut().rev().find(|record| record.instance == *id) {
            record.ours = true;
        }
    }

    /// The journal tag of a group, if it has one.
    pub fn journal_text(&self, name: &GroupName) -> Option<String> {
        self.group(name)?.tags.get(tag::SWAP).cloned()
    }
}
