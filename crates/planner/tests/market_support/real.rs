//! The real world, as files of the project's `data` folder have it (see `data/README.md`): every instance type of
//! October 2026, what the zones of us-east-1 offer, and prices of us-east-1. The files are part of the binary, since
//! nothing in this crate does input or output.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use planner::market::{Disk, InstanceSpec, Market};
use planner::model::{InstanceType, Platform, Price, Zone};
use serde_json::Value;

const SPECS: &[u8] = include_bytes!("../../../../data/specs/describe_instance_types_2026-10.json.gz");
const OFFERINGS: &[u8] = include_bytes!("../../../../data/specs/offerings_by_az.csv.gz");
const ON_DEMAND: &str = include_str!("../../../../data/ondemand/us-east-1_linux_2026-07-20.csv");
const ADVISOR: &[u8] = include_bytes!("../../../../data/advisor/spot_advisor_2025-06-28.json.gz");

pub fn unzip(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).expect("the project's files are sound");
    text
}

/// Every type of `DescribeInstanceTypes`.
pub fn specs() -> BTreeMap<InstanceType, InstanceSpec> {
    let types: Vec<Value> = serde_json::from_str(&unzip(SPECS)).expect("the project's files are sound");
    types.iter().map(read_spec).map(|spec| (spec.instance_type.clone(), spec)).collect()
}

/// us-east-1: every type, what its zones offer, the on-demand prices of July 2026, and as spot prices what the Spot
/// Advisor of June 2025 calls the saving over a month, the same in every zone that offers the type.
pub fn market() -> Market {
    let mut market = Market::empty(Platform::Linux);
    market.specs = specs();
    for line in unzip(OFFERINGS).lines().skip(1) {
        let [region, instance_type, zones, ..] = line.split(',').collect::<Vec<_>>()[..] else {
            panic!("{line:?} is not an offering")
        };
        if region == "us-east-1" {
            for zone in zones.split(' ') {
                market.offerings.entry(zone.into()).or_default().insert(instance_type.into());
            }
        }
    }
    for line in ON_DEMAND.lines().skip(1) {
        let (instance_type, price) = line.split_once(',').expect("type,price");
        if let Some(price) = Price::parse(price) {
            market.on_demand.insert(instance_type.into(), price);
        }
    }
    let advisor: Value = serde_json::from_str(&unzip(ADVISOR)).expect("the project's files are sound");
    let savings = advisor["spot_advisor"]["us-east-1"]["Linux"].as_object().expect("a map of types");
    let offerings: Vec<(Zone, BTreeSet<InstanceType>)> = market.offerings.clone().into_iter().collect();
    for (zone, types) in offerings {
        let prices = market.spot.entry(zone).or_default();
        for instance_type in types {
            let saving = savings.get(instance_type.as_str()).and_then(|entry| entry["s"].as_u64());
            if let (Some(saving), Some(on_demand)) = (saving, market.on_demand.get(&instance_type)) {
                prices.insert(instance_type, on_demand.percent(100 - saving as u32));
            }
        }
    }
    market
}

fn read_spec(json: &Value) -> InstanceSpec {
    let network = &json["NetworkInfo"];
    let ebs = &json["EbsInfo"];
    let storage = &json["InstanceStorageInfo"];
    let processor = &json["ProcessorInfo"];
    let (accelerators, accelerator_memory_mib) = accelerators(json);
    let baseline_gbps: f64 =
        list(&network["NetworkCards"]).iter().filter_map(|card| card["BaselineBandwidthInGbps"].as_f64()).sum();
    InstanceSpec {
        instance_type: text(&json["InstanceType"]).as_str().into(),
        current_generation: flag(&json["CurrentGeneration"]),
        spot: texts(&json["SupportedUsageClasses"]).contains(&"spot".to_owned()),
        on_demand: texts(&json["SupportedUsageClasses"]).contains(&"on-demand".to_owned()),
        bare_metal: flag(&json["BareMetal"]),
        hypervisor: text(&json["Hypervisor"]),
        virtualization: texts(&json["SupportedVirtualizationTypes"]),
        architectures: texts(&processor["SupportedArchitectures"]),
        cpu_manufacturer: text(&processor["Manufacturer"]),
        cpu_features: texts(&processor["SupportedFeatures"]),
        boot_modes: texts(&json["SupportedBootModes"]),
        tpm: text(&json["NitroTpmSupport"]) == "supported",
        root_devices: texts(&json["SupportedRootDeviceTypes"]),
        vcpus: number(&json["VCpuInfo"]["DefaultVCpus"]) as u32,
        cores: number(&json["VCpuInfo"]["DefaultCores"]) as u32,
        valid_cores: numbers(&json["VCpuInfo"]["ValidCores"]),
        valid_threads_per_core: numbers(&json["VCpuInfo"]["ValidThreadsPerCore"]),
        memory_mib: number(&json["MemoryInfo"]["SizeInMiB"]),
        disks: list(&storage["Disks"])
            .iter()
            .map(|disk| Disk {
                count: number(&disk["Count"]) as u32,
                size_gb: number(&disk["SizeInGB"]),
                kind: text(&disk["Type"]),
            })
            .collect(),
        nvme_disks: text(&storage["NvmeSupport"]) == "required",
        encrypted_disks: text(&storage["EncryptionSupport"]) == "required",
        ebs_baseline_mbps: number(&ebs["EbsOptimizedInfo"]["BaselineBandwidthInMbps"]) as u32,
        ebs_baseline_iops: number(&ebs["EbsOptimizedInfo"]["BaselineIops"]) as u32,
        ebs_attachments: number(&ebs["MaximumEbsAttachments"]) as u32,
        ebs_attachments_shared: text(&ebs["AttachmentLimitType"]) == "shared",
        ena_required: text(&network["EnaSupport"]) == "required",
        network_baseline_mbps: (baseline_gbps * 1000.0).round() as u32,
        network_cards: number(&network["MaximumNetworkCards"]) as u32,
        interfaces: number(&network["MaximumNetworkInterfaces"]) as u32,
        ipv4_per_interface: number(&network["Ipv4AddressesPerInterface"]) as u32,
        ipv6: flag(&network["Ipv6Supported"]),
        ipv6_per_interface: number(&network["Ipv6AddressesPerInterface"]) as u32,
        encryption_in_transit: flag(&network["EncryptionInTransitSupported"]),
        efa: flag(&network["EfaSupported"]),
        tcp_idle_timeout_seconds: network["ConnectionTrackingConfiguration"]["DefaultTcpEstablishedTimeout"]
            .as_u64()
            .map(|seconds| seconds as u32),
        accelerators,
        accelerator_memory_mib,
        burstable: flag(&json["BurstablePerformanceSupported"]),
        enclaves: text(&json["NitroEnclavesSupport"]) == "supported",
        hibernation: flag(&json["HibernationSupported"]),
        placement_strategies: texts(&json["PlacementGroupInfo"]["SupportedStrategies"]),
    }
}

fn accelerators(json: &Value) -> (Vec<(String, u32)>, u64) {
    let kinds = [
        ("GpuInfo", "Gpus", "TotalGpuMemoryInMiB"),
        ("NeuronInfo", "NeuronDevices", "TotalNeuronDeviceMemoryInMiB"),
        ("InferenceAcceleratorInfo", "Accelerators", "TotalInferenceMemoryInMiB"),
        ("FpgaInfo", "Fpgas", "TotalFpgaMemoryInMiB"),
        ("MediaAcceleratorInfo", "Accelerators", "TotalMediaMemoryInMiB"),
    ];
    let mut accelerators = Vec::new();
    let mut memory = 0;
    for (info, devices, total) in kinds {
        memory += number(&json[info][total]);
        for device in list(&json[info][devices]) {
            let part = device["GpuPartitionSize"].as_f64().filter(|part| *part < 1.0);
            accelerators.push(match part {
                Some(part) => (format!("{}/{part}", text(&device["Name"])), number(&device["LogicalGpuCount"]) as u32),
                None => (text(&device["Name"]), number(&device["Count"]) as u32),
            });
        }
    }
    accelerators.sort();
    (accelerators, memory)
}

fn list(json: &Value) -> &[Value] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn text(json: &Value) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn texts(json: &Value) -> Vec<String> {
    list(json).iter().map(text).collect()
}

fn number(json: &Value) -> u64 {
    json.as_u64().unwrap_or_default()
}

fn numbers(json: &Value) -> Vec<u32> {
    list(json).iter().map(|value| number(value) as u32).collect()
}

fn flag(json: &Value) -> bool {
    json.as_bool().unwrap_or_default()
}
