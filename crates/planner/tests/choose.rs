//! Which pools, in which order, and why none.

#[path = "market_support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::{Expect, expect};
use planner::choose::{self, Choice, Choices, NoPool, POOLS_MAX, Pools};
use planner::compat;
use planner::market::{InstanceSpec, Market};
use planner::model::{InstanceType, LaunchFacts, Price, PurchaseOption, Zone};
use planner::policy::Policy;
use planner::reason::Code;

/// A question to `choose`: the victim is an m6i.large in zone a, to be replaced by spot, unless a case says otherwise.
struct Question {
    victim: &'static str,
    zone: &'static str,
    launch: LaunchFacts,
    purchase: PurchaseOption,
    settings: &'static str,
    market: Market,
}

fn ask(settings: &'static str, lines: &[&str]) -> Question {
    Question {
        victim: "m6i.large",
        zone: "a",
        launch: support::launch(),
        purchase: PurchaseOption::Spot,
        settings,
        market: support::market(lines),
    }
}

impl Question {
    fn back(self) -> Question {
        Question { purchase: PurchaseOption::OnDemand, ..self }
    }

    fn victim(self, victim: &'static str) -> Question {
        Question { victim, ..self }
    }

    fn group_launches(mut self, instance_type: &str) -> Question {
        self.launch.instance_type = Some(instance_type.into());
        self
    }

    fn choose(&self) -> Result<Pools, NoPool> {
        let policy = support::policy(self.settings);
        let (victim, zone): (InstanceType, Zone) = (self.victim.into(), self.zone.into());
        choose::choose(&victim, &zone, &self.launch, self.purchase, &self.market, &policy)
    }
}

fn check(question: &Question, expect: Expect) {
    let mut picture = String::new();
    match question.choose() {
        Ok(pools) => {
            for pool in pools.iter() {
                let _ = write!(picture, "{} {} {}", pool.instance_type, pool.zone, pool.price);
                if let Some(max_price) = pool.max_price {
                    let _ = write!(picture, " at most {max_price}");
                }
                picture.push('\n');
            }
        }
        Err(no_pool) => {
            let _ = writeln!(picture, "{no_pool} [{}]", no_pool.code());
        }
    }
    expect.assert_eq(&picture);
}

const M6I: &str = "m6i.large   2 vCPUs   8 GiB  on-demand 0.096  a 0.040  b 0.030";
const M7I: &str = "m7i.large   2 vCPUs   8 GiB  on-demand 0.1008 a 0.038  b 0.045";
const R6I: &str = "r6i.large   2 vCPUs  16 GiB  on-demand 0.126  a 0.041";
const XLARGE: &str = "m6i.xlarge  4 vCPUs  16 GiB  on-demand 0.192  a 0.080";

#[test]
fn the_cheapest_first() {
    check(
        &ask("", &[M6I, M7I, R6I, XLARGE]),
        expect![[r#"
        m7i.large a $0.0380/h
        m6i.large a $0.0400/h
        r6i.large a $0.0410/h
        m6i.xlarge a $0.0800/h
    "#]],
    );
}

#[test]
fn prices_are_those_of_the_victims_zone() {
    check(
        &Question { zone: "b", ..ask("", &[M6I, M7I, R6I]) },
        expect![[r#"
        m6i.large b $0.0300/h
        m7i.large b $0.0450/h
    "#]],
    );
}

#[test]
fn equal_prices_are_ordered_by_name() {
    check(
        &ask(
            "",
            &["m7i.large 2 vCPUs 8 GiB on-demand 0.1 a 0.040", "c9i.large 2 vCPUs 8 GiB on-demand 0.1 a 0.040", M6I],
        ),
        expect![[r#"
            c9i.large a $0.0400/h
            m6i.large a $0.0400/h
            m7i.large a $0.0400/h
        "#]],
    );
}

#[test]
fn a_price_one_below_on_demand_is_a_price() {
    check(
        &ask("min-saving=0%", &["m6i.large on-demand 0.096", "m7i.large on-demand 0.050001 a 0.050000"]),
        expect![[r#"
            m7i.large a $0.0500/h
        "#]],
    );
}

#[test]
fn a_price_at_on_demand_means_sold_out() {
    check(
        &ask("min-saving=0%", &["m6i.large on-demand 0.096", "m7i.large on-demand 0.050000 a 0.050000"]),
        expect![[r#"
            nothing that fits has a price now, on-demand is $0.0960/h [nothing-cheaper]
        "#]],
    );
}

#[test]
fn just_enough_is_saved() {
    check(
        &ask("min-saving=10%", &["m6i.large on-demand 0.1 a 0.09"]),
        expect![[r#"
        m6i.large a $0.0900/h
    "#]],
    );
}

#[test]
fn not_enough_is_saved() {
    check(
        &ask("min-saving=10%", &["m6i.large on-demand 0.1 a 0.090001"]),
        expect![[r#"
        nothing that fits is cheap enough: the cheapest is m6i.large at $0.0900/h, on-demand is $0.1000/h [nothing-cheaper]
    "#]],
    );
}

#[test]
fn just_enough_is_saved_per_hour() {
    check(
        &ask("min-saving-per-hour=0.02", &["m6i.large on-demand 0.1 a 0.08"]),
        expect![[r#"
        m6i.large a $0.0800/h
    "#]],
    );
}

#[test]
fn not_enough_is_saved_per_hour() {
    check(
        &ask("min-saving-per-hour=0.02", &["m6i.large on-demand 0.1 a 0.080001"]),
        expect![[r#"
        nothing that fits is cheap enough: the cheapest is m6i.large at $0.0800/h, on-demand is $0.1000/h [nothing-cheaper]
    "#]],
    );
}

#[test]
fn never_more_than_the_victim_costs() {
    check(
        &ask(
            "min-saving=0%",
            &["m6i.large on-demand 0.096 a 0.096", "m6i.xlarge 4 vCPUs 16 GiB on-demand 0.192 a 0.0961"],
        ),
        expect![[r#"
            nothing that fits is cheap enough: the cheapest is m6i.xlarge at $0.0961/h, on-demand is $0.0960/h [nothing-cheaper]
        "#]],
    );
}

#[test]
fn a_cap_is_sent_and_leaves_out_what_it_forbids() {
    check(
        &ask("max-price=40%", &[M6I, M7I, R6I]),
        expect![[r#"
        m7i.large a $0.0380/h at most $0.0384/h
    "#]],
    );
}

#[test]
fn a_type_that_the_zone_does_not_offer_is_no_pool() {
    let mut question = ask("", &[M6I, M7I]);
    question.market.offerings.get_mut("a").expect("the zone").remove("m7i.large");
    let offers = |zone: &str, name: &str| question.market.offers(&zone.into(), &name.into());
    assert!(
        offers("a", "m6i.large") && !offers("a", "m7i.large") && offers("b", "m7i.large") && !offers("c", "m6i.large")
    );
    check(
        &question,
        expect![[r#"
        m6i.large a $0.0400/h
    "#]],
    );
}

#[test]
fn a_zone_that_offers_nothing() {
    check(
        &Question { zone: "c", ..ask("", &[M6I]) },
        expect![[r#"
        no type of the zone fits [nothing-compatible]
    "#]],
    );
}

#[test]
fn denying_beats_allowing() {
    check(
        &ask("allowed-types=m*;denied-types=m7*", &[M6I, M7I, R6I]),
        expect![[r#"
        m6i.large a $0.0400/h
    "#]],
    );
}

#[test]
fn the_victims_own_type_only() {
    check(
        &ask("allowed-types=current", &[M6I, M7I, R6I]),
        expect![[r#"
        m6i.large a $0.0400/h
    "#]],
    );
}

#[test]
fn nothing_is_known_about_the_victim() {
    check(
        &ask("", &[M6I]).victim("z1.large"),
        expect![[r#"
        z1.large is not among the region's instance types [unknown-type]
    "#]],
    );
}

#[test]
fn nothing_is_known_about_what_the_victim_costs() {
    check(
        &ask("", &["m6i.large a 0.04"]),
        expect![[r#"
        no on-demand price is known for m6i.large [no-on-demand-price]
    "#]],
    );
}

#[test]
fn nothing_that_fits_has_a_price() {
    check(
        &ask("", &["m6i.large on-demand 0.096"]),
        expect![[r#"
        nothing that fits has a price now, on-demand is $0.0960/h [nothing-cheaper]
    "#]],
    );
}

#[test]
fn nothing_fits() {
    check(
        &ask("", &["m6i.large on-demand 0.096 no-spot", "c7i.large 2 vCPUs 4 GiB on-demand 0.08 a 0.03"]),
        expect![[r#"
            no type of the zone fits [nothing-compatible]
        "#]],
    );
}

// Strategies (FL-1 … FL-10).

#[test]
fn priorities_are_the_owners_order_then_the_price() {
    check(
        &ask(
            "allocation-strategy=capacity-optimized-prioritized;allowed-types=r*, current, m*",
            &[M6I, M7I, R6I, XLARGE],
        ),
        expect![[r#"
            r6i.large a $0.0410/h
            m6i.large a $0.0400/h
            m7i.large a $0.0380/h
            m6i.xlarge a $0.0800/h
        "#]],
    );
}

#[test]
fn priorities_without_a_list_are_the_order_of_prices() {
    check(
        &ask("allocation-strategy=capacity-optimized-prioritized", &[M6I, M7I, R6I]),
        expect![[r#"
        m7i.large a $0.0380/h
        m6i.large a $0.0400/h
        r6i.large a $0.0410/h
    "#]],
    );
}

#[test]
fn the_other_strategies_do_not_care_for_the_owners_order() {
    for strategy in ["price-capacity-optimized", "capacity-optimized", "diversified", "lowest-price"] {
        let question = |list: &str| {
            let settings = format!("allocation-strategy={strategy};allowed-types={list}");
            let policy = support::policy(&settings);
            let market = support::market(&[M6I, M7I, R6I, XLARGE]);
            choose::choose(&"m6i.large".into(), &"a".into(), &support::launch(), PurchaseOption::Spot, &market, &policy)
        };
        assert_eq!(question("r*, m*"), question("*"), "{strategy}");
    }
}

#[test]
fn diversified_never_asks_for_a_pool_at_or_above_on_demand() {
    check(
        &ask(
            "allocation-strategy=diversified;min-saving=0%",
            &[
                M6I,
                "m7i.large on-demand 0.05 a 0.05",
                "m5.large on-demand 0.05 a 0.06",
                "m8i.large on-demand 0.05 a 0.049",
            ],
        ),
        expect![[r#"
            m6i.large a $0.0400/h
            m8i.large a $0.0490/h
        "#]],
    );
}

#[test]
fn lowest_price_asks_for_the_cheapest_and_has_the_next_cheapest_at_hand() {
    check(
        &ask("allocation-strategy=lowest-price", &[M6I, M7I, R6I, XLARGE]),
        expect![[r#"
        m7i.large a $0.0380/h
        m6i.large a $0.0400/h
        r6i.large a $0.0410/h
        m6i.xlarge a $0.0800/h
    "#]],
    );
}

#[test]
fn pools_to_use_is_a_hard_cap() {
    check(
        &ask("allocation-strategy=lowest-price;pools-to-use=2", &[M6I, M7I, R6I, XLARGE]),
        expect![[r#"
        m7i.large a $0.0380/h
        m6i.large a $0.0400/h
    "#]],
    );
}

#[test]
fn at_most_sixty_pools_and_those_the_cheapest() {
    for (offered, expected) in [(POOLS_MAX - 1, POOLS_MAX - 1), (POOLS_MAX, POOLS_MAX), (POOLS_MAX + 1, POOLS_MAX)] {
        let lines: Vec<String> =
            (0..offered).map(|n| format!("m{n:03}.large on-demand 0.2 a 0.0{:03}", 100 + offered - n)).collect();
        let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        lines.push("m6i.large on-demand 0.2");
        let pools = ask("", &lines).choose().expect("many are offered");
        assert_eq!(pools.count(), expected);
        assert_eq!(pools.best().price, support::price("0.0101"));
        let dearest = pools.iter().last().expect("never empty").price;
        assert_eq!(dearest, Price(10_000 + 100 * expected as u64));
    }
}

// The way back.

#[test]
fn what_was_chosen_is_remembered_for_the_same_question_only() {
    let market = support::market(&[M6I, M7I, R6I]);
    let own = Arc::new(support::policy("allowed-types=r6i.*"));
    let all = Arc::new(support::policy(""));
    let (victim, zone): (InstanceType, Zone) = ("m6i.large".into(), "a".into());
    let plain = support::launch();
    let mut newer = support::launch();
    newer.version = Some(8);
    newer.image.id = "ami-2".into();
    let hibernates = LaunchFacts { hibernation: true, ..support::launch() };
    let mut choices = Choices::new(&market);
    let mut pools = |launch: &LaunchFacts, purchase, policy: &Arc<Policy>| {
        let chosen = choices.of(&victim, launch, purchase, policy);
        let alone = choose::choose(&victim, &zone, launch, purchase, &market, policy);
        assert_eq!(choices.pools(chosen, &zone), alone, "as if nobody had asked before");
        chosen
    };
    let spot = PurchaseOption::Spot;
    let first = pools(&plain, spot, &all);
    assert_eq!(pools(&plain, spot, &all), first);
    assert_eq!(pools(&newer, spot, &all), first, "neither version nor image asks more of a type");
    assert_eq!(pools(&plain, spot, &Arc::new(support::policy(""))), first, "a policy of the same settings");
    assert_ne!(pools(&plain, PurchaseOption::OnDemand, &all), first);
    assert_ne!(pools(&plain, spot, &own), first);
    assert_ne!(pools(&hibernates, spot, &all), first);
}

#[test]
fn the_way_back_is_to_the_groups_own_type_or_a_cheaper_one_that_fits_it() {
    check(
        &ask("", &[M6I, M7I, R6I, "m6in.large on-demand 0.09"]).back().victim("r6i.large").group_launches("m6i.large"),
        expect![[r#"
            m6in.large a $0.0900/h
            m6i.large a $0.0960/h
        "#]],
    );
}

#[test]
fn the_way_back_from_a_larger_type_does_not_keep_its_size() {
    check(
        &ask("", &[M6I, XLARGE]).back().victim("m6i.xlarge").group_launches("m6i.large"),
        expect![[r#"
        m6i.large a $0.0960/h
    "#]],
    );
}

#[test]
fn the_way_back_without_a_type_in_the_template_is_to_what_fits_the_spot_member() {
    check(
        &ask("", &[M6I, M7I, R6I, XLARGE]).back(),
        expect![[r#"
        m6i.large a $0.0960/h
    "#]],
    );
}

#[test]
fn the_way_back_to_the_groups_own_type_needs_no_permission() {
    check(
        &ask("allowed-types=r*;denied-types=m*", &[M6I, M7I, R6I])
            .back()
            .victim("r6i.large")
            .group_launches("m6i.large"),
        expect![[r#"
            m6i.large a $0.0960/h
        "#]],
    );
}

#[test]
fn the_way_back_needs_no_spot_market_and_no_saving() {
    check(
        &ask("min-saving=50%;max-price=20%", &["m6i.large on-demand 0.096 no-spot"]).back().group_launches("m6i.large"),
        expect![[r#"
            m6i.large a $0.0960/h
        "#]],
    );
}

#[test]
fn the_way_back_keeps_the_owners_priorities() {
    check(
        &ask(
            "allocation-strategy=capacity-optimized-prioritized;allowed-types=m6i.*,*",
            &[M6I, "m6in.large on-demand 0.09"],
        )
        .back()
        .group_launches("m6i.large"),
        expect![[r#"
            m6i.large a $0.0960/h
            m6in.large a $0.0900/h
        "#]],
    );
}

#[test]
fn rolling_forward_takes_what_the_group_launches_now_as_the_model() {
    let question = |settings| ask(settings, &[M6I, XLARGE, "m7i.xlarge 4 vCPUs 16 GiB on-demand 0.2 a 0.07"]);
    check(
        &question("min-saving=0%").group_launches("m6i.xlarge"),
        expect![[r#"
        m6i.large a $0.0400/h
        m7i.xlarge a $0.0700/h
        m6i.xlarge a $0.0800/h
    "#]],
    );
    check(
        &question("min-saving=0%;roll-forward=true").group_launches("m6i.xlarge"),
        expect![[r#"
        m7i.xlarge a $0.0700/h
        m6i.xlarge a $0.0800/h
    "#]],
    );
}

// The real world.

/// A second opinion on compatibility, written from the table of rules in the design with no regard for speed: one
/// sentence of the table after the other, over the facts of AWS.
fn second_opinion(victim: &InstanceSpec, candidate: &InstanceSpec, launch: &LaunchFacts, policy: &Policy) -> bool {
    let size = (candidate.vcpus >= victim.vcpus && candidate.vcpus <= 2 * victim.vcpus)
        && (candidate.memory_mib >= victim.memory_mib && candidate.memory_mib <= 2 * victim.memory_mib);
    if !size {
        return false;
    }
    let image = &launch.image;
    let mut complaints: Vec<&str> = Vec::new();
    let mut rule = |name: &'static str, holds: bool| {
        if !holds {
            complaints.push(name);
        }
    };
    rule("spot", candidate.spot);
    rule("architecture of the image", candidate.architectures.contains(&image.architecture));
    rule("virtualization of the image", candidate.virtualization.contains(&image.virtualization));
    rule("root device of the image", candidate.root_devices.contains(&image.root_device));
    let boots = match &image.boot_mode {
        Some(mode) if mode == "uefi-preferred" => true,
        Some(mode) => candidate.boot_modes.contains(mode),
        None => {
            let legacy = |spec: &InstanceSpec| spec.boot_modes.contains(&"legacy-bios".to_owned());
            legacy(victim) == legacy(candidate)
        }
    };
    rule("boot mode", boots);
    rule("TPM", !image.tpm || candidate.tpm);
    rule("ENA", image.ena || !candidate.ena_required);
    rule("hypervisor", victim.hypervisor == candidate.hypervisor);
    rule("bare metal", victim.bare_metal == candidate.bare_metal);
    rule("cores", candidate.cores >= victim.cores);
    rule("manufacturer", policy.any_cpu_manufacturer || candidate.cpu_manufacturer == victim.cpu_manufacturer);
    rule("generation", policy.previous_generation || candidate.current_generation || !victim.current_generation);
    rule("network", candidate.network_baseline_mbps >= victim.network_baseline_mbps);
    rule("EBS bandwidth", candidate.ebs_baseline_mbps >= victim.ebs_baseline_mbps);
    rule("EBS operations", candidate.ebs_baseline_iops >= victim.ebs_baseline_iops);
    rule("EBS attachments", candidate.ebs_attachments == 0 || candidate.ebs_attachments >= launch.volumes);
    rule("interfaces", candidate.interfaces >= victim.interfaces);
    rule("addresses", candidate.ipv4_per_interface >= victim.ipv4_per_interface);
    rule("network cards", candidate.network_cards >= victim.network_cards);
    rule("encryption in transit", candidate.encryption_in_transit || !victim.encryption_in_transit);
    let patience = |spec: &InstanceSpec| spec.tcp_idle_timeout_seconds.unwrap_or(432_000);
    rule("idle connections", patience(candidate) >= patience(victim));
    rule("accelerators", candidate.accelerators == victim.accelerators);
    rule("accelerator memory", candidate.accelerator_memory_mib >= victim.accelerator_memory_mib);
    let flex = |spec: &InstanceSpec| spec.instance_type.as_str().contains("-flex.");
    rule("burst", policy.burstable || victim.burstable || !candidate.burstable);
    rule("flex", policy.burstable || victim.burstable || flex(victim) || !flex(candidate));
    // Every disk of the victim finds one of its kind, at least as large, that no other has taken.
    let mut left: Vec<(u64, &str)> = Vec::new();
    for disk in &candidate.disks {
        left.extend(std::iter::repeat_n((disk.size_gb, disk.kind.as_str()), disk.count as usize));
    }
    let mut all_found = true;
    for disk in &victim.disks {
        for _ in 0..disk.count {
            let smallest = (0..left.len())
                .filter(|at| left[*at].1 == disk.kind && left[*at].0 >= disk.size_gb)
                .min_by_key(|at| left[*at].0);
            match smallest {
                Some(at) => drop(left.swap_remove(at)),
                None => all_found = false,
            }
        }
    }
    rule("disks", all_found);
    rule("disk interface", victim.disks.is_empty() || candidate.nvme_disks == victim.nvme_disks);
    rule("disk encryption", !victim.encrypted_disks || candidate.encrypted_disks);
    complaints.is_empty()
}

/// What a group of such instances launches.
fn launch_of(victim: &InstanceSpec) -> LaunchFacts {
    let mut launch = support::launch();
    launch.image.architecture = victim.architectures.last().cloned().unwrap_or_default();
    launch.image.ena = victim.ena_required;
    launch
}

#[test]
fn for_every_real_type_the_choice_is_what_a_second_opinion_allows() {
    let market = support::real::market();
    let policies = [
        support::policy(""),
        support::policy("cpu-manufacturer=any;previous-generation=true;burstable=true;min-saving=0%"),
    ];
    let zones: Vec<&Zone> = market.offerings.keys().collect();
    let (mut chosen, mut none) = (0, 0);
    for policy in &policies {
        for victim in market.specs.values() {
            let launch = launch_of(victim);
            let allowed: Vec<&InstanceType> = market
                .specs
                .values()
                .filter(|candidate| second_opinion(victim, candidate, &launch, policy))
                .map(|candidate| &candidate.instance_type)
                .collect();
            let choice = Choice::new(&victim.instance_type, &launch, PurchaseOption::Spot, &market, policy);
            for zone in &zones {
                let answer = choice.clone().and_then(|choice| choice.pools(zone));
                let mut expected: Vec<(Price, &InstanceType)> = Vec::new();
                if let Some(paid) = market.on_demand.get(&victim.instance_type) {
                    for candidate in &allowed {
                        let spot = market.spot[*zone].get(*candidate).copied();
                        let sold_out = |spot| market.on_demand.get(*candidate).is_some_and(|price| spot >= *price);
                        if let Some(spot) = spot.filter(|spot| market.offers(zone, candidate) && !sold_out(*spot))
                            && spot.0 * 100 <= paid.0 * u64::from(100 - policy.min_saving_percent)
                        {
                            expected.push((spot, candidate));
                        }
                    }
                }
                expected.sort();
                expected.truncate(POOLS_MAX);
                match answer {
                    Ok(pools) => {
                        chosen += 1;
                        let got: Vec<(Price, &InstanceType)> =
                            pools.iter().map(|pool| (pool.price, &pool.instance_type)).collect();
                        assert_eq!(got, expected, "{} in {zone}", victim.instance_type);
                    }
                    Err(no_pool) => {
                        none += 1;
                        assert!(expected.is_empty(), "{} in {zone}: {no_pool}", victim.instance_type);
                    }
                }
            }
        }
    }
    // The numbers are those of the data: a change of the rules shows here.
    expect!["9901 choices, 6839 without a pool"].assert_eq(&format!("{chosen} choices, {none} without a pool"));
}

#[test]
fn every_real_type_fits_itself_if_it_can_be_bought_as_spot() {
    let policy = support::policy("");
    let specs = support::real::specs();
    assert_eq!(specs.len(), 1395);
    for spec in specs.values() {
        let fits = compat::fits(spec, &launch_of(spec), &policy, spec);
        match (spec.spot, fits) {
            (true, Ok(_)) => {}
            (true, Err(mismatches)) => panic!("{}: {mismatches:?}", spec.instance_type),
            (false, fits) => assert!(fits.is_err(), "{}", spec.instance_type),
        }
    }
}

#[test]
fn traps_of_the_real_world() {
    let specs = support::real::specs();
    let policy = support::policy("previous-generation=true;cpu-manufacturer=any");
    let mut picture = String::new();
    for (victim, candidate) in [
        ("p4de.24xlarge", "p4d.24xlarge"), // the same eight A100, half the memory
        ("m7a.large", "m6a.large"),        // two cores, or two threads of one
        ("m6i.large", "m8i.large"),        // idle connections
        ("m6i.large", "m7i-flex.large"),
        ("m6i.large", "m6g.large"),
        ("m6i.large", "t3.large"),
        ("m4.large", "m5.large"), // Xen to Nitro
        ("g6.xlarge", "g6f.xlarge"),
        ("i3.large", "i4i.large"),
        ("m5d.large", "m5.large"),
        ("c5.large", "c5a.large"),
    ] {
        let (victim, candidate) = (&specs[victim], &specs[candidate]);
        let answer = match compat::fits(victim, &launch_of(victim), &policy, candidate) {
            Ok(_) => "fits".to_owned(),
            Err(mismatches) => mismatches.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        };
        let _ = writeln!(picture, "{} for {}: {answer}", candidate.instance_type, victim.instance_type);
    }
    expect![[r#"
        p4d.24xlarge for p4de.24xlarge: 327680 MiB of accelerator memory, 655360 needed
        m6a.large for m7a.large: 1 cores, 2 needed
        m8i.large for m6i.large: 350 s before idle connections are dropped, 432000 needed
        m7i-flex.large for m6i.large: 390 Mbit/s network baseline, 781 needed; 312 Mbit/s EBS baseline, 650 needed; 2500 EBS operations per second, 3600 needed; flex (40 % of its CPU is promised), the victim is not
        m6g.large for m6i.large: 750 Mbit/s network baseline, 781 needed; 630 Mbit/s EBS baseline, 650 needed; no encryption in transit; architecture arm64, x86_64 needed; boot mode uefi, legacy-bios needed
        t3.large for m6i.large: 512 Mbit/s network baseline, 781 needed; no encryption in transit; burstable, the victim is not
        m5.large for m4.large: hypervisor nitro, xen needed; requires ENA, the image has no driver
        g6f.xlarge for g6.xlarge: 1 x L4/0.125, 1 x L4 needed; 2861 MiB of accelerator memory, 22888 needed; 1 x 100 GB ssd, 1 x 250 GB ssd needed
        i4i.large for i3.large: 2500 EBS operations per second, 3000 needed; hypervisor nitro, xen needed; 1 x 468 GB ssd, 1 x 475 GB ssd needed; requires ENA, the image has no driver
        m5.large for m5d.large: no disks, 1 x 75 GB ssd needed; no encrypted disks
        c5a.large for c5.large: 200 Mbit/s EBS baseline, 650 needed; 800 EBS operations per second, 4000 needed
    "#]].assert_eq(&picture);
}

#[test]
fn the_least_demanding_template_lets_every_real_type_pass_that_another_does() {
    let specs = support::real::specs();
    let policy = support::policy("cpu-manufacturer=any;previous-generation=true;burstable=true");
    let mut pairs = 0;
    for victim in specs.values() {
        let least = compat::least_asked(victim);
        for (architecture, virtualization) in
            victim.architectures.iter().flat_map(|a| victim.virtualization.iter().map(move |v| (a, v)))
        {
            let mut launch = support::launch();
            launch.image.architecture = architecture.clone();
            launch.image.virtualization = virtualization.clone();
            launch.image.root_device = victim.root_devices.last().cloned().unwrap_or_default();
            launch.image.ena = victim.ena_required;
            for candidate in specs.values() {
                let fits = |launch| compat::fits_at_all(PurchaseOption::Spot, victim, launch, &policy, candidate);
                if fits(&launch).is_some() {
                    pairs += 1;
                    assert!(
                        fits(&least).is_some(),
                        "{} for {} on {architecture} {virtualization}",
                        candidate.instance_type,
                        victim.instance_type
                    );
                }
            }
        }
    }
    assert!(pairs > 10_000, "the question was asked: {pairs}");
}
