//! What the market tests share: small made-up types, and the real ones.
#![allow(dead_code)] // each test binary uses its part

pub mod group;
pub mod real;

use std::collections::{BTreeMap, BTreeSet};

use planner::market::{InstanceSpec, Market};
use planner::model::{Image, LaunchFacts, Platform, Price};
use planner::policy::{Config, Policy};

/// A plain type of the current generation: Intel on Nitro, 2 vCPUs, 8 GiB, nothing special.
pub fn spec(name: &str) -> InstanceSpec {
    InstanceSpec {
        instance_type: name.into(),
        current_generation: true,
        spot: true,
        on_demand: true,
        bare_metal: false,
        hypervisor: "nitro".to_owned(),
        virtualization: words("hvm"),
        architectures: words("x86_64"),
        cpu_manufacturer: "Intel".to_owned(),
        cpu_features: Vec::new(),
        boot_modes: words("legacy-bios uefi"),
        tpm: true,
        root_devices: words("ebs"),
        vcpus: 2,
        cores: 1,
        valid_cores: vec![1],
        valid_threads_per_core: vec![1, 2],
        memory_mib: 8192,
        disks: Vec::new(),
        nvme_disks: false,
        encrypted_disks: false,
        ebs_baseline_mbps: 650,
        ebs_baseline_iops: 3600,
        ebs_attachments: 27,
        ebs_attachments_shared: true,
        ena_required: true,
        network_baseline_mbps: 781,
        network_cards: 1,
        interfaces: 3,
        ipv4_per_interface: 10,
        ipv6: true,
        ipv6_per_interface: 10,
        encryption_in_transit: true,
        efa: false,
        tcp_idle_timeout_seconds: Some(432_000),
        accelerators: Vec::new(),
        accelerator_memory_mib: 0,
        burstable: false,
        enclaves: false,
        hibernation: true,
        placement_strategies: words("cluster partition spread"),
    }
}

/// A template that asks for nothing special: 64-bit Linux on EBS.
pub fn launch() -> LaunchFacts {
    LaunchFacts {
        version: Some(7),
        instance_type: None,
        image: Image {
            id: "ami-1".into(),
            available: true,
            architecture: "x86_64".to_owned(),
            virtualization: "hvm".to_owned(),
            boot_mode: None,
            tpm: false,
            ena: true,
            root_device: "ebs".to_owned(),
            usage_operation: "RunInstances".to_owned(),
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
        volumes: 1,
        interfaces: 1,
        ipv6: false,
        efa: false,
        conntrack: false,
        placement_strategy: None,
    }
}

/// The policy of an owner who set these settings, `key=value` separated by semicolons.
pub fn policy(settings: &str) -> Policy {
    let pairs = settings.split(';').filter_map(|setting| setting.split_once('='));
    let defaults: BTreeMap<String, String> =
        pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect();
    match Policy::defaults(&Config { defaults, ..Config::default() }) {
        Ok(policy) => policy,
        Err(errors) => panic!("the test's settings do not parse: {errors:?}"),
    }
}

/// A market in which every zone offers every type, from lines
/// `m6i.large  2 vCPUs  8 GiB  on-demand 0.096  a 0.04  b 0.05  amd previous`. The words at the end are facts.
pub fn market(lines: &[&str]) -> Market {
    let mut market = Market::empty(Platform::Linux);
    let mut all = BTreeSet::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let mut spec = spec(words.next().expect("a line starts with a type"));
        let name = spec.instance_type.clone();
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word:?} needs a value in {line:?}"));
            match word {
                "amd" => spec.cpu_manufacturer = "AMD".to_owned(),
                "previous" => spec.current_generation = false,
                "burstable" => spec.burstable = true,
                "arm64" => {
                    spec.architectures = vec!["arm64".to_owned()];
                    spec.cpu_manufacturer = "AWS".to_owned();
                    spec.boot_modes = vec!["uefi".to_owned()];
                }
                "spot-only" => spec.on_demand = false,
                "no-spot" => spec.spot = false,
                "on-demand" => drop(market.on_demand.insert(name.clone(), price(value()))),
                zone if zone.len() == 1 && zone.as_bytes()[0].is_ascii_lowercase() => {
                    market.spot.entry(zone.into()).or_default().insert(name.clone(), price(value()));
                }
                number => match value() {
                    "vCPUs" => {
                        spec.vcpus = number.parse().expect("a number of vCPUs");
                        spec.cores = spec.vcpus.div_ceil(2);
                    }
                    "GiB" => spec.memory_mib = number.parse::<u64>().expect("a number of GiB") * 1024,
                    unit => panic!("unknown unit {unit:?} in {line:?}"),
                },
            }
        }
        all.insert(name.clone());
        market.specs.insert(name, spec);
    }
    for zone in ["a", "b"] {
        market.offerings.insert(zone.into(), all.clone());
    }
    market
}

pub fn price(text: &str) -> Price {
    Price::parse(text).unwrap_or_else(|| panic!("{text:?} is no price"))
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
