//! Capacity pools with price, depth and moods; and the instance types of a small region.

use std::fmt;
use std::sync::Arc;

use engine::{CloudError, NoCapacity};
use planner::backoff::Trouble;
use planner::market::{InstanceSpec, Market};
use planner::model::{InstanceType, Platform, Price, PurchaseOption, Zone};

use crate::region::FleetRequest;
use crate::rng::Rng;

/// A row of the table of types.
struct Type {
    name: &'static str,
    vcpus: u32,
    memory_gib: u64,
    manufacturer: &'static str,
    architecture: &'static str,
    on_demand: u64,
    spot: u64,
    burstable: bool,
}

const fn row(
    name: &'static str,
    vcpus: u32,
    memory_gib: u64,
    manufacturer: &'static str,
    architecture: &'static str,
    on_demand: u64,
    spot: u64,
    burstable: bool,
) -> Type {
    Type { name, vcpus, memory_gib, manufacturer, architecture, on_demand, spot, burstable }
}

/// Public prices of us-east-1, Linux, in micro-dollars per hour; spot prices of the same order as real ones.
const TYPES: [Type; 6] = [
    row("m5.large", 2, 8, "Intel", "x86_64", 96_000, 38_000, false),
    row("m6i.large", 2, 8, "Intel", "x86_64", 96_000, 35_000, false),
    row("r5.large", 2, 16, "Intel", "x86_64", 126_000, 41_000, false),
    // Does not fit: half the memory.
    row("c5.large", 2, 4, "Intel", "x86_64", 85_000, 20_000, false),
    // Does not fit: another architecture.
    row("m6g.large", 2, 8, "AWS", "arm64", 77_000, 18_000, false),
    // Does not fit unless the owner allows burstable types.
    row("t3.large", 2, 8, "Intel", "x86_64", 83_200, 25_000, true),
];

/// One capacity pool.
#[derive(Clone, Debug)]
pub struct CapacityPool {
    pub spot: u64,
    pub depth: u32,
}

/// Zones of the region.
pub const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];

/// All pools of the region, by zone and type.
#[derive(Clone)]
pub struct Pools {
    pools: [[CapacityPool; TYPES.len()]; ZONES.len()],
    /// Whether anybody can buy on demand.
    pub on_demand_available: bool,
    /// The price lists as long as no price has moved.
    listed: Option<Arc<Market>>,
}

/// Without the lists: what they say is in the pools.
impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, on demand {}", self.pools, self.on_demand_available)
    }
}

impl Pools {
    /// Deep pools at everyday prices.
    pub fn new() -> Self {
        let row = || std::array::from_fn(|kind| CapacityPool { spot: TYPES[kind].spot, depth: 50 });
        Self { pools: std::array::from_fn(|_| row()), on_demand_available: true, listed: None }
    }

    /// Everyday prices and depths again.
    pub fn calm(&mut self) {
        let calm = Self::new();
        let unmoved =
            self.pools.iter().flatten().zip(calm.pools.iter().flatten()).all(|(now, then)| now.spot == then.spot);
        let listed = self.listed.take().filter(|_| unmoved);
        *self = Self { listed, ..calm };
    }

    /// Every price moves: somewhere between two thirds and three times its level, or up to on-demand.
    pub fn move_prices(&mut self, rng: &mut Rng) {
        self.listed = None;
        for (pool, kind) in self.pools.iter_mut().flat_map(|row| row.iter_mut().zip(&TYPES)) {
            let percent = rng.between(60, 300) as u64;
            pool.spot = (kind.spot * percent / 100).min(kind.on_demand);
        }
    }

    /// Some pools run dry, some fill up.
    pub fn move_depths(&mut self, rng: &mut Rng) {
        for pool in self.pools.iter_mut().flatten() {
            pool.depth = if rng.chance(5_000) { 0 } else { 50 };
        }
    }

    /// No spot capacity anywhere.
    pub fn drain(&mut self) {
        self.pools.iter_mut().flatten().for_each(|pool| pool.depth = 0);
    }

    fn pool(&self, zone: &Zone, name: &InstanceType) -> Option<&CapacityPool> {
        let row = ZONES.iter().position(|known| *known == zone.as_str())?;
        let kind = TYPES.iter().position(|kind| kind.name == name.as_str())?;
        Some(&self.pools[row][kind])
    }

    fn pool_mut(&mut self, zone: &Zone, name: &InstanceType) -> Option<&mut CapacityPool> {
        let row = ZONES.iter().position(|known| *known == zone.as_str())?;
        let kind = TYPES.iter().position(|kind| kind.name == name.as_str())?;
        Some(&mut self.pools[row][kind])
    }

    /// Spot price of a pool now, micro-dollars per hour.
    pub fn spot(&self, zone: &Zone, name: &InstanceType) -> Option<u64> {
        self.pool(zone, name).map(|pool| pool.spot)
    }

    /// Every spot price now: zone, type, micro-dollars per hour.
    pub fn spot_prices(&self) -> impl Iterator<Item = (Zone, InstanceType, u64)> {
        let row = |(zone, row): (&&'static str, &[CapacityPool; TYPES.len()])| {
            let zone = Zone::new(zone);
            let price =
                move |(kind, pool): (&Type, &CapacityPool)| (zone.clone(), InstanceType::new(kind.name), pool.spot);
            TYPES.iter().zip(row).map(price).collect::<Vec<_>>()
        };
        ZONES.iter().zip(&self.pools).flat_map(row)
    }

    /// The list: type, micro-dollars per hour.
    pub fn list_prices() -> impl Iterator<Item = (InstanceType, u64)> {
        TYPES.iter().map(|kind| (InstanceType::new(kind.name), kind.on_demand))
    }

    /// `CreateFleet`'s choice: of what was asked for, what is offered, there, and not above its cap (without one, the
    /// on-demand price of the type).
    pub fn take(&mut self, request: &FleetRequest<'_>) -> Result<InstanceType, CloudError> {
        if request.purchase == PurchaseOption::OnDemand {
            let known = request.overrides.iter().map(|(name, _)| name).find(|name| kind(name).is_some());
            return match known {
                Some(name) if self.on_demand_available => Ok(name.clone()),
                _ => Err(CloudError::InsufficientCapacity("InsufficientInstanceCapacity".to_owned().into())),
            };
        }
        let mut fitting: Vec<(u32, u64, &InstanceType)> = request
            .overrides
            .iter()
            .filter_map(|(name, cap)| {
                let pool = self.pool(&request.zone, name)?;
                let cap = cap.or(kind(name).map(|kind| kind.on_demand))?;
                (pool.depth > 0 && pool.spot <= cap).then_some((pool.depth, pool.spot, name))
            })
            .collect();
        fitting.sort_by_key(
            |(depth, price, _)| if request.deepest_first { (u64::from(u32::MAX - depth), *price) } else { (*price, 0) },
        );
        match fitting.first() {
            Some((_, _, name)) => {
                let name = (*name).clone();
                if let Some(pool) = self.pool_mut(&request.zone, &name) {
                    pool.depth -= 1;
                }
                Ok(name)
            }
            None => Err(CloudError::InsufficientCapacity(NoCapacity {
                text: "UnfulfillableCapacity in every pool".to_owned(),
                pools: request.overrides.iter().map(|(name, _)| (name.clone(), Trouble::NoCapacity)).collect(),
            })),
        }
    }

    /// What the price lists say now.
    pub fn market(&mut self, platform: Platform) -> Arc<Market> {
        if let Some(listed) = self.listed.as_ref().filter(|listed| listed.platform == platform) {
            return Arc::clone(listed);
        }
        let mut market = Market::empty(platform);
        for kind in &TYPES {
            market.specs.insert(InstanceType::new(kind.name), spec(kind));
            market.on_demand.insert(InstanceType::new(kind.name), Price(kind.on_demand));
        }
        for (zone, row) in ZONES.iter().zip(&self.pools) {
            let names = || TYPES.iter().map(|kind| InstanceType::new(kind.name));
            market.offerings.insert(Zone::new(zone), names().collect());
            let prices = row.iter().map(|pool| Price(pool.spot));
            market.spot.insert(Zone::new(zone), names().zip(prices).collect());
        }
        let market = Arc::new(market);
        self.listed = Some(Arc::clone(&market));
        market
    }
}

fn kind(name: &InstanceType) -> Option<&'static Type> {
    TYPES.iter().find(|kind| kind.name == name.as_str())
}

/// Public on-demand price, micro-dollars per hour.
pub fn on_demand(name: &InstanceType) -> Option<u64> {
    kind(name).map(|kind| kind.on_demand)
}

/// Whether `candidate` is at least what `victim` is, by the oracle's own reading of the data sheets.
pub fn can_stand_in(victim: &InstanceType, candidate: &InstanceType) -> bool {
    kind(victim).zip(kind(candidate)).is_some_and(|(victim, candidate)| {
        candidate.vcpus >= victim.vcpus
            && candidate.memory_gib >= victim.memory_gib
            && candidate.architecture == victim.architecture
            && (!candidate.burstable || victim.burstable)
    })
}

/// What `DescribeInstanceTypes` says of the types of our table: Nitro, EBS only, as like one another as real ones are.
fn spec(kind: &Type) -> InstanceSpec {
    InstanceSpec {
        instance_type: InstanceType::new(kind.name),
        current_generation: true,
        spot: true,
        on_demand: true,
        bare_metal: false,
        hypervisor: "nitro".to_owned(),
        virtualization: vec!["hvm".to_owned()],
        architectures: vec![kind.architecture.to_owned()],
        cpu_manufacturer: kind.manufacturer.to_owned(),
        cpu_features: Vec::new(),
        boot_modes: vec!["legacy-bios".to_owned(), "uefi".to_owned()],
        tpm: true,
        root_devices: vec!["ebs".to_owned()],
        vcpus: kind.vcpus,
        cores: kind.vcpus / 2,
        valid_cores: vec![1],
        valid_threads_per_core: vec![1, 2],
        memory_mib: kind.memory_gib * 1024,
        disks: Vec::new(),
        nvme_disks: false,
        encrypted_disks: false,
        ebs_baseline_mbps: 650,
        ebs_baseline_iops: 3_600,
        ebs_attachments: 28,
        ebs_attachments_shared: true,
        ena_required: true,
        network_baseline_mbps: 750,
        interfaces: 3,
        network_cards: 1,
        ipv4_per_interface: 10,
        ipv6: true,
        ipv6_per_interface: 10,
        encryption_in_transit: false,
        efa: false,
        tcp_idle_timeout_seconds: None,
        accelerators: Vec::new(),
        accelerator_memory_mib: 0,
        burstable: kind.burstable,
        enclaves: false,
        hibernation: true,
        placement_strategies: vec!["cluster".to_owned(), "partition".to_owned(), "spread".to_owned()],
    }
}
