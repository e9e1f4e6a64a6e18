//! What the owner asked for: tags of the group over the deployment's defaults, all or nothing.
//!
//! Each setting is declared once, in [`SETTINGS`], with its key, alias, values, default and sentence; the README, the
//! docs and the template are checked against that table.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::model::{Group, GroupName, Tags};
use crate::pace::Schedule;

/// Namespace of the settings on a group: `spotward:<setting>`.
pub const NAMESPACE: &str = "spotward:";
/// Keys in our namespace that are ours to write, not the owner's to set.
const OWN_KEYS: [&str; 2] = ["swap", "backoff"];
/// Namespace of the predecessor whose settings are read as aliases.
pub const ALIAS_NAMESPACE: &str = "autospotting_";

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Without the namespace: `min-on-demand` is the tag `spotward:min-on-demand`.
    pub key: &'static str,
    /// Tags of the predecessor that mean the same.
    pub aliases: &'static [&'static str],
    /// What is allowed, for people.
    pub values: &'static str,
    /// Value when nobody says anything.
    pub default: &'static str,
    /// What it does, in one sentence.
    pub sentence: &'static str,
}

/// Every setting there is.
pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "min-on-demand",
        aliases: &["autospotting_min_on_demand_number", "autospotting_min_on_demand_percentage"],
        values: "a number, a percentage of desired (`25%`), or both (`2, 25%`)",
        default: "0",
        sentence: "Members that stay on-demand; of several values the largest protection wins, percentages round up.",
    },
    Setting {
        key: "allowed-types",
        aliases: &["autospotting_allowed_instance_types"],
        values: "instance types with `*` and `?`, separated by commas or spaces; `current` is the victim's own type",
        default: "*",
        sentence: "Only these instance types are launched.",
    },
    Setting {
        key: "denied-types",
        aliases: &["autospotting_disallowed_instance_types"],
        values: "as allowed-types",
        default: "",
        sentence: "These instance types are never launched; denying beats allowing.",
    },
    Setting {
        key: "cpu-manufacturer",
        aliases: &[],
        values: "`same` or `any`",
        default: "same",
        sentence: "Whether a replica may have a CPU of another manufacturer (same architecture always).",
    },
    Setting {
        key: "previous-generation",
        aliases: &[],
        values: "`true` or `false`",
        default: "false",
        sentence: "Whether types that AWS calls previous generation may be launched for a victim of the current one.",
    },
    Setting {
        key: "burstable",
        aliases: &[],
        values: "`true` or `false`",
        default: "false",
        sentence: "Whether burstable types may stand in for a victim that is not burstable.",
    },
    Setting {
        key: "max-vcpus",
        aliases: &[],
        values: "a multiple of the victim's vCPUs in percent (`200%`), or `any`",
        default: "200%",
        sentence: "Upper bound of a replica's vCPUs: licences and tuning often count cores.",
    },
    Setting {
        key: "max-memory",
        aliases: &[],
        values: "a multiple of the victim's memory in percent (`200%`), or `any`",
        default: "200%",
        sentence: "Upper bound of a replica's memory.",
    },
    Setting {
        key: "allocation-strategy",
        aliases: &["autospotting_spot_allocation_strategy"],
        values: "`price-capacity-optimized`, `capacity-optimized`, `capacity-optimized-prioritized`, `diversified` or `lowest-price`",
        default: "price-capacity-optimized",
        sentence: "How EC2 picks among the capacity pools that we ask for.",
    },
    Setting {
        key: "pools-to-use",
        aliases: &[],
        values: "`all`, or a number from 1 to 60 (with `lowest-price` only)",
        default: "all",
        sentence: "With `lowest-price`: only so many of the cheapest pools are asked for.",
    },
    Setting {
        key: "max-price",
        aliases: &[],
        values: "`none`, or a percentage of the victim's on-demand price (`80%`), at most 100%",
        default: "none",
        sentence: "A hard cap on the spot price; without one EC2's own cap, the on-demand price, applies.",
    },
    Setting {
        key: "min-saving",
        aliases: &[],
        values: "a percentage from 0% to 99%",
        default: "10%",
        sentence: "A victim is replaced only by types that are at least so much cheaper now.",
    },
    Setting {
        key: "min-saving-per-hour",
        aliases: &[],
        values: "dollars (yuan in China) per hour, `0` or `0.005`, with at most six decimals",
        default: "0",
        sentence: "A victim is replaced only by types that are at least so much cheaper per hour now.",
    },
    Setting {
        key: "max-interruptions",
        aliases: &[],
        values: "`any`, or how many of a hundred instances in a month (`10%`), from 5% to 100%",
        default: "any",
        sentence: "Pools that are interrupted more often, by AWS's Spot Advisor and this account's own losses, are not asked for; pools of which neither says anything are.",
    },
    Setting {
        key: "payback",
        aliases: &[],
        values: "`require` or `ignore`",
        default: "require",
        sentence: "Whether a swap has to save more, over the life that the group's members usually have, than its overlap costs.",
    },
    Setting {
        key: "pool-loss",
        aliases: &[],
        values: "a percentage from 1% to 100%",
        default: "34%",
        sentence: "Losing any one capacity pool may cost at most so much of the group (one instance in any case): pools that hold more are not asked for.",
    },
    Setting {
        key: "swaps-per-hour",
        aliases: &[],
        values: "a number from 1 to 60",
        default: "20",
        sentence: "At most so many launches for the group in one hour.",
    },
    Setting {
        key: "schedule",
        aliases: &["autospotting_cron_schedule"],
        values: "hours and days, `9-18 mon-fri`; both ends included, `22-6` goes over midnight, `*` for all, lists with commas, several windows with semicolons",
        default: "* *",
        sentence: "When swaps may start; what has begun is always finished.",
    },
    Setting {
        key: "schedule-zone",
        aliases: &["autospotting_cron_timezone"],
        values: "an IANA time zone (`Europe/Berlin`)",
        default: "UTC",
        sentence: "Whose clocks the schedule is about.",
    },
    Setting {
        key: "schedule-state",
        aliases: &["autospotting_cron_schedule_state"],
        values: "`on` or `off`",
        default: "on",
        sentence: "`off` turns the schedule around: swaps may start outside its windows only.",
    },
    Setting {
        key: "profile",
        aliases: &[],
        values: "`none`, `web`, `batch` or `critical`",
        default: "none",
        sentence: "Sets floor, pool-loss, strategy, least saving and pace together; any of them set on the same place wins.",
    },
    Setting {
        key: "removal",
        aliases: &["autospotting_instance_termination_method"],
        values: "`terminate` or `detach`",
        default: "terminate",
        sentence: "How the victim leaves: through the group (termination hooks and draining run), or detached, drained and then terminated (no hooks).",
    },
    Setting {
        key: "rebalance",
        aliases: &[],
        values: "`judge`, `ignore` or `always`",
        default: "judge",
        sentence: "What a rebalance recommendation for a spot member of ours means: a swap if a better pool is to be had, nothing, or a swap to any other pool.",
    },
    Setting {
        key: "on-max",
        aliases: &[],
        values: "`raise` or `skip`",
        default: "raise",
        sentence: "When desired equals MaxSize: raise MaxSize by one for the length of a swap, or leave the group alone.",
    },
    Setting {
        key: "launch-hooks",
        aliases: &[],
        values: "`skip` or `ignore`",
        default: "skip",
        sentence: "Groups with launch lifecycle hooks are left alone, since hooks do not run on attach; `ignore` swaps them all the same.",
    },
    Setting {
        key: "readiness",
        aliases: &[],
        values: "`checks` or `watcher`",
        default: "checks",
        sentence: "When a replica may join: once EC2's status checks and the warm-up have passed, or only when the watcher on it has said `ready` as well (docs/watcher.md). `watcher` swaps groups with launch hooks, too: your own check tells that the set-up is done.",
    },
    Setting {
        key: "roll-forward",
        aliases: &[],
        values: "`true` or `false`",
        default: "false",
        sentence: "Whether a victim may be replaced that runs another template version than the group launches now.",
    },
    Setting {
        key: "min-age",
        aliases: &[],
        values: "a duration (`90s`, `10m`, `2h`)",
        default: "5m",
        sentence: "Younger members are not replaced: they may be the answer to an interruption.",
    },
    Setting {
        key: "quiet",
        aliases: &[],
        values: "a duration",
        default: "60s",
        sentence: "A swap starts only when the group's last scaling activity is at least so long ago.",
    },
    Setting {
        key: "warmup",
        aliases: &[],
        values: "`grace` (the group's health-check grace period) or a duration",
        default: "grace",
        sentence: "A replica is attached only when it has been up for so long.",
    },
    Setting {
        key: "settle",
        aliases: &[],
        values: "a duration",
        default: "30s",
        sentence: "After arming, the victim stays at least so long, and until the replica serves on two looks in a row.",
    },
    Setting {
        key: "boot-deadline",
        aliases: &[],
        values: "a duration of at least 10m",
        default: "30m",
        sentence: "A replica that is not attached by then is terminated; one that is attached and does not serve by then leaves again.",
    },
    Setting {
        key: "retry-window",
        aliases: &[],
        values: "a duration of at least 30s",
        default: "10m",
        sentence: "At most one launch per victim in each window of so much wall-clock time.",
    },
];

/// Several settings under one name.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Value of the setting `profile`.
    pub name: &'static str,
    /// What it is for, in one sentence.
    pub sentence: &'static str,
    /// The settings, by key.
    pub settings: &'static [(&'static str, &'static str)],
}

/// Every profile there is.
pub const PROFILES: &[Profile] = &[
    Profile {
        name: "web",
        sentence: "For services: a fifth stays on-demand, and losing one pool costs at most a tenth, so that about ten pools carry the rest.",
        settings: &[
            ("min-on-demand", "20%"),
            ("pool-loss", "10%"),
            ("allocation-strategy", "price-capacity-optimized"),
            ("min-saving", "10%"),
            ("swaps-per-hour", "12"),
        ],
    },
    Profile {
        name: "batch",
        sentence: "For work that can start again: nothing has to stay on-demand, two pools are enough, and swaps follow each other as fast as they go.",
        settings: &[
            ("min-on-demand", "0"),
            ("pool-loss", "50%"),
            ("allocation-strategy", "price-capacity-optimized"),
            ("min-saving", "10%"),
            ("swaps-per-hour", "60"),
        ],
    },
    Profile {
        name: "critical",
        sentence: "For what must not notice: half stays on-demand, the deepest pools only, a fifth at most in each, and few swaps an hour that are well worth it.",
        settings: &[
            ("min-on-demand", "50%"),
            ("pool-loss", "20%"),
            ("allocation-strategy", "capacity-optimized"),
            ("min-saving", "25%"),
            ("swaps-per-hour", "4"),
        ],
    },
];

/// How EC2 picks among pools, by its AWS name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocationStrategy {
    /// The default and AWS's advice: the deepest pools first, then the lowest price.
    PriceCapacityOptimized,
    /// The deepest pools.
    CapacityOptimized,
    /// The deepest pools, priorities on a best-effort basis.
    CapacityOptimizedPrioritized,
    /// Spread over all pools.
    Diversified,
    /// The cheapest pool: interrupted most.
    LowestPrice,
}

impl AllocationStrategy {
    /// AWS's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PriceCapacityOptimized => "price-capacity-optimized",
            Self::CapacityOptimized => "capacity-optimized",
            Self::CapacityOptimizedPrioritized => "capacity-optimized-prioritized",
            Self::Diversified => "diversified",
            Self::LowestPrice => "lowest-price",
        }
    }
}

/// How a victim leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// TerminateInstanceInAutoScalingGroup with decrement: hooks and draining run.
    Terminate,
    /// DetachInstances with decrement, then TerminateInstances: no hooks.
    Detach,
}

/// What a rebalance recommendation means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRebalance {
    /// Act if another pool is better.
    Judge,
    /// Do nothing.
    Ignore,
    /// Act if another pool can be had.
    Always,
}

/// What shows that a replica can take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// EC2's status checks and the warm-up.
    Checks,
    /// The watcher on it has said so, besides.
    Watcher,
}

/// Which instance types, with `*`, `?` and `current`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypePatterns(pub Vec<String>);

impl TypePatterns {
    /// Whether one of the patterns matches. `current` matches the victim's own type.
    pub fn matches(&self, instance_type: &str, victim_type: &str) -> bool {
        self.position(instance_type, victim_type).is_some()
    }

    /// The first pattern that matches: the owner's order.
    pub fn position(&self, instance_type: &str, victim_type: &str) -> Option<usize> {
        self.0.iter().position(|pattern| match pattern.as_str() {
            "current" => instance_type == victim_type,
            pattern => glob(pattern.as_bytes(), instance_type.as_bytes()),
        })
    }
}

/// `*` for any run of characters, `?` for one. Goes back to the last star only: a tag full of stars costs no more than
/// pattern times text.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[t] => {
                p += 1;
                t += 1;
            }
            Some(_) | None => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Everything that the owner of one group asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Members that stay on-demand.
    pub min_on_demand: OnDemandFloor,
    /// Types that may be launched.
    pub allowed_types: TypePatterns,
    /// Types that may not.
    pub denied_types: TypePatterns,
    /// CPUs of another manufacturer are fine.
    pub any_cpu_manufacturer: bool,
    /// Previous-generation types are fine.
    pub previous_generation: bool,
    /// Burstable types are fine for any victim.
    pub burstable: bool,
    /// Upper bound of vCPUs in percent of the victim's.
    pub max_vcpus_percent: Option<u32>,
    /// Upper bound of memory in percent of the victim's.
    pub max_memory_percent: Option<u32>,
    /// EC2's choice among pools.
    pub strategy: AllocationStrategy,
    /// With the lowest-price strategy: only so many of the cheapest pools.
    pub pools_to_use: Option<u32>,
    /// Cap on the spot price in percent of the victim's on-demand price.
    pub max_price_percent: Option<u32>,
    /// Least saving in percent of the victim's on-demand price.
    pub min_saving_percent: u32,
    /// Least saving per hour.
    pub min_saving_per_hour: Saving,
    /// Most interruptions of a pool, of a hundred instances in a month.
    pub max_interruptions_percent: Option<u32>,
    /// A swap has to be worth its overlap.
    pub requires_payback: bool,
    /// Most of the group, in percent, that may sit in one capacity pool.
    pub pool_loss_percent: u32,
    /// Most launches per hour.
    pub swaps_per_hour: u32,
    /// When swaps may start.
    pub schedule: Schedule,
    /// The profile whose values stand where nothing else is said.
    pub profile: Option<&'static str>,
    /// How the victim leaves.
    pub removal: Removal,
    /// What a rebalance recommendation means.
    pub rebalance: OnRebalance,
    /// MaxSize may be raised for the length of a swap.
    pub may_raise_max: bool,
    /// Swap although launch hooks will not run.
    pub ignore_launch_hooks: bool,
    /// What shows that a replica can take over.
    pub readiness: Readiness,
    /// Swap victims of another template version.
    pub roll_forward: bool,
    /// Minimum age of a victim, seconds.
    pub min_age_seconds: u32,
    /// Quiet period before a swap, seconds.
    pub quiet_seconds: u32,
    /// Age of a replica at its attach, seconds; `None` = the group's health-check grace period.
    pub warmup_seconds: Option<u32>,
    /// Time between arming and the victim's end, seconds.
    pub settle_seconds: u32,
    /// Deadline of a replica, seconds.
    pub boot_deadline_seconds: u32,
    /// Length of a launch window, seconds.
    pub retry_window_seconds: u32,
}

/// Micro-dollars per hour; unlike a price it may be zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Saving(pub u64);

/// How many members stay on-demand: the largest of a number and a percentage of desired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnDemandFloor {
    /// At least so many.
    pub number: u32,
    /// At least so many percent of desired, rounded up.
    pub percent: u32,
}

impl OnDemandFloor {
    /// Members that have to be on-demand in a group of `desired`. A floor larger than the group protects all of it.
    pub fn of(self, desired: u32) -> u32 {
        let by_percent = (u64::from(desired) * u64::from(self.percent)).div_ceil(100) as u32;
        self.number.max(by_percent).min(desired)
    }

    fn larger(self, other: Self) -> Self {
        Self { number: self.number.max(other.number), percent: self.percent.max(other.percent) }
    }
}

/// A setting that cannot be understood. It disables its group, aloud.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SettingError {
    /// The tag, or the name of the deployment's default.
    pub tag: String,
    /// What was found.
    pub found: String,
    /// What is allowed.
    pub allowed: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:?}: allowed is {}", self.tag, self.found, self.allowed)
    }
}

/// What the deployment says: which tag enables a group, and defaults for the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Key of the enabling tag.
    pub enable_key: String,
    /// Value of the enabling tag, compared exactly.
    pub enable_value: String,
    /// Identity of this deployment: what another deployment launched is not touched.
    pub stack: String,
    /// Defaults by setting key; what they do not name has the default of [`SETTINGS`].
    pub defaults: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enable_key: "spot-enabled".to_owned(),
            enable_value: "true".to_owned(),
            stack: "spotward".to_owned(),
            defaults: BTreeMap::new(),
        }
    }
}

impl Config {
    /// The same deployment when no group is enabled: what is in flight goes back, nothing is begun. No group can carry
    /// the tag, since AWS lets no key be longer than 128 characters.
    pub fn for_nobody(&self) -> Config {
        Config { enable_key: "nobody".repeat(22), ..self.clone() }
    }
}

/// Whether `key` is a setting of an owner, `spotward:<setting>`.
pub fn is_setting(key: &str) -> bool {
    key.strip_prefix(NAMESPACE).is_some_and(|short| SETTINGS.iter().any(|setting| setting.key == short))
}

/// Proof that the owner of a group asked for us. Only [`enabled`] makes one; starting a swap needs one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnabledGroup {
    name: GroupName,
}

impl EnabledGroup {
    /// The group.
    pub fn name(&self) -> &GroupName {
        &self.name
    }
}

/// The one filter, used on every path; it fails closed.
pub fn enabled(group: &Group, config: &Config) -> Option<EnabledGroup> {
    let value = group.tags.get(&config.enable_key)?;
    (*value == config.enable_value).then(|| EnabledGroup { name: group.name.clone() })
}

impl Policy {
    /// The policy of a group: every setting parsed, or every mistake named.
    pub fn of(group: &Group, config: &Config) -> Result<Policy, Vec<SettingError>> {
        Policy::of_tags(&group.tags, config)
    }

    /// The policy of a group with these tags.
    pub fn of_tags(group: &Tags, config: &Config) -> Result<Policy, Vec<SettingError>> {
        let mut errors = unknown_keys(group);
        let mut raw = Vec::with_capacity(SETTINGS.len());
        let (own, old): (Vec<Wish<'_>>, Vec<Wish<'_>>) = wishes(group).partition(|(tag, _)| tag.starts_with(NAMESPACE));
        let fallback = Fallback::of(Some(group), config);
        for setting in SETTINGS {
            if let Err(error) = raw_values(setting, &own, &old, &fallback, &mut raw) {
                errors.push(error);
            }
        }
        let policy = Policy::parse(&raw, &mut errors);
        if errors.is_empty() { Ok(policy) } else { Err(errors) }
    }

    /// The policy of a group that says nothing itself.
    pub fn defaults(config: &Config) -> Result<Policy, Vec<SettingError>> {
        let mut errors: Vec<SettingError> = config
            .defaults
            .iter()
            .filter(|(key, _)| !SETTINGS.iter().any(|setting| setting.key == key.as_str()))
            .map(|(key, value)| SettingError {
                tag: format!("default {key}"),
                found: value.clone(),
                allowed: format!("one of the settings {}", keys()),
            })
            .collect();
        let fallback = Fallback::of(None, config);
        let raw: Vec<Raw<'_>> = SETTINGS.iter().map(|setting| fallback.value(setting)).collect();
        let policy = Policy::parse(&raw, &mut errors);
        if errors.is_empty() { Ok(policy) } else { Err(errors) }
    }

    fn parse(raw: &[Raw<'_>], errors: &mut Vec<SettingError>) -> Policy {
        let mut read = Reader { raw, errors };
        let policy = Policy {
            min_on_demand: read.floor("min-on-demand"),
            allowed_types: read.one("allowed-types", patterns),
            denied_types: read.one("denied-types", patterns),
            any_cpu_manufacturer: read.one("cpu-manufacturer", |text| choice(text, &[("same", false), ("any", true)])),
            previous_generation: read.one("previous-generation", flag),
            burstable: read.one("burstable", flag),
            max_vcpus_percent: read.one("max-vcpus", bound),
            max_memory_percent: read.one("max-memory", bound),
            strategy: read.one("allocation-strategy", strategy),
            pools_to_use: read.one("pools-to-use", pools_to_use),
            max_price_percent: read.one("max-price", max_price),
            min_saving_percent: read.one("min-saving", |text| percent(text).filter(|percent| *percent <= 99)),
            min_saving_per_hour: read.one("min-saving-per-hour", saving),
            max_interruptions_percent: read.one("max-interruptions", max_interruptions),
            requires_payback: read.one("payback", |text| choice(text, &[("require", true), ("ignore", false)])),
            pool_loss_percent: read
                .one("pool-loss", |text| percent(text).filter(|percent| (1..=100).contains(percent))),
            swaps_per_hour: read.one("swaps-per-hour", |text| number(text).filter(|swaps| (1..=60).contains(swaps))),
            schedule: read.schedule(),
            profile: read.one("profile", profile),
            removal: read.one("removal", |text| {
                // `autoscaling` is the predecessor's word for the same thing.
                choice(
                    text,
                    &[
                        ("terminate", Removal::Terminate),
                        ("autoscaling", Removal::Terminate),
                        ("detach", Removal::Detach),
                    ],
                )
            }),
            rebalance: read.one("rebalance", |text| {
                choice(
                    text,
                    &[("judge", OnRebalance::Judge), ("ignore", OnRebalance::Ignore), ("always", OnRebalance::Always)],
                )
            }),
            may_raise_max: read.one("on-max", |text| choice(text, &[("raise", true), ("skip", false)])),
            ignore_launch_hooks: read.one("launch-hooks", |text| choice(text, &[("skip", false), ("ignore", true)])),
            readiness: read.one("readiness", |text| {
                choice(text, &[("checks", Readiness::Checks), ("watcher", Readiness::Watcher)])
            }),
            roll_forward: read.one("roll-forward", flag),
            min_age_seconds: read.one("min-age", seconds),
            quiet_seconds: read.one("quiet", seconds),
            warmup_seconds: read.one(
                "warmup",
                |text| {
                    if text == "grace" { Some(None) } else { seconds(text).map(Some) }
                },
            ),
            settle_seconds: read.one("settle", seconds),
            boot_deadline_seconds: read.one("boot-deadline", |text| seconds(text).filter(|s| *s >= 600)),
            retry_window_seconds: read.one("retry-window", |text| seconds(text).filter(|s| *s >= 30)),
        };
        // EC2 refuses a number of pools with any other strategy, and so do we: it would be a wish without effect.
        if policy.pools_to_use.is_some() && policy.strategy != AllocationStrategy::LowestPrice {
            read.refuse("pools-to-use", "only together with allocation-strategy lowest-price");
        }
        policy
    }
}

/// Policies that were parsed already: groups with the same settings share one.
#[derive(Debug, Default)]
pub struct Policies(BTreeMap<Vec<(String, String)>, Parsed>);

type Parsed = Result<Arc<Policy>, Vec<SettingError>>;

impl Policies {
    /// As [`Policy::of`].
    pub fn of(&mut self, group: &Group, config: &Config) -> Result<Arc<Policy>, Vec<SettingError>> {
        let settings: Vec<(String, String)> =
            wishes(&group.tags).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        if let Some(known) = self.0.get(&settings) {
            return known.clone();
        }
        let policy = Policy::of(group, config).map(Arc::new);
        self.0.insert(settings, policy.clone());
        policy
    }
}

/// A tag that says what an owner wants, and its value.
type Wish<'a> = (&'a str, &'a str);

/// What an owner wants, be it in the predecessor's words.
fn wishes(group: &Tags) -> impl Iterator<Item = Wish<'_>> {
    let counts = |key: &str| {
        key.strip_prefix(NAMESPACE).is_some_and(|short| !OWN_KEYS.contains(&short)) || key.starts_with(ALIAS_NAMESPACE)
    };
    group.iter().map(|(key, value)| (key.as_str(), value.as_str())).filter(move |(key, _)| counts(key))
}

/// A raw value of a setting, and where it came from.
struct Raw<'a> {
    key: &'static str,
    source: Source<'a>,
    text: Cow<'a, str>,
}

/// Where a value came from: what people have to change if it cannot be read.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// A tag with this key.
    Tag(&'a str),
    /// What a profile says of the setting.
    Profile(&'static str),
    Deployment,
    BuiltIn,
}

impl Raw<'_> {
    fn refused(&self, allowed: &str) -> SettingError {
        let key = self.key;
        let tag = match self.source {
            Source::Tag(tag) => tag.to_owned(),
            Source::Profile(name) => format!("profile {name}: {key}"),
            Source::Deployment => format!("default {key}"),
            Source::BuiltIn => format!("built-in {key}"),
        };
        SettingError { tag, found: self.text.clone().into_owned(), allowed: allowed.to_owned() }
    }
}

fn keys() -> String {
    SETTINGS.iter().map(|setting| setting.key).collect::<Vec<_>>().join(", ")
}

/// A key in our namespace that nobody knows is a mistake: a typo must not pass for a wish that was granted.
fn unknown_keys(group: &Tags) -> Vec<SettingError> {
    group
        .iter()
        .filter_map(|(key, value)| Some((key, key.strip_prefix(NAMESPACE)?, value)))
        .filter(|(_, short, _)| !OWN_KEYS.contains(short) && !SETTINGS.iter().any(|setting| setting.key == *short))
        .map(|(key, _, value)| SettingError {
            tag: key.clone(),
            found: value.clone(),
            allowed: format!("one of the settings {}", keys()),
        })
        .collect()
}

/// What holds where the group says nothing about a setting: its profile, the deployment's default, the profile of the
/// deployment, the built-in value, in this order.
struct Fallback<'a> {
    of_group: Option<&'static Profile>,
    config: &'a Config,
    of_deployment: Option<&'static Profile>,
}

impl<'a> Fallback<'a> {
    fn of(group: Option<&Tags>, config: &'a Config) -> Fallback<'a> {
        let named =
            |name: Option<&String>| PROFILES.iter().find(|profile| Some(profile.name) == name.map(|n| n.trim()));
        let tag = group.and_then(|group| group.get(&format!("{NAMESPACE}profile")));
        Fallback {
            of_group: named(tag),
            config,
            // A group that names a profile, be it `none`, does not want the deployment's.
            of_deployment: named(config.defaults.get("profile")).filter(|_| tag.is_none()),
        }
    }

    fn value(&self, setting: &Setting) -> Raw<'a> {
        let key = setting.key;
        let of = |profile: Option<&'static Profile>| {
            let profile = profile?;
            let (_, text) = profile.settings.iter().find(|(known, _)| *known == key)?;
            Some((Source::Profile(profile.name), *text))
        };
        let of_config = || Some((Source::Deployment, self.config.defaults.get(key)?.as_str()));
        let (source, text): (Source<'a>, &'a str) = of(self.of_group)
            .or_else(of_config)
            .or_else(|| of(self.of_deployment))
            .unwrap_or((Source::BuiltIn, setting.default));
        Raw { key, source, text: Cow::Borrowed(text) }
    }
}

/// Our own tag, else the aliases (all of them), else what holds without: added to `raw`.
fn raw_values<'a>(
    setting: &Setting,
    own: &[Wish<'a>],
    old: &[Wish<'a>],
    fallback: &Fallback<'a>,
    raw: &mut Vec<Raw<'a>>,
) -> Result<(), SettingError> {
    let key = setting.key;
    if let Some((tag, text)) = own.iter().find(|(tag, _)| tag.get(NAMESPACE.len()..) == Some(key)) {
        raw.push(Raw { key, source: Source::Tag(tag), text: Cow::Borrowed(text) });
        return Ok(());
    }
    let mut aliases = Vec::new();
    for alias in setting.aliases {
        if let Some((tag, text)) = old.iter().find(|(tag, _)| tag == alias) {
            // A percentage alias carries a bare number.
            let percentage = alias.ends_with("_percentage");
            let text = match percentage && !text.ends_with('%') {
                true => Cow::Owned(whole_percent(alias, text)?),
                false => Cow::Borrowed(*text),
            };
            aliases.push(Raw { key, source: Source::Tag(tag), text });
        }
    }
    match aliases.is_empty() {
        true => raw.push(fallback.value(setting)),
        false => raw.extend(aliases),
    }
    Ok(())
}

/// The predecessor allows fractions; we round up, towards more protection.
fn whole_percent(alias: &str, text: &str) -> Result<String, SettingError> {
    match text.trim().parse::<f64>() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(format!("{}%", value.ceil() as u32)),
        _ => Err(SettingError {
            tag: alias.to_owned(),
            found: text.to_owned(),
            allowed: "a number from 0 to 100".to_owned(),
        }),
    }
}

/// Reads raw values and collects what cannot be read.
struct Reader<'a> {
    raw: &'a [Raw<'a>],
    errors: &'a mut Vec<SettingError>,
}

impl Reader<'_> {
    /// The setting's value; after a mistake the built-in default stands in so that the other settings are read too
    /// (the policy as a whole is refused).
    fn one<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Option<T>) -> T {
        for raw in self.raw.iter().filter(|raw| raw.key == key) {
            match parse(raw.text.trim()) {
                Some(value) => return value,
                None => self.errors.push(raw.refused(setting(key).values)),
            }
        }
        parse(setting(key).default).expect("built-in defaults parse: a test reads them all")
    }

    fn schedule(&mut self) -> Schedule {
        let zone = self.one("schedule-zone", |name| TimeZone::get(name).ok());
        let schedule = self.one("schedule", |windows| Schedule::parse(windows, zone.clone()));
        let is_on = self.one("schedule-state", |text| choice(text, &[("on", true), ("off", false)]));
        if is_on { schedule } else { schedule.inverted() }
    }

    /// A value that can be read, and makes no sense beside another one.
    fn refuse(&mut self, key: &'static str, allowed: &str) {
        let refused = self.raw.iter().filter(|raw| raw.key == key).map(|raw| raw.refused(allowed));
        self.errors.extend(refused);
    }

    fn floor(&mut self, key: &'static str) -> OnDemandFloor {
        let mut floor = OnDemandFloor::default();
        for raw in self.raw.iter().filter(|raw| raw.key == key) {
            match parse_floor(&raw.text) {
                Some(value) => floor = floor.larger(value),
                None => self.errors.push(raw.refused(setting(key).values)),
            }
        }
        floor
    }
}

fn setting(key: &str) -> &'static Setting {
    SETTINGS.iter().find(|setting| setting.key == key).expect("every key that is read is declared")
}

fn parse_floor(text: &str) -> Option<OnDemandFloor> {
    let mut floor = OnDemandFloor::default();
    for part in text.split(',') {
        let part = part.trim();
        floor = floor.larger(match part.ends_with('%') {
            true => OnDemandFloor { number: 0, percent: percent(part).filter(|percent| *percent <= 100)? },
            false => OnDemandFloor { number: number(part)?, percent: 0 },
        });
    }
    Some(floor)
}

/// Digits only: `+3`, ` 3` and `3.0` are mistakes.
fn number(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn percent(text: &str) -> Option<u32> {
    number(text.strip_suffix('%')?)
}

fn bound(text: &str) -> Option<Option<u32>> {
    if text == "any" { Some(None) } else { percent(text).filter(|percent| *percent >= 100).map(Some) }
}

fn max_price(text: &str) -> Option<Option<u32>> {
    if text == "none" { Some(None) } else { percent(text).filter(|percent| (1..=100).contains(percent)).map(Some) }
}

fn max_interruptions(text: &str) -> Option<Option<u32>> {
    if text == "any" { Some(None) } else { percent(text).filter(|percent| (5..=100).contains(percent)).map(Some) }
}

fn profile(text: &str) -> Option<Option<&'static str>> {
    if text == "none" {
        return Some(None);
    }
    PROFILES.iter().find(|profile| profile.name == text).map(|profile| Some(profile.name))
}

/// Digits and at most one point: no sign, no exponent, nothing that would be rounded.
fn saving(text: &str) -> Option<Saving> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.len() > 4 || fraction.len() > 6 {
        return None;
    }
    let micros: u64 = format!("{fraction:0<6}").parse().ok()?;
    Some(Saving(whole.parse::<u64>().ok()? * 1_000_000 + micros))
}

fn pools_to_use(text: &str) -> Option<Option<u32>> {
    if text == "all" { Some(None) } else { number(text).filter(|pools| (1..=60).contains(pools)).map(Some) }
}

fn flag(text: &str) -> Option<bool> {
    choice(text, &[("true", true), ("false", false)])
}

fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Option<T> {
    choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
}

fn strategy(text: &str) -> Option<AllocationStrategy> {
    use AllocationStrategy::*;
    [PriceCapacityOptimized, CapacityOptimized, CapacityOptimizedPrioritized, Diversified, LowestPrice]
        .into_iter()
        .find(|strategy| strategy.as_str() == text)
}

/// `90s`, `10m`, `2h`; at most a week.
fn seconds(text: &str) -> Option<u32> {
    const WEEK: u32 = 7 * 24 * 3600;
    let unit = text.chars().last()?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    };
    number(&text[..text.len() - 1])?.checked_mul(factor).filter(|seconds| *seconds <= WEEK)
}

fn patterns(text: &str) -> Option<TypePatterns> {
    let patterns: Vec<String> =
        text.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-*?".contains(&byte);
    patterns.iter().all(|pattern| pattern.bytes().all(allowed)).then_some(TypePatterns(patterns))
}
