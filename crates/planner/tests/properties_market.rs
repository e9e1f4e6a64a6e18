//! What holds for every market: compatibility, ranking, limits.

#[path = "market_support/mod.rs"]
mod support;

use planner::choose::{self, NoPool, POOLS_MAX, Pools};
use planner::compat;
use planner::market::{Disk, InstanceSpec, Market};
use planner::model::{InstanceType, LaunchFacts, Platform, Price, PurchaseOption};
use planner::policy::Policy;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

fn texts(values: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    subsequence(values, 1..=values.len()).prop_map(|some| some.into_iter().map(str::to_owned).collect())
}

fn text(values: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(values).prop_map(str::to_owned)
}

fn disks() -> impl Strategy<Value = Vec<Disk>> {
    let disk = (1..3u32, select(&[100u64, 200, 300][..]), text(&["ssd", "hdd"]))
        .prop_map(|(count, size_gb, kind)| Disk { count, size_gb, kind });
    prop_oneof![3 => Just(Vec::new()), 2 => prop::collection::vec(disk, 1..3)]
}

/// Types that are alike often enough for many pairs to fit, and differ on every axis now and then.
fn a_spec(name: String) -> impl Strategy<Value = InstanceSpec> {
    let sizes = (1..5u32, 1..3u32, 1..5u64, 1..4u32, 1..4u32, 1..4u32, 1..4u32, 2..4u32);
    let kinds = (
        texts(&["x86_64", "i386", "arm64"]),
        texts(&["hvm", "paravirtual"]),
        texts(&["legacy-bios", "uefi"]),
        text(&["Intel", "Intel", "AMD"]),
        text(&["nitro", "nitro", "xen"]),
        disks(),
        select(&[None, Some(432_000), Some(350)][..]),
        select(&["", "", "T4", "T4/0.5"][..]),
    );
    // Each axis differs from the plain type now and then only: otherwise nearly nothing would fit anything.
    let differs = prop::collection::vec(prop::bool::weighted(0.06), 23);
    (sizes, kinds, differs).prop_map(move |(sizes, kinds, differs)| {
        let (vcpus, threads, memory, network, ebs, iops, addresses, interfaces) = sizes;
        let (architectures, virtualization, boot_modes, manufacturer, hypervisor, disks, idle, accelerator) = kinds;
        let plain = support::spec(&name);
        let mut spec = plain.clone();
        let mut differs = differs.into_iter();
        macro_rules! maybe {
            ($($field:ident = $value:expr;)+) => {$(
                let value = $value;
                if differs.next().expect("as many as fields") {
                    spec.$field = value;
                }
            )+};
        }
        maybe! {
            vcpus = vcpus * 2;
            cores = vcpus * 2 / threads;
            memory_mib = memory * 4096;
            network_baseline_mbps = network * 500;
            ebs_baseline_mbps = ebs * 500;
            ebs_baseline_iops = iops * 3000;
            ipv4_per_interface = addresses * 5;
            interfaces = interfaces;
            architectures = architectures;
            virtualization = virtualization;
            boot_modes = boot_modes;
            cpu_manufacturer = manufacturer;
            hypervisor = hypervisor;
            tcp_idle_timeout_seconds = idle;
            spot = false;
            on_demand = false;
            current_generation = false;
            burstable = true;
            encryption_in_transit = false;
            nvme_disks = true;
            tpm = false;
            ena_required = false;
            disks = disks;
        }
        spec.encrypted_disks = spec.nvme_disks && !spec.disks.is_empty();
        if !accelerator.is_empty() && !spec.tpm {
            spec.accelerators = vec![(accelerator.to_owned(), 1)];
            spec.accelerator_memory_mib = 1000 * memory;
        }
        spec
    })
}

fn a_launch() -> impl Strategy<Value = LaunchFacts> {
    let mode = select(&[None, None, Some("uefi"), Some("legacy-bios"), Some("uefi-preferred")][..]);
    (mode, any::<bool>(), 1..4u32, prop::bool::weighted(0.2)).prop_map(|(mode, ena, volumes, conntrack)| {
        let mut launch = support::launch();
        launch.image.boot_mode = mode.map(str::to_owned);
        launch.image.ena = ena;
        launch.volumes = volumes;
        launch.conntrack = conntrack;
        launch
    })
}

fn a_policy() -> impl Strategy<Value = Policy> {
    let lists = select(&["*", "t1?*", "*", "t0*, t2*, current", "current"][..]);
    let denied = select(&["", "", "t05*", "current"][..]);
    let strategies = select(
        &[
            "price-capacity-optimized",
            "capacity-optimized",
            "capacity-optimized-prioritized",
            "diversified",
            "lowest-price",
        ][..],
    );
    let bounds = select(&["max-vcpus=200%", "max-vcpus=any;max-memory=any", "max-vcpus=100%"][..]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (lists, denied, strategies, bounds, flags, 0..60u32, select(&["none", "none", "50%"][..])).prop_map(
        |(allowed, denied, strategy, bounds, (any_cpu, previous, burstable), saving, cap)| {
            let cpu = if any_cpu { "any" } else { "same" };
            support::policy(&format!(
                "allowed-types={allowed};denied-types={denied};allocation-strategy={strategy};{bounds};\
                 cpu-manufacturer={cpu};previous-generation={previous};burstable={burstable};min-saving={saving}%;\
                 max-price={cap}"
            ))
        },
    )
}

/// Types with on-demand and spot prices, in the order in which AWS happened to list them.
#[derive(Clone, Debug)]
struct Listing(Vec<(InstanceSpec, Option<Price>, Option<Price>, bool)>);

fn a_listing() -> impl Strategy<Value = Listing> {
    (2..30usize).prop_flat_map(|count| {
        let one = |n: usize| {
            // Spot prices repeat often, so that ties are common.
            let on_demand = prop::option::weighted(0.95, (50..150u64).prop_map(|n| Price(n * 1000)));
            let spot = prop::option::weighted(0.9, (10..120u64).prop_map(|n| Price(n / 5 * 5000)));
            (a_spec(format!("t{n:02}.large")), on_demand, spot, prop::bool::weighted(0.9))
        };
        (0..count).map(one).collect::<Vec<_>>().prop_map(Listing)
    })
}

impl Listing {
    fn market(&self) -> Market {
        let mut market = Market::empty(Platform::Linux);
        for (spec, on_demand, spot, offered) in &self.0 {
            let name = spec.instance_type.clone();
            market.specs.insert(name.clone(), spec.clone());
            market.on_demand.extend(on_demand.map(|price| (name.clone(), price)));
            market.spot.entry("a".into()).or_default().extend(spot.map(|price| (name.clone(), price)));
            if *offered {
                market.offerings.entry("a".into()).or_default().insert(name);
            }
        }
        market
    }

    fn scaled(&self, factor: u64) -> Listing {
        let scale = |price: &Option<Price>| price.map(|price| Price(price.0 * factor));
        Listing(
            self.0.iter().map(|(spec, od, spot, offered)| (spec.clone(), scale(od), scale(spot), *offered)).collect(),
        )
    }

    /// A type that certainly can be a victim.
    fn victim(&self) -> &InstanceType {
        &self.0[0].0.instance_type
    }
}

fn choose_from(
    listing: &Listing,
    launch: &LaunchFacts,
    purchase: PurchaseOption,
    policy: &Policy,
) -> Result<Pools, NoPool> {
    choose::choose(listing.victim(), &"a".into(), launch, purchase, &listing.market(), policy)
}

fn names(pools: &Result<Pools, NoPool>) -> Vec<&InstanceType> {
    pools.iter().flat_map(|pools| pools.iter()).map(|pool| &pool.instance_type).collect()
}

fn either_way() -> impl Strategy<Value = PurchaseOption> {
    select(&[PurchaseOption::Spot, PurchaseOption::OnDemand][..])
}

/// The sizes of every disk of a kind, largest first.
fn sizes(spec: &InstanceSpec, kind: &str) -> Vec<u64> {
    let mut sizes: Vec<u64> = Vec::new();
    for disk in spec.disks.iter().filter(|disk| disk.kind == kind) {
        for _ in 0..disk.count {
            sizes.push(disk.size_gb);
        }
    }
    sizes.sort_by_key(|size| std::cmp::Reverse(*size));
    sizes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn what_fits_shrinks_on_no_axis(
        victim in a_spec("t00.large".to_owned()),
        candidate in a_spec("t01.large".to_owned()),
        launch in a_launch(),
        policy in a_policy(),
    ) {
        let verdict = compat::fits(&victim, &launch, &policy, &candidate);
        let fast = compat::fits_at_all(PurchaseOption::Spot, &victim, &launch, &policy, &candidate);
        prop_assert_eq!(verdict.is_ok(), fast.is_some());
        if let Ok(compatible) = verdict {
            let it = compatible.spec();
            prop_assert!(it.spot);
            prop_assert!(it.vcpus >= victim.vcpus);
            prop_assert!(it.cores >= victim.cores);
            prop_assert!(it.memory_mib >= victim.memory_mib);
            prop_assert!(it.network_baseline_mbps >= victim.network_baseline_mbps);
            prop_assert!(it.ebs_baseline_mbps >= victim.ebs_baseline_mbps);
            prop_assert!(it.ebs_baseline_iops >= victim.ebs_baseline_iops);
            prop_assert!(it.interfaces >= victim.interfaces);
            prop_assert!(it.ipv4_per_interface >= victim.ipv4_per_interface);
            prop_assert!(it.accelerator_memory_mib >= victim.accelerator_memory_mib);
            prop_assert_eq!(&it.accelerators, &victim.accelerators);
            prop_assert_eq!(it.bare_metal, victim.bare_metal);
            prop_assert!(it.encryption_in_transit || !victim.encryption_in_transit);
            prop_assert!(it.encrypted_disks || !victim.encrypted_disks);
            prop_assert!(it.architectures.contains(&launch.image.architecture));
            for kind in ["ssd", "hdd"] {
                let (needed, offered) = (sizes(&victim, kind), sizes(it, kind));
                prop_assert!(offered.len() >= needed.len());
                prop_assert!(needed.iter().zip(&offered).all(|(needed, offered)| offered >= needed));
            }
            if !launch.conntrack {
                prop_assert!(it.tcp_idle_timeout_seconds.unwrap_or(432_000) >= victim.tcp_idle_timeout_seconds.unwrap_or(432_000));
            }
            let allowed = policy.allowed_types.matches("t01.large", "t00.large");
            prop_assert!(allowed && !policy.denied_types.matches("t01.large", "t00.large"));
        }
    }

    #[test]
    fn whatever_a_template_says_it_lets_no_type_pass_that_the_least_demanding_one_does_not(
        victim in a_spec("t00.large".to_owned()),
        candidate in a_spec("t01.large".to_owned()),
        launch in a_launch(),
        policy in a_policy(),
    ) {
        // A group runs what its template can boot.
        prop_assume!(victim.architectures.contains(&launch.image.architecture));
        prop_assume!(victim.virtualization.contains(&launch.image.virtualization));
        prop_assume!(victim.root_devices.contains(&launch.image.root_device));
        let least = compat::least_asked(&victim);
        let fits = |launch: &LaunchFacts| {
            compat::fits_at_all(PurchaseOption::Spot, &victim, launch, &policy, &candidate).is_some()
        };
        prop_assert!(!fits(&launch) || fits(&least));
    }

    #[test]
    fn a_type_fits_itself(spec in a_spec("t00.large".to_owned()), launch in a_launch()) {
        let mut launch = launch;
        launch.image.architecture = spec.architectures[0].clone();
        launch.image.virtualization = spec.virtualization[0].clone();
        launch.image.boot_mode = launch.image.boot_mode.map(|_| spec.boot_modes[0].clone());
        launch.image.ena = true;
        prop_assert_eq!(compat::fits(&spec, &launch, &support::policy(""), &spec).is_ok(), spec.spot);
    }

    #[test]
    fn the_choice_does_not_depend_on_the_order_of_the_listing(
        (listing, shuffled) in a_listing().prop_flat_map(|listing| {
            let rest = listing.0[1..].to_vec();
            let first = listing.0[0].clone();
            let shuffled = Just(rest).prop_shuffle().prop_map(move |rest| {
                Listing(std::iter::once(first.clone()).chain(rest).collect())
            });
            (Just(listing), shuffled)
        }),
        launch in a_launch(),
        purchase in either_way(),
        policy in a_policy(),
    ) {
        let chosen = choose_from(&listing, &launch, purchase, &policy);
        prop_assert_eq!(&chosen, &choose_from(&shuffled, &launch, purchase, &policy));
        prop_assert_eq!(&chosen, &choose_from(&listing, &launch, purchase, &policy), "and not on the time of day");
    }

    #[test]
    fn no_two_pools_are_equal_and_the_order_is_that_of_priority_price_and_name(
        listing in a_listing(), launch in a_launch(), purchase in either_way(), policy in a_policy(),
    ) {
        let chosen = choose_from(&listing, &launch, purchase, &policy);
        if let Ok(pools) = &chosen {
            prop_assert!(pools.count() >= 1 && pools.count() <= POOLS_MAX);
            let prioritized = policy.strategy.as_str() == "capacity-optimized-prioritized";
            let key = |pool: &choose::Pool| {
                let place = policy.allowed_types.position(pool.instance_type.as_str(), listing.victim().as_str());
                (prioritized.then_some(place.unwrap_or(usize::MAX)), pool.price, pool.instance_type.clone())
            };
            let keys: Vec<_> = pools.iter().map(key).collect();
            prop_assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
        }
    }

    #[test]
    fn scaling_all_prices_leaves_the_choice_unchanged(
        listing in a_listing(), factor in 1..1000u64, launch in a_launch(), purchase in either_way(), policy in a_policy(),
    ) {
        let chosen = choose_from(&listing, &launch, purchase, &policy);
        let scaled = choose_from(&listing.scaled(factor), &launch, purchase, &policy);
        prop_assert_eq!(names(&chosen), names(&scaled));
    }

    #[test]
    fn nothing_is_chosen_that_costs_more_than_the_owner_allows_or_is_sold_out(
        listing in a_listing(), launch in a_launch(), policy in a_policy(),
    ) {
        let market = listing.market();
        if let Ok(pools) = choose_from(&listing, &launch, PurchaseOption::Spot, &policy) {
            let paid = market.on_demand[listing.victim()];
            for pool in pools.iter() {
                prop_assert!(pool.price.0 * 100 <= paid.0 * u64::from(100 - policy.min_saving_percent));
                prop_assert!(pool.max_price.is_none_or(|cap| pool.price <= cap && cap <= paid));
                if let Some(own) = market.on_demand.get(&pool.instance_type) {
                    prop_assert!(pool.price < *own);
                }
                prop_assert!(market.offers(&pool.zone, &pool.instance_type));
            }
        }
    }

    #[test]
    fn asking_for_more_saving_never_adds_a_pool(
        listing in a_listing(), launch in a_launch(), policy in a_policy(), more in 0..40u32,
    ) {
        let stricter = Policy { min_saving_percent: policy.min_saving_percent + more, ..policy.clone() };
        let lax = choose_from(&listing, &launch, PurchaseOption::Spot, &policy);
        let strict = choose_from(&listing, &launch, PurchaseOption::Spot, &stricter);
        let lax = names(&lax);
        prop_assert!(names(&strict).iter().all(|name| lax.contains(name)));
    }

    #[test]
    fn the_way_back_costs_at_most_what_the_group_itself_would(
        listing in a_listing(), launch in a_launch(), policy in a_policy(),
    ) {
        let own = listing.victim().clone();
        let launch = LaunchFacts { instance_type: Some(own.clone()), ..launch };
        let market = listing.market();
        // From whatever spot member.
        for victim in market.specs.keys() {
            let back = choose::choose(victim, &"a".into(), &launch, PurchaseOption::OnDemand, &market, &policy);
            for pool in back.iter().flat_map(|pools| pools.iter()) {
                prop_assert!(pool.price <= market.on_demand[&own]);
                prop_assert!(pool.max_price.is_none());
                prop_assert!(market.specs[&pool.instance_type].vcpus >= market.specs[&own].vcpus);
            }
        }
    }
}

/// The properties are about something: often enough there is a choice, and often enough there is none.
#[test]
fn the_generated_markets_are_worth_testing() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let case = (a_listing(), a_launch(), a_policy());
    let mut pools = Vec::new();
    for _ in 0..500 {
        let (listing, launch, policy) = case.new_tree(&mut runner).expect("no filters").current();
        pools.push(choose_from(&listing, &launch, PurchaseOption::Spot, &policy).map_or(0, |pools| pools.count()));
    }
    let share = |of: &dyn Fn(usize) -> bool| pools.iter().filter(|count| of(**count)).count() * 100 / pools.len();
    assert!(share(&|count| count == 0) >= 10, "{}", share(&|count| count == 0));
    assert!(share(&|count| count >= 1) >= 20, "{}", share(&|count| count >= 1));
    assert!(share(&|count| count >= 3) >= 8, "{}", share(&|count| count >= 3));
}
