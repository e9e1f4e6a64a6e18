//! Every compatibility rule, on both sides of its edge.

#[path = "market_support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use expect_test::expect;
use planner::compat::{self, Mismatch, RULES, Strength};
use planner::market::{Disk, InstanceSpec};
use planner::model::{LaunchFacts, PurchaseOption};
use planner::policy::{Policy, SETTINGS};
use planner::reason::Code;

/// A victim, what its group launches, what its owner wants, and a candidate: alike until a case says otherwise.
struct World {
    purchase: PurchaseOption,
    victim: InstanceSpec,
    launch: LaunchFacts,
    policy: Policy,
    candidate: InstanceSpec,
}

impl World {
    fn new() -> World {
        World {
            purchase: PurchaseOption::Spot,
            victim: support::spec("m6i.large"),
            launch: support::launch(),
            policy: support::policy(""),
            candidate: support::spec("m7i.large"),
        }
    }

    fn mismatches(&self) -> Vec<Mismatch> {
        let World { purchase, victim, launch, policy, candidate } = self;
        let verdict = compat::fits_as(*purchase, victim, launch, policy, candidate);
        let fast = compat::fits_at_all(*purchase, victim, launch, policy, candidate);
        assert_eq!(verdict.is_ok(), fast.is_some(), "the fast answer is the same answer");
        match verdict {
            Ok(compatible) => {
                assert_eq!(compatible.spec(), candidate);
                Vec::new()
            }
            Err(mismatches) => mismatches,
        }
    }

    fn answer(&self) -> String {
        let mismatches = self.mismatches();
        if mismatches.is_empty() {
            return "fits".to_owned();
        }
        let texts: Vec<String> =
            mismatches.iter().map(|mismatch| format!("{mismatch} [{}]", mismatch.code())).collect();
        texts.join("; ")
    }
}

/// Topic of a rule, what is special, and how to make it so.
type Case = (&'static str, &'static str, fn(&mut World));

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("vCPUs", "as many", |w| w.candidate.vcpus = 2),
    ("vCPUs", "one fewer", |w| w.candidate.vcpus = 1),
    ("memory", "as much", |w| w.candidate.memory_mib = 8192),
    ("memory", "one MiB less", |w| w.candidate.memory_mib = 8191),
    ("upper bound of vCPUs", "twice", |w| w.candidate.vcpus = 4),
    ("upper bound of vCPUs", "one more than twice", |w| w.candidate.vcpus = 5),
    ("upper bound of vCPUs", "one more than twice, 250% allowed", |w| { w.candidate.vcpus = 5; w.policy = support::policy("max-vcpus=250%") }),
    ("upper bound of vCPUs", "fifty times, any allowed", |w| { w.candidate.vcpus = 100; w.policy = support::policy("max-vcpus=any") }),
    ("upper bound of memory", "twice", |w| w.candidate.memory_mib = 16384),
    ("upper bound of memory", "one MiB more than twice", |w| w.candidate.memory_mib = 16385),
    ("upper bound of memory", "three times, any allowed", |w| { w.candidate.memory_mib = 24576; w.policy = support::policy("max-memory=any") }),
    ("purchase", "spot only", |w| w.candidate.on_demand = false),
    ("purchase", "on-demand only", |w| w.candidate.spot = false),
    ("purchase", "on-demand only, on the way back", |w| { w.candidate.spot = false; w.purchase = PurchaseOption::OnDemand }),
    ("purchase", "spot only, on the way back", |w| { w.candidate.on_demand = false; w.purchase = PurchaseOption::OnDemand }),
    ("cores", "two vCPUs are one core for both", |w| w.victim.cores = 1),
    ("cores", "two vCPUs are two cores for the victim", |w| w.victim.cores = 2),
    ("network baseline", "as much", |w| w.candidate.network_baseline_mbps = 781),
    ("network baseline", "less", |w| w.candidate.network_baseline_mbps = 780),
    ("network baseline", "not stated for the victim", |w| { w.victim.network_baseline_mbps = 0; w.candidate.network_baseline_mbps = 1 }),
    ("network baseline", "not stated for the candidate", |w| w.candidate.network_baseline_mbps = 0),
    ("EBS bandwidth", "as much", |w| w.candidate.ebs_baseline_mbps = 650),
    ("EBS bandwidth", "less", |w| w.candidate.ebs_baseline_mbps = 649),
    ("EBS operations", "as many", |w| w.candidate.ebs_baseline_iops = 3600),
    ("EBS operations", "fewer", |w| w.candidate.ebs_baseline_iops = 3599),
    ("EBS attachments", "room for all volumes", |w| { w.launch.volumes = 27 }),
    ("EBS attachments", "one volume too many", |w| { w.launch.volumes = 28 }),
    ("EBS attachments", "a second interface takes the last place", |w| { w.launch.volumes = 27; w.launch.interfaces = 2 }),
    ("EBS attachments", "a second interface takes no place", |w| { w.launch.volumes = 27; w.launch.interfaces = 2; w.candidate.ebs_attachments_shared = false }),
    ("EBS attachments", "not stated", |w| { w.launch.volumes = 40; w.candidate.ebs_attachments = 0 }),
    ("interfaces", "as many as the victim's", |w| w.candidate.interfaces = 3),
    ("interfaces", "fewer than the victim's", |w| w.candidate.interfaces = 2),
    ("IPv4 addresses", "as many", |w| w.candidate.ipv4_per_interface = 10),
    ("IPv4 addresses", "fewer", |w| w.candidate.ipv4_per_interface = 9),
    ("network cards", "as many", |w| w.candidate.network_cards = 1),
    ("network cards", "fewer", |w| w.victim.network_cards = 2),
    ("IPv6", "not there and not asked for", |w| w.candidate.ipv6 = false),
    ("IPv6", "not there but asked for", |w| { w.candidate.ipv6 = false; w.launch.ipv6 = true }),
    ("IPv6 addresses", "asked for, with as many addresses", |w| { w.candidate.ipv6_per_interface = 10; w.launch.ipv6 = true }),
    ("IPv6 addresses", "asked for, with fewer addresses", |w| { w.candidate.ipv6_per_interface = 9; w.launch.ipv6 = true }),
    ("EFA", "not there and not asked for", |w| { w.victim.efa = true; w.candidate.efa = false }),
    ("EFA", "not there but asked for", |w| w.launch.efa = true),
    ("encryption in transit", "neither has it", |w| { w.victim.encryption_in_transit = false; w.candidate.encryption_in_transit = false }),
    ("encryption in transit", "only the victim has it", |w| w.candidate.encryption_in_transit = false),
    ("idle connections", "both keep them for five days", |w| w.candidate.tcp_idle_timeout_seconds = None),
    ("idle connections", "only the candidate drops them after 350 s", |w| w.candidate.tcp_idle_timeout_seconds = Some(350)),
    ("idle connections", "both drop them after 350 s", |w| { w.victim.tcp_idle_timeout_seconds = Some(350); w.candidate.tcp_idle_timeout_seconds = Some(350) }),
    ("idle connections", "the template sets the time-out", |w| { w.candidate.tcp_idle_timeout_seconds = Some(350); w.launch.conntrack = true }),
    ("burst", "burstable for burstable", |w| { w.victim.burstable = true; w.candidate.burstable = true }),
    ("burst", "burstable for another", |w| w.candidate.burstable = true),
    ("burst", "burstable for another, allowed", |w| { w.candidate.burstable = true; w.policy = support::policy("burstable=true") }),
    ("burst", "another for burstable", |w| w.victim.burstable = true),
    ("burst", "flex for another", |w| w.candidate.instance_type = "m7i-flex.large".into()),
    ("burst", "flex for flex", |w| { w.victim.instance_type = "c7i-flex.large".into(); w.candidate.instance_type = "m7i-flex.large".into() }),
    ("burst", "flex for another, allowed", |w| { w.candidate.instance_type = "m7i-flex.large".into(); w.policy = support::policy("burstable=true") }),
    ("bare metal", "for a virtual victim", |w| { w.candidate.bare_metal = true; w.candidate.hypervisor = String::new() }),
    ("bare metal", "virtual for a bare-metal victim", |w| { w.victim.bare_metal = true; w.victim.hypervisor = String::new() }),
    ("bare metal", "both", |w| { w.victim.bare_metal = true; w.candidate.bare_metal = true; w.candidate.hypervisor = String::new() }),
    ("hypervisor", "Nitro for Xen", |w| w.victim.hypervisor = "xen".to_owned()),
    ("hypervisor", "Xen for Nitro", |w| w.candidate.hypervisor = "xen".to_owned()),
    ("hypervisor", "Xen for Xen", |w| { w.victim.hypervisor = "xen".to_owned(); w.candidate.hypervisor = "xen".to_owned() }),
    ("architecture", "one of two", |w| w.candidate.architectures = strings("i386 x86_64")),
    ("architecture", "arm64 for an x86_64 image", |w| w.candidate.architectures = strings("arm64")),
    ("architecture", "x86_64 for an i386 image", |w| w.launch.image.architecture = "i386".to_owned()),
    ("generation", "previous for current", |w| w.candidate.current_generation = false),
    ("generation", "previous for current, allowed", |w| { w.candidate.current_generation = false; w.policy = support::policy("previous-generation=true") }),
    ("generation", "previous for previous", |w| { w.candidate.current_generation = false; w.victim.current_generation = false }),
    ("CPU manufacturer", "AMD for Intel", |w| w.candidate.cpu_manufacturer = "AMD".to_owned()),
    ("CPU manufacturer", "AMD for Intel, allowed", |w| { w.candidate.cpu_manufacturer = "AMD".to_owned(); w.policy = support::policy("cpu-manufacturer=any") }),
    ("accelerators", "added", |w| w.candidate.accelerators = vec![("T4".to_owned(), 1)]),
    ("accelerators", "fewer", |w| { w.victim.accelerators = vec![("T4".to_owned(), 4)]; w.candidate.accelerators = vec![("T4".to_owned(), 1)] }),
    ("accelerators", "missing", |w| w.victim.accelerators = vec![("T4".to_owned(), 1)]),
    ("accelerators", "a part for a whole", |w| { w.victim.accelerators = vec![("L4".to_owned(), 1)]; w.candidate.accelerators = vec![("L4/0.125".to_owned(), 1)] }),
    ("accelerators", "equal", |w| { w.victim.accelerators = vec![("T4".to_owned(), 1)]; w.candidate.accelerators = vec![("T4".to_owned(), 1)] }),
    ("accelerator memory", "eight of the same name, half the memory", |w| {
        w.victim.accelerators = vec![("A100".to_owned(), 8)]; w.victim.accelerator_memory_mib = 655_360;
        w.candidate.accelerators = vec![("A100".to_owned(), 8)]; w.candidate.accelerator_memory_mib = 327_680 }),
    ("accelerator memory", "twice the memory", |w| { w.victim.accelerator_memory_mib = 327_680; w.candidate.accelerator_memory_mib = 655_360 }),
    ("disks", "as many and as large", |w| { w.victim.disks = ssd(2, 100); w.candidate.disks = ssd(2, 100) }),
    ("disks", "one disk of twice the size for two", |w| { w.victim.disks = ssd(2, 100); w.candidate.disks = ssd(1, 200) }),
    ("disks", "smaller", |w| { w.victim.disks = ssd(1, 100); w.candidate.disks = ssd(1, 99) }),
    ("disks", "hdd for ssd", |w| { w.victim.disks = ssd(1, 100); w.candidate.disks = vec![Disk { count: 1, size_gb: 2000, kind: "hdd".to_owned() }] }),
    ("disks", "none", |w| w.victim.disks = ssd(1, 100)),
    ("disks", "several kinds, each large enough", |w| {
        w.victim.disks = vec![disk(1, 100, "hdd"), disk(2, 50, "ssd")];
        w.candidate.disks = vec![disk(1, 50, "ssd"), disk(1, 100, "hdd"), disk(1, 60, "ssd")] }),
    ("disks", "several sizes, the second too small", |w| {
        w.victim.disks = vec![disk(2, 50, "ssd")]; w.candidate.disks = vec![disk(1, 500, "ssd"), disk(1, 49, "ssd")] }),
    ("disk interface", "NVMe for NVMe", |w| { w.victim.disks = ssd(1, 100); w.candidate.disks = ssd(1, 100); w.victim.nvme_disks = true; w.candidate.nvme_disks = true }),
    ("disk interface", "NVMe for a block device", |w| { w.victim.disks = ssd(1, 100); w.candidate.disks = ssd(1, 100); w.candidate.nvme_disks = true }),
    ("disk interface", "a block device for NVMe", |w| { w.victim.disks = ssd(1, 100); w.candidate.disks = ssd(1, 100); w.victim.nvme_disks = true }),
    ("disk encryption", "both", |w| { w.victim.encrypted_disks = true; w.candidate.encrypted_disks = true }),
    ("disk encryption", "only the victim's", |w| w.victim.encrypted_disks = true),
    ("disk order", "an added disk beside the root volume", |w| { w.candidate.disks = ssd(1, 100); w.candidate.nvme_disks = true }),
    ("disk order", "an added disk beside a data volume", |w| { w.candidate.disks = ssd(1, 100); w.candidate.nvme_disks = true; w.launch.volumes = 2 }),
    ("disk order", "as many disks beside a data volume", |w| {
        w.victim.disks = ssd(1, 100); w.victim.nvme_disks = true; w.candidate.disks = ssd(1, 100); w.candidate.nvme_disks = true; w.launch.volumes = 2 }),
    ("disk order", "an added disk beside a data volume on Xen", |w| {
        w.victim.hypervisor = "xen".to_owned(); w.candidate.hypervisor = "xen".to_owned(); w.candidate.disks = ssd(1, 100); w.candidate.nvme_disks = true; w.launch.volumes = 2 }),
    ("virtualization", "one of two", |w| w.candidate.virtualization = strings("hvm paravirtual")),
    ("virtualization", "a paravirtual image", |w| w.launch.image.virtualization = "paravirtual".to_owned()),
    ("root device", "one of two", |w| w.candidate.root_devices = strings("instance-store ebs")),
    ("root device", "an instance-store image", |w| w.launch.image.root_device = "instance-store".to_owned()),
    ("boot mode", "a UEFI image, both modes", |w| w.launch.image.boot_mode = Some("uefi".to_owned())),
    ("boot mode", "a UEFI image, legacy only", |w| { w.launch.image.boot_mode = Some("uefi".to_owned()); w.candidate.boot_modes = strings("legacy-bios") }),
    ("boot mode", "an image that prefers UEFI, legacy only", |w| { w.launch.image.boot_mode = Some("uefi-preferred".to_owned()); w.candidate.boot_modes = strings("legacy-bios") }),
    ("boot mode", "a legacy image, UEFI only", |w| { w.launch.image.boot_mode = Some("legacy-bios".to_owned()); w.candidate.boot_modes = strings("uefi") }),
    ("boot mode", "left to the type: legacy for both", |w| w.candidate.boot_modes = strings("legacy-bios")),
    ("boot mode", "left to the type: UEFI only", |w| w.candidate.boot_modes = strings("uefi")),
    ("boot mode", "left to the type: both modes for UEFI only", |w| w.victim.boot_modes = strings("uefi")),
    ("boot mode", "left to the type: nothing is said of the candidate's", |w| w.candidate.boot_modes.clear()),
    ("boot mode", "left to the type: nothing is said of the victim's, UEFI only", |w| { w.victim.boot_modes.clear(); w.candidate.boot_modes = strings("uefi") }),
    ("boot mode", "left to the type: nothing is said of an arm64 victim's, UEFI only", |w| { w.launch.image.architecture = "arm64".to_owned(); for spec in [&mut w.victim, &mut w.candidate] { spec.architectures = strings("arm64") }; w.victim.boot_modes.clear(); w.candidate.boot_modes = strings("uefi") }),
    ("TPM", "not there and not needed", |w| w.candidate.tpm = false),
    ("TPM", "not there but needed", |w| { w.candidate.tpm = false; w.launch.image.tpm = true }),
    ("ENA", "required, and no driver", |w| w.launch.image.ena = false),
    ("ENA", "not required, and no driver", |w| { w.launch.image.ena = false; w.candidate.ena_required = false }),
    ("marketplace", "another type", |w| w.launch.image.marketplace = true),
    ("marketplace", "the victim's own type", |w| { w.launch.image.marketplace = true; w.candidate.instance_type = "m6i.large".into() }),
    ("CPU options", "all of the victim's and more", |w| { w.launch.cpu_options = true; w.candidate.valid_cores = vec![1, 2] }),
    ("CPU options", "other numbers of cores", |w| { w.launch.cpu_options = true; w.candidate.valid_cores = vec![2, 4] }),
    ("CPU options", "no second thread", |w| { w.launch.cpu_options = true; w.candidate.valid_threads_per_core = vec![1] }),
    ("CPU options", "other numbers of cores, no options set", |w| w.candidate.valid_cores = vec![2, 4]),
    ("CPU features", "the victim's, with options set", |w| { w.launch.cpu_options = true; w.victim.cpu_features = strings("amd-sev-snp"); w.candidate.cpu_features = strings("amd-sev-snp") }),
    ("CPU features", "none, with options set", |w| { w.launch.cpu_options = true; w.victim.cpu_features = strings("amd-sev-snp") }),
    ("CPU features", "none, no options set", |w| w.victim.cpu_features = strings("amd-sev-snp")),
    ("placement group", "cluster supported", |w| w.launch.placement_strategy = Some("cluster".to_owned())),
    ("placement group", "cluster not supported", |w| { w.launch.placement_strategy = Some("cluster".to_owned()); w.candidate.placement_strategies = strings("partition spread") }),
    ("enclaves", "not there and not asked for", |w| w.victim.enclaves = true),
    ("enclaves", "not there but asked for", |w| w.launch.enclave = true),
    ("hibernation", "not there and not asked for", |w| w.candidate.hibernation = false),
    ("hibernation", "not there but asked for", |w| { w.candidate.hibernation = false; w.launch.hibernation = true }),
    ("denied types", "another pattern", |w| w.policy = support::policy("denied-types=c*")),
    ("denied types", "the pattern", |w| w.policy = support::policy("denied-types=c*, m7*")),
    ("denied types", "denying beats allowing", |w| w.policy = support::policy("allowed-types=m7i.large;denied-types=m7i.large")),
    ("denied types", "current is the victim's type only", |w| w.policy = support::policy("denied-types=current")),
    ("denied types", "current", |w| { w.policy = support::policy("denied-types=current"); w.candidate.instance_type = "m6i.large".into() }),
    ("allowed types", "the pattern", |w| w.policy = support::policy("allowed-types=m?i.large")),
    ("allowed types", "another pattern", |w| w.policy = support::policy("allowed-types=m?i.xlarge")),
    ("allowed types", "current, another type", |w| w.policy = support::policy("allowed-types=current")),
    ("allowed types", "another pattern, the group's own type on the way back", |w| {
        w.policy = support::policy("allowed-types=c*"); w.purchase = PurchaseOption::OnDemand; w.launch.instance_type = Some("m7i.large".into()) }),
    ("allowed types", "another pattern, the group's own type to spot", |w| {
        w.policy = support::policy("allowed-types=c*"); w.launch.instance_type = Some("m7i.large".into()) }),
];

fn strings(words: &str) -> Vec<String> {
    words.split(' ').map(str::to_owned).collect()
}

fn disk(count: u32, size_gb: u64, kind: &str) -> Disk {
    Disk { count, size_gb, kind: kind.to_owned() }
}

fn ssd(count: u32, size_gb: u64) -> Vec<Disk> {
    vec![disk(count, size_gb, "ssd")]
}

#[test]
fn every_rule_on_both_sides_of_its_edge() {
    let mut picture = String::new();
    let mut topic_before = "";
    for (topic, special, make) in CASES {
        let mut world = World::new();
        make(&mut world);
        if *topic != topic_before {
            picture += &format!("{topic}\n");
            topic_before = topic;
        }
        picture += &format!("  {special}: {}\n", world.answer());
    }
    expect![[r#"
        vCPUs
          as many: fits
          one fewer: 1 vCPUs, 2 needed [vcpus-too-few]
        memory
          as much: fits
          one MiB less: 8191 MiB of memory, 8192 needed [memory-too-little]
        upper bound of vCPUs
          twice: fits
          one more than twice: 5 vCPUs, at most 4 wanted [vcpus-too-many]
          one more than twice, 250% allowed: fits
          fifty times, any allowed: fits
        upper bound of memory
          twice: fits
          one MiB more than twice: 16385 MiB of memory, at most 16384 wanted [memory-too-much]
          three times, any allowed: fits
        purchase
          spot only: fits
          on-demand only: cannot be bought as spot [not-spot]
          on-demand only, on the way back: fits
          spot only, on the way back: cannot be bought on demand [not-on-demand]
        cores
          two vCPUs are one core for both: fits
          two vCPUs are two cores for the victim: 1 cores, 2 needed [cores-too-few]
        network baseline
          as much: fits
          less: 780 Mbit/s network baseline, 781 needed [network-baseline-too-low]
          not stated for the victim: fits
          not stated for the candidate: 0 Mbit/s network baseline, 781 needed [network-baseline-too-low]
        EBS bandwidth
          as much: fits
          less: 649 Mbit/s EBS baseline, 650 needed [ebs-bandwidth-too-low]
        EBS operations
          as many: fits
          fewer: 3599 EBS operations per second, 3600 needed [ebs-iops-too-low]
        EBS attachments
          room for all volumes: fits
          one volume too many: 27 EBS attachments, 28 needed [ebs-attachments-too-few]
          a second interface takes the last place: 27 EBS attachments, 28 needed [ebs-attachments-too-few]
          a second interface takes no place: fits
          not stated: fits
        interfaces
          as many as the victim's: fits
          fewer than the victim's: 2 network interfaces, 3 needed [interfaces-too-few]
        IPv4 addresses
          as many: fits
          fewer: 9 IPv4 addresses per interface, 10 needed [ipv4-addresses-too-few]
        network cards
          as many: fits
          fewer: 1 network cards, 2 needed [network-cards-too-few]
        IPv6
          not there and not asked for: fits
          not there but asked for: no IPv6 [no-ipv6]
        IPv6 addresses
          asked for, with as many addresses: fits
          asked for, with fewer addresses: 9 IPv6 addresses per interface, 10 needed [ipv6-addresses-too-few]
        EFA
          not there and not asked for: fits
          not there but asked for: no EFA [no-efa]
        encryption in transit
          neither has it: fits
          only the victim has it: no encryption in transit [no-encryption-in-transit]
        idle connections
          both keep them for five days: fits
          only the candidate drops them after 350 s: 350 s before idle connections are dropped, 432000 needed [idle-timeout-too-short]
          both drop them after 350 s: fits
          the template sets the time-out: fits
        burst
          burstable for burstable: fits
          burstable for another: burstable, the victim is not [burstable]
          burstable for another, allowed: fits
          another for burstable: fits
          flex for another: flex (40 % of its CPU is promised), the victim is not [flex]
          flex for flex: fits
          flex for another, allowed: fits
        bare metal
          for a virtual victim: bare metal, the victim is virtual [bare-metal]
          virtual for a bare-metal victim: virtual, the victim is bare metal [bare-metal]
          both: fits
        hypervisor
          Nitro for Xen: hypervisor nitro, xen needed [hypervisor]
          Xen for Nitro: hypervisor xen, nitro needed [hypervisor]
          Xen for Xen: fits
        architecture
          one of two: fits
          arm64 for an x86_64 image: architecture arm64, x86_64 needed [architecture]
          x86_64 for an i386 image: architecture x86_64, i386 needed [architecture]
        generation
          previous for current: previous generation, the victim is current [previous-generation]
          previous for current, allowed: fits
          previous for previous: fits
        CPU manufacturer
          AMD for Intel: CPU by AMD, Intel needed [cpu-manufacturer]
          AMD for Intel, allowed: fits
        accelerators
          added: 1 x T4, no accelerator needed [accelerators]
          fewer: 1 x T4, 4 x T4 needed [accelerators]
          missing: no accelerator, 1 x T4 needed [accelerators]
          a part for a whole: 1 x L4/0.125, 1 x L4 needed [accelerators]
          equal: fits
        accelerator memory
          eight of the same name, half the memory: 327680 MiB of accelerator memory, 655360 needed [accelerator-memory-too-little]
          twice the memory: fits
        disks
          as many and as large: fits
          one disk of twice the size for two: 1 x 200 GB ssd, 2 x 100 GB ssd needed [disks]
          smaller: 1 x 99 GB ssd, 1 x 100 GB ssd needed [disks]
          hdd for ssd: 1 x 2000 GB hdd, 1 x 100 GB ssd needed [disks]
          none: no disks, 1 x 100 GB ssd needed [disks]
          several kinds, each large enough: fits
          several sizes, the second too small: 1 x 500 GB ssd and 1 x 49 GB ssd, 2 x 50 GB ssd needed [disks]
        disk interface
          NVMe for NVMe: fits
          NVMe for a block device: NVMe disks, the victim's are not [disk-interface]
          a block device for NVMe: disks without NVMe, the victim's have it [disk-interface]
        disk encryption
          both: fits
          only the victim's: no encrypted disks [no-disk-encryption]
        disk order
          an added disk beside the root volume: fits
          an added disk beside a data volume: 1 NVMe disks, the victim's 0: mapped volumes would change their names [disk-order]
          as many disks beside a data volume: fits
          an added disk beside a data volume on Xen: fits
        virtualization
          one of two: fits
          a paravirtual image: virtualization hvm, paravirtual needed [virtualization]
        root device
          one of two: fits
          an instance-store image: root device ebs, instance-store needed [root-device]
        boot mode
          a UEFI image, both modes: fits
          a UEFI image, legacy only: boot mode legacy-bios, uefi needed [boot-mode]
          an image that prefers UEFI, legacy only: fits
          a legacy image, UEFI only: boot mode uefi, legacy-bios needed [boot-mode]
          left to the type: legacy for both: fits
          left to the type: UEFI only: boot mode uefi, legacy-bios needed [boot-mode]
          left to the type: both modes for UEFI only: boot mode legacy-bios, uefi needed [boot-mode]
          left to the type: nothing is said of the candidate's: fits
          left to the type: nothing is said of the victim's, UEFI only: boot mode uefi, legacy-bios needed [boot-mode]
          left to the type: nothing is said of an arm64 victim's, UEFI only: fits
        TPM
          not there and not needed: fits
          not there but needed: no NitroTPM [no-tpm]
        ENA
          required, and no driver: requires ENA, the image has no driver [ena-driver]
          not required, and no driver: fits
        marketplace
          another type: the image is from the marketplace: only the victim's own type [marketplace]
          the victim's own type: fits
        CPU options
          all of the victim's and more: fits
          other numbers of cores: CPU options allow 2/4 cores and 1/2 threads, 1 and 1/2 needed [cpu-options]
          no second thread: CPU options allow 1 cores and 1 threads, 1 and 1/2 needed [cpu-options]
          other numbers of cores, no options set: fits
        CPU features
          the victim's, with options set: fits
          none, with options set: CPU feature none, amd-sev-snp needed [cpu-feature]
          none, no options set: fits
        placement group
          cluster supported: fits
          cluster not supported: placement strategy partition, spread, cluster needed [placement-strategy]
        enclaves
          not there and not asked for: fits
          not there but asked for: no Nitro Enclaves [no-enclaves]
        hibernation
          not there and not asked for: fits
          not there but asked for: no hibernation [no-hibernation]
        denied types
          another pattern: fits
          the pattern: in denied-types [denied-type]
          denying beats allowing: in denied-types [denied-type]
          current is the victim's type only: fits
          current: in denied-types [denied-type]
        allowed types
          the pattern: fits
          another pattern: not in allowed-types [type-not-allowed]
          current, another type: not in allowed-types [type-not-allowed]
          another pattern, the group's own type on the way back: fits
          another pattern, the group's own type to spot: not in allowed-types [type-not-allowed]
    "#]].assert_eq(&picture);
}

#[test]
fn every_rule_has_a_case_that_fits_and_one_that_does_not() {
    let answers = |fit: bool| -> BTreeSet<&str> {
        CASES
            .iter()
            .filter(|(_, _, make)| {
                let mut world = World::new();
                make(&mut world);
                world.mismatches().is_empty() == fit
            })
            .map(|(topic, ..)| *topic)
            .collect()
    };
    let topics: BTreeSet<&str> = RULES.iter().map(|rule| rule.topic).collect();
    assert_eq!(answers(true), topics);
    assert_eq!(answers(false), topics);
}

#[test]
fn every_default_names_a_setting() {
    for rule in RULES {
        if let Strength::Default(key) = rule.strength {
            assert!(SETTINGS.iter().any(|setting| setting.key == key), "{rule:?}");
        }
    }
}

#[test]
fn every_mismatch_of_a_type_is_named_at_once() {
    let mut world = World::new();
    world.candidate =
        InstanceSpec { vcpus: 1, memory_mib: 1024, spot: false, burstable: true, ..support::spec("t9.nano") };
    world.candidate.cpu_manufacturer = "AMD".to_owned();
    expect!["1 vCPUs, 2 needed [vcpus-too-few]; 1024 MiB of memory, 8192 needed [memory-too-little]; cannot be bought as spot [not-spot]; burstable, the victim is not [burstable]; CPU by AMD, Intel needed [cpu-manufacturer]"]
        .assert_eq(&world.answer());
}
