//! One group's plan as a page for people.

use engine::Look;
use planner::action::Action;
use planner::budget::WorstLoss;
use planner::model::{Group, PurchaseOption};
use planner::policy::{Config, Policy};
use planner::reason::Blocker;
use planner::savings::{Saving, Savings};

use crate::calls::calls;
use crate::fix::fix;
use crate::money::Currency;
use crate::output::{Output, Tone, printable};
use crate::plan::Report;
use crate::words;

/// Types named in a line for people.
const POOLS_SHOWN: usize = 3;

/// What the numbers rest on: said once, under all of them.
pub const ASSUMPTIONS: &str = "\
Prices are the public ones of now, before discounts; spot prices change. A range means that EC2 picks one of several
pools: the dearest to the cheapest. A month has 730 hours. A pool is a type in a zone: EC2 takes its instances back together.";

/// The page.
pub fn page(report: &Report, config: &Config, out: &Output, currency: Currency) -> String {
    let Report { look, enabled, .. } = report;
    let group = &look.observation.group;
    let name = printable(group.name.as_str());
    let mut text = format!("{}  {}\n", out.paint(Tone::Head, &name), headline(report, config));
    if !enabled {
        let tag = format!("{}={}", config.enable_key, config.enable_value);
        text.push_str(&format!("  {}\n", out.paint(Tone::Mind, &format!("not enabled; if it were tagged {tag}:"))));
    }
    let rows = rows(look);
    if !rows.is_empty() {
        text.push_str(&out.table(&["instance", "type", "zone", "pays", "state", "what happens", "why"], rows));
    }
    for Line { label, tone, body } in lines(report, currency) {
        text.push_str(&format!("  {} {body}\n", out.paint(tone, &format!("{label:<8}"))));
    }
    text.push('\n');
    text
}

/// One line under the table.
pub struct Line {
    pub label: &'static str,
    pub tone: Tone,
    pub body: String,
}

/// What comes next, what is waited for, what stands against it, what it saves, what one pool's loss costs.
pub fn lines(report: &Report, currency: Currency) -> Vec<Line> {
    let Report { look, savings, worst_loss, .. } = report;
    let (group, plan) = (&look.observation.group, &look.plan);
    let mut lines = Vec::new();
    let mut line =
        |label: &'static str, tone: Tone, body: &str| lines.push(Line { label, tone, body: body.to_owned() });
    if let Some(action) = &plan.action {
        line("next", Tone::Act, &words::next(plan).unwrap_or_default());
        calls_in_words(action, group).iter().for_each(|call| line("", Tone::Plain, call));
        if let Some(pools) = pools_in_words(action, currency) {
            line("", Tone::Plain, &pools);
        }
    }
    if let Some(note) = &plan.note {
        line("also", Tone::Faint, &words::action(note));
        calls_in_words(note, group).iter().for_each(|call| line("", Tone::Plain, call));
    }
    if let Some(wait) = &plan.wait {
        line("waits", Tone::Mind, &wait.to_string());
    }
    if plan.need.is_some() {
        line("unknown", Tone::Bad, "AWS did not show all that a plan needs: look again in a minute");
    }
    lines.extend(blocker_lines(&plan.blockers, group));
    let mut line =
        |label: &'static str, tone: Tone, body: &str| lines.push(Line { label, tone, body: body.to_owned() });
    match savings {
        Ok(savings) => {
            for (label, body) in money_lines(savings, &plan.blockers, currency) {
                line(label, Tone::Plain, &body);
            }
        }
        Err(why) => line("saves", Tone::Mind, &format!("unknown: {why}")),
    }
    if let Some(loss) = worst_loss {
        line("at risk", Tone::Plain, &loss_in_words(loss));
    }
    lines
}

/// Every blocker with its fix.
pub fn blocker_lines(blockers: &[Blocker], group: &Group) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = |label, tone, body: String| lines.push(Line { label, tone, body });
    for blocker in blockers {
        match blocker {
            // One line each: the owner corrects them one by one.
            Blocker::Settings(errors) => {
                line("blocked", Tone::Bad, "settings that cannot be understood".to_owned());
                errors.iter().for_each(|error| line("", Tone::Plain, error.to_string()));
            }
            blocker => line("blocked", Tone::Bad, blocker.to_string()),
        }
        let fix = fix(blocker, group.name.as_str()).unwrap_or_else(|| "none needed, it passes".to_owned());
        line("  fix", Tone::Plain, fix);
    }
    lines
}

/// `desired 4 (min 1, max 6), 4 on-demand, 0 spot, on-demand floor 1`
pub fn headline(report: &Report, config: &Config) -> String {
    let (group, swap) = (&report.look.observation.group, report.look.plan.swap);
    let Group { desired, min_size, max_size, .. } = *group;
    let (on_demand, spot) = (group.in_service(PurchaseOption::OnDemand), group.in_service(PurchaseOption::Spot));
    let sizes = format!("desired {desired} (min {min_size}, max {max_size})");
    let floor = match Policy::of(group, config) {
        Ok(policy) => format!(", on-demand floor {}", policy.min_on_demand.of(desired)),
        Err(_) => String::new(),
    };
    let swap = if swap == "idle" { String::new() } else { format!(", swap {swap}") };
    format!("{sizes}, {on_demand} on-demand, {spot} spot{floor}{swap}")
}

/// Every member, and our instances outside the group.
pub fn rows(look: &Look) -> Vec<Vec<(Tone, String)>> {
    let (group, plan) = (&look.observation.group, &look.plan);
    let row = |id: String, kind: String, zone: String, pays: String, state: String, fate: words::Fate| {
        let plain = [id, kind, zone, pays, state].map(|text| (Tone::Plain, text));
        plain.into_iter().chain([(fate.tone, fate.what.to_owned()), (Tone::Plain, fate.why)]).collect::<Vec<_>>()
    };
    let members = group.members.iter().map(|member| {
        let healthy = if member.healthy && member.targets_healthy != Some(false) { "" } else { ", unhealthy" };
        row(
            member.id.to_string(),
            member.instance_type.to_string(),
            member.zone.to_string(),
            member.purchase.to_string(),
            format!("{}{healthy}", member.lifecycle),
            words::member(member, group, plan),
        )
    });
    let replicas = group.replicas.iter().filter(|replica| replica.state.is_alive()).map(|replica| {
        row(
            replica.id.to_string(),
            replica.instance_type.to_string(),
            replica.zone.to_string(),
            replica.purchase.to_string(),
            format!("outside, {:?}", replica.state).to_lowercase(),
            words::replica(replica, plan),
        )
    });
    members.chain(replicas).collect()
}

/// Each call of an action.
pub fn calls_in_words(action: &Action, group: &Group) -> Vec<String> {
    calls(action, group).iter().map(|call| format!("{}  {}", call.name, call.with)).collect()
}

/// `from m5.large $0.0499/h, m7i.large $0.0585/h and 2 more; EC2 picks one`
fn pools_in_words(action: &Action, currency: Currency) -> Option<String> {
    let Action::Launch(launch) = action else { return None };
    let pools = launch.pools.iter().take(POOLS_SHOWN);
    let named: Vec<String> =
        pools.map(|pool| format!("{} {}", pool.instance_type, currency.per_hour(pool.price.0 as i64))).collect();
    let more = launch.pools.count().saturating_sub(POOLS_SHOWN);
    let rest = if more > 0 { format!(" and {more} more; EC2 picks one") } else { String::new() };
    Some(format!("from {}{rest}", named.join(", ")))
}

/// What is saved, by what, and what the group costs.
pub fn money_lines(savings: &Savings, blockers: &[Blocker], currency: Currency) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(swap) = savings.swap {
        lines.push(("saves", format!("{} by this swap", currency.saving(swap))));
    }
    let more = if savings.swap.is_some() { 1 } else { 0 };
    if savings.swaps_left > more {
        let condition = if blockers.is_empty() { "" } else { ", were it not blocked" };
        let all = match savings.swaps_left {
            1 => "by the one swap that is left".to_owned(),
            count => format!("by all {count} swaps that are left"),
        };
        lines.push(("saves", format!("{} {all}{condition}", currency.saving(savings.left))));
    }
    let already = savings.already();
    if already > 0 {
        lines.push(("saved", format!("{} already", currency.saving(Saving { least: already, most: already }))));
    }
    let now = savings.cost_now as i64;
    lines.push(("costs", format!("{} ({}) now", currency.per_hour(now), currency.per_month(now))));
    if savings.unpriced > 0 {
        lines.push(("", format!("{} instances without a price are not counted", savings.unpriced)));
    }
    lines
}

/// `if one pool dies: 2 of 4 now (m5.large in us-east-1a), at most 2 of 4 once all is swapped`
pub fn loss_in_words(loss: &WorstLoss) -> String {
    let WorstLoss { pool, now, after, desired } = loss;
    let pool = pool.as_ref().map(|(instance_type, zone)| format!(" ({instance_type} in {zone})")).unwrap_or_default();
    format!("if one pool dies: {now} of {desired} now{pool}, at most {after} of {desired} once all is swapped")
}
