//! What the stage knows beside moto: one world per account and region.
//!
//! moto keeps the instances, the templates, who is a member of which group, the tags, hooks and suspended processes.
//! The stage keeps what moto gets wrong: the sizes of the groups, how an instance was launched, what is on its way out,
//! what has been done, and which capacity pools are empty.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::Stage;
use crate::autoscaling;
use crate::market::Platform;
use crate::moto::Place;
use crate::wire::{Params, Refusal};
use crate::xml::Element;

/// How the world behaves. All delays are zero until a test asks for them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// From launch to `running`.
    pub boot_seconds: f64,
    /// From `running` to passed status checks.
    pub checks_seconds: f64,
    /// From attach or launch by the group to `InService`.
    pub in_service_seconds: f64,
    /// How long a member that the group terminates stays `Terminating` (draining, termination hooks).
    pub terminating_seconds: f64,
    /// From the end of an instance to the moment at which its group notices and replaces it.
    pub repair_seconds: f64,
    /// From registration with a target group to `healthy`.
    pub healthy_seconds: f64,
    /// How long after its launch an instance is still missing from filtered lists; by its id it is found at once.
    pub lag_seconds: f64,
    /// AWS does not document what a second terminate-with-decrement of a terminating member does:
    /// refuse it (false, the benign answer) or lower desired again (true).
    pub second_decrement_counts: bool,
}

pub struct World {
    pub place: Place,
    pub settings: Settings,
    pub groups: BTreeMap<String, GroupState>,
    pub instances: HashMap<String, InstanceState>,
    pub pools: HashMap<(String, String), Pool>,
    /// Client tokens by action: the parameters they were used with, and what was answered.
    pub tokens: HashMap<(String, String), (u64, Element)>,
    pub subnets: HashMap<String, Subnet>,
    /// What the load balancer says of an instance, by command.
    pub target_states: HashMap<String, String>,
    ids: u64,
}

#[derive(Clone, Debug, Default)]
pub struct GroupState {
    pub min: i64,
    pub max: i64,
    pub desired: i64,
    pub activities: Vec<Activity>,
    pub refreshes: Vec<Refresh>,
    /// Members that are leaving: out of moto's group already, still listed on AWS.
    pub leaving: Vec<Leaving>,
    /// When the group looks whether it has as many members as it should.
    pub repair_at: Option<f64>,
}

#[derive(Clone, Debug)]
pub struct Leaving {
    pub instance_id: String,
    /// The member as it was last described.
    pub member: Element,
    pub until: f64,
    pub how: LeavingHow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeavingHow {
    /// Terminated by its group: `Terminating`, still running until the end.
    Terminating,
    /// Ended behind its group's back: listed as `InService` until the group notices.
    Unnoticed,
}

#[derive(Clone, Debug)]
pub struct Activity {
    pub id: String,
    pub description: String,
    pub cause: String,
    pub start: f64,
    pub end: Option<f64>,
    pub status: String,
    pub details: String,
}

#[derive(Clone, Debug)]
pub struct Refresh {
    pub id: String,
    pub status: String,
    pub start: f64,
}

#[derive(Clone, Debug, Default)]
pub struct InstanceState {
    pub launched: f64,
    pub instance_type: String,
    pub zone: String,
    pub subnet: String,
    pub image: String,
    pub template: Option<TemplateRef>,
    /// The launch configuration, for members that their group launched itself.
    pub launch_configuration: Option<String>,
    pub spot: Option<Spot>,
    pub member_since: Option<f64>,
    /// When EC2 takes the instance back.
    pub interrupt_at: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateRef {
    pub id: String,
    pub name: String,
    pub version: String,
}

#[derive(Clone, Debug)]
pub struct Spot {
    pub request_id: String,
    pub platform: Platform,
    pub created: f64,
    /// `active`, or `closed` with the reason as status code.
    pub state: String,
    pub status_code: String,
}

/// What a test says about one capacity pool.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pool {
    /// How many more instances it has; none: no limit.
    pub capacity: Option<i64>,
    /// A fixed spot price in place of the one from the data.
    pub usd: Option<f64>,
    /// An error code with which every launch from this pool fails, such as `MaxSpotInstanceCountExceeded`.
    pub error: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Subnet {
    pub zone: String,
    pub vpc: String,
}

impl World {
    pub fn new(place: Place) -> World {
        World {
            place,
            settings: Settings::default(),
            groups: BTreeMap::new(),
            instances: HashMap::new(),
            pools: HashMap::new(),
            tokens: HashMap::new(),
            subnets: HashMap::new(),
            target_states: HashMap::new(),
            ids: 0,
        }
    }

    /// An id of AWS's looks: a prefix and seventeen hexadecimal digits.
    pub fn id(&mut self, prefix: &str) -> String {
        self.ids += 1;
        let seed = self
            .place
            .account
            .bytes()
            .chain(self.place.region.bytes())
            .fold(7u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
        format!("{prefix}0{:08x}{:08x}", seed & 0xffff_ffff, self.ids)
    }

    pub fn group(&mut self, name: &str) -> &mut GroupState {
        self.groups.entry(name.to_owned()).or_default()
    }

    /// The spot price that holds now: by command, else from the data.
    pub fn spot_usd(&self, stage: &Stage, zone: &str, instance_type: &str, platform: Platform, at: i64) -> Option<f64> {
        let commanded = self.pools.get(&(instance_type.to_owned(), zone.to_owned())).and_then(|pool| pool.usd);
        commanded.or_else(|| Some(stage.market.spot(&self.place.region, zone, instance_type, platform, at)?.usd))
    }

    pub async fn subnet(&mut self, stage: &Stage, id: &str) -> Result<Subnet, Refusal> {
        if let Some(known) = self.subnets.get(id) {
            return Ok(known.clone());
        }
        let answer = stage.moto.ask(&self.place, "ec2", "DescribeSubnets", &Params::of([("SubnetId.1", id)])).await?;
        let item = answer.items(&["subnetSet"]).first().ok_or_else(|| {
            Refusal::new(400, "InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist"))
        })?;
        let subnet =
            Subnet { zone: item.text_at(&["availabilityZone"]).to_owned(), vpc: item.text_at(&["vpcId"]).to_owned() };
        self.subnets.insert(id.to_owned(), subnet.clone());
        Ok(subnet)
    }

    /// Lets happen what is due: instances taken back, members gone, groups repaired.
    pub async fn advance(&mut self, stage: &Stage) -> Result<(), Refusal> {
        let now = now();
        let interrupted: Vec<String> = self
            .instances
            .iter()
            .filter(|(_, state)| state.interrupt_at.is_some_and(|at| at <= now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in interrupted {
            if let Some(state) = self.instances.get_mut(&id) {
                state.interrupt_at = None;
                if let Some(spot) = &mut state.spot {
                    spot.state = "closed".to_owned();
                    spot.status_code = "instance-terminated-by-service".to_owned();
                }
            }
            autoscaling::lose(stage, self, &id).await?;
        }
        let names: Vec<String> = self.groups.keys().cloned().collect();
        for name in names {
            autoscaling::finish_leaving(stage, self, &name, now).await?;
            let is_due = self.groups.get(&name).and_then(|group| group.repair_at).is_some_and(|at| at <= now);
            if is_due {
                self.group(&name).repair_at = None;
                autoscaling::repair(stage, self, &name).await?;
            }
        }
        Ok(())
    }

    /// Whether anything happens by itself later.
    pub fn has_plans(&self) -> bool {
        self.instances.values().any(|state| state.interrupt_at.is_some())
            || self.groups.values().any(|group| group.repair_at.is_some() || !group.leaving.is_empty())
    }
}

/// Seconds since 1970.
pub fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

/// A time in AWS's form.
pub fn timestamp(seconds: f64) -> String {
    let time = jiff::Timestamp::from_millisecond((seconds * 1000.0) as i64).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

/// A fingerprint of parameters, for client tokens.
pub fn digest(params: &Params, without: &[&str]) -> u64 {
    let mut pairs: Vec<(&str, &str)> = params.pairs().filter(|(name, _)| !without.contains(name)).collect();
    pairs.sort_unstable();
    pairs
        .iter()
        .flat_map(|(name, value)| name.bytes().chain([0]).chain(value.bytes()).chain([1]))
        .fold(0xcbf2_9ce4_8422_2325, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
