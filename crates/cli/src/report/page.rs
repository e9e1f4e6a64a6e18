//! A report as one page that needs nothing but itself: figures as JSON, and what draws them.
//!
//! D3 and Observable Plot (ISC licence) are in `vendor/`, as their projects publish them.

use ledger::account::{GroupAccount, hours};
use serde_json::{Value, json};

use super::{Report, show};
use crate::output::Output;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const D3: &str = include_str!("vendor/d3.min.js");
const PLOT: &str = include_str!("vendor/plot.umd.min.js");

/// The page.
pub fn page(report: &Report<'_>) -> String {
    let account = report.account;
    let lead = format!(
        "{}, deployment {}: {} to {}. Written {}.",
        report.regions.join(", "),
        report.stacks.join(", "),
        show::minute(account.from),
        show::minute(account.until),
        show::minute(report.now),
    );
    let title = format!("Savings {} to {}", show::day(account.from), show::day(account.until));
    // Within a script only `<` could end it; within JSON it may be written so.
    let data = data(report).to_string().replace('<', "\\u003c");
    let filled = [
        ("title", escaped(&title)),
        ("lead", escaped(&lead)),
        ("text", escaped(&show::text(report, &Output::plain()))),
        ("style", STYLE.to_owned()),
        ("d3", D3.to_owned()),
        ("plot", PLOT.to_owned()),
        ("script", SCRIPT.to_owned()),
        ("data", data),
    ];
    // In one go: what is put in is not searched again.
    let mut text = String::with_capacity(1 << 20);
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        text.push_str(before);
        if let Some((_, value)) = filled.iter().find(|(known, _)| *known == name) {
            text.push_str(value);
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Lists instead of objects, cents instead of micro-dollars: thousands of groups and months of days stay small.
fn data(report: &Report<'_>) -> Value {
    let account = report.account;
    let total = &account.total;
    let cents = |dollars: f64| (dollars * 100.0).round() / 100.0;
    let fine = |dollars: f64| (dollars * 1e4).round() / 1e4;
    let tenth = |hours: f64| (hours * 100.0).round() / 100.0;
    let group = |group: &GroupAccount| {
        let sums = &group.sums;
        json!([
            group.key.0,
            group.key.1,
            fine(sums.saved().dollars()),
            fine(sums.paid().dollars()),
            fine(sums.without.dollars()),
            tenth(hours(sums.spot_ms)),
            tenth(hours(sums.on_demand_ms)),
            group.swaps,
            group.interruptions,
            group.spot,
            group.on_demand,
            group.largest_pool,
            group.worst.0,
            group.worst.1,
            group.saved_by_day.iter().map(|saved| (saved.micros() as f64 / 1e4).round() as i64).collect::<Vec<_>>(),
        ])
    };
    let last = account.interruptions.len().saturating_sub(show::LISTED);
    let last_day = account.days.last().map_or(account.until, |(at, _)| *at);
    json!({
        "v": 1,
        "currency": report.currency.code(),
        "from_day": show::day(account.from),
        "until_day": show::day(last_day),
        "total": {
            "saved": fine(total.saved().dollars()),
            "paid": fine(total.paid().dollars()),
            "without": fine(total.without.dollars()),
            "on_top": fine(total.on_top.dollars()),
            "saved_percent": total.saved_percent(),
            "saved_percent_of_replaced": total.saved_percent_of_replaced(),
            "spot_percent": total.spot_percent(),
            "spot_hours": tenth(hours(total.spot_ms)),
            "on_demand_hours": tenth(hours(total.on_demand_ms)),
        },
        "swaps": account.swaps,
        "interruptions": {
            "total": account.interruptions.len(),
            "latest": account.interruptions[last..].iter().rev().map(|one| json!([
                one.at.to_string(), one.group.1, one.instance, show::pool(&one.pool), tenth(hours(one.age_ms)),
            ])).collect::<Vec<_>>(),
        },
        "notes": report.notes,
        "days": account.days.iter().map(|(at, sums)| json!([
            show::day(*at), fine(sums.paid_on_demand.dollars()), fine(sums.paid_spot.dollars()), fine(sums.without.dollars()),
            tenth(hours(sums.spot_ms)), tenth(hours(sums.on_demand_ms)),
        ])).collect::<Vec<_>>(),
        "groups": account.groups.iter().map(group).collect::<Vec<_>>(),
        "pools": account.pools.iter().map(|pool| json!([
            pool.pool.region, pool.pool.kind, pool.pool.zone, tenth(hours(pool.ms)), cents(pool.paid.dollars()), pool.interruptions,
            pool.now, pool.groups, pool.pool.platform,
        ])).collect::<Vec<_>>(),
    })
}
