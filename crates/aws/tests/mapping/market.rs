//! Types, offerings and prices.

use std::sync::Arc;

use engine::Cloud;
use engine::inputs::{Advisor, Inputs, PriceFile};
use expect_test::expect;
use planner::market::Market;
use planner::model::{InstanceType, Platform, Zone};
use planner::policy::Config;

use crate::region::{Answer, Call, Region, ok, picture, run};

fn product(name: &str, currency: &str, price: &str) -> String {
    serde_json::json!({
        "product": { "productFamily": "Compute Instance", "attributes": { "instanceType": name } },
        "terms": { "OnDemand": { "sku.term": { "priceDimensions": { "rate": {
            "unit": "Hrs", "pricePerUnit": { currency: price },
        } } } } },
    })
    .to_string()
}

fn answer(call: &Call) -> Answer {
    match call.action.as_str() {
        "DescribeInstanceTypes" => ok(include_str!("types.xml")),
        "DescribeInstanceTypeOfferings" => ok("<instanceTypeOfferingSet>\
            <item><instanceType>m5.large</instanceType><location>us-east-1a</location></item>\
            <item><instanceType>m5.large</instanceType><location>us-east-1b</location></item>\
            </instanceTypeOfferingSet>"),
        "DescribeSpotPriceHistory" => ok("<spotPriceHistorySet>\
            <item><instanceType>m5.large</instanceType><availabilityZone>us-east-1a</availabilityZone><spotPrice>0.035000</spotPrice><timestamp>2026-11-01T00:00:00Z</timestamp></item>\
            <item><instanceType>m5.large</instanceType><availabilityZone>us-east-1a</availabilityZone><spotPrice>0.036000</spotPrice><timestamp>2026-11-02T00:00:00Z</timestamp></item>\
            </spotPriceHistorySet>"),
        "GetProducts" => {
            let list = [product("m5.large", "USD", "0.0960000000"), product("free.large", "USD", "0.0000000000")];
            ok(serde_json::json!({ "PriceList": list }).to_string())
        }
        _ => ok(""),
    }
}

fn market(region: &Region, platform: Platform) -> Arc<Market> {
    run(region.aws(Config::default()).market(platform)).unwrap()
}

#[test]
fn asks_for_full_pages() {
    let region = Region::new(answer);
    market(&region, Platform::Rhel);
    let mut calls = region.calls();
    for call in &mut calls {
        for (_, value) in call.params.iter_mut().filter(|(key, _)| key == "StartTime") {
            *value = "now".to_owned();
        }
    }
    expect![[r#"
        ec2 DescribeInstanceTypes
            MaxResults = 100
        ec2 DescribeInstanceTypeOfferings
            LocationType = availability-zone
            MaxResults = 1000
        api GetProducts
            body = {"ServiceCode":"AmazonEC2","Filters":[{"Type":"TERM_MATCH","Field":"regionCode","Value":"us-east-1"},{"Type":"TERM_MATCH","Field":"operation","Value":"RunInstances:0010"},{"Type":"TERM_MATCH","Field":"tenancy","Value":"Shared"},{"Type":"TERM_MATCH","Field":"capacitystatus","Value":"Used"},{"Type":"TERM_MATCH","Field":"marketoption","Value":"OnDemand"}],"MaxResults":100}
        ec2 DescribeSpotPriceHistory
            StartTime = now
            ProductDescription.1 = Red Hat Enterprise Linux
            ProductDescription.2 = Red Hat Enterprise Linux (Amazon VPC)
            MaxResults = 1000
        ec2 DescribeSpotInstanceRequests
            MaxResults = 1000
    "#]].assert_eq(&picture(&calls));
}

#[test]
fn reads_every_fact_of_a_type() {
    let market = market(&Region::new(answer), Platform::Linux);
    expect![[r#"
        [
            InstanceSpec {
                instance_type: gr6f.4xlarge,
                current_generation: true,
                spot: false,
                on_demand: true,
                bare_metal: false,
                hypervisor: "nitro",
                virtualization: [],
                architectures: [],
                cpu_manufacturer: "",
                cpu_features: [],
                boot_modes: [],
                tpm: false,
                root_devices: [],
                vcpus: 0,
                cores: 0,
                valid_cores: [],
                valid_threads_per_core: [],
                memory_mib: 0,
                disks: [
                    Disk {
                        count: 2,
                        size_gb: 237,
                        kind: "ssd",
                    },
                ],
                nvme_disks: true,
                encrypted_disks: true,
                ebs_baseline_mbps: 0,
                ebs_baseline_iops: 0,
                ebs_attachments: 0,
                ebs_attachments_shared: false,
                ena_required: false,
                network_baseline_mbps: 20000,
                interfaces: 0,
                network_cards: 0,
                ipv4_per_interface: 0,
                ipv6: false,
                ipv6_per_interface: 0,
                encryption_in_transit: false,
                efa: false,
                tcp_idle_timeout_seconds: Some(
                    350,
                ),
                accelerators: [
                    (
                        "L4/0.5",
                        1,
                    ),
                ],
                accelerator_memory_mib: 11444,
                burstable: false,
                enclaves: false,
                hibernation: false,
                placement_strategies: [],
            },
            InstanceSpec {
                instance_type: m5.large,
                current_generation: true,
                spot: true,
                on_demand: true,
                bare_metal: false,
                hypervisor: "nitro",
                virtualization: [
                    "hvm",
                ],
                architectures: [
                    "x86_64",
                ],
                cpu_manufacturer: "Intel",
                cpu_features: [],
                boot_modes: [
                    "legacy-bios",
                    "uefi",
                ],
                tpm: true,
                root_devices: [
                    "ebs",
                ],
                vcpus: 2,
                cores: 1,
                valid_cores: [
                    1,
                ],
                valid_threads_per_core: [
                    1,
                    2,
                ],
                memory_mib: 8192,
                disks: [],
                nvme_disks: false,
                encrypted_disks: false,
                ebs_baseline_mbps: 650,
                ebs_baseline_iops: 3600,
                ebs_attachments: 27,
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
                accelerators: [],
                accelerator_memory_mib: 0,
                burstable: false,
                enclaves: false,
                hibernation: true,
                placement_strategies: [
                    "partition",
                    "cluster",
                ],
            },
        ]
    "#]]
    .assert_debug_eq(&market.specs.values().collect::<Vec<_>>());
}

#[test]
fn the_newest_price_holds_and_zero_is_no_price() {
    let market = market(&Region::new(answer), Platform::Linux);
    expect![
        "{m5.large: $0.0960/h} {us-east-1a: {m5.large: $0.0360/h}} {us-east-1a: {m5.large}, us-east-1b: {m5.large}}"
    ]
    .assert_eq(&format!("{:?} {:?} {:?}", market.on_demand, market.spot, market.offerings));
}

#[test]
fn china_is_billed_in_yuan() {
    let region = Region::new(|call| match call.action.as_str() {
        "GetProducts" => {
            ok(serde_json::json!({ "PriceList": [product("m5.large", "CNY", "0.9080000000")] }).to_string())
        }
        _ => answer(call),
    });
    let market = market(&region, Platform::Linux);
    assert_eq!(market.on_demand[&InstanceType::new("m5.large")].0, 908_000);
}

#[test]
fn a_warm_market_costs_nothing_and_another_platform_only_its_prices() {
    let region = Region::new(answer);
    let aws = region.aws(Config::default());
    run(async {
        let first = aws.market(Platform::Linux).await.unwrap();
        region.calls();
        aws.forget();
        let second = aws.market(Platform::Linux).await.unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(region.actions(), "");
        let windows = aws.market(Platform::Windows).await.unwrap();
        assert!(windows.offers(&Zone::new("us-east-1b"), &InstanceType::new("m5.large")));
    });
    expect![[r#"
        GetProducts
        DescribeSpotPriceHistory
        DescribeSpotInstanceRequests
    "#]]
    .assert_eq(&region.actions());
}

/// A spot request of an instance: its state, its status, since when, and whether it ever had an instance.
fn spot_request(name: &str, instance: &str, state: &str, status: &str, since: &str) -> String {
    let since = if since.is_empty() { String::new() } else { format!("<updateTime>{since}</updateTime>") };
    format!(
        "<item><instanceId>{instance}</instanceId><state>{state}</state><launchSpecification><instanceType>{name}</instanceType>\
         </launchSpecification><launchedAvailabilityZone>us-east-1a</launchedAvailabilityZone><createTime>2026-11-02T00:00:00Z\
         </createTime><status><code>{status}</code>{since}</status></item>"
    )
}

#[test]
fn the_accounts_spot_requests_tell_which_pools_took_instances_back() {
    let now = jiff::Timestamp::now();
    let ago = |minutes: i64| (now - jiff::SignedDuration::from_mins(minutes)).to_string();
    let requests = [
        spot_request("m5.large", "i-1", "active", "fulfilled", &ago(500)),
        spot_request("m5.large", "i-2", "closed", "instance-terminated-no-capacity", &ago(60)),
        spot_request("m5.large", "i-3", "active", "marked-for-termination", &ago(1)),
        // Ended by its owner, by Auto Scaling; too long ago; never launched; without a time.
        spot_request("m6i.large", "i-4", "closed", "instance-terminated-by-user", &ago(60)),
        spot_request("m6i.large", "i-5", "closed", "instance-terminated-by-service", &ago(60)),
        spot_request("c5.large", "i-6", "closed", "instance-terminated-no-capacity", &ago(300)),
        spot_request("c5.large", "", "open", "capacity-not-available", &ago(10)),
        spot_request("c5.large", "i-7", "closed", "instance-terminated-no-capacity", ""),
    ];
    let answers = format!("<spotInstanceRequestSet>{}</spotInstanceRequestSet>", requests.concat());
    let region = Region::new(move |call| match call.action.as_str() {
        "DescribeSpotInstanceRequests" => ok(answers.clone()),
        _ => answer(call),
    });
    let market = market(&region, Platform::Linux);
    let zone = &market.risk.own[&Zone::new("us-east-1a")];
    let seen: Vec<String> = zone
        .iter()
        .map(|(name, own)| {
            let hours = own.exposure.seconds as f64 / 3600.0;
            format!("{name} {hours:.1} h, lost {}, lately {}", own.exposure.interruptions, own.last_loss.is_some())
        })
        .collect();
    expect![[r#"
        m5.large 11.0 h, lost 2, lately true
        m6i.large 6.0 h, lost 0, lately false"#]]
    .assert_eq(&seen.join("\n"));
}

#[test]
fn without_permission_for_spot_requests_nothing_is_known_and_nothing_fails() {
    let region = Region::new(|call| match call.action.as_str() {
        "DescribeSpotInstanceRequests" => Answer::Error(403, "UnauthorizedOperation", "not authorized"),
        _ => answer(call),
    });
    let market = market(&region, Platform::Linux);
    assert_eq!(market.risk, planner::risk::Risk::default());
    assert!(!market.spot.is_empty());
}

fn inputs(prices: &str, advisor: &str) -> Inputs {
    Inputs {
        prices: (!prices.is_empty()).then(|| PriceFile::parse(prices).unwrap()),
        advisor: (!advisor.is_empty()).then(|| Advisor::parse(advisor, "us-east-1").unwrap()),
    }
}

#[test]
fn a_price_file_stands_in_for_the_price_list() {
    let region = Region::new(answer);
    let aws = region.aws(Config::default()).with_inputs(inputs("instance_type,linux\nm5.large,0.121\n", ""));
    let market = run(aws.market(Platform::Linux)).unwrap();
    assert_eq!(market.on_demand[&InstanceType::new("m5.large")].0, 121_000);
    assert!(!region.actions().contains("GetProducts"));
    let error = run(aws.market(Platform::Windows)).unwrap_err();
    expect!["refused: the price file has no on-demand price for Windows"].assert_eq(&error.to_string());
}

#[test]
fn the_advisors_document_is_part_of_the_market() {
    let document = r#"{"spot_advisor":{"us-east-1":{"Linux":{"m5.large":{"r":4,"s":60}}}}}"#;
    let region = Region::new(answer);
    let aws = region.aws(Config::default()).with_inputs(inputs("", document));
    let market = run(aws.market(Platform::Rhel)).unwrap();
    let of = |zone: &str| market.risk.of(&Zone::new(zone), &InstanceType::new("m5.large")).unwrap().to_string();
    expect!["40 of 100 interrupted a month (advisor >20%)"].assert_eq(&of("us-east-1a"));
}

#[test]
fn prices_that_cannot_be_had_are_an_error_with_a_name() {
    let empty = Region::new(|call| match call.action.as_str() {
        "GetProducts" => ok(r#"{"PriceList":[]}"#),
        _ => answer(call),
    });
    let denied = Region::new(|call| match call.action.as_str() {
        "GetProducts" => Answer::Error(400, "AccessDeniedException", "not authorized to perform: pricing:GetProducts"),
        _ => answer(call),
    });
    let error = |region: Region| run(region.aws(Config::default()).market(Platform::Suse)).unwrap_err().to_string();
    expect!["refused: GetProducts: the price list has no on-demand price for SUSE Linux in us-east-1"]
        .assert_eq(&error(empty));
    expect!["not permitted: GetProducts: AccessDeniedException: not authorized to perform: pricing:GetProducts"]
        .assert_eq(&error(denied));
}
