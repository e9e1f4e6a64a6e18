//! The files that are part of the program: all of them under Apache-2.0 or MIT, see `data/README.md` and
//! `data/licenses`. Files under other terms, and files that no command reads, are never compiled in.

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../../data/", $name)).as_slice())),+]
    };
}

/// Name below `data/`, and bytes.
pub(crate) const FILES: &[(&str, &[u8])] = files![
    "specs/instance_types_retired.csv",
    "specs/instance_types.csv.gz",
    "specs/offerings_by_az.csv.gz",
    "ondemand/all_regions_os_2019-04-05.csv.gz",
    "ondemand/us-east-1_linux_changes_2022-2026.csv.gz",
    "ondemand/us-east-1_os_2023-08-30.csv",
    "ondemand/us-east-1_linux_2026-07-20.csv",
    "spot/az_gpu_2019-12_2020-03.csv.gz",
    "spot/az_m5.large_us-east-1_2021-01.csv",
    "spot/az_c5a.2xlarge_us-east-1_2023-11.csv",
    "advisor/spot_advisor_2025-06-28.json.gz",
];
