//! The parser of pictures. It panics at the first word that it does not know: a case with a typo must not pass.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use planner::journal::{Journal, RaisedMax};
use planner::market::{InstanceSpec, Market};
use planner::model::{
    Activity, Cause, Details, Ec2Facts, Group, GroupName, Image, ImageId, InstanceId, InstanceType, LaunchFacts,
    LaunchSource, LifecycleState, Member, Observation, Platform, Price, Provenance, PurchaseOption, Replica, Role,
    RunState, SubnetId, Tags, Zone, tag,
};
use planner::policy::Config;

/// All pictures are of this day.
pub const DAY: &str = "2026-11-22T";

/// What a picture shows.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The look.
    pub observation: Observation,
    /// Prices and types; `None` with `no-market`.
    pub market: Option<Market>,
    /// The deployment.
    pub config: Config,
}

/// Reads a picture.
pub fn picture(text: &str) -> Picture {
    let lines: Vec<Words<'_>> = text.lines().map(Words::of).filter(|words| !words.rest.is_empty()).collect();
    let now = lines.iter().find(|words| words.rest[0] == "now").map_or("12:05:00", |words| words.rest[1]);
    let now: Timestamp = format!("{DAY}{now}Z").parse().expect("a time of the day");
    let mut reader = Reader::new(now);
    for words in lines {
        reader.line(words);
    }
    reader.finish()
}

/// The words of one line, taken from the left.
#[derive(Clone)]
struct Words<'a> {
    rest: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Self {
        let line = line.split_once("--").map_or(line, |(before, _)| before);
        Self { rest: line.split_whitespace().collect() }
    }

    fn next(&mut self) -> Option<&'a str> {
        (!self.rest.is_empty()).then(|| self.rest.remove(0))
    }

    fn value(&mut self, of: &str) -> &'a str {
        self.next().unwrap_or_else(|| panic!("{of} what?"))
    }

    fn number<T: std::str::FromStr>(&mut self, of: &str) -> T {
        let word = self.value(of);
        word.parse().unwrap_or_else(|_| panic!("{of} {word}: not a number"))
    }

    fn duration(&mut self, of: &str) -> SignedDuration {
        duration(self.value(of))
    }
}

/// `90s`, `5m`, `2h`, `3d`, with a sign if need be.
fn duration(word: &str) -> SignedDuration {
    let (number, unit) = word.split_at(word.len() - 1);
    let number: i64 = number.parse().unwrap_or_else(|_| panic!("{word}: not a duration"));
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => panic!("{word}: not a duration"),
    };
    SignedDuration::from_secs(number * factor)
}

fn max_change(word: &str) -> RaisedMax {
    let (original, raised) = word.split_once('>').expect("max 2>3");
    RaisedMax { original: original.parse().unwrap(), raised: raised.parse().unwrap() }
}

struct Reader {
    now: Timestamp,
    group: Group,
    desired: Option<u32>,
    details: Details,
    facts: LaunchFacts,
    bulk: bool,
    prices: Vec<(InstanceType, Price, Option<Price>)>,
    no_market: bool,
    config: Config,
    journal: Option<(Journal, Where)>,
}

#[derive(PartialEq)]
enum Where {
    Both,
    Group,
    Replica,
    Kept,
}

impl Reader {
    fn new(now: Timestamp) -> Self {
        let group = Group {
            name: GroupName::new("?"),
            arn: String::new(),
            desired: 0,
            min_size: 0,
            max_size: 10,
            subnets: Vec::new(),
            zones: Vec::new(),
            tags: Tags::from([("spot-enabled".to_owned(), "true".to_owned())]),
            propagated_tags: Tags::new(),
            suspended: BTreeSet::new(),
            source: LaunchSource::Template { id: "lt-1".to_owned(), version: "$Default".to_owned() },
            status: None,
            operator: None,
            warm_pool: false,
            capacity_rebalance: false,
            desired_capacity_type: None,
            new_members_protected: false,
            grace_seconds: 0,
            load_balanced: false,
            placement_group: None,
            members: Vec::new(),
            replicas: Vec::new(),
            details: None,
        };
        Self {
            now,
            group,
            desired: None,
            details: Details { activities: Some(Vec::new()), ..Details::default() },
            facts: launch_facts(),
            bulk: false,
            prices: Vec::new(),
            no_market: false,
            config: Config::default(),
            journal: None,
        }
    }

    fn line(&mut self, mut words: Words<'_>) {
        let first = words.next().expect("empty lines are skipped");
        match first {
            "group" => self.group_line(words),
            "now" => {}
            "set" | "tag" | "propagates" => {
                for pair in words.rest {
                    let (key, value) = pair.split_once('=').unwrap_or_else(|| panic!("{first} {pair}: key=value"));
                    let key = if first == "set" { format!("spotward:{key}") } else { key.to_owned() };
                    let tags =
                        if first == "propagates" { &mut self.group.propagated_tags } else { &mut self.group.tags };
                    tags.insert(key, value.to_owned());
                }
            }
            "subnets" => self.group.subnets = words.rest.into_iter().map(SubnetId::new).collect(),
            "zones" => self.group.zones = words.rest.into_iter().map(zone).collect(),
            "suspended" => self.group.suspended.extend(words.rest.into_iter().map(str::to_owned)),
            "hooks" => match words.value("hooks") {
                "launch" => self.details.launch_hooks.extend(words.rest.into_iter().map(str::to_owned)),
                "termination" => self.details.termination_hooks.extend(words.rest.into_iter().map(str::to_owned)),
                other => panic!("hooks {other}: launch or termination"),
            },
            "refresh" => self.details.active_refresh = Some(words.value("refresh").to_owned()),
            "scheduled" => self.details.scheduled_actions.push(self.now + words.duration("scheduled")),
            "activity" => self.activity_line(words),
            "no-activities" => self.details.activities = None,
            "template" => self.template_line(words),
            "no-market" => self.no_market = true,
            "market" => self.market_line(words),
            "deployment" => self.config.stack = words.value("deployment").to_owned(),
            "journal" => self.journal_line(words),
            "journal-text" => {
                self.group.tags.insert(tag::SWAP.to_owned(), words.value("journal-text").to_owned());
            }
            id if id.starts_with("i-") => self.instance_line(InstanceId::new(id), words),
            other => panic!("{other}: no such line"),
        }
    }

    fn group_line(&mut self, mut words: Words<'_>) {
        let group = &mut self.group;
        group.name = GroupName::new(words.value("group"));
        group.arn = format!("arn:aws:autoscaling:us-east-1:111122223333:autoScalingGroup:1:{}", group.name);
        while let Some(word) = words.next() {
            match word {
                "desired" => self.desired = Some(words.number(word)),
                "min" => group.min_size = words.number(word),
                "max" => group.max_size = words.number(word),
                "grace" => group.grace_seconds = words.duration(word).as_secs() as u32,
                "load-balanced" => group.load_balanced = true,
                "bulk" => self.bulk = true,
                "not-enabled" => drop(group.tags.remove("spot-enabled")),
                "deleting" => group.status = Some("Delete in progress".to_owned()),
                "operator" => group.operator = Some(words.value(word).to_owned()),
                "sized-in" => group.desired_capacity_type = Some(words.value(word).to_owned()),
                "warm-pool" => group.warm_pool = true,
                "capacity-rebalance" => group.capacity_rebalance = true,
                "new-members-protected" => group.new_members_protected = true,
                "configuration" => group.source = LaunchSource::Configuration { name: "lc-1".to_owned() },
                "mixed" => group.source = LaunchSource::MixedInstances,
                "no-template" => group.source = LaunchSource::Missing,
                other => panic!("group … {other}: no such word"),
            }
        }
    }

    fn activity_line(&mut self, mut words: Words<'_>) {
        let (now, mut ended) = (self.now, true);
        let mut activity =
            Activity { instance: None, started_at: now, ended_at: None, shrank: None, by_request: false };
        let mut ended_at = None;
        while let Some(word) = words.next() {
            match word {
                "started" => activity.started_at = now - words.duration(word),
                "ended" => ended_at = Some(now - words.duration(word)),
                "running" => ended = false,
                "by-request" => activity.by_request = true,
                "shrank" => {
                    let (from, to) = words.value(word).split_once('>').expect("shrank 3>2");
                    activity.shrank = Some((from.parse().unwrap(), to.parse().unwrap()));
                }
                id if id.starts_with("i-") => activity.instance = Some(InstanceId::new(id)),
                other => panic!("activity … {other}: no such word"),
            }
        }
        activity.ended_at = if ended { Some(ended_at.unwrap_or(activity.started_at)) } else { None };
        self.details.activities.get_or_insert_default().push(activity);
    }

    fn template_line(&mut self, mut words: Words<'_>) {
        let facts = &mut self.facts;
        while let Some(word) = words.next() {
            match word {
                "version" => facts.version = Some(words.number(word)),
                "type" => facts.instance_type = Some(InstanceType::new(words.value(word))),
                "spot" => facts.requests_spot = true,
                "requirements" => facts.instance_requirements = true,
                "tenancy" => facts.tenancy = Some(words.value(word).to_owned()),
                "protection" => facts.termination_protection = true,
                "hibernation" => facts.hibernation = true,
                "kernel" => facts.kernel = true,
                "marketplace" => facts.image.marketplace = true,
                "image-gone" => facts.image.available = false,
                "billed" => facts.image.usage_operation = words.value(word).to_owned(),
                "unreadable" => self.details.launch = Some(Err("no permission".to_owned())),
                other => panic!("template … {other}: no such word"),
            }
        }
    }

    /// `market  m5.large 0.10 spot 0.04  m6i.large 0.11` replaces the default prices: the same in every zone.
    fn market_line(&mut self, mut words: Words<'_>) {
        let price = |word: &str| Price::parse(word).unwrap_or_else(|| panic!("{word}: not a price"));
        while let Some(word) = words.next() {
            match word {
                "spot" => {
                    let spot = price(words.value("spot"));
                    self.prices.last_mut().expect("a type before its spot price").2 = Some(spot);
                }
                name => self.prices.push((InstanceType::new(name), price(words.value(name)), None)),
            }
        }
    }

    fn journal_line(&mut self, mut words: Words<'_>) {
        let replica = InstanceId::new(words.value("journal"));
        assert_eq!(words.next(), Some("for"), "journal i-9 for i-1");
        let victim = InstanceId::new(words.value("for"));
        let mut journal = Journal {
            id: "0badcafe".to_owned(),
            replica,
            victim,
            desired: 0,
            raised_max: None,
            suspends_az_rebalance: false,
            written_at: self.now - SignedDuration::from_mins(1),
            stack: "spotward".to_owned(),
        };
        let mut place = Where::Both;
        while let Some(word) = words.next() {
            match word {
                "desired" => journal.desired = words.number(word),
                "max" => journal.raised_max = Some(max_change(words.value(word))),
                "az" => journal.suspends_az_rebalance = true,
                "age" => journal.written_at = self.now - words.duration(word),
                "by" => journal.stack = words.value(word).to_owned(),
                "copy-only" => place = Where::Replica,
                "uncopied" => place = Where::Group,
                "kept-copy" => place = Where::Kept,
                other => panic!("journal … {other}: no such word"),
            }
        }
        self.journal = Some((journal, place));
    }

    fn instance_line(&mut self, id: InstanceId, mut words: Words<'_>) {
        let now = self.now;
        let (mut attached, mut purchase) = (true, PurchaseOption::OnDemand);
        let mut place = zone("a");
        let mut instance_type = InstanceType::new("m5.large");
        let mut lifecycle = LifecycleState::InService;
        let (mut healthy, mut targets_healthy, mut protected, mut weighted) = (true, None, false, false);
        let mut version = Some(1);
        let mut state = None;
        let (mut age, mut subnet) = (None, None);
        let (mut elastic_ip, mut attached_later, mut reserved) = (false, false, false);
        let mut termination_protected = Some(false);
        let (mut seen, mut enabled) = (true, true);
        let (mut role, mut victim, mut stack, mut deadline) = (None, None, "spotward".to_owned(), None);
        let mut ready_at = None;
        let (mut checks_ok, mut was_member, mut interrupted) = (None, false, false);
        let (mut ends_at, mut cause) = (None, Cause::Swap);
        while let Some(word) = words.next() {
            match word {
                "on-demand" => purchase = PurchaseOption::OnDemand,
                "spot" => purchase = PurchaseOption::Spot,
                "unattached" => attached = false,
                "zone" => place = zone(words.value(word)),
                "subnet" => subnet = Some(SubnetId::new(words.value(word))),
                "type" => instance_type = InstanceType::new(words.value(word)),
                "age" => age = Some(words.duration(word)),
                "version" => version = Some(words.number(word)),
                "no-version" => version = None,
                "unhealthy" => healthy = false,
                "targets-healthy" => targets_healthy = Some(true),
                "targets-unhealthy" => targets_healthy = Some(false),
                "protected" => protected = true,
                "weighted" => weighted = true,
                "elastic-ip" => elastic_ip = true,
                "attached-later" => attached_later = true,
                "reserved" => reserved = true,
                "termination-protected" => termination_protected = Some(true),
                "not-looked-closer" => termination_protected = None,
                "unseen" => seen = false,
                "without-enabling-tag" => enabled = false,
                "pending" | "running" | "stopping" | "stopped" | "shutting-down" | "terminated" => {
                    state = Some(RunState::parse(word));
                }
                "checks-failing" => checks_ok = Some(Some(false)),
                "checks-unknown" => checks_ok = Some(None),
                "was-member" => was_member = true,
                "interrupted" => interrupted = true,
                "ends-in" => ends_at = Some(now + words.duration(word)),
                "notice" => cause = Cause::Notice,
                "rebalance" => cause = Cause::Rebalance,
                "replaces" => {
                    victim = Some(InstanceId::new(words.value(word)));
                    role = role.or(Some(Role::Replica));
                }
                "doomed" => role = Some(Role::Doomed),
                "finished" => role = Some(Role::Member),
                "ready" => ready_at = Some(now - SignedDuration::from_mins(1)),
                "deadline" => deadline = Some(now + words.duration(word)),
                "by" => stack = words.value(word).to_owned(),
                other => {
                    lifecycle = LifecycleState::parse(other);
                    let known = !matches!(lifecycle, LifecycleState::Other(_)) || other.starts_with(char::is_uppercase);
                    assert!(known, "{id} … {other}: no such word");
                }
            }
        }
        let young = role == Some(Role::Replica);
        let age = age.unwrap_or(if young { SignedDuration::from_mins(10) } else { SignedDuration::from_hours(24) });
        let launched_at = now - age;
        let ours = role.map(|role| Provenance {
            role,
            group: self.group.name.clone(),
            victim: victim.unwrap_or_else(|| id.clone()),
            stands_for: None,
            bid: None,
            deadline: deadline.unwrap_or(launched_at + SignedDuration::from_mins(30)),
            stack,
            journal: None,
            ready_at,
            cause,
        });
        if !attached {
            let state = state.unwrap_or(RunState::Running);
            self.group.replicas.push(Replica {
                id,
                zone: place,
                instance_type,
                purchase,
                state,
                checks_ok: checks_ok.unwrap_or(Some(state == RunState::Running)),
                launched_at,
                was_member,
                interrupted,
                ours: ours.expect("an instance outside is here because it is ours: replaces, doomed or finished"),
            });
            return;
        }
        let subnet = subnet.unwrap_or_else(|| subnet_of(&place));
        let ec2 = seen.then(|| Ec2Facts {
            state: state.unwrap_or(RunState::Running),
            launched_at,
            subnet,
            image: ImageId::new("ami-1"),
            platform: Some(Platform::Linux),
            elastic_ip,
            attached_later,
            enabled,
            interrupted: interrupted || ends_at.is_some(),
            ends_at,
            reserved,
            termination_protected,
        });
        self.group.members.push(Member {
            id,
            zone: place,
            instance_type,
            purchase,
            lifecycle,
            healthy,
            targets_healthy,
            protected,
            weighted,
            template_version: version,
            ec2,
            // Our tags are shown by EC2, too.
            ours: ours.filter(|_| seen),
        });
    }

    fn finish(mut self) -> Picture {
        if let Some((journal, place)) = self.journal.take() {
            if place != Where::Replica {
                self.group.tags.insert(tag::SWAP.to_owned(), journal.to_string());
            }
            let inside = self.group.members.iter_mut().filter(|member| member.id == journal.replica);
            let outside = self.group.replicas.iter_mut().filter(|replica| replica.id == journal.replica);
            let copies =
                inside.filter_map(|member| member.ours.as_mut()).chain(outside.map(|replica| &mut replica.ours));
            // Relabelling takes the copy off, unless it was cut short.
            let cut_short = matches!(place, Where::Kept | Where::Replica);
            let carries = |ours: &&mut Provenance| ours.role != Role::Member || cut_short;
            for ours in copies.filter(|_| place != Where::Group).filter(carries) {
                ours.journal = Some(journal.clone());
            }
        }
        let mut group = self.group;
        let counted = group.members.iter().filter(|member| !member.lifecycle.is_leaving()).count() as u32;
        group.desired = self.desired.unwrap_or(counted);
        if group.zones.is_empty() {
            let zones: BTreeSet<Zone> = group.members.iter().map(|member| member.zone.clone()).collect();
            group.zones = zones.into_iter().collect();
        }
        if group.subnets.is_empty() {
            group.subnets = group.zones.iter().map(subnet_of).collect();
        }
        if self.details.launch.is_none() {
            self.details.launch = Some(Ok(self.facts));
        }
        group.details = (!self.bulk).then_some(self.details);
        let market = (!self.no_market).then(|| market(&self.prices));
        Picture { observation: Observation { now: self.now, group }, market, config: self.config }
    }
}

fn zone(letter: &str) -> Zone {
    Zone::new(format!("us-east-1{letter}"))
}

fn subnet_of(zone: &Zone) -> SubnetId {
    SubnetId::new(format!("subnet-{}", &zone.as_str()[zone.as_str().len() - 1..]))
}

fn launch_facts() -> LaunchFacts {
    LaunchFacts {
        version: Some(1),
        instance_type: Some(InstanceType::new("m5.large")),
        image: Image {
            id: ImageId::new("ami-1"),
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

/// Four types of which one has a price, so that a launch has one pool; the same in zones a, b and c.
fn market(prices: &[(InstanceType, Price, Option<Price>)]) -> Market {
    let specs = [spec("m5.large", 2, 8), spec("m6i.large", 2, 8), spec("m5.xlarge", 4, 16), spec("m5.4xlarge", 16, 64)];
    let default = [(InstanceType::new("m5.large"), Price(100_000), Some(Price(40_000)))];
    let prices = if prices.is_empty() { &default[..] } else { prices };
    let mut market = Market::empty(Platform::Linux);
    market.specs = specs.into_iter().map(|spec| (spec.instance_type.clone(), spec)).collect();
    market.on_demand = prices.iter().map(|(name, on_demand, _)| (name.clone(), *on_demand)).collect();
    for letter in ["a", "b", "c"] {
        market.offerings.insert(zone(letter), market.specs.keys().cloned().collect());
        let spot: BTreeMap<InstanceType, Price> =
            prices.iter().filter_map(|(name, _, spot)| Some((name.clone(), (*spot)?))).collect();
        market.spot.insert(zone(letter), spot);
    }
    market
}

fn spec(name: &str, vcpus: u32, memory_gib: u64) -> InstanceSpec {
    InstanceSpec {
        instance_type: InstanceType::new(name),
        current_generation: true,
        spot: true,
        on_demand: true,
        bare_metal: false,
        hypervisor: "nitro".to_owned(),
        virtualization: vec!["hvm".to_owned()],
        architectures: vec!["x86_64".to_owned()],
        cpu_manufacturer: "Intel".to_owned(),
        cpu_features: Vec::new(),
        boot_modes: vec!["legacy-bios".to_owned(), "uefi".to_owned()],
        tpm: false,
        root_devices: vec!["ebs".to_owned()],
        vcpus,
        cores: vcpus / 2,
        valid_cores: Vec::new(),
        valid_threads_per_core: Vec::new(),
        memory_mib: memory_gib * 1024,
        disks: Vec::new(),
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
        accelerators: Vec::new(),
        accelerator_memory_mib: 0,
        burstable: false,
        enclaves: true,
        hibernation: false,
        placement_strategies: vec!["cluster".to_owned(), "partition".to_owned(), "spread".to_owned()],
    }
}
