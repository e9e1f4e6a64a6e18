//! A report as text, JSON and CSV.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ledger::PoolKey;
use ledger::account::{GroupAccount, Money, PoolAccount, Sums, hours};
use serde_json::{Value, json};

use super::Report;
use crate::output::{Output, Tone};

/// Interruptions that are listed one by one: the latest.
pub const LISTED: usize = 500;

/// `2026-10-01 12:00 UTC`
pub fn minute(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// `2026-10-01`
pub fn day(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string()
}

/// `m5.large in us-east-1a, Windows`
pub fn pool(pool: &PoolKey) -> String {
    let zone = pool.zone.as_deref().map_or_else(
        || format!("{}, on demand in {}", pool.kind, pool.region),
        |zone| format!("{} in {zone}", pool.kind),
    );
    if pool.platform == "Linux/UNIX" { zone } else { format!("{zone}, {}", pool.platform) }
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1} %"))
}

/// The best first, as the page has it.
fn by_saving<'a>(report: &'a Report<'_>) -> Vec<&'a GroupAccount> {
    let mut groups: Vec<&GroupAccount> = report.account.groups.iter().collect();
    groups.sort_by(|a, b| (b.sums.saved(), &a.key).cmp(&(a.sums.saved(), &b.key)));
    groups
}

/// For people.
pub fn text(report: &Report<'_>, out: &Output) -> String {
    let (account, total) = (report.account, &report.account.total);
    let money = |money: Money| report.currency.sum(money.micros());
    let mut text = format!(
        "{}\n",
        out.paint(
            Tone::Head,
            &format!("Saved {} of {} ({})", money(total.saved()), money(total.without), percent(total.saved_percent()))
        )
    );
    let mut row = |name: &str, what: String| text.push_str(&format!("  {name:<22} {what}\n"));
    row("time", format!("{} to {}", minute(account.from), minute(account.until)));
    row(
        "where spot stands in",
        format!("{} saved, everything on top counted", percent(total.saved_percent_of_replaced())),
    );
    for (platform, sums) in &account.platforms {
        row(&format!("  {platform}"), percent(sums.saved_percent_of_replaced()));
    }
    row(
        "spot share",
        format!("{} of {:.1} instance hours", percent(total.spot_percent()), hours(total.spot_ms + total.on_demand_ms)),
    );
    row("swaps", format!("{}; overlap and failed attempts cost {}", account.swaps, money(total.on_top)));
    row("interruptions", account.interruptions.len().to_string());
    text.push('\n');
    let head =
        ["GROUP", "REGION", "SAVED", "SAVED %", "PAID", "WITHOUT", "SPOT SHARE", "SWAPS", "INTERRUPTED", "WORST LOSS"];
    let rows = by_saving(report).into_iter().map(|group| {
        let sums = &group.sums;
        let tone = if sums.saved() < Money::default() { Tone::Bad } else { Tone::Act };
        let plain = |text: String| (Tone::Plain, text);
        vec![
            (Tone::Head, group.key.1.clone()),
            (Tone::Faint, group.key.0.clone()),
            (tone, money(sums.saved())),
            plain(percent(sums.saved_percent())),
            plain(money(sums.paid())),
            plain(money(sums.without)),
            plain(percent(sums.spot_percent())),
            plain(group.swaps.to_string()),
            plain(group.interruptions.to_string()),
            plain(format!("{} of {}", group.largest_pool, group.spot + group.on_demand)),
        ]
    });
    text.push_str(&out.table(&head, rows.collect()));
    for note in &report.notes {
        text.push_str(&format!("\n{}\n", out.paint(Tone::Mind, note)));
    }
    text
}

fn sums(sums: &Sums) -> Value {
    json!({
        "saved": sums.saved().dollars(),
        "saved_percent": sums.saved_percent(),
        "saved_percent_of_replaced": sums.saved_percent_of_replaced(),
        "paid": sums.paid().dollars(),
        "paid_spot": sums.paid_spot.dollars(),
        "paid_on_demand": sums.paid_on_demand.dollars(),
        "without": sums.without.dollars(),
        "on_top": sums.on_top.dollars(),
        "spot_hours": hours(sums.spot_ms),
        "on_demand_hours": hours(sums.on_demand_ms),
        "overlap_hours": hours(sums.overlap_ms),
        "unpriced_hours": hours(sums.unpriced_ms),
        "spot_percent": sums.spot_percent(),
    })
}

fn with(mut value: Value, more: Value) -> Value {
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

/// For programs.
pub fn json(report: &Report<'_>) -> Value {
    let account = report.account;
    let group = |group: &&GroupAccount| {
        let more = json!({
            "group": group.key.1,
            "region": group.key.0,
            "swaps": group.swaps,
            "interruptions": group.interruptions,
            "spot_members": group.spot,
            "on_demand_members": group.on_demand,
            "worst_loss": { "members": group.largest_pool, "of": group.spot + group.on_demand },
            "worst_loss_ever": { "members": group.worst.0, "of": group.worst.1 },
        });
        with(more, sums(&group.sums))
    };
    let pool_of = |account: &PoolAccount| {
        json!({
            "region": account.pool.region,
            "platform": account.pool.platform,
            "type": account.pool.kind,
            "zone": account.pool.zone,
            "spot_hours": hours(account.ms),
            "paid": account.paid.dollars(),
            "interruptions": account.interruptions,
            "members": account.now,
            "groups": account.groups,
        })
    };
    json!({
        "v": 1,
        "kind": "report",
        "currency": report.currency.code(),
        "regions": report.regions,
        "stacks": report.stacks,
        "from": account.from.to_string(),
        "until": account.until.to_string(),
        "total": sums(&account.total),
        "swaps": account.swaps,
        "platforms": account.platforms.iter().map(|(platform, part)| with(json!({ "platform": platform }), sums(part))).collect::<Vec<_>>(),
        "days": account.days.iter().map(|(at, part)| with(json!({ "day": day(*at) }), sums(part))).collect::<Vec<_>>(),
        "groups": by_saving(report).iter().map(group).collect::<Vec<_>>(),
        "pools": account.pools.iter().map(pool_of).collect::<Vec<_>>(),
        "interruptions": account.interruptions.iter().map(|one| json!({
            "at": one.at.to_string(),
            "group": one.group.1,
            "region": one.group.0,
            "instance": one.instance,
            "type": one.pool.kind,
            "zone": one.pool.zone,
            "age_hours": hours(one.age_ms),
        })).collect::<Vec<_>>(),
        "notes": report.notes,
    })
}

/// For spreadsheets: a row for each group.
pub fn csv(report: &Report<'_>) -> String {
    let mut text = String::from(
        "group,region,currency,saved,paid_spot,paid_on_demand,without,on_top,spot_hours,on_demand_hours,unpriced_hours,swaps,interruptions,spot_members,on_demand_members,worst_loss_members\n",
    );
    for group in by_saving(report) {
        let sums = &group.sums;
        let amount = |money: Money| format!("{:.6}", money.dollars());
        let time = |millis: i64| format!("{:.4}", hours(millis));
        let cells = [
            quoted(&group.key.1),
            quoted(&group.key.0),
            report.currency.code().to_owned(),
            amount(sums.saved()),
            amount(sums.paid_spot),
            amount(sums.paid_on_demand),
            amount(sums.without),
            amount(sums.on_top),
            time(sums.spot_ms),
            time(sums.on_demand_ms),
            time(sums.unpriced_ms),
            group.swaps.to_string(),
            group.interruptions.to_string(),
            group.spot.to_string(),
            group.on_demand.to_string(),
            group.largest_pool.to_string(),
        ];
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}

/// A name may hold anything, also what a spreadsheet takes for a formula.
fn quoted(text: &str) -> String {
    let harmless = match text.starts_with(['=', '+', '-', '@']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    };
    if harmless.contains([',', '"', '\n', '\r']) { format!("\"{}\"", harmless.replace('"', "\"\"")) } else { harmless }
}
