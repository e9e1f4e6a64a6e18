//! Instance types, capacity pools and prices of a region, for one platform.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{InstanceType, Platform, Price, Zone};
use crate::risk::Risk;

/// What can be bought in a region.
#[derive(Clone, Debug)]
pub struct Market {
    /// Which product the prices are for.
    pub platform: Platform,
    /// Facts by type.
    pub specs: BTreeMap<InstanceType, InstanceSpec>,
    /// Types that each zone offers.
    pub offerings: BTreeMap<Zone, BTreeSet<InstanceType>>,
    /// Public on-demand price by type.
    pub on_demand: BTreeMap<InstanceType, Price>,
    /// Spot price now, by zone and type. A pool without a price is not there.
    pub spot: BTreeMap<Zone, BTreeMap<InstanceType, Price>>,
    /// How often pools are interrupted, as far as anybody has said.
    pub risk: Risk,
}

impl Market {
    /// A market where nothing is offered.
    pub fn empty(platform: Platform) -> Self {
        Self {
            platform,
            specs: BTreeMap::new(),
            offerings: BTreeMap::new(),
            on_demand: BTreeMap::new(),
            spot: BTreeMap::new(),
            risk: Risk::default(),
        }
    }

    /// Whether the zone offers the type.
    pub fn offers(&self, zone: &Zone, instance_type: &InstanceType) -> bool {
        self.offerings.get(zone).is_some_and(|types| types.contains(instance_type))
    }
}

/// What `DescribeInstanceTypes` says about a type.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceSpec {
    /// Name.
    pub instance_type: InstanceType,
    /// AWS's view, at the time of the look.
    pub current_generation: bool,
    /// Can be bought as spot.
    pub spot: bool,
    /// Can be bought on demand.
    pub on_demand: bool,
    /// No hypervisor.
    pub bare_metal: bool,
    /// `nitro`, `xen`; empty on bare metal.
    pub hypervisor: String,
    /// `hvm`, `paravirtual`.
    pub virtualization: Vec<String>,
    /// `x86_64`, `arm64`, `i386`, …
    pub architectures: Vec<String>,
    /// `Intel`, `AMD`, `AWS`, …
    pub cpu_manufacturer: String,
    /// `amd-sev-snp`, `nested-virtualization`.
    pub cpu_features: Vec<String>,
    /// `legacy-bios`, `uefi`.
    pub boot_modes: Vec<String>,
    /// NitroTPM.
    pub tpm: bool,
    /// `ebs`, `instance-store`.
    pub root_devices: Vec<String>,
    /// Default vCPUs.
    pub vcpus: u32,
    /// Default physical cores (`VCpuInfo.DefaultCores`): where a core has one thread, as many vCPUs do twice the work.
    pub cores: u32,
    /// Numbers of cores that CPU options may ask for (`VCpuInfo.ValidCores`), ascending; empty = not stated.
    pub valid_cores: Vec<u32>,
    /// Threads per core that CPU options may ask for (`VCpuInfo.ValidThreadsPerCore`), ascending; empty = not stated.
    pub valid_threads_per_core: Vec<u32>,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Disks that come with it.
    pub disks: Vec<Disk>,
    /// Those disks speak NVMe.
    pub nvme_disks: bool,
    /// Those disks are encrypted at rest (`InstanceStorageInfo.EncryptionSupport` is `required`).
    pub encrypted_disks: bool,
    /// Baseline EBS bandwidth, Mbit/s; 0 = not stated.
    pub ebs_baseline_mbps: u32,
    /// Baseline EBS operations per second; 0 = not stated.
    pub ebs_baseline_iops: u32,
    /// EBS volumes that can be attached; 0 = not stated.
    pub ebs_attachments: u32,
    /// Network interfaces and disks that come with it take places of those (`AttachmentLimitType` is `shared`).
    pub ebs_attachments_shared: bool,
    /// ENA is required.
    pub ena_required: bool,
    /// Baseline network bandwidth, Mbit/s over all cards; 0 = not stated.
    pub network_baseline_mbps: u32,
    /// Network interfaces.
    pub interfaces: u32,
    /// Network cards (`MaximumNetworkCards`).
    pub network_cards: u32,
    /// IPv4 addresses per interface.
    pub ipv4_per_interface: u32,
    /// IPv6.
    pub ipv6: bool,
    /// IPv6 addresses per interface.
    pub ipv6_per_interface: u32,
    /// Traffic between instances is encrypted (`EncryptionInTransitSupported`).
    pub encryption_in_transit: bool,
    /// EFA.
    pub efa: bool,
    /// Idle time-out of tracked TCP connections, seconds; `None` = the old default of five days. The newest Nitro
    /// types drop idle connections after 350 s.
    pub tcp_idle_timeout_seconds: Option<u32>,
    /// GPUs and other accelerators (Neuron, inference, FPGA, media): name and count, sorted. A part of a GPU
    /// (`GpuPartitionSize` below 1, where `Count` is 0) has the part in its name and `LogicalGpuCount` as its count:
    /// `("L4/0.125", 1)`.
    pub accelerators: Vec<(String, u32)>,
    /// Memory of all of them, MiB: two types with eight `A100` each may differ in it by half.
    pub accelerator_memory_mib: u64,
    /// CPU credits.
    pub burstable: bool,
    /// Nitro Enclaves.
    pub enclaves: bool,
    /// Hibernation.
    pub hibernation: bool,
    /// `cluster`, `partition`, `spread`.
    pub placement_strategies: Vec<String>,
}

/// Disks of one kind that come with an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// How many.
    pub count: u32,
    /// Size of each, GB.
    pub size_gb: u64,
    /// `ssd` or `hdd`.
    pub kind: String,
}
