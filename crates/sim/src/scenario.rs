//! The table of scenarios, and the scenario that a seed draws.

use planner::model::{InstanceId, LifecycleState, PurchaseOption, RunState, tag};

use crate::region::{GroupSpec, MINUTE, Region, SECOND, TerminationPolicy, Unknowns};
use crate::rng::Rng;
use crate::weather::{self, Kind};
use crate::world::{Api, Watchers, World};

/// When a scripted deed is done: right after the first pass that leaves the region so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// A replica is outside the group.
    Outside,
    /// The group carries a journal, the replica is still outside.
    Armed,
    /// The replica is a member, its swap not over.
    Attached,
    /// The replica serves, its victim is still there.
    Serving,
    /// The victim of an unfinished swap is leaving.
    Leaving,
    /// Nothing of ours is in flight, and one swap is over.
    Swapped,
    /// Nothing of ours is in flight, and every member is spot.
    AllSwapped,
    /// Nothing of ours is in flight, and fewer members than desired serve.
    Short,
    /// Nothing of ours is in flight.
    Idle,
}

/// What is done then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// As the weather would.
    Foreign(Kind),
    /// Somebody terminates the victim in EC2.
    KillVictim,
    /// Somebody terminates the victim through the group, keeping desired.
    TerminateVictim,
    /// The owner protects the victim.
    ProtectVictim,
    /// EC2 announces the end of the replica.
    InterruptReplica,
    /// EC2 announces the end of every spot instance.
    InterruptAll,
    /// EC2 announces the end of a spot member whose swap is over.
    InterruptMember,
    /// The same, and only half a minute is left of the two minutes.
    InterruptLate,
    /// The same, and no spot pool has capacity any more.
    InterruptAndDrain,
    /// The same, and on-demand capacity is short, too, until the weather calms.
    InterruptAndDrainAll,
    /// A member that no swap in flight names dies at once.
    KillOther,
    /// EC2 recommends to replace a spot member whose swap is over.
    RecommendMember,
    /// Nothing: the script waits for the state.
    Nothing,
    /// The replica's machine dies at once.
    KillReplica,
    /// Somebody detaches the replica with a decrement.
    DetachReplica,
    /// The group scales in until one member is left.
    ScaleInToOne,
    /// The owner deletes the group.
    DeleteGroup,
    /// The owner raises the floor to everything.
    FloorEverything,
    /// The owner lowers MaxSize to desired as he knows it.
    LowerMax,
    /// The owner publishes another template version and refreshes the group to it.
    Upgrade,
}

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// The group.
    pub group: fn() -> GroupSpec,
    /// What is special about its region.
    pub setup: fn(&mut World),
    /// Deeds by state.
    pub deeds: &'static [(When, Deed)],
    /// Deeds right before the n-th call of a kind: inside a pass.
    pub ambushes: &'static [(Api, u32, Kind)],
}

const PLAIN: Scenario = Scenario { name: "", about: "", group: roomy, setup: nothing, deeds: &[], ambushes: &[] };

fn nothing(_: &mut World) {}

/// Settings that keep virtual time short.
fn quick(spec: GroupSpec) -> GroupSpec {
    spec.tag("spot-enabled", "true")
        .tag("spotward:min-age", "60s")
        .tag("spotward:quiet", "20s")
        .tag("spotward:retry-window", "6m")
        .tag("spotward:swaps-per-hour", "60")
        .tag("spotward:payback", "ignore")
        .tag("spotward:pool-loss", "100%")
}

fn roomy() -> GroupSpec {
    quick(GroupSpec::new("web", 2))
}

fn full() -> GroupSpec {
    GroupSpec { max: 2, ..roomy() }
}

fn balanced() -> GroupSpec {
    GroupSpec { load_balanced: true, elb_health: true, ..roomy() }
}

fn floored() -> GroupSpec {
    quick(GroupSpec::new("web", 3)).tag("spotward:min-on-demand", "1")
}

/// Victims leave by detach: the enabling tag has to be on the instances, too, for the role to mark them.
fn detaching(mut spec: GroupSpec) -> GroupSpec {
    spec.propagated.push(("spot-enabled", "true".to_owned()));
    spec.tag("spotward:removal", "detach")
}

/// Replicas join when the watcher on them has said `ready`.
fn watched() -> GroupSpec {
    full().tag("spotward:readiness", "watcher").tag("spotward:boot-deadline", "10m")
}

fn hook_launches(world: &mut World) {
    let name = world.enabled_group.clone();
    world.region.group_mut(&name).launch_hook = true;
}

/// Every scenario by name.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "room-to-spare", about: "two members, MaxSize above desired", ..PLAIN },
    Scenario { name: "full", about: "desired = MaxSize: room is made and given back", group: full, ..PLAIN },
    Scenario {
        name: "singleton",
        about: "min = desired = max = 1",
        group: || GroupSpec { min: 1, max: 1, ..quick(GroupSpec::new("web", 1)) },
        ..PLAIN
    },
    Scenario {
        name: "defaults",
        about: "no setting of ours but the enabling tag",
        group: || GroupSpec::new("web", 1).tag("spot-enabled", "true"),
        ..PLAIN
    },
    Scenario { name: "floor", about: "three members, one stays on-demand", group: floored, ..PLAIN },
    Scenario {
        name: "launch-configuration",
        about: "the group launches from a launch configuration",
        group: || GroupSpec { launch_configuration: true, ..roomy() },
        ..PLAIN
    },
    Scenario {
        name: "load-balancer",
        about: "targets need time to become healthy and to drain",
        group: balanced,
        ..PLAIN
    },
    Scenario {
        name: "termination-hook",
        about: "a termination hook holds every victim for ten minutes",
        group: || GroupSpec { hook: Some(10 * MINUTE), ..full() },
        ..PLAIN
    },
    Scenario {
        name: "detach",
        about: "victims leave by detach, drain, terminate",
        group: || detaching(balanced()),
        ..PLAIN
    },
    Scenario {
        name: "three-zones",
        about: "three zones, uneven",
        group: || GroupSpec { zones: 3, ..quick(GroupSpec::new("web", 4)) },
        ..PLAIN
    },
    Scenario {
        name: "scale-out-outside",
        about: "the group scales out while the replica boots",
        deeds: &[(When::Outside, Deed::Foreign(Kind::ScaleOut))],
        ..PLAIN
    },
    Scenario {
        name: "scale-out-armed",
        about: "the group scales out after the journal is written",
        group: full,
        deeds: &[(When::Armed, Deed::Foreign(Kind::ScaleOut))],
        ..PLAIN
    },
    Scenario {
        name: "scale-out-attached",
        about: "the group scales out while both are members",
        deeds: &[(When::Attached, Deed::Foreign(Kind::ScaleOut))],
        ..PLAIN
    },
    Scenario {
        name: "scale-in-outside",
        about: "the group scales in while the replica boots",
        deeds: &[(When::Outside, Deed::Foreign(Kind::ScaleIn))],
        ..PLAIN
    },
    Scenario {
        name: "scale-in-armed",
        about: "the group scales in after the journal is written",
        deeds: &[(When::Armed, Deed::Foreign(Kind::ScaleIn))],
        ..PLAIN
    },
    Scenario {
        name: "scale-in-attached",
        about: "the group scales in while both are members",
        deeds: &[(When::Attached, Deed::Foreign(Kind::ScaleIn))],
        ..PLAIN
    },
    Scenario {
        name: "scale-in-serving",
        about: "the group scales in while replica and victim serve",
        group: floored,
        deeds: &[(When::Serving, Deed::Foreign(Kind::ScaleIn))],
        ..PLAIN
    },
    Scenario {
        name: "scale-in-to-one",
        about: "the group shrinks to one while both are members",
        group: floored,
        deeds: &[(When::Serving, Deed::ScaleInToOne)],
        ..PLAIN
    },
    Scenario {
        name: "victim-dies-outside",
        about: "the victim dies while the replica boots",
        deeds: &[(When::Outside, Deed::KillVictim)],
        ..PLAIN
    },
    Scenario {
        name: "victim-dies-attached",
        about: "the victim dies while both are members",
        deeds: &[(When::Attached, Deed::KillVictim)],
        ..PLAIN
    },
    Scenario {
        name: "victim-terminated-serving",
        about: "somebody terminates the victim through the group",
        group: full,
        deeds: &[(When::Serving, Deed::TerminateVictim)],
        ..PLAIN
    },
    Scenario {
        name: "victim-protected",
        about: "the owner protects the victim in the middle",
        deeds: &[(When::Serving, Deed::ProtectVictim)],
        ..PLAIN
    },
    Scenario {
        name: "victim-protected-full",
        about: "the same with MaxSize raised",
        group: full,
        deeds: &[(When::Attached, Deed::ProtectVictim)],
        ..PLAIN
    },
    Scenario {
        name: "interrupted-outside",
        about: "EC2 takes the replica back before its attach",
        deeds: &[(When::Outside, Deed::InterruptReplica)],
        ..PLAIN
    },
    Scenario {
        name: "interrupted-armed",
        about: "EC2 takes the replica back right before its attach",
        group: full,
        deeds: &[(When::Armed, Deed::InterruptReplica)],
        ..PLAIN
    },
    Scenario {
        name: "interrupted-attached",
        about: "EC2 takes the replica back after its attach",
        group: full,
        deeds: &[(When::Attached, Deed::InterruptReplica)],
        ..PLAIN
    },
    Scenario {
        name: "replica-dies-serving",
        about: "the replica dies when its victim is about to go",
        group: full,
        deeds: &[(When::Serving, Deed::KillReplica)],
        ..PLAIN
    },
    Scenario {
        name: "replica-dies-leaving",
        about: "the replica dies when its victim is going",
        group: full,
        deeds: &[(When::Leaving, Deed::KillReplica)],
        ..PLAIN
    },
    Scenario {
        name: "replica-detached",
        about: "somebody detaches the replica, with a decrement, while its victim is still there",
        group: || quick(GroupSpec::new("web", 3)),
        deeds: &[(When::Serving, Deed::DetachReplica)],
        ..PLAIN
    },
    Scenario {
        name: "all-spot-interrupted",
        about: "EC2 takes every spot instance back after the first swap",
        deeds: &[(When::Swapped, Deed::InterruptAll)],
        ..PLAIN
    },
    Scenario {
        name: "disabled-outside",
        about: "the owner disables the group while the replica boots",
        deeds: &[(When::Outside, Deed::Foreign(Kind::Enable))],
        ..PLAIN
    },
    Scenario {
        name: "disabled-armed",
        about: "the owner disables the group after the journal is written",
        group: full,
        deeds: &[(When::Armed, Deed::Foreign(Kind::Enable))],
        ..PLAIN
    },
    Scenario {
        name: "disabled-attached",
        about: "the owner disables the group with both members and MaxSize raised",
        group: full,
        deeds: &[(When::Attached, Deed::Foreign(Kind::Enable))],
        ..PLAIN
    },
    Scenario {
        name: "floor-raised",
        about: "the owner wants everything on-demand again",
        group: full,
        deeds: &[(When::Swapped, Deed::FloorEverything)],
        ..PLAIN
    },
    Scenario {
        name: "floor-raised-serving",
        about: "the same in the middle of a swap",
        group: full,
        deeds: &[(When::Serving, Deed::FloorEverything)],
        ..PLAIN
    },
    Scenario {
        name: "max-lowered",
        about: "the owner lowers MaxSize in the middle of a swap",
        deeds: &[(When::Attached, Deed::LowerMax)],
        ..PLAIN
    },
    Scenario {
        name: "journal-deleted",
        about: "a tool deletes the journal in the middle of a swap",
        group: full,
        deeds: &[(When::Attached, Deed::Foreign(Kind::DeleteJournal))],
        ..PLAIN
    },
    Scenario {
        name: "group-deleted",
        about: "the owner deletes the group in the middle of a swap",
        deeds: &[(When::Outside, Deed::DeleteGroup)],
        ..PLAIN
    },
    Scenario {
        name: "scheduled-action",
        about: "a scheduled action comes close in the middle of a swap",
        deeds: &[(When::Armed, Deed::Foreign(Kind::Schedule))],
        ..PLAIN
    },
    Scenario {
        name: "refresh",
        about: "an instance refresh to another template version starts in the middle of a swap",
        deeds: &[(When::Attached, Deed::Upgrade)],
        ..PLAIN
    },
    Scenario {
        name: "new-version",
        about: "the owner publishes another template version in the middle of a swap",
        deeds: &[(When::Armed, Deed::Foreign(Kind::NewVersion))],
        ..PLAIN
    },
    Scenario {
        name: "standby",
        about: "the owner takes a member to standby in the middle of a swap",
        group: floored,
        deeds: &[(When::Attached, Deed::Foreign(Kind::Standby))],
        ..PLAIN
    },
    Scenario {
        name: "no-spot-capacity",
        about: "no pool has capacity until the weather calms",
        setup: |world| world.region.pools.drain(),
        ..PLAIN
    },
    Scenario {
        name: "newest-first",
        about: "the termination policy takes the newest instance",
        group: || GroupSpec { policy: TerminationPolicy::Newest, ..full() },
        deeds: &[(When::Serving, Deed::Foreign(Kind::ScaleIn))],
        ..PLAIN
    },
    Scenario {
        name: "watcher",
        about: "a group with a launch hook waits for the watcher on each replica to say ready",
        group: watched,
        setup: |world| {
            hook_launches(world);
            world.watchers = Watchers::Speak;
        },
        ..PLAIN
    },
    Scenario {
        name: "watcher-silent",
        about: "the same, and no watcher speaks until the weather calms: every replica is discarded",
        group: watched,
        setup: |world| {
            hook_launches(world);
            world.watchers = Watchers::Silent;
        },
        deeds: &[(When::Outside, Deed::Nothing), (When::Idle, Deed::Nothing)],
        ..PLAIN
    },
    // EC2 announces the end of a member. By default the event bus and the watcher both tell us.
    Scenario {
        name: "notice",
        about: "EC2 announces the end of a member; told twice, by the event bus and by the watcher",
        deeds: &[(When::AllSwapped, Deed::InterruptMember)],
        ..PLAIN
    },
    Scenario {
        name: "notice-full",
        about: "the same with desired = MaxSize",
        group: full,
        deeds: &[(When::AllSwapped, Deed::InterruptMember)],
        ..PLAIN
    },
    Scenario {
        name: "notice-singleton",
        about: "the same with min = desired = max = 1",
        group: || GroupSpec { min: 1, max: 1, ..quick(GroupSpec::new("web", 1)) },
        deeds: &[(When::AllSwapped, Deed::InterruptMember)],
        ..PLAIN
    },
    Scenario {
        name: "notice-load-balancer",
        about: "the same behind a load balancer",
        group: || GroupSpec { load_balanced: true, elb_health: true, ..quick(GroupSpec::new("web", 1)) },
        deeds: &[(When::AllSwapped, Deed::InterruptMember)],
        ..PLAIN
    },
    Scenario {
        name: "notice-hook",
        about: "the same with a termination hook",
        group: || GroupSpec { hook: Some(MINUTE), ..quick(GroupSpec::new("web", 1)) },
        deeds: &[(When::AllSwapped, Deed::InterruptMember)],
        ..PLAIN
    },
    Scenario {
        name: "notice-detach",
        about: "the same in a group whose victims leave by detach",
        group: || detaching(quick(GroupSpec::new("web", 1))),
        deeds: &[(When::AllSwapped, Deed::InterruptMember)],
        ..PLAIN
    },
    Scenario {
        name: "notice-once",
        about: "only one channel tells us",
        group: || quick(GroupSpec::new("web", 1)),
        setup: |world| world.region.deliveries = Some(vec![SECOND]),
        deeds: &[(When::AllSwapped, Deed::InterruptMember)],
        ..PLAIN
    },
    Scenario {
        name: "notice-late",
        about: "the notice comes half a minute before the end: the member is drained, and the group replaces it",
        group: || GroupSpec { load_balanced: true, elb_health: true, ..quick(GroupSpec::new("web", 1)) },
        deeds: &[(When::AllSwapped, Deed::InterruptLate)],
        ..PLAIN
    },
    Scenario {
        name: "notice-lost",
        about: "nobody tells us: the next pass sees it, or the group replaces the member by itself",
        group: || quick(GroupSpec::new("web", 1)),
        setup: |world| world.region.deliveries = Some(Vec::new()),
        deeds: &[(When::AllSwapped, Deed::InterruptMember)],
        ..PLAIN
    },
    Scenario {
        name: "notice-two",
        about: "EC2 announces the end of both members at once",
        deeds: &[(When::AllSwapped, Deed::InterruptAll)],
        ..PLAIN
    },
    Scenario {
        name: "notice-two-full",
        about: "the same with desired = MaxSize",
        group: full,
        deeds: &[(When::AllSwapped, Deed::InterruptAll)],
        ..PLAIN
    },
    Scenario {
        name: "notice-outside",
        about: "EC2 announces the end of a member while another one's replica boots",
        deeds: &[(When::Swapped, Deed::Nothing), (When::Outside, Deed::InterruptMember)],
        ..PLAIN
    },
    Scenario {
        name: "notice-armed",
        about: "the same while another one's swap is armed",
        group: full,
        deeds: &[(When::Swapped, Deed::Nothing), (When::Armed, Deed::InterruptMember)],
        ..PLAIN
    },
    Scenario {
        name: "notice-attached",
        about: "the same while another one's replica is attached",
        group: full,
        deeds: &[(When::Swapped, Deed::Nothing), (When::Attached, Deed::InterruptMember)],
        ..PLAIN
    },
    Scenario {
        name: "notice-leaving",
        about: "the same while another victim leaves",
        group: full,
        deeds: &[(When::Swapped, Deed::Nothing), (When::Leaving, Deed::InterruptMember)],
        ..PLAIN
    },
    Scenario {
        name: "notice-and-scale-in",
        about: "the group scales in while the replacement boots",
        deeds: &[(When::AllSwapped, Deed::InterruptMember), (When::Outside, Deed::Foreign(Kind::ScaleIn))],
        ..PLAIN
    },
    Scenario {
        name: "notice-and-disabled",
        about: "the owner disables the group while the replacement is attached",
        group: full,
        deeds: &[(When::AllSwapped, Deed::InterruptMember), (When::Attached, Deed::Foreign(Kind::Enable))],
        ..PLAIN
    },
    Scenario {
        name: "notice-and-replacement-dies",
        about: "EC2 takes the replacement back, too",
        deeds: &[(When::AllSwapped, Deed::InterruptMember), (When::Attached, Deed::InterruptReplica)],
        ..PLAIN
    },
    Scenario {
        name: "notice-and-another-dies",
        about: "another member dies when the replacement serves and the dying member is about to leave",
        deeds: &[(When::AllSwapped, Deed::InterruptMember), (When::Serving, Deed::KillOther)],
        ..PLAIN
    },
    Scenario {
        name: "notice-no-spot",
        about: "no spot pool has capacity: the replacement is on-demand",
        group: || quick(GroupSpec::new("web", 1)),
        deeds: &[(When::AllSwapped, Deed::InterruptAndDrain), (When::Attached, Deed::Nothing)],
        ..PLAIN
    },
    Scenario {
        name: "notice-no-capacity",
        about: "there is no capacity at all until the weather calms",
        group: || quick(GroupSpec::new("web", 1)),
        deeds: &[(When::AllSwapped, Deed::InterruptAndDrainAll), (When::Short, Deed::Nothing)],
        ..PLAIN
    },
    Scenario {
        name: "notice-floor",
        about: "a group with a floor of one loses a spot member",
        group: || quick(GroupSpec::new("web", 2)).tag("spotward:min-on-demand", "1"),
        deeds: &[(When::Swapped, Deed::InterruptMember)],
        ..PLAIN
    },
    Scenario {
        name: "notice-capacity-rebalancing",
        about: "the group sees to it by itself",
        group: || GroupSpec { capacity_rebalance: true, ..quick(GroupSpec::new("web", 1)) },
        deeds: &[(When::AllSwapped, Deed::InterruptMember)],
        ..PLAIN
    },
    Scenario {
        name: "recommendation",
        about: "EC2 recommends to replace a member",
        group: || quick(GroupSpec::new("web", 1)).tag("spotward:rebalance", "always"),
        deeds: &[(When::AllSwapped, Deed::RecommendMember)],
        ..PLAIN
    },
    Scenario {
        name: "recommendation-and-notice",
        about: "EC2 recommends to replace a member, and announces its end in the middle of that",
        group: || quick(GroupSpec::new("web", 1)).tag("spotward:rebalance", "always"),
        deeds: &[(When::AllSwapped, Deed::RecommendMember), (When::Outside, Deed::InterruptAll)],
        ..PLAIN
    },
    // A foreign change between our last look and our call: nothing can prevent it, it has to be made good.
    Scenario {
        name: "race-scale-in",
        about: "the group scales in between our last look and the victim's end",
        group: floored,
        ambushes: &[(Api::TerminateInstanceInAutoScalingGroup, 1, Kind::ScaleIn)],
        ..PLAIN
    },
    Scenario {
        name: "race-scale-out",
        about: "the group scales out between our last look and the victim's end",
        ambushes: &[(Api::TerminateInstanceInAutoScalingGroup, 1, Kind::ScaleOut)],
        ..PLAIN
    },
    Scenario {
        name: "race-attach",
        about: "the group scales out between our last look and the attach",
        group: full,
        ambushes: &[(Api::AttachInstances, 1, Kind::ScaleOut)],
        ..PLAIN
    },
    Scenario {
        name: "race-restore",
        about: "the owner edits MaxSize right before we restore it",
        group: full,
        ambushes: &[(Api::UpdateAutoScalingGroup, 2, Kind::EditMax)],
        ..PLAIN
    },
];

/// A scenario by name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

/// The group that a seed draws for the random weather.
pub fn drawn_group(rng: &mut Rng) -> GroupSpec {
    let members = [1, 2, 2, 3, 3, 4][rng.below(6) as usize];
    let mut spec = quick(GroupSpec::new("web", members));
    spec.zones = rng.between(1, 3) as usize;
    spec.max = members + [0, 0, 1, 3][rng.below(4) as usize];
    spec.min = if rng.chance(3_000) { members } else { 0 };
    spec.launch_configuration = rng.chance(2_000);
    spec.load_balanced = rng.chance(3_000);
    spec.elb_health = spec.load_balanced && rng.chance(5_000);
    spec.hook = rng.chance(2_000).then(|| rng.between(1, 15) * MINUTE);
    spec.capacity_rebalance = rng.chance(2_000);
    spec.policy = *rng
        .pick(&[TerminationPolicy::Default, TerminationPolicy::Oldest, TerminationPolicy::Newest])
        .unwrap_or(&TerminationPolicy::Default);
    if rng.chance(3_000) {
        let floor = rng.between(0, i64::from(members)).to_string();
        spec = spec.tag("spotward:min-on-demand", &floor);
    }
    if rng.chance(2_000) {
        spec = detaching(spec);
    }
    if rng.chance(1_500) {
        // The default: at most a third of the group in one pool.
        spec.tags.retain(|(key, _)| *key != "spotward:pool-loss");
    }
    if rng.chance(1_000) {
        spec = spec.tag("spotward:on-max", "skip");
    }
    if rng.chance(1_000) {
        spec = spec.tag("spotward:allocation-strategy", "lowest-price");
    }
    if rng.chance(2_000) {
        spec = spec.tag("spotward:boot-deadline", "12m");
    }
    spec
}

/// Answers to the open questions that a seed draws; U-3 keeps its benign answer (see `docs/safety.md`).
pub fn drawn_unknowns(rng: &mut Rng) -> Unknowns {
    Unknowns {
        attach_records_own_template: rng.chance(5_000),
        second_terminate_decrements: false,
        refresh_keeps_replicas: rng.chance(5_000),
        capacity_rebalancing_acts_on_attached: rng.chance(5_000),
        replay_of_dead_fleet_fails: rng.chance(5_000),
        busy_groups_refuse: rng.chance(2_000),
        attach_latency: rng.between(0, 30) * SECOND,
        rebalance_reaction: rng.between(0, 5) * MINUTE,
    }
}

/// A group that nobody has enabled: it must never see a change of ours.
pub fn decoy() -> GroupSpec {
    GroupSpec::new("decoy", 1).tag("spotward:min-on-demand", "0")
}

/// The replica of the swap in flight, and whether it is a member.
pub fn replica_in_flight(region: &Region) -> Option<(InstanceId, bool)> {
    region
        .view
        .instances
        .values()
        .filter(|ec2| {
            ec2.ours && ec2.state.is_alive() && ec2.tags.get(tag::ROLE).map(String::as_str) == Some("replica")
        })
        .map(|ec2| (ec2.id.clone(), region.group_of(&ec2.id).is_some()))
        .next()
}

fn victim_in_flight(region: &Region) -> Option<InstanceId> {
    let (replica, _) = replica_in_flight(region)?;
    region.ec2(&replica)?.tags.get(tag::VICTIM).map(InstanceId::new)
}

/// A spot member whose swap is over.
fn spot_member(region: &Region) -> Option<InstanceId> {
    let is_settled = |id: &InstanceId| {
        region.ec2(id).is_some_and(|ec2| {
            ec2.purchase == PurchaseOption::Spot
                && ec2.ends_at.is_none()
                && ec2.state == RunState::Running
                && ec2.tags.get(tag::ROLE).map(String::as_str) == Some("member")
        })
    };
    let seats = region.view.groups.values().flat_map(|group| &group.seats);
    seats.map(|seat| &seat.id).find(|id| is_settled(id)).cloned()
}

fn interrupt_member(world: &mut World) -> Option<InstanceId> {
    let id = spot_member(&world.region)?;
    world.region.interrupt(&id);
    Some(id)
}

/// Whether the region is now as `when` says.
pub fn is_time(world: &World, when: When) -> bool {
    let region = &world.region;
    let journal = region.journal_text(&world.enabled_group).is_some();
    let in_flight = replica_in_flight(region);
    let group = region.group(&world.enabled_group);
    let state_of = |id: &InstanceId| {
        group.and_then(|group| group.seats.iter().find(|seat| seat.id == *id)).map(|seat| seat.lifecycle.clone())
    };
    match (when, in_flight) {
        (When::Outside, Some((_, inside))) => !inside && !journal,
        (When::Armed, Some((_, inside))) => !inside && journal,
        (When::Attached, Some((_, inside))) => inside,
        (When::Serving, Some((id, inside))) => {
            let serves =
                group.is_some_and(|group| group.seats.iter().any(|seat| seat.id == id && region.serves(group, seat)));
            inside
                && serves
                && victim_in_flight(region).is_some_and(|victim| state_of(&victim) == Some(LifecycleState::InService))
        }
        (When::Leaving, Some((_, inside))) => {
            inside && victim_in_flight(region).is_none_or(|victim| state_of(&victim) != Some(LifecycleState::InService))
        }
        (When::Swapped, None) => {
            !journal
                && region
                    .view
                    .instances
                    .values()
                    .any(|ec2| ec2.tags.get(tag::ROLE).map(String::as_str) == Some("member"))
        }
        (When::AllSwapped, None) => {
            let is_spot = |id: &InstanceId| region.ec2(id).is_some_and(|ec2| ec2.purchase == PurchaseOption::Spot);
            !journal && group.is_some_and(|group| group.seats.iter().all(|seat| is_spot(&seat.id)))
        }
        (When::Short, None) => group.is_some_and(|group| {
            let serving = group.seats.iter().filter(|seat| region.serves(group, seat)).count();
            (serving as u32) < group.desired
        }),
        (When::Idle, None) => !journal,
        (When::Swapped | When::AllSwapped | When::Short | When::Idle, Some(_)) | (_, None) => false,
    }
}

/// Does a scripted deed.
pub fn perform(world: &mut World, deed: Deed) {
    let name = world.enabled_group.clone();
    world.note(|| format!("-- {deed:?}"));
    match deed {
        Deed::Foreign(kind) => weather::act(world, kind, &name),
        Deed::Upgrade => {
            weather::act(world, Kind::NewVersion, &name);
            weather::act(world, Kind::Refresh, &name);
        }
        Deed::KillVictim => {
            if let Some(id) = victim_in_flight(&world.region) {
                world.region.stop_serving(&id);
            }
        }
        Deed::TerminateVictim => {
            if let Some(id) = victim_in_flight(&world.region) {
                weather::terminate_member(world, &name, &id, false);
            }
        }
        Deed::ProtectVictim => {
            if let Some(id) = victim_in_flight(&world.region) {
                weather::protect(world, &name, &id, true);
            }
        }
        Deed::InterruptReplica => {
            if let Some((id, _)) = replica_in_flight(&world.region) {
                world.region.interrupt(&id);
            }
        }
        Deed::InterruptAll => {
            let spots: Vec<InstanceId> = world
                .region
                .view
                .instances
                .values()
                .filter(|ec2| ec2.ours && ec2.state.is_alive())
                .map(|ec2| ec2.id.clone())
                .collect();
            for id in spots {
                world.region.interrupt(&id);
            }
        }
        Deed::InterruptMember => {
            interrupt_member(world);
        }
        Deed::InterruptLate => {
            if let Some(id) = interrupt_member(world) {
                let end = world.region.now + 30 * SECOND;
                world.region.ec2_mut(&id).ends_at = Some(end);
            }
        }
        Deed::InterruptAndDrain => {
            world.region.pools.drain();
            interrupt_member(world);
        }
        Deed::InterruptAndDrainAll => {
            world.region.pools.drain();
            world.region.pools.on_demand_available = false;
            world.region.launch_failure = 9_000;
            interrupt_member(world);
        }
        Deed::KillOther => {
            let named = [replica_in_flight(&world.region).map(|(id, _)| id), victim_in_flight(&world.region)];
            let seats = world.region.group(&name).map(|group| group.seats.clone()).unwrap_or_default();
            if let Some(other) = seats.iter().find(|seat| !named.contains(&Some(seat.id.clone()))) {
                world.region.stop_serving(&other.id);
            }
        }
        Deed::RecommendMember => {
            if let Some(id) = spot_member(&world.region) {
                world.region.recommend(&id);
            }
        }
        Deed::Nothing => {}
        Deed::KillReplica => {
            if let Some((id, _)) = replica_in_flight(&world.region) {
                world.region.stop_serving(&id);
            }
        }
        Deed::DetachReplica => {
            if let Some((id, _)) = replica_in_flight(&world.region) {
                weather::detach(world, &name, &id);
            }
        }
        Deed::ScaleInToOne => weather::set_desired(world, &name, 1),
        Deed::DeleteGroup => {
            if world.region.group(&name).is_some() {
                world.region.delete_group(&name);
                world.oracle.books.remove(&name);
            }
        }
        Deed::FloorEverything => weather::owner_tags(world, &name, "spotward:min-on-demand", Some("100%")),
        Deed::LowerMax => {
            let to = world.oracle.books.get(&name).map_or(1, |book| book.desired);
            weather::set_max(world, &name, to);
        }
    }
}
