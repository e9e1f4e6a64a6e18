//! `spotward advise`: which type to bid for, or what a group could save. Changes nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use data::Library;
use engine::{Cloud, CloudError};
use futures_util::StreamExt;
use jiff::Timestamp;
use planner::advise::{Advice, Mode, advise};
use planner::bids::{self, BIDS_PERCENT, Bid, Needs, Offer, Quote, SortBy, TypeFacts};
use planner::model::{Group, GroupName, InstanceType, Price, Zone};
use planner::policy::Config;
use planner::reason::{Blocker, Code};
use planner::savings::{Saving, Savings};
use planner::stats::PriceHistory;
use serde_json::{Value, json};

use crate::cloud::World;
use crate::failure::{Exit, Failure};
use crate::fix::fix;
use crate::money::{Currency, HOURS_PER_MONTH};
use crate::output::{Output, Tone};
use crate::plan::{self, Desk, GROUPS_AT_A_TIME, Markets, Report, unknown};
use crate::prices::share;
use crate::stock::{Stock, Where, days_before, histories, pattern, patterns, short_zone};

/// Version of the JSON documents.
const VERSION: u32 = 1;
/// Types whose history EC2 is asked for: each has hundreds of rows a month.
const LOOKED_AT: usize = 60;

const EXAMPLES: &str = "\
Examples:
  spotward advise --vcpus 4 --memory 16                  types that fit, the cheapest first
  spotward advise --type 'm6*' --sort availability       where a bid would have held longest
  spotward advise --vcpus 8 --arch arm64 --offline       from what is shipped, without an account
  spotward advise --vcpus 4 --data history.json          from your own files (docs/prices.md)
  spotward advise --group web                            what this group could save, and how
  spotward advise --all                                  every group of the region, enabled or not
  spotward advise --all --snapshot seen.json             the same from a saved look, without an account

Exit status:
  0  advised
  1  a mistake of the caller: unknown group, type or region, an unreadable file
  3  AWS refused: no permission, throttled, unreachable";

/// Find a type to bid for, or see what a group could save and how; changes nothing
///
/// Without --group or --all: instance types that meet a need, with their on-demand and spot prices, the saving, how often a
/// bid of 25, 50 and 100 % of on-demand would have held, and how often AWS says that they are interrupted. With --group or
/// --all: what groups could save, enabled or not, which profile suits each, and whether a mixed instances policy of its own
/// would serve it better.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    from_where: Where,
    /// One JSON document on stdout (docs/schema: advise-types, or advise-groups)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    need: Need,
    #[command(flatten)]
    groups: Groups,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Types")]
struct Need {
    /// At least so many vCPUs
    #[arg(long, value_name = "N", default_value_t = 1)]
    vcpus: u32,
    /// At least so much memory, GiB
    #[arg(long, value_name = "GIB", default_value = "0", value_parser = gib)]
    memory: u64,
    /// x86_64 or arm64
    #[arg(long, value_name = "NAME", value_parser = ["x86_64", "arm64"])]
    arch: Option<String>,
    /// Only these types: names with * and ?
    #[arg(long = "type", value_name = "TYPE", value_parser = pattern)]
    types: Vec<String>,
    /// Only this zone (`us-east-1a`, or `a`); more than one may be named
    #[arg(long, value_name = "ZONE")]
    zone: Vec<String>,
    /// Days of price history that a bid is held against
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(i64).range(1..=90))]
    days: i64,
    /// What comes first: price, saving, availability, interruptions or type
    #[arg(long, value_name = "ORDER", default_value = "price", value_parser = order)]
    sort: SortBy,
    /// So many types at most
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=2000))]
    limit: u32,
}

const OF_TYPES: [&str; 11] =
    ["vcpus", "memory", "arch", "types", "zone", "days", "sort", "limit", "offline", "data", "platform"];

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Groups")]
struct Groups {
    /// What this group could save; more than one may be named
    #[arg(long, value_name = "NAME", conflicts_with_all = OF_TYPES)]
    group: Vec<String>,
    /// What every group of the region could save, enabled or not
    #[arg(long, conflicts_with_all = OF_TYPES, conflicts_with = "group")]
    all: bool,
    /// Advise from a saved look instead of asking AWS (`spotward plan --save-snapshot FILE`)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["region", "vcpus"])]
    snapshot: Option<PathBuf>,
}

/// Memory in MiB, from GiB with a fraction.
fn gib(text: &str) -> Result<u64, String> {
    let gib: Option<f64> = text.parse().ok();
    let sound = gib.filter(|gib| (0.0..=100_000.0).contains(gib));
    sound.map(|gib| (gib * 1024.0).ceil() as u64).ok_or_else(|| "allowed is a number of GiB, like 16 or 0.5".to_owned())
}

fn order(text: &str) -> Result<SortBy, String> {
    match text {
        "price" => Ok(SortBy::Price),
        "saving" => Ok(SortBy::Saving),
        "availability" => Ok(SortBy::Availability),
        "interruptions" => Ok(SortBy::Interruptions),
        "type" => Ok(SortBy::Type),
        _ => Err("allowed is price, saving, availability, interruptions or type".to_owned()),
    }
}

pub async fn command(args: Args, config: &Config) -> Result<Exit, Failure> {
    if args.groups.all || !args.groups.group.is_empty() {
        return for_groups(args, config).await;
    }
    if args.groups.snapshot.is_some() {
        return Err(Failure::user("--snapshot is about groups", "say --all, or --group NAME"));
    }
    for_types(args, config).await
}

// ---- types ----

async fn for_types(args: Args, config: &Config) -> Result<Exit, Failure> {
    let out = Output::new();
    let mut stock = Stock::open(&args.from_where, config, &out).await?;
    for name in args.need.types.iter().filter(|name| !name.contains(['*', '?'])) {
        // A live region may know types that are younger than this program.
        if stock.live.is_none() {
            stock.check_type(&InstanceType::new(name))?;
        }
    }
    let needs = Needs {
        vcpus: args.need.vcpus,
        memory_mib: args.need.memory,
        architecture: args.need.arch.clone(),
        types: patterns(&args.need.types),
    };
    let (mut offers, remarks) = offers(&args, &needs, &mut stock, &out).await?;
    out.done();
    let found = offers.len();
    bids::sort(&mut offers, args.need.sort);
    offers.truncate(args.need.limit as usize);
    let currency = Currency::of(&stock.region);
    if args.json {
        out.print(&types_document(&args, &offers, found, &remarks, &stock, currency));
    } else {
        out.print(&types_text(&args, &offers, found, &remarks, &stock, currency, &out));
    }
    Ok(Exit::Nothing)
}

async fn offers(
    args: &Args,
    needs: &Needs,
    stock: &mut Stock,
    out: &Output,
) -> Result<(Vec<Offer>, Vec<String>), Failure> {
    if let Some(aws) = stock.live.as_ref().and_then(World::aws) {
        out.waiting_for(format!("asking {} for types and prices", stock.region));
        match live(args, needs, aws, &stock.library).await {
            Ok(found) => return Ok(found),
            Err(error) => stock.without_account(&error)?,
        }
    }
    stock.check_region()?;
    Ok(filed(args, needs, stock))
}

async fn live(
    args: &Args,
    needs: &Needs,
    aws: &aws::Aws,
    library: &Library,
) -> Result<(Vec<Offer>, Vec<String>), CloudError> {
    let (platform, region) = (args.from_where.platform, aws.region().to_owned());
    let market = aws.market(platform).await?;
    let now = Timestamp::now();
    let wanted = |zone: &Zone| is_wanted(zone, &args.need.zone, &region);
    let fitting = market.specs.values().map(|spec| (&spec.instance_type, TypeFacts::from(spec)));
    let fitting = fitting.filter(|(name, facts)| needs.met_by(name, facts));
    let make = |name: &InstanceType, facts: TypeFacts, histories: &BTreeMap<(InstanceType, Zone), PriceHistory>| {
        let on_demand = market.on_demand.get(name).copied();
        let zones = market.spot.iter().filter(|(zone, _)| wanted(zone) && market.offers(zone, name));
        let quotes = zones.filter_map(|(zone, prices)| {
            Some(Quote {
                zone: Some(zone.clone()),
                spot: Some(*prices.get(name)?),
                on_demand,
                saving_percent: None,
                as_of: Some(now),
                history: histories.get(&(name.clone(), zone.clone())).cloned(),
            })
        });
        Offer::new(name.clone(), facts, on_demand, library.frequency(&region, platform, name), quotes.collect())
    };
    let nothing = BTreeMap::new();
    let mut offers: Vec<Offer> = fitting.map(|(name, facts)| make(name, facts, &nothing)).collect();
    offers.retain(|offer| !offer.bids.is_empty());
    // Only what may be shown is looked back at.
    let mut remarks = Vec::new();
    let by_history = args.need.sort == SortBy::Availability;
    let looked_at = if by_history { LOOKED_AT } else { (args.need.limit as usize).min(LOOKED_AT) };
    bids::sort(&mut offers, if by_history { SortBy::Price } else { args.need.sort });
    if offers.len() > looked_at && by_history {
        remarks.push(format!(
            "Only the {looked_at} cheapest of {} types were looked back at; --type names fewer.",
            offers.len()
        ));
        offers.truncate(looked_at);
    }
    let names: Vec<InstanceType> = offers.iter().take(looked_at).map(|offer| offer.instance_type.clone()).collect();
    let histories = histories(aws, platform, &names, days_before(now, args.need.days), now).await?;
    for offer in offers.iter_mut().take(looked_at) {
        *offer = make(&offer.instance_type, offer.facts.clone(), &histories);
    }
    remarks.push(format!("Held: share of the last {} days.", args.need.days));
    Ok((offers, remarks))
}

fn is_wanted(zone: &Zone, wanted: &[String], region: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|name| zone.as_str() == name || short_zone(zone.as_str(), region) == name)
}

/// From files: the newest on-demand list, recorded prices by zone, and the Spot Advisor's saving for the whole region.
fn filed(args: &Args, needs: &Needs, stock: &Stock) -> (Vec<Offer>, Vec<String>) {
    let (library, region, platform) = (&stock.library, stock.region.as_str(), args.from_where.platform);
    let mut remarks: Vec<String> = Vec::new();
    let mut say = |remark: String| {
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
    };
    let offered: BTreeMap<&InstanceType, &TypeFacts> = {
        let here = library.offered(region).filter_map(|(name, _)| Some((name, library.types().get(name)?)));
        // Types that have gone may have left prices.
        let named =
            library.types().iter().filter(|(name, _)| args.need.types.iter().any(|wanted| wanted == name.as_str()));
        here.chain(named).collect()
    };
    let mut offers = Vec::new();
    for (name, facts) in offered {
        if !needs.met_by(name, facts) {
            continue;
        }
        let listed = library.on_demand(region, platform, name, None);
        let mut quotes = Vec::new();
        let end = library.recorded(region, platform, name, None, None).map(|recorded| recorded.window.1);
        let recorded = end.ok().and_then(|end| {
            library.recorded(region, platform, name, Some(days_before(end, args.need.days)), None).ok()
        });
        if let Some(recorded) = &recorded {
            let on_demand =
                library.on_demand(region, platform, name, Some(recorded.window.1)).and_then(|listed| listed.price);
            let zones = recorded.zones.iter().filter(|(zone, _)| is_wanted(zone, &args.need.zone, region));
            quotes.extend(zones.map(|(zone, history)| Quote {
                zone: Some(zone.clone()),
                spot: history.steps().last().map(|(_, price)| price),
                on_demand,
                saving_percent: None,
                as_of: Some(recorded.window.1),
                history: Some(history.clone()),
            }));
        }
        let advised = library.advice(region, platform, name);
        if let Some((advice, date)) = advised
            && let Some(saving) = advice.saving_percent
            && args.need.zone.is_empty()
        {
            let as_of =
                date.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok()).map(|zoned| zoned.timestamp());
            // What was recorded later says more than the mean of a month before.
            if recorded.as_ref().is_none_or(|recorded| as_of.is_some_and(|as_of| as_of > recorded.window.1)) {
                let on_demand = listed.and_then(|listed| listed.price);
                let rest = u32::try_from(100 - saving).unwrap_or(0);
                quotes.push(Quote {
                    zone: None,
                    spot: on_demand.map(|on_demand| on_demand.percent(rest)),
                    on_demand,
                    saving_percent: Some(saving),
                    as_of,
                    history: None,
                });
            }
        }
        if quotes.is_empty() {
            continue;
        }
        let frequency = advised.and_then(|(advice, _)| advice.frequency);
        let on_demand = listed.and_then(|listed| listed.price);
        offers.push(Offer::new(name.clone(), facts.clone(), on_demand, frequency, quotes));
    }
    if offers.iter().flat_map(|offer| &offer.bids).any(|bid| bid.quote.zone.is_none()) {
        say("Zone *: the saving that the Spot Advisor gives for the whole region and the month before, applied to the on-demand price.".to_owned());
    }
    if offers.iter().flat_map(|offer| &offer.bids).any(|bid| bid.availability.is_some()) {
        say(format!(
            "Held: share of the last {} days that are recorded, against the on-demand price of then.",
            args.need.days
        ));
    }
    (offers, remarks)
}

/// From when each part of an answer from files is.
fn dates(offers: &[Offer], args: &Args, stock: &Stock) -> Vec<String> {
    let (library, region, platform) = (&stock.library, stock.region.as_str(), args.from_where.platform);
    let mut dates = Vec::new();
    let mut say = |line: String| {
        if !dates.contains(&line) {
            dates.push(line);
        }
    };
    let mut lists: Vec<String> = offers
        .iter()
        .filter_map(|offer| library.on_demand(region, platform, &offer.instance_type, None))
        .map(|listed| listed.date.map_or("undated".to_owned(), |date| date.to_string()))
        .collect();
    lists.sort();
    lists.dedup();
    if !lists.is_empty() {
        say(format!("On-demand prices: list of {}.", lists.join(", ")));
    }
    let advised = offers.iter().find_map(|offer| library.advice(region, platform, &offer.instance_type));
    if let Some((_, date)) = advised {
        say(format!("Spot Advisor: {}.", date.map_or("undated".to_owned(), |date| date.to_string())));
    }
    for offer in offers.iter().filter(|offer| offer.bids.iter().any(|bid| bid.quote.history.is_some())) {
        if let Ok(recorded) = library.recorded(region, platform, &offer.instance_type, None, None) {
            let (start, end) = (data::day(recorded.window.0), data::day(recorded.window.1));
            say(format!(
                "{} by zone: recorded {start} to {end}, {}.",
                offer.instance_type,
                recorded.sources.join(", ")
            ));
        }
    }
    dates
}

fn types_text(
    args: &Args,
    offers: &[Offer],
    found: usize,
    remarks: &[String],
    stock: &Stock,
    currency: Currency,
    out: &Output,
) -> String {
    let head = format!("{}, {}", stock.region, args.from_where.platform);
    let mut text = format!("{}  {}\n", out.paint(Tone::Head, &head), stock.told());
    if offers.is_empty() {
        text.push_str("No type that can be bought as spot meets this, as far as is known.\n");
        return text;
    }
    let mut rows = Vec::new();
    for offer in offers {
        for (place, bid) in offer.bids.iter().enumerate() {
            rows.push(row(offer, bid, place == 0, &stock.region, currency));
        }
    }
    let heads = ["type", "vCPU", "GiB", "on-demand", "zone", "spot", "saves", "held at\n25/50/100 %", "inter-\nrupted"];
    text.push_str(&out.table(&heads, rows));
    let shown = offers.len();
    if found > shown {
        let _ = writeln!(text, "\n{shown} of {found} types; --limit shows more.");
    } else {
        text.push('\n');
    }
    for remark in remarks {
        let _ = writeln!(text, "{remark}");
    }
    if stock.live.is_none() {
        for line in dates(offers, args, stock) {
            let _ = writeln!(text, "{line}");
        }
    } else if let Some(date) = offers
        .iter()
        .find_map(|offer| stock.library.advice(&stock.region, args.from_where.platform, &offer.instance_type))
    {
        let date = date.1.map_or("undated".to_owned(), |date| date.to_string());
        let _ = writeln!(text, "Interrupted: the Spot Advisor's document of {date}; --advisor FILE reads a newer one.");
    }
    text
}

fn row(offer: &Offer, bid: &Bid, first: bool, region: &str, currency: Currency) -> Vec<(Tone, String)> {
    let unknown = || "?".to_owned();
    let of_type = |text: String| (Tone::Plain, if first { text } else { String::new() });
    let price = |price: Price| currency.price(price);
    // 0.5, 16, and what is not so round in two digits: t1.micro has 627 MiB.
    let gib = (offer.facts.memory_mib as f64 / 10.24).round() / 100.0;
    let zone = bid.quote.zone.as_ref().map_or("*".to_owned(), |zone| short_zone(zone.as_str(), region).to_owned());
    let (tone, spot) = match (bid.sold_out, bid.quote.spot) {
        (true, _) => (Tone::Bad, "sold out".to_owned()),
        (false, Some(spot)) => (Tone::Plain, price(spot)),
        (false, None) => (Tone::Plain, unknown()),
    };
    let saves = match bid.saving_percent {
        Some(_) if bid.sold_out => "-".to_owned(),
        Some(percent) => format!("{percent} %"),
        None => unknown(),
    };
    let held = bid.availability.map_or("-".to_owned(), |held| held.map(share).join("/"));
    vec![
        of_type(offer.instance_type.to_string()),
        of_type(offer.facts.vcpus.to_string()),
        of_type(format!("{gib}")),
        of_type(offer.on_demand.map_or_else(unknown, price)),
        (Tone::Plain, zone),
        (tone, spot),
        (Tone::Plain, saves),
        (Tone::Plain, held),
        of_type(offer.frequency.map_or_else(unknown, |frequency| frequency.label().to_owned())),
    ]
}

fn types_document(
    args: &Args,
    offers: &[Offer],
    found: usize,
    remarks: &[String],
    stock: &Stock,
    currency: Currency,
) -> String {
    let of_bid = |bid: &Bid| {
        let availability: BTreeMap<String, f64> = bid
            .availability
            .map(|held| BIDS_PERCENT.map(|percent| percent.to_string()).into_iter().zip(held).collect())
            .unwrap_or_default();
        json!({
            "zone": bid.quote.zone.as_ref().map(Zone::as_str),
            "spot_per_hour": bid.quote.spot.map(Price::dollars),
            "sold_out": bid.sold_out,
            "saving_percent": bid.saving_percent,
            "as_of": bid.quote.as_of.map(|at| at.to_string()),
            "on_demand_then_per_hour": bid.quote.on_demand.map(Price::dollars),
            "availability": if availability.is_empty() { Value::Null } else { json!(availability) },
            "history_from": bid.quote.history.as_ref().map(|history| history.since().to_string()),
            "history_until": bid.quote.history.as_ref().map(|history| history.until().to_string()),
        })
    };
    let of_offer = |offer: &Offer| {
        json!({
            "type": offer.instance_type.as_str(),
            "vcpus": offer.facts.vcpus,
            "memory_mib": offer.facts.memory_mib,
            "architectures": offer.facts.architectures,
            "on_demand_per_hour": offer.on_demand.map(Price::dollars),
            "interruptions": offer.frequency.map(|frequency| frequency.label()),
            "zones": offer.bids.iter().map(of_bid).collect::<Vec<_>>(),
        })
    };
    let sources: Vec<String> = match stock.live {
        Some(_) => Vec::new(),
        None => dates(offers, args, stock),
    };
    let document = json!({
        "v": VERSION,
        "kind": "advise-types",
        "region": stock.region,
        "platform": args.from_where.platform.spot_product(),
        "currency": currency.code(),
        "live": stock.live.is_some(),
        "why_not_live": stock.fallback,
        "found": found,
        "types": offers.iter().map(of_offer).collect::<Vec<_>>(),
        "remarks": remarks,
        "sources": sources,
    });
    pretty(&document)
}

fn pretty(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("plain values always serialize");
    text.push('\n');
    text
}

// ---- groups ----

/// What is known of one group.
struct Advised {
    group: Group,
    enabled: bool,
    blockers: Vec<Blocker>,
    advice: Advice,
    /// Why there are no prices.
    no_prices: Option<String>,
}

async fn for_groups(args: Args, config: &Config) -> Result<Exit, Failure> {
    let out = Output::new();
    let world = match &args.groups.snapshot {
        Some(path) => World::saved(path, config)?,
        None => World::live(config, args.from_where.region.as_deref()).await?,
    };
    out.waiting_for(format!("looking at {}", world.region()));
    let mut names: Vec<GroupName> = args.groups.group.iter().map(GroupName::new).collect();
    if args.groups.all {
        let mut pages = std::pin::pin!(world.names(true));
        while let Some(page) = pages.next().await {
            names.extend(page.map_err(|error| world.failure(&error))?);
        }
        names.sort();
        names.dedup();
    }
    let currency = Currency::of(world.region());
    let mut exit = Exit::Nothing;
    let mut documents = Vec::new();
    let mut failures = Vec::new();
    let mut total = Saving::default();
    let markets = Markets::default();
    let desk = Desk::new(&markets, config);
    let mut seen = futures_util::stream::iter(names.iter().map(|name| examine(&world, &desk, name)))
        .buffered(GROUPS_AT_A_TIME)
        .enumerate();
    while let Some((at, advised)) = seen.next().await {
        let mut failure = match advised {
            Ok(Some(advised)) => {
                total = total + advised.advice.savings.as_ref().map(|savings| savings.left).unwrap_or_default();
                if args.json {
                    documents.push(group_document(&advised));
                } else {
                    out.print(&group_text(&advised, currency, &out));
                }
                continue;
            }
            Ok(None) => unknown(&world),
            Err(error) => world.failure(&error),
        };
        failure.what = format!("{}: {}", names[at], failure.what);
        exit = exit.worse(failure.exit);
        if !args.json {
            out.fail(&failure);
        }
        failures.push(json!({ "group": names[at].as_str(), "text": failure.what, "hint": failure.hint }));
    }
    out.done();
    if args.json {
        out.print(&pretty(&json!({
            "v": VERSION,
            "kind": "advise-groups",
            "region": world.region(),
            "currency": currency.code(),
            "groups": documents,
            "failed": failures,
            "left": range(total),
        })));
    } else {
        let count = names.len() - failures.len();
        if count == 0 && !failures.is_empty() {
            return Ok(exit);
        }
        let noun = if count == 1 { "group" } else { "groups" };
        let sum = if total == Saving::default() {
            String::new()
        } else {
            format!(": {} could be saved", currency.saving(total))
        };
        out.print(&format!(
            "{count} {noun} in {}{sum}.\nEstimates from public prices of the look, before discounts; spot prices change. A month has 730 hours.\n",
            world.region()
        ));
    }
    Ok(exit)
}

async fn examine(world: &World, desk: &Desk<'_>, name: &GroupName) -> Result<Option<Advised>, CloudError> {
    let Some(report) = plan::examine(world, desk, name).await? else { return Ok(None) };
    let Report { look, enabled, savings, market, .. } = report;
    let advice = advise(&look.observation, &look.plan, market.as_deref(), desk.config);
    Ok(Some(Advised {
        enabled,
        blockers: look.plan.blockers,
        group: look.observation.group,
        advice,
        no_prices: savings.err(),
    }))
}

/// Who should buy, in two words.
fn by_whom(mode: &Mode) -> &'static str {
    match mode {
        Mode::Swap(_) => "swaps",
        Mode::Native(_) => "a mixed instances policy",
        Mode::Service(_) => "the service itself",
        Mode::Neither(_) => "nothing yet",
        Mode::Already => "nothing",
    }
}

fn group_text(advised: &Advised, currency: Currency, out: &Output) -> String {
    let Advised { group, enabled, blockers, advice, no_prices } = advised;
    let count = |purchase| group.members.iter().filter(|member| member.purchase == purchase).count();
    let (on_demand, spot) =
        (count(planner::model::PurchaseOption::OnDemand), count(planner::model::PurchaseOption::Spot));
    let state = if *enabled { "enabled" } else { "not enabled" };
    let mut text = format!(
        "{}  {state}, desired {}, {on_demand} on-demand, {spot} spot\n",
        out.paint(Tone::Head, group.name.as_str()),
        group.desired
    );
    let mut line = |label: &str, tone: Tone, body: &str| {
        let _ = writeln!(text, "  {} {body}", out.paint(tone, &format!("{label:<9}")));
    };
    let unreadable = blockers.iter().any(|blocker| matches!(blocker, Blocker::Settings(_)));
    match &advice.savings {
        _ if unreadable => line("saves", Tone::Mind, "unknown: what its owner wants cannot be understood"),
        Some(savings) if savings.swaps_left > 0 => {
            let condition = if blockers.is_empty() { "" } else { ", were it not blocked" };
            line("saves", Tone::Act, &format!("{}{condition}", could_save(savings, currency)));
        }
        Some(savings) if savings.already() > 0 => {
            let already = Saving { least: savings.already(), most: savings.already() };
            line("saves", Tone::Plain, &format!("{} already, and no more", currency.saving(already)));
        }
        Some(_) => line("saves", Tone::Plain, "nothing: no member can be replaced by something cheaper now"),
        None => line("saves", Tone::Mind, &format!("unknown: {}", no_prices.as_deref().unwrap_or("no prices"))),
    }
    if let Some(savings) = &advice.savings_with_profile
        && advice.savings.as_ref().is_some_and(|usual| usual.left != savings.left)
    {
        let saves = match savings.swaps_left {
            0 => "nothing".to_owned(),
            _ => could_save(savings, currency),
        };
        line("", Tone::Plain, &format!("{saves} with the profile {}", advice.profile.name));
    }
    line("profile", Tone::Plain, &format!("{}: {}", advice.profile.name, advice.character));
    line("by", Tone::Plain, &format!("{}: {}", by_whom(&advice.mode), advice.mode));
    if let Mode::Native(why) = &advice.mode {
        if *why != planner::advise::WhyNative::HasOne {
            line(
                "",
                Tone::Plain,
                "what it costs: its definition changes, and where spot is not to be had nothing is launched",
            );
        }
        if !advice.native_types.is_empty() {
            const NAMED: usize = 6;
            let named: Vec<&str> = advice.native_types.iter().take(NAMED).map(InstanceType::as_str).collect();
            let more = advice.native_types.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more (--json has them)") } else { String::new() };
            line("", Tone::Plain, &format!("types for it: {}{more}", named.join(", ")));
        }
    }
    for blocker in blockers {
        match blocker {
            // One line each: the owner corrects them one by one.
            Blocker::Settings(errors) => {
                line("blocked", Tone::Bad, "settings that cannot be understood");
                errors.iter().for_each(|error| line("", Tone::Plain, &error.to_string()));
            }
            blocker => line("blocked", Tone::Bad, &blocker.to_string()),
        }
        match fix(blocker, group.name.as_str()) {
            Some(fix) => line("  fix", Tone::Plain, &fix),
            None => line("  fix", Tone::Plain, "none needed, it passes"),
        }
    }
    if !enabled && matches!(advice.mode, Mode::Swap(_)) {
        line(
            "enable",
            Tone::Plain,
            &format!("tag it, with spotward:profile={}; `spotward plan {}` first", advice.profile.name, group.name),
        );
    }
    text.push('\n');
    text
}

fn could_save(savings: &Savings, currency: Currency) -> String {
    let swaps = match savings.swaps_left {
        1 => "one member".to_owned(),
        count => format!("{count} members"),
    };
    let cost = savings.cost_now as i64;
    let percent = |saving: i64| saving * 100 / cost.max(1);
    let Saving { least, most } = savings.left;
    let percent = match (percent(least), percent(most)) {
        (least, most) if least == most => format!("{most} %"),
        (least, most) => format!("{least} to {most} %"),
    };
    format!("{} on {swaps}, {percent} of what it costs", currency.saving(savings.left))
}

fn range(saving: Saving) -> Value {
    let dollars = |micros: i64| micros as f64 / 1e6;
    json!({
        "least_per_hour": dollars(saving.least),
        "most_per_hour": dollars(saving.most),
        "least_per_month": dollars(saving.least * HOURS_PER_MONTH),
        "most_per_month": dollars(saving.most * HOURS_PER_MONTH),
    })
}

fn group_document(advised: &Advised) -> Value {
    let Advised { group, enabled, blockers, advice, no_prices } = advised;
    let of_savings = |savings: &Savings| {
        json!({
            "left": range(savings.left),
            "swaps_left": savings.swaps_left,
            "cost_per_hour": savings.cost_now as f64 / 1e6,
            "already_per_hour": savings.already() as f64 / 1e6,
            "unpriced_instances": savings.unpriced,
        })
    };
    json!({
        "group": group.name.as_str(),
        "enabled": enabled,
        "desired": group.desired,
        "savings": advice.savings.as_ref().map(of_savings),
        "no_savings": no_prices,
        "profile": {
            "name": advice.profile.name,
            "sentence": advice.profile.sentence,
            "code": advice.character.code(),
            "why": advice.character.to_string(),
            "savings": advice.savings_with_profile.as_ref().map(of_savings),
        },
        "mode": {
            "name": advice.mode.code(),
            "why": advice.mode.to_string(),
            "types": advice.native_types.iter().map(InstanceType::as_str).collect::<Vec<_>>(),
        },
        "blockers": blockers
            .iter()
            .map(|blocker| json!({ "code": blocker.code(), "text": blocker.to_string(), "fix": fix(blocker, group.name.as_str()) }))
            .collect::<Vec<_>>(),
    })
}
