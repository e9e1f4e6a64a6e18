//! Could this type do that one's work? Answers with every mismatch and both numbers.
//!
//! The rules are the rows of [`RULES`]: each is a function of its own, hard (no wish can lift it) or a default (the
//! owner can). Nothing here is a list of instance types: all facts come from `DescribeInstanceTypes`, `DescribeImages`
//! and the group's template, live.
//!
//! What is deliberately not a rule: the sustained clock (newer cores do more per cycle and clock lower), the peak
//! ("up to") bandwidths (credits, not a promise), PTP hardware clocks and ENA Express (a template cannot ask a type
//! for the one, and the launch itself fails for the other), simplified automatic recovery (AWS never applies it to
//! members of a group), dedicated hosts (such groups are left alone).

use std::fmt;

use self::Check::{AtLeast, AtMost, Has, Other, Same, Supports};
use crate::market::{Disk, InstanceSpec};
use crate::model::{Image, ImageId, LaunchFacts, PurchaseOption};
use crate::policy::Policy;
use crate::reason::Code;

/// A type that can do the victim's work. Only [`fits`] and [`fits_as`] make one, so nothing unchecked is ever launched.
#[derive(Clone, Copy, Debug)]
pub struct Compatible<'a>(&'a InstanceSpec);

impl<'a> Compatible<'a> {
    /// The type.
    pub fn spec(self) -> &'a InstanceSpec {
        self.0
    }
}

/// Whether `candidate`, bought as spot, can do the work of `victim` as the group launches it and its owner wants it.
pub fn fits<'a>(
    victim: &InstanceSpec,
    launch: &LaunchFacts,
    policy: &Policy,
    candidate: &'a InstanceSpec,
) -> Result<Compatible<'a>, Vec<Mismatch>> {
    fits_as(PurchaseOption::Spot, victim, launch, policy, candidate)
}

/// The same for either way of paying: on-demand on the way back.
pub fn fits_as<'a>(
    purchase: PurchaseOption,
    victim: &InstanceSpec,
    launch: &LaunchFacts,
    policy: &Policy,
    candidate: &'a InstanceSpec,
) -> Result<Compatible<'a>, Vec<Mismatch>> {
    let question = Question { purchase, victim, launch, policy, candidate };
    let mismatches: Vec<Mismatch> = RULES.iter().filter_map(|rule| rule.check.mismatch(&question)).collect();
    if mismatches.is_empty() { Ok(Compatible(candidate)) } else { Err(mismatches) }
}

/// The same for those who only want the ones that fit: stops at the first mismatch.
pub fn fits_at_all<'a>(
    purchase: PurchaseOption,
    victim: &InstanceSpec,
    launch: &LaunchFacts,
    policy: &Policy,
    candidate: &'a InstanceSpec,
) -> Option<Compatible<'a>> {
    let question = Question { purchase, victim, launch, policy, candidate };
    RULES.iter().all(|rule| rule.check.holds(&question)).then_some(Compatible(candidate))
}

/// What a group with such a victim could ask for at the least: whatever its template says, it lets no type pass that this
/// does not. For looks that have not read the template.
pub fn least_asked(victim: &InstanceSpec) -> LaunchFacts {
    let first_of = |usual: &str, offered: &[String]| match offered.iter().any(|offer| offer == usual) {
        true => usual.to_owned(),
        false => offered.first().cloned().unwrap_or_default(),
    };
    LaunchFacts {
        version: None,
        instance_type: None,
        image: Image {
            id: ImageId::new(""),
            available: true,
            architecture: first_of("x86_64", &victim.architectures),
            virtualization: first_of("hvm", &victim.virtualization),
            boot_mode: Some("uefi-preferred".to_owned()),
            tpm: false,
            ena: true,
            root_device: first_of("ebs", &victim.root_devices),
            usage_operation: String::new(),
            marketplace: false,
        },
        requests_spot: false,
        instance_requirements: false,
        tenancy: None,
        termination_protection: false,
        hibernation: false,
        enclave: false,
        cpu_options: false,
        kernel: false,
        maps_instance_store: false,
        volumes: 0,
        interfaces: 0,
        ipv6: false,
        efa: false,
        conntrack: true,
        placement_strategy: None,
    }
}

/// Who can lift a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// Nobody: the workload would break or lose something.
    Hard,
    /// The owner, with the named setting.
    Default(&'static str),
}

/// One row of the compatibility table.
pub struct Rule {
    /// What it is about.
    pub topic: &'static str,
    /// Hard, or a default that a setting lifts.
    pub strength: Strength,
    /// The rule in one sentence.
    pub sentence: &'static str,
    check: Check,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.topic, self.strength)
    }
}

/// What a rule may look at.
struct Question<'a> {
    purchase: PurchaseOption,
    victim: &'a InstanceSpec,
    launch: &'a LaunchFacts,
    policy: &'a Policy,
    candidate: &'a InstanceSpec,
}

/// Every rule. Plain numbers come first: they turn most types away for the price of a comparison.
pub const RULES: &[Rule] = &[
    Rule {
        topic: "vCPUs",
        strength: Strength::Hard,
        sentence: "At least the victim's vCPUs.",
        check: AtLeast(Axis::Vcpus, |q| (q.victim.vcpus.into(), q.candidate.vcpus.into())),
    },
    Rule {
        topic: "memory",
        strength: Strength::Hard,
        sentence: "At least the victim's memory.",
        check: AtLeast(Axis::MemoryMib, |q| (q.victim.memory_mib, q.candidate.memory_mib)),
    },
    Rule {
        topic: "upper bound of vCPUs",
        strength: Strength::Default("max-vcpus"),
        sentence: "At most twice the victim's vCPUs: licences and tuning count them.",
        check: AtMost(Axis::Vcpus, |q| (q.policy.max_vcpus_percent, q.victim.vcpus.into(), q.candidate.vcpus.into())),
    },
    Rule {
        topic: "upper bound of memory",
        strength: Strength::Default("max-memory"),
        sentence: "At most twice the victim's memory: heaps and caches are tuned to it.",
        check: AtMost(Axis::MemoryMib, |q| (q.policy.max_memory_percent, q.victim.memory_mib, q.candidate.memory_mib)),
    },
    Rule {
        topic: "purchase",
        strength: Strength::Hard,
        sentence: "Can be bought as spot (on-demand on the way back).",
        check: Other(|q| match q.purchase {
            PurchaseOption::Spot => (!q.candidate.spot).then_some(Mismatch::NotSpot),
            PurchaseOption::OnDemand => (!q.candidate.on_demand).then_some(Mismatch::NotOnDemand),
        }),
    },
    Rule {
        topic: "cores",
        strength: Strength::Hard,
        sentence: "At least the victim's physical cores: two vCPUs are one core here and two there.",
        check: AtLeast(Axis::Cores, |q| (q.victim.cores.into(), q.candidate.cores.into())),
    },
    Rule {
        topic: "network baseline",
        strength: Strength::Hard,
        sentence: "At least the victim's baseline network bandwidth.",
        check: AtLeast(Axis::NetworkBaselineMbps, |q| {
            (q.victim.network_baseline_mbps.into(), q.candidate.network_baseline_mbps.into())
        }),
    },
    Rule {
        topic: "EBS bandwidth",
        strength: Strength::Hard,
        sentence: "At least the victim's baseline EBS bandwidth.",
        check: AtLeast(Axis::EbsBaselineMbps, |q| {
            (q.victim.ebs_baseline_mbps.into(), q.candidate.ebs_baseline_mbps.into())
        }),
    },
    Rule {
        topic: "EBS operations",
        strength: Strength::Hard,
        sentence: "At least the victim's baseline EBS operations per second.",
        check: AtLeast(Axis::EbsBaselineIops, |q| {
            (q.victim.ebs_baseline_iops.into(), q.candidate.ebs_baseline_iops.into())
        }),
    },
    Rule {
        topic: "EBS attachments",
        strength: Strength::Hard,
        sentence: "Room for every volume that the template maps; where the limit is shared, for its further network interfaces too.",
        check: AtLeast(Axis::EbsAttachments, ebs_attachments),
    },
    Rule {
        topic: "interfaces",
        strength: Strength::Hard,
        sentence: "At least the victim's network interfaces: a container network plans with them.",
        check: AtLeast(Axis::Interfaces, |q| {
            (q.victim.interfaces.max(q.launch.interfaces).into(), q.candidate.interfaces.into())
        }),
    },
    Rule {
        topic: "IPv4 addresses",
        strength: Strength::Hard,
        sentence: "At least the victim's IPv4 addresses per interface: max-pods of a kubelet follows from them.",
        check: AtLeast(Axis::Ipv4PerInterface, |q| {
            (q.victim.ipv4_per_interface.into(), q.candidate.ipv4_per_interface.into())
        }),
    },
    Rule {
        topic: "network cards",
        strength: Strength::Hard,
        sentence: "At least the victim's network cards: templates name them by index.",
        check: AtLeast(Axis::NetworkCards, |q| (q.victim.network_cards.into(), q.candidate.network_cards.into())),
    },
    Rule {
        topic: "idle connections",
        strength: Strength::Hard,
        sentence: "Idle TCP connections are tracked at least as long as on the victim (350 s on the newest types, five days before), unless the template sets the time-out itself.",
        check: AtLeast(Axis::IdleTimeoutSeconds, idle_connections),
    },
    Rule {
        topic: "bare metal",
        strength: Strength::Hard,
        sentence: "Bare metal for bare metal only.",
        check: Other(|q| {
            (q.victim.bare_metal != q.candidate.bare_metal)
                .then_some(Mismatch::BareMetal { offered: q.candidate.bare_metal })
        }),
    },
    Rule {
        topic: "encryption in transit",
        strength: Strength::Hard,
        sentence: "Encrypted traffic between instances if the victim has it: somebody may have promised it.",
        check: Has(Feature::TransitEncryption, |q| (q.victim.encryption_in_transit, q.candidate.encryption_in_transit)),
    },
    Rule {
        topic: "generation",
        strength: Strength::Default("previous-generation"),
        sentence: "A victim of the current generation gets no type that AWS calls previous generation.",
        check: Other(|q| {
            (q.victim.current_generation && !q.candidate.current_generation && !q.policy.previous_generation)
                .then_some(Mismatch::PreviousGeneration)
        }),
    },
    Rule {
        topic: "burst",
        strength: Strength::Default("burstable"),
        sentence: "A victim with a CPU of its own gets no CPU credits and no flex type, which promises 40 % of its CPU.",
        check: Other(burst),
    },
    Rule {
        topic: "architecture",
        strength: Strength::Hard,
        sentence: "Runs the image's architecture.",
        check: Supports(Support::Architecture, |q| Some((&q.launch.image.architecture, &q.candidate.architectures))),
    },
    Rule {
        topic: "CPU manufacturer",
        strength: Strength::Default("cpu-manufacturer"),
        sentence: "The victim's CPU manufacturer: instruction sets differ.",
        check: Same(Identity::Manufacturer, |q| {
            (!q.policy.any_cpu_manufacturer).then_some((&q.victim.cpu_manufacturer, &q.candidate.cpu_manufacturer))
        }),
    },
    Rule {
        topic: "hypervisor",
        strength: Strength::Hard,
        sentence: "The victim's hypervisor: device names and the drivers for disks and network follow from it (NVMe and ENA on Nitro).",
        check: Same(Identity::Hypervisor, |q| {
            let both_virtual = !q.victim.bare_metal && !q.candidate.bare_metal;
            both_virtual.then_some((&q.victim.hypervisor, &q.candidate.hypervisor))
        }),
    },
    Rule {
        topic: "accelerators",
        strength: Strength::Hard,
        sentence: "The same accelerators, by name and count; none added.",
        check: Other(|q| {
            (q.victim.accelerators != q.candidate.accelerators).then(|| Mismatch::Accelerators {
                needed: q.victim.accelerators.clone(),
                offered: q.candidate.accelerators.clone(),
            })
        }),
    },
    Rule {
        topic: "accelerator memory",
        strength: Strength::Hard,
        sentence: "At least the victim's accelerator memory: the same name comes in two sizes.",
        check: AtLeast(Axis::AcceleratorMemoryMib, |q| {
            (q.victim.accelerator_memory_mib, q.candidate.accelerator_memory_mib)
        }),
    },
    Rule {
        topic: "disks",
        strength: Strength::Hard,
        sentence: "At least the victim's instance-store disks: as many, each as large, of the same kind.",
        check: Other(disks),
    },
    Rule {
        topic: "disk interface",
        strength: Strength::Hard,
        sentence: "Instance-store disks speak NVMe if and only if the victim's do: device names follow from it.",
        check: Other(|q| {
            (!q.victim.disks.is_empty()
                && !q.candidate.disks.is_empty()
                && q.victim.nvme_disks != q.candidate.nvme_disks)
                .then_some(Mismatch::DiskInterface { offered_nvme: q.candidate.nvme_disks })
        }),
    },
    Rule {
        topic: "disk encryption",
        strength: Strength::Hard,
        sentence: "Instance-store disks are encrypted if the victim's are.",
        check: Has(Feature::DiskEncryption, |q| (q.victim.encrypted_disks, q.candidate.encrypted_disks)),
    },
    Rule {
        topic: "disk order",
        strength: Strength::Hard,
        sentence: "No further NVMe disks where the template maps data volumes: they would take those volumes' device names.",
        check: Other(disk_order),
    },
    Rule {
        topic: "IPv6",
        strength: Strength::Hard,
        sentence: "IPv6 if the template asks for it.",
        check: Has(Feature::Ipv6, |q| (q.launch.ipv6, q.candidate.ipv6)),
    },
    Rule {
        topic: "IPv6 addresses",
        strength: Strength::Hard,
        sentence: "At least the victim's IPv6 addresses per interface, if the template asks for IPv6.",
        check: AtLeast(Axis::Ipv6PerInterface, |q| {
            let needed = if q.launch.ipv6 { q.victim.ipv6_per_interface } else { 0 };
            (needed.into(), q.candidate.ipv6_per_interface.into())
        }),
    },
    Rule {
        topic: "EFA",
        strength: Strength::Hard,
        sentence: "EFA if the template asks for it.",
        check: Has(Feature::Efa, |q| (q.launch.efa, q.candidate.efa)),
    },
    Rule {
        topic: "virtualization",
        strength: Strength::Hard,
        sentence: "Runs the image's kind of virtualization.",
        check: Supports(Support::Virtualization, |q| {
            Some((&q.launch.image.virtualization, &q.candidate.virtualization))
        }),
    },
    Rule {
        topic: "root device",
        strength: Strength::Hard,
        sentence: "Boots from the image's kind of root device.",
        check: Supports(Support::RootDevice, |q| Some((&q.launch.image.root_device, &q.candidate.root_devices))),
    },
    Rule {
        topic: "boot mode",
        strength: Strength::Hard,
        sentence: "Boots in the image's mode; in the victim's where the image leaves it to the type.",
        check: Other(boot_mode),
    },
    Rule {
        topic: "TPM",
        strength: Strength::Hard,
        sentence: "NitroTPM if the image needs it.",
        check: Has(Feature::Tpm, |q| (q.launch.image.tpm, q.candidate.tpm)),
    },
    Rule {
        topic: "ENA",
        strength: Strength::Hard,
        sentence: "No type that requires ENA for an image without its driver.",
        check: Other(|q| (q.candidate.ena_required && !q.launch.image.ena).then_some(Mismatch::EnaDriver)),
    },
    Rule {
        topic: "marketplace",
        strength: Strength::Hard,
        sentence: "An image with product codes runs on the victim's own type only: its seller lists types and prices them.",
        check: Other(|q| {
            (q.launch.image.marketplace && q.victim.instance_type != q.candidate.instance_type)
                .then_some(Mismatch::Marketplace)
        }),
    },
    Rule {
        topic: "CPU options",
        strength: Strength::Hard,
        sentence: "If the template sets CPU options: every number of cores and of threads that the victim allows.",
        check: Other(cpu_options),
    },
    Rule {
        topic: "CPU features",
        strength: Strength::Hard,
        sentence: "If the template sets CPU options: every CPU feature of the victim (SEV-SNP, nested virtualization).",
        check: Other(cpu_features),
    },
    Rule {
        topic: "placement group",
        strength: Strength::Hard,
        sentence: "Can be in a placement group of the group's strategy.",
        check: Supports(Support::PlacementStrategy, |q| {
            Some((q.launch.placement_strategy.as_ref()?, &q.candidate.placement_strategies))
        }),
    },
    Rule {
        topic: "enclaves",
        strength: Strength::Hard,
        sentence: "Nitro Enclaves if the template asks for them.",
        check: Has(Feature::Enclaves, |q| (q.launch.enclave, q.candidate.enclaves)),
    },
    Rule {
        topic: "hibernation",
        strength: Strength::Hard,
        sentence: "Hibernation if the template asks for it.",
        check: Has(Feature::Hibernation, |q| (q.launch.hibernation, q.candidate.hibernation)),
    },
    Rule {
        topic: "denied types",
        strength: Strength::Default("denied-types"),
        sentence: "None of the types that the owner denies; denying beats allowing.",
        check: Other(|q| {
            let denied = q.policy.denied_types.matches(name(q.candidate), name(q.victim));
            (denied && !is_the_way_home(q)).then_some(Mismatch::Denied)
        }),
    },
    Rule {
        topic: "allowed types",
        strength: Strength::Default("allowed-types"),
        sentence: "One of the types that the owner allows.",
        check: Other(|q| {
            let allowed = q.policy.allowed_types.matches(name(q.candidate), name(q.victim));
            (!allowed && !is_the_way_home(q)).then_some(Mismatch::NotAllowed)
        }),
    },
];

/// What is needed and what is offered, where it matters.
type Pair<'q, T> = Option<(&'q String, &'q T)>;

/// The shapes of rules. Most are data, so that a type can be judged without writing a sentence that nobody reads.
enum Check {
    /// What is needed, and what the candidate has. "Not stated" is zero: nothing is needed, or nothing is offered.
    AtLeast(Axis, fn(&Question<'_>) -> (u64, u64)),
    /// The owner's percentage if there is one, what the victim has, and what the candidate has.
    AtMost(Axis, fn(&Question<'_>) -> (Option<u32>, u64, u64)),
    /// Whether it is needed, and whether the candidate has it.
    Has(Feature, fn(&Question<'_>) -> (bool, bool)),
    /// What is needed if anything is, and what the candidate supports.
    Supports(Support, for<'q> fn(&'q Question<'_>) -> Pair<'q, Vec<String>>),
    /// What the victim is and what the candidate is, where it matters.
    Same(Identity, for<'q> fn(&'q Question<'_>) -> Pair<'q, String>),
    /// Anything else.
    Other(fn(&Question<'_>) -> Option<Mismatch>),
}

impl Check {
    fn holds(&self, q: &Question<'_>) -> bool {
        match self {
            AtLeast(_, read) => {
                let (needed, offered) = read(q);
                needed <= offered
            }
            AtMost(_, read) => match read(q) {
                (Some(percent), victim, offered) => offered * 100 <= victim * u64::from(percent),
                (None, ..) => true,
            },
            Has(_, read) => {
                let (needed, offered) = read(q);
                !needed || offered
            }
            Supports(_, read) => read(q).is_none_or(|(needed, offered)| offered.contains(needed)),
            Same(_, read) => read(q).is_none_or(|(needed, offered)| needed == offered),
            Other(find) => find(q).is_none(),
        }
    }

    fn mismatch(&self, q: &Question<'_>) -> Option<Mismatch> {
        if self.holds(q) {
            return None;
        }
        match self {
            AtLeast(axis, read) => {
                let (needed, offered) = read(q);
                Some(Mismatch::TooLittle { axis: *axis, needed, offered })
            }
            AtMost(axis, read) => {
                let (percent, victim, offered) = read(q);
                Some(Mismatch::TooMuch { axis: *axis, bound: victim * u64::from(percent?) / 100, offered })
            }
            Has(feature, _) => Some(Mismatch::Missing(*feature)),
            Supports(support, read) => {
                let (needed, offered) = read(q)?;
                Some(Mismatch::Unsupported { support: *support, needed: needed.clone(), offered: offered.clone() })
            }
            Same(identity, read) => {
                let (needed, offered) = read(q)?;
                Some(Mismatch::Another { identity: *identity, needed: needed.clone(), offered: offered.clone() })
            }
            Other(find) => find(q),
        }
    }
}

fn name(spec: &InstanceSpec) -> &str {
    spec.instance_type.as_str()
}

/// On the way back the group's own type needs no permission: the group launches it by itself after every failure,
/// and refusing it would make the way back impossible.
fn is_the_way_home(q: &Question<'_>) -> bool {
    q.purchase == PurchaseOption::OnDemand && q.launch.instance_type.as_ref() == Some(&q.candidate.instance_type)
}

/// Volumes and, where they share the limit, interfaces beyond the first: AWS has taken the primary interface and the
/// disks that come with the type off the limit already.
fn ebs_attachments(q: &Question<'_>) -> (u64, u64) {
    let further_interfaces = if q.candidate.ebs_attachments_shared { q.launch.interfaces.saturating_sub(1) } else { 0 };
    let needed = q.launch.volumes + further_interfaces;
    let not_stated = q.candidate.ebs_attachments == 0;
    (needed.into(), if not_stated { u64::MAX } else { q.candidate.ebs_attachments.into() })
}

/// Types for which AWS states nothing have the old default
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security-group-connection-tracking.html>).
fn idle_connections(q: &Question<'_>) -> (u64, u64) {
    const FIVE_DAYS: u32 = 432_000;
    let needed = if q.launch.conntrack { 0 } else { q.victim.tcp_idle_timeout_seconds.unwrap_or(FIVE_DAYS) };
    (needed.into(), q.candidate.tcp_idle_timeout_seconds.unwrap_or(FIVE_DAYS).into())
}

fn burst(q: &Question<'_>) -> Option<Mismatch> {
    if q.policy.burstable || q.victim.burstable {
        None
    } else if q.candidate.burstable {
        Some(Mismatch::Burstable)
    } else if is_flex(q.candidate) && !is_flex(q.victim) {
        Some(Mismatch::Flex)
    } else {
        None
    }
}

/// `DescribeInstanceTypes` has no field for it: the name is all there is.
fn is_flex(spec: &InstanceSpec) -> bool {
    name(spec).split_once('.').is_some_and(|(family, _)| family.ends_with("-flex"))
}

/// Compares the disks of each kind from the largest to the smallest.
fn disks(q: &Question<'_>) -> Option<Mismatch> {
    let enough = q.victim.disks.iter().all(|disk| {
        let needed = sizes(&q.victim.disks, &disk.kind);
        let offered = sizes(&q.candidate.disks, &disk.kind);
        needed.len() <= offered.len() && needed.iter().zip(&offered).all(|(needed, offered)| needed <= offered)
    });
    (!enough).then(|| Mismatch::Disks { needed: q.victim.disks.clone(), offered: q.candidate.disks.clone() })
}

fn sizes(disks: &[Disk], kind: &str) -> Vec<u64> {
    let mut sizes: Vec<u64> = disks
        .iter()
        .filter(|disk| disk.kind == kind)
        .flat_map(|disk| std::iter::repeat_n(disk.size_gb, disk.count as usize))
        .collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes
}

fn count(disks: &[Disk]) -> u32 {
    disks.iter().map(|disk| disk.count).sum()
}

/// On Nitro, volumes and disks share the names `/dev/nvme1n1`, `/dev/nvme2n1` … in no promised order: a start-up
/// script that formats or mounts "the second disk" would find another one. The root volume is found by its label.
fn disk_order(q: &Question<'_>) -> Option<Mismatch> {
    let (victim, offered) = (count(&q.victim.disks), count(&q.candidate.disks));
    (q.launch.volumes > 1 && q.candidate.nvme_disks && q.candidate.hypervisor != "xen" && offered > victim)
        .then_some(Mismatch::DiskOrder { victim, offered })
}

/// An image without a mode boots in the type's default one: legacy BIOS where the type has it (Intel and AMD), UEFI
/// elsewhere (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-boot.html>). A type that could boot in the
/// victim's mode, and would not with such an image, does not fit either.
fn boot_mode(q: &Question<'_>) -> Option<Mismatch> {
    let (needed, offered): (&str, Vec<&str>) = match q.launch.image.boot_mode.as_deref() {
        Some("uefi-preferred") => return None,
        Some(mode) => (mode, q.candidate.boot_modes.iter().map(String::as_str).collect()),
        None => (default_boot_mode(q.victim), vec![default_boot_mode(q.candidate)]),
    };
    (!offered.contains(&needed)).then(|| Mismatch::Unsupported {
        support: Support::BootMode,
        needed: needed.to_owned(),
        offered: offered.into_iter().map(str::to_owned).collect(),
    })
}

fn default_boot_mode(spec: &InstanceSpec) -> &'static str {
    let has = |mode: &str| spec.boot_modes.iter().any(|offer| offer == mode);
    let is_arm = spec.architectures.iter().any(|architecture| architecture.starts_with("arm64"));
    if has("legacy-bios") || (spec.boot_modes.is_empty() && !is_arm) { "legacy-bios" } else { "uefi" }
}

fn cpu_options(q: &Question<'_>) -> Option<Mismatch> {
    let has_all = |needed: &[u32], offered: &[u32]| needed.iter().all(|number| offered.contains(number));
    (q.launch.cpu_options
        && !(has_all(&q.victim.valid_cores, &q.candidate.valid_cores)
            && has_all(&q.victim.valid_threads_per_core, &q.candidate.valid_threads_per_core)))
    .then(|| Mismatch::CpuOptions {
        needed_cores: q.victim.valid_cores.clone(),
        offered_cores: q.candidate.valid_cores.clone(),
        needed_threads: q.victim.valid_threads_per_core.clone(),
        offered_threads: q.candidate.valid_threads_per_core.clone(),
    })
}

fn cpu_features(q: &Question<'_>) -> Option<Mismatch> {
    if !q.launch.cpu_options {
        return None;
    }
    let missing = q.victim.cpu_features.iter().find(|feature| !q.candidate.cpu_features.contains(feature))?;
    Some(Mismatch::Unsupported {
        support: Support::CpuFeature,
        needed: missing.clone(),
        offered: q.candidate.cpu_features.clone(),
    })
}

/// What is counted or measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Axis {
    /// vCPUs.
    Vcpus,
    /// Physical cores.
    Cores,
    /// Memory, MiB.
    MemoryMib,
    /// Baseline network bandwidth, Mbit/s.
    NetworkBaselineMbps,
    /// Baseline EBS bandwidth, Mbit/s.
    EbsBaselineMbps,
    /// Baseline EBS operations per second.
    EbsBaselineIops,
    /// Volumes that can be attached.
    EbsAttachments,
    /// Network interfaces.
    Interfaces,
    /// IPv4 addresses per interface.
    Ipv4PerInterface,
    /// IPv6 addresses per interface.
    Ipv6PerInterface,
    /// Network cards.
    NetworkCards,
    /// Idle time-out of tracked TCP connections, seconds.
    IdleTimeoutSeconds,
    /// Memory of the accelerators, MiB.
    AcceleratorMemoryMib,
}

impl Axis {
    /// The words after a number.
    fn words(self) -> &'static str {
        match self {
            Self::Vcpus => "vCPUs",
            Self::Cores => "cores",
            Self::MemoryMib => "MiB of memory",
            Self::NetworkBaselineMbps => "Mbit/s network baseline",
            Self::EbsBaselineMbps => "Mbit/s EBS baseline",
            Self::EbsBaselineIops => "EBS operations per second",
            Self::EbsAttachments => "EBS attachments",
            Self::Interfaces => "network interfaces",
            Self::Ipv4PerInterface => "IPv4 addresses per interface",
            Self::Ipv6PerInterface => "IPv6 addresses per interface",
            Self::NetworkCards => "network cards",
            Self::IdleTimeoutSeconds => "s before idle connections are dropped",
            Self::AcceleratorMemoryMib => "MiB of accelerator memory",
        }
    }
}

/// What a type has or has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// IPv6.
    Ipv6,
    /// EFA.
    Efa,
    /// Encryption in transit.
    TransitEncryption,
    /// Encrypted instance-store disks.
    DiskEncryption,
    /// NitroTPM.
    Tpm,
    /// Nitro Enclaves.
    Enclaves,
    /// Hibernation.
    Hibernation,
}

impl Feature {
    fn words(self) -> &'static str {
        match self {
            Self::Ipv6 => "IPv6",
            Self::Efa => "EFA",
            Self::TransitEncryption => "encryption in transit",
            Self::DiskEncryption => "encrypted disks",
            Self::Tpm => "NitroTPM",
            Self::Enclaves => "Nitro Enclaves",
            Self::Hibernation => "hibernation",
        }
    }
}

/// What a type supports several of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Support {
    /// Architectures.
    Architecture,
    /// Kinds of virtualization.
    Virtualization,
    /// Kinds of root devices.
    RootDevice,
    /// Boot modes.
    BootMode,
    /// CPU features.
    CpuFeature,
    /// Placement strategies.
    PlacementStrategy,
}

impl Support {
    fn words(self) -> &'static str {
        match self {
            Self::Architecture => "architecture",
            Self::Virtualization => "virtualization",
            Self::RootDevice => "root device",
            Self::BootMode => "boot mode",
            Self::CpuFeature => "CPU feature",
            Self::PlacementStrategy => "placement strategy",
        }
    }
}

/// What has to be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// Hypervisor.
    Hypervisor,
    /// CPU manufacturer.
    Manufacturer,
}

/// One point on which a type falls short, with both numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Cannot be bought as spot.
    NotSpot,
    /// Cannot be bought on demand.
    NotOnDemand,
    /// Has less than is needed.
    TooLittle {
        /// Of what.
        axis: Axis,
        /// What is needed.
        needed: u64,
        /// What it has.
        offered: u64,
    },
    /// Has more than the owner wants.
    TooMuch {
        /// Of what.
        axis: Axis,
        /// The most that is wanted.
        bound: u64,
        /// What it has.
        offered: u64,
    },
    /// Lacks something.
    Missing(Feature),
    /// Does not support what is needed.
    Unsupported {
        /// Of what.
        support: Support,
        /// What is needed.
        needed: String,
        /// What it supports.
        offered: Vec<String>,
    },
    /// One is bare metal, the other is not.
    BareMetal {
        /// The candidate is.
        offered: bool,
    },
    /// Is another one.
    Another {
        /// Of what.
        identity: Identity,
        /// The victim's.
        needed: String,
        /// The candidate's.
        offered: String,
    },
    /// Other accelerators.
    Accelerators {
        /// The victim's.
        needed: Vec<(String, u32)>,
        /// The candidate's.
        offered: Vec<(String, u32)>,
    },
    /// Too few instance-store disks, too small ones, or of another kind.
    Disks {
        /// The victim's.
        needed: Vec<Disk>,
        /// The candidate's.
        offered: Vec<Disk>,
    },
    /// One's disks speak NVMe, the other's do not.
    DiskInterface {
        /// The candidate's do.
        offered_nvme: bool,
    },
    /// More NVMe disks than the victim's, beside mapped data volumes.
    DiskOrder {
        /// The victim's.
        victim: u32,
        /// The candidate's.
        offered: u32,
    },
    /// Requires ENA, for which the image has no driver.
    EnaDriver,
    /// The image has product codes and the type is not the victim's own.
    Marketplace,
    /// CPU options that are allowed on the victim are not here.
    CpuOptions {
        /// Numbers of cores that the victim allows.
        needed_cores: Vec<u32>,
        /// Those that the candidate allows.
        offered_cores: Vec<u32>,
        /// Threads per core that the victim allows.
        needed_threads: Vec<u32>,
        /// Those that the candidate allows.
        offered_threads: Vec<u32>,
    },
    /// CPU credits, for a victim without.
    Burstable,
    /// A flex type, for a victim that is none.
    Flex,
    /// Previous generation, for a victim of the current one.
    PreviousGeneration,
    /// The owner denies the type.
    Denied,
    /// The owner allows others only.
    NotAllowed,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSpot => f.write_str("cannot be bought as spot"),
            Self::NotOnDemand => f.write_str("cannot be bought on demand"),
            Self::TooLittle { axis, needed, offered } => write!(f, "{offered} {}, {needed} needed", axis.words()),
            Self::TooMuch { axis, bound, offered } => write!(f, "{offered} {}, at most {bound} wanted", axis.words()),
            Self::Missing(feature) => write!(f, "no {}", feature.words()),
            Self::Unsupported { support, needed, offered } => {
                let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
                write!(f, "{} {offered}, {needed} needed", support.words())
            }
            Self::BareMetal { offered: true } => f.write_str("bare metal, the victim is virtual"),
            Self::BareMetal { offered: false } => f.write_str("virtual, the victim is bare metal"),
            Self::Another { identity, needed, offered } => match identity {
                Identity::Hypervisor => write!(f, "hypervisor {offered}, {needed} needed"),
                Identity::Manufacturer => write!(f, "CPU by {offered}, {needed} needed"),
            },
            Self::Accelerators { needed, offered } => {
                write!(f, "{}, {} needed", accelerators_text(offered), accelerators_text(needed))
            }
            Self::Disks { needed, offered } => write!(f, "{}, {} needed", disks_text(offered), disks_text(needed)),
            Self::DiskInterface { offered_nvme: true } => f.write_str("NVMe disks, the victim's are not"),
            Self::DiskInterface { offered_nvme: false } => f.write_str("disks without NVMe, the victim's have it"),
            Self::DiskOrder { victim, offered } => {
                write!(f, "{offered} NVMe disks, the victim's {victim}: mapped volumes would change their names")
            }
            Self::EnaDriver => f.write_str("requires ENA, the image has no driver"),
            Self::Marketplace => f.write_str("the image is from the marketplace: only the victim's own type"),
            Self::CpuOptions { needed_cores, offered_cores, needed_threads, offered_threads } => write!(
                f,
                "CPU options allow {} cores and {} threads, {} and {} needed",
                numbers(offered_cores),
                numbers(offered_threads),
                numbers(needed_cores),
                numbers(needed_threads),
            ),
            Self::Burstable => f.write_str("burstable, the victim is not"),
            Self::Flex => f.write_str("flex (40 % of its CPU is promised), the victim is not"),
            Self::PreviousGeneration => f.write_str("previous generation, the victim is current"),
            Self::Denied => f.write_str("in denied-types"),
            Self::NotAllowed => f.write_str("not in allowed-types"),
        }
    }
}

fn accelerators_text(accelerators: &[(String, u32)]) -> String {
    if accelerators.is_empty() {
        return "no accelerator".to_owned();
    }
    accelerators.iter().map(|(name, count)| format!("{count} x {name}")).collect::<Vec<_>>().join(" and ")
}

fn disks_text(disks: &[Disk]) -> String {
    if disks.is_empty() {
        return "no disks".to_owned();
    }
    disks
        .iter()
        .map(|disk| format!("{} x {} GB {}", disk.count, disk.size_gb, disk.kind))
        .collect::<Vec<_>>()
        .join(" and ")
}

fn numbers(numbers: &[u32]) -> String {
    if numbers.is_empty() {
        return "no".to_owned();
    }
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join("/")
}

impl Code for Mismatch {
    fn code(&self) -> &'static str {
        match self {
            Self::NotSpot => "not-spot",
            Self::NotOnDemand => "not-on-demand",
            Self::TooLittle { axis, .. } => match axis {
                Axis::Vcpus => "vcpus-too-few",
                Axis::Cores => "cores-too-few",
                Axis::MemoryMib => "memory-too-little",
                Axis::NetworkBaselineMbps => "network-baseline-too-low",
                Axis::EbsBaselineMbps => "ebs-bandwidth-too-low",
                Axis::EbsBaselineIops => "ebs-iops-too-low",
                Axis::EbsAttachments => "ebs-attachments-too-few",
                Axis::Interfaces => "interfaces-too-few",
                Axis::Ipv4PerInterface => "ipv4-addresses-too-few",
                Axis::Ipv6PerInterface => "ipv6-addresses-too-few",
                Axis::NetworkCards => "network-cards-too-few",
                Axis::IdleTimeoutSeconds => "idle-timeout-too-short",
                Axis::AcceleratorMemoryMib => "accelerator-memory-too-little",
            },
            // Only vCPUs and memory have upper bounds.
            Self::TooMuch { axis: Axis::MemoryMib, .. } => "memory-too-much",
            Self::TooMuch { .. } => "vcpus-too-many",
            Self::Missing(feature) => match feature {
                Feature::Ipv6 => "no-ipv6",
                Feature::Efa => "no-efa",
                Feature::TransitEncryption => "no-encryption-in-transit",
                Feature::DiskEncryption => "no-disk-encryption",
                Feature::Tpm => "no-tpm",
                Feature::Enclaves => "no-enclaves",
                Feature::Hibernation => "no-hibernation",
            },
            Self::Unsupported { support, .. } => match support {
                Support::Architecture => "architecture",
                Support::Virtualization => "virtualization",
                Support::RootDevice => "root-device",
                Support::BootMode => "boot-mode",
                Support::CpuFeature => "cpu-feature",
                Support::PlacementStrategy => "placement-strategy",
            },
            Self::BareMetal { .. } => "bare-metal",
            Self::Another { identity, .. } => match identity {
                Identity::Hypervisor => "hypervisor",
                Identity::Manufacturer => "cpu-manufacturer",
            },
            Self::Accelerators { .. } => "accelerators",
            Self::Disks { .. } => "disks",
            Self::DiskInterface { .. } => "disk-interface",
            Self::DiskOrder { .. } => "disk-order",
            Self::EnaDriver => "ena-driver",
            Self::Marketplace => "marketplace",
            Self::CpuOptions { .. } => "cpu-options",
            Self::Burstable => "burstable",
            Self::Flex => "flex",
            Self::PreviousGeneration => "previous-generation",
            Self::Denied => "denied-type",
            Self::NotAllowed => "type-not-allowed",
        }
    }
}
