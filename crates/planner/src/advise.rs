//! Advice for one group, enabled or not: which profile suits it, and whether a swap or a mixed instances policy of its
//! own serves it better. Opinions for people; nothing acts on them.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::choose::Choice;
use crate::market::Market;
use crate::model::{Group, InstanceType, LaunchFacts, LaunchSource, Member, Observation, Price, PurchaseOption};
use crate::plan::{Plan, plan};
use crate::policy::{Config, NAMESPACE, PROFILES, Policy, Profile};
use crate::reason::{Blocker, Code};
use crate::savings::{Savings, savings};

/// Above so many members, swapping one after the other takes hours, and Auto Scaling's own policy keeps the share.
const LARGE: u32 = 20;
/// So many launches within an hour are "several times an hour": each would boot twice, on-demand and then spot.
const LAUNCHES_PER_HOUR: usize = 3;
/// Members that run for so long may hold what cannot be had again.
const LONG_LIVED_DAYS: i64 = 30;
/// Members that come and go within so long are made to be lost.
const SHORT_LIVED_HOURS: i64 = 24;
/// The most overrides that a mixed instances policy takes.
const OVERRIDES_MAX: usize = 40;

/// The advice.
#[derive(Clone, Debug)]
pub struct Advice {
    /// The profile that suits it.
    pub profile: &'static Profile,
    /// Why that one.
    pub character: Character,
    /// Who should buy its spot instances.
    pub mode: Mode,
    /// What could be saved with the settings that it has; `None` without prices.
    pub savings: Option<Savings>,
    /// The same with the profile; `None` without prices, or if its owner has settings already.
    pub savings_with_profile: Option<Savings>,
    /// For a mixed instances policy: types that could do the work of the group's own, the cheapest first.
    pub native_types: Vec<InstanceType>,
}

/// What in a group speaks for a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Character {
    /// Its owner has chosen it.
    Chosen,
    /// Members are protected, or have addresses or volumes of their own.
    HoldsOn {
        /// How many.
        members: usize,
    },
    /// Behind a load balancer, with hardly anybody to take over.
    Few {
        /// Desired capacity.
        desired: u32,
    },
    /// Behind a load balancer.
    Serves,
    /// Alone, and nothing balances it.
    Alone,
    /// May have no members at all.
    ToZero,
    /// Members that come and go.
    ShortLived {
        /// Age of the one in the middle, hours.
        hours: i64,
    },
    /// Members that stay, without a load balancer.
    LongLived {
        /// Age of the one in the middle, days.
        days: i64,
    },
    /// No load balancer and nothing else that says more.
    Workers,
}

/// Who should buy the spot instances of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// We, by swaps.
    Swap(WhySwap),
    /// Auto Scaling, by a mixed instances policy.
    Native(WhyNative),
    /// The service that owns the group.
    Service(&'static str),
    /// Nobody: it cannot run on spot as it is.
    Neither(Blocker),
    /// Nobody needs to: it is spot already.
    Already,
}

/// Why swaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhySwap {
    /// A launch configuration, which a mixed instances policy does not take.
    LaunchConfiguration,
    /// So few members that one which cannot be had would be missed.
    Small {
        /// Desired capacity.
        desired: u32,
    },
    /// Nothing speaks for a policy.
    Steady,
}

/// Why a mixed instances policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyNative {
    /// It has one.
    HasOne,
    /// Launch hooks, which do not run on attach.
    LaunchHooks(Vec<String>),
    /// New members are protected (ECS managed termination protection), so that no victim may leave.
    NewMembersProtected,
    /// Sized in weights, vCPUs or memory, or types by attributes.
    ByAttributes,
    /// More members than swaps get through in an hour.
    Large {
        /// Desired capacity.
        desired: u32,
    },
    /// Scales out several times an hour.
    Restless {
        /// Launches within the last hour.
        launches: usize,
    },
}

/// The advice on one group. `plan` is the plan of the same look in which the group carries the enabling tag; `market` is
/// the one of its platform.
pub fn advise(observation: &Observation, seen: &Plan, market: Option<&Market>, config: &Config) -> Advice {
    let Observation { group, now } = observation;
    let policy = Policy::of(group, config).ok();
    let (profile, character) = profile(group, policy.as_ref(), *now);
    let mode = mode(group, &seen.blockers, *now);
    let launch = group.details.as_ref().and_then(|details| details.launch.as_ref()?.as_ref().ok());
    let native_types = match (&mode, launch, market, &policy) {
        (Mode::Native(_), Some(launch), Some(market), Some(policy)) => native_types(group, launch, market, policy),
        _ => Vec::new(),
    };
    Advice {
        profile,
        character,
        mode,
        savings: market.map(|market| savings(observation, seen, market, config)),
        savings_with_profile: market.and_then(|market| with_profile(observation, profile, market, config)),
        native_types,
    }
}

/// The estimate if the owner took the profile and set nothing else. An owner who has set anything knows better.
fn with_profile(observation: &Observation, profile: &Profile, market: &Market, config: &Config) -> Option<Savings> {
    let has_settings = observation
        .group
        .tags
        .keys()
        .any(|key| key.starts_with(NAMESPACE) && !["swap", "backoff"].contains(&key.trim_start_matches(NAMESPACE)));
    if has_settings {
        return None;
    }
    let mut tagged = observation.clone();
    tagged.group.tags.insert(format!("{NAMESPACE}profile"), profile.name.to_owned());
    let planned = plan(&tagged, Some(market), config);
    Some(savings(&tagged, &planned, market, config))
}

fn profile(group: &Group, policy: Option<&Policy>, now: Timestamp) -> (&'static Profile, Character) {
    let named = |name: &str| PROFILES.iter().find(|profile| profile.name == name).unwrap_or(&PROFILES[0]);
    if let Some(chosen) = policy.and_then(|policy| policy.profile) {
        return (named(chosen), Character::Chosen);
    }
    let character = character(group, now);
    let name = match character {
        Character::Serves => "web",
        Character::ToZero | Character::ShortLived { .. } | Character::Workers => "batch",
        Character::Chosen
        | Character::HoldsOn { .. }
        | Character::Few { .. }
        | Character::Alone
        | Character::LongLived { .. } => "critical",
    };
    (named(name), character)
}

/// What is careful goes before what is cheap.
fn character(group: &Group, now: Timestamp) -> Character {
    let holds_on = |member: &&Member| {
        let ec2 = member.ec2.as_ref();
        member.protected
            || ec2.is_some_and(|ec2| ec2.elastic_ip || ec2.attached_later || ec2.termination_protected == Some(true))
    };
    let members = group.members.iter().filter(holds_on).count();
    if members > 0 {
        return Character::HoldsOn { members };
    }
    if group.load_balanced {
        return if group.desired <= 2 { Character::Few { desired: group.desired } } else { Character::Serves };
    }
    if group.min_size == 0 {
        return Character::ToZero;
    }
    if group.desired <= 1 {
        return Character::Alone;
    }
    match middle_age(group, now) {
        Some(age) if age >= SignedDuration::from_hours(24 * LONG_LIVED_DAYS) => {
            Character::LongLived { days: age.as_hours() / 24 }
        }
        Some(age) if age < SignedDuration::from_hours(SHORT_LIVED_HOURS) => {
            Character::ShortLived { hours: age.as_hours() }
        }
        Some(_) | None => Character::Workers,
    }
}

/// Age of the member in the middle.
fn middle_age(group: &Group, now: Timestamp) -> Option<SignedDuration> {
    let mut ages: Vec<SignedDuration> =
        group.members.iter().filter_map(Member::launched_at).map(|at| now.duration_since(at)).collect();
    ages.sort_unstable();
    ages.get(ages.len() / 2).copied()
}

fn mode(group: &Group, blockers: &[Blocker], now: Timestamp) -> Mode {
    // What is impossible, and what somebody else does, comes before what is better.
    for blocker in blockers {
        match blocker {
            Blocker::MixedInstancesPolicy => return Mode::Native(WhyNative::HasOne),
            Blocker::ManagedBy(owner) => return Mode::Service(owner),
            Blocker::Operator(_) => return Mode::Service("the AWS service that operates it"),
            Blocker::AlreadySpot => return Mode::Already,
            Blocker::WarmPool
            | Blocker::NoTemplate
            | Blocker::TemplateUnreadable(_)
            | Blocker::UnsupportedBilling(_)
            | Blocker::ImageUnavailable(_)
            | Blocker::NotReproducible(_) => return Mode::Neither(blocker.clone()),
            _ => {}
        }
    }
    if let LaunchSource::Configuration { .. } = group.source {
        return Mode::Swap(WhySwap::LaunchConfiguration);
    }
    for blocker in blockers {
        match blocker {
            Blocker::LaunchHooks(hooks) => return Mode::Native(WhyNative::LaunchHooks(hooks.clone())),
            Blocker::NewMembersProtected => return Mode::Native(WhyNative::NewMembersProtected),
            Blocker::InstanceRequirements | Blocker::CapacityType(_) | Blocker::Weighted(_) => {
                return Mode::Native(WhyNative::ByAttributes);
            }
            _ => {}
        }
    }
    let desired = group.desired;
    let launches = launches_within_an_hour(group, now);
    match desired {
        0..=2 => Mode::Swap(WhySwap::Small { desired }),
        _ if desired > LARGE => Mode::Native(WhyNative::Large { desired }),
        _ if launches >= LAUNCHES_PER_HOUR => Mode::Native(WhyNative::Restless { launches }),
        _ => Mode::Swap(WhySwap::Steady),
    }
}

/// Launches that nobody asked for by a call: scaling out, and replacing what died.
fn launches_within_an_hour(group: &Group, now: Timestamp) -> usize {
    let activities = group.details.iter().filter_map(|details| details.activities.as_ref()).flatten();
    let recent = activities.filter(|activity| now.duration_since(activity.started_at) < SignedDuration::from_hours(1));
    recent.filter(|activity| activity.instance.is_some() && activity.shrank.is_none() && !activity.by_request).count()
}

fn native_types(group: &Group, launch: &LaunchFacts, market: &Market, policy: &Policy) -> Vec<InstanceType> {
    let own = launch.instance_type.as_ref().or_else(|| group.members.first().map(|member| &member.instance_type));
    let Some(own) = own else { return Vec::new() };
    let Ok(choice) = Choice::new(own, launch, PurchaseOption::Spot, market, policy) else { return Vec::new() };
    let mut priced: Vec<(Price, InstanceType)> = Vec::new();
    for zone in &group.zones {
        let Ok(pools) = choice.pools(zone) else { continue };
        priced.extend(pools.iter().map(|pool| (pool.price, pool.instance_type.clone())));
    }
    priced.sort_unstable();
    let mut types: Vec<InstanceType> = Vec::new();
    for (_, instance_type) in priced {
        if types.len() < OVERRIDES_MAX && !types.contains(&instance_type) {
            types.push(instance_type);
        }
    }
    types
}

impl Code for Mode {
    fn code(&self) -> &'static str {
        match self {
            Self::Swap(_) => "swap",
            Self::Native(_) => "native",
            Self::Service(_) => "service",
            Self::Neither(_) => "neither",
            Self::Already => "already-spot",
        }
    }
}

impl Code for Character {
    fn code(&self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::HoldsOn { .. } => "holds-on",
            Self::Few { .. } => "few",
            Self::Serves => "serves",
            Self::Alone => "alone",
            Self::ToZero => "to-zero",
            Self::ShortLived { .. } => "short-lived",
            Self::LongLived { .. } => "long-lived",
            Self::Workers => "workers",
        }
    }
}

impl fmt::Display for Character {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        match self {
            Self::Chosen => write!(f, "its owner has chosen it"),
            Self::HoldsOn { members } => {
                let is_or_has = if *members == 1 { "is protected, or has" } else { "are protected, or have" };
                write!(
                    f,
                    "{members} member{} {is_or_has} an address or a volume that would be lost",
                    plural(*members as u64)
                )
            }
            Self::Few { desired } => {
                write!(f, "a load balancer sends traffic to {desired} member{} only", plural(u64::from(*desired)))
            }
            Self::Serves => write!(f, "a load balancer sends traffic to it, and the others take over when one goes"),
            Self::Alone => write!(f, "its one member has nobody to take over"),
            Self::ToZero => write!(f, "it may shrink to nothing, so its work can wait"),
            Self::ShortLived { hours: 0 } => {
                write!(f, "half of its members are younger than an hour: they come and go")
            }
            Self::ShortLived { hours } => write!(
                f,
                "half of its members are no older than {hours} hour{}: they come and go",
                plural(hours.unsigned_abs())
            ),
            Self::LongLived { days } => {
                write!(f, "half of its members have run for {days} days or longer: they may hold what is not elsewhere")
            }
            Self::Workers => write!(f, "nothing sends traffic to it, so its members seem to fetch their work"),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Swap(why) => why.fmt(f),
            Self::Native(why) => why.fmt(f),
            Self::Service(owner) => write!(f, "it belongs to {owner}, which has spot support of its own"),
            Self::Neither(blocker) => blocker.fmt(f),
            Self::Already => write!(f, "what it launches is spot already"),
        }
    }
}

impl fmt::Display for WhySwap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LaunchConfiguration => {
                write!(f, "it launches from a launch configuration, which a mixed instances policy does not take")
            }
            Self::Small { desired } => write!(
                f,
                "with {desired} member{} an instance that cannot be had would be missed, and a swap keeps the on-demand one until then",
                if *desired == 1 { "" } else { "s" }
            ),
            Self::Steady => {
                write!(
                    f,
                    "it is steady enough: its definition stays as it is, and on-demand remains where spot is not to be had"
                )
            }
        }
    }
}

impl fmt::Display for WhyNative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HasOne => write!(f, "it has one: set its OnDemandPercentageAboveBaseCapacity"),
            Self::LaunchHooks(hooks) => {
                write!(f, "its launch hooks ({}) run with it, and would not on an attach", hooks.join(", "))
            }
            Self::NewMembersProtected => {
                write!(f, "new members are protected from scale-in, so no victim may leave; it needs none to")
            }
            Self::ByAttributes => write!(f, "it is sized by weights or attributes, which only Auto Scaling counts"),
            Self::Large { desired } => {
                write!(f, "with {desired} members one swap after the other takes hours; it launches spot at once")
            }
            Self::Restless { launches } => {
                write!(f, "{launches} launches within an hour would each boot twice; it launches spot at once")
            }
        }
    }
}
