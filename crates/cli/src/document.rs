//! A plan for programs: docs/schema/plan.schema.json.

use engine::view::{self, GroupPlan};
use planner::model::Zone;
use planner::policy::{Config, Policy};
use planner::savings::Saving;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::calls::calls;
use crate::failure::Failure;
use crate::fix::fix;
use crate::money::{Currency, HOURS_PER_MONTH};
use crate::plan::{Report, Tally};
use crate::words;

/// Version of the JSON documents.
pub const VERSION: u32 = 1;

/// One group.
fn group(region: &str, report: &Report, config: &Config, currency: Currency) -> Value {
    let Report { look, enabled, savings, worst_loss, .. } = report;
    let (group, plan) = (&look.observation.group, &look.plan);
    let shown = GroupPlan::of(look);
    let blockers: Vec<Value> = plan
        .blockers
        .iter()
        .zip(&shown.blockers)
        .map(
            |(blocker, said)| json!({ "code": said.code, "text": said.text, "fix": fix(blocker, group.name.as_str()) }),
        )
        .collect();
    let floor = Policy::of(group, config).ok().map(|policy| policy.min_on_demand.of(group.desired));
    let mut document = json!(shown);
    document["region"] = json!(region);
    document["enabled"] = json!(enabled);
    document["would_act"] = json!(*enabled && !plan.is_quiet());
    document["on_demand_floor"] = json!(floor);
    document["blockers"] = json!(blockers);
    document["note"] = json!(plan.note.as_ref().map(view::action));
    document["calls"] = match &plan.action {
        Some(action) => {
            calls(action, group).iter().map(|call| json!({ "name": call.name, "with": call.with })).collect()
        }
        None => json!([]),
    };
    for (shown, member) in document["members"].as_array_mut().into_iter().flatten().zip(&group.members) {
        let fate = words::member(member, group, plan);
        shown["next"] = json!(fate.what);
        shown["why"] = json!(fate.why);
    }
    document["savings"] = match savings {
        Ok(savings) => json!({
            "currency": currency.code(),
            "cost_per_hour": dollars(savings.cost_now as i64),
            "swap": savings.swap.map(range),
            "left": range(savings.left),
            "swaps_left": savings.swaps_left,
            "already_per_hour": dollars(savings.already()),
            "unpriced_instances": savings.unpriced,
        }),
        Err(_) => Value::Null,
    };
    document["no_savings"] = json!(savings.as_ref().err());
    document["worst_loss"] = json!(worst_loss.as_ref().map(|loss| json!({
        "now": loss.now,
        "pool": loss.pool.as_ref().map(|(kind, zone)| json!({ "instance_type": kind.as_str(), "zone": Zone::as_str(zone) })),
        "after_at_most": loss.after,
    })));
    document
}

/// What could not be looked at: a group, or with `None` a whole region.
pub fn failed(region: &str, group: Option<&str>, failure: &Failure) -> Value {
    json!({
        "region": region,
        "group": group,
        "text": failure.what,
        "hint": failure.hint,
        "exit": failure.exit.code(),
    })
}

/// One region's sums.
pub fn region(region: &str, tally: &Tally) -> Value {
    json!({
        "region": region,
        "would_act": tally.would_act,
        "waiting": tally.waiting,
        "blocked": tally.blocked,
        "nothing_to_do": tally.done,
        "not_enabled": tally.not_enabled,
        "failed": tally.failed,
        "currency": tally.currency.code(),
        "left": range(tally.left),
        "already_per_hour": dollars(tally.already),
        "groups_without_prices": tally.unpriced_groups,
    })
}

/// A whole plan.
#[derive(Serialize)]
struct Whole<'a> {
    assumptions: String,
    failed: &'a [Value],
    groups: Groups<'a>,
    kind: &'static str,
    regions: &'a [Value],
    v: u32,
}

/// Groups that were looked at, with their region: made into values one after the other, since all of them would take ten
/// times as much memory.
struct Groups<'a> {
    seen: &'a [(String, Report)],
    config: &'a Config,
}

impl Serialize for Groups<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(
            self.seen.iter().map(|(region, report)| group(region, report, self.config, Currency::of(region))),
        )
    }
}

/// The whole document.
pub fn whole(seen: &[(String, Report)], failed: &[Value], regions: &[Value], config: &Config) -> String {
    text(&Whole {
        assumptions: crate::page::ASSUMPTIONS.split_whitespace().collect::<Vec<_>>().join(" "),
        failed,
        groups: Groups { seen, config },
        kind: "plan",
        regions,
        v: VERSION,
    })
}

/// Indented, with a last newline.
pub fn text(document: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("plain values always serialize");
    text.push('\n');
    text
}

/// Micro-dollars as dollars.
pub fn dollars(micros: i64) -> f64 {
    micros as f64 / 1e6
}

fn range(saving: Saving) -> Value {
    json!({
        "least_per_hour": dollars(saving.least),
        "most_per_hour": dollars(saving.most),
        "least_per_month": dollars(saving.least * HOURS_PER_MONTH),
        "most_per_month": dollars(saving.most * HOURS_PER_MONTH),
    })
}
