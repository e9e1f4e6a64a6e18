//! `spotward explain`: for one group or one member, every type of the region with the reason why it is asked for or not.

use std::collections::BTreeMap;

use planner::backoff::Circuit;
use planner::budget::most_per_pool;
use planner::explain::{Candidate, Explanation, Standing, explain};
use planner::model::{GroupName, InstanceId, Member, PurchaseOption};
use planner::payback::Payback;
use planner::policy::{Config, Policy};
use planner::reason::Code;
use serde_json::{Value, json};

use crate::args::Place;
use crate::document::{self, dollars};
use crate::failure::{Exit, Failure};
use crate::fix::fix;
use crate::money::Currency;
use crate::output::{Output, Tone, printable};
use crate::plan::{Desk, Markets, Report, examine, prices, unknown};
use crate::{page, words};

const EXAMPLES: &str = "\
Examples:
  spotward explain web                     what stands against it, and the types for each kind of member
  spotward explain web i-0123456789abcdef0    one member, with everything that nearly fits
  spotward explain web i-0123456789abcdef0 --all-types
  spotward explain web --json | jq '.members[].candidates[] | select(.rank)'
  spotward explain web --snapshot seen.json

Exit status:
  0  told
  1  a mistake of the caller: unknown group or instance, unreadable snapshot, wrong flag
  3  AWS refused: no credentials, no permission, throttled, unreachable";

/// Tell why: each type with price and rank or its mismatches, each blocker with its fix
///
/// The ranks are those of the launch request that `plan` would make. A group that is not enabled is explained as if it were.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The group
    #[arg(value_name = "GROUP")]
    pub group: String,
    /// One of its members; without it, one of each kind
    #[arg(value_name = "INSTANCE")]
    pub instance: Option<String>,
    /// List also the types that are far from fitting
    #[arg(long)]
    pub all_types: bool,
    /// One JSON document on stdout (docs/schema/explain.schema.json)
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub place: Place,
}

/// Types that do not fit and are still shown: those with so few mismatches …
const NEAR: usize = 1;
/// … and of them so many.
const NEAR_SHOWN: usize = 10;

/// Members of one type, zone and way of paying: what is said about one of them holds for all.
struct Kind<'a> {
    members: Vec<&'a Member>,
    told: Explanation,
}

/// The command.
pub async fn command(args: Args, config: &Config) -> Result<Exit, Failure> {
    let out = Output::new();
    let world = args.place.world(config).await?;
    let name = GroupName::new(&args.group);
    out.waiting_for(format!("looking at {name} in {}", world.region()));
    let markets = Markets::default();
    let report = examine(&world, &Desk::new(&markets, config), &name).await.map_err(|error| world.failure(&error))?;
    let Some(report) = report else { return Err(named(&name, unknown(&world))) };
    let observation = &report.look.observation;
    let group = &observation.group;
    let members = members(&args, &report)?;

    let policy = Policy::of(group, config).map_err(|_| "what its owner wants cannot be understood".to_owned());
    let launch = group.details.as_ref().and_then(|details| details.launch.as_ref()?.as_ref().ok());
    let kinds = match (policy, launch, prices(&world, observation).await) {
        (Ok(policy), Some(launch), Ok(market)) => {
            let tell = |members: Vec<&'_ Member>| {
                members.first().copied().map(|member| explain(member, group, launch, &market, &policy, observation.now))
            };
            let kinds = members.into_values().filter_map(|members| Some((tell(members.clone())?, members)));
            Ok((kinds.map(|(told, members)| Kind { members, told }).collect::<Vec<_>>(), policy))
        }
        (Err(why), _, _) | (_, _, Err(why)) => Err(why),
        (Ok(_), None, Ok(_)) => Err("what the group launches was not read".to_owned()),
    };
    out.done();
    let currency = Currency::of(world.region());
    if args.json {
        out.print(&document::text(&explanation(world.region(), &report, kinds.as_ref(), currency)));
        return Ok(Exit::Nothing);
    }
    let mut text =
        format!("{}  {}\n", out.paint(Tone::Head, &printable(group.name.as_str())), page::headline(&report, config));
    if !report.enabled {
        let tag = format!("{}={}", config.enable_key, config.enable_value);
        text.push_str(&format!("  {}\n", out.paint(Tone::Mind, &format!("not enabled; if it were tagged {tag}:"))));
    }
    for line in page::blocker_lines(&report.look.plan.blockers, group) {
        text.push_str(&format!("  {} {}\n", out.paint(line.tone, &format!("{:<8}", line.label)), line.body));
    }
    match &kinds {
        Ok((kinds, _)) if kinds.is_empty() => {
            text.push_str("\nNo on-demand member; name a spot member to see its way back.\n");
        }
        Ok((kinds, policy)) => {
            let most = most_per_pool(group.desired, policy.pool_loss_percent);
            kinds.iter().for_each(|kind| text.push_str(&told(kind, &report, &args, most, &out, currency)));
        }
        Err(why) => text.push_str(&format!("\nNothing can be said about types: {why}.\n")),
    }
    out.print(&text);
    Ok(Exit::Nothing)
}

fn named(name: &GroupName, failure: Failure) -> Failure {
    Failure { what: format!("{name}: {}", failure.what), ..failure }
}

/// The members to speak about, by kind: the one that was named, or all that are on-demand.
type Kinds<'a> = BTreeMap<(String, String, PurchaseOption), Vec<&'a Member>>;

fn members<'a>(args: &Args, report: &'a Report) -> Result<Kinds<'a>, Failure> {
    let group = &report.look.observation.group;
    let chosen: Vec<&Member> = match &args.instance {
        Some(id) => {
            let member = group.member(&InstanceId::new(id)).ok_or_else(|| {
                let ids: Vec<String> = group.members.iter().map(|member| member.id.to_string()).collect();
                let hint = if ids.is_empty() { "the group has none".to_owned() } else { ids.join(", ") };
                Failure::user(format!("{}: no member {id}", group.name), format!("its members: {hint}"))
            })?;
            vec![member]
        }
        None => group.members.iter().filter(|member| member.purchase == PurchaseOption::OnDemand).collect(),
    };
    let mut kinds = Kinds::new();
    for member in chosen {
        let key = (member.instance_type.to_string(), member.zone.to_string(), member.purchase);
        kinds.entry(key).or_default().push(member);
    }
    Ok(kinds)
}

// ---- for people ----

fn told(kind: &Kind<'_>, report: &Report, args: &Args, most: u32, out: &Output, currency: Currency) -> String {
    let Kind { members, told } = kind;
    let (group, plan) = (&report.look.observation.group, &report.look.plan);
    let Some(member) = members.first() else { return String::new() };
    let purchase = told.purchase;
    let compared = match told.on_demand {
        Some(price) => format!(", {} on demand", currency.per_hour(price.0 as i64)),
        None => String::new(),
    };
    let head = format!("{} in {}, pays {}{compared}", member.instance_type, member.zone, member.purchase);
    let mut text = format!("\n{}\n", out.paint(Tone::Head, &head));
    for member in members {
        let fate = words::member(member, group, plan);
        let why = if fate.why.is_empty() { String::new() } else { format!(": {}", fate.why) };
        text.push_str(&format!("  {}  {}{why}\n", member.id, out.paint(fate.tone, fate.what)));
    }
    if told.model != member.instance_type {
        text.push_str(&format!("  has to do the work of {}\n", told.model));
    }
    if let Err(no_pool) = &told.pools {
        text.push_str(&format!("  {} {no_pool}\n", out.paint(Tone::Mind, "nothing to ask for:")));
    }
    if let Some(payback) = &told.payback {
        text.push_str(&format!("  {}\n", payback_in_words(payback)));
    }
    let (mut asked, mut fit, mut near, mut far) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for candidate in &told.candidates {
        match candidate.verdict.standing() {
            Standing::Asked { .. } => asked.push(candidate),
            Standing::Mismatched(mismatches)
                if args.all_types || (mismatches.len() <= NEAR && near.len() < NEAR_SHOWN) =>
            {
                near.push(candidate);
            }
            Standing::Mismatched(mismatches) => far.push(mismatches),
            Standing::Fits => fit.push(candidate),
        }
    }
    let price =
        |candidate: &Candidate| candidate.price.map_or("–".to_owned(), |price| currency.per_hour(price.0 as i64));
    if !asked.is_empty() {
        let known = asked.iter().any(|candidate| candidate.interruptions.is_some());
        let rows = asked.iter().zip(1..).map(|(candidate, rank)| {
            let mut row = vec![
                (Tone::Plain, rank.to_string()),
                (Tone::Act, candidate.instance_type.to_string()),
                (Tone::Plain, price(candidate)),
                (Tone::Plain, saves(candidate, told)),
                (Tone::Plain, format!("{} of at most {most}", candidate.held)),
                (Tone::Mind, circuit(candidate.circuit)),
            ];
            if known {
                let estimate = candidate.interruptions.map_or("nobody knows".to_owned(), |it| it.to_string());
                row.push((Tone::Plain, estimate));
            }
            row
        });
        let paid = purchase.to_string();
        let mut heads = vec!["rank", "type", &paid, "saves", "in its pool", "failed lately"];
        if known {
            heads.push("risk");
        }
        text.push_str(&out.table(&heads, rows.collect()));
    }
    let mut list = |title: &str, candidates: &[&Candidate]| {
        if candidates.is_empty() {
            return;
        }
        text.push_str(&format!("  {}\n", out.paint(Tone::Faint, title)));
        let rows = candidates.iter().map(|candidate| {
            vec![
                (Tone::Plain, candidate.instance_type.to_string()),
                (Tone::Plain, price(candidate)),
                (Tone::Plain, saves(candidate, told)),
                (Tone::Plain, candidate.verdict.to_string()),
            ]
        });
        text.push_str(&out.table(&["type", &purchase.to_string(), "saves", "why not"], rows.collect()));
    };
    list("fits, and is not asked for", &fit);
    list("does not fit", &near);
    if !far.is_empty() {
        text.push_str(&format!("  {}\n", in_sum(&far)));
    }
    text
}

/// `1,320 more types do not fit: vcpus-too-many 412, …; --all-types lists them`
fn in_sum(far: &[&[planner::compat::Mismatch]]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for mismatches in far {
        // The first rule that fails is the one that people would name.
        if let Some(first) = mismatches.first() {
            *counts.entry(first.code()).or_default() += 1;
        }
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by(|(a, count_a), (b, count_b)| count_b.cmp(count_a).then(a.cmp(b)));
    let named: Vec<String> = counts.iter().map(|(code, count)| format!("{code} {count}")).collect();
    let noun = if far.len() == 1 { "type does" } else { "types do" };
    format!("{} more {noun} not fit: {}; --all-types lists them", far.len(), named.join(", "))
}

/// Against what the member costs on demand; nothing on the way back, which saves nothing.
fn saves(candidate: &Candidate, told: &Explanation) -> String {
    match saving_percent(candidate, told) {
        Some(percent) => format!("{percent:.0} %"),
        None => "–".to_owned(),
    }
}

fn saving_percent(candidate: &Candidate, told: &Explanation) -> Option<f64> {
    let (price, on_demand) = (candidate.price?, told.on_demand?);
    let saved = 100.0 * (1.0 - price.0 as f64 / on_demand.0.max(1) as f64);
    (told.purchase == PurchaseOption::Spot).then_some((saved * 10.0).round() / 10.0)
}

fn circuit(circuit: Circuit) -> String {
    match circuit {
        Circuit::Closed => String::new(),
        Circuit::Open { until } => format!("until {until}"),
        Circuit::HalfOpen => "is tried again".to_owned(),
    }
}

fn payback_in_words(payback: &Payback) -> String {
    let life = words::span(payback.life_seconds);
    match payback.after_seconds {
        Some(after) => format!("a swap pays for its overlap after {}; members live {life}", words::span(after)),
        None => format!("a swap never pays for its overlap; members live {life}"),
    }
}

// ---- for programs ----

fn explanation(
    region: &str,
    report: &Report,
    kinds: Result<&(Vec<Kind<'_>>, Policy), &String>,
    currency: Currency,
) -> Value {
    let (group, plan) = (&report.look.observation.group, &report.look.plan);
    let blockers: Vec<Value> = plan
        .blockers
        .iter()
        .map(|blocker| json!({ "code": blocker.code(), "text": blocker.to_string(), "fix": fix(blocker, group.name.as_str()) }))
        .collect();
    let most = kinds.ok().map(|(_, policy)| most_per_pool(group.desired, policy.pool_loss_percent));
    let members: Vec<Value> = kinds.iter().flat_map(|(kinds, _)| kinds).map(|kind| said(kind, report)).collect();
    json!({
        "v": document::VERSION,
        "kind": "explanation",
        "region": region,
        "group": group.name.as_str(),
        "at": report.look.observation.now.to_string(),
        "enabled": report.enabled,
        "currency": currency.code(),
        "blockers": blockers,
        "most_per_pool": most,
        "members": members,
        "no_candidates": kinds.err(),
    })
}

fn said(kind: &Kind<'_>, report: &Report) -> Value {
    let Kind { members, told } = kind;
    let (group, plan) = (&report.look.observation.group, &report.look.plan);
    let instances: Vec<Value> = members
        .iter()
        .map(|member| {
            let fate = words::member(member, group, plan);
            json!({ "id": member.id.as_str(), "next": fate.what, "why": fate.why })
        })
        .collect();
    let candidates: Vec<Value> = told.candidates.iter().map(|candidate| judged(candidate, told)).collect();
    let member = members.first();
    json!({
        "instances": instances,
        "instance_type": member.map(|member| member.instance_type.as_str()),
        "zone": member.map(|member| member.zone.as_str()),
        "purchase": member.map(|member| member.purchase.to_string()),
        "replica_purchase": told.purchase.to_string(),
        "has_to_do_the_work_of": told.model.as_str(),
        "on_demand_per_hour": told.on_demand.map(|price| dollars(price.0 as i64)),
        "nothing_to_ask_for": told.pools.as_ref().err().map(|no| json!({ "code": no.code(), "text": no.to_string() })),
        "payback": told.payback.map(|payback| json!({
            "after_seconds": payback.after_seconds,
            "life_seconds": payback.life_seconds,
            "is_worth_it": payback.is_worth_it(),
        })),
        "candidates": candidates,
    })
}

fn judged(candidate: &Candidate, told: &Explanation) -> Value {
    let (rank, mismatches): (Option<usize>, &[_]) = match candidate.verdict.standing() {
        Standing::Asked { rank } => (Some(rank), &[]),
        Standing::Mismatched(mismatches) => (None, mismatches),
        Standing::Fits => (None, &[]),
    };
    let mismatches: Vec<Value> =
        mismatches.iter().map(|mismatch| json!({ "code": mismatch.code(), "text": mismatch.to_string() })).collect();
    let (state, until) = match candidate.circuit {
        Circuit::Closed => ("closed", None),
        Circuit::Open { until } => ("open", Some(until.to_string())),
        Circuit::HalfOpen => ("half-open", None),
    };
    json!({
        "instance_type": candidate.instance_type.as_str(),
        "rank": rank,
        "verdict": { "code": candidate.verdict.code(), "text": candidate.verdict.to_string() },
        "mismatches": mismatches,
        "price_per_hour": candidate.price.map(|price| dollars(price.0 as i64)),
        "on_demand_per_hour": candidate.on_demand.map(|price| dollars(price.0 as i64)),
        "saving_percent": saving_percent(candidate, told),
        "risk": {
            "held_in_pool": candidate.held,
            "circuit": state,
            "cools_until": until,
            "interruptions": candidate.interruptions.map(engine::view::interruptions),
        },
    })
}
