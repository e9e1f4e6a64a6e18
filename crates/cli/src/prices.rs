//! `spotward prices`: what a type cost as spot, zone by zone, as a chart and as figures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use charts::{Chart, Level, Paper, Section, Series, Table};
use data::{NoRecord, day};
use engine::CloudError;
use jiff::{SignedDuration, Timestamp};
use planner::bids::BIDS_PERCENT;
use planner::model::{InstanceType, Price, Zone};
use planner::policy::Config;
use planner::stats::PriceHistory;
use serde_json::{Value, json};

use crate::cloud::World;
use crate::failure::{Exit, Failure};
use crate::money::Currency;
use crate::output::{Output, Tone, colours};
use crate::stock::{HISTORY_DAYS_MAX, Moment, Stock, Where, days_before, histories, short_zone};

/// Version of the JSON document.
const VERSION: u32 = 1;
/// A month, as the Spot Advisor counts.
const DAYS: i64 = 30;
/// Columns of a pipe.
const COLUMNS: usize = 80;
/// Wider than that, a line is hard to follow.
const COLUMNS_MAX: usize = 140;
/// Lines of a chart.
const LINES: usize = 14;

const EXAMPLES: &str = "\
Examples:
  spotward prices m6i.large                              the last 30 days, zone by zone
  spotward prices m6i.large c6i.large --days 90          two types, as far back as EC2 remembers
  spotward prices m5.large --offline                     from what is shipped, without an account
  spotward prices m6i.large --html prices.html           a page for a browser, a mail or a printer
  spotward prices m6i.large --from 2026-01-01 --until 2026-01-31 --csv > january.csv
  spotward prices m6i.large --data january.csv           … and again from that file

Exit status:
  0  shown
  1  a mistake of the caller: unknown type or region, a range without prices, an unreadable file
  3  AWS refused: no permission, throttled, unreachable";

/// Show what types cost as spot, by zone, over time: a chart, a picture, a page, a table
///
/// Asks EC2 (ec2:DescribeSpotPriceHistory), which remembers 90 days. With --offline or --data, or where there are no
/// credentials, files answer, and the answer says from when they are.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Instance types
    #[arg(value_name = "TYPE", required = true)]
    pub types: Vec<String>,
    #[command(flatten)]
    pub from_where: Where,
    /// Only these zones (`us-east-1a`, or `a`)
    #[arg(long, value_name = "ZONE")]
    pub zone: Vec<String>,
    /// First day, or moment (UTC)
    #[arg(long, value_name = "DATE", value_parser = Moment::parse)]
    pub from: Option<Moment>,
    /// Last day, or moment (UTC)
    #[arg(long, value_name = "DATE", value_parser = Moment::parse)]
    pub until: Option<Moment>,
    /// So many days, up to --until
    #[arg(long, value_name = "N", conflicts_with = "from", value_parser = clap::value_parser!(i64).range(1..=3660))]
    pub days: Option<i64>,
    /// Begin the scale at zero and let it reach the on-demand price
    #[arg(long)]
    pub from_zero: bool,
    /// One JSON document on stdout (docs/schema/prices.schema.json)
    #[arg(long)]
    pub json: bool,
    /// Records on stdout, as --data reads them
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Write the chart of one type as SVG
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Write charts and figures as a page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// What is known of one type.
struct Shown {
    instance_type: InstanceType,
    on_demand: Option<Price>,
    /// Day of the list that it stands in; `None` = now.
    on_demand_day: Option<String>,
    zones: BTreeMap<Zone, PriceHistory>,
    window: (Timestamp, Timestamp),
    sources: Vec<String>,
    /// Sentences.
    remarks: Vec<String>,
}

pub async fn command(args: Args, config: &Config) -> Result<Exit, Failure> {
    let out = Output::new();
    if args.svg.is_some() && args.types.len() > 1 {
        return Err(Failure::user("--svg takes one type", "--html takes several"));
    }
    let (from, until) = (args.from.map(Moment::begin), args.until.map(Moment::end));
    if let (Some(from), Some(until)) = (from, until)
        && from >= until
    {
        return Err(Failure::user("--from is not before --until", "a day is meant from its begin to its end, in UTC"));
    }
    let mut stock = Stock::open(&args.from_where, config, &out).await?;
    let mut types: Vec<InstanceType> = args.types.iter().map(InstanceType::new).collect();
    types.dedup();
    for instance_type in &types {
        stock.check_type(instance_type)?;
    }
    let shown = shown(&args, &types, (from, until), &mut stock, &out).await?;
    out.done();

    let currency = Currency::of(&stock.region);
    if let Some(path) = &args.svg {
        write(path, &charts::svg(&chart(&args, &shown[0], &stock, currency)), &out)?;
    }
    if let Some(path) = &args.html {
        write(path, &page(&args, &shown, &stock, currency), &out)?;
    }
    if args.json {
        out.print(&document(&args, &shown, &stock, currency));
    } else if args.csv {
        out.print(&csv(&args, &shown));
    } else {
        out.print(&text(&args, &shown, &stock, currency, &out));
    }
    Ok(Exit::Nothing)
}

// ---- look ----

async fn shown(
    args: &Args,
    types: &[InstanceType],
    range: (Option<Timestamp>, Option<Timestamp>),
    stock: &mut Stock,
    out: &Output,
) -> Result<Vec<Shown>, Failure> {
    if let Some(world) = &stock.live {
        out.waiting_for(format!("asking {} for prices", stock.region));
        match live(args, types, range, world).await {
            Ok(found) => return found,
            Err(error) => stock.without_account(&error)?,
        }
    }
    stock.check_region()?;
    types.iter().map(|name| recorded(args, name, range, stock)).collect()
}

async fn live(
    args: &Args,
    types: &[InstanceType],
    (from, until): (Option<Timestamp>, Option<Timestamp>),
    world: &World,
) -> Result<Result<Vec<Shown>, Failure>, CloudError> {
    let Some(aws) = world.aws() else {
        return Err(CloudError::Rejected("a saved look has no history".to_owned()));
    };
    let now = Timestamp::now();
    let until = until.unwrap_or(now).min(now);
    let from = from.unwrap_or_else(|| days_before(until, args.days.unwrap_or(DAYS)));
    if from >= until {
        return Ok(Err(Failure::user("the range begins in the future", "name days that are over")));
    }
    let platform = args.from_where.platform;
    let found = histories(aws, platform, types, from, until).await?;
    // A price list that cannot be had leaves the history as it is.
    use engine::Cloud;
    let market = world.market(platform).await.ok();
    let mut shown = Vec::new();
    for instance_type in types {
        let zones = found.iter().filter(|((name, _), _)| name == instance_type);
        let zones: BTreeMap<Zone, PriceHistory> =
            zones.map(|((_, zone), history)| (zone.clone(), history.clone())).collect();
        let zones = match only(&args.zone, zones, world.region()) {
            Ok(zones) => zones,
            Err(failure) => return Ok(Err(failure)),
        };
        if zones.is_empty() {
            let what = format!("{instance_type} had no spot price for {platform} in {} then", world.region());
            let hint = "it may not be offered there; EC2 remembers 90 days, and --data reads what was saved before";
            return Ok(Err(Failure::user(what, hint)));
        }
        let mut remarks = Vec::new();
        if from < days_before(now, HISTORY_DAYS_MAX) {
            remarks.push(format!("EC2 remembers {HISTORY_DAYS_MAX} days: what was before is missing."));
        }
        if market.is_none() {
            remarks.push("The on-demand price could not be read: savings are unknown.".to_owned());
        }
        shown.push(Shown {
            instance_type: instance_type.clone(),
            on_demand: market.as_ref().and_then(|market| market.on_demand.get(instance_type).copied()),
            on_demand_day: None,
            window: window(&zones),
            zones,
            sources: vec!["DescribeSpotPriceHistory".to_owned()],
            remarks,
        });
    }
    Ok(Ok(shown))
}

fn recorded(
    args: &Args,
    instance_type: &InstanceType,
    (from, until): (Option<Timestamp>, Option<Timestamp>),
    stock: &Stock,
) -> Result<Shown, Failure> {
    let (region, platform, library) = (&stock.region, args.from_where.platform, &stock.library);
    let find = |from| library.recorded(region, platform, instance_type, from, until);
    let found = find(from).and_then(|found| match args.days {
        Some(days) => find(Some(days_before(found.window.1, days))),
        None => Ok(found),
    });
    let found = found.map_err(|none| no_record(&none, instance_type, stock, args))?;
    let zones = only(&args.zone, found.zones, region)?;
    let window = window(&zones);
    let listed = library.on_demand(region, platform, instance_type, Some(window.1));
    let mut remarks = Vec::new();
    if !found.others.is_empty() {
        remarks.push(format!("Recorded too: {}; see --from and --until.", spans(&found.others)));
    }
    Ok(Shown {
        instance_type: instance_type.clone(),
        on_demand: listed.and_then(|listed| listed.price),
        on_demand_day: listed.map(|listed| listed.date.map_or("undated".to_owned(), |date| date.to_string())),
        zones,
        window,
        sources: found.sources,
        remarks,
    })
}

fn spans(spans: &[(Timestamp, Timestamp)]) -> String {
    let spans: Vec<String> = spans.iter().map(|(start, end)| format!("{} to {}", day(*start), day(*end))).collect();
    spans.join(", ")
}

fn no_record(none: &NoRecord, instance_type: &InstanceType, stock: &Stock, args: &Args) -> Failure {
    let platform = args.from_where.platform;
    match none {
        NoRecord::NotThen(found) => Failure::user(
            format!("no recorded price of {instance_type} in that range"),
            format!("there are prices from {}", spans(found)),
        ),
        NoRecord::Nowhere { regions, types } => {
            let list = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let regions = list(regions.iter().map(String::as_str).collect());
            let types = list(types.iter().map(InstanceType::as_str).collect());
            Failure::user(
                format!("no recorded prices of {instance_type} for {platform} in {}", stock.region),
                format!(
                    "recorded is {instance_type} in: {regions}; in {}: {types}. `aws ec2 describe-spot-price-history > FILE` \
                     and --data FILE, or an account, have more",
                    stock.region
                ),
            )
        }
    }
}

/// Zones that were asked for.
fn only(
    wanted: &[String],
    zones: BTreeMap<Zone, PriceHistory>,
    region: &str,
) -> Result<BTreeMap<Zone, PriceHistory>, Failure> {
    let is = |zone: &Zone, wanted: &String| zone.as_str() == wanted || short_zone(zone.as_str(), region) == wanted;
    if let Some(unknown) = wanted.iter().find(|wanted| !zones.keys().any(|zone| is(zone, wanted))) {
        let known: Vec<&str> = zones.keys().map(Zone::as_str).collect();
        return Err(Failure::user(
            format!("no prices in the zone {unknown}"),
            format!("there are prices in {}", known.join(", ")),
        ));
    }
    Ok(zones
        .into_iter()
        .filter(|(zone, _)| wanted.is_empty() || wanted.iter().any(|wanted| is(zone, wanted)))
        .collect())
}

fn window(zones: &BTreeMap<Zone, PriceHistory>) -> (Timestamp, Timestamp) {
    let since = zones.values().map(PriceHistory::since).min().unwrap_or_default();
    (since, zones.values().map(PriceHistory::until).max().unwrap_or_default())
}

fn write(path: &Path, text: &str, out: &Output) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| {
        Failure::user(format!("{}: {error}", path.display()), "name a file in a directory that can be written to")
    })?;
    out.remark(&format!("written: {}", path.display()));
    Ok(())
}

// ---- figures ----

const HEAD: [&str; 10] =
    ["zone", "last", "mean", "lowest", "highest", "saves", "held at 25/50/100 %", "levels", "changes", "moves"];

/// A row of figures, as people read them.
fn figures(shown: &Shown, zone: &Zone, history: &PriceHistory, currency: Currency) -> Vec<String> {
    let price = |price: Price| currency.price(price);
    let levels = history.levels();
    let saves = shown.on_demand.map(|on_demand| history.mean_saving(on_demand) * 100.0);
    let held = shown.on_demand.map(|on_demand| {
        BIDS_PERCENT.map(|percent| share(history.availability_at_percent(percent, on_demand))).join("/")
    });
    vec![
        zone.to_string(),
        last(history).map_or("?".to_owned(), price),
        price(Price(history.mean().round() as u64)),
        price(levels.floor),
        price(levels.ceiling),
        saves.map_or("?".to_owned(), |saves| format!("{} %", saves.floor())),
        held.unwrap_or_else(|| "?".to_owned()),
        levels.count.to_string(),
        format!("{:.1}/day", history.changes_per_day()),
        format!("{:.1} %", history.volatility() * 100.0),
    ]
}

/// A share of time in whole percent: only what always held is 100, only what never did is 0.
pub fn share(share: f64) -> String {
    let percent = (share * 100.0).round();
    let percent = if share < 1.0 { percent.min(99.0) } else { percent };
    format!("{}", if share > 0.0 { percent.max(1.0) } else { percent })
}

fn last(history: &PriceHistory) -> Option<Price> {
    history.steps().last().map(|(_, price)| price)
}

fn on_demand(shown: &Shown, currency: Currency) -> String {
    match (shown.on_demand, &shown.on_demand_day) {
        (Some(price), Some(day)) => format!("on-demand {}/h (list of {day})", currency.price(price)),
        (Some(price), None) => format!("on-demand {}/h", currency.price(price)),
        (None, _) => "on-demand price unknown".to_owned(),
    }
}

/// What the figures do not say by themselves.
fn notes(shown: &Shown) -> Vec<String> {
    let mut notes = Vec::new();
    let flat: Vec<&str> =
        shown.zones.iter().filter(|(_, history)| history.levels().is_flat()).map(|(zone, _)| zone.as_str()).collect();
    if !flat.is_empty() {
        let all =
            if flat.len() == shown.zones.len() { "everywhere".to_owned() } else { format!("in {}", flat.join(", ")) };
        notes.push(format!(
            "The price stayed within a tenth of its floor {all}: it says what a run costs, and next to nothing about interruptions."
        ));
    }
    let sold_out: Vec<String> = shown
        .zones
        .iter()
        .filter_map(|(zone, history)| Some((zone, history.sold_out(shown.on_demand?))))
        .filter(|(_, share)| *share > 0.0)
        .map(|(zone, part)| format!("{zone} {} % of the time", share(part)))
        .collect();
    if !sold_out.is_empty() {
        notes.push(format!("At or above on-demand, which means sold out: {}.", sold_out.join(", ")));
    }
    notes.extend(shown.remarks.iter().cloned());
    notes
}

fn chart(args: &Args, shown: &Shown, stock: &Stock, currency: Currency) -> Chart {
    let series = shown.zones.iter().map(|(zone, history)| Series {
        name: zone.to_string(),
        short: short_zone(zone.as_str(), &stock.region).to_owned(),
        steps: history.steps().map(|(at, price)| (at, price.dollars())).collect(),
        end: history.until(),
    });
    let level = |price: Price| Level { name: format!("on-demand {}", currency.price(price)), value: price.dollars() };
    Chart {
        title: format!("{}, {}, spot price per hour", shown.instance_type, args.from_where.platform),
        subtitle: format!("{}, {}", stock.region, on_demand(shown, currency)),
        unit: currency.sign().to_owned(),
        series: series.collect(),
        levels: shown.on_demand.map(level).into_iter().collect(),
        from_zero: args.from_zero,
    }
}

// ---- for people ----

fn text(args: &Args, shown: &[Shown], stock: &Stock, currency: Currency, out: &Output) -> String {
    let terminal = std::io::stdout().is_terminal();
    let columns = if terminal { terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)) } else { None };
    let paper = Paper {
        columns: columns.unwrap_or(COLUMNS).min(COLUMNS_MAX).saturating_sub(1),
        lines: LINES,
        colours: colours(terminal),
    };
    let mut text = String::new();
    for one in shown {
        let head = format!("{}, {}, {}", one.instance_type, args.from_where.platform, stock.region);
        let _ = writeln!(text, "{}", out.paint(Tone::Head, &head));
        // An end at midnight is the end of the day before.
        let last = one.window.1.checked_sub(SignedDuration::from_secs(1)).unwrap_or(one.window.1);
        let range = format!("{} to {} UTC, {}", day(one.window.0), day(last), on_demand(one, currency));
        let _ = writeln!(text, "  {range}\n");
        text.push_str(&charts::terminal(&chart(args, one, stock, currency), &paper));
        text.push('\n');
        // The last three columns are for JSON and pages: eighty columns hold no more.
        let shown_columns = 7;
        let rows = one.zones.iter().map(|(zone, history)| {
            let mut cells = figures(one, zone, history, currency);
            cells[0] = short_zone(zone.as_str(), &stock.region).to_owned();
            cells.truncate(shown_columns);
            cells.into_iter().map(|cell| (Tone::Plain, cell)).collect()
        });
        text.push_str(&out.table(&HEAD[..shown_columns], rows.collect()));
        for note in notes(one) {
            let _ = writeln!(text, "  {note}");
        }
        let _ = writeln!(text, "  {}\n", out.paint(Tone::Faint, &source_line(one, stock)));
    }
    text
}

fn source_line(shown: &Shown, stock: &Stock) -> String {
    format!("Source: {} ({}).", shown.sources.join(", "), stock.told())
}

fn page(args: &Args, shown: &[Shown], stock: &Stock, currency: Currency) -> String {
    let sections: Vec<Section> = shown
        .iter()
        .map(|one| Section {
            chart: chart(args, one, stock, currency),
            table: Table {
                head: HEAD.map(str::to_owned).into(),
                rows: one.zones.iter().map(|(zone, history)| figures(one, zone, history, currency)).collect(),
            },
            notes: notes(one),
        })
        .collect();
    let names: Vec<&str> = shown.iter().map(|one| one.instance_type.as_str()).collect();
    let mut sources: Vec<String> =
        shown.iter().map(|one| format!("{}: {}", one.instance_type, source_line(one, stock))).collect();
    sources.push(
        "last: the newest price. mean: weighted by time. saves: the mean against on-demand. held at 25/50/100 %: share of the time, \
         in percent, in which a bid of so much of the on-demand price would have held. levels: different prices. moves: standard \
         deviation over the mean. Prices are public ones, before discounts."
            .to_owned(),
    );
    let title = format!("Spot prices: {}", names.join(", "));
    let subtitle = format!("{} in {}, {}", args.from_where.platform, stock.region, stock.told());
    charts::page(&title, &subtitle, &sections, &sources)
}

// ---- for programs ----

fn document(args: &Args, shown: &[Shown], stock: &Stock, currency: Currency) -> String {
    let types: Vec<Value> = shown.iter().map(of_type).collect();
    let document = json!({
        "v": VERSION,
        "kind": "prices",
        "region": stock.region,
        "platform": args.from_where.platform.spot_product(),
        "currency": currency.code(),
        "live": stock.live.is_some(),
        "types": types,
    });
    let mut text = serde_json::to_string_pretty(&document).expect("plain values always serialize");
    text.push('\n');
    text
}

fn of_type(shown: &Shown) -> Value {
    let zones: Vec<Value> = shown
        .zones
        .iter()
        .map(|(zone, history)| {
            let levels = history.levels();
            let held = |percent: u32| Some(history.availability_at_percent(percent, shown.on_demand?));
            json!({
                "zone": zone.as_str(),
                "last_per_hour": last(history).map(Price::dollars),
                "mean_per_hour": history.mean() / 1e6,
                "floor_per_hour": levels.floor.dollars(),
                "ceiling_per_hour": levels.ceiling.dollars(),
                "levels": levels.count,
                "flat": levels.is_flat(),
                "changes_per_day": history.changes_per_day(),
                "volatility": history.volatility(),
                "mean_saving": shown.on_demand.map(|on_demand| history.mean_saving(on_demand)),
                "sold_out": shown.on_demand.map(|on_demand| history.sold_out(on_demand)),
                "availability": { "25": held(25), "50": held(50), "100": held(100) },
                "prices": history.steps().map(|(at, price)| json!([at.to_string(), price.dollars()])).collect::<Vec<_>>(),
                "until": history.until().to_string(),
            })
        })
        .collect();
    json!({
        "type": shown.instance_type.as_str(),
        "on_demand_per_hour": shown.on_demand.map(Price::dollars),
        "on_demand_list": shown.on_demand_day,
        "from": shown.window.0.to_string(),
        "until": shown.window.1.to_string(),
        "sources": shown.sources,
        "remarks": shown.remarks,
        "zones": zones,
    })
}

/// The last price once more at the end of the window: so a reader knows how long it held.
fn csv(args: &Args, shown: &[Shown]) -> String {
    let mut text = "ts,az,instance_type,os,price\n".to_owned();
    let platform = args.from_where.platform.spot_product();
    for one in shown {
        for (zone, history) in &one.zones {
            let end = last(history).map(|price| (history.until(), price));
            for (at, price) in history.steps().chain(end) {
                let _ = writeln!(text, "{at},{zone},{},{platform},{}", one.instance_type, price.dollars());
            }
        }
    }
    text
}
