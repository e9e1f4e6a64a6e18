//! A saved look at a region: what was seen, as versioned JSON. The world can be read back; a plan never is.
//!
//! The types of the planner are not serializable, on purpose. Here each of them is declared once more for serde
//! (`remote`), so that a field that the planner gains is a compile error until it is saved as well. A field that is
//! missing in a file has its usual value: false, nothing, none. A field that nobody knows is an error: half of a world
//! must not pass for the whole.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use jiff::Timestamp;
use planner::journal::Journal;
use planner::market::{Disk, InstanceSpec, Market};
use planner::model::{
    Activity, Cause, Details, Ec2Facts, Group, GroupName, Image, ImageId, InstanceId, InstanceType, LaunchFacts,
    LaunchSource, LifecycleState, Member, Observation, Platform, Price, Provenance, PurchaseOption, Replica, Role,
    RunState, SubnetId, Tags, Zone,
};
use planner::risk::{Own, Risk};
use planner::stats::{Exposure, InterruptionFrequency};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Version of the file format.
pub const VERSION: u32 = 1;

/// What was seen of one region.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The region, as the adapter names it.
    pub region: String,
    /// Groups, each with the time at which it was seen.
    pub groups: Vec<Observation>,
    /// Types, offerings and prices, one entry per platform.
    pub markets: Vec<Market>,
}

/// Why a file is not a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The text ends too early: it was not written to its end.
    #[error("the file ends in the middle (line {line}, column {column})")]
    HalfWritten {
        /// Line where it ends.
        line: usize,
        /// Column where it ends.
        column: usize,
    },
    /// Not JSON at all.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// JSON of something else.
    #[error("not a snapshot: {0}")]
    Malformed(String),
    /// Written by another version of the program.
    #[error("snapshot version {found}; this program reads version {VERSION}")]
    Version {
        /// The file's version.
        found: u64,
    },
}

#[derive(Deserialize)]
struct Head {
    v: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    v: u64,
    kind: String,
    region: String,
    groups: Vec<ObservationFile>,
    markets: Vec<MarketFile>,
}

/// The file says itself what it is, so that no other JSON is taken for one.
const KIND: &str = "spotward-snapshot";

impl Snapshot {
    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Snapshot, SnapshotError> {
        // Another version may differ in anything: only what cannot be read as this one is asked for its version alone.
        let file: File = match serde_json::from_str(text) {
            Ok(file) => file,
            Err(error) => {
                return Err(match serde_json::from_str::<Head>(text) {
                    Ok(head) if head.v != u64::from(VERSION) => SnapshotError::Version { found: head.v },
                    Ok(_) | Err(_) => refuse(error),
                });
            }
        };
        if file.v != u64::from(VERSION) {
            return Err(SnapshotError::Version { found: file.v });
        }
        if file.kind != KIND {
            return Err(SnapshotError::Malformed(format!("its kind is {:?}, not {KIND:?}", file.kind)));
        }
        Ok(Snapshot {
            region: file.region,
            groups: file.groups.into_iter().map(|file| file.0).collect(),
            markets: file.markets.into_iter().map(|file| file.0).collect(),
        })
    }

    /// The file's text: one line per field, so that two snapshots can be compared with ordinary tools.
    pub fn to_json(&self) -> String {
        let file = File {
            v: u64::from(VERSION),
            kind: KIND.to_owned(),
            region: self.region.clone(),
            groups: self.groups.iter().cloned().map(ObservationFile).collect(),
            markets: self.markets.iter().cloned().map(MarketFile).collect(),
        };
        let mut text = serde_json::to_string_pretty(&file).expect("plain data with text keys always serializes");
        text.push('\n');
        text
    }
}

fn refuse(error: serde_json::Error) -> SnapshotError {
    use serde_json::error::Category;
    match error.classify() {
        Category::Eof => SnapshotError::HalfWritten { line: error.line(), column: error.column() },
        Category::Syntax | Category::Io => SnapshotError::NotJson(error.to_string()),
        Category::Data => SnapshotError::Malformed(error.to_string()),
    }
}

// ---- values that are a text in the file ----

/// A value with one text, both ways.
trait Text: Sized {
    fn show(&self) -> String;
    fn read(text: &str) -> Result<Self, String>;
}

macro_rules! names {
    ($($name:ident),+) => {$(
        impl Text for $name {
            fn show(&self) -> String {
                self.to_string()
            }
            fn read(text: &str) -> Result<Self, String> {
                if text.is_empty() { Err("an empty name".to_owned()) } else { Ok($name::new(text)) }
            }
        }
    )+};
}

names!(GroupName, InstanceId, InstanceType, Zone, SubnetId, ImageId);

impl Text for Timestamp {
    fn show(&self) -> String {
        self.to_string()
    }
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text:?} is not a time like 2026-01-31T12:00:00Z"))
    }
}

impl Text for Journal {
    fn show(&self) -> String {
        self.to_string()
    }
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: planner::journal::JournalError| error.to_string())
    }
}

impl Text for Price {
    fn show(&self) -> String {
        format!("{:.6}", self.dollars())
    }
    fn read(text: &str) -> Result<Self, String> {
        Price::parse(text).ok_or_else(|| format!("{text:?} is not a price per hour"))
    }
}

impl Text for LifecycleState {
    fn show(&self) -> String {
        self.to_string()
    }
    fn read(text: &str) -> Result<Self, String> {
        Ok(LifecycleState::parse(text))
    }
}

/// The value whose text this is.
fn named<T: Copy>(text: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Result<T, String> {
    let names = || all.iter().map(|value| name(*value)).collect::<Vec<_>>().join(", ");
    all.iter().copied().find(|value| name(*value) == text).ok_or_else(|| format!("{text:?} is none of {}", names()))
}

impl Text for Platform {
    fn show(&self) -> String {
        self.spot_product().to_owned()
    }
    fn read(text: &str) -> Result<Self, String> {
        named(text, &Platform::ALL, Platform::spot_product)
    }
}

impl Text for PurchaseOption {
    fn show(&self) -> String {
        self.to_string()
    }
    fn read(text: &str) -> Result<Self, String> {
        named(text, &[Self::OnDemand, Self::Spot], |purchase| match purchase {
            Self::OnDemand => "on-demand",
            Self::Spot => "spot",
        })
    }
}

impl Text for Cause {
    fn show(&self) -> String {
        self.as_str().to_owned()
    }
    fn read(text: &str) -> Result<Self, String> {
        named(text, &[Self::Swap, Self::Notice, Self::Rebalance], |cause| cause.as_str())
    }
}

impl Text for Role {
    fn show(&self) -> String {
        self.as_str().to_owned()
    }
    fn read(text: &str) -> Result<Self, String> {
        named(text, &[Self::Replica, Self::Member, Self::Doomed], Role::as_str)
    }
}

fn run_state(state: RunState) -> &'static str {
    match state {
        RunState::Pending => "pending",
        RunState::Running => "running",
        RunState::Stopping => "stopping",
        RunState::Stopped => "stopped",
        RunState::ShuttingDown => "shutting-down",
        RunState::Terminated => "terminated",
    }
}

impl Text for RunState {
    fn show(&self) -> String {
        run_state(*self).to_owned()
    }
    fn read(text: &str) -> Result<Self, String> {
        use RunState::*;
        named(text, &[Pending, Running, Stopping, Stopped, ShuttingDown, Terminated], run_state)
    }
}

/// `with` for one text.
mod text {
    use super::*;

    pub(super) fn serialize<T: Text, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&value.show())
    }
    pub(super) fn deserialize<'de, T: Text, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        T::read(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// `with` for a text or nothing.
mod maybe_text {
    use super::*;

    pub(super) fn serialize<T: Text, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(Text::show).serialize(to)
    }
    pub(super) fn deserialize<'de, T: Text, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
        Option::<String>::deserialize(from)?.map(|text| T::read(&text)).transpose().map_err(D::Error::custom)
    }
}

/// `with` for a list of texts.
mod texts {
    use super::*;

    pub(super) fn serialize<T: Text, S: Serializer>(values: &[T], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(values.iter().map(Text::show))
    }
    pub(super) fn deserialize<'de, T: Text, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        texts.iter().map(|text| T::read(text)).collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}

// ---- values that are an object in the file ----

/// `with` for a list of objects, each through its file type `W`.
struct Each<W>(PhantomData<W>);

impl<W> Each<W> {
    fn serialize<T: Clone, S: Serializer>(values: &[T], to: S) -> Result<S::Ok, S::Error>
    where
        W: From<T> + Serialize,
    {
        to.collect_seq(values.iter().cloned().map(W::from))
    }

    fn deserialize<'de, T, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error>
    where
        W: Into<T> + Deserialize<'de>,
    {
        Ok(Vec::<W>::deserialize(from)?.into_iter().map(Into::into).collect())
    }
}

/// `with` for an object or nothing, or for a value of which nothing may be known.
struct Maybe<W>(PhantomData<W>);

impl<W> Maybe<W> {
    fn serialize<T: Clone, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error>
    where
        W: From<T> + Serialize,
    {
        value.clone().map(W::from).serialize(to)
    }

    fn deserialize<'de, T, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error>
    where
        W: Into<T> + Deserialize<'de>,
    {
        Ok(Option::<W>::deserialize(from)?.map(Into::into))
    }
}

/// A value of the planner in the clothes of its declaration for serde.
macro_rules! dressed {
    ($($file:ident is $value:ty as $declared:literal),+ $(,)?) => {$(
        #[derive(Serialize, Deserialize)]
        #[serde(transparent)]
        struct $file(#[serde(with = $declared)] $value);

        impl From<$value> for $file {
            fn from(value: $value) -> Self {
                Self(value)
            }
        }

        impl From<$file> for $value {
            fn from(file: $file) -> Self {
                file.0
            }
        }
    )+};
}

dressed! {
    ObservationFile is Observation as "ObservationDef",
    MemberFile is Member as "MemberDef",
    ReplicaFile is Replica as "ReplicaDef",
    Ec2File is Ec2Facts as "Ec2FactsDef",
    ProvenanceFile is Provenance as "ProvenanceDef",
    DetailsFile is Details as "DetailsDef",
    ActivityFile is Activity as "ActivityDef",
    LaunchFactsFile is LaunchFacts as "LaunchFactsDef",
    MarketFile is Market as "MarketDef",
    SpecFile is InstanceSpec as "InstanceSpecDef",
    DiskFile is Disk as "DiskDef",
}

/// The usual value need not be written down.
fn usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Observation", deny_unknown_fields)]
struct ObservationDef {
    #[serde(rename = "seen_at", with = "text")]
    now: Timestamp,
    #[serde(with = "GroupDef")]
    group: Group,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Group", deny_unknown_fields)]
struct GroupDef {
    #[serde(with = "text")]
    name: GroupName,
    arn: String,
    desired: u32,
    min_size: u32,
    max_size: u32,
    #[serde(with = "texts", default, skip_serializing_if = "usual")]
    subnets: Vec<SubnetId>,
    #[serde(with = "texts", default, skip_serializing_if = "usual")]
    zones: Vec<Zone>,
    #[serde(default, skip_serializing_if = "usual")]
    tags: Tags,
    #[serde(default, skip_serializing_if = "usual")]
    propagated_tags: Tags,
    #[serde(default, skip_serializing_if = "usual")]
    suspended: BTreeSet<String>,
    #[serde(with = "LaunchSourceDef")]
    source: LaunchSource,
    #[serde(default, skip_serializing_if = "usual")]
    status: Option<String>,
    #[serde(default, skip_serializing_if = "usual")]
    operator: Option<String>,
    #[serde(default, skip_serializing_if = "usual")]
    warm_pool: bool,
    #[serde(default, skip_serializing_if = "usual")]
    capacity_rebalance: bool,
    #[serde(default, skip_serializing_if = "usual")]
    desired_capacity_type: Option<String>,
    #[serde(default, skip_serializing_if = "usual")]
    new_members_protected: bool,
    #[serde(default, skip_serializing_if = "usual")]
    grace_seconds: u32,
    #[serde(default, skip_serializing_if = "usual")]
    load_balanced: bool,
    #[serde(default, skip_serializing_if = "usual")]
    placement_group: Option<String>,
    #[serde(with = "Each::<MemberFile>")]
    members: Vec<Member>,
    #[serde(with = "Each::<ReplicaFile>", default, skip_serializing_if = "Vec::is_empty")]
    replicas: Vec<Replica>,
    #[serde(with = "Maybe::<DetailsFile>", default, skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LaunchSource", rename_all = "snake_case", deny_unknown_fields)]
enum LaunchSourceDef {
    Template { id: String, version: String },
    Configuration { name: String },
    MixedInstances,
    Missing,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Member", deny_unknown_fields)]
struct MemberDef {
    #[serde(with = "text")]
    id: InstanceId,
    #[serde(with = "text")]
    zone: Zone,
    #[serde(with = "text")]
    instance_type: InstanceType,
    #[serde(with = "text")]
    purchase: PurchaseOption,
    #[serde(with = "text")]
    lifecycle: LifecycleState,
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    healthy: bool,
    #[serde(default, skip_serializing_if = "usual")]
    targets_healthy: Option<bool>,
    #[serde(default, skip_serializing_if = "usual")]
    protected: bool,
    #[serde(default, skip_serializing_if = "usual")]
    weighted: bool,
    #[serde(default, skip_serializing_if = "usual")]
    template_version: Option<u64>,
    #[serde(with = "Maybe::<Ec2File>", default, skip_serializing_if = "Option::is_none")]
    ec2: Option<Ec2Facts>,
    #[serde(with = "Maybe::<ProvenanceFile>", default, skip_serializing_if = "Option::is_none")]
    ours: Option<Provenance>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Ec2Facts", deny_unknown_fields)]
struct Ec2FactsDef {
    #[serde(with = "text")]
    state: RunState,
    #[serde(with = "text")]
    launched_at: Timestamp,
    #[serde(with = "text")]
    subnet: SubnetId,
    #[serde(with = "text")]
    image: ImageId,
    #[serde(with = "maybe_text", default, skip_serializing_if = "usual")]
    platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "usual")]
    elastic_ip: bool,
    #[serde(default, skip_serializing_if = "usual")]
    attached_later: bool,
    #[serde(default, skip_serializing_if = "usual")]
    reserved: bool,
    #[serde(default, skip_serializing_if = "usual")]
    enabled: bool,
    #[serde(default, skip_serializing_if = "usual")]
    interrupted: bool,
    #[serde(with = "maybe_text", default, skip_serializing_if = "usual")]
    ends_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "usual")]
    termination_protected: Option<bool>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Provenance", deny_unknown_fields)]
struct ProvenanceDef {
    #[serde(with = "text")]
    role: Role,
    #[serde(with = "text")]
    group: GroupName,
    #[serde(with = "text")]
    victim: InstanceId,
    #[serde(with = "maybe_text", default, skip_serializing_if = "usual")]
    stands_for: Option<InstanceType>,
    #[serde(with = "maybe_text", default, skip_serializing_if = "usual")]
    bid: Option<Price>,
    #[serde(with = "text")]
    deadline: Timestamp,
    stack: String,
    #[serde(with = "maybe_text", default, skip_serializing_if = "usual")]
    journal: Option<Journal>,
    #[serde(with = "maybe_text", default, skip_serializing_if = "usual")]
    ready_at: Option<Timestamp>,
    #[serde(with = "text", default, skip_serializing_if = "usual")]
    cause: Cause,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Replica", deny_unknown_fields)]
struct ReplicaDef {
    #[serde(with = "text")]
    id: InstanceId,
    #[serde(with = "text")]
    zone: Zone,
    #[serde(with = "text")]
    instance_type: InstanceType,
    #[serde(with = "text")]
    purchase: PurchaseOption,
    #[serde(with = "text")]
    state: RunState,
    #[serde(default, skip_serializing_if = "usual")]
    checks_ok: Option<bool>,
    #[serde(with = "text")]
    launched_at: Timestamp,
    #[serde(default, skip_serializing_if = "usual")]
    was_member: bool,
    #[serde(default, skip_serializing_if = "usual")]
    interrupted: bool,
    #[serde(with = "ProvenanceDef")]
    ours: Provenance,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Details", deny_unknown_fields)]
struct DetailsDef {
    #[serde(default, skip_serializing_if = "usual")]
    launch_hooks: Vec<String>,
    #[serde(default, skip_serializing_if = "usual")]
    termination_hooks: Vec<String>,
    #[serde(default, skip_serializing_if = "usual")]
    active_refresh: Option<String>,
    #[serde(with = "texts", default, skip_serializing_if = "usual")]
    scheduled_actions: Vec<Timestamp>,
    #[serde(with = "activities", default, skip_serializing_if = "usual")]
    activities: Option<Vec<Activity>>,
    #[serde(with = "launch", default, skip_serializing_if = "Option::is_none")]
    launch: Option<Result<LaunchFacts, String>>,
}

/// `with` for the activities: a look that did not ask is not a look that found none.
mod activities {
    use super::*;

    pub(super) fn serialize<S: Serializer>(value: &Option<Vec<Activity>>, to: S) -> Result<S::Ok, S::Error> {
        let files = |list: &Vec<Activity>| list.iter().cloned().map(ActivityFile).collect::<Vec<_>>();
        value.as_ref().map(files).serialize(to)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<Activity>>, D::Error> {
        let files = Option::<Vec<ActivityFile>>::deserialize(from)?;
        Ok(files.map(|list| list.into_iter().map(|file| file.0).collect()))
    }
}

/// `with` for what the group launches: facts, or why they could not be read.
mod launch {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Read {
        Facts(Box<LaunchFactsFile>),
        Unreadable(String),
    }

    pub(super) fn serialize<S: Serializer>(
        value: &Option<Result<LaunchFacts, String>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let read = value.clone().map(|read| match read {
            Ok(facts) => Read::Facts(Box::new(LaunchFactsFile(facts))),
            Err(why) => Read::Unreadable(why),
        });
        read.serialize(to)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Result<LaunchFacts, String>>, D::Error> {
        Ok(Option::<Read>::deserialize(from)?.map(|read| match read {
            Read::Facts(file) => Ok(file.0),
            Read::Unreadable(why) => Err(why),
        }))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Activity", deny_unknown_fields)]
struct ActivityDef {
    #[serde(with = "maybe_text", default, skip_serializing_if = "usual")]
    instance: Option<InstanceId>,
    #[serde(with = "text")]
    started_at: Timestamp,
    #[serde(with = "maybe_text", default, skip_serializing_if = "usual")]
    ended_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "usual")]
    shrank: Option<(u32, u32)>,
    #[serde(default, skip_serializing_if = "usual")]
    by_request: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LaunchFacts", deny_unknown_fields)]
struct LaunchFactsDef {
    #[serde(default, skip_serializing_if = "usual")]
    version: Option<u64>,
    #[serde(with = "maybe_text", default, skip_serializing_if = "usual")]
    instance_type: Option<InstanceType>,
    #[serde(with = "ImageDef")]
    image: Image,
    #[serde(default, skip_serializing_if = "usual")]
    requests_spot: bool,
    #[serde(default, skip_serializing_if = "usual")]
    instance_requirements: bool,
    #[serde(default, skip_serializing_if = "usual")]
    tenancy: Option<String>,
    #[serde(default, skip_serializing_if = "usual")]
    termination_protection: bool,
    #[serde(default, skip_serializing_if = "usual")]
    hibernation: bool,
    #[serde(default, skip_serializing_if = "usual")]
    enclave: bool,
    #[serde(default, skip_serializing_if = "usual")]
    cpu_options: bool,
    #[serde(default, skip_serializing_if = "usual")]
    kernel: bool,
    #[serde(default, skip_serializing_if = "usual")]
    maps_instance_store: bool,
    #[serde(default, skip_serializing_if = "usual")]
    volumes: u32,
    interfaces: u32,
    #[serde(default, skip_serializing_if = "usual")]
    ipv6: bool,
    #[serde(default, skip_serializing_if = "usual")]
    efa: bool,
    #[serde(default, skip_serializing_if = "usual")]
    conntrack: bool,
    #[serde(default, skip_serializing_if = "usual")]
    placement_strategy: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Image", deny_unknown_fields)]
struct ImageDef {
    #[serde(with = "text")]
    id: ImageId,
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    available: bool,
    architecture: String,
    virtualization: String,
    #[serde(default, skip_serializing_if = "usual")]
    boot_mode: Option<String>,
    #[serde(default, skip_serializing_if = "usual")]
    tpm: bool,
    #[serde(default, skip_serializing_if = "usual")]
    ena: bool,
    root_device: String,
    usage_operation: String,
    #[serde(default, skip_serializing_if = "usual")]
    marketplace: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Market", deny_unknown_fields)]
struct MarketDef {
    #[serde(with = "text")]
    platform: Platform,
    #[serde(with = "specs")]
    specs: BTreeMap<InstanceType, InstanceSpec>,
    #[serde(with = "offerings")]
    offerings: BTreeMap<Zone, BTreeSet<InstanceType>>,
    #[serde(rename = "on_demand_micros_per_hour", with = "prices")]
    on_demand: BTreeMap<InstanceType, Price>,
    #[serde(rename = "spot_micros_per_hour", with = "spot_prices")]
    spot: BTreeMap<Zone, BTreeMap<InstanceType, Price>>,
    #[serde(default, skip_serializing_if = "usual", with = "risk")]
    risk: Risk,
}

/// `with` for what is known of interruptions: the advisor's bucket by type, and our own seconds, losses and latest loss by
/// zone and type.
mod risk {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        advisor_bucket: BTreeMap<String, u64>,
        own: BTreeMap<String, BTreeMap<String, OwnFile>>,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct OwnFile {
        seconds: u64,
        losses: u32,
        #[serde(with = "maybe_text", default, skip_serializing_if = "usual")]
        last_loss: Option<Timestamp>,
    }

    pub(super) fn serialize<S: Serializer>(risk: &Risk, to: S) -> Result<S::Ok, S::Error> {
        let bucket = |frequency: &InterruptionFrequency| {
            InterruptionFrequency::ALL.iter().position(|known| known == frequency).unwrap_or(0) as u64
        };
        let of_zone = |types: &BTreeMap<InstanceType, Own>| {
            let file = |own: &Own| OwnFile {
                seconds: own.exposure.seconds,
                losses: own.exposure.interruptions,
                last_loss: own.last_loss,
            };
            types.iter().map(|(name, own)| (name.to_string(), file(own))).collect()
        };
        File {
            advisor_bucket: risk.advisor.iter().map(|(name, it)| (name.to_string(), bucket(it))).collect(),
            own: risk.own.iter().map(|(zone, types)| (zone.to_string(), of_zone(types))).collect(),
        }
        .serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Risk, D::Error> {
        let file = File::deserialize(from)?;
        let advisor = file.advisor_bucket.into_iter().map(|(name, bucket)| {
            let frequency = InterruptionFrequency::from_bucket(bucket)
                .ok_or_else(|| D::Error::custom(format!("advisor_bucket of {name}: 0 to 4, not {bucket}")))?;
            Ok((InstanceType::new(name), frequency))
        });
        let of_zone = |types: BTreeMap<String, OwnFile>| {
            let own = |file: OwnFile| Own {
                exposure: Exposure { seconds: file.seconds, interruptions: file.losses },
                last_loss: file.last_loss,
            };
            types.into_iter().map(|(name, file)| (InstanceType::new(name), own(file))).collect()
        };
        Ok(Risk {
            advisor: advisor.collect::<Result<_, D::Error>>()?,
            own: file.own.into_iter().map(|(zone, types)| (Zone::new(zone), of_zone(types))).collect(),
        })
    }
}

/// `with` for the types: a list, since each knows its name.
mod specs {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        specs: &BTreeMap<InstanceType, InstanceSpec>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(specs.values().cloned().map(SpecFile))
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<InstanceType, InstanceSpec>, D::Error> {
        let specs = Vec::<SpecFile>::deserialize(from)?;
        Ok(specs.into_iter().map(|file| (file.0.instance_type.clone(), file.0)).collect())
    }
}

/// `with` for the types that each zone offers.
mod offerings {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        zones: &BTreeMap<Zone, BTreeSet<InstanceType>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_map(
            zones.iter().map(|(zone, types)| (zone.as_str(), types.iter().map(Text::show).collect::<Vec<_>>())),
        )
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<Zone, BTreeSet<InstanceType>>, D::Error> {
        let zones = BTreeMap::<String, Vec<String>>::deserialize(from)?;
        Ok(zones
            .into_iter()
            .map(|(zone, types)| (Zone::new(zone), types.iter().map(InstanceType::new).collect()))
            .collect())
    }
}

fn micros(prices: &BTreeMap<InstanceType, Price>) -> BTreeMap<&str, u64> {
    prices.iter().map(|(instance_type, price)| (instance_type.as_str(), price.0)).collect()
}

fn of_micros(prices: BTreeMap<String, u64>) -> BTreeMap<InstanceType, Price> {
    prices.into_iter().map(|(instance_type, micros)| (InstanceType::new(instance_type), Price(micros))).collect()
}

/// `with` for prices by type.
mod prices {
    use super::*;

    pub(super) fn serialize<S: Serializer>(prices: &BTreeMap<InstanceType, Price>, to: S) -> Result<S::Ok, S::Error> {
        micros(prices).serialize(to)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<InstanceType, Price>, D::Error> {
        Ok(of_micros(BTreeMap::deserialize(from)?))
    }
}

/// `with` for prices by zone and type.
mod spot_prices {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        zones: &BTreeMap<Zone, BTreeMap<InstanceType, Price>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_map(zones.iter().map(|(zone, prices)| (zone.as_str(), micros(prices))))
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<Zone, BTreeMap<InstanceType, Price>>, D::Error> {
        let zones = BTreeMap::<String, BTreeMap<String, u64>>::deserialize(from)?;
        Ok(zones.into_iter().map(|(zone, prices)| (Zone::new(zone), of_micros(prices))).collect())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "InstanceSpec", deny_unknown_fields)]
struct InstanceSpecDef {
    #[serde(with = "text")]
    instance_type: InstanceType,
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    current_generation: bool,
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    spot: bool,
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    on_demand: bool,
    #[serde(default, skip_serializing_if = "usual")]
    bare_metal: bool,
    #[serde(default, skip_serializing_if = "usual")]
    hypervisor: String,
    virtualization: Vec<String>,
    architectures: Vec<String>,
    #[serde(default, skip_serializing_if = "usual")]
    cpu_manufacturer: String,
    #[serde(default, skip_serializing_if = "usual")]
    cpu_features: Vec<String>,
    #[serde(default, skip_serializing_if = "usual")]
    boot_modes: Vec<String>,
    #[serde(default, skip_serializing_if = "usual")]
    tpm: bool,
    root_devices: Vec<String>,
    vcpus: u32,
    cores: u32,
    #[serde(default, skip_serializing_if = "usual")]
    valid_cores: Vec<u32>,
    #[serde(default, skip_serializing_if = "usual")]
    valid_threads_per_core: Vec<u32>,
    memory_mib: u64,
    #[serde(with = "Each::<DiskFile>", default, skip_serializing_if = "usual")]
    disks: Vec<Disk>,
    #[serde(default, skip_serializing_if = "usual")]
    nvme_disks: bool,
    #[serde(default, skip_serializing_if = "usual")]
    encrypted_disks: bool,
    #[serde(default, skip_serializing_if = "usual")]
    ebs_baseline_mbps: u32,
    #[serde(default, skip_serializing_if = "usual")]
    ebs_baseline_iops: u32,
    #[serde(default, skip_serializing_if = "usual")]
    ebs_attachments: u32,
    #[serde(default, skip_serializing_if = "usual")]
    ebs_attachments_shared: bool,
    #[serde(default, skip_serializing_if = "usual")]
    ena_required: bool,
    #[serde(default, skip_serializing_if = "usual")]
    network_baseline_mbps: u32,
    interfaces: u32,
    #[serde(default, skip_serializing_if = "usual")]
    network_cards: u32,
    #[serde(default, skip_serializing_if = "usual")]
    ipv4_per_interface: u32,
    #[serde(default, skip_serializing_if = "usual")]
    ipv6: bool,
    #[serde(default, skip_serializing_if = "usual")]
    ipv6_per_interface: u32,
    #[serde(default, skip_serializing_if = "usual")]
    encryption_in_transit: bool,
    #[serde(default, skip_serializing_if = "usual")]
    efa: bool,
    #[serde(default, skip_serializing_if = "usual")]
    tcp_idle_timeout_seconds: Option<u32>,
    #[serde(default, skip_serializing_if = "usual")]
    accelerators: Vec<(String, u32)>,
    #[serde(default, skip_serializing_if = "usual")]
    accelerator_memory_mib: u64,
    #[serde(default, skip_serializing_if = "usual")]
    burstable: bool,
    #[serde(default, skip_serializing_if = "usual")]
    enclaves: bool,
    #[serde(default, skip_serializing_if = "usual")]
    hibernation: bool,
    #[serde(default, skip_serializing_if = "usual")]
    placement_strategies: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Disk", deny_unknown_fields)]
struct DiskDef {
    count: u32,
    size_gb: u64,
    kind: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    /// Every field away from its usual value at least once, every kind of nothing at least once.
    const FULL: &str = include_str!("../tests/data/snapshot-full.json");

    fn check_refused(text: &str, expected: Expect) {
        expected.assert_eq(&Snapshot::parse(text).expect_err("must be refused").to_string());
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        let read = Snapshot::parse(FULL).expect("the file is whole");
        assert_eq!(read.to_json(), FULL);
        let again = Snapshot::parse(&read.to_json()).expect("what we write is whole");
        assert_eq!(format!("{again:?}"), format!("{read:?}"));
    }

    #[test]
    fn a_half_written_file_is_refused_wherever_it_ends() {
        for end in (1..FULL.len() - 2).step_by(7) {
            assert!(
                matches!(Snapshot::parse(&FULL[..end]), Err(SnapshotError::HalfWritten { .. })),
                "cut at byte {end}: {:?}",
                Snapshot::parse(&FULL[..end])
            );
        }
        check_refused(
            r#"{"v":1,"kind":"spotward-snapshot","#,
            expect!["the file ends in the middle (line 1, column 34)"],
        );
        check_refused("", expect!["the file ends in the middle (line 1, column 0)"]);
    }

    #[test]
    fn another_version_is_refused_before_anything_else_is_read() {
        check_refused(r#"{"v":2,"whatever":[]}"#, expect!["snapshot version 2; this program reads version 1"]);
    }

    #[test]
    fn other_documents_are_refused() {
        check_refused("<html>", expect!["not JSON: expected value at line 1 column 1"]);
        check_refused(r#"{"groups":[]}"#, expect!["not a snapshot: missing field `v` at line 1 column 13"]);
        check_refused(
            r#"{"v":1,"kind":"plan","region":"","groups":[],"markets":[]}"#,
            expect![[r#"not a snapshot: its kind is "plan", not "spotward-snapshot""#]],
        );
    }

    #[test]
    fn a_field_or_a_value_that_nobody_knows_is_refused() {
        let typo = FULL.replacen("\"desired\"", "\"desirred\"", 1);
        let error = Snapshot::parse(&typo).expect_err("a typo").to_string();
        assert!(error.starts_with("not a snapshot: unknown field `desirred`, expected one of `name`,"), "{error}");
        check_refused(
            &FULL.replacen("\"on-demand\"", "\"ondemand\"", 1),
            expect![[r#"not a snapshot: "ondemand" is none of on-demand, spot at line 51 column 34"#]],
        );
        check_refused(
            &FULL.replacen("\"seen_at\": \"2026", "\"seen_at\": \"at noon 2026", 1),
            expect![[
                r#"not a snapshot: "at noon 2026-03-02T10:00:00Z" is not a time like 2026-01-31T12:00:00Z at line 7 column 47"#
            ]],
        );
    }
}
