//! What is shipped, what a user adds, and what is refused.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use data::{DataError, Library, NoRecord};
use expect_test::{Expect, expect};
use jiff::Timestamp;
use jiff::civil::date;
use planner::model::{InstanceType, Platform, Price};
use planner::stats::InterruptionFrequency;

/// A directory with these files.
fn directory(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a new directory");
    for (name, text) in files {
        fs::write(path.join(name), text).expect("a new file");
    }
    path
}

/// Read once: without optimization it takes seconds.
fn shipped() -> Library {
    static SHIPPED: LazyLock<Library> = LazyLock::new(|| Library::shipped().expect("the project's files are sound"));
    SHIPPED.clone()
}

/// What only these files say: what is shipped takes a while to read without optimization.
fn with(name: &str, files: &[(&str, &str)]) -> Library {
    let mut library = Library::default();
    library.read(&directory(name, files)).expect("the files are sound");
    library
}

fn check_refused(name: &str, file: (&str, &str), expected: Expect) {
    let path = directory(name, &[file]);
    let error = Library::default().read(&path).expect_err("must be refused").to_string();
    expected.assert_eq(&error.replace(path.to_str().expect("a plain name"), "DIR"));
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn m5() -> InstanceType {
    InstanceType::new("m5.large")
}

const HISTORY: &str = r#"{"SpotPriceHistory": [
  {"AvailabilityZone": "eu-west-1b", "InstanceType": "m5.large", "ProductDescription": "Linux/UNIX",
   "SpotPrice": "0.041000", "Timestamp": "2026-03-02T00:00:00+00:00"},
  {"AvailabilityZone": "eu-west-1a", "InstanceType": "m5.large", "ProductDescription": "Linux/UNIX",
   "SpotPrice": "0.040000", "Timestamp": "2026-03-01T00:00:00+00:00"},
  {"AvailabilityZone": "eu-west-1a", "InstanceType": "m5.large", "ProductDescription": "Windows (Amazon VPC)",
   "SpotPrice": "0.132000", "Timestamp": "2026-03-01T00:00:00Z"},
  {"AvailabilityZone": "eu-west-1a", "InstanceType": "m5.large", "ProductDescription": "Linux/UNIX",
   "SpotPrice": "0.050000", "Timestamp": "2026-03-03T00:00:00+00:00"}
]}"#;

#[test]
fn the_shipped_files_answer() {
    let library = shipped();
    assert_eq!(library.types().len(), 1415, "today's types and the retired ones");
    let facts = &library.types()["m5.large"];
    assert_eq!((facts.vcpus, facts.memory_mib, facts.spot), (2, 8192, true));
    assert!(library.regions().len() >= 30);
    assert!(library.offered("us-east-1").any(|(name, zones)| *name == m5() && zones.len() >= 5));
    let newest = library.on_demand("us-east-1", Platform::Linux, &m5(), None).expect("listed");
    assert_eq!((newest.price, newest.date), (Some(Price(96_000)), Some(date(2026, 7, 20))));
    let (advice, day) = library.advice("eu-west-1", Platform::Linux, &m5()).expect("advised");
    assert!(advice.frequency.is_some() && advice.saving_percent.is_some());
    assert_eq!(day, Some(date(2025, 6, 28)));
    let recorded = library.recorded("us-east-1", Platform::Linux, &m5(), None, None).expect("recorded");
    assert_eq!(recorded.zones.len(), 5);
    assert_eq!(recorded.sources, ["spot/az_m5.large_us-east-1_2021-01.csv"]);
}

#[test]
fn an_on_demand_price_is_that_of_its_time() {
    let library = shipped();
    let v100 = InstanceType::new("p3.2xlarge");
    let of = |time: Option<&str>| library.on_demand("us-east-1", Platform::Linux, &v100, time.map(at));
    assert_eq!(of(None).and_then(|listed| listed.date), Some(date(2026, 7, 20)));
    let gone = InstanceType::new("cc2.8xlarge");
    assert_eq!(library.on_demand("us-east-1", Platform::Linux, &gone, None), None, "gone from the newest lists");
    let listed = of(Some("2020-02-01T00:00:00Z")).expect("listed then");
    assert_eq!((listed.price, listed.date), (Some(Price(3_060_000)), Some(date(2019, 4, 5))));
    let before_all = of(Some("2010-01-01T00:00:00Z")).expect("the first after it");
    assert_eq!(before_all.date, Some(date(2019, 4, 5)));
    let windows = library.on_demand("us-east-1", Platform::Windows, &m5(), None).expect("listed");
    assert_eq!(windows.price, Some(Price(188_000)));
}

#[test]
fn interruptions_are_those_of_the_pool_whatever_runs_in_it() {
    let library = shipped();
    let (linux, _) = library.advice("us-east-1", Platform::Linux, &m5()).expect("advised");
    let (rhel, _) = library.advice("us-east-1", Platform::Rhel, &m5()).expect("advised");
    assert_eq!(rhel.frequency, linux.frequency);
    assert_eq!(rhel.saving_percent, None, "a saving is about prices");
}

#[test]
fn what_the_aws_cli_prints_is_taken_as_it_is() {
    let library = with("as-it-is", &[("mine.json", HISTORY)]);
    let recorded = library.recorded("eu-west-1", Platform::Linux, &m5(), None, None).expect("recorded");
    let a = &recorded.zones["eu-west-1a"];
    assert_eq!(a.price_at(at("2026-03-02T12:00:00Z")), Some(Price(40_000)));
    assert_eq!(a.price_at(at("2026-03-03T00:00:00Z")), Some(Price(50_000)), "the last record counts");
    assert_eq!(recorded.window, (at("2026-03-01T00:00:00Z"), at("2026-03-03T00:00:01Z")));
    let windows = library.recorded("eu-west-1", Platform::Windows, &m5(), None, None).expect("recorded");
    assert_eq!(windows.zones.len(), 1);
}

#[test]
fn a_table_of_the_shipped_kind_is_taken_too() {
    let table = "ts,az,instance_type,os,price\n1772323200,eu-west-1a,m5.large,Linux/UNIX,0.04\n\
                 2026-03-02T00:00:00Z,eu-west-1a,m5.large,linux,0.05\n";
    let library = with("table", &[("mine.csv", table)]);
    let recorded = library.recorded("eu-west-1", Platform::Linux, &m5(), None, None).expect("recorded");
    assert_eq!(recorded.zones["eu-west-1a"].changes(), 1);
}

#[test]
fn pages_that_overlap_are_one_recording_and_others_are_not() {
    let page = |day: u32, price: &str| {
        let row = |day: u32| {
            format!(
                r#"{{"AvailabilityZone":"eu-west-1a","InstanceType":"m5.large","ProductDescription":"Linux/UNIX",
                    "SpotPrice":"{price}","Timestamp":"2026-03-{day:02}T00:00:00Z"}}"#
            )
        };
        format!(r#"{{"SpotPriceHistory":[{},{}]}}"#, row(day), row(day + 2))
    };
    let library =
        with("pages", &[("1.json", &page(1, "0.04")), ("2.json", &page(2, "0.05")), ("3.json", &page(20, "0.06"))]);
    let newest = library.recorded("eu-west-1", Platform::Linux, &m5(), None, None).expect("recorded");
    assert_eq!(newest.window.0, at("2026-03-20T00:00:00Z"));
    assert_eq!(newest.others, [(at("2026-03-01T00:00:00Z"), at("2026-03-04T00:00:00Z"))]);
    let older = library
        .recorded("eu-west-1", Platform::Linux, &m5(), None, Some(at("2026-03-10T00:00:00Z")))
        .expect("recorded");
    assert_eq!(older.sources.len(), 2);
    assert_eq!(older.window.0, at("2026-03-01T00:00:00Z"));
}

#[test]
fn a_range_without_records_says_when_there_are_some() {
    let library = shipped();
    let then = library.recorded("us-east-1", Platform::Linux, &m5(), Some(at("2024-01-01T00:00:00Z")), None);
    assert!(matches!(then, Err(NoRecord::NotThen(spans)) if spans.len() == 1));
    let Err(NoRecord::Nowhere { regions, types }) = library.recorded("us-west-2", Platform::Linux, &m5(), None, None)
    else {
        panic!("nothing is shipped for m5.large in us-west-2")
    };
    assert!(regions.contains("us-east-1"));
    assert!(types.contains(&InstanceType::new("p3.2xlarge")));
}

#[test]
fn a_users_lists_count_before_the_shipped_ones() {
    let library = with(
        "own-lists",
        &[
            ("own.csv", "region,instance_type,usd_per_hour\nus-east-1,m5.large,0.08\n"),
            ("advisor.json", r#"{"spot_advisor":{"us-east-1":{"Linux":{"m5.large":{"r":4,"s":1}}}}}"#),
            ("notes.json", r#"{"anything":1}"#),
        ],
    );
    let mut library = library;
    library
        .read(&directory("older", &[("us-east-1_2026-01-01.csv", "instance_type,usd_per_hour\nm5.large,0.1\n")]))
        .expect("sound");
    let listed = library.on_demand("us-east-1", Platform::Linux, &m5(), None).expect("listed");
    assert_eq!((listed.price, listed.date), (Some(Price(80_000)), None), "a list without a date is the newest");
    let frequency = library.frequency("us-east-1", Platform::Linux, &m5());
    assert_eq!(frequency, Some(InterruptionFrequency::Above20));
    let path = directory("ignored", &[("mine.json", HISTORY), ("notes.json", r#"{"anything":1}"#)]);
    let ignored = Library::default().read(&path).expect("one file is known");
    assert_eq!(ignored, [path.join("notes.json").display().to_string()]);
}

#[test]
fn the_price_list_api_is_read() {
    let product = r#"{\"product\":{\"attributes\":{\"instanceType\":\"m5.large\",\"regionCode\":\"eu-west-1\",\"operation\":\"RunInstances:0002\",\"tenancy\":\"Shared\",\"capacitystatus\":\"Used\"}},\"terms\":{\"OnDemand\":{\"A.B\":{\"priceDimensions\":{\"A.B.C\":{\"pricePerUnit\":{\"USD\":\"0.1990000000\"}}}}}}}"#;
    let library = with("price-list", &[("products.json", &format!(r#"{{"PriceList":["{product}"]}}"#))]);
    let listed = library.on_demand("eu-west-1", Platform::Windows, &m5(), None).expect("listed");
    assert_eq!(listed.price, Some(Price(199_000)));
}

#[test]
fn types_and_offerings_of_the_aws_cli_are_read() {
    let types = r#"{"InstanceTypes":[{"InstanceType":"z9.large","SupportedUsageClasses":["spot"],
        "ProcessorInfo":{"SupportedArchitectures":["arm64"]},"MemoryInfo":{"SizeInMiB":4096},"VCpuInfo":{"DefaultVCpus":2}}]}"#;
    let offerings = r#"{"InstanceTypeOfferings":[{"InstanceType":"z9.large","LocationType":"availability-zone","Location":"eu-west-1a"}]}"#;
    let library = with("types", &[("types.json", types), ("offerings.json", offerings)]);
    assert_eq!(library.types()["z9.large"].memory_mib, 4096);
    assert!(library.offered("eu-west-1").any(|(name, zones)| name.as_str() == "z9.large" && zones.len() == 1));
    check_refused(
        "wrong-offerings",
        ("offerings.json", &offerings.replace("eu-west-1a", "eu-west-1")),
        expect![[
            r#"DIR/offerings.json: InstanceTypeOfferings[0]: "eu-west-1" is not an Availability Zone: ask with --location-type availability-zone"#
        ]],
    );
}

#[test]
fn a_file_that_was_cut_is_named_wherever_it_ends() {
    for end in (1..HISTORY.len()).step_by(5) {
        let path = directory("cut", &[("mine.json", &HISTORY[..end])]);
        let error = Library::default().read(&path).expect_err("cut");
        assert!(matches!(error, DataError::HalfWritten { .. }), "cut at byte {end}: {error}");
    }
    let table = "ts,az,instance_type,os,price\n1772323200,eu-west-1a,m5.large,linux,0.04\n1772323200,eu-west";
    check_refused(
        "cut-table",
        ("mine.csv", table),
        expect!["DIR/mine.csv: the file ends in the middle (line 3, 2 columns)"],
    );
    check_refused("empty", ("mine.json", ""), expect!["DIR/mine.json: the file ends in the middle (it is empty)"]);
    let path = directory("cut-gzip", &[]);
    let whole = include_bytes!("../../../data/spot/az_gpu_2019-12_2020-03.csv.gz");
    fs::write(path.join("a.csv.gz"), &whole[..whole.len() / 2]).expect("written");
    let error = Library::default().read(&path).expect_err("cut");
    assert!(matches!(error, DataError::HalfWritten { .. }), "{error}");
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    check_refused(
        "bad-price",
        ("mine.json", &HISTORY.replace("0.041000", "cheap")),
        expect![[r#"DIR/mine.json: SpotPriceHistory[0]: "cheap" is not a price"#]],
    );
    check_refused(
        "bad-row",
        ("mine.csv", "ts,az,instance_type,os,price\n1772323200,eu-west-1a,m5.large,beos,0.04\n"),
        expect![[r#"DIR/mine.csv: line 2: "beos" is not linux, windows, rhel, sles or AWS's name of one of them"#]],
    );
    check_refused(
        "short-row",
        (
            "mine.csv",
            "ts,az,instance_type,os,price\n1772323200,eu-west-1a\n1772323200,eu-west-1a,m5.large,linux,0.04\n",
        ),
        expect!["DIR/mine.csv: line 2: 2 columns where the head has 5"],
    );
    check_refused(
        "no-region",
        ("mine.csv", "instance_type,usd_per_hour\nm5.large,0.1\n"),
        expect![[
            r#"DIR/mine.csv: it does not say of which region the prices are: add a column `region`, or begin the file's name with the region (`us-east-1_prices.csv`)"#
        ]],
    );
    check_refused("nothing", ("notes.txt", "hello"), expect!["DIR: nothing in it that can be read"]);
    check_refused("other", ("a.csv", "a,b\n1,2\n"), expect!["DIR: nothing in it that can be read"]);
    check_refused(
        "html",
        ("a.json", "{<html>"),
        expect!["DIR/a.json: not JSON: key must be a string at line 1 column 2"],
    );
}

#[test]
fn a_path_that_is_not_there_is_named() {
    let error = Library::default().read(&PathBuf::from("/nonexistent/prices")).expect_err("not there").to_string();
    assert_eq!(error, "/nonexistent/prices: No such file or directory (os error 2)");
}

#[test]
fn the_folder_of_the_project_can_be_given_as_it_is() {
    let mut library = shipped();
    let ignored = library.read(&PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data"))).expect("sound");
    assert!(ignored.iter().any(|name| name.ends_with("truths.json")), "{ignored:?}");
    let recorded = library.recorded("us-east-1", Platform::Linux, &m5(), None, None).expect("recorded");
    let alone = shipped().recorded("us-east-1", Platform::Linux, &m5(), None, None).expect("recorded");
    assert_eq!(recorded.zones, alone.zones, "the same records twice are the same history");
    let far = library.on_demand("eu-west-1", Platform::Linux, &InstanceType::new("m6i.large"), None);
    assert_eq!(far.expect("listed").date, Some(date(2024, 2, 21)), "the list that is not compiled in");
}

#[test]
fn nothing_under_a_share_alike_license_is_compiled_in() {
    let library = shipped();
    let readme = include_str!("../../../data/README.md");
    for source in library.sources() {
        assert!(source.shipped);
        let row = readme.lines().find(|line| line.contains(&format!("`{}`", source.name)));
        let row = row.unwrap_or_else(|| panic!("{} has no row in data/README.md", source.name));
        let license = row.rsplit('|').nth(1).expect("a table").trim();
        assert!(["Apache-2.0", "MIT"].contains(&license), "{}: {license}", source.name);
    }
    assert!(library.sources().iter().all(|source| !source.name.contains("all_regions_linux")));
}
